/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of a client process: from its addresses to regions.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/client.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "mem/maps.h"

#define GIVEN_MAX 64
#define FOUND_MAX 16

/* A file that may be behind some of the client's memory. */
struct shared_file {
	struct mem_file *file;
	dev_t dev;
	ino_t ino;
	bool is_writable;
};

struct client_mem {
	/* any thread, atomic */
	atomic_uint refs;

	/* immutable */
	pid_t pid; /* 0: not visible, or its maps are not proven to be its */
	pid_t reported_pid;
	int maps_fd;
	struct foreign_mem *foreign;

	/* control only */
	struct shared_file given[GIVEN_MAX];
	unsigned int n_given;
	struct shared_file found[FOUND_MAX];
	unsigned int n_found;
	unsigned int oldest_idx; /* of found, when it is full */
};

/* ---- its life ---- */

static bool is_procfs(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* Is a descriptor /proc/PID/maps as we see it? */
static bool is_maps_of(int maps_fd, pid_t pid)
{
	_cleanup_close_ int fd = -1;
	struct stat theirs, ours;
	char path[32];

	if (pid <= 0) {
		return false;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && fstat(fd, &ours) == 0 &&
	       fstat(maps_fd, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
	       ours.st_ino == theirs.st_ino;
}

int client_mem_new(pid_t pid, int take_maps_fd, int take_mem_fd,
		   struct client_mem **ret)
{
	_cleanup_close_ int maps_fd = take_maps_fd;
	_cleanup_close_ int mem_fd = take_mem_fd;
	_cleanup_free_ struct client_mem *cm = NULL;
	int r;

	if (!is_procfs(maps_fd) || !is_procfs(mem_fd)) {
		return err(-EINVAL, "client: not its /proc/self/maps and mem");
	}
	cm = calloc(1, sizeof(*cm));
	if (!cm) {
		return err(-ENOMEM, "client: no memory");
	}
	r = foreign_mem_new(steal_fd(&mem_fd), &cm->foreign);
	if (r < 0) {
		return r;
	}
	atomic_init(&cm->refs, 1);
	cm->reported_pid = pid;
	cm->pid = is_maps_of(maps_fd, pid) ? pid : 0;
	cm->maps_fd = steal_fd(&maps_fd);
	*ret = steal_ptr(cm);
	return 0;
}

struct client_mem *client_mem_ref(struct client_mem *cm)
{
	atomic_fetch_add_explicit(&cm->refs, 1, memory_order_relaxed);
	return cm;
}

struct client_mem *client_mem_unref(struct client_mem *cm)
{
	if (!cm ||
	    atomic_fetch_sub_explicit(&cm->refs, 1, memory_order_acq_rel) > 1) {
		return NULL;
	}
	for (unsigned int i = 0; i < cm->n_given; i++) {
		(void)mem_file_unref(cm->given[i].file);
	}
	for (unsigned int i = 0; i < cm->n_found; i++) {
		(void)mem_file_unref(cm->found[i].file);
	}
	(void)close_fd(cm->maps_fd);
	foreign_mem_unref(cm->foreign);
	free(cm);
	return NULL;
}

pid_t client_mem_pid(const struct client_mem *cm)
{
	return cm->reported_pid;
}

struct foreign_mem *client_mem_foreign(const struct client_mem *cm)
{
	return cm->foreign;
}

/* ---- the files behind it ---- */

/* What a mapping asks of the file behind it. */
struct want {
	dev_t dev;
	ino_t ino;
	bool is_writable;
};

static const struct shared_file *files_find(const struct shared_file *files,
					    unsigned int n,
					    const struct want *want)
{
	for (unsigned int i = 0; i < n; i++) {
		if (files[i].dev == want->dev && files[i].ino == want->ino &&
		    files[i].is_writable >= want->is_writable) {
			return &files[i];
		}
	}
	return NULL;
}

/*
 * What file a name or, if that is empty, a descriptor stands for. Whoever
 * serves the file (FUSE) is not asked: it may be the client, and not answer.
 *
 * Return: is it a regular file?
 */
static bool look_at(int fd, const char *name, struct want *ret)
{
	struct statx stx;

	if (statx(fd, name, AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		  STATX_TYPE | STATX_INO, &stx) < 0 ||
	    !S_ISREG(stx.stx_mode)) {
		return false;
	}
	ret->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	ret->ino = stx.stx_ino;
	return true;
}

static bool is_wanted(int fd, const char *name, const struct want *want)
{
	struct want seen;

	return look_at(fd, name, &seen) && seen.dev == want->dev &&
	       seen.ino == want->ino;
}

int client_mem_add_fd(struct client_mem *cm, int take_fd)
{
	_cleanup_close_ int fd = take_fd;
	struct mem_file *file;
	struct want want;
	int flags, r;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY ||
	    !look_at(fd, "", &want)) {
		return err(-EINVAL, "client: not a file to map");
	}
	want.is_writable = (flags & O_ACCMODE) == O_RDWR;
	if (files_find(cm->given, cm->n_given, &want)) {
		return 0;
	}
	if (cm->n_given == GIVEN_MAX) {
		return err(-ENOSPC, "client: %d files, limit %d", GIVEN_MAX,
			   GIVEN_MAX);
	}
	r = mem_file_new(steal_fd(&fd), &file);
	if (r == 0) {
		cm->given[cm->n_given++] =
			(struct shared_file){ file, want.dev, want.ino,
					      want.is_writable };
	}
	return r;
}

/*
 * Opens what a link in /proc leads to, if it is the file wanted. The first
 * open only takes hold of it, so what is looked at is what is opened next; a
 * client that swaps its descriptors meanwhile gains nothing.
 *
 * Return: a descriptor, or -1
 */
static int open_wanted(int dir_fd, const char *name, const struct want *want)
{
	_cleanup_close_ int path_fd = -1;
	char path[32];
	int mode = want->is_writable ? O_RDWR : O_RDONLY;

	if (!is_wanted(dir_fd, name, want)) {
		return -1;
	}
	path_fd = openat(dir_fd, name, O_PATH | O_CLOEXEC);
	if (path_fd < 0 || !is_wanted(path_fd, "", want)) {
		return -1;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	return open(path, mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static int search_fds(pid_t pid, const struct want *want)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *d;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir) {
		return -1;
	}
	while ((d = readdir(dir))) {
		int fd = open_wanted(dirfd(dir), d->d_name, want);

		if (fd >= 0) {
			return fd;
		}
	}
	return -1;
}

static int search_map_files(pid_t pid, const struct vma *vma,
			    const struct want *want)
{
	char path[80];

	(void)snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid,
		       (unsigned long long)vma->start,
		       (unsigned long long)vma->last + 1);
	return open_wanted(AT_FDCWD, path, want);
}

bool client_mem_is_visible(const struct client_mem *cm)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", cm->pid);
	return cm->pid != 0 &&
	       faccessat(AT_FDCWD, path, R_OK | X_OK, AT_EACCESS) == 0;
}

static int remember(struct client_mem *cm, int take_fd, const struct want *want,
		    const struct shared_file **ret)
{
	struct shared_file *file;
	struct mem_file *opened;
	int r = mem_file_new(take_fd, &opened);

	if (r < 0) {
		return r;
	}
	if (cm->n_found < FOUND_MAX) {
		file = &cm->found[cm->n_found++];
	} else {
		file = &cm->found[cm->oldest_idx];
		cm->oldest_idx = (cm->oldest_idx + 1) % FOUND_MAX;
		(void)mem_file_unref(file->file);
	}
	file->file = opened;
	file->dev = want->dev;
	file->ino = want->ino;
	file->is_writable = want->is_writable;
	*ret = file;
	return 0;
}

/* Return: 0 and the file behind a shared mapping, borrowed, or NULL: out of
 * reach; -ENOMEM */
static int find_file(struct client_mem *cm, const struct vma *vma,
		     bool is_writable, const struct shared_file **ret)
{
	const struct want want = { vma->dev, vma->ino, is_writable };
	const struct shared_file *file;
	int fd;

	file = files_find(cm->given, cm->n_given, &want);
	file = file ? file : files_find(cm->found, cm->n_found, &want);
	*ret = file;
	if (file || cm->pid == 0) {
		return 0;
	}
	fd = search_fds(cm->pid, &want);
	if (fd < 0) {
		fd = search_map_files(cm->pid, vma, &want);
	}
	return fd < 0 ? 0 : remember(cm, fd, &want, ret);
}

/* ---- pieces ---- */

/*
 * A range being resolved. The run is what was read last and may still grow;
 * done pieces have a region, or NULL for what is foreign: its region is made
 * at the end, when neighbours are one.
 */
struct resolve {
	struct client_mem *cm;
	uint64_t start;
	uint64_t last;
	unsigned int perm;

	bool has_run;
	struct vma run; /* cut to the range */
	const struct shared_file *run_file; /* NULL: foreign */

	struct client_piece *pieces;
	unsigned int n;
	unsigned int max;
};

static int add_piece(struct resolve *rs, struct region *take_region)
{
	uint64_t uaddr = rs->run.start;
	uint64_t size = rs->run.last - rs->run.start + 1;
	struct client_piece *before = rs->n ? &rs->pieces[rs->n - 1] : NULL;

	if (before && !before->region && !take_region &&
	    before->uaddr + before->size == uaddr) {
		before->size += size;
		return 0;
	}
	if (rs->n == rs->max) {
		region_unref(take_region);
		return err(-E2BIG, "client: more than %u pieces", rs->max);
	}
	rs->pieces[rs->n++] = (struct client_piece){ uaddr, size, take_region };
	return 0;
}

/* The run is over: it becomes a piece. */
static int close_run(struct resolve *rs)
{
	struct region *region = NULL;

	if (!rs->has_run) {
		return 0;
	}
	rs->has_run = false;
	if (rs->run_file) {
		int ret = region_new_file(rs->run_file->file, rs->run.offset,
					  rs->run.last - rs->run.start + 1,
					  rs->perm, &region);

		if (ret == -ENOMEM) {
			return ret;
		}
		/* What else mmap() dislikes about the file, a copy can do. */
	}
	return add_piece(rs, region);
}

static bool is_more_of_run(const struct resolve *rs, const struct vma *vma)
{
	const struct vma *run = &rs->run;

	return rs->has_run && rs->run_file && vma->is_shared &&
	       vma->dev == run->dev && vma->ino == run->ino &&
	       vma->start == run->last + 1 &&
	       vma->offset - run->offset == vma->start - run->start;
}

static struct vma cut_to_range(const struct resolve *rs, const struct vma *vma)
{
	struct vma cut = *vma;

	if (cut.start < rs->start) {
		cut.offset += rs->start - cut.start;
		cut.start = rs->start;
	}
	cut.last = min_of(cut.last, rs->last);
	return cut;
}

static int add_vma(struct resolve *rs, const struct vma *vma)
{
	struct vma cut = cut_to_range(rs, vma);
	int ret;

	if (((rs->perm & MEM_PERM_RO) && !vma->is_readable) ||
	    ((rs->perm & MEM_PERM_WO) && !vma->is_writable)) {
		return err(-EFAULT,
			   "client: no %s access to its memory at %#llx",
			   vma->is_readable ? "write" : "read",
			   (unsigned long long)cut.start);
	}
	if (is_more_of_run(rs, &cut)) {
		rs->run.last = cut.last;
		return 0;
	}
	/* Before the next lookup, which may forget the run's file. */
	ret = close_run(rs);
	if (ret < 0) {
		return ret;
	}
	rs->run_file = NULL;
	rs->has_run = true;
	rs->run = cut;
	return vma->is_shared && vma->ino != 0
		       ? find_file(rs->cm, vma, rs->perm & MEM_PERM_WO,
				   &rs->run_file)
		       : 0;
}

static int walk_vmas(struct resolve *rs)
{
	struct maps_reader reader;
	struct vma vma;
	int ret;

	maps_reader_init(&reader, rs->cm->maps_fd);
	while ((ret = maps_next(&reader, &vma)) > 0) {
		if (vma.start > rs->last) {
			break;
		}
		if (vma.last < rs->start) {
			continue;
		}
		ret = add_vma(rs, &vma);
		if (ret < 0) {
			return ret;
		}
	}
	return ret < 0 ? ret : close_run(rs);
}

static int make_foreign(struct resolve *rs)
{
	for (unsigned int i = 0; i < rs->n; i++) {
		struct client_piece *piece = &rs->pieces[i];
		int ret;

		if (piece->region) {
			continue;
		}
		ret = region_new_foreign(rs->cm->foreign, piece->uaddr,
					 piece->size, &piece->region);
		if (ret < 0) {
			return ret;
		}
	}
	return 0;
}

int client_mem_resolve(struct client_mem *cm, uint64_t uaddr, uint64_t size,
		       unsigned int perm, struct client_piece *ret_pieces,
		       unsigned int max)
{
	struct resolve rs = {
		.cm = cm,
		.start = uaddr,
		.last = uaddr + (size - 1),
		.perm = perm,
		.pieces = ret_pieces,
		.max = max,
	};
	int ret;

	if (size == 0 || rs.last < uaddr) {
		return err(-EINVAL, "client: the range wraps or is empty");
	}
	ret = walk_vmas(&rs);
	if (ret == 0) {
		ret = make_foreign(&rs);
	}
	if (ret < 0) {
		for (unsigned int i = 0; i < rs.n; i++) {
			region_unref(ret_pieces[i].region);
		}
		return ret;
	}
	return (int)rs.n;
}
