/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both sides of a queue in two threads that sleep on eventfds whenever they
 * may: no buffer is lost or changed, and no wake-up is missed. Under the thread
 * sanitizer it shows that each side's bytes are ordered before its index.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vq/test_vq_rig.h"

#define N_BUFS	   6000
#define NUM	   32
#define AREA_BYTES 256
#define BURST	   16
#define WAIT_MS	   20000 /* far longer than any wake-up takes */

struct stress {
	struct rig *rig;
	int kick_fd;
	int call_fd;
	atomic_bool is_over;
	uint64_t rng; /* device thread */
	unsigned int n_waits; /* device thread */
};

static void signal_fd(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void wait_fd(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
}

/* What the device makes of a buffer: the request and its complement. */
static uint32_t answer(struct vq_chain *chain)
{
	uint64_t req;

	assert_int_equal(vq_chain_read(chain, 0, &req, sizeof(req)), 0);
	req = ~req;
	assert_int_equal(vq_chain_write(chain, 0, &req, sizeof(req)), 0);
	return sizeof(req);
}

/* Completes a burst, backwards now and then. */
static void work(struct stress *s, struct vq_chain **chains, int n)
{
	bool is_backwards;

	s->rng = s->rng * 6364136223846793005ULL + 1442695040888963407ULL;
	is_backwards = s->rng >> 63;
	for (int i = 0; i < n; i++) {
		struct vq_chain *chain = chains[is_backwards ? n - 1 - i : i];

		vq_complete(s->rig->vq, chain, answer(chain));
	}
	if (vq_publish(s->rig->vq)) {
		signal_fd(s->call_fd);
	}
}

static void *run_device(void *arg)
{
	struct stress *s = arg;
	struct vq_chain *chains[BURST];

	while (!atomic_load(&s->is_over)) {
		int n = vq_fetch(s->rig->vq, chains, BURST);

		assert_true(n >= 0);
		if (n > 0) {
			vq_disable_kick(s->rig->vq);
			work(s, chains, n);
		} else if (!vq_enable_kick(s->rig->vq)) {
			s->n_waits++;
			wait_fd(s->kick_fd);
		}
	}
	return NULL;
}

static void add(struct stress *s, uint64_t n)
{
	uint32_t area = (uint32_t)(n % (2 * NUM)) * AREA_BYTES;
	struct vq_sg sg[4] = { rig_sg(area, 4), rig_sg(area + 4, 4),
			       rig_sg(area + 64, 6), rig_sg(area + 70, 2) };

	memcpy(s->rig->buf.va + area, &n, sizeof(n));
	assert_int_equal(vq_driver_add(s->rig->drv, sg, 2, 2, (void *)(n + 1)),
			 0);
}

static void check_used(struct stress *s, const struct vq_used *used)
{
	uint64_t n = (uintptr_t)used->cookie - 1, got;
	uint64_t area = n % (2 * NUM) * AREA_BYTES;

	assert_int_equal(used->written, sizeof(got));
	memcpy(&got, s->rig->buf.va + area + 64, sizeof(got));
	assert_true(got == ~n);
}

static void run_driver(struct stress *s)
{
	uint64_t n_added = 0, n_got = 0;
	struct vq_used used[BURST];

	while (n_got < N_BUFS) {
		int n = vq_driver_get(s->rig->drv, used, BURST);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++) {
			check_used(s, &used[i]);
		}
		n_got += (uint64_t)n;
		while (n_added < N_BUFS && n_added - n_got < NUM &&
		       vq_driver_n_free(s->rig->drv) >= 4) {
			add(s, n_added++);
		}
		if (vq_driver_publish(s->rig->drv)) {
			signal_fd(s->kick_fd);
		}
		if (n == 0 && n_got < N_BUFS &&
		    !vq_driver_enable_call(s->rig->drv)) {
			wait_fd(s->call_fd);
			vq_driver_disable_call(s->rig->drv);
		}
	}
}

static void run(uint64_t features)
{
	struct stress s = {
		.rig = rig_new(features, NUM),
		.kick_fd = eventfd(0, EFD_CLOEXEC),
		.call_fd = eventfd(0, EFD_CLOEXEC),
		.rng = features,
	};
	pthread_t thread;

	assert_true(s.kick_fd >= 0);
	assert_true(s.call_fd >= 0);
	assert_int_equal(pthread_create(&thread, NULL, run_device, &s), 0);
	run_driver(&s);
	atomic_store(&s.is_over, true);
	signal_fd(s.kick_fd);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(vq_counters(s.rig->vq)->n_completed, N_BUFS);
	close(s.kick_fd);
	close(s.call_fd);
	rig_free(s.rig);
}

static void test_no_buffer_and_no_wake_up_is_lost(void **state)
{
	static const uint64_t bits[] = { RIG_PACKED, RIG_INDIRECT, RIG_EVENT,
					 RIG_IN_ORDER };

	for (unsigned int set = 0; set < 16; set++) {
		uint64_t features = 0;

		for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
			features |= has_bit(set, i) ? bits[i] : 0;
		}
		run(features);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_no_buffer_and_no_wake_up_is_lost),
};

TEST_MAIN("vq_stress")
