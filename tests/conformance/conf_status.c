/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: status and features. Statements 11 to 18, but those (16, and 15
 * in general) that need a VDUSE process which fails on purpose.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>

#include "lib/blk.h"

static void test_s11_clearing_a_bit_is_einval_and_changes_nothing(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE | S_DRIVER), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE), -EINVAL);
	assert_int_equal(dev_set_status(fd, S_DRIVER | S_FEATURES_OK), -EINVAL);
	assert_int_equal(dev_get_status(fd), S_ACKNOWLEDGE | S_DRIVER);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE | S_DRIVER), 0);
	assert_int_equal(dev_set_status(fd, 0), 0);
	assert_int_equal(dev_get_status(fd), 0);
}

static void test_s12_from_0_to_0x0f_in_one_call(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_set_features(fd, F_VERSION_1 | F_ACCESS_PLATFORM),
			 0);
	assert_int_equal(dev_set_status(fd, S_READY), 0);
	assert_int_equal(dev_get_status(fd), S_READY);
}

/* H71 */
static void test_s12_driver_ok_without_the_steps_before_it(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_set_status(fd, S_DRIVER_OK), 0);
	assert_int_equal(dev_get_status(fd), S_DRIVER_OK);
	assert_int_equal(dev_set_status(fd, S_DRIVER_OK), 0);
	assert_int_equal(dev_set_status(fd, S_READY), 0);
	assert_int_equal(dev_get_status(fd), S_READY);
	assert_int_equal(dev_set_status(fd, S_READY | S_FAILED), 0);
	assert_int_equal(dev_get_status(fd), S_READY | S_FAILED);
}

static void test_s12_a_bad_pointer_is_efault(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SET_STATUS, BAD_POINTER),
			 -EFAULT);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_GET_STATUS, BAD_POINTER),
			 -EFAULT);
	assert_int_equal(dev_ioctl(fd, VHOST_GET_FEATURES, NULL), -EFAULT);
	assert_int_equal(dev_ioctl(fd, VHOST_SET_FEATURES, BAD_POINTER),
			 -EFAULT);
}

static void test_s13_features_after_features_ok_are_ebusy(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	const uint64_t features = F_VERSION_1 | F_ACCESS_PLATFORM;

	assert_int_equal(dev_set_features(fd, features), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE | S_DRIVER |
						    S_FEATURES_OK),
			 0);
	assert_int_equal(dev_set_features(fd, features), -EBUSY);
	assert_int_equal(dev_ioctl(fd, VHOST_SET_FEATURES, BAD_POINTER),
			 -EBUSY);
	assert_int_equal(dev_ioctl(fd, VHOST_SET_FEATURES, NULL), -EBUSY);
	assert_int_equal(dev_set_status(fd, 0), 0);
	assert_int_equal(dev_set_features(fd, features), 0);
}

static void test_s14_features_without_access_platform_are_einval(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	/* VDUSE takes anything: this is about the simulators. */
	if (dev_set_features(fd, F_VERSION_1) == 0 && conf_is_kernel()) {
		conf_skip("not a simulator");
	}
	assert_int_equal(dev_set_features(fd, F_VERSION_1), -EINVAL);
	assert_int_equal(dev_set_features(fd, 0), -EINVAL);
}

static void test_s14_unknown_features_are_dropped(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint64_t offered;

	assert_int_equal(dev_set_features(fd, UINT64_MAX & ~F_PACKED), 0);
	assert_int_equal(dev_set_status(fd, S_READY), 0);
	assert_int_equal(dev_get_status(fd), S_READY);
	/* What it offers is not what was set. */
	assert_int_equal(dev_get_features(fd, &offered), 0);
	assert_true(offered != UINT64_MAX);
}

/* A status that the device does not take is no error of the call. */
static void test_s15_an_ignored_status_is_0_and_the_old_one_stays(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	conf_product_only("a kernel's simulator takes any bit");
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE | S_NEEDS_RESET), 0);
	assert_int_equal(dev_get_status(fd), S_ACKNOWLEDGE);
}

/* ---- reset ---- */

static void test_s17_reset_clears_size_and_state(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	int max = dev_get_num_max(fd);
	uint32_t num;

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_NUM, 0, 16), 0);
	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_BASE, 0, 77), 0);
	assert_int_equal(dev_vring_get(fd, VHOST_GET_VRING_BASE, 0, &num), 0);
	assert_int_equal(num, 77);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE), 0);
	assert_int_equal(dev_set_status(fd, 0), 0);
	assert_int_equal(dev_vring_get(fd, VHOST_GET_VRING_BASE, 0, &num), 0);
	assert_int_equal(num, 0);
	if (dev_vring_get(fd, VHOST_VDPA_GET_VRING_SIZE, 0, &num) == 0) {
		assert_int_equal(num, max);
	}
}

static void test_s17_reset_clears_ready_and_callbacks(void **state)
{
	struct client cl;
	uint16_t id;
	uint32_t len;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_true(blk_works(&cl));
	assert_int_equal(dev_set_status(cl.fd, 0), 0);

	/* All again but for ENABLE and the notifiers. */
	client_negotiate(&cl, BLK_FEATURES);
	ring_init(&cl.vqs[0].ring, cl.c->is_packed, 16, cl.mem.va, CLIENT_IOVA);
	assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_NUM, 0, 16), 0);
	assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_BASE, 0,
				   ring_initial_base(&cl.vqs[0].ring)),
			 0);
	client_vq_set_addr(&cl, 0);
	client_driver_ok(&cl);
	assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
	client_kick(&cl.vqs[0]);
	assert_true(client_is_quiet(&cl.vqs[0]));

	/* Was it only asleep? With what was missing it wakes up. */
	(void)conf_eventfd_take(cl.vqs[0].kick);
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_CALL, 0,
				      cl.vqs[0].call),
			 0);
	client_vq_enable(&cl, 0);
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_KICK, 0,
				      cl.vqs[0].kick),
			 0);
	client_kick(&cl.vqs[0]);
	assert_true(client_wait(&cl.vqs[0], CONF_WAIT_MS, &id, &len));
	assert_int_equal(blk_status(&cl, 0), BLK_S_OK);
}

static void test_s17_reset_keeps_mappings_and_owner(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_memfd(c, 4096);
	int fd = conf_open(c, conf_node(), O_RDWR);

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_map(fd, 0, 0x1000, mem.va, 4096, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE), 0);
	assert_int_equal(dev_set_status(fd, 0), 0);
	assert_int_equal(dev_map(fd, 0, 0x1000, mem.va, 4096, VHOST_ACCESS_RW),
			 -EFAULT);
	assert_int_equal(dev_set_owner(fd), -EBUSY);
	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_NUM, 0, 16), 0);
}

/* H69, H71: the device is in the middle of it. */
static void test_s17_reset_during_requests(void **state)
{
	struct client cl;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	if (dev_set_backend_features(cl.fd, BACKEND_IOTLB_PERSIST) < 0) {
		conf_skip("mappings do not outlive a reset here");
	}
	client_map(&cl);
	for (unsigned int round = 0; round < 50; round++) {
		client_negotiate(&cl, BLK_FEATURES);
		cl.nvqs = 0;
		client_vq_init(&cl, 0, 64);
		client_vq_set(&cl, 0);
		client_vq_enable(&cl, 0);
		client_driver_ok(&cl);
		for (unsigned int i = 0; i < 20; i++) {
			assert_true(blk_add(&cl, i, BLK_T_IN, i,
					    client_buf(&cl, BLK_DATA),
					    64 * BLK_SECTOR) >= 0);
			client_kick(&cl.vqs[0]);
		}
		assert_int_equal(dev_set_status(cl.fd, 0), 0);
		conf_close(cl.c, cl.vqs[0].kick);
		conf_close(cl.c, cl.vqs[0].call);
	}
}

static void test_s18_config_before_set_features(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint8_t buf[6];
	uint64_t features;

	assert_int_equal(dev_get_config(fd, 0, buf, sizeof(buf)), 0);
	/* Features can be negotiated all the same. */
	assert_int_equal(dev_get_features(fd, &features), 0);
	assert_int_equal(dev_set_features(fd, features), 0);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s11_clearing_a_bit_is_einval_and_changes_nothing),
	CONF_TEST(test_s12_from_0_to_0x0f_in_one_call),
	CONF_TEST(test_s12_driver_ok_without_the_steps_before_it),
	CONF_TEST(test_s12_a_bad_pointer_is_efault),
	CONF_TEST(test_s13_features_after_features_ok_are_ebusy),
	CONF_TEST(test_s14_features_without_access_platform_are_einval),
	CONF_TEST(test_s14_unknown_features_are_dropped),
	CONF_TEST(test_s15_an_ignored_status_is_0_and_the_old_one_stays),
	CONF_TEST(test_s17_reset_clears_size_and_state),
	CONF_TEST_BOTH(test_s17_reset_clears_ready_and_callbacks),
	CONF_TEST(test_s17_reset_keeps_mappings_and_owner),
	CONF_TEST_BOTH(test_s17_reset_during_requests),
	CONF_TEST(test_s18_config_before_set_features),
};

TEST_MAIN("conformance/status")
