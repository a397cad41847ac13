/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client program of test_shim.c; see client.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/client.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

char *client_self;

void client_fail(const char *file, int line, const char *what)
{
	(void)fprintf(stderr, "%s:%d: %s (%s)\n", file, line, what,
		      strerror(errno));
	exit(1);
}

int open_node(int flags)
{
	int fd = open(NODE, flags);

	CHECK(fd >= 0);
	return fd;
}

uint32_t task_of(int fd)
{
	uint32_t task = 0;

	CHECK(ioctl(fd, TOY_TASK, &task) == 0);
	return task;
}

struct toy_counts counts_of(int fd)
{
	struct toy_counts counts;

	CHECK(ioctl(fd, TOY_COUNTS, &counts) == 0);
	return counts;
}

void check_add(int fd)
{
	uint64_t v = 41;

	CHECK(ioctl(fd, TOY_ADD, &v) == 0);
	CHECK(v == 42);
}

void join_child(pid_t pid)
{
	int status;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == 0);
}

static const struct {
	const char *name;
	void (*run)(void);
	void (*run_args)(char **argv);
} cases[] = {
#define CLIENT_ENTRY(name)	{ #name, case_##name, NULL },
#define CLIENT_ENTRY_ARGS(name) { #name, NULL, case_##name },
	CLIENT_CASES(CLIENT_ENTRY) CLIENT_ARGS_CASES(CLIENT_ENTRY_ARGS)
};

int main(int argc, char **argv)
{
	client_self = argv[0];
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
