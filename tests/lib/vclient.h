/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-vdpa client inside the test: a bus, a device, and a virtio driver on
 * the node, all in one process.
 *
 * Theory of operation
 *
 * vworld_new() makes a bus with all local devices and the vhost-vdpa bus driver,
 * on loops that the test chooses (threads, or a simulation). vclient_open()
 * opens a node through cdev's local carrier, makes one memfd as its memory, maps
 * it at VCLIENT_IOVA, and lays out rings and buffers in it. From there on a test
 * plays the driver with vq_driver.h, and looks at every byte.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_LIB_VCLIENT_H
#define TESTS_LIB_VCLIENT_H

#include "bus/bus.h"
#include "cdev/cdev.h"
#include "vq/vq_driver.h"

#define VCLIENT_IOVA	   0x100000
#define VCLIENT_MEM_BYTES  (8U << 20)
#define VCLIENT_QUEUES_MAX 16

struct vworld {
	struct loop *control;
	struct loop *workers[4];
	unsigned int n_workers;
	struct sim *sim; /* NULL: threads */
	struct vdpa_bus *bus;
	struct cdev *cdev;
	struct cdev_local *local;
	struct vdpa_mgmtdev *net, *blk, *disk, *nic;
	struct vdpa_driver *vhost_vdpa;
};

/**
 * vworld_new() - a bus to test on
 * @sim: its loops are simulated and share this; NULL: @n_workers threads, and
 *       the calling thread is the control thread
 * @n_workers: 1 to 4
 */
struct vworld *vworld_new(struct sim *sim, unsigned int n_workers);
void vworld_free(struct vworld *w);
/* `dev add`; asserts that it works. @key may be NULL. */
void vworld_add(struct vworld *w, const char *mgmtdev, const char *name,
		uint64_t features, const char *key, const char *value);

/* The same with any number of keys: "backend=mem capacity=1M". Return: what
 * `dev add` said. */
int vworld_add_keys(struct vworld *w, const char *mgmtdev, const char *name,
		    uint64_t features, const char *keys);
/* Such keys alone; adds to those that are in @ret. */
void vworld_parse_keys(const char *keys, struct vdpa_dev_config *ret);
/* A counter of one queue; fails where the device has none of that name. */
uint64_t vworld_stat(struct vworld *w, const char *dev, uint32_t idx,
		     const char *name);

struct vqueue {
	struct vq_driver *drv;
	uint16_t num;
	uint64_t ring_iova;
	uint32_t base; /* of VRING_BASE, for vclient_restore() */
	int kick_fd;
	int call_fd;
};

struct vclient {
	struct vworld *w;
	struct cdev_file *file;
	int memfd;
	char *mem;
	uint64_t features;
	struct vqueue q[VCLIENT_QUEUES_MAX];
	uint64_t next_free; /* bytes of mem that are given out */
};

/* Opens a node and owns it. Return: 0 or what open() said. */
int64_t vclient_open(struct vworld *w, const char *node, struct vclient **ret);
/* Closes the file; also after the device has gone. */
void vclient_close(struct vclient *c);

int64_t vclient_ioctl(struct vclient *c, uint32_t cmd, void *arg);
/* Asserts that it succeeds. */
void vclient_must(struct vclient *c, uint32_t cmd, void *arg);
/* One V2 IOTLB message. Return: as write() */
int64_t vclient_iotlb(struct vclient *c, uint32_t asid, uint8_t type,
		      uint64_t iova, uint64_t size, void *uaddr, uint8_t perm);
void vclient_set_status(struct vclient *c, uint8_t status);
uint8_t vclient_status(struct vclient *c);

/* Config space, from its first byte. @len <= 256; asserts success. */
void vclient_get_config(struct vclient *c, void *buf, uint32_t len);
void vclient_set_config(struct vclient *c, const void *buf, uint32_t len);

/* Memory for a buffer: an address here; vclient_iova() is the device's. */
void *vclient_alloc(struct vclient *c, size_t size, size_t align);
uint64_t vclient_iova(const struct vclient *c, const void *va);

/**
 * vclient_start() - from reset to DRIVER_OK with queues 0..n_queues-1
 * @features: wanted besides VERSION_1 and ACCESS_PLATFORM
 * @num: ring size of each queue
 */
void vclient_start(struct vclient *c, uint64_t features, unsigned int n_queues,
		   uint16_t num);
/* The same in steps, for tests that do something in between. */
void vclient_negotiate(struct vclient *c, uint64_t features);
void vclient_set_up_queue(struct vclient *c, unsigned int idx, uint16_t num);
/* SET_STATUS 0, and the driver's half of every queue forgotten. */
void vclient_reset(struct vclient *c);

/* Suspends, keeps where each queue stands, resets: as before a migration. */
void vclient_save(struct vclient *c);
/* Closes and opens the node, as another process would: rings and buffers stay.
 * Between vclient_save() and vclient_restore(). */
void vclient_reopen(struct vclient *c, const char *node);
/* Goes on with the same rings where vclient_save() left off. */
void vclient_restore(struct vclient *c);

void vclient_kick(struct vclient *c, unsigned int idx);
/* Waits for one call (threads: poll(); simulation: runs it). */
void vclient_wait_call(struct vclient *c, unsigned int idx);
/* Publishes, kicks where wanted, and waits until one buffer is used. */
struct vq_used vclient_run_one(struct vclient *c, unsigned int idx);

/* Puts one buffer of pieces on a queue; not published. */
void vclient_add(struct vclient *c, unsigned int idx, const struct vq_sg *sg,
		 unsigned int n_readable, unsigned int n_writable,
		 void *cookie);

/* One block request with one data buffer. Return: the status byte. */
uint8_t vclient_blk(struct vclient *c, unsigned int idx, uint32_t type,
		    uint64_t sector, void *data, uint32_t len);

#endif
