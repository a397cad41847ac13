/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpasim_net: the loopback network device, as the kernel's simulator.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_NET_VDPASIM_NET_H
#define DEV_NET_VDPASIM_NET_H

#include "bus/bus.h"

/* Offers the management device. Return: 0; -EEXIST; -ENOMEM */
int vdpasim_net_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret);
/* Deletes its devices; they are unbound by force. */
void vdpasim_net_unregister(struct vdpa_mgmtdev *mgmtdev);

#endif
