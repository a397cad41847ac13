/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the daemon and the preload library are.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/find.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

#define LIBRARY "libvdpakit-preload.so"

/* The folder of this program. */
static int own_folder(char path[FIND_PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, FIND_PATH_MAX - 1);
	char *slash;

	if (n < 0) {
		return err(-errno, "/proc/self/exe: %s", strerror(errno));
	}
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash) {
		*slash = '\0';
	}
	return 0;
}

/*
 * Rows are relative to our folder; the first one is the build tree's. Those
 * that begin with a slash are where they were installed.
 */
static int find_file(const char *what, const char *const *rows, size_t n,
		     int mode, char path[FIND_PATH_MAX])
{
	char folder[FIND_PATH_MAX], tried[PATH_MAX * 2];
	int r = own_folder(folder);

	if (r < 0) {
		return r;
	}
	for (size_t i = 0; i < n; i++) {
		bool is_absolute = rows[i][0] == '/';

		(void)snprintf(tried, sizeof(tried), "%s%s%s",
			       is_absolute ? "" : folder,
			       is_absolute ? "" : "/", rows[i]);
		if (access(tried, mode) == 0 && realpath(tried, path)) {
			return 0;
		}
	}
	return err(-ENOENT,
		   "there is no %s: neither beside %s nor in %s; "
		   "install vdpakit whole",
		   what, folder, rows[n - 1]);
}

int find_daemon(char path[FIND_PATH_MAX])
{
	static const char *const rows[] = {
		"../daemon/vdpakitd",
		"vdpakitd",
		"../sbin/vdpakitd",
		VDPAKIT_SBINDIR "/vdpakitd",
	};

	return find_file("vdpakitd", rows, ARRAY_SIZE(rows), X_OK, path);
}

int find_io(char path[FIND_PATH_MAX])
{
	static const char *const rows[] = {
		"vdpakit-io",
		"../libexec/vdpakit/vdpakit-io",
		VDPAKIT_LIBEXECDIR "/vdpakit/vdpakit-io",
	};

	return find_file("vdpakit-io", rows, ARRAY_SIZE(rows), X_OK, path);
}

int find_library(char path[FIND_PATH_MAX])
{
	static const char *const rows[] = {
		"../shim/" LIBRARY,
		"../" VDPAKIT_LIBDIR_NAME "/vdpakit/" LIBRARY,
		VDPAKIT_LIBDIR "/vdpakit/" LIBRARY,
	};
	int r = find_file(LIBRARY, rows, ARRAY_SIZE(rows), R_OK, path);

	if (r == 0 && strpbrk(path, " :\t")) {
		return err(-EINVAL,
			   "%s: blanks and colons cannot stand in "
			   "LD_PRELOAD; move it elsewhere",
			   path);
	}
	return r;
}
