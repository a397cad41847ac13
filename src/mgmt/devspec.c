/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words that describe a device.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/devspec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/parse.h"

#define WORDS_MAX 64

static int as_text(const char *key, const char *value, json_t **ret)
{
	*ret = json_string(value);
	return *ret ? 0 : err(-EINVAL, "%s: not UTF-8", key);
}

static int as_u16(const char *key, const char *value, json_t **ret)
{
	uint64_t v;
	int r = parse_u64(key, value, UINT16_MAX, &v);

	*ret = r == 0 ? json_integer((json_int_t)v) : NULL;
	return r;
}

static int as_mac(const char *key, const char *value, json_t **ret)
{
	uint8_t mac[6];
	int r = parse_mac(key, value, mac);

	*ret = r == 0 ? json_string(value) : NULL;
	return r;
}

static int as_hex(const char *key, const char *value, json_t **ret)
{
	uint64_t v;
	int r = parse_hex64(key, value, &v);

	*ret = r == 0 ? json_string(value) : NULL;
	return r;
}

/* The words of iproute2, in the order in which it tries them. */
static const struct {
	const char *key;
	int (*convert)(const char *key, const char *value, json_t **ret);
} known[] = {
	{ "name", as_text },   { "mgmtdev", as_text },
	{ "mac", as_mac },     { "mtu", as_u16 },
	{ "max_vqp", as_u16 }, { "device_features", as_hex },
	{ "wait", as_u16 }, /* ours */
};

bool word_matches(const char *word, const char *whole)
{
	return word[0] != '\0' && strncmp(word, whole, strlen(word)) == 0;
}

static int put(json_t *obj, const char *key, json_t *take_value)
{
	if (json_object_get(obj, key)) {
		json_decref(take_value);
		return err(-EINVAL, "%s is given twice", key);
	}
	if (json_object_set_new(obj, key, take_value) < 0) {
		return err(-ENOMEM, "%s: out of memory, or not UTF-8", key);
	}
	return 0;
}

int devspec_take_param(json_t *obj, const char *key, const char *value)
{
	json_t *params = json_object_get(obj, "params");
	json_t *text;
	int r;

	if (!params) {
		params = json_object();
		if (json_object_set_new(obj, "params", params) < 0) {
			return err(-ENOMEM, "out of memory");
		}
	}
	r = as_text(key, value, &text);
	return r < 0 ? r : put(params, key, text);
}

static int take_pair(json_t *obj, const char *word, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		json_t *converted;
		int r;

		if (!word_matches(word, known[i].key)) {
			continue;
		}
		r = known[i].convert(known[i].key, value, &converted);
		return r < 0 ? r : put(obj, known[i].key, converted);
	}
	return devspec_take_param(obj, word, value);
}

typedef int (*take_fn)(json_t *obj, const char *word, const char *value);

/* KEY VALUE, or KEY=VALUE where @has_equals; up to the word @end. Return: words
 * taken, or -errno */
static int take_pairs(json_t *obj, int argc, char *const *argv, bool has_equals,
		      const char *end, take_fn take)
{
	int r = 0, i = 0;

	while (i < argc && r == 0 && !(end && strcmp(argv[i], end) == 0)) {
		char *equals = has_equals ? strchr(argv[i], '=') : NULL;

		if (equals) {
			*equals = '\0';
			r = take(obj, argv[i], equals + 1);
			i++;
		} else if (i + 1 == argc) {
			r = err(-EINVAL, "%s: a value is missing", argv[i]);
		} else {
			r = take(obj, argv[i], argv[i + 1]);
			i += 2;
		}
	}
	return r < 0 ? r : i;
}

/* What follows the word "bind": DRIVER, and its keys. */
static int take_bind(json_t *obj, int argc, char *const *argv, bool has_equals)
{
	json_t *bind;

	if (argc == 0) {
		return err(-EINVAL, "bind: a bus driver is missing: `vdpakit "
				    "driver show` lists them");
	}
	bind = json_pack("{s:s}", "driver", argv[0]);
	if (!bind || json_object_set_new(obj, "bind", bind) < 0) {
		return err(-EINVAL, "bind: not UTF-8");
	}
	return take_pairs(bind, argc - 1, argv + 1, has_equals, NULL,
			  devspec_take_param);
}

static int take_words(json_t *obj, int argc, char *const *argv, bool has_equals)
{
	int n = take_pairs(obj, argc, argv, has_equals, "bind", take_pair);

	if (n < 0 || n == argc) {
		return min_of(n, 0);
	}
	n++;
	n = take_bind(obj, argc - n, argv + n, has_equals);
	return min_of(n, 0);
}

int devspec_take_bind(json_t *obj, json_t **ret)
{
	json_t *bind = json_object_get(obj, "bind");

	*ret = NULL;
	if (!bind) {
		return 0;
	}
	if (json_object_set(bind, "name", json_object_get(obj, "name")) < 0) {
		return err(-ENOMEM, "out of memory");
	}
	*ret = json_incref(bind);
	(void)json_object_del(obj, "bind"); /* it is there */
	return 0;
}

static int check_required(const json_t *obj)
{
	if (!json_object_get(obj, "name")) {
		return err(-EINVAL, "name NAME is missing");
	}
	if (!json_object_get(obj, "mgmtdev")) {
		return err(-EINVAL, "mgmtdev MGMTDEV is missing: `vdpakit "
				    "mgmtdev show` lists them");
	}
	return 0;
}

/* Hands @obj out, or drops it. */
static int finish(int r, json_t *take_obj, json_t **ret)
{
	if (r == 0) {
		r = check_required(take_obj);
	}
	if (r < 0) {
		json_decref(take_obj);
		return r;
	}
	*ret = take_obj;
	return 0;
}

int devspec_from_words(int argc, char *const *argv, json_t **ret)
{
	json_t *obj = json_object();

	if (!obj) {
		return err(-ENOMEM, "out of memory");
	}
	return finish(take_words(obj, argc, argv, false), obj, ret);
}

/* Cuts @text into words in place. Return: how many; -EINVAL */
static int split(char *text, char *words[WORDS_MAX])
{
	char *in = text, *out = text;
	int n = 0;

	for (;;) {
		char quote = '\0';

		in += strspn(in, " \t\n");
		if (*in == '\0') {
			return n;
		}
		if (n == WORDS_MAX) {
			return err(-EINVAL, "more than %d words", WORDS_MAX);
		}
		words[n++] = out;
		for (; *in && (quote || !strchr(" \t\n", *in)); in++) {
			if (quote ? *in == quote : strchr("'\"", *in) != NULL) {
				quote = quote ? '\0' : *in;
			} else {
				*out++ = *in;
			}
		}
		if (quote) {
			return err(-EINVAL, "a quotation mark %c is missing",
				   quote);
		}
		in += *in != '\0';
		*out++ = '\0';
	}
}

int devspec_from_text(const char *text, json_t **ret)
{
	_cleanup_free_ char *copy = strdup(text);
	char *words[WORDS_MAX];
	json_t *obj;
	int n, r;

	if (!copy) {
		return err(-ENOMEM, "out of memory");
	}
	n = split(copy, words);
	if (n < 0) {
		return n;
	}
	if (n < 2) {
		return err(-EINVAL,
			   "'%s' is not like \"NAME MGMTDEV [KEY "
			   "VALUE]...\"",
			   text);
	}
	obj = json_object();
	if (!obj) {
		return err(-ENOMEM, "out of memory");
	}
	r = take_pair(obj, "name", words[0]);
	if (r == 0) {
		r = take_pair(obj, "mgmtdev", words[1]);
	}
	if (r == 0) {
		r = take_words(obj, n - 2, words + 2, true);
	}
	return finish(r, obj, ret);
}

static int mgmtdev_from(int argc, char *const *argv, bool has_equals,
			json_t **ret)
{
	json_t *obj;
	int r;

	if (argc < 2) {
		return err(-EINVAL, "MGMTDEV and keys to change are needed");
	}
	obj = json_pack("{s:s}", "mgmtdev", argv[0]);
	if (!obj) {
		return err(-EINVAL, "a word is not UTF-8");
	}
	r = take_pairs(obj, argc - 1, argv + 1, has_equals, NULL,
		       devspec_take_param);
	if (r < 0) {
		json_decref(obj);
		return r;
	}
	*ret = obj;
	return 0;
}

int devspec_mgmtdev_from_words(int argc, char *const *argv, json_t **ret)
{
	return mgmtdev_from(argc, argv, false, ret);
}

int devspec_mgmtdev_from_text(const char *text, json_t **ret)
{
	_cleanup_free_ char *copy = strdup(text);
	char *words[WORDS_MAX];
	int n;

	if (!copy) {
		return err(-ENOMEM, "out of memory");
	}
	n = split(copy, words);
	return n < 0 ? n : mgmtdev_from(n, words, true, ret);
}
