/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE: a reset while the process has buffers of the client's.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <linux/virtio_config.h>

#include "test_vduse_rig.h"

#define ALL_OK	   0xf
#define AVAIL_AREA 0x2000
#define USED_AREA  0x3000

static struct rig *with_client(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_client_open(r), 0);
	return r;
}

static void set_idx(struct rig *r, uint64_t area, uint16_t idx)
{
	memcpy(r->mem + area + 2, &idx, sizeof(idx));
}

/* A running queue whose process has three buffers. */
static void run_queue(struct rig *r)
{
	struct vhost_vring_addr addr = {
		.index = 1,
		.desc_user_addr = RIG_IOVA,
		.avail_user_addr = RIG_IOVA + AVAIL_AREA,
		.used_user_addr = RIG_IOVA + USED_AREA,
	};

	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, RIG_MEM_SIZE), 72);
	assert_int_equal(rig_vring(r, VHOST_SET_VRING_NUM, 1, 32), 0);
	assert_int_equal(rig_client(r, VHOST_SET_VRING_ADDR, &addr), 0);
	assert_int_equal(rig_vring(r, VHOST_VDPA_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(rig_status(r, ALL_OK), 0);
	set_idx(r, AVAIL_AREA, 10);
	set_idx(r, USED_AREA, 7);
}

static uint64_t reset_takes_ms(struct rig *r)
{
	uint64_t start_ns = loop_read_ns(r->w->control);

	assert_int_equal(rig_status(r, 0), 0);
	return (loop_read_ns(r->w->control) - start_ns) / 1000000;
}

static void give_back_the_last(void *priv)
{
	set_idx(priv, USED_AREA, 10);
}

static void test_reset_lets_the_process_finish(void **state)
{
	struct rig *r = with_client(state);
	struct loop_timer later;
	uint64_t ms;

	run_queue(r);
	loop_timer_init(&later, r->w->control, give_back_the_last, r);
	assert_int_equal(loop_timer_set(&later, 300000000), 0);
	ms = reset_takes_ms(r);
	assert_in_range(ms, 300, 400);
	assert_int_equal(rig_last(r)->s.status, 0);
}

static void test_reset_does_not_wait_for_the_idle(void **state)
{
	struct rig *r = with_client(state);

	run_queue(r);
	set_idx(r, USED_AREA, 10);
	assert_in_range(reset_takes_ms(r), 0, 99);
}

/* It has a second for each buffer, and then no more. */
static void test_reset_waits_a_second_for_the_stuck(void **state)
{
	struct rig *r = with_client(state);

	run_queue(r);
	assert_in_range(reset_takes_ms(r), 1000, 1200);
}

/* A client that asks for nonsense gets its reset at once. */
static void test_reset_needs_no_rings(void **state)
{
	struct rig *r = with_client(state);

	run_queue(r);
	assert_int_equal(rig_iotlb(r, 0, VHOST_IOTLB_INVALIDATE, RIG_IOVA,
				   RIG_MEM_SIZE),
			 72);
	assert_in_range(reset_takes_ms(r), 0, 99);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

static const struct CMUnitTest tests[] = {
	T(test_reset_lets_the_process_finish),
	T(test_reset_does_not_wait_for_the_idle),
	T(test_reset_waits_a_second_for_the_stuck),
	T(test_reset_needs_no_rings),
};

TEST_MAIN("vduse_drain")
