/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pump: the data path of every software device, from kick to call.
 *
 * Theory of operation
 *
 *   kick eventfd --> pump_kicked --> the poller is awake
 *   poller       --> pump_poll: kicks off, fetch a burst
 *                               class->submit(burst)   ... soft_complete()
 *                               publish each queue that got completions
 *                               then call, once a queue that wants it
 *   nothing left --> pump_arm:  kicks on, one more look, sleep
 *
 * What a class completes later, out of a callback of the loop, wakes the poller
 * too: all completions of one round of the loop are published together.
 *
 * One worker thread does all of it: no lock, no allocation, no other thread.
 * System calls: one signal of the call eventfd a burst, when the driver asked
 * for it (and one of the dirty log's, while a guest moves). The kick eventfd is never read: it is watched
 * edge-triggered, so that its counter stays for whoever takes the notifier back
 * (QEMU does).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>

#include "soft/soft_internal.h"

void pump_signal(struct loop *loop, const struct vdpa_callback *cb)
{
	if (cb->trigger_fd >= 0) {
		loop_signal(loop, cb->trigger_fd);
	} else if (cb->callback) {
		cb->callback(cb->priv);
	}
}

/* Something is not mapped: asks for it, once. The next map wakes the queue, or a
 * kick, after which it asks again. */
static void ask_for_map(struct soft_vq *q)
{
	uint64_t iova;
	uint32_t perm;

	if (q->miss.miss && !q->is_missing &&
	    vq_get_miss(q->vq, &iova, &perm)) {
		q->is_missing = true;
		q->miss.miss(q->miss.priv, q->asid, iova, perm);
	}
}

/* Shows the driver what was completed; call_queue() has to follow. Return: was
 * there something to show? */
static bool publish_queue(struct soft_vq *q)
{
	if (!q->is_dirty) {
		return false;
	}
	q->wants_call = vq_publish(q->vq);
	q->is_dirty = vq_is_stalled(q->vq);
	if (unlikely(q->is_dirty)) {
		ask_for_map(q);
	}
	if (unlikely(q->log_fd >= 0)) {
		loop_signal(q->worker, q->log_fd);
	}
	return !q->is_dirty;
}

static void call_queue(struct soft_vq *q)
{
	if (q->wants_call) {
		q->wants_call = false;
		pump_signal(q->worker, &q->call);
	}
}

/*
 * All queues of a burst before the first call: the driver that it wakes finds
 * everything there, and what it does not wait for goes on beside the calls,
 * which are system calls.
 */
static bool publish_all(struct soft_vq *leader)
{
	bool has_published = false;

	for (struct soft_vq *q = leader; q; q = q->next) {
		has_published |= publish_queue(q);
	}
	for (struct soft_vq *q = leader; q; q = q->next) {
		call_queue(q);
	}
	return has_published;
}

void pump_broken(struct soft_vq *q)
{
	if (__atomic_exchange_n(&q->is_broken, true, __ATOMIC_RELAXED)) {
		return;
	}
	pump_signal(q->worker, &q->config_call);
}

static unsigned int pump_budget(struct soft_vq *q)
{
	struct soft_dev *dev = q->dev;

	if (unlikely(q->is_discarding)) {
		return SOFT_BURST;
	}
	return dev->class->budget ? dev->class->budget(dev, q->idx)
				  : SOFT_BURST;
}

/*
 * The client's last change of its memory may still be on its way, while the
 * buffers that count on it are here already (see cdev_file_is_behind()).
 */
static bool is_behind(const struct soft_vq *q)
{
	return unlikely(q->gate.is_behind) && q->gate.is_behind(q->gate.priv);
}

/* What was fetched, or found to be broken, may be due to an old map. */
static void hold(struct soft_vq *q, int n)
{
	if (n > 0) {
		vq_unfetch(q->vq, (unsigned int)n);
	} else if (!__atomic_load_n(&q->is_broken, __ATOMIC_RELAXED)) {
		vq_forgive(q->vq);
	}
	q->is_held = true;
}

/* Return: chains, 0: none now. A ring that is not mapped is woken by a map. */
static unsigned int fetch(struct soft_vq *q, struct vq_chain **ret_chains,
			  unsigned int max)
{
	int n = vq_fetch(q->vq, ret_chains, max);

	if (n != 0 && is_behind(q)) {
		hold(q, n);
		return 0;
	}
	if (unlikely(n < 0)) {
		if (n == -EPROTO) {
			pump_broken(q);
		} else {
			ask_for_map(q);
		}
		return 0;
	}
	q->n_in_flight += (uint32_t)n;
	return (unsigned int)n;
}

static void submit(struct soft_vq *q, struct vq_chain **chains, unsigned int n)
{
	q->leader->in_submit = true;
	if (unlikely(q->is_discarding)) {
		soft_complete_all(q->dev, q->idx, chains, NULL, n);
	} else {
		q->dev->class->submit(q->dev, q->idx, chains, n);
	}
	q->leader->in_submit = false;
}

/* Return: chains submitted */
static unsigned int pump_submit(struct soft_vq *q)
{
	struct vq_chain *chains[SOFT_BURST];
	unsigned int max = min_of(pump_budget(q), (unsigned int)SOFT_BURST);
	unsigned int n;

	if (max == 0) {
		return 0;
	}
	vq_disable_kick(q->vq);
	n = fetch(q, chains, max);
	if (n > 0) {
		submit(q, chains, n);
	}
	return n;
}

static bool may_fetch(const struct soft_vq *q)
{
	return !q->is_passive && !q->is_stopping && !q->is_missing &&
	       !__atomic_load_n(&q->is_broken, __ATOMIC_RELAXED);
}

static unsigned int pump_poll(void *priv)
{
	struct soft_vq *q = priv;
	unsigned int n = may_fetch(q) ? pump_submit(q) : 0;

	/* Also what could not be published before: there may be a new map. */
	n += publish_all(q->leader);
	q->poller.has_begun = q->n_in_flight > 0;
	if (unlikely(q->wait)) {
		soft_check_wait(q); /* the last one: q may be gone */
	}
	return n;
}

static bool pump_arm(void *priv)
{
	struct soft_vq *q = priv;

	return may_fetch(q) && vq_enable_kick(q->vq) && pump_budget(q) > 0 &&
	       !q->is_held;
}

void pump_kicked(void *priv, unsigned int events)
{
	struct soft_vq *q = priv;
	bool was_waiting = q->is_held || q->is_missing;

	(void)events;
	q->is_held = false;
	q->is_missing = false;
	if (!vq_is_started(q->vq)) {
		return;
	}
	if (!q->is_passive) {
		loop_poller_wake(&q->poller);
	} else if (was_waiting) {
		pump_wake_all(q->dev, q->worker); /* who fetches from it */
	}
}

void pump_init(struct soft_vq *q)
{
	q->poller = (struct loop_poller){
		.poll = pump_poll,
		.arm = pump_arm,
		.priv = q,
		.max_poll_us = q->dev->max_poll_us,
	};
}

void pump_start(struct soft_vq *q)
{
	const struct soft_class *class = q->dev->class;

	q->is_passive = class->is_passive && class->is_passive(q->dev, q->idx);
	q->is_stopping = false;
	q->is_held = false;
	q->is_missing = false;
	q->n_in_flight = 0;
	loop_poller_add(q->worker, &q->poller);
	if (q->is_passive) {
		vq_disable_kick(q->vq);
	}
	/* Chains may be there already, also those whose kick came too early. */
	pump_wake_all(q->dev, q->worker);
}

void pump_stop(struct soft_vq *q)
{
	loop_poller_del(&q->poller);
	(void)publish_queue(q); /* what the ring does not take is lost */
	call_queue(q);
	q->is_dirty = false;
}

void pump_wake_all(struct soft_dev *dev, struct loop *worker)
{
	for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
		struct soft_vq *q = &dev->vqs[i];

		if (q->worker == worker && !q->is_passive &&
		    vq_is_started(q->vq)) {
			loop_poller_wake(&q->poller);
		}
	}
}

/* ---- for classes ---- */

bool soft_is_running(struct soft_dev *dev, uint16_t idx)
{
	return vq_is_started(dev->vqs[idx].vq);
}

bool soft_is_waiting(struct soft_dev *dev, uint16_t idx)
{
	const struct soft_vq *q = &dev->vqs[idx];

	return vq_is_started(q->vq) && (q->is_held || q->is_missing);
}

unsigned int soft_fetch(struct soft_dev *dev, uint16_t idx,
			struct vq_chain **ret_chains, unsigned int max)
{
	struct soft_vq *q = &dev->vqs[idx];

	assert(q->leader->in_submit);
	return max > 0 && vq_is_started(q->vq) && !q->is_stopping
		       ? fetch(q, ret_chains, max)
		       : 0;
}

void soft_unfetch(struct soft_dev *dev, uint16_t idx, unsigned int n)
{
	struct soft_vq *q = &dev->vqs[idx];

	if (n > 0) {
		vq_unfetch(q->vq, n);
		q->n_in_flight -= n;
	}
}

void *soft_slot(struct soft_dev *dev, uint16_t idx,
		const struct vq_chain *chain)
{
	return vq_slot(dev->vqs[idx].vq, chain);
}

/* Out of a burst somebody has to publish: the poller does, once a round. */
static inline void completed(struct soft_vq *q, unsigned int n)
{
	assert(q->n_in_flight >= n);
	q->n_in_flight -= n;
	q->is_dirty = true;
	if (!q->leader->in_submit) {
		loop_poller_wake(&q->poller);
	}
}

void soft_complete(struct soft_dev *dev, uint16_t idx, struct vq_chain *chain,
		   uint32_t written)
{
	struct soft_vq *q = &dev->vqs[idx];

	vq_complete(q->vq, chain, written);
	completed(q, 1);
}

void soft_complete_all(struct soft_dev *dev, uint16_t idx,
		       struct vq_chain *const *chains, const uint32_t *written,
		       unsigned int n)
{
	struct soft_vq *q = &dev->vqs[idx];

	if (n > 0) {
		vq_complete_all(q->vq, chains, written, n);
		completed(q, n);
	}
}

void soft_forget(struct soft_dev *dev, uint16_t idx)
{
	struct soft_vq *q = &dev->vqs[idx];

	assert(q->is_stopping);
	assert(q->n_in_flight > 0);
	q->n_in_flight--;
}

void soft_break(struct soft_dev *dev, uint16_t idx)
{
	pump_broken(&dev->vqs[idx]);
}

void soft_wake(struct soft_dev *dev, uint16_t idx)
{
	struct soft_vq *q = &dev->vqs[idx];

	if (!q->is_passive && vq_is_started(q->vq)) {
		loop_poller_wake(&q->poller);
	}
}
