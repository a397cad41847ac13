/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The io_uring back end: files and their I/O.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/err.h"
#include "loop/loop_uring.h"

/* Files: the first ones have a place in the ring's own table, which saves
 * taking and giving back a reference for each request. */

static void register_file(struct uring_loop *ul, struct loop_file *file)
{
	unsigned int place;

	if (!ul->has_files || ~ul->used_files == 0) {
		return;
	}
	place = (unsigned int)__builtin_ctzll(~ul->used_files);
	if (io_uring_register_files_update(&ul->ring, place, &file->fd, 1) ==
	    1) {
		ul->used_files |= 1ULL << place;
		file->place = (int)place;
	}
}

void uring_register_files(struct uring_loop *ul)
{
	struct loop_file *file;

	ul->has_files =
		io_uring_register_files_sparse(&ul->ring, URING_FILES_MAX) == 0;
	list_for_each_entry(file, &ul->loop.files, node) {
		file->place = -1;
		register_file(ul, file);
	}
}

int uring_file_add(struct loop *loop, struct loop_file *file)
{
	struct uring_loop *ul = uring_loop_of(loop);

	file->place = -1;
	if (uring_own_ring(ul)) {
		register_file(ul, file);
	}
	return 0;
}

void uring_file_del(struct loop *loop, struct loop_file *file)
{
	struct uring_loop *ul = uring_loop_of(loop);
	static const int none = -1;

	if (!uring_own_ring(ul) || file->place < 0) {
		return;
	}
	/* cannot fail: the place is one that we have filled */
	(void)io_uring_register_files_update(
		&ul->ring, (unsigned int)file->place, &none, 1);
	ul->used_files &= ~(1ULL << file->place);
}

/* Requests */

static void prepare_rw(const struct loop_io *io, struct io_uring_sqe *sqe)
{
	bool is_read = io->op == LOOP_IO_READ;

	if (io->n_iov == 1 && io->iov->iov_len <= INT_MAX) {
		sqe->opcode = is_read ? IORING_OP_READ : IORING_OP_WRITE;
		sqe->addr = (uintptr_t)io->iov->iov_base;
		sqe->len = (uint32_t)io->iov->iov_len;
	} else {
		sqe->opcode = is_read ? IORING_OP_READV : IORING_OP_WRITEV;
		sqe->addr = (uintptr_t)io->iov;
		sqe->len = io->n_iov;
	}
	sqe->off = io->offset;
	sqe->rw_flags = !is_read && io->is_dsync ? RWF_DSYNC : 0;
}

static void prepare_fsync(const struct loop_io *io, struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_FSYNC;
	sqe->fsync_flags = io->is_dsync ? IORING_FSYNC_DATASYNC : 0;
}

static void prepare_fallocate(const struct loop_io *io,
			      struct io_uring_sqe *sqe)
{
	sqe->opcode = IORING_OP_FALLOCATE;
	sqe->off = io->offset;
	sqe->addr = io->len;
	sqe->len = (uint32_t)io->mode;
}

static void (*const prepare[])(const struct loop_io *io,
			       struct io_uring_sqe *sqe) = {
	[LOOP_IO_READ] = prepare_rw,
	[LOOP_IO_WRITE] = prepare_rw,
	[LOOP_IO_FSYNC] = prepare_fsync,
	[LOOP_IO_FALLOCATE] = prepare_fallocate,
};
_Static_assert(ARRAY_SIZE(prepare) == LOOP_IO_OP_N, "one for each");

static void submit(struct uring_loop *ul, struct loop_io *io)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ul, URING_IO, io);

	prepare[io->op](io, sqe);
	sqe->fd = io->file->place >= 0 ? io->file->place : io->file->fd;
	sqe->flags = (io->file->place >= 0 ? IOSQE_FIXED_FILE : 0U) |
		     (io->is_again ? IOSQE_ASYNC : 0U);
	ul->n_io++;
}

void uring_io_flush(struct loop *loop)
{
	while (!list_is_empty(&loop->new_io)) {
		struct loop_io *io =
			list_entry(loop->new_io.next, struct loop_io, node);

		list_del(&io->node);
		submit(uring_loop_of(loop), io);
	}
}

void uring_io_told(struct uring_loop *ul, struct loop_io *io, int res)
{
	ul->n_io--;
	if ((res == -EAGAIN || res == -EINTR) && !io->is_again) {
		/* not even begun, for want of something: a thread of the
		 * kernel's can wait for it */
		io->is_again = true;
		list_add_tail(&ul->loop.new_io, &io->node);
		return;
	}
	io->res = res;
	list_add_tail(&ul->done, &io->node);
}

void uring_run_io(struct uring_loop *ul)
{
	while (!list_is_empty(&ul->done)) {
		struct loop_io *io =
			list_entry(ul->done.next, struct loop_io, node);

		list_del(&io->node);
		loop_io_finish(io, io->res);
	}
}
