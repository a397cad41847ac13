/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Talking to the daemon: channels, calls, questions.
 *
 * Theory of operation
 *
 * A call takes a slot that no other call uses (the slot's owner is set to the
 * thread's id with one compare-and-swap), makes sure that the slot has a
 * channel that the daemon knows, sends the call on the visible socket, and
 * waits on the channel. So calls of several threads, and of a signal handler
 * in the middle of another call, do not meet. A slot whose thread died is
 * taken back when no other is free.
 *
 * Everything that belongs to the address space stands in one page that the
 * kernel wipes in a forked child: there the task number is 0, and the next
 * call draws a new one. Descriptors are inherited, though: their numbers stand
 * elsewhere, so that the child can close its parent's channels. A vfork()
 * child shares the page but has its own descriptors; that is why a channel is
 * checked by inode before use.
 *
 * The daemon's death shows as the end of the channel. Were it to close only
 * the visible socket, the wait would notice after a second.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "shim/shim.h"

/* Channels live at high numbers, out of the way of programs that count on
 * theirs; not higher than this, or the kernel's tables grow. */
#define CHANNEL_FD_MAX 1024
#define CHANNEL_FDS    64
#define IOV_MAX_SENT   68
#define PAGE	       4096UL

struct slot {
	uint32_t owner; /* thread id, 0 free; atomic */
	int32_t fd; /* + 1; 0: none */
	uint64_t inode;
	uint64_t seq;
};

/* One page, wiped in forked children. */
struct wire {
	uint64_t task; /* 0: not drawn yet; atomic */
	int32_t pid; /* atomic */
	struct slot slots[PRELOAD_CHANNELS_MAX];
};
_Static_assert(sizeof(struct wire) <= PAGE, "one page");

static struct wire *wire;

/* What a forked child inherits: for each slot the descriptor of its channel,
 * and room for a reply, made at the slot's first use. */
static struct {
	int fd; /* + 1 */
	uint64_t inode;
	uint8_t *buf;
} inherited[PRELOAD_CHANNELS_MAX];

static uint64_t socket_inode(int fd)
{
	struct stat st;

	if (SYS(SYS_fstat, fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		return 0;
	}
	return st.st_ino;
}

static void close_inherited(unsigned int idx)
{
	int fd = inherited[idx].fd - 1;

	if (fd < 0) {
		return;
	}
	if (socket_inode(fd) == inherited[idx].inode) {
		(void)SYS(SYS_close, fd);
	}
	if (shim_mark(fd) == MARK_CHANNEL) {
		shim_mark_set(fd, MARK_NONE);
	}
	inherited[idx].fd = 0;
}

static void after_fork(void)
{
	memset(wire, 0, sizeof(*wire)); /* should the kernel not know how */
	for (unsigned int i = 0; i < PRELOAD_CHANNELS_MAX; i++) {
		close_inherited(i);
	}
}

void shim_wire_init(void)
{
	static struct wire fallback;
	long r = SYS(SYS_mmap, NULL, PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	wire = &fallback;
	if (r > 0) {
		wire = (struct wire *)r;
		(void)SYS(SYS_madvise, wire, PAGE, MADV_WIPEONFORK);
	}
	(void)pthread_atfork(NULL, NULL, after_fork);
	(void)shim_owner_pid();
}

pid_t shim_owner_pid(void)
{
	int32_t pid = __atomic_load_n(&wire->pid, __ATOMIC_RELAXED);

	if (pid == 0) {
		pid = (int32_t)SYS(SYS_getpid);
		__atomic_store_n(&wire->pid, pid, __ATOMIC_RELAXED);
	}
	return pid;
}

int shim_next_channel(int fd)
{
	for (; fd < SHIM_MARKS_MAX; fd++) {
		if (shim_mark(fd) == MARK_CHANNEL) {
			return fd;
		}
	}
	return -1;
}

/* Messages */

struct packet {
	struct iovec iov[IOV_MAX_SENT];
	size_t n_iov;
	int fds[3];
	unsigned int n_fds;
};

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(3 * sizeof(int))];
};

static long send_packet(int sock, struct packet *p)
{
	union control control;
	struct msghdr mh = { .msg_iov = p->iov, .msg_iovlen = p->n_iov };
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
			return r;
		}
	}
}

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
		return r;
	}
}

/* Bytes, and the first descriptor that came with them in *@ret_fd. */
static long receive(int sock, void *buf, size_t len, int *ret_fd)
{
	union control control;
	struct iovec iov = { buf, len };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_LEN(sizeof(int)), /* not two */
	};
	struct cmsghdr *c;
	long r = SYS(SYS_recvmsg, sock, &mh, MSG_CMSG_CLOEXEC);

	*ret_fd = -1;
	if (r < 0) {
		return r;
	}
	c = CMSG_FIRSTHDR(&mh);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	}
	return r;
}

/* Channels */

static bool try_slot(uint32_t idx, uint32_t owner, uint32_t tid)
{
	return __atomic_compare_exchange_n(&wire->slots[idx].owner, &owner, tid,
					   false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/* A vfork() child begins at the other end: what it makes is not its parent's.
 */
static uint32_t take_slot(bool is_child)
{
	uint32_t tid = (uint32_t)SYS(SYS_gettid);

	for (;;) {
		for (uint32_t i = 0; i < PRELOAD_CHANNELS_MAX; i++) {
			uint32_t idx = is_child ? PRELOAD_CHANNELS_MAX - 1 - i
						: i;

			if (try_slot(idx, 0, tid)) {
				return idx;
			}
		}
		/* All busy: is one's thread dead? Else let them run. */
		for (uint32_t i = 0; i < PRELOAD_CHANNELS_MAX; i++) {
			uint32_t owner = wire->slots[i].owner;

			if (owner != 0 && SYS(SYS_tkill, owner, 0) == -ESRCH &&
			    try_slot(i, owner, tid)) {
				return i;
			}
		}
		(void)SYS(SYS_sched_yield);
	}
}

static void give_slot(uint32_t idx)
{
	__atomic_store_n(&wire->slots[idx].owner, 0, __ATOMIC_RELEASE);
}

static bool slot_is_alive(const struct slot *slot)
{
	char byte;

	return slot->fd > 0 && socket_inode(slot->fd - 1) == slot->inode &&
	       SYS(SYS_recvfrom, slot->fd - 1, &byte, 1UL,
		   MSG_PEEK | MSG_DONTWAIT, NULL, NULL) != 0;
}

static uint64_t task_number(void)
{
	uint64_t task = __atomic_load_n(&wire->task, __ATOMIC_RELAXED);
	uint64_t drawn = 0;

	if (task != 0) {
		return task;
	}
	if (SYS(SYS_getrandom, &drawn, sizeof(drawn), 0) !=
	    (long)sizeof(drawn)) {
		return 0;
	}
	drawn |= 1;
	if (__atomic_compare_exchange_n(&wire->task, &task, drawn, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		return drawn;
	}
	return task; /* somebody else was faster */
}

/* To a high number, if there is room. Return: the descriptor. */
static int move_up(int fd)
{
	struct rlimit limit = { CHANNEL_FD_MAX, CHANNEL_FD_MAX };
	unsigned long max;
	long r;

	(void)SYS(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit);
	max = min_of((unsigned long)limit.rlim_cur,
		     (unsigned long)CHANNEL_FD_MAX);
	r = SYS(SYS_fcntl, fd, F_DUPFD_CLOEXEC,
		max > CHANNEL_FDS ? max - CHANNEL_FDS : 0);
	if (r < 0) {
		return fd;
	}
	(void)SYS(SYS_close, fd);
	return (int)r;
}

static long send_hello(int visible, uint32_t idx, int channel)
{
	struct preload_hello hello = {
		.head = { PRELOAD_MAGIC, PRELOAD_HELLO, sizeof(hello) },
		.task = task_number(),
		.channel = idx,
	};
	struct packet p = { .iov = { { &hello, sizeof(hello) } }, .n_iov = 1 };
	long maps = SYS(SYS_openat, AT_FDCWD, "/proc/self/maps",
			O_RDONLY | O_CLOEXEC, 0);
	long mem = SYS(SYS_openat, AT_FDCWD, "/proc/self/mem",
		       O_RDWR | O_CLOEXEC, 0);
	long r;

	p.fds[p.n_fds++] = channel;
	if (maps >= 0) {
		hello.flags |= PRELOAD_HAS_MAPS;
		p.fds[p.n_fds++] = (int)maps;
	}
	if (mem >= 0) {
		hello.flags |= PRELOAD_HAS_MEM;
		p.fds[p.n_fds++] = (int)mem;
	}
	r = hello.task ? send_packet(visible, &p) : -EIO;
	for (unsigned int i = 1; i < p.n_fds; i++) {
		(void)SYS(SYS_close, p.fds[i]);
	}
	return r < 0 ? no_daemon(r) : 0;
}

static long make_channel(int visible, uint32_t idx)
{
	struct slot *slot = &wire->slots[idx];
	struct timeval second = { .tv_sec = 1 };
	int pair[2];
	long r = SYS(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
		     pair);

	if (r < 0) {
		return r;
	}
	pair[0] = move_up(pair[0]);
	r = send_hello(visible, idx, pair[1]);
	(void)SYS(SYS_close, pair[1]);
	if (r == 0) {
		r = SYS(SYS_setsockopt, pair[0], SOL_SOCKET, SO_RCVTIMEO,
			&second, sizeof(second));
	}
	if (r < 0) {
		(void)SYS(SYS_close, pair[0]);
		return r;
	}
	close_inherited(idx);
	slot->fd = pair[0] + 1;
	slot->inode = socket_inode(pair[0]);
	inherited[idx].fd = slot->fd;
	inherited[idx].inode = slot->inode;
	shim_mark_set(pair[0], MARK_CHANNEL);
	return 0;
}

/* What a vfork() child made for one call. */
static void drop_channel(uint32_t idx)
{
	close_inherited(idx);
	wire->slots[idx].fd = 0;
}

static long prepare_slot(int visible, uint32_t idx, bool *ret_is_new)
{
	if (!inherited[idx].buf) {
		long r = SYS(SYS_mmap, NULL, PRELOAD_REPLY_MAX,
			     PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (r < 0) {
			return r;
		}
		inherited[idx].buf = (uint8_t *)r;
	}
	if (slot_is_alive(&wire->slots[idx])) {
		return 0;
	}
	*ret_is_new = true;
	return make_channel(visible, idx);
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
	struct packet p = { .iov = { { head, sizeof(*head) } }, .n_iov = 1 };
	bool is_ioctl = call->op == PRELOAD_IOCTL;
	long r;

	for (int i = 0; i < call->n_data && p.n_iov < IOV_MAX_SENT; i++) {
		p.iov[p.n_iov++] = call->data[i];
		head->data_len += (uint32_t)call->data[i].iov_len;
	}
	if (call->attach_fd >= 0) {
		p.fds[p.n_fds++] = call->attach_fd;
	}
	for (;;) {
		head->head.len = (uint32_t)sizeof(*head) + head->data_len;
		r = send_packet(call->fd, &p);
		if (r == -EBADF && p.n_fds > 0 && shim_is_ours(call->fd)) {
			p.n_fds = 0;
		} else if (r == -EFAULT && is_ioctl && p.n_iov == 2 &&
			   shorten(&p.iov[1])) {
			head->data_len = (uint32_t)p.iov[1].iov_len;
		} else {
			return r < 0 ? no_daemon(r) : 0;
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

static int64_t finish_call(struct shim_call *call, const uint8_t *buf,
			   size_t len, int fd)
{
	struct preload_reply reply;
	int64_t r;

	memcpy(&reply, buf, sizeof(reply));
	if (call->op != PRELOAD_GETPORT &&
	    !(reply.file_flags & PRELOAD_FILE_NO_EPOLL)) {
		shim_mark_set(call->fd, MARK_QUEUE);
	}
	r = store(call, buf + sizeof(reply), len - sizeof(reply),
		  reply.n_pieces);
	if (r == 0) {
		r = reply.result;
	}
	if (r < 0 && fd >= 0) {
		(void)SYS(SYS_close, fd);
		fd = -1;
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

static int64_t await_reply(struct shim_call *call, uint32_t idx, uint64_t seq)
{
	const struct slot *slot = &wire->slots[idx];
	uint8_t *buf = inherited[idx].buf;
	struct preload_reply reply;
	bool was_hung_up = false;
	int fd;

	for (;;) {
		long n = receive(slot->fd - 1, buf, PRELOAD_REPLY_MAX, &fd);

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
		    reply.head.type == PRELOAD_REPLY && reply.seq == seq) {
			return finish_call(call, buf, (size_t)n, fd);
		}
		/* Of a call that nobody waits for any more. */
		if (fd >= 0) {
			(void)SYS(SYS_close, fd);
		}
	}
}

int64_t shim_call(struct shim_call *call)
{
	struct preload_call head = {
		.head = { PRELOAD_MAGIC, PRELOAD_CALL, 0 },
		.op = call->op,
		.fd = call->attach_fd,
	};
	bool is_child = shim_owner_pid() != (pid_t)SYS(SYS_getpid);
	uint32_t idx = take_slot(is_child);
	bool is_new = false;
	int64_t r = prepare_slot(call->fd, idx, &is_new);

	call->ret_fd = -1;
	if (r == 0) {
		head.task = task_number();
		head.channel = idx;
		head.seq = ++wire->slots[idx].seq;
		memcpy(head.arg, call->arg, sizeof(head.arg));
		r = send_call(call, &head);
	}
	if (r == 0) {
		r = await_reply(call, idx, head.seq);
	}
	if (is_child && is_new) {
		drop_channel(idx);
	}
	give_slot(idx);
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
	struct packet p = {
		.iov = { { (void *)(uintptr_t)message, len } },
		.n_iov = 1,
	};
	long r = send_packet(conn, &p);

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
