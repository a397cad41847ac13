/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of the vhost-vdpa ABI, one line each. All return what the system
 * call returned, or -errno; those with values of their own say so.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_DEV_H
#define CONFORMANCE_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"

/* The status bits, once more. */
#define S_ACKNOWLEDGE 0x01
#define S_DRIVER      0x02
#define S_DRIVER_OK   0x04
#define S_FEATURES_OK 0x08
#define S_NEEDS_RESET 0x40
#define S_FAILED      0x80
#define S_READY	      0x0f /* all that lead to a running device */

/* An address that nothing is mapped at. */
#define BAD_POINTER dev_bad_pointer()
void *dev_bad_pointer(void);

int dev_ioctl(int fd, unsigned long cmd, const void *arg);

int dev_set_owner(int fd);
/* Return: the status byte, or -errno. */
int dev_get_status(int fd);
int dev_set_status(int fd, uint8_t status);
int dev_get_features(int fd, uint64_t *ret);
int dev_set_features(int fd, uint64_t features);
int dev_get_backend_features(int fd, uint64_t *ret);
int dev_set_backend_features(int fd, uint64_t features);
/* Those of GET_DEVICE_ID, GET_VQS_COUNT, GET_GROUP_NUM, GET_AS_NUM and
 * GET_CONFIG_SIZE. Return: the number, or -errno. */
int dev_get_u32(int fd, unsigned long cmd);
/* Return: the largest ring, or -errno. */
int dev_get_num_max(int fd);
int dev_get_config(int fd, uint32_t off, void *buf, uint32_t len);
int dev_set_config(int fd, uint32_t off, const void *buf, uint32_t len);

/* Any ioctl that takes an index and a number. */
int dev_vring(int fd, unsigned long cmd, uint32_t idx, uint32_t num);
/* One that gives the number back. */
int dev_vring_get(int fd, unsigned long cmd, uint32_t idx, uint32_t *ret_num);
/* KICK, CALL or ERR. */
int dev_vring_fd(int fd, unsigned long cmd, uint32_t idx, int eventfd);
int dev_vring_addr(int fd, uint32_t idx, uint64_t desc, uint64_t driver,
		   uint64_t device);

/* write(2) of an IOTLB message of version 2. Return: what write() returned, or
 * -errno. */
int dev_iotlb(int fd, uint32_t asid, uint8_t type, uint64_t iova, uint64_t size,
	      const void *va, uint8_t perm);
int dev_map(int fd, uint32_t asid, uint64_t iova, const void *va, uint64_t size,
	    uint8_t perm);
int dev_unmap(int fd, uint32_t asid, uint64_t iova, uint64_t size);
int dev_batch(int fd, uint32_t asid, bool begins);
/* What dev_iotlb() returns on success. */
#define IOTLB_DONE 72

#endif
