/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions: the memory behind an address space, by kind.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/region.h"

#include <assert.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "mem/backing.h"
#include "mem/mem_internal.h"
#include "mem/sigbus.h"

struct region {
	/* any thread, atomic */
	atomic_uint refs;

	/* immutable */
	enum region_kind kind;
	uint64_t size;
	unsigned int perm; /* enum mem_perm */
	char *va; /* NULL: foreign */

	/* own */
	void (*release)(void *priv);
	void *priv;
	/* mapped */
	struct sigbus_guard guard;
	/* both */
	struct mem_file *file; /* NULL: none, or it was only borrowed */
	uint64_t file_offset;
	/* foreign */
	struct foreign_mem *fm;
	uint64_t uaddr;
};

/* Process-wide: they are the sum over every bus, for leak checks. */
static atomic_ullong n_regions[REGION_KIND_N];
static atomic_ullong n_bytes[REGION_KIND_N];

static int region_alloc(enum region_kind kind, uint64_t size,
			struct region **ret)
{
	struct region *region;

	if (size == 0) {
		return err(-EINVAL, "region: it has no bytes");
	}
	region = calloc(1, sizeof(*region));
	if (!region) {
		return err(-ENOMEM, "region: no memory");
	}
	atomic_init(&region->refs, 1);
	region->kind = kind;
	region->size = size;
	region->perm = MEM_PERM_RW;
	*ret = region;
	return 0;
}

/* The region is complete: from now on it counts. */
static int region_publish(struct region *region, struct region **ret)
{
	atomic_fetch_add_explicit(&n_regions[region->kind], 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&n_bytes[region->kind], region->size,
				  memory_order_relaxed);
	*ret = region;
	return 0;
}

int region_new_own(void *va, uint64_t size, void (*release)(void *priv),
		   void *priv, struct region **ret)
{
	struct region *region;
	int r;

	if (!va || size > UINTPTR_MAX - (uintptr_t)va) {
		return err(-EINVAL, "region: not an address range");
	}
	r = region_alloc(REGION_OWN, size, &region);
	if (r < 0) {
		return r;
	}
	region->va = va;
	region->release = release;
	region->priv = priv;
	return region_publish(region, ret);
}

int region_new_own_file(void *va, uint64_t size, struct mem_file *file,
			uint64_t offset, struct region **ret)
{
	struct region *region;
	int r = region_new_own(va, size, NULL, NULL, &region);

	if (r == 0) {
		region->file = mem_file_ref(file);
		region->file_offset = offset;
		*ret = region;
	}
	return r;
}

/* Return: what offsets and lengths of a mapping of the file must divide by. */
static uint64_t file_page_size(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC &&
	    fs.f_bsize > 0 && is_pow2((uint64_t)fs.f_bsize)) {
		return (uint64_t)fs.f_bsize;
	}
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Maps the window of whole pages around [offset, offset + size). */
static int map_window(struct region *region, int fd, uint64_t offset, int prot)
{
	uint64_t page_size = file_page_size(fd);
	uint64_t from = align_down(offset, page_size);
	uint64_t len;
	void *base;

	/* Half the address space is more than there is: no sum below wraps. */
	if (offset > INT64_MAX || region->size > INT64_MAX / 2 ||
	    offset > INT64_MAX - region->size - page_size) {
		return err(-EINVAL, "region: bytes %llu of a file at %llu",
			   (unsigned long long)region->size,
			   (unsigned long long)offset);
	}
	len = align_up(offset + region->size, page_size) - from;
	base = mmap(NULL, (size_t)len, prot, MAP_SHARED, fd, (off_t)from);
	if (base == MAP_FAILED) {
		return err(-errno, "region: cannot map the file: %s",
			   strerror(errno));
	}
	region->guard.base = base;
	region->guard.len = (size_t)len;
	region->guard.page_size = (size_t)page_size;
	region->guard.prot = prot;
	region->guard.is_sparse = backing_is_vduse(fd);
	region->va = region->guard.base + (offset - from);
	return 0;
}

int region_new_mapped(int fd, uint64_t offset, uint64_t size, unsigned int perm,
		      struct region **ret)
{
	int prot = perm & MEM_PERM_WO ? PROT_READ | PROT_WRITE : PROT_READ;
	struct region *region;
	int r;

	r = backing_check(fd);
	if (r < 0) {
		return r;
	}
	r = region_alloc(REGION_MAPPED, size, &region);
	if (r < 0) {
		return r;
	}
	region->perm = perm & MEM_PERM_WO ? MEM_PERM_RW : MEM_PERM_RO;
	r = map_window(region, fd, offset, prot);
	if (r < 0) {
		goto err_free;
	}
	r = sigbus_guard_add(&region->guard);
	if (r < 0) {
		goto err_unmap;
	}
	return region_publish(region, ret);

err_unmap:
	(void)munmap(region->guard.base, region->guard.len); /* our own */
err_free:
	free(region);
	return r;
}

int region_new_file(struct mem_file *file, uint64_t offset, uint64_t size,
		    unsigned int perm, struct region **ret)
{
	struct region *region;
	int r = region_new_mapped(mem_file_fd(file), offset, size, perm,
				  &region);

	if (r == 0) {
		region->file = mem_file_ref(file);
		region->file_offset = offset;
		*ret = region;
	}
	return r;
}

int region_new_foreign(struct foreign_mem *fm, uint64_t uaddr, uint64_t size,
		       struct region **ret)
{
	struct region *region;
	int r;

	if (size > UINT64_MAX - uaddr) {
		return err(-EINVAL, "region: the client's range wraps");
	}
	r = region_alloc(REGION_FOREIGN, size, &region);
	if (r < 0) {
		return r;
	}
	region->fm = foreign_mem_ref(fm);
	region->uaddr = uaddr;
	return region_publish(region, ret);
}

static void region_destroy(struct region *region)
{
	atomic_fetch_sub_explicit(&n_regions[region->kind], 1,
				  memory_order_relaxed);
	atomic_fetch_sub_explicit(&n_bytes[region->kind], region->size,
				  memory_order_relaxed);
	switch (region->kind) {
	case REGION_OWN:
		if (region->release) {
			region->release(region->priv);
		}
		mem_file_unref(region->file);
		break;
	case REGION_MAPPED:
		sigbus_guard_del(&region->guard);
		(void)munmap(region->guard.base, region->guard.len); /* ours */
		mem_file_unref(region->file);
		break;
	case REGION_FOREIGN:
		foreign_mem_unref(region->fm);
		break;
	case REGION_KIND_N:
		assert(false);
	}
	free(region);
}

struct region *region_ref(struct region *region)
{
	atomic_fetch_add_explicit(&region->refs, 1, memory_order_relaxed);
	return region;
}

struct region *region_unref(struct region *region)
{
	if (region && atomic_fetch_sub_explicit(&region->refs, 1,
						memory_order_acq_rel) == 1) {
		region_destroy(region);
	}
	return NULL;
}

enum region_kind region_kind(const struct region *region)
{
	return region->kind;
}

uint64_t region_size(const struct region *region)
{
	return region->size;
}

unsigned int region_perm(const struct region *region)
{
	return region->perm;
}

void *region_va(const struct region *region)
{
	return region->va;
}

void *region_window(const struct region *region, size_t *ret_len)
{
	*ret_len = region->guard.len;
	return region->guard.base;
}

int region_file_fd(const struct region *region, uint64_t *ret_offset)
{
	if (!region->file) {
		return -1;
	}
	*ret_offset = region->file_offset;
	return mem_file_fd(region->file);
}

bool region_is_poisoned(const struct region *region)
{
	return region->kind == REGION_MAPPED &&
	       atomic_load_explicit(&region->guard.is_poisoned,
				    memory_order_acquire);
}

int region_read(struct region *region, uint64_t offset, void *buf, size_t len)
{
	if (!range_fits(offset, len, region->size)) {
		return -EFAULT;
	}
	if (!region->va) {
		return foreign_mem_read(region->fm, region->uaddr + offset, buf,
					len);
	}
	shared_load(buf, region->va + offset, len);
	return 0;
}

int region_write(struct region *region, uint64_t offset, const void *buf,
		 size_t len)
{
	if (!(region->perm & MEM_PERM_WO) ||
	    !range_fits(offset, len, region->size)) {
		return -EFAULT;
	}
	if (!region->va) {
		return foreign_mem_write(region->fm, region->uaddr + offset,
					 buf, len);
	}
	shared_store(region->va + offset, buf, len);
	return 0;
}

void region_get_stats(struct region_stats *ret)
{
	for (unsigned int i = 0; i < REGION_KIND_N; i++) {
		ret->n_regions[i] = atomic_load_explicit(&n_regions[i],
							 memory_order_relaxed);
		ret->n_bytes[i] =
			atomic_load_explicit(&n_bytes[i], memory_order_relaxed);
	}
	ret->n_sigbus = sigbus_n_survived();
}
