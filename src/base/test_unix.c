/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of unix sockets with a path.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "lib/test.h"

static char folder[64];
static char path[96];

static int set_up(void **state)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/vdpakit-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/sock", folder);
	return 0;
}

static int tear_down(void **state)
{
	/* Fails when a test has left something in it. */
	return rmdir(folder);
}

static int dial(const char *to, int type)
{
	int fd = unix_connect(to, type);

	(void)close_fd(fd);
	return fd < 0 ? fd : 0;
}

static void test_unix_listen_is_private_and_goes(void **state)
{
	struct unix_listener listener;
	struct stat st;

	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &listener), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(dial(path, SOCK_STREAM), 0);
	unix_listen_end(&listener);
	assert_int_equal(lstat(path, &st), -1);
	unix_listen_end(&listener);
}

static void test_unix_listen_makes_the_last_folder(void **state)
{
	struct unix_listener listener;
	char deep[128];

	(void)snprintf(deep, sizeof(deep), "%s/a/sock", folder);
	assert_int_equal(unix_listen(deep, SOCK_STREAM, 0600, &listener), 0);
	unix_listen_end(&listener);
	(void)snprintf(deep, sizeof(deep), "%s/a", folder);
	assert_int_equal(rmdir(deep), 0);
	(void)snprintf(deep, sizeof(deep), "%s/a/b/sock", folder);
	assert_int_equal(unix_listen(deep, SOCK_STREAM, 0600, &listener),
			 -ENOENT);
}

static void test_unix_listen_refuses_a_living_socket(void **state)
{
	struct unix_listener living, other;

	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &living), 0);
	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &other),
			 -EADDRINUSE);
	assert_int_equal(unix_listen(path, SOCK_SEQPACKET, 0600, &other),
			 -EADDRINUSE);
	assert_int_equal(dial(path, SOCK_STREAM), 0);
	unix_listen_end(&living);
}

static void test_unix_listen_replaces_a_dead_socket(void **state)
{
	struct unix_listener dead, next;

	assert_int_equal(unix_listen(path, SOCK_SEQPACKET, 0600, &dead), 0);
	close(dead.fd);
	dead.fd = -1;
	assert_int_equal(dial(path, SOCK_SEQPACKET), -ECONNREFUSED);
	assert_int_equal(unix_listen(path, SOCK_SEQPACKET, 0600, &next), 0);
	assert_int_equal(dial(path, SOCK_SEQPACKET), 0);
	unix_listen_end(&next);
}

static void test_unix_listen_end_removes_its_own_socket_only(void **state)
{
	struct unix_listener first, second;
	char other[128];

	(void)snprintf(other, sizeof(other), "%s/other", folder);
	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &first), 0);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &second), 0);
	unix_listen_end(&first);
	assert_int_equal(dial(path, SOCK_STREAM), 0);
	unix_listen_end(&second);
	assert_int_equal(unlink(other), 0);
}

static void test_unix_listen_leaves_other_files_alone(void **state)
{
	struct unix_listener listener;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &listener),
			 -EEXIST);
	assert_non_null(strstr(err_text(-EEXIST), "is not a socket"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/nowhere", path), 0);
	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &listener),
			 -EEXIST);
	assert_int_equal(unlink(path), 0);
}

static void test_unix_listen_of_a_long_path_says_so(void **state)
{
	struct unix_listener listener;
	char name[200];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(unix_listen(name, SOCK_STREAM, 0600, &listener),
			 -ENAMETOOLONG);
}

static void test_unix_listen_sets_the_mode(void **state)
{
	struct unix_listener listener;
	struct stat st;

	assert_int_equal(unix_listen(path, SOCK_STREAM, 0666, &listener), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	unix_listen_end(&listener);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_unix_listen_is_private_and_goes),
	T(test_unix_listen_makes_the_last_folder),
	T(test_unix_listen_refuses_a_living_socket),
	T(test_unix_listen_replaces_a_dead_socket),
	T(test_unix_listen_end_removes_its_own_socket_only),
	T(test_unix_listen_leaves_other_files_alone),
	T(test_unix_listen_of_a_long_path_says_so),
	T(test_unix_listen_sets_the_mode),
};

TEST_MAIN("unix")
