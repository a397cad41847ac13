/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What management knows of devices, collected once for every front end.
 *
 * The JSON-RPC server and the generic netlink family answer the same
 * questions. Both take the answers from here: a struct of plain values, with
 * the kernel's errors where it has none.
 *
 * Context: control thread
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_OBJECTS_H
#define MGMT_OBJECTS_H

#include "bus/bus.h"

/* "BUS/NAME" or "NAME", with the NUL. */
#define MGMT_HANDLE_MAX (2 * VDPA_NAME_MAX)
#define MGMT_FIELDS_MAX 20
#define MGMT_STATS_MAX	64

/* Numbers of the kernel's attributes of config fields (linux/vdpa.h). */
enum mgmt_field {
	MGMT_NET_MAC = 10,
	MGMT_NET_STATUS = 11,
	MGMT_NET_MAX_VQP = 12,
	MGMT_NET_MTU = 13,
	MGMT_BLK_CAPACITY = 21,
	MGMT_BLK_SIZE_MAX = 22,
	MGMT_BLK_BLK_SIZE = 23,
	MGMT_BLK_SEG_MAX = 24,
	MGMT_BLK_NUM_QUEUES = 25,
	MGMT_BLK_PHY_BLK_EXP = 26,
	MGMT_BLK_ALIGN_OFFSET = 27,
	MGMT_BLK_MIN_IO_SIZE = 28,
	MGMT_BLK_OPT_IO_SIZE = 29,
	MGMT_BLK_MAX_DISCARD_SEC = 30,
	MGMT_BLK_MAX_DISCARD_SEG = 31,
	MGMT_BLK_DISCARD_SEC_ALIGN = 32,
	MGMT_BLK_MAX_WRITE_ZEROES_SEC = 33,
	MGMT_BLK_MAX_WRITE_ZEROES_SEG = 34,
	MGMT_BLK_READ_ONLY = 35,
	MGMT_BLK_FLUSH = 36,
};

/**
 * struct mgmt_events - who wants to know of changes, for a log
 *
 * @fn: one event in a device's life: "added by vdpasim_net"; may be NULL
 */
struct mgmt_events {
	void (*fn)(void *priv, const char *dev, const char *what);
	void *priv;
};

/* @events may be NULL. */
void mgmt_event(const struct mgmt_events *events, const char *dev,
		const char *fmt, ...) _printf_(3, 4);

/* Writes "BUS/NAME" or "NAME". */
void mgmt_handle(const struct vdpa_mgmtdev *mgmtdev, char *buf, size_t size);

/**
 * mgmt_split_handle() - take "BUS/NAME" or "NAME" apart
 * @handle: the text
 * @bus_name: filled; empty when there is none
 * @ret_name: borrowed from @handle
 *
 * Return: 0; -EINVAL not like that
 */
int mgmt_split_handle(const char *handle, char bus_name[VDPA_NAME_MAX],
		      const char **ret_name);

/**
 * mgmt_find_mgmtdev() - the management device that a handle names
 * @bus: which
 * @handle: "BUS/NAME" or "NAME"
 * @ret: borrowed
 *
 * Return: 0; -EINVAL more than one slash; -ENODEV
 */
int mgmt_find_mgmtdev(struct vdpa_bus *bus, const char *handle,
		      struct vdpa_mgmtdev **ret);

/**
 * mgmt_find_dev() - the device of that name, when somebody manages it
 *
 * Return: 0; -ENODEV; -EINVAL not made by a management device
 */
int mgmt_find_dev(struct vdpa_bus *bus, const char *name,
		  struct vdpa_device **ret);

/* One device, for `dev show`. */
struct mgmt_dev_info {
	const char *name;
	const struct vdpa_mgmtdev *mgmtdev;
	uint32_t device_id;
	uint32_t vendor_id;
	uint32_t max_vqs;
	uint16_t max_vq_size;
	uint16_t min_vq_size;
	uint8_t status;
	const char *driver; /* NULL: not bound */
	char driver_text[160]; /* "path /dev/vhost-vdpa-0"; may be empty */
};

void mgmt_dev_info(struct vdpa_device *vdev, struct mgmt_dev_info *ret);

/* One device's config space, for `dev config show`. */
struct mgmt_config_info {
	const char *name;
	uint32_t device_id;
	uint64_t device_features;
	bool has_negotiated;
	uint64_t negotiated;
	struct mgmt_config_field {
		enum mgmt_field id;
		uint8_t size; /* bytes: 1, 2, 4, 8; 6 is a MAC address */
		union {
			uint64_t value;
			uint8_t mac[6];
		};
	} fields[MGMT_FIELDS_MAX];
	unsigned int n_fields;
};

/**
 * mgmt_config_info() - read and take apart a config space
 * @vdev: a device; its config is as hostile as any
 * @ret: filled on success; fields in the kernel's order. One that the device's
 *       config space is too short for is left out
 *
 * Return: 0; -EOPNOTSUPP neither net nor blk
 */
int mgmt_config_info(struct vdpa_device *vdev, struct mgmt_config_info *ret);
/* Return: NULL when the device has no such field. */
const struct mgmt_config_field *
mgmt_config_find(const struct mgmt_config_info *info, enum mgmt_field id);

/* The counters of one virtqueue, for `dev vstats show`. */
struct mgmt_vstats_info {
	const char *name;
	uint32_t device_id;
	uint64_t negotiated;
	bool has_max_vqp;
	uint16_t max_vqp;
	uint32_t idx;
	struct mgmt_stat {
		char name[48];
		uint64_t value;
	} stats[MGMT_STATS_MAX];
	unsigned int n_stats;
};

/**
 * mgmt_vstats_info() - read the counters of a virtqueue
 *
 * Return: 0; -EOPNOTSUPP none of this device; -ERANGE no virtqueue can have
 *         that index; -EAGAIN features are not negotiated yet; -EINVAL none of
 *         this virtqueue
 */
int mgmt_vstats_info(struct vdpa_device *vdev, uint32_t idx,
		     struct mgmt_vstats_info *ret);

#endif
