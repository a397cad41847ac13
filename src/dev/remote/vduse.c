/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE: which devices processes have created, and the management device that
 * puts them on the bus.
 *
 * A device has two lives: as long as the process wants (CREATE_DEV to
 * DESTROY_DEV; the end of the process ends nothing), and on the bus (`dev add`
 * to `dev del`), the second within the first.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/remote/vduse.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ids.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "dev/remote/bounce.h"
#include "dev/remote/vduse_internal.h"

struct vduse_dev *vduse_find(struct vduse *vduse, const char *name)
{
	struct vduse_dev *dev;

	list_for_each_entry(dev, &vduse->devs, node) {
		if (strcmp(dev->name, name) == 0) {
			return dev;
		}
	}
	return NULL;
}

/* ---- a device of a process ---- */

/* Lets go of everything; takes NULL and what is half built. */
static void dev_free(struct vduse_dev *dev)
{
	if (!dev) {
		return;
	}
	assert(!dev->is_attached);
	for (uint32_t i = 0; dev->vqs && i < dev->nvqs; i++) {
		vduse_vq_reset(&dev->vqs[i]);
	}
	if (dev->cdev_node) {
		list_del(&dev->node);
		dev->vduse->n_devs--;
		dev->vduse->n_vqs -= dev->nvqs;
		cdev_node_free(dev->cdev_node);
	}
	vduse_mem_fini(dev);
	free(dev->group_asid);
	free(dev->vqs);
	free(dev->config);
	free(dev);
}

static unsigned int pick_minor(const struct vduse *vduse)
{
	const struct vduse_dev *dev;
	unsigned int minor = 1; /* 0 is the control node's */
	bool is_taken = true;

	while (is_taken) {
		is_taken = false;
		list_for_each_entry(dev, &vduse->devs, node) {
			is_taken |= dev->minor == minor;
		}
		minor += is_taken;
	}
	return minor;
}

static int check_limits(const struct vduse *vduse,
			const struct vduse_create *config)
{
	if (vduse->n_devs == VDUSE_DEVS_MAX) {
		return err(-ENOSPC, "there are %u VDUSE devices already",
			   vduse->n_devs);
	}
	if (config->vq_num > VDUSE_VQS_TOTAL_MAX - vduse->n_vqs) {
		return err(-ENOMEM,
			   "VDUSE devices have %u virtqueues already, limit "
			   "%u",
			   vduse->n_vqs, VDUSE_VQS_TOTAL_MAX);
	}
	return 0;
}

static int dev_fill(struct vduse_dev *dev, const struct vduse_create *config,
		    const void *space)
{
	bool has_groups = dev->version >= VDUSE_API_V1;

	memcpy(dev->name, config->name, sizeof(dev->name));
	dev->vendor_id = config->vendor_id;
	dev->device_id = config->device_id;
	dev->features = config->features;
	dev->vq_align = config->vq_align;
	dev->ngroups = has_groups ? config->ngroups : 1;
	dev->nas = has_groups ? config->nas : 1;
	dev->config_size = config->config_size;
	dev->timeout_s = dev->vduse->timeout_s;
	dev->config_cb.trigger_fd = -1;
	list_init(&dev->msgs);
	dev->config = malloc(config->config_size + 1);
	dev->vqs = calloc(config->vq_num + 1, sizeof(*dev->vqs));
	/* With more it cannot be attached. */
	dev->group_asid = calloc(min_of(dev->ngroups, VDPA_GROUPS_MAX + 0U),
				 sizeof(*dev->group_asid));
	if (!dev->config || !dev->vqs || !dev->group_asid) {
		return err(-ENOMEM, "out of memory");
	}
	memcpy(dev->config, space, config->config_size);
	dev->nvqs = config->vq_num;
	for (uint32_t i = 0; i < dev->nvqs; i++) {
		vduse_vq_init(&dev->vqs[i], dev, (uint16_t)i);
	}
	return 0;
}

int vduse_dev_new(struct vduse *vduse, const struct vduse_create *config,
		  const void *space, uint64_t version)
{
	char path[CDEV_NAME_MAX + 1];
	struct vduse_dev *dev;
	int r;

	if (vduse_find(vduse, config->name)) {
		return err(-EEXIST, "there is a VDUSE device %s already",
			   config->name);
	}
	r = check_limits(vduse, config);
	if (r < 0) {
		return r;
	}
	dev = calloc(1, sizeof(*dev));
	if (!dev) {
		return err(-ENOMEM, "out of memory");
	}
	dev->vduse = vduse;
	dev->version = version;
	r = dev_fill(dev, config, space);
	if (r == 0) {
		(void)snprintf(path, sizeof(path), "vduse/%s", dev->name);
		dev->minor = pick_minor(vduse);
		r = cdev_node_new(vduse->cdev, "vduse", path, dev->minor,
				  &vduse_file_ops, dev, &dev->cdev_node);
	}
	if (r < 0) {
		dev_free(dev);
		return r;
	}
	list_add_tail(&vduse->devs, &dev->node);
	vduse->n_devs++;
	vduse->n_vqs += dev->nvqs;
	log_debug(dev->name, "created by its process");
	vdpa_mgmtdev_has_news(&vduse->mgmtdev); /* it may have no queues */
	return 0;
}

int vduse_dev_destroy(struct vduse_dev *dev)
{
	if (dev->is_attached || dev->file) {
		return err(-EBUSY, "%s is %s", dev->name,
			   dev->is_attached ? "on the bus"
					    : "open in its process");
	}
	log_debug(dev->name, "destroyed");
	dev_free(dev);
	return 0;
}

/* ---- on the bus ---- */

static int check_set_up(const struct vduse_dev *dev)
{
	for (uint32_t i = 0; i < dev->nvqs; i++) {
		if (dev->vqs[i].max_size == 0) {
			return err(-EINVAL,
				   "%s: the process has not set up queue %u",
				   dev->name, i);
		}
	}
	return 0;
}

static enum vdpa_there vduse_dev_is_there(struct vdpa_mgmtdev *mgmtdev,
					  const char *name,
					  const struct vdpa_dev_config *config)
{
	struct vduse *vduse = container_of(mgmtdev, struct vduse, mgmtdev);
	const struct vduse_dev *dev = vduse_find(vduse, name);

	(void)config;
	return dev && check_set_up(dev) == 0 ? VDPA_THERE : VDPA_NOT_THERE;
}

/* What `dev add` and `dev set` say. */
struct params {
	uint32_t timeout_s;
	struct bounce bounce;
};

static int set_timeout(struct params *p, const char *value)
{
	uint64_t seconds;
	int r = parse_u64("timeout", value, VDUSE_TIMEOUT_S_MAX, &seconds);

	if (r == 0) {
		p->timeout_s = (uint32_t)seconds;
	}
	return r;
}

/* Those that may be changed later stand first. */
static const struct vdpa_key vduse_keys[] = {
	{ "timeout", "SECONDS",
	  "how long its process may take to reply, 0: for ever (default 30)" },
	BOUNCE_KEYS,
};
#define N_SET_KEYS 1

static int parse_params(struct params *p, const struct vdpa_dev_config *config)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < config->n_params; i++) {
		const struct vdpa_param *param = &config->params[i];

		/* It is a key: the bus has looked. */
		r = strcmp(param->key, "timeout") == 0
			    ? set_timeout(p, param->value)
			    : bounce_set(&p->bounce, param->key, param->value);
	}
	return r;
}

/* The process's device, whether a relay stands on it or not. */
static struct vduse_dev *dev_of(struct vdpa_device *vdev)
{
	return vduse_dev_of(vdev->below ? vdev->below : vdev);
}

/* Puts on the bus what clients see of it. */
static int enter_bus(struct vduse_dev *dev, const struct params *p)
{
	struct vduse *vduse = dev->vduse;
	int r;

	dev->waiter = &dev->vdev;
	if (!p->bounce.is_on) {
		return vdpa_device_register(vduse->bus, &vduse->mgmtdev,
					    &dev->vdev);
	}
	r = relay_new(vduse->bus, &dev->vdev, dev->vdev.name, &p->bounce.relay,
		      &dev->relay);
	if (r < 0) {
		return r;
	}
	dev->waiter = dev->relay;
	for (uint32_t i = 0; i < dev->nvqs; i++) {
		if (!dev->vqs[i].is_used) {
			dev->vqs[i].worker = relay_worker(dev->relay);
		}
	}
	r = vdpa_device_register(vduse->bus, &vduse->mgmtdev, dev->relay);
	if (r < 0) {
		relay_free(dev->relay);
		dev->relay = NULL;
	}
	return r;
}

static int attach(struct vduse_dev *dev, const struct params *p)
{
	int r = vduse_mem_init(dev);

	if (r < 0) {
		return r;
	}
	dev->timeout_s = p->timeout_s;
	dev->vdev = (struct vdpa_device){
		.ops = &vduse_ops,
		.nvqs = dev->nvqs,
		.ngroups = dev->ngroups,
		.nas = dev->nas,
		.may_wait = true,
		.needs_queues_first = true,
		.has_peer = true,
	};
	(void)snprintf(dev->vdev.name, sizeof(dev->vdev.name), "%.63s",
		       dev->name);
	dev->is_attached = true;
	r = enter_bus(dev, p);
	if (r < 0) {
		dev->is_attached = false;
		dev->waiter = NULL;
	}
	return r;
}

static int vduse_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
			 const struct vdpa_dev_config *config)
{
	struct vduse *vduse = container_of(mgmtdev, struct vduse, mgmtdev);
	struct vduse_dev *dev = vduse_find(vduse, name);
	struct params p = { 0 };
	int r;

	if (!dev) {
		return err(-EINVAL, "no process has created a VDUSE device %s",
			   name);
	}
	if (dev->is_attached) {
		return err(-EEXIST, "%s is on the bus already", name);
	}
	p.timeout_s = dev->timeout_s;
	r = check_set_up(dev);
	if (r == 0) {
		r = parse_params(&p, config);
	}
	if (r == 0) {
		r = bounce_check(&p.bounce);
	}
	return r < 0 ? r : attach(dev, &p);
}

static void vduse_dev_del(struct vdpa_mgmtdev *mgmtdev,
			  struct vdpa_device *vdev)
{
	struct vduse_dev *dev = dev_of(vdev);

	(void)mgmtdev;
	vdpa_device_unregister(vdev);
	relay_free(dev->relay);
	dev->relay = NULL;
	vduse_mem_clear(dev);
	dev->is_attached = false;
	dev->waiter = NULL;
}

static int vduse_dev_set(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev,
			 const struct vdpa_dev_config *config)
{
	struct vduse_dev *dev = dev_of(vdev);
	struct params p = { .timeout_s = dev->timeout_s };
	int r;

	(void)mgmtdev;
	if (config->n_params == 0) {
		return err(-EOPNOTSUPP,
			   "Operation not supported by the device.");
	}
	r = parse_params(&p, config);
	if (r == 0) {
		dev->timeout_s = p.timeout_s;
	}
	return r;
}

/* ---- the management device ---- */

/* Also one whose process died without a word. */
static int destroy_by_name(struct vduse *vduse, const char *name)
{
	struct vduse_dev *dev = vduse_find(vduse, name);

	return dev ? vduse_dev_destroy(dev)
		   : err(-ENOENT, "there is no VDUSE device %s", name);
}

static int vduse_set(struct vdpa_mgmtdev *mgmtdev,
		     const struct vdpa_dev_config *config)
{
	struct vduse *vduse = container_of(mgmtdev, struct vduse, mgmtdev);
	struct params p = { .timeout_s = vduse->timeout_s };
	uint64_t allow = vduse->allow;
	const char *doomed = NULL;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < config->n_params; i++) {
		const struct vdpa_param *param = &config->params[i];

		if (strcmp(param->key, "allow") == 0) {
			r = vduse_allow_parse(param->value, &allow);
		} else if (strcmp(param->key, "timeout") == 0) {
			r = set_timeout(&p, param->value);
		} else {
			doomed = param->value;
		}
	}
	if (r == 0 && doomed) {
		r = destroy_by_name(vduse, doomed);
	}
	if (r == 0) {
		vduse->allow = allow;
		vduse->timeout_s = p.timeout_s;
	}
	return r;
}

static const struct vdpa_key vduse_own_keys[] = {
	{ "allow", "LIST|none",
	  "let processes create what the kernel refuses: ctrl_vq, config_wce, "
	  "any_id (default none)" },
	{ "timeout", "SECONDS", "of devices that are created from now on" },
	{ "destroy", "NAME",
	  "a device that no process has open and that is not on the bus" },
};

static const struct vdpa_mgmtdev_ops vduse_mgmtdev_ops = {
	.dev_add = vduse_dev_add,
	.dev_del = vduse_dev_del,
	.dev_set_attr = vduse_dev_set,
	.dev_is_there = vduse_dev_is_there,
	.set = vduse_set,
};

int vduse_register(struct vdpa_bus *bus, struct cdev *cdev,
		   struct vdpa_mgmtdev **ret)
{
	struct vduse *vduse = calloc(1, sizeof(*vduse));
	int r;

	if (!vduse) {
		return -ENOMEM;
	}
	vduse->bus = bus;
	vduse->cdev = cdev;
	vduse->timeout_s = VDUSE_TIMEOUT_S;
	list_init(&vduse->controls);
	list_init(&vduse->devs);
	vduse->mgmtdev = (struct vdpa_mgmtdev){
		.name = "vduse",
		.ops = &vduse_mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_NET) | BIT_ULL(VIRTIO_ID_BLOCK),
		.keys = vduse_keys,
		.n_keys = ARRAY_SIZE(vduse_keys),
		.set_keys = vduse_keys,
		.own_keys = vduse_own_keys,
		.n_own_keys = ARRAY_SIZE(vduse_own_keys),
		.n_set_keys = N_SET_KEYS,
	};
	r = cdev_node_new(cdev, "vduse", "vduse/control", 0, &vduse_control_ops,
			  vduse, &vduse->control);
	if (r == 0) {
		r = vdpa_mgmtdev_register(bus, &vduse->mgmtdev);
	}
	if (r < 0) {
		(void)cdev_node_free(vduse->control);
		free(vduse);
		return r;
	}
	*ret = &vduse->mgmtdev;
	return 0;
}

void vduse_unregister(struct vdpa_mgmtdev *mgmtdev)
{
	struct vduse *vduse = container_of(mgmtdev, struct vduse, mgmtdev);
	struct vduse_dev *dev, *tmp;

	vdpa_mgmtdev_unregister(mgmtdev);
	list_for_each_entry_safe(dev, tmp, &vduse->devs, node) {
		if (dev->file) {
			cdev_file_set_priv(dev->file, NULL);
		}
		dev_free(dev);
	}
	vduse_controls_end(vduse);
	(void)cdev_node_free(vduse->control);
	free(vduse);
}
