/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames round a loopback device of this process, by the virtio net driver: one
 * line a figure.
 *
 * Each frame of 64 bytes is sent and received back: mpps counts it once. Both
 * sides poll; the client holds at most WINDOW frames under way, so that none
 * finds the receive queue empty.
 *
 *   threads=2  the device's worker on one CPU, the client on the other; wall
 *              time. probe_ns is what a cache line takes there and back, before
 *              the round: what the machine does to everything that two CPUs
 *              share
 *   threads=1  worker and client take turns on one CPU; its CPU time
 *
 *   copy       from memory of any kind: send() copies
 *   headroom   nothing is copied to send
 *
 * The device's queues and the driver's are what vdpakit_net_open() makes of
 * `net backend loopback`.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "bench.h"
#include "busdrv/virtio_vdpa.h"
#include "dev/net/net.h"
#include "virtio/net.h"

#define N_ROUNDS    9
#define N_FRAMES    2000000
#define N_WARM_UP   20000
#define N_CHUNK	    20000
#define ROUND_NS    300000000 /* of wall time */
#define N_PROBES    10000
#define BURST	    32
#define WINDOW	    192
#define FRAME_BYTES 64
#define STRIDE	    192
#define MEM_BYTES   (1U << 20)

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

struct bench {
	bool has_thread;
	struct loop *control, *worker;
	struct vdpa_bus *bus;
	struct vdpa_mgmtdev *mgmtdev;
	struct vdpa_driver *drv;
	struct dma_pool *pool;
	char *mem;
	struct vdpakit_net *net;
	struct vdpakit_net_queue *tx, *rx;

	/* the client's */
	struct loop_poller poller;
	struct vdpakit_net_frame frames[BURST];
	char *free[WINDOW];
	unsigned int n_free;
	bool is_copying;
	uint64_t n_sent, n_received, n_wanted;
};

/* ---- CPUs ---- */

/* Those that we may use, before anybody is pinned. */
static cpu_set_t all_cpus;

static void pin(unsigned int nth)
{
	unsigned int n = 0;
	cpu_set_t one;

	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &all_cpus) && n++ == nth) {
			CPU_SET(i, &one);
		}
	}
	bench_must(pthread_setaffinity_np(pthread_self(), sizeof(one), &one) ==
		   0);
}

static void pin_worker(void *priv)
{
	(void)priv;
	pin(1);
}

/* ---- probe ---- */

static uint32_t ball; /* atomic */

static void catch_balls(void *priv)
{
	(void)priv;
	for (uint32_t i = 0; i < N_PROBES; i++) {
		while (__atomic_load_n(&ball, __ATOMIC_ACQUIRE) != 2 * i + 1) {
		}
		__atomic_store_n(&ball, 2 * i + 2, __ATOMIC_RELEASE);
	}
}

static double probe_ns(struct bench *b)
{
	struct loop_work work = { .fn = catch_balls };
	uint64_t began_ns = bench_now_ns();

	__atomic_store_n(&ball, 0, __ATOMIC_RELAXED);
	loop_call(b->worker, &work);
	for (uint32_t i = 0; i < N_PROBES; i++) {
		__atomic_store_n(&ball, 2 * i + 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&ball, __ATOMIC_ACQUIRE) != 2 * i + 2) {
		}
	}
	return (double)(bench_now_ns() - began_ns) / N_PROBES;
}

/* ---- the client ---- */

static void client_recv(struct bench *b)
{
	struct vdpakit_net_received got[BURST];
	int n = vdpakit_net_recv(b->rx, got, BURST);

	bench_must(n >= 0);
	for (int i = 0; i < n; i++) {
		bench_must(got[i].len_bytes == FRAME_BYTES);
	}
	if (n > 0) {
		bench_must(vdpakit_net_give_back(b->rx, got, (unsigned int)n) ==
			   0);
		b->n_received += (unsigned int)n;
	}
}

static void client_reclaim(struct bench *b)
{
	void *users[BURST];
	int n = BURST;

	while (n == BURST) {
		n = vdpakit_net_reclaim(b->tx, users, BURST);
		bench_must(n >= 0);
		for (int i = 0; i < n; i++) {
			b->free[b->n_free++] = users[i];
		}
	}
}

static void client_send(struct bench *b)
{
	uint64_t room = WINDOW - (b->n_sent - b->n_received);
	int n;

	if (room < BURST) {
		return;
	}
	if (!b->is_copying && b->n_free < BURST) {
		client_reclaim(b);
		if (b->n_free < BURST) {
			return;
		}
	}
	for (unsigned int i = 0; !b->is_copying && i < BURST; i++) {
		b->frames[i].buf = b->free[b->n_free - 1 - i];
		b->frames[i].user = b->frames[i].buf;
	}
	n = vdpakit_net_send(b->tx, b->frames, BURST);
	bench_must(n >= 0);
	b->n_sent += (unsigned int)n;
	if (!b->is_copying) {
		b->n_free -= (unsigned int)n;
	}
}

static unsigned int client_poll(void *priv)
{
	struct bench *b = priv;

	client_recv(b);
	client_send(b);
	if (!b->has_thread && b->n_received >= b->n_wanted) {
		loop_stop(b->control);
	}
	return 1;
}

static bool client_arm(void *priv)
{
	(void)priv;
	return true;
}

static void run_frames(struct bench *b, uint64_t n)
{
	b->n_wanted = b->n_received + n;
	if (!b->has_thread) {
		bench_must(loop_run(b->control) == 0);
		return;
	}
	while (b->n_received < b->n_wanted) {
		(void)client_poll(b);
	}
}

/* ---- set-up ---- */

static void make_bus(struct bench *b)
{
	struct region *region;

	bench_must(loop_new("control", &b->control) == 0);
	b->worker = b->control;
	pin(0);
	if (b->has_thread) {
		bench_must(loop_new("worker", &b->worker) == 0);
		bench_must(loop_start(b->worker) == 0);
		loop_call_wait(b->worker, pin_worker, NULL);
	}
	bench_must(vdpa_bus_new(b->control, &b->worker, 1, &b->bus) == 0);
	bench_must(net_register(b->bus, &b->mgmtdev) == 0);
	bench_must(virtio_vdpa_register(b->bus, &b->drv) == 0);
	bench_must(dma_pool_new(&b->pool) == 0);
	bench_must(dma_region_new(MEM_BYTES, &region) == 0);
	bench_must(dma_pool_add(b->pool, region) == 0);
	b->mem = region_va(region);
	region_unref(region);
}

static void add_device(struct bench *b)
{
	struct vdpa_dev_config config = {
		.is_admin = true,
		.mask = BIT_ULL(VDPA_ATTR_MAC),
		.n_params = 2,
		.params = { { "backend", "loopback" },
			    { "poll_us", "1000000" } },
	};

	memcpy(config.mac, mac, sizeof(mac));
	bench_must(vdpa_dev_add(b->bus, NULL, "net", "n0", &config) == 0);
}

static void open_net(struct bench *b, bool is_packed)
{
	struct vdpakit_net_options options = {
		.size = sizeof(options),
		.no_packed = !is_packed,
	};
	struct vdpa_device *vdev = vdpa_device_find(b->bus, "n0");

	bench_must(net_probe(virtio_vdpa_get(vdev), b->pool, b->control,
			     &options, &b->net) == 0);
	b->tx = vdpakit_net_get_tx(b->net, 0);
	b->rx = vdpakit_net_get_rx(b->net, 0);
}

static void make_frames(struct bench *b, bool is_copying)
{
	b->is_copying = is_copying;
	b->n_free = 0;
	b->n_sent = 0;
	b->n_received = 0;
	for (unsigned int i = 0; i < WINDOW; i++) {
		char *frame = b->mem + i * STRIDE + VDPAKIT_NET_HDR_BYTES;

		memset(frame, 0, FRAME_BYTES);
		memcpy(frame, mac, sizeof(mac));
		b->free[b->n_free++] = frame;
	}
	for (unsigned int i = 0; i < BURST; i++) {
		b->frames[i] = (struct vdpakit_net_frame){
			.flags = is_copying ? VDPAKIT_NET_COPY
					    : VDPAKIT_NET_HEADROOM,
			.len_bytes = FRAME_BYTES,
			.buf = b->free[i],
		};
	}
}

static void init(struct bench *b, bool has_thread)
{
	memset(b, 0, sizeof(*b));
	b->has_thread = has_thread;
	make_bus(b);
	add_device(b);
	bench_must(vdpa_dev_bind(b->bus, "n0", "virtio_vdpa", NULL, 0) == 0);
}

static void fini(struct bench *b)
{
	virtio_vdpa_unregister(b->drv);
	net_unregister(b->mgmtdev);
	vdpa_bus_free(b->bus);
	if (b->has_thread) {
		loop_stop(b->worker);
		loop_free(b->worker);
	}
	loop_free(b->control);
	dma_pool_free(b->pool);
}

/* ---- figures ---- */

static double cpu_mpps(struct bench *b)
{
	uint64_t began_ns;

	run_frames(b, N_WARM_UP);
	began_ns = bench_cpu_ns();
	run_frames(b, N_FRAMES);
	return N_FRAMES * 1e3 / (double)(bench_cpu_ns() - began_ns);
}

/* For a time, not for a number: others may want the CPUs, too. */
static double wall_mpps(struct bench *b)
{
	uint64_t began_ns, now_ns, n = 0;

	run_frames(b, N_WARM_UP);
	began_ns = bench_now_ns();
	do {
		run_frames(b, N_CHUNK);
		n += N_CHUNK;
		now_ns = bench_now_ns();
	} while (now_ns - began_ns < ROUND_NS);
	return (double)n * 1e3 / (double)(now_ns - began_ns);
}

static double measure_round(struct bench *b, bool is_packed, bool is_copying)
{
	double mpps;

	open_net(b, is_packed);
	make_frames(b, is_copying);
	if (!b->has_thread) {
		b->poller = (struct loop_poller){
			.poll = client_poll,
			.arm = client_arm,
			.priv = b,
		};
		loop_poller_add(b->control, &b->poller);
		loop_poller_wake(&b->poller);
	}
	mpps = b->has_thread ? wall_mpps(b) : cpu_mpps(b);
	if (!b->has_thread) {
		loop_poller_del(&b->poller);
	}
	net_remove(b->net);
	return mpps;
}

static void measure(struct bench *b, bool is_packed, bool is_copying,
		    unsigned int n)
{
	double mpps[N_ROUNDS], probes[N_ROUNDS];
	double median;

	for (unsigned int i = 0; i < n; i++) {
		probes[i] = b->has_thread ? probe_ns(b) : 0;
		mpps[i] = measure_round(b, is_packed, is_copying);
	}
	median = bench_median(mpps, n); /* and sorts */
	printf("bench=virtio_net figure=loopback threads=%u ring=%s send=%s "
	       "frame_bytes=%u mpps=%.2f best_mpps=%.2f probe_ns=%.0f\n",
	       b->has_thread ? 2 : 1, is_packed ? "packed" : "split",
	       is_copying ? "copy" : "headroom", FRAME_BYTES, median,
	       mpps[n - 1], bench_median(probes, n));
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	/* virtio_net [THREADS [REPEATS]]: only those, for a profiler */
	unsigned long only = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : N_ROUNDS;
	static struct bench b;

	bench_must(n >= 1 && n <= N_ROUNDS);
	bench_must(sched_getaffinity(0, sizeof(all_cpus), &all_cpus) == 0);
	for (int threads = 1; threads <= 2; threads++) {
		if ((only != 0 && threads != (int)only) ||
		    threads > CPU_COUNT(&all_cpus)) {
			continue;
		}
		init(&b, threads == 2);
		for (unsigned int i = 0; i < 4; i++) {
			measure(&b, i & 1, i & 2, (unsigned int)n);
		}
		fini(&b);
	}
	return 0;
}
