/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of a command line, from a table that parses and documents them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BASE_ARGS_H
#define BASE_ARGS_H

#include <stdio.h>

#include "base/util.h"

/**
 * struct arg_option - a row: --name, -letter, or both
 *
 * @letter: 0: none
 * @value: what it takes, for the help: "PATH"; NULL: nothing
 * @set: called for each time it is given; 0, or -errno with err_text()
 */
struct arg_option {
	const char *name;
	char letter;
	const char *value;
	const char *help;
	int (*set)(void *priv, const char *value);
};

/**
 * args_parse() - take the options in front of the first other word
 * @table, @n: what there is
 * @argc, @argv: words; the first one is looked at, too
 * @priv: of the set functions
 *
 * Takes --name VALUE, --name=VALUE, -l VALUE, -lVALUE and -xyz. "--" ends them, as
 * do "-" and negative numbers.
 *
 * Return: words taken; -EINVAL with a text that names the option; what a set
 *         function returned
 */
int args_parse(const struct arg_option *table, unsigned int n, int argc,
	       char *const *argv, void *priv);

/* One line an option, indented by two blanks. */
void args_print_help(FILE *f, const struct arg_option *table, unsigned int n);

#endif
