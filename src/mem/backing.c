/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * May a peer's file be used as memory?
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/util.h"

/* @name: of a file in /proc/self. Return: 0; -errno */
static int open_proc(const char *name, FILE **ret)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/%s", name);
	*ret = fopen(path, "re");
	return *ret ? 0 : err(-errno, "%s: %s", path, strerror(errno));
}

/* Return: the number of the mount that @fd is on; -errno */
static int mount_id_of(int fd)
{
	char name[32], line[128];
	int id = -ENOENT;
	FILE *file;
	int ret;

	(void)snprintf(name, sizeof(name), "fdinfo/%d", fd);
	ret = open_proc(name, &file);
	if (ret < 0) {
		return ret;
	}
	while (id < 0 && fgets(line, sizeof(line), file)) {
		(void)sscanf(line, "mnt_id: %d", &id);
	}
	(void)fclose(file); /* read only */
	return id;
}

/* "36 35 98:0 / /mnt rw shared:1 - ext4 ...": the type follows the dash, which
 * follows a number of fields that varies. */
static bool is_type_of_mount(char *line, int id, char **ret_type)
{
	char *dash, *end;

	if (strtol(line, &end, 10) != id || *end != ' ') {
		return false;
	}
	dash = strstr(end, " - ");
	if (!dash) {
		return false;
	}
	*ret_type = dash + strlen(" - ");
	(*ret_type)[strcspn(*ret_type, " \n")] = '\0';
	return true;
}

static bool is_fuse(const char *type)
{
	return strncmp(type, "fuse", strlen("fuse")) == 0;
}

static int check_mount(FILE *mounts, int id)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	char *type;

	while (getline(&line, &size, mounts) >= 0) {
		if (!is_type_of_mount(line, id, &type)) {
			continue;
		}
		return is_fuse(type)
			       ? err(-EACCES,
				     "memory in a file of %s is refused, as its "
				     "server could stop us: use memfd, /dev/shm "
				     "or hugetlbfs",
				     type)
			       : 0;
	}
	return err(
		-EACCES,
		"memory in a file on an unknown mount is refused: use memfd, "
		"/dev/shm or hugetlbfs");
}

/* Files have names that begin with a slash. */
bool backing_is_vduse(int fd)
{
	static const char kind[] = "anon_inode:[vduse-domain]";
	char path[64], name[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name));
	return n == (ssize_t)strlen(kind) && memcmp(name, kind, (size_t)n) == 0;
}

int backing_check(int fd)
{
	FILE *mounts;
	int id, ret;

	if (fcntl(fd, F_GET_SEALS) >= 0 || backing_is_vduse(fd)) {
		return 0;
	}
	id = mount_id_of(fd);
	if (id < 0) {
		return id == -ENOENT ? err(-EBADF, "memory: no descriptor")
				     : id;
	}
	ret = open_proc("mountinfo", &mounts);
	if (ret < 0) {
		return ret;
	}
	ret = check_mount(mounts, id);
	(void)fclose(mounts); /* read only */
	return ret;
}
