/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of loop/ that hold for every back end, and of its threads.
 *
 * Those that take a back end as their state end by themselves: a callback
 * stops the loop once all that is awaited has happened.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib/oom.h"
#include "lib/test.h"
#include "loop/loop_internal.h"

#define MS 1000000ULL

static void write_one(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static int new_eventfd(unsigned int count)
{
	int fd = eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* The state of tests that are run on several back ends. */
struct backend {
	bool is_simulated;
	struct sim_options options;
};

static const struct backend on_epoll = { 0 };
static const struct backend on_sim = {
	.is_simulated = true,
	.options = { .seed = 1 },
};
static const struct backend on_slow_sim = {
	.is_simulated = true,
	.options = { .seed = 2, .delay_permille = 300, .max_delay_ns = MS },
};

/* A loop on the back end under test, and a trace of what ran in it. */
struct env {
	struct sim *sim; /* NULL: epoll */
	struct loop *loop;
	char trace[256];
	size_t len;
	char last; /* the letter that ends the test */
};

static void env_init(struct env *env, void **state)
{
	const struct backend *backend = *state;

	*env = (struct env){ .last = '.' };
	if (backend && backend->is_simulated) {
		assert_int_equal(sim_new(&backend->options, &env->sim), 0);
		assert_int_equal(sim_loop_new(env->sim, "test", &env->loop), 0);
	} else {
		assert_int_equal(loop_new("test", &env->loop), 0);
	}
}

static void env_fini(struct env *env)
{
	env->loop = loop_free(env->loop);
	env->sim = sim_free(env->sim);
}

static void add_letter(struct env *env, char letter)
{
	assert_true(env->len < sizeof(env->trace) - 1);
	env->trace[env->len++] = letter;
	if (letter == env->last) {
		loop_stop(env->loop);
	}
}

struct letter {
	struct env *env;
	char letter;
	struct loop_timer timer;
	struct loop_work work;
	unsigned int n_again;
};

static void run_letter(void *priv)
{
	struct letter *l = priv;

	add_letter(l->env, l->letter);
}

/* Timers */

static void set_letter(struct letter *l, struct env *env, char letter,
		       uint64_t delay_ns)
{
	l->env = env;
	l->letter = letter;
	loop_timer_init(&l->timer, env->loop, run_letter, l);
	assert_false(loop_timer_is_set(&l->timer));
	assert_int_equal(loop_timer_set(&l->timer, delay_ns), 0);
	assert_true(loop_timer_is_set(&l->timer));
}

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

static void stop_loop(void *priv)
{
	loop_stop(priv);
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

struct watched {
	struct env *env;
	struct loop_watch *watch;
	int fd;
	unsigned int events; /* of all callbacks */
	unsigned int n_calls; /* callbacks */
};

static void watch_fd(struct watched *w, struct env *env, int fd,
		     unsigned int events,
		     void (*fn)(void *priv, unsigned int events))
{
	*w = (struct watched){ .env = env, .fd = fd };
	assert_int_equal(
		loop_watch_new(env->loop, fd, events, fn, w, &w->watch), 0);
}

static void record_and_stop(void *priv, unsigned int events)
{
	struct watched *w = priv;

	w->events |= events;
	w->n_calls++;
	loop_stop(w->env->loop);
}

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

/* Threads */

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
	struct rlimit no_core = { 0, 0 };
	struct deadlock deadlock;
	struct loop_work work = { call_worker, &deadlock };
	struct env env;

	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
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
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		run_deadlock(state);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
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

struct usage {
	uint64_t cpu_ns;
	long n_sleeps;
};

static void note_usage(void *priv)
{
	struct usage *usage = priv;
	struct timespec ts;
	struct rusage ru;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
	assert_int_equal(getrusage(RUSAGE_THREAD, &ru), 0);
	usage->cpu_ns = (uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec;
	usage->n_sleeps = ru.ru_nvcsw;
}

/* Waits for 300 ms of real time to go by. */
static void wait_for_a_while(void)
{
	struct itimerspec when = { .it_value.tv_nsec = 300 * MS };
	_cleanup_close_ int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	assert_int_equal(timerfd_settime(fd, 0, &when, NULL), 0);
	assert_int_equal(poll(&pfd, 1, -1), 1);
}

/* Asleep the whole time: used by those that have pollers too. */
static void assert_idle(struct loop *loop)
{
	struct usage before, after;

	loop_call_wait(loop, note_usage, &before);
	wait_for_a_while();
	loop_call_wait(loop, note_usage, &after);
	assert_true(after.cpu_ns - before.cpu_ns < 30 * MS);
	assert_in_range(after.n_sleeps - before.n_sleeps, 0, 3);
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

/* Pollers */

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

static bool queue_has_work(const struct queue *q)
{
	return q->n_done != __atomic_load_n(&q->n_added, __ATOMIC_SEQ_CST);
}

static unsigned int queue_poll(void *priv)
{
	struct queue *q = priv;

	assert_true(loop_is_owner(q->env->loop));
	q->n_polls++;
	__atomic_store_n(&q->wants_kicks, 0, __ATOMIC_RELAXED);
	if (!queue_has_work(q)) {
		return 0;
	}
	q->n_done++;
	if (q->n_done == q->n_until_stop) {
		loop_stop(q->env->loop);
	}
	return 1;
}

static bool queue_arm(void *priv)
{
	struct queue *q = priv;

	q->n_arms++;
	__atomic_add_fetch(&q->n_added, q->n_in_arm, __ATOMIC_RELAXED);
	q->n_in_arm = 0;
	__atomic_store_n(&q->wants_kicks, 1, __ATOMIC_SEQ_CST);
	return queue_has_work(q);
}

static void queue_add(struct queue *q)
{
	__atomic_add_fetch(&q->n_added, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&q->wants_kicks, __ATOMIC_SEQ_CST)) {
		write_one(q->fd);
	}
}

static void queue_kicked(void *priv, unsigned int events)
{
	loop_poller_wake(&((struct queue *)priv)->poller);
}

static void queue_init(struct queue *q, struct env *env, uint32_t max_poll_us)
{
	*q = (struct queue){
		.env = env,
		.poller = { .poll = queue_poll,
			    .arm = queue_arm,
			    .priv = q,
			    .max_poll_us = max_poll_us },
		.fd = new_eventfd(0),
		.wants_kicks = 1,
	};
	loop_poller_add(env->loop, &q->poller);
	assert_int_equal(loop_watch_new(env->loop, q->fd, LOOP_IN | LOOP_EDGE,
					queue_kicked, q, &q->watch),
			 0);
}

static void queue_fini(struct queue *q)
{
	loop_watch_free(q->watch);
	loop_poller_del(&q->poller);
	close(q->fd);
}

static void run_for(struct env *env, uint64_t ns)
{
	struct loop_timer stop;

	loop_timer_init(&stop, env->loop, stop_loop, env->loop);
	assert_int_equal(loop_timer_set(&stop, ns), 0);
	assert_int_equal(loop_run(env->loop), 0);
}

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

static bool busy_arm(void *priv)
{
	fail_msg("a poller that finds work is never armed");
	return false;
}

static void test_busy_poller_leaves_time_for_all_else(void **state)
{
	struct busy busy = { .fd = new_eventfd(1) };
	struct env env;

	env_init(&env, state);
	busy.env = &env;
	busy.poller.poll = busy_poll;
	busy.poller.arm = busy_arm;
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
	uint64_t poll_ns = 0;

	/* work each 20 us: longer, until polling catches it */
	for (int i = 0; i < 4; i++) {
		poll_ns =
			loop_poll_ns_after_sleep(poll_ns, 20000 - poll_ns, max);
	}
	assert_int_equal(poll_ns, 16000);
	poll_ns = loop_poll_ns_after_sleep(poll_ns, 4000, max);
	assert_int_equal(poll_ns, max);
	/* found in time: as it is, or longer when it was close */
	assert_int_equal(loop_poll_ns_after_find(16000, 8000, max), 16000);
	assert_int_equal(loop_poll_ns_after_find(8000, 4001, max), 16000);
	assert_int_equal(loop_poll_ns_after_find(max, max, max), max);
	/* never when the user wants none */
	assert_int_equal(loop_poll_ns_after_sleep(0, 0, 0), 0);
	assert_int_equal(loop_poll_ns_after_find(0, 0, 0), 0);
}

static void test_poll_time_shrinks_to_0_when_it_does_not_pay(void **state)
{
	const uint64_t max = 32000;
	uint64_t poll_ns = max;

	for (int i = 0; i < 5; i++) {
		assert_true(poll_ns > 0);
		poll_ns = loop_poll_ns_after_sleep(poll_ns, max, max);
	}
	assert_int_equal(poll_ns, 0);
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
	assert_true(q.poller.poll_ns >= MS / 20);
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

static int set_up_all(void *priv)
{
	struct sim_options options = { .seed = 1 };
	struct loop_watch *watch = NULL;
	struct loop *loops[2] = { NULL };
	struct sim *sim = NULL;
	struct loop_timer t;
	int rc;

	oom_begin();
	rc = sim_new(&options, &sim);
	rc = rc < 0 ? rc : sim_loop_new(sim, "sim", &loops[0]);
	rc = rc < 0 ? rc : loop_new("epoll", &loops[1]);
	for (int i = 0; i < 2 && rc == 0; i++) {
		rc = loop_watch_new(loops[i], *(int *)priv, LOOP_IN,
				    record_and_stop, NULL, &watch);
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
	sim_free(sim);
	return rc;
}

static void test_every_allocation_may_fail(void **state)
{
	int fd = new_eventfd(0);

	/* sim, two loops, and for each a watch and a timer; the simulated one
	 * has room for watches besides */
	assert_int_equal(oom_check(set_up_all, &fd), 1 + 2 + 2 * 2 + 1);
	close(fd);
}

#define ON(backend, test)                                                    \
	{                                                                    \
#test "[" #backend "]", test, NULL, NULL, (void *)&(backend) \
	}
#define ON_ALL(test) ON(on_epoll, test), ON(on_sim, test), ON(on_slow_sim, test)

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
	ON_ALL(test_poller_sleeps_until_it_is_woken),
	ON_ALL(test_poller_that_finds_work_when_armed_goes_on),
	ON_ALL(test_poller_polls_for_its_time_then_sleeps),
	ON_ALL(test_busy_poller_leaves_time_for_all_else),
	ON_ALL(test_pollers_deleted_by_poll_or_arm_are_not_called),
	ON_ALL(test_nothing_is_allocated_once_set_up),
	ON(on_epoll, test_two_loops_that_wait_for_each_other_abort),
	ON(on_sim, test_two_loops_that_wait_for_each_other_abort),
	cmocka_unit_test(test_edge_watch_fires_after_the_last_write),
	cmocka_unit_test(test_calls_of_many_threads_keep_each_ones_order),
	cmocka_unit_test(test_call_wait_runs_in_the_owner),
	cmocka_unit_test(test_call_wait_of_the_owner_runs_at_once),
	cmocka_unit_test(test_stop_before_run_ends_the_run_at_once),
	cmocka_unit_test(test_run_is_stopped_by_another_thread),
	cmocka_unit_test(test_idle_loop_sleeps),
	cmocka_unit_test(test_no_kick_is_lost_while_a_poller_goes_to_sleep),
	cmocka_unit_test(test_poll_time_grows_when_it_pays),
	cmocka_unit_test(test_poll_time_shrinks_to_0_when_it_does_not_pay),
	cmocka_unit_test(test_poller_learns_to_catch_steady_work),
	cmocka_unit_test(test_idle_poller_costs_nothing_after_work),
	cmocka_unit_test(test_every_allocation_may_fail),
};

TEST_MAIN("loop")
