/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that the devices of a kit may reach.
 *
 * A piece comes to the pool first and is then told to each device that is open;
 * the first that cannot have it undoes it all. What is opened later is told of
 * the whole pool.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib/lib_internal.h"
#include "mem/maps.h"

struct mem_call {
	struct lib_call call;
	struct region *region;
	const void *va;
};

static struct mem_call *mem_call_of(struct lib_call *call)
{
	return container_of(call, struct mem_call, call);
}

static void add_to_pool(struct lib_call *call)
{
	lib_call_end(call,
		     dma_pool_add(call->kit->pool, mem_call_of(call)->region));
}

static void remove_from_pool(struct lib_call *call)
{
	struct mem_call *c = mem_call_of(call);

	c->region = dma_pool_remove(call->kit->pool, c->va);
	lib_call_end(call, c->region ? 0
				     : err(-EINVAL,
					   "%p is not the first byte "
					   "of memory of this kit",
					   c->va));
}

static int sync_space(void *priv)
{
	struct virtio_device *vdev = priv;

	return dma_space_sync(vdev->dma);
}

/* Tells every open device. Return: 0; what the first said that could not */
static int sync_all(struct vdpakit *kit)
{
	struct lib_open *open;

	list_for_each_entry(open, &kit->opens, node) {
		int r = lib_call_on(kit, open->vdev, sync_space, open->vdev);

		if (r < 0) {
			return err_context(r, "%s", open->vdev->name);
		}
	}
	return 0;
}

static int add_region(struct vdpakit *kit, struct region *region)
{
	struct mem_call c = { .call.fn = add_to_pool, .region = region };
	struct mem_call undo = { .call.fn = remove_from_pool,
				 .va = region_va(region) };
	char text[ERR_TEXT_MAX];
	int r = lib_call(kit, &c.call);

	if (r < 0) {
		return r;
	}
	r = sync_all(kit);
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "%s", err_text(r));
		(void)lib_call(kit, &undo.call); /* it was added */
		(void)sync_all(kit); /* what is gone is gone */
		region_unref(undo.region);
		return err(r, "%s", text);
	}
	return 0;
}

int vdpakit_mem_alloc(struct vdpakit *kit, size_t size_bytes, void **ret)
{
	struct region *region = NULL;
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = dma_region_new(size_bytes, &region);
	if (r == 0) {
		r = add_region(kit, region);
	}
	if (r == 0) {
		*ret = region_va(region);
	}
	region_unref(region); /* the pool has its own */
	return lib_leave(kit, __func__, r);
}

/* ---- memory of the caller's ---- */

static int check_range(const void *va, size_t size_bytes, uint64_t fd_offset)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!va || size_bytes == 0 ||
	    (((uintptr_t)va | size_bytes | fd_offset) & (page - 1)) != 0 ||
	    size_bytes > UINTPTR_MAX - (uintptr_t)va) {
		return err(-EINVAL,
			   "%zu bytes at %p, %llu of the file: whole "
			   "pages are needed",
			   size_bytes, va, (unsigned long long)fd_offset);
	}
	return 0;
}

/* As far as it can be known: file systems that stand on others show the maps of
 * those. */
static int check_file(const struct vma *v, int fd, uint64_t offset)
{
	struct stat st;

	if (fd < 0) {
		return 0;
	}
	if (fstat(fd, &st) < 0) {
		return err(-errno, "descriptor %d: %s", fd, strerror(errno));
	}
	if (!v->is_shared || v->offset != offset ||
	    (v->dev == st.st_dev && v->ino != st.st_ino)) {
		return err(-EINVAL,
			   "descriptor %d is not of the file that is "
			   "mapped there, shared, at that offset",
			   fd);
	}
	return 0;
}

/* Is all of it mapped, to be read and written? */
static int check_maps(int maps_fd, uint64_t at, uint64_t last, int fd,
		      uint64_t offset)
{
	struct maps_reader reader;
	struct vma v;
	int r;

	maps_reader_init(&reader, maps_fd);
	while ((r = maps_next(&reader, &v)) > 0 && at <= last) {
		if (v.last < at) {
			continue;
		}
		if (v.start > at || !v.is_readable || !v.is_writable) {
			break;
		}
		v.offset += at - v.start;
		r = check_file(&v, fd, offset);
		if (r < 0) {
			return r;
		}
		offset += v.last - at + 1;
		at = v.last + 1;
	}
	if (r < 0) {
		return err_context(r, "/proc/self/maps");
	}
	return at > last ? 0
			 : err(-EINVAL, "not all of it is mapped to be read "
					"and written");
}

static int check_memory(const void *va, size_t size_bytes, int fd,
			uint64_t fd_offset)
{
	_cleanup_close_ int maps =
		open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	uint64_t start = (uintptr_t)va;

	if (maps < 0) {
		return err(-errno, "/proc/self/maps: %s", strerror(errno));
	}
	return check_maps(maps, start, start + size_bytes - 1, fd, fd_offset);
}

static int new_region(void *va, size_t size_bytes, int fd, uint64_t fd_offset,
		      struct region **ret)
{
	struct mem_file *file = NULL;
	int r, ours;

	if (fd < 0) {
		return region_new_own(va, size_bytes, NULL, NULL, ret);
	}
	ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (ours < 0) {
		return err(-errno, "descriptor %d: %s", fd, strerror(errno));
	}
	r = mem_file_new(ours, &file);
	if (r == 0) {
		r = region_new_own_file(va, size_bytes, file, fd_offset, ret);
	}
	mem_file_unref(file);
	return r;
}

int vdpakit_mem_add(struct vdpakit *kit, void *va, size_t size_bytes, int fd,
		    uint64_t fd_offset)
{
	struct region *region = NULL;
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = check_range(va, size_bytes, fd_offset);
	if (r == 0) {
		r = check_memory(va, size_bytes, fd, fd_offset);
	}
	if (r == 0) {
		r = new_region(va, size_bytes, fd, fd_offset, &region);
	}
	if (r == 0) {
		r = add_region(kit, region);
	}
	region_unref(region);
	return lib_leave(kit, __func__, r);
}

int vdpakit_mem_remove(struct vdpakit *kit, void *va)
{
	struct mem_call c = { .call.fn = remove_from_pool, .va = va };
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = lib_call(kit, &c.call);
	if (r == 0) {
		(void)sync_all(kit); /* what is gone is gone */
		region_unref(c.region);
	}
	return lib_leave(kit, __func__, r);
}
