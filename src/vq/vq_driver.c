/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues, driver side: what both formats have in common. See
 * vq_driver_internal.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <linux/virtio_config.h>
#include <stdlib.h>

#include "base/err.h"
#include "vq/vq_driver_internal.h"

#define CACHE_LINE	 64
#define SPLIT_AVAIL_BASE 6 /* flags, idx, used_event */
#define SPLIT_USED_BASE	 6 /* flags, idx, avail_event */
#define USED_ELEM_BYTES	 8
#define EVENT_BYTES	 4

void vq_layout(uint16_t num, uint64_t features, struct vq_layout *ret)
{
	uint64_t driver_size = SPLIT_AVAIL_BASE + num * sizeof(__le16);
	uint64_t device_size = SPLIT_USED_BASE + num * USED_ELEM_BYTES;

	if (has_bit(features, VIRTIO_F_RING_PACKED)) {
		driver_size = EVENT_BYTES;
		device_size = EVENT_BYTES;
	}
	ret->desc_area = 0;
	ret->driver_area = align_up((uint64_t)num * SHM_DESC_SIZE, CACHE_LINE);
	ret->device_area = align_up(ret->driver_area + driver_size, CACHE_LINE);
	ret->indirect = align_up(ret->device_area + device_size, CACHE_LINE);
	ret->size_bytes = ret->indirect;
	if (has_bit(features, VIRTIO_RING_F_INDIRECT_DESC)) {
		ret->size_bytes +=
			(uint64_t)num * VQ_DRIVER_INDIRECT_MAX * SHM_DESC_SIZE;
	}
}

static int driver_alloc(struct vq_driver *drv, uint16_t num)
{
	drv->bufs = calloc(num, sizeof(*drv->bufs));
	drv->next = calloc(num, sizeof(*drv->next));
	drv->order = calloc(num, sizeof(*drv->order));
	drv->order_idx = calloc(num, sizeof(*drv->order_idx));
	return drv->bufs && drv->next && drv->order && drv->order_idx ? 0
								      : -ENOMEM;
}

int vq_driver_new(uint16_t num, uint64_t features, void *va, uint64_t iova,
		  struct vq_driver **ret)
{
	bool is_packed = has_bit(features, VIRTIO_F_RING_PACKED);
	struct vq_driver *drv;
	struct vq_layout at;

	if (num == 0 || num > VQ_NUM_MAX || (!is_packed && !is_pow2(num)) ||
	    (uintptr_t)va % CACHE_LINE) {
		return err(-EINVAL,
			   "vq: bad ring size %u, or ring memory at "
			   "an odd address",
			   num);
	}
	drv = calloc(1, sizeof(*drv));
	if (!drv || driver_alloc(drv, num) < 0) {
		vq_driver_free(drv);
		return err(-ENOMEM, "vq: out of memory");
	}
	vq_layout(num, features, &at);
	drv->desc = (char *)va + at.desc_area;
	drv->driver_area = (char *)va + at.driver_area;
	drv->device_area = (char *)va + at.device_area;
	drv->indirect = (char *)va + at.indirect;
	drv->indirect_iova = iova + at.indirect;
	drv->num = num;
	drv->is_packed = is_packed;
	drv->has_indirect = has_bit(features, VIRTIO_RING_F_INDIRECT_DESC);
	drv->has_event_idx = has_bit(features, VIRTIO_RING_F_EVENT_IDX);
	drv->is_in_order = has_bit(features, VIRTIO_F_IN_ORDER);
	drv->avail_wrap = true;
	drv->used.wrap = true;
	drv->n_free = num;
	for (unsigned int i = 0; i < num; i++) {
		drv->next[i] = (uint16_t)((i + 1) % num);
	}
	*ret = drv;
	return 0;
}

struct vq_driver *vq_driver_free(struct vq_driver *drv)
{
	if (drv) {
		free(drv->bufs);
		free(drv->next);
		free(drv->order);
		free(drv->order_idx);
		free(drv);
	}
	return NULL;
}

int vq_driver_add(struct vq_driver *drv, const struct vq_sg *sg,
		  unsigned int n_readable, unsigned int n_writable,
		  void *cookie)
{
	if (unlikely(drv->is_broken)) {
		return -EPROTO;
	}
	if (unlikely(!cookie || n_readable > drv->num ||
		     n_writable > drv->num)) {
		return -EINVAL;
	}
	return drv->is_packed ? packed_driver_add(drv, sg, n_readable,
						  n_writable, cookie)
			      : split_driver_add(drv, sg, n_readable,
						 n_writable, cookie);
}

bool vq_driver_publish(struct vq_driver *drv)
{
	bool wants_kick;

	if (drv->n_added == 0) {
		return false;
	}
	wants_kick = drv->is_packed ? packed_driver_publish(drv)
				    : split_driver_publish(drv);
	drv->n_added = 0;
	return wants_kick;
}

/* Buffers in flight that are older than @id. */
static unsigned int n_older(const struct vq_driver *drv, uint16_t id)
{
	unsigned int at = drv->order_idx[id];

	return at >= drv->order_head ? at - drv->order_head
				     : at + drv->num - drv->order_head;
}

/* In-order: all in flight up to @elem were used. Return: 0; -EPROTO */
int vq_driver_begin_batch(struct vq_driver *drv, struct vq_driver_pos pos,
			  const struct vq_driver_elem *elem)
{
	unsigned int n = n_older(drv, (uint16_t)elem->id) + 1;

	if (!drv->is_packed && n > (uint16_t)(drv->used_seen - pos.idx)) {
		return -EPROTO;
	}
	drv->n_batch = (uint16_t)n;
	drv->batch_written = elem->written;
	return 0;
}

int vq_driver_get(struct vq_driver *drv, struct vq_used *ret_used,
		  unsigned int max)
{
	if (unlikely(drv->is_broken)) {
		return -EPROTO;
	}
	return drv->is_packed ? packed_driver_get(drv, ret_used, max)
			      : split_driver_get(drv, ret_used, max);
}

void vq_driver_disable_call(struct vq_driver *drv)
{
	if (drv->is_packed) {
		packed_driver_set_call(drv, false);
	} else {
		split_driver_set_call(drv, false);
	}
}

bool vq_driver_enable_call(struct vq_driver *drv)
{
	if (drv->is_packed) {
		packed_driver_set_call(drv, true);
	} else {
		split_driver_set_call(drv, true);
	}
	/* Our wish before their index; pairs with vq_publish(). */
	shm_full_barrier();
	return vq_driver_has_used(drv);
}

bool vq_driver_has_used(struct vq_driver *drv)
{
	if (drv->is_broken || drv->n_batch) {
		return true;
	}
	return drv->is_packed ? packed_driver_has_used(drv)
			      : split_driver_has_used(drv);
}

unsigned int vq_driver_n_free(const struct vq_driver *drv)
{
	return drv->n_free;
}

unsigned int vq_driver_n_in_flight(const struct vq_driver *drv)
{
	return drv->n_in_flight;
}

void *vq_driver_detach(struct vq_driver *drv)
{
	drv->is_broken = true;
	for (unsigned int i = 0; i < drv->num; i++) {
		uint16_t id = drv->detach_idx;
		void *cookie = drv->bufs[id].cookie;

		vq_driver_order_step(drv, &drv->detach_idx);
		if (cookie) {
			drv->bufs[id].cookie = NULL;
			drv->n_in_flight--;
			return cookie;
		}
	}
	return NULL;
}
