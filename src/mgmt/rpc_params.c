/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parameters of RPC methods.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/rpc_params.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/parse.h"
#include "bus/bus.h"

static const char *const type_names[] = {
	[RPC_STRING] = "string",	  [RPC_UINT] = "integer",
	[RPC_MAC] = "MAC address",	  [RPC_HEX] = "hexadecimal string",
	[RPC_DICT] = "object of strings",
};
_Static_assert(ARRAY_SIZE(type_names) == RPC_TYPE_N, "one name a type");

static int check_dict(const struct rpc_param *p, json_t *v)
{
	const char *key;
	json_t *value;

	if (json_object_size(v) > p->max) {
		return err(-EINVAL, "%s: %zu keys, limit %llu", p->name,
			   json_object_size(v), (unsigned long long)p->max);
	}
	json_object_foreach(v, key, value) {
		const char *text = json_string_value(value);

		if (strlen(key) >= sizeof(((struct vdpa_param *)0)->key)) {
			return err(-EINVAL, "%s: a key is too long", p->name);
		}
		if (!text) {
			return err(-EINVAL, "%s.%s: not a string", p->name,
				   key);
		}
		if (strlen(text) >= sizeof(((struct vdpa_param *)0)->value)) {
			return err(-EINVAL, "%s.%s: too long", p->name, key);
		}
	}
	return 0;
}

static int check_uint(const struct rpc_param *p, json_t *v, uint64_t *ret)
{
	json_int_t value = json_integer_value(v);

	if (value < 0 || (uint64_t)value > p->max) {
		return err(-EINVAL, "%s: %lld is not in 0..%llu", p->name,
			   (long long)value, (unsigned long long)p->max);
	}
	*ret = (uint64_t)value;
	return 0;
}

static bool has_type(enum rpc_type type, const json_t *v)
{
	switch (type) {
	case RPC_UINT:
		return json_is_integer(v);
	case RPC_DICT:
		return json_is_object(v);
	default:
		return json_is_string(v);
	}
}

static int check_arg(const struct rpc_param *p, json_t *v, struct rpc_arg *arg)
{
	if (!has_type(p->type, v)) {
		return err(-EINVAL, "%s: not a %s", p->name,
			   type_names[p->type]);
	}
	arg->is_set = true;
	arg->text = json_string_value(v);
	arg->dict = v;
	switch (p->type) {
	case RPC_STRING:
		return json_string_length(v) <= p->max
			       ? 0
			       : err(-EINVAL, "%s: longer than %llu bytes",
				     p->name, (unsigned long long)p->max);
	case RPC_UINT:
		return check_uint(p, v, &arg->value);
	case RPC_MAC:
		return parse_mac(p->name, arg->text, arg->mac);
	case RPC_HEX:
		return parse_hex64(p->name, arg->text, &arg->value);
	case RPC_DICT:
		return check_dict(p, v);
	case RPC_TYPE_N:
		break;
	}
	return 0;
}

const char *rpc_type_name(enum rpc_type type)
{
	return type_names[type];
}

static const struct rpc_param *find_param(const struct rpc_param *table,
					  unsigned int n, const char *name)
{
	for (unsigned int i = 0; i < n; i++) {
		if (strcmp(table[i].name, name) == 0) {
			return &table[i];
		}
	}
	return NULL;
}

int rpc_check_params(const char *method, const struct rpc_param *table,
		     unsigned int n, json_t *params, struct rpc_arg *ret_args)
{
	const char *key;
	json_t *value;

	json_object_foreach(params, key, value) {
		const struct rpc_param *p = find_param(table, n, key);
		int r;

		if (!p) {
			return err(-EINVAL,
				   "%s: no parameter '%.64s'; rpc.describe "
				   "lists them",
				   method, key);
		}
		r = check_arg(p, value, &ret_args[p - table]);
		if (r < 0) {
			return r;
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		if (table[i].is_required && !ret_args[i].is_set) {
			return err(-EINVAL, "%s: parameter '%s' is missing",
				   method, table[i].name);
		}
	}
	return 0;
}
