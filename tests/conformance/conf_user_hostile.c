/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: vhost-user, front ends that send anything. H62, H63, H64.
 *
 * Every test ends with a device that works for the next front end, another
 * device that never noticed, and as many descriptors in the daemon as before.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/blk.h"
#include "lib/daemon.h"
#include "lib/net.h"

#define NUM 16

/* ---- what holds before and after ---- */

struct world {
	struct conf *c;
	struct client net; /* the other device, running all the time */
	pid_t pid;
	unsigned int n_fds;
};

static void world_begin(struct world *w, void **state)
{
	w->c = *state;
	conf_product_only("no stranger survives this");
	w->pid = daemon_pid();
	net_start(&w->net, w->c, 64, NET_FEATURES);
	assert_true(net_works(&w->net, 1));
	w->n_fds = daemon_n_fds(w->pid);
}

static void expect_blk_works(struct conf *c)
{
	struct client cl;

	blk_start(&cl, c, NUM, BLK_FEATURES);
	assert_true(blk_works(&cl));
	client_close(&cl);
}

static void world_end(struct world *w)
{
	expect_blk_works(w->c);
	assert_true(net_works(&w->net, 2));
	assert_in_range(daemon_settle_fds(w->pid, w->n_fds), 0, w->n_fds);
}

static void connect_blk(struct vu *vu, struct conf *c)
{
	vu_connect(vu, c, conf_node_of(CONF_DEVICE_BLK), VU_P_USUAL);
}

/* After a message that may have ended the connection. */
static void connect_again(struct vu *vu)
{
	struct conf *c = vu->c;

	if (!vu_is_alive(vu)) {
		vu_close(vu);
		connect_blk(vu, c);
	}
}

/* ---- H62: descriptors ---- */

/* One of each kind that there is. */
enum {
	KINDS = 7
};

static void make_kinds(struct conf *c, int fds[KINDS])
{
	int pipes[2], sockets[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	fds[0] = conf_eventfd(c, 0);
	fds[1] = conf_memfd(c, 0x10000).fd;
	fds[2] = pipes[0];
	fds[3] = pipes[1];
	fds[4] = sockets[0];
	fds[5] = sockets[1];
	fds[6] = conf_open(c, "/", O_RDONLY | O_DIRECTORY);
	for (unsigned int i = 2; i < 6; i++) {
		conf_keep_fd(c, fds[i]);
	}
}

static void test_h62_any_number_of_descriptors_with_any_message(void **state)
{
	static const uint32_t sizes[] = { 0, 8, 20, 24, 40 };
	const union vu_payload zeroes = { 0 };
	struct world w;
	struct vu vu;
	int kinds[KINDS];

	world_begin(&w, state);
	make_kinds(w.c, kinds);
	connect_blk(&vu, w.c);
	for (uint32_t request = 0; request < VU_REQUESTS; request++) {
		for (unsigned int n = 0; n <= 9; n++) {
			int fds[9];

			for (unsigned int i = 0; i < n; i++) {
				fds[i] = kinds[(request + i) % KINDS];
			}
			(void)vu_send(vu.fd, request, 0, &zeroes,
				      sizes[(request + n) % ARRAY_LEN(sizes)],
				      fds, n);
			vu_close(&vu);
			connect_blk(&vu, w.c);
		}
	}
	vu_close(&vu);
	world_end(&w);
}

/* The right number, the wrong kind: it is refused or harmless. */
static void test_h62_any_kind_of_descriptor(void **state)
{
	static const struct {
		uint32_t request, size;
	} takers[] = {
		{ VU_SET_VRING_KICK, 8 },      { VU_SET_VRING_CALL, 8 },
		{ VU_SET_VRING_ERR, 8 },       { VU_SET_LOG_FD, 0 },
		{ VU_SET_LOG_BASE, 16 },       { VU_SET_BACKEND_REQ_FD, 0 },
		{ VU_SET_INFLIGHT_FD, 24 },    { VU_ADD_MEM_REG, 40 },
		{ VU_SET_DEVICE_STATE_FD, 8 },
	};
	const union vu_payload zeroes = { 0 };
	struct world w;
	int kinds[KINDS];

	world_begin(&w, state);
	make_kinds(w.c, kinds);
	for (size_t t = 0; t < ARRAY_LEN(takers); t++) {
		for (unsigned int i = 0; i < KINDS; i++) {
			unsigned int n_fds = w.c->n_fds, n_mems = w.c->n_mems;
			struct client cl;

			blk_start(&cl, w.c, NUM, BLK_FEATURES);
			(void)vu_send(cl.vu.fd, takers[t].request, 0, &zeroes,
				      takers[t].size, &kinds[i], 1);
			(void)blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0);
			client_kick(&cl.vqs[0]);
			conf_drop(w.c, n_fds, n_mems);
		}
	}
	world_end(&w);
}

/* Each replaces the one before, which is closed. */
static void test_h62_descriptors_that_are_replaced(void **state)
{
	struct world w;
	struct client cl;
	unsigned int n;

	world_begin(&w, state);
	blk_start(&cl, w.c, NUM, BLK_FEATURES);
	n = daemon_n_fds(w.pid);
	for (unsigned int i = 0; i < 200; i++) {
		int event = conf_eventfd(w.c, 0);

		assert_int_equal(vu_set_vring_fd(&cl.vu, VU_SET_VRING_CALL, 0,
						 event),
				 0);
		assert_int_equal(vu_set_vring_fd(&cl.vu, VU_SET_VRING_KICK, 0,
						 event),
				 0);
		assert_int_equal(
			vu_set_vring_fd(&cl.vu, VU_SET_VRING_ERR, 0, event), 0);
		conf_close(w.c, event);
	}
	assert_in_range(daemon_n_fds(w.pid), 0, n + 1);
	client_close(&cl);
	world_end(&w);
}

/* Those that come with each byte of one message count together. */
static void test_h62_descriptors_with_every_byte(void **state)
{
	struct vu_header hdr = { VU_GET_FEATURES, VU_VERSION, 0 };
	struct world w;
	struct vu vu;
	int event;

	world_begin(&w, state);
	event = conf_eventfd(w.c, 0);
	connect_blk(&vu, w.c);
	for (unsigned int i = 0; i < sizeof(hdr); i++) {
		if (vu_write(vu.fd, (char *)&hdr + i, 1, &event, 1) < 0) {
			break;
		}
	}
	assert_true(vu_is_closed(&vu));
	vu_close(&vu);
	world_end(&w);
}

/* ---- H63: sizes ---- */

static void test_h63_any_size_of_any_message(void **state)
{
	const union vu_payload zeroes = { 0 };
	struct world w;
	struct vu vu;

	world_begin(&w, state);
	connect_blk(&vu, w.c);
	for (uint32_t request = 0; request < VU_REQUESTS; request++) {
		for (uint32_t size = 0; size <= sizeof(zeroes); size += 4) {
			(void)vu_send(vu.fd, request, VU_NEED_REPLY, &zeroes,
				      size, NULL, 0);
			vu_close(&vu);
			connect_blk(&vu, w.c);
		}
	}
	vu_close(&vu);
	world_end(&w);
}

static void test_h63_sizes_that_nobody_has_room_for(void **state)
{
	static const uint32_t sizes[] = { 269,	      1000,	  4096,
					  0x10000,    0x7fffffff, 0x80000000,
					  0xfffffff4, 0xffffffff };
	struct world w;

	world_begin(&w, state);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct vu_header hdr = { VU_SET_MEM_TABLE, VU_VERSION,
					 sizes[i] };
		struct vu vu;

		connect_blk(&vu, w.c);
		assert_int_equal(vu_write(vu.fd, &hdr, sizeof(hdr), NULL, 0),
				 sizeof(hdr));
		assert_true(vu_is_closed(&vu));
		vu_close(&vu);
	}
	world_end(&w);
}

static void test_h63_wrong_flags(void **state)
{
	static const uint32_t flags[] = { 0, 2, 3, 4, 5, 0xfffffffe, 0xd };
	struct world w;

	world_begin(&w, state);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		struct vu_header hdr = { VU_GET_FEATURES, flags[i], 0 };
		struct vu vu;

		connect_blk(&vu, w.c);
		assert_int_equal(vu_write(vu.fd, &hdr, sizeof(hdr), NULL, 0),
				 sizeof(hdr));
		assert_true(vu_is_closed(&vu));
		vu_close(&vu);
	}
	world_end(&w);
}

/* A message may come in any pieces, and several in one. */
static void test_h63_messages_in_single_bytes_and_in_one(void **state)
{
	struct {
		struct vu_header hdr;
		uint64_t u64;
	} set[20];
	struct world w;
	struct vu_msg msg;
	struct vu vu;

	world_begin(&w, state);
	connect_blk(&vu, w.c);
	_Static_assert(sizeof(set[0]) == 24, "with padding");
	for (unsigned int i = 0; i < 20; i++) {
		char *at = (char *)set + i * 20;
		struct vu_header hdr = { VU_SET_FEATURES,
					 VU_VERSION | VU_NEED_REPLY, 8 };
		uint64_t u64 = F_VERSION_1 | VU_F_PROTOCOL;

		memcpy(at, &hdr, 12);
		memcpy(at + 12, &u64, 8);
	}
	for (unsigned int i = 0; i < 400; i++) {
		assert_int_equal(vu_write(vu.fd, (char *)set + i, 1, NULL, 0),
				 1);
	}
	assert_int_equal(vu_write(vu.fd, set, 400, NULL, 0), 400);
	for (unsigned int i = 0; i < 40; i++) {
		assert_int_equal(vu_recv(&vu, vu.fd, &msg, CONF_WAIT_MS), 0);
		assert_int_equal(msg.hdr.request, VU_SET_FEATURES);
		assert_int_equal(msg.p.u64, 0);
	}
	vu_close(&vu);
	world_end(&w);
}

/* The rest of it never comes: the deadline ends the connection, and meanwhile
 * nobody else waits. */
static void test_h63_half_a_message(void **state)
{
	struct vu_header hdr = { VU_SET_FEATURES, VU_VERSION, 8 };
	unsigned long start = conf_now_ms();
	struct world w;
	struct vu vu;
	uint8_t tag = 0;

	world_begin(&w, state);
	connect_blk(&vu, w.c);
	assert_int_equal(vu_write(vu.fd, &hdr, sizeof(hdr), NULL, 0),
			 sizeof(hdr));
	for (;;) {
		struct pollfd p = { .fd = vu.fd, .events = POLLIN };

		assert_true(net_works(&w.net, tag++));
		if (poll(&p, 1, 50) == 1) {
			break;
		}
		assert_true(conf_now_ms() - start < CONF_WAIT_MS);
	}
	assert_true(vu_is_closed(&vu));
	vu_close(&vu);
	world_end(&w);
}

/* It asks and asks, and never reads an answer. */
static void test_h63_answers_that_nobody_reads(void **state)
{
	struct vu_header hdr = { VU_GET_FEATURES, VU_VERSION, 0 };
	struct world w;
	struct vu vu;

	world_begin(&w, state);
	connect_blk(&vu, w.c);
	assert_int_equal(fcntl(vu.fd, F_SETFL, O_NONBLOCK), 0);
	while (vu_write(vu.fd, &hdr, sizeof(hdr), NULL, 0) == sizeof(hdr)) {
	}
	assert_true(net_works(&w.net, 7));
	vu_close(&vu);
	world_end(&w);
}

/* ---- H64: any message in any state ---- */

struct walk {
	struct client cl;
	struct conf_mem mem;
	uint32_t seed;
	unsigned int n_connects;
	int kinds[KINDS];
};

static uint32_t pick(struct walk *w, uint32_t n)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)(w->seed >> 4) * n) >> 28);
}

static uint64_t pick_number(struct walk *w)
{
	static const uint64_t edges[] = {
		0,
		1,
		2,
		3,
		8,
		16,
		256,
		4095,
		4096,
		0x7fff,
		0xffff,
		0x10000,
		CLIENT_IOVA,
		CLIENT_BYTES,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x100000000,
		0x7fffffffffffffff,
		0x8000000000000000,
		0xfffffffffffff000,
		0xffffffffffffffff,
	};

	return edges[pick(w, ARRAY_LEN(edges))];
}

/* Replies are thrown away, with whatever comes beside them. Return: is the
 * connection still there? */
static bool drain(struct walk *w)
{
	char buf[4096];
	ssize_t n;

	do {
		n = recv(w->cl.vu.fd, buf, sizeof(buf), MSG_DONTWAIT);
	} while (n > 0);
	return n < 0 && errno == EAGAIN;
}

static void send_any(struct walk *w, uint32_t request, const void *payload,
		     uint32_t size, int fd)
{
	(void)vu_send(w->cl.vu.fd, request, pick(w, 2) ? VU_NEED_REPLY : 0,
		      payload, size, &fd, fd >= 0);
}

/* Nonsense, of a likely size. */
static void step_any(struct walk *w)
{
	static const uint32_t sizes[] = { 0,  8,  8,  8,  12, 16, 20,
					  24, 26, 32, 40, 40, 268 };
	uint32_t words[sizeof(union vu_payload) / 4] = { 0 };

	for (unsigned int i = 0; i < 12; i++) {
		uint64_t n = pick_number(w);

		memcpy(&words[i], &n, i % 2 ? 4 : 8);
	}
	if (pick(w, 2)) {
		words[0] = pick(w, 3); /* an index that may be right */
	}
	send_any(w,
		 pick(w, 50) ? pick(w, VU_REQUESTS) : (uint32_t)pick_number(w),
		 words, sizes[pick(w, ARRAY_LEN(sizes))],
		 pick(w, 3) ? -1 : w->kinds[pick(w, KINDS)]);
}

/* What makes sense, so that the walk gets anywhere. */
static void step_forward(struct walk *w)
{
	struct client *cl = &w->cl;
	uint64_t va = (uintptr_t)cl->mem.va;
	uint64_t u64 = F_VERSION_1 | VU_F_PROTOCOL |
		       (pick(w, 2) ? F_PACKED : 0) |
		       (pick(w, 8) ? 0 : F_ACCESS_PLATFORM) |
		       (pick(w, 4) ? 0 : VU_F_LOG_ALL);
	union vu_payload p = { 0 };

	switch (pick(w, 12)) {
	case 0:
		send_any(w, VU_SET_FEATURES, &u64, 8, -1);
		break;
	case 1:
		u64 = cl->vu.offered_protocol & ~(pick(w, 4) ? VU_P_INBAND : 0);
		send_any(w, VU_SET_PROTOCOL_FEATURES, &u64, 8, -1);
		break;
	case 2:
		p.table.n = 1;
		p.table.regions[0] =
			(struct vu_region){ CLIENT_IOVA, cl->mem.size, va, 0 };
		send_any(w, VU_SET_MEM_TABLE, &p, 40, cl->mem.fd);
		break;
	case 3:
		p.state.num = NUM;
		send_any(w, VU_SET_VRING_NUM, &p, 8, -1);
		break;
	case 4:
		p.addr = (struct vu_addr){ 0,
					   pick(w, 2),
					   va,
					   va + RING_DEVICE,
					   va + RING_DRIVER,
					   0x1000 };
		send_any(w, VU_SET_VRING_ADDR, &p, 40, -1);
		break;
	case 5:
		send_any(w, VU_SET_VRING_KICK, &p, 8, cl->vqs[0].kick);
		break;
	case 6:
		p.state.num = pick(w, 4) != 0;
		send_any(w, VU_SET_VRING_ENABLE, &p, 8, -1);
		break;
	case 7:
		send_any(w, VU_GET_VRING_BASE, &p, 8, -1);
		break;
	case 8:
		p.log.size = 0x10000;
		send_any(w, VU_SET_LOG_BASE, &p, 16, w->mem.fd);
		break;
	case 9:
		p.inflight = (struct vu_inflight){ 0x1000, 0, 1, NUM, 0 };
		send_any(w,
			 pick(w, 2) ? VU_SET_INFLIGHT_FD : VU_GET_INFLIGHT_FD,
			 &p, 24, w->mem.fd);
		break;
	case 10:
		p.iotlb = (struct vu_iotlb){
			CLIENT_IOVA, cl->mem.size,	  va,
			3,	     (uint8_t)pick(w, 5), { 0 }
		};
		send_any(w, VU_IOTLB_MSG, &p, 32, -1);
		break;
	default:
		for (unsigned int i = 0; i < 32; i++) {
			cl->mem.va[pick(w, 0x4800)] = (char)pick_number(w);
			w->mem.va[pick(w, 0x400)] = (char)pick_number(w);
		}
		client_kick(&cl->vqs[0]);
		break;
	}
}

static void walk_connect(struct walk *w)
{
	vu_connect(&w->cl.vu, w->cl.c, conf_node_of(CONF_DEVICE_BLK),
		   VU_P_USUAL);
	w->n_connects++;
}

static void walk_begin(struct walk *w, struct conf *c, uint32_t seed)
{
	*w = (struct walk){ .seed = seed };
	client_init(&w->cl, c, -1);
	client_vq_init(&w->cl, 0, NUM);
	w->mem = conf_memfd(c, 0x10000);
	make_kinds(c, w->kinds);
	walk_connect(w);
}

/* CONFORMANCE_SEED chooses another walk. */
static void test_h64_random_walk(void **state)
{
	const char *seed = getenv("CONFORMANCE_SEED");
	struct world world;
	struct walk w;

	world_begin(&world, state);
	walk_begin(&w, world.c, seed ? (uint32_t)strtoul(seed, NULL, 0) : 64);
	print_message("# seed %u\n", w.seed);
	for (unsigned int i = 0; i < 12000; i++) {
		if (pick(&w, 3)) {
			step_forward(&w);
		} else {
			step_any(&w);
		}
		if (!drain(&w)) {
			vu_close(&w.cl.vu);
			walk_connect(&w);
		}
		if (i % 1000 == 0) {
			assert_true(net_works(&world.net, (uint8_t)i));
		}
	}
	print_message("# %u connections\n", w.n_connects);
	vu_close(&w.cl.vu);
	world_end(&world);
}

/* The same messages, but each waited for: so that none is lost because an
 * earlier one ended the connection. */
static void test_h64_random_walk_with_pauses(void **state)
{
	struct world world;
	struct walk w;

	world_begin(&world, state);
	walk_begin(&w, world.c, 6464);
	for (unsigned int i = 0; i < 3000; i++) {
		if (pick(&w, 4)) {
			step_forward(&w);
		} else {
			step_any(&w);
		}
		(void)vu_send(w.cl.vu.fd, VU_GET_FEATURES, 0, NULL, 0, NULL, 0);
		for (;;) {
			struct vu_header hdr;
			char rest[sizeof(union vu_payload)];

			if (recv(w.cl.vu.fd, &hdr, sizeof(hdr), MSG_WAITALL) !=
			    sizeof(hdr)) {
				vu_close(&w.cl.vu);
				walk_connect(&w);
				break;
			}
			assert_in_range(hdr.size, 0, sizeof(rest));
			(void)recv(w.cl.vu.fd, rest, hdr.size, MSG_WAITALL);
			if (hdr.request == VU_GET_FEATURES) {
				break;
			}
		}
	}
	print_message("# %u connections\n", w.n_connects);
	vu_close(&w.cl.vu);
	world_end(&world);
}

/* What is no message, from the first byte on. */
static void test_h64_noise(void **state)
{
	struct world w;
	unsigned int seed = 64;
	uint8_t buf[1024];

	world_begin(&w, state);
	for (unsigned int i = 0; i < 300; i++) {
		size_t len = 1 + (size_t)rand_r(&seed) % sizeof(buf);
		struct vu vu;

		for (size_t k = 0; k < len; k++) {
			buf[k] = (uint8_t)rand_r(&seed);
		}
		if (i % 2) { /* believable at first */
			struct vu_header hdr = { (uint32_t)rand_r(&seed) % 46,
						 VU_VERSION,
						 (uint32_t)rand_r(&seed) %
							 280 };

			memcpy(buf, &hdr, len < 12 ? len : 12);
		}
		assert_int_equal(vu_try_connect(&vu, w.c,
						conf_node_of(CONF_DEVICE_BLK)),
				 0);
		(void)vu_write(vu.fd, buf, len, NULL, 0);
		vu_close(&vu);
	}
	connect_blk(&(struct vu){ 0 }, w.c);
	conf_drop(w.c, w.c->n_fds - 1, w.c->n_mems);
	world_end(&w);
}

static void test_h62_h63_the_connection_outlives_refusals(void **state)
{
	const union vu_payload zeroes = { 0 };
	struct world w;
	struct vu vu;
	unsigned int n_lost = 0;

	world_begin(&w, state);
	connect_blk(&vu, w.c);
	for (uint32_t request = 45; request < 300; request++) {
		struct vu before = vu;

		(void)vu_send(vu.fd, request, VU_NEED_REPLY, &zeroes, 8, NULL,
			      0);
		{
			struct vu_msg msg;

			assert_int_equal(
				vu_recv(&vu, vu.fd, &msg, CONF_WAIT_MS), 0);
			assert_true(msg.p.u64 != 0);
		}
		connect_again(&vu);
		n_lost += vu.fd != before.fd;
	}
	assert_int_equal(n_lost, 0);
	vu_close(&vu);
	world_end(&w);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_h62_any_number_of_descriptors_with_any_message),
	CONF_TEST_BOTH(test_h62_any_kind_of_descriptor),
	CONF_TEST(test_h62_descriptors_that_are_replaced),
	CONF_TEST(test_h62_descriptors_with_every_byte),
	CONF_TEST(test_h62_h63_the_connection_outlives_refusals),
	CONF_TEST(test_h63_any_size_of_any_message),
	CONF_TEST(test_h63_sizes_that_nobody_has_room_for),
	CONF_TEST(test_h63_wrong_flags),
	CONF_TEST(test_h63_messages_in_single_bytes_and_in_one),
	CONF_TEST(test_h63_half_a_message),
	CONF_TEST(test_h63_answers_that_nobody_reads),
	CONF_TEST(test_h64_random_walk),
	CONF_TEST(test_h64_random_walk_with_pauses),
	CONF_TEST(test_h64_noise),
};

TEST_MAIN("conformance/user_hostile")
