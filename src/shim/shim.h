/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libvdpakit-preload.so: what its files share.
 *
 * Theory of operation
 *
 * The library stands between a program and its libc. It takes a call for
 * itself when the path is one of the daemon's, or the descriptor is a visible
 * socket (uapi/preload.h), and hands everything else to the next library after
 * one look into a table of marks, a byte a descriptor.
 *
 *   real.c      libc's own functions
 *   known.c     marks; is this descriptor ours?
 *   wire.c      calls and questions to the daemon
 *   channel.c   where replies come; what belongs to the address space
 *   shortcut.c  ioctls that need no daemon
 *   file.c      open, close, dup, ioctl, write, mmap, ...
 *   backing.c   which descriptors are behind the program's memory?
 *   proc.c      reading /proc
 *   trap.c      writes that are no calls of libc's
 *   path.c      stat, access, /proc/devices
 *   netlink.c   generic netlink sockets that ask for the vdpa family
 *
 * It runs inside programs that we know nothing of, so it has no lock, no thread
 * and no allocator: state is taken and given back with single atomic
 * operations, which is safe in signal handlers, after fork() and in vfork()
 * children. What must not outlive an address space (the task number, channels)
 * stands in memory that the kernel wipes in a forked child. Marks can be wrong
 * (a raw system call closed the descriptor) and are only a hint to look: a
 * descriptor is ours if its socket's peer has the daemon's address.
 *
 * Inside, system calls are made directly: libc's wrappers are what we replace,
 * and errno must stay as it was unless a call fails. Functions return -errno.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/util.h"
#include "uapi/preload.h"

/* A system call: -errno, errno itself as it was. What the kernel reads as 64 bits
 * has to be passed as such, constants too: of an int that is passed in memory
 * the upper half is whatever was there. */
#define SYS(...)                                \
	({                                      \
		int errno_ = errno;             \
		long r_ = syscall(__VA_ARGS__); \
		if (r_ < 0) {                   \
			r_ = -errno;            \
			errno = errno_;         \
		}                               \
		r_;                             \
	})

/* What the interposed function returns for -errno. */
static inline long shim_return(long r)
{
	if (r < 0) {
		errno = (int)-r;
		return -1;
	}
	return r;
}

/* known.c */

enum mark {
	MARK_NONE,
	MARK_FILE, /* always ready: epoll_ctl() refuses it */
	MARK_QUEUE, /* a file that is waited for */
	MARK_GENL, /* a generic netlink socket of the kernel's */
	MARK_NETLINK, /* one that is a connection to the daemon */
	MARK_CHANNEL, /* a private one of channel.c */
	MARK_N,
};

#define SHIM_MARKS_MAX 65536
extern uint8_t shim_marks[SHIM_MARKS_MAX];

/* The one look at descriptors that are not ours. */
static inline enum mark shim_mark(int fd)
{
	return likely((unsigned int)fd < SHIM_MARKS_MAX)
		       ? __atomic_load_n(&shim_marks[fd], __ATOMIC_RELAXED)
		       : MARK_NONE;
}

static inline bool shim_mark_is_file(enum mark mark)
{
	return mark == MARK_FILE || mark == MARK_QUEUE;
}

/* No-ops in a vfork() child, whose descriptors are not its parent's. */
void shim_mark_set(int fd, enum mark mark);
/* All but channels. */
void shim_mark_clear_range(unsigned int first, unsigned int last);

/* Was the environment's socket given? */
bool shim_is_enabled(void);
bool shim_is_debug(void);
void shim_debug(const char *fmt, ...) _printf_(1, 2);
/* Address of the daemon. Return: its length. */
socklen_t shim_daemon(const struct sockaddr **ret);

/* Is it a connection to the daemon, whatever its mark says? */
bool shim_is_ours(int fd);
/* Is it a file of ours? Looks closer at marked ones only. */
bool shim_is_file(int fd);
/* The same for any descriptor; marks it. */
bool shim_adopt_file(int fd);

/* Copies memory whose address may be bad. Return: bytes; -EFAULT for none. */
ssize_t shim_copy_in(void *dst, const void *src, size_t len);
int shim_copy_out(uint64_t dst, const void *src, size_t len);

/* channel.c */

/* Called once, when the environment was read. */
void shim_wire_init(void);
/* The process of this address space: not that of a vfork() child. */
pid_t shim_owner_pid(void);
/* The daemon would like to be given the files behind our memory. */
bool shim_wants_files(void);
void shim_set_wants_files(bool wants);
/* Is the descriptor one that channel.c needs? Ascending search from @fd. */
int shim_next_channel(int fd);

/* To a high number, if there is room. Return: the descriptor. */
int shim_move_up(int fd);

/* trap.c */

/* The program makes such: from now on they come to us, if that can be. */
void shim_trap_raw_writes(void);

/* file.c */

/* write() to a file of ours. Return: bytes; -errno */
ssize_t shim_write(int fd, const struct iovec *iov, int n);

/* shortcut.c */

/* Does the ioctl without asking the daemon. Return: false: ask it. */
bool shim_shortcut_use(int fd, uint32_t cmd, const void *arg);
/* The number is another file's from now on. */
void shim_shortcut_forget(int fd);
/* As the daemon said, beside its reply. Takes both descriptors. */
void shim_shortcut_add(int fd, uint32_t cmd, uint32_t arg, uint64_t where,
		       int event_fd, int page_fd);

/* wire.c */

/**
 * struct shim_call - a call to the daemon
 *
 * @fd: a visible socket
 * @op, @arg: see uapi/preload.h
 * @data, @n_data: the bytes that go with it; addresses may be bad
 * @attach_fd: descriptor to pass, if it is open; -1: none
 * @files, @n_files: descriptors to pass, if they are open
 * @answer, @answer_len: where the bytes that come back go; NULL: to the
 *                       addresses that the daemon says
 * @ret_fd: a descriptor that came back (O_CLOEXEC), or -1
 * @ret_offset: see struct preload_reply
 */
struct shim_call {
	int fd;
	enum preload_op op;
	uint64_t arg[4];
	const struct iovec *data;
	int n_data;
	int attach_fd;
	int files[PRELOAD_FILES_MAX];
	unsigned int n_files;
	void *answer;
	size_t answer_len;
	int ret_fd;
	uint64_t ret_offset;
};

/* Return: result >= 0; -errno; -EIO no daemon. */
int64_t shim_call(struct shim_call *call);

/* A new connection, with SOCK_CLOEXEC or 0. Return: fd; -errno. */
int shim_connect(int type_flags);
/* Asks it something, answered on the connection itself. Up to @max bytes of
 * answer. Return: the result; -errno; -EIO no daemon. */
int64_t shim_ask(int conn, const void *message, size_t len, void *answer,
		 size_t max, uint32_t *ret_file_flags);
/* Or at its end. */
void shim_await_readable(int fd);

/* proc.c */

/* Each line of a file; nothing if it cannot be opened. */
void shim_each_line(const char *path, void (*fn)(void *priv, const char *line),
		    void *priv);
/* Each entry of a directory that is a number. */
void shim_each_number(const char *path, void (*fn)(void *priv, int number),
		      void *priv);

/* backing.c */

/* Which descriptors are of files that an IOTLB message maps? Return: how many,
 * at most PRELOAD_FILES_MAX; borrowed. */
unsigned int shim_find_files(const struct iovec *message, int *ret_fds);

/* path.c */

/* The name below /dev if the path is one of the daemon's, or NULL. */
const char *shim_name(const char *path);
/* A memfd in place of a file of /proc. Return: fd; -ENOENT not one of those. */
int shim_open_proc(const char *path, int flags);

#endif
