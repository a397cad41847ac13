/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse: what the kernel is told of the device, and how it comes to know it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/cleanup.h"
#include "busdrv/kvduse_internal.h"

/* Newer than Linux 6.1's headers. */
#define NET_F_VQ_NOTF_COAL  52 /* 6.6 */
#define NET_F_NOTF_COAL	    53
#define NET_F_DEVICE_STATS  50 /* 6.11 */
#define F_NOTIFICATION_DATA 38
#define F_NOTIF_CONFIG_DATA 39
#define F_RING_RESET	    40
#define F_ADMIN_VQ	    41

#define NET_QUEUES   2
#define CONFIG_PAIRS offsetof(struct virtio_net_config, max_virtqueue_pairs)

/*
 * A control queue would let a driver inside the kernel wait for us with its
 * lock held, so the kernel has none of it; and these need one.
 */
static const uint64_t net_refused =
	BIT_ULL(VIRTIO_NET_F_CTRL_VQ) | BIT_ULL(VIRTIO_NET_F_CTRL_RX) |
	BIT_ULL(VIRTIO_NET_F_CTRL_VLAN) | BIT_ULL(VIRTIO_NET_F_CTRL_RX_EXTRA) |
	BIT_ULL(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT_ULL(VIRTIO_NET_F_MQ) |
	BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR) |
	BIT_ULL(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |
	BIT_ULL(VIRTIO_NET_F_HASH_REPORT) | BIT_ULL(VIRTIO_NET_F_RSS) |
	BIT_ULL(NET_F_VQ_NOTF_COAL) | BIT_ULL(NET_F_NOTF_COAL) |
	BIT_ULL(NET_F_DEVICE_STATS);
/* To the kernel the config space is for reading. */
static const uint64_t blk_refused = BIT_ULL(VIRTIO_BLK_F_CONFIG_WCE);
/* VDUSE says nothing of what these would have us know. */
static const uint64_t refused =
	BIT_ULL(F_NOTIFICATION_DATA) | BIT_ULL(F_NOTIF_CONFIG_DATA) |
	BIT_ULL(F_RING_RESET) | BIT_ULL(F_ADMIN_VQ) | BIT_ULL(VIRTIO_F_SR_IOV);

uint64_t kvduse_features(struct vdpa_device *vdev, uint32_t *ret_nvqs)
{
	uint64_t features = vdpa_get_device_features(vdev) & ~refused;
	uint32_t id = vdpa_get_device_id(vdev);

	*ret_nvqs = vdev->nvqs;
	if (id == VIRTIO_ID_NET) {
		*ret_nvqs = min_of(vdev->nvqs, (uint32_t)NET_QUEUES);
		return features & ~net_refused;
	}
	return id == VIRTIO_ID_BLOCK ? features & ~blk_refused : features;
}

static int check_device(struct kvduse *kv)
{
	struct vdpa_device *vdev = kv->vdev;
	const uint64_t needed = BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |
				BIT_ULL(VIRTIO_F_VERSION_1);
	uint64_t offered = vdpa_get_device_features(vdev);
	size_t size = vdpa_get_config_size(vdev);

	kv->features = kvduse_features(vdev, &kv->nvqs);
	if ((kv->features & needed) != needed) {
		return err(-EOPNOTSUPP,
			   "VDUSE needs VERSION_1 and ACCESS_PLATFORM, it "
			   "offers 0x%llx",
			   (unsigned long long)kv->features);
	}
	if (size > VDUSE_CONFIG_MAX || kv->nvqs == 0) {
		return err(-EOPNOTSUPP, "%zu bytes of config space, %u queues",
			   size, kv->nvqs);
	}
	kv->config_size = (uint32_t)size;
	if (kv->features != offered) {
		log_info(vdev->name,
			 "vduse: without features 0x%llx, with %u of %u "
			 "queues: the kernel's rules",
			 (unsigned long long)(offered & ~kv->features),
			 kv->nvqs, vdev->nvqs);
	}
	return 0;
}

/* As the kernel may see it. */
static int read_config(struct kvduse *kv, uint8_t *buf)
{
	static const uint8_t one_pair[2] = { 1, 0 };
	uint32_t size = kv->config_size;
	int r;

	if (size == 0) {
		return 0;
	}
	r = vdpa_get_config_raw(kv->vdev, 0, buf, size);
	if (vdpa_get_device_id(kv->vdev) == VIRTIO_ID_NET &&
	    size >= CONFIG_PAIRS + sizeof(one_pair)) {
		memcpy(buf + CONFIG_PAIRS, one_pair, sizeof(one_pair));
	}
	return r;
}

int kvduse_send_config(struct kvduse *kv)
{
	_cleanup_free_ struct vduse_config_data *data =
		calloc(1, sizeof(*data) + kv->config_size);
	int r;

	if (!data) {
		return -ENOMEM;
	}
	if (kv->config_size == 0) {
		return 0;
	}
	data->length = kv->config_size;
	r = read_config(kv, data->buffer);
	return r < 0 ? r : kvduse_ioctl(kv, VDUSE_DEV_SET_CONFIG, data);
}

/* ---- the control file ---- */

static int control_ioctl(const struct kvduse *kv, unsigned long cmd, void *arg)
{
	return kv->sys->ioctl(kv->control_fd, cmd, arg) < 0 ? -errno : 0;
}

static int open_control(struct kvduse *kv)
{
	char path[KVDUSE_PATH_MAX + 16];

	(void)snprintf(path, sizeof(path), "%s/control", kv->dir);
	kv->control_fd = kv->sys->open(path, O_RDWR);
	if (kv->control_fd >= 0) {
		return 0;
	}
	if (errno == ENOENT || errno == ENXIO || errno == ENODEV) {
		return err(-ENOENT,
			   "there is no %s: the kernel has no VDUSE loaded "
			   "(modprobe vduse)",
			   path);
	}
	if (errno == EACCES || errno == EPERM) {
		return err(-errno, "%s: not permitted: it belongs to root",
			   path);
	}
	return err(-errno, "%s: %s", path, strerror(errno));
}

/* Groups and address spaces only where there is more than one, and the kernel
 * knows of them. */
static int choose_version(struct kvduse *kv)
{
	uint64_t version = 0;
	int r;

	if (kv->vdev->nas > 1 && kv->vdev->ngroups > 1 &&
	    control_ioctl(kv, VDUSE_GET_API_VERSION, &version) == 0 &&
	    version >= VDUSE_API_V1) {
		version = VDUSE_API_V1;
	} else {
		version = VDUSE_API_V0;
	}
	kv->version = (uint32_t)version;
	r = control_ioctl(kv, VDUSE_SET_API_VERSION, &version);
	return r < 0 ? err(r, "VDUSE: the kernel has no API version %u",
			   kv->version)
		     : 0;
}

static int create_error(const struct kvduse *kv, int code)
{
	switch (code) {
	case -EEXIST:
		return code; /* the caller knows what to do */
	case -EPERM:
		return err(code, "VDUSE: not permitted: a network device needs "
				 "CAP_NET_ADMIN");
	case -EINVAL:
		return err(code,
			   "VDUSE: the kernel refuses a device of id %u with "
			   "features 0x%llx",
			   vdpa_get_device_id(kv->vdev),
			   (unsigned long long)kv->features);
	default:
		return err(code, "VDUSE: %s", strerror(-code));
	}
}

static int create(struct kvduse *kv)
{
	_cleanup_free_ struct vduse_create *c =
		calloc(1, sizeof(*c) + kv->config_size);
	int r;

	if (!c) {
		return -ENOMEM;
	}
	(void)snprintf(c->name, sizeof(c->name), "%s", kv->name);
	c->vendor_id = vdpa_get_vendor_id(kv->vdev);
	c->device_id = vdpa_get_device_id(kv->vdev);
	c->features = kv->features;
	c->vq_num = kv->nvqs;
	c->vq_align = vdpa_get_vq_align(kv->vdev);
	if (kv->version >= VDUSE_API_V1) {
		c->ngroups = kv->vdev->ngroups;
		c->nas = kv->vdev->nas;
	}
	c->config_size = kv->config_size;
	r = read_config(kv, c->config);
	if (r == 0) {
		r = control_ioctl(kv, VDUSE_CREATE_DEV, c);
	}
	return r < 0 ? create_error(kv, r) : 0;
}

static int destroy(struct kvduse *kv)
{
	char name[VDUSE_NAME_MAX] = { 0 };

	(void)snprintf(name, sizeof(name), "%s", kv->name);
	return control_ioctl(kv, VDUSE_DESTROY_DEV, name);
}

/* A device of that name that nobody uses is somebody's leftover. */
static int create_or_find(struct kvduse *kv)
{
	int r = create(kv);

	if (r == -EEXIST && destroy(kv) == 0) {
		r = create(kv);
	}
	kv->is_found = r == -EEXIST;
	return kv->is_found ? 0 : r;
}

/* ---- the device's file ---- */

int kvduse_ioctl(const struct kvduse *kv, unsigned long cmd, void *arg)
{
	int r = kv->sys->ioctl(kv->fd, cmd, arg);

	return r < 0 ? err(-errno, "VDUSE: ioctl 0x%lx: %s", cmd,
			   strerror(errno))
		     : r;
}

static int open_dev(struct kvduse *kv)
{
	char path[KVDUSE_PATH_MAX + VDPA_NAME_MAX + 1];

	(void)snprintf(path, sizeof(path), "%s/%s", kv->dir, kv->name);
	kv->fd = kv->sys->open(path, O_RDWR | O_NONBLOCK);
	if (kv->fd >= 0) {
		return 0;
	}
	if (errno == EBUSY) {
		return err(-EBUSY,
			   "%s: another process serves a device of that name",
			   path);
	}
	return err(-errno, "%s: %s", path, strerror(errno));
}

static int set_up_queue(struct kvduse *kv, uint32_t idx)
{
	struct vduse_vq_setup setup = {
		.index = idx,
		.max_size = vdpa_get_vq_num_max(kv->vdev),
	};
	int r = 0;

	if (kv->version >= VDUSE_API_V1) {
		r = vdpa_get_vq_group(kv->vdev, idx, &setup.group);
	}
	if (r < 0 && r != -EOPNOTSUPP) {
		return r;
	}
	return kvduse_ioctl(kv, VDUSE_VQ_SETUP, &setup);
}

/* Is what we found what we would have made? Its kind cannot be asked for. */
static int check_found(struct kvduse *kv)
{
	struct vduse_vq_info last = { .index = kv->nvqs - 1 };
	struct vduse_vq_info beyond = { .index = kv->nvqs };
	int r = kvduse_ioctl(kv, VDUSE_VQ_GET_INFO, &last);

	if (r == -EPERM) {
		return err(-EIO,
			   "the kernel gave %s/%s up, as nobody answered for "
			   "too long: vdpa dev del %s, and bind again",
			   kv->dir, kv->name, kv->name);
	}
	if (r < 0 || kvduse_ioctl(kv, VDUSE_VQ_GET_INFO, &beyond) != -EINVAL ||
	    kvduse_send_config(kv) < 0) {
		return err(-EEXIST,
			   "the kernel has another device %s: vdpa dev del %s, "
			   "or choose a name",
			   kv->name, kv->name);
	}
	log_info(kv->vdev->name, "vduse: found %s/%s, going on with it",
		 kv->dir, kv->name);
	return 0;
}

int kvduse_dev_open(struct kvduse *kv)
{
	int r = check_device(kv);

	if (r == 0) {
		r = open_control(kv);
	}
	if (r == 0) {
		r = choose_version(kv);
	}
	if (r == 0) {
		r = create_or_find(kv);
	}
	if (r < 0) {
		return r;
	}
	r = open_dev(kv);
	for (uint32_t i = 0; r >= 0 && !kv->is_found && i < kv->nvqs; i++) {
		r = set_up_queue(kv, i);
	}
	if (r >= 0 && kv->is_found) {
		r = check_found(kv);
	}
	return min_of(r, 0);
}

int kvduse_dev_destroy(struct kvduse *kv)
{
	kv->fd = close_fd(kv->fd);
	return kv->control_fd < 0 ? 0 : destroy(kv);
}

void kvduse_dev_close(struct kvduse *kv)
{
	kv->fd = close_fd(kv->fd);
	kv->control_fd = close_fd(kv->control_fd);
}
