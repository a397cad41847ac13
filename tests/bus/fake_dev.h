/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that does nothing by itself: the test says what it does to its ring,
 * rightly or not. It reaches memory by the map that it was given, as a process
 * would.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_FAKE_DEV_H
#define TESTS_BUS_FAKE_DEV_H

#include "bus/bus.h"
#include "lib/test.h"

#define FAKE_STEPS_MAX 32
#define FAKE_DESCS_MAX 16
#define FAKE_CONFIG    64

struct fake_vq {
	uint64_t desc_area, driver_area, device_area;
	uint32_t num;
	bool is_ready;
	int kick_fd;
	struct vdpa_callback call;
	uint16_t avail_idx; /* next to take */
	uint16_t used_idx; /* next to give */
};

struct fake_dev {
	struct vdpa_device vdev;
	struct vdpa_config_ops ops;
	struct fake_vq q[2];
	uint64_t offered;
	uint64_t features;
	uint32_t device_id;
	uint32_t config_size;
	uint8_t status;
	uint8_t refused; /* status bits that it does not take */
	int reset_ret;
	bool waits; /* in set_status() and reset(), until it is false */
	uint8_t config[FAKE_CONFIG];
	struct vdpa_callback config_call;
	struct iotlb_snap *map;
	unsigned int n_maps;
	/* what it was told, in order: status, 0 for a reset */
	uint8_t steps[FAKE_STEPS_MAX];
	unsigned int n_steps;
};

/* A chain of direct descriptors. */
struct fake_chain {
	uint16_t head;
	unsigned int n;
	unsigned int n_readable;
	struct {
		uint64_t addr;
		uint32_t len;
	} d[FAKE_DESCS_MAX];
};

/* Of a virtio disk, one queue. */
void fake_init(struct fake_dev *f);
void fake_fini(struct fake_dev *f);

/* Takes the next chain. Return: is there one? */
bool fake_take(struct fake_dev *f, struct fake_chain *ret);
/* Writes a used element, whatever it says, the index after it, and calls. */
void fake_use(struct fake_dev *f, uint32_t id, uint32_t len);
void fake_set_used_idx(struct fake_dev *f, uint16_t idx);
/* Bytes of the descriptor's memory. */
void fake_read(struct fake_dev *f, uint64_t addr, void *buf, uint32_t len);
void fake_write(struct fake_dev *f, uint64_t addr, const void *buf,
		uint32_t len);

#endif
