/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of the vhost-vdpa ABI.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Where a compiler cannot see that it is bad. */
void *dev_bad_pointer(void)
{
	return (void *)16;
}

int dev_ioctl(int fd, unsigned long cmd, const void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

int dev_set_owner(int fd)
{
	return dev_ioctl(fd, VHOST_SET_OWNER, NULL);
}

int dev_get_status(int fd)
{
	uint8_t status = 0;
	int ret = dev_ioctl(fd, VHOST_VDPA_GET_STATUS, &status);

	return ret < 0 ? ret : status;
}

int dev_set_status(int fd, uint8_t status)
{
	return dev_ioctl(fd, VHOST_VDPA_SET_STATUS, &status);
}

int dev_get_features(int fd, uint64_t *ret)
{
	return dev_ioctl(fd, VHOST_GET_FEATURES, ret);
}

int dev_set_features(int fd, uint64_t features)
{
	return dev_ioctl(fd, VHOST_SET_FEATURES, &features);
}

int dev_get_backend_features(int fd, uint64_t *ret)
{
	return dev_ioctl(fd, VHOST_GET_BACKEND_FEATURES, ret);
}

int dev_set_backend_features(int fd, uint64_t features)
{
	return dev_ioctl(fd, VHOST_SET_BACKEND_FEATURES, &features);
}

int dev_get_u32(int fd, unsigned long cmd)
{
	uint32_t value = 0;
	int ret = dev_ioctl(fd, cmd, &value);

	return ret < 0 ? ret : (int)value;
}

int dev_get_num_max(int fd)
{
	uint16_t num = 0;
	int ret = dev_ioctl(fd, VHOST_VDPA_GET_VRING_NUM, &num);

	return ret < 0 ? ret : num;
}

/* ---- config space ---- */

static int config_call(int fd, unsigned long cmd, uint32_t off, void *in,
		       const void *out, uint32_t len)
{
	struct vhost_vdpa_config *config = calloc(1, sizeof(*config) + len);
	int ret;

	if (!config) {
		return -ENOMEM;
	}
	config->off = off;
	config->len = len;
	if (out) {
		memcpy(config->buf, out, len);
	}
	ret = dev_ioctl(fd, cmd, config);
	if (ret == 0 && in) {
		memcpy(in, config->buf, len);
	}
	free(config);
	return ret;
}

int dev_get_config(int fd, uint32_t off, void *buf, uint32_t len)
{
	return config_call(fd, VHOST_VDPA_GET_CONFIG, off, buf, NULL, len);
}

int dev_set_config(int fd, uint32_t off, const void *buf, uint32_t len)
{
	return config_call(fd, VHOST_VDPA_SET_CONFIG, off, NULL, buf, len);
}

/* ---- virtqueues ---- */

int dev_vring(int fd, unsigned long cmd, uint32_t idx, uint32_t num)
{
	struct vhost_vring_state s = { .index = idx, .num = num };

	return dev_ioctl(fd, cmd, &s);
}

int dev_vring_get(int fd, unsigned long cmd, uint32_t idx, uint32_t *ret_num)
{
	struct vhost_vring_state s = { .index = idx, .num = 0xdeadbeef };
	int ret = dev_ioctl(fd, cmd, &s);

	*ret_num = s.num;
	return ret;
}

int dev_vring_fd(int fd, unsigned long cmd, uint32_t idx, int eventfd)
{
	struct vhost_vring_file f = { .index = idx, .fd = eventfd };

	return dev_ioctl(fd, cmd, &f);
}

int dev_vring_addr(int fd, uint32_t idx, uint64_t desc, uint64_t driver,
		   uint64_t device)
{
	struct vhost_vring_addr a = {
		.index = idx,
		.desc_user_addr = desc,
		.avail_user_addr = driver,
		.used_user_addr = device,
	};

	return dev_ioctl(fd, VHOST_SET_VRING_ADDR, &a);
}

/* ---- IOTLB ---- */

int dev_iotlb(int fd, uint32_t asid, uint8_t type, uint64_t iova, uint64_t size,
	      const void *va, uint8_t perm)
{
	struct vhost_msg_v2 msg = {
		.type = VHOST_IOTLB_MSG_V2,
		.asid = asid,
		.iotlb = {
			.iova = iova,
			.size = size,
			.uaddr = (uintptr_t)va,
			.perm = perm,
			.type = type,
		},
	};
	ssize_t ret = write(fd, &msg, sizeof(msg));

	return ret < 0 ? -errno : (int)ret;
}

int dev_map(int fd, uint32_t asid, uint64_t iova, const void *va, uint64_t size,
	    uint8_t perm)
{
	return dev_iotlb(fd, asid, VHOST_IOTLB_UPDATE, iova, size, va, perm);
}

int dev_unmap(int fd, uint32_t asid, uint64_t iova, uint64_t size)
{
	return dev_iotlb(fd, asid, VHOST_IOTLB_INVALIDATE, iova, size, NULL, 0);
}

int dev_batch(int fd, uint32_t asid, bool begins)
{
	return dev_iotlb(fd, asid,
			 begins ? VHOST_IOTLB_BATCH_BEGIN
				: VHOST_IOTLB_BATCH_END,
			 0, 0, NULL, 0);
}
