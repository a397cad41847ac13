/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the domain: its file, and lending its pages.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "lib/oom.h"
#include "lib/test.h"
#include "mem/domain.h"

#define SIZE	DOMAIN_BYTES_MIN
#define N_ALL	((uint32_t)(SIZE / DOMAIN_PAGE))
#define N_PAGES (N_ALL - 1)

static int set_up(void **state)
{
	struct domain *d;

	assert_int_equal(domain_new(SIZE, &d), 0);
	assert_int_equal(domain_begin(d, 0), 0);
	*state = d;
	return 0;
}

static int tear_down(void **state)
{
	domain_free(*state);
	return 0;
}

static void test_domain_sizes_have_limits(void **state)
{
	struct domain *d;

	(void)state;
	assert_int_equal(domain_new(SIZE - DOMAIN_PAGE, &d), -EINVAL);
	assert_int_equal(domain_new(SIZE + 1, &d), -EINVAL);
	assert_int_equal(domain_new(DOMAIN_BYTES_MAX + DOMAIN_PAGE, &d),
			 -EINVAL);
	assert_int_equal(domain_new(DOMAIN_BYTES_MAX, &d), 0);
	assert_int_equal(domain_size(d), DOMAIN_BYTES_MAX);
	domain_free(d);
}

static void test_domain_rings_are_zeroed_and_not_lent(void **state)
{
	struct domain *d = *state;

	memset(domain_va(d, DOMAIN_PAGE), 0xff, 3UL * DOMAIN_PAGE);
	assert_int_equal(domain_begin(d, 2 * DOMAIN_PAGE + 1), 0);
	for (uint32_t i = 0; i < 3 * DOMAIN_PAGE; i++) {
		assert_int_equal(*domain_va(d, DOMAIN_PAGE + i), 0);
	}
	assert_int_equal(domain_n_pages(d), N_ALL - 4);
	assert_int_equal(domain_take(d, 1), 4);
	assert_int_equal(domain_begin(d, SIZE - DOMAIN_PAGE), -ENOSPC);
	assert_int_equal(domain_begin(d, UINT64_MAX), -ENOSPC);
	assert_int_equal(domain_begin(d, SIZE - 2 * DOMAIN_PAGE), 0);
	assert_int_equal(domain_n_free(d), 1);
}

static void test_domain_lends_the_lowest_run(void **state)
{
	struct domain *d = *state;
	uint32_t a = domain_take(d, 1), b = domain_take(d, 100);
	uint32_t c = domain_take(d, 1), next;

	assert_int_equal(a, 1);
	assert_int_equal(b, 2);
	assert_int_equal(c, 102);
	assert_int_equal(domain_run(d, b, &next), 100);
	assert_int_equal(next, 0);
	domain_give(d, b);
	domain_give(d, a);
	assert_int_equal(domain_take(d, 101), 1);
	assert_int_equal(domain_n_free(d), N_PAGES - 102);
}

static void test_domain_lends_pieces_where_no_run_is_long_enough(void **state)
{
	struct domain *d = *state;
	uint32_t first, next, n = 0;

	for (uint32_t i = 0; i < N_PAGES; i++) {
		assert_int_equal(domain_take(d, 1), i + 1);
	}
	assert_int_equal(domain_take(d, 1), 0);
	for (uint32_t i = 1; i <= N_PAGES; i += 2) {
		domain_give(d, i);
	}
	assert_int_equal(domain_take(d, domain_n_free(d) + 1), 0);
	first = domain_take(d, domain_n_free(d));
	for (uint32_t at = first; at != 0; at = next) {
		assert_int_equal(at, 1 + 2 * n);
		assert_int_equal(domain_run(d, at, &next), 1);
		n++;
	}
	assert_int_equal(n, (N_PAGES + 1) / 2);
	assert_int_equal(domain_n_free(d), 0);
	domain_give(d, first);
	assert_int_equal(domain_n_free(d), (N_PAGES + 1) / 2);
}

/* Against an array of who has each page. */
static void test_domain_lends_each_page_once(void **state)
{
	struct domain *d = *state;
	uint8_t owner[N_ALL + 1] = { 0 };
	uint32_t held[64] = { 0 }, n_free = N_PAGES;
	uint64_t rng = 88172645463325252ULL;

	for (unsigned int round = 0; round < 20000; round++) {
		unsigned int i;
		uint32_t n, next;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		i = (unsigned int)(rng >> 8) % 64;
		n = 1 + (uint32_t)(rng >> 20) % 20;
		if (held[i] == 0) {
			uint32_t got = 0;

			held[i] = domain_take(d, n);
			assert_int_equal(held[i] != 0, n <= n_free);
			for (uint32_t at = held[i]; at != 0; at = next) {
				uint32_t run = domain_run(d, at, &next);

				got += run;
				while (run-- > 0) {
					assert_in_range(at + run, 1, N_PAGES);
					assert_int_equal(owner[at + run], 0);
					owner[at + run] = 1;
				}
			}
			assert_int_equal(got, held[i] ? n : 0);
			n_free -= got;
		} else {
			for (uint32_t at = held[i]; at != 0; at = next) {
				uint32_t run = domain_run(d, at, &next);

				memset(owner + at, 0, run);
				n_free += run;
			}
			domain_give(d, held[i]);
			held[i] = 0;
		}
		assert_int_equal(domain_n_free(d), n_free);
	}
}

static int make_one(void *priv)
{
	struct domain *d;
	int ret;

	(void)priv;
	oom_begin();
	ret = domain_new(SIZE, &d);
	oom_end();
	if (ret == 0) {
		domain_free(d);
	}
	return ret;
}

static void test_domain_survives_lack_of_memory(void **state)
{
	(void)state;
	assert_in_range(oom_check(make_one, NULL), 4, 20);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_domain_sizes_have_limits),
	T(test_domain_rings_are_zeroed_and_not_lent),
	T(test_domain_lends_the_lowest_run),
	T(test_domain_lends_pieces_where_no_run_is_long_enough),
	T(test_domain_lends_each_page_once),
	cmocka_unit_test(test_domain_survives_lack_of_memory),
};

TEST_MAIN("mem_domain")
