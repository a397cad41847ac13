/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of loop/ share: loops on the back end under test, things that
 * leave traces, and a queue with a poller.
 *
 * Tests that take a back end as their state end by themselves: a callback
 * stops the loop once all that is awaited has happened.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef LOOP_TEST_LOOP_RIG_H
#define LOOP_TEST_LOOP_RIG_H

#include "lib/test.h"
#include "loop/loop.h"

#define MS 1000000ULL

/* The state of tests that are run on several back ends. */
struct backend {
	enum loop_kind kind; /* unless simulated; LOOP_AUTO: any */
	bool is_simulated;
	struct sim_options options;
};

extern const struct backend on_epoll, on_uring, on_sim, on_slow_sim;

/* In a table of tests: one test on one back end, or on all. */
#define ON(backend, test)                                          \
	(struct CMUnitTest)                                        \
	{                                                          \
		.name = #test "[" #backend "]", .test_func = test, \
		.initial_state = (void *)&(backend),               \
	}
#define ON_THREADED(test) ON(on_epoll, test), ON(on_uring, test)
#define ON_ALL(test)	  ON_THREADED(test), ON(on_sim, test), ON(on_slow_sim, test)

/* A loop on the back end under test, and a trace of what ran in it. */
struct env {
	struct sim *sim; /* NULL: runs in a thread */
	struct loop *loop;
	char trace[256];
	size_t len;
	char last; /* the letter that ends the test */
};

/* Where io_uring is forbidden, the test runs on epoll. */
void env_init(struct env *env, void **state);
void env_fini(struct env *env);
void add_letter(struct env *env, char letter);
void stop_loop(void *priv);

/* Runs the loop for so long. */
void run_for(struct env *env, uint64_t ns);

struct letter {
	struct env *env;
	char letter;
	struct loop_timer timer;
	struct loop_work work;
	unsigned int n_again;
};

void run_letter(void *priv);

/* Sets its timer, too. */
void set_letter(struct letter *l, struct env *env, char letter,
		uint64_t delay_ns);

struct watched {
	struct env *env;
	struct loop_watch *watch;
	int fd;
	unsigned int events; /* of all callbacks */
	unsigned int n_calls; /* callbacks */
};

void watch_fd(struct watched *w, struct env *env, int fd, unsigned int events,
	      void (*fn)(void *priv, unsigned int events));
void record_and_stop(void *priv, unsigned int events);

/* A queue that one side fills and a poller empties, as a virtqueue is. */
struct queue {
	struct env *env;
	struct loop_poller poller;
	struct loop_watch *watch;
	int fd;
	unsigned int n_added; /* atomic */
	unsigned int wants_kicks; /* atomic */
	unsigned int n_done;
	unsigned int n_polls;
	unsigned int n_arms;
	unsigned int n_in_arm; /* added by the next arm() */
	unsigned int n_until_stop;
};

void queue_init(struct queue *q, struct env *env, uint32_t max_poll_us);
void queue_fini(struct queue *q);

/* Any thread: one more piece of work, and a kick when that is wanted. */
void queue_add(struct queue *q);

void write_one(int fd);
int new_eventfd(unsigned int count);

/* Waits for 300 ms of real time to go by. */
void wait_for_a_while(void);

/* Fails unless a started loop sleeps for 300 ms. */
void assert_idle(struct loop *loop);

/* Fails unless @run aborts: in a process of its own, from which it does not
 * return, and which begins with be_quiet_about_dying(). */
void assert_aborts(void (*run)(void **state), void **state);
void be_quiet_about_dying(void);

#endif
