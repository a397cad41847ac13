/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what a ring could get wrong: descriptors that it holds, completions
 * that come late, threads that come and go, kernels that forbid it.
 *
 * All but the last ones hold for epoll too, and are run on both.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "loop/loop_internal.h"
#include "loop/test_loop_rig.h"

static void count(void *priv, unsigned int events)
{
	struct watched *w = priv;

	(void)__atomic_add_fetch(&w->n_calls, 1, __ATOMIC_RELAXED);
	w->events |= events;
}

static void do_nothing(void *priv)
{
}

static void new_sockets(int socks[2])
{
	assert_int_equal(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				    0, socks),
			 0);
}

/* Descriptors */

static void test_socket_is_closed_once_its_watch_is_freed(void **state)
{
	static const unsigned int events[] = { LOOP_IN, LOOP_IN | LOOP_EDGE };
	struct watched w;
	struct env env;
	int socks[2];
	char byte;

	env_init(&env, state);
	for (unsigned int i = 0; i < 100; i++) {
		new_sockets(socks);
		watch_fd(&w, &env, socks[0], events[i & 1], count);
		if (i & 2) {
			run_for(&env, 1000);
		}
		loop_watch_free(w.watch);
		close(socks[0]);
		/* not -EAGAIN: nobody holds the other end */
		assert_int_equal(read(socks[1], &byte, 1), 0);
		close(socks[1]);
	}
	env_fini(&env);
}

static void test_socket_is_closed_once_its_started_loop_ends(void **state)
{
	struct watched w;
	struct env env;
	int socks[2];
	char byte;

	for (unsigned int i = 0; i < 20; i++) {
		env_init(&env, state);
		new_sockets(socks);
		watch_fd(&w, &env, socks[0], LOOP_IN, count);
		assert_int_equal(loop_start(env.loop), 0);
		loop_call_wait(env.loop, do_nothing, NULL);
		loop_stop(env.loop);
		loop_watch_free(w.watch);
		close(socks[0]);
		assert_int_equal(read(socks[1], &byte, 1), 0);
		close(socks[1]);
		env_fini(&env);
	}
}

static void test_file_lock_is_gone_once_its_file_is_freed(void **state)
{
	char path[] = "/tmp/test-loop-XXXXXX";
	struct loop_file *file;
	struct env env;
	int fd, other;

	env_init(&env, state);
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	other = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(unlink(path), 0);
	assert_true(other >= 0);
	run_for(&env, 1000);
	for (int i = 0; i < 20; i++) {
		int again = dup(fd);

		assert_int_equal(loop_file_new(env.loop, again, &file), 0);
		run_for(&env, 1000);
		loop_file_free(file);
		close(again);
	}
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
	close(other);
	env_fini(&env);
}

/* A socket whose peer will send no more tells so to whoever polls it. */
static void test_half_closed_socket_lets_the_loop_sleep(void **state)
{
	char bytes[4096] = { 0 };
	struct watched w;
	struct env env;
	int socks[2];

	env_init(&env, state);
	new_sockets(socks);
	while (write(socks[0], bytes, sizeof(bytes)) > 0) {
	}
	assert_int_equal(shutdown(socks[1], SHUT_WR), 0);
	watch_fd(&w, &env, socks[0], LOOP_OUT, record_and_stop);
	assert_int_equal(loop_start(env.loop), 0);
	assert_idle(env.loop);
	loop_stop(env.loop);
	assert_int_equal(w.n_calls, 0);
	/* and what was asked for is told when it comes, again and again */
	for (unsigned int i = 1; i < 4; i++) {
		while (read(socks[1], bytes, sizeof(bytes)) > 0) {
		}
		assert_int_equal(loop_run(env.loop), 0);
		assert_int_equal(w.events, LOOP_OUT);
		assert_int_equal(w.n_calls, i);
		while (write(socks[0], bytes, sizeof(bytes)) > 0) {
		}
	}
	loop_watch_free(w.watch);
	close(socks[0]);
	close(socks[1]);
	env_fini(&env);
}

static void test_half_closed_socket_is_told_while_it_runs(void **state)
{
	char bytes[4096] = { 0 };
	struct watched w;
	struct env env;
	int socks[2];

	env_init(&env, state);
	new_sockets(socks);
	while (write(socks[0], bytes, sizeof(bytes)) > 0) {
	}
	assert_int_equal(shutdown(socks[1], SHUT_WR), 0);
	watch_fd(&w, &env, socks[0], LOOP_OUT, count);
	run_for(&env, MS);
	assert_int_equal(w.n_calls, 0);
	while (read(socks[1], bytes, sizeof(bytes)) > 0) {
	}
	run_for(&env, MS);
	assert_true(w.n_calls > 1); /* level: as long as it is so */
	assert_int_equal(w.events, LOOP_OUT);
	loop_watch_free(w.watch);
	close(socks[0]);
	close(socks[1]);
	env_fini(&env);
}

/* Completions */

struct nagger {
	pthread_t thread;
	int fd;
	uint32_t must_stop; /* atomic */
};

static void *nag(void *arg)
{
	struct nagger *nagger = arg;

	while (!__atomic_load_n(&nagger->must_stop, __ATOMIC_RELAXED)) {
		write_one(nagger->fd);
	}
	return NULL;
}

/* While another thread kicks: each request may be telling just then. */
static void test_watches_come_and_go_while_they_are_told(void **state)
{
	static const unsigned int events[] = { LOOP_IN, LOOP_IN | LOOP_EDGE };
	struct nagger nagger = { .fd = new_eventfd(0) };
	struct watched w, gone;
	struct env env;

	env_init(&env, state);
	gone.fd = dup(nagger.fd);
	assert_int_equal(pthread_create(&nagger.thread, NULL, nag, &nagger), 0);
	for (unsigned int i = 0; i < 1000; i++) {
		watch_fd(&w, &env, nagger.fd, events[i & 1], record_and_stop);
		watch_fd(&gone, &env, gone.fd, events[i >> 1 & 1], count);
		assert_int_equal(loop_run(env.loop), 0);
		assert_int_equal(loop_watch_change(gone.watch, 0), 0);
		loop_watch_free(w.watch);
		memset(&w, 0xff, sizeof(w));
		assert_int_equal(loop_watch_change(gone.watch, events[i & 1]),
				 0);
		loop_watch_free(gone.watch);
	}
	__atomic_store_n(&nagger.must_stop, 1, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(nagger.thread, NULL), 0);
	close(nagger.fd);
	close(gone.fd);
	env_fini(&env);
}

#define N_TOO_MANY 20000

struct flood {
	struct env *env;
	struct loop_done *done;
	unsigned int n_done;
	struct loop_io ios[N_TOO_MANY];
};

static struct flood flood;

static void flood_done(struct loop_io *io, int64_t res)
{
	assert_int_equal(res, 0);
	if (++flood.n_done == N_TOO_MANY) {
		loop_done(flood.done);
	}
}

static void begin_flood(void *priv, struct loop_done *done)
{
	static const struct iovec nothing = { NULL, 0 };
	struct loop_file *file = priv;

	flood.done = done;
	for (unsigned int i = 0; i < N_TOO_MANY; i++) {
		flood.ios[i] = (struct loop_io){
			.op = LOOP_IO_READ,
			.file = file,
			.iov = &nothing,
			.n_iov = 1,
			.fn = flood_done,
		};
		loop_io_submit(flood.env->loop, &flood.ios[i]);
	}
}

static void test_more_io_than_a_ring_has_room_for(void **state)
{
	_cleanup_close_ int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct loop_file *file;
	struct env env;

	env_init(&env, state);
	flood.env = &env;
	flood.n_done = 0;
	assert_int_equal(loop_file_new(env.loop, fd, &file), 0);
	loop_call_until(env.loop, begin_flood, file);
	assert_int_equal(flood.n_done, N_TOO_MANY);
	assert_int_equal(loop_io_in_flight(env.loop), 0);
	loop_file_free(file);
	env_fini(&env);
}

/* Threads */

static void *run_loop(void *arg)
{
	assert_int_equal(loop_run(arg), 0);
	return NULL;
}

static void test_loop_moves_between_threads_with_its_watches(void **state)
{
	int fd = new_eventfd(0);
	struct watched edge, level;
	struct loop_file *file;
	pthread_t thread;
	struct env env;
	int socks[2];

	env_init(&env, state);
	new_sockets(socks);
	watch_fd(&edge, &env, fd, LOOP_IN | LOOP_EDGE, record_and_stop);
	watch_fd(&level, &env, socks[0], LOOP_IN, record_and_stop);
	assert_int_equal(loop_file_new(env.loop, fd, &file), 0);
	for (int i = 0; i < 20; i++) {
		edge.n_calls = 0;
		write_one(fd);
		assert_int_equal(
			pthread_create(&thread, NULL, run_loop, env.loop), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(edge.n_calls, 1);
		if (i % 3 == 0) {
			run_for(&env, 1000);
		}
	}
	loop_watch_free(edge.watch);
	assert_int_equal(write(socks[1], "x", 1), 1);
	assert_int_equal(loop_run(env.loop), 0);
	assert_true(level.n_calls >= 1);
	loop_watch_free(level.watch);
	loop_file_free(file);
	close(fd);
	close(socks[0]);
	close(socks[1]);
	env_fini(&env);
}

static void test_loop_is_started_again_with_its_watches(void **state)
{
	int fd = new_eventfd(0);
	struct watched w;
	struct env env;

	env_init(&env, state);
	watch_fd(&w, &env, fd, LOOP_IN | LOOP_EDGE, count);
	for (unsigned int i = 0; i < 20; i++) {
		unsigned int n_before = w.n_calls;

		assert_int_equal(loop_start(env.loop), 0);
		write_one(fd);
		while (__atomic_load_n(&w.n_calls, __ATOMIC_RELAXED) ==
		       n_before) {
			loop_call_wait(env.loop, do_nothing, NULL);
		}
		loop_stop(env.loop);
	}
	loop_watch_free(w.watch);
	close(fd);
	env_fini(&env);
}

/* What the kernel does and does not let us do */

/* From now on these system calls end with @action. */
static void restrict_calls(int nr, int other_nr, uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)other_nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
		_exit(77);
	}
}

/* Runs @fn in a process of its own. Return: its exit status; -1: a signal */
static int status_of(void (*fn)(void **state), void **state)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		fn(state);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void forbid_uring(void **state)
{
	struct loop *loop = NULL;

	restrict_calls(SYS_io_uring_setup, SYS_io_uring_enter,
		       SECCOMP_RET_ERRNO | EPERM);
	if (loop_new_kind("test", LOOP_IO_URING, &loop) != -EPERM) {
		_exit(1);
	}
	if (loop_new("test", &loop) != 0) {
		_exit(2);
	}
	if (strcmp(loop_backend(loop), "epoll") != 0) {
		_exit(3);
	}
	loop_free(loop);
}

static void test_where_io_uring_is_forbidden_epoll_is_used(void **state)
{
	int status = status_of(forbid_uring, state);

	if (status == 77) {
		TEST_SKIP("no seccomp");
	}
	assert_int_equal(status, 0);
}

#define N_POLLS 100000

struct silent {
	struct env env;
	unsigned int n_polls;
};

static unsigned int poll_silently(void *priv)
{
	struct silent *silent = priv;

	silent->n_polls++;
	if (silent->n_polls == N_POLLS / 2) {
		restrict_calls(SYS_io_uring_enter, SYS_epoll_wait,
			       SECCOMP_RET_KILL_PROCESS);
	}
	if (silent->n_polls == N_POLLS) {
		_exit(0);
	}
	return silent->n_polls & 1; /* now in vain, now not */
}

static bool never_sleep(void *priv)
{
	return true;
}

static void poll_for_ever(void **state)
{
	struct silent silent = { 0 };
	struct loop_poller poller = { poll_silently, never_sleep, &silent, 0 };
	int fd = new_eventfd(0);
	struct watched w;

	env_init(&silent.env, state);
	watch_fd(&w, &silent.env, fd, LOOP_IN | LOOP_EDGE, count);
	loop_poller_add(silent.env.loop, &poller);
	loop_poller_wake(&poller);
	(void)loop_run(silent.env.loop);
	_exit(1);
}

static void test_uring_polling_makes_no_system_call(void **state)
{
	struct loop *loop = NULL;
	int status;

	if (loop_new_kind("test", LOOP_IO_URING, &loop) < 0) {
		TEST_SKIP("no io_uring");
	}
	loop_free(loop);
	status = status_of(poll_for_ever, state);
	if (status == 77) {
		TEST_SKIP("no seccomp");
	}
	assert_int_equal(status, 0);
}

static void test_kinds_by_name(void **state)
{
	enum loop_kind kind = LOOP_KIND_N;

	assert_int_equal(loop_kind_parse("auto", &kind), 0);
	assert_int_equal(kind, LOOP_AUTO);
	assert_int_equal(loop_kind_parse("epoll", &kind), 0);
	assert_int_equal(kind, LOOP_EPOLL);
	assert_int_equal(loop_kind_parse("io_uring", &kind), 0);
	assert_int_equal(kind, LOOP_IO_URING);
	assert_int_equal(loop_kind_parse("kqueue", &kind), -EINVAL);
	assert_int_equal(kind, LOOP_IO_URING);
}

static const struct CMUnitTest tests[] = {
	ON_ALL(test_socket_is_closed_once_its_watch_is_freed),
	ON_ALL(test_socket_is_closed_once_its_started_loop_ends),
	ON_THREADED(test_file_lock_is_gone_once_its_file_is_freed),
	ON_THREADED(test_half_closed_socket_lets_the_loop_sleep),
	ON_THREADED(test_half_closed_socket_is_told_while_it_runs),
	ON_THREADED(test_watches_come_and_go_while_they_are_told),
	ON_THREADED(test_more_io_than_a_ring_has_room_for),
	ON_THREADED(test_loop_moves_between_threads_with_its_watches),
	ON_THREADED(test_loop_is_started_again_with_its_watches),
	cmocka_unit_test(test_where_io_uring_is_forbidden_epoll_is_used),
	ON(on_uring, test_uring_polling_makes_no_system_call),
	cmocka_unit_test(test_kinds_by_name),
};

TEST_MAIN("loop_uring")
