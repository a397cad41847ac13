/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The io_uring back end: watches.
 *
 * Theory of operation
 *
 * A watch that the kernel does not watch is IDLE, in to_arm when it shall be
 * watched with the next wait(). Edge-triggered: MULTI, told once a wake-up of
 * the descriptor, as EPOLLET is. Level-triggered: ONCE, told when it is ready,
 * at once if it is, and armed again before its callback has run but submitted
 * after.
 *
 *	IDLE --arm--> ONCE --told--> IDLE        level
 *	IDLE --arm--> MULTI --told--> MULTI      edge
 *
 * The exception: a poll is also told what nobody asked for (POLLRDHUP, that a
 * socket's peer will send no more). A level-triggered watch would be told so
 * for ever; it becomes MULTI, which tells changes only, until something comes
 * that was asked for.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "loop/loop_uring.h"

#define BITS 64U

static unsigned int events_of_poll(unsigned int events)
{
	return (events & POLLIN ? LOOP_IN : 0U) |
	       (events & POLLOUT ? LOOP_OUT : 0U) |
	       (events & (POLLHUP | POLLERR) ? LOOP_HUP : 0U);
}

static unsigned int wanted(const struct loop_watch *watch, unsigned int events)
{
	return events & (watch->events | LOOP_HUP);
}

/* What is watched: the kernel would let us watch a descriptor twice. */

static int make_room(struct uring_loop *ul, unsigned int fd)
{
	unsigned int n = max_of(2 * ul->n_watched_words, fd / BITS + 1);
	uint64_t *watched;

	if (fd / BITS < ul->n_watched_words) {
		return 0;
	}
	watched = realloc(ul->watched, n * sizeof(*watched));
	if (!watched) {
		return err(-ENOMEM, "%s: no memory for descriptor %u",
			   ul->loop.name, fd);
	}
	for (unsigned int i = ul->n_watched_words; i < n; i++) {
		watched[i] = 0;
	}
	ul->watched = watched;
	ul->n_watched_words = n;
	return 0;
}

static uint64_t *word_of(struct uring_loop *ul, int fd)
{
	return &ul->watched[(unsigned int)fd / BITS];
}

static uint64_t bit_of(int fd)
{
	return 1ULL << (unsigned int)fd % BITS;
}

/* A poll of what cannot be polled would say that it is always ready: epoll
 * knows. */
static int check(struct uring_loop *ul, struct loop_watch *watch)
{
	int rc = loop_epoll_ctl(ul->check_epoll_fd, EPOLL_CTL_ADD, watch, 0);

	if (rc < 0) {
		return rc;
	}
	rc = loop_epoll_ctl(ul->check_epoll_fd, EPOLL_CTL_DEL, watch, 0);
	assert(rc == 0); /* see loop_epoll.c */
	rc = make_room(ul, (unsigned int)watch->fd);
	if (rc < 0) {
		return rc;
	}
	if (*word_of(ul, watch->fd) & bit_of(watch->fd)) {
		return err(-EEXIST, "%s: descriptor %d is watched already",
			   ul->loop.name, watch->fd);
	}
	return 0;
}

/* Arming */

static void arm_soon(struct uring_loop *ul, struct loop_watch *watch)
{
	list_del(&watch->arm_node);
	list_add_tail(&ul->to_arm, &watch->arm_node);
}

static void arm(struct uring_loop *ul, struct loop_watch *watch)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ul, URING_WATCH, watch);
	uint64_t user_data = sqe->user_data;
	unsigned int mask = (watch->events & LOOP_IN ? POLLIN : 0U) |
			    (watch->events & LOOP_OUT ? POLLOUT : 0U);

	if (watch->events & LOOP_EDGE || watch->is_parked) {
		io_uring_prep_poll_multishot(sqe, watch->fd, mask);
		watch->poll = WATCH_MULTI;
	} else {
		io_uring_prep_poll_add(sqe, watch->fd, mask);
		watch->poll = WATCH_ONCE;
	}
	sqe->user_data = user_data;
	ul->n_polls++;
}

void uring_arm_watches(struct uring_loop *ul)
{
	while (!list_is_empty(&ul->to_arm)) {
		struct loop_watch *watch = list_entry(
			ul->to_arm.next, struct loop_watch, arm_node);

		list_del(&watch->arm_node);
		arm(ul, watch);
	}
}

/* Returns when the kernel has told the last of it. */
static void disarm(struct uring_loop *ul, struct loop_watch *watch)
{
	list_del(&watch->arm_node);
	if (watch->poll == WATCH_IDLE || !uring_own_ring(ul)) {
		list_del(&watch->arm_node); /* a ring that is gone puts it in */
		return;
	}
	watch->is_cancelled = true;
	io_uring_prep_cancel64(uring_get_sqe(ul, URING_IO, NULL),
			       (uintptr_t)watch | URING_WATCH, 0);
	while (watch->poll != WATCH_IDLE) {
		uring_enter(ul, 1);
	}
	watch->is_cancelled = false;
}

void uring_disarm_watches(struct uring_loop *ul)
{
	struct loop_watch *watch;

	list_for_each_entry(watch, &ul->loop.watches, node) {
		bool was_told = !list_is_empty(&watch->pending_node);

		disarm(ul, watch);
		if (!was_told || watch->events & LOOP_EDGE) {
			arm_soon(ul, watch);
		}
	}
}

void uring_forget_polls(struct uring_loop *ul)
{
	struct loop_watch *watch;

	list_for_each_entry(watch, &ul->loop.watches, node) {
		if (watch->poll != WATCH_IDLE) {
			watch->poll = WATCH_IDLE;
			arm_soon(ul, watch);
		}
	}
	ul->n_polls = 0;
}

/* Being told */

void uring_watch_told(struct uring_loop *ul, struct loop_watch *watch,
		      const struct io_uring_cqe *cqe)
{
	unsigned int events = 0;

	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		watch->poll = WATCH_IDLE;
		ul->n_polls--;
	}
	if (watch->is_cancelled) {
		return;
	}
	if (cqe->res > 0) {
		events = wanted(watch, events_of_poll((unsigned int)cqe->res));
	}
	if (events) {
		watch->pending |= events;
		list_del(&watch->pending_node);
		list_add_tail(&ul->ready, &watch->pending_node);
	}
	watch->is_parked = !events && cqe->res > 0;
	if (watch->poll == WATCH_IDLE &&
	    (!events || watch->events & LOOP_EDGE)) {
		arm_soon(ul, watch);
	}
}

static void run_watch(struct uring_loop *ul, struct loop_watch *watch)
{
	unsigned int events = watch->pending;

	list_del(&watch->pending_node);
	watch->pending = 0;
	if (!(watch->events & LOOP_EDGE)) {
		disarm(ul, watch); /* it may have been parked */
		arm_soon(ul, watch);
	}
	loop_watch_run(watch, events);
}

void uring_run_watches(struct uring_loop *ul)
{
	while (!list_is_empty(&ul->ready)) {
		run_watch(ul, list_entry(ul->ready.next, struct loop_watch,
					 pending_node));
	}
}

/* What loop.c asks for */

int uring_watch_add(struct loop *loop, struct loop_watch *watch)
{
	struct uring_loop *ul = uring_loop_of(loop);
	int rc = check(ul, watch);

	if (rc < 0) {
		return rc;
	}
	*word_of(ul, watch->fd) |= bit_of(watch->fd);
	list_init(&watch->pending_node);
	list_init(&watch->arm_node);
	arm_soon(ul, watch);
	return 0;
}

static void forget(struct uring_loop *ul, struct loop_watch *watch)
{
	disarm(ul, watch);
	list_del(&watch->pending_node);
	watch->pending = 0;
	watch->is_parked = false;
}

int uring_watch_change(struct loop *loop, struct loop_watch *watch,
		       unsigned int events)
{
	struct uring_loop *ul = uring_loop_of(loop);

	forget(ul, watch);
	arm_soon(ul, watch); /* loop.c sets watch->events before that */
	return 0;
}

void uring_watch_del(struct loop *loop, struct loop_watch *watch)
{
	struct uring_loop *ul = uring_loop_of(loop);

	forget(ul, watch);
	*word_of(ul, watch->fd) &= ~bit_of(watch->fd);
}
