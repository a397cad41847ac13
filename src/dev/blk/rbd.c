/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end rbd: an image of a Ceph cluster, by librbd.
 *
 * librbd has threads and, where it is switched on, a cache of its own. It counts
 * finished requests in an eventfd that the worker watches, and keeps them in
 * one list for each image: so all queues of a disk have one worker. Opening the
 * image once for each queue instead would have them fight for its lock.
 *
 * A cluster that does not answer is waited for by librados, which sends again
 * what was lost by itself; after reconnect_s a request fails. There is no way
 * to call it back before, so a queue that stops waits for that long, too.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/rbd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dev/blk/backend.h"

#define CONNECT_S_MAX	    60
#define CONNECT_S_DEFAULT   5
#define RECONNECT_S_DEFAULT 60
#define SECONDS_MAX	    86400
#define RANGE_MAX_SECTORS   (1U << 22) /* 2 GiB */
/* What librbd rounds discards to, unless configured otherwise. */
#define DISCARD_BYTES 65536
#define EVENTS_MAX    64

struct rbd_disk {
	/* set before or by open(), then read-only */
	struct rbd_place place;
	struct rbd_link *link;
	bool is_watching;
	uint64_t update_watch;

	/* owner worker only */
	struct loop_watch *watch;
	unsigned int n_queues;
};

struct rbd_req {
	struct blk_req *req;
	bool is_flushing; /* what was written, for FUA */
};

static struct rbd_disk *disk_of(const struct blk_vq *q)
{
	return blk_priv(blk_vq_dev(q));
}

/* ---- keys ---- */

#define TEXT_KEY(key, member)                                          \
	static int set_##key(struct blk_dev *blk, const char *value)   \
	{                                                              \
		struct rbd_disk *disk = blk_priv(blk);                 \
                                                                       \
		return blk_parse_text(#key, value, disk->place.member, \
				      sizeof(disk->place.member));     \
	}

TEXT_KEY(pool, pool)
TEXT_KEY(image, image)
TEXT_KEY(namespace, namespace)
TEXT_KEY(conf, conf)
TEXT_KEY(user, user)

static int set_connect(struct blk_dev *blk, const char *value)
{
	struct rbd_disk *disk = blk_priv(blk);

	return blk_parse_seconds("connect_s", value, 1, CONNECT_S_MAX,
				 &disk->place.connect_s);
}

static int set_reconnect(struct blk_dev *blk, const char *value)
{
	struct rbd_disk *disk = blk_priv(blk);

	return blk_parse_seconds("reconnect_s", value, 1, SECONDS_MAX,
				 &disk->place.reconnect_s);
}

static const struct blk_key rbd_keys[] = {
	{ { "pool", "NAME", "Ceph pool (default rbd)" }, set_pool },
	{ { "namespace", "NAME", "of the pool (default: none)" },
	  set_namespace },
	{ { "image", "NAME", "RBD image" }, set_image },
	{ { "conf", "FILE", "Ceph's configuration (default: where it looks)" },
	  set_conf },
	{ { "user", "NAME", "Ceph user, without client. (default admin)" },
	  set_user },
	{ { "connect_s", "N",
	    "seconds that connecting may take, 1 to 60 (default 5)" },
	  set_connect },
	{ { "reconnect_s", "N",
	    "seconds that requests wait for a server that is gone, before they "
	    "fail (default 60)" },
	  set_reconnect },
	BLK_KEY_READ_ONLY,
};

/* ---- requests ---- */

/* Return: < 0: it was not begun. */
static int begin_op(const struct rbd_link *link, const struct rbd_req *r,
		    rbd_completion_t c)
{
	const struct rbd_lib *lib = &link->lib;
	const struct blk_req *req = r->req;
	int zero_flags = req->may_unmap ? 0
					: RBD_WRITE_ZEROES_FLAG_THICK_PROVISION;

	if (r->is_flushing) {
		return lib->rbd_aio_flush(link->image, c);
	}
	switch (req->op) {
	case BLK_READ:
		return lib->rbd_aio_readv(link->image, req->iov,
					  (int)req->n_iov, req->offset, c);
	case BLK_WRITE:
		return lib->rbd_aio_writev(link->image, req->iov,
					   (int)req->n_iov, req->offset, c);
	case BLK_FLUSH:
		return lib->rbd_aio_flush(link->image, c);
	case BLK_DISCARD:
		return lib->rbd_aio_discard(link->image, req->offset, req->len,
					    c);
	case BLK_WRITE_ZEROES:
		return lib->rbd_aio_write_zeroes(link->image, req->offset,
						 req->len, c, zero_flags, 0);
	default:
		return -EOPNOTSUPP;
	}
}

static void begin(struct rbd_req *r)
{
	const struct rbd_link *link = disk_of(r->req->q)->link;
	rbd_completion_t c;
	int ret = link->lib.rbd_aio_create_completion(r, NULL, &c);

	if (ret < 0) {
		blk_done(r->req, ret);
		return;
	}
	ret = begin_op(link, r, c);
	if (ret < 0) {
		link->lib.rbd_aio_release(c);
		blk_done(r->req, ret);
	}
}

static void end(struct rbd_req *r, int64_t res)
{
	if (res >= 0 && r->req->is_fua && !r->is_flushing) {
		r->is_flushing = true;
		begin(r);
		return;
	}
	blk_done(r->req, r->req->op == BLK_READ || res < 0 ? res : 0);
}

static void rbd_submit(struct blk_vq *q, struct blk_req *const *reqs,
		       unsigned int n)
{
	(void)q;
	for (unsigned int i = 0; i < n; i++) {
		struct rbd_req *r = (struct rbd_req *)reqs[i]->priv;

		*r = (struct rbd_req){ .req = reqs[i] };
		if (reqs[i]->len == 0 && reqs[i]->op != BLK_FLUSH) {
			blk_done(reqs[i], 0);
		} else {
			begin(r);
		}
	}
}

static void on_events(void *priv, unsigned int events)
{
	const struct rbd_link *link = ((struct rbd_disk *)priv)->link;
	const struct rbd_lib *lib = &link->lib;
	rbd_completion_t done[EVENTS_MAX];
	uint64_t count;
	int n;

	(void)events;
	/* Counted again from here on; that it was counted is not news. */
	(void)!read(link->event_fd, &count, sizeof(count));
	do {
		n = lib->rbd_poll_io_events(link->image, done, EVENTS_MAX);
		for (int i = 0; i < n; i++) {
			struct rbd_req *r = lib->rbd_aio_get_arg(done[i]);
			int64_t res = lib->rbd_aio_get_return_value(done[i]);

			lib->rbd_aio_release(done[i]);
			end(r, res);
		}
	} while (n == EVENTS_MAX);
}

/* ---- life ---- */

static int rbd_queue_start(struct blk_vq *q)
{
	struct rbd_disk *disk = disk_of(q);
	int ret = 0;

	if (disk->n_queues == 0) {
		ret = loop_watch_new(blk_vq_loop(q), disk->link->event_fd,
				     LOOP_IN, on_events, disk, &disk->watch);
	}
	if (ret == 0) {
		disk->n_queues++;
	}
	return ret;
}

static void rbd_queue_stop(struct blk_vq *q)
{
	struct rbd_disk *disk = disk_of(q);

	if (--disk->n_queues == 0) {
		disk->watch = loop_watch_free(disk->watch);
	}
}

/* On a thread of librbd: something of the image has changed. */
static void on_update(void *priv)
{
	blk_size_changed(priv);
}

static int fill_limits(struct blk_dev *blk)
{
	struct rbd_disk *disk = blk_priv(blk);
	struct blk_limits *l = blk_limits(blk);

	l->block_bytes = max_of(l->block_bytes, (uint32_t)BLK_SECTOR_BYTES);
	l->capacity_sectors =
		align_down(disk->link->size_bytes, l->block_bytes) /
		BLK_SECTOR_BYTES;
	if (l->capacity_sectors == 0) {
		return err(-EINVAL, "rbd: image %s is empty",
			   disk->place.image);
	}
	l->opt_io_blocks =
		(uint32_t)(disk->link->object_bytes / l->block_bytes);
	l->discard_sectors = RANGE_MAX_SECTORS;
	l->discard_align_sectors = DISCARD_BYTES / BLK_SECTOR_BYTES;
	l->write_zeroes_sectors = RANGE_MAX_SECTORS;
	l->has_one_worker = true;
	return 0;
}

static int rbd_open_disk(struct blk_dev *blk)
{
	struct rbd_disk *disk = blk_priv(blk);
	struct rbd_place *p = &disk->place;
	int ret;

	if (p->image[0] == '\0') {
		return err(-EINVAL, "backend rbd: image NAME is needed");
	}
	if (p->pool[0] == '\0') {
		(void)snprintf(p->pool, sizeof(p->pool), "rbd");
	}
	p->connect_s = p->connect_s ? p->connect_s : CONNECT_S_DEFAULT;
	p->reconnect_s = p->reconnect_s ? p->reconnect_s : RECONNECT_S_DEFAULT;
	p->is_read_only = blk_limits(blk)->is_read_only;
	ret = rbd_link_new(p, &disk->link);
	if (ret == 0) {
		ret = fill_limits(blk);
	}
	if (ret < 0) {
		return ret;
	}
	ret = disk->link->lib.rbd_update_watch(
		disk->link->image, &disk->update_watch, on_update, blk);
	disk->is_watching = ret == 0;
	return ret < 0 ? err(ret, "rbd: watch: %s", strerror(-ret)) : 0;
}

static void rbd_close_disk(struct blk_dev *blk)
{
	struct rbd_disk *disk = blk_priv(blk);

	if (disk->is_watching) {
		/* Returns when on_update() will not be called any more. */
		(void)disk->link->lib.rbd_update_unwatch(disk->link->image,
							 disk->update_watch);
	}
	rbd_link_free(disk->link);
}

static int rbd_resize_disk(struct blk_dev *blk, uint64_t want_sectors,
			   uint64_t *ret_sectors)
{
	const struct rbd_disk *disk = blk_priv(blk);
	uint64_t bytes;
	int ret;

	if (want_sectors > 0) {
		return err(-EOPNOTSUPP,
			   "capacity: the image's; only auto is possible");
	}
	ret = disk->link->lib.rbd_get_size(disk->link->image, &bytes);
	if (ret < 0) {
		return err(ret, "rbd: size: %s", strerror(-ret));
	}
	*ret_sectors = align_down(bytes, blk_limits(blk)->block_bytes) /
		       BLK_SECTOR_BYTES;
	return 0;
}

const struct blk_backend blk_backend_rbd = {
	.name = "rbd",
	.help = "an image of a Ceph cluster",
	.keys = rbd_keys,
	.n_keys = ARRAY_SIZE(rbd_keys),
	.dev_bytes = sizeof(struct rbd_disk),
	.req_bytes = sizeof(struct rbd_req),
	.open = rbd_open_disk,
	.close = rbd_close_disk,
	.queue_start = rbd_queue_start,
	.queue_stop = rbd_queue_stop,
	.submit = rbd_submit,
	.resize = rbd_resize_disk,
};
