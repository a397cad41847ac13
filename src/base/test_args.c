/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of option tables.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "base/args.h"
#include "base/err.h"
#include "lib/test.h"

struct seen {
	char text[128];
};

static int note(struct seen *seen, const char *what, const char *value)
{
	size_t n = strlen(seen->text);

	(void)snprintf(seen->text + n, sizeof(seen->text) - n, "%s=%s;", what,
		       value ? value : "-");
	return 0;
}

static int set_json(void *priv, const char *value)
{
	return note(priv, "json", value);
}

static int set_socket(void *priv, const char *value)
{
	return note(priv, "socket", value);
}

static int set_dev(void *priv, const char *value)
{
	return strcmp(value, "bad") == 0 ? err(-ERANGE, "bad dev")
					 : note(priv, "dev", value);
}

static const struct arg_option table[] = {
	{ "json", 'j', NULL, "print JSON", set_json },
	{ "socket", 's', "PATH", "where", set_socket },
	{ "dev", 0, "SPEC", "which", set_dev },
};

static int parse(const char *line, struct seen *seen)
{
	char copy[128], *words[16], *save = NULL;
	int n = 0;

	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w;
	     w = strtok_r(NULL, " ", &save)) {
		words[n++] = w;
	}
	seen->text[0] = '\0';
	return args_parse(table, ARRAY_SIZE(table), n, words, seen);
}

static void test_args_parse_takes_every_form(void **state)
{
	static const struct {
		const char *line;
		int taken;
		const char *seen;
	} cases[] = {
		{ "", 0, "" },
		{ "word -j", 0, "" },
		{ "- -j", 0, "" },
		{ "-1 -j", 0, "" },
		{ "-j word", 1, "json=-;" },
		{ "--json --socket a b", 3, "json=-;socket=a;" },
		{ "--socket=a=b c", 1, "socket=a=b;" },
		{ "--socket= c", 1, "socket=;" },
		{ "-sa -s b -jsc x", 4, "socket=a;socket=b;json=-;socket=c;" },
		{ "-jj", 1, "json=-;json=-;" },
		{ "-j -- -j", 2, "json=-;" },
		{ "--dev -x", 2, "dev=-x;" },
		{ "-s --", 2, "socket=--;" },
	};
	struct seen seen;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(cases[i].line, &seen), cases[i].taken);
		assert_string_equal(seen.text, cases[i].seen);
	}
}

static void test_args_parse_refuses_the_rest(void **state)
{
	static const struct {
		const char *line;
		int want;
		const char *text;
	} cases[] = {
		{ "--jso", -EINVAL, "there is no option --jso" },
		{ "--jsonx", -EINVAL, "there is no option --jsonx" },
		{ "-x", -EINVAL, "there is no option -x" },
		{ "-jx", -EINVAL, "there is no option -x" },
		{ "--json=1", -EINVAL, "--json takes no value" },
		{ "--socket", -EINVAL, "--socket takes a value: PATH" },
		{ "-js", -EINVAL, "-s takes a value: PATH" },
		{ "--dev bad", -ERANGE, "bad dev" },
	};
	struct seen seen;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(cases[i].line, &seen), cases[i].want);
		assert_non_null(strstr(err_text(cases[i].want), cases[i].text));
	}
}

static void test_args_print_help_has_a_line_each(void **state)
{
	char text[512] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	assert_non_null(f);
	args_print_help(f, table, ARRAY_SIZE(table));
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, "  -j, --json                 print JSON\n"
				  "  -s, --socket PATH          where\n"
				  "      --dev SPEC             which\n");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_args_parse_takes_every_form),
	cmocka_unit_test(test_args_parse_refuses_the_rest),
	cmocka_unit_test(test_args_print_help_has_a_line_each),
};

TEST_MAIN("args")
