/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the vhost-vdpa bus driver share.
 *
 * Theory of operation
 *
 * One struct vhost_vdpa a bound device. It is the state machine of the kernel's
 * drivers/vhost/vdpa.c: what the client set, who owns it, which descriptors it
 * gave, and in which order what is refused with which errno. It reaches the
 * client through cdev.h alone and the device through bus.h alone, so it knows
 * neither what carried a call nor what answers it.
 *
 *   vhost_vdpa.c        probe, remove, sessions
 *   vhost_vdpa_turn.c   calls, at once or when the device is free
 *   vhost_vdpa_ioctl.c  ioctls on the device
 *   vhost_vdpa_vring.c  ioctls on one virtqueue
 *   vhost_vdpa_iotlb.c  write(): IOTLB messages
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_VHOST_VDPA_INTERNAL_H
#define BUSDRV_VHOST_VDPA_INTERNAL_H

#include "bus/bus.h"
#include "cdev/cdev.h"
#include "uapi/compat.h"

/* What a client gave for one virtqueue. */
struct vhost_vring {
	int kick_fd;
	int call_fd;
	int err_fd;
	uint32_t busyloop_us;
	/* Where the device cannot watch the kick itself. */
	struct loop_watch *kick_watch;
	struct vhost_vdpa *v;
	uint16_t idx;
};

/* Control thread only. */
struct vhost_vdpa {
	struct vdpa_device *vdev; /* NULL: cut off */
	struct vdpa_driver *drv;
	struct cdev_node *node;
	unsigned int minor;
	struct vhost_vring *vrings;
	uint32_t nvqs;

	/* since open() */
	struct cdev_file *file;
	struct cdev_task *owner;
	struct client_mem *mem; /* of the owner */
	uint64_t backend_features;
	int config_fd;
	uint16_t vq_num_max; /* as of the last reset */
	bool is_suspended;
	bool has_gate;
	uint8_t fork_from_owner;
	struct vdpa_iova_range iova_range;

	/* turns of a device that may wait */
	struct list calls;
	struct vdpa_turn release;
	bool is_releasing;

	/* IOTLB */
	uint64_t as_used; /* bit mask of asids */
	bool in_batch;
	uint32_t batch_asid;
};
_Static_assert(VDPA_AS_MAX <= 64, "as_used has a bit for each");

/* File operations. */
int64_t vhost_vdpa_open(struct cdev_node *node, struct cdev_file *file,
			struct cdev_call *call);
int64_t vhost_vdpa_ioctl(struct cdev_file *file, struct cdev_call *call,
			 uint32_t cmd, uint64_t arg);
int64_t vhost_vdpa_write(struct cdev_file *file, struct cdev_call *call,
			 const void *buf, size_t len);
void vhost_vdpa_cancel(struct cdev_file *file, struct cdev_call *call);
void vhost_vdpa_release(struct cdev_file *file);

/* What they do; in a turn where the device may wait. */
int64_t vhost_vdpa_do_open(struct vhost_vdpa *v, struct cdev_file *file);
/* Anything unknown goes to vhost_vdpa_vring_ioctl(). */
int64_t vhost_vdpa_do_ioctl(struct vhost_vdpa *v, struct cdev_call *call,
			    uint32_t cmd, uint64_t arg);
int64_t vhost_vdpa_do_write(struct vhost_vdpa *v, struct cdev_call *call,
			    const void *buf, size_t len);
/* The client is gone, or cut off: nothing of it may be used any more. */
void vhost_vdpa_end_session(struct vhost_vdpa *v);

/* Is there a client, or is the last one still leaving? */
bool vhost_vdpa_is_open(const struct vhost_vdpa *v);
/* Something has ended: if the node's removal waited for that, it ends, too, and
 * @v is gone. */
void vhost_vdpa_settle(struct vhost_vdpa *v);
/* The caller owns the device, the command is not the device's. */
int64_t vhost_vdpa_vring_ioctl(struct vhost_vdpa *v, struct cdev_call *call,
			       uint32_t cmd, uint64_t arg);

void vhost_vdpa_use_gate(struct vhost_vdpa *v);
void vhost_vdpa_drop_gate(struct vhost_vdpa *v);
/* Back to status 0, as SET_STATUS(0), open() and release() do. */
int vhost_vdpa_reset(struct vhost_vdpa *v);
/* After a reset, in which the device forgot its kick eventfds: they are the
 * client's until it says otherwise. Calls are gone until it sets them again. */
void vhost_vdpa_keep_kicks(struct vhost_vdpa *v);
/* Lets go of the descriptors of every virtqueue. */
void vhost_vdpa_drop_vrings(struct vhost_vdpa *v);
/* Empties every address space that was used. */
void vhost_vdpa_drop_maps(struct vhost_vdpa *v);

/**
 * vhost_vdpa_take_eventfd() - an eventfd that the client names
 * @call: in progress
 * @fd: its number in the client; -1: none
 * @ret_fd: ours to close, or -1
 *
 * Return: 0; -EBADF; -EINVAL not an eventfd
 */
int vhost_vdpa_take_eventfd(struct cdev_call *call, int fd, int *ret_fd);

#endif
