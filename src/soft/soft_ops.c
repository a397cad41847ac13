/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software device: status, features, config space; its life.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "soft/soft_internal.h"
#include "uapi/compat.h"

const uint64_t soft_ring_features =
	BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
	BIT_ULL(VIRTIO_RING_F_EVENT_IDX) | BIT_ULL(VIRTIO_F_ANY_LAYOUT) |
	BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |
	BIT_ULL(VIRTIO_F_RING_PACKED) | BIT_ULL(VIRTIO_F_IN_ORDER);

/* Ring areas of the simulators start on pages, as the kernel's do. */
#define RING_ALIGN 4096

/* ---- device ops ---- */

static uint64_t soft_get_device_features(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->device_features;
}

static uint64_t soft_get_backend_features(const struct vdpa_device *vdev)
{
	(void)vdev;
	return BIT_ULL(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK);
}

/* As the kernel's simulator: ACCESS_PLATFORM is a must, what is not offered
 * is dropped without a word. */
static int soft_set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	struct soft_dev *dev = soft_dev_of(vdev);
	bool was_packed = soft_is_packed(dev);

	/* A driver may leave FEATURES_OK out, but queues run with these. */
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		return err(-EBUSY, "%s: too late for features", vdev->name);
	}
	if (!has_bit(features, VIRTIO_F_ACCESS_PLATFORM)) {
		return err(-EINVAL, "%s: VIRTIO_F_ACCESS_PLATFORM is needed",
			   vdev->name);
	}
	dev->driver_features = features & dev->device_features;
	for (uint32_t i = 0;
	     was_packed != soft_is_packed(dev) && i < vdev->nvqs; i++) {
		dev->vqs[i].state = soft_initial_state(dev);
	}
	return 0;
}

static uint64_t soft_get_driver_features(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->driver_features;
}

struct config_cb_change {
	struct soft_vq *q;
	const struct vdpa_callback *cb;
};

static void set_config_cb_on_worker(void *priv)
{
	struct config_cb_change *change = priv;

	change->q->config_call = *change->cb;
}

static void soft_set_config_cb(struct vdpa_device *vdev,
			       const struct vdpa_callback *cb)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	dev->config_call = *cb;
	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		struct config_cb_change change = { &dev->vqs[i], cb };

		loop_call_wait(dev->vqs[i].worker, set_config_cb_on_worker,
			       &change);
	}
}

static uint16_t soft_get_vq_num_max(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->num_max;
}

static uint32_t soft_get_device_id(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->class->device_id;
}

static uint32_t soft_get_vendor_id(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->class->vendor_id;
}

static uint8_t soft_get_status(struct vdpa_device *vdev)
{
	struct soft_dev *dev = soft_dev_of(vdev);
	uint8_t status = dev->status;

	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		if (__atomic_load_n(&dev->vqs[i].is_broken, __ATOMIC_RELAXED)) {
			status |= VIRTIO_CONFIG_S_NEEDS_RESET;
		}
	}
	return status;
}

static void soft_set_status(struct vdpa_device *vdev, uint8_t status)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	if (dev->class->set_status && dev->class->set_status(dev, status) < 0) {
		return;
	}
	/* That bit is ours to set. */
	dev->status = status & (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
	soft_update_all(dev);
}

static void reset_vq(struct soft_vq *q)
{
	q->num = q->dev->num_max;
	q->desc_area = 0;
	q->driver_area = 0;
	q->device_area = 0;
	q->state = (struct vdpa_vq_state){ 0 };
	q->is_ready = false;
	__atomic_store_n(&q->is_broken, false, __ATOMIC_RELAXED);
}

static int soft_reset(struct vdpa_device *vdev)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };
	struct soft_dev *dev = soft_dev_of(vdev);
	int ret;

	soft_stopping(dev, SOFT_ALL, true);
	dev->status = 0;
	soft_update_all(dev);
	ret = soft_stopped(dev, SOFT_ALL, true);
	dev->is_suspended = false;
	dev->driver_features = 0;
	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		struct soft_vq *q = &dev->vqs[i];

		(void)soft_set_vq_kick_fd(vdev, (uint16_t)i, -1);
		soft_set_vq_cb(vdev, (uint16_t)i, &none);
		soft_set_vq_discard(vdev, (uint16_t)i, false);
		reset_vq(q);
	}
	for (uint32_t g = 0; g < vdev->ngroups; g++) {
		(void)soft_set_group_asid(vdev, g, 0);
	}
	if (dev->class->reset) {
		dev->class->reset(dev);
	}
	return ret;
}

static int soft_suspend(struct vdpa_device *vdev)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	soft_stopping(dev, SOFT_ALL, false);
	dev->is_suspended = true;
	soft_update_all(dev);
	return soft_stopped(dev, SOFT_ALL, false);
}

static int soft_resume(struct vdpa_device *vdev)
{
	struct soft_dev *dev = soft_dev_of(vdev);
	int ret = dev->class->resuming ? dev->class->resuming(dev) : 0;

	if (ret < 0) {
		return ret;
	}
	dev->is_suspended = false;
	soft_update_all(dev);
	return 0;
}

/* ---- config space ---- */

struct config_access {
	struct soft_dev *dev;
	uint32_t offset;
	uint32_t len;
	void *out;
	const void *in;
};

static void get_config_on_worker(void *priv)
{
	struct config_access *a = priv;

	a->dev->class->get_config(a->dev, a->offset, a->out, a->len);
}

static void set_config_on_worker(void *priv)
{
	struct config_access *a = priv;

	a->dev->class->set_config(a->dev, a->offset, a->in, a->len);
}

void soft_call_config(struct soft_dev *dev, void (*fn)(void *priv), void *priv)
{
	loop_call_wait(dev->vqs[0].worker, fn, priv);
}

struct state_access {
	struct soft_dev *dev;
	void *out;
	const void *in;
	size_t size;
	int64_t ret;
};

static void announce_on_worker(void *priv)
{
	struct state_access *a = priv;

	a->ret = a->dev->class->announce(a->dev, a->in);
}

static void save_state_of_class(void *priv)
{
	struct state_access *a = priv;

	a->ret = a->dev->class->save_state(a->dev, a->out, a->size);
}

static void load_state_of_class(void *priv)
{
	struct state_access *a = priv;

	a->ret = a->dev->class->load_state(a->dev, a->in, a->size);
}

static int soft_announce(struct vdpa_device *vdev, const uint8_t mac[6])
{
	struct state_access a = { .dev = soft_dev_of(vdev), .in = mac };

	soft_call_config(a.dev, announce_on_worker, &a);
	return (int)a.ret;
}

static int64_t soft_save_state(struct vdpa_device *vdev, void *buf, size_t size)
{
	struct state_access a = {
		.dev = soft_dev_of(vdev),
		.out = buf,
		.size = size,
	};

	soft_call_config(a.dev, save_state_of_class, &a);
	return a.ret;
}

static int soft_load_state(struct vdpa_device *vdev, const void *buf,
			   size_t size)
{
	struct state_access a = {
		.dev = soft_dev_of(vdev),
		.in = buf,
		.size = size,
	};

	soft_call_config(a.dev, load_state_of_class, &a);
	return (int)a.ret;
}

static size_t soft_get_config_size(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->config_size;
}

static void soft_get_config(struct vdpa_device *vdev, uint32_t offset,
			    void *buf, uint32_t len)
{
	struct config_access a = {
		.dev = soft_dev_of(vdev),
		.offset = offset,
		.len = len,
		.out = buf,
	};

	soft_call_config(a.dev, get_config_on_worker, &a);
}

static void soft_set_config(struct vdpa_device *vdev, uint32_t offset,
			    const void *buf, uint32_t len)
{
	struct config_access a = {
		.dev = soft_dev_of(vdev),
		.offset = offset,
		.len = len,
		.in = buf,
	};

	soft_call_config(a.dev, set_config_on_worker, &a);
}

static uint32_t soft_get_generation(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->generation;
}

void soft_config_changed(struct soft_dev *dev)
{
	dev->generation++;
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		pump_signal(vdpa_bus_control(dev->vdev.bus), &dev->config_call);
	}
}

/* ---- life ---- */

static void soft_free(struct vdpa_device *vdev)
{
	soft_dev_free(soft_dev_of(vdev));
}

static const struct vdpa_config_ops soft_config_ops = {
	.size = sizeof(struct vdpa_config_ops),
	.set_vq_address = soft_set_vq_address,
	.set_vq_num = soft_set_vq_num,
	.kick_vq = soft_kick_vq,
	.set_vq_kick_fd = soft_set_vq_kick_fd,
	.set_vq_cb = soft_set_vq_cb,
	.set_vq_ready = soft_set_vq_ready,
	.get_vq_ready = soft_get_vq_ready,
	.set_vq_state = soft_set_vq_state,
	.get_vq_state = soft_get_vq_state,
	.get_vendor_vq_stats = soft_get_vendor_vq_stats,
	.get_vq_size = soft_get_vq_size,
	.get_vq_align = soft_get_vq_align,
	.get_vq_group = soft_get_vq_group,
	.get_device_features = soft_get_device_features,
	.get_backend_features = soft_get_backend_features,
	.set_driver_features = soft_set_driver_features,
	.get_driver_features = soft_get_driver_features,
	.set_config_cb = soft_set_config_cb,
	.get_vq_num_max = soft_get_vq_num_max,
	.get_device_id = soft_get_device_id,
	.get_vendor_id = soft_get_vendor_id,
	.get_status = soft_get_status,
	.set_status = soft_set_status,
	.reset = soft_reset,
	.suspend = soft_suspend,
	.resume = soft_resume,
	.get_config_size = soft_get_config_size,
	.get_config = soft_get_config,
	.set_config = soft_set_config,
	.get_generation = soft_get_generation,
	.set_map = soft_set_map,
	.reset_map = soft_reset_map,
	.set_group_asid = soft_set_group_asid,
	.free = soft_free,
	.set_gate = soft_set_gate,
	.set_vq_log = soft_set_vq_log,
	.set_vq_inflight = soft_set_vq_inflight,
	.set_miss = soft_set_miss,
	.announce = soft_announce,
	.save_state = soft_save_state,
	.load_state = soft_load_state,
	.set_vq_discard = soft_set_vq_discard,
};

/* Who asks what a device can do looks for the op. */
static void init_ops(struct soft_dev *dev)
{
	const struct soft_class *class = dev->class;

	dev->ops = soft_config_ops;
	if (!class->announce) {
		dev->ops.announce = NULL;
	}
	if (!class->save_state) {
		dev->ops.save_state = NULL;
		dev->ops.load_state = NULL;
	}
	dev->vdev.ops = &dev->ops;
}

/* Its leader, and the owner that they share. */
static void join_leader(struct soft_vq *q, struct vdpa_bus *bus)
{
	const struct soft_class *class = q->dev->class;
	struct soft_vq *last;

	q->leader = q;
	if (class->leader) {
		q->leader = &q->dev->vqs[class->leader(q->dev, q->idx)];
	}
	assert(q->leader->idx <= q->idx);
	if (q->leader == q) {
		q->worker = vdpa_bus_pick_worker(bus);
		return;
	}
	q->worker = q->leader->worker;
	for (last = q->leader; last->next; last = last->next) {
	}
	last->next = q;
}

static int init_vq(struct soft_dev *dev, uint16_t idx, struct vdpa_bus *bus)
{
	struct soft_vq *q = &dev->vqs[idx];

	q->dev = dev;
	q->idx = idx;
	join_leader(q, bus);
	q->call.trigger_fd = -1;
	q->config_call.trigger_fd = -1;
	q->log_fd = -1;
	reset_vq(q);
	pump_init(q);
	return vq_new(dev->num_max, dev->class->slot_bytes, &q->vq);
}

static int init_maps(struct soft_dev *dev)
{
	struct iotlb *none;
	int ret;

	ret = iotlb_new(1, &none);
	if (ret < 0) {
		return ret;
	}
	dev->empty_map = iotlb_snapshot(none);
	iotlb_free(none);
	for (uint32_t i = 0; i < dev->vdev.nas; i++) {
		dev->maps[i] = iotlb_snap_ref(dev->empty_map);
	}
	return 0;
}

static void release(struct soft_dev *dev)
{
	for (uint32_t i = 0; dev->vqs && i < dev->vdev.nvqs; i++) {
		vq_free(dev->vqs[i].vq);
		region_unref(dev->vqs[i].inflight.region);
	}
	for (uint32_t i = 0; dev->maps && i < dev->vdev.nas; i++) {
		iotlb_snap_unref(dev->maps[i]);
	}
	iotlb_snap_unref(dev->empty_map);
	free(dev->vqs);
	free(dev->maps);
	free(dev->group_asid);
}

int soft_set_poll_us(struct soft_dev *dev, const char *value)
{
	uint64_t us;
	int ret = parse_u64("poll_us", value, SOFT_POLL_US_MAX, &us);

	if (ret == 0) {
		dev->max_poll_us = (uint32_t)us;
	}
	return ret;
}

int soft_dev_init(struct soft_dev *dev, struct vdpa_bus *bus)
{
	int ret = -ENOMEM;

	init_ops(dev);
	dev->config_call.trigger_fd = -1;
	dev->vqs = calloc(dev->vdev.nvqs, sizeof(*dev->vqs));
	dev->maps = calloc(dev->vdev.nas, sizeof(struct iotlb_snap *));
	dev->group_asid = calloc(dev->vdev.ngroups, sizeof(uint32_t));
	if (!dev->vqs || !dev->maps || !dev->group_asid) {
		goto err_release;
	}
	ret = init_maps(dev);
	for (uint32_t i = 0; ret == 0 && i < dev->vdev.nvqs; i++) {
		ret = init_vq(dev, (uint16_t)i, bus);
	}
	if (ret == 0) {
		return 0;
	}
err_release:
	release(dev);
	return ret;
}

void soft_dev_free(struct soft_dev *dev)
{
	if (!dev) {
		return;
	}
	(void)soft_reset(&dev->vdev); /* stops the queues, come what may */
	release(dev);
	dev->class->free(dev);
}
