/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_vdpa: devices behind somebody else's /dev/vhost-vdpa-N. The other side
 * of busdrv/vhost_vdpa.h, which has the name.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_REMOTE_RVDPA_H
#define DEV_REMOTE_RVDPA_H

#include "bus/bus.h"

/**
 * struct rvdpa_sys - how a node is reached
 *
 * All are called on a device's own thread, and may take as long as they like.
 * Return of those that return: as the system call's, or -errno
 */
struct rvdpa_sys {
	int (*open)(const char *path);
	int (*ioctl)(int fd, unsigned long cmd, void *arg);
	int (*write)(int fd, const void *buf, size_t len);
	void (*close)(int fd);
};

/* System calls. */
extern const struct rvdpa_sys rvdpa_system;

/* The management device "vhost_vdpa". Return: 0; -EEXIST; -ENOMEM */
int rvdpa_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret);
/* The same on @sys, borrowed until the last thread has ended: see
 * rvdpa_unregister(). */
int rvdpa_register_on(struct vdpa_bus *bus, const struct rvdpa_sys *sys,
		      struct vdpa_mgmtdev **ret);
/* Deletes its devices. Waits a little for their threads; one that the other
 * side does not let go is left to itself. */
void rvdpa_unregister(struct vdpa_mgmtdev *mgmtdev);

#endif
