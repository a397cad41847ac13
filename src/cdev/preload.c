/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The preload carrier: the listener, connections, and what they ask.
 *
 * Theory of operation
 *
 * Everything runs on the control loop. A connection is read a few messages at a
 * time, so that one client cannot keep the others waiting. Sends never wait: a
 * client that does not take its replies is cut off.
 *
 *   accept --> NEW --OPEN--> OPENING --> FILE (until the last copy is closed)
 *               |--NETLINK--> NETLINK
 *               |--STAT, CLASSES--> ANSWERED
 *               `--nothing for 10 s--> closed
 *
 * close() and then open() by a client arrive here on two sockets, so in any
 * order. An open therefore first looks whether those that have the node open
 * are at their end, and if so runs what they still have to say.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cdev/preload_internal.h"

/* Messages of one connection, and connections, a turn of the loop. */
#define CONN_BUDGET   16
#define ACCEPT_BUDGET 64
/* Time off for the listener when descriptors have run out. */
#define ACCEPT_PAUSE_NS 100000000ULL

static void conn_free(struct conn *conn);

int conn_fault(struct conn *conn, int code, const char *what)
{
	if (log_allowed(&conn->preload->log_limit)) {
		log_debug(PRELOAD_TAG, "client: %s", what);
	}
	return code;
}

void stat_info_fill(struct preload_stat_info *info,
		    const struct cdev_node *node)
{
	dev_t rdev = cdev_node_rdev(node);

	memset(info, 0, sizeof(*info));
	info->major = major(rdev);
	info->minor = minor(rdev);
	info->mode = S_IFCHR | 0600;
	info->uid = geteuid();
	info->gid = getegid();
	info->ino = (uint64_t)info->major << 32 | info->minor;
}

int conn_reply(struct conn *conn, int64_t result, const void *answer,
	       size_t len)
{
	struct preload_reply reply = {
		.head = { PRELOAD_MAGIC, PRELOAD_REPLY,
			  (uint32_t)(sizeof(reply) + len) },
		.result = result,
	};
	struct iovec iov[] = {
		{ &reply, sizeof(reply) },
		{ (void *)(uintptr_t)answer, len },
	};
	struct fd_msg msg = { .iov = iov, .n_iov = len ? 2 : 1 };
	ssize_t n;

	if (conn->file && cdev_file_is_always_ready(conn->file)) {
		reply.file_flags |= PRELOAD_FILE_NO_EPOLL;
	}
	n = fd_send(conn->fd, &msg, MSG_DONTWAIT);
	return n < 0 ? (int)n : 0;
}

/* Questions */

static int ask_stat(struct conn *conn, const struct preload_name *ask)
{
	const struct cdev_node *node =
		cdev_find(conn->preload->cdev, ask->name);
	struct preload_stat_info info;

	conn->state = CONN_ANSWERED;
	if (!node) {
		return conn_reply(conn, -ENOENT, NULL, 0);
	}
	stat_info_fill(&info, node);
	return conn_reply(conn, 0, &info, sizeof(info));
}

static int ask_classes(struct conn *conn)
{
	struct preload_class answer[PRELOAD_CLASSES_MAX] = { 0 };
	const struct cdev_class *class;
	size_t n = 0;

	conn->state = CONN_ANSWERED;
	list_for_each_entry(class, cdev_classes(conn->preload->cdev), node) {
		if (n == PRELOAD_CLASSES_MAX) {
			break;
		}
		answer[n].major = class->major;
		(void)snprintf(answer[n].name, sizeof(answer[n].name), "%.59s",
			       class->name);
		n++;
	}
	return conn_reply(conn, (int64_t)n, answer, n * sizeof(answer[0]));
}

static int conn_receive(struct conn *conn, unsigned int budget);

/* Are all copies of the client's end closed? Then nothing more comes, but what
 * came before may wait to be read. */
static bool conn_is_at_end(const struct conn *conn)
{
	struct pollfd pfd = { .fd = conn->fd };

	return poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLHUP | POLLERR));
}

static void finish_closed_files(struct cdev_preload *preload,
				const struct cdev_node *node)
{
	struct conn *conn, *tmp;

	list_for_each_entry_safe(conn, tmp, &preload->conns, node) {
		if (conn->state == CONN_FILE &&
		    cdev_file_node(conn->file) == node &&
		    conn_is_at_end(conn) &&
		    conn_receive(conn, UINT32_MAX) < 0) {
			conn_free(conn);
		}
	}
}

static int ask_open(struct conn *conn, const struct preload_name *ask)
{
	struct cdev_node *node = cdev_find(conn->preload->cdev, ask->name);

	if (!node) {
		conn->state = CONN_ANSWERED;
		return conn_reply(conn, -ENOENT, NULL, 0);
	}
	finish_closed_files(conn->preload, node);
	return call_open(conn, ask);
}

/* Messages */

static int take_name(struct conn *conn, struct message *msg, bool is_open)
{
	struct preload_name ask;

	if (msg->len != sizeof(ask) || conn->state != CONN_NEW) {
		return conn_fault(conn, -EPROTO, "unexpected OPEN or STAT");
	}
	memcpy(&ask, msg->bytes, sizeof(ask));
	if (memchr(ask.name, '\0', sizeof(ask.name)) == NULL) {
		return conn_fault(conn, -EPROTO, "name without an end");
	}
	return is_open ? ask_open(conn, &ask) : ask_stat(conn, &ask);
}

static int take_ask(struct conn *conn, struct message *msg, bool is_netlink)
{
	struct preload_ask ask;

	if (msg->len != sizeof(ask) || conn->state != CONN_NEW) {
		return conn_fault(conn, -EPROTO,
				  "unexpected NETLINK or CLASSES");
	}
	memcpy(&ask, msg->bytes, sizeof(ask));
	return is_netlink ? netlink_ask(conn, &ask) : ask_classes(conn);
}

static int take_protocol_message(struct conn *conn, struct message *msg,
				 const struct preload_head *head)
{
	if (head->len != msg->len || msg->fds.is_truncated ||
	    msg->fds.n_fds_dropped > 0) {
		return conn_fault(conn, -EPROTO, "malformed message");
	}
	switch (head->type) {
	case PRELOAD_OPEN:
	case PRELOAD_STAT:
		return take_name(conn, msg, head->type == PRELOAD_OPEN);
	case PRELOAD_CLASSES:
	case PRELOAD_NETLINK:
		return take_ask(conn, msg, head->type == PRELOAD_NETLINK);
	case PRELOAD_HELLO:
		return task_hello(conn, msg);
	case PRELOAD_CALL:
		return call_message(conn, msg);
	default:
		return conn_fault(conn, -EPROTO, "unknown message");
	}
}

static int take_message(struct conn *conn, struct message *msg)
{
	struct preload_head head;

	if (msg->len >= sizeof(head)) {
		memcpy(&head, msg->bytes, sizeof(head));
		if (head.magic == PRELOAD_MAGIC) {
			return take_protocol_message(conn, msg, &head);
		}
	}
	if (conn->state == CONN_FILE) {
		return call_raw_write(conn, msg);
	}
	if (conn->state == CONN_NETLINK) {
		return netlink_request(conn, msg);
	}
	return conn_fault(conn, -EPROTO, "not a message of ours");
}

/* One message. Return: 1; 0 none is there; -ENODATA the end; -errno. */
static int conn_receive_one(struct conn *conn)
{
	struct cdev_preload *preload = conn->preload;
	struct iovec iov = { preload->buf, sizeof(preload->buf) };
	struct message msg = {
		.conn = conn,
		.bytes = preload->buf,
		.fds = { .iov = &iov, .n_iov = 1 },
	};
	ssize_t n;
	int r;

	do {
		n = fd_recv(conn->fd, &msg.fds, MSG_DONTWAIT);
		/* The client went without reading its byte: not yet the end
		 * of what it sent. */
	} while (n == -ECONNRESET);
	if (n == -EAGAIN) {
		return 0;
	}
	if (n < 0) {
		return (int)n;
	}
	/* A datagram may be empty; the end looks the same but for this. */
	if (n == 0 && !msg.fds.has_cred) {
		return -ENODATA;
	}
	if (!msg.fds.has_cred) {
		msg.fds.cred = conn->peer;
		msg.fds.has_cred = true;
	}
	msg.len = (size_t)n;
	loop_timer_cancel(&conn->deadline);
	r = take_message(conn, &msg);
	if (conn->state == CONN_ANSWERED && r == 0) {
		r = loop_timer_set(&conn->deadline, CDEV_PRELOAD_DEADLINE_NS);
	}
	for (unsigned int i = 0; i < msg.fds.n_fds; i++) {
		preload->stats.n_dropped_fds += msg.fds.fds[i] >= 0;
	}
	preload->stats.n_dropped_fds += msg.fds.n_fds_dropped;
	fd_msg_close(&msg.fds);
	return r < 0 ? r : 1;
}

/* Return: 0; < 0 free the connection. */
static int conn_receive(struct conn *conn, unsigned int budget)
{
	struct cdev_file *file = conn->file;
	int r = 1;

	if (file) {
		cdev_file_begin_calls(file);
	}
	while (r > 0 && budget-- > 0 && list_is_empty(&conn->out)) {
		r = conn_receive_one(conn);
	}
	if (file) {
		cdev_file_end_calls(file);
	}
	if (r < 0 && r != -ENODATA) {
		conn->preload->stats.n_cut_off++;
		if (conn->file) {
			cdev_file_cancel_all(conn->file);
		}
	}
	return min_of(r, 0);
}

/* Connections */

static bool conn_can_send(struct conn *conn, const struct cdev_piece *piece)
{
	struct iovec iov = { (void *)(uintptr_t)piece->bytes, piece->len };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1 };

	/* A client that has gone is noticed elsewhere. */
	return fd_send(conn->fd, &msg, MSG_DONTWAIT) != -EAGAIN;
}

/* What there is to read goes to the client's socket, as far as that has room:
 * poll() and read() are the kernel's business then. */
void conn_feed(void *priv)
{
	struct conn *conn = priv;
	const struct cdev_piece *piece;
	unsigned int events = LOOP_IN;

	while (events == LOOP_IN &&
	       (piece = cdev_file_first_piece(conn->file)) != NULL) {
		if (conn_can_send(conn, piece)) {
			cdev_file_drop_piece(conn->file);
		} else {
			events |= LOOP_OUT;
		}
	}
	if (conn->is_full != (events != LOOP_IN) &&
	    loop_watch_change(conn->watch, events) == 0) {
		conn->is_full = !conn->is_full;
	}
}

static void conn_ready(void *priv, unsigned int events)
{
	struct conn *conn = priv;
	int r = 0;

	if (events & LOOP_OUT && conn->file) {
		conn_feed(conn);
	} else if (events & LOOP_OUT) {
		r = netlink_flush(conn);
	}
	if (r == 0) {
		r = conn_receive(conn, CONN_BUDGET);
	}
	if (r < 0) {
		conn_free(conn);
	}
}

static void conn_late(void *priv)
{
	struct conn *conn = priv;

	conn->preload->stats.n_late++;
	conn_free(conn);
}

static void conn_free(struct conn *conn)
{
	struct cdev_preload *preload = conn->preload;
	struct cdev_file *file = conn->file;

	list_del(&conn->node);
	conn->watch = loop_watch_free(conn->watch);
	loop_timer_cancel(&conn->deadline);
	task_forget_conn(conn);
	netlink_drop(conn);
	if (conn->opening) {
		cdev_call_cancel(conn->opening);
	}
	/* The file may hold a copy for a while. */
	(void)shutdown(conn->fd, SHUT_RDWR);
	conn->fd = close_fd(conn->fd);
	preload->stats.n_conns--;
	if (file) {
		preload->stats.n_files--;
		cdev_file_set_sink(file, NULL, NULL);
		cdev_file_end_async(file);
		conn->file = cdev_file_unref(file);
	}
	free(conn);
}

/* Each message says who sent it; but those that were sent to a socket that did
 * not listen with SO_PASSCRED yet (it connected early): whoever connected. */
static int ask_for_senders(struct conn *conn)
{
	socklen_t len = sizeof(conn->peer);
	int one = 1;

	if (setsockopt(conn->fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) <
		    0 ||
	    getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &conn->peer, &len) <
		    0) {
		return -errno;
	}
	return 0;
}

/* Takes @fd. */
static int conn_new(struct cdev_preload *preload, int take_fd)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn) {
		(void)close_fd(take_fd);
		return -ENOMEM;
	}
	conn->preload = preload;
	conn->fd = take_fd;
	list_init(&conn->out);
	list_init(&conn->kept);
	list_add_tail(&preload->conns, &conn->node);
	preload->stats.n_conns++;
	loop_timer_init(&conn->deadline, preload->loop, conn_late, conn);
	r = ask_for_senders(conn);
	if (r == 0) {
		r = loop_timer_set(&conn->deadline, CDEV_PRELOAD_DEADLINE_NS);
	}
	if (r == 0) {
		r = loop_watch_new(preload->loop, conn->fd, LOOP_IN, conn_ready,
				   conn, &conn->watch);
	}
	if (r < 0) {
		conn_free(conn);
	}
	return r;
}

/* The listener */

static void accept_again(void *priv)
{
	struct cdev_preload *preload = priv;

	if (loop_watch_change(preload->watch, LOOP_IN) < 0) {
		(void)loop_timer_set(&preload->accept_timer, ACCEPT_PAUSE_NS);
	}
}

/* Out of descriptors: look again later instead of spinning. */
static void accept_pause(struct cdev_preload *preload)
{
	if (loop_watch_change(preload->watch, 0) == 0) {
		(void)loop_timer_set(&preload->accept_timer, ACCEPT_PAUSE_NS);
	}
}

static void listener_ready(void *priv, unsigned int events)
{
	struct cdev_preload *preload = priv;

	for (int i = 0; i < ACCEPT_BUDGET; i++) {
		int fd = accept4(preload->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOMEM || errno == ENOBUFS) {
				accept_pause(preload);
			}
			return;
		}
		preload->stats.n_accepted++;
		if (preload->stats.n_conns >= CDEV_PRELOAD_CONNS_MAX) {
			preload->stats.n_refused++;
			(void)close_fd(fd);
			continue;
		}
		(void)conn_new(preload, fd); /* the client sees the end */
	}
}

static int start_listening(struct cdev_preload *preload)
{
	int one = 1;
	int r = fd_set_nonblock(preload->listen_fd);

	if (r < 0) {
		return err(r, "preload: cannot use the listening socket");
	}
	if (setsockopt(preload->listen_fd, SOL_SOCKET, SO_PASSCRED, &one,
		       sizeof(one)) < 0) {
		r = -errno;
		return err(r, "preload: SO_PASSCRED: not a unix socket?");
	}
	return loop_watch_new(preload->loop, preload->listen_fd, LOOP_IN,
			      listener_ready, preload, &preload->watch);
}

int cdev_preload_new(struct cdev *cdev, int take_fd,
		     const struct cdev_netlink_ops *netlink,
		     struct cdev_preload **ret)
{
	struct cdev_preload *preload = calloc(1, sizeof(*preload));
	int r;

	if (!preload) {
		(void)close_fd(take_fd);
		return err(-ENOMEM, "preload: out of memory");
	}
	preload->cdev = cdev;
	preload->loop = cdev_loop(cdev);
	preload->listen_fd = take_fd;
	list_init(&preload->conns);
	list_init(&preload->tasks);
	if (netlink) {
		preload->netlink = *netlink;
	}
	loop_timer_init(&preload->accept_timer, preload->loop, accept_again,
			preload);
	r = start_listening(preload);
	if (r < 0) {
		(void)cdev_preload_free(preload);
		return r;
	}
	*ret = preload;
	return 0;
}

void cdev_preload_end_users(struct cdev_preload *preload,
			    const char *class_name)
{
	struct conn *conn;

	list_for_each_entry(conn, &preload->conns, node) {
		const struct ptask *ptask =
			conn->file ? task_find(preload, conn->last_task) : NULL;
		pid_t pid = ptask ? cdev_task_pid(ptask->task) : 0;

		if (pid > 0 && strcmp(cdev_file_node(conn->file)->class->name,
				      class_name) == 0) {
			(void)kill(pid, SIGTERM); /* it may be gone */
		}
	}
}

struct cdev_preload *cdev_preload_free(struct cdev_preload *preload)
{
	struct conn *conn, *tmp;
	struct ptask *ptask, *tmp_task;

	if (!preload) {
		return NULL;
	}
	preload->watch = loop_watch_free(preload->watch);
	loop_timer_cancel(&preload->accept_timer);
	preload->listen_fd = close_fd(preload->listen_fd);
	list_for_each_entry_safe(ptask, tmp_task, &preload->tasks, node) {
		ptask_free(ptask);
	}
	list_for_each_entry_safe(conn, tmp, &preload->conns, node) {
		if (conn->file) {
			cdev_file_cancel_all(conn->file);
		}
		conn_free(conn);
	}
	free(preload);
	return NULL;
}

void cdev_preload_get_stats(const struct cdev_preload *preload,
			    struct cdev_preload_stats *ret)
{
	*ret = preload->stats;
}
