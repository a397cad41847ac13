/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end file: what its files share.
 *
 *   file.c        the way of a request
 *   file_open.c   keys, opening, what the file can do
 *   file_lock.c   keeping others away
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_FILE_H
#define DEV_BLK_FILE_H

#include "dev/blk/backend.h"

/* Ways to discard and to zero, from the one that is wanted to the one that
 * always works. */
enum file_method {
	FILE_DISCARD, /* of a block device: what is read may be anything */
	FILE_PUNCH, /* a hole: zeroes, space given back */
	FILE_ZERO, /* zeroes, space kept */
	FILE_WRITE, /* write zeroes */
	FILE_NOTHING, /* a discard is but a hint */
	FILE_METHOD_N,
};

/**
 * struct file_disk - one file
 *
 * @align: direct I/O: what offset, length and memory are multiples of; 1: any
 * @zeroes: FILE_ZERO_BYTES of them, never written
 */
struct file_disk {
	/* set before or by open(), then read-only */
	char path[256];
	bool is_direct;
	bool is_shared; /* lock=off */
	bool is_block;
	bool is_open;
	int fd; /* when open */
	int life_fd; /* when open; of the lock, -1: lock=off */
	uint32_t align;
	char *zeroes;

	/* any thread, atomic */
	bool is_missing[FILE_METHOD_N]; /* the file cannot do that */
};

#define FILE_ZERO_BYTES (64U << 10)
#define FILE_ALIGN_MAX	4096

#define FILE_KEYS_N 5
extern const struct blk_key file_keys[FILE_KEYS_N];

int file_open(struct blk_dev *blk);
void file_close(struct blk_dev *blk);
int file_resize(struct blk_dev *blk, uint64_t want_sectors,
		uint64_t *ret_sectors);

#endif
