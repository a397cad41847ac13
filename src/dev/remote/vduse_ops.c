/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE: the config ops of a device. Which of them the process is asked about,
 * and which are only kept, is the kernel's choice (drivers/vdpa/vdpa_user).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "base/err.h"
#include "base/log.h"
#include "dev/remote/vduse_internal.h"

/* Bits of an index in a packed ring's state; the one above is the counter. */
#define PACKED_IDX_MASK 0x7fff

/* ---- virtqueues ---- */

static int set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			  uint64_t desc_area, uint64_t driver_area,
			  uint64_t device_area)
{
	struct vduse_vq *vq = vduse_vq_of(vdev, idx);

	vq->desc_area = desc_area;
	vq->driver_area = driver_area;
	vq->device_area = device_area;
	return 0;
}

static void set_vq_num(struct vdpa_device *vdev, uint16_t idx, uint32_t num)
{
	vduse_vq_of(vdev, idx)->num = num;
}

static uint16_t get_vq_size(struct vdpa_device *vdev, uint16_t idx)
{
	const struct vduse_vq *vq = vduse_vq_of(vdev, idx);

	return vq->num > 0 ? (uint16_t)vq->num : vq->max_size;
}

static bool get_vq_ready(struct vdpa_device *vdev, uint16_t idx)
{
	return vduse_vq_of(vdev, idx)->is_ready;
}

static int set_vq_state(struct vdpa_device *vdev, uint16_t idx,
			const struct vdpa_vq_state *state)
{
	vduse_vq_of(vdev, idx)->state = *state;
	return 0;
}

/* A process says what it likes: what does not belong there is cut off. */
static int get_vq_state(struct vdpa_device *vdev, uint16_t idx,
			struct vdpa_vq_state *ret_state)
{
	struct vduse_dev *dev = vduse_dev_of(vdev);
	struct vduse_msg msg = { .req.type = VDUSE_REQUEST_GET_VQ_STATE };
	const struct vduse_vq_state *state = &msg.resp.vq_state;
	int r;

	msg.req.vq_state.index = idx;
	r = vduse_msg_sync(dev, &msg);
	if (r < 0) {
		return r;
	}
	if (!has_bit(dev->driver_features, VIRTIO_F_RING_PACKED)) {
		ret_state->avail_idx = state->split.avail_index;
		return 0;
	}
	ret_state->avail_idx = state->packed.last_avail_idx & PACKED_IDX_MASK;
	ret_state->avail_wrap = state->packed.last_avail_counter & 1;
	ret_state->used_idx = state->packed.last_used_idx & PACKED_IDX_MASK;
	ret_state->used_wrap = state->packed.last_used_counter & 1;
	return 0;
}

static uint32_t get_vq_align(struct vdpa_device *vdev)
{
	return vduse_dev_of(vdev)->vq_align;
}

static uint32_t get_vq_group(struct vdpa_device *vdev, uint16_t idx)
{
	return vduse_vq_of(vdev, idx)->group;
}

/* ---- features and identity ---- */

static uint64_t get_device_features(struct vdpa_device *vdev)
{
	return vduse_dev_of(vdev)->features;
}

static int set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	vduse_dev_of(vdev)->driver_features = features;
	return 0;
}

static uint64_t get_driver_features(struct vdpa_device *vdev)
{
	return vduse_dev_of(vdev)->driver_features;
}

static void set_config_cb(struct vdpa_device *vdev,
			  const struct vdpa_callback *cb)
{
	vduse_dev_of(vdev)->config_cb = *cb;
}

/* Of the queues, the largest of their largest rings. */
static uint16_t get_vq_num_max(struct vdpa_device *vdev)
{
	const struct vduse_dev *dev = vduse_dev_of(vdev);
	uint16_t max = 0;

	for (uint32_t i = 0; i < dev->nvqs; i++) {
		max = max_of(max, dev->vqs[i].max_size);
	}
	return max;
}

static uint32_t get_device_id(struct vdpa_device *vdev)
{
	return vduse_dev_of(vdev)->device_id;
}

static uint32_t get_vendor_id(struct vdpa_device *vdev)
{
	return vduse_dev_of(vdev)->vendor_id;
}

/* ---- status ---- */

static int send_status(struct vduse_dev *dev, uint8_t status)
{
	struct vduse_msg msg = { .req.type = VDUSE_REQUEST_SET_STATUS };

	msg.req.s.status = status;
	return vduse_msg_sync(dev, &msg);
}

static uint8_t get_status(struct vdpa_device *vdev)
{
	return vduse_dev_of(vdev)->status;
}

/* The old one holds until the process has agreed. */
static void set_status(struct vdpa_device *vdev, uint8_t status)
{
	struct vduse_dev *dev = vduse_dev_of(vdev);
	int r = send_status(dev, status);

	if (r < 0) {
		log_debug(dev->name, "keeps status 0x%02x: %s", dev->status,
			  err_text(r));
		return;
	}
	dev->status = status;
}

/* Takes place here whatever the process says to it. */
static int reset(struct vdpa_device *vdev)
{
	struct vduse_dev *dev = vduse_dev_of(vdev);
	int r;

	vduse_drain(dev);
	r = send_status(dev, 0);
	dev->status = 0;
	dev->driver_features = 0;
	dev->generation++;
	dev->config_cb = (struct vdpa_callback){ .trigger_fd = -1 };
	dev->has_warned = false;
	for (uint32_t i = 0; i < dev->nvqs; i++) {
		vduse_vq_reset(&dev->vqs[i]);
	}
	return r;
}

/* ---- config space ---- */

static size_t get_config_size(struct vdpa_device *vdev)
{
	return vduse_dev_of(vdev)->config_size;
}

static void get_config(struct vdpa_device *vdev, uint32_t offset, void *buf,
		       uint32_t len)
{
	memcpy(buf, vduse_dev_of(vdev)->config + offset, len);
}

/* Read-only, so that a driver cannot have the process work on what it wrote. */
static void set_config(struct vdpa_device *vdev, uint32_t offset,
		       const void *buf, uint32_t len)
{
	(void)vdev;
	(void)offset;
	(void)buf;
	(void)len;
}

static uint32_t get_generation(struct vdpa_device *vdev)
{
	return vduse_dev_of(vdev)->generation;
}

/* ---- address spaces ---- */

static int set_group_asid(struct vdpa_device *vdev, unsigned int group,
			  unsigned int asid)
{
	struct vduse_dev *dev = vduse_dev_of(vdev);
	struct vduse_msg msg = { .req.type = VDUSE_REQUEST_SET_VQ_GROUP_ASID };
	int r;

	if (dev->version < VDUSE_API_V1) {
		return -EINVAL;
	}
	msg.req.vq_group_asid.group = group;
	msg.req.vq_group_asid.asid = asid;
	r = vduse_msg_sync(dev, &msg);
	if (r == 0) {
		dev->group_asid[group] = asid;
	}
	return r;
}

static unsigned int get_vq_map(struct vdpa_device *vdev, uint16_t idx)
{
	const struct vduse_dev *dev = vduse_dev_of(vdev);

	return dev->group_asid[dev->vqs[idx].group];
}

const struct vdpa_config_ops vduse_ops = {
	.size = sizeof(struct vdpa_config_ops),
	.set_vq_address = set_vq_address,
	.set_vq_num = set_vq_num,
	.kick_vq = vduse_kick_vq,
	.set_vq_kick_fd = vduse_set_vq_kick_fd,
	.set_vq_cb = vduse_set_vq_cb,
	.set_vq_ready = vduse_set_vq_ready,
	.get_vq_ready = get_vq_ready,
	.set_vq_state = set_vq_state,
	.get_vq_state = get_vq_state,
	.get_vq_size = get_vq_size,
	.get_vq_align = get_vq_align,
	.get_vq_group = get_vq_group,
	.get_device_features = get_device_features,
	.set_driver_features = set_driver_features,
	.get_driver_features = get_driver_features,
	.set_config_cb = set_config_cb,
	.get_vq_num_max = get_vq_num_max,
	.get_device_id = get_device_id,
	.get_vendor_id = get_vendor_id,
	.get_status = get_status,
	.set_status = set_status,
	.reset = reset,
	.get_config_size = get_config_size,
	.get_config = get_config,
	.set_config = set_config,
	.get_generation = get_generation,
	.set_map = vduse_set_map,
	.set_group_asid = set_group_asid,
	.get_vq_map = get_vq_map,
	.set_gate = vduse_set_gate,
};
