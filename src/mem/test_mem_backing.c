/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of which files may be memory.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "lib/test.h"
#include "mem/backing.h"
#include "mem/region.h"

static void check_path(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		TEST_SKIP("cannot make a file there");
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(backing_check(fd), 0);
	assert_int_equal(close(fd), 0);
}

static void test_memfd_is_memory(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	int sealed = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_true(fd >= 0 && sealed >= 0);
	assert_int_equal(backing_check(fd), 0);
	assert_int_equal(backing_check(sealed), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(sealed), 0);
}

static void test_file_in_dev_shm_is_memory(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "/dev/shm/backing.%d", getpid());
	check_path(path);
}

static void test_file_on_a_disk_is_memory(void **state)
{
	char path[64];

	(void)state;
	(void)snprintf(path, sizeof(path), "/var/tmp/backing.%d", getpid());
	check_path(path);
}

static void test_what_is_on_no_mount_is_refused(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(backing_check(fd), -EACCES);
	assert_int_equal(close(fd), 0);
}

static void test_closed_descriptor_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(backing_check(-1), -EBADF);
}

/*
 * A file system whose server, this test, never says a word: had anything asked
 * it, the test would hang. The region, too, is refused before it is looked at.
 */
static void test_h32_file_of_a_silent_fuse_server_is_refused(void **state)
{
	char dir[] = "/tmp/backing.XXXXXX", options[128];
	int server = open("/dev/fuse", O_RDWR | O_CLOEXEC), fd;
	struct region *region;

	(void)state;
	if (server < 0) {
		TEST_SKIP("no /dev/fuse");
	}
	assert_non_null(mkdtemp(dir));
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=40000,user_id=0,group_id=0", server);
	if (mount("test", dir, "fuse.test", 0, options) < 0) {
		assert_int_equal(rmdir(dir), 0);
		assert_int_equal(close(server), 0);
		TEST_SKIP("may not mount");
	}
	fd = open(dir, O_PATH | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(backing_check(fd), -EACCES);
	assert_int_equal(region_new_mapped(fd, 0, 4096, MEM_PERM_RW, &region),
			 -EACCES);
	assert_int_equal(close(fd), 0);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
	assert_int_equal(close(server), 0);
	assert_int_equal(rmdir(dir), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_memfd_is_memory),
	cmocka_unit_test(test_file_in_dev_shm_is_memory),
	cmocka_unit_test(test_file_on_a_disk_is_memory),
	cmocka_unit_test(test_what_is_on_no_mount_is_refused),
	cmocka_unit_test(test_closed_descriptor_is_an_error),
	cmocka_unit_test(test_h32_file_of_a_silent_fuse_server_is_refused),
};

TEST_MAIN("mem_backing")
