/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of signalling eventfds.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/test.h"
#include "loop/loop.h"

#define N_SIGNALS 100

static int set_up(void **state)
{
	struct loop *loop;

	assert_int_equal(loop_new("signal", &loop), 0);
	*state = loop;
	return 0;
}

static int tear_down(void **state)
{
	loop_free(*state);
	return 0;
}

static void test_every_signal_counts(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t n;

	for (int i = 0; i < N_SIGNALS; i++) {
		loop_signal(*state, fd);
	}
	assert_int_equal(eventfd_read(fd, &n), 0);
	assert_int_equal(n, N_SIGNALS);
	loop_signal(*state, fd);
	assert_int_equal(eventfd_read(fd, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(close(fd), 0);
}

/* In blocking mode, so that a plain write would wait for ever. */
static void test_h28_full_counter_is_no_obstacle(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	eventfd_t n;

	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	for (int i = 0; i < N_SIGNALS; i++) {
		loop_signal(*state, fd);
	}
	assert_int_equal(eventfd_read(fd, &n), 0);
	assert_true(n >= UINT64_MAX - 1);
	assert_int_equal(close(fd), 0);
}

/* Nothing to signal there, and nothing that goes wrong for the next one. */
static void test_h28_what_is_no_eventfd_is_left_alone(void **state)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), pipes[2];
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t n;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	loop_signal(*state, null_fd);
	loop_signal(*state, pipes[0]);
	loop_signal(*state, -1);
	loop_signal(*state, fd);
	assert_int_equal(eventfd_read(fd, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(pipes[0]), 0);
	assert_int_equal(close(pipes[1]), 0);
	assert_int_equal(close(null_fd), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_every_signal_counts),
	T(test_h28_full_counter_is_no_obstacle),
	T(test_h28_what_is_no_eventfd_is_left_alone),
};

TEST_MAIN("loop_signal")
