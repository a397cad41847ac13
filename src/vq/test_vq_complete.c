/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of vq_complete_all(): it is vq_complete() of each, whatever the order,
 * the chains and the snapshots are.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vq/test_vq_rig.h"

#define NUM	 64
#define N_CHAINS 8
#define N_ROUNDS 40

/* Chains of one writable piece, or of enough to need a block of a pool. */
static void add_chains(struct rig *rig, unsigned int n_pieces)
{
	struct vq_sg sg[8];

	for (unsigned int i = 0; i < n_pieces; i++) {
		sg[i] = rig_sg(i * 64, 10);
	}
	for (uintptr_t i = 1; i <= N_CHAINS; i++) {
		assert_int_equal(
			vq_driver_add(rig->drv, sg, 0, n_pieces, (void *)i), 0);
	}
	(void)vq_driver_publish(rig->drv);
}

/* Each buffer is got back once, with the length that its number tells. */
static void assert_all_got(struct rig *rig, bool is_in_order)
{
	struct vq_used used[NUM];
	unsigned int seen = 0;

	assert_int_equal(vq_driver_get(rig->drv, used, NUM), N_CHAINS);
	for (uintptr_t i = 0; i < N_CHAINS; i++) {
		uintptr_t id = (uintptr_t)used[i].cookie;

		assert_int_equal(used[i].written, id);
		seen |= 1U << id;
		if (is_in_order) {
			assert_int_equal(id, i + 1);
		}
	}
	assert_int_equal(seen, ((1U << N_CHAINS) - 1) << 1);
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
}

struct order {
	const char *idx; /* of chains, as digits */
	unsigned int n_single; /* of them, done by vq_complete() before */
};

static void complete_in(struct rig *rig, struct vq_chain **chains,
			const struct order *order)
{
	struct vq_chain *rest[N_CHAINS];
	uint32_t written[N_CHAINS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_CHAINS; i++) {
		unsigned int idx = (unsigned int)(order->idx[i] - '0');

		if (i < order->n_single) {
			vq_complete(rig->vq, chains[idx], idx + 1);
		} else {
			rest[n] = chains[idx];
			written[n] = idx + 1;
			n++;
		}
	}
	vq_complete_all(rig->vq, rest, written, n);
}

static void run(uint64_t features, unsigned int n_pieces,
		const struct order *order, bool has_new_map)
{
	struct rig *rig = rig_new(features, NUM);
	bool is_in_order = features & RIG_IN_ORDER;

	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		struct vq_chain *chains[N_CHAINS];

		add_chains(rig, n_pieces);
		assert_int_equal(vq_fetch(rig->vq, chains, N_CHAINS), N_CHAINS);
		if (has_new_map) {
			rig_map(rig, 0x7000000000ULL + round * 4096ULL,
				&rig->buf, 0, 4096, REGION_OWN, MEM_PERM_RW);
			rig_set_snap(rig);
			assert_true(vq_has_old_chains(rig->vq));
		}
		complete_in(rig, chains, order);
		assert_false(vq_has_old_chains(rig->vq));
		(void)vq_publish(rig->vq);
		assert_all_got(rig, is_in_order);
	}
	assert_int_equal(vq_counters(rig->vq)->n_completed,
			 N_ROUNDS * N_CHAINS);
	rig_free(rig);
}

static void test_complete_all_is_complete_of_each(void **state)
{
	static const struct order orders[] = {
		{ "01234567", 0 }, { "76543210", 0 }, { "30142675", 0 },
		{ "76543210", 4 }, { "12345670", 3 }, { "01234567", 7 },
	};
	static const uint64_t bits[] = { RIG_PACKED, RIG_IN_ORDER,
					 RIG_INDIRECT };

	(void)state;
	for (unsigned int set = 0; set < 8 * ARRAY_SIZE(orders); set++) {
		const struct order *order = &orders[set / 8];
		uint64_t features = 0;

		for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
			features |= has_bit(set, i) ? bits[i] : 0;
		}
		run(features, 1, order, false);
		run(features, 8, order, false);
		run(features, 1, order, true);
	}
}

/* In order, a burst that leaves the oldest out shows nothing. */
static void test_complete_all_waits_for_the_oldest(void **state)
{
	struct rig *rig = rig_new(RIG_IN_ORDER, NUM);
	struct vq_chain *chains[N_CHAINS];
	struct vq_used used[NUM];

	(void)state;
	add_chains(rig, 1);
	assert_int_equal(vq_fetch(rig->vq, chains, N_CHAINS), N_CHAINS);
	vq_complete_all(rig->vq, chains + 1, NULL, N_CHAINS - 1);
	assert_false(vq_publish(rig->vq));
	assert_int_equal(vq_driver_get(rig->drv, used, NUM), 0);
	vq_complete_all(rig->vq, chains, NULL, 1);
	(void)vq_publish(rig->vq);
	assert_int_equal(vq_driver_get(rig->drv, used, NUM), N_CHAINS);
	rig_free(rig);
}

static void test_complete_all_of_none(void **state)
{
	struct rig *rig = rig_new(RIG_SPLIT, NUM);

	(void)state;
	vq_complete_all(rig->vq, NULL, NULL, 0);
	assert_false(vq_publish(rig->vq));
	rig_free(rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_complete_all_is_complete_of_each),
	cmocka_unit_test(test_complete_all_waits_for_the_oldest),
	cmocka_unit_test(test_complete_all_of_none),
};

TEST_MAIN("vq_complete")
