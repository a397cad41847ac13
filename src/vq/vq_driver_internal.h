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
 * was freed last is used next, since it is in the cache; with IN_ORDER what
 * was freed first, since the ring has to be used round.
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
	uint16_t order_idx; /* in-order: position in order[] */
};

struct vq_driver {
	struct vq_driver_buf *bufs; /* by id */
	uint16_t *next; /* free list */
	uint16_t *order; /* in-order: ids in flight, ring-wise */
	char *desc;
	char *driver_area;
	char *device_area;
	char *indirect;
	uint64_t indirect_iova;

	uint32_t n_free;
	uint32_t n_in_flight;
	uint32_t n_added; /* not published; packed: descriptors */
	uint16_t free_head;
	uint16_t free_tail;
	uint16_t avail_idx; /* next to fill; packed: a position */
	uint16_t used_idx; /* next to look at; packed: a position */
	uint16_t used_seen; /* split: device's index, last we looked */
	uint16_t detach_idx;
	uint16_t first_idx; /* packed: first of what is not published */
	uint64_t first_meta; /* packed: what goes there when it is */
	bool avail_wrap;
	bool used_wrap;
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

struct vq_driver_chain {
	const struct vq_sg *sg;
	unsigned int n;
	unsigned int n_readable;
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
 * split_driver.c, packed_driver.c. add: room was checked; returns the id.
 * peek: the next used buffer; returns 1, 0 (none) or -EPROTO. free: the id, and
 * steps over what told it.
 */
uint16_t split_driver_add(struct vq_driver *drv,
			  const struct vq_driver_chain *chain);
bool split_driver_publish(struct vq_driver *drv);
int split_driver_peek(struct vq_driver *drv, struct vq_driver_elem *ret);
void split_driver_free(struct vq_driver *drv, uint16_t id);
void split_driver_set_call(struct vq_driver *drv, bool is_enabled);

uint16_t packed_driver_add(struct vq_driver *drv,
			   const struct vq_driver_chain *chain);
bool packed_driver_publish(struct vq_driver *drv);
int packed_driver_peek(struct vq_driver *drv, struct vq_driver_elem *ret);
void packed_driver_free(struct vq_driver *drv, uint16_t id);
void packed_driver_set_call(struct vq_driver *drv, bool is_enabled);

#endif
