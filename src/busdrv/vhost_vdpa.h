/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-vdpa bus driver: shows a device as /dev/vhost-vdpa-N.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_VHOST_VDPA_H
#define BUSDRV_VHOST_VDPA_H

#include "bus/bus.h"
#include "cdev/cdev.h"

/**
 * vhost_vdpa_register() - offer devices of a bus as character devices
 * @bus: whose
 * @cdev: where the nodes appear
 * @ret: written on success; end with vhost_vdpa_unregister()
 *
 * Return: 0; -EEXIST; -ENOMEM
 */
int vhost_vdpa_register(struct vdpa_bus *bus, struct cdev *cdev,
			struct vdpa_driver **ret);
/* Cuts every client off. */
void vhost_vdpa_unregister(struct vdpa_driver *drv);

#endif
