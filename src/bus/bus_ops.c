/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checked wrapper of every config op.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "base/err.h"
#include "bus/bus.h"
#include "bus/bus_internal.h"

static int check_vq(const struct vdpa_device *vdev, uint32_t idx)
{
	if (idx >= vdev->nvqs) {
		return err(-EINVAL, "%s: virtqueue %u of %u", vdev->name, idx,
			   vdev->nvqs);
	}
	return 0;
}

static int missing(const struct vdpa_device *vdev, const char *op)
{
	return err(-EOPNOTSUPP, "%s: the device has no %s", vdev->name, op);
}

/* ---- virtqueues ---- */

int vdpa_set_vq_address(struct vdpa_device *vdev, uint32_t idx,
			uint64_t desc_area, uint64_t driver_area,
			uint64_t device_area)
{
	int ret = check_vq(vdev, idx);

	return ret < 0 ? ret
		       : vdev->ops->set_vq_address(vdev, (uint16_t)idx,
						   desc_area, driver_area,
						   device_area);
}

int vdpa_set_vq_num(struct vdpa_device *vdev, uint32_t idx, uint32_t num)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (num < vdpa_get_vq_num_min(vdev) ||
	    num > vdpa_get_vq_num_max(vdev)) {
		return err(-EINVAL, "%s.vq%u: ring of %u, allowed are %u to %u",
			   vdev->name, idx, num, vdpa_get_vq_num_min(vdev),
			   vdpa_get_vq_num_max(vdev));
	}
	vdev->ops->set_vq_num(vdev, (uint16_t)idx, num);
	return 0;
}

int vdpa_kick_vq(struct vdpa_device *vdev, uint32_t idx)
{
	int ret = check_vq(vdev, idx);

	if (ret == 0) {
		vdev->ops->kick_vq(vdev, (uint16_t)idx);
	}
	return ret;
}

int vdpa_kick_vq_with_data(struct vdpa_device *vdev, uint32_t data)
{
	int ret = check_vq(vdev, data & 0xffff);

	if (ret < 0) {
		return ret;
	}
	if (!vdev->ops->kick_vq_with_data) {
		return missing(vdev, "kick_vq_with_data");
	}
	vdev->ops->kick_vq_with_data(vdev, data);
	return 0;
}

int vdpa_set_vq_kick_fd(struct vdpa_device *vdev, uint32_t idx, int fd)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (!vdev->ops->set_vq_kick_fd) {
		return missing(vdev, "set_vq_kick_fd");
	}
	return vdev->ops->set_vq_kick_fd(vdev, (uint16_t)idx, fd);
}

int vdpa_set_vq_cb(struct vdpa_device *vdev, uint32_t idx,
		   const struct vdpa_callback *cb)
{
	int ret = check_vq(vdev, idx);

	if (ret == 0) {
		vdev->ops->set_vq_cb(vdev, (uint16_t)idx, cb);
	}
	return ret;
}

int vdpa_set_vq_ready(struct vdpa_device *vdev, uint32_t idx, bool ready)
{
	int ret = check_vq(vdev, idx);

	if (ret == 0) {
		vdev->ops->set_vq_ready(vdev, (uint16_t)idx, ready);
	}
	return ret;
}

bool vdpa_get_vq_ready(struct vdpa_device *vdev, uint32_t idx)
{
	return idx < vdev->nvqs && vdev->ops->get_vq_ready(vdev, (uint16_t)idx);
}

int vdpa_set_vq_state(struct vdpa_device *vdev, uint32_t idx,
		      const struct vdpa_vq_state *state)
{
	int ret = check_vq(vdev, idx);

	return ret < 0 ? ret
		       : vdev->ops->set_vq_state(vdev, (uint16_t)idx, state);
}

int vdpa_get_vq_state(struct vdpa_device *vdev, uint32_t idx,
		      struct vdpa_vq_state *ret_state)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	memset(ret_state, 0, sizeof(*ret_state));
	return vdev->ops->get_vq_state(vdev, (uint16_t)idx, ret_state);
}

int vdpa_get_vendor_vq_stats(struct vdpa_device *vdev, uint32_t idx,
			     vdpa_stat_fn emit, void *priv)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (!vdev->ops->get_vendor_vq_stats) {
		return missing(vdev, "vendor statistics");
	}
	return vdev->ops->get_vendor_vq_stats(vdev, (uint16_t)idx, emit, priv);
}

int vdpa_get_vq_notification(struct vdpa_device *vdev, uint32_t idx,
			     struct vdpa_notification_area *ret_area)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (!vdev->ops->get_vq_notification) {
		return missing(vdev, "doorbell");
	}
	return vdev->ops->get_vq_notification(vdev, (uint16_t)idx, ret_area);
}

int vdpa_get_vq_irq(struct vdpa_device *vdev, uint32_t idx)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	return vdev->ops->get_vq_irq
		       ? vdev->ops->get_vq_irq(vdev, (uint16_t)idx)
		       : missing(vdev, "interrupt number");
}

int vdpa_get_vq_size(struct vdpa_device *vdev, uint32_t idx, uint16_t *ret_size)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (!vdev->ops->get_vq_size) {
		return missing(vdev, "get_vq_size");
	}
	*ret_size = vdev->ops->get_vq_size(vdev, (uint16_t)idx);
	return 0;
}

uint32_t vdpa_get_vq_align(struct vdpa_device *vdev)
{
	return vdev->ops->get_vq_align(vdev);
}

static int check_group(const struct vdpa_device *vdev, uint32_t group,
		       uint32_t *ret_group)
{
	if (group >= vdev->ngroups) {
		return err(-EIO, "%s: the device named group %u of %u",
			   vdev->name, group, vdev->ngroups);
	}
	*ret_group = group;
	return 0;
}

int vdpa_get_vq_group(struct vdpa_device *vdev, uint32_t idx,
		      uint32_t *ret_group)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (!vdev->ops->get_vq_group) {
		return missing(vdev, "virtqueue groups");
	}
	return check_group(vdev, vdev->ops->get_vq_group(vdev, (uint16_t)idx),
			   ret_group);
}

int vdpa_get_vq_desc_group(struct vdpa_device *vdev, uint32_t idx,
			   uint32_t *ret_group)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (!vdev->ops->get_vq_desc_group) {
		return missing(vdev, "descriptor groups");
	}
	return check_group(vdev,
			   vdev->ops->get_vq_desc_group(vdev, (uint16_t)idx),
			   ret_group);
}

int vdpa_set_vq_affinity(struct vdpa_device *vdev, uint32_t idx, uint64_t cpus)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	return vdev->ops->set_vq_affinity
		       ? vdev->ops->set_vq_affinity(vdev, (uint16_t)idx, cpus)
		       : missing(vdev, "affinity");
}

int vdpa_get_vq_affinity(struct vdpa_device *vdev, uint32_t idx,
			 uint64_t *ret_cpus)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (!vdev->ops->get_vq_affinity) {
		return missing(vdev, "affinity");
	}
	*ret_cpus = vdev->ops->get_vq_affinity(vdev, (uint16_t)idx);
	return 0;
}

/* ---- features, status ---- */

uint64_t vdpa_get_device_features(struct vdpa_device *vdev)
{
	return vdev->ops->get_device_features(vdev);
}

uint64_t vdpa_get_backend_features(struct vdpa_device *vdev)
{
	return vdev->ops->get_backend_features
		       ? vdev->ops->get_backend_features(vdev)
		       : 0;
}

int vdpa_set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	vdev->features_valid = true;
	return vdev->ops->set_driver_features(vdev, features);
}

uint64_t vdpa_get_driver_features(struct vdpa_device *vdev)
{
	return vdev->ops->get_driver_features(vdev);
}

int vdpa_set_config_cb(struct vdpa_device *vdev, const struct vdpa_callback *cb)
{
	vdev->ops->set_config_cb(vdev, cb);
	return 0;
}

uint16_t vdpa_get_vq_num_max(struct vdpa_device *vdev)
{
	return vdev->ops->get_vq_num_max(vdev);
}

uint16_t vdpa_get_vq_num_min(struct vdpa_device *vdev)
{
	return vdev->ops->get_vq_num_min ? vdev->ops->get_vq_num_min(vdev) : 1;
}

uint32_t vdpa_get_device_id(struct vdpa_device *vdev)
{
	return vdev->ops->get_device_id(vdev);
}

uint32_t vdpa_get_vendor_id(struct vdpa_device *vdev)
{
	return vdev->ops->get_vendor_id(vdev);
}

uint8_t vdpa_get_status(struct vdpa_device *vdev)
{
	return vdev->ops->get_status(vdev);
}

int vdpa_set_status(struct vdpa_device *vdev, uint8_t status)
{
	uint8_t old = vdev->ops->get_status(vdev);

	if (status == 0 || (old & ~status) != 0) {
		return err(-EINVAL, "%s: status 0x%02x clears bits of 0x%02x",
			   vdev->name, status, old);
	}
	vdev->ops->set_status(vdev, status);
	return 0;
}

int vdpa_reset(struct vdpa_device *vdev, uint32_t flags)
{
	vdev->features_valid = false;
	if (flags != 0 && vdev->ops->compat_reset) {
		return vdev->ops->compat_reset(vdev, flags);
	}
	return vdev->ops->reset(vdev);
}

bool vdpa_can_suspend(const struct vdpa_device *vdev)
{
	return vdev->ops->suspend != NULL;
}

bool vdpa_can_resume(const struct vdpa_device *vdev)
{
	return vdev->ops->resume != NULL;
}

int vdpa_suspend(struct vdpa_device *vdev)
{
	return vdev->ops->suspend ? vdev->ops->suspend(vdev)
				  : missing(vdev, "suspend");
}

int vdpa_resume(struct vdpa_device *vdev)
{
	return vdev->ops->resume ? vdev->ops->resume(vdev)
				 : missing(vdev, "resume");
}

/* ---- config space ---- */

size_t vdpa_get_config_size(struct vdpa_device *vdev)
{
	return vdev->ops->get_config_size(vdev);
}

static int check_config(struct vdpa_device *vdev, uint32_t offset, uint32_t len)
{
	size_t size = vdev->ops->get_config_size(vdev);

	if (len == 0 || !range_fits(offset, len, size)) {
		return err(-EINVAL, "%s: config offset %u, %u bytes, of %zu",
			   vdev->name, offset, len, size);
	}
	return 0;
}

int vdpa_get_config_raw(struct vdpa_device *vdev, uint32_t offset, void *buf,
			uint32_t len)
{
	int ret = check_config(vdev, offset, len);

	if (ret < 0) {
		return ret;
	}
	memset(buf, 0, len);
	vdev->ops->get_config(vdev, offset, buf, len);
	return 0;
}

int vdpa_get_config(struct vdpa_device *vdev, uint32_t offset, void *buf,
		    uint32_t len)
{
	int ret = check_config(vdev, offset, len);

	if (ret < 0) {
		return ret;
	}
	/*
	 * Config space accessed before features are negotiated: a legacy
	 * driver. What the device says to "no features" does not matter.
	 */
	if (!vdev->features_valid) {
		(void)vdpa_set_driver_features(vdev, 0);
	}
	return vdpa_get_config_raw(vdev, offset, buf, len);
}

int vdpa_set_config(struct vdpa_device *vdev, uint32_t offset, const void *buf,
		    uint32_t len)
{
	int ret = check_config(vdev, offset, len);

	if (ret == 0) {
		vdev->ops->set_config(vdev, offset, buf, len);
	}
	return ret;
}

uint32_t vdpa_get_generation(struct vdpa_device *vdev)
{
	return vdev->ops->get_generation ? vdev->ops->get_generation(vdev) : 0;
}

/* ---- memory ---- */

void vdpa_get_iova_range(struct vdpa_device *vdev,
			 struct vdpa_iova_range *ret_range)
{
	*ret_range = (struct vdpa_iova_range){ 0, UINT64_MAX };
	if (vdev->ops->get_iova_range) {
		vdev->ops->get_iova_range(vdev, ret_range);
	}
}

int vdpa_set_group_asid(struct vdpa_device *vdev, uint32_t group, uint32_t asid)
{
	if (group >= vdev->ngroups || asid >= vdev->nas) {
		return err(-EINVAL, "%s: group %u of %u, asid %u of %u",
			   vdev->name, group, vdev->ngroups, asid, vdev->nas);
	}
	return vdev->ops->set_group_asid
		       ? vdev->ops->set_group_asid(vdev, group, asid)
		       : missing(vdev, "set_group_asid");
}

int vdpa_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate)
{
	if (!vdev->ops->set_gate) {
		return missing(vdev, "gate");
	}
	vdev->ops->set_gate(vdev, gate);
	return 0;
}

int vdpa_set_vq_log(struct vdpa_device *vdev, uint32_t idx,
		    const struct vdpa_vq_log *log)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	return vdev->ops->set_vq_log
		       ? vdev->ops->set_vq_log(vdev, (uint16_t)idx, log)
		       : missing(vdev, "dirty log");
}

int vdpa_set_vq_inflight(struct vdpa_device *vdev, uint32_t idx,
			 const struct vdpa_inflight *inflight)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (inflight && !range_fits(inflight->offset, inflight->size_bytes,
				    region_size(inflight->region))) {
		return err(-EINVAL,
			   "%s.vq%u: inflight log ends beyond its file",
			   vdev->name, idx);
	}
	return vdev->ops->set_vq_inflight
		       ? vdev->ops->set_vq_inflight(vdev, (uint16_t)idx,
						    inflight)
		       : missing(vdev, "inflight log");
}

int vdpa_set_miss(struct vdpa_device *vdev, const struct vdpa_miss *miss)
{
	return vdev->ops->set_miss ? vdev->ops->set_miss(vdev, miss)
				   : missing(vdev, "IOTLB misses");
}

int vdpa_announce(struct vdpa_device *vdev, const uint8_t mac[6])
{
	return vdev->ops->announce ? vdev->ops->announce(vdev, mac)
				   : missing(vdev, "announce");
}

int64_t vdpa_save_state(struct vdpa_device *vdev, void *buf, size_t size)
{
	return vdev->ops->save_state ? vdev->ops->save_state(vdev, buf, size)
				     : missing(vdev, "save_state");
}

int vdpa_load_state(struct vdpa_device *vdev, const void *buf, size_t size)
{
	if (size > VDPA_STATE_MAX) {
		return err(-EINVAL, "%s: state of %zu bytes, limit %u",
			   vdev->name, size, VDPA_STATE_MAX);
	}
	return vdev->ops->load_state ? vdev->ops->load_state(vdev, buf, size)
				     : missing(vdev, "load_state");
}

int vdpa_set_vq_discard(struct vdpa_device *vdev, uint32_t idx, bool discard)
{
	int ret = check_vq(vdev, idx);

	if (ret < 0) {
		return ret;
	}
	if (!vdev->ops->set_vq_discard) {
		return missing(vdev, "set_vq_discard");
	}
	vdev->ops->set_vq_discard(vdev, (uint16_t)idx, discard);
	return 0;
}

int vdpa_bind_mm(struct vdpa_device *vdev, int pid)
{
	return vdev->ops->bind_mm ? vdev->ops->bind_mm(vdev, pid) : 0;
}

void vdpa_unbind_mm(struct vdpa_device *vdev)
{
	if (vdev->ops->unbind_mm) {
		vdev->ops->unbind_mm(vdev);
	}
}
