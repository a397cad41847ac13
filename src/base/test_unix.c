/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of unix sockets with a path.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
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

/* What a process that died left listening at the path. */
static int listen_of_the_dead(int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	int status;
	pid_t pid;

	assert_true(fd >= 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)),
			 0);
	pid = fork(); /* who listens is whose it is */
	assert_true(pid >= 0);
	if (pid == 0) {
		_exit(listen(fd, 5) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return fd;
}

struct kernel {
	int fd;
	bool is_for_ever; /* it answers and hangs up instead */
	unsigned int n; /* who came */
};

/* Lets go of it when somebody has come. */
static void *kernel_main(void *priv)
{
	struct kernel *k = priv;
	struct pollfd comes = { .fd = k->fd, .events = POLLIN };

	do {
		(void)poll(&comes, 1, -1);
		k->n++;
		if (k->is_for_ever) {
			(void)close(accept(k->fd, NULL, NULL));
		}
	} while (k->is_for_ever && k->n < UNIX_TRIES);
	(void)close(k->fd);
	return NULL;
}

static void test_unix_listen_waits_for_a_dying_socket(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };

	for (unsigned int i = 0; i < 20; i++) {
		int type = types[i % 2];
		struct kernel k = { .fd = listen_of_the_dead(type) };
		struct unix_listener next;
		pthread_t thread;
		int r;

		assert_int_equal(pthread_create(&thread, NULL, kernel_main, &k),
				 0);
		r = unix_listen(path, type, 0600, &next);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(r, 0);
		assert_int_equal(k.n, 1);
		assert_int_equal(dial(path, type), 0);
		unix_listen_end(&next);
	}
}

/* Somebody else has inherited it, and lives. */
static void test_unix_listen_gives_up_on_a_dying_socket(void **state)
{
	struct kernel k = { .fd = listen_of_the_dead(SOCK_STREAM),
			    .is_for_ever = true };
	struct unix_listener other;
	pthread_t thread;

	assert_int_equal(unix_check_free(path, SOCK_STREAM, 1), -EADDRINUSE);
	assert_non_null(strstr(err_text(-EADDRINUSE), "listens there already"));
	(void)close(accept(k.fd, NULL, NULL));
	assert_int_equal(pthread_create(&thread, NULL, kernel_main, &k), 0);
	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &other),
			 -EADDRINUSE);
	assert_non_null(strstr(err_text(-EADDRINUSE), "hangs up"));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(k.n, UNIX_TRIES);
	assert_int_equal(unlink(path), 0);
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
	T(test_unix_listen_waits_for_a_dying_socket),
	T(test_unix_listen_gives_up_on_a_dying_socket),
	T(test_unix_listen_end_removes_its_own_socket_only),
	T(test_unix_listen_leaves_other_files_alone),
	T(test_unix_listen_of_a_long_path_says_so),
	T(test_unix_listen_sets_the_mode),
};

TEST_MAIN("unix")
