/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops: what the common part and the back ends share.
 *
 * A back end that waits in a thread (epoll, io_uring) embeds struct loop,
 * fills in struct loop_ops and leaves the rest to loop.c. The simulated one
 * sets loop->sim and picks for itself what runs next, out of the same parts:
 * calls, timers, watches, pollers.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef LOOP_LOOP_INTERNAL_H
#define LOOP_LOOP_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <semaphore.h>

#include "loop/loop.h"
#include "loop/loop_io.h"

#define LOOP_NAME_MAX 15
#define LOOP_FOREVER  UINT64_MAX

/**
 * struct loop_ops - a back end
 *
 * All but wake() are called by the owner.
 *
 * @name: for the user
 * @looks_at_memory: wait() without a time-out makes no system call when there
 *                   is nothing: it is called in every round
 * @enter: optional; a thread begins to run the loop. 0; -errno
 * @leave: optional; it has run it, and may be about to end
 * @watch_add: start watching watch->fd for watch->events. 0; -errno
 * @watch_change: watch for @events instead; the same now again when they are
 *                ready. 0; -errno
 * @watch_del: stop; what was found ready and has not run yet is forgotten
 * @wait: find out what is ready; sleep until something is, but at most
 *        @timeout_ns (0: only look; LOOP_FOREVER). Runs no callback.
 *        0; -errno
 * @dispatch: loop_watch_run() for all that the last wait() found, unless a
 *            callback freed the watch meanwhile
 * @wake: any thread: make the current or next sleep in wait() end
 * @free: the back end's part and the memory; also of a half-made loop
 *
 * @file_add: optional; make ready for I/O of file->fd. 0; -errno
 * @file_del: optional
 * @io_submitted: optional; this one has come to loop->new_io
 * @io_flush: take all of loop->new_io and start it; loop_io_finish() each when
 *            it is done, but not from here. Called before wait()
 *
 * The simulated back end needs no wait(), dispatch(), wake() and io_flush().
 */
struct loop_ops {
	const char *name;
	bool looks_at_memory;
	int (*enter)(struct loop *loop);
	void (*leave)(struct loop *loop, bool is_thread_ending);
	int (*watch_add)(struct loop *loop, struct loop_watch *watch);
	int (*watch_change)(struct loop *loop, struct loop_watch *watch,
			    unsigned int events);
	void (*watch_del)(struct loop *loop, struct loop_watch *watch);
	int (*wait)(struct loop *loop, uint64_t timeout_ns);
	void (*dispatch)(struct loop *loop);
	void (*wake)(struct loop *loop);
	void (*free)(struct loop *loop);
	int (*file_add)(struct loop *loop, struct loop_file *file);
	void (*file_del)(struct loop *loop, struct loop_file *file);
	void (*io_submitted)(struct loop *loop, struct loop_io *io);
	void (*io_flush)(struct loop *loop);
};

/* The key stands in the heap, so that sifting touches no timer but to tell it
 * its place. @seq keeps timers of one moment in the order of their setting. */
struct loop_timer_slot {
	uint64_t due_ns;
	uint64_t seq;
	struct loop_timer *timer;
};

struct loop_timers {
	struct loop_timer_slot *slots;
	unsigned int n, n_max;
	uint64_t next_seq;
};

struct loop {
	/* set when made, then read-only */
	const struct loop_ops *ops;
	struct sim *sim; /* NULL: runs in a thread */
	char name[LOOP_NAME_MAX + 1];

	/* any thread, atomic */
	struct loop_work *calls; /* a stack: the newest on top */
	uint32_t may_sleep; /* who queues a call must wake() */
	uint32_t is_stopping;
	uint32_t is_running; /* some thread is in loop_run() */
	struct loop *waits_for; /* this loop's owner is in loop_call_wait() */

	/* whoever starts and stops it */
	bool has_thread;
	pthread_t thread;

	/* owner only */
	uint64_t now_ns;
	uint64_t looked_ns; /* when wait() was last called */
	bool is_busy; /* pollers found work in the last round */
	bool is_awaiting; /* in loop_call_until(): a stop comes after it */
	struct loop_work *taken_calls; /* off the stack, the oldest first */
	struct list watches;
	struct loop_timers timers;
	struct list pollers;
	struct list active_pollers;
	struct loop_poller *running_poller; /* NULL again when it is deleted */
	struct list *next_poller; /* of the pass over the active ones */
	struct list files;
	struct list new_io; /* submitted, and not yet taken by the back end */
	unsigned int n_io; /* submitted, and not yet done */
	struct loop_pool *pool; /* NULL: no file yet, or no need of one */
	struct loop_signaller *signaller; /* NULL: simulated */
};

struct loop_file {
	struct loop *loop;
	int fd;
	unsigned int n_io;
	struct list node;
	int place; /* io_uring only: in the ring's table; -1: none */
};

struct loop_watch {
	struct loop *loop;
	int fd;
	unsigned int events;
	void (*fn)(void *priv, unsigned int events);
	void *priv;
	struct list node;
	/* simulated and io_uring: what was told and has not run */
	unsigned int pending;
	struct list pending_node;
	/* simulated only, see loop_sim.c */
	uint64_t number;
	uint64_t gate_ns;
	/* io_uring only, see loop_uring_watch.c */
	enum {
		WATCH_IDLE,
		WATCH_ONCE,
		WATCH_MULTI
	} poll;
	bool is_parked;
	bool is_cancelled;
	struct list arm_node;
};

/* The part that back ends have in common; @loop is zeroed memory. */
void loop_init(struct loop *loop, const struct loop_ops *ops, const char *name);

/* Runs the oldest call, if there is one. Return: was there one? */
bool loop_run_call(struct loop *loop);
bool loop_has_calls(const struct loop *loop);

static inline void loop_watch_run(struct loop_watch *watch, unsigned int events)
{
	events &= watch->events | LOOP_HUP; /* a change may have come between */
	if (events) {
		watch->fn(watch->priv, events);
	}
}

/* loop_timer.c */

/* Return: when the next timer is due; LOOP_FOREVER when none is set. */
uint64_t loop_timers_due_ns(const struct loop *loop);

/* Runs the first timer if it is due by @now_ns and was set before @seq.
 * Return: did it? */
bool loop_run_timer(struct loop *loop, uint64_t now_ns, uint64_t seq);

/* loop_poller.c */

/* One poll(); when it finds nothing and @may_sleep, arm() and perhaps sleep.
 * The poller may be gone afterwards. Return: pieces of work done. */
unsigned int loop_poller_run(struct loop_poller *poller, bool may_sleep);

/* Polls each active poller once. Return: pieces of work done. */
unsigned int loop_pollers_run(struct loop *loop);

/* Once a round: puts those to sleep whose polling time is over. */
void loop_pollers_check(struct loop *loop);

/* What is learnt when a poller is woken that polled its time and then slept. */
void loop_poll_time_after_sleep(struct loop_poll_time *t, uint64_t slept_ns,
				uint64_t max_ns);

/* The same, when it found work by polling idly for @idle_ns. */
void loop_poll_time_after_find(struct loop_poll_time *t, uint64_t idle_ns,
			       uint64_t max_ns);

void loop_poll_time_init(struct loop_poll_time *t);

/* loop.c: a thread that gets no signals but its own faults. Return: 0; a
 * positive errno */
int loop_create_thread(pthread_t *ret, void *(*fn)(void *arg), void *arg);

/* loop_io.c */

/* It is done: calls its fn. */
void loop_io_finish(struct loop_io *io, int64_t res);

/* Makes the call, which may block. Return: bytes, 0; -errno */
int64_t loop_io_perform(const struct loop_io *io);

/* loop_pool.c: threads for I/O where the kernel has no better way */
int loop_pool_make(struct loop *loop); /* at first. 0; -ENOMEM */
void loop_pool_flush(struct loop *loop); /* struct loop_ops */
struct loop_pool *loop_pool_free(struct loop_pool *pool);

/* loop_uring.c */
int loop_new_uring(const char *name, struct loop **ret);

/* loop_epoll.c */
int loop_new_epoll(const char *name, struct loop **ret);

/* epoll_ctl(); @op is EPOLL_CTL_*. Return: 0; -errno */
int loop_epoll_ctl(int epoll_fd, int op, struct loop_watch *watch,
		   unsigned int events);
unsigned int loop_events_of_epoll(uint32_t events);

/* loop_sim.c: what loop.h's functions do for a simulated loop */
bool sim_is_owner(const struct loop *loop);
uint64_t sim_now_ns(const struct loop *loop);
void sim_loop_start(struct loop *loop);
int sim_loop_run(struct loop *loop);
void sim_loop_stop(struct loop *loop);
void sim_call_until(struct loop *loop, struct loop_work *work, sem_t *done);
bool sim_should_fail(struct sim *sim);

#endif
