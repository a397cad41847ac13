/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The management methods.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/rpc_methods.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "mgmt/objects.h"
#include "mgmt/objects_json.h"
#include "mgmt/rpc_params.h"

/* A handler's return value: the answer comes later. */
#define PENDING 1

struct call {
	struct rpc_ctx *ctx;
	struct vdpa_bus *bus;
	bool is_admin;
	struct rpc_arg args[RPC_PARAMS_MAX];
	rpc_done_fn done;
	void *priv;
};

/**
 * struct method - one row of the table
 *
 * @needs_admin: changes something
 * @fn: 0 and *ret_result, or -errno with err_text(), or PENDING
 */
struct method {
	const char *name;
	const char *help;
	bool needs_admin;
	const struct rpc_param *params;
	unsigned int n_params;
	int (*fn)(struct call *call, json_t **ret_result);
};

/* ---- handlers ---- */

/* {"KEY": {}}: where the objects of an answer go. */
static bool wrap(const char *key, json_t **ret_outer, json_t **ret_inner)
{
	*ret_outer = json_object();
	*ret_inner = json_object();
	return json_put(*ret_outer, key, *ret_inner);
}

static int answer(bool ok, json_t *take_obj, json_t **ret)
{
	*ret = json_if(ok, take_obj);
	return *ret ? 0 : err(-ENOMEM, "out of memory");
}

static int no_answer(json_t **ret)
{
	return answer(true, json_object(), ret);
}

enum {
	MGMTDEV_SHOW_MGMTDEV,
};
static const struct rpc_param mgmtdev_show_params[] = {
	{ "mgmtdev", RPC_STRING, false, MGMT_HANDLE_MAX - 1,
	  "[BUS/]MGMTDEV; without it all of them" },
};

static bool put_mgmtdev(json_t *list, const struct vdpa_mgmtdev *mgmtdev)
{
	char handle[MGMT_HANDLE_MAX];

	mgmt_handle(mgmtdev, handle, sizeof(handle));
	return json_put(list, handle, mgmt_json_mgmtdev(mgmtdev));
}

static int mgmtdev_show(struct call *call, json_t **ret)
{
	const struct rpc_arg *which = &call->args[MGMTDEV_SHOW_MGMTDEV];
	struct vdpa_mgmtdev *mgmtdev = NULL;
	json_t *outer, *list;
	bool ok;
	int r;

	if (which->is_set) {
		r = mgmt_find_mgmtdev(call->bus, which->text, &mgmtdev);
		if (r < 0) {
			return r;
		}
	}
	ok = wrap("mgmtdev", &outer, &list);
	if (mgmtdev) {
		ok &= put_mgmtdev(list, mgmtdev);
		return answer(ok, outer, ret);
	}
	while ((mgmtdev = vdpa_mgmtdev_next(call->bus, mgmtdev))) {
		ok &= put_mgmtdev(list, mgmtdev);
	}
	return answer(ok, outer, ret);
}

enum {
	MGMTDEV_SET_MGMTDEV,
	MGMTDEV_SET_PARAMS,
};
static const struct rpc_param mgmtdev_set_params[] = {
	{ "mgmtdev", RPC_STRING, true, MGMT_HANDLE_MAX - 1,
	  "[BUS/]MGMTDEV to change" },
	{ "params", RPC_DICT, true, VDPA_PARAMS_MAX, "its own keys" },
};

static unsigned int take_params(const struct rpc_arg *arg,
				struct vdpa_param params[VDPA_PARAMS_MAX]);

static int mgmtdev_set(struct call *call, json_t **ret)
{
	struct vdpa_dev_config config = { .is_admin = call->is_admin };
	struct vdpa_mgmtdev *mgmtdev;
	int r = mgmt_find_mgmtdev(
		call->bus, call->args[MGMTDEV_SET_MGMTDEV].text, &mgmtdev);

	if (r < 0) {
		return r;
	}
	config.n_params =
		take_params(&call->args[MGMTDEV_SET_PARAMS], config.params);
	r = vdpa_mgmtdev_set(mgmtdev, &config);
	return r < 0 ? r : no_answer(ret);
}

/*
 * dev.show and dev.config.show: of one device, or of all that are managed.
 * @put returns 0, -errno of why this device has none, or -ENOMEM.
 */
static int show_devs(struct call *call, const char *key,
		     int (*put)(struct vdpa_device *vdev, json_t *list),
		     json_t **ret)
{
	const struct rpc_arg *which = &call->args[0];
	struct vdpa_device *vdev = NULL;
	json_t *outer, *list;
	bool ok;
	int r = 0;

	if (which->is_set) {
		r = mgmt_find_dev(call->bus, which->text, &vdev);
		if (r < 0) {
			return r;
		}
	}
	ok = wrap(key, &outer, &list);
	if (vdev) {
		r = put(vdev, list);
	} else {
		while ((vdev = vdpa_device_next(call->bus, vdev))) {
			ok &= !vdev->mgmtdev || put(vdev, list) != -ENOMEM;
		}
	}
	if (r < 0) {
		json_decref(outer);
		return r;
	}
	return answer(ok, outer, ret);
}

static int put_dev(struct vdpa_device *vdev, json_t *list)
{
	struct mgmt_dev_info info;

	mgmt_dev_info(vdev, &info);
	return json_put(list, vdev->name, mgmt_json_dev(&info)) ? 0 : -ENOMEM;
}

static int put_config(struct vdpa_device *vdev, json_t *list)
{
	struct mgmt_config_info info;
	int r = mgmt_config_info(vdev, &info);

	if (r < 0) {
		return r;
	}
	return json_put(list, vdev->name, mgmt_json_config(&info)) ? 0
								   : -ENOMEM;
}

static const struct rpc_param show_params[] = {
	{ "name", RPC_STRING, false, VDPA_NAME_MAX - 1,
	  "of the device; without it all of them" },
};

static int dev_show(struct call *call, json_t **ret)
{
	return show_devs(call, "dev", put_dev, ret);
}

static int dev_config_show(struct call *call, json_t **ret)
{
	return show_devs(call, "config", put_config, ret);
}

enum {
	VSTATS_NAME,
	VSTATS_QIDX,
};
static const struct rpc_param vstats_params[] = {
	{ "name", RPC_STRING, true, VDPA_NAME_MAX - 1, "of the device" },
	{ "qidx", RPC_UINT, true, UINT32_MAX, "index of the virtqueue" },
};

static int dev_vstats_show(struct call *call, json_t **ret)
{
	struct mgmt_vstats_info info;
	struct vdpa_device *vdev;
	json_t *outer, *list;
	bool ok;
	int r;

	r = mgmt_find_dev(call->bus, call->args[VSTATS_NAME].text, &vdev);
	if (r < 0) {
		return r;
	}
	r = mgmt_vstats_info(vdev, (uint32_t)call->args[VSTATS_QIDX].value,
			     &info);
	if (r < 0) {
		return r;
	}
	ok = wrap("vstats", &outer, &list);
	ok &= json_put(list, vdev->name, mgmt_json_vstats(&info));
	return answer(ok, outer, ret);
}

/* dev.add and dev.set share the first rows. */
enum {
	ADD_NAME,
	ADD_MAC,
	ADD_PARAMS,
	ADD_MGMTDEV,
	ADD_MTU,
	ADD_MAX_VQP,
	ADD_FEATURES,
	ADD_WAIT,
	ADD_N,
};
static const struct rpc_param add_params[] = {
	[ADD_NAME] = { "name", RPC_STRING, true, VDPA_NAME_MAX - 1,
		       "of the new device" },
	[ADD_MAC] = { "mac", RPC_MAC, false, 0, "network: its address" },
	[ADD_PARAMS] = { "params", RPC_DICT, false, VDPA_PARAMS_MAX,
			 "keys of the management device" },
	[ADD_MGMTDEV] = { "mgmtdev", RPC_STRING, true, MGMT_HANDLE_MAX - 1,
			  "[BUS/]MGMTDEV that makes it" },
	[ADD_MTU] = { "mtu", RPC_UINT, false, UINT16_MAX,
		      "network: bytes of a packet" },
	[ADD_MAX_VQP] = { "max_vqp", RPC_UINT, false, UINT16_MAX,
			  "network: pairs of virtqueues" },
	[ADD_FEATURES] = { "device_features", RPC_HEX, false, 0,
			   "virtio feature bits to offer" },
	[ADD_WAIT] = { "wait", RPC_UINT, false, UINT16_MAX,
		       "seconds for another process to make it first; 0: "
		       "answer now, add it then" },
};
_Static_assert(ARRAY_SIZE(add_params) <= RPC_PARAMS_MAX, "room for all");

static const struct rpc_param set_params[] = {
	[ADD_NAME] = { "name", RPC_STRING, true, VDPA_NAME_MAX - 1,
		       "of the device" },
	[ADD_MAC] = { "mac", RPC_MAC, false, 0, "network: its new address" },
	[ADD_PARAMS] = { "params", RPC_DICT, false, VDPA_PARAMS_MAX,
			 "keys of its management device" },
};

static unsigned int take_params(const struct rpc_arg *arg,
				struct vdpa_param params[VDPA_PARAMS_MAX])
{
	unsigned int n = 0;
	const char *key;
	json_t *value;

	if (!arg->is_set) {
		return 0;
	}
	json_object_foreach(arg->dict, key, value) {
		struct vdpa_param *p = &params[n++];

		(void)snprintf(p->key, sizeof(p->key), "%s", key);
		(void)snprintf(p->value, sizeof(p->value), "%s",
			       json_string_value(value));
	}
	return n;
}

static void take_config(const struct call *call, struct vdpa_dev_config *ret)
{
	static const enum vdpa_attr attrs[ADD_N] = {
		[ADD_MAC] = VDPA_ATTR_MAC,
		[ADD_MTU] = VDPA_ATTR_MTU,
		[ADD_MAX_VQP] = VDPA_ATTR_MAX_VQP,
		[ADD_FEATURES] = VDPA_ATTR_FEATURES,
	};

	memset(ret, 0, sizeof(*ret));
	ret->is_admin = call->is_admin;
	for (unsigned int i = 0; i < ADD_N; i++) {
		if (call->args[i].is_set && attrs[i]) {
			ret->mask |= BIT_ULL(attrs[i]);
		}
	}
	memcpy(ret->mac, call->args[ADD_MAC].mac, sizeof(ret->mac));
	ret->mtu = (uint16_t)call->args[ADD_MTU].value;
	ret->max_vq_pairs = (uint16_t)call->args[ADD_MAX_VQP].value;
	ret->device_features = call->args[ADD_FEATURES].value;
	ret->n_params = take_params(&call->args[ADD_PARAMS], ret->params);
}

/* A call whose answer is given later. */
struct later {
	struct rpc_ctx *ctx;
	char name[VDPA_NAME_MAX];
	char event[32 + MGMT_HANDLE_MAX]; /* when it went well */
	rpc_done_fn done; /* NULL: it was given already */
	void *priv;
	bool is_patient; /* the device may come whenever it likes */
};

static void answer_later(const struct later *later, int result)
{
	json_t *obj = json_object();

	if (result < 0) {
		later->done(later->priv, -result, err_text(result), NULL);
	} else if (!obj) {
		later->done(later->priv, ENOMEM, strerror(ENOMEM), NULL);
	} else {
		later->done(later->priv, 0, NULL, obj);
	}
	json_decref(obj);
}

static void later_done(void *priv, int result)
{
	struct later *later = priv;

	if (result == 0) {
		mgmt_event(&later->ctx->events, later->name, "%s",
			   later->event);
	} else if (!later->done && result != -ESHUTDOWN) {
		mgmt_event(&later->ctx->events, later->name,
			   "cannot be added: %s", err_text(result));
	}
	if (later->done) {
		answer_later(later, result);
	}
	free(later);
}

/* It is expected for however long it takes: who asked need not wait. */
static void later_not_yet(void *priv)
{
	struct later *later = priv;

	if (later->is_patient) {
		answer_later(later, 0);
		later->done = NULL;
	}
}

static struct later *later_new(const struct call *call, const char *name)
{
	struct later *later = calloc(1, sizeof(*later));

	if (!later) {
		(void)err(-ENOMEM, "out of memory");
		return NULL;
	}
	later->ctx = call->ctx;
	(void)snprintf(later->name, sizeof(later->name), "%s", name);
	later->done = call->done;
	later->priv = call->priv;
	return later;
}

/* Return: 0 it is there; VDPA_ASKED: answered when it comes, or it is known that
 * it does not, or that this may take for ever; VDPA_EXPECTED: it may; -errno */
static int add(struct call *call, const char *bus_name,
	       const char *mgmtdev_name, const struct vdpa_dev_config *config)
{
	const struct rpc_arg *wait = &call->args[ADD_WAIT];
	const char *name = call->args[ADD_NAME].text;
	struct later *later = later_new(call, name);
	struct vdpa_dev_expect how = {
		.is_once = !wait->is_set,
		.timeout_s = (unsigned int)wait->value,
		.done = later_done,
		.not_yet = later_not_yet,
		.priv = later,
	};
	int r;

	if (!later) {
		return -ENOMEM;
	}
	later->is_patient = wait->is_set && wait->value == 0;
	(void)snprintf(later->event, sizeof(later->event), "added by %s",
		       mgmtdev_name);
	r = vdpa_dev_expect(call->bus, bus_name, mgmtdev_name, name, config,
			    &how);
	if (r == VDPA_EXPECTED && later->is_patient) {
		later->done = NULL;
		return r;
	}
	if (r != VDPA_EXPECTED && r != VDPA_ASKED) {
		free(later);
		return r;
	}
	return VDPA_ASKED;
}

static int dev_add(struct call *call, json_t **ret)
{
	struct vdpa_dev_config config;
	char bus_name[VDPA_NAME_MAX];
	const char *mgmtdev_name;
	int r = mgmt_split_handle(call->args[ADD_MGMTDEV].text, bus_name,
				  &mgmtdev_name);

	if (r < 0) {
		return r;
	}
	take_config(call, &config);
	r = add(call, bus_name[0] ? bus_name : NULL, mgmtdev_name, &config);
	if (r < 0) {
		return r;
	}
	if (r == VDPA_ASKED) {
		return PENDING;
	}
	if (r == VDPA_EXPECTED) {
		return no_answer(ret);
	}
	mgmt_event(&call->ctx->events, call->args[ADD_NAME].text, "added by %s",
		   call->args[ADD_MGMTDEV].text);
	return no_answer(ret);
}

static int dev_set(struct call *call, json_t **ret)
{
	struct vdpa_dev_config config;
	int r;

	take_config(call, &config);
	if (config.mask == 0 && config.n_params == 0) {
		return err(-EINVAL, "mac, or a key to change, is needed");
	}
	r = vdpa_dev_set(call->bus, call->args[ADD_NAME].text, &config);
	if (r < 0) {
		return r;
	}
	mgmt_event(&call->ctx->events, call->args[ADD_NAME].text,
		   config.n_params > 0 ? "its keys were changed"
				       : "its address was set");
	return no_answer(ret);
}

static const struct rpc_param name_params[] = {
	{ "name", RPC_STRING, true, VDPA_NAME_MAX - 1, "of the device" },
};

/* Whom to tell when a device is gone. */
static int dev_del(struct call *call, json_t **ret)
{
	struct later *later = later_new(call, call->args[0].text);
	int r;

	(void)ret;
	if (!later) {
		return -ENOMEM;
	}
	(void)snprintf(later->event, sizeof(later->event), "deleted");
	r = vdpa_dev_del(call->bus, call->args[0].text, later_done, later);
	if (r < 0) {
		free(later);
		return r;
	}
	return PENDING;
}

enum {
	BIND_NAME,
	BIND_DRIVER,
	BIND_PARAMS,
};
static const struct rpc_param bind_params[] = {
	{ "name", RPC_STRING, true, VDPA_NAME_MAX - 1, "of the device" },
	{ "driver", RPC_STRING, true, VDPA_NAME_MAX - 1,
	  "bus driver that shows it from now on" },
	{ "params", RPC_DICT, false, VDPA_PARAMS_MAX,
	  "keys of the bus driver" },
};

static int dev_bind(struct call *call, json_t **ret)
{
	struct vdpa_param params[VDPA_PARAMS_MAX];
	unsigned int n = take_params(&call->args[BIND_PARAMS], params);
	int r = vdpa_dev_bind(call->bus, call->args[BIND_NAME].text,
			      call->args[BIND_DRIVER].text, params, n);

	if (r < 0) {
		return r;
	}
	mgmt_event(&call->ctx->events, call->args[BIND_NAME].text,
		   "bound to %s", call->args[BIND_DRIVER].text);
	return no_answer(ret);
}

static int dev_unbind(struct call *call, json_t **ret)
{
	int r = vdpa_dev_unbind(call->bus, call->args[0].text);

	if (r < 0) {
		return r;
	}
	mgmt_event(&call->ctx->events, call->args[0].text, "unbound");
	return no_answer(ret);
}

static int driver_show(struct call *call, json_t **ret)
{
	struct vdpa_driver *drv = NULL;
	json_t *outer, *list;
	bool ok = wrap("driver", &outer, &list);

	while ((drv = vdpa_driver_next(call->bus, drv))) {
		ok &= json_put(list, drv->name,
			       mgmt_json_driver(call->bus, drv));
	}
	return answer(ok, outer, ret);
}

static unsigned int count_devices(struct vdpa_bus *bus)
{
	struct vdpa_device *vdev = NULL;
	unsigned int n = 0;

	while ((vdev = vdpa_device_next(bus, vdev))) {
		n++;
	}
	return n;
}

static int status(struct call *call, json_t **ret)
{
	struct rpc_ctx *ctx = call->ctx;
	uint64_t now_ns = loop_now_ns(instance_control(ctx->kit));
	json_t *outer, *obj;
	bool ok = wrap("status", &outer, &obj);

	ok &= json_put(obj, "version", json_string(VDPAKIT_VERSION));
	ok &= json_put(obj, "pid", json_integer(getpid()));
	ok &= json_put(obj, "uptime_ms",
		       json_u64((now_ns - ctx->start_ns) / 1000000));
	ok &= json_put(obj, "loop",
		       json_string(loop_backend(instance_control(ctx->kit))));
	ok &= json_put(obj, "workers", json_u64(instance_n_workers(ctx->kit)));
	ok &= json_put(obj, "devices", json_u64(count_devices(call->bus)));
	if (ctx->host.status) {
		ok &= ctx->host.status(ctx->host.priv, obj);
	}
	return answer(ok, outer, ret);
}

static int shutdown_host(struct call *call, json_t **ret)
{
	if (!call->ctx->host.shutdown) {
		return err(-EPERM, "this vdpakitd serves others: it is stopped "
				   "by whoever started it");
	}
	call->ctx->host.shutdown(call->ctx->host.priv);
	return no_answer(ret);
}

static int describe(struct call *call, json_t **ret);

/* ---- the table ---- */

#define PARAMS(table) (table), ARRAY_SIZE(table)

static const struct method methods[] = {
	{ "mgmtdev.show", "what makes devices", false,
	  PARAMS(mgmtdev_show_params), mgmtdev_show },
	{ "mgmtdev.set", "change what makes devices", true,
	  PARAMS(mgmtdev_set_params), mgmtdev_set },
	{ "dev.show", "the devices", false, PARAMS(show_params), dev_show },
	{ "dev.add", "make a device", true, PARAMS(add_params), dev_add },
	{ "dev.del",
	  "delete a device; answered when its consumers have closed "
	  "it",
	  true, PARAMS(name_params), dev_del },
	{ "dev.set", "change a device's address or keys", true,
	  PARAMS(set_params), dev_set },
	{ "dev.config.show", "the devices' config spaces", false,
	  PARAMS(show_params), dev_config_show },
	{ "dev.vstats.show", "the counters of a virtqueue", true,
	  PARAMS(vstats_params), dev_vstats_show },
	{ "dev.bind", "show a device by another bus driver", true,
	  PARAMS(bind_params), dev_bind },
	{ "dev.unbind", "show a device to nobody", true, PARAMS(name_params),
	  dev_unbind },
	{ "driver.show", "the bus drivers", false, NULL, 0, driver_show },
	{ "status", "how the daemon is", false, NULL, 0, status },
	{ "shutdown", "end a private daemon", true, NULL, 0, shutdown_host },
	{ "rpc.describe", "these methods", false, NULL, 0, describe },
};

static json_t *describe_param(const struct rpc_param *p)
{
	json_t *obj = json_object();
	bool ok = json_put(obj, "type", json_string(rpc_type_name(p->type)));

	ok &= json_put(obj, "required", json_boolean(p->is_required));
	if (p->max > 0) {
		ok &= json_put(obj, "max", json_u64(p->max));
	}
	ok &= json_put(obj, "help", json_string(p->help));
	return json_if(ok, obj);
}

static json_t *describe_method(const struct method *m)
{
	json_t *obj = json_object(), *params = json_object();
	bool ok = json_put(obj, "help", json_string(m->help));

	ok &= json_put(obj, "admin", json_boolean(m->needs_admin));
	for (unsigned int i = 0; i < m->n_params; i++) {
		ok &= json_put(params, m->params[i].name,
			       describe_param(&m->params[i]));
	}
	ok &= json_put(obj, "params", params);
	return json_if(ok, obj);
}

static int describe(struct call *call, json_t **ret)
{
	json_t *outer, *list;
	bool ok = wrap("methods", &outer, &list);

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		ok &= json_put(list, methods[i].name,
			       describe_method(&methods[i]));
	}
	return answer(ok, outer, ret);
}

static const struct method *find_method(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(methods[i].name, name) == 0) {
			return &methods[i];
		}
	}
	return NULL;
}

void rpc_invoke(struct rpc_ctx *ctx, const char *method, json_t *params,
		bool is_admin, rpc_done_fn done, void *priv)
{
	const struct method *m = find_method(method);
	struct call call = {
		.ctx = ctx,
		.bus = instance_bus(ctx->kit),
		.is_admin = is_admin,
		.done = done,
		.priv = priv,
	};
	json_t *result = NULL;
	int r;

	if (!m) {
		done(priv, RPC_E_METHOD,
		     "no such method; rpc.describe lists them", NULL);
		return;
	}
	r = rpc_check_params(method, m->params, m->n_params, params, call.args);
	if (r < 0) {
		done(priv, RPC_E_PARAMS, err_text(r), NULL);
		return;
	}
	if (m->needs_admin && !is_admin) {
		done(priv, EPERM, "only root and the daemon's user may", NULL);
		return;
	}
	r = m->fn(&call, &result);
	if (r < 0) {
		done(priv, -r, err_text(r), NULL);
	} else if (r != PENDING) {
		done(priv, 0, NULL, result);
	}
	json_decref(result);
}
