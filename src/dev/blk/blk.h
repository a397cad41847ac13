/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-blk class: requests and their limits. What holds the sectors is a
 * backend's business (struct blk_ops).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_BLK_H
#define DEV_BLK_BLK_H

#include <linux/virtio_blk.h>

#include "soft/soft.h"

#define BLK_SECTOR_BYTES 512
/* The config space ends before secure erase and zones, which are not offered,
 * however much longer the system's struct may be. */
#define BLK_CONFIG_BYTES 60
#define BLK_ID_BYTES	 VIRTIO_BLK_ID_BYTES

struct blk_dev;

/**
 * struct blk_ops - what holds the sectors
 *
 * Ranges were checked against the capacity; bytes. Return: 0 or -errno (the
 * driver is told VIRTIO_BLK_S_IOERR).
 *
 * @read: to the writable part of @chain from its first byte
 * @write: from the readable part of @chain from @chain_off on
 * @flush: what was written before is kept
 * @discard: the driver does not need these bytes any more
 * @write_zeroes: they read as zero; @may_unmap: space may be given back
 * @free: release what the backend holds
 */
struct blk_ops {
	int (*read)(struct blk_dev *blk, uint64_t offset,
		    struct vq_chain *chain, uint32_t len);
	int (*write)(struct blk_dev *blk, uint64_t offset,
		     const struct vq_chain *chain, uint32_t chain_off,
		     uint32_t len);
	int (*flush)(struct blk_dev *blk);
	int (*discard)(struct blk_dev *blk, uint64_t offset, uint64_t len);
	int (*write_zeroes)(struct blk_dev *blk, uint64_t offset, uint64_t len,
			    bool may_unmap);
	void (*free)(struct blk_dev *blk);
};

struct blk_dev {
	struct soft_dev soft;

	/* set before soft_dev_init() */
	const struct blk_ops *ops;
	void *priv; /* of the backend */
	uint64_t capacity_sectors;
	uint16_t num_queues;
	char id[BLK_ID_BYTES];
};

static inline struct blk_dev *blk_dev_of(struct soft_dev *dev)
{
	return container_of(dev, struct blk_dev, soft);
}

/* Members of struct soft_class that every block device has. */
void blk_submit(struct soft_dev *dev, uint16_t idx, struct vq_chain **chains,
		unsigned int n);
void blk_get_config(struct soft_dev *dev, uint32_t offset, void *buf,
		    uint32_t len);
void blk_set_config(struct soft_dev *dev, uint32_t offset, const void *buf,
		    uint32_t len);

#endif
