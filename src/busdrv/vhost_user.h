/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user bus driver: shows a device on a unix socket.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_VHOST_USER_H
#define BUSDRV_VHOST_USER_H

#include "bus/bus.h"
#include "cdev/cdev.h"

/**
 * vhost_user_register() - offer devices of a bus as vhost-user back ends
 * @bus: whose
 * @cdev: not used; every bus driver is given it
 * @ret: written on success; end with vhost_user_unregister()
 *
 * Return: 0; -EEXIST; -ENOMEM
 */
int vhost_user_register(struct vdpa_bus *bus, struct cdev *cdev,
			struct vdpa_driver **ret);
/* Cuts every front end off. */
void vhost_user_unregister(struct vdpa_driver *drv);

#endif
