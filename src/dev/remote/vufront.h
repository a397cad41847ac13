/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_user: devices that vhost-user back ends implement.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_REMOTE_VUFRONT_H
#define DEV_REMOTE_VUFRONT_H

#include "bus/bus.h"

/* Offers the management device vhost_user. Return: 0; -EEXIST; -ENOMEM */
int vufront_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret);
/* Deletes its devices; they are unbound by force. */
void vufront_unregister(struct vdpa_mgmtdev *mgmtdev);

#endif
