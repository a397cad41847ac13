/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the JSON-RPC server share: a server with fake devices on a
 * simulated loop, so that time-outs take no time, and clients.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_TEST_MGMT_RPC_RIG_H
#define MGMT_TEST_MGMT_RPC_RIG_H

#include <sys/socket.h>
#include <sys/un.h>

#include "lib/test.h"
#include "mgmt/rpc.h"
#include "mgmt/test_fake.h"

#define MS     1000000ULL
#define SECOND (1000 * MS)
#define REQ(m) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" m "\"}\n"
#define CALL(m, p)                                                          \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" m "\",\"params\":{" p \
	"}}\n"
#define OK(r) "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":" r "}\n"

struct fixture {
	struct sim *sim;
	struct loop *control;
	struct loop_timer tick;
	struct instance *kit;
	struct fake fake;
	struct rpc_ctx ctx;
	struct rpc *rpc;
	struct sockaddr_un addr;
	socklen_t addr_len;
	unsigned int n_shutdowns;
	char events[512];
	char line[6 << 20];
};

int set_up(void **state);
int tear_down(void **state);
/* Lets @ns go by. */
void run(struct fixture *fx, uint64_t ns);

/* A connection, which does not block. */
int dial(struct fixture *fx);
void say(int fd, const char *text, size_t len);
/* One line of the answer, "" while there is none, NULL at the end. */
const char *hear(struct fixture *fx, int fd);
/* Says a line and hears the answer. */
const char *ask(struct fixture *fx, int fd, const char *text);
/* Of an answer; 0: it is none that says so. */
int error_code(const char *line);
void check_alive(struct fixture *fx, int fd);

/* In a table of tests. */
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
