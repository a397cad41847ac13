/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading /proc/PID/maps.
 *
 * Only the head of a line is looked at, so names may be as long and as odd as
 * they like:
 *
 *   7f1c80000000-7f1c80021000 rw-s 00003000 00:01 2056  /memfd:x (deleted)
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/maps.h"

#include <errno.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"

/* More than all that stands before the name. */
#define HEAD_MAX 128

/*
 * A path is a page at most, four times that when every byte is escaped. The
 * bytes are those of half a million mappings. Both are here because a client
 * may hand us another file of procfs, one that never ends.
 */
#define LINE_LEN_MAX 32768
#define BYTES_MAX    (64 << 20)

void maps_reader_init(struct maps_reader *reader, int fd)
{
	reader->fd = fd;
	reader->pos = 0;
	reader->at = 0;
	reader->n = 0;
	reader->floor = 0;
}

/* Return: the next byte; -1 at the end; -errno - 1 of pread() */
static int next_byte(struct maps_reader *reader)
{
	if (reader->at == reader->n) {
		ssize_t n;

		do {
			n = pread(reader->fd, reader->buf, sizeof(reader->buf),
				  reader->pos);
		} while (n < 0 && errno == EINTR);
		if (n <= 0) {
			return n < 0 ? -errno - 1 : -1;
		}
		reader->pos += n;
		reader->at = 0;
		reader->n = (size_t)n;
	}
	return (unsigned char)reader->buf[reader->at++];
}

/* Return: 1 and the head of the next line; 0 at the end; -errno */
static int next_head(struct maps_reader *reader, char ret[HEAD_MAX])
{
	size_t n = 0;
	int c;

	while ((c = next_byte(reader)) >= 0 && c != '\n') {
		if (n == LINE_LEN_MAX || reader->pos > BYTES_MAX) {
			return err(-EPROTO, "client: mappings without end");
		}
		if (n < HEAD_MAX - 1) {
			ret[n] = (char)c;
		}
		n++;
	}
	if (c < -1) {
		return err(c + 1, "client: cannot read its mappings");
	}
	ret[min_of(n, (size_t)HEAD_MAX - 1)] = '\0';
	return c == '\n' || n > 0;
}

/*
 * Reads a number and the one character that must follow it ('\0': anything
 * may), and moves on.
 *
 * Return: is there such a number?
 */
static bool take_number(const char **text, unsigned int base, char follows,
			uint64_t *ret)
{
	const char *p = *text;
	uint64_t v = 0;

	for (;; p++) {
		unsigned int digit;

		if (*p >= '0' && *p <= '9') {
			digit = (unsigned int)(*p - '0');
		} else if (base == 16 && *p >= 'a' && *p <= 'f') {
			digit = (unsigned int)(*p - 'a') + 10;
		} else {
			break;
		}
		if (v > (UINT64_MAX - digit) / base) {
			return false;
		}
		v = v * base + digit;
	}
	if (p == *text || (follows != '\0' && *p != follows)) {
		return false;
	}
	*text = p + (follows != '\0');
	*ret = v;
	return true;
}

static bool take_flags(const char **text, struct vma *ret)
{
	const char *p = *text;

	for (unsigned int i = 0; i < 4; i++) {
		if (p[i] == '\0') {
			return false;
		}
	}
	if (p[4] != ' ') {
		return false;
	}
	ret->is_readable = p[0] == 'r';
	ret->is_writable = p[1] == 'w';
	ret->is_shared = p[3] == 's';
	*text = p + 5;
	return true;
}

static bool parse_head(const char *p, struct vma *ret)
{
	uint64_t end, major_no, minor_no, ino;

	if (!take_number(&p, 16, '-', &ret->start) ||
	    !take_number(&p, 16, ' ', &end) || !take_flags(&p, ret) ||
	    !take_number(&p, 16, ' ', &ret->offset) ||
	    !take_number(&p, 16, ':', &major_no) ||
	    !take_number(&p, 16, ' ', &minor_no) ||
	    !take_number(&p, 10, '\0', &ino)) {
		return false;
	}
	if (end <= ret->start || major_no > UINT32_MAX ||
	    minor_no > UINT32_MAX) {
		return false;
	}
	ret->last = end - 1;
	ret->dev = makedev((unsigned int)major_no, (unsigned int)minor_no);
	ret->ino = ino;
	return true;
}

int maps_next(struct maps_reader *reader, struct vma *ret)
{
	char head[HEAD_MAX];
	struct vma vma;
	int r;

	do {
		r = next_head(reader, head);
		if (r <= 0) {
			return r;
		}
		if (!parse_head(head, &vma)) {
			return err(-EPROTO, "client: odd mapping \"%.40s\"",
				   head);
		}
	} while (vma.last < reader->floor);
	if (vma.start < reader->floor) {
		vma.offset += reader->floor - vma.start;
		vma.start = reader->floor;
	}
	reader->floor = vma.last + 1;
	*ret = vma;
	return 1;
}
