/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the preload carrier against clients that break the protocol.
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

/* ---- H60, H63, H64: messages ---- */

static void test_h63_not_a_message_cut_off(void **state)
{
	struct fixture *f = *state;
	struct preload_name ask = name_message(PRELOAD_OPEN, "vhost-vdpa-0");

	expect_cut_off(f, dial(f), "x", 1);
	expect_cut_off(f, dial(f), "", 0);
	expect_cut_off(f, dial(f), &ask, sizeof(ask.head) - 1);
	ask.head.magic++;
	expect_cut_off(f, dial(f), &ask, sizeof(ask));
}

static void test_h63_sizes_must_be_exact(void **state)
{
	struct fixture *f = *state;
	static const size_t sizes[] = {
		sizeof(struct preload_head),
		sizeof(struct preload_ask) - 1,
		sizeof(struct preload_ask) + 1,
		sizeof(struct preload_name) - 1,
		sizeof(struct preload_name) + 1,
		sizeof(struct preload_call) - 1,
		sizeof(struct preload_call),
		PRELOAD_CALL_MAX,
	};

	for (uint32_t type = 0; type <= PRELOAD_REPLY + 1; type++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			uint8_t *buf = calloc(1, sizes[i]);
			struct preload_head head = head_of(type, sizes[i]);

			assert_non_null(buf);
			memcpy(buf, &head, sizeof(head));
			expect_cut_off(f, dial(f), buf, sizes[i]);
			free(buf);
		}
	}
}

static void test_h63_length_field_must_agree(void **state)
{
	struct fixture *f = *state;
	struct preload_name ask = name_message(PRELOAD_STAT, "vhost-vdpa-0");
	static const uint32_t lies[] = { 0, 1, UINT32_MAX, INT32_MAX,
					 sizeof(struct preload_name) + 1 };

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		ask.head.len = lies[i];
		expect_cut_off(f, dial(f), &ask, sizeof(ask));
	}
}

static void test_h60_name_without_end_cut_off(void **state)
{
	struct fixture *f = *state;
	struct preload_name ask = name_message(PRELOAD_OPEN, "");

	memset(ask.name, 'x', sizeof(ask.name));
	expect_cut_off(f, dial(f), &ask, sizeof(ask));
}

static void test_h64_open_twice_cut_off(void **state)
{
	struct fixture *f = *state;
	struct preload_name ask = name_message(PRELOAD_OPEN, "vhost-vdpa-0");

	expect_cut_off(f, dial_and_open(f), &ask, sizeof(ask));
	assert_int_equal(toy_counts(f->toy).n_releases, 1);
}

static void test_h60_call_fields_are_checked(void **state)
{
	struct fixture *f = *state;
	static const uint32_t wrong[] = { PRELOAD_CHANNELS_MAX, 1 << 16,
					  1U << 31, UINT32_MAX };
	struct ioctl_message m;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		m = ioctl_message(TASK, TOY_ADD);
		m.call.channel = wrong[i];
		expect_cut_off(f, dial_and_open(f), &m, sizeof(m));
		m = ioctl_message(TASK, TOY_ADD);
		m.call.data_len = wrong[i];
		expect_cut_off(f, dial_and_open(f), &m, sizeof(m));
	}
	assert_int_equal(stats(f).n_calls, 0);
}

static void test_h60_unknown_op_refused(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	static const uint32_t ops[] = { 0, PRELOAD_GETPORT, PRELOAD_GETPORT + 1,
					UINT32_MAX };
	struct preload_reply reply;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct ioctl_message m = ioctl_message(TASK, TOY_ADD);

		m.call.op = ops[i];
		say(sock, &m, sizeof(m));
		settle(f);
		assert_int_equal(reply_on(channel, &reply), -EOPNOTSUPP);
	}
	close(sock);
	close(channel);
}

/* Lengths and addresses that an operation would trip over. */
static void test_h61_call_arguments_extreme(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	struct preload_reply reply;

	for (uint32_t op = PRELOAD_IOCTL; op <= PRELOAD_SETFL; op++) {
		struct ioctl_message m = ioctl_message(TASK, TOY_ADD);

		m.call.op = op;
		for (size_t i = op == PRELOAD_IOCTL; i < 4; i++) {
			m.call.arg[i] = UINT64_MAX - 3;
		}
		say(sock, &m, sizeof(m));
		settle(f);
		assert_int_not_equal(reply_on(channel, &reply), -EAGAIN);
	}
	close(sock);
	close(channel);
}

static void test_call_without_hello_unanswered(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	struct preload_reply reply;

	say_ioctl(sock, TASK + 1, TOY_ADD);
	settle(f);
	assert_int_equal(stats(f).n_calls, 0);
	say_ioctl(sock, TASK, TOY_ADD);
	settle(f);
	assert_int_equal(reply_on(channel, &reply), 0);
	close(sock);
	close(channel);
}

/* ---- H62: descriptors ---- */

static void test_h62_hello_with_wrong_count_cut_off(void **state)
{
	struct fixture *f = *state;
	unsigned int n_fds = test_count_fds();

	for (unsigned int n = 0; n <= FD_PASS_MAX; n++) {
		for (uint32_t flags = 0; flags < 8; flags++) {
			struct preload_hello h = {
				.head = head_of(PRELOAD_HELLO, sizeof(h)),
				.task = TASK,
				.flags = flags,
			};
			int sock = dial_and_open(f);
			int fds[FD_PASS_MAX];

			for (unsigned int i = 0; i < n; i++) {
				fds[i] = STDERR_FILENO;
			}
			assert_int_equal(send_fds(sock, &h, sizeof(h), fds, n),
					 sizeof(h));
			settle(f);
			assert_true(is_cut_off(sock));
			close(sock);
		}
	}
	settle(f);
	assert_int_equal(stats(f).n_tasks, 0);
	assert_int_equal(test_count_fds(), n_fds);
	assert_true(stats(f).n_dropped_fds > 0);
}

static void test_h62_hello_with_wrong_kinds_cut_off(void **state)
{
	struct fixture *f = *state;
	struct preload_hello h = {
		.head = head_of(PRELOAD_HELLO, sizeof(h)),
		.task = TASK,
		.flags = PRELOAD_HAS_MAPS | PRELOAD_HAS_MEM,
	};
	int proc = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	int stream[2], seq[2], event = eventfd(0, EFD_CLOEXEC);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, seq), 0);
	int wrong[][3] = {
		{ event, proc, proc },	 { stream[0], proc, proc },
		{ udp, proc, proc },	 { proc, proc, proc },
		{ seq[0], event, proc }, { seq[0], proc, seq[1] },
	};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		int sock = dial_and_open(f);

		assert_int_equal(send_fds(sock, &h, sizeof(h), wrong[i], 3),
				 sizeof(h));
		settle(f);
		assert_true(is_cut_off(sock));
		close(sock);
	}
	assert_int_equal(stats(f).n_tasks, 0);
	close(proc);
	close(event);
	close(udp);
	close(stream[0]);
	close(stream[1]);
	close(seq[0]);
	close(seq[1]);
}

static void test_h62_surplus_descriptors_closed(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	struct ioctl_message m = ioctl_message(TASK, TOY_ADD);
	int fds[FD_PASS_MAX];
	struct preload_reply reply;
	unsigned int n_fds;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = STDERR_FILENO;
	}
	say(sock, fds, sizeof(fds)); /* the first has the file keep one */
	settle(f);
	n_fds = test_count_fds();
	/* One that no operation asks for. */
	assert_int_equal(send_fds(sock, &m, sizeof(m), fds, 1), sizeof(m));
	/* Beside a write that bypassed the shim. */
	assert_int_equal(send_fds(sock, fds, 40 - 8, fds, 5), 32);
	settle(f);
	assert_int_equal(reply_on(channel, &reply), 0);
	assert_int_equal(stats(f).n_dropped_fds, 5);
	assert_int_equal(test_count_fds(), n_fds);
	/* More than one beside a call. */
	assert_int_equal(send_fds(sock, &m, sizeof(m), fds, 2), sizeof(m));
	settle(f);
	assert_true(is_cut_off(sock));
	assert_int_equal(test_count_fds(), n_fds - 2);
	close(sock);
	close(channel);
}

/* Files beside a write: our /proc can be looked into, so none are wanted. */
static void test_h62_files_beside_a_write_closed(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	struct ioctl_message m = ioctl_message(TASK, 0);
	int fds[FD_PASS_MAX];
	struct preload_reply reply;
	unsigned int n_fds;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = STDERR_FILENO;
	}
	settle(f);
	n_fds = test_count_fds();
	m.call.op = PRELOAD_WRITE;
	assert_int_equal(send_fds(sock, &m, sizeof(m), fds, FD_PASS_MAX),
			 sizeof(m));
	settle(f);
	assert_int_equal(reply_on(channel, &reply), -EINVAL); /* 8 bytes */
	assert_int_equal(stats(f).n_dropped_fds, FD_PASS_MAX);
	assert_int_equal(test_count_fds(), n_fds);
	close(sock);
	close(channel);
}

static void test_h62_descriptor_is_the_named_one_only(void **state)
{
	struct fixture *f = *state;
	int sock = dial_and_open(f);
	int channel = hello(sock, TASK, 0);
	struct ioctl_message m = ioctl_message(TASK, TOY_KICK);
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct preload_reply reply;
	uint64_t n;

	m.data = (uint64_t)41 << 32; /* {0, 41} */
	m.call.fd = 42;
	assert_int_equal(send_fds(sock, &m, sizeof(m), &event, 1), sizeof(m));
	settle(f);
	assert_int_equal(reply_on(channel, &reply), -EBADF);
	m.call.fd = 41;
	say(sock, &m, sizeof(m));
	settle(f);
	assert_int_equal(reply_on(channel, &reply), -EBADF);
	assert_int_equal(send_fds(sock, &m, sizeof(m), &event, 1), sizeof(m));
	settle(f);
	assert_int_equal(reply_on(channel, &reply), 0);
	assert_int_equal(read(event, &n, sizeof(n)), sizeof(n));
	close(event);
	close(sock);
	close(channel);
}

/* ---- H70: connections ---- */

static void test_h70_silent_client_dropped_at_deadline(void **state)
{
	struct fixture *f = *state;
	int sock = dial(f), speaker = dial_and_open(f);

	pass_seconds(f, 9);
	assert_int_equal(stats(f).n_conns, 2);
	pass_seconds(f, 2);
	assert_int_equal(stats(f).n_conns, 1);
	assert_int_equal(stats(f).n_late, 1);
	assert_true(is_cut_off(sock));
	close(sock);
	pass_seconds(f, 1000);
	assert_int_equal(stats(f).n_conns, 1);
	close(speaker);
}

static void test_h70_answered_client_dropped_at_deadline(void **state)
{
	struct fixture *f = *state;
	struct preload_name ask = name_message(PRELOAD_STAT, "none");
	int sock = dial(f);

	say(sock, &ask, sizeof(ask));
	pass_seconds(f, 9);
	assert_int_equal(stats(f).n_conns, 1);
	pass_seconds(f, 2);
	assert_int_equal(stats(f).n_conns, 0);
	close(sock);
}

static void test_h70_h91_10000_connects_leave_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned int n_fds = test_count_fds();

	for (int i = 0; i < 10000; i += 50) {
		int socks[50];

		for (size_t j = 0; j < ARRAY_SIZE(socks); j++) {
			socks[j] = dial(f);
		}
		if (i % 100 == 0) {
			settle(f);
		}
		for (size_t j = 0; j < ARRAY_SIZE(socks); j++) {
			close(socks[j]);
		}
		settle(f);
	}
	assert_int_equal(stats(f).n_accepted, 10000);
	assert_int_equal(stats(f).n_conns, 0);
	assert_int_equal(stats(f).n_cut_off, 0);
	assert_int_equal(test_count_fds(), n_fds);
}

static void test_limit_connections(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit;
	int socks[CDEV_PRELOAD_CONNS_MAX + 10];

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 4 * CDEV_PRELOAD_CONNS_MAX) {
		print_message("SKIP %s: RLIMIT_NOFILE %lu\n", __func__,
			      (unsigned long)limit.rlim_cur);
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(socks); i++) {
		socks[i] = dial(f);
	}
	settle(f);
	assert_int_equal(stats(f).n_conns, CDEV_PRELOAD_CONNS_MAX);
	assert_int_equal(stats(f).n_refused, 10);
	assert_true(is_cut_off(socks[ARRAY_SIZE(socks) - 1]));
	assert_false(is_cut_off(socks[0]));
	close(socks[0]);
	settle(f);
	close(socks[1]);
	socks[1] = dial(f);
	settle(f);
	assert_false(is_cut_off(socks[1]));
	for (size_t i = 1; i < ARRAY_SIZE(socks); i++) {
		close(socks[i]);
	}
	settle(f);
	assert_int_equal(stats(f).n_conns, 0);
}

/* Out of descriptors the listener rests, and comes back. */
static void test_accept_without_descriptors_recovers(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, small;
	int sock = dial(f);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	small = limit;
	small.rlim_cur = (rlim_t)sock; /* below all that are open now */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	assert_int_equal(sim_run(f->sim, SECOND_NS, NULL, NULL), 0);
	assert_int_equal(stats(f).n_conns, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(sim_run(f->sim, SECOND_NS, NULL, NULL), 0);
	assert_int_equal(stats(f).n_conns, 1);
	close(sock);
}

/* ---- H64, H90, H91: anything at any time ---- */

#define WALK_SOCKS 8

struct walk {
	struct fixture *f;
	struct toy *toys[WALK_SOCKS]; /* node 0 is the fixture's */
	int socks[WALK_SOCKS];
	int channels[WALK_SOCKS];
};

static uint32_t draw(struct walk *w, uint32_t n)
{
	return (uint32_t)(sim_random(w->f->sim) % n);
}

static void walk_ask(struct walk *w, int sock)
{
	struct preload_name name =
		name_message(draw(w, 4) ? PRELOAD_OPEN : PRELOAD_STAT, "");
	struct preload_ask ask = {
		.head = head_of(draw(w, 2) ? PRELOAD_CLASSES : PRELOAD_NETLINK,
				sizeof(ask)),
		.port = 77,
	};

	(void)snprintf(name.name, sizeof(name.name), "vhost-vdpa-%u",
		       draw(w, WALK_SOCKS + 1));
	if (draw(w, 8)) {
		(void)send_fds(sock, &name, sizeof(name), NULL, 0);
	} else {
		(void)send_fds(sock, &ask, sizeof(ask), NULL, 0);
	}
}

static void walk_call(struct walk *w, int sock)
{
	static const uint32_t cmds[] = {
		TOY_ADD,  TOY_TASK,   TOY_GET_FD, TOY_PEND, TOY_PEND,
		TOY_KICK, TOY_FINISH, TOY_EARLY,  TOY_SUM,  TOY_KINDS,
	};
	struct ioctl_message m = ioctl_message(TASK + draw(w, 3),
					       cmds[draw(w, ARRAY_SIZE(cmds))]);
	int fd = STDERR_FILENO;

	m.call.channel = draw(w, 3);
	m.data = sim_random(w->f->sim);
	m.call.op = draw(w, 4) ? PRELOAD_IOCTL : draw(w, 10);
	m.call.fd = (int32_t)draw(w, 4);
	if (draw(w, 50) == 0) {
		((uint8_t *)&m)[draw(w, sizeof(m))] ^= 1U << draw(w, 8);
	}
	if (draw(w, 8) == 0) {
		(void)send_fds(sock, &m.call.task, 40, NULL, 0); /* bypasses */
	}
	(void)send_fds(sock, &m, sizeof(m), &fd, draw(w, 2));
}

static void walk_noise(struct walk *w, int sock)
{
	uint8_t buf[200];
	struct preload_head head = head_of(draw(w, 9), draw(w, 200));
	int fds[FD_PASS_MAX];

	for (size_t i = 0; i < sizeof(buf); i++) {
		buf[i] = (uint8_t)sim_random(w->f->sim);
	}
	for (size_t i = 0; i < FD_PASS_MAX; i++) {
		fds[i] = STDERR_FILENO;
	}
	if (draw(w, 2)) {
		memcpy(buf, &head, sizeof(head));
	}
	(void)send_fds(sock, buf, draw(w, sizeof(buf)), fds,
		       draw(w, FD_PASS_MAX + 1));
}

static bool has_ended(int sock)
{
	struct pollfd pfd = { .fd = sock };

	return sock < 0 || (poll(&pfd, 1, 0) > 0 && (pfd.revents & POLLHUP));
}

static void walk_step(struct walk *w)
{
	uint32_t i = draw(w, WALK_SOCKS);
	uint32_t choice = draw(w, 100);

	if (has_ended(w->socks[i])) {
		(void)close_fd(w->socks[i]);
		w->socks[i] = dial(w->f);
		choice = 0;
	}
	if (choice < 3) {
		walk_ask(w, w->socks[i]);
	} else if (choice < 8) {
		w->channels[i] = close_fd(w->channels[i]);
	} else if (choice < 30 && w->channels[i] < 0) {
		int fd = w->socks[i];
		struct pollfd pfd = { .fd = fd };

		/* hello() insists on being heard. */
		if (poll(&pfd, 1, 0) == 0) {
			w->channels[i] =
				hello(fd, TASK + draw(w, 3), draw(w, 3));
		}
	} else if (choice < 94) {
		walk_call(w, w->socks[i]);
	} else if (choice < 96) {
		walk_noise(w, w->socks[i]);
	} else {
		w->socks[i] = close_fd(w->socks[i]);
	}
	if (draw(w, 3) == 0) {
		settle(w->f);
	}
}

static void walk_begin(struct walk *w)
{
	char name[32];

	w->toys[0] = w->f->toy;
	for (unsigned int i = 0; i < WALK_SOCKS; i++) {
		w->socks[i] = -1;
		w->channels[i] = -1;
		(void)snprintf(name, sizeof(name), "vhost-vdpa-%u", i);
		if (i > 0) {
			assert_int_equal(
				toy_new(w->f->cdev, name, i, &w->toys[i]), 0);
		}
	}
}

static void walk_end(struct walk *w)
{
	for (int i = 0; i < WALK_SOCKS; i++) {
		(void)close_fd(w->socks[i]);
		(void)close_fd(w->channels[i]);
	}
	settle(w->f);
	for (int i = 0; i < WALK_SOCKS; i++) {
		struct toy_counts counts = toy_counts(w->toys[i]);

		assert_int_equal(toy_n_pending(w->toys[i]), 0);
		assert_int_equal(counts.n_opens, counts.n_releases);
		assert_true(counts.n_opens > 10);
		if (i > 0) {
			assert_null(toy_free(w->toys[i]));
		}
	}
}

static void test_h64_h91_random_walk(void **state)
{
	struct fixture *f = *state;
	struct walk w = { .f = f };

	f->answer_len = 64;
	f->n_answers = 3;
	walk_begin(&w);
	for (int i = 0; i < 100000; i++) {
		walk_step(&w);
	}
	walk_end(&w);
	assert_int_equal(stats(f).n_conns, 0);
	assert_int_equal(stats(f).n_files, 0);
	assert_true(stats(f).n_raw_writes > 100);
	assert_true(stats(f).n_cut_off > 500);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	T(test_h63_not_a_message_cut_off),
	T(test_h63_sizes_must_be_exact),
	T(test_h63_length_field_must_agree),
	T(test_h60_name_without_end_cut_off),
	T(test_h64_open_twice_cut_off),
	T(test_h60_call_fields_are_checked),
	T(test_h60_unknown_op_refused),
	T(test_h61_call_arguments_extreme),
	T(test_call_without_hello_unanswered),
	T(test_h62_hello_with_wrong_count_cut_off),
	T(test_h62_hello_with_wrong_kinds_cut_off),
	T(test_h62_surplus_descriptors_closed),
	T(test_h62_files_beside_a_write_closed),
	T(test_h62_descriptor_is_the_named_one_only),
	T(test_h70_silent_client_dropped_at_deadline),
	T(test_h70_answered_client_dropped_at_deadline),
	T(test_h70_h91_10000_connects_leave_nothing),
	T(test_limit_connections),
	T(test_accept_without_descriptors_recovers),
	T(test_h64_h91_random_walk),
};

TEST_MAIN("preload_hostile")
