/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block backend mem: sectors in memory, gone with the device.
 *
 * Several queues may write at once on different workers: overlapping requests
 * that are in flight together may mix, as on any disk.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"

#define PAGE_BYTES 4096

static size_t size_of(const struct blk_dev *blk)
{
	return blk->capacity_sectors * BLK_SECTOR_BYTES;
}

static int mem_backend_read(struct blk_dev *blk, uint64_t offset,
			    struct vq_chain *chain, uint32_t len)
{
	return vq_chain_write(chain, 0, (char *)blk->priv + offset, len);
}

static int mem_backend_write(struct blk_dev *blk, uint64_t offset,
			     const struct vq_chain *chain, uint32_t chain_off,
			     uint32_t len)
{
	return vq_chain_read(chain, chain_off, (char *)blk->priv + offset, len);
}

static int mem_backend_flush(struct blk_dev *blk)
{
	(void)blk;
	return 0;
}

/* Whole pages go back to the system, and read as zero afterwards; the rest is
 * cleared. */
static int mem_backend_zero(struct blk_dev *blk, uint64_t offset, uint64_t len,
			    bool may_unmap)
{
	char *start = (char *)blk->priv + offset, *end = start + len;
	char *page = (char *)blk->priv + align_up(offset, PAGE_BYTES);
	uint64_t page_bytes;

	if (!may_unmap || page >= end) {
		memset(start, 0, len);
		return 0;
	}
	page_bytes = align_down((uint64_t)(end - page), PAGE_BYTES);
	memset(start, 0, (size_t)(page - start));
	memset(page + page_bytes, 0, (size_t)(end - page) - page_bytes);
	if (page_bytes > 0 && madvise(page, page_bytes, MADV_DONTNEED) < 0) {
		memset(page, 0, page_bytes);
	}
	return 0;
}

static int mem_backend_discard(struct blk_dev *blk, uint64_t offset,
			       uint64_t len)
{
	return mem_backend_zero(blk, offset, len, true);
}

static void mem_backend_free(struct blk_dev *blk)
{
	(void)munmap(blk->priv, size_of(blk)); /* our own mapping */
}

static const struct blk_ops mem_ops = {
	.read = mem_backend_read,
	.write = mem_backend_write,
	.flush = mem_backend_flush,
	.discard = mem_backend_discard,
	.write_zeroes = mem_backend_zero,
	.free = mem_backend_free,
};

int blk_mem_init(struct blk_dev *blk)
{
	void *va = mmap(NULL, size_of(blk), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (va == MAP_FAILED) {
		return err(-ENOMEM, "no memory for a disk of %zu bytes",
			   size_of(blk));
	}
	blk->priv = va;
	blk->ops = &mem_ops;
	return 0;
}
