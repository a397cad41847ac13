/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of a command line.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/args.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"

struct parser {
	const struct arg_option *table;
	unsigned int n;
	int argc;
	char *const *argv;
	void *priv;
	int pos;
};

static int take(struct parser *p, const struct arg_option *o, const char *word,
		const char *value)
{
	if (!o) {
		return err(-EINVAL, "there is no option %s; --help lists them",
			   word);
	}
	if (!o->value && value) {
		return err(-EINVAL, "--%s takes no value", o->name);
	}
	if (o->value && !value) {
		if (p->pos == p->argc) {
			return err(-EINVAL, "%s takes a value: %s", word,
				   o->value);
		}
		value = p->argv[p->pos++];
	}
	return o->set(p->priv, value);
}

static int take_long(struct parser *p, const char *word)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct arg_option *o = NULL;

	for (unsigned int i = 0; i < p->n && !o; i++) {
		if (strlen(p->table[i].name) == len &&
		    memcmp(p->table[i].name, name, len) == 0) {
			o = &p->table[i];
		}
	}
	return take(p, o, word, equals ? equals + 1 : NULL);
}

static int take_letters(struct parser *p, const char *word)
{
	for (const char *at = word + 1; *at; at++) {
		const char shown[] = { '-', *at, '\0' };
		const struct arg_option *o = NULL;
		bool has_rest;
		int r;

		for (unsigned int i = 0; i < p->n && !o; i++) {
			if (p->table[i].letter == *at) {
				o = &p->table[i];
			}
		}
		has_rest = o && o->value && at[1] != '\0';
		r = take(p, o, shown, has_rest ? at + 1 : NULL);
		if (r < 0 || has_rest) {
			return r;
		}
	}
	return 0;
}

/* "-" is standard input, and "-1" a number. */
static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0' &&
	       !isdigit((unsigned char)word[1]);
}

int args_parse(const struct arg_option *table, unsigned int n, int argc,
	       char *const *argv, void *priv)
{
	struct parser p = { table, n, argc, argv, priv, 0 };

	while (p.pos < argc) {
		const char *word = argv[p.pos];
		int r;

		if (!is_option(word)) {
			break;
		}
		p.pos++;
		if (strcmp(word, "--") == 0) {
			break;
		}
		r = word[1] == '-' ? take_long(&p, word)
				   : take_letters(&p, word);
		if (r < 0) {
			return r;
		}
	}
	return p.pos;
}

void args_print_help(FILE *f, const struct arg_option *table, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct arg_option *o = &table[i];
		char left[64];

		(void)snprintf(left, sizeof(left), "%s%c%s--%s%s%s",
			       o->letter ? "-" : "",
			       o->letter ? o->letter : ' ',
			       o->letter ? ", " : "   ", o->name,
			       o->value ? " " : "", o->value ? o->value : "");
		(void)fprintf(f, "  %-26s %s\n", left, o->help);
	}
}
