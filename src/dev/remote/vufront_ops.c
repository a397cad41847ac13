/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user front end: config ops of the device. What a client sets up is kept,
 * and becomes messages at DRIVER_OK, in the order in which VMMs send them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "dev/remote/vufront_internal.h"
#include "uapi/compat.h"

/* Areas of a packed ring, and split ones' descriptors. */
#define RING_ALIGN 4096
/* "Red Hat", as virtio-pci's: back ends do not say. */
#define VENDOR_ID 0x1af4

/* ---- virtqueues ---- */

static int set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			  uint64_t desc_area, uint64_t driver_area,
			  uint64_t device_area)
{
	struct vufront_vq *vq = vufront_vq_of(vdev, idx);

	vq->desc_area = desc_area;
	vq->driver_area = driver_area;
	vq->device_area = device_area;
	return 0;
}

static void set_vq_num(struct vdpa_device *vdev, uint16_t idx, uint32_t num)
{
	vufront_vq_of(vdev, idx)->num = num;
}

static uint16_t get_vq_size(struct vdpa_device *vdev, uint16_t idx)
{
	const struct vufront_vq *vq = vufront_vq_of(vdev, idx);

	return (uint16_t)(vq->num > 0 ? vq->num : vq->dev->options.num_max);
}

static bool get_vq_ready(struct vdpa_device *vdev, uint16_t idx)
{
	return vufront_vq_of(vdev, idx)->is_ready;
}

static int set_vq_state(struct vdpa_device *vdev, uint16_t idx,
			const struct vdpa_vq_state *state)
{
	struct vufront_vq *vq = vufront_vq_of(vdev, idx);

	if (vq->is_running) {
		return err(-EBUSY, "%s.vq%u runs", vdev->name, idx);
	}
	vq->state = *state;
	return 0;
}

static uint32_t get_vq_align(struct vdpa_device *vdev)
{
	(void)vdev;
	return RING_ALIGN;
}

static uint16_t get_vq_num_max(struct vdpa_device *vdev)
{
	return (uint16_t)vufront_dev_of(vdev)->options.num_max;
}

static int get_vendor_vq_stats(struct vdpa_device *vdev, uint16_t idx,
			       vdpa_stat_fn emit, void *priv)
{
	const struct vufront_stats *s = &vufront_dev_of(vdev)->stats;

	(void)idx; /* one connection for all queues */
	emit(priv, "backend_sessions", s->n_sessions);
	emit(priv, "backend_lost", s->n_lost);
	emit(priv, "backend_messages", s->n_messages);
	emit(priv, "backend_bad", s->n_bad);
	emit(priv, "backend_refused", s->n_refused);
	emit(priv, "backend_config_changes", s->n_config_changes);
	emit(priv, "backend_regions", s->n_regions);
	emit(priv, "hidden_maps", s->n_hidden);
	return 0;
}

/* ---- features and identity ---- */

static uint64_t get_device_features(struct vdpa_device *vdev)
{
	return vufront_dev_of(vdev)->features;
}

static uint64_t get_backend_features(const struct vdpa_device *vdev)
{
	(void)vdev;
	return BIT_ULL(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK);
}

static int set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	struct vufront_dev *dev = vufront_dev_of(vdev);
	bool packed = has_bit(features, VIRTIO_F_RING_PACKED);
	bool was_packed = has_bit(dev->driver_features, VIRTIO_F_RING_PACKED);

	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		return err(-EBUSY, "%s: too late for features", vdev->name);
	}
	dev->driver_features = features & dev->features;
	for (uint32_t i = 0; packed != was_packed && i < vdev->nvqs; i++) {
		dev->vqs[i].state = (struct vdpa_vq_state){
			.avail_wrap = packed,
			.used_wrap = packed,
		};
	}
	return 0;
}

static uint64_t get_driver_features(struct vdpa_device *vdev)
{
	return vufront_dev_of(vdev)->driver_features;
}

static void set_config_cb(struct vdpa_device *vdev,
			  const struct vdpa_callback *cb)
{
	vufront_dev_of(vdev)->config_cb = *cb;
}

static uint32_t get_device_id(struct vdpa_device *vdev)
{
	return vufront_dev_of(vdev)->options.type->id;
}

static uint32_t get_vendor_id(struct vdpa_device *vdev)
{
	(void)vdev;
	return VENDOR_ID;
}

/* ---- status ---- */

/* Return: 0; -errno: the back end has gone */
static int post_status(struct vufront_dev *dev, uint8_t status)
{
	return vufront_has(dev, VHOST_USER_PROTOCOL_F_STATUS)
		       ? vufront_post_u64(dev, VHOST_USER_SET_STATUS, status)
		       : 0;
}

static int post_features(struct vufront_dev *dev)
{
	uint64_t features = dev->driver_features & ~dev->own_features;

	/* With this bit rings wait until they are enabled. */
	features |= dev->facts.features &
		    BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES);
	return vufront_post_u64(dev, VHOST_USER_SET_FEATURES, features);
}

static int start_queues(struct vufront_dev *dev,
			int (*start_one)(struct vufront_vq *vq))
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < dev->vdev.nvqs; i++) {
		if (dev->vqs[i].is_ready) {
			r = start_one(&dev->vqs[i]);
		}
	}
	return r;
}

/* Until the back end has done all that it was told. */
static int await_all(struct vufront_dev *dev)
{
	uint64_t features;
	int r = vufront_get_u64(dev, VHOST_USER_GET_FEATURES, &features);

	return r == 0 && dev->link.was_refused
		       ? err(-EIO, "%s: the back end refused a message",
			     dev->name)
		       : r;
}

static int tell_all(struct vufront_dev *dev, uint8_t status)
{
	int r;

	dev->link.was_refused = false;
	r = post_features(dev);
	if (r == 0) {
		r = vufront_mem_start(dev);
	}
	if (r == 0) {
		r = start_queues(dev, vufront_vq_start);
	}
	if (r == 0) {
		r = post_status(dev, status);
	}
	return r < 0 ? r : await_all(dev);
}

static int start(struct vufront_dev *dev, uint8_t status)
{
	int r;

	if (!vufront_mem_is_kept(dev)) {
		vufront_renew(dev);
	}
	r = vufront_await_link(dev);
	if (r < 0) {
		return r;
	}
	r = tell_all(dev, status);
	if (r < 0) {
		for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
			dev->vqs[i].is_running = false;
		}
		vufront_lose(dev, "it could not be started");
		return r;
	}
	dev->is_started = true;
	return 0;
}

static uint8_t get_status(struct vdpa_device *vdev)
{
	return vufront_dev_of(vdev)->status;
}

/* The old one holds unless the back end takes all that belongs to the new. */
static void set_status(struct vdpa_device *vdev, uint8_t status)
{
	struct vufront_dev *dev = vufront_dev_of(vdev);
	uint8_t added = status & (uint8_t)~dev->status;
	int r = 0;

	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    !has_bit(dev->driver_features, VIRTIO_F_VERSION_1)) {
		r = err(-EINVAL, "%s: a driver without VERSION_1", dev->name);
	}
	if (r == 0 && (added & VIRTIO_CONFIG_S_DRIVER_OK)) {
		r = start(dev, status);
	}
	if (r == 0) {
		dev->status = status;
	} else if (log_allowed(&dev->limit)) {
		log_warn(dev->name, "ignoring status 0x%02x: %s", status,
			 err_text(r));
	}
}

/* ---- stopping ---- */

/* Return: 0: the back end has nothing of the client's in its hands; -errno */
static int stop_queues(struct vufront_dev *dev)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < dev->vdev.nvqs; i++) {
		r = vufront_vq_stop(&dev->vqs[i]);
	}
	return r;
}

static int tell_reset(struct vufront_dev *dev)
{
	if (vufront_has(dev, VHOST_USER_PROTOCOL_F_STATUS)) {
		return vufront_ask_u64(dev, VHOST_USER_SET_STATUS, 0);
	}
	if (vufront_has(dev, VHOST_USER_PROTOCOL_F_RESET_DEVICE)) {
		const struct vufront_request req = {
			.request = VHOST_USER_RESET_DEVICE,
		};

		return vufront_ask(dev, &req, NULL);
	}
	return 0;
}

/* Takes place whatever the back end says: one that does not let go is cut off,
 * and lets go then. */
static int reset(struct vdpa_device *vdev)
{
	struct vufront_dev *dev = vufront_dev_of(vdev);
	int r = 0;

	if (dev->is_started) {
		dev->is_started = false;
		r = stop_queues(dev);
		if (r == 0) {
			r = tell_reset(dev);
		}
		if (r < 0) {
			log_debug(dev->name, "reset: %s", err_text(r));
			vufront_lose(dev, "it did not let go at a reset");
		}
	}
	dev->status = 0;
	dev->driver_features = 0;
	dev->is_suspended = false;
	dev->has_warned = false;
	dev->generation++;
	dev->config_cb = (struct vdpa_callback){ .trigger_fd = -1 };
	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		vufront_vq_clear(&dev->vqs[i]);
	}
	return 0;
}

static int suspend(struct vdpa_device *vdev)
{
	struct vufront_dev *dev = vufront_dev_of(vdev);
	int r;

	if (!dev->is_started || dev->is_suspended) {
		return 0;
	}
	dev->is_suspended = true;
	r = stop_queues(dev);
	if (r < 0) {
		vufront_lose(dev, err_text(r));
		return -EIO;
	}
	return 0;
}

static int resume(struct vdpa_device *vdev)
{
	struct vufront_dev *dev = vufront_dev_of(vdev);
	int r;

	if (!dev->is_suspended) {
		return 0;
	}
	dev->is_suspended = false;
	dev->link.was_refused = false;
	r = dev->is_started ? start_queues(dev, vufront_vq_restart) : -EIO;
	if (r == 0) {
		r = await_all(dev);
	}
	if (r < 0) {
		vufront_lose(dev, err_text(r));
		return -EIO;
	}
	return 0;
}

/* ---- config space ---- */

static size_t get_config_size(struct vdpa_device *vdev)
{
	return vufront_dev_of(vdev)->config_size;
}

static void get_config(struct vdpa_device *vdev, uint32_t offset, void *buf,
		       uint32_t len)
{
	memcpy(buf, vufront_dev_of(vdev)->config + offset, len);
}

/* What a driver may write is few bytes, and who refuses them keeps its own. */
static void set_config(struct vdpa_device *vdev, uint32_t offset,
		       const void *buf, uint32_t len)
{
	struct vufront_dev *dev = vufront_dev_of(vdev);
	struct vhost_user_config config = { .offset = offset, .size = len };
	const struct vufront_request req = { VHOST_USER_SET_CONFIG, &config,
					     VHOST_USER_CONFIG_HEAD + len };

	if (!dev->is_up || !vufront_has(dev, VHOST_USER_PROTOCOL_F_CONFIG)) {
		return;
	}
	memcpy(config.data, buf, len);
	memcpy(dev->config + offset, buf, len);
	if (vufront_post(dev, &req) == 0) {
		vufront_config_changed(dev);
	}
}

static uint32_t get_generation(struct vdpa_device *vdev)
{
	return vufront_dev_of(vdev)->generation;
}

const struct vdpa_config_ops vufront_ops = {
	.size = sizeof(struct vdpa_config_ops),
	.set_vq_address = set_vq_address,
	.set_vq_num = set_vq_num,
	.kick_vq = vufront_kick_vq,
	.set_vq_kick_fd = vufront_set_vq_kick_fd,
	.set_vq_cb = vufront_set_vq_cb,
	.set_vq_ready = vufront_set_vq_ready,
	.get_vq_ready = get_vq_ready,
	.set_vq_state = set_vq_state,
	.get_vq_state = vufront_get_vq_state,
	.get_vendor_vq_stats = get_vendor_vq_stats,
	.get_vq_size = get_vq_size,
	.get_vq_align = get_vq_align,
	.get_device_features = get_device_features,
	.get_backend_features = get_backend_features,
	.set_driver_features = set_driver_features,
	.get_driver_features = get_driver_features,
	.set_config_cb = set_config_cb,
	.get_vq_num_max = get_vq_num_max,
	.get_device_id = get_device_id,
	.get_vendor_id = get_vendor_id,
	.get_status = get_status,
	.set_status = set_status,
	.reset = reset,
	.suspend = suspend,
	.resume = resume,
	.get_config_size = get_config_size,
	.get_config = get_config,
	.set_config = set_config,
	.get_generation = get_generation,
	.set_map = vufront_set_map,
	.set_gate = vufront_set_gate,
};
