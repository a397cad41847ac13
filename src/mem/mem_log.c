/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dirty log: which pages of a guest's memory a device has written.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/mem_log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct mem_log {
	/* any thread, atomic */
	atomic_uint refs;
	atomic_ullong n_ignored;

	/* immutable */
	struct region *bitmap;
	uint8_t *bytes;
	uint64_t n_pages;
	unsigned int n_ranges;
	struct mem_log_range ranges[]; /* by address, none overlaps another */
};

static int compare_ranges(const void *a, const void *b)
{
	uintptr_t va_a = (uintptr_t)((const struct mem_log_range *)a)->va;
	uintptr_t va_b = (uintptr_t)((const struct mem_log_range *)b)->va;

	return va_a < va_b ? -1 : va_a > va_b;
}

/* Bytes from the start of @range to @va; huge when it lies before. */
static uint64_t range_off(const struct mem_log_range *range, uintptr_t va)
{
	return va - (uintptr_t)range->va;
}

static bool range_is_sound(const struct mem_log_range *range)
{
	return range->size > 0 &&
	       range->size - 1 <= UINTPTR_MAX - (uintptr_t)range->va &&
	       range->size - 1 <= UINT64_MAX - range->gpa;
}

/* @ranges are sorted. */
static int check_ranges(const struct mem_log_range *ranges, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!range_is_sound(&ranges[i])) {
			return err(-EINVAL,
				   "dirty log: range %u of %u wraps "
				   "or is empty",
				   i, n);
		}
		if (i > 0 &&
		    range_off(&ranges[i - 1], (uintptr_t)ranges[i].va) <
			    ranges[i - 1].size) {
			return err(-EINVAL, "dirty log: ranges overlap");
		}
	}
	return 0;
}

int mem_log_new(struct region *bitmap, const struct mem_log_range *ranges,
		unsigned int n, struct mem_log **ret)
{
	struct mem_log *log;
	int rc;

	if (!region_va(bitmap) || !(region_perm(bitmap) & MEM_PERM_WO)) {
		return err(-EINVAL, "dirty log: the bitmap cannot be written");
	}
	log = calloc(1, sizeof(*log) + n * sizeof(*ranges));
	if (!log) {
		return err(-ENOMEM, "dirty log: no memory");
	}
	if (n > 0) {
		memcpy(log->ranges, ranges, n * sizeof(*ranges));
		qsort(log->ranges, n, sizeof(*ranges), compare_ranges);
	}
	rc = check_ranges(log->ranges, n);
	if (rc < 0) {
		free(log);
		return rc;
	}
	atomic_init(&log->refs, 1);
	log->bitmap = region_ref(bitmap);
	log->bytes = region_va(bitmap);
	/* A mapping of 2^61 bytes there is not. */
	log->n_pages = region_size(bitmap) * 8;
	log->n_ranges = n;
	*ret = log;
	return 0;
}

struct mem_log *mem_log_ref(struct mem_log *log)
{
	atomic_fetch_add_explicit(&log->refs, 1, memory_order_relaxed);
	return log;
}

struct mem_log *mem_log_unref(struct mem_log *log)
{
	if (log && atomic_fetch_sub_explicit(&log->refs, 1,
					     memory_order_acq_rel) == 1) {
		region_unref(log->bitmap);
		free(log);
	}
	return NULL;
}

static void ignore(struct mem_log *log)
{
	atomic_fetch_add_explicit(&log->n_ignored, 1, memory_order_relaxed);
}

/*
 * Sets the bits of pages [first, last]. Each time anew, even those that are
 * set: what was written must be seen by whoever takes the bit after this.
 */
static void set_bits(struct mem_log *log, uint64_t first, uint64_t last)
{
	for (uint64_t at = first / 8; at <= last / 8; at++) {
		unsigned int mask = 0xff;

		if (at == first / 8) {
			mask &= 0xffU << first % 8;
		}
		if (at == last / 8) {
			mask &= 0xffU >> (7 - last % 8);
		}
		__atomic_fetch_or(&log->bytes[at], (uint8_t)mask,
				  __ATOMIC_RELEASE);
	}
}

void mem_log_mark(struct mem_log *log, uint64_t gpa, uint64_t len)
{
	uint64_t first = gpa / MEM_LOG_PAGE;
	uint64_t last;

	if (len == 0) {
		return;
	}
	last = (len - 1 > UINT64_MAX - gpa ? UINT64_MAX : gpa + (len - 1)) /
	       MEM_LOG_PAGE;
	if (last >= log->n_pages) {
		ignore(log);
		if (first >= log->n_pages) {
			return;
		}
		last = log->n_pages - 1;
	}
	set_bits(log, first, last);
}

/* The first range that ends behind @va, by its index; n_ranges: none. */
static unsigned int range_at(const struct mem_log *log, uintptr_t va)
{
	unsigned int low = 0, high = log->n_ranges;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;
		const struct mem_log_range *range = &log->ranges[mid];

		if (va >= (uintptr_t)range->va &&
		    range_off(range, va) >= range->size) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low;
}

/* Bytes from @va to the start of @range; 0 when it begins before. */
static uint64_t gap_before(const struct mem_log_range *range, uintptr_t va)
{
	return va < (uintptr_t)range->va ? (uintptr_t)range->va - va : 0;
}

void mem_log_mark_va(struct mem_log *log, const void *va, size_t len)
{
	uintptr_t at = (uintptr_t)va;
	bool is_whole = true;

	for (unsigned int i = range_at(log, at); len && i < log->n_ranges;
	     i++) {
		const struct mem_log_range *range = &log->ranges[i];
		uint64_t gap = gap_before(range, at), off;
		size_t n;

		if (gap >= len) {
			break;
		}
		is_whole = is_whole && gap == 0;
		at += (uintptr_t)gap;
		len -= (size_t)gap;
		off = range_off(range, at);
		n = (size_t)min_of((uint64_t)len, range->size - off);
		mem_log_mark(log, range->gpa + off, n);
		at += n;
		len -= n;
	}
	if (len > 0 || !is_whole) {
		ignore(log);
	}
}

uint64_t mem_log_n_ignored(const struct mem_log *log)
{
	return atomic_load_explicit(&log->n_ignored, memory_order_relaxed);
}
