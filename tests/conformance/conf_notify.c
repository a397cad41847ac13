/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: kick, call and error eventfds. Statements 29 to 34; H27, H28.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/blk.h"

static const unsigned long fd_cmds[] = {
	VHOST_SET_VRING_KICK,
	VHOST_SET_VRING_CALL,
	VHOST_SET_VRING_ERR,
};

static int open_owned(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_set_owner(fd), 0);
	return fd;
}

static void test_s29_fd_minus_1_unbinds(void **state)
{
	int fd = open_owned(state);
	int event = conf_eventfd(*state, 0);

	for (size_t i = 0; i < ARRAY_LEN(fd_cmds); i++) {
		assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0, -1), 0);
		assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0, event), 0);
		assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0, -1), 0);
		assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0, -1), 0);
	}
}

static void test_s29_negative_or_closed_fds_ebadf(void **state)
{
	struct conf *c = *state;
	int fd = open_owned(state);
	int closed = conf_eventfd(c, 0);

	conf_close(c, closed);
	for (size_t i = 0; i < ARRAY_LEN(fd_cmds); i++) {
		assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0, -2), -EBADF);
		assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0, INT32_MIN),
				 -EBADF);
		assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0, INT32_MAX),
				 -EBADF);
		assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0, closed),
				 -EBADF);
	}
}

static void test_s29_other_files_einval(void **state)
{
	struct conf *c = *state;
	int fd = open_owned(state);
	int others[4], pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	conf_keep_fd(c, pipes[0]);
	conf_keep_fd(c, pipes[1]);
	others[0] = pipes[0];
	others[1] = pipes[1];
	others[2] = conf_open(c, "/dev/null", O_RDWR);
	others[3] = conf_open(c, "/", O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < ARRAY_LEN(fd_cmds); i++) {
		for (size_t k = 0; k < ARRAY_LEN(others); k++) {
			assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0,
						      others[k]),
					 -EINVAL);
		}
		/* The device itself is no eventfd either. */
		assert_int_equal(dev_vring_fd(fd, fd_cmds[i], 0, fd), -EINVAL);
	}
}

static void test_s29_config_call_fds(void **state)
{
	struct conf *c = *state;
	int fd = open_owned(state);
	int event = conf_eventfd(c, 0);
	int null = conf_open(c, "/dev/null", O_RDWR);
	int none = -1, bad = -2;

	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, &event), 0);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, &none), 0);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, &bad),
			 -EBADF);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, &null),
			 -EINVAL);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, BAD_POINTER),
			 -EFAULT);
}

/* ---- kicks ---- */

static void test_s30_a_counter_above_0_kicks_once(void **state)
{
	struct client cl;
	uint16_t id;
	uint32_t len;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_KICK, 0, -1), 0);
	assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
	client_kick(&cl.vqs[0]);
	assert_true(client_is_quiet(&cl.vqs[0]));
	/* The kick was counted, and counts when the eventfd is set. */
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_KICK, 0,
				      cl.vqs[0].kick),
			 0);
	assert_true(client_wait(&cl.vqs[0], CONF_WAIT_MS, &id, &len));
	assert_int_equal(blk_status(&cl, 0), BLK_S_OK);
}

static void test_s31_the_kick_counter_is_never_consumed(void **state)
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	for (unsigned long i = 1; i <= 10; i++) {
		assert_true(blk_works(&cl));
	}
	assert_int_equal(conf_eventfd_take(cl.vqs[0].kick), 10);
	/* Nor does taking it back do harm. */
	assert_true(blk_works(&cl));
	assert_int_equal(conf_eventfd_take(cl.vqs[0].kick), 1);
}

static void test_s32_the_last_of_many_kicks_is_heard(void **state)
{
	struct client cl;
	uint16_t id;
	uint32_t len;

	blk_start(&cl, *state, 64, BLK_FEATURES);
	for (unsigned int round = 0; round < 300; round++) {
		unsigned int n = 1 + round % 16;

		for (unsigned int i = 0; i < n; i++) {
			assert_true(blk_add(&cl, i, BLK_T_FLUSH, 0, NULL, 0) >=
				    0);
			client_kick(&cl.vqs[0]);
		}
		for (unsigned int i = 0; i < n; i++) {
			assert_true(client_wait(&cl.vqs[0], CONF_WAIT_MS, &id,
						&len));
		}
	}
}

/* A driver that asks first whether the device wants to be told. */
static void kick_only_when_wanted(void **state, uint64_t features)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	unsigned int saved = 0;
	uint16_t id;
	uint32_t len;

	blk_start(&cl, *state, 64, BLK_FEATURES | features);
	if ((cl.features & features) != features) {
		conf_skip("the device does not offer that");
	}
	for (unsigned int round = 0; round < 1000; round++) {
		unsigned int n = 1 + round % 7;

		for (unsigned int i = 0; i < n; i++) {
			assert_true(blk_add(&cl, i, BLK_T_FLUSH, 0, NULL, 0) >=
				    0);
			if (ring_wants_kick(&q->ring)) {
				client_kick(q);
			} else {
				saved++;
			}
		}
		for (unsigned int i = 0; i < n; i++) {
			assert_true(client_wait(q, CONF_WAIT_MS, &id, &len));
		}
	}
	print_message("# %u kicks were not wanted\n", saved);
}

static void test_s32_kicks_only_when_wanted(void **state)
{
	kick_only_when_wanted(state, 0);
}

static void test_s32_kicks_only_when_wanted_event_idx(void **state)
{
	kick_only_when_wanted(state, F_EVENT_IDX);
}

/* Nobody hears a kick without an eventfd, and none is needed for the next. */
static void test_s32_kick_eventfd_replaced_while_running(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];

	blk_start(&cl, *state, 16, BLK_FEATURES);
	for (unsigned int i = 0; i < 50; i++) {
		int old = q->kick;

		assert_true(blk_works(&cl));
		q->kick = conf_eventfd(cl.c, 0);
		assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_KICK, 0,
					      q->kick),
				 0);
		conf_close(cl.c, old);
	}
	assert_true(blk_works(&cl));
}

/* H27: thousands of kicks without anything behind them. */
static void test_s32_kick_storm(void **state)
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	for (unsigned int i = 0; i < 20000; i++) {
		client_kick(&cl.vqs[0]);
	}
	assert_true(blk_works(&cl));
	assert_int_equal(conf_eventfd_take(cl.vqs[0].kick), 20001);
}

/* H27: the counter is full, so that no write wakes anybody: the driver's own
 * loss. Made free again, it is heard. */
static void test_s32_kick_eventfd_that_is_full(void **state)
{
	struct client cl;
	uint64_t most = UINT64_MAX - 1;
	struct client_vq *q = &cl.vqs[0];

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_int_equal(write(q->kick, &most, sizeof(most)), sizeof(most));
	(void)conf_eventfd_take(q->kick);
	assert_true(blk_works(&cl));
}

/* ---- calls ---- */

struct traffic {
	struct client *cl;
	unsigned int n;
	bool stop;
};

/* Requests one after the other, seen by looking at the ring alone: interrupts
 * go to whichever eventfd is set. */
static void *run_traffic(void *arg)
{
	struct traffic *t = arg;
	struct client_vq *q = &t->cl->vqs[0];
	uint16_t id;
	uint32_t len;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		unsigned long end = conf_now_ms() + CONF_WAIT_MS;

		if (blk_add(t->cl, 0, BLK_T_FLUSH, 0, NULL, 0) < 0) {
			break;
		}
		eventfd_write(q->kick, 1);
		while (!ring_pop(&q->ring, &id, &len)) {
			ring_arm(&q->ring);
			if (conf_now_ms() > end) {
				return t;
			}
			sched_yield();
		}
		t->n++;
	}
	return NULL;
}

static void test_s33_call_replaced_while_running(void **state)
{
	struct client cl;
	struct traffic t = { .cl = &cl };
	pthread_t thread;
	void *stuck = &t;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_int_equal(pthread_create(&thread, NULL, run_traffic, &t), 0);
	for (unsigned int i = 0; i < 200; i++) {
		int old = cl.vqs[0].call;

		cl.vqs[0].call = conf_eventfd(cl.c, 0);
		assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_CALL, 0,
					      i % 5 == 0 ? -1 : cl.vqs[0].call),
				 0);
		conf_close(cl.c, old);
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, &stuck), 0);
	assert_null(stuck);
	assert_true(t.n > 0);
}

/* Only the eventfd says that it is done: none may be lost to a replacement. */
static void test_s33_no_call_is_lost_after_a_replacement(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];

	blk_start(&cl, *state, 16, BLK_FEATURES);
	for (unsigned int i = 0; i < 200; i++) {
		int old = q->call;
		uint16_t id;
		uint32_t len;

		q->call = conf_eventfd(cl.c, 0);
		ring_arm(&q->ring);
		assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_CALL, 0,
					      q->call),
				 0);
		conf_close(cl.c, old);
		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		client_kick(q);
		assert_true(conf_eventfd_wait(q->call, CONF_WAIT_MS));
		assert_true(ring_pop(&q->ring, &id, &len));
	}
}

/* One interrupt for each request that was waited for, none when told not to. */
static void test_s33_calls_can_be_switched_off(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	unsigned long end;
	uint16_t id;
	uint32_t len;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	ring_disarm(&q->ring);
	for (unsigned int i = 0; i < 20; i++) {
		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		client_kick(q);
		end = conf_now_ms() + CONF_WAIT_MS;
		while (!ring_pop(&q->ring, &id, &len)) {
			assert_true(conf_now_ms() < end);
			sched_yield();
		}
	}
	assert_false(conf_eventfd_wait(q->call, CONF_QUIET_MS));
	assert_true(blk_works(&cl));
}

static void test_s33_without_call_eventfd_requests_complete(void **state)
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_CALL, 0, -1), 0);
	cl.vqs[0].call = conf_eventfd(cl.c, 0);
	for (unsigned int i = 0; i < 3; i++) {
		unsigned long end = conf_now_ms() + CONF_WAIT_MS;
		uint16_t id;
		uint32_t len;

		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		client_kick(&cl.vqs[0]);
		while (!ring_pop(&cl.vqs[0].ring, &id, &len)) {
			assert_true(conf_now_ms() < end);
			sched_yield();
		}
	}
}

/* H28: a full counter must not stop the device, even in a blocking eventfd. */
static void test_s33_call_eventfd_that_is_full(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	uint64_t most = UINT64_MAX - 1;
	int blocking = eventfd(0, EFD_CLOEXEC);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	conf_keep_fd(cl.c, blocking);
	assert_int_equal(write(blocking, &most, sizeof(most)), sizeof(most));
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_CALL, 0, blocking),
			 0);
	for (unsigned int i = 0; i < 3; i++) {
		unsigned long end = conf_now_ms() + CONF_WAIT_MS;
		uint16_t id;
		uint32_t len;

		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		client_kick(q);
		while (!ring_pop(&q->ring, &id, &len)) {
			assert_true(conf_now_ms() < end);
			sched_yield();
		}
	}
	/* The control side is not stuck behind it either. */
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_CALL, 0, q->call),
			 0);
	assert_true(blk_works(&cl));
	assert_int_equal(dev_set_status(cl.fd, 0), 0);
}

static void test_s34_the_error_eventfd_is_never_signalled(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	int error;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	if (cl.c->is_packed) {
		conf_skip("the split ring is enough");
	}
	error = conf_eventfd(cl.c, 0);
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_ERR, 0, error), 0);
	assert_true(blk_works(&cl));
	/* A head that no ring of this size has (H01). */
	ring_split_push(&q->ring, 16);
	client_kick(q);
	assert_true(client_is_quiet(q));
	assert_int_equal(conf_eventfd_take(error), 0);
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_ERR, 0, -1), 0);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s29_fd_minus_1_unbinds),
	CONF_TEST(test_s29_negative_or_closed_fds_ebadf),
	CONF_TEST(test_s29_other_files_einval),
	CONF_TEST(test_s29_config_call_fds),
	CONF_TEST_BOTH(test_s30_a_counter_above_0_kicks_once),
	CONF_TEST_BOTH(test_s31_the_kick_counter_is_never_consumed),
	CONF_TEST_BOTH(test_s32_the_last_of_many_kicks_is_heard),
	CONF_TEST_BOTH(test_s32_kicks_only_when_wanted),
	CONF_TEST_BOTH(test_s32_kicks_only_when_wanted_event_idx),
	CONF_TEST_BOTH(test_s32_kick_eventfd_replaced_while_running),
	CONF_TEST_BOTH(test_s32_kick_storm),
	CONF_TEST_BOTH(test_s32_kick_eventfd_that_is_full),
	CONF_TEST_BOTH(test_s33_call_replaced_while_running),
	CONF_TEST_BOTH(test_s33_no_call_is_lost_after_a_replacement),
	CONF_TEST_BOTH(test_s33_calls_can_be_switched_off),
	CONF_TEST_BOTH(test_s33_without_call_eventfd_requests_complete),
	CONF_TEST_BOTH(test_s33_call_eventfd_that_is_full),
	CONF_TEST(test_s34_the_error_eventfd_is_never_signalled),
};

TEST_MAIN("conformance/notify")
