/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the registers of a window stand, for each layout.
 *
 * Source: virtio 1.3, "MMIO Device Register Layout"; "[RFC 3/4] virtio: introduce
 * a mdev based transport" (2019), virtio_mdev.h
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/mmio_layout.h"

#define MAGIC 0x74726976 /* "virt" */

#define CONST(value)                 \
	{                            \
		MMIO_CONST, 0, value \
	}
#define REG(access, of)                       \
	{                                     \
		MMIO_##access, WINDOW_##of, 0 \
	}

/* Up to here, and the areas, all agree. */
#define COMMON                                                       \
	[0x000 / 4] = CONST(MAGIC), [0x008 / 4] = REG(R, DEVICE_ID), \
		 [0x00c / 4] = REG(R, VENDOR_ID),                    \
		 [0x010 / 4] = REG(R, DEVICE_FEATURES),              \
		 [0x014 / 4] = REG(W, DEVICE_FEATURES_SEL),          \
		 [0x020 / 4] = REG(W, DRIVER_FEATURES),              \
		 [0x024 / 4] = REG(W, DRIVER_FEATURES_SEL),          \
		 [0x030 / 4] = REG(W, QUEUE_SEL),                    \
		 [0x034 / 4] = REG(R, QUEUE_NUM_MAX),                \
		 [0x038 / 4] = REG(W, QUEUE_NUM),                    \
		 [0x044 / 4] = REG(RW, QUEUE_READY),                 \
		 [0x050 / 4] = REG(W, QUEUE_NOTIFY),                 \
		 [0x080 / 4] = REG(W, QUEUE_DESC_LOW),               \
		 [0x084 / 4] = REG(W, QUEUE_DESC_HIGH),              \
		 [0x090 / 4] = REG(W, QUEUE_DRIVER_LOW),             \
		 [0x094 / 4] = REG(W, QUEUE_DRIVER_HIGH),            \
		 [0x0a0 / 4] = REG(W, QUEUE_DEVICE_LOW),             \
		 [0x0a4 / 4] = REG(W, QUEUE_DEVICE_HIGH),            \
		 [0x0fc / 4] = REG(R, CONFIG_GENERATION)

const struct mmio_layout mmio_layouts[VDPAKIT_MMIO_LAYOUT_N] = {
	[VDPAKIT_MMIO_VIRTIO] = {
		.name = "virtio",
		.has_irq = true,
		.has_queue_reset = true,
		.regs = {
			COMMON,
			[0x004 / 4] = CONST(2),
			[0x060 / 4] = REG(R, INTERRUPT_STATUS),
			[0x064 / 4] = REG(W, INTERRUPT_ACK),
			[0x070 / 4] = REG(RW, STATUS),
			[0x0ac / 4] = REG(W, SHM_SEL),
			[0x0b0 / 4] = REG(R, SHM_LEN_LOW),
			[0x0b4 / 4] = REG(R, SHM_LEN_HIGH),
			[0x0b8 / 4] = REG(R, SHM_BASE_LOW),
			[0x0bc / 4] = REG(R, SHM_BASE_HIGH),
			[0x0c0 / 4] = REG(RW, QUEUE_RESET),
		},
	},
	[VDPAKIT_MMIO_RFC] = {
		.name = "rfc",
		.regs = {
			COMMON,
			[0x004 / 4] = CONST(1),
			[0x048 / 4] = REG(R, QUEUE_ALIGN),
			[0x060 / 4] = REG(RW, STATUS),
		},
	},
};
