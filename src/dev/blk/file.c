/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end file: a regular file or a block device.
 *
 * Theory of operation
 *
 * Each request makes its way through one struct loop_io in its slot, step by
 * step: a step is submitted, its result decides on the next.
 *
 *   read, write   what is left of the pieces, in one go as far as the kernel
 *                 takes that many; short I/O goes on where it stopped
 *   flush         fdatasync()
 *   discard, write zeroes   the methods of a ladder until one is supported;
 *                 which are not is remembered. Write through: fdatasync() after
 *
 * Direct I/O wants offsets, lengths and memory aligned. Offsets and lengths are
 * multiples of the disk's block size, which is at least what the file wants: so
 * nothing ever has to be read in order to write. Memory is the driver's choice:
 * pieces that are not aligned go through aligned buffers of the queue, up to
 * BOUNCE_BUFFERS at a time; requests wait for one in turn.
 *
 * A read beyond the end of the file (somebody truncated it) is an error.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>

#include "dev/blk/pieces.h"
#include "loop/loop_io.h"

#define BOUNCE_BYTES   (128U << 10)
#define BOUNCE_BUFFERS 16
#define ZERO_PIECES    16
/* Times in a row that EAGAIN or EINTR may be all that comes of a step. */
#define TRIES_MAX 100

struct file_req {
	struct loop_io io;
	struct blk_req *req;
	uint64_t done; /* bytes */
	struct blk_pos pos;
	struct iovec part; /* a step of one piece */
	const uint8_t *ladder; /* the method in use; NULL: it is done */
	char *bounce;
	bool is_bounced;
	unsigned int n_tries;
	struct list node; /* waits for a buffer */
};

struct file_vq {
	struct loop_file *file;
	struct blk_pool pool; /* file_req.node waits */
	struct iovec zeroes[ZERO_PIECES];
};

static struct file_req *file_req_of(struct blk_req *req)
{
	return (struct file_req *)req->priv;
}

static struct file_disk *disk_of(const struct file_req *r)
{
	return blk_priv(blk_vq_dev(r->req->q));
}

static struct file_vq *vq_of(const struct file_req *r)
{
	return blk_vq_priv(r->req->q);
}

static void submit(struct file_req *r)
{
	loop_io_submit(blk_vq_loop(r->req->q), &r->io);
}

/* Is it to be done again? */
static bool is_again(struct file_req *r, int64_t res)
{
	bool is_undone = res == -EINTR || res == -EAGAIN;

	r->n_tries = is_undone ? r->n_tries + 1 : 0;
	return is_undone && r->n_tries < TRIES_MAX;
}

/* ---- aligned buffers ---- */

static void transfer(struct file_req *r);

/* The next one that waits goes on with it. */
static void give_buffer(struct file_vq *q, char *buffer)
{
	struct list *node = blk_pool_give(&q->pool, buffer);

	if (node) {
		struct file_req *next = list_entry(node, struct file_req, node);

		next->bounce = buffer;
		transfer(next);
	}
}

static void finish(struct file_req *r, int64_t res)
{
	struct file_vq *q = vq_of(r);
	char *buffer = r->bounce;

	blk_done(r->req, res);
	if (buffer) {
		give_buffer(q, buffer);
	}
}

/* ---- reads and writes ---- */

static bool is_aligned(const struct blk_req *req, uint32_t align)
{
	uintptr_t bits = 0;

	for (unsigned int i = 0; i < req->n_iov; i++) {
		bits |= (uintptr_t)req->iov[i].iov_base | req->iov[i].iov_len;
	}
	return bits % align == 0;
}

static void set_one_piece(struct file_req *r, void *base, size_t len)
{
	r->part = (struct iovec){ base, len };
	r->io.iov = &r->part;
	r->io.n_iov = 1;
}

/* Return: false: it waits for a buffer, or has failed. */
static bool prepare_bounce(struct file_req *r)
{
	size_t len = min_of(r->req->len - r->done, (uint64_t)BOUNCE_BYTES);

	if (!r->bounce) {
		r->bounce = blk_pool_take(&vq_of(r)->pool, &r->node);
	}
	if (!r->bounce) {
		if (list_is_empty(&r->node)) {
			finish(r, -ENOMEM);
		}
		return false;
	}
	if (r->req->op == BLK_WRITE) {
		blk_pos_copy(r->req, r->pos, r->bounce, len);
	}
	set_one_piece(r, r->bounce, len);
	return true;
}

static void prepare_pieces(struct file_req *r)
{
	const struct blk_req *req = r->req;

	if (r->pos.off > 0) {
		struct iovec rest = blk_pos_piece(req, &r->pos);

		set_one_piece(r, rest.iov_base, rest.iov_len);
		return;
	}
	r->io.iov = &req->iov[r->pos.idx];
	r->io.n_iov =
		min_of(req->n_iov - r->pos.idx, (unsigned int)LOOP_IO_IOV_MAX);
}

/* The next step of a transfer. */
static void transfer(struct file_req *r)
{
	if (r->is_bounced) {
		if (!prepare_bounce(r)) {
			return;
		}
	} else {
		prepare_pieces(r);
	}
	r->io.offset = r->req->offset + r->done;
	submit(r);
}

static void on_transfer(struct loop_io *io, int64_t res)
{
	struct file_req *r = container_of(io, struct file_req, io);
	size_t n;

	if (is_again(r, res)) {
		submit(r);
		return;
	}
	if (res < 0) {
		finish(r, res);
		return;
	}
	/* Direct I/O cannot go on in the middle of a block. */
	n = align_down((uint64_t)res, disk_of(r)->align);
	if (n == 0) {
		finish(r, -EIO); /* the file ends here */
		return;
	}
	if (r->is_bounced && r->req->op == BLK_READ) {
		blk_pos_copy(r->req, r->pos, r->bounce, n);
	}
	blk_pos_advance(r->req, &r->pos, n);
	r->done += n;
	if (r->done < r->req->len) {
		transfer(r);
	} else {
		finish(r, r->req->op == BLK_READ ? (int64_t)r->done : 0);
	}
}

static void begin_transfer(struct file_req *r)
{
	const struct file_disk *disk = disk_of(r);

	if (r->req->len == 0) {
		finish(r, 0);
		return;
	}
	r->io.op = r->req->op == BLK_READ ? LOOP_IO_READ : LOOP_IO_WRITE;
	r->io.is_dsync = r->req->is_fua;
	r->io.fn = on_transfer;
	r->pos = (struct blk_pos){ 0 };
	r->is_bounced = disk->align > 1 && !is_aligned(r->req, disk->align);
	transfer(r);
}

/* ---- flushes ---- */

static void on_flush(struct loop_io *io, int64_t res)
{
	struct file_req *r = container_of(io, struct file_req, io);

	if (is_again(r, res)) {
		submit(r);
	} else {
		finish(r, res);
	}
}

static void begin_flush(struct file_req *r)
{
	r->io.op = LOOP_IO_FSYNC;
	r->io.is_dsync = true;
	r->io.fn = on_flush;
	submit(r);
}

/* ---- discard and write zeroes ---- */

static const int modes[FILE_METHOD_N] = {
	[FILE_DISCARD] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE |
			 FALLOC_FL_NO_HIDE_STALE,
	[FILE_PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	[FILE_ZERO] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
};

static const uint8_t discard_ladder[] = { FILE_DISCARD, FILE_PUNCH,
					  FILE_NOTHING };
static const uint8_t unmap_ladder[] = { FILE_PUNCH, FILE_ZERO, FILE_WRITE };
/* The same without giving space back. */
static const uint8_t *const zero_ladder = unmap_ladder + 1;

static void end_zero(struct file_req *r)
{
	if (r->req->is_fua) {
		begin_flush(r);
	} else {
		finish(r, 0);
	}
}

static void write_zeroes(struct file_req *r)
{
	struct file_vq *q = vq_of(r);
	uint64_t left = r->req->len - r->done;

	if (left < FILE_ZERO_BYTES) {
		set_one_piece(r, disk_of(r)->zeroes, left);
	} else {
		r->io.iov = q->zeroes;
		r->io.n_iov = (unsigned int)min_of(left / FILE_ZERO_BYTES,
						   (uint64_t)ZERO_PIECES);
	}
	r->io.offset = r->req->offset + r->done;
	submit(r);
}

static void on_write_zeroes(struct loop_io *io, int64_t res)
{
	struct file_req *r = container_of(io, struct file_req, io);

	if (is_again(r, res)) {
		submit(r);
		return;
	}
	if (res >= 0) {
		res = (int64_t)align_down((uint64_t)res, disk_of(r)->align);
	}
	if (res <= 0) {
		finish(r, res < 0 ? res : -EIO);
		return;
	}
	r->done += (uint64_t)res;
	if (r->done < r->req->len) {
		write_zeroes(r);
	} else {
		end_zero(r);
	}
}

static void begin_write_zeroes(struct file_req *r)
{
	r->io.op = LOOP_IO_WRITE;
	r->io.is_dsync = false; /* one flush at the end */
	r->io.fn = on_write_zeroes;
	write_zeroes(r);
}

static void climb(struct file_req *r);

static void on_fallocate(struct loop_io *io, int64_t res)
{
	struct file_req *r = container_of(io, struct file_req, io);

	if (is_again(r, res)) {
		submit(r);
	} else if (res == -EOPNOTSUPP || res == -ENOSYS) {
		__atomic_store_n(&disk_of(r)->is_missing[*r->ladder], true,
				 __ATOMIC_RELAXED);
		climb(r);
	} else if (res < 0) {
		finish(r, res);
	} else {
		end_zero(r);
	}
}

/* The first method of the ladder that is not known to be missing. */
static void climb(struct file_req *r)
{
	const struct file_disk *disk = disk_of(r);

	while (__atomic_load_n(&disk->is_missing[*r->ladder],
			       __ATOMIC_RELAXED)) {
		r->ladder++;
	}
	if (*r->ladder == FILE_NOTHING) {
		finish(r, 0);
		return;
	}
	if (*r->ladder == FILE_WRITE) {
		begin_write_zeroes(r);
		return;
	}
	r->io.op = LOOP_IO_FALLOCATE;
	r->io.mode = modes[*r->ladder];
	r->io.offset = r->req->offset;
	r->io.len = r->req->len;
	r->io.fn = on_fallocate;
	submit(r);
}

/* ---- for the class ---- */

static void begin(struct blk_req *req)
{
	struct file_req *r = file_req_of(req);
	struct file_vq *q = blk_vq_priv(req->q);

	memset(&r->io, 0, sizeof(r->io));
	r->io.file = q->file;
	r->req = req;
	r->done = 0;
	r->bounce = NULL;
	r->n_tries = 0;
	switch (req->op) {
	case BLK_READ:
	case BLK_WRITE:
		begin_transfer(r);
		return;
	case BLK_FLUSH:
		begin_flush(r);
		return;
	case BLK_DISCARD:
		r->ladder = discard_ladder;
		climb(r);
		return;
	case BLK_WRITE_ZEROES:
		r->ladder = req->may_unmap ? unmap_ladder : zero_ladder;
		climb(r);
		return;
	default:
		finish(r, -EOPNOTSUPP);
	}
}

static void file_submit(struct blk_vq *q, struct blk_req *const *reqs,
			unsigned int n)
{
	(void)q;
	for (unsigned int i = 0; i < n; i++) {
		begin(reqs[i]);
	}
}

static int file_queue_start(struct blk_vq *vq)
{
	const struct file_disk *disk = blk_priv(blk_vq_dev(vq));
	struct file_vq *q = blk_vq_priv(vq);

	blk_pool_init(&q->pool, BOUNCE_BYTES, BOUNCE_BUFFERS);
	for (unsigned int i = 0; i < ZERO_PIECES; i++) {
		q->zeroes[i] = (struct iovec){ disk->zeroes, FILE_ZERO_BYTES };
	}
	return loop_file_new(blk_vq_loop(vq), disk->fd, &q->file);
}

static void file_queue_stop(struct blk_vq *vq)
{
	struct file_vq *q = blk_vq_priv(vq);

	blk_pool_fini(&q->pool);
	q->file = loop_file_free(q->file);
}

const struct blk_backend blk_backend_file = {
	.name = "file",
	.help = "a regular file or a block device",
	.keys = file_keys,
	.n_keys = FILE_KEYS_N,
	.dev_bytes = sizeof(struct file_disk),
	.vq_bytes = sizeof(struct file_vq),
	.req_bytes = sizeof(struct file_req),
	.open = file_open,
	.close = file_close,
	.queue_start = file_queue_start,
	.queue_stop = file_queue_stop,
	.submit = file_submit,
	.resize = file_resize,
};
