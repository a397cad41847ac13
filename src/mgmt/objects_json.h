/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Management objects as JSON, in the shapes of iproute2's `vdpa -j`.
 *
 * Keys are iproute2's, down to the space at the end of "link " and
 * "link_announce ". What the kernel does not know (the bus driver, the node's
 * path, the status, keys of our own) stands behind its keys.
 *
 * Every function returns a new reference, or NULL when memory is short.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_OBJECTS_JSON_H
#define MGMT_OBJECTS_JSON_H

#include <jansson.h>

#include "mgmt/objects.h"

json_t *mgmt_json_mgmtdev(const struct vdpa_mgmtdev *mgmtdev);
json_t *mgmt_json_driver(struct vdpa_bus *bus, const struct vdpa_driver *drv);
json_t *mgmt_json_dev(const struct mgmt_dev_info *info);
json_t *mgmt_json_config(const struct mgmt_config_info *info);
json_t *mgmt_json_vstats(const struct mgmt_vstats_info *info);

/**
 * json_put() - set a key, taking the value
 * @obj: NULL is allowed: the value is dropped
 * @take_value: NULL: out of memory before
 *
 * Return: true when it was set
 */
bool json_put(json_t *obj, const char *key, json_t *take_value);
/* What does not fit in JSON's integers here is shown as the largest one. */
json_t *json_u64(uint64_t value);
/* The object, or NULL and the object freed when @ok is false. */
json_t *json_if(bool ok, json_t *take_obj);

#endif
