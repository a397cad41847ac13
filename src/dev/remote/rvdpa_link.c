/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_vdpa: the thread that makes a device's calls.
 *
 * Theory of operation
 *
 *   control:  post() --> queue --> thread: run() --> done --> control: ended
 *                        wake_fd                   loop_call
 *
 * The thread opens the node, does one job after the other, and closes the node
 * when it was left. It sleeps in poll(), on the node too: the descriptor of
 * another daemon's is a socket, and hangs up when that dies. (The kernel's
 * node never does; it goes when we have closed it.)
 *
 * Control and thread have a reference each, and so has a message on its way
 * from the one to the other: whoever is last frees the link.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "dev/remote/rvdpa_internal.h"

/* ---- system calls ---- */

static int sys_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

static int sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	int r = ioctl(fd, cmd, arg);

	return r < 0 ? -errno : r;
}

static int sys_write(int fd, const void *buf, size_t len)
{
	ssize_t n = write(fd, buf, len);

	return n < 0 ? -errno : (int)n;
}

static void sys_close(int fd)
{
	(void)close(fd); /* the node's, whatever became of it */
}

const struct rvdpa_sys rvdpa_system = {
	.open = sys_open,
	.ioctl = sys_ioctl,
	.write = sys_write,
	.close = sys_close,
};

static const struct {
	unsigned long cmd;
	const char *name;
} cmd_names[] = {
#define NAMED(c)      \
	{             \
		c, #c \
	}
	NAMED(VHOST_GET_FEATURES),
	NAMED(VHOST_SET_FEATURES),
	NAMED(VHOST_SET_OWNER),
	NAMED(VHOST_GET_BACKEND_FEATURES),
	NAMED(VHOST_SET_BACKEND_FEATURES),
	NAMED(VHOST_SET_VRING_NUM),
	NAMED(VHOST_SET_VRING_ADDR),
	NAMED(VHOST_SET_VRING_BASE),
	NAMED(VHOST_GET_VRING_BASE),
	NAMED(VHOST_SET_VRING_KICK),
	NAMED(VHOST_SET_VRING_CALL),
	NAMED(VHOST_VDPA_GET_DEVICE_ID),
	NAMED(VHOST_VDPA_GET_STATUS),
	NAMED(VHOST_VDPA_SET_STATUS),
	NAMED(VHOST_VDPA_GET_CONFIG),
	NAMED(VHOST_VDPA_SET_CONFIG),
	NAMED(VHOST_VDPA_SET_VRING_ENABLE),
	NAMED(VHOST_VDPA_GET_VRING_NUM),
	NAMED(VHOST_VDPA_SET_CONFIG_CALL),
	NAMED(VHOST_VDPA_GET_IOVA_RANGE),
	NAMED(VHOST_VDPA_GET_CONFIG_SIZE),
	NAMED(VHOST_VDPA_GET_AS_NUM),
	NAMED(VHOST_VDPA_GET_GROUP_NUM),
	NAMED(VHOST_VDPA_GET_VQS_COUNT),
	NAMED(VHOST_VDPA_GET_VRING_GROUP),
	NAMED(VHOST_VDPA_GET_VRING_DESC_GROUP),
	NAMED(VHOST_VDPA_GET_VRING_SIZE),
	NAMED(VHOST_VDPA_SET_GROUP_ASID),
	NAMED(VHOST_VDPA_SUSPEND),
	NAMED(VHOST_VDPA_RESUME),
#undef NAMED
};

const char *rvdpa_cmd_name(unsigned long cmd)
{
	for (size_t i = 0; i < ARRAY_SIZE(cmd_names); i++) {
		if (cmd_names[i].cmd == cmd) {
			return cmd_names[i].name;
		}
	}
	return "a message";
}

/* Return: 0, whatever positive number it said; -errno, which it may make up */
int rvdpa_ioctl(const struct rvdpa_link *link, unsigned long cmd, void *arg)
{
	int r;

	do {
		r = link->sys->ioctl(link->fd, cmd, arg);
	} while (r == -EINTR);
	return r < 0 ? err(r, "%s: %s", rvdpa_cmd_name(cmd), strerror(-r)) : 0;
}

/* ---- jobs ---- */

struct rvdpa_job *rvdpa_job_new(int (*run)(struct rvdpa_link *link,
					   struct rvdpa_job *job))
{
	struct rvdpa_job *job = calloc(1, sizeof(*job));

	if (job) {
		job->run = run;
		job->dup_fd = -1;
		list_init(&job->node);
	}
	return job;
}

void rvdpa_job_free(struct rvdpa_job *job)
{
	if (!job) {
		return;
	}
	if (job->map) {
		(void)iotlb_snap_unref(job->map);
	}
	(void)close_fd(job->dup_fd);
	free(job->config);
	free(job);
}

static void free_jobs(struct list *jobs)
{
	struct rvdpa_job *job, *tmp;

	list_for_each_entry_safe(job, tmp, jobs, node) {
		list_del(&job->node);
		rvdpa_job_free(job);
	}
}

/* ---- life ---- */

struct rvdpa_link *rvdpa_link_unref(struct rvdpa_link *link)
{
	bool is_last;

	if (!link) {
		return NULL;
	}
	pthread_mutex_lock(&link->lock);
	is_last = --link->refs == 0;
	pthread_mutex_unlock(&link->lock);
	if (is_last) {
		free_jobs(&link->queue);
		free_jobs(&link->done);
		rvdpa_facts_fini(&link->facts);
		(void)close_fd(link->wake_fd);
		(void)close_fd(link->config_fd);
		pthread_cond_destroy(&link->cond);
		pthread_mutex_destroy(&link->lock);
		free(link);
	}
	return NULL;
}

static void wake(const struct rvdpa_link *link)
{
	(void)eventfd_write(link->wake_fd, 1); /* ours: it is never full */
}

/* ---- from the thread to control ---- */

/* What control is told. */
struct news {
	struct list jobs;
	struct rvdpa_dev *dev; /* whom; NULL: nobody */
	struct vdpa_mgmtdev *mgmtdev; /* there is no device yet; or NULL */
	bool is_gone;
};

static void take_news(struct rvdpa_link *link, struct news *ret)
{
	struct rvdpa_job *job, *tmp;

	list_init(&ret->jobs);
	pthread_mutex_lock(&link->lock);
	link->is_told = false;
	list_for_each_entry_safe(job, tmp, &link->done, node) {
		list_del(&job->node);
		list_add_tail(&ret->jobs, &job->node);
	}
	ret->dev = link->dev;
	ret->mgmtdev = link->dev ? NULL : link->mgmtdev;
	ret->is_gone = link->is_gone;
	pthread_mutex_unlock(&link->lock);
}

static void has_done_something(void *priv)
{
	struct rvdpa_link *link = priv;
	struct rvdpa_job *job, *tmp;
	struct news news;

	take_news(link, &news);
	list_for_each_entry_safe(job, tmp, &news.jobs, node) {
		list_del(&job->node);
		job->is_done = true;
		if (news.dev) {
			rvdpa_ended(news.dev, job);
		}
		if (!news.dev || job->is_left) {
			rvdpa_job_free(job);
		}
	}
	if (news.dev && news.is_gone) {
		rvdpa_break(news.dev, "the other side has gone");
	}
	if (news.dev) {
		vdpa_wake(news.dev->waiter);
	} else if (news.mgmtdev) {
		vdpa_mgmtdev_has_news(news.mgmtdev);
	}
	rvdpa_link_unref(link);
}

/* Locked. */
static void tell(struct rvdpa_link *link)
{
	if (link->mgmtdev && !link->is_told) {
		link->is_told = true;
		link->refs++;
		loop_call(link->control, &link->work);
	}
}

/* ---- the thread ---- */

/* Sleeps until there may be something to do. */
static void await_work(struct rvdpa_link *link, bool *is_deaf)
{
	struct pollfd p[] = {
		{ .fd = link->wake_fd, .events = POLLIN },
		{ .fd = *is_deaf ? -1 : link->fd },
	};
	eventfd_t count;

	(void)poll(p, ARRAY_SIZE(p), -1);
	if (p[0].revents) {
		(void)eventfd_read(link->wake_fd, &count);
	}
	if (p[1].revents & (POLLHUP | POLLERR | POLLNVAL)) {
		*is_deaf = true;
		pthread_mutex_lock(&link->lock);
		link->is_gone = true;
		tell(link);
		pthread_mutex_unlock(&link->lock);
	}
}

/* Locked. Return: NULL: there is none now */
static struct rvdpa_job *next_job(struct rvdpa_link *link, bool *is_over)
{
	struct rvdpa_job *job = NULL;

	*is_over = link->is_left &&
		   (link->is_cut || list_is_empty(&link->queue));
	if (!*is_over && !list_is_empty(&link->queue)) {
		job = list_entry(link->queue.next, struct rvdpa_job, node);
		list_del(&job->node);
	}
	return job;
}

static void do_job(struct rvdpa_link *link, struct rvdpa_job *job)
{
	int result = job->run(link, job);

	job->result = result;
	if (result < 0) {
		(void)snprintf(job->text, sizeof(job->text), "%s",
			       err_text(result));
	}
	pthread_mutex_lock(&link->lock);
	list_add_tail(&link->done, &job->node);
	tell(link);
	pthread_mutex_unlock(&link->lock);
}

static void do_jobs(struct rvdpa_link *link)
{
	bool is_over = false, is_deaf = false;

	while (!is_over) {
		struct rvdpa_job *job;

		pthread_mutex_lock(&link->lock);
		job = next_job(link, &is_over);
		pthread_mutex_unlock(&link->lock);
		if (job) {
			do_job(link, job);
		} else if (!is_over) {
			await_work(link, &is_deaf);
		}
	}
}

static void end(struct rvdpa_link *link)
{
	if (link->fd >= 0) {
		link->sys->close(link->fd); /* may take its time, too */
		link->fd = -1;
	}
	rvdpa_forget_maps(link);
	pthread_mutex_lock(&link->lock);
	link->has_ended = true;
	pthread_cond_broadcast(&link->cond);
	pthread_mutex_unlock(&link->lock);
	rvdpa_link_unref(link);
}

static void *link_main(void *priv)
{
	struct rvdpa_link *link = priv;
	int r = rvdpa_probe(link);

	pthread_mutex_lock(&link->lock);
	link->probe_result = r;
	(void)snprintf(link->probe_text, sizeof(link->probe_text), "%s",
		       r < 0 ? err_text(r) : "");
	link->has_probed = true;
	tell(link);
	pthread_mutex_unlock(&link->lock);
	if (r == 0) {
		do_jobs(link);
	}
	end(link);
	return NULL;
}

/* Signals are for others. */
static int start_thread(struct rvdpa_link *link)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int r = pthread_attr_init(&attr);

	if (r != 0) {
		return err(-r, "a thread: %s", strerror(r));
	}
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, link_main, link);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return r == 0 ? 0 : err(-r, "a thread: %s", strerror(r));
}

static void init_lock(struct rvdpa_link *link)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&link->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&link->cond, &attr);
	pthread_condattr_destroy(&attr);
}

int rvdpa_link_new(const struct rvdpa_sys *sys, struct vdpa_mgmtdev *mgmtdev,
		   const char *path, struct rvdpa_link **ret)
{
	struct rvdpa_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link) {
		return err(-ENOMEM, "out of memory");
	}
	link->sys = sys;
	link->mgmtdev = mgmtdev;
	link->control = vdpa_bus_control(mgmtdev->bus);
	link->fd = -1;
	link->refs = 2; /* ours, and the thread's */
	link->work = (struct loop_work){ has_done_something, link };
	list_init(&link->queue);
	list_init(&link->done);
	list_init(&link->kept);
	(void)snprintf(link->path, sizeof(link->path), "%s", path);
	init_lock(link);
	link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	link->config_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = link->wake_fd < 0 || link->config_fd < 0
		    ? err(-errno, "eventfd: %s", strerror(errno))
		    : start_thread(link);
	if (r < 0) {
		link->refs = 1;
		rvdpa_link_unref(link);
		return r;
	}
	*ret = link;
	return 0;
}

/* ---- control ---- */

#define NS_PER_S 1000000000ULL

bool rvdpa_link_has_probed(struct rvdpa_link *link, int *ret_result)
{
	bool has_probed;
	int r;

	pthread_mutex_lock(&link->lock);
	has_probed = link->has_probed;
	r = link->probe_result;
	pthread_mutex_unlock(&link->lock);
	if (has_probed) {
		*ret_result = r < 0 ? err(r, "%s", link->probe_text) : 0;
	}
	return has_probed;
}

void rvdpa_link_attach(struct rvdpa_link *link, struct rvdpa_dev *dev)
{
	pthread_mutex_lock(&link->lock);
	link->dev = dev;
	if (link->is_gone) {
		tell(link);
	}
	pthread_mutex_unlock(&link->lock);
}

void rvdpa_link_leave(struct rvdpa_link *link, bool is_cut)
{
	pthread_mutex_lock(&link->lock);
	link->dev = NULL;
	link->mgmtdev = NULL;
	link->is_left = true;
	link->is_cut = is_cut;
	pthread_mutex_unlock(&link->lock);
	wake(link);
}

bool rvdpa_link_has_ended(struct rvdpa_link *link, uint64_t end_ns)
{
	const struct timespec end = {
		.tv_sec = (time_t)(end_ns / NS_PER_S),
		.tv_nsec = (long)(end_ns % NS_PER_S),
	};
	bool has_ended;
	int r = 0;

	pthread_mutex_lock(&link->lock);
	while (!link->has_ended && r == 0) {
		r = pthread_cond_timedwait(&link->cond, &link->lock, &end);
	}
	has_ended = link->has_ended;
	pthread_mutex_unlock(&link->lock);
	return has_ended;
}

void rvdpa_link_post(struct rvdpa_link *link, struct rvdpa_job *job)
{
	pthread_mutex_lock(&link->lock);
	list_add_tail(&link->queue, &job->node);
	pthread_mutex_unlock(&link->lock);
	wake(link);
}
