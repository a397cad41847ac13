/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-blk class: what the management devices make disks of.
 *
 *   request.c   the way of a request: ring to back end to status byte
 *   class.c     life, features and config space
 *   stats.c     counters and latencies
 *   backend.h   the other side: what holds the sectors
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_CLASS_H
#define DEV_BLK_CLASS_H

#include <linux/virtio_blk.h>

#include "dev/blk/backend.h"
#include "dev/blk/stats.h"
#include "soft/soft.h"

#define BLK_ID_BYTES   VIRTIO_BLK_ID_BYTES
#define BLK_QUEUES_MAX 64
/* The config space ends with secure erase: zones are not offered, however much
 * longer the system's struct may be. */
#define BLK_CONFIG_BYTES \
	(offsetof(struct virtio_blk_config, secure_erase_sector_alignment) + 4)
_Static_assert(BLK_CONFIG_BYTES == 72, "virtio 1.2");

struct blk_vq {
	/* set at creation */
	struct blk_dev *blk;
	uint16_t idx;
	struct loop *loop;
	void *priv; /* of the back end */
	struct blk_stats *stats;

	/* owner worker only */
	bool is_in_burst;
	bool is_started; /* queue_start() was called */
	unsigned int n_done; /* ended in this burst, not yet completed */
	struct blk_req *done[SOFT_BURST];
	uint32_t written[SOFT_BURST];
};

/* blk_size_changed() on its way to the control thread; outlives the disk when
 * it is still on it. */
struct blk_notice {
	struct loop_work work;
	struct blk_dev *blk; /* control only; NULL: it is gone */
};

/**
 * struct blk_dev - a disk
 *
 * @soft: name, num_max, poll time and, where wanted, the features to offer are
 *        set before blk_dev_init()
 * @is_simulator: as the kernel's: unknown types are IOERR, and requests are
 *                served whose features were not negotiated
 * @tune: optional: the last word on the limits
 */
struct blk_dev {
	struct soft_dev soft;

	/* set before blk_dev_init() */
	struct soft_class class;
	const struct blk_backend *backend;
	void *priv; /* of the back end: blk_dev_set_backend() */
	uint16_t num_queues;
	char id[BLK_ID_BYTES];
	bool is_simulator;
	void (*tune)(struct blk_limits *limits);
	uint64_t feature_mask; /* of those that the user wants */

	/* set by blk_dev_init(), then read-only (but the capacity) */
	struct blk_limits limits;
	uint64_t block_mask; /* of sectors */
	struct blk_vq *vqs;
	struct loop *control;
	struct blk_notice *notice;

	/* any thread, atomic */
	uint64_t capacity_sectors;
	bool is_write_through;
};

static inline struct blk_dev *blk_dev_of(struct soft_dev *dev)
{
	return container_of(dev, struct blk_dev, soft);
}

/* Features that a disk can have, rings included. */
extern const uint64_t blk_features;

/* Chooses what holds the sectors; keys may be set afterwards. Return: 0;
 * -ENOMEM */
int blk_dev_set_backend(struct blk_dev *blk, const struct blk_backend *backend);

/**
 * blk_dev_init() - make a disk of a filled struct
 * @blk: on the heap, zeroed but for the fields named above
 * @mgmtdev: whose it is
 *
 * Opens the back end and puts the device on the bus. Return: 0; -errno: @blk is
 * not freed, use blk_dev_discard()
 */
int blk_dev_init(struct blk_dev *blk, struct vdpa_mgmtdev *mgmtdev);
/* Frees one that is not on the bus. Takes NULL. */
void blk_dev_discard(struct blk_dev *blk);
/* dev_del() of management devices of disks. */
void blk_dev_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev);

/* Setters of keys. */
int blk_set_num_queues(struct blk_dev *blk, const char *value);
int blk_set_poll_us(struct blk_dev *blk, const char *value);

/**
 * blk_dev_resize() - another capacity while it runs
 * @want_sectors: 0: look how large the back end is now
 *
 * The driver gets a config interrupt. Control thread. Return: 0; -EOPNOTSUPP;
 * what the back end said
 */
int blk_dev_resize(struct blk_dev *blk, uint64_t want_sectors);

/* request.c: members of struct soft_class. */
void blk_submit(struct soft_dev *dev, uint16_t idx, struct vq_chain **chains,
		unsigned int n);

#endif
