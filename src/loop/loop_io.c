/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File I/O: what the back ends have in common.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "loop/loop_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "loop/loop_internal.h"

int loop_file_new(struct loop *loop, int fd, struct loop_file **ret)
{
	struct loop_file *file;
	int rc;

	assert_owner(loop);
	file = calloc(1, sizeof(*file));
	if (!file) {
		return err(-ENOMEM, "%s: no memory for a file", loop->name);
	}
	file->loop = loop;
	file->fd = fd;
	rc = loop->ops->file_add ? loop->ops->file_add(loop, file) : 0;
	if (rc < 0) {
		free(file);
		return rc;
	}
	list_add_tail(&loop->files, &file->node);
	*ret = file;
	return 0;
}

struct loop_file *loop_file_free(struct loop_file *file)
{
	if (!file) {
		return NULL;
	}
	assert_owner(file->loop);
	assert(file->n_io == 0);
	if (file->loop->ops->file_del) {
		file->loop->ops->file_del(file->loop, file);
	}
	list_del(&file->node);
	free(file);
	return NULL;
}

void loop_io_submit(struct loop *loop, struct loop_io *io)
{
	assert_owner(loop);
	assert(io->file->loop == loop);
	assert(io->op < LOOP_IO_OP_N);
	assert(io->op > LOOP_IO_WRITE || io->n_iov > 0);
	assert(io->op > LOOP_IO_WRITE || io->n_iov <= LOOP_IO_IOV_MAX);
	io->is_again = false;
	io->file->n_io++;
	loop->n_io++;
	list_add_tail(&loop->new_io, &io->node);
	if (loop->ops->io_submitted) {
		loop->ops->io_submitted(loop, io);
	}
}

unsigned int loop_io_in_flight(const struct loop *loop)
{
	assert_owner(loop);
	return loop->n_io;
}

void loop_io_finish(struct loop_io *io, int64_t res)
{
	io->file->n_io--;
	io->file->loop->n_io--;
	io->fn(io, res);
}

static ssize_t perform_once(const struct loop_io *io)
{
	switch (io->op) {
	case LOOP_IO_READ:
		return preadv2(io->file->fd, io->iov, (int)io->n_iov,
			       (off_t)io->offset, 0);
	case LOOP_IO_WRITE:
		return pwritev2(io->file->fd, io->iov, (int)io->n_iov,
				(off_t)io->offset,
				io->is_dsync ? RWF_DSYNC : 0);
	case LOOP_IO_FSYNC:
		return io->is_dsync ? fdatasync(io->file->fd)
				    : fsync(io->file->fd);
	case LOOP_IO_FALLOCATE:
		return fallocate(io->file->fd, io->mode, (off_t)io->offset,
				 (off_t)io->len);
	case LOOP_IO_OP_N:
		break;
	}
	abort(); /* loop_io_submit() has looked */
}

int64_t loop_io_perform(const struct loop_io *io)
{
	ssize_t n;

	do {
		n = perform_once(io);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
