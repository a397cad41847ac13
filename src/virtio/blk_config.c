/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio block driver: what the device says of itself.
 *
 * Theory of operation
 *
 * Each row of checks[] takes one thing from a private copy of the config space,
 * refuses what makes no sense, and fills in what the rest of the driver uses.
 * Whoever wants to know gets a copy of that (vdpakit_blk_get_info()), which
 * control writes word by word under a number that is odd meanwhile.
 *
 * Source: virtio 1.2, "Block Device", "Device configuration layout"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "virtio/blk_internal.h"

struct reading {
	struct vdpakit_blk *blk;
	struct virtio_blk_config config;
	struct vdpakit_blk_info *info;
	struct blk_limits *limits;
};

static bool has(const struct reading *r, unsigned int bit)
{
	return virtio_has_feature(r->blk->vdev, bit);
}

static const char *name_of(const struct reading *r)
{
	return r->blk->vdev->name;
}

static int read_capacity(struct reading *r)
{
	uint64_t sectors = le64toh(r->config.capacity);

	if (r->blk->vdev->config_size < sizeof(r->config.capacity)) {
		return err(-EPROTO,
			   "%s: its config space of %u bytes is too "
			   "small for a disk",
			   name_of(r), r->blk->vdev->config_size);
	}
	if (sectors > BLK_CAPACITY_BYTES_MAX / BLK_SECTOR_BYTES) {
		return err(-EPROTO, "%s: a capacity of %llu sectors cannot be",
			   name_of(r), (unsigned long long)sectors);
	}
	r->info->capacity_bytes = sectors * BLK_SECTOR_BYTES;
	return 0;
}

static int read_block_size(struct reading *r)
{
	uint32_t bytes = has(r, VIRTIO_BLK_F_BLK_SIZE)
				 ? le32toh(r->config.blk_size)
				 : BLK_SECTOR_BYTES;

	if (!is_pow2(bytes) || bytes < BLK_SECTOR_BYTES ||
	    bytes > BLK_BLOCK_BYTES_MAX) {
		return err(-EPROTO, "%s: blocks of %u bytes cannot be",
			   name_of(r), bytes);
	}
	r->info->block_bytes = bytes;
	r->info->physical_block_bytes = bytes;
	r->info->optimal_io_bytes = bytes;
	return 0;
}

static int read_topology(struct reading *r)
{
	uint32_t block = r->info->block_bytes;
	uint64_t optimal = (uint64_t)le32toh(r->config.opt_io_size) * block;
	unsigned int exp = r->config.physical_block_exp;

	if (!has(r, VIRTIO_BLK_F_TOPOLOGY)) {
		return 0;
	}
	if (exp >= 32 || ((uint64_t)block << exp) > BLK_BLOCK_BYTES_MAX) {
		return err(-EPROTO,
			   "%s: physical blocks of %u times 2^%u bytes cannot "
			   "be",
			   name_of(r), block, exp);
	}
	r->info->physical_block_bytes = block << exp;
	/* Advice: what is not to be taken is left out. */
	if (optimal >= block && optimal <= UINT32_MAX) {
		r->info->optimal_io_bytes = (uint32_t)optimal;
	}
	return 0;
}

static int read_segments(struct reading *r)
{
	uint32_t n = BLK_SEGMENTS_MAX, bytes = BLK_REQUEST_BYTES_MAX;

	if (has(r, VIRTIO_BLK_F_SEG_MAX)) {
		n = le32toh(r->config.seg_max);
	}
	/* 0 is what qemu-storage-daemon says (vhost-user-blk, 7.2 and 10). */
	if (has(r, VIRTIO_BLK_F_SIZE_MAX) && r->config.size_max != 0) {
		bytes = le32toh(r->config.size_max);
	}
	if (n == 0 || bytes < BLK_SECTOR_BYTES) {
		return err(-EPROTO,
			   "%s: requests of %u segments of %u bytes cannot be",
			   name_of(r), n, bytes);
	}
	r->limits->max_segments = min_of(n, (uint32_t)BLK_SEGMENTS_MAX);
	r->limits->max_segment_bytes =
		min_of(bytes, (uint32_t)BLK_REQUEST_BYTES_MAX);
	return 0;
}

static int read_discard(struct reading *r)
{
	uint64_t sectors = le32toh(r->config.max_discard_sectors);
	uint64_t align = le32toh(r->config.discard_sector_alignment);

	if (!has(r, VIRTIO_BLK_F_DISCARD)) {
		return 0;
	}
	if (sectors == 0 || le32toh(r->config.max_discard_seg) == 0) {
		return err(-EPROTO, "%s: it can discard, but nothing at a time",
			   name_of(r));
	}
	r->limits->max_discard_bytes = sectors * BLK_SECTOR_BYTES;
	r->info->discard_align_bytes = align * BLK_SECTOR_BYTES;
	return 0;
}

static int read_write_zeroes(struct reading *r)
{
	uint64_t sectors = le32toh(r->config.max_write_zeroes_sectors);

	if (!has(r, VIRTIO_BLK_F_WRITE_ZEROES)) {
		return 0;
	}
	if (sectors == 0 || le32toh(r->config.max_write_zeroes_seg) == 0) {
		return err(-EPROTO,
			   "%s: it can write zeroes, but nothing at a time",
			   name_of(r));
	}
	r->limits->max_write_zeroes_bytes = sectors * BLK_SECTOR_BYTES;
	r->limits->may_unmap = r->config.write_zeroes_may_unmap != 0;
	return 0;
}

static int read_queues(struct reading *r)
{
	uint32_t n_there = r->blk->vdev->config->get_n_vqs(r->blk->vdev);
	uint16_t n = has(r, VIRTIO_BLK_F_MQ) ? le16toh(r->config.num_queues)
					     : 1;

	if (n == 0 || n > n_there) {
		return err(-EPROTO, "%s: %u request queues cannot be, of %u",
			   name_of(r), n, n_there);
	}
	r->info->n_queues = min_of(n, (uint16_t)VIRTIO_VQS_MAX);
	return 0;
}

static int (*const readers[])(struct reading *r) = {
	read_capacity, read_block_size, read_topology,	   read_segments,
	read_discard,  read_queues,	read_write_zeroes,
};

int blk_read_config(struct vdpakit_blk *blk, struct vdpakit_blk_info *info,
		    struct blk_limits *limits)
{
	struct reading r = { .blk = blk, .info = info, .limits = limits };
	int ret = virtio_cread(blk->vdev, 0, &r.config, sizeof(r.config));

	*info = (struct vdpakit_blk_info){ 0 };
	*limits = (struct blk_limits){ 0 };
	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(readers); i++) {
		ret = readers[i](&r);
	}
	if (ret < 0) {
		return ret;
	}
	limits->is_read_only = has(&r, VIRTIO_BLK_F_RO);
	limits->can_flush = has(&r, VIRTIO_BLK_F_FLUSH);
	info->is_read_only = limits->is_read_only;
	info->can_flush = limits->can_flush;
	info->is_packed = has(&r, VIRTIO_F_RING_PACKED);
	info->max_discard_bytes = limits->max_discard_bytes;
	info->max_write_zeroes_bytes = limits->max_write_zeroes_bytes;
	info->features = blk->vdev->features;
	return 0;
}

/* ---- for all threads ---- */

_Static_assert(sizeof(struct vdpakit_blk_info) % sizeof(uint64_t) == 0 &&
		       sizeof(struct vdpakit_blk_info) <=
			       sizeof(((struct vdpakit_blk *)0)->info),
	       "words");
#define INFO_WORDS (sizeof(struct vdpakit_blk_info) / sizeof(uint64_t))

void blk_publish_info(struct vdpakit_blk *blk,
		      const struct vdpakit_blk_info *info)
{
	uint64_t words[INFO_WORDS];

	memcpy(words, info, sizeof(words));
	__atomic_store_n(&blk->info_seq, blk->info_seq + 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < INFO_WORDS; i++) {
		/* After the odd number; pairs with [info]. */
		__atomic_store_n(&blk->info[i], words[i], __ATOMIC_RELEASE);
	}
	__atomic_store_n(&blk->info_seq, blk->info_seq + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&blk->capacity_bytes, info->capacity_bytes,
			 __ATOMIC_RELAXED);
}

void vdpakit_blk_get_info(const struct vdpakit_blk *blk,
			  struct vdpakit_blk_info *ret, size_t size)
{
	struct vdpakit_blk_info info;
	uint64_t words[INFO_WORDS];
	uint32_t seq;

	do {
		seq = __atomic_load_n(&blk->info_seq, __ATOMIC_ACQUIRE);
		for (size_t i = 0; i < INFO_WORDS; i++) {
			/* [info] Before the number is looked at again. */
			words[i] = __atomic_load_n(&blk->info[i],
						   __ATOMIC_ACQUIRE);
		}
	} while (seq % 2 != 0 ||
		 seq != __atomic_load_n(&blk->info_seq, __ATOMIC_RELAXED));
	memcpy(&info, words, sizeof(info));
	info.needs_reset =
		__atomic_load_n(&blk->vdev->is_broken, __ATOMIC_RELAXED) != 0;
	memset(ret, 0, size);
	memcpy(ret, &info, min_of(size, sizeof(info)));
}
