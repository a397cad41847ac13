/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end nbd: what its files share.
 *
 *   nbd.c       keys, opening, what the server can do
 *   nbd_dial.c  connecting, on a thread of its own
 *   nbd_conn.c  the life of a connection: lost, found again
 *   nbd_req.c   the way of a request
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_NBD_H
#define DEV_BLK_NBD_H

#include <libnbd.h>

#include "base/err.h"
#include "base/log.h"
#include "dev/blk/job.h"
#include "dev/blk/pieces.h"

/* ---- the server ---- */

/* Where it is, and how long to try; set by keys. */
struct nbd_server {
	char uri[256];
	char path[256]; /* of a unix socket, instead */
	char export[256];
	uint32_t connect_s;
};

/**
 * struct nbd_facts - what a server said of the export, once it was connected
 * @block_bytes: smallest unit; a power of two
 * @preferred_bytes: 0: not said
 * @max_bytes: most of one read or write
 */
struct nbd_facts {
	uint64_t size_bytes;
	uint32_t block_bytes;
	uint32_t preferred_bytes;
	uint32_t max_bytes;
	bool is_read_only;
	bool can_flush;
	bool can_fua;
	bool can_trim;
	bool can_zero;
	bool can_multi_conn;
};

/**
 * struct nbd_dial - one attempt to connect
 * @handle: the result; NULL: there is none, for the reason in ret and text.
 *          Who takes it sets it to NULL
 */
struct nbd_dial {
	struct blk_job job;
	struct nbd_server server;
	void *priv; /* of job.fn */
	struct nbd_handle *handle;
	struct nbd_facts facts;
	int ret;
	char text[ERR_TEXT_MAX];
};

/* Starts one; @loop, @fn, @priv as in struct blk_job. Return: 0; -errno */
int nbd_dial_new(const struct nbd_server *server, struct loop *loop,
		 void (*fn)(struct blk_job *job), void *priv,
		 struct nbd_dial **ret);

/* ---- connections ---- */

struct nbd_disk {
	/* set before or by open(), then read-only */
	struct nbd_server server;
	uint32_t reconnect_s;
	bool has_reconnect_s;
	bool is_write_through;
	bool is_shared; /* one connection for all queues */
	uint32_t block_bytes;
	/* made by open(), taken by the connection of queue 0 */
	struct nbd_dial *first;

	/* any thread, atomic */
	uint64_t size_bytes;

	/* owner worker only */
	struct nbd_conn *conn; /* is_shared */
};

/**
 * struct nbd_conn - one connection, or what waits for it
 *
 * One worker's only. @handle is NULL while there is no connection: requests
 * wait then, until has_given_up.
 */
struct nbd_conn {
	struct blk_dev *blk;
	struct nbd_disk *disk;
	struct loop *loop;
	unsigned int n_queues;

	struct nbd_handle *handle;
	struct nbd_facts facts;
	int fd; /* another number for its socket */
	struct loop_watch *watch;
	unsigned int events;
	bool is_lost; /* found out, to be dealt with by nbd_conn_settle() */
	bool is_settling;

	struct nbd_dial *dial;
	struct loop_timer retry;
	uint64_t backoff_ns;
	struct loop_timer give_up;
	bool has_given_up;
	struct loop_timer stop; /* queues that stop wait for this at most */

	struct log_limit log;

	uint64_t next_seq;
	struct list sent;
	struct list done; /* answered, or returned by a lost connection */
	struct list waiting; /* for a connection, by seq */
	struct blk_pool pool;
};

struct nbd_vq {
	struct nbd_conn *conn;
};

int nbd_queue_start(struct blk_vq *q);
void nbd_queue_stop(struct blk_vq *q);
void nbd_cancel(struct blk_vq *q);

/* Deals with all that has happened: answers, a connection that was lost, what
 * it waits for next. At the end of each callback. */
void nbd_conn_settle(struct nbd_conn *conn);

/* The server has answered: it works. */
void nbd_conn_proven(struct nbd_conn *conn);

/* ---- requests ---- */

/**
 * struct nbd_req - a request, which is sent in one or more steps
 * @seq: the order in which they came
 * @error: of the step that is over
 * @is_flushing: what was written is being flushed, instead of FUA
 */
struct nbd_req {
	struct blk_req *req;
	struct list node; /* sent, done, waiting, or waits for a buffer */
	uint64_t seq;
	uint64_t done; /* bytes */
	struct blk_pos pos;
	size_t step_bytes;
	char *bounce;
	int error;
	bool is_bounced; /* this step */
	bool is_flushing;
};

void nbd_submit(struct blk_vq *q, struct blk_req *const *reqs, unsigned int n);
/* Sends the next step, or lets it wait for what it needs. */
void nbd_req_step(struct nbd_req *r);
/* A step was answered. */
void nbd_req_answered(struct nbd_req *r);
/* The connection that it was sent on is gone: it will be sent again, or fails. */
void nbd_req_return(struct nbd_req *r);

static inline struct nbd_conn *nbd_conn_of(const struct blk_vq *q)
{
	const struct nbd_vq *vq = blk_vq_priv(q);

	return vq->conn;
}

#endif
