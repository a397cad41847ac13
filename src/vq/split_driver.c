/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split rings, driver side. See split.c for the layout.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vq/vq_driver_internal.h"

#define AVAIL_FLAGS	0
#define AVAIL_IDX	2
#define AVAIL_RING	4
#define USED_FLAGS	0
#define USED_IDX	2
#define USED_RING	4
#define USED_ELEM_BYTES 8

_hot_ __le16 *avail16(const struct vq_driver *drv, size_t off)
{
	return (__le16 *)(drv->driver_area + off);
}

_hot_ __le16 *used16(const struct vq_driver *drv, size_t off)
{
	return (__le16 *)(drv->device_area + off);
}

_hot_ uint16_t ring_off(const struct vq_driver *drv, uint16_t idx)
{
	return idx & (uint16_t)(drv->num - 1);
}

_hot_ void store_desc(struct shm_desc_ring *desc, const struct vq_sg *sg,
		      unsigned int flags, uint16_t next)
{
	shm_store64(&desc->addr, sg->iova);
	shm_store64(&desc->meta,
		    shm_split_meta(sg->len, (uint16_t)flags, next));
}

/* Flags of piece @i. */
_hot_ unsigned int piece_flags(const struct vq_driver_chain *chain,
			       unsigned int i)
{
	unsigned int flags = i < chain->n_readable ? 0 : VRING_DESC_F_WRITE;

	return i + 1 < chain->n ? flags | VRING_DESC_F_NEXT : flags;
}

static uint16_t add_indirect(struct vq_driver *drv,
			     const struct vq_driver_chain *chain)
{
	struct shm_desc_ring *desc = (struct shm_desc_ring *)drv->desc;
	uint16_t head = drv->free_head;
	struct shm_desc_ring *table = vq_driver_table(drv, head);
	struct vq_sg sg = {
		.iova = vq_driver_table_iova(drv, head),
		.len = chain->n * SHM_DESC_SIZE,
	};

	for (unsigned int i = 0; i < chain->n; i++) {
		store_desc(&table[i], &chain->sg[i], piece_flags(chain, i),
			   (uint16_t)(i + 1));
	}
	store_desc(&desc[head], &sg, VRING_DESC_F_INDIRECT, 0);
	drv->free_head = drv->next[head];
	drv->bufs[head].last = head;
	return head;
}

static uint16_t add_direct(struct vq_driver *drv,
			   const struct vq_driver_chain *chain)
{
	struct shm_desc_ring *desc = (struct shm_desc_ring *)drv->desc;
	uint16_t head = drv->free_head;
	uint16_t at = head, last = head;

	for (unsigned int i = 0; i < chain->n; i++) {
		uint16_t next = drv->next[at];

		store_desc(&desc[at], &chain->sg[i], piece_flags(chain, i),
			   next);
		last = at;
		at = next;
	}
	drv->free_head = at;
	drv->bufs[head].last = last;
	return head;
}

_hot_ void put_avail(struct vq_driver *drv, uint16_t head)
{
	uint16_t at = ring_off(drv, drv->avail_idx);

	shm_store16(avail16(drv, AVAIL_RING + 2U * at), head);
	drv->avail_idx++;
	drv->n_added++;
}

static __attribute__((noinline)) int
add_chain(struct vq_driver *drv, const struct vq_sg *sg,
	  unsigned int n_readable, unsigned int n_writable, void *cookie)
{
	struct vq_driver_chain chain = {
		.sg = sg,
		.n = n_readable + n_writable,
		.n_readable = n_readable,
	};
	int rc = vq_driver_check(drv, &chain);
	uint16_t head;

	if (unlikely(rc < 0)) {
		return rc;
	}
	head = chain.is_indirect ? add_indirect(drv, &chain)
				 : add_direct(drv, &chain);
	put_avail(drv, head);
	vq_driver_added(drv, head, chain.n_descs, chain.writable_bytes, cookie);
	return 0;
}

int split_driver_add(struct vq_driver *drv, const struct vq_sg *sg,
		     unsigned int n_readable, unsigned int n_writable,
		     void *cookie)
{
	uint16_t head = drv->free_head;

	if (unlikely(n_readable + n_writable != 1)) {
		return add_chain(drv, sg, n_readable, n_writable, cookie);
	}
	if (unlikely(drv->n_free == 0)) {
		return -ENOSPC;
	}
	store_desc((struct shm_desc_ring *)drv->desc + head, sg,
		   n_writable ? VRING_DESC_F_WRITE : 0, 0);
	drv->free_head = drv->next[head];
	drv->bufs[head].last = head;
	put_avail(drv, head);
	vq_driver_added(drv, head, 1, n_writable ? sg->len : 0, cookie);
	return 0;
}

bool split_driver_publish(struct vq_driver *drv)
{
	uint16_t old_idx = (uint16_t)(drv->avail_idx - drv->n_added);

	/* [avail-idx], pairs with split.c */
	shm_store_rel16(avail16(drv, AVAIL_IDX), drv->avail_idx);
	/* Our index before their wish; pairs with vq_enable_kick(). */
	shm_full_barrier();
	if (!drv->has_event_idx) {
		return !(shm_load16(used16(drv, USED_FLAGS)) &
			 VRING_USED_F_NO_NOTIFY);
	}
	return shm_crossed(
		shm_load16(used16(drv, USED_RING + drv->num * USED_ELEM_BYTES)),
		drv->avail_idx, old_idx);
}

_hot_ int peek(struct vq_driver *drv, struct vq_driver_pos pos,
	       struct vq_driver_elem *ret)
{
	uint16_t at = ring_off(drv, pos.idx);
	const __le32 *elem;

	if (drv->used_seen == pos.idx) {
		/* [used-idx], pairs with split.c */
		drv->used_seen = shm_load_acq16(used16(drv, USED_IDX));
		if (drv->used_seen == pos.idx) {
			return 0;
		}
		if ((uint16_t)(drv->used_seen - pos.idx) > drv->n_in_flight) {
			return -EPROTO;
		}
	}
	elem = (const __le32 *)(drv->device_area + USED_RING +
				at * USED_ELEM_BYTES);
	ret->id = shm_load32(&elem[0]);
	ret->written = shm_load32(&elem[1]);
	return 1;
}

/* In order, the descriptors behind the free ones come free: nothing to do. */
_hot_ void release(struct vq_driver *drv, struct vq_driver_pos *pos,
		   uint16_t id)
{
	pos->idx++;
	if (!drv->is_in_order) {
		drv->next[drv->bufs[id].last] = drv->free_head;
		drv->free_head = id;
	}
}

int split_driver_get(struct vq_driver *drv, struct vq_used *ret_used,
		     unsigned int max)
{
	return unlikely(drv->is_in_order)
		       ? vq_driver_get_burst(drv, ret_used, max, true, peek,
					     release)
		       : vq_driver_get_burst(drv, ret_used, max, false, peek,
					     release);
}

bool split_driver_has_used(struct vq_driver *drv)
{
	struct vq_driver_elem elem;

	return peek(drv, drv->used, &elem) != 0;
}

void split_driver_set_call(struct vq_driver *drv, bool is_enabled)
{
	if (drv->has_event_idx) {
		/* An event that lies behind is as good as "no". */
		shm_store16(avail16(drv, AVAIL_RING + 2U * drv->num),
			    (uint16_t)(drv->used.idx - !is_enabled));
		return;
	}
	shm_store16(avail16(drv, AVAIL_FLAGS),
		    is_enabled ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
}
