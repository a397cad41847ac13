/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bus driver virtio_vdpa: makes a virtio device of a vDPA device, for
 * virtio drivers in this process.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_VIRTIO_VDPA_H
#define BUSDRV_VIRTIO_VDPA_H

#include "bus/bus.h"
#include "virtio/virtio.h"

/**
 * virtio_vdpa_register() - offer devices of a bus to drivers in this process
 * @bus: whose
 * @ret: written on success; end with virtio_vdpa_unregister()
 *
 * Return: 0; -EEXIST; -ENOMEM
 */
int virtio_vdpa_register(struct vdpa_bus *bus, struct vdpa_driver **ret);
/* Drivers keep their devices, which are gone (-ENODEV), until virtio_put(). */
void virtio_vdpa_unregister(struct vdpa_driver *drv);

/* Return: borrowed until virtio_take() and its virtio_put(), or, not taken,
 * until control goes on; NULL: it is not bound to virtio_vdpa */
struct virtio_device *virtio_vdpa_get(struct vdpa_device *vdev);

/**
 * struct virtio_vdpa_job - something that is done to a device, in a turn of it
 *
 * @fn: what: calls of virtio.h. Return: any result
 * @done: told of it; may free the job. The device may be gone by then
 * @priv: their argument
 */
struct virtio_vdpa_job {
	int (*fn)(void *priv);
	void (*done)(void *priv, int result);
	void *priv;
	struct vdpa_turn turn; /* its own */
};

/**
 * virtio_vdpa_run() - do it when the device is free: see vdpa_turn_start()
 * @vdev: made by this bus driver, and taken by whoever starts the job, or just
 *        got
 * @job: the caller's again when done is called: before this returns where the
 *       device never keeps anybody waiting
 *
 * A device that goes meanwhile does not take the job with it: what fn calls
 * says -ENODEV then.
 *
 * Context: control thread
 */
void virtio_vdpa_run(struct virtio_device *vdev, struct virtio_vdpa_job *job);

#endif
