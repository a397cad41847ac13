/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From kick to call, one request at a time: one line a figure.
 *
 * The driver is the main thread, the device's worker a thread of its own. net:
 * from offering a frame of 64 bytes to seeing it come back. blk: a read of 512
 * bytes.
 *
 * mode=event: both sleep; kick and call are eventfds. limit: two threads that
 * wake each other through eventfds and do nothing else. cpus=1: both on the
 * same, where the system likes to put such a pair; cpus=2: on one each.
 * mode=polled: the device polls (poll_us), the driver spins on the used ring;
 * nobody kicks or calls. limit: a cache line that goes to the other thread and
 * back.
 *
 * The limit is measured before and after each set of rounds. A set whose limit
 * changed, because the system moved the threads meanwhile, is thrown away;
 * ratio is the median of those of the sets that are left.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"
#include "bench.h"
#include "rig.h"

#define N_SETS	     9
#define N_TRIES	     40
#define N_ROUNDS     1000
#define N_WARM_UP    300
#define N_PROBES     1000
#define NUM	     64
#define FRAME_BYTES  (12 + 64)
#define SECTOR_BYTES 512

enum mode {
	MODE_EVENT_1_CPU,
	MODE_EVENT_2_CPUS,
	MODE_POLLED,
	MODE_N,
};

static const struct {
	const char *text;
	bool is_polled;
	unsigned int n_cpus;
} modes[] = {
	{ "mode=event cpus=1", false, 1 },
	{ "mode=event cpus=2", false, 2 },
	{ "mode=polled cpus=2", true, 2 },
};
_Static_assert(ARRAY_SIZE(modes) == MODE_N, "one each");

/* ---- CPUs ---- */

/* Of those that we may use, the first and the second. */
static int cpus[2];
static unsigned int n_cpus;

static void find_cpus(void)
{
	cpu_set_t set;

	bench_must(sched_getaffinity(0, sizeof(set), &set) == 0);
	for (int i = 0; i < CPU_SETSIZE && n_cpus < 2; i++) {
		if (CPU_ISSET(i, &set)) {
			cpus[n_cpus++] = i;
		}
	}
}

/* Puts the calling thread there: the driver is on CPU 0, of ours, the other
 * thread on CPU 0 or 1. */
static void pin(unsigned int idx)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpus[idx], &set);
	bench_must(pthread_setaffinity_np(pthread_self(), sizeof(set), &set) ==
		   0);
}

static void pin_worker(void *priv)
{
	pin(modes[*(const enum mode *)priv].n_cpus - 1);
}

/* ---- limits ---- */

struct pong {
	enum mode mode;
	int to_fd, from_fd;
	/* on lines of their own */
	unsigned int to __attribute__((aligned(128)));
	unsigned int from __attribute__((aligned(128)));
};

static void pass(int fd)
{
	uint64_t one = 1;

	bench_must(write(fd, &one, sizeof(one)) == sizeof(one));
}

static void await(int fd)
{
	uint64_t n;

	bench_must(read(fd, &n, sizeof(n)) == sizeof(n));
}

static void *pong_events(void *arg)
{
	struct pong *p = arg;

	pin(modes[p->mode].n_cpus - 1);
	for (unsigned int i = 0; i < N_PROBES; i++) {
		await(p->to_fd);
		pass(p->from_fd);
	}
	return NULL;
}

static void *pong_line(void *arg)
{
	struct pong *p = arg;

	pin(modes[p->mode].n_cpus - 1);
	for (unsigned int i = 1; i <= N_PROBES; i++) {
		while (__atomic_load_n(&p->to, __ATOMIC_ACQUIRE) != i) {
		}
		__atomic_store_n(&p->from, i, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void ping(struct pong *p, unsigned int i)
{
	if (!modes[p->mode].is_polled) {
		pass(p->to_fd);
		await(p->from_fd);
		return;
	}
	__atomic_store_n(&p->to, i, __ATOMIC_RELEASE);
	while (__atomic_load_n(&p->from, __ATOMIC_ACQUIRE) != i) {
	}
}

/* Median round trip, microseconds. */
static double limit_us(enum mode mode)
{
	static double us[N_PROBES];
	static struct pong p;
	pthread_t thread;

	p.mode = mode;
	p.to = 0;
	p.from = 0;
	p.to_fd = eventfd(0, EFD_CLOEXEC);
	p.from_fd = eventfd(0, EFD_CLOEXEC);
	bench_must(p.to_fd >= 0 && p.from_fd >= 0);
	bench_must(
		pthread_create(&thread, NULL,
			       modes[mode].is_polled ? pong_line : pong_events,
			       &p) == 0);
	for (unsigned int i = 0; i < N_PROBES; i++) {
		uint64_t began_ns = bench_now_ns();

		ping(&p, i + 1);
		us[i] = (double)(bench_now_ns() - began_ns) / 1e3;
	}
	(void)pthread_join(thread, NULL);
	close(p.to_fd);
	close(p.from_fd);
	return bench_median(us, N_PROBES);
}

/* ---- requests ---- */

struct queue {
	struct vq_driver *drv;
	int kick_fd, call_fd;
};

struct bench {
	struct rig rig;
	enum mode mode;
	bool is_net;
	struct queue q[2];
	char *sent; /* the frame, or header and status */
	char *got; /* receive buffer, or sectors */
};

static void set_up_queue(struct bench *b, unsigned int idx)
{
	struct queue *q = &b->q[idx];
	struct vdpa_callback cb;

	q->drv = rig_set_up_queue(&b->rig, idx, NUM);
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC);
	bench_must(q->kick_fd >= 0 && q->call_fd >= 0);
	cb = (struct vdpa_callback){ .trigger_fd = q->call_fd };
	bench_must(vdpa_set_vq_kick_fd(b->rig.vdev, idx, q->kick_fd) == 0);
	bench_must(vdpa_set_vq_cb(b->rig.vdev, idx, &cb) == 0);
}

static void publish(struct queue *q)
{
	if (vq_driver_publish(q->drv)) {
		pass(q->kick_fd);
	}
}

static void await_used(const struct bench *b, struct queue *q)
{
	struct vq_used used;
	int n;

	while ((n = vq_driver_get(q->drv, &used, 1)) == 0) {
		if (!modes[b->mode].is_polled &&
		    !vq_driver_enable_call(q->drv)) {
			await(q->call_fd);
		}
	}
	bench_must(n == 1);
}

static void add(struct bench *b, struct queue *q, const struct vq_sg *sg,
		unsigned int n_readable, unsigned int n_writable)
{
	bench_must(vq_driver_add(q->drv, sg, n_readable, n_writable, b) == 0);
}

static void run_net(struct bench *b)
{
	const struct vq_sg sent = { rig_iova(&b->rig, b->sent), FRAME_BYTES };
	const struct vq_sg got = { rig_iova(&b->rig, b->got), 2048 };
	struct vq_used used;

	add(b, &b->q[0], &got, 0, 1);
	publish(&b->q[0]);
	add(b, &b->q[1], &sent, 1, 0);
	publish(&b->q[1]);
	await_used(b, &b->q[0]);
	while (vq_driver_get(b->q[1].drv, &used, 1) == 0) {
	}
}

static void run_blk(struct bench *b)
{
	struct virtio_blk_outhdr *hdr = (struct virtio_blk_outhdr *)b->sent;
	char *status = b->sent + sizeof(*hdr);
	const struct vq_sg sg[] = {
		{ rig_iova(&b->rig, hdr), sizeof(*hdr) },
		{ rig_iova(&b->rig, b->got), SECTOR_BYTES },
		{ rig_iova(&b->rig, status), 1 },
	};

	hdr->type = htole32(VIRTIO_BLK_T_IN);
	*status = 0x7f;
	add(b, &b->q[0], sg, 1, 2);
	publish(&b->q[0]);
	await_used(b, &b->q[0]);
	bench_must(*status == VIRTIO_BLK_S_OK);
}

static double time_rounds(struct bench *b, double *ret_p99_us)
{
	static double us[N_ROUNDS];

	for (unsigned int i = 0; i < N_WARM_UP + N_ROUNDS; i++) {
		uint64_t began_ns = bench_now_ns();

		if (b->is_net) {
			run_net(b);
		} else {
			run_blk(b);
		}
		if (i >= N_WARM_UP) {
			us[i - N_WARM_UP] =
				(double)(bench_now_ns() - began_ns) / 1e3;
		}
	}
	*ret_p99_us = bench_quantile(us, N_ROUNDS, 990);
	return bench_median(us, N_ROUNDS);
}

/* ---- sets ---- */

static void start(struct bench *b, uint64_t features)
{
	rig_init(&b->rig, b->is_net ? "vdpasim_net" : "vdpasim_blk",
		 modes[b->mode].is_polled ? "1000" : NULL, true);
	loop_call_wait(b->rig.worker, pin_worker, &b->mode);
	rig_negotiate(&b->rig, features);
	b->sent = rig_alloc(&b->rig, 4096);
	b->got = rig_alloc(&b->rig, 4096);
	memset(b->sent, 0, 4096);
	if (b->is_net) {
		memset(b->sent + 12, 0xff, 6); /* broadcast */
	}
	for (unsigned int i = 0; i < (b->is_net ? 2U : 1U); i++) {
		set_up_queue(b, i);
	}
	rig_set_driver_ok(&b->rig);
}

static void stop(struct bench *b)
{
	rig_fini(&b->rig);
	for (unsigned int i = 0; i < (b->is_net ? 2U : 1U); i++) {
		vq_driver_free(b->q[i].drv);
		close(b->q[i].kick_fd);
		close(b->q[i].call_fd);
	}
}

static void measure(bool is_net, enum mode mode, const char *ring,
		    uint64_t features)
{
	double us[N_TRIES], p99[N_TRIES], limit[N_TRIES], ratio[N_TRIES];
	struct bench b = { .is_net = is_net, .mode = mode };
	unsigned int n = 0, n_tries;

	start(&b, features);
	for (n_tries = 0; n_tries < N_TRIES && n < N_SETS; n_tries++) {
		double before = limit_us(mode), after;

		us[n] = time_rounds(&b, &p99[n]);
		after = limit_us(mode);
		limit[n] = (before + after) / 2;
		ratio[n] = us[n] / limit[n];
		n += before < after * 1.3 && after < before * 1.3;
	}
	stop(&b);
	if (n == 0) {
		printf("bench=latency figure=kick_to_call device=%s ring=%s "
		       "%s noisy=yes\n",
		       is_net ? "net" : "blk", ring, modes[mode].text);
		return;
	}
	printf("bench=latency figure=kick_to_call device=%s ring=%s %s "
	       "us=%.2f p99_us=%.2f limit_us=%.2f ratio=%.2f sets=%u "
	       "discarded=%u\n",
	       is_net ? "net" : "blk", ring, modes[mode].text,
	       bench_median(us, n), bench_median(p99, n),
	       bench_median(limit, n), bench_median(ratio, n), n, n_tries - n);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	find_cpus();
	pin(0);
	/* latency probe: how far the two CPUs are apart now, and no more */
	if (argc == 2 && strcmp(argv[1], "probe") == 0) {
		bench_must(n_cpus == 2);
		printf("bench=latency figure=cache_line_round_trip ns=%.0f\n",
		       limit_us(MODE_POLLED) * 1e3);
		return 0;
	}
	for (unsigned int is_net = 0; is_net < 2; is_net++) {
		for (enum mode mode = 0; mode < MODE_N; mode++) {
			if (modes[mode].n_cpus > n_cpus) {
				printf("bench=latency %s skipped=one_cpu\n",
				       modes[mode].text);
				continue;
			}
			measure(is_net, mode, "split", 0);
			measure(is_net, mode, "packed",
				BIT_ULL(VIRTIO_F_RING_PACKED));
		}
	}
	return 0;
}
