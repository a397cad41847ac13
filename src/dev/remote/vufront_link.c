/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user front end: the socket.
 *
 * Theory of operation
 *
 *   post(), ask() --> to_send --> to_answer --> freed
 *                     |  socket       ^ reply: always of the oldest
 *                     +---------------+--> freed, if it has none
 *
 * A message belongs to the link from the moment that it is said. Who waits for
 * its answer lends it a struct vufront_answer, on his stack; if he gives up, the
 * answer is taken all the same, and dropped. A back end answers in the order in
 * which it was asked, so an answer to anything else is a fault, as are sizes,
 * flags and descriptors that are not those of the answer. One timer watches
 * over all of it: as long as anything has to be sent or answered, something has
 * to happen within the time-out.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "dev/remote/vufront_internal.h"

_Static_assert(VHOST_USER_FDS_MAX == FD_PASS_MAX, "one message fits");

#define HEADER	 sizeof(struct vhost_user_header)
#define NS_PER_S 1000000000ULL
/* Answers that one look at the socket takes. */
#define BURST 64

/* What an answer looks like. Acknowledgements are 8 bytes. */
struct form {
	uint16_t min_size, max_size;
};

static const struct form forms[VHOST_USER_REQUEST_N] = {
	[VHOST_USER_GET_FEATURES] = { 8, 8 },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { 8, 8 },
	[VHOST_USER_GET_QUEUE_NUM] = { 8, 8 },
	[VHOST_USER_GET_VRING_BASE] = { 8, 8 },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { 8, 8 },
	/* Empty: the back end could not. */
	[VHOST_USER_GET_CONFIG] = { 0, sizeof(struct vhost_user_config) },
};
static const struct form acknowledgement = { 8, 8 };

static bool has_reply(uint32_t request)
{
	return request < VHOST_USER_REQUEST_N && forms[request].max_size > 0;
}

/* ---- messages ---- */

static void free_msg(struct vufront_dev *dev, struct vufront_msg *msg)
{
	list_del(&msg->node);
	dev->link.n_msgs--;
	for (unsigned int i = 0; i < msg->n_fds; i++) {
		(void)close_fd(msg->fds[i]);
	}
	free(msg);
}

static void wake(struct vufront_dev *dev)
{
	if (vufront_is_saying_hello(dev)) {
		vufront_hello_wake(dev);
	} else if (dev->waiter) {
		vdpa_wake(dev->waiter);
	}
}

static void answer(struct vufront_dev *dev, struct vufront_msg *msg, int ret)
{
	struct vufront_answer *a = msg->answer;

	if (!a) {
		return;
	}
	a->msg = NULL;
	a->ret = ret;
	msg->answer = NULL;
	if (a->fn) {
		a->fn(dev);
	} else {
		wake(dev);
	}
}

static struct vufront_msg *oldest(const struct list *list)
{
	return list_entry(list->next, struct vufront_msg, node);
}

static bool is_idle(const struct vufront_link *link)
{
	return list_is_empty(&link->to_send) && list_is_empty(&link->to_answer);
}

/* Something has happened: what comes next has all its time. */
static int set_deadline(struct vufront_dev *dev)
{
	uint64_t ns = dev->is_up ? dev->options.timeout_s * NS_PER_S
				 : VUFRONT_HELLO_NS;

	if (is_idle(&dev->link) || ns == 0) {
		loop_timer_cancel(&dev->link.late);
		return 0;
	}
	return loop_timer_set(&dev->link.late, ns);
}

/* ---- sending ---- */

/* Return: 1 it is sent; 0 the socket is full; -errno */
static int send_msg(struct vufront_link *link, struct vufront_msg *msg)
{
	while (msg->n_sent < HEADER + msg->hdr.size) {
		size_t in_header = min_of(msg->n_sent, HEADER);
		size_t in_payload = msg->n_sent - in_header;
		struct iovec iov[2] = {
			{ (char *)&msg->hdr + in_header, HEADER - in_header },
			{ (char *)&msg->payload + in_payload,
			  msg->hdr.size - in_payload },
		};
		struct fd_msg m = { .iov = iov,
				    .n_iov = 2,
				    .n_fds = msg->n_fds };
		ssize_t n;

		memcpy(m.fds, msg->fds, sizeof(m.fds));
		n = fd_send(link->fd, &m, MSG_DONTWAIT);
		if (n < 0) {
			return n == -EAGAIN ? 0 : (int)n;
		}
		while (msg->n_fds > 0) {
			msg->n_fds--;
			(void)close_fd(msg->fds[msg->n_fds]);
		}
		msg->n_sent += (size_t)n;
	}
	return 1;
}

static int send_all(struct vufront_dev *dev)
{
	struct vufront_link *link = &dev->link;
	unsigned int events = LOOP_IN;
	int r = 1;

	while (r > 0 && !list_is_empty(&link->to_send)) {
		struct vufront_msg *msg = oldest(&link->to_send);

		r = send_msg(link, msg);
		if (r > 0 && msg->is_answered) {
			list_del(&msg->node);
			list_add_tail(&link->to_answer, &msg->node);
		} else if (r > 0) {
			free_msg(dev, msg);
		} else if (r == 0) {
			events |= LOOP_OUT;
		}
	}
	return r < 0 ? r : loop_watch_change(link->watch, events);
}

static int new_msg(const struct vufront_request *req, struct vufront_msg **ret)
{
	struct vufront_msg *msg = calloc(1, sizeof(*msg));

	if (!msg) {
		return err(-ENOMEM, "out of memory");
	}
	list_init(&msg->node);
	msg->hdr.request = req->request;
	msg->hdr.flags = VHOST_USER_VERSION;
	msg->hdr.size = req->size;
	if (req->size > 0) {
		memcpy(&msg->payload, req->payload, req->size);
	}
	for (; msg->n_fds < req->n_fds; msg->n_fds++) {
		int fd = fcntl(req->fds[msg->n_fds], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			int code = -errno;

			while (msg->n_fds > 0) {
				(void)close_fd(msg->fds[--msg->n_fds]);
			}
			free(msg);
			return err(code, "descriptor of a message: %s",
				   strerror(-code));
		}
		msg->fds[msg->n_fds] = fd;
	}
	*ret = msg;
	return 0;
}

static int say(struct vufront_dev *dev, const struct vufront_request *req,
	       struct vufront_answer *a)
{
	struct vufront_link *link = &dev->link;
	struct vufront_msg *msg;
	int r;

	if (link->fd < 0) {
		return err(-ECONNRESET, "%s: no connection to %s", dev->name,
			   dev->options.path);
	}
	if (link->n_msgs == VUFRONT_MSGS_MAX) {
		vufront_lose(dev, "it does not take messages any more");
		return -ECONNRESET;
	}
	r = new_msg(req, &msg);
	if (r < 0) {
		vufront_lose(dev, err_text(r));
		return r;
	}
	msg->is_answered = has_reply(req->request);
	if (!msg->is_answered &&
	    vufront_has(dev, VHOST_USER_PROTOCOL_F_REPLY_ACK)) {
		msg->hdr.flags |= VHOST_USER_NEED_REPLY;
		msg->is_answered = true;
	}
	msg->answer = a;
	if (a) {
		a->msg = msg;
	}
	list_add_tail(&link->to_send, &msg->node);
	link->n_msgs++;
	dev->stats.n_messages++;
	r = send_all(dev);
	if (r == 0) {
		r = set_deadline(dev);
	}
	if (r < 0) {
		vufront_lose(dev, err_text(r));
		return err(-ECONNRESET, "%s: the back end has gone", dev->name);
	}
	return 0;
}

int vufront_post(struct vufront_dev *dev, const struct vufront_request *req)
{
	return say(dev, req, NULL);
}

/* ---- asking ---- */

/* Return: 0 may go on; -EINTR */
static int wait(struct vufront_dev *dev)
{
	if (dev->hello.task && task_is_current(dev->hello.task)) {
		dev->hello.is_waiting = true;
		task_yield(dev->hello.task);
		dev->hello.is_waiting = false;
		return 0;
	}
	return dev->waiter && vdpa_can_wait(dev->waiter)
		       ? vdpa_wait(dev->waiter)
		       : -EINTR;
}

static int await(struct vufront_dev *dev, struct vufront_answer *a)
{
	int r = 0;

	while (r == 0 && a->msg) {
		r = wait(dev);
	}
	if (a->msg) {
		a->msg->answer = NULL; /* nobody waits any more */
		return err(-EINTR, "%s: the back end's answer was not awaited",
			   dev->name);
	}
	return a->ret < 0 ? err(a->ret, "%s: the back end %s", dev->name,
				a->ret == -EIO ? "refused" : "has gone")
			  : 0;
}

static int ask_once(struct vufront_dev *dev, const struct vufront_request *req,
		    struct vufront_answer *a)
{
	int r;

	memset(a, 0, sizeof(*a));
	r = say(dev, req, a);
	if (r < 0) {
		return r;
	}
	return await(dev, a);
}

int vufront_ask(struct vufront_dev *dev, const struct vufront_request *req,
		struct vufront_answer *ret)
{
	static const struct vufront_request features = {
		.request = VHOST_USER_GET_FEATURES,
	};
	struct vufront_answer own;
	int r;

	if (has_reply(req->request) ||
	    vufront_has(dev, VHOST_USER_PROTOCOL_F_REPLY_ACK)) {
		return ask_once(dev, req, ret ? ret : &own);
	}
	r = vufront_post(dev, req);
	return r < 0 ? r : ask_once(dev, &features, &own);
}

int vufront_begin(struct vufront_dev *dev, const struct vufront_request *req,
		  struct vufront_answer *ret)
{
	return say(dev, req, ret);
}

int vufront_post_u64(struct vufront_dev *dev, uint32_t request, uint64_t value)
{
	const struct vufront_request req = { request, &value, sizeof(value) };

	return vufront_post(dev, &req);
}

int vufront_ask_u64(struct vufront_dev *dev, uint32_t request, uint64_t value)
{
	const struct vufront_request req = { request, &value, sizeof(value) };

	return vufront_ask(dev, &req, NULL);
}

int vufront_get_u64(struct vufront_dev *dev, uint32_t request,
		    uint64_t *ret_value)
{
	const struct vufront_request req = { .request = request };
	struct vufront_answer a;
	int r = vufront_ask(dev, &req, &a);

	if (r == 0) {
		*ret_value = a.payload.u64;
	}
	return r;
}

/* ---- receiving ---- */

/* Return: 0; -EPROTO, -EIO: refused */
static int take_answer(struct vufront_dev *dev, struct vufront_msg *msg)
{
	const struct vhost_user_header *hdr = &dev->link.in.hdr;
	const struct form *form = has_reply(msg->hdr.request)
					  ? &forms[msg->hdr.request]
					  : &acknowledgement;

	if (hdr->request != msg->hdr.request ||
	    hdr->flags != (VHOST_USER_VERSION | VHOST_USER_REPLY_FLAG) ||
	    hdr->size < form->min_size || hdr->size > form->max_size) {
		return err(-EPROTO,
			   "request %u was answered by %u, flags 0x%x, %u "
			   "bytes",
			   msg->hdr.request, hdr->request, hdr->flags,
			   hdr->size);
	}
	if (form == &acknowledgement && dev->link.in.payload.u64 != 0) {
		dev->stats.n_refused++;
		return err(-EIO, "request %u was refused", msg->hdr.request);
	}
	return 0;
}

/* A whole message is here. Return: 0; -EPROTO */
static int handle(struct vufront_dev *dev)
{
	struct vufront_link *link = &dev->link;
	struct vufront_msg *msg;
	int r;

	if (list_is_empty(&link->to_answer)) {
		return err(-EPROTO, "an answer to nothing, %u",
			   link->in.hdr.request);
	}
	msg = oldest(&link->to_answer);
	r = take_answer(dev, msg);
	if (r == -EPROTO) {
		return r;
	}
	if (r < 0 && !msg->answer) {
		link->was_refused = true;
	}
	if (msg->answer) {
		msg->answer->size = link->in.hdr.size;
		msg->answer->payload = link->in.payload;
	}
	link->n_in = 0;
	answer(dev, msg, r);
	free_msg(dev, msg);
	return set_deadline(dev);
}

/* Return: 1 go on; 0 nothing more now; -errno, -EPIPE: the end */
static int receive(struct vufront_dev *dev)
{
	struct vufront_link *link = &dev->link;
	bool in_header = link->n_in < HEADER;
	size_t done = in_header ? link->n_in : link->n_in - HEADER;
	struct iovec iov = {
		in_header ? (char *)&link->in.hdr + done
			  : (char *)&link->in.payload + done,
		(in_header ? HEADER : link->in.hdr.size) - done,
	};
	struct fd_msg m = { .iov = &iov, .n_iov = 1 };
	ssize_t n = fd_recv(link->fd, &m, MSG_DONTWAIT);
	int r;

	if (n <= 0) {
		return n == 0 ? -EPIPE : n == -EAGAIN ? 0 : (int)n;
	}
	if (m.n_fds + m.n_fds_dropped > 0 || m.is_truncated) {
		fd_msg_close(&m);
		return err(-EPROTO, "descriptors where there should be none");
	}
	if (link->n_in == 0) {
		memset(&link->in.payload, 0, sizeof(link->in.payload));
	}
	link->n_in += (size_t)n;
	if (link->n_in >= HEADER &&
	    link->in.hdr.size > sizeof(link->in.payload)) {
		return err(-EPROTO, "an answer of %u bytes", link->in.hdr.size);
	}
	if (link->n_in < HEADER || link->n_in < HEADER + link->in.hdr.size) {
		return 1;
	}
	r = handle(dev);
	return r < 0 ? r : 1;
}

static void is_ready(void *priv, unsigned int events)
{
	struct vufront_dev *dev = priv;
	int r = 1;

	for (int i = 0; i < BURST && r > 0; i++) {
		r = receive(dev);
	}
	if (r >= 0 && (events & LOOP_OUT)) {
		r = send_all(dev);
	}
	if (r >= 0) {
		return;
	}
	if (r == -EPROTO) {
		dev->stats.n_bad++;
	}
	vufront_lose(dev,
		     r == -EPIPE ? "it closed the connection" : err_text(r));
}

static void is_late(void *priv)
{
	struct vufront_dev *dev = priv;

	dev->stats.n_bad++;
	vufront_lose(dev, "it did not answer in time");
}

/* ---- life ---- */

void vufront_link_init(struct vufront_dev *dev)
{
	struct vufront_link *link = &dev->link;

	link->fd = -1;
	list_init(&link->to_send);
	list_init(&link->to_answer);
	loop_timer_init(&link->late, dev->control, is_late, dev);
}

int vufront_link_open(struct vufront_dev *dev, int take_fd)
{
	struct vufront_link *link = &dev->link;
	int r = loop_watch_new(dev->control, take_fd, LOOP_IN, is_ready, dev,
			       &link->watch);

	if (r < 0) {
		(void)close_fd(take_fd);
		return r;
	}
	link->fd = take_fd;
	link->n_in = 0;
	link->was_refused = false;
	return 0;
}

static void drop_msgs(struct vufront_dev *dev, struct list *list)
{
	struct vufront_msg *msg, *tmp;

	list_for_each_entry_safe(msg, tmp, list, node) {
		answer(dev, msg, -ECONNRESET);
		free_msg(dev, msg);
	}
}

void vufront_link_close(struct vufront_dev *dev)
{
	struct vufront_link *link = &dev->link;

	link->watch = loop_watch_free(link->watch);
	link->fd = close_fd(link->fd);
	loop_timer_cancel(&link->late);
	drop_msgs(dev, &link->to_answer);
	drop_msgs(dev, &link->to_send);
}
