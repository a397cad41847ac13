/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse: what blocks, on a thread of its own.
 *
 * To put a device on the kernel's bus, or to take it off, is one system call,
 * which returns when the kernel's driver is done with it; and that driver asks
 * us things on its way. So the call is made by a thread, and meanwhile the
 * control thread answers, either from its loop or, where the caller wants to
 * know how it ended, from a loop of its own that looks at this device only.
 *
 * The call may never return (it waits for some client of the kernel's). Then
 * the thread is left to itself; whoever of the two is last frees the job.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "busdrv/kvduse_internal.h"

static void job_free(struct kvduse_job *job)
{
	(void)close_fd(job->done_fd);
	free(job);
}

static void *job_main(void *priv)
{
	struct kvduse_job *job = priv;
	const uint64_t one = 1;

	job->result = job->fn(job->name);
	(void)snprintf(job->text, sizeof(job->text), "%s",
		       err_text(job->result));
	if (__atomic_exchange_n(&job->state, JOB_DONE, __ATOMIC_ACQ_REL) ==
	    JOB_LEFT) {
		job_free(job);
	} else {
		/* It is our own, and empty: there is room. */
		(void)!write(job->done_fd, &one, sizeof(one));
	}
	return NULL;
}

/* Signals are for others. */
static int start_thread(struct kvduse_job *job)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&job->thread, NULL, job_main, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0) {
		return err(-r, "a thread: %s", strerror(r));
	}
	return 0;
}

int kvduse_job_start(struct kvduse *kv, int (*fn)(const char *name))
{
	struct kvduse_job *job;
	int r;

	if (kv->job) {
		return err(-EBUSY, "the kernel is still at it");
	}
	job = calloc(1, sizeof(*job));
	if (!job) {
		return -ENOMEM;
	}
	(void)snprintf(job->name, sizeof(job->name), "%s", kv->name);
	job->fn = fn;
	job->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = job->done_fd < 0 ? err(-errno, "eventfd: %s", strerror(errno))
			     : start_thread(job);
	if (r < 0) {
		(void)close_fd(job->done_fd);
		free(job);
		return r;
	}
	kv->job = job;
	return 0;
}

void kvduse_job_leave(struct kvduse *kv)
{
	struct kvduse_job *job = steal_ptr(kv->job);
	pthread_t thread;

	kv->job_watch = loop_watch_free(kv->job_watch);
	if (!job) {
		return;
	}
	thread = job->thread;
	if (__atomic_exchange_n(&job->state, JOB_LEFT, __ATOMIC_ACQ_REL) ==
	    JOB_DONE) {
		pthread_join(thread, NULL);
		job_free(job);
	} else {
		pthread_detach(thread);
	}
}

bool kvduse_job_take(struct kvduse *kv, int *ret_result)
{
	struct kvduse_job *job = kv->job;

	if (!job ||
	    __atomic_load_n(&job->state, __ATOMIC_ACQUIRE) != JOB_DONE) {
		return false;
	}
	*ret_result = job->result < 0 ? err(job->result, "%s", job->text) : 0;
	kvduse_job_leave(kv);
	return true;
}

int kvduse_job_wait(struct kvduse *kv)
{
	uint64_t end_ns = loop_read_ns(kv->loop) + KVDUSE_JOB_MS * 1000000ULL;
	int result;

	while (!kvduse_job_take(kv, &result)) {
		uint64_t now_ns = loop_read_ns(kv->loop);
		struct pollfd p[] = {
			{ .fd = kv->job->done_fd, .events = POLLIN },
			{ .fd = kv->is_broken ? -1 : kv->fd, .events = POLLIN },
			{ .fd = kv->kick.fd, .events = POLLIN },
		};

		if (now_ns >= end_ns) {
			return err(-ETIMEDOUT, "the kernel takes its time");
		}
		(void)poll(p, ARRAY_SIZE(p),
			   (int)((end_ns - now_ns) / 1000000 + 1));
		if (p[2].revents) {
			kvduse_vqs_poll(kv);
		}
		if (p[1].revents) {
			kvduse_serve(kv);
		}
	}
	return result;
}
