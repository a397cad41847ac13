/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit-io: what `vdpakit blk` and `vdpakit net` run.
 *
 * Theory of operation
 *
 * These commands use devices themselves, by libvdpakit's public functions and
 * nothing else. They are a program of their own, so that commands which only
 * talk to a daemon do not load what devices and their back ends need: vdpakit
 * runs it with the words that it was given.
 *
 *   io_main.c   objects
 *   io_dev.c    from the word DEVICE to a device
 *   io_name.c   devices of a daemon, by name
 *   blk*.c      disks
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_IO_H
#define CLI_IO_H

#include <vdpakit/client.h>

#include "base/args.h"
#include "cli/cli.h"

/**
 * io_dev_add() - make the device that a word means
 * @cli: whose daemon
 * @kit: bus
 * @word: "MGMTDEV KEY=VALUE..."; or a path: of a vhost-vdpa node, or of the
 *        socket of a vhost-user back end; or the name of a daemon's device
 * @kind: "blk" or "net", for what does not say it itself
 * @name: for the new device
 *
 * Return: 0; -errno
 */
int io_dev_add(const struct cli *cli, struct vdpakit *kit, const char *word,
	       const char *kind, const char *name);

/**
 * io_name_find() - the path by which a daemon's device can be reached
 * @ret_path: to be freed
 *
 * May run this program again, with the preload library.
 *
 * Return: 0; -ENOENT, -ECONNREFUSED there is no daemon; -ENODEV it has no such
 *         device, or shows it to nobody; -errno
 */
int io_name_find(const struct cli *cli, const char *name, char **ret_path);

/* Is the word a DEVICE, rather than a file's path? */
bool io_is_device(const char *word);

/* err() for what a function of the library returned. Return: @code */
int io_err(int code);

/* blk.c */
extern const struct cli_command io_blk_commands[];

#endif
