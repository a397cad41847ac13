/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit blk, net: what uses devices itself is a program of its own (io.h).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/cli.h"
#include "cli/find.h"

int cli_exec_io(const struct cli *cli, int argc, char **argv)
{
	char path[FIND_PATH_MAX];
	int r = find_io(path);

	(void)argc;
	(void)argv; /* without what was in front of them */
	if (r < 0) {
		return r;
	}
	(void)execv(path, cli->argv);
	return err(-errno, "%s: %s", path, strerror(errno));
}
