/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the driver side: what it takes, and devices that lie (H80, H81).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "lib/oom.h"
#include "vq/test_vq_rig.h"

static const uint64_t formats[] = { RIG_SPLIT, RIG_PACKED };

static void test_layout_areas_do_not_overlap(void **state)
{
	static const uint16_t nums[] = { 1, 2, 256, VQ_NUM_MAX };

	for (unsigned int i = 0; i < 4 * ARRAY_SIZE(nums); i++) {
		uint16_t num = nums[i / 4];
		uint64_t features = formats[i % 2] | (i & 2 ? RIG_INDIRECT : 0);
		struct vq_layout at;

		vq_layout(num, features, &at);
		assert_int_equal(at.desc_area, 0);
		assert_true(at.driver_area >= num * 16UL);
		assert_true(at.device_area >=
			    at.driver_area + (i % 2 ? 4 : 6 + 2UL * num));
		assert_true(at.indirect >=
			    at.device_area + (i % 2 ? 4 : 6 + 8UL * num));
		assert_int_equal(at.size_bytes - at.indirect,
				 i & 2 ? num * 16UL * VQ_DRIVER_INDIRECT_MAX
				       : 0);
		assert_int_equal(at.driver_area % 64, 0);
		assert_int_equal(at.device_area % 64, 0);
	}
}

static void test_new_refuses_bad_sizes(void **state)
{
	static char mem[8192] __attribute__((aligned(4096)));
	struct vq_driver *drv;

	assert_int_equal(vq_driver_new(0, 0, mem, 0, &drv), -EINVAL);
	assert_int_equal(vq_driver_new(12, 0, mem, 0, &drv), -EINVAL);
	assert_int_equal(vq_driver_new(VQ_NUM_MAX + 1, 0, mem, 0, &drv),
			 -EINVAL);
	assert_int_equal(vq_driver_new(8, 0, mem + 2, 0, &drv), -EINVAL);
	assert_int_equal(vq_driver_new(12, RIG_PACKED, mem, 0, &drv), 0);
	assert_null(vq_driver_free(drv));
	assert_null(vq_driver_free(NULL));
}

static int new_driver(void *priv)
{
	static char mem[8192] __attribute__((aligned(4096)));
	struct vq_driver *drv;
	int rc;

	oom_begin();
	rc = vq_driver_new(8, 0, mem, 0, &drv);
	oom_end();
	if (rc == 0) {
		vq_driver_free(drv);
	}
	return rc;
}

static void test_new_survives_lack_of_memory(void **state)
{
	assert_true(oom_check(new_driver, NULL) > 0);
}

static void test_add_refuses_what_cannot_be(void **state)
{
	struct rig *rig = *state;
	struct vq_sg sg[64] = { rig_sg(0, 1) };
	struct vq_driver *drv = rig->drv;

	assert_int_equal(vq_driver_add(drv, sg, 0, 0, rig), -EINVAL);
	assert_int_equal(vq_driver_add(drv, sg, 1, 0, NULL), -EINVAL);
	assert_int_equal(vq_driver_add(drv, sg, 5, 4, rig), -EINVAL);
	assert_int_equal(vq_driver_add(drv, sg, 9, 0, rig), -EINVAL);
	assert_int_equal(vq_driver_add(drv, sg, 1, UINT32_MAX, rig), -EINVAL);
	sg[0].len = UINT32_MAX;
	sg[1].len = 1;
	assert_int_equal(vq_driver_add(drv, sg, 1, 1, rig), -EINVAL);
	sg[1].len = 0;
	assert_int_equal(vq_driver_add(drv, sg, 1, 1, rig), 0);
	assert_int_equal(vq_driver_n_in_flight(drv), 1);
	assert_true(vq_driver_publish(drv));
	assert_false(vq_driver_publish(drv));
}

static void test_tables_are_used_when_negotiated(void **state)
{
	struct rig *rig = *state;
	struct vq_sg sg[3] = { rig_sg(0, 1), rig_sg(64, 2), rig_sg(128, 3) };
	struct vq_chain *chains[8];

	for (unsigned int i = 0; i < rig->num; i++) {
		assert_int_equal(vq_driver_n_free(rig->drv), rig->num - i);
		assert_int_equal(vq_driver_add(rig->drv, sg, 2, 1, rig), 0);
	}
	assert_int_equal(vq_driver_add(rig->drv, sg, 1, 0, rig), -ENOSPC);
	assert_int_equal(vq_driver_n_in_flight(rig->drv), rig->num);
	vq_driver_publish(rig->drv);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 8);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(chains[i]->readable_bytes, 3);
		assert_int_equal(chains[i]->writable_bytes, 3);
		assert_int_equal(chains[i]->n_descs, 1);
	}
}

static void check_direct(uint64_t format)
{
	struct rig *rig = rig_new(format, 8);
	struct vq_sg sg[5] = { rig_sg(0, 1) };

	assert_int_equal(vq_driver_add(rig->drv, sg, 2, 3, rig), 0);
	assert_int_equal(vq_driver_n_free(rig->drv), 3);
	assert_int_equal(vq_driver_add(rig->drv, sg, 2, 2, rig), -ENOSPC);
	assert_int_equal(vq_driver_add(rig->drv, sg, 2, 1, rig), 0);
	assert_int_equal(vq_driver_n_free(rig->drv), 0);
	rig_free(rig);
}

static void test_descriptors_are_used_without_tables(void **state)
{
	check_direct(RIG_SPLIT);
	check_direct(RIG_PACKED);
}

static void test_detach_gives_all_back(void **state)
{
	struct rig *rig = *state;
	struct vq_sg sg = rig_sg(0, 1);
	unsigned int seen = 0;
	uintptr_t cookie;

	rig_add_bytes(rig, 6);
	while ((cookie = (uintptr_t)vq_driver_detach(rig->drv))) {
		assert_false(has_bit(seen, (unsigned int)cookie));
		seen |= 1U << cookie;
	}
	assert_int_equal(seen, 0x7e);
	assert_int_equal(vq_driver_n_in_flight(rig->drv), 0);
	assert_int_equal(vq_driver_add(rig->drv, &sg, 1, 0, rig), -EPROTO);
}

/* A device by hand: says that @id was used, in the ring's next place. */
static void say_used(struct rig *rig, uint16_t at, uint16_t id, uint32_t len)
{
	__le16 *idx = (__le16 *)(rig->ring.va + rig->at.device_area + 2);
	__le32 *elem = (__le32 *)(rig->ring.va + rig->at.device_area + 4);
	unsigned int flags = 1U << VRING_PACKED_DESC_F_AVAIL |
			     1U << VRING_PACKED_DESC_F_USED |
			     VRING_DESC_F_WRITE;

	if (rig->is_packed) {
		shm_store_rel64(&rig_ring(rig)[at].meta,
				shm_packed_meta(len, id, (uint16_t)flags));
		return;
	}
	shm_store32(&elem[2 * at], id);
	shm_store32(&elem[2 * at + 1], len);
	shm_store_rel16(idx, (uint16_t)(at + 1));
}

/* The ids of the buffers in the order of adding. */
static void add_two(struct rig *rig, uint16_t ids[2])
{
	struct vq_sg sg[2] = { rig_sg(0, 10), rig_sg(64, 20) };
	struct vq_chain *chains[2];

	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vq_driver_add(rig->drv, &sg[i], 0, 1,
					       (void *)(i + 1UL)),
				 0);
	}
	vq_driver_publish(rig->drv);
	assert_int_equal(vq_fetch(rig->vq, chains, 2), 2);
	ids[0] = chains[0]->head;
	ids[1] = chains[1]->head;
}

static void assert_driver_breaks(struct rig *rig)
{
	struct vq_sg sg = rig_sg(0, 1);
	struct vq_used used[8];

	assert_int_equal(vq_driver_get(rig->drv, used, 8), -EPROTO);
	assert_int_equal(vq_driver_get(rig->drv, used, 8), -EPROTO);
	assert_int_equal(vq_driver_add(rig->drv, &sg, 1, 0, rig), -EPROTO);
	assert_true(vq_driver_enable_call(rig->drv));
}

static void test_h80_id_out_of_range(void **state)
{
	struct rig *rig = *state;
	uint16_t ids[2];

	add_two(rig, ids);
	say_used(rig, 0, rig->num, 0);
	assert_driver_breaks(rig);
}

static void test_h80_id_far_out_of_range(void **state)
{
	struct rig *rig = *state;
	__le32 *elem = (__le32 *)(rig->ring.va + rig->at.device_area + 4);
	uint16_t ids[2];

	add_two(rig, ids);
	say_used(rig, 0, ids[0], 0);
	shm_store32(elem, 0x10000U | ids[0]);
	assert_driver_breaks(rig);
}

static void test_h80_id_not_in_flight(void **state)
{
	struct rig *rig = *state;
	uint16_t ids[2], id = 0;

	add_two(rig, ids);
	while (id == ids[0] || id == ids[1]) {
		id++;
	}
	say_used(rig, 0, id, 0);
	assert_driver_breaks(rig);
}

static void test_h80_id_twice(void **state)
{
	struct rig *rig = *state;
	struct vq_used used[8];
	uint16_t ids[2];

	add_two(rig, ids);
	say_used(rig, 0, ids[1], 0);
	say_used(rig, 1, ids[1], 0);
	assert_int_equal(vq_driver_get(rig->drv, used, 8), 1);
	assert_int_equal(used[0].cookie, 2);
	assert_driver_breaks(rig);
	assert_int_equal((uintptr_t)vq_driver_detach(rig->drv), 1);
	assert_null(vq_driver_detach(rig->drv));
}

static void test_h80_index_jumps(void **state)
{
	struct rig *rig = *state;
	uint16_t ids[2];

	add_two(rig, ids);
	say_used(rig, 2, ids[0], 0);
	assert_driver_breaks(rig);
}

static void test_h81_length_beyond_what_was_posted(void **state)
{
	struct rig *rig = *state;
	uint16_t ids[2];

	add_two(rig, ids);
	say_used(rig, 0, ids[0], 11);
	assert_driver_breaks(rig);
}

static void test_h81_length_of_all_that_was_posted(void **state)
{
	struct rig *rig = *state;
	struct vq_used used[8];
	uint16_t ids[2];

	add_two(rig, ids);
	say_used(rig, 0, ids[0], 10);
	say_used(rig, 1, ids[1], 20);
	assert_int_equal(vq_driver_get(rig->drv, used, 8), 2);
	assert_int_equal(used[0].written, 10);
	assert_int_equal(used[1].written, 20);
}

static void test_h81_length_without_write_flag_is_nothing(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { 0, UINT32_MAX,
				    1U << VRING_PACKED_DESC_F_USED };
	struct vq_used used[8];
	uint16_t ids[2];

	add_two(rig, ids);
	rig_packed_desc(rig, 0, &d, ids[0], true);
	assert_int_equal(vq_driver_get(rig->drv, used, 8), 1);
	assert_int_equal(used[0].written, 0);
}

/* What the device writes over the ring does not change what we remember. */
static void test_scribbled_ring_is_not_believed(void **state)
{
	struct rig *rig = *state;
	struct vq_used used[8];
	uint16_t ids[2];

	add_two(rig, ids);
	memset(rig->ring.va, 0xff, rig->at.device_area);
	memset(rig->ring.va + rig->at.indirect, 0xff,
	       rig->at.size_bytes - rig->at.indirect);
	say_used(rig, 0, ids[1], 20);
	if (rig->is_packed) {
		shm_store64(&rig_ring(rig)[1].meta, 0);
	}
	assert_int_equal(vq_driver_get(rig->drv, used, 8), 1);
	assert_int_equal(used[0].cookie, 2);
	assert_int_equal(used[0].written, 20);
	rig_add_bytes(rig, 7);
	assert_int_equal(vq_driver_n_in_flight(rig->drv), 8);
	assert_int_equal(vq_driver_n_free(rig->drv), 0);
}

/* Four buffers of 10 bytes; the device names the third only, then the last. */
static void check_in_order_batch(uint64_t format)
{
	struct rig *rig = rig_new(format | RIG_IN_ORDER, 8);
	struct vq_chain *chains[4];
	struct vq_sg sg = rig_sg(0, 10);
	struct vq_used used[4];

	for (uintptr_t i = 1; i <= 4; i++) {
		assert_int_equal(vq_driver_add(rig->drv, &sg, 0, 1, (void *)i),
				 0);
	}
	vq_driver_publish(rig->drv);
	assert_int_equal(vq_fetch(rig->vq, chains, 4), 4);
	say_used(rig, 0, chains[2]->head, 7);
	if (!rig->is_packed) {
		__le16 *idx =
			(__le16 *)(rig->ring.va + rig->at.device_area + 2);

		shm_store_rel16(idx, 3);
	}
	assert_int_equal(vq_driver_get(rig->drv, used, 2), 2);
	assert_int_equal(used[0].cookie, 1);
	assert_int_equal(used[0].written, 10);
	assert_int_equal(used[1].cookie, 2);
	assert_true(vq_driver_enable_call(rig->drv));
	assert_int_equal(vq_driver_get(rig->drv, used, 4), 1);
	assert_int_equal(used[0].cookie, 3);
	assert_int_equal(used[0].written, 7);
	assert_false(vq_driver_enable_call(rig->drv));
	say_used(rig, 3, chains[3]->head, 0);
	assert_int_equal(vq_driver_get(rig->drv, used, 4), 1);
	assert_int_equal(used[0].cookie, 4);
	assert_int_equal(vq_driver_n_free(rig->drv), 8);
	rig_free(rig);
}

static void test_in_order_batch_is_unfolded(void **state)
{
	check_in_order_batch(RIG_SPLIT);
	check_in_order_batch(RIG_PACKED);
}

static void test_in_order_batch_longer_than_the_index(void **state)
{
	struct rig *rig = rig_new(RIG_SPLIT | RIG_IN_ORDER, 8);
	uint16_t ids[2];

	add_two(rig, ids);
	say_used(rig, 0, ids[1], 0);
	assert_driver_breaks(rig);
	rig_free(rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_layout_areas_do_not_overlap),
	cmocka_unit_test(test_new_refuses_bad_sizes),
	cmocka_unit_test(test_new_survives_lack_of_memory),
	RIG_TEST(add_refuses_what_cannot_be),
	RIG_TEST(tables_are_used_when_negotiated),
	cmocka_unit_test(test_descriptors_are_used_without_tables),
	RIG_TEST(detach_gives_all_back),
	RIG_TEST(h80_id_out_of_range),
	RIG_TEST_SPLIT(h80_id_far_out_of_range),
	RIG_TEST(h80_id_not_in_flight),
	RIG_TEST(h80_id_twice),
	RIG_TEST_SPLIT(h80_index_jumps),
	RIG_TEST(h81_length_beyond_what_was_posted),
	RIG_TEST(h81_length_of_all_that_was_posted),
	RIG_TEST_PACKED(h81_length_without_write_flag_is_nothing),
	RIG_TEST(scribbled_ring_is_not_believed),
	cmocka_unit_test(test_in_order_batch_is_unfolded),
	cmocka_unit_test(test_in_order_batch_longer_than_the_index),
};

TEST_MAIN("vq_driver")
