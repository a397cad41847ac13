/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: backend features. Statements 38 to 41.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>

#include "lib/conf.h"
#include "lib/dev.h"

static void test_s38_unknown_bits_eopnotsupp(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_set_backend_features(fd, 1), -EOPNOTSUPP);
	for (unsigned int bit = 9; bit < 64; bit++) {
		assert_int_equal(dev_set_backend_features(fd, 1ULL << bit),
				 -EOPNOTSUPP);
		assert_int_equal(dev_set_backend_features(
					 fd, (1ULL << bit) | BACKEND_MSG_V2),
				 -EOPNOTSUPP);
	}
	assert_int_equal(dev_set_backend_features(fd, UINT64_MAX), -EOPNOTSUPP);
}

static void test_s38_desc_asid_without_asid_einval(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint64_t offered = 0;
	int ret;

	assert_int_equal(dev_set_backend_features(fd, BACKEND_DESC_ASID),
			 -EINVAL);
	/* With it, it is a matter of support. */
	assert_int_equal(dev_get_backend_features(fd, &offered), 0);
	ret = dev_set_backend_features(fd, BACKEND_DESC_ASID | BACKEND_ASID);
	assert_int_equal(ret, offered & BACKEND_DESC_ASID ? 0 : -EOPNOTSUPP);
}

static void test_s38_enable_after_driver_ok_is_always_taken(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(
		dev_set_backend_features(fd, BACKEND_ENABLE_AFTER_DRIVER_OK),
		0);
}

static void test_s38_bits_that_are_not_offered_eopnotsupp(void **state)
{
	static const uint64_t optional[] = { BACKEND_SUSPEND, BACKEND_RESUME,
					     BACKEND_IOTLB_PERSIST };
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint64_t offered = 0;

	assert_int_equal(dev_get_backend_features(fd, &offered), 0);
	for (size_t i = 0; i < ARRAY_LEN(optional); i++) {
		assert_int_equal(dev_set_backend_features(fd, optional[i]),
				 offered & optional[i] ? 0 : -EOPNOTSUPP);
	}
}

static void test_s39_what_is_offered_can_be_set(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	const uint64_t basic = BACKEND_MSG_V2 | BACKEND_BATCH | BACKEND_ASID;
	uint64_t offered = 0;

	assert_int_equal(dev_get_backend_features(fd, &offered), 0);
	assert_true((offered & basic) == basic);
	assert_int_equal(dev_set_backend_features(fd, offered), 0);
}

/* What the kernel's simulators say: clients tell devices by it. */
static void test_s39_the_simulators_offer_0x17e(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint64_t offered = 0;

	conf_product_only("the device may be another one");
	assert_int_equal(dev_get_backend_features(fd, &offered), 0);
	assert_int_equal(offered, 0x17e);
}

static void test_s40_set_0_and_set_again(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_set_backend_features(fd, 0), 0);
	assert_int_equal(dev_set_backend_features(fd, BACKEND_MSG_V2), 0);
	assert_int_equal(dev_set_backend_features(fd, 0), 0);
	assert_int_equal(dev_ioctl(fd, VHOST_SET_BACKEND_FEATURES, BAD_POINTER),
			 -EFAULT);
	assert_int_equal(dev_ioctl(fd, VHOST_GET_BACKEND_FEATURES, NULL),
			 -EFAULT);
}

/* Any time: there is no check of the status. */
static void test_s40_set_while_the_device_runs(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint64_t offered = 0;

	assert_int_equal(dev_get_backend_features(fd, &offered), 0);
	assert_int_equal(dev_set_features(fd, 3ULL << 32), 0);
	assert_int_equal(dev_set_status(fd, S_READY), 0);
	assert_int_equal(dev_set_backend_features(fd, offered), 0);
}

static void test_s41_the_asid_is_ignored_unless_acked(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_memfd(c, 4096);
	int fd = conf_open(c, conf_node(), O_RDWR);

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_map(fd, 77, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	/* It went to address space 0. */
	assert_int_equal(dev_map(fd, 0, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 -EFAULT);
	assert_int_equal(dev_unmap(fd, 0xffffffff, 0, 4096), IOTLB_DONE);
	assert_int_equal(dev_map(fd, 0, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 IOTLB_DONE);
}

static void test_s41_the_asid_counts_when_acked(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_memfd(c, 4096);
	int fd = conf_open(c, conf_node(), O_RDWR);
	uint32_t n = (uint32_t)dev_get_u32(fd, VHOST_VDPA_GET_AS_NUM);
	const uint32_t bad[] = { n, n + 1, 0x10000, 0x80000000, 0xffffffff };

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(
		dev_set_backend_features(fd, BACKEND_MSG_V2 | BACKEND_ASID), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(dev_map(fd, bad[i], 0, mem.va, 4096,
					 VHOST_ACCESS_RW),
				 -EFAULT);
	}
	for (uint32_t asid = 0; asid < n; asid++) {
		assert_int_equal(dev_map(fd, asid, 0, mem.va, 4096,
					 VHOST_ACCESS_RW),
				 IOTLB_DONE);
	}
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s38_unknown_bits_eopnotsupp),
	CONF_TEST(test_s38_desc_asid_without_asid_einval),
	CONF_TEST(test_s38_enable_after_driver_ok_is_always_taken),
	CONF_TEST(test_s38_bits_that_are_not_offered_eopnotsupp),
	CONF_TEST(test_s39_what_is_offered_can_be_set),
	CONF_TEST(test_s39_the_simulators_offer_0x17e),
	CONF_TEST(test_s40_set_0_and_set_again),
	CONF_TEST(test_s40_set_while_the_device_runs),
	CONF_TEST(test_s41_the_asid_is_ignored_unless_acked),
	CONF_TEST(test_s41_the_asid_counts_when_acked),
};

TEST_MAIN("conformance/backend")
