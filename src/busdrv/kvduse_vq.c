/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse: queues.
 *
 * The kernel keeps what the driver said of a queue, and tells of none of it. So
 * it is asked when a driver starts, and again when a queue is kicked that the
 * device does not have.
 *
 * A call is an ioctl, made by whichever thread has used buffers. Until the
 * kernel has seen our answer to DRIVER_OK it may refuse it, and the driver
 * would wait for ever: such a call is tried again by the control thread.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "busdrv/kvduse_internal.h"

/* struct vring_used: the index stands behind the flags. */
#define USED_IDX_OFFSET 2

static bool is_packed(const struct kvduse *kv)
{
	return has_bit(vdpa_get_driver_features(kv->vdev),
		       VIRTIO_F_RING_PACKED);
}

/* ---- calls ---- */

static int inject(const struct kvduse_vq *vq)
{
	uint32_t idx = vq->idx;

	return vq->kv->sys->ioctl(vq->kv->fd, VDUSE_VQ_INJECT_IRQ, &idx) < 0
		       ? -errno
		       : 0;
}

/* Any thread. */
static void call(void *priv)
{
	struct kvduse_vq *vq = priv;
	const uint64_t one = 1;

	if (inject(vq) == -EINVAL) {
		__atomic_store_n(&vq->owes_irq, 1, __ATOMIC_RELEASE);
		/* It cannot be full: that takes 2^64 of them. */
		(void)!write(vq->kv->irq.fd, &one, sizeof(one));
	}
}

/* Return: is nothing owed any more? */
static bool pay(struct kvduse *kv)
{
	bool is_done = true;

	for (uint32_t i = 0; i < kv->nvqs; i++) {
		struct kvduse_vq *vq = &kv->vqs[i];

		if (__atomic_exchange_n(&vq->owes_irq, 0, __ATOMIC_ACQ_REL) &&
		    inject(vq) == -EINVAL) {
			__atomic_store_n(&vq->owes_irq, 1, __ATOMIC_RELEASE);
			is_done = false;
		}
	}
	return is_done;
}

static void pay_soon(void *priv)
{
	struct kvduse *kv = priv;

	if (pay(kv)) {
		kv->n_irq_tries = 0;
	} else if (++kv->n_irq_tries < KVDUSE_IRQS_MAX) {
		(void)loop_timer_set(&kv->irq_timer, KVDUSE_IRQ_NS);
	} else {
		kv->n_bad++;
		log_warn(kv->vdev->name,
			 "vduse: ignoring that the kernel takes no interrupt");
	}
}

static void irq_event(void *priv, unsigned int events)
{
	struct kvduse *kv = priv;

	(void)events;
	kv->n_irq_tries = 0;
	pay_soon(kv);
}

/* ---- kicks ---- */

/* Queues that the device does not have kick one eventfd, ours. */
static void other_kick(void *priv, unsigned int events)
{
	(void)events;
	kvduse_vqs_poll(priv);
}

static bool take_kick(struct kvduse *kv)
{
	uint64_t n;

	return read(kv->kick.fd, &n, sizeof(n)) == sizeof(n);
}

void kvduse_vqs_poll(struct kvduse *kv)
{
	if (take_kick(kv)) {
		kvduse_kicked(kv);
	}
}

static int set_kick(struct kvduse_vq *vq, int fd)
{
	struct vduse_vq_eventfd efd = { .index = vq->idx, .fd = fd };

	return min_of(kvduse_ioctl(vq->kv, VDUSE_VQ_SETUP_KICKFD, &efd), 0);
}

int kvduse_vqs_watch(struct kvduse *kv)
{
	int r = 0;

	(void)take_kick(kv); /* an older session's */
	for (uint32_t i = 0; i < kv->nvqs && r == 0; i++) {
		r = set_kick(&kv->vqs[i], kv->kick.fd);
	}
	return r;
}

static void control_kick(void *priv, unsigned int events)
{
	struct kvduse_vq *vq = priv;

	(void)events;
	(void)vdpa_kick_vq(vq->kv->vdev, vq->idx); /* idx is right */
}

/* The device listens itself, if it can. */
static int give_kick(struct kvduse_vq *vq)
{
	int r;

	vq->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vq->kick_fd < 0) {
		return err(-errno, "eventfd: %s", strerror(errno));
	}
	r = vdpa_set_vq_kick_fd(vq->kv->vdev, vq->idx, vq->kick_fd);
	if (r == -EOPNOTSUPP) {
		r = loop_watch_new(vq->kv->loop, vq->kick_fd,
				   LOOP_IN | LOOP_EDGE, control_kick, vq,
				   &vq->kick_watch);
	}
	return r == 0 ? set_kick(vq, vq->kick_fd) : r;
}

static void drop_kick(struct kvduse_vq *vq)
{
	(void)vdpa_set_vq_kick_fd(vq->kv->vdev, vq->idx, -1); /* may lack it */
	vq->kick_watch = loop_watch_free(vq->kick_watch);
	vq->kick_fd = close_fd(vq->kick_fd);
}

/* ---- state ---- */

static struct vdpa_vq_state decode_state(bool packed,
					 const struct vduse_vq_info *info)
{
	if (!packed) {
		return (struct vdpa_vq_state){
			.avail_idx = info->split.avail_index,
		};
	}
	return (struct vdpa_vq_state){
		.avail_idx = info->packed.last_avail_idx,
		.avail_wrap = info->packed.last_avail_counter & 1,
		.used_idx = info->packed.last_used_idx,
		.used_wrap = info->packed.last_used_counter & 1,
	};
}

static void encode_state(bool packed, const struct vdpa_vq_state *s,
			 struct vduse_vq_state *ret)
{
	if (!packed) {
		ret->split.avail_index = s->avail_idx;
		return;
	}
	ret->packed.last_avail_idx = s->avail_idx;
	ret->packed.last_avail_counter = s->avail_wrap;
	ret->packed.last_used_idx = s->used_idx;
	ret->packed.last_used_counter = s->used_wrap;
}

static int get_info(struct kvduse *kv, uint32_t idx,
		    struct vduse_vq_info *ret_info)
{
	*ret_info = (struct vduse_vq_info){ .index = idx };
	return min_of(kvduse_ioctl(kv, VDUSE_VQ_GET_INFO, ret_info), 0);
}

/*
 * Somebody else ran this queue, and left no log: what the driver was told is in
 * the ring. In a packed one it would have to be searched for.
 */
static int find_state(struct kvduse_vq *vq, const struct vduse_vq_info *info,
		      struct vdpa_vq_state *state)
{
	struct kvduse *kv = vq->kv;
	struct iotlb_snap *snap;
	uint32_t group = 0;
	uint16_t used;
	int r;

	if (!kv->is_recovering || kv->log.is_found) {
		return 0;
	}
	if (is_packed(kv)) {
		return err(-EIO,
			   "a packed ring cannot be gone on with without its "
			   "inflight log");
	}
	(void)vdpa_get_vq_group(kv->vdev, vq->idx, &group); /* or 0 */
	snap = vdpa_snapshot(kv->vdev, kv->group_asid[group]);
	r = mem_read(snap, info->device_addr + USED_IDX_OFFSET, &used,
		     sizeof(used));
	iotlb_snap_unref(snap);
	if (r == 0) {
		state->avail_idx = le16toh(used);
	}
	return r;
}

/* ---- start and stop ---- */

static int check_info(const struct kvduse_vq *vq,
		      const struct vduse_vq_info *info)
{
	if (!is_packed(vq->kv) && !is_pow2(info->num)) {
		return err(-EINVAL, "a split ring of %u", info->num);
	}
	return 0;
}

static int give_to_device(struct kvduse_vq *vq,
			  const struct vduse_vq_info *info)
{
	struct vdpa_device *vdev = vq->kv->vdev;
	const struct vdpa_callback cb = { call, vq, -1 };
	struct vdpa_vq_state state = decode_state(is_packed(vq->kv), info);
	int r = find_state(vq, info, &state);

	if (r == 0) {
		r = vdpa_set_vq_num(vdev, vq->idx, info->num);
	}
	if (r == 0) {
		r = vdpa_set_vq_address(vdev, vq->idx, info->desc_addr,
					info->driver_addr, info->device_addr);
	}
	if (r == 0) {
		r = vdpa_set_vq_state(vdev, vq->idx, &state);
	}
	if (r == 0) {
		r = kvduse_log_give(vq);
	}
	if (r == 0) {
		r = vdpa_set_vq_cb(vdev, vq->idx, &cb);
	}
	if (r == 0) {
		r = give_kick(vq);
	}
	return r == 0 ? vdpa_set_vq_ready(vdev, vq->idx, true) : r;
}

/* What it has begun is finished. */
static int stop_vq(struct kvduse_vq *vq)
{
	vq->is_running = false;
	(void)vdpa_set_vq_ready(vq->kv->vdev, vq->idx,
				false); /* idx is right */
	kvduse_log_clear(vq->kv, vq->idx);
	drop_kick(vq);
	return set_kick(vq, vq->kv->kick.fd);
}

static int update_vq(struct kvduse_vq *vq)
{
	struct vduse_vq_info info;
	int r = get_info(vq->kv, vq->idx, &info);

	if (r < 0 || (info.ready != 0) == vq->is_running) {
		return r;
	}
	if (vq->is_running) {
		return stop_vq(vq);
	}
	r = check_info(vq, &info);
	if (r == 0) {
		r = give_to_device(vq, &info);
	}
	vq->is_running = r == 0;
	if (r < 0) {
		drop_kick(vq);
	}
	return err_context(r, "queue %u", vq->idx);
}

int kvduse_vqs_update(struct kvduse *kv)
{
	int r = 0;

	for (uint32_t i = 0; i < kv->nvqs && r == 0; i++) {
		r = update_vq(&kv->vqs[i]);
	}
	return r;
}

void kvduse_vqs_kick(struct kvduse *kv)
{
	for (uint32_t i = 0; i < kv->nvqs; i++) {
		if (kv->vqs[i].is_running) {
			(void)vdpa_kick_vq(kv->vdev, i); /* idx is right */
		}
	}
}

void kvduse_vqs_forget(struct kvduse *kv)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };

	for (uint32_t i = 0; i < kv->nvqs; i++) {
		struct kvduse_vq *vq = &kv->vqs[i];

		(void)vdpa_set_vq_cb(kv->vdev, i, &none); /* idx is right */
		drop_kick(vq);
		vq->is_running = false;
		__atomic_store_n(&vq->owes_irq, 0, __ATOMIC_RELAXED);
	}
	loop_timer_cancel(&kv->irq_timer);
}

int kvduse_vq_get_state(struct kvduse *kv, struct vduse_vq_state *state)
{
	bool packed = is_packed(kv);
	struct vdpa_vq_state s;
	struct vduse_vq_info info;
	int r;

	if (state->index >= kv->nvqs) {
		return err(-EINVAL, "VDUSE: queue %u of %u", state->index,
			   kv->nvqs);
	}
	r = get_info(kv, state->index, &info);
	if (r < 0) {
		return r;
	}
	s = decode_state(packed, &info);
	if (kv->vqs[state->index].is_running) {
		r = vdpa_get_vq_state(kv->vdev, state->index, &s);
	}
	encode_state(packed, &s, state);
	return r;
}

/* ---- life ---- */

int kvduse_vqs_new(struct kvduse *kv)
{
	int r;

	kv->vqs = calloc(kv->nvqs, sizeof(*kv->vqs));
	if (!kv->vqs) {
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < kv->nvqs; i++) {
		kv->vqs[i] = (struct kvduse_vq){
			.kv = kv,
			.idx = i,
			.kick_fd = -1,
		};
	}
	loop_timer_init(&kv->irq_timer, kv->loop, pay_soon, kv);
	r = event_new(&kv->irq, kv->loop, irq_event, kv);
	return r == 0 ? event_new(&kv->kick, kv->loop, other_kick, kv) : r;
}

void kvduse_vqs_free(struct kvduse *kv)
{
	if (kv->vqs) {
		loop_timer_cancel(&kv->irq_timer);
		event_free(&kv->irq);
		event_free(&kv->kick);
	}
	free(steal_ptr(kv->vqs));
}
