/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blk: disks on any back end, as virtio 1.2 has them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_BLK_H
#define DEV_BLK_BLK_H

#include "bus/bus.h"

/* Offers the management device. Return: 0; -EEXIST; -ENOMEM */
int blk_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret);
/* Deletes its devices; they are unbound by force. */
void blk_unregister(struct vdpa_mgmtdev *mgmtdev);

#endif
