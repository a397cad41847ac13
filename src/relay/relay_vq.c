/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The relay: the data path, and the drain. Owner worker. See relay.h.
 *
 * Theory of operation
 *
 *   submit    chain -> request: pages, copy in, descriptors; one kick a burst
 *   poll      used buffers: copy out, complete; then queues that wait for room
 *
 * A queue that found no room gives its chains back and says so by a budget of
 * 0; pages or descriptors that come back make it look again.
 *
 * A request whose queue stopped without its answer is nobody's: chain is NULL.
 * The device below still has it, so its pages and its id stay taken until it
 * comes back, or the device is reset.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>

#include "relay/relay_internal.h"

/* The device below is looked at that often while a drain goes on, called or
 * not. */
#define DRAIN_TICK_NS 1000000

/* ---- requests and their pages ---- */

/* Of @n pages: how many are in the share of @q, that has @held. */
static uint32_t in_share(const struct relay_vq *q, uint32_t held, uint32_t n)
{
	uint32_t share = q->relay->share;

	return held < share ? min_of(n, share - held) : 0;
}

/* Return: 0; -ENOSPC not now; -E2BIG never */
static int check_room(const struct relay_vq *q, uint64_t n_pages)
{
	const struct relay *relay = q->relay;
	uint32_t n_all = domain_n_pages(relay->domain);
	uint32_t others = relay->share * (relay->soft.vdev.nvqs - 1);
	uint32_t reserved;

	if (n_pages > n_all - others) {
		return -E2BIG;
	}
	reserved =
		relay->n_reserved - in_share(q, q->n_pages, (uint32_t)n_pages);
	return n_pages + reserved > domain_n_free(relay->domain) ? -ENOSPC : 0;
}

static struct relay_req *take_req(struct relay_vq *q, struct vq_chain *chain,
				  uint32_t n_pages, bool is_dense)
{
	struct relay_req *req = q->free;

	q->free = req->next_free;
	*req = (struct relay_req){
		.chain = chain,
		.n_pages = n_pages,
		.first_page = domain_take(q->relay->domain, n_pages),
		.is_busy = true,
		.is_dense = is_dense,
		.is_request = chain->n_readable > 0,
	};
	assert(req->first_page != 0);
	q->relay->n_reserved -= in_share(q, q->n_pages, n_pages);
	q->n_pages += n_pages;
	return req;
}

static void give_req(struct relay_vq *q, struct relay_req *req)
{
	domain_give(q->relay->domain, req->first_page);
	q->n_pages -= req->n_pages;
	q->relay->n_reserved += in_share(q, q->n_pages, req->n_pages);
	req->chain = NULL;
	req->is_busy = false;
	req->next_free = q->free;
	q->free = req;
}

/* ---- forwarding ---- */

/* The device below, or what is asked of it, cannot be served on. */
static void break_queue(struct relay_vq *q)
{
	if (!q->is_broken) {
		q->is_broken = true;
		relay_count(&q->counters.n_breaks, 1);
		soft_break(&q->relay->soft, q->idx);
	}
}

/* Gives the device below what is in the chain's pages. Return: 0; -ENOSPC;
 * -E2BIG more pieces than its ring could ever take; -EFAULT */
static int add_req(struct relay_vq *q, struct relay_req *req)
{
	struct relay *relay = q->relay;
	struct relay_cut cut;
	unsigned int n;
	int ret = relay_cut(relay, req, &cut);

	if (ret < 0) {
		return ret;
	}
	n = cut.n_readable + cut.n_writable;
	if (n > q->num) {
		return -E2BIG;
	}
	if ((!relay->has_indirect || n > VQ_DRIVER_INDIRECT_MAX) &&
	    n > vq_driver_n_free(q->drv)) {
		return -ENOSPC;
	}
	ret = relay_copy_in(q, req);
	if (ret < 0) {
		return ret;
	}
	return vq_driver_add(q->drv, relay->sg, cut.n_readable, cut.n_writable,
			     req);
}

/* Return: as add_req() */
static int try_forward(struct relay_vq *q, struct vq_chain *chain,
		       bool is_dense)
{
	uint64_t n_bytes = relay_place(q->relay, chain, is_dense);
	uint64_t n_pages = align_up(n_bytes, DOMAIN_PAGE) / DOMAIN_PAGE;
	struct relay_req *req;
	int ret = check_room(q, n_pages);

	if (ret < 0) {
		return ret;
	}
	req = take_req(q, chain, (uint32_t)n_pages, is_dense);
	ret = add_req(q, req);
	if (ret < 0) {
		give_req(q, req);
		return ret;
	}
	req->seq = q->next_seq++;
	q->n_requests += req->is_request;
	relay_count(&q->counters.n_chains, 1);
	return 0;
}

static void complete_unserved(struct relay_vq *q, struct vq_chain *chain)
{
	soft_complete(&q->relay->soft, q->idx, chain, relay_refuse(q, chain));
}

/* Return: 0 done with it, in one way or another; -ENOSPC it has to wait;
 * -EPROTO the queue is broken */
static int forward(struct relay_vq *q, struct vq_chain *chain)
{
	int ret;

	if (chain->readable_bytes + chain->writable_bytes == 0) {
		complete_unserved(q, chain);
		return 0;
	}
	if (!q->free || vq_driver_n_free(q->drv) == 0) {
		return -ENOSPC;
	}
	ret = try_forward(q, chain, false);
	if (ret == -E2BIG) {
		ret = try_forward(q, chain, true);
	}
	if (ret == -EFAULT) {
		relay_count(&q->counters.n_faults, 1);
		complete_unserved(q, chain);
		return 0;
	}
	if (ret < 0 && ret != -ENOSPC) {
		break_queue(q);
		return -EPROTO;
	}
	return ret;
}

static void wait_for_room(struct relay_vq *q)
{
	if (!q->is_full) {
		q->is_full = true;
		q->relay->n_full++;
		relay_count(&q->counters.n_waits, 1);
	}
}

static void kick(struct relay_vq *q)
{
	if (vq_driver_publish(q->drv)) {
		loop_signal(q->relay->worker, q->kick_fd);
	}
}

void relay_submit(struct soft_dev *dev, uint16_t idx, struct vq_chain **chains,
		  unsigned int n)
{
	struct relay_vq *q = &relay_of(dev)->vqs[idx];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < n; i++) {
		ret = q->drv && !q->is_broken ? forward(q, chains[i]) : -EPROTO;
		if (ret < 0) {
			break;
		}
	}
	soft_unfetch(dev, idx, n - i);
	if (ret == -ENOSPC) {
		wait_for_room(q);
	}
	if (q->drv) {
		kick(q);
	}
}

unsigned int relay_budget(struct soft_dev *dev, uint16_t idx)
{
	const struct relay_vq *q = &relay_of(dev)->vqs[idx];

	return q->drv && !q->is_full && !q->is_draining && !q->is_broken
		       ? SOFT_BURST
		       : 0;
}

/* ---- what comes back ---- */

static void wake_waiting(struct relay *relay)
{
	for (uint32_t i = 0; relay->n_full > 0 && i < relay->soft.vdev.nvqs;
	     i++) {
		struct relay_vq *q = &relay->vqs[i];

		if (q->is_full) {
			q->is_full = false;
			relay->n_full--;
			soft_wake(&relay->soft, q->idx);
		}
	}
}

static void complete(struct relay_vq *q, struct relay_req *req,
		     uint32_t written)
{
	struct vq_chain *chain = req->chain;

	if (chain) {
		written = relay_copy_out(q, req, written);
		q->n_requests -= req->is_request;
		q->done_seq = max_of(q->done_seq, req->seq + 1);
		soft_complete(&q->relay->soft, q->idx, chain, written);
	}
	give_req(q, req);
}

static unsigned int take_used(struct relay_vq *q)
{
	struct vq_used used[SOFT_BURST];
	int n;

	if (!q->drv || q->is_broken) {
		return 0;
	}
	n = vq_driver_get(q->drv, used, SOFT_BURST);
	if (n < 0) {
		break_queue(q);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		complete(q, used[i].cookie, used[i].written);
	}
	return (unsigned int)n;
}

static void check_drained(struct relay *relay);

static unsigned int poll_lower(void *priv)
{
	struct relay_vq *q = priv;
	unsigned int n;

	if (q->drv) {
		vq_driver_disable_call(q->drv);
	}
	n = take_used(q);
	if (n > 0 && unlikely(q->relay->n_full > 0)) {
		wake_waiting(q->relay);
	}
	if (unlikely(q->relay->is_draining)) {
		check_drained(q->relay);
	}
	return n;
}

static bool arm_lower(void *priv)
{
	struct relay_vq *q = priv;

	return q->drv && !q->is_broken && vq_driver_enable_call(q->drv);
}

static void lower_called(void *priv, unsigned int events)
{
	struct relay_vq *q = priv;

	(void)events;
	loop_poller_wake(&q->poller);
}

void relay_break_all(void *priv)
{
	struct relay *relay = priv;

	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		break_queue(&relay->vqs[i]);
	}
}

/* ---- the drain ---- */

static uint32_t n_awaited(const struct relay *relay)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		const struct relay_vq *q = &relay->vqs[i];

		n += q->is_draining && !q->is_broken ? q->n_requests : 0;
	}
	return n;
}

static void end_drain(struct relay *relay)
{
	struct loop_done *done = relay->drain_done;

	loop_timer_cancel(&relay->drain_timer);
	relay->is_draining = false;
	relay->drain_done = NULL;
	__atomic_store_n(&relay->is_drained, true, __ATOMIC_RELEASE);
	if (done) {
		loop_done(done);
	} else {
		loop_signal(relay->worker, relay->drained_fd);
	}
}

static void check_drained(struct relay *relay)
{
	if (relay->is_draining && n_awaited(relay) == 0) {
		end_drain(relay);
	}
}

/* Time is up for those who wait still. */
static void give_up(struct relay *relay)
{
	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		struct relay_vq *q = &relay->vqs[i];

		if (q->is_draining && q->n_requests > 0) {
			break_queue(q);
		}
	}
}

static void drain_tick(void *priv)
{
	struct relay *relay = priv;

	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		if (relay->vqs[i].is_draining) {
			loop_poller_wake(&relay->vqs[i].poller);
		}
	}
	if (loop_now_ns(relay->worker) >= relay->drain_until_ns ||
	    loop_timer_set(&relay->drain_timer, DRAIN_TICK_NS) < 0) {
		give_up(relay);
	}
	check_drained(relay);
}

static void start_drain(const struct relay_drain *drain, struct loop_done *done)
{
	struct relay *relay = drain->relay;

	relay->is_resetting = drain->is_reset;
	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		if (drain->idx == SOFT_ALL || drain->idx == i) {
			relay->vqs[i].is_draining = true;
		}
	}
	__atomic_store_n(&relay->is_drained, false, __ATOMIC_RELAXED);
	relay->is_draining = true;
	relay->drain_done = done;
	relay->drain_until_ns = loop_now_ns(relay->worker) + relay->drain_ns;
	if (drain->is_reset) {
		end_drain(relay);
	} else {
		drain_tick(relay);
	}
}

void relay_drain_until(void *priv, struct loop_done *done)
{
	start_drain(priv, done);
}

void relay_drain_begin(void *priv)
{
	start_drain(priv, NULL);
}

/* Lets go of the chain: the next start finds it in the ring. Where a younger
 * one was completed that cannot be, as the ring's state has but one index. */
static void let_go(struct relay_vq *q, struct relay_req *req)
{
	struct vq_chain *chain = req->chain;

	req->chain = NULL;
	if (req->is_request) {
		q->n_requests--;
		relay_count(&q->counters.n_lost, 1);
	}
	if (req->seq < q->done_seq && !q->relay->is_resetting &&
	    !req->is_request) {
		chain->tail_bytes = 0;
		soft_complete(&q->relay->soft, q->idx, chain, 0);
	} else {
		soft_forget(&q->relay->soft, q->idx);
	}
}

/* Whoever was to be waited for has been. */
void relay_cancel(struct soft_dev *dev, uint16_t idx)
{
	struct relay_vq *q = &relay_of(dev)->vqs[idx];

	for (unsigned int i = 0; i < q->num; i++) {
		if (q->reqs[i].chain) {
			let_go(q, &q->reqs[i]);
		}
	}
}

static void init_timer(void *priv)
{
	struct relay *relay = priv;

	loop_timer_init(&relay->drain_timer, relay->worker, drain_tick, relay);
}

void relay_init_drain(struct relay *relay)
{
	loop_call_wait(relay->worker, init_timer, relay);
}

/* ---- with and without a device below ---- */

void relay_init_vq(struct relay_vq *q)
{
	q->poller = (struct loop_poller){
		.poll = poll_lower,
		.arm = arm_lower,
		.priv = q,
		.max_poll_us = q->relay->soft.max_poll_us,
	};
}

static int attach_vq(struct relay_vq *q)
{
	int ret = loop_watch_new(q->relay->worker, q->call_fd,
				 LOOP_IN | LOOP_EDGE, lower_called, q,
				 &q->watch);

	if (ret < 0) {
		return ret;
	}
	q->free = NULL;
	for (unsigned int i = q->num; i > 0; i--) {
		q->reqs[i - 1].next_free = q->free;
		q->free = &q->reqs[i - 1];
	}
	q->next_seq = 0;
	q->done_seq = 0;
	q->n_requests = 0;
	q->n_pages = 0;
	q->is_full = false;
	q->is_draining = false;
	q->is_broken = false;
	loop_poller_add(q->relay->worker, &q->poller);
	return 0;
}

static void detach_vq(struct relay_vq *q)
{
	if (q->watch) {
		q->watch = loop_watch_free(q->watch);
		loop_poller_del(&q->poller);
	}
}

void relay_attach(void *priv)
{
	struct relay_attach *attach = priv;
	struct relay *relay = attach->relay;
	uint32_t nvqs = relay->soft.vdev.nvqs;

	relay->share = domain_n_pages(relay->domain) / (2 * nvqs);
	relay->n_reserved = relay->share * nvqs;
	relay->n_full = 0;
	relay->is_resetting = false;
	attach->ret = 0;
	for (uint32_t i = 0; i < nvqs && attach->ret == 0; i++) {
		attach->ret = attach_vq(&relay->vqs[i]);
	}
	for (uint32_t i = 0; i < nvqs && attach->ret < 0; i++) {
		detach_vq(&relay->vqs[i]);
	}
}

void relay_detach(void *priv)
{
	struct relay *relay = priv;

	assert(!relay->drain_done);
	loop_timer_cancel(&relay->drain_timer);
	relay->is_draining = false;
	for (uint32_t i = 0; i < relay->soft.vdev.nvqs; i++) {
		detach_vq(&relay->vqs[i]);
	}
}

void relay_drain_end(void *priv)
{
	const struct relay_drain *drain = priv;

	for (uint32_t i = 0; i < drain->relay->soft.vdev.nvqs; i++) {
		struct relay_vq *q = &drain->relay->vqs[i];

		if (drain->idx == SOFT_ALL || drain->idx == i) {
			q->is_draining = false;
			drain->relay->n_full -= q->is_full;
			q->is_full = false;
		}
	}
}
