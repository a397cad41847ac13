/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpasim_blk: the RAM disk, as the kernel's simulator.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_VDPASIM_BLK_H
#define DEV_BLK_VDPASIM_BLK_H

#include "bus/bus.h"

/* Offers the management device. Return: 0; -EEXIST; -ENOMEM */
int vdpasim_blk_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret);
/* Deletes its devices; they are unbound by force. */
void vdpasim_blk_unregister(struct vdpa_mgmtdev *mgmtdev);

#endif
