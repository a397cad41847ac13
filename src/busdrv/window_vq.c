/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The register window: virtqueues.
 *
 * What a driver writes of a queue is kept until it says QUEUE_READY, and then
 * goes to the device in the order of the kernel's virtio-vdpa. A queue that is
 * ready again after it was not begins anew, as its ring does.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include <linux/virtio_ring.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "busdrv/window_internal.h"

struct window_vq *window_selected(struct window *w)
{
	return w->queue_sel < w->nvqs ? &w->vqs[w->queue_sel] : NULL;
}

/* ---- registers that are only kept ---- */

static uint64_t *area_of(struct window_vq *q, enum window_reg reg)
{
	switch (reg) {
	case WINDOW_QUEUE_DESC_LOW:
	case WINDOW_QUEUE_DESC_HIGH:
		return &q->desc_area;
	case WINDOW_QUEUE_DRIVER_LOW:
	case WINDOW_QUEUE_DRIVER_HIGH:
		return &q->driver_area;
	default:
		return &q->device_area;
	}
}

static bool is_high(enum window_reg reg)
{
	return reg == WINDOW_QUEUE_DESC_HIGH ||
	       reg == WINDOW_QUEUE_DRIVER_HIGH ||
	       reg == WINDOW_QUEUE_DEVICE_HIGH;
}

uint32_t window_vq_read(struct window *w, enum window_reg reg)
{
	struct window_vq *q = window_selected(w);

	if (!q) {
		return 0;
	}
	switch (reg) {
	case WINDOW_QUEUE_NUM_MAX:
		return q->num_max;
	case WINDOW_QUEUE_NUM:
		return q->num;
	case WINDOW_QUEUE_ALIGN:
		return vdpa_get_vq_align(w->vdev);
	case WINDOW_QUEUE_READY:
		return q->is_ready;
	case WINDOW_QUEUE_RESET:
		return q->is_resetting;
	case WINDOW_QUEUE_NOTIFY_OFF:
		return q->idx;
	default:
		return (uint32_t)(*area_of(q, reg) >> (is_high(reg) ? 32 : 0));
	}
}

void window_vq_write(struct window *w, enum window_reg reg, uint32_t value)
{
	struct window_vq *q = window_selected(w);
	uint64_t *area;

	if (!q || q->is_ready) {
		window_mistake(w);
		return;
	}
	if (reg == WINDOW_QUEUE_NUM) {
		q->num = value;
		return;
	}
	area = area_of(q, reg);
	if (is_high(reg)) {
		*area = (*area & UINT32_MAX) | (uint64_t)value << 32;
	} else {
		*area = (*area & ~(uint64_t)UINT32_MAX) | value;
	}
}

/* ---- to and from the device ---- */

static void control_kick(void *priv, unsigned int events)
{
	struct window_vq *q = priv;

	(void)events;
	if (q->w->vdev) {
		(void)vdpa_kick_vq(q->w->vdev, q->idx); /* idx is right */
	}
}

/* The device listens itself, if it can. */
static int give_kick(struct window_vq *q)
{
	int fd = window_make_kick_fd(q);
	int r;

	if (fd < 0) {
		return fd;
	}
	r = vdpa_set_vq_kick_fd(q->w->vdev, q->idx, fd);
	if (r == -EOPNOTSUPP && !q->watch) {
		r = loop_watch_new(q->w->control, fd, LOOP_IN | LOOP_EDGE,
				   control_kick, q, &q->watch);
	}
	return r;
}

static void take_back(struct window_vq *q)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };

	if (q->is_given) {
		q->is_given = false;
		/* It may lack the first. The index is right. */
		(void)vdpa_set_vq_kick_fd(q->w->vdev, q->idx, -1);
		(void)vdpa_set_vq_cb(q->w->vdev, q->idx, &none);
	}
	q->watch = loop_watch_free(q->watch);
}

static int check_num(const struct window_vq *q, bool is_packed)
{
	if (q->num == 0 || q->num > q->num_max ||
	    (!is_packed && !is_pow2(q->num))) {
		return err(-EINVAL, "queue %u: a ring of %u, largest is %u",
			   q->idx, q->num, q->num_max);
	}
	return 0;
}

static int give_to_device(struct window_vq *q)
{
	struct vdpa_device *vdev = q->w->vdev;
	const struct vdpa_callback cb = window_vq_callback(q);
	const bool packed =
		has_bit(vdpa_get_driver_features(vdev), VIRTIO_F_RING_PACKED);
	const struct vdpa_vq_state start = { .avail_wrap = packed,
					     .used_wrap = packed };
	int r = check_num(q, packed);

	if (r < 0) {
		return r;
	}
	q->is_given = true;
	r = vdpa_set_vq_cb(vdev, q->idx, &cb);
	if (r == 0) {
		r = vdpa_set_vq_num(vdev, q->idx, q->num);
	}
	if (r == 0) {
		r = vdpa_set_vq_address(vdev, q->idx, q->desc_area,
					q->driver_area, q->device_area);
	}
	if (r == 0) {
		r = vdpa_set_vq_state(vdev, q->idx, &start);
	}
	if (r == 0) {
		r = give_kick(q);
	}
	return r == 0 ? vdpa_set_vq_ready(vdev, q->idx, true) : r;
}

static int start_vq(struct window_vq *q)
{
	struct window *w = q->w;
	uint8_t status = vdpa_get_status(w->vdev);
	int r;

	if (q->is_ready || w->needs_reset ||
	    !(status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		window_mistake(w);
		return 0;
	}
	r = give_to_device(q);
	if (r < 0) {
		log_debug(w->vdev->name, "window: %s", err_text(r));
		take_back(q);
		window_break(w);
		return 0; /* it was the driver's */
	}
	q->is_ready = true;
	return 0;
}

static void stop_vq(struct window_vq *q)
{
	if (q->is_ready) {
		q->is_ready = false;
		(void)vdpa_set_vq_ready(q->w->vdev, q->idx, false);
	}
	take_back(q);
}

int window_vq_set_ready(struct window_vq *q, uint32_t value)
{
	if (value > 1) {
		window_mistake(q->w);
		return 0;
	}
	if (value == 1) {
		return start_vq(q);
	}
	stop_vq(q);
	return 0;
}

/* Until a size is set, the device says the largest that this queue may have. */
static void find_num_max(struct window_vq *q)
{
	uint32_t num_max = vdpa_get_vq_num_max(q->w->vdev);
	uint16_t size;

	if (vdpa_get_vq_size(q->w->vdev, q->idx, &size) == 0 && size > 0) {
		num_max = min_of(num_max, (uint32_t)size);
	}
	q->num_max = num_max;
}

/* What the driver wrote of it is forgotten. */
static void clear(struct window_vq *q)
{
	q->num = q->num_max;
	q->desc_area = 0;
	q->driver_area = 0;
	q->device_area = 0;
}

int window_vq_reset(struct window_vq *q, uint32_t value)
{
	struct window *w = q->w;

	if (value != 1 || !has_bit(w->driver_features, WINDOW_F_RING_RESET) ||
	    !(vdpa_get_status(w->vdev) & VIRTIO_CONFIG_S_DRIVER_OK)) {
		window_mistake(w);
		return 0;
	}
	q->is_resetting = true;
	stop_vq(q);
	clear(q);
	q->is_resetting = false;
	return 0;
}

void window_vq_forget(struct window_vq *q)
{
	q->is_ready = false;
	q->is_resetting = false;
	take_back(q);
	find_num_max(q);
	clear(q);
	if (q->w->options.forgets_calls) {
		(void)window_set_vq_call(q->w, q->idx, NULL); /* idx is right */
	}
}

int window_set_vq_call(struct window *w, uint32_t idx,
		       const struct vdpa_callback *cb)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };
	struct vdpa_callback now;
	struct window_vq *q;

	if (idx >= w->nvqs) {
		return err(-EINVAL, "queue %u of %u", idx, w->nvqs);
	}
	q = &w->vqs[idx];
	q->call = cb ? *cb : none;
	if (!w->vdev || !q->is_given) {
		return 0;
	}
	now = window_vq_callback(q);
	return vdpa_set_vq_cb(w->vdev, idx, &now);
}

void window_vq_init(struct window_vq *q, struct window *w, uint32_t idx)
{
	q->w = w;
	q->idx = idx;
	q->call.trigger_fd = -1;
	q->kick_fd = -1;
	find_num_max(q);
	clear(q);
}

void window_vq_fini(struct window_vq *q)
{
	q->watch = loop_watch_free(q->watch);
	q->kick_fd = close_fd(q->kick_fd);
}
