/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of bus/ share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUS_BUS_INTERNAL_H
#define BUS_BUS_INTERNAL_H

#include "bus/bus.h"

struct vdpa_bus {
	struct loop *control;
	struct loop **workers;
	unsigned int n_workers;
	unsigned int next_worker;
	char *run_dir;
	struct list mgmtdevs;
	struct list devices;
	struct list drivers;
	struct list expectations; /* bus_expect.c */
	unsigned int n_expectations;
};

/* One address space of a device. */
struct vdpa_as {
	struct iotlb *tlb;
	struct iotlb_snap *none; /* the table as it was when empty */
	bool in_batch;
	bool is_changed; /* in this batch */
};

/* The checks of `dev add` (bus_mgmt.c). Return: 0 and who makes it; -errno */
int vdpa_dev_check(struct vdpa_bus *bus, const char *bus_name,
		   const char *mgmtdev_name, const char *name,
		   const struct vdpa_dev_config *config,
		   struct vdpa_mgmtdev **ret);
/* Its devices are not expected any more (bus_expect.c). */
void vdpa_expect_end(struct vdpa_mgmtdev *mgmtdev);

/* Makes and empties the address spaces of a device (bus_as.c). */
int vdpa_as_init(struct vdpa_device *vdev);
void vdpa_as_fini(struct vdpa_device *vdev);

/* Turns of a device that may wait (bus_turn.c). */
int vdpa_turns_init(struct vdpa_device *vdev);
void vdpa_turns_fini(struct vdpa_device *vdev);
/* Nobody waits any more: every turn has ended when this returns... Return: is
 * vdpa_removed() due, which was put off? */
bool vdpa_turns_end(struct vdpa_device *vdev);
/* ... until this. */
void vdpa_turns_begin(struct vdpa_device *vdev);
/* Return: true: vdpa_removed() will be called when the turn has ended. */
bool vdpa_put_off_removed(struct vdpa_device *vdev);

#endif
