/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of a copy share. See blk_copy.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_BLK_COPY_H
#define CLI_BLK_COPY_H

#include <pthread.h>
#include <semaphore.h>

#include "base/err.h"
#include "cli/blk.h"

/* Results that are taken at a time. */
#define COPY_DONE_MAX 64

enum copy_slot_state {
	SLOT_FREE,
	SLOT_READING,
	SLOT_READ,
	SLOT_WRITING,
};

/**
 * struct copy_slot - a chunk under way
 *
 * @at: where it begins, counted from the beginning of the copy
 * @len: bytes of it
 * @is_zero: all zeroes; then what is in @buf does not matter
 * @is_last: the source ended in it
 */
struct copy_slot {
	enum copy_slot_state state;
	bool is_zero;
	bool is_last;
	uint32_t len;
	uint64_t at;
	char *buf;
};

struct copy_thread {
	struct copy *c;
	pthread_t thread;
	struct vdpakit_blk_queue *src, *dst; /* NULL: a file */
	struct copy_slot *slots;
	unsigned int n_slots;
	unsigned int n_busy;
	unsigned int next; /* slot to look at first */
	unsigned int oldest; /* in order: the one to be written next */
};

struct copy {
	/* set before there are threads */
	struct blk_copy *job;
	char *memory;
	bool is_ordered;
	struct copy_thread threads[BLK_THREADS_MAX];
	unsigned int n_started;

	/* any thread, atomic */
	uint64_t next;
	uint64_t done;
	int result; /* the first error */
	char text[ERR_TEXT_MAX]; /* of it; its setter's until the end */
	sem_t ended;

	/* main thread */
	bool has_progress;
};

/* blk_copy.c: the copy ends with this error, unless there is one already. */
void copy_fail(struct copy *c, int code);

/* blk_copy_file.c */

/* Checks ranges and numbers, fills in what was left open. Return: 0; -errno */
int copy_prepare(struct blk_copy *job);
/* A file that was written has its size now. Return: 0; -errno */
int copy_finish(struct blk_copy *job);
/* Fills a slot from the source. Return: 0; -errno */
int copy_file_read(const struct blk_copy *job, struct copy_slot *s);
/* Return: 0; -errno */
int copy_file_write(const struct blk_end *dst, const struct copy_slot *s,
		    uint64_t offset);
bool copy_is_zero(const char *buf, size_t len);

/* blk_progress.c */

/* Waits for a thread's end, and tells the user meanwhile. */
void copy_progress_wait(struct copy *c);
void copy_progress_end(struct copy *c);

#endif
