/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Netlink messages.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/nlmsg.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"

/* Of the type field of an attribute: the rest are flags. */
#define ATTR_TYPE_MASK	 0x3fff
#define ATTR_FLAG_NESTED 0x8000

static void *reserve(struct nl_writer *w, size_t len)
{
	size_t padded = NL_ALIGN(len);
	void *at = w->buf + w->len;

	if (w->is_full || padded < len || padded > w->size - w->len) {
		w->is_full = true;
		return NULL;
	}
	memset(at, 0, padded);
	w->len += padded;
	return at;
}

size_t nl_begin(struct nl_writer *w, const struct nl_head *head)
{
	size_t off = w->len;
	uint8_t *at = reserve(w, NL_HDR_SIZE);

	if (at) {
		memcpy(at + 4, &head->type, 2);
		memcpy(at + 6, &head->flags, 2);
		memcpy(at + 8, &head->seq, 4);
		memcpy(at + 12, &head->pid, 4);
	}
	return off;
}

void nl_end(struct nl_writer *w, size_t off)
{
	uint32_t len = (uint32_t)(w->len - off);

	if (!w->is_full) {
		memcpy(w->buf + off, &len, 4);
	}
}

void nl_put_genl(struct nl_writer *w, uint8_t cmd, uint8_t version)
{
	uint8_t *at = reserve(w, NL_GENL_SIZE);

	if (at) {
		at[0] = cmd;
		at[1] = version;
	}
}

void nl_put_raw(struct nl_writer *w, const void *data, size_t len)
{
	void *at = reserve(w, len);

	if (at && len > 0) {
		memcpy(at, data, len);
	}
}

void nl_put(struct nl_writer *w, uint16_t type, const void *data, size_t len)
{
	uint16_t total = (uint16_t)(NL_ATTR_SIZE + len);
	uint8_t *at;

	if (len > UINT16_MAX - NL_ATTR_SIZE) {
		w->is_full = true;
		return;
	}
	at = reserve(w, total);
	if (!at) {
		return;
	}
	memcpy(at, &total, 2);
	memcpy(at + 2, &type, 2);
	if (len > 0) {
		memcpy(at + NL_ATTR_SIZE, data, len);
	}
}

void nl_put_u8(struct nl_writer *w, uint16_t type, uint8_t v)
{
	nl_put(w, type, &v, sizeof(v));
}

void nl_put_u16(struct nl_writer *w, uint16_t type, uint16_t v)
{
	nl_put(w, type, &v, sizeof(v));
}

void nl_put_u32(struct nl_writer *w, uint16_t type, uint32_t v)
{
	nl_put(w, type, &v, sizeof(v));
}

void nl_put_u64(struct nl_writer *w, uint16_t type, uint64_t v)
{
	nl_put(w, type, &v, sizeof(v));
}

void nl_put_str(struct nl_writer *w, uint16_t type, const char *s)
{
	nl_put(w, type, s, strlen(s) + 1);
}

size_t nl_nest_begin(struct nl_writer *w, uint16_t type)
{
	size_t off = w->len;

	nl_put(w, type | ATTR_FLAG_NESTED, NULL, 0);
	return off;
}

void nl_nest_end(struct nl_writer *w, size_t off)
{
	size_t len = w->len - off;
	uint16_t total = (uint16_t)len;

	if (len > UINT16_MAX) {
		w->is_full = true;
	}
	if (!w->is_full) {
		memcpy(w->buf + off, &total, 2);
	}
}

static int check_int(const void *data, size_t len, size_t want, uint16_t least)
{
	uint16_t v;

	if (len != want) {
		return err(-EINVAL, "invalid attribute length");
	}
	if (want == sizeof(v)) {
		memcpy(&v, data, sizeof(v));
		if (v < least) {
			return err(-ERANGE, "integer out of range");
		}
	}
	return 0;
}

static int check_attr(const struct nl_policy *policy, const void *data,
		      uint16_t len)
{
	switch (policy->type) {
	case NL_U16:
		return check_int(data, len, 2, policy->limit);
	case NL_U32:
		return check_int(data, len, 4, 0);
	case NL_U64:
		return check_int(data, len, 8, 0);
	case NL_BINARY:
		return len == policy->limit
			       ? 0
			       : err(-ERANGE,
				     "binary attribute size out of range");
	case NL_STRING:
		return len > 0 ? 0
			       : err(-ERANGE,
				     "Attribute failed policy validation");
	case NL_NONE:
		break;
	}
	return err(-EINVAL, "Unsupported attribute");
}

static int take_attr(const uint8_t *at, uint16_t total,
		     const struct nl_policy *policy, unsigned int max,
		     struct nl_attrs *ret)
{
	uint16_t type, number;
	int r;

	memcpy(&type, at + 2, 2);
	number = type & ATTR_TYPE_MASK;
	ret->bad = number;
	if (number == 0 || number > max) {
		return err(-EINVAL, "Unknown attribute type");
	}
	if (type & ATTR_FLAG_NESTED) {
		return err(-EINVAL, "NLA_F_NESTED not expected");
	}
	r = check_attr(&policy[number], at + NL_ATTR_SIZE,
		       (uint16_t)(total - NL_ATTR_SIZE));
	if (r == 0) {
		ret->at[number].data = at + NL_ATTR_SIZE;
		ret->at[number].len = (uint16_t)(total - NL_ATTR_SIZE);
	}
	return r;
}

int nl_attrs_parse(const void *buf, size_t len, const struct nl_policy *policy,
		   unsigned int max, struct nl_attrs *ret)
{
	const uint8_t *at = buf;

	assert(max <= NL_ATTR_MAX);
	memset(ret, 0, sizeof(*ret));
	while (len >= NL_ATTR_SIZE) {
		uint16_t total;
		size_t step;
		int r;

		memcpy(&total, at, 2);
		if (total < NL_ATTR_SIZE || total > len) {
			break;
		}
		r = take_attr(at, total, policy, max, ret);
		if (r < 0) {
			return r;
		}
		step = min_of(NL_ALIGN((size_t)total), len);
		at += step;
		len -= step;
	}
	ret->bad = 0;
	return len == 0 ? 0
			: err(-EINVAL,
			      "bytes leftover after parsing attributes");
}

bool nl_has(const struct nl_attrs *attrs, unsigned int type)
{
	return attrs->at[type].data != NULL;
}

static void get(const struct nl_attrs *attrs, unsigned int type, void *ret,
		size_t size)
{
	if (attrs->at[type].data) {
		assert(attrs->at[type].len == size);
		memcpy(ret, attrs->at[type].data, size);
	}
}

uint16_t nl_get_u16(const struct nl_attrs *attrs, unsigned int type)
{
	uint16_t v = 0;

	get(attrs, type, &v, sizeof(v));
	return v;
}

uint32_t nl_get_u32(const struct nl_attrs *attrs, unsigned int type)
{
	uint32_t v = 0;

	get(attrs, type, &v, sizeof(v));
	return v;
}

uint64_t nl_get_u64(const struct nl_attrs *attrs, unsigned int type)
{
	uint64_t v = 0;

	get(attrs, type, &v, sizeof(v));
	return v;
}

void nl_get_str(const struct nl_attrs *attrs, unsigned int type, char *buf,
		size_t size)
{
	size_t n = 0;

	assert(size > 0);
	if (attrs->at[type].data) {
		n = strnlen(attrs->at[type].data, attrs->at[type].len);
		n = min_of(n, size - 1);
		memcpy(buf, attrs->at[type].data, n);
	}
	buf[n] = '\0';
}
