/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File descriptors: what kind they are, and passing them over a socket.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/util.h"

#define FD_PASS_MAX 8

/**
 * struct fd_msg - one message with descriptors beside it
 *
 * @iov, @n_iov: the bytes; for fd_recv() the room for them
 * @fds, @n_fds: sent: borrowed. Received: owned by the caller (O_CLOEXEC),
 *               at most FD_PASS_MAX; surplus ones are closed and counted in
 *               @n_fds_dropped
 * @has_cred, @cred: fd_recv(): who sent it, when the socket has SO_PASSCRED
 */
struct fd_msg {
	struct iovec *iov;
	size_t n_iov;
	int fds[FD_PASS_MAX];
	unsigned int n_fds;
	unsigned int n_fds_dropped;
	bool is_truncated;
	bool has_cred;
	struct ucred cred;
};

/**
 * fd_send() - sendmsg() with descriptors, never SIGPIPE
 * @sock: a unix socket
 * @msg: what to send
 * @flags: of sendmsg()
 *
 * Return: bytes sent, or -errno of sendmsg() (EINTR is retried)
 */
ssize_t fd_send(int sock, const struct fd_msg *msg, int flags);

/**
 * fd_recv() - recvmsg() with descriptors
 * @sock: a unix socket
 * @msg: iov set by the caller, all else filled
 * @flags: of recvmsg()
 *
 * Return: bytes received (0 at the end), or -errno (EINTR is retried)
 */
ssize_t fd_recv(int sock, struct fd_msg *msg, int flags);

/* Closes what fd_recv() filled in and was not stolen (set to -1). */
void fd_msg_close(struct fd_msg *msg);

/* Is it an eventfd? */
bool fd_is_eventfd(int fd);

/* Return: 0 or -errno. */
int fd_set_nonblock(int fd);

/* All of it or -errno; EINTR and short writes are continued. */
int fd_write_all(int fd, const void *buf, size_t len);

#endif
