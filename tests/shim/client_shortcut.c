/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cases of test_shim.c: shortcuts, ioctls that the shim does by itself.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/client.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>

static struct toy_injects injects_of(int fd, uint32_t idx)
{
	struct toy_injects injects = { .idx = idx };

	CHECK(ioctl(fd, TOY_INJECTS, &injects) == 0);
	return injects;
}

static void check_injects(int fd, uint32_t idx, uint32_t n_calls,
			  uint64_t n_all)
{
	struct toy_injects injects = injects_of(fd, idx);

	CHECK(injects.n_calls == n_calls);
	CHECK(injects.n_all == n_all);
}

static void inject(int fd, uint32_t idx, int n)
{
	for (int i = 0; i < n; i++) {
		CHECK(ioctl(fd, TOY_INJECT, &idx) == 0);
	}
}

static void take_back(int fd, uint32_t idx)
{
	CHECK(ioctl(fd, TOY_REVOKE, &idx) == 0);
}

void case_shortcut(void)
{
	int fd = open(QUEUE_NODE, O_RDWR), copy;
	uint32_t idx = TOY_INJECTS_MAX;
	pid_t child;

	CHECK(fd >= 0);
	inject(fd, 0, 100);
	check_injects(fd, 0, 1, 100);
	/* Another value is another shortcut, or an error. */
	inject(fd, 1, 2);
	check_injects(fd, 1, 1, 2);
	CHECK_ERRNO(ioctl(fd, TOY_INJECT, &idx), EINVAL);
	CHECK_ERRNO(ioctl(fd, TOY_INJECT, NULL), EFAULT);
	/* A copy of the descriptor is the same file, and so is a child's. */
	copy = dup(fd);
	inject(copy, 0, 2);
	check_injects(fd, 0, 2, 102);
	CHECK(close(copy) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		inject(fd, 0, 1);
		_exit(0);
	}
	join_child(child);
	check_injects(fd, 0, 2, 103);
	CHECK(close(fd) == 0);
}

/* As often as there are entries in any table, and more. */
void case_shortcut_revoked(void)
{
	int fd = open(QUEUE_NODE, O_RDWR), again;

	CHECK(fd >= 0);
	inject(fd, 1, 2);
	for (int i = 0; i < 200; i++) {
		inject(fd, 0, 2);
		take_back(fd, 0);
	}
	check_injects(fd, 0, 200, 400);
	inject(fd, 1, 1);
	check_injects(fd, 1, 1, 3);
	/* The same number, another file. */
	CHECK(close(fd) == 0);
	do {
		again = open(QUEUE_NODE, O_RDWR);
	} while (again < 0 && errno == EBUSY); /* the daemon has not heard */
	CHECK(again == fd);
	inject(fd, 1, 1);
	check_injects(fd, 1, 1, 1);
	CHECK(close(fd) == 0);
}

#define N_THREADS 3
#define N_ROUNDS  2000
#define N_REVOKES 500

static void *race(void *priv)
{
	for (uint32_t i = 0; i < N_ROUNDS; i++) {
		inject(*(int *)priv, i % 2, 1);
	}
	return NULL;
}

/* Whatever is revoked meanwhile, none is lost, none is done twice. */
void case_shortcut_race(void)
{
	int fd = open(QUEUE_NODE, O_RDWR);
	pthread_t threads[N_THREADS];

	CHECK(fd >= 0);
	inject(fd, 0, 1);
	inject(fd, 1, 1);
	for (size_t i = 0; i < N_THREADS; i++) {
		CHECK(pthread_create(&threads[i], NULL, race, &fd) == 0);
	}
	for (uint32_t i = 0; i < N_REVOKES; i++) {
		take_back(fd, i % 2);
	}
	for (size_t i = 0; i < N_THREADS; i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
	}
	CHECK(injects_of(fd, 0).n_all == 1 + N_THREADS * N_ROUNDS / 2);
	CHECK(injects_of(fd, 1).n_all == 1 + N_THREADS * N_ROUNDS / 2);
	CHECK(close(fd) == 0);
}
