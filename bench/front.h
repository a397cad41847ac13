/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest vhost-user front end: one connection, one block of shared
 * memory, queues that vq_driver.h drives. For benchmarks of back ends, ours and
 * others': it takes what it is given and stops at the first surprise.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BENCH_FRONT_H
#define BENCH_FRONT_H

#include "vq/vq_driver.h"

#define FRONT_QUEUES_MAX 8

struct front_queue {
	struct vq_driver *drv;
	int kick_fd;
	int call_fd;
};

struct front {
	int sock;
	uint64_t features; /* agreed on */
	char *mem; /* guest-physical address 0 is its first byte */
	size_t mem_bytes;
	size_t n_mem; /* bytes that are given out */
	unsigned int n_queues;
	struct front_queue queues[FRONT_QUEUES_MAX];
};

/**
 * front_connect() - to FEATURES_OK, its memory shared
 * @path: of the socket
 * @wanted: virtio features that are taken where they are offered
 * @mem_bytes: of memory
 */
void front_connect(struct front *f, const char *path, uint64_t wanted,
		   size_t mem_bytes);
void front_close(struct front *f);

/* Whole pages, to the end. */
void *front_alloc(struct front *f, size_t size);

static inline uint64_t front_gpa(const struct front *f, const void *va)
{
	return (uint64_t)((const char *)va - f->mem);
}

/* The next queue, started; calls are off. */
struct front_queue *front_start_queue(struct front *f, uint16_t num);

/* Publishes, and kicks where that is wanted. */
void front_publish(struct front_queue *q);
/* Sleeps until something is used. */
void front_wait(struct front_queue *q);

#endif
