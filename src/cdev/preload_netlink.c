/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The preload carrier: connections that are generic netlink sockets.
 *
 * A request is answered at once with any number of datagrams. Those that the
 * client's socket has no room for wait here, up to CDEV_PRELOAD_QUEUE_MAX
 * bytes; beyond that the client is cut off. No request is taken while answers
 * wait, so a client that only asks gets no further than that.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdev/preload_internal.h"

struct datagram {
	struct list node;
	size_t len;
	uint8_t bytes[];
};

struct answer {
	struct conn *conn;
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

	list_for_each_entry_safe(d, tmp, &conn->out, node) {
		list_del(&d->node);
		free(d);
	}
	conn->out_bytes = 0;
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

static void answer(void *priv, const void *buf, size_t len)
{
	struct answer *a = priv;

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

int netlink_request(struct conn *conn, struct message *msg)
{
	const struct cdev_netlink_ops *ops = &conn->preload->netlink;
	struct answer a = { .conn = conn };
	bool is_admin = msg->fds.has_cred && (msg->fds.cred.uid == 0 ||
					      msg->fds.cred.uid == geteuid());

	ops->request(ops->priv, conn->port, is_admin, msg->bytes, msg->len,
		     answer, &a);
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
