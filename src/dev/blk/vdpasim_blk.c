/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpasim_blk: the RAM disk, as the kernel's simulator, with as many queues as
 * asked for.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/vdpasim_blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ids.h>

#include "base/err.h"
#include "base/parse.h"
#include "dev/blk/blk.h"
#include "dev/blk/mem.h"

#define SIM_CAPACITY_SECTORS  0x40000
#define SIM_CAPACITY_MAX_BYTE (1ULL << 40)
#define SIM_QUEUES_MAX	      64

static const uint64_t sim_blk_features =
	BIT_ULL(VIRTIO_BLK_F_SIZE_MAX) | BIT_ULL(VIRTIO_BLK_F_SEG_MAX) |
	BIT_ULL(VIRTIO_BLK_F_BLK_SIZE) | BIT_ULL(VIRTIO_BLK_F_FLUSH) |
	BIT_ULL(VIRTIO_BLK_F_TOPOLOGY) | BIT_ULL(VIRTIO_BLK_F_MQ) |
	BIT_ULL(VIRTIO_BLK_F_DISCARD) | BIT_ULL(VIRTIO_BLK_F_WRITE_ZEROES);

static void sim_blk_free(struct soft_dev *dev)
{
	struct blk_dev *blk = blk_dev_of(dev);

	blk->ops->free(blk);
	free(blk);
}

static const struct soft_class sim_blk_class = {
	.device_id = VIRTIO_ID_BLOCK,
	.submit = blk_submit,
	.get_config = blk_get_config,
	.set_config = blk_set_config,
	.free = sim_blk_free,
};

static int set_capacity(struct blk_dev *blk, const char *value)
{
	uint64_t bytes;
	int ret = parse_size("capacity", value, &bytes);

	if (ret < 0) {
		return ret;
	}
	if (bytes == 0 || bytes % BLK_SECTOR_BYTES != 0 ||
	    bytes > SIM_CAPACITY_MAX_BYTE) {
		return err(-ERANGE,
			   "capacity: %s is not a multiple of 512 bytes up to "
			   "1T",
			   value);
	}
	blk->capacity_sectors = bytes / BLK_SECTOR_BYTES;
	return 0;
}

static int set_num_queues(struct blk_dev *blk, const char *value)
{
	uint64_t n;
	int ret = parse_u64("num_queues", value, SIM_QUEUES_MAX, &n);

	if (ret < 0) {
		return ret;
	}
	if (n == 0) {
		return err(-ERANGE, "num_queues: at least 1 is needed");
	}
	blk->num_queues = (uint16_t)n;
	return 0;
}

static int set_poll_us(struct blk_dev *blk, const char *value)
{
	return soft_set_poll_us(&blk->soft, value);
}

/* The keys of `dev add`; sim_blk_setters does what they say. */
static const struct vdpa_key sim_blk_keys[] = {
	{ "capacity", "SIZE", "size of the disk (default 128M)" },
	{ "num_queues", "N", "virtqueues, 1 to 64 (default 1)" },
	SOFT_KEY_POLL_US,
};

static int (*const sim_blk_setters[])(struct blk_dev *blk,
				      const char *value) = {
	set_capacity,
	set_num_queues,
	set_poll_us,
};
_Static_assert(ARRAY_SIZE(sim_blk_setters) == ARRAY_SIZE(sim_blk_keys),
	       "one setter a key");

static int apply_params(struct blk_dev *blk,
			const struct vdpa_dev_config *config)
{
	for (unsigned int i = 0; i < config->n_params; i++) {
		const struct vdpa_param *param = &config->params[i];

		for (size_t k = 0; k < ARRAY_SIZE(sim_blk_keys); k++) {
			int ret;

			if (strcmp(param->key, sim_blk_keys[k].name) != 0) {
				continue;
			}
			ret = sim_blk_setters[k](blk, param->value);
			if (ret < 0) {
				return ret;
			}
		}
	}
	return 0;
}

static int sim_blk_new(struct vdpa_mgmtdev *mgmtdev, const char *name,
		       const struct vdpa_dev_config *config,
		       struct blk_dev **ret)
{
	struct blk_dev *blk = calloc(1, sizeof(*blk));
	int r;

	if (!blk) {
		return -ENOMEM;
	}
	(void)snprintf(blk->soft.vdev.name, VDPA_NAME_MAX, "%s", name);
	/* A fixed string: the specification pads it with NULs. */
	memcpy(blk->id, "vdpa_blk_sim", sizeof("vdpa_blk_sim"));
	blk->capacity_sectors = SIM_CAPACITY_SECTORS;
	blk->num_queues = 1;
	blk->soft.device_features = mgmtdev->supported_features;
	if (has_bit(config->mask, VDPA_ATTR_FEATURES)) {
		blk->soft.device_features &= config->device_features;
	}
	r = apply_params(blk, config);
	if (r == 0) {
		r = blk_mem_init(blk);
	}
	if (r < 0) {
		free(blk);
		return r;
	}
	blk->soft.class = &sim_blk_class;
	blk->soft.config_size = BLK_CONFIG_BYTES;
	blk->soft.num_max = SOFT_SIM_NUM_MAX;
	blk->soft.vdev.nvqs = blk->num_queues;
	blk->soft.vdev.ngroups = 1;
	blk->soft.vdev.nas = 1;
	*ret = blk;
	return 0;
}

static int sim_blk_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
			   const struct vdpa_dev_config *config)
{
	struct blk_dev *blk;
	int ret;

	if (has_bit(config->mask, VDPA_ATTR_FEATURES) &&
	    (config->device_features & ~mgmtdev->supported_features)) {
		return err(-EINVAL,
			   "device_features 0x%llx are more than the 0x%llx "
			   "that vdpasim_blk has",
			   (unsigned long long)config->device_features,
			   (unsigned long long)mgmtdev->supported_features);
	}
	ret = sim_blk_new(mgmtdev, name, config, &blk);
	if (ret < 0) {
		return ret;
	}
	ret = soft_dev_init(&blk->soft, mgmtdev->bus);
	if (ret < 0) {
		sim_blk_free(&blk->soft);
		return ret;
	}
	ret = vdpa_device_register(mgmtdev->bus, mgmtdev, &blk->soft.vdev);
	if (ret < 0) {
		soft_dev_free(&blk->soft);
	}
	return ret;
}

static void sim_blk_dev_del(struct vdpa_mgmtdev *mgmtdev,
			    struct vdpa_device *vdev)
{
	(void)mgmtdev;
	vdpa_device_unregister(vdev);
	soft_dev_free(soft_dev_of(vdev));
}

static const struct vdpa_mgmtdev_ops sim_blk_mgmtdev_ops = {
	.dev_add = sim_blk_dev_add,
	.dev_del = sim_blk_dev_del,
};

int vdpasim_blk_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret)
{
	struct vdpa_mgmtdev *mgmtdev = calloc(1, sizeof(*mgmtdev));
	int r;

	if (!mgmtdev) {
		return -ENOMEM;
	}
	*mgmtdev = (struct vdpa_mgmtdev){
		.name = "vdpasim_blk",
		.ops = &sim_blk_mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_BLOCK),
		.attr_mask = BIT_ULL(VDPA_ATTR_FEATURES),
		.supported_features = sim_blk_features | soft_ring_features,
		.max_supported_vqs = SIM_QUEUES_MAX,
		.keys = sim_blk_keys,
		.n_keys = ARRAY_SIZE(sim_blk_keys),
	};
	r = vdpa_mgmtdev_register(bus, mgmtdev);
	if (r < 0) {
		free(mgmtdev);
		return r;
	}
	*ret = mgmtdev;
	return 0;
}

void vdpasim_blk_unregister(struct vdpa_mgmtdev *mgmtdev)
{
	vdpa_mgmtdev_unregister(mgmtdev);
	free(mgmtdev);
}
