/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors: a negative errno, and the sentence that belongs to it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static __thread struct {
	int code;
	char text[ERR_TEXT_MAX];
} last;

void err_set(int code, const char *fmt, ...)
{
	int saved_errno = errno;
	va_list ap;

	assert(code < 0);
	va_start(ap, fmt);
	(void)vsnprintf(last.text, sizeof(last.text), fmt, ap); /* may cut */
	va_end(ap);
	last.code = code;
	errno = saved_errno;
}

int err_context(int code, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX];
	va_list ap;
	int n;

	if (code >= 0) {
		return code;
	}
	(void)snprintf(old, sizeof(old), "%s", err_text(code));
	va_start(ap, fmt);
	n = vsnprintf(last.text, sizeof(last.text), fmt, ap);
	va_end(ap);
	/* What does not fit is cut off, as everywhere in this file. */
	if (n >= 0 && (size_t)n < sizeof(last.text) &&
	    snprintf(last.text + n, sizeof(last.text) - (size_t)n, ": %s",
		     old) < 0) {
		last.text[n] = '\0';
	}
	last.code = code;
	return code;
}

const char *err_text(int code)
{
	return last.code == code && code < 0 ? last.text : strerror(-code);
}

const char *err_last(void)
{
	return last.text;
}
