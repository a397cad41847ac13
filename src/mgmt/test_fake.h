/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices for the tests of management: they remember, and do nothing else.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_TEST_FAKE_H
#define MGMT_TEST_FAKE_H

#include "bus/bus.h"

/* "fakenet" (no bus), "pci/fakeblk", and the bus driver "fakedrv". */
struct fake {
	struct vdpa_bus *bus;
	struct vdpa_mgmtdev net;
	struct vdpa_mgmtdev blk;
	struct vdpa_driver drv;
	bool is_busy; /* remove() waits for fake_release() */
	struct vdpa_device *waiting;
	unsigned int n_devs;
	struct vdpa_dev_config seen; /* of the last dev_add() or dev_set() */
};

struct fake_dev {
	struct vdpa_device vdev;
	struct fake *fake;
	uint32_t device_id;
	uint64_t features;
	uint64_t driver_features;
	uint8_t status;
	uint8_t config[60];
	size_t config_size;
};

void fake_register(struct fake *fake, struct vdpa_bus *bus);
void fake_unregister(struct fake *fake);
struct fake_dev *fake_find(struct fake *fake, const char *name);
/* The consumer of the device that is being removed closes it. */
void fake_release(struct fake *fake);

#endif
