/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the daemon's sockets and of what it tells systemd.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/unix.h"
#include "daemon/listen.h"
#include "daemon/notify.h"
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

/* ---- socket activation ---- */

/* The descriptors from 3 on are what systemd says they are, so each case has a
 * process of its own. Return: what listen_take_activated() said */
static int activate(const int *fds, int n, const char *pid_text)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		char text[16];
		int stream, seqpacket, high[4], r;

		for (int i = 0; i < n; i++) {
			high[i] = fcntl(fds[i], F_DUPFD, 100);
		}
		for (int i = 0; i < n; i++) {
			(void)dup2(high[i], 3 + i);
		}
		(void)snprintf(text, sizeof(text), "%d", (int)getpid());
		setenv("LISTEN_PID", pid_text ? pid_text : text, 1);
		(void)snprintf(text, sizeof(text), "%d", n);
		setenv("LISTEN_FDS", text, 1);
		r = listen_take_activated(&stream, &seqpacket);
		if (getenv("LISTEN_FDS")) {
			_exit(99);
		}
		if (r > 0 && stream >= 0 &&
		    !(fcntl(stream, F_GETFD) & FD_CLOEXEC)) {
			_exit(98);
		}
		_exit(r < 0 ? 64 - r : r);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) >= 64 ? 64 - WEXITSTATUS(status)
					 : WEXITSTATUS(status);
}

static void test_activated_sockets_are_told_apart(void **state)
{
	struct unix_listener stream, seqpacket;
	char other[128];
	int fds[2], pair[2], file;

	(void)snprintf(other, sizeof(other), "%s/other", folder);
	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &stream), 0);
	assert_int_equal(unix_listen(other, SOCK_SEQPACKET, 0600, &seqpacket),
			 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	fds[0] = seqpacket.fd;
	fds[1] = stream.fd;
	assert_int_equal(activate(fds, 2, NULL), 2);
	assert_int_equal(activate(fds, 1, NULL), 1);
	assert_int_equal(activate(fds, 0, NULL), 0);
	/* Meant for somebody else. */
	assert_int_equal(activate(fds, 2, "1"), 0);
	assert_int_equal(activate(fds, 2, "x"), 0);
	fds[0] = stream.fd;
	assert_int_equal(activate(fds, 2, NULL), -EINVAL);
	fds[0] = pair[0];
	assert_int_equal(activate(fds, 2, NULL), -EINVAL);
	fds[0] = file;
	assert_int_equal(activate(fds, 2, NULL), -EINVAL);
	close(pair[0]);
	close(pair[1]);
	close(file);
	unix_listen_end(&stream);
	unix_listen_end(&seqpacket);
}

/* ---- sd_notify ---- */

static void test_notify_sends_to_the_socket(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[64];
	ssize_t n;

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	assert_int_equal(notify("READY=1\nSTATUS=%d devices", 2), 0);
	n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	assert_int_equal(n, strlen("READY=1\nSTATUS=2 devices"));
	assert_memory_equal(text, "READY=1\nSTATUS=2 devices", (size_t)n);
	close(fd);
	assert_int_equal(notify("READY=1"), -ECONNREFUSED);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(notify("READY=1"), -ENOENT);
	assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
	assert_int_equal(notify("READY=1"), 0);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	assert_int_equal(notify("READY=1"), 0);
}

static void test_notify_knows_abstract_sockets(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);
	char name[110], text[64];

	/* The kernel picks a name. */
	assert_int_equal(
		bind(fd, (struct sockaddr *)&addr, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	(void)snprintf(name, sizeof(name), "@%.*s",
		       (int)(len - sizeof(sa_family_t) - 1), addr.sun_path + 1);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	assert_int_equal(notify("STOPPING=1"), 0);
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 10);
	close(fd);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

static void test_journal_is_known_by_its_inode(void **state)
{
	char text[64];
	struct stat st;

	assert_int_equal(fstat(2, &st), 0);
	(void)snprintf(text, sizeof(text), "%llu:%llu",
		       (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino);
	assert_false(stderr_is_journal());
	assert_int_equal(setenv("JOURNAL_STREAM", text, 1), 0);
	assert_true(stderr_is_journal());
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	assert_false(stderr_is_journal());
	assert_int_equal(setenv("JOURNAL_STREAM", "x", 1), 0);
	assert_false(stderr_is_journal());
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_activated_sockets_are_told_apart),
	T(test_notify_sends_to_the_socket),
	T(test_notify_knows_abstract_sockets),
	T(test_journal_is_known_by_its_inode),
};

TEST_MAIN("daemon")
