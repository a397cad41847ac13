/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the IOTLB.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "lib/oom.h"
#include "mem/test_mem_rig.h"

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

static void test_map_refuses_what_is_not_in_the_region(void **state)
{
	struct iotlb *tlb = new_tlb(4);
	struct region *region = new_region();
	const uint64_t size = MEMORY_BYTES;

	assert_int_equal(iotlb_map(tlb, 5, 4, region, 0, 3), -EINVAL);
	assert_int_equal(iotlb_map(tlb, UINT64_MAX, 0, region, 0, 3), -EINVAL);
	assert_int_equal(iotlb_map(tlb, 0, size, region, 0, 3), -EINVAL);
	assert_int_equal(iotlb_map(tlb, 0, size - 1, region, 1, 3), -EINVAL);
	assert_int_equal(iotlb_map(tlb, 0, 0, region, size, 3), -EINVAL);
	assert_int_equal(iotlb_map(tlb, 0, 0, region, UINT64_MAX, 3), -EINVAL);
	assert_int_equal(iotlb_map(tlb, 0, UINT64_MAX, region, 0, 3), -EINVAL);
	assert_int_equal(iotlb_map(tlb, 0, UINT64_MAX, region, UINT64_MAX, 3),
			 -EINVAL);
	assert_int_equal(iotlb_n_entries(tlb), 0);
	assert_int_equal(iotlb_map(tlb, 0, size - 1, region, 0, 3), 0);
	assert_int_equal(iotlb_map(tlb, size, size, region, size - 1, 3), 0);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

static void test_map_refuses_any_overlap(void **state)
{
	static const uint64_t bad[][2] = {
		{ 100, 199 }, { 100, 100 }, { 199, 199 }, { 150, 160 },
		{ 50, 100 },  { 199, 300 }, { 50, 300 },  { 0, 60000 },
	};
	struct iotlb *tlb = new_tlb(4);
	struct region *region = new_region();
	struct iotlb_snap *before, *after;

	assert_int_equal(iotlb_map(tlb, 100, 199, region, 0, 3), 0);
	before = iotlb_snapshot(tlb);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(iotlb_map(tlb, bad[i][0], bad[i][1], region, 0,
					   3),
				 -EEXIST);
	}
	after = iotlb_snapshot(tlb);
	assert_ptr_equal(before, after);
	assert_int_equal(iotlb_map(tlb, 0, 99, region, 0, 3), 0);
	assert_int_equal(iotlb_map(tlb, 200, 200, region, 0, 3), 0);
	iotlb_snap_unref(before);
	iotlb_snap_unref(after);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

static void test_map_stops_at_the_limit(void **state)
{
	struct iotlb *tlb = new_tlb(3);
	struct region *region = new_region();

	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(iotlb_map(tlb, i, i, region, 0, 3), 0);
	}
	assert_int_equal(iotlb_map(tlb, 3, 3, region, 0, 3), -ENOSPC);
	assert_int_equal(iotlb_n_entries(tlb), 3);
	assert_int_equal(iotlb_unmap(tlb, 1, 1), 1);
	assert_int_equal(iotlb_map(tlb, 3, 3, region, 0, 3), 0);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

static void test_unmap_removes_whole_entries(void **state)
{
	struct iotlb *tlb = new_tlb(8);
	struct region *region = new_region();
	struct iotlb_snap *before, *after;

	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(
			iotlb_map(tlb, i * 100, i * 100 + 49, region, 0, 3), 0);
	}
	before = iotlb_snapshot(tlb);
	assert_int_equal(iotlb_unmap(tlb, 50, 99), 0);
	assert_int_equal(iotlb_unmap(tlb, 450, UINT64_MAX), 0);
	assert_int_equal(iotlb_unmap(tlb, 10, 9), 0);
	after = iotlb_snapshot(tlb);
	assert_ptr_equal(before, after);
	iotlb_snap_unref(after);
	/* A byte of one and a byte of the next. */
	assert_int_equal(iotlb_unmap(tlb, 149, 200), 2);
	after = iotlb_snapshot(tlb);
	assert_null(iotlb_find(after, 100));
	assert_null(iotlb_find(after, 249));
	assert_non_null(iotlb_find(after, 49));
	assert_non_null(iotlb_find(after, 300));
	assert_non_null(iotlb_find(before, 249));
	iotlb_snap_unref(after);
	assert_int_equal(iotlb_unmap(tlb, 0, UINT64_MAX), 3);
	assert_int_equal(iotlb_n_entries(tlb), 0);
	assert_int_equal(iotlb_unmap(tlb, 0, UINT64_MAX), 0);
	after = iotlb_snapshot(tlb);
	assert_non_null(after);
	assert_null(iotlb_first(after, 0));
	iotlb_snap_unref(after);
	iotlb_snap_unref(before);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

/* All but one of the addresses there are, and single ones at both ends. */
static void test_ends_of_the_address_space(void **state)
{
	struct iotlb *tlb = new_tlb(8);
	struct foreign_mem *fm;
	struct region *region;
	struct iotlb_snap *snap;
	const struct iotlb_entry *e;
	char byte;

	assert_int_equal(
		foreign_mem_new(open("/proc/self/mem", O_RDWR | O_CLOEXEC),
				&fm),
		0);
	assert_int_equal(region_new_foreign(fm, 0, UINT64_MAX, &region), 0);
	assert_int_equal(iotlb_map(tlb, 1, UINT64_MAX, region, 0, 3), 0);
	assert_int_equal(iotlb_map(tlb, 0, 0, region, 7, 3), 0);
	snap = iotlb_snapshot(tlb);
	e = iotlb_find(snap, UINT64_MAX);
	assert_non_null(e);
	assert_true(e->start == 1 && e->last == UINT64_MAX);
	assert_ptr_equal(iotlb_first(snap, 1), e);
	assert_true(iotlb_find(snap, 0)->last == 0);
	/* The highest file offset and what is beyond: refused, not wrapped. */
	assert_int_equal(mem_read(snap, UINT64_MAX, &byte, 1), -EFAULT);
	assert_int_equal(mem_read(snap, UINT64_MAX, &byte, 2), -EFAULT);
	assert_int_equal(mem_read(snap, (uint64_t)INT64_MAX + 1, &byte, 1),
			 -EFAULT);
	assert_int_equal(mem_write(snap, (uint64_t)INT64_MAX, &byte, 1),
			 -EFAULT);
	assert_int_equal(mem_read(snap, UINT64_MAX, &byte, 0), 0);
	iotlb_snap_unref(snap);
	assert_int_equal(iotlb_unmap(tlb, UINT64_MAX, UINT64_MAX), 1);
	assert_int_equal(iotlb_unmap(tlb, 0, UINT64_MAX - 1), 1);
	iotlb_free(tlb);
	region_unref(region);
	foreign_mem_unref(fm);
	assert_nothing_left();
}

static void count_release(void *priv)
{
	(*(unsigned int *)priv)++;
}

static void test_region_lives_as_long_as_a_snapshot(void **state)
{
	unsigned int n_released = 0;
	struct iotlb *tlb = new_tlb(4);
	struct iotlb_snap *with, *without, *again;
	struct region *region;

	assert_int_equal(region_new_own(memory, 16, count_release, &n_released,
					&region),
			 0);
	assert_int_equal(iotlb_map(tlb, 0, 15, region, 0, 3), 0);
	region_unref(region);
	with = iotlb_snapshot(tlb);
	assert_int_equal(iotlb_unmap(tlb, 0, 0), 1);
	without = iotlb_snapshot(tlb);
	assert_non_null(iotlb_find(with, 3));
	assert_null(iotlb_find(without, 3));
	iotlb_restore(tlb, with);
	assert_int_equal(iotlb_n_entries(tlb), 1);
	again = iotlb_snapshot(tlb);
	assert_ptr_equal(again, with);
	iotlb_restore(tlb, without);
	iotlb_snap_unref(with);
	assert_int_equal(n_released, 0);
	iotlb_snap_unref(again);
	assert_int_equal(n_released, 1);
	iotlb_snap_unref(without);
	assert_null(iotlb_snap_unref(NULL));
	assert_null(iotlb_free(NULL));
	iotlb_free(tlb);
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

	assert_true(iotlb_snap_is_sound(snap));
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

/* Filled from one end, the table is sound all the way. */
static void test_table_filled_from_one_end_is_sound(void **state)
{
	const uint64_t n = 1500;
	struct region *region = new_region();
	struct iotlb_snap *snap;

	for (unsigned int is_falling = 0; is_falling < 2; is_falling++) {
		struct iotlb *tlb = new_tlb((unsigned int)n);

		for (uint64_t i = 0; i < n; i++) {
			uint64_t at = 16 * (is_falling ? n - i : i);

			assert_int_equal(
				iotlb_map(tlb, at, at + 8, region, 0, 3), 0);
			snap = iotlb_snapshot(tlb);
			assert_true(iotlb_snap_is_sound(snap));
			iotlb_snap_unref(snap);
		}
		iotlb_free(tlb);
	}
	region_unref(region);
	assert_nothing_left();
}

/* Leaves as few entries as possible in as many nodes as possible. */
static void test_thinned_out_table_stays_sound(void **state)
{
	const unsigned int n = 40000;
	struct iotlb *tlb = new_tlb(n);
	struct region *region = new_region();
	struct iotlb_snap *snap;

	for (unsigned int step = 2; step <= 50; step += 24) {
		for (uint64_t i = 0; i < n; i++) {
			uint64_t at = step == 26 ? n - i : i;

			assert_int_equal(iotlb_map(tlb, at * 16, at * 16 + 8,
						   region, 0, 3),
					 0);
		}
		for (uint64_t i = 1; i < n; i++) {
			if (i % step != 0) {
				assert_int_equal(
					iotlb_unmap(tlb, i * 16, i * 16), 1);
			}
		}
		snap = iotlb_snapshot(tlb);
		assert_true(iotlb_snap_is_sound(snap));
		assert_non_null(iotlb_find(snap, (uint64_t)step * 16 * 7));
		assert_null(iotlb_find(snap, (uint64_t)step * 16 * 7 + 9));
		iotlb_snap_unref(snap);
		assert_true(iotlb_unmap(tlb, 0, UINT64_MAX) > 0);
		assert_int_equal(iotlb_n_entries(tlb), 0);
	}
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

/*
 * Each change in a table of its own, which shares its tree and has put nothing
 * aside: what it reserves is enough.
 */
static void test_shared_tree_takes_any_change(void **state)
{
	const uint64_t n = 6000;
	struct iotlb *full = new_tlb((unsigned int)n), *tlb;
	struct region *region = new_region();
	struct iotlb_snap *whole, *snap;

	/* Sparse nodes beside full ones: every second run is thinned out. */
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(
			iotlb_map(full, i * 16, i * 16 + 8, region, 0, 3), 0);
	}
	for (uint64_t i = 0; i < n; i++) {
		if (i / 200 % 2 == 0 && i % 2 == 0) {
			assert_int_equal(iotlb_unmap(full, i * 16, i * 16), 1);
		}
	}
	whole = iotlb_snapshot(full);
	for (unsigned int i = 0; i < 1500; i++) {
		uint64_t start = rng(n * 16), last = start + rng(n * 16);

		tlb = new_tlb((unsigned int)n);
		iotlb_restore(tlb, whole);
		if (i % 2 == 0) {
			last = start + rng(1000);
		}
		assert_true(iotlb_unmap(tlb, start, last) >= 0);
		snap = iotlb_snapshot(tlb);
		assert_true(iotlb_snap_is_sound(snap));
		assert_true(!iotlb_first(snap, start) ||
			    iotlb_first(snap, start)->start > last);
		iotlb_snap_unref(snap);
		iotlb_free(tlb);
	}
	iotlb_snap_unref(whole);
	iotlb_free(full);
	region_unref(region);
	assert_nothing_left();
}

/* ---- allocation failure ---- */

struct change {
	unsigned int n_entries;
	bool is_unmap;
};

static int change_once(void *priv)
{
	const struct change *change = priv;
	struct iotlb *full = new_tlb(100000), *tlb = new_tlb(100000);
	struct region *region = new_region();
	struct iotlb_snap *before, *after;
	int ret;

	for (uint64_t i = 0; i < change->n_entries; i++) {
		assert_int_equal(
			iotlb_map(full, i * 16, i * 16 + 8, region, 0, 3), 0);
	}
	/* In a table that has put nothing aside for changes. */
	before = iotlb_snapshot(full);
	iotlb_restore(tlb, before);
	iotlb_free(full);
	oom_begin();
	ret = change->is_unmap ? iotlb_unmap(tlb, 16 * 100, 16 * 700)
			       : iotlb_map(tlb, 16 * 300 + 9, 16 * 300 + 15,
					   region, 0, 3);
	oom_end();
	after = iotlb_snapshot(tlb);
	assert_true(iotlb_snap_is_sound(after));
	if (ret < 0) {
		assert_ptr_equal(after, before);
	} else {
		assert_ptr_not_equal(after, before);
		assert_int_equal(ret, change->is_unmap ? 601 : 0);
	}
	iotlb_snap_unref(before);
	iotlb_snap_unref(after);
	iotlb_free(tlb);
	region_unref(region);
	return ret;
}

static void test_no_memory_changes_nothing(void **state)
{
	struct change map = { 2000, false }, unmap = { 2000, true };

	assert_true(oom_check(change_once, &map) > 2);
	assert_true(oom_check(change_once, &unmap) > 2);
	assert_nothing_left();
}

static int new_once(void *priv)
{
	struct iotlb *tlb;
	int ret;

	oom_begin();
	ret = iotlb_new(1, &tlb);
	oom_end();
	if (ret == 0) {
		iotlb_free(tlb);
	}
	return ret;
}

static void test_new_without_memory_fails(void **state)
{
	assert_int_equal(oom_check(new_once, NULL), 2);
}

/* ---- threads ---- */

#define N_READERS 3

struct publication {
	pthread_mutex_t lock;
	struct iotlb_snap *snap;
	atomic_bool is_over;
	atomic_uint n_reads;
};

static struct iotlb_snap *publication_get(struct publication *pub)
{
	struct iotlb_snap *snap;

	pthread_mutex_lock(&pub->lock);
	snap = iotlb_snap_ref(pub->snap);
	pthread_mutex_unlock(&pub->lock);
	return snap;
}

static void publication_set(struct publication *pub, struct iotlb_snap *snap)
{
	struct iotlb_snap *old;

	pthread_mutex_lock(&pub->lock);
	old = pub->snap;
	pub->snap = snap;
	pthread_mutex_unlock(&pub->lock);
	iotlb_snap_unref(old);
}

/* Entry i stands at 32 * i and has 8 bytes that hold its own address. */
static void *reader_main(void *priv)
{
	struct publication *pub = priv;

	while (!atomic_load(&pub->is_over)) {
		struct iotlb_snap *snap = publication_get(pub);
		const struct iotlb_entry *e = iotlb_first(snap, 0);

		for (; e; e = iotlb_first(snap, e->last + 1)) {
			uint64_t value;

			if (mem_read(snap, e->start, &value, sizeof(value)) !=
				    0 ||
			    value != e->start) {
				return (void *)1;
			}
			atomic_fetch_add(&pub->n_reads, 1);
		}
		iotlb_snap_unref(snap);
	}
	return NULL;
}

static void test_readers_while_the_table_changes(void **state)
{
	const unsigned int n = MEMORY_BYTES / 32;
	struct publication pub = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct iotlb *tlb = new_tlb(n);
	struct region *region = new_region();
	pthread_t readers[N_READERS];
	void *result;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t value = i * 32;

		memcpy(memory + i * 32, &value, sizeof(value));
	}
	pub.snap = iotlb_snapshot(tlb);
	for (unsigned int i = 0; i < N_READERS; i++) {
		assert_int_equal(pthread_create(&readers[i], NULL, reader_main,
						&pub),
				 0);
	}
	for (unsigned int i = 0; i < 3000 || atomic_load(&pub.n_reads) < 10000;
	     i++) {
		uint64_t at = 32 * rng(n);

		if (iotlb_map(tlb, at, at + 7, region, at, 3) == -EEXIST) {
			assert_int_equal(iotlb_unmap(tlb, at, at), 1);
		}
		if (rng(4) > 0) {
			publication_set(&pub, iotlb_snapshot(tlb));
		}
	}
	atomic_store(&pub.is_over, true);
	for (unsigned int i = 0; i < N_READERS; i++) {
		assert_int_equal(pthread_join(readers[i], &result), 0);
		assert_null(result);
	}
	iotlb_snap_unref(pub.snap);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_map_finds_what_it_mapped),
	cmocka_unit_test(test_map_refuses_what_is_not_in_the_region),
	cmocka_unit_test(test_map_refuses_any_overlap),
	cmocka_unit_test(test_map_stops_at_the_limit),
	cmocka_unit_test(test_unmap_removes_whole_entries),
	cmocka_unit_test(test_ends_of_the_address_space),
	cmocka_unit_test(test_region_lives_as_long_as_a_snapshot),
	cmocka_unit_test(test_random_changes_match_a_model),
	cmocka_unit_test(test_table_filled_from_one_end_is_sound),
	cmocka_unit_test(test_thinned_out_table_stays_sound),
	cmocka_unit_test(test_shared_tree_takes_any_change),
	cmocka_unit_test(test_no_memory_changes_nothing),
	cmocka_unit_test(test_new_without_memory_fails),
	cmocka_unit_test(test_readers_while_the_table_changes),
};

TEST_MAIN("mem_iotlb")
