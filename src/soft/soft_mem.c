/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software device's memory: maps of its queues, and what else control has to
 * say about what they touch.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>

#include "soft/soft_internal.h"

struct map_change {
	struct soft_dev *dev;
	struct loop *worker;
	struct soft_wait wait;
};

static void set_map_of(struct soft_vq *q, struct soft_wait *wait)
{
	q->asid = soft_asid_of(q);
	q->is_missing = false;
	vq_set_snap(q->vq, soft_map_of(q));
	if (vq_has_old_chains(q->vq)) {
		q->wait = wait;
		wait->n_left++;
	}
	soft_wake(q->dev, q->idx);
}

/* Hands queues of one worker the map of their group's address space, and waits
 * until nothing uses the old one. */
static void set_maps_on_worker(void *priv, struct loop_done *done)
{
	struct map_change *change = priv;
	struct soft_dev *dev = change->dev;

	change->wait.done = done;
	for (uint32_t i = 0; i < dev->vdev.nvqs; i++) {
		struct soft_vq *q = &dev->vqs[i];

		if (q->worker == change->worker && vq_is_started(q->vq)) {
			set_map_of(q, &change->wait);
		}
	}
	if (change->wait.n_left == 0) {
		loop_done(done);
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
		struct map_change change = { .dev = dev, .worker = q->worker };

		if (is_first_of_worker(q)) {
			loop_call_until(q->worker, set_maps_on_worker, &change);
		}
	}
}

int soft_set_map(struct vdpa_device *vdev, unsigned int asid,
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
int soft_reset_map(struct vdpa_device *vdev, unsigned int asid)
{
	return soft_set_map(vdev, asid, soft_dev_of(vdev)->empty_map);
}

int soft_set_group_asid(struct vdpa_device *vdev, unsigned int group,
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

void soft_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate)
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

struct log_change {
	struct soft_vq *q;
	const struct vq_log *log;
	int log_fd;
};

static void set_log_on_worker(void *priv)
{
	const struct log_change *change = priv;

	vq_set_log(change->q->vq, change->log);
	change->q->log_fd = change->log_fd;
}

int soft_set_vq_log(struct vdpa_device *vdev, uint16_t idx,
		    const struct vdpa_vq_log *log)
{
	struct log_change change = { .q = soft_vq_of(vdev, idx), .log_fd = -1 };
	struct vq_log copy;

	if (log) {
		copy = (struct vq_log){ log->log, log->used_gpa };
		change.log = &copy;
		change.log_fd = log->call_fd;
	}
	loop_call_wait(change.q->worker, set_log_on_worker, &change);
	return 0;
}

/* The running queue has a reference of its own. */
int soft_set_vq_inflight(struct vdpa_device *vdev, uint16_t idx,
			 const struct vdpa_inflight *inflight)
{
	struct soft_vq *q = soft_vq_of(vdev, idx);
	struct region *old = q->inflight.region;

	q->inflight = (struct vdpa_inflight){ 0 };
	if (inflight) {
		q->inflight = *inflight;
		region_ref(inflight->region);
	}
	region_unref(old);
	return 0;
}

struct miss_change {
	struct soft_vq *q;
	struct vdpa_miss miss;
};

static void set_miss_on_worker(void *priv)
{
	const struct miss_change *change = priv;

	change->q->miss = change->miss;
}

int soft_set_miss(struct vdpa_device *vdev, const struct vdpa_miss *miss)
{
	struct soft_dev *dev = soft_dev_of(vdev);

	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		struct miss_change change = { .q = &dev->vqs[i] };

		if (miss) {
			change.miss = *miss;
		}
		loop_call_wait(change.q->worker, set_miss_on_worker, &change);
	}
	return 0;
}
