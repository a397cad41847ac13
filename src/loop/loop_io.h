/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops: reading and writing files.
 *
 * Theory of operation
 *
 * Disks do not tell when they are ready, so a loop carries their I/O itself. A
 * request is embedded in its user: submitting it allocates nothing and cannot
 * fail. What is submitted in one round of the loop goes out together when the
 * round is over, and fn tells each result in a later one. Requests are done in
 * no order: who needs one waits for the first before submitting the second.
 *
 *   loop_io_submit() --end of the round--> in flight --done--> fn(io, res)
 *
 * io_uring does it in the kernel; with epoll a few threads of the loop make the
 * calls, LOOP_IO_THREADS at most, made when they are needed; the simulated back
 * end makes the call at one moment that the seed draws and tells it at another,
 * and where the seed says so the request fails (-EIO; -ENOSPC for what may
 * allocate) or stops short: after a multiple of 512 bytes when it is longer
 * than that.
 *
 * A loop that is stopped keeps what is in flight; when it runs again, or in
 * loop_call_until(), the results come. Before loop_free() they must have.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef LOOP_LOOP_IO_H
#define LOOP_LOOP_IO_H

#include <sys/uio.h>

#include "base/list.h"
#include "loop/loop.h"

#define LOOP_IO_IOV_MAX 1024 /* the kernel's limit */
#define LOOP_IO_THREADS 4

struct loop_file;

enum loop_io_op {
	LOOP_IO_READ,
	LOOP_IO_WRITE,
	LOOP_IO_FSYNC,
	LOOP_IO_FALLOCATE,
	LOOP_IO_OP_N
};

/**
 * struct loop_io - one request, embedded in its user
 * @op: what to do
 * @is_dsync: write: durable when it is done (RWF_DSYNC); fsync: the data only
 *            (fdatasync())
 * @mode: fallocate: its mode
 * @file: of the loop that it is submitted to
 * @iov: read, write: where to and from; it and the memory stay until fn
 * @n_iov: read, write: 1 .. LOOP_IO_IOV_MAX
 * @offset: bytes; all but fsync
 * @len: fallocate: bytes
 * @fn: called by the owner; @res is the number of bytes (0: end of file), which
 *      may be fewer than asked for, or 0 for fsync and fallocate, or -errno.
 *      @io is its user's again: fn may submit it anew, or free it
 */
struct loop_io {
	enum loop_io_op op;
	bool is_dsync;
	int mode;
	struct loop_file *file;
	const struct iovec *iov;
	unsigned int n_iov;
	uint64_t offset, len;
	void (*fn)(struct loop_io *io, int64_t res);
	/* the loop's own */
	struct list node;
	int64_t res;
	bool is_again; /* the kernel gave it back undone */
	/* simulated only */
	bool is_performed;
	uint64_t number;
	uint64_t gate_ns;
};

/**
 * loop_file_new() - prepare a file for I/O
 * @loop: caller is its owner
 * @fd: borrowed until loop_file_free(); any offset-addressed file, O_DIRECT or
 *      not
 * @ret: written on success
 *
 * Return: 0; -ENOMEM
 */
int loop_file_new(struct loop *loop, int fd, struct loop_file **ret);
/* Nothing of it is in flight. Takes NULL. Return: NULL. */
struct loop_file *loop_file_free(struct loop_file *file);

/**
 * loop_io_submit() - start a request
 * @loop: caller is its owner
 * @io: filled in; the loop's until its fn is called, which is never from within
 */
void loop_io_submit(struct loop *loop, struct loop_io *io);

/* How many are submitted and not done. Owner only. */
unsigned int loop_io_in_flight(const struct loop *loop);

#endif
