/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio block driver: life of a disk. See blk_internal.h.
 *
 * Source: virtio 1.2, "Block Device"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "virtio/blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/log.h"
#include "virtio/blk_internal.h"

/* Descriptors of a request of one piece: header, data, status. */
#define DESCS_LEAST 3
/* A ring that holds a request of any size. */
#define RING_NUM_LIKED 128

static const uint64_t blk_wanted = BLK_F(SIZE_MAX) | BLK_F(SEG_MAX) |
				   BLK_F(RO) | BLK_F(BLK_SIZE) | BLK_F(FLUSH) |
				   BLK_F(TOPOLOGY) | BLK_F(MQ) |
				   BLK_F(DISCARD) | BLK_F(WRITE_ZEROES);

struct virtio_device *blk_vdev(struct vdpakit_blk *blk)
{
	return blk->vdev;
}

struct vdpakit_blk_queue *vdpakit_blk_get_queue(struct vdpakit_blk *blk,
						unsigned int idx)
{
	return idx < blk->n_queues ? &blk->queues[idx] : NULL;
}

/* ---- options ---- */

static int take_options(struct vdpakit_blk *blk,
			const struct vdpakit_blk_options *options,
			uint16_t *ret_n_queues)
{
	struct vdpakit_blk_options o = { 0 };

	if (options) {
		if (options->size < sizeof(options->size) ||
		    options->size > sizeof(o)) {
			return err(-EINVAL,
				   "options of %zu bytes, these have %zu: set "
				   "size",
				   options->size, sizeof(o));
		}
		memcpy(&o, options, options->size);
	}
	if (o.queue_size != 0 &&
	    (!is_pow2(o.queue_size) || o.queue_size > BLK_QUEUE_SIZE_MAX)) {
		return err(-EINVAL, "queue_size %u is no power of two up to %u",
			   o.queue_size, BLK_QUEUE_SIZE_MAX);
	}
	blk->queue_size = o.queue_size;
	blk->no_packed = o.no_packed;
	blk->in_order = o.in_order;
	blk->poll_us = o.poll_us;
	blk->changed = o.changed;
	blk->changed_priv = o.priv;
	*ret_n_queues = o.n_queues;
	return 0;
}

static int choose_n_queues(struct vdpakit_blk *blk, uint16_t wanted,
			   uint16_t n_there)
{
	if (wanted > n_there) {
		return err(-EINVAL, "%s: %u queues are wanted, it has %u",
			   blk->vdev->name, wanted, n_there);
	}
	blk->n_queues = wanted ? wanted : n_there;
	return 0;
}

/* ---- queues ---- */

/* Entries of a ring for queue_size requests of one piece, as a rule. */
static uint16_t ring_num(const struct vdpakit_blk *blk)
{
	uint32_t num = blk->queue_size;

	if (!virtio_has_feature(blk->vdev, VIRTIO_RING_F_INDIRECT_DESC)) {
		num *= 4;
	}
	return (uint16_t)min_of(max_of(num, (uint32_t)RING_NUM_LIKED),
				(uint32_t)VQ_NUM_MAX);
}

static int find_vqs(struct vdpakit_blk *blk)
{
	struct virtio_vq_want *want = calloc(blk->n_queues, sizeof(*want));
	int ret;

	if (!want) {
		return err(-ENOMEM, "%s: out of memory", blk->vdev->name);
	}
	for (unsigned int i = 0; i < blk->n_queues; i++) {
		want[i] = (struct virtio_vq_want){
			.idx = (uint16_t)i,
			.num_max = ring_num(blk),
			.extra_bytes = blk->queue_size *
				       (uint32_t)sizeof(struct blk_wire),
			.poll_us = blk->poll_us,
		};
	}
	ret = virtio_find_vqs(blk->vdev, want, blk->n_queues);
	free(want);
	return ret;
}

/* A chain is never longer than the ring, also when it is indirect. */
static int fit_limits(struct vdpakit_blk *blk, struct vdpakit_blk_info *info,
		      struct blk_limits *limits)
{
	unsigned int num = BLK_SEGMENTS_MAX + DESCS_LEAST;

	for (unsigned int i = 0; i < blk->n_queues; i++) {
		num = min_of(num, (unsigned int)blk->vdev->vqs[i]->num);
	}
	if (num < DESCS_LEAST) {
		return err(-EPROTO,
			   "%s: a request does not fit into a ring of "
			   "%u",
			   blk->vdev->name, num);
	}
	limits->max_segments =
		min_of(limits->max_segments, num - (DESCS_LEAST - 1));
	limits->max_request_bytes = min_of(
		(uint64_t)limits->max_segments * limits->max_segment_bytes /
			BLK_SECTOR_BYTES * BLK_SECTOR_BYTES,
		(uint64_t)BLK_REQUEST_BYTES_MAX);
	info->max_segments = limits->max_segments;
	info->max_request_bytes = limits->max_request_bytes;
	return 0;
}

static int make_queues(struct vdpakit_blk *blk)
{
	blk->queues = calloc(blk->n_queues, sizeof(*blk->queues));
	if (!blk->queues) {
		return err(-ENOMEM, "%s: out of memory", blk->vdev->name);
	}
	for (unsigned int i = 0; i < blk->n_queues; i++) {
		int ret = blk_queue_init(&blk->queues[i], blk,
					 blk->vdev->vqs[i], blk->queue_size);

		if (ret < 0) {
			return ret;
		}
	}
	return 0;
}

/* ---- start ---- */

static void run(struct vdpakit_blk *blk, struct vdpakit_blk_info *info,
		const struct blk_limits *limits)
{
	for (unsigned int i = 0; i < blk->n_queues; i++) {
		blk->queues[i].limits = *limits;
		blk_queue_renew(&blk->queues[i]);
	}
	info->n_queues = blk->n_queues;
	info->queue_size = blk->queue_size;
	info->generation = blk->generation++;
	blk_publish_info(blk, info);
}

/* To FEATURES_OK. */
static int start(struct vdpakit_blk *blk)
{
	uint64_t order = blk->in_order ? BIT_ULL(VIRTIO_F_IN_ORDER) : 0;

	return virtio_start(blk->vdev, blk_wanted | order, blk->no_packed);
}

/* From FEATURES_OK on. */
static int set_up(struct vdpakit_blk *blk, uint16_t n_queues)
{
	struct virtio_device *vdev = blk->vdev;
	struct vdpakit_blk_info info;
	struct blk_limits limits;
	int ret = blk_read_config(blk, &info, &limits);

	if (ret == 0) {
		ret = choose_n_queues(blk, n_queues, info.n_queues);
	}
	if (ret < 0) {
		return ret;
	}
	if (blk->queue_size == 0) {
		blk->queue_size = min_of(vdev->config->get_vq_num_max(vdev, 0),
					 (uint16_t)BLK_QUEUE_SIZE_LIKED);
	}
	ret = find_vqs(blk);
	if (ret == 0) {
		ret = fit_limits(blk, &info, &limits);
	}
	if (ret == 0) {
		ret = make_queues(blk);
	}
	if (ret == 0) {
		ret = virtio_ready(vdev);
	}
	if (ret < 0) {
		return ret;
	}
	blk->features = vdev->features;
	blk->block_bytes = info.block_bytes;
	run(blk, &info, &limits);
	blk->is_running = true;
	return 0;
}

static void config_changed(void *priv);

/* What there is of it. */
static void tear_down(struct vdpakit_blk *blk)
{
	struct virtio_device *vdev = blk->vdev;

	blk->is_running = false;
	if (virtio_stop(vdev) < 0) {
		log_debug(vdev->name, "does not reset: its memory is taken "
				      "away from it");
	}
	for (unsigned int i = 0; blk->queues && i < blk->n_queues; i++) {
		blk_queue_fini(&blk->queues[i]);
	}
	free(blk->queues);
	virtio_del_vqs(vdev);
	dma_space_free(vdev->dma);
	virtio_put(vdev);
	free(blk);
}

int blk_probe(struct virtio_device *vdev, struct dma_pool *pool,
	      const struct vdpakit_blk_options *options,
	      struct vdpakit_blk **ret)
{
	struct vdpakit_blk *blk;
	uint16_t n_queues = 0;
	int r;

	if (vdev->device_id != VIRTIO_ID_BLOCK) {
		return err(-ENOTBLK,
			   "%s: is no disk but a virtio device of "
			   "kind %u",
			   vdev->name, vdev->device_id);
	}
	blk = calloc(1, sizeof(*blk));
	if (!blk) {
		return err(-ENOMEM, "%s: out of memory", vdev->name);
	}
	blk->vdev = vdev;
	r = take_options(blk, options, &n_queues);
	if (r == 0) {
		r = virtio_take(vdev, config_changed, blk);
	}
	if (r < 0) {
		free(blk);
		return r;
	}
	r = start(blk);
	if (r == 0) {
		r = dma_space_new(pool, vdev);
	}
	if (r == 0) {
		r = set_up(blk, n_queues);
	}
	if (r < 0) {
		tear_down(blk);
		return r;
	}
	*ret = blk;
	return 0;
}

void blk_remove(struct vdpakit_blk *blk)
{
	if (blk) {
		tear_down(blk);
	}
}

/* ---- reset ---- */

static int refuse_other(const struct vdpakit_blk *blk, const char *what)
{
	return err(-EPROTO,
		   "%s: its %s changed with the reset, it is another disk: "
		   "close it and open it again",
		   blk->vdev->name, what);
}

static int check_same(const struct vdpakit_blk *blk,
		      const struct vdpakit_blk_info *info)
{
	if (info->features != blk->features) {
		return refuse_other(blk, "features");
	}
	if (info->block_bytes != blk->block_bytes) {
		return refuse_other(blk, "block size");
	}
	return info->n_queues < blk->n_queues
		       ? refuse_other(blk, "number of queues")
		       : 0;
}

static int start_again(struct vdpakit_blk *blk)
{
	struct virtio_device *vdev = blk->vdev;
	struct vdpakit_blk_info info;
	struct blk_limits limits;
	int ret = start(blk);

	if (ret == 0) {
		ret = blk_read_config(blk, &info, &limits);
	}
	if (ret == 0) {
		ret = check_same(blk, &info);
	}
	if (ret == 0) {
		ret = find_vqs(blk);
	}
	if (ret == 0) {
		ret = fit_limits(blk, &info, &limits);
	}
	if (ret < 0) {
		return ret;
	}
	run(blk, &info, &limits);
	return virtio_ready(vdev);
}

int blk_reset(struct vdpakit_blk *blk)
{
	int ret;

	blk->is_running = false;
	ret = virtio_stop(blk->vdev);
	if (ret < 0) {
		return ret; /* it may write to what is under way yet */
	}
	for (unsigned int i = 0; i < blk->n_queues; i++) {
		blk_queue_lose(&blk->queues[i]);
	}
	ret = start_again(blk);
	if (ret < 0) {
		(void)virtio_stop(blk->vdev); /* it failed already */
		return ret;
	}
	blk->is_running = true;
	return 0;
}

/* ---- news ---- */

/* Only the capacity may change while it runs. */
static int look_at_config(struct vdpakit_blk *blk)
{
	struct vdpakit_blk_info now, info;
	struct blk_limits limits;
	int ret = blk_read_config(blk, &now, &limits);

	if (ret < 0) {
		return ret;
	}
	vdpakit_blk_get_info(blk, &info, sizeof(info));
	if (now.block_bytes != info.block_bytes) {
		return refuse_other(blk, "block size");
	}
	if (now.capacity_bytes != info.capacity_bytes) {
		info.capacity_bytes = now.capacity_bytes;
		info.needs_reset = false;
		info.generation = blk->generation++;
		blk_publish_info(blk, &info);
	}
	return 0;
}

static void config_changed(void *priv)
{
	struct vdpakit_blk *blk = priv;
	int ret;

	if (!blk->is_running) {
		return;
	}
	ret = look_at_config(blk);
	if (ret < 0 && ret != -ENODEV) {
		log_debug(blk->vdev->name, "needs a reset: %s", err_text(ret));
		virtio_break(blk->vdev);
	}
	if (blk->changed) {
		blk->changed(blk->changed_priv);
	}
}
