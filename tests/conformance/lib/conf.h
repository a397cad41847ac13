/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a conformance test stands on: nodes, and things that end with the test.
 *
 * Theory of operation
 *
 * These tests know a device as any client does: a path below /dev, and the
 * system calls. Which paths is said by CONFORMANCE_NODE, a list with colons
 * (default: /dev/vhost-vdpa-0:/dev/vhost-vdpa-1); a test that needs a network
 * or block device takes the first of the list that is one, and is skipped where
 * there is none. With CONFORMANCE_KERNEL=1 the nodes are a kernel's: what older
 * kernels do otherwise is accepted, and what only vdpakit's devices can do is
 * skipped.
 *
 * With CONFORMANCE_BLK and CONFORMANCE_NET the nodes are vhost-user sockets
 * with these paths instead; CONFORMANCE_KERNEL=1 then says that a stranger is
 * behind them.
 *
 * Whatever a test opens, maps or forks through its struct conf is gone after
 * it, also when it failed; a test that hangs ends by SIGALRM.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_CONF_H
#define CONFORMANCE_CONF_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/test.h"

/* Longest wait for what must happen. */
#define CONF_WAIT_MS 10000
/* How long to look for what must not happen. */
#define CONF_QUIET_MS 30

#define CONF_DEVICE_NET 1
#define CONF_DEVICE_BLK 2

#define CONF_FDS_MAX   4096
#define CONF_MEMS_MAX  64
#define CONF_CHILD_MAX 64

/* Exit status of a child in which an assertion failed. */
#define CONF_CHILD_FAILED 99

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

struct conf_mem {
	char *va;
	size_t size;
	int fd; /* -1: anonymous */
};

struct conf {
	pid_t pid;
	bool is_packed; /* the ring format that this test is about */
	int fds[CONF_FDS_MAX];
	unsigned int n_fds;
	struct conf_mem mems[CONF_MEMS_MAX];
	unsigned int n_mems;
	pid_t children[CONF_CHILD_MAX];
	unsigned int n_children;
};

int conf_setup(void **state);
int conf_teardown(void **state);
#define CONF_TEST(fn)                                    \
	{                                                \
#fn, fn, conf_setup, conf_teardown, NULL \
	}
/* One test for each ring format. */
#define CONF_TEST_BOTH(fn)                                              \
	{ #fn "_split", fn, conf_setup, conf_teardown, NULL },          \
	{                                                               \
#fn "_packed", fn, conf_setup, conf_teardown, (void *)1 \
	}

bool conf_is_kernel(void);
/* Skips the test, saying why. */
void conf_skip(const char *why) __attribute__((noreturn));
/* Skips on a kernel. */
void conf_product_only(const char *why);

/* Skips in front of a vhost-user socket. */
void conf_vdpa_only(const char *why);

/* The first node, the first that is a device of this kind; the latter skips
 * the test where there is none. */
const char *conf_node(void);
const char *conf_node_of(unsigned int device_id);

/* open(2). Return: a descriptor that ends with the test; -errno. */
int conf_try_open(struct conf *c, const char *path, int flags);
/* The same, which must succeed. */
int conf_open(struct conf *c, const char *path, int flags);
void conf_close(struct conf *c, int fd);
/* Ends all but the first @n_fds descriptors and @n_mems pieces of memory now. */
void conf_drop(struct conf *c, unsigned int n_fds, unsigned int n_mems);
/* Waits until a node can be opened whose last user has just died. */
int conf_open_soon(struct conf *c, const char *path, int flags);
/* Ends with the test. */
void conf_keep_fd(struct conf *c, int fd);
/* Non-blocking. */
int conf_eventfd(struct conf *c, unsigned int count);
/* Reads the counter. Return: 0 when it is 0. */
unsigned long conf_eventfd_take(int fd);
/* Waits for the counter to be above 0. Return: whether it is in time. */
bool conf_eventfd_wait(int fd, int timeout_ms);

/* Shared memory with a file behind it. */
struct conf_mem conf_memfd(struct conf *c, size_t size);
/* Takes memory of conf_memfd() out of this process. Return: whether nobody else
 * has it mapped for writing either, now or soon. */
bool conf_is_released(const struct conf_mem *mem);
/* Anonymous memory; @flags: MAP_SHARED or MAP_PRIVATE. */
struct conf_mem conf_anon(struct conf *c, size_t size, int flags);

/* Runs @fn in a forked child. Return: what it returns (0..255), or -signal. */
int conf_in_child(int (*fn)(void *arg), void *arg);
/* fork(2); the child is killed at the end of the test. It must end with
 * _exit(); an assertion that fails in it ends it with CONF_CHILD_FAILED. */
pid_t conf_fork(struct conf *c);
/* SIGKILL, and waits for its end. */
void conf_kill(struct conf *c, pid_t pid);
/* Return: exit status, or -signal. */
int conf_reap(struct conf *c, pid_t pid);

unsigned long conf_now_ms(void);
/* Lets a moment pass between two looks at something that cannot be waited for
 * otherwise. */
void conf_breathe(void);

#endif
