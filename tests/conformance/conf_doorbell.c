/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: doorbells and odd callers. Statements 64 and 65.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "lib/conf.h"
#include "lib/dev.h"

/* ENOTSUPP of the kernel, which has no name here. */
#define KERNEL_ENOTSUPP 524
#define PAGE		4096

/* Return: 0 (and unmapped again), or -errno. */
static int try_mmap(int fd, size_t len, int prot, int flags, off_t offset)
{
	void *va = mmap(NULL, len, prot, flags, fd, offset);

	if (va == MAP_FAILED) {
		return -errno;
	}
	(void)munmap(va, len);
	return 0;
}

static void test_s64_without_doorbell_524(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	int ret = try_mmap(fd, PAGE, PROT_WRITE, MAP_SHARED, 0);

	if (ret == 0) {
		conf_skip("the device has a doorbell");
	}
	assert_int_equal(ret, -KERNEL_ENOTSUPP);
	assert_int_equal(try_mmap(fd, PAGE, PROT_WRITE, MAP_SHARED, PAGE),
			 -KERNEL_ENOTSUPP);
}

static void test_s64_wrong_length_einval(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(try_mmap(fd, 2 * PAGE, PROT_WRITE, MAP_SHARED, 0),
			 -EINVAL);
	assert_int_equal(try_mmap(fd, 16 * PAGE, PROT_WRITE, MAP_SHARED, 0),
			 -EINVAL);
}

static void test_s64_readable_einval(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(try_mmap(fd, PAGE, PROT_READ, MAP_SHARED, 0), -EINVAL);
	assert_int_equal(try_mmap(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
				  0),
			 -EINVAL);
}

static void test_s64_private_einval(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(try_mmap(fd, PAGE, PROT_WRITE, MAP_PRIVATE, 0),
			 -EINVAL);
}

static void test_s64_write_only_file_eacces(void **state)
{
	int fd = conf_open(*state, conf_node(), O_WRONLY);

	assert_int_equal(try_mmap(fd, PAGE, PROT_WRITE, MAP_SHARED, 0),
			 -EACCES);
}

static void test_s65_sign_extended_requests_work(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);
	/* What a caller makes of it that keeps requests in an int. */
	const unsigned long get_features = 0xffffffff8008af00UL;
	const unsigned long get_base = 0xffffffffc008af12UL;
	const unsigned long get_status = 0xffffffff8001af71UL;
	uint64_t features = 0;
	uint32_t base = 1;
	uint8_t status = 1;

	assert_int_equal(dev_ioctl(fd, get_features, &features), 0);
	assert_true(features != 0);
	assert_int_equal(dev_ioctl(fd, get_status, &status), 0);
	assert_int_equal(status, 0);
	assert_int_equal(dev_vring_get(fd, get_base, 0, &base), -EPERM);
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_vring_get(fd, get_base, 0, &base), 0);
	assert_int_equal(base, 0);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s64_without_doorbell_524),
	CONF_TEST(test_s64_wrong_length_einval),
	CONF_TEST(test_s64_readable_einval),
	CONF_TEST(test_s64_private_einval),
	CONF_TEST(test_s64_write_only_file_eacces),
	CONF_TEST(test_s65_sign_extended_requests_work),
};

TEST_MAIN("conformance/doorbell")
