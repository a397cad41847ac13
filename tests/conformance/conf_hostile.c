/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: hostile clients of the control plane, and what they cost.
 * H60, H64, H69, H70, H71, H90, H91, H92.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/blk.h"
#include "lib/daemon.h"
#include "lib/net.h"

#define PAGE 4096

/* ---- H64: a walk through the state machine ---- */

#define WALK_STEPS 2500

/* What a walk may point to. */
struct walk {
	struct client cl;
	uint32_t seed;
	char *room; /* readable and writable, before a page that is neither */
	char *wall; /* that page */
};

static uint32_t pick(struct walk *w, uint32_t n)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)(w->seed >> 4) * n) >> 28);
}

/* Numbers at which checks go wrong. */
static uint64_t pick_number(struct walk *w)
{
	static const uint64_t edges[] = {
		0,
		1,
		2,
		3,
		4,
		7,
		8,
		15,
		16,
		63,
		64,
		255,
		256,
		257,
		511,
		0x1000,
		0x7fff,
		0x8000,
		0xffff,
		0x10000,
		0x7fffffff,
		0x80000000,
		0xfffffffe,
		0xffffffff,
		0x100000000,
		0x7fffffffffffffff,
		0x8000000000000000,
		0xffffffffffff0000,
		0xfffffffffffffffe,
		0xffffffffffffffff,
	};

	return edges[pick(w, ARRAY_LEN(edges))];
}

/* An argument: mostly one that can be read, with numbers in it that may be
 * good; else one that cannot. */
static void *pick_argument(struct walk *w)
{
	uint32_t *words = (void *)w->room;

	for (unsigned int i = 0; i < 16; i++) {
		words[i] = (uint32_t)pick_number(w);
	}
	words[0] = pick(w, 4) ? pick(w, 4) : words[0];
	if (pick(w, 3) == 0) {
		words[1] = (uint32_t)w->cl.vqs[pick(w, 3)].kick;
	} else if (pick(w, 3) == 0) {
		words[1] = 16;
	}
	switch (pick(w, 12)) {
	case 0:
		return NULL;
	case 1:
		return BAD_POINTER;
	case 2:
		return w->wall;
	case 3:
		return w->wall - 1 - pick(w, 12);
	case 4:
		return (void *)(uintptr_t)0xffff800000000000ULL;
	default:
		return w->room;
	}
}

static const unsigned long walk_ioctls[] = {
	VHOST_GET_FEATURES,
	VHOST_SET_FEATURES,
	VHOST_SET_OWNER,
	VHOST_RESET_OWNER,
	VHOST_SET_MEM_TABLE,
	VHOST_SET_LOG_BASE,
	VHOST_SET_LOG_FD,
	VHOST_SET_VRING_NUM,
	VHOST_SET_VRING_ADDR,
	VHOST_SET_VRING_BASE,
	VHOST_GET_VRING_BASE,
	VHOST_SET_VRING_ENDIAN,
	VHOST_GET_VRING_ENDIAN,
	VHOST_SET_VRING_KICK,
	VHOST_SET_VRING_CALL,
	VHOST_SET_VRING_ERR,
	VHOST_SET_VRING_BUSYLOOP_TIMEOUT,
	VHOST_GET_VRING_BUSYLOOP_TIMEOUT,
	VHOST_SET_BACKEND_FEATURES,
	VHOST_GET_BACKEND_FEATURES,
	VHOST_VDPA_GET_DEVICE_ID,
	VHOST_VDPA_GET_STATUS,
	VHOST_VDPA_SET_STATUS,
	VHOST_VDPA_GET_CONFIG,
	VHOST_VDPA_SET_CONFIG,
	VHOST_VDPA_SET_VRING_ENABLE,
	VHOST_VDPA_GET_VRING_NUM,
	VHOST_VDPA_SET_CONFIG_CALL,
	VHOST_VDPA_GET_IOVA_RANGE,
	VHOST_VDPA_GET_CONFIG_SIZE,
	VHOST_VDPA_GET_AS_NUM,
	VHOST_VDPA_GET_VRING_GROUP,
	VHOST_VDPA_SET_GROUP_ASID,
	VHOST_VDPA_SUSPEND,
	VHOST_VDPA_RESUME,
	VHOST_VDPA_GET_VRING_DESC_GROUP,
	VHOST_VDPA_GET_VQS_COUNT,
	VHOST_VDPA_GET_GROUP_NUM,
	VHOST_VDPA_GET_VRING_SIZE,
	VHOST_GET_FEATURES_ARRAY,
	VHOST_SET_FEATURES_ARRAY,
	VHOST_SET_FORK_FROM_OWNER,
	VHOST_GET_FORK_FROM_OWNER,
	0xaf55,
	0x4008aff0,
	0xc008aff1,
	0xffffffff,
};

/* Any message; memory of ours is only offered where a device may write it. */
static void walk_write(struct walk *w)
{
	static const uint8_t types[] = { 0, 1, 2, 2, 2, 3, 3, 4, 5, 6, 7, 255 };
	struct vhost_msg_v2 msg = {
		.type = pick(w, 8) ? 1 + pick(w, 2) : (uint32_t)pick_number(w),
		.asid = pick(w, 4) ? pick(w, 3) : (uint32_t)pick_number(w),
		.iotlb = {
			.iova = pick(w, 2) ? pick(w, 64) * PAGE
					   : pick_number(w),
			.size = pick(w, 2) ? (1 + pick(w, 8)) * PAGE
					   : pick_number(w),
			.uaddr = (uintptr_t)w->cl.mem.va + pick(w, 16) * PAGE,
			.perm = (uint8_t)(pick(w, 4) ? 3 : pick_number(w)),
			.type = types[pick(w, ARRAY_LEN(types))],
		},
	};
	static const size_t lens[] = { 0, 1, 8, 39, 40, 71, 72, 72, 72, 72 };

	if (msg.iotlb.size > 16 * PAGE && pick(w, 2)) {
		msg.iotlb.uaddr = 0; /* far more than we have */
	} else if (msg.iotlb.size > 16 * PAGE) {
		msg.iotlb.size = 16 * PAGE;
	}
	(void)!write(w->cl.fd, pick(w, 20) ? (void *)&msg : BAD_POINTER,
		     lens[pick(w, ARRAY_LEN(lens))]);
}

/* Sensible steps now and then, or the walk would never get anywhere. */
static void walk_forward(struct walk *w)
{
	struct client *cl = &w->cl;
	uint16_t idx = (uint16_t)pick(w, 3);
	uint64_t iova = cl->vqs[idx].ring.iova;

	switch (pick(w, 9)) {
	case 0:
		(void)dev_set_owner(cl->fd);
		break;
	case 1:
		(void)dev_set_features(cl->fd,
				       F_VERSION_1 | F_ACCESS_PLATFORM |
					       (pick(w, 2) ? F_PACKED : 0));
		break;
	case 2:
		(void)dev_set_status(cl->fd, S_READY);
		break;
	case 3:
		(void)dev_set_status(cl->fd, 0);
		break;
	case 4:
		(void)dev_map(cl->fd, 0, CLIENT_IOVA, cl->mem.va, cl->mem.size,
			      VHOST_ACCESS_RW);
		break;
	case 5:
		(void)dev_vring(cl->fd, VHOST_SET_VRING_NUM, idx, 16);
		(void)dev_vring_addr(cl->fd, idx, iova, iova + RING_DRIVER,
				     iova + RING_DEVICE);
		break;
	case 6:
		(void)dev_vring(cl->fd, VHOST_VDPA_SET_VRING_ENABLE, idx,
				pick(w, 4) != 0);
		break;
	case 7:
		(void)dev_vring_fd(cl->fd, VHOST_SET_VRING_KICK, idx,
				   cl->vqs[idx].kick);
		break;
	default:
		/* Anything at all in the rings. */
		for (unsigned int i = 0; i < 32; i++) {
			cl->mem.va[idx * RING_BYTES + pick(w, 0x4800)] =
				(char)pick_number(w);
		}
		client_kick(&cl->vqs[idx]);
		break;
	}
}

static int walk(struct conf *c, const char *path, uint32_t seed)
{
	struct walk w = { .seed = seed };
	struct conf_mem room = conf_anon(c, 2 * PAGE, MAP_PRIVATE);

	w.wall = room.va + PAGE;
	w.room = w.wall - 512;
	assert_int_equal(mprotect(w.wall, PAGE, PROT_NONE), 0);
	client_init(&w.cl, c, conf_open_soon(c, path, O_RDWR));
	for (uint16_t i = 0; i < 3; i++) {
		client_vq_init(&w.cl, i, 16);
	}
	for (unsigned int i = 0; i < WALK_STEPS; i++) {
		switch (pick(&w, 4)) {
		case 0:
			walk_forward(&w);
			break;
		case 1:
			walk_write(&w);
			break;
		default:
			(void)dev_ioctl(
				w.cl.fd,
				walk_ioctls[pick(&w, ARRAY_LEN(walk_ioctls))],
				pick_argument(&w));
			break;
		}
	}
	return 0;
}

static void expect_blk_works(struct conf *c)
{
	struct client cl;

	client_init(&cl, c,
		    conf_open_soon(c, conf_node_of(CONF_DEVICE_BLK), O_RDWR));
	assert_int_equal(dev_set_owner(cl.fd), 0);
	client_run(&cl, BLK_FEATURES, 1, 64);
	assert_true(blk_works(&cl));
	conf_close(c, cl.fd);
}

static void expect_net_works(struct conf *c)
{
	struct client cl;

	client_init(&cl, c,
		    conf_open_soon(c, conf_node_of(CONF_DEVICE_NET), O_RDWR));
	assert_int_equal(dev_set_owner(cl.fd), 0);
	client_run(&cl, NET_FEATURES, 3, 64);
	assert_true(net_works(&cl, 1));
	conf_close(c, cl.fd);
}

/* CONFORMANCE_SEED chooses another walk; it is printed for a replay. */
static uint32_t first_seed(void)
{
	const char *v = getenv("CONFORMANCE_SEED");

	return v ? (uint32_t)strtoul(v, NULL, 0) : 64;
}

static void walk_on(struct conf *c, unsigned int device_id)
{
	const char *path = conf_node_of(device_id);
	uint32_t seed = first_seed();

	for (uint32_t i = 0; i < 4; i++) {
		pid_t pid = conf_fork(c);

		if (pid == 0) {
			_exit(walk(c, path, seed + i));
		}
		print_message("# walk %s seed %u\n", path, seed + i);
		assert_int_equal(conf_reap(c, pid), 0);
		expect_blk_works(c);
		expect_net_works(c);
	}
}

static void test_h64_random_walk_net(void **state)
{
	walk_on(*state, CONF_DEVICE_NET);
}

static void test_h64_random_walk_blk(void **state)
{
	walk_on(*state, CONF_DEVICE_BLK);
}

/* Two at once on two devices: the process behind them is one. */
static void test_h64_two_random_walks_at_once(void **state)
{
	struct conf *c = *state;
	const char *const paths[] = { conf_node_of(CONF_DEVICE_NET),
				      conf_node_of(CONF_DEVICE_BLK) };
	pid_t pids[2];

	for (uint32_t i = 0; i < 2; i++) {
		pids[i] = conf_fork(c);
		if (pids[i] == 0) {
			_exit(walk(c, paths[i], first_seed() + 100 + i));
		}
	}
	assert_int_equal(conf_reap(c, pids[0]), 0);
	assert_int_equal(conf_reap(c, pids[1]), 0);
	expect_blk_works(c);
	expect_net_works(c);
}

/* ---- H60 ---- */

static void test_h60_every_field_at_every_edge(void **state)
{
	static const uint32_t edges[] = {
		0,	    1,		2,	    3,		4,	255,
		256,	    257,	0x7fff,	    0x8000,	0xffff, 0x10000,
		0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
	};
	struct conf *c = *state;
	int fd = conf_open(c, conf_node(), O_RDWR);

	assert_int_equal(dev_set_owner(fd), 0);
	for (size_t i = 0; i < ARRAY_LEN(walk_ioctls); i++) {
		if (walk_ioctls[i] == VHOST_SET_MEM_TABLE) {
			continue; /* has a test of its own */
		}
		for (size_t k = 0; k < ARRAY_LEN(edges) * ARRAY_LEN(edges);
		     k++) {
			uint32_t arg[32] = { edges[k % ARRAY_LEN(edges)],
					     edges[k / ARRAY_LEN(edges)] };

			(void)dev_ioctl(fd, walk_ioctls[i], arg);
		}
	}
	conf_close(c, fd);
	expect_blk_works(c);
}

/* ---- H69 ---- */

static void test_h69_base_is_read_while_the_ring_runs(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	uint32_t base, written;
	uint16_t id;

	blk_start(&cl, *state, 64, BLK_FEATURES);
	for (unsigned int i = 0; i < 300; i++) {
		unsigned int n = 0;

		while (n < 10 &&
		       blk_add(&cl, n, BLK_T_IN, n, client_buf(&cl, BLK_DATA),
			       4096) >= 0) {
			n++;
		}
		client_kick(q);
		assert_int_equal(dev_vring_get(cl.fd, VHOST_GET_VRING_BASE, 0,
					       &base),
				 0);
		while (n > 0) {
			assert_true(
				client_wait(q, CONF_WAIT_MS, &id, &written));
			n--;
		}
	}
	assert_int_equal(dev_vring_get(cl.fd, VHOST_GET_VRING_BASE, 0, &base),
			 0);
	assert_int_equal(base, ring_base(&q->ring));
}

static void test_h69_started_twice(void **state)
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	for (unsigned int i = 0; i < 20; i++) {
		client_vq_enable(&cl, 0);
		client_driver_ok(&cl);
		assert_true(blk_works(&cl));
	}
}

/* ---- H70 ---- */

static void test_h70_opened_and_closed_1000_times(void **state)
{
	struct conf *c = *state;

	for (unsigned int i = 0; i < 1000; i++) {
		int fd = conf_open(c, conf_node(), O_RDWR);

		if (i % 3 == 0) {
			assert_int_equal(dev_set_owner(fd), 0);
		}
		conf_close(c, fd);
	}
	expect_blk_works(c);
}

static void test_h70_connections_that_never_speak(void **state)
{
	struct conf *c = *state;
	pid_t pid = daemon_pid();
	unsigned int before = daemon_n_fds(pid), n = 0;
	int fds[200];

	/* As many as are let in: the others are refused or wait, and nobody
	 * who speaks is kept waiting. */
	while (n < ARRAY_LEN(fds)) {
		fds[n] = daemon_connect(c);
		if (fds[n] < 0) {
			break;
		}
		n++;
	}
	assert_true(n > 0);
	expect_blk_works(c);
	while (n > 0) {
		conf_close(c, fds[--n]);
	}
	assert_in_range(daemon_settle_fds(pid, before), 0, before);
	expect_blk_works(c);
}

/* H63: what is no message of the shim's. */
static void test_h70_connections_that_speak_nonsense(void **state)
{
	struct conf *c = *state;
	pid_t pid = daemon_pid();
	unsigned int before = daemon_n_fds(pid);
	unsigned int seed = 70;
	uint8_t buf[1024];

	for (unsigned int i = 0; i < 300; i++) {
		int fd = daemon_connect(c);
		size_t len = 1 + (size_t)rand_r(&seed) % sizeof(buf);

		assert_true(fd >= 0);
		for (size_t k = 0; k < len; k++) {
			buf[k] = (uint8_t)rand_r(&seed);
		}
		(void)!write(fd, buf, len);
		conf_close(c, fd);
	}
	assert_in_range(daemon_settle_fds(pid, before), 0, before);
	expect_blk_works(c);
}

/* ---- H71 ---- */

static void test_h71_all_status_values_in_all_orders(void **state)
{
	struct conf *c = *state;
	int fd = conf_open(c, conf_node(), O_RDWR);

	for (unsigned int from = 0; from < 256; from += 5) {
		for (unsigned int to = 0; to < 256; to += 3) {
			int now, ret;

			assert_int_equal(dev_set_status(fd, 0), 0);
			(void)dev_set_status(fd, (uint8_t)from);
			now = dev_get_status(fd);
			ret = dev_set_status(fd, (uint8_t)to);
			if (to != 0 && ((unsigned int)now & ~to) != 0) {
				assert_int_equal(ret, -EINVAL);
				assert_int_equal(dev_get_status(fd), now);
			} else {
				assert_int_equal(ret, 0);
			}
		}
	}
}

/* ---- H90, H91 ---- */

/* One session with everything that a client can leave behind. */
static void leave_things(struct conf *c, const char *path)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	unsigned int fds = c->n_fds, mems = c->n_mems;

	client_start(&cl, c, path, BLK_FEATURES | F_INDIRECT, 1, 64);
	for (uint64_t i = 1; i <= 40; i++) {
		(void)dev_map(cl.fd, 0, i << 32, cl.mem.va, PAGE,
			      VHOST_ACCESS_RW);
	}
	for (unsigned int i = 0; i < 30; i++) {
		int event = conf_eventfd(c, 0);

		(void)dev_vring_fd(cl.fd, VHOST_SET_VRING_CALL, 0, event);
		(void)dev_vring_fd(cl.fd, VHOST_SET_VRING_KICK, 0, event);
		(void)dev_vring_fd(cl.fd, VHOST_SET_VRING_ERR, 0, event);
		(void)dev_vring_fd(cl.fd, VHOST_SET_VRING_ERR, 5, event);
		(void)dev_ioctl(cl.fd, VHOST_VDPA_SET_CONFIG_CALL, &event);
		conf_close(c, event);
	}
	(void)dev_vring_fd(cl.fd, VHOST_SET_VRING_KICK, 0, q->kick);
	(void)dev_vring_fd(cl.fd, VHOST_SET_VRING_CALL, 0, q->call);
	/* Requests of all kinds, good and bad. */
	for (unsigned int i = 0; i < 200; i++) {
		uint32_t written;
		uint16_t id;

		(void)blk_add(&cl, i % 64, i % 16, i * 7777ULL,
			      client_buf(&cl, BLK_DATA), i * 100);
		client_kick(q);
		if (!client_wait(q, CONF_WAIT_MS, &id, &written)) {
			fail_msg("request %u never came back", i);
		}
	}
	(void)dev_batch(cl.fd, 0, true);
	conf_close(c, cl.fd);
	conf_drop(c, fds, mems);
}

/* Growth that is none: arenas and caches of the allocator. */
#define GROWTH_KIB 2048

static void test_h90_h91_memory_and_descriptors_stay(void **state)
{
	struct conf *c = *state;
	pid_t pid = daemon_pid();
	const char *path = conf_node_of(CONF_DEVICE_BLK);
	unsigned int fds, after;
	unsigned long kib, grown;

	for (unsigned int i = 0; i < 20; i++) {
		leave_things(c, path);
	}
	fds = daemon_n_fds(pid);
	kib = daemon_memory_kib(pid);
	for (unsigned int i = 0; i < 150; i++) {
		leave_things(c, path);
	}
	after = daemon_settle_fds(pid, fds);
	grown = daemon_memory_kib(pid);
	print_message("# descriptors %u -> %u, memory %lu -> %lu KiB\n", fds,
		      after, kib, grown);
	assert_in_range(after, 0, fds);
	assert_in_range(grown, 0, kib + GROWTH_KIB);
}

/* The data path alone: many requests, all of them bad. */
static void test_h90_memory_stays_over_bad_requests(void **state)
{
	struct conf *c = *state;
	pid_t pid = daemon_pid();
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	struct ring_piece pieces[3] = {
		{ 0xdead0000, 16, false },
		{ 0xdead1000, 70000, true },
		{ 0xdead2000, 1, true },
	};
	unsigned long kib = 0;

	blk_start(&cl, c, 256, BLK_FEATURES);
	for (unsigned int round = 0; round < 3000; round++) {
		unsigned int n = 0;
		uint32_t written;
		uint16_t id;

		while (ring_add(&q->ring, pieces, 3, false) >= 0) {
			n++;
		}
		client_kick(q);
		for (; n > 0; n--) {
			assert_true(
				client_wait(q, CONF_WAIT_MS, &id, &written));
			assert_int_equal(written, 0);
		}
		if (round == 500) {
			kib = daemon_memory_kib(pid);
		}
	}
	assert_in_range(daemon_memory_kib(pid), 0, kib + GROWTH_KIB);
	assert_true(blk_works(&cl));
}

/* ---- H92 ---- */

/* Requests as large as they get, as many as there is room for, and kicks
 * without end. */
static void flood(struct conf *c, const char *path, int pipe_fd)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	uint32_t written;
	uint16_t id;

	client_start(&cl, c, path, BLK_FEATURES, 1, 256);
	for (unsigned int rounds = 0;; rounds++) {
		while (blk_add(&cl, 0, BLK_T_IN, 0, client_buf(&cl, BLK_DATA),
			       0x100000) >= 0) {
		}
		client_kick(q);
		while (ring_pop(&q->ring, &id, &written)) {
		}
		if (rounds == 10) {
			(void)!write(pipe_fd, "x", 1);
		}
	}
}

static void test_h92_a_flooded_device_does_not_stop_another(void **state)
{
	struct conf *c = *state;
	const char *blk = conf_node_of(CONF_DEVICE_BLK);
	const char *net = conf_node_of(CONF_DEVICE_NET);
	unsigned long start, longest = 0;
	unsigned int n_slow = 0;
	struct client cl;
	int pipes[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	conf_keep_fd(c, pipes[0]);
	pid = conf_fork(c);
	if (pid == 0) {
		flood(c, blk, pipes[1]);
	}
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 1);

	/* Control as well as data. */
	client_start(&cl, c, net, NET_FEATURES, 3, 64);
	for (uint8_t i = 0; i < 100; i++) {
		start = conf_now_ms();
		assert_true(net_works(&cl, i));
		assert_int_equal(dev_get_status(cl.fd), S_READY);
		start = conf_now_ms() - start;
		n_slow += start > 1000;
		if (start > longest) {
			longest = start;
		}
	}
	print_message("# longest round trip beside a flood: %lu ms\n", longest);
	/* Some may be slow because this process had to wait for a CPU; a
	 * device that waits for another one is slow each time. */
	assert_in_range(n_slow, 0, 10);
	conf_kill(c, pid);
	expect_blk_works(c);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_h60_every_field_at_every_edge),
	CONF_TEST(test_h64_random_walk_net),
	CONF_TEST(test_h64_random_walk_blk),
	CONF_TEST(test_h64_two_random_walks_at_once),
	CONF_TEST_BOTH(test_h69_base_is_read_while_the_ring_runs),
	CONF_TEST_BOTH(test_h69_started_twice),
	CONF_TEST(test_h70_opened_and_closed_1000_times),
	CONF_TEST(test_h70_connections_that_never_speak),
	CONF_TEST(test_h70_connections_that_speak_nonsense),
	CONF_TEST(test_h71_all_status_values_in_all_orders),
	CONF_TEST_BOTH(test_h90_h91_memory_and_descriptors_stay),
	CONF_TEST_BOTH(test_h90_memory_stays_over_bad_requests),
	CONF_TEST_BOTH(test_h92_a_flooded_device_does_not_stop_another),
};

TEST_MAIN("conformance/hostile")
