/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net: network devices with as many queues as wanted, on any back end.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_NET_NET_H
#define DEV_NET_NET_H

#include "bus/bus.h"

/* Offers the management device. Return: 0; -EEXIST; -ENOMEM */
int net_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret);
/* Deletes its devices; they are unbound by force. */
void net_unregister(struct vdpa_mgmtdev *mgmtdev);

#endif
