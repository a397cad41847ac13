/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-vdpa: ioctls on one virtqueue. The argument of every one, known or not,
 * begins with the index of a virtqueue. Order of checks and errno are those of
 * the kernel's vhost_vdpa_vring_ioctl() and vhost_vring_ioctl().
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "busdrv/vhost_vdpa_internal.h"

typedef int64_t (*vring_fn)(struct vhost_vdpa *v, struct cdev_call *call,
			    uint64_t arg, uint32_t idx);

static int get_state(struct cdev_call *call, uint64_t arg,
		     struct vhost_vring_state *ret)
{
	return cdev_copy_from(call, ret, arg, sizeof(*ret));
}

static int64_t put_state(struct cdev_call *call, uint64_t arg, uint32_t idx,
			 uint32_t num)
{
	const struct vhost_vring_state s = { .index = idx, .num = num };

	return cdev_copy_to(call, arg, &s, sizeof(s));
}

static bool is_driver_ok(struct vhost_vdpa *v)
{
	return vdpa_get_status(v->vdev) & VIRTIO_CONFIG_S_DRIVER_OK;
}

static bool is_packed(struct vhost_vdpa *v)
{
	return has_bit(vdpa_get_driver_features(v->vdev), VIRTIO_F_RING_PACKED);
}

/* ---- the ring ---- */

static int64_t do_set_num(struct vhost_vdpa *v, struct cdev_call *call,
			  uint64_t arg, uint32_t idx)
{
	struct vhost_vring_state s;

	if (get_state(call, arg, &s) < 0) {
		return -EFAULT;
	}
	if (!is_pow2(s.num) || s.num > v->vq_num_max) {
		return -EINVAL;
	}
	return vdpa_set_vq_num(v->vdev, idx, s.num);
}

static int64_t do_set_addr(struct vhost_vdpa *v, struct cdev_call *call,
			   uint64_t arg, uint32_t idx)
{
	struct vhost_vring_addr a;

	if (is_driver_ok(v) && !v->is_suspended) {
		return -EINVAL;
	}
	if (cdev_copy_from(call, &a, arg, sizeof(a)) < 0) {
		return -EFAULT;
	}
	if ((a.flags & ~BIT_ULL(VHOST_VRING_F_LOG)) != 0) {
		return -EOPNOTSUPP;
	}
	if (a.avail_user_addr % 2 != 0 || a.used_user_addr % 4 != 0 ||
	    a.log_guest_addr % 4 != 0) {
		return -EINVAL;
	}
	return vdpa_set_vq_address(v->vdev, idx, a.desc_user_addr,
				   a.avail_user_addr, a.used_user_addr) < 0
		       ? -EINVAL
		       : 0;
}

/* Packed rings: index in 15 bits, the wrap counter above it, twice. */
static int64_t do_set_base(struct vhost_vdpa *v, struct cdev_call *call,
			   uint64_t arg, uint32_t idx)
{
	struct vdpa_vq_state state = { 0 };
	struct vhost_vring_state s;

	if (is_driver_ok(v) && !v->is_suspended) {
		return -EINVAL;
	}
	if (get_state(call, arg, &s) < 0) {
		return -EFAULT;
	}
	if (is_packed(v)) {
		state.avail_idx = s.num & 0x7fff;
		state.avail_wrap = (s.num >> 15) & 1;
		state.used_idx = (s.num >> 16) & 0x7fff;
		state.used_wrap = (s.num >> 31) & 1;
	} else if (s.num > UINT16_MAX) {
		return -EINVAL;
	} else {
		state.avail_idx = (uint16_t)s.num;
	}
	return vdpa_set_vq_state(v->vdev, idx, &state);
}

static int64_t do_get_base(struct vhost_vdpa *v, struct cdev_call *call,
			   uint64_t arg, uint32_t idx)
{
	struct vdpa_vq_state state;
	uint32_t num;
	int ret;

	ret = vdpa_get_vq_state(v->vdev, idx, &state);
	if (ret < 0) {
		return ret;
	}
	num = state.avail_idx;
	if (is_packed(v)) {
		num = (num & 0x7fff) | (uint32_t)state.avail_wrap << 15 |
		      (uint32_t)(state.used_idx & 0x7fff) << 16 |
		      (uint32_t)state.used_wrap << 31;
	}
	return put_state(call, arg, idx, num);
}

static int64_t do_get_size(struct vhost_vdpa *v, struct cdev_call *call,
			   uint64_t arg, uint32_t idx)
{
	uint16_t size;
	int ret = vdpa_get_vq_size(v->vdev, idx, &size);

	return ret < 0 ? ret : put_state(call, arg, idx, size);
}

static int64_t do_set_enable(struct vhost_vdpa *v, struct cdev_call *call,
			     uint64_t arg, uint32_t idx)
{
	struct vhost_vring_state s;

	if (get_state(call, arg, &s) < 0) {
		return -EFAULT;
	}
	return vdpa_set_vq_ready(v->vdev, idx, s.num != 0);
}

/* ---- eventfds ---- */

/* Reads {index, fd} and takes that eventfd. */
static int take_vring_fd(struct cdev_call *call, uint64_t arg, int *ret_fd)
{
	struct vhost_vring_file f;

	if (cdev_copy_from(call, &f, arg, sizeof(f)) < 0) {
		return -EFAULT;
	}
	return vhost_vdpa_take_eventfd(call, f.fd, ret_fd);
}

static void control_kick(void *priv, unsigned int events)
{
	struct vhost_vring *vring = priv;

	(void)events;
	(void)vdpa_kick_vq(vring->v->vdev, vring->idx); /* idx is right */
}

/* For a device that does not watch kicks itself. */
static int watch_kick(struct vhost_vring *vring, int fd)
{
	vring->kick_watch = loop_watch_free(vring->kick_watch);
	if (fd < 0) {
		return 0;
	}
	return loop_watch_new(vdpa_bus_control(vring->v->vdev->bus), fd,
			      LOOP_IN | LOOP_EDGE, control_kick, vring,
			      &vring->kick_watch);
}

void vhost_vdpa_keep_kicks(struct vhost_vdpa *v)
{
	for (uint32_t i = 0; i < v->nvqs; i++) {
		struct vhost_vring *vring = &v->vrings[i];
		int ret;

		if (vring->kick_fd < 0 || vring->kick_watch) {
			continue;
		}
		ret = vdpa_set_vq_kick_fd(v->vdev, i, vring->kick_fd);
		if (ret < 0) {
			log_warn(v->vdev->name,
				 "ignoring that kicks of queue %u are lost: %s",
				 i, err_text(ret));
		}
	}
}

static int64_t do_set_kick(struct vhost_vdpa *v, struct cdev_call *call,
			   uint64_t arg, uint32_t idx)
{
	struct vhost_vring *vring = &v->vrings[idx];
	int fd, ret;

	ret = take_vring_fd(call, arg, &fd);
	if (ret < 0) {
		return ret;
	}
	ret = vdpa_set_vq_kick_fd(v->vdev, idx, fd);
	if (ret == -EOPNOTSUPP) {
		ret = watch_kick(vring, fd);
	}
	if (ret < 0) {
		(void)close_fd(fd);
		fd = -1;
	}
	(void)close_fd(vring->kick_fd);
	vring->kick_fd = fd;
	return ret;
}

static int64_t do_set_call(struct vhost_vdpa *v, struct cdev_call *call,
			   uint64_t arg, uint32_t idx)
{
	struct vdpa_callback cb = { .trigger_fd = -1 };
	int ret, old = v->vrings[idx].call_fd;

	cb.is_trusted = cdev_call_is_trusted(call);
	ret = take_vring_fd(call, arg, &cb.trigger_fd);
	if (ret < 0) {
		return ret;
	}
	v->vrings[idx].call_fd = cb.trigger_fd;
	ret = vdpa_set_vq_cb(v->vdev, idx, &cb);
	(void)close_fd(old);
	return ret;
}

/* Kept for the client's sake; there is nothing to signal on it. */
static int64_t do_set_err(struct vhost_vdpa *v, struct cdev_call *call,
			  uint64_t arg, uint32_t idx)
{
	int fd, ret = take_vring_fd(call, arg, &fd);

	if (ret == 0) {
		(void)close_fd(v->vrings[idx].err_fd);
		v->vrings[idx].err_fd = fd;
	}
	return ret;
}

static int64_t do_set_busyloop(struct vhost_vdpa *v, struct cdev_call *call,
			       uint64_t arg, uint32_t idx)
{
	struct vhost_vring_state s;

	if (get_state(call, arg, &s) < 0) {
		return -EFAULT;
	}
	v->vrings[idx].busyloop_us = s.num;
	return 0;
}

static int64_t do_get_busyloop(struct vhost_vdpa *v, struct cdev_call *call,
			       uint64_t arg, uint32_t idx)
{
	return put_state(call, arg, idx, v->vrings[idx].busyloop_us);
}

/* ---- groups ---- */

static int64_t do_get_group(struct vhost_vdpa *v, struct cdev_call *call,
			    uint64_t arg, uint32_t idx)
{
	uint32_t group;
	int ret = vdpa_get_vq_group(v->vdev, idx, &group);

	return ret < 0 ? ret : put_state(call, arg, idx, group);
}

static int64_t do_get_desc_group(struct vhost_vdpa *v, struct cdev_call *call,
				 uint64_t arg, uint32_t idx)
{
	uint32_t group;
	int ret = vdpa_get_vq_desc_group(v->vdev, idx, &group);

	return ret < 0 ? ret : put_state(call, arg, idx, group);
}

/* Here the index is a group's; that it was held against the number of
 * virtqueues first is the kernel's way too. */
static int64_t do_set_group_asid(struct vhost_vdpa *v, struct cdev_call *call,
				 uint64_t arg, uint32_t idx)
{
	struct vhost_vring_state s;

	if (get_state(call, arg, &s) < 0) {
		return -EFAULT;
	}
	if (idx >= v->vdev->ngroups || s.num >= v->vdev->nas) {
		return -EINVAL;
	}
	if (is_driver_ok(v)) {
		return -EBUSY;
	}
	return vdpa_set_group_asid(v->vdev, idx, s.num);
}

static const struct {
	uint32_t cmd;
	vring_fn fn;
} commands[] = {
	{ VHOST_SET_VRING_NUM, do_set_num },
	{ VHOST_SET_VRING_ADDR, do_set_addr },
	{ VHOST_SET_VRING_BASE, do_set_base },
	{ VHOST_GET_VRING_BASE, do_get_base },
	{ VHOST_SET_VRING_KICK, do_set_kick },
	{ VHOST_SET_VRING_CALL, do_set_call },
	{ VHOST_SET_VRING_ERR, do_set_err },
	{ VHOST_SET_VRING_BUSYLOOP_TIMEOUT, do_set_busyloop },
	{ VHOST_GET_VRING_BUSYLOOP_TIMEOUT, do_get_busyloop },
	{ VHOST_VDPA_SET_VRING_ENABLE, do_set_enable },
	{ VHOST_VDPA_GET_VRING_GROUP, do_get_group },
	{ VHOST_VDPA_SET_GROUP_ASID, do_set_group_asid },
	{ VHOST_VDPA_GET_VRING_DESC_GROUP, do_get_desc_group },
	{ VHOST_VDPA_GET_VRING_SIZE, do_get_size },
};

int64_t vhost_vdpa_vring_ioctl(struct vhost_vdpa *v, struct cdev_call *call,
			       uint32_t cmd, uint64_t arg)
{
	uint32_t idx;

	if (cdev_copy_from(call, &idx, arg, sizeof(idx)) < 0) {
		return -EFAULT;
	}
	if (idx >= v->nvqs) {
		return -ENOBUFS;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].cmd == cmd) {
			return commands[i].fn(v, call, arg, idx);
		}
	}
	return -ENOTTY;
}
