/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of pollers: when they poll, when they sleep, what they learn.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "loop/loop_internal.h"
#include "loop/test_loop_rig.h"

static void test_poller_sleeps_until_it_is_woken(void **state)
{
	struct queue q;
	struct env env;

	env_init(&env, state);
	queue_init(&q, &env, 0);
	q.n_added = 3;
	run_for(&env, 2 * MS);
	assert_int_equal(q.n_polls, 0);
	loop_poller_wake(&q.poller);
	loop_poller_wake(&q.poller); /* no effect */
	run_for(&env, 2 * MS);
	assert_int_equal(q.n_polls, 4); /* one in vain */
	assert_int_equal(q.n_done, 3);
	assert_int_equal(q.n_arms, 1);
	assert_false(q.poller.is_active);
	queue_fini(&q);
	env_fini(&env);
}

static void test_poller_that_finds_work_when_armed_goes_on(void **state)
{
	struct queue q;
	struct env env;

	env_init(&env, state);
	queue_init(&q, &env, 0);
	q.n_in_arm = 2;
	loop_poller_wake(&q.poller);
	run_for(&env, 2 * MS);
	assert_int_equal(q.n_polls, 4);
	assert_int_equal(q.n_done, 2);
	assert_int_equal(q.n_arms, 2);
	queue_fini(&q);
	env_fini(&env);
}

static void test_poller_polls_for_its_time_then_sleeps(void **state)
{
	struct queue q;
	struct env env;

	env_init(&env, state);
	queue_init(&q, &env, 1000);
	loop_poller_wake(&q.poller);
	run_for(&env, 20 * MS);
	assert_true(q.n_polls >= 1);
	assert_int_equal(q.n_arms, 1);
	assert_false(q.poller.is_active);
	queue_fini(&q);
	env_fini(&env);
}

struct busy {
	struct env *env;
	struct loop_poller poller;
	struct loop_work work;
	struct loop_timer timer;
	struct loop_watch *watch;
	int fd;
	unsigned int seen; /* bits: call, timer, watch */
};

static void busy_saw(struct busy *busy, unsigned int what)
{
	busy->seen |= what;
	if (busy->seen == 7) {
		loop_stop(busy->env->loop);
	}
}

static void busy_called(void *priv)
{
	busy_saw(priv, 1);
}

static void busy_timed(void *priv)
{
	busy_saw(priv, 2);
}

static void busy_ready(void *priv, unsigned int events)
{
	struct busy *busy = priv;

	busy_saw(busy, 4);
	busy->watch = loop_watch_free(busy->watch);
}

static unsigned int busy_poll(void *priv)
{
	return 32;
}

static bool never_armed(void *priv)
{
	fail_msg("it has no reason to sleep");
	return false;
}

/*
 * Something is ready while the poller polls in vain, and in the moment when its
 * time is over: arm() knows nothing of it, so poll() must look once more.
 */
static void test_poller_that_is_woken_looks_before_it_sleeps(void **state)
{
	struct queue q;
	struct env env;

	env_init(&env, state);
	queue_init(&q, &env, 1000);
	loop_poller_wake(&q.poller);
	assert_true(q.poller.is_active);
	q.poller.idle_since_ns = 1; /* for ever */
	loop_poller_wake(&q.poller);
	loop_pollers_check(env.loop);
	assert_true(q.poller.is_active);
	assert_int_equal(q.n_arms, 0);
	(void)loop_pollers_run(env.loop);
	assert_int_equal(q.n_polls, 1);
	/* it has looked: now it may sleep */
	q.poller.idle_since_ns = 1;
	loop_pollers_check(env.loop);
	assert_false(q.poller.is_active);
	assert_int_equal(q.n_arms, 1);
	queue_fini(&q);
	env_fini(&env);
}

static void test_busy_poller_leaves_time_for_all_else(void **state)
{
	struct busy busy = { .fd = new_eventfd(1) };
	struct env env;

	env_init(&env, state);
	busy.env = &env;
	busy.poller.poll = busy_poll;
	busy.poller.arm = never_armed;
	loop_poller_add(env.loop, &busy.poller);
	loop_poller_wake(&busy.poller);
	busy.work = (struct loop_work){ .fn = busy_called, .priv = &busy };
	loop_call(env.loop, &busy.work);
	loop_timer_init(&busy.timer, env.loop, busy_timed, &busy);
	/* long after the first look at descriptors */
	assert_int_equal(loop_timer_set(&busy.timer, MS / 5), 0);
	assert_int_equal(loop_watch_new(env.loop, busy.fd, LOOP_IN, busy_ready,
					&busy, &busy.watch),
			 0);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(busy.seen, 7);
	assert_true(busy.poller.is_active);
	loop_poller_del(&busy.poller);
	close(busy.fd);
	env_fini(&env);
}

struct starter {
	struct env env;
	struct loop_poller poller;
	struct loop_file *file;
	struct loop_io io;
	char byte;
	unsigned int n_polls;
	bool is_late;
};

static void io_ended(struct loop_io *io, int64_t res)
{
	struct starter *s = container_of(io, struct starter, io);

	assert_int_equal(res, 0); /* the file is empty */
	loop_stop(s->env.loop);
}

/* Begins I/O, then finds nothing more. */
static unsigned int poll_once(void *priv)
{
	static struct iovec iov;
	struct starter *s = priv;

	if (s->n_polls++ == 0) {
		iov = (struct iovec){ &s->byte, 1 };
		s->io = (struct loop_io){
			.file = s->file,
			.op = LOOP_IO_READ,
			.iov = &iov,
			.n_iov = 1,
			.fn = io_ended,
		};
		loop_io_submit(s->env.loop, &s->io);
		return 1;
	}
	s->is_late |= s->n_polls > 2 && !list_is_empty(&s->env.loop->new_io);
	return 0;
}

/* One look for more that could go with it, not a round of polling. */
static void test_io_of_a_poller_starts_when_it_finds_no_more(void **state)
{
	struct starter s = { .poller = { .poll = poll_once,
					 .arm = never_armed,
					 .priv = &s,
					 .max_poll_us = 1000000 } };
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	env_init(&s.env, state);
	assert_int_equal(loop_file_new(s.env.loop, fd, &s.file), 0);
	loop_poller_add(s.env.loop, &s.poller);
	loop_poller_wake(&s.poller);
	s.poller.times[0].poll_ns = 1000 * MS;
	assert_int_equal(loop_run(s.env.loop), 0);
	assert_true(s.n_polls >= 2);
	assert_false(s.is_late);
	loop_poller_del(&s.poller);
	loop_file_free(s.file);
	close(fd);
	env_fini(&s.env);
}

struct doomed {
	struct loop *loop;
	struct loop_poller *pollers; /* of three */
	unsigned int n_polls, n_arms;
	unsigned int n_found; /* what poll() says */
};

static void delete_all(struct doomed *doomed)
{
	for (unsigned int i = 0; i < 3; i++) {
		loop_poller_del(&doomed->pollers[i]);
	}
	free(doomed->pollers);
	doomed->pollers = NULL;
	loop_stop(doomed->loop);
}

static unsigned int poll_and_delete(void *priv)
{
	struct doomed *doomed = priv;

	doomed->n_polls++;
	delete_all(doomed);
	return doomed->n_found;
}

static unsigned int poll_in_vain(void *priv)
{
	return 0;
}

static bool arm_and_delete(void *priv)
{
	struct doomed *doomed = priv;

	doomed->n_arms++;
	delete_all(doomed);
	return doomed->n_found > 0;
}

static void run_doomed(struct env *env, struct doomed *doomed,
		       unsigned int (*poll)(void *priv))
{
	doomed->loop = env->loop;
	doomed->pollers = calloc(3, sizeof(*doomed->pollers));
	assert_non_null(doomed->pollers);
	for (unsigned int i = 0; i < 3; i++) {
		doomed->pollers[i].poll = poll;
		doomed->pollers[i].arm = arm_and_delete;
		doomed->pollers[i].priv = doomed;
		loop_poller_add(env->loop, &doomed->pollers[i]);
		loop_poller_wake(&doomed->pollers[i]);
	}
	assert_int_equal(loop_run(env->loop), 0);
	assert_null(doomed->pollers);
}

static void test_pollers_deleted_by_poll_or_arm_are_not_called(void **state)
{
	struct env env;

	env_init(&env, state);
	for (unsigned int n_found = 0; n_found < 2; n_found++) {
		struct doomed in_poll = { .n_found = n_found };
		struct doomed in_arm = { .n_found = n_found };

		run_doomed(&env, &in_poll, poll_and_delete);
		assert_int_equal(in_poll.n_polls, 1);
		assert_int_equal(in_poll.n_arms, 0);
		run_doomed(&env, &in_arm, poll_in_vain);
		assert_int_equal(in_arm.n_arms, 1);
	}
	env_fini(&env);
}

#define N_ITEMS 50000

static void *fill_queue(void *arg)
{
	for (unsigned int i = 0; i < N_ITEMS; i++) {
		queue_add(arg);
	}
	return NULL;
}

static void check_no_kick_is_lost(void **state, uint32_t max_poll_us)
{
	pthread_t thread;
	struct queue q;
	struct env env;

	env_init(&env, state);
	queue_init(&q, &env, max_poll_us);
	q.n_until_stop = N_ITEMS;
	assert_int_equal(pthread_create(&thread, NULL, fill_queue, &q), 0);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(q.n_done, N_ITEMS);
	queue_fini(&q);
	env_fini(&env);
}

static void test_no_kick_is_lost_while_a_poller_goes_to_sleep(void **state)
{
	check_no_kick_is_lost(state, 0);
	check_no_kick_is_lost(state, 3);
	check_no_kick_is_lost(state, 1000);
}

static void test_poll_time_grows_when_it_pays(void **state)
{
	const uint64_t max = 32000;
	struct loop_poll_time t;

	/* work each 20 us: longer, until polling catches it */
	loop_poll_time_init(&t);
	for (int i = 0; i < 4; i++) {
		loop_poll_time_after_sleep(&t, 20000 - t.poll_ns, max);
	}
	assert_int_equal(t.poll_ns, 16000);
	/* found in time: as it is, or longer when it was close */
	loop_poll_time_after_find(&t, 8000, max);
	assert_int_equal(t.poll_ns, 16000);
	loop_poll_time_after_find(&t, 8001, max);
	assert_int_equal(t.poll_ns, max);
	loop_poll_time_after_find(&t, max, max);
	assert_int_equal(t.poll_ns, max);
	/* never when the user wants none */
	loop_poll_time_init(&t);
	loop_poll_time_after_sleep(&t, 0, 0);
	loop_poll_time_after_find(&t, 0, 0);
	assert_int_equal(t.poll_ns, 0);
}

static void test_poll_time_shrinks_to_0_when_it_does_not_pay(void **state)
{
	const uint64_t max = 32000;
	struct loop_poll_time t;

	loop_poll_time_init(&t);
	t.poll_ns = max;
	for (int i = 0; i < 5; i++) {
		assert_true(t.poll_ns > 0);
		loop_poll_time_after_sleep(&t, max, max);
	}
	assert_int_equal(t.poll_ns, 0);
}

/* A disk that answers after 45 us, or a driver that waits for our CPU: of a
 * thousand waits few are polled through. */
static void test_polling_that_never_catches_work_is_given_up(void **state)
{
	const uint64_t max = 32000;
	unsigned int n_polled = 0, n_at_max = 0;
	struct loop_poll_time t;

	loop_poll_time_init(&t);
	for (int i = 0; i < 1000; i++) {
		n_polled += t.poll_ns > 0;
		n_at_max += t.poll_ns == max;
		loop_poll_time_after_sleep(&t, 9000, max);
	}
	assert_in_range(n_at_max, 2, 10); /* it is tried again */
	assert_true(n_polled < 60);
	/* when it pays again that is seen, and trying gets cheap again */
	while (t.poll_ns == 0) {
		loop_poll_time_after_sleep(&t, 9000, max);
	}
	for (int i = 0; i < 10; i++) {
		loop_poll_time_after_find(&t, 9000, max);
	}
	assert_int_equal(t.poll_ns, max);
	loop_poll_time_after_sleep(&t, 9000, max);
	for (int i = 0; i < 9; i++) {
		assert_int_equal(t.poll_ns, 0);
		loop_poll_time_after_sleep(&t, 9000, max);
	}
	assert_true(t.poll_ns > 0);
}

/* The end of what was begun is too far off to poll for, the next work is not:
 * one does not spoil the other. */
static void test_gaps_of_two_kinds_are_learnt_apart(void **state)
{
	struct queue q;
	struct env env;

	env_init(&env, state);
	queue_init(&q, &env, 1000);
	q.poller.times[0].poll_ns = MS;
	q.poller.times[1].poll_ns = MS / 4;
	q.poller.has_begun = true;
	q.poller.idle_since_ns = 1; /* asleep for ever */
	loop_poller_wake(&q.poller);
	assert_int_equal(q.poller.times[0].poll_ns, MS);
	assert_int_equal(q.poller.times[1].poll_ns, MS / 8);
	queue_fini(&q);
	env_fini(&env);
}

struct ticker {
	struct queue *q;
	struct loop_timer timer;
	unsigned int n_left;
};

static void tick(void *priv)
{
	struct ticker *ticker = priv;

	queue_add(ticker->q);
	if (--ticker->n_left > 0) {
		assert_int_equal(loop_timer_set(&ticker->timer, MS / 10), 0);
	} else {
		loop_stop(ticker->q->env->loop);
	}
}

static void test_poller_learns_to_catch_steady_work(void **state)
{
	struct ticker ticker = { .n_left = 50 };
	struct queue q;
	struct env env;

	env_init(&env, state);
	queue_init(&q, &env, 1000000);
	ticker.q = &q;
	loop_timer_init(&ticker.timer, env.loop, tick, &ticker);
	assert_int_equal(loop_timer_set(&ticker.timer, 0), 0);
	assert_int_equal(loop_run(env.loop), 0);
	/* Each wake was within a second of the sleep, so each lengthened the
	 * polling time, until the work came while it polled. */
	assert_true(q.poller.times[0].poll_ns >= MS / 20);
	assert_true(q.n_arms < 50);
	queue_fini(&q);
	env_fini(&env);
}

static void add_to_queue(void *priv)
{
	queue_add(priv);
}

static void test_idle_poller_costs_nothing_after_work(void **state)
{
	struct queue q;
	struct env env;

	env_init(&env, state);
	queue_init(&q, &env, 50);
	assert_int_equal(loop_start(env.loop), 0);
	for (int i = 0; i < 1000; i++) {
		loop_call_wait(env.loop, add_to_queue, &q);
	}
	wait_for_a_while(); /* to be asleep again after at most 50 us */
	assert_idle(env.loop);
	loop_stop(env.loop);
	assert_int_equal(q.n_done, 1000);
	queue_fini(&q);
	env_fini(&env);
}

static const struct CMUnitTest tests[] = {
	ON_ALL(test_poller_sleeps_until_it_is_woken),
	ON_ALL(test_poller_that_finds_work_when_armed_goes_on),
	ON_ALL(test_poller_polls_for_its_time_then_sleeps),
	ON_THREADED(test_poller_that_is_woken_looks_before_it_sleeps),
	ON_ALL(test_busy_poller_leaves_time_for_all_else),
	ON_THREADED(test_io_of_a_poller_starts_when_it_finds_no_more),
	ON_ALL(test_pollers_deleted_by_poll_or_arm_are_not_called),
	ON_THREADED(test_no_kick_is_lost_while_a_poller_goes_to_sleep),
	cmocka_unit_test(test_poll_time_grows_when_it_pays),
	cmocka_unit_test(test_poll_time_shrinks_to_0_when_it_does_not_pay),
	cmocka_unit_test(test_polling_that_never_catches_work_is_given_up),
	ON_THREADED(test_gaps_of_two_kinds_are_learnt_apart),
	ON_THREADED(test_poller_learns_to_catch_steady_work),
	ON_THREADED(test_idle_poller_costs_nothing_after_work),
};

TEST_MAIN("loop_poller")
