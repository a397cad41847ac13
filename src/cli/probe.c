/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit probe: what this machine offers, one key=value a line.
 *
 * A value is "yes", "no (why)", or a number or word; the keys are always the
 * same, in the same order, so that scripts can ask for one of them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/cli.h"
#include "cli/find.h"
#include "loop/loop.h"

#define VALUE_MAX 256

/* ---- answers ---- */

static void answer(char *value, const char *fmt, ...) _printf_(2, 3);

static void answer(char *value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(value, VALUE_MAX, fmt, ap); /* may be cut */
	va_end(ap);
}

static void yes(char *value)
{
	answer(value, "yes");
}

/* @what: of which errno tells why it failed. */
static void no(char *value, const char *what)
{
	int code = errno;

	answer(value, "no (%s: %s)", what, strerror(code));
}

/* A descriptor, or the failure to get one. */
static void by_fd(char *value, int take_fd, const char *what)
{
	if (take_fd < 0) {
		no(value, what);
		return;
	}
	(void)close_fd(take_fd);
	yes(value);
}

static void by_open(char *value, const char *path)
{
	by_fd(value, open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK), path);
}

/* ---- what is asked ---- */

static void version(char *value)
{
	answer(value, "%s", VDPAKIT_VERSION);
}

static void kernel(char *value)
{
	struct utsname name;

	answer(value, "%s", uname(&name) == 0 ? name.release : "unknown");
}

static void cpus(char *value)
{
	cpu_set_t set;

	answer(value, "%d",
	       sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
							    : 1);
}

static void user(char *value)
{
	answer(value, "%u", (unsigned int)geteuid());
}

static void open_files(char *value)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		no(value, "RLIMIT_NOFILE");
	} else {
		answer(value, "%llu", (unsigned long long)limit.rlim_max);
	}
}

static void daemon_there(char *value)
{
	char path[FIND_PATH_MAX];
	int r = find_daemon(path);

	if (r < 0) {
		answer(value, "no (%s)", err_text(r));
	} else {
		yes(value);
	}
}

static void preload(char *value)
{
	char path[FIND_PATH_MAX];
	int r = find_library(path);

	if (r < 0) {
		answer(value, "no (%s)", err_text(r));
	} else {
		yes(value);
	}
}

static void loop(char *value)
{
	struct loop *loop_made;
	int r = loop_new("probe", &loop_made);

	if (r < 0) {
		answer(value, "no (%s)", err_text(r));
		return;
	}
	answer(value, "%s", loop_backend(loop_made));
	(void)loop_free(loop_made);
}

static void loop_kind(char *value, enum loop_kind kind)
{
	struct loop *loop_made;
	int r = loop_new_kind("probe", kind, &loop_made);

	if (r < 0) {
		answer(value, "no (%s)", err_text(r));
		return;
	}
	yes(value);
	(void)loop_free(loop_made);
}

static void loop_io_uring(char *value)
{
	loop_kind(value, LOOP_IO_URING);
}

static void loop_epoll(char *value)
{
	loop_kind(value, LOOP_EPOLL);
}

static void kernel_vdpa(char *value)
{
	if (access("/sys/bus/vdpa", F_OK) < 0) {
		no(value, "/sys/bus/vdpa");
	} else {
		yes(value);
	}
}

static void kernel_vhost_vdpa(char *value)
{
	glob_t found;

	if (glob("/dev/vhost-vdpa-*", 0, NULL, &found) != 0) {
		answer(value, "no (there is no /dev/vhost-vdpa-*)");
		return;
	}
	if (access(found.gl_pathv[0], R_OK | W_OK) < 0) {
		no(value, found.gl_pathv[0]);
	} else {
		yes(value);
	}
	globfree(&found);
}

static void kernel_vduse(char *value)
{
	by_open(value, "/dev/vduse/control");
}

static void netlink(char *value)
{
	by_fd(value,
	      socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
		     16 /* NETLINK_GENERIC */),
	      "generic netlink");
}

static void fuse(char *value)
{
	by_open(value, "/dev/fuse");
}

static void cuse(char *value)
{
	by_open(value, "/dev/cuse");
}

static void tun(char *value)
{
	by_open(value, "/dev/net/tun");
}

static void kvm(char *value)
{
	by_open(value, "/dev/kvm");
}

static void io_uring(char *value)
{
	struct io_uring_params params;

	memset(&params, 0, sizeof(params));
	by_fd(value, (int)syscall(SYS_io_uring_setup, 1U, &params),
	      "io_uring_setup");
}

static void uffd(char *value)
{
	by_fd(value,
	      (int)syscall(SYS_userfaultfd,
			   O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */),
	      "userfaultfd");
}

static void memfd(char *value)
{
	by_fd(value, memfd_create("probe", MFD_CLOEXEC), "memfd_create");
}

/* Free huge pages of the default size. */
static void hugepages(char *value)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	unsigned long n = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "HugePages_Free: %lu", &n) == 1) {
			break;
		}
	}
	answer(value, "%lu", n);
}

/* May we open what stands behind a mapping, be it our own? */
static void map_files(char *value)
{
	_cleanup_close_ int fd = memfd_create("probe", MFD_CLOEXEC);
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	char path[80];
	char *at;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		no(value, "memfd_create");
		return;
	}
	at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		no(value, "mmap");
		return;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		       (unsigned long)at, (unsigned long)at + size);
	by_fd(value, open(path, O_RDONLY | O_CLOEXEC), "/proc/self/map_files");
	(void)munmap(at, size);
}

static void yama(char *value)
{
	_cleanup_fclose_ FILE *f =
		fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	int scope;

	if (f && fscanf(f, "%d", &scope) == 1) {
		answer(value, "%d", scope);
	} else {
		answer(value, "none");
	}
}

/* A child that lives until the returned descriptor is closed. */
static pid_t spawn_idle(int *ret_fd)
{
	char byte;
	int pair[2];
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0) {
		return -1;
	}
	pid = fork();
	if (pid == 0) {
		(void)close_fd(pair[1]);
		/* Only its end is waited for. */
		(void)!read(pair[0], &byte, 1);
		_exit(0);
	}
	(void)close_fd(pair[0]);
	*ret_fd = pair[1];
	return pid;
}

static void end_idle(pid_t pid, int fd)
{
	(void)close_fd(fd);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
}

static void child_memory(char *value)
{
	uint64_t here = 0x1234, there = 0;
	struct iovec local = { &there, sizeof(there) };
	struct iovec remote = { &here, sizeof(here) };
	int fd = -1;
	pid_t pid = spawn_idle(&fd);

	if (pid < 0) {
		no(value, "fork");
		return;
	}
	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) ==
		    (ssize_t)sizeof(there) &&
	    there == here) {
		yes(value);
	} else {
		no(value, "process_vm_readv");
	}
	end_idle(pid, fd);
}

static void child_fds(char *value)
{
	int fd = -1, pidfd;
	pid_t pid = spawn_idle(&fd);

	if (pid < 0) {
		no(value, "fork");
		return;
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		no(value, "pidfd_open");
	} else {
		by_fd(value, (int)syscall(SYS_pidfd_getfd, pidfd, 2, 0),
		      "pidfd_getfd");
	}
	(void)close_fd(pidfd);
	end_idle(pid, fd);
}

static const struct {
	const char *key;
	void (*ask)(char *value);
} questions[] = {
	{ "vdpakit", version },
	{ "kernel", kernel },
	{ "cpus", cpus },
	{ "uid", user },
	{ "open_files_max", open_files },
	{ "daemon", daemon_there },
	{ "preload", preload },
	{ "loop", loop },
	{ "loop_io_uring", loop_io_uring },
	{ "loop_epoll", loop_epoll },
	{ "kernel_vdpa", kernel_vdpa },
	{ "kernel_vhost_vdpa", kernel_vhost_vdpa },
	{ "kernel_vduse", kernel_vduse },
	{ "netlink", netlink },
	{ "fuse", fuse },
	{ "cuse", cuse },
	{ "tun", tun },
	{ "kvm", kvm },
	{ "io_uring", io_uring },
	{ "userfaultfd", uffd },
	{ "memfd", memfd },
	{ "hugepages_free", hugepages },
	{ "map_files", map_files },
	{ "yama_scope", yama },
	{ "child_memory", child_memory },
	{ "child_fds", child_fds },
};

int cli_probe(const struct cli *cli, int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		char value[VALUE_MAX];

		questions[i].ask(value);
		(void)printf("%s=%s\n", questions[i].key, value);
	}
	return 0;
}
