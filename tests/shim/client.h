/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client program of test_shim.c: a program that knows nothing of the shim
 * it runs under. argv[1] names what it does, exit status 0 says that all was as
 * with a device of the kernel's.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef SHIM_CLIENT_H
#define SHIM_CLIENT_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "cdev/test_toy.h"

#define NODE	   "/dev/vhost-vdpa-0"
#define QUEUE_NODE "/dev/vduse/queue"

extern char *client_self; /* argv[0] */

/* Says what did not hold, with errno, and exits. */
void client_fail(const char *file, int line, const char *what)
	__attribute__((noreturn));

#define CHECK(x)                                             \
	do {                                                 \
		if (!(x)) {                                  \
			client_fail(__FILE__, __LINE__, #x); \
		}                                            \
	} while (0)
/* The call fails so. */
#define CHECK_ERRNO(x, code)                \
	do {                                \
		errno = 0;                  \
		CHECK((intptr_t)(x) == -1); \
		CHECK(errno == (code));     \
	} while (0)

int open_node(int flags);
uint32_t task_of(int fd);
struct toy_counts counts_of(int fd);
void check_add(int fd);
/* Exit status 0. */
void join_child(pid_t pid);

/* The cases, by name; those after CLIENT_CASES take arguments. */
#define CLIENT_CASES(F)     \
	F(open)             \
	F(open_variants)    \
	F(reopen)           \
	F(stat)             \
	F(proc_devices)     \
	F(ioctl)            \
	F(bad_pointers)     \
	F(variable_length)  \
	F(descriptors)      \
	F(read_write)       \
	F(queue)            \
	F(queue_wait)       \
	F(shortcut)         \
	F(shortcut_revoked) \
	F(shortcut_race)    \
	F(poll)             \
	F(mmap)             \
	F(memory)           \
	F(dup)              \
	F(stale_mark)       \
	F(fork)             \
	F(raw_fork)         \
	F(exec)             \
	F(vfork)            \
	F(pass)             \
	F(raw_write)        \
	F(threads)          \
	F(pending)          \
	F(pending_close)    \
	F(signals)          \
	F(jumps)            \
	F(unprivileged)     \
	F(close_all)        \
	F(netlink)
#define CLIENT_ARGS_CASES(F) \
	F(container)         \
	F(hang)              \
	F(execed)            \
	F(passed)            \
	F(daemon_dies)       \
	F(raw_own)           \
	F(raw_fixed)

#define CLIENT_DECLARE(name)	  void case_##name(void);
#define CLIENT_DECLARE_ARGS(name) void case_##name(char **argv);
CLIENT_CASES(CLIENT_DECLARE)
CLIENT_ARGS_CASES(CLIENT_DECLARE_ARGS)

#endif
