/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command vdpakit: its objects.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/cli.h"

static const struct cli_command objects[] = {
	{ .name = "mgmtdev", .sub = cli_mgmtdev_commands },
	{ .name = "dev", .sub = cli_dev_commands },
	{ .name = "driver", .sub = cli_driver_commands },
	{ .name = "status", .help = "how the daemon is", .fn = cli_status },
	{ .name = "run",
	  .args = "[ OPTIONS ] [--] COMMAND [ ARG ]...",
	  .help = "run COMMAND with devices of its own",
	  .max_args = CLI_ANY_ARGS,
	  .has_own_options = true, /* and then somebody else's */
	  .fn = cli_run,
	  .print_help = cli_run_help },
	{ .name = "blk",
	  .args = "{ info | read | write | copy | bench } ...",
	  .help = "use a disk, whatever is behind it; `vdpakit blk help` has "
		  "more",
	  .max_args = CLI_ANY_ARGS,
	  .has_own_options = true,
	  .has_own_help = true,
	  .fn = cli_exec_io },
	{ .name = "net",
	  .args = "{ info | send | dump | bench | tap } ...",
	  .help = "use a network card, whatever is behind it; `vdpakit net "
		  "help` has more",
	  .max_args = CLI_ANY_ARGS,
	  .has_own_options = true,
	  .has_own_help = true,
	  .fn = cli_exec_io },
	{ .name = "probe",
	  .help = "what this machine offers, as key=value",
	  .fn = cli_probe },
	{ .name = "help",
	  .args = "[ OBJECT | --all ]",
	  .help = "print the usage; --all: of everything",
	  .max_args = 1,
	  .has_own_options = true, /* --all */
	  .fn = cli_help },
	{ .name = NULL },
};

int main(int argc, char **argv)
{
	return cli_main(objects, argc, argv);
}
