/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying bytes of an address space, whatever is behind them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "mem/iotlb.h"

/* One copy: bytes of an address space and what may be done with them. */
struct mem_range {
	uint64_t iova;
	size_t len;
	uint32_t perm;
};

/*
 * Return: the entry of the range's first byte; NULL when a byte of the range
 * is not mapped or lacks the permission.
 */
static const struct iotlb_entry *range_check(const struct iotlb_snap *snap,
					     const struct mem_range *range)
{
	const struct iotlb_entry *first = NULL;
	uint64_t iova = range->iova;
	uint64_t end = iova + (range->len - 1); /* inclusive */

	if (end < iova) {
		return NULL;
	}
	for (;;) {
		const struct iotlb_entry *e = iotlb_find(snap, iova);

		if (!e || !(e->perm & range->perm)) {
			return NULL;
		}
		first = first ? first : e;
		if (e->last >= end) {
			return first;
		}
		iova = e->last + 1;
	}
}

/* How many of @len bytes from @iova on lie in an entry that holds @iova. */
static size_t bytes_in(const struct iotlb_entry *e, uint64_t iova, size_t len)
{
	uint64_t more = e->last - iova; /* one less than there are */

	return more < len ? (size_t)more + 1 : len;
}

int mem_read(const struct iotlb_snap *snap, uint64_t iova, void *buf,
	     size_t len)
{
	const struct mem_range range = { iova, len, MEM_PERM_RO };
	const struct iotlb_entry *e;
	char *to = buf;

	if (len == 0) {
		return 0;
	}
	e = range_check(snap, &range);
	if (!e) {
		return -EFAULT;
	}
	for (;;) {
		size_t n = bytes_in(e, iova, len);
		int ret = region_read(e->region, e->offset + (iova - e->start),
				      to, n);

		if (ret < 0 || n == len) {
			return ret;
		}
		to += n;
		iova += n;
		len -= n;
		e = iotlb_find(snap, iova);
	}
}

int mem_write(const struct iotlb_snap *snap, uint64_t iova, const void *buf,
	      size_t len)
{
	const struct mem_range range = { iova, len, MEM_PERM_WO };
	const struct iotlb_entry *e;
	const char *from = buf;

	if (len == 0) {
		return 0;
	}
	e = range_check(snap, &range);
	if (!e) {
		return -EFAULT;
	}
	for (;;) {
		size_t n = bytes_in(e, iova, len);
		int ret = region_write(e->region, e->offset + (iova - e->start),
				       from, n);

		if (ret < 0 || n == len) {
			return ret;
		}
		from += n;
		iova += n;
		len -= n;
		e = iotlb_find(snap, iova);
	}
}
