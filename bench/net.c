/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames round a whole loopback device on one core: one line a figure.
 *
 * A bus with one loop has a vdpasim_net. A poller on that loop plays the
 * driver: it takes back what was used, offers it anew, publishes. The pump of
 * the device is the loop's other poller. So each frame is offered and fetched
 * on the transmit queue, filtered, copied to a buffer that was offered and
 * fetched on the receive queue, completed and taken back on both; all in one
 * thread, without a system call. Frames are 64 bytes behind the header of 12.
 *
 * limit: the same copies of the same buffers between two bare rings (bare.h).
 * It alternates with the device, and ratio is the median of the ratios of
 * neighbours.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "bare.h"
#include "base/util.h"
#include "bench.h"
#include "rig.h"

#define N_REPEATS    15
#define N_FRAMES     1000000
#define N_WARM_UP    100000
#define RING_NUM     256
#define BURST	     32
#define HDR_BYTES    12
#define FRAME_BYTES  64
#define BUFFER_BYTES 2048
/* Not a power of two, or all buffers would share a few sets of the cache. */
#define STRIDE (BUFFER_BYTES + 128)

/* One side of the driver; buffers are cookies. */
struct queue {
	struct vq_driver *drv;
	char *buffers;
	bool is_rx;
	uint32_t idx;
};

struct bench {
	struct rig rig;
	struct queue rx, tx;
	struct loop_poller driver;
	uint64_t n_received;
	uint64_t n_wanted;
};

struct variant {
	const char *ring;
	const char *with;
	uint64_t features;
};

#define PACKED BIT_ULL(VIRTIO_F_RING_PACKED)
static const struct variant variants[] = {
	{ "split", "-", 0 },
	{ "split", "event_idx", BIT_ULL(VIRTIO_RING_F_EVENT_IDX) },
	{ "split", "in_order", BIT_ULL(VIRTIO_F_IN_ORDER) },
	{ "split", "mrg_rxbuf", BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) },
	{ "packed", "-", PACKED },
	{ "packed", "event_idx", PACKED | BIT_ULL(VIRTIO_RING_F_EVENT_IDX) },
	{ "packed", "in_order", PACKED | BIT_ULL(VIRTIO_F_IN_ORDER) },
	{ "packed", "mrg_rxbuf", PACKED | BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) },
};

/* ---- the driver ---- */

static void offer(const struct bench *b, const struct queue *q, char *buffer)
{
	const struct vq_sg sg = {
		.iova = rig_iova(&b->rig, buffer),
		.len = q->is_rx ? BUFFER_BYTES : HDR_BYTES + FRAME_BYTES,
	};

	bench_must(vq_driver_add(q->drv, &sg, !q->is_rx, q->is_rx, buffer) ==
		   0);
}

static void publish(struct bench *b, const struct queue *q)
{
	if (vq_driver_publish(q->drv)) {
		(void)vdpa_kick_vq(b->rig.vdev, q->idx);
	}
}

/* Takes back a burst of used buffers and offers them again. */
static unsigned int turn_round(struct bench *b, const struct queue *q)
{
	struct vq_used used[BURST];
	int n = vq_driver_get(q->drv, used, BURST);

	bench_must(n >= 0);
	for (int i = 0; i < n; i++) {
		if (q->is_rx) {
			bench_must(used[i].written == HDR_BYTES + FRAME_BYTES);
		}
		offer(b, q, used[i].cookie);
	}
	publish(b, q);
	return (unsigned int)n;
}

static unsigned int driver_poll(void *priv)
{
	struct bench *b = priv;
	unsigned int n = turn_round(b, &b->rx);

	b->n_received += n;
	if (b->n_received >= b->n_wanted) {
		loop_stop(b->rig.control);
	}
	return n + turn_round(b, &b->tx);
}

static bool driver_arm(void *priv)
{
	(void)priv;
	return true; /* never sleeps: it asked for no calls */
}

static void driver_start(struct bench *b)
{
	b->driver = (struct loop_poller){
		.poll = driver_poll,
		.arm = driver_arm,
		.priv = b,
	};
	loop_poller_add(b->rig.control, &b->driver);
	loop_poller_wake(&b->driver);
}

/* ---- set-up ---- */

static void set_up_queue(struct bench *b, struct queue *q, uint32_t idx)
{
	q->idx = idx;
	q->is_rx = idx == 0;
	q->drv = rig_set_up_queue(&b->rig, idx, RING_NUM);
	q->buffers = rig_alloc(&b->rig, RING_NUM * STRIDE);
	for (unsigned int i = 0; i < RING_NUM; i++) {
		char *buffer = q->buffers + i * STRIDE;

		memset(buffer, 0, HDR_BYTES);
		memset(buffer + HDR_BYTES, 0xff, FRAME_BYTES); /* broadcast */
		offer(b, q, buffer);
	}
}

static void start(struct bench *b, uint64_t features)
{
	rig_negotiate(&b->rig, features);
	set_up_queue(b, &b->rx, 0);
	set_up_queue(b, &b->tx, 1);
	rig_set_driver_ok(&b->rig);
	publish(b, &b->rx);
	publish(b, &b->tx);
	driver_start(b);
}

static void stop(struct bench *b)
{
	loop_poller_del(&b->driver);
	rig_reset(&b->rig);
	b->rx.drv = vq_driver_free(b->rx.drv);
	b->tx.drv = vq_driver_free(b->tx.drv);
}

/* ---- figures ---- */

static void run_frames(struct bench *b, uint64_t n)
{
	b->n_received = 0;
	b->n_wanted = n;
	bench_must(loop_run(b->rig.control) == 0);
}

static double device_mpps(struct bench *b, uint64_t features)
{
	uint64_t began_ns, ended_ns;

	start(b, features);
	run_frames(b, N_WARM_UP);
	began_ns = bench_cpu_ns();
	run_frames(b, N_FRAMES);
	ended_ns = bench_cpu_ns();
	stop(b);
	return N_FRAMES * 1e3 / (double)(ended_ns - began_ns);
}

static void measure(struct bench *b, const struct variant *v, unsigned int n)
{
	double mpps[N_REPEATS], limit[N_REPEATS], ratio[N_REPEATS];

	for (unsigned int i = 0; i < n; i++) {
		limit[i] = bare_mpps(b->rig.mem, STRIDE,
				     HDR_BYTES + FRAME_BYTES, N_FRAMES);
		mpps[i] = device_mpps(b, v->features);
		ratio[i] = mpps[i] / limit[i];
	}
	printf("bench=net figure=loopback ring=%s with=%s frame_bytes=%u "
	       "mpps=%.2f limit_mpps=%.2f ratio=%.3f\n",
	       v->ring, v->with, FRAME_BYTES, bench_median(mpps, n),
	       bench_median(limit, n), bench_median(ratio, n));
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	/* net [RING [WITH [REPEATS]]]: only those, for a profiler. net limit:
	 * the limit alone, for other benchmarks */
	unsigned long n = argc < 4 ? N_REPEATS : strtoul(argv[3], NULL, 10);
	static struct bench b;

	bench_must(n >= 1 && n <= N_REPEATS);
	rig_init(&b.rig, "vdpasim_net", NULL, false);
	if (argc == 2 && strcmp(argv[1], "limit") == 0) {
		printf("bench=net figure=limit frame_bytes=%u mpps=%.2f\n",
		       FRAME_BYTES,
		       bare_mpps(b.rig.mem, STRIDE, HDR_BYTES + FRAME_BYTES,
				 N_FRAMES));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(variants); i++) {
		const struct variant *v = &variants[i];

		if ((argc < 2 || strcmp(argv[1], v->ring) == 0) &&
		    (argc < 3 || strcmp(argv[2], v->with) == 0)) {
			measure(&b, v, (unsigned int)n);
		}
	}
	rig_fini(&b.rig);
	return 0;
}
