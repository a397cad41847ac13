/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A load on a block device behind a vhost-user socket: one queue, a number of
 * requests always in flight. blk.sh runs it on our daemon and on others.
 *
 * usage: client SOCKET read|write|seqread|seqwrite BLOCK_BYTES DEPTH
 *                   MILLISECONDS [sleep] [packed]
 *
 * Prints: iops=N mean_us=N p50_us=N p99_us=N
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "bench.h"
#include "front.h"

#define NUM	     256
#define DEPTH_MAX    (NUM / 2)
#define SAMPLES_MAX  (1U << 20)
#define SPAN_BYTES   (256ULL << 20) /* of the disk, from its start */
#define SECTOR_BYTES 512

struct request {
	struct virtio_blk_outhdr hdr;
	uint8_t status;
	char *data;
	uint64_t started_ns;
};

struct load {
	struct front f;
	struct front_queue *q;
	struct request *requests;
	bool is_write;
	bool is_sequential;
	bool may_sleep;
	uint32_t block_bytes;
	unsigned int depth;
	uint64_t next_block;
	uint64_t random;
	uint64_t n_done;
	double *us;
	size_t n_us;
};

static uint64_t pick_block(struct load *l)
{
	if (!l->is_sequential) {
		/* xorshift: what it costs is nothing beside a request */
		l->random ^= l->random << 13;
		l->random ^= l->random >> 7;
		l->random ^= l->random << 17;
		l->next_block = l->random;
	}
	return l->next_block++ % (SPAN_BYTES / l->block_bytes);
}

static void offer(struct load *l, struct request *r, uint64_t now_ns)
{
	const struct vq_sg sg[] = {
		{ front_gpa(&l->f, &r->hdr), sizeof(r->hdr) },
		{ front_gpa(&l->f, r->data), l->block_bytes },
		{ front_gpa(&l->f, &r->status), 1 },
	};
	uint64_t sector = pick_block(l) * (l->block_bytes / SECTOR_BYTES);
	unsigned int n_readable = l->is_write ? 2 : 1;

	r->hdr.type = htole32(l->is_write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN);
	r->hdr.sector = htole64(sector);
	r->status = 0xff;
	r->started_ns = now_ns;
	bench_must(vq_driver_add(l->q->drv, sg, n_readable, 3 - n_readable,
				 r) == 0);
}

static void done(struct load *l, const struct request *r, uint64_t now_ns)
{
	bench_must(r->status == VIRTIO_BLK_S_OK);
	l->n_done++;
	if (l->n_us < SAMPLES_MAX) {
		l->us[l->n_us++] = (double)(now_ns - r->started_ns) / 1e3;
	}
}

/* Return: requests that came back. */
static unsigned int reap(struct load *l, bool goes_on)
{
	struct vq_used used[DEPTH_MAX];
	int n = vq_driver_get(l->q->drv, used, DEPTH_MAX);
	uint64_t now_ns;

	bench_must(n >= 0);
	if (n == 0) {
		return 0;
	}
	now_ns = bench_now_ns();
	for (int i = 0; i < n; i++) {
		done(l, used[i].cookie, now_ns);
	}
	for (int i = 0; goes_on && i < n; i++) {
		offer(l, used[i].cookie, now_ns);
	}
	if (goes_on) {
		front_publish(l->q);
	}
	return (unsigned int)n;
}

static void run(struct load *l, uint64_t for_ns)
{
	uint64_t start_ns = bench_now_ns();

	l->n_done = 0;
	l->n_us = 0;
	for (unsigned int i = 0; i < l->depth; i++) {
		offer(l, &l->requests[i], start_ns);
	}
	front_publish(l->q);
	while (vq_driver_n_in_flight(l->q->drv) > 0) {
		bool goes_on = bench_now_ns() - start_ns < for_ns;

		if (reap(l, goes_on) == 0 && l->may_sleep) {
			front_wait(l->q);
		}
	}
}

static void init(struct load *l, const char *path, uint64_t features)
{
	/* A driver that cannot flush gets every write onto stable storage. */
	const uint64_t wanted = features | BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |
				BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
				BIT_ULL(VIRTIO_BLK_F_FLUSH);

	front_connect(&l->f, path, wanted, 64U << 20);
	bench_must((l->f.features & features) == features);
	l->q = front_start_queue(&l->f, NUM);
	l->requests = front_alloc(&l->f, l->depth * sizeof(*l->requests));
	for (unsigned int i = 0; i < l->depth; i++) {
		l->requests[i].data = front_alloc(&l->f, l->block_bytes);
	}
	l->us = malloc(SAMPLES_MAX * sizeof(*l->us));
	bench_must(l->us);
	memset(l->us, 0, SAMPLES_MAX * sizeof(*l->us));
	l->random = 0x9e3779b97f4a7c15;
}

static double mean(const double *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += v[i];
	}
	return sum / (double)n;
}

int main(int argc, char **argv)
{
	struct load l = { 0 };
	uint64_t features = 0, for_ns, ns;

	if (argc < 6) {
		(void)fprintf(stderr,
			      "usage: client SOCKET "
			      "read|write|seqread|seqwrite BLOCK_BYTES DEPTH "
			      "MILLISECONDS [sleep] [packed]\n");
		return 2;
	}
	l.is_write = strstr(argv[2], "write") != NULL;
	l.is_sequential = strncmp(argv[2], "seq", 3) == 0;
	l.block_bytes = (uint32_t)strtoul(argv[3], NULL, 10);
	l.depth = (unsigned int)strtoul(argv[4], NULL, 10);
	for_ns = strtoul(argv[5], NULL, 10) * 1000000;
	for (int i = 6; i < argc; i++) {
		l.may_sleep |= strcmp(argv[i], "sleep") == 0;
		if (strcmp(argv[i], "packed") == 0) {
			features |= BIT_ULL(VIRTIO_F_RING_PACKED);
		}
	}
	bench_must(l.depth >= 1 && l.depth <= DEPTH_MAX);
	bench_must(l.block_bytes >= SECTOR_BYTES && for_ns > 0);
	init(&l, argv[1], features);
	run(&l, for_ns / 5); /* warm */
	ns = bench_now_ns();
	run(&l, for_ns);
	ns = bench_now_ns() - ns;
	printf("iops=%.0f mean_us=%.2f", (double)l.n_done * 1e9 / (double)ns,
	       mean(l.us, l.n_us));
	printf(" p50_us=%.2f", bench_quantile(l.us, l.n_us, 500));
	printf(" p99_us=%.2f\n", bench_quantile(l.us, l.n_us, 990));
	free(l.us);
	front_close(&l.f);
	return 0;
}
