/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The management methods: one table that checks, documents and calls.
 *
 * Theory of operation
 *
 * A method is a row: name, what it does, its parameters with type and limit,
 * and a handler. rpc_invoke() looks the row up, checks every parameter against
 * it and calls the handler; rpc.describe prints the table. Who carries the
 * call, a socket or a function call in the daemon, is not known here.
 *
 * A handler may finish later (dev.del waits for the device's consumers), so
 * the answer always goes to a callback, called exactly once.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_RPC_METHODS_H
#define MGMT_RPC_METHODS_H

#include <jansson.h>

#include "base/util.h"
#include "mgmt/instance.h"
#include "mgmt/objects.h"

/* Error codes of JSON-RPC 2.0; ours are errno numbers, which are positive. */
enum rpc_error {
	RPC_E_PARSE = -32700,
	RPC_E_REQUEST = -32600,
	RPC_E_METHOD = -32601,
	RPC_E_PARAMS = -32602,
};

/**
 * struct rpc_host - the program around the methods
 *
 * @status: adds its keys to the answer of `status`; true when all were set.
 *          May be NULL
 * @shutdown: ends the program, soon; NULL: nobody may
 */
struct rpc_host {
	bool (*status)(void *priv, json_t *obj);
	void (*shutdown)(void *priv);
	void *priv;
};

struct rpc_ctx {
	struct instance *kit;
	struct rpc_host host;
	struct mgmt_events events;
	uint64_t start_ns;
};

/**
 * rpc_done_fn - takes the answer of a call
 * @priv: of rpc_invoke()
 * @code: 0, an errno number, or one of enum rpc_error
 * @text: of an error; NULL otherwise
 * @result: of a success, borrowed; NULL otherwise
 */
typedef void (*rpc_done_fn)(void *priv, int code, const char *text,
			    json_t *result);

/**
 * rpc_invoke() - call a method
 * @ctx: must outlive every call that is pending
 * @method: its name
 * @params: an object, or NULL for none; borrowed
 * @is_admin: may the caller change things?
 * @done: called once, before or after this returns
 * @priv: its argument
 *
 * Context: control thread
 */
void rpc_invoke(struct rpc_ctx *ctx, const char *method, json_t *params,
		bool is_admin, rpc_done_fn done, void *priv);

#endif
