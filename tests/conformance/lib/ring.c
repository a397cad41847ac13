/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tiny virtio driver's side of a virtqueue: what both formats share, and the
 * choice between them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "ring.h"

#include <string.h>

#include "ring_internal.h"

void ring_init(struct ring *r, bool is_packed, uint16_t num, char *va,
	       uint64_t iova)
{
	memset(r, 0, sizeof(*r));
	memset(va, 0, RING_BYTES);
	r->is_packed = is_packed;
	r->num = num;
	r->va = va;
	r->iova = iova;
	r->avail_wrap = r->used_wrap = r->kicked_wrap = is_packed;
	r->n_free = r->n_free_slots = num;
	/* The last one freed is the first one taken: 0, 1, 2, ... */
	for (uint16_t i = 0; i < num; i++) {
		r->free_ids[i] = (uint16_t)(num - 1 - i);
	}
}

uint32_t ring_initial_base(const struct ring *r)
{
	return r->is_packed ? 0x80008000 : 0;
}

uint32_t ring_base(const struct ring *r)
{
	if (!r->is_packed) {
		return r->avail_idx;
	}
	return r->avail_idx | (uint32_t)r->avail_wrap << 15 |
	       (uint32_t)r->avail_idx << 16 | (uint32_t)r->avail_wrap << 31;
}

void ring_set_base(struct ring *r, uint32_t base)
{
	if (r->is_packed) {
		r->avail_idx = base & 0x7fff;
		r->avail_wrap = (base >> 15) & 1;
		r->used_idx = (base >> 16) & 0x7fff;
		r->used_wrap = (base >> 31) & 1;
	} else {
		r->avail_idx = r->used_idx = (uint16_t)base;
		ring_avail(r)->idx = r->avail_idx;
		ring_used(r)->idx = r->used_idx;
	}
	r->kicked_idx = r->avail_idx;
	r->kicked_wrap = r->avail_wrap;
}

struct vring_desc *ring_split_descs(struct ring *r)
{
	return (struct vring_desc *)r->va;
}

struct vring_packed_desc *ring_packed_descs(struct ring *r)
{
	return (struct vring_packed_desc *)r->va;
}

struct vring_avail *ring_avail(struct ring *r)
{
	return (struct vring_avail *)(r->va + RING_DRIVER);
}

struct vring_used *ring_used(struct ring *r)
{
	return (struct vring_used *)(r->va + RING_DEVICE);
}

struct vring_packed_desc_event *ring_driver_event(struct ring *r)
{
	return (struct vring_packed_desc_event *)(r->va + RING_DRIVER);
}

struct vring_packed_desc_event *ring_device_event(struct ring *r)
{
	return (struct vring_packed_desc_event *)(r->va + RING_DEVICE);
}

#define TABLE_BYTES (RING_INDIRECT_MAX * sizeof(struct vring_desc))
_Static_assert(RING_TABLES + RING_NUM_MAX * TABLE_BYTES <= RING_BYTES,
	       "a table for each head");

struct vring_desc *ring_table(struct ring *r, uint16_t head)
{
	return (struct vring_desc *)(r->va + RING_TABLES + head * TABLE_BYTES);
}

uint64_t ring_table_iova(const struct ring *r, uint16_t head)
{
	return r->iova + RING_TABLES + head * TABLE_BYTES;
}

int ring_add(struct ring *r, const struct ring_piece *pieces, unsigned int n,
	     bool is_indirect)
{
	return r->is_packed ? packed_add(r, pieces, n, is_indirect)
			    : split_add(r, pieces, n, is_indirect);
}

bool ring_pop(struct ring *r, uint16_t *ret_id, uint32_t *ret_len)
{
	return r->is_packed ? packed_pop(r, ret_id, ret_len)
			    : split_pop(r, ret_id, ret_len);
}

void ring_arm(struct ring *r)
{
	if (r->is_packed) {
		packed_arm(r);
	} else {
		split_arm(r);
	}
	/* The request for an interrupt before the last look at the ring. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void ring_disarm(struct ring *r)
{
	if (r->is_packed) {
		ring_driver_event(r)->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	} else if (!r->has_event_idx) {
		ring_avail(r)->flags = VRING_AVAIL_F_NO_INTERRUPT;
	}
}

bool ring_wants_kick(struct ring *r)
{
	bool wants;

	/* What was added before the look at what the device asked for. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wants = r->is_packed ? packed_wants_kick(r) : split_wants_kick(r);
	r->kicked_idx = r->avail_idx;
	r->kicked_wrap = r->avail_wrap;
	return wants;
}
