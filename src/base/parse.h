/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers, sizes and addresses from text: all of it or nothing.
 *
 * Every function takes the whole string, sets err() and returns -EINVAL
 * (not that kind of text) or -ERANGE (out of bounds). Outputs are written on
 * success only.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include "base/util.h"

/**
 * parse_u64() - a number, decimal or 0x...
 * @what: its name in the error message
 * @text: what to parse
 * @max: the largest value that is allowed
 * @ret_value: written on success
 *
 * Return: 0; -EINVAL not a number; -ERANGE above @max
 */
int parse_u64(const char *what, const char *text, uint64_t max,
	      uint64_t *ret_value);

/* The same for hexadecimal with or without 0x, as iproute2 reads features. */
int parse_hex64(const char *what, const char *text, uint64_t *ret_value);

/* The same for bytes, with a suffix k, M, G or T (powers of 1024). */
int parse_size(const char *what, const char *text, uint64_t *ret_bytes);

/* "on", "off", "true", "false", "1", "0". */
int parse_bool(const char *what, const char *text, bool *ret_value);

/* Six hexadecimal bytes with colons: 52:54:00:12:34:56. */
int parse_mac(const char *what, const char *text, uint8_t ret_mac[6]);

/**
 * name_is_valid() - may this name a device?
 * @name: 1 to 63 letters, digits, '-', '_', '.' or ':'; no leading dot
 */
bool name_is_valid(const char *name);

/* How deep brackets nest in JSON, outside of strings: to be asked before it is
 * given to a parser that recurses. Whatever else is wrong is the parser's to
 * find. */
unsigned int json_nesting(const char *text, size_t len);

#endif
