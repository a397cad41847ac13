/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end rbd: the cluster.
 *
 * librados and librbd (rbd_lib.h) block, and without an end where a cluster does not
 * answer: opening and closing have threads of their own (job.h), and limits
 * in the cluster's configuration.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "dev/blk/rbd.h"

/* What a thread may be late, before it is not waited for any more. */
#define LATE_MS 500

static int failed(int code, const char *what, const char *name)
{
	return err(code, "rbd: %s%s%s: %s", what, name[0] ? " " : "", name,
		   strerror(-code));
}

static int set_seconds(struct rbd_link *link, const char *option, uint32_t s)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", max_of(s, 1U));
	return link->lib.rados_conf_set(link->cluster, option, text);
}

static int configure(struct rbd_link *link)
{
	const struct rbd_place *p = &link->place;
	int ret = link->lib.rados_create(&link->cluster,
					 p->user[0] ? p->user : NULL);

	if (ret < 0) {
		link->cluster = NULL;
		return failed(ret, "user", p->user);
	}
	ret = link->lib.rados_conf_read_file(link->cluster,
					     p->conf[0] ? p->conf : NULL);
	if (ret < 0) {
		return failed(ret, "conf", p->conf);
	}
	ret = set_seconds(link, "client_mount_timeout", p->connect_s);
	if (ret == 0) {
		ret = set_seconds(link, "rados_mon_op_timeout", p->connect_s);
	}
	if (ret == 0) {
		ret = set_seconds(link, "rados_osd_op_timeout", p->reconnect_s);
	}
	return ret < 0 ? failed(ret, "conf", "") : 0;
}

static int open_pool(struct rbd_link *link)
{
	const struct rbd_place *p = &link->place;
	int ret = link->lib.rados_connect(link->cluster);

	if (ret < 0) {
		return failed(ret, "no connection to the cluster", "");
	}
	ret = link->lib.rados_ioctx_create(link->cluster, p->pool, &link->io);
	if (ret < 0) {
		link->io = NULL;
		return failed(ret, "pool", p->pool);
	}
	link->lib.rados_ioctx_set_namespace(link->io, p->namespace);
	return 0;
}

static int open_image(struct rbd_link *link)
{
	const struct rbd_place *p = &link->place;
	rbd_image_info_t info;
	int ret = p->is_read_only
			  ? link->lib.rbd_open_read_only(link->io, p->image,
							 &link->image, NULL)
			  : link->lib.rbd_open(link->io, p->image, &link->image,
					       NULL);

	if (ret < 0) {
		link->image = NULL;
		return failed(ret, "image", p->image);
	}
	ret = link->lib.rbd_stat(link->image, &info, sizeof(info));
	if (ret < 0) {
		return failed(ret, "image", p->image);
	}
	link->size_bytes = info.size;
	link->object_bytes = info.obj_size;
	link->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (link->event_fd < 0) {
		return failed(-errno, "eventfd", "");
	}
	ret = link->lib.rbd_set_image_notification(link->image, link->event_fd,
						   EVENT_TYPE_EVENTFD);
	return ret < 0 ? failed(ret, "notification", "") : 0;
}

/* As far as it is open. */
static void hang_up(struct rbd_link *link)
{
	if (link->image) {
		(void)link->lib.rbd_close(
			link->image); /* all was flushed, or failed */
	}
	if (link->io) {
		link->lib.rados_ioctx_destroy(link->io);
	}
	if (link->cluster) {
		link->lib.rados_shutdown(link->cluster);
	}
	link->event_fd = close_fd(link->event_fd);
	link->image = NULL;
	link->io = NULL;
	link->cluster = NULL;
}

static void open_run(struct blk_job *job)
{
	struct rbd_link *link = container_of(job, struct rbd_link, job);

	link->ret = rbd_lib_load(&link->lib);
	if (link->ret == 0) {
		link->ret = configure(link);
	}
	if (link->ret == 0) {
		link->ret = open_pool(link);
	}
	if (link->ret == 0) {
		link->ret = open_image(link);
	}
	if (link->ret < 0) {
		(void)snprintf(link->text, sizeof(link->text), "%s",
			       err_text(link->ret));
		hang_up(link);
	}
}

static void link_free(struct blk_job *job)
{
	struct rbd_link *link = container_of(job, struct rbd_link, job);

	hang_up(link); /* nobody waits for it any more */
	free(link);
}

static int wait_for(struct rbd_link *link)
{
	uint32_t connect_s = link->place.connect_s;

	if (blk_job_wait(&link->job, connect_s * 1000 + LATE_MS) < 0) {
		return err(-ETIMEDOUT, "rbd: no answer after %u s", connect_s);
	}
	return link->ret < 0 ? err(link->ret, "%s", link->text) : 0;
}

int rbd_link_new(const struct rbd_place *place, struct rbd_link **ret)
{
	struct rbd_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link) {
		return err(-ENOMEM, "out of memory");
	}
	link->job = (struct blk_job){ .run = open_run, .free = link_free };
	link->place = *place;
	link->event_fd = -1;
	r = blk_job_start(&link->job);
	if (r < 0) {
		free(link);
		return r;
	}
	r = wait_for(link);
	if (r < 0) {
		blk_job_drop(&link->job);
		return r;
	}
	*ret = link;
	return 0;
}

/* ---- closing ---- */

struct closing {
	struct blk_job job;
	struct rbd_link *link;
};

static void close_run(struct blk_job *job)
{
	struct closing *closing = container_of(job, struct closing, job);

	blk_job_drop(&closing->link->job);
}

static void closing_free(struct blk_job *job)
{
	free(container_of(job, struct closing, job));
}

void rbd_link_free(struct rbd_link *link)
{
	struct closing *closing;
	uint32_t connect_s;

	if (!link) {
		return;
	}
	connect_s = link->place.connect_s;
	closing = calloc(1, sizeof(*closing));
	if (closing) {
		closing->link = link;
		closing->job = (struct blk_job){ .run = close_run,
						 .free = closing_free };
	}
	if (!closing || blk_job_start(&closing->job) < 0) {
		free(closing);
		blk_job_drop(&link->job); /* here, then */
		return;
	}
	(void)blk_job_wait(&closing->job, connect_s * 1000); /* else: later */
	blk_job_drop(&closing->job);
}
