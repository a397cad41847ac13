/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpasim_net: the loopback network device, as the kernel's simulator.
 *
 * Three queues: 0 receive, 1 transmit, 2 control; group 0 has the first two,
 * group 1 the control queue; two address spaces. All of it is in class.c, and
 * what becomes of frames in loopback.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/net/vdpasim_net.h"

#include <errno.h>
#include <stdlib.h>

#include <linux/virtio_ids.h>

#include "dev/net/class.h"

static const struct vdpa_key sim_net_keys[] = {
	SOFT_KEY_POLL_US,
};

static int sim_net_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
			   const struct vdpa_dev_config *config)
{
	return net_dev_add(mgmtdev, name, config, &net_backend_loopback);
}

static const struct vdpa_mgmtdev_ops sim_net_mgmtdev_ops = {
	.dev_add = sim_net_dev_add,
	.dev_del = net_dev_del,
	.dev_set_attr = net_dev_set,
};

int vdpasim_net_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret)
{
	struct vdpa_mgmtdev *mgmtdev = calloc(1, sizeof(*mgmtdev));
	int r;

	if (!mgmtdev) {
		return -ENOMEM;
	}
	*mgmtdev = (struct vdpa_mgmtdev){
		.name = "vdpasim_net",
		.ops = &sim_net_mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_NET),
		.attr_mask = BIT_ULL(VDPA_ATTR_MAC) | BIT_ULL(VDPA_ATTR_MTU) |
			     BIT_ULL(VDPA_ATTR_FEATURES),
		.supported_features = net_sim_features | soft_ring_features,
		.max_supported_vqs = 3,
		.keys = sim_net_keys,
		.n_keys = ARRAY_SIZE(sim_net_keys),
	};
	r = vdpa_mgmtdev_register(bus, mgmtdev);
	if (r < 0) {
		free(mgmtdev);
		return r;
	}
	*ret = mgmtdev;
	return 0;
}

void vdpasim_net_unregister(struct vdpa_mgmtdev *mgmtdev)
{
	vdpa_mgmtdev_unregister(mgmtdev);
	free(mgmtdev);
}
