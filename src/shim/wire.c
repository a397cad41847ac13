/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Talking to the daemon: calls and questions.
 *
 * A call goes out on the visible socket and its reply comes on a channel. The
 * daemon's death shows as the end of the channel. Were it to close only the
 * visible socket, the wait would notice after a second.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/wire.h"

#include <poll.h>
#include <string.h>

#include "shim/shim.h"

#define PAGE 4096UL

/* Messages */

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(SHIM_FDS_MAX * sizeof(int))];
};

/* As sendmsg() sees it, the daemon is gone. */
static long no_daemon(long r)
{
	switch (r) {
	case -EPIPE:
	case -ECONNRESET:
	case -ENOTCONN:
	case -ECONNREFUSED:
		return -EIO;
	default:
		return min_of(r, 0L);
	}
}

long shim_send_packet(int sock, const struct shim_packet *p)
{
	union control control;
	struct msghdr mh = { .msg_iov = (struct iovec *)(uintptr_t)p->iov,
			     .msg_iovlen = p->n_iov };
	struct cmsghdr *c;
	long r;

	if (p->n_fds > 0) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(p->n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(p->n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), p->fds, p->n_fds * sizeof(int));
	}
	for (;;) {
		struct pollfd pfd = { .fd = sock, .events = POLLOUT };

		r = SYS(SYS_sendmsg, sock, &mh, MSG_NOSIGNAL);
		if (r == -EAGAIN) {
			(void)SYS(SYS_ppoll, &pfd, 1UL, NULL, NULL, 0UL);
		} else if (r != -EINTR) {
			return no_daemon(r);
		}
	}
}

/* Bytes, and the descriptors that came with them, two at most. */
static long receive(int sock, void *buf, size_t len, int ret_fds[2])
{
	union control control;
	struct iovec iov = { buf, len };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_LEN(2 * sizeof(int)), /* not three */
	};
	struct cmsghdr *c;
	long r = SYS(SYS_recvmsg, sock, &mh, MSG_CMSG_CLOEXEC);

	ret_fds[0] = -1;
	ret_fds[1] = -1;
	if (r < 0) {
		return r;
	}
	c = CMSG_FIRSTHDR(&mh);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		memcpy(ret_fds, CMSG_DATA(c),
		       min_of(c->cmsg_len - CMSG_LEN(0), 2 * sizeof(int)));
	}
	return r;
}

/* Calls */

/* Less of the last iovec: up to a page boundary, where memory ends. */
static bool shorten(struct iovec *iov)
{
	uintptr_t start = (uintptr_t)iov->iov_base;
	uintptr_t last = start + iov->iov_len - 1;

	if (iov->iov_len == 0) {
		return false;
	}
	last &= ~(PAGE - 1);
	iov->iov_len = last > start ? last - start : 0;
	return true;
}

/* An ioctl's argument may end in the middle of what its size says, or name a
 * descriptor that is not open: send what there is. */
static long send_call(const struct shim_call *call, struct preload_call *head)
{
	struct shim_packet p = { .iov = { { head, sizeof(*head) } },
				 .n_iov = 1 };
	bool is_ioctl = call->op == PRELOAD_IOCTL;
	long r;

	for (int i = 0; i < call->n_data && p.n_iov < SHIM_IOV_MAX; i++) {
		p.iov[p.n_iov++] = call->data[i];
		head->data_len += (uint32_t)call->data[i].iov_len;
	}
	if (call->attach_fd >= 0) {
		p.fds[p.n_fds++] = call->attach_fd;
	}
	for (unsigned int i = 0; i < call->n_files; i++) {
		p.fds[p.n_fds++] = call->files[i];
	}
	for (;;) {
		head->head.len = (uint32_t)sizeof(*head) + head->data_len;
		r = shim_send_packet(call->fd, &p);
		if (r == -EBADF && p.n_fds > 0 && shim_is_ours(call->fd)) {
			p.n_fds = 0;
		} else if (r == -EFAULT && is_ioctl && p.n_iov == 2 &&
			   shorten(&p.iov[1])) {
			head->data_len = (uint32_t)p.iov[1].iov_len;
		} else {
			return r;
		}
	}
}

/* The pieces of a reply, to where they belong. */
static long store(const struct shim_call *call, const uint8_t *buf, size_t len,
		  uint32_t n_pieces)
{
	struct preload_piece piece;
	long r = 0;

	for (uint32_t i = 0; i < n_pieces && r == 0; i++) {
		if (len < sizeof(piece)) {
			return -EIO;
		}
		memcpy(&piece, buf, sizeof(piece));
		buf += sizeof(piece);
		len -= sizeof(piece);
		if (piece.len > len || align_up(piece.len, 8) > len) {
			return -EIO;
		}
		if (call->answer) {
			memcpy(call->answer, buf,
			       min_of((size_t)piece.len, call->answer_len));
		} else {
			r = shim_copy_out(piece.uaddr, buf, piece.len);
		}
		buf += align_up(piece.len, 8);
		len -= align_up(piece.len, 8);
	}
	return r;
}

static int close_if_open(int fd)
{
	if (fd >= 0) {
		(void)SYS(SYS_close, fd);
	}
	return -1;
}

/* Return: was it one? Then the descriptors are taken. */
static bool take_shortcut(const struct shim_call *call,
			  const struct preload_reply *reply, const int fds[2])
{
	uint32_t arg;

	if (!(reply->file_flags & PRELOAD_FILE_SHORTCUT) || fds[1] < 0 ||
	    shim_copy_in(&arg, (const void *)(uintptr_t)call->arg[1],
			 sizeof(arg)) != sizeof(arg)) {
		return false;
	}
	shim_shortcut_add(call->fd, (uint32_t)call->arg[0], arg, reply->offset,
			  fds[0], fds[1]);
	return true;
}

static int64_t finish_call(struct shim_call *call, const uint8_t *buf,
			   size_t len, const int fds[2])
{
	struct preload_reply reply;
	int fd = fds[0];
	int64_t r;

	memcpy(&reply, buf, sizeof(reply));
	if (call->op != PRELOAD_GETPORT &&
	    !(reply.file_flags & PRELOAD_FILE_NO_EPOLL)) {
		shim_mark_set(call->fd, MARK_QUEUE);
	}
	if (reply.file_flags & PRELOAD_FILE_RAW_WRITES) {
		shim_trap_raw_writes();
	}
	if (call->op == PRELOAD_IOCTL) {
		shim_set_wants_files(reply.file_flags &
				     PRELOAD_FILE_WANTS_FILES);
	}
	r = store(call, buf + sizeof(reply), len - sizeof(reply),
		  reply.n_pieces);
	if (r == 0) {
		r = reply.result;
	}
	if (take_shortcut(call, &reply, fds)) {
		fd = -1;
	} else {
		(void)close_if_open(fds[1]);
	}
	if (r < 0) {
		fd = close_if_open(fd);
	}
	call->ret_fd = fd;
	call->ret_offset = reply.offset;
	return r;
}

static bool has_hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd };
	struct timespec zero = { 0 };

	return SYS(SYS_ppoll, &pfd, 1UL, &zero, NULL, 0UL) == 1 &&
	       (pfd.revents & POLLHUP);
}

static int64_t await_reply(struct shim_call *call,
			   const struct shim_channel *channel)
{
	uint8_t *buf = channel->buf;
	struct preload_reply reply;
	bool was_hung_up = false;
	int fds[2];

	for (;;) {
		long n = receive(channel->fd, buf, PRELOAD_REPLY_MAX, fds);

		if (n == -EINTR) {
			continue;
		}
		if (n == -EAGAIN && !was_hung_up) {
			was_hung_up = has_hung_up(call->fd);
			continue; /* once more: the reply may be there */
		}
		if (n < (long)sizeof(reply)) {
			return -EIO;
		}
		memcpy(&reply, buf, sizeof(reply));
		if (reply.head.magic == PRELOAD_MAGIC &&
		    reply.head.type == PRELOAD_REPLY &&
		    reply.seq == channel->seq) {
			return finish_call(call, buf, (size_t)n, fds);
		}
		/* Of a call that nobody waits for any more. */
		(void)close_if_open(fds[0]);
		(void)close_if_open(fds[1]);
	}
}

int64_t shim_call(struct shim_call *call)
{
	struct shim_channel channel;
	int64_t r = shim_channel_take(call->fd, &channel);

	call->ret_fd = -1;
	if (r == 0) {
		struct preload_call head = {
			.head = { PRELOAD_MAGIC, PRELOAD_CALL, 0 },
			.task = channel.task,
			.seq = channel.seq,
			.channel = channel.idx,
			.op = call->op,
			.fd = call->attach_fd,
		};

		memcpy(head.arg, call->arg, sizeof(head.arg));
		r = send_call(call, &head);
		if (r == 0) {
			r = await_reply(call, &channel);
		}
		shim_channel_give(&channel);
	}
	shim_debug("vdpakit: fd %d op %d arg %#llx %#llx: %lld", call->fd,
		   (int)call->op, (unsigned long long)call->arg[0],
		   (unsigned long long)call->arg[1], (long long)r);
	return r;
}

/* Questions */

int shim_connect(int type_flags)
{
	const struct sockaddr *addr;
	socklen_t len = shim_daemon(&addr);
	long fd = SYS(SYS_socket, AF_UNIX, SOCK_SEQPACKET | type_flags, 0);
	long r;

	if (fd < 0) {
		return (int)fd;
	}
	do {
		r = SYS(SYS_connect, fd, addr, len);
	} while (r == -EINTR);
	if (r < 0) {
		(void)SYS(SYS_close, fd);
		return (int)r;
	}
	return (int)fd;
}

int64_t shim_ask(int conn, const void *message, size_t len, void *answer,
		 size_t max, uint32_t *ret_file_flags)
{
	struct preload_reply reply;
	struct iovec iov[] = { { &reply, sizeof(reply) }, { answer, max } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	struct shim_packet p = {
		.iov = { { (void *)(uintptr_t)message, len } },
		.n_iov = 1,
	};
	long r = shim_send_packet(conn, &p);

	if (r < 0) {
		return -EIO;
	}
	do {
		r = SYS(SYS_recvmsg, conn, &mh, 0);
	} while (r == -EINTR);
	if (r < (long)sizeof(reply) || reply.head.magic != PRELOAD_MAGIC ||
	    reply.head.type != PRELOAD_REPLY) {
		return -EIO;
	}
	if (ret_file_flags) {
		*ret_file_flags = reply.file_flags;
	}
	return reply.result;
}

void shim_await_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	while (SYS(SYS_ppoll, &pfd, 1UL, NULL, NULL, 0UL) == -EINTR) {
	}
}
