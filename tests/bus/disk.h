/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One disk of the management device blk and a driver on it, for its tests.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_DISK_H
#define TESTS_BUS_DISK_H

#include <endian.h>
#include <errno.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "lib/test.h"
#include "lib/vclient.h"
#include "uapi/compat.h"

#define F(bit) BIT_ULL(VIRTIO_BLK_F_##bit)
#define ALL_FEATURES                                                 \
	(F(SEG_MAX) | F(BLK_SIZE) | F(FLUSH) | F(TOPOLOGY) | F(MQ) | \
	 F(DISCARD) | F(WRITE_ZEROES) | F(SECURE_ERASE))
#define RING_PACKED \
	(BIT_ULL(VIRTIO_F_RING_PACKED) | BIT_ULL(VIRTIO_RING_F_EVENT_IDX))

#define OK     VIRTIO_BLK_S_OK
#define IOERR  VIRTIO_BLK_S_IOERR
#define UNSUPP VIRTIO_BLK_S_UNSUPP

#define DISK_KEYS     "backend=mem capacity=16M"
#define DISK_CAPACITY 0x8000 /* sectors of that */
#define DISK_BUF      (1U << 20)

struct disk {
	struct vworld *w;
	struct vclient *c;
	char *buf; /* of the driver, DISK_BUF bytes */
};

/* A client of a disk "d0" with these keys, DRIVER_OK. */
struct disk *disk_start(uint64_t features, const char *keys,
			unsigned int n_queues);
/* Another one, in a simulation (NULL: threads). */
struct disk *disk_start_on(struct sim *sim, uint64_t features, const char *keys,
			   unsigned int n_queues);
void disk_stop(struct disk *d);

/* One request with its data in buf. Return: its status */
uint8_t disk_io(struct disk *d, uint32_t type, uint64_t sector, uint32_t len);

/* The pieces by hand: a header at the beginning of buf, where bytes of buf are
 * for the device, and a request as it is. Return: bytes written */
void disk_set_header(struct disk *d, uint32_t type, uint64_t sector);
uint64_t disk_at(struct disk *d, size_t off);
uint32_t disk_raw(struct disk *d, const struct vq_sg *sg,
		  unsigned int n_readable, unsigned int n_writable);

/* Discard, write zeroes, secure erase; @extra_bytes more than @n ranges. */
struct range {
	uint64_t sector;
	uint32_t n_sectors;
	uint32_t flags;
};
uint8_t disk_ranged(struct disk *d, uint32_t type, const struct range *ranges,
		    unsigned int n, uint32_t extra_bytes);

/* Management. */
int disk_resize(struct disk *d, const char *value);
uint64_t disk_capacity(struct disk *d);
/* A counter of queue 0; asserts that there is exactly one of that name. */
uint64_t disk_stat(struct disk *d, const char *name);

/* For cmocka: a mem disk of 16 MiB. */
int disk_set_up_split(void **state);
int disk_set_up_packed(void **state);
int disk_tear_down(void **state);

#define SPLIT(name) \
	cmocka_unit_test_setup_teardown(name, disk_set_up_split, disk_tear_down)
#define PACKED(name)                                                       \
	{                                                                  \
#name "_packed", name, disk_set_up_packed, disk_tear_down, \
			NULL                                               \
	}
#define BOTH(name) SPLIT(name), PACKED(name)

#endif
