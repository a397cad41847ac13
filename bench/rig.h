/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bus with one simulator on it, and the memory of its driver, all in the
 * benchmark's process.
 *
 * Theory of operation
 *
 * The benchmark's thread is the control thread. The device's worker is either
 * the same loop, which rig_loop() runs (one core), or a thread of its own. What
 * the driver needs comes out of one block of memory, mapped whole.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BENCH_RIG_H
#define BENCH_RIG_H

#include "bus/bus.h"
#include "vq/vq_driver.h"

#define RIG_MEM_BYTES (8U << 20)
#define RIG_MEM_IOVA  0x40000000ULL

struct rig {
	struct loop *control;
	struct loop *worker; /* may be the same */
	struct vdpa_bus *bus;
	struct vdpa_mgmtdev *net, *blk, *disk;
	struct vdpa_device *vdev;
	struct region *region;
	char *mem;
	size_t n_mem; /* bytes that are given out */
	uint64_t features;
};

/**
 * rig_init() - a device, reset, its memory mapped
 * @mgmtdev: "vdpasim_net", "vdpasim_blk", or "blk" for a disk on null
 * @poll_us: of the device's keys; NULL: as it is
 * @has_thread: the worker is a thread of its own
 */
void rig_init(struct rig *r, const char *mgmtdev, const char *poll_us,
	      bool has_thread);
void rig_fini(struct rig *r);

/* Whole pages, until the next rig_reset(). */
void *rig_alloc(struct rig *r, size_t size);

static inline uint64_t rig_iova(const struct rig *r, const void *va)
{
	return RIG_MEM_IOVA + (uint64_t)((const char *)va - r->mem);
}

/* To FEATURES_OK. @features: besides VERSION_1 and ACCESS_PLATFORM */
void rig_negotiate(struct rig *r, uint64_t features);
/* A ring in the rig's memory, ready; calls are off. */
struct vq_driver *rig_set_up_queue(struct rig *r, uint32_t idx, uint16_t num);
void rig_set_driver_ok(struct rig *r);
/* Resets the device; all of rig_alloc() is free again. */
void rig_reset(struct rig *r);

#endif
