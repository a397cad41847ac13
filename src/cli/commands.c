/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command vdpakit: what asks the daemon.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/parse.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "mgmt/devspec.h"

/* What helps when the daemon says that. */
static const struct {
	const char *method;
	int code;
	const char *hint;
} hints[] = {
	{ "mgmtdev.show", -ENODEV, "`vdpakit mgmtdev show` lists them" },
	{ "dev.add", -ENODEV, "`vdpakit mgmtdev show` lists them" },
	{ "dev.add", -EEXIST, "choose another name" },
	{ "dev.add", -EOPNOTSUPP,
	  "`vdpakit mgmtdev show` says what each one takes" },
	{ "dev.bind", -ENODEV,
	  "`vdpakit dev show` and `vdpakit driver show` list them" },
	{ "dev.bind", -EBUSY, "end what has it open" },
	{ "dev.unbind", -EBUSY, "end what has it open" },
	{ "dev.vstats.show", -EAGAIN, "wait until a driver has started it" },
	{ NULL, -ENODEV, "`vdpakit dev show` lists them" },
};

static int add_hint(const char *method, int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(hints); i++) {
		if (hints[i].code == code &&
		    (!hints[i].method ||
		     strcmp(hints[i].method, method) == 0)) {
			char text[ERR_TEXT_MAX];

			(void)snprintf(text, sizeof(text), "%s",
				       err_text(code));
			return err(code, "%s: %s", text, hints[i].hint);
		}
	}
	return code;
}

/* Calls a method; takes @params. */
static int call(const struct cli *cli, const char *method, json_t *take_params,
		json_t **ret)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (!take_params) {
		return err(-EINVAL, "a word is not UTF-8");
	}
	fd = client_connect(cli->socket_path);
	r = fd;
	if (r >= 0) {
		r = client_call(fd, method, take_params, ret);
		if (r < 0) {
			r = add_hint(method, r);
		}
	}
	json_decref(take_params);
	return r;
}

static int show(const struct cli *cli, const char *method, json_t *take_params,
		const char *key, void (*print)(FILE *f, json_t *list))
{
	json_t *result;
	int r = call(cli, method, take_params, &result);

	if (r < 0) {
		return r;
	}
	if (cli->is_json) {
		output_json(stdout, result, cli->is_pretty);
	} else {
		print(stdout, json_object_get(result, key));
	}
	json_decref(result);
	return 0;
}

/* {KEY: argv[0]} when there is one. */
static json_t *one_param(const char *key, int argc, char **argv)
{
	return argc > 0 ? json_pack("{s:s}", key, argv[0]) : json_object();
}

static int mgmtdev_show(const struct cli *cli, int argc, char **argv)
{
	return show(cli, "mgmtdev.show", one_param("mgmtdev", argc, argv),
		    "mgmtdev", output_mgmtdevs);
}

static int mgmtdev_set(const struct cli *cli, int argc, char **argv)
{
	json_t *params;
	int r = devspec_mgmtdev_from_words(argc, argv, &params);

	return r < 0 ? r : call(cli, "mgmtdev.set", params, NULL);
}

static int dev_show(const struct cli *cli, int argc, char **argv)
{
	return show(cli, "dev.show", one_param("name", argc, argv), "dev",
		    output_devs);
}

static int dev_add(const struct cli *cli, int argc, char **argv)
{
	json_t *params = NULL, *bind = NULL;
	int r = devspec_from_words(argc, argv, &params);

	if (r == 0) {
		r = devspec_take_bind(params, &bind);
	}
	if (r < 0) {
		json_decref(params);
		return r;
	}
	r = call(cli, "dev.add", params, NULL);
	if (r == 0 && bind) {
		return call(cli, "dev.bind", bind, NULL);
	}
	json_decref(bind);
	return r;
}

static int dev_del(const struct cli *cli, int argc, char **argv)
{
	return call(cli, "dev.del", one_param("name", argc, argv), NULL);
}

static int set_word(json_t *params, const char *key, const char *value)
{
	if (json_object_get(params, key)) {
		return err(-EINVAL, "%s is given twice", key);
	}
	return json_object_set_new(params, key, json_string(value)) < 0
		       ? err(-EINVAL, "%s: not UTF-8", key)
		       : 0;
}

/* name NAME, and mac M or keys of its management device, in any order. */
static int take_set_words(int argc, char **argv, json_t *params)
{
	static const char *const known[] = { "name", "mac" };

	for (int i = 0; i < argc; i += 2) {
		const char *key = NULL;
		int r;

		for (size_t k = 0; k < ARRAY_SIZE(known); k++) {
			key = word_matches(argv[i], known[k]) ? known[k] : key;
		}
		if (i + 1 == argc) {
			return err(-EINVAL, "%s: a value is missing", argv[i]);
		}
		r = key ? set_word(params, key, argv[i + 1])
			: devspec_take_param(params, argv[i], argv[i + 1]);
		if (r < 0) {
			return r;
		}
	}
	if (!json_object_get(params, "name") || json_object_size(params) < 2) {
		return err(-EINVAL, "name NAME and what to change are needed");
	}
	return 0;
}

static int dev_set(const struct cli *cli, int argc, char **argv)
{
	json_t *params = json_object();
	int r = take_set_words(argc, argv, params);

	if (r < 0) {
		json_decref(params);
		return r;
	}
	return call(cli, "dev.set", params, NULL);
}

static int config_show(const struct cli *cli, int argc, char **argv)
{
	return show(cli, "dev.config.show", one_param("name", argc, argv),
		    "config", output_configs);
}

/* DEV [qidx N]; without it queue 0, as iproute2 has it. */
static int vstats_show(const struct cli *cli, int argc, char **argv)
{
	uint64_t qidx = 0;
	int r;

	if (argc == 2 || (argc == 3 && !word_matches(argv[1], "qidx"))) {
		return err(-EINVAL, "'%s': DEV qidx QUEUE_INDEX is needed",
			   argv[1]);
	}
	if (argc == 3) {
		r = parse_u64("qidx", argv[2], UINT32_MAX, &qidx);
		if (r < 0) {
			return r;
		}
	}
	return show(cli, "dev.vstats.show",
		    json_pack("{s:s,s:I}", "name", argv[0], "qidx",
			      (json_int_t)qidx),
		    "vstats", output_vstats);
}

static int dev_bind(const struct cli *cli, int argc, char **argv)
{
	json_t *params =
		json_pack("{s:s,s:s}", "name", argv[0], "driver", argv[1]);
	int r = 0;

	for (int i = 2; params && i < argc && r == 0; i += 2) {
		r = i + 1 == argc
			    ? err(-EINVAL, "%s: a value is missing", argv[i])
			    : devspec_take_param(params, argv[i], argv[i + 1]);
	}
	if (r < 0) {
		json_decref(params);
		return r;
	}
	return call(cli, "dev.bind", params, NULL);
}

static int dev_unbind(const struct cli *cli, int argc, char **argv)
{
	return call(cli, "dev.unbind", one_param("name", argc, argv), NULL);
}

static int driver_show(const struct cli *cli, int argc, char **argv)
{
	return show(cli, "driver.show", json_object(), "driver",
		    output_drivers);
}

int cli_status(const struct cli *cli, int argc, char **argv)
{
	return show(cli, "status", json_object(), "status", output_status);
}

/* ---- the tables ---- */

#define SHOW .name = "show", .alias = "list"

const struct cli_command cli_mgmtdev_commands[] = {
	{ SHOW, .args = "[ [BUS/]MGMTDEV ]",
	  .help = "what makes devices, of which kind, with which features",
	  .max_args = 1, .fn = mgmtdev_show },
	{ .name = "set",
	  .args = "[BUS/]MGMTDEV KEY VALUE [ KEY VALUE ]...",
	  .help = "change what makes devices, not its devices",
	  .min_args = 3,
	  .max_args = CLI_ANY_ARGS,
	  .fn = mgmtdev_set },
	{ .name = NULL },
};

static const struct cli_command config_commands[] = {
	{ SHOW, .args = "[ DEV ]",
	  .help = "the config space, and the features once negotiated",
	  .max_args = 1, .fn = config_show },
	{ .name = NULL },
};

static const struct cli_command vstats_commands[] = {
	{ .name = "show",
	  .args = "DEV [ qidx QUEUE_INDEX ]",
	  .help = "the counters of a virtqueue (0)",
	  .min_args = 1,
	  .max_args = 3,
	  .fn = vstats_show },
	{ .name = NULL },
};

const struct cli_command cli_dev_commands[] = {
	{ SHOW, .args = "[ DEV ]",
	  .help = "the devices, and who shows them where", .max_args = 1,
	  .fn = dev_show },
	{ .name = "add",
	  .args = "name NAME mgmtdev [BUS/]MGMTDEV [ device_features HEX ] "
		  "[ mac MACADDR ]\n      [ mtu MTU ] [ max_vqp "
		  "MAX_VQ_PAIRS ] [ wait SECONDS ] [ KEY VALUE ]...\n"
		  "      [ bind DRIVER [ KEY VALUE ]... ]",
	  .help = "make a device; `mgmtdev show` lists the keys",
	  .min_args = 0,
	  .max_args = CLI_ANY_ARGS,
	  .fn = dev_add },
	{ .name = "del",
	  .args = "DEV",
	  .help = "delete it, as soon as nobody has it open",
	  .min_args = 1,
	  .max_args = 1,
	  .fn = dev_del },
	{ .name = "set",
	  .args = "name NAME mac MACADDR |\n      name NAME KEY VALUE [ KEY VALUE "
		  "]...",
	  .help = "change a device's address, or what else may be changed",
	  .max_args = CLI_ANY_ARGS,
	  .fn = dev_set },
	{ .name = "config", .sub = config_commands },
	{ .name = "vstats", .sub = vstats_commands },
	{ .name = "bind",
	  .args = "DEV DRIVER [ KEY VALUE ]...",
	  .help = "show it by another bus driver; `driver show` lists them",
	  .min_args = 2,
	  .max_args = CLI_ANY_ARGS,
	  .fn = dev_bind },
	{ .name = "unbind",
	  .args = "DEV",
	  .help = "show it to nobody",
	  .min_args = 1,
	  .max_args = 1,
	  .fn = dev_unbind },
	{ .name = NULL },
};

const struct cli_command cli_driver_commands[] = {
	{ SHOW, .help = "the bus drivers, their devices and keys",
	  .fn = driver_show },
	{ .name = NULL },
};
