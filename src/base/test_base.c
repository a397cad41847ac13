/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of base/.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/parse.h"
#include "lib/test.h"

static void test_err_text_follows_its_code(void **state)
{
	assert_int_equal(err(-ENOSPC, "iotlb: %d maps", 3), -ENOSPC);
	assert_string_equal(err_text(-ENOSPC), "iotlb: 3 maps");
	assert_string_equal(err_text(-EINVAL), strerror(EINVAL));
	assert_int_equal(err_context(-ENOSPC, "net0"), -ENOSPC);
	assert_string_equal(err_text(-ENOSPC), "net0: iotlb: 3 maps");
	assert_int_equal(err_context(0, "unused"), 0);
}

static void test_parse_u64_takes_whole_numbers_only(void **state)
{
	static const char *const bad[] = { "",	 " 1", "-1", "+1",
					   "1 ", "0x", "1k", "ten" };
	uint64_t v = 7;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse_u64("n", bad[i], UINT64_MAX, &v),
				 -EINVAL);
	}
	assert_int_equal(parse_u64("n", "11", 10, &v), -ERANGE);
	assert_int_equal(parse_u64("n", "18446744073709551616", UINT64_MAX, &v),
			 -ERANGE);
	assert_int_equal(v, 7);
	assert_int_equal(parse_u64("n", "0x1F", 100, &v), 0);
	assert_int_equal(v, 31);
	assert_int_equal(parse_u64("n", "18446744073709551615", UINT64_MAX, &v),
			 0);
	assert_true(v == UINT64_MAX);
}

static void test_parse_hex_size_bool_mac(void **state)
{
	uint8_t mac[6];
	uint64_t v;
	bool b;

	assert_int_equal(parse_hex64("f", "308830028", &v), 0);
	assert_true(v == 0x308830028);
	assert_int_equal(parse_hex64("f", "0x20", &v), 0);
	assert_true(v == 0x20);
	assert_int_equal(parse_hex64("f", "2g", &v), -EINVAL);
	assert_int_equal(parse_size("s", "64M", &v), 0);
	assert_true(v == 64ULL << 20);
	assert_int_equal(parse_size("s", "64MB", &v), -EINVAL);
	assert_int_equal(parse_size("s", "17592186044416M", &v), -ERANGE);
	assert_int_equal(parse_bool("b", "on", &b), 0);
	assert_true(b);
	assert_int_equal(parse_bool("b", "yes", &b), -EINVAL);
	assert_int_equal(parse_mac("m", "52:54:00:aB:cd:ef", mac), 0);
	assert_int_equal(mac[3], 0xab);
	assert_int_equal(parse_mac("m", "52:54:00:ab:cd", mac), -EINVAL);
	assert_int_equal(parse_mac("m", "52:54:00:ab:cd:ef:", mac), -EINVAL);
	assert_int_equal(parse_mac("m", "52:54:00:ab:cd:e", mac), -EINVAL);
	assert_int_equal(parse_mac("m", "", mac), -EINVAL);
}

static void test_name_is_valid_refuses_paths(void **state)
{
	assert_true(name_is_valid("net0"));
	assert_false(name_is_valid(""));
	assert_false(name_is_valid("../x"));
	assert_false(name_is_valid(".x"));
	assert_false(name_is_valid("a b"));
}

static void test_fd_pass_keeps_only_eight(void **state)
{
	int socks[2], fd = eventfd(0, EFD_CLOEXEC);
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct fd_msg out = { .iov = &iov, .n_iov = 1, .n_fds = 2 };
	struct fd_msg in = { .iov = &iov, .n_iov = 1 };
	uint64_t one = 1, count;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socks), 0);
	out.fds[0] = fd;
	out.fds[1] = socks[0];
	assert_int_equal(fd_send(socks[0], &out, 0), 1);
	assert_int_equal(fd_recv(socks[1], &in, 0), 1);
	assert_int_equal(in.n_fds, 2);
	assert_false(in.is_truncated);
	assert_true(fd_is_eventfd(in.fds[0]));
	assert_false(fd_is_eventfd(in.fds[1]));
	assert_int_equal(write(in.fds[0], &one, sizeof(one)), sizeof(one));
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	fd_msg_close(&in);
	close(socks[0]);
	close(socks[1]);
	close(fd);
}

struct item {
	int value;
	struct list node;
};

static void test_list_keeps_order_and_survives_deletion(void **state)
{
	struct item items[3] = { { 1 }, { 2 }, { 3 } };
	struct list head = LIST_INIT(head);
	struct item *it, *tmp;
	int sum = 0, order = 0;

	for (int i = 0; i < 3; i++) {
		list_add_tail(&head, &items[i].node);
	}
	list_for_each_entry(it, &head, node) {
		order = order * 10 + it->value;
	}
	assert_int_equal(order, 123);
	list_for_each_entry_safe(it, tmp, &head, node) {
		sum += it->value;
		list_del(&it->node);
	}
	assert_int_equal(sum, 6);
	assert_true(list_is_empty(&head));
}

static char last_line[64];

static void keep_line(enum log_level level, const char *line)
{
	(void)snprintf(last_line, sizeof(last_line), "%d %s", level, line);
}

static void test_log_writes_only_what_is_wanted(void **state)
{
	enum log_level level;
	struct log_limit limit = { 0 };
	int n = 0;

	log_set_sink(keep_line, LOG_LEVEL_INFO);
	log_debug("net0", "no");
	assert_string_equal(last_line, "");
	log_info("net0.vq1", "up %d", 1);
	assert_string_equal(last_line, "2 net0.vq1: up 1");
	log_set_sink(NULL, LOG_LEVEL_WARN);
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	for (int i = 0; i < 100; i++) {
		n += log_allowed(&limit);
	}
	assert_in_range(n, 10, 20);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_err_text_follows_its_code),
	cmocka_unit_test(test_parse_u64_takes_whole_numbers_only),
	cmocka_unit_test(test_parse_hex_size_bool_mac),
	cmocka_unit_test(test_name_is_valid_refuses_paths),
	cmocka_unit_test(test_fd_pass_keeps_only_eight),
	cmocka_unit_test(test_list_keeps_order_and_survives_deletion),
	cmocka_unit_test(test_log_writes_only_what_is_wanted),
};

TEST_MAIN("base")
