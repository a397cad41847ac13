/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long the IOTLB takes: one line a figure, medians of several rounds.
 *
 * lookup: iotlb_find() of random mapped addresses in a table of so many
 * entries. limit: a binary search of the same addresses in a sorted array of
 * their first ones, in the same round. map, unmap: one change of a table that grows to, or shrinks from,
 * so many, each entry with a region of its own; order is that of the
 * addresses; snapshot=each takes one after every change and drops the one
 * before, as a running queue does.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "mem/iotlb.h"

#define N_ROUNDS  5
#define N_LOOKUPS 2000000
#define N_TARGETS 65536
#define N_CHANGES 100000
#define STRIDE	  0x10000ULL

enum order {
	ORDER_RISING,
	ORDER_FALLING,
	ORDER_RANDOM,
	ORDER_N,
};

static const char *const order_names[] = { "rising", "falling", "random" };
_Static_assert(ARRAY_SIZE(order_names) == ORDER_N, "a name each");

struct times {
	uint64_t map_ns;
	uint64_t unmap_ns;
};

static char memory[4096];
static uint64_t rng_state = 0x9e3779b97f4a7c15ULL;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* The addresses of @n entries, in the order in which they are mapped. */
static uint64_t *make_iovas(unsigned int n, enum order order)
{
	uint64_t *iova = calloc(n, sizeof(*iova));

	assert(iova);
	for (unsigned int i = 0; i < n; i++) {
		iova[i] = STRIDE * (order == ORDER_FALLING ? n - i : i + 1);
	}
	for (unsigned int i = n; order == ORDER_RANDOM && i > 1; i--) {
		unsigned int other = (unsigned int)(rng() % i);
		uint64_t tmp = iova[i - 1];

		iova[i - 1] = iova[other];
		iova[other] = tmp;
	}
	return iova;
}

static void map_one(struct iotlb *tlb, struct region *region, uint64_t iova)
{
	int ret = iotlb_map(tlb, iova, iova + sizeof(memory) - 1, region, 0,
			    MEM_PERM_RW);

	assert(ret == 0);
	(void)ret; /* read by the assertion alone */
}

/* Made beforehand, so that only the lookup is timed. */
static uint64_t *make_targets(unsigned int n_entries)
{
	uint64_t *target = calloc(N_TARGETS, sizeof(*target));

	assert(target);
	for (unsigned int i = 0; i < N_TARGETS; i++) {
		target[i] = STRIDE * (1 + rng() % n_entries) + i % 4096;
	}
	return target;
}

static uint64_t time_lookups(const struct iotlb_snap *snap,
			     const uint64_t *target)
{
	uint64_t sum = 0, began_ns = bench_cpu_ns();

	for (unsigned int i = 0; i < N_LOOKUPS; i++) {
		sum += iotlb_find(snap, target[i % N_TARGETS])->start;
	}
	assert(sum > 0);
	return bench_cpu_ns() - began_ns;
}

/* The last of @n sorted addresses that is not above @iova. */
static uint64_t search(const uint64_t *sorted, unsigned int n, uint64_t iova)
{
	while (n > 1) {
		unsigned int half = n / 2;

		sorted = iova >= sorted[half] ? sorted + half : sorted;
		n -= half;
	}
	return *sorted;
}

static uint64_t time_searches(const uint64_t *sorted, unsigned int n,
			      const uint64_t *target)
{
	uint64_t sum = 0, began_ns = bench_cpu_ns();

	for (unsigned int i = 0; i < N_LOOKUPS; i++) {
		sum += search(sorted, n, target[i % N_TARGETS]);
	}
	bench_must(sum > 0);
	return bench_cpu_ns() - began_ns;
}

static void bench_lookup(struct region *const *regions, unsigned int n)
{
	uint64_t *iova = make_iovas(n, ORDER_RANDOM);
	uint64_t *sorted = make_iovas(n, ORDER_RISING);
	double ns[N_ROUNDS], limit_ns[N_ROUNDS];
	uint64_t *target = make_targets(n);
	struct iotlb_snap *snap;
	struct iotlb *tlb;

	assert(iotlb_new(n, &tlb) == 0);
	for (unsigned int i = 0; i < n; i++) {
		map_one(tlb, regions[i], iova[i]);
	}
	snap = iotlb_snapshot(tlb);
	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		ns[round] = (double)time_lookups(snap, target) / N_LOOKUPS;
		limit_ns[round] =
			(double)time_searches(sorted, n, target) / N_LOOKUPS;
	}
	printf("bench=iotlb figure=lookup entries=%u ns=%.1f limit_ns=%.1f\n",
	       n, bench_median(ns, N_ROUNDS), bench_median(limit_ns, N_ROUNDS));
	iotlb_snap_unref(snap);
	iotlb_free(tlb);
	free(target);
	free(sorted);
	free(iova);
}

static void take_snapshot(struct iotlb *tlb, struct iotlb_snap **held)
{
	struct iotlb_snap *newer = iotlb_snapshot(tlb);

	iotlb_snap_unref(*held);
	*held = newer;
}

static struct times time_changes(struct region *const *regions,
				 enum order order, bool has_snapshots)
{
	uint64_t *iova = make_iovas(N_CHANGES, order), began_ns;
	struct iotlb_snap *held = NULL;
	struct iotlb *tlb;
	struct times ret;

	assert(iotlb_new(N_CHANGES, &tlb) == 0);
	began_ns = bench_cpu_ns();
	for (unsigned int i = 0; i < N_CHANGES; i++) {
		map_one(tlb, regions[i], iova[i]);
		if (has_snapshots) {
			take_snapshot(tlb, &held);
		}
	}
	ret.map_ns = bench_cpu_ns() - began_ns;
	began_ns = bench_cpu_ns();
	for (unsigned int i = 0; i < N_CHANGES; i++) {
		int n = iotlb_unmap(tlb, iova[i], iova[i]);

		assert(n == 1);
		(void)n; /* read by the assertion alone */
		if (has_snapshots) {
			take_snapshot(tlb, &held);
		}
	}
	ret.unmap_ns = bench_cpu_ns() - began_ns;
	iotlb_snap_unref(held);
	iotlb_free(tlb);
	free(iova);
	return ret;
}

static void bench_changes(struct region *const *regions, enum order order,
			  bool has_snapshots)
{
	double map_us[N_ROUNDS], unmap_us[N_ROUNDS];
	const char *snapshot = has_snapshots ? "each" : "none";

	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		struct times t = time_changes(regions, order, has_snapshots);

		map_us[round] = (double)t.map_ns / N_CHANGES / 1000;
		unmap_us[round] = (double)t.unmap_ns / N_CHANGES / 1000;
	}
	printf("bench=iotlb figure=map entries=%u order=%s snapshot=%s "
	       "us=%.3f\n",
	       N_CHANGES, order_names[order], snapshot,
	       bench_median(map_us, N_ROUNDS));
	printf("bench=iotlb figure=unmap entries=%u order=%s snapshot=%s "
	       "us=%.3f\n",
	       N_CHANGES, order_names[order], snapshot,
	       bench_median(unmap_us, N_ROUNDS));
}

int main(void)
{
	static const unsigned int sizes[] = { 1, 100, 2048, N_CHANGES };
	static struct region *regions[N_CHANGES];

	for (unsigned int i = 0; i < N_CHANGES; i++) {
		assert(region_new_own(memory, sizeof(memory), NULL, NULL,
				      &regions[i]) == 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		bench_lookup(regions, sizes[i]);
	}
	for (enum order order = 0; order < ORDER_N; order++) {
		bench_changes(regions, order, false);
		bench_changes(regions, order, true);
	}
	for (unsigned int i = 0; i < N_CHANGES; i++) {
		region_unref(regions[i]);
	}
	return 0;
}
