/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOTLB: the table that changes, and snapshots of it that do not.
 *
 * A table is its newest snapshot. A change first puts aside all the memory
 * that it could need, and then cannot fail; it changes the newest snapshot in
 * place if nobody else has it, and else one that shares its tree.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/iotlb.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/err.h"
#include "mem/iotlb_tree.h"

struct iotlb_snap {
	/* any thread, atomic */
	atomic_uint refs;
	/* immutable when anybody but the table has it */
	unsigned int n_entries;
	struct node *root;
};

/* control only */
struct iotlb {
	struct iotlb_snap *snap; /* as it is now */
	unsigned int limit;

	/* Put aside by tlb_reserve(). */
	struct iotlb_snap *spare_snap;
	struct node_pool pool;
};

const struct iotlb_entry *iotlb_first(const struct iotlb_snap *snap,
				      uint64_t iova)
{
	return tree_first(snap->root, iova);
}

const struct iotlb_entry *iotlb_find(const struct iotlb_snap *snap,
				     uint64_t iova)
{
	const struct iotlb_entry *e = tree_first(snap->root, iova);

	return e && e->start <= iova ? e : NULL;
}

bool iotlb_snap_is_sound(const struct iotlb_snap *snap)
{
	unsigned int n;

	return tree_is_sound(snap->root, &n) && n == snap->n_entries;
}

/* ---- snapshots ---- */

static struct iotlb_snap *snap_alloc(void)
{
	struct iotlb_snap *snap = calloc(1, sizeof(*snap));

	if (snap) {
		atomic_init(&snap->refs, 1);
	}
	return snap;
}

struct iotlb_snap *iotlb_snap_ref(struct iotlb_snap *snap)
{
	atomic_fetch_add_explicit(&snap->refs, 1, memory_order_relaxed);
	return snap;
}

struct iotlb_snap *iotlb_snap_unref(struct iotlb_snap *snap)
{
	if (snap && atomic_fetch_sub_explicit(&snap->refs, 1,
					      memory_order_acq_rel) == 1) {
		tree_unref(snap->root);
		free(snap);
	}
	return NULL;
}

static bool snap_is_shared(const struct iotlb_snap *snap)
{
	/* Pairs with the release in iotlb_snap_unref(). */
	return atomic_load_explicit(&snap->refs, memory_order_acquire) > 1;
}

struct iotlb_snap *iotlb_snapshot(struct iotlb *tlb)
{
	return iotlb_snap_ref(tlb->snap);
}

void iotlb_restore(struct iotlb *tlb, struct iotlb_snap *snap)
{
	struct iotlb_snap *old = tlb->snap;

	tlb->snap = iotlb_snap_ref(snap);
	iotlb_snap_unref(old);
}

/* ---- the table ---- */

/* Puts aside what any one change may need. Return: 0; -ENOMEM */
static int tlb_reserve(struct iotlb *tlb)
{
	if (!tlb->spare_snap) {
		tlb->spare_snap = snap_alloc();
		if (!tlb->spare_snap) {
			return err(-ENOMEM, "iotlb: no memory");
		}
	}
	return tree_reserve(&tlb->pool, tlb->snap->root);
}

/* Return: the newest snapshot, which nobody else has. */
static struct iotlb_snap *tlb_own_snap(struct iotlb *tlb)
{
	struct iotlb_snap *old = tlb->snap, *snap;

	if (!snap_is_shared(old)) {
		return old;
	}
	snap = tlb->spare_snap;
	tlb->spare_snap = NULL;
	snap->n_entries = old->n_entries;
	snap->root = tree_ref(old->root);
	tlb->snap = snap;
	iotlb_snap_unref(old);
	return snap;
}

int iotlb_new(unsigned int limit, struct iotlb **ret)
{
	struct iotlb *tlb = calloc(1, sizeof(*tlb));

	if (!tlb) {
		return err(-ENOMEM, "iotlb: no memory");
	}
	tlb->limit = limit;
	tlb->snap = snap_alloc();
	if (!tlb->snap) {
		free(tlb);
		return err(-ENOMEM, "iotlb: no memory");
	}
	*ret = tlb;
	return 0;
}

struct iotlb *iotlb_free(struct iotlb *tlb)
{
	if (!tlb) {
		return NULL;
	}
	node_pool_drain(&tlb->pool);
	free(tlb->spare_snap);
	iotlb_snap_unref(tlb->snap);
	free(tlb);
	return NULL;
}

unsigned int iotlb_n_entries(const struct iotlb *tlb)
{
	return tlb->snap->n_entries;
}

/* Does any entry overlap? */
static const struct iotlb_entry *tlb_overlap(const struct iotlb *tlb,
					     uint64_t start, uint64_t last)
{
	const struct iotlb_entry *e = iotlb_first(tlb->snap, start);

	return e && e->start <= last ? e : NULL;
}

static int map_check(const struct iotlb *tlb, const struct iotlb_entry *entry)
{
	uint64_t size = region_size(entry->region);
	const struct iotlb_entry *e;

	if (entry->start > entry->last) {
		return err(-EINVAL, "iotlb: a range ends before it starts");
	}
	if (entry->offset >= size ||
	    entry->last - entry->start > size - entry->offset - 1) {
		return err(-EINVAL, "iotlb: %#llx..%#llx is not in its region",
			   (unsigned long long)entry->start,
			   (unsigned long long)entry->last);
	}
	if ((entry->perm & MEM_PERM_WO) &&
	    !(region_perm(entry->region) & MEM_PERM_WO)) {
		return err(-EINVAL, "iotlb: %#llx..%#llx is not writable",
			   (unsigned long long)entry->start,
			   (unsigned long long)entry->last);
	}
	e = tlb_overlap(tlb, entry->start, entry->last);
	if (e) {
		return err(-EEXIST, "iotlb: %#llx..%#llx overlaps %#llx..%#llx",
			   (unsigned long long)entry->start,
			   (unsigned long long)entry->last,
			   (unsigned long long)e->start,
			   (unsigned long long)e->last);
	}
	if (tlb->snap->n_entries >= tlb->limit) {
		return err(-ENOSPC, "iotlb: %u maps, limit %u",
			   tlb->snap->n_entries, tlb->limit);
	}
	return 0;
}

int iotlb_map(struct iotlb *tlb, uint64_t start, uint64_t last,
	      struct region *region, uint64_t offset, uint32_t perm)
{
	struct iotlb_entry entry = { start, last, NULL, region, offset, perm };
	struct iotlb_snap *snap;
	char *va = region_va(region);
	int ret;

	ret = map_check(tlb, &entry);
	if (ret < 0) {
		return ret;
	}
	ret = tlb_reserve(tlb);
	if (ret < 0) {
		return ret;
	}
	entry.va = va ? va + offset : NULL;
	region_ref(region);
	snap = tlb_own_snap(tlb);
	tree_insert(&tlb->pool, &snap->root, &entry);
	snap->n_entries++;
	return 0;
}

int iotlb_unmap(struct iotlb *tlb, uint64_t start, uint64_t last)
{
	struct iotlb_snap *snap;
	unsigned int n_cut;
	int ret;

	if (start > last || !tlb_overlap(tlb, start, last)) {
		return 0;
	}
	ret = tlb_reserve(tlb);
	if (ret < 0) {
		return ret;
	}
	snap = tlb_own_snap(tlb);
	n_cut = tree_cut(&tlb->pool, &snap->root, start, last);
	snap->n_entries -= n_cut;
	return (int)n_cut;
}
