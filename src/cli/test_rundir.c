/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the private folder of a `vdpakit run`.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/rundir.h"
#include "lib/test.h"

static char base[64];

static int set_up(void **state)
{
	(void)snprintf(base, sizeof(base), "/tmp/vdpakit-test-XXXXXX");
	assert_non_null(mkdtemp(base));
	return setenv("XDG_RUNTIME_DIR", base, 1);
}

static int tear_down(void **state)
{
	/* Fails when a test has left something in it. */
	return rmdir(base);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void touch(const struct rundir *dir, const char *name)
{
	char path[RUNDIR_PATH_MAX];
	int fd;

	rundir_file(dir, name, path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void test_rundir_is_private_and_goes(void **state)
{
	struct rundir dir;
	struct stat st;

	assert_int_equal(rundir_new(&dir), 0);
	assert_int_equal(strncmp(dir.path, base, strlen(base)), 0);
	assert_int_equal(stat(dir.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_true(fcntl(dir.lock_fd, F_GETFD) & FD_CLOEXEC);
	touch(&dir, "rpc.sock");
	rundir_remove(&dir);
	assert_false(exists(dir.path));
	/* The daemon may have done it already. */
	rundir_remove(&dir);
}

static void test_stale_folders_go_and_living_ones_stay(void **state)
{
	struct rundir alive, stale, empty, foreign, next;
	char path[RUNDIR_PATH_MAX];

	assert_int_equal(rundir_new(&alive), 0);
	assert_int_equal(rundir_new(&stale), 0);
	assert_int_equal(rundir_new(&foreign), 0);
	touch(&stale, "preload.sock");
	touch(&foreign, "not-ours");
	close(stale.lock_fd);
	close(foreign.lock_fd);
	/* Killed before it had its lock. */
	(void)snprintf(empty.path, sizeof(empty.path), "%s/vdpakit-run-abcdef",
		       base);
	assert_int_equal(mkdir(empty.path, 0700), 0);
	assert_int_equal(rundir_new(&next), 0);
	assert_true(exists(alive.path));
	assert_false(exists(stale.path));
	assert_false(exists(empty.path));
	/* What we did not put there, we do not remove. */
	assert_true(exists(foreign.path));
	rundir_file(&foreign, "not-ours", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(foreign.path), 0);
	rundir_remove(&next);
	rundir_remove(&alive);
}

static void test_other_folders_are_left_alone(void **state)
{
	char open_folder[128], link[128];
	struct rundir dir;

	(void)snprintf(open_folder, sizeof(open_folder),
		       "%s/vdpakit-run-public", base);
	(void)snprintf(link, sizeof(link), "%s/vdpakit-run-symlnk", base);
	assert_int_equal(mkdir(open_folder, 0755), 0);
	assert_int_equal(symlink(open_folder, link), 0);
	assert_int_equal(rundir_new(&dir), 0);
	assert_true(exists(open_folder));
	assert_true(exists(link));
	rundir_remove(&dir);
	unlink(link);
	rmdir(open_folder);
}

static void test_long_or_missing_base_means_tmp(void **state)
{
	char name[200];
	struct rundir dir;

	memset(name, 'x', sizeof(name) - 1);
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(setenv("XDG_RUNTIME_DIR", name, 1), 0);
	assert_int_equal(rundir_new(&dir), 0);
	assert_int_equal(strncmp(dir.path, "/tmp/", 5), 0);
	rundir_remove(&dir);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", "/nonexistent", 1), 0);
	assert_int_equal(rundir_new(&dir), 0);
	assert_int_equal(strncmp(dir.path, "/tmp/", 5), 0);
	rundir_remove(&dir);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_rundir_is_private_and_goes),
	T(test_stale_folders_go_and_living_ones_stay),
	T(test_other_folders_are_left_alone),
	T(test_long_or_missing_base_means_tmp),
};

TEST_MAIN("cli_rundir")
