/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies of buffers that have no address in this process.
 *
 * Theory of operation
 *
 * The walk leaves a list of pieces in foreign memory. At fetch each gets room
 * in the slot's copy memory and readable ones are read in; at completion the
 * part of the writable ones that was written is written back, with the
 * snapshot that the chain was translated with. Not a byte that the device did
 * not write goes out: the memory has the bytes of earlier chains in it.
 *
 * The memory grows to the largest chain that the slot has seen, while all
 * slots together stay below VQ_BOUNCE_HELD_MAX; when they would not, what idle
 * slots hold is freed first, then fetching waits for completions.
 *
 * Pieces of pages and of sectors are aligned as such, so that a device can do
 * direct I/O on them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <stdlib.h>

#include "vq/vq_internal.h"

#define PAGE_BYTES   4096
#define SECTOR_BYTES 512
#define PIECE_ALIGN  16

static uint64_t piece_off(uint64_t end, uint32_t len)
{
	if (len >= PAGE_BYTES) {
		return align_up(end, PAGE_BYTES);
	}
	return align_up(end, len >= SECTOR_BYTES ? SECTOR_BYTES : PIECE_ALIGN);
}

static void bounce_free(struct vq *vq, struct vq_bounce *bounce)
{
	free(bounce->mem);
	vq->bounce_held -= bounce->size;
	*bounce = (struct vq_bounce){ 0 };
}

static void bounce_free_idle(struct vq *vq)
{
	for (unsigned int i = 0; i < vq->num; i++) {
		if (vq->bounces[i].mem && !vq->is_busy[i]) {
			bounce_free(vq, &vq->bounces[i]);
		}
	}
}

void vq_bounce_free_all(struct vq *vq)
{
	for (unsigned int i = 0; i < vq->num; i++) {
		if (vq->bounces[i].mem) {
			bounce_free(vq, &vq->bounces[i]);
		}
	}
}

/* At least @size bytes; what was in it is lost. */
static int bounce_reserve(struct vq *vq, struct vq_bounce *bounce, size_t size)
{
	if (size <= bounce->size) {
		return 0;
	}
	if (bounce->mem) {
		bounce_free(vq, bounce);
	}
	size = align_up(size, PAGE_BYTES);
	if (size > VQ_BOUNCE_HELD_MAX - vq->bounce_held) {
		bounce_free_idle(vq);
	}
	if (size > VQ_BOUNCE_HELD_MAX - vq->bounce_held) {
		return VQ_STARVED;
	}
	bounce->mem = aligned_alloc(PAGE_BYTES, size);
	if (!bounce->mem) {
		return VQ_BREAK_TOO_BIG;
	}
	bounce->size = size;
	vq->bounce_held += size;
	return 0;
}

/* Return: false: it cannot be read, and is a hole now. */
static bool bounce_read(struct vq *vq, struct iovec *iov, uint64_t iova)
{
	if (mem_read(vq->snap->snap, iova, iov->iov_base, iov->iov_len) < 0) {
		iov->iov_base = NULL;
		return false;
	}
	return true;
}

/* Gives each piece its place; reads in, or notes for writing out. */
static void bounce_place(struct vq *vq, struct vq_slot *slot,
			 struct vq_bounce *bounce, uint32_t n_pieces)
{
	struct vq_chain *chain = &slot->chain;
	uint32_t iov_idx = chain->n_readable;
	uint64_t pos = 0; /* of iov_idx, in the writable part */
	uint64_t end = 0;

	for (uint32_t i = 0; i < n_pieces; i++) {
		const struct vq_piece *piece = &vq->pieces[i];
		struct iovec *iov = &chain->iov[piece->iov_idx];
		uint64_t off = piece_off(end, piece->len);

		end = off + piece->len;
		iov->iov_base = bounce->mem + off;
		if (piece->iov_idx < chain->n_readable) {
			if (!bounce_read(vq, iov, piece->iova)) {
				chain->is_faulty = true;
			}
			continue;
		}
		for (; iov_idx < piece->iov_idx; iov_idx++) {
			pos += chain->iov[iov_idx].iov_len;
		}
		bounce->copies[bounce->n_copies++] = (struct vq_copy){
			.iova = piece->iova,
			.mem = iov->iov_base,
			.pos = (uint32_t)pos,
			.len = piece->len,
		};
	}
}

/**
 * vq_bounce_in() - give the foreign pieces of a chain memory here
 * @slot: chain's pieces are known; is_faulty is set when one cannot be read
 * @n_pieces: in vq->pieces, > 0
 *
 * Return: 0; VQ_STARVED; VQ_BREAK_TOO_BIG
 */
int vq_bounce_in(struct vq *vq, struct vq_slot *slot, uint32_t n_pieces)
{
	struct vq_bounce *bounce = &vq->bounces[slot - vq->slots];
	uint64_t end = 0;
	int rc;

	for (uint32_t i = 0; i < n_pieces; i++) {
		end = piece_off(end, vq->pieces[i].len) + vq->pieces[i].len;
	}
	if (end > VQ_BOUNCE_MAX) {
		return VQ_BREAK_TOO_BIG;
	}
	end = align_up(end, PIECE_ALIGN);
	rc = bounce_reserve(vq, bounce,
			    end + n_pieces * sizeof(struct vq_copy));
	if (rc) {
		return rc;
	}
	bounce->copies = (struct vq_copy *)(bounce->mem + end);
	bounce->n_copies = 0;
	slot->flags |= SLOT_HAS_COPIES;
	bounce_place(vq, slot, bounce, n_pieces);
	return 0;
}

/* Writes those of the bytes [from, to) of the writable part that are in it. */
static int bounce_write(const struct iotlb_snap *snap,
			const struct vq_copy *copy, uint64_t from, uint64_t to)
{
	uint64_t off;

	from = max_of(from, (uint64_t)copy->pos);
	to = min_of(to, (uint64_t)copy->pos + copy->len);
	if (from >= to) {
		return 0;
	}
	off = from - copy->pos;
	return mem_write(snap, copy->iova + off, copy->mem + off, to - from);
}

/**
 * vq_bounce_out() - write back what the device wrote
 * @slot: of a chain with copies
 * @written: as of vq_complete()
 *
 * Return: @written; less when the driver's memory is gone: the bytes before
 */
uint32_t vq_bounce_out(struct vq *vq, struct vq_slot *slot, uint32_t written)
{
	const struct vq_bounce *bounce = &vq->bounces[slot - vq->slots];
	const struct iotlb_snap *snap = vq->snaps[slot->snap].snap;
	uint32_t tail = slot->chain.tail_bytes;
	uint32_t total = slot->chain.writable_bytes;
	uint32_t prefix = written - tail;

	for (uint32_t i = 0; i < bounce->n_copies; i++) {
		const struct vq_copy *copy = &bounce->copies[i];
		int rc = bounce_write(snap, copy, 0, prefix);

		if (rc == 0) {
			rc = bounce_write(snap, copy, total - tail, total);
		}
		if (rc < 0) {
			vq_count(&vq->counters.n_faults, 1);
			return min_of(prefix, copy->pos);
		}
	}
	return written;
}
