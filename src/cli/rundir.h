/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The private folder of a `vdpakit run`.
 *
 * Theory of operation
 *
 * A folder holds a file "lock", locked by whoever uses it: `run`, and the
 * daemon, which inherits the descriptor. The lock goes when the last of both
 * is gone, however it went; so a folder whose lock can be had is stale, and the
 * next `run` removes it. Only what a run puts there is removed, by name, never
 * a tree.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_RUNDIR_H
#define CLI_RUNDIR_H

#include "base/util.h"

#define RUNDIR_PATH_MAX 108 /* of a socket */

/* @lock_fd: O_CLOEXEC; for the daemon to inherit */
struct rundir {
	char path[RUNDIR_PATH_MAX];
	int lock_fd;
};

/**
 * rundir_new() - make one, and remove those that are stale
 * @ret: filled on success
 *
 * In $XDG_RUNTIME_DIR, or in /tmp where that is missing or too long.
 *
 * Return: 0; -errno
 */
int rundir_new(struct rundir *ret);
/* Removes it, if the daemon has not done so. */
void rundir_remove(struct rundir *dir);
/* "PATH/NAME", at most RUNDIR_PATH_MAX bytes with the NUL. */
void rundir_file(const struct rundir *dir, const char *name, char *buf);

#endif
