/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_vdpa: config ops of virtqueues.
 *
 * Theory of operation
 *
 * The client's eventfds are handed on as they are: a kick wakes the other side,
 * and a call the client, with nobody between. What has no eventfd gets one of
 * ours:
 *
 *   kick_vq()  --> own_kick_fd --> other side        no kick eventfd
 *   kick_fd, watched --> gate? --> own_kick_fd --> other side
 *   other side --> own_call_fd, watched --> callback no call eventfd
 *
 * A gate (struct vdpa_gate) holds kicks back that are ahead of the client's
 * changes of its memory; so they have to come by here as long as there is one.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "dev/remote/rvdpa_internal.h"

/* Of an index in a packed ring's state; the bit above is the wrap counter. */
#define PACKED_IDX_MASK 0x7fff

void rvdpa_vq_init(struct rvdpa_vq *vq, struct rvdpa_dev *dev, uint16_t idx,
		   struct loop *worker)
{
	vq->dev = dev;
	vq->idx = idx;
	vq->worker = worker;
	vq->kick_fd = -1;
	vq->own_kick_fd = -1;
	vq->own_call_fd = -1;
	vq->cb.trigger_fd = -1;
}

/* ---- on the worker ---- */

static void pass_kick(struct rvdpa_vq *vq, struct loop *loop, int fd)
{
	if (vq->gate.is_behind && vq->gate.is_behind(vq->gate.priv)) {
		return; /* kick_vq() comes when it is not */
	}
	__atomic_fetch_add(&vq->n_kicks, 1, __ATOMIC_RELAXED);
	loop_signal(loop, fd);
}

static void kicked(void *priv, unsigned int events)
{
	struct rvdpa_vq *vq = priv;

	(void)events;
	pass_kick(vq, vq->worker, vq->own_kick_fd);
}

static void called(void *priv, unsigned int events)
{
	struct rvdpa_vq *vq = priv;

	(void)events;
	__atomic_fetch_add(&vq->n_calls, 1, __ATOMIC_RELAXED);
	if (vq->cb.callback) {
		vq->cb.callback(vq->cb.priv);
	}
}

/* What the worker is to watch from now on. */
struct change {
	struct rvdpa_vq *vq;
	struct vdpa_callback cb;
	struct vdpa_gate gate;
	int kick_fd;
	int call_fd;
	int ret;
};

static void change_kick(void *priv)
{
	struct change *change = priv;
	struct rvdpa_vq *vq = change->vq;

	vq->kick_watch = loop_watch_free(vq->kick_watch);
	vq->gate = change->gate;
	if (change->kick_fd >= 0) {
		change->ret = loop_watch_new(vq->worker, change->kick_fd,
					     LOOP_IN | LOOP_EDGE, kicked, vq,
					     &vq->kick_watch);
	}
}

static void change_call(void *priv)
{
	struct change *change = priv;
	struct rvdpa_vq *vq = change->vq;

	vq->call_watch = loop_watch_free(vq->call_watch);
	vq->cb = change->cb;
	if (change->call_fd >= 0) {
		change->ret = loop_watch_new(vq->worker, change->call_fd,
					     LOOP_IN | LOOP_EDGE, called, vq,
					     &vq->call_watch);
	}
}

static int make_fd(int *fd)
{
	if (*fd < 0) {
		*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	return *fd < 0 ? err(-errno, "eventfd: %s", strerror(errno)) : 0;
}

/* ---- to the other side ---- */

/* Hands an eventfd on; -1 takes it back. The job's is a duplicate: it may be
 * done when the caller has closed his. */
static int send_fd(struct rvdpa_vq *vq, unsigned long cmd, int fd)
{
	struct rvdpa_job *job = rvdpa_ioctl_job(cmd);

	if (job && fd >= 0) {
		job->dup_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (job->dup_fd < 0) {
			int code = errno;

			rvdpa_job_free(job);
			return err(-code, "an eventfd: %s", strerror(code));
		}
	}
	if (job) {
		job->arg.file.index = vq->idx;
		job->arg.file.fd = job->dup_fd;
	}
	return rvdpa_run(vq->dev, job, NULL);
}

static int send_kick_fd(struct rvdpa_vq *vq, int fd)
{
	if (fd < 0 && !vq->has_kick) {
		return 0;
	}
	vq->has_kick = fd >= 0;
	vq->has_own_kick = fd >= 0 && fd == vq->own_kick_fd;
	return send_fd(vq, VHOST_SET_VRING_KICK, fd);
}

static int send_call_fd(struct rvdpa_vq *vq, int fd)
{
	if (fd < 0 && !vq->has_call) {
		return 0;
	}
	vq->has_call = fd >= 0;
	return send_fd(vq, VHOST_SET_VRING_CALL, fd);
}

static int send_state(struct rvdpa_vq *vq, unsigned long cmd, uint32_t num)
{
	struct rvdpa_job *job = rvdpa_ioctl_job(cmd);

	if (job) {
		job->arg.state.index = vq->idx;
		job->arg.state.num = num;
	}
	return rvdpa_run(vq->dev, job, NULL);
}

/* Return: 0; what it says of the queue in *ret_num */
static int ask_state(struct rvdpa_vq *vq, unsigned long cmd, uint32_t *ret_num)
{
	struct rvdpa_job *job = rvdpa_ioctl_job(cmd);
	int r;

	if (job) {
		job->arg.state.index = vq->idx;
	}
	r = rvdpa_run(vq->dev, job, &job);
	if (r == 0) {
		*ret_num = job->arg.state.num;
		rvdpa_job_free(job);
	}
	return r;
}

/* ---- kicks ---- */

/* With a gate, or with nothing to hand on, kicks come by here. */
static int route_kicks(struct rvdpa_vq *vq)
{
	struct change change = { .vq = vq, .kick_fd = -1 };
	int fd = vq->kick_fd, r;

	if (vq->kick_fd >= 0 && vq->dev->gate.is_behind) {
		r = make_fd(&vq->own_kick_fd);
		if (r < 0) {
			return r;
		}
		change.kick_fd = vq->kick_fd;
		change.gate = vq->dev->gate;
		fd = vq->own_kick_fd;
	}
	loop_call_wait(vq->worker, change_kick, &change);
	r = send_kick_fd(vq, fd);
	return r < 0 ? r : change.ret;
}

int rvdpa_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd)
{
	struct rvdpa_vq *vq = rvdpa_vq_of(vdev, idx);

	if (fd < 0 && vq->kick_fd < 0 && !vq->has_kick) {
		return 0;
	}
	vq->kick_fd = fd;
	return route_kicks(vq);
}

/* For whoever has no eventfd: ours is given to the other side, once. */
static int use_own_kick(struct rvdpa_vq *vq)
{
	int r = make_fd(&vq->own_kick_fd);

	if (r == 0 && !vq->has_own_kick) {
		r = send_kick_fd(vq, vq->own_kick_fd);
	}
	return r;
}

void rvdpa_kick_vq(struct vdpa_device *vdev, uint16_t idx)
{
	struct rvdpa_vq *vq = rvdpa_vq_of(vdev, idx);
	const struct vdpa_gate *gate = &vq->dev->gate;
	bool is_direct = vq->kick_fd >= 0 && !gate->is_behind;

	if (gate->is_behind && gate->is_behind(gate->priv)) {
		return;
	}
	if (!is_direct && use_own_kick(vq) < 0) {
		return;
	}
	__atomic_fetch_add(&vq->n_kicks, 1, __ATOMIC_RELAXED);
	loop_signal(vq->dev->control,
		    is_direct ? vq->kick_fd : vq->own_kick_fd);
}

void rvdpa_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate)
{
	struct rvdpa_dev *dev = rvdpa_dev_of(vdev);
	int r;

	dev->gate = gate ? *gate : (struct vdpa_gate){ 0 };
	for (uint32_t i = 0; i < dev->facts->nvqs; i++) {
		struct rvdpa_vq *vq = &dev->vqs[i];

		r = vq->kick_fd >= 0 ? route_kicks(vq) : 0;
		if (r < 0) {
			log_debug(vdev->name, "kicks of queue %u: %s", i,
				  err_text(r));
			rvdpa_note(dev, r);
		}
	}
}

/* ---- calls ---- */

static int watch_calls(struct rvdpa_vq *vq, const struct vdpa_callback *cb,
		       bool is_watched)
{
	struct change change = { .vq = vq, .cb = *cb, .call_fd = -1 };

	if (is_watched) {
		change.ret = make_fd(&vq->own_call_fd);
		change.call_fd = vq->own_call_fd;
	}
	if (change.ret == 0) {
		loop_call_wait(vq->worker, change_call, &change);
	}
	return change.ret;
}

void rvdpa_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		     const struct vdpa_callback *cb)
{
	struct rvdpa_vq *vq = rvdpa_vq_of(vdev, idx);
	bool is_watched = cb->callback && cb->trigger_fd < 0;
	int r = watch_calls(vq, cb, is_watched);

	if (r == 0) {
		r = send_call_fd(vq,
				 is_watched ? vq->own_call_fd : cb->trigger_fd);
	}
	rvdpa_note(vq->dev, r);
}

/* ---- rings ---- */

int rvdpa_set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			 uint64_t desc_area, uint64_t driver_area,
			 uint64_t device_area)
{
	struct rvdpa_job *job = rvdpa_ioctl_job(VHOST_SET_VRING_ADDR);

	if (job) {
		job->arg.addr = (struct vhost_vring_addr){
			.index = idx,
			.desc_user_addr = desc_area,
			.avail_user_addr = driver_area,
			.used_user_addr = device_area,
		};
	}
	return rvdpa_run(rvdpa_dev_of(vdev), job, NULL);
}

void rvdpa_set_vq_num(struct vdpa_device *vdev, uint16_t idx, uint32_t num)
{
	struct rvdpa_vq *vq = rvdpa_vq_of(vdev, idx);

	vq->num = (uint16_t)num;
	rvdpa_note(vq->dev, send_state(vq, VHOST_SET_VRING_NUM, num));
}

uint16_t rvdpa_get_vq_size(struct vdpa_device *vdev, uint16_t idx)
{
	struct rvdpa_vq *vq = rvdpa_vq_of(vdev, idx);
	uint32_t num;

	if (vdpa_can_wait(vq->dev->waiter) &&
	    ask_state(vq, VHOST_VDPA_GET_VRING_SIZE, &num) == 0 &&
	    num <= RVDPA_NUM_MAX) {
		return (uint16_t)num;
	}
	return vq->num > 0 ? vq->num : vq->dev->facts->num_max;
}

void rvdpa_set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready)
{
	struct rvdpa_vq *vq = rvdpa_vq_of(vdev, idx);
	int r = send_state(vq, VHOST_VDPA_SET_VRING_ENABLE, ready);

	rvdpa_note(vq->dev, r);
	if (r == 0 || !ready) {
		vq->is_ready = ready;
	}
}

bool rvdpa_get_vq_ready(struct vdpa_device *vdev, uint16_t idx)
{
	return rvdpa_vq_of(vdev, idx)->is_ready;
}

static bool is_packed(const struct rvdpa_dev *dev)
{
	return has_bit(dev->driver_features, VIRTIO_F_RING_PACKED);
}

int rvdpa_set_vq_state(struct vdpa_device *vdev, uint16_t idx,
		       const struct vdpa_vq_state *state)
{
	struct rvdpa_vq *vq = rvdpa_vq_of(vdev, idx);
	uint32_t num = state->avail_idx;

	if (is_packed(vq->dev)) {
		num = (num & PACKED_IDX_MASK) |
		      (uint32_t)state->avail_wrap << 15 |
		      (uint32_t)(state->used_idx & PACKED_IDX_MASK) << 16 |
		      (uint32_t)state->used_wrap << 31;
	}
	return send_state(vq, VHOST_SET_VRING_BASE, num);
}

/* What does not belong there is cut off. */
int rvdpa_get_vq_state(struct vdpa_device *vdev, uint16_t idx,
		       struct vdpa_vq_state *ret_state)
{
	struct rvdpa_vq *vq = rvdpa_vq_of(vdev, idx);
	uint32_t num = 0;
	int r = ask_state(vq, VHOST_GET_VRING_BASE, &num);

	if (r < 0) {
		return r;
	}
	ret_state->avail_idx = (uint16_t)num;
	if (is_packed(vq->dev)) {
		ret_state->avail_idx = num & PACKED_IDX_MASK;
		ret_state->avail_wrap = (num >> 15) & 1;
		ret_state->used_idx = (num >> 16) & PACKED_IDX_MASK;
		ret_state->used_wrap = num >> 31;
	}
	return 0;
}

/* ---- the end of it ---- */

/* The other side keeps its eventfds until it is given others, or none: who lent
 * them takes them back. */
void rvdpa_vq_reset(struct rvdpa_vq *vq)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };
	struct change change = { .vq = vq, .kick_fd = -1 };

	loop_call_wait(vq->worker, change_kick, &change);
	(void)watch_calls(vq, &none, false);
	vq->kick_fd = -1;
	vq->is_ready = false;
	vq->num = 0;
}

void rvdpa_vq_fini(struct rvdpa_vq *vq)
{
	rvdpa_vq_reset(vq);
	vq->own_kick_fd = close_fd(vq->own_kick_fd);
	vq->own_call_fd = close_fd(vq->own_call_fd);
}
