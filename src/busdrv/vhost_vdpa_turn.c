/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-vdpa: calls as turns, on devices that may have to wait.
 *
 * Theory of operation
 *
 * open(), ioctl() and write() do what they do from top to bottom. On a device
 * that never waits they run at once, as the kernel's. On one that may, each is
 * a turn (bus.h): the call stays pending until the turn has ended, which may be
 * now. The end of a session is one too, so a new client finds the node busy
 * until the device has let go of the last one. Whoever removes the node waits
 * for all of them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "busdrv/vhost_vdpa_internal.h"

enum call_op {
	CALL_OPEN,
	CALL_IOCTL,
	CALL_WRITE,
};

/* A call that may last. */
struct vhost_vdpa_call {
	struct vdpa_turn turn;
	struct list node;
	struct vhost_vdpa *v;
	struct cdev_file *file;
	struct cdev_call *call;
	bool is_cancelled;
	enum call_op op;
	uint32_t cmd;
	uint64_t arg;
	size_t len;
	uint8_t bytes[];
};

static int64_t run(struct vhost_vdpa_call *vc)
{
	switch (vc->op) {
	case CALL_OPEN:
		return vhost_vdpa_do_open(vc->v, vc->file);
	case CALL_IOCTL:
		return vhost_vdpa_do_ioctl(vc->v, vc->call, vc->cmd, vc->arg);
	case CALL_WRITE:
	default:
		return vhost_vdpa_do_write(vc->v, vc->call, vc->bytes, vc->len);
	}
}

static void call_turn(struct vdpa_turn *turn)
{
	struct vhost_vdpa_call *vc =
		container_of(turn, struct vhost_vdpa_call, turn);
	struct vhost_vdpa *v = vc->v;
	int64_t result = run(vc);

	list_del(&vc->node);
	if (!vc->is_cancelled) {
		cdev_call_finish(vc->call, result);
	}
	free(vc);
	vhost_vdpa_settle(v);
}

static int64_t start_call(struct vhost_vdpa *v, struct vhost_vdpa_call *vc)
{
	vc->turn.fn = call_turn;
	vc->v = v;
	list_add_tail(&v->calls, &vc->node);
	vdpa_turn_start(v->vdev, &vc->turn);
	return CDEV_PENDING;
}

static bool may_wait(const struct vhost_vdpa *v)
{
	return v->vdev && v->vdev->may_wait;
}

int64_t vhost_vdpa_open(struct cdev_node *node, struct cdev_file *file,
			struct cdev_call *call)
{
	struct vhost_vdpa *v = cdev_node_priv(node);
	struct vhost_vdpa_call *vc;

	if (!may_wait(v)) {
		return vhost_vdpa_do_open(v, file);
	}
	if (v->file) {
		return -EBUSY; /* not so, or not for long, while it is leaving */
	}
	vc = calloc(1, sizeof(*vc));
	if (!vc) {
		return -ENOMEM;
	}
	vc->op = CALL_OPEN;
	vc->file = file;
	vc->call = call;
	return start_call(v, vc);
}

int64_t vhost_vdpa_ioctl(struct cdev_file *file, struct cdev_call *call,
			 uint32_t cmd, uint64_t arg)
{
	struct vhost_vdpa *v = cdev_file_priv(file);
	struct vhost_vdpa_call *vc;

	if (!may_wait(v)) {
		return vhost_vdpa_do_ioctl(v, call, cmd, arg);
	}
	vc = calloc(1, sizeof(*vc));
	if (!vc) {
		return -ENOMEM;
	}
	vc->op = CALL_IOCTL;
	vc->call = call;
	vc->cmd = cmd;
	vc->arg = arg;
	return start_call(v, vc);
}

int64_t vhost_vdpa_write(struct cdev_file *file, struct cdev_call *call,
			 const void *buf, size_t len)
{
	struct vhost_vdpa *v = cdev_file_priv(file);
	struct vhost_vdpa_call *vc;

	if (!may_wait(v)) {
		return vhost_vdpa_do_write(v, call, buf, len);
	}
	vc = calloc(1, sizeof(*vc) + len);
	if (!vc) {
		return -ENOMEM;
	}
	vc->op = CALL_WRITE;
	vc->call = call;
	vc->len = len;
	memcpy(vc->bytes, buf, len);
	return start_call(v, vc);
}

void vhost_vdpa_cancel(struct cdev_file *file, struct cdev_call *call)
{
	struct vhost_vdpa *v = cdev_node_priv(cdev_file_node(file));
	struct vhost_vdpa_call *vc;

	list_for_each_entry(vc, &v->calls, node) {
		if (vc->call != call) {
			continue;
		}
		vc->is_cancelled = true;
		if (vdpa_turn_cancel(v->vdev, &vc->turn)) {
			list_del(&vc->node);
			free(vc);
			vhost_vdpa_settle(v);
		}
		return;
	}
}

static void release_turn(struct vdpa_turn *turn)
{
	struct vhost_vdpa *v = container_of(turn, struct vhost_vdpa, release);

	vhost_vdpa_end_session(v);
	v->is_releasing = false;
	vhost_vdpa_settle(v);
}

void vhost_vdpa_release(struct cdev_file *file)
{
	struct vhost_vdpa *v = cdev_file_priv(file);
	struct vdpa_device *vdev = v ? v->vdev : NULL;

	if (!v) {
		return; /* its open was cancelled */
	}
	if (!vdev) { /* was cut off */
		free(v);
		return;
	}
	/* It is not there any more when the turn comes. */
	vhost_vdpa_drop_gate(v);
	v->file = NULL;
	v->is_releasing = true;
	v->release.fn = release_turn;
	vdpa_turn_start(vdev, &v->release);
}
