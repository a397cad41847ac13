/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the virtio block driver share.
 *
 * Theory of operation
 *
 *   blk.c         life: probe, reset, remove; news from the device
 *   blk_config.c  what the device says of itself, checked, for all threads
 *   blk_queue.c   requests: the data path; the owner of the queue
 *
 * A queue has a slot for each request that may be under way, numbered. A slot
 * has two halves: what the device may not touch (struct blk_slot), and a cache
 * line in memory beside its ring (struct blk_wire): header, range and status
 * byte. Data is described where the caller has it.
 *
 *   add:   slot off the free list, checks, wire, virtqueue_add(.., slot)
 *   poll:  virtqueue_get() -> slot -> its status byte, once -> result
 *
 * Limits are those of the device's config space as of its last start; only
 * its capacity may change while it runs.
 *
 * After a reset the requests that were under way are on a list, and are given
 * back by the next polls, with -EIO.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VIRTIO_BLK_INTERNAL_H
#define VIRTIO_BLK_INTERNAL_H

#include <linux/virtio_blk.h>

#include "virtio/blk.h"
#include "virtio/virtqueue.h"

#define BLK_SECTOR_BYTES 512U
#define BLK_F(name)	 BIT_ULL(VIRTIO_BLK_F_##name)

/* The half of a slot that the device reads, and whose status it writes. */
struct blk_wire {
	struct virtio_blk_outhdr hdr;
	struct virtio_blk_discard_write_zeroes range;
	uint8_t status;
	uint8_t pad[31];
};
_Static_assert(sizeof(struct blk_wire) == 64, "a cache line");

struct blk_slot {
	void *user;
	struct blk_wire *wire; /* in the ring's memory */
	uint64_t wire_iova;
	struct blk_slot *next; /* free, or lost */
};

/* As of the last start; the data path's share of struct vdpakit_blk_info. */
struct blk_limits {
	uint64_t max_request_bytes;
	uint64_t max_discard_bytes;
	uint64_t max_write_zeroes_bytes;
	uint32_t max_segments;
	uint32_t max_segment_bytes;
	bool is_read_only;
	bool can_flush;
	bool may_unmap;
};

struct vdpakit_blk_queue {
	/* set by blk_probe(), then read-only */
	struct vdpakit_blk *blk;
	struct virtqueue *vq;
	struct blk_slot *slots;
	uint16_t n_slots;

	/* set while no thread is in a call: by a start */
	struct blk_limits limits;

	/* owner only */
	struct blk_slot *free;
	struct blk_slot *lost; /* ended by a reset */
	unsigned int n_under_way;
	unsigned int cursor; /* of dma_iova() */
};

struct vdpakit_blk {
	/* set by blk_probe(), then read-only */
	struct virtio_device *vdev;
	void (*changed)(void *priv);
	void *changed_priv;
	struct vdpakit_blk_queue *queues;
	uint16_t n_queues;
	uint16_t queue_size;
	bool no_packed;
	bool in_order;
	unsigned int poll_us;

	/* control only */
	uint64_t features; /* as of blk_probe() */
	uint32_t block_bytes;
	uint32_t generation;
	bool is_running;

	/* any thread, atomic */
	uint64_t capacity_bytes;
	uint32_t info_seq; /* odd: info is being written */
	uint64_t info[16]; /* struct vdpakit_blk_info, word by word */
};

/* ---- blk_config.c ---- */

/**
 * blk_read_config() - what the device says, checked
 * @info, @limits: filled in; queue_size and generation are the caller's
 * Return: 0; -EPROTO it makes no sense; -ENODEV
 */
int blk_read_config(struct vdpakit_blk *blk, struct vdpakit_blk_info *info,
		    struct blk_limits *limits);
/* For vdpakit_blk_get_info(). Control. */
void blk_publish_info(struct vdpakit_blk *blk,
		      const struct vdpakit_blk_info *info);

/* ---- blk_queue.c ---- */

/* Makes slots, once its virtqueue is there. Return: 0; -ENOMEM */
int blk_queue_init(struct vdpakit_blk_queue *q, struct vdpakit_blk *blk,
		   struct virtqueue *vq, uint16_t n_slots);
/* The ring is a new one. */
void blk_queue_renew(struct vdpakit_blk_queue *q);
void blk_queue_fini(struct vdpakit_blk_queue *q);
/* After virtio_stop(): what is under way is lost. */
void blk_queue_lose(struct vdpakit_blk_queue *q);

#endif
