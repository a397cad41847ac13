/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon around one vdpakit: its front ends, and when it ends.
 *
 * Theory of operation
 *
 *   host_new()    loops, bus, built-ins
 *   host_add()    --dev, before anybody can look
 *   host_serve()  sockets; from now on clients are heard
 *   host_run()    until SIGTERM, SIGINT, SIGHUP, `shutdown`, or, for a private
 *                 daemon, the end of its owner
 *   host_free()   front ends first, then the instance
 *
 * A private daemon belongs to one process (`vdpakit run`), which holds the
 * other end of a socket. It says there that it is ready, or why not, and takes
 * the socket's end for its own: whatever becomes of the owner, nothing is left
 * behind. It also removes the folder of its sockets.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DAEMON_HOST_H
#define DAEMON_HOST_H

#include "base/util.h"
#include "loop/loop.h"

#define HOST_TAG "vdpakitd"

struct host;

/* @private_fd: -1: not private; taken. */
struct host_options {
	const char *rpc_path;
	const char *preload_path;
	unsigned int n_workers;
	enum loop_kind loop;
	int private_fd;
};

int host_new(const struct host_options *options, struct host **ret);
struct host *host_free(struct host *host);

/**
 * host_add() - make a device
 * @spec: "NAME MGMTDEV [KEY VALUE]..."
 *
 * Return: 0; -errno as dev.add
 */
int host_add(struct host *host, const char *spec);

/* Changes a management device: "MGMTDEV KEY=VALUE...". Return: 0; -errno */
int host_set(struct host *host, const char *spec);

/**
 * host_serve() - open the sockets, or take those of socket activation
 *
 * Return: 0; as unix_listen() and listen_take_activated()
 */
int host_serve(struct host *host);

/* Tells whoever waits that we are ready, and runs. Return: 0; -errno */
int host_run(struct host *host);

#endif
