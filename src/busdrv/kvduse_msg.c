/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse: what the kernel asks, one request at a time.
 *
 * A request is handled in a turn of the device and answered at its end; until
 * then no further one is read. Whoever caused it waits in the kernel meanwhile,
 * up to the device's msg_timeout, after which the kernel gives the device up.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "busdrv/kvduse_internal.h"

/* Requests that one look takes, so that others have a turn. */
#define BURST 16

#define STATUS_RUNNING                                          \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)

static bool is_running(const struct kvduse *kv)
{
	return kv->status & VIRTIO_CONFIG_S_DRIVER_OK;
}

static void warn_bad(struct kvduse *kv, const char *what, int code)
{
	kv->n_bad++;
	if (log_allowed(&kv->limit)) {
		log_warn(kv->vdev->name, "vduse: refusing %s: %s", what,
			 err_text(code));
	}
}

/* ---- sessions ---- */

/* The address spaces of groups are not the session's, but the attachment's. */
static void restore_asids(struct kvduse *kv)
{
	for (uint32_t g = 0; g < kv->vdev->ngroups; g++) {
		if (kv->group_asid[g] != 0) {
			(void)vdpa_set_group_asid(
				kv->vdev, g, kv->group_asid[g]); /* was ok */
		}
	}
}

void kvduse_reset(struct kvduse *kv)
{
	if (kv->status == 0 && !kv->has_features && !kv->is_recovering) {
		return; /* the device knows of nothing */
	}
	(void)vdpa_reset(kv->vdev, 0); /* there is no other way on */
	kvduse_vqs_forget(kv);
	kvduse_mem_drop(kv);
	for (uint32_t i = 0; i < kv->nvqs; i++) {
		kvduse_log_clear(kv, i);
	}
	restore_asids(kv);
	kv->status = 0;
	kv->has_features = false;
	kv->has_started = false;
	kv->is_recovering = false;
}

static int take_features(struct kvduse *kv)
{
	uint64_t features = 0;
	int r;

	if (kv->has_features) {
		return 0;
	}
	r = kvduse_ioctl(kv, VDUSE_DEV_GET_FEATURES, &features);
	if (r < 0) {
		return r;
	}
	r = vdpa_set_driver_features(kv->vdev, features & kv->features);
	kv->has_features = r == 0;
	return r;
}

/* The device has said yes when it has the status. */
static int give_status(struct kvduse *kv, uint8_t status)
{
	/* the device's own bit, which VDUSE cannot tell the driver of */
	uint8_t broken = vdpa_get_status(kv->vdev) &
			 VIRTIO_CONFIG_S_NEEDS_RESET;
	int r = vdpa_set_status(kv->vdev, status | broken);

	if (r == 0 &&
	    (status & ~vdpa_get_status(kv->vdev) &
	     (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)) != 0) {
		r = err(-EIO, "the device does not take status 0x%02x", status);
	}
	return r;
}

/* Memory is there: the device gets queues, and DRIVER_OK. */
static int go(struct kvduse *kv, uint8_t status)
{
	int r = kvduse_vqs_update(kv);

	if (r == 0) {
		r = give_status(kv, status);
	}
	kv->has_started = r == 0;
	if (r == 0) {
		kvduse_vqs_kick(kv);
	}
	return r;
}

static int start(struct kvduse *kv, uint8_t status)
{
	int r = kvduse_vqs_watch(kv);

	if (r == 0) {
		r = kvduse_mem_update_all(kv);
	}
	if (r == 0 && !kvduse_mem_is_waiting(kv)) {
		r = go(kv, status);
	}
	if (r < 0) {
		/* As it was, but that queues are not ready. */
		(void)vdpa_reset(kv->vdev, 0);
		kvduse_vqs_forget(kv);
		kvduse_mem_drop(kv);
		restore_asids(kv);
		kv->has_features = false;
	}
	return r;
}

static void look_again(struct vdpa_turn *turn)
{
	struct kvduse *kv = container_of(turn, struct kvduse, kick_turn);
	int r = 0;

	kv->is_kicked = false;
	if (!is_running(kv)) {
		return;
	}
	if (!kv->has_started) {
		r = kvduse_mem_update_all(kv);
		if (r == 0) {
			r = go(kv, kv->status);
		}
	} else {
		r = kvduse_vqs_update(kv);
		kvduse_vqs_kick(kv);
	}
	if (r < 0) {
		warn_bad(kv, "a kick", r);
	}
}

void kvduse_kicked(struct kvduse *kv)
{
	if (!kv->is_kicked) {
		kv->is_kicked = true;
		kv->kick_turn.fn = look_again;
		vdpa_turn_start(kv->vdev, &kv->kick_turn);
	}
}

/* ---- requests ---- */

static int set_status(struct kvduse *kv, uint8_t status)
{
	int r = 0;

	if (status == 0) {
		kvduse_reset(kv);
		return 0;
	}
	if (status &
	    (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)) {
		r = take_features(kv);
	}
	if (r == 0 && (status & VIRTIO_CONFIG_S_DRIVER_OK) && !is_running(kv)) {
		r = start(kv, status);
	} else if (r == 0 && (!is_running(kv) || kv->has_started)) {
		r = give_status(kv, status);
	}
	if (r == 0) {
		kv->status = status;
	}
	return r;
}

/* Outside of a session it is fetched when one begins. */
static int update_iotlb(struct kvduse *kv, const struct vduse_request *req)
{
	uint32_t asid = kv->version >= VDUSE_API_V1 ? req->iova.asid : 0;

	if (req->iova.start > req->iova.last || asid >= kv->vdev->nas) {
		return err(-EINVAL, "0x%llx to 0x%llx of address space %u",
			   (unsigned long long)req->iova.start,
			   (unsigned long long)req->iova.last, asid);
	}
	return is_running(kv) ? kvduse_mem_update(kv, asid) : 0;
}

static int set_group_asid(struct kvduse *kv, const struct vduse_request *req)
{
	uint32_t group = req->vq_group_asid.group;
	int r = vdpa_set_group_asid(kv->vdev, group, req->vq_group_asid.asid);

	if (r == 0) {
		kv->group_asid[group] = req->vq_group_asid.asid;
		kvduse_log_note_asid(kv, group);
	}
	return r;
}

static const char *const request_names[] = {
	[VDUSE_REQUEST_GET_VQ_STATE] = "GET_VQ_STATE",
	[VDUSE_REQUEST_SET_STATUS] = "SET_STATUS",
	[VDUSE_REQUEST_UPDATE_IOTLB] = "UPDATE_IOTLB",
	[VDUSE_REQUEST_SET_VQ_GROUP_ASID] = "SET_VQ_GROUP_ASID",
};

static int do_request(struct kvduse *kv, const struct vduse_request *req,
		      struct vduse_response *resp)
{
	switch (req->type) {
	case VDUSE_REQUEST_GET_VQ_STATE:
		resp->vq_state = req->vq_state;
		return kvduse_vq_get_state(kv, &resp->vq_state);
	case VDUSE_REQUEST_SET_STATUS:
		log_debug(kv->vdev->name, "vduse: status 0x%02x",
			  req->s.status);
		return set_status(kv, req->s.status);
	case VDUSE_REQUEST_UPDATE_IOTLB:
		return update_iotlb(kv, req);
	case VDUSE_REQUEST_SET_VQ_GROUP_ASID:
		return set_group_asid(kv, req);
	default:
		return err(-EOPNOTSUPP, "of type %u", req->type);
	}
}

/* Who waited may have been killed: then it is as good as answered. */
static void respond(struct kvduse *kv, const struct vduse_response *resp)
{
	if (write(kv->fd, resp, sizeof(*resp)) != sizeof(*resp) &&
	    errno != ENOENT) {
		kv->n_bad++;
		if (log_allowed(&kv->limit)) {
			log_warn(kv->vdev->name,
				 "vduse: ignoring that the kernel takes no "
				 "answer: %s",
				 strerror(errno));
		}
	}
}

static void handle_request(struct kvduse *kv, const struct vduse_request *req)
{
	struct vduse_response resp = { .request_id = req->request_id };
	int r = do_request(kv, req, &resp);

	if (r < 0) {
		warn_bad(kv,
			 req->type < ARRAY_SIZE(request_names)
				 ? request_names[req->type]
				 : "a request",
			 r);
		resp.result = VDUSE_REQ_RESULT_FAILED;
	}
	respond(kv, &resp);
}

static int watch_file(struct kvduse *kv);

static void run_turn(struct vdpa_turn *turn)
{
	struct kvduse *kv = container_of(turn, struct kvduse, turn);

	handle_request(kv, &kv->request);
	kv->is_handling = false;
	if (!kv->watch && !kv->is_broken) {
		(void)watch_file(kv); /* it had one before */
	}
}

/* ---- the file ---- */

/* Nobody will ever use it again; what it holds is let go. */
static void break_off(struct kvduse *kv, const char *why)
{
	kv->is_broken = true;
	kv->watch = loop_watch_free(kv->watch);
	log_err(kv->vdev->name,
		"vduse: the kernel gave %s up (%s): vdpa dev del %s, then bind "
		"again",
		kv->name, why, kv->name);
}

/* Return: is there a request? */
static bool read_request(struct kvduse *kv)
{
	ssize_t n = read(kv->fd, &kv->request, sizeof(kv->request));

	if (n == sizeof(kv->request)) {
		return true;
	}
	if (n >= 0) {
		kv->n_bad++;
		break_off(kv, "a request is cut short");
	} else if (errno != EAGAIN && errno != EINTR) {
		break_off(kv, strerror(errno));
	}
	return false;
}

void kvduse_serve(struct kvduse *kv)
{
	bool is_gone = false;

	for (int i = 0; i < BURST; i++) {
		if (kv->is_handling || kv->is_broken || !read_request(kv)) {
			return;
		}
		kv->is_handling = true;
		kv->is_gone = &is_gone;
		kv->turn.fn = run_turn;
		vdpa_turn_start(kv->vdev, &kv->turn);
		if (is_gone) {
			return;
		}
		kv->is_gone = NULL;
	}
}

static void ready(void *priv, unsigned int events)
{
	struct kvduse *kv = priv;
	struct epoll_event now;

	(void)events; /* poll_fd's */
	if (epoll_wait(kv->poll_fd, &now, 1, 0) < 1) {
		return;
	}
	if ((now.events & (EPOLLERR | EPOLLHUP)) && !(now.events & EPOLLIN)) {
		break_off(kv, "nobody answered it for too long");
		return;
	}
	if (kv->is_handling) {
		/* A turn goes on that waits: until its end nothing is read. */
		kv->watch = loop_watch_free(kv->watch);
		return;
	}
	kvduse_serve(kv);
}

static int watch_file(struct kvduse *kv)
{
	return loop_watch_new(kv->loop, kv->poll_fd, LOOP_IN, ready, kv,
			      &kv->watch);
}

/*
 * The kernel lets one process have the device, and io_uring keeps what it polls
 * for some time after our death, in which our successor would be refused. An
 * epoll descriptor keeps nothing open: the loop polls that.
 */
static int open_poll(struct kvduse *kv)
{
	struct epoll_event in = { .events = EPOLLIN };

	kv->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (kv->poll_fd < 0 ||
	    epoll_ctl(kv->poll_fd, EPOLL_CTL_ADD, kv->fd, &in) < 0) {
		return err(-errno, "epoll: %s", strerror(errno));
	}
	return watch_file(kv);
}

/* ---- the config space ---- */

static void config_event(void *priv, unsigned int events)
{
	struct kvduse *kv = priv;
	int r;

	(void)events;
	if (kv->is_broken) {
		return;
	}
	if (vdpa_get_status(kv->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET) {
		log_warn(kv->vdev->name,
			 "vduse: a queue broke, and the driver cannot be told: "
			 "ignoring it until it resets");
	}
	r = kvduse_send_config(kv);
	if (r >= 0) {
		/* -EINVAL: nobody wants to know. */
		(void)kvduse_ioctl(kv, VDUSE_DEV_INJECT_CONFIG_IRQ, NULL);
	} else {
		warn_bad(kv, "a new config space", r);
	}
}

/* ---- life ---- */

static void recover(struct vdpa_turn *turn)
{
	struct kvduse *kv = container_of(turn, struct kvduse, kick_turn);
	int r;

	kv->is_kicked = false;
	restore_asids(kv);
	/* Harmless, as the config space may well have changed. */
	if (kvduse_ioctl(kv, VDUSE_DEV_INJECT_CONFIG_IRQ, NULL) < 0) {
		return;
	}
	log_info(kv->vdev->name, "vduse: going on with a driver's session");
	r = set_status(kv, STATUS_RUNNING);
	if (r < 0) {
		log_err(kv->vdev->name,
			"vduse: cannot go on, the driver has to reset: %s",
			err_text(r));
	}
}

void kvduse_recover(struct kvduse *kv)
{
	kv->is_recovering = true;
	kv->is_kicked = true;
	kv->kick_turn.fn = recover;
	vdpa_turn_start(kv->vdev, &kv->kick_turn);
}

int kvduse_msg_open(struct kvduse *kv)
{
	struct vdpa_callback cb = { .trigger_fd = -1 };
	int r = open_poll(kv);

	if (r == 0) {
		r = event_new(&kv->config, kv->loop, config_event, kv);
	}
	if (r == 0) {
		cb.trigger_fd = kv->config.fd;
		r = vdpa_set_config_cb(kv->vdev, &cb);
	}
	return r;
}

void kvduse_msg_close(struct kvduse *kv)
{
	static const struct vdpa_callback none = { .trigger_fd = -1 };

	kv->watch = loop_watch_free(kv->watch);
	kv->poll_fd = close_fd(kv->poll_fd);
	if (kv->config.watch) {
		(void)vdpa_set_config_cb(kv->vdev, &none); /* cannot fail */
		event_free(&kv->config);
	}
}
