/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Channels: where replies come, one for each call in flight.
 *
 * Theory of operation
 *
 * A call takes a slot that no other call uses (the slot's owner is set to the
 * thread's id with one compare-and-swap) and makes sure that the slot has a
 * channel that the daemon knows. So calls of several threads, and of a signal
 * handler in the middle of another call, do not meet. A slot whose thread died
 * or jumped out of its call is taken back when no other is free.
 *
 * Everything that belongs to the address space stands in one page that the
 * kernel wipes in a forked child: there the task number is 0, and the next
 * call draws a new one. Descriptors are inherited, though: their numbers stand
 * elsewhere, so that the child can close its parent's channels. A vfork()
 * child shares the page but has its own descriptors; that is why a channel is
 * checked by inode before use, and why one that such a child makes is closed
 * after the call.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "shim/shim.h"
#include "shim/wire.h"

/* Channels live at high numbers, out of the way of programs that count on
 * theirs; not higher than this, or the kernel's tables grow. */
#define CHANNEL_FD_MAX 1024
#define CHANNEL_FDS    64
/* Calls of one thread inside each other. */
#define NESTING_MAX 8
#define PAGE	    4096UL

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
	bool wants_files; /* atomic */
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
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);

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

bool shim_wants_files(void)
{
	return __atomic_load_n(&wire->wants_files, __ATOMIC_RELAXED);
}

void shim_set_wants_files(bool wants)
{
	__atomic_store_n(&wire->wants_files, wants, __ATOMIC_RELAXED);
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

/* Slots */

static bool try_slot(uint32_t idx, uint32_t owner, uint32_t tid)
{
	return __atomic_compare_exchange_n(&wire->slots[idx].owner, &owner, tid,
					   false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/* All are busy. One whose thread is dead is free in truth; so is one of this
 * very thread if it has many: handlers of signals do not nest like that, they
 * left calls by siglongjmp(). Its calls are cancelled with its channel. */
static int reclaim_slot(uint32_t tid)
{
	unsigned int n_own = 0;

	for (uint32_t i = 0; i < PRELOAD_CHANNELS_MAX; i++) {
		uint32_t owner = wire->slots[i].owner;

		n_own += owner == tid;
		if (owner != 0 &&
		    ((owner == tid && n_own > NESTING_MAX) ||
		     SYS(SYS_tkill, owner, 0) == -ESRCH) &&
		    try_slot(i, owner, tid)) {
			close_inherited(i);
			wire->slots[i].fd = 0;
			return (int)i;
		}
	}
	return -1;
}

/* A vfork() child begins at the other end: what it makes is not its parent's.
 */
static uint32_t take_slot(bool is_child)
{
	const struct timespec a_while = { .tv_nsec = 1000000 };
	uint32_t tid = (uint32_t)SYS(SYS_gettid);
	int reclaimed;

	for (;;) {
		for (uint32_t i = 0; i < PRELOAD_CHANNELS_MAX; i++) {
			uint32_t idx = is_child ? PRELOAD_CHANNELS_MAX - 1 - i
						: i;

			if (try_slot(idx, 0, tid)) {
				return idx;
			}
		}
		reclaimed = reclaim_slot(tid);
		if (reclaimed >= 0) {
			return (uint32_t)reclaimed;
		}
		(void)SYS(SYS_nanosleep, &a_while, NULL);
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

int shim_move_up(int fd)
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
	struct shim_packet p = { .iov = { { &hello, sizeof(hello) } },
				 .n_iov = 1 };
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
	r = hello.task ? shim_send_packet(visible, &p) : -EIO;
	for (unsigned int i = 1; i < p.n_fds; i++) {
		(void)SYS(SYS_close, p.fds[i]);
	}
	return r;
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
	pair[0] = shim_move_up(pair[0]);
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

static int make_room(uint32_t idx)
{
	long r;

	if (inherited[idx].buf) {
		return 0;
	}
	r = SYS(SYS_mmap, NULL, PRELOAD_REPLY_MAX, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	if (r < 0) {
		return (int)r;
	}
	inherited[idx].buf = (uint8_t *)r;
	return 0;
}

int shim_channel_take(int visible, struct shim_channel *ret)
{
	bool is_child = shim_owner_pid() != (pid_t)SYS(SYS_getpid);
	uint32_t idx = take_slot(is_child);
	struct slot *slot = &wire->slots[idx];
	long r = make_room(idx);

	ret->idx = idx;
	ret->is_temporary = false;
	if (r == 0 && !slot_is_alive(slot)) {
		ret->is_temporary = is_child;
		r = make_channel(visible, idx);
	}
	if (r < 0) {
		give_slot(idx);
		return (int)r;
	}
	ret->fd = slot->fd - 1;
	ret->task = task_number();
	ret->seq = ++slot->seq;
	ret->buf = inherited[idx].buf;
	return 0;
}

void shim_channel_give(const struct shim_channel *channel)
{
	if (channel->is_temporary) {
		close_inherited(channel->idx);
		wire->slots[channel->idx].fd = 0;
	}
	give_slot(channel->idx);
}
