/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfio-user: the socket.
 *
 * One client at a time. A second one is refused, unless the first has hung up
 * (that news may come later than its successor) or never said anything. What a
 * message lacks must come within a deadline, and so must the room for an
 * answer: a client that does neither is cut off. A silent one between messages
 * is fine: that is how most of them spend their lives.
 *
 * A command may have to wait for the device (window.h); until then the socket is
 * not read, and what was heard of it is looked at afterwards. So may the end of a
 * session: the next client waits in the listening socket meanwhile.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/vfio_user_internal.h"

/* Messages that one look at the socket takes, so that others have a turn. */
#define BURST 16

#define HEADER sizeof(struct vfio_user_header)

/* ---- the session ---- */

static void close_fds(struct vfio_user_msg *msg)
{
	for (unsigned int i = 0; i < msg->n_fds; i++) {
		msg->fds[i] = close_fd(msg->fds[i]);
	}
	msg->n_fds = 0;
}

/* As the last thing that is done with @vu: it may be freed. */
static void settle(struct vfio_user *vu)
{
	struct vdpa_device *vdev = vu->vdev;

	if (vu->is_leaving && !vfio_user_has_session(vu)) {
		vfio_user_destroy(vu);
		vdpa_removed(vdev);
	}
}

/* Neither fails: it changes nothing but bits. */
static void hear(struct loop_watch *watch, unsigned int events)
{
	if (watch) {
		(void)loop_watch_change(watch, events);
	}
}

static void has_ended(struct window_op *op)
{
	struct vfio_user *vu = container_of(op, struct vfio_user, end_op);

	vu->is_ending = false;
	if (op->result < 0) {
		log_warn(vu->vdev->name, "ignoring that its reset failed: %s",
			 err_text(op->result));
	}
	hear(vu->listen_watch, LOOP_IN);
	settle(vu);
}

/* What the connection holds, but for the device's part of it. */
static void drop_session(struct vfio_user *vu)
{
	vu->watch = loop_watch_free(vu->watch);
	loop_timer_cancel(&vu->deadline);
	if (vu->is_waiting) {
		vu->is_handling = true; /* nobody wants to hear of it */
		window_cancel(virtio_pci_window(vu->pci), &vu->op);
		vu->is_handling = false;
	}
	vfio_user_op_drop(vu);
	close_fds(&vu->in);
	vu->n_in = 0;
	vu->n_out = 0;
	virtio_pci_disconnect(vu->pci);
	vfio_user_dma_drop(vu);
	vu->has_version = false;
	vu->fd = close_fd(vu->fd);
	log_info(vu->vdev->name, "the vfio-user client on %s is gone",
		 vu->path);
}

/* The client is gone, or cut off. @vu may be gone when this returns. */
static void end_session(struct vfio_user *vu)
{
	drop_session(vu);
	vu->is_ending = true;
	hear(vu->listen_watch, LOOP_EDGE);
	vu->end_op.done = has_ended;
	window_end(virtio_pci_window(vu->pci), &vu->end_op);
}

static void missed_deadline(struct vfio_user *vu)
{
	vu->n_bad++;
	log_warn(vu->vdev->name,
		 "vfio-user: the client's message or our answer hangs: "
		 "closing");
	end_session(vu);
}

/* ---- sending ---- */

/* Return: 0 sent, or the rest will be; -errno */
static int send_rest(struct vfio_user *vu)
{
	while (vu->out_done < vu->n_out) {
		size_t in_header = min_of(vu->out_done, HEADER);
		size_t in_payload = vu->out_done - in_header;
		struct iovec iov[2] = {
			{ (char *)&vu->out.hdr + in_header,
			  HEADER - in_header },
			{ vu->out.payload + in_payload,
			  vu->n_out - HEADER - in_payload },
		};
		struct fd_msg m = { .iov = iov, .n_iov = 2 };
		ssize_t n;

		if (vu->out_done == 0) {
			m.n_fds = vu->out.n_reply_fds;
			memcpy(m.fds, vu->out.reply_fds, sizeof(m.fds));
		}
		n = fd_send(vu->fd, &m, MSG_DONTWAIT);
		if (n == -EAGAIN) {
			return loop_watch_change(vu->watch, LOOP_OUT);
		}
		if (n < 0) {
			return (int)n;
		}
		vu->out_done += (size_t)n;
	}
	vu->n_out = 0;
	loop_timer_cancel(&vu->deadline);
	return 0;
}

static int send_reply(struct vfio_user *vu, const struct vfio_user_msg *msg)
{
	vu->out.hdr = msg->hdr;
	memcpy(vu->out.payload, msg->payload, msg->reply_size);
	vu->out.n_reply_fds = msg->n_reply_fds;
	memcpy(vu->out.reply_fds, msg->reply_fds, sizeof(msg->reply_fds));
	vu->n_out = HEADER + msg->reply_size;
	vu->out_done = 0;
	(void)loop_timer_set(&vu->deadline, VFIO_USER_MSG_DEADLINE_NS);
	return send_rest(vu);
}

/* ---- receiving ---- */

static int take_fds(struct vfio_user *vu, struct fd_msg *m)
{
	unsigned int n = min_of(m->n_fds, FD_PASS_MAX - vu->in.n_fds);

	memcpy(vu->in.fds + vu->in.n_fds, m->fds, n * sizeof(int));
	vu->in.n_fds += n;
	for (unsigned int i = 0; i < n; i++) {
		m->fds[i] = -1;
	}
	if (n < m->n_fds || m->n_fds_dropped > 0 || m->is_truncated) {
		fd_msg_close(m);
		return err(-EPROTO, "more than %d descriptors in a message",
			   FD_PASS_MAX);
	}
	return 0;
}

/* Bytes up to the end of what is wanted next: the header, then the payload. A
 * byte more could take the next message's descriptors. Return: bytes, 0: the
 * end; -errno */
static ssize_t receive(struct vfio_user *vu)
{
	bool in_header = vu->n_in < HEADER;
	struct iovec iov = {
		in_header ? (uint8_t *)&vu->in.hdr + vu->n_in
			  : vu->in.payload + (vu->n_in - HEADER),
		(in_header ? HEADER : vu->in.hdr.size) - vu->n_in,
	};
	struct fd_msg m = { .iov = &iov, .n_iov = 1 };
	ssize_t n = fd_recv(vu->fd, &m, MSG_DONTWAIT);
	int r;

	if (n < 0) {
		return n;
	}
	r = take_fds(vu, &m);
	if (r < 0) {
		return r;
	}
	if (vu->n_in == 0 && n > 0) {
		(void)loop_timer_set(&vu->deadline, VFIO_USER_MSG_DEADLINE_NS);
	}
	vu->n_in += (size_t)n;
	return n;
}

/* The command in @in is done, with @r. Return: as step() */
static int finish(struct vfio_user *vu, int r)
{
	r = vfio_user_reply(vu, &vu->in, r);
	close_fds(&vu->in);
	vu->n_in = 0;
	if (r > 0) {
		r = send_reply(vu, &vu->in);
	}
	return r < 0 ? r : vu->n_out == 0;
}

static int handle(struct vfio_user *vu)
{
	int r;

	vu->has_spoken = true;
	loop_timer_cancel(&vu->deadline);
	vu->is_handling = true;
	r = vfio_user_dispatch(vu, &vu->in);
	vu->is_handling = false;
	if (r == VFIO_USER_WAITS) {
		hear(vu->watch, LOOP_EDGE);
		return 0;
	}
	return finish(vu, r);
}

/* Return: 1 go on; 0 nothing more now; -errno, or -EPIPE at the end */
static int step(struct vfio_user *vu)
{
	ssize_t n = receive(vu);
	int r;

	if (n <= 0) {
		return n == 0 ? -EPIPE : n == -EAGAIN ? 0 : (int)n;
	}
	if (vu->n_in == HEADER) {
		r = vfio_user_check_header(vu, &vu->in.hdr);
		if (r < 0) {
			return r;
		}
	}
	if (vu->n_in < HEADER || vu->n_in < vu->in.hdr.size) {
		return 1;
	}
	return handle(vu);
}

static void report_end(struct vfio_user *vu, int r)
{
	if (r == -EPIPE || r == -ECONNRESET) {
		if (vu->n_in > 0) {
			vu->n_bad++;
		}
		return;
	}
	vu->n_bad++;
	if (log_allowed(&vu->limit)) {
		log_warn(vu->vdev->name, "vfio-user: closing: %s", err_text(r));
	}
}

/* @r: as of step(), with which it begins. @vu may be gone when this returns. */
static void serve(struct vfio_user *vu, int r)
{
	for (int i = 0; i < BURST && r > 0; i++) {
		r = step(vu);
	}
	if (r < 0) {
		report_end(vu, r);
		end_session(vu);
	}
}

/* The device has done what a command waited for. */
void vfio_user_op_done(struct window_op *op)
{
	struct vfio_user *vu = container_of(op, struct vfio_user, op);
	int r;

	vu->is_waiting = false;
	if (vu->is_handling) {
		return; /* it sees for itself */
	}
	vu->is_handling = true;
	r = vfio_user_resume(vu, &vu->in);
	vu->is_handling = false;
	if (r == VFIO_USER_WAITS) {
		return;
	}
	hear(vu->watch, LOOP_IN);
	r = finish(vu, r);
	serve(vu, min_of(r, 0)); /* the rest when the loop says so */
}

static void is_ready(void *priv, unsigned int events)
{
	struct vfio_user *vu = priv;
	int r = 1;

	(void)events;
	if (vu->is_waiting) {
		return; /* it is told again */
	}
	if (vu->n_out > 0) {
		r = send_rest(vu);
		if (r == 0 && vu->n_out == 0) {
			r = loop_watch_change(vu->watch, LOOP_IN);
		}
		r = r == 0 ? vu->n_out == 0 : r;
	}
	serve(vu, r);
}

static void is_late(void *priv)
{
	missed_deadline(priv);
}

/* ---- connecting ---- */

static int begin_session(struct vfio_user *vu, int fd /* taken on success */)
{
	int r = loop_watch_new(vu->loop, fd, LOOP_IN, is_ready, vu, &vu->watch);

	if (r < 0) {
		return r;
	}
	virtio_pci_connect(vu->pci, unix_peer_is_trusted(fd));
	vu->fd = fd;
	vu->since_ns = loop_now_ns(vu->loop);
	vu->has_spoken = false;
	vu->client_fds = 1; /* until it says otherwise */
	vu->n_sessions++;
	log_info(vu->vdev->name, "a vfio-user client is on %s", vu->path);
	return 0;
}

static bool has_hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

static bool makes_way(const struct vfio_user *vu)
{
	return has_hung_up(vu->fd) ||
	       (!vu->has_spoken &&
		loop_now_ns(vu->loop) - vu->since_ns >= VFIO_USER_SILENCE_NS);
}

static void refuse(struct vfio_user *vu, const char *why)
{
	vu->n_bad++;
	if (log_allowed(&vu->limit)) {
		log_warn(vu->vdev->name, "refusing a client on %s: %s",
			 vu->path, why);
	}
}

static void somebody_comes(void *priv, unsigned int events)
{
	struct vfio_user *vu = priv;
	_cleanup_close_ int fd = -1;
	int r;

	(void)events;
	/* Where workers share our thread, a command may run the loop. */
	if (vu->is_handling) {
		return; /* it is told again */
	}
	if (vu->fd >= 0 && makes_way(vu)) {
		end_session(vu);
	}
	if (vu->is_ending) {
		return; /* the same */
	}
	fd = accept4(vu->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		return; /* it is gone again, or we lack descriptors */
	}
	if (vu->fd >= 0) {
		refuse(vu, "there is one");
		return;
	}
	r = begin_session(vu, fd);
	if (r == 0) {
		(void)steal_fd(&fd);
	} else {
		refuse(vu, err_text(r));
	}
}

/* ---- life ---- */

bool vfio_user_has_session(const struct vfio_user *vu)
{
	return vu->fd >= 0 || vu->is_ending;
}

int vfio_user_open(struct vfio_user *vu)
{
	int r;

	vu->fd = -1;
	loop_timer_init(&vu->deadline, vu->loop, is_late, vu);
	r = unix_listen(vu->path, SOCK_STREAM, vu->mode, &vu->listener);
	if (r < 0) {
		return r;
	}
	r = loop_watch_new(vu->loop, vu->listener.fd, LOOP_IN, somebody_comes,
			   vu, &vu->listen_watch);
	if (r < 0) {
		unix_listen_end(&vu->listener);
	}
	return r;
}

static void stop_accepting(struct vfio_user *vu)
{
	vu->is_leaving = true;
	vu->listen_watch = loop_watch_free(vu->listen_watch);
	unix_listen_end(&vu->listener);
}

void vfio_user_leave(struct vfio_user *vu)
{
	stop_accepting(vu);
	settle(vu);
}

/* Without a session the device is as it should be: it ended, or never began. */
void vfio_user_cut_off(struct vfio_user *vu)
{
	bool has_session = vfio_user_has_session(vu);

	stop_accepting(vu);
	vu->is_leaving = false; /* not before all of it is gone */
	if (vu->fd >= 0) {
		drop_session(vu);
	}
	if (vu->is_ending) {
		window_cancel(virtio_pci_window(vu->pci), &vu->end_op);
	}
	if (has_session) {
		window_cut(virtio_pci_window(vu->pci));
	}
	vu->is_ending = false;
	vu->is_leaving = true;
	settle(vu);
}
