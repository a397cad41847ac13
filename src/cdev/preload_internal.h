/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the preload carrier share.
 *
 *   preload.c          the listener, connections, questions
 *   preload_call.c     calls and bypassing writes
 *   preload_task.c     tasks and their channels
 *   preload_netlink.c  connections that are netlink sockets
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CDEV_PRELOAD_INTERNAL_H
#define CDEV_PRELOAD_INTERNAL_H

#include "base/fd.h"
#include "base/log.h"
#include "cdev/cdev_internal.h"
#include "uapi/preload.h"

#define PRELOAD_TAG "preload"

struct cdev_preload {
	struct cdev *cdev;
	struct loop *loop;
	int listen_fd;
	struct loop_watch *watch;
	struct loop_timer accept_timer;
	struct cdev_netlink_ops netlink;
	struct list conns;
	struct list tasks;
	unsigned int n_channels;
	struct cdev_preload_stats stats;
	struct log_limit log_limit;
	/* of the message being handled */
	uint8_t buf[PRELOAD_CALL_MAX];
};

enum conn_state {
	CONN_NEW, /* nothing was asked yet */
	CONN_OPENING,
	CONN_FILE,
	CONN_NETLINK,
	CONN_ANSWERED, /* a question was; only its end can follow */
};

struct conn {
	struct list node;
	struct cdev_preload *preload;
	int fd;
	struct loop_watch *watch;
	struct loop_timer deadline;
	struct ucred peer; /* who connected */
	enum conn_state state;
	struct cdev_file *file; /* CONN_FILE: the clients' reference */
	struct cdev_call *opening; /* CONN_OPENING, while pending */
	bool is_full; /* ... and there is more to read */
	uint64_t last_task;
	unsigned int n_tasks; /* introduced here and alive */
	/* CONN_NETLINK */
	uint32_t port;
	struct list out;
	size_t out_bytes;
	struct list kept; /* answers that come later */
};

/* A message as it came; its descriptors are stolen or closed. */
struct message {
	struct conn *conn;
	const uint8_t *bytes;
	size_t len;
	struct fd_msg fds;
};

struct channel {
	struct ptask *ptask;
	int fd; /* -1: none */
	struct loop_watch *watch;
};

struct ptask {
	struct list node;
	struct cdev_preload *preload;
	uint64_t id;
	struct cdev_task *task;
	struct conn *conn; /* that introduced it, while that lives */
	struct list calls; /* pending ones */
	bool wants_files;
	unsigned int n_channels;
	struct channel channels[PRELOAD_CHANNELS_MAX];
	/* without channels: until its process ends */
	int pidfd;
	struct loop_watch *pidfd_watch;
};

/* Log that a client did something wrong, not too often. Return: @code. */
int conn_fault(struct conn *conn, int code, const char *what);
/* -EPROTO and the like: the connection is cut off. */
int conn_reply(struct conn *conn, int64_t result, const void *answer,
	       size_t len);
/* @priv: a connection whose file may have something to read. */
void conn_feed(void *priv);
void stat_info_fill(struct preload_stat_info *info,
		    const struct cdev_node *node);

/* Return: 0; < 0 the connection is to be cut off. */
int task_hello(struct conn *conn, struct message *msg);
struct ptask *task_find(struct cdev_preload *preload, uint64_t id);
/* The task that a bypassing write comes from: referenced. NULL: unknown. */
struct cdev_task *task_of_sender(struct conn *conn, const struct ucred *cred);
void task_forget_conn(struct conn *conn);
void ptask_free(struct ptask *ptask);
/* A reply that cannot be sent ends the task. */
void task_reply(struct ptask *ptask, unsigned int channel,
		const struct fd_msg *msg);

int call_open(struct conn *conn, const struct preload_name *ask);
int call_message(struct conn *conn, struct message *msg);
int call_raw_write(struct conn *conn, struct message *msg);
/* Cancels the pending calls of a task, or those of one of its channels. */
void call_cancel_channel(struct ptask *ptask, int channel);

int netlink_ask(struct conn *conn, const struct preload_ask *ask);
int netlink_request(struct conn *conn, struct message *msg);
/* Sends what is queued. Return: 0; -errno. */
int netlink_flush(struct conn *conn);
void netlink_drop(struct conn *conn);

#endif
