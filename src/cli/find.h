/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the daemon and the preload library are: beside us in the build tree,
 * or where they were installed.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_FIND_H
#define CLI_FIND_H

#define FIND_PATH_MAX 4096

/* Return: 0; -ENOENT with a text that says where it was looked for. */
int find_daemon(char path[FIND_PATH_MAX]);
/* The same of the program behind `vdpakit blk`. */
int find_io(char path[FIND_PATH_MAX]);
/* The same; -EINVAL: its path cannot stand in LD_PRELOAD. */
int find_library(char path[FIND_PATH_MAX]);

#endif
