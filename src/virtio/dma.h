/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that drivers of this process share with devices.
 *
 * Theory of operation
 *
 *   struct dma_pool    pieces of memory, known to all devices of a bus
 *   struct dma_space   one device's view: where each piece is for it
 *
 * Where a device's address range allows, an I/O virtual address is the address
 * here (as DPDK's RTE_IOVA_VA); else the lowest that is free. Data threads look
 * pieces up in an immutable table, found through a pointer: control makes a new
 * one for each change, and an old one dies when no queue can be in it any more
 * (a table is small: it is freed with the space).
 *
 * Rings and requests' headers are memory of the driver's own (dma_alloc()).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VIRTIO_DMA_H
#define VIRTIO_DMA_H

#include "virtio/virtio.h"

/* Pieces in a pool: more would make looking one up slow. */
#define DMA_PIECES_MAX 1024
#define DMA_PAGE_BYTES 4096ULL

struct dma_pool;
struct dma_space;

/* Control thread, all but dma_iova(). */
int dma_pool_new(struct dma_pool **ret);
/* All spaces are gone. Takes NULL. Return: NULL */
struct dma_pool *dma_pool_free(struct dma_pool *pool);

/* A memfd's zeroed pages, mapped here. Return: 0; -EINVAL; -ENOMEM; -errno */
int dma_region_new(uint64_t size_bytes, struct region **ret);

/**
 * dma_pool_add() - let devices reach a piece of memory
 * @region: own or mapped; whole pages here (region_va()); a reference is taken
 *
 * It is put into the pool; dma_space_sync() of each space tells its device.
 *
 * Return: 0; -EEXIST overlaps another piece; -ENOSPC; -EINVAL; -ENOMEM
 */
int dma_pool_add(struct dma_pool *pool, struct region *region);
/* Return: the region, the caller's reference now; NULL: there is none at @va */
struct region *dma_pool_remove(struct dma_pool *pool, const void *va);

/**
 * dma_space_new() - a device's view of a pool
 * @vdev: mapped and unmapped through its ops; its dma from then on
 *
 * Return: 0; -EOPNOTSUPP it cannot reach a piece of the pool; -ENOSPC its range
 *         of addresses is too small; -errno
 */
int dma_space_new(struct dma_pool *pool, struct virtio_device *vdev);
/* Unmaps all. Takes NULL. Return: NULL */
struct dma_space *dma_space_free(struct dma_space *dma);
/* Tells the device what has come to the pool and gone from it. Return: as
 * dma_space_new(): then what came is not in this space */
int dma_space_sync(struct dma_space *dma);

/**
 * dma_alloc() - memory of a driver's own, in this space only
 * @size_bytes: rounded up to pages
 * @ret_region: one reference; the memory is region_va()
 * @ret_iova: of its first byte
 *
 * Return: 0; -ENOMEM; -ENOSPC; what the device says
 */
int dma_alloc(struct dma_space *dma, uint64_t size_bytes,
	      struct region **ret_region, uint64_t *ret_iova);
void dma_free(struct dma_space *dma, struct region *take_region, uint64_t iova);

/**
 * dma_iova() - the device's address of memory here
 * @cursor: of the caller's own: where the last one was found; starts as 0
 * @ret_iova: of @va, written on success
 *
 * Return: 0; -EFAULT not all of [@va, @va + @len) is in one piece of the space
 * Context: any thread; no lock
 */
int dma_iova(const struct dma_space *dma, unsigned int *cursor, const void *va,
	     uint64_t len, uint64_t *ret_iova);

#endif
