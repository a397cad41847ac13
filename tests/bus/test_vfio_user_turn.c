/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vfio-user bus driver on a device that keeps its callers waiting:
 * answers come when it has done it, what comes behind waits for it, and clients
 * may leave meanwhile.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "base/log.h"
#include "fake_dev.h"
#include "lib/test.h"
#include "lib/vuser.h"

#define COMMON VIRTIO_PCI_CAP_COMMON_CFG

struct fixture {
	struct vuser_world *vw;
	struct fake_dev fake;
	struct vuser *c;
	unsigned int n_fds;
};

static void drop_line(enum log_level level, const char *line)
{
	(void)level;
	(void)line;
}

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	log_set_sink(drop_line, LOG_LEVEL_DEBUG);
	fx->n_fds = test_count_fds();
	fx->vw = vuser_world_new(NULL, 1);
	fake_init(&fx->fake);
	fx->fake.vdev.may_wait = true;
	assert_int_equal(vdpa_device_register(fx->vw->fw->w->bus, NULL,
					      &fx->fake.vdev),
			 0);
	assert_int_equal(vuser_bind(fx->vw, "fake", NULL, NULL), 0);
	fx->c = vuser_connect(fx->vw);
	vuser_hello(fx->c);
	vuser_find_caps(fx->c);
	*state = fx;
	return 0;
}

static void settle(struct fixture *fx)
{
	vfront_run(fx->vw->fw, 5 * 1000000ULL);
}

static void go_on(struct fixture *fx)
{
	fx->fake.waits = false;
	vdpa_wake(&fx->fake.vdev);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;
	struct region_stats stats;

	go_on(fx);
	if (fx->c) {
		vuser_close(fx->c);
	}
	settle(fx);
	vuser_world_cut(fx->vw);
	vdpa_device_unregister(&fx->fake.vdev);
	fake_fini(&fx->fake);
	vuser_world_free(fx->vw);
	region_get_stats(&stats);
	assert_int_equal(stats.n_regions[REGION_MAPPED], 0);
	assert_int_equal(test_count_fds(), fx->n_fds);
	log_set_sink(NULL, LOG_LEVEL_WARN);
	free(fx);
	return 0;
}

/* Without waiting for the answer. */
static void send_status(struct vuser *c, uint8_t status, uint32_t flags)
{
	struct {
		struct vfio_user_region_access a;
		uint8_t status;
	} m = { { VIRTIO_PCI_COMMON_STATUS, 0, 1 }, status };

	assert_int_equal(vuser_send(c, VFIO_USER_REGION_WRITE, flags, &m,
				    sizeof(m.a) + 1, NULL, 0),
			 0);
}

static bool has_answer(struct vuser *c)
{
	char byte;

	return recv(c->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
}

static void test_answer_comes_when_the_device_has_done_it(void **state)
{
	struct fixture *fx = *state;
	const struct vfio_user_region_access ask = { VIRTIO_PCI_COMMON_STATUS,
						     0, 1 };
	struct vuser_msg msg;

	fx->fake.waits = true;
	send_status(fx->c, 1, 0);
	/* Behind it, and seen after it. */
	assert_int_equal(vuser_send(fx->c, VFIO_USER_REGION_READ, 0, &ask,
				    sizeof(ask), NULL, 0),
			 0);
	settle(fx);
	assert_false(has_answer(fx->c));
	assert_int_equal(fx->fake.n_steps, 1);
	go_on(fx);
	assert_int_equal(vuser_recv(fx->c, &msg), 0);
	assert_int_equal(msg.hdr.command, VFIO_USER_REGION_WRITE);
	assert_int_equal(vuser_recv(fx->c, &msg), 0);
	assert_int_equal(msg.hdr.command, VFIO_USER_REGION_READ);
	assert_int_equal(msg.payload[sizeof(ask)], 1);
}

static void test_posted_writes_are_done_in_order(void **state)
{
	struct fixture *fx = *state;

	fx->fake.waits = true;
	send_status(fx->c, 1, VFIO_USER_NO_REPLY);
	send_status(fx->c, 3, VFIO_USER_NO_REPLY);
	settle(fx);
	assert_int_equal(fx->fake.n_steps, 1);
	go_on(fx);
	assert_int_equal(vuser_status(fx->c), 3);
	assert_int_equal(fx->fake.n_steps, 2);
}

static void test_many_writes_wait_one_after_the_other(void **state)
{
	struct fixture *fx = *state;
	struct {
		uint64_t n;
		struct vfio_user_write_one w[3];
	} m = { 3,
		{ { VIRTIO_PCI_COMMON_STATUS, 0, 1, { 1 } },
		  { VIRTIO_PCI_COMMON_STATUS, 0, 1, { 3 } },
		  { VIRTIO_PCI_COMMON_Q_SELECT, 0, 2, { 5 } } } };
	struct vuser_msg msg;

	fx->fake.waits = true;
	assert_int_equal(vuser_send(fx->c, VFIO_USER_REGION_WRITE_MULTI, 0, &m,
				    sizeof(m), NULL, 0),
			 0);
	settle(fx);
	assert_false(has_answer(fx->c));
	assert_int_equal(fx->fake.n_steps, 1);
	go_on(fx);
	assert_int_equal(vuser_recv(fx->c, &msg), 0);
	assert_int_equal(msg.hdr.flags, VFIO_USER_REPLY);
	assert_int_equal(vuser_status(fx->c), 3);
	assert_int_equal(
		vuser_get(fx->c, COMMON, VIRTIO_PCI_COMMON_Q_SELECT, 2), 5);
}

/* Memory is mapped in turn, too. */
static void test_memory_waits_for_its_turn(void **state)
{
	struct fixture *fx = *state;
	const struct vfio_user_dma_map m = { sizeof(m), 3, 0, VUSER_GPA,
					     VUSER_MEM_BYTES };
	struct vuser_msg msg;

	fx->fake.waits = true;
	send_status(fx->c, 1, VFIO_USER_NO_REPLY);
	assert_int_equal(vuser_send(fx->c, VFIO_USER_DMA_MAP, 0, &m, sizeof(m),
				    &fx->c->memfd, 1),
			 0);
	settle(fx);
	assert_int_equal(vdpa_n_maps(&fx->fake.vdev, 0), 0);
	go_on(fx);
	assert_int_equal(vuser_recv(fx->c, &msg), 0);
	assert_int_equal(msg.hdr.flags, VFIO_USER_REPLY);
	assert_int_equal(vdpa_n_maps(&fx->fake.vdev, 0), 1);
	assert_int_equal(vuser_unmap(fx->c, VUSER_GPA, VUSER_MEM_BYTES, 0), 0);
	assert_int_equal(vdpa_n_maps(&fx->fake.vdev, 0), 0);
}

/* The one that waits is told nothing; the next one waits for the device. */
static void test_client_leaves_while_it_waits(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(vuser_map(fx->c, VUSER_GPA, VUSER_MEM_BYTES, 0, 3,
				   fx->c->memfd),
			 0);
	fx->fake.waits = true;
	send_status(fx->c, 1, 0);
	settle(fx);
	assert_int_equal(fx->fake.n_steps, 1);
	vuser_close(fx->c);
	fx->c = vuser_connect(fx->vw); /* the first one has hung up: its way */
	settle(fx);
	/* The wait failed, and the device is being reset: it waits again. */
	assert_int_equal(fx->fake.n_steps, 2);
	assert_int_equal(fx->fake.steps[1], 0);
	go_on(fx);
	vuser_hello(fx->c);
	vuser_find_caps(fx->c);
	assert_int_equal(vuser_status(fx->c), 0);
	assert_int_equal(vdpa_n_maps(&fx->fake.vdev, 0), 0);
}

/* Nobody comes after it. */
static void test_client_leaves_and_the_device_goes_on(void **state)
{
	struct fixture *fx = *state;

	fx->fake.waits = true;
	send_status(fx->c, 1, 0);
	settle(fx);
	vuser_close(fx->c);
	fx->c = NULL;
	settle(fx);
	go_on(fx);
	settle(fx);
	assert_false(fx->fake.vdev.driver->is_busy(&fx->fake.vdev));
	assert_int_equal(fx->fake.status, 0);
}

static void test_unbind_is_refused_while_a_session_ends(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_bus *bus = fx->vw->fw->w->bus;

	fx->fake.waits = true;
	vuser_close(fx->c);
	fx->c = NULL;
	settle(fx);
	assert_int_equal(vdpa_dev_unbind(bus, "fake"), -EBUSY);
	go_on(fx);
	settle(fx);
	assert_int_equal(vdpa_dev_unbind(bus, "fake"), 0);
}

static void test_cut_off_while_it_waits(void **state)
{
	struct fixture *fx = *state;

	fx->fake.waits = true;
	send_status(fx->c, 1, 0);
	settle(fx);
	vuser_world_cut(fx->vw);
	vuser_expect_end(fx->c);
}

static void test_cut_off_while_a_session_ends(void **state)
{
	struct fixture *fx = *state;

	fx->fake.waits = true;
	vuser_close(fx->c);
	fx->c = NULL;
	settle(fx);
	vuser_world_cut(fx->vw);
}

/* A device whose process has ended could only fail. */
static void test_device_without_a_client_is_left_alone(void **state)
{
	struct fixture *fx = *state;
	unsigned int n_steps;

	vuser_close(fx->c);
	fx->c = NULL;
	settle(fx);
	n_steps = fx->fake.n_steps;
	vuser_world_cut(fx->vw);
	assert_int_equal(fx->fake.n_steps, n_steps);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_answer_comes_when_the_device_has_done_it),
	T(test_posted_writes_are_done_in_order),
	T(test_many_writes_wait_one_after_the_other),
	T(test_memory_waits_for_its_turn),
	T(test_client_leaves_while_it_waits),
	T(test_client_leaves_and_the_device_goes_on),
	T(test_unbind_is_refused_while_a_session_ends),
	T(test_cut_off_while_it_waits),
	T(test_cut_off_while_a_session_ends),
	T(test_device_without_a_client_is_left_alone),
};

TEST_MAIN("vfio_user_turn")
