/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost_vdpa device whose other side is in the same process. See rvdpa_rig.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "rvdpa_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "uapi/compat.h"

#define TURN_NS	    1000000
#define PATIENCE_MS 20000

static struct rvdpa_rig *the_rig;
static pthread_mutex_t hold_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t hold_cond = PTHREAD_COND_INITIALIZER;

/* ---- system calls: on the device's thread ---- */

static void maybe_hold(struct rvdpa_rig *rig, unsigned long cmd)
{
	pthread_mutex_lock(&hold_lock);
	while (rig->hold_cmd == cmd) {
		rig->is_held = true;
		pthread_cond_broadcast(&hold_cond);
		pthread_cond_wait(&hold_cond, &hold_lock);
	}
	rig->is_held = false;
	pthread_mutex_unlock(&hold_lock);
}

static void count(unsigned int *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

/* Locked. */
static bool does_fail(const struct rvdpa_rig *rig, unsigned long cmd)
{
	bool is_any = rig->fail_cmd == RVDPA_RIG_WRITE &&
		      (cmd & ~0xffUL) == RVDPA_RIG_WRITE;

	return (is_any || rig->fail_cmd == cmd) && rig->fail_count > 0;
}

/* Return: 0 go on; -errno */
static int before(struct rvdpa_rig *rig, unsigned long cmd)
{
	int r = 0;

	count(&rig->n_calls);
	if (cmd == RVDPA_RIG_MSG(VHOST_IOTLB_UPDATE)) {
		count(&rig->n_updates);
	}
	if (cmd == RVDPA_RIG_MSG(VHOST_IOTLB_BATCH_BEGIN)) {
		count(&rig->n_batches);
	}
	maybe_hold(rig, cmd);
	pthread_mutex_lock(&hold_lock);
	if (does_fail(rig, cmd)) {
		rig->fail_count -= rig->fail_count != UINT32_MAX;
		r = -rig->fail_errno;
	}
	pthread_mutex_unlock(&hold_lock);
	return r;
}

static int rig_open(const char *path)
{
	struct rvdpa_rig *rig = the_rig;
	int64_t r = before(rig, RVDPA_RIG_OPEN);
	int pair[2];

	if (r < 0) {
		return (int)r;
	}
	r = cdev_local_open(rig->peer->local, path, O_RDWR, &rig->file);
	if (r < 0) {
		return (int)r;
	}
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	rig->sock = pair[1];
	return pair[0];
}

static void lie(struct rvdpa_rig *rig, unsigned long cmd, void *arg)
{
	bool is_state = cmd == VHOST_VDPA_GET_VRING_GROUP ||
			cmd == VHOST_VDPA_GET_VRING_DESC_GROUP ||
			cmd == VHOST_GET_VRING_BASE ||
			cmd == VHOST_VDPA_GET_VRING_SIZE;

	if (rig->lie_cmd != cmd) {
		return;
	}
	memcpy(is_state ? (char *)arg + 4 : arg, &rig->lie,
	       is_state ? 4 : min_of((size_t)_IOC_SIZE(cmd), sizeof(rig->lie)));
}

static int rig_ioctl(int fd, unsigned long cmd, void *arg)
{
	struct rvdpa_rig *rig = the_rig;
	int r = before(rig, cmd);

	(void)fd;
	if (r == 0) {
		r = (int)cdev_local_ioctl(rig->peer->local, rig->file, cmd,
					  arg);
	}
	if (r == 0) {
		lie(rig, cmd, arg);
	}
	return r;
}

static int rig_write(int fd, const void *buf, size_t len)
{
	struct rvdpa_rig *rig = the_rig;
	struct vhost_msg_v2 msg;
	int r;

	(void)fd;
	assert_int_equal(len, sizeof(msg));
	memcpy(&msg, buf, sizeof(msg));
	r = before(rig, RVDPA_RIG_MSG(msg.iotlb.type));
	if (r == 0) {
		r = (int)cdev_local_write(rig->peer->local, rig->file, buf,
					  len);
	}
	return r >= 0 && rig->lie_cmd == RVDPA_RIG_WRITE ? (int)rig->lie : r;
}

/* As soon as the file is closed it may be opened anew, by another thread. */
static void rig_close(int fd)
{
	struct rvdpa_rig *rig = the_rig;
	int sock = rig->sock;

	rig->sock = -1;
	cdev_local_close(rig->peer->local, rig->file);
	close(fd);
	close(sock);
}

static const struct rvdpa_sys rig_system = {
	.open = rig_open,
	.ioctl = rig_ioctl,
	.write = rig_write,
	.close = rig_close,
};

/* ---- waiting ---- */

static void stop_control(void *priv)
{
	struct vworld *w = priv;

	loop_stop(w->control);
}

/* Calls of the client that last run the loop meanwhile. */
static void turn(void *priv)
{
	struct vworld *w = priv;
	struct loop_timer timer;

	loop_timer_init(&timer, w->control, stop_control, w);
	assert_int_equal(loop_timer_set(&timer, TURN_NS), 0);
	assert_int_equal(loop_run(w->control), 0);
}

void rvdpa_rig_turn(struct rvdpa_rig *rig)
{
	turn(rig->w);
}

void rvdpa_rig_until(struct rvdpa_rig *rig, bool (*until)(void *priv),
		     void *priv)
{
	for (unsigned int i = 0; !until(priv); i++) {
		assert_in_range(i, 0, PATIENCE_MS);
		turn(rig->w);
	}
}

static bool is_readable(void *priv)
{
	struct pollfd p = { .fd = *(int *)priv, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

void rvdpa_rig_wait(struct rvdpa_rig *rig, int fd)
{
	rvdpa_rig_until(rig, is_readable, &fd);
}

void rvdpa_rig_let_go(struct rvdpa_rig *rig)
{
	pthread_mutex_lock(&hold_lock);
	rig->hold_cmd = 0;
	pthread_cond_broadcast(&hold_cond);
	pthread_mutex_unlock(&hold_lock);
}

void rvdpa_rig_await_held(struct rvdpa_rig *rig)
{
	pthread_mutex_lock(&hold_lock);
	while (!rig->is_held) {
		pthread_cond_wait(&hold_cond, &hold_lock);
	}
	pthread_mutex_unlock(&hold_lock);
}

/* ---- life ---- */

struct rvdpa_rig *rvdpa_rig_new(const char *mgmtdev, const char *keys)
{
	struct rvdpa_rig *rig = calloc(1, sizeof(*rig));
	int r;

	assert_non_null(rig);
	assert_null(the_rig);
	the_rig = rig;
	rig->sock = -1;
	rig->fail_count = UINT32_MAX;
	rig->peer = vworld_new(NULL, 1);
	r = vworld_add_keys(rig->peer, mgmtdev, "p0", 0, keys);
	if (r < 0) {
		fail_msg("dev add p0: %s", err_text(r));
	}
	assert_int_equal(loop_start(rig->peer->control), 0);
	rig->w = vworld_new(NULL, 1);
	cdev_local_set_turn(rig->w->local, turn, rig->w);
	assert_int_equal(
		rvdpa_register_on(rig->w->bus, &rig_system, &rig->mgmtdev), 0);
	return rig;
}

void rvdpa_rig_free(struct rvdpa_rig *rig)
{
	if (rig->c) {
		vclient_close(rig->c);
	}
	rvdpa_rig_let_go(rig);
	turn(rig->w); /* what is under way to it */
	rvdpa_unregister(rig->mgmtdev);
	turn(rig->w);
	vworld_free(rig->w);
	loop_stop(rig->peer->control);
	vworld_free(rig->peer);
	the_rig = NULL;
	free(rig);
}

/* Of what the management commands say later. */
struct ending {
	int result;
	char text[ERR_TEXT_MAX];
	bool is_done;
};

static void ended(void *priv, int result)
{
	struct ending *e = priv;

	e->result = result;
	(void)snprintf(e->text, sizeof(e->text), "%s", err_text(result));
	e->is_done = true;
}

static bool has_ended(void *priv)
{
	const struct ending *e = priv;

	return e->is_done;
}

static int begin(struct rvdpa_rig *rig, const char *keys, struct ending *e)
{
	const struct vdpa_dev_expect how = {
		.done = ended,
		.priv = e,
		.is_once = true,
	};
	struct vdpa_dev_config config = { 0 };

	vworld_parse_keys(keys, &config);
	return vdpa_dev_expect(rig->w->bus, NULL, "vhost_vdpa", "d0", &config,
			       &how);
}

int rvdpa_rig_add(struct rvdpa_rig *rig, const char *keys)
{
	struct ending e = { 0 };
	char all[256];
	int r;

	(void)snprintf(all, sizeof(all), "path=vhost-vdpa-0 %s", keys);
	r = begin(rig, all, &e);
	if (r != VDPA_ASKED) {
		return r;
	}
	rvdpa_rig_until(rig, has_ended, &e);
	return e.result < 0 ? err(e.result, "%s", e.text) : 0;
}

void rvdpa_rig_open(struct rvdpa_rig *rig)
{
	int64_t r = vclient_open(rig->w, "vhost-vdpa-0", &rig->c);

	if (r < 0) {
		fail_msg("open: %s", strerror((int)-r));
	}
}

struct vdpa_device *rvdpa_rig_dev(struct rvdpa_rig *rig)
{
	struct vdpa_device *vdev = vdpa_device_find(rig->w->bus, "d0");

	assert_non_null(vdev);
	return vdev;
}

struct count_maps {
	struct rvdpa_rig *rig;
	uint32_t asid;
	unsigned int n;
};

static void count_maps(void *priv)
{
	struct count_maps *c = priv;

	c->n = vdpa_n_maps(vdpa_device_find(c->rig->peer->bus, "p0"), c->asid);
}

unsigned int rvdpa_rig_peer_maps(struct rvdpa_rig *rig, uint32_t asid)
{
	struct count_maps c = { .rig = rig, .asid = asid };

	loop_call_wait(rig->peer->control, count_maps, &c);
	return c.n;
}

void rvdpa_rig_del(struct rvdpa_rig *rig)
{
	struct ending e = { 0 };

	assert_int_equal(vdpa_dev_del(rig->w->bus, "d0", ended, &e), 0);
	rvdpa_rig_until(rig, has_ended, &e);
	assert_int_equal(e.result, 0);
}
