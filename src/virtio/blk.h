/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio block driver: its control side, for lib. Queues are used through
 * <vdpakit/blk.h>.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include <vdpakit/blk.h>

#include "virtio/dma.h"
#include "virtio/virtio.h"

/* What is believed of a device. */
#define BLK_CAPACITY_BYTES_MAX ((uint64_t)INT64_MAX)
#define BLK_BLOCK_BYTES_MAX    (1U << 20)
/* Most pieces, and bytes, of a request, whatever more the device would take. */
#define BLK_SEGMENTS_MAX      126
#define BLK_REQUEST_BYTES_MAX (1U << 30)
#define BLK_QUEUE_SIZE_LIKED  256
#define BLK_QUEUE_SIZE_MAX    16384

/**
 * blk_probe() - from a virtio device to a disk that is ready
 * @vdev: nobody has it
 * @pool: memory that it is to reach
 * @options: NULL: all defaults
 * @ret: written on success
 *
 * All of these: control thread, in a turn where the device may wait
 * (virtio_vdpa_run()).
 *
 * Return: as vdpakit_blk_open()
 */
int blk_probe(struct virtio_device *vdev, struct dma_pool *pool,
	      const struct vdpakit_blk_options *options,
	      struct vdpakit_blk **ret);
/* As vdpakit_blk_reset(). What fails leaves the disk in need of a reset. */
int blk_reset(struct vdpakit_blk *blk);
/* Resets the device and puts it. Takes NULL. */
void blk_remove(struct vdpakit_blk *blk);
/* Borrowed. */
struct virtio_device *blk_vdev(struct vdpakit_blk *blk);

#endif
