/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of `vdpakit net tap` share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CLI_NET_TAP_H
#define CLI_NET_TAP_H

#include <net/if.h>

#include "cli/net.h"

/**
 * struct tap_if - a TAP interface of the host's, and its queues
 *
 * @name: asked for, or empty; afterwards the kernel's
 * @fds: one for each pair of the device; -1: none
 */
struct tap_if {
	char name[IFNAMSIZ];
	int fds[VDPAKIT_NET_PAIRS_MAX];
	unsigned int n_fds;
};

/* ---- the interface: net_tap_if.c ---- */

/**
 * tap_if_open() - make the interface, as the device is, and bring it up
 * @tap: name set, all else zero
 * @info: of the device: its address, MTU, pairs and offloads are the interface's
 *
 * Return: 0; -EPERM CAP_NET_ADMIN is missing; -EBUSY, -EINVAL there is such an
 *         interface, which cannot be had; -errno
 */
int tap_if_open(struct tap_if *tap, const struct vdpakit_net_info *info);
/* It is gone then, unless it was there before. */
void tap_if_close(struct tap_if *tap);
void tap_if_set_carrier(const struct tap_if *tap, bool is_up);

/* The longest that is read: a header of VDPAKIT_NET_HDR_BYTES, a frame. */
#define TAP_READ_MAX (VDPAKIT_NET_HDR_BYTES + VDPAKIT_NET_FRAME_MAX)
/* Reads a header and a frame. Return: bytes of the frame; 0: there is none now,
 * or none that makes sense, and the same may be tried later; -errno */
int tap_if_read(int fd, uint8_t *buf, struct vdpakit_net_offload *ret);
/* Return: 1; 0: the interface did not take it; -errno */
int tap_if_write(int fd, const struct vdpakit_net_received *frame);

#endif
