/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way of a block request.
 *
 * Theory of operation
 *
 * A request is struct virtio_blk_outhdr and its data, readable, then data and
 * one status byte, writable; the status is the very last writable byte. A
 * request without header or status byte cannot be answered: it is completed
 * with nothing written.
 *
 *   burst of chains --> begin() each: header copied, checked
 *          refused ------------------------------> finish()
 *          reads, writes, flushes: one submit() of all of them
 *          ranges (discard, ...): copied, all checked, one submit() after the
 *          other
 *   blk_done(), in submit() or later ------------> finish()
 *   finish(): status byte, statistics; what ends in the burst is completed as
 *             one, what ends later by itself
 *
 * A request lives in its chain's slot: nothing is allocated on the way. Its
 * pieces are those of the chain. Only where header or status share a piece with
 * the data, that one piece is shortened while the back end has the request, and
 * whole again before the chain is completed.
 *
 * Source: virtio 1.2, "Block Device", "Device Operation"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "dev/blk/class.h"

#define HDR_BYTES sizeof(struct virtio_blk_outhdr)
/* Work of one round, after which others have their turn (H92); one request at
 * least. */
#define ROUND_BYTES (8U << 20)
/* Not a status: the back end has it now. */
#define STATUS_NONE 0xff

static struct blk_req *req_of(const struct blk_vq *q,
			      const struct vq_chain *chain)
{
	return soft_slot(&q->blk->soft, q->idx, chain);
}

/* ---- the end of a request ---- */

/* Bytes that were written in all: @written of data, and the status when it
 * could be put where it belongs. */
static uint32_t put_status(struct vq_chain *chain, uint8_t status,
			   uint32_t written)
{
	const struct iovec *last =
		&chain->iov[chain->n_readable + chain->n_writable - 1];

	if (!last->iov_base) {
		return written;
	}
	((uint8_t *)last->iov_base)[last->iov_len - 1] = status;
	if (written < chain->writable_bytes - 1) {
		chain->tail_bytes = 1;
	}
	return written + 1;
}

static void count(struct blk_req *req, bool has_failed, uint64_t now_ns)
{
	blk_stats_add(&req->q->stats->ops[req->op], req->n_bytes, has_failed,
		      now_ns - req->start_ns);
}

/* What ended in this burst: one look at the clock, one completion. */
static void flush_done(struct blk_vq *q)
{
	struct vq_chain *chains[ARRAY_SIZE(q->done)];
	uint64_t now_ns = q->n_done > 0 ? loop_read_ns(q->loop) : 0;

	for (unsigned int i = 0; i < q->n_done; i++) {
		struct blk_req *req = q->done[i];

		chains[i] = req->chain;
		if (req->op < BLK_OP_N) {
			count(req, req->result < 0, now_ns);
		}
	}
	soft_complete_all(&q->blk->soft, q->idx, chains, q->written, q->n_done);
	q->n_done = 0;
}

static void complete(struct blk_vq *q, struct blk_req *req, uint32_t written)
{
	if (!q->is_in_burst) {
		soft_complete(&q->blk->soft, q->idx, req->chain, written);
		return;
	}
	if (q->n_done == ARRAY_SIZE(q->done)) {
		flush_done(q); /* older ones ended in this burst, too */
	}
	q->done[q->n_done] = req;
	q->written[q->n_done++] = written;
}

static void finish(struct blk_req *req, uint8_t status, uint32_t written)
{
	if (req->cut) {
		*req->cut = req->whole;
	}
	complete(req->q, req, put_status(req->chain, status, written));
}

static uint8_t status_of(int64_t res)
{
	if (res >= 0) {
		return VIRTIO_BLK_S_OK;
	}
	return res == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/* The back end has ended the last, or only, part of a request. */
static void end(struct blk_req *req, int64_t res)
{
	struct blk_vq *q = req->q;
	uint32_t written = 0;

	req->result = res;
	if (req->op == BLK_READ && res > 0) {
		assert((uint64_t)res <= req->len);
		written = (uint32_t)res;
	}
	if (!q->is_in_burst) {
		count(req, res < 0, loop_now_ns(q->loop));
	}
	finish(req, status_of(res), written);
}

/* ---- ranges: discard, write zeroes, secure erase ---- */

static void next_range(struct blk_req *req)
{
	const struct blk_range *range = &req->ranges[req->range_idx++];

	req->offset = range->sector * BLK_SECTOR_BYTES;
	req->len = (uint64_t)range->n_sectors * BLK_SECTOR_BYTES;
	req->may_unmap = range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	req->has_result = false;
	req->is_in_submit = true;
	req->q->blk->backend->submit(req->q, &req, 1);
	req->is_in_submit = false;
}

/* One range after the other, until one fails or takes its time. */
static void run_ranges(struct blk_req *req, int64_t res)
{
	while (res >= 0 && req->range_idx < req->n_ranges) {
		if (req->ranges[req->range_idx].n_sectors == 0) {
			req->range_idx++;
			continue;
		}
		next_range(req);
		if (!req->has_result) {
			return;
		}
		res = req->result;
	}
	end(req, res);
}

void blk_done(struct blk_req *req, int64_t res)
{
	if (likely(req->n_ranges == 0)) {
		end(req, res);
	} else if (req->is_in_submit) {
		req->result = res;
		req->has_result = true;
	} else {
		run_ranges(req, res);
	}
}

/* ---- the begin of a request ---- */

/* Is it made of whole blocks of the disk? */
static bool in_capacity(const struct blk_dev *blk, uint64_t sector,
			uint64_t n_sectors)
{
	uint64_t capacity =
		__atomic_load_n(&blk->capacity_sectors, __ATOMIC_RELAXED);

	return ((sector | n_sectors) & blk->block_mask) == 0 &&
	       range_fits(sector, n_sectors, capacity);
}

static bool is_transfer(const struct blk_dev *blk, uint64_t sector,
			uint32_t n_bytes)
{
	return n_bytes % BLK_SECTOR_BYTES == 0 &&
	       in_capacity(blk, sector, n_bytes / BLK_SECTOR_BYTES);
}

static void cut_piece(struct blk_req *req, struct iovec *piece, size_t from,
		      size_t len)
{
	req->cut = piece;
	req->whole = *piece;
	piece->iov_base = (char *)piece->iov_base + from;
	piece->iov_len = len;
}

/* The writable pieces without the last byte. */
static uint8_t begin_read(struct blk_req *req, uint64_t sector)
{
	struct vq_chain *chain = req->chain;
	struct iovec *last =
		&chain->iov[chain->n_readable + chain->n_writable - 1];
	uint32_t len = chain->writable_bytes - 1;

	if (!is_transfer(req->q->blk, sector, len)) {
		return VIRTIO_BLK_S_IOERR;
	}
	req->offset = sector * BLK_SECTOR_BYTES;
	req->len = len;
	req->iov = chain->iov + chain->n_readable;
	req->n_iov = chain->n_writable;
	if (last->iov_len == 1) {
		req->n_iov--;
	} else {
		cut_piece(req, last, 0, last->iov_len - 1);
	}
	return STATUS_NONE;
}

/* The readable pieces without the header. */
static uint8_t begin_write(struct blk_req *req, uint64_t sector)
{
	const struct blk_dev *blk = req->q->blk;
	struct vq_chain *chain = req->chain;
	uint32_t len = chain->readable_bytes - (uint32_t)HDR_BYTES;
	struct iovec *piece = chain->iov;
	size_t left = HDR_BYTES;

	if (blk->limits.is_read_only || !is_transfer(blk, sector, len)) {
		return VIRTIO_BLK_S_IOERR;
	}
	for (; left > 0 && left >= piece->iov_len; piece++) {
		left -= piece->iov_len;
	}
	req->offset = sector * BLK_SECTOR_BYTES;
	req->len = len;
	req->iov = piece;
	req->n_iov = (unsigned int)(chain->iov + chain->n_readable - piece);
	if (left > 0) {
		cut_piece(req, piece, left, piece->iov_len - left);
	}
	return STATUS_NONE;
}

static uint8_t begin_flush(struct blk_req *req, uint64_t sector)
{
	return sector != 0 ? VIRTIO_BLK_S_IOERR : STATUS_NONE;
}

/* The string is as long as this buffer, padded with NULs. */
static uint8_t get_id(struct blk_req *req, uint64_t sector)
{
	const struct blk_dev *blk = req->q->blk;

	if (sector != 0 || req->chain->writable_bytes - 1 < BLK_ID_BYTES ||
	    vq_chain_write(req->chain, 0, blk->id, BLK_ID_BYTES) < 0) {
		return VIRTIO_BLK_S_IOERR;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t check_range(const struct blk_req *req,
			   const struct blk_range *range)
{
	const struct blk_limits *limits = &req->q->blk->limits;
	const uint32_t max_sectors[BLK_OP_N] = {
		[BLK_DISCARD] = limits->discard_sectors,
		[BLK_WRITE_ZEROES] = limits->write_zeroes_sectors,
		[BLK_SECURE_ERASE] = limits->secure_erase_sectors,
	};
	uint32_t flags = req->op == BLK_WRITE_ZEROES
				 ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
				 : 0;

	if (range->flags & ~flags) {
		return VIRTIO_BLK_S_UNSUPP;
	}
	if (range->n_sectors > max_sectors[req->op] ||
	    !in_capacity(req->q->blk, range->sector, range->n_sectors)) {
		return VIRTIO_BLK_S_IOERR;
	}
	return STATUS_NONE;
}

/* Copies the ranges and checks all, so that a bad one leaves nothing done. */
static uint8_t begin_ranges(struct blk_req *req, uint64_t sector)
{
	struct virtio_blk_discard_write_zeroes wire;
	uint32_t bytes = req->chain->readable_bytes - (uint32_t)HDR_BYTES;
	uint32_t n = bytes / sizeof(wire);
	uint8_t status = STATUS_NONE;

	if (sector != 0 || bytes % sizeof(wire) != 0 || n == 0 ||
	    n > req->q->blk->limits.max_ranges) {
		return VIRTIO_BLK_S_IOERR;
	}
	for (uint32_t i = 0; i < n && status == STATUS_NONE; i++) {
		struct blk_range *range = &req->ranges[i];

		if (vq_chain_read(req->chain,
				  (uint32_t)(HDR_BYTES + i * sizeof(wire)),
				  &wire, sizeof(wire)) < 0) {
			return VIRTIO_BLK_S_IOERR;
		}
		range->sector = le64toh(wire.sector);
		range->n_sectors = le32toh(wire.num_sectors);
		range->flags = le32toh(wire.flags);
		status = check_range(req, range);
		req->n_bytes += (uint64_t)range->n_sectors * BLK_SECTOR_BYTES;
	}
	req->n_ranges = (uint8_t)n;
	return status;
}

/* What the types mean; @feature: the driver may use it with that, 0: always. */
static const struct request_type {
	uint8_t op; /* BLK_OP_N: the back end has nothing to do with it */
	uint8_t feature;
	uint8_t (*begin)(struct blk_req *req, uint64_t sector);
} types[] = {
	[VIRTIO_BLK_T_IN] = { BLK_READ, 0, begin_read },
	[VIRTIO_BLK_T_OUT] = { BLK_WRITE, 0, begin_write },
	[VIRTIO_BLK_T_FLUSH] = { BLK_FLUSH, 0, begin_flush },
	[VIRTIO_BLK_T_GET_ID] = { BLK_OP_N, 0, get_id },
	[VIRTIO_BLK_T_DISCARD] = { BLK_DISCARD, VIRTIO_BLK_F_DISCARD,
				   begin_ranges },
	[VIRTIO_BLK_T_WRITE_ZEROES] = { BLK_WRITE_ZEROES,
					VIRTIO_BLK_F_WRITE_ZEROES,
					begin_ranges },
	[VIRTIO_BLK_T_SECURE_ERASE] = { BLK_SECURE_ERASE,
					VIRTIO_BLK_F_SECURE_ERASE,
					begin_ranges },
};

/* Features that requests are served by. */
static uint64_t features_of(struct blk_dev *blk)
{
	return blk->is_simulator ? blk->soft.device_features
				 : soft_features(&blk->soft);
}

static const struct request_type *find_type(struct blk_dev *blk, uint32_t type)
{
	const struct request_type *t;

	if (type >= ARRAY_SIZE(types)) {
		return NULL;
	}
	t = &types[type];
	if (!t->begin ||
	    (t->feature != 0 && !has_bit(features_of(blk), t->feature))) {
		return NULL;
	}
	return t;
}

/* Is a write on stable storage when it is done, flush or no flush? */
static bool is_write_through(struct blk_dev *blk)
{
	uint64_t features = features_of(blk);

	if (!has_bit(features, VIRTIO_BLK_F_FLUSH)) {
		return true;
	}
	return has_bit(features, VIRTIO_BLK_F_CONFIG_WCE) &&
	       __atomic_load_n(&blk->is_write_through, __ATOMIC_RELAXED);
}

/* Return: STATUS_NONE: the back end has to do something. */
static uint8_t begin(struct blk_req *req, uint32_t type, uint64_t sector)
{
	struct blk_dev *blk = req->q->blk;
	const struct request_type *t = find_type(blk, type);

	if (!t) {
		/* What the kernel's simulator says its clients know. */
		return blk->is_simulator ? VIRTIO_BLK_S_IOERR
					 : VIRTIO_BLK_S_UNSUPP;
	}
	if (req->chain->is_faulty) {
		return VIRTIO_BLK_S_IOERR;
	}
	req->op = t->op;
	return t->begin(req, sector);
}

/*
 * Return: false when there is nothing that an answer could be made of. The
 * header is copied once; a request that was refused has the op BLK_OP_N.
 */
static bool parse(struct blk_vq *q, struct vq_chain *chain, struct blk_req *req,
		  struct virtio_blk_outhdr *ret_hdr)
{
	if (unlikely(chain->writable_bytes == 0 ||
		     vq_chain_read(chain, 0, ret_hdr, sizeof(*ret_hdr)) < 0)) {
		return false;
	}
	req->q = q;
	req->chain = chain;
	req->op = BLK_OP_N;
	req->is_fua = false;
	req->may_unmap = false;
	req->offset = 0;
	req->len = 0;
	req->n_iov = 0;
	req->n_bytes = 0;
	req->n_ranges = 0;
	req->range_idx = 0;
	req->cut = NULL;
	req->result = 0;
	return true;
}

static void refuse(struct blk_req *req, uint8_t status)
{
	uint32_t written = 0;

	/* GET_ID is the only thing that is done here and now. */
	if (status == VIRTIO_BLK_S_OK) {
		written = BLK_ID_BYTES;
	} else {
		blk_stats_refused(req->q->stats);
	}
	req->op = BLK_OP_N;
	finish(req, status, written);
}

struct burst {
	struct blk_req *reqs[SOFT_BURST];
	unsigned int n;
	uint64_t start_ns;
	uint64_t work_bytes;
	bool is_write_through;
};

static void take(struct blk_vq *q, struct vq_chain *chain, struct burst *burst)
{
	struct blk_req *req = req_of(q, chain);
	struct virtio_blk_outhdr hdr;
	uint8_t status;

	if (!parse(q, chain, req, &hdr)) {
		blk_stats_refused(q->stats);
		soft_complete(&q->blk->soft, q->idx, chain, 0);
		return;
	}
	status = begin(req, le32toh(hdr.type), le64toh(hdr.sector));
	if (status != STATUS_NONE) {
		refuse(req, status);
		return;
	}
	req->start_ns = burst->start_ns;
	req->n_bytes += req->len;
	req->is_fua = burst->is_write_through &&
		      (req->op == BLK_WRITE || req->op == BLK_WRITE_ZEROES);
	burst->work_bytes += req->n_bytes;
	if (req->n_ranges > 0) {
		run_ranges(req, 0);
	} else {
		burst->reqs[burst->n++] = req;
	}
}

void blk_submit(struct soft_dev *dev, uint16_t idx, struct vq_chain **chains,
		unsigned int n)
{
	struct blk_dev *blk = blk_dev_of(dev);
	struct blk_vq *q = &blk->vqs[idx];
	struct burst burst;
	unsigned int i;

	burst.n = 0;
	burst.start_ns = loop_now_ns(q->loop);
	burst.work_bytes = 0;
	burst.is_write_through = is_write_through(blk);
	q->is_in_burst = true;
	for (i = 0; i < n && burst.work_bytes < ROUND_BYTES; i++) {
		take(q, chains[i], &burst);
	}
	if (burst.n > 0) {
		blk->backend->submit(q, burst.reqs, burst.n);
	}
	q->is_in_burst = false;
	flush_done(q);
	soft_unfetch(dev, idx, n - i);
}
