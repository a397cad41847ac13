/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files behind the program's memory, among its own descriptors.
 *
 * Theory of operation
 *
 * The daemon maps what an IOTLB update names if it can get at the file behind.
 * Mostly it finds that in the program's /proc/PID/fd. Where it cannot look
 * there (the program is in another container, or another user's) it asks for
 * files, and they go beside the update: /proc/self/maps says which device and
 * inode are mapped shared in the range, /proc/self/fd which descriptor that is.
 * A program that closed it has its memory copied instead.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <linux/vhost_types.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "shim/shim.h"

#define MESSAGE_MIN \
	(offsetof(struct vhost_msg, iotlb) + sizeof(struct vhost_iotlb_msg))

/* V1 and V2 have the update in the same place. */
_Static_assert(offsetof(struct vhost_msg, iotlb) ==
		       offsetof(struct vhost_msg_v2, iotlb),
	       "ABI");

struct range {
	uint64_t start;
	uint64_t size;
};

struct file_id {
	dev_t dev;
	ino_t ino;
};

struct files {
	struct range range;
	struct file_id ids[PRELOAD_FILES_MAX];
	int fds[PRELOAD_FILES_MAX]; /* -1: not found */
	unsigned int n;
};

static bool parse_update(const struct iovec *message, struct range *ret)
{
	struct vhost_msg msg;

	if (message->iov_len < MESSAGE_MIN ||
	    shim_copy_in(&msg, message->iov_base, MESSAGE_MIN) !=
		    (ssize_t)MESSAGE_MIN) {
		return false;
	}
	*ret = (struct range){ msg.iotlb.uaddr, msg.iotlb.size };
	return (msg.type == VHOST_IOTLB_MSG ||
		msg.type == VHOST_IOTLB_MSG_V2) &&
	       msg.iotlb.type == VHOST_IOTLB_UPDATE;
}

/* ---- which files are mapped there ---- */

static void take_line(void *priv, const char *line)
{
	struct files *files = priv;
	unsigned long long start, end, ino;
	unsigned int dev_major, dev_minor;
	struct file_id id;
	char perms[5];

	if (sscanf(line, "%llx-%llx %4s %*x %x:%x %llu", &start, &end, perms,
		   &dev_major, &dev_minor, &ino) != 6 ||
	    perms[3] != 's' || ino == 0 || end <= files->range.start ||
	    (start > files->range.start &&
	     start - files->range.start >= files->range.size)) {
		return;
	}
	id = (struct file_id){ makedev(dev_major, dev_minor), ino };
	for (unsigned int i = 0; i < files->n; i++) {
		if (files->ids[i].dev == id.dev &&
		    files->ids[i].ino == id.ino) {
			return;
		}
	}
	if (files->n < PRELOAD_FILES_MAX) {
		files->ids[files->n++] = id;
	}
}

/* ---- which descriptors they are ---- */

static bool is_file(int fd, const struct file_id *id)
{
	struct stat st;

	return SYS(SYS_fstat, fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_dev == id->dev && st.st_ino == id->ino;
}

/* One that can be written is better. */
static void look_at(void *priv, int fd)
{
	struct files *files = priv;
	int *fds = files->fds;

	for (unsigned int i = 0; i < files->n; i++) {
		long flags;

		if (!is_file(fd, &files->ids[i])) {
			continue;
		}
		flags = SYS(SYS_fcntl, fd, F_GETFL);
		if (fds[i] < 0 || (flags & O_ACCMODE) == O_RDWR) {
			fds[i] = fd;
		}
	}
}

unsigned int shim_find_files(const struct iovec *message, int *ret_fds)
{
	struct files files = { .n = 0 };
	unsigned int n = 0;

	if (!parse_update(message, &files.range)) {
		return 0;
	}
	shim_each_line("/proc/self/maps", take_line, &files);
	if (files.n == 0) {
		return 0;
	}
	memset(files.fds, -1, sizeof(files.fds));
	shim_each_number("/proc/self/fd", look_at, &files);
	for (unsigned int i = 0; i < files.n; i++) {
		if (files.fds[i] >= 0) {
			ret_fds[n++] = files.fds[i];
		}
	}
	return n;
}
