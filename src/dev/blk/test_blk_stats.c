/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the latency histogram.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/stats.h"
#include "lib/test.h"

static void test_buckets_have_no_gaps_and_no_overlap(void **state)
{
	assert_int_equal(blk_hist_bucket(0), 0);
	for (unsigned int b = 0; b + 1 < BLK_HIST_BUCKETS; b++) {
		uint64_t last = blk_hist_last_ns(b);

		assert_int_equal(blk_hist_bucket(last), b);
		assert_int_equal(blk_hist_bucket(last + 1), b + 1);
	}
}

static void test_buckets_are_at_most_a_sixteenth_wide(void **state)
{
	for (unsigned int b = 16; b < BLK_HIST_BUCKETS; b++) {
		uint64_t first = blk_hist_last_ns(b - 1) + 1;
		uint64_t width = blk_hist_last_ns(b) - first + 1;

		assert_true(width * 16 <= first);
	}
}

static void test_longest_latencies_count_as_the_last_bucket(void **state)
{
	assert_int_equal(blk_hist_bucket((1ULL << 40) - 1),
			 BLK_HIST_BUCKETS - 1);
	assert_int_equal(blk_hist_bucket(1ULL << 40), BLK_HIST_BUCKETS - 1);
	assert_int_equal(blk_hist_bucket(UINT64_MAX), BLK_HIST_BUCKETS - 1);
}

static struct blk_stats *stats_new(void)
{
	struct blk_stats *stats = calloc(1, sizeof(*stats));

	assert_non_null(stats);
	return stats;
}

static void test_percentiles(void **state)
{
	struct blk_stats *stats = stats_new();
	struct blk_op_stats *s = &stats->ops[BLK_READ];

	assert_int_equal(blk_stats_percentile_ns(s, 500), 0);
	for (uint64_t ns = 1; ns <= 100000; ns++) {
		blk_stats_add(s, 512, false, ns);
	}
	assert_in_range(blk_stats_percentile_ns(s, 500), 50000, 53125);
	assert_in_range(blk_stats_percentile_ns(s, 990), 99000, 100000);
	assert_in_range(blk_stats_percentile_ns(s, 999), 99900, 100000);
	assert_int_equal(blk_stats_percentile_ns(s, 1000), 100000);
	free(stats);
}

/* One slow request in a thousand is the p99.9's, not the p99's. */
static void test_percentiles_of_an_outlier(void **state)
{
	struct blk_stats *stats = stats_new();
	struct blk_op_stats *s = &stats->ops[BLK_FLUSH];

	for (int i = 0; i < 998; i++) {
		blk_stats_add(s, 0, false, 10);
	}
	blk_stats_add(s, 0, true, 1000000);
	blk_stats_add(s, 0, false, 1000000);
	assert_int_equal(blk_stats_percentile_ns(s, 990), 10);
	assert_in_range(blk_stats_percentile_ns(s, 999), 1000000, 1062500);
	assert_int_equal(s->n_errors, 1);
	assert_int_equal(s->max_ns, 1000000);
	free(stats);
}

static void test_one_request(void **state)
{
	struct blk_stats *stats = stats_new();
	struct blk_op_stats *s = &stats->ops[BLK_WRITE];

	blk_stats_add(s, 4096, false, 12345);
	assert_int_equal(blk_stats_percentile_ns(s, 1), 12345);
	assert_int_equal(blk_stats_percentile_ns(s, 500), 12345);
	assert_int_equal(blk_stats_percentile_ns(s, 999), 12345);
	assert_int_equal(s->n_bytes, 4096);
	free(stats);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_buckets_have_no_gaps_and_no_overlap),
	cmocka_unit_test(test_buckets_are_at_most_a_sixteenth_wide),
	cmocka_unit_test(test_longest_latencies_count_as_the_last_bucket),
	cmocka_unit_test(test_percentiles),
	cmocka_unit_test(test_percentiles_of_an_outlier),
	cmocka_unit_test(test_one_request),
};

TEST_MAIN("blk_stats")
