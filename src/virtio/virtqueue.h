/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues of a virtio device, for its drivers: the ring's driver side
 * (vq/vq_driver.h) with kicks, waiting and an owner.
 *
 * Theory of operation
 *
 * A queue is used by one thread at a time, its owner: the first that uses it,
 * until virtqueue_release(). Each entry point of a driver asks
 * virtqueue_check() once a batch; all below runs as the owner.
 *
 * Calls (the device's notifications) are off but for one who waits:
 *
 *   virtqueue_arm()     calls on; true: there is something already
 *   poll(2) on call_fd
 *   virtqueue_disarm()  calls off, and the eventfd is empty again
 *
 * A device that breaks the rules (an id not in flight, a length beyond what was
 * posted) breaks the whole device: virtio_break().
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VIRTIO_VIRTQUEUE_H
#define VIRTIO_VIRTQUEUE_H

#include "virtio/virtio.h"
#include "vq/vq_driver.h"

struct virtqueue {
	/* set by virtio_find_vqs(), then read-only */
	struct virtio_device *vdev;
	uint16_t idx;
	uint16_t num;
	unsigned int poll_us;
	int kick_fd;
	int call_fd;
	char *ring_va;
	uint64_t ring_iova;
	struct region *ring;
	uint64_t desc_area, driver_area, device_area; /* iovas */
	char *extra_va; /* extra_bytes, zeroed, in a cache line of their own */
	uint64_t extra_iova;

	/* owner only */
	struct vq_driver *drv;
	struct loop_signaller *signaller; /* NULL: kick_fd may be written */
	bool is_armed;

	/* any thread, atomic */
	uintptr_t owner; /* 0: nobody's yet */
	uint64_t n_kicks, n_waits; /* relaxed */
};

/* May the caller use it? It is the owner from then on. Return: 0; -EPERM
 * another thread's; -ENODEV; -EIO the device needs a reset */
int virtqueue_check(struct virtqueue *vq);
/* The same of thread and ownership only. Return: 0; -EPERM */
int virtqueue_check_owner(struct virtqueue *vq);
/* Nobody's any more. By the owner. */
void virtqueue_release(struct virtqueue *vq);

/* As vq_driver_add(), without the text but for -EPROTO, which has broken the
 * device. */
int virtqueue_add(struct virtqueue *vq, const struct vq_sg *sg,
		  unsigned int n_readable, unsigned int n_writable,
		  void *cookie);
/* What was added is visible; the device is kicked if it wants to be. */
void virtqueue_kick(struct virtqueue *vq);
/* As vq_driver_get(); -EPROTO has broken the device. */
int virtqueue_get(struct virtqueue *vq, struct vq_used *ret_used,
		  unsigned int max);

/* Return: true: something is used already, or it never will be: the device is
 * broken or gone. */
bool virtqueue_arm(struct virtqueue *vq);
void virtqueue_disarm(struct virtqueue *vq);
/**
 * virtqueue_wait() - until something is used, or the device is broken or gone
 * @timeout_ms: -1: for ever
 *
 * Polls for poll_us first. Return: 1; 0 the time is up; -EINTR
 */
int virtqueue_wait(struct virtqueue *vq, int timeout_ms);

/* After virtio_stop(): see vq_driver_detach(). */
void *virtqueue_detach(struct virtqueue *vq);

#endif
