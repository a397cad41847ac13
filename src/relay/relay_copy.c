/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The relay: where the pieces of a chain are in the domain, and copying.
 *
 * Theory of operation
 *
 * Each piece of the client's gets a place in the chain's pages, the small ones
 * side by side before the large ones, which are aligned as devices like it for
 * direct I/O. An offset counts bytes of the chain's pages, whatever runs these
 * are in; a piece that crosses runs is as many descriptors. Where that makes
 * more of them than fit, the chain is dense: one run of bytes each way.
 *
 * A used length says how many bytes were written from the first on. A disk's
 * status is the last byte, whatever was written before: it counts as written,
 * and says "error" until the device says otherwise.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_blk.h>

#include "relay/relay_internal.h"

#define SECTOR_BYTES 512
#define SMALL_ALIGN  64

static unsigned int n_pieces(const struct vq_chain *chain)
{
	return (unsigned int)chain->n_readable + chain->n_writable;
}

/* ---- places ---- */

static uint64_t align_of(size_t len)
{
	return len >= DOMAIN_PAGE ? DOMAIN_PAGE : SECTOR_BYTES;
}

static uint64_t place_sparse(uint32_t *offs, const struct vq_chain *chain)
{
	unsigned int n = n_pieces(chain);
	uint64_t end = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (chain->iov[i].iov_len < SECTOR_BYTES) {
			offs[i] = (uint32_t)end;
			end = align_up(end + chain->iov[i].iov_len,
				       SMALL_ALIGN);
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		size_t len = chain->iov[i].iov_len;

		if (len >= SECTOR_BYTES) {
			end = align_up(end, align_of(len));
			offs[i] = (uint32_t)end;
			end += len;
		}
	}
	return end;
}

static uint64_t place_dense(uint32_t *offs, const struct vq_chain *chain)
{
	unsigned int n = n_pieces(chain);
	uint64_t end = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (i == chain->n_readable) {
			end = align_up(end, DOMAIN_PAGE);
		}
		offs[i] = (uint32_t)end;
		end += chain->iov[i].iov_len;
	}
	return end;
}

uint64_t relay_place(struct relay *relay, const struct vq_chain *chain,
		     bool is_dense)
{
	assert(n_pieces(chain) <= relay->n_pieces_max);
	return is_dense ? place_dense(relay->offs, chain)
			: place_sparse(relay->offs, chain);
}

/* ---- runs ---- */

/* Where byte @off of the request's pages is, and how many bytes follow it in
 * the domain. */
static uint64_t find_byte(const struct relay *relay,
			  const struct relay_req *req, uint64_t off,
			  uint64_t *ret_len)
{
	uint32_t page = req->first_page, next;

	for (;;) {
		uint64_t len =
			(uint64_t)domain_run(relay->domain, page, &next) *
			DOMAIN_PAGE;

		if (off < len) {
			*ret_len = len - off;
			return (uint64_t)page * DOMAIN_PAGE + off;
		}
		off -= len;
		page = next;
		assert(page != 0);
	}
}

/* Makes the last descriptor longer where that is wanted and possible. */
static bool join(struct vq_sg *last, uint64_t iova, uint32_t len)
{
	if (last->iova + last->len != iova) {
		return false;
	}
	last->len += len;
	return true;
}

/* The descriptors of piece @i. Return: how many there are now; -E2BIG */
static int cut_piece(struct relay *relay, const struct relay_req *req,
		     unsigned int i, unsigned int n, bool may_join)
{
	uint64_t len = req->chain->iov[i].iov_len, off = relay->offs[i];

	while (len > 0) {
		uint64_t room;
		uint64_t iova = find_byte(relay, req, off, &room);
		uint32_t part = (uint32_t)min_of(len, room);

		if (!may_join || !join(&relay->sg[n - 1], iova, part)) {
			if (n == relay->n_sg_max) {
				return -E2BIG;
			}
			relay->sg[n++] = (struct vq_sg){ iova, part };
		}
		may_join = req->is_dense;
		off += part;
		len -= part;
	}
	return (int)n;
}

int relay_cut(struct relay *relay, const struct relay_req *req,
	      struct relay_cut *ret)
{
	const struct vq_chain *chain = req->chain;
	unsigned int first = 0, end = chain->n_readable;
	int n = 0;

	for (unsigned int part = 0; part < 2; part++) {
		for (unsigned int i = first; i < end; i++) {
			n = cut_piece(relay, req, i, (unsigned int)n,
				      req->is_dense && i > first);
			if (n < 0) {
				return n;
			}
		}
		if (part == 0) {
			ret->n_readable = (unsigned int)n;
		}
		first = end;
		end = n_pieces(chain);
	}
	ret->n_writable = (unsigned int)n - ret->n_readable;
	return 0;
}

/* ---- copying ---- */

enum what {
	COPY_IN,
	COPY_OUT,
	ZERO,
};

/* Bytes [from, to) of piece @i. Return: 0; -EFAULT */
static int copy_piece(const struct relay_vq *q, const struct relay_req *req,
		      unsigned int i, enum what what, uint64_t from,
		      uint64_t to)
{
	const struct relay *relay = q->relay;
	const struct iotlb_snap *snap = vq_snap(relay->soft.vqs[q->idx].vq);
	uint64_t iova = vq_piece_iova(&req->chain->iov[i]);

	while (from < to) {
		uint64_t room;
		uint64_t at =
			find_byte(relay, req, relay->offs[i] + from, &room);
		size_t len = min_of(to - from, room);
		char *va = domain_va(relay->domain, at);
		int ret = 0;

		if (what == COPY_IN) {
			ret = mem_read(snap, iova + from, va, len);
		} else if (what == COPY_OUT) {
			ret = mem_write(snap, iova + from, va, len);
		} else {
			memset(va, 0, len);
		}
		if (ret < 0) {
			return ret;
		}
		from += len;
	}
	return 0;
}

/* The byte that stands for success or failure; NULL: there is none. */
static uint8_t *tail_byte(const struct relay *relay,
			  const struct relay_req *req)
{
	const struct vq_chain *chain = req->chain;
	unsigned int last = n_pieces(chain) - 1;
	uint64_t room, off;

	if (relay->tail_bytes == 0 || chain->writable_bytes == 0) {
		return NULL;
	}
	off = relay->offs[last] + chain->iov[last].iov_len - 1;
	return (uint8_t *)domain_va(relay->domain,
				    find_byte(relay, req, off, &room));
}

int relay_copy_in(struct relay_vq *q, const struct relay_req *req)
{
	const struct vq_chain *chain = req->chain;
	uint8_t *tail = tail_byte(q->relay, req);

	for (unsigned int i = 0; i < n_pieces(chain); i++) {
		enum what what = i < chain->n_readable ? COPY_IN : ZERO;
		int ret = copy_piece(q, req, i, what, 0, chain->iov[i].iov_len);

		if (ret < 0) {
			return ret;
		}
	}
	if (tail) {
		*tail = VIRTIO_BLK_S_IOERR;
	}
	relay_count(&q->counters.n_bytes, chain->readable_bytes);
	return 0;
}

/* Bytes [from, to) of the writable part. Return: 0; -EFAULT */
static int copy_written(const struct relay_vq *q, const struct relay_req *req,
			uint64_t from, uint64_t to)
{
	const struct vq_chain *chain = req->chain;
	uint64_t pos = 0;

	for (unsigned int i = chain->n_readable;
	     i < n_pieces(chain) && pos < to; i++) {
		uint64_t end = pos + chain->iov[i].iov_len;
		uint64_t first = max_of(pos, from), last = min_of(end, to);

		if (first < last) {
			int ret = copy_piece(q, req, i, COPY_OUT, first - pos,
					     last - pos);

			if (ret < 0) {
				return ret;
			}
		}
		pos = end;
	}
	return 0;
}

uint32_t relay_refuse(struct relay_vq *q, struct vq_chain *chain)
{
	const struct iotlb_snap *snap = vq_snap(q->relay->soft.vqs[q->idx].vq);
	const uint8_t status = VIRTIO_BLK_S_IOERR;
	const struct iovec *last;

	chain->tail_bytes = 0;
	if (q->relay->tail_bytes == 0 || chain->writable_bytes == 0) {
		return 0;
	}
	last = &chain->iov[n_pieces(chain) - 1];
	if (mem_write(snap, vq_piece_iova(last) + last->iov_len - 1, &status,
		      1) < 0) {
		return 0;
	}
	chain->tail_bytes = 1;
	return 1;
}

uint32_t relay_copy_out(struct relay_vq *q, const struct relay_req *req,
			uint32_t written)
{
	struct vq_chain *chain = req->chain;
	uint32_t total = chain->writable_bytes;
	uint32_t tail = 0;

	if (q->relay->tail_bytes > 0 && written < total) {
		written = max_of(written, 1U);
		tail = 1;
	}
	(void)relay_place(q->relay, chain, req->is_dense);
	if (copy_written(q, req, 0, written - tail) < 0 ||
	    copy_written(q, req, total - tail, total) < 0) {
		relay_count(&q->counters.n_faults, 1);
		return relay_refuse(q, chain);
	}
	relay_count(&q->counters.n_bytes, written);
	chain->tail_bytes = tail;
	return written;
}
