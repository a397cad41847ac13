/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOTLB: what each I/O virtual address of one address space stands for.
 *
 * Theory of operation
 *
 * The control side owns a struct iotlb and changes it; readers (virtqueues on
 * their worker threads) hold an iotlb_snap, which never changes. Snapshots are
 * cheap: entries live in a tree of small counted nodes; a change copies the
 * nodes between the root and the entry, and shares all others with every older
 * snapshot. A region is unmapped when the last snapshot that knows it dies.
 *
 *   iotlb --> snap (newest) --> [ root' ] --> [ node' ]
 *                                   |
 *             snap (older) ---> [ root  ] --> [ node ][ node ][ node ]
 *
 * Entries are closed intervals [start, last] and never overlap. Changes and
 * lookups cost time logarithmic in their number, whatever a client does.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_IOTLB_H
#define MEM_IOTLB_H

#include "mem/region.h"

/* As the kernel's max_iotlb_entries. */
#define IOTLB_DEFAULT_LIMIT 2048

/**
 * struct iotlb_entry - one mapping, immutable
 *
 * @start, @last: I/O virtual addresses, inclusive
 * @va: of @start in this process; NULL when the region is foreign
 * @region: what stands behind it
 * @offset: of @start in @region, bytes
 * @perm: enum mem_perm; other bits are the client's own business
 */
struct iotlb_entry {
	uint64_t start;
	uint64_t last;
	char *va;
	struct region *region;
	uint64_t offset;
	uint32_t perm;
};

struct iotlb;
struct iotlb_snap;

/**
 * iotlb_new() - an empty table
 * @limit: entries it may hold, >= 1
 * @ret: written on success
 *
 * Return: 0; -ENOMEM
 */
int iotlb_new(unsigned int limit, struct iotlb **ret);
struct iotlb *iotlb_free(struct iotlb *tlb);

/**
 * iotlb_map() - add an entry
 * @tlb: control side
 * @start, @last: I/O virtual addresses, inclusive
 * @region: what stands behind; referenced
 * @offset: of @start in @region, bytes
 * @perm: enum mem_perm
 *
 * Return: 0; -EINVAL start > last, not in the region, or writable when the
 *         region is not; -EEXIST overlaps an entry; -ENOSPC limit reached;
 *         -ENOMEM
 * Source: kernel drivers/vhost/iotlb.c
 */
int iotlb_map(struct iotlb *tlb, uint64_t start, uint64_t last,
	      struct region *region, uint64_t offset, uint32_t perm);

/**
 * iotlb_unmap() - remove every entry that overlaps a range, whole
 * @tlb: control side
 * @start, @last: I/O virtual addresses, inclusive
 *
 * Return: entries removed (none when start > last); -ENOMEM (nothing removed)
 */
int iotlb_unmap(struct iotlb *tlb, uint64_t start, uint64_t last);

/* Entries in the table. */
unsigned int iotlb_n_entries(const struct iotlb *tlb);

/**
 * iotlb_snapshot() - the table as it is now
 * @tlb: control side
 *
 * Return: a reference that the caller drops with iotlb_snap_unref(); the same
 *         object as before while nothing changed. Never NULL: an empty table
 *         has a snapshot too.
 */
struct iotlb_snap *iotlb_snapshot(struct iotlb *tlb);

/* Takes over a snapshot, an earlier one as a rule: undoes what was refused. */
void iotlb_restore(struct iotlb *tlb, struct iotlb_snap *snap);

struct iotlb_snap *iotlb_snap_ref(struct iotlb_snap *snap);
struct iotlb_snap *iotlb_snap_unref(struct iotlb_snap *snap);

/**
 * iotlb_find() - the entry that holds an address
 * @snap: what to look in
 * @iova: I/O virtual address
 *
 * Return: borrowed, valid as long as @snap is; NULL when not mapped
 * Context: any thread
 */
const struct iotlb_entry *iotlb_find(const struct iotlb_snap *snap,
				     uint64_t iova);

/**
 * iotlb_first() - the first entry that ends at or after an address
 *
 * With iova = entry->last + 1 it goes on to the next one (stop when
 * entry->last is UINT64_MAX). Return: as iotlb_find()
 */
const struct iotlb_entry *iotlb_first(const struct iotlb_snap *snap,
				      uint64_t iova);

/* Does the table keep its own rules? For tests: it looks at all of it. */
bool iotlb_snap_is_sound(const struct iotlb_snap *snap);

/**
 * mem_read(), mem_write() - copy bytes of an address space, whatever is behind
 * @snap: the address space
 * @iova: I/O virtual address of the first byte
 * @buf, @len: the bytes
 *
 * The range may cross entries at any byte.
 *
 * Return: 0; -EFAULT a byte is not mapped or lacks the permission (nothing
 *         was copied in that case: the whole range is checked first), or the
 *         peer is gone
 * Context: any thread; never allocates
 */
int mem_read(const struct iotlb_snap *snap, uint64_t iova, void *buf,
	     size_t len);
int mem_write(const struct iotlb_snap *snap, uint64_t iova, const void *buf,
	      size_t len);

#endif
