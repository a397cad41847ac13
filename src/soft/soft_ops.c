/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software device's config ops: what control does, and how it hands state
 * to the workers that own the queues.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "soft/soft_internal.h"
#include "uapi/compat.h"

const uint64_t soft_ring_features =
	BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
	BIT_ULL(VIRTIO_RING_F_EVENT_IDX) | BIT_ULL(VIRTIO_F_ANY_LAYOUT) |
	BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |
	BIT_ULL(VIRTIO_F_RING_PACKED) | BIT_ULL(VIRTIO_F_IN_ORDER);

/* Ring areas of the simulators start on pages, as the kernel's do. */
#define RING_ALIGN 4096

static struct soft_vq *vq_of(struct vdpa_device *vdev, uint16_t idx)
{
	return &soft_dev_of(vdev)->vqs[idx];
}

static uint32_t group_of(const struct soft_dev *dev, uint16_t idx)
{
	return dev->vq_group ? dev->vq_group(dev, idx) : 0;
}

static struct iotlb_snap *map_of(const struct soft_vq *q)
{
	const struct soft_dev *dev = q->dev;

	return dev->maps[dev->group_asid[group_of(dev, q->idx)]];
}

static bool is_packed(const struct soft_dev *dev)
{
	return has_bit(dev->driver_features, VIRTIO_F_RING_PACKED);
}

/* Where a queue of the negotiated format begins. */
static struct vdpa_vq_state initial_state(const struct soft_dev *dev)
{
	bool wrap = is_packed(dev);

	return (struct vdpa_vq_state){ .avail_wrap = wrap, .used_wrap = wrap };
}

/* ---- queues: start and stop ---- */

/*
 * DPDK's virtio-user sets the first half of a packed ring's state to the start
 * and the second to 0, as if it spoke vhost-user, where the first says it all.
 * Taken at its word, the whole ring would be in flight, which no queue of ours
 * can be: it was drained when it stopped.
 */
static bool is_half_a_start(const struct vdpa_vq_state *state)
{
	return state->avail_idx == 0 && state->avail_wrap &&
	       state->used_idx == 0 && !state->used_wrap;
}

static void start_on_worker(void *priv)
{
	struct soft_vq *q = priv;
	const struct vq_setup setup = {
		.num = (uint16_t)q->num,
		.features = q->dev->driver_features,
		.desc_area = q->desc_area,
		.driver_area = q->driver_area,
		.device_area = q->device_area,
		.state = {
			.avail_idx = q->state.avail_idx,
			.used_idx = q->state.used_idx,
			.avail_wrap = q->state.avail_wrap,
			.used_wrap = q->state.used_wrap ||
				     is_half_a_start(&q->state),
		},
	};

	if (__atomic_load_n(&q->is_broken, __ATOMIC_RELAXED)) {
		return; /* until a reset */
	}
	if (vq_start(q->vq, &setup, map_of(q)) < 0) {
		pump_broken(q); /* a state beyond the ring's end */
		return;
	}
	pump_start(q);
}

static void save_state(struct soft_vq *q)
{
	struct vq_state state;

	vq_get_state(q->vq, &state);
	q->state = (struct vdpa_vq_state){
		.avail_idx = state.avail_idx,
		.used_idx = state.used_idx,
		.avail_wrap = state.avail_wrap,
		.used_wrap = state.used_wrap,
	};
}

static void stop_on_worker(void *priv)
{
	struct soft_vq *q = priv;

	if (!vq_is_started(q->vq)) {
		return;
	}
	pump_stop(q);
	/* In-order rings count what could not be published, too. */
	assert(vq_n_in_flight(q->vq) == 0 || vq_is_stalled(q->vq) ||
	       vq_broken(q->vq) != VQ_OK);
	save_state(q);
	vq_stop(q->vq);
}

static bool should_run(const struct soft_vq *q)
{
	const struct soft_dev *dev = q->dev;

	return (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) && q->is_ready &&
	       !dev->is_suspended;
}

/* Makes a queue run, or not, as the device's state has it now. */
static void update_vq(struct soft_vq *q)
{
	bool should = should_run(q);

	if (should == q->is_running) {
		return;
	}
	q->is_running = should;
	loop_call_wait(q->worker, should ? start_on_worker : stop_on_worker, q);
}

static void update_all(struct soft_dev *dev)
{
	for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
		update_vq(&dev->vqs[i]);
	}
}

/* ---- virtqueue ops ---- */

static int soft_set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			       uint64_t desc_area, uint64_t driver_area,
			       uint64_t device_area)
{
	struct soft_vq *q = vq_of(vdev, idx);

	q->desc_area = desc_area;
	q->driver_area = driver_area;
	q->device_area = device_area;
	return 0;
}

static void soft_set_vq_num(struct vdpa_device *vdev, uint16_t idx,
			    uint32_t num)
{
	vq_of(vdev, idx)->num = num;
}

static uint16_t soft_get_vq_size(struct vdpa_device *vdev, uint16_t idx)
{
	return (uint16_t)vq_of(vdev, idx)->num;
}

static void kick_on_worker(void *priv)
{
	pump_kicked(priv, LOOP_IN);
}

static void soft_kick_vq(struct vdpa_device *vdev, uint16_t idx)
{
	struct soft_vq *q = vq_of(vdev, idx);

	loop_call_wait(q->worker, kick_on_worker, q);
}

struct kick_change {
	struct soft_vq *q;
	int fd;
	int ret;
};

static void set_kick_on_worker(void *priv)
{
	struct kick_change *change = priv;
	struct soft_vq *q = change->q;

	q->watch = loop_watch_free(q->watch);
	change->ret = 0;
	if (change->fd >= 0) {
		change->ret = loop_watch_new(q->worker, change->fd,
					     LOOP_IN | LOOP_EDGE, pump_kicked,
					     q, &q->watch);
	}
}

static int soft_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd)
{
	struct kick_change change = { .q = vq_of(vdev, idx), .fd = fd };

	loop_call_wait(change.q->worker, set_kick_on_worker, &change);
	return change.ret;
}

struct cb_change {
	struct soft_vq *q;
	const struct vdpa_callback *cb;
};

static void set_cb_on_worker(void *priv)
{
	struct cb_change *change = priv;

	change->q->call = *change->cb;
}

static void soft_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
			   const struct vdpa_callback *cb)
{
	struct cb_change change = { vq_of(vdev, idx), cb };

	loop_call_wait(change.q->worker, set_cb_on_worker, &change);
}

static void soft_set_vq_ready(struct vdpa_device *vdev, uint16_t idx,
			      bool ready)
{
	struct soft_vq *q = vq_of(vdev, idx);

	q->is_ready = ready;
	update_vq(q);
}

static bool soft_get_vq_ready(struct vdpa_device *vdev, uint16_t idx)
{
	return vq_of(vdev, idx)->is_ready;
}

static int soft_set_vq_state(struct vdpa_device *vdev, uint16_t idx,
			     const struct vdpa_vq_state *state)
{
	struct soft_vq *q = vq_of(vdev, idx);

	if (q->is_running) {
		return err(-EBUSY, "%s.vq%u: the queue runs", vdev->name, idx);
	}
	q->state = *state;
	return 0;
}

static void save_state_on_worker(void *priv)
{
	struct soft_vq *q = priv;

	if (vq_is_started(q->vq)) {
		save_state(q);
	}
}

static int soft_get_vq_state(struct vdpa_device *vdev, uint16_t idx,
			     struct vdpa_vq_state *ret_state)
{
	struct soft_vq *q = vq_of(vdev, idx);

	if (q->is_running) {
		loop_call_wait(q->worker, save_state_on_worker, q);
	}
	*ret_state = q->state;
	return 0;
}

static int soft_get_vendor_vq_stats(struct vdpa_device *vdev, uint16_t idx,
				    vdpa_stat_fn emit, void *priv)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	if (!dev->class->emit_stats) {
		return err(-EOPNOTSUPP, "%s keeps no statistics", vdev->name);
	}
	return dev->class->emit_stats(dev, idx, emit, priv);
}

static uint32_t soft_get_vq_align(struct vdpa_device *vdev)
{
	(void)vdev;
	return RING_ALIGN;
}

static uint32_t soft_get_vq_group(struct vdpa_device *vdev, uint16_t idx)
{
	return group_of(soft_dev_of(vdev), idx);
}

/* ---- device ops ---- */

static uint64_t soft_get_device_features(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->device_features;
}

static uint64_t soft_get_backend_features(const struct vdpa_device *vdev)
{
	(void)vdev;
	return BIT_ULL(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK);
}

/* As the kernel's simulator: ACCESS_PLATFORM is a must, what is not offered
 * is dropped without a word. */
static int soft_set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	struct soft_dev *dev = soft_dev_of(vdev);
	bool was_packed = is_packed(dev);

	/* A driver may leave FEATURES_OK out, but queues run with these. */
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		return err(-EBUSY, "%s: too late for features", vdev->name);
	}
	if (!has_bit(features, VIRTIO_F_ACCESS_PLATFORM)) {
		return err(-EINVAL, "%s: VIRTIO_F_ACCESS_PLATFORM is needed",
			   vdev->name);
	}
	dev->driver_features = features & dev->device_features;
	for (uint32_t i = 0; was_packed != is_packed(dev) && i < vdev->nvqs;
	     i++) {
		dev->vqs[i].state = initial_state(dev);
	}
	return 0;
}

static uint64_t soft_get_driver_features(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->driver_features;
}

static void set_config_cb_on_worker(void *priv)
{
	struct cb_change *change = priv;

	change->q->config_call = *change->cb;
}

static void soft_set_config_cb(struct vdpa_device *vdev,
			       const struct vdpa_callback *cb)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	dev->config_call = *cb;
	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		struct cb_change change = { &dev->vqs[i], cb };

		loop_call_wait(dev->vqs[i].worker, set_config_cb_on_worker,
			       &change);
	}
}

static uint16_t soft_get_vq_num_max(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->num_max;
}

static uint32_t soft_get_device_id(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->class->device_id;
}

static uint32_t soft_get_vendor_id(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->class->vendor_id;
}

static uint8_t soft_get_status(struct vdpa_device *vdev)
{
	struct soft_dev *dev = soft_dev_of(vdev);
	uint8_t status = dev->status;

	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		if (__atomic_load_n(&dev->vqs[i].is_broken, __ATOMIC_RELAXED)) {
			status |= VIRTIO_CONFIG_S_NEEDS_RESET;
		}
	}
	return status;
}

static void soft_set_status(struct vdpa_device *vdev, uint8_t status)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	/* That bit is ours to set. */
	dev->status = status & (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
	update_all(dev);
}

static void reset_vq(struct soft_vq *q)
{
	q->num = q->dev->num_max;
	q->desc_area = 0;
	q->driver_area = 0;
	q->device_area = 0;
	q->state = (struct vdpa_vq_state){ 0 };
	q->is_ready = false;
	__atomic_store_n(&q->is_broken, false, __ATOMIC_RELAXED);
}

static int soft_set_group_asid(struct vdpa_device *vdev, unsigned int group,
			       unsigned int asid);

static int soft_reset(struct vdpa_device *vdev)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };
	struct soft_dev *dev = soft_dev_of(vdev);

	dev->status = 0;
	update_all(dev);
	dev->is_suspended = false;
	dev->driver_features = 0;
	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		struct soft_vq *q = &dev->vqs[i];

		(void)soft_set_vq_kick_fd(vdev, (uint16_t)i, -1);
		soft_set_vq_cb(vdev, (uint16_t)i, &none);
		reset_vq(q);
	}
	for (uint32_t g = 0; g < vdev->ngroups; g++) {
		(void)soft_set_group_asid(vdev, g, 0);
	}
	if (dev->class->reset) {
		dev->class->reset(dev);
	}
	return 0;
}

static int soft_suspend(struct vdpa_device *vdev)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	dev->is_suspended = true;
	update_all(dev);
	return 0;
}

static int soft_resume(struct vdpa_device *vdev)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	dev->is_suspended = false;
	update_all(dev);
	return 0;
}

/* ---- config space ---- */

struct config_access {
	struct soft_dev *dev;
	uint32_t offset;
	uint32_t len;
	void *out;
	const void *in;
};

static void get_config_on_worker(void *priv)
{
	struct config_access *a = priv;

	a->dev->class->get_config(a->dev, a->offset, a->out, a->len);
}

static void set_config_on_worker(void *priv)
{
	struct config_access *a = priv;

	a->dev->class->set_config(a->dev, a->offset, a->in, a->len);
}

void soft_call_config(struct soft_dev *dev, void (*fn)(void *priv), void *priv)
{
	loop_call_wait(dev->vqs[0].worker, fn, priv);
}

static size_t soft_get_config_size(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->config_size;
}

static void soft_get_config(struct vdpa_device *vdev, uint32_t offset,
			    void *buf, uint32_t len)
{
	struct config_access a = {
		.dev = soft_dev_of(vdev),
		.offset = offset,
		.len = len,
		.out = buf,
	};

	soft_call_config(a.dev, get_config_on_worker, &a);
}

static void soft_set_config(struct vdpa_device *vdev, uint32_t offset,
			    const void *buf, uint32_t len)
{
	struct config_access a = {
		.dev = soft_dev_of(vdev),
		.offset = offset,
		.len = len,
		.in = buf,
	};

	soft_call_config(a.dev, set_config_on_worker, &a);
}

static uint32_t soft_get_generation(struct vdpa_device *vdev)
{
	return soft_dev_of(vdev)->generation;
}

void soft_config_changed(struct soft_dev *dev)
{
	dev->generation++;
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		pump_signal(&dev->config_call);
	}
}

/* ---- memory ---- */

struct map_change {
	struct soft_dev *dev;
	struct loop *worker;
};

/* Hands queues of one worker the map of their group's address space. */
static void set_maps_on_worker(void *priv)
{
	const struct map_change *change = priv;
	struct soft_dev *dev = change->dev;

	for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
		struct soft_vq *q = &dev->vqs[i];

		if (q->worker != change->worker || !vq_is_started(q->vq)) {
			continue;
		}
		vq_set_snap(q->vq, map_of(q));
		/* A burst is over when calls run: nothing uses the old one. */
		assert(!vq_has_old_chains(q->vq));
		soft_wake(dev, q->idx);
	}
}

/* Is @q the first running queue of its worker? */
static bool is_first_of_worker(const struct soft_vq *q)
{
	for (uint32_t i = 0; i < q->idx; i++) {
		const struct soft_vq *other = &q->dev->vqs[i];

		if (other->is_running && other->worker == q->worker) {
			return false;
		}
	}
	return q->is_running;
}

/* Running queues get the maps as they are now, with one wait a worker. */
static void refresh_maps(struct soft_dev *dev)
{
	for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
		const struct soft_vq *q = &dev->vqs[i];
		struct map_change change = { dev, q->worker };

		if (is_first_of_worker(q)) {
			loop_call_wait(q->worker, set_maps_on_worker, &change);
		}
	}
}

static int soft_set_map(struct vdpa_device *vdev, unsigned int asid,
			struct iotlb_snap *map)
{
	struct soft_dev *dev = soft_dev_of(vdev);
	struct iotlb_snap *old = dev->maps[asid];

	dev->maps[asid] = iotlb_snap_ref(map);
	refresh_maps(dev);
	iotlb_snap_unref(old);
	return 0;
}

/* The default map is empty: unlike a kernel simulator's passthrough, nothing
 * is reachable that nobody mapped. */
static int soft_reset_map(struct vdpa_device *vdev, unsigned int asid)
{
	return soft_set_map(vdev, asid, soft_dev_of(vdev)->empty_map);
}

static int soft_set_group_asid(struct vdpa_device *vdev, unsigned int group,
			       unsigned int asid)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	dev->group_asid[group] = asid;
	refresh_maps(dev);
	return 0;
}

struct gate_change {
	struct soft_vq *q;
	struct vdpa_gate gate;
};

static void set_gate_on_worker(void *priv)
{
	struct gate_change *change = priv;

	change->q->gate = change->gate;
	pump_kicked(change->q, LOOP_IN); /* it may wait for the old one */
}

static void soft_set_gate(struct vdpa_device *vdev,
			  const struct vdpa_gate *gate)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		struct gate_change change = { .q = &dev->vqs[i] };

		if (gate) {
			change.gate = *gate;
		}
		loop_call_wait(change.q->worker, set_gate_on_worker, &change);
	}
}

/* ---- life ---- */

static void soft_free(struct vdpa_device *vdev)
{
	soft_dev_free(soft_dev_of(vdev));
}

static const struct vdpa_config_ops soft_config_ops = {
	.size = sizeof(struct vdpa_config_ops),
	.set_vq_address = soft_set_vq_address,
	.set_vq_num = soft_set_vq_num,
	.kick_vq = soft_kick_vq,
	.set_vq_kick_fd = soft_set_vq_kick_fd,
	.set_vq_cb = soft_set_vq_cb,
	.set_vq_ready = soft_set_vq_ready,
	.get_vq_ready = soft_get_vq_ready,
	.set_vq_state = soft_set_vq_state,
	.get_vq_state = soft_get_vq_state,
	.get_vendor_vq_stats = soft_get_vendor_vq_stats,
	.get_vq_size = soft_get_vq_size,
	.get_vq_align = soft_get_vq_align,
	.get_vq_group = soft_get_vq_group,
	.get_device_features = soft_get_device_features,
	.get_backend_features = soft_get_backend_features,
	.set_driver_features = soft_set_driver_features,
	.get_driver_features = soft_get_driver_features,
	.set_config_cb = soft_set_config_cb,
	.get_vq_num_max = soft_get_vq_num_max,
	.get_device_id = soft_get_device_id,
	.get_vendor_id = soft_get_vendor_id,
	.get_status = soft_get_status,
	.set_status = soft_set_status,
	.reset = soft_reset,
	.suspend = soft_suspend,
	.resume = soft_resume,
	.get_config_size = soft_get_config_size,
	.get_config = soft_get_config,
	.set_config = soft_set_config,
	.get_generation = soft_get_generation,
	.set_map = soft_set_map,
	.reset_map = soft_reset_map,
	.set_group_asid = soft_set_group_asid,
	.free = soft_free,
	.set_gate = soft_set_gate,
};

static int init_vq(struct soft_dev *dev, uint16_t idx, struct loop *worker)
{
	struct soft_vq *q = &dev->vqs[idx];

	q->dev = dev;
	q->idx = idx;
	q->worker = worker;
	q->call.trigger_fd = -1;
	q->config_call.trigger_fd = -1;
	q->is_passive = dev->class->is_passive &&
			dev->class->is_passive(dev, idx);
	reset_vq(q);
	pump_init(q);
	return vq_new(dev->num_max, 0, &q->vq);
}

static int init_maps(struct soft_dev *dev)
{
	struct iotlb *none;
	int ret;

	ret = iotlb_new(1, &none);
	if (ret < 0) {
		return ret;
	}
	dev->empty_map = iotlb_snapshot(none);
	iotlb_free(none);
	for (uint32_t i = 0; i < dev->vdev.nas; i++) {
		dev->maps[i] = iotlb_snap_ref(dev->empty_map);
	}
	return 0;
}

static void release(struct soft_dev *dev)
{
	for (uint32_t i = 0; dev->vqs && i < dev->vdev.nvqs; i++) {
		vq_free(dev->vqs[i].vq);
	}
	for (uint32_t i = 0; dev->maps && i < dev->vdev.nas; i++) {
		iotlb_snap_unref(dev->maps[i]);
	}
	iotlb_snap_unref(dev->empty_map);
	free(dev->vqs);
	free(dev->maps);
	free(dev->group_asid);
}

int soft_set_poll_us(struct soft_dev *dev, const char *value)
{
	uint64_t us;
	int ret = parse_u64("poll_us", value, SOFT_POLL_US_MAX, &us);

	if (ret == 0) {
		dev->max_poll_us = (uint32_t)us;
	}
	return ret;
}

int soft_dev_init(struct soft_dev *dev, struct vdpa_bus *bus)
{
	struct loop *worker = vdpa_bus_pick_worker(bus);
	int ret = -ENOMEM;

	dev->vdev.ops = &soft_config_ops;
	dev->config_call.trigger_fd = -1;
	dev->vqs = calloc(dev->vdev.nvqs, sizeof(*dev->vqs));
	dev->maps = calloc(dev->vdev.nas, sizeof(struct iotlb_snap *));
	dev->group_asid = calloc(dev->vdev.ngroups, sizeof(uint32_t));
	if (!dev->vqs || !dev->maps || !dev->group_asid) {
		goto err_release;
	}
	ret = init_maps(dev);
	for (uint32_t i = 0; ret == 0 && i < dev->vdev.nvqs; i++) {
		ret = init_vq(dev, (uint16_t)i, worker);
		if (!dev->class->is_single_worker) {
			worker = vdpa_bus_pick_worker(bus);
		}
	}
	if (ret == 0) {
		return 0;
	}
err_release:
	release(dev);
	return ret;
}

void soft_dev_free(struct soft_dev *dev)
{
	if (!dev) {
		return;
	}
	(void)soft_reset(&dev->vdev); /* stops the queues; cannot fail */
	release(dev);
	dev->class->free(dev);
}
