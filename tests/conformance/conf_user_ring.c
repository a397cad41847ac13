/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: vhost-user, rings. When they run, where they go on, and what may
 * change meanwhile. H25, H26, H27, H60, H69.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <unistd.h>

#include "lib/blk.h"
#include "lib/net.h"

#define NUM 16

static void open_blk(struct client *cl, void **state)
{
	client_open_user(cl, *state, conf_node_of(CONF_DEVICE_BLK), VU_P_USUAL);
}

static void start(struct client *cl, void **state)
{
	blk_start(cl, *state, NUM, BLK_FEATURES);
}

static int set(struct client *cl, uint32_t request, uint32_t num)
{
	return vu_set_state(&cl->vu, request, 0, num);
}

static uint32_t get_base(struct client *cl)
{
	uint32_t base = 0;

	assert_int_equal(vu_get_base(&cl->vu, 0, &base), 0);
	return base;
}

static void must_finish(struct client *cl)
{
	uint32_t written;
	uint16_t id;

	assert_true(client_wait(&cl->vqs[0], CONF_WAIT_MS, &id, &written));
	assert_int_equal(blk_status(cl, 0), BLK_S_OK);
}

/* A request that waits, and its kick. */
static void add_flush(struct client *cl)
{
	assert_true(blk_add(cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
	client_kick(&cl->vqs[0]);
}

/* ---- states ---- */

/* The ring with all that it needs, but neither started nor enabled. */
static void prepare(struct client *cl, void **state)
{
	open_blk(cl, state);
	client_negotiate(cl, BLK_FEATURES);
	client_map(cl);
	client_vq_init(cl, 0, NUM);
	assert_int_equal(set(cl, VU_SET_VRING_NUM, NUM), 0);
	assert_int_equal(
		set(cl, VU_SET_VRING_BASE, ring_base(&cl->vqs[0].ring)), 0);
	client_vq_set_addr(cl, 0);
	assert_int_equal(vu_set_vring_fd(&cl->vu, VU_SET_VRING_CALL, 0,
					 cl->vqs[0].call),
			 0);
	client_driver_ok(cl);
}

static void test_a_ring_that_is_not_started_is_left_alone(void **state)
{
	struct client cl;

	prepare(&cl, state);
	assert_int_equal(set(&cl, VU_SET_VRING_ENABLE, 1), 0);
	add_flush(&cl);
	assert_true(client_is_quiet(&cl.vqs[0]));
	assert_int_equal(vu_set_vring_fd(&cl.vu, VU_SET_VRING_KICK, 0,
					 cl.vqs[0].kick),
			 0);
	must_finish(&cl);
}

/* Its kick comes before it is enabled, and is not lost. */
static void test_a_ring_that_is_not_enabled_is_left_alone(void **state)
{
	struct client cl;

	prepare(&cl, state);
	conf_product_only("qemu-storage-daemon does not look");
	assert_int_equal(vu_set_vring_fd(&cl.vu, VU_SET_VRING_KICK, 0,
					 cl.vqs[0].kick),
			 0);
	add_flush(&cl);
	assert_true(client_is_quiet(&cl.vqs[0]));
	assert_int_equal(set(&cl, VU_SET_VRING_ENABLE, 1), 0);
	must_finish(&cl);
}

static void test_disabled_and_enabled_again(void **state)
{
	struct client cl;

	start(&cl, state);
	conf_product_only("qemu-storage-daemon does not look");
	for (unsigned int i = 0; i < 20; i++) {
		assert_true(blk_works(&cl));
		assert_int_equal(set(&cl, VU_SET_VRING_ENABLE, 0), 0);
		add_flush(&cl);
		if (i == 0) {
			assert_true(client_is_quiet(&cl.vqs[0]));
		}
		assert_int_equal(set(&cl, VU_SET_VRING_ENABLE, 1), 0);
		must_finish(&cl);
	}
}

/* Front ends that know nothing of protocol features never enable. */
static void test_without_bit_30_a_ring_is_enabled(void **state)
{
	struct client cl;

	client_open_user(&cl, *state, conf_node_of(CONF_DEVICE_BLK), 0);
	conf_product_only("qemu-storage-daemon insists on bit 30");
	client_negotiate(&cl, BLK_FEATURES);
	assert_int_equal(vu_set_u64(&cl.vu, VU_SET_FEATURES, cl.features), 0);
	client_map(&cl);
	client_vq_init(&cl, 0, NUM);
	client_vq_set(&cl, 0);
	assert_true(blk_works(&cl));
}

/* Others forget the call descriptor, too, when a ring is stopped. */
static void start_again(struct client *cl)
{
	struct client_vq *q = &cl->vqs[0];

	assert_int_equal(
		vu_set_vring_fd(&cl->vu, VU_SET_VRING_CALL, 0, q->call), 0);
	assert_int_equal(
		vu_set_vring_fd(&cl->vu, VU_SET_VRING_KICK, 0, q->kick), 0);
	client_kick(q);
}

static void test_get_base_stops_the_ring(void **state)
{
	struct client cl;
	uint32_t base;

	start(&cl, state);
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(blk_works(&cl));
		base = get_base(&cl);
		assert_int_equal(base, ring_base(&cl.vqs[0].ring));
		add_flush(&cl);
		assert_true(client_is_quiet(&cl.vqs[0]));
		assert_int_equal(set(&cl, VU_SET_VRING_BASE, base), 0);
		start_again(&cl);
		must_finish(&cl);
	}
}

/* H69: everything that was taken is done when the answer is there. */
static void test_h69_get_base_finishes_what_was_begun(void **state)
{
	struct client cl;
	struct ring *r = &cl.vqs[0].ring;

	blk_start(&cl, *state, 64, BLK_FEATURES);
	for (unsigned int round = 0; round < 50; round++) {
		uint32_t written, base;
		unsigned int n = 0;
		uint16_t id;

		while (n < 20 &&
		       blk_add(&cl, n, BLK_T_IN, n, client_buf(&cl, BLK_DATA),
			       65536) >= 0) {
			n++;
		}
		client_kick(&cl.vqs[0]);
		base = get_base(&cl);
		while (ring_pop(r, &id, &written)) {
			n--;
		}
		/* The rest was never looked at. */
		if (n == 0) {
			assert_int_equal(base, ring_base(r));
		}
		assert_int_equal(set(&cl, VU_SET_VRING_BASE, base), 0);
		start_again(&cl);
		for (; n > 0; n--) {
			assert_true(client_wait(&cl.vqs[0], CONF_WAIT_MS, &id,
						&written));
		}
	}
}

static void test_h69_started_twice(void **state)
{
	struct client cl;

	start(&cl, state);
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(vu_set_vring_fd(&cl.vu, VU_SET_VRING_KICK, 0,
						 cl.vqs[0].kick),
				 0);
		assert_int_equal(set(&cl, VU_SET_VRING_ENABLE, 1), 0);
		assert_true(blk_works(&cl));
	}
}

/* ---- base ---- */

static void test_base_is_kept_for_a_ring_that_never_ran(void **state)
{
	struct client cl;

	open_blk(&cl, state);
	client_negotiate(&cl, BLK_FEATURES);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t base = cl.c->is_packed ? 0x80038003 + i : 1000 * i;

		assert_int_equal(set(&cl, VU_SET_VRING_BASE, base), 0);
		assert_int_equal(get_base(&cl), base);
	}
}

/* As a migration does: another connection goes on where one stopped. */
static void test_base_goes_from_one_connection_to_the_next(void **state)
{
	struct client cl;
	struct ring *r = &cl.vqs[0].ring;
	struct conf_mem mem;

	start(&cl, state);
	for (unsigned int i = 0; i < 30; i++) {
		struct client next;
		uint32_t base;

		for (unsigned int k = 0; k <= i; k++) {
			assert_true(blk_works(&cl));
		}
		base = get_base(&cl);
		assert_int_equal(base, ring_base(r));
		mem = cl.mem;
		client_close(&cl);

		open_blk(&next, state);
		client_negotiate(&next, BLK_FEATURES);
		cl.vu = next.vu;
		cl.fd = next.fd;
		cl.mem = mem;
		client_map(&cl);
		client_vq_set(&cl, 0);
		client_vq_enable(&cl, 0);
		client_driver_ok(&cl);
	}
	assert_true(blk_works(&cl));
}

/* The index of a split ring has 16 bits, wherever it starts. */
static void test_base_near_the_end_of_its_range(void **state)
{
	struct client cl;
	struct ring *r = &cl.vqs[0].ring;

	open_blk(&cl, state);
	client_negotiate(&cl, BLK_FEATURES);
	client_map(&cl);
	client_vq_init(&cl, 0, NUM);
	ring_set_base(r, cl.c->is_packed ? 0x000e000e : 65530);
	client_vq_set(&cl, 0);
	client_vq_enable(&cl, 0);
	client_driver_ok(&cl);
	for (unsigned int i = 0; i < 40; i++) {
		assert_true(blk_works(&cl));
	}
	assert_int_equal(get_base(&cl), ring_base(r));
}

/* ---- the order of messages ---- */

enum step {
	S_NUM,
	S_BASE,
	S_ADDR,
	S_KICK,
	S_CALL,
	S_ENABLE,
	S_STEPS
};

static void take(struct client *cl, enum step step)
{
	struct client_vq *q = &cl->vqs[0];

	switch (step) {
	case S_NUM:
		assert_int_equal(set(cl, VU_SET_VRING_NUM, NUM), 0);
		break;
	case S_BASE:
		assert_int_equal(
			set(cl, VU_SET_VRING_BASE, ring_base(&q->ring)), 0);
		break;
	case S_ADDR:
		client_vq_set_addr(cl, 0);
		break;
	case S_KICK:
		assert_int_equal(vu_set_vring_fd(&cl->vu, VU_SET_VRING_KICK, 0,
						 q->kick),
				 0);
		break;
	case S_CALL:
		assert_int_equal(vu_set_vring_fd(&cl->vu, VU_SET_VRING_CALL, 0,
						 q->call),
				 0);
		break;
	default:
		client_vq_enable(cl, 0);
		break;
	}
}

/* The n-th order of all. Return: whether size and base come before the ring is
 * complete: later they are an error. */
static bool order(unsigned int n, enum step ret[S_STEPS])
{
	enum step left[S_STEPS] = { S_NUM,  S_BASE, S_ADDR,
				    S_KICK, S_CALL, S_ENABLE };
	unsigned int complete = 0, settled = 0;

	for (unsigned int i = 0; i < S_STEPS; i++) {
		unsigned int k = n % (S_STEPS - i);

		n /= S_STEPS - i;
		ret[i] = left[k];
		memmove(&left[k], &left[k + 1],
			(S_STEPS - i - k - 1) * sizeof(left[0]));
		if (ret[i] == S_NUM || ret[i] == S_BASE) {
			settled = i;
		} else if (ret[i] != S_CALL) {
			complete = i;
		}
	}
	return settled < complete;
}

static void test_messages_of_a_ring_in_all_orders(void **state)
{
	unsigned int n_good = 0;

	for (unsigned int n = 0; n < 720; n++) {
		struct conf *c = *state;
		unsigned int n_fds = c->n_fds;
		enum step steps[S_STEPS];
		struct client cl;

		if (!order(n, steps)) {
			continue;
		}
		n_good++;
		open_blk(&cl, state);
		client_negotiate(&cl, BLK_FEATURES);
		client_map(&cl);
		client_vq_init(&cl, 0, NUM);
		for (unsigned int i = 0; i < S_STEPS; i++) {
			take(&cl, steps[i]);
		}
		assert_true(blk_works(&cl));
		conf_drop(c, n_fds, 0);
	}
	assert_int_equal(n_good, 432);
}

/* ---- descriptors ---- */

static void test_call_and_kick_change_while_the_ring_runs(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];

	start(&cl, state);
	for (unsigned int i = 0; i < 30; i++) {
		int old = i % 2 ? q->call : q->kick;

		if (i % 2) {
			q->call = conf_eventfd(cl.c, 0);
		} else {
			q->kick = conf_eventfd(cl.c, 0);
		}
		take(&cl, i % 2 ? S_CALL : S_KICK);
		conf_close(cl.c, old);
		assert_true(blk_works(&cl));
	}
}

static void test_without_a_call_nobody_is_called(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	unsigned long end = conf_now_ms() + CONF_WAIT_MS;
	uint32_t written;
	uint16_t id;

	start(&cl, state);
	conf_product_only("qemu-storage-daemon calls the old one");
	assert_int_equal(vu_set_vring_fd(&cl.vu, VU_SET_VRING_CALL, 0, -1), 0);
	add_flush(&cl);
	while (!ring_pop(&q->ring, &id, &written)) {
		assert_true(conf_now_ms() < end);
		conf_breathe();
	}
	assert_int_equal(conf_eventfd_take(q->call), 0);
	take(&cl, S_CALL);
	assert_true(blk_works(&cl));
}

static void test_without_a_kick_the_ring_is_looked_at(void **state)
{
	struct client cl;

	start(&cl, state);
	conf_product_only("qemu-storage-daemon waits for ever");
	assert_int_equal(vu_set_vring_fd(&cl.vu, VU_SET_VRING_KICK, 0, -1), 0);
	for (unsigned int i = 0; i < 20; i++) {
		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		must_finish(&cl); /* nobody kicked */
	}
	take(&cl, S_KICK);
	assert_true(blk_works(&cl));
}

static void test_err_is_signalled_when_a_ring_breaks(void **state)
{
	struct client cl;
	int err;

	start(&cl, state);
	conf_product_only("others say nothing");
	err = conf_eventfd(cl.c, 0);
	assert_int_equal(vu_set_vring_fd(&cl.vu, VU_SET_VRING_ERR, 0, err), 0);
	if (cl.c->is_packed) {
		struct vring_packed_desc *d =
			ring_packed_descs(&cl.vqs[0].ring);

		d->id = 0xffff;
		d->len = 1;
		__atomic_store_n(&d->flags, PACKED_AVAIL, __ATOMIC_RELEASE);
	} else {
		ring_split_push(&cl.vqs[0].ring, 0xffff);
	}
	client_kick(&cl.vqs[0]);
	assert_true(conf_eventfd_wait(err, CONF_WAIT_MS));
	assert_true(vu_is_alive(&cl.vu));
}

/* A ring moves while it runs: it is stopped nowhere but in the message. */
static void test_addresses_change_while_the_ring_runs(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];

	start(&cl, state);
	conf_product_only("others do not do that");
	for (unsigned int i = 0; i < 10; i++) {
		char *to = cl.mem.va + (i % 2 ? 0 : RING_BYTES);

		assert_true(blk_works(&cl));
		memcpy(to, q->ring.va, RING_BYTES);
		q->ring.va = to;
		q->ring.iova = client_iova(&cl, to);
		client_vq_set_addr(&cl, 0);
	}
	assert_true(blk_works(&cl));
}

/* ---- wrong ones ---- */

/* H25 */
static void test_h25_sizes(void **state)
{
	static const uint32_t bad[] = { 0, 65536, 0x80000000, ~0U };
	struct client cl;

	prepare(&cl, state);
	conf_product_only("others close the connection");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(set(&cl, VU_SET_VRING_NUM, bad[i]),
				 VU_REFUSED);
	}
	take(&cl, S_KICK);
	take(&cl, S_ENABLE);
	assert_int_equal(set(&cl, VU_SET_VRING_NUM, NUM * 2), VU_REFUSED);
	assert_true(blk_works(&cl));
}

/* A split ring that is no power of two never runs, and harms nobody. */
static void test_h25_a_split_ring_of_15(void **state)
{
	struct client cl;

	prepare(&cl, state);
	conf_product_only("others crash");
	(void)set(&cl, VU_SET_VRING_NUM, 15);
	(void)vu_set_vring_fd(&cl.vu, VU_SET_VRING_KICK, 0, cl.vqs[0].kick);
	assert_int_equal(set(&cl, VU_SET_VRING_ENABLE, 1), VU_REFUSED);
	assert_true(vu_is_alive(&cl.vu));
}

/* H26 */
static void test_h26_addresses(void **state)
{
	struct client cl;
	uint64_t va;

	start(&cl, state);
	conf_product_only("others close the connection");
	va = (uintptr_t)cl.mem.va;
	{
		const struct vu_addr bad[] = {
			{ 0, 0, va + 1, va + RING_DEVICE, va + RING_DRIVER, 0 },
			{ 0, 0, va + 8, va + RING_DEVICE, va + RING_DRIVER, 0 },
			{ 0, 0, va, va + RING_DEVICE + 1, va + RING_DRIVER, 0 },
			{ 0, 0, va, va + RING_DEVICE, va + RING_DRIVER + 1, 0 },
			{ 0, 2, va, va + RING_DEVICE, va + RING_DRIVER, 0 },
			{ 99, 0, va, va + RING_DEVICE, va + RING_DRIVER, 0 },
		};

		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			assert_int_equal(vu_set_addr(&cl.vu, &bad[i]),
					 VU_REFUSED);
		}
	}
	assert_true(blk_works(&cl));
}

/* Nothing is there: the ring does not run until it has an address again. */
static void test_h26_addresses_beyond_the_memory(void **state)
{
	struct client cl;
	const uint64_t nowhere[] = { 0, 0x1000, UINT64_MAX - 15,
				     0x7fffffffffff0000 };

	start(&cl, state);
	conf_product_only("others close the connection");
	for (size_t i = 0; i < ARRAY_LEN(nowhere); i++) {
		struct vu_addr addr = { 0,
					0,
					nowhere[i] & ~15ULL,
					nowhere[i] & ~15ULL,
					nowhere[i] & ~15ULL,
					0 };

		(void)vu_set_addr(&cl.vu, &addr);
		client_kick(&cl.vqs[0]);
		assert_true(vu_is_alive(&cl.vu));
		client_vq_set_addr(&cl, 0);
		assert_true(blk_works(&cl));
	}
	/* The last byte of the memory, so that the ring would end behind it. */
	{
		uint64_t end = (uintptr_t)cl.mem.va + cl.mem.size - 16;
		struct vu_addr addr = { 0, 0, end, end, end, 0 };

		(void)vu_set_addr(&cl.vu, &addr);
		client_kick(&cl.vqs[0]);
		assert_true(vu_is_alive(&cl.vu));
		client_vq_set_addr(&cl, 0);
		client_kick(&cl.vqs[0]);
		assert_true(vu_is_alive(&cl.vu));
	}
}

/* H27 */
static void test_h27_kicks_without_end_and_without_work(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	__u64 many = 0xfffffffffffffffeULL;

	start(&cl, state);
	for (unsigned int i = 0; i < 2000; i++) {
		client_kick(q);
	}
	(void)!write(q->kick, &many, sizeof(many));
	assert_true(blk_works(&cl));
	assert_int_equal(set(&cl, VU_SET_VRING_ENABLE, 0), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		client_kick(q);
	}
	assert_true(vu_is_alive(&cl.vu));
	assert_int_equal(set(&cl, VU_SET_VRING_ENABLE, 1), 0);
	assert_true(blk_works(&cl));
}

/* H28: nobody reads it; the device does not wait for that. */
static void test_h28_a_call_that_is_full(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	__u64 full = 0xfffffffffffffffeULL;

	start(&cl, state);
	conf_product_only("qemu-storage-daemon gives up");
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(write(q->call, &full, sizeof(full)),
				 sizeof(full));
		assert_true(blk_works(&cl));
		(void)conf_eventfd_take(q->call);
	}
}

/* H60 */
static void test_h60_indexes_of_rings(void **state)
{
	static const uint32_t bad[] = {
		64, 65, 255, 256, 65536, 0x80000000, ~0U
	};
	struct client cl;
	struct vu_msg msg;

	start(&cl, state);
	conf_product_only("others close the connection");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct vu_state st = { bad[i], 0 };

		assert_int_equal(vu_set_state(&cl.vu, VU_SET_VRING_NUM, bad[i],
					      NUM),
				 VU_REFUSED);
		assert_int_equal(vu_set_state(&cl.vu, VU_SET_VRING_BASE, bad[i],
					      0),
				 VU_REFUSED);
		assert_int_equal(vu_set_state(&cl.vu, VU_SET_VRING_ENABLE,
					      bad[i], 1),
				 VU_REFUSED);
		assert_true(blk_works(&cl));
		/* No reply could be right: the connection ends. */
		assert_int_equal(vu_ask(&cl.vu, VU_GET_VRING_BASE, &st,
					sizeof(st), NULL, 0, &msg),
				 -EPIPE);
		client_close(&cl);
		start(&cl, state);
	}
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_a_ring_that_is_not_started_is_left_alone),
	CONF_TEST_BOTH(test_a_ring_that_is_not_enabled_is_left_alone),
	CONF_TEST_BOTH(test_disabled_and_enabled_again),
	CONF_TEST_BOTH(test_without_bit_30_a_ring_is_enabled),
	CONF_TEST_BOTH(test_get_base_stops_the_ring),
	CONF_TEST_BOTH(test_h69_get_base_finishes_what_was_begun),
	CONF_TEST_BOTH(test_h69_started_twice),
	CONF_TEST_BOTH(test_base_is_kept_for_a_ring_that_never_ran),
	CONF_TEST_BOTH(test_base_goes_from_one_connection_to_the_next),
	CONF_TEST_BOTH(test_base_near_the_end_of_its_range),
	CONF_TEST_BOTH(test_messages_of_a_ring_in_all_orders),
	CONF_TEST_BOTH(test_call_and_kick_change_while_the_ring_runs),
	CONF_TEST_BOTH(test_without_a_call_nobody_is_called),
	CONF_TEST_BOTH(test_without_a_kick_the_ring_is_looked_at),
	CONF_TEST_BOTH(test_err_is_signalled_when_a_ring_breaks),
	CONF_TEST_BOTH(test_addresses_change_while_the_ring_runs),
	CONF_TEST(test_h25_sizes),
	CONF_TEST(test_h25_a_split_ring_of_15),
	CONF_TEST(test_h26_addresses),
	CONF_TEST(test_h26_addresses_beyond_the_memory),
	CONF_TEST_BOTH(test_h27_kicks_without_end_and_without_work),
	CONF_TEST_BOTH(test_h28_a_call_that_is_full),
	CONF_TEST(test_h60_indexes_of_rings),
};

TEST_MAIN("conformance/user_ring")
