/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE messages: what the process is asked, and what it answers.
 *
 * Theory of operation
 *
 *   op: msg_sync() --> dev->msgs --push--> the process reads
 *        vdpa_wait()                            |
 *        ... resp <-- off the list <--write()-- it replies
 *
 * A message stands on the stack of the op that sends it and is in dev->msgs
 * until it has a reply. So a process that closes its file and opens it again
 * (one that died and was started anew) is sent everything in the list once
 * more, with the same ids; what it had not read went with its file.
 *
 * The time that a process has begins when the message is sent, whether anybody
 * has the file open or not. When it is over the device is broken: no message
 * will ever be sent again, as it is no longer known what the process believes.
 * A message that nobody waits for any more (the client died) is withdrawn; the
 * process may still read it, and its reply is answered with ENOENT.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "dev/remote/vduse_internal.h"

#define NS_PER_S 1000000000ULL

static void end_msg(struct vduse_msg *msg)
{
	list_del(&msg->node);
	list_init(&msg->node);
	msg->is_done = true;
}

void vduse_break(struct vduse_dev *dev)
{
	struct vduse_msg *msg, *tmp;

	dev->is_broken = true;
	dev->words = cdev_words_free(dev->words);
	list_for_each_entry_safe(msg, tmp, &dev->msgs, node) {
		msg->resp.result = VDUSE_REQ_RESULT_FAILED;
		end_msg(msg);
	}
	if (dev->waiter) {
		vdpa_wake(dev->waiter);
	}
}

static void time_is_up(void *priv)
{
	struct vduse_msg *msg = priv;
	struct vduse_dev *dev = msg->dev;

	dev->stats.n_timed_out++;
	log_warn(dev->name,
		 "broken: its process left request %u (type %u) without a "
		 "reply for %u s; delete it and let a new one be created",
		 msg->req.request_id, msg->req.type, dev->timeout_s);
	vduse_break(dev);
}

static int push(struct vduse_dev *dev, const struct vduse_msg *msg)
{
	return dev->file
		       ? cdev_file_push(dev->file, &msg->req, sizeof(msg->req))
		       : 0;
}

/* Return: 0 there is a reply; -errno there will be none. */
static int await_reply(struct vduse_dev *dev, struct vduse_msg *msg)
{
	int r = push(dev, msg);

	if (r == 0 && dev->timeout_s > 0) {
		r = loop_timer_set(&msg->timer, dev->timeout_s * NS_PER_S);
	}
	while (r == 0 && !msg->is_done) {
		r = vdpa_wait(dev->waiter);
	}
	loop_timer_cancel(&msg->timer);
	if (!msg->is_done) {
		dev->stats.n_withdrawn++;
		end_msg(msg);
		return r;
	}
	return 0;
}

int vduse_msg_sync(struct vduse_dev *dev, struct vduse_msg *msg)
{
	int r;

	if (dev->is_broken) {
		return err(-EIO, "%s is broken: its process did not reply",
			   dev->name);
	}
	if (!vdpa_can_wait(dev->waiter)) {
		return err(-EIO, "%s: nobody can wait for its process",
			   dev->name);
	}
	msg->dev = dev;
	msg->is_done = false;
	msg->req.request_id = dev->next_id++;
	loop_timer_init(&msg->timer, vdpa_bus_control(dev->vduse->bus),
			time_is_up, msg);
	list_add_tail(&dev->msgs, &msg->node);
	dev->stats.n_messages++;
	r = await_reply(dev, msg);
	if (r < 0) {
		return err(-EIO, "%s: request %u was given up (%s)", dev->name,
			   msg->req.request_id, strerror(-r));
	}
	if (msg->resp.result != VDUSE_REQ_RESULT_OK) {
		dev->stats.n_failed++;
		return err(-EIO, "%s: the process refused request %u, type %u",
			   dev->name, msg->req.request_id, msg->req.type);
	}
	return 0;
}

static struct vduse_msg *find_msg(const struct vduse_dev *dev, uint32_t id)
{
	struct vduse_msg *msg;

	list_for_each_entry(msg, &dev->msgs, node) {
		if (msg->req.request_id == id) {
			return msg;
		}
	}
	return NULL;
}

int64_t vduse_msg_reply(struct vduse_dev *dev, const void *buf, size_t len)
{
	struct vduse_response resp;
	struct vduse_msg *msg;

	if (len < sizeof(resp)) {
		dev->stats.n_bad_replies++;
		return -EINVAL;
	}
	memcpy(&resp, buf, sizeof(resp));
	for (size_t i = 0; i < ARRAY_SIZE(resp.reserved); i++) {
		if (resp.reserved[i] != 0) {
			dev->stats.n_bad_replies++;
			return -EINVAL;
		}
	}
	msg = find_msg(dev, resp.request_id);
	if (!msg) {
		dev->stats.n_bad_replies++;
		return -ENOENT;
	}
	msg->resp = resp;
	end_msg(msg);
	vdpa_wake(dev->waiter);
	return sizeof(resp);
}

void vduse_msg_resend(struct vduse_dev *dev)
{
	struct vduse_msg *msg, *tmp;

	list_for_each_entry_safe(msg, tmp, &dev->msgs, node) {
		if (push(dev, msg) < 0) {
			msg->resp.result = VDUSE_REQ_RESULT_FAILED;
			end_msg(msg);
			vdpa_wake(dev->waiter);
			continue;
		}
		dev->stats.n_redelivered++;
	}
}
