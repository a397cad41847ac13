/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vfio-user bus driver: probe and remove, and what a user may choose.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/vfio_user.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/parse.h"
#include "busdrv/vfio_user_internal.h"

/* ---- options ---- */

static int set_path(struct vfio_user *vu, const char *value)
{
	if (value[0] == '\0' || strlen(value) >= sizeof(vu->path)) {
		return err(-ENAMETOOLONG, "path: 1 to %zu bytes",
			   sizeof(vu->path) - 1);
	}
	(void)snprintf(vu->path, sizeof(vu->path), "%s", value);
	return 0;
}

static int set_mode(struct vfio_user *vu, const char *value)
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

static int set_vectors(struct vfio_user *vu, const char *value)
{
	uint64_t n;
	int r = parse_u64("vectors", value, VIRTIO_PCI_VECTORS_MAX, &n);

	if (r == 0 && n == 0) {
		r = err(-ERANGE, "vectors: at least 1");
	}
	if (r == 0) {
		vu->n_vectors = (uint32_t)n;
	}
	return r;
}

static const struct vdpa_key keys[] = {
	{ "path", "PATH", "of the unix socket (needed)" },
	{ "mode", "OCTAL", "of the socket: who may connect (default 0600)" },
	{ "vectors", "N",
	  "of MSI-X (default: one for each queue, and one more)" },
};

static int (*const setters[])(struct vfio_user *vu, const char *value) = {
	set_path,
	set_mode,
	set_vectors,
};
_Static_assert(ARRAY_SIZE(setters) == ARRAY_SIZE(keys), "one for each key");

static int set_param(struct vfio_user *vu, const struct vdpa_param *param)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(param->key, keys[i].name) == 0) {
			return setters[i](vu, param->value);
		}
	}
	return err(-EINVAL, "vfio_user takes no '%s'", param->key);
}

static int set_params(struct vfio_user *vu, const struct vdpa_param *params,
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

void vfio_user_destroy(struct vfio_user *vu)
{
	if (vu) {
		virtio_pci_free(vu->pci);
		free(vu->dma);
		free(vu);
	}
}

static void cleanup_vfio_user(struct vfio_user **vu)
{
	vfio_user_destroy(*vu);
}

static int vfio_user_probe(struct vdpa_driver *drv, struct vdpa_device *vdev,
			   const struct vdpa_param *params,
			   unsigned int n_params)
{
	_cleanup_(cleanup_vfio_user) struct vfio_user *vu =
		calloc(1, sizeof(*vu));
	int r;

	(void)drv;
	if (!vu) {
		return -ENOMEM;
	}
	vu->vdev = vdev;
	vu->loop = vdpa_bus_control(vdev->bus);
	vu->mode = 0600;
	r = set_params(vu, params, n_params);
	if (r == 0) {
		vu->dma = calloc(VFIO_USER_DMA_MAX, sizeof(*vu->dma));
		r = vu->dma ? 0 : -ENOMEM;
	}
	if (r == 0) {
		r = virtio_pci_new(vdev, vu->n_vectors, &vu->pci);
	}
	if (r == 0) {
		r = vfio_user_open(vu);
	}
	if (r < 0) {
		return r;
	}
	vdev->driver_priv = steal_ptr(vu);
	return 0;
}

static bool vfio_user_is_busy(struct vdpa_device *vdev)
{
	const struct vfio_user *vu = vdev->driver_priv;

	return vfio_user_has_session(vu);
}

static void vfio_user_remove(struct vdpa_device *vdev, bool force)
{
	struct vfio_user *vu = vdev->driver_priv;

	if (force) {
		vfio_user_cut_off(vu);
	} else {
		vfio_user_leave(vu);
	}
}

static void vfio_user_describe(struct vdpa_device *vdev, char *buf, size_t size)
{
	const struct vfio_user *vu = vdev->driver_priv;

	(void)snprintf(buf, size, "path %s%s", vu->path,
		       vu->fd >= 0 ? " connected" : "");
}

int vfio_user_register(struct vdpa_bus *bus, struct cdev *cdev,
		       struct vdpa_driver **ret)
{
	struct vdpa_driver *drv = calloc(1, sizeof(*drv));
	int r;

	(void)cdev;
	if (!drv) {
		return -ENOMEM;
	}
	*drv = (struct vdpa_driver){
		.name = "vfio_user",
		.probe = vfio_user_probe,
		.is_busy = vfio_user_is_busy,
		.remove = vfio_user_remove,
		.describe = vfio_user_describe,
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

void vfio_user_unregister(struct vdpa_driver *drv)
{
	vdpa_driver_unregister(drv);
	free(drv);
}
