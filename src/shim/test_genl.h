/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stand-in for the generic netlink family "vdpa": one management device,
 * toymgmt, and 2000 devices, enough to fill any socket.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef SHIM_TEST_GENL_H
#define SHIM_TEST_GENL_H

#include "base/util.h"

#define TEST_GENL_FAMILY    0x7d
#define TEST_GENL_N_DEVICES 2000
/* A command beyond vdpa's: answered with the port and whether is_admin. */
#define TEST_GENL_WHO 200

/* The request operation of struct cdev_netlink_ops. */
void test_genl_request(void *priv, uint32_t port, bool is_admin,
		       const void *buf, size_t len,
		       void (*reply)(void *reply_priv, const void *buf,
				     size_t len),
		       void *reply_priv);

#endif
