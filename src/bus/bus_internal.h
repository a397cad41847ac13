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
	struct list mgmtdevs;
	struct list devices;
	struct list drivers;
};

/* One address space of a device. */
struct vdpa_as {
	struct iotlb *tlb;
	struct iotlb_snap *none; /* the table as it was when empty */
	bool in_batch;
	bool is_changed; /* in this batch */
};

/* Makes and empties the address spaces of a device (bus_as.c). */
int vdpa_as_init(struct vdpa_device *vdev);
void vdpa_as_fini(struct vdpa_device *vdev);

#endif
