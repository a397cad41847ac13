/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_vdpa: the management device that opens nodes, and what becomes of them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/remote/rvdpa.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/virtio_ids.h>

#include "base/log.h"
#include "base/parse.h"
#include "dev/remote/bounce.h"
#include "dev/remote/rvdpa_internal.h"

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL
/* Links that were left and whose threads go on. */
#define LEFT_MAX 64

struct rvdpa {
	struct vdpa_mgmtdev mgmtdev;
	const struct rvdpa_sys *sys;
	struct list openings;
	struct rvdpa_link *left[LEFT_MAX]; /* NULL: room for one */
};

/* A node that is being opened for `dev add`, or was. */
struct opening {
	struct list node;
	struct rvdpa *rv;
	char name[VDPA_NAME_MAX];
	struct rvdpa_link *link;
	struct loop_timer timer;
	uint32_t timeout_s;
	bool is_late;
};

/* ---- links that were left ---- */

static void drop_ended(struct rvdpa *rv, uint64_t end_ns)
{
	for (unsigned int i = 0; i < LEFT_MAX; i++) {
		if (rv->left[i] && rvdpa_link_has_ended(rv->left[i], end_ns)) {
			rv->left[i] = rvdpa_link_unref(rv->left[i]);
		}
	}
}

/* Its thread does the rest: closing a node may take as long as anything else
 * that is done to it. With no room it is not waited for at the end. */
static void leave_link(struct rvdpa *rv, struct rvdpa_link *link, bool is_cut)
{
	rvdpa_link_leave(link, is_cut);
	drop_ended(rv, 0);
	for (unsigned int i = 0; i < LEFT_MAX; i++) {
		if (!rv->left[i]) {
			rv->left[i] = link;
			return;
		}
	}
	rvdpa_link_unref(link);
}

/* ---- keys ---- */

struct params {
	const char *path;
	uint32_t timeout_s;
	struct bounce bounce;
};

/* Those that may be changed later stand first. */
static const struct vdpa_key rvdpa_keys[] = {
	{ "timeout", "SECONDS",
	  "how long the other side may take for one call (default 30)" },
	{ "path", "FILE", "the node: /dev/vhost-vdpa-0" },
	BOUNCE_KEYS,
};
#define N_SET_KEYS 1

static int set_timeout(struct params *p, const char *value)
{
	uint64_t seconds;
	int r = parse_u64("timeout", value, RVDPA_TIMEOUT_S_MAX, &seconds);

	if (r == 0 && seconds == 0) {
		r = err(-ERANGE, "timeout: 1 to %u seconds",
			RVDPA_TIMEOUT_S_MAX);
	}
	if (r == 0) {
		p->timeout_s = (uint32_t)seconds;
	}
	return r;
}

static int parse_keys(struct params *p, const struct vdpa_dev_config *config)
{
	int r = 0;

	/* It is one of them: the bus has looked. */
	for (unsigned int i = 0; r == 0 && i < config->n_params; i++) {
		const struct vdpa_param *param = &config->params[i];

		if (strcmp(param->key, "path") == 0) {
			p->path = param->value;
		} else if (strcmp(param->key, "timeout") == 0) {
			r = set_timeout(p, param->value);
		} else {
			r = bounce_set(&p->bounce, param->key, param->value);
		}
	}
	return r < 0 ? r : bounce_check(&p->bounce);
}

/* For a new device. */
static int parse_params(struct params *p, const struct vdpa_dev_config *config)
{
	int r = parse_keys(p, config);

	return r == 0 && !p->path
		       ? err(-EINVAL, "say which node: path=/dev/vhost-vdpa-0")
		       : r;
}

/* ---- a device ---- */

static void dev_free(struct rvdpa_dev *dev)
{
	struct rvdpa *rv = container_of(dev->mgmtdev, struct rvdpa, mgmtdev);

	(void)loop_watch_free(dev->config_watch);
	for (uint32_t i = 0; dev->vqs && i < dev->facts->nvqs; i++) {
		rvdpa_vq_fini(&dev->vqs[i]);
	}
	leave_link(rv, dev->link, dev->is_broken);
	free(dev->vqs);
	free(dev->config);
	free(dev);
}

/* What the other side lacks, the device lacks. */
static void choose_ops(struct rvdpa_dev *dev)
{
	const struct rvdpa_facts *facts = dev->facts;
	uint64_t backend = facts->backend_features;

	dev->ops = rvdpa_ops;
	/* The bus wants both. */
	if (!has_bit(backend, VHOST_BACKEND_F_SUSPEND) ||
	    !has_bit(backend, VHOST_BACKEND_F_RESUME)) {
		dev->ops.suspend = NULL;
		dev->ops.resume = NULL;
	}
	if (!has_bit(backend, VHOST_BACKEND_F_DESC_ASID)) {
		dev->ops.get_vq_desc_group = NULL;
	}
	if (!facts->has_groups) {
		dev->ops.get_vq_group = NULL;
	}
	if (!facts->has_sizes) {
		dev->ops.get_vq_size = NULL;
	}
}

static int make_queues(struct rvdpa_dev *dev, struct vdpa_bus *bus)
{
	uint32_t size = dev->facts->config_size;

	dev->config = malloc(size + 1U);
	dev->vqs = calloc(dev->facts->nvqs, sizeof(*dev->vqs));
	if (!dev->config || !dev->vqs) {
		return err(-ENOMEM, "out of memory");
	}
	memcpy(dev->config, dev->facts->config, size);
	for (uint32_t i = 0; i < dev->facts->nvqs; i++) {
		rvdpa_vq_init(&dev->vqs[i], dev, (uint16_t)i,
			      vdpa_bus_pick_worker(bus));
	}
	return 0;
}

/* @take_link: taken, also on failure */
static int dev_new(struct rvdpa *rv, const char *name, uint32_t timeout_s,
		   struct rvdpa_link *take_link, struct rvdpa_dev **ret)
{
	struct vdpa_bus *bus = rv->mgmtdev.bus;
	struct rvdpa_dev *dev = calloc(1, sizeof(*dev));
	int r;

	if (!dev) {
		leave_link(rv, take_link, true);
		return err(-ENOMEM, "out of memory");
	}
	dev->mgmtdev = &rv->mgmtdev;
	dev->control = vdpa_bus_control(bus);
	dev->link = take_link;
	dev->facts = &take_link->facts;
	dev->timeout_s = timeout_s;
	dev->waiter = &dev->vdev;
	dev->config_cb.trigger_fd = -1;
	choose_ops(dev);
	dev->vdev = (struct vdpa_device){
		.ops = &dev->ops,
		.nvqs = dev->facts->nvqs,
		.ngroups = dev->facts->ngroups,
		.nas = dev->facts->nas,
		.may_wait = true,
		.needs_queues_first =
			!has_bit(dev->facts->backend_features,
				 VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK),
	};
	(void)snprintf(dev->vdev.name, sizeof(dev->vdev.name), "%s", name);
	r = make_queues(dev, bus);
	if (r == 0) {
		r = loop_watch_new(dev->control, take_link->config_fd,
				   LOOP_IN | LOOP_EDGE, rvdpa_config_event, dev,
				   &dev->config_watch);
	}
	if (r < 0) {
		dev_free(dev);
		return r;
	}
	*ret = dev;
	return 0;
}

/* Puts on the bus what clients see of it. */
static int enter_bus(struct rvdpa_dev *dev, const struct params *p)
{
	struct vdpa_bus *bus = dev->mgmtdev->bus;
	int r;

	rvdpa_link_attach(dev->link, dev);
	if (!p->bounce.is_on) {
		return vdpa_device_register(bus, dev->mgmtdev, &dev->vdev);
	}
	r = relay_new(bus, &dev->vdev, dev->vdev.name, &p->bounce.relay,
		      &dev->relay);
	if (r < 0) {
		return r;
	}
	dev->waiter = dev->relay;
	r = vdpa_device_register(bus, dev->mgmtdev, dev->relay);
	if (r < 0) {
		dev->waiter = &dev->vdev;
		relay_free(dev->relay);
		dev->relay = NULL;
	}
	return r;
}

/* ---- opening ---- */

static struct opening *find_opening(struct rvdpa *rv, const char *name)
{
	struct opening *o;

	list_for_each_entry(o, &rv->openings, node) {
		if (strcmp(o->name, name) == 0) {
			return o;
		}
	}
	return NULL;
}

/* Return: its link, the caller's */
static struct rvdpa_link *end_opening(struct opening *o)
{
	struct rvdpa_link *link = o->link;

	loop_timer_cancel(&o->timer);
	list_del(&o->node);
	free(o);
	return link;
}

static void is_late(void *priv)
{
	struct opening *o = priv;

	o->is_late = true;
	vdpa_mgmtdev_has_news(&o->rv->mgmtdev);
}

static int begin_opening(struct rvdpa *rv, const char *name,
			 const struct params *p)
{
	struct opening *o = calloc(1, sizeof(*o));
	int r;

	if (!o) {
		return -ENOMEM;
	}
	o->rv = rv;
	o->timeout_s = p->timeout_s;
	(void)snprintf(o->name, sizeof(o->name), "%s", name);
	loop_timer_init(&o->timer, vdpa_bus_control(rv->mgmtdev.bus), is_late,
			o);
	r = loop_timer_set(&o->timer, p->timeout_s * NS_PER_S);
	if (r == 0) {
		r = rvdpa_link_new(rv->sys, &rv->mgmtdev, p->path, &o->link);
	}
	if (r < 0) {
		loop_timer_cancel(&o->timer);
		free(o);
		return r;
	}
	list_add_tail(&rv->openings, &o->node);
	return 0;
}

static enum vdpa_there rvdpa_is_there(struct vdpa_mgmtdev *mgmtdev,
				      const char *name,
				      const struct vdpa_dev_config *config)
{
	struct rvdpa *rv = container_of(mgmtdev, struct rvdpa, mgmtdev);
	struct opening *o = find_opening(rv, name);
	struct params p = { .timeout_s = RVDPA_TIMEOUT_S };
	int r;

	if (o) {
		return o->is_late || rvdpa_link_has_probed(o->link, &r)
			       ? VDPA_THERE
			       : VDPA_IS_ASKED;
	}
	/* What is wrong is for dev_add() to say. */
	return parse_params(&p, config) < 0 || begin_opening(rv, name, &p) < 0
		       ? VDPA_THERE
		       : VDPA_IS_ASKED;
}

static void rvdpa_forget(struct vdpa_mgmtdev *mgmtdev, const char *name)
{
	struct rvdpa *rv = container_of(mgmtdev, struct rvdpa, mgmtdev);
	struct opening *o = find_opening(rv, name);

	if (o) {
		leave_link(rv, end_opening(o), true);
	}
}

/* Return: 0 and a node that is open; -errno */
static int take_opened(struct rvdpa *rv, const char *name,
		       struct rvdpa_link **ret)
{
	struct opening *o = find_opening(rv, name);
	int r;

	if (!o) {
		return err(-EAGAIN, "%s: its node has to be opened first",
			   name);
	}
	if (!rvdpa_link_has_probed(o->link, &r)) {
		r = err(-ETIMEDOUT, "%s: it did not answer for %u s",
			o->link->path, o->timeout_s);
	}
	*ret = end_opening(o);
	if (r < 0) {
		leave_link(rv, *ret, true);
	}
	return r;
}

static int rvdpa_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
			 const struct vdpa_dev_config *config)
{
	struct rvdpa *rv = container_of(mgmtdev, struct rvdpa, mgmtdev);
	struct params p = { .timeout_s = RVDPA_TIMEOUT_S };
	struct rvdpa_link *link;
	struct rvdpa_dev *dev = NULL;
	int r = parse_params(&p, config);

	if (r == 0) {
		r = take_opened(rv, name, &link);
	}
	if (r == 0) {
		r = dev_new(rv, name, p.timeout_s, link, &dev);
	}
	if (r < 0) {
		return r;
	}
	r = enter_bus(dev, &p);
	if (r < 0) {
		dev_free(dev);
	}
	return r;
}

/* The node's device, whether a relay stands on it or not. */
static struct rvdpa_dev *dev_of(struct vdpa_device *vdev)
{
	return rvdpa_dev_of(vdev->below ? vdev->below : vdev);
}

static void rvdpa_dev_del(struct vdpa_mgmtdev *mgmtdev,
			  struct vdpa_device *vdev)
{
	struct rvdpa_dev *dev = dev_of(vdev);

	(void)mgmtdev;
	vdpa_device_unregister(vdev);
	dev->waiter = &dev->vdev;
	relay_free(dev->relay);
	dev_free(dev);
}

static int rvdpa_dev_set(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev,
			 const struct vdpa_dev_config *config)
{
	struct rvdpa_dev *dev = dev_of(vdev);
	struct params p = { .timeout_s = dev->timeout_s };
	int r;

	(void)mgmtdev;
	if (config->n_params == 0) {
		return err(-EOPNOTSUPP,
			   "Operation not supported by the device.");
	}
	r = parse_keys(&p, config);
	if (r == 0) {
		dev->timeout_s = p.timeout_s;
	}
	return r;
}

/* ---- the management device ---- */

static const struct vdpa_mgmtdev_ops rvdpa_mgmtdev_ops = {
	.dev_add = rvdpa_dev_add,
	.dev_del = rvdpa_dev_del,
	.dev_set_attr = rvdpa_dev_set,
	.dev_is_there = rvdpa_is_there,
	.dev_forget = rvdpa_forget,
};

int rvdpa_register_on(struct vdpa_bus *bus, const struct rvdpa_sys *sys,
		      struct vdpa_mgmtdev **ret)
{
	struct rvdpa *rv = calloc(1, sizeof(*rv));
	int r;

	if (!rv) {
		return -ENOMEM;
	}
	rv->sys = sys;
	list_init(&rv->openings);
	rv->mgmtdev = (struct vdpa_mgmtdev){
		.name = "vhost_vdpa",
		.ops = &rvdpa_mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_NET) | BIT_ULL(VIRTIO_ID_BLOCK),
		.keys = rvdpa_keys,
		.n_keys = ARRAY_SIZE(rvdpa_keys),
		.set_keys = rvdpa_keys,
		.n_set_keys = N_SET_KEYS,
	};
	r = vdpa_mgmtdev_register(bus, &rv->mgmtdev);
	if (r < 0) {
		free(rv);
		return r;
	}
	*ret = &rv->mgmtdev;
	return 0;
}

int rvdpa_register(struct vdpa_bus *bus, struct vdpa_mgmtdev **ret)
{
	return rvdpa_register_on(bus, &rvdpa_system, ret);
}

void rvdpa_unregister(struct vdpa_mgmtdev *mgmtdev)
{
	struct rvdpa *rv = container_of(mgmtdev, struct rvdpa, mgmtdev);
	struct timespec now;

	vdpa_mgmtdev_unregister(mgmtdev);
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	drop_ended(rv, (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec +
			       RVDPA_END_MS * NS_PER_MS);
	for (unsigned int i = 0; i < LEFT_MAX; i++) {
		rvdpa_link_unref(rv->left[i]);
	}
	free(rv);
}
