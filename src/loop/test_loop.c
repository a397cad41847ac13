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
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
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

/* A loop on the back end under test, and a trace of what ran in it. */
struct env {
	struct loop *loop;
	char trace[256];
	size_t len;
	char last; /* the letter that ends the test */
};

static void env_init(struct env *env, void **state)
{
	*env = (struct env){ .last = '.' };
	assert_int_equal(loop_new("test", &env->loop), 0);
}

static void env_fini(struct env *env)
{
	env->loop = loop_free(env->loop);
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

#define FOR_EACH_BACKEND(test) cmocka_unit_test(test)

static const struct CMUnitTest tests[] = {
	FOR_EACH_BACKEND(test_timers_run_in_order_of_their_times),
	FOR_EACH_BACKEND(test_timer_set_by_its_callback_lets_others_run),
	FOR_EACH_BACKEND(test_timer_cancelled_by_another_does_not_run),
	FOR_EACH_BACKEND(test_timer_never_due_does_not_overflow),
	FOR_EACH_BACKEND(test_many_timers_set_and_cancelled_at_random),
	FOR_EACH_BACKEND(test_watch_tells_in_out_and_hup),
	FOR_EACH_BACKEND(test_watch_of_a_regular_file_is_eperm),
	FOR_EACH_BACKEND(test_watch_freed_by_another_is_not_called),
	FOR_EACH_BACKEND(test_watch_muted_by_another_is_not_called),
	FOR_EACH_BACKEND(test_edge_watch_fires_at_once_and_once_a_write),
	FOR_EACH_BACKEND(test_thousands_of_watches_all_run),
	FOR_EACH_BACKEND(test_calls_run_in_order_once_each),
	FOR_EACH_BACKEND(test_call_queued_by_itself_lets_others_run),
	FOR_EACH_BACKEND(test_stop_runs_what_is_queued),
	cmocka_unit_test(test_edge_watch_fires_after_the_last_write),
	cmocka_unit_test(test_calls_of_many_threads_keep_each_ones_order),
	cmocka_unit_test(test_call_wait_runs_in_the_owner),
	cmocka_unit_test(test_call_wait_of_the_owner_runs_at_once),
	cmocka_unit_test(test_stop_before_run_ends_the_run_at_once),
	cmocka_unit_test(test_run_is_stopped_by_another_thread),
	cmocka_unit_test(test_idle_loop_sleeps),
};

TEST_MAIN("loop")
