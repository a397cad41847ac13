/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Netlink messages: writing them into a bounded buffer, reading them from a
 * peer that may send anything.
 *
 * Theory of operation
 *
 * A writer never overruns: what does not fit sets is_full and is left out, and
 * whoever wrote the message looks at is_full once, at its end. A reader gets a
 * table of what each attribute must be; whatever passes nl_attrs_parse() has
 * the length that its type says, strings have an end, and the getters copy, so
 * that alignment does not matter. All of it is in the byte order of the host,
 * as netlink is.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BASE_NLMSG_H
#define BASE_NLMSG_H

#include "base/util.h"

#define NL_HDR_SIZE  16
#define NL_GENL_SIZE 4
#define NL_ATTR_SIZE 4
#define NL_ALIGN(n)  (((n) + 3) & ~(size_t)3)
/* Highest attribute number that a policy may name. */
#define NL_ATTR_MAX 40

/* ---- writing ---- */

struct nl_writer {
	uint8_t *buf;
	size_t size;
	size_t len;
	bool is_full;
};

struct nl_head {
	uint16_t type;
	uint16_t flags;
	uint32_t seq;
	uint32_t pid;
};

/* Return: the message's offset, for nl_end(). */
size_t nl_begin(struct nl_writer *w, const struct nl_head *head);
/* Writes the length of the message that began at @off. */
void nl_end(struct nl_writer *w, size_t off);
/* The generic netlink header; right after nl_begin(). */
void nl_put_genl(struct nl_writer *w, uint8_t cmd, uint8_t version);
/* Bytes without an attribute around them, padded. */
void nl_put_raw(struct nl_writer *w, const void *data, size_t len);
void nl_put(struct nl_writer *w, uint16_t type, const void *data, size_t len);
void nl_put_u8(struct nl_writer *w, uint16_t type, uint8_t v);
void nl_put_u16(struct nl_writer *w, uint16_t type, uint16_t v);
void nl_put_u32(struct nl_writer *w, uint16_t type, uint32_t v);
void nl_put_u64(struct nl_writer *w, uint16_t type, uint64_t v);
/* With the NUL. */
void nl_put_str(struct nl_writer *w, uint16_t type, const char *s);
/* Attributes put until nl_nest_end() stand in this one. */
size_t nl_nest_begin(struct nl_writer *w, uint16_t type);
void nl_nest_end(struct nl_writer *w, size_t off);

/* ---- reading ---- */

enum nl_type {
	NL_NONE, /* not expected in a request */
	NL_U16,
	NL_U32,
	NL_U64,
	NL_BINARY, /* exactly @limit bytes */
	NL_STRING, /* ends at its first NUL, or at its length */
};

/* What one attribute must be. */
struct nl_policy {
	enum nl_type type;
	uint16_t limit; /* NL_BINARY: bytes. NL_U16: least value */
};

/* Attributes of a message; data NULL: absent. Borrowed from the message. */
struct nl_attrs {
	struct {
		const void *data;
		uint16_t len;
	} at[NL_ATTR_MAX + 1];
	uint16_t bad; /* of the last failure: the attribute's number */
};

/**
 * nl_attrs_parse() - look through the attributes of a message
 * @buf, @len: what follows the headers
 * @policy: of the attributes 0..@max
 * @max: at most NL_ATTR_MAX
 * @ret: filled, also on failure as far as it went. The last one of several
 *       with one number counts, as in the kernel
 *
 * Return: 0; -EINVAL or -ERANGE with the kernel's sentence as err_text()
 * Source: kernel lib/nlattr.c, strict validation
 */
int nl_attrs_parse(const void *buf, size_t len, const struct nl_policy *policy,
		   unsigned int max, struct nl_attrs *ret);
bool nl_has(const struct nl_attrs *attrs, unsigned int type);
uint16_t nl_get_u16(const struct nl_attrs *attrs, unsigned int type);
uint32_t nl_get_u32(const struct nl_attrs *attrs, unsigned int type);
uint64_t nl_get_u64(const struct nl_attrs *attrs, unsigned int type);
/* At most @size - 1 characters of it; "" when absent. */
void nl_get_str(const struct nl_attrs *attrs, unsigned int type, char *buf,
		size_t size);

#endif
