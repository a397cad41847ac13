/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many frames a second go round two queues in one thread, one core:
 * the driver fills a transmit queue, the device copies each frame to a buffer
 * of the receive queue, the driver takes it from there and checks it. All of
 * vq/ is in the figure, both sides, and the copy; no notification is.
 *
 * One line a figure, medians of several rounds in CPU time. limit: the same
 * copies between two bare rings (bare.h), in turn with the rounds; ratio is the
 * median of those of neighbours. vq_loop [variant...] runs only those.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bare.h"
#include "bench.h"
#include "mem/iotlb.h"
#include "vq/vq.h"
#include "vq/vq_driver.h"

#define NUM	     256
#define BURST	     32
#define FRAME_BYTES  64
#define HEADER_BYTES 12
#define STRIDE	     2304 /* as DPDK's buffers, not of a power of two */
#define N_FRAMES     1000000
#define N_ROUNDS     5
#define RING_IOVA    0x100000ULL
#define BUF_IOVA     0x10000000ULL
#define RING_ROOM    (1U << 20)
#define BUF_ROOM     (NUM * STRIDE)

#define PACKED	 BIT_ULL(VIRTIO_F_RING_PACKED)
#define EVENT	 BIT_ULL(VIRTIO_RING_F_EVENT_IDX)
#define IN_ORDER BIT_ULL(VIRTIO_F_IN_ORDER)
#define INDIRECT BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC)

struct variant {
	const char *name;
	uint64_t features;
	unsigned int n_pieces; /* 2: header and frame apart */
	bool has_inflight; /* note what is in flight */
	bool has_dirty; /* note what is written */
};

static const struct variant variants[] = {
	{ "split", 0, 1 },
	{ "split.event_idx", EVENT, 1 },
	{ "split.in_order", IN_ORDER, 1 },
	{ "split.two_pieces", 0, 2 },
	{ "split.indirect", INDIRECT, 2 },
	{ "packed", PACKED, 1 },
	{ "packed.event_idx", PACKED | EVENT, 1 },
	{ "packed.in_order", PACKED | IN_ORDER, 1 },
	{ "packed.two_pieces", PACKED, 2 },
	{ "packed.indirect", PACKED | INDIRECT, 2 },
	{ "split.inflight", 0, 1, .has_inflight = true },
	{ "packed.inflight", PACKED, 1, .has_inflight = true },
	{ "split.dirty_log", 0, 1, .has_dirty = true },
	{ "packed.dirty_log", PACKED, 1, .has_dirty = true },
};

/* One queue with both its sides; frame i lives at buf + i * STRIDE. */
struct side {
	struct vq *vq;
	struct vq_driver *drv;
	struct region *inflight;
	char *buf;
	uint64_t buf_iova;
	unsigned int n_pieces;
};

struct bench {
	struct iotlb *tlb;
	struct region *bitmap;
	struct mem_log *log;
	char *mem;
	struct side tx;
	struct side rx;
	uint64_t n_sent;
	uint64_t n_got;
	uint64_t tx_free[NUM]; /* frames that the driver may fill */
	unsigned int n_tx_free;
	unsigned int n_calls;
};

static void check(bool is_ok, const char *what)
{
	if (!is_ok) {
		fprintf(stderr, "vq_loop: %s\n", what);
		exit(1);
	}
}

static struct region *new_region(size_t len)
{
	char *va = calloc(1, len);
	struct region *region;

	check(va, "out of memory");
	check(region_new_own(va, len, free, va, &region) == 0, "region");
	return region;
}

static void side_init(struct bench *b, struct side *side, unsigned int idx,
		      const struct variant *v)
{
	struct iotlb_snap *snap = iotlb_snapshot(b->tlb);
	uint64_t ring = RING_IOVA + (uint64_t)idx * RING_ROOM;
	char *ring_va = b->mem + (size_t)idx * RING_ROOM;
	struct vq_setup setup = {
		.num = NUM,
		.features = v->features,
		.state = { .avail_wrap = true, .used_wrap = true },
	};
	struct vq_layout at;

	vq_layout(NUM, v->features, &at);
	check(at.size_bytes <= RING_ROOM, "ring too large");
	setup.desc_area = ring + at.desc_area;
	setup.driver_area = ring + at.driver_area;
	setup.device_area = ring + at.device_area;
	if (v->has_inflight) {
		setup.inflight_bytes =
			vq_inflight_bytes(NUM, v->features & PACKED);
		side->inflight = new_region(setup.inflight_bytes);
		setup.inflight = side->inflight;
	}
	check(vq_new(NUM, 0, &side->vq) == 0, "vq_new");
	check(vq_start(side->vq, &setup, snap) == 0, "vq_start");
	check(vq_driver_new(NUM, v->features, ring_va, ring, &side->drv) == 0,
	      "vq_driver_new");
	vq_disable_kick(side->vq);
	vq_driver_disable_call(side->drv);
	side->buf = b->mem + 2UL * RING_ROOM + (size_t)idx * BUF_ROOM;
	side->buf_iova = BUF_IOVA + (uint64_t)idx * BUF_ROOM;
	side->n_pieces = v->n_pieces;
	iotlb_snap_unref(snap);
}

static void map(struct bench *b, uint64_t iova, char *va, size_t len)
{
	struct region *region;

	check(region_new_own(va, len, NULL, NULL, &region) == 0, "region");
	check(iotlb_map(b->tlb, iova, iova + len - 1, region, 0, MEM_PERM_RW) ==
		      0,
	      "iotlb_map");
	region_unref(region);
}

/* Offers frame @i of a side. */
static void offer(struct side *side, uint64_t i, bool is_tx)
{
	uint64_t iova = side->buf_iova + i * STRIDE;
	struct vq_sg sg[2] = { { iova, FRAME_BYTES } };
	int rc;

	if (side->n_pieces == 2) {
		sg[0].len = HEADER_BYTES;
		sg[1].iova = iova + HEADER_BYTES;
		sg[1].len = FRAME_BYTES - HEADER_BYTES;
	}
	rc = vq_driver_add(side->drv, sg, is_tx ? side->n_pieces : 0,
			   is_tx ? 0 : side->n_pieces, (void *)(i + 1));
	check(rc == 0, "vq_driver_add");
}

/* Both queues note the pages that they write. */
static void log_init(struct bench *b)
{
	const struct mem_log_range range = {
		b->mem,
		2UL * (RING_ROOM + BUF_ROOM),
		0,
	};
	struct vq_log log = { .used_gpa = UINT64_MAX };

	b->bitmap = new_region(range.size / MEM_LOG_PAGE / 8 + 1);
	check(mem_log_new(b->bitmap, &range, 1, &b->log) == 0, "mem_log_new");
	log.log = b->log;
	vq_set_log(b->tx.vq, &log);
	vq_set_log(b->rx.vq, &log);
}

static struct bench *bench_new(const struct variant *v)
{
	struct bench *b = calloc(1, sizeof(*b));

	check(b && iotlb_new(64, &b->tlb) == 0, "out of memory");
	b->mem = mmap(NULL, 2UL * (RING_ROOM + BUF_ROOM),
		      PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	check(b->mem != MAP_FAILED, "mmap");
	map(b, RING_IOVA, b->mem, 2UL * RING_ROOM);
	map(b, BUF_IOVA, b->mem + 2UL * RING_ROOM, 2UL * BUF_ROOM);
	side_init(b, &b->tx, 0, v);
	side_init(b, &b->rx, 1, v);
	if (v->has_dirty) {
		log_init(b);
	}
	for (unsigned int i = 0; i < NUM / v->n_pieces; i++) {
		offer(&b->rx, i, false);
	}
	vq_driver_publish(b->rx.drv);
	for (b->n_tx_free = 0; b->n_tx_free < BURST; b->n_tx_free++) {
		b->tx_free[b->n_tx_free] = b->n_tx_free;
	}
	return b;
}

static void bench_free(struct bench *b)
{
	vq_free(b->tx.vq);
	vq_free(b->rx.vq);
	vq_driver_free(b->tx.drv);
	vq_driver_free(b->rx.drv);
	region_unref(b->tx.inflight);
	region_unref(b->rx.inflight);
	mem_log_unref(b->log);
	region_unref(b->bitmap);
	iotlb_free(b->tlb);
	munmap(b->mem, 2UL * (RING_ROOM + BUF_ROOM));
	free(b);
}

static void driver_send(struct bench *b)
{
	while (b->n_tx_free) {
		uint64_t i = b->tx_free[--b->n_tx_free];

		memcpy(b->tx.buf + i * STRIDE, &b->n_sent, sizeof(b->n_sent));
		offer(&b->tx, i, true);
		b->n_sent++;
	}
	b->n_calls += vq_driver_publish(b->tx.drv);
}

static void device_forward(struct bench *b)
{
	struct vq_chain *tx[BURST], *rx[BURST];
	int n = vq_fetch(b->tx.vq, tx, BURST);
	int n_rx = n > 0 ? vq_fetch(b->rx.vq, rx, (unsigned int)n) : 0;

	check(n > 0 && n_rx == n, "vq_fetch");
	for (int i = 0; i < n; i++) {
		uint32_t len = tx[i]->readable_bytes;

		check(vq_chain_copy(rx[i], 0, tx[i], 0, len) == 0, "copy");
		vq_complete(b->rx.vq, rx[i], len);
		vq_complete(b->tx.vq, tx[i], 0);
	}
	b->n_calls += vq_publish(b->rx.vq);
	b->n_calls += vq_publish(b->tx.vq);
}

static void driver_receive(struct bench *b)
{
	struct vq_used used[BURST];
	int n = vq_driver_get(b->rx.drv, used, BURST);

	for (int i = 0; i < n; i++) {
		uint64_t frame = (uint64_t)(uintptr_t)used[i].cookie - 1;
		uint64_t seq;

		memcpy(&seq, b->rx.buf + frame * STRIDE, sizeof(seq));
		check(seq == b->n_got && used[i].written == FRAME_BYTES,
		      "frame lost");
		b->n_got++;
		offer(&b->rx, frame, false);
	}
	b->n_calls += vq_driver_publish(b->rx.drv);
	n = vq_driver_get(b->tx.drv, used, BURST);
	check(n == BURST, "frames not sent");
	for (int i = 0; i < n; i++) {
		b->tx_free[b->n_tx_free++] =
			(uint64_t)(uintptr_t)used[i].cookie - 1;
	}
}

/* Buffers of the limit. */
static char limit_mem[512 * STRIDE] __attribute__((aligned(64)));

static void bench_run(const struct variant *v)
{
	struct bench *b = bench_new(v);
	double mpps[N_ROUNDS], limit[N_ROUNDS], ratio[N_ROUNDS];

	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		uint64_t n_before = b->n_got, began_ns;

		limit[round] =
			bare_mpps(limit_mem, STRIDE, FRAME_BYTES, N_FRAMES);
		began_ns = bench_cpu_ns();

		while (b->n_got - n_before < N_FRAMES) {
			driver_send(b);
			device_forward(b);
			driver_receive(b);
		}
		mpps[round] = (double)(b->n_got - n_before) * 1e3 /
			      (double)(bench_cpu_ns() - began_ns);
		ratio[round] = mpps[round] / limit[round];
	}
	printf("bench=vq_loop figure=loopback variant=%s mpps=%.2f "
	       "limit_mpps=%.2f ratio=%.3f\n",
	       v->name, bench_median(mpps, N_ROUNDS),
	       bench_median(limit, N_ROUNDS), bench_median(ratio, N_ROUNDS));
	(void)fflush(stdout);
	bench_free(b);
}

static bool is_wanted(const struct variant *v, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], v->name) == 0) {
			return true;
		}
	}
	return argc < 2;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		if (is_wanted(&variants[i], argc, argv)) {
			bench_run(&variants[i]);
		}
	}
	return 0;
}
