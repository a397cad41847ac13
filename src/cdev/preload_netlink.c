/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The preload carrier: connections that are generic netlink sockets.
 *
 * A request is answered with any number of datagrams, at once or later. Those
 * that the client's socket has no room for wait here, up to
 * CDEV_PRELOAD_QUEUE_MAX bytes; beyond that the client is cut off. No request
 * is taken while answers wait, so a client that only asks gets no further than
 * that.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/unix.h"
#include "cdev/preload_internal.h"

struct datagram {
	struct list node;
	size_t len;
	uint8_t bytes[];
};

/* Lives on the stack while a request is handled; a kept one in conn->kept. */
struct answer {
	struct cdev_netlink_to to;
	struct conn *conn; /* NULL: the client has gone */
	struct list node;
	int error;
};

int netlink_ask(struct conn *conn, const struct preload_ask *ask)
{
	if (!conn->preload->netlink.request) {
		conn->state = CONN_ANSWERED;
		return conn_reply(conn, -EPROTONOSUPPORT, NULL, 0);
	}
	conn->state = CONN_NETLINK;
	conn->port = ask->port;
	return conn_reply(conn, 0, NULL, 0);
}

void netlink_drop(struct conn *conn)
{
	struct datagram *d, *tmp;
	struct answer *a, *tmp_a;

	list_for_each_entry_safe(d, tmp, &conn->out, node) {
		list_del(&d->node);
		free(d);
	}
	conn->out_bytes = 0;
	list_for_each_entry_safe(a, tmp_a, &conn->kept, node) {
		list_del(&a->node);
		a->conn = NULL;
	}
}

static int queue(struct conn *conn, const void *buf, size_t len)
{
	struct datagram *d;

	if (len > CDEV_PRELOAD_QUEUE_MAX - conn->out_bytes) {
		return conn_fault(conn, -ENOBUFS, "netlink answers not read");
	}
	d = malloc(sizeof(*d) + len);
	if (!d) {
		return -ENOMEM;
	}
	d->len = len;
	memcpy(d->bytes, buf, len);
	list_add_tail(&conn->out, &d->node);
	conn->out_bytes += len;
	return 0;
}

static int send_datagram(struct conn *conn, const void *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1 };
	ssize_t n = fd_send(conn->fd, &msg, MSG_DONTWAIT);

	return n < 0 ? (int)n : 0;
}

static void answer(struct cdev_netlink_to *to, const void *buf, size_t len)
{
	struct answer *a = container_of(to, struct answer, to);

	if (a->error == 0 && list_is_empty(&a->conn->out)) {
		a->error = send_datagram(a->conn, buf, len);
		if (a->error == 0) {
			return;
		}
	}
	if (a->error == 0 || a->error == -EAGAIN) {
		a->error = queue(a->conn, buf, len);
	}
}

/* Outside of netlink_request(): a connection that fails is made to end. */
static void answer_later(struct cdev_netlink_to *to, const void *buf,
			 size_t len)
{
	struct answer *a = container_of(to, struct answer, to);

	if (!a->conn) {
		return;
	}
	answer(to, buf, len);
	if (a->error == 0 && !list_is_empty(&a->conn->out)) {
		a->error = loop_watch_change(a->conn->watch, LOOP_OUT);
	}
	if (a->error < 0) {
		/* The loop will find its end, and free it. */
		(void)shutdown(a->conn->fd, SHUT_RDWR);
	}
}

static void end(struct cdev_netlink_to *kept)
{
	struct answer *a = container_of(kept, struct answer, to);

	list_del(&a->node);
	free(a);
}

static struct cdev_netlink_to *keep(struct cdev_netlink_to *to)
{
	struct answer *now = container_of(to, struct answer, to);
	struct answer *a = calloc(1, sizeof(*a));

	if (!a) {
		return NULL;
	}
	/* What is kept already need not be kept again. */
	a->to = (struct cdev_netlink_to){ answer_later, NULL, end };
	a->conn = now->conn;
	list_add_tail(&a->conn->kept, &a->node);
	return &a->to;
}

int netlink_request(struct conn *conn, struct message *msg)
{
	const struct cdev_netlink_ops *ops = &conn->preload->netlink;
	struct answer a = { .to = { answer, keep, NULL }, .conn = conn };
	bool is_admin = unix_uid_is_trusted(msg->fds.cred.uid);

	ops->request(ops->priv, conn->port, is_admin, msg->bytes, msg->len,
		     &a.to);
	if (a.error == 0 && !list_is_empty(&conn->out)) {
		return loop_watch_change(conn->watch, LOOP_OUT);
	}
	return a.error;
}

int netlink_flush(struct conn *conn)
{
	while (!list_is_empty(&conn->out)) {
		struct datagram *d =
			list_entry(conn->out.next, struct datagram, node);
		int r = send_datagram(conn, d->bytes, d->len);

		if (r == -EAGAIN) {
			return 0;
		}
		if (r < 0) {
			return r;
		}
		conn->out_bytes -= d->len;
		list_del(&d->node);
		free(d);
	}
	return loop_watch_change(conn->watch, LOOP_IN);
}
