/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices of a kit: made and deleted by the methods of the daemon.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/lib_internal.h"
#include "mgmt/devspec.h"

struct add_call {
	struct lib_call call;
	json_t *params;
};

static void add_done(void *priv, int code, const char *text, json_t *result)
{
	struct add_call *add = priv;
	char copy[ERR_TEXT_MAX]; /* it may be this thread's last message */

	(void)result;
	(void)snprintf(copy, sizeof(copy), "%s", text ? text : "");
	lib_call_end(&add->call,
		     code == 0 ? 0
			       : err(code > 0 ? -code : -EINVAL, "%s", copy));
}

static void add(struct lib_call *call)
{
	struct add_call *c = container_of(call, struct add_call, call);

	rpc_invoke(&call->kit->ctx, "dev.add", c->params, true, add_done, c);
}

/* This program is what uses the device. */
static int check_no_bind(json_t *params)
{
	json_t *bind = NULL;
	int r = devspec_take_bind(params, &bind);

	if (r == 0 && bind) {
		json_decref(bind);
		r = err(-EINVAL, "bind: the device is for this program; leave "
				 "the word out");
	}
	return r;
}

int vdpakit_dev_add(struct vdpakit *kit, const char *words)
{
	struct add_call c = { .call.fn = add };
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = words ? devspec_from_text(words, &c.params)
		  : err(-EINVAL, "words are missing");
	if (r == 0) {
		r = check_no_bind(c.params);
	}
	if (r == 0) {
		r = lib_call(kit, &c.call);
	}
	json_decref(c.params);
	return lib_leave(kit, __func__, r);
}

struct del_call {
	struct lib_call call;
	const char *name;
};

static void del_done(void *priv, int result)
{
	struct del_call *c = priv;

	lib_call_end(&c->call, result);
}

static void del(struct lib_call *call)
{
	struct del_call *c = container_of(call, struct del_call, call);
	struct vdpa_bus *bus = instance_bus(call->kit->instance);
	struct vdpa_device *vdev = vdpa_device_find(bus, c->name);
	int r;

	if (!vdev) {
		lib_call_end(call,
			     err(-ENODEV, "there is no device %s", c->name));
		return;
	}
	if (vdev->driver && strcmp(vdev->driver->name, "mmio") == 0) {
		vdpa_dev_cut(vdev); /* else it would wait for its user */
	}
	r = vdpa_dev_del(bus, c->name, del_done, c);
	if (r < 0) {
		lib_call_end(call, r);
	}
}

int vdpakit_dev_del(struct vdpakit *kit, const char *name)
{
	struct del_call c = { .call.fn = del, .name = name };
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = name ? lib_call(kit, &c.call) : err(-EINVAL, "a name is missing");
	return lib_leave(kit, __func__, r);
}
