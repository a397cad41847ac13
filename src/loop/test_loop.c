/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of loop/ that hold for every back end: timers, watches, calls, memory.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/oom.h"
#include "loop/loop_internal.h"
#include "loop/test_loop_rig.h"

/* Timers */

static void test_timers_run_in_order_of_their_times(void **state)
{
	static const uint64_t delays_ms[8] = { 5, 3, 20, 3, 1, 2, 4, 6 };
	struct letter letters[8];
	struct env env;

	env_init(&env, state);
	env.last = 'h';
	for (unsigned int i = 0; i < 8; i++) {
		set_letter(&letters[i], &env, (char)('a' + i),
			   delays_ms[i] * MS);
	}
	loop_timer_cancel(&letters[4].timer); /* the first */
	loop_timer_cancel(&letters[4].timer); /* no effect */
	loop_timer_cancel(&letters[0].timer); /* in between */
	/* the last becomes the first */
	assert_int_equal(loop_timer_set(&letters[2].timer, 0), 0);
	assert_int_equal(loop_run(env.loop), 0);
	assert_string_equal(env.trace, "cfbdgh");
	for (unsigned int i = 0; i < 8; i++) {
		assert_false(loop_timer_is_set(&letters[i].timer));
	}
	env_fini(&env);
}

static void run_letter_again(void *priv)
{
	struct letter *l = priv;

	assert_false(loop_timer_is_set(&l->timer));
	if (l->n_again-- > 0) {
		assert_int_equal(loop_timer_set(&l->timer, 0), 0);
	}
	add_letter(l->env, l->letter);
}

static void test_timer_set_by_its_callback_lets_others_run(void **state)
{
	struct letter again, other;
	struct env env;

	env_init(&env, state);
	env.last = 'b';
	set_letter(&again, &env, 'a', 0);
	again.timer.fn = run_letter_again;
	again.n_again = 100000;
	set_letter(&other, &env, 'b', 0);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(env.trace[0], 'a');
	assert_int_equal(env.trace[env.len - 1], 'b');
	loop_timer_cancel(&again.timer);
	env_fini(&env);
}

static void cancel_other(void *priv)
{
	struct letter *l = priv;

	loop_timer_cancel(&(l + 1)->timer);
	run_letter(l);
}

static void test_timer_cancelled_by_another_does_not_run(void **state)
{
	struct letter letters[3];
	struct env env;

	env_init(&env, state);
	env.last = 'c';
	for (unsigned int i = 0; i < 3; i++) {
		set_letter(&letters[i], &env, (char)('a' + i), MS);
	}
	letters[0].timer.fn = cancel_other;
	assert_int_equal(loop_run(env.loop), 0);
	assert_string_equal(env.trace, "ac");
	env_fini(&env);
}

static void test_timer_never_due_does_not_overflow(void **state)
{
	struct letter never, stop;
	struct env env;

	env_init(&env, state);
	env.last = 'b';
	set_letter(&never, &env, 'a', UINT64_MAX);
	set_letter(&stop, &env, 'b', 1);
	assert_int_equal(loop_run(env.loop), 0);
	assert_string_equal(env.trace, "b");
	loop_timer_cancel(&never.timer);
	env_fini(&env);
}

#define N_TIMERS 500

struct many_timers {
	struct loop *loop;
	struct loop_timer timers[N_TIMERS];
	uint64_t last_due_ns;
	unsigned int n_run;
};

struct one_of_many {
	struct many_timers *all;
	unsigned int idx;
};

static void check_order(void *priv)
{
	struct one_of_many *one = priv;
	struct many_timers *all = one->all;
	uint64_t due_ns = all->timers[one->idx].due_ns;

	assert_true(due_ns >= all->last_due_ns);
	assert_true(due_ns <= loop_now_ns(all->loop));
	all->last_due_ns = due_ns;
	all->n_run++;
}

static void test_many_timers_set_and_cancelled_at_random(void **state)
{
	static struct many_timers all;
	static struct one_of_many ones[N_TIMERS];
	struct loop_timer stop;
	unsigned int n_set = 0, seed = 1;
	struct env env;

	env_init(&env, state);
	all = (struct many_timers){ .loop = env.loop };
	for (unsigned int i = 0; i < N_TIMERS; i++) {
		ones[i] = (struct one_of_many){ &all, i };
		loop_timer_init(&all.timers[i], env.loop, check_order,
				&ones[i]);
	}
	for (unsigned int i = 0; i < 20 * N_TIMERS; i++) {
		struct loop_timer *t =
			&all.timers[(unsigned int)rand_r(&seed) % N_TIMERS];

		if (rand_r(&seed) % 3 == 0) {
			loop_timer_cancel(t);
		} else {
			assert_int_equal(
				loop_timer_set(t, (uint64_t)rand_r(&seed) %
							  (20 * MS)),
				0);
		}
	}
	for (unsigned int i = 0; i < N_TIMERS; i++) {
		n_set += loop_timer_is_set(&all.timers[i]);
	}
	loop_timer_init(&stop, env.loop, stop_loop, env.loop);
	assert_int_equal(loop_timer_set(&stop, 50 * MS), 0);
	assert_int_equal(loop_run(env.loop), 0);
	assert_true(n_set > N_TIMERS / 2);
	assert_int_equal(all.n_run, n_set);
	env_fini(&env);
}

/* Watches */

static void test_watch_tells_in_out_and_hup(void **state)
{
	struct watched w;
	struct env env;
	int socks[2];
	char byte;

	env_init(&env, state);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, socks), 0);
	watch_fd(&w, &env, socks[0], LOOP_OUT, record_and_stop);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(w.events, LOOP_OUT);

	w.events = 0;
	assert_int_equal(loop_watch_change(w.watch, LOOP_IN), 0);
	assert_int_equal(write(socks[1], "x", 1), 1);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(w.events, LOOP_IN);
	assert_int_equal(read(socks[0], &byte, 1), 1);

	w.events = 0;
	assert_int_equal(loop_watch_change(w.watch, 0), 0);
	close(socks[1]);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(w.events, LOOP_HUP);
	assert_int_equal(w.n_calls, 3);
	assert_null(loop_watch_free(w.watch));
	close(socks[0]);
	env_fini(&env);
}

static void test_watch_of_a_regular_file_is_eperm(void **state)
{
	struct loop_watch *watch = NULL;
	FILE *f = tmpfile();
	struct env env;

	env_init(&env, state);
	assert_non_null(f);
	assert_int_equal(loop_watch_new(env.loop, fileno(f), LOOP_IN,
					record_and_stop, NULL, &watch),
			 -EPERM);
	assert_int_equal(loop_watch_new(env.loop, -1, LOOP_IN, record_and_stop,
					NULL, &watch),
			 -EBADF);
	assert_null(watch);
	assert_null(loop_watch_free(NULL));
	assert_int_equal(fclose(f), 0);
	env_fini(&env);
}

static void free_all_watches(void *priv, unsigned int events)
{
	struct watched *w = priv, *first = w - (w->fd == 1);

	w->n_calls++;
	first[0].watch = loop_watch_free(first[0].watch);
	first[1].watch = loop_watch_free(first[1].watch);
	loop_stop(w->env->loop);
}

static void test_watch_freed_by_another_is_not_called(void **state)
{
	int fds[2] = { new_eventfd(1), new_eventfd(1) };
	struct loop_timer stop;
	struct watched w[2];
	struct env env;

	env_init(&env, state);
	for (int i = 0; i < 2; i++) {
		watch_fd(&w[i], &env, fds[i], LOOP_IN, free_all_watches);
		w[i].fd = i;
	}
	assert_int_equal(loop_run(env.loop), 0);
	assert_null(w[0].watch);
	assert_null(w[1].watch);
	/* and not later either */
	loop_timer_init(&stop, env.loop, stop_loop, env.loop);
	assert_int_equal(loop_timer_set(&stop, MS), 0);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(w[0].n_calls + w[1].n_calls, 1);
	close(fds[0]);
	close(fds[1]);
	env_fini(&env);
}

static void mute_other(void *priv, unsigned int events)
{
	struct watched *w = priv, *other = w->fd == 0 ? w + 1 : w - 1;

	w->n_calls++;
	w->watch = loop_watch_free(w->watch);
	assert_int_equal(loop_watch_change(other->watch, 0), 0);
	loop_stop(w->env->loop);
}

static void test_watch_muted_by_another_is_not_called(void **state)
{
	int fds[2] = { new_eventfd(1), new_eventfd(1) };
	struct watched w[2];
	struct env env;

	env_init(&env, state);
	for (int i = 0; i < 2; i++) {
		watch_fd(&w[i], &env, fds[i], LOOP_IN, mute_other);
		w[i].fd = i;
	}
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(w[0].n_calls + w[1].n_calls, 1);
	loop_watch_free(w[0].watch);
	loop_watch_free(w[1].watch);
	close(fds[0]);
	close(fds[1]);
	env_fini(&env);
}

static void test_edge_watch_fires_at_once_and_once_a_write(void **state)
{
	int fd = new_eventfd(3), dupfd = dup(fd);
	struct loop_timer stop;
	struct watched w;
	struct env env;
	uint64_t count;

	env_init(&env, state);
	watch_fd(&w, &env, fd, LOOP_IN | LOOP_EDGE, record_and_stop);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(w.n_calls, 1);
	assert_int_equal(w.events, LOOP_IN);
	for (unsigned int i = 2; i < 10; i++) {
		write_one(dupfd);
		assert_int_equal(loop_run(env.loop), 0);
		assert_int_equal(w.n_calls, i);
	}
	/* nothing was written since: nothing comes */
	loop_timer_init(&stop, env.loop, stop_loop, env.loop);
	assert_int_equal(loop_timer_set(&stop, 5 * MS), 0);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(w.n_calls, 9);
	/* and nobody has read it */
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 3 + 8);
	loop_watch_free(w.watch);
	close(fd);
	close(dupfd);
	env_fini(&env);
}

static void count_and_drain(void *priv, unsigned int events)
{
	struct watched *w = priv;
	uint64_t count;

	w->n_calls++;
	assert_int_equal(events, LOOP_IN);
	assert_int_equal(read(w->fd, &count, sizeof(count)), sizeof(count));
	if (++w->env->len == (size_t)(unsigned char)w->env->last * 16) {
		loop_stop(w->env->loop);
	}
}

static void test_thousands_of_watches_all_run(void **state)
{
	struct rlimit limit;
	struct watched *w;
	struct env env;
	unsigned int n;

	env_init(&env, state);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	n = limit.rlim_cur > 2100 ? 2000 : 800;
	env.last = (char)(n / 16);
	w = calloc(n, sizeof(*w));
	assert_non_null(w);
	for (unsigned int i = 0; i < n; i++) {
		watch_fd(&w[i], &env, new_eventfd(1), LOOP_IN, count_and_drain);
	}
	assert_int_equal(loop_run(env.loop), 0);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(w[i].n_calls, 1);
		loop_watch_free(w[i].watch);
		close(w[i].fd);
	}
	free(w);
	env_fini(&env);
}

/* Calls */

static void test_calls_run_in_order_once_each(void **state)
{
	struct letter letters[3] = { 0 };
	struct env env;

	env_init(&env, state);
	env.last = 'c';
	for (unsigned int i = 0; i < 3; i++) {
		letters[i].env = &env;
		letters[i].letter = (char)('a' + i);
		letters[i].work.fn = run_letter;
		letters[i].work.priv = &letters[i];
		loop_call(env.loop, &letters[i].work);
		loop_call(env.loop, &letters[0].work); /* is queued: none */
	}
	assert_int_equal(loop_run(env.loop), 0);
	assert_string_equal(env.trace, "abc");
	env_fini(&env);
}

static void call_again(void *priv)
{
	struct letter *l = priv;

	if (l->n_again-- > 0) {
		loop_call(l->env->loop, &l->work);
	}
	add_letter(l->env, l->letter);
}

static void test_call_queued_by_itself_lets_others_run(void **state)
{
	struct letter again = { 0 }, other;
	struct env env;

	env_init(&env, state);
	env.last = 'b';
	again.env = &env;
	again.letter = 'a';
	again.n_again = 20;
	again.work = (struct loop_work){ .fn = call_again, .priv = &again };
	loop_call(env.loop, &again.work);
	set_letter(&other, &env, 'b', 0);
	assert_int_equal(loop_run(env.loop), 0);
	/* those that were queued when it stopped have run too */
	assert_int_equal(env.len, 22);
	assert_non_null(strchr(env.trace, 'b'));
	env_fini(&env);
}

static void test_stop_runs_what_is_queued(void **state)
{
	struct letter letters[2] = { 0 };
	struct env env;

	env_init(&env, state);
	for (unsigned int i = 0; i < 2; i++) {
		letters[i].env = &env;
		letters[i].letter = (char)('a' + i);
		letters[i].work.fn = run_letter;
		letters[i].work.priv = &letters[i];
	}
	assert_int_equal(loop_start(env.loop), 0);
	loop_call(env.loop, &letters[0].work);
	loop_call(env.loop, &letters[1].work);
	loop_stop(env.loop);
	assert_string_equal(env.trace, "ab");
	env_fini(&env);
}

/* Calls that wait */

struct waiting {
	struct env *env;
	struct letter begin, middle, end;
	struct loop_done *done;
	bool is_over;
};

static void end_waiting(void *priv)
{
	struct waiting *w = priv;

	add_letter(w->env, 'e');
	loop_done(w->done);
}

static void begin_waiting(void *priv, struct loop_done *done)
{
	struct waiting *w = priv;

	assert_true(loop_is_owner(w->env->loop));
	add_letter(w->env, 'b');
	w->done = done;
	set_letter(&w->end, w->env, 'e', 10 * MS);
	w->end.timer.fn = end_waiting;
	w->end.timer.priv = w;
}

static void wait_once(void *priv)
{
	struct waiting *w = priv;

	loop_call_until(w->env->loop, begin_waiting, w);
	w->is_over = true;
	add_letter(w->env, 'o');
}

static void be_done_at_once(void *priv, struct loop_done *done)
{
	add_letter(priv, 'b');
	loop_done(done);
}

static void test_call_until_done_at_once_runs_nothing_else(void **state)
{
	struct letter other = { 0 };
	struct env env;

	env_init(&env, state);
	set_letter(&other, &env, 't', 0);
	loop_call_until(env.loop, be_done_at_once, &env);
	assert_string_equal(env.trace, "b");
	loop_timer_cancel(&other.timer);
	env_fini(&env);
}

static void test_call_until_of_a_resting_loop_runs_it(void **state)
{
	struct waiting w = { 0 };
	struct letter call = { .letter = 'c' };
	struct queue queue;
	struct env env;

	env_init(&env, state);
	w.env = call.env = &env;
	call.work = (struct loop_work){ run_letter, &call };
	queue_init(&queue, &env, 0);
	queue_add(&queue);
	loop_call(env.loop, &call.work);
	set_letter(&w.middle, &env, 'm', MS);
	wait_once(&w);
	assert_int_equal(env.len, 5);
	assert_non_null(strchr(env.trace, 'c'));
	assert_non_null(strchr(env.trace, 'm'));
	assert_string_equal(env.trace + 3, "eo");
	assert_int_equal(queue.n_done, 1);
	assert_true(loop_is_owner(env.loop));
	queue_fini(&queue);
	env_fini(&env);
}

static void wait_when_ready(void *priv, unsigned int events)
{
	struct watched *w = priv;
	struct waiting waiting = { .env = w->env };

	if (w->n_calls++ == 0 && w->fd == 0) {
		wait_once(&waiting);
	}
}

static void test_call_until_in_a_watch_loses_no_other_edge(void **state)
{
	int fds[3] = { new_eventfd(1), new_eventfd(1), new_eventfd(1) };
	struct watched w[3];
	struct env env;

	env_init(&env, state);
	env.last = 'o';
	for (int i = 0; i < 3; i++) {
		watch_fd(&w[i], &env, fds[i], LOOP_IN | LOOP_EDGE,
			 wait_when_ready);
		w[i].fd = i;
	}
	assert_int_equal(loop_run(env.loop), 0);
	assert_string_equal(env.trace, "beo");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(w[i].n_calls, 1);
		loop_watch_free(w[i].watch);
		close(fds[i]);
	}
	env_fini(&env);
}

static void test_stop_within_call_until_comes_after_it(void **state)
{
	struct waiting w = { 0 };
	struct loop_work work = { wait_once, &w };
	struct env env;

	env_init(&env, state);
	w.env = &env;
	env.last = 'm';
	set_letter(&w.middle, &env, 'm', MS);
	loop_call(env.loop, &work);
	assert_int_equal(loop_run(env.loop), 0);
	assert_true(w.is_over);
	assert_string_equal(env.trace, "bmeo");
	env_fini(&env);
}

static void wait_twice(void *priv)
{
	struct waiting inner = { .env = ((struct waiting *)priv)->env };

	wait_once(&inner);
	end_waiting(priv);
}

static void begin_outer(void *priv, struct loop_done *done)
{
	begin_waiting(priv, done);
	((struct waiting *)priv)->end.timer.fn = wait_twice;
}

static void test_call_until_within_another_ends_first(void **state)
{
	struct waiting w = { 0 };
	struct env env;

	env_init(&env, state);
	w.env = &env;
	loop_call_until(env.loop, begin_outer, &w);
	assert_string_equal(env.trace, "bbeoe");
	env_fini(&env);
}

/* Memory */

#define N_BUSY	  50
#define N_ROUNDS  20000
#define N_WARM_UP 1000

/* Timers that set themselves, a call that queues itself, and watches of
 * eventfds that the timers write and the watches read. */
struct steady {
	struct env env;
	struct loop_timer timers[N_BUSY];
	struct watched watched[N_BUSY];
	struct loop_work work;
	struct queue queue;
	unsigned int n_rounds;
	void **state;
};

struct steady_timer {
	struct steady *steady;
	unsigned int idx;
};

static void steady_timed(void *priv)
{
	struct steady_timer *t = priv;
	struct steady *steady = t->steady;

	write_one(steady->watched[t->idx].fd);
	queue_add(&steady->queue);
	assert_int_equal(loop_timer_set(&steady->timers[t->idx],
					(t->idx % 7) * 1000),
			 0);
}

static void steady_called(void *priv)
{
	struct steady *steady = priv;

	steady->n_rounds++;
	if (steady->n_rounds == N_WARM_UP) {
		oom_begin();
	} else if (steady->n_rounds == N_ROUNDS) {
		oom_end();
		loop_stop(steady->env.loop);
		return;
	}
	loop_call(steady->env.loop, &steady->work);
}

static void steady_ready(void *priv, unsigned int events)
{
	struct watched *w = priv;
	uint64_t count;

	assert_int_equal(read(w->fd, &count, sizeof(count)), sizeof(count));
	w->n_calls++;
}

static void steady_init(struct steady *steady, struct steady_timer *timers)
{
	struct loop *loop = steady->env.loop;

	queue_init(&steady->queue, &steady->env, 20);
	for (unsigned int i = 0; i < N_BUSY; i++) {
		timers[i] = (struct steady_timer){ steady, i };
		watch_fd(&steady->watched[i], &steady->env, new_eventfd(0),
			 LOOP_IN, steady_ready);
		loop_timer_init(&steady->timers[i], loop, steady_timed,
				&timers[i]);
		assert_int_equal(loop_timer_set(&steady->timers[i], 0), 0);
	}
	steady->work = (struct loop_work){ steady_called, steady };
	loop_call(loop, &steady->work);
}

static int run_steady(void *priv)
{
	struct steady_timer timers[N_BUSY];
	struct steady *steady = priv;

	steady->n_rounds = 0;
	env_init(&steady->env, steady->state);
	steady_init(steady, timers);
	assert_int_equal(loop_run(steady->env.loop), 0);
	assert_int_equal(steady->n_rounds, N_ROUNDS);
	assert_true(steady->queue.n_done > 100);
	for (unsigned int i = 0; i < N_BUSY; i++) {
		assert_true(steady->watched[i].n_calls > 1);
		loop_timer_cancel(&steady->timers[i]);
		loop_watch_free(steady->watched[i].watch);
		close(steady->watched[i].fd);
	}
	queue_fini(&steady->queue);
	env_fini(&steady->env);
	return 0;
}

static void test_nothing_is_allocated_once_set_up(void **state)
{
	static struct steady steady;

	steady.state = state;
	/* no allocation came by that could have failed */
	assert_int_equal(oom_check(run_steady, &steady), 0);
}

struct set_up {
	int fd;
	enum loop_kind kind;
};

static int set_up_all(void *priv)
{
	const struct set_up *all = priv;
	struct sim_options options = { .seed = 1 };
	struct loop_watch *watch = NULL;
	struct loop *loops[3] = { NULL };
	struct sim *sim = NULL;
	struct loop_timer t;
	int rc;

	oom_begin();
	rc = sim_new(&options, &sim);
	rc = rc < 0 ? rc : sim_loop_new(sim, "sim", &loops[0]);
	rc = rc < 0 ? rc : loop_new_kind("epoll", LOOP_EPOLL, &loops[1]);
	rc = rc < 0 ? rc : loop_new_kind("other", all->kind, &loops[2]);
	for (int i = 0; i < 3 && rc == 0; i++) {
		rc = loop_watch_new(loops[i], all->fd, LOOP_IN, record_and_stop,
				    NULL, &watch);
		watch = loop_watch_free(watch);
		if (rc == 0) {
			loop_timer_init(&t, loops[i], stop_loop, loops[i]);
			rc = loop_timer_set(&t, 0);
			loop_timer_cancel(&t);
		}
	}
	oom_end();
	loop_free(loops[0]);
	loop_free(loops[1]);
	loop_free(loops[2]);
	sim_free(sim);
	return rc;
}

static void test_every_allocation_may_fail(void **state)
{
	struct set_up all = { new_eventfd(0), LOOP_IO_URING };
	struct loop *loop = NULL;
	bool has_uring = loop_new_kind("uring", LOOP_IO_URING, &loop) == 0;

	loop_free(loop);
	all.kind = has_uring ? LOOP_IO_URING : LOOP_EPOLL;
	/* sim, three loops, and for each a watch and a timer; the simulated one
	 * has room for watches besides, and so has that on io_uring; the others
	 * have something to signal with */
	assert_int_equal(oom_check(set_up_all, &all),
			 1 + 3 + 3 * 2 + 1 + has_uring + 2);
	close(all.fd);
}

static const struct CMUnitTest tests[] = {
	ON_ALL(test_timers_run_in_order_of_their_times),
	ON_ALL(test_timer_set_by_its_callback_lets_others_run),
	ON_ALL(test_timer_cancelled_by_another_does_not_run),
	ON_ALL(test_timer_never_due_does_not_overflow),
	ON_ALL(test_many_timers_set_and_cancelled_at_random),
	ON_ALL(test_watch_tells_in_out_and_hup),
	ON_ALL(test_watch_of_a_regular_file_is_eperm),
	ON_ALL(test_watch_freed_by_another_is_not_called),
	ON_ALL(test_watch_muted_by_another_is_not_called),
	ON_ALL(test_edge_watch_fires_at_once_and_once_a_write),
	ON_ALL(test_thousands_of_watches_all_run),
	ON_ALL(test_calls_run_in_order_once_each),
	ON_ALL(test_call_queued_by_itself_lets_others_run),
	ON_ALL(test_stop_runs_what_is_queued),
	ON_ALL(test_call_until_done_at_once_runs_nothing_else),
	ON_ALL(test_call_until_of_a_resting_loop_runs_it),
	ON_ALL(test_call_until_in_a_watch_loses_no_other_edge),
	ON_ALL(test_stop_within_call_until_comes_after_it),
	ON_ALL(test_call_until_within_another_ends_first),
	ON_ALL(test_nothing_is_allocated_once_set_up),
	cmocka_unit_test(test_every_allocation_may_fail),
};

TEST_MAIN("loop")
