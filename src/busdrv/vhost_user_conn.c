/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: the socket.
 *
 * One front end at a time. A second one is refused, unless the first has hung
 * up (that news may come later than its successor) or never said anything.
 * What a message lacks must come within a deadline, and so must the room for
 * an answer: a front end that does neither is cut off. A silent one between
 * messages is fine: that is how most of them spend their lives.
 *
 * Whatever happens is noted as due and done in a turn (bus.h): at once, or when
 * the device is free. Until then descriptors are not looked at again.
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
#include "base/fd.h"
#include "busdrv/vhost_user_internal.h"

_Static_assert(VHOST_USER_FDS_MAX == FD_PASS_MAX, "one message fits");

/* Messages that one look at the socket takes, so that others have a turn. */
#define BURST 16

#define HEADER sizeof(struct vhost_user_header)

/* What is to be done. */
enum vhost_user_due {
	DUE_SERVE = 1, /* the front end's socket is ready */
	DUE_LATE = 2, /* the deadline has passed */
	DUE_ACCEPT = 4,
	DUE_CONNECT = 8,
};

/* ---- the session ---- */

static void close_fds(struct vhost_user_msg *msg)
{
	for (unsigned int i = 0; i < msg->n_fds; i++) {
		msg->fds[i] = close_fd(msg->fds[i]);
	}
	msg->n_fds = 0;
}

static void set_retry(struct vhost_user *vu)
{
	if (vu->is_client && !vu->is_leaving) {
		(void)loop_timer_set(&vu->retry, vu->reconnect_ns);
	}
}

/* The front end is gone, or cut off: nothing of it may be used any more. */
static void end_session(struct vhost_user *vu)
{
	vhost_user_postcopy_drop(vu); /* or a drain might wait for ever */
	vu->watch = loop_watch_free(vu->watch);
	loop_timer_cancel(&vu->deadline);
	close_fds(&vu->in);
	vu->n_in = 0;
	vu->out.reply_fd = close_fd(vu->out.reply_fd);
	vu->n_out = 0;
	vhost_user_reset(vu);
	vhost_user_unwatch_config(vu);
	vhost_user_iommu_drop(vu);
	vhost_user_channel_close(vu);
	vhost_user_transfer_drop(vu);
	vu->transfer.result = -EINPROGRESS;
	vhost_user_inflight_drop(vu);
	vhost_user_log_drop(vu);
	vhost_user_rings_drop(vu);
	vhost_user_mem_drop(vu);
	vu->features = 0;
	vu->protocol_features = 0;
	vu->has_features = false;
	vu->is_lost = false;
	vu->fd = close_fd(vu->fd);
	log_info(vu->vdev->name, "the vhost-user front end on %s is gone",
		 vu->path);
	set_retry(vu);
}

static void missed_deadline(struct vhost_user *vu)
{
	vu->n_bad++;
	log_warn(vu->vdev->name,
		 "vhost-user: the front end's message or our answer hangs: "
		 "closing");
	end_session(vu);
}

/* ---- sending ---- */

/* Return: 0 sent, or the rest will be; -errno */
static int send_rest(struct vhost_user *vu)
{
	while (vu->out_done < vu->n_out) {
		size_t in_header = min_of(vu->out_done, HEADER);
		size_t in_payload = vu->out_done - in_header;
		struct iovec iov[2] = {
			{ (char *)&vu->out.hdr + in_header,
			  HEADER - in_header },
			{ (char *)&vu->out.payload + in_payload,
			  vu->n_out - HEADER - in_payload },
		};
		struct fd_msg m = {
			.iov = iov,
			.n_iov = 2,
			.fds = { vu->out.reply_fd },
			.n_fds = vu->out.reply_fd >= 0,
		};
		ssize_t n = fd_send(vu->fd, &m, MSG_DONTWAIT);

		if (n == -EAGAIN) {
			return loop_watch_change(vu->watch, LOOP_OUT);
		}
		if (n < 0) {
			return (int)n;
		}
		vu->out.reply_fd = close_fd(vu->out.reply_fd);
		vu->out_done += (size_t)n;
	}
	vu->n_out = 0;
	loop_timer_cancel(&vu->deadline);
	return 0;
}

static int send_reply(struct vhost_user *vu, const struct vhost_user_msg *msg)
{
	vu->out = *msg;
	vu->out.n_fds = 0;
	vu->out.hdr.flags = VHOST_USER_VERSION | VHOST_USER_REPLY_FLAG;
	vu->out.hdr.size = msg->reply_size;
	vu->n_out = HEADER + msg->reply_size;
	vu->out_done = 0;
	(void)loop_timer_set(&vu->deadline, VHOST_USER_MSG_DEADLINE_NS);
	return send_rest(vu);
}

/* ---- receiving ---- */

static int take_fds(struct vhost_user *vu, struct fd_msg *m)
{
	unsigned int n = min_of(m->n_fds, VHOST_USER_FDS_MAX - vu->in.n_fds);

	memcpy(vu->in.fds + vu->in.n_fds, m->fds, n * sizeof(int));
	vu->in.n_fds += n;
	for (unsigned int i = 0; i < n; i++) {
		m->fds[i] = -1;
	}
	if (n < m->n_fds || m->n_fds_dropped > 0 || m->is_truncated) {
		fd_msg_close(m);
		return err(-EPROTO, "more than %d descriptors in a message",
			   VHOST_USER_FDS_MAX);
	}
	return 0;
}

/* Bytes up to the end of what is wanted next: the header, then the payload. A
 * byte more could take the next message's descriptors. Return: bytes, 0: the
 * end; -errno */
static ssize_t receive(struct vhost_user *vu)
{
	bool in_header = vu->n_in < HEADER;
	size_t done = in_header ? vu->n_in : vu->n_in - HEADER;
	struct iovec iov = {
		in_header ? (char *)&vu->in.hdr + done
			  : (char *)&vu->in.payload + done,
		(in_header ? HEADER : vu->in.hdr.size) - done,
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
		memset(&vu->in.payload, 0, sizeof(vu->in.payload));
		(void)loop_timer_set(&vu->deadline, VHOST_USER_MSG_DEADLINE_NS);
	}
	vu->n_in += (size_t)n;
	return n;
}

static int handle(struct vhost_user *vu)
{
	bool reply = false;
	int r;

	vu->has_spoken = true;
	loop_timer_cancel(&vu->deadline);
	r = vhost_user_dispatch(vu, &vu->in, &reply);
	close_fds(&vu->in);
	vu->n_in = 0;
	return r < 0 || !reply ? r : send_reply(vu, &vu->in);
}

/* Return: 1 go on; 0 nothing more now; -errno, or -EPIPE at the end */
static int step(struct vhost_user *vu)
{
	ssize_t n = receive(vu);
	int r;

	if (n <= 0) {
		return n == 0 ? -EPIPE : n == -EAGAIN ? 0 : (int)n;
	}
	if (vu->n_in == HEADER) {
		r = vhost_user_check_header(&vu->in.hdr);
		if (r < 0) {
			return r;
		}
	}
	if (vu->n_in < HEADER || vu->n_in < HEADER + vu->in.hdr.size) {
		return 1;
	}
	r = handle(vu);
	return r < 0 ? r : vu->n_out == 0;
}

static void report_end(struct vhost_user *vu, int r)
{
	if (r == -EPIPE || r == -ECONNRESET) {
		if (vu->n_in > 0) {
			vu->n_bad++;
		}
		return;
	}
	vu->n_bad++;
	if (log_allowed(&vu->limit)) {
		log_warn(vu->vdev->name, "vhost-user: closing: %s",
			 err_text(r));
	}
}

static void serve(struct vhost_user *vu)
{
	int r = 1;

	if (vu->n_out > 0) {
		r = send_rest(vu);
		if (r == 0 && vu->n_out == 0) {
			r = loop_watch_change(vu->watch, LOOP_IN);
		}
		r = r == 0 ? vu->n_out == 0 : r;
	}
	for (int i = 0; i < BURST && r > 0; i++) {
		r = step(vu);
	}
	if (r < 0) {
		report_end(vu, r);
		end_session(vu);
	}
}

/* ---- connecting ---- */

static void is_ready(void *priv, unsigned int events);

static int begin_session(struct vhost_user *vu, int fd /* taken on success */)
{
	int r = loop_watch_new(vu->loop, fd, LOOP_IN, is_ready, vu, &vu->watch);

	if (r == 0) {
		r = vhost_user_watch_config(vu);
	}
	if (r < 0) {
		vu->watch = loop_watch_free(vu->watch);
		return r;
	}
	vu->fd = fd;
	vu->since_ns = loop_now_ns(vu->loop);
	vu->has_spoken = false;
	vu->is_trusted = unix_peer_is_trusted(fd);
	vu->n_sessions++;
	vhost_user_reset(vu);
	log_info(vu->vdev->name, "a vhost-user front end is on %s", vu->path);
	return 0;
}

static bool has_hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

static bool makes_way(const struct vhost_user *vu)
{
	return has_hung_up(vu->fd) ||
	       (!vu->has_spoken &&
		loop_now_ns(vu->loop) - vu->since_ns >= VHOST_USER_SILENCE_NS);
}

static void accept_one(struct vhost_user *vu)
{
	_cleanup_close_ int fd = accept4(vu->listener.fd, NULL, NULL,
					 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		return; /* it is gone again, or we lack descriptors */
	}
	if (vu->fd >= 0 && makes_way(vu)) {
		end_session(vu);
	}
	if (vu->fd >= 0) {
		vu->n_bad++;
		if (log_allowed(&vu->limit)) {
			log_warn(vu->vdev->name,
				 "refusing a second front end on %s", vu->path);
		}
		return;
	}
	if (begin_session(vu, fd) == 0) {
		(void)steal_fd(&fd);
	}
}

static void try_connect(struct vhost_user *vu)
{
	int fd = unix_connect(vu->path, SOCK_STREAM);

	if (fd >= 0 && begin_session(vu, fd) == 0) {
		return;
	}
	(void)close_fd(fd);
	set_retry(vu);
}

/* ---- turns ---- */

/* As the last thing that is done with @vu: it may be freed. */
static void settle(struct vhost_user *vu)
{
	struct vdpa_device *vdev = vu->vdev;

	if (vu->is_leaving && !vhost_user_has_session(vu)) {
		vhost_user_destroy(vu);
		vdpa_removed(vdev);
	}
}

static void do_what_is_due(struct vhost_user *vu)
{
	unsigned int due = vu->due;

	vu->due = 0;
	if ((due & DUE_SERVE) && vu->fd >= 0) {
		serve(vu);
	}
	if ((due & DUE_LATE) && vu->fd >= 0) {
		missed_deadline(vu);
	}
	if ((due & DUE_ACCEPT) && vu->listen_watch) {
		accept_one(vu);
	}
	if ((due & DUE_CONNECT) && !vu->is_leaving) {
		try_connect(vu);
	}
}

static void turn(struct vdpa_turn *t)
{
	struct vhost_user *vu = container_of(t, struct vhost_user, turn);

	while (vu->due != 0) {
		do_what_is_due(vu);
	}
	vu->is_in_turn = false;
	/* Neither fails: they change nothing but bits. */
	if (vu->vdev->may_wait && vu->watch) {
		(void)loop_watch_change(vu->watch,
					vu->n_out > 0 ? LOOP_OUT : LOOP_IN);
	}
	if (vu->vdev->may_wait && vu->listen_watch) {
		(void)loop_watch_change(vu->listen_watch, LOOP_IN);
	}
	settle(vu);
}

/* @watch: of what has to be quiet until then; NULL: nothing */
static void note_due(struct vhost_user *vu, unsigned int due,
		     struct loop_watch *watch)
{
	bool is_known = vu->due & due;

	vu->due |= due;
	if (vu->vdev->may_wait && watch && !is_known) {
		(void)loop_watch_change(watch, LOOP_EDGE);
	}
	if (!vu->is_in_turn) {
		vu->is_in_turn = true;
		vu->turn.fn = turn;
		vdpa_turn_start(vu->vdev, &vu->turn);
	}
}

static void is_ready(void *priv, unsigned int events)
{
	struct vhost_user *vu = priv;

	(void)events;
	note_due(vu, DUE_SERVE, vu->watch);
}

static void is_late(void *priv)
{
	note_due(priv, DUE_LATE, NULL);
}

static void somebody_comes(void *priv, unsigned int events)
{
	struct vhost_user *vu = priv;

	(void)events;
	note_due(vu, DUE_ACCEPT, vu->listen_watch);
}

static void is_time_to_connect(void *priv)
{
	note_due(priv, DUE_CONNECT, NULL);
}

/* ---- life ---- */

bool vhost_user_has_session(const struct vhost_user *vu)
{
	return vu->fd >= 0 || vu->is_in_turn;
}

int vhost_user_open(struct vhost_user *vu)
{
	int r;

	vu->fd = -1;
	vu->channel.fd = -1;
	vu->transfer.fd = -1;
	vu->transfer.result = -EINPROGRESS;
	vu->out.reply_fd = -1;
	vu->uffd = -1;
	vu->log_fd = -1;
	loop_timer_init(&vu->deadline, vu->loop, is_late, vu);
	loop_timer_init(&vu->retry, vu->loop, is_time_to_connect, vu);
	if (vu->is_client) {
		is_time_to_connect(vu);
		return 0;
	}
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

static void stop_accepting(struct vhost_user *vu)
{
	vu->is_leaving = true;
	loop_timer_cancel(&vu->retry);
	vu->listen_watch = loop_watch_free(vu->listen_watch);
	unix_listen_end(&vu->listener);
}

void vhost_user_leave(struct vhost_user *vu)
{
	stop_accepting(vu);
	settle(vu);
}

void vhost_user_cut_off(struct vhost_user *vu)
{
	stop_accepting(vu);
	if (vu->fd >= 0) {
		end_session(vu);
	}
	settle(vu);
}
