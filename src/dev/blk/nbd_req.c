/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end nbd: the way of a request.
 *
 * Theory of operation
 *
 * A request is sent in steps, one at a time; most have one.
 *
 *   read, write   as much as the server takes at once. NBD commands have one
 *                 buffer: a piece of the driver's memory that is long enough,
 *                 or the last one, is used in place; what is in small pieces
 *                 goes through a buffer of the connection, of which there are
 *                 BOUNCE_BUFFERS: requests wait for one in turn
 *   flush, discard, write zeroes   one command
 *   write through   FUA, or where the server has none a flush at the end
 *
 * libnbd tells of answers from within its calls, holding its lock: they are put
 * into a list, which nbd_conn_settle() looks at afterwards.
 *
 * A step that was not answered when the connection broke is sent again, after
 * those that came before it. If it was the flush that stands for FUA, the whole
 * request is: the server that comes back may not be the one that has the data.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>

#include "dev/blk/nbd.h"

/* Pieces from this length on are not copied. */
#define IN_PLACE_BYTES (64U << 10)

static void finish(struct nbd_req *r, int64_t res)
{
	struct nbd_conn *conn = nbd_conn_of(r->req->q);
	char *buffer = r->bounce;
	struct list *node;

	blk_done(r->req, res);
	node = buffer ? blk_pool_give(&conn->pool, buffer) : NULL;
	if (node) {
		struct nbd_req *next = list_entry(node, struct nbd_req, node);

		next->bounce = buffer;
		nbd_req_step(next);
	}
}

/* ---- when there is no connection ---- */

/* By seq: what was sent before comes before what was not. */
static void wait_for_connection(struct nbd_req *r)
{
	struct list *head = &nbd_conn_of(r->req->q)->waiting, *at = head;

	while (at->prev != head &&
	       list_entry(at->prev, struct nbd_req, node)->seq > r->seq) {
		at = at->prev;
	}
	list_add_tail(at, &r->node);
}

void nbd_req_return(struct nbd_req *r)
{
	if (nbd_conn_of(r->req->q)->has_given_up ||
	    blk_vq_is_stopping(r->req->q)) {
		finish(r, -EIO);
		return;
	}
	if (r->is_flushing) {
		r->is_flushing = false;
		r->done = 0;
		r->pos = (struct blk_pos){ 0 };
	}
	wait_for_connection(r);
}

/* ---- a step ---- */

/* libnbd is done with it, holding its lock. Return: 1: and may forget it. */
static int on_done(void *priv, int *error)
{
	struct nbd_req *r = priv;

	r->error = *error;
	list_del(&r->node);
	list_add_tail(&nbd_conn_of(r->req->q)->done, &r->node);
	return 1;
}

/* Chooses the memory of the next step. Return: NULL: it waits for a buffer, or
 * has failed. */
static char *prepare(struct nbd_req *r)
{
	const struct nbd_conn *conn = nbd_conn_of(r->req->q);
	uint64_t left =
		min_of(r->req->len - r->done, (uint64_t)conn->facts.max_bytes);
	struct iovec piece = blk_pos_piece(r->req, &r->pos);
	size_t len = align_down(min_of((uint64_t)piece.iov_len, left),
				conn->disk->block_bytes);

	r->is_bounced = len < min_of(left, (uint64_t)IN_PLACE_BYTES);
	if (!r->is_bounced) {
		r->step_bytes = len;
		return piece.iov_base;
	}
	if (!r->bounce) {
		r->bounce =
			blk_pool_take(&nbd_conn_of(r->req->q)->pool, &r->node);
	}
	if (!r->bounce) {
		if (list_is_empty(&r->node)) {
			finish(r, -ENOMEM);
		}
		return NULL;
	}
	r->step_bytes = min_of(left, (uint64_t)conn->pool.buffer_bytes);
	if (r->req->op == BLK_WRITE) {
		blk_pos_copy(r->req, r->pos, r->bounce, r->step_bytes);
	}
	return r->bounce;
}

static uint32_t flags_of(const struct nbd_req *r)
{
	const struct nbd_conn *conn = nbd_conn_of(r->req->q);
	uint32_t flags = 0;

	if (r->req->is_fua && conn->facts.can_fua) {
		flags |= LIBNBD_CMD_FLAG_FUA;
	}
	if (r->req->op == BLK_WRITE_ZEROES && !r->req->may_unmap) {
		flags |= LIBNBD_CMD_FLAG_NO_HOLE;
	}
	return flags;
}

/* Return: < 0: it was not sent, and on_done() will not be called. */
static int64_t transmit(struct nbd_req *r, char *buffer)
{
	struct nbd_handle *h = nbd_conn_of(r->req->q)->handle;
	nbd_completion_callback done = { .callback = on_done, .user_data = r };
	uint64_t at = r->req->offset + r->done;

	if (r->is_flushing) {
		return nbd_aio_flush(h, done, 0);
	}
	switch (r->req->op) {
	case BLK_READ:
		return nbd_aio_pread(h, buffer, r->step_bytes, at, done, 0);
	case BLK_WRITE:
		return nbd_aio_pwrite(h, buffer, r->step_bytes, at, done,
				      flags_of(r));
	case BLK_FLUSH:
		return nbd_aio_flush(h, done, 0);
	case BLK_DISCARD:
		return nbd_aio_trim(h, r->req->len, r->req->offset, done, 0);
	default:
		return nbd_aio_zero(h, r->req->len, r->req->offset, done,
				    flags_of(r));
	}
}

/* Does the server know this at all? */
static bool is_supported(const struct nbd_req *r)
{
	const struct nbd_facts *facts = &nbd_conn_of(r->req->q)->facts;
	const bool can[BLK_OP_N] = {
		[BLK_READ] = true,
		[BLK_WRITE] = true,
		[BLK_FLUSH] = facts->can_flush,
		[BLK_DISCARD] = facts->can_trim,
		[BLK_WRITE_ZEROES] = facts->can_zero,
	};

	return can[r->req->op];
}

/* libnbd did not take it. */
static void refused(struct nbd_conn *conn, struct nbd_req *r)
{
	if (nbd_aio_is_dead(conn->handle) || nbd_aio_is_closed(conn->handle)) {
		conn->is_lost = true;
		nbd_req_return(r);
	} else {
		finish(r, -EIO);
	}
}

void nbd_req_step(struct nbd_req *r)
{
	struct nbd_conn *conn = nbd_conn_of(r->req->q);
	bool has_data = r->req->op <= BLK_WRITE && !r->is_flushing;
	char *buffer = NULL;

	if (!conn->handle || conn->is_lost) {
		nbd_req_return(r);
		return;
	}
	if (!is_supported(r)) {
		/* Without a flush there is nothing to be flushed. */
		finish(r, r->req->op == BLK_FLUSH ? 0 : -EOPNOTSUPP);
		return;
	}
	if (has_data) {
		buffer = prepare(r);
		if (!buffer) {
			return;
		}
	}
	list_add_tail(&conn->sent, &r->node);
	if (transmit(r, buffer) < 0) {
		list_del(&r->node);
		refused(conn, r);
	}
}

/* ---- answers ---- */

/* What the protocol's error numbers mean to the driver. */
static int64_t result_of(int error)
{
	return error == ENOTSUP ? -EOPNOTSUPP : -error;
}

static void end_write(struct nbd_req *r)
{
	const struct nbd_facts *facts = &nbd_conn_of(r->req->q)->facts;

	if (r->req->is_fua && !facts->can_fua && facts->can_flush &&
	    !r->is_flushing) {
		r->is_flushing = true;
		nbd_req_step(r);
		return;
	}
	finish(r, 0);
}

static void end_step(struct nbd_req *r)
{
	if (r->is_bounced && r->req->op == BLK_READ) {
		blk_pos_copy(r->req, r->pos, r->bounce, r->step_bytes);
	}
	blk_pos_advance(r->req, &r->pos, r->step_bytes);
	r->done += r->step_bytes;
	if (r->done < r->req->len) {
		nbd_req_step(r);
	} else if (r->req->op == BLK_READ) {
		finish(r, (int64_t)r->done);
	} else {
		end_write(r);
	}
}

void nbd_req_answered(struct nbd_req *r)
{
	struct nbd_conn *conn = nbd_conn_of(r->req->q);

	/* libnbd's word for a connection that broke, the server's for its own
	 * end: another one may do it. */
	if (r->error == ENOTCONN || r->error == ESHUTDOWN) {
		conn->is_lost = true;
		nbd_req_return(r);
		return;
	}
	nbd_conn_proven(conn);
	if (r->error != 0) {
		finish(r, result_of(r->error));
	} else if (r->req->op <= BLK_WRITE && !r->is_flushing) {
		end_step(r);
	} else {
		end_write(r);
	}
}

/* ---- for the class ---- */

static void begin(struct nbd_conn *conn, struct blk_req *req)
{
	struct nbd_req *r = (struct nbd_req *)req->priv;

	*r = (struct nbd_req){ .req = req, .seq = conn->next_seq++ };
	list_init(&r->node);
	req->is_fua = req->is_fua ||
		      (conn->disk->is_write_through &&
		       (req->op == BLK_WRITE || req->op == BLK_WRITE_ZEROES));
	if (req->len == 0 && req->op != BLK_FLUSH) {
		finish(r, 0);
	} else {
		nbd_req_step(r);
	}
}

void nbd_submit(struct blk_vq *q, struct blk_req *const *reqs, unsigned int n)
{
	struct nbd_conn *conn = nbd_conn_of(q);

	for (unsigned int i = 0; i < n; i++) {
		begin(conn, reqs[i]);
	}
	nbd_conn_settle(conn);
}
