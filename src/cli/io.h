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
 *   io_args.c   options and results that commands share
 *   blk*.c      disks
 *   net*.c      network cards
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_IO_H
#define CLI_IO_H

#include <jansson.h>

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

/* ---- options and results: io_args.c ---- */

/* How results are printed. */
struct io_format {
	bool is_json;
	bool is_pretty;
};

/* Rows of -j and -p, for tables whose argument begins with a struct io_format.
 */
#define IO_FORMAT_OPTIONS                                            \
	{ "json", 'j', NULL, "print JSON", io_set_json },            \
	{                                                            \
		"pretty", 'p', NULL, "with -j: print it for people", \
			io_set_pretty                                \
	}
int io_set_json(void *priv, const char *value);
int io_set_pretty(void *priv, const char *value);

/* A number of @min to @max. Return: 0; -EINVAL; -ERANGE */
int io_set_uint(const char *what, const char *value, uint64_t min, uint64_t max,
		unsigned int *ret);
/* Are there @min to @max words? Return: 0; -EINVAL */
int io_check_words(int n, int min, int max, const char *what);

/* Both take @obj; NULL: out of memory. Return: 0; -ENOMEM */

/* "key value", one a line; or JSON. */
int io_print_info(const struct io_format *format, json_t *obj);
/* A line for people, a line with key=value; or JSON. */
int io_print_result(const struct io_format *format, const char *text,
		    json_t *obj);

uint64_t io_now_ns(void);

/* blk.c, net.c */
extern const struct cli_command io_blk_commands[];
extern const struct cli_command io_net_commands[];

#endif
