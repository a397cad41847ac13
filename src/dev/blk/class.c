/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-blk class: life, features and config space of a disk.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/class.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"

const uint64_t blk_features =
	BIT_ULL(VIRTIO_BLK_F_SIZE_MAX) | BIT_ULL(VIRTIO_BLK_F_SEG_MAX) |
	BIT_ULL(VIRTIO_BLK_F_RO) | BIT_ULL(VIRTIO_BLK_F_BLK_SIZE) |
	BIT_ULL(VIRTIO_BLK_F_FLUSH) | BIT_ULL(VIRTIO_BLK_F_TOPOLOGY) |
	BIT_ULL(VIRTIO_BLK_F_CONFIG_WCE) | BIT_ULL(VIRTIO_BLK_F_MQ) |
	BIT_ULL(VIRTIO_BLK_F_DISCARD) | BIT_ULL(VIRTIO_BLK_F_WRITE_ZEROES) |
	BIT_ULL(VIRTIO_BLK_F_SECURE_ERASE);

/* Features that the device has with these limits. */
static uint64_t features_of(const struct blk_dev *blk)
{
	const struct blk_limits *l = &blk->limits;
	bool is_writable = !l->is_read_only;
	const struct {
		unsigned int bit;
		bool is_there;
	} rows[] = {
		{ VIRTIO_BLK_F_SIZE_MAX, l->size_max > 0 },
		{ VIRTIO_BLK_F_SEG_MAX, l->seg_max > 0 },
		{ VIRTIO_BLK_F_RO, l->is_read_only },
		{ VIRTIO_BLK_F_BLK_SIZE, true },
		{ VIRTIO_BLK_F_TOPOLOGY, true },
		{ VIRTIO_BLK_F_MQ, true },
		{ VIRTIO_BLK_F_FLUSH, true },
		{ VIRTIO_BLK_F_CONFIG_WCE,
		  l->has_volatile_cache && is_writable },
		{ VIRTIO_BLK_F_DISCARD, l->discard_sectors > 0 && is_writable },
		{ VIRTIO_BLK_F_WRITE_ZEROES,
		  l->write_zeroes_sectors > 0 && is_writable },
		{ VIRTIO_BLK_F_SECURE_ERASE,
		  l->secure_erase_sectors > 0 && is_writable },
	};
	uint64_t features = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].is_there) {
			features |= BIT_ULL(rows[i].bit);
		}
	}
	return features;
}

/* ---- config space ---- */

static void fill_config(const struct blk_dev *blk,
			struct virtio_blk_config *config)
{
	const struct blk_limits *l = &blk->limits;
	uint64_t capacity =
		__atomic_load_n(&blk->capacity_sectors, __ATOMIC_RELAXED);
	bool is_write_through =
		__atomic_load_n(&blk->is_write_through, __ATOMIC_RELAXED);
	uint32_t block_sectors = l->block_bytes / BLK_SECTOR_BYTES;

	*config = (struct virtio_blk_config){
		.capacity = htole64(capacity),
		.size_max = htole32(l->size_max),
		.seg_max = htole32(l->seg_max),
		.blk_size = htole32(l->block_bytes),
		.physical_block_exp = l->physical_exp,
		.alignment_offset = l->alignment_offset,
		.min_io_size = htole16(l->min_io_blocks),
		.opt_io_size = htole32(l->opt_io_blocks),
		.wce = l->has_volatile_cache && !is_write_through,
		.num_queues = htole16(blk->num_queues),
	};
	if (l->discard_sectors > 0) {
		config->max_discard_sectors = htole32(l->discard_sectors);
		config->max_discard_seg = htole32(l->max_ranges);
		config->discard_sector_alignment =
			htole32(l->discard_align_sectors);
	}
	if (l->write_zeroes_sectors > 0) {
		config->max_write_zeroes_sectors =
			htole32(l->write_zeroes_sectors);
		config->max_write_zeroes_seg = htole32(l->max_ranges);
		config->write_zeroes_may_unmap = l->zeroes_may_unmap;
	}
	if (l->secure_erase_sectors > 0) {
		config->max_secure_erase_sectors =
			htole32(l->secure_erase_sectors);
		config->max_secure_erase_seg = htole32(l->max_ranges);
		config->secure_erase_sector_alignment = htole32(block_sectors);
	}
}

static void blk_get_config(struct soft_dev *dev, uint32_t offset, void *buf,
			   uint32_t len)
{
	struct virtio_blk_config config;

	fill_config(blk_dev_of(dev), &config);
	assert(range_fits(offset, len, dev->config_size));
	memcpy(buf, (const char *)&config + offset, len);
}

/* The driver may choose the cache mode; the rest is not its to change. */
static void blk_set_config(struct soft_dev *dev, uint32_t offset,
			   const void *buf, uint32_t len)
{
	const uint32_t at = offsetof(struct virtio_blk_config, wce);

	if (!has_bit(soft_features(dev), VIRTIO_BLK_F_CONFIG_WCE) ||
	    offset > at || at - offset >= len) {
		return;
	}
	/* Other queues see it with the next burst. */
	__atomic_store_n(&blk_dev_of(dev)->is_write_through,
			 ((const char *)buf)[at - offset] == 0,
			 __ATOMIC_RELAXED);
}

static void blk_reset(struct soft_dev *dev)
{
	__atomic_store_n(&blk_dev_of(dev)->is_write_through, false,
			 __ATOMIC_RELAXED);
}

static int blk_emit_stats(struct soft_dev *dev, uint16_t idx, vdpa_stat_fn emit,
			  void *priv)
{
	blk_stats_emit(blk_dev_of(dev)->vqs[idx].stats, emit, priv);
	return 0;
}

static void blk_cancel(struct soft_dev *dev, uint16_t idx)
{
	struct blk_dev *blk = blk_dev_of(dev);

	if (blk->backend->cancel) {
		blk->backend->cancel(&blk->vqs[idx]);
	}
}

/* ---- life ---- */

struct queue_call {
	struct blk_vq *q;
	int ret;
};

static void start_on_worker(void *priv)
{
	struct queue_call *call = priv;
	const struct blk_backend *backend = call->q->blk->backend;

	call->ret = backend->queue_start ? backend->queue_start(call->q) : 0;
	call->q->is_started = call->ret == 0;
}

static void stop_on_worker(void *priv)
{
	struct blk_vq *q = priv;

	if (q->is_started && q->blk->backend->queue_stop) {
		q->blk->backend->queue_stop(q);
	}
	q->is_started = false;
}

static void free_vqs(struct blk_dev *blk)
{
	for (unsigned int i = 0; blk->vqs && i < blk->num_queues; i++) {
		struct blk_vq *q = &blk->vqs[i];

		if (q->loop) {
			loop_call_wait(q->loop, stop_on_worker, q);
		}
		free(q->priv);
		free(q->stats);
	}
	free(blk->vqs);
	blk->vqs = NULL;
}

/* Nobody says any more that the size changed. */
static void drop_notice(struct blk_notice *notice)
{
	if (notice &&
	    __atomic_load_n(&notice->work.is_queued, __ATOMIC_ACQUIRE)) {
		notice->blk = NULL;
	} else {
		free(notice);
	}
}

void blk_dev_discard(struct blk_dev *blk)
{
	if (!blk) {
		return;
	}
	free_vqs(blk);
	if (blk->priv) {
		blk->backend->close(blk);
		free(blk->priv);
	}
	drop_notice(blk->notice);
	free(blk);
}

static void blk_free(struct soft_dev *dev)
{
	blk_dev_discard(blk_dev_of(dev));
}

int blk_dev_set_backend(struct blk_dev *blk, const struct blk_backend *backend)
{
	blk->priv = calloc(1, max_of(backend->dev_bytes, (size_t)1));
	if (!blk->priv) {
		return err(-ENOMEM, "out of memory");
	}
	blk->backend = backend;
	return 0;
}

static int check_limits(const struct blk_dev *blk)
{
	const struct blk_limits *l = &blk->limits;
	uint32_t block_sectors = l->block_bytes / BLK_SECTOR_BYTES;

	assert(is_pow2(l->block_bytes) && block_sectors > 0);
	if (l->capacity_sectors < block_sectors ||
	    l->capacity_sectors > BLK_CAPACITY_MAX_SECTORS ||
	    l->capacity_sectors % block_sectors != 0) {
		return err(-ERANGE,
			   "capacity: %llu bytes are no whole number of blocks "
			   "of %u bytes up to 4E",
			   (unsigned long long)l->capacity_sectors *
				   BLK_SECTOR_BYTES,
			   l->block_bytes);
	}
	return 0;
}

static void look_at_size(void *priv)
{
	struct blk_notice *notice = priv;

	if (!notice->blk) {
		free(notice);
		return;
	}
	if (blk_dev_resize(notice->blk, 0) < 0) {
		log_warn(blk_name(notice->blk), "ignoring its new size: %s",
			 err_text(-EINVAL));
	}
}

static int make_notice(struct blk_dev *blk)
{
	blk->notice = calloc(1, sizeof(*blk->notice));
	if (!blk->notice) {
		return err(-ENOMEM, "out of memory");
	}
	blk->notice->work = (struct loop_work){
		.fn = look_at_size,
		.priv = blk->notice,
	};
	blk->notice->blk = blk;
	return 0;
}

static int open_backend(struct blk_dev *blk)
{
	struct blk_limits *l = &blk->limits;
	int ret;

	l->min_io_blocks = 1;
	l->has_volatile_cache = true;
	l->zeroes_may_unmap = true;
	l->max_ranges = BLK_RANGES_MAX;
	l->seg_max = 126; /* with header and status a ring of 128 */
	ret = make_notice(blk);
	if (ret == 0) {
		ret = blk->backend->open(blk);
	}
	if (ret < 0) {
		return ret;
	}
	l->block_bytes = max_of(l->block_bytes, (uint32_t)BLK_SECTOR_BYTES);
	if (l->discard_align_sectors == 0) {
		l->discard_align_sectors = l->block_bytes / BLK_SECTOR_BYTES;
	}
	if (blk->tune) {
		blk->tune(l);
	}
	assert(l->max_ranges <= BLK_RANGES_MAX);
	blk->capacity_sectors = l->capacity_sectors;
	blk->block_mask = l->block_bytes / BLK_SECTOR_BYTES - 1;
	return check_limits(blk);
}

static int make_vqs(struct blk_dev *blk)
{
	blk->vqs = calloc(blk->num_queues, sizeof(*blk->vqs));
	for (unsigned int i = 0; blk->vqs && i < blk->num_queues; i++) {
		struct blk_vq *q = &blk->vqs[i];

		q->blk = blk;
		q->idx = (uint16_t)i;
		q->priv = calloc(1, blk->backend->vq_bytes + 1);
		q->stats = calloc(1, sizeof(*q->stats));
		if (!q->priv || !q->stats) {
			return err(-ENOMEM, "out of memory");
		}
	}
	return blk->vqs ? 0 : err(-ENOMEM, "out of memory");
}

static int start_queues(struct blk_dev *blk)
{
	struct queue_call call = { .ret = 0 };

	for (unsigned int i = 0; i < blk->num_queues && call.ret == 0; i++) {
		call.q = &blk->vqs[i];
		call.q->loop = blk->soft.vqs[i].worker;
		loop_call_wait(call.q->loop, start_on_worker, &call);
	}
	return call.ret;
}

static uint16_t first_queue(const struct soft_dev *dev, uint16_t idx)
{
	(void)dev;
	(void)idx;
	return 0;
}

static void set_up_soft(struct blk_dev *blk)
{
	struct soft_dev *dev = &blk->soft;

	blk->class = (struct soft_class){
		.device_id = VIRTIO_ID_BLOCK,
		.leader = blk->limits.has_one_worker ? first_queue : NULL,
		.slot_bytes = sizeof(struct blk_req) + blk->backend->req_bytes,
		.submit = blk_submit,
		.cancel = blk_cancel,
		.get_config = blk_get_config,
		.set_config = blk_set_config,
		.emit_stats = blk_emit_stats,
		.reset = blk_reset,
		.free = blk_free,
	};
	dev->class = &blk->class;
	dev->device_features = (features_of(blk) | soft_ring_features) &
			       blk->feature_mask;
	if (blk->limits.is_read_only) {
		/* Not a question of taste. */
		dev->device_features |= BIT_ULL(VIRTIO_BLK_F_RO);
	}
	if (dev->config_size == 0) {
		dev->config_size = BLK_CONFIG_BYTES;
	}
	dev->vdev.nvqs = blk->num_queues;
	dev->vdev.ngroups = 1;
	dev->vdev.nas = 1;
}

/* For a device that its maker gives up: that one frees the class's part. */
static void keep(struct soft_dev *dev)
{
	(void)dev;
}

int blk_dev_init(struct blk_dev *blk, struct vdpa_mgmtdev *mgmtdev)
{
	int ret;

	blk->control = vdpa_bus_control(mgmtdev->bus);
	ret = open_backend(blk);
	if (ret == 0) {
		ret = make_vqs(blk);
	}
	if (ret < 0) {
		return ret;
	}
	set_up_soft(blk);
	ret = soft_dev_init(&blk->soft, mgmtdev->bus);
	if (ret < 0) {
		return ret;
	}
	ret = start_queues(blk);
	if (ret == 0) {
		ret = vdpa_device_register(mgmtdev->bus, mgmtdev,
					   &blk->soft.vdev);
	}
	if (ret < 0) {
		blk->class.free = keep;
		soft_dev_free(&blk->soft);
	}
	return ret;
}

void blk_dev_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev)
{
	(void)mgmtdev;
	vdpa_device_unregister(vdev);
	soft_dev_free(soft_dev_of(vdev));
}

/* ---- capacity ---- */

static void nothing(void *priv)
{
	(void)priv;
}

/* When this returns no queue is in the middle of a burst that was checked
 * against the old one. */
static void set_capacity(struct blk_dev *blk, uint64_t sectors)
{
	__atomic_store_n(&blk->capacity_sectors, sectors, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < blk->num_queues; i++) {
		loop_call_wait(blk->vqs[i].loop, nothing, NULL);
	}
}

int blk_dev_resize(struct blk_dev *blk, uint64_t want_sectors)
{
	uint64_t capacity, old = blk->capacity_sectors;
	int ret;

	if (!blk->backend->resize) {
		return err(-EOPNOTSUPP, "%s: %s disks keep their size",
			   blk_name(blk), blk->backend->name);
	}
	if (want_sectors > BLK_CAPACITY_MAX_SECTORS ||
	    (want_sectors & blk->block_mask) != 0) {
		return err(-ERANGE,
			   "capacity: no whole number of blocks of %u bytes",
			   blk->limits.block_bytes);
	}
	if (want_sectors > 0 && want_sectors < old) {
		set_capacity(blk, want_sectors);
	}
	ret = blk->backend->resize(blk, want_sectors, &capacity);
	set_capacity(blk, ret < 0 ? old : capacity);
	if (ret == 0 && capacity != old) {
		soft_config_changed(&blk->soft);
	}
	return ret;
}

/* ---- keys ---- */

int blk_set_capacity(struct blk_dev *blk, const char *value)
{
	uint64_t bytes;
	int ret = parse_size("capacity", value, &bytes);

	if (ret < 0) {
		return ret;
	}
	if (bytes == 0 || bytes % BLK_SECTOR_BYTES != 0) {
		return err(-ERANGE,
			   "capacity: %s is not a multiple of 512 bytes",
			   value);
	}
	blk->limits.capacity_sectors = bytes / BLK_SECTOR_BYTES;
	return 0;
}

int blk_set_read_only(struct blk_dev *blk, const char *value)
{
	return parse_bool("read_only", value, &blk->limits.is_read_only);
}

int blk_set_num_queues(struct blk_dev *blk, const char *value)
{
	uint64_t n;
	int ret = parse_u64("num_queues", value, BLK_QUEUES_MAX, &n);

	if (ret < 0) {
		return ret;
	}
	if (n == 0) {
		return err(-ERANGE, "num_queues: at least 1 is needed");
	}
	blk->num_queues = (uint16_t)n;
	return 0;
}

int blk_set_poll_us(struct blk_dev *blk, const char *value)
{
	return soft_set_poll_us(&blk->soft, value);
}

int blk_parse_text(const char *what, const char *value, char *to, size_t size)
{
	if (value[0] == '\0' || strlen(value) >= size) {
		return err(-ERANGE, "%s: 1 to %zu bytes", what, size - 1);
	}
	strcpy(to, value);
	return 0;
}

int blk_parse_seconds(const char *what, const char *value, uint32_t min,
		      uint32_t max, uint32_t *ret_s)
{
	uint64_t s;
	int ret = parse_u64(what, value, max, &s);

	if (ret == 0 && s < min) {
		ret = err(-ERANGE, "%s: at least %u", what, min);
	}
	if (ret == 0) {
		*ret_s = (uint32_t)s;
	}
	return ret;
}

/* ---- for back ends ---- */

void *blk_priv(const struct blk_dev *blk)
{
	return blk->priv;
}

struct blk_limits *blk_limits(struct blk_dev *blk)
{
	return &blk->limits;
}

const char *blk_name(const struct blk_dev *blk)
{
	return blk->soft.vdev.name;
}

struct blk_dev *blk_vq_dev(const struct blk_vq *q)
{
	return q->blk;
}

void *blk_vq_priv(const struct blk_vq *q)
{
	return q->priv;
}

struct loop *blk_vq_loop(const struct blk_vq *q)
{
	return q->loop;
}

bool blk_vq_is_stopping(const struct blk_vq *q)
{
	return q->blk->soft.vqs[q->idx].is_stopping;
}

void blk_size_changed(struct blk_dev *blk)
{
	loop_call(blk->control, &blk->notice->work);
}
