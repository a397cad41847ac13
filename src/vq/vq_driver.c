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
	return drv->bufs && drv->next && drv->order ? 0 : -ENOMEM;
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
	drv->used_wrap = true;
	drv->n_free = num;
	drv->free_tail = (uint16_t)(num - 1);
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
		free(drv);
	}
	return NULL;
}

/* Sums the pieces up. Return: 0; -EINVAL 4 GiB or more */
_hot_ int sum_pieces(const struct vq_driver_chain *chain,
		     uint32_t *ret_writable)
{
	uint64_t readable = 0, writable = 0;

	for (unsigned int i = 0; i < chain->n; i++) {
		if (i < chain->n_readable) {
			readable += chain->sg[i].len;
		} else {
			writable += chain->sg[i].len;
		}
	}
	if (readable + writable > UINT32_MAX) {
		return -EINVAL;
	}
	*ret_writable = (uint32_t)writable;
	return 0;
}

_hot_ void order_step(const struct vq_driver *drv, uint16_t *at)
{
	*at = (uint16_t)(*at + 1 == drv->num ? 0 : *at + 1);
}

_hot_ void order_push(struct vq_driver *drv, uint16_t id)
{
	drv->order[drv->order_tail] = id;
	drv->bufs[id].order_idx = drv->order_tail;
	order_step(drv, &drv->order_tail);
}

int vq_driver_add(struct vq_driver *drv, const struct vq_sg *sg,
		  unsigned int n_readable, unsigned int n_writable,
		  void *cookie)
{
	struct vq_driver_chain chain = {
		.sg = sg,
		.n = n_readable + n_writable,
		.n_readable = n_readable,
	};
	struct vq_driver_buf *buf;
	uint32_t writable_bytes;
	unsigned int n_descs;
	uint16_t id;

	if (unlikely(drv->is_broken)) {
		return -EPROTO;
	}
	if (unlikely(n_readable > drv->num || n_writable > drv->num ||
		     chain.n == 0 || chain.n > drv->num || !cookie ||
		     sum_pieces(&chain, &writable_bytes) < 0)) {
		return -EINVAL;
	}
	chain.is_indirect = drv->has_indirect && chain.n > 1 &&
			    chain.n <= VQ_DRIVER_INDIRECT_MAX;
	n_descs = chain.is_indirect ? 1 : chain.n;
	if (n_descs > drv->n_free) {
		return -ENOSPC;
	}
	id = drv->is_packed ? packed_driver_add(drv, &chain)
			    : split_driver_add(drv, &chain);
	buf = &drv->bufs[id];
	buf->cookie = cookie;
	buf->writable_bytes = writable_bytes;
	buf->n_descs = (uint16_t)n_descs;
	drv->n_free -= n_descs;
	drv->n_in_flight++;
	if (drv->is_in_order) {
		order_push(drv, id);
	}
	return 0;
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

/* The buffer is the caller's again. */
_hot_ void take_back(struct vq_driver *drv, uint16_t id)
{
	struct vq_driver_buf *buf = &drv->bufs[id];

	if (drv->is_packed) {
		packed_driver_free(drv, id);
	} else {
		split_driver_free(drv, id);
	}
	buf->cookie = NULL;
	drv->n_free += buf->n_descs;
	drv->n_in_flight--;
}

/* May the device say this? Ids that it was not given, and lies on length. */
_hot_ bool elem_is_sane(const struct vq_driver *drv,
			const struct vq_driver_elem *elem)
{
	return elem->id < drv->num && drv->bufs[elem->id].cookie &&
	       elem->written <= drv->bufs[elem->id].writable_bytes;
}

/* Buffers in flight that are older than @id. */
static unsigned int n_older(const struct vq_driver *drv, uint16_t id)
{
	unsigned int at = drv->bufs[id].order_idx;

	return at >= drv->order_head ? at - drv->order_head
				     : at + drv->num - drv->order_head;
}

_hot_ int peek(struct vq_driver *drv, struct vq_driver_elem *ret)
{
	return drv->is_packed ? packed_driver_peek(drv, ret)
			      : split_driver_peek(drv, ret);
}

/* The next used buffer, checked. Return: 1; 0: none; -EPROTO */
_hot_ int get_elem(struct vq_driver *drv, struct vq_driver_elem *ret)
{
	int rc = peek(drv, ret);

	return rc > 0 && unlikely(!elem_is_sane(drv, ret)) ? -EPROTO : rc;
}

/* A batch begins: all in flight up to @elem. */
static int begin_batch(struct vq_driver *drv, const struct vq_driver_elem *elem)
{
	unsigned int n = n_older(drv, (uint16_t)elem->id) + 1;

	if (!drv->is_packed && n > (uint16_t)(drv->used_seen - drv->used_idx)) {
		return -EPROTO;
	}
	drv->n_batch = (uint16_t)n;
	drv->batch_written = elem->written;
	return 0;
}

/* The oldest buffer, when the device used it or a younger one. */
static int get_in_order(struct vq_driver *drv, struct vq_driver_elem *ret)
{
	if (drv->n_batch == 0) {
		struct vq_driver_elem elem;
		int rc = get_elem(drv, &elem);

		if (rc > 0 && begin_batch(drv, &elem) < 0) {
			return -EPROTO;
		}
		if (rc <= 0) {
			return rc;
		}
	}
	drv->n_batch--;
	ret->id = drv->order[drv->order_head];
	ret->written = drv->n_batch ? drv->bufs[ret->id].writable_bytes
				    : drv->batch_written;
	order_step(drv, &drv->order_head);
	return 1;
}

int vq_driver_get(struct vq_driver *drv, struct vq_used *ret_used,
		  unsigned int max)
{
	unsigned int i;

	if (unlikely(drv->is_broken)) {
		return -EPROTO;
	}
	for (i = 0; i < max; i++) {
		struct vq_driver_elem elem;
		int rc = drv->is_in_order ? get_in_order(drv, &elem)
					  : get_elem(drv, &elem);

		if (unlikely(rc < 0)) {
			drv->is_broken = true;
			return i ? (int)i : rc;
		}
		if (rc == 0) {
			break;
		}
		ret_used[i].cookie = drv->bufs[elem.id].cookie;
		ret_used[i].written = elem.written;
		take_back(drv, (uint16_t)elem.id);
	}
	return (int)i;
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
	struct vq_driver_elem elem;

	if (drv->is_packed) {
		packed_driver_set_call(drv, true);
	} else {
		split_driver_set_call(drv, true);
	}
	/* Our wish before their index; pairs with vq_publish(). */
	shm_full_barrier();
	if (drv->is_broken || drv->n_batch) {
		return true;
	}
	return peek(drv, &elem) != 0;
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

		order_step(drv, &drv->detach_idx);
		if (cookie) {
			take_back(drv, id);
			return cookie;
		}
	}
	return NULL;
}
