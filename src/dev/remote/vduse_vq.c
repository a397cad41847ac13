/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE: one virtqueue. What the process set up and asks about, and kicks.
 *
 * A kick of the client's goes to the process's eventfd at once when the queue
 * is ready; while there is no such eventfd it is remembered; while the queue is
 * not ready it is lost. All of that is decided by the queue's worker, which
 * watches the client's eventfd. The kick of a client that made changes of its
 * address space which the process was not told of yet has to wait for that, or
 * the process would look for memory that it cannot know.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "dev/remote/vduse_internal.h"

void vduse_vq_init(struct vduse_vq *vq, struct vduse_dev *dev, uint16_t idx)
{
	vq->dev = dev;
	vq->idx = idx;
	vq->worker = vdpa_bus_pick_worker(dev->vduse->bus);
	vq->kick_fd = -1;
	vq->cb.trigger_fd = -1;
}

/* ---- kicks: on the worker ---- */

static void pass_kick(struct vduse_vq *vq)
{
	if (!vq->takes_kicks) {
		return;
	}
	if (vq->gate.is_behind && vq->gate.is_behind(vq->gate.priv)) {
		return; /* kick_vq() comes when the process was told of all */
	}
	if (vq->kick_fd < 0) {
		vq->is_kicked = true;
		return;
	}
	vq->is_kicked = false;
	loop_signal(vq->worker, vq->kick_fd);
}

static void kicked(void *priv, unsigned int events)
{
	(void)events;
	pass_kick(priv);
}

static void kick_on_worker(void *priv)
{
	pass_kick(priv);
}

struct fd_change {
	struct vduse_vq *vq;
	int fd;
	int ret;
};

static void set_watch_on_worker(void *priv)
{
	struct fd_change *change = priv;
	struct vduse_vq *vq = change->vq;

	vq->watch = loop_watch_free(vq->watch);
	if (change->fd >= 0) {
		change->ret = loop_watch_new(vq->worker, change->fd,
					     LOOP_IN | LOOP_EDGE, kicked, vq,
					     &vq->watch);
	}
}

static void set_kick_fd_on_worker(void *priv)
{
	struct fd_change *change = priv;
	struct vduse_vq *vq = change->vq;

	(void)close_fd(vq->kick_fd);
	vq->kick_fd = change->fd;
	if (vq->takes_kicks && vq->is_kicked && vq->kick_fd >= 0) {
		pass_kick(vq);
	}
}

static void set_ready_on_worker(void *priv)
{
	struct vduse_vq *vq = priv;

	vq->takes_kicks = vq->is_ready; /* control waits for us */
}

struct gate_change {
	struct vduse_vq *vq;
	struct vdpa_gate gate;
};

static void set_gate_on_worker(void *priv)
{
	struct gate_change *change = priv;

	change->vq->gate = change->gate;
}

static void reset_on_worker(void *priv)
{
	struct vduse_vq *vq = priv;

	vq->watch = loop_watch_free(vq->watch);
	vq->kick_fd = close_fd(vq->kick_fd);
	vq->takes_kicks = false;
	vq->is_kicked = false;
}

/* ---- ops ---- */

static void revoke_shortcut(const struct vduse_vq *vq)
{
	if (vq->dev->words) {
		cdev_words_revoke(vq->dev->words, vq->idx);
	}
}

void vduse_kick_vq(struct vdpa_device *vdev, uint16_t idx)
{
	struct vduse_vq *vq = vduse_vq_of(vdev, idx);

	loop_call_wait(vq->worker, kick_on_worker, vq);
}

int vduse_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd)
{
	struct fd_change change = { .vq = vduse_vq_of(vdev, idx), .fd = fd };

	if (fd < 0 && !change.vq->is_used) {
		return 0;
	}
	change.vq->is_used = true;
	loop_call_wait(change.vq->worker, set_watch_on_worker, &change);
	return change.ret;
}

void vduse_set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready)
{
	struct vduse_vq *vq = vduse_vq_of(vdev, idx);

	revoke_shortcut(vq);
	vq->is_ready = ready;
	vq->is_used = true;
	loop_call_wait(vq->worker, set_ready_on_worker, vq);
}

void vduse_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		     const struct vdpa_callback *cb)
{
	struct vduse_vq *vq = vduse_vq_of(vdev, idx);

	revoke_shortcut(vq);
	vq->cb = *cb;
}

void vduse_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate)
{
	struct vduse_dev *dev = vduse_dev_of(vdev);
	struct gate_change change = { 0 };

	if (gate) {
		change.gate = *gate;
	}
	for (uint32_t i = 0; i < dev->nvqs; i++) {
		change.vq = &dev->vqs[i];
		loop_call_wait(change.vq->worker, set_gate_on_worker, &change);
	}
}

void vduse_vq_reset(struct vduse_vq *vq)
{
	revoke_shortcut(vq);
	if (vq->is_used) {
		loop_call_wait(vq->worker, reset_on_worker, vq);
		vq->is_used = false;
	}
	vq->is_ready = false;
	vq->num = 0;
	vq->desc_area = 0;
	vq->driver_area = 0;
	vq->device_area = 0;
	memset(&vq->state, 0, sizeof(vq->state));
	vq->cb = (struct vdpa_callback){ .trigger_fd = -1 };
}

/* ---- ioctls ---- */

static bool is_driver_ok(const struct vduse_dev *dev)
{
	return dev->status & VIRTIO_CONFIG_S_DRIVER_OK;
}

int64_t vduse_vq_setup(struct vduse_dev *dev, struct cdev_call *call,
		       uint64_t arg)
{
	struct vduse_vq_setup c;

	if (cdev_copy_from(call, &c, arg, sizeof(c)) < 0) {
		return -EFAULT;
	}
	if (c.index >= dev->nvqs || c.reserved1 != 0) {
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(c.reserved2); i++) {
		if (c.reserved2[i] != 0) {
			return -EINVAL;
		}
	}
	if (c.group >= dev->ngroups ||
	    (dev->version >= VDUSE_API_V1 && is_driver_ok(dev))) {
		return -EINVAL;
	}
	dev->vqs[c.index].max_size = c.max_size;
	dev->vqs[c.index].group = c.group;
	vdpa_mgmtdev_has_news(&dev->vduse->mgmtdev);
	return 0;
}

/* The reply keeps what it does not name as the process had it. */
int64_t vduse_vq_get_info(struct vduse_dev *dev, struct cdev_call *call,
			  uint64_t arg)
{
	struct vduse_vq_info info;
	const struct vduse_vq *vq;

	if (cdev_copy_from(call, &info, arg, sizeof(info)) < 0) {
		return -EFAULT;
	}
	if (info.index >= dev->nvqs) {
		return -EINVAL;
	}
	vq = &dev->vqs[info.index];
	info.desc_addr = vq->desc_area;
	info.driver_addr = vq->driver_area;
	info.device_addr = vq->device_area;
	info.num = vq->num;
	if (has_bit(dev->driver_features, VIRTIO_F_RING_PACKED)) {
		info.packed.last_avail_counter = vq->state.avail_wrap;
		info.packed.last_avail_idx = vq->state.avail_idx;
		info.packed.last_used_counter = vq->state.used_wrap;
		info.packed.last_used_idx = vq->state.used_idx;
	} else {
		info.split.avail_index = vq->state.avail_idx;
	}
	info.ready = vq->is_ready;
	return cdev_copy_to(call, arg, &info, sizeof(info));
}

int64_t vduse_vq_setup_kickfd(struct vduse_dev *dev, struct cdev_call *call,
			      uint64_t arg)
{
	struct fd_change change = { .fd = -1 };
	struct vduse_vq_eventfd e;

	if (cdev_copy_from(call, &e, arg, sizeof(e)) < 0) {
		return -EFAULT;
	}
	if (e.index >= dev->nvqs) {
		return -EINVAL;
	}
	if (e.fd < 0 && e.fd != VDUSE_EVENTFD_DEASSIGN) {
		return 0;
	}
	if (e.fd >= 0) {
		change.fd = cdev_get_eventfd(call, e.fd);
		if (change.fd < 0) {
			return change.fd;
		}
	}
	change.vq = &dev->vqs[e.index];
	change.vq->is_used = true;
	loop_call_wait(change.vq->worker, set_kick_fd_on_worker, &change);
	return 0;
}

/* From now on the process may signal the client by itself, if neither could harm
 * the other that way: both can do to us what they like anyhow. */
static void offer_shortcut(const struct vduse_vq *vq, struct cdev_call *call)
{
	struct vduse_dev *dev = vq->dev;

	if (!vq->cb.is_trusted || !cdev_call_is_trusted(call) ||
	    (!dev->words && cdev_words_new(&dev->words) < 0)) {
		return;
	}
	cdev_words_offer(dev->words, vq->idx, vq->cb.trigger_fd, call);
}

/* An eventfd is signalled as soon as the queue is ready; a function is called
 * from DRIVER_OK on. */
int64_t vduse_vq_inject_irq(struct vduse_dev *dev, struct cdev_call *call,
			    uint64_t arg)
{
	const struct vduse_vq *vq;
	uint32_t idx;

	if (cdev_copy_from(call, &idx, arg, sizeof(idx)) < 0) {
		return -EFAULT;
	}
	if (idx >= dev->nvqs) {
		return -EINVAL;
	}
	vq = &dev->vqs[idx];
	if (vq->is_ready && vq->cb.trigger_fd >= 0) {
		loop_signal(vdpa_bus_control(dev->vduse->bus),
			    vq->cb.trigger_fd);
		offer_shortcut(vq, call);
		return 0;
	}
	if (!is_driver_ok(dev)) {
		return -EINVAL;
	}
	if (vq->is_ready && vq->cb.callback) {
		vq->cb.callback(vq->cb.priv);
	}
	return 0;
}
