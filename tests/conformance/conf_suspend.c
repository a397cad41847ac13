/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: suspend and resume. Statements 60 to 63.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>

#include "lib/blk.h"

static uint64_t offered(int fd)
{
	uint64_t features = 0;

	assert_int_equal(dev_get_backend_features(fd, &features), 0);
	return features;
}

static int suspend(const struct client *cl)
{
	return dev_ioctl(cl->fd, VHOST_VDPA_SUSPEND, NULL);
}

static int resume(const struct client *cl)
{
	return dev_ioctl(cl->fd, VHOST_VDPA_RESUME, NULL);
}

/* A running device that can be suspended, and resumed if @must_resume. */
static void start(struct client *cl, void **state, bool must_resume)
{
	uint64_t must = BACKEND_SUSPEND | (must_resume ? BACKEND_RESUME : 0);

	blk_start(cl, *state, 64, BLK_FEATURES);
	if (~offered(cl->fd) & must) {
		conf_skip("the device cannot be suspended or resumed");
	}
}

static uint32_t base_of(const struct client *cl)
{
	uint32_t base = 0;

	assert_int_equal(dev_vring_get(cl->fd, VHOST_GET_VRING_BASE, 0, &base),
			 0);
	return base;
}

static void test_s60_suspend_before_driver_ok_has_no_effect(void **state)
{
	struct client cl;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	assert_int_equal(suspend(&cl), 0);
	assert_int_equal(resume(&cl), 0);
	assert_int_equal(suspend(&cl), 0);
	client_run(&cl, BLK_FEATURES, 1, 16);
	assert_true(blk_works(&cl));
}

static void test_s60_without_support_eopnotsupp_after_driver_ok(void **state)
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	if (!(offered(cl.fd) & BACKEND_SUSPEND)) {
		assert_int_equal(suspend(&cl), -EOPNOTSUPP);
		assert_int_equal(resume(&cl), -EOPNOTSUPP);
		return;
	}
	assert_int_equal(suspend(&cl), 0);
	assert_int_equal(suspend(&cl), 0);
	assert_int_equal(resume(&cl), 0);
	assert_int_equal(resume(&cl), 0);
	assert_true(blk_works(&cl));
}

static void test_s61_a_suspended_ring_does_not_move(void **state)
{
	struct client cl;
	uint32_t base;

	start(&cl, state, false);
	for (unsigned int i = 0; i < 10; i++) {
		assert_true(blk_works(&cl));
	}
	assert_int_equal(suspend(&cl), 0);
	base = base_of(&cl);
	assert_int_equal(base, ring_base(&cl.vqs[0].ring));
	assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
	client_kick(&cl.vqs[0]);
	assert_true(client_is_quiet(&cl.vqs[0]));
	assert_int_equal(blk_status(&cl, 0), BLK_S_NONE);
	assert_int_equal(base_of(&cl), base);
}

/* In the middle of many: what is consumed is completed, and the base says how
 * far it came. */
static void test_s61_base_is_what_was_consumed(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];

	start(&cl, state, true);
	for (unsigned int round = 0; round < 100; round++) {
		struct ring at = q->ring;
		unsigned int done = 0, n = 16;
		uint32_t written, base;
		uint16_t id;

		for (unsigned int i = 0; i < n; i++) {
			assert_true(blk_add(&cl, i, BLK_T_IN, i,
					    client_buf(&cl, BLK_DATA),
					    32 * BLK_SECTOR) >= 0);
			client_kick(q);
		}
		assert_int_equal(suspend(&cl), 0);
		base = base_of(&cl);
		while (ring_pop(&q->ring, &id, &written)) {
			done++;
		}
		/* Three descriptors a request where they are counted. */
		for (unsigned int i = 0; i < done * (cl.c->is_packed ? 3U : 1U);
		     i++) {
			at.avail_idx++;
			if (cl.c->is_packed && at.avail_idx == at.num) {
				at.avail_idx = 0;
				at.avail_wrap = !at.avail_wrap;
			}
		}
		assert_int_equal(base, ring_base(&at));
		assert_int_equal(resume(&cl), 0);
		for (; done < n; done++) {
			assert_true(
				client_wait(q, CONF_WAIT_MS, &id, &written));
		}
	}
}

static void test_s62_resume_hears_kicks_of_the_meantime(void **state)
{
	struct client cl;
	uint32_t written;
	uint16_t id;

	start(&cl, state, true);
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(suspend(&cl), 0);
		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		client_kick(&cl.vqs[0]);
		/* Nobody looked at it. */
		assert_int_not_equal(base_of(&cl), ring_base(&cl.vqs[0].ring));
		assert_int_equal(resume(&cl), 0);
		assert_true(
			client_wait(&cl.vqs[0], CONF_WAIT_MS, &id, &written));
		assert_int_equal(blk_status(&cl, 0), BLK_S_OK);
	}
}

static void test_s63_reset_clears_suspended(void **state)
{
	struct client cl;

	start(&cl, state, false);
	assert_int_equal(suspend(&cl), 0);
	assert_int_equal(dev_set_status(cl.fd, 0), 0);
	assert_int_equal(dev_unmap(cl.fd, 0, 0, UINT64_MAX), IOTLB_DONE);
	client_run(&cl, BLK_FEATURES, 1, 16);
	/* As if nothing had been: the address is fixed again. */
	assert_int_equal(dev_vring_addr(cl.fd, 0, 0, 0, 0), -EINVAL);
	assert_true(blk_works(&cl));
}

/* Live migration: the next client goes on from where this one stopped. */
static void test_s61_a_new_client_goes_on_from_the_base(void **state)
{
	struct client cl;
	struct conf *c = *state;
	uint32_t base;
	uint16_t id;
	uint32_t len;

	start(&cl, state, false);
	for (unsigned int i = 0; i < 37; i++) {
		assert_true(blk_works(&cl));
	}
	assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
	assert_int_equal(suspend(&cl), 0);
	base = base_of(&cl);
	conf_close(c, cl.fd);

	/* The same memory and rings, another session. */
	cl.fd = conf_open(c, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	assert_int_equal(dev_set_owner(cl.fd), 0);
	client_negotiate(&cl, BLK_FEATURES);
	client_map(&cl);
	client_vq_set(&cl, 0);
	assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_BASE, 0, base), 0);
	client_vq_enable(&cl, 0);
	client_driver_ok(&cl);
	client_kick(&cl.vqs[0]);
	assert_true(client_wait(&cl.vqs[0], CONF_WAIT_MS, &id, &len));
	assert_int_equal(blk_status(&cl, 0), BLK_S_OK);
	assert_true(blk_works(&cl));
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_s60_suspend_before_driver_ok_has_no_effect),
	CONF_TEST_BOTH(test_s60_without_support_eopnotsupp_after_driver_ok),
	CONF_TEST_BOTH(test_s61_a_suspended_ring_does_not_move),
	CONF_TEST_BOTH(test_s61_base_is_what_was_consumed),
	CONF_TEST_BOTH(test_s61_a_new_client_goes_on_from_the_base),
	CONF_TEST_BOTH(test_s62_resume_hears_kicks_of_the_meantime),
	CONF_TEST_BOTH(test_s63_reset_clears_suspended),
};

TEST_MAIN("conformance/suspend")
