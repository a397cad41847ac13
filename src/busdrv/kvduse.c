/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vduse bus driver: probe and remove, and what a user may choose.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/kvduse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "busdrv/kvduse_internal.h"

#define DIR_DEFAULT "/dev/vduse"

/* ---- options ---- */

static int copy_path(const char *key, const char *value, char *ret)
{
	if (value[0] != '/' || strlen(value) >= KVDUSE_PATH_MAX) {
		return err(-EINVAL,
			   "%s: '%s' is not an absolute path of at "
			   "most %d bytes",
			   key, value, KVDUSE_PATH_MAX - 1);
	}
	(void)snprintf(ret, KVDUSE_PATH_MAX, "%s", value);
	return 0;
}

static int check_name(const char *name)
{
	if (!name_is_valid(name) || strcmp(name, "control") == 0) {
		return err(-EINVAL, "name: '%s' cannot name a device", name);
	}
	return 0;
}

static int set_name(struct kvduse *kv, const char *value)
{
	(void)snprintf(kv->name, sizeof(kv->name), "%s", value);
	return check_name(value);
}

static int set_attach(struct kvduse *kv, const char *value)
{
	return parse_bool("attach", value, &kv->attaches);
}

static int set_keep(struct kvduse *kv, const char *value)
{
	return parse_bool("keep", value, &kv->keeps);
}

static int set_inflight(struct kvduse *kv, const char *value)
{
	if (strcmp(value, "off") == 0) {
		kv->log.path[0] = '\0';
		return 0;
	}
	return copy_path("inflight", value, kv->log.path);
}

static int set_dir(struct kvduse *kv, const char *value)
{
	return copy_path("dir", value, kv->dir);
}

static const struct vdpa_key keys[] = {
	{ "name", "NAME", "in the kernel (default: the device's)" },
	{ "attach", "on|off",
	  "put it on the kernel's vDPA bus; needs CAP_NET_ADMIN (default on)" },
	{ "keep", "on|off",
	  "when the daemon ends, leave the device to its next one (default "
	  "off)" },
	{ "inflight", "PATH|off",
	  "keep there what is in flight (default: in the daemon's folder)" },
	{ "dir", "DIR", "of the kernel's files (default " DIR_DEFAULT ")" },
};

static int (*const setters[])(struct kvduse *kv, const char *value) = {
	set_name, set_attach, set_keep, set_inflight, set_dir,
};
_Static_assert(ARRAY_SIZE(setters) == ARRAY_SIZE(keys), "one for each key");

static int set_param(struct kvduse *kv, const struct vdpa_param *param)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(param->key, keys[i].name) == 0) {
			return setters[i](kv, param->value);
		}
	}
	return err(-EINVAL, "vduse takes no '%s'", param->key);
}

/* After the name, on which it depends. */
static void default_log(struct kvduse *kv)
{
	const char *dir = vdpa_bus_run_dir(kv->vdev->bus);
	int n;

	if (!dir) {
		return;
	}
	n = snprintf(kv->log.path, sizeof(kv->log.path), "%s/vduse-%s.inflight",
		     dir, kv->name);
	if (n >= (int)sizeof(kv->log.path)) {
		kv->log.path[0] = '\0';
		log_warn(kv->vdev->name,
			 "vduse: ignoring that %s is too long a path for the "
			 "inflight log",
			 dir);
	}
}

static int set_params(struct kvduse *kv, const struct vdpa_param *params,
		      unsigned int n)
{
	bool has_log = false;
	int r = 0;

	for (unsigned int i = 0; i < n && r == 0; i++) {
		r = set_param(kv, &params[i]);
		has_log |= strcmp(params[i].key, "inflight") == 0;
	}
	if (r == 0) {
		r = check_name(kv->name); /* may be the device's own */
	}
	if (r == 0 && !has_log) {
		default_log(kv);
	}
	return r;
}

/* ---- the end ---- */

static void release(struct kvduse *kv)
{
	kvduse_job_leave(kv);
	loop_timer_cancel(&kv->held_timer);
	kvduse_msg_close(kv);
	if (kv->vqs) {
		kvduse_vqs_forget(kv);
	}
	kvduse_mem_drop(kv);
	kvduse_vqs_free(kv);
	if (kv->is_gone) {
		*kv->is_gone = true;
	}
}

/* A driver that is still there finds its requests in the log's keeping. */
static void stop_session(struct kvduse *kv)
{
	if (kv->status != 0) {
		(void)vdpa_reset(kv->vdev, 0); /* there is no other way on */
	}
}

static void finish(struct kvduse *kv)
{
	struct vdpa_device *vdev = kv->vdev;
	bool is_over;

	stop_session(kv);
	release(kv);
	is_over = !kv->keeps && kvduse_dev_destroy(kv) == 0;
	if (!is_over) {
		log_line(kv->keeps ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
			 vdev->name,
			 "vduse: %s/%s stays in the kernel, for whoever binds "
			 "it again",
			 kv->dir, kv->name);
	}
	kvduse_log_close(kv, is_over);
	kvduse_dev_close(kv);
	free(kv);
	vdpa_removed(vdev);
}

static void end_turn(struct vdpa_turn *turn)
{
	finish(container_of(turn, struct kvduse, end_turn));
}

/* The device may have to be waited for. */
static void finish_in_turn(struct kvduse *kv)
{
	kv->end_turn.fn = end_turn;
	vdpa_turn_start(kv->vdev, &kv->end_turn);
}

/* ---- attaching and detaching ---- */

static void start_detaching(struct kvduse *kv);

/* What went on alone has ended. */
static void job_done(void *priv, unsigned int events)
{
	struct kvduse *kv = priv;
	bool was_attaching = kv->job->fn == kv->sys->attach;
	int r;

	(void)events;
	if (!kvduse_job_take(kv, &r)) {
		return;
	}
	if (!was_attaching && r == -EBUSY && kv->is_leaving) {
		(void)loop_timer_set(&kv->held_timer, KVDUSE_HELD_NS);
		return;
	}
	if (r < 0 && !(was_attaching && r == -EEXIST && kv->is_found)) {
		log_warn(kv->vdev->name, "vduse: ignoring: %s", err_text(r));
	}
	if (kv->is_leaving && was_attaching) {
		start_detaching(kv);
	} else if (kv->is_leaving) {
		finish_in_turn(kv);
	}
}

static int watch_job(struct kvduse *kv)
{
	return loop_watch_new(kv->loop, kv->job->done_fd, LOOP_IN, job_done, kv,
			      &kv->job_watch);
}

static void start_detaching(struct kvduse *kv)
{
	int r = 0;

	if (kv->job_watch) {
		return; /* it is still attaching */
	}
	if (!kv->job) {
		r = kvduse_job_start(kv, kv->sys->detach);
	}
	if (r == 0) {
		r = watch_job(kv);
	}
	if (r < 0) {
		log_warn(kv->vdev->name, "vduse: ignoring: %s", err_text(r));
		finish_in_turn(kv);
	}
}

static void held_again(void *priv)
{
	start_detaching(priv);
}

static void detach_now(struct kvduse *kv)
{
	int r = 0;

	loop_timer_cancel(&kv->held_timer);
	if (kv->job) {
		kv->job_watch = loop_watch_free(kv->job_watch);
		r = kvduse_job_wait(kv);
	}
	if (r != -ETIMEDOUT) {
		r = kvduse_job_start(kv, kv->sys->detach);
		r = r == 0 ? kvduse_job_wait(kv) : r;
	}
	if (r < 0) {
		log_warn(kv->vdev->name, "vduse: ignoring: %s", err_text(r));
	}
}

/* With the kernel's driver on it, where that does not take too long. */
static int attach(struct kvduse *kv)
{
	int r = kvduse_job_start(kv, kv->sys->attach);

	if (r < 0) {
		return r;
	}
	if (kv->vdev->may_wait) {
		return watch_job(kv);
	}
	r = kvduse_job_wait(kv);
	if (r == -ETIMEDOUT) {
		log_warn(kv->vdev->name, "vduse: ignoring: %s", err_text(r));
		return watch_job(kv);
	}
	return r == -EEXIST && kv->is_found ? 0 : r;
}

/* ---- probe and remove ---- */

static int start(struct kvduse *kv)
{
	int r = kvduse_dev_open(kv);

	if (r == 0) {
		r = kvduse_log_open(kv);
	}
	if (r == 0) {
		r = kvduse_vqs_new(kv);
	}
	if (r == 0) {
		r = kvduse_msg_open(kv);
	}
	if (r == 0 && kv->is_found) {
		kvduse_recover(kv);
	}
	if (r == 0 && kv->attaches) {
		r = attach(kv);
	}
	return r;
}

/* What was found is left as it was. */
static void give_up(struct kvduse *kv)
{
	stop_session(kv);
	release(kv);
	if (kv->fd >= 0 && !kv->is_found) {
		(void)kvduse_dev_destroy(kv); /* nobody else has it */
	}
	kvduse_log_close(kv, !kv->is_found);
	kvduse_dev_close(kv);
	free(kv);
}

static int kvduse_probe(struct vdpa_driver *drv, struct vdpa_device *vdev,
			const struct vdpa_param *params, unsigned int n_params)
{
	struct kvduse *kv = calloc(1, sizeof(*kv));
	int r;

	if (!kv) {
		return -ENOMEM;
	}
	kv->vdev = vdev;
	kv->sys = drv->priv;
	kv->loop = vdpa_bus_control(vdev->bus);
	kv->attaches = true;
	kv->control_fd = -1;
	kv->fd = -1;
	kv->poll_fd = -1;
	kv->log.fd = -1;
	loop_timer_init(&kv->held_timer, kv->loop, held_again, kv);
	(void)snprintf(kv->name, sizeof(kv->name), "%s", vdev->name);
	(void)snprintf(kv->dir, sizeof(kv->dir), "%s", DIR_DEFAULT);
	r = set_params(kv, params, n_params);
	if (r == 0) {
		r = start(kv);
	}
	if (r < 0) {
		char text[ERR_TEXT_MAX];

		(void)snprintf(text, sizeof(text), "%s", err_text(r));
		give_up(kv);
		return err(r, "%s", text);
	}
	vdev->driver_priv = kv;
	return 0;
}

static bool kvduse_is_busy(struct vdpa_device *vdev)
{
	const struct kvduse *kv = vdev->driver_priv;

	/* A driver that has left acknowledges that there is a device. */
	return (kv->status & ~VIRTIO_CONFIG_S_ACKNOWLEDGE) != 0;
}

static void kvduse_remove(struct vdpa_device *vdev, bool force)
{
	struct kvduse *kv = vdev->driver_priv;
	bool is_kept = force && kv->keeps;

	kv->keeps = is_kept;
	if (!force && kvduse_is_busy(vdev)) {
		kv->is_leaving = true;
		start_detaching(kv); /* goes on when the kernel has let go */
		return;
	}
	kv->is_leaving = true;
	if (!is_kept) {
		detach_now(kv);
	}
	finish(kv);
}

static void kvduse_describe(struct vdpa_device *vdev, char *buf, size_t size)
{
	const struct kvduse *kv = vdev->driver_priv;

	(void)snprintf(buf, size, "path %s/%s%s%s", kv->dir, kv->name,
		       kvduse_is_busy(vdev) ? " in use" : "",
		       kv->is_broken ? " broken" : "");
}

int kvduse_register_on(struct vdpa_bus *bus, const struct kvduse_sys *sys,
		       struct vdpa_driver **ret)
{
	struct vdpa_driver *drv = calloc(1, sizeof(*drv));
	int r;

	if (!drv) {
		return -ENOMEM;
	}
	*drv = (struct vdpa_driver){
		.name = "vduse",
		.probe = kvduse_probe,
		.is_busy = kvduse_is_busy,
		.remove = kvduse_remove,
		.describe = kvduse_describe,
		.keys = keys,
		.n_keys = ARRAY_SIZE(keys),
		.priv = (void *)sys,
	};
	r = vdpa_driver_register(bus, drv);
	if (r < 0) {
		free(drv);
		return r;
	}
	*ret = drv;
	return 0;
}

int kvduse_register(struct vdpa_bus *bus, struct cdev *cdev,
		    struct vdpa_driver **ret)
{
	(void)cdev;
	return kvduse_register_on(bus, &kvduse_system, ret);
}

void kvduse_unregister(struct vdpa_driver *drv)
{
	vdpa_driver_unregister(drv);
	free(drv);
}
