/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the device side with an honest driver, on both ring formats: life
 * cycle, order, state, notification. Memory is in test_vq_mem.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "vq/test_vq_rig.h"

static void test_chain_goes_round(void **state)
{
	struct rig *rig = *state;
	struct vq_sg sg[] = { rig_sg(0, 16), rig_sg(4096, 100),
			      rig_sg(8192, 9) };
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
			sg[i] = rig_sg(i * 64, (uint32_t)(n_added % 50 + 1));
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

static void test_new_and_start_refuse_bad_sizes(void **state)
{
	struct rig *rig = rig_new(RIG_SPLIT, 8);
	const struct vq_state beyond = { .used_idx = 6 };
	struct vq *vq;

	assert_int_equal(vq_new(0, 0, &vq), -EINVAL);
	assert_int_equal(vq_new(VQ_NUM_MAX + 1, 0, &vq), -EINVAL);
	vq_stop(rig->vq);
	rig->num = 0; /* H25 */
	assert_int_equal(rig_start(rig, NULL), -EINVAL);
	rig->num = 16;
	assert_int_equal(rig_start(rig, NULL), -EINVAL);
	rig->num = 6;
	assert_int_equal(rig_start(rig, NULL), -EINVAL);
	assert_false(vq_is_started(rig->vq));
	rig->features = RIG_PACKED;
	assert_int_equal(rig_start(rig, &beyond), -EINVAL);
	assert_int_equal(rig_start(rig, NULL), 0);
	assert_true(vq_is_started(rig->vq));
	assert_int_equal(vq_num(rig->vq), 6);
	assert_true(vq_features(rig->vq) == RIG_PACKED);
	rig_free(rig);
}

static void test_each_break_has_a_name(void **state)
{
	for (unsigned int i = 0; i < VQ_BREAK_N; i++) {
		assert_non_null(vq_break_name(i));
	}
}

static void test_slot_memory_is_of_one_chain(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[8];

	rig_add_bytes(rig, 8);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 8);
	for (int i = 0; i < 8; i++) {
		memset(vq_slot(rig->vq, chains[i]), i, 16);
	}
	for (int i = 0; i < 8; i++) {
		char want[16];

		memset(want, i, sizeof(want));
		assert_memory_equal(vq_slot(rig->vq, chains[i]), want, 16);
	}
}

static void test_completions_come_in_any_order(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[8];
	struct vq_used used[8];

	rig_add_bytes(rig, 4);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 4);
	vq_complete(rig->vq, chains[2], 0);
	vq_complete(rig->vq, chains[0], 0);
	assert_true(vq_publish(rig->vq));
	assert_int_equal(vq_n_in_flight(rig->vq), 2);
	assert_int_equal(vq_driver_get(rig->drv, used, 8), 2);
	assert_int_equal(used[0].cookie, 3);
	assert_int_equal(used[1].cookie, 1);
	vq_complete(rig->vq, chains[3], 0);
	vq_complete(rig->vq, chains[1], 0);
	assert_true(vq_publish(rig->vq));
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
	assert_int_equal(vq_driver_get(rig->drv, used, 8), 2);
	assert_int_equal(used[0].cookie, 4);
	assert_int_equal(used[1].cookie, 2);
}

static void check_in_order(uint64_t format)
{
	struct rig *rig = rig_new(format | RIG_IN_ORDER, 8);
	struct vq_chain *chains[8];
	struct vq_used used[8];

	rig_add_bytes(rig, 4);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 4);
	vq_complete(rig->vq, chains[2], 0);
	vq_complete(rig->vq, chains[1], 0);
	assert_false(vq_publish(rig->vq));
	assert_int_equal(vq_n_in_flight(rig->vq), 4);
	vq_complete(rig->vq, chains[0], 0);
	assert_int_equal(vq_n_in_flight(rig->vq), 4);
	assert_true(vq_publish(rig->vq));
	assert_int_equal(vq_n_in_flight(rig->vq), 1);
	assert_int_equal(vq_driver_get(rig->drv, used, 8), 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(used[i].cookie, i + 1);
	}
	vq_complete(rig->vq, chains[3], 0);
	assert_true(vq_publish(rig->vq));
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
	rig_free(rig);
}

static void test_in_order_completions_wait_for_older_ones(void **state)
{
	check_in_order(RIG_SPLIT);
	check_in_order(RIG_PACKED);
}

static void test_unfetched_chains_are_fetched_again(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[8];
	struct vq_used used[8];
	uint16_t heads[4];

	/* Twice, so that the second time the ring wraps. */
	for (int round = 0; round < 2; round++) {
		rig_add_bytes(rig, 6);
		assert_int_equal(vq_fetch(rig->vq, chains, 8), 6);
		for (int i = 0; i < 4; i++) {
			heads[i] = chains[i + 2]->head;
		}
		vq_complete(rig->vq, chains[0], 0);
		vq_unfetch(rig->vq, 4);
		assert_int_equal(vq_n_in_flight(rig->vq), 1);
		assert_true(vq_has_available(rig->vq));
		vq_complete(rig->vq, chains[1], 0);
		assert_int_equal(vq_fetch(rig->vq, chains, 8), 4);
		for (int i = 0; i < 4; i++) {
			assert_int_equal(chains[i]->head, heads[i]);
			vq_complete(rig->vq, chains[i], 0);
		}
		vq_publish(rig->vq);
		assert_int_equal(vq_driver_get(rig->drv, used, 8), 6);
		assert_int_equal(vq_counters(rig->vq)->n_chains,
				 6 * (round + 1));
	}
}

/* Stops with @n_done published of four; the next start goes on from there. */
static void check_state(uint64_t features, unsigned int n_done)
{
	struct rig *rig = rig_new(features, 5 + !(features & RIG_PACKED) * 3);
	struct vq_state at, again;

	for (unsigned int round = 0; round < 30; round++) {
		struct vq_chain *chains[8];
		struct vq_used used[8];
		int n = 4;

		rig_add_bytes(rig, 4);
		assert_int_equal(vq_fetch(rig->vq, chains, 8), 4);
		for (unsigned int i = 0; i < n_done; i++) {
			vq_complete(rig->vq, chains[i], 0);
		}
		vq_publish(rig->vq);
		vq_get_state(rig->vq, &at);
		vq_stop(rig->vq);
		vq_get_state(rig->vq, &again);
		assert_memory_equal(&at, &again, sizeof(at));
		assert_int_equal(rig_start(rig, &at), 0);
		n = vq_fetch(rig->vq, chains, 8);
		assert_int_equal(n, 4 - n_done);
		for (int i = 0; i < n; i++) {
			vq_complete(rig->vq, chains[i], 0);
		}
		vq_publish(rig->vq);
		assert_int_equal(vq_driver_get(rig->drv, used, 8), 4);
		for (int i = 0; i < 4; i++) {
			assert_int_equal(used[i].cookie, i + 1);
		}
	}
	rig_free(rig);
}

static void test_state_goes_on_as_if_unpublished_were_not_fetched(void **state)
{
	static const uint64_t features[] = { RIG_SPLIT, RIG_PACKED,
					     RIG_IN_ORDER,
					     RIG_PACKED | RIG_IN_ORDER };

	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		for (unsigned int n_done = 0; n_done <= 4; n_done++) {
			check_state(features[i], n_done);
		}
	}
}

/* One buffer to and fro. Return: what publish says */
static bool one_round(struct rig *rig)
{
	struct vq_used used;
	bool wants_call;

	rig_add_bytes(rig, 1);
	vq_complete(rig->vq, rig_fetch(rig), 0);
	wants_call = vq_publish(rig->vq);
	assert_int_equal(vq_driver_get(rig->drv, &used, 1), 1);
	return wants_call;
}

static void test_calls_stop_and_start_by_flag(void **state)
{
	struct rig *rig = *state;

	assert_true(one_round(rig));
	assert_true(one_round(rig));
	vq_driver_disable_call(rig->drv);
	assert_false(one_round(rig));
	assert_false(vq_driver_enable_call(rig->drv));
	assert_true(one_round(rig));
	assert_int_equal(vq_counters(rig->vq)->n_calls, 3);
	assert_int_equal(vq_counters(rig->vq)->n_calls_saved, 1);
}

static void test_kicks_stop_and_start_by_flag(void **state)
{
	struct rig *rig = *state;
	struct vq_sg sg = rig_sg(0, 1);

	assert_int_equal(vq_driver_add(rig->drv, &sg, 1, 0, rig), 0);
	assert_true(vq_driver_publish(rig->drv));
	vq_disable_kick(rig->vq);
	assert_int_equal(vq_driver_add(rig->drv, &sg, 1, 0, rig), 0);
	assert_false(vq_driver_publish(rig->drv));
	assert_true(vq_enable_kick(rig->vq));
	rig_fetch(rig);
	assert_true(vq_enable_kick(rig->vq));
	rig_fetch(rig);
	assert_false(vq_enable_kick(rig->vq));
	assert_int_equal(vq_driver_add(rig->drv, &sg, 1, 0, rig), 0);
	assert_true(vq_driver_publish(rig->drv));
}

/*
 * The driver asks once to be called; of what comes after it only the first is
 * announced. More than 2^16 buffers, so that every index wraps.
 */
static void check_call_events(uint64_t format, uint16_t num)
{
	struct rig *rig = rig_new(format | RIG_EVENT, num);

	assert_true(one_round(rig)); /* nothing is known before the first */
	for (unsigned int i = 0; i < 24000; i++) {
		assert_false(vq_driver_enable_call(rig->drv));
		assert_true(one_round(rig));
		assert_false(one_round(rig));
		vq_driver_disable_call(rig->drv);
		assert_false(one_round(rig));
	}
	rig_free(rig);
}

static void test_call_events_are_exact_round_all_wraps(void **state)
{
	check_call_events(RIG_SPLIT, 4);
	check_call_events(RIG_SPLIT, 256);
	check_call_events(RIG_PACKED, 1);
	check_call_events(RIG_PACKED, 7);
	check_call_events(RIG_PACKED, 256);
}

static void check_call_event_in_burst(uint64_t format)
{
	struct rig *rig = rig_new(format | RIG_EVENT, 8);
	struct vq_chain *chains[8];
	struct vq_used used[8];

	one_round(rig);
	for (int round = 0; round < 20; round++) {
		assert_false(vq_driver_enable_call(rig->drv));
		rig_add_bytes(rig, 6);
		assert_int_equal(vq_fetch(rig->vq, chains, 8), 6);
		for (int i = 0; i < 6; i++) {
			vq_complete(rig->vq, chains[i], 0);
		}
		assert_true(vq_publish(rig->vq));
		assert_true(vq_driver_enable_call(rig->drv));
		assert_int_equal(vq_driver_get(rig->drv, used, 8), 6);
	}
	rig_free(rig);
}

static void test_call_event_inside_a_burst_is_seen(void **state)
{
	check_call_event_in_burst(RIG_SPLIT);
	check_call_event_in_burst(RIG_PACKED);
}

/* Whoever had the queue before may have published and not called. */
static void check_first_call(uint64_t format)
{
	struct rig *rig = rig_new(format | RIG_EVENT, 8);
	struct vq_state at;

	assert_false(vq_driver_enable_call(rig->drv));
	assert_true(one_round(rig));
	assert_false(one_round(rig));
	vq_get_state(rig->vq, &at);
	vq_stop(rig->vq);
	assert_int_equal(rig_start(rig, &at), 0);
	assert_true(one_round(rig));
	assert_false(one_round(rig));
	rig_free(rig);
}

static void test_first_publication_after_start_calls(void **state)
{
	check_first_call(RIG_SPLIT);
	check_first_call(RIG_PACKED);
}

static void check_kick_events(uint64_t format, uint16_t num)
{
	struct rig *rig = rig_new(format | RIG_EVENT, num);
	struct vq_sg sg = rig_sg(0, 1);
	struct vq_used used;

	for (unsigned int i = 0; i < 70000; i++) {
		bool is_armed = i % 3 == 0;

		if (is_armed) {
			assert_false(vq_enable_kick(rig->vq));
		} else {
			vq_disable_kick(rig->vq);
		}
		assert_int_equal(vq_driver_add(rig->drv, &sg, 1, 0, rig), 0);
		assert_int_equal(vq_driver_publish(rig->drv), is_armed);
		vq_complete(rig->vq, rig_fetch(rig), 0);
		vq_publish(rig->vq);
		assert_int_equal(vq_driver_get(rig->drv, &used, 1), 1);
	}
	rig_free(rig);
}

static void test_kick_events_are_exact_round_all_wraps(void **state)
{
	check_kick_events(RIG_SPLIT, 1);
	check_kick_events(RIG_SPLIT, 256);
	check_kick_events(RIG_PACKED, 3);
	check_kick_events(RIG_PACKED, 256);
}

static void test_stop_forgets_what_is_in_flight(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[8];
	struct vq_state at;

	rig_add_bytes(rig, 8);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 8);
	vq_complete(rig->vq, chains[0], 0);
	vq_stop(rig->vq);
	vq_get_state(rig->vq, &at);
	assert_int_equal(at.avail_idx, 0);
	assert_int_equal(rig_start(rig, &at), 0);
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 8);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(chain_goes_round),
	RIG_TEST(slot_memory_is_of_one_chain),
	RIG_TEST(completions_come_in_any_order),
	RIG_TEST(unfetched_chains_are_fetched_again),
	RIG_TEST(calls_stop_and_start_by_flag),
	RIG_TEST(kicks_stop_and_start_by_flag),
	RIG_TEST(stop_forgets_what_is_in_flight),
	cmocka_unit_test(test_rings_go_round_with_all_features),
	cmocka_unit_test(test_new_and_start_refuse_bad_sizes),
	cmocka_unit_test(test_each_break_has_a_name),
	cmocka_unit_test(test_in_order_completions_wait_for_older_ones),
	cmocka_unit_test(test_state_goes_on_as_if_unpublished_were_not_fetched),
	cmocka_unit_test(test_call_events_are_exact_round_all_wraps),
	cmocka_unit_test(test_call_event_inside_a_burst_is_seen),
	cmocka_unit_test(test_first_publication_after_start_calls),
	cmocka_unit_test(test_kick_events_are_exact_round_all_wraps),
};

TEST_MAIN("vq_ring")
