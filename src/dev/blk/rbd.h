/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end rbd: what its files share.
 *
 *   rbd.c       keys, limits, requests
 *   rbd_link.c  the cluster: opening and closing an image
 *   rbd_lib.c   the libraries
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_RBD_H
#define DEV_BLK_RBD_H

#include "base/err.h"
#include "dev/blk/job.h"
#include "dev/blk/rbd_lib.h"

/* Where the image is; set by keys. */
struct rbd_place {
	char conf[256]; /* empty: where Ceph looks for it */
	char user[64];
	char pool[96];
	char namespace[96];
	char image[96];
	bool is_read_only;
	uint32_t connect_s;
	uint32_t reconnect_s;
};

/**
 * struct rbd_link - an image that is open, or being opened
 * @ret, @text: why it is not
 * @event_fd: librbd counts what is done there
 */
struct rbd_link {
	struct blk_job job;
	struct rbd_place place;
	struct rbd_lib lib;
	rados_t cluster;
	rados_ioctx_t io;
	rbd_image_t image;
	int event_fd;
	uint64_t size_bytes;
	uint64_t object_bytes;
	int ret;
	char text[ERR_TEXT_MAX];
};

/* Opens it, waiting for place->connect_s at most. Control thread. Return: 0;
 * -ETIMEDOUT; what Ceph said */
int rbd_link_new(const struct rbd_place *place, struct rbd_link **ret);
/* Nothing is in flight. Waits as long for what it says to the cluster, which
 * then goes on by itself. Takes NULL. */
void rbd_link_free(struct rbd_link *link);

#endif
