/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the register window, without any layout.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "fake_dev.h"
#include "win_rig.h"

#define V1	 BIT_ULL(VIRTIO_F_VERSION_1)
#define PLATFORM BIT_ULL(VIRTIO_F_ACCESS_PLATFORM)
#define PACKED	 BIT_ULL(VIRTIO_F_RING_PACKED)
#define RESET	 BIT_ULL(40)
#define NUM	 16
#define DATA	 4096

static int set_up(void **state)
{
	struct win_rig *rig =
		win_rig_new(1, "blk", "backend=mem capacity=1M num_queues=2");

	win_rig_open(rig, false);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct win_rig *rig = *state;

	if (rig->win) {
		win_rig_close(rig);
	}
	win_rig_free(rig);
	return 0;
}

static struct window_stats stats(const struct win_rig *rig)
{
	struct window_stats s;

	window_get_stats(rig->win, &s);
	return s;
}

static void start(struct win_rig *rig, uint64_t features)
{
	win_negotiate(rig, features);
	assert_int_equal(win_read(rig, WINDOW_STATUS), 0xb);
	for (uint32_t i = 0; i < 2; i++) {
		win_set_up_queue(rig, i, NUM, features);
		assert_int_equal(win_read(rig, WINDOW_QUEUE_READY), 1);
	}
	win_write(rig, WINDOW_STATUS, 0xf);
	assert_int_equal(win_read(rig, WINDOW_STATUS), 0xf);
}

static void expect_io(struct win_rig *rig, uint32_t idx)
{
	char *data = win_alloc(rig, DATA, DATA);

	memset(data, 0x5a, DATA);
	assert_int_equal(win_blk(rig, idx, VIRTIO_BLK_T_OUT, 8, data, DATA),
			 VIRTIO_BLK_S_OK);
	memset(data, 0, DATA);
	assert_int_equal(win_blk(rig, idx, VIRTIO_BLK_T_IN, 8, data, DATA),
			 VIRTIO_BLK_S_OK);
	for (unsigned int i = 0; i < DATA; i++) {
		assert_int_equal(data[i], 0x5a);
	}
	rig->next_free -= DATA;
}

/* ---- what it is for ---- */

static void test_window_data_in_both_ring_formats(void **state)
{
	static const uint64_t formats[] = { V1, V1 | PLATFORM, V1 | PACKED,
					    V1 | PLATFORM | PACKED };
	struct win_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		uint64_t mark = rig->next_free;

		start(rig, formats[i]);
		expect_io(rig, 0);
		expect_io(rig, 1);
		rig->next_free = mark;
	}
	assert_int_equal(stats(rig).n_mistakes, 0);
	assert_int_equal(stats(rig).n_refused, 0);
	assert_int_not_equal(stats(rig).n_notifies, 0);
}

static void test_window_registers_after_reset(void **state)
{
	struct win_rig *rig = *state;

	start(rig, V1);
	win_write(rig, WINDOW_STATUS, 0);
	assert_int_equal(win_read(rig, WINDOW_STATUS), 0);
	assert_int_equal(win_read(rig, WINDOW_DEVICE_ID), VIRTIO_ID_BLOCK);
	assert_int_equal(win_read(rig, WINDOW_NUM_QUEUES), 2);
	assert_int_equal(win_read(rig, WINDOW_QUEUE_SEL), 0);
	win_write(rig, WINDOW_DRIVER_FEATURES_SEL, 1);
	assert_int_equal(win_read(rig, WINDOW_DRIVER_FEATURES), 0);
	for (uint32_t i = 0; i < 2; i++) {
		win_write(rig, WINDOW_QUEUE_SEL, i);
		assert_int_equal(win_read(rig, WINDOW_QUEUE_READY), 0);
		assert_int_equal(win_read(rig, WINDOW_QUEUE_DESC_LOW), 0);
		assert_int_equal(win_read(rig, WINDOW_QUEUE_NUM),
				 win_read(rig, WINDOW_QUEUE_NUM_MAX));
		assert_int_equal(win_read(rig, WINDOW_QUEUE_NOTIFY_OFF), i);
	}
	win_write(rig, WINDOW_QUEUE_SEL, 2);
	assert_int_equal(win_read(rig, WINDOW_QUEUE_NUM_MAX), 0);
	assert_int_equal(win_read(rig, WINDOW_INTERRUPT_STATUS), 0);
	assert_int_equal(win_read(rig, WINDOW_SHM_LEN_LOW), UINT32_MAX);
	assert_int_equal(win_read(rig, WINDOW_SHM_BASE_HIGH), UINT32_MAX);
	assert_int_equal(stats(rig).n_mistakes, 0);
}

static void test_window_features_that_are_ours(void **state)
{
	struct win_rig *rig = *state;
	uint32_t high;

	win_write(rig, WINDOW_DEVICE_FEATURES_SEL, 1);
	high = win_read(rig, WINDOW_DEVICE_FEATURES);
	assert_true(has_bit(high, 40 - 32)); /* RING_RESET */
	assert_false(has_bit(high, 38 - 32)); /* NOTIFICATION_DATA */
	assert_true(has_bit(high, VIRTIO_F_VERSION_1 - 32));
	win_write(rig, WINDOW_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(win_read(rig, WINDOW_DEVICE_FEATURES), 0);
	/* The device has it, whatever the driver says. */
	win_negotiate(rig, V1 | RESET);
	assert_int_equal(vdpa_get_driver_features(rig->vdev), V1 | PLATFORM);
}

static void test_window_level_of_interrupts(void **state)
{
	struct win_rig *rig = *state;

	start(rig, V1);
	expect_io(rig, 0);
	win_rig_run(rig);
	assert_true(rig->level);
	assert_int_equal(rig->n_irqs, 1); /* of two requests */
	assert_int_equal(win_read(rig, WINDOW_INTERRUPT_STATUS),
			 WINDOW_INT_VRING);
	win_write(rig, WINDOW_INTERRUPT_ACK, WINDOW_INT_CONFIG);
	assert_true(rig->level);
	win_write(rig, WINDOW_INTERRUPT_ACK, WINDOW_INT_VRING);
	assert_false(rig->level);
	assert_int_equal(window_take_isr(rig->win), 0);
	expect_io(rig, 1);
	win_rig_run(rig);
	assert_int_equal(rig->n_irqs, 2);
	assert_int_equal(window_take_isr(rig->win), WINDOW_INT_VRING);
	assert_false(rig->level);
	expect_io(rig, 1);
	win_rig_run(rig);
	assert_true(rig->level);
	win_write(rig, WINDOW_STATUS, 0);
	assert_false(rig->level);
}

static void test_window_edges_of_interrupts(void **state)
{
	struct win_rig *rig = *state;

	win_rig_close(rig);
	win_rig_open(rig, true);
	start(rig, V1);
	expect_io(rig, 0);
	win_rig_run(rig);
	assert_int_equal(rig->n_irqs, 2); /* each, and never a low level */
	assert_true(rig->level);
	win_write(rig, WINDOW_INTERRUPT_ACK, WINDOW_INT_VRING);
	assert_true(rig->level);
}

static void test_window_calls_of_single_queues(void **state)
{
	struct win_rig *rig = *state;
	struct vdpa_callback cb = {
		.trigger_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.is_trusted = true,
	};
	uint64_t n;

	assert_int_equal(window_set_vq_call(rig->win, 0, &cb), 0);
	assert_int_equal(window_set_vq_call(rig->win, 2, &cb), -EINVAL);
	start(rig, V1);
	expect_io(rig, 0);
	win_rig_run(rig);
	assert_int_equal(read(cb.trigger_fd, &n, 8), 8);
	assert_int_equal(n, 2);
	assert_int_equal(rig->n_irqs, 0);
	/* While it runs, and back. */
	assert_int_equal(window_set_vq_call(rig->win, 1, &cb), 0);
	assert_int_equal(window_set_vq_call(rig->win, 0, NULL), 0);
	expect_io(rig, 1);
	win_rig_run(rig);
	assert_int_equal(read(cb.trigger_fd, &n, 8), 8);
	expect_io(rig, 0);
	win_rig_run(rig);
	assert_int_equal(rig->n_irqs, 1);
	/* Across resets. */
	start(rig, V1);
	expect_io(rig, 1);
	win_rig_run(rig);
	assert_int_equal(read(cb.trigger_fd, &n, 8), 8);
	win_write(rig, WINDOW_STATUS, 0);
	assert_int_equal(window_set_vq_call(rig->win, 1, NULL), 0);
	close(cb.trigger_fd);
}

static void kick_by_fd(struct win_rig *rig, uint32_t idx)
{
	int fd = window_kick_fd(rig->win, idx);

	assert_true(fd >= 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
}

static void test_window_kicks_by_eventfd(void **state)
{
	struct win_rig *rig = *state;
	int fd = window_kick_fd(rig->win, 1);

	assert_true(fd >= 0);
	assert_int_equal(window_kick_fd(rig->win, 2), -EINVAL);
	rig->kick = kick_by_fd;
	for (int i = 0; i < 2; i++) {
		start(rig, V1);
		expect_io(rig, 0);
		expect_io(rig, 1);
		assert_int_equal(window_kick_fd(rig->win, 1), fd);
	}
	assert_int_equal(stats(rig).n_notifies, 0);
}

static void test_window_resets_single_queues(void **state)
{
	struct win_rig *rig = *state;

	start(rig, V1 | RESET);
	expect_io(rig, 1);
	win_write(rig, WINDOW_QUEUE_SEL, 1);
	win_write(rig, WINDOW_QUEUE_RESET, 1);
	assert_int_equal(win_read(rig, WINDOW_QUEUE_RESET), 0);
	assert_int_equal(win_read(rig, WINDOW_QUEUE_READY), 0);
	assert_int_equal(win_read(rig, WINDOW_QUEUE_DESC_LOW), 0);
	expect_io(rig, 0);
	win_set_up_queue(rig, 1, NUM / 2, V1);
	assert_int_equal(win_read(rig, WINDOW_QUEUE_READY), 1);
	expect_io(rig, 1);
	expect_io(rig, 0);
	assert_int_equal(stats(rig).n_mistakes, 0);
	/* And by QUEUE_READY alone. */
	win_write(rig, WINDOW_QUEUE_SEL, 1);
	win_write(rig, WINDOW_QUEUE_READY, 0);
	assert_int_equal(win_read(rig, WINDOW_QUEUE_READY), 0);
	win_set_up_queue(rig, 1, NUM, V1);
	expect_io(rig, 1);
	assert_int_equal(stats(rig).n_mistakes, 0);
}

static void test_window_config_space(void **state)
{
	struct win_rig *rig = *state;
	uint64_t capacity = 0;
	uint8_t byte = 1;

	assert_int_equal(window_config_read(rig->win, 0, &capacity, 8), 0);
	assert_int_equal(capacity, 2048);
	assert_int_equal(window_config_read(rig->win, 4000, &byte, 1), -EINVAL);
	assert_int_equal(byte, 0);
	assert_int_equal(window_config_read(rig->win, UINT32_MAX, &byte, 1),
			 -EINVAL);
	assert_int_equal(window_config_write(rig->win, 4000, &byte, 1),
			 -EINVAL);
	/* A driver may look before it has features. */
	assert_int_equal(win_read(rig, WINDOW_STATUS), 0);
}

/* ---- mistakes ---- */

/* H71. */
static void test_window_h71_status_out_of_order(void **state)
{
	struct win_rig *rig = *state;
	uint64_t n = 0;

	win_write(rig, WINDOW_STATUS, 4); /* DRIVER_OK alone */
	assert_int_equal(win_read(rig, WINDOW_STATUS), 0);
	assert_int_equal(stats(rig).n_mistakes, ++n);
	win_write(rig, WINDOW_STATUS, 0xf); /* without VERSION_1 */
	assert_int_equal(win_read(rig, WINDOW_STATUS), 3);
	assert_int_equal(stats(rig).n_mistakes, ++n);
	win_write(rig, WINDOW_STATUS, 1); /* takes bits back */
	win_write(rig, WINDOW_STATUS, 0x10003); /* no such bit */
	win_write(rig, WINDOW_STATUS, 0x23);
	assert_int_equal(win_read(rig, WINDOW_STATUS), 3);
	n += 3;
	assert_int_equal(stats(rig).n_mistakes, n);
	win_write(rig, WINDOW_STATUS, 0x43); /* NEEDS_RESET is not his */
	assert_int_equal(win_read(rig, WINDOW_STATUS), 3);
	assert_int_equal(stats(rig).n_mistakes, n);
	start(rig, V1);
	win_write(rig, WINDOW_STATUS, 0xf); /* twice */
	expect_io(rig, 0);
	win_write(rig, WINDOW_STATUS, 0x8f);
	assert_int_equal(win_read(rig, WINDOW_STATUS), 0x8f);
	assert_int_equal(stats(rig).n_mistakes, n);
}

static void test_window_h71_features_that_were_not_offered(void **state)
{
	static const uint64_t bad[] = { V1 | BIT_ULL(38), V1 | BIT_ULL(63),
					V1 | BIT_ULL(VIRTIO_F_SR_IOV), PLATFORM,
					0 };
	struct win_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		win_negotiate(rig, bad[i]);
		assert_int_equal(win_read(rig, WINDOW_STATUS), 3);
	}
	win_write(rig, WINDOW_STATUS, 0);
	win_write(rig, WINDOW_DRIVER_FEATURES_SEL, 2);
	win_write(rig, WINDOW_DRIVER_FEATURES, 1);
	win_write(rig, WINDOW_DRIVER_FEATURES_SEL, 1);
	win_write(rig, WINDOW_DRIVER_FEATURES, 1); /* VERSION_1 */
	win_write(rig, WINDOW_STATUS, 0xb);
	assert_int_equal(win_read(rig, WINDOW_STATUS), 3);
	assert_int_equal(stats(rig).n_mistakes, ARRAY_SIZE(bad) + 1);
	start(rig, V1); /* a reset forgives all of it */
	expect_io(rig, 0);
}

static void test_window_features_after_features_ok(void **state)
{
	struct win_rig *rig = *state;

	start(rig, V1);
	win_write(rig, WINDOW_DRIVER_FEATURES_SEL, 1);
	win_write(rig, WINDOW_DRIVER_FEATURES, 5);
	assert_int_equal(win_read(rig, WINDOW_DRIVER_FEATURES), 1);
	assert_int_equal(stats(rig).n_mistakes, 1);
	expect_io(rig, 0);
}

/* H25. */
static void test_window_h25_ring_sizes(void **state)
{
	static const uint32_t bad[] = { 0,	 3,	     100,
					0x10000, 0x80000000, UINT32_MAX };
	struct win_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		win_negotiate(rig, V1);
		win_write(rig, WINDOW_QUEUE_NUM, bad[i]);
		win_write(rig, WINDOW_QUEUE_READY, 1);
		assert_int_equal(win_read(rig, WINDOW_QUEUE_READY), 0);
		assert_int_equal(win_read(rig, WINDOW_STATUS), 0x4b);
		assert_int_equal(stats(rig).n_broken, i + 1);
		win_write(rig, WINDOW_STATUS, 0xf); /* nothing but 0 now */
		assert_int_equal(win_read(rig, WINDOW_STATUS), 0x4b);
	}
	start(rig, V1);
	expect_io(rig, 0);
}

static void test_window_queue_that_runs_is_not_changed(void **state)
{
	static const enum window_reg regs[] = {
		WINDOW_QUEUE_NUM,	  WINDOW_QUEUE_DESC_LOW,
		WINDOW_QUEUE_DESC_HIGH,	  WINDOW_QUEUE_DRIVER_LOW,
		WINDOW_QUEUE_DRIVER_HIGH, WINDOW_QUEUE_DEVICE_LOW,
		WINDOW_QUEUE_DEVICE_HIGH,
	};
	struct win_rig *rig = *state;

	start(rig, V1);
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
		uint32_t old = win_read(rig, regs[i]);

		win_write(rig, regs[i], 0x2000);
		assert_int_equal(win_read(rig, regs[i]), old);
	}
	assert_int_equal(stats(rig).n_mistakes, ARRAY_SIZE(regs));
	win_write(rig, WINDOW_QUEUE_READY, 1);
	win_write(rig, WINDOW_QUEUE_READY, 2);
	win_write(rig, WINDOW_QUEUE_RESET, 1); /* was not agreed on */
	assert_int_equal(win_read(rig, WINDOW_QUEUE_READY), 1);
	assert_int_equal(stats(rig).n_mistakes, ARRAY_SIZE(regs) + 3);
	expect_io(rig, 0);
	expect_io(rig, 1);
}

/* H60. */
static void test_window_h60_queues_that_are_not_there(void **state)
{
	static const uint32_t bad[] = { 2,	 3,	     0x10000,
					0x10001, 0x80000000, UINT32_MAX };
	struct win_rig *rig = *state;

	start(rig, V1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		win_write(rig, WINDOW_QUEUE_SEL, bad[i]);
		for (enum window_reg r = WINDOW_QUEUE_NUM_MAX;
		     r <= WINDOW_QUEUE_DEVICE_HIGH; r++) {
			win_write(rig, r, 1);
			assert_int_equal(win_read(rig, r), 0);
		}
		win_write(rig, WINDOW_QUEUE_NOTIFY, bad[i]);
	}
	expect_io(rig, 0);
	expect_io(rig, 1);
}

static void test_window_queue_before_features_ok(void **state)
{
	struct win_rig *rig = *state;

	win_write(rig, WINDOW_STATUS, 3);
	win_set_up_queue(rig, 0, NUM, V1);
	assert_int_equal(win_read(rig, WINDOW_QUEUE_READY), 0);
	assert_int_equal(win_read(rig, WINDOW_STATUS), 3);
	win_write(rig, WINDOW_QUEUE_NOTIFY, 0);
	assert_int_equal(stats(rig).n_mistakes, 2);
}

static void test_window_without_version_1_there_is_none(void **state)
{
	struct window_options options = { 0 };
	struct win_rig *rig = *state;
	struct window *win;
	struct fake_dev fake;

	fake_init(&fake);
	fake.offered = 0xf0;
	assert_int_equal(vdpa_device_register(rig->w->bus, NULL, &fake.vdev),
			 0);
	assert_int_equal(window_new(&fake.vdev, &options, &win), -EOPNOTSUPP);
	assert_int_equal(vdpa_dev_unbind(rig->w->bus, "fake"), 0);
	vdpa_device_unregister(&fake.vdev);
	fake_fini(&fake);
}

/* ---- taken away ---- */

static void test_window_that_was_cut_off(void **state)
{
	struct win_rig *rig = *state;

	start(rig, V1);
	window_cut(rig->win);
	assert_null(window_device(rig->win));
	assert_true(rig->level);
	assert_int_equal(win_read(rig, WINDOW_INTERRUPT_STATUS),
			 WINDOW_INT_CONFIG);
	for (enum window_reg r = 0; r < WINDOW_REG_N; r++) {
		win_write(rig, r, 1);
		if (r != WINDOW_INTERRUPT_STATUS) {
			assert_int_equal(win_read(rig, r),
					 r == WINDOW_STATUS
						 ? VIRTIO_CONFIG_S_NEEDS_RESET
						 : 0);
		}
	}
	assert_int_equal(vdpa_get_status(rig->vdev), 0);
	assert_int_equal(vdpa_n_maps(rig->vdev, 0), 0);
	rig->win = window_free(rig->win);
}

/* ---- a device that waits ---- */

struct waiting {
	struct win_rig *rig;
	struct fake_dev fake;
	struct window_op op;
	unsigned int n_done;
};

static void count_done(struct window_op *op)
{
	container_of(op, struct waiting, op)->n_done++;
}

static int set_up_waiting(void **state)
{
	struct waiting *wt = calloc(1, sizeof(*wt));

	assert_non_null(wt);
	fake_init(&wt->fake);
	wt->fake.vdev.may_wait = true;
	wt->rig = win_rig_on(1, &wt->fake.vdev);
	wt->op.done = count_done;
	win_rig_open(wt->rig, false);
	*state = wt;
	return 0;
}

static int tear_down_waiting(void **state)
{
	struct waiting *wt = *state;

	wt->fake.waits = false;
	win_rig_close(wt->rig);
	vdpa_device_unregister(&wt->fake.vdev);
	fake_fini(&wt->fake);
	win_rig_free(wt->rig);
	free(wt);
	return 0;
}

static void answer(struct waiting *wt)
{
	wt->fake.waits = false;
	vdpa_wake(&wt->fake.vdev);
	win_rig_run(wt->rig);
}

static void test_window_waits_for_status_and_reset(void **state)
{
	struct waiting *wt = *state;

	win_negotiate(wt->rig, V1);
	assert_int_equal(wt->fake.features, V1 | PLATFORM);
	win_set_up_queue(wt->rig, 0, NUM, V1);
	wt->fake.waits = true;
	window_write(wt->rig->win, &wt->op, WINDOW_STATUS, 0xf);
	win_rig_run(wt->rig);
	assert_int_equal(wt->n_done, 0);
	assert_true(window_is_busy(wt->rig->win));
	assert_int_equal(win_read(wt->rig, WINDOW_STATUS), 0xb);
	answer(wt);
	assert_int_equal(wt->n_done, 1);
	assert_int_equal(win_read(wt->rig, WINDOW_STATUS), 0xf);
	wt->fake.waits = true;
	window_write(wt->rig->win, &wt->op, WINDOW_STATUS, 0);
	win_rig_run(wt->rig);
	/* Until it is over the driver does not read 0. */
	assert_int_equal(win_read(wt->rig, WINDOW_STATUS), 0xf);
	assert_int_equal(win_read(wt->rig, WINDOW_QUEUE_READY), 1);
	answer(wt);
	assert_int_equal(wt->n_done, 2);
	assert_int_equal(win_read(wt->rig, WINDOW_STATUS), 0);
	assert_int_equal(win_read(wt->rig, WINDOW_QUEUE_READY), 0);
}

static void test_window_status_that_is_refused(void **state)
{
	struct waiting *wt = *state;

	wt->fake.refused = VIRTIO_CONFIG_S_FEATURES_OK;
	win_negotiate(wt->rig, V1);
	assert_int_equal(win_read(wt->rig, WINDOW_STATUS), 3);
	assert_int_equal(stats(wt->rig).n_refused, 1);
	wt->fake.reset_ret = -EIO;
	window_write(wt->rig->win, &wt->op, WINDOW_STATUS, 0);
	assert_int_equal(wt->op.result, -EIO);
	wt->fake.reset_ret = 0;
}

static void test_window_write_that_is_cancelled(void **state)
{
	struct window_op second = { 0 };
	struct waiting *wt = *state;

	wt->fake.waits = true;
	window_write(wt->rig->win, &wt->op, WINDOW_STATUS, 1);
	window_write(wt->rig->win, &second, WINDOW_STATUS, 3);
	window_cancel(wt->rig->win, &second);
	assert_int_equal(second.result, -ECANCELED);
	window_cancel(wt->rig->win, &wt->op);
	assert_int_equal(wt->n_done, 1);
	assert_false(window_is_busy(wt->rig->win));
	wt->fake.waits = false;
	win_rig_run(wt->rig);
	win_negotiate(wt->rig, V1);
	assert_int_equal(win_read(wt->rig, WINDOW_STATUS), 0xb);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define W(name) \
	cmocka_unit_test_setup_teardown(name, set_up_waiting, tear_down_waiting)

static const struct CMUnitTest tests[] = {
	T(test_window_data_in_both_ring_formats),
	T(test_window_registers_after_reset),
	T(test_window_features_that_are_ours),
	T(test_window_level_of_interrupts),
	T(test_window_edges_of_interrupts),
	T(test_window_calls_of_single_queues),
	T(test_window_kicks_by_eventfd),
	T(test_window_resets_single_queues),
	T(test_window_config_space),
	T(test_window_h71_status_out_of_order),
	T(test_window_h71_features_that_were_not_offered),
	T(test_window_features_after_features_ok),
	T(test_window_h25_ring_sizes),
	T(test_window_queue_that_runs_is_not_changed),
	T(test_window_h60_queues_that_are_not_there),
	T(test_window_queue_before_features_ok),
	T(test_window_without_version_1_there_is_none),
	T(test_window_that_was_cut_off),
	W(test_window_waits_for_status_and_reset),
	W(test_window_status_that_is_refused),
	W(test_window_write_that_is_cancelled),
};

TEST_MAIN("dev_window")
