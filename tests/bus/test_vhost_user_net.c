/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of network rings on a vhost-user socket that are started but disabled:
 * what is sent is discarded, what would be received waits.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "lib/test.h"
#include "lib/vfront.h"

#define HDR	    12
#define FRAME_BYTES 60
#define NUM	    8

enum {
	RX,
	TX
};

struct fixture {
	struct vfront_world *fw;
	struct vdpa_device *vdev;
	struct vfront *f;
	char *rx;
	char *tx;
};

static int set_up_ring(void **state, uint64_t features)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->fw = vfront_world_new(NULL, 1);
	vworld_add(fx->fw->w, "vdpasim_net", "n0", 0, NULL, NULL);
	fx->vdev = vdpa_device_find(fx->fw->w->bus, "n0");
	assert_int_equal(vfront_bind(fx->fw, "n0", NULL, NULL), 0);
	fx->f = vfront_connect(fx->fw);
	vfront_negotiate(fx->f, features);
	assert_int_equal(vfront_set_memory(fx->f), 0);
	fx->rx = vfront_alloc(fx->f, 2048, 64);
	fx->tx = vfront_alloc(fx->f, 2048, 64);
	memset(fx->tx + HDR, 0xff, 6); /* to everybody */
	for (unsigned int i = RX; i <= TX; i++) {
		vfront_make_queue(fx->f, i, NUM);
		vfront_set_ring(fx->f, i);
		vfront_set_kick(fx->f, i);
		vfront_set_call(fx->f, i);
	}
	*state = fx;
	return 0;
}

static int set_up_split(void **state)
{
	return set_up_ring(state, 0);
}

static int set_up_packed(void **state)
{
	return set_up_ring(state, BIT_ULL(VIRTIO_F_RING_PACKED));
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vfront_close(fx->f);
	vfront_world_free(fx->fw);
	free(fx);
	return 0;
}

static void enable(struct fixture *fx, unsigned int idx, bool on)
{
	assert_int_equal(vfront_ack_state(fx->f, VHOST_USER_SET_VRING_ENABLE,
					  idx, on),
			 0);
}

static void post_rx(struct fixture *fx)
{
	struct vq_sg sg = { vfront_gpa(fx->f, fx->rx), 2048 };

	assert_int_equal(vq_driver_add(fx->f->q[RX].drv, &sg, 0, 1, fx->rx), 0);
	(void)vq_driver_publish(fx->f->q[RX].drv);
}

/* One frame, with @tag; returns when the device has given the buffer back. */
static void send_frame(struct fixture *fx, char tag)
{
	struct vq_sg sg = { vfront_gpa(fx->f, fx->tx), HDR + FRAME_BYTES };

	fx->tx[HDR + FRAME_BYTES - 1] = tag;
	assert_int_equal(vq_driver_add(fx->f->q[TX].drv, &sg, 1, 0, fx->tx), 0);
	assert_int_equal(vfront_run_one(fx->f, TX).written, 0);
}

static void expect_frame(struct fixture *fx, char tag)
{
	struct vq_used used;

	assert_int_equal(vq_driver_get(fx->f->q[RX].drv, &used, 1), 1);
	assert_int_equal(used.written, HDR + FRAME_BYTES);
	assert_int_equal(fx->rx[HDR + FRAME_BYTES - 1], tag);
}

static void expect_no_frame(struct fixture *fx)
{
	struct vq_used used;

	assert_int_equal(vq_driver_get(fx->f->q[RX].drv, &used, 1), 0);
	assert_int_equal(vworld_stat(fx->fw->w, "n0", TX, "tx packets"), 0);
}

/* Several times around the ring. */
static void test_disabled_from_the_start_it_is_discarded(void **state)
{
	struct fixture *fx = *state;

	post_rx(fx);
	for (char i = 0; i < 3 * NUM; i++) {
		send_frame(fx, i);
	}
	expect_no_frame(fx);
	assert_false(vdpa_get_vq_ready(fx->vdev, RX));
	enable(fx, RX, true);
	send_frame(fx, 100);
	expect_no_frame(fx);
	enable(fx, TX, true);
	send_frame(fx, 101);
	expect_frame(fx, 101);
}

static void test_disabled_and_enabled_again(void **state)
{
	struct fixture *fx = *state;

	enable(fx, RX, true);
	enable(fx, TX, true);
	for (char i = 0; i < 2 * NUM; i += 2) {
		post_rx(fx);
		send_frame(fx, i);
		expect_frame(fx, i);
		enable(fx, RX, false);
		enable(fx, TX, false);
		send_frame(fx, (char)(i + 1));
		enable(fx, RX, true);
		enable(fx, TX, true);
	}
	assert_int_equal(vworld_stat(fx->fw->w, "n0", TX, "tx packets"), NUM);
}

/* A ring that is stopped is stopped, enabled or not. */
static void test_stopped_while_disabled(void **state)
{
	struct fixture *fx = *state;

	send_frame(fx, 1);
	assert_true(vdpa_get_vq_ready(fx->vdev, TX));
	fx->f->q[TX].base = vfront_get_base(fx->f, TX);
	assert_false(vdpa_get_vq_ready(fx->vdev, TX));
	vfront_set_ring(fx->f, TX);
	vfront_set_kick(fx->f, TX);
	send_frame(fx, 2);
	expect_no_frame(fx);
}

#define BOTH(f)                                                  \
	{ #f "[split]", f, set_up_split, tear_down, NULL },      \
	{                                                        \
#f "[packed]", f, set_up_packed, tear_down, NULL \
	}

static const struct CMUnitTest tests[] = {
	BOTH(test_disabled_from_the_start_it_is_discarded),
	BOTH(test_disabled_and_enabled_again),
	BOTH(test_stopped_while_disabled),
};

TEST_MAIN("vhost_user_net")
