/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client of test_shim.c: a program that knows nothing of the shim it runs
 * under. argv[1] names what it does, exit status 0 says that all was as with a
 * device of the kernel's.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "cdev/toy.h"
#include "shim/test_genl.h"

#define NODE "/dev/vhost-vdpa-0"

static char *self;
static char execed[] = "execed", passed[] = "passed";

static void fail(int line, const char *what)
{
	(void)fprintf(stderr, "client line %d: %s (%s)\n", line, what,
		      strerror(errno));
	exit(1);
}

#define CHECK(x)                            \
	do {                                \
		if (!(x)) {                 \
			fail(__LINE__, #x); \
		}                           \
	} while (0)
/* The call fails so. */
#define CHECK_ERRNO(x, code)                \
	do {                                \
		errno = 0;                  \
		CHECK((intptr_t)(x) == -1); \
		CHECK(errno == (code));     \
	} while (0)

static int open_node(int flags)
{
	int fd = open(NODE, flags);

	CHECK(fd >= 0);
	return fd;
}

static uint32_t task_of(int fd)
{
	uint32_t task = 0;

	CHECK(ioctl(fd, TOY_TASK, &task) == 0);
	return task;
}

static struct toy_counts counts_of(int fd)
{
	struct toy_counts counts;

	CHECK(ioctl(fd, TOY_COUNTS, &counts) == 0);
	return counts;
}

static void check_add(int fd)
{
	uint64_t v = 41;

	CHECK(ioctl(fd, TOY_ADD, &v) == 0);
	CHECK(v == 42);
}

static void join_child(pid_t pid)
{
	int status;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == 0);
}

/* ---- open, stat, /proc/devices ---- */

static void case_open(void)
{
	char buf[72] = { 0 };
	int fd = open_node(O_RDONLY);

	CHECK_ERRNO(write(fd, buf, 72), EBADF);
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	CHECK(fcntl(fd, F_GETFD) == 0);
	CHECK_ERRNO(open(NODE, O_RDWR), EBUSY);
	CHECK(close(fd) == 0);
	fd = open_node(O_WRONLY | O_CLOEXEC);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(write(fd, buf, 72) == 72);
	CHECK_ERRNO(read(fd, buf, 72), EBADF);
	CHECK(close(fd) == 0);
	fd = open_node(O_RDWR | O_NONBLOCK | O_CREAT);
	CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_CREAT)) ==
	      (O_RDWR | O_NONBLOCK));
	CHECK(fcntl(fd, F_SETFL, 0) == 0);
	CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDWR);
	CHECK(close(fd) == 0);
	CHECK_ERRNO(open("/dev/vhost-vdpa-17", O_RDWR), ENOENT);
	CHECK_ERRNO(open("/dev/vhost-vdpa-", O_RDWR), ENOENT);
	CHECK_ERRNO(open(NODE, O_RDONLY | O_DIRECTORY), ENOTDIR);
}

static void case_open_variants(void)
{
	int fd = open64(NODE, O_RDWR);

	check_add(fd);
	CHECK(close(fd) == 0);
	fd = openat(AT_FDCWD, NODE, O_RDWR);
	check_add(fd);
	CHECK(close(fd) == 0);
	fd = openat64(AT_FDCWD, NODE, O_RDWR, 0);
	check_add(fd);
	CHECK(close(fd) == 0);
	fd = creat(NODE, 0600);
	check_add(fd);
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY);
	CHECK(close(fd) == 0);
	CHECK_ERRNO(close(fd), EBADF);
}

/* The close is over when the next open begins. */
static void case_reopen(void)
{
	for (int i = 0; i < 200; i++) {
		int fd = open_node(O_RDWR);

		if (i % 3 == 0) {
			check_add(fd);
		}
		CHECK(close(fd) == 0);
	}
}

static void check_stat(const struct stat *st)
{
	CHECK(S_ISCHR(st->st_mode));
	CHECK((st->st_mode & 07777) == 0600);
	CHECK(minor(st->st_rdev) == 0);
	CHECK(major(st->st_rdev) > 0);
	CHECK(st->st_uid == geteuid());
}

static void case_stat(void)
{
	int fd = open_node(O_RDWR);
	struct statx stx;
	struct stat st;
	dev_t rdev;

	CHECK(stat(NODE, &st) == 0);
	check_stat(&st);
	rdev = st.st_rdev;
	CHECK(lstat(NODE, &st) == 0);
	check_stat(&st);
	CHECK(fstatat(AT_FDCWD, NODE, &st, 0) == 0);
	check_stat(&st);
	CHECK(fstat(fd, &st) == 0);
	check_stat(&st);
	CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0);
	check_stat(&st);
	CHECK(st.st_rdev == rdev);
	CHECK(statx(AT_FDCWD, NODE, 0, STATX_BASIC_STATS, &stx) == 0);
	CHECK(S_ISCHR(stx.stx_mode));
	CHECK(makedev(stx.stx_rdev_major, stx.stx_rdev_minor) == rdev);
	CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
	CHECK(S_ISCHR(stx.stx_mode));
	CHECK(access(NODE, R_OK | W_OK) == 0);
	CHECK(access(NODE, F_OK) == 0);
	CHECK_ERRNO(access(NODE, X_OK), EACCES);
	CHECK_ERRNO(stat("/dev/vhost-vdpa-17", &st), ENOENT);
	CHECK_ERRNO(access("/dev/vhost-vdpa-17", F_OK), ENOENT);
	/* Other sockets stay sockets. */
	CHECK(fstat(socket(AF_UNIX, SOCK_STREAM, 0), &st) == 0);
	CHECK(S_ISSOCK(st.st_mode));
	CHECK(close(fd) == 0);
}

/* As DPDK looks: the first line of that name. */
static unsigned int major_in(FILE *f)
{
	unsigned int number, found = 0;
	char line[256], name[64];

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Block", 5) == 0) {
			break;
		}
		if (sscanf(line, "%u %63s", &number, name) == 2 && !found &&
		    strncmp(name, "vhost-vdpa", 10) == 0) {
			found = number;
		}
	}
	CHECK(fclose(f) == 0);
	return found;
}

static void case_proc_devices(void)
{
	struct stat st;
	char name[32];

	CHECK(stat(NODE, &st) == 0);
	CHECK(major_in(fopen("/proc/devices", "r")) == major(st.st_rdev));
	CHECK(major_in(fopen64("/proc/devices", "re")) == major(st.st_rdev));
	CHECK(major_in(fdopen(open("/proc/devices", O_RDONLY), "r")) ==
	      major(st.st_rdev));
	/* What the kernel lists is all there. */
	CHECK(fscanf(popen("grep -c . /proc/devices", "r"), "%31s", name) == 1);
	CHECK(atoi(name) > 5);
}

/* ---- ioctl, read, write, mmap, poll ---- */

static void case_ioctl(void)
{
	int fd = open_node(O_RDWR);
	uint64_t v = 41;
	uint32_t tail[2] = { 0, 0xabababab };

	errno = 77;
	CHECK(ioctl(fd, TOY_ADD, &v) == 0);
	CHECK(v == 42);
	CHECK(errno == 77);
	CHECK(ioctl(fd, (unsigned long)(long)(int)TOY_ADD, &v) == 0);
	CHECK(v == 43);
	CHECK(ioctl(fd, TOY_TASK, tail) == 0); /* four bytes, not more */
	CHECK(tail[0] == 1);
	CHECK(tail[1] == 0xabababab);
	CHECK(ioctl(fd, TOY_EARLY, NULL) == 7);
	CHECK_ERRNO(ioctl(fd, TOY_ADD + 1, &v), ENOTTY);
	CHECK_ERRNO(ioctl(fd, TIOCGWINSZ, &v), ENOTTY);
	CHECK(ioctl(fd, FIOCLEX) == 0);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	tail[0] = 1;
	CHECK(ioctl(fd, FIONBIO, tail) == 0);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK(close(fd) == 0);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, &v), EBADF);
	CHECK_ERRNO(ioctl(open("/dev/null", O_RDWR), TOY_ADD, &v), ENOTTY);
}

/* Two pages, of which the second cannot be read. */
static char *page_end(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK(mprotect(p + 4096, 4096, PROT_NONE) == 0);
	return p + 4096;
}

static void case_bad_pointers(void)
{
	int fd = open_node(O_RDWR);
	char *end = page_end();
	struct iovec iov[2] = { { end - 8, 8 }, { end, 64 } };

	CHECK_ERRNO(ioctl(fd, TOY_ADD, NULL), EFAULT);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, (void *)8), EFAULT);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, end), EFAULT);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, end - 4), EFAULT);
	CHECK(ioctl(fd, TOY_ADD, end - 8) == 0);
	CHECK(ioctl(fd, TOY_PROBE, end - 100) == 100);
	CHECK(ioctl(fd, TOY_PROBE, end - 4096) == 4096);
	CHECK(ioctl(fd, TOY_PROBE, end) == 0);
	/* Memory that can be read but not written. */
	CHECK(mprotect(end - 4096, 4096, PROT_READ) == 0);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, end - 8), EFAULT);
	CHECK_ERRNO(write(fd, end, 72), EFAULT);
	CHECK_ERRNO(write(fd, end - 8, 72), EFAULT);
	CHECK_ERRNO(writev(fd, iov, 2), EFAULT);
	CHECK_ERRNO(writev(fd, (struct iovec *)end, 1), EFAULT);
	CHECK(close(fd) == 0);
}

struct config {
	uint32_t off;
	uint32_t len;
	uint8_t bytes[4096];
};

static void case_variable_length(void)
{
	int fd = open_node(O_RDWR);
	struct config set = { 5, 4000 }, get = { 5, 4000 };

	for (size_t i = 0; i < sizeof(set.bytes); i++) {
		set.bytes[i] = (uint8_t)(i * 7);
	}
	get.bytes[4000] = 0x5a;
	CHECK(ioctl(fd, TOY_SET_CONFIG, &set) == 0);
	CHECK(ioctl(fd, TOY_GET_CONFIG, &get) == 0);
	CHECK(memcmp(set.bytes, get.bytes, 4000) == 0);
	CHECK(get.bytes[4000] == 0x5a);
	set.len = UINT32_MAX;
	CHECK_ERRNO(ioctl(fd, TOY_SET_CONFIG, &set), EINVAL);
	set.len = 0;
	CHECK_ERRNO(ioctl(fd, TOY_SET_CONFIG, &set), EINVAL);
	CHECK(close(fd) == 0);
}

static void case_descriptors(void)
{
	int fd = open_node(O_RDWR);
	int32_t arg[2] = { 0, eventfd(0, 0) };
	char text[4] = { 0 };
	uint64_t n;
	int got;

	CHECK(ioctl(fd, 0x4008af20, arg) == 0);
	CHECK(read(arg[1], &n, sizeof(n)) == sizeof(n));
	CHECK(n == 1);
	CHECK(close(arg[1]) == 0);
	CHECK_ERRNO(ioctl(fd, TOY_KICK, arg), EBADF);
	arg[1] = -2;
	CHECK_ERRNO(ioctl(fd, TOY_KICK, arg), EBADF);
	arg[1] = fd;
	CHECK_ERRNO(ioctl(fd, TOY_KICK, arg), EINVAL);
	got = ioctl(fd, TOY_GET_FD, NULL);
	CHECK(got > fd);
	CHECK(fcntl(got, F_GETFD) == 0);
	CHECK(pread(got, text, 3, 0) == 3);
	CHECK(strcmp(text, "toy") == 0);
	CHECK(close(got) == 0);
	CHECK(close(fd) == 0);
}

static void case_read_write(void)
{
	int fd = open_node(O_RDWR);
	char buf[100] = { 0 };
	struct iovec iov[3] = { { buf, 8 }, { buf, 0 }, { buf + 8, 64 } };

	CHECK(write(fd, buf, 72) == 72);
	CHECK(write(fd, buf, 40) == 72);
	CHECK_ERRNO(write(fd, buf, 39), EINVAL);
	CHECK_ERRNO(write(fd, buf, 0), EINVAL);
	CHECK(writev(fd, iov, 3) == 72);
	CHECK(counts_of(fd).n_writes == 5);
	CHECK(counts_of(fd).n_write_bytes == 72 + 40 + 39 + 72);
	CHECK_ERRNO(read(fd, buf, 100), EINVAL);
	CHECK_ERRNO(readv(fd, iov, 3), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), ESPIPE);
	CHECK(close(fd) == 0);
}

static void case_poll(void)
{
	int fd = open_node(O_RDWR);
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };
	struct epoll_event event = { .events = EPOLLIN };
	int ep = epoll_create1(0);
	fd_set in, out;
	char buf[8];

	for (int i = 0; i < 3; i++) {
		CHECK(poll(&pfd, 1, 0) == 1);
		CHECK(pfd.revents == (POLLIN | POLLOUT));
		CHECK_ERRNO(read(fd, buf, sizeof(buf)), EINVAL);
	}
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	CHECK(select(fd + 1, &in, &out, NULL, NULL) == 2);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), EPERM);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL), EPERM);
	CHECK(close(fd) == 0);
	/* The number is free for others. */
	CHECK(eventfd(0, 0) == fd);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void case_mmap(void)
{
	int fd = open_node(O_RDWR);
	char *p;

	CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0),
		    CDEV_ENOTSUPP);
	CHECK_ERRNO(mmap64(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0),
		    CDEV_ENOTSUPP);
	CHECK_ERRNO(mmap(NULL, 0, PROT_WRITE, MAP_SHARED, fd, 0), EINVAL);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
	CHECK(p != MAP_FAILED);
	CHECK(memcmp(p, "toy", 3) == 0);
	CHECK(munmap(p, 4096) == 0);
	CHECK(close(fd) == 0);
	fd = open_node(O_WRONLY);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	CHECK(close(fd) == 0);
}

static void case_memory(void)
{
	int fd = open_node(O_RDWR);
	struct toy_range range = { 0, 8192 };
	int mfd = memfd_create("shared", 0);
	uint8_t *shared, *private;

	CHECK(ftruncate(mfd, 8192) == 0);
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mfd, 0);
	private = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	CHECK(private != MAP_FAILED);
	memset(private, 2, 8192);
	range.uaddr = (uintptr_t)shared;
	CHECK(ioctl(fd, TOY_KINDS, &range) == 1 << REGION_MAPPED);
	range.uaddr = (uintptr_t) private;
	CHECK(ioctl(fd, TOY_KINDS, &range) == 1 << REGION_FOREIGN);
	CHECK(ioctl(fd, TOY_SUM, &range) == 0);
	CHECK(range.uaddr == 2 * 8192);
	range.uaddr = 4096;
	range.len = 1;
	CHECK_ERRNO(ioctl(fd, TOY_SUM, &range), EFAULT);
	CHECK(close(fd) == 0);
}

/* ---- copies of the descriptor ---- */

static void case_dup(void)
{
	int fd = open_node(O_RDWR);
	int a = dup(fd);
	int b = dup2(fd, 50);
	int c = dup3(fd, 51, O_CLOEXEC);
	int d = fcntl(fd, F_DUPFD, 60);
	int e = fcntl(fd, F_DUPFD_CLOEXEC, 60);
	char buf[72] = { 0 };

	CHECK(b == 50 && c == 51 && d == 60 && e == 61);
	CHECK(close(fd) == 0);
	CHECK_ERRNO(open(NODE, O_RDWR), EBUSY);
	CHECK_ERRNO(write(a, buf, 39), EINVAL);
	CHECK_ERRNO(write(b, buf, 39), EINVAL);
	CHECK_ERRNO(write(c, buf, 39), EINVAL);
	CHECK_ERRNO(write(d, buf, 39), EINVAL);
	CHECK_ERRNO(write(e, buf, 39), EINVAL);
	CHECK(task_of(a) == task_of(e));
	/* A file of ours replaced by another: the mark must not stay. */
	CHECK(dup2(STDERR_FILENO, 50) == 50);
	CHECK(write(50, "", 0) == 0);
	CHECK(close(a) == 0);
	CHECK(close(c) == 0);
	CHECK(close(d) == 0);
	CHECK_ERRNO(open(NODE, O_RDWR), EBUSY);
	CHECK(fcntl(e, F_SETFL, O_NONBLOCK) == 0);
	CHECK(close(e) == 0);
	fd = open_node(O_RDWR);
	CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK(close(fd) == 0);
}

/* A raw close leaves a mark behind; whoever gets the number is not us. */
static void case_stale_mark(void)
{
	int fd = open_node(O_RDWR);
	int other;
	char byte;

	CHECK(syscall(SYS_close, fd) == 0);
	other = (int)syscall(SYS_openat, AT_FDCWD, "/dev/zero", O_RDWR, 0);
	CHECK(other == fd);
	CHECK(write(fd, "x", 1) == 1);
	CHECK(read(fd, &byte, 1) == 1);
	CHECK(byte == 0);
	CHECK(syscall(SYS_close, fd) == 0);
	CHECK_ERRNO(write(fd, "x", 1), EBADF);
	fd = open_node(O_RDWR);
	check_add(fd);
	CHECK(close(fd) == 0);
}

static void case_fork(void)
{
	int fd = open_node(O_RDWR);
	uint32_t parent = task_of(fd);
	pid_t pid = fork();

	if (pid == 0) {
		uint32_t child = task_of(fd);

		CHECK(child != parent);
		check_add(fd);
		pid = fork();
		if (pid == 0) {
			CHECK(task_of(fd) != parent);
			CHECK(task_of(fd) != child);
			_exit(0);
		}
		join_child(pid);
		CHECK(task_of(fd) == child);
		_exit(0);
	}
	join_child(pid);
	CHECK(task_of(fd) == parent);
	pid = fork();
	if (pid == 0) {
		CHECK(close(fd) == 0);
		_exit(0);
	}
	join_child(pid);
	check_add(fd);
	CHECK_ERRNO(open(NODE, O_RDWR), EBUSY);
	CHECK(close(fd) == 0);
}

/* A process made behind libc's back has an address space of its own, too. */
static void case_raw_fork(void)
{
	int fd = open_node(O_RDWR);
	uint32_t parent = task_of(fd);
	char buf[72] = { 0 };
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0) {
		CHECK(task_of(fd) != parent);
		CHECK_ERRNO(write(fd, buf, 39), EINVAL);
		_exit(0);
	}
	join_child(pid);
	CHECK(task_of(fd) == parent);
	CHECK(close(fd) == 0);
}

static pid_t spawn_self(char *const argv[], bool is_vfork)
{
	pid_t pid = is_vfork ? vfork() : fork();

	if (pid == 0) {
		execv(self, argv);
		_exit(127);
	}
	return pid;
}

static void case_exec(void)
{
	int fd = open_node(O_RDWR);
	uint32_t task = task_of(fd);
	char number[16], task_number[16];
	char *argv[] = { self, execed, number, task_number, NULL };

	(void)snprintf(number, sizeof(number), "%d", fd);
	(void)snprintf(task_number, sizeof(task_number), "%u", task);
	join_child(spawn_self(argv, false));
	join_child(spawn_self(argv, true));
	CHECK(task_of(fd) == task);
	/* In the same process: the task ends, the file does not. */
	execv(self, argv);
	CHECK(false);
}

static void case_execed(char **argv)
{
	int fd = atoi(argv[2]);
	char buf[72] = { 0 };
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	CHECK(S_ISCHR(st.st_mode));
	CHECK(task_of(fd) != (uint32_t)atoi(argv[3]));
	CHECK_ERRNO(write(fd, buf, 39), EINVAL);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0),
		    CDEV_ENOTSUPP);
}

static void case_vfork(void)
{
	int fd = open_node(O_RDWR);
	uint32_t task = task_of(fd);
	char buf[72] = { 0 };
	volatile uint32_t seen = 0;
	pid_t pid = vfork();

	if (pid == 0) {
		/* The same address space, so the same task. */
		seen = task_of(fd);
		(void)close(fd);
		(void)dup2(STDERR_FILENO, 77);
		_exit(0);
	}
	join_child(pid);
	CHECK(seen == task);
	/* Its close() was of its own copy. */
	CHECK_ERRNO(write(fd, buf, 39), EINVAL);
	CHECK(task_of(fd) == task);
	CHECK(close(fd) == 0);
}

static void send_fd(int sock, int fd)
{
	char x = 0;
	struct iovec iov = { &x, 1 };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1, .n_fds = 1 };

	msg.fds[0] = fd;
	CHECK(fd_send(sock, &msg, 0) == 1);
}

static void case_pass(void)
{
	char number[16];
	char *argv[] = { self, passed, number, NULL };
	int fd, pair[2];
	uint32_t task;
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	(void)snprintf(number, sizeof(number), "%d", pair[1]);
	pid = spawn_self(argv, false);
	fd = open_node(O_RDWR | O_CLOEXEC);
	task = task_of(fd);
	send_fd(pair[0], fd);
	CHECK(close(fd) == 0);
	CHECK(write(pair[0], &task, sizeof(task)) == sizeof(task));
	join_child(pid);
	fd = open_node(O_RDWR);
	CHECK(close(fd) == 0);
}

static void case_passed(char **argv)
{
	int sock = atoi(argv[2]);
	char byte, buf[72] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1 };
	uint32_t task;

	CHECK(fd_recv(sock, &msg, 0) == 1);
	CHECK(msg.n_fds == 1);
	CHECK(read(sock, &task, sizeof(task)) == sizeof(task));
	CHECK(task_of(msg.fds[0]) != task);
	CHECK_ERRNO(write(msg.fds[0], buf, 39), EINVAL);
	check_add(msg.fds[0]);
}

/* ---- what bypasses the shim ---- */

static void case_raw_write(void)
{
	int fd = open_node(O_WRONLY);
	uint32_t task = task_of(fd);
	char buf[72] = { 1 };
	pid_t pid;

	for (uint32_t i = 1; i <= 100; i++) {
		CHECK(syscall(SYS_write, fd, buf, 72) == 72);
		CHECK(counts_of(fd).n_writes == i);
		CHECK(counts_of(fd).last_task == task);
	}
	/* A stranger is not taken for the owner. */
	pid = fork();
	if (pid == 0) {
		CHECK(syscall(SYS_write, fd, buf, 72) == 72);
		_exit(0);
	}
	join_child(pid);
	CHECK(counts_of(fd).n_writes == 101);
	CHECK(counts_of(fd).last_task != task);
	/* One that is known is itself. */
	pid = fork();
	if (pid == 0) {
		task = task_of(fd);
		CHECK(syscall(SYS_write, fd, buf, 72) == 72);
		CHECK(counts_of(fd).last_task == task);
		_exit(0);
	}
	join_child(pid);
	/* Closed at once, it still arrives. */
	CHECK(syscall(SYS_write, fd, buf, 72) == 72);
	CHECK(close(fd) == 0);
	fd = open_node(O_RDWR);
	CHECK(counts_of(fd).n_writes == 103);
	CHECK(close(fd) == 0);
}

/* ---- threads, signals, pending calls ---- */

#define N_THREADS 8
#define N_ROUNDS  300

static void *hammer(void *priv)
{
	int fd = *(int *)priv;
	char buf[72] = { 0 };
	struct stat st;

	for (int i = 0; i < N_ROUNDS; i++) {
		uint64_t v = (uint64_t)i;

		CHECK(ioctl(fd, TOY_ADD, &v) == 0);
		CHECK(v == (uint64_t)i + 1);
		CHECK(write(fd, buf, 72) == 72);
		CHECK(fstat(fd, &st) == 0);
		CHECK(S_ISCHR(st.st_mode));
	}
	return NULL;
}

static void case_threads(void)
{
	int fd = open_node(O_RDWR);
	pthread_t threads[N_THREADS];
	uint32_t task = task_of(fd);

	for (int i = 0; i < N_THREADS; i++) {
		CHECK(pthread_create(&threads[i], NULL, hammer, &fd) == 0);
	}
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			CHECK(task_of(fd) != task);
			_exit(0);
		}
		join_child(pid);
	}
	for (int i = 0; i < N_THREADS; i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
	}
	CHECK(counts_of(fd).n_writes == N_THREADS * N_ROUNDS);
	CHECK(task_of(fd) == task);
	CHECK(close(fd) == 0);
}

struct pender {
	int fd;
	int result;
};

static void *pend(void *priv)
{
	struct pender *p = priv;

	p->result = ioctl(p->fd, TOY_PEND, NULL);
	return NULL;
}

/* Ends the oldest pending call, once there is one. */
static void finish_one(int fd, uint32_t result)
{
	while (ioctl(fd, TOY_FINISH, &result) < 0) {
		CHECK(errno == EAGAIN);
	}
}

static void case_pending(void)
{
	struct pender p[40];
	pthread_t threads[40];
	int fd = open_node(O_RDWR);
	long sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		p[i].fd = fd;
		CHECK(pthread_create(&threads[i], NULL, pend, &p[i]) == 0);
	}
	for (int i = 0; i < 50; i++) {
		check_add(fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		finish_one(fd, (uint32_t)i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
		sum += p[i].result;
	}
	CHECK(sum == 39 * 40 / 2);
	CHECK(close(fd) == 0);
}

/* The last descriptor is closed while a call waits: it still ends well. */
static void case_pending_close(void)
{
	struct pender p = { open_node(O_RDWR), 0 };
	int fd = dup(p.fd);
	uint32_t before = counts_of(fd).n_releases;
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, pend, &p) == 0);
	finish_one(fd, 5);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(p.result == 5);
	CHECK(close(fd) == 0);
	CHECK(close(p.fd) == 0);
	fd = open_node(O_RDWR);
	CHECK(counts_of(fd).n_releases == before + 1);
	CHECK(close(fd) == 0);
}

static int signal_fd;
static volatile sig_atomic_t n_signals;

static void on_signal(int sig)
{
	uint64_t v = 1;

	(void)sig;
	if (ioctl(signal_fd, TOY_ADD, &v) == 0 && v == 2) {
		n_signals++;
	}
}

/* Without SA_RESTART; the handler makes calls of its own in the middle. */
static void case_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct pender p = { open_node(O_RDWR), 0 };
	pthread_t thread;

	signal_fd = p.fd;
	CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
	CHECK(pthread_create(&thread, NULL, pend, &p) == 0);
	while (n_signals < 50) {
		int seen = n_signals;

		CHECK(pthread_kill(thread, SIGUSR1) == 0);
		while (n_signals == seen) {
			check_add(p.fd);
		}
	}
	finish_one(p.fd, 9);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(p.result == 9);
	CHECK(close(p.fd) == 0);
}

/* ---- programs that close everything ---- */

static void case_close_all(void)
{
	int fd = open_node(O_RDWR);
	uint32_t task = task_of(fd);

	for (int i = fd + 1; i < 2000; i++) {
		(void)close(i);
	}
	CHECK(task_of(fd) == task);
	CHECK(close_range((unsigned int)fd + 1, ~0U, 0) == 0);
	CHECK(task_of(fd) == task);
	closefrom(fd + 1);
	CHECK(task_of(fd) == task);
	/* Behind our back: a new channel, the same task. */
	for (int i = fd + 1; i < 2000; i++) {
		(void)syscall(SYS_close, i);
	}
	CHECK(task_of(fd) == task);
	closefrom(3);
	CHECK_ERRNO(ioctl(fd, TOY_TASK, &task), EBADF);
	fd = open_node(O_RDWR);
	check_add(fd);
	CHECK(close_range(0, ~0U, 0) == 0);
	fd = open_node(O_RDWR);
	CHECK(fd == 0);
	check_add(fd);
}

/* ---- netlink ---- */

struct genl_request {
	struct nlmsghdr nlh;
	struct genlmsghdr genl;
	struct nlattr attr;
	char name[8];
};

static void check_kernel_family(int fd)
{
	struct genl_request ask = {
		{ sizeof(ask), GENL_ID_CTRL, NLM_F_REQUEST, 1, 0 },
		{ .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
		{ 4 + 7, CTRL_ATTR_FAMILY_NAME },
		"nlctrl",
	};
	char answer[4096];

	CHECK(send(fd, &ask, sizeof(ask), 0) == sizeof(ask));
	CHECK(recv(fd, answer, sizeof(answer), 0) > (ssize_t)sizeof(ask));
	CHECK(((struct nlmsghdr *)answer)->nlmsg_type == GENL_ID_CTRL);
}

static void ask_vdpa(int fd)
{
	struct genl_request ask = {
		{ sizeof(ask), GENL_ID_CTRL, NLM_F_REQUEST, 1, 0 },
		{ .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
		{ 4 + 5, CTRL_ATTR_FAMILY_NAME },
		"vdpa",
	};
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	struct iovec iov = { &ask, sizeof(ask) };
	struct msghdr mh = {
		.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};

	CHECK(sendmsg(fd, &mh, 0) == sizeof(ask));
}

/* As libmnl receives: the address must be the kernel's, of 12 bytes. */
static ssize_t receive_answer(int fd, void *buf, size_t len)
{
	struct sockaddr_nl from;
	struct iovec iov = { buf, len };
	struct msghdr mh = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n;

	memset(&from, 0xff, sizeof(from));
	n = recvmsg(fd, &mh, 0);
	CHECK(n > 0);
	CHECK(mh.msg_namelen == sizeof(from));
	CHECK(from.nl_family == AF_NETLINK);
	CHECK(from.nl_pid == 0);
	return n;
}

static uint32_t bound_port(int fd)
{
	struct sockaddr_nl addr;
	socklen_t len = sizeof(addr);

	CHECK(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
	CHECK(len == sizeof(addr));
	CHECK(addr.nl_family == AF_NETLINK);
	return addr.nl_pid;
}

static void check_who(int fd, uint32_t port)
{
	struct genl_request ask = {
		{ sizeof(ask), TEST_GENL_FAMILY, NLM_F_REQUEST, 2, 0 },
		{ .cmd = TEST_GENL_WHO, .version = 1 },
		{ 4, 0 },
		"",
	};
	char answer[4096];
	uint32_t who[2];

	CHECK(send(fd, &ask, sizeof(ask), 0) == sizeof(ask));
	CHECK(recv(fd, answer, sizeof(answer), MSG_PEEK | MSG_TRUNC) == 28);
	CHECK(receive_answer(fd, answer, sizeof(answer)) == 28);
	memcpy(who, answer + 20, sizeof(who));
	CHECK(who[0] == port);
	CHECK(who[1] == 1);
}

static void case_netlink(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	int one = 1, copy;
	socklen_t len = sizeof(one);
	char answer[4096];
	uint32_t port;

	CHECK(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, 4) == 0);
	CHECK(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	port = bound_port(fd);
	CHECK(port != 0);
	check_kernel_family(fd);
	ask_vdpa(fd);
	CHECK(receive_answer(fd, answer, sizeof(answer)) > 40);
	CHECK(bound_port(fd) == port);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, 4) == 0);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &one, &len) == 0);
	CHECK(one == AF_NETLINK);
	check_who(fd, port);
	copy = dup(fd);
	CHECK(close(fd) == 0);
	check_who(copy, port);
	CHECK(bound_port(copy) == port);
	CHECK(close(copy) == 0);
	/* Never asked for it: the kernel's to the end. */
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	check_kernel_family(fd);
	CHECK(close(fd) == 0);
}

/* ---- deaths ---- */

/* Sits in a pending call until it is killed. */
static void case_hang(void)
{
	(void)ioctl(open_node(O_RDWR), TOY_PEND, NULL);
	CHECK(false);
}

/* The daemon dies while this one waits; argv[2], argv[3]: descriptors to tell
 * that we are about to, and to learn that it has. */
static void case_daemon_dies(char **argv)
{
	int fd = open_node(O_RDWR);
	int tell = atoi(argv[2]);
	struct stat st;
	char buf[72] = { 0 };
	uint64_t v = 0;

	check_add(fd);
	CHECK(write(tell, "x", 1) == 1);
	CHECK_ERRNO(ioctl(fd, TOY_PEND, NULL), EIO);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, &v), EIO);
	CHECK_ERRNO(write(fd, buf, 72), EIO);
	CHECK_ERRNO(read(fd, buf, 72), EIO);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), EIO);
	CHECK_ERRNO(fcntl(fd, F_GETFL), EIO);
	CHECK(close(fd) == 0);
	CHECK_ERRNO(open(NODE, O_RDWR), ENOENT);
	CHECK_ERRNO(stat(NODE, &st), ENOENT);
	CHECK(fclose(fopen("/proc/devices", "r")) == 0);
}

/* ---- the table ---- */

static const struct {
	const char *name;
	void (*run)(void);
	void (*run_args)(char **argv);
} cases[] = {
	{ "open", case_open, NULL },
	{ "open_variants", case_open_variants, NULL },
	{ "reopen", case_reopen, NULL },
	{ "stat", case_stat, NULL },
	{ "proc_devices", case_proc_devices, NULL },
	{ "ioctl", case_ioctl, NULL },
	{ "bad_pointers", case_bad_pointers, NULL },
	{ "variable_length", case_variable_length, NULL },
	{ "descriptors", case_descriptors, NULL },
	{ "read_write", case_read_write, NULL },
	{ "poll", case_poll, NULL },
	{ "mmap", case_mmap, NULL },
	{ "memory", case_memory, NULL },
	{ "dup", case_dup, NULL },
	{ "stale_mark", case_stale_mark, NULL },
	{ "fork", case_fork, NULL },
	{ "raw_fork", case_raw_fork, NULL },
	{ "exec", case_exec, NULL },
	{ "execed", NULL, case_execed },
	{ "vfork", case_vfork, NULL },
	{ "pass", case_pass, NULL },
	{ "passed", NULL, case_passed },
	{ "raw_write", case_raw_write, NULL },
	{ "threads", case_threads, NULL },
	{ "pending", case_pending, NULL },
	{ "pending_close", case_pending_close, NULL },
	{ "signals", case_signals, NULL },
	{ "close_all", case_close_all, NULL },
	{ "netlink", case_netlink, NULL },
	{ "hang", case_hang, NULL },
	{ "daemon_dies", NULL, case_daemon_dies },
};

int main(int argc, char **argv)
{
	self = argv[0];
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(cases); i++) {
		if (strcmp(argv[1], cases[i].name) != 0) {
			continue;
		}
		if (cases[i].run) {
			cases[i].run();
		} else {
			cases[i].run_args(argv);
		}
		return 0;
	}
	(void)fprintf(stderr, "no such case\n");
	return 2;
}
