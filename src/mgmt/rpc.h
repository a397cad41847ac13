/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON-RPC 2.0 server: one JSON object a line over a unix stream socket.
 *
 * Theory of operation
 *
 *   bytes -> line -> JSON -> request -> rpc_invoke() -> ... -> answer -> bytes
 *
 * A connection collects bytes until a newline. A line that is not a request is
 * answered with an error and forgotten; only one that is too long, or not
 * finished in time, ends the connection, because then nobody knows where the
 * next one begins. Answers may come in any order: the id says which is which.
 *
 * Peers are hostile. What one can make us hold is bounded: connections, bytes
 * of a line, depth of its JSON, answers that it does not read (reading stops
 * first, then the connection), calls that wait. A peer that says nothing costs
 * a descriptor; when all connections are taken, the one that has been silent
 * longest makes room. One callback does a bounded amount of work.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_RPC_H
#define MGMT_RPC_H

#include "mgmt/rpc_methods.h"

#define RPC_LINE_MAX	    (1U << 20)
#define RPC_OUT_MAX	    (4U << 20)
#define RPC_OUT_PAUSE	    (64U << 10)
#define RPC_CONNS_MAX	    64
#define RPC_PENDING_MAX	    16
#define RPC_DEPTH_MAX	    32
#define RPC_ID_MAX	    128
#define RPC_LINES_A_ROUND   64
#define RPC_LINE_TIMEOUT_NS 30000000000ULL
#define RPC_SILENT_NS	    10000000000ULL

struct rpc;

struct rpc_stats {
	unsigned int n_conns;
	uint64_t n_accepted;
	uint64_t n_refused; /* no connection was free */
	uint64_t n_cut; /* too long, too slow, or making room */
	uint64_t n_requests;
	uint64_t n_errors; /* answered with an error */
	uint64_t n_bad; /* of those: not a request at all */
};

/**
 * rpc_new() - serve a listening socket
 * @ctx: what the methods work on; must outlive the server and every call
 * @take_fd: a unix stream socket, listening; taken, also on failure
 * @ret: written on success
 *
 * Return: 0; -errno
 * Context: control thread, as all of it
 */
int rpc_new(struct rpc_ctx *ctx, int take_fd, struct rpc **ret);
/* Connections are closed; calls that are pending go on without an answer. */
struct rpc *rpc_free(struct rpc *rpc);
void rpc_get_stats(const struct rpc *rpc, struct rpc_stats *ret);

#endif
