/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end nbd: the life of a connection.
 *
 * Theory of operation
 *
 *   connected --lost--> wait backoff --> dial (a thread) --+--> connected
 *                          ^                               |
 *                          +------ failed, or not the same disk
 *
 * Each queue has a connection where the server says that a flush on one covers
 * the writes of all (CAN_MULTI_CONN); otherwise the disk has one, and all its
 * queues one worker. The first connection of a disk is made by open().
 *
 * When a connection is lost its requests come back, and are sent on the next
 * one in the order in which the driver sent them, before all newer ones. Reads,
 * writes and the rest may be done twice without harm. A write that was answered
 * is not sent again: what the server had not yet put on stable storage is its
 * to keep, as it is with QEMU's client and the kernel's; write_through=on is
 * for servers that lose it.
 *
 * Requests wait for reconnect_s seconds from the loss on; then they fail, and
 * new ones fail at once, until there is a connection. A connection counts once
 * it has answered something, so that a request that kills its server does not
 * live forever.
 *
 * A queue that stops does not wait for a server: what is not sent fails at
 * once, what is sent gets STOP_NS, after which the connection is given up.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "dev/blk/nbd.h"

#define BACKOFF_MIN_NS 100000000ULL
#define BACKOFF_MAX_NS 5000000000ULL
#define STOP_NS	       5000000000ULL
#define BOUNCE_BYTES   (512U << 10) /* 126 pages fit */
#define BOUNCE_BUFFERS 16
/* Answers that are taken, or buffers sent, before others have their turn. */
#define EVENTS_MAX 256

static void say(struct nbd_conn *conn, const char *what, const char *why)
{
	if (log_allowed(&conn->log)) {
		log_info(blk_name(conn->blk), "nbd: %s%s%s", what,
			 why[0] ? ": " : "", why);
	}
}

/* ---- what waits ---- */

/* While there is no connection: what need not wait any more fails. */
static void sort_out(struct nbd_conn *conn, struct list *from)
{
	struct list all = LIST_INIT(all);

	while (!list_is_empty(from)) {
		struct list *node = from->next;

		list_del(node);
		list_add_tail(&all, node);
	}
	while (!list_is_empty(&all)) {
		struct list *node = all.next;

		list_del(node);
		nbd_req_return(list_entry(node, struct nbd_req, node));
	}
}

static void give_up(void *priv)
{
	struct nbd_conn *conn = priv;

	conn->has_given_up = true;
	if (!conn->handle) {
		say(conn, "requests fail until the server is back", "");
		sort_out(conn, &conn->waiting);
	}
}

static void resend(struct nbd_conn *conn)
{
	struct list all = LIST_INIT(all);

	while (!list_is_empty(&conn->waiting)) {
		struct list *node = conn->waiting.next;

		list_del(node);
		list_add_tail(&all, node);
	}
	while (!list_is_empty(&all)) {
		struct list *node = all.next;

		list_del(node);
		nbd_req_step(list_entry(node, struct nbd_req, node));
	}
}

/* ---- lost ---- */

/* No timer, no connection: there is no memory for anything else, either. */
static void set_timer(struct nbd_conn *conn, struct loop_timer *timer,
		      uint64_t delay_ns)
{
	if (loop_timer_set(timer, delay_ns) < 0) {
		conn->has_given_up = true;
	}
}

static void retry_later(struct nbd_conn *conn)
{
	uint64_t delay_ns = conn->backoff_ns;

	conn->backoff_ns = min_of(max_of(2 * delay_ns, BACKOFF_MIN_NS),
				  (unsigned long long)BACKOFF_MAX_NS);
	set_timer(conn, &conn->retry, delay_ns);
}

static void hang_up(struct nbd_conn *conn)
{
	struct nbd_handle *h = conn->handle;

	conn->watch = loop_watch_free(conn->watch);
	conn->fd = close_fd(conn->fd);
	conn->events = 0;
	conn->handle = NULL;
	conn->is_lost = false;
	nbd_close(h); /* from here on it touches no buffer */
}

static void lose(struct nbd_conn *conn)
{
	hang_up(conn);
	say(conn, "the connection is lost", "");
	if (conn->disk->reconnect_s == 0) {
		conn->has_given_up = true;
	} else if (!loop_timer_is_set(&conn->give_up) && !conn->has_given_up) {
		set_timer(conn, &conn->give_up,
			  conn->disk->reconnect_s * 1000000000ULL);
	}
	retry_later(conn);
	sort_out(conn, &conn->sent);
	sort_out(conn, &conn->pool.waiting);
	sort_out(conn, &conn->waiting); /* those that came back before this */
}

void nbd_conn_proven(struct nbd_conn *conn)
{
	conn->backoff_ns = 0;
	loop_timer_cancel(&conn->give_up);
	conn->has_given_up = false;
}

/* ---- connected ---- */

/* libnbd may not be asked to read when there is nothing: it would send nothing
 * before the next answer. nbd_poll() looks first, into what TLS has read ahead,
 * too, and takes one answer at a time. What fails shows in the handle's state. */
static void on_ready(void *priv, unsigned int events)
{
	struct nbd_conn *conn = priv;
	unsigned int n = 0;

	(void)events;
	while (n++ < EVENTS_MAX && nbd_poll(conn->handle, 0) > 0) {
	}
	nbd_conn_settle(conn);
}

static void watch(struct nbd_conn *conn)
{
	unsigned int direction = nbd_aio_get_direction(conn->handle);
	unsigned int events =
		(direction & LIBNBD_AIO_DIRECTION_READ ? LOOP_IN : 0) |
		(direction & LIBNBD_AIO_DIRECTION_WRITE ? LOOP_OUT : 0);

	if (events == conn->events) {
		return;
	}
	conn->events = events;
	if (loop_watch_change(conn->watch, events) < 0) {
		conn->is_lost = true;
	}
}

static bool is_gone(struct nbd_conn *conn)
{
	return conn->is_lost || nbd_aio_is_dead(conn->handle) ||
	       nbd_aio_is_closed(conn->handle);
}

void nbd_conn_settle(struct nbd_conn *conn)
{
	if (conn->is_settling) {
		return; /* a request's end has begun another */
	}
	conn->is_settling = true;
	do {
		while (!list_is_empty(&conn->done)) {
			struct list *node = conn->done.next;

			list_del(node);
			nbd_req_answered(
				list_entry(node, struct nbd_req, node));
		}
		if (conn->handle) {
			watch(conn);
		}
		if (conn->handle && is_gone(conn)) {
			lose(conn);
		}
	} while (!list_is_empty(&conn->done));
	conn->is_settling = false;
}

/* ---- connecting ---- */

/* Is it still the disk that the driver knows? */
static const char *why_not(const struct nbd_conn *conn,
			   const struct nbd_facts *facts)
{
	const struct nbd_disk *disk = conn->disk;
	uint64_t size = __atomic_load_n(&disk->size_bytes, __ATOMIC_RELAXED);

	if (facts->size_bytes < size) {
		return "the export is smaller than it was";
	}
	if (facts->block_bytes > disk->block_bytes) {
		return "the export has larger blocks than it had";
	}
	if (facts->is_read_only && !blk_limits(conn->blk)->is_read_only) {
		return "the export is read-only now";
	}
	return NULL;
}

static void note_size(struct nbd_conn *conn)
{
	uint64_t size = conn->facts.size_bytes;
	uint64_t old =
		__atomic_load_n(&conn->disk->size_bytes, __ATOMIC_RELAXED);

	/* Other connections may find the same. */
	while (size > old) {
		if (__atomic_compare_exchange_n(&conn->disk->size_bytes, &old,
						size, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED)) {
			blk_size_changed(conn->blk);
			return;
		}
	}
}

/* Takes the handle. Return: 0; -errno it cannot be watched. */
static int adopt(struct nbd_conn *conn, struct nbd_dial *dial)
{
	int ret;

	/* libnbd closes its own when it likes, watched or not. */
	conn->fd = fcntl(nbd_aio_get_fd(dial->handle), F_DUPFD_CLOEXEC, 0);
	if (conn->fd < 0) {
		return err(-errno, "nbd: dup: %s", strerror(errno));
	}
	ret = loop_watch_new(conn->loop, conn->fd, LOOP_IN, on_ready, conn,
			     &conn->watch);
	if (ret < 0) {
		conn->fd = close_fd(conn->fd);
		return ret;
	}
	conn->events = LOOP_IN;
	conn->handle = dial->handle;
	dial->handle = NULL;
	conn->facts = dial->facts;
	conn->facts.max_bytes = (uint32_t)align_down(conn->facts.max_bytes,
						     conn->disk->block_bytes);
	note_size(conn);
	return 0;
}

static void on_dialled(struct blk_job *job)
{
	struct nbd_dial *dial = container_of(job, struct nbd_dial, job);
	struct nbd_conn *conn = dial->priv;
	const char *why = NULL;

	conn->dial = NULL;
	if (dial->handle) {
		why = why_not(conn, &dial->facts);
	}
	if (!dial->handle || why || adopt(conn, dial) < 0) {
		say(conn, "no connection", why ? why : dial->text);
		retry_later(conn);
	} else {
		say(conn, "connected", "");
		if (list_is_empty(&conn->waiting)) {
			nbd_conn_proven(conn);
		}
		resend(conn);
	}
	blk_job_drop(job);
	nbd_conn_settle(conn);
}

static void retry(void *priv)
{
	struct nbd_conn *conn = priv;

	if (nbd_dial_new(&conn->disk->server, conn->loop, on_dialled, conn,
			 &conn->dial) < 0) {
		conn->dial = NULL;
		retry_later(conn);
	}
}

/* ---- queues ---- */

static bool is_awaited(struct list *head)
{
	struct nbd_req *r;

	list_for_each_entry(r, head, node) {
		if (blk_vq_is_stopping(r->req->q)) {
			return true;
		}
	}
	return false;
}

static void on_stop(void *priv)
{
	struct nbd_conn *conn = priv;

	if (conn->handle &&
	    (is_awaited(&conn->sent) || is_awaited(&conn->pool.waiting))) {
		say(conn, "hanging up",
		    "a queue stops, and it does not answer");
		conn->is_lost = true;
		nbd_conn_settle(conn);
	}
}

void nbd_cancel(struct blk_vq *q)
{
	struct nbd_conn *conn = nbd_conn_of(q);

	if (!conn->handle) {
		sort_out(conn, &conn->waiting);
	} else if (loop_timer_set(&conn->stop, STOP_NS) < 0) {
		conn->is_lost = true;
	}
	nbd_conn_settle(conn);
}

static struct nbd_conn *conn_new(struct blk_vq *q)
{
	struct nbd_conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		return NULL;
	}
	conn->blk = blk_vq_dev(q);
	conn->disk = blk_priv(conn->blk);
	conn->loop = blk_vq_loop(q);
	conn->fd = -1;
	list_init(&conn->sent);
	list_init(&conn->done);
	list_init(&conn->waiting);
	loop_timer_init(&conn->retry, conn->loop, retry, conn);
	loop_timer_init(&conn->give_up, conn->loop, give_up, conn);
	loop_timer_init(&conn->stop, conn->loop, on_stop, conn);
	blk_pool_init(&conn->pool, BOUNCE_BYTES, BOUNCE_BUFFERS);
	return conn;
}

static void conn_free(struct nbd_conn *conn)
{
	loop_timer_cancel(&conn->retry);
	loop_timer_cancel(&conn->give_up);
	loop_timer_cancel(&conn->stop);
	if (conn->dial) {
		blk_job_drop(&conn->dial->job);
	}
	if (conn->handle) {
		/* A goodbye that need not arrive. */
		(void)nbd_aio_disconnect(conn->handle, 0);
		hang_up(conn);
	}
	assert(list_is_empty(&conn->sent) && list_is_empty(&conn->waiting));
	blk_pool_fini(&conn->pool);
	free(conn);
}

/* The connection that open() made is the first queue's. */
static int conn_start(struct nbd_conn *conn)
{
	struct nbd_dial *first = conn->disk->first;
	int ret;

	if (!first) {
		retry_later(conn);
		return 0;
	}
	ret = adopt(conn, first);
	if (ret == 0) {
		conn->disk->first = NULL;
		blk_job_drop(&first->job);
	}
	return ret;
}

int nbd_queue_start(struct blk_vq *q)
{
	struct nbd_disk *disk = blk_priv(blk_vq_dev(q));
	struct nbd_vq *vq = blk_vq_priv(q);
	struct nbd_conn *conn = disk->is_shared ? disk->conn : NULL;
	int ret;

	if (!conn) {
		conn = conn_new(q);
		ret = conn ? conn_start(conn) : err(-ENOMEM, "out of memory");
		if (ret < 0) {
			free(conn);
			return ret;
		}
	}
	if (disk->is_shared) {
		disk->conn = conn;
	}
	conn->n_queues++;
	vq->conn = conn;
	return 0;
}

void nbd_queue_stop(struct blk_vq *q)
{
	struct nbd_vq *vq = blk_vq_priv(q);

	if (--vq->conn->n_queues == 0) {
		vq->conn->disk->conn = NULL;
		conn_free(vq->conn);
	}
	vq->conn = NULL;
}
