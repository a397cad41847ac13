/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user front end: the back-end channel, on which the back end says that
 * its config space has changed. Then it is asked for anew, nobody waiting: one
 * question at a time, and one more if it changed meanwhile. What else may be
 * said there was not agreed on.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "dev/remote/vufront_internal.h"

#define HEADER sizeof(struct vhost_user_header)
/* Messages that one look at the socket takes. */
#define BURST 16

/* ---- the new config ---- */

void vufront_call_config(struct vufront_dev *dev)
{
	const struct vdpa_callback *cb = &dev->config_cb;

	if (cb->trigger_fd >= 0) {
		loop_signal(dev->control, cb->trigger_fd);
	} else if (cb->callback) {
		cb->callback(cb->priv);
	}
}

static void config_is_here(struct vufront_dev *dev)
{
	struct vufront_channel *ch = &dev->channel;

	if (ch->config.ret < 0) {
		return; /* refused, or the connection is gone */
	}
	if (vufront_take_config(dev, &ch->config, dev->facts.config) == 0 &&
	    vufront_use_config(dev)) {
		vufront_call_config(dev);
	}
	if (ch->asks_again) {
		vufront_config_changed(dev);
	}
}

void vufront_config_changed(struct vufront_dev *dev)
{
	struct vufront_channel *ch = &dev->channel;
	struct vufront_config_request ask;

	ch->asks_again = !dev->is_up || ch->config.msg;
	if (ch->asks_again || dev->options.type->config_size == 0) {
		return;
	}
	vufront_config_request(dev, &ask);
	ch->config.fn = config_is_here;
	(void)vufront_begin(dev, &ask.req, &ch->config); /* or it is gone */
}

/* ---- what it says ---- */

/* It does not wait for the answer, nor do we for room to give it in. */
static int acknowledge(struct vufront_channel *ch, bool is_done)
{
	struct {
		struct vhost_user_header hdr;
		uint64_t u64;
	} __attribute__((packed)) reply = {
		.hdr = { ch->in.hdr.request,
			 VHOST_USER_VERSION | VHOST_USER_REPLY_FLAG,
			 sizeof(reply.u64) },
		.u64 = !is_done,
	};
	struct iovec iov = { &reply, sizeof(reply) };
	const struct fd_msg m = { .iov = &iov, .n_iov = 1 };

	return fd_send(ch->fd, &m, MSG_DONTWAIT) == sizeof(reply)
		       ? 0
		       : err(-EPROTO, "it does not read our answers");
}

/* Return: 0; -EPROTO */
static int handle(struct vufront_dev *dev)
{
	struct vufront_channel *ch = &dev->channel;
	bool is_known = ch->in.hdr.request ==
			VHOST_USER_BACKEND_CONFIG_CHANGE_MSG;

	ch->n_in = 0;
	if ((ch->in.hdr.flags & VHOST_USER_VERSION_MASK) !=
		    VHOST_USER_VERSION ||
	    (ch->in.hdr.flags & VHOST_USER_REPLY_FLAG)) {
		return err(-EPROTO, "request %u of its own, flags 0x%x",
			   ch->in.hdr.request, ch->in.hdr.flags);
	}
	if (is_known) {
		dev->stats.n_config_changes++;
		vufront_config_changed(dev);
	} else {
		dev->stats.n_bad++;
	}
	return ch->fd >= 0 && (ch->in.hdr.flags & VHOST_USER_NEED_REPLY)
		       ? acknowledge(ch, is_known)
		       : 0;
}

/* Return: 1 go on; 0 nothing more now; -errno */
static int receive(struct vufront_dev *dev)
{
	struct vufront_channel *ch = &dev->channel;
	bool in_header = ch->n_in < HEADER;
	size_t done = in_header ? ch->n_in : ch->n_in - HEADER;
	struct iovec iov = {
		in_header ? (char *)&ch->in.hdr + done
			  : (char *)&ch->in.payload + done,
		(in_header ? HEADER : ch->in.hdr.size) - done,
	};
	struct fd_msg m = { .iov = &iov, .n_iov = 1 };
	ssize_t n = fd_recv(ch->fd, &m, MSG_DONTWAIT);
	int r;

	if (n <= 0) {
		return n == -EAGAIN ? 0 : n == 0 ? -EPIPE : (int)n;
	}
	fd_msg_close(&m); /* none of what we agreed on has any */
	ch->n_in += (size_t)n;
	if (ch->n_in >= HEADER && ch->in.hdr.size > sizeof(ch->in.payload)) {
		return err(-EPROTO, "request of its own of %u bytes",
			   ch->in.hdr.size);
	}
	if (ch->n_in < HEADER || ch->n_in < HEADER + ch->in.hdr.size) {
		return 1;
	}
	r = handle(dev);
	return r < 0 ? r : ch->fd >= 0;
}

static void is_ready(void *priv, unsigned int events)
{
	struct vufront_dev *dev = priv;
	int r = 1;

	(void)events;
	for (int i = 0; i < BURST && r > 0; i++) {
		r = receive(dev);
	}
	if (r == -EPIPE) {
		vufront_channel_close(dev); /* it has nothing to say */
	} else if (r < 0) {
		dev->stats.n_bad++;
		vufront_lose(dev, err_text(r));
	}
}

int vufront_channel_open(struct vufront_dev *dev)
{
	struct vufront_channel *ch = &dev->channel;
	_cleanup_close_ int theirs = -1;
	struct vufront_request req = {
		.request = VHOST_USER_SET_BACKEND_REQ_FD,
		.n_fds = 1,
	};
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
		return err(-errno, "socketpair: %s", strerror(errno));
	}
	ch->fd = fds[0];
	theirs = fds[1];
	ch->n_in = 0;
	ch->asks_again = false;
	r = fd_set_nonblock(ch->fd);
	if (r == 0) {
		r = loop_watch_new(dev->control, ch->fd, LOOP_IN, is_ready, dev,
				   &ch->watch);
	}
	if (r < 0) {
		ch->fd = close_fd(ch->fd);
		return r;
	}
	req.fds = &theirs;
	return vufront_ask(dev, &req, NULL);
}

void vufront_channel_close(struct vufront_dev *dev)
{
	struct vufront_channel *ch = &dev->channel;

	ch->watch = loop_watch_free(ch->watch);
	ch->fd = close_fd(ch->fd);
}
