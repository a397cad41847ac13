/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: the config space, and how much is written where. Statements 19
 * to 21, H61.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "lib/conf.h"
#include "lib/dev.h"

#define CANARY 0xa5

/* The head alone: a length that is refused needs no room. */
static int config_head(int fd, unsigned long cmd, uint32_t off, uint32_t len)
{
	union {
		struct vhost_vdpa_config config;
		char room[64];
	} arg = { .config = { .off = off, .len = len } };

	return dev_ioctl(fd, cmd, &arg);
}

static void expect_refusals(int fd, unsigned long cmd, uint32_t size)
{
	const struct {
		uint32_t off, len;
	} bad[] = {
		{ 0, 0 },
		{ size, 0 },
		{ size, 1 },
		{ size + 1, 1 },
		{ 0, size + 1 },
		{ size - 1, 2 },
		{ 1, size },
		{ UINT32_MAX, 1 },
		{ UINT32_MAX, UINT32_MAX },
		{ 0, UINT32_MAX },
		{ 1, UINT32_MAX },
		{ 0x10000, 1 },
		{ 0x80000000, 0x80000000 },
		{ 8, 0xfffffffc },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int ret = config_head(fd, cmd, bad[i].off, bad[i].len);

		if (ret != -EINVAL) {
			print_error("off %u len %u: %d\n", bad[i].off,
				    bad[i].len, ret);
		}
		assert_int_equal(ret, -EINVAL);
	}
}

static void test_s19_get_config_outside_is_einval(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	int size = dev_get_u32(fd, VHOST_VDPA_GET_CONFIG_SIZE);

	expect_refusals(fd, VHOST_VDPA_GET_CONFIG, (uint32_t)size);
}

static void test_s19_set_config_outside_is_einval(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	int size = dev_get_u32(fd, VHOST_VDPA_GET_CONFIG_SIZE);

	expect_refusals(fd, VHOST_VDPA_SET_CONFIG, (uint32_t)size);
}

static void test_s19_the_last_byte_alone(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	int size = dev_get_u32(fd, VHOST_VDPA_GET_CONFIG_SIZE);
	uint8_t byte;

	assert_int_equal(dev_get_config(fd, (uint32_t)size - 1, &byte, 1), 0);
	assert_int_equal(dev_set_config(fd, (uint32_t)size - 1, &byte, 1), 0);
}

static void test_s19_a_bad_pointer_is_efault(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_anon(c, 8192, MAP_PRIVATE);
	int fd = conf_open(c, conf_node(), O_RDWR);
	struct vhost_vdpa_config *at_end;

	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_GET_CONFIG, BAD_POINTER),
			 -EFAULT);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SET_CONFIG, NULL), -EFAULT);
	/* A head that is readable, before a page that is not. */
	assert_int_equal(mprotect(mem.va + 4096, 4096, PROT_NONE), 0);
	at_end = (void *)(mem.va + 4096 - sizeof(*at_end));
	at_end->off = 0;
	at_end->len = 6;
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_GET_CONFIG, at_end), -EFAULT);
	assert_int_equal(dev_ioctl(fd, VHOST_VDPA_SET_CONFIG, at_end), -EFAULT);
}

static void test_s20_get_config_writes_exactly_len_bytes(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	union {
		struct vhost_vdpa_config config;
		uint8_t bytes[64];
	} arg;

	for (uint32_t len = 1; len <= 8; len++) {
		memset(&arg, CANARY, sizeof(arg));
		arg.config.off = 0;
		arg.config.len = len;
		assert_int_equal(dev_ioctl(fd, VHOST_VDPA_GET_CONFIG, &arg), 0);
		assert_int_equal(arg.config.off, 0);
		assert_int_equal(arg.config.len, len);
		for (size_t i = sizeof(arg.config) + len; i < sizeof(arg);
		     i++) {
			assert_int_equal(arg.bytes[i], CANARY);
		}
	}
}

static void test_s20_parts_are_equal_to_the_whole(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	uint32_t size = (uint32_t)dev_get_u32(fd, VHOST_VDPA_GET_CONFIG_SIZE);
	uint8_t *whole = calloc(1, size);
	uint8_t byte;

	assert_non_null(whole);
	assert_int_equal(dev_get_config(fd, 0, whole, size), 0);
	for (uint32_t i = 0; i < size; i++) {
		assert_int_equal(dev_get_config(fd, i, &byte, 1), 0);
		assert_int_equal(byte, whole[i]);
	}
	free(whole);
}

/* How many bytes an ioctl writes at its argument. */
static size_t bytes_written(int fd, unsigned long cmd)
{
	uint8_t zeros[32], ones[32];
	size_t n = 0;

	/* A byte that comes out the same from two different beginnings. */
	memset(zeros, 0x00, sizeof(zeros));
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(dev_ioctl(fd, cmd, zeros), 0);
	assert_int_equal(dev_ioctl(fd, cmd, ones), 0);
	while (n < sizeof(zeros) && zeros[n] == ones[n]) {
		n++;
	}
	for (size_t i = n; i < sizeof(zeros); i++) {
		assert_int_equal(zeros[i], 0x00);
		assert_int_equal(ones[i], 0xff);
	}
	return n;
}

static void test_s21_get_status_writes_1_byte(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(bytes_written(fd, VHOST_VDPA_GET_STATUS), 1);
}

static void test_s21_get_vring_num_writes_2_bytes(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(bytes_written(fd, VHOST_VDPA_GET_VRING_NUM), 2);
}

static void test_s21_other_numbers_write_their_size(void **state)
{
	static const struct {
		unsigned long cmd;
		size_t size;
	} numbers[] = {
		{ VHOST_GET_FEATURES, 8 },
		{ VHOST_GET_BACKEND_FEATURES, 8 },
		{ VHOST_VDPA_GET_DEVICE_ID, 4 },
		{ VHOST_VDPA_GET_CONFIG_SIZE, 4 },
		{ VHOST_VDPA_GET_VQS_COUNT, 4 },
		{ VHOST_VDPA_GET_GROUP_NUM, 4 },
		{ VHOST_VDPA_GET_AS_NUM, 4 },
		{ VHOST_VDPA_GET_IOVA_RANGE, 16 },
	};
	int fd = conf_open(*state, conf_node(), O_RDWR);

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		assert_int_equal(bytes_written(fd, numbers[i].cmd),
				 numbers[i].size);
	}
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s19_get_config_outside_is_einval),
	CONF_TEST(test_s19_set_config_outside_is_einval),
	CONF_TEST(test_s19_the_last_byte_alone),
	CONF_TEST(test_s19_a_bad_pointer_is_efault),
	CONF_TEST(test_s20_get_config_writes_exactly_len_bytes),
	CONF_TEST(test_s20_parts_are_equal_to_the_whole),
	CONF_TEST(test_s21_get_status_writes_1_byte),
	CONF_TEST(test_s21_get_vring_num_writes_2_bytes),
	CONF_TEST(test_s21_other_numbers_write_their_size),
};

TEST_MAIN("conformance/config")
