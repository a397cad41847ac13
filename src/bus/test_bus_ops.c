/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of bus/: the checked wrapper of every op.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "bus/test_bus_rig.h"

static void test_vq_index_is_checked_by_every_wrapper(void **state)
{
	static const uint32_t bad[] = { 2, 3, 0x10000, 0x80000000, ~0U };
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_vq_state vq_state;
	uint32_t group;
	uint16_t size;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) { /* H60 */
		uint32_t idx = bad[i];

		assert_int_equal(vdpa_set_vq_address(vdev, idx, 0, 0, 0),
				 -EINVAL);
		assert_int_equal(vdpa_set_vq_num(vdev, idx, 8), -EINVAL);
		assert_int_equal(vdpa_kick_vq(vdev, idx), -EINVAL);
		assert_int_equal(vdpa_set_vq_kick_fd(vdev, idx, -1), -EINVAL);
		assert_int_equal(vdpa_set_vq_cb(vdev, idx, NULL), -EINVAL);
		assert_int_equal(vdpa_set_vq_ready(vdev, idx, true), -EINVAL);
		assert_false(vdpa_get_vq_ready(vdev, idx));
		assert_int_equal(vdpa_set_vq_state(vdev, idx, &vq_state),
				 -EINVAL);
		assert_int_equal(vdpa_get_vq_state(vdev, idx, &vq_state),
				 -EINVAL);
		assert_int_equal(vdpa_get_vq_group(vdev, idx, &group), -EINVAL);
		assert_int_equal(vdpa_get_vq_size(vdev, idx, &size), -EINVAL);
	}
	assert_int_equal(fx->fake.n_kicks, 0);
	assert_int_equal(vdpa_kick_vq(vdev, 1), 0);
	assert_int_equal(fx->fake.n_kicks, 1);
	assert_int_equal(vdpa_get_vq_state(vdev, 1, &vq_state), 0);
	assert_int_equal(vq_state.avail_idx, 7);
}

static void test_missing_optional_ops_are_eopnotsupp(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_notification_area area;
	uint64_t cpus;
	uint32_t group;
	uint16_t size;

	assert_int_equal(vdpa_suspend(vdev), -EOPNOTSUPP);
	assert_int_equal(vdpa_resume(vdev), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_group(vdev, 0, &group), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_desc_group(vdev, 0, &group), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_size(vdev, 0, &size), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_irq(vdev, 0), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_notification(vdev, 0, &area), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_vq_kick_fd(vdev, 0, -1), -EOPNOTSUPP);
	assert_int_equal(vdpa_kick_vq_with_data(vdev, 1), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_vq_affinity(vdev, 0, 1), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_affinity(vdev, 0, &cpus), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vendor_vq_stats(vdev, 0, NULL, NULL),
			 -EOPNOTSUPP);
	assert_int_equal(vdpa_set_group_asid(vdev, 0, 0), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_generation(vdev), 0);
	assert_int_equal(vdpa_get_backend_features(vdev), 0);
	assert_int_equal(vdpa_bind_mm(vdev, 1), 0);
}

static void test_missing_migration_ops_are_eopnotsupp(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	const uint8_t mac[6] = { 0 };
	char buf[1];

	assert_int_equal(vdpa_set_gate(vdev, NULL), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_vq_log(vdev, 0, NULL), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_vq_inflight(vdev, 0, NULL), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_miss(vdev, NULL), -EOPNOTSUPP);
	assert_int_equal(vdpa_announce(vdev, mac), -EOPNOTSUPP);
	assert_int_equal(vdpa_save_state(vdev, buf, 1), -EOPNOTSUPP);
	assert_int_equal(vdpa_load_state(vdev, buf, 1), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_vq_discard(vdev, 0, true), -EOPNOTSUPP);
}

/* ---- optional ops that are there ---- */

static uint32_t f_get_vq_group(struct vdpa_device *vdev, uint16_t idx)
{
	return fake_of(vdev)->group;
}

static void f_kick_vq_with_data(struct vdpa_device *vdev, uint32_t data)
{
	fake_of(vdev)->num = data;
}

static int f_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd)
{
	return fd == 5 && idx == 1 ? 0 : -EBADF;
}

static int f_get_vq_notification(struct vdpa_device *vdev, uint16_t idx,
				 struct vdpa_notification_area *ret_area)
{
	ret_area->offset = idx * 4096U;
	return 0;
}

static int f_get_vq_irq(struct vdpa_device *vdev, uint16_t idx)
{
	return 40 + idx;
}

static int f_set_vq_affinity(struct vdpa_device *vdev, uint16_t idx,
			     uint64_t cpus)
{
	fake_of(vdev)->features = cpus;
	return 0;
}

static uint64_t f_get_vq_affinity(struct vdpa_device *vdev, uint16_t idx)
{
	return fake_of(vdev)->features;
}

static int f_suspend(struct vdpa_device *vdev)
{
	return -EIO;
}

static void f_get_iova_range(struct vdpa_device *vdev,
			     struct vdpa_iova_range *ret_range)
{
	ret_range->last = 0xffff;
}

static int f_bind_mm(struct vdpa_device *vdev, int pid)
{
	fake_of(vdev)->num = (uint32_t)pid;
	return 0;
}

static void f_unbind_mm(struct vdpa_device *vdev)
{
	fake_of(vdev)->num = 0;
}

static int f_set_vq_log(struct vdpa_device *vdev, uint16_t idx,
			const struct vdpa_vq_log *log)
{
	return idx == 1 && !log ? 0 : -EIO;
}

static int f_set_vq_inflight(struct vdpa_device *vdev, uint16_t idx,
			     const struct vdpa_inflight *inflight)
{
	fake_of(vdev)->num = (uint32_t)inflight->size_bytes;
	return 0;
}

static int f_set_miss(struct vdpa_device *vdev, const struct vdpa_miss *miss)
{
	return miss ? -EIO : 0;
}

static int f_announce(struct vdpa_device *vdev, const uint8_t mac[6])
{
	fake_of(vdev)->num = mac[5];
	return 0;
}

static int64_t f_save_state(struct vdpa_device *vdev, void *buf, size_t size)
{
	return (int64_t)size - 1;
}

static int f_load_state(struct vdpa_device *vdev, const void *buf, size_t size)
{
	fake_of(vdev)->num = (uint32_t)size;
	return 0;
}

static void f_set_vq_discard(struct vdpa_device *vdev, uint16_t idx,
			     bool discard)
{
	fake_of(vdev)->num = discard ? idx : 0;
}

static void test_optional_vq_ops_are_called_where_they_are(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_notification_area area;
	uint64_t cpus;
	uint32_t group;

	fx->fake.ops.kick_vq_with_data = f_kick_vq_with_data;
	fx->fake.ops.set_vq_kick_fd = f_set_vq_kick_fd;
	fx->fake.ops.get_vq_notification = f_get_vq_notification;
	fx->fake.ops.get_vq_irq = f_get_vq_irq;
	fx->fake.ops.set_vq_affinity = f_set_vq_affinity;
	fx->fake.ops.get_vq_affinity = f_get_vq_affinity;
	fx->fake.ops.get_vq_desc_group = f_get_vq_group;
	/* the index is in the low half, the rest is the device's */
	assert_int_equal(vdpa_kick_vq_with_data(vdev, 0x70001), 0);
	assert_int_equal(fx->fake.num, 0x70001);
	assert_int_equal(vdpa_kick_vq_with_data(vdev, 0x10002), -EINVAL);
	assert_int_equal(vdpa_set_vq_kick_fd(vdev, 1, 5), 0);
	assert_int_equal(vdpa_get_vq_notification(vdev, 1, &area), 0);
	assert_int_equal(area.offset, 4096);
	assert_int_equal(vdpa_get_vq_irq(vdev, 1), 41);
	assert_int_equal(vdpa_set_vq_affinity(vdev, 0, 6), 0);
	assert_int_equal(vdpa_get_vq_affinity(vdev, 0, &cpus), 0);
	assert_int_equal(cpus, 6);
	fx->fake.group = 1;
	assert_int_equal(vdpa_get_vq_desc_group(vdev, 0, &group), 0);
	assert_int_equal(group, 1);
	fx->fake.group = 2;
	assert_int_equal(vdpa_get_vq_desc_group(vdev, 0, &group), -EIO);
}

static void test_optional_device_ops_are_called_where_they_are(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_iova_range range;

	vdpa_get_iova_range(vdev, &range);
	assert_int_equal(range.first, 0);
	assert_true(range.last == UINT64_MAX);
	fx->fake.ops.get_iova_range = f_get_iova_range;
	fx->fake.ops.suspend = f_suspend;
	fx->fake.ops.resume = f_suspend;
	fx->fake.ops.get_generation = fake_ops.get_vq_align;
	fx->fake.ops.get_vq_num_min = fake_ops.get_vq_num_max;
	fx->fake.ops.bind_mm = f_bind_mm;
	fx->fake.ops.unbind_mm = f_unbind_mm;
	vdpa_get_iova_range(vdev, &range);
	assert_int_equal(range.last, 0xffff);
	assert_true(vdpa_can_suspend(vdev) && vdpa_can_resume(vdev));
	assert_int_equal(vdpa_suspend(vdev), -EIO);
	assert_int_equal(vdpa_resume(vdev), -EIO);
	assert_int_equal(vdpa_get_generation(vdev), 1);
	assert_int_equal(vdpa_set_vq_num(vdev, 0, 128), -EINVAL);
	assert_int_equal(vdpa_set_vq_num(vdev, 0, 256), 0);
	assert_int_equal(vdpa_bind_mm(vdev, 77), 0);
	assert_int_equal(fx->fake.num, 77);
	vdpa_unbind_mm(vdev);
	assert_int_equal(fx->fake.num, 0);
}

static void test_migration_ops_are_called_where_they_are(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	const uint8_t mac[6] = { [5] = 9 };
	char buf[8];

	fx->fake.ops.set_vq_log = f_set_vq_log;
	fx->fake.ops.set_miss = f_set_miss;
	fx->fake.ops.announce = f_announce;
	fx->fake.ops.save_state = f_save_state;
	fx->fake.ops.load_state = f_load_state;
	fx->fake.ops.set_vq_discard = f_set_vq_discard;
	assert_int_equal(vdpa_set_vq_log(vdev, 1, NULL), 0);
	assert_int_equal(vdpa_set_vq_log(vdev, 2, NULL), -EINVAL);
	assert_int_equal(vdpa_set_miss(vdev, NULL), 0);
	assert_int_equal(vdpa_announce(vdev, mac), 0);
	assert_int_equal(fx->fake.num, 9);
	assert_int_equal(vdpa_save_state(vdev, buf, sizeof(buf)), 7);
	assert_int_equal(vdpa_load_state(vdev, buf, sizeof(buf)), 0);
	assert_int_equal(fx->fake.num, 8);
	assert_int_equal(vdpa_load_state(vdev, buf, VDPA_STATE_MAX + 1U),
			 -EINVAL);
	assert_int_equal(fx->fake.num, 8);
	assert_int_equal(vdpa_set_vq_discard(vdev, 2, true), -EINVAL);
	assert_int_equal(vdpa_set_vq_discard(vdev, 1, true), 0);
	assert_int_equal(fx->fake.num, 1);
}

static void test_inflight_log_must_lie_in_its_file(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_inflight inflight = { .offset = 60, .size_bytes = 4 };
	char mem[64];

	assert_int_equal(region_new_own(mem, sizeof(mem), NULL, NULL,
					&inflight.region),
			 0);
	fx->fake.ops.set_vq_inflight = f_set_vq_inflight;
	assert_int_equal(vdpa_set_vq_inflight(vdev, 0, &inflight), 0);
	assert_int_equal(fx->fake.num, 4);
	inflight.size_bytes = 5;
	assert_int_equal(vdpa_set_vq_inflight(vdev, 0, &inflight), -EINVAL);
	inflight.offset = UINT64_MAX;
	assert_int_equal(vdpa_set_vq_inflight(vdev, 0, &inflight), -EINVAL);
	assert_int_equal(vdpa_set_vq_inflight(vdev, 2, &inflight), -EINVAL);
	region_unref(inflight.region);
}

static void test_group_out_of_range_is_eio(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	uint32_t group = 9;

	fx->fake.ops.get_vq_group = f_get_vq_group;
	fx->fake.group = 2;
	assert_int_equal(vdpa_get_vq_group(vdev, 0, &group), -EIO);
	assert_int_equal(group, 9);
	fx->fake.group = 1;
	assert_int_equal(vdpa_get_vq_group(vdev, 0, &group), 0);
	assert_int_equal(group, 1);
	assert_int_equal(vdpa_set_group_asid(vdev, 2, 0), -EINVAL);
	assert_int_equal(vdpa_set_group_asid(vdev, 0, 2), -EINVAL);
}

static void test_ring_size_is_bounded(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);

	assert_int_equal(vdpa_set_vq_num(vdev, 0, 0), -EINVAL); /* H25 */
	assert_int_equal(vdpa_set_vq_num(vdev, 0, 257), -EINVAL);
	assert_int_equal(vdpa_set_vq_num(vdev, 0, 256), 0);
	assert_int_equal(fx->fake.num, 256);
}

static void test_status_never_loses_a_bit(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);

	assert_int_equal(vdpa_set_status(vdev, 0x3), 0);
	assert_int_equal(vdpa_set_status(vdev, 0x1), -EINVAL); /* H71 */
	assert_int_equal(vdpa_set_status(vdev, 0), -EINVAL);
	assert_int_equal(vdpa_get_status(vdev), 0x3);
	assert_int_equal(vdpa_set_status(vdev, 0xf), 0);
	assert_int_equal(vdpa_reset(vdev, 0), 0);
	assert_int_equal(vdpa_get_status(vdev), 0);
}

static int f_compat_reset(struct vdpa_device *vdev, uint32_t flags)
{
	fake_of(vdev)->n_compat_resets++;
	return 0;
}

static void test_reset_flags_go_to_compat_reset_if_there(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);

	assert_int_equal(vdpa_reset(vdev, VDPA_RESET_F_CLEAN_MAP), 0);
	assert_int_equal(fx->fake.n_resets, 1);
	fx->fake.ops.compat_reset = f_compat_reset;
	assert_int_equal(vdpa_reset(vdev, VDPA_RESET_F_CLEAN_MAP), 0);
	assert_int_equal(fx->fake.n_compat_resets, 1);
	assert_int_equal(vdpa_reset(vdev, 0), 0);
	assert_int_equal(fx->fake.n_resets, 2);
}

static void test_config_range_is_checked(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	char buf[32] = "0123456789abcdef";

	/* H61 */
	assert_int_equal(vdpa_get_config(vdev, 0, buf, 0), -EINVAL);
	assert_int_equal(vdpa_get_config(vdev, 17, buf, 1), -EINVAL);
	assert_int_equal(vdpa_get_config(vdev, ~0U, buf, 2), -EINVAL);
	assert_int_equal(vdpa_get_config(vdev, 1, buf, ~0U), -EINVAL);
	assert_int_equal(vdpa_set_config(vdev, 10, buf, 7), -EINVAL);
	assert_int_equal(vdpa_set_config(vdev, 0, buf, 16), 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(vdpa_get_config(vdev, 15, buf, 1), 0);
	assert_int_equal(buf[0], 'f');
}

static void test_config_before_features_is_a_legacy_driver(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	char buf[4];

	fx->fake.features = 99;
	assert_int_equal(vdpa_get_config_raw(vdev, 0, buf, 4), 0);
	assert_int_equal(fx->fake.features, 99);
	assert_int_equal(vdpa_get_config(vdev, 0, buf, 4), 0);
	assert_int_equal(fx->fake.features, 0);
	assert_int_equal(vdpa_set_driver_features(vdev, 5), 0);
	assert_int_equal(vdpa_get_config(vdev, 0, buf, 4), 0);
	assert_int_equal(fx->fake.features, 5);
}

static const struct CMUnitTest tests[] = {
	T(test_vq_index_is_checked_by_every_wrapper),
	T(test_missing_optional_ops_are_eopnotsupp),
	T(test_missing_migration_ops_are_eopnotsupp),
	T(test_optional_vq_ops_are_called_where_they_are),
	T(test_optional_device_ops_are_called_where_they_are),
	T(test_migration_ops_are_called_where_they_are),
	T(test_inflight_log_must_lie_in_its_file),
	T(test_group_out_of_range_is_eio),
	T(test_ring_size_is_bounded),
	T(test_status_never_loses_a_bit),
	T(test_reset_flags_go_to_compat_reset_if_there),
	T(test_config_range_is_checked),
	T(test_config_before_features_is_a_legacy_driver),
};

TEST_MAIN("bus_ops")
