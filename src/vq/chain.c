/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying in and out of the pieces of a chain. See vq.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <string.h>

#include "vq/vq_internal.h"

/* A place in one part of a chain, and how many bytes its piece still has. */
struct cursor {
	const struct iovec *iov;
	unsigned int n_left;
	size_t off;
};

static struct cursor cursor_at(const struct iovec *iov, unsigned int n,
			       size_t off)
{
	while (n && off >= iov->iov_len) {
		off -= iov->iov_len;
		iov++;
		n--;
	}
	return (struct cursor){ iov, n, off };
}

static struct cursor cursor_readable(const struct vq_chain *chain, uint32_t off)
{
	return cursor_at(chain->iov, chain->n_readable, off);
}

static struct cursor cursor_writable(const struct vq_chain *chain, uint32_t off)
{
	return cursor_at(chain->iov + chain->n_readable, chain->n_writable,
			 off);
}

/* The next run of at most *len bytes, cut to what is there. NULL: none. */
static char *cursor_run(const struct cursor *c, size_t *len)
{
	if (c->n_left == 0 || !c->iov->iov_base) {
		return NULL;
	}
	*len = min_of(*len, c->iov->iov_len - c->off);
	return (char *)c->iov->iov_base + c->off;
}

static void cursor_advance(struct cursor *c, size_t len)
{
	c->off += len;
	if (c->off == c->iov->iov_len) {
		c->iov++;
		c->n_left--;
		c->off = 0;
	}
}

/* Are all the bytes in the first of @n pieces? */
_hot_ bool piece_holds(const struct iovec *iov, unsigned int n, uint32_t off,
		       uint32_t len)
{
	return n && iov->iov_base && range_fits(off, len, iov->iov_len);
}

int vq_chain_read(const struct vq_chain *chain, uint32_t off, void *buf,
		  uint32_t len)
{
	struct cursor c = cursor_readable(chain, off);
	char *to = buf;

	while (len) {
		size_t n = len;
		const char *from = cursor_run(&c, &n);

		if (!from) {
			return -EFAULT;
		}
		memcpy(to, from, n);
		cursor_advance(&c, n);
		to += n;
		len -= (uint32_t)n;
	}
	return 0;
}

int vq_chain_write(struct vq_chain *chain, uint32_t off, const void *buf,
		   uint32_t len)
{
	struct cursor c = cursor_writable(chain, off);
	const char *from = buf;

	while (len) {
		size_t n = len;
		char *to = cursor_run(&c, &n);

		if (!to) {
			return -EFAULT;
		}
		memcpy(to, from, n);
		cursor_advance(&c, n);
		from += n;
		len -= (uint32_t)n;
	}
	return 0;
}

int vq_chain_copy(struct vq_chain *to, uint32_t to_off,
		  const struct vq_chain *from, uint32_t from_off, uint32_t len)
{
	const struct iovec *in_iov = from->iov;
	const struct iovec *out_iov = to->iov + to->n_readable;
	struct cursor in, out;

	/* The usual frame: in one piece on both sides. */
	if (likely(piece_holds(in_iov, from->n_readable, from_off, len) &&
		   piece_holds(out_iov, to->n_writable, to_off, len))) {
		memmove((char *)out_iov->iov_base + to_off,
			(char *)in_iov->iov_base + from_off, len);
		return 0;
	}
	in = cursor_readable(from, from_off);
	out = cursor_writable(to, to_off);
	while (len) {
		size_t n = len;
		const char *src = cursor_run(&in, &n);
		char *dst = cursor_run(&out, &n);

		if (!src || !dst) {
			return -EFAULT;
		}
		/* Both are the drivers' choice and may overlap. */
		memmove(dst, src, n);
		cursor_advance(&in, n);
		cursor_advance(&out, n);
		len -= (uint32_t)n;
	}
	return 0;
}

int vq_chain_zero(struct vq_chain *chain, uint32_t off, uint32_t len)
{
	struct cursor c = cursor_writable(chain, off);

	while (len) {
		size_t n = len;
		char *to = cursor_run(&c, &n);

		if (!to) {
			return -EFAULT;
		}
		memset(to, 0, n);
		cursor_advance(&c, n);
		len -= (uint32_t)n;
	}
	return 0;
}
