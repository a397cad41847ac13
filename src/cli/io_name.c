/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices of a running vdpakitd, by name: how one can be reached.
 *
 * One that is bound to vhost_user has a socket, and one that is bound to
 * vhost_vdpa a node. The node is no file of the kernel's: the preload library
 * brings it to the daemon, so the command runs itself again with that.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/client.h"
#include "cli/find.h"
#include "cli/io.h"

/* It did so already: set for itself. */
#define AGAIN "VDPAKIT_IO_AGAIN"

/* ---- under the preload library ---- */

/* A daemon's sockets lie beside each other. */
static int set_preload_socket(const struct cli *cli)
{
	const char *slash = strrchr(cli->socket_path, '/');
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%.*s/preload.sock",
		     slash ? (int)(slash - cli->socket_path) : 1,
		     slash ? cli->socket_path : ".") < 0) {
		path = NULL;
		return err(-ENOMEM, "out of memory");
	}
	if (access(path, R_OK | W_OK) < 0) {
		return err(-errno, "%s, by which programs reach devices: %s",
			   path, strerror(errno));
	}
	return setenv("VDPAKIT_SOCKET", path, 1) < 0
		       ? err(-errno, "out of memory")
		       : 0;
}

static int set_library(void)
{
	const char *old = getenv("LD_PRELOAD");
	_cleanup_free_ char *value = NULL;
	char library[FIND_PATH_MAX];
	int r = find_library(library);

	if (r < 0) {
		return r;
	}
	if (asprintf(&value, "%s%s%s", library, old && old[0] ? ":" : "",
		     old ? old : "") < 0) {
		value = NULL;
		return err(-ENOMEM, "out of memory");
	}
	return setenv("LD_PRELOAD", value, 1) < 0 ? err(-errno, "out of memory")
						  : 0;
}

/* Does not return but with an error. */
static int run_again(const struct cli *cli)
{
	int r = set_preload_socket(cli);

	if (r == 0) {
		r = set_library();
	}
	if (r < 0) {
		return r;
	}
	if (setenv(AGAIN, "1", 1) < 0) {
		return err(-errno, "out of memory");
	}
	(void)fflush(NULL);
	(void)execv("/proc/self/exe", cli->argv);
	return err(-errno, "/proc/self/exe: %s", strerror(errno));
}

/* ---- asking the daemon ---- */

/* Return: 0, and the device's object, borrowed from *ret_all; -errno */
static int ask(const struct cli *cli, const char *name, json_t **ret_all,
	       json_t **ret_dev)
{
	_cleanup_close_ int fd = client_connect(cli->socket_path);
	json_t *params, *all;
	int r;

	if (fd < 0) {
		return fd;
	}
	params = json_pack("{s:s}", "name", name);
	r = client_call(fd, "dev.show", params, &all);
	json_decref(params);
	if (r < 0) {
		return r;
	}
	*ret_dev = json_object_get(json_object_get(all, "dev"), name);
	if (!*ret_dev) {
		json_decref(all);
		return err(-EPROTO, "the daemon's answer has no %s", name);
	}
	*ret_all = all;
	return 0;
}

static const char *text_of(const json_t *dev, const char *key)
{
	const char *text = json_string_value(json_object_get(dev, key));

	return text ? text : "";
}

static int copy_path(const struct cli *cli, const char *name, const json_t *dev,
		     char **ret)
{
	const char *driver = text_of(dev, "driver");
	const char *path = text_of(dev, "path");

	if (strcmp(driver, "vhost_user") != 0 &&
	    strcmp(driver, "vhost_vdpa") != 0) {
		return err(-ENODEV,
			   "%s is not shown to programs: bind it with "
			   "`vdpakit dev bind %s vhost_vdpa`",
			   name, name);
	}
	if (strcmp(driver, "vhost_vdpa") == 0 && access(path, F_OK) < 0) {
		return getenv(AGAIN) ? err(-ENODEV, "%s is not there", path)
				     : run_again(cli);
	}
	*ret = strdup(path);
	return *ret ? 0 : err(-ENOMEM, "out of memory");
}

int io_name_find(const struct cli *cli, const char *name, char **ret_path)
{
	json_t *all, *dev;
	int r = ask(cli, name, &all, &dev);

	if (r == 0) {
		r = copy_path(cli, name, dev, ret_path);
		json_decref(all);
	}
	return r;
}
