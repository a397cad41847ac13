/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-vdpa: ioctls on the device. Order of checks and errno are those of the
 * kernel's drivers/vhost/vdpa.c and vhost.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "busdrv/vhost_vdpa_internal.h"

/* Regions of VHOST_SET_MEM_TABLE (the kernel's max_mem_regions). */
#define MEM_REGIONS_MAX 64

#define BASE_BACKEND_FEATURES                    \
	(BIT_ULL(VHOST_BACKEND_F_IOTLB_MSG_V2) | \
	 BIT_ULL(VHOST_BACKEND_F_IOTLB_BATCH) |  \
	 BIT_ULL(VHOST_BACKEND_F_IOTLB_ASID))

/* Most devices have small numbers to give. */
static int64_t put_u32(struct cdev_call *call, uint64_t arg, uint32_t value)
{
	return cdev_copy_to(call, arg, &value, sizeof(value));
}

static int64_t put_u64(struct cdev_call *call, uint64_t arg, uint64_t value)
{
	return cdev_copy_to(call, arg, &value, sizeof(value));
}

/* ---- features ---- */

static int64_t do_get_features(struct vhost_vdpa *v, struct cdev_call *call,
			       uint64_t arg)
{
	return put_u64(call, arg, vdpa_get_device_features(v->vdev));
}

static int64_t do_set_features(struct vhost_vdpa *v, struct cdev_call *call,
			       uint64_t arg)
{
	uint64_t features;

	if (vdpa_get_status(v->vdev) & VIRTIO_CONFIG_S_FEATURES_OK) {
		return -EBUSY;
	}
	if (cdev_copy_from(call, &features, arg, sizeof(features)) < 0) {
		return -EFAULT;
	}
	return vdpa_set_driver_features(v->vdev, features) < 0 ? -EINVAL : 0;
}

static bool has_persistent_map(const struct vdpa_device *vdev)
{
	return !vdpa_has_dma_ops(vdev) || vdev->ops->reset_map;
}

/* What the device adds to the basic ones. */
static uint64_t optional_backend_features(const struct vhost_vdpa *v)
{
	struct vdpa_device *vdev = v->vdev;
	uint64_t features = vdpa_get_backend_features(vdev);

	if (vdpa_can_suspend(vdev)) {
		features |= BIT_ULL(VHOST_BACKEND_F_SUSPEND);
	}
	if (vdpa_can_resume(vdev)) {
		features |= BIT_ULL(VHOST_BACKEND_F_RESUME);
	}
	if (vdev->ops->get_vq_desc_group) {
		features |= BIT_ULL(VHOST_BACKEND_F_DESC_ASID);
	}
	if (has_persistent_map(vdev)) {
		features |= BIT_ULL(VHOST_BACKEND_F_IOTLB_PERSIST);
	}
	return features;
}

static int64_t do_get_backend_features(struct vhost_vdpa *v,
				       struct cdev_call *call, uint64_t arg)
{
	return put_u64(call, arg,
		       BASE_BACKEND_FEATURES | optional_backend_features(v));
}

static int64_t do_set_backend_features(struct vhost_vdpa *v,
				       struct cdev_call *call, uint64_t arg)
{
	/* Bit 6 promises nothing that we would have to do: always taken. */
	uint64_t allowed = BASE_BACKEND_FEATURES |
			   BIT_ULL(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK) |
			   optional_backend_features(v);
	uint64_t known = BASE_BACKEND_FEATURES |
			 BIT_ULL(VHOST_BACKEND_F_SUSPEND) |
			 BIT_ULL(VHOST_BACKEND_F_RESUME) |
			 BIT_ULL(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK) |
			 BIT_ULL(VHOST_BACKEND_F_DESC_ASID) |
			 BIT_ULL(VHOST_BACKEND_F_IOTLB_PERSIST);
	uint64_t features;

	if (cdev_copy_from(call, &features, arg, sizeof(features)) < 0) {
		return -EFAULT;
	}
	if ((features & ~known) != 0) {
		return -EOPNOTSUPP;
	}
	if (has_bit(features, VHOST_BACKEND_F_DESC_ASID) &&
	    !has_bit(features, VHOST_BACKEND_F_IOTLB_ASID)) {
		return -EINVAL;
	}
	if ((features & ~allowed) != 0) {
		return -EOPNOTSUPP;
	}
	v->backend_features = features;
	return 0;
}

/* ---- owner ---- */

static int64_t do_set_owner(struct vhost_vdpa *v, struct cdev_call *call,
			    uint64_t arg)
{
	struct cdev_task *task = cdev_call_task(call);
	int ret;

	(void)arg;
	if (v->owner) {
		return -EBUSY;
	}
	if (!cdev_task_mem(task)) {
		return err(-EACCES, "process %d does not show its memory",
			   (int)cdev_task_pid(task));
	}
	ret = vdpa_bind_mm(v->vdev, cdev_task_pid(task));
	if (ret < 0) {
		return ret;
	}
	v->owner = cdev_task_ref(task);
	v->mem = client_mem_ref(cdev_task_mem(task));
	return 0;
}

static int64_t do_set_fork_from_owner(struct vhost_vdpa *v,
				      struct cdev_call *call, uint64_t arg)
{
	uint8_t value;

	if (v->owner) {
		return -EBUSY;
	}
	if (cdev_copy_from(call, &value, arg, sizeof(value)) < 0) {
		return -EFAULT;
	}
	if (value > 1) {
		return -EINVAL;
	}
	v->fork_from_owner = value;
	return 0;
}

static int64_t do_get_fork_from_owner(struct vhost_vdpa *v,
				      struct cdev_call *call, uint64_t arg)
{
	return cdev_copy_to(call, arg, &v->fork_from_owner, 1);
}

/* Taken and ignored: memory comes by IOTLB messages. */
static int64_t do_set_mem_table(struct vhost_vdpa *v, struct cdev_call *call,
				uint64_t arg)
{
	struct vhost_memory table;
	struct vhost_memory_region region;

	(void)v;
	if (cdev_copy_from(call, &table, arg, sizeof(table)) < 0) {
		return -EFAULT;
	}
	if (table.padding) {
		return -EOPNOTSUPP;
	}
	if (table.nregions > MEM_REGIONS_MAX) {
		return -E2BIG;
	}
	for (uint32_t i = 0; i < table.nregions; i++) {
		uint64_t at = arg + sizeof(table) + i * sizeof(region);

		if (cdev_copy_from(call, &region, at, sizeof(region)) < 0) {
			return -EFAULT;
		}
	}
	return 0;
}

static int64_t do_no_log(struct vhost_vdpa *v, struct cdev_call *call,
			 uint64_t arg)
{
	(void)v;
	(void)call;
	(void)arg;
	return -ENOTTY;
}

/* ---- status ---- */

static int64_t do_get_status(struct vhost_vdpa *v, struct cdev_call *call,
			     uint64_t arg)
{
	uint8_t status = vdpa_get_status(v->vdev);

	return cdev_copy_to(call, arg, &status, sizeof(status));
}

static int64_t reset_by_client(struct vhost_vdpa *v)
{
	int ret = vhost_vdpa_reset(v);

	vhost_vdpa_keep_kicks(v);
	return ret;
}

static int64_t do_set_status(struct vhost_vdpa *v, struct cdev_call *call,
			     uint64_t arg)
{
	uint8_t status;

	if (cdev_copy_from(call, &status, arg, sizeof(status)) < 0) {
		return -EFAULT;
	}
	log_debug(v->vdev->name, "status 0x%02x", status);
	return status == 0 ? reset_by_client(v)
			   : vdpa_set_status(v->vdev, status);
}

static int64_t do_suspend(struct vhost_vdpa *v, struct cdev_call *call,
			  uint64_t arg)
{
	int ret;

	(void)call;
	(void)arg;
	if (!(vdpa_get_status(v->vdev) & VIRTIO_CONFIG_S_DRIVER_OK)) {
		return 0;
	}
	ret = vdpa_suspend(v->vdev);
	v->is_suspended |= ret == 0;
	return ret;
}

static int64_t do_resume(struct vhost_vdpa *v, struct cdev_call *call,
			 uint64_t arg)
{
	int ret;

	(void)call;
	(void)arg;
	if (!(vdpa_get_status(v->vdev) & VIRTIO_CONFIG_S_DRIVER_OK)) {
		return 0;
	}
	ret = vdpa_resume(v->vdev);
	v->is_suspended &= ret != 0;
	return ret;
}

/* ---- config space ---- */

static int64_t begin_config(struct vhost_vdpa *v, struct cdev_call *call,
			    uint64_t arg, struct vhost_vdpa_config *ret_head,
			    uint8_t **ret_buf)
{
	size_t size = vdpa_get_config_size(v->vdev);

	if (cdev_copy_from(call, ret_head, arg, sizeof(*ret_head)) < 0) {
		return -EFAULT;
	}
	if (ret_head->len == 0 ||
	    !range_fits(ret_head->off, ret_head->len, size)) {
		return -EINVAL;
	}
	*ret_buf = calloc(1, ret_head->len);
	return *ret_buf ? 0 : -ENOMEM;
}

static int64_t do_get_config(struct vhost_vdpa *v, struct cdev_call *call,
			     uint64_t arg)
{
	_cleanup_free_ uint8_t *buf = NULL;
	struct vhost_vdpa_config head;
	int64_t ret = begin_config(v, call, arg, &head, &buf);

	if (ret < 0) {
		return ret;
	}
	ret = vdpa_get_config(v->vdev, head.off, buf, head.len);
	if (ret < 0) {
		return ret;
	}
	return cdev_copy_to(call, arg + sizeof(head), buf, head.len);
}

static int64_t do_set_config(struct vhost_vdpa *v, struct cdev_call *call,
			     uint64_t arg)
{
	_cleanup_free_ uint8_t *buf = NULL;
	struct vhost_vdpa_config head;
	int64_t ret = begin_config(v, call, arg, &head, &buf);

	if (ret < 0) {
		return ret;
	}
	if (cdev_copy_from(call, buf, arg + sizeof(head), head.len) < 0) {
		return -EFAULT;
	}
	return vdpa_set_config(v->vdev, head.off, buf, head.len);
}

static int64_t do_set_config_call(struct vhost_vdpa *v, struct cdev_call *call,
				  uint64_t arg)
{
	struct vdpa_callback cb = { .trigger_fd = -1 };
	int fd, old = v->config_fd;
	int ret;

	if (cdev_copy_from(call, &fd, arg, sizeof(fd)) < 0) {
		return -EFAULT;
	}
	ret = vhost_vdpa_take_eventfd(call, fd, &cb.trigger_fd);
	if (ret < 0) {
		return ret;
	}
	v->config_fd = cb.trigger_fd;
	(void)vdpa_set_config_cb(v->vdev, &cb);
	(void)close_fd(old);
	return 0;
}

/* ---- numbers ---- */

static int64_t do_get_device_id(struct vhost_vdpa *v, struct cdev_call *call,
				uint64_t arg)
{
	return put_u32(call, arg, vdpa_get_device_id(v->vdev));
}

static int64_t do_get_vring_num(struct vhost_vdpa *v, struct cdev_call *call,
				uint64_t arg)
{
	uint16_t num = vdpa_get_vq_num_max(v->vdev);

	return cdev_copy_to(call, arg, &num, sizeof(num));
}

static int64_t do_get_iova_range(struct vhost_vdpa *v, struct cdev_call *call,
				 uint64_t arg)
{
	struct vhost_vdpa_iova_range range = {
		.first = v->iova_range.first,
		.last = v->iova_range.last,
	};

	return cdev_copy_to(call, arg, &range, sizeof(range));
}

static int64_t do_get_config_size(struct vhost_vdpa *v, struct cdev_call *call,
				  uint64_t arg)
{
	return put_u32(call, arg, (uint32_t)vdpa_get_config_size(v->vdev));
}

static int64_t do_get_as_num(struct vhost_vdpa *v, struct cdev_call *call,
			     uint64_t arg)
{
	return put_u32(call, arg, v->vdev->nas);
}

static int64_t do_get_vqs_count(struct vhost_vdpa *v, struct cdev_call *call,
				uint64_t arg)
{
	return put_u32(call, arg, v->nvqs);
}

static int64_t do_get_group_num(struct vhost_vdpa *v, struct cdev_call *call,
				uint64_t arg)
{
	return put_u32(call, arg, v->vdev->ngroups);
}

/* ---- dispatch ---- */

/* Commands on the device; @needs_owner: EPERM unless the caller owns it. */
static const struct {
	uint32_t cmd;
	bool needs_owner;
	int64_t (*fn)(struct vhost_vdpa *v, struct cdev_call *call,
		      uint64_t arg);
} commands[] = {
	{ VHOST_GET_FEATURES, false, do_get_features },
	{ VHOST_SET_FEATURES, false, do_set_features },
	{ VHOST_SET_OWNER, false, do_set_owner },
	{ VHOST_SET_MEM_TABLE, true, do_set_mem_table },
	{ VHOST_SET_LOG_BASE, false, do_no_log },
	{ VHOST_SET_LOG_FD, false, do_no_log },
	{ VHOST_SET_BACKEND_FEATURES, false, do_set_backend_features },
	{ VHOST_GET_BACKEND_FEATURES, false, do_get_backend_features },
	{ VHOST_VDPA_GET_DEVICE_ID, false, do_get_device_id },
	{ VHOST_VDPA_GET_STATUS, false, do_get_status },
	{ VHOST_VDPA_SET_STATUS, false, do_set_status },
	{ VHOST_VDPA_GET_CONFIG, false, do_get_config },
	{ VHOST_VDPA_SET_CONFIG, false, do_set_config },
	{ VHOST_VDPA_GET_VRING_NUM, false, do_get_vring_num },
	{ VHOST_VDPA_SET_CONFIG_CALL, false, do_set_config_call },
	{ VHOST_VDPA_GET_IOVA_RANGE, false, do_get_iova_range },
	{ VHOST_VDPA_GET_CONFIG_SIZE, false, do_get_config_size },
	{ VHOST_VDPA_GET_AS_NUM, false, do_get_as_num },
	{ VHOST_VDPA_GET_VQS_COUNT, false, do_get_vqs_count },
	{ VHOST_VDPA_GET_GROUP_NUM, false, do_get_group_num },
	{ VHOST_VDPA_SUSPEND, false, do_suspend },
	{ VHOST_VDPA_RESUME, false, do_resume },
	{ VHOST_SET_FORK_FROM_OWNER, false, do_set_fork_from_owner },
	{ VHOST_GET_FORK_FROM_OWNER, false, do_get_fork_from_owner },
};

int64_t vhost_vdpa_do_ioctl(struct vhost_vdpa *v, struct cdev_call *call,
			    uint32_t cmd, uint64_t arg)
{
	bool is_owner;

	if (!v->vdev) {
		return -ENODEV;
	}
	is_owner = v->owner && v->owner == cdev_call_task(call);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].cmd == cmd) {
			if (commands[i].needs_owner && !is_owner) {
				return -EPERM;
			}
			return commands[i].fn(v, call, arg);
		}
	}
	return is_owner ? vhost_vdpa_vring_ioctl(v, call, cmd, arg) : -EPERM;
}
