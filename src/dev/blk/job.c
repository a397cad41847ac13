/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that may take their time.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/job.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "base/err.h"

static void destroy(struct blk_job *job)
{
	pthread_cond_destroy(&job->cond);
	pthread_mutex_destroy(&job->lock);
	job->free(job);
}

static void deliver(void *priv)
{
	struct blk_job *job = priv;
	bool is_dropped;

	pthread_mutex_lock(&job->lock);
	job->state = BLK_JOB_DONE;
	is_dropped = job->is_dropped;
	pthread_mutex_unlock(&job->lock);
	if (is_dropped) {
		destroy(job);
	} else {
		job->fn(job);
	}
}

static void *run(void *priv)
{
	struct blk_job *job = priv;
	bool is_dropped;

	job->run(job);
	pthread_mutex_lock(&job->lock);
	is_dropped = job->is_dropped;
	job->state = job->loop ? BLK_JOB_QUEUED : BLK_JOB_DONE;
	/* The loop lives at least until its owner has dropped the job, which
	 * takes the lock. */
	if (!is_dropped && job->loop) {
		loop_call(job->loop, &job->work);
	}
	pthread_cond_signal(&job->cond);
	pthread_mutex_unlock(&job->lock);
	if (is_dropped) {
		destroy(job);
	}
	return NULL;
}

static int start_thread(struct blk_job *job)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int ret = pthread_attr_init(&attr);

	if (ret != 0) {
		return ret;
	}
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&thread, &attr, run, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

int blk_job_start(struct blk_job *job)
{
	pthread_condattr_t attr;
	int ret;

	job->state = BLK_JOB_RUNNING;
	job->is_dropped = false;
	job->work = (struct loop_work){ .fn = deliver, .priv = job };
	pthread_mutex_init(&job->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&job->cond, &attr);
	pthread_condattr_destroy(&attr);
	ret = start_thread(job);
	if (ret != 0) {
		pthread_cond_destroy(&job->cond);
		pthread_mutex_destroy(&job->lock);
		return err(-ret, "no thread to connect with");
	}
	return 0;
}

int blk_job_wait(struct blk_job *job, unsigned int timeout_ms)
{
	struct timespec end;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout_ms / 1000;
	end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&job->lock);
	while (job->state != BLK_JOB_DONE && ret == 0) {
		ret = pthread_cond_timedwait(&job->cond, &job->lock, &end);
	}
	ret = job->state == BLK_JOB_DONE ? 0 : -ETIMEDOUT;
	pthread_mutex_unlock(&job->lock);
	return ret;
}

void blk_job_drop(struct blk_job *job)
{
	bool is_done;

	pthread_mutex_lock(&job->lock);
	is_done = job->state == BLK_JOB_DONE;
	job->is_dropped = true;
	pthread_mutex_unlock(&job->lock);
	if (is_done) {
		destroy(job);
	}
}
