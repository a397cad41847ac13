/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `dev add` and `dev set`: what the kernel checks before a device is made, in
 * its order and with its words (kernel drivers/vdpa/vdpa.c).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/err.h"
#include "base/parse.h"
#include "bus/bus.h"
#include "bus/bus_internal.h"

/* Smallest MTU of Ethernet, as the kernel's netlink policy has it. */
#define MTU_MIN 68

#define NET_ATTRS                                          \
	(BIT_ULL(VDPA_ATTR_MAC) | BIT_ULL(VDPA_ATTR_MTU) | \
	 BIT_ULL(VDPA_ATTR_MAX_VQP))

/* Feature bits that say something about one device id only. */
#define DEVICE_SPECIFIC_FEATURES ((BIT_ULL(24) - 1) | (~0ULL << 50))

static bool has_attr(const struct vdpa_dev_config *config, enum vdpa_attr attr)
{
	return has_bit(config->mask, attr);
}

/* Feature bits that the given attributes make no sense without. */
static uint64_t needed_features(const struct vdpa_dev_config *config)
{
	uint64_t features = 0;

	if (has_attr(config, VDPA_ATTR_MAC)) {
		features |= BIT_ULL(VIRTIO_NET_F_MAC);
	}
	if (has_attr(config, VDPA_ATTR_MTU)) {
		features |= BIT_ULL(VIRTIO_NET_F_MTU);
	}
	if (has_attr(config, VDPA_ATTR_MAX_VQP) && config->max_vq_pairs > 1) {
		features |= BIT_ULL(VIRTIO_NET_F_MQ);
	}
	return features;
}

/* What can be said of the attributes without knowing the mgmtdev. */
static int check_values(const struct vdpa_dev_config *config)
{
	if (has_attr(config, VDPA_ATTR_MTU) && config->mtu < MTU_MIN) {
		return err(-ERANGE, "integer out of range");
	}
	if (has_attr(config, VDPA_ATTR_MAX_VQP) && config->max_vq_pairs == 0) {
		return err(-EINVAL, "At least one pair of VQs is required");
	}
	if (has_attr(config, VDPA_ATTR_FEATURES)) {
		uint64_t missing = needed_features(config) &
				   ~config->device_features;

		if (missing != 0) {
			return err(-EINVAL,
				   "Missing features 0x%llx for provided "
				   "attributes",
				   (unsigned long long)missing);
		}
	}
	if ((config->mask & NET_ATTRS) != 0 && !config->is_admin) {
		return err(-EPERM, "network attributes need CAP_NET_ADMIN");
	}
	return 0;
}

static int check_keys(const struct vdpa_mgmtdev *mgmtdev,
		      const struct vdpa_key *keys, unsigned int n_keys,
		      const struct vdpa_dev_config *config)
{
	for (unsigned int i = 0; i < config->n_params; i++) {
		bool is_known = false;

		for (unsigned int k = 0; k < n_keys; k++) {
			is_known |= strcmp(keys[k].name,
					   config->params[i].key) == 0;
		}
		if (!is_known) {
			return err(-EOPNOTSUPP,
				   "%s takes no '%s': see `vdpakit mgmtdev "
				   "show %s`",
				   mgmtdev->name, config->params[i].key,
				   mgmtdev->name);
		}
	}
	return 0;
}

static int check_for_mgmtdev(const struct vdpa_mgmtdev *mgmtdev,
			     const struct vdpa_dev_config *config)
{
	uint64_t extra = config->mask & ~mgmtdev->attr_mask;
	bool has_net = has_bit(mgmtdev->classes, VIRTIO_ID_NET);

	if (extra != 0) {
		return err(-EOPNOTSUPP,
			   "Some provided attributes are not supported: "
			   "0x%llx",
			   (unsigned long long)extra);
	}
	if ((config->mask & NET_ATTRS) != 0 && !has_net) {
		return err(-EINVAL, "%s makes no network devices",
			   mgmtdev->name);
	}
	if (!is_pow2(mgmtdev->classes) && (config->mask & NET_ATTRS) == 0 &&
	    has_attr(config, VDPA_ATTR_FEATURES) &&
	    (config->device_features & DEVICE_SPECIFIC_FEATURES) != 0) {
		return err(-EINVAL, "Management device supports multi-class "
				    "while device features specified are "
				    "ambiguous");
	}
	return check_keys(mgmtdev, mgmtdev->keys, mgmtdev->n_keys, config);
}

/* The kernel leaves this to each of its drivers, which all do it. */
static int check_features(const struct vdpa_mgmtdev *mgmtdev,
			  const struct vdpa_dev_config *config)
{
	uint64_t has = mgmtdev->supported_features;

	if (has_attr(config, VDPA_ATTR_FEATURES) &&
	    (config->device_features & ~has) != 0) {
		return err(-EINVAL,
			   "device_features 0x%llx are more than the 0x%llx "
			   "that %s has",
			   (unsigned long long)config->device_features,
			   (unsigned long long)has, mgmtdev->name);
	}
	return 0;
}

int vdpa_dev_check(struct vdpa_bus *bus, const char *bus_name,
		   const char *mgmtdev_name, const char *name,
		   const struct vdpa_dev_config *config,
		   struct vdpa_mgmtdev **ret_mgmtdev)
{
	struct vdpa_mgmtdev *mgmtdev;
	int ret;

	ret = check_values(config);
	if (ret < 0) {
		return ret;
	}
	mgmtdev = vdpa_mgmtdev_find(bus, bus_name, mgmtdev_name);
	if (!mgmtdev) {
		return err(-ENODEV,
			   "Fail to find the specified management device");
	}
	ret = check_for_mgmtdev(mgmtdev, config);
	if (ret < 0) {
		return ret;
	}
	if (!name_is_valid(name)) {
		return err(-EINVAL,
			   "'%s' cannot name a device: use up to 63 letters, "
			   "digits, '-', '_', '.' or ':'",
			   name);
	}
	if (vdpa_device_find(bus, name)) {
		return err(-EEXIST, "there is a device %s already", name);
	}
	ret = check_features(mgmtdev, config);
	if (ret == 0) {
		*ret_mgmtdev = mgmtdev;
	}
	return ret;
}

int vdpa_dev_add(struct vdpa_bus *bus, const char *bus_name,
		 const char *mgmtdev_name, const char *name,
		 const struct vdpa_dev_config *config)
{
	struct vdpa_mgmtdev *mgmtdev;
	int ret = vdpa_dev_check(bus, bus_name, mgmtdev_name, name, config,
				 &mgmtdev);

	return ret < 0 ? ret : mgmtdev->ops->dev_add(mgmtdev, name, config);
}

int vdpa_mgmtdev_set(struct vdpa_mgmtdev *mgmtdev,
		     const struct vdpa_dev_config *config)
{
	int ret = check_keys(mgmtdev, mgmtdev->own_keys, mgmtdev->n_own_keys,
			     config);

	if (ret == 0 && config->n_params > 0) {
		ret = mgmtdev->ops->set(mgmtdev, config);
	}
	return ret;
}

static bool mac_is_valid(const uint8_t mac[6])
{
	static const uint8_t zero[6];

	return !(mac[0] & 1) && memcmp(mac, zero, 6) != 0;
}

/* Keys of our own, which the kernel has nothing like. */
static int set_params(struct vdpa_device *vdev,
		      const struct vdpa_dev_config *config)
{
	struct vdpa_mgmtdev *mgmtdev = vdev->mgmtdev;
	int ret = check_keys(mgmtdev, mgmtdev->set_keys, mgmtdev->n_set_keys,
			     config);

	if (config->mask != 0) {
		return err(-EINVAL, "%s: change one thing at a time",
			   vdev->name);
	}
	return ret < 0 ? ret
		       : mgmtdev->ops->dev_set_attr(mgmtdev, vdev, config);
}

int vdpa_dev_set(struct vdpa_bus *bus, const char *name,
		 const struct vdpa_dev_config *config)
{
	struct vdpa_device *vdev = vdpa_device_find(bus, name);
	struct vdpa_mgmtdev *mgmtdev;

	if (!vdev) {
		return err(-ENODEV, "device not found");
	}
	mgmtdev = vdev->mgmtdev;
	if (!mgmtdev) {
		return err(-EINVAL, "unmanaged device %s cannot be changed",
			   name);
	}
	if (config->n_params > 0) {
		return set_params(vdev, config);
	}
	if (!has_bit(mgmtdev->classes, VIRTIO_ID_NET)) {
		/* The kernel says so and succeeds; a user is told the truth. */
		return err(-EOPNOTSUPP, "%s device not supported", name);
	}
	if (!has_attr(config, VDPA_ATTR_MAC) || !mac_is_valid(config->mac)) {
		return err(-EOPNOTSUPP, "Invalid MAC address");
	}
	if (!mgmtdev->ops->dev_set_attr) {
		return err(-EOPNOTSUPP,
			   "Operation not supported by the device.");
	}
	return mgmtdev->ops->dev_set_attr(mgmtdev, vdev, config);
}
