/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix sockets with a path: listening on one, connecting to one.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BASE_UNIX_H
#define BASE_UNIX_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/util.h"

#define UNIX_PATH_MAX 108
/* How long a dead process's socket may go on listening, and how often somebody
 * may hang up on us that passes for one. */
#define UNIX_WAIT_MS 5000
#define UNIX_TRIES   10

/* A socket that we made; the path is removed if it is still ours. */
struct unix_listener {
	int fd; /* -1: none, or given away */
	char path[UNIX_PATH_MAX];
	dev_t dev;
	ino_t ino;
};

/**
 * unix_listen() - make a listening unix socket
 * @path: where; its folder is made when only that is missing
 * @type: SOCK_STREAM or SOCK_SEQPACKET
 * @mode: of the path: who may connect
 * @ret: filled on success; end with unix_listen_end()
 *
 * A socket that nobody listens on any more is replaced, where a process has died
 * as soon as the kernel has let go of it. Two processes that
 * start at the same moment do not steal each other's: the folder is locked
 * meanwhile. The descriptor does not block.
 *
 * Return: 0; -EADDRINUSE somebody listens there; -EEXIST it is no socket;
 *         -ENAMETOOLONG; -errno
 */
int unix_listen(const char *path, int type, mode_t mode,
		struct unix_listener *ret);

/**
 * unix_check_free() - does nobody listen there?
 * @path, @type: as above
 * @wait_ms: at most, for the socket of a process that has died
 *
 * Return: 0; -EADDRINUSE; -EEXIST it is no socket; -ENAMETOOLONG; -errno
 */
int unix_check_free(const char *path, int type, int wait_ms);

/* Closes the descriptor unless it was given away, removes the path. Takes a
 * zeroed or ended one. */
void unix_listen_end(struct unix_listener *listener);

/**
 * unix_connect() - connect without blocking
 * @path: of a listening socket
 * @type: SOCK_STREAM or SOCK_SEQPACKET
 *
 * Return: a non-blocking descriptor; -EAGAIN its queue is full; -ENOENT;
 *         -ECONNREFUSED; -ENAMETOOLONG; -errno
 */
int unix_connect(const char *path, int type);

/* Could it do to us what it likes? It is root, or who we are. */
bool unix_uid_is_trusted(uid_t uid);
/* Whoever connected, or listened. */
bool unix_peer_is_trusted(int fd);

#endif
