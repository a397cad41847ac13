/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library's beginning and end, and how its calls get where they are done.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "busdrv/virtio_vdpa.h"
#include "lib/lib_internal.h"

const char *vdpakit_error(void)
{
	return err_last();
}

/* ---- calls ---- */

int lib_check_caller(const struct vdpakit *kit)
{
	if (!kit) {
		return err(-EINVAL, "there is no kit: see vdpakit_new()");
	}
	if (loop_has_this_thread()) {
		return err(-EDEADLK, "not in a callback of this library's: let "
				     "a thread of your own do it");
	}
	if (kit->pid != getpid()) {
		return err(-EPERM,
			   "the kit belongs to process %d: after fork() a "
			   "child needs one of its own",
			   (int)kit->pid);
	}
	return 0;
}

int lib_enter(struct vdpakit *kit, const char *who)
{
	int r = lib_check_caller(kit);

	if (r < 0) {
		return err_context(r, "%s", who);
	}
	(void)pthread_mutex_lock(&kit->lock); /* see lib_check_caller() */
	return 0;
}

int lib_leave(struct vdpakit *kit, const char *who, int result)
{
	(void)pthread_mutex_unlock(&kit->lock); /* locked by lib_enter() */
	return err_context(result, "%s", who);
}

void lib_call_end(struct lib_call *call, int result)
{
	call->result = result;
	if (result < 0) {
		(void)snprintf(call->text, sizeof(call->text), "%s",
			       err_text(result));
	}
	loop_done(call->done);
}

static void run_call(void *priv, struct loop_done *done)
{
	struct lib_call *call = priv;

	call->done = done;
	call->fn(call);
}

int lib_call(struct vdpakit *kit, struct lib_call *call)
{
	call->kit = kit;
	loop_call_until(kit->control, run_call, call);
	return call->result < 0 ? err(call->result, "%s", call->text)
				: call->result;
}

/* ---- calls on devices ---- */

struct job_call {
	struct lib_call call;
	struct virtio_vdpa_job job;
	const char *name;
	struct virtio_device **vdev;
	int (*fn)(void *priv);
	void *priv;
};

static void job_done(void *priv, int result)
{
	struct job_call *c = priv;

	lib_call_end(&c->call, result);
}

static int run_fn(void *priv)
{
	struct job_call *c = priv;

	return c->fn(c->priv);
}

static void start_job(struct lib_call *call)
{
	struct job_call *c = container_of(call, struct job_call, call);

	c->job = (struct virtio_vdpa_job){ run_fn, job_done, c };
	virtio_vdpa_run(*c->vdev, &c->job);
}

int lib_bind(struct vdpakit *kit, const char *name, const char *driver,
	     struct vdpa_device **ret)
{
	struct vdpa_bus *bus = instance_bus(kit->instance);
	struct vdpa_device *vdev = vdpa_device_find(bus, name);
	int r = 0;

	if (!vdev) {
		return err(-ENODEV,
			   "there is no device %s: vdpakit_dev_add() makes one",
			   name);
	}
	if (!vdev->driver || strcmp(vdev->driver->name, driver) != 0) {
		r = vdpa_dev_bind(bus, name, driver, NULL, 0);
	}
	if (r < 0) {
		return r;
	}
	*ret = vdev;
	return 0;
}

static void find_and_start(struct lib_call *call)
{
	struct job_call *c = container_of(call, struct job_call, call);
	struct vdpa_device *vdev;
	int r = lib_bind(call->kit, c->name, "virtio_vdpa", &vdev);

	if (r < 0) {
		lib_call_end(call, r);
		return;
	}
	*c->vdev = virtio_vdpa_get(vdev);
	if (!*c->vdev) {
		lib_call_end(call,
			     err(-ENODEV, "%s is being deleted", c->name));
		return;
	}
	start_job(call);
}

int lib_call_on(struct vdpakit *kit, struct virtio_device *vdev,
		int (*fn)(void *priv), void *priv)
{
	struct job_call c = {
		.call.fn = start_job, .vdev = &vdev, .fn = fn, .priv = priv
	};

	return lib_call(kit, &c.call);
}

int lib_call_on_name(struct vdpakit *kit, const char *name,
		     struct virtio_device **ret_vdev, int (*fn)(void *priv),
		     void *priv)
{
	struct job_call c = { .call.fn = find_and_start,
			      .name = name,
			      .vdev = ret_vdev,
			      .fn = fn,
			      .priv = priv };

	return name ? lib_call(kit, &c.call)
		    : err(-EINVAL, "a name is missing");
}

int lib_take_options(void *to, size_t to_size, const void *from)
{
	size_t size;

	memset(to, 0, to_size);
	memcpy(to, &to_size, sizeof(to_size));
	if (!from) {
		return 0;
	}
	memcpy(&size, from, sizeof(size));
	if (size < sizeof(size)) {
		return err(-EINVAL, "the options' size is not set");
	}
	for (size_t i = to_size; i < size; i++) {
		if (((const char *)from)[i] != 0) {
			return err(-EINVAL,
				   "options of %zu bytes, of which this "
				   "version (%s) knows %zu",
				   size, VDPAKIT_VERSION, to_size);
		}
	}
	memcpy((char *)to + sizeof(size), (const char *)from + sizeof(size),
	       min_of(size, to_size) - sizeof(size));
	return 0;
}

/* ---- life ---- */

static int make_instance(struct vdpakit *kit,
			 const struct vdpakit_options *options)
{
	struct instance_options o = {
		.n_workers = options->n_workers,
		.default_driver = "virtio_vdpa",
	};
	int r = 0;

	if (options->loop) {
		r = loop_kind_parse(options->loop, &o.loop);
	}
	if (r == 0) {
		r = instance_new(&o, &kit->instance);
	}
	if (r < 0) {
		return r;
	}
	kit->control = instance_control(kit->instance);
	kit->ctx.kit = kit->instance;
	kit->ctx.start_ns = loop_now_ns(kit->control);
	r = dma_pool_new(&kit->pool);
	return r < 0 ? r : lib_devices_init(kit);
}

static void free_kit(struct vdpakit *kit)
{
	lib_devices_fini(kit);
	instance_free(kit->instance);
	dma_pool_free(kit->pool);
	(void)pthread_mutex_destroy(&kit->lock); /* nobody is in a call */
	free(kit);
}

int vdpakit_new(const struct vdpakit_options *options, struct vdpakit **ret)
{
	struct vdpakit_options o;
	struct vdpakit *kit;
	int r = lib_take_options(&o, sizeof(o), options);

	if (r == 0 && loop_has_this_thread()) {
		r = err(-EDEADLK, "not in a callback of this library's");
	}
	if (r < 0) {
		return err_context(r, "%s", __func__);
	}
	kit = calloc(1, sizeof(*kit));
	if (!kit) {
		return err(-ENOMEM, "%s: out of memory", __func__);
	}
	kit->pid = getpid();
	list_init(&kit->opens);
	list_init(&kit->mmios);
	(void)pthread_mutex_init(&kit->lock, NULL); /* does not fail on Linux */
	r = make_instance(kit, &o);
	if (r == 0) {
		r = loop_start(kit->control);
	}
	if (r < 0) {
		free_kit(kit);
		return err_context(r, "%s", __func__);
	}
	*ret = kit;
	return 0;
}

void vdpakit_free(struct vdpakit *kit)
{
	struct lib_open *open, *tmp;

	/* In a forked child there are no threads to end: it is left alone. */
	if (!kit || lib_check_caller(kit) < 0) {
		return;
	}
	list_for_each_entry_safe(open, tmp, &kit->opens, node) {
		open->close(open);
	}
	lib_mmio_close_all(kit);
	lib_devices_fini(kit);
	loop_stop(kit->control);
	free_kit(kit);
}
