/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINES_PER_SECOND 10

static const char *const level_names[] = {
	[LOG_LEVEL_ERR] = "err",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};
_Static_assert(ARRAY_SIZE(level_names) == LOG_LEVEL_N, "one name a level");

static void stderr_sink(enum log_level level, const char *line)
{
	/* Nobody is left to tell when standard error is gone. */
	(void)fprintf(stderr, "%s: %s\n", level_names[level], line);
}

static _Atomic(log_sink_fn) current_sink = stderr_sink;
static _Atomic(enum log_level) current_max = LOG_LEVEL_WARN;

void log_set_sink(log_sink_fn sink, enum log_level max)
{
	atomic_store(&current_sink, sink ? sink : stderr_sink);
	atomic_store(&current_max, max);
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
	for (unsigned int i = 0; i < LOG_LEVEL_N; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[512];
	va_list ap;
	int n;

	if (level > atomic_load_explicit(&current_max, memory_order_relaxed)) {
		return;
	}
	n = snprintf(line, sizeof(line), "%s: ", tag);
	if (n < 0 || (size_t)n >= sizeof(line)) {
		n = 0;
	}
	va_start(ap, fmt);
	(void)vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap); /* cuts */
	va_end(ap);
	atomic_load (&current_sink)(level, line);
	errno = saved_errno;
}

bool log_allowed(struct log_limit *limit)
{
	struct timespec ts;
	uint64_t now_ns;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now_ns = (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
	if (now_ns - limit->window_start_ns >= 1000000000ULL) {
		limit->window_start_ns = now_ns;
		limit->n_in_window = 0;
	}
	if (limit->n_in_window < LINES_PER_SECOND) {
		limit->n_in_window++;
		return true;
	}
	limit->n_dropped++;
	return false;
}
