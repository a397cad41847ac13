/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The limit of a loopback. See bare.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bare.h"

#include <string.h>

#include "bench.h"

#define RING_NUM 256
#define BURST	 32

struct bare_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id;
	uint16_t flags;
};

/* Offered by one side, given back by the other: that is all it takes. */
struct bare_ring {
	struct bare_desc desc[RING_NUM];
	char *buffer[RING_NUM];
	uint16_t at;
};

static void bare_offer(struct bare_ring *ring, uint16_t from, uint32_t len)
{
	for (unsigned int i = 0; i < BURST; i++) {
		struct bare_desc *d = &ring->desc[(from + i) % RING_NUM];

		d->addr = (uintptr_t)ring->buffer[(from + i) % RING_NUM];
		d->len = len;
		__atomic_store_n(&d->flags, 1, __ATOMIC_RELEASE);
	}
}

static void bare_loop_back(struct bare_ring *rx, struct bare_ring *tx)
{
	for (unsigned int i = 0; i < BURST; i++) {
		struct bare_desc *in = &tx->desc[(tx->at + i) % RING_NUM];
		struct bare_desc *out = &rx->desc[(rx->at + i) % RING_NUM];

		bench_must(__atomic_load_n(&in->flags, __ATOMIC_ACQUIRE) == 1);
		bench_must(__atomic_load_n(&out->flags, __ATOMIC_ACQUIRE) == 1);
		memcpy((void *)(uintptr_t)out->addr,
		       (const void *)(uintptr_t)in->addr, in->len);
		out->len = in->len;
		__atomic_store_n(&in->flags, 2, __ATOMIC_RELEASE);
		__atomic_store_n(&out->flags, 2, __ATOMIC_RELEASE);
	}
}

double bare_mpps(char *mem, size_t stride, unsigned int n_bytes,
		 unsigned int n_frames)
{
	static struct bare_ring rx, tx;
	uint64_t began_ns;

	for (unsigned int i = 0; i < RING_NUM; i++) {
		rx.buffer[i] = mem + i * stride;
		tx.buffer[i] = mem + (RING_NUM + i) * stride;
	}
	began_ns = bench_cpu_ns();
	for (unsigned int n = 0; n < n_frames; n += BURST) {
		bare_offer(&rx, rx.at, n_bytes);
		bare_offer(&tx, tx.at, n_bytes);
		bare_loop_back(&rx, &tx);
		rx.at = (uint16_t)(rx.at + BURST);
		tx.at = (uint16_t)(tx.at + BURST);
	}
	return n_frames * 1e3 / (double)(bench_cpu_ns() - began_ns);
}
