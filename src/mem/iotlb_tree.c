/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The persistent B+ tree of the IOTLB.
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
 * A change first puts aside all the memory that it could need (tree_reserve()),
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
#include "mem/iotlb_tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define JOIN_MAX (IOTLB_FANOUT / 2)

/* A copy of each of two paths, and of a neighbour to join with. */
#define RESERVE_PER_LEVEL 3

/* Where a full node is split. */
enum split {
	SPLIT_FIRST = 1,
	SPLIT_HALF = IOTLB_FANOUT / 2,
	SPLIT_LAST = IOTLB_FANOUT - 1,
};

struct insertion {
	struct node_pool *pool;
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

const struct iotlb_entry *tree_first(const struct node *root, uint64_t iova)
{
	const struct node *node = root;

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

/* Locked additions wait for their cache lines one by one: ask for all first. */
static void slots_prefetch(const struct node *node, unsigned int from,
			   unsigned int n)
{
	for (unsigned int i = from; node->level > 0 && i < from + n; i++) {
		__builtin_prefetch(&node->child[i]->refs, 1);
	}
}

static void slots_ref(struct node *node, unsigned int from, unsigned int n)
{
	slots_prefetch(node, from, n);
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
	slots_prefetch(node, from, n);
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

static struct node *node_take_spare(struct node_pool *pool, unsigned int level)
{
	struct node *node = pool->spares;

	assert(node);
	pool->spares = node->child[0];
	pool->n--;
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
static struct node *node_own(struct node_pool *pool, struct node **link)
{
	struct node *old = *link, *node;

	if (!node_is_shared(old)) {
		return old;
	}
	node = node_take_spare(pool, old->level);
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
		struct node *right = node_take_spare(ins->pool, node->level);

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
	struct node *node = node_own(ins->pool, link);
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

static enum split choose_split(const struct node *root, uint64_t start)
{
	const struct iotlb_entry *next = tree_first(root, start);

	if (!next) {
		return SPLIT_LAST;
	}
	return next == tree_first(root, 0) ? SPLIT_FIRST : SPLIT_HALF;
}

void tree_insert(struct node_pool *pool, struct node **root,
		 const struct iotlb_entry *entry)
{
	struct insertion ins = { pool, entry,
				 choose_split(*root, entry->start) };
	struct node *left, *right;

	if (!*root) {
		*root = node_take_spare(pool, 0);
	}
	right = node_insert(&ins, root);
	if (right) {
		left = *root;
		*root = node_take_spare(pool, left->level + 1);
		(*root)->n = 2;
		(*root)->child[0] = left;
		(*root)->last[0] = node_last(left);
		(*root)->child[1] = right;
		(*root)->last[1] = node_last(right);
	}
}

/* ---- removing ---- */

/* Joins a child with the one to its right if both are small. */
static void node_join(struct node_pool *pool, struct node *node, unsigned int i)
{
	struct node *left, *right;

	if (i + 1 >= node->n ||
	    node->child[i]->n + node->child[i + 1]->n > JOIN_MAX) {
		return;
	}
	left = node_own(pool, &node->child[i]);
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
static void node_mend(struct node_pool *pool, struct node *node, unsigned int i)
{
	if (node->child[i]->n == 0) {
		node_unref(node->child[i]);
		slots_close(node, i, 1);
	} else {
		node->last[i] = node_last(node->child[i]);
		node_join(pool, node, i);
	}
	if (i > 0) {
		node_join(pool, node, i - 1);
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
static unsigned int node_cut(struct node_pool *pool, struct node **link,
			     uint64_t start, uint64_t last)
{
	struct node *node = node_own(pool, link);
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
		n_cut += node_cut(pool, &node->child[from], start, UINT64_MAX);
		n_cut += node_drop(node, from + 1, to - from - 1);
		to = from + 1;
		start = 0;
	} else if (start == 0) {
		n_cut += node_drop(node, from, to - from);
		to = from;
	}
	if (to < node->n) {
		n_cut += node_cut(pool, &node->child[to], start, last);
		node_mend(pool, node, to);
	}
	if (from < to) {
		node_mend(pool, node, from);
	}
	return n_cut;
}

unsigned int tree_cut(struct node_pool *pool, struct node **root,
		      uint64_t start, uint64_t last)
{
	unsigned int n_cut = node_cut(pool, root, start, last);
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

/* ---- as a whole ---- */

struct node *tree_ref(struct node *root)
{
	if (root) {
		atomic_fetch_add_explicit(&root->refs, 1, memory_order_relaxed);
	}
	return root;
}

void tree_unref(struct node *root)
{
	if (root) {
		node_unref(root);
	}
}

int tree_reserve(struct node_pool *pool, const struct node *root)
{
	unsigned int n_levels = root ? root->level + 1 : 0;
	unsigned int n = n_levels * RESERVE_PER_LEVEL + 1;

	while (pool->n < n) {
		struct node *node = malloc(sizeof(*node));

		if (!node) {
			return err(-ENOMEM, "iotlb: no memory");
		}
		node->child[0] = pool->spares;
		pool->spares = node;
		pool->n++;
	}
	return 0;
}

void node_pool_drain(struct node_pool *pool)
{
	while (pool->spares) {
		struct node *node = pool->spares;

		pool->spares = node->child[0];
		free(node);
	}
	pool->n = 0;
}

static bool leaf_is_sound(const struct node *leaf, uint64_t *floor)
{
	for (unsigned int i = 0; i < leaf->n; i++) {
		const struct iotlb_entry *e = &leaf->entry[i];

		if (e->start < *floor || e->last < e->start ||
		    e->last != leaf->last[i]) {
			return false;
		}
		*floor = e->last + 1; /* 0 after the highest: it is the last */
	}
	return true;
}

/* @floor: the lowest address that may come next */
static bool node_is_sound(const struct node *node, uint64_t *floor,
			  unsigned int *n_entries)
{
	if (node->n == 0 || node->n > IOTLB_FANOUT) {
		return false;
	}
	if (node->level == 0) {
		*n_entries += node->n;
		return leaf_is_sound(node, floor);
	}
	for (unsigned int i = 0; i < node->n; i++) {
		const struct node *child = node->child[i];

		if (child->level + 1 != node->level ||
		    !node_is_sound(child, floor, n_entries) ||
		    node->last[i] != node_last(child)) {
			return false;
		}
		if (i > 0 && child->n + node->child[i - 1]->n <= JOIN_MAX) {
			return false;
		}
	}
	return true;
}

bool tree_is_sound(const struct node *root, unsigned int *ret_n_entries)
{
	unsigned int n = 0;
	uint64_t floor = 0;

	if (root && ((root->level > 0 && root->n == 1) ||
		     !node_is_sound(root, &floor, &n))) {
		return false;
	}
	*ret_n_entries = n;
	return true;
}
