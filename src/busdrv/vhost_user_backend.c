/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: the back-end channel, on which we tell the front end things.
 *
 * What there is to tell is kept as flags and a short list, not as a queue of
 * messages: the configuration has changed (however often), ring 3 has used
 * buffers, an address is missing. So a front end that does not read costs no
 * memory, and what it reads at last is what is true then. One message is on its
 * way at a time; in-band notifications wait for their acknowledgement, too.
 *
 * Devices tell us of such things on their own threads: by eventfds of ours.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "busdrv/vhost_user_internal.h"

#define HEADER sizeof(struct vhost_user_header)

/* ---- the socket ---- */

void vhost_user_channel_close(struct vhost_user *vu)
{
	struct vhost_user_channel *ch = &vu->channel;

	ch->watch = loop_watch_free(ch->watch);
	ch->fd = close_fd(ch->fd);
	ch->out.reply_fd = -1;
	ch->n_out = 0;
	ch->n_in = 0;
	ch->awaits_reply = false;
}

static void put(struct vhost_user_channel *ch, uint32_t request, uint32_t size)
{
	ch->out.hdr =
		(struct vhost_user_header){ request, VHOST_USER_VERSION, size };
	ch->n_out = HEADER + size;
	ch->out_done = 0;
	ch->out.reply_fd = -1;
}

static bool put_ring(struct vhost_user *vu, uint32_t request, uint16_t idx)
{
	struct vhost_user_channel *ch = &vu->channel;

	ch->out.payload.state = (struct vhost_vring_state){ .index = idx };
	put(ch, request, sizeof(ch->out.payload.state));
	if (vhost_user_has(vu, VHOST_USER_PROTOCOL_F_REPLY_ACK)) {
		ch->out.hdr.flags |= VHOST_USER_NEED_REPLY;
		ch->awaits_reply = true;
	}
	return true;
}

/* The doorbell is the device's own descriptor: it is not closed. */
static bool put_notifier(struct vhost_user *vu, struct vhost_user_ring *ring)
{
	struct vhost_user_channel *ch = &vu->channel;
	struct vdpa_notification_area area;

	ring->tells_notifier = false;
	if (vdpa_get_vq_notification(vu->vdev, ring->idx, &area) < 0) {
		return false;
	}
	ch->out.payload.area = (struct vhost_user_vring_area){
		.u64 = ring->idx,
		.size = area.size_bytes,
		.offset = area.offset,
	};
	put(ch, VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG,
	    sizeof(ch->out.payload.area));
	ch->out.reply_fd = area.fd;
	return true;
}

static bool put_something_of(struct vhost_user *vu,
			     struct vhost_user_ring *ring)
{
	if (ring->tells_notifier && put_notifier(vu, ring)) {
		return true;
	}
	if (ring->tells_call) {
		ring->tells_call = false;
		return put_ring(vu, VHOST_USER_BACKEND_VRING_CALL, ring->idx);
	}
	if (ring->tells_err) {
		ring->tells_err = false;
		return put_ring(vu, VHOST_USER_BACKEND_VRING_ERR, ring->idx);
	}
	return false;
}

/* Makes the next message of what there is to tell. Return: is there one? */
static bool put_something(struct vhost_user *vu)
{
	struct vhost_user_channel *ch = &vu->channel;

	if (vhost_user_next_miss(vu, &ch->out.payload.iotlb)) {
		put(ch, VHOST_USER_BACKEND_IOTLB_MSG,
		    sizeof(ch->out.payload.iotlb));
		return true;
	}
	for (uint32_t i = 0; i < vu->n_rings; i++) {
		if (put_something_of(vu, &vu->rings[i])) {
			return true;
		}
	}
	if (ch->tells_config) {
		ch->tells_config = false;
		put(ch, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0);
		return true;
	}
	return false;
}

/* Return: 0; -EAGAIN; -errno */
static int send_some(struct vhost_user_channel *ch)
{
	size_t in_header = min_of(ch->out_done, HEADER);
	size_t in_payload = ch->out_done - in_header;
	struct iovec iov[2] = {
		{ (char *)&ch->out.hdr + in_header, HEADER - in_header },
		{ (char *)&ch->out.payload + in_payload,
		  ch->n_out - HEADER - in_payload },
	};
	struct fd_msg m = {
		.iov = iov,
		.n_iov = 2,
		.fds = { ch->out.reply_fd },
		.n_fds = ch->out.reply_fd >= 0,
	};
	ssize_t n = fd_send(ch->fd, &m, MSG_DONTWAIT);

	if (n < 0) {
		return (int)n;
	}
	ch->out.reply_fd = -1;
	ch->out_done += (size_t)n;
	if (ch->out_done == ch->n_out) {
		ch->n_out = 0;
	}
	return 0;
}

void vhost_user_tell(struct vhost_user *vu)
{
	struct vhost_user_channel *ch = &vu->channel;
	int r = 0;

	if (ch->fd < 0) {
		return; /* it is told when there is one */
	}
	while (r == 0 &&
	       (ch->n_out > 0 || (!ch->awaits_reply && put_something(vu)))) {
		r = send_some(ch);
	}
	if (r == 0 || r == -EAGAIN) {
		r = loop_watch_change(ch->watch,
				      LOOP_IN | (r < 0 ? LOOP_OUT : 0));
	}
	if (r < 0) {
		vhost_user_channel_close(vu);
	}
}

/* ---- replies ---- */

/* Whether it was done is the front end's affair. Return: 1; 0: nothing more;
 * -errno: it is gone, or does not speak our language */
static int take_reply(struct vhost_user_channel *ch)
{
	struct iovec iov = { (char *)&ch->in + ch->n_in,
			     sizeof(ch->in) - ch->n_in };
	struct fd_msg m = { .iov = &iov, .n_iov = 1 };
	ssize_t n = fd_recv(ch->fd, &m, MSG_DONTWAIT);

	if (n <= 0) {
		return n == -EAGAIN ? 0 : n < 0 ? (int)n : -EPIPE;
	}
	fd_msg_close(&m);
	ch->n_in += (size_t)n;
	if (ch->n_in < sizeof(ch->in)) {
		return 1;
	}
	ch->n_in = 0;
	if (!ch->awaits_reply || !(ch->in.hdr.flags & VHOST_USER_REPLY_FLAG) ||
	    ch->in.hdr.size != sizeof(ch->in.u64)) {
		return -EPROTO;
	}
	ch->awaits_reply = false;
	return 1;
}

static void channel_ready(void *priv, unsigned int events)
{
	struct vhost_user *vu = priv;
	int r;

	(void)events;
	do {
		r = take_reply(&vu->channel);
	} while (r > 0);
	if (r < 0) {
		vu->n_bad += r == -EPROTO;
		vhost_user_channel_close(vu);
		return;
	}
	vhost_user_tell(vu);
}

int vhost_user_set_backend_req_fd(struct vhost_user *vu,
				  struct vhost_user_msg *msg)
{
	struct vhost_user_channel *ch = &vu->channel;
	int type;
	socklen_t len = sizeof(type);
	int r;

	if (getsockopt(msg->fds[0], SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_STREAM) {
		return err(-EINVAL, "not a stream socket");
	}
	vhost_user_channel_close(vu);
	r = loop_watch_new(vu->loop, msg->fds[0], LOOP_IN, channel_ready, vu,
			   &ch->watch);
	if (r < 0) {
		return r;
	}
	ch->fd = steal_fd(&msg->fds[0]);
	vhost_user_tell(vu);
	return 0;
}

/* ---- events of the device ---- */

/* The device is broken, and with it every ring. */
static void tell_errors(struct vhost_user *vu)
{
	bool in_band =
		vhost_user_has(vu, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS);

	vu->is_broken = true;
	for (uint32_t i = 0; i < vu->n_rings; i++) {
		struct vhost_user_ring *ring = &vu->rings[i];

		if (!ring->is_running) {
			continue;
		}
		loop_signal(vu->loop, ring->err_fd);
		ring->tells_err = in_band && ring->err_fd < 0;
	}
}

/* The config interrupt: the config space has changed, or a ring broke. */
static void config_event(void *priv, unsigned int events)
{
	struct vhost_user *vu = priv;

	(void)events;
	if ((vdpa_get_status(vu->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET) &&
	    !vu->is_broken) {
		tell_errors(vu);
	}
	vu->channel.tells_config =
		vhost_user_has(vu, VHOST_USER_PROTOCOL_F_CONFIG);
	vhost_user_tell(vu);
}

int vhost_user_watch_config(struct vhost_user *vu)
{
	struct vdpa_callback cb = { .trigger_fd = -1 };
	int r = event_new(&vu->config, vu->loop, config_event, vu);

	if (r < 0) {
		return r;
	}
	cb.trigger_fd = vu->config.fd;
	return vdpa_set_config_cb(vu->vdev, &cb);
}

void vhost_user_unwatch_config(struct vhost_user *vu)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };

	(void)vdpa_set_config_cb(vu->vdev, &none); /* cannot fail */
	event_free(&vu->config);
}
