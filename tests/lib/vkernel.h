/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel with VDUSE inside the test: a bus, a device for that kernel, and a
 * virtio driver in it, all in one process.
 *
 * Theory of operation
 *
 * vkernel_new() makes a vworld with the vduse bus driver on system calls of its
 * own: open() gives sockets, ioctl() is a function here, which answers as the
 * kernel does (drivers/vdpa/vdpa_user) or as the test wants it to fail.
 * Requests go over the socket; the control loop runs only while a function here
 * waits for something. Attaching does what a test puts in on_attach, on the
 * thread that attaches.
 *
 * There is one at a time: system calls have no argument to tell which.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_LIB_VKERNEL_H
#define TESTS_LIB_VKERNEL_H

#include "busdrv/kvduse.h"
#include "lib/vclient.h"
#include "uapi/vduse.h"

#define VKERNEL_IOVA	   0x40000000ULL
#define VKERNEL_MEM_BYTES  (4U << 20)
#define VKERNEL_QUEUES_MAX 16
#define VKERNEL_MAPS_MAX   16
#define VKERNEL_CONFIG_MAX 256

struct vkernel_map {
	struct vduse_iotlb_entry_as entry;
	int fd; /* borrowed */
};

struct vkernel_vq {
	struct vduse_vq_setup setup;
	struct vduse_vq_info info;
	int kick_fd; /* our duplicate; or -1 */
	struct vqueue q; /* of the driver; call_fd counts interrupts */
};

struct vkernel {
	struct vworld *w;
	struct vdpa_driver *drv;
	char folder[64]; /* for inflight logs */

	/* what there is in the kernel */
	uint64_t latest; /* version of its API */
	uint64_t version;
	bool exists;
	bool is_attached;
	bool is_open;
	struct vduse_create *created; /* without config space */
	uint8_t config[VKERNEL_CONFIG_MAX];
	uint64_t features; /* of the driver */
	bool is_running; /* DRIVER_OK was answered */
	struct vkernel_vq vqs[VKERNEL_QUEUES_MAX];
	struct vkernel_map maps[VKERNEL_MAPS_MAX];
	unsigned int n_maps;
	bool endless; /* each page from anywhere on is the first map's */
	int sock; /* the other end of the device's file; or -1 */
	uint32_t next_id;

	/* what it refuses: the @fail_skip-th and all later of these fail */
	const char *fail_open; /* path */
	unsigned long fail_ioctl;
	int fail_errno;
	unsigned int fail_skip;
	unsigned int fail_nth; /* this one call of any kind; 0: none */
	unsigned int n_calls;
	int attach_result;
	int detach_result;
	unsigned int n_attached;
	unsigned int n_detached; /* atomic */
	unsigned int n_config_irqs;
	void (*on_attach)(struct vkernel *k);

	/* the driver's memory */
	int memfd;
	char *mem;
	uint64_t next_free;
};

struct vkernel *vkernel_new(void);
void vkernel_free(struct vkernel *k);
/* `dev bind DEV vduse KEYS`: "attach=off inflight=off". Logs are in folder.
 * Return: what it said */
int vkernel_bind(struct vkernel *k, const char *dev, const char *keys);
/* The bus driver leaves, as when the daemon ends, and comes again. */
void vkernel_restart(struct vkernel *k);

/* Runs the bus until a descriptor is readable; fails after 20 seconds. */
void vkernel_wait(struct vkernel *k, int fd);

/* Runs the bus for a millisecond. */
void vkernel_run_once(struct vkernel *k);

/* Sends a request, of any length, and waits for its answer. Return: it */
struct vduse_response vkernel_ask(struct vkernel *k, struct vduse_request *req);
/* The same in two; what is sent is there when the device is opened again. */
void vkernel_send(struct vkernel *k, const void *buf, size_t len);
struct vduse_response vkernel_answer(struct vkernel *k, uint32_t request_id);
/* Return: was it said yes to? */
bool vkernel_status(struct vkernel *k, uint8_t status);
bool vkernel_update(struct vkernel *k);

/* One more mapping, at the end. */
void vkernel_map(struct vkernel *k, uint64_t start, uint64_t last, int fd,
		 uint64_t offset, uint8_t perm);
/* The driver's memory, in one. */
void vkernel_map_memory(struct vkernel *k);
/* Ring @idx, ready. */
void vkernel_make_queue(struct vkernel *k, unsigned int idx, uint16_t num);
/* From status 0 to DRIVER_OK; asserts that all is well. */
void vkernel_start(struct vkernel *k, uint64_t features, unsigned int n_queues,
		   uint16_t num);
/* Status 0, and what the kernel and the driver forget then. */
void vkernel_reset(struct vkernel *k);

void *vkernel_alloc(struct vkernel *k, size_t size, size_t align);
uint64_t vkernel_iova(const struct vkernel *k, const void *va);
void vkernel_kick(struct vkernel *k, unsigned int idx);
/* One block request with one data buffer. Return: the status byte. */
uint8_t vkernel_blk(struct vkernel *k, unsigned int idx, uint32_t type,
		    uint64_t sector, void *data, uint32_t len);

#endif
