/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parameters of RPC methods: what a table says they must be.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_RPC_PARAMS_H
#define MGMT_RPC_PARAMS_H

#include <jansson.h>

#include "base/util.h"

#define RPC_PARAMS_MAX 8

enum rpc_type {
	RPC_STRING,
	RPC_UINT,
	RPC_MAC,
	RPC_HEX,
	RPC_DICT, /* of strings */
	RPC_TYPE_N,
};

/**
 * struct rpc_param - a row of a method's table
 *
 * @max: strings: bytes; integers: value; objects: members
 */
struct rpc_param {
	const char *name;
	enum rpc_type type;
	bool is_required;
	uint64_t max;
	const char *help;
};

/* A parameter that passed; text and dict are borrowed from the request. */
struct rpc_arg {
	bool is_set;
	const char *text;
	uint64_t value;
	uint8_t mac[6];
	json_t *dict;
};

const char *rpc_type_name(enum rpc_type type);

/**
 * rpc_check_params() - check a request's parameters against a table
 * @method: its name, for the message
 * @table, @n: at most RPC_PARAMS_MAX rows
 * @params: an object; NULL: none
 * @ret_args: one a row, zeroed before; filled
 *
 * Return: 0; -EINVAL with a text that names the parameter
 */
int rpc_check_params(const char *method, const struct rpc_param *table,
		     unsigned int n, json_t *params, struct rpc_arg *ret_args);

#endif
