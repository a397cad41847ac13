/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packed rings, driver side. See packed.c for the layout.
 *
 * Theory of operation
 *
 * Of all that was added since the last publication only the very first
 * descriptor is held back: the device goes through the ring one by one and
 * cannot see what lies behind it. Publishing stores its flags.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vq/vq_driver_internal.h"

#define FLAG_AVAIL (1U << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  (1U << VRING_PACKED_DESC_F_USED)
#define EVENT_WRAP (1U << VRING_PACKED_EVENT_F_WRAP_CTR)
#define EVENT_MASK 3

_hot_ struct shm_desc_ring *desc_at(const struct vq_driver *drv, uint16_t idx)
{
	return (struct shm_desc_ring *)drv->desc + idx;
}

_hot_ void step(const struct vq_driver *drv, uint16_t *idx, bool *wrap,
		unsigned int n)
{
	unsigned int to = *idx + n;

	if (to >= drv->num) {
		to -= drv->num;
		*wrap = !*wrap;
	}
	*idx = (uint16_t)to;
}

/* The next ring descriptor; shown at once unless all hangs on it. */
_hot_ void put_desc(struct vq_driver *drv, const struct vq_sg *sg, uint16_t id,
		    unsigned int flags)
{
	struct shm_desc_ring *desc = desc_at(drv, drv->avail_idx);
	uint64_t meta;

	flags |= drv->avail_wrap ? FLAG_AVAIL : FLAG_USED;
	meta = shm_packed_meta(sg->len, id, (uint16_t)flags);
	shm_store64(&desc->addr, sg->iova);
	if (drv->n_added == 0) {
		drv->first_idx = drv->avail_idx;
		drv->first_meta = meta;
	} else {
		shm_store64(&desc->meta, meta);
	}
	drv->n_added++;
	step(drv, &drv->avail_idx, &drv->avail_wrap, 1);
}

static void fill_table(struct shm_desc_ring *table,
		       const struct vq_driver_chain *chain)
{
	for (unsigned int i = 0; i < chain->n; i++) {
		unsigned int flags = i < chain->n_readable ? 0
							   : VRING_DESC_F_WRITE;

		shm_store64(&table[i].addr, chain->sg[i].iova);
		shm_store64(&table[i].meta, shm_packed_meta(chain->sg[i].len, 0,
							    (uint16_t)flags));
	}
}

static void put_direct(struct vq_driver *drv,
		       const struct vq_driver_chain *chain, uint16_t id)
{
	for (unsigned int i = 0; i < chain->n; i++) {
		unsigned int flags = i < chain->n_readable ? 0
							   : VRING_DESC_F_WRITE;

		if (i + 1 < chain->n) {
			flags |= VRING_DESC_F_NEXT;
		}
		put_desc(drv, &chain->sg[i], id, flags);
	}
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
	uint16_t id = drv->free_head;

	if (unlikely(rc < 0)) {
		return rc;
	}
	drv->free_head = drv->next[id];
	if (chain.is_indirect) {
		struct vq_sg table = {
			.iova = vq_driver_table_iova(drv, id),
			.len = chain.n * SHM_DESC_SIZE,
		};

		fill_table(vq_driver_table(drv, id), &chain);
		put_desc(drv, &table, id, VRING_DESC_F_INDIRECT);
	} else {
		put_direct(drv, &chain, id);
	}
	vq_driver_added(drv, id, chain.n_descs, chain.writable_bytes, cookie);
	return 0;
}

int packed_driver_add(struct vq_driver *drv, const struct vq_sg *sg,
		      unsigned int n_readable, unsigned int n_writable,
		      void *cookie)
{
	uint16_t id = drv->free_head;

	if (unlikely(n_readable + n_writable != 1)) {
		return add_chain(drv, sg, n_readable, n_writable, cookie);
	}
	if (unlikely(drv->n_free == 0)) {
		return -ENOSPC;
	}
	drv->free_head = drv->next[id];
	put_desc(drv, sg, id, n_writable ? VRING_DESC_F_WRITE : 0);
	vq_driver_added(drv, id, 1, n_writable ? sg->len : 0, cookie);
	return 0;
}

bool packed_driver_publish(struct vq_driver *drv)
{
	uint16_t flags, off, event;
	uint32_t word;

	/* [packed-avail], pairs with packed.c */
	shm_store_rel64(&desc_at(drv, drv->first_idx)->meta, drv->first_meta);
	/* Our descriptors before their wish; pairs with vq_enable_kick(). */
	shm_full_barrier();
	word = shm_load32((const __le32 *)drv->device_area);
	flags = shm_event_flags(word) & EVENT_MASK;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !drv->has_event_idx) {
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	}
	off = shm_event_off_wrap(word);
	event = off & (uint16_t)(EVENT_WRAP - 1);
	if (!!(off & EVENT_WRAP) != drv->avail_wrap) {
		event = (uint16_t)(event - drv->num);
	}
	return shm_crossed(event, drv->avail_idx,
			   (uint16_t)(drv->avail_idx - drv->n_added));
}

_hot_ int peek(struct vq_driver *drv, struct vq_driver_pos pos,
	       struct vq_driver_elem *ret)
{
	/* [packed-used], pairs with packed.c */
	uint64_t meta = shm_load_acq64(&desc_at(drv, pos.idx)->meta);
	uint16_t flags = shm_packed_flags(meta);

	if (!!(flags & FLAG_AVAIL) != pos.wrap ||
	    !!(flags & FLAG_USED) != pos.wrap) {
		return 0;
	}
	ret->id = shm_packed_id(meta);
	ret->written = flags & VRING_DESC_F_WRITE ? shm_desc_len(meta) : 0;
	return 1;
}

_hot_ void release(struct vq_driver *drv, struct vq_driver_pos *pos,
		   uint16_t id)
{
	step(drv, &pos->idx, &pos->wrap, drv->bufs[id].n_descs);
	drv->next[id] = drv->free_head;
	drv->free_head = id;
}

int packed_driver_get(struct vq_driver *drv, struct vq_used *ret_used,
		      unsigned int max)
{
	return unlikely(drv->is_in_order)
		       ? vq_driver_get_burst(drv, ret_used, max, true, peek,
					     release)
		       : vq_driver_get_burst(drv, ret_used, max, false, peek,
					     release);
}

bool packed_driver_has_used(struct vq_driver *drv)
{
	struct vq_driver_elem elem;

	return peek(drv, drv->used, &elem) != 0;
}

void packed_driver_set_call(struct vq_driver *drv, bool is_enabled)
{
	uint16_t flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	uint16_t off_wrap = 0;

	if (is_enabled && drv->has_event_idx) {
		off_wrap = (uint16_t)(drv->used.idx |
				      (drv->used.wrap ? EVENT_WRAP : 0));
		flags = VRING_PACKED_EVENT_FLAG_DESC;
	} else if (is_enabled) {
		flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
	shm_store32((__le32 *)drv->driver_area,
		    shm_event_word(off_wrap, flags));
}
