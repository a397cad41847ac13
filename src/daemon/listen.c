/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening sockets of systemd.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "daemon/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/parse.h"

/* The first descriptor of socket activation. */
#define ACTIVATED_FIRST 3
#define ACTIVATED_MAX	16

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
