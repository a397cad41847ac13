/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file that a peer shares as its memory.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_PEER_FILE_H
#define BUSDRV_PEER_FILE_H

#include <sys/stat.h>

#include "mem/region.h"

/**
 * peer_file_check() - may a piece of it be mapped?
 * @fd: borrowed
 * @offset, @size: of the piece, bytes
 * @ret_st: of the file
 *
 * A file that ends before the piece does would only show when it is used. One
 * whose server may be the peer must not even be asked, and is not.
 *
 * Return: 0; -EINVAL; -EACCES (mem/backing.h); -errno
 */
int peer_file_check(int fd, uint64_t offset, uint64_t size,
		    struct stat *ret_st);

/**
 * peer_file_map() - map a piece that was checked
 * @fd: borrowed
 * @perm: enum mem_perm
 * @keeps_file: the region remembers the file, for a device that has its own
 *              ways to the memory
 *
 * Return: as region_new_mapped()
 */
int peer_file_map(int fd, uint64_t offset, uint64_t size, unsigned int perm,
		  bool keeps_file, struct region **ret);

#endif
