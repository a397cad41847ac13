/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: what moves with a guest besides its memory and rings: the
 * device's own state, through a pipe, and what the network is to know.
 *
 * The pipe is read and written as it gets ready; nothing here waits for the
 * front end. It says CHECK_DEVICE_STATE when it has seen the end of the pipe,
 * or made it: then everything is there, or it went wrong.
 *
 * O_NONBLOCK belongs to the open pipe, which is the front end's, too: it can be
 * cleared at any time. So each read and write says for itself that it must not
 * wait. Kernels before 6.4 cannot be told that of pipes; there a front end can
 * hold up its own device's control thread.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "busdrv/vhost_user_internal.h"

/* Smallest that an IPv4 link may have. */
#define MTU_MIN 68

enum {
	SAVE,
	LOAD
};

/* ---- the transfer ---- */

void vhost_user_transfer_drop(struct vhost_user *vu)
{
	struct vhost_user_transfer *t = &vu->transfer;

	t->watch = loop_watch_free(t->watch);
	t->fd = close_fd(t->fd);
	free(steal_ptr(t->buf));
}

static void finish(struct vhost_user *vu, int result)
{
	vhost_user_transfer_drop(vu);
	vu->transfer.result = result;
}

/* As read() and write() on what does not block. */
static ssize_t read_now(int fd, void *buf, size_t len)
{
	const struct iovec iov = { buf, len };
	ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	return n < 0 && errno == EOPNOTSUPP ? read(fd, buf, len) : n;
}

static ssize_t write_now(int fd, void *buf, size_t len)
{
	const struct iovec iov = { buf, len };
	ssize_t n = pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);

	return n < 0 && errno == EOPNOTSUPP ? write(fd, buf, len) : n;
}

/* Return: 1 done; 0 the rest later; -errno */
static int write_some(struct vhost_user_transfer *t)
{
	while (t->done < t->size) {
		ssize_t n =
			write_now(t->fd, t->buf + t->done, t->size - t->done);

		if (n < 0) {
			return errno == EAGAIN ? 0 : -errno;
		}
		t->done += (size_t)n;
	}
	return 1;
}

/* The same; the end of the file is the end. */
static int read_some(struct vhost_user_transfer *t)
{
	for (;;) {
		ssize_t n =
			read_now(t->fd, t->buf + t->done, t->size - t->done);

		if (n < 0) {
			return errno == EAGAIN ? 0 : -errno;
		}
		if (n == 0) {
			return 1;
		}
		t->done += (size_t)n;
		if (t->done == t->size) {
			return err(-EFBIG,
				   "a device state of more than %u "
				   "bytes",
				   VDPA_STATE_MAX);
		}
	}
}

static void go_on(struct vhost_user *vu)
{
	struct vhost_user_transfer *t = &vu->transfer;
	int r = t->is_load ? read_some(t) : write_some(t);

	if (r > 0 && t->is_load) {
		r = vdpa_load_state(vu->vdev, t->buf, t->done);
		finish(vu, r);
	} else if (r != 0) {
		finish(vu, min_of(r, 0));
	}
}

static void transfer_ready(void *priv, unsigned int events)
{
	(void)events;
	go_on(priv);
}

/* One byte more than there may be, to see that there are too many. */
static int fill(struct vhost_user *vu, bool is_load)
{
	struct vhost_user_transfer *t = &vu->transfer;
	int64_t n = 0;

	t->buf = malloc(VDPA_STATE_MAX + 1);
	if (!t->buf) {
		return -ENOMEM;
	}
	if (!is_load) {
		n = vdpa_save_state(vu->vdev, t->buf, VDPA_STATE_MAX);
	}
	t->is_load = is_load;
	t->done = 0;
	t->size = is_load ? VDPA_STATE_MAX + 1 : (size_t)n;
	return n < 0 ? (int)n : 0;
}

static int begin(struct vhost_user *vu, bool is_load, int take_fd)
{
	struct vhost_user_transfer *t = &vu->transfer;
	int r;

	vhost_user_transfer_drop(vu);
	t->result = -EINPROGRESS;
	t->fd = take_fd;
	r = fill(vu, is_load);
	if (r == 0) {
		r = fd_set_nonblock(t->fd);
	}
	if (r == 0) {
		r = loop_watch_new(vu->loop, t->fd,
				   is_load ? LOOP_IN : LOOP_OUT, transfer_ready,
				   vu, &t->watch);
	}
	if (r < 0) {
		finish(vu, r);
	}
	return r;
}

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 &&
	       (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* ---- messages ---- */

static int start(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	const struct vhost_user_device_state *s = &msg->payload.device_state;

	if (s->direction > LOAD || s->phase != 0 || !is_pipe(msg->fds[0])) {
		return err(-EINVAL, "direction %u, phase %u", s->direction,
			   s->phase);
	}
	if (vhost_user_any_running(vu)) {
		return err(-EBUSY, "device state while rings run");
	}
	return begin(vu, s->direction == LOAD, steal_fd(&msg->fds[0]));
}

int vhost_user_set_device_state_fd(struct vhost_user *vu,
				   struct vhost_user_msg *msg)
{
	int r = start(vu, msg);

	vu->n_bad += r < 0;
	/* no descriptor of ours: the front end's is as good */
	msg->payload.u64 = VHOST_USER_VRING_NOFD | (r < 0);
	return 0;
}

int vhost_user_check_device_state(struct vhost_user *vu,
				  struct vhost_user_msg *msg)
{
	if (vu->transfer.fd >= 0) {
		go_on(vu); /* its end may have come after our last look */
	}
	msg->payload.u64 = vu->transfer.result != 0;
	return 0;
}

/* ---- the network ---- */

int vhost_user_send_rarp(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	uint8_t mac[6];

	memcpy(mac, &msg->payload.u64, sizeof(mac));
	return vdpa_announce(vu->vdev, mac);
}

/* The guest was told that MTU: can the device carry it? */
int vhost_user_net_set_mtu(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	uint64_t mtu = msg->payload.u64, max = UINT16_MAX;

	if (has_bit(vdpa_get_device_features(vu->vdev), VIRTIO_NET_F_MTU)) {
		uint8_t le[2];
		int r = vdpa_get_config_raw(
			vu->vdev, offsetof(struct virtio_net_config, mtu), le,
			sizeof(le));

		if (r < 0) {
			return r;
		}
		max = le[0] | (uint64_t)le[1] << 8;
	}
	if (mtu < MTU_MIN || mtu > max) {
		return err(-EINVAL, "an MTU of %llu, may be %u to %llu",
			   (unsigned long long)mtu, MTU_MIN,
			   (unsigned long long)max);
	}
	return 0;
}
