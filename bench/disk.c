/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a block request costs: reads of 4 KiB from a whole disk on one core, one
 * line a figure.
 *
 * A bus with one loop has a disk of the management device blk on the back end
 * null, which leaves the buffers alone. A poller on that loop plays the driver
 * and keeps DEPTH requests of three pieces (header, data, status) in flight. So
 * the figure is the driver, both sides of the ring, the class and its
 * statistics, without a system call and without data. request_ns is CPU time.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/util.h"
#include "bench.h"
#include "rig.h"

#define N_REPEATS  9
#define N_REQUESTS 1000000
#define N_WARM_UP  100000
#define RING_NUM   512
#define DEPTH	   128
#define BURST	   32
#define DATA_BYTES 4096
/* Header, status, and not a power of two. */
#define HEAD_STRIDE 192

struct bench {
	struct rig rig;
	struct vq_driver *drv;
	char *heads, *data;
	struct loop_poller driver;
	uint64_t n_done, n_wanted;
};

#define PACKED	 BIT_ULL(VIRTIO_F_RING_PACKED)
#define INDIRECT BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC)
static const struct variant {
	const char *ring;
	const char *with;
	uint64_t features;
} variants[] = {
	{ "split", "-", 0 },
	{ "split", "indirect", INDIRECT },
	{ "packed", "-", PACKED },
	{ "packed", "indirect", PACKED | INDIRECT },
};

static void offer(const struct bench *b, char *head)
{
	size_t i = (size_t)(head - b->heads) / HEAD_STRIDE;
	const struct vq_sg sg[] = {
		{ rig_iova(&b->rig, head), sizeof(struct virtio_blk_outhdr) },
		{ rig_iova(&b->rig, b->data + i * DATA_BYTES), DATA_BYTES },
		{ rig_iova(&b->rig, head) + 64, 1 },
	};

	bench_must(vq_driver_add(b->drv, sg, 1, 2, head) == 0);
}

static void publish(struct bench *b)
{
	if (vq_driver_publish(b->drv)) {
		(void)vdpa_kick_vq(b->rig.vdev, 0);
	}
}

static unsigned int driver_poll(void *priv)
{
	struct bench *b = priv;
	struct vq_used used[BURST];
	int n = vq_driver_get(b->drv, used, BURST);

	bench_must(n >= 0);
	for (int i = 0; i < n; i++) {
		char *head = used[i].cookie;

		bench_must(head[64] == VIRTIO_BLK_S_OK);
		offer(b, head);
	}
	publish(b);
	b->n_done += (uint64_t)n;
	if (b->n_done >= b->n_wanted) {
		loop_stop(b->rig.control);
	}
	return (unsigned int)n;
}

static bool driver_arm(void *priv)
{
	(void)priv;
	return true; /* never sleeps: it asked for no calls */
}

static void start(struct bench *b, uint64_t features)
{
	rig_negotiate(&b->rig, features | BIT_ULL(VIRTIO_BLK_F_FLUSH));
	b->drv = rig_set_up_queue(&b->rig, 0, RING_NUM);
	b->heads = rig_alloc(&b->rig, DEPTH * HEAD_STRIDE);
	b->data = rig_alloc(&b->rig, DEPTH * DATA_BYTES);
	memset(b->heads, 0, DEPTH * HEAD_STRIDE);
	for (unsigned int i = 0; i < DEPTH; i++) {
		offer(b, b->heads + (size_t)i * HEAD_STRIDE);
	}
	rig_set_driver_ok(&b->rig);
	publish(b);
	b->driver = (struct loop_poller){
		.poll = driver_poll,
		.arm = driver_arm,
		.priv = b,
	};
	loop_poller_add(b->rig.control, &b->driver);
	loop_poller_wake(&b->driver);
}

static void stop(struct bench *b)
{
	loop_poller_del(&b->driver);
	rig_reset(&b->rig);
	b->drv = vq_driver_free(b->drv);
}

static void run(struct bench *b, uint64_t n)
{
	b->n_done = 0;
	b->n_wanted = n;
	bench_must(loop_run(b->rig.control) == 0);
}

static double request_ns(struct bench *b, uint64_t features)
{
	uint64_t began_ns, ended_ns;

	start(b, features);
	run(b, N_WARM_UP);
	began_ns = bench_cpu_ns();
	run(b, N_REQUESTS);
	ended_ns = bench_cpu_ns();
	stop(b);
	return (double)(ended_ns - began_ns) / N_REQUESTS;
}

int main(int argc, char **argv)
{
	/* disk [RING [WITH]]: only those, for a profiler */
	static struct bench b;

	rig_init(&b.rig, "blk", NULL, false);
	for (unsigned int i = 0; i < ARRAY_SIZE(variants); i++) {
		const struct variant *v = &variants[i];
		double ns[N_REPEATS];

		if ((argc >= 2 && strcmp(argv[1], v->ring) != 0) ||
		    (argc >= 3 && strcmp(argv[2], v->with) != 0)) {
			continue;
		}
		for (unsigned int k = 0; k < N_REPEATS; k++) {
			ns[k] = request_ns(&b, v->features);
		}
		printf("bench=disk figure=null ring=%s with=%s depth=%u "
		       "request_ns=%.1f\n",
		       v->ring, v->with, DEPTH, bench_median(ns, N_REPEATS));
		(void)fflush(stdout);
	}
	rig_fini(&b.rig);
	return 0;
}
