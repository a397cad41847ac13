/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which descriptors are ours; the environment; copying with bad addresses.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "shim/shim.h"

/* 5 us of every program that starts. */
#define INHERITED_MAX 64

uint8_t shim_marks[SHIM_MARKS_MAX];

/* Set once: by the constructor, before the program has threads. */
static struct {
	uint32_t is_read; /* atomic */
	bool is_enabled;
	bool is_debug;
	socklen_t len;
	struct sockaddr_un addr;
} env;

/* Files that this program was started with. Those at higher numbers are found
 * out by their first ioctl. */
static void mark_inherited(void)
{
	for (int fd = 0; fd < INHERITED_MAX; fd++) {
		if (shim_is_ours(fd)) {
			shim_mark_set(fd, MARK_FILE);
		}
	}
}

static void read_environment(void)
{
	const char *path = secure_getenv(PRELOAD_ENV);
	size_t len = path ? strlen(path) : 0;

	env.is_debug = secure_getenv("VDPAKIT_SHIM_DEBUG") != NULL;
	if (len == 0 || len >= sizeof(env.addr.sun_path)) {
		return;
	}
	env.addr.sun_family = AF_UNIX;
	memcpy(env.addr.sun_path, path, len);
	env.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (path[0] == '@') {
		env.addr.sun_path[0] = '\0';
	} else {
		env.len++; /* with its terminator, as getpeername() has it */
	}
	env.is_enabled = true;
	shim_wire_init();
}

bool shim_is_enabled(void)
{
	if (unlikely(!__atomic_load_n(&env.is_read, __ATOMIC_ACQUIRE))) {
		read_environment();
		__atomic_store_n(&env.is_read, 1, __ATOMIC_RELEASE);
		if (env.is_enabled) {
			mark_inherited();
		}
	}
	return env.is_enabled;
}

bool shim_is_debug(void)
{
	return env.is_debug;
}

void shim_debug(const char *fmt, ...)
{
	int saved_errno = errno;
	char line[256];
	va_list ap;
	int n;

	if (!env.is_debug) {
		return;
	}
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	n = n < 0 ? 0 : min_of(n, (int)sizeof(line) - 2);
	line[n] = '\n';
	(void)SYS(SYS_write, STDERR_FILENO, line, n + 1);
	errno = saved_errno;
}

socklen_t shim_daemon(const struct sockaddr **ret)
{
	*ret = (const struct sockaddr *)&env.addr;
	return env.len;
}

bool shim_is_ours(int fd)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	return shim_is_enabled() &&
	       SYS(SYS_getpeername, fd, &addr, &len) == 0 && len == env.len &&
	       memcmp(&addr, &env.addr, len) == 0;
}

static bool is_owner_of_marks(void)
{
	return shim_owner_pid() == (pid_t)SYS(SYS_getpid);
}

void shim_mark_set(int fd, enum mark mark)
{
	if (shim_mark(fd) != mark && (unsigned int)fd < SHIM_MARKS_MAX &&
	    shim_is_enabled() && is_owner_of_marks()) {
		__atomic_store_n(&shim_marks[fd], mark, __ATOMIC_RELAXED);
	}
}

void shim_mark_clear_range(unsigned int first, unsigned int last)
{
	if (!shim_is_enabled() || !is_owner_of_marks()) {
		return;
	}
	last = min_of(last, (unsigned int)SHIM_MARKS_MAX - 1);
	for (unsigned int fd = first; fd <= last; fd++) {
		enum mark mark = shim_mark((int)fd);

		if (mark != MARK_NONE && mark != MARK_CHANNEL) {
			__atomic_store_n(&shim_marks[fd], MARK_NONE,
					 __ATOMIC_RELAXED);
		}
	}
}

bool shim_is_file(int fd)
{
	if (!shim_mark_is_file(shim_mark(fd))) {
		return false;
	}
	if (!shim_is_ours(fd)) {
		shim_mark_set(fd, MARK_NONE);
		return false;
	}
	return true;
}

bool shim_adopt_file(int fd)
{
	enum mark mark = shim_mark(fd);

	if (mark == MARK_NETLINK || mark == MARK_CHANNEL || !shim_is_ours(fd)) {
		return false;
	}
	if (!shim_mark_is_file(mark)) {
		shim_mark_set(fd, MARK_FILE);
	}
	return true;
}

/* Some sandboxes forbid the two system calls: then addresses are trusted. */
static bool is_forbidden(long r)
{
	return r == -ENOSYS || r == -EPERM;
}

ssize_t shim_copy_in(void *dst, const void *src, size_t len)
{
	struct iovec local = { dst, len };
	struct iovec remote = { (void *)(uintptr_t)src, len };
	long pid = SYS(SYS_getpid);
	long r = SYS(SYS_process_vm_readv, pid, &local, 1UL, &remote, 1UL, 0UL);

	if (is_forbidden(r) && src) {
		memcpy(dst, src, len);
		return (ssize_t)len;
	}
	return r < 0 ? -EFAULT : r;
}

int shim_copy_out(uint64_t dst, const void *src, size_t len)
{
	struct iovec local = { (void *)(uintptr_t)src, len };
	struct iovec remote = { (void *)(uintptr_t)dst, len };
	long pid = SYS(SYS_getpid);
	long r =
		SYS(SYS_process_vm_writev, pid, &local, 1UL, &remote, 1UL, 0UL);

	if (is_forbidden(r) && dst) {
		memcpy(remote.iov_base, src, len);
		return 0;
	}
	return r == (long)len ? 0 : -EFAULT;
}
