/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Management objects as JSON.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/objects_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mgmt/names.h"

#define NET_F_CTRL_VQ	 17
#define NET_S_LINK_UP	 1
#define NET_S_ANNOUNCE	 2
#define JSON_INTEGER_MAX INT64_MAX

bool json_put(json_t *obj, const char *key, json_t *take_value)
{
	if (!obj || !take_value) {
		json_decref(take_value);
		return false;
	}
	return json_object_set_new(obj, key, take_value) == 0;
}

static bool add(json_t *array, json_t *take_value)
{
	if (!array || !take_value) {
		json_decref(take_value);
		return false;
	}
	return json_array_append_new(array, take_value) == 0;
}

json_t *json_u64(uint64_t value)
{
	return json_integer(
		(json_int_t)min_of(value, (uint64_t)JSON_INTEGER_MAX));
}

json_t *json_if(bool ok, json_t *take_obj)
{
	if (!ok) {
		json_decref(take_obj);
		return NULL;
	}
	return take_obj;
}

/* Bits without a name are numbers, as in iproute2. */
static json_t *features(uint64_t bits, uint32_t device_id)
{
	json_t *array = json_array();
	bool ok = array != NULL;

	for (unsigned int i = 0; i < 64; i++) {
		const char *name = name_of_feature(device_id, i);

		if (has_bit(bits, i)) {
			ok &= add(array,
				  name ? json_string(name) : json_integer(i));
		}
	}
	return json_if(ok, array);
}

static json_t *classes(uint64_t bits)
{
	json_t *array = json_array();
	bool ok = array != NULL;

	for (unsigned int i = 1; i < 64; i++) {
		if (has_bit(bits, i)) {
			ok &= add(array, json_string(name_of_class(i)));
		}
	}
	return json_if(ok, array);
}

static json_t *keys(const struct vdpa_key *table, unsigned int n)
{
	json_t *obj = json_object();
	bool ok = obj != NULL;

	for (unsigned int i = 0; i < n; i++) {
		json_t *key = json_object();

		ok &= json_put(key, "value", json_string(table[i].value));
		ok &= json_put(key, "help", json_string(table[i].help));
		ok &= json_put(obj, table[i].name, key);
	}
	return json_if(ok, obj);
}

json_t *mgmt_json_mgmtdev(const struct vdpa_mgmtdev *mgmtdev)
{
	uint32_t device_id =
		has_bit(mgmtdev->classes, VIRTIO_ID_NET) ? VIRTIO_ID_NET : 0;
	json_t *obj = json_object();
	bool ok = json_put(obj, "supported_classes", classes(mgmtdev->classes));

	ok &= json_put(obj, "max_supported_vqs",
		       json_u64(mgmtdev->max_supported_vqs));
	ok &= json_put(obj, "dev_features",
		       features(mgmtdev->supported_features, device_id));
	if (mgmtdev->n_keys > 0) {
		ok &= json_put(obj, "keys",
			       keys(mgmtdev->keys, mgmtdev->n_keys));
	}
	if (mgmtdev->n_own_keys > 0) {
		ok &= json_put(obj, "own_keys",
			       keys(mgmtdev->own_keys, mgmtdev->n_own_keys));
	}
	return json_if(ok, obj);
}

json_t *mgmt_json_driver(struct vdpa_bus *bus, const struct vdpa_driver *drv)
{
	json_t *obj = json_object(), *devices = json_array();
	struct vdpa_device *vdev = NULL;
	bool ok = true;

	while ((vdev = vdpa_device_next(bus, vdev))) {
		if (vdev->driver == drv) {
			ok &= add(devices, json_string(vdev->name));
		}
	}
	ok &= json_put(obj, "devices", devices);
	if (drv->n_keys > 0) {
		ok &= json_put(obj, "keys", keys(drv->keys, drv->n_keys));
	}
	return json_if(ok, obj);
}

/* "path /dev/vhost-vdpa-0 key value": each word pair is a key. */
static bool put_pairs(json_t *obj, const char *text)
{
	char buf[160], *save = NULL, *key, *value;
	bool ok = true;

	(void)snprintf(buf, sizeof(buf), "%s", text);
	for (key = strtok_r(buf, " ", &save); key;
	     key = strtok_r(NULL, " ", &save)) {
		value = strtok_r(NULL, " ", &save);
		ok &= json_put(obj, key, json_string(value ? value : ""));
	}
	return ok;
}

json_t *mgmt_json_dev(const struct mgmt_dev_info *info)
{
	char handle[MGMT_HANDLE_MAX];
	json_t *obj = json_object();
	bool ok;

	ok = json_put(obj, "type", json_string(name_of_type(info->device_id)));
	if (info->mgmtdev) {
		mgmt_handle(info->mgmtdev, handle, sizeof(handle));
		ok &= json_put(obj, "mgmtdev", json_string(handle));
	}
	ok &= json_put(obj, "vendor_id", json_u64(info->vendor_id));
	ok &= json_put(obj, "max_vqs", json_u64(info->max_vqs));
	ok &= json_put(obj, "max_vq_size", json_u64(info->max_vq_size));
	if (info->driver) {
		ok &= json_put(obj, "driver", json_string(info->driver));
		ok &= put_pairs(obj, info->driver_text);
	}
	ok &= json_put(obj, "status", json_u64(info->status));
	return json_if(ok, obj);
}

static bool put_net(json_t *obj, const struct mgmt_config_info *info)
{
	const struct mgmt_config_field *f;
	char mac[18];
	bool ok = true;

	f = mgmt_config_find(info, MGMT_NET_MAC);
	if (f) {
		(void)snprintf(mac, sizeof(mac),
			       "%02x:%02x:%02x:%02x:%02x:%02x", f->mac[0],
			       f->mac[1], f->mac[2], f->mac[3], f->mac[4],
			       f->mac[5]);
		ok &= json_put(obj, "mac", json_string(mac));
	}
	f = mgmt_config_find(info, MGMT_NET_STATUS);
	if (f) {
		ok &= json_put(obj, "link ",
			       json_string(f->value & NET_S_LINK_UP ? "up"
								    : "down"));
		ok &= json_put(obj, "link_announce ",
			       json_boolean(f->value & NET_S_ANNOUNCE));
	}
	f = mgmt_config_find(info, MGMT_NET_MAX_VQP);
	if (f) {
		ok &= json_put(obj, "max_vq_pairs", json_u64(f->value));
	}
	f = mgmt_config_find(info, MGMT_NET_MTU);
	if (f) {
		ok &= json_put(obj, "mtu", json_u64(f->value));
	}
	if (info->has_negotiated) {
		ok &= json_put(obj, "negotiated_features",
			       features(info->negotiated, info->device_id));
	}
	return ok;
}

json_t *mgmt_json_config(const struct mgmt_config_info *info)
{
	json_t *obj = json_object();

	/* Of a block device iproute2 shows nothing. */
	if (info->device_id != VIRTIO_ID_NET) {
		return obj;
	}
	return json_if(put_net(obj, info), obj);
}

/*
 * iproute2 takes a missing MAX_VQP for no pairs, and calls queue 0 control_vq
 * then. We know that there is one pair, and call it what it is.
 */
static const char *queue_type(const struct mgmt_vstats_info *info)
{
	uint32_t n_data;

	if (info->device_id != VIRTIO_ID_NET) {
		return "requests";
	}
	n_data = info->has_max_vqp ? 2U * info->max_vqp : 2;
	if (has_bit(info->negotiated, NET_F_CTRL_VQ) && info->idx == n_data) {
		return "control_vq";
	}
	return info->idx & 1 ? "tx" : "rx";
}

json_t *mgmt_json_vstats(const struct mgmt_vstats_info *info)
{
	json_t *obj = json_object();
	bool ok = json_put(obj, "queue_type", json_string(queue_type(info)));

	for (unsigned int i = 0; i < info->n_stats; i++) {
		ok &= json_put(obj, info->stats[i].name,
			       json_u64(info->stats[i].value));
	}
	return json_if(ok, obj);
}
