/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of bus/ share: a bus with a device that remembers what it was
 * told, its mgmtdev, and a bus driver.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUS_TEST_BUS_RIG_H
#define BUS_TEST_BUS_RIG_H

#include "bus/bus.h"
#include "lib/test.h"

struct fake {
	struct vdpa_device vdev;
	struct vdpa_config_ops ops;
	uint8_t status;
	uint64_t features;
	uint32_t num;
	uint32_t group;
	unsigned int n_kicks, n_resets, n_compat_resets;
	unsigned int n_set_maps, n_dma_maps, n_dma_unmaps, n_reset_maps;
	unsigned int n_entries_seen;
	uint64_t last_unmapped;
	int map_result; /* of the next change of the map */
	char config[16];
};

struct fixture {
	struct sim *sim;
	struct loop *control;
	struct vdpa_bus *bus;
	struct fake fake;
	struct vdpa_mgmtdev mgmtdev;
	struct vdpa_driver driver;
	bool is_busy;
	int probe_result;
	struct vdpa_device *waiting; /* remove() was called, not ended */
	unsigned int n_deleted;
	int del_result; /* 1: not yet */
	struct vdpa_dev_config seen;
};

/* What every device must have, and no more. */
extern const struct vdpa_config_ops fake_ops;

struct fake *fake_of(struct vdpa_device *vdev);
/* What the next change of the map is to return. */
int fake_take_result(struct fake *fake);
int fake_dma_map(struct vdpa_device *vdev, unsigned int asid, uint64_t start,
		 uint64_t last, struct region *region, uint64_t offset,
		 uint32_t perm);

int set_up(void **state);
int tear_down(void **state);
/* The device, as "d0" on the bus. */
struct vdpa_device *add_device(struct fixture *fx);

/* In a table of tests. */
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
