/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Results as iproute2's vdpa prints them.
 *
 * The text forms are made of the JSON: a key and its value, with a blank
 * between; lists on a line of their own. Blanks at line ends are iproute2's.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>

/* ---- JSON ---- */

static void print_scalar(FILE *f, const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY);

	(void)fputs(text ? text : "null", f); /* errors show at fclose() */
	free(text);
}

static void indent(FILE *f, bool is_pretty, unsigned int depth)
{
	if (is_pretty) {
		(void)fprintf(f, "\n%*s", (int)(4 * depth), "");
	}
}

static void print_value(FILE *f, const json_t *value, bool is_pretty,
			unsigned int depth);

static void print_object(FILE *f, const json_t *value, bool is_pretty,
			 unsigned int depth)
{
	const char *separator = "";
	json_t *obj = (json_t *)(uintptr_t)value; /* the iterator's type */
	const char *key;
	json_t *item;

	(void)fputc('{', f);
	json_object_foreach(obj, key, item) {
		json_t *name = json_string(key);

		(void)fputs(separator, f);
		indent(f, is_pretty, depth + 1);
		print_scalar(f, name);
		json_decref(name);
		(void)fputs(is_pretty ? ": " : ":", f);
		print_value(f, item, is_pretty, depth + 1);
		separator = ",";
	}
	if (json_object_size(value) > 0) {
		indent(f, is_pretty, depth);
	}
	(void)fputc('}', f);
}

/* Lists stay on one line; only objects in them break it. */
static void print_array(FILE *f, const json_t *value, bool is_pretty,
			unsigned int depth)
{
	size_t n = json_array_size(value);

	(void)fputs(is_pretty ? "[ " : "[", f);
	for (size_t i = 0; i < n; i++) {
		(void)fputs(i > 0 ? "," : "", f);
		print_value(f, json_array_get(value, i), is_pretty, depth + 1);
	}
	(void)fputs(is_pretty ? " ]" : "]", f);
}

static void print_value(FILE *f, const json_t *value, bool is_pretty,
			unsigned int depth)
{
	if (json_is_object(value)) {
		print_object(f, value, is_pretty, depth);
	} else if (json_is_array(value)) {
		print_array(f, value, is_pretty, depth);
	} else {
		print_scalar(f, value);
	}
}

void output_json(FILE *f, const json_t *value, bool is_pretty)
{
	print_value(f, value, is_pretty, 0);
	(void)fputc('\n', f);
}

/* ---- text ---- */

static void print_plain(FILE *f, const json_t *value)
{
	if (json_is_string(value)) {
		(void)fputs(json_string_value(value), f);
	} else {
		print_scalar(f, value);
	}
}

/* "link " is one of iproute2's keys; its text has one blank. */
static void print_key(FILE *f, const char *key)
{
	size_t len = strlen(key);

	while (len > 0 && key[len - 1] == ' ') {
		len--;
	}
	(void)fprintf(f, "%.*s", (int)len, key);
}

/* Features: numbers are bits without a name. */
static void print_list(FILE *f, const json_t *list)
{
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(list, i);

		(void)fputs(json_is_integer(item) ? " bit_" : " ", f);
		print_plain(f, item);
	}
}

static void print_list_line(FILE *f, const char *key, const json_t *list)
{
	(void)fprintf(f, "  %s", key);
	print_list(f, list);
	(void)fputc('\n', f);
}

static void print_keys(FILE *f, const char *word, json_t *keys)
{
	const char *key;
	json_t *row;

	json_object_foreach(keys, key, row) {
		(void)fprintf(f, "  %s %s %s: %s\n", word, key,
			      json_string_value(json_object_get(row, "value")),
			      json_string_value(json_object_get(row, "help")));
	}
}

void output_mgmtdevs(FILE *f, json_t *list)
{
	const char *name, *key;
	json_t *obj, *value;

	json_object_foreach(list, name, obj) {
		(void)fprintf(f, "%s: \n", name);
		json_object_foreach(obj, key, value) {
			if (json_is_array(value)) {
				print_list_line(f, key, value);
			} else if (json_is_object(value)) {
				print_keys(f,
					   strcmp(key, "own_keys") == 0
						   ? "own key"
						   : "key",
					   value);
			} else {
				(void)fprintf(f, "  %s ", key);
				print_plain(f, value);
				(void)fputc('\n', f);
			}
		}
	}
}

void output_devs(FILE *f, json_t *list)
{
	const char *name, *key;
	json_t *obj, *value;

	json_object_foreach(list, name, obj) {
		(void)fprintf(f, "%s:", name);
		json_object_foreach(obj, key, value) {
			(void)fprintf(f, " %s ", key);
			if (strcmp(key, "status") == 0) {
				(void)fprintf(f, "0x%x",
					      (unsigned int)json_integer_value(
						      value));
			} else {
				print_plain(f, value);
			}
		}
		(void)fputc('\n', f);
	}
}

static void print_pairs(FILE *f, json_t *obj)
{
	const char *key;
	json_t *value;

	json_object_foreach(obj, key, value) {
		if (!json_is_array(value)) {
			print_key(f, key);
			(void)fputc(' ', f);
			print_plain(f, value);
			(void)fputc(' ', f);
		}
	}
	(void)fputc('\n', f);
}

void output_configs(FILE *f, json_t *list)
{
	const char *name, *key;
	json_t *obj, *value;

	json_object_foreach(list, name, obj) {
		(void)fprintf(f, "%s: ", name);
		print_pairs(f, obj);
		json_object_foreach(obj, key, value) {
			if (json_is_array(value)) {
				print_list_line(f, key, value);
			}
		}
	}
}

void output_vstats(FILE *f, json_t *list)
{
	const char *name;
	json_t *obj;

	json_object_foreach(list, name, obj) {
		(void)fprintf(f, "%s: ", name);
		print_pairs(f, obj);
	}
}

void output_drivers(FILE *f, json_t *list)
{
	const char *name;
	json_t *obj;

	json_object_foreach(list, name, obj) {
		(void)fprintf(f, "%s: devices", name);
		print_list(f, json_object_get(obj, "devices"));
		(void)fputc('\n', f);
		print_keys(f, "key", json_object_get(obj, "keys"));
	}
}

void output_status(FILE *f, json_t *obj)
{
	const char *key;
	json_t *value;

	json_object_foreach(obj, key, value) {
		(void)fprintf(f, "%s ", key);
		print_plain(f, value);
		(void)fputc('\n', f);
	}
}
