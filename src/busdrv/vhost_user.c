/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-user bus driver: probe and remove, and what a user may choose.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/vhost_user.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/parse.h"
#include "busdrv/vhost_user_internal.h"

#define RECONNECT_MS_MAX 3600000

/* ---- options ---- */

static int set_path(struct vhost_user *vu, const char *value)
{
	if (value[0] == '\0' || strlen(value) >= sizeof(vu->path)) {
		return err(-ENAMETOOLONG, "path: 1 to %zu bytes",
			   sizeof(vu->path) - 1);
	}
	(void)snprintf(vu->path, sizeof(vu->path), "%s", value);
	return 0;
}

static int set_server(struct vhost_user *vu, const char *value)
{
	bool is_server;
	int r = parse_bool("server", value, &is_server);

	vu->is_client = r == 0 && !is_server;
	return r;
}

static int set_reconnect(struct vhost_user *vu, const char *value)
{
	uint64_t ms;
	int r = parse_u64("reconnect_ms", value, RECONNECT_MS_MAX, &ms);

	if (r == 0) {
		vu->reconnect_ns = max_of(ms, 1ULL) * 1000000;
	}
	return r;
}

static int set_mode(struct vhost_user *vu, const char *value)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);

	if (value[0] == '\0' || *end != '\0' || mode > 0777) {
		return err(-EINVAL, "mode: '%s' is not octal, up to 0777",
			   value);
	}
	vu->mode = (uint32_t)mode;
	return 0;
}

static int set_queues(struct vhost_user *vu, const char *value)
{
	uint64_t n;
	int r = parse_u64("queues", value, vu->vdev->nvqs, &n);

	if (r == 0) {
		vu->n_queues = (uint32_t)n;
	}
	return r;
}

static int set_iommu(struct vhost_user *vu, const char *value)
{
	return parse_bool("iommu", value, &vu->offers_iommu);
}

static int set_postcopy(struct vhost_user *vu, const char *value)
{
	return parse_bool("postcopy", value, &vu->offers_postcopy);
}

static const struct vdpa_key keys[] = {
	{ "path", "PATH", "of the unix socket (needed)" },
	{ "server", "on|off",
	  "on: listen there (default); off: connect to a front end that "
	  "listens" },
	{ "reconnect_ms", "N",
	  "with server off: try again after that time (default 1000)" },
	{ "mode", "OCTAL", "of the socket: who may connect (default 0600)" },
	{ "queues", "N",
	  "the answer to GET_QUEUE_NUM (default: all that carry data)" },
	{ "iommu", "on|off",
	  "offer VIRTIO_F_ACCESS_PLATFORM, for guests with a vIOMMU (default "
	  "off)" },
	{ "postcopy", "on|off",
	  "offer postcopy migration: a front end that you trust may then stop "
	  "the workers for a while (default off)" },
};

static int (*const setters[])(struct vhost_user *vu, const char *value) = {
	set_path,   set_server, set_reconnect, set_mode,
	set_queues, set_iommu,	set_postcopy,
};
_Static_assert(ARRAY_SIZE(setters) == ARRAY_SIZE(keys), "one for each key");

static int set_param(struct vhost_user *vu, const struct vdpa_param *param)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(param->key, keys[i].name) == 0) {
			return setters[i](vu, param->value);
		}
	}
	return err(-EINVAL, "vhost_user takes no '%s'", param->key);
}

static int set_params(struct vhost_user *vu, const struct vdpa_param *params,
		      unsigned int n)
{
	int r = 0;

	for (unsigned int i = 0; i < n && r == 0; i++) {
		r = set_param(vu, &params[i]);
	}
	if (r == 0 && vu->path[0] == '\0') {
		r = err(-EINVAL, "path PATH is missing");
	}
	return r;
}

/* ---- probe and remove ---- */

void vhost_user_destroy(struct vhost_user *vu)
{
	if (vu) {
		pthread_mutex_destroy(&vu->misses.lock);
		free(vu->rings);
		free(vu);
	}
}

static void cleanup_vhost_user(struct vhost_user **vu)
{
	vhost_user_destroy(*vu);
}

static int vhost_user_probe(struct vdpa_driver *drv, struct vdpa_device *vdev,
			    const struct vdpa_param *params,
			    unsigned int n_params)
{
	_cleanup_(cleanup_vhost_user) struct vhost_user *vu =
		calloc(1, sizeof(*vu));
	int r;

	if (!vu) {
		return -ENOMEM;
	}
	vu->vdev = vdev;
	vu->drv = drv;
	vu->loop = vdpa_bus_control(vdev->bus);
	pthread_mutex_init(&vu->misses.lock, NULL);
	vu->mode = 0600;
	vu->reconnect_ns = VHOST_USER_RECONNECT_MS * 1000000ULL;
	vu->n_queues = vhost_user_n_data_queues(vdev);
	r = set_params(vu, params, n_params);
	if (r == 0) {
		r = vhost_user_rings_new(vu);
	}
	if (r == 0) {
		r = vhost_user_open(vu);
	}
	if (r < 0) {
		return r;
	}
	vdev->driver_priv = steal_ptr(vu);
	return 0;
}

static bool vhost_user_is_busy(struct vdpa_device *vdev)
{
	const struct vhost_user *vu = vdev->driver_priv;

	return vhost_user_has_session(vu);
}

static void vhost_user_remove(struct vdpa_device *vdev, bool force)
{
	struct vhost_user *vu = vdev->driver_priv;

	if (force) {
		vhost_user_cut_off(vu);
	} else {
		vhost_user_leave(vu);
	}
}

static void vhost_user_describe(struct vdpa_device *vdev, char *buf,
				size_t size)
{
	const struct vhost_user *vu = vdev->driver_priv;

	(void)snprintf(buf, size, "path %s%s%s", vu->path,
		       vu->is_client ? " server off" : "",
		       vu->fd >= 0 ? " connected" : "");
}

int vhost_user_register(struct vdpa_bus *bus, struct cdev *cdev,
			struct vdpa_driver **ret)
{
	struct vdpa_driver *drv = calloc(1, sizeof(*drv));
	int r;

	(void)cdev;
	if (!drv) {
		return -ENOMEM;
	}
	*drv = (struct vdpa_driver){
		.name = "vhost_user",
		.probe = vhost_user_probe,
		.is_busy = vhost_user_is_busy,
		.remove = vhost_user_remove,
		.describe = vhost_user_describe,
		.keys = keys,
		.n_keys = ARRAY_SIZE(keys),
	};
	r = vdpa_driver_register(bus, drv);
	if (r < 0) {
		free(drv);
		return r;
	}
	*ret = drv;
	return 0;
}

void vhost_user_unregister(struct vdpa_driver *drv)
{
	vdpa_driver_unregister(drv);
	free(drv);
}
