/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words and options of the commands: found in tables, and explained from them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "mgmt/devspec.h"

#define TABLE(t) (t), ARRAY_SIZE(t)

/* ---- options ---- */

static int set_socket(void *priv, const char *value)
{
	((struct cli *)priv)->socket_path = value;
	return 0;
}

static int set_json(void *priv, const char *value)
{
	((struct cli *)priv)->is_json = true;
	return 0;
}

static int set_pretty(void *priv, const char *value)
{
	((struct cli *)priv)->is_pretty = true;
	return 0;
}

static int set_version(void *priv, const char *value)
{
	((struct cli *)priv)->wants_version = true;
	return 0;
}

static int set_help(void *priv, const char *value)
{
	((struct cli *)priv)->wants_help = true;
	return 0;
}

static const struct arg_option options[] = {
	{ "socket", 's', "PATH",
	  "the daemon's socket ($VDPAKIT_RPC, " CLIENT_SOCKET_DEFAULT ")",
	  set_socket },
	{ "json", 'j', NULL, "print JSON", set_json },
	{ "pretty", 'p', NULL, "with -j: print it for people", set_pretty },
	{ "Version", 'V', NULL, "print the version", set_version },
	{ "version", 0, NULL, "the same", set_version },
	{ "help", 'h', NULL, "print the usage", set_help },
};

int cli_take(const struct arg_option *table, unsigned int n_table, int argc,
	     char **argv, void *priv)
{
	int n_left = 0, i = 0;

	while (i < argc) {
		int n = args_parse(table, n_table, argc - i, argv + i, priv);

		if (n < 0) {
			return n;
		}
		if (n > 0 && strcmp(argv[i + n - 1], "--") == 0) {
			i += n;
			break;
		}
		i += n;
		if (i < argc) {
			argv[n_left++] = argv[i++];
		}
	}
	while (i < argc) {
		argv[n_left++] = argv[i++];
	}
	return n_left;
}

static const struct cli_command *find(const struct cli_command *rows,
				      const char *word)
{
	for (const struct cli_command *c = rows; c->name; c++) {
		if (word_matches(word, c->name) ||
		    (c->alias && word_matches(word, c->alias))) {
			return c;
		}
	}
	return NULL;
}

/* ---- help ---- */

static void print_usage_rows(const char *prefix, const struct cli_command *rows)
{
	for (const struct cli_command *c = rows; c->name; c++) {
		char words[64];

		(void)snprintf(words, sizeof(words), "%s %s", prefix, c->name);
		if (c->sub) {
			print_usage_rows(words, c->sub);
			continue;
		}
		(void)printf("  %s%s%s%s%s\n      %s\n", words,
			     c->alias ? "|" : "", c->alias ? c->alias : "",
			     c->args ? " " : "", c->args ? c->args : "",
			     c->help);
	}
}

static void print_usage_of(const char *prefix, const struct cli_command *c)
{
	if (c->sub) {
		(void)printf("Usage:\n");
		print_usage_rows(prefix, c->sub);
	} else {
		(void)printf("Usage: %s%s%s\n\n%s\n", prefix,
			     c->args ? " " : "", c->args ? c->args : "",
			     c->help);
	}
	if (c->print_help) {
		c->print_help();
	}
}

static void print_overview(const struct cli *cli)
{
	(void)printf("Usage: vdpakit [ OPTIONS ] OBJECT { COMMAND | help }\n"
		     "where  OBJECT := {");
	for (const struct cli_command *c = cli->objects; c->name; c++) {
		(void)printf("%s %s", c > cli->objects ? " |" : "", c->name);
	}
	(void)printf(" }\n\nOptions:\n");
	args_print_help(stdout, TABLE(options));
}

static void print_usage_of_object(const struct cli_command *c)
{
	char prefix[32];

	(void)snprintf(prefix, sizeof(prefix), "vdpakit %s", c->name);
	print_usage_of(prefix, c);
}

int cli_help(const struct cli *cli, int argc, char **argv)
{
	const struct cli_command *object;

	if (argc == 0) {
		print_overview(cli);
		return 0;
	}
	if (strcmp(argv[0], "--all") != 0) {
		object = find(cli->objects, argv[0]);
		if (!object) {
			return err(-EINVAL,
				   "there is no object '%s'; `vdpakit "
				   "help` lists them",
				   argv[0]);
		}
		print_usage_of_object(object);
		return 0;
	}
	print_overview(cli);
	for (const struct cli_command *c = cli->objects; c->name; c++) {
		(void)printf("\n");
		print_usage_of_object(c);
	}
	return 0;
}

/* ---- finding the command ---- */

static int call(const struct cli *cli, const char *prefix,
		const struct cli_command *c, int argc, char **argv)
{
	int r;

	if (argc < c->min_args) {
		return err(-EINVAL, "%s: a word is missing: %s %s", prefix + 8,
			   c->name, c->args);
	}
	if (argc > c->max_args) {
		return err(-EINVAL, "%s: '%s' is one word too many", prefix + 8,
			   argv[c->max_args]);
	}
	r = c->fn(cli, argc, argv);
	return err_context(r, "%s", prefix + 8);
}

static bool is_help(const char *word)
{
	return strcmp(word, "help") == 0;
}

/* Those that have options of their own have this one, too. */
static bool is_help_option(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool wants_help(const struct cli *cli, const struct cli_command *c,
		       int argc, char **argv)
{
	return cli->wants_help || (argc > 0 && is_help_option(argv[0])) ||
	       (argc == 1 && c->max_args != 1 && is_help(argv[0]));
}

/* Follows the words down the tables. */
static int dispatch(const struct cli *cli, const struct cli_command *c,
		    int argc, char **argv)
{
	char prefix[64];

	(void)snprintf(prefix, sizeof(prefix), "vdpakit %s", c->name);
	while (c->sub) {
		const struct cli_command *next = &c->sub[0];
		size_t len = strlen(prefix);

		if (cli->wants_help || (argc > 0 && is_help(argv[0]))) {
			print_usage_of(prefix, c);
			return 0;
		}
		if (argc > 0) {
			next = find(c->sub, argv[0]);
		}
		if (!next) {
			return err(-EINVAL,
				   "%s: there is no command '%s'; `%s help` "
				   "lists them",
				   prefix + 8, argv[0], prefix);
		}
		argc -= argc > 0;
		argv++;
		(void)snprintf(prefix + len, sizeof(prefix) - len, " %s",
			       next->name);
		c = next;
	}
	if (!c->has_own_help && wants_help(cli, c, argc, argv)) {
		print_usage_of(prefix, c);
		return 0;
	}
	return call(cli, prefix, c, argc, argv);
}

static int run_words(struct cli *cli, int argc, char **argv)
{
	const struct cli_command *object;

	if (argc == 0) {
		print_overview(cli);
		return 0;
	}
	object = find(cli->objects, argv[0]);
	if (!object) {
		return err(-EINVAL,
			   "there is no object '%s'; `vdpakit help` lists them",
			   argv[0]);
	}
	if (!object->has_own_options) {
		argc = cli_take(TABLE(options), argc - 1, argv + 1, cli);
		if (argc < 0) {
			return argc;
		}
		argc++;
	}
	return dispatch(cli, object, argc - 1, argv + 1);
}

/* Options are taken out of the words, and somebody else may be to have them. */
static char **copy_words(int argc, char **argv)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));

	if (copy) {
		memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	}
	return copy;
}

int cli_main(const struct cli_command *objects, int argc, char **argv)
{
	_cleanup_free_ char **words = copy_words(argc, argv);
	const char *path = getenv("VDPAKIT_RPC");
	struct cli cli = {
		.objects = objects,
		.argv = words ? words : argv,
		.socket_path = path && path[0] ? path : CLIENT_SOCKET_DEFAULT,
	};
	int r = args_parse(TABLE(options), argc - 1, argv + 1, &cli);

	if (r >= 0 && cli.wants_version) {
		(void)printf("vdpakit %s\n", VDPAKIT_VERSION);
		r = 0;
	} else if (r >= 0) {
		r = run_words(&cli, argc - 1 - r, argv + 1 + r);
	}
	if (r < 0) {
		(void)fprintf(stderr, "vdpakit: %s\n", err_text(r));
		r = 1;
	}
	if (fflush(stdout) != 0) {
		(void)fprintf(stderr, "vdpakit: output: %s\n", strerror(errno));
		r = r ? r : 1;
	}
	return r;
}
