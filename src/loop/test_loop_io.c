/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of file I/O: the same on every back end.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "loop/loop_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib/oom.h"
#include "loop/loop_internal.h"
#include "loop/test_loop_rig.h"

#define BLOCK 4096

/* A loop on the back end under test, and an empty file. */
struct io_env {
	struct env env;
	int fd;
	struct loop_file *file;
};

static void io_init(struct io_env *io_env, void **state)
{
	env_init(&io_env->env, state);
	io_env->fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(io_env->fd >= 0);
	assert_int_equal(
		loop_file_new(io_env->env.loop, io_env->fd, &io_env->file), 0);
}

static void io_fini(struct io_env *io_env)
{
	assert_int_equal(loop_io_in_flight(io_env->env.loop), 0);
	assert_null(loop_file_free(io_env->file));
	close(io_env->fd);
	env_fini(&io_env->env);
}

/* Some requests that one call waits for. */
struct batch {
	struct io_env *io_env;
	struct request *requests;
	unsigned int n, n_done;
	struct loop_done *done;
};

struct request {
	struct loop_io io;
	struct iovec iov;
	int64_t res;
	unsigned int n_calls;
	unsigned int n_again;
	struct batch *batch;
};

static void request_done(struct loop_io *io, int64_t res)
{
	struct request *r = container_of(io, struct request, io);
	struct batch *batch = r->batch;

	assert_true(loop_is_owner(batch->io_env->env.loop));
	r->res = res;
	r->n_calls++;
	if (r->n_again > 0) {
		r->n_again--;
		loop_io_submit(batch->io_env->env.loop, io);
	} else if (++batch->n_done == batch->n) {
		loop_done(batch->done);
	}
}

static void submit_batch(void *priv, struct loop_done *done)
{
	struct batch *batch = priv;

	batch->done = done;
	for (unsigned int i = 0; i < batch->n; i++) {
		batch->requests[i].batch = batch;
		batch->requests[i].io.fn = request_done;
		loop_io_submit(batch->io_env->env.loop, &batch->requests[i].io);
		assert_int_equal(batch->requests[i].n_calls, 0);
	}
}

static void run_batch(struct io_env *io_env, struct request *requests,
		      unsigned int n)
{
	struct batch batch = { io_env, requests, n, 0, NULL };

	loop_call_until(io_env->env.loop, submit_batch, &batch);
}

static struct request request_of(struct io_env *io_env, enum loop_io_op op,
				 void *va, size_t len, uint64_t offset)
{
	return (struct request){
		.io = { .op = op,
			.file = io_env->file,
			.n_iov = 1,
			.offset = offset,
			.len = len },
		.iov = { va, len },
	};
}

static int64_t run_request(struct io_env *io_env, struct request *r)
{
	r->io.iov = r->io.iov ? r->io.iov : &r->iov;
	r->n_calls = 0;
	run_batch(io_env, r, 1);
	assert_int_equal(r->n_calls, 1);
	return r->res;
}

static int64_t do_io(struct io_env *io_env, enum loop_io_op op, void *va,
		     size_t len, uint64_t offset)
{
	struct request r = request_of(io_env, op, va, len, offset);

	return run_request(io_env, &r);
}

#define N_REQUESTS 64

static void test_io_many_at_once_each_at_its_place(void **state)
{
	static unsigned char out[N_REQUESTS][BLOCK], in[N_REQUESTS][BLOCK];
	struct request requests[N_REQUESTS];
	struct io_env e;

	io_init(&e, state);
	for (unsigned int op = LOOP_IO_WRITE + 1; op-- > 0;) {
		for (unsigned int i = 0; i < N_REQUESTS; i++) {
			unsigned int place = i * 37 % N_REQUESTS;

			memset(out[i], (int)i + 1, BLOCK);
			requests[i] = request_of(
				&e, op, op == LOOP_IO_READ ? in[i] : out[i],
				BLOCK, place * BLOCK);
			requests[i].io.iov = &requests[i].iov;
		}
		run_batch(&e, requests, N_REQUESTS);
		for (unsigned int i = 0; i < N_REQUESTS; i++) {
			assert_int_equal(requests[i].res, BLOCK);
			assert_int_equal(requests[i].n_calls, 1);
		}
	}
	assert_memory_equal(in, out, sizeof(in));
	io_fini(&e);
}

static void test_io_gathers_and_scatters(void **state)
{
	static unsigned char bytes[LOOP_IO_IOV_MAX * 3];
	struct iovec iov[LOOP_IO_IOV_MAX];
	struct io_env e;
	struct request r;
	unsigned char in[sizeof(bytes)];

	io_init(&e, state);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (unsigned char)(i * 7);
	}
	for (unsigned int i = 0; i < LOOP_IO_IOV_MAX; i++) {
		iov[i] = (struct iovec){ bytes + (size_t)i * 3, 3 };
	}
	r = request_of(&e, LOOP_IO_WRITE, NULL, 0, 5);
	r.io.iov = iov;
	r.io.n_iov = LOOP_IO_IOV_MAX;
	assert_int_equal(run_request(&e, &r), sizeof(bytes));
	assert_int_equal(do_io(&e, LOOP_IO_READ, in, sizeof(in), 5),
			 sizeof(in));
	assert_memory_equal(in, bytes, sizeof(in));
	memset(bytes, 0, sizeof(bytes));
	r.io.op = LOOP_IO_READ;
	assert_int_equal(run_request(&e, &r), sizeof(bytes));
	assert_memory_equal(in, bytes, sizeof(in));
	io_fini(&e);
}

static void test_io_at_the_end_of_the_file_is_short(void **state)
{
	char bytes[100] = "to be read";
	struct io_env e;

	io_init(&e, state);
	assert_int_equal(do_io(&e, LOOP_IO_READ, bytes, 1, 0), 0);
	assert_int_equal(do_io(&e, LOOP_IO_WRITE, bytes, 10, 0), 10);
	assert_int_equal(do_io(&e, LOOP_IO_READ, bytes, 100, 4), 6);
	assert_memory_equal(bytes, "e read", 6);
	assert_int_equal(do_io(&e, LOOP_IO_READ, bytes, 100, 10), 0);
	io_fini(&e);
}

static void test_io_errors_are_told(void **state)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct loop_file *file, *wanted;
	struct io_env e;
	char bytes[1];

	io_init(&e, state);
	assert_int_equal(loop_file_new(e.env.loop, fd, &file), 0);
	assert_int_equal(do_io(&e, LOOP_IO_READ, bytes, 1, (uint64_t)-5),
			 -EINVAL);
	assert_int_equal(do_io(&e, LOOP_IO_FALLOCATE, NULL, 0, 0), -EINVAL);
	assert_int_equal(do_io(&e, LOOP_IO_WRITE, (void *)8, 1, 0), -EFAULT);
	wanted = e.file;
	e.file = file;
	assert_int_equal(do_io(&e, LOOP_IO_WRITE, bytes, 1, 0), -EBADF);
	e.file = wanted;
	loop_file_free(file);
	io_fini(&e);
}

static void test_io_syncs_and_punches(void **state)
{
	char out[2 * BLOCK], in[2 * BLOCK], zeroes[BLOCK] = { 0 };
	struct io_env e;
	struct request r;

	io_init(&e, state);
	memset(out, 'x', sizeof(out));
	r = request_of(&e, LOOP_IO_WRITE, out, sizeof(out), 0);
	r.io.is_dsync = true;
	assert_int_equal(run_request(&e, &r), sizeof(out));
	for (int is_dsync = 0; is_dsync < 2; is_dsync++) {
		r = request_of(&e, LOOP_IO_FSYNC, NULL, 0, 0);
		r.io.is_dsync = is_dsync;
		assert_int_equal(run_request(&e, &r), 0);
	}
	r = request_of(&e, LOOP_IO_FALLOCATE, NULL, BLOCK, BLOCK);
	r.io.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	assert_int_equal(run_request(&e, &r), 0);
	assert_int_equal(do_io(&e, LOOP_IO_READ, in, sizeof(in), 0),
			 sizeof(in));
	assert_memory_equal(in, out, BLOCK);
	assert_memory_equal(in + BLOCK, zeroes, BLOCK);
	io_fini(&e);
}

static void test_io_is_submitted_again_by_its_fn(void **state)
{
	char byte = 'x';
	struct request r;
	struct io_env e;

	io_init(&e, state);
	r = request_of(&e, LOOP_IO_WRITE, &byte, 1, 0);
	r.io.iov = &r.iov;
	r.n_again = 500;
	run_batch(&e, &r, 1);
	assert_int_equal(r.n_calls, 501);
	assert_int_equal(r.res, 1);
	io_fini(&e);
}

static void test_io_allocates_nothing(void **state)
{
	char byte = 'x';
	struct request r;
	struct io_env e;

	io_init(&e, state);
	assert_int_equal(do_io(&e, LOOP_IO_WRITE, &byte, 1, 0), 1);
	r = request_of(&e, LOOP_IO_WRITE, &byte, 1, 0);
	r.io.iov = &r.iov;
	r.n_again = 100;
	oom_count_begin();
	run_batch(&e, &r, 1);
	assert_int_equal(oom_count_end(), 0);
	io_fini(&e);
}

static void submit_later(void *priv)
{
	struct batch *batch = priv;

	batch->requests[0].batch = batch;
	batch->requests[0].io.fn = request_done;
	batch->n = 2; /* so that nobody is told when this one is done */
	loop_io_submit(batch->io_env->env.loop, &batch->requests[0].io);
}

static void do_nothing(void *priv)
{
}

static bool is_done(void *priv)
{
	return ((struct batch *)priv)->n_done > 0;
}

static void test_io_of_a_stopped_loop_is_told_later(void **state)
{
	char byte = 'x';

	for (int i = 0; i < 50; i++) {
		struct request first, second;
		struct batch batch;
		struct io_env e;

		io_init(&e, state);
		first = request_of(&e, LOOP_IO_WRITE, &byte, 1, 0);
		first.io.iov = &first.iov;
		second = first;
		second.io.iov = &second.iov;
		batch = (struct batch){ .io_env = &e, .requests = &first };
		assert_int_equal(loop_start(e.env.loop), 0);
		loop_call_wait(e.env.loop, submit_later, &batch);
		if (i & 1) {
			loop_call_wait(e.env.loop, do_nothing, NULL);
		}
		loop_stop(e.env.loop);
		assert_true(loop_is_owner(e.env.loop));
		while (!is_done(&batch)) {
			second.n_calls = 0;
			run_batch(&e, &second, 1);
		}
		assert_int_equal(first.res, 1);
		io_fini(&e);
	}
}

static void test_io_in_a_started_loop(void **state)
{
	static unsigned char out[N_REQUESTS][BLOCK];
	struct request requests[N_REQUESTS];
	struct io_env e;

	io_init(&e, state);
	assert_int_equal(loop_start(e.env.loop), 0);
	for (unsigned int i = 0; i < N_REQUESTS; i++) {
		memset(out[i], (int)i + 1, BLOCK);
		requests[i] =
			request_of(&e, LOOP_IO_WRITE, out[i], BLOCK, i * BLOCK);
		requests[i].io.iov = &requests[i].iov;
		requests[i].n_again = 50;
	}
	run_batch(&e, requests, N_REQUESTS);
	loop_stop(e.env.loop);
	for (unsigned int i = 0; i < N_REQUESTS; i++) {
		unsigned char in[BLOCK];

		assert_int_equal(requests[i].res, BLOCK);
		assert_int_equal(requests[i].n_calls, 51);
		assert_int_equal(pread(e.fd, in, BLOCK, i * BLOCK), BLOCK);
		assert_memory_equal(in, out[i], BLOCK);
	}
	io_fini(&e);
}

/* Files that come and go, more than a ring has places for. */
static void test_io_of_many_files(void **state)
{
	enum {
		N = 300
	};
	struct loop_file *files[N];
	struct io_env e;
	int fds[N];

	io_init(&e, state);
	for (int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < N; i++) {
			fds[i] = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC,
				      0600);
			assert_true(fds[i] >= 0);
			assert_int_equal(loop_file_new(e.env.loop, fds[i],
						       &files[i]),
					 0);
		}
		for (unsigned int i = 0; i < N; i++) {
			unsigned char in = 0, out = (unsigned char)(i + 3);
			struct request r =
				request_of(&e, LOOP_IO_WRITE, &out, 1, 0);

			r.io.file = files[i];
			assert_int_equal(run_request(&e, &r), 1);
			assert_int_equal(pread(fds[i], &in, 1, 0), 1);
			assert_int_equal(in, out);
		}
		for (unsigned int i = 0; i < N; i++) {
			loop_file_free(files[i]);
			close(fds[i]);
		}
	}
	io_fini(&e);
}

static unsigned int count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned int n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		n += entry->d_name[0] != '.';
	}
	closedir(dir);
	return n;
}

static void test_io_pool_is_bounded_and_ends_with_the_loop(void **state)
{
	unsigned int n_before = count_threads();
	struct request requests[N_REQUESTS];
	char byte = 'x';
	struct io_env e;

	io_init(&e, state);
	assert_int_equal(count_threads(), n_before); /* none made yet */
	for (unsigned int i = 0; i < N_REQUESTS; i++) {
		requests[i] = request_of(&e, LOOP_IO_WRITE, &byte, 1, i);
		requests[i].io.iov = &requests[i].iov;
	}
	run_batch(&e, requests, N_REQUESTS);
	assert_int_equal(count_threads(), n_before + LOOP_IO_THREADS);
	io_fini(&e);
	assert_int_equal(count_threads(), n_before);
}

static int make_file(void *priv)
{
	struct loop_file *file = NULL;
	struct loop *loop = NULL;
	int rc;

	assert_int_equal(loop_new_kind("test", LOOP_EPOLL, &loop), 0);
	oom_begin();
	rc = loop_file_new(loop, 0, &file);
	oom_end();
	loop_file_free(file);
	loop_free(loop);
	return rc;
}

static void test_io_file_out_of_memory(void **state)
{
	assert_int_equal(oom_check(make_file, NULL), 2);
}

/* Misuse */

static void fill_one(struct io_env *e, struct request *r)
{
	static struct batch batch;

	batch = (struct batch){ .io_env = e, .n = 2 };
	*r = request_of(e, LOOP_IO_FSYNC, NULL, 0, 0);
	r->batch = &batch;
	r->io.fn = request_done;
}

static void run_free_file(void **state)
{
	struct request r;
	struct io_env e;

	be_quiet_about_dying();
	io_init(&e, state);
	fill_one(&e, &r);
	loop_io_submit(e.env.loop, &r.io);
	loop_file_free(e.file);
	_exit(0);
}

static void run_free_loop(void **state)
{
	struct io_env e;

	be_quiet_about_dying();
	io_init(&e, state);
	loop_free(e.env.loop);
	_exit(0);
}

static void run_no_iov(void **state)
{
	struct request r;
	struct io_env e;

	be_quiet_about_dying();
	io_init(&e, state);
	fill_one(&e, &r);
	r.io.op = LOOP_IO_READ;
	r.io.n_iov = 0;
	loop_io_submit(e.env.loop, &r.io);
	_exit(0);
}

static void test_io_file_freed_in_flight_aborts(void **state)
{
	assert_aborts(run_free_file, state);
}

static void test_io_loop_freed_before_its_files_aborts(void **state)
{
	assert_aborts(run_free_loop, state);
}

static void test_io_without_memory_aborts(void **state)
{
	assert_aborts(run_no_iov, state);
}

/* Simulation */

#define N_FAILING 400

struct outcome {
	unsigned int n_whole, n_short, n_eio, n_enospc;
};

static void count_outcome(struct outcome *outcome, const struct request *r)
{
	outcome->n_whole += r->res == BLOCK;
	outcome->n_eio += r->res == -EIO;
	outcome->n_enospc += r->res == -ENOSPC;
	if (r->res > 0 && r->res < BLOCK) {
		assert_int_equal(r->res % 512, 0);
		outcome->n_short++;
	}
}

/* A write that was told to be short has written so much and no more. */
static void check_file(struct io_env *e, const struct request *r,
		       unsigned int place)
{
	int64_t n = max_of(r->res, (int64_t)0);
	char in[BLOCK] = { 0 }, wanted[BLOCK] = { 0 };

	memset(wanted, 'x', (size_t)n);
	assert_true(pread(e->fd, in, BLOCK, place * BLOCK) >= 0);
	assert_memory_equal(in, wanted, BLOCK);
}

static struct outcome write_badly(uint64_t seed)
{
	static struct request requests[N_FAILING];
	struct backend backend = {
		.is_simulated = true,
		.options = { seed, 300, MS, 500 },
	};
	void *state = &backend;
	struct outcome outcome = { 0 };
	char out[BLOCK];
	struct io_env e;

	memset(out, 'x', BLOCK);
	io_init(&e, &state);
	for (unsigned int i = 0; i < N_FAILING; i++) {
		requests[i] =
			request_of(&e, LOOP_IO_WRITE, out, BLOCK, i * BLOCK);
		requests[i].io.iov = &requests[i].iov;
	}
	run_batch(&e, requests, N_FAILING);
	for (unsigned int i = 0; i < N_FAILING; i++) {
		count_outcome(&outcome, &requests[i]);
		check_file(&e, &requests[i], i);
	}
	io_fini(&e);
	return outcome;
}

static void test_io_sim_fails_and_stops_short(void **state)
{
	struct outcome outcome = write_badly(1), again = write_badly(1),
		       other = write_badly(2);

	assert_in_range(outcome.n_whole, 150, 250);
	assert_in_range(outcome.n_short, 50, 150);
	assert_in_range(outcome.n_eio, 25, 75);
	assert_in_range(outcome.n_enospc, 25, 75);
	assert_int_equal(outcome.n_whole + outcome.n_short + outcome.n_eio +
				 outcome.n_enospc,
			 N_FAILING);
	/* it is the seed that says so */
	assert_memory_equal(&outcome, &again, sizeof(outcome));
	assert_memory_not_equal(&outcome, &other, sizeof(outcome));
}

/* Two writes of one place at once: either may be the last. */
static void test_io_sim_is_done_in_any_order(void **state)
{
	unsigned int n_first = 0;

	for (uint64_t seed = 0; seed < 50; seed++) {
		struct backend backend = { .is_simulated = true,
					   .options.seed = seed };
		void *sim_state = &backend;
		struct request requests[2];
		struct io_env e;
		char in, out[2] = { 'a', 'b' };

		io_init(&e, &sim_state);
		for (unsigned int i = 0; i < 2; i++) {
			requests[i] =
				request_of(&e, LOOP_IO_WRITE, &out[i], 1, 0);
			requests[i].io.iov = &requests[i].iov;
		}
		run_batch(&e, requests, 2);
		assert_int_equal(pread(e.fd, &in, 1, 0), 1);
		n_first += in == 'a';
		io_fini(&e);
	}
	assert_in_range(n_first, 10, 40);
}

static const struct CMUnitTest tests[] = {
	ON_ALL(test_io_many_at_once_each_at_its_place),
	ON_ALL(test_io_gathers_and_scatters),
	ON_ALL(test_io_at_the_end_of_the_file_is_short),
	ON_ALL(test_io_errors_are_told),
	ON_ALL(test_io_syncs_and_punches),
	ON_ALL(test_io_is_submitted_again_by_its_fn),
	ON_ALL(test_io_allocates_nothing),
	ON_ALL(test_io_of_a_stopped_loop_is_told_later),
	ON_ALL(test_io_in_a_started_loop),
	ON_ALL(test_io_of_many_files),
	ON_ALL(test_io_file_freed_in_flight_aborts),
	ON_ALL(test_io_loop_freed_before_its_files_aborts),
	ON_ALL(test_io_without_memory_aborts),
	ON(on_epoll, test_io_pool_is_bounded_and_ends_with_the_loop),
	cmocka_unit_test(test_io_file_out_of_memory),
	cmocka_unit_test(test_io_sim_fails_and_stops_short),
	cmocka_unit_test(test_io_sim_is_done_in_any_order),
};

TEST_MAIN("loop_io")
