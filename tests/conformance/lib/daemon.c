/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process behind the nodes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Return: a connected socket, or -errno. */
static int open_socket(void)
{
	const char *path = getenv("VDPAKIT_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len;
	int fd, ret;

	if (conf_is_kernel() || !path) {
		conf_skip("no daemon to look at");
	}
	assert_true(strlen(path) < sizeof(addr.sun_path));
	memcpy(addr.sun_path, path, strlen(path));
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			  strlen(path));
	if (path[0] == '@') {
		addr.sun_path[0] = '\0';
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	ret = connect(fd, (struct sockaddr *)&addr, len);
	if (ret < 0) {
		ret = -errno;
		(void)close(fd);
		return ret;
	}
	return fd;
}

int daemon_connect(struct conf *c)
{
	int fd = open_socket();

	if (fd >= 0) {
		conf_keep_fd(c, fd);
	}
	return fd;
}

pid_t daemon_pid(void)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int fd = open_socket();

	assert_true(fd >= 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len),
			 0);
	(void)close(fd);
	assert_true(cred.pid > 1);
	return cred.pid;
}

/* Address space that only the shadow of a sanitizer takes. */
#define SHADOW_KIB (1UL << 30)

unsigned long daemon_memory_kib(pid_t pid)
{
	unsigned long kib = 0, space_kib = 0;
	char path[64], line[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		(void)sscanf(line, "RssAnon: %lu kB", &kib);
		(void)sscanf(line, "VmSize: %lu kB", &space_kib);
	}
	(void)fclose(f);
	assert_true(kib > 0);
	return space_kib < SHADOW_KIB ? kib : 0;
}

unsigned int daemon_n_fds(pid_t pid)
{
	unsigned int n = 0;
	char path[64];
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d)) {
		n++;
	}
	(void)closedir(d);
	return n;
}

unsigned int daemon_settle_fds(pid_t pid, unsigned int n)
{
	unsigned long end = conf_now_ms() + CONF_WAIT_MS;
	unsigned int now = daemon_n_fds(pid);

	while (now > n && conf_now_ms() < end) {
		conf_breathe();
		now = daemon_n_fds(pid);
	}
	return now;
}
