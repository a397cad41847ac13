/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of memory that drivers share with devices.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "base/err.h"
#include "lib/oom.h"
#include "lib/test.h"
#include "virtio/dma.h"

#define PAGE	 DMA_PAGE_BYTES
#define MAPS_MAX 2048

/* A device that notes what it can reach. */
struct toy {
	struct virtio_device vdev;
	uint64_t first, last;
	struct {
		uint64_t iova, size;
		char *va;
	} maps[MAPS_MAX];
	unsigned int n_maps;
	unsigned int n_until_refusal; /* of map(); 0: never */
	int unmap_ret;
};

static int toy_map(struct virtio_device *vdev, uint64_t iova,
		   struct region *region)
{
	struct toy *t = (struct toy *)vdev;

	assert_in_range(t->n_maps, 0, MAPS_MAX - 1);
	if (t->n_until_refusal && --t->n_until_refusal == 0) {
		return err(-EOPNOTSUPP, "toy: that memory cannot be reached");
	}
	t->maps[t->n_maps].iova = iova;
	t->maps[t->n_maps].size = region_size(region);
	t->maps[t->n_maps].va = region_va(region);
	for (unsigned int i = 0; i < t->n_maps; i++) {
		assert_true(iova >= t->maps[i].iova + t->maps[i].size ||
			    t->maps[i].iova >= iova + region_size(region));
	}
	t->n_maps++;
	return 0;
}

static int toy_unmap(struct virtio_device *vdev, uint64_t iova,
		     uint64_t size_bytes)
{
	struct toy *t = (struct toy *)vdev;

	if (t->unmap_ret < 0) {
		return t->unmap_ret;
	}
	for (unsigned int i = 0; i < t->n_maps; i++) {
		if (t->maps[i].iova == iova) {
			assert_int_equal(t->maps[i].size, size_bytes);
			t->maps[i] = t->maps[--t->n_maps];
			return 0;
		}
	}
	fail_msg("was never mapped");
	return 0;
}

static void toy_get_iova_range(struct virtio_device *vdev, uint64_t *ret_first,
			       uint64_t *ret_last)
{
	*ret_first = ((struct toy *)vdev)->first;
	*ret_last = ((struct toy *)vdev)->last;
}

static const struct virtio_config_ops toy_ops = {
	.map = toy_map,
	.unmap = toy_unmap,
	.get_iova_range = toy_get_iova_range,
};

struct fixture {
	struct toy toy;
	struct dma_pool *pool;
	char *arena; /* pages that are there, or not, as is wanted */
};

#define ARENA_PAGES 4096UL

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->toy.vdev.name = "toy";
	fx->toy.vdev.config = &toy_ops;
	fx->toy.last = UINT64_MAX;
	assert_int_equal(dma_pool_new(&fx->pool), 0);
	fx->arena = mmap(NULL, ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(fx->arena, MAP_FAILED);
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	dma_space_free(fx->toy.vdev.dma);
	assert_int_equal(fx->toy.n_maps, 0);
	dma_pool_free(fx->pool);
	assert_int_equal(munmap(fx->arena, ARENA_PAGES * PAGE), 0);
	free(fx);
	return 0;
}

static int try_add(struct fixture *fx, unsigned long page, unsigned long n)
{
	struct region *region;
	int ret = region_new_own(fx->arena + page * PAGE, n * PAGE, NULL, NULL,
				 &region);

	if (ret == 0) {
		ret = dma_pool_add(fx->pool, region);
		region_unref(region);
	}
	return ret;
}

static void add(struct fixture *fx, unsigned long page, unsigned long n)
{
	assert_int_equal(try_add(fx, page, n), 0);
}

static void del(struct fixture *fx, unsigned long page)
{
	struct region *region =
		dma_pool_remove(fx->pool, fx->arena + page * PAGE);

	assert_non_null(region);
	region_unref(region);
}

static void start(struct fixture *fx)
{
	assert_int_equal(dma_space_new(fx->pool, &fx->toy.vdev), 0);
}

static int look(const struct fixture *fx, unsigned int *cursor,
		unsigned long at, uint64_t len, uint64_t *ret)
{
	return dma_iova(fx->toy.vdev.dma, cursor, fx->arena + at, len, ret);
}

static void expect_there(const struct fixture *fx, unsigned long at,
			 uint64_t len, bool is_there)
{
	uint64_t iova = 1;

	/* Wherever something else was found before. */
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int cursor = i * 1000;

		assert_int_equal(look(fx, &cursor, at, len, &iova),
				 is_there ? 0 : -EFAULT);
		if (is_there) {
			assert_int_equal(look(fx, &cursor, at, len, &iova), 0);
		}
	}
}

/* ---- the pool ---- */

static void test_pool_refuses_what_overlaps(void **state)
{
	static const struct {
		unsigned long page, n;
		int want;
	} cases[] = {
		{ 10, 4, -EEXIST }, { 8, 3, -EEXIST },	{ 13, 1, -EEXIST },
		{ 5, 20, -EEXIST }, { 11, 1, -EEXIST }, { 14, 1, 0 },
		{ 9, 1, 0 },
	};
	struct fixture *fx = *state;

	add(fx, 10, 4);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(try_add(fx, cases[i].page, cases[i].n),
				 cases[i].want);
	}
	assert_null(dma_pool_remove(fx->pool, fx->arena));
	assert_null(dma_pool_remove(fx->pool, fx->arena + 11 * PAGE));
}

static void test_pool_takes_whole_pages_only(void **state)
{
	struct fixture *fx = *state;
	struct region *region;

	assert_int_equal(
		region_new_own(fx->arena + 512, PAGE, NULL, NULL, &region), 0);
	assert_int_equal(dma_pool_add(fx->pool, region), -EINVAL);
	region_unref(region);
	assert_int_equal(
		region_new_own(fx->arena, PAGE + 1, NULL, NULL, &region), 0);
	assert_int_equal(dma_pool_add(fx->pool, region), -EINVAL);
	region_unref(region);
}

static void test_limit_of_pieces(void **state)
{
	struct fixture *fx = *state;

	for (unsigned long i = 0; i < DMA_PIECES_MAX; i++) {
		add(fx, 2 * i, 1);
	}
	assert_int_equal(try_add(fx, 2 * DMA_PIECES_MAX, 1), -ENOSPC);
	assert_non_null(strstr(err_text(-ENOSPC), "1024 pieces"));
	start(fx);
	for (unsigned long i = 0; i < DMA_PIECES_MAX; i++) {
		expect_there(fx, 2 * i * PAGE, PAGE, true);
		expect_there(fx, (2 * i + 1) * PAGE, 1, false);
	}
}

static void test_regions_of_no_size(void **state)
{
	struct region *region;

	(void)state;
	assert_int_equal(dma_region_new(0, &region), -EINVAL);
	assert_int_equal(dma_region_new(UINT64_MAX, &region), -EINVAL);
	assert_int_equal(dma_region_new(INT64_MAX, &region), -EINVAL);
	assert_int_equal(dma_region_new(1, &region), 0);
	assert_int_equal(region_size(region), PAGE);
	assert_int_equal(*(char *)region_va(region), 0);
	region_unref(region);
}

/* ---- the space ---- */

static void test_addresses_are_ours_where_they_can_be(void **state)
{
	struct fixture *fx = *state;
	unsigned int cursor = 0;
	uint64_t iova;

	add(fx, 10, 4);
	start(fx);
	assert_int_equal(look(fx, &cursor, 10 * PAGE + 5, 100, &iova), 0);
	assert_int_equal(iova, (uintptr_t)fx->arena + 10 * PAGE + 5);
}

static void test_ranges_at_the_edges_of_a_piece(void **state)
{
	struct fixture *fx = *state;

	add(fx, 10, 4);
	add(fx, 14, 2); /* next to it, but another piece */
	start(fx);
	expect_there(fx, 10 * PAGE, 4 * PAGE, true);
	expect_there(fx, 10 * PAGE, 4 * PAGE + 1, false);
	expect_there(fx, 10 * PAGE - 1, 2, false);
	expect_there(fx, 14 * PAGE - 1, 1, true);
	expect_there(fx, 14 * PAGE - 1, 2, false);
	expect_there(fx, 14 * PAGE, 2 * PAGE, true);
	expect_there(fx, 16 * PAGE, 1, false);
	expect_there(fx, 16 * PAGE - 1, UINT64_MAX, false);
	expect_there(fx, 0, 1, false);
}

static void test_nothing_is_there_at_first(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	expect_there(fx, 0, 1, false);
	add(fx, 1, 1);
	expect_there(fx, PAGE, 1, false); /* until the space is told */
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), 0);
	expect_there(fx, PAGE, 1, true);
	del(fx, 1);
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), 0);
	expect_there(fx, PAGE, 1, false);
	assert_int_equal(fx->toy.n_maps, 0);
}

/* The lowest that is free, never 0. */
static void test_a_device_with_few_addresses(void **state)
{
	struct fixture *fx = *state;
	unsigned int cursor = 0;
	uint64_t iova;

	fx->toy.last = 8 * PAGE - 1;
	add(fx, 10, 2);
	add(fx, 20, 3);
	start(fx);
	assert_int_equal(look(fx, &cursor, 10 * PAGE, 1, &iova), 0);
	assert_int_equal(iova, PAGE);
	assert_int_equal(look(fx, &cursor, 21 * PAGE + 1, 1, &iova), 0);
	assert_int_equal(iova, 4 * PAGE + 1);
	add(fx, 30, 3);
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), -ENOSPC);
	assert_non_null(strstr(err_text(-ENOSPC), "no room"));
	expect_there(fx, 30 * PAGE, 1, false);
	del(fx, 10);
	/* Two pages came free, three are wanted. */
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), -ENOSPC);
	del(fx, 30);
	add(fx, 40, 2);
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), 0);
	assert_int_equal(look(fx, &cursor, 40 * PAGE, 1, &iova), 0);
	assert_int_equal(iova, PAGE);
}

static void test_a_device_whose_addresses_end_the_world(void **state)
{
	struct fixture *fx = *state;

	fx->toy.first = UINT64_MAX - 4 * PAGE + 1;
	add(fx, 10, 3);
	start(fx);
	expect_there(fx, 10 * PAGE, 3 * PAGE, true);
	add(fx, 20, 2);
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), -ENOSPC);
	del(fx, 20);
	add(fx, 20, 1);
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), 0);
}

static void test_a_device_without_addresses(void **state)
{
	struct fixture *fx = *state;

	fx->toy.first = 5 * PAGE;
	fx->toy.last = 3 * PAGE; /* what a hostile one says */
	add(fx, 10, 1);
	assert_int_equal(dma_space_new(fx->pool, &fx->toy.vdev), -ENOSPC);
	assert_null(fx->toy.vdev.dma);
}

/* All of it, or nothing of what is new. */
static void test_what_is_refused_is_undone(void **state)
{
	struct fixture *fx = *state;

	add(fx, 10, 1);
	start(fx);
	add(fx, 20, 1);
	add(fx, 30, 1);
	fx->toy.n_until_refusal = 2;
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), -EOPNOTSUPP);
	assert_int_equal(fx->toy.n_maps, 1);
	expect_there(fx, 10 * PAGE, 1, true);
	expect_there(fx, 20 * PAGE, 1, false);
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), 0);
	expect_there(fx, 20 * PAGE, 1, true);
	expect_there(fx, 30 * PAGE, 1, true);
	assert_int_equal(fx->toy.n_maps, 3);
}

/* What it does not let go is not given to others meanwhile. */
static void test_what_is_not_let_go_is_tried_again(void **state)
{
	struct fixture *fx = *state;
	struct region *region;
	uint64_t iova, again;

	fx->toy.last = 8 * PAGE - 1;
	start(fx);
	assert_int_equal(dma_alloc(fx->toy.vdev.dma, PAGE, &region, &iova), 0);
	fx->toy.unmap_ret = -ENOMEM;
	dma_free(fx->toy.vdev.dma, region, iova);
	assert_int_equal(dma_alloc(fx->toy.vdev.dma, PAGE, &region, &again), 0);
	assert_int_not_equal(iova, again);
	dma_free(fx->toy.vdev.dma, region, again);
	assert_int_equal(fx->toy.n_maps, 2);
	fx->toy.unmap_ret = 0;
	assert_int_equal(dma_space_sync(fx->toy.vdev.dma), 0);
	assert_int_equal(fx->toy.n_maps, 0);
}

static void test_memory_of_the_driver_is_not_the_callers(void **state)
{
	struct fixture *fx = *state;
	unsigned int cursor = 0;
	struct region *region;
	uint64_t iova, found;
	char *va;

	start(fx);
	assert_int_equal(dma_alloc(fx->toy.vdev.dma, 5000, &region, &iova), 0);
	va = region_va(region);
	assert_int_equal(region_size(region), 2 * PAGE);
	va[2 * PAGE - 1] = 1;
	assert_int_equal(dma_iova(fx->toy.vdev.dma, &cursor, va, 1, &found),
			 -EFAULT);
	dma_free(fx->toy.vdev.dma, region, iova);
}

/* ---- threads ---- */

struct reader {
	struct fixture *fx;
	uint32_t is_over;
	uint64_t n_wrong, n_found;
};

/* Page 1 is there at all times, others come and go. */
static void *read_on(void *priv)
{
	struct reader *r = priv;
	unsigned int cursor = 0;

	while (!__atomic_load_n(&r->is_over, __ATOMIC_RELAXED)) {
		for (unsigned long page = 1; page < 200; page += 33) {
			char *va = r->fx->arena + page * PAGE;
			uint64_t iova;
			int ret = dma_iova(r->fx->toy.vdev.dma, &cursor, va,
					   PAGE, &iova);

			r->n_found += ret == 0;
			r->n_wrong += page == 1 && ret < 0;
			r->n_wrong += ret == 0 && iova != (uintptr_t)va;
		}
	}
	return NULL;
}

static void test_lookups_while_pieces_come_and_go(void **state)
{
	struct reader r = { .fx = *state };
	struct fixture *fx = *state;
	pthread_t thread;

	add(fx, 1, 1);
	start(fx);
	assert_int_equal(pthread_create(&thread, NULL, read_on, &r), 0);
	for (unsigned int round = 0; round < 30; round++) {
		for (unsigned long page = 2; page < 100; page++) {
			add(fx, page, 1);
			assert_int_equal(dma_space_sync(fx->toy.vdev.dma), 0);
		}
		for (unsigned long page = 2; page < 100; page++) {
			del(fx, page);
			assert_int_equal(dma_space_sync(fx->toy.vdev.dma), 0);
		}
	}
	__atomic_store_n(&r.is_over, 1, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(r.n_wrong, 0);
}

/* ---- out of memory ---- */

static int sync_without_memory(void *priv)
{
	struct toy toy = {
		.vdev = { .name = "toy", .config = &toy_ops },
		.last = UINT64_MAX,
	};
	struct fixture *fx = priv;
	struct region *region;
	uint64_t iova;
	int ret;

	oom_begin();
	ret = dma_space_new(fx->pool, &toy.vdev);
	if (ret == 0) {
		ret = dma_alloc(toy.vdev.dma, PAGE, &region, &iova);
	}
	oom_end();
	if (ret == 0) {
		dma_free(toy.vdev.dma, region, iova);
	}
	dma_space_free(toy.vdev.dma);
	assert_int_equal(toy.n_maps, 0);
	return ret;
}

static void test_oom(void **state)
{
	struct fixture *fx = *state;

	for (unsigned long i = 0; i < 40; i++) {
		add(fx, 2 * i, 1);
	}
	assert_true(oom_check(sync_without_memory, fx) >= 4);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	WITH(test_pool_refuses_what_overlaps),
	WITH(test_pool_takes_whole_pages_only),
	WITH(test_limit_of_pieces),
	WITH(test_regions_of_no_size),
	WITH(test_addresses_are_ours_where_they_can_be),
	WITH(test_ranges_at_the_edges_of_a_piece),
	WITH(test_nothing_is_there_at_first),
	WITH(test_a_device_with_few_addresses),
	WITH(test_a_device_whose_addresses_end_the_world),
	WITH(test_a_device_without_addresses),
	WITH(test_what_is_refused_is_undone),
	WITH(test_what_is_not_let_go_is_tried_again),
	WITH(test_memory_of_the_driver_is_not_the_callers),
	WITH(test_lookups_while_pieces_come_and_go),
	WITH(test_oom),
};

TEST_MAIN("virtio_dma")
