/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dirty log: which pages of a guest's memory a device has written.
 *
 * Theory of operation
 *
 * Somebody who moves a guest to another machine copies its memory while the
 * guest runs, and then again what was written since: he hands in a bitmap, one
 * bit for each page of MEM_LOG_PAGE bytes of guest-physical memory from
 * address 0 on, clears bits as he copies, and whoever writes sets them:
 *
 *   the bytes are written --> mem_log_mark() --> ... he takes the bit and
 *                                                then reads the page
 *
 * Marking comes after writing. The other way round he could take the bit
 * between the two, copy the page as it was, and never come back.
 *
 * A log never changes but for the bits: where the memory stands or where the
 * bitmap lies is new with a new one. So any number of threads mark at once,
 * without a lock.
 *
 * What cannot be marked, because it lies beyond the bitmap or in no range of
 * the table, is left out and counted: the bitmap and the table are a peer's.
 *
 * Source: QEMU docs/interop/vhost-user.rst, "Migration"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_MEM_LOG_H
#define MEM_MEM_LOG_H

#include "mem/region.h"

/* Bytes of memory that one bit stands for, whatever the machine's page is. */
#define MEM_LOG_PAGE 4096

struct mem_log;

/**
 * struct mem_log_range - memory of this process and what the guest calls it
 *
 * @va: its first byte; only compared, never accessed
 * @size: bytes, > 0
 * @gpa: guest-physical address of @va
 */
struct mem_log_range {
	const void *va;
	uint64_t size;
	uint64_t gpa;
};

/**
 * mem_log_new() - a log
 * @bitmap: bit n % 8 of byte n / 8 is page n; referenced; writable, and with
 *          an address here
 * @ranges: copied; in any order; apart from each other in this process
 * @n: of them; 0: mem_log_mark_va() marks nothing
 * @ret: one reference
 *
 * Return: 0; -EINVAL the bitmap is foreign or not writable, or a range is
 *         empty, wraps, or overlaps another; -ENOMEM
 */
int mem_log_new(struct region *bitmap, const struct mem_log_range *ranges,
		unsigned int n, struct mem_log **ret);
struct mem_log *mem_log_ref(struct mem_log *log);
struct mem_log *mem_log_unref(struct mem_log *log);

/**
 * mem_log_mark() - these bytes of the guest were written
 * @gpa: guest-physical address of the first
 * @len: how many; 0: nothing happens
 *
 * Context: any thread; never blocks
 */
void mem_log_mark(struct mem_log *log, uint64_t gpa, uint64_t len);

/* The same for bytes at @va in this process. */
void mem_log_mark_va(struct mem_log *log, const void *va, size_t len);

/* How often bytes could not be marked. */
uint64_t mem_log_n_ignored(const struct mem_log *log);

#endif
