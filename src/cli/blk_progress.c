/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How far a copy is, on standard error, a few times a second.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "cli/blk_copy.h"

#define INTERVAL_NS 200000000L
#define NS_PER_S    1000000000L

static void show(struct copy *c)
{
	double done = (double)__atomic_load_n(&c->done, __ATOMIC_RELAXED);
	uint64_t all = c->job->len_bytes;

	c->has_progress = true;
	if (all == UINT64_MAX) {
		(void)fprintf(stderr, "\r%.0f MiB", done / (1 << 20));
	} else {
		(void)fprintf(stderr, "\r%3.0f %% of %.0f MiB",
			      all > 0 ? 100 * done / (double)all : 100,
			      (double)all / (1 << 20));
	}
}

void copy_progress_wait(struct copy *c)
{
	struct timespec until;

	for (;;) {
		(void)clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += INTERVAL_NS;
		until.tv_sec += until.tv_nsec / NS_PER_S;
		until.tv_nsec %= NS_PER_S;
		if (sem_timedwait(&c->ended, &until) == 0) {
			break;
		}
		if (errno == ETIMEDOUT && c->job->wants_progress) {
			show(c);
		}
	}
	if (c->job->wants_progress) {
		show(c);
	}
}

void copy_progress_end(struct copy *c)
{
	if (c->has_progress) {
		(void)fputc('\n', stderr);
	}
}
