/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end mem: sectors in memory, gone with the device.
 *
 * Memory is taken from the system as sectors are written and given back as they
 * are discarded. Addresses are reserved for as large a disk as there can be, so
 * that it can grow while its queues run.
 *
 * Several queues may write at once on different workers: overlapping requests
 * that are in flight together may mix, as on any disk.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"
#include "dev/blk/backend.h"

#define PAGE_BYTES	  4096
#define DEFAULT_SECTORS	  0x40000 /* 128 MiB */
#define SIZE_MAX_BYTES	  (1ULL << 40)
#define RANGE_MAX_SECTORS (1U << 21) /* 1 GiB */
/* Ranges this long are zeroed by giving them back, wanted or not: clearing them
 * would keep the worker from other queues for too long (H92). */
#define UNMAP_ALWAYS_BYTES (1ULL << 20)

struct mem_disk {
	char *va;
	size_t reserved_bytes;
};

static void copy_out(struct blk_req *req, const char *from)
{
	for (unsigned int i = 0; i < req->n_iov; i++) {
		memcpy(req->iov[i].iov_base, from, req->iov[i].iov_len);
		from += req->iov[i].iov_len;
	}
}

static void copy_in(struct blk_req *req, char *to)
{
	for (unsigned int i = 0; i < req->n_iov; i++) {
		memcpy(to, req->iov[i].iov_base, req->iov[i].iov_len);
		to += req->iov[i].iov_len;
	}
}

/* Whole pages go back to the system, and read as zero afterwards; the rest is
 * cleared. */
static void zero(const struct mem_disk *disk, const struct blk_req *req)
{
	bool may_unmap = req->op != BLK_WRITE_ZEROES || req->may_unmap ||
			 req->len >= UNMAP_ALWAYS_BYTES;
	char *start = disk->va + req->offset, *end = start + req->len;
	char *page = disk->va + align_up(req->offset, PAGE_BYTES);
	uint64_t page_bytes;

	if (!may_unmap || page >= end) {
		memset(start, 0, req->len);
		return;
	}
	page_bytes = align_down((uint64_t)(end - page), PAGE_BYTES);
	memset(start, 0, (size_t)(page - start));
	memset(page + page_bytes, 0, (size_t)(end - page) - page_bytes);
	if (page_bytes > 0 && madvise(page, page_bytes, MADV_DONTNEED) < 0) {
		memset(page, 0, page_bytes);
	}
}

static int64_t execute(const struct mem_disk *disk, struct blk_req *req)
{
	switch (req->op) {
	case BLK_READ:
		copy_out(req, disk->va + req->offset);
		return (int64_t)req->len;
	case BLK_WRITE:
		copy_in(req, disk->va + req->offset);
		return 0;
	case BLK_FLUSH:
		return 0;
	default:
		zero(disk, req);
		return 0;
	}
}

static void mem_submit(struct blk_vq *q, struct blk_req *const *reqs,
		       unsigned int n)
{
	const struct mem_disk *disk = blk_priv(blk_vq_dev(q));

	for (unsigned int i = 0; i < n; i++) {
		blk_done(reqs[i], execute(disk, reqs[i]));
	}
}

static size_t bytes_of(uint64_t sectors)
{
	return align_up(sectors * BLK_SECTOR_BYTES, PAGE_BYTES);
}

static int make_usable(const struct mem_disk *disk, uint64_t sectors)
{
	if (mprotect(disk->va, bytes_of(sectors), PROT_READ | PROT_WRITE) < 0) {
		return err(-ENOMEM, "no memory for a disk of %zu bytes",
			   bytes_of(sectors));
	}
	return 0;
}

/* As many addresses as there are to be had. */
static int reserve(struct mem_disk *disk, uint64_t sectors)
{
	for (size_t size = SIZE_MAX_BYTES; size >= bytes_of(sectors);
	     size /= 2) {
		void *va = mmap(NULL, size, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				0);

		if (va != MAP_FAILED) {
			disk->va = va;
			disk->reserved_bytes = size;
			return make_usable(disk, sectors);
		}
	}
	return err(-ENOMEM, "no memory for a disk of %zu bytes",
		   bytes_of(sectors));
}

static int check_size(uint64_t sectors)
{
	if (sectors > SIZE_MAX_BYTES / BLK_SECTOR_BYTES) {
		return err(-ERANGE, "capacity: mem disks have up to 1T");
	}
	return 0;
}

static int mem_open(struct blk_dev *blk)
{
	struct blk_limits *l = blk_limits(blk);
	int ret;

	if (l->capacity_sectors == 0) {
		l->capacity_sectors = DEFAULT_SECTORS;
	}
	l->has_volatile_cache = false;
	l->discard_sectors = RANGE_MAX_SECTORS;
	l->write_zeroes_sectors = RANGE_MAX_SECTORS;
	l->secure_erase_sectors = RANGE_MAX_SECTORS;
	ret = check_size(l->capacity_sectors);
	return ret < 0 ? ret : reserve(blk_priv(blk), l->capacity_sectors);
}

static void mem_close(struct blk_dev *blk)
{
	struct mem_disk *disk = blk_priv(blk);

	if (disk->va) {
		(void)munmap(disk->va, disk->reserved_bytes); /* our own */
	}
}

/* What is cut off is gone, should the disk grow again. */
static int mem_resize(struct blk_dev *blk, uint64_t want_sectors,
		      uint64_t *ret_sectors)
{
	const struct mem_disk *disk = blk_priv(blk);
	size_t want = bytes_of(want_sectors);
	int ret;

	if (want_sectors == 0) {
		return err(-EINVAL, "capacity: mem disks need a size");
	}
	ret = check_size(want_sectors);
	if (ret == 0 && want > disk->reserved_bytes) {
		ret = err(-ENOMEM, "no addresses for a disk of %zu bytes",
			  want);
	}
	if (ret == 0) {
		ret = make_usable(disk, want_sectors);
	}
	if (ret < 0) {
		return ret;
	}
	(void)madvise(disk->va + want, disk->reserved_bytes - want,
		      MADV_DONTNEED); /* never more than memory is lost */
	*ret_sectors = want_sectors;
	return 0;
}

static const struct blk_key mem_keys[] = {
	BLK_KEY_CAPACITY("size of the disk (default 128M; file: of the file)"),
	BLK_KEY_READ_ONLY,
};

const struct blk_backend blk_backend_mem = {
	.name = "mem",
	.help = "memory, gone with the device",
	.keys = mem_keys,
	.n_keys = ARRAY_SIZE(mem_keys),
	.dev_bytes = sizeof(struct mem_disk),
	.open = mem_open,
	.close = mem_close,
	.submit = mem_submit,
	.resize = mem_resize,
};
