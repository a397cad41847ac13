/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The private folder of a `vdpakit run`.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

#define PREFIX	 "vdpakit-run-"
#define TEMPLATE PREFIX "XXXXXX"
/* The longest name of a file in it. */
#define LONGEST	     "/preload.sock"
#define ATTEMPTS_MAX 100

static const char *const files[] = { "rpc.sock", "preload.sock", "lock" };

/* Takes the lock of a folder. Return: a descriptor; -EBUSY in use; -errno */
static int lock_folder(int dir_fd, int flags)
{
	_cleanup_close_ int fd = openat(
		dir_fd, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	struct stat st;

	if (fd < 0) {
		return -errno;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		return -EBUSY;
	}
	/* Somebody removed the folder before we had the lock. */
	if (fstat(fd, &st) < 0 || st.st_nlink == 0) {
		return -ESTALE;
	}
	return steal_fd(&fd);
}

static void remove_files(int base_fd, int dir_fd, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		/* Not there, or the folder will not go either. */
		(void)unlinkat(dir_fd, files[i], 0);
	}
	(void)unlinkat(base_fd, name, AT_REMOVEDIR);
}

/* @name: in the folder @base_fd; ours, as its mode and owner must show. */
static void remove_if_stale(int base_fd, const char *name)
{
	_cleanup_close_ int dir_fd = openat(
		base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int lock_fd = -1;
	struct stat st;

	if (dir_fd < 0 || fstat(dir_fd, &st) < 0 || st.st_uid != geteuid() ||
	    (st.st_mode & 0777) != 0700) {
		return;
	}
	lock_fd = lock_folder(dir_fd, 0);
	if (lock_fd >= 0 || lock_fd == -ENOENT) {
		remove_files(base_fd, dir_fd, name);
	}
}

static void remove_stale(const char *base)
{
	_cleanup_closedir_ DIR *d = opendir(base);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0) {
			remove_if_stale(dirfd(d), entry->d_name);
		}
	}
}

static const char *choose_base(void)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	size_t room = RUNDIR_PATH_MAX - strlen("/" TEMPLATE LONGEST) - 1;

	if (base && base[0] == '/' && strlen(base) <= room &&
	    access(base, W_OK | X_OK) == 0) {
		return base;
	}
	return "/tmp";
}

/* Return: 0; -EAGAIN another run took it for a stale one; -errno */
static int try_new(const char *base, struct rundir *ret)
{
	_cleanup_close_ int dir_fd = -1;
	int lock_fd;

	(void)snprintf(ret->path, sizeof(ret->path), "%s/" TEMPLATE, base);
	if (!mkdtemp(ret->path)) {
		return err(-errno, "%s: %s", base, strerror(errno));
	}
	dir_fd = open(ret->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) {
		return errno == ENOENT ? -EAGAIN
				       : err(-errno, "%s: %s", ret->path,
					     strerror(errno));
	}
	lock_fd = lock_folder(dir_fd, O_CREAT | O_EXCL);
	if (lock_fd == -ENOENT || lock_fd == -EBUSY || lock_fd == -ESTALE) {
		return -EAGAIN;
	}
	if (lock_fd < 0) {
		return err(lock_fd, "%s/lock: %s", ret->path,
			   strerror(-lock_fd));
	}
	ret->lock_fd = lock_fd;
	return 0;
}

int rundir_new(struct rundir *ret)
{
	const char *base = choose_base();
	int r = -EAGAIN;

	remove_stale(base);
	for (unsigned int i = 0; i < ATTEMPTS_MAX && r == -EAGAIN; i++) {
		r = try_new(base, ret);
	}
	return r;
}

void rundir_remove(struct rundir *dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[RUNDIR_PATH_MAX];

		rundir_file(dir, files[i], path);
		(void)unlink(path); /* the daemon may have been faster */
	}
	(void)rmdir(dir->path);
	dir->lock_fd = close_fd(dir->lock_fd);
}

void rundir_file(const struct rundir *dir, const char *name, char *buf)
{
	size_t len = strnlen(dir->path, RUNDIR_PATH_MAX - 1);

	(void)snprintf(buf, RUNDIR_PATH_MAX, "%.*s/%s",
		       (int)min_of(len, RUNDIR_PATH_MAX - strlen(name) - 2),
		       dir->path, name);
}
