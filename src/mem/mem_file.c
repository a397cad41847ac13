/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that regions keep open.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "mem/region.h"

struct mem_file {
	atomic_uint refs;
	int fd;
};

int mem_file_new(int take_fd, struct mem_file **ret)
{
	struct mem_file *file = calloc(1, sizeof(*file));

	if (!file) {
		(void)close_fd(take_fd);
		return err(-ENOMEM, "mem: no memory");
	}
	atomic_init(&file->refs, 1);
	file->fd = take_fd;
	*ret = file;
	return 0;
}

struct mem_file *mem_file_ref(struct mem_file *file)
{
	atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
	return file;
}

struct mem_file *mem_file_unref(struct mem_file *file)
{
	if (file && atomic_fetch_sub_explicit(&file->refs, 1,
					      memory_order_acq_rel) == 1) {
		(void)close_fd(file->fd);
		free(file);
	}
	return NULL;
}

int mem_file_fd(const struct mem_file *file)
{
	return file->fd;
}
