/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix sockets with a path: listening on one, connecting to one.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/unix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

#define BACKLOG 128

_Static_assert(UNIX_PATH_MAX == sizeof(((struct sockaddr_un *)0)->sun_path),
	       "a path fits exactly");

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

static int new_socket(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? err(-errno, "socket: %s", strerror(errno)) : fd;
}

/* The folder of @path, locked until it is closed. */
static int lock_folder(const char *path)
{
	char folder[UNIX_PATH_MAX];
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

/*
 * Who listens has died: what it had open may be so a little longer than it
 * lives, as io_uring lets go of it later. Pid 0 is one that we cannot see.
 */
static bool is_of_the_dead(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       peer.pid > 0 && kill(peer.pid, 0) < 0 && errno == ESRCH;
}

/* Return: 0 nobody listens; 1 it did, and may not any more; -EADDRINUSE */
static int try_connect(const struct sockaddr_un *addr, int type, int wait_ms)
{
	_cleanup_close_ int fd = new_socket(type);
	struct pollfd hang_up = { .fd = fd };

	if (fd < 0) {
		return fd;
	}
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0) {
		/* A signal is as good a reason to look again. */
		if (is_of_the_dead(fd) && poll(&hang_up, 1, wait_ms) != 0) {
			return 1;
		}
	} else if (errno == ECONNREFUSED) {
		return 0;
	}
	return err(-EADDRINUSE, "%s: somebody listens there already",
		   addr->sun_path);
}

static int check_free(const struct sockaddr_un *addr, int type, int wait_ms)
{
	struct stat st;
	int r = 1;

	if (lstat(addr->sun_path, &st) < 0) {
		return errno == ENOENT ? 0
				       : err(-errno, "%s: %s", addr->sun_path,
					     strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode)) {
		return err(-EEXIST, "%s is not a socket: move it away",
			   addr->sun_path);
	}
	for (unsigned int i = 0; i < UNIX_TRIES && r == 1; i++) {
		r = try_connect(addr, type, wait_ms);
	}
	return r == 1 ? err(-EADDRINUSE,
			    "%s: whoever listens there hangs up at once",
			    addr->sun_path)
		      : r;
}

int unix_check_free(const char *path, int type, int wait_ms)
{
	struct sockaddr_un addr;
	int r = fill_address(path, &addr);

	return r < 0 ? r : check_free(&addr, type, wait_ms);
}

/* Nobody can connect before listen(), so the mode may come after bind(). */
static int make_ready(int fd, const char *path, mode_t mode,
		      struct stat *ret_st)
{
	if (chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0 ||
	    lstat(path, ret_st) < 0) {
		int r = err(-errno, "%s: %s", path, strerror(errno));

		(void)unlink(path); /* the first error counts */
		return r;
	}
	return 0;
}

int unix_listen(const char *path, int type, mode_t mode,
		struct unix_listener *ret)
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
	r = check_free(&addr, type, UNIX_WAIT_MS);
	if (r < 0) {
		return r;
	}
	(void)unlink(path); /* bind() tells when that did not help */
	fd = new_socket(type);
	if (fd < 0) {
		return fd;
	}
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		return err(-errno, "%s: %s", path, strerror(errno));
	}
	r = make_ready(fd, path, mode, &st);
	if (r < 0) {
		return r;
	}
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->path, path, strlen(path) + 1);
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->fd = steal_fd(&fd);
	return 0;
}

void unix_listen_end(struct unix_listener *listener)
{
	struct stat st;

	if (listener->path[0] == '\0') {
		return;
	}
	(void)close_fd(listener->fd);
	if (lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino) {
		/* What stays will be replaced by the next one. */
		(void)unlink(listener->path);
	}
	memset(listener, 0, sizeof(*listener));
	listener->fd = -1;
}

int unix_connect(const char *path, int type)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un addr;
	int r = fill_address(path, &addr);

	if (r < 0) {
		return r;
	}
	fd = new_socket(type);
	if (fd < 0) {
		return fd;
	}
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		return err(-errno, "%s: %s", path, strerror(errno));
	}
	return steal_fd(&fd);
}

bool unix_uid_is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

bool unix_peer_is_trusted(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       unix_uid_is_trusted(peer.uid);
}
