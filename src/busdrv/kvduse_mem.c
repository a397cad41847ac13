/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse: address spaces.
 *
 * The kernel has a table of mappings and tells entry by entry what is in it:
 * what is the first one at or after an address, and a descriptor of the file
 * behind it. An update fetches all of it, takes over what is the same (same
 * addresses, same bytes of the same file), and tells the device in one batch.
 * A client of vhost_vdpa has its own files there. A driver inside the kernel
 * has a file of the kernel's: its rings, each at the offset that is its
 * address, and one region of bounce buffers, in which a page is there once the driver
 * has used it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "busdrv/kvduse_internal.h"
#include "mem/backing.h"

#define MAPS_MAX IOTLB_DEFAULT_LIMIT

/* ---- one mapping ---- */

/* Return: a descriptor, and *map what it is for; -ENOENT no more; -errno */
static int get_fd(struct kvduse *kv, uint32_t asid, uint64_t from,
		  struct kvduse_map *map)
{
	struct vduse_iotlb_entry_as e = {
		.start = from,
		.last = UINT64_MAX,
		.asid = asid,
	};
	unsigned long cmd = kv->version >= VDUSE_API_V1 ? VDUSE_IOTLB_GET_FD2
							: VDUSE_IOTLB_GET_FD;
	int fd = kvduse_ioctl(kv, cmd, &e);

	if (fd < 0) {
		return fd == -EINVAL ? -ENOENT : fd;
	}
	*map = (struct kvduse_map){
		.offset = e.offset,
		.start = e.start,
		.last = e.last,
		.perm = e.perm,
	};
	return fd;
}

/* A range of the whole address space has no size. */
static int check_map(const struct kvduse_map *map, uint64_t from)
{
	if (map->start < from || map->last < map->start ||
	    map->last - map->start == UINT64_MAX || map->perm == 0 ||
	    (map->perm & ~MEM_PERM_RW) != 0) {
		return err(-EPROTO,
			   "VDUSE: a mapping of 0x%llx to 0x%llx, access %u, "
			   "where one at 0x%llx was asked for",
			   (unsigned long long)map->start,
			   (unsigned long long)map->last, map->perm,
			   (unsigned long long)from);
	}
	return 0;
}

/* A file that ends before the mapping does would only show when it is used. */
static int check_file(struct kvduse_map *map, int fd)
{
	uint64_t size = map->last - map->start + 1;
	struct stat st;
	int r = backing_check(fd);

	if (r < 0) {
		return r;
	}
	map->mode = fcntl(fd, F_GETFL);
	if (fstat(fd, &st) < 0 || map->mode < 0) {
		return err(-errno, "VDUSE: a file: %s", strerror(errno));
	}
	map->is_domain = backing_is_vduse(fd);
	map->dev = st.st_dev;
	map->ino = st.st_ino;
	map->mode &= O_ACCMODE;
	if (!map->is_domain && S_ISREG(st.st_mode) &&
	    !range_fits(map->offset, size, (uint64_t)st.st_size)) {
		return err(-EINVAL, "VDUSE: a file has only %llu bytes",
			   (unsigned long long)st.st_size);
	}
	return 0;
}

static bool is_same_file(const struct kvduse_map *a, const struct kvduse_map *b)
{
	return a->is_domain == b->is_domain && a->dev == b->dev &&
	       a->ino == b->ino && a->mode == b->mode;
}

static bool is_same(const struct kvduse_map *a, const struct kvduse_map *b)
{
	return is_same_file(a, b) && a->offset == b->offset &&
	       a->start == b->start && a->last == b->last && a->perm == b->perm;
}

/* ---- tables ---- */

static void free_table(struct kvduse_table *t)
{
	for (unsigned int i = 0; i < t->n; i++) {
		region_unref(t->maps[i].region);
		mem_file_unref(t->maps[i].file);
	}
	free(t->maps);
	*t = (struct kvduse_table){ 0 };
}

/* Both are in the order of their addresses. */
static const struct kvduse_map *find_same(const struct kvduse_table *t,
					  const struct kvduse_map *map)
{
	unsigned int from = 0, to = t->n;

	while (from < to) {
		unsigned int mid = from + (to - from) / 2;

		if (t->maps[mid].start < map->start) {
			from = mid + 1;
		} else {
			to = mid;
		}
	}
	return from < t->n && is_same(&t->maps[from], map) ? &t->maps[from]
							   : NULL;
}

static int make_region(struct kvduse_table *t, struct kvduse_map *map, int *fd)
{
	struct kvduse_map *prev = t->n > 0 ? &t->maps[t->n - 1] : NULL;
	int r = 0;

	if (prev && is_same_file(prev, map)) {
		map->file = mem_file_ref(prev->file);
	} else {
		r = mem_file_new(steal_fd(fd), &map->file);
	}
	if (r == 0) {
		r = region_new_file(map->file, map->offset,
				    map->last - map->start + 1, map->perm,
				    &map->region);
	}
	if (r < 0) {
		map->file = mem_file_unref(map->file);
	}
	return r;
}

/* Adds what @fd is a file of; from @old if it is there. */
static int add(struct kvduse_table *t, const struct kvduse_table *old,
	       struct kvduse_map *map, int *fd)
{
	const struct kvduse_map *same;
	int r = check_file(map, *fd);

	if (r < 0) {
		return r;
	}
	if (t->n == MAPS_MAX) {
		return err(-ENOSPC, "VDUSE: more than %d mappings", MAPS_MAX);
	}
	same = find_same(old, map);
	if (same) {
		map->region = region_ref(same->region);
		map->file = mem_file_ref(same->file);
	} else {
		r = make_region(t, map, fd);
	}
	if (r == 0) {
		t->maps[t->n++] = *map;
	}
	return r;
}

static int fetch(struct kvduse *kv, uint32_t asid,
		 const struct kvduse_table *old, struct kvduse_table *t)
{
	uint64_t from = 0;

	t->maps = calloc(MAPS_MAX, sizeof(*t->maps));
	if (!t->maps) {
		return -ENOMEM;
	}
	for (;;) {
		_cleanup_close_ int fd = -1;
		struct kvduse_map map;
		int r;

		fd = get_fd(kv, asid, from, &map);
		if (fd < 0) {
			return fd == -ENOENT ? 0 : fd;
		}
		r = check_map(&map, from);
		if (r == 0) {
			r = add(t, old, &map, &fd);
		}
		if (r < 0 || map.last == UINT64_MAX) {
			return r;
		}
		from = map.last + 1;
	}
}

/* ---- telling the device ---- */

static int publish(struct kvduse *kv, uint32_t asid,
		   const struct kvduse_table *old, const struct kvduse_table *t)
{
	int r = 0, end;

	vdpa_batch_begin(kv->vdev, asid);
	for (unsigned int i = 0; i < old->n; i++) {
		const struct kvduse_map *map = &old->maps[i];

		if (!find_same(t, map)) {
			/* Only a device that keeps it can fail: so be it. */
			(void)vdpa_unmap(kv->vdev, asid, map->start, map->last);
		}
	}
	for (unsigned int i = 0; i < t->n && r == 0; i++) {
		const struct kvduse_map *map = &t->maps[i];

		if (!find_same(old, map)) {
			r = vdpa_map(kv->vdev, asid, map->start, map->last,
				     map->region, 0, map->perm);
		}
	}
	end = vdpa_batch_end(kv->vdev, asid);
	return r < 0 ? r : end;
}

static void drop(struct kvduse *kv, uint32_t asid)
{
	if (kv->tables[asid].n > 0) {
		vdpa_reset_map(kv->vdev, asid);
	}
	free_table(&kv->tables[asid]);
}

int kvduse_mem_update(struct kvduse *kv, uint32_t asid)
{
	struct kvduse_table old = kv->tables[asid], t = { 0 };
	int r = fetch(kv, asid, &old, &t);

	if (r < 0) {
		free_table(&t);
		drop(kv, asid);
		return r;
	}
	r = publish(kv, asid, &old, &t);
	kv->tables[asid] = t;
	free_table(&old);
	if (r < 0) {
		vdpa_reset_map(kv->vdev, asid);
		free_table(&kv->tables[asid]);
	}
	return r;
}

static uint32_t n_tables(const struct kvduse *kv)
{
	return kv->version >= VDUSE_API_V1 ? kv->vdev->nas : 1;
}

int kvduse_mem_update_all(struct kvduse *kv)
{
	int r = 0;

	for (uint32_t asid = 0; asid < n_tables(kv) && r == 0; asid++) {
		r = kvduse_mem_update(kv, asid);
	}
	return r;
}

void kvduse_mem_drop(struct kvduse *kv)
{
	for (uint32_t asid = 0; asid < n_tables(kv); asid++) {
		drop(kv, asid);
	}
}

bool kvduse_mem_is_waiting(const struct kvduse *kv)
{
	bool is_domain = false;

	for (uint32_t asid = 0; asid < n_tables(kv); asid++) {
		const struct kvduse_table *t = &kv->tables[asid];

		/* The bounce buffer is the first, at 0. */
		if (t->n > 0 && t->maps[0].is_domain) {
			is_domain = true;
			if (t->maps[0].start == 0) {
				return false;
			}
		}
	}
	return is_domain;
}
