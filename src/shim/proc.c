/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading /proc without an allocator.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <dirent.h>
#include <fcntl.h>

#include "shim/shim.h"

#define CHUNK 2048
/* What a line of /proc/self/maps can have before a path, and most of that. */
#define LINE_LEN 512

void shim_each_line(const char *path, void (*fn)(void *priv, const char *line),
		    void *priv)
{
	long fd = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	char chunk[CHUNK], line[LINE_LEN];
	size_t len = 0;
	long n;

	if (fd < 0) {
		return;
	}
	while ((n = SYS(SYS_read, fd, chunk, sizeof(chunk))) > 0) {
		for (long i = 0; i < n; i++) {
			if (chunk[i] == '\n') {
				line[len] = '\0';
				fn(priv, line);
				len = 0;
			} else if (len < sizeof(line) - 1) {
				line[len++] = chunk[i];
			}
		}
	}
	(void)SYS(SYS_close, fd);
}

static int number_of(const char *name)
{
	int number = 0;

	for (; *name >= '0' && *name <= '9'; name++) {
		number = number * 10 + (*name - '0');
	}
	return *name ? -1 : number;
}

void shim_each_number(const char *path, void (*fn)(void *priv, int number),
		      void *priv)
{
	long dir = SYS(SYS_openat, AT_FDCWD, path,
		       O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	union {
		struct dirent64 align;
		char bytes[CHUNK];
	} chunk;
	long n;

	if (dir < 0) {
		return;
	}
	while ((n = SYS(SYS_getdents64, dir, &chunk, sizeof(chunk))) > 0) {
		for (long i = 0; i < n;) {
			const struct dirent64 *d =
				(const void *)(chunk.bytes + i);

			if (number_of(d->d_name) >= 0) {
				fn(priv, number_of(d->d_name));
			}
			i += d->d_reclen;
		}
	}
	(void)SYS(SYS_close, dir);
}
