/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the register window share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_WINDOW_INTERNAL_H
#define BUSDRV_WINDOW_INTERNAL_H

#include <pthread.h>

#include <linux/virtio_config.h>

#include "busdrv/window.h"

/* Bits newer than Linux 6.1's headers have them. */
#define WINDOW_F_NOTIFICATION_DATA 38
#define WINDOW_F_NOTIF_CONFIG_DATA 39
#define WINDOW_F_RING_RESET	   40
#define WINDOW_F_ADMIN_VQ	   41

struct window_vq {
	struct window *w;
	uint32_t idx;
	uint32_t num_max;
	/* what the driver wrote */
	uint32_t num;
	uint64_t desc_area, driver_area, device_area;
	bool is_ready; /* and the device has it */
	bool is_resetting;
	bool is_given; /* the device has our eventfd and callback */
	struct vdpa_callback call; /* of the user's; else neither is set */
	int kick_fd; /* any thread, atomic; -1: none yet */
	bool is_shared; /* somebody else has kick_fd; any thread, atomic */
	struct loop_watch *watch; /* of a device that does not watch */
};

struct window {
	/* set by window_new() */
	struct window_options options;
	struct loop *control;
	uint32_t nvqs;
	bool offers_ring_reset;

	/* control only */
	struct vdpa_device *vdev; /* NULL: cut off */
	struct list ops;
	bool is_running; /* ops, of a device that never waits */
	bool is_freed; /* meanwhile */
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint64_t driver_features;
	bool has_unknown_features; /* the driver wrote bits beyond 63 */
	uint32_t queue_sel;
	uint32_t shm_sel;
	bool needs_reset;
	bool is_resetting;
	uint8_t old_status; /* while it is */
	struct vdpa_callback config_call; /* of the user's */
	bool is_config_given; /* the device has one */
	struct window_vq *vqs;

	/* any thread, atomic */
	uint32_t isr;
	struct window_stats stats;

	pthread_mutex_t irq_lock; /* of the level, and of telling it */
	bool level;
};

/* The driver may not do that now. */
void window_mistake(struct window *w);
/* The device did not take it. */
void window_refused(struct window *w);
/* No way on but a reset; the driver is told. */
void window_break(struct window *w);

/* ---- window_vq.c, window_irq.c ---- */

/* The queue that QUEUE_SEL names; NULL: there is none. */
struct window_vq *window_selected(struct window *w);
uint32_t window_vq_read(struct window *w, enum window_reg reg);
/* What is only kept. */
void window_vq_write(struct window *w, enum window_reg reg, uint32_t value);
int window_vq_set_ready(struct window_vq *q, uint32_t value);
int window_vq_reset(struct window_vq *q, uint32_t value);
/* As after a reset, the device has forgotten the queue. */
void window_vq_forget(struct window_vq *q);
void window_vq_init(struct window_vq *q, struct window *w, uint32_t idx);
void window_vq_fini(struct window_vq *q);

/* Return: the queue's eventfd; -errno */
int window_make_kick_fd(struct window_vq *q);
/* Something has happened. Any thread. */
void window_raise(struct window *w, uint32_t bits);
/* INTERRUPT_STATUS has changed: so may have the level. Any thread. */
void window_update_level(struct window *w);
/* What the device is given to call. */
struct vdpa_callback window_vq_callback(struct window_vq *q);
struct vdpa_callback window_config_callback(struct window *w);
void window_tell_config(struct window *w);

static inline bool window_has(const struct vdpa_callback *cb)
{
	return cb->callback || cb->trigger_fd >= 0;
}

#endif
