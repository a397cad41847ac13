/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of memory that is mapped on demand: fetching stops before a hole, says
 * what is wanted, and goes on once it is there.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "vq/test_vq_rig.h"

#define PAGE	 4096
#define TABLE_AT (RIG_BUF_IOVA + 8 * PAGE)
#define BUF_LAST (RIG_BUF_IOVA + RIG_BUF_BYTES - 1)

/* Starts anew, in this mode. */
static struct rig *rig_with_misses(void **state)
{
	struct rig *rig = *state;

	vq_stop(rig->vq);
	rig->has_misses = true;
	assert_int_equal(rig_start(rig, NULL), 0);
	return rig;
}

/* The buffers, but for [hole, hole + len), which gets @perm (0: nothing). */
static void map_but(struct rig *rig, uint64_t hole, size_t len,
		    unsigned int perm)
{
	size_t before = (size_t)(hole - RIG_BUF_IOVA);

	assert_true(iotlb_unmap(rig->tlb, RIG_BUF_IOVA, BUF_LAST) > 0);
	rig_map(rig, RIG_BUF_IOVA, &rig->buf, 0, before, REGION_OWN,
		MEM_PERM_RW);
	if (perm) {
		rig_map(rig, hole, &rig->buf, before, len, REGION_OWN, perm);
	}
	rig_map(rig, hole + len, &rig->buf, before + len,
		RIG_BUF_BYTES - before - len, REGION_OWN, MEM_PERM_RW);
	rig_set_snap(rig);
}

static void map_all(struct rig *rig)
{
	assert_true(iotlb_unmap(rig->tlb, RIG_BUF_IOVA, BUF_LAST) > 0);
	rig_map(rig, RIG_BUF_IOVA, &rig->buf, 0, RIG_BUF_BYTES, REGION_OWN,
		MEM_PERM_RW);
	rig_set_snap(rig);
}

static void assert_misses(struct rig *rig, uint64_t iova, uint32_t perm)
{
	uint64_t got_iova;
	uint32_t got_perm;

	assert_true(vq_get_miss(rig->vq, &got_iova, &got_perm));
	assert_int_equal(got_iova, iova);
	assert_int_equal(got_perm, perm);
}

/* The next fetch waits for this, however often it is tried, asleep. */
static void assert_waits(struct rig *rig, uint64_t iova, uint32_t perm)
{
	uint64_t n_misses = vq_counters(rig->vq)->n_misses;
	struct vq_chain *chains[4];

	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(vq_fetch(rig->vq, chains, 4), -EAGAIN);
		assert_misses(rig, iova, perm);
		assert_false(vq_has_available(rig->vq));
		assert_false(vq_enable_kick(rig->vq));
		assert_int_equal(vq_counters(rig->vq)->n_misses, n_misses + i);
	}
	assert_int_equal(vq_broken(rig->vq), VQ_OK);
	assert_int_equal(vq_counters(rig->vq)->n_faults, 0);
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
}

static void assert_no_miss(struct rig *rig)
{
	uint64_t iova;
	uint32_t perm;

	assert_false(vq_get_miss(rig->vq, &iova, &perm));
}

/* There it is, whole, and nothing else. */
static void assert_goes_on(struct rig *rig, uint32_t readable,
			   uint32_t writable)
{
	struct vq_chain *chain;

	assert_no_miss(rig);
	assert_true(vq_has_available(rig->vq));
	chain = rig_fetch(rig);
	assert_false(chain->is_faulty);
	assert_int_equal(chain->readable_bytes, readable);
	assert_int_equal(chain->writable_bytes, writable);
	assert_no_miss(rig);
	assert_false(vq_has_available(rig->vq));
	vq_complete(rig->vq, chain, 0);
	(void)vq_publish(rig->vq);
}

/* ---- buffers ---- */

/* Readable at page 2, 300 bytes; writable at page 4, two pages. */
static const struct rig_desc descs[] = {
	{ RIG_BUF_IOVA + 2 * PAGE, 300, VRING_DESC_F_NEXT },
	{ RIG_BUF_IOVA + 4 * PAGE, 2 * PAGE, VRING_DESC_F_WRITE },
};

static const struct hole {
	uint64_t at; /* of the buffers */
	size_t len;
	unsigned int has; /* permission */
	uint64_t wanted_at; /* of the buffers */
	uint32_t wanted;
} holes[] = {
	{ 2 * PAGE, 300, 0, 2 * PAGE, MEM_PERM_RO },
	{ 2 * PAGE, 1, 0, 2 * PAGE, MEM_PERM_RO },
	{ 2 * PAGE + 299, 1, 0, 2 * PAGE + 299, MEM_PERM_RO },
	{ PAGE, 2 * PAGE, MEM_PERM_WO, 2 * PAGE, MEM_PERM_RO },
	{ 4 * PAGE, 1, 0, 4 * PAGE, MEM_PERM_WO },
	{ 5 * PAGE, 1, 0, 5 * PAGE, MEM_PERM_WO },
	{ 6 * PAGE - 1, 5, 0, 6 * PAGE - 1, MEM_PERM_WO },
	{ 3 * PAGE, 3 * PAGE, MEM_PERM_RO, 4 * PAGE, MEM_PERM_WO },
};

static void run_holes(struct rig *rig, const struct rig_desc *d, unsigned int n)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(holes); i++) {
		const struct hole *h = &holes[i];

		map_but(rig, RIG_BUF_IOVA + h->at, h->len, h->has);
		rig_offer(rig, d, n, 0);
		assert_waits(rig, RIG_BUF_IOVA + h->wanted_at, h->wanted);
		map_all(rig);
		assert_goes_on(rig, 300, 2 * PAGE);
	}
}

static void test_miss_in_a_buffer(void **state)
{
	run_holes(rig_with_misses(state), descs, 2);
}

static void test_miss_in_a_buffer_of_a_table(void **state)
{
	struct rig *rig = rig_with_misses(state);
	struct rig_desc table = rig_table(rig, TABLE_AT, descs, 2);

	run_holes(rig, &table, 1);
}

/* One hole after the other is filled: each is told. */
static void test_miss_tells_hole_by_hole(void **state)
{
	struct rig *rig = rig_with_misses(state);

	assert_true(iotlb_unmap(rig->tlb, RIG_BUF_IOVA, BUF_LAST) > 0);
	rig_set_snap(rig);
	rig_offer(rig, descs, 2, 0);
	assert_waits(rig, RIG_BUF_IOVA + 2 * PAGE, MEM_PERM_RO);
	for (unsigned int i = 2; i < 6; i++) {
		rig_map(rig, RIG_BUF_IOVA + i * PAGE, &rig->buf, i * PAGE, PAGE,
			REGION_OWN, MEM_PERM_RW);
		rig_set_snap(rig);
		if (i >= 3 && i < 5) {
			assert_waits(rig, RIG_BUF_IOVA + (i + 1) * PAGE,
				     MEM_PERM_WO);
		}
	}
	assert_goes_on(rig, 300, 2 * PAGE);
}

/* A map of something else changes nothing. */
static void test_miss_stays_with_a_map_of_no_use(void **state)
{
	struct rig *rig = rig_with_misses(state);

	map_but(rig, RIG_BUF_IOVA + 2 * PAGE, 300, 0);
	rig_offer(rig, descs, 2, 0);
	assert_waits(rig, RIG_BUF_IOVA + 2 * PAGE, MEM_PERM_RO);
	rig_map(rig, 0x7000000000ULL, &rig->buf, 0, PAGE, REGION_OWN,
		MEM_PERM_RW);
	rig_set_snap(rig);
	/* It may have been that: so one more look is asked for. */
	assert_no_miss(rig);
	assert_true(vq_has_available(rig->vq));
	assert_waits(rig, RIG_BUF_IOVA + 2 * PAGE, MEM_PERM_RO);
}

/* ---- indirect tables ---- */

static void test_miss_in_a_table(void **state)
{
	static const struct hole table_holes[] = {
		{ 8 * PAGE, 32, 0, 8 * PAGE, MEM_PERM_RO },
		{ 8 * PAGE, 32, MEM_PERM_WO, 8 * PAGE, MEM_PERM_RO },
		{ 8 * PAGE + 16, 1, 0, 8 * PAGE + 16, MEM_PERM_RO },
		{ 8 * PAGE + 31, 1, 0, 8 * PAGE + 31, MEM_PERM_RO },
	};
	struct rig *rig = rig_with_misses(state);
	struct rig_desc table = rig_table(rig, TABLE_AT, descs, 2);

	for (unsigned int i = 0; i < ARRAY_SIZE(table_holes); i++) {
		const struct hole *h = &table_holes[i];

		map_but(rig, RIG_BUF_IOVA + h->at, h->len, h->has);
		rig_offer(rig, &table, 1, 0);
		assert_waits(rig, RIG_BUF_IOVA + h->wanted_at, h->wanted);
		map_all(rig);
		assert_goes_on(rig, 300, 2 * PAGE);
	}
}

/* A table that cannot be, wherever memory is: broken as ever. */
static void test_miss_is_no_excuse_for_a_bad_table(void **state)
{
	struct rig *rig = rig_with_misses(state);
	const struct rig_desc bad = { UINT64_MAX - 15, 32,
				      VRING_DESC_F_INDIRECT };

	rig_offer(rig, &bad, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_LENGTH);
}

/* ---- the ring ---- */

/* The ring but for one byte of it. */
static void map_ring_but(struct rig *rig, size_t hole)
{
	uint64_t last = RIG_RING_IOVA + rig->ring.size - 1;

	assert_true(iotlb_unmap(rig->tlb, RIG_RING_IOVA, last) >= 0);
	if (hole > 0) {
		rig_map(rig, RIG_RING_IOVA, &rig->ring, 0, hole, REGION_OWN,
			MEM_PERM_RW);
	}
	rig_map(rig, RIG_RING_IOVA + hole + 1, &rig->ring, hole + 1,
		rig->ring.size - hole - 1, REGION_OWN, MEM_PERM_RW);
	rig_set_snap(rig);
}

static void test_miss_in_the_ring(void **state)
{
	struct rig *rig = rig_with_misses(state);
	const struct {
		size_t at;
		uint32_t perm;
	} areas[] = {
		{ rig->at.desc_area,
		  rig->is_packed ? MEM_PERM_RW : MEM_PERM_RO },
		{ rig->at.desc_area + rig->num * SHM_DESC_SIZE - 1,
		  rig->is_packed ? MEM_PERM_RW : MEM_PERM_RO },
		{ rig->at.driver_area, MEM_PERM_RO },
		{ rig->at.driver_area + 3, MEM_PERM_RO },
		{ rig->at.device_area, MEM_PERM_WO },
		{ rig->at.device_area + 3, MEM_PERM_WO },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(areas); i++) {
		map_ring_but(rig, areas[i].at);
		rig_offer(rig, descs, 2, 0);
		assert_waits(rig, RIG_RING_IOVA + areas[i].at, areas[i].perm);
		rig_remap_ring(rig, i % 2 ? areas[i].at : 0, REGION_OWN);
		assert_goes_on(rig, 300, 2 * PAGE);
	}
}

/* Gone between fetch and publish: told, and published later. */
static void test_miss_of_the_ring_at_publish(void **state)
{
	struct rig *rig = rig_with_misses(state);
	size_t at = rig->is_packed ? 8 : rig->at.device_area;
	struct vq_chain *chain;

	rig_offer(rig, descs, 2, 0);
	chain = rig_fetch(rig);
	map_ring_but(rig, at);
	vq_complete(rig->vq, chain, 0);
	assert_false(vq_publish(rig->vq));
	assert_true(vq_is_stalled(rig->vq));
	assert_misses(rig, RIG_RING_IOVA + at,
		      rig->is_packed ? MEM_PERM_RW : MEM_PERM_WO);
	rig_remap_ring(rig, 0, REGION_OWN);
	(void)vq_publish(rig->vq);
	assert_false(vq_is_stalled(rig->vq));
	assert_no_miss(rig);
}

/* ---- what stands before and behind ---- */

static void test_miss_leaves_the_chains_before(void **state)
{
	struct rig *rig = rig_with_misses(state);
	const struct rig_desc good = { RIG_BUF_IOVA, 7, 0 };
	struct vq_chain *chains[8];

	map_but(rig, RIG_BUF_IOVA + 5 * PAGE, 1, 0);
	rig_offer(rig, &good, 1, 0);
	rig_offer(rig, &good, 1, 1);
	rig_offer(rig, descs, 2, 2);
	rig_offer(rig, &good, 1, 4);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 2);
	assert_misses(rig, RIG_BUF_IOVA + 5 * PAGE, MEM_PERM_WO);
	assert_int_equal(vq_fetch(rig->vq, chains + 2, 8), -EAGAIN);
	map_all(rig);
	assert_int_equal(vq_fetch(rig->vq, chains + 2, 8), 2);
	assert_no_miss(rig);
	assert_int_equal(chains[2]->readable_bytes, 300);
	assert_int_equal(chains[3]->readable_bytes, 7);
	vq_complete_all(rig->vq, chains, NULL, 4);
	(void)vq_publish(rig->vq);
}

/* As the pump does when it learns that a map is on its way. */
static void test_miss_with_unfetch_and_forgive(void **state)
{
	struct rig *rig = rig_with_misses(state);
	const struct rig_desc good = { RIG_BUF_IOVA, 7, 0 };
	struct vq_chain *chains[8];

	map_but(rig, RIG_BUF_IOVA + 5 * PAGE, 1, 0);
	rig_offer(rig, &good, 1, 0);
	rig_offer(rig, descs, 2, 1);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 1);
	vq_unfetch(rig->vq, 1);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 1);
	assert_int_equal(vq_fetch(rig->vq, chains + 1, 8), -EAGAIN);
	vq_forgive(rig->vq);
	vq_unfetch(rig->vq, 1);
	assert_misses(rig, RIG_BUF_IOVA + 5 * PAGE, MEM_PERM_WO);
	map_all(rig);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 2);
	assert_int_equal(chains[0]->readable_bytes, 7);
	assert_int_equal(chains[1]->readable_bytes, 300);
}

/* Broken, then forgiven: misses are told again. */
static void test_miss_after_forgiving_a_break(void **state)
{
	struct rig *rig = rig_with_misses(state);
	const struct rig_desc bad = { RIG_BUF_IOVA, 8, VRING_DESC_F_INDIRECT };
	struct vq_chain *chain;

	rig_offer(rig, &bad, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_INDIRECT);
	vq_forgive(rig->vq);
	map_ring_but(rig, rig->at.driver_area);
	assert_int_equal(vq_fetch(rig->vq, &chain, 1), -EAGAIN);
	assert_misses(rig, RIG_RING_IOVA + rig->at.driver_area, MEM_PERM_RO);
}

/* Not asked for: a hole is the chain's fault, as ever. */
static void test_no_misses_unless_asked_for(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chain;

	map_but(rig, RIG_BUF_IOVA + 2 * PAGE, 300, 0);
	rig_offer(rig, descs, 2, 0);
	chain = rig_fetch(rig);
	assert_true(chain->is_faulty);
	assert_no_miss(rig);
	map_ring_but(rig, rig->at.driver_area);
	(void)vq_fetch(rig->vq, &chain, 1);
	assert_no_miss(rig);
	assert_int_equal(vq_counters(rig->vq)->n_misses, 0);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(miss_in_a_buffer),
	RIG_TEST(miss_in_a_buffer_of_a_table),
	RIG_TEST(miss_tells_hole_by_hole),
	RIG_TEST(miss_stays_with_a_map_of_no_use),
	RIG_TEST(miss_in_a_table),
	RIG_TEST(miss_is_no_excuse_for_a_bad_table),
	RIG_TEST(miss_in_the_ring),
	RIG_TEST(miss_of_the_ring_at_publish),
	RIG_TEST(miss_leaves_the_chains_before),
	RIG_TEST(miss_with_unfetch_and_forgive),
	RIG_TEST(miss_after_forgiving_a_break),
	RIG_TEST(no_misses_unless_asked_for),
};

TEST_MAIN("vq_miss")
