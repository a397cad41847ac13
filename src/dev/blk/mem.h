/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block backend mem: sectors in memory, gone with the device.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_MEM_H
#define DEV_BLK_MEM_H

#include "dev/blk/blk.h"

/**
 * blk_mem_init() - give a block device memory for its sectors
 * @blk: capacity_sectors is set; ops and priv are filled
 *
 * Zero-filled, taken from the system as it is written. Return: 0; -ENOMEM
 */
int blk_mem_init(struct blk_dev *blk);

#endif
