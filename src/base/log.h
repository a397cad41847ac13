/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: one line an event, each with the tag of its object.
 *
 * err: we failed. warn: we went on regardless ("ignoring ..."). info: the life
 * of devices, one line an event. debug: off unless asked for. Library code
 * does not log above debug; the daemon and the command do.
 *
 * The sink is the only process-wide state of the project.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/util.h"

enum log_level {
	LOG_LEVEL_ERR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_N,
};

/* Called from any thread; @line has no newline. */
typedef void (*log_sink_fn)(enum log_level level, const char *line);

/**
 * log_set_sink() - choose where lines go and which are made at all
 * @sink: receives every line; NULL: standard error
 * @max: the most talkative level that is still wanted (default: warn)
 */
void log_set_sink(log_sink_fn sink, enum log_level max);

/**
 * log_level_parse() - the level that a name stands for
 * @name: "err", "warn", "info" or "debug"
 * @ret_level: written on success
 *
 * Return: 0; -EINVAL unknown name
 */
int log_level_parse(const char *name, enum log_level *ret_level);

/**
 * log_line() - write one line; use the macros below
 * @level: what kind of line it is
 * @tag: the object it is about, such as "net0.vq1"
 * @fmt: printf format, no newline
 *
 * errno is kept. Context: any thread, never the data path
 */
void log_line(enum log_level level, const char *tag, const char *fmt, ...)
	_printf_(3, 4);

#define log_err(tag, ...)   log_line(LOG_LEVEL_ERR, tag, __VA_ARGS__)
#define log_warn(tag, ...)  log_line(LOG_LEVEL_WARN, tag, __VA_ARGS__)
#define log_info(tag, ...)  log_line(LOG_LEVEL_INFO, tag, __VA_ARGS__)
#define log_debug(tag, ...) log_line(LOG_LEVEL_DEBUG, tag, __VA_ARGS__)

/**
 * struct log_limit - lets a burst of lines through, then one a second
 *
 * Zero-initialise; one a source of lines that a peer can provoke.
 */
struct log_limit {
	uint64_t window_start_ns;
	unsigned int n_in_window;
	unsigned int n_dropped;
};

/**
 * log_allowed() - may this source write a line now?
 * @limit: of the source; one thread at a time
 *
 * Return: true for at most 10 lines in any second
 */
bool log_allowed(struct log_limit *limit);

#endif
