/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the virtio block driver of a program costs, on a disk of its own that
 * moves no data (the back end null): reads of 4 KiB, one line a figure.
 *
 *   threads=2  the program's thread, and the worker that serves the disk, which
 *              polls: how fast requests go between two cores
 *   threads=1  the worker's loop runs in the program's thread: all that there
 *              is to be computed for a request, on one core
 *
 *   figure=batch  DEPTH requests are under way, added and polled for in batches
 *                 of BATCH: requests a second
 *   figure=one    one at a time, polled for: nanoseconds each
 *
 * threads=2 is real time, of whole cores; figure=limit is what two threads of
 * this machine need for a word there and one back, measured before each round
 * of figure=one. threads=1 is CPU time.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "bench.h"
#include "busdrv/virtio_vdpa.h"
#include "dev/blk/blk.h"
#include "virtio/blk.h"

#define N_REPEATS  9
#define DEPTH	   128
#define BATCH	   32
#define N_BATCH	   500000
#define N_ONE	   20000 /* with others on its cores it takes long */
#define DATA_BYTES 4096
#define POLL_US	   "1000000" /* of the device: it never sleeps meanwhile */

struct bench {
	struct loop *control;
	struct loop *worker; /* may be the same */
	struct vdpa_bus *bus;
	struct vdpa_mgmtdev *disk;
	struct vdpa_driver *virtio_vdpa;
	struct dma_pool *pool;
	char *mem;
	struct vdpakit_blk *blk;
	struct vdpakit_blk_queue *q;
	/* threads=1 */
	struct loop_poller client;
	uint64_t n_added, n_done, n_wanted;
	unsigned int depth, batch;
};

static const struct variant {
	const char *ring;
	bool no_packed;
} variants[] = {
	{ "packed", false },
	{ "split", true },
};

/* ---- a disk ---- */

static void add_param(struct vdpa_dev_config *config, const char *key,
		      const char *value)
{
	struct vdpa_param *param = &config->params[config->n_params++];

	(void)snprintf(param->key, sizeof(param->key), "%s", key);
	(void)snprintf(param->value, sizeof(param->value), "%s", value);
}

static void make_bus(struct bench *b, bool has_thread)
{
	struct vdpa_dev_config config = { 0 };

	bench_must(loop_new("control", &b->control) == 0);
	b->worker = b->control;
	if (has_thread) {
		bench_must(loop_new("worker", &b->worker) == 0);
		bench_must(loop_start(b->worker) == 0);
	}
	bench_must(vdpa_bus_new(b->control, &b->worker, 1, &b->bus) == 0);
	bench_must(virtio_vdpa_register(b->bus, &b->virtio_vdpa) == 0);
	bench_must(blk_register(b->bus, &b->disk) == 0);
	add_param(&config, "backend", "null");
	if (has_thread) {
		add_param(&config, "poll_us", POLL_US);
	}
	bench_must(vdpa_dev_add(b->bus, NULL, "blk", "d0", &config) == 0);
}

static void make_memory(struct bench *b)
{
	struct region *region;

	bench_must(dma_pool_new(&b->pool) == 0);
	bench_must(dma_region_new(DEPTH * DATA_BYTES, &region) == 0);
	bench_must(dma_pool_add(b->pool, region) == 0);
	b->mem = region_va(region);
	memset(b->mem, 1, DEPTH * DATA_BYTES);
	region_unref(region);
}

static void init(struct bench *b, const struct variant *v, bool has_thread)
{
	struct vdpakit_blk_options options = {
		.size = sizeof(options),
		.n_queues = 1,
		.no_packed = v->no_packed,
	};

	memset(b, 0, sizeof(*b));
	make_bus(b, has_thread);
	make_memory(b);
	bench_must(blk_probe(virtio_vdpa_get(vdpa_device_find(b->bus, "d0")),
			     b->pool, &options, &b->blk) == 0);
	b->q = vdpakit_blk_get_queue(b->blk, 0);
}

static void fini(struct bench *b)
{
	blk_remove(b->blk);
	virtio_vdpa_unregister(b->virtio_vdpa);
	blk_unregister(b->disk);
	vdpa_bus_free(b->bus);
	dma_pool_free(b->pool);
	if (b->worker != b->control) {
		loop_stop(b->worker);
		loop_free(b->worker);
	}
	loop_free(b->control);
}

/* ---- requests ---- */

static void add(struct bench *b, unsigned int n)
{
	struct vdpakit_blk_req reqs[BATCH];

	for (unsigned int i = 0; i < n; i++) {
		uint64_t k = b->n_added++;

		reqs[i] = (struct vdpakit_blk_req){
			.op = VDPAKIT_BLK_READ,
			.offset_bytes = k % 65536 * DATA_BYTES,
			.len_bytes = DATA_BYTES,
			.buf = b->mem + k % DEPTH * DATA_BYTES,
		};
	}
	bench_must(vdpakit_blk_add(b->q, reqs, n) == (int)n);
	bench_must(vdpakit_blk_submit(b->q) == 0);
}

static unsigned int reap(struct bench *b)
{
	struct vdpakit_blk_done done[BATCH];
	int n = vdpakit_blk_poll(b->q, done, b->batch);

	bench_must(n >= 0);
	for (int i = 0; i < n; i++) {
		bench_must(done[i].result == 0);
	}
	b->n_done += (uint64_t)n;
	return (unsigned int)n;
}

static void begin(struct bench *b, unsigned int depth, uint64_t n)
{
	b->depth = depth;
	b->batch = min_of(depth, (unsigned int)BATCH);
	b->n_added = 0;
	b->n_done = 0;
	b->n_wanted = n;
}

static void top_up(struct bench *b)
{
	/* In whole batches, as somebody would who has them so. */
	while (b->n_added < b->n_wanted &&
	       b->n_added - b->n_done + b->batch <= b->depth) {
		add(b, b->batch);
	}
}

static void run_polling(struct bench *b)
{
	while (b->n_done < b->n_wanted) {
		top_up(b);
		(void)reap(b);
	}
}

/* ---- one thread ---- */

static unsigned int client_poll(void *priv)
{
	struct bench *b = priv;
	unsigned int n;

	n = reap(b);
	top_up(b);
	if (b->n_done >= b->n_wanted) {
		loop_stop(b->control);
	}
	return n;
}

static bool client_arm(void *priv)
{
	(void)priv;
	return true; /* never sleeps: it asked for no calls */
}

static void run_loop(struct bench *b)
{
	b->client = (struct loop_poller){
		.poll = client_poll,
		.arm = client_arm,
		.priv = b,
	};
	loop_poller_add(b->control, &b->client);
	loop_poller_wake(&b->client);
	bench_must(loop_run(b->control) == 0);
	loop_poller_del(&b->client);
}

/* ---- the machine's limit ---- */

static uint32_t ball;

static void *bounce(void *priv)
{
	(void)priv;
	for (uint32_t i = 1; i <= N_ONE; i++) {
		while (__atomic_load_n(&ball, __ATOMIC_ACQUIRE) != 2 * i - 1) {
		}
		__atomic_store_n(&ball, 2 * i, __ATOMIC_RELEASE);
	}
	return NULL;
}

static double limit_ns(void)
{
	uint64_t began_ns, ended_ns;
	pthread_t thread;

	ball = 0;
	bench_must(pthread_create(&thread, NULL, bounce, NULL) == 0);
	began_ns = bench_now_ns();
	for (uint32_t i = 1; i <= N_ONE; i++) {
		__atomic_store_n(&ball, 2 * i - 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&ball, __ATOMIC_ACQUIRE) != 2 * i) {
		}
	}
	ended_ns = bench_now_ns();
	bench_must(pthread_join(thread, NULL) == 0);
	return (double)(ended_ns - began_ns) / N_ONE;
}

/* ---- figures ---- */

static double request_ns(struct bench *b, bool has_thread, unsigned int depth,
			 uint64_t n)
{
	uint64_t began_ns;

	begin(b, depth, n);
	began_ns = has_thread ? bench_now_ns() : bench_cpu_ns();
	if (has_thread) {
		run_polling(b);
	} else {
		run_loop(b);
	}
	return (double)((has_thread ? bench_now_ns() : bench_cpu_ns()) -
			began_ns) /
	       (double)n;
}

static void measure(const struct variant *v, bool has_thread)
{
	double batch[N_REPEATS], one[N_REPEATS], limit[N_REPEATS] = { 0 }, ns;
	struct bench b;

	init(&b, v, has_thread);
	(void)request_ns(&b, has_thread, DEPTH, N_BATCH / 10);
	for (unsigned int i = 0; i < N_REPEATS; i++) {
		batch[i] = request_ns(&b, has_thread, DEPTH, N_BATCH);
		limit[i] = has_thread ? limit_ns() : 0;
		one[i] = request_ns(&b, has_thread, 1, N_ONE);
	}
	fini(&b);
	ns = bench_median(batch, N_REPEATS);
	printf("bench=virtio_blk figure=batch ring=%s threads=%u depth=%u "
	       "batch=%u request_ns=%.1f requests_s=%.0f\n",
	       v->ring, has_thread ? 2 : 1, DEPTH, BATCH, ns, 1e9 / ns);
	printf("bench=virtio_blk figure=one ring=%s threads=%u request_ns=%.1f\n",
	       v->ring, has_thread ? 2 : 1, bench_median(one, N_REPEATS));
	if (has_thread) {
		printf("bench=virtio_blk figure=limit threads=2 "
		       "round_trip_ns=%.1f\n",
		       bench_median(limit, N_REPEATS));
	}
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	/* virtio_blk [RING [THREADS]]: only those, for a profiler */
	for (unsigned int i = 0; i < ARRAY_SIZE(variants); i++) {
		if (argc >= 2 && strcmp(argv[1], variants[i].ring) != 0) {
			continue;
		}
		for (unsigned int threads = 1; threads <= 2; threads++) {
			if (argc < 3 || argv[2][0] == (char)('0' + threads)) {
				measure(&variants[i], threads == 2);
			}
		}
	}
	return 0;
}
