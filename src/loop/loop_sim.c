/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated back end: one thread, a virtual clock, the seed's order.
 *
 * Theory of operation
 *
 * A step looks at all loops, takes one of the things that are ready and runs
 * it: the oldest call of a loop, its first timer that is due, a watch, an
 * active poller, or one half of an I/O (making the call, telling its result). So a loop keeps the orders that it promises (of calls, of
 * timers) and no other. Descriptors are real ones and are looked at anew in
 * each step, without waiting; only what an edge-triggered watch was told must
 * be remembered until it has run.
 *
 * Which one is taken must depend on the seed alone, not on the order in which
 * the kernel lists descriptors. Therefore each thing has a number, given when
 * it was made, and draws a lot in each step that is a hash of that number and
 * of the step's random word. The lowest lot runs; no sorting is needed.
 *
 * Something that becomes ready may be put off once, until its gate opens.
 * Calls share one gate a loop, as do timers, so that they stay in order.
 *
 *	not ready --> ready: gate = now, or now + delay --> open: draws lots
 *	    ^                                                     |
 *	    +------------------------- runs ----------------------+
 *
 * A step takes STEP_NS, so that two things which wake each other for ever
 * reach the end of sim_run(); when nothing is ready, time jumps to the next
 * timer or gate. Polling time means nothing here: a poller that found nothing
 * tosses a coin whether it goes to sleep.
 *
 * A callback may wait for another loop (loop_call_wait(), loop_call_until()), or
 * for its own: then that one alone makes steps until the call is done.
 * sim->current is the loop whose callback runs, the innermost one.
 *
 * Whatever makes descriptors ready from outside (other threads or processes,
 * timerfds) is not the seed's and cannot be replayed.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "loop/loop_internal.h"

#define STEP_NS	     100
#define START_NS     1000000000ULL /* not 0: that stands for "not yet" */
#define END_NS	     (UINT64_MAX / 2) /* a timer after this is never due */
#define EVENTS_MIN   16
#define SECTOR	     512
#define NUMBER_SPACE 65536 /* numbers of one loop: more pollers would share */

struct sim {
	struct sim_options options;
	uint64_t random[4];
	uint64_t now_ns;
	uint64_t next_number;
	struct loop *current; /* NULL: no callback is running */
	struct list loops;
};

struct sim_loop {
	struct loop loop;
	struct list node;
	uint64_t number;
	int epoll_fd;
	struct epoll_event *events; /* room for all watches */
	unsigned int n_watches, n_events_max;
	struct list pending_edges; /* told by the kernel, not yet run */
	uint64_t calls_gate_ns; /* when they may run; 0: lot not drawn */
	uint64_t timers_gate_ns;
	unsigned int n_steps; /* callbacks of its that are running, or wait */
	bool is_stopped;
};

/* What may run next. @run gets the rest. */
struct candidate {
	void (*run)(struct sim_loop *sl, const struct candidate *c);
	struct sim_loop *sl;
	uint64_t *gate_ns;
	uint64_t number;
	struct loop_watch *watch;
	unsigned int events;
	struct loop_poller *poller;
	struct loop_io *io;
};

struct search {
	uint64_t random;
	uint64_t best_lot;
	uint64_t next_ns; /* when something may be ready if nothing is now */
	struct candidate best;
	bool has_best;
};

static struct sim_loop *sim_loop_of(struct loop *loop)
{
	return container_of(loop, struct sim_loop, loop);
}

/* Random numbers: xoshiro256**, seeded by splitmix64 (Blackman, Vigna). */

static uint64_t mix(uint64_t v)
{
	v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9;
	v = (v ^ (v >> 27)) * 0x94d049bb133111eb;
	return v ^ (v >> 31);
}

static void seed_random(struct sim *sim, uint64_t seed)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(sim->random); i++) {
		seed += 0x9e3779b97f4a7c15;
		sim->random[i] = mix(seed);
	}
}

static uint64_t rotate_left(uint64_t v, unsigned int n)
{
	return v << n | v >> (64 - n);
}

uint64_t sim_random(struct sim *sim)
{
	uint64_t *s = sim->random;
	uint64_t ret = rotate_left(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return ret;
}

bool sim_should_fail(struct sim *sim)
{
	return sim->options.fail_permille > 0 &&
	       sim_random(sim) % 1000 < sim->options.fail_permille;
}

/* Running one thing */

/* Return: the loop whose callback is interrupted; it may be the same one. */
static struct loop *enter(struct sim_loop *sl)
{
	struct loop *previous = sl->loop.sim->current;

	sl->n_steps++;
	sl->loop.sim->current = &sl->loop;
	return previous;
}

static void leave(struct sim_loop *sl, struct loop *previous)
{
	sl->n_steps--;
	sl->loop.sim->current = previous;
}

static void finish_stop(struct sim_loop *sl)
{
	struct loop *previous = enter(sl);

	while (loop_run_call(&sl->loop)) {
	}
	leave(sl, previous);
	sl->loop.is_stopping = 0;
	sl->is_stopped = true;
}

static void run_candidate(struct sim *sim, const struct candidate *c)
{
	struct sim_loop *sl = c->sl;
	struct loop *previous = enter(sl);

	*c->gate_ns = 0;
	c->run(sl, c);
	leave(sl, previous);
	sim->now_ns += STEP_NS;
	if (sl->loop.is_stopping && sl->n_steps == 0) {
		finish_stop(sl);
	}
}

static void run_call(struct sim_loop *sl, const struct candidate *c)
{
	(void)loop_run_call(&sl->loop); /* there is one: it was a candidate */
}

static void run_timer(struct sim_loop *sl, const struct candidate *c)
{
	(void)loop_run_timer(&sl->loop, sl->loop.sim->now_ns, UINT64_MAX);
}

static void run_watch(struct sim_loop *sl, const struct candidate *c)
{
	struct loop_watch *watch = c->watch;

	list_del(&watch->pending_node);
	watch->pending = 0;
	loop_watch_run(watch, c->events);
}

static void run_poller(struct sim_loop *sl, const struct candidate *c)
{
	bool may_sleep = c->poller->max_poll_us == 0 ||
			 sim_random(sl->loop.sim) & 1;

	(void)loop_poller_run(c->poller, may_sleep);
}

/* I/O: performed at one moment, told at another, and not always well. */

static int64_t transfer(const struct loop_io *io, uint64_t len)
{
	uint64_t n_done = 0;
	ssize_t n = 0;

	for (unsigned int i = 0; i < io->n_iov && n_done < len; i++) {
		struct iovec iov = io->iov[i];
		struct loop_io one = *io;

		iov.iov_len = min_of(iov.iov_len, (size_t)(len - n_done));
		one.iov = &iov;
		one.n_iov = 1;
		one.offset += n_done;
		n = loop_io_perform(&one);
		if (n < 0) {
			break;
		}
		n_done += (uint64_t)n;
	}
	return n_done > 0 ? (int64_t)n_done : n;
}

static uint64_t bytes_of(const struct loop_io *io)
{
	uint64_t n = 0;

	for (unsigned int i = 0; io->op <= LOOP_IO_WRITE && i < io->n_iov;
	     i++) {
		n += io->iov[i].iov_len;
	}
	return n;
}

static int64_t perform_badly(struct sim *sim, const struct loop_io *io)
{
	bool may_allocate = io->op == LOOP_IO_WRITE ||
			    io->op == LOOP_IO_FALLOCATE;
	uint64_t random = sim_random(sim), n = bytes_of(io);
	uint64_t unit = n > SECTOR ? SECTOR : 1;

	if (random & 1 && n > 1) {
		n = 1 + mix(random) % ((n - 1) / unit);
		return transfer(io, n * unit);
	}
	return may_allocate && random & 2 ? -ENOSPC : -EIO;
}

static void run_io(struct sim_loop *sl, const struct candidate *c)
{
	struct loop_io *io = c->io;
	struct sim *sim = sl->loop.sim;

	if (!io->is_performed) {
		io->res = sim_should_fail(sim) ? perform_badly(sim, io)
					       : loop_io_perform(io);
		io->is_performed = true;
		return;
	}
	list_del(&io->node);
	loop_io_finish(io, io->res);
}

/* Searching what is ready */

static uint64_t lot_of(const struct search *search, uint64_t number)
{
	return mix(search->random + number * 0x9e3779b97f4a7c15);
}

static bool is_open(struct sim *sim, struct search *search,
		    const struct candidate *c)
{
	const struct sim_options *options = &sim->options;
	uint64_t lot;

	if (*c->gate_ns == 0) {
		lot = lot_of(search, ~c->number);
		*c->gate_ns = sim->now_ns;
		if (lot % 1000 < options->delay_permille &&
		    options->max_delay_ns > 0) {
			*c->gate_ns += 1 + mix(lot) % options->max_delay_ns;
		}
	}
	if (*c->gate_ns > sim->now_ns) {
		search->next_ns = min_of(search->next_ns, *c->gate_ns);
		return false;
	}
	return true;
}

static void consider(struct sim *sim, struct search *search,
		     const struct candidate *c)
{
	uint64_t lot;

	if (!is_open(sim, search, c)) {
		return;
	}
	lot = lot_of(search, c->number);
	if (!search->has_best || lot < search->best_lot) {
		search->has_best = true;
		search->best_lot = lot;
		search->best = *c;
	}
}

static void search_calls(struct sim *sim, struct search *search,
			 struct sim_loop *sl)
{
	struct candidate c = {
		.run = run_call,
		.sl = sl,
		.gate_ns = &sl->calls_gate_ns,
		.number = sl->number,
	};

	if (loop_has_calls(&sl->loop)) {
		consider(sim, search, &c);
	}
}

static void search_timers(struct sim *sim, struct search *search,
			  struct sim_loop *sl)
{
	struct candidate c = {
		.run = run_timer,
		.sl = sl,
		.gate_ns = &sl->timers_gate_ns,
		.number = sl->number + 1,
	};
	uint64_t due_ns = loop_timers_due_ns(&sl->loop);

	if (due_ns <= sim->now_ns) {
		consider(sim, search, &c);
	} else {
		sl->timers_gate_ns = 0; /* of one that was cancelled */
		search->next_ns = min_of(search->next_ns, due_ns);
	}
}

static void consider_watch(struct sim *sim, struct search *search,
			   struct loop_watch *watch, unsigned int events)
{
	struct candidate c = {
		.run = run_watch,
		.sl = sim_loop_of(watch->loop),
		.gate_ns = &watch->gate_ns,
		.number = watch->number,
		.watch = watch,
		.events = events,
	};

	consider(sim, search, &c);
}

static int search_watches(struct sim *sim, struct search *search,
			  struct sim_loop *sl)
{
	struct loop_watch *watch;
	int n;

	if (sl->n_watches == 0) {
		return 0; /* and perhaps no room for events */
	}
	n = epoll_wait(sl->epoll_fd, sl->events, (int)sl->n_events_max, 0);
	if (n < 0 && errno != EINTR) {
		return -errno;
	}
	for (int i = 0; i < n; i++) {
		unsigned int events =
			loop_events_of_epoll(sl->events[i].events);

		watch = sl->events[i].data.ptr;
		if (!(watch->events & LOOP_EDGE)) {
			consider_watch(sim, search, watch, events);
			continue;
		}
		watch->pending |= events;
		list_del(&watch->pending_node);
		list_add_tail(&sl->pending_edges, &watch->pending_node);
	}
	list_for_each_entry(watch, &sl->pending_edges, pending_node) {
		consider_watch(sim, search, watch, watch->pending);
	}
	return 0;
}

static void search_pollers(struct sim *sim, struct search *search,
			   struct sim_loop *sl)
{
	struct candidate c = {
		.run = run_poller,
		.sl = sl,
		.number = sl->number + 1,
	};

	list_for_each_entry(c.poller, &sl->loop.active_pollers, active_node) {
		c.number++;
		c.gate_ns = &c.poller->gate_ns;
		consider(sim, search, &c);
	}
}

static void search_io(struct sim *sim, struct search *search,
		      struct sim_loop *sl)
{
	struct candidate c = { .run = run_io, .sl = sl };

	list_for_each_entry(c.io, &sl->loop.new_io, node) {
		c.gate_ns = &c.io->gate_ns;
		c.number = c.io->number;
		consider(sim, search, &c);
	}
}

static int search_loop(struct sim *sim, struct search *search,
		       struct sim_loop *sl)
{
	search_calls(sim, search, sl);
	search_timers(sim, search, sl);
	search_pollers(sim, search, sl);
	search_io(sim, search, sl);
	return search_watches(sim, search, sl);
}

static int search_all(struct sim *sim, struct search *search)
{
	struct sim_loop *sl;
	int rc = 0;

	list_for_each_entry(sl, &sim->loops, node) {
		if (!sl->is_stopped) {
			rc = search_loop(sim, search, sl);
		}
		if (rc < 0) {
			return rc;
		}
	}
	return 0;
}

/**
 * step() - run one thing, or let time go by until there is one
 * @sim: the simulation
 * @only: takes part, stopped or not, and no other loop; NULL: all that run
 * @end_ns: time goes no further
 *
 * Return: 1; 0 when nothing is to come; -errno
 */
static int step(struct sim *sim, struct sim_loop *only, uint64_t end_ns)
{
	struct search search = {
		.random = sim_random(sim),
		.next_ns = LOOP_FOREVER,
	};
	int rc = only ? search_loop(sim, &search, only)
		      : search_all(sim, &search);

	if (rc < 0) {
		return rc;
	}
	if (search.has_best) {
		run_candidate(sim, &search.best);
		return 1;
	}
	if (search.next_ns > END_NS) {
		return 0;
	}
	sim->now_ns = min_of(search.next_ns, end_ns);
	return 1;
}

static int run_until(struct sim *sim, uint64_t end_ns,
		     bool (*until)(void *priv), void *priv)
{
	int rc;

	assert(!sim->current); /* callbacks do not run the simulation */
	do {
		if (until && until(priv)) {
			return 0;
		}
		if (sim->now_ns >= end_ns) {
			return until ? err(-ETIMEDOUT, "simulation: too late")
				     : 0;
		}
		rc = step(sim, NULL, end_ns);
	} while (rc > 0);
	if (rc == 0 && until) {
		return err(-EDEADLK, "simulation: nothing is left to happen");
	}
	return rc;
}

int sim_run(struct sim *sim, uint64_t max_ns, bool (*until)(void *priv),
	    void *priv)
{
	uint64_t left_ns = END_NS - min_of(sim->now_ns, (uint64_t)END_NS);

	return run_until(sim, sim->now_ns + min_of(max_ns, left_ns), until,
			 priv);
}

/* What loop.c leaves to the simulation */

bool sim_is_owner(const struct loop *loop)
{
	return !loop->sim->current || loop->sim->current == loop;
}

uint64_t sim_now_ns(const struct loop *loop)
{
	return loop->sim->now_ns;
}

void sim_loop_start(struct loop *loop)
{
	sim_loop_of(loop)->is_stopped = false;
}

static bool is_stopped(void *priv)
{
	return ((struct sim_loop *)priv)->is_stopped;
}

int sim_loop_run(struct loop *loop)
{
	struct sim_loop *sl = sim_loop_of(loop);

	sl->is_stopped = false;
	return run_until(loop->sim, END_NS, is_stopped, sl);
}

void sim_loop_stop(struct loop *loop)
{
	struct sim_loop *sl = sim_loop_of(loop);

	if (sl->n_steps > 0) {
		loop->is_stopping = 1; /* when its callback has returned */
	} else {
		finish_stop(sl);
	}
}

void sim_call_until(struct loop *loop, struct loop_work *work, sem_t *done)
{
	struct sim_loop *sl = sim_loop_of(loop);

	if (loop->sim->current == loop || sl->is_stopped) {
		work->fn(work->priv);
	} else {
		assert(sl->n_steps == 0); /* it waits for us: for ever */
		loop_call(loop, work);
	}
	while (sem_trywait(done) < 0) {
		int rc;

		assert(!loop->running_poller);
		rc = step(loop->sim, sl, END_NS);
		assert(rc > 0); /* nothing is left that could end it */
	}
}

/* Making and freeing */

static int make_room(struct sim_loop *sl)
{
	unsigned int n = max_of(sl->n_events_max * 2, (unsigned int)EVENTS_MIN);
	struct epoll_event *events;

	if (sl->n_watches < sl->n_events_max) {
		return 0;
	}
	events = realloc(sl->events, n * sizeof(*events));
	if (!events) {
		return err(-ENOMEM, "%s: no memory for %u watches",
			   sl->loop.name, n);
	}
	sl->events = events;
	sl->n_events_max = n;
	return 0;
}

static int sim_watch_add(struct loop *loop, struct loop_watch *watch)
{
	struct sim_loop *sl = sim_loop_of(loop);
	int rc = make_room(sl);

	if (rc < 0) {
		return rc;
	}
	rc = loop_epoll_ctl(sl->epoll_fd, EPOLL_CTL_ADD, watch, watch->events);
	if (rc < 0) {
		return rc;
	}
	sl->n_watches++;
	watch->number = loop->sim->next_number++;
	list_init(&watch->pending_node);
	return 0;
}

static void forget_pending(struct loop_watch *watch)
{
	list_del(&watch->pending_node);
	watch->pending = 0;
	watch->gate_ns = 0;
}

static int sim_watch_change(struct loop *loop, struct loop_watch *watch,
			    unsigned int events)
{
	forget_pending(watch); /* the kernel will tell it again */
	return loop_epoll_ctl(sim_loop_of(loop)->epoll_fd, EPOLL_CTL_MOD, watch,
			      events);
}

static void sim_watch_del(struct loop *loop, struct loop_watch *watch)
{
	struct sim_loop *sl = sim_loop_of(loop);
	int rc = loop_epoll_ctl(sl->epoll_fd, EPOLL_CTL_DEL, watch, 0);

	assert(rc == 0); /* see loop_epoll.c */
	forget_pending(watch);
	sl->n_watches--;
}

static void sim_io_submitted(struct loop *loop, struct loop_io *io)
{
	io->number = loop->sim->next_number++;
	io->gate_ns = 0;
	io->is_performed = false;
}

static void sim_loop_free(struct loop *loop)
{
	struct sim_loop *sl = sim_loop_of(loop);

	assert(sl->n_steps == 0);
	list_del(&sl->node);
	(void)close_fd(sl->epoll_fd);
	free(sl->events);
	free(sl);
}

static const struct loop_ops sim_ops = {
	.name = "simulated",
	.watch_add = sim_watch_add,
	.watch_change = sim_watch_change,
	.watch_del = sim_watch_del,
	.free = sim_loop_free,
	.io_submitted = sim_io_submitted,
};

int sim_loop_new(struct sim *sim, const char *name, struct loop **ret)
{
	struct sim_loop *sl = calloc(1, sizeof(*sl));

	if (!sl) {
		return err(-ENOMEM, "%s: no memory for a loop", name);
	}
	loop_init(&sl->loop, &sim_ops, name);
	sl->loop.sim = sim;
	sl->number = sim->next_number;
	sim->next_number += NUMBER_SPACE;
	list_init(&sl->pending_edges);
	list_add_tail(&sim->loops, &sl->node);
	sl->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (sl->epoll_fd < 0) {
		int code = -errno;

		(void)loop_free(&sl->loop);
		return err(code, "%s: cannot set up epoll: %s", name,
			   strerror(-code));
	}
	*ret = &sl->loop;
	return 0;
}

int sim_new(const struct sim_options *options, struct sim **ret)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	if (!sim) {
		return err(-ENOMEM, "no memory for a simulation");
	}
	sim->options = *options;
	sim->now_ns = START_NS;
	list_init(&sim->loops);
	seed_random(sim, options->seed);
	*ret = sim;
	return 0;
}

struct sim *sim_free(struct sim *sim)
{
	if (sim) {
		assert(list_is_empty(&sim->loops));
		free(sim);
	}
	return NULL;
}
