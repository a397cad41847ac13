/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the device side with an honest driver, on both ring formats.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "vq/test_vq_rig.h"

/* A piece of buffer memory. */
static struct vq_sg sg_at(uint32_t off, uint32_t len)
{
	return (struct vq_sg){ .iova = RIG_BUF_IOVA + off, .len = len };
}

static void test_chain_goes_round(void **state)
{
	struct rig *rig = *state;
	struct vq_sg sg[] = { sg_at(0, 16), sg_at(4096, 100), sg_at(8192, 9) };
	struct vq_used used[2];
	struct vq_chain *chain;
	char data[16];

	memset(rig_buf(rig, RIG_BUF_IOVA), 'q', 16);
	assert_int_equal(vq_driver_add(rig->drv, sg, 1, 2, sg), 0);
	assert_false(vq_has_available(rig->vq));
	assert_true(vq_driver_publish(rig->drv));
	assert_true(vq_has_available(rig->vq));
	chain = rig_fetch(rig);
	assert_false(vq_has_available(rig->vq));
	assert_int_equal(chain->n_readable, 1);
	assert_int_equal(chain->n_writable, 2);
	assert_int_equal(chain->readable_bytes, 16);
	assert_int_equal(chain->writable_bytes, 109);
	assert_false(chain->is_faulty);
	assert_int_equal(vq_chain_read(chain, 0, data, 16), 0);
	assert_memory_equal(data, "qqqqqqqqqqqqqqqq", 16);
	assert_int_equal(vq_chain_read(chain, 1, data, 16), -EFAULT);
	assert_int_equal(vq_chain_write(chain, 98, "abcd", 4), 0);
	assert_int_equal(vq_chain_write(chain, 107, "abc", 3), -EFAULT);
	assert_int_equal(vq_n_in_flight(rig->vq), 1);
	vq_complete(rig->vq, chain, 102);
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
	assert_int_equal(vq_driver_get(rig->drv, used, 2), 0);
	assert_true(vq_publish(rig->vq));
	assert_false(vq_publish(rig->vq));
	assert_int_equal(vq_driver_get(rig->drv, used, 2), 1);
	assert_ptr_equal(used[0].cookie, sg);
	assert_int_equal(used[0].written, 102);
	assert_memory_equal(rig_buf(rig, RIG_BUF_IOVA + 4096 + 98), "ab", 2);
	assert_memory_equal(rig_buf(rig, RIG_BUF_IOVA + 8192), "cd", 2);
	assert_int_equal(vq_driver_n_free(rig->drv), rig->num);
}

/* Many times round the ring, chains of all lengths, order kept. */
static void go_round(uint64_t features, uint16_t num)
{
	struct rig *rig = rig_new(features, num);
	struct vq_chain *chains[VQ_BURST_MAX];
	struct vq_used used[VQ_BURST_MAX];
	uintptr_t n_added = 0, n_got = 0;
	struct vq_sg sg[8];

	while (n_got < 1000) {
		unsigned int len = 1 + n_added % min_of(8, num);
		int n;

		for (unsigned int i = 0; i < len; i++) {
			sg[i] = sg_at(i * 64, (uint32_t)(n_added % 50 + 1));
		}
		while (vq_driver_add(rig->drv, sg, len - 1, 1,
				     (void *)(n_added + 1)) == 0) {
			n_added++;
		}
		vq_driver_publish(rig->drv);
		n = vq_fetch(rig->vq, chains, VQ_BURST_MAX);
		assert_true(n > 0);
		for (int i = 0; i < n; i++) {
			assert_int_equal(chains[i]->n_writable, 1);
			vq_complete(rig->vq, chains[i],
				    chains[i]->writable_bytes);
		}
		vq_publish(rig->vq);
		n = vq_driver_get(rig->drv, used, VQ_BURST_MAX);
		assert_true(n > 0);
		for (int i = 0; i < n; i++) {
			n_got++;
			assert_int_equal(used[i].cookie, n_got);
		}
	}
	assert_int_equal(vq_counters(rig->vq)->n_chains, n_got);
	assert_int_equal(vq_counters(rig->vq)->n_completed, n_got);
	assert_int_equal(vq_driver_n_in_flight(rig->drv), n_added - n_got);
	rig_free(rig);
}

static void test_rings_go_round_with_all_features(void **state)
{
	static const uint64_t bits[] = { RIG_PACKED, RIG_INDIRECT, RIG_EVENT,
					 RIG_IN_ORDER };
	static const uint16_t nums[] = { 1, 2, 16, 256 };

	for (unsigned int set = 0; set < 16; set++) {
		uint64_t features = 0;

		for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
			features |= has_bit(set, i) ? bits[i] : 0;
		}
		for (unsigned int i = 0; i < ARRAY_SIZE(nums); i++) {
			go_round(features, nums[i]);
		}
		if (features & RIG_PACKED) {
			go_round(features, 5);
		}
	}
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(chain_goes_round),
	cmocka_unit_test(test_rings_go_round_with_all_features),
};

TEST_MAIN("vq_ring")
