/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the simulated loops: order, time, delays, and replaying them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/test_loop_rig.h"

#define N_LOOPS 3

static struct sim *new_sim(const struct sim_options *options)
{
	struct sim *sim;

	assert_int_equal(sim_new(options, &sim), 0);
	return sim;
}

static struct loop *new_loop(struct sim *sim)
{
	struct loop *loop;

	assert_int_equal(sim_loop_new(sim, "test", &loop), 0);
	return loop;
}

/* A trace of marks, for when only the order matters. */
struct trace {
	char text[64];
	size_t len;
};

struct mark {
	struct trace *trace;
	struct loop *loop;
	struct loop_work work;
	struct loop_timer timer;
	struct loop_watch *watch;
	int fd;
	char letter;
	uint64_t ran_ns;
};

static void run_mark(void *priv)
{
	struct mark *l = priv;

	assert_true(l->trace->len < sizeof(l->trace->text) - 1);
	l->trace->text[l->trace->len++] = l->letter;
	l->ran_ns = loop_now_ns(l->loop);
}

static void mark_init(struct mark *l, struct trace *trace, struct loop *loop,
		      char letter)
{
	*l = (struct mark){ .trace = trace, .loop = loop, .letter = letter };
	l->work = (struct loop_work){ run_mark, l };
	loop_timer_init(&l->timer, loop, run_mark, l);
}

/*
 * A little system: three loops in a ring. Each has a socket to its right
 * neighbour, an eventfd that its left one kicks, a timer and a call. Messages
 * carry how many hops are left; what happens is recorded.
 */
struct ring_event {
	uint64_t time_ns;
	uint8_t loop_idx;
	char what;
	uint8_t value;
};

struct ring_trace {
	struct ring_event events[2000];
	size_t n;
};

struct station {
	struct ring *ring;
	unsigned int idx;
	struct loop *loop;
	int to_right, from_left;
	int kick_fd;
	struct loop_watch *socket_watch, *kick_watch;
	struct loop_timer timer;
	struct loop_work work;
	unsigned int n_timers_left;
};

struct ring {
	struct sim *sim;
	struct station stations[N_LOOPS];
	struct ring_trace *trace;
};

static void record(struct station *s, char what, uint8_t value)
{
	struct ring_trace *trace = s->ring->trace;

	assert_true(loop_is_owner(s->loop));
	assert_true(trace->n < ARRAY_SIZE(trace->events));
	trace->events[trace->n++] = (struct ring_event){
		.time_ns = loop_now_ns(s->loop),
		.loop_idx = (uint8_t)s->idx,
		.what = what,
		.value = value,
	};
}

static struct station *right_of(struct station *s)
{
	return &s->ring->stations[(s->idx + 1) % N_LOOPS];
}

static void send_right(struct station *s, uint8_t n_hops)
{
	if (loop_should_fail(s->loop)) {
		record(s, 'f', n_hops);
		return;
	}
	assert_int_equal(write(s->to_right, &n_hops, 1), 1);
}

static void station_asked(void *priv)
{
	record(priv, 'a', 0);
}

static void station_received(void *priv, unsigned int events)
{
	struct station *s = priv;
	uint8_t n_hops;

	if (read(s->from_left, &n_hops, 1) != 1) {
		record(s, 'e', 0);
		return;
	}
	record(s, 'r', n_hops);
	if (n_hops == 0) {
		return;
	}
	send_right(s, n_hops - 1);
	if (n_hops % 3 == 0) {
		write_one(right_of(s)->kick_fd);
	}
	if (s->idx == 0 && n_hops % 4 == 0) {
		loop_call_wait(right_of(s)->loop, station_asked, right_of(s));
	}
	loop_call(right_of(s)->loop, &right_of(s)->work);
}

static void station_kicked(void *priv, unsigned int events)
{
	record(priv, 'k', (uint8_t)events);
}

static void station_called(void *priv)
{
	record(priv, 'c', 0);
}

static void station_timed(void *priv)
{
	struct station *s = priv;

	record(s, 't', (uint8_t)s->n_timers_left);
	send_right(s, (uint8_t)(sim_random(s->ring->sim) % 8));
	if (--s->n_timers_left > 0) {
		assert_int_equal(loop_timer_set(&s->timer, MS / 10), 0);
	}
}

static void station_init(struct station *s)
{
	s->loop = new_loop(s->ring->sim);
	s->kick_fd = new_eventfd(0);
	assert_int_equal(loop_watch_new(s->loop, s->from_left, LOOP_IN,
					station_received, s, &s->socket_watch),
			 0);
	assert_int_equal(loop_watch_new(s->loop, s->kick_fd,
					LOOP_IN | LOOP_EDGE, station_kicked, s,
					&s->kick_watch),
			 0);
	s->work = (struct loop_work){ station_called, s };
	s->n_timers_left = 4;
	loop_timer_init(&s->timer, s->loop, station_timed, s);
	assert_int_equal(loop_timer_set(&s->timer, MS), 0);
}

static void station_fini(struct station *s)
{
	assert_int_equal(s->n_timers_left, 0);
	loop_watch_free(s->socket_watch);
	loop_watch_free(s->kick_watch);
	close(s->to_right);
	close(s->from_left);
	close(s->kick_fd);
	loop_free(s->loop);
}

static void run_ring(const struct sim_options *options,
		     struct ring_trace *trace)
{
	struct ring ring = { .sim = new_sim(options), .trace = trace };

	memset(trace, 0, sizeof(*trace));
	for (unsigned int i = 0; i < N_LOOPS; i++) {
		int socks[2];

		assert_int_equal(socketpair(AF_UNIX,
					    SOCK_STREAM | SOCK_NONBLOCK, 0,
					    socks),
				 0);
		ring.stations[i].ring = &ring;
		ring.stations[i].idx = i;
		ring.stations[i].to_right = socks[0];
		right_of(&ring.stations[i])->from_left = socks[1];
	}
	for (unsigned int i = 0; i < N_LOOPS; i++) {
		station_init(&ring.stations[i]);
	}
	assert_int_equal(sim_run(ring.sim, 1000 * MS, NULL, NULL), 0);
	for (unsigned int i = 0; i < N_LOOPS; i++) {
		station_fini(&ring.stations[i]);
	}
	sim_free(ring.sim);
}

static uint64_t hash_of(const struct ring_trace *trace)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < trace->n; i++) {
		hash = (hash ^ trace->events[i].loop_idx) * 0x100000001b3;
		hash = (hash ^ (uint8_t)trace->events[i].what) * 0x100000001b3;
		hash = (hash ^ trace->events[i].value) * 0x100000001b3;
	}
	return hash;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

#define N_SEEDS 1000

static void check_replay(const struct sim_options *base, unsigned int n_differ)
{
	static struct ring_trace first, second;
	uint64_t hashes[N_SEEDS];
	unsigned int n = 1;

	for (unsigned int i = 0; i < N_SEEDS; i++) {
		struct sim_options options = *base;

		options.seed = i;
		run_ring(&options, &first);
		run_ring(&options, &second);
		assert_true(first.n >= 4 * N_LOOPS);
		assert_int_equal(first.n, second.n);
		assert_memory_equal(&first, &second, sizeof(first));
		hashes[i] = hash_of(&first);
	}
	qsort(hashes, N_SEEDS, sizeof(hashes[0]), compare_u64);
	for (unsigned int i = 1; i < N_SEEDS; i++) {
		n += hashes[i] != hashes[i - 1];
	}
	assert_true(n >= n_differ);
}

static void test_sim_same_seed_same_order(void **state)
{
	static const struct sim_options options = { 0 };

	check_replay(&options, N_SEEDS * 9 / 10);
}

static void test_sim_same_seed_same_order_delays_and_errors(void **state)
{
	static const struct sim_options options = {
		.delay_permille = 200,
		.max_delay_ns = MS / 5,
		.fail_permille = 50,
	};

	check_replay(&options, N_SEEDS * 9 / 10);
}

static void read_mark(void *priv, unsigned int events)
{
	struct mark *l = priv;
	uint64_t count;

	run_mark(l);
	assert_int_equal(read(l->fd, &count, sizeof(count)), sizeof(count));
}

/* Six eventfds that become ready in the order given. */
static void run_eventfds(uint64_t seed, const char *order, struct trace *trace)
{
	struct sim_options options = { .seed = seed };
	struct sim *sim = new_sim(&options);
	struct loop *loop = new_loop(sim);
	struct mark marks[6];

	*trace = (struct trace){ 0 };
	for (int i = 0; i < 6; i++) {
		mark_init(&marks[i], trace, loop, (char)('a' + i));
		marks[i].fd = new_eventfd(0);
		assert_int_equal(
			loop_watch_new(loop, marks[i].fd,
				       LOOP_IN | (i & 1 ? LOOP_EDGE : 0),
				       read_mark, &marks[i], &marks[i].watch),
			0);
	}
	for (const char *c = order; *c; c++) {
		write_one(marks[*c - 'a'].fd);
	}
	assert_int_equal(sim_run(sim, MS, NULL, NULL), 0);
	assert_int_equal(trace->len, 6);
	for (int i = 0; i < 6; i++) {
		loop_watch_free(marks[i].watch);
		close(marks[i].fd);
	}
	loop_free(loop);
	sim_free(sim);
}

static void test_sim_order_is_not_the_kernels(void **state)
{
	struct trace first, second, third;
	unsigned int n_differ = 0;
	int fd;

	for (uint64_t seed = 0; seed < 100; seed++) {
		run_eventfds(seed, "abcdef", &first);
		fd = new_eventfd(0); /* other descriptors get other numbers */
		run_eventfds(seed, "fedcba", &second);
		close(fd);
		assert_string_equal(first.text, second.text);
		run_eventfds(seed + 1, "abcdef", &third);
		n_differ += strcmp(first.text, third.text) != 0;
	}
	assert_true(n_differ > 90);
}

static void test_sim_level_watch_is_not_run_when_no_longer_ready(void **state)
{
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct sim_options options = { .seed = seed };
		struct sim *sim = new_sim(&options);
		struct loop *loop = new_loop(sim);
		struct trace trace = { 0 };
		struct mark marks[2];
		int fds[2];

		/* two watches of one eventfd: whoever is first reads it */
		fds[0] = new_eventfd(1);
		fds[1] = dup(fds[0]);
		for (int i = 0; i < 2; i++) {
			mark_init(&marks[i], &trace, loop, (char)('a' + i));
			marks[i].fd = fds[i];
			assert_int_equal(loop_watch_new(loop, fds[i], LOOP_IN,
							read_mark, &marks[i],
							&marks[i].watch),
					 0);
		}
		assert_int_equal(sim_run(sim, MS, NULL, NULL), 0);
		assert_int_equal(trace.len, 1);
		for (int i = 0; i < 2; i++) {
			loop_watch_free(marks[i].watch);
			close(fds[i]);
		}
		loop_free(loop);
		sim_free(sim);
	}
}

/* Time */

static void test_sim_time_jumps_to_the_timers(void **state)
{
	static const struct sim_options options = { .seed = 1 };
	const uint64_t hour_ns = 3600 * 1000 * MS;
	struct sim *sim = new_sim(&options);
	struct loop *loop = new_loop(sim);
	struct trace trace = { 0 };
	struct mark marks[3];
	uint64_t start_ns = loop_now_ns(loop);

	for (unsigned int i = 0; i < 3; i++) {
		mark_init(&marks[i], &trace, loop, (char)('a' + i));
		assert_int_equal(
			loop_timer_set(&marks[i].timer, (3 - i) * hour_ns), 0);
	}
	assert_int_equal(sim_run(sim, UINT64_MAX, NULL, NULL), 0);
	assert_string_equal(trace.text, "cba");
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(marks[i].ran_ns - start_ns, (3 - i) * hour_ns);
	}
	loop_free(loop);
	sim_free(sim);
}

static bool never(void *priv)
{
	return false;
}

static bool has_mark(void *priv)
{
	return ((struct trace *)priv)->len > 0;
}

static void test_sim_run_says_why_it_ended(void **state)
{
	static const struct sim_options options = { .seed = 1 };
	struct sim *sim = new_sim(&options);
	struct loop *loop = new_loop(sim);
	struct trace trace = { 0 };
	struct mark l;
	uint64_t start_ns = loop_now_ns(loop);

	mark_init(&l, &trace, loop, 'a');
	assert_int_equal(sim_run(sim, MS, NULL, NULL), 0);
	assert_int_equal(loop_now_ns(loop), start_ns); /* nothing to wait for */
	assert_int_equal(sim_run(sim, MS, never, NULL), -EDEADLK);
	assert_int_equal(loop_run(loop), -EDEADLK);

	assert_int_equal(loop_timer_set(&l.timer, 10 * MS), 0);
	assert_int_equal(sim_run(sim, MS, never, NULL), -ETIMEDOUT);
	assert_int_equal(loop_now_ns(loop), start_ns + MS);
	assert_int_equal(sim_run(sim, MS, NULL, NULL), 0);
	assert_int_equal(loop_now_ns(loop), start_ns + 2 * MS);
	assert_int_equal(trace.len, 0);
	assert_int_equal(sim_run(sim, UINT64_MAX, has_mark, &trace), 0);
	assert_int_equal(trace.len, 1);
	assert_int_equal(sim_run(sim, 0, has_mark, &trace), 0);
	loop_free(loop);
	sim_free(sim);
}

static void call_each_other(void *priv)
{
	struct mark *l = priv, *other = l->letter == 'a' ? l + 1 : l - 1;

	l->ran_ns = loop_now_ns(l->loop);
	loop_call(other->loop, &other->work);
}

static void test_sim_run_ends_though_something_is_always_ready(void **state)
{
	static const struct sim_options options = { .seed = 1 };
	struct sim *sim = new_sim(&options);
	struct trace trace = { 0 };
	struct mark marks[2];

	for (unsigned int i = 0; i < 2; i++) {
		mark_init(&marks[i], &trace, new_loop(sim), (char)('a' + i));
		marks[i].work.fn = call_each_other;
	}
	loop_call(marks[0].loop, &marks[0].work);
	assert_int_equal(sim_run(sim, MS, NULL, NULL), 0);
	assert_true(marks[1].ran_ns > 0);
	for (unsigned int i = 0; i < 2; i++) {
		loop_free(marks[i].loop);
	}
	sim_free(sim);
}

static void test_sim_delays_come_once_and_keep_orders(void **state)
{
	static const struct sim_options options = {
		.seed = 5,
		.delay_permille = 1000,
		.max_delay_ns = MS,
	};
	struct sim *sim = new_sim(&options);
	struct loop *loop = new_loop(sim);
	struct trace calls = { 0 }, timers = { 0 };
	uint64_t start_ns = loop_now_ns(loop);
	struct mark marks[20];

	for (unsigned int i = 0; i < 20; i++) {
		mark_init(&marks[i], i < 10 ? &calls : &timers, loop,
			  (char)('a' + i % 10));
		if (i < 10) {
			loop_call(loop, &marks[i].work);
		} else {
			assert_int_equal(
				loop_timer_set(&marks[i].timer, i * 10), 0);
		}
	}
	assert_int_equal(sim_run(sim, 100 * MS, NULL, NULL), 0);
	assert_string_equal(calls.text, "abcdefghij");
	assert_string_equal(timers.text, "abcdefghij");
	for (unsigned int i = 1; i < 20; i++) {
		uint64_t since_ns = i == 10 ? start_ns : marks[i - 1].ran_ns;

		assert_true(marks[i].ran_ns > since_ns);
		/* the other ten may run in between, 100 ns each */
		assert_true(marks[i].ran_ns - since_ns <= MS + 2000);
	}
	loop_free(loop);
	sim_free(sim);
}

static unsigned int poll_mark(void *priv)
{
	struct mark *l = priv;

	if (l->trace->len == 3) {
		return 0;
	}
	run_mark(l);
	return 1;
}

static bool arm_mark(void *priv)
{
	return false;
}

static void wake_poller(void *priv, unsigned int events)
{
	loop_poller_wake(priv);
}

static void test_sim_watch_and_poller_are_put_off_too(void **state)
{
	unsigned int n_late = 0;

	for (uint64_t seed = 0; seed < 20; seed++) {
		struct sim_options options = { seed, 1000, MS, 0 };
		struct sim *sim = new_sim(&options);
		struct loop *loop = new_loop(sim);
		struct trace trace = { 0 };
		struct mark l;
		struct loop_poller poller = {
			.poll = poll_mark,
			.arm = arm_mark,
			.priv = &l,
			.max_poll_us = seed % 2 * 10,
		};
		uint64_t start_ns = loop_now_ns(loop);
		int fd = new_eventfd(1);

		mark_init(&l, &trace, loop, 'p');
		loop_poller_add(loop, &poller);
		assert_int_equal(loop_watch_new(loop, fd, LOOP_IN | LOOP_EDGE,
						wake_poller, &poller, &l.watch),
				 0);
		assert_int_equal(sim_run(sim, 1000 * MS, NULL, NULL), 0);
		assert_string_equal(trace.text, "ppp");
		assert_false(poller.is_active);
		/* the watch and three polls */
		assert_true(l.ran_ns - start_ns <= 4 * (MS + 100));
		n_late += l.ran_ns - start_ns > MS;
		loop_poller_del(&poller);
		loop_watch_free(l.watch);
		close(fd);
		loop_free(loop);
		sim_free(sim);
	}
	assert_true(n_late > 10);
}

/* Calls */

static void test_sim_call_wait_comes_after_what_is_queued(void **state)
{
	unsigned int n_timer_first = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct sim_options options = { .seed = seed };
		struct sim *sim = new_sim(&options);
		struct loop *loop = new_loop(sim), *other = new_loop(sim);
		struct trace trace = { 0 };
		struct mark call, timer, waited, foreign;

		mark_init(&call, &trace, loop, 'c');
		mark_init(&timer, &trace, loop, 't');
		mark_init(&waited, &trace, loop, 'w');
		mark_init(&foreign, &trace, other, 'x');
		loop_call(other, &foreign.work);
		loop_call(loop, &call.work);
		assert_int_equal(loop_timer_set(&timer.timer, 0), 0);
		loop_call_wait(loop, run_mark, &waited);
		/* the other loop has not run, this one until the call */
		assert_null(strchr(trace.text, 'x'));
		assert_int_equal(trace.text[trace.len - 1], 'w');
		assert_true(strchr(trace.text, 'c') != NULL);
		n_timer_first += strchr(trace.text, 't') != NULL;
		assert_int_equal(sim_run(sim, MS, NULL, NULL), 0);
		assert_int_equal(trace.len, 4);
		loop_free(loop);
		loop_free(other);
		sim_free(sim);
	}
	assert_in_range(n_timer_first, 10, 99);
}

struct ending {
	struct mark mark;
	struct loop_done *done;
};

static void run_ending(void *priv)
{
	struct ending *ending = priv;

	run_mark(&ending->mark);
	loop_done(ending->done);
}

static void begin_ending(void *priv, struct loop_done *done)
{
	struct ending *ending = priv;

	ending->done = done;
	ending->mark.timer.fn = run_ending;
	ending->mark.timer.priv = ending;
	assert_int_equal(loop_timer_set(&ending->mark.timer, MS), 0);
}

static void test_sim_call_until_runs_that_loop_even_stopped(void **state)
{
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct sim_options options = { seed, 300, MS, 0 };
		struct sim *sim = new_sim(&options);
		struct loop *loop = new_loop(sim), *other = new_loop(sim);
		struct trace trace = { 0 };
		struct ending ending;
		struct mark foreign;

		mark_init(&ending.mark, &trace, loop, 'e');
		mark_init(&foreign, &trace, other, 'x');
		loop_call(other, &foreign.work);
		if (seed & 1) {
			loop_stop(loop);
		}
		loop_call_until(loop, begin_ending, &ending);
		assert_string_equal(trace.text, "e");
		assert_int_equal(sim_run(sim, 10 * MS, NULL, NULL), 0);
		assert_string_equal(trace.text, "ex");
		loop_free(loop);
		loop_free(other);
		sim_free(sim);
	}
}

struct owners {
	struct loop *outer, *inner;
	unsigned int n_run;
};

static void check_inner_owner(void *priv)
{
	struct owners *owners = priv;

	assert_true(loop_is_owner(owners->inner));
	assert_false(loop_is_owner(owners->outer));
	owners->n_run++;
}

static void check_outer_owner(void *priv)
{
	struct owners *owners = priv;

	assert_true(loop_is_owner(owners->outer));
	assert_false(loop_is_owner(owners->inner));
	loop_call_wait(owners->inner, check_inner_owner, owners);
	assert_int_equal(owners->n_run, 1);
	assert_true(loop_is_owner(owners->outer));
	assert_false(loop_is_owner(owners->inner));
	owners->n_run++;
}

static void test_sim_owner_is_the_loop_that_runs(void **state)
{
	static const struct sim_options options = { 1, 500, MS, 0 };
	struct sim *sim = new_sim(&options);
	struct owners owners = { new_loop(sim), new_loop(sim), 0 };
	struct loop_work work = { check_outer_owner, &owners };

	assert_true(loop_is_owner(owners.outer));
	assert_true(loop_is_owner(owners.inner));
	loop_call(owners.outer, &work);
	assert_int_equal(sim_run(sim, 10 * MS, NULL, NULL), 0);
	assert_int_equal(owners.n_run, 2);
	assert_true(loop_is_owner(owners.outer));
	assert_true(loop_is_owner(owners.inner));
	loop_free(owners.outer);
	loop_free(owners.inner);
	sim_free(sim);
}

static void stop_and_note(void *priv)
{
	struct mark *l = priv;

	loop_stop(l->loop);
	run_mark(l);
}

static void test_sim_stopped_loop_runs_its_calls_and_no_more(void **state)
{
	static const struct sim_options options = { .seed = 3 };
	struct sim *sim = new_sim(&options);
	struct loop *loop = new_loop(sim);
	struct trace trace = { 0 };
	struct mark stop, call, timer, later;

	mark_init(&stop, &trace, loop, 's');
	mark_init(&call, &trace, loop, 'c');
	mark_init(&timer, &trace, loop, 't');
	mark_init(&later, &trace, loop, 'l');
	stop.work.fn = stop_and_note;
	loop_call(loop, &stop.work);
	loop_call(loop, &call.work);
	assert_int_equal(loop_timer_set(&timer.timer, MS), 0);
	assert_int_equal(sim_run(sim, 10 * MS, NULL, NULL), 0);
	assert_string_equal(trace.text, "sc");
	/* nobody runs it: so the caller does */
	loop_call_wait(loop, run_mark, &later);
	assert_string_equal(trace.text, "scl");
	assert_int_equal(loop_start(loop), 0);
	assert_int_equal(sim_run(sim, 10 * MS, NULL, NULL), 0);
	assert_string_equal(trace.text, "sclt");
	loop_call(loop, &call.work);
	loop_stop(loop);
	assert_string_equal(trace.text, "scltc");
	loop_free(loop);
	sim_free(sim);
}

static void test_sim_fails_as_often_as_asked(void **state)
{
	static const unsigned int permilles[] = { 0, 100, 1000 };

	for (unsigned int i = 0; i < ARRAY_SIZE(permilles); i++) {
		struct sim_options options = { .seed = 1,
					       .fail_permille = permilles[i] };
		struct sim *sim = new_sim(&options);
		struct loop *loop = new_loop(sim);
		unsigned int n = 0;

		for (unsigned int j = 0; j < 10000; j++) {
			n += loop_should_fail(loop);
		}
		assert_in_range(n, permilles[i] * 9, permilles[i] * 11);
		loop_free(loop);
		sim_free(sim);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_sim_same_seed_same_order),
	cmocka_unit_test(test_sim_same_seed_same_order_delays_and_errors),
	cmocka_unit_test(test_sim_order_is_not_the_kernels),
	cmocka_unit_test(test_sim_level_watch_is_not_run_when_no_longer_ready),
	cmocka_unit_test(test_sim_time_jumps_to_the_timers),
	cmocka_unit_test(test_sim_run_says_why_it_ended),
	cmocka_unit_test(test_sim_run_ends_though_something_is_always_ready),
	cmocka_unit_test(test_sim_delays_come_once_and_keep_orders),
	cmocka_unit_test(test_sim_watch_and_poller_are_put_off_too),
	cmocka_unit_test(test_sim_call_wait_comes_after_what_is_queued),
	cmocka_unit_test(test_sim_call_until_runs_that_loop_even_stopped),
	cmocka_unit_test(test_sim_owner_is_the_loop_that_runs),
	cmocka_unit_test(test_sim_stopped_loop_runs_its_calls_and_no_more),
	cmocka_unit_test(test_sim_fails_as_often_as_asked),
};

TEST_MAIN("loop_sim")
