/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the benchmarks share: clocks, medians, and how noisy the machine is.
 *
 * Every figure is one line of key=value pairs; times are medians of several
 * repetitions. The machine may run other things: what one thread computes is
 * measured in its own CPU time, and what goes between threads is quoted beside
 * a limit that the same run measured before and after.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A check that no build leaves out: a benchmark of a failure means nothing. */
#define bench_must(condition)                                          \
	do {                                                           \
		if (!(condition)) {                                    \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, \
				      __LINE__, #condition);           \
			abort();                                       \
		}                                                      \
	} while (0)

static inline uint64_t bench_clock_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static inline uint64_t bench_now_ns(void)
{
	return bench_clock_ns(CLOCK_MONOTONIC);
}

/* Of the calling thread. */
static inline uint64_t bench_cpu_ns(void)
{
	return bench_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts @v. @permille 500: the median. */
static inline double bench_quantile(double *v, size_t n, unsigned int permille)
{
	qsort(v, n, sizeof(*v), bench_compare);
	return v[(n - 1) * permille / 1000];
}

static inline double bench_median(double *v, size_t n)
{
	return bench_quantile(v, n, 500);
}

#endif
