/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command vdpakit: objects, their commands, options.
 *
 * Theory of operation
 *
 *   vdpakit [OPTIONS] OBJECT [COMMAND [WORDS...]]
 *
 * Words are looked up in tables, each with the words below it, so that parsing
 * and help come from one place. A word may be shortened; the first row that it
 * begins wins, as in iproute2. A command turns its words into the parameters of
 * a method, calls the daemon, and prints the result: in iproute2's text form,
 * or with -j in its JSON.
 *
 * Whatever goes wrong is one line on standard error, and exit status 1.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/args.h"

struct cli_command;

/* What the options before the object said. */
struct cli {
	const struct cli_command *objects;
	char **argv; /* of main() */
	const char *socket_path;
	bool is_json;
	bool is_pretty;
	bool wants_help;
	bool wants_version;
};

/**
 * struct cli_command - a word, and what it stands for
 *
 * @name, @alias: either; @alias may be NULL
 * @args: what follows, for the help
 * @help: one line; NULL: @sub have their own
 * @min_args, @max_args: words that must and may follow
 * @fn: exit status, or -errno with err_text(). NULL: see @sub
 * @sub: words below it, up to one without a name; the first one is meant when
 *       none is given
 * @print_help: prints more than the rows do; may be NULL
 * @has_own_options: those of the program are taken in front of it only
 * @has_own_help: "help" and --help are its own affair, too
 */
struct cli_command {
	const char *name;
	const char *alias;
	const char *args;
	const char *help;
	int min_args;
	int max_args;
	int (*fn)(const struct cli *cli, int argc, char **argv);
	const struct cli_command *sub;
	void (*print_help)(void);
	bool has_own_options;
	bool has_own_help;
};

#define CLI_ANY_ARGS 1000

/* words.c */

/* main() of a command with these objects, up to one without a name. */
int cli_main(const struct cli_command *objects, int argc, char **argv);
/* The object "help". */
int cli_help(const struct cli *cli, int argc, char **argv);

/* Takes options of a table out of argv[0..argc), wherever they stand in front of
 * "--". Return: words left; -EINVAL; what a set function returned */
int cli_take(const struct arg_option *table, unsigned int n_table, int argc,
	     char **argv, void *priv);

/* commands.c: what asks the daemon. */
extern const struct cli_command cli_mgmtdev_commands[];
extern const struct cli_command cli_dev_commands[];
extern const struct cli_command cli_driver_commands[];
int cli_status(const struct cli *cli, int argc, char **argv);

/* run.c */
int cli_run(const struct cli *cli, int argc, char **argv);
void cli_run_help(void);

/* io_exec.c: becomes vdpakit-io, with the words of main(). Return: -errno */
int cli_exec_io(const struct cli *cli, int argc, char **argv);

/* probe.c */
int cli_probe(const struct cli *cli, int argc, char **argv);

#endif
