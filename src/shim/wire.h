/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What wire.c and channel.c share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef SHIM_WIRE_H
#define SHIM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define SHIM_IOV_MAX 68
#define SHIM_FDS_MAX 9

struct shim_packet {
	struct iovec iov[SHIM_IOV_MAX];
	size_t n_iov;
	int fds[SHIM_FDS_MAX];
	unsigned int n_fds;
};

/* Waits for room if it must. Return: 0; -errno; -EIO no daemon. */
long shim_send_packet(int sock, const struct shim_packet *p);

/* A channel that the caller alone uses. */
struct shim_channel {
	uint32_t idx;
	int fd;
	uint64_t task;
	uint64_t seq; /* of the call */
	uint8_t *buf; /* PRELOAD_REPLY_MAX bytes */
	bool is_temporary;
};

/* @visible: the socket over which the daemon hears of a new one. Return: 0;
 * -errno; -EIO no daemon. */
int shim_channel_take(int visible, struct shim_channel *ret);
void shim_channel_give(const struct shim_channel *channel);

#endif
