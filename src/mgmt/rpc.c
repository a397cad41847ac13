/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON-RPC 2.0 server: connections and lines.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/rpc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/unix.h"
#include "mgmt/rpc_internal.h"

#define ACCEPTS_A_ROUND 16
#define RECV_BYTES	65536

/* ---- what goes out ---- */

static bool grow(char **buf, size_t *size, size_t want)
{
	size_t new_size = *size ? *size : 4096;
	char *new_buf;

	while (new_size < want) {
		new_size *= 2;
	}
	if (new_size == *size) {
		return true;
	}
	new_buf = realloc(*buf, new_size);
	if (!new_buf) {
		return false;
	}
	*buf = new_buf;
	*size = new_size;
	return true;
}

static size_t unsent(const struct rpc_conn *conn)
{
	return conn->out_len - conn->out_off;
}

void rpc_conn_send(struct rpc_conn *conn, const char *line, size_t len)
{
	if (conn->is_dead) {
		return;
	}
	if (len > RPC_OUT_MAX - unsent(conn)) {
		conn->rpc->stats.n_cut++;
		conn->is_dead = true;
		return;
	}
	if (conn->out_off > 0) {
		memmove(conn->out, conn->out + conn->out_off, unsent(conn));
		conn->out_len = unsent(conn);
		conn->out_off = 0;
	}
	if (!grow(&conn->out, &conn->out_size, conn->out_len + len)) {
		conn->is_dead = true;
		return;
	}
	memcpy(conn->out + conn->out_len, line, len);
	conn->out_len += len;
}

static void flush(struct rpc_conn *conn)
{
	while (!conn->is_dead && unsent(conn) > 0) {
		ssize_t n = send(conn->fd, conn->out + conn->out_off,
				 unsent(conn), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			conn->out_off += (size_t)n;
			loop_timer_cancel(&conn->timer);
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else {
			conn->is_dead = errno != EAGAIN;
			return;
		}
	}
	if (conn->is_closing) {
		conn->is_dead = true;
	}
}

/* ---- what comes in ---- */

static void say_and_close(struct rpc_conn *conn, int code, const char *text)
{
	conn->rpc->stats.n_cut++;
	rpc_answer_error(conn, NULL, code, text);
	conn->is_closing = true;
}

/* Takes complete lines out of the buffer, a bounded number of them. */
static void take_lines(struct rpc_conn *conn)
{
	size_t done = 0;

	conn->has_more = false;
	if (conn->in_len == 0) {
		return;
	}
	for (unsigned int i = 0; !conn->is_dead && !conn->is_closing; i++) {
		char *from = conn->in + conn->in_scanned;
		char *end = conn->in_len > conn->in_scanned
				    ? memchr(from, '\n',
					     conn->in_len - conn->in_scanned)
				    : NULL;

		if (!end) {
			conn->in_scanned = conn->in_len;
			break;
		}
		if (i == RPC_LINES_A_ROUND || unsent(conn) > RPC_OUT_PAUSE) {
			conn->has_more = true;
			break;
		}
		conn->in_scanned = (size_t)(end - conn->in) + 1;
		rpc_take_line(conn, conn->in + done,
			      (size_t)(end - conn->in) - done);
		done = conn->in_scanned;
	}
	if (done > 0) {
		conn->in_len -= done;
		conn->in_scanned -= done;
		memmove(conn->in, conn->in + done, conn->in_len);
		loop_timer_cancel(&conn->timer);
	}
}

static void read_some(struct rpc_conn *conn)
{
	ssize_t n;

	if (!grow(&conn->in, &conn->in_size, conn->in_len + RECV_BYTES)) {
		conn->is_dead = true;
		return;
	}
	do {
		n = recv(conn->fd, conn->in + conn->in_len, RECV_BYTES,
			 MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		conn->in_len += (size_t)n;
		conn->heard_ns = loop_now_ns(conn->rpc->loop);
		return;
	}
	if (n == 0) {
		/* It may have closed its writing half only. */
		conn->is_eof = true;
	} else if (errno != EAGAIN) {
		conn->is_dead = true;
	}
}

/* ---- connections ---- */

static void free_buffer(char **buf, size_t *size)
{
	free(*buf);
	*buf = NULL;
	*size = 0;
}

static void conn_free(struct rpc_conn *conn)
{
	rpc_forget_requests(conn);
	loop_timer_cancel(&conn->timer);
	loop_watch_free(conn->watch);
	(void)close_fd(conn->fd);
	list_del(&conn->node);
	conn->rpc->stats.n_conns--;
	free(conn->in);
	free(conn->out);
	free(conn);
}

/* Half a line, or an answer that is not taken, may not stay for ever. */
static void update_timer(struct rpc_conn *conn)
{
	bool is_waiting = conn->in_len > 0 || unsent(conn) > 0;

	if (!is_waiting) {
		loop_timer_cancel(&conn->timer);
	} else if (!loop_timer_is_set(&conn->timer) &&
		   loop_timer_set(&conn->timer, RPC_LINE_TIMEOUT_NS) < 0) {
		conn->is_dead = true;
	}
}

/* What to wait for now; frees the connection when nothing is left to do. */
static void conn_settle(struct rpc_conn *conn)
{
	bool can_read = !conn->is_eof && !conn->is_closing && !conn->has_more &&
			unsent(conn) <= RPC_OUT_PAUSE;
	bool can_write = unsent(conn) > 0 || conn->has_more;

	if (conn->is_eof && !can_write && conn->n_pending == 0) {
		conn->is_dead = true;
	}
	if (!conn->is_dead) {
		update_timer(conn);
	}
	if (!conn->is_dead &&
	    loop_watch_change(conn->watch, (can_read ? LOOP_IN : 0) |
						   (can_write ? LOOP_OUT : 0)) <
		    0) {
		conn->is_dead = true;
	}
	if (conn->is_dead) {
		conn_free(conn);
		return;
	}
	if (conn->in_len == 0) {
		free_buffer(&conn->in, &conn->in_size);
	}
	if (unsent(conn) == 0) {
		free_buffer(&conn->out, &conn->out_size);
		conn->out_len = 0;
		conn->out_off = 0;
	}
}

static void on_conn(void *priv, unsigned int events)
{
	struct rpc_conn *conn = priv;
	bool was_eof = conn->is_eof;

	conn->is_busy = true;
	flush(conn);
	if (!conn->is_dead && !conn->is_eof && !conn->is_closing &&
	    !conn->has_more && unsent(conn) <= RPC_OUT_PAUSE) {
		read_some(conn);
	}
	if (!conn->is_dead) {
		take_lines(conn);
	}
	if (conn->in_len > RPC_LINE_MAX && !conn->has_more &&
	    !conn->is_closing) {
		say_and_close(conn, RPC_E_REQUEST, "the line is too long");
	}
	flush(conn);
	/* Both halves are closed: there is nobody to answer. */
	if (was_eof && (events & LOOP_HUP)) {
		conn->is_dead = true;
	}
	conn->is_busy = false;
	conn_settle(conn);
}

void rpc_conn_flush(struct rpc_conn *conn)
{
	if (conn->is_busy) {
		return;
	}
	flush(conn);
	conn_settle(conn);
}

static void on_timeout(void *priv)
{
	struct rpc_conn *conn = priv;

	if (unsent(conn) > 0) {
		conn->rpc->stats.n_cut++;
		conn->is_dead = true;
	} else {
		say_and_close(conn, RPC_E_REQUEST,
			      "the line was not finished in time");
		flush(conn);
	}
	conn_settle(conn);
}

static int conn_new(struct rpc *rpc, int take_fd)
{
	struct rpc_conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn) {
		(void)close_fd(take_fd);
		return -ENOMEM;
	}
	conn->rpc = rpc;
	conn->fd = take_fd;
	conn->is_admin = unix_peer_is_trusted(take_fd);
	conn->heard_ns = loop_now_ns(rpc->loop);
	list_init(&conn->requests);
	loop_timer_init(&conn->timer, rpc->loop, on_timeout, conn);
	r = loop_watch_new(rpc->loop, take_fd, LOOP_IN, on_conn, conn,
			   &conn->watch);
	if (r < 0) {
		(void)close_fd(take_fd);
		free(conn);
		return r;
	}
	list_add_tail(&rpc->conns, &conn->node);
	rpc->stats.n_conns++;
	rpc->stats.n_accepted++;
	return 0;
}

/* Cuts the connection that has been silent longest. Return: found one */
static bool make_room(struct rpc *rpc)
{
	uint64_t now_ns = loop_now_ns(rpc->loop);
	struct rpc_conn *conn, *oldest = NULL;

	list_for_each_entry(conn, &rpc->conns, node) {
		if (conn->n_pending == 0 && unsent(conn) == 0 &&
		    now_ns - conn->heard_ns >= RPC_SILENT_NS &&
		    (!oldest || conn->heard_ns < oldest->heard_ns)) {
			oldest = conn;
		}
	}
	if (!oldest) {
		return false;
	}
	rpc->stats.n_cut++;
	conn_free(oldest);
	return true;
}

static void refuse(struct rpc *rpc, int fd)
{
	static const char line[] =
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":16,"
		"\"message\":\"all connections are in use; try again\"}}\n";

	rpc->stats.n_refused++;
	/* A courtesy: the peer sees the end of the connection anyway. */
	(void)send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/*
 * Out of descriptors: without this the listening socket would stay readable
 * and the loop would spin. The spare one is given up for a moment, so that the
 * connection can be taken and closed.
 */
static void shed_one(struct rpc *rpc)
{
	int fd;

	rpc->spare_fd = close_fd(rpc->spare_fd);
	fd = accept4(rpc->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	rpc->stats.n_refused++;
	(void)close_fd(fd);
	rpc->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_accept(void *priv, unsigned int events)
{
	struct rpc *rpc = priv;

	for (unsigned int i = 0; i < ACCEPTS_A_ROUND; i++) {
		_cleanup_close_ int fd = accept4(rpc->fd, NULL, NULL,
						 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE) {
				shed_one(rpc);
			}
			return;
		}
		if (rpc->stats.n_conns >= RPC_CONNS_MAX && !make_room(rpc)) {
			refuse(rpc, fd);
		} else if (conn_new(rpc, steal_fd(&fd)) < 0) {
			rpc->stats.n_refused++;
		}
	}
}

/* ---- the server ---- */

int rpc_new(struct rpc_ctx *ctx, int take_fd, struct rpc **ret)
{
	struct rpc *rpc = calloc(1, sizeof(*rpc));
	int r;

	if (!rpc) {
		(void)close_fd(take_fd);
		return -ENOMEM;
	}
	rpc->ctx = ctx;
	rpc->loop = instance_control(ctx->kit);
	rpc->fd = take_fd;
	list_init(&rpc->conns);
	rpc->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	r = fd_set_nonblock(rpc->fd);
	if (r == 0) {
		r = loop_watch_new(rpc->loop, rpc->fd, LOOP_IN, on_accept, rpc,
				   &rpc->watch);
	}
	if (r < 0) {
		rpc_free(rpc);
		return r;
	}
	*ret = rpc;
	return 0;
}

struct rpc *rpc_free(struct rpc *rpc)
{
	struct rpc_conn *conn, *tmp;

	if (!rpc) {
		return NULL;
	}
	list_for_each_entry_safe(conn, tmp, &rpc->conns, node) {
		conn_free(conn);
	}
	loop_watch_free(rpc->watch);
	(void)close_fd(rpc->fd);
	(void)close_fd(rpc->spare_fd);
	free(rpc);
	return NULL;
}

void rpc_get_stats(const struct rpc *rpc, struct rpc_stats *ret)
{
	*ret = rpc->stats;
}
