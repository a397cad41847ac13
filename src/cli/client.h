/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command's side of the RPC socket: one call at a time.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>

#include "base/util.h"

#define CLIENT_SOCKET_DEFAULT "/run/vdpakit/rpc.sock"

/**
 * client_connect() - reach a daemon
 * @path: of its RPC socket
 *
 * Return: a descriptor, the caller's; -errno with a text that says what to do
 */
int client_connect(const char *path);

/**
 * client_call() - call a method and wait for its answer
 * @fd: of client_connect()
 * @method: its name
 * @params: an object, borrowed; NULL: none
 * @ret: the result, a new reference; may be NULL
 *
 * Return: 0; -errno as the daemon said, with its text; -EPROTO not a daemon of
 *         ours; -ECONNRESET it ended
 */
int client_call(int fd, const char *method, json_t *params, json_t **ret);

#endif
