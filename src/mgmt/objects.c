/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What management knows of devices.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/objects.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "mgmt/names.h"

#define STATUS_FEATURES_OK 8
/* Largest number of queue pairs that virtio-net can have. */
#define NET_VQ_PAIRS_MAX 0x8000
/* Config bytes that any field lies in. */
#define CONFIG_BYTES 64

#define NET_F_MQ  22
#define NET_F_RSS 60

/*
 * A field of a config space: where it is, and the feature bits of which any
 * one makes it valid (0: always). A size of 0 is no field but the bit itself.
 */
struct field_desc {
	enum mgmt_field id;
	uint8_t offset;
	uint8_t size;
	uint64_t features;
};

/* In the order of the kernel's answers. */
static const struct field_desc net_fields[] = {
	{ MGMT_NET_MTU, 10, 2, BIT_ULL(3) },
	{ MGMT_NET_MAC, 0, 6, BIT_ULL(5) },
	{ MGMT_NET_STATUS, 6, 2, BIT_ULL(16) },
	{ MGMT_NET_MAX_VQP, 8, 2, BIT_ULL(NET_F_MQ) | BIT_ULL(NET_F_RSS) },
};

static const struct field_desc blk_fields[] = {
	{ MGMT_BLK_CAPACITY, 0, 8, 0 },
	{ MGMT_BLK_SIZE_MAX, 8, 4, BIT_ULL(1) },
	{ MGMT_BLK_BLK_SIZE, 20, 4, BIT_ULL(6) },
	{ MGMT_BLK_SEG_MAX, 12, 4, BIT_ULL(2) },
	{ MGMT_BLK_NUM_QUEUES, 34, 2, BIT_ULL(12) },
	{ MGMT_BLK_PHY_BLK_EXP, 24, 1, BIT_ULL(10) },
	{ MGMT_BLK_ALIGN_OFFSET, 25, 1, BIT_ULL(10) },
	{ MGMT_BLK_MIN_IO_SIZE, 26, 2, BIT_ULL(10) },
	{ MGMT_BLK_OPT_IO_SIZE, 28, 4, BIT_ULL(10) },
	{ MGMT_BLK_MAX_DISCARD_SEC, 36, 4, BIT_ULL(13) },
	{ MGMT_BLK_MAX_DISCARD_SEG, 40, 4, BIT_ULL(13) },
	{ MGMT_BLK_DISCARD_SEC_ALIGN, 44, 4, BIT_ULL(13) },
	{ MGMT_BLK_MAX_WRITE_ZEROES_SEC, 48, 4, BIT_ULL(14) },
	{ MGMT_BLK_MAX_WRITE_ZEROES_SEG, 52, 4, BIT_ULL(14) },
	{ MGMT_BLK_READ_ONLY, 0, 0, BIT_ULL(5) },
	{ MGMT_BLK_FLUSH, 0, 0, BIT_ULL(9) },
};

_Static_assert(ARRAY_SIZE(blk_fields) <= MGMT_FIELDS_MAX, "room for all");

void mgmt_event(const struct mgmt_events *events, const char *dev,
		const char *fmt, ...)
{
	char what[128];
	va_list ap;

	if (events && events->fn) {
		va_start(ap, fmt);
		(void)vsnprintf(what, sizeof(what), fmt, ap); /* may be cut */
		va_end(ap);
		events->fn(events->priv, dev, what);
	}
}

void mgmt_handle(const struct vdpa_mgmtdev *mgmtdev, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s%s%s",
		       mgmtdev->bus_name ? mgmtdev->bus_name : "",
		       mgmtdev->bus_name ? "/" : "", mgmtdev->name);
}

int mgmt_split_handle(const char *handle, char bus_name[VDPA_NAME_MAX],
		      const char **ret_name)
{
	const char *slash = strchr(handle, '/');
	size_t n = slash ? (size_t)(slash - handle) : 0;

	if (slash && (strchr(slash + 1, '/') || n == 0 || n >= VDPA_NAME_MAX)) {
		return err(-EINVAL, "'%s' is not like MGMTDEV or BUS/MGMTDEV",
			   handle);
	}
	memcpy(bus_name, handle, n);
	bus_name[n] = '\0';
	*ret_name = slash ? slash + 1 : handle;
	return 0;
}

int mgmt_find_mgmtdev(struct vdpa_bus *bus, const char *handle,
		      struct vdpa_mgmtdev **ret)
{
	char bus_name[VDPA_NAME_MAX];
	const char *name;
	int r = mgmt_split_handle(handle, bus_name, &name);

	if (r < 0) {
		return r;
	}
	*ret = vdpa_mgmtdev_find(bus, bus_name[0] ? bus_name : NULL, name);
	return *ret ? 0
		    : err(-ENODEV, "Fail to find the specified mgmt device");
}

int mgmt_find_dev(struct vdpa_bus *bus, const char *name,
		  struct vdpa_device **ret)
{
	struct vdpa_device *vdev = vdpa_device_find(bus, name);

	if (!vdev) {
		return err(-ENODEV, "device not found");
	}
	if (!vdev->mgmtdev) {
		return err(-EINVAL, "unmanaged vdpa device");
	}
	*ret = vdev;
	return 0;
}

void mgmt_dev_info(struct vdpa_device *vdev, struct mgmt_dev_info *ret)
{
	*ret = (struct mgmt_dev_info){
		.name = vdev->name,
		.mgmtdev = vdev->mgmtdev,
		.device_id = vdpa_get_device_id(vdev),
		.vendor_id = vdpa_get_vendor_id(vdev),
		.max_vqs = vdev->nvqs,
		.max_vq_size = vdpa_get_vq_num_max(vdev),
		.min_vq_size = vdpa_get_vq_num_min(vdev),
		.status = vdpa_get_status(vdev),
		.driver = vdev->driver ? vdev->driver->name : NULL,
	};
	if (vdev->driver && vdev->driver->describe) {
		vdev->driver->describe(vdev, ret->driver_text,
				       sizeof(ret->driver_text));
	}
}

static uint64_t read_le(const uint8_t *at, unsigned int size)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < size; i++) {
		v |= (uint64_t)at[i] << (8 * i);
	}
	return v;
}

static void take_field(const struct field_desc *desc, const uint8_t *config,
		       size_t size, struct mgmt_config_info *info)
{
	struct mgmt_config_field *f = &info->fields[info->n_fields];
	bool is_valid = !desc->features ||
			(info->device_features & desc->features);

	if (desc->size == 0) {
		*f = (struct mgmt_config_field){ desc->id,
						 1,
						 { .value = is_valid } };
		info->n_fields++;
		return;
	}
	if (!is_valid || !range_fits(desc->offset, desc->size, size)) {
		return;
	}
	*f = (struct mgmt_config_field){ .id = desc->id, .size = desc->size };
	if (desc->size == sizeof(f->mac)) {
		memcpy(f->mac, config + desc->offset, sizeof(f->mac));
	} else {
		f->value = read_le(config + desc->offset, desc->size);
	}
	info->n_fields++;
}

static size_t read_config(struct vdpa_device *vdev, uint8_t *buf, size_t size)
{
	size_t n = min_of(vdpa_get_config_size(vdev), size);

	if (n == 0 || vdpa_get_config_raw(vdev, 0, buf, (uint32_t)n) < 0) {
		return 0;
	}
	return n;
}

int mgmt_config_info(struct vdpa_device *vdev, struct mgmt_config_info *ret)
{
	uint8_t config[CONFIG_BYTES] = { 0 };
	const struct field_desc *fields = net_fields;
	size_t n_fields = ARRAY_SIZE(net_fields), size;

	*ret = (struct mgmt_config_info){
		.name = vdev->name,
		.device_id = vdpa_get_device_id(vdev),
		.device_features = vdpa_get_device_features(vdev),
	};
	if (ret->device_id == VIRTIO_ID_BLK) {
		fields = blk_fields;
		n_fields = ARRAY_SIZE(blk_fields);
	} else if (ret->device_id != VIRTIO_ID_NET) {
		return err(-EOPNOTSUPP,
			   "%s: no config is known of virtio device id %u",
			   vdev->name, ret->device_id);
	}
	if (vdpa_get_status(vdev) & STATUS_FEATURES_OK) {
		ret->has_negotiated = true;
		ret->negotiated = vdpa_get_driver_features(vdev);
	}
	size = read_config(vdev, config, sizeof(config));
	for (size_t i = 0; i < n_fields; i++) {
		take_field(&fields[i], config, size, ret);
	}
	return 0;
}

const struct mgmt_config_field *
mgmt_config_find(const struct mgmt_config_info *info, enum mgmt_field id)
{
	for (unsigned int i = 0; i < info->n_fields; i++) {
		if (info->fields[i].id == id) {
			return &info->fields[i];
		}
	}
	return NULL;
}

static void take_stat(void *priv, const char *name, uint64_t value)
{
	struct mgmt_vstats_info *info = priv;
	struct mgmt_stat *stat;

	if (info->n_stats < MGMT_STATS_MAX) {
		stat = &info->stats[info->n_stats++];
		(void)snprintf(stat->name, sizeof(stat->name), "%s", name);
		stat->value = value;
	}
}

static int check_vstats(struct vdpa_device *vdev, uint32_t idx)
{
	bool is_net = vdpa_get_device_id(vdev) == VIRTIO_ID_NET;

	if (!vdev->ops->get_vendor_vq_stats) {
		return err(-EOPNOTSUPP, "%s: has no virtqueue counters",
			   vdev->name);
	}
	if (is_net && idx > NET_VQ_PAIRS_MAX) {
		return err(-ERANGE, "%s: qidx %u is above %u", vdev->name, idx,
			   NET_VQ_PAIRS_MAX);
	}
	if (!(vdpa_get_status(vdev) & STATUS_FEATURES_OK)) {
		return err(-EAGAIN, "feature negotiation not complete");
	}
	return 0;
}

int mgmt_vstats_info(struct vdpa_device *vdev, uint32_t idx,
		     struct mgmt_vstats_info *ret)
{
	uint8_t config[CONFIG_BYTES] = { 0 };
	int r = check_vstats(vdev, idx);

	if (r < 0) {
		return r;
	}
	*ret = (struct mgmt_vstats_info){
		.name = vdev->name,
		.device_id = vdpa_get_device_id(vdev),
		.negotiated = vdpa_get_driver_features(vdev),
		.idx = idx,
	};
	if (ret->device_id == VIRTIO_ID_NET &&
	    (has_bit(ret->negotiated, NET_F_MQ) ||
	     has_bit(ret->negotiated, NET_F_RSS))) {
		ret->has_max_vqp = read_config(vdev, config, sizeof(config)) >=
				   10;
		ret->max_vqp = (uint16_t)read_le(config + 8, 2);
	}
	return vdpa_get_vendor_vq_stats(vdev, idx, take_stat, ret);
}
