/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back ends: what holds the sectors.
 *
 * Theory of operation
 *
 * The class (request.c) takes requests from the rings, checks them against the
 * limits that the back end told, and hands bursts of them to submit(). The back
 * end ends each one with blk_done(): at once, from within submit(), or any time
 * later on the queue's worker. Until then the request, its pieces and the
 * memory beside it (priv) are the back end's.
 *
 *   control thread   open() ............................... resize() ... close()
 *   worker of queue  queue_start() ... submit(), blk_done() ... queue_stop()
 *
 * Queues never share anything in the class: what a back end shares among them
 * (a file, a connection) is its own to protect.
 *
 * A back end is one file with one struct blk_backend called
 * blk_backend_NAME; src/dev/blk/meson.build lists the names.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_BACKEND_H
#define DEV_BLK_BACKEND_H

#include <sys/uio.h>

#include "bus/bus.h"

#define BLK_SECTOR_BYTES 512
/* Largest disk that is offered: offsets in bytes stay far from 2^63. */
#define BLK_CAPACITY_MAX_SECTORS (1ULL << 53)

struct blk_dev;
struct blk_vq;

enum blk_op {
	BLK_READ,
	BLK_WRITE,
	BLK_FLUSH,
	BLK_DISCARD,
	BLK_WRITE_ZEROES,
	BLK_SECURE_ERASE,
	BLK_OP_N,
};

/* One range of a discard, write zeroes or secure erase. */
struct blk_range {
	uint64_t sector;
	uint32_t n_sectors;
	uint32_t flags;
};
#define BLK_RANGES_MAX 16

/**
 * struct blk_req - one request, checked
 *
 * @q: its queue
 * @op: what to do; several ranges in one request come one after another
 * @is_fua: write, write zeroes: on stable storage before blk_done()
 * @may_unmap: write zeroes: space may be given back
 * @offset, @len: bytes; in the capacity, multiples of the block size; flush: 0
 * @iov, @n_iov: the data of a read or a write, @len in all; not to be changed
 * @priv: of the back end, req_bytes of it; what it was before is undefined
 */
struct blk_req {
	struct blk_vq *q;
	uint8_t op;
	bool is_fua;
	bool may_unmap;
	uint64_t offset;
	uint64_t len;
	const struct iovec *iov;
	unsigned int n_iov;

	/* the class's own, see request.c */
	bool is_in_submit;
	bool has_result;
	uint8_t n_ranges, range_idx;
	int64_t result;
	struct vq_chain *chain;
	uint64_t start_ns;
	uint64_t n_bytes; /* for the statistics */
	struct iovec *cut; /* a piece that is shorter for now ... */
	struct iovec whole; /* ... and as it is */
	struct blk_range ranges[BLK_RANGES_MAX];

	char priv[] __attribute__((aligned(16)));
};

/**
 * blk_done() - a request has ended
 * @req: not to be touched afterwards. Owner worker of its queue
 * @res: read: bytes that were put into the pieces, from the first on;
 *       otherwise 0; -EOPNOTSUPP the driver is told UNSUPP; any other -errno:
 *       IOERR
 */
void blk_done(struct blk_req *req, int64_t res);

/**
 * struct blk_limits - what a back end says of itself when it is opened
 *
 * Preset as shown, capacity and block size to what the user asked for, 0: to
 * nothing; max_ranges, seg_max and size_max may be left alone.
 *
 * @capacity_sectors: of 512 bytes, at least one block; no default
 * @block_bytes: 512 or a larger power of two: requests are multiples of it (512)
 * @physical_exp: blocks of a physical block, log2 (0)
 * @alignment_offset: blocks before the first aligned one (0)
 * @min_io_blocks, @opt_io_blocks: 0: not known (1, 0)
 * @is_read_only: (false)
 * @has_volatile_cache: flushes mean something (true)
 * @discard_sectors, @write_zeroes_sectors, @secure_erase_sectors: most of one
 *             range; 0: cannot do that (0)
 * @discard_align_sectors: (one block)
 * @zeroes_may_unmap: write zeroes may give space back (true)
 * @max_ranges: of one request, at most BLK_RANGES_MAX (that)
 * @seg_max: most pieces of a request that the driver is told of (126)
 * @size_max: most bytes of a piece; 0: any (0)
 * @has_one_worker: all queues have the same owner (false)
 */
struct blk_limits {
	uint64_t capacity_sectors;
	uint32_t block_bytes;
	uint8_t physical_exp;
	uint8_t alignment_offset;
	uint16_t min_io_blocks;
	uint32_t opt_io_blocks;
	bool is_read_only;
	bool has_volatile_cache;
	uint32_t discard_sectors;
	uint32_t write_zeroes_sectors;
	uint32_t secure_erase_sectors;
	uint32_t discard_align_sectors;
	bool zeroes_may_unmap;
	uint32_t max_ranges;
	uint32_t seg_max;
	uint32_t size_max;
	bool has_one_worker;
};

/* A key of `dev add`, and what it does before the back end is opened. */
struct blk_key {
	struct vdpa_key key;
	int (*set)(struct blk_dev *blk, const char *value);
};

/**
 * struct blk_backend - one kind of back end
 *
 * @name, @help: of the key `backend`
 * @keys, @n_keys: its own; a name that another back end has too means the same
 *                 thing there
 * @dev_bytes, @vq_bytes, @req_bytes: memory of its own for each device, queue
 *                 and request: zeroed blk_priv(), blk_vq_priv(); req->priv
 * @open: the keys are applied; fills blk->limits. Control thread
 * @close: after all queues were stopped, after open() failed, or without it
 * @queue_start: optional: on the queue's worker, once, after open()
 * @queue_stop: optional: on the same, nothing is in flight
 * @submit: owner worker; 1 <= @n. @reqs is the class's after it returned
 * @cancel: optional: the queue is stopping: end what is in flight soon
 * @resize: optional: another capacity, in sectors; 0: look how large it is now.
 *          Queues may be running. Shrinking: requests beyond the new end are
 *          not submitted any more. Control thread. Return: 0, *ret is the
 *          capacity now; -errno
 */
struct blk_backend {
	const char *name;
	const char *help;
	const struct blk_key *keys;
	unsigned int n_keys;
	size_t dev_bytes;
	size_t vq_bytes;
	size_t req_bytes;
	int (*open)(struct blk_dev *blk);
	void (*close)(struct blk_dev *blk);
	int (*queue_start)(struct blk_vq *q);
	void (*queue_stop)(struct blk_vq *q);
	void (*submit)(struct blk_vq *q, struct blk_req *const *reqs,
		       unsigned int n);
	void (*cancel)(struct blk_vq *q);
	int (*resize)(struct blk_dev *blk, uint64_t want_sectors,
		      uint64_t *ret_sectors);
};

/* All that are built in; NULL ends. Written by Meson. */
extern const struct blk_backend *const blk_backends[];
extern const struct blk_backend blk_backend_mem; /* of the simulator */

/* ---- what a back end may ask of the class ---- */

void *blk_priv(const struct blk_dev *blk);
struct blk_limits *blk_limits(struct blk_dev *blk);
const char *blk_name(const struct blk_dev *blk);

struct blk_dev *blk_vq_dev(const struct blk_vq *q);
void *blk_vq_priv(const struct blk_vq *q);
struct loop *blk_vq_loop(const struct blk_vq *q);
/* Is it stopping: does control wait for what is in flight? Owner worker. */
bool blk_vq_is_stopping(const struct blk_vq *q);

/* The back end has another size: resize(0) will be called, and the driver told,
 * soon. Any thread; after open(), until all queues were stopped, or in what
 * close() waits for. */
void blk_size_changed(struct blk_dev *blk);

/* Setters of keys that several back ends have. */
int blk_set_capacity(struct blk_dev *blk, const char *value);
int blk_set_read_only(struct blk_dev *blk, const char *value);
/* What these are made of. Return: 0; -EINVAL, -ERANGE, with @what in the text */
int blk_parse_text(const char *what, const char *value, char *to, size_t size);
int blk_parse_seconds(const char *what, const char *value, uint32_t min,
		      uint32_t max, uint32_t *ret_s);
#define BLK_KEY_CAPACITY(help)                                 \
	{                                                      \
		{ "capacity", "SIZE", help }, blk_set_capacity \
	}
#define BLK_KEY_READ_ONLY                                             \
	{                                                             \
		{ "read_only", "on|off",                              \
		  "no writes; the driver is told so (default off)" }, \
			blk_set_read_only                             \
	}

#endif
