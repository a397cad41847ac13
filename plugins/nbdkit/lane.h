/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lanes: a queue of the disk each, used by any thread.
 *
 * Theory of operation
 *
 * nbdkit calls from many threads, each of which waits for its request. A queue
 * of the library belongs to one thread. So each queue has a thread of ours, its
 * lane:
 *
 *   nbdkit's thread: buffer of the pool, data in, request into the inbox, sleep
 *   lane:            inbox -> queue ... done -> wake its thread
 *
 * Memory of nbdkit's is not known to devices: data is copied through buffers,
 * of which there are as many as may be under way.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef NBDKIT_LANE_H
#define NBDKIT_LANE_H

#include <pthread.h>
#include <stdbool.h>

#include <vdpakit/client.h>

/* Of a buffer: longer requests are cut. */
#define LANE_CHUNK_BYTES (256U << 10)
#define LANE_DEPTH	 32
#define LANES_MAX	 8

struct lane_request {
	struct vdpakit_blk_req req;
	struct lane_request *next,
		**link; /* of the inbox, or what is under way */
	int result;
	bool is_done;
	pthread_cond_t done;
};

struct lane {
	struct vdpakit_blk_queue *q;
	pthread_t thread;
	int wake_fd;
	bool has_thread;

	pthread_mutex_t lock;
	/* under it */
	pthread_cond_t has_buffer;
	char *buffers[LANE_DEPTH]; /* free ones */
	unsigned int n_free;
	struct lane_request *inbox, **inbox_tail;
	struct lane_request *under_way;
	bool is_ending;
	int broken; /* 0; -errno: for all requests from now on */
};

/* @memory: LANE_DEPTH chunks. Return: 0; -errno */
int lane_start(struct lane *lane, struct vdpakit_blk_queue *q, char *memory);
/* Nobody waits in it. */
void lane_end(struct lane *lane);

/* A buffer of LANE_CHUNK_BYTES; waits for one. */
char *lane_get_buffer(struct lane *lane);
void lane_put_buffer(struct lane *lane, char *buffer);

/* Does it and waits. Return: 0; -errno: its result */
int lane_run(struct lane *lane, const struct vdpakit_blk_req *req);

#endif
