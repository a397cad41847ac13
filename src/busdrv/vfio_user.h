/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vfio-user bus driver: shows a device as a PCI function on a unix socket.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_VFIO_USER_H
#define BUSDRV_VFIO_USER_H

#include "bus/bus.h"
#include "cdev/cdev.h"

/**
 * vfio_user_register() - offer devices of a bus as vfio-user servers
 * @bus: whose
 * @cdev: not used; every bus driver is given it
 * @ret: written on success; end with vfio_user_unregister()
 *
 * Return: 0; -EEXIST; -ENOMEM
 */
int vfio_user_register(struct vdpa_bus *bus, struct cdev *cdev,
		       struct vdpa_driver **ret);
/* Cuts every client off. */
void vfio_user_unregister(struct vdpa_driver *drv);

#endif
