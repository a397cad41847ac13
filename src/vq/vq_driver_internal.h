/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the driver side share.
 *
 * Theory of operation
 *
 * The device can write all of the ring's memory, so nothing in it is read back
 * but what the device is to tell: which ids it used, and its wishes about
 * notification. Free descriptors, lengths and cookies are kept here, by id
 * (split: head descriptor).
 *
 * Free ids (split: descriptors, packed: buffer ids) are a list in next[]. What
 * was freed last is used next, since it is in the cache. Split rings with
 * IN_ORDER have to be used round: there next[] is a ring that never changes.
 *
 * With IN_ORDER the device may name only the last of several used buffers.
 * Those before it count as written in full.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VQ_VQ_DRIVER_INTERNAL_H
#define VQ_VQ_DRIVER_INTERNAL_H

#include <errno.h>

#include "vq/shm.h"
#include "vq/vq_driver.h"

#define _hot_ static inline __attribute__((always_inline))

/* A buffer that the device has; @cookie is NULL when the id is free. */
struct vq_driver_buf {
	void *cookie;
	uint32_t writable_bytes;
	uint16_t n_descs; /* ring descriptors that it takes */
	uint16_t last; /* split: its last descriptor */
};

/* Where the driver stands in the used part of the ring. */
struct vq_driver_pos {
	uint16_t idx; /* packed: a position */
	bool wrap; /* packed */
};

struct vq_driver {
	struct vq_driver_buf *bufs; /* by id */
	uint16_t *next; /* free list */
	uint16_t *order; /* in-order: ids in flight, ring-wise */
	uint16_t *order_idx; /* in-order: by id, its place in order[] */
	char *desc;
	char *driver_area;
	char *device_area;
	char *indirect;
	uint64_t indirect_iova;

	uint32_t n_free;
	uint32_t n_in_flight;
	uint32_t n_added; /* not published; packed: descriptors */
	uint16_t free_head;
	uint16_t avail_idx; /* next to fill; packed: a position */
	struct vq_driver_pos used; /* next to look at */
	uint16_t used_seen; /* split: device's index, last we looked */
	uint16_t detach_idx;
	uint16_t first_idx; /* packed: first of what is not published */
	uint64_t first_meta; /* packed: what goes there when it is */
	bool avail_wrap;
	bool is_broken;

	/* in-order: a batch that the device named by its last id */
	uint16_t order_head;
	uint16_t order_tail;
	uint16_t n_batch;
	uint32_t batch_written;

	/* set by vq_driver_new(), then read-only */
	bool is_packed;
	bool has_indirect;
	bool has_event_idx;
	bool is_in_order;
	uint16_t num;
};

/* A buffer to be added, checked. */
struct vq_driver_chain {
	const struct vq_sg *sg;
	unsigned int n;
	unsigned int n_readable;
	unsigned int n_descs; /* ring descriptors that it takes */
	uint32_t writable_bytes;
	bool is_indirect;
};

/* A used buffer as the ring has it, not checked. */
struct vq_driver_elem {
	uint32_t id;
	uint32_t written;
};

/* The table of an id. */
_hot_ struct shm_desc_ring *vq_driver_table(const struct vq_driver *drv,
					    uint16_t id)
{
	return (struct shm_desc_ring *)drv->indirect +
	       (size_t)id * VQ_DRIVER_INDIRECT_MAX;
}

_hot_ uint64_t vq_driver_table_iova(const struct vq_driver *drv, uint16_t id)
{
	return drv->indirect_iova +
	       (uint64_t)id * VQ_DRIVER_INDIRECT_MAX * SHM_DESC_SIZE;
}

/*
 * @chain: sg, n and n_readable are set; the rest is filled in.
 * Return: 0; -EINVAL; -ENOSPC; see vq_driver_add()
 */
_hot_ int vq_driver_check(const struct vq_driver *drv,
			  struct vq_driver_chain *chain)
{
	uint64_t total = 0, writable = 0;

	if (unlikely(chain->n == 0 || chain->n > drv->num)) {
		return -EINVAL;
	}
	for (unsigned int i = 0; i < chain->n; i++) {
		total += chain->sg[i].len;
		writable += i < chain->n_readable ? 0 : chain->sg[i].len;
	}
	if (unlikely(total > UINT32_MAX)) {
		return -EINVAL;
	}
	chain->writable_bytes = (uint32_t)writable;
	chain->is_indirect = drv->has_indirect &&
			     chain->n <= VQ_DRIVER_INDIRECT_MAX;
	chain->n_descs = chain->is_indirect ? 1 : chain->n;
	return unlikely(chain->n_descs > drv->n_free) ? -ENOSPC : 0;
}

_hot_ void vq_driver_order_step(const struct vq_driver *drv, uint16_t *at)
{
	*at = (uint16_t)(*at + 1 == drv->num ? 0 : *at + 1);
}

/* The descriptors are written: the buffer is in flight as @id. */
_hot_ void vq_driver_added(struct vq_driver *drv, uint16_t id,
			   unsigned int n_descs, uint32_t writable_bytes,
			   void *cookie)
{
	struct vq_driver_buf *buf = &drv->bufs[id];

	buf->cookie = cookie;
	buf->writable_bytes = writable_bytes;
	buf->n_descs = (uint16_t)n_descs;
	drv->n_free -= n_descs;
	drv->n_in_flight++;
	if (drv->is_in_order) {
		drv->order[drv->order_tail] = id;
		drv->order_idx[id] = drv->order_tail;
		vq_driver_order_step(drv, &drv->order_tail);
	}
}

/* The used buffer at @pos. Return: 1; 0: none; -EPROTO */
typedef int (*vq_driver_peek_fn)(struct vq_driver *drv,
				 struct vq_driver_pos pos,
				 struct vq_driver_elem *ret);
/* Makes the id free, and steps over what the ring has of it. */
typedef void (*vq_driver_release_fn)(struct vq_driver *drv,
				     struct vq_driver_pos *pos, uint16_t id);

/* The same, checked: ids that the device was not given, lies on length. */
_hot_ int vq_driver_next(struct vq_driver *drv, struct vq_driver_pos pos,
			 struct vq_driver_elem *ret, vq_driver_peek_fn peek)
{
	int rc = peek(drv, pos, ret);

	if (rc > 0 &&
	    unlikely(ret->id >= drv->num || !drv->bufs[ret->id].cookie ||
		     ret->written > drv->bufs[ret->id].writable_bytes)) {
		return -EPROTO;
	}
	return rc;
}

int vq_driver_begin_batch(struct vq_driver *drv, struct vq_driver_pos pos,
			  const struct vq_driver_elem *elem);

/* In-order: the oldest buffer, when the device used it or a younger one. */
_hot_ int vq_driver_next_in_order(struct vq_driver *drv,
				  struct vq_driver_pos pos,
				  struct vq_driver_elem *ret,
				  vq_driver_peek_fn peek)
{
	if (drv->n_batch == 0) {
		struct vq_driver_elem elem;
		int rc = vq_driver_next(drv, pos, &elem, peek);

		if (rc <= 0) {
			return rc;
		}
		rc = vq_driver_begin_batch(drv, pos, &elem);
		if (rc < 0) {
			return rc;
		}
	}
	drv->n_batch--;
	ret->id = drv->order[drv->order_head];
	ret->written = drv->n_batch ? drv->bufs[ret->id].writable_bytes
				    : drv->batch_written;
	vq_driver_order_step(drv, &drv->order_head);
	return 1;
}

/*
 * vq_driver_get(), made for one format and order: all functions are inlined.
 */
_hot_ int vq_driver_get_burst(struct vq_driver *drv, struct vq_used *ret_used,
			      unsigned int max, bool is_in_order,
			      vq_driver_peek_fn peek,
			      vq_driver_release_fn release)
{
	struct vq_driver_pos pos = drv->used;
	uint32_t n_descs = 0;
	unsigned int i;
	int rc = 0;

	for (i = 0; i < max; i++) {
		struct vq_driver_elem elem;
		struct vq_driver_buf *buf;

		rc = is_in_order
			     ? vq_driver_next_in_order(drv, pos, &elem, peek)
			     : vq_driver_next(drv, pos, &elem, peek);
		if (rc <= 0) {
			break;
		}
		buf = &drv->bufs[elem.id];
		ret_used[i].written = elem.written;
		ret_used[i].cookie = buf->cookie;
		buf->cookie = NULL;
		n_descs += buf->n_descs;
		release(drv, &pos, (uint16_t)elem.id);
	}
	drv->used = pos;
	drv->n_free += n_descs;
	drv->n_in_flight -= i;
	if (unlikely(rc < 0)) {
		drv->is_broken = true;
		return i ? (int)i : rc;
	}
	return (int)i;
}

/* split_driver.c, packed_driver.c: as vq_driver.h, @n is not checked */
int split_driver_add(struct vq_driver *drv, const struct vq_sg *sg,
		     unsigned int n_readable, unsigned int n_writable,
		     void *cookie);
bool split_driver_publish(struct vq_driver *drv);
int split_driver_get(struct vq_driver *drv, struct vq_used *ret_used,
		     unsigned int max);
bool split_driver_has_used(struct vq_driver *drv);
void split_driver_set_call(struct vq_driver *drv, bool is_enabled);

int packed_driver_add(struct vq_driver *drv, const struct vq_sg *sg,
		      unsigned int n_readable, unsigned int n_writable,
		      void *cookie);
bool packed_driver_publish(struct vq_driver *drv);
int packed_driver_get(struct vq_driver *drv, struct vq_used *ret_used,
		      unsigned int max);
bool packed_driver_has_used(struct vq_driver *drv);
void packed_driver_set_call(struct vq_driver *drv, bool is_enabled);

#endif
