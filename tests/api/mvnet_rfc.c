/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mvnet_rfc: the loopback device of examples/net_loopback.c behind the registers
 * of the mdev RFC, and a driver written from its mails (ABI.md, 6.1), which
 * knows only offsets: frames of all sizes come back as they were sent.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
/* Its own driver is not wanted. */
int example_main(int argc, char **argv);
#define main example_main
#include "../../examples/net_loopback.c"
#undef main

#include <semaphore.h>
#include <stdbool.h>
#include <time.h>

#include <linux/virtio_ring.h>

#include <vdpakit/mmio.h>

/* The RFC's registers. */
enum {
	MAGIC = 0x000,
	VERSION = 0x004,
	DEVICE_ID = 0x008,
	DEVICE_FEATURES = 0x010,
	DEVICE_FEATURES_SEL = 0x014,
	DRIVER_FEATURES = 0x020,
	DRIVER_FEATURES_SEL = 0x024,
	QUEUE_SEL = 0x030,
	QUEUE_NUM_MAX = 0x034,
	QUEUE_NUM = 0x038,
	QUEUE_READY = 0x044,
	QUEUE_ALIGN = 0x048,
	QUEUE_NOTIFY = 0x050,
	STATUS = 0x060,
	QUEUE_DESC = 0x080,
	QUEUE_AVAIL = 0x090,
	QUEUE_USED = 0x0a0,
};

/* Status bits, as they are added. */
static const uint32_t steps[] = { 1, 3, 11 };

#define RING_NUM 64U
#define N_VQS	 2
#define RAM	 (1U << 20)
#define RX_AT	 (256U << 10)
#define TX_AT	 (640U << 10)
#define BUF	 4096U
#define LEN_MAX	 4000U
#define WAIT_S	 30

/* One queue of the driver. */
struct vq {
	struct vring ring;
	uint16_t seen; /* used index that was dealt with */
	sem_t called;
};

static _Alignas(4096) char ram[RAM];
static struct vdpakit_mmio *window;
static struct vq vqs[N_VQS];

static void out(uint64_t reg, uint32_t value)
{
	if (vdpakit_mmio_write(window, reg, 4, value) < 0) {
		errx(1, "0x%03x: %s", (unsigned int)reg, vdpakit_error());
	}
}

static uint32_t in(uint64_t reg)
{
	uint64_t value;

	if (vdpakit_mmio_read(window, reg, 4, &value) < 0) {
		errx(1, "0x%03x: %s", (unsigned int)reg, vdpakit_error());
	}
	return (uint32_t)value;
}

static void expect(uint64_t reg, uint32_t want)
{
	uint32_t value = in(reg);

	if (value != want) {
		errx(1, "register 0x%03x is 0x%x, not 0x%x", (unsigned int)reg,
		     value, want);
	}
}

static void out_address(uint64_t reg, const void *va)
{
	uint64_t gpa = (uint64_t)((const char *)va - ram);

	out(reg, (uint32_t)gpa);
	out(reg + 4, (uint32_t)(gpa >> 32));
}

/* ---- start ---- */

static void choose_features(void)
{
	out(DEVICE_FEATURES_SEL, 1);
	if (!(in(DEVICE_FEATURES)&1)) {
		errx(1, "no VERSION_1");
	}
	/* The high half first, as its driver did. */
	out(DRIVER_FEATURES_SEL, 1);
	out(DRIVER_FEATURES, 1);
	out(DRIVER_FEATURES_SEL, 0);
	out(DRIVER_FEATURES, 0);
}

static void on_used(void *priv)
{
	sem_post(priv);
}

static void set_up_vq(uint32_t idx)
{
	struct vq *vq = &vqs[idx];

	sem_init(&vq->called, 0, 0);
	out(QUEUE_SEL, idx);
	expect(QUEUE_READY, 0);
	if (in(QUEUE_NUM_MAX) < RING_NUM) {
		errx(1, "queue %u has %u entries", idx, in(QUEUE_NUM_MAX));
	}
	vring_init(&vq->ring, RING_NUM, ram + (64U << 10) * (idx + 1),
		   in(QUEUE_ALIGN));
	if (vdpakit_mmio_set_vq_callback(window, on_used, &vq->called) < 0) {
		errx(1, "%s", vdpakit_error());
	}
	out(QUEUE_NUM, RING_NUM);
	out_address(QUEUE_DESC, vq->ring.desc);
	out_address(QUEUE_AVAIL, vq->ring.avail);
	out_address(QUEUE_USED, vq->ring.used);
	out(QUEUE_READY, 1);
	expect(QUEUE_READY, 1);
}

static void start(void)
{
	expect(MAGIC, 0x74726976); /* "virt" */
	expect(VERSION, 1);
	expect(DEVICE_ID, 1);
	out(STATUS, 0);
	expect(STATUS, 0);
	for (unsigned int i = 0; i < 3; i++) {
		if (steps[i] == 11) {
			choose_features();
		}
		out(STATUS, steps[i]);
		expect(STATUS, steps[i]);
	}
	for (uint32_t i = 0; i < N_VQS; i++) {
		set_up_vq(i);
	}
	out(STATUS, 15);
	expect(STATUS, 15);
}

/* ---- frames ---- */

static void post(uint32_t idx, uint16_t id, const char *va, uint32_t len,
		 bool is_writable)
{
	struct vring *ring = &vqs[idx].ring;
	uint16_t avail = ring->avail->idx;

	ring->desc[id] = (struct vring_desc){
		.addr = (uint64_t)(va - ram),
		.len = len,
		.flags = is_writable ? VRING_DESC_F_WRITE : 0,
	};
	ring->avail->ring[avail % RING_NUM] = id;
	__atomic_store_n(&ring->avail->idx, (uint16_t)(avail + 1),
			 __ATOMIC_RELEASE);
	out(QUEUE_NOTIFY, idx);
}

static struct vring_used_elem wait_for_used(uint32_t idx)
{
	struct vq *vq = &vqs[idx];
	struct timespec end;

	(void)clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += WAIT_S;
	while (__atomic_load_n(&vq->ring.used->idx, __ATOMIC_ACQUIRE) ==
	       vq->seen) {
		if (sem_timedwait(&vq->called, &end) < 0) {
			errx(1, "queue %u: not called for %d s", idx, WAIT_S);
		}
	}
	return vq->ring.used->ring[vq->seen++ % RING_NUM];
}

static void round_trip(uint32_t len, uint16_t i)
{
	uint16_t id = i % RING_NUM;
	char *tx = ram + TX_AT + id * BUF, *rx = ram + RX_AT + id * BUF;
	struct vring_used_elem got;

	for (uint32_t k = 0; k < len; k++) {
		tx[k] = (char)(k * 7 + i);
	}
	memset(rx, 0x55, BUF);
	post(RX, id, rx, BUF, true);
	post(TX, id, tx, len, false);
	got = wait_for_used(RX);
	if (got.id != id || got.len != len || memcmp(rx, tx, len) != 0 ||
	    rx[len] != 0x55) {
		errx(1, "a frame of %u bytes came back as %u, or another", len,
		     got.len);
	}
	got = wait_for_used(TX);
	if (got.id != id || got.len != 0) {
		errx(1, "sent: id %u, length %u", got.id, got.len);
	}
}

int main(void)
{
	const struct vdpakit_mmio_options options = {
		.size = sizeof(options),
		.layout = VDPAKIT_MMIO_RFC,
	};
	const struct vdpakit_mmio_memory all = {
		.size_bytes = RAM,
		.va = ram,
		.fd = -1,
		.perm = VDPAKIT_MMIO_READ | VDPAKIT_MMIO_WRITE,
	};
	uint16_t n = 0;
	struct vdpakit *kit;

	if (vdpakit_new(NULL, &kit) < 0 ||
	    vdpakit_device_new(kit, "mvnet", &loopback, NULL, NULL) < 0 ||
	    vdpakit_mmio_open(kit, "mvnet", &options, &window) < 0 ||
	    vdpakit_mmio_map(window, &all) < 0) {
		errx(1, "%s", vdpakit_error());
	}
	/* The second time after a reset in the middle of its life. */
	for (int life = 0; life < 2; life++) {
		out(STATUS, 0); /* the rings are ours again */
		memset(ram, 0, TX_AT);
		vqs[RX].seen = vqs[TX].seen = 0;
		start();
		for (uint32_t len = 1; len <= LEN_MAX; len += 13) {
			round_trip(len, n++);
		}
	}
	printf("%u frames came back\n", n);
	vdpakit_mmio_close(window);
	vdpakit_free(kit);
	return 0;
}
