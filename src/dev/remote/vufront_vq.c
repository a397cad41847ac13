/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user front end: virtqueues.
 *
 * A queue runs in the back end from its last message (KICK, or ENABLE) until
 * GET_VRING_BASE is answered. The specification lets that answer wait until
 * nothing is in flight; not every back end does (qemu-storage-daemon of QEMU
 * 7.2 goes on with what it has begun), so a split ring is looked at until all
 * that was taken from it is back.
 *
 * Kicks and calls are the client's own eventfds, except: kicks of a client whose
 * messages its buffers may overtake are passed on by a worker, when the back
 * end knows of what they are in; and a callback that has no eventfd is called
 * by a worker, which watches one of ours.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/cleanup.h"
#include "dev/remote/vufront_internal.h"

#define LOOK_NS	    1000000ULL /* at a ring that is stopping, that often */
#define PATIENCE_NS 1000000000ULL
#define PACKED_IDX  0x7fffU
#define PACKED_WRAP 0x8000U

static bool is_packed(const struct vufront_dev *dev)
{
	return has_bit(dev->driver_features, VIRTIO_F_RING_PACKED);
}

/* ---- messages ---- */

static int post_state(struct vufront_vq *vq, uint32_t request, uint32_t num)
{
	const struct vhost_vring_state state = { vq->idx, num };
	const struct vufront_request req = { request, &state, sizeof(state) };

	return vufront_post(vq->dev, &req);
}

/* @fd: -1: none */
static int post_fd(struct vufront_vq *vq, uint32_t request, int fd)
{
	uint64_t u64 = vq->idx | (fd < 0 ? VHOST_USER_VRING_NOFD : 0);
	const struct vufront_request req = { request, &u64, sizeof(u64), &fd,
					     fd >= 0 };

	return vufront_post(vq->dev, &req);
}

static int kick_fd_of(const struct vufront_vq *vq)
{
	return vq->client_kick_fd >= 0 && !vq->is_gated ? vq->client_kick_fd
							: vq->kick_fd;
}

static int call_fd_of(const struct vufront_vq *vq)
{
	if (vq->cb.trigger_fd >= 0) {
		return vq->cb.trigger_fd;
	}
	return vq->cb.callback ? vq->call_fd : -1;
}

static void update_kick(struct vufront_vq *vq)
{
	if (vq->is_running) { /* if that fails, it is lost */
		(void)post_fd(vq, VHOST_USER_SET_VRING_KICK, kick_fd_of(vq));
	}
}

static void update_call(struct vufront_vq *vq)
{
	if (vq->is_running) { /* as above */
		(void)post_fd(vq, VHOST_USER_SET_VRING_CALL, call_fd_of(vq));
	}
}

/* ---- on the worker ---- */

static void kicked(void *priv, unsigned int events)
{
	struct vufront_vq *vq = priv;

	(void)events;
	if (vq->gate.is_behind && vq->gate.is_behind(vq->gate.priv)) {
		return; /* kick_vq() comes when the back end was told of all */
	}
	(void)eventfd_write(vq->kick_fd, 1); /* full is as good */
}

static void called(void *priv, unsigned int events)
{
	struct vufront_vq *vq = priv;

	(void)events;
	if (vq->called.callback) {
		vq->called.callback(vq->called.priv);
	}
}

struct change {
	struct vufront_vq *vq;
	int fd; /* to watch for kicks; -1: none */
	struct vdpa_gate gate;
	struct vdpa_callback called;
	int ret;
};

static void change_on_worker(void *priv)
{
	struct change *c = priv;
	struct vufront_vq *vq = c->vq;

	vq->gate = c->gate;
	vq->called = c->called;
	vq->kick_watch = loop_watch_free(vq->kick_watch);
	if (c->fd >= 0) {
		c->ret = loop_watch_new(vq->worker, c->fd, LOOP_IN | LOOP_EDGE,
					kicked, vq, &vq->kick_watch);
	}
	if (!c->called.callback) {
		vq->call_watch = loop_watch_free(vq->call_watch);
	} else if (!vq->call_watch && c->ret == 0) {
		c->ret = loop_watch_new(vq->worker, vq->call_fd,
					LOOP_IN | LOOP_EDGE, called, vq,
					&vq->call_watch);
	}
}

/* What the worker does for the queue, as control has it now. */
static int update_worker(struct vufront_vq *vq)
{
	struct change c = { .vq = vq, .fd = -1 };
	bool has_callback = vq->cb.trigger_fd < 0 && vq->cb.callback;

	if (vq->is_gated) {
		c.gate = vq->dev->gate;
		c.fd = vq->client_kick_fd;
	}
	if (has_callback) {
		c.called = vq->cb;
	}
	if (!vq->has_worker && c.fd < 0 && !has_callback) {
		return 0;
	}
	vq->has_worker = vq->is_gated || has_callback;
	loop_call_wait(vq->worker, change_on_worker, &c);
	return c.ret;
}

/* ---- where a queue stands ---- */

static uint32_t encode(bool packed, const struct vdpa_vq_state *s)
{
	if (!packed) {
		return s->avail_idx;
	}
	return (s->avail_idx & PACKED_IDX) | (s->avail_wrap ? PACKED_WRAP : 0) |
	       (uint32_t)(s->used_idx & PACKED_IDX) << 16 |
	       (s->used_wrap ? PACKED_WRAP << 16 : 0);
}

/* A back end says what it likes: what does not belong there is cut off. */
static struct vdpa_vq_state decode(bool packed, uint32_t num)
{
	struct vdpa_vq_state s = { .avail_idx = (uint16_t)num };

	if (packed) {
		s.avail_idx = num & PACKED_IDX;
		s.avail_wrap = num & PACKED_WRAP;
		s.used_idx = (num >> 16) & PACKED_IDX;
		s.used_wrap = (num >> 16) & PACKED_WRAP;
	}
	return s;
}

/* Return: is there a number to read? */
static bool read_used(const struct vufront_vq *vq, uint16_t *ret)
{
	const struct iotlb_snap *map = vq->dev->map;
	uint16_t idx;

	if (!map || vq->device_area > UINT64_MAX - 4 ||
	    mem_read(map, vq->device_area + 2, &idx, sizeof(idx)) < 0) {
		return false;
	}
	*ret = le16toh(idx);
	return true;
}

/* ---- stopping ---- */

static void look_again(void *priv)
{
	struct vufront_dev *dev = priv;

	vdpa_wake(dev->waiter);
}

/* Until what was taken from the ring is back, as long as any of it comes. */
static int settle(struct vufront_vq *vq)
{
	struct vufront_dev *dev = vq->dev;
	uint64_t since_ns = loop_now_ns(dev->control);
	uint16_t used = 0, last = 0;
	struct loop_timer timer;
	int r = 0;

	if (is_packed(dev) || !read_used(vq, &last)) {
		return 0;
	}
	loop_timer_init(&timer, dev->control, look_again, dev);
	while (r == 0 && read_used(vq, &used) && used != vq->state.avail_idx) {
		uint64_t now = loop_now_ns(dev->control);

		if (used != last) {
			last = used;
			since_ns = now;
		}
		if (now - since_ns >= PATIENCE_NS) {
			r = err(-ETIMEDOUT,
				"%s.vq%u: the back end keeps %u buffers",
				dev->name, vq->idx,
				(uint16_t)(vq->state.avail_idx - used));
		} else {
			r = loop_timer_set(&timer, LOOK_NS);
		}
		if (r == 0) {
			r = vdpa_wait(dev->waiter);
		}
	}
	loop_timer_cancel(&timer);
	return r;
}

int vufront_vq_stop(struct vufront_vq *vq)
{
	struct vufront_dev *dev = vq->dev;
	const struct vhost_vring_state state = { vq->idx, 0 };
	const struct vufront_request req = { VHOST_USER_GET_VRING_BASE, &state,
					     sizeof(state) };
	struct vufront_answer a;
	int r;

	if (!vq->is_running) {
		return 0;
	}
	vq->is_running = false;
	r = vufront_ask(dev, &req, &a);
	if (r < 0) {
		return r;
	}
	if (a.payload.state.index != vq->idx) {
		dev->stats.n_bad++;
		return err(-EPROTO, "%s.vq%u: the back end answered for %u",
			   dev->name, vq->idx, a.payload.state.index);
	}
	vq->state = decode(is_packed(dev), a.payload.state.num);
	return settle(vq);
}

/* ---- starting ---- */

/* Rings have to be in what the back end can see. */
static int check_areas(const struct vufront_vq *vq)
{
	const struct vufront_dev *dev = vq->dev;
	uint64_t n = vq->num, driver = 6 + 2 * n, device = 6 + 8 * n;

	if (is_packed(dev)) {
		driver = sizeof(struct vring_packed_desc_event);
		device = driver;
	}
	if (vufront_mem_has(dev, vq->desc_area, 16 * n) &&
	    vufront_mem_has(dev, vq->driver_area, driver) &&
	    vufront_mem_has(dev, vq->device_area, device)) {
		return 0;
	}
	return err(-EFAULT,
		   "%s.vq%u: its ring is in no memory that can be shared with "
		   "the back end: let the client have memory with a file "
		   "(memfd), or add the device with bounce=on",
		   dev->name, vq->idx);
}

int vufront_vq_start(struct vufront_vq *vq)
{
	struct vufront_dev *dev = vq->dev;
	const struct vhost_vring_addr addr = {
		.index = vq->idx,
		.desc_user_addr = vq->desc_area,
		.avail_user_addr = vq->driver_area,
		.used_user_addr = vq->device_area,
	};
	const struct vufront_request set_addr = { VHOST_USER_SET_VRING_ADDR,
						  &addr, sizeof(addr) };
	int r;

	/* QEMU enables every queue, also those that its guest does not use. */
	if (vq->num == 0) {
		return 0;
	}
	r = check_areas(vq);
	if (r == 0) {
		r = post_state(vq, VHOST_USER_SET_VRING_NUM, vq->num);
	}
	if (r == 0) {
		r = post_state(vq, VHOST_USER_SET_VRING_BASE,
			       encode(is_packed(dev), &vq->state));
	}
	if (r == 0) {
		r = vufront_post(dev, &set_addr);
	}
	if (r == 0) {
		r = post_fd(vq, VHOST_USER_SET_VRING_CALL, call_fd_of(vq));
	}
	if (r == 0) {
		r = post_fd(vq, VHOST_USER_SET_VRING_KICK, kick_fd_of(vq));
	}
	if (r == 0 &&
	    has_bit(dev->facts.features, VHOST_USER_F_PROTOCOL_FEATURES)) {
		r = post_state(vq, VHOST_USER_SET_VRING_ENABLE, 1);
	}
	vq->is_running = r == 0;
	return r;
}

int vufront_vq_restart(struct vufront_vq *vq)
{
	int r = vufront_vq_start(vq);

	if (r == 0) {
		loop_signal(vq->dev->control, kick_fd_of(vq));
	}
	return r;
}

/* ---- ops ---- */

void vufront_set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready)
{
	struct vufront_dev *dev = vufront_dev_of(vdev);
	struct vufront_vq *vq = vufront_vq_of(vdev, idx);
	int r = 0;

	if (vq->is_ready == ready) {
		return;
	}
	vq->is_ready = ready;
	if (!dev->is_started || dev->is_suspended) {
		return;
	}
	r = ready ? vufront_vq_restart(vq) : vufront_vq_stop(vq);
	if (r < 0) {
		vufront_lose(dev, err_text(r));
	}
}

/* The only question that is answered stops the queue, too. */
int vufront_get_vq_state(struct vdpa_device *vdev, uint16_t idx,
			 struct vdpa_vq_state *ret_state)
{
	struct vufront_vq *vq = vufront_vq_of(vdev, idx);
	bool was_running = vq->is_running;
	int r = vufront_vq_stop(vq);

	if (r == 0) {
		*ret_state = vq->state;
		r = was_running ? vufront_vq_restart(vq) : 0;
	}
	if (r < 0) {
		vufront_lose(vq->dev, err_text(r));
		return -EIO;
	}
	return 0;
}

void vufront_kick_vq(struct vdpa_device *vdev, uint16_t idx)
{
	const struct vufront_vq *vq = vufront_vq_of(vdev, idx);

	loop_signal(vq->dev->control, kick_fd_of(vq));
}

int vufront_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd)
{
	struct vufront_vq *vq = vufront_vq_of(vdev, idx);
	int r;

	if (vq->client_kick_fd < 0 && fd < 0) {
		return 0;
	}
	vq->client_kick_fd = fd;
	r = update_worker(vq);
	if (r < 0) {
		vq->client_kick_fd = -1;
	}
	update_kick(vq);
	return r;
}

void vufront_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
		       const struct vdpa_callback *cb)
{
	struct vufront_vq *vq = vufront_vq_of(vdev, idx);
	int r;

	vq->cb = *cb;
	r = update_worker(vq);
	if (r < 0) {
		log_warn(vq->dev->name,
			 "ignoring that calls of queue %u are lost: %s", idx,
			 err_text(r));
	}
	update_call(vq);
}

void vufront_set_gate(struct vdpa_device *vdev, const struct vdpa_gate *gate)
{
	struct vufront_dev *dev = vufront_dev_of(vdev);
	uint64_t features;

	dev->gate = gate ? *gate : (struct vdpa_gate){ 0 };
	for (uint32_t i = 0; i < vdev->nvqs; i++) {
		struct vufront_vq *vq = &dev->vqs[i];
		int r;

		vq->is_gated = gate != NULL;
		r = update_worker(vq);
		if (r < 0) {
			log_warn(dev->name,
				 "ignoring that kicks of queue %u are lost: %s",
				 i, err_text(r));
		}
		update_kick(vq);
	}
	if (gate && dev->is_started) { /* until it looks elsewhere */
		(void)vufront_get_u64(dev, VHOST_USER_GET_FEATURES, &features);
	}
}

/* ---- life ---- */

static int make_fd(int *ret_fd)
{
	*ret_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *ret_fd < 0 ? err(-errno, "eventfd: %s", strerror(errno)) : 0;
}

int vufront_vq_init(struct vufront_vq *vq, struct vufront_dev *dev,
		    uint16_t idx)
{
	int r;

	vq->dev = dev;
	vq->idx = idx;
	vq->worker = vdpa_bus_pick_worker(dev->mgmt->bus);
	vq->cb.trigger_fd = -1;
	vq->client_kick_fd = -1;
	vq->call_fd = -1;
	r = make_fd(&vq->kick_fd);
	return r < 0 ? r : make_fd(&vq->call_fd);
}

void vufront_vq_clear(struct vufront_vq *vq)
{
	vq->is_running = false;
	vq->is_ready = false;
	vq->num = 0;
	vq->desc_area = 0;
	vq->driver_area = 0;
	vq->device_area = 0;
	memset(&vq->state, 0, sizeof(vq->state));
	vq->cb = (struct vdpa_callback){ .trigger_fd = -1 };
	vq->client_kick_fd = -1;
	(void)update_worker(vq); /* less to watch: that does not fail */
}

void vufront_vq_fini(struct vufront_vq *vq)
{
	vq->is_gated = false;
	vufront_vq_clear(vq);
	vq->kick_fd = close_fd(vq->kick_fd);
	vq->call_fd = close_fd(vq->call_fd);
}
