/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of devices that programs write share.
 *
 * Theory of operation
 *
 * A struct vdpakit_device is a software device (soft/soft.h) whose class calls
 * the program's. A request is the class's memory beside a chain, so that it can
 * be looked up both ways and nothing is allocated.
 *
 * Requests that are completed by another thread than the queue's go into a
 * mailbox: a list that any thread adds to, and the queue's thread takes as a
 * whole. Its memory is the device's; it may still be called when the last of
 * them has let the device go, so the device waits for it in its free().
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef LIB_LIB_DEVICE_H
#define LIB_LIB_DEVICE_H

#include <vdpakit/soft.h>

#include "soft/soft.h"

struct vdpakit_request {
	/* owner worker only, but for next */
	struct vq_chain *chain;
	struct lib_queue *queue;
	struct vdpakit_request *next; /* in the mailbox */
	uint32_t written;

	/* any thread, atomic */
	uint32_t is_taken; /* the program has it */

	char data[] __attribute__((aligned(16)));
};

struct lib_queue {
	struct vdpakit_device *dev;
	uint16_t idx;

	/* any thread, atomic */
	struct vdpakit_request *done; /* newest first */
	struct loop_work done_work;
	struct loop_work wake_work;
};

/* "The config space has changed" on its way to the control thread; outlives the
 * device when it is still on it. */
struct lib_notice {
	struct loop_work work;
	struct vdpakit_device *dev; /* control only; NULL: it is gone */
};

struct vdpakit_device {
	struct soft_dev soft;
	struct soft_class soft_class;

	/* set by vdpakit_device_new(), then read-only */
	struct vdpakit_device_class class;
	void *priv;
	struct loop *control;
	struct lib_queue *queues;
	struct lib_notice *notice;

	/* any thread, atomic */
	uint64_t n_misuses;
};

static inline struct vdpakit_device *lib_device_of(struct soft_dev *soft)
{
	return container_of(soft, struct vdpakit_device, soft);
}

static inline struct loop *lib_queue_worker(const struct lib_queue *q)
{
	return q->dev->soft.vqs[q->idx].worker;
}

/* Counts it. Return: @code */
int lib_misuse(struct vdpakit_device *dev, int code);

/* lib_request.c */

/* Of a chain that was just fetched. Return: NULL: it is faulty, and completed */
struct vdpakit_request *lib_request_begin(struct lib_queue *q,
					  struct vq_chain *chain);
/* The mailbox's callback: on the queue's thread. */
void lib_request_done_work(void *priv);

#endif
