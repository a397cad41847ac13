/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers that know offsets and nothing else of a device, for tests of the mmio
 * bus driver.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_MMIO_RIG_H
#define TESTS_BUS_MMIO_RIG_H

#include "busdrv/mmio.h"
#include "win_rig.h"

#define MMIO_RIG_NUM 16

/* A device of that management device, open in a layout, with all memory of the
 * rig mapped. */
int mmio_rig_set_up(void **state, const char *mgmtdev, const char *keys,
		    uint32_t layout);
/* The worker is a thread. */
int mmio_rig_set_up_threads(void **state, const char *mgmtdev,
			    const char *keys);
int mmio_rig_tear_down(void **state);
/* On one of the test's. It is unregistered before the rig is freed. */
struct win_rig *mmio_rig_on(struct vdpa_device *vdev, uint32_t layout);

void mmio_rig_open(struct win_rig *rig, uint32_t layout);
void mmio_rig_close(struct win_rig *rig);
static inline struct mmio *mmio_of(struct win_rig *rig)
{
	return rig->priv;
}

/* As an emulator would: what any thread may do first. Waits. */
int mmio_rig_write(struct win_rig *rig, uint64_t offset, unsigned int size,
		   uint64_t value);
/* Asserts that it can be read. */
uint64_t mmio_rig_read(struct win_rig *rig, uint64_t offset, unsigned int size);
int mmio_rig_map(struct win_rig *rig, const struct vdpakit_mmio_memory *memory);
int mmio_rig_unmap(struct win_rig *rig, uint64_t gpa, uint64_t size_bytes);
void expect_no_mistakes(struct win_rig *rig);

/* A virtio-mmio driver, from reset to DRIVER_OK. */
void spec_driver_start(struct win_rig *rig, uint64_t features,
		       unsigned int n_queues);

struct rfc_calls {
	unsigned int n_vq;
	unsigned int n_config;
};
void rfc_vq_call(void *priv);
/* One of the RFC's. */
void rfc_driver_start(struct win_rig *rig, uint64_t features,
		      unsigned int n_queues, struct rfc_calls *calls);

#endif
