/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bus with the bus driver virtio_vdpa, and memory for drivers in the test.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_VIRTIO_RIG_H
#define TESTS_BUS_VIRTIO_RIG_H

#include "busdrv/virtio_vdpa.h"
#include "lib/vclient.h"
#include "virtio/dma.h"

#define VRIG_MEM_BYTES (8U << 20)

struct vrig {
	struct vworld *w;
	struct vdpa_driver *drv;
	struct dma_pool *pool;
	char *mem; /* in the pool */
};

/* As vworld_new(). */
struct vrig *vrig_new(struct sim *sim, unsigned int n_workers);
/* Nothing is open. */
void vrig_free(struct vrig *r);
/* `dev add` with KEY=VALUE..., bound to virtio_vdpa. */
struct virtio_device *vrig_add(struct vrig *r, const char *mgmtdev,
			       const char *name, uint64_t features,
			       const char *keys);
/* The same of a device that is on the bus. */
struct virtio_device *vrig_bind(struct vrig *r, const char *name);
/* Runs what is queued on the control loop. */
void vrig_settle(struct vrig *r);

#endif
