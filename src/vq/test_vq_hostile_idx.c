/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile drivers: ids, wrap bits and indexes that break the rules. The ids of
 * the tests are those of the hostile list.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "vq/test_vq_rig.h"

#define N   VRING_DESC_F_NEXT
#define NUM 8 /* of the rig */
#define BUF RIG_BUF_IOVA

/* Fills @descs with @n readable ones that go on, and the last that does not. */
static void chain_of(struct rig_desc *descs, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		descs[i] = (struct rig_desc){ BUF + i * 64, 16,
					      i + 1 < n ? N : 0 };
	}
}

static void test_h18_id_out_of_range(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { BUF, 16, 0 };

	rig_offer(rig, &d, 1, NUM);
	rig_assert_breaks(rig, VQ_BREAK_HEAD);
}

static void test_h18_id_of_a_long_chain_out_of_range(void **state)
{
	struct rig *rig = *state;
	struct rig_desc d[NUM];

	chain_of(d, NUM);
	rig_offer(rig, d, NUM, UINT16_MAX);
	rig_assert_breaks(rig, VQ_BREAK_HEAD);
}

static void test_h18_chain_wraps(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chain;
	struct rig_desc d[5];

	chain_of(d, 5);
	for (unsigned int i = 0; i < 20; i++) {
		rig_offer(rig, d, 5, 1);
		chain = rig_fetch(rig);
		assert_int_equal(chain->n_readable, 5);
		assert_int_equal(chain->n_descs, 5);
		vq_complete(rig->vq, chain, 0);
		vq_publish(rig->vq);
	}
}

/* All that is in flight is shown as available a second time. */
static void test_h18_wrap_bits_flip_while_in_flight(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[NUM];
	struct rig_desc d[4];

	chain_of(d, 4);
	rig_offer(rig, d, 4, 0);
	rig_offer(rig, d + 1, 3, 1);
	assert_int_equal(vq_fetch(rig->vq, chains, NUM), 2);
	rig_offer(rig, d + 2, 2, 2);
	assert_int_equal(vq_fetch(rig->vq, chains, NUM), -EPROTO);
	assert_int_equal(vq_broken(rig->vq), VQ_BREAK_AVAIL);
	assert_int_equal(vq_n_in_flight(rig->vq), 2);
	vq_complete(rig->vq, chains[0], 0);
	vq_complete(rig->vq, chains[1], 0);
	assert_true(vq_publish(rig->vq));
}

static void test_h18_one_descriptor_too_many_in_flight(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[NUM];
	struct rig_desc d[NUM];

	chain_of(d, NUM);
	rig_offer(rig, d, NUM, 0);
	assert_int_equal(vq_fetch(rig->vq, chains, NUM), 1);
	rig_offer(rig, &d[NUM - 1], 1, 1);
	assert_int_equal(vq_fetch(rig->vq, chains, NUM), -EPROTO);
	assert_int_equal(vq_broken(rig->vq), VQ_BREAK_AVAIL);
}

static void test_h19_garbage_is_not_available(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[NUM];
	struct rig_desc d = { BUF, 16, 0 };

	for (unsigned int i = 0; i < NUM; i++) {
		rig_packed_desc(rig, (uint16_t)i, &d, 0, false);
	}
	assert_int_equal(vq_fetch(rig->vq, chains, NUM), 0);
	d.flags = 1U << VRING_PACKED_DESC_F_USED;
	rig_packed_desc(rig, 0, &d, 0, true);
	assert_int_equal(vq_fetch(rig->vq, chains, NUM), 0);
	assert_false(vq_has_available(rig->vq));
	assert_int_equal(vq_broken(rig->vq), VQ_OK);
}

static void test_h20_index_jumps_beyond_the_size(void **state)
{
	struct rig *rig = *state;

	rig_split_set_idx(rig, NUM + 1);
	rig_assert_breaks(rig, VQ_BREAK_AVAIL);
}

static void test_h21_index_goes_back(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { BUF, 16, 0 };

	rig_offer(rig, &d, 1, 0);
	rig_offer(rig, &d, 1, 1);
	vq_complete(rig->vq, rig_fetch(rig), 0);
	vq_complete(rig->vq, rig_fetch(rig), 0);
	vq_publish(rig->vq);
	rig_split_set_idx(rig, 1);
	rig_assert_breaks(rig, VQ_BREAK_AVAIL);
}

static void test_h21_index_goes_back_while_some_are_left(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { BUF, 16, 0 };

	for (unsigned int i = 0; i < 4; i++) {
		rig_offer(rig, &d, 1, 0);
	}
	vq_complete(rig->vq, rig_fetch(rig), 0);
	rig_split_set_idx(rig, 2);
	for (unsigned int i = 0; i < 3; i++) {
		vq_complete(rig->vq, rig_fetch(rig), 0);
	}
	vq_publish(rig->vq);
	rig_assert_breaks(rig, VQ_BREAK_AVAIL);
}

static void test_h22_same_head_twice_in_one_batch(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { BUF, 16, 0 };
	struct vq_chain *chains[NUM];

	rig_offer(rig, &d, 1, 3);
	if (rig->is_packed) {
		rig_offer(rig, &d, 1, 3);
	} else {
		rig_split_avail(rig, 0);
	}
	assert_int_equal(vq_fetch(rig->vq, chains, NUM), 1);
	assert_int_equal(vq_broken(rig->vq), VQ_OK);
	assert_int_equal(vq_fetch(rig->vq, chains, NUM), -EPROTO);
	assert_int_equal(vq_broken(rig->vq), VQ_BREAK_IN_FLIGHT);
	assert_int_equal(vq_n_in_flight(rig->vq), 1);
}

/* Completed is not yet the driver's: only what was published may come again. */
static void test_h23_head_reused_before_it_was_published(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { BUF, 16, 0 };

	rig_offer(rig, &d, 1, 0);
	vq_complete(rig->vq, rig_fetch(rig), 0);
	vq_publish(rig->vq);
	rig->raw_slot = rig->is_packed ? rig->raw_slot : 0;
	rig_offer(rig, &d, 1, 0);
	vq_complete(rig->vq, rig_fetch(rig), 0);
	rig->raw_slot = rig->is_packed ? rig->raw_slot : 0;
	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_IN_FLIGHT);
}

static void test_head_out_of_range(void **state)
{
	struct rig *rig = *state;

	rig_split_avail(rig, NUM);
	rig_assert_breaks(rig, VQ_BREAK_HEAD);
}

/* Wishes about calls change at random; each is answered by the rule. */
static void check_random_events(uint64_t format)
{
	struct rig *rig = rig_new(format | RIG_EVENT, NUM);
	__le16 *driver = (__le16 *)(rig->ring.va + rig->at.driver_area);
	uint64_t rng = 88172645463325252ULL;
	const struct rig_desc d = { BUF, 16, 0 };
	unsigned int n_calls = 0;

	for (unsigned int i = 0; i < 100000; i++) {
		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		if (rig->is_packed) {
			shm_store16(&driver[0], (uint16_t)rng);
			shm_store16(&driver[1], (uint16_t)(rng >> 16));
		} else {
			shm_store16(&driver[2 + NUM], (uint16_t)rng % 256);
			shm_store16(&driver[0], (uint16_t)(rng >> 16));
		}
		rig_offer(rig, &d, 1, (uint16_t)(i % NUM));
		vq_complete(rig->vq, rig_fetch(rig), 0);
		n_calls += vq_publish(rig->vq);
	}
	/* Split: used_event hits once in 2^16, of which we draw 256. */
	assert_true(rig->is_packed ? n_calls > 45000 && n_calls < 90000
				   : n_calls > 0 && n_calls < 30);
	rig_free(rig);
}

static void test_h24_random_events_do_no_harm(void **state)
{
	check_random_events(RIG_SPLIT);
	check_random_events(RIG_PACKED);
}

static void check_areas(uint64_t format, uint64_t desc, uint64_t driver,
			uint64_t device)
{
	struct rig *rig = rig_new(format | RIG_EVENT, NUM);
	const struct vq_setup setup = {
		.num = NUM,
		.features = format | RIG_EVENT,
		.desc_area = desc,
		.driver_area = driver,
		.device_area = device,
		.state = { .avail_wrap = true, .used_wrap = true },
	};
	struct iotlb_snap *snap = iotlb_snapshot(rig->tlb);
	struct vq_chain *chains[NUM];

	memset(rig->ring.va, 0, rig->ring.size);
	vq_stop(rig->vq);
	assert_int_equal(vq_start(rig->vq, &setup, snap), 0);
	for (unsigned int i = 0; i < 3 * NUM; i++) {
		int n = vq_fetch(rig->vq, chains, NUM);

		while (n > 0) {
			vq_complete(rig->vq, chains[--n], 0);
		}
		vq_publish(rig->vq);
		vq_enable_kick(rig->vq);
		vq_disable_kick(rig->vq);
		rig->ring.va[i * 7] ^= (char)(i | 0x80);
	}
	iotlb_snap_unref(snap);
	rig_free(rig);
}

static void test_h26_areas_overlap_or_wrap_or_are_odd(void **state)
{
	static const uint64_t at[] = { RIG_RING_IOVA,	  RIG_RING_IOVA + 1,
				       RIG_RING_IOVA + 2, RIG_RING_IOVA + 8,
				       UINT64_MAX,	  UINT64_MAX - 2,
				       UINT64_MAX - 64,	  0 };
	const unsigned int n = ARRAY_SIZE(at);

	for (unsigned int i = 0; i < n * n * n; i++) {
		check_areas(i % 2 ? RIG_SPLIT : RIG_PACKED, at[i % n],
			    at[i / n % n], at[i / n / n]);
	}
}

static void test_h26_area_that_wraps_is_not_mapped(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chain;

	/* Both ends of the address space are the ring's memory. */
	rig_map(rig, UINT64_MAX - 63, &rig->ring, 0, 64, REGION_OWN,
		MEM_PERM_RW);
	rig_map(rig, 0, &rig->ring, 64, 1024, REGION_OWN, MEM_PERM_RW);
	vq_stop(rig->vq);
	assert_int_equal(rig_start_at(rig, UINT64_MAX - 63), 0);
	rig_add_bytes(rig, 1);
	assert_int_equal(vq_fetch(rig->vq, &chain, 1), -EAGAIN);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST_PACKED(h18_id_out_of_range),
	RIG_TEST_PACKED(h18_id_of_a_long_chain_out_of_range),
	RIG_TEST_PACKED(h18_chain_wraps),
	RIG_TEST_PACKED(h18_wrap_bits_flip_while_in_flight),
	RIG_TEST_PACKED(h18_one_descriptor_too_many_in_flight),
	RIG_TEST_PACKED(h19_garbage_is_not_available),
	RIG_TEST_SPLIT(h20_index_jumps_beyond_the_size),
	RIG_TEST_SPLIT(h21_index_goes_back),
	RIG_TEST_SPLIT(h21_index_goes_back_while_some_are_left),
	RIG_TEST(h22_same_head_twice_in_one_batch),
	RIG_TEST(h23_head_reused_before_it_was_published),
	RIG_TEST_SPLIT(head_out_of_range),
	cmocka_unit_test(test_h24_random_events_do_no_harm),
	cmocka_unit_test(test_h26_areas_overlap_or_wrap_or_are_odd),
	RIG_TEST(h26_area_that_wraps_is_not_mapped),
};

TEST_MAIN("vq_hostile_idx")
