/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device, and a driver's memory and rings, for tests that come to it by
 * registers. Which registers these are is the test's.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_WIN_RIG_H
#define TESTS_BUS_WIN_RIG_H

#include "busdrv/window.h"
#include "lib/test.h"
#include "lib/vclient.h"

#define WIN_IOVA      0x40000000ULL /* the driver's first byte */
#define WIN_MEM_BYTES (4U << 20)
#define WIN_QUEUES    4

struct win_rig {
	struct sim *sim; /* NULL: the worker has a thread */
	struct vworld *w; /* one worker */
	struct vdpa_device *vdev; /* "d0", unbound */
	struct window *win; /* of tests that need no layout */
	/* the driver's */
	int memfd;
	char *mem;
	struct region *region;
	uint64_t next_free;
	struct vq_driver *drv[WIN_QUEUES];
	void (*kick)(struct win_rig *rig, uint32_t idx);
	void *priv, *priv2; /* of the test */
	/* interrupts */
	void (*irq)(void *priv, bool level); /* NULL: the next two */
	unsigned int n_irqs;
	bool level;
};

/* On a device of that management device. @seed 0: threads, and no win_rig_run()
 * or win_run_one(). */
struct win_rig *win_rig_new(uint64_t seed, const char *mgmtdev,
			    const char *keys);
/* On one of the test's, which is registered. */
struct win_rig *win_rig_on(uint64_t seed, struct vdpa_device *vdev);
/* The window has been freed. The test's device has been unregistered. */
void win_rig_free(struct win_rig *rig);

/* A window onto it, on all of the memory. */
void win_rig_open(struct win_rig *rig, bool is_edge);
void win_rig_close(struct win_rig *rig);
/* Of that window. Waits, where it has to. */
void win_write(struct win_rig *rig, enum window_reg reg, uint32_t value);
uint32_t win_read(struct win_rig *rig, enum window_reg reg);
/* The whole of a virtio driver's start: status, features, queues. */
void win_negotiate(struct win_rig *rig, uint64_t features);
void win_set_up_queue(struct win_rig *rig, uint32_t idx, uint16_t num,
		      uint64_t features);

/* options.irq for a window: counts in the rig. */
void win_rig_irq(void *priv, bool level);
/* Whatever happens, for that long. */
void win_rig_run(struct win_rig *rig);
/* Memory of the driver's; win_iova() is its address. */
void *win_alloc(struct win_rig *rig, size_t size, size_t align);
uint64_t win_iova(const struct win_rig *rig, const void *va);
/* A ring in it, the old one of this queue forgotten. @ret: addresses. */
void win_ring(struct win_rig *rig, uint32_t idx, uint16_t num,
	      uint64_t features, struct vq_layout *ret);
/* Publishes, kicks, runs until a buffer is used. */
struct vq_used win_run_one(struct win_rig *rig, uint32_t idx);
/* One request to a disk. Return: its status byte */
uint8_t win_blk(struct win_rig *rig, uint32_t idx, uint32_t type,
		uint64_t sector, void *data, uint32_t len);

#endif
