/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software device's virtqueue ops: how control starts and stops queues, and
 * hands what they need to the workers that own them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>

#include <linux/virtio_config.h>

#include "base/err.h"
#include "soft/soft_internal.h"

/* Ring areas of the simulators start on pages, as the kernel's do. */
#define RING_ALIGN 4096

/* Where a queue of the negotiated format begins. */
struct vdpa_vq_state soft_initial_state(const struct soft_dev *dev)
{
	bool wrap = soft_is_packed(dev);

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
		.has_misses = q->miss.miss != NULL,
		.keeps_iovas = q->dev->class->keeps_iovas,
		.inflight = q->inflight.region,
		.inflight_offset = q->inflight.offset,
		.inflight_bytes = q->inflight.size_bytes,
	};

	if (__atomic_load_n(&q->is_broken, __ATOMIC_RELAXED)) {
		return; /* until a reset */
	}
	q->asid = soft_asid_of(q);
	if (vq_start(q->vq, &setup, soft_map_of(q)) < 0) {
		pump_broken(q); /* a state beyond the ring's end */
		return;
	}
	pump_start(q);
	if (q->inflight.region) {
		/* Who died here before may have used buffers and not called. */
		pump_signal(q->worker, &q->call);
	}
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

/* ---- waiting for the worker ---- */

/* Is what @q->wait waits for true now? */
static bool is_there(const struct soft_vq *q)
{
	return q->is_stopping ? q->n_in_flight == 0 : !vq_has_old_chains(q->vq);
}

static void finish_stop(struct soft_vq *q)
{
	pump_stop(q);
	save_state(q);
	vq_stop(q->vq);
	q->is_stopping = false;
}

void soft_check_wait(struct soft_vq *q)
{
	struct soft_wait *wait = q->wait;

	if (!is_there(q)) {
		return;
	}
	q->wait = NULL;
	if (q->is_stopping) {
		finish_stop(q);
	}
	if (--wait->n_left == 0) {
		loop_done(wait->done); /* and control goes on: @wait is gone */
	}
}

struct stop {
	struct soft_vq *q;
	struct soft_wait wait;
};

static void stop_on_worker(void *priv, struct loop_done *done)
{
	struct stop *stop = priv;
	struct soft_vq *q = stop->q;
	const struct soft_class *class = q->dev->class;

	if (!vq_is_started(q->vq)) {
		loop_done(done);
		return;
	}
	stop->wait = (struct soft_wait){ done, 1 };
	q->wait = &stop->wait;
	q->is_stopping = true;
	if (class->cancel && q->n_in_flight > 0) {
		class->cancel(q->dev, q->idx);
	}
	soft_check_wait(q);
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
	if (should) {
		loop_call_wait(q->worker, start_on_worker, q);
	} else {
		struct stop stop = { .q = q };

		loop_call_until(q->worker, stop_on_worker, &stop);
	}
}

void soft_update_all(struct soft_dev *dev)
{
	for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
		update_vq(&dev->vqs[i]);
	}
}

void soft_stopping(struct soft_dev *dev, unsigned int idx, bool is_reset)
{
	if (dev->class->stopping) {
		dev->class->stopping(dev, idx, is_reset);
	}
}

int soft_stopped(struct soft_dev *dev, unsigned int idx, bool is_reset)
{
	return dev->class->stopped ? dev->class->stopped(dev, idx, is_reset)
				   : 0;
}

/* ---- virtqueue ops ---- */

int soft_set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			uint64_t desc_area, uint64_t driver_area,
			uint64_t device_area)
{
	struct soft_vq *q = soft_vq_of(vdev, idx);

	q->desc_area = desc_area;
	q->driver_area = driver_area;
	q->device_area = device_area;
	return 0;
}

void soft_set_vq_num(struct vdpa_device *vdev, uint16_t idx, uint32_t num)
{
	soft_vq_of(vdev, idx)->num = num;
}

uint16_t soft_get_vq_size(struct vdpa_device *vdev, uint16_t idx)
{
	return (uint16_t)soft_vq_of(vdev, idx)->num;
}

static void kick_on_worker(void *priv)
{
	pump_kicked(priv, LOOP_IN);
}

void soft_kick_vq(struct vdpa_device *vdev, uint16_t idx)
{
	struct soft_vq *q = soft_vq_of(vdev, idx);

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

int soft_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd)
{
	struct kick_change change = { .q = soft_vq_of(vdev, idx), .fd = fd };

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

void soft_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		    const struct vdpa_callback *cb)
{
	struct cb_change change = { soft_vq_of(vdev, idx), cb };

	loop_call_wait(change.q->worker, set_cb_on_worker, &change);
}

struct discard_change {
	struct soft_vq *q;
	bool discard;
};

static void set_discard_on_worker(void *priv)
{
	struct discard_change *change = priv;

	change->q->is_discarding = change->discard;
	soft_wake(change->q->dev, change->q->idx); /* has another budget */
}

void soft_set_vq_discard(struct vdpa_device *vdev, uint16_t idx, bool discard)
{
	struct discard_change change = { soft_vq_of(vdev, idx), discard };

	loop_call_wait(change.q->worker, set_discard_on_worker, &change);
}

void soft_set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready)
{
	struct soft_vq *q = soft_vq_of(vdev, idx);
	bool is_stopping = q->is_running && !ready;

	if (is_stopping) {
		soft_stopping(q->dev, idx, false);
	}
	q->is_ready = ready;
	update_vq(q);
	if (is_stopping) {
		(void)soft_stopped(q->dev, idx, false); /* nobody to tell */
	}
}

bool soft_get_vq_ready(struct vdpa_device *vdev, uint16_t idx)
{
	return soft_vq_of(vdev, idx)->is_ready;
}

int soft_set_vq_state(struct vdpa_device *vdev, uint16_t idx,
		      const struct vdpa_vq_state *state)
{
	struct soft_vq *q = soft_vq_of(vdev, idx);

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

int soft_get_vq_state(struct vdpa_device *vdev, uint16_t idx,
		      struct vdpa_vq_state *ret_state)
{
	struct soft_vq *q = soft_vq_of(vdev, idx);

	if (q->is_running) {
		loop_call_wait(q->worker, save_state_on_worker, q);
	}
	*ret_state = q->state;
	return 0;
}

int soft_get_vendor_vq_stats(struct vdpa_device *vdev, uint16_t idx,
			     vdpa_stat_fn emit, void *priv)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	if (!dev->class->emit_stats) {
		return err(-EOPNOTSUPP, "%s keeps no statistics", vdev->name);
	}
	return dev->class->emit_stats(dev, idx, emit, priv);
}

uint32_t soft_get_vq_align(struct vdpa_device *vdev)
{
	(void)vdev;
	return RING_ALIGN;
}

uint32_t soft_get_vq_group(struct vdpa_device *vdev, uint16_t idx)
{
	return soft_group_of(soft_dev_of(vdev), idx);
}
