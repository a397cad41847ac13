/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the software device share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef SOFT_SOFT_INTERNAL_H
#define SOFT_SOFT_INTERNAL_H

#include <linux/virtio_config.h>

#include "soft/soft.h"

static inline struct soft_vq *soft_vq_of(struct vdpa_device *vdev, uint16_t idx)
{
	return &soft_dev_of(vdev)->vqs[idx];
}

static inline uint32_t soft_group_of(const struct soft_dev *dev, uint16_t idx)
{
	return dev->vq_group ? dev->vq_group(dev, idx) : 0;
}

static inline uint32_t soft_asid_of(const struct soft_vq *q)
{
	return q->dev->group_asid[soft_group_of(q->dev, q->idx)];
}

static inline struct iotlb_snap *soft_map_of(const struct soft_vq *q)
{
	return q->dev->maps[soft_asid_of(q)];
}

static inline bool soft_is_packed(const struct soft_dev *dev)
{
	return has_bit(dev->driver_features, VIRTIO_F_RING_PACKED);
}

/* ---- pump.c, on the queue's owner ---- */

/* The kick eventfd was written; the callback of its watch. */
void pump_kicked(void *priv, unsigned int events);
/* The driver broke the ring: nothing more from this queue until a reset. */
void pump_broken(struct soft_vq *q);
void pump_init(struct soft_vq *q);
/* The queue begins to run: its vq is started, the snapshot set. */
void pump_start(struct soft_vq *q);
/* Publishes what is completed; afterwards nothing looks at the queue. */
void pump_stop(struct soft_vq *q);

/* Look at every running queue that this worker owns: something changed that
 * one of them may have waited for. */
void pump_wake_all(struct soft_dev *dev, struct loop *worker);
/* Tell whoever listens; the caller is the owner of @loop. */
void pump_signal(struct loop *loop, const struct vdpa_callback *cb);

/* ---- soft_vq.c ---- */

/* Chains of @q were completed, and published: was somebody waiting for that?
 * The queue may be stopped, and its device gone, when this returns. On the
 * queue's owner. */
void soft_check_wait(struct soft_vq *q);

/* Where a queue of the negotiated format begins. */
struct vdpa_vq_state soft_initial_state(const struct soft_dev *dev);
/* Makes every queue run, or not, as the device's state has it now. */
void soft_update_all(struct soft_dev *dev);

/* Before and after queues stop: the class's members of these names. */
void soft_stopping(struct soft_dev *dev, unsigned int idx, bool is_reset);
int soft_stopped(struct soft_dev *dev, unsigned int idx, bool is_reset);

/* Config ops. */
int soft_set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			uint64_t desc_area, uint64_t driver_area,
			uint64_t device_area);
void soft_set_vq_num(struct vdpa_device *vdev, uint16_t idx, uint32_t num);
uint16_t soft_get_vq_size(struct vdpa_device *vdev, uint16_t idx);
void soft_kick_vq(struct vdpa_device *vdev, uint16_t idx);
int soft_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd);
void soft_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		    const struct vdpa_callback *cb);
void soft_set_vq_discard(struct vdpa_device *vdev, uint16_t idx, bool discard);
void soft_set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready);
bool soft_get_vq_ready(struct vdpa_device *vdev, uint16_t idx);
int soft_set_vq_state(struct vdpa_device *vdev, uint16_t idx,
		      const struct vdpa_vq_state *state);
int soft_get_vq_state(struct vdpa_device *vdev, uint16_t idx,
		      struct vdpa_vq_state *ret_state);
int soft_get_vendor_vq_stats(struct vdpa_device *vdev, uint16_t idx,
			     vdpa_stat_fn emit, void *priv);
uint32_t soft_get_vq_align(struct vdpa_device *vdev);
uint32_t soft_get_vq_group(struct vdpa_device *vdev, uint16_t idx);

/* ---- soft_mem.c: config ops ---- */

int soft_set_map(struct vdpa_device *vdev, unsigned int asid,
		 struct iotlb_snap *map);
int soft_reset_map(struct vdpa_device *vdev, unsigned int asid);
int soft_set_group_asid(struct vdpa_device *vdev, unsigned int group,
			unsigned int asid);
void soft_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate);
int soft_set_vq_log(struct vdpa_device *vdev, uint16_t idx,
		    const struct vdpa_vq_log *log);
int soft_set_vq_inflight(struct vdpa_device *vdev, uint16_t idx,
			 const struct vdpa_inflight *inflight);
int soft_set_miss(struct vdpa_device *vdev, const struct vdpa_miss *miss);

#endif
