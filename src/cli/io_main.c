/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit-io: objects of `vdpakit` that use devices.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/io.h"

static const struct cli_command objects[] = {
	{ .name = "blk", .sub = io_blk_commands, .has_own_options = true },
	{ .name = "net", .sub = io_net_commands, .has_own_options = true },
	{ .name = "help",
	  .args = "[ OBJECT | --all ]",
	  .help = "print the usage; --all: of everything",
	  .max_args = 1,
	  .has_own_options = true,
	  .fn = cli_help },
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	return cli_main(objects, argc, argv);
}
