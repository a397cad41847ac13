/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Net backend loopback: what is sent comes back.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_NET_LOOPBACK_H
#define DEV_NET_LOOPBACK_H

#include "dev/net/net.h"

/* A burst of the transmit queue: every chain is completed. @n: at most
 * SOFT_BURST. */
void net_loopback_submit(struct net_dev *net, struct vq_chain **chains,
			 unsigned int n);

#endif
