/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listening sockets: our own, and those of systemd.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

#include <sys/types.h>

#include "base/util.h"

/* A socket that we made; the path is removed if it is still ours. */
struct listener {
	int fd; /* -1: none, or given away */
	char path[108];
	dev_t dev;
	ino_t ino;
};

/**
 * listen_new() - make a listening unix socket with mode 0600
 * @path: where; its folder is made when only that is missing
 * @type: SOCK_STREAM or SOCK_SEQPACKET
 * @ret: filled on success; end with listen_remove()
 *
 * A socket that nobody listens on any more is replaced. Two daemons that start
 * at the same moment do not steal each other's: the folder is locked meanwhile.
 *
 * Return: 0; -EADDRINUSE a living daemon has it; -EEXIST it is no socket;
 *         -ENAMETOOLONG; -errno
 */
int listen_new(const char *path, int type, struct listener *ret);

/* Closes the descriptor unless it was given away, removes the path. Takes a
 * zeroed or removed one. */
void listen_remove(struct listener *listener);

/**
 * listen_take_activated() - take over the sockets that systemd listens on
 * @ret_stream: a SOCK_STREAM socket, or -1
 * @ret_seqpacket: a SOCK_SEQPACKET socket, or -1
 *
 * They are told apart by their type. The variables are removed from the
 * environment.
 *
 * Return: sockets taken, 0..2; -EINVAL one that is neither, or two of a kind
 */
int listen_take_activated(int *ret_stream, int *ret_seqpacket);

#endif
