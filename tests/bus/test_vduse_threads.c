/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE with a worker in a thread: what it is told while kicks keep coming.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "test_vduse_rig.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define N_ROUNDS    50
#define PATIENCE_MS 60000

/* A driver that kicks without end. */
struct kicker {
	pthread_t thread;
	int fd;
	bool is_over; /* atomic */
};

static void *kick_on(void *priv)
{
	struct kicker *k = priv;

	while (!__atomic_load_n(&k->is_over, __ATOMIC_RELAXED)) {
		(void)eventfd_write(k->fd, 1); /* full is as good */
	}
	return NULL;
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_int_not_equal(fd, -1);
	return fd;
}

static int64_t set_kickfd(struct rig *r, uint32_t idx, int fd)
{
	struct vduse_vq_eventfd e = { idx, fd };

	return rig_ioctl(r, VDUSE_VQ_SETUP_KICKFD, &e);
}

/* Kicks of now, not those of before. */
static void expect_kicks(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	eventfd_t n;

	(void)eventfd_read(fd, &n); /* empty is as good */
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
}

static void one_life(struct rig *r, int client, int process)
{
	assert_int_equal(rig_vring(r, VHOST_SET_VRING_KICK, 0, client), 0);
	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), 72);
	assert_int_equal(rig_vring(r, VHOST_VDPA_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(set_kickfd(r, 0, process), 0);
	expect_kicks(process);
	/* Another one, none, the same again. */
	assert_int_equal(set_kickfd(r, 0, VDUSE_EVENTFD_DEASSIGN), 0);
	assert_int_equal(rig_vring(r, VHOST_SET_VRING_KICK, 0, -1), 0);
	assert_int_equal(rig_vring(r, VHOST_SET_VRING_KICK, 0, client), 0);
	assert_int_equal(set_kickfd(r, 0, process), 0);
	expect_kicks(process);
	assert_int_equal(rig_status(r, 0), 0);
	assert_int_equal(
		rig_iotlb(r, 0, VHOST_IOTLB_INVALIDATE, RIG_IOVA, 4096), 72);
}

static void test_kicks_while_a_queue_comes_and_goes(void **state)
{
	struct rig *r = *state;
	struct kicker k = { .fd = new_eventfd() };
	int process = new_eventfd();

	assert_int_equal(rig_client_open(r), 0);
	assert_int_equal(pthread_create(&k.thread, NULL, kick_on, &k), 0);
	for (unsigned int i = 0; i < N_ROUNDS; i++) {
		r->n_log = 0;
		one_life(r, k.fd, process);
	}
	__atomic_store_n(&k.is_over, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(k.thread, NULL), 0);
	close(k.fd);
	close(process);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_kicks_while_a_queue_comes_and_goes,
					rig_set_up_threads, rig_tear_down),
};

TEST_MAIN("vduse_threads")
