/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vduse bus driver: a device for the host's own kernel.
 *
 * (What is called vduse in dev/remote/ is the other side: a device that a
 * process of somebody else's makes.)
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_KVDUSE_H
#define BUSDRV_KVDUSE_H

#include "bus/bus.h"

struct cdev;

/**
 * struct kvduse_sys - what it asks of the system
 *
 * @open: as open(), close-on-exec
 * @ioctl: as ioctl(), of what @open gave; any thread
 * @attach: put the VDUSE device @name on the kernel's vDPA bus. Blocks until a
 *          driver has taken it, which waits for our answers; any thread
 * @detach: take it away; blocks in the same way. -EBUSY: a client of
 *          vhost_vdpa has it open, and would have to close it first
 *
 * Return: -errno; open and ioctl: -1 and errno
 */
struct kvduse_sys {
	int (*open)(const char *path, int flags);
	int (*ioctl)(int fd, unsigned long cmd, void *arg);
	int (*attach)(const char *name);
	int (*detach)(const char *name);
};
extern const struct kvduse_sys kvduse_system;

/**
 * kvduse_register() - offer the bus driver `vduse`
 * @bus: where
 * @cdev: not used
 * @ret: written on success
 *
 * Return: 0; -EEXIST; -ENOMEM
 */
int kvduse_register(struct vdpa_bus *bus, struct cdev *cdev,
		    struct vdpa_driver **ret);
/* The same on another system, for tests; borrowed. */
int kvduse_register_on(struct vdpa_bus *bus, const struct kvduse_sys *sys,
		       struct vdpa_driver **ret);
void kvduse_unregister(struct vdpa_driver *drv);

#endif
