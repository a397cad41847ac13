/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a disk's queue counts.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/stats.h"

#include <stdio.h>

#define SUB_BUCKETS (1U << BLK_HIST_SUB_BITS)

unsigned int blk_hist_bucket(uint64_t ns)
{
	unsigned int top;

	if (ns < SUB_BUCKETS) {
		return (unsigned int)ns;
	}
	if (ns >> BLK_HIST_BITS) {
		return BLK_HIST_BUCKETS - 1;
	}
	top = 63 - (unsigned int)__builtin_clzll(ns);
	return ((top - BLK_HIST_SUB_BITS + 1) << BLK_HIST_SUB_BITS) +
	       (unsigned int)(ns >> (top - BLK_HIST_SUB_BITS)) - SUB_BUCKETS;
}

uint64_t blk_hist_last_ns(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < SUB_BUCKETS) {
		return bucket;
	}
	shift = (bucket >> BLK_HIST_SUB_BITS) - 1;
	return ((uint64_t)(bucket % SUB_BUCKETS + SUB_BUCKETS + 1) << shift) -
	       1;
}

/* One writer: a plain sum, stored so that readers see whole values. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void blk_stats_add(struct blk_op_stats *s, uint64_t n_bytes, bool has_failed,
		   uint64_t ns)
{
	add(&s->n_requests, 1);
	add(&s->sum_ns, ns);
	add(&s->hist[blk_hist_bucket(ns)], 1);
	if (ns > s->max_ns) {
		__atomic_store_n(&s->max_ns, ns, __ATOMIC_RELAXED);
	}
	if (has_failed) {
		add(&s->n_errors, 1);
	} else {
		add(&s->n_bytes, n_bytes);
	}
}

void blk_stats_refused(struct blk_stats *stats)
{
	add(&stats->n_refused, 1);
}

uint64_t blk_stats_percentile_ns(const struct blk_op_stats *s,
				 unsigned int permille)
{
	uint64_t n = 0, below = 0, want;

	for (unsigned int i = 0; i < BLK_HIST_BUCKETS; i++) {
		n += get(&s->hist[i]);
	}
	/* Rounded up, without a product that could wrap. */
	want = n / 1000 * permille + (n % 1000 * permille + 999) / 1000;
	for (unsigned int i = 0; n > 0 && i < BLK_HIST_BUCKETS; i++) {
		below += get(&s->hist[i]);
		if (below >= want && below > 0) {
			return min_of(blk_hist_last_ns(i), get(&s->max_ns));
		}
	}
	return n > 0 ? get(&s->max_ns) : 0; /* counted while we looked */
}

static const char *const op_names[] = {
	"read", "write", "flush", "discard", "write_zeroes", "secure_erase",
};
_Static_assert(ARRAY_SIZE(op_names) == BLK_OP_N, "one name an op");

static void emit_op(const struct blk_op_stats *s, const char *op,
		    vdpa_stat_fn emit, void *priv)
{
	uint64_t n = get(&s->n_requests);
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "requests", n },
		{ "bytes", get(&s->n_bytes) },
		{ "errors", get(&s->n_errors) },
		{ "mean_ns", n > 0 ? get(&s->sum_ns) / n : 0 },
		{ "p50_ns", blk_stats_percentile_ns(s, 500) },
		{ "p99_ns", blk_stats_percentile_ns(s, 990) },
		{ "p99.9_ns", blk_stats_percentile_ns(s, 999) },
		{ "max_ns", get(&s->max_ns) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[48];

		(void)snprintf(name, sizeof(name), "%s %s", op, rows[i].name);
		emit(priv, name, rows[i].value);
	}
}

void blk_stats_emit(const struct blk_stats *stats, vdpa_stat_fn emit,
		    void *priv)
{
	for (unsigned int op = 0; op < BLK_OP_N; op++) {
		emit_op(&stats->ops[op], op_names[op], emit, priv);
	}
	emit(priv, "refused requests", get(&stats->n_refused));
}
