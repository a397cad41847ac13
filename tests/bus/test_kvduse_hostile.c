/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vduse bus driver: system calls that fail, a kernel that says
 * nonsense, and files in the place of the inflight log.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "lib/oom.h"
#include "lib/test.h"
#include "lib/vkernel.h"

#define PACKED BIT_ULL(VIRTIO_F_RING_PACKED)

struct fixture {
	struct vkernel *k;
	struct vdpa_device *vdev;
	unsigned int n_fds;
	char log[128];
};

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->n_fds = test_count_fds();
	fx->k = vkernel_new();
	vworld_add(fx->k->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	fx->vdev = vdpa_device_find(fx->k->w->bus, "b0");
	(void)snprintf(fx->log, sizeof(fx->log), "%s/vduse-b0.inflight",
		       fx->k->folder);
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vkernel_free(fx->k);
	assert_int_equal(test_count_fds(), fx->n_fds);
	free(fx);
	return 0;
}

static uint8_t write_sector(struct vkernel *k)
{
	uint64_t mark = k->next_free;
	uint8_t status = vkernel_blk(k, 0, VIRTIO_BLK_T_OUT, 1,
				     vkernel_alloc(k, 512, 512), 512);

	k->next_free = mark;
	return status;
}

/* It has survived: the next driver is served. */
static void check_lives(struct vkernel *k)
{
	k->fail_ioctl = 0;
	k->n_maps = 0;
	vkernel_reset(k);
	vkernel_start(k, 0, 1, 8);
	assert_int_equal(write_sector(k), VIRTIO_BLK_S_OK);
}

/* ---- binding ---- */

static void test_each_failure_to_open_has_its_words(void **state)
{
	static const struct {
		const char *path;
		int error;
		int want;
		const char *words;
	} cases[] = {
		{ "/dev/vduse/control", ENOENT, -ENOENT, "modprobe vduse" },
		{ "/dev/vduse/control", EACCES, -EACCES, "root" },
		{ "/dev/vduse/control", EPERM, -EPERM, "root" },
		{ "/dev/vduse/control", EMFILE, -EMFILE, "Too many" },
		{ "/dev/vduse/b0", EBUSY, -EBUSY, "another process" },
		{ "/dev/vduse/b0", EACCES, -EACCES, "/dev/vduse/b0" },
	};
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r;

		k->fail_open = cases[i].path;
		k->fail_errno = cases[i].error;
		r = vkernel_bind(k, "b0", "");
		assert_int_equal(r, cases[i].want);
		assert_non_null(strstr(err_text(r), cases[i].words));
	}
	k->fail_open = NULL;
	k->exists = false;
	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
}

static void test_each_refusal_of_the_device_is_told(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	k->fail_ioctl = VDUSE_CREATE_DEV;
	k->fail_errno = EPERM;
	assert_int_equal(vkernel_bind(k, "b0", ""), -EPERM);
	assert_non_null(strstr(err_text(-EPERM), "CAP_NET_ADMIN"));
	k->fail_errno = EINVAL;
	assert_int_equal(vkernel_bind(k, "b0", ""), -EINVAL);
	k->fail_ioctl = 0;
	k->attach_result = -EPERM;
	assert_int_equal(vkernel_bind(k, "b0", ""), -EPERM);
	assert_non_null(strstr(err_text(-EPERM), "the kernel says no"));
	assert_false(k->exists);
	k->attach_result = -EEXIST; /* another device has that name */
	assert_int_equal(vkernel_bind(k, "b0", ""), -EEXIST);
	assert_false(k->exists);
}

static void test_bad_keys_are_refused(void **state)
{
	static const char *const bad[] = {
		"name=a/b",   "name=",	    "name=control",
		"attach=no!", "keep=2",	    "inflight=there",
		"dir=there",  "nonsense=1", "name=.hidden",
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(vkernel_bind(fx->k, "b0", bad[i]), -EINVAL);
	}
}

/* A device that lacks what VDUSE insists on. */
static void test_a_device_that_vduse_cannot_show_is_refused(void **state)
{
	struct fixture *fx = *state;

	vworld_add(fx->k->w, "vdpasim_blk", "old", BIT_ULL(VIRTIO_F_VERSION_1),
		   NULL, NULL);
	assert_int_equal(vkernel_bind(fx->k, "old", ""), -EOPNOTSUPP);
}

static void test_whatever_call_fails_nothing_is_left(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	unsigned int n_fds = test_count_fds();
	int r;

	do {
		k->fail_nth++;
		k->n_calls = 0;
		r = vkernel_bind(k, "b0", "");
		if (r < 0) {
			k->exists = false; /* DESTROY may have failed */
			k->sock = close_fd(k->sock);
			assert_int_equal(test_count_fds(), n_fds);
		}
	} while (r < 0);
	assert_true(k->fail_nth > 4);
	k->fail_nth = 0;
}

static int bind_once(void *priv)
{
	struct vkernel *k = priv;
	int r;

	oom_begin();
	r = vkernel_bind(k, "b0", "attach=off");
	oom_end();
	if (r == 0) {
		assert_int_equal(vdpa_dev_unbind(k->w->bus, "b0"), 0);
	}
	return r;
}

static void test_whatever_allocation_fails_nothing_is_left(void **state)
{
	struct fixture *fx = *state;

	/* what the loops keep for all times is there then */
	assert_int_equal(vkernel_bind(fx->k, "b0", "attach=off"), 0);
	assert_int_equal(vdpa_dev_unbind(fx->k->w->bus, "b0"), 0);
	assert_true(oom_check(bind_once, fx->k) > 3);
}

/* ---- what was there before ---- */

static void test_a_leftover_that_nobody_uses_is_replaced(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", "keep=on attach=off"), 0);
	vkernel_restart(k);
	assert_true(k->exists);
	k->created->vendor_id = 4711;
	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	assert_int_not_equal(k->created->vendor_id, 4711);
}

static void test_another_device_of_that_name_is_not_touched(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	struct vduse_create *c = k->created;

	assert_int_equal(vkernel_bind(k, "b0", "keep=on"), 0);
	vkernel_restart(k);
	c->vq_num++;
	assert_int_equal(vkernel_bind(k, "b0", ""), -EEXIST);
	c->vq_num -= 2;
	assert_int_equal(vkernel_bind(k, "b0", ""), -EEXIST);
	c->vq_num++;
	c->config_size--;
	assert_int_equal(vkernel_bind(k, "b0", ""), -EEXIST);
	c->config_size++;
	k->fail_ioctl = VDUSE_VQ_GET_INFO; /* the kernel has given it up */
	k->fail_errno = EPERM;
	assert_int_equal(vkernel_bind(k, "b0", ""), -EIO);
	assert_non_null(strstr(err_text(-EIO), "vdpa dev del b0"));
	k->fail_ioctl = 0;
	assert_true(k->is_attached);
	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
}

/* ---- the inflight log ---- */

static void leave_running(struct vkernel *k, uint64_t features)
{
	assert_int_equal(vkernel_bind(k, "b0", "keep=on"), 0);
	vkernel_start(k, features, 1, 8);
	assert_int_equal(write_sector(k), VIRTIO_BLK_S_OK);
	vkernel_restart(k);
}

static void test_a_log_in_use_is_not_shared(void **state)
{
	struct fixture *fx = *state;
	int fd = open(fx->log, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(vkernel_bind(fx->k, "b0", ""), -EBUSY);
	assert_false(fx->k->exists);
	close(fd);
	assert_int_equal(vkernel_bind(fx->k, "b0", ""), 0);
}

static void test_a_log_that_others_could_write_is_refused(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	char other[160];

	(void)snprintf(other, sizeof(other), "%s.other", fx->log);
	assert_int_equal(symlink("/dev/null", fx->log), 0);
	assert_true(vkernel_bind(k, "b0", "") < 0);
	assert_int_equal(unlink(fx->log), 0);

	assert_int_equal(mkfifo(fx->log, 0600), 0);
	assert_true(vkernel_bind(k, "b0", "") < 0);
	(void)unlink(fx->log);

	close(open(fx->log, O_RDWR | O_CREAT, 0600));
	assert_int_equal(chmod(fx->log, 0622), 0);
	assert_int_equal(vkernel_bind(k, "b0", ""), -EPERM);
	(void)unlink(fx->log);

	close(open(fx->log, O_RDWR | O_CREAT, 0600));
	assert_int_equal(link(fx->log, other), 0);
	assert_int_equal(vkernel_bind(k, "b0", ""), -EPERM);
	(void)unlink(fx->log);
	(void)unlink(other);
	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
}

/* One byte of its first page is wrong, or its size is: not believed. */
static void test_a_log_of_another_device_is_not_believed(void **state)
{
	static const struct {
		off_t at;
		const char *bytes;
	} cases[] = {
		{ 0, "V" },    { 8, "\2" },  { 12, "\1" },
		{ 20, "\77" }, { 24, "\1" }, { 32, "\1" },
		{ 40, "\1" },  { 48, "\1" }, { -1, "" },
	};
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd;

		leave_running(k, 0);
		fd = open(fx->log, O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		if (cases[i].at >= 0) {
			assert_int_equal(
				pwrite(fd, cases[i].bytes, 1, cases[i].at), 1);
		} else {
			assert_int_equal(ftruncate(fd, 100), 0);
		}
		close(fd);
		assert_int_equal(vkernel_bind(k, "b0", "keep=on"), 0);
		/* by the ring then */
		assert_int_equal(write_sector(k), VIRTIO_BLK_S_OK);
		vkernel_reset(k);
		assert_int_equal(vdpa_dev_unbind(k->w->bus, "b0"), 0);
	}
}

/* What it says of the queue is nonsense: the queue breaks, nothing else. */
static void test_a_log_full_of_nonsense_breaks_the_queue(void **state)
{
	static const uint64_t formats[] = { 0, PACKED };
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	char page[4096];

	memset(page, 0x5a, sizeof(page));
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		int fd;

		leave_running(k, formats[i]);
		fd = open(fx->log, O_RDWR | O_CLOEXEC);
		assert_int_equal(pwrite(fd, page, sizeof(page), 4096),
				 sizeof(page));
		close(fd);
		assert_int_equal(vkernel_bind(k, "b0", ""), 0);
		while (!(vdpa_get_status(fx->vdev) &
			 VIRTIO_CONFIG_S_NEEDS_RESET)) {
			assert_true(vkernel_status(k, 0xf));
		}
		check_lives(k);
		vkernel_reset(k);
		assert_int_equal(vdpa_dev_unbind(k->w->bus, "b0"), 0);
	}
}

/* ---- the kernel's table ---- */

static void test_mappings_that_make_no_sense_are_refused(void **state)
{
	static const struct vduse_iotlb_entry_as bad[] = {
		{ .start = 0x2000, .last = 0x1fff, .perm = 3 },
		{ .start = 0, .last = UINT64_MAX, .perm = 3 },
		{ .start = 0, .last = 0xfff, .perm = 0 },
		{ .start = 0, .last = 0xfff, .perm = 7 },
		{ .start = 0, .last = VKERNEL_MEM_BYTES, .perm = 3 },
		{ .start = 0, .last = 0, .perm = 3, .offset = UINT64_MAX },
		{ .start = 0,
		  .last = 0xfff,
		  .perm = 3,
		  .offset = VKERNEL_MEM_BYTES },
		{ .start = 0, .last = INT64_MAX, .perm = 3 },
	};
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		vkernel_start(k, 0, 1, 8);
		k->maps[k->n_maps] = k->maps[0];
		k->maps[0] = (struct vkernel_map){ bad[i], k->memfd };
		k->n_maps++;
		assert_false(vkernel_update(k));
		assert_int_equal(vdpa_n_maps(fx->vdev, 0), 0);
		vkernel_reset(k);
		vkernel_make_queue(k, 0, 8);
		k->features = k->created->features;
		assert_false(vkernel_status(k, 0xf));
		check_lives(k);
		vkernel_reset(k);
		k->n_maps = 0;
	}
}

/* Each answer begins before what was asked for, or there is no end of them. */
static void test_a_table_without_an_end_is_left(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	vkernel_start(k, 0, 1, 8);
	k->maps[1] = k->maps[0];
	k->maps[1].entry.last = UINT64_MAX - 1;
	k->maps[1].entry.start = 0;
	k->n_maps = 2;
	assert_false(vkernel_update(k));
	check_lives(k);
	k->endless = true;
	assert_false(vkernel_update(k));
	k->endless = false;
	check_lives(k);
}

static void test_files_that_are_no_memory_are_refused(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	int pair[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	for (int i = 0; i < 2; i++) {
		vkernel_start(k, 0, 1, 8);
		vkernel_map(k, 0x70000000, 0x70000fff, i ? pair[0] : null, 0,
			    VDUSE_ACCESS_RW);
		assert_false(vkernel_update(k));
		check_lives(k);
		vkernel_reset(k);
	}
	close(null);
	close(pair[0]);
	close(pair[1]);
}

/* ---- queues ---- */

static void test_queues_that_make_no_sense_are_refused(void **state)
{
	static const struct vduse_vq_info bad[] = {
		{ .num = 0, .ready = 1 },
		{ .num = 3, .ready = 1 },
		{ .num = 1U << 15, .ready = 1 },
		{ .num = UINT32_MAX, .ready = 1 },
	};
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		k->features = k->created->features & ~PACKED;
		vkernel_map_memory(k);
		k->vqs[0].info = bad[i];
		assert_false(vkernel_status(k, 0xf));
		assert_false(vdpa_get_status(fx->vdev) &
			     VIRTIO_CONFIG_S_DRIVER_OK);
		check_lives(k);
		vkernel_reset(k);
		k->n_maps = 0;
	}
}

/* Rings where nothing is, and positions that a ring does not have. */
static void test_queues_in_the_wrong_place_harm_nobody(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	for (int i = 0; i < 3; i++) {
		k->features = k->created->features;
		if (i < 2) {
			k->features &= ~PACKED;
		}
		vkernel_map_memory(k);
		vkernel_make_queue(k, 0, 8);
		if (i == 0) {
			k->vqs[0].info.device_addr = UINT64_MAX - 1;
		} else if (i == 1) {
			k->vqs[0].info.split.avail_index = 0x8000;
		} else {
			k->vqs[0].info.packed.last_avail_idx = 0x7fff;
		}
		assert_true(vkernel_status(k, 0xf));
		vkernel_kick(k, 0);
		assert_true(vkernel_status(k, 0xf));
		check_lives(k);
		vkernel_reset(k);
		k->n_maps = 0;
	}
}

static void test_features_that_were_not_offered_are_not_taken(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	k->features = UINT64_MAX & ~PACKED;
	vkernel_map_memory(k);
	assert_true(vkernel_status(k, 0xb));
	assert_int_equal(vdpa_get_driver_features(fx->vdev),
			 k->created->features & ~PACKED);
	check_lives(k);
	vkernel_reset(k);
	k->features = 0; /* no ACCESS_PLATFORM */
	assert_false(vkernel_status(k, 0xb));
	check_lives(k);
}

/* ---- requests ---- */

static void test_requests_that_make_no_sense_are_refused(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	struct vduse_request req;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	for (uint32_t type = 4; type < 300; type += 37) {
		req = (struct vduse_request){ .type = type };
		assert_int_equal(vkernel_ask(k, &req).result,
				 VDUSE_REQ_RESULT_FAILED);
	}
	req = (struct vduse_request){ .type = VDUSE_REQUEST_GET_VQ_STATE };
	req.vq_state.index = fx->vdev->nvqs;
	assert_int_equal(vkernel_ask(k, &req).result, VDUSE_REQ_RESULT_FAILED);
	req.vq_state.index = UINT32_MAX;
	assert_int_equal(vkernel_ask(k, &req).result, VDUSE_REQ_RESULT_FAILED);
	req = (struct vduse_request){ .type = VDUSE_REQUEST_UPDATE_IOTLB };
	req.iova.start = 1;
	assert_int_equal(vkernel_ask(k, &req).result, VDUSE_REQ_RESULT_FAILED);
	vkernel_start(k, 0, 1, 8);
	assert_int_equal(write_sector(k), VIRTIO_BLK_S_OK);
}

/* Any ioctl fails, once or from then on, while a driver starts. */
static void test_whatever_fails_a_start_can_be_tried_again(void **state)
{
	static const unsigned long cmds[] = {
		VDUSE_DEV_GET_FEATURES,
		VDUSE_VQ_GET_INFO,
		VDUSE_VQ_SETUP_KICKFD,
		VDUSE_IOTLB_GET_FD,
	};
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		k->features = k->created->features & ~PACKED;
		vkernel_map_memory(k);
		vkernel_make_queue(k, 0, 8);
		k->fail_ioctl = cmds[i];
		k->fail_errno = EIO;
		assert_false(vkernel_status(k, 0xf));
		check_lives(k);
		vkernel_reset(k);
		k->n_maps = 0;
	}
}

static bool is_broken(struct fixture *fx)
{
	char text[256];

	fx->vdev->driver->describe(fx->vdev, text, sizeof(text));
	return strstr(text, "broken") != NULL;
}

static void test_half_a_request_ends_it(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(vkernel_bind(fx->k, "b0", ""), 0);
	vkernel_start(fx->k, 0, 1, 8);
	vkernel_send(fx->k, "half", 4);
	while (!is_broken(fx)) {
		vkernel_run_once(fx->k);
	}
}

static void test_a_device_that_the_kernel_gave_up_is_told_so(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(vkernel_bind(fx->k, "b0", ""), 0);
	vkernel_start(fx->k, 0, 1, 8);
	assert_int_equal(shutdown(fx->k->sock, SHUT_RDWR), 0);
	while (!is_broken(fx)) {
		vkernel_run_once(fx->k);
	}
	assert_int_equal(vdpa_dev_del(fx->k->w->bus, "b0", NULL, NULL), 0);
}

/* Nobody reads the answers: no harm but to those who wait for them. */
static void test_answers_that_are_not_taken_are_dropped(void **state)
{
	struct fixture *fx = *state;
	struct vkernel *k = fx->k;
	struct vduse_request req = { .type = VDUSE_REQUEST_SET_STATUS };
	struct vduse_response resp;

	assert_int_equal(vkernel_bind(k, "b0", ""), 0);
	for (int i = 0; i < 2000; i++) {
		(void)!send(k->sock, &req, sizeof(req),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		vkernel_run_once(k);
	}
	while (recv(k->sock, &resp, sizeof(resp), MSG_DONTWAIT) > 0) {
	}
	vkernel_start(k, 0, 1, 8);
	assert_int_equal(write_sector(k), VIRTIO_BLK_S_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	TEST(test_each_failure_to_open_has_its_words),
	TEST(test_each_refusal_of_the_device_is_told),
	TEST(test_bad_keys_are_refused),
	TEST(test_a_device_that_vduse_cannot_show_is_refused),
	TEST(test_whatever_call_fails_nothing_is_left),
	TEST(test_whatever_allocation_fails_nothing_is_left),
	TEST(test_a_leftover_that_nobody_uses_is_replaced),
	TEST(test_another_device_of_that_name_is_not_touched),
	TEST(test_a_log_in_use_is_not_shared),
	TEST(test_a_log_that_others_could_write_is_refused),
	TEST(test_a_log_of_another_device_is_not_believed),
	TEST(test_a_log_full_of_nonsense_breaks_the_queue),
	TEST(test_mappings_that_make_no_sense_are_refused),
	TEST(test_a_table_without_an_end_is_left),
	TEST(test_files_that_are_no_memory_are_refused),
	TEST(test_queues_that_make_no_sense_are_refused),
	TEST(test_queues_in_the_wrong_place_harm_nobody),
	TEST(test_features_that_were_not_offered_are_not_taken),
	TEST(test_requests_that_make_no_sense_are_refused),
	TEST(test_whatever_fails_a_start_can_be_tried_again),
	TEST(test_half_a_request_ends_it),
	TEST(test_a_device_that_the_kernel_gave_up_is_told_so),
	TEST(test_answers_that_are_not_taken_are_dropped),
};

TEST_MAIN("kvduse_hostile")
