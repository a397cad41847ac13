/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices for the tests of management.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/test_fake.h"

#include <errno.h>

#include "base/err.h"
#include "lib/test.h"
#include "mgmt/names.h"

#define NET_FEATURES 0x308830028ULL
#define BLK_FEATURES 0x308007646ULL

static struct fake_dev *dev_of(struct vdpa_device *vdev)
{
	return container_of(vdev, struct fake_dev, vdev);
}

static int set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			  uint64_t desc_area, uint64_t driver_area,
			  uint64_t device_area)
{
	return 0;
}

static void set_vq_num(struct vdpa_device *vdev, uint16_t idx, uint32_t num)
{
}

static void kick_vq(struct vdpa_device *vdev, uint16_t idx)
{
}

static void set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		      const struct vdpa_callback *cb)
{
}

static void set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready)
{
}

static bool get_vq_ready(struct vdpa_device *vdev, uint16_t idx)
{
	return false;
}

static int set_vq_state(struct vdpa_device *vdev, uint16_t idx,
			const struct vdpa_vq_state *state)
{
	return 0;
}

static int get_vq_state(struct vdpa_device *vdev, uint16_t idx,
			struct vdpa_vq_state *ret_state)
{
	memset(ret_state, 0, sizeof(*ret_state));
	return 0;
}

static int get_vq_stats(struct vdpa_device *vdev, uint16_t idx,
			vdpa_stat_fn emit, void *priv)
{
	if (idx > 1) {
		return err(-EINVAL, "%s: no such queue", vdev->name);
	}
	emit(priv, idx == 0 ? "rx packets" : "tx packets", 7);
	emit(priv, idx == 0 ? "rx bytes" : "tx bytes", 700);
	return 0;
}

static uint32_t get_vq_align(struct vdpa_device *vdev)
{
	return 4096;
}

static uint64_t get_device_features(struct vdpa_device *vdev)
{
	return dev_of(vdev)->features;
}

static int set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	dev_of(vdev)->driver_features = features;
	return 0;
}

static uint64_t get_driver_features(struct vdpa_device *vdev)
{
	return dev_of(vdev)->driver_features;
}

static void set_config_cb(struct vdpa_device *vdev,
			  const struct vdpa_callback *cb)
{
}

static uint16_t get_vq_num_max(struct vdpa_device *vdev)
{
	return 256;
}

static uint32_t get_device_id(struct vdpa_device *vdev)
{
	return dev_of(vdev)->device_id;
}

static uint32_t get_vendor_id(struct vdpa_device *vdev)
{
	return 0;
}

static uint8_t get_status(struct vdpa_device *vdev)
{
	return dev_of(vdev)->status;
}

static void set_status(struct vdpa_device *vdev, uint8_t status)
{
	dev_of(vdev)->status = status;
}

static int reset(struct vdpa_device *vdev)
{
	dev_of(vdev)->status = 0;
	return 0;
}

static size_t get_config_size(struct vdpa_device *vdev)
{
	return dev_of(vdev)->config_size;
}

static void get_config(struct vdpa_device *vdev, uint32_t offset, void *buf,
		       uint32_t len)
{
	memcpy(buf, dev_of(vdev)->config + offset, len);
}

static void set_config(struct vdpa_device *vdev, uint32_t offset,
		       const void *buf, uint32_t len)
{
	memcpy(dev_of(vdev)->config + offset, buf, len);
}

#define COMMON_OPS                                                          \
	.size = sizeof(struct vdpa_config_ops),                             \
	.set_vq_address = set_vq_address, .set_vq_num = set_vq_num,         \
	.kick_vq = kick_vq, .set_vq_cb = set_vq_cb,                         \
	.set_vq_ready = set_vq_ready, .get_vq_ready = get_vq_ready,         \
	.set_vq_state = set_vq_state, .get_vq_state = get_vq_state,         \
	.get_vq_align = get_vq_align,                                       \
	.get_device_features = get_device_features,                         \
	.set_driver_features = set_driver_features,                         \
	.get_driver_features = get_driver_features,                         \
	.set_config_cb = set_config_cb, .get_vq_num_max = get_vq_num_max,   \
	.get_device_id = get_device_id, .get_vendor_id = get_vendor_id,     \
	.get_status = get_status, .set_status = set_status, .reset = reset, \
	.get_config_size = get_config_size, .get_config = get_config,       \
	.set_config = set_config

static const struct vdpa_config_ops net_ops = {
	COMMON_OPS,
	.get_vendor_vq_stats = get_vq_stats,
};

static const struct vdpa_config_ops blk_ops = {
	COMMON_OPS,
};

static int dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
		   const struct vdpa_dev_config *config)
{
	static const uint8_t net_config[24] = { 0x52, 0x54, 0, 1, 2,	3,
						1,    0,    0, 0, 0xdc, 5 };
	struct fake *fake = mgmtdev->priv;
	bool is_net = mgmtdev == &fake->net;
	struct fake_dev *dev = calloc(1, sizeof(*dev));
	int r;

	assert_non_null(dev);
	fake->seen = *config;
	dev->fake = fake;
	dev->vdev.ops = is_net ? &net_ops : &blk_ops;
	dev->vdev.nvqs = is_net ? 3 : 1;
	dev->vdev.ngroups = 1;
	dev->vdev.nas = 1;
	dev->device_id = is_net ? VIRTIO_ID_NET : VIRTIO_ID_BLK;
	dev->features = mgmtdev->supported_features;
	dev->config_size = is_net ? sizeof(net_config) : sizeof(dev->config);
	if (is_net) {
		memcpy(dev->config, net_config, sizeof(net_config));
	} else {
		dev->config[2] = 4; /* capacity 0x40000 */
		dev->config[21] = 2; /* blk_size 512 */
		dev->config[34] = 1; /* num_queues */
	}
	if (has_bit(config->mask, VDPA_ATTR_MAC)) {
		memcpy(dev->config, config->mac, 6);
	}
	(void)snprintf(dev->vdev.name, sizeof(dev->vdev.name), "%s", name);
	r = vdpa_device_register(mgmtdev->bus, mgmtdev, &dev->vdev);
	if (r < 0) {
		free(dev);
		return r;
	}
	fake->n_devs++;
	return 0;
}

static void dev_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev)
{
	struct fake_dev *dev = dev_of(vdev);

	vdpa_device_unregister(vdev);
	dev->fake->n_devs--;
	free(dev);
}

static int dev_set_attr(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev,
			const struct vdpa_dev_config *config)
{
	struct fake *fake = mgmtdev->priv;

	fake->seen = *config;
	memcpy(dev_of(vdev)->config, config->mac, 6);
	return 0;
}

static const struct vdpa_mgmtdev_ops mgmtdev_ops = {
	.dev_add = dev_add,
	.dev_del = dev_del,
	.dev_set_attr = dev_set_attr,
};

static int probe(struct vdpa_driver *drv, struct vdpa_device *vdev,
		 const struct vdpa_param *params, unsigned int n_params)
{
	return n_params > 0 ? err(-EINVAL, "fakedrv takes no keys") : 0;
}

static bool is_busy(struct vdpa_device *vdev)
{
	return ((struct fake *)vdev->driver->priv)->is_busy;
}

static void remove_dev(struct vdpa_device *vdev, bool force)
{
	struct fake *fake = vdev->driver->priv;

	if (fake->is_busy && !force) {
		fake->waiting = vdev;
		return;
	}
	fake->waiting = NULL;
	vdpa_removed(vdev);
}

static void describe(struct vdpa_device *vdev, char *buf, size_t size)
{
	(void)snprintf(buf, size, "path /dev/fake-%s", vdev->name);
}

void fake_register(struct fake *fake, struct vdpa_bus *bus)
{
	static const struct vdpa_key keys[] = {
		{ "size", "SIZE", "bytes of the disk" },
		{ "file", "PATH", "where its data are" },
	};

	memset(fake, 0, sizeof(*fake));
	fake->bus = bus;
	fake->drv = (struct vdpa_driver){
		.name = "fakedrv",
		.probe = probe,
		.is_busy = is_busy,
		.remove = remove_dev,
		.describe = describe,
		.priv = fake,
	};
	fake->net = (struct vdpa_mgmtdev){
		.name = "fakenet",
		.ops = &mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_NET),
		.attr_mask = BIT_ULL(VDPA_ATTR_MAC) | BIT_ULL(VDPA_ATTR_MTU) |
			     BIT_ULL(VDPA_ATTR_MAX_VQP) |
			     BIT_ULL(VDPA_ATTR_FEATURES),
		.supported_features = NET_FEATURES | BIT_ULL(40),
		.max_supported_vqs = 3,
		.priv = fake,
	};
	fake->blk = (struct vdpa_mgmtdev){
		.name = "fakeblk",
		.bus_name = "pci",
		.ops = &mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_BLK),
		.supported_features = BLK_FEATURES,
		.keys = keys,
		.n_keys = ARRAY_SIZE(keys),
		.priv = fake,
	};
	assert_int_equal(vdpa_driver_register(bus, &fake->drv), 0);
	assert_int_equal(vdpa_mgmtdev_register(bus, &fake->net), 0);
	assert_int_equal(vdpa_mgmtdev_register(bus, &fake->blk), 0);
}

void fake_unregister(struct fake *fake)
{
	vdpa_driver_unregister(&fake->drv);
	vdpa_mgmtdev_unregister(&fake->blk);
	vdpa_mgmtdev_unregister(&fake->net);
	assert_int_equal(fake->n_devs, 0);
}

struct fake_dev *fake_find(struct fake *fake, const char *name)
{
	struct vdpa_device *vdev = vdpa_device_find(fake->bus, name);

	return vdev ? dev_of(vdev) : NULL;
}

void fake_release(struct fake *fake)
{
	struct vdpa_device *vdev = fake->waiting;

	fake->waiting = NULL;
	fake->is_busy = false;
	vdpa_removed(vdev);
}
