/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the IOTLB and of copying through it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "lib/test.h"
#include "mem/iotlb.h"

static char memory[1 << 16];

static struct iotlb *new_tlb(unsigned int limit)
{
	struct iotlb *tlb;

	assert_int_equal(iotlb_new(limit, &tlb), 0);
	return tlb;
}

static struct region *new_region(void)
{
	struct region *region;

	assert_int_equal(
		region_new_own(memory, sizeof(memory), NULL, NULL, &region), 0);
	return region;
}

static void assert_nothing_left(void)
{
	struct region_stats stats;

	region_get_stats(&stats);
	for (unsigned int i = 0; i < REGION_KIND_N; i++) {
		assert_true(stats.n_regions[i] == 0);
		assert_true(stats.n_bytes[i] == 0);
	}
}

static void test_map_finds_what_it_mapped(void **state)
{
	struct iotlb *tlb = new_tlb(4);
	struct region *region = new_region();
	const struct iotlb_entry *e;
	struct iotlb_snap *snap;

	assert_int_equal(
		iotlb_map(tlb, 0x1000, 0x1fff, region, 16, MEM_PERM_RO), 0);
	assert_int_equal(iotlb_map(tlb, 0x2000, 0x2000, region, 0, MEM_PERM_RW),
			 0);
	snap = iotlb_snapshot(tlb);
	assert_null(iotlb_find(snap, 0xfff));
	e = iotlb_find(snap, 0x1fff);
	assert_non_null(e);
	assert_true(e->start == 0x1000 && e->last == 0x1fff);
	assert_ptr_equal(e->va, memory + 16);
	assert_int_equal(e->perm, MEM_PERM_RO);
	assert_true(iotlb_find(snap, 0x2000)->start == 0x2000);
	assert_null(iotlb_find(snap, 0x2001));
	assert_ptr_equal(iotlb_first(snap, 0), e);
	assert_null(iotlb_first(snap, 0x2001));
	iotlb_snap_unref(snap);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

static void test_read_write_cross_entries(void **state)
{
	struct iotlb *tlb = new_tlb(8);
	struct region *region = new_region();
	struct iotlb_snap *snap;
	char buf[64], back[64];

	for (unsigned int i = 0; i < sizeof(buf); i++) {
		buf[i] = (char)(i * 7 + 1);
	}
	assert_int_equal(iotlb_map(tlb, 100, 109, region, 1000, 3), 0);
	assert_int_equal(iotlb_map(tlb, 110, 110, region, 3000, 3), 0);
	assert_int_equal(iotlb_map(tlb, 111, 200, region, 0, 3), 0);
	snap = iotlb_snapshot(tlb);
	assert_int_equal(mem_write(snap, 105, buf, sizeof(buf)), 0);
	assert_memory_equal(memory + 1005, buf, 5);
	assert_int_equal(memory[3000], buf[5]);
	assert_memory_equal(memory, buf + 6, sizeof(buf) - 6);
	assert_int_equal(mem_read(snap, 105, back, sizeof(back)), 0);
	assert_memory_equal(back, buf, sizeof(buf));
	assert_int_equal(mem_read(snap, 99, back, 2), -EFAULT);
	assert_int_equal(mem_read(snap, 200, back, 2), -EFAULT);
	assert_int_equal(mem_read(snap, UINT64_MAX, back, 2), -EFAULT);
	iotlb_snap_unref(snap);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

/* ---- a naive model: what the table should hold, sorted ---- */

#define MODEL_MAX 4096

struct model_entry {
	uint64_t start, last;
};

struct model {
	unsigned int n;
	struct model_entry e[MODEL_MAX];
};

static uint64_t rng_state = 88172645463325252ULL;

static uint64_t rng(uint64_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state % below;
}

static bool model_overlaps(const struct model *m, uint64_t start, uint64_t last)
{
	for (unsigned int i = 0; i < m->n; i++) {
		if (m->e[i].start <= last && m->e[i].last >= start) {
			return true;
		}
	}
	return false;
}

static void model_map(struct model *m, uint64_t start, uint64_t last)
{
	unsigned int i = m->n++;

	while (i > 0 && m->e[i - 1].start > start) {
		m->e[i] = m->e[i - 1];
		i--;
	}
	m->e[i].start = start;
	m->e[i].last = last;
}

static unsigned int model_unmap(struct model *m, uint64_t start, uint64_t last)
{
	unsigned int kept = 0, n = m->n;

	for (unsigned int i = 0; i < n; i++) {
		if (m->e[i].start > last || m->e[i].last < start) {
			m->e[kept++] = m->e[i];
		}
	}
	m->n = kept;
	return n - kept;
}

static void assert_is_model(const struct iotlb_snap *snap,
			    const struct model *m)
{
	const struct iotlb_entry *e = iotlb_first(snap, 0);

	for (unsigned int i = 0; i < m->n; i++) {
		assert_non_null(e);
		assert_true(e->start == m->e[i].start);
		assert_true(e->last == m->e[i].last);
		assert_true(e->offset == e->start % 64);
		assert_ptr_equal(iotlb_find(snap, e->start), e);
		assert_ptr_equal(iotlb_find(snap, e->last), e);
		e = e->last == UINT64_MAX ? NULL
					  : iotlb_first(snap, e->last + 1);
	}
	assert_null(e);
}

#define N_HELD 8

struct held {
	struct iotlb_snap *snap;
	struct model model;
};

static void random_change(struct iotlb *tlb, struct model *m,
			  struct region *region, unsigned int grow_percent)
{
	uint64_t start = rng(16 * MODEL_MAX), len = 1 + rng(24);
	uint64_t last = start + len - 1;

	if (rng(100) < grow_percent) {
		int ret = iotlb_map(tlb, start, last, region, start % 64, 3);

		if (model_overlaps(m, start, last)) {
			assert_int_equal(ret, -EEXIST);
		} else if (m->n == MODEL_MAX) {
			assert_int_equal(ret, -ENOSPC);
		} else {
			assert_int_equal(ret, 0);
			model_map(m, start, last);
		}
		return;
	}
	if (rng(40) == 0) {
		last = start + rng(4096);
	}
	assert_int_equal(iotlb_unmap(tlb, start, last),
			 model_unmap(m, start, last));
	assert_int_equal(iotlb_n_entries(tlb), m->n);
}

static void test_random_changes_match_a_model(void **state)
{
	struct held *held = calloc(N_HELD, sizeof(*held));
	struct model *m = calloc(1, sizeof(*m));
	struct iotlb *tlb = new_tlb(MODEL_MAX);
	struct region *region = new_region();
	struct iotlb_snap *snap;

	for (unsigned int i = 0; i < 60000; i++) {
		/* Grows for a while, then shrinks, and so on. */
		random_change(tlb, m, region, i / 8000 % 2 ? 25 : 90);
		if (rng(200) == 0) {
			struct held *h = &held[rng(N_HELD)];

			if (h->snap) {
				assert_is_model(h->snap, &h->model);
			}
			iotlb_snap_unref(h->snap);
			h->snap = iotlb_snapshot(tlb);
			h->model = *m;
			assert_is_model(h->snap, &h->model);
		}
	}
	for (unsigned int i = 0; i < N_HELD; i++) {
		assert_is_model(held[i].snap, &held[i].model);
	}
	iotlb_restore(tlb, held[0].snap);
	assert_int_equal(iotlb_n_entries(tlb), held[0].model.n);
	snap = iotlb_snapshot(tlb);
	assert_ptr_equal(snap, held[0].snap);
	iotlb_snap_unref(snap);
	assert_int_equal(iotlb_unmap(tlb, 0, UINT64_MAX), held[0].model.n);
	assert_int_equal(iotlb_n_entries(tlb), 0);
	for (unsigned int i = 0; i < N_HELD; i++) {
		assert_is_model(held[i].snap, &held[i].model);
		iotlb_snap_unref(held[i].snap);
	}
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
	free(held);
	free(m);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_map_finds_what_it_mapped),
	cmocka_unit_test(test_read_write_cross_entries),
	cmocka_unit_test(test_random_changes_match_a_model),
};

TEST_MAIN("mem_iotlb")
