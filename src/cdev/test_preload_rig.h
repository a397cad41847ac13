/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the preload carrier share: a daemon on a simulated loop, so
 * that everything runs in one thread and deadlines pass at once, and a client
 * that speaks the protocol by hand.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CDEV_TEST_PRELOAD_RIG_H
#define CDEV_TEST_PRELOAD_RIG_H

#include <sys/un.h>

#include "base/fd.h"
#include "cdev/cdev_internal.h"
#include "cdev/test_toy.h"
#include "uapi/preload.h"

#define SECOND_NS 1000000000ULL
/* The number of a task. */
#define TASK 0x1234567812345678ULL

struct fixture {
	struct sockaddr_un addr;
	socklen_t addr_len;
	struct sim *sim;
	struct loop *loop;
	struct cdev *cdev;
	struct toy *toy;
	struct cdev_preload *preload;
	unsigned int n_fds;
	/* what the netlink operation answers with */
	size_t answer_len;
	unsigned int n_answers;
	uint32_t n_requests;
	bool is_kept; /* more will come later, to ... */
	struct cdev_netlink_to *kept;
};

int setup(void **state);
/* All is released and no descriptor left. */
int teardown(void **state);
/* A listening socket at f->addr. */
int listener(struct fixture *f);
struct cdev_preload_stats stats(struct fixture *f);
/* Lets the daemon do all that there is to do now: well below any deadline. */
void settle(struct fixture *f);
void pass_seconds(struct fixture *f, unsigned int n);

int dial(struct fixture *f);
struct preload_head head_of(uint32_t type, size_t len);
struct preload_name name_message(uint32_t type, const char *name);
/* Sends bytes with descriptors, which may be wrong in any way. */
ssize_t send_fds(int sock, const void *buf, size_t len, const int *fds,
		 unsigned int n_fds);
/* Must go through. */
void say(int sock, const void *buf, size_t len);
/* Has the daemon closed its end, with nothing left to read? */
bool is_cut_off(int sock);
/* Sends what the daemon must not bear; closes @sock. */
void expect_cut_off(struct fixture *f, int sock, const void *buf, size_t len);
/* Return: the result; -EAGAIN no reply; -EPIPE the end. */
int64_t reply_on(int sock, struct preload_reply *ret);
/* The answer to OPEN. */
int64_t open_by(struct fixture *f, int sock);
int dial_and_open(struct fixture *f);
/* Says HELLO. Return: our end of the channel. */
int hello(int sock, uint64_t task, uint32_t channel);

struct ioctl_message {
	struct preload_call call;
	uint64_t data;
};
struct ioctl_message ioctl_message(uint64_t task, uint32_t cmd);
void say_ioctl(int sock, uint64_t task, uint32_t cmd);

#endif
