/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the registers of a window stand, for each layout.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_MMIO_LAYOUT_H
#define BUSDRV_MMIO_LAYOUT_H

#include <vdpakit/mmio.h>

#include "busdrv/window.h"

enum mmio_access {
	MMIO_R = 1,
	MMIO_W = 2,
	MMIO_RW = 3,
	MMIO_CONST = 4, /* for reading: @value */
};

/* One of 4 bytes; access 0: there is none. */
struct mmio_reg {
	uint8_t access; /* enum mmio_access */
	uint8_t reg; /* enum window_reg */
	uint32_t value;
};

#define MMIO_N_REGS (VDPAKIT_MMIO_REGISTERS / 4)

struct mmio_layout {
	const char *name;
	bool has_irq; /* else functions are called */
	bool has_queue_reset;
	struct mmio_reg regs[MMIO_N_REGS]; /* by offset / 4 */
};

extern const struct mmio_layout mmio_layouts[VDPAKIT_MMIO_LAYOUT_N];

#endif
