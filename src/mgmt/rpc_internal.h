/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON-RPC server: what its two files share. rpc.c has connections and
 * lines, rpc_request.c what stands in a line.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_RPC_INTERNAL_H
#define MGMT_RPC_INTERNAL_H

#include "base/list.h"
#include "mgmt/rpc.h"

struct rpc {
	struct rpc_ctx *ctx;
	struct loop *loop;
	int fd;
	int spare_fd; /* see shed_one() */
	struct loop_watch *watch;
	struct list conns;
	struct rpc_stats stats;
};

/**
 * struct rpc_conn - one peer
 *
 * @in, @in_len, @in_size: bytes of lines that were not taken yet; of them
 *                         @in_scanned hold no newline
 * @out: answers; those up to @out_off are sent
 * @timer: runs while a half line or an answer waits for the peer
 * @n_pending: @requests that wait for somebody
 * @is_eof: it will send no more
 * @is_closing: to be closed once the answers are sent
 * @is_dead: to be freed when the callback ends
 * @is_busy: in on_conn()
 * @has_more: complete lines are left for the next round
 */
struct rpc_conn {
	struct rpc *rpc;
	struct list node;
	int fd;
	struct loop_watch *watch;
	struct loop_timer timer;
	uint64_t heard_ns;
	char *in;
	size_t in_len, in_size, in_scanned;
	char *out;
	size_t out_off, out_len, out_size;
	struct list requests;
	unsigned int n_pending;
	bool is_admin;
	bool is_eof;
	bool is_closing;
	bool is_dead;
	bool is_busy;
	bool has_more;
};

/* Queues bytes; a connection that holds too many dies. */
void rpc_conn_send(struct rpc_conn *conn, const char *line, size_t len);
/* After answers from outside of on_conn(): may free @conn. */
void rpc_conn_flush(struct rpc_conn *conn);

/* One line without its newline. */
void rpc_take_line(struct rpc_conn *conn, const char *line, size_t len);
/* @id: borrowed; NULL: JSON null. */
void rpc_answer_error(struct rpc_conn *conn, json_t *id, int code,
		      const char *text);
/* Its requests will be answered to nobody. */
void rpc_forget_requests(struct rpc_conn *conn);

#endif
