/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vhost_vdpa device on another side that lies, refuses, hangs, or
 * goes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "rvdpa_rig.h"
#include "uapi/compat.h"

#define DISK	    "backend=mem capacity=16M"
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define ALL	    UINT32_MAX
#define BUF	    4096
#define PLAIN	    (BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM))

struct fixture {
	struct rvdpa_rig *rig;
	unsigned int n_fds;
	uint64_t n_mapped;
};

static uint64_t mapped_regions(void)
{
	struct region_stats stats;

	region_get_stats(&stats);
	return stats.n_regions[REGION_MAPPED];
}

static int set_up_on(void **state, const char *mgmtdev, const char *keys)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->n_fds = test_count_fds();
	fx->n_mapped = mapped_regions();
	fx->rig = rvdpa_rig_new(mgmtdev, keys);
	*state = fx;
	return 0;
}

static int set_up(void **state)
{
	return set_up_on(state, "blk", DISK);
}

static int set_up_net(void **state)
{
	return set_up_on(state, "vdpasim_net", "");
}

/* Whatever happened, nothing stays. */
static int tear_down(void **state)
{
	struct fixture *fx = *state;

	rvdpa_rig_free(fx->rig);
	assert_int_equal(test_count_fds(), fx->n_fds);
	assert_int_equal(mapped_regions(), fx->n_mapped);
	free(fx);
	return 0;
}

static void add_and_open(struct rvdpa_rig *rig, const char *keys)
{
	int r = rvdpa_rig_add(rig, keys);

	if (r < 0) {
		fail_msg("dev add: %s", err_text(r));
	}
	rvdpa_rig_open(rig);
}

static void fail_with(struct rvdpa_rig *rig, unsigned long cmd, int code,
		      unsigned int count)
{
	rig->fail_errno = code;
	rig->fail_count = count;
	rig->fail_cmd = cmd;
}

/* Its client sees an end, and it can be deleted. */
static void assert_broken(struct rvdpa_rig *rig)
{
	assert_int_equal(vclient_status(rig->c) & NEEDS_RESET, NEEDS_RESET);
	vclient_close(rig->c);
	rig->c = NULL;
	rvdpa_rig_del(rig);
}

static void assert_works(struct rvdpa_rig *rig)
{
	void *buf = vclient_alloc(rig->c, BUF, BUF);

	assert_int_equal(vclient_blk(rig->c, 0, 0 /* IN */, 0, buf, BUF), 0);
}

/* ---- what a node says of itself ---- */

static void assert_refused(struct rvdpa_rig *rig, int code)
{
	assert_int_equal(rvdpa_rig_add(rig, ""), code);
	assert_non_null(strchr(err_text(code), ' '));
	rig->lie_cmd = 0;
	fail_with(rig, 0, 0, ALL);
}

static void test_rvdpa_lies_about_itself_are_refused(void **state)
{
	static const struct {
		unsigned long cmd;
		uint64_t lie;
		int code;
	} lies[] = {
		{ VHOST_VDPA_GET_DEVICE_ID, 0, -ERANGE },
		{ VHOST_VDPA_GET_VQS_COUNT, 0, -ERANGE },
		{ VHOST_VDPA_GET_VQS_COUNT, 1025, -ERANGE },
		{ VHOST_VDPA_GET_VQS_COUNT, UINT32_MAX, -ERANGE },
		/* It has not got as many: the next question fails. */
		{ VHOST_VDPA_GET_VQS_COUNT, 1024, -ENOBUFS },
		{ VHOST_VDPA_GET_GROUP_NUM, 0, -ERANGE },
		{ VHOST_VDPA_GET_GROUP_NUM, 65, -ERANGE },
		{ VHOST_VDPA_GET_AS_NUM, 0, -ERANGE },
		{ VHOST_VDPA_GET_AS_NUM, 65, -ERANGE },
		{ VHOST_VDPA_GET_CONFIG_SIZE, 4097, -ERANGE },
		{ VHOST_VDPA_GET_CONFIG_SIZE, 4096, -EINVAL },
		{ VHOST_VDPA_GET_VRING_NUM, 0, -ERANGE },
		{ VHOST_VDPA_GET_VRING_NUM, 32769, -ERANGE },
		{ VHOST_VDPA_GET_IOVA_RANGE, UINT64_MAX, -ERANGE },
		{ VHOST_VDPA_GET_VRING_GROUP, 1, -ERANGE },
		{ VHOST_VDPA_GET_VRING_GROUP, UINT32_MAX, -ERANGE },
		{ VHOST_GET_BACKEND_FEATURES, 0, -EOPNOTSUPP },
	};
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		rig->lie_cmd = lies[i].cmd;
		rig->lie = lies[i].lie;
		assert_refused(rig, lies[i].code);
	}
	add_and_open(rig, "");
	vclient_start(rig->c, 0, 1, 8);
	assert_works(rig);
}

/* Address spaces, and messages that cannot name them. */
static void test_rvdpa_spaces_without_names_are_refused(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	rig->lie_cmd = VHOST_GET_BACKEND_FEATURES;
	rig->lie = BIT_ULL(VHOST_BACKEND_F_IOTLB_MSG_V2);
	assert_refused(rig, -EPROTO);
	assert_int_equal(rvdpa_rig_add(rig, ""), 0);
}

/* It offers groups of rings, and has none. */
static void test_rvdpa_missing_groups_of_rings_are_refused(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	rig->lie_cmd = VHOST_GET_BACKEND_FEATURES;
	rig->lie = BIT_ULL(VHOST_BACKEND_F_IOTLB_MSG_V2) |
		   BIT_ULL(VHOST_BACKEND_F_IOTLB_ASID) |
		   BIT_ULL(VHOST_BACKEND_F_DESC_ASID);
	fail_with(rig, VHOST_SET_BACKEND_FEATURES, EOPNOTSUPP, ALL);
	assert_refused(rig, -EOPNOTSUPP);
}

static void test_rvdpa_every_question_may_fail(void **state)
{
	static const unsigned long cmds[] = {
		VHOST_VDPA_GET_DEVICE_ID,
		VHOST_VDPA_GET_VQS_COUNT,
		VHOST_VDPA_GET_GROUP_NUM,
		VHOST_VDPA_GET_AS_NUM,
		VHOST_VDPA_GET_CONFIG_SIZE,
		VHOST_VDPA_GET_VRING_NUM,
		VHOST_VDPA_GET_IOVA_RANGE,
		VHOST_GET_FEATURES,
		VHOST_GET_BACKEND_FEATURES,
		VHOST_SET_BACKEND_FEATURES,
		VHOST_SET_OWNER,
		VHOST_VDPA_GET_VRING_GROUP,
		VHOST_VDPA_GET_CONFIG,
		VHOST_VDPA_SET_CONFIG_CALL,
		RVDPA_RIG_OPEN,
	};
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		fail_with(rig, cmds[i], EIO, ALL);
		assert_refused(rig, -EIO);
	}
	assert_int_equal(rvdpa_rig_add(rig, ""), 0);
}

/* What an older kernel does not know is not there. */
static void test_rvdpa_goes_without_what_is_optional(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;
	struct vhost_vring_state s = { 0 };

	fail_with(rig, VHOST_VDPA_GET_VRING_SIZE, ENOTTY, ALL);
	add_and_open(rig, "");
	assert_int_equal(vclient_ioctl(rig->c, VHOST_VDPA_GET_VRING_SIZE, &s),
			 -EOPNOTSUPP);
	assert_int_equal(vclient_ioctl(rig->c, VHOST_VDPA_GET_VRING_GROUP, &s),
			 0);
	vclient_start(rig->c, 0, 1, 8);
	assert_works(rig);
	vclient_close(rig->c);
	rig->c = NULL;
	rvdpa_rig_del(rig);
	fail_with(rig, VHOST_VDPA_GET_VRING_GROUP, EOPNOTSUPP, ALL);
	add_and_open(rig, "");
	assert_int_equal(vclient_ioctl(rig->c, VHOST_VDPA_GET_VRING_GROUP, &s),
			 -EOPNOTSUPP);
}

static void test_rvdpa_node_that_is_just_closed_is_waited_for(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	fail_with(rig, RVDPA_RIG_OPEN, EBUSY, 3);
	assert_int_equal(rvdpa_rig_add(rig, ""), 0);
}

static void test_rvdpa_busy_node_is_refused(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	fail_with(rig, RVDPA_RIG_OPEN, EBUSY, ALL);
	assert_refused(rig, -EBUSY);
}

static void test_rvdpa_wrong_keys_are_refused(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	/* Without a path, and without being asked first. */
	assert_int_equal(vworld_add_keys(rig->w, "vhost_vdpa", "d0", 0, ""),
			 -EINVAL);
	assert_int_equal(vworld_add_keys(rig->w, "vhost_vdpa", "d0", 0,
					 "path=vhost-vdpa-0"),
			 -EAGAIN);
	assert_int_equal(rvdpa_rig_add(rig, "timeout=0"), -ERANGE);
	assert_int_equal(rvdpa_rig_add(rig, "timeout=3601"), -ERANGE);
	assert_int_equal(rvdpa_rig_add(rig, "bounce_size=8M"), -EINVAL);
	assert_int_equal(rvdpa_rig_add(rig, "bounce=on bounce_size=5000"),
			 -ERANGE);
}

/* ---- refusals ---- */

/* A queue that could not be set up does not run. */
static void test_rvdpa_failed_set_up_is_no_driver_ok(void **state)
{
	static const unsigned long cmds[] = { VHOST_SET_VRING_NUM,
					      VHOST_SET_VRING_CALL,
					      VHOST_VDPA_SET_VRING_ENABLE };
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	add_and_open(rig, "");
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		fail_with(rig, cmds[i], EINVAL, 1);
		vclient_start(rig->c, 0, 1, 8);
		assert_int_equal(vclient_status(rig->c) & DRIVER_OK, 0);
		vclient_reset(rig->c);
	}
	vclient_start(rig->c, 0, 1, 8);
	assert_works(rig);
}

static void test_rvdpa_status_that_is_not_taken_is_not_shown(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;
	uint64_t features = PLAIN;

	add_and_open(rig, "");
	vclient_set_status(rig->c, 3);
	vclient_must(rig->c, VHOST_SET_FEATURES, &features);
	rig->lie_cmd = VHOST_VDPA_GET_STATUS;
	rig->lie = 3;
	vclient_set_status(rig->c, 11);
	assert_int_equal(vclient_status(rig->c), 3);
	fail_with(rig, VHOST_VDPA_SET_STATUS, EIO, 1);
	vclient_set_status(rig->c, 11);
	assert_int_equal(vclient_status(rig->c), 3);
}

static void test_rvdpa_device_that_does_not_reset_is_not_opened(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;
	struct vclient *c;

	assert_int_equal(rvdpa_rig_add(rig, ""), 0);
	rig->lie_cmd = VHOST_VDPA_GET_STATUS;
	rig->lie = 15;
	assert_int_equal(vclient_open(rig->w, "vhost-vdpa-0", &c), -EIO);
	rig->lie_cmd = 0;
	rvdpa_rig_open(rig);
}

/* Features that the node does not have (any more) are its client's affair. */
static void test_rvdpa_refused_features_are_refused(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;
	uint64_t features = PLAIN;

	add_and_open(rig, "");
	fail_with(rig, VHOST_SET_FEATURES, EINVAL, ALL);
	assert_int_equal(vclient_ioctl(rig->c, VHOST_SET_FEATURES, &features),
			 -EINVAL);
}

static void test_rvdpa_odd_numbers_are_cut(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;
	struct vhost_vring_state s = { 0 };

	add_and_open(rig, "");
	rig->lie_cmd = VHOST_GET_VRING_BASE;
	rig->lie = UINT32_MAX;
	vclient_must(rig->c, VHOST_GET_VRING_BASE, &s);
	assert_int_equal(s.num, UINT16_MAX);
	rig->lie_cmd = VHOST_VDPA_GET_VRING_SIZE;
	vclient_must(rig->c, VHOST_VDPA_GET_VRING_SIZE, &s);
	assert_int_equal(s.num, 1024);
}

/* ---- memory ---- */

static int64_t map_page(struct rvdpa_rig *rig, unsigned int i)
{
	return vclient_iotlb(rig->c, 0, VHOST_IOTLB_UPDATE,
			     0x10000000 + i * 0x10000, 4096,
			     rig->c->mem + i * 4096, VHOST_ACCESS_RW);
}

/* Nothing more is shown to one that does not give memory back. */
static void test_rvdpa_memory_that_is_kept_is_the_last(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	add_and_open(rig, "");
	fail_with(rig, RVDPA_RIG_WRITE, EFAULT, ALL);
	assert_int_equal(map_page(rig, 0), -EFAULT);
	fail_with(rig, 0, 0, ALL);
	assert_int_equal(map_page(rig, 1), -EFAULT);
	assert_int_equal(map_page(rig, 2), -EFAULT);
}

static void test_rvdpa_short_write_is_a_failure(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	add_and_open(rig, "");
	rig->lie_cmd = RVDPA_RIG_WRITE;
	rig->lie = 40;
	assert_int_equal(map_page(rig, 0), -EFAULT);
}

static void map_foreign(struct rvdpa_rig *rig, uint32_t perm, int expected)
{
	const uint64_t first = 0x40000000, last = first + 8191;
	struct foreign_mem *fm;
	struct region *region;
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	assert_int_not_equal(fd, -1);
	assert_int_equal(foreign_mem_new(fd, &fm), 0);
	assert_int_equal(region_new_foreign(fm, (uintptr_t)rig->c->mem, 8192,
					    &region),
			 0);
	assert_int_equal(vdpa_map(rvdpa_rig_dev(rig), 0, first, last, region, 0,
				  perm),
			 expected);
	if (expected == 0) {
		assert_int_equal(vdpa_unmap(rvdpa_rig_dev(rig), 0, first, last),
				 1);
	}
	region_unref(region);
	foreign_mem_unref(fm);
}

static void test_rvdpa_foreign_memory_is_refused(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	add_and_open(rig, "");
	map_foreign(rig, MEM_PERM_RW, -EOPNOTSUPP);
	assert_non_null(strstr(err_text(-EOPNOTSUPP), "bounce=on"));
	map_foreign(rig, MEM_PERM_RO, 0); /* a machine's firmware */
	vclient_start(rig->c, 0, 1, 8);
	assert_works(rig);
}

/* ---- the other side hangs ---- */

static void set_true(void *priv)
{
	*(bool *)priv = true;
}

static void test_rvdpa_hanging_node_is_not_waited_for(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	rig->hold_cmd = VHOST_SET_OWNER;
	assert_int_equal(rvdpa_rig_add(rig, "timeout=1"), -ETIMEDOUT);
	rvdpa_rig_let_go(rig);
	/* It is closed before it is opened anew. */
	assert_int_equal(rvdpa_rig_add(rig, ""), 0);
}

/* Its own client waits, the control loop does not; then it is broken. */
static void test_rvdpa_hanging_call_breaks_it(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct vhost_vring_state num = { .num = 8 };
	struct loop_timer timer;
	bool has_run = false;

	add_and_open(rig, "timeout=1");
	vclient_set_status(rig->c, 3);
	vclient_must(rig->c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	loop_timer_init(&timer, rig->w->control, set_true, &has_run);
	assert_int_equal(loop_timer_set(&timer, 1000000), 0);
	rig->hold_cmd = VHOST_SET_VRING_NUM;
	vclient_must(rig->c, VHOST_SET_VRING_NUM, &num);
	assert_true(has_run);
	rvdpa_rig_wait(rig, fd); /* its client is told */
	assert_int_equal(map_page(rig, 0), -EFAULT);
	assert_broken(rig);
	/* The other side may still use what it was shown. */
	assert_int_equal(mapped_regions(),
			 ((struct fixture *)*state)->n_mapped + 2);
	close(fd);
}

/* `dev del` by force, in the middle of a call. */
static void test_rvdpa_goes_while_a_call_hangs(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	add_and_open(rig, "");
	rig->hold_cmd = VHOST_VDPA_SET_CONFIG;
	assert_int_equal(vdpa_set_config(rvdpa_rig_dev(rig), 0, "x", 1), 0);
	rvdpa_rig_await_held(rig);
	vdpa_mgmtdev_unregister(rig->mgmtdev);
	assert_int_equal(vclient_ioctl(rig->c, VHOST_SET_OWNER, NULL), -ENODEV);
	assert_int_equal(vdpa_mgmtdev_register(rig->w->bus, rig->mgmtdev), 0);
}

static bool takes_features(void *priv)
{
	struct rvdpa_rig *rig = priv;
	uint64_t features = PLAIN;

	return vclient_ioctl(rig->c, VHOST_SET_FEATURES, &features) == 0;
}

/* Who asks for more than is ever answered. */
static void test_rvdpa_queue_of_calls_is_limited(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	add_and_open(rig, "");
	rig->hold_cmd = VHOST_VDPA_SET_CONFIG;
	for (unsigned int i = 0; i < 10000; i++) {
		assert_int_equal(vdpa_set_config(rvdpa_rig_dev(rig), 0, "x", 1),
				 0);
	}
	assert_in_range(vworld_stat(rig->w, "d0", 0, "remote_calls"), 8192,
			8192 + 100);
	rvdpa_rig_let_go(rig);
	rvdpa_rig_until(rig, takes_features, rig);
	vclient_set_status(rig->c, 0);
	vclient_start(rig->c, 0, 1, 8);
	assert_works(rig);
}

/* ---- the other side goes ---- */

static void test_rvdpa_node_that_hangs_up_breaks_it(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct vclient *c;

	add_and_open(rig, "");
	vclient_must(rig->c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	vclient_start(rig->c, 0, 1, 8);
	assert_works(rig);
	assert_int_equal(shutdown(rig->sock, SHUT_RDWR), 0);
	rvdpa_rig_wait(rig, fd);
	assert_int_equal(vclient_status(rig->c) & NEEDS_RESET, NEEDS_RESET);
	vclient_close(rig->c);
	rig->c = NULL;
	assert_int_equal(vclient_open(rig->w, "vhost-vdpa-0", &c), -EIO);
	rvdpa_rig_del(rig);
	close(fd);
}

static void test_rvdpa_node_that_is_none_any_more_breaks_it(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;

	add_and_open(rig, "");
	vclient_set_status(rig->c, 3);
	fail_with(rig, VHOST_VDPA_GET_CONFIG, ENODEV, ALL);
	assert_int_equal(vclient_status(rig->c), 3);
	(void)vclient_ioctl(rig->c, VHOST_VDPA_GET_CONFIG,
			    (uint32_t[]){ 0, 4, 0 });
	assert_broken(rig);
}

/* With a relay in between. */
static void test_rvdpa_bounced_node_that_hangs_up(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	add_and_open(rig, "bounce=on");
	vclient_must(rig->c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	vclient_start(rig->c, 0, 1, 8);
	assert_works(rig);
	assert_int_equal(shutdown(rig->sock, SHUT_RDWR), 0);
	rvdpa_rig_wait(rig, fd);
	assert_broken(rig);
	close(fd);
}

/* News without end are one question at a time. */
static void test_rvdpa_flood_of_news(void **state)
{
	struct rvdpa_rig *rig = ((struct fixture *)*state)->rig;
	struct vdpa_dev_config config = { .n_params = 1 };
	uint64_t before;

	add_and_open(rig, "");
	vclient_start(rig->c, 0, 1, 8);
	before = vworld_stat(rig->w, "d0", 0, "remote_calls");
	rig->hold_cmd = VHOST_VDPA_GET_STATUS;
	strcpy(config.params[0].key, "capacity");
	loop_stop(rig->peer->control);
	for (unsigned int i = 0; i < 200; i++) {
		(void)snprintf(config.params[0].value, 32, "%uM", 16 + i);
		assert_int_equal(vdpa_dev_set(rig->peer->bus, "p0", &config),
				 0);
		rvdpa_rig_turn(rig);
	}
	assert_int_equal(loop_start(rig->peer->control), 0);
	assert_in_range(vworld_stat(rig->w, "d0", 0, "remote_calls"),
			before + 1, before + 2);
	rvdpa_rig_let_go(rig);
	assert_works(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_NET(name) \
	cmocka_unit_test_setup_teardown(name, set_up_net, tear_down)

static const struct CMUnitTest tests[] = {
	TEST(test_rvdpa_lies_about_itself_are_refused),
	TEST_NET(test_rvdpa_spaces_without_names_are_refused),
	TEST(test_rvdpa_missing_groups_of_rings_are_refused),
	TEST(test_rvdpa_every_question_may_fail),
	TEST(test_rvdpa_goes_without_what_is_optional),
	TEST(test_rvdpa_node_that_is_just_closed_is_waited_for),
	TEST(test_rvdpa_busy_node_is_refused),
	TEST(test_rvdpa_wrong_keys_are_refused),
	TEST(test_rvdpa_failed_set_up_is_no_driver_ok),
	TEST(test_rvdpa_status_that_is_not_taken_is_not_shown),
	TEST(test_rvdpa_device_that_does_not_reset_is_not_opened),
	TEST(test_rvdpa_refused_features_are_refused),
	TEST(test_rvdpa_odd_numbers_are_cut),
	TEST(test_rvdpa_memory_that_is_kept_is_the_last),
	TEST(test_rvdpa_short_write_is_a_failure),
	TEST(test_rvdpa_foreign_memory_is_refused),
	TEST(test_rvdpa_hanging_node_is_not_waited_for),
	TEST(test_rvdpa_hanging_call_breaks_it),
	TEST(test_rvdpa_goes_while_a_call_hangs),
	TEST(test_rvdpa_queue_of_calls_is_limited),
	TEST(test_rvdpa_node_that_hangs_up_breaks_it),
	TEST(test_rvdpa_node_that_is_none_any_more_breaks_it),
	TEST(test_rvdpa_bounced_node_that_hangs_up),
	TEST(test_rvdpa_flood_of_news),
};

TEST_MAIN("rvdpa_hostile")
