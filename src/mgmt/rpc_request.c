/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON-RPC 2.0 server: from a line to an answer.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/parse.h"
#include "mgmt/objects_json.h"
#include "mgmt/rpc_internal.h"

/* One call in progress; the method's callback owns it. */
struct request {
	struct rpc_conn *conn; /* NULL: the peer has gone */
	struct list node;
	json_t *id; /* NULL: a notification, which is not answered */
};

/* ---- answers ---- */

/* Messages may quote what a peer sent: then bytes may be cut or wrong. */
static json_t *text_to_json(const char *text)
{
	char buf[ERR_TEXT_MAX];
	json_t *s = json_string(text);

	if (s) {
		return s;
	}
	(void)snprintf(buf, sizeof(buf), "%s", text);
	for (char *p = buf; *p; p++) {
		if (!isprint((unsigned char)*p)) {
			*p = '?';
		}
	}
	return json_string(buf);
}

static void send_json(struct rpc_conn *conn, json_t *take_obj)
{
	char *line = take_obj ? json_dumps(take_obj, JSON_COMPACT) : NULL;

	json_decref(take_obj);
	if (!line) {
		/* Out of memory: better no peer than one without an answer. */
		conn->is_dead = true;
		return;
	}
	rpc_conn_send(conn, line, strlen(line));
	rpc_conn_send(conn, "\n", 1);
	free(line);
}

static json_t *envelope(json_t *id, const char *key, json_t *take_value)
{
	json_t *obj = json_object();
	bool ok = json_put(obj, "jsonrpc", json_string("2.0"));

	ok &= json_put(obj, "id", id ? json_incref(id) : json_null());
	ok &= json_put(obj, key, take_value);
	return json_if(ok, obj);
}

void rpc_answer_error(struct rpc_conn *conn, json_t *id, int code,
		      const char *text)
{
	json_t *error = json_object();
	bool ok = json_put(error, "code", json_integer(code));

	ok &= json_put(error, "message", text_to_json(text));
	conn->rpc->stats.n_errors++;
	send_json(conn, envelope(id, "error", json_if(ok, error)));
}

static void refuse_line(struct rpc_conn *conn, json_t *id, int code,
			const char *text)
{
	conn->rpc->stats.n_bad++;
	rpc_answer_error(conn, id, code, text);
}

/* ---- requests ---- */

void rpc_forget_requests(struct rpc_conn *conn)
{
	struct request *req, *tmp;

	list_for_each_entry_safe(req, tmp, &conn->requests, node) {
		list_del(&req->node);
		req->conn = NULL;
	}
	conn->n_pending = 0;
}

static void on_done(void *priv, int code, const char *text, json_t *result)
{
	struct request *req = priv;
	struct rpc_conn *conn = req->conn;

	if (conn) {
		list_del(&req->node);
		conn->n_pending--;
		if (code != 0 && !req->id) {
			conn->rpc->stats.n_errors++;
		} else if (code != 0) {
			rpc_answer_error(conn, req->id, code, text);
		} else if (req->id) {
			send_json(conn, envelope(req->id, "result",
						 json_incref(result)));
		}
		rpc_conn_flush(conn);
	}
	json_decref(req->id);
	free(req);
}

static bool is_id(const json_t *id)
{
	return !id || json_is_null(id) || json_is_number(id) ||
	       (json_is_string(id) && json_string_length(id) <= RPC_ID_MAX);
}

static void take_request(struct rpc_conn *conn, json_t *obj)
{
	json_t *id = json_object_get(obj, "id");
	json_t *params = json_object_get(obj, "params");
	const char *version =
		json_string_value(json_object_get(obj, "jsonrpc"));
	const char *method = json_string_value(json_object_get(obj, "method"));
	struct request *req;

	if (!is_id(id)) {
		refuse_line(conn, NULL, RPC_E_REQUEST,
			    "id must be a number or a short string");
		return;
	}
	if (!version || strcmp(version, "2.0") != 0 || !method) {
		refuse_line(conn, id, RPC_E_REQUEST,
			    "a request has \"jsonrpc\":\"2.0\" and \"method\"");
		return;
	}
	if (params && !json_is_object(params)) {
		refuse_line(conn, id, RPC_E_PARAMS,
			    "params must be an object: they go by name");
		return;
	}
	if (conn->n_pending >= RPC_PENDING_MAX) {
		rpc_answer_error(conn, id, EBUSY,
				 "too many requests wait for an answer");
		return;
	}
	req = calloc(1, sizeof(*req));
	if (!req) {
		rpc_answer_error(conn, id, ENOMEM, "out of memory");
		return;
	}
	conn->rpc->stats.n_requests++;
	conn->n_pending++;
	req->conn = conn;
	req->id = json_incref(id);
	list_add_tail(&conn->requests, &req->node);
	rpc_invoke(conn->rpc->ctx, method, params, conn->is_admin, on_done,
		   req);
}

void rpc_take_line(struct rpc_conn *conn, const char *line, size_t len)
{
	char text[ERR_TEXT_MAX];
	json_error_t error;
	json_t *obj;

	if (len == 0 || (len == 1 && line[0] == '\r')) {
		return;
	}
	if (len > RPC_LINE_MAX) {
		refuse_line(conn, NULL, RPC_E_REQUEST, "the line is too long");
		return;
	}
	if (json_nesting(line, len) > RPC_DEPTH_MAX) {
		refuse_line(conn, NULL, RPC_E_PARSE, "nested too deeply");
		return;
	}
	obj = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!obj) {
		(void)snprintf(text, sizeof(text), "not JSON: %s", error.text);
		refuse_line(conn, NULL, RPC_E_PARSE, text);
		return;
	}
	if (json_is_object(obj)) {
		take_request(conn, obj);
	} else {
		refuse_line(conn, NULL, RPC_E_REQUEST,
			    "a request is an object; one a line");
	}
	json_decref(obj);
}
