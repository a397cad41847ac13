/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file that a peer shares as its memory.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/peer_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "mem/backing.h"

int peer_file_check(int fd, uint64_t offset, uint64_t size, struct stat *ret_st)
{
	int r = backing_check(fd);

	if (r < 0) {
		return r;
	}
	if (size == 0 || offset > INT64_MAX || size > INT64_MAX) {
		return err(-EINVAL, "0x%llx bytes of a file at 0x%llx",
			   (unsigned long long)size,
			   (unsigned long long)offset);
	}
	if (fstat(fd, ret_st) < 0) {
		return err(-errno, "a file: %s", strerror(errno));
	}
	if (S_ISREG(ret_st->st_mode) &&
	    !range_fits(offset, size, (uint64_t)ret_st->st_size)) {
		return err(-EINVAL, "a file has only %llu bytes",
			   (unsigned long long)ret_st->st_size);
	}
	return 0;
}

int peer_file_map(int fd, uint64_t offset, uint64_t size, unsigned int perm,
		  bool keeps_file, struct region **ret)
{
	struct mem_file *file;
	int r;

	if (!keeps_file) {
		return region_new_mapped(fd, offset, size, perm, ret);
	}
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		return -errno;
	}
	r = mem_file_new(fd, &file);
	if (r == 0) {
		r = region_new_file(file, offset, size, perm, ret);
		mem_file_unref(file);
	}
	return r;
}
