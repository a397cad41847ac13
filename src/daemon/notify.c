/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Telling systemd how we are.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "daemon/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/err.h"

int notify(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	char text[512];
	socklen_t len;
	va_list ap;
	int n;

	if (!path || (path[0] != '/' && path[0] != '@')) {
		return 0;
	}
	if (strlen(path) >= sizeof(addr.sun_path)) {
		return err(-ENAMETOOLONG, "NOTIFY_SOCKET=%s: too long", path);
	}
	memcpy(addr.sun_path, path, strlen(path));
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			  strlen(path));
	if (path[0] == '@') {
		addr.sun_path[0] = '\0';
	}
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, min_of((size_t)n, sizeof(text) - 1),
			     MSG_NOSIGNAL, (struct sockaddr *)&addr, len) < 0) {
		return err(-errno, "NOTIFY_SOCKET=%s: %s", path,
			   strerror(errno));
	}
	return 0;
}

bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(2, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}
