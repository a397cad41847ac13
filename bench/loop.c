/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a worker takes to hear of something: one line a figure.
 *
 * call: loop_call_wait(), there and back. kick: from the write of an eventfd
 * to its watch's callback. ring: from a store to memory to the poller that
 * finds it, no system call between. worker=asleep: it sleeps each time;
 * worker=polling: a poller keeps it awake in vain; worker=busy: the poller says
 * that it finds work. Median and 99th percentile.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "loop/loop.h"

#define N_ROUNDS       3000
#define MAX_POLL_US    1000
#define FALL_ASLEEP_NS 100000
/* So as not to fall into step with the worker. */
#define JITTER_NS 100000

struct bench {
	struct loop *worker;
	struct loop_poller poller;
	struct loop_watch *watch;
	int fd;
	bool must_poll; /* worker only: stays awake */
	bool is_busy; /* worker only: and says it finds work */
	unsigned int n_found; /* worker only: of n_stored */
	unsigned int n_stored; /* atomic: what the poller looks for */
	unsigned int n_seen; /* atomic: how often something was seen */
	uint64_t seen_ns; /* written before n_seen */
	double us[N_ROUNDS];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void spin_for(uint64_t ns)
{
	uint64_t until_ns = now_ns() + ns;

	while (now_ns() < until_ns) {
	}
}

/* Worker */

static void saw(struct bench *b)
{
	b->seen_ns = now_ns();
	__atomic_store_n(&b->n_seen, b->n_seen + 1, __ATOMIC_RELEASE);
}

static unsigned int poll_memory(void *priv)
{
	struct bench *b = priv;
	unsigned int n = __atomic_load_n(&b->n_stored, __ATOMIC_ACQUIRE);

	if (n != b->n_found) {
		b->n_found = n;
		saw(b);
	}
	return b->is_busy;
}

static bool arm(void *priv)
{
	return ((struct bench *)priv)->must_poll;
}

static void kicked(void *priv, unsigned int events)
{
	saw(priv);
}

static void set_up(void *priv)
{
	struct bench *b = priv;
	int rc = loop_watch_new(b->worker, b->fd, LOOP_IN | LOOP_EDGE, kicked,
				b, &b->watch);

	assert(rc == 0);
	b->poller = (struct loop_poller){
		.poll = poll_memory,
		.arm = arm,
		.priv = b,
		.max_poll_us = MAX_POLL_US,
	};
	loop_poller_add(b->worker, &b->poller);
}

static void tear_down(void *priv)
{
	struct bench *b = priv;

	b->watch = loop_watch_free(b->watch);
	loop_poller_del(&b->poller);
}

static void start_polling(void *priv)
{
	struct bench *b = priv;

	b->must_poll = true;
	loop_poller_wake(&b->poller);
}

static void seem_busy(void *priv)
{
	((struct bench *)priv)->is_busy = true;
}

static void stop_polling(void *priv)
{
	struct bench *b = priv;

	b->must_poll = false;
	b->is_busy = false;
}

static void do_nothing(void *priv)
{
}

/* Control */

static double call(struct bench *b)
{
	uint64_t began_ns = now_ns();

	loop_call_wait(b->worker, do_nothing, NULL);
	return (double)(now_ns() - began_ns) / 1000;
}

static double wait_until_seen(const struct bench *b, unsigned int n_before,
			      uint64_t began_ns)
{
	while (__atomic_load_n(&b->n_seen, __ATOMIC_ACQUIRE) == n_before) {
	}
	return (double)(b->seen_ns - began_ns) / 1000;
}

static double kick(struct bench *b)
{
	unsigned int n_seen = __atomic_load_n(&b->n_seen, __ATOMIC_ACQUIRE);
	uint64_t one = 1, began_ns = now_ns();
	ssize_t n = write(b->fd, &one, sizeof(one));

	assert(n == sizeof(one));
	return wait_until_seen(b, n_seen, began_ns);
}

static double store(struct bench *b)
{
	unsigned int n_seen = __atomic_load_n(&b->n_seen, __ATOMIC_ACQUIRE);
	uint64_t began_ns = now_ns();

	__atomic_store_n(&b->n_stored, b->n_stored + 1, __ATOMIC_RELEASE);
	return wait_until_seen(b, n_seen, began_ns);
}

static int compare_us(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(struct bench *b, const char *figure, const char *worker,
		    double (*once)(struct bench *b))
{
	unsigned int seed = 1;

	for (unsigned int i = 0; i < N_ROUNDS; i++) {
		spin_for(FALL_ASLEEP_NS + (uint64_t)rand_r(&seed) % JITTER_NS);
		b->us[i] = once(b);
	}
	qsort(b->us, N_ROUNDS, sizeof(b->us[0]), compare_us);
	printf("bench=loop figure=%s worker=%s us=%.2f p99_us=%.2f\n", figure,
	       worker, b->us[N_ROUNDS / 2], b->us[N_ROUNDS * 99 / 100]);
}

int main(void)
{
	static struct bench b;
	int rc = loop_new("bench", &b.worker);

	assert(rc == 0);
	b.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(b.fd >= 0);
	rc = loop_start(b.worker);
	assert(rc == 0);
	loop_call_wait(b.worker, set_up, &b);
	measure(&b, "call", "asleep", call);
	measure(&b, "kick", "asleep", kick);
	loop_call_wait(b.worker, start_polling, &b);
	measure(&b, "call", "polling", call);
	measure(&b, "kick", "polling", kick);
	measure(&b, "ring", "polling", store);
	loop_call_wait(b.worker, seem_busy, &b);
	measure(&b, "call", "busy", call);
	measure(&b, "kick", "busy", kick);
	measure(&b, "ring", "busy", store);
	loop_call_wait(b.worker, stop_polling, &b);
	loop_call_wait(b.worker, tear_down, &b);
	loop_stop(b.worker);
	loop_free(b.worker);
	close(b.fd);
	return 0;
}
