/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A forked child that acts as a client, for tests.
 *
 * The child does what it is told over a socket: system calls, and reading and
 * writing bytes of its own. It is a copy of its parent, so a pointer to what
 * the parent had before means the same there.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_TEST_CHILD_H
#define MEM_TEST_CHILD_H

#include <sys/types.h>
#include <unistd.h>

#include "lib/test.h"
#include "mem/client.h"

enum child_op {
	CHILD_SYSCALL,
	CHILD_PEEK,
	CHILD_POKE,
};

struct child_request {
	enum child_op op;
	long nr;
	long args[6];
};

/**
 * struct child - the client
 *
 * @pid: of the process
 * @sock: the child's other end closes when it exits or calls exec
 * @cm: its memory
 */
struct child {
	pid_t pid;
	int sock;
	struct client_mem *cm;
};

/* A failed check in a forked process ends it; cmocka's would jump. */
#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			_exit(1);                                              \
		}                                                              \
	} while (0)

void child_start(struct child *c);
/* The same with another file as its mappings, and another process id (-1: the
 * true one). */
void child_start_as(struct child *c, const char *maps_path, pid_t pid);
void child_stop(struct child *c);

/* Return: what the system call returned, or -errno. */
#define child_syscall(c, nr_, ...)                                \
	child_ask(c, (struct child_request){ .op = CHILD_SYSCALL, \
					     .nr = nr_,           \
					     { __VA_ARGS__ } })
long child_ask(struct child *c, struct child_request rq);

char child_peek(struct child *c, uint64_t at);
void child_poke(struct child *c, uint64_t at, char value);

/* Its descriptor. */
int child_memfd(struct child *c, size_t size);
/* @fd: of the child; -1: anonymous. Return: the address there */
uint64_t child_map(struct child *c, size_t size, int prot, int flags, int fd);
void child_close(struct child *c, int fd);

/**
 * forked_run() - run the body of a test in a process of its own
 * @body: checks with CHECK(); that it left no region and no descriptor behind
 *        is checked, too
 * @as_nobody: without any privilege; we must be root
 */
void forked_run(void (*body)(void), bool as_nobody);

/* As we are and, if we are root, as nobody. */
void forked_run_both_ways(void (*body)(void));

void check_no_regions(void);

/* client_mem_resolve() of what must be one piece at most; CHECK()s that piece.
 * Return: as that. */
int resolve_one(struct child *c, uint64_t uaddr, uint64_t size,
		unsigned int perm, struct region **ret);

/* Both sides see what the other writes, at a byte in the middle. */
void check_is_memory_of(struct region *region, struct child *c, uint64_t uaddr);

#endif
