/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading /proc/PID/maps.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_MAPS_H
#define MEM_MAPS_H

#include <sys/types.h>

#include "base/util.h"

/**
 * struct vma - one mapping of a process
 *
 * @start, @last: addresses, inclusive
 * @is_readable, @is_writable, @is_shared: its protection and kind
 * @offset: of @start in the file, bytes
 * @dev, @ino: the file; 0, 0 when there is none
 */
struct vma {
	uint64_t start;
	uint64_t last;
	bool is_readable;
	bool is_writable;
	bool is_shared;
	uint64_t offset;
	dev_t dev;
	ino_t ino;
};

/**
 * struct maps_reader - where a walk over the mappings stands
 *
 * @fd: of a /proc/PID/maps; borrowed
 * @pos: of the next byte to read, in the file
 * @at, @n: of the next byte to parse, and the bytes, in @buf
 * @floor: the lowest address that may still come
 */
struct maps_reader {
	int fd;
	off_t pos;
	size_t at;
	size_t n;
	uint64_t floor;
	char buf[4096];
};

void maps_reader_init(struct maps_reader *reader, int fd);

/**
 * maps_next() - the next mapping, in rising order
 * @reader: of the walk
 * @ret: written when there is one
 *
 * Mappings that overlap earlier ones (the process changes them while we read)
 * are cut down to what is new.
 *
 * Return: 1; 0 at the end; -EPROTO not a line of that kind, or too
 *         much of it; -errno of pread()
 */
int maps_next(struct maps_reader *reader, struct vma *ret);

#endif
