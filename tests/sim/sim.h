/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the simulations share: seeds, and drawing from them.
 *
 * SIM_SEED=n runs that seed alone, SIM_RUNS=n that many from 1 on.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <errno.h>

#include "lib/test.h"
#include "lib/vclient.h"
#include "loop/loop.h"

#ifndef SIM_DEFAULT_RUNS
#define SIM_DEFAULT_RUNS 4000
#endif

static inline uint64_t sim_env(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : fallback;
}

/* A number below @n. */
static inline uint64_t draw(struct sim *sim, uint64_t n)
{
	return sim_random(sim) % n;
}

/* Calls @run with one simulation a seed; prints the seed that is running, for
 * whoever looks at a failure. @fail_permille: of the operations fail. */
static inline void sim_each_failing_seed(void (*run)(struct sim *sim),
					 unsigned int fail_permille)
{
	uint64_t one = sim_env("SIM_SEED", 0);
	uint64_t first = one ? one : 1;
	uint64_t last = one ? one : sim_env("SIM_RUNS", SIM_DEFAULT_RUNS);

	for (uint64_t seed = first; seed <= last; seed++) {
		const struct sim_options options = {
			.seed = seed,
			.delay_permille = 200,
			.max_delay_ns = 100000,
			.fail_permille = fail_permille,
		};
		struct sim *sim;

		assert_int_equal(sim_new(&options, &sim), 0);
		(void)fprintf(stderr, "\rSIM_SEED=%llu",
			      (unsigned long long)seed);
		run(sim);
		sim_free(sim);
	}
	(void)fprintf(stderr, "\r");
}

static inline void sim_each_seed(void (*run)(struct sim *sim))
{
	sim_each_failing_seed(run, 0);
}

#endif
