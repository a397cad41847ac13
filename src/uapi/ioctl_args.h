/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the ioctls of vhost-vdpa and VDUSE read at their argument: how many
 * bytes, and which of them is the number of a descriptor.
 *
 * The number of an ioctl has a size, which is right for most. These are not:
 * commands with a tail of variable length, and those that read although their
 * number says that they do not. vhost reads a virtqueue index from the argument
 * of commands that it does not know, so four bytes are always worth having.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef UAPI_IOCTL_ARGS_H
#define UAPI_IOCTL_ARGS_H

#include <linux/ioctl.h>
/* vduse.h needs ioctl.h before it */
#include <linux/vduse.h>

#include "base/util.h"
#include "uapi/compat.h"

#define IOCTL_ARG_MIN 4

/**
 * struct ioctl_arg - what one command reads
 *
 * @cmd: 32 bits
 * @head_size: bytes that are read in any case
 * @count_offset: where a u32 says how many elements follow the head; -1: none
 * @element_size: bytes
 * @fd_offset: where the number of a descriptor stands; -1: none
 */
struct ioctl_arg {
	uint32_t cmd;
	uint32_t head_size;
	int count_offset;
	uint32_t element_size;
	int fd_offset;
};

static const struct ioctl_arg ioctl_args[] = {
	{ VHOST_SET_MEM_TABLE, 8, 0, sizeof(struct vhost_memory_region), -1 },
	{ VHOST_SET_LOG_FD, 4, -1, 0, 0 },
	{ VHOST_SET_VRING_KICK, 8, -1, 0, 4 },
	{ VHOST_SET_VRING_CALL, 8, -1, 0, 4 },
	{ VHOST_SET_VRING_ERR, 8, -1, 0, 4 },
	{ VHOST_VDPA_GET_CONFIG, 8, -1, 0, -1 },
	{ VHOST_VDPA_SET_CONFIG, 8, 4, 1, -1 },
	{ VHOST_VDPA_SET_CONFIG_CALL, 4, -1, 0, 0 },
	{ (uint32_t)VDUSE_CREATE_DEV, 336, 332, 1, -1 },
	{ VDUSE_DEV_SET_CONFIG, 8, 4, 1, -1 },
	{ VDUSE_VQ_SETUP_KICKFD, 8, -1, 0, 4 },
};

/* Return: NULL: no entry, its number tells all. */
static inline const struct ioctl_arg *ioctl_arg_find(uint32_t cmd)
{
	for (size_t i = 0; i < ARRAY_SIZE(ioctl_args); i++) {
		if (ioctl_args[i].cmd == cmd) {
			return &ioctl_args[i];
		}
	}
	return NULL;
}

/* Bytes to read before the full size is known. */
static inline uint32_t ioctl_arg_head_size(uint32_t cmd)
{
	const struct ioctl_arg *a = ioctl_arg_find(cmd);

	return a ? a->head_size
		 : max_of((uint32_t)_IOC_SIZE(cmd), (uint32_t)IOCTL_ARG_MIN);
}

/**
 * ioctl_arg_size() - bytes that a command reads at its argument
 * @cmd: 32 bits
 * @head: ioctl_arg_head_size() bytes from there
 * @max: upper bound of the result
 */
static inline uint32_t ioctl_arg_size(uint32_t cmd, const void *head,
				      uint32_t max)
{
	const struct ioctl_arg *a = ioctl_arg_find(cmd);
	uint64_t size = ioctl_arg_head_size(cmd);
	uint32_t count;

	if (a && a->count_offset >= 0) {
		__builtin_memcpy(&count, (const char *)head + a->count_offset,
				 sizeof(count));
		size += (uint64_t)count * a->element_size;
	}
	return (uint32_t)min_of(size, (uint64_t)max);
}

#endif
