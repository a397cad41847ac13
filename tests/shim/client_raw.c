/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A case of test_shim.c: messages by system calls that are in the program's own
 * code, as libblkio makes them. From the second one on they are the shim's.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/client.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define MESSAGE 72

static long own_write(int fd, const void *buf, size_t len)
{
	long ret = -ENOSYS;

#if defined(__x86_64__)
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(SYS_write), "D"(fd), "S"(buf), "d"(len)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_write;
	register long x0 __asm__("x0") = fd;
	register const void *x1 __asm__("x1") = buf;
	register size_t x2 __asm__("x2") = len;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2)
			 : "memory");
	ret = x0;
#endif
	return ret;
}

/* Of threads that block whatever there is, as QEMU's do. */
static void *write_with_signals_blocked(void *priv)
{
	const char buf[MESSAGE] = { 3 };
	sigset_t all;

	CHECK(sigfillset(&all) == 0);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
	for (int i = 0; i < 100; i++) {
		CHECK(own_write(*(int *)priv, buf, MESSAGE) == MESSAGE);
	}
	return NULL;
}

static void check_child(int fd)
{
	const char buf[MESSAGE] = { 2 };
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		uint32_t task = task_of(fd);

		CHECK(own_write(fd, buf, MESSAGE) == MESSAGE);
		CHECK(counts_of(fd).last_task == task);
		_exit(0);
	}
	join_child(pid);
}

/* What is none of ours goes where it went before. */
static void check_others(void)
{
	char buf[MESSAGE] = { 4 }, back[MESSAGE + 1];
	int pipes[2];

	CHECK(pipe(pipes) == 0);
	errno = EDOM;
	CHECK(own_write(pipes[1], buf, MESSAGE) == MESSAGE);
	CHECK(errno == EDOM);
	CHECK(read(pipes[0], back, sizeof(back)) == MESSAGE);
	CHECK(memcmp(buf, back, MESSAGE) == 0);
	CHECK(own_write(pipes[1], NULL, MESSAGE) == -EFAULT);
	CHECK(own_write(pipes[0], buf, MESSAGE) == -EBADF);
	CHECK(own_write(-1, buf, MESSAGE) == -EBADF);
	CHECK(close(pipes[0]) == 0);
	CHECK(close(pipes[1]) == 0);
	/* Another program, to which all of this is inherited. */
	CHECK(system("unset LD_PRELOAD; test \"$(printf %072d 1 | "
		     "dd bs=72 count=1 status=none | wc -c)\" = 72") == 0);
}

void case_raw_own(char **argv)
{
	const char buf[MESSAGE] = { 1 };
	int fd = open_node(O_RDWR);
	uint32_t n = 0, task = task_of(fd);
	pthread_t thread;

	(void)argv;
	for (int i = 0; i < 100; i++) {
		CHECK(own_write(fd, buf, MESSAGE) == MESSAGE);
		CHECK(counts_of(fd).n_writes == ++n);
		CHECK(counts_of(fd).last_task == task);
	}
	CHECK(prctl(PR_GET_SECCOMP) == 2);
	CHECK(own_write(fd, NULL, MESSAGE) == -EFAULT);
	check_child(fd);
	CHECK(pthread_create(&thread, NULL, write_with_signals_blocked, &fd) ==
	      0);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(counts_of(fd).n_writes == n + 101);
	check_others();
	CHECK(close(fd) == 0);
}

/* Where addresses are the same in every program, nothing is trapped. */
void case_raw_fixed(char **argv)
{
	const char buf[MESSAGE] = { 5 };
	int fd = open_node(O_RDWR);

	(void)argv;
	for (uint32_t i = 1; i <= 10; i++) {
		CHECK(own_write(fd, buf, MESSAGE) == MESSAGE);
		CHECK(counts_of(fd).n_writes == i);
	}
	CHECK(prctl(PR_GET_SECCOMP) == 0);
	CHECK(close(fd) == 0);
}
