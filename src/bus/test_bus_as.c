/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of bus/: address spaces, and what a device is told of them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "bus/test_bus_rig.h"
#include "lib/oom.h"

/* ---- ops that take maps ---- */

static int f_set_map(struct vdpa_device *vdev, unsigned int asid,
		     struct iotlb_snap *map)
{
	struct fake *fake = fake_of(vdev);
	const struct iotlb_entry *e = iotlb_first(map, 0);

	fake->n_set_maps++;
	fake->n_entries_seen = 0;
	while (e) {
		fake->n_entries_seen++;
		e = e->last == UINT64_MAX ? NULL
					  : iotlb_first(map, e->last + 1);
	}
	return fake_take_result(fake);
}

static int f_dma_unmap(struct vdpa_device *vdev, unsigned int asid,
		       uint64_t start, uint64_t last)
{
	fake_of(vdev)->n_dma_unmaps++;
	fake_of(vdev)->last_unmapped = start;
	return 0;
}

static int f_reset_map(struct vdpa_device *vdev, unsigned int asid)
{
	fake_of(vdev)->n_reset_maps++;
	return 0;
}

/* ---- what they are told ---- */

static struct region *some_memory(void)
{
	static char bytes[8192];
	struct region *region;

	assert_int_equal(
		region_new_own(bytes, sizeof(bytes), NULL, NULL, &region), 0);
	return region;
}

static void test_set_map_gets_the_whole_table(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();

	fx->fake.ops.set_map = f_set_map;
	fx->fake.ops.reset_map = f_reset_map;
	assert_int_equal(vdpa_map(vdev, 0, 0, 4095, r, 0, MEM_PERM_RW), 0);
	assert_int_equal(vdpa_map(vdev, 0, 4096, 8191, r, 4096, MEM_PERM_RO),
			 0);
	assert_int_equal(fx->fake.n_entries_seen, 2);
	assert_int_equal(vdpa_map(vdev, 0, 4000, 4100, r, 0, MEM_PERM_RO),
			 -EEXIST);
	assert_int_equal(fx->fake.n_set_maps, 2);
	assert_int_equal(vdpa_map(vdev, 1, 0, 4095, r, 0, MEM_PERM_RW), 0);
	assert_int_equal(fx->fake.n_entries_seen, 1); /* of asid 1 */
	assert_int_equal(vdpa_unmap(vdev, 0, 100, 100), 1);
	assert_int_equal(vdpa_n_maps(vdev, 0), 1);
	assert_int_equal(vdpa_unmap(vdev, 0, 100, 100), 0);
	assert_int_equal(fx->fake.n_set_maps, 5); /* of nothing, too */
	vdpa_reset_map(vdev, 0);
	assert_int_equal(fx->fake.n_entries_seen, 0);
	assert_int_equal(fx->fake.n_reset_maps, 1);
	region_unref(r);
}

static void test_set_map_refusal_is_rolled_back(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();

	fx->fake.ops.set_map = f_set_map;
	assert_int_equal(vdpa_map(vdev, 0, 0, 99, r, 0, MEM_PERM_RW), 0);
	fx->fake.map_result = -EIO;
	assert_int_equal(vdpa_map(vdev, 0, 100, 199, r, 0, MEM_PERM_RW), -EIO);
	assert_int_equal(vdpa_n_maps(vdev, 0), 1);
	assert_int_equal(fx->fake.n_set_maps, 3);
	assert_int_equal(fx->fake.n_entries_seen, 1);
	region_unref(r);
}

static void test_batch_is_one_set_map(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();

	fx->fake.ops.set_map = f_set_map;
	vdpa_batch_begin(vdev, 0);
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(vdpa_map(vdev, 0, i * 100, i * 100 + 99, r, 0,
					  MEM_PERM_RW),
				 0);
	}
	assert_int_equal(vdpa_unmap(vdev, 0, 0, 0), 1);
	assert_int_equal(fx->fake.n_set_maps, 0);
	assert_int_equal(vdpa_batch_end(vdev, 0), 0);
	assert_int_equal(fx->fake.n_set_maps, 1);
	assert_int_equal(fx->fake.n_entries_seen, 4);
	assert_int_equal(vdpa_batch_end(vdev, 0), 0); /* END alone */
	assert_int_equal(fx->fake.n_set_maps, 1);
	vdpa_batch_begin(vdev, 0); /* an empty one, and one that is told */
	assert_int_equal(vdpa_batch_end(vdev, 0), 0);
	assert_int_equal(fx->fake.n_set_maps, 1);
	vdpa_batch_begin(vdev, 0);
	vdpa_batch_touch(vdev, 0);
	assert_int_equal(vdpa_batch_end(vdev, 0), 0);
	assert_int_equal(fx->fake.n_set_maps, 2);
	region_unref(r);
}

static void test_dma_map_gets_each_change(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();

	fx->fake.ops.dma_map = fake_dma_map;
	fx->fake.ops.dma_unmap = f_dma_unmap;
	assert_true(vdpa_has_dma_ops(vdev));
	assert_int_equal(vdpa_map(vdev, 0, 0, 99, r, 0, MEM_PERM_RW), 0);
	assert_int_equal(vdpa_map(vdev, 0, 200, 299, r, 0, MEM_PERM_RW), 0);
	fx->fake.map_result = -ENOMEM;
	assert_int_equal(vdpa_map(vdev, 0, 300, 399, r, 0, MEM_PERM_RW),
			 -ENOMEM);
	assert_int_equal(vdpa_n_maps(vdev, 0), 2);
	assert_int_equal(vdpa_unmap(vdev, 0, 50, 250), 2);
	assert_int_equal(fx->fake.n_dma_unmaps, 2);
	assert_int_equal(fx->fake.last_unmapped, 200);
	region_unref(r);
}

static void test_without_dma_ops_the_bus_translates(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();
	struct iotlb_snap *snap;

	assert_false(vdpa_has_dma_ops(vdev));
	assert_int_equal(vdpa_map(vdev, 0, 4096, 8191, r, 0, MEM_PERM_RW), 0);
	snap = vdpa_snapshot(vdev, 0);
	assert_non_null(iotlb_find(snap, 5000));
	assert_null(iotlb_find(snap, 0));
	iotlb_snap_unref(snap);
	region_unref(r);
}

/* The next client must never see what is left of the last one. */
static int reset_map_once(void *priv)
{
	struct fixture *fx = priv;
	struct vdpa_device *vdev = &fx->fake.vdev;
	struct region *r = some_memory();
	struct iotlb_snap *snap;

	assert_int_equal(vdpa_device_register(fx->bus, NULL, vdev), 0);
	assert_int_equal(vdpa_map(vdev, 0, 0, 4095, r, 0, MEM_PERM_RW), 0);
	snap = vdpa_snapshot(vdev, 0);
	vdpa_batch_begin(vdev, 0);
	oom_begin();
	vdpa_reset_map(vdev, 0);
	oom_end();
	assert_int_equal(vdpa_n_maps(vdev, 0), 0);
	assert_int_equal(fx->fake.n_entries_seen, 0);
	iotlb_snap_unref(snap);
	vdpa_device_unregister(vdev);
	region_unref(r);
	return 0;
}

static void test_reset_map_needs_no_memory(void **state)
{
	struct fixture *fx = *state;

	(void)snprintf(fx->fake.vdev.name, VDPA_NAME_MAX, "d0");
	fx->fake.ops.set_map = f_set_map;
	fx->probe_result = -EBUSY;
	assert_int_equal(oom_check(reset_map_once, fx), 0);
}

static const struct CMUnitTest tests[] = {
	T(test_set_map_gets_the_whole_table),
	T(test_set_map_refusal_is_rolled_back),
	T(test_batch_is_one_set_map),
	T(test_dma_map_gets_each_change),
	T(test_without_dma_ops_the_bus_translates),
	T(test_reset_map_needs_no_memory),
};

TEST_MAIN("bus_as")
