/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the JSON-RPC server with hostile peers.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "mgmt/test_mgmt_rpc_rig.h"

static void test_lines_that_are_no_requests_are_answered(void **state)
{
	static const struct {
		const char *line;
		int code;
	} cases[] = {
		{ "nonsense\n", RPC_E_PARSE },
		{ "{\n", RPC_E_PARSE },
		{ "{} {}\n", RPC_E_PARSE },
		{ "{\"a\":1,\"a\":2}\n", RPC_E_PARSE },
		{ "{\"id\":123456789012345678901234567890}\n", RPC_E_PARSE },
		{ "{\"id\":1e999}\n", RPC_E_PARSE },
		{ "{\"id\":\"\xff\xfe\"}\n", RPC_E_PARSE },
		{ "{\"id\":\"\xed\xa0\x80\"}\n", RPC_E_PARSE },
		{ "{\"\\u0000\":1}\n", RPC_E_PARSE },
		{ "[]\n", RPC_E_REQUEST },
		{ "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}]\n",
		  RPC_E_REQUEST },
		{ "{}\n", RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"status\"}\n",
		  RPC_E_REQUEST },
		{ "{\"jsonrpc\":2,\"id\":1,\"method\":\"status\"}\n",
		  RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1}\n", RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}\n",
		  RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"status\"}\n",
		  RPC_E_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"none\"}\n",
		  RPC_E_METHOD },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\","
		  "\"params\":[]}\n",
		  RPC_E_PARAMS },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\","
		  "\"params\":null}\n",
		  RPC_E_PARAMS },
	};
	struct fixture *fx = *state;
	struct rpc_stats stats;
	int fd = dial(fx);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(error_code(ask(fx, fd, cases[i].line)),
				 cases[i].code);
	}
	say(fd, "\0\0\n", 3);
	run(fx, MS);
	assert_int_equal(error_code(hear(fx, fd)), RPC_E_PARSE);
	/* Empty lines are nothing. */
	assert_string_equal(ask(fx, fd, "\n\r\n\n"), "");
	check_alive(fx, fd);
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_bad, ARRAY_SIZE(cases));
	assert_int_equal(stats.n_errors, ARRAY_SIZE(cases) + 1);
	close(fd);
}

static void test_ids_come_back_and_notifications_do_not(void **state)
{
	struct fixture *fx = *state;
	char line[400], id[200];
	int fd = dial(fx);

	assert_string_equal(
		ask(fx, fd,
		    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":"
		    "\"dev.show\"}\n"),
		"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"dev\":{}}}"
		"\n");
	assert_string_equal(
		ask(fx, fd,
		    "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":"
		    "\"dev.show\"}\n"),
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{\"dev\":{}}}"
		"\n");
	assert_string_equal(
		ask(fx, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"dev.show\"}\n"),
		"");
	assert_string_equal(
		ask(fx, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"none\"}\n"), "");
	memset(id, 'x', sizeof(id));
	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"id\":\"%.*s\",\"method\":"
		       "\"dev.show\"}\n",
		       RPC_ID_MAX + 1, id);
	assert_int_equal(error_code(ask(fx, fd, line)), RPC_E_REQUEST);
	check_alive(fx, fd);
	close(fd);
}

static void test_deep_nesting_is_refused(void **state)
{
	struct fixture *fx = *state;
	char line[3000];
	int fd = dial(fx);

	memset(line, '[', sizeof(line));
	line[RPC_DEPTH_MAX + 1] = '\n';
	line[RPC_DEPTH_MAX + 2] = '\0';
	assert_non_null(strstr(ask(fx, fd, line), "nested too deeply"));
	memset(line, '{', sizeof(line));
	line[sizeof(line) - 2] = '\n';
	line[sizeof(line) - 1] = '\0';
	assert_non_null(strstr(ask(fx, fd, line), "nested too deeply"));
	/* Brackets in strings are no nesting. */
	assert_int_equal(
		error_code(ask(fx, fd,
			       "{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
			       "[[[[[[[[[[[[[[[[[[[[\"}\n")),
		RPC_E_REQUEST);
	check_alive(fx, fd);
	close(fd);
}

/* H62: descriptors beside a request go nowhere. */
static void test_passed_fds_h62_are_not_kept(void **state)
{
	static char text[] = REQ("dev.show");
	struct fixture *fx = *state;
	unsigned int before;
	int fd = dial(fx);

	check_alive(fx, fd);
	before = test_count_fds();
	for (unsigned int n = 1; n <= FD_PASS_MAX; n++) {
		struct iovec iov = { text, sizeof(text) - 1 };
		struct fd_msg msg = { .iov = &iov, .n_iov = 1, .n_fds = n };

		for (unsigned int i = 0; i < n; i++) {
			msg.fds[i] = fd;
		}
		assert_int_equal(fd_send(fd, &msg, 0), iov.iov_len);
		run(fx, MS);
		assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	}
	assert_int_equal(test_count_fds(), before);
	close(fd);
}

/* H63: one byte at a time, and several lines in one write. */
static void test_split_writes_h63_make_no_difference(void **state)
{
	static const char text[] = REQ("driver.show") REQ("dev.show")
		REQ("dev.show");
	struct fixture *fx = *state;
	int fd = dial(fx);

	for (size_t i = 0; i + 1 < sizeof(text); i++) {
		say(fd, text + i, 1);
		run(fx, MS);
	}
	assert_non_null(strstr(hear(fx, fd), "fakedrv"));
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	(void)ask(fx, fd, text);
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));
	assert_string_equal(hear(fx, fd), "");
	close(fd);
}

/* H63: the longest line, and one more byte. */
static void test_line_limit_h63_is_a_mebibyte(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx), bystander = dial(fx);
	char *line = malloc(RPC_LINE_MAX + 2);
	size_t sent = 0;

	assert_non_null(line);
	memset(line, ' ', RPC_LINE_MAX + 1);
	memcpy(line, REQ("dev.show"), strlen(REQ("dev.show")) - 1);
	line[RPC_LINE_MAX] = '\n';
	while (sent < RPC_LINE_MAX + 1) {
		ssize_t n = send(fd, line + sent, RPC_LINE_MAX + 1 - sent,
				 MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		run(fx, MS);
	}
	assert_string_equal(hear(fx, fd), OK("{\"dev\":{}}"));

	memset(line, ' ', RPC_LINE_MAX + 1);
	for (sent = 0; sent <= RPC_LINE_MAX;) {
		ssize_t n =
			send(fd, line, RPC_LINE_MAX + 1 - sent, MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		run(fx, MS);
	}
	assert_non_null(strstr(hear(fx, fd), "the line is too long"));
	assert_null(hear(fx, fd));
	check_alive(fx, bystander);
	free(line);
	close(fd);
	close(bystander);
}

/* H70: half a request, for ever. */
static void test_half_request_h70_is_cut_in_time(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx), idle = dial(fx);

	assert_string_equal(ask(fx, fd, "{\"jsonrpc\""), "");
	run(fx, RPC_LINE_TIMEOUT_NS - SECOND);
	assert_string_equal(ask(fx, fd, ":"), "");
	run(fx, SECOND);
	assert_non_null(strstr(hear(fx, fd), "not finished in time"));
	assert_null(hear(fx, fd));
	/* Whoever says nothing at all is left alone. */
	run(fx, 1000 * SECOND);
	check_alive(fx, idle);
	close(fd);
	close(idle);
}

/* A line that is finished gives the next one its whole time. */
static void test_progress_sets_the_deadline_anew(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);

	(void)ask(fx, fd, "{\"jsonrpc\"");
	for (int i = 0; i < 5; i++) {
		run(fx, RPC_LINE_TIMEOUT_NS - SECOND);
		assert_string_equal(
			ask(fx, fd,
			    ":\"2.0\",\"id\":1,\"method\":\"dev.show\"}\n"
			    "{\"jsonrpc\""),
			OK("{\"dev\":{}}"));
	}
	close(fd);
}

static void add_many_devs(struct fixture *fx)
{
	struct vdpa_dev_config config = { 0 };
	char name[VDPA_NAME_MAX];

	for (unsigned int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "dev%u", i);
		assert_int_equal(vdpa_dev_add(instance_bus(fx->kit), NULL,
					      "fakenet", name, &config),
				 0);
	}
}

/* A peer that asks and does not read: first we stop reading, then we cut. */
static void test_slow_reader_is_held_then_cut(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx), bystander = dial(fx);
	struct rpc_stats stats;
	unsigned int n_sent = 0;

	add_many_devs(fx);
	for (unsigned int i = 0; i < 100000; i++) {
		if (send(fd, REQ("dev.show"), strlen(REQ("dev.show")),
			 MSG_NOSIGNAL) < 0) {
			break;
		}
		n_sent++;
		if (i % 1000 == 0) {
			run(fx, MS);
		}
	}
	run(fx, SECOND);
	rpc_get_stats(fx->rpc, &stats);
	assert_in_range(n_sent, 100, 99999);
	assert_in_range(stats.n_requests, 1, 100);
	check_alive(fx, bystander);
	run(fx, RPC_LINE_TIMEOUT_NS);
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_conns, 1);
	assert_int_equal(stats.n_cut, 1);
	check_alive(fx, bystander);
	close(fd);
	close(bystander);
}

/* One that reads slowly, but reads, gets everything. */
static void test_slow_but_steady_reader_gets_all(void **state)
{
	struct fixture *fx = *state;
	unsigned int n = 0;
	int fd = dial(fx);

	add_many_devs(fx);
	for (int i = 0; i < 20; i++) {
		say(fd, REQ("dev.show"), strlen(REQ("dev.show")));
	}
	for (int i = 0; i < 20; i++) {
		const char *line;

		run(fx, 20 * SECOND);
		line = hear(fx, fd);
		n += line && strstr(line, "dev999") != NULL;
	}
	assert_int_equal(n, 20);
	close(fd);
}

static void test_connections_are_limited_and_the_silent_make_room(void **state)
{
	int fds[RPC_CONNS_MAX + 1], fd;
	struct fixture *fx = *state;
	struct rpc_stats stats;

	for (int i = 0; i < RPC_CONNS_MAX; i++) {
		fds[i] = dial(fx);
	}
	run(fx, SECOND);
	fd = dial(fx);
	run(fx, MS);
	assert_int_equal(error_code(hear(fx, fd)), EBUSY);
	assert_null(hear(fx, fd));
	close(fd);
	for (int i = 0; i < RPC_CONNS_MAX; i++) {
		if (i != 5) {
			check_alive(fx, fds[i]);
		}
	}
	run(fx, RPC_SILENT_NS);
	fd = dial(fx);
	check_alive(fx, fd);
	assert_null(hear(fx, fds[5]));
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_conns, RPC_CONNS_MAX);
	assert_int_equal(stats.n_refused, 1);
	for (int i = 0; i < RPC_CONNS_MAX; i++) {
		close(fds[i]);
	}
	close(fd);
	run(fx, MS);
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_conns, 0);
}

static void test_waiting_calls_are_limited(void **state)
{
	struct fixture *fx = *state;
	int fd = dial(fx);
	char line[200];

	for (int i = 0; i <= RPC_PENDING_MAX; i++) {
		(void)snprintf(line, sizeof(line),
			       CALL("dev.add", "\"name\":\"n%d\",\"mgmtdev\":"
					       "\"fakenet\""),
			       i);
		assert_string_equal(ask(fx, fd, line), OK("{}"));
		(void)snprintf(line, sizeof(line),
			       CALL("dev.bind", "\"name\":\"n%d\","
						"\"driver\":\"fakedrv\""),
			       i);
		assert_string_equal(ask(fx, fd, line), OK("{}"));
	}
	fx->fake.is_busy = true;
	for (int i = 0; i < RPC_PENDING_MAX; i++) {
		(void)snprintf(line, sizeof(line),
			       CALL("dev.del", "\"name\":\"n%d\""), i);
		assert_string_equal(ask(fx, fd, line), "");
	}
	(void)snprintf(line, sizeof(line), CALL("dev.del", "\"name\":\"n%d\""),
		       RPC_PENDING_MAX);
	assert_int_equal(error_code(ask(fx, fd, line)), EBUSY);
	close(fd);
}

/* H70, H91: connects and disconnects leave nothing behind. */
static void test_thousand_connects_h70_h91_leave_no_fd(void **state)
{
	struct fixture *fx = *state;
	unsigned int before = test_count_fds();
	struct rpc_stats stats;

	for (int i = 0; i < 1000; i++) {
		int fd = dial(fx);

		if (i % 3 == 1) {
			say(fd, "{\"half", 6);
		} else if (i % 3 == 2) {
			say(fd, REQ("dev.show"), strlen(REQ("dev.show")));
		}
		if (i % 2) {
			run(fx, MS);
		}
		close(fd);
	}
	run(fx, SECOND);
	rpc_get_stats(fx->rpc, &stats);
	assert_int_equal(stats.n_conns, 0);
	assert_int_equal(stats.n_accepted, 1000);
	assert_int_equal(test_count_fds(), before);
}

/* H91: without a descriptor to spare, newcomers are turned away, others live. */
static void test_out_of_fds_h91_turns_newcomers_away(void **state)
{
	struct fixture *fx = *state;
	int alive = dial(fx), late = dial(fx), fill[1024];
	unsigned int n_fill = 0;
	struct rlimit old, low;
	struct rpc_stats stats;
	int fd;

	check_alive(fx, alive);
	fd = dial(fx);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n_fill < ARRAY_SIZE(fill)) {
		fill[n_fill] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fill[n_fill] < 0) {
			break;
		}
		n_fill++;
	}
	run(fx, MS);
	check_alive(fx, alive);
	rpc_get_stats(fx->rpc, &stats);
	while (n_fill > 0) {
		close(fill[--n_fill]);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(stats.n_refused, 1);
	assert_null(hear(fx, fd));
	check_alive(fx, late);
	close(fd);
	close(alive);
	close(late);
}

/* H64, H90: good lines with random bytes changed; the server goes on. */
static void test_random_lines_h64_h90_do_no_harm(void **state)
{
	static const char *const lines[] = {
		REQ("status"),
		REQ("rpc.describe"),
		CALL("dev.add", "\"name\":\"n0\",\"mgmtdev\":\"fakenet\""),
		CALL("dev.set", "\"name\":\"n0\",\"mac\":"
				"\"52:54:00:00:00:01\""),
		CALL("dev.bind", "\"name\":\"n0\",\"driver\":\"fakedrv\""),
		CALL("dev.vstats.show", "\"name\":\"n0\",\"qidx\":0"),
		CALL("dev.unbind", "\"name\":\"n0\""),
		CALL("dev.del", "\"name\":\"n0\""),
	};
	struct fixture *fx = *state;
	unsigned int seed = 7;
	int fd = dial(fx);

	for (int i = 0; i < 20000; i++) {
		char line[256];
		size_t len;

		(void)snprintf(
			line, sizeof(line), "%s",
			lines[(uint32_t)rand_r(&seed) % ARRAY_SIZE(lines)]);
		len = strlen(line);
		for (uint32_t n = (uint32_t)rand_r(&seed) % 4; n > 0; n--) {
			line[(uint32_t)rand_r(&seed) % len] =
				(char)rand_r(&seed);
		}
		line[len - 1] = '\n';
		if (send(fd, line, len, MSG_NOSIGNAL) < 0) {
			assert_int_equal(errno, EAGAIN);
		}
		if (i % 16 == 0) {
			run(fx, MS);
			while (recv(fd, fx->line, sizeof(fx->line), 0) > 0) {
				run(fx, MS);
			}
		}
	}
	run(fx, MS);
	while (recv(fd, fx->line, sizeof(fx->line), 0) > 0) {
		run(fx, MS);
	}
	say(fd, "\n", 1);
	run(fx, MS);
	while (recv(fd, fx->line, sizeof(fx->line), 0) > 0) {
		run(fx, MS);
	}
	check_alive(fx, fd);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	T(test_lines_that_are_no_requests_are_answered),
	T(test_ids_come_back_and_notifications_do_not),
	T(test_deep_nesting_is_refused),
	T(test_passed_fds_h62_are_not_kept),
	T(test_split_writes_h63_make_no_difference),
	T(test_line_limit_h63_is_a_mebibyte),
	T(test_half_request_h70_is_cut_in_time),
	T(test_progress_sets_the_deadline_anew),
	T(test_slow_reader_is_held_then_cut),
	T(test_slow_but_steady_reader_gets_all),
	T(test_connections_are_limited_and_the_silent_make_room),
	T(test_waiting_calls_are_limited),
	T(test_thousand_connects_h70_h91_leave_no_fd),
	T(test_out_of_fds_h91_turns_newcomers_away),
	T(test_random_lines_h64_h90_do_no_harm),
};

TEST_MAIN("mgmt_rpc_hostile")
