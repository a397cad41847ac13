/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that programs write: the software device behind a class of theirs.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/lib_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "lib/lib_internal.h"

#define QUEUE_SIZE_DEFAULT 256
/* What a class may offer: all but what is said of rings and transports. */
#define DEVICE_FEATURES ((BIT_ULL(24) - 1) | (~0ULL << 50))

_Static_assert(VDPAKIT_BURST_MAX == SOFT_BURST, "one number");
_Static_assert(VDPAKIT_BURST_MAX <= VQ_BURST_MAX, "what a fetch gives");

/* ---- the software device's class: calls the program's ---- */

static unsigned int begin_all(struct lib_queue *q, struct vq_chain **chains,
			      unsigned int n, struct vdpakit_request **ret)
{
	unsigned int n_reqs = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vdpakit_request *req = lib_request_begin(q, chains[i]);

		if (likely(req)) {
			ret[n_reqs++] = req;
		}
	}
	return n_reqs;
}

static void device_submit(struct soft_dev *soft, uint16_t idx,
			  struct vq_chain **chains, unsigned int n)
{
	struct vdpakit_device *dev = lib_device_of(soft);
	struct vdpakit_request *reqs[SOFT_BURST];

	n = begin_all(&dev->queues[idx], chains, n, reqs);
	if (n > 0) {
		dev->class.submit(dev, idx, reqs, n);
	}
}

static void device_cancel(struct soft_dev *soft, uint16_t idx)
{
	lib_device_of(soft)->class.cancel(lib_device_of(soft), idx);
}

static unsigned int device_budget(struct soft_dev *soft, uint16_t idx)
{
	return lib_device_of(soft)->class.budget(lib_device_of(soft), idx);
}

static bool device_is_passive(struct soft_dev *soft, uint16_t idx)
{
	return lib_device_of(soft)->class.is_passive(lib_device_of(soft), idx);
}

/* Asked once for each queue, in order: one that makes no sense is its own. */
static uint16_t device_leader(const struct soft_dev *soft, uint16_t idx)
{
	struct vdpakit_device *dev = lib_device_of((struct soft_dev *)soft);
	uint16_t leader = dev->class.leader(dev, idx);

	if (leader >= idx || soft->vqs[leader].leader != &soft->vqs[leader]) {
		return idx;
	}
	return leader;
}

static void device_get_config(struct soft_dev *soft, uint32_t offset, void *buf,
			      uint32_t len)
{
	struct vdpakit_device *dev = lib_device_of(soft);

	memset(buf, 0, len);
	if (dev->class.get_config) {
		dev->class.get_config(dev, offset, buf, len);
	}
}

static void device_set_config(struct soft_dev *soft, uint32_t offset,
			      const void *buf, uint32_t len)
{
	struct vdpakit_device *dev = lib_device_of(soft);

	if (dev->class.set_config) {
		dev->class.set_config(dev, offset, buf, len);
	}
}

static void device_reset(struct soft_dev *soft)
{
	lib_device_of(soft)->class.reset(lib_device_of(soft));
}

/* ---- life ---- */

static void config_changed(void *priv)
{
	struct lib_notice *notice = priv;

	if (notice->dev) {
		soft_config_changed(&notice->dev->soft);
	} else {
		free(notice);
	}
}

static void wake_queue(void *priv)
{
	struct lib_queue *q = priv;

	soft_wake(&q->dev->soft, q->idx);
}

static void nothing(void *priv)
{
	(void)priv;
}

/* What other threads have put on their way to the workers has arrived. */
static void wait_for_workers(struct vdpakit_device *dev)
{
	for (unsigned int i = 0; i < dev->class.n_queues; i++) {
		loop_call_wait(lib_queue_worker(&dev->queues[i]), nothing,
			       NULL);
	}
}

static void free_memory(struct vdpakit_device *dev)
{
	if (dev->notice) {
		dev->notice->dev = NULL;
		if (!__atomic_load_n(&dev->notice->work.is_queued,
				     __ATOMIC_ACQUIRE)) {
			free(dev->notice);
		}
	}
	free(dev->queues);
	free(dev);
}

static void device_free(struct soft_dev *soft)
{
	free_memory(lib_device_of(soft));
}

static const struct soft_class soft_class = {
	.submit = device_submit,
	.cancel = device_cancel,
	.budget = device_budget,
	.is_passive = device_is_passive,
	.leader = device_leader,
	.get_config = device_get_config,
	.set_config = device_set_config,
	.reset = device_reset,
	.free = device_free,
};

static int device_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
		      const struct vdpa_dev_config *config)
{
	(void)config;
	return err(-EOPNOTSUPP,
		   "%s: devices of %s are made by "
		   "vdpakit_device_new()",
		   name, mgmtdev->name);
}

/*
 * Of the management device. Between the program's free() and ours nobody but
 * the workers knows the device any more, and they are done with it.
 */
static void device_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev)
{
	struct vdpakit_device *dev = lib_device_of(soft_dev_of(vdev));

	(void)mgmtdev;
	vdpa_device_unregister(vdev);
	(void)vdev->ops->reset(vdev); /* stops the queues, come what may */
	if (dev->class.free) {
		dev->class.free(dev);
	}
	wait_for_workers(dev);
	soft_dev_free(&dev->soft);
}

static const struct vdpa_mgmtdev_ops mgmtdev_ops = {
	.dev_add = device_add,
	.dev_del = device_del,
};

static const struct vdpa_mgmtdev program_mgmtdev = {
	.name = "program",
	.ops = &mgmtdev_ops,
	.classes = UINT64_MAX,
};

static const struct vdpa_mgmtdev_ops ops_mgmtdev_ops = {
	.dev_add = device_add,
	.dev_del = lib_ops_del,
};

static const struct vdpa_mgmtdev ops_mgmtdev = {
	.name = "program_ops",
	.ops = &ops_mgmtdev_ops,
	.classes = UINT64_MAX,
};

int lib_devices_init(struct vdpakit *kit)
{
	struct vdpa_bus *bus = instance_bus(kit->instance);
	int r;

	kit->mgmtdev = program_mgmtdev;
	kit->ops_mgmtdev = ops_mgmtdev;
	r = vdpa_mgmtdev_register(bus, &kit->mgmtdev);
	return r < 0 ? r : vdpa_mgmtdev_register(bus, &kit->ops_mgmtdev);
}

static void unregister(struct lib_call *call)
{
	struct vdpakit *kit = call->kit;

	if (kit->ops_mgmtdev.bus) {
		vdpa_mgmtdev_unregister(&kit->ops_mgmtdev);
	}
	if (kit->mgmtdev.bus) {
		vdpa_mgmtdev_unregister(&kit->mgmtdev);
	}
	lib_call_end(call, 0);
}

void lib_devices_fini(struct vdpakit *kit)
{
	struct lib_call call = { .fn = unregister };

	if (kit->mgmtdev.bus) {
		(void)lib_call(kit, &call); /* always 0 */
	}
}

/* ---- making one ---- */

static int check_sizes(const struct vdpakit_device_class *c)
{
	if (c->n_queues < 1 || c->n_queues > VDPAKIT_DEVICE_QUEUES_MAX) {
		return err(-ERANGE, "n_queues: %u is not 1 to %u", c->n_queues,
			   VDPAKIT_DEVICE_QUEUES_MAX);
	}
	if (c->queue_size > VQ_NUM_MAX ||
	    (c->queue_size > 0 && !is_pow2(c->queue_size))) {
		return err(-ERANGE,
			   "queue_size: %u is no power of two up to %u",
			   c->queue_size, VQ_NUM_MAX);
	}
	if (c->config_bytes > VDPAKIT_DEVICE_CONFIG_MAX) {
		return err(-ERANGE, "config_bytes: %u, limit %u",
			   c->config_bytes, VDPAKIT_DEVICE_CONFIG_MAX);
	}
	if (c->request_bytes > VDPAKIT_DEVICE_REQUEST_MAX) {
		return err(-ERANGE, "request_bytes: %zu, limit %u",
			   c->request_bytes, VDPAKIT_DEVICE_REQUEST_MAX);
	}
	if (c->poll_us > SOFT_POLL_US_MAX) {
		return err(-ERANGE, "poll_us: %u, limit %u", c->poll_us,
			   SOFT_POLL_US_MAX);
	}
	return 0;
}

static int check_class(const struct vdpakit_device_class *c)
{
	uint64_t extra = c->features & ~DEVICE_FEATURES;

	if (!c->submit) {
		return err(-EINVAL, "the class has no submit()");
	}
	if (c->config_bytes > 0 && !c->get_config) {
		return err(-EINVAL,
			   "the class has %u bytes of config space and "
			   "no get_config()",
			   c->config_bytes);
	}
	if (c->device_id == 0) {
		return err(-EINVAL, "device_id 0 is no kind of device");
	}
	if (extra != 0) {
		return err(-EINVAL,
			   "features 0x%llx are not the device's but "
			   "the library's to offer",
			   (unsigned long long)extra);
	}
	return check_sizes(c);
}

static int make_queues(struct vdpakit_device *dev)
{
	unsigned int n = dev->class.n_queues;

	dev->queues = calloc(n, sizeof(*dev->queues));
	dev->notice = calloc(1, sizeof(*dev->notice));
	if (!dev->queues || !dev->notice) {
		return err(-ENOMEM, "out of memory");
	}
	dev->notice->dev = dev;
	dev->notice->work.fn = config_changed;
	dev->notice->work.priv = dev->notice;
	for (unsigned int i = 0; i < n; i++) {
		struct lib_queue *q = &dev->queues[i];

		q->dev = dev;
		q->idx = (uint16_t)i;
		q->done_work.fn = lib_request_done_work;
		q->done_work.priv = q;
		q->wake_work.fn = wake_queue;
		q->wake_work.priv = q;
	}
	return 0;
}

static void fill_soft_class(struct vdpakit_device *dev)
{
	const struct vdpakit_device_class *c = &dev->class;
	struct soft_class *s = &dev->soft_class;

	*s = soft_class;
	s->device_id = c->device_id;
	s->vendor_id = c->vendor_id;
	s->slot_bytes = sizeof(struct vdpakit_request) + c->request_bytes;
	s->cancel = c->cancel ? s->cancel : NULL;
	s->budget = c->budget ? s->budget : NULL;
	s->is_passive = c->is_passive ? s->is_passive : NULL;
	s->leader = c->leader ? s->leader : NULL;
	s->reset = c->reset ? s->reset : NULL;
}

static void fill_soft(struct vdpakit_device *dev, const char *name)
{
	const struct vdpakit_device_class *c = &dev->class;
	struct soft_dev *soft = &dev->soft;

	fill_soft_class(dev);
	(void)snprintf(soft->vdev.name, sizeof(soft->vdev.name), "%s", name);
	soft->vdev.nvqs = c->n_queues;
	soft->vdev.ngroups = 1;
	soft->vdev.nas = 1;
	soft->class = &dev->soft_class;
	soft->device_features = soft_ring_features | c->features;
	soft->config_size = c->config_bytes;
	soft->num_max = c->queue_size ? c->queue_size : QUEUE_SIZE_DEFAULT;
	soft->max_poll_us = c->poll_us;
}

struct new_call {
	struct lib_call call;
	struct vdpakit_device *dev;
	const char *name;
};

/* Control thread. What fails leaves nothing of @dev. */
static int put_on_bus(struct vdpakit *kit, struct vdpakit_device *dev,
		      const char *name)
{
	struct vdpa_bus *bus = instance_bus(kit->instance);
	int r = make_queues(dev);

	if (r == 0) {
		fill_soft(dev, name);
		dev->control = kit->control;
		r = soft_dev_init(&dev->soft, bus);
	}
	if (r < 0) {
		free_memory(dev);
		return r;
	}
	r = vdpa_device_register(bus, &kit->mgmtdev, &dev->soft.vdev);
	if (r < 0) {
		dev->soft_class.reset = NULL; /* the program has no device */
		soft_dev_free(&dev->soft);
	}
	return r;
}

static void put_on_bus_call(struct lib_call *call)
{
	struct new_call *c = container_of(call, struct new_call, call);

	lib_call_end(call, put_on_bus(call->kit, c->dev, c->name));
}

static int device_new(struct vdpakit *kit, const char *name,
		      const struct vdpakit_device_class *device_class,
		      void *priv, struct vdpakit_device **ret)
{
	struct new_call c = { .call.fn = put_on_bus_call, .name = name };
	struct vdpakit_device_class class;
	int r;

	if (!name || !device_class) {
		return err(-EINVAL, "a name and a class are needed");
	}
	if (strlen(name) >= VDPA_NAME_MAX) {
		return err(-EINVAL, "'%s' is too long, limit %u", name,
			   VDPA_NAME_MAX - 1);
	}
	r = lib_take_options(&class, sizeof(class), device_class);
	if (r == 0) {
		r = check_class(&class);
	}
	if (r < 0) {
		return r;
	}
	c.dev = calloc(1, sizeof(*c.dev));
	if (!c.dev) {
		return err(-ENOMEM, "out of memory");
	}
	c.dev->class = class;
	c.dev->priv = priv;
	r = lib_call(kit, &c.call);
	if (r == 0 && ret) {
		*ret = c.dev;
	}
	return r;
}

int vdpakit_device_new(struct vdpakit *kit, const char *name,
		       const struct vdpakit_device_class *device_class,
		       void *priv, struct vdpakit_device **ret)
{
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = device_new(kit, name, device_class, priv, ret);
	return lib_leave(kit, __func__, r);
}

/* ---- while it lives ---- */

void *vdpakit_device_priv(const struct vdpakit_device *dev)
{
	return dev->priv;
}

uint64_t vdpakit_device_features(const struct vdpakit_device *dev)
{
	return soft_features(&dev->soft);
}

uint64_t vdpakit_device_n_misuses(const struct vdpakit_device *dev)
{
	return __atomic_load_n(&dev->n_misuses, __ATOMIC_RELAXED);
}

void vdpakit_device_config_changed(struct vdpakit_device *dev)
{
	loop_call(dev->control, &dev->notice->work);
}

int vdpakit_device_wake(struct vdpakit_device *dev, uint16_t queue)
{
	if (queue >= dev->class.n_queues) {
		return lib_misuse(dev, -EINVAL);
	}
	loop_call(lib_queue_worker(&dev->queues[queue]),
		  &dev->queues[queue].wake_work);
	return 0;
}

int vdpakit_device_fetch(struct vdpakit_device *dev, uint16_t queue,
			 struct vdpakit_request **ret, unsigned int max)
{
	struct vq_chain *chains[VDPAKIT_BURST_MAX];
	unsigned int n;

	if (queue >= dev->class.n_queues || max < 1 ||
	    max > VDPAKIT_BURST_MAX) {
		return lib_misuse(dev, -EINVAL);
	}
	if (!loop_is_owner(lib_queue_worker(&dev->queues[queue]))) {
		return lib_misuse(dev, -EPERM);
	}
	n = soft_fetch(&dev->soft, queue, chains, max);
	return (int)begin_all(&dev->queues[queue], chains, n, ret);
}
