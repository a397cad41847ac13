/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops: calls between threads, watches, and the thread that runs it all.
 *
 * Theory of operation
 *
 * A round is: wait or look for descriptors, read the clock, run the watches
 * that are ready, the calls that are queued, the timers that are due, then the
 * pollers. While a poller is active the loop does not wait, and even looking
 * at descriptors (a system call) is left out until BUSY_LOOK_NS have passed, so
 * that control stays prompt and polling cheap; calls are seen at once, at the
 * price of a load. When polling is in vain there is time to look more often.
 *
 * Calls are a stack that any thread pushes to with one compare-and-swap. The
 * owner takes all of it at once and turns it round, so that they run in the
 * order of the pushes. Nobody else pops, so there is no ABA problem.
 *
 * A thread that pushes writes the eventfd only when the owner may be asleep:
 *
 *	owner: may_sleep = 1; calls empty? -> sleep    (else go on)
 *	other: push; may_sleep set? -> clear it, wake()
 *
 * All four steps are sequentially consistent, so at least one of the two sees
 * what the other did. Clearing may_sleep makes it one write a sleep.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "loop/loop.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "loop/loop_internal.h"

/* How old the knowledge about descriptors may get while pollers find work, and
 * while they do not. */
#define BUSY_LOOK_NS 50000
#define IDLE_LOOK_NS 5000

/* Polling without a look at the clock: so many passes, or so much work. */
#define PASSES_MAX 16
#define WORK_MAX   64

/* The loop that this thread is in, if any: it owns that one, and must not
 * wait for one that waits for it. */
static _Thread_local struct loop *this_loop;

static uint64_t clock_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void loop_init(struct loop *loop, const struct loop_ops *ops, const char *name)
{
	loop->ops = ops;
	strncpy(loop->name, name, LOOP_NAME_MAX);
	list_init(&loop->watches);
	list_init(&loop->pollers);
	list_init(&loop->active_pollers);
	list_init(&loop->files);
	list_init(&loop->new_io);
}

struct loop *loop_free(struct loop *loop)
{
	if (!loop) {
		return NULL;
	}
	assert(!__atomic_load_n(&loop->is_running, __ATOMIC_ACQUIRE));
	assert(!loop->has_thread);
	assert(list_is_empty(&loop->watches));
	assert(list_is_empty(&loop->pollers));
	assert(loop->timers.n == 0);
	assert(loop->n_io == 0);
	assert(list_is_empty(&loop->files));
	loop->pool = loop_pool_free(loop->pool);
	loop->signaller = loop_signaller_free(loop->signaller);
	free(loop->timers.slots);
	loop->ops->free(loop);
	return NULL;
}

const char *loop_backend(const struct loop *loop)
{
	return loop->ops->name;
}

bool loop_has_this_thread(void)
{
	return this_loop != NULL;
}

bool loop_is_owner(const struct loop *loop)
{
	if (loop->sim) {
		return sim_is_owner(loop);
	}
	return this_loop == loop ||
	       !__atomic_load_n(&loop->is_running, __ATOMIC_ACQUIRE);
}

uint64_t loop_now_ns(const struct loop *loop)
{
	if (loop->sim) {
		return sim_now_ns(loop);
	}
	return this_loop == loop ? loop->now_ns : clock_ns();
}

uint64_t loop_read_ns(const struct loop *loop)
{
	return loop->sim ? sim_now_ns(loop) : clock_ns();
}

bool loop_should_fail(struct loop *loop)
{
	return loop->sim && sim_should_fail(loop->sim);
}

/* Calls */

void loop_call(struct loop *loop, struct loop_work *work)
{
	struct loop_work *top;

	/* pairs with [work-begins]: what was written before a call that has
	 * no effect is seen by the run that is still to come */
	if (__atomic_exchange_n(&work->is_queued, 1, __ATOMIC_ACQ_REL)) {
		return;
	}
	top = __atomic_load_n(&loop->calls, __ATOMIC_RELAXED);
	do {
		work->next = top;
	} while (!__atomic_compare_exchange_n(&loop->calls, &top, work, true,
					      __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	/* pairs with [going-to-sleep] */
	if (__atomic_load_n(&loop->may_sleep, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&loop->may_sleep, 0, __ATOMIC_SEQ_CST)) {
		loop->ops->wake(loop);
	}
}

bool loop_has_calls(const struct loop *loop)
{
	return loop->taken_calls ||
	       __atomic_load_n(&loop->calls, __ATOMIC_RELAXED);
}

static struct loop_work *take_calls(struct loop *loop)
{
	struct loop_work *work =
		__atomic_exchange_n(&loop->calls, NULL, __ATOMIC_ACQUIRE);
	struct loop_work *oldest = NULL;

	while (work) {
		struct loop_work *next = work->next;

		work->next = oldest;
		oldest = work;
		work = next;
	}
	return oldest;
}

bool loop_run_call(struct loop *loop)
{
	struct loop_work *work;
	void (*fn)(void *priv);
	void *priv;

	if (!loop->taken_calls) {
		loop->taken_calls = take_calls(loop);
	}
	work = loop->taken_calls;
	if (!work) {
		return false;
	}
	loop->taken_calls = work->next;
	fn = work->fn;
	priv = work->priv;
	/* [work-begins]: from here on it is its caller's again */
	(void)__atomic_exchange_n(&work->is_queued, 0, __ATOMIC_ACQ_REL);
	fn(priv);
	return true;
}

/* Those that are queued now, not those that they queue in turn. */
static void run_calls(struct loop *loop)
{
	if (!loop_has_calls(loop)) {
		return;
	}
	do {
		(void)loop_run_call(loop);
	} while (loop->taken_calls);
}

/* Watches */

int loop_watch_new(struct loop *loop, int fd, unsigned int events,
		   void (*fn)(void *priv, unsigned int events), void *priv,
		   struct loop_watch **ret)
{
	struct loop_watch *watch;
	int rc;

	assert_owner(loop);
	watch = calloc(1, sizeof(*watch));
	if (!watch) {
		return err(-ENOMEM, "%s: no memory for a watch", loop->name);
	}
	watch->loop = loop;
	watch->fd = fd;
	watch->events = events;
	watch->fn = fn;
	watch->priv = priv;
	rc = loop->ops->watch_add(loop, watch);
	if (rc < 0) {
		free(watch);
		return rc;
	}
	list_add_tail(&loop->watches, &watch->node);
	*ret = watch;
	return 0;
}

int loop_watch_change(struct loop_watch *watch, unsigned int events)
{
	int rc;

	assert_owner(watch->loop);
	rc = watch->loop->ops->watch_change(watch->loop, watch, events);
	if (rc == 0) {
		watch->events = events;
	}
	return rc;
}

struct loop_watch *loop_watch_free(struct loop_watch *watch)
{
	if (watch) {
		assert_owner(watch->loop);
		watch->loop->ops->watch_del(watch->loop, watch);
		list_del(&watch->node);
		free(watch);
	}
	return NULL;
}

/* Running */

static void run_timers(struct loop *loop)
{
	uint64_t seq = loop->timers.next_seq;

	/* Those set by these wait for the next round, even when due at once. */
	while (loop_run_timer(loop, loop->now_ns, seq)) {
	}
}

static bool is_stopping(const struct loop *loop)
{
	return __atomic_load_n(&loop->is_stopping, __ATOMIC_SEQ_CST);
}

static uint64_t may_wait_ns(const struct loop *loop)
{
	uint64_t due_ns, now_ns;

	if (!list_is_empty(&loop->active_pollers)) {
		return 0;
	}
	due_ns = loop_timers_due_ns(loop);
	if (due_ns == LOOP_FOREVER) {
		return LOOP_FOREVER;
	}
	now_ns = clock_ns(); /* the round's is old by what its callbacks took */
	return due_ns > now_ns ? due_ns - now_ns : 0;
}

/* Finds out which descriptors are ready; sleeps when nothing else is to do. */
static int look(struct loop *loop)
{
	uint64_t timeout_ns = may_wait_ns(loop);
	int rc;

	if (timeout_ns > 0) {
		/* [going-to-sleep]: pairs with loop_call() and loop_stop() */
		__atomic_store_n(&loop->may_sleep, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&loop->calls, __ATOMIC_SEQ_CST) ||
		    (is_stopping(loop) && !loop->is_awaiting)) {
			timeout_ns = 0;
		}
	}
	rc = loop->ops->wait(loop, timeout_ns);
	__atomic_store_n(&loop->may_sleep, 0, __ATOMIC_RELAXED);
	return rc;
}

/* One pass at least: calls that queue themselves must not keep pollers out. I/O
 * that they have begun waits for its like, but for nothing else. */
static void poll_for_a_while(struct loop *loop)
{
	unsigned int n_passes = 0, n_work = 0, n;

	loop_pollers_check(loop);
	while (!list_is_empty(&loop->active_pollers)) {
		n = loop_pollers_run(loop);
		n_work += n;
		n_passes++;
		if (n_passes == PASSES_MAX || n_work >= WORK_MAX ||
		    (n == 0 && !list_is_empty(&loop->new_io)) ||
		    loop_has_calls(loop)) {
			break;
		}
	}
	loop->is_busy = n_work > 0;
}

static int run_round(struct loop *loop)
{
	uint64_t look_ns = loop->is_busy ? BUSY_LOOK_NS : IDLE_LOOK_NS;
	bool must_look = loop->ops->looks_at_memory ||
			 list_is_empty(&loop->active_pollers) ||
			 loop->now_ns - loop->looked_ns >= look_ns;
	int rc = 0;

	if (!list_is_empty(&loop->new_io)) {
		loop->ops->io_flush(loop);
	}
	if (must_look) {
		rc = look(loop);
	}
	loop->now_ns = clock_ns();
	if (must_look) {
		loop->looked_ns = loop->now_ns;
		loop->ops->dispatch(loop);
	}
	run_calls(loop);
	run_timers(loop);
	poll_for_a_while(loop);
	return rc;
}

/* In the thread that is to own it, before anything runs. */
static int enter(struct loop *loop)
{
	int rc = loop->ops->enter ? loop->ops->enter(loop) : 0;

	if (rc < 0) {
		return rc;
	}
	this_loop = loop;
	loop->now_ns = clock_ns();
	__atomic_store_n(&loop->is_running, 1, __ATOMIC_RELEASE);
	return 0;
}

static void leave(struct loop *loop, struct loop *previous,
		  bool is_thread_ending)
{
	if (loop->ops->leave) {
		loop->ops->leave(loop, is_thread_ending);
	}
	this_loop = previous;
	__atomic_store_n(&loop->is_running, 0, __ATOMIC_RELEASE);
}

/* Waiting for a call */

struct loop_done {
	struct loop *loop;
	sem_t sem;
};

struct awaited_call {
	struct loop_work work;
	void (*fn)(void *priv, struct loop_done *done);
	void *priv;
	struct loop_done done;
};

static void run_awaited_call(void *priv)
{
	struct awaited_call *call = priv;

	call->fn(call->priv, &call->done);
}

void loop_done(struct loop_done *done)
{
	assert_owner(done->loop);
	(void)sem_post(&done->sem); /* cannot overflow */
}

/* While the owner of one loop waits for another one, it runs nothing. */
static void set_waits_for(struct loop *loop)
{
	if (this_loop) {
		__atomic_store_n(&this_loop->waits_for, loop, __ATOMIC_SEQ_CST);
		/* two loops that wait for each other would wait for ever */
		assert(!loop || __atomic_load_n(&loop->waits_for,
						__ATOMIC_SEQ_CST) != this_loop);
	}
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) < 0) {
		assert(errno == EINTR);
	}
}

/* The owner waits for itself: the loop goes on, one level deeper. */
static void run_until_done(struct loop *loop, sem_t *done)
{
	bool was_awaiting = loop->is_awaiting;

	assert(!loop->running_poller);
	loop->is_awaiting = true;
	while (sem_trywait(done) < 0) {
		int rc = run_round(loop);

		assert(rc == 0); /* see thread_main() */
	}
	loop->is_awaiting = was_awaiting;
}

/* The caller may be in another loop: that one waits. */
static void run_resting_until_done(struct loop *loop, sem_t *done)
{
	struct loop *previous = this_loop;
	int rc = enter(loop);

	assert(rc == 0); /* what has been set up before */
	run_until_done(loop, done);
	leave(loop, previous, false);
}

void loop_call_until(struct loop *loop,
		     void (*fn)(void *priv, struct loop_done *done), void *priv)
{
	struct awaited_call call = {
		.work = { .fn = run_awaited_call, .priv = &call },
		.fn = fn,
		.priv = priv,
		.done.loop = loop,
	};

	(void)sem_init(&call.done.sem, 0, 0); /* 0 is a valid value */
	if (loop->sim) {
		sim_call_until(loop, &call.work, &call.done.sem);
	} else if (loop_is_owner(loop)) {
		fn(priv, &call.done);
		if (sem_trywait(&call.done.sem) == 0) {
			/* nothing to wait for */
		} else if (this_loop == loop) {
			run_until_done(loop, &call.done.sem);
		} else {
			run_resting_until_done(loop, &call.done.sem);
		}
	} else {
		set_waits_for(loop);
		loop_call(loop, &call.work);
		wait_for(&call.done.sem);
		set_waits_for(NULL);
	}
	(void)sem_destroy(&call.done.sem);
}

struct plain_call {
	void (*fn)(void *priv);
	void *priv;
};

static void run_plain_call(void *priv, struct loop_done *done)
{
	struct plain_call *call = priv;

	call->fn(call->priv);
	loop_done(done);
}

void loop_call_wait(struct loop *loop, void (*fn)(void *priv), void *priv)
{
	struct plain_call call = { fn, priv };

	if (!loop->sim && loop_is_owner(loop)) {
		fn(priv);
	} else {
		loop_call_until(loop, run_plain_call, &call);
	}
}

/* Threads */

static int run_until_stopped(struct loop *loop, bool is_thread_ending)
{
	int rc = 0;

	while (rc == 0 && !is_stopping(loop)) {
		rc = run_round(loop);
	}
	while (loop_run_call(loop)) {
	}
	__atomic_store_n(&loop->is_stopping, 0, __ATOMIC_RELAXED);
	leave(loop, NULL, is_thread_ending);
	return rc;
}

int loop_run(struct loop *loop)
{
	int rc;

	if (loop->sim) {
		return sim_loop_run(loop);
	}
	assert(!this_loop); /* loops do not nest */
	rc = enter(loop);
	return rc < 0 ? rc : run_until_stopped(loop, false);
}

struct starting_thread {
	struct loop *loop;
	sem_t entered;
	int rc;
	char why[ERR_TEXT_MAX]; /* the message belongs to the other thread */
};

static void *thread_main(void *arg)
{
	struct starting_thread *start = arg;
	struct loop *loop = start->loop;
	int rc = enter(loop);

	start->rc = rc;
	if (rc < 0) {
		(void)snprintf(start->why, sizeof(start->why), "%s",
			       err_text(rc));
	}
	(void)sem_post(&start->entered); /* cannot overflow */
	if (rc == 0) {
		rc = run_until_stopped(loop, true);
		assert(rc == 0); /* fails only when we broke our own fds */
	}
	return NULL;
}

/*
 * Signals are for the thread that asked for them: never for a worker. Its own
 * faults are: one that is blocked kills, and the guard behind a peer's file
 * (mem/sigbus.c) could not act.
 */
int loop_create_thread(pthread_t *ret, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, saved;
	int rc;

	(void)sigfillset(&all); /* none of this can fail */
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGSEGV);
	(void)sigdelset(&all, SIGFPE);
	(void)sigdelset(&all, SIGILL);
	(void)pthread_sigmask(SIG_SETMASK, &all, &saved);
	rc = pthread_create(ret, NULL, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return rc;
}

int loop_start(struct loop *loop)
{
	struct starting_thread start = { .loop = loop };
	int rc;

	if (loop->sim) {
		sim_loop_start(loop);
		return 0;
	}
	assert(!loop->has_thread);
	__atomic_store_n(&loop->is_stopping, 0, __ATOMIC_RELAXED);
	(void)sem_init(&start.entered, 0, 0); /* 0 is a valid value */
	rc = loop_create_thread(&loop->thread, thread_main, &start);
	if (rc != 0) {
		(void)sem_destroy(&start.entered);
		return err(-rc, "%s: cannot start a thread: %s", loop->name,
			   strerror(rc));
	}
	/* The name is for humans: without it the loop works as well. */
	(void)pthread_setname_np(loop->thread, loop->name);
	/* Before it has entered, we would still pass for the owner. */
	wait_for(&start.entered);
	(void)sem_destroy(&start.entered);
	if (start.rc < 0) {
		(void)pthread_join(loop->thread, NULL); /* it is joinable */
		return err(start.rc, "%s", start.why);
	}
	loop->has_thread = true;
	return 0;
}

void loop_stop(struct loop *loop)
{
	if (loop->sim) {
		sim_loop_stop(loop);
		return;
	}
	assert(!loop->has_thread || this_loop != loop);
	/* pairs with [going-to-sleep] */
	__atomic_store_n(&loop->is_stopping, 1, __ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&loop->may_sleep, 0, __ATOMIC_SEQ_CST)) {
		loop->ops->wake(loop);
	}
	if (loop->has_thread) {
		(void)pthread_join(loop->thread, NULL); /* it is joinable */
		loop->has_thread = false;
	}
}
