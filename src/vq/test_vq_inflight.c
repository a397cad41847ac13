/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the inflight log: what a queue writes there, and what it makes of it
 * later. See test_vq_crash.c for dying.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <unistd.h>

#include "lib/oom.h"
#include "vq/test_vq_inflight.h"

static void test_log_bytes_are_those_of_the_specification(void **state)
{
	(void)state;
	assert_int_equal(vq_inflight_bytes(1, false), 64);
	assert_int_equal(vq_inflight_bytes(3, false), 64);
	assert_int_equal(vq_inflight_bytes(128, false), 2112);
	assert_int_equal(vq_inflight_bytes(32768, false), 524352);
	assert_int_equal(vq_inflight_bytes(1, true), 64);
	assert_int_equal(vq_inflight_bytes(128, true), 4160);
	assert_int_equal(vq_inflight_bytes(32768, true), 1048640);
}

/* Where other implementations look for it. */
static void test_log_fields_stand_where_others_look(void **state)
{
	struct logged *l = *state;
	const uint8_t *bytes = (const uint8_t *)l->mem;
	unsigned int entry = l->rig->is_packed ? 32 : 16;
	struct vq_chain *chains[ALL];
	uint16_t u16[4];
	uint64_t counter;

	offer(l, 0);
	offer(l, 1);
	assert_fetches(l, "01", chains);
	memcpy(u16, bytes + 8, sizeof(u16));
	assert_int_equal(u16[0], 1); /* version */
	assert_int_equal(u16[1], 8); /* desc_num */
	/* The second chain's: its head is 2, and so is its first entry. */
	assert_int_equal(bytes[entry + 2 * entry], 1);
	memcpy(&counter, bytes + 3 * entry + 8, sizeof(counter));
	assert_int_equal(counter, 1);
	if (l->rig->is_packed) {
		assert_int_equal(u16[2], 4); /* free_head */
		assert_int_equal(u16[3], 4);
		memcpy(u16, bytes + 3 * entry + 2, 6);
		assert_int_equal(u16[1], 3); /* last */
		assert_int_equal(u16[2], 2); /* num */
		memcpy(u16, bytes + 3 * entry + 16, 2);
		assert_int_equal(u16[0], 1); /* id */
	}
	publish(l, chains[1]);
	assert_int_equal(bytes[entry + 2 * entry], 0);
	memcpy(u16, bytes + 12, sizeof(u16));
	if (l->rig->is_packed) {
		assert_int_equal(u16[0], 2); /* free_head */
		assert_int_equal(u16[1], 2);
		assert_int_equal(u16[2], 2); /* used_idx */
		assert_int_equal(u16[3], 2);
		assert_int_equal(bytes[20], 1); /* wrap counters */
		assert_int_equal(bytes[21], 1);
	} else {
		assert_int_equal(u16[0], 2); /* last_batch_head */
		assert_int_equal(u16[1], 1); /* used_idx */
	}
}

static void test_log_chains_are_fetched_again_in_order(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];
	struct vq_state at;

	use_third(l);
	restart(l);
	offer_fifth(l);
	assert_true(vq_has_available(l->rig->vq));
	assert_int_equal(vq_fetch(l->rig->vq, chains, 2), 2);
	assert_int_equal(vq_counters(l->rig->vq)->n_again, 3);
	vq_get_state(l->rig->vq, &at);
	assert_int_equal(at.avail_idx, l->rig->is_packed ? 2 : 1);
	assert_true(vq_enable_kick(l->rig->vq));
	assert_fetches(l, "34", chains + 2);
	assert_int_equal(vq_n_in_flight(l->rig->vq), 4);
	vq_complete_all(l->rig->vq, chains, NULL, 4);
	(void)vq_publish(l->rig->vq);
	restart(l);
	assert_fetches(l, "", chains);
	assert_false(vq_has_available(l->rig->vq));
	offer(l, 5);
	assert_fetches(l, "5", chains);
}

/* A slot of the ring that is used already has the descriptors of another. */
static void test_log_has_what_the_ring_has_lost(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];

	for (unsigned int i = 0; i < 4; i++) {
		offer(l, i);
	}
	assert_fetches(l, "0123", chains);
	/* Out of order, round the ring: the oldest stays. */
	for (unsigned int i = 3; i > 0; i--) {
		publish(l, chains[i]);
	}
	if (l->rig->is_packed) {
		offer(l, 4);
		offer(l, 5);
		assert_fetches(l, "45", chains + 1);
		publish(l, chains[2]);
		restart(l);
		assert_fetches(l, "04", chains);
	} else {
		restart(l);
		assert_fetches(l, "0", chains);
	}
}

static void test_log_with_indirect_chains(void **state)
{
	struct logged *l = *state;
	const struct rig_desc d[] = {
		{ RIG_BUF_IOVA, 3, VRING_DESC_F_NEXT },
		{ RIG_BUF_IOVA + PAGE, 64, VRING_DESC_F_WRITE },
	};
	struct rig_desc table =
		rig_table(l->rig, RIG_BUF_IOVA + 8 * PAGE, d, 2);
	struct vq_chain *chains[ALL];

	rig_offer(l->rig, &table, 1, 0);
	assert_fetches(l, "2", chains);
	restart(l);
	assert_fetches(l, "2", chains);
}

static void test_log_keeps_what_was_given_back(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];

	use_third(l);
	restart(l);
	assert_fetches(l, "013", chains);
	vq_unfetch(l->rig->vq, 2);
	assert_true(vq_has_available(l->rig->vq));
	restart(l);
	assert_fetches(l, "013", chains);
	vq_unfetch(l->rig->vq, 2);
	offer_fifth(l);
	assert_fetches(l, "134", chains + 1);
	/* From the ring: not in flight any more. */
	vq_unfetch(l->rig->vq, 1);
	restart(l);
	assert_int_equal(vq_fetch(l->rig->vq, chains, 8), 3);
	assert_int_equal(vq_counters(l->rig->vq)->n_again, 9);
	assert_fetches(l, "4", chains + 3);
}

static void map_ring(struct logged *l, bool is_mapped)
{
	if (is_mapped) {
		rig_map(l->rig, RIG_RING_IOVA, &l->rig->ring, 0,
			l->rig->ring.size, REGION_OWN, MEM_PERM_RW);
	} else {
		rig_unmap(l->rig, RIG_RING_IOVA);
	}
	rig_set_snap(l->rig);
}

/* Nothing is known before the ring is there; nobody polls for it. */
static void test_log_waits_for_the_ring(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];

	use_third(l);
	vq_stop(l->rig->vq);
	rig_unmap(l->rig, RIG_RING_IOVA);
	assert_int_equal(rig_start(l->rig, NULL), 0);
	vq_disable_kick(l->rig->vq);
	assert_int_equal(vq_fetch(l->rig->vq, chains, 8), -EAGAIN);
	assert_false(vq_enable_kick(l->rig->vq));
	assert_false(vq_has_available(l->rig->vq));
	map_ring(l, true);
	assert_true(vq_enable_kick(l->rig->vq));
	assert_fetches(l, "013", chains);
}

/* The used index of a split ring must be readable, to be compared. */
static void test_split_log_needs_to_read_the_used_ring(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];
	uint64_t iova;
	uint32_t perm;

	use_third(l);
	l->rig->has_misses = true;
	rig_unmap(l->rig, RIG_RING_IOVA);
	rig_map(l->rig, RIG_RING_IOVA, &l->rig->ring, 0, l->rig->at.device_area,
		REGION_OWN, MEM_PERM_RO);
	rig_map(l->rig, RIG_RING_IOVA + l->rig->at.device_area, &l->rig->ring,
		l->rig->at.device_area,
		l->rig->ring.size - l->rig->at.device_area, REGION_OWN,
		MEM_PERM_WO);
	restart(l);
	assert_int_equal(vq_fetch(l->rig->vq, chains, 8), -EAGAIN);
	assert_true(vq_get_miss(l->rig->vq, &iova, &perm));
	assert_int_equal(iova, RIG_RING_IOVA + l->rig->at.device_area);
	assert_int_equal(perm, MEM_PERM_RW);
	rig_remap_ring(l->rig, 0, REGION_OWN);
	assert_fetches(l, "013", chains);
}

/* A hole in a chain of the log is waited for like any other. */
static void test_log_chain_with_a_miss(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];
	uint64_t iova;
	uint32_t perm;

	use_third(l);
	l->rig->has_misses = true;
	rig_unmap(l->rig, RIG_BUF_IOVA);
	rig_map(l->rig, RIG_BUF_IOVA, &l->rig->buf, 0, 64, REGION_OWN,
		MEM_PERM_RW);
	rig_map(l->rig, RIG_BUF_IOVA + PAGE, &l->rig->buf, PAGE, PAGE,
		REGION_OWN, MEM_PERM_RW);
	restart(l);
	assert_int_equal(vq_fetch(l->rig->vq, chains, 8), 1);
	assert_int_equal(vq_fetch(l->rig->vq, chains + 1, 8), -EAGAIN);
	assert_true(vq_get_miss(l->rig->vq, &iova, &perm));
	assert_int_equal(iova, RIG_BUF_IOVA + 64);
	assert_false(vq_has_available(l->rig->vq));
	rig_map(l->rig, RIG_BUF_IOVA + 64, &l->rig->buf, 64, PAGE - 64,
		REGION_OWN, MEM_PERM_RW);
	rig_set_snap(l->rig);
	assert_fetches(l, "13", chains + 1);
}

/* Published while the ring is away, more fetched, died: nothing is lost. */
static void test_log_over_a_publication_that_failed(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];

	offer(l, 0);
	offer(l, 1);
	assert_fetches(l, "01", chains);
	vq_complete(l->rig->vq, chains[1], 0);
	map_ring(l, false);
	assert_false(vq_publish(l->rig->vq));
	assert_true(vq_is_stalled(l->rig->vq));
	map_ring(l, true);
	offer(l, 2);
	assert_fetches(l, "2", chains + 2);
	restart(l);
	assert_fetches(l, "012", chains);
	map_ring(l, false);
	vq_complete(l->rig->vq, chains[2], 0);
	assert_false(vq_publish(l->rig->vq));
	vq_complete(l->rig->vq, chains[0], 0);
	assert_false(vq_publish(l->rig->vq));
	map_ring(l, true);
	(void)vq_publish(l->rig->vq);
	restart(l);
	assert_fetches(l, "1", chains);
}

/* Whoever died may have written to the ring without a mark. */
static void test_log_marks_the_ring_as_written(void **state)
{
	struct logged *l = *state;
	struct mem_log_range range = { l->rig->ring.va, l->rig->ring.size, 0 };
	struct region *bitmap;
	struct vq_log log = { .used_gpa = UINT64_MAX };
	struct vq_chain *chains[ALL];
	uint8_t bits[2] = { 0 };

	use_third(l);
	assert_int_equal(
		region_new_own(bits, sizeof(bits), NULL, NULL, &bitmap), 0);
	assert_int_equal(mem_log_new(bitmap, &range, 1, &log.log), 0);
	vq_set_log(l->rig->vq, &log);
	restart(l);
	assert_fetches(l, "013", chains);
	assert_int_equal(bits[0] & 1, 1);
	vq_set_log(l->rig->vq, NULL);
	mem_log_unref(log.log);
	region_unref(bitmap);
}

/* ---- memory that will not do ---- */

static void test_log_memory_is_checked(void **state)
{
	struct logged *l = *state;
	struct rig *rig = l->rig;
	uint64_t bytes = l->rig->is_packed ? 32 + 8 * 32 : 16 + 8 * 16;
	const struct {
		uint64_t offset;
		uint64_t bytes;
		int rc;
	} cases[] = {
		{ 0, bytes, 0 },
		{ 8, bytes, 0 },
		{ 0, bytes - 1, -EINVAL },
		{ 0, 0, -EINVAL },
		{ 4, bytes, -EINVAL },
		{ LOG_BYTES - bytes, bytes, 0 },
		{ LOG_BYTES - bytes + 8, bytes, -EINVAL },
		{ UINT64_MAX - 7, bytes, -EINVAL },
		{ 8, UINT64_MAX, -EINVAL },
	};

	vq_stop(rig->vq);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		rig->inflight_offset = cases[i].offset;
		rig->inflight_bytes = cases[i].bytes;
		assert_int_equal(rig_start(rig, NULL), cases[i].rc);
		if (cases[i].rc == 0) {
			vq_stop(rig->vq);
		}
	}
}

static void test_log_in_foreign_memory_is_refused(void **state)
{
	struct logged *l = *state;
	struct region *own = l->rig->inflight;
	struct foreign_mem *fm;

	vq_stop(l->rig->vq);
	assert_int_equal(foreign_mem_new(dup(0), &fm), 0);
	assert_int_equal(
		region_new_foreign(fm, 0, LOG_BYTES, &l->rig->inflight), 0);
	assert_int_equal(rig_start(l->rig, NULL), -EINVAL);
	region_unref(l->rig->inflight);
	foreign_mem_unref(fm);
	l->rig->inflight = own;
}

static int start_with_log(void *priv)
{
	void *state;
	struct logged *l;
	int rc;

	assert_int_equal(setup(&state, *(const uint64_t *)priv), 0);
	l = state;
	vq_stop(l->rig->vq);
	oom_begin();
	rc = rig_start(l->rig, NULL);
	oom_end();
	assert_int_equal(vq_is_started(l->rig->vq), rc == 0);
	(void)teardown(&state);
	return rc;
}

static void test_log_without_memory(void **state)
{
	uint64_t features[] = { RIG_SPLIT, RIG_PACKED };

	(void)state;
	assert_int_equal(oom_check(start_with_log, &features[0]), 6);
	assert_int_equal(oom_check(start_with_log, &features[1]), 6);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_log_bytes_are_those_of_the_specification),
	LOG_TEST(log_fields_stand_where_others_look),
	LOG_TEST(log_chains_are_fetched_again_in_order),
	LOG_TEST(log_has_what_the_ring_has_lost),
	LOG_TEST(log_with_indirect_chains),
	LOG_TEST(log_keeps_what_was_given_back),
	LOG_TEST(log_waits_for_the_ring),
	LOG_TEST_OF(split, log_needs_to_read_the_used_ring),
	LOG_TEST(log_chain_with_a_miss),
	LOG_TEST(log_over_a_publication_that_failed),
	LOG_TEST(log_marks_the_ring_as_written),
	LOG_TEST(log_memory_is_checked),
	LOG_TEST(log_in_foreign_memory_is_refused),
	cmocka_unit_test(test_log_without_memory),
};

TEST_MAIN("vq_inflight")
