/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors of ours: open, close, dup, fcntl, ioctl, read, write, mmap, epoll.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <linux/ioctl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "shim/real.h"
#include "shim/shim.h"
#include "uapi/ioctl_args.h"

/* Ioctls by these types are looked at on any descriptor: it may have come by
 * exec() or SCM_RIGHTS. */
#define TYPE_VHOST 0xAF
#define TYPE_VDUSE 0x81
/* More of a writev() than this is not gathered; a message is 152 bytes. */
#define WRITEV_MAX 64

/* What fcntl(F_GETFL) of the kernel adds to files that open() made. */
#if defined(__aarch64__)
#define FLAG_LARGEFILE 0400000
#elif defined(__x86_64__)
#define FLAG_LARGEFILE 0100000
#else
#define FLAG_LARGEFILE 0
#endif

/* Not declared by the headers we build with, or only as a macro. */
_public_ int __open_2(const char *path, int flags);
_public_ int __open64_2(const char *path, int flags);
_public_ int __openat_2(int dirfd, const char *path, int flags);
_public_ int __openat64_2(int dirfd, const char *path, int flags);
_public_ ssize_t __read_chk(int fd, void *buf, size_t len, size_t size);
_public_ int fcntl64(int fd, int cmd, ...);

/* open() */

static long open_node(const char *name, int flags)
{
	struct preload_name ask = {
		.head = { PRELOAD_MAGIC, PRELOAD_OPEN, sizeof(ask) },
		.flags = (uint32_t)flags,
	};
	uint32_t file_flags = 0;
	int64_t r;
	int fd;

	if (flags & O_DIRECTORY) {
		return -ENOTDIR;
	}
	strncpy(ask.name, name, PRELOAD_NAME_MAX);
	fd = shim_connect(flags & O_CLOEXEC ? SOCK_CLOEXEC : 0);
	if (fd < 0) {
		return -ENOENT; /* no daemon: the kernel may know the path */
	}
	r = shim_ask(fd, &ask, sizeof(ask), NULL, 0, &file_flags);
	if (r >= 0 && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
		r = -EEXIST;
	}
	shim_debug("vdpakit: open %s %#x: %lld", name, (unsigned int)flags,
		   (long long)r);
	if (r < 0) {
		(void)SYS(SYS_close, fd);
		return r;
	}
	if (file_flags & PRELOAD_FILE_NO_EPOLL) {
		shim_await_readable(fd); /* poll() must say so from now on */
	} else {
		(void)SYS(SYS_fcntl, fd, F_SETFL, flags & O_NONBLOCK);
	}
	shim_shortcut_forget(fd);
	shim_mark_set(fd, file_flags & PRELOAD_FILE_NO_EPOLL ? MARK_FILE
							     : MARK_QUEUE);
	return fd;
}

/* Return: fd; -errno; -ENOENT: not ours, go on. */
static long open_ours(const char *path, int flags)
{
	const char *name = shim_name(path);

	if (likely(!name)) {
		return shim_open_proc(path, flags);
	}
	return flags & O_PATH ? -ENOENT : open_node(name, flags);
}

/* Only there the mode is an argument. */
static mode_t mode_of(int flags, va_list ap)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE
		       ? va_arg(ap, mode_t)
		       : 0;
}

#define DEFINE_OPEN(fn)                                   \
	_public_ int fn(const char *path, int flags, ...) \
	{                                                 \
		long r = open_ours(path, flags);          \
		mode_t mode;                              \
		va_list ap;                               \
                                                          \
		if (r != -ENOENT) {                       \
			return (int)shim_return(r);       \
		}                                         \
		va_start(ap, flags);                      \
		mode = mode_of(flags, ap);                \
		va_end(ap);                               \
		return REAL(fn)(path, flags, mode);       \
	}
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(fn)                                            \
	_public_ int fn(int dirfd, const char *path, int flags, ...) \
	{                                                            \
		long r = open_ours(path, flags);                     \
		mode_t mode;                                         \
		va_list ap;                                          \
                                                                     \
		if (r != -ENOENT) {                                  \
			return (int)shim_return(r);                  \
		}                                                    \
		va_start(ap, flags);                                 \
		mode = mode_of(flags, ap);                           \
		va_end(ap);                                          \
		return REAL(fn)(dirfd, path, flags, mode);           \
	}
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

#define DEFINE_OPEN_2(fn)                                    \
	_public_ int fn(const char *path, int flags)         \
	{                                                    \
		long r = open_ours(path, flags);             \
                                                             \
		return r != -ENOENT ? (int)shim_return(r)    \
				    : REAL(fn)(path, flags); \
	}
DEFINE_OPEN_2(__open_2)
DEFINE_OPEN_2(__open64_2)

#define DEFINE_OPENAT_2(fn)                                         \
	_public_ int fn(int dirfd, const char *path, int flags)     \
	{                                                           \
		long r = open_ours(path, flags);                    \
                                                                    \
		return r != -ENOENT ? (int)shim_return(r)           \
				    : REAL(fn)(dirfd, path, flags); \
	}
DEFINE_OPENAT_2(__openat_2)
DEFINE_OPENAT_2(__openat64_2)

#define DEFINE_CREAT(fn)                                                \
	_public_ int fn(const char *path, mode_t mode)                  \
	{                                                               \
		long r = open_ours(path, O_WRONLY | O_CREAT | O_TRUNC); \
                                                                        \
		return r != -ENOENT ? (int)shim_return(r)               \
				    : REAL(fn)(path, mode);             \
	}
DEFINE_CREAT(creat)
DEFINE_CREAT(creat64)

/* close() and dup() */

_public_ int close(int fd)
{
	enum mark mark = shim_mark(fd);

	if (unlikely(mark != MARK_NONE)) {
		if (mark == MARK_CHANNEL) {
			errno = EBADF; /* not the program's */
			return -1;
		}
		shim_mark_set(fd, MARK_NONE);
	}
	return REAL(close)(fd);
}

/* Around the channels. */
static long close_around(unsigned int first, unsigned int last, int flags)
{
	int channel =
		shim_next_channel((int)min_of(first, (unsigned)INT32_MAX));
	long r;

	while (channel >= 0 && (unsigned int)channel <= last) {
		if ((unsigned int)channel > first) {
			r = SYS(SYS_close_range, first, channel - 1, flags);
			if (r < 0) {
				return r;
			}
		}
		first = (unsigned int)channel + 1;
		channel = shim_next_channel((int)first);
	}
	return first <= last ? SYS(SYS_close_range, first, last, flags) : 0;
}

_public_ int close_range(unsigned int first, unsigned int last, int flags)
{
	if (first > last || (flags & CLOSE_RANGE_CLOEXEC)) {
		return (int)shim_return(
			SYS(SYS_close_range, first, last, flags));
	}
	shim_mark_clear_range(first, last);
	return (int)shim_return(close_around(first, last, flags));
}

_public_ void closefrom(int lowfd)
{
	unsigned int first = (unsigned int)max_of(lowfd, 0);

	shim_mark_clear_range(first, UINT32_MAX);
	if (close_around(first, UINT32_MAX, 0) < 0) {
		REAL(closefrom)(lowfd);
	}
}

/* @to has become a copy of @from. */
static int copied(int from, int to)
{
	enum mark mark = shim_mark(from);

	if (to < 0 || to == from) {
		return to;
	}
	if (mark == MARK_QUEUE) {
		shim_shortcut_forget(to);
	}
	if (unlikely(mark != shim_mark(to))) {
		shim_mark_set(to, mark == MARK_CHANNEL ? MARK_NONE : mark);
	}
	return to;
}

_public_ int dup(int fd)
{
	return copied(fd, REAL(dup)(fd));
}

_public_ int dup2(int fd, int to)
{
	return copied(fd, REAL(dup2)(fd, to));
}

_public_ int dup3(int fd, int to, int flags)
{
	return copied(fd, REAL(dup3)(fd, to, flags));
}

/* fcntl() */

static long get_flags(int fd)
{
	struct shim_call call = {
		.fd = fd,
		.op = PRELOAD_GETFL,
		.attach_fd = -1,
	};
	int64_t r = shim_call(&call);

	return r < 0 ? r : r | FLAG_LARGEFILE;
}

static long set_flags(int fd, int flags)
{
	struct shim_call call = {
		.fd = fd,
		.op = PRELOAD_SETFL,
		.arg = { (uint32_t)flags },
		.attach_fd = -1,
	};

	/* One that is waited for is read from the socket itself. */
	if (shim_mark(fd) == MARK_QUEUE) {
		(void)SYS(SYS_fcntl, fd, F_SETFL, flags & O_NONBLOCK);
	}
	return shim_call(&call);
}

static int do_fcntl(real_fcntl_fn *real, int fd, int cmd, void *arg)
{
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return copied(fd, real(fd, cmd, arg));
	case F_GETFL:
		if (unlikely(shim_mark(fd)) && shim_is_file(fd)) {
			return (int)shim_return(get_flags(fd));
		}
		break;
	case F_SETFL:
		if (unlikely(shim_mark(fd)) && shim_is_file(fd)) {
			return (int)shim_return(
				set_flags(fd, (int)(intptr_t)arg));
		}
		break;
	}
	return real(fd, cmd, arg);
}

#define DEFINE_FCNTL(fn)                                 \
	_public_ int fn(int fd, int cmd, ...)            \
	{                                                \
		va_list ap;                              \
		void *arg;                               \
                                                         \
		va_start(ap, cmd);                       \
		arg = va_arg(ap, void *);                \
		va_end(ap);                              \
		return do_fcntl(REAL(fn), fd, cmd, arg); \
	}
DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)

/* ioctl() */

/* The number of a descriptor in an argument, or -1. */
static int fd_in(uint32_t cmd, const uint8_t *head, ssize_t n)
{
	const struct ioctl_arg *a = ioctl_arg_find(cmd);
	int32_t fd;

	if (!a || a->fd_offset < 0 || n < a->fd_offset + 4) {
		return -1;
	}
	memcpy(&fd, head + a->fd_offset, sizeof(fd));
	return fd;
}

static long ioctl_ours(int fd, uint32_t cmd, void *arg)
{
	uint8_t head[512];
	uint32_t size = ioctl_arg_head_size(cmd);
	struct iovec data = { arg, size };
	struct shim_call call = {
		.fd = fd,
		.op = PRELOAD_IOCTL,
		.arg = { cmd, (uintptr_t)arg },
		.data = &data,
		.n_data = 1,
		.attach_fd = -1,
	};
	int64_t r;

	if (ioctl_arg_find(cmd)) {
		ssize_t n = shim_copy_in(head, arg, size);

		if (n == (ssize_t)size) {
			data.iov_len =
				ioctl_arg_size(cmd, head, PRELOAD_DATA_MAX);
		}
		call.attach_fd = fd_in(cmd, head, n);
	}
	r = shim_call(&call);
	if (r >= 0 && call.ret_fd >= 0) {
		/* As the kernel's get_unused_fd_flags() makes them here. */
		(void)SYS(SYS_fcntl, call.ret_fd, F_SETFD, 0);
		return call.ret_fd;
	}
	return r;
}

/* Those that the kernel does not ask a driver about. */
static bool is_generic(uint32_t cmd)
{
	return cmd == FIOCLEX || cmd == FIONCLEX || cmd == FIOASYNC;
}

static long set_nonblock(int fd, const int *arg)
{
	int is_on;
	long flags = get_flags(fd);

	if (shim_copy_in(&is_on, arg, sizeof(is_on)) != sizeof(is_on)) {
		return -EFAULT;
	}
	if (flags < 0) {
		return flags;
	}
	flags = is_on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return set_flags(fd, (int)flags);
}

_public_ int ioctl(int fd, unsigned long request, ...)
{
	uint32_t cmd = (uint32_t)request;
	uint32_t type = _IOC_TYPE(cmd);
	enum mark mark = shim_mark(fd);
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (likely(type != TYPE_VHOST && type != TYPE_VDUSE &&
		   !shim_mark_is_file(mark))) {
		return REAL(ioctl)(fd, request, arg);
	}
	if (type == TYPE_VDUSE && shim_shortcut_use(fd, cmd, arg)) {
		return 0;
	}
	if (is_generic(cmd) || !shim_adopt_file(fd)) {
		return REAL(ioctl)(fd, request, arg);
	}
	if (cmd == FIONBIO) {
		return (int)shim_return(set_nonblock(fd, arg));
	}
	return (int)shim_return(ioctl_ours(fd, cmd, arg));
}

/* write() and read() */

ssize_t shim_write(int fd, const struct iovec *iov, int n)
{
	struct shim_call call = {
		.fd = fd,
		.op = PRELOAD_WRITE,
		.data = iov,
		.n_data = n,
		.attach_fd = -1,
	};

	if (shim_wants_files() && n > 0) {
		call.n_files = shim_find_files(&iov[0], call.files);
	}
	return shim_call(&call);
}

_public_ ssize_t write(int fd, const void *buf, size_t len)
{
	if (unlikely(shim_mark(fd)) && shim_is_file(fd)) {
		struct iovec iov = {
			(void *)(uintptr_t)buf,
			min_of(len, (size_t)PRELOAD_DATA_MAX),
		};

		return shim_return(shim_write(fd, &iov, 1));
	}
	return REAL(write)(fd, buf, len);
}

_public_ ssize_t writev(int fd, const struct iovec *iov, int n)
{
	struct iovec copy[WRITEV_MAX];
	size_t room = PRELOAD_DATA_MAX;
	int n_copy;

	if (likely(!shim_mark(fd)) || !shim_is_file(fd)) {
		return REAL(writev)(fd, iov, n);
	}
	n_copy = min_of(n, WRITEV_MAX);
	if (n < 0 ||
	    shim_copy_in(copy, iov, (size_t)n_copy * sizeof(copy[0])) !=
		    (ssize_t)((size_t)n_copy * sizeof(copy[0]))) {
		errno = n < 0 ? EINVAL : EFAULT;
		return -1;
	}
	for (int i = 0; i < n_copy; i++) {
		copy[i].iov_len = min_of(copy[i].iov_len, room);
		room -= copy[i].iov_len;
	}
	return shim_return(shim_write(fd, copy, n_copy));
}

/* What there is to read is in the socket; a piece is not read in parts. */
static ssize_t read_piece(int fd, void *buf, size_t len)
{
	ssize_t n = shim_return(SYS(SYS_recvfrom, fd, NULL, 0UL,
				    MSG_PEEK | MSG_TRUNC, NULL, NULL));

	if (n > (ssize_t)len) {
		errno = EINVAL;
		return -1;
	}
	if (n == 0) {
		errno = EIO; /* the daemon is gone */
		return -1;
	}
	return n < 0 ? -1 : REAL(read)(fd, buf, len);
}

static ssize_t read_ours(int fd, void *buf, size_t len)
{
	struct shim_call call = {
		.fd = fd,
		.op = PRELOAD_READ,
		.arg = { (uintptr_t)buf, len },
		.attach_fd = -1,
	};
	int64_t r = -EAGAIN;

	if (shim_mark(fd) == MARK_FILE) {
		r = shim_call(&call);
	}
	/* The answer may have said what kind it is. */
	if (r == -EAGAIN && shim_mark(fd) == MARK_QUEUE) {
		return read_piece(fd, buf, len);
	}
	return shim_return(r);
}

_public_ ssize_t read(int fd, void *buf, size_t len)
{
	if (unlikely(shim_mark(fd)) && shim_is_file(fd)) {
		return read_ours(fd, buf, len);
	}
	return REAL(read)(fd, buf, len);
}

_public_ ssize_t __read_chk(int fd, void *buf, size_t len, size_t size)
{
	if (unlikely(shim_mark(fd)) && len <= size && shim_is_file(fd)) {
		return read_ours(fd, buf, len);
	}
	return REAL(__read_chk)(fd, buf, len, size);
}

_public_ ssize_t readv(int fd, const struct iovec *iov, int n)
{
	struct iovec first;

	if (unlikely(shim_mark(fd)) && shim_is_file(fd) && n > 0 &&
	    shim_copy_in(&first, iov, sizeof(first)) == sizeof(first)) {
		return read_ours(fd, first.iov_base, first.iov_len);
	}
	return REAL(readv)(fd, iov, n);
}

/* mmap() */

static void *mmap_ours(void *addr, struct shim_call *call)
{
	int64_t r = shim_call(call);
	long p;

	if (r < 0) {
		(void)shim_return(r);
		return MAP_FAILED;
	}
	p = SYS(SYS_mmap, addr, call->arg[0], call->arg[2], call->arg[3],
		call->ret_fd, call->ret_offset);
	if (call->ret_fd >= 0) {
		(void)SYS(SYS_close, call->ret_fd);
	}
	if (p < 0 && p >= -4095) {
		(void)shim_return(p);
		return MAP_FAILED;
	}
	return (void *)p;
}

#define DEFINE_MMAP(fn, off_type)                                              \
	_public_ void *fn(void *addr, size_t len, int prot, int flags, int fd, \
			  off_type offset)                                     \
	{                                                                      \
		struct shim_call call = {                                      \
			.fd = fd,                                              \
			.op = PRELOAD_MMAP,                                    \
			.arg = { len, (uint64_t)offset, (uint32_t)prot,        \
				 (uint32_t)flags },                            \
			.attach_fd = -1,                                       \
		};                                                             \
                                                                               \
		if (unlikely(shim_mark(fd)) && !(flags & MAP_ANONYMOUS) &&     \
		    shim_is_file(fd)) {                                        \
			return mmap_ours(addr, &call);                         \
		}                                                              \
		return REAL(fn)(addr, len, prot, flags, fd, offset);           \
	}
DEFINE_MMAP(mmap, off_t)
DEFINE_MMAP(mmap64, off64_t)

/* epoll */

_public_ int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (unlikely(shim_mark(fd) == MARK_FILE) && shim_is_file(fd)) {
		errno = EPERM;
		return -1;
	}
	return REAL(epoll_ctl)(epfd, op, fd, event);
}
