/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dirty log: what the device and the queue have written is marked.
 *
 * Theory of operation
 *
 * A chain is marked when it is completed, from its pieces: the device has
 * written by then, and nobody has been told. The ring is marked right after it
 * was written, which is also the moment when the driver sees it; whoever moves
 * the guest stops the queue before he takes the last bits.
 *
 * Memory is found by its address here, in the table of the log. The used ring
 * of a split queue may have a guest-physical address of its own instead, which
 * counts from its first byte.
 *
 * Source: QEMU docs/interop/vhost-user.rst, "Migration"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vq/vq_internal.h"

static void mark_entries(struct vq *vq, uint64_t iova, uint64_t len);

/* Those of the bytes [from, to) of the writable part that have memory. */
static void mark_written(struct vq *vq, const struct vq_chain *chain,
			 uint64_t from, uint64_t to)
{
	const struct iovec *iov = chain->iov + chain->n_readable;
	uint64_t pos = 0;

	for (unsigned int i = 0; i < chain->n_writable && pos < to; i++) {
		uint64_t end = pos + iov[i].iov_len;
		uint64_t first = max_of(pos, from), last = min_of(end, to);

		if (vq->keeps_iovas && first < last) {
			mark_entries(vq, vq_piece_iova(&iov[i]) + (first - pos),
				     last - first);
		} else if (iov[i].iov_base && first < last) {
			mem_log_mark_va(vq->log.log,
					(char *)iov[i].iov_base + (first - pos),
					(size_t)(last - first));
		}
		pos = end;
	}
}

/* As vq_complete(): a prefix, and tail_bytes at the very end. */
void vq_dirty_chain(struct vq *vq, const struct vq_chain *chain,
		    uint32_t written)
{
	uint64_t total = chain->writable_bytes;
	uint32_t tail = chain->tail_bytes;

	mark_written(vq, chain, 0, written - tail);
	mark_written(vq, chain, total - tail, total);
}

/* By the table, where the area is not one run of our memory. */
static void mark_entries(struct vq *vq, uint64_t iova, uint64_t len)
{
	const struct iotlb_snap *snap = vq->snap->snap;

	while (len) {
		const struct iotlb_entry *e = iotlb_first(snap, iova);
		uint64_t skip, n;

		if (!e) {
			return;
		}
		skip = e->start > iova ? e->start - iova : 0;
		if (skip >= len) {
			return;
		}
		iova += skip;
		len -= skip;
		n = min_of(len - 1, e->last - iova) + 1;
		if (e->va) {
			mem_log_mark_va(vq->log.log, e->va + (iova - e->start),
					(size_t)n);
		}
		iova += n;
		len -= n;
	}
}

void vq_dirty_area(struct vq *vq, const struct vq_area *area, uint64_t off,
		   uint64_t len)
{
	if (area == &vq->device && !vq->is_packed &&
	    vq->log.used_gpa != UINT64_MAX) {
		/* A peer's address: a sum that wraps marks some page of his. */
		mem_log_mark(vq->log.log, vq->log.used_gpa + off, len);
	} else if (area->va) {
		mem_log_mark_va(vq->log.log, area->va + off, (size_t)len);
	} else if (area->is_possible) {
		mark_entries(vq, area->iova + off, len);
	}
}
