/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stand-in for the generic netlink family "vdpa": one management device,
 * toymgmt, and 2000 devices, enough to fill any socket.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef SHIM_GENL_H
#define SHIM_GENL_H

#include "cdev/cdev.h"

#define GENL_TOY_FAMILY	   0x7d
#define GENL_TOY_N_DEVICES 2000
/* A command beyond vdpa's: answered with the port and whether is_admin. */
#define GENL_TOY_WHO 200

/* The request operation of struct cdev_netlink_ops. */
void genl_request(void *priv, uint32_t port, bool is_admin, const void *buf,
		  size_t len, struct cdev_netlink_to *to);

#endif
