/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse: devices that other processes implement, through /dev/vduse.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_REMOTE_VDUSE_H
#define DEV_REMOTE_VDUSE_H

#include "bus/bus.h"
#include "cdev/cdev.h"

/* Offers the node vduse/control and the management device. Return: 0; -EEXIST;
 * -ENOMEM */
int vduse_register(struct vdpa_bus *bus, struct cdev *cdev,
		   struct vdpa_mgmtdev **ret);
/* Deletes its devices; they are unbound by force. Files that processes have
 * open answer ENODEV from now on. */
void vduse_unregister(struct vdpa_mgmtdev *mgmtdev);

#endif
