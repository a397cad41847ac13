/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of loop/ share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "loop/test_loop_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

const struct backend on_epoll = { .kind = LOOP_EPOLL };
const struct backend on_uring = { .kind = LOOP_IO_URING };
const struct backend on_sim = {
	.is_simulated = true,
	.options = { .seed = 1 },
};
const struct backend on_slow_sim = {
	.is_simulated = true,
	.options = { .seed = 2, .delay_permille = 300, .max_delay_ns = MS },
};

void write_one(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

int new_eventfd(unsigned int count)
{
	int fd = eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

void env_init(struct env *env, void **state)
{
	const struct backend *backend = *state;
	enum loop_kind kind = backend ? backend->kind : LOOP_AUTO;
	int rc;

	*env = (struct env){ .last = '.' };
	if (backend && backend->is_simulated) {
		assert_int_equal(sim_new(&backend->options, &env->sim), 0);
		assert_int_equal(sim_loop_new(env->sim, "test", &env->loop), 0);
		return;
	}
	rc = loop_new_kind("test", kind, &env->loop);
	if (rc < 0 && kind == LOOP_IO_URING) {
		print_message("# epoll instead: %s\n", err_text(rc));
		rc = loop_new("test", &env->loop);
	}
	assert_int_equal(rc, 0);
}

void env_fini(struct env *env)
{
	env->loop = loop_free(env->loop);
	env->sim = sim_free(env->sim);
}

void add_letter(struct env *env, char letter)
{
	assert_true(env->len < sizeof(env->trace) - 1);
	env->trace[env->len++] = letter;
	if (letter == env->last) {
		loop_stop(env->loop);
	}
}

void stop_loop(void *priv)
{
	loop_stop(priv);
}

void run_for(struct env *env, uint64_t ns)
{
	struct loop_timer stop;

	loop_timer_init(&stop, env->loop, stop_loop, env->loop);
	assert_int_equal(loop_timer_set(&stop, ns), 0);
	assert_int_equal(loop_run(env->loop), 0);
}

void run_letter(void *priv)
{
	struct letter *l = priv;

	add_letter(l->env, l->letter);
}

void set_letter(struct letter *l, struct env *env, char letter,
		uint64_t delay_ns)
{
	l->env = env;
	l->letter = letter;
	loop_timer_init(&l->timer, env->loop, run_letter, l);
	assert_false(loop_timer_is_set(&l->timer));
	assert_int_equal(loop_timer_set(&l->timer, delay_ns), 0);
	assert_true(loop_timer_is_set(&l->timer));
}

void watch_fd(struct watched *w, struct env *env, int fd, unsigned int events,
	      void (*fn)(void *priv, unsigned int events))
{
	*w = (struct watched){ .env = env, .fd = fd };
	assert_int_equal(
		loop_watch_new(env->loop, fd, events, fn, w, &w->watch), 0);
}

void record_and_stop(void *priv, unsigned int events)
{
	struct watched *w = priv;

	w->events |= events;
	w->n_calls++;
	loop_stop(w->env->loop);
}

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

void queue_add(struct queue *q)
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

void queue_init(struct queue *q, struct env *env, uint32_t max_poll_us)
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

void queue_fini(struct queue *q)
{
	loop_watch_free(q->watch);
	loop_poller_del(&q->poller);
	close(q->fd);
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

void wait_for_a_while(void)
{
	struct itimerspec when = { .it_value.tv_nsec = 300 * MS };
	_cleanup_close_ int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	assert_int_equal(timerfd_settime(fd, 0, &when, NULL), 0);
	assert_int_equal(poll(&pfd, 1, -1), 1);
}

void assert_idle(struct loop *loop)
{
	struct usage before, after;

	loop_call_wait(loop, note_usage, &before);
	wait_for_a_while();
	loop_call_wait(loop, note_usage, &after);
	assert_true(after.cpu_ns - before.cpu_ns < 30 * MS);
	assert_in_range(after.n_sleeps - before.n_sleeps, 0, 3);
}

void be_quiet_about_dying(void)
{
	struct rlimit no_core = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
}

void assert_aborts(void (*run)(void **state), void **state)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		run(state);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}
