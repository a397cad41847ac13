/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the word DEVICE to a device on a bus in this process.
 *
 *   "blk backend file path=x"   words of a device, but for its name
 *   /dev/vhost-vdpa-0           a character device: of vhost-vdpa
 *   /run/x.sock                 a socket: of a vhost-user back end
 *   disk0                       a device of a running vdpakitd
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/io.h"

/* A back end hears of the end of its last front end when it gets to it, and
 * refuses the next one until then. */
#define BACK_END_WAIT_S 2

int io_err(int code)
{
	_cleanup_free_ char *text = strdup(vdpakit_error());

	return code < 0 ? err(code, "%s", text ? text : strerror(-code)) : code;
}

static bool is_path(const char *word)
{
	return strchr(word, '/') && !strpbrk(word, " \t=");
}

/* Return: who makes a device of it; NULL: it is none */
static const char *mgmtdev_of(const char *path, const struct stat *st)
{
	static const char node[] = "vhost-vdpa-";
	const char *slash = strrchr(path, '/');

	if (S_ISCHR(st->st_mode) &&
	    strncmp(slash ? slash + 1 : path, node, sizeof(node) - 1) == 0) {
		return "vhost_vdpa";
	}
	return S_ISSOCK(st->st_mode) ? "vhost_user" : NULL;
}

bool io_is_device(const char *word)
{
	struct stat st;

	if (strcmp(word, "-") == 0) {
		return false;
	}
	if (stat(word, &st) == 0) {
		return mgmtdev_of(word, &st) != NULL;
	}
	return !is_path(word);
}

static int words_of_path(const char *name, const char *path, const char *kind,
			 char **ret)
{
	const char *mgmtdev;
	struct stat st;
	int n;

	if (stat(path, &st) < 0) {
		return err(-errno, "%s: %s", path, strerror(errno));
	}
	mgmtdev = mgmtdev_of(path, &st);
	if (!mgmtdev) {
		return err(-EINVAL,
			   "%s is neither a vhost-vdpa node nor the socket of "
			   "a vhost-user back end%s",
			   path,
			   strcmp(kind, "blk") == 0
				   ? "; for a disk in a file say \"blk "
				     "backend=file path=...\""
				   : "");
	}
	n = S_ISSOCK(st.st_mode)
		    ? asprintf(ret, "%s %s path='%s' type=%s wait %d", name,
			       mgmtdev, path, kind, BACK_END_WAIT_S)
		    : asprintf(ret, "%s %s path='%s'", name, mgmtdev, path);
	return n < 0 ? err(-ENOMEM, "out of memory") : 0;
}

static int add_path(struct vdpakit *kit, const char *path, const char *kind,
		    const char *name)
{
	_cleanup_free_ char *words = NULL;
	int r = words_of_path(name, path, kind, &words);

	if (r == 0) {
		r = io_err(vdpakit_dev_add(kit, words));
	}
	return r == -ETIMEDOUT
		       ? err(r,
			     "%s: nobody answers for %d s: start the back end, "
			     "or end who uses it",
			     path, BACK_END_WAIT_S)
		       : r;
}

static int add_words(struct vdpakit *kit, const char *words, const char *name)
{
	_cleanup_free_ char *all = NULL;

	if (asprintf(&all, "%s %s", name, words) < 0) {
		all = NULL;
		return err(-ENOMEM, "out of memory");
	}
	return io_err(vdpakit_dev_add(kit, all));
}

/* Neither with words nor a path: of a daemon. */
static int add_named(const struct cli *cli, struct vdpakit *kit,
		     const char *word, const char *kind, const char *name)
{
	_cleanup_free_ char *path = NULL;
	int r = io_name_find(cli, word, &path);

	if (r == 0) {
		return add_path(kit, path, kind, name);
	}
	return strcmp(kind, "blk") == 0
		       ? err_context(r,
				     "there is no management device %s, a new "
				     "file would be ./%s, and among a daemon's "
				     "devices",
				     word, word)
		       : err_context(r,
				     "there is no management device %s, and "
				     "among a daemon's devices",
				     word);
}

int io_dev_add(const struct cli *cli, struct vdpakit *kit, const char *word,
	       const char *kind, const char *name)
{
	struct stat st;
	int r;

	if (is_path(word) || (stat(word, &st) == 0 && mgmtdev_of(word, &st))) {
		return add_path(kit, word, kind, name);
	}
	r = add_words(kit, word, name);
	return r == -ENODEV && !strpbrk(word, " \t=")
		       ? add_named(cli, kit, word, kind, name)
		       : r;
}
