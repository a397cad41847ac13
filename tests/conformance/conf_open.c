/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: open, close and what every file has. Statements 1 to 5.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf.h"
#include "lib/dev.h"

static void test_s01_second_open_is_ebusy_until_close(void **state)
{
	struct conf *c = *state;
	int fd = conf_open(c, conf_node(), O_RDWR);

	assert_int_equal(conf_try_open(c, conf_node(), O_RDWR), -EBUSY);
	assert_int_equal(conf_try_open(c, conf_node(), O_RDONLY), -EBUSY);
	conf_close(c, fd);
	(void)conf_open(c, conf_node(), O_RDWR);
}

static void test_s01_dup_keeps_the_open(void **state)
{
	struct conf *c = *state;
	int fd = conf_open(c, conf_node(), O_RDWR);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	assert_true(copy >= 0);
	conf_keep_fd(c, copy);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE), 0);
	conf_close(c, fd);
	assert_int_equal(conf_try_open(c, conf_node(), O_RDWR), -EBUSY);
	assert_int_equal(dev_get_status(copy), S_ACKNOWLEDGE);
	conf_close(c, copy);
	(void)conf_open(c, conf_node(), O_RDWR);
}

static int hold_until_told(void *arg)
{
	int *pipes = arg;
	char byte;

	/* The end of the pipe is the word. */
	(void)close(pipes[1]);
	return read(pipes[0], &byte, 1) == 0 ? 0 : 1;
}

static void test_s01_a_forked_child_keeps_the_open(void **state)
{
	struct conf *c = *state;
	int fd = conf_open(c, conf_node(), O_RDWR);
	int pipes[2];
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = conf_fork(c);
	if (pid == 0) {
		_exit(hold_until_told(pipes));
	}
	conf_keep_fd(c, pipes[1]);
	(void)close(pipes[0]);
	conf_close(c, fd);
	assert_int_equal(conf_try_open(c, conf_node(), O_RDWR), -EBUSY);
	conf_close(c, pipes[1]);
	assert_int_equal(conf_reap(c, pid), 0);
	(void)conf_open_soon(c, conf_node(), O_RDWR);
}

static void test_s02_open_resets_the_device(void **state)
{
	struct conf *c = *state;
	int fd = conf_open(c, conf_node(), O_RDWR);
	uint32_t base;

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_BASE, 0, 7), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE | S_DRIVER), 0);
	conf_close(c, fd);

	fd = conf_open(c, conf_node(), O_RDWR);
	assert_int_equal(dev_get_status(fd), 0);
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_vring_get(fd, VHOST_GET_VRING_BASE, 0, &base), 0);
	assert_int_equal(base, 0);
}

static void test_s03_reopened_has_no_owner_and_status_0(void **state)
{
	struct conf *c = *state;
	int fd = conf_open(c, conf_node(), O_RDWR);
	uint32_t base;

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE), 0);
	conf_close(c, fd);

	fd = conf_open(c, conf_node(), O_RDWR);
	assert_int_equal(dev_vring_get(fd, VHOST_GET_VRING_BASE, 0, &base),
			 -EPERM);
	assert_int_equal(dev_get_status(fd), 0);
	assert_int_equal(dev_set_owner(fd), 0);
}

/* Backend features cannot be read back; that ASID is not acked any more shows
 * in an asid that is ignored. */
static void test_s03_reopened_has_no_backend_features(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_memfd(c, 4096);
	int fd = conf_open(c, conf_node(), O_RDWR);
	const uint64_t acked = BACKEND_MSG_V2 | BACKEND_BATCH | BACKEND_ASID;

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_set_backend_features(fd, acked), 0);
	assert_int_equal(dev_map(fd, 0xffff, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 -EFAULT);
	conf_close(c, fd);

	fd = conf_open(c, conf_node(), O_RDWR);
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_map(fd, 0xffff, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 IOTLB_DONE);
}

static void test_s03_reopened_has_no_mappings(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_memfd(c, 4096);
	int fd = conf_open(c, conf_node(), O_RDWR);

	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_map(fd, 0, 0x1000, mem.va, 4096, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(dev_map(fd, 0, 0x1000, mem.va, 4096, VHOST_ACCESS_RW),
			 -EFAULT);
	conf_close(c, fd);

	fd = conf_open(c, conf_node(), O_RDWR);
	assert_int_equal(dev_set_owner(fd), 0);
	/* There is no address space yet: not even an invalidation finds it. */
	assert_int_equal(dev_unmap(fd, 0, 0, UINT64_MAX), -EFAULT);
	assert_int_equal(dev_map(fd, 0, 0x1000, mem.va, 4096, VHOST_ACCESS_RW),
			 IOTLB_DONE);
}

/* A batch that was open at close is over. */
static void test_s03_reopened_is_in_no_batch(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_memfd(c, 4096);
	const uint64_t acked = BACKEND_MSG_V2 | BACKEND_BATCH | BACKEND_ASID;
	int fd = conf_open(c, conf_node(), O_RDWR);

	if (dev_get_u32(fd, VHOST_VDPA_GET_AS_NUM) < 2) {
		conf_skip("one address space only");
	}
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_set_backend_features(fd, acked), 0);
	assert_int_equal(dev_batch(fd, 0, true), IOTLB_DONE);
	assert_int_equal(dev_map(fd, 1, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 -EFAULT);
	conf_close(c, fd);

	fd = conf_open(c, conf_node(), O_RDWR);
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_set_backend_features(fd, acked), 0);
	assert_int_equal(dev_map(fd, 1, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 IOTLB_DONE);
}

static void test_s04_write_only_open_suffices(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_memfd(c, 4096);
	int fd = conf_open(c, conf_node(), O_WRONLY);

	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_get_status(fd), 0);
	assert_int_equal(dev_map(fd, 0, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 IOTLB_DONE);
}

static void test_s04_iotlb_write_on_a_read_only_open_is_ebadf(void **state)
{
	struct conf *c = *state;
	struct conf_mem mem = conf_memfd(c, 4096);
	int fd = conf_open(c, conf_node(), O_RDONLY);

	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_set_status(fd, S_ACKNOWLEDGE), 0);
	assert_int_equal(dev_map(fd, 0, 0, mem.va, 4096, VHOST_ACCESS_RW),
			 -EBADF);
}

static void test_s05_read_is_einval(void **state)
{
	struct conf *c = *state;
	char buf[128];

	assert_int_equal(
		read(conf_open(c, conf_node(), O_RDWR), buf, sizeof(buf)), -1);
	assert_int_equal(errno, EINVAL);
}

static void test_s05_lseek_is_espipe(void **state)
{
	struct conf *c = *state;

	assert_int_equal(lseek(conf_open(c, conf_node(), O_RDWR), 0, SEEK_SET),
			 -1);
	assert_int_equal(errno, ESPIPE);
}

static void test_s05_poll_is_ready_at_once(void **state)
{
	struct conf *c = *state;
	struct pollfd p = {
		.fd = conf_open(c, conf_node(), O_RDWR),
		.events = POLLIN | POLLOUT,
	};

	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(p.revents & (POLLIN | POLLOUT), POLLIN | POLLOUT);
	/* Also after something was asked and answered. */
	assert_int_equal(dev_set_owner(p.fd), 0);
	assert_int_equal(dev_get_status(p.fd), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(p.revents, POLLIN | POLLOUT);
}

static void test_s05_the_node_is_a_character_device(void **state)
{
	struct conf *c = *state;
	struct stat by_path, by_fd;
	int fd;

	assert_int_equal(stat(conf_node(), &by_path), 0);
	fd = conf_open(c, conf_node(), O_RDWR);
	assert_int_equal(fstat(fd, &by_fd), 0);
	assert_true(S_ISCHR(by_path.st_mode));
	assert_true(S_ISCHR(by_fd.st_mode));
	assert_true(by_path.st_rdev == by_fd.st_rdev);
}

/* DPDK compares the major number with the first line of this name. */
static void test_s98_proc_devices_names_the_major(void **state)
{
	FILE *f = fopen("/proc/devices", "re");
	unsigned int number, found = 0;
	struct stat st;
	char line[128], name[65];

	assert_non_null(f);
	assert_int_equal(stat(conf_node(), &st), 0);
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%u %64s", &number, name) == 2 &&
		    strncmp(name, "vhost-vdpa", 10) == 0) {
			found = number;
		}
	}
	(void)fclose(f);
	assert_true(found > 0);
	assert_int_equal(found, (st.st_rdev >> 8) & 0xfff);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s01_second_open_is_ebusy_until_close),
	CONF_TEST(test_s01_dup_keeps_the_open),
	CONF_TEST(test_s01_a_forked_child_keeps_the_open),
	CONF_TEST(test_s02_open_resets_the_device),
	CONF_TEST(test_s03_reopened_has_no_owner_and_status_0),
	CONF_TEST(test_s03_reopened_has_no_backend_features),
	CONF_TEST(test_s03_reopened_has_no_mappings),
	CONF_TEST(test_s03_reopened_is_in_no_batch),
	CONF_TEST(test_s04_write_only_open_suffices),
	CONF_TEST(test_s04_iotlb_write_on_a_read_only_open_is_ebadf),
	CONF_TEST(test_s05_read_is_einval),
	CONF_TEST(test_s05_lseek_is_espipe),
	CONF_TEST(test_s05_poll_is_ready_at_once),
	CONF_TEST(test_s05_the_node_is_a_character_device),
	CONF_TEST(test_s98_proc_devices_names_the_major),
};

TEST_MAIN("conformance/open")
