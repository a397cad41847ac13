/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of `vdpakit blk` share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_BLK_H
#define CLI_BLK_H

#include "cli/io.h"

/* What may be said with --depth, --threads and --chunk. */
#define BLK_DEPTH_MAX	    1024
#define BLK_THREADS_MAX	    64
#define BLK_CHUNK_BYTES_MAX (64U << 20)

/**
 * struct blk_end - where data comes from, or goes to
 *
 * @word: as the user said it
 * @blk: a device; NULL: a file
 * @fd: a file; -1: a device
 * @is_stream: a file that has no offsets: a pipe, a terminal
 * @owns_fd: it was opened here
 * @size_bytes: as of now; UINT64_MAX: a stream
 */
struct blk_end {
	const char *word;
	struct vdpakit_blk *blk;
	struct vdpakit_blk_info info;
	int fd;
	bool is_stream;
	bool owns_fd;
	uint64_t size_bytes;
};

/* What an end is opened for. */
struct blk_end_want {
	const char *name; /* of the device, on the bus */
	bool is_target;
	unsigned int n_queues; /* 0: all */
	unsigned int depth; /* 0: what the device likes */
	unsigned int poll_us;
};

/* A device. Return: 0; -errno */
int blk_end_open_device(const struct cli *cli, struct vdpakit *kit,
			const char *word, const struct blk_end_want *want,
			struct blk_end *ret);
/* A device, a file, or "-". Return: 0; -errno */
int blk_end_open(const struct cli *cli, struct vdpakit *kit, const char *word,
		 const struct blk_end_want *want, struct blk_end *ret);
/* Return: 0; what the file system says of what was written */
int blk_end_close(struct blk_end *end);

/**
 * struct blk_copy - something to be copied
 *
 * @len_bytes: UINT64_MAX: to the end of the source
 * @is_sparse: zeroes are not read and written, where there is a way not to
 * @pads: the last sector of a device may be filled up with zeroes
 * @wants_progress: show it on standard error
 * @done_bytes: written afterwards
 */
struct blk_copy {
	struct blk_end src, dst;
	uint64_t src_offset, dst_offset;
	uint64_t len_bytes;
	uint32_t chunk_bytes;
	unsigned int depth;
	unsigned int n_threads;
	bool is_sparse;
	bool pads;
	bool wants_progress;
	uint64_t done_bytes;
};

/* Return: 0; -errno */
int blk_copy_run(struct vdpakit *kit, struct blk_copy *copy);

/* blk.c. Return: 0; -EINVAL */
int blk_check_device(const char *word);

/* blk_info.c */
int blk_show_info(const struct cli *cli, int argc, char **argv);
void blk_info_help(void);

/* blk_bench.c */
int blk_bench(const struct cli *cli, int argc, char **argv);
void blk_bench_help(void);

#endif
