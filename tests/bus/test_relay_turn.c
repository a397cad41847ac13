/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the relay on a device that keeps its callers waiting: whoever asks
 * the relay waits in a turn, and the control loop goes on.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "fake_dev.h"
#include "relay_rig.h"

#define DATA 4096
#define NUM  8

struct fixture {
	struct sim *sim;
	struct fake_dev fake;
	struct vworld *w;
	struct vdpa_device *relay;
	/* the driver's ring, and a buffer */
	struct vq_driver *drv;
	struct region *region;
	char *mem;
	int kick_fd;
	uint64_t features, late_features; /* of do_start() */
	/* what a turn is to do, and has done */
	struct vdpa_turn turn;
	int (*what)(struct fixture *fx);
	int result;
	bool has_ended;
};

#define MEM_BYTES (64U << 10)
#define BUF_AT	  (32U << 10)

static int set_up(void **state)
{
	const struct sim_options sim_options = { .seed = 1 };
	const struct relay_options options = {
		.domain_bytes = DOMAIN_BYTES_MIN,
		.drain_ms = 1000,
	};
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	assert_int_equal(sim_new(&sim_options, &fx->sim), 0);
	fake_init(&fx->fake);
	fx->fake.vdev.may_wait = true;
	fx->w = vworld_new(fx->sim, 1);
	assert_int_equal(relay_new(fx->w->bus, &fx->fake.vdev, "r0", &options,
				   &fx->relay),
			 0);
	assert_true(fx->relay->may_wait);
	assert_int_equal(vdpa_device_register(fx->w->bus, NULL, fx->relay), 0);
	assert_int_equal(vdpa_dev_unbind(fx->w->bus, "r0"), 0);
	fx->mem = aligned_alloc(DATA, MEM_BYTES);
	assert_non_null(fx->mem);
	memset(fx->mem, 0, MEM_BYTES);
	assert_int_equal(
		region_new_own(fx->mem, MEM_BYTES, NULL, NULL, &fx->region), 0);
	fx->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vdpa_device_unregister(fx->relay);
	relay_free(fx->relay);
	vworld_free(fx->w);
	vq_driver_free(fx->drv);
	region_unref(fx->region);
	fake_fini(&fx->fake);
	sim_free(fx->sim);
	close(fx->kick_fd);
	free(fx->mem);
	free(fx);
	return 0;
}

/* ---- what turns do ---- */

static void run_turn(struct vdpa_turn *turn)
{
	struct fixture *fx = container_of(turn, struct fixture, turn);

	fx->result = fx->what(fx);
	fx->has_ended = true;
}

static void begin(struct fixture *fx, int (*what)(struct fixture *fx))
{
	fx->turn.fn = run_turn;
	fx->what = what;
	fx->has_ended = false;
	vdpa_turn_start(fx->relay, &fx->turn);
}

static bool has_ended(void *priv)
{
	const struct fixture *fx = priv;

	return fx->has_ended;
}

/* The device answers, once for all. */
static void answer(struct fixture *fx)
{
	fx->fake.waits = false;
	vdpa_wake(&fx->fake.vdev);
}

static int do_reset(struct fixture *fx)
{
	return vdpa_reset(fx->relay, 0);
}

static int do_suspend(struct fixture *fx)
{
	return vdpa_suspend(fx->relay);
}

static int do_start(struct fixture *fx)
{
	const uint64_t features = BIT_ULL(VIRTIO_F_VERSION_1) |
				  BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |
				  fx->features;
	struct vq_layout at;
	int ret;

	vq_layout(NUM, features, &at);
	vq_driver_free(fx->drv);
	memset(fx->mem, 0, BUF_AT);
	assert_int_equal(vq_driver_new(NUM, features, fx->mem, 0, &fx->drv), 0);
	ret = vdpa_map(fx->relay, 0, 0, MEM_BYTES - 1, fx->region, 0,
		       MEM_PERM_RW);
	assert_true(ret == 0 || ret == -EEXIST);
	assert_int_equal(vdpa_set_status(fx->relay, 3), 0);
	assert_int_equal(vdpa_set_driver_features(fx->relay, features), 0);
	assert_int_equal(vdpa_set_status(fx->relay, 0xb), 0);
	assert_int_equal(vdpa_set_driver_features(fx->relay,
						  features | fx->late_features),
			 0);
	assert_int_equal(vdpa_set_vq_num(fx->relay, 0, NUM), 0);
	assert_int_equal(vdpa_set_vq_address(fx->relay, 0, at.desc_area,
					     at.driver_area, at.device_area),
			 0);
	assert_int_equal(vdpa_set_vq_kick_fd(fx->relay, 0, fx->kick_fd), 0);
	assert_int_equal(vdpa_set_vq_ready(fx->relay, 0, true), 0);
	return vdpa_set_status(fx->relay, 0xf);
}

static void post(struct fixture *fx, bool is_request)
{
	const struct vq_sg sg[] = { { BUF_AT, DATA }, { BUF_AT + DATA, DATA } };

	assert_int_equal(
		vq_driver_add(fx->drv, sg + !is_request, is_request, 1, fx), 0);
	(void)vq_driver_publish(fx->drv);
	assert_int_equal(eventfd_write(fx->kick_fd, 1), 0);
	assert_int_equal(sim_run(fx->sim, 1000000, NULL, NULL), 0);
}

static void start(struct fixture *fx)
{
	begin(fx, do_start);
	assert_true(fx->has_ended);
	assert_int_equal(fx->result, 0);
	assert_int_equal(fx->fake.status, 0xf);
}

/* ---- tests ---- */

static void test_relay_waits_in_turns_for_status_and_reset(void **state)
{
	struct fixture *fx = *state;

	fx->fake.waits = true;
	begin(fx, do_start);
	assert_false(fx->has_ended);
	assert_int_equal(vdpa_get_status(fx->relay), 0x3);
	assert_int_equal(sim_run(fx->sim, 1000000, NULL, NULL), 0);
	assert_false(fx->has_ended);
	answer(fx);
	assert_int_equal(sim_run(fx->sim, 1000000, has_ended, fx), 0);
	assert_int_equal(fx->result, 0);
	assert_int_equal(vdpa_get_status(fx->relay), 0xf);
	post(fx, true);
	fx->fake.waits = true;
	begin(fx, do_reset);
	assert_false(fx->has_ended);
	answer(fx);
	assert_int_equal(sim_run(fx->sim, 1000000, has_ended, fx), 0);
	assert_int_equal(fx->result, 0);
	assert_int_equal(vdpa_get_status(fx->relay), 0);
	start(fx);
	begin(fx, do_reset);
}

static void test_relay_features_that_change_before_driver_ok(void **state)
{
	struct fixture *fx = *state;

	fx->features = 0x10;
	fx->late_features = 0x20;
	start(fx);
	assert_int_equal(fx->fake.features & 0xff, 0x30);
	begin(fx, do_reset);
}

/* The answer comes while the turn waits: nothing is lost. */
static void test_relay_suspends_when_requests_are_answered(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_vq_state vq_state;
	struct fake_chain chain;
	struct vq_used used;

	start(fx);
	post(fx, true);
	assert_true(fake_take(&fx->fake, &chain));
	begin(fx, do_suspend);
	assert_false(fx->has_ended);
	assert_int_equal(sim_run(fx->sim, 10000000, NULL, NULL), 0);
	assert_false(fx->has_ended);
	fake_use(&fx->fake, chain.head, DATA);
	assert_int_equal(sim_run(fx->sim, 10000000, has_ended, fx), 0);
	assert_int_equal(fx->result, 0);
	assert_int_equal(vq_driver_get(fx->drv, &used, 1), 1);
	assert_int_equal(used.written, DATA);
	assert_int_equal(vdpa_get_vq_state(fx->relay, 0, &vq_state), 0);
	assert_int_equal(vq_state.avail_idx, 1);
	assert_int_equal(fx->fake.status, 0);
	assert_int_equal(vdpa_get_status(fx->relay), 0xf);
	begin(fx, do_reset);
	assert_true(fx->has_ended);
}

/* Time is up for a request; a buffer is not waited for at all. */
static void test_relay_suspends_without_an_answer(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	post(fx, false);
	begin(fx, do_suspend);
	assert_int_equal(sim_run(fx->sim, 10000000, has_ended, fx), 0);
	assert_int_equal(vdpa_get_status(fx->relay), 0xf);
	begin(fx, do_reset);
	start(fx);
	post(fx, true);
	begin(fx, do_suspend);
	assert_int_equal(sim_run(fx->sim, 500000000, has_ended, fx),
			 -ETIMEDOUT);
	assert_int_equal(sim_run(fx->sim, 700000000, has_ended, fx), 0);
	assert_int_equal(vdpa_get_status(fx->relay),
			 0xf | VIRTIO_CONFIG_S_NEEDS_RESET);
	begin(fx, do_reset);
	assert_true(fx->has_ended);
	assert_int_equal(vdpa_get_status(fx->relay), 0);
}

/* The client goes while its turn waits. */
static void test_relay_turn_that_is_cancelled(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	post(fx, true);
	begin(fx, do_suspend);
	assert_false(vdpa_turn_cancel(fx->relay, &fx->turn));
	assert_true(fx->has_ended);
	fx->fake.waits = true;
	begin(fx, do_reset);
	assert_false(fx->has_ended);
	assert_false(vdpa_turn_cancel(fx->relay, &fx->turn));
	assert_true(fx->has_ended);
	assert_true(fx->result < 0);
	assert_int_equal(vdpa_get_status(fx->relay), 0);
	fx->fake.waits = false;
	start(fx);
	begin(fx, do_reset);
	assert_true(fx->has_ended);
	assert_int_equal(sim_run(fx->sim, 1000000, NULL, NULL), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_relay_waits_in_turns_for_status_and_reset),
	T(test_relay_features_that_change_before_driver_ok),
	T(test_relay_suspends_when_requests_are_answered),
	T(test_relay_suspends_without_an_answer),
	T(test_relay_turn_that_is_cancelled),
};

TEST_MAIN("dev_relay_turn")
