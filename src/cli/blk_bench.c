/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit blk bench: how fast a disk is.
 *
 * Each thread has a queue and keeps it full: a request that is done is followed
 * by the next one. Times are taken by the thread itself, when it adds a request
 * and when it sees its result: what a program that uses the disk would see.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/parse.h"
#include "cli/blk.h"

#define NS_PER_S    1000000000ULL
#define SECONDS_MAX 86400
#define BURST	    64
#define TEXT_MAX    256
/* Latencies: eight steps for each power of two of nanoseconds. */
#define STEPS_LOG 3
#define N_STEPS	  (64U << STEPS_LOG)

struct bench {
	/* options */
	struct io_format format; /* first: IO_FORMAT_OPTIONS */
	struct blk_end end;
	uint32_t block_bytes;
	unsigned int depth;
	unsigned int n_threads;
	unsigned int seconds;
	unsigned int poll_us;
	unsigned int write_percent;
	bool is_sequential;
	/* set before there are threads */
	char *memory;
	uint64_t n_blocks; /* of the disk */
	uint64_t end_ns;
};

struct bench_thread {
	struct bench *b;
	pthread_t thread;
	struct vdpakit_blk_queue *q;
	unsigned int idx;
	uint64_t random;
	uint64_t next; /* block */
	uint64_t *start_ns; /* of each request */
	uint64_t n_done;
	uint64_t n_errors;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t steps[N_STEPS];
	int result;
	char text[ERR_TEXT_MAX];
};

/* ---- options ---- */

static int set_block(void *priv, const char *value)
{
	uint64_t bytes;
	int r = parse_size("--block", value, &bytes);

	if (r == 0 &&
	    (bytes % 512 != 0 || bytes == 0 || bytes > BLK_CHUNK_BYTES_MAX)) {
		r = err(-ERANGE, "--block: %s is no multiple of 512 up to %u",
			value, BLK_CHUNK_BYTES_MAX);
	}
	if (r == 0) {
		((struct bench *)priv)->block_bytes = (uint32_t)bytes;
	}
	return r;
}

static int set_depth(void *priv, const char *value)
{
	return io_set_uint("--depth", value, 1, BLK_DEPTH_MAX,
			   &((struct bench *)priv)->depth);
}

static int set_threads(void *priv, const char *value)
{
	return io_set_uint("--threads", value, 1, BLK_THREADS_MAX,
			   &((struct bench *)priv)->n_threads);
}

static int set_seconds(void *priv, const char *value)
{
	return io_set_uint("--seconds", value, 1, SECONDS_MAX,
			   &((struct bench *)priv)->seconds);
}

static int set_poll_us(void *priv, const char *value)
{
	return io_set_uint("--poll-us", value, 0, 1000000,
			   &((struct bench *)priv)->poll_us);
}

static int set_write(void *priv, const char *value)
{
	return io_set_uint("--write", value, 0, 100,
			   &((struct bench *)priv)->write_percent);
}

static int set_sequential(void *priv, const char *value)
{
	(void)value;
	((struct bench *)priv)->is_sequential = true;
	return 0;
}

static const struct arg_option options[] = {
	{ "block", 'b', "BYTES", "of a request (default 4k)", set_block },
	{ "depth", 'd', "N", "requests under way in a queue (default 16)",
	  set_depth },
	{ "threads", 't', "N", "threads, each with a queue (default 1)",
	  set_threads },
	{ "seconds", 's', "N", "for so long (default 5)", set_seconds },
	{ "write", 'w', "PERCENT",
	  "write so many of the requests: what is on the disk is lost "
	  "(default 0)",
	  set_write },
	{ "sequential", 0, NULL, "one block after the other (default: random)",
	  set_sequential },
	{ "poll-us", 0, "N", "look for results for so long before sleeping",
	  set_poll_us },
	IO_FORMAT_OPTIONS,
};

void blk_bench_help(void)
{
	(void)printf("\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
}

/* ---- a thread ---- */

/* xorshift64: it only has to be spread out. */
static uint64_t draw(struct bench_thread *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random;
}

static uint64_t pick_block(struct bench_thread *t)
{
	const struct bench *b = t->b;

	if (!b->is_sequential) {
		return draw(t) % b->n_blocks;
	}
	t->next = (t->next + 1) % b->n_blocks;
	return t->next;
}

/* Makes the request of a slot, numbered from 0. */
static void make_req(struct bench_thread *t, unsigned int slot,
		     struct vdpakit_blk_req *ret)
{
	const struct bench *b = t->b;
	bool is_write = b->write_percent > 0 &&
			draw(t) % 100 < b->write_percent;

	*ret = (struct vdpakit_blk_req){
		.op = is_write ? VDPAKIT_BLK_WRITE : VDPAKIT_BLK_READ,
		.offset_bytes = pick_block(t) * b->block_bytes,
		.len_bytes = b->block_bytes,
		.buf = b->memory +
		       (size_t)(t->idx * b->depth + slot) * b->block_bytes,
		.user = &t->start_ns[slot],
	};
}

static int add_reqs(struct bench_thread *t, struct vdpakit_blk_req *reqs,
		    unsigned int n)
{
	uint64_t now = io_now_ns();
	int r;

	for (unsigned int i = 0; i < n; i++) {
		*(uint64_t *)reqs[i].user = now;
	}
	r = vdpakit_blk_add(t->q, reqs, n);
	return r < 0 ? io_err(r) : 0;
}

static unsigned int step_of(uint64_t ns)
{
	unsigned int log;

	if (ns < (1U << STEPS_LOG)) {
		return (unsigned int)ns;
	}
	log = 63 - (unsigned int)__builtin_clzll(ns);
	return (log << STEPS_LOG) + (unsigned int)((ns >> (log - STEPS_LOG)) &
						   ((1U << STEPS_LOG) - 1));
}

static void count(struct bench_thread *t, uint64_t ns, int result)
{
	t->n_done++;
	t->n_errors += result < 0;
	t->sum_ns += ns;
	t->max_ns = max_of(t->max_ns, ns);
	t->steps[step_of(ns)]++;
}

/* Takes what is done, and follows it with as much, until the time is up. */
static int turn_over(struct bench_thread *t, bool *ret_is_over)
{
	struct vdpakit_blk_req reqs[BURST];
	struct vdpakit_blk_done done[BURST];
	int n = vdpakit_blk_wait(t->q, done, 1, BURST, -1);
	uint64_t now = io_now_ns();

	if (n == -EINTR) {
		return 0;
	}
	for (int i = 0; i < n; i++) {
		uint64_t *start = done[i].user;

		count(t, now - *start, done[i].result);
		make_req(t, (unsigned int)(start - t->start_ns), &reqs[i]);
	}
	*ret_is_over = now >= t->b->end_ns;
	if (n <= 0 || *ret_is_over) {
		return io_err(min_of(n, 0));
	}
	return add_reqs(t, reqs, (unsigned int)n);
}

static int fill(struct bench_thread *t)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < t->b->depth; i++) {
		struct vdpakit_blk_req req;

		make_req(t, i, &req);
		r = add_reqs(t, &req, 1);
	}
	return r;
}

static void *thread_main(void *arg)
{
	struct bench_thread *t = arg;
	bool is_over = false;
	int r = fill(t);

	while (r == 0 && !is_over) {
		r = turn_over(t, &is_over);
	}
	while (r == 0 && vdpakit_blk_n_under_way(t->q) > 0) {
		struct vdpakit_blk_done done[BURST];

		r = io_err(
			min_of(vdpakit_blk_wait(t->q, done, 1, BURST, -1), 0));
	}
	t->result = r;
	if (r < 0) {
		(void)snprintf(t->text, sizeof(t->text), "%s", err_text(r));
	}
	return NULL;
}

/* ---- results ---- */

static void add_up(struct bench_thread *sum, const struct bench_thread *t)
{
	sum->n_done += t->n_done;
	sum->n_errors += t->n_errors;
	sum->sum_ns += t->sum_ns;
	sum->max_ns = max_of(sum->max_ns, t->max_ns);
	for (unsigned int i = 0; i < N_STEPS; i++) {
		sum->steps[i] += t->steps[i];
	}
}

/* The upper end of the step where @permille of the requests are. */
static uint64_t percentile_ns(const struct bench_thread *sum,
			      unsigned int permille)
{
	uint64_t left = sum->n_done * permille / 1000;

	for (unsigned int i = 0; i < N_STEPS; i++) {
		unsigned int log = i >> STEPS_LOG;

		if (sum->steps[i] <= left) {
			left -= sum->steps[i];
			continue;
		}
		if (log < STEPS_LOG) {
			return i;
		}
		return (1ULL << log) + (((i & ((1U << STEPS_LOG) - 1)) + 1ULL)
					<< (log - STEPS_LOG));
	}
	return sum->max_ns;
}

static double us(uint64_t ns)
{
	return (double)ns / 1000;
}

static json_t *results(const struct bench *b, const struct bench_thread *sum,
		       uint64_t ns)
{
	double s = (double)ns / (double)NS_PER_S;
	double iops = (double)sum->n_done / s;

	return json_pack(
		"{s:f s:I s:I s:f s:f s:f s:f s:f s:f s:i s:i s:i s:i "
		"s:b}",
		"seconds", s, "requests", (json_int_t)sum->n_done, "errors",
		(json_int_t)sum->n_errors, "iops", iops, "mib_per_s",
		iops * b->block_bytes / (1 << 20), "avg_us",
		sum->n_done ? us(sum->sum_ns) / (double)sum->n_done : 0,
		"p50_us", us(min_of(percentile_ns(sum, 500), sum->max_ns)),
		"p99_us", us(min_of(percentile_ns(sum, 990), sum->max_ns)),
		"max_us", us(sum->max_ns), "block", (int)b->block_bytes,
		"depth", (int)b->depth, "threads", (int)b->n_threads,
		"write_percent", (int)b->write_percent, "sequential",
		(int)b->is_sequential);
}

static double real(const json_t *obj, const char *key)
{
	return json_real_value(json_object_get(obj, key));
}

static int print_results(const struct bench *b, const struct bench_thread *sum,
			 uint64_t ns)
{
	json_t *obj = results(b, sum, ns);
	char text[TEXT_MAX];

	(void)snprintf(text, sizeof(text),
		       "%.0f requests/s, %.1f MiB/s, latency %.1f us (median), "
		       "%.1f us (99 %%), %.1f us (longest)",
		       real(obj, "iops"), real(obj, "mib_per_s"),
		       real(obj, "p50_us"), real(obj, "p99_us"),
		       real(obj, "max_us"));
	return io_print_result(&b->format, text, obj);
}

/* ---- all of it ---- */

static int start_thread(struct bench *b, struct bench_thread *t,
			unsigned int idx)
{
	int r;

	t->b = b;
	t->idx = idx;
	t->random = 0x9e3779b97f4a7c15ULL * (idx + 1);
	t->next = b->n_blocks / b->n_threads * idx;
	t->q = vdpakit_blk_get_queue(b->end.blk, idx);
	t->start_ns = calloc(b->depth, sizeof(*t->start_ns));
	if (!t->start_ns) {
		return err(-ENOMEM, "out of memory");
	}
	r = pthread_create(&t->thread, NULL, thread_main, t);
	return r == 0 ? 0 : err(-r, "thread: %s", strerror(r));
}

static int run_threads(struct bench *b, struct bench_thread *threads,
		       struct bench_thread *sum)
{
	uint64_t start_ns = io_now_ns();
	unsigned int n = 0;
	int r = 0;

	b->end_ns = start_ns + b->seconds * NS_PER_S;
	while (r == 0 && n < b->n_threads) {
		r = start_thread(b, &threads[n], n);
		n += r == 0;
	}
	for (unsigned int i = 0; i < n; i++) {
		(void)pthread_join(threads[i].thread, NULL); /* ours */
		if (r == 0 && threads[i].result < 0) {
			r = err(threads[i].result, "%s", threads[i].text);
		}
		add_up(sum, &threads[i]);
	}
	for (unsigned int i = 0; i < b->n_threads; i++) {
		free(threads[i].start_ns);
	}
	return r < 0 ? r : print_results(b, sum, io_now_ns() - start_ns);
}

static int check_disk(struct bench *b)
{
	const struct vdpakit_blk_info *i = &b->end.info;

	if (b->block_bytes % i->block_bytes != 0) {
		return err(-EINVAL, "--block: its blocks are of %u bytes",
			   i->block_bytes);
	}
	if (b->block_bytes > i->max_request_bytes) {
		return err(-EINVAL, "--block: it takes %llu bytes at once",
			   (unsigned long long)i->max_request_bytes);
	}
	if (b->write_percent > 0 && i->is_read_only) {
		return err(-EROFS, "--write: it is read-only");
	}
	b->n_blocks = b->end.size_bytes / b->block_bytes;
	if (b->n_blocks == 0) {
		return err(-EINVAL, "it is smaller than a block");
	}
	b->depth = min_of(b->depth, (unsigned int)i->queue_size);
	b->n_threads = min_of(b->n_threads, (unsigned int)i->n_queues);
	return 0;
}

static int run_on_disk(struct vdpakit *kit, struct bench *b)
{
	struct bench_thread *threads = NULL;
	void *memory;
	int r = err_context(check_disk(b), "%s", b->end.word);

	if (r == 0) {
		r = io_err(vdpakit_mem_alloc(
			kit, (size_t)b->n_threads * b->depth * b->block_bytes,
			&memory));
	}
	if (r < 0) {
		return r;
	}
	b->memory = memory;
	/* One more, for the sum. */
	threads = calloc(b->n_threads + 1, sizeof(*threads));
	if (!threads) {
		return err(-ENOMEM, "out of memory");
	}
	r = run_threads(b, threads, &threads[b->n_threads]);
	free(threads);
	return r;
}

static int run(const struct cli *cli, struct bench *b, const char *word)
{
	const struct blk_end_want want = { .name = "disk",
					   .depth = b->depth,
					   .poll_us = b->poll_us };
	struct vdpakit *kit;
	int r = io_err(vdpakit_new(NULL, &kit));

	if (r < 0) {
		return r;
	}
	r = blk_end_open_device(cli, kit, word, &want, &b->end);
	if (r == 0) {
		r = run_on_disk(kit, b);
		(void)blk_end_close(&b->end); /* it is no file */
	}
	vdpakit_free(kit);
	return r;
}

int blk_bench(const struct cli *cli, int argc, char **argv)
{
	struct bench b = {
		.block_bytes = 4096,
		.depth = 16,
		.n_threads = 1,
		.seconds = 5,
		.format = { cli->is_json, cli->is_pretty },
	};
	int r = cli_take(options, ARRAY_SIZE(options), argc, argv, &b);

	if (r >= 0) {
		r = io_check_words(r, 1, 1, "DEVICE, one word,");
	}
	if (r == 0) {
		r = blk_check_device(argv[0]);
	}
	return r < 0 ? r : run(cli, &b, argv[0]);
}
