/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors: a negative errno, and the sentence that belongs to it.
 *
 * Theory of operation
 *
 * A function that fails returns -errno. Where the fault is known, err() sets
 * the thread's message and gives the code back, so that
 *
 *	return err(-ENOSPC, "iotlb: %u maps, limit %u", n, limit);
 *
 * is all that a check needs. Callers pass codes up unchanged; err_context()
 * puts what only they know in front. Whoever ends the chain (the command, the
 * RPC server, the log) reads err_text(). On the data path there is no text:
 * an error there is a counter and a flag.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/util.h"

#define ERR_TEXT_MAX 256

/* The function under err(). */
void err_set(int code, const char *fmt, ...) _printf_(2, 3);

/**
 * err() - set this thread's error message
 * @code: a negative errno
 * @fmt: printf format of one line that says what to do next
 *
 * A macro, so that the compiler knows the result to be negative: what a
 * function gives out on success would seem uninitialized to its callers.
 *
 * Return: @code
 */
#define err(code, ...)                           \
	({                                       \
		int err_code_ = (code);          \
		err_set(err_code_, __VA_ARGS__); \
		if (err_code_ >= 0)              \
			__builtin_unreachable(); \
		err_code_;                       \
	})

/**
 * err_context() - put words in front of this thread's error message
 * @code: what the callee returned; nothing happens unless it is negative
 * @fmt: printf format of the words; ": " follows them
 *
 * Return: @code
 */
int err_context(int code, const char *fmt, ...) _printf_(2, 3);

/**
 * err_text() - the message that belongs to @code
 * @code: what the last failed call of this thread returned
 *
 * Return: the message, or strerror(-code) when none was set for that code.
 *         Valid until the thread's next err().
 */
const char *err_text(int code);

/* What this thread's last err() said, whatever came of it; "" when there was
 * none. Valid as above. */
const char *err_last(void);

#endif
