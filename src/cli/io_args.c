/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options and results that the commands of vdpakit-io share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "base/parse.h"
#include "cli/io.h"
#include "cli/output.h"

#define NS_PER_S 1000000000ULL

int io_set_json(void *priv, const char *value)
{
	(void)value;
	((struct io_format *)priv)->is_json = true;
	return 0;
}

int io_set_pretty(void *priv, const char *value)
{
	(void)value;
	((struct io_format *)priv)->is_pretty = true;
	return 0;
}

int io_set_uint(const char *what, const char *value, uint64_t min, uint64_t max,
		unsigned int *ret)
{
	uint64_t n;
	int r = parse_u64(what, value, max, &n);

	if (r == 0 && n < min) {
		r = err(-ERANGE, "%s: %s is too few", what, value);
	}
	if (r == 0) {
		*ret = (unsigned int)n;
	}
	return r;
}

int io_check_words(int n, int min, int max, const char *what)
{
	if (n < min || n > max) {
		return err(-EINVAL, "%s are needed", what);
	}
	return 0;
}

int io_print_info(const struct io_format *format, json_t *obj)
{
	if (!obj) {
		return err(-ENOMEM, "out of memory");
	}
	if (format->is_json) {
		output_json(stdout, obj, format->is_pretty);
	} else {
		output_status(stdout, obj);
	}
	json_decref(obj);
	return 0;
}

static void print_pairs(json_t *obj)
{
	const char *key;
	json_t *value;

	json_object_foreach(obj, key, value) {
		if (json_is_real(value)) {
			(void)printf("%s=%.1f ", key, json_real_value(value));
		} else {
			(void)printf(
				"%s=%lld ", key,
				json_is_integer(value)
					? (long long)json_integer_value(value)
					: json_is_true(value));
		}
	}
	(void)printf("\n");
}

int io_print_result(const struct io_format *format, const char *text,
		    json_t *obj)
{
	if (!obj) {
		return err(-ENOMEM, "out of memory");
	}
	if (format->is_json) {
		output_json(stdout, obj, format->is_pretty);
	} else {
		(void)printf("%s\n", text);
		print_pairs(obj);
	}
	json_decref(obj);
	return 0;
}

uint64_t io_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}
