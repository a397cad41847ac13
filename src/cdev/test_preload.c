/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the preload carrier: calls, tasks, channels, netlink, bypassing
 * writes, by clients that speak the protocol by hand.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cdev/test_preload_rig.h"
#include "lib/oom.h"

/* ---- good ones ---- */

static void test_call_is_answered(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	struct preload_reply reply;

	say_ioctl(sock, TASK, TOY_ADD);
	settle(f);
	assert_int_equal(reply_on(channel, &reply), 0);
	assert_int_equal(reply.seq, 5);
	assert_int_equal(reply.n_pieces, 1);
	assert_int_equal(stats(f).n_calls, 1);
	assert_int_equal(stats(f).n_tasks, 1);
	close(sock);
	close(channel);
	settle(f);
	assert_int_equal(stats(f).n_files, 0);
	assert_int_equal(stats(f).n_cut_off, 0);
}

/* Its process lives on: the same task with another channel. */
static void test_task_survives_its_channel(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	struct preload_reply reply;

	for (uint32_t i = 0; i < 3; i++) {
		int channel = hello(sock, TASK, i);

		say_ioctl(sock, TASK, TOY_TASK);
		settle(f);
		assert_int_equal(reply_on(channel, &reply), i ? -EAGAIN : 0);
		close(channel);
		settle(f);
		assert_int_equal(stats(f).n_tasks, 1);
	}
	close(sock);
}

/* It connects, and says all it has to say, before the socket is ours. */
static void test_early_client_is_served(void **state)
{
	struct fixture *f = *state;
	struct preload_name ask = name_message(PRELOAD_OPEN, "vhost-vdpa-0");
	struct preload_reply reply;
	int fd, sock, channel;
	char byte;

	f->preload = cdev_preload_free(f->preload);
	fd = listener(f);
	sock = dial(f);
	say(sock, &ask, sizeof(ask));
	channel = hello(sock, TASK, 0);
	say_ioctl(sock, TASK, TOY_ADD);
	assert_int_equal(cdev_preload_new(f->cdev, fd, NULL, &f->preload), 0);
	settle(f);
	assert_int_equal(reply_on(sock, &reply), 0);
	assert_int_equal(recv(sock, &byte, 1, 0), 1);
	assert_int_equal(reply_on(channel, &reply), 0);
	close(sock);
	close(channel);
}

static void test_stat_and_classes_are_answered(void **state)
{
	struct fixture *f = *state;
	struct preload_name name = name_message(PRELOAD_STAT, "vhost-vdpa-0");
	struct preload_ask ask = {
		.head = head_of(PRELOAD_CLASSES, sizeof(ask)),
	};
	struct preload_reply reply;
	int sock = dial(f);

	say(sock, &name, sizeof(name));
	settle(f);
	assert_int_equal(reply_on(sock, &reply), 0);
	assert_int_equal(reply.head.len,
			 sizeof(reply) + sizeof(struct preload_stat_info));
	close(sock);
	sock = dial(f);
	say(sock, &ask, sizeof(ask));
	settle(f);
	assert_int_equal(reply_on(sock, &reply), 1);
	assert_int_equal(reply.head.len,
			 sizeof(reply) + sizeof(struct preload_class));
	/* One question a connection. */
	say(sock, &ask, sizeof(ask));
	settle(f);
	assert_true(is_cut_off(sock));
	close(sock);
}

/* ---- tasks and channels ---- */

static void test_limit_tasks_of_a_connection(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channels[CDEV_PRELOAD_CONN_TASKS_MAX + 1];
	struct preload_reply reply;
	const unsigned int last = CDEV_PRELOAD_CONN_TASKS_MAX;

	for (unsigned int i = 0; i <= last; i++) {
		channels[i] = hello(sock, TASK + i, 0);
		settle(f);
	}
	assert_int_equal(stats(f).n_tasks, last);
	assert_int_equal(stats(f).n_refused, 1);
	assert_true(is_cut_off(channels[last]));
	/* The file, which may be others' too, goes on. */
	say_ioctl(sock, TASK, TOY_ADD);
	settle(f);
	assert_int_equal(reply_on(channels[0], &reply), 0);
	for (unsigned int i = 0; i <= last; i++) {
		close(channels[i]);
	}
	close(sock);
}

static void test_h73_channel_end_cancels_its_calls(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);

	say_ioctl(sock, TASK, TOY_PEND);
	say_ioctl(sock, TASK, TOY_PEND);
	settle(f);
	assert_int_equal(toy_n_pending(f->toy), 2);
	close(channel);
	settle(f);
	assert_int_equal(toy_n_pending(f->toy), 0);
	assert_int_equal(toy_counts(f->toy).n_cancels, 2);
	assert_int_equal(toy_counts(f->toy).n_releases, 0);
	close(sock);
	settle(f);
	assert_int_equal(toy_counts(f->toy).n_releases, 1);
}

/* A channel said HELLO to again: whoever waited on the old one is gone. */
static void test_channel_replaced_cancels_its_calls(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int old = hello(sock, TASK, 3), channel;

	say_ioctl(sock, TASK, TOY_ADD); /* on channel 0: nobody there */
	settle(f);
	assert_int_equal(stats(f).n_calls, 0);
	close(old);
	old = hello(sock, TASK, 0);
	say_ioctl(sock, TASK, TOY_PEND);
	settle(f);
	channel = hello(sock, TASK, 0);
	settle(f);
	assert_int_equal(toy_counts(f->toy).n_cancels, 1);
	assert_true(is_cut_off(old));
	close(old);
	close(channel);
	close(sock);
}

/* The file is closed everywhere while a call waits: release waits with it. */
static void test_h73_close_with_pending_call_releases_after(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0), second;
	struct preload_reply reply;

	say_ioctl(sock, TASK, TOY_PEND);
	close(sock);
	settle(f);
	assert_int_equal(stats(f).n_files, 0);
	assert_int_equal(toy_counts(f->toy).n_releases, 0);
	second = dial(f);
	assert_int_equal(open_by(f, second), -EBUSY);
	toy_finish(f->toy, 3);
	assert_int_equal(reply_on(channel, &reply), 3);
	assert_int_equal(toy_counts(f->toy).n_releases, 1);
	close(second);
	close(channel);
}

static void test_cut_off_cancels_pending_calls(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	struct preload_head nonsense = head_of(99, sizeof(nonsense));
	struct preload_reply reply;

	say_ioctl(sock, TASK, TOY_PEND);
	expect_cut_off(f, sock, &nonsense, sizeof(nonsense));
	assert_int_equal(reply_on(channel, &reply), -EINTR);
	assert_int_equal(toy_counts(f->toy).n_cancels, 1);
	assert_int_equal(toy_counts(f->toy).n_releases, 1);
	close(channel);
}

static void test_h73_client_dies_in_pending_open(void **state)
{
	struct fixture *f = *state;
	int sock = dial(f);

	toy_set_open_result(f->toy, CDEV_PENDING);
	assert_int_equal(open_by(f, sock), -EAGAIN);
	assert_int_equal(toy_n_pending(f->toy), 1);
	close(sock);
	settle(f);
	assert_int_equal(toy_counts(f->toy).n_cancels, 1);
	assert_int_equal(toy_counts(f->toy).n_releases, 1);
	/* Or does anything but wait. */
	sock = dial(f);
	assert_int_equal(open_by(f, sock), -EAGAIN);
	expect_cut_off(f, sock, "x", 1);
	assert_int_equal(toy_counts(f->toy).n_releases, 2);
}

static void test_open_pending_then_answered(void **state)
{
	struct fixture *f = *state;
	int sock = dial(f);
	struct preload_reply reply;
	char byte;

	toy_set_open_result(f->toy, CDEV_PENDING);
	assert_int_equal(open_by(f, sock), -EAGAIN);
	toy_finish(f->toy, -EIO);
	assert_int_equal(reply_on(sock, &reply), -EIO);
	close(sock);
	settle(f);
	toy_set_open_result(f->toy, 0);
	sock = dial_and_open(f);
	assert_int_equal(recv(sock, &byte, 1, 0), 1);
	close(sock);
}

/* close() and open() of a client come on two sockets: in their order. */
static void test_close_before_open_whatever_the_order(void **state)
{
	struct fixture *f = *state;
	char buf[72] = { 0 };

	for (int i = 0; i < 100; i++) {
		int sock = dial_and_open(f);
		int next = dial(f);

		settle(f);
		say(sock, buf, sizeof(buf));
		close(sock);
		assert_int_equal(open_by(f, next), 0);
		close(next);
		settle(f);
	}
	assert_int_equal(toy_counts(f->toy).n_writes, 100);
	assert_int_equal(toy_counts(f->toy).n_opens, 200);
}

/* ---- replies that nobody takes ---- */

static void test_channel_never_read_cut_off(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	struct preload_reply reply;

	for (int i = 0; i < 10000 && stats(f).n_cut_off == 0; i++) {
		say_ioctl(sock, TASK, TOY_ADD);
		settle(f);
	}
	assert_int_equal(stats(f).n_cut_off, 1);
	settle(f);
	assert_true(is_cut_off(channel));
	close(channel);
	/* The file goes on, with a channel that is read. */
	channel = hello(sock, TASK, 0);
	say_ioctl(sock, TASK, TOY_ADD);
	settle(f);
	assert_int_equal(reply_on(channel, &reply), 0);
	close(sock);
	close(channel);
}

static int dial_netlink(struct fixture *f)
{
	struct preload_ask ask = {
		.head = head_of(PRELOAD_NETLINK, sizeof(ask)),
		.port = 77,
	};
	struct preload_reply reply;
	int sock = dial(f);

	say(sock, &ask, sizeof(ask));
	settle(f);
	assert_int_equal(reply_on(sock, &reply), 0);
	return sock;
}

static void test_netlink_answers_wait_for_the_reader(void **state)
{
	struct fixture *f = *state;
	int sock = dial_netlink(f);
	uint32_t answer[1024];

	f->answer_len = sizeof(answer);
	f->n_answers = 500; /* 2 MB: more than a socket holds */
	say(sock, "1", 1);
	say(sock, "2", 1);
	settle(f);
	/* The second is not even looked at. */
	assert_int_equal(f->n_requests, 1);
	for (uint32_t i = 0; i < 1000; i++) {
		settle(f);
		assert_int_equal(recv(sock, answer, sizeof(answer), 0),
				 sizeof(answer));
		assert_int_equal(answer[0], i / 500 + 1);
		assert_int_equal(answer[1], i % 500);
	}
	assert_int_equal(stats(f).n_cut_off, 0);
	close(sock);
}

static void test_netlink_answers_over_limit_cut_off(void **state)
{
	struct fixture *f = *state;
	int sock = dial_netlink(f);

	f->answer_len = 32768;
	f->n_answers = CDEV_PRELOAD_QUEUE_MAX / 32768 + 100;
	say(sock, "1", 1);
	settle(f);
	assert_int_equal(stats(f).n_cut_off, 1);
	assert_int_equal(stats(f).n_conns, 0);
	close(sock);
}

static void test_netlink_client_dies_before_answers(void **state)
{
	struct fixture *f = *state;
	int sock = dial_netlink(f);

	f->answer_len = 4096;
	f->n_answers = 500;
	say(sock, "1", 1);
	settle(f);
	close(sock);
	settle(f);
	assert_int_equal(stats(f).n_conns, 0);
}

/* ---- writes that bypass the shim ---- */

/* A worker is told so until the last of them is carried out. */
static void test_raw_writes_that_pend_keep_the_file_behind(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	uint8_t bytes[72] = { 0 };

	toy_set_slow_writes(f->toy);
	say(sock, bytes, sizeof(bytes));
	say(sock, bytes, sizeof(bytes));
	settle(f);
	assert_int_equal(toy_n_pending(f->toy), 2);
	assert_true(cdev_file_is_behind(toy_file(f->toy)));
	toy_finish(f->toy, 72);
	settle(f);
	assert_true(cdev_file_is_behind(toy_file(f->toy)));
	assert_int_equal(toy_n_caught_up(f->toy), 0);
	toy_finish(f->toy, 72);
	settle(f);
	assert_int_equal(toy_n_caught_up(f->toy), 1);
	assert_false(cdev_file_is_behind(toy_file(f->toy)));
	close(channel);
	close(sock);
	settle(f);
}

static void test_raw_writes_counted_with_errors(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	uint8_t *big = calloc(1, PRELOAD_CALL_MAX + 1000);

	assert_non_null(big);
	for (int i = 0; i < 50; i++) {
		say(sock, big, 72);
		say(sock, big, 39);
		say(sock, big, 0);
		settle(f);
	}
	say(sock, big, PRELOAD_CALL_MAX + 1000);
	settle(f);
	assert_int_equal(stats(f).n_raw_writes, 151);
	assert_int_equal(stats(f).n_raw_errors, 100);
	assert_int_equal(toy_counts(f->toy).n_writes, 151);
	free(big);
	close(sock);
	close(channel);
}

static void test_netlink_answer_may_come_later(void **state)
{
	struct fixture *f = *state;
	int sock = dial_netlink(f);
	uint32_t answer[64];

	f->answer_len = sizeof(answer);
	f->n_answers = 1;
	f->is_kept = true;
	say(sock, "1", 1);
	settle(f);
	assert_int_equal(recv(sock, answer, sizeof(answer), 0), sizeof(answer));
	assert_int_equal(recv(sock, answer, sizeof(answer), 0), -1);
	assert_non_null(f->kept);
	for (uint32_t i = 0; i < 5000; i++) { /* more than a socket holds */
		answer[0] = i;
		f->kept->reply(f->kept, answer, sizeof(answer));
	}
	f->kept->end(f->kept);
	for (uint32_t i = 0; i < 5000; i++) {
		settle(f);
		assert_int_equal(recv(sock, answer, sizeof(answer), 0),
				 sizeof(answer));
		assert_int_equal(answer[0], i);
	}
	close(sock);
}

static void test_netlink_answer_outlives_its_client(void **state)
{
	struct fixture *f = *state;
	int sock = dial_netlink(f);

	f->answer_len = 8;
	f->is_kept = true;
	say(sock, "1", 1);
	settle(f);
	close(sock);
	settle(f);
	assert_int_equal(stats(f).n_conns, 0);
	f->kept->reply(f->kept, "x", 1);
	f->kept->end(f->kept);
	sock = dial_netlink(f);
	say(sock, "1", 1);
	settle(f);
	/* ... and the carrier. */
	f->preload = cdev_preload_free(f->preload);
	f->kept->reply(f->kept, "x", 1);
	f->kept->end(f->kept);
	close(sock);
}

/* ---- out of memory ---- */

static int oom_scenario(void *priv)
{
	struct fixture f = { 0 };
	int r;

	assert_int_equal(loop_new("control", &f.loop), 0);
	oom_begin();
	r = cdev_new(f.loop, &f.cdev);
	if (r == 0) {
		r = toy_new(f.cdev, "vhost-vdpa-0", 0, &f.toy);
	}
	if (r == 0) {
		r = cdev_preload_new(f.cdev, listener(&f), NULL, &f.preload);
	}
	oom_end();
	(void)cdev_preload_free(f.preload);
	(void)toy_free(f.toy);
	(void)cdev_free(f.cdev);
	(void)loop_free(f.loop);
	return r;
}

static void test_oom_set_up(void **state)
{
	assert_true(oom_check(oom_scenario, NULL) >= 4);
}

/* A client's whole life while memory fails: it is refused somewhere, and
 * nothing is left behind. */
static int oom_client(void *priv)
{
	struct fixture *f;
	struct preload_name ask = name_message(PRELOAD_OPEN, "vhost-vdpa-0");
	struct preload_reply reply;
	int sock, channel;
	int64_t r = -ENOMEM;
	void *state;

	(void)setup(&state);
	f = state;
	sock = dial(f);
	say(sock, &ask, sizeof(ask));
	oom_begin();
	settle(f);
	oom_end();
	if (!is_cut_off(sock) && stats(f).n_files == 1) {
		channel = hello(sock, TASK, 0);
		(void)send(sock, "", 0, MSG_DONTWAIT);
		say_ioctl(sock, TASK, TOY_ADD);
		oom_begin();
		settle(f);
		oom_end();
		r = reply_on(channel, &reply);
		/* A lost write is an error that only the counter knows. */
		if (r == 0 && toy_counts(f->toy).n_writes == 0) {
			r = -ENOMEM;
		}
		r = r < 0 || reply.n_pieces == 0 ? -ENOMEM : r;
		close(channel);
	}
	close(sock);
	(void)teardown(&state);
	return (int)r;
}

static void test_oom_client(void **state)
{
	assert_true(oom_check(oom_client, NULL) >= 5);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	T(test_call_is_answered),
	T(test_task_survives_its_channel),
	T(test_early_client_is_served),
	T(test_stat_and_classes_are_answered),
	T(test_limit_tasks_of_a_connection),
	T(test_h73_channel_end_cancels_its_calls),
	T(test_channel_replaced_cancels_its_calls),
	T(test_h73_close_with_pending_call_releases_after),
	T(test_cut_off_cancels_pending_calls),
	T(test_h73_client_dies_in_pending_open),
	T(test_open_pending_then_answered),
	T(test_close_before_open_whatever_the_order),
	T(test_channel_never_read_cut_off),
	T(test_netlink_answers_wait_for_the_reader),
	T(test_netlink_answers_over_limit_cut_off),
	T(test_netlink_client_dies_before_answers),
	T(test_raw_writes_that_pend_keep_the_file_behind),
	T(test_raw_writes_counted_with_errors),
	T(test_netlink_answer_may_come_later),
	T(test_netlink_answer_outlives_its_client),
	cmocka_unit_test(test_oom_set_up),
	cmocka_unit_test(test_oom_client),
};

TEST_MAIN("preload")
