/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cases of test_shim.c: descriptors that are copied, inherited, passed, closed.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/client.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"

/* ---- copies of the descriptor ---- */

void case_dup(void)
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
void case_stale_mark(void)
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

void case_fork(void)
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
void case_raw_fork(void)
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

static char execed[] = "execed", passed[] = "passed";

static pid_t spawn_self(char *const argv[], bool is_vfork)
{
	pid_t pid = is_vfork ? vfork() : fork();

	if (pid == 0) {
		execv(client_self, argv);
		_exit(127);
	}
	return pid;
}

void case_exec(void)
{
	int fd = open_node(O_RDWR);
	uint32_t task = task_of(fd);
	char number[16], task_number[16];
	char *argv[] = { client_self, execed, number, task_number, NULL };

	(void)snprintf(number, sizeof(number), "%d", fd);
	(void)snprintf(task_number, sizeof(task_number), "%u", task);
	join_child(spawn_self(argv, false));
	join_child(spawn_self(argv, true));
	CHECK(task_of(fd) == task);
	/* In the same process: the task ends, the file does not. */
	execv(client_self, argv);
	CHECK(false);
}

void case_execed(char **argv)
{
	int fd = atoi(argv[2]);
	char buf[72] = { 0 };
	struct stat st;

	CHECK_ERRNO(write(fd, buf, 39), EINVAL);
	CHECK(fstat(fd, &st) == 0);
	CHECK(S_ISCHR(st.st_mode));
	CHECK(task_of(fd) != (uint32_t)atoi(argv[3]));
	CHECK_ERRNO(write(fd, buf, 39), EINVAL);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0),
		    CDEV_ENOTSUPP);
}

void case_vfork(void)
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

void case_pass(void)
{
	char number[16];
	char *argv[] = { client_self, passed, number, NULL };
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

void case_passed(char **argv)
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

void case_raw_write(void)
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

/* ---- programs that close everything ---- */

void case_close_all(void)
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
