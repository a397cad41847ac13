/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE: letting the process finish before a reset.
 *
 * A client that ends in the middle of requests is nothing unusual, and the
 * kernel passes the reset on at once. qemu-storage-daemon (QEMU 7.2 and later)
 * then asserts that it has nothing in flight, and is gone. So a reset waits as
 * long as the process goes on giving buffers back: the split rings, which we can
 * see as well as it can, tell. What it does not give back within a second of
 * the last one it never took, or is stuck in.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "dev/remote/vduse_internal.h"

#define LOOK_NS	    1000000ULL /* at the rings, that often */
#define PATIENCE_NS 1000000000ULL

struct drain {
	struct vduse_dev *dev;
	struct loop_timer timer;
	uint64_t since_ns; /* the last buffer came back */
	uint32_t used; /* sum of the rings' used indexes */
};

/* Return: is there a number to read? */
static bool read_idx(const struct vduse_vq *vq, uint64_t area,
		     uint16_t *ret_idx)
{
	const struct vduse_dev *dev = vq->dev;
	const struct iotlb_snap *map = dev->maps[dev->group_asid[vq->group]];
	uint16_t idx;

	/* "flags" comes first in both areas */
	if (!map || area > UINT64_MAX - 4 ||
	    mem_read(map, area + 2, &idx, sizeof(idx)) < 0) {
		return false;
	}
	*ret_idx = le16toh(idx);
	return true;
}

/* Return: buffers that the process has; *used is added to. */
static uint32_t in_flight(const struct vduse_dev *dev, uint32_t *used)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < dev->nvqs; i++) {
		const struct vduse_vq *vq = &dev->vqs[i];
		uint16_t avail_idx, used_idx;

		if (vq->is_ready && read_idx(vq, vq->driver_area, &avail_idx) &&
		    read_idx(vq, vq->device_area, &used_idx)) {
			n += (uint16_t)(avail_idx - used_idx);
			*used += used_idx;
		}
	}
	return n;
}

static void look_again(void *priv)
{
	struct drain *drain = priv;

	vdpa_wake(drain->dev->waiter);
}

static bool has_work(struct drain *drain)
{
	uint64_t now = loop_now_ns(vdpa_bus_control(drain->dev->vduse->bus));
	uint32_t used = 0, n = in_flight(drain->dev, &used);

	if (used != drain->used) {
		drain->used = used;
		drain->since_ns = now;
	}
	return n > 0 && now - drain->since_ns < PATIENCE_NS;
}

void vduse_drain(struct vduse_dev *dev)
{
	struct loop *control = vdpa_bus_control(dev->vduse->bus);
	struct drain drain = {
		.dev = dev,
		.since_ns = loop_now_ns(control),
	};

	if (!(dev->status & VIRTIO_CONFIG_S_DRIVER_OK) || dev->is_broken ||
	    !dev->file || has_bit(dev->driver_features, VIRTIO_F_RING_PACKED)) {
		return;
	}
	loop_timer_init(&drain.timer, control, look_again, &drain);
	while (has_work(&drain) && loop_timer_set(&drain.timer, LOOK_NS) == 0 &&
	       vdpa_wait(dev->waiter) == 0) {
	}
	loop_timer_cancel(&drain.timer);
}
