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
#include "dev/blk/class.h"

#define SIM_CONFIG_BYTES  60 /* ends before secure erase */
#define SIM_SIZE_MAX	  4096
#define SIM_SEG_MAX	  32
#define SIM_RANGE_SECTORS 0xffffffffU
#define SIM_DISCARD_ALIGN 512
#define SIM_OPT_IO_BLOCKS 1

static const uint64_t sim_blk_features =
	BIT_ULL(VIRTIO_BLK_F_SIZE_MAX) | BIT_ULL(VIRTIO_BLK_F_SEG_MAX) |
	BIT_ULL(VIRTIO_BLK_F_BLK_SIZE) | BIT_ULL(VIRTIO_BLK_F_FLUSH) |
	BIT_ULL(VIRTIO_BLK_F_TOPOLOGY) | BIT_ULL(VIRTIO_BLK_F_MQ) |
	BIT_ULL(VIRTIO_BLK_F_DISCARD) | BIT_ULL(VIRTIO_BLK_F_WRITE_ZEROES);

/* What the kernel's says in its config space. */
static void sim_tune(struct blk_limits *limits)
{
	limits->size_max = SIM_SIZE_MAX;
	limits->seg_max = SIM_SEG_MAX;
	limits->max_ranges = 1;
	limits->discard_sectors = SIM_RANGE_SECTORS;
	limits->write_zeroes_sectors = SIM_RANGE_SECTORS;
	limits->secure_erase_sectors = 0;
	limits->discard_align_sectors = SIM_DISCARD_ALIGN;
	limits->opt_io_blocks = SIM_OPT_IO_BLOCKS;
	limits->zeroes_may_unmap = false;
}

/* The keys of `dev add`. */
static const struct vdpa_key sim_blk_keys[] = {
	{ "capacity", "SIZE", "size of the disk (default 128M)" },
	{ "num_queues", "N", "virtqueues, 1 to 64 (default 1)" },
	SOFT_KEY_POLL_US,
};

static int (*const sim_blk_setters[])(struct blk_dev *blk,
				      const char *value) = {
	blk_set_capacity,
	blk_set_num_queues,
	blk_set_poll_us,
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
		       struct blk_dev *blk)
{
	int ret = blk_dev_set_backend(blk, &blk_backend_mem);

	if (ret < 0) {
		return ret;
	}
	(void)snprintf(blk->soft.vdev.name, VDPA_NAME_MAX, "%s", name);
	/* A fixed string: the specification pads it with NULs. */
	memcpy(blk->id, "vdpa_blk_sim", sizeof("vdpa_blk_sim"));
	blk->is_simulator = true;
	blk->tune = sim_tune;
	blk->num_queues = 1;
	blk->feature_mask = mgmtdev->supported_features;
	if (has_bit(config->mask, VDPA_ATTR_FEATURES)) {
		blk->feature_mask &= config->device_features;
	}
	blk->soft.config_size = SIM_CONFIG_BYTES;
	blk->soft.num_max = SOFT_SIM_NUM_MAX;
	ret = apply_params(blk, config);
	return ret < 0 ? ret : blk_dev_init(blk, mgmtdev);
}

static int sim_blk_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
			   const struct vdpa_dev_config *config)
{
	struct blk_dev *blk;
	int ret;

	blk = calloc(1, sizeof(*blk));
	ret = blk ? sim_blk_new(mgmtdev, name, config, blk) : -ENOMEM;
	if (ret < 0) {
		blk_dev_discard(blk);
	}
	return ret;
}

static const struct vdpa_mgmtdev_ops sim_blk_mgmtdev_ops = {
	.dev_add = sim_blk_dev_add,
	.dev_del = blk_dev_del,
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
		.max_supported_vqs = BLK_QUEUES_MAX,
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
