/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The register window: interrupts and notifications, the part that any thread
 * may use.
 *
 * INTERRUPT_STATUS is set by workers and cleared by the driver's processors, at
 * the same time. Whoever changes it from or to 0 looks again under the lock and
 * tells the level as it is then, so that what is told last is true.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/window_internal.h"

/* ---- interrupts ---- */

void window_update_level(struct window *w)
{
	bool level;

	if (!w->options.irq || w->options.is_edge) {
		return;
	}
	pthread_mutex_lock(&w->irq_lock);
	level = __atomic_load_n(&w->isr, __ATOMIC_ACQUIRE) != 0;
	if (level != w->level) {
		w->level = level;
		w->options.irq(w->options.priv, level);
	}
	pthread_mutex_unlock(&w->irq_lock);
}

void window_raise(struct window *w, uint32_t bits)
{
	uint32_t old = __atomic_fetch_or(&w->isr, bits, __ATOMIC_ACQ_REL);

	if (w->options.is_edge && w->options.irq) {
		w->options.irq(w->options.priv, true);
	} else if (old == 0) {
		window_update_level(w);
	}
}

uint32_t window_isr(const struct window *w)
{
	return __atomic_load_n(&w->isr, __ATOMIC_ACQUIRE);
}

void window_ack(struct window *w, uint32_t bits)
{
	uint32_t old = __atomic_fetch_and(&w->isr, ~bits, __ATOMIC_ACQ_REL);

	if (old != 0 && (old & ~bits) == 0) {
		window_update_level(w);
	}
}

uint32_t window_take_isr(struct window *w)
{
	uint32_t bits = __atomic_exchange_n(&w->isr, 0, __ATOMIC_ACQ_REL);

	if (bits != 0) {
		window_update_level(w);
	}
	return bits;
}

static void vq_event(void *priv)
{
	window_raise(priv, WINDOW_INT_VRING);
}

static void config_event(void *priv)
{
	window_raise(priv, WINDOW_INT_CONFIG);
}

struct vdpa_callback window_vq_callback(struct window_vq *q)
{
	return window_has(&q->call) ? q->call
				    : (struct vdpa_callback){
					      .callback = vq_event,
					      .priv = q->w,
					      .trigger_fd = -1,
				      };
}

struct vdpa_callback window_config_callback(struct window *w)
{
	return window_has(&w->config_call) ? w->config_call
					   : (struct vdpa_callback){
						     .callback = config_event,
						     .priv = w,
						     .trigger_fd = -1,
					     };
}

void window_tell_config(struct window *w)
{
	const struct vdpa_callback cb = window_config_callback(w);

	if (cb.trigger_fd >= 0) {
		loop_signal(w->control, cb.trigger_fd);
	} else {
		cb.callback(cb.priv);
	}
}

/* ---- notifications ---- */

void window_notify(struct window *w, uint32_t value)
{
	const uint64_t one = 1;
	int fd = -1;

	if (value < w->nvqs) {
		fd = __atomic_load_n(&w->vqs[value].kick_fd, __ATOMIC_ACQUIRE);
	}
	if (fd < 0) {
		window_mistake(w);
		return;
	}
	__atomic_add_fetch(&w->stats.n_notifies, 1, __ATOMIC_RELAXED);
	if (!w->options.is_trusted &&
	    __atomic_load_n(&w->vqs[value].is_shared, __ATOMIC_ACQUIRE)) {
		loop_signal(w->control, fd);
	} else {
		/* Full, it has been notified all the same. */
		(void)!write(fd, &one, sizeof(one));
	}
}

int window_make_kick_fd(struct window_vq *q)
{
	int fd = q->kick_fd;

	if (fd < 0) {
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0) {
			return err(-errno, "eventfd: %s", strerror(errno));
		}
		__atomic_store_n(&q->kick_fd, fd, __ATOMIC_RELEASE);
	}
	return fd;
}

int window_kick_fd(struct window *w, uint32_t idx)
{
	int fd;

	if (idx >= w->nvqs) {
		return err(-EINVAL, "queue %u of %u", idx, w->nvqs);
	}
	fd = window_make_kick_fd(&w->vqs[idx]);
	if (fd >= 0) {
		__atomic_store_n(&w->vqs[idx].is_shared, true,
				 __ATOMIC_RELEASE);
	}
	return fd;
}
