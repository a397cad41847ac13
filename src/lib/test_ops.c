/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of devices that a program writes from scratch.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include <linux/virtio_mmio.h>

#include <vdpakit/mmio.h>
#include <vdpakit/ops.h>

#include "lib/test.h"

#define PAGE 4096UL

struct toy {
	struct iotlb_snap *map;
	struct vdpa_device *vdev;
	uint64_t features;
	unsigned int n_freed, n_kicks;
	uint8_t status;
	bool is_ready;
};

static struct toy *toy_of(const struct vdpa_device *vdev)
{
	return vdpakit_ops_priv(vdev);
}

static int set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			  uint64_t desc_area, uint64_t driver_area,
			  uint64_t device_area)
{
	return 0;
}

static void set_vq_num(struct vdpa_device *vdev, uint16_t idx, uint32_t num)
{
}

static void kick_vq(struct vdpa_device *vdev, uint16_t idx)
{
	toy_of(vdev)->n_kicks++;
}

static void set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		      const struct vdpa_callback *cb)
{
}

static void set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready)
{
	toy_of(vdev)->is_ready = ready;
}

static bool get_vq_ready(struct vdpa_device *vdev, uint16_t idx)
{
	return toy_of(vdev)->is_ready;
}

static int set_vq_state(struct vdpa_device *vdev, uint16_t idx,
			const struct vdpa_vq_state *state)
{
	return 0;
}

static int get_vq_state(struct vdpa_device *vdev, uint16_t idx,
			struct vdpa_vq_state *ret_state)
{
	memset(ret_state, 0, sizeof(*ret_state));
	return 0;
}

static uint32_t get_vq_align(struct vdpa_device *vdev)
{
	return PAGE;
}

static uint64_t get_device_features(struct vdpa_device *vdev)
{
	return 1ULL << 32;
}

static int set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	toy_of(vdev)->features = features;
	return 0;
}

static uint64_t get_driver_features(struct vdpa_device *vdev)
{
	return toy_of(vdev)->features;
}

static void set_config_cb(struct vdpa_device *vdev,
			  const struct vdpa_callback *cb)
{
}

static uint16_t get_vq_num_max(struct vdpa_device *vdev)
{
	return 8;
}

static uint32_t get_device_id(struct vdpa_device *vdev)
{
	return 4;
}

static uint32_t get_vendor_id(struct vdpa_device *vdev)
{
	return 77;
}

static uint8_t get_status(struct vdpa_device *vdev)
{
	return toy_of(vdev)->status;
}

static void set_status(struct vdpa_device *vdev, uint8_t status)
{
	toy_of(vdev)->status = status;
}

static int reset(struct vdpa_device *vdev)
{
	toy_of(vdev)->status = 0;
	toy_of(vdev)->is_ready = false;
	return 0;
}

static size_t get_config_size(struct vdpa_device *vdev)
{
	return 0;
}

static void get_config(struct vdpa_device *vdev, uint32_t offset, void *buf,
		       uint32_t len)
{
}

static void set_config(struct vdpa_device *vdev, uint32_t offset,
		       const void *buf, uint32_t len)
{
}

static int set_map(struct vdpa_device *vdev, unsigned int asid,
		   struct iotlb_snap *map)
{
	struct toy *toy = toy_of(vdev);

	vdpakit_map_unref(toy->map);
	toy->map = vdpakit_map_ref(map);
	toy->vdev = vdev;
	return 0;
}

static void free_toy(struct vdpa_device *vdev)
{
	struct toy *toy = toy_of(vdev);

	vdpakit_map_unref(toy->map);
	toy->map = NULL;
	toy->n_freed++;
}

static const struct vdpa_config_ops toy_ops = {
	.size = sizeof(toy_ops),
	.set_vq_address = set_vq_address,
	.set_vq_num = set_vq_num,
	.kick_vq = kick_vq,
	.set_vq_cb = set_vq_cb,
	.set_vq_ready = set_vq_ready,
	.get_vq_ready = get_vq_ready,
	.set_vq_state = set_vq_state,
	.get_vq_state = get_vq_state,
	.get_vq_align = get_vq_align,
	.get_device_features = get_device_features,
	.set_driver_features = set_driver_features,
	.get_driver_features = get_driver_features,
	.set_config_cb = set_config_cb,
	.get_vq_num_max = get_vq_num_max,
	.get_device_id = get_device_id,
	.get_vendor_id = get_vendor_id,
	.get_status = get_status,
	.set_status = set_status,
	.reset = reset,
	.get_config_size = get_config_size,
	.get_config = get_config,
	.set_config = set_config,
	.set_map = set_map,
	.free = free_toy,
};

static const struct vdpakit_ops_options *options_of(struct toy *toy)
{
	static struct vdpakit_ops_options options;

	options = (struct vdpakit_ops_options){ .size = sizeof(options),
						.n_queues = 1,
						.priv = toy };
	return &options;
}

static void check_map(struct toy *toy, char *ram)
{
	char bytes[8] = "written";
	struct iovec iov[2];

	assert_int_equal(
		vdpakit_map_write(toy->map, 0x10000 + PAGE - 4, bytes, 8), 0);
	assert_memory_equal(ram + PAGE - 4, "written", 8);
	assert_int_equal(vdpakit_map_read(toy->map, 0x10000 + 2 * PAGE - 4,
					  bytes, 8),
			 -EFAULT);
	/* Two pieces that the emulator mapped one after the other. */
	assert_int_equal(vdpakit_map_find(toy->map, 0x10000, 2 * PAGE,
					  VDPAKIT_MAP_READ, iov, 2),
			 2);
	assert_ptr_equal(iov[0].iov_base, ram);
	assert_int_equal(iov[0].iov_len, PAGE);
	assert_ptr_equal(iov[1].iov_base, ram + PAGE);
	assert_int_equal(vdpakit_map_find(toy->map, 0x10000, 2 * PAGE,
					  VDPAKIT_MAP_READ, iov, 1),
			 -E2BIG);
	assert_int_equal(vdpakit_map_find(toy->map, 0x10000, 3 * PAGE,
					  VDPAKIT_MAP_READ, iov, 2),
			 -EFAULT);
	assert_int_equal(vdpakit_map_find(toy->map, 0, 1, VDPAKIT_MAP_READ, iov,
					  2),
			 -EFAULT);
}

static void test_a_device_from_scratch_is_told_of_memory(void **state)
{
	static _Alignas(4096) char ram[8192];
	struct vdpakit_mmio_memory piece = { .gpa = 0x10000,
					     .size_bytes = PAGE,
					     .va = ram,
					     .fd = -1,
					     .perm = 3 };
	struct toy toy = { 0 };
	struct vdpakit_mmio *m;
	struct vdpakit *kit;
	uint64_t value;

	assert_int_equal(vdpakit_new(NULL, &kit), 0);
	assert_int_equal(
		vdpakit_ops_new(kit, "toy", &toy_ops, options_of(&toy)), 0);
	assert_int_equal(vdpakit_mmio_open(kit, "toy", NULL, &m), 0);
	assert_int_equal(vdpakit_mmio_read(m, VIRTIO_MMIO_VENDOR_ID, 4, &value),
			 0);
	assert_int_equal(value, 77);
	assert_int_equal(vdpakit_mmio_map(m, &piece), 0);
	piece.gpa += PAGE;
	piece.va = ram + PAGE;
	assert_int_equal(vdpakit_mmio_map(m, &piece), 0);
	assert_string_equal(vdpakit_ops_name(toy.vdev), "toy");
	check_map(&toy, ram);
	assert_int_equal(vdpakit_mmio_unmap(m, 0x10000, 1), 1);
	assert_int_equal(vdpakit_map_read(toy.map, 0x10000, &value, 8),
			 -EFAULT);
	assert_int_equal(vdpakit_dev_del(kit, "toy"), 0);
	assert_int_equal(toy.n_freed, 1);
	vdpakit_map_unref(NULL);
	vdpakit_free(kit);
	assert_int_equal(toy.n_freed, 1);
}

static void refuse(struct vdpakit *kit, const char *name,
		   const struct vdpa_config_ops *ops,
		   const struct vdpakit_ops_options *options, int code)
{
	assert_int_equal(vdpakit_ops_new(kit, name, ops, options), code);
	assert_ptr_equal(strstr(vdpakit_error(), "vdpakit_ops_new: "),
			 vdpakit_error());
}

static void test_ops_are_checked(void **state)
{
	struct vdpa_config_ops ops = toy_ops;
	struct vdpakit_ops_options none = { .size = sizeof(none) };
	struct toy toy = { 0 };
	struct vdpakit *kit;

	assert_int_equal(vdpakit_new(NULL, &kit), 0);
	refuse(NULL, "d", &toy_ops, options_of(&toy), -EINVAL);
	refuse(kit, NULL, &toy_ops, options_of(&toy), -EINVAL);
	refuse(kit, "d", NULL, options_of(&toy), -EINVAL);
	refuse(kit, "d", &toy_ops, &none, -EINVAL);
	refuse(kit, "no/name", &toy_ops, options_of(&toy), -EINVAL);
	ops.set_status = NULL;
	refuse(kit, "d", &ops, options_of(&toy), -EINVAL);
	ops = toy_ops;
	ops.size = 8;
	refuse(kit, "d", &ops, options_of(&toy), -EINVAL);
	assert_int_equal(vdpakit_ops_new(kit, "d", &toy_ops, options_of(&toy)),
			 0);
	refuse(kit, "d", &toy_ops, options_of(&toy), -EEXIST);
	assert_int_equal(toy.n_freed, 0);
	vdpakit_free(kit);
	assert_int_equal(toy.n_freed, 1);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_a_device_from_scratch_is_told_of_memory),
	cmocka_unit_test(test_ops_are_checked),
};

TEST_MAIN("lib_ops")
