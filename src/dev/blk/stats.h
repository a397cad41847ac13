/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a disk's queue counts: requests, bytes, errors and latencies, by op.
 *
 * Latencies go into a log-linear histogram: 16 buckets for each power of two,
 * so that a percentile is at most 1/16 too high. The owner worker writes,
 * anybody reads, each number whole, not all of one moment.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_STATS_H
#define DEV_BLK_STATS_H

#include "dev/blk/backend.h"

#define BLK_HIST_SUB_BITS 4
/* Latencies up to 2^40 ns, 18 minutes; longer ones count as that. */
#define BLK_HIST_BITS 40
#define BLK_HIST_BUCKETS \
	((BLK_HIST_BITS - BLK_HIST_SUB_BITS + 1) << BLK_HIST_SUB_BITS)

struct blk_op_stats {
	uint64_t n_requests;
	uint64_t n_bytes;
	uint64_t n_errors;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t hist[BLK_HIST_BUCKETS];
};

struct blk_stats {
	struct blk_op_stats ops[BLK_OP_N];
	uint64_t n_refused; /* requests that no op was made of */
};

/* Where a latency is counted, and the largest that is counted there. */
unsigned int blk_hist_bucket(uint64_t ns);
uint64_t blk_hist_last_ns(unsigned int bucket);

/* One request has ended. Owner worker. */
void blk_stats_add(struct blk_op_stats *s, uint64_t n_bytes, bool has_failed,
		   uint64_t ns);
void blk_stats_refused(struct blk_stats *stats);

/* The latency that @permille of the requests did not exceed; 0: no requests.
 * Any thread. */
uint64_t blk_stats_percentile_ns(const struct blk_op_stats *s,
				 unsigned int permille);

/* Names and numbers of all of it. Any thread. */
void blk_stats_emit(const struct blk_stats *stats, vdpa_stat_fn emit,
		    void *priv);

#endif
