/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generic netlink family "vdpa": its commands and attributes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mgmt/names.h"
#include "mgmt/netlink_internal.h"
#include "mgmt/objects.h"

/* Commands of the family; linux/vdpa.h of old systems lacks the last one. */
enum {
	CMD_MGMTDEV_NEW = 1,
	CMD_MGMTDEV_GET,
	CMD_DEV_NEW,
	CMD_DEV_DEL,
	CMD_DEV_GET,
	CMD_DEV_CONFIG_GET,
	CMD_DEV_VSTATS_GET,
	CMD_DEV_ATTR_SET,
};

/* Attributes that are not config fields (enum mgmt_field). */
enum {
	ATTR_BUS_NAME = 1,
	ATTR_MGMTDEV_NAME = 2,
	ATTR_CLASSES = 3,
	ATTR_DEV_NAME = 4,
	ATTR_DEV_ID = 5,
	ATTR_VENDOR_ID = 6,
	ATTR_MAX_VQS = 7,
	ATTR_MAX_VQ_SIZE = 8,
	ATTR_MIN_VQ_SIZE = 9,
	ATTR_MAC = 10,
	ATTR_MAX_VQP = 12,
	ATTR_MTU = 13,
	ATTR_NEGOTIATED = 14,
	ATTR_MGMTDEV_MAX_VQS = 15,
	ATTR_SUPPORTED_FEATURES = 16,
	ATTR_QUEUE_INDEX = 17,
	ATTR_STAT_NAME = 18,
	ATTR_STAT_VALUE = 19,
	ATTR_FEATURES = 20,
	ATTR_MAX = 37,
};

#define NET_MTU_MIN 68

static const struct nl_policy vdpa_policy[ATTR_MAX + 1] = {
	[ATTR_BUS_NAME] = { NL_STRING, 0 },
	[ATTR_MGMTDEV_NAME] = { NL_STRING, 0 },
	[ATTR_DEV_NAME] = { NL_STRING, 0 },
	[ATTR_MAC] = { NL_BINARY, 6 },
	[ATTR_MAX_VQP] = { NL_U16, 0 },
	[ATTR_MTU] = { NL_U16, NET_MTU_MIN },
	[ATTR_QUEUE_INDEX] = { NL_U32, 0 },
	[ATTR_FEATURES] = { NL_U64, 0 },
};

/* Longer than any name can be, so that a cut one matches none. */
#define NAME_BUF (VDPA_NAME_MAX + 2)

/* ---- management devices ---- */

static void put_handle(struct nl_writer *w, const struct vdpa_mgmtdev *mgmtdev)
{
	if (mgmtdev->bus_name) {
		nl_put_str(w, ATTR_BUS_NAME, mgmtdev->bus_name);
	}
	nl_put_str(w, ATTR_MGMTDEV_NAME, mgmtdev->name);
}

static int put_mgmtdev(const struct nl_request *req, void *object,
		       struct nl_answer *a)
{
	const struct vdpa_mgmtdev *mgmtdev = object;

	nl_answer_begin(a, req, CMD_MGMTDEV_NEW);
	put_handle(&a->w, mgmtdev);
	nl_put_u64(&a->w, ATTR_CLASSES, mgmtdev->classes);
	nl_put_u32(&a->w, ATTR_MGMTDEV_MAX_VQS, mgmtdev->max_supported_vqs);
	nl_put_u64(&a->w, ATTR_SUPPORTED_FEATURES, mgmtdev->supported_features);
	return 0;
}

static void *next_mgmtdev(struct netlink *nl, void *prev)
{
	return vdpa_mgmtdev_next(nl->bus, prev);
}

/* The handle that a request names. Return: 0; -EINVAL no name */
static int get_handle(const struct nl_request *req, char bus_name[NAME_BUF],
		      char name[NAME_BUF])
{
	if (!nl_has(&req->attrs, ATTR_MGMTDEV_NAME)) {
		return err(-EINVAL, "no management device named");
	}
	nl_get_str(&req->attrs, ATTR_BUS_NAME, bus_name, NAME_BUF);
	nl_get_str(&req->attrs, ATTR_MGMTDEV_NAME, name, NAME_BUF);
	return 0;
}

static int mgmtdev_get(struct netlink *nl, struct nl_request *req,
		       struct nl_answer *a)
{
	bool has_bus = nl_has(&req->attrs, ATTR_BUS_NAME);
	char bus_name[NAME_BUF], name[NAME_BUF];
	struct vdpa_mgmtdev *mgmtdev;
	int r = get_handle(req, bus_name, name);

	if (r < 0) {
		return r;
	}
	mgmtdev = vdpa_mgmtdev_find(nl->bus, has_bus ? bus_name : NULL, name);
	if (!mgmtdev) {
		return err(-ENODEV, "Fail to find the specified mgmt device");
	}
	return put_mgmtdev(req, mgmtdev, a);
}

/* ---- devices ---- */

static void *next_dev(struct netlink *nl, void *prev)
{
	return vdpa_device_next(nl->bus, prev);
}

static int get_dev_name(const struct nl_request *req, char name[NAME_BUF])
{
	if (!nl_has(&req->attrs, ATTR_DEV_NAME)) {
		return err(-EINVAL, "no device named");
	}
	nl_get_str(&req->attrs, ATTR_DEV_NAME, name, NAME_BUF);
	return 0;
}

static int find_dev(struct netlink *nl, const struct nl_request *req,
		    struct vdpa_device **ret)
{
	char name[NAME_BUF];
	int r = get_dev_name(req, name);

	return r < 0 ? r : mgmt_find_dev(nl->bus, name, ret);
}

static int put_dev(const struct nl_request *req, void *object,
		   struct nl_answer *a)
{
	struct vdpa_device *vdev = object;
	struct mgmt_dev_info info;

	if (!vdev->mgmtdev) {
		return 0;
	}
	mgmt_dev_info(vdev, &info);
	nl_answer_begin(a, req, CMD_DEV_NEW);
	put_handle(&a->w, info.mgmtdev);
	nl_put_str(&a->w, ATTR_DEV_NAME, info.name);
	nl_put_u32(&a->w, ATTR_DEV_ID, info.device_id);
	nl_put_u32(&a->w, ATTR_VENDOR_ID, info.vendor_id);
	nl_put_u32(&a->w, ATTR_MAX_VQS, info.max_vqs);
	nl_put_u16(&a->w, ATTR_MAX_VQ_SIZE, info.max_vq_size);
	nl_put_u16(&a->w, ATTR_MIN_VQ_SIZE, info.min_vq_size);
	return 0;
}

static int dev_get(struct netlink *nl, struct nl_request *req,
		   struct nl_answer *a)
{
	struct vdpa_device *vdev;
	int r = find_dev(nl, req, &vdev);

	return r < 0 ? r : put_dev(req, vdev, a);
}

static void put_field(struct nl_writer *w, const struct mgmt_config_field *f)
{
	uint16_t type = (uint16_t)f->id;

	switch (f->size) {
	case 1:
		nl_put_u8(w, type, (uint8_t)f->value);
		break;
	case 2:
		nl_put_u16(w, type, (uint16_t)f->value);
		break;
	case 4:
		nl_put_u32(w, type, (uint32_t)f->value);
		break;
	case 6:
		nl_put(w, type, f->mac, sizeof(f->mac));
		break;
	default:
		nl_put_u64(w, type, f->value);
	}
}

static int put_config(const struct nl_request *req, void *object,
		      struct nl_answer *a)
{
	struct vdpa_device *vdev = object;
	struct mgmt_config_info info;
	int r;

	if (!vdev->mgmtdev) {
		return 0;
	}
	r = mgmt_config_info(vdev, &info);
	if (r < 0) {
		return r;
	}
	nl_answer_begin(a, req, CMD_DEV_CONFIG_GET);
	nl_put_str(&a->w, ATTR_DEV_NAME, info.name);
	nl_put_u32(&a->w, ATTR_DEV_ID, info.device_id);
	if (info.has_negotiated) {
		nl_put_u64(&a->w, ATTR_NEGOTIATED, info.negotiated);
	}
	nl_put_u64(&a->w, ATTR_FEATURES, info.device_features);
	for (unsigned int i = 0; i < info.n_fields; i++) {
		put_field(&a->w, &info.fields[i]);
	}
	return 0;
}

static int config_get(struct netlink *nl, struct nl_request *req,
		      struct nl_answer *a)
{
	struct vdpa_device *vdev;
	int r = find_dev(nl, req, &vdev);

	return r < 0 ? r : put_config(req, vdev, a);
}

static int vstats_get(struct netlink *nl, struct nl_request *req,
		      struct nl_answer *a)
{
	struct mgmt_vstats_info info;
	struct vdpa_device *vdev;
	char name[NAME_BUF];
	int r = get_dev_name(req, name);

	if (r == 0 && !nl_has(&req->attrs, ATTR_QUEUE_INDEX)) {
		r = err(-EINVAL, "no queue index given");
	}
	if (r == 0) {
		r = mgmt_find_dev(nl->bus, name, &vdev);
	}
	/* What ours counts of disks the kernel's answer has no words for. */
	if (r == 0 && vdpa_get_device_id(vdev) != VIRTIO_ID_NET) {
		r = err(-EOPNOTSUPP, "%s: no network device", name);
	}
	if (r == 0) {
		r = mgmt_vstats_info(
			vdev, nl_get_u32(&req->attrs, ATTR_QUEUE_INDEX), &info);
	}
	if (r < 0) {
		return r;
	}
	nl_answer_begin(a, req, CMD_DEV_VSTATS_GET);
	nl_put_str(&a->w, ATTR_DEV_NAME, info.name);
	nl_put_u32(&a->w, ATTR_DEV_ID, info.device_id);
	nl_put_u64(&a->w, ATTR_NEGOTIATED, info.negotiated);
	if (info.has_max_vqp) {
		nl_put_u16(&a->w, ATTR_MAX_VQP, info.max_vqp);
	}
	nl_put_u32(&a->w, ATTR_QUEUE_INDEX, info.idx);
	for (unsigned int i = 0; i < info.n_stats; i++) {
		nl_put_str(&a->w, ATTR_STAT_NAME, info.stats[i].name);
		nl_put_u64(&a->w, ATTR_STAT_VALUE, info.stats[i].value);
	}
	return 0;
}

/* ---- changing things ---- */

static void get_config(const struct nl_request *req,
		       struct vdpa_dev_config *ret)
{
	static const enum vdpa_attr attrs[] = {
		VDPA_ATTR_MAC,
		VDPA_ATTR_MTU,
		VDPA_ATTR_MAX_VQP,
		VDPA_ATTR_FEATURES,
	};

	memset(ret, 0, sizeof(*ret));
	ret->is_admin = req->is_admin;
	for (size_t i = 0; i < ARRAY_SIZE(attrs); i++) {
		if (nl_has(&req->attrs, attrs[i])) {
			ret->mask |= BIT_ULL(attrs[i]);
		}
	}
	if (nl_has(&req->attrs, ATTR_MAC)) {
		memcpy(ret->mac, req->attrs.at[ATTR_MAC].data,
		       sizeof(ret->mac));
	}
	ret->mtu = nl_get_u16(&req->attrs, ATTR_MTU);
	ret->max_vq_pairs = nl_get_u16(&req->attrs, ATTR_MAX_VQP);
	ret->device_features = nl_get_u64(&req->attrs, ATTR_FEATURES);
}

static int dev_new(struct netlink *nl, struct nl_request *req,
		   struct nl_answer *a)
{
	char name[NAME_BUF], bus_name[NAME_BUF], mgmtdev_name[NAME_BUF];
	struct vdpa_dev_config config;
	int r = get_dev_name(req, name);

	if (r == 0) {
		r = get_handle(req, bus_name, mgmtdev_name);
	}
	if (r < 0) {
		return r;
	}
	get_config(req, &config);
	r = vdpa_dev_add(nl->bus,
			 nl_has(&req->attrs, ATTR_BUS_NAME) ? bus_name : NULL,
			 mgmtdev_name, name, &config);
	if (r == 0) {
		mgmt_event(nl->events, name, "added by %s", mgmtdev_name);
	}
	return r;
}

static int attr_set(struct netlink *nl, struct nl_request *req,
		    struct nl_answer *a)
{
	struct vdpa_dev_config config;
	struct vdpa_device *vdev;
	int r = find_dev(nl, req, &vdev);

	if (r < 0) {
		return r;
	}
	if (!has_bit(vdev->mgmtdev->classes, VIRTIO_ID_NET)) {
		/* The kernel says so, and yet reports success. */
		(void)snprintf(req->warning, sizeof(req->warning),
			       "vdpa: %s device not supported", vdev->name);
		return 0;
	}
	get_config(req, &config);
	r = vdpa_dev_set(nl->bus, vdev->name, &config);
	if (r == 0) {
		mgmt_event(nl->events, vdev->name, "its address was set");
	}
	return r;
}

/* A DEV_DEL whose device is still in use; a copy of what its answer needs. */
struct removal {
	struct netlink *nl;
	char name[NAME_BUF];
	struct nl_request req;
	uint8_t msg[];
};

static void removal_free(struct removal *removal)
{
	removal->req.to->end(removal->req.to);
	netlink_unref(removal->nl);
	free(removal);
}

static void on_removed(void *priv, int result)
{
	struct removal *removal = priv;

	if (result == 0) {
		mgmt_event(removal->nl->events, removal->name, "deleted");
	}
	nl_finish(removal->nl, &removal->req, result);
	removal_free(removal);
}

static struct removal *removal_new(struct netlink *nl,
				   const struct nl_request *req)
{
	struct removal *removal = malloc(sizeof(*removal) + req->len);

	if (!removal) {
		return NULL;
	}
	removal->req = *req;
	memcpy(removal->msg, req->msg, req->len);
	removal->req.msg = removal->msg;
	memset(&removal->req.attrs, 0, sizeof(removal->req.attrs));
	removal->req.to = req->to->keep(req->to);
	if (!removal->req.to) {
		free(removal);
		return NULL;
	}
	removal->nl = nl;
	nl->n_refs++;
	return removal;
}

static int dev_del(struct netlink *nl, struct nl_request *req,
		   struct nl_answer *a)
{
	struct removal *removal;
	char name[NAME_BUF];
	int r = get_dev_name(req, name);

	if (r < 0) {
		return r;
	}
	removal = removal_new(nl, req);
	if (!removal) {
		return err(-ENOMEM, "out of memory");
	}
	memcpy(removal->name, name, sizeof(name));
	r = vdpa_dev_del(nl->bus, name, on_removed, removal);
	if (r < 0) {
		removal_free(removal);
		return r;
	}
	return NL_ANSWERED;
}

static const struct nl_command vdpa_commands[] = {
	{ CMD_MGMTDEV_GET, false, mgmtdev_get, next_mgmtdev, put_mgmtdev },
	{ CMD_DEV_NEW, true, dev_new, NULL, NULL },
	{ CMD_DEV_DEL, true, dev_del, NULL, NULL },
	{ CMD_DEV_GET, false, dev_get, next_dev, put_dev },
	{ CMD_DEV_CONFIG_GET, false, config_get, next_dev, put_config },
	{ CMD_DEV_VSTATS_GET, true, vstats_get, NULL, NULL },
	{ CMD_DEV_ATTR_SET, true, attr_set, NULL, NULL },
};

const struct nl_family nl_vdpa_family = {
	.name = "vdpa",
	.id = NETLINK_FAMILY_ID,
	.version = 1,
	.policy = vdpa_policy,
	.max_attr = ATTR_MAX,
	.commands = vdpa_commands,
	.n_commands = ARRAY_SIZE(vdpa_commands),
};

/* ---- the controller: finding families ---- */

enum {
	CTRL_NEWFAMILY = 1,
	CTRL_GETFAMILY = 3,
};

enum {
	CTRL_ATTR_ID = 1,
	CTRL_ATTR_NAME,
	CTRL_ATTR_VERSION,
	CTRL_ATTR_HDRSIZE,
	CTRL_ATTR_MAXATTR,
	CTRL_ATTR_OPS,
	CTRL_ATTR_N = 10,
};

enum {
	OP_ID = 1,
	OP_FLAGS,
};

enum {
	OP_ADMIN = 1,
	OP_DO = 2,
	OP_DUMP = 4,
	OP_HAS_POLICY = 8,
};

static const struct nl_policy ctrl_policy[CTRL_ATTR_N + 1] = {
	[CTRL_ATTR_ID] = { NL_U16, 0 },
	[CTRL_ATTR_NAME] = { NL_STRING, 0 },
};

static const struct nl_family *const families[] = {
	&nl_ctrl_family,
	&nl_vdpa_family,
};

static void put_ops(struct nl_writer *w, const struct nl_family *family)
{
	size_t ops = nl_nest_begin(w, CTRL_ATTR_OPS);

	for (unsigned int i = 0; i < family->n_commands; i++) {
		const struct nl_command *c = &family->commands[i];
		size_t op = nl_nest_begin(w, (uint16_t)(i + 1));

		nl_put_u32(w, OP_ID, c->cmd);
		nl_put_u32(w, OP_FLAGS,
			   (c->needs_admin ? OP_ADMIN : 0) |
				   (c->do_it ? OP_DO : 0) |
				   (c->next ? OP_DUMP : 0) | OP_HAS_POLICY);
		nl_nest_end(w, op);
	}
	nl_nest_end(w, ops);
}

static int put_family(const struct nl_request *req, void *object,
		      struct nl_answer *a)
{
	const struct nl_family *family = *(struct nl_family *const *)object;

	nl_answer_begin(a, req, CTRL_NEWFAMILY);
	nl_put_str(&a->w, CTRL_ATTR_NAME, family->name);
	nl_put_u16(&a->w, CTRL_ATTR_ID, family->id);
	nl_put_u32(&a->w, CTRL_ATTR_VERSION, family->version);
	nl_put_u32(&a->w, CTRL_ATTR_HDRSIZE, 0);
	nl_put_u32(&a->w, CTRL_ATTR_MAXATTR, family->max_attr);
	put_ops(&a->w, family);
	return 0;
}

static void *next_family(struct netlink *nl, void *prev)
{
	size_t i = prev ? (size_t)((const struct nl_family *const *)prev -
				   families) +
				   1
			: 0;

	return i < ARRAY_SIZE(families) ? (void *)(uintptr_t)&families[i]
					: NULL;
}

static int family_get(struct netlink *nl, struct nl_request *req,
		      struct nl_answer *a)
{
	bool has_id = nl_has(&req->attrs, CTRL_ATTR_ID);
	bool has_name = nl_has(&req->attrs, CTRL_ATTR_NAME);
	uint16_t id = nl_get_u16(&req->attrs, CTRL_ATTR_ID);
	char name[NAME_BUF];

	if (!has_id && !has_name) {
		return err(-EINVAL, "neither a family's name nor its id");
	}
	nl_get_str(&req->attrs, CTRL_ATTR_NAME, name, sizeof(name));
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		if ((!has_id || families[i]->id == id) &&
		    (!has_name || strcmp(families[i]->name, name) == 0)) {
			return put_family(req, (void *)(uintptr_t)&families[i],
					  a);
		}
	}
	return err(-ENOENT, "no such netlink family");
}

static const struct nl_command ctrl_commands[] = {
	{ CTRL_GETFAMILY, false, family_get, next_family, put_family },
};

const struct nl_family nl_ctrl_family = {
	.name = "nlctrl",
	.id = 16,
	.version = 2,
	.policy = ctrl_policy,
	.max_attr = CTRL_ATTR_N,
	.commands = ctrl_commands,
	.n_commands = ARRAY_SIZE(ctrl_commands),
};
