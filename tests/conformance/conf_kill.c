/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: clients that die. Statement 100; H73.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/blk.h"
#include "lib/net.h"

/* How far a client comes before it dies. */
enum step {
	STEP_OPEN,
	STEP_OWNER,
	STEP_FEATURES,
	STEP_MAP,
	STEP_BATCH,
	STEP_VRING,
	STEP_ENABLE,
	STEP_RUNNING,
	STEP_SUSPENDED,
	STEP_TRAFFIC,
	STEP_N,
};

static const char *const step_names[] = {
	"open",	 "owner",  "features", "map",	    "batch",
	"vring", "enable", "running",  "suspended", "traffic",
};
_Static_assert(ARRAY_LEN(step_names) == STEP_N, "a name for each");

/* A client that is never done: takes steps, says when it is there, and goes on
 * with requests for as long as it lives. */
static void live(struct conf *c, const char *path, enum step last, int pipe_fd)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];

	client_init(&cl, c, conf_open(c, path, O_RDWR));
	for (enum step s = STEP_OWNER; s <= last; s++) {
		switch (s) {
		case STEP_OWNER:
			assert_int_equal(dev_set_owner(cl.fd), 0);
			break;
		case STEP_FEATURES:
			client_negotiate(&cl, BLK_FEATURES);
			break;
		case STEP_MAP:
			client_map(&cl);
			break;
		case STEP_BATCH:
			if (last == STEP_BATCH) {
				(void)dev_batch(cl.fd, 0, true);
			}
			break;
		case STEP_VRING:
			client_vq_init(&cl, 0, 64);
			client_vq_set(&cl, 0);
			break;
		case STEP_ENABLE:
			client_vq_enable(&cl, 0);
			break;
		case STEP_RUNNING:
			client_driver_ok(&cl);
			assert_true(blk_works(&cl));
			break;
		case STEP_SUSPENDED:
			if (last == STEP_SUSPENDED) {
				(void)dev_ioctl(cl.fd, VHOST_VDPA_SUSPEND,
						NULL);
			}
			break;
		default:
			break;
		}
	}
	(void)!write(pipe_fd, "x", 1);
	while (last == STEP_TRAFFIC) {
		uint32_t written;
		uint16_t id;

		while (blk_add(&cl, 0, BLK_T_IN, 0, client_buf(&cl, BLK_DATA),
			       64 * BLK_SECTOR) >= 0) {
		}
		client_kick(q);
		(void)client_wait(q, CONF_WAIT_MS, &id, &written);
	}
	for (;;) {
		(void)pause();
	}
}

/* Starts a client and waits until it is there. */
static pid_t start_client(struct conf *c, const char *path, enum step last)
{
	int pipes[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = conf_fork(c);
	if (pid == 0) {
		(void)close(pipes[0]);
		live(c, path, last, pipes[1]);
	}
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	(void)close(pipes[0]);
	return pid;
}

/* The next client finds a device as new. */
static void expect_new(struct conf *c, const char *path)
{
	struct client cl;
	uint32_t base;

	client_init(&cl, c, conf_open_soon(c, path, O_RDWR));
	assert_int_equal(dev_get_status(cl.fd), 0);
	assert_int_equal(dev_set_owner(cl.fd), 0);
	assert_int_equal(dev_vring_get(cl.fd, VHOST_GET_VRING_BASE, 0, &base),
			 0);
	assert_int_equal(base, 0);
	client_run(&cl, BLK_FEATURES, 1, 64);
	assert_true(blk_works(&cl));
	conf_close(c, cl.fd);
}

static void test_s100_killed_at_each_step(void **state)
{
	struct conf *c = *state;
	const char *path = conf_node_of(CONF_DEVICE_BLK);

	for (enum step s = STEP_OPEN; s < STEP_N; s++) {
		pid_t pid = start_client(c, path, s);

		assert_true(conf_try_open(c, path, O_RDWR) < 0);
		conf_kill(c, pid);
		print_message("# killed after %s\n", step_names[s]);
		expect_new(c, path);
	}
}

/* At no particular moment: the seed only makes moments differ. */
static void test_s100_killed_at_any_moment(void **state)
{
	struct conf *c = *state;
	const char *path = conf_node_of(CONF_DEVICE_BLK);
	unsigned int seed = 100;

	for (unsigned int i = 0; i < 40; i++) {
		unsigned long end;
		pid_t pid = conf_fork(c);

		if (pid == 0) {
			int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

			/* The last one may be there still. */
			conf_close(c, conf_open_soon(c, path, O_RDWR));
			live(c, path, STEP_TRAFFIC, null);
		}
		end = conf_now_ms() + (unsigned long)rand_r(&seed) % 25;
		while (conf_now_ms() < end) {
			conf_breathe();
		}
		conf_kill(c, pid);
	}
	expect_new(c, path);
}

static void test_s100_memory_is_released(void **state)
{
	struct conf *c = *state;
	const char *path = conf_node_of(CONF_DEVICE_BLK);
	struct conf_mem mem = conf_memfd(c, 1 << 20);
	int pipes[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	conf_keep_fd(c, pipes[0]);
	pid = conf_fork(c);
	if (pid == 0) {
		int fd = conf_open(c, path, O_RDWR);

		assert_int_equal(dev_set_owner(fd), 0);
		assert_int_equal(dev_map(fd, 0, 0, mem.va, mem.size,
					 VHOST_ACCESS_RW),
				 IOTLB_DONE);
		(void)!write(pipes[1], "x", 1);
		for (;;) {
			(void)pause();
		}
	}
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	conf_kill(c, pid);
	assert_true(conf_is_released(&mem));
	expect_new(c, path);
}

/* A thread of the client blocks in a call when the process dies. */
static void test_s100_a_stopped_client_blocks_nobody(void **state)
{
	struct conf *c = *state;
	const char *blk = conf_node_of(CONF_DEVICE_BLK);
	const char *net = conf_node_of(CONF_DEVICE_NET);
	pid_t pid = start_client(c, blk, STEP_TRAFFIC);
	struct client cl;

	assert_int_equal(kill(pid, SIGSTOP), 0);
	/* Others go on. */
	client_start(&cl, c, net, NET_FEATURES, 3, 64);
	for (uint8_t i = 0; i < 20; i++) {
		assert_true(net_works(&cl, i));
	}
	assert_true(conf_try_open(c, blk, O_RDWR) < 0);
	conf_kill(c, pid);
	expect_new(c, blk);
}

/* The owner dies, but a descriptor is held elsewhere: no reset, no reopen, and
 * nothing of the dead one's memory does harm. */
static void test_s100_owner_killed_while_another_holds_the_file(void **state)
{
	struct conf *c = *state;
	const char *path = conf_node_of(CONF_DEVICE_BLK);
	int fd = conf_open(c, path, O_RDWR);
	int pipes[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	conf_keep_fd(c, pipes[0]);
	pid = conf_fork(c);
	if (pid == 0) {
		struct client cl;

		client_init(&cl, c, fd);
		assert_int_equal(dev_set_owner(fd), 0);
		client_run(&cl, BLK_FEATURES, 1, 64);
		assert_true(blk_works(&cl));
		(void)!write(pipes[1], "x", 1);
		for (;;) {
			(void)blk_works(&cl);
		}
	}
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	conf_kill(c, pid);
	assert_int_equal(dev_get_status(fd) & S_READY, S_READY);
	assert_int_equal(dev_set_owner(fd), -EBUSY);
	assert_int_equal(conf_try_open(c, path, O_RDWR), -EBUSY);
	assert_int_equal(dev_set_status(fd, 0), 0);
	conf_close(c, fd);
	expect_new(c, path);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_s100_killed_at_each_step),
	CONF_TEST_BOTH(test_s100_killed_at_any_moment),
	CONF_TEST(test_s100_memory_is_released),
	CONF_TEST_BOTH(test_s100_a_stopped_client_blocks_nobody),
	CONF_TEST_BOTH(test_s100_owner_killed_while_another_holds_the_file),
};

TEST_MAIN("conformance/kill")
