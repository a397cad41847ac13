/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: vhost-user, connections. One front end at a time, the next one
 * when it has gone, in server and in client mode; front ends that die or never
 * speak. H70, H73, H90, H91.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/blk.h"
#include "lib/daemon.h"
#include "lib/tool.h"

#define NUM 16

static const char *blk_path(void)
{
	return conf_node_of(CONF_DEVICE_BLK);
}

static void expect_blk_works(struct conf *c)
{
	struct client cl;

	blk_start(&cl, c, NUM, BLK_FEATURES);
	assert_true(blk_works(&cl));
	client_close(&cl);
}

/* The device is as new: nothing is left of the last front end. */
static void expect_new(struct conf *c)
{
	struct client cl;
	uint64_t status = 99;
	uint32_t base;

	client_open_user(&cl, c, blk_path(), VU_P_USUAL);
	if (cl.vu.protocol & VU_P_STATUS) {
		assert_int_equal(vu_get_u64(&cl.vu, VU_GET_STATUS, &status), 0);
		assert_int_equal(status, 0);
	}
	client_negotiate(&cl, BLK_FEATURES);
	assert_int_equal(vu_get_base(&cl.vu, 0, &base), 0);
	client_vq_init(&cl, 0, NUM);
	assert_int_equal(base, ring_initial_base(&cl.vqs[0].ring));
	client_close(&cl);
	expect_blk_works(c);
}

/* ---- one after the other ---- */

static void test_the_next_one_is_served(void **state)
{
	for (unsigned int i = 0; i < 50; i++) {
		expect_blk_works(*state);
	}
	expect_new(*state);
}

static void test_a_second_one_is_refused_meanwhile(void **state)
{
	struct client cl;
	struct vu second;

	blk_start(&cl, *state, NUM, BLK_FEATURES);
	conf_product_only("others keep it waiting");
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(vu_try_connect(&second, *state, blk_path()),
				 0);
		assert_true(vu_is_closed(&second));
		vu_close(&second);
		assert_true(blk_works(&cl));
	}
	client_close(&cl);
	expect_new(*state);
}

/* ---- H70 ---- */

static void test_h70_1000_connections(void **state)
{
	struct conf *c = *state;
	pid_t pid = daemon_pid();
	unsigned int before;
	unsigned long kib = 0;

	expect_blk_works(c);
	before = daemon_n_fds(pid);
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int n_fds = c->n_fds;
		struct client cl;
		struct vu vu;

		if (i == 200) {
			kib = daemon_memory_kib(pid);
		}
		switch (i % 4) {
		case 0: /* gone before it was seen */
			assert_int_equal(vu_try_connect(&vu, c, blk_path()), 0);
			break;
		case 1:
			vu_connect(&vu, c, blk_path(), 0);
			break;
		case 2:
			vu_connect(&vu, c, blk_path(), VU_P_USUAL);
			break;
		default: /* all the way, and gone with a request in flight */
			blk_start(&cl, c, NUM, BLK_FEATURES);
			(void)blk_add(&cl, 0, BLK_T_IN, 0,
				      client_buf(&cl, BLK_DATA), 65536);
			client_kick(&cl.vqs[0]);
			break;
		}
		conf_drop(c, n_fds, 0);
	}
	expect_new(c);
	assert_in_range(daemon_settle_fds(pid, before), 0, before);
	assert_in_range(daemon_memory_kib(pid), 0, kib + 1024);
}

/* Nobody has to wait for long for one who does not say what it wants. */
static void test_h70_a_connection_that_never_speaks(void **state)
{
	unsigned long start;
	struct vu silent;

	expect_blk_works(*state);
	conf_product_only("others wait for ever");
	assert_int_equal(vu_try_connect(&silent, *state, blk_path()), 0);
	start = conf_now_ms();
	expect_blk_works(*state);
	assert_true(conf_now_ms() - start < 5000);
	assert_true(vu_is_closed(&silent));
}

static void test_h70_many_that_never_speak(void **state)
{
	struct conf *c = *state;
	pid_t pid = daemon_pid();
	unsigned int before = daemon_n_fds(pid), n_fds = c->n_fds;
	struct vu silent;

	/* More than one waits in line: each is refused or served. */
	for (unsigned int i = 0; i < 200; i++) {
		(void)vu_try_connect(&silent, c, blk_path());
	}
	conf_drop(c, n_fds, 0);
	expect_blk_works(c);
	assert_in_range(daemon_settle_fds(pid, before), 0, before);
}

/* ---- H73: front ends that die ---- */

#define MESSAGES 20

/* Sends that many messages of a handshake, the last one perhaps only in part,
 * says so, and stays. */
static void live(struct conf *c, unsigned int n_messages, int pipe_fd)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];

	client_init(&cl, c, -1);
	cl.door = NULL; /* each message by hand */
	assert_int_equal(vu_try_connect(&cl.vu, c, blk_path()), 0);
	for (unsigned int i = 0; i < n_messages; i++) {
		struct vu_region region = { CLIENT_IOVA, cl.mem.size,
					    (uintptr_t)cl.mem.va, 0 };
		struct vu_addr addr = { 0,
					0,
					(uintptr_t)cl.mem.va,
					(uintptr_t)cl.mem.va + RING_DEVICE,
					(uintptr_t)cl.mem.va + RING_DRIVER,
					0 };
		struct vu *vu = &cl.vu;
		struct vu_header half = { VU_SET_VRING_ENABLE, VU_VERSION, 8 };

		switch (i) {
		case 0:
			(void)vu_get_u64(vu, VU_GET_FEATURES, &vu->offered);
			break;
		case 1:
			(void)vu_get_u64(vu, VU_GET_PROTOCOL_FEATURES,
					 &vu->offered_protocol);
			break;
		case 2:
			(void)vu_set_u64(vu, VU_SET_PROTOCOL_FEATURES,
					 vu->offered_protocol & VU_P_USUAL);
			vu->protocol = vu->offered_protocol & VU_P_USUAL;
			break;
		case 3:
			(void)vu_tell(vu, VU_SET_OWNER, NULL, 0, NULL, 0);
			break;
		case 4:
			(void)vu_set_u64(vu, VU_SET_STATUS, 3);
			break;
		case 5:
			cl.features = F_VERSION_1 |
				      (c->is_packed ? F_PACKED : 0);
			(void)vu_set_u64(vu, VU_SET_FEATURES,
					 cl.features | VU_F_PROTOCOL);
			client_vq_init(&cl, 0, NUM);
			break;
		case 6:
			(void)vu_set_u64(vu, VU_SET_STATUS, 0xb);
			break;
		case 7:
			(void)vu_set_table(vu, &region, &cl.mem.fd, 1);
			break;
		case 8:
			(void)vu_set_state(vu, VU_SET_VRING_NUM, 0, NUM);
			break;
		case 9:
			(void)vu_set_state(vu, VU_SET_VRING_BASE, 0,
					   ring_base(&q->ring));
			break;
		case 10:
			(void)vu_set_addr(vu, &addr);
			break;
		case 11:
			(void)vu_set_vring_fd(vu, VU_SET_VRING_KICK, 0,
					      q->kick);
			break;
		case 12:
			(void)vu_set_vring_fd(vu, VU_SET_VRING_CALL, 0,
					      q->call);
			break;
		case 13:
			(void)vu_set_state(vu, VU_SET_VRING_ENABLE, 0, 1);
			break;
		case 14:
			(void)vu_set_u64(vu, VU_SET_STATUS, 0xf);
			break;
		case 15:
			(void)blk_works(&cl);
			break;
		case 16:
			(void)blk_add(&cl, 0, BLK_T_IN, 0,
				      client_buf(&cl, BLK_DATA), 65536);
			client_kick(q);
			break;
		case 17:
			(void)vu_set_state(vu, VU_SET_VRING_ENABLE, 0, 0);
			break;
		case 18:
			(void)vu_get_base(vu, 0, &half.size);
			break;
		default:
			(void)vu_write(vu->fd, &half, 7, NULL, 0);
			break;
		}
	}
	(void)!write(pipe_fd, "x", 1);
	for (;;) {
		(void)pause();
	}
}

static void test_h73_killed_after_each_message(void **state)
{
	struct conf *c = *state;
	pid_t daemon = daemon_pid();
	unsigned int before;

	expect_blk_works(c);
	before = daemon_n_fds(daemon);
	for (unsigned int n = 0; n <= MESSAGES; n++) {
		int pipes[2];
		char byte;
		pid_t pid;

		assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		pid = conf_fork(c);
		if (pid == 0) {
			live(c, n, pipes[1]);
		}
		(void)close(pipes[1]);
		assert_int_equal(read(pipes[0], &byte, 1), 1);
		(void)close(pipes[0]);
		conf_kill(c, pid);
		expect_new(c);
		conf_drop(c, 0, 0);
	}
	assert_in_range(daemon_settle_fds(daemon, before), 0, before);
}

/* At no particular moment, under load. */
static void test_h73_killed_at_any_moment(void **state)
{
	struct conf *c = *state;
	unsigned int seed = 73;

	for (unsigned int i = 0; i < 40; i++) {
		unsigned long end;
		pid_t pid = conf_fork(c);

		if (pid == 0) {
			struct client cl;

			blk_start(&cl, c, 64, BLK_FEATURES);
			for (;;) {
				uint32_t written;
				uint16_t id;

				while (blk_add(&cl, 0, BLK_T_IN, 0,
					       client_buf(&cl, BLK_DATA),
					       0x10000) >= 0) {
				}
				client_kick(&cl.vqs[0]);
				(void)client_wait(&cl.vqs[0], CONF_WAIT_MS, &id,
						  &written);
			}
		}
		end = conf_now_ms() + (unsigned long)rand_r(&seed) % 20;
		while (conf_now_ms() < end) {
			conf_breathe();
		}
		conf_kill(c, pid);
	}
	expect_new(c);
}

/* Stopped, not dead: it keeps its device, and others go on. */
static void test_h73_a_stopped_front_end_blocks_nobody(void **state)
{
	struct conf *c = *state;
	int pipes[2];
	struct vu net;
	char byte;
	pid_t pid;

	conf_product_only("needs a second device");
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = conf_fork(c);
	if (pid == 0) {
		live(c, 17, pipes[1]);
	}
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	(void)close(pipes[0]);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	vu_connect(&net, c, conf_node_of(CONF_DEVICE_NET), VU_P_USUAL);
	assert_true(vu_is_alive(&net));
	conf_kill(c, pid);
	expect_new(c);
}

/* ---- client mode ---- */

static int listen_at(struct conf *c, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(strlen(path) < sizeof(addr.sun_path));
	memcpy(addr.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	conf_keep_fd(c, fd);
	return fd;
}

/* The back end comes to us. */
static void accept_and_use(struct conf *c, int listener)
{
	struct client cl;
	uint64_t protocol;

	client_init(&cl, c, -1);
	cl.vu = (struct vu){ .c = c, .back = -1 };
	cl.vu.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(cl.vu.fd >= 0);
	conf_keep_fd(c, cl.vu.fd);
	client_adopt_user(&cl);
	assert_int_equal(vu_get_u64(&cl.vu, VU_GET_FEATURES, &cl.vu.offered),
			 0);
	assert_int_equal(vu_get_u64(&cl.vu, VU_GET_PROTOCOL_FEATURES,
				    &cl.vu.offered_protocol),
			 0);
	protocol = VU_P_USUAL & cl.vu.offered_protocol;
	assert_int_equal(vu_set_u64(&cl.vu, VU_SET_PROTOCOL_FEATURES, protocol),
			 0);
	cl.vu.protocol = protocol;
	client_run(&cl, BLK_FEATURES, 1, NUM);
	assert_true(blk_works(&cl));
	client_close(&cl);
}

static void test_client_mode_connects_again_and_again(void **state)
{
	struct conf *c = *state;
	char path[108];
	int listener;

	conf_product_only("others have no client mode");
	tool_require(TOOL_VDPAKIT);
	(void)snprintf(path, sizeof(path), "%s.front", blk_path());
	tool_must(TOOL_VDPAKIT, "dev add name away mgmtdev vdpasim_blk");
	/* Nobody listens yet. */
	tool_must(TOOL_VDPAKIT,
		  "dev bind away vhost_user path %s server off reconnect_ms 10",
		  path);
	listener = listen_at(c, path);
	for (unsigned int i = 0; i < 10; i++) {
		accept_and_use(c, listener);
	}
	/* The front end starts anew. */
	conf_close(c, listener);
	assert_int_equal(unlink(path), 0);
	listener = listen_at(c, path);
	accept_and_use(c, listener);
	conf_close(c, listener);
	(void)unlink(path);
	tool_must(TOOL_VDPAKIT, "dev del away");
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_the_next_one_is_served),
	CONF_TEST(test_a_second_one_is_refused_meanwhile),
	CONF_TEST(test_h70_1000_connections),
	CONF_TEST(test_h70_a_connection_that_never_speaks),
	CONF_TEST(test_h70_many_that_never_speak),
	CONF_TEST_BOTH(test_h73_killed_after_each_message),
	CONF_TEST_BOTH(test_h73_killed_at_any_moment),
	CONF_TEST(test_h73_a_stopped_front_end_blocks_nobody),
	CONF_TEST_BOTH(test_client_mode_connects_again_and_again),
};

TEST_MAIN("conformance/user_conn")
