/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmio_bus: an emulator's bus with a virtio device on it, and a guest with a
 * driver so small that it only asks an entropy source for bytes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <err.h>
#include <stdio.h>

#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include <vdpakit/mmio.h>
#include <vdpakit/soft.h>

/* The emulator: RAM at 0, the device's registers elsewhere. */
static _Alignas(4096) char ram[16384];
static struct vdpakit_mmio *bus;

static void out(uint32_t reg, uint32_t value)
{
	vdpakit_mmio_write(bus, reg, 4, value); /* to nowhere: ignored */
}

static uint32_t in(uint32_t reg)
{
	uint64_t value;

	vdpakit_mmio_read(bus, reg, 4, &value); /* from nowhere: 0 */
	return value;
}

/* The guest. */
#define RING 0x1000
#define DATA 0x2000

static void start(struct vring *ring)
{
	vring_init(ring, 2, ram + RING, 64);
	out(VIRTIO_MMIO_STATUS, 3); /* ACKNOWLEDGE, DRIVER */
	out(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	out(VIRTIO_MMIO_DRIVER_FEATURES, 1); /* VERSION_1 */
	out(VIRTIO_MMIO_STATUS, 11); /* FEATURES_OK, too */
	out(VIRTIO_MMIO_QUEUE_NUM, ring->num);
	out(VIRTIO_MMIO_QUEUE_DESC_LOW, (char *)ring->desc - ram);
	out(VIRTIO_MMIO_QUEUE_AVAIL_LOW, (char *)ring->avail - ram);
	out(VIRTIO_MMIO_QUEUE_USED_LOW, (char *)ring->used - ram);
	out(VIRTIO_MMIO_QUEUE_READY, 1);
	out(VIRTIO_MMIO_STATUS, 15); /* DRIVER_OK, too */
}

/* Makes one buffer available, and polls until it is used. */
static void ask(struct vring *ring, uint32_t len)
{
	uint16_t idx = ring->used->idx;

	ring->desc[0] = (struct vring_desc){ DATA, len, VRING_DESC_F_WRITE, 0 };
	__atomic_store_n(&ring->avail->idx, idx + 1, __ATOMIC_RELEASE);
	out(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	while (__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) == idx)
		;
}

/* The device: a source of little entropy. */
static void submit(struct vdpakit_device *dev, uint16_t queue,
		   struct vdpakit_request *const *reqs, unsigned int n)
{
	while (n-- > 0)
		vdpakit_request_complete(
			reqs[n], vdpakit_request_write(reqs[n], 0, "4", 1) + 1);
}

int main(void)
{
	static const struct vdpakit_device_class rng = {
		.size = sizeof(rng),
		.device_id = 4,
		.n_queues = 1,
		.submit = submit,
	};
	const struct vdpakit_mmio_memory all = {
		.size_bytes = sizeof(ram),
		.va = ram,
		.fd = -1,
		.perm = VDPAKIT_MMIO_READ | VDPAKIT_MMIO_WRITE,
	};
	struct vdpakit *kit;
	struct vring ring;

	if (vdpakit_new(NULL, &kit) < 0 ||
	    vdpakit_device_new(kit, "rng", &rng, NULL, NULL) < 0 ||
	    vdpakit_mmio_open(kit, "rng", NULL, &bus) < 0 ||
	    vdpakit_mmio_map(bus, &all) < 0)
		errx(1, "%s", vdpakit_error());
	start(&ring);
	ask(&ring, 1);
	printf("device %u says %c\n", in(VIRTIO_MMIO_DEVICE_ID), ram[DATA]);
	vdpakit_free(kit);
}
