/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vhost-vdpa bus driver: probe and remove, open and release.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/vhost_vdpa.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "busdrv/vhost_vdpa_internal.h"

#define DEV_VHOST_MAX 1024
#define DOORBELL_PAGE 4096

/* The bus driver: which minors are taken. */
struct vhost_vdpa_driver {
	struct vdpa_driver drv;
	struct cdev *cdev;
	struct vhost_vdpa *by_minor[DEV_VHOST_MAX];
};

int vhost_vdpa_take_eventfd(struct cdev_call *call, int fd, int *ret_fd)
{
	int ours;

	if (fd == -1) {
		*ret_fd = -1;
		return 0;
	}
	ours = cdev_get_eventfd(call, fd);
	if (ours < 0) {
		return ours;
	}
	*ret_fd = ours;
	return 0;
}

int vhost_vdpa_reset(struct vhost_vdpa *v)
{
	bool persist =
		has_bit(v->backend_features, VHOST_BACKEND_F_IOTLB_PERSIST);

	v->is_suspended = false;
	v->vq_num_max = vdpa_get_vq_num_max(v->vdev);
	return vdpa_reset(v->vdev, persist ? 0 : VDPA_RESET_F_CLEAN_MAP);
}

/* ---- open and release ---- */

void vhost_vdpa_drop_vrings(struct vhost_vdpa *v)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };

	for (uint32_t i = 0; i < v->nvqs; i++) {
		struct vhost_vring *vring = &v->vrings[i];

		vring->kick_watch = loop_watch_free(vring->kick_watch);
		(void)vdpa_set_vq_kick_fd(v->vdev, i, -1); /* may lack it */
		(void)vdpa_set_vq_cb(v->vdev, i, &none);
		vring->kick_fd = close_fd(vring->kick_fd);
		vring->call_fd = close_fd(vring->call_fd);
		vring->err_fd = close_fd(vring->err_fd);
		vring->busyloop_us = 0;
	}
}

static void drop_config_fd(struct vhost_vdpa *v)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };

	(void)vdpa_set_config_cb(v->vdev, &none);
	v->config_fd = close_fd(v->config_fd);
}

int64_t vhost_vdpa_do_open(struct vhost_vdpa *v, struct cdev_file *file)
{
	int ret;

	if (!v->node) {
		return -ENODEV;
	}
	if (vhost_vdpa_is_open(v)) {
		return -EBUSY;
	}
	v->backend_features = 0;
	ret = vhost_vdpa_reset(v);
	if (ret < 0) {
		return ret;
	}
	vdpa_get_iova_range(v->vdev, &v->iova_range);
	v->fork_from_owner = 1;
	v->file = file;
	cdev_file_set_priv(file, v);
	log_debug(v->vdev->name, "opened as %s", cdev_node_name(v->node));
	return 0;
}

void vhost_vdpa_end_session(struct vhost_vdpa *v)
{
	int ret = vhost_vdpa_reset(v);

	log_debug(v->vdev->name, "closed");
	if (ret < 0) {
		log_warn(v->vdev->name, "ignoring that its reset failed: %s",
			 err_text(ret));
	}
	vhost_vdpa_drop_vrings(v);
	vhost_vdpa_drop_gate(v);
	drop_config_fd(v);
	vhost_vdpa_drop_maps(v);
	if (v->owner) {
		vdpa_unbind_mm(v->vdev);
	}
	v->mem = client_mem_unref(v->mem);
	v->owner = cdev_task_unref(v->owner);
	v->backend_features = 0;
	v->file = NULL;
}

static void vhost_vdpa_destroy(struct vhost_vdpa *v)
{
	struct vhost_vdpa_driver *vd =
		container_of(v->drv, struct vhost_vdpa_driver, drv);

	vd->by_minor[v->minor] = NULL;
	free(v->vrings);
	free(v);
}

bool vhost_vdpa_is_open(const struct vhost_vdpa *v)
{
	return v->file || v->is_releasing;
}

void vhost_vdpa_settle(struct vhost_vdpa *v)
{
	struct vdpa_device *vdev = v->vdev;

	if (!v->node && vdev && !vhost_vdpa_is_open(v) &&
	    list_is_empty(&v->calls)) {
		vhost_vdpa_destroy(v);
		vdpa_removed(vdev);
	}
}

/* The doorbell of virtqueue number @offset in pages. */
static int64_t vhost_vdpa_mmap(struct cdev_file *file, struct cdev_call *call,
			       const struct cdev_mmap *args, int *ret_fd,
			       uint64_t *ret_offset)
{
	struct vhost_vdpa *v = cdev_file_priv(file);
	struct vdpa_notification_area area;
	uint64_t idx = args->offset / DOORBELL_PAGE;
	int ret;

	if (args->length != DOORBELL_PAGE || !(args->flags & MAP_SHARED) ||
	    (args->prot & PROT_READ) || idx > UINT16_MAX) {
		return -EINVAL;
	}
	if (!v->vdev) {
		return -ENODEV;
	}
	if (!v->vdev->ops->get_vq_notification) {
		return -CDEV_ENOTSUPP;
	}
	ret = vdpa_get_vq_notification(v->vdev, (uint32_t)idx, &area);
	if (ret < 0) {
		return ret;
	}
	if (area.offset % DOORBELL_PAGE != 0) {
		return -EINVAL;
	}
	if (area.size_bytes != DOORBELL_PAGE) {
		return -CDEV_ENOTSUPP;
	}
	*ret_fd = fcntl(area.fd, F_DUPFD_CLOEXEC, 0);
	*ret_offset = area.offset;
	return *ret_fd < 0 ? -errno : 0;
}

static bool is_behind(void *priv)
{
	return cdev_file_is_behind(priv);
}

/* From the client's first asynchronous message on: its later ones may be
 * overtaken by buffers that count on them. */
void vhost_vdpa_use_gate(struct vhost_vdpa *v)
{
	const struct vdpa_gate gate = { is_behind, v->file };

	if (!v->has_gate) {
		v->has_gate = true;
		(void)vdpa_set_gate(v->vdev, &gate); /* may lack it */
	}
}

void vhost_vdpa_drop_gate(struct vhost_vdpa *v)
{
	if (v->has_gate) {
		(void)vdpa_set_gate(v->vdev, NULL); /* may lack it */
		v->has_gate = false;
	}
}

static void vhost_vdpa_caught_up(struct cdev_file *file)
{
	struct vhost_vdpa *v = cdev_file_priv(file);

	for (uint32_t i = 0; v->vdev && i < v->nvqs; i++) {
		(void)vdpa_kick_vq(v->vdev, i); /* idx is right */
	}
}

static const struct cdev_ops vhost_vdpa_file_ops = {
	.open = vhost_vdpa_open,
	.release = vhost_vdpa_release,
	.ioctl = vhost_vdpa_ioctl,
	.write = vhost_vdpa_write,
	.mmap = vhost_vdpa_mmap,
	.caught_up = vhost_vdpa_caught_up,
	.cancel = vhost_vdpa_cancel,
};

/* ---- probe and remove ---- */

static int pick_minor(const struct vhost_vdpa_driver *vd,
		      unsigned int *ret_minor)
{
	for (unsigned int i = 0; i < DEV_VHOST_MAX; i++) {
		if (!vd->by_minor[i]) {
			*ret_minor = i;
			return 0;
		}
	}
	return err(-ENOSPC, "all %d vhost-vdpa nodes are in use",
		   DEV_VHOST_MAX);
}

static int vhost_vdpa_new(struct vhost_vdpa_driver *vd,
			  struct vdpa_device *vdev, struct vhost_vdpa **ret)
{
	_cleanup_free_ struct vhost_vdpa *v = calloc(1, sizeof(*v));

	if (!v) {
		return -ENOMEM;
	}
	v->vrings = calloc(max_of(vdev->nvqs, 1U), sizeof(*v->vrings));
	if (!v->vrings) {
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		v->vrings[i] = (struct vhost_vring){
			.kick_fd = -1,
			.call_fd = -1,
			.err_fd = -1,
			.v = v,
			.idx = (uint16_t)i,
		};
	}
	v->vdev = vdev;
	v->drv = &vd->drv;
	v->nvqs = vdev->nvqs;
	v->config_fd = -1;
	list_init(&v->calls);
	*ret = steal_ptr(v);
	return 0;
}

static int vhost_vdpa_probe(struct vdpa_driver *drv, struct vdpa_device *vdev,
			    const struct vdpa_param *params,
			    unsigned int n_params)
{
	struct vhost_vdpa_driver *vd =
		container_of(drv, struct vhost_vdpa_driver, drv);
	struct vhost_vdpa *v;
	char name[32];
	unsigned int minor = 0;
	int ret;

	if (n_params > 0) {
		return err(-EINVAL, "vhost_vdpa takes no '%s'", params[0].key);
	}
	if ((vdev->ngroups > 1 || vdev->nas > 1) && !vdpa_has_dma_ops(vdev)) {
		return err(-EOPNOTSUPP,
			   "%s has several groups or address spaces but "
			   "neither set_map nor dma_map",
			   vdev->name);
	}
	ret = pick_minor(vd, &minor);
	if (ret < 0) {
		return ret;
	}
	ret = vhost_vdpa_new(vd, vdev, &v);
	if (ret < 0) {
		return ret;
	}
	v->minor = minor;
	(void)snprintf(name, sizeof(name), "vhost-vdpa-%u", minor);
	ret = cdev_node_new(vd->cdev, "vhost-vdpa", name, minor,
			    &vhost_vdpa_file_ops, v, &v->node);
	if (ret < 0) {
		free(v->vrings);
		free(v);
		return ret;
	}
	vd->by_minor[minor] = v;
	vdev->driver_priv = v;
	return 0;
}

static bool vhost_vdpa_is_busy(struct vdpa_device *vdev)
{
	const struct vhost_vdpa *v = vdev->driver_priv;

	return vhost_vdpa_is_open(v) || !list_is_empty(&v->calls);
}

/* The file lives on and answers ENODEV. */
static void cut_off(struct vhost_vdpa *v)
{
	struct vhost_vdpa_driver *vd =
		container_of(v->drv, struct vhost_vdpa_driver, drv);

	vhost_vdpa_end_session(v);
	vd->by_minor[v->minor] = NULL;
	free(steal_ptr(v->vrings));
	v->vdev = NULL;
}

static void vhost_vdpa_remove(struct vdpa_device *vdev, bool force)
{
	struct vhost_vdpa *v = vdev->driver_priv;

	v->node = cdev_node_free(v->node);
	if (v->file && force) {
		cut_off(v);
		vdpa_removed(vdev);
	} else {
		vhost_vdpa_settle(v); /* now, or when the client has left */
	}
}

static void vhost_vdpa_describe(struct vdpa_device *vdev, char *buf,
				size_t size)
{
	const struct vhost_vdpa *v = vdev->driver_priv;

	(void)snprintf(buf, size, "path /dev/vhost-vdpa-%u", v->minor);
}

int vhost_vdpa_register(struct vdpa_bus *bus, struct cdev *cdev,
			struct vdpa_driver **ret)
{
	struct vhost_vdpa_driver *vd = calloc(1, sizeof(*vd));
	int r;

	if (!vd) {
		return -ENOMEM;
	}
	vd->cdev = cdev;
	vd->drv = (struct vdpa_driver){
		.name = "vhost_vdpa",
		.probe = vhost_vdpa_probe,
		.is_busy = vhost_vdpa_is_busy,
		.remove = vhost_vdpa_remove,
		.describe = vhost_vdpa_describe,
	};
	r = vdpa_driver_register(bus, &vd->drv);
	if (r < 0) {
		free(vd);
		return r;
	}
	*ret = &vd->drv;
	return 0;
}

void vhost_vdpa_unregister(struct vdpa_driver *drv)
{
	vdpa_driver_unregister(drv);
	free(container_of(drv, struct vhost_vdpa_driver, drv));
}
