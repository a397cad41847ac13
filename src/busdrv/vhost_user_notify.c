/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: how a ring's two sides tell each other: kicks, calls and errors.
 *
 * A kick or a call is an eventfd of the front end's, which the device watches or
 * signals itself; or a message, which goes through us; or there is none: then a
 * ring is looked at now and then, or the front end looks.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "busdrv/vhost_user_internal.h"

static bool is_in_band(const struct vhost_user *vu)
{
	return vhost_user_has(vu, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS);
}

static void call_in_band(void *priv, unsigned int events)
{
	struct vhost_user_ring *ring = priv;

	(void)events;
	ring->tells_call = true;
	vhost_user_tell(ring->vu);
}

/* The front end's descriptor; or ours, and we tell it; or none: it polls. */
int vhost_user_ring_set_call(struct vhost_user_ring *ring)
{
	struct vhost_user *vu = ring->vu;
	struct vdpa_callback cb = {
		.trigger_fd = ring->call_fd,
		.is_trusted = vu->is_trusted,
	};
	bool is_ours = is_in_band(vu) && ring->call_fd < 0 &&
		       !ring->has_no_call;
	int r = 0;

	if (is_ours && !ring->call.watch) {
		r = event_new(&ring->call, vu->loop, call_in_band, ring);
	}
	if (r < 0) {
		return r;
	}
	if (is_ours) {
		cb.trigger_fd = ring->call.fd;
	}
	r = vdpa_set_vq_cb(vu->vdev, ring->idx, &cb);
	if (!is_ours && ring->call.watch) {
		event_free(&ring->call);
	}
	return r;
}

static void control_kick(void *priv, unsigned int events)
{
	struct vhost_user_ring *ring = priv;

	(void)events;
	(void)vdpa_kick_vq(ring->vu->vdev, ring->idx); /* idx is right */
}

int vhost_user_ring_set_kick(struct vhost_user_ring *ring)
{
	int r = vdpa_set_vq_kick_fd(ring->vu->vdev, ring->idx, ring->kick_fd);

	ring->kick_watch = loop_watch_free(ring->kick_watch);
	if (r == -EOPNOTSUPP && ring->kick_fd >= 0) {
		r = loop_watch_new(ring->vu->loop, ring->kick_fd,
				   LOOP_IN | LOOP_EDGE, control_kick, ring,
				   &ring->kick_watch);
	}
	return r == -EOPNOTSUPP ? 0 : r;
}

/*
 * Whoever was here before us may have died between using buffers and saying
 * so; nobody else would say it, and the driver would wait.
 */
void vhost_user_ring_call_after_crash(struct vhost_user_ring *ring)
{
	struct vhost_user *vu = ring->vu;

	if (!vu->inflight) {
		return;
	}
	loop_signal(vu->loop, ring->call_fd);
	if (ring->call.watch) {
		ring->tells_call = true;
		vhost_user_tell(vu);
	}
}

void vhost_user_rings_poll(void *priv)
{
	struct vhost_user *vu = priv;
	bool goes_on = false;

	for (uint32_t i = 0; i < vu->n_rings; i++) {
		if (vu->rings[i].is_running && vu->rings[i].is_polled) {
			(void)vdpa_kick_vq(vu->vdev, i); /* idx is right */
			goes_on = true;
		}
	}
	if (goes_on) {
		(void)loop_timer_set(&vu->poll, VHOST_USER_POLL_NS);
	}
}

/* ---- messages ---- */

int vhost_user_vring_kick(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	const struct vhost_vring_state *s = &msg->payload.state;
	struct vhost_user_ring *ring;
	int r = vhost_user_find_ring(vu, s->index, &ring);

	if (r == 0 && s->num != 0) {
		r = err(-EINVAL, "kick ring %u: %u", s->index, s->num);
	}
	if (r < 0) {
		return r;
	}
	ring->is_started = true;
	r = vhost_user_ring_update(ring);
	return r < 0 || !ring->is_running ? r
					  : vdpa_kick_vq(vu->vdev, ring->idx);
}

/* What can be written to without harm: user-mode Linux gives us a pipe. */
static bool is_signal_fd(int fd)
{
	struct stat st;

	return fd_is_eventfd(fd) ||
	       (fstat(fd, &st) == 0 &&
		(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)));
}

/* The ring and the descriptor, or -1, of SET_VRING_KICK, CALL or ERR. */
static int take_fd(struct vhost_user *vu, struct vhost_user_msg *msg,
		   bool (*is_right)(int fd), struct vhost_user_ring **ret_ring,
		   int *ret_fd)
{
	uint64_t u64 = msg->payload.u64;
	bool has_fd = !(u64 & VHOST_USER_VRING_NOFD);
	int r = vhost_user_find_ring(vu, u64 & VHOST_USER_VRING_IDX_MASK,
				     ret_ring);

	if (r < 0) {
		return r;
	}
	if (has_fd != (msg->n_fds == 1)) {
		return err(-EPROTO, "0x%llx with %u descriptors",
			   (unsigned long long)u64, msg->n_fds);
	}
	if (has_fd && !is_right(msg->fds[0])) {
		return err(-EINVAL, "ring %u: not an eventfd",
			   (*ret_ring)->idx);
	}
	*ret_fd = has_fd ? steal_fd(&msg->fds[0]) : -1;
	return 0;
}

int vhost_user_set_vring_kick(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	struct vhost_user_ring *ring;
	int old, fd, r;

	r = take_fd(vu, msg, fd_is_eventfd, &ring, &fd);
	if (r < 0) {
		return r;
	}
	old = ring->kick_fd;
	ring->kick_fd = fd;
	ring->is_polled = fd < 0;
	ring->is_started = true;
	if (ring->is_running) {
		r = vhost_user_ring_set_kick(ring);
		vhost_user_rings_poll(vu);
	} else {
		r = vhost_user_ring_update(ring);
	}
	(void)close_fd(old);
	return r;
}

int vhost_user_set_vring_call(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	struct vhost_user_ring *ring;
	int old, fd, r;

	r = take_fd(vu, msg, is_signal_fd, &ring, &fd);
	if (r < 0) {
		return r;
	}
	old = ring->call_fd;
	ring->call_fd = fd;
	ring->has_no_call = fd < 0;
	r = ring->is_running ? vhost_user_ring_set_call(ring) : 0;
	if (r == 0 && ring->is_running) {
		vhost_user_ring_call_after_crash(ring);
	}
	(void)close_fd(old);
	return r;
}

int vhost_user_set_vring_err(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	struct vhost_user_ring *ring;
	int fd, r;

	r = take_fd(vu, msg, is_signal_fd, &ring, &fd);
	if (r < 0) {
		return r;
	}
	(void)close_fd(ring->err_fd);
	ring->err_fd = fd;
	return 0;
}
