/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/parse.h"

#define BACKLOG 128
/* The first descriptor of socket activation. */
#define ACTIVATED_FIRST 3
#define ACTIVATED_MAX	16

static int fill_address(const char *path, struct sockaddr_un *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(ret->sun_path)) {
		return err(-ENAMETOOLONG,
			   "%s: longer than the %zu bytes that a socket's path "
			   "may have",
			   path, sizeof(ret->sun_path) - 1);
	}
	memcpy(ret->sun_path, path, strlen(path));
	return 0;
}

/* The folder of @path, locked until it is closed. */
static int lock_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;
	int fd;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash) {
		slash[slash == folder ? 1 : 0] = '\0';
	} else {
		(void)snprintf(folder, sizeof(folder), ".");
	}
	/* It may be there already; open() tells what is wrong with it. */
	(void)mkdir(folder, 0755);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		int r = err(-errno, "%s: %s", folder, strerror(errno));

		(void)close_fd(fd);
		return r;
	}
	return fd;
}

/* Return: 0 nobody listens there; -EADDRINUSE; -EEXIST */
static int check_free(const struct sockaddr_un *addr, int type)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0) {
		return errno == ENOENT ? 0
				       : err(-errno, "%s: %s", addr->sun_path,
					     strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode)) {
		return err(-EEXIST, "%s is not a socket: move it away",
			   addr->sun_path);
	}
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return err(-errno, "socket: %s", strerror(errno));
	}
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
	    errno == ECONNREFUSED) {
		return 0;
	}
	return err(-EADDRINUSE, "%s: a daemon listens there already",
		   addr->sun_path);
}

static int bind_private(int fd, const struct sockaddr_un *addr)
{
	mode_t old = umask(0177);
	int r = bind(fd, (const struct sockaddr *)addr, sizeof(*addr));
	int saved_errno = errno;

	(void)umask(old); /* cannot fail */
	return r < 0 ? err(-saved_errno, "%s: %s", addr->sun_path,
			   strerror(saved_errno))
		     : 0;
}

int listen_new(const char *path, int type, struct listener *ret)
{
	_cleanup_close_ int folder = -1, fd = -1;
	struct sockaddr_un addr;
	struct stat st;
	int r = fill_address(path, &addr);

	if (r < 0) {
		return r;
	}
	folder = lock_folder(path);
	if (folder < 0) {
		return folder;
	}
	r = check_free(&addr, type);
	if (r < 0) {
		return r;
	}
	(void)unlink(path); /* bind() tells when that did not help */
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		return err(-errno, "socket: %s", strerror(errno));
	}
	r = bind_private(fd, &addr);
	if (r < 0) {
		return r;
	}
	if (listen(fd, BACKLOG) < 0 || lstat(path, &st) < 0) {
		r = err(-errno, "%s: %s", path, strerror(errno));
		(void)unlink(path); /* the first error is the one to report */
		return r;
	}
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->path, path, strlen(path) + 1);
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->fd = steal_fd(&fd);
	return 0;
}

void listen_remove(struct listener *listener)
{
	struct stat st;

	if (listener->path[0] == '\0') {
		return;
	}
	(void)close_fd(listener->fd);
	if (lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino) {
		/* What stays will be replaced by the next daemon. */
		(void)unlink(listener->path);
	}
	memset(listener, 0, sizeof(*listener));
	listener->fd = -1;
}

/* ---- socket activation ---- */

static int getsockopt_int(int fd, int option)
{
	int value;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) < 0 ? -1
								    : value;
}

static int take_one(int fd, int *ret_stream, int *ret_seqpacket)
{
	int type = getsockopt_int(fd, SO_TYPE);
	int *slot = type == SOCK_STREAM	     ? ret_stream
		    : type == SOCK_SEQPACKET ? ret_seqpacket
					     : NULL;

	if (!slot || getsockopt_int(fd, SO_DOMAIN) != AF_UNIX ||
	    getsockopt_int(fd, SO_ACCEPTCONN) != 1) {
		return err(-EINVAL,
			   "socket activation: descriptor %d is no listening "
			   "unix socket (stream or sequential packet)",
			   fd);
	}
	if (*slot >= 0) {
		return err(-EINVAL, "socket activation: two %s sockets",
			   type == SOCK_STREAM ? "stream"
					       : "sequential packet");
	}
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		return err(-errno, "descriptor %d: %s", fd, strerror(errno));
	}
	*slot = fd;
	return 0;
}

/* How many descriptors are meant for this process. */
static int count_activated(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	uint64_t pid_value, n_value;

	if (!pid || !n || parse_u64("LISTEN_PID", pid, INT32_MAX, &pid_value) ||
	    pid_value != (uint64_t)getpid()) {
		return 0;
	}
	if (parse_u64("LISTEN_FDS", n, ACTIVATED_MAX, &n_value) < 0) {
		return -EINVAL;
	}
	return (int)n_value;
}

int listen_take_activated(int *ret_stream, int *ret_seqpacket)
{
	int n = count_activated(), r = 0;

	*ret_stream = -1;
	*ret_seqpacket = -1;
	for (int i = 0; i < n && r == 0; i++) {
		r = take_one(ACTIVATED_FIRST + i, ret_stream, ret_seqpacket);
	}
	/* Not for our children; the names are of no use here. */
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return r < 0 ? r : n;
}
