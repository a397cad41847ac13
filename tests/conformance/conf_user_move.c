/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: vhost-user, what a front end needs to move a guest to another
 * host beside the log: the device's state, postcopy, RARP; and the MTU.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#include "lib/blk.h"
#include "lib/net.h"

#define NUM 16
/* Bits of SET_DEVICE_STATE_FD's answer. */
#define STATE_ERROR 0xffULL

/* ---- the device's state ---- */

static uint64_t set_state_fd(struct vu *vu, uint32_t direction, int fd,
			     struct vu_msg *msg)
{
	struct vu_transfer transfer = { .direction = direction };

	assert_int_equal(vu_ask(vu, VU_SET_DEVICE_STATE_FD, &transfer,
				sizeof(transfer), &fd, 1, msg),
			 0);
	return msg->p.u64;
}

static uint64_t check_state(struct vu *vu)
{
	uint64_t result = 99;

	assert_int_equal(vu_get_u64(vu, VU_CHECK_DEVICE_STATE, &result), 0);
	return result;
}

/* Saves into a pipe. Return: bytes of @buf */
static size_t save(struct client *cl, char *buf, size_t size)
{
	struct vu_msg msg;
	size_t len = 0;
	int pipes[2], from;
	ssize_t n;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(set_state_fd(&cl->vu, 0, pipes[1], &msg) & STATE_ERROR,
			 0);
	(void)close(pipes[1]);
	from = msg.p.u64 & VU_NO_FD ? pipes[0] : msg.fds[0];
	do {
		n = read(from, buf + len, size - len);
		assert_true(n >= 0);
		len += (size_t)n;
	} while (n > 0 && len < size);
	(void)close(pipes[0]);
	assert_int_equal(check_state(&cl->vu), 0);
	return len;
}

static uint64_t load(struct client *cl, const char *buf, size_t len)
{
	struct vu_msg msg;
	int pipes[2], to;
	uint64_t result;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	result = set_state_fd(&cl->vu, 1, pipes[0], &msg);
	(void)close(pipes[0]);
	if (result & STATE_ERROR) {
		(void)close(pipes[1]);
		return result;
	}
	to = msg.p.u64 & VU_NO_FD ? pipes[1] : msg.fds[0];
	for (size_t done = 0; done < len;) {
		ssize_t n = write(to, buf + done, len - done);

		if (n <= 0) {
			break;
		}
		done += (size_t)n;
	}
	if (to != pipes[1]) {
		conf_close(cl->c, to);
	}
	(void)close(pipes[1]);
	return check_state(&cl->vu);
}

static void stop_all(struct client *cl)
{
	for (uint16_t i = 0; i < 3; i++) {
		client_vq_stop(cl, i);
	}
}

static void expect_goes_on(struct client *cl)
{
	for (uint16_t i = 0; i < 3; i++) {
		client_vq_set(cl, i);
	}
	assert_true(net_works(cl, 2));
}

static void start_stopped(struct client *cl, void **state)
{
	net_start(cl, *state, NUM, NET_FEATURES);
	vu_require(&cl->vu, VU_P_DEVICE_STATE);
	assert_true(net_works(cl, 1));
	stop_all(cl);
}

static void test_state_goes_out_and_in(void **state)
{
	static char buf[1 << 20];
	struct client cl;
	size_t len;

	start_stopped(&cl, state);
	len = save(&cl, buf, sizeof(buf));
	assert_int_equal(load(&cl, buf, len), 0);
	expect_goes_on(&cl);
	/* Another connection takes it, too. */
	client_close(&cl);
	start_stopped(&cl, state);
	assert_int_equal(load(&cl, buf, len), 0);
	expect_goes_on(&cl);
}

static void test_state_that_is_nonsense_is_refused(void **state)
{
	static char buf[100000];
	struct client cl;
	unsigned int seed = 42;

	start_stopped(&cl, state);
	for (size_t i = 0; i < sizeof(buf); i++) {
		buf[i] = (char)rand_r(&seed);
	}
	assert_true(load(&cl, buf, sizeof(buf)) != 0);
	assert_true(vu_is_alive(&cl.vu));
	client_reset(&cl);
	client_run(&cl, NET_FEATURES, 3, NUM);
	assert_true(net_works(&cl, 3));
}

/* The other end is never read, or never closed: nobody waits for it. */
static void test_h70_a_state_channel_that_hangs(void **state)
{
	struct client cl;
	struct vu_msg msg;
	int pipes[2];

	start_stopped(&cl, state);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	conf_keep_fd(cl.c, pipes[0]);
	conf_keep_fd(cl.c, pipes[1]);
	(void)set_state_fd(&cl.vu, 1, pipes[0], &msg);
	assert_true(vu_is_alive(&cl.vu));
	client_close(&cl);
	net_start(&cl, *state, NUM, NET_FEATURES);
	assert_true(net_works(&cl, 4));
}

/* ---- postcopy ---- */

static void test_postcopy_advise_gives_a_userfaultfd(void **state)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct client cl;
	struct vu_msg msg;

	blk_start(&cl, *state, NUM, BLK_FEATURES);
	vu_require(&cl.vu, VU_P_PAGEFAULT);
	assert_int_equal(
		vu_ask(&cl.vu, VU_POSTCOPY_ADVISE, NULL, 0, NULL, 0, &msg), 0);
	assert_int_equal(msg.n_fds, 1);
	/* It has been asked for its features already. */
	assert_true(ioctl(msg.fds[0], UFFDIO_API, &api) < 0);
	assert_true(blk_works(&cl));
}

static void test_h64_postcopy_out_of_order(void **state)
{
	struct client cl;

	blk_start(&cl, *state, NUM, BLK_FEATURES);
	vu_require(&cl.vu, VU_P_PAGEFAULT);
	assert_int_equal(vu_tell(&cl.vu, VU_POSTCOPY_LISTEN, NULL, 0, NULL, 0),
			 VU_REFUSED);
	assert_true(blk_works(&cl));
}

/* ---- network ---- */

static void test_rarp_is_taken(void **state)
{
	const uint64_t mac = 0x563412005452ULL;
	struct client cl;

	net_start(&cl, *state, 64, NET_FEATURES);
	vu_require(&cl.vu, VU_P_RARP);
	assert_int_equal(vu_set_u64(&cl.vu, VU_SEND_RARP, mac), 0);
	assert_true(net_works(&cl, 1));
}

static void test_mtu_is_checked(void **state)
{
	static const uint64_t bad[] = { 0, 67, 65536, UINT64_MAX };
	struct client cl;
	uint8_t mtu[2];

	net_start(&cl, *state, 64, NET_FEATURES);
	vu_require(&cl.vu, VU_P_MTU);
	assert_int_equal(client_get_config(&cl, 10, mtu, 2), 0);
	assert_int_equal(vu_set_u64(&cl.vu, VU_NET_SET_MTU,
				    mtu[0] | (uint64_t)mtu[1] << 8),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(vu_set_u64(&cl.vu, VU_NET_SET_MTU, bad[i]),
				 VU_REFUSED);
	}
	assert_true(net_works(&cl, 1));
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_state_goes_out_and_in),
	CONF_TEST(test_state_that_is_nonsense_is_refused),
	CONF_TEST(test_h70_a_state_channel_that_hangs),
	CONF_TEST(test_postcopy_advise_gives_a_userfaultfd),
	CONF_TEST(test_h64_postcopy_out_of_order),
	CONF_TEST(test_rarp_is_taken),
	CONF_TEST(test_mtu_is_checked),
};

TEST_MAIN("conformance/user_move")
