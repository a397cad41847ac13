/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net: network devices with as many queues as wanted, on any back end.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/net/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ids.h>

#include "base/err.h"
#include "dev/net/class.h"

#define BACKEND_NAMES "loopback"

static const struct net_backend *const net_backends[] = {
	&net_backend_loopback,
};

static const struct vdpa_key net_keys[] = {
	{ "backend", BACKEND_NAMES, "what becomes of frames" },
	SOFT_KEY_POLL_US,
};

static const struct net_backend *find_backend(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(net_backends); i++) {
		if (strcmp(net_backends[i]->name, name) == 0) {
			return net_backends[i];
		}
	}
	return NULL;
}

static int choose_backend(const struct vdpa_dev_config *config,
			  const struct net_backend **ret)
{
	const char *name = NULL;

	for (unsigned int i = 0; i < config->n_params; i++) {
		if (strcmp(config->params[i].key, "backend") == 0) {
			name = config->params[i].value;
		}
	}
	if (!name) {
		return err(-EINVAL, "backend " BACKEND_NAMES " is needed");
	}
	*ret = find_backend(name);
	if (!*ret) {
		return err(-EINVAL,
			   "backend: there is no '%s', only " BACKEND_NAMES,
			   name);
	}
	return 0;
}

static int net_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
		   const struct vdpa_dev_config *config)
{
	const struct net_backend *backend;
	int ret = choose_backend(config, &backend);

	return ret < 0 ? ret : net_dev_add(mgmtdev, name, config, backend);
}

static const struct vdpa_mgmtdev_ops net_mgmtdev_ops = {
	.dev_add = net_add,
	.dev_del = net_dev_del,
	.dev_set_attr = net_dev_set,
};

int net_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret)
{
	struct vdpa_mgmtdev *mgmtdev = calloc(1, sizeof(*mgmtdev));
	int r;

	if (!mgmtdev) {
		return -ENOMEM;
	}
	*mgmtdev = (struct vdpa_mgmtdev){
		.name = "net",
		.ops = &net_mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_NET),
		.attr_mask = BIT_ULL(VDPA_ATTR_MAC) | BIT_ULL(VDPA_ATTR_MTU) |
			     BIT_ULL(VDPA_ATTR_MAX_VQP) |
			     BIT_ULL(VDPA_ATTR_FEATURES),
		.supported_features = net_features | soft_ring_features,
		.max_supported_vqs = 2 * NET_PAIRS_MAX + 1,
		.keys = net_keys,
		.n_keys = ARRAY_SIZE(net_keys),
	};
	r = vdpa_mgmtdev_register(bus, mgmtdev);
	if (r < 0) {
		free(mgmtdev);
		return r;
	}
	*ret = mgmtdev;
	return 0;
}

void net_unregister(struct vdpa_mgmtdev *mgmtdev)
{
	vdpa_mgmtdev_unregister(mgmtdev);
	free(mgmtdev);
}
