/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user front end: the management device.
 *
 * What a device is like is known when its back end has been asked. So `dev add`
 * makes a struct vufront_dev that connects (dev_is_there()), and when that has
 * ended puts it on the bus (dev_add()), or tells why not.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/remote/vufront.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "dev/remote/vufront_internal.h"

static struct vufront_mgmt *mgmt_of(struct vdpa_mgmtdev *mgmtdev)
{
	return container_of(mgmtdev, struct vufront_mgmt, mgmtdev);
}

/* ---- keys ---- */

static int set_path(struct vufront_options *o, const char *value)
{
	if (strlen(value) >= sizeof(o->path)) {
		return err(-ENAMETOOLONG, "path: more than %zu bytes",
			   sizeof(o->path) - 1);
	}
	(void)snprintf(o->path, sizeof(o->path), "%s", value);
	return 0;
}

static int set_type(struct vufront_options *o, const char *value)
{
	return vufront_type_find(value, &o->type);
}

static int set_number(const char *key, const char *value, uint32_t min,
		      uint32_t max, uint32_t *ret)
{
	uint64_t n;
	int r = parse_u64(key, value, max, &n);

	if (r < 0) {
		return r;
	}
	if (n < min) {
		return err(-ERANGE, "%s: %s is below %u", key, value, min);
	}
	*ret = (uint32_t)n;
	return 0;
}

static int set_num_queues(struct vufront_options *o, const char *value)
{
	return set_number("num_queues", value, 1, VUFRONT_VQS_MAX,
			  &o->n_queues);
}

static int set_queue_size(struct vufront_options *o, const char *value)
{
	return set_number("queue_size", value, 2, VUFRONT_NUM_MAX, &o->num_max);
}

static int set_timeout(struct vufront_options *o, const char *value)
{
	return set_number("timeout", value, 0, VUFRONT_TIMEOUT_S_MAX,
			  &o->timeout_s);
}

static int set_tag(struct vufront_options *o, const char *value)
{
	if (strlen(value) > VUFRONT_TAG_BYTES) {
		return err(-ERANGE, "tag: more than %d bytes",
			   VUFRONT_TAG_BYTES);
	}
	(void)snprintf(o->tag, sizeof(o->tag), "%s", value);
	return 0;
}

/* The one that may be changed later stands first. */
static const struct vdpa_key keys[] = {
	{ "timeout", "SECONDS",
	  "how long the back end may take to answer, 0: for ever (default "
	  "30)" },
	{ "path", "PATH", "of the socket that the back end listens on" },
	{ "type", "TYPE",
	  "what it is: net, blk, console, rng, vsock, fs, i2c, gpio, sound" },
	{ "num_queues", "N", "fewer than it has, or as many as it expects" },
	{ "queue_size", "N", "of the largest ring (default 1024)" },
	{ "tag", "NAME", "fs: what it is mounted by" },
	BOUNCE_KEYS,
};

static int (*const setters[])(struct vufront_options *o, const char *value) = {
	set_timeout,	set_path,	set_type,
	set_num_queues, set_queue_size, set_tag,
};
_Static_assert(ARRAY_SIZE(setters) + 3 == ARRAY_SIZE(keys),
	       "one setter a key; bounce_set() has those of BOUNCE_KEYS");
#define N_SET_KEYS 1

static int parse_params(struct vufront_options *o,
			const struct vdpa_dev_config *config)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < config->n_params; i++) {
		const struct vdpa_param *param = &config->params[i];
		size_t k = 0;

		while (strcmp(param->key, keys[k].name) != 0) {
			k++; /* it is one of them: the bus has looked */
		}
		r = k < ARRAY_SIZE(setters)
			    ? setters[k](o, param->value)
			    : bounce_set(&o->bounce, param->key, param->value);
	}
	return r;
}

static int check_options(const struct vufront_options *o)
{
	if (o->path[0] == '\0' || !o->type) {
		return err(-EINVAL,
			   "path, where the back end listens, and type, what "
			   "it is, are needed");
	}
	if (o->tag[0] != '\0' && o->type->id != VIRTIO_ID_FS) {
		return err(-EINVAL, "tag is for type fs");
	}
	if (o->has_mac && o->type->id != VIRTIO_ID_NET) {
		return err(-EINVAL, "mac is for type net");
	}
	if (o->type->id == VIRTIO_ID_NET && o->n_queues > 0 &&
	    o->n_queues != o->type->n_queues) {
		return err(-EOPNOTSUPP, "type net has one pair of queues");
	}
	return bounce_check(&o->bounce);
}

static int parse_options(const struct vdpa_dev_config *config,
			 struct vufront_options *ret)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->num_max = VUFRONT_NUM_DEFAULT;
	ret->timeout_s = VUFRONT_TIMEOUT_S;
	ret->features = UINT64_MAX;
	r = parse_params(ret, config);
	if (has_bit(config->mask, VDPA_ATTR_MAC)) {
		ret->has_mac = true;
		memcpy(ret->mac, config->mac, sizeof(ret->mac));
	}
	if (has_bit(config->mask, VDPA_ATTR_FEATURES)) {
		ret->features = config->device_features;
	}
	return r < 0 ? r : check_options(ret);
}

/* ---- a device ---- */

static struct vufront_dev *find(struct vufront_mgmt *mgmt, const char *name)
{
	struct vufront_dev *dev;

	list_for_each_entry(dev, &mgmt->devs, node) {
		if (strcmp(dev->name, name) == 0) {
			return dev;
		}
	}
	return NULL;
}

static void dev_free(struct vufront_dev *dev)
{
	dev->waiter = NULL;
	vufront_hello_fini(dev);
	for (uint32_t i = 0; dev->vqs && i < dev->vdev.nvqs; i++) {
		vufront_vq_fini(&dev->vqs[i]);
	}
	vufront_mem_fini(dev);
	list_del(&dev->node);
	free(dev->vqs);
	free(dev);
}

static int dev_new(struct vufront_mgmt *mgmt, const char *name,
		   const struct vufront_options *options,
		   struct vufront_dev **ret)
{
	struct vufront_dev *dev = calloc(1, sizeof(*dev));
	int r;

	if (!dev) {
		return err(-ENOMEM, "out of memory");
	}
	dev->mgmt = mgmt;
	dev->control = vdpa_bus_control(mgmt->bus);
	dev->options = *options;
	dev->channel.fd = -1;
	dev->config_cb.trigger_fd = -1;
	(void)snprintf(dev->name, sizeof(dev->name), "%s", name);
	vufront_link_init(dev);
	r = vufront_hello_init(dev);
	if (r < 0) {
		free(dev);
		return r;
	}
	list_add_tail(&mgmt->devs, &dev->node);
	*ret = dev;
	return 0;
}

static int make_vqs(struct vufront_dev *dev)
{
	int r = 0;

	dev->vqs = calloc(dev->vdev.nvqs, sizeof(*dev->vqs));
	if (!dev->vqs) {
		return err(-ENOMEM, "out of memory");
	}
	for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
		dev->vqs[i].kick_fd = -1;
		dev->vqs[i].call_fd = -1;
		dev->vqs[i].client_kick_fd = -1;
	}
	for (uint32_t i = 0; r == 0 && i < dev->vdev.nvqs; i++) {
		r = vufront_vq_init(&dev->vqs[i], dev, (uint16_t)i);
	}
	return r;
}

static void use_workers_of(struct vufront_dev *dev, struct loop *worker)
{
	for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
		dev->vqs[i].worker = worker; /* none was used so far */
	}
}

/* Puts on the bus what clients see of it. */
static int enter_bus(struct vufront_dev *dev)
{
	struct vufront_mgmt *mgmt = dev->mgmt;
	int r;

	dev->waiter = &dev->vdev;
	if (!dev->options.bounce.is_on) {
		return vdpa_device_register(mgmt->bus, &mgmt->mgmtdev,
					    &dev->vdev);
	}
	r = relay_new(mgmt->bus, &dev->vdev, dev->name,
		      &dev->options.bounce.relay, &dev->relay);
	if (r < 0) {
		return r;
	}
	dev->waiter = dev->relay;
	use_workers_of(dev, relay_worker(dev->relay));
	r = vdpa_device_register(mgmt->bus, &mgmt->mgmtdev, dev->relay);
	if (r < 0) {
		relay_free(dev->relay);
		dev->relay = NULL;
	}
	return r;
}

static int attach(struct vufront_dev *dev)
{
	int r = make_vqs(dev);

	if (r < 0) {
		return r;
	}
	dev->vdev = (struct vdpa_device){
		.ops = &vufront_ops,
		.nvqs = dev->vdev.nvqs,
		.ngroups = 1,
		.nas = 1,
		.may_wait = true,
		.has_peer = true,
	};
	(void)snprintf(dev->vdev.name, sizeof(dev->vdev.name), "%s", dev->name);
	return enter_bus(dev);
}

/* ---- management ops ---- */

void vufront_hello_ended(struct vufront_dev *dev)
{
	if (!dev->vqs) {
		vdpa_mgmtdev_has_news(&dev->mgmt->mgmtdev);
	}
}

/* Is that the other side's no, not just nobody there? */
static bool is_final(int r)
{
	return r == -EPROTO || r == -EOPNOTSUPP || r == -ERANGE || r == -EIO;
}

static enum vdpa_there is_there(struct vdpa_mgmtdev *mgmtdev, const char *name,
				const struct vdpa_dev_config *config)
{
	struct vufront_mgmt *mgmt = mgmt_of(mgmtdev);
	struct vufront_dev *dev = find(mgmt, name);
	struct vufront_options options;

	if (!dev) {
		if (parse_options(config, &options) < 0 ||
		    dev_new(mgmt, name, &options, &dev) < 0) {
			return VDPA_THERE; /* dev_add() will say that, too */
		}
		vufront_connect(dev);
	}
	if (dev->is_up || is_final(dev->hello.ret)) {
		return VDPA_THERE;
	}
	return vufront_is_saying_hello(dev) ? VDPA_IS_ASKED : VDPA_NOT_THERE;
}

static void forget(struct vdpa_mgmtdev *mgmtdev, const char *name)
{
	struct vufront_dev *dev = find(mgmt_of(mgmtdev), name);

	if (dev && !dev->vqs) {
		dev_free(dev);
	}
}

static int dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
		   const struct vdpa_dev_config *config)
{
	struct vufront_dev *dev = find(mgmt_of(mgmtdev), name);
	struct vufront_options options;
	int r = parse_options(config, &options);

	if (r < 0) {
		return r;
	}
	if (!dev) {
		return err(-EAGAIN, "%s: its back end has to be asked first",
			   name);
	}
	if (dev->is_up) {
		r = attach(dev);
	} else {
		r = err(dev->hello.ret < 0 ? dev->hello.ret : -EAGAIN,
			"%s; start the back end first, or wait for it with "
			"`wait SECONDS`",
			dev->hello.text);
	}
	if (r < 0) {
		dev_free(dev);
	}
	return r;
}

static struct vufront_dev *dev_of(struct vdpa_device *vdev)
{
	return vufront_dev_of(vdev->below ? vdev->below : vdev);
}

static void dev_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev)
{
	struct vufront_dev *dev = dev_of(vdev);

	(void)mgmtdev;
	vdpa_device_unregister(vdev);
	relay_free(dev->relay);
	dev_free(dev);
}

static int dev_set(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev,
		   const struct vdpa_dev_config *config)
{
	struct vufront_dev *dev = dev_of(vdev);
	struct vufront_options options = dev->options;
	int r;

	(void)mgmtdev;
	if (config->n_params == 0) {
		return err(-EOPNOTSUPP,
			   "Operation not supported by the device.");
	}
	r = parse_params(&options, config);
	if (r == 0) {
		dev->options.timeout_s = options.timeout_s;
	}
	return r;
}

static const struct vdpa_mgmtdev_ops mgmtdev_ops = {
	.dev_add = dev_add,
	.dev_del = dev_del,
	.dev_set_attr = dev_set,
	.dev_is_there = is_there,
	.dev_forget = forget,
};

int vufront_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret)
{
	struct vufront_mgmt *mgmt = calloc(1, sizeof(*mgmt));
	int r;

	if (!mgmt) {
		return -ENOMEM;
	}
	mgmt->bus = bus;
	list_init(&mgmt->devs);
	mgmt->mgmtdev = (struct vdpa_mgmtdev){
		.name = "vhost_user",
		.ops = &mgmtdev_ops,
		.classes = vufront_classes(),
		.attr_mask = BIT_ULL(VDPA_ATTR_MAC) |
			     BIT_ULL(VDPA_ATTR_FEATURES),
		.supported_features = VUFRONT_FEATURES |
				      BIT_ULL(VIRTIO_F_ACCESS_PLATFORM),
		.keys = keys,
		.n_keys = ARRAY_SIZE(keys),
		.set_keys = keys,
		.n_set_keys = N_SET_KEYS,
	};
	r = vdpa_mgmtdev_register(bus, &mgmt->mgmtdev);
	if (r < 0) {
		free(mgmt);
		return r;
	}
	*ret = &mgmt->mgmtdev;
	return 0;
}

void vufront_unregister(struct vdpa_mgmtdev *mgmtdev)
{
	struct vufront_mgmt *mgmt = mgmt_of(mgmtdev);

	vdpa_mgmtdev_unregister(mgmtdev);
	assert(list_is_empty(&mgmt->devs));
	free(mgmt);
}
