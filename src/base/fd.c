/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File descriptors: what kind they are, and passing them over a socket.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Linux never passes more descriptors in one message (SCM_MAX_FD). */
#define SCM_FDS_MAX 253

ssize_t fd_send(int sock, const struct fd_msg *msg, int flags)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	} control;
	struct msghdr mh = {
		.msg_iov = msg->iov,
		.msg_iovlen = msg->n_iov,
	};
	ssize_t n;

	assert(msg->n_fds <= FD_PASS_MAX);
	if (msg->n_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(msg->n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(msg->n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), msg->fds, msg->n_fds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &mh, flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void take_fds(struct fd_msg *msg, const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
		if (msg->n_fds < FD_PASS_MAX) {
			msg->fds[msg->n_fds++] = fd;
		} else {
			(void)close_fd(fd);
			msg->n_fds_dropped++;
		}
	}
}

ssize_t fd_recv(int sock, struct fd_msg *msg, int flags)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(SCM_FDS_MAX * sizeof(int)) +
			 CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr mh = {
		.msg_iov = msg->iov,
		.msg_iovlen = msg->n_iov,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	msg->n_fds = 0;
	msg->n_fds_dropped = 0;
	msg->has_cred = false;
	do {
		n = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		return -errno;
	}
	msg->is_truncated = mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c;
	     c = CMSG_NXTHDR(&mh, c)) {
		if (c->cmsg_level != SOL_SOCKET) {
			continue;
		}
		if (c->cmsg_type == SCM_RIGHTS) {
			take_fds(msg, c);
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&msg->cred, CMSG_DATA(c), sizeof(msg->cred));
			msg->has_cred = true;
		}
	}
	return n;
}

void fd_msg_close(struct fd_msg *msg)
{
	for (unsigned int i = 0; i < msg->n_fds; i++) {
		msg->fds[i] = close_fd(msg->fds[i]);
	}
	msg->n_fds = 0;
}

bool fd_is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], target[sizeof(want)];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	return n == (ssize_t)sizeof(want) - 1 &&
	       memcmp(target, want, sizeof(want) - 1) == 0;
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		return -errno;
	}
	return 0;
}

int fd_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}
