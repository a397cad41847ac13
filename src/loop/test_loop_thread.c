/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of loops in threads: calls, starting and stopping, sleeping.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "loop/loop_internal.h"
#include "loop/test_loop_rig.h"

#define N_WRITES 20000

struct edge_writer {
	struct env env;
	int fd;
	unsigned int n_written; /* atomic */
	unsigned int n_calls;
};

static void *write_many(void *arg)
{
	struct edge_writer *writer = arg;

	for (unsigned int i = 0; i < N_WRITES; i++) {
		__atomic_add_fetch(&writer->n_written, 1, __ATOMIC_SEQ_CST);
		write_one(writer->fd);
	}
	return NULL;
}

static void stop_at_last_write(void *priv, unsigned int events)
{
	struct edge_writer *writer = priv;

	writer->n_calls++;
	if (__atomic_load_n(&writer->n_written, __ATOMIC_SEQ_CST) == N_WRITES) {
		loop_stop(writer->env.loop);
	}
}

static void test_edge_watch_fires_after_the_last_write(void **state)
{
	struct edge_writer writer = { .fd = new_eventfd(0) };
	struct loop_watch *watch;
	pthread_t thread;

	env_init(&writer.env, state);
	assert_int_equal(loop_watch_new(writer.env.loop, writer.fd,
					LOOP_IN | LOOP_EDGE, stop_at_last_write,
					&writer, &watch),
			 0);
	assert_int_equal(pthread_create(&thread, NULL, write_many, &writer), 0);
	assert_int_equal(loop_run(writer.env.loop), 0);
	assert_in_range(writer.n_calls, 1, N_WRITES + 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	loop_watch_free(watch);
	close(writer.fd);
	env_fini(&writer.env);
}

#define N_PRODUCERS 4
#define N_CALLS	    5000

struct producer;

struct numbered_call {
	struct loop_work work;
	struct producer *producer;
	unsigned int number;
};

struct producer {
	struct env *env;
	pthread_t thread;
	struct numbered_call calls[N_CALLS];
	unsigned int n_run;
};

static void check_number(void *priv)
{
	struct numbered_call *call = priv;
	struct producer *producer = call->producer;

	assert_true(loop_is_owner(producer->env->loop));
	assert_int_equal(call->number, producer->n_run);
	producer->n_run++;
	if (++producer->env->len == N_PRODUCERS * N_CALLS) {
		loop_stop(producer->env->loop);
	}
}

static void *produce(void *arg)
{
	struct producer *producer = arg;

	assert_false(loop_is_owner(producer->env->loop));
	for (unsigned int i = 0; i < N_CALLS; i++) {
		loop_call(producer->env->loop, &producer->calls[i].work);
	}
	return NULL;
}

static void start_producers(void *priv)
{
	struct producer *producers = priv;

	for (unsigned int p = 0; p < N_PRODUCERS; p++) {
		assert_int_equal(pthread_create(&producers[p].thread, NULL,
						produce, &producers[p]),
				 0);
	}
}

static void test_calls_of_many_threads_keep_each_ones_order(void **state)
{
	struct producer *producers = calloc(N_PRODUCERS, sizeof(*producers));
	struct loop_work start = { start_producers, producers };
	struct env env;

	env_init(&env, state);
	assert_non_null(producers);
	for (unsigned int p = 0; p < N_PRODUCERS; p++) {
		producers[p].env = &env;
		for (unsigned int i = 0; i < N_CALLS; i++) {
			producers[p].calls[i] = (struct numbered_call){
				.work = { check_number,
					  &producers[p].calls[i] },
				.producer = &producers[p],
				.number = i,
			};
		}
	}
	loop_call(env.loop, &start);
	assert_int_equal(loop_run(env.loop), 0);
	for (unsigned int p = 0; p < N_PRODUCERS; p++) {
		assert_int_equal(pthread_join(producers[p].thread, NULL), 0);
		assert_int_equal(producers[p].n_run, N_CALLS);
	}
	free(producers);
	env_fini(&env);
}

static void note_thread(void *priv)
{
	*(pthread_t *)priv = pthread_self();
}

static void test_call_wait_runs_in_the_owner(void **state)
{
	pthread_t ran_in = 0;
	struct env env;

	env_init(&env, state);
	/* no thread yet, and none any more: the caller */
	for (int i = 0; i < 2; i++) {
		loop_call_wait(env.loop, note_thread, &ran_in);
		assert_true(pthread_equal(ran_in, pthread_self()));
		assert_true(loop_is_owner(env.loop));
		assert_int_equal(loop_start(env.loop), 0);
		assert_false(loop_is_owner(env.loop));
		for (int j = 0; j < 1000; j++) {
			ran_in = pthread_self();
			loop_call_wait(env.loop, note_thread, &ran_in);
			assert_true(pthread_equal(ran_in, env.loop->thread));
		}
		loop_stop(env.loop);
	}
	env_fini(&env);
}

struct nested_call {
	struct loop *loop;
	unsigned int n_run;
};

static void count_nested(void *priv)
{
	((struct nested_call *)priv)->n_run++;
}

static void call_own_loop(void *priv)
{
	struct nested_call *nested = priv;

	loop_call_wait(nested->loop, count_nested, nested);
	assert_int_equal(nested->n_run, 1);
}

static void test_call_wait_of_the_owner_runs_at_once(void **state)
{
	struct nested_call nested = { 0 };
	struct env env;

	env_init(&env, state);
	nested.loop = env.loop;
	assert_int_equal(loop_start(env.loop), 0);
	loop_call_wait(env.loop, call_own_loop, &nested);
	assert_int_equal(nested.n_run, 1);
	loop_stop(env.loop);
	env_fini(&env);
}

struct late {
	struct env *env;
	struct loop_timer timer;
	struct loop_done *done;
	pthread_t ran_in;
	bool is_done;
};

static void end_late(void *priv)
{
	struct late *late = priv;

	late->is_done = true;
	late->ran_in = pthread_self();
	loop_done(late->done);
}

static void begin_late(void *priv, struct loop_done *done)
{
	struct late *late = priv;

	late->done = done;
	loop_timer_init(&late->timer, late->env->loop, end_late, late);
	assert_int_equal(loop_timer_set(&late->timer, 1000), 0);
}

static void test_call_until_ends_when_the_owner_says_so(void **state)
{
	struct late late = { 0 };
	struct env env;

	env_init(&env, state);
	late.env = &env;
	assert_int_equal(loop_start(env.loop), 0);
	for (int i = 0; i < 1000; i++) {
		late.is_done = false;
		loop_call_until(env.loop, begin_late, &late);
		assert_true(late.is_done);
		assert_true(pthread_equal(late.ran_in, env.loop->thread));
	}
	loop_stop(env.loop);
	/* no thread any more: the caller */
	loop_call_until(env.loop, begin_late, &late);
	assert_true(pthread_equal(late.ran_in, pthread_self()));
	env_fini(&env);
}

static void call_late(void *priv)
{
	loop_call_until(((struct late *)priv)->env->loop, begin_late, priv);
}

static void test_call_until_of_a_started_loop_within_itself(void **state)
{
	struct late late = { 0 };
	struct env env;

	env_init(&env, state);
	late.env = &env;
	assert_int_equal(loop_start(env.loop), 0);
	loop_call_wait(env.loop, call_late, &late);
	assert_true(late.is_done);
	loop_stop(env.loop);
	env_fini(&env);
}

static unsigned int poll_and_wait(void *priv)
{
	call_late(priv);
	return 0;
}

/* In a process of its own, which does not return. */
static void run_poller_that_waits(void **state)
{
	struct late late = { 0 };
	struct loop_poller poller = { .poll = poll_and_wait, .priv = &late };
	struct env env;

	be_quiet_about_dying();
	env_init(&env, state);
	late.env = &env;
	loop_poller_add(env.loop, &poller);
	loop_poller_wake(&poller);
	(void)loop_run(env.loop);
	_exit(0);
}

static void test_call_until_in_a_poller_aborts(void **state)
{
	assert_aborts(run_poller_that_waits, state);
}

struct deadlock {
	struct loop *control, *worker;
};

static void call_control_back(void *priv)
{
	loop_call_wait(((struct deadlock *)priv)->control, count_nested, priv);
}

static void call_worker(void *priv)
{
	struct deadlock *deadlock = priv;

	loop_call_wait(deadlock->worker, call_control_back, deadlock);
}

/* In a process of its own, which does not return. */
static void run_deadlock(void **state)
{
	struct deadlock deadlock;
	struct loop_work work = { call_worker, &deadlock };
	struct env env;

	be_quiet_about_dying();
	env_init(&env, state);
	deadlock.control = env.loop;
	if (env.sim) {
		(void)sim_loop_new(env.sim, "worker", &deadlock.worker);
	} else {
		(void)loop_new("worker", &deadlock.worker);
	}
	(void)loop_start(deadlock.worker);
	loop_call(deadlock.control, &work);
	(void)loop_run(deadlock.control);
	_exit(0);
}

static void test_two_loops_that_wait_for_each_other_abort(void **state)
{
	assert_aborts(run_deadlock, state);
}

static void test_stop_before_run_ends_the_run_at_once(void **state)
{
	struct env env;

	env_init(&env, state);
	loop_stop(env.loop);
	assert_int_equal(loop_run(env.loop), 0);
	/* but a thread that is started after it runs */
	loop_stop(env.loop);
	assert_int_equal(loop_start(env.loop), 0);
	assert_false(loop_is_owner(env.loop));
	loop_stop(env.loop);
	env_fini(&env);
}

static void *stop_from_outside(void *arg)
{
	loop_stop(arg);
	return NULL;
}

static void test_run_is_stopped_by_another_thread(void **state)
{
	pthread_t thread;
	struct env env;

	for (int i = 0; i < 100; i++) {
		env_init(&env, state);
		assert_int_equal(pthread_create(&thread, NULL,
						stop_from_outside, env.loop),
				 0);
		assert_int_equal(loop_run(env.loop), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		env_fini(&env);
	}
}

static void test_idle_loop_sleeps(void **state)
{
	int fd = new_eventfd(0);
	struct letter later;
	struct watched w;
	struct env env;

	env_init(&env, state);
	watch_fd(&w, &env, fd, LOOP_IN | LOOP_EDGE, record_and_stop);
	set_letter(&later, &env, 'a', UINT64_MAX);
	assert_int_equal(loop_start(env.loop), 0);
	assert_idle(env.loop);
	loop_stop(env.loop);
	loop_timer_cancel(&later.timer);
	loop_watch_free(w.watch);
	close(fd);
	env_fini(&env);
}

static void get_sigmask(void *priv)
{
	(void)pthread_sigmask(SIG_SETMASK, NULL, priv); /* cannot fail */
}

static void test_thread_takes_no_signals_but_its_faults(void **state)
{
	struct env env;
	sigset_t mask;

	env_init(&env, state);
	assert_int_equal(loop_start(env.loop), 0);
	loop_call_wait(env.loop, get_sigmask, &mask);
	loop_stop(env.loop);
	env_fini(&env);
	assert_true(sigismember(&mask, SIGTERM));
	assert_true(sigismember(&mask, SIGUSR1));
	assert_false(sigismember(&mask, SIGBUS));
	assert_false(sigismember(&mask, SIGSEGV));
	assert_false(sigismember(&mask, SIGFPE));
	assert_false(sigismember(&mask, SIGILL));
}

static const struct CMUnitTest tests[] = {
	ON_THREADED(test_thread_takes_no_signals_but_its_faults),
	ON_THREADED(test_two_loops_that_wait_for_each_other_abort),
	ON(on_sim, test_two_loops_that_wait_for_each_other_abort),
	ON_THREADED(test_edge_watch_fires_after_the_last_write),
	ON_THREADED(test_calls_of_many_threads_keep_each_ones_order),
	ON_THREADED(test_call_wait_runs_in_the_owner),
	ON_THREADED(test_call_wait_of_the_owner_runs_at_once),
	ON_THREADED(test_call_until_ends_when_the_owner_says_so),
	ON_THREADED(test_call_until_of_a_started_loop_within_itself),
	ON_THREADED(test_call_until_in_a_poller_aborts),
	ON(on_sim, test_call_until_in_a_poller_aborts),
	ON_THREADED(test_stop_before_run_ends_the_run_at_once),
	ON_THREADED(test_run_is_stopped_by_another_thread),
	ON_THREADED(test_idle_loop_sleeps),
};

TEST_MAIN("loop_thread")
