/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A statically linked client: it cannot see the shim's node.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>

int main(void)
{
	return open("/dev/vhost-vdpa-0", O_RDWR) < 0 && errno == ENOENT ? 0 : 1;
}
