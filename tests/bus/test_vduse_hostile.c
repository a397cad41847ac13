/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE: processes that do what they should not (H72, H62, H64, H91), and
 * clients that leave in the middle.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "test_vduse_rig.h"

#define RANDOM_CALLS 20000

static struct rig *with_client(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_client_open(r), 0);
	return r;
}

static void reply_twice(struct rig *r, const struct vduse_request *req)
{
	assert_int_equal(rig_reply(r, req->request_id + 1, 0), -ENOENT);
	assert_int_equal(rig_reply(r, UINT32_MAX, 0), -ENOENT);
	assert_int_equal(rig_reply(r, req->request_id, 0), 152);
	assert_int_equal(rig_reply(r, req->request_id, 1), -ENOENT);
	r->answer = RIG_OK;
	r->hook = NULL;
}

static void test_h72_second_reply_finds_nothing(void **state)
{
	struct rig *r = with_client(state);

	r->hook = reply_twice;
	r->answer = RIG_SILENT;
	assert_int_equal(rig_status(r, 1), 0);
	assert_int_equal(rig_get_status(r), 1);
	assert_int_equal(rig_status(r, 3), 0);
}

static void reply_7(struct rig *r, const struct vduse_request *req)
{
	assert_int_equal(rig_reply(r, req->request_id, 7), 152);
	r->answer = RIG_OK;
	r->hook = NULL;
}

static void test_h72_unknown_result_is_a_no(void **state)
{
	struct rig *r = with_client(state);

	r->answer = RIG_SILENT;
	r->hook = reply_7;
	assert_int_equal(rig_status(r, 1), 0);
	assert_int_equal(rig_get_status(r), 0);
}

/* A client whose call is cut off: as if it was killed. */
static int64_t status_of_the_dying(struct rig *r, uint8_t status)
{
	cdev_local_set_turn(r->w->local, NULL, NULL);
	return rig_status(r, status);
}

static void test_killed_client_withdraws_its_request(void **state)
{
	struct rig *r = with_client(state);
	struct vduse_request req;

	r->answer = RIG_SILENT;
	assert_int_equal(status_of_the_dying(r, 1), -EDEADLK);
	/* It can be read still, and nobody wants the reply. */
	assert_int_equal(cdev_local_read(r->process, r->dev, &req, sizeof(req)),
			 152);
	assert_int_equal(rig_reply(r, req.request_id, 0), -ENOENT);
	assert_int_equal(rig_get_status(r), 0);
	/* It is not sent again, either. */
	rig_close(r);
	assert_int_equal(rig_open(r), 0);
	assert_int_equal(cdev_local_read(r->process, r->dev, &req, sizeof(req)),
			 -EAGAIN);
	r->answer = RIG_OK;
}

static void test_unregister_while_a_request_waits(void **state)
{
	struct rig *r = with_client(state);

	r->answer = RIG_SILENT;
	rig_client_close(r); /* its reset waits for the process */
	vduse_unregister(r->vduse);
	r->vduse = NULL;
	rig_settle(r);
	assert_null(vdpa_device_find(r->w->bus, "vd0"));
}

static void test_process_that_never_reads_holds_no_memory(void **state)
{
	struct rig *r = with_client(state);

	r->answer = RIG_SILENT;
	cdev_local_set_turn(r->w->local, NULL, NULL);
	for (unsigned int i = 0; i < CDEV_PIECES_MAX; i++) {
		assert_int_equal(rig_status(r, 1), -EDEADLK);
	}
	/* No room for another: it fails at once. */
	assert_int_equal(rig_status(r, 1), 0);
	assert_int_equal(rig_get_status(r), 0);
	rig_close(r); /* the next process begins anew */
	assert_int_equal(rig_open(r), 0);
	assert_int_equal(status_of_the_dying(r, 1), -EDEADLK);
	assert_true(rig_serve(r));
	rig_close(r);
	assert_int_equal(rig_open(r), 0);
	r->answer = RIG_OK;
}

/* Every ioctl number of the file, with random bytes as its argument. */
static void test_h64_random_ioctls_and_replies(void **state)
{
	struct rig *r = with_client(state);
	unsigned int n_fds;
	uint32_t arg[24];

	assert_int_equal(rig_map(r, 0, RIG_IOVA, 0, 4096), 72);
	n_fds = test_count_fds();
	for (unsigned int i = 0; i < RANDOM_CALLS; i++) {
		uint64_t seed = sim_random(r->sim);
		uint32_t cmd = _IOC(seed >> 60 & 3, VDUSE_BASE,
				    0x10 + (seed >> 32) % 12, 0);
		static const uint32_t known[] = {
			VDUSE_IOTLB_GET_FD,	VDUSE_IOTLB_GET_FD2,
			VDUSE_DEV_GET_FEATURES, VDUSE_DEV_SET_CONFIG,
			VDUSE_VQ_SETUP,		VDUSE_VQ_GET_INFO,
			VDUSE_VQ_SETUP_KICKFD,	VDUSE_VQ_INJECT_IRQ,
			VDUSE_IOTLB_REG_UMEM,	VDUSE_IOTLB_GET_INFO,
		};
		int64_t ret;

		for (unsigned int w = 0; w < ARRAY_SIZE(arg); w++) {
			uint64_t x = sim_random(r->sim);

			arg[w] = x & 1 ? (uint32_t)(x >> 60)
				       : (uint32_t)(x >> 32);
		}
		if (seed & 1) {
			cmd = known[(seed >> 8) % ARRAY_SIZE(known)];
		}
		if (cmd == VDUSE_VQ_SETUP) {
			continue; /* it would take the queues away */
		}
		ret = rig_ioctl(r, cmd, arg);
		if (ret > 0) {
			close((int)ret);
		}
		ret = cdev_local_write(r->process, r->dev, arg, sizeof(arg));
		assert_int_equal(ret, -EINVAL);
	}
	(void)rig_vring(r, VHOST_VDPA_SET_VRING_ENABLE, 0, 1);
	assert_int_equal(rig_status(r, 0), 0); /* lets go of kickfds */
	assert_int_equal(test_count_fds(), n_fds);
	assert_int_equal(rig_status(r, 1), 0);
	assert_int_equal(rig_get_status(r), 1);
}

static void test_h62_replaced_kickfds_are_closed(void **state)
{
	struct rig *r = with_client(state);
	int fd = eventfd(0, EFD_CLOEXEC);
	unsigned int n_fds = test_count_fds();

	for (unsigned int i = 0; i < 100; i++) {
		struct vduse_vq_eventfd e = { i % 2, fd };

		assert_int_equal(rig_ioctl(r, VDUSE_VQ_SETUP_KICKFD, &e), 0);
	}
	assert_int_equal(test_count_fds(), n_fds + 2);
	assert_int_equal(rig_status(r, 0), 0);
	assert_int_equal(test_count_fds(), n_fds);
	close(fd);
}

static void test_queue_taken_away_while_attached(void **state)
{
	struct rig *r = with_client(state);
	uint16_t max = 1;

	assert_int_equal(rig_setup_vq(r, 0, 0, 0), 0);
	assert_int_equal(rig_setup_vq(r, 1, 0, 0), 0);
	assert_int_equal(rig_client(r, VHOST_VDPA_GET_VRING_NUM, &max), 0);
	assert_int_equal(rig_vring(r, VHOST_SET_VRING_NUM, 0, 64), -EINVAL);
	assert_int_equal(rig_status(r, 1), 0);
}

static void test_deleting_while_the_process_is_dead(void **state)
{
	struct rig *r = with_client(state);

	rig_close(r);
	r->answer = RIG_SILENT;
	cdev_local_set_turn(r->w->local, NULL, NULL);
	rig_client_close(r);
	r->answer = RIG_OK;
	assert_int_equal(vdpa_dev_del(r->w->bus, "vd0", NULL, NULL), 0);
	rig_sleep(r, 40); /* the reset's time is up, then it goes */
	assert_null(vdpa_device_find(r->w->bus, "vd0"));
	assert_int_equal(rig_destroy(r, "vd0"), 0);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_set_up, rig_tear_down)

static const struct CMUnitTest tests[] = {
	WITH(test_h72_second_reply_finds_nothing),
	WITH(test_h72_unknown_result_is_a_no),
	WITH(test_killed_client_withdraws_its_request),
	WITH(test_unregister_while_a_request_waits),
	WITH(test_process_that_never_reads_holds_no_memory),
	WITH(test_h64_random_ioctls_and_replies),
	WITH(test_h62_replaced_kickfds_are_closed),
	WITH(test_queue_taken_away_while_attached),
	WITH(test_deleting_while_the_process_is_dead),
};

TEST_MAIN("vduse_hostile")
