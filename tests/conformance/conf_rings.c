/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: rings that break the rules. Statement 95; H01 to H12, H18 to
 * H26.
 *
 * Whatever a ring says, the device answers within its rules: it completes what
 * it can, or stops with that queue (NEEDS_RESET, where it tells), and works
 * again after a reset. Every test here ends with that.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "lib/blk.h"

#define NUM 16

struct abuse {
	const char *name;
	void (*spoil)(struct client *cl);
};

/* ---- writing rings by hand ---- */

static void split_desc(struct client *cl, uint16_t i, uint64_t addr,
		       uint32_t len, uint16_t flags, uint16_t next)
{
	ring_split_descs(&cl->vqs[0].ring)[i] = (struct vring_desc){
		.addr = htole64(addr),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16(next),
	};
}

static void packed_desc(struct client *cl, uint16_t i, uint64_t addr,
			uint32_t len, uint16_t flags, uint16_t id)
{
	struct vring_packed_desc *d = &ring_packed_descs(&cl->vqs[0].ring)[i];

	d->addr = htole64(addr);
	d->len = htole32(len);
	d->id = htole16(id);
	__atomic_store_n(&d->flags, htole16(flags), __ATOMIC_RELEASE);
}

static void table_desc(struct client *cl, uint16_t i, uint32_t len,
		       uint16_t flags, uint16_t next)
{
	ring_table(&cl->vqs[0].ring, 0)[i] = (struct vring_desc){
		.addr = htole64(client_iova(cl, client_buf(cl, BLK_DATA))),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16(next),
	};
}

static uint64_t data_at(struct client *cl)
{
	return client_iova(cl, client_buf(cl, BLK_DATA));
}

static void push(struct client *cl, uint16_t head)
{
	ring_split_push(&cl->vqs[0].ring, head);
}

#define NEXT  VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define TABLE VRING_DESC_F_INDIRECT

/* ---- split rings ---- */

static void head_is_num(struct client *cl)
{
	push(cl, NUM);
}

static void head_is_65535(struct client *cl)
{
	push(cl, 0xffff);
}

static void loop_of_one(struct client *cl)
{
	split_desc(cl, 0, data_at(cl), 16, NEXT, 0);
	push(cl, 0);
}

static void loop_of_two(struct client *cl)
{
	split_desc(cl, 0, data_at(cl), 16, NEXT, 1);
	split_desc(cl, 1, data_at(cl), 16, NEXT, 0);
	push(cl, 0);
}

static void loop_of_all(struct client *cl)
{
	for (uint16_t i = 0; i < NUM; i++) {
		split_desc(cl, i, data_at(cl), 16, NEXT,
			   (uint16_t)((i + 1) % NUM));
	}
	push(cl, 0);
}

static void next_is_num(struct client *cl)
{
	split_desc(cl, 0, data_at(cl), 16, NEXT, NUM);
	push(cl, 0);
}

static void next_is_65535(struct client *cl)
{
	split_desc(cl, 0, data_at(cl), 16, NEXT, 0xffff);
	push(cl, 0);
}

static void readable_after_writable(struct client *cl)
{
	split_desc(cl, 0, data_at(cl), 16, NEXT | WRITE, 1);
	split_desc(cl, 1, data_at(cl), 16, NEXT, 2);
	split_desc(cl, 2, data_at(cl), 1, WRITE, 0);
	push(cl, 0);
}

static void lengths_of_4_gib(struct client *cl)
{
	for (uint16_t i = 0; i < NUM; i++) {
		split_desc(cl, i, data_at(cl), 0xffffffff,
			   i + 1 < NUM ? NEXT : WRITE, (uint16_t)(i + 1));
	}
	push(cl, 0);
}

static void address_wraps(struct client *cl)
{
	split_desc(cl, 0, UINT64_MAX - 7, 16, NEXT, 1);
	split_desc(cl, 1, data_at(cl), 1, WRITE, 0);
	push(cl, 0);
}

static void lengths_of_0(struct client *cl)
{
	split_desc(cl, 0, data_at(cl), 0, NEXT, 1);
	split_desc(cl, 1, data_at(cl), 0, NEXT | WRITE, 2);
	split_desc(cl, 2, 0, 0, WRITE, 0);
	push(cl, 0);
}

static void unknown_flags(struct client *cl)
{
	split_desc(cl, 0, data_at(cl), 16, 0xfff0, 0);
	push(cl, 0);
}

static void same_head_twice(struct client *cl)
{
	split_desc(cl, 0, data_at(cl), 16, NEXT, 1);
	split_desc(cl, 1, data_at(cl) + 64, 1, WRITE, 0);
	push(cl, 0);
	push(cl, 0);
}

static void avail_idx_jumps(struct client *cl)
{
	__atomic_store_n(&ring_avail(&cl->vqs[0].ring)->idx, htole16(NUM + 1),
			 __ATOMIC_RELEASE);
}

static void avail_idx_goes_back(struct client *cl)
{
	__atomic_store_n(&ring_avail(&cl->vqs[0].ring)->idx, 0xffff,
			 __ATOMIC_RELEASE);
}

static void table_in_a_table(struct client *cl)
{
	table_desc(cl, 0, 32, TABLE, 0);
	split_desc(cl, 0, ring_table_iova(&cl->vqs[0].ring, 0), 16, TABLE, 0);
	push(cl, 0);
}

static void table_with_next(struct client *cl)
{
	table_desc(cl, 0, 16, 0, 0);
	split_desc(cl, 0, ring_table_iova(&cl->vqs[0].ring, 0), 16,
		   TABLE | NEXT, 1);
	split_desc(cl, 1, data_at(cl), 1, WRITE, 0);
	push(cl, 0);
}

static void table_of(struct client *cl, uint64_t iova, uint32_t len)
{
	split_desc(cl, 0, iova, len, TABLE, 0);
	push(cl, 0);
}

static void table_of_0_bytes(struct client *cl)
{
	table_of(cl, ring_table_iova(&cl->vqs[0].ring, 0), 0);
}

static void table_of_17_bytes(struct client *cl)
{
	table_of(cl, ring_table_iova(&cl->vqs[0].ring, 0), 17);
}

static void table_of_4_gib(struct client *cl)
{
	table_of(cl, ring_table_iova(&cl->vqs[0].ring, 0), 0xfffffff0);
}

static void table_of_1_mib_of_zeroes(struct client *cl)
{
	table_of(cl, data_at(cl) + 0x10000, 0x100000);
}

static void table_not_mapped(struct client *cl)
{
	table_of(cl, 0xdead0000, 32);
}

static void table_loops(struct client *cl)
{
	table_desc(cl, 0, 16, NEXT, 1);
	table_desc(cl, 1, 16, NEXT, 0);
	table_of(cl, ring_table_iova(&cl->vqs[0].ring, 0), 32);
}

static void table_next_outside(struct client *cl)
{
	table_desc(cl, 0, 16, NEXT, 2);
	table_of(cl, ring_table_iova(&cl->vqs[0].ring, 0), 32);
}

/* The table is the ring itself. */
static void table_is_the_ring(struct client *cl)
{
	split_desc(cl, 1, data_at(cl), 16, NEXT, 0);
	table_of(cl, cl->vqs[0].ring.iova, NUM * 16);
}

/* The buffers are the rings: what the device writes spoils its own ground. */
static void buffers_are_the_ring(struct client *cl)
{
	uint64_t iova = cl->vqs[0].ring.iova;

	memset(client_buf(cl, BLK_DATA), 0, 16); /* reads sector 0 */
	split_desc(cl, 0, data_at(cl), 16, NEXT, 1);
	split_desc(cl, 1, iova, 512, NEXT | WRITE, 2);
	split_desc(cl, 2, iova + RING_DEVICE, 1, WRITE, 0);
	push(cl, 0);
}

static const struct abuse split_abuses[] = {
#define A(fn)           \
	{               \
#fn, fn \
	}
	A(head_is_num),
	A(head_is_65535),
	A(loop_of_one),
	A(loop_of_two),
	A(loop_of_all),
	A(next_is_num),
	A(next_is_65535),
	A(readable_after_writable),
	A(lengths_of_4_gib),
	A(address_wraps),
	A(lengths_of_0),
	A(unknown_flags),
	A(same_head_twice),
	A(avail_idx_jumps),
	A(avail_idx_goes_back),
	A(table_in_a_table),
	A(table_with_next),
	A(table_of_0_bytes),
	A(table_of_17_bytes),
	A(table_of_4_gib),
	A(table_of_1_mib_of_zeroes),
	A(table_not_mapped),
	A(table_loops),
	A(table_next_outside),
	A(table_is_the_ring),
	A(buffers_are_the_ring),
};

/* ---- packed rings ---- */

static void packed_id_is_num(struct client *cl)
{
	packed_desc(cl, 0, data_at(cl), 1, PACKED_AVAIL | WRITE, NUM);
}

static void packed_id_is_65535(struct client *cl)
{
	packed_desc(cl, 0, data_at(cl), 1, PACKED_AVAIL | WRITE, 0xffff);
}

static void packed_id_twice(struct client *cl)
{
	packed_desc(cl, 1, data_at(cl), 1, PACKED_AVAIL | WRITE, 3);
	packed_desc(cl, 0, data_at(cl), 1, PACKED_AVAIL | WRITE, 3);
}

static void packed_next_everywhere(struct client *cl)
{
	for (uint16_t i = NUM; i > 0; i--) {
		packed_desc(cl, (uint16_t)(i - 1), data_at(cl), 16,
			    PACKED_AVAIL | NEXT, 0);
	}
}

static void packed_next_into_nothing(struct client *cl)
{
	packed_desc(cl, 0, data_at(cl), 16, PACKED_AVAIL | NEXT, 0);
}

static void packed_readable_after_writable(struct client *cl)
{
	packed_desc(cl, 1, data_at(cl), 16, PACKED_AVAIL, 0);
	packed_desc(cl, 0, data_at(cl), 16, PACKED_AVAIL | NEXT | WRITE, 0);
}

static void packed_garbage_flags(struct client *cl)
{
	for (uint16_t i = NUM; i > 0; i--) {
		packed_desc(cl, (uint16_t)(i - 1), data_at(cl), 1,
			    (uint16_t)(0xa5a5 * i), i);
	}
	packed_desc(cl, 0, data_at(cl), 1, PACKED_AVAIL | 0x7f70, 0);
}

static void packed_table(struct client *cl, uint32_t len, uint16_t flags)
{
	packed_desc(cl, 0, ring_table_iova(&cl->vqs[0].ring, 0), len,
		    PACKED_AVAIL | TABLE | flags, 0);
}

static void packed_table_in_a_table(struct client *cl)
{
	struct vring_packed_desc *t = (void *)ring_table(&cl->vqs[0].ring, 0);

	t->addr = htole64(data_at(cl));
	t->len = htole32(32);
	t->flags = htole16(TABLE);
	packed_table(cl, 16, 0);
}

static void packed_table_with_next(struct client *cl)
{
	packed_table(cl, 16, NEXT);
}

static void packed_table_of_0_bytes(struct client *cl)
{
	packed_table(cl, 0, 0);
}

static void packed_table_of_17_bytes(struct client *cl)
{
	packed_table(cl, 17, 0);
}

static void packed_table_of_4_gib(struct client *cl)
{
	packed_table(cl, 0xfffffff0, 0);
}

static void packed_table_not_mapped(struct client *cl)
{
	packed_desc(cl, 0, 0xdead0000, 32, PACKED_AVAIL | TABLE, 0);
}

static void packed_address_wraps(struct client *cl)
{
	packed_desc(cl, 1, data_at(cl), 1, PACKED_AVAIL | WRITE, 0);
	packed_desc(cl, 0, UINT64_MAX - 7, 16, PACKED_AVAIL | NEXT, 0);
}

static void packed_lengths_of_4_gib(struct client *cl)
{
	packed_desc(cl, 1, data_at(cl), 0xffffffff, PACKED_AVAIL | WRITE, 0);
	packed_desc(cl, 0, data_at(cl), 0xffffffff, PACKED_AVAIL | NEXT, 0);
}

static const struct abuse packed_abuses[] = {
	A(packed_id_is_num),	     A(packed_id_is_65535),
	A(packed_id_twice),	     A(packed_next_everywhere),
	A(packed_next_into_nothing), A(packed_readable_after_writable),
	A(packed_garbage_flags),     A(packed_table_in_a_table),
	A(packed_table_with_next),   A(packed_table_of_0_bytes),
	A(packed_table_of_17_bytes), A(packed_table_of_4_gib),
	A(packed_table_not_mapped),  A(packed_address_wraps),
	A(packed_lengths_of_4_gib),
#undef A
};

/* ---- the tests ---- */

/* One spoilt ring after the other, each in a session of its own. */
static void run_abuses(void **state, uint64_t features)
{
	struct conf *c = *state;
	const struct abuse *list = c->is_packed ? packed_abuses : split_abuses;
	size_t n = c->is_packed ? ARRAY_LEN(packed_abuses)
				: ARRAY_LEN(split_abuses);

	for (size_t i = 0; i < n; i++) {
		unsigned long start = conf_now_ms();
		struct client cl;

		blk_start(&cl, c, NUM, BLK_FEATURES | features);
		list[i].spoil(&cl);
		client_kick(&cl.vqs[0]);
		/* A call that only returns when the queue stands still. */
		client_vq_stop(&cl, 0);
		assert_true((client_status(&cl) | S_NEEDS_RESET) ==
			    (S_READY | S_NEEDS_RESET));
		client_reset(&cl);
		if (conf_now_ms() - start > 5000) {
			print_error("%s: slow\n", list[i].name);
		}
		assert_true(conf_now_ms() - start < 5000);
		client_close(&cl);

		blk_start(&cl, c, NUM, BLK_FEATURES);
		if (!blk_works(&cl)) {
			print_error("%s: broken for good\n", list[i].name);
		}
		assert_true(blk_works(&cl));
		client_close(&cl);
	}
}

static void test_s95_bad_rings_do_not_hang_the_device(void **state)
{
	run_abuses(state, 0);
}

static void test_s95_bad_rings_with_indirect_tables(void **state)
{
	run_abuses(state, F_INDIRECT);
}

static void test_s95_bad_rings_with_event_idx(void **state)
{
	run_abuses(state, F_INDIRECT | F_EVENT_IDX);
}

static void test_s95_a_broken_queue_says_needs_reset(void **state)
{
	struct client cl;
	int config;

	blk_start(&cl, *state, NUM, BLK_FEATURES);
	conf_product_only("vdpa_sim does not tell");
	if (client_is_user(&cl)) {
		conf_skip("a socket has another way to tell");
	}
	config = conf_eventfd(cl.c, 0);
	assert_int_equal(dev_ioctl(cl.fd, VHOST_VDPA_SET_CONFIG_CALL, &config),
			 0);
	if (cl.c->is_packed) {
		packed_id_is_num(&cl);
	} else {
		head_is_num(&cl);
	}
	client_kick(&cl.vqs[0]);
	assert_true(conf_eventfd_wait(config, CONF_WAIT_MS));
	assert_int_equal(dev_get_status(cl.fd), S_READY | S_NEEDS_RESET);
	assert_int_equal(dev_set_status(cl.fd, 0), 0);
	assert_int_equal(dev_get_status(cl.fd), 0);
}

/* ---- somebody who changes everything all the time (H30) ---- */

/* In a process of its own: it shares the memory, and ends by SIGKILL. */
static void spoil_ring(struct client *cl, unsigned int seed)
{
	volatile uint8_t *va = (volatile uint8_t *)cl->vqs[0].ring.va;

	for (;;) {
		unsigned int x = (unsigned int)rand_r(&seed);
		/* Descriptors mostly, indexes now and then. */
		size_t at = x % 8 == 0 ? RING_DRIVER + x / 8 % 64
				       : x / 8 % (NUM * 16);

		va[at] = (uint8_t)(x >> 16);
	}
}

static void test_h30_a_ring_that_changes_all_the_time(void **state)
{
	struct conf *c = *state;
	struct client cl;

	for (unsigned int round = 0; round < 10; round++) {
		pid_t pid;

		blk_start(&cl, c, NUM, BLK_FEATURES | F_INDIRECT);
		pid = conf_fork(c);
		if (pid == 0) {
			spoil_ring(&cl, round + 1);
		}
		for (unsigned int i = 0; i < 300; i++) {
			uint32_t written;
			uint16_t id;

			(void)blk_add(&cl, i % 8, BLK_T_IN, i,
				      client_buf(&cl, BLK_DATA), 512);
			client_kick(&cl.vqs[0]);
			(void)ring_pop(&cl.vqs[0].ring, &id, &written);
			if (client_status(&cl) & S_NEEDS_RESET) {
				break;
			}
		}
		client_reset(&cl);
		conf_kill(c, pid);
		client_close(&cl);
	}
	client_open_soon(&cl, c, conf_node_of(CONF_DEVICE_BLK));
	client_run(&cl, BLK_FEATURES, 1, NUM);
	assert_true(blk_works(&cl));
}

/* H24: the fields that say who wants to be told what. */
static void test_h24_random_event_indexes(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	unsigned int seed = 24;
	uint32_t written;
	uint16_t id;

	blk_start(&cl, *state, NUM, BLK_FEATURES | F_EVENT_IDX);
	for (unsigned int i = 0; i < 500; i++) {
		unsigned long end = conf_now_ms() + CONF_WAIT_MS;
		uint32_t random = (uint32_t)rand_r(&seed);

		if (q->ring.is_packed) {
			memcpy(ring_driver_event(&q->ring), &random, 4);
		} else {
			ring_avail(&q->ring)->ring[NUM] = (uint16_t)random;
			ring_avail(&q->ring)->flags = (uint16_t)(random >> 16);
		}
		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		client_kick(q);
		/* Whether a call comes is the driver's own fault: completed it
		 * is in any case. */
		while (!ring_pop(&q->ring, &id, &written)) {
			assert_true(conf_now_ms() < end);
			sched_yield();
		}
	}
	ring_arm(&q->ring);
	assert_true(blk_works(&cl));
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_s95_bad_rings_do_not_hang_the_device),
	CONF_TEST_BOTH(test_s95_bad_rings_with_indirect_tables),
	CONF_TEST_BOTH(test_s95_bad_rings_with_event_idx),
	CONF_TEST_BOTH(test_s95_a_broken_queue_says_needs_reset),
	CONF_TEST_BOTH(test_h30_a_ring_that_changes_all_the_time),
	CONF_TEST_BOTH(test_h24_random_event_indexes),
};

TEST_MAIN("conformance/rings")
