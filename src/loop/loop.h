/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops: time, readiness and calls between threads.
 *
 * Theory of operation
 *
 * A loop belongs to one thread, its owner: the control thread or a worker. It
 * waits for descriptors, timers and calls from other threads, and runs their
 * callbacks one at a time. Nothing in it allocates once it is set up, and the
 * only thing that other threads may do to it is loop_call().
 *
 * Work that polls (virtqueues) registers a poller. While a poller finds work
 * the loop keeps calling it without sleeping; when it has found none for the
 * poller's current polling time, which grows when polling pays and shrinks
 * when it does not, the loop arms it (notifications on, one more look) and
 * sleeps.
 *
 *   watch ready / call / timer --> callback
 *   poller: poll() ... poll() ... idle --> arm() --> sleep
 *
 * Back ends: io_uring (loop_uring.c), epoll where that is forbidden or too old,
 * and a simulated one for tests. The simulated loops of one
 * struct sim share a thread, a virtual clock and a seed: descriptors are looked
 * at without waiting, whatever is ready is run in an order drawn from the
 * seed, may be put off for a while, and time jumps to the next timer when
 * nothing is ready (loop_sim.c). A back end fills in a table (loop_internal.h).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/list.h"
#include "base/util.h"

struct loop;
struct sim;
struct loop_watch;
struct loop_done;
struct loop_signaller;

enum loop_events {
	LOOP_IN = 1,
	LOOP_OUT = 2,
	LOOP_HUP = 4, /* reported whether asked for or not, as is error */
	LOOP_EDGE = 8, /* one callback a change; for eventfds that we must not
			   read: one callback a write, and one at once when the
			   counter is not 0. When another thread comes to run
			   the loop, what is ready is told again */
};

/* Which back end. */
enum loop_kind {
	LOOP_AUTO, /* io_uring where the kernel has it and lets us, or epoll */
	LOOP_IO_URING,
	LOOP_EPOLL,
	LOOP_KIND_N
};

/**
 * loop_new() - a loop on the back end that is best here
 * @name: of its thread, at most 15 characters
 * @ret: written on success
 *
 * Return: 0; -errno
 */
int loop_new(const char *name, struct loop **ret);

/* The same on a certain back end. Return: as above; with LOOP_IO_URING also
 * what io_uring_setup() says: -ENOSYS, -EPERM; -EOPNOTSUPP the kernel is too
 * old */
int loop_new_kind(const char *name, enum loop_kind kind, struct loop **ret);

/* "auto", "io_uring", "epoll". Return: 0; -EINVAL */
int loop_kind_parse(const char *text, enum loop_kind *ret);

/* The loop must not be running and have no watches, timers or pollers left.
 * Takes NULL. Return: NULL. */
struct loop *loop_free(struct loop *loop);

/**
 * loop_start() - run it in a thread of its own
 * @loop: not running
 *
 * The thread gets no signals but its own faults. A simulated loop has no
 * thread: it runs inside sim_run(), whether started or not, until loop_stop().
 * Return: 0; -errno of pthread_create()
 */
int loop_start(struct loop *loop);

/**
 * loop_run() - run it in the calling thread until loop_stop()
 *
 * For a simulated loop this runs all loops of the simulation until then.
 * Return: 0; -errno when waiting failed; -EDEADLK nothing is left to happen
 *         (simulated only)
 */
int loop_run(struct loop *loop);

/* Makes loop_run() return (the next one if none is running), or ends and joins
 * the thread of loop_start(). Any thread but, for a started loop, its own.
 * Calls that are queued still run; the loop must outlive this function. */
void loop_stop(struct loop *loop);

/* Is the caller the owner? While the loop is not running: always. A simulated
 * loop: while one of its callbacks runs, or none of any loop of its struct sim.
 */
bool loop_is_owner(const struct loop *loop);
#define assert_owner(loop) assert(loop_is_owner(loop))

/* Is the caller the thread of a loop, whichever? Not of simulated ones. */
bool loop_has_this_thread(void);

/* The name of its back end: "io_uring", "epoll", "simulated". */
const char *loop_backend(const struct loop *loop);

/* Monotonic, nanoseconds, not 0; virtual in a simulated loop. As of the start
 * of the current round of callbacks: no system call. */
uint64_t loop_now_ns(const struct loop *loop);
/* The same clock, read now: for who wants to know how long a callback took. */
uint64_t loop_read_ns(const struct loop *loop);

/**
 * loop_watch_new() - call back when a descriptor is ready
 * @loop: caller is its owner
 * @fd: borrowed until loop_watch_free(): close it afterwards only
 * @events: of enum loop_events
 * @fn: called with what is ready; may free the watch, or any other
 * @priv: its argument
 * @ret: written on success
 *
 * Return: 0; -errno of epoll_ctl() (-EPERM: regular files cannot be watched;
 *         -EEXIST: this loop watches @fd already)
 */
int loop_watch_new(struct loop *loop, int fd, unsigned int events,
		   void (*fn)(void *priv, unsigned int events), void *priv,
		   struct loop_watch **ret);
/* From now on @events; LOOP_EDGE: what is ready now is told again. Return: 0;
 * -errno of epoll_ctl() */
int loop_watch_change(struct loop_watch *watch, unsigned int events);
/* The callback will not be called again. Takes NULL. Return: NULL. */
struct loop_watch *loop_watch_free(struct loop_watch *watch);

/**
 * loop_signal() - add 1 to an eventfd that a peer may hold, too
 * @loop: caller is its owner
 * @fd: what is no eventfd, or closed, or full, is left as it is
 *
 * Never waits, whatever counter and mode the peer gave it (but see
 * loop_signal.c on machines that forbid aio).
 */
void loop_signal(struct loop *loop, int fd);

/**
 * loop_signaller_new() - the same for threads that run no loop
 * @ret: used by one thread at a time
 *
 * Return: 0, also where aio is not to be had; -ENOMEM
 */
int loop_signaller_new(struct loop_signaller **ret);
/* Takes NULL. Return: NULL */
struct loop_signaller *loop_signaller_free(struct loop_signaller *s);
/* As loop_signal(). */
void loop_signaller_signal(struct loop_signaller *s, int fd);

/**
 * struct loop_timer - one shot, embedded in its user
 *
 * Initialise with loop_timer_init(); owner of the loop only. Timers run in the
 * order of their times, those of the same time in the order of their setting.
 */
struct loop_timer {
	struct loop *loop;
	void (*fn)(void *priv);
	void *priv;
	uint64_t due_ns;
	unsigned int heap_idx; /* + 1; 0: not set */
};

void loop_timer_init(struct loop_timer *timer, struct loop *loop,
		     void (*fn)(void *priv), void *priv);
/* In @delay_ns from now; replaces an earlier setting. Return: 0; -ENOMEM */
int loop_timer_set(struct loop_timer *timer, uint64_t delay_ns);
void loop_timer_cancel(struct loop_timer *timer);
bool loop_timer_is_set(const struct loop_timer *timer);

/**
 * struct loop_work - one call to another thread, embedded in its user
 *
 * Zero-initialise with fn and priv set. May be queued again once fn has begun.
 */
struct loop_work {
	void (*fn)(void *priv);
	void *priv;
	struct loop_work *next;
	uint32_t is_queued; /* atomic */
};

/**
 * loop_call() - run something on a loop's own thread, soon
 * @loop: any thread may call
 * @work: the caller's until fn begins; queueing it while it is queued has no
 *        effect
 *
 * Calls run in the order of loop_call(). Never blocks, never allocates.
 */
void loop_call(struct loop *loop, struct loop_work *work);

/**
 * loop_call_wait() - the same, and wait until it has run
 * @loop: whose owner runs it; when the caller is the owner, or the loop is not
 *        running, it runs at once
 * @fn, @priv: what to run
 *
 * The control thread uses it towards workers, never the other way round; that
 * two loops wait for each other is asserted not to happen. The loop may not be
 * stopped meanwhile.
 */
void loop_call_wait(struct loop *loop, void (*fn)(void *priv), void *priv);

/**
 * loop_call_until() - the same, and wait until its owner says loop_done()
 * @loop: as above; when the caller is the owner, or the loop is not running, it
 *        runs @fn at once and then whole rounds of the loop until it is done:
 *        watches, calls, timers and pollers run meanwhile
 * @fn: given what loop_done() takes, for now or for later
 * @priv: its argument
 *
 * Context: any thread, but from no poller of @loop: polling is not re-entered
 */
void loop_call_until(struct loop *loop,
		     void (*fn)(void *priv, struct loop_done *done),
		     void *priv);

/* Ends that call; @done is gone afterwards. Owner of the loop only, once. */
void loop_done(struct loop_done *done);

/* How long to poll in one kind of gap; see loop_poller.c. */
struct loop_poll_time {
	uint64_t poll_ns;
	unsigned int n_until_try; /* sleeps, while polling is given up */
	unsigned int try_after; /* when it is given up next: so many */
};

/**
 * struct loop_poller - something that looks for work by itself
 *
 * @poll: look once, do what is there (a bounded burst). Return: pieces of work
 *        done; > 0 has it called again
 * @arm: about to sleep: turn notifications on and look once more. Return: true
 *       when there is work after all: then poll() is called again
 * @max_poll_us: upper bound of the adaptive polling time; 0: never polls idly
 * @has_begun: set by poll(): something that it has begun is not done yet;
 *             waiting for that is not what waiting is otherwise
 */
struct loop_poller {
	unsigned int (*poll)(void *priv);
	bool (*arm)(void *priv);
	void *priv;
	uint32_t max_poll_us;
	bool has_begun;
	/* the loop's own */
	struct loop *loop;
	struct list node;
	bool is_active;
	bool is_woken; /* since the last poll() */
	struct loop_poll_time times[2]; /* by has_begun */
	uint64_t idle_since_ns;
	struct list active_node;
	uint64_t gate_ns; /* simulated only */
};

/* Owner only. The poller starts asleep (as if arm() had returned false). */
void loop_poller_add(struct loop *loop, struct loop_poller *poller);
void loop_poller_del(struct loop_poller *poller);
/* A notification came: poll from the next round on. Owner only. */
void loop_poller_wake(struct loop_poller *poller);

/**
 * struct sim - simulated time and order for any number of loops
 *
 * sim_new() with a seed; sim_loop_new() makes loops of it, all used by one
 * thread. Each callback takes 100 ns of virtual time, besides its delay.
 *
 * loop_call_wait() and loop_call_until() towards a simulated loop, from another
 * one or from outside sim_run(), run that loop until the call is done, other
 * things first where the seed says so. Polling times mean nothing: the seed says when a poller
 * that finds nothing goes to sleep.
 */
struct sim_options {
	uint64_t seed;
	/* Chance in 1000 that something ready is put off, once. */
	unsigned int delay_permille;
	uint64_t max_delay_ns;
	/* Chance in 1000 that loop_should_fail() says yes. */
	unsigned int fail_permille;
};

int sim_new(const struct sim_options *options, struct sim **ret);
/* All its loops have been freed. Takes NULL. Return: NULL. */
struct sim *sim_free(struct sim *sim);
int sim_loop_new(struct sim *sim, const char *name, struct loop **ret);

/**
 * sim_run() - run whatever is ready, on all loops, in the seed's order
 * @sim: not from one of its callbacks
 * @max_ns: of virtual time
 * @until: asked before each callback; true ends it; may be NULL
 * @priv: its argument
 *
 * Return: 0 @until is true; without it: nothing is ready and no timer is left,
 *         or @max_ns have gone by. With it: -ETIMEDOUT, -EDEADLK for these.
 *         -errno when looking at descriptors failed
 */
int sim_run(struct sim *sim, uint64_t max_ns, bool (*until)(void *priv),
	    void *priv);

/* For what the test draws itself: 64 bits of the seed's stream. */
uint64_t sim_random(struct sim *sim);

/**
 * loop_should_fail() - injected errors: does this operation fail now?
 * @loop: always false unless simulated
 */
bool loop_should_fail(struct loop *loop);

#endif
