/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is built in. Meson writes the table (meson.build, builtin.c.in).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_BUILTIN_H
#define MGMT_BUILTIN_H

#include "bus/bus.h"
#include "cdev/cdev.h"

#define BUILTIN_MAX 32

/* One pair of functions is set: of a bus driver, of one for this process alone,
 * of a management device, or of one whose devices have character devices. */
struct builtin {
	const char *name;
	int (*driver_register)(struct vdpa_bus *bus, struct cdev *cdev,
			       struct vdpa_driver **ret);
	int (*inner_register)(struct vdpa_bus *bus, struct vdpa_driver **ret);
	void (*driver_unregister)(struct vdpa_driver *drv);
	int (*mgmtdev_register)(struct vdpa_bus *bus,
				struct vdpa_mgmtdev **ret);
	int (*remote_register)(struct vdpa_bus *bus, struct cdev *cdev,
			       struct vdpa_mgmtdev **ret);
	void (*mgmtdev_unregister)(struct vdpa_mgmtdev *mgmtdev);
};

/* At most BUILTIN_MAX rows; the last one has no name. */
extern const struct builtin builtins[];

#endif
