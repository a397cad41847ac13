/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A call that may take its time, on a thread of its own.
 *
 * Connecting to storage resolves names and shakes hands inside libraries that
 * cannot be hurried: neither the control thread nor a worker may wait for it
 * for longer than it likes. So a job has its own memory, shares nothing with
 * who wants it, and whoever loses interest drops it: what is left ends, and
 * frees itself, when the call returns.
 *
 *   control thread   start, wait (bounded) ............ drop
 *   worker           start ...... fn() on the worker .. drop
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_JOB_H
#define DEV_BLK_JOB_H

#include <pthread.h>

#include "loop/loop.h"

enum blk_job_state {
	BLK_JOB_RUNNING,
	BLK_JOB_QUEUED, /* fn() is on its way */
	BLK_JOB_DONE,
};

/**
 * struct blk_job - embedded in what its user allocates, zeroed
 * @run: the call; on the job's thread, signals blocked
 * @free: the job and whatever is left of its result; any thread, once
 * @loop: optional: where @fn is called when run() has returned
 * @fn: optional: not after blk_job_drop(), which it may call; owner of @loop
 */
struct blk_job {
	/* set before blk_job_start() */
	void (*run)(struct blk_job *job);
	void (*free)(struct blk_job *job);
	struct loop *loop;
	void (*fn)(struct blk_job *job);
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	enum blk_job_state state;
	bool is_dropped;
	struct loop_work work;
};

/* Return: 0; -errno: there is no thread, @job is its caller's to free */
int blk_job_start(struct blk_job *job);

/* A job without fn: waits until it is done. Return: 0; -ETIMEDOUT */
int blk_job_wait(struct blk_job *job, unsigned int timeout_ms);

/* It is not wanted any more, or done with. With a loop: its owner only. */
void blk_job_drop(struct blk_job *job);

#endif
