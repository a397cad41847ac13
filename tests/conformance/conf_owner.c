/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: the owner. Statements 7 to 10.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "lib/conf.h"
#include "lib/dev.h"

static void test_s07_set_owner_twice_is_ebusy(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_set_owner(fd), -EBUSY);
}

/* ---- before SET_OWNER ---- */

static const unsigned long owner_ioctls[] = {
	VHOST_RESET_OWNER,
	VHOST_SET_MEM_TABLE,
	VHOST_SET_VRING_NUM,
	VHOST_SET_VRING_ADDR,
	VHOST_SET_VRING_BASE,
	VHOST_GET_VRING_BASE,
	VHOST_SET_VRING_ENDIAN,
	VHOST_GET_VRING_ENDIAN,
	VHOST_SET_VRING_KICK,
	VHOST_SET_VRING_CALL,
	VHOST_SET_VRING_ERR,
	VHOST_SET_VRING_BUSYLOOP_TIMEOUT,
	VHOST_GET_VRING_BUSYLOOP_TIMEOUT,
	VHOST_VDPA_SET_VRING_ENABLE,
};

/* Of the newer kernels that have them; others take them for unknown ones, with
 * the same result. */
static const unsigned long owner_query_ioctls[] = {
	VHOST_VDPA_GET_VRING_GROUP,	 VHOST_VDPA_SET_GROUP_ASID,
	VHOST_VDPA_GET_VRING_DESC_GROUP, VHOST_VDPA_GET_VRING_SIZE,
	VHOST_GET_FEATURES_ARRAY,	 VHOST_SET_FEATURES_ARRAY,
};

/* An argument that is good for any of them. */
union argument {
	struct vhost_vring_state state;
	struct vhost_vring_file file;
	struct vhost_vring_addr addr;
	char room[128];
};

static void expect_all(int fd, const unsigned long *cmds, size_t n, int want)
{
	for (size_t i = 0; i < n; i++) {
		union argument arg = { { 0 } };
		int ret = dev_ioctl(fd, cmds[i], &arg);

		if (ret != want) {
			print_error("ioctl 0x%lx: %d\n", cmds[i], ret);
		}
		assert_int_equal(ret, want);
	}
}

static void test_s08_vring_ioctls_without_owner_are_eperm(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	expect_all(fd, owner_ioctls, ARRAY_LEN(owner_ioctls), -EPERM);
}

static void test_s08_group_queries_without_owner_are_eperm(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	expect_all(fd, owner_query_ioctls, ARRAY_LEN(owner_query_ioctls),
		   -EPERM);
}

/* Before the argument is looked at. */
static void test_s08_without_owner_a_bad_pointer_is_eperm_too(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_ioctl(fd, VHOST_SET_VRING_NUM, BAD_POINTER),
			 -EPERM);
	assert_int_equal(dev_ioctl(fd, VHOST_SET_VRING_KICK, NULL), -EPERM);
}

static void test_s08_unknown_ioctls_without_owner_are_eperm(void **state)
{
	static const unsigned long unknown[] = { 0x5401, 0xaf50, 0x4008afff,
						 0 };
	int fd = conf_open(*state, conf_node(), O_RDWR);

	expect_all(fd, unknown, ARRAY_LEN(unknown), -EPERM);
}

static void test_s08_iotlb_writes_without_owner_are_efault(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_memfd(c, 4096);
	int fd = conf_open(c, conf_node(), O_RDWR);

	assert_int_equal(dev_map(fd, 0, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 -EFAULT);
	assert_int_equal(dev_unmap(fd, 0, 0, 4096), -EFAULT);
	assert_int_equal(dev_batch(fd, 0, true), -EFAULT);
	/* Nothing of it was done. */
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_map(fd, 0, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 IOTLB_DONE);
}

static void test_s09_features_and_status_without_owner(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint64_t features;

	assert_int_equal(dev_get_features(fd, &features), 0);
	assert_true(features != 0);
	assert_int_equal(dev_get_status(fd), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE | S_DRIVER), 0);
	assert_int_equal(dev_set_features(fd, features), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE | S_DRIVER |
						    S_FEATURES_OK),
			 0);
	assert_int_equal(dev_set_status(fd, 0), 0);
}

static void test_s09_config_without_owner(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint8_t buf[8];
	int none = -1;

	assert_int_equal(dev_get_config(fd, 0, buf, 6), 0);
	assert_int_equal(dev_set_config(fd, 0, buf, 6), 0);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, &none), 0);
}

static void test_s09_backend_features_without_owner(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint64_t features = 0;

	assert_int_equal(dev_get_backend_features(fd, &features), 0);
	assert_int_equal(dev_set_backend_features(fd, features), 0);
}

static void test_s09_suspend_and_resume_without_owner(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SUSPEND, NULL), 0);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_RESUME, NULL), 0);
}

static void test_s09_numbers_without_owner(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	struct vhost_vdpa_iova_range range = { 1, 1 };

	assert_true(dev_get_u32(fd, VHOST_VDPA_GET_DEVICE_ID) > 0);
	assert_true(dev_get_num_max(fd) > 0);
	assert_true(dev_get_u32(fd, VHOST_VDPA_GET_CONFIG_SIZE) >= 6);
	assert_true(dev_get_u32(fd, VHOST_VDPA_GET_VQS_COUNT) > 0);
	assert_true(dev_get_u32(fd, VHOST_VDPA_GET_GROUP_NUM) > 0);
	assert_true(dev_get_u32(fd, VHOST_VDPA_GET_AS_NUM) > 0);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_GET_IOVA_RANGE, &range), 0);
	assert_true(range.first < range.last);
}

/* Not in older kernels. */
static void test_s09_fork_from_owner_only_before_the_owner(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint8_t value = 1, bad = 2, back = 9;

	if (dev_ioctl(fd, VHOST_SET_FORK_FROM_OWNER, &value) == -EPERM) {
		conf_skip("a kernel without SET_FORK_FROM_OWNER");
	}
	assert_int_equal(dev_ioctl(fd, VHOST_SET_FORK_FROM_OWNER, &bad),
			 -EINVAL);
	assert_int_equal(dev_ioctl(fd, VHOST_GET_FORK_FROM_OWNER, &back), 0);
	assert_int_equal(back, value);
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_ioctl(fd, VHOST_SET_FORK_FROM_OWNER, &value),
			 -EBUSY);
}

/* ---- others than the owner ---- */

/* Return: which check failed, from 1 on; 0 none. */
static int child_of_owner(void *arg)
{
	int fd = *(int *)arg;
	uint32_t num;
	char page[4096];

	if (dev_vring(fd, VHOST_SET_VRING_NUM, 0, 16) != -EPERM) {
		return 1;
	}
	if (dev_vring_get(fd, VHOST_GET_VRING_BASE, 0, &num) != -EPERM) {
		return 2;
	}
	if (dev_get_status(fd) != S_ACKNOWLEDGE) {
		return 3;
	}
	if (dev_set_owner(fd) != -EBUSY) {
		return 4;
	}
	if (dev_map(fd, 0, 0, page, sizeof(page), VHOST_ACCESS_RW) != -EFAULT) {
		return 5;
	}
	if (dev_set_status(fd, S_ACKNOWLEDGE | S_DRIVER) != 0) {
		return 6;
	}
	return 0;
}

static void test_s10_forked_child_is_not_the_owner(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE), 0);
	assert_int_equal(conf_in_child(child_of_owner, &fd), 0);
	/* The child's end is not the end of the owner. */
	assert_int_equal(dev_get_status(fd), S_ACKNOWLEDGE | S_DRIVER);
	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_NUM, 0, 16), 0);
}

static int own_in_child(void *arg)
{
	int fd = *(int *)arg;

	return dev_set_owner(fd) == 0 &&
			       dev_vring(fd, VHOST_SET_VRING_NUM, 0, 16) == 0
		       ? 0
		       : 1;
}

static void test_s10_a_child_can_own_what_the_parent_opened(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(conf_in_child(own_in_child, &fd), 0);
	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_NUM, 0, 16), -EPERM);
	/* It died as the owner, and the file goes on. */
	assert_int_equal(dev_set_owner(fd), -EBUSY);
	assert_int_equal(dev_get_status(fd), 0);
}

static void *set_num(void *arg)
{
	int fd = *(int *)arg;

	return (void *)(long)dev_vring(fd, VHOST_SET_VRING_NUM, 0, 16);
}

static void test_s10_threads_of_the_owner_pass(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	void *ret = (void *)1L;
	pthread_t thread;

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(pthread_create(&thread, NULL, set_num, &fd), 0);
	assert_int_equal(pthread_join(thread, &ret), 0);
	assert_null(ret);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s07_set_owner_twice_is_ebusy),
	CONF_TEST(test_s08_vring_ioctls_without_owner_are_eperm),
	CONF_TEST(test_s08_group_queries_without_owner_are_eperm),
	CONF_TEST(test_s08_without_owner_a_bad_pointer_is_eperm_too),
	CONF_TEST(test_s08_unknown_ioctls_without_owner_are_eperm),
	CONF_TEST(test_s08_iotlb_writes_without_owner_are_efault),
	CONF_TEST(test_s09_features_and_status_without_owner),
	CONF_TEST(test_s09_config_without_owner),
	CONF_TEST(test_s09_backend_features_without_owner),
	CONF_TEST(test_s09_suspend_and_resume_without_owner),
	CONF_TEST(test_s09_numbers_without_owner),
	CONF_TEST(test_s09_fork_from_owner_only_before_the_owner),
	CONF_TEST(test_s10_forked_child_is_not_the_owner),
	CONF_TEST(test_s10_a_child_can_own_what_the_parent_opened),
	CONF_TEST(test_s10_threads_of_the_owner_pass),
};

TEST_MAIN("conformance/owner")
