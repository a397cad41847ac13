/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What pump.c offers to soft_ops.c. All of it runs on the queue's owner.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef SOFT_SOFT_INTERNAL_H
#define SOFT_SOFT_INTERNAL_H

#include "soft/soft.h"

/* The kick eventfd was written; the callback of its watch. */
void pump_kicked(void *priv, unsigned int events);
/* The driver broke the ring: nothing more from this queue until a reset. */
void pump_broken(struct soft_vq *q);
void pump_init(struct soft_vq *q);
/* The queue begins to run: its vq is started, the snapshot set. */
void pump_start(struct soft_vq *q);
/* Publishes what is completed; afterwards nothing looks at the queue. */
void pump_stop(struct soft_vq *q);
/* Look at every running queue that this worker owns: something changed that
 * one of them may have waited for. */
void pump_wake_all(struct soft_dev *dev, struct loop *worker);
/* Tell whoever listens. */
void pump_signal(const struct vdpa_callback *cb);

#endif
