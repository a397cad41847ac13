/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the dirty log.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "mem/mem_log.h"
#include "mem/test_child.h"

#define PAGE	     ((uint64_t)MEM_LOG_PAGE)
#define BITMAP_BYTES 32
#define N_PAGES	     (BITMAP_BYTES * 8ULL)
#define GUARD	     8 /* bytes on each side that nobody may touch */
#define CANARY	     0xa5

/* A bitmap at an odd address, between canaries. */
struct bitmap {
	uint8_t mem[GUARD + 1 + BITMAP_BYTES + GUARD];
	struct region *region;
};

static uint8_t *bits_of(struct bitmap *b)
{
	return b->mem + GUARD + 1;
}

static void bitmap_init(struct bitmap *b)
{
	memset(b->mem, CANARY, sizeof(b->mem));
	memset(bits_of(b), 0, BITMAP_BYTES);
	assert_int_equal(region_new_own(bits_of(b), BITMAP_BYTES, NULL, NULL,
					&b->region),
			 0);
}

static void bitmap_fini(struct bitmap *b)
{
	for (size_t i = 0; i < sizeof(b->mem); i++) {
		if (i <= GUARD || i > GUARD + BITMAP_BYTES) {
			assert_int_equal(b->mem[i], CANARY);
		}
	}
	region_unref(b->region);
}

static bool is_marked(const uint8_t *bits, uint64_t page)
{
	return bits[page / 8] >> page % 8 & 1;
}

/* Exactly the pages [first, last] are marked. Takes the marks away. */
static void assert_marked(uint8_t *bits, uint64_t first, uint64_t last)
{
	for (uint64_t page = 0; page < N_PAGES; page++) {
		assert_int_equal(is_marked(bits, page),
				 page >= first && page <= last);
	}
	memset(bits, 0, BITMAP_BYTES);
}

static void assert_none_marked(uint8_t *bits)
{
	assert_marked(bits, 1, 0);
}

/* Every first and last page: each edge within a byte, and across bytes. */
static void test_mark_every_edge(void **state)
{
	struct mem_log *log;
	struct bitmap b;

	(void)state;
	bitmap_init(&b);
	assert_int_equal(mem_log_new(b.region, NULL, 0, &log), 0);
	for (uint64_t first = 0; first < 40; first++) {
		for (uint64_t last = first; last < 40; last++) {
			uint64_t len = (last - first) * PAGE;

			mem_log_mark(log, first * PAGE, len + 1);
			assert_marked(bits_of(&b), first, last);
			mem_log_mark(log, first * PAGE + PAGE - 1, len + 1);
			assert_marked(bits_of(&b), first, last);
			mem_log_mark(log, first * PAGE, len + PAGE);
			assert_marked(bits_of(&b), first, last);
		}
	}
	mem_log_mark(log, 0, N_PAGES * PAGE);
	assert_marked(bits_of(&b), 0, N_PAGES - 1);
	mem_log_mark(log, 7 * PAGE, 0);
	assert_none_marked(bits_of(&b));
	assert_int_equal(mem_log_n_ignored(log), 0);
	mem_log_unref(log);
	bitmap_fini(&b);
}

static void test_mark_beyond_the_bitmap_h67(void **state)
{
	static const struct {
		uint64_t gpa;
		uint64_t len;
		uint64_t first; /* > N_PAGES: nothing is marked */
	} cases[] = {
		{ N_PAGES * PAGE, 1, -1ULL },
		{ N_PAGES * PAGE - 1, 2, N_PAGES - 1 },
		{ 250 * PAGE, 100 * PAGE, 250 },
		{ 3 * PAGE, UINT64_MAX, 3 },
		{ 0, UINT64_MAX, 0 },
		{ UINT64_MAX, 1, -1ULL },
		{ UINT64_MAX, UINT64_MAX, -1ULL },
		{ 1ULL << 63, 1ULL << 63, -1ULL },
	};
	struct mem_log *log;
	struct bitmap b;

	(void)state;
	bitmap_init(&b);
	assert_int_equal(mem_log_new(b.region, NULL, 0, &log), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		mem_log_mark(log, cases[i].gpa, cases[i].len);
		assert_marked(bits_of(&b), cases[i].first, N_PAGES - 1);
		assert_int_equal(mem_log_n_ignored(log), i + 1);
	}
	mem_log_unref(log);
	bitmap_fini(&b);
}

/* The middle two touch; the others stand alone. In no order. */
#define BASE 0x70000000UL
static const struct mem_log_range ranges[] = {
	{ (char *)BASE + 9 * PAGE, 2 * PAGE, 40 * PAGE },
	{ (char *)BASE + 4 * PAGE, 2 * PAGE, 30 * PAGE },
	{ (char *)BASE + 1 * PAGE, PAGE, 0 },
	{ (char *)BASE + 6 * PAGE, PAGE, 20 * PAGE },
};

static void test_mark_va_by_the_table(void **state)
{
	static const struct {
		uint64_t off;
		size_t len;
		uint64_t first;
		uint64_t last;
		bool is_whole;
	} cases[] = {
		{ 0, 1, 1, 0, false }, /* before the first */
		{ PAGE - 1, 1, 1, 0, false },
		{ PAGE - 1, 2, 0, 0, false },
		{ PAGE, 1, 0, 0, true },
		{ 2 * PAGE - 1, 1, 0, 0, true },
		{ 2 * PAGE, 1, 1, 0, false }, /* between */
		{ 2 * PAGE, 2 * PAGE, 1, 0, false },
		{ 2 * PAGE, 2 * PAGE + 1, 30, 30, false },
		{ 4 * PAGE, 2 * PAGE, 30, 31, true },
		{ 5 * PAGE + 5, 1, 31, 31, true },
		{ 6 * PAGE, PAGE, 20, 20, true },
		{ 9 * PAGE + 1, 2 * PAGE - 1, 40, 41, true },
		{ 10 * PAGE, 5 * PAGE, 41, 41, false },
		{ 11 * PAGE, 1, 1, 0, false }, /* behind the last */
	};
	uint64_t n_ignored = 0;
	struct mem_log *log;
	struct bitmap b;

	(void)state;
	bitmap_init(&b);
	assert_int_equal(
		mem_log_new(b.region, ranges, ARRAY_SIZE(ranges), &log), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		mem_log_mark_va(log, (char *)BASE + cases[i].off, cases[i].len);
		assert_marked(bits_of(&b), cases[i].first, cases[i].last);
		n_ignored += !cases[i].is_whole;
		assert_int_equal(mem_log_n_ignored(log), n_ignored);
	}
	mem_log_unref(log);
	bitmap_fini(&b);
}

/* Neighbours here that the guest has far apart. */
static void test_mark_va_across_ranges(void **state)
{
	struct mem_log *log;
	struct bitmap b;

	(void)state;
	bitmap_init(&b);
	assert_int_equal(
		mem_log_new(b.region, ranges, ARRAY_SIZE(ranges), &log), 0);
	mem_log_mark_va(log, (char *)BASE + 6 * PAGE - 1, 2);
	for (uint64_t page = 0; page < N_PAGES; page++) {
		assert_int_equal(is_marked(bits_of(&b), page),
				 page == 31 || page == 20);
	}
	assert_int_equal(mem_log_n_ignored(log), 0);
	memset(bits_of(&b), 0, BITMAP_BYTES);
	mem_log_mark_va(log, NULL, SIZE_MAX);
	for (uint64_t page = 0; page < N_PAGES; page++) {
		assert_int_equal(is_marked(bits_of(&b), page),
				 page == 0 || page == 20 || page == 30 ||
					 page == 31 || page == 40 ||
					 page == 41);
	}
	assert_int_equal(mem_log_n_ignored(log), 1);
	mem_log_unref(log);
	bitmap_fini(&b);
}

/* A range that ends with the address space. */
static void test_mark_va_at_the_very_end(void **state)
{
	const struct mem_log_range last = {
		(void *)(UINTPTR_MAX - PAGE + 1),
		PAGE,
		5 * PAGE,
	};
	struct mem_log *log;
	struct bitmap b;

	(void)state;
	bitmap_init(&b);
	assert_int_equal(mem_log_new(b.region, &last, 1, &log), 0);
	mem_log_mark_va(log, (void *)UINTPTR_MAX, 1);
	assert_marked(bits_of(&b), 5, 5);
	mem_log_mark_va(log, (void *)(UINTPTR_MAX - PAGE), 1);
	assert_none_marked(bits_of(&b));
	assert_int_equal(mem_log_n_ignored(log), 1);
	mem_log_unref(log);
	bitmap_fini(&b);
}

static void test_empty_table_marks_nothing(void **state)
{
	struct mem_log *log;
	struct bitmap b;

	(void)state;
	bitmap_init(&b);
	assert_int_equal(mem_log_new(b.region, NULL, 0, &log), 0);
	mem_log_mark_va(log, (void *)BASE, PAGE);
	mem_log_mark_va(log, (void *)BASE, 0);
	assert_none_marked(bits_of(&b));
	assert_int_equal(mem_log_n_ignored(log), 1);
	mem_log_unref(log);
	bitmap_fini(&b);
}

static void test_bad_tables_are_refused(void **state)
{
	static const struct mem_log_range bad[][2] = {
		/* overlap: whole, at the end, by one byte, in either order */
		{ { (void *)PAGE, PAGE, 0 }, { (void *)PAGE, PAGE, 0 } },
		{ { (void *)PAGE, 9 * PAGE, 0 }, { (void *)(2 * PAGE), 1, 0 } },
		{ { (void *)PAGE, PAGE, 0 }, { (void *)(2 * PAGE - 1), 1, 0 } },
		{ { (void *)(2 * PAGE - 1), 1, 0 }, { (void *)PAGE, PAGE, 0 } },
		/* no bytes, wrap here, wrap there */
		{ { (void *)PAGE, 0, 0 }, { (void *)(9 * PAGE), 1, 0 } },
		{ { (void *)PAGE, UINT64_MAX, 0 }, { NULL, 1, 0 } },
		{ { (void *)PAGE, 2, UINT64_MAX }, { NULL, 1, 0 } },
	};
	struct mem_log *log;
	struct bitmap b;

	(void)state;
	bitmap_init(&b);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(mem_log_new(b.region, bad[i], 2, &log),
				 -EINVAL);
	}
	bitmap_fini(&b);
}

static void body_must_be_writable(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct region *region;
	struct foreign_mem *fm;
	struct mem_log *log;

	CHECK(ftruncate(fd, 4096) == 0);
	CHECK(region_new_mapped(fd, 0, 4096, MEM_PERM_RO, &region) == 0);
	CHECK(mem_log_new(region, NULL, 0, &log) == -EINVAL);
	region_unref(region);
	CHECK(foreign_mem_new(fd, &fm) == 0);
	CHECK(region_new_foreign(fm, 0, 4096, &region) == 0);
	CHECK(mem_log_new(region, NULL, 0, &log) == -EINVAL);
	region_unref(region);
	foreign_mem_unref(fm);
}

static void test_bitmap_must_be_writable(void **state)
{
	(void)state;
	forked_run(body_must_be_writable, false);
}

/* ---- several threads ---- */

#define N_THREADS 4

struct marker {
	pthread_t thread;
	struct mem_log *log;
	unsigned int idx;
};

/* Every fourth page: all threads write to every byte. */
static void *mark_mine(void *priv)
{
	struct marker *m = priv;

	for (uint64_t page = m->idx; page < N_PAGES; page += N_THREADS) {
		mem_log_mark(m->log, page * PAGE + 100, 10);
	}
	mem_log_unref(m->log);
	return NULL;
}

static void test_mark_by_threads_loses_none(void **state)
{
	struct marker m[N_THREADS];
	struct mem_log *log;
	struct bitmap b;

	(void)state;
	bitmap_init(&b);
	assert_int_equal(mem_log_new(b.region, NULL, 0, &log), 0);
	for (unsigned int round = 0; round < 200; round++) {
		for (unsigned int i = 0; i < N_THREADS; i++) {
			m[i].log = mem_log_ref(log);
			m[i].idx = i;
			assert_int_equal(pthread_create(&m[i].thread, NULL,
							mark_mine, &m[i]),
					 0);
		}
		for (unsigned int i = 0; i < N_THREADS; i++) {
			pthread_join(m[i].thread, NULL);
		}
		assert_marked(bits_of(&b), 0, N_PAGES - 1);
	}
	mem_log_unref(log);
	bitmap_fini(&b);
}

/* ---- the file goes away ---- */

static void body_truncated(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct region *region;
	struct mem_log *log;

	CHECK(ftruncate(fd, 2 * 4096) == 0);
	CHECK(region_new_mapped(fd, 0, 2 * 4096, MEM_PERM_RW, &region) == 0);
	CHECK(mem_log_new(region, NULL, 0, &log) == 0);
	CHECK(ftruncate(fd, 4096) == 0);
	mem_log_mark(log, 4096 * 8 * PAGE - 1, 2);
	CHECK(region_is_poisoned(region));
	/* What is left of it still counts. */
	mem_log_mark(log, 3 * PAGE, 1);
	CHECK(((uint8_t *)region_va(region))[0] == 1U << 3);
	CHECK(((uint8_t *)region_va(region))[4095] == 1U << 7);
	CHECK(mem_log_n_ignored(log) == 0);
	/* The log holds the bitmap. */
	region_unref(region);
	mem_log_mark(log, 0, 4 * 4096 * 8 * PAGE);
	CHECK(mem_log_n_ignored(log) == 1);
	mem_log_unref(log);
	close(fd);
}

static void test_bitmap_truncated_under_us_h32(void **state)
{
	(void)state;
	forked_run(body_truncated, false);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_mark_every_edge),
	cmocka_unit_test(test_mark_beyond_the_bitmap_h67),
	cmocka_unit_test(test_mark_va_by_the_table),
	cmocka_unit_test(test_mark_va_across_ranges),
	cmocka_unit_test(test_mark_va_at_the_very_end),
	cmocka_unit_test(test_empty_table_marks_nothing),
	cmocka_unit_test(test_bad_tables_are_refused),
	cmocka_unit_test(test_bitmap_must_be_writable),
	cmocka_unit_test(test_mark_by_threads_loses_none),
	cmocka_unit_test(test_bitmap_truncated_under_us_h32),
};

TEST_MAIN("mem_log")
