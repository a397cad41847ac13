/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit net bench: how fast a network card is.
 *
 * Each thread has a pair of queues and keeps the one that sends full. Frames lie
 * in memory that the device reaches, with room for virtio's header: nothing is
 * copied on this side. With --loopback the thread takes what comes back as well,
 * and counts what does not.
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
#include "cli/net.h"

#define NS_PER_S    1000000000ULL
#define SECONDS_MAX 86400
#define DEPTH_MAX   1024
#define TEXT_MAX    256
#define CACHE_LINE  64
#define WAIT_MS	    100
/* For the device to end what is under way; for the last frame to come back. */
#define END_NS	(5 * NS_PER_S)
#define LAST_MS 200

struct net_bench {
	/* options */
	struct io_format format; /* first: IO_FORMAT_OPTIONS */
	unsigned int size_bytes;
	unsigned int seconds;
	unsigned int n_pairs;
	unsigned int depth;
	unsigned int poll_us;
	uint8_t to[6];
	bool has_to;
	bool is_loopback;
	/* set before there are threads */
	struct net_end *end;
	uint8_t *memory; /* depth frames for each thread */
	size_t stride_bytes;
	uint64_t end_ns;
};

struct bench_thread {
	struct net_bench *b;
	pthread_t thread;
	struct vdpakit_net_queue *rx, *tx;
	void *idle[DEPTH_MAX]; /* frames that are not being sent */
	unsigned int n_idle;
	uint64_t n_done;
	uint64_t n_back;
	int result;
	char text[ERR_TEXT_MAX];
};

/* ---- options ---- */

static int set_size(void *priv, const char *value)
{
	return io_set_uint("--size", value, NET_GENERATED_MIN,
			   VDPAKIT_NET_FRAME_MAX,
			   &((struct net_bench *)priv)->size_bytes);
}

static int set_seconds(void *priv, const char *value)
{
	return io_set_uint("--seconds", value, 1, SECONDS_MAX,
			   &((struct net_bench *)priv)->seconds);
}

static int set_pairs(void *priv, const char *value)
{
	return io_set_uint("--pairs", value, 1, VDPAKIT_NET_PAIRS_MAX,
			   &((struct net_bench *)priv)->n_pairs);
}

static int set_depth(void *priv, const char *value)
{
	return io_set_uint("--depth", value, 1, DEPTH_MAX,
			   &((struct net_bench *)priv)->depth);
}

static int set_poll_us(void *priv, const char *value)
{
	return io_set_uint("--poll-us", value, 0, 1000000,
			   &((struct net_bench *)priv)->poll_us);
}

static int set_to(void *priv, const char *value)
{
	((struct net_bench *)priv)->has_to = true;
	return parse_mac("--to", value, ((struct net_bench *)priv)->to);
}

static int set_loopback(void *priv, const char *value)
{
	(void)value;
	((struct net_bench *)priv)->is_loopback = true;
	return 0;
}

static const struct arg_option options[] = {
	{ "size", 's', "BYTES", "of a frame (default 60)", set_size },
	{ "seconds", 0, "N", "for so long (default 5)", set_seconds },
	{ "pairs", 0, "N", "pairs of queues, each with a thread (default 1)",
	  set_pairs },
	{ "depth", 'd', "N", "frames under way in a queue (default 64)",
	  set_depth },
	{ "to", 't', "MAC", "address (default: the device's own)", set_to },
	{ "loopback", 'l', NULL,
	  "take what comes back, and count it (default: send only)",
	  set_loopback },
	{ "poll-us", 0, "N", "look for results for so long before sleeping",
	  set_poll_us },
	IO_FORMAT_OPTIONS,
};

void net_cmd_bench_help(void)
{
	(void)printf("\nOptions:\n");
	args_print_help(stdout, options, ARRAY_SIZE(options));
}

/* ---- a thread ---- */

/* Sends what is idle. Return: frames; -errno */
static int send_idle(struct bench_thread *t)
{
	struct vdpakit_net_frame frames[NET_CMD_BURST];
	unsigned int n = min_of(t->n_idle, (unsigned int)NET_CMD_BURST);
	int r;

	for (unsigned int i = 0; i < n; i++) {
		void *frame = t->idle[t->n_idle - 1 - i];

		frames[i] = (struct vdpakit_net_frame){
			.flags = VDPAKIT_NET_HEADROOM,
			.len_bytes = t->b->size_bytes,
			.buf = frame,
			.user = frame,
		};
	}
	r = vdpakit_net_send(t->tx, frames, n);
	t->n_idle -= r > 0 ? (unsigned int)r : 0;
	return io_err(r);
}

/* Return: frames; -errno */
static int take_done(struct bench_thread *t)
{
	int r = vdpakit_net_reclaim(t->tx, t->idle + t->n_idle,
				    t->b->depth - t->n_idle);

	if (r > 0) {
		t->n_idle += (unsigned int)r;
		t->n_done += (unsigned int)r;
	}
	return io_err(r);
}

/* Return: frames; -errno */
static int take_back(struct bench_thread *t)
{
	struct vdpakit_net_received got[NET_CMD_BURST];
	int n_all = 0, n = NET_CMD_BURST, r = 0;

	while (r == 0 && n == NET_CMD_BURST) {
		n = vdpakit_net_recv(t->rx, got, NET_CMD_BURST);
		if (n <= 0) {
			r = n;
			break;
		}
		n_all += n;
		r = vdpakit_net_give_back(t->rx, got, (unsigned int)n);
	}
	t->n_back += (unsigned int)n_all;
	return r < 0 ? io_err(r) : n_all;
}

/* Return: frames that were done or came back; -errno */
static int take_all(struct bench_thread *t)
{
	int done = take_done(t), back = 0;

	if (done >= 0 && t->b->is_loopback) {
		back = take_back(t);
	}
	return done < 0 || back < 0 ? min_of(done, back) : done + back;
}

static int wait_tx(struct bench_thread *t)
{
	int r = vdpakit_net_wait(t->tx, WAIT_MS);

	return r < 0 && r != -EINTR ? io_err(r) : 0;
}

static int keep_full(struct bench_thread *t)
{
	int r = 0;

	while (r >= 0 && io_now_ns() < t->b->end_ns) {
		int sent = t->n_idle > 0 ? send_idle(t) : 0;

		r = sent < 0 ? sent : take_all(t);
		if (r == 0 && sent == 0) {
			r = wait_tx(t);
		}
	}
	return min_of(r, 0);
}

static int end_sending(struct bench_thread *t)
{
	uint64_t end_ns = io_now_ns() + END_NS;
	int r = take_all(t);

	while (r >= 0 && t->n_idle < t->b->depth) {
		if (io_now_ns() > end_ns) {
			return err(-ETIMEDOUT,
				   "the device keeps %u frames for 5 s",
				   t->b->depth - t->n_idle);
		}
		r = wait_tx(t);
		r = r < 0 ? r : take_all(t);
	}
	return min_of(r, 0);
}

static int take_last(struct bench_thread *t)
{
	int r = 1;

	while (t->b->is_loopback && t->n_back < t->n_done && r > 0) {
		r = vdpakit_net_wait(t->rx, LAST_MS);
		r = r > 0 ? take_back(t) : io_err(r);
	}
	return min_of(r, 0);
}

static void *thread_main(void *arg)
{
	struct bench_thread *t = arg;
	int r = keep_full(t);

	if (r == 0) {
		r = end_sending(t);
	}
	if (r == 0) {
		r = take_last(t);
	}
	t->result = r;
	if (r < 0) {
		(void)snprintf(t->text, sizeof(t->text), "%s", err_text(r));
	}
	return NULL;
}

/* ---- results ---- */

static int print_results(const struct net_bench *b, uint64_t n_done,
			 uint64_t n_back, uint64_t ns)
{
	double s = (double)ns / (double)NS_PER_S;
	double pps = (double)n_done / s, back = (double)n_back / s;
	double mbit = pps * b->size_bytes * 8 / 1e6;
	uint64_t n_lost = b->is_loopback && n_done > n_back ? n_done - n_back
							    : 0;
	char text[TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%.0f frames/s, %.1f Mbit/s sent",
			 pps, mbit);

	if (b->is_loopback) {
		(void)snprintf(text + n, sizeof(text) - (size_t)n,
			       "; %.0f frames/s came back, %llu did not", back,
			       (unsigned long long)n_lost);
	}
	return io_print_result(
		&b->format, text,
		json_pack("{s:f s:I s:f s:f s:I s:f s:I s:i s:i s:i s:b}",
			  "seconds", s, "frames", (json_int_t)n_done,
			  "frames_per_s", pps, "mbit_per_s", mbit, "received",
			  (json_int_t)n_back, "received_per_s", back, "lost",
			  (json_int_t)n_lost, "size", (int)b->size_bytes,
			  "depth", (int)b->depth, "pairs", (int)b->n_pairs,
			  "loopback", (int)b->is_loopback));
}

/* ---- all of it ---- */

static int start_thread(struct net_bench *b, struct bench_thread *t,
			unsigned int idx)
{
	int r;

	t->b = b;
	t->rx = vdpakit_net_get_rx(b->end->net, idx);
	t->tx = vdpakit_net_get_tx(b->end->net, idx);
	for (unsigned int i = 0; i < b->depth; i++) {
		size_t at = (size_t)idx * b->depth + i;
		uint8_t *frame = b->memory + at * b->stride_bytes +
				 VDPAKIT_NET_HDR_BYTES;

		net_generate(frame, b->size_bytes, b->to, b->end->info.mac, at);
		t->idle[t->n_idle++] = frame;
	}
	r = pthread_create(&t->thread, NULL, thread_main, t);
	return r == 0 ? 0 : err(-r, "thread: %s", strerror(r));
}

static int run_threads(struct net_bench *b, struct bench_thread *threads)
{
	uint64_t start_ns = io_now_ns(), n_done = 0, n_back = 0;
	unsigned int n = 0;
	int r = 0;

	b->end_ns = start_ns + b->seconds * NS_PER_S;
	while (r == 0 && n < b->n_pairs) {
		r = start_thread(b, &threads[n], n);
		n += r == 0;
	}
	for (unsigned int i = 0; i < n; i++) {
		(void)pthread_join(threads[i].thread, NULL); /* ours */
		if (r == 0 && threads[i].result < 0) {
			r = err(threads[i].result, "%s", threads[i].text);
		}
		n_done += threads[i].n_done;
		n_back += threads[i].n_back;
	}
	return r < 0 ? r
		     : print_results(b, n_done, n_back, io_now_ns() - start_ns);
}

/* What the device takes; and finds buffers for, when it comes back. */
static int fit_device(struct net_bench *b)
{
	const struct vdpakit_net_info *i = &b->end->info;
	unsigned int n = net_end_n_buffers(b->end, b->size_bytes);

	if (b->size_bytes > net_frame_max(b->end)) {
		return err(-EMSGSIZE, "--size: it takes frames of %u bytes",
			   net_frame_max(b->end));
	}
	b->n_pairs = min_of(b->n_pairs, (unsigned int)i->n_pairs);
	b->depth = min_of(b->depth, (unsigned int)i->queue_size);
	if (b->is_loopback) {
		b->depth = min_of(b->depth, i->queue_size / (2 * n));
		b->depth = max_of(b->depth, 1U);
	}
	if (!b->has_to) {
		memcpy(b->to, i->mac, sizeof(b->to));
	}
	b->stride_bytes =
		align_up(VDPAKIT_NET_HDR_BYTES + b->size_bytes, CACHE_LINE);
	return 0;
}

static int run(struct net_end *end, void *priv)
{
	struct net_bench *b = priv;
	struct bench_thread *threads;
	void *memory;
	int r;

	b->end = end;
	r = fit_device(b);
	if (r == 0) {
		r = io_err(vdpakit_mem_alloc(
			end->kit, b->n_pairs * b->depth * b->stride_bytes,
			&memory));
	}
	if (r < 0) {
		return r;
	}
	b->memory = memory;
	threads = calloc(b->n_pairs, sizeof(*threads));
	if (!threads) {
		return err(-ENOMEM, "out of memory");
	}
	r = run_threads(b, threads);
	free(threads);
	return r;
}

int net_cmd_bench(const struct cli *cli, int argc, char **argv)
{
	struct net_bench b = {
		.format = { cli->is_json, cli->is_pretty },
		.size_bytes = 60,
		.seconds = 5,
		.n_pairs = 1,
		.depth = 64,
	};
	struct net_end_want want = { .n_pairs = 1 };
	int r = cli_take(options, ARRAY_SIZE(options), argc, argv, &b);

	if (r >= 0) {
		r = io_check_words(r, 1, 1, "DEVICE, one word,");
	}
	want.n_pairs = b.n_pairs;
	want.poll_us = b.poll_us;
	return r < 0 ? r : net_with_device(cli, argv[0], &want, run, &b);
}
