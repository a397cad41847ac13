/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers, sizes and addresses from text.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define NAME_MAX_CHARS 63

static int parse_number(const char *what, const char *text, int base,
			const char **ret_end, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	/* strtoull takes leading blanks and signs; a number has neither. */
	if (!isxdigit((unsigned char)text[0])) {
		return err(-EINVAL, "%s: '%s' is not a number", what, text);
	}
	errno = 0;
	value = strtoull(text, &end, base);
	if (end == text) {
		return err(-EINVAL, "%s: '%s' is not a number", what, text);
	}
	if (errno == ERANGE) {
		return err(-ERANGE, "%s: %s does not fit in 64 bits", what,
			   text);
	}
	*ret_end = end;
	*ret_value = value;
	return 0;
}

static int expect_end(const char *what, const char *text, const char *end)
{
	if (*end != '\0') {
		return err(-EINVAL, "%s: '%s' has '%s' after the number", what,
			   text, end);
	}
	return 0;
}

int parse_u64(const char *what, const char *text, uint64_t max,
	      uint64_t *ret_value)
{
	bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *end;
	uint64_t value;
	int ret;

	ret = parse_number(what, text, is_hex ? 16 : 10, &end, &value);
	if (ret < 0) {
		return ret;
	}
	ret = expect_end(what, text, end);
	if (ret < 0) {
		return ret;
	}
	if (value > max) {
		return err(-ERANGE, "%s: %s is above the limit of %llu", what,
			   text, (unsigned long long)max);
	}
	*ret_value = value;
	return 0;
}

int parse_hex64(const char *what, const char *text, uint64_t *ret_value)
{
	const char *end;
	uint64_t value;
	int ret;

	ret = parse_number(what, text, 16, &end, &value);
	if (ret < 0) {
		return ret;
	}
	ret = expect_end(what, text, end);
	if (ret < 0) {
		return ret;
	}
	*ret_value = value;
	return 0;
}

int parse_size(const char *what, const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "kMGT";
	unsigned int shift = 0;
	const char *end;
	uint64_t value;
	int ret;

	ret = parse_number(what, text, 10, &end, &value);
	if (ret < 0) {
		return ret;
	}
	if (*end != '\0') {
		const char *suffix = strchr(suffixes, *end == 'K' ? 'k' : *end);

		if (!suffix || end[1] != '\0') {
			return err(-EINVAL,
				   "%s: '%s' is not a size such as 64M", what,
				   text);
		}
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (value > UINT64_MAX >> shift) {
		return err(-ERANGE, "%s: %s does not fit in 64 bits", what,
			   text);
	}
	*ret_bytes = value << shift;
	return 0;
}

int parse_bool(const char *what, const char *text, bool *ret_value)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{ "on", true },	  { "true", true },   { "1", true },
		{ "off", false }, { "false", false }, { "0", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i].word) == 0) {
			*ret_value = words[i].value;
			return 0;
		}
	}
	return err(-EINVAL, "%s: '%s' is neither on nor off", what, text);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int parse_mac(const char *what, const char *text, uint8_t ret_mac[6])
{
	uint8_t mac[6];

	for (unsigned int i = 0; i < 6; i++) {
		const char *t = text + (size_t)i * 3;
		int high = hex_digit(t[0]);
		int low = high < 0 ? -1 : hex_digit(t[1]);

		if (low < 0 || t[2] != (i < 5 ? ':' : '\0')) {
			return err(-EINVAL,
				   "%s: '%s' is not like 52:54:00:12:34:56",
				   what, text);
		}
		mac[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(ret_mac, mac, sizeof(mac));
	return 0;
}

bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > NAME_MAX_CHARS || name[0] == '.') {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) &&
		    !strchr("-_.:", name[i])) {
			return false;
		}
	}
	return true;
}

unsigned int json_nesting(const char *text, size_t len)
{
	unsigned int depth = 0, max = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			i += c == '\\';
			in_string = c != '"';
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			max = max_of(max, ++depth);
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return max;
}
