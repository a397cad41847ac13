/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOTLB: a persistent B+ tree of mappings.
 *
 * Theory of operation
 *
 * A node has up to IOTLB_FANOUT slots, sorted; a slot of a leaf (level 0) is
 * an entry, a slot of any other node is a child. Beside each slot stands the
 * highest address below it, so that a lookup is one binary search a level for
 * the first slot that ends at or after the address.
 *
 * Nodes are counted by what points at them. A node that a snapshot shares has
 * a count above one somewhere on its path; a change goes down from the root,
 * copies such nodes (node_own()) and changes all others in place. So a run of
 * changes without snapshots copies nothing, and one between two snapshots
 * copies a path.
 *
 * Only the control side raises the count of a node, and only on the way down
 * from a snapshot that it alone holds: a count of one cannot change under it.
 * Other threads drop snapshots, and so counts, at any time.
 *
 * A change first puts aside all the memory that it could need (tlb_reserve()),
 * and then cannot fail.
 *
 * Two neighbours with the same parent have more than half a node's slots
 * together, else they are joined; a root with one child gives way to it. Hence
 * the height is logarithmic whatever a client maps and unmaps, and what
 * recurses over levels does so a few times only. A split of the leftmost or
 * rightmost node leaves most slots on the inner side: clients map upwards or
 * downwards, and the nodes behind them stay full.
 *
 * Rejected: one table of chunks. Sharing it copies a pointer and counts a
 * reference for every chunk, several microseconds at 100,000 entries.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/iotlb.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define IOTLB_FANOUT 24
#define JOIN_MAX     (IOTLB_FANOUT / 2)

/* A copy of each of two paths, and of a neighbour to join with. */
#define RESERVE_PER_LEVEL 3

struct node {
	atomic_uint refs;
	unsigned int level;
	unsigned int n;
	uint64_t last[IOTLB_FANOUT];
	union {
		struct node *child[IOTLB_FANOUT];
		struct iotlb_entry entry[IOTLB_FANOUT];
	};
};

struct iotlb_snap {
	atomic_uint refs;
	unsigned int n_entries;
	struct node *root; /* NULL: empty */
};

struct iotlb {
	struct iotlb_snap *snap; /* as it is now */
	unsigned int limit;

	/* Put aside by tlb_reserve(). */
	struct iotlb_snap *spare_snap;
	struct node *spares; /* linked by child[0] */
	unsigned int n_spares;
};

/* Where a full node is split. */
enum split {
	SPLIT_FIRST = 1,
	SPLIT_HALF = IOTLB_FANOUT / 2,
	SPLIT_LAST = IOTLB_FANOUT - 1,
};

struct insertion {
	struct iotlb *tlb;
	const struct iotlb_entry *entry;
	enum split split;
};

/*
 * Return: the first slot that ends at or after an address; or the number n.
 *
 * Without a branch that depends on the data: addresses of buffers are random,
 * and a wrong guess costs more than a step.
 */
static inline unsigned int node_search(const struct node *node, uint64_t iova)
{
	unsigned int from = 0, n = node->n;

	while (n > 0) {
		unsigned int half = (n + 1) / 2;
		unsigned int is_left = node->last[from + half - 1] < iova;

		from += half & (0 - is_left);
		n -= half;
	}
	return from;
}

const struct iotlb_entry *iotlb_first(const struct iotlb_snap *snap,
				      uint64_t iova)
{
	const struct node *node = snap->root;

	while (node) {
		unsigned int i = node_search(node, iova);

		if (i == node->n) {
			return NULL;
		}
		if (node->level == 0) {
			return &node->entry[i];
		}
		node = node->child[i];
	}
	return NULL;
}

const struct iotlb_entry *iotlb_find(const struct iotlb_snap *snap,
				     uint64_t iova)
{
	const struct iotlb_entry *e = iotlb_first(snap, iova);

	return e && e->start <= iova ? e : NULL;
}

/* ---- slots ---- */

static void slots_move(struct node *to, unsigned int to_idx,
		       const struct node *from, unsigned int from_idx,
		       unsigned int n)
{
	memmove(&to->last[to_idx], &from->last[from_idx],
		n * sizeof(to->last[0]));
	if (from->level > 0) {
		memmove(&to->child[to_idx], &from->child[from_idx],
			n * sizeof(to->child[0]));
	} else {
		memmove(&to->entry[to_idx], &from->entry[from_idx],
			n * sizeof(to->entry[0]));
	}
}

static void slots_ref(struct node *node, unsigned int from, unsigned int n)
{
	for (unsigned int i = from; i < from + n; i++) {
		if (node->level > 0) {
			atomic_fetch_add_explicit(&node->child[i]->refs, 1,
						  memory_order_relaxed);
		} else {
			region_ref(node->entry[i].region);
		}
	}
}

static void node_unref(struct node *node);

static void slots_unref(struct node *node, unsigned int from, unsigned int n)
{
	for (unsigned int i = from; i < from + n; i++) {
		if (node->level > 0) {
			node_unref(node->child[i]);
		} else {
			region_unref(node->entry[i].region);
		}
	}
}

/* Closes the gap where @n slots were. */
static void slots_close(struct node *node, unsigned int from, unsigned int n)
{
	slots_move(node, from, node, from + n, node->n - from - n);
	node->n -= n;
}

/* ---- nodes ---- */

static void node_unref(struct node *node)
{
	if (atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) ==
	    1) {
		slots_unref(node, 0, node->n);
		free(node);
	}
}

static bool node_is_shared(const struct node *node)
{
	/* Pairs with the release in node_unref(): its readers are done. */
	return atomic_load_explicit(&node->refs, memory_order_acquire) > 1;
}

static struct node *node_take_spare(struct iotlb *tlb, unsigned int level)
{
	struct node *node = tlb->spares;

	assert(node);
	tlb->spares = node->child[0];
	tlb->n_spares--;
	atomic_init(&node->refs, 1);
	node->level = level;
	node->n = 0;
	return node;
}

/*
 * Makes what a pointer of ours points at ours alone.
 *
 * Return: the new value of @link
 */
static struct node *node_own(struct iotlb *tlb, struct node **link)
{
	struct node *old = *link, *node;

	if (!node_is_shared(old)) {
		return old;
	}
	node = node_take_spare(tlb, old->level);
	node->n = old->n;
	slots_move(node, 0, old, 0, old->n);
	slots_ref(node, 0, node->n);
	node_unref(old);
	*link = node;
	return node;
}

static uint64_t node_last(const struct node *node)
{
	return node->last[node->n - 1];
}

static unsigned int node_count(const struct node *node)
{
	unsigned int n = 0;

	if (node->level == 0) {
		return node->n;
	}
	for (unsigned int i = 0; i < node->n; i++) {
		n += node_count(node->child[i]);
	}
	return n;
}

/* ---- adding ---- */

/*
 * Makes room for one slot.
 *
 * Return: the node that has it, at *@idx: @node, or *@ret_right when that was
 * split off
 */
static struct node *node_open(struct insertion *ins, struct node *node,
			      unsigned int *idx, struct node **ret_right)
{
	*ret_right = NULL;
	if (node->n == IOTLB_FANOUT) {
		struct node *right = node_take_spare(ins->tlb, node->level);

		right->n = node->n - ins->split;
		slots_move(right, 0, node, ins->split, right->n);
		node->n = ins->split;
		*ret_right = right;
		if (*idx > node->n) {
			*idx -= node->n;
			node = right;
		}
	}
	slots_move(node, *idx + 1, node, *idx, node->n - *idx);
	node->n++;
	return node;
}

/* Return: what was split off to the right of *@link, or NULL. */
static struct node *node_insert(struct insertion *ins, struct node **link)
{
	struct node *node = node_own(ins->tlb, link);
	unsigned int i = node_search(node, ins->entry->last);
	struct node *child, *right;

	if (node->level == 0) {
		node = node_open(ins, node, &i, &right);
		node->last[i] = ins->entry->last;
		node->entry[i] = *ins->entry;
		return right;
	}
	i = min_of(i, node->n - 1);
	child = node_insert(ins, &node->child[i]);
	node->last[i] = node_last(node->child[i]);
	if (!child) {
		return NULL;
	}
	i++;
	node = node_open(ins, node, &i, &right);
	node->last[i] = node_last(child);
	node->child[i] = child;
	return right;
}

static void root_insert(struct insertion *ins, struct node **root)
{
	struct node *left, *right;

	if (!*root) {
		*root = node_take_spare(ins->tlb, 0);
	}
	right = node_insert(ins, root);
	if (right) {
		left = *root;
		*root = node_take_spare(ins->tlb, left->level + 1);
		(*root)->n = 2;
		(*root)->child[0] = left;
		(*root)->last[0] = node_last(left);
		(*root)->child[1] = right;
		(*root)->last[1] = node_last(right);
	}
}

/* ---- removing ---- */

/* Joins a child with the one to its right if both are small. */
static void node_join(struct iotlb *tlb, struct node *node, unsigned int i)
{
	struct node *left, *right;

	if (i + 1 >= node->n ||
	    node->child[i]->n + node->child[i + 1]->n > JOIN_MAX) {
		return;
	}
	left = node_own(tlb, &node->child[i]);
	right = node->child[i + 1];
	slots_move(left, left->n, right, 0, right->n);
	if (node_is_shared(right)) {
		slots_ref(left, left->n, right->n);
		left->n += right->n;
	} else {
		left->n += right->n;
		right->n = 0; /* moved: nothing to drop with it */
	}
	node_unref(right);
	node->last[i] = node_last(left);
	slots_close(node, i + 1, 1);
}

static unsigned int leaf_cut(struct node *leaf, uint64_t start, uint64_t last)
{
	unsigned int from = node_search(leaf, start);
	unsigned int n = 0;

	while (from + n < leaf->n && leaf->entry[from + n].start <= last) {
		n++;
	}
	slots_unref(leaf, from, n);
	slots_close(leaf, from, n);
	return n;
}

/* A child lost entries: drop it when it is empty, join it when it is small. */
static void node_mend(struct iotlb *tlb, struct node *node, unsigned int i)
{
	if (node->child[i]->n == 0) {
		node_unref(node->child[i]);
		slots_close(node, i, 1);
	} else {
		node->last[i] = node_last(node->child[i]);
		node_join(tlb, node, i);
	}
	if (i > 0) {
		node_join(tlb, node, i - 1);
	}
}

/* Drops children whole. Return: entries in them */
static unsigned int node_drop(struct node *node, unsigned int from,
			      unsigned int n)
{
	unsigned int n_cut = 0;

	for (unsigned int i = from; i < from + n; i++) {
		n_cut += node_count(node->child[i]);
	}
	slots_unref(node, from, n);
	slots_close(node, from, n);
	return n_cut;
}

/*
 * Removes what overlaps [start, last] below *@link, which may end up empty.
 *
 * At most two children hold entries on both sides of a bound. Only those are
 * looked into, the left one without an upper bound (UINT64_MAX) and the right
 * one without a lower bound (0), so at most two nodes a level are.
 *
 * Return: entries removed
 */
static unsigned int node_cut(struct iotlb *tlb, struct node **link,
			     uint64_t start, uint64_t last)
{
	struct node *node = node_own(tlb, link);
	unsigned int from, to, n_cut = 0;

	if (node->level == 0) {
		return leaf_cut(node, start, last);
	}
	from = node_search(node, start);
	to = node_search(node, last);
	if (to < node->n && node->last[to] == last) {
		to++;
	}
	if (start > 0 && from < to) {
		n_cut += node_cut(tlb, &node->child[from], start, UINT64_MAX);
		n_cut += node_drop(node, from + 1, to - from - 1);
		to = from + 1;
		start = 0;
	} else if (start == 0) {
		n_cut += node_drop(node, from, to - from);
		to = from;
	}
	if (to < node->n) {
		n_cut += node_cut(tlb, &node->child[to], start, last);
		node_mend(tlb, node, to);
	}
	if (from < to) {
		node_mend(tlb, node, from);
	}
	return n_cut;
}

static unsigned int root_cut(struct iotlb *tlb, struct node **root,
			     uint64_t start, uint64_t last)
{
	unsigned int n_cut = node_cut(tlb, root, start, last);
	struct node *old;

	while ((*root)->level > 0 && (*root)->n == 1) {
		old = *root;
		*root = old->child[0];
		old->n = 0;
		node_unref(old);
	}
	if ((*root)->n == 0) {
		node_unref(*root);
		*root = NULL;
	}
	return n_cut;
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
		if (snap->root) {
			node_unref(snap->root);
		}
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
	const struct node *root = tlb->snap->root;
	unsigned int n_levels = root ? root->level + 1 : 0;
	unsigned int n = n_levels * RESERVE_PER_LEVEL + 1;

	if (!tlb->spare_snap) {
		tlb->spare_snap = snap_alloc();
		if (!tlb->spare_snap) {
			return err(-ENOMEM, "iotlb: no memory");
		}
	}
	while (tlb->n_spares < n) {
		struct node *node = malloc(sizeof(*node));

		if (!node) {
			return err(-ENOMEM, "iotlb: no memory");
		}
		node->child[0] = tlb->spares;
		tlb->spares = node;
		tlb->n_spares++;
	}
	return 0;
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
	snap->root = old->root;
	if (snap->root) {
		atomic_fetch_add_explicit(&snap->root->refs, 1,
					  memory_order_relaxed);
	}
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
	while (tlb->spares) {
		struct node *node = tlb->spares;

		tlb->spares = node->child[0];
		free(node);
	}
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

static enum split choose_split(const struct iotlb_snap *snap, uint64_t start)
{
	const struct iotlb_entry *next = iotlb_first(snap, start);

	if (!next) {
		return SPLIT_LAST;
	}
	return next == iotlb_first(snap, 0) ? SPLIT_FIRST : SPLIT_HALF;
}

int iotlb_map(struct iotlb *tlb, uint64_t start, uint64_t last,
	      struct region *region, uint64_t offset, uint32_t perm)
{
	struct iotlb_entry entry = { start, last, NULL, region, offset, perm };
	struct insertion ins = { tlb, &entry, choose_split(tlb->snap, start) };
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
	root_insert(&ins, &snap->root);
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
	n_cut = root_cut(tlb, &snap->root, start, last);
	snap->n_entries -= n_cut;
	return (int)n_cut;
}
