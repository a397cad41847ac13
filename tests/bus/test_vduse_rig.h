/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both ends of a VDUSE device inside the test: its process, and its client on
 * the vhost-vdpa node.
 *
 * Theory of operation
 *
 * Everything runs on simulated loops in one thread. A call of the client's that
 * has to wait for the process calls rig_serve() in turns: it reads a request,
 * notes it in the log, lets the test's hook do what a process may do meanwhile,
 * and answers. With nothing to read virtual time goes on, so that time-outs
 * take no time.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_BUS_TEST_VDUSE_RIG_H
#define TESTS_BUS_TEST_VDUSE_RIG_H

#include "dev/remote/vduse.h"
#include "lib/test.h"
#include "lib/vclient.h"
#include "uapi/compat.h"
#include "uapi/vduse.h"

#define RIG_LOG_MAX  256
#define RIG_IOVA     0x100000ULL
#define RIG_MEM_SIZE 0x10000ULL
#define RIG_FEATURES \
	(BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM))

/* What the process does with a request. */
enum rig_answer {
	RIG_OK,
	RIG_FAILED,
	RIG_SILENT,
};

struct rig {
	struct sim *sim; /* NULL: the worker has a thread */
	struct vworld *w; /* its local carrier is the client's */
	struct vdpa_mgmtdev *vduse;
	struct cdev_local *process;
	struct cdev_file *control;
	struct cdev_file *dev; /* NULL: closed */
	struct cdev_file *client; /* NULL: closed */
	int memfd;
	char *mem;

	/* the process */
	enum rig_answer answer;
	struct vduse_vq_state vq_state; /* of its replies */
	void (*hook)(struct rig *r, const struct vduse_request *req);
	struct vduse_request log[RIG_LOG_MAX];
	unsigned int n_log;
};

/* As test functions' set-up and tear-down: a device "vd0" of version 0 with two
 * queues, on the bus, open in its process; no client yet. */
int rig_set_up(void **state);
/* The same, version 1: three groups, two address spaces. */
int rig_set_up_v1(void **state);
/* The same, with the worker in a thread of its own, and real time. */
int rig_set_up_threads(void **state);
/* No device. */
int rig_set_up_bare(void **state);
int rig_tear_down(void **state);

/* A device that CREATE_DEV takes, to be changed: a disk without queues. */
struct vduse_create rig_config(const char *name);
/* CREATE_DEV with a config space of zeroes. Return: as ioctl() */
int64_t rig_create(struct rig *r, const struct vduse_create *config);
int64_t rig_destroy(struct rig *r, const char *name);
int64_t rig_dev_add(struct rig *r, const char *name, const char *key,
		    const char *value);
int64_t rig_setup_vq(struct rig *r, uint32_t idx, uint16_t size,
		     uint32_t group);

/* The process. */
int64_t rig_open(struct rig *r);
void rig_close(struct rig *r);
int64_t rig_ioctl(struct rig *r, uint32_t cmd, void *arg);
int64_t rig_control(struct rig *r, uint32_t cmd, void *arg);
/* Return: is there a request? It is in the log, and answered. */
bool rig_serve(struct rig *r);
int64_t rig_reply(struct rig *r, uint32_t id, uint32_t result);
/* The newest request that was read. */
const struct vduse_request *rig_last(const struct rig *r);

/* The client. Results as of the system calls. */
int64_t rig_client_open(struct rig *r);
void rig_client_close(struct rig *r);
int64_t rig_client(struct rig *r, uint32_t cmd, void *arg);
int64_t rig_status(struct rig *r, uint8_t status);
uint8_t rig_get_status(struct rig *r);
int64_t rig_features(struct rig *r, uint64_t features);
/* {idx, num} of a virtqueue. */
int64_t rig_vring(struct rig *r, uint32_t cmd, uint32_t idx, int num);
/* Bytes of its memory at an address. Return: as write() */
int64_t rig_map(struct rig *r, uint32_t asid, uint64_t iova, uint64_t offset,
		uint64_t size);
int64_t rig_iotlb(struct rig *r, uint32_t asid, uint8_t type, uint64_t iova,
		  uint64_t size);
/* Whatever is ready, without time going by. */
void rig_settle(struct rig *r);
/* Virtual time. */
void rig_sleep(struct rig *r, unsigned int seconds);

#endif
