/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in the test's own process, with the virtio block driver on it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_VIRTIO_DISK_H
#define TESTS_BUS_VIRTIO_DISK_H

#include <errno.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "bus/virtio_rig.h"
#include "lib/test.h"
#include "virtio/blk.h"
#include "virtio/virtqueue.h"

#define VDISK_BYTES  (16U << 20)
#define VDISK_QUEUES 4
#define VDISK_KEYS   "backend=mem capacity=16M num_queues=4"

/* How a disk is made, and which features of rings it lacks. */
struct vdisk_kind {
	const char *mgmtdev;
	const char *keys;
	uint64_t without;
};

/* Each format of rings, of both mgmtdevs; [0] has everything. */
extern const struct vdisk_kind vdisk_kinds[];
extern const size_t vdisk_n_kinds;

struct vdisk {
	struct vrig *r;
	struct virtio_device *vdev;
	struct vdpakit_blk *blk;
	struct vdpakit_blk_queue *q; /* the first */
	char *mem; /* VRIG_MEM_BYTES */
	unsigned int n_changed; /* calls of options.changed */
};

/* @options: size and changed are set here. */
void vdisk_open(struct vdisk *d, const struct vdisk_kind *kind,
		struct vdpakit_blk_options options);
/* In a simulation (NULL: threads). */
void vdisk_open_on(struct vdisk *d, struct sim *sim,
		   const struct vdisk_kind *kind,
		   struct vdpakit_blk_options options);
/* The first kind. */
void vdisk_open_default(struct vdisk *d);
void vdisk_close(struct vdisk *d);

/* The driver on a device that is bound. Return: as blk_probe() */
int vdisk_probe(struct vdisk *d, struct vdpakit_blk_options options);
struct vdpakit_blk_info vdisk_info(const struct vdisk *d);

/* Bytes that tell where they belong. */
void vdisk_fill(char *p, size_t len, unsigned int seed);
/* Writes, reads elsewhere, compares. */
void vdisk_round_trip(struct vdisk *d, uint64_t offset, size_t len);

#endif
