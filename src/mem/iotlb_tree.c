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
 * Every node but the root has NODE_MIN slots or more, so the height is
 * logarithmic whatever a client maps and unmaps, and what recurses over levels
 * does so a few times only. Removing a range leaves thin nodes on both sides
 * of the gap alone. They are mended from the root down: a node beside the gap
 * is filled up to NODE_GOOD slots from its neighbours, or joined with them,
 * before the nodes below it are. Those may join two neighbours each on each
 * side, and so take four slots from it; it keeps NODE_MIN.
 *
 * A split of the leftmost or rightmost node leaves most slots on the inner
 * side: clients map upwards or downwards, and the nodes behind stay full.
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

#define NODE_MIN  4
#define NODE_GOOD (NODE_MIN + 4)
#define JOIN_MAX  (3 * IOTLB_FANOUT / 4)
_Static_assert(JOIN_MAX / 2 >= NODE_GOOD, "halves of what is not joined");

/*
 * What a change of a tree with so many levels may take. Removing copies the
 * root and, on each level below, the nodes on both sides of the gap and a
 * neighbour of each; one more copy is joined and given back at once. Adding
 * copies and splits a node on each level and makes a new root.
 */
#define RESERVE_CUT(n_levels)	 (4 * ((n_levels)-1) + 2)
#define RESERVE_INSERT(n_levels) (2 * (n_levels) + 1)

/* Where a full node is split. */
enum split {
	SPLIT_FIRST = NODE_MIN - 1,
	SPLIT_HALF = IOTLB_FANOUT / 2,
	SPLIT_LAST = IOTLB_FANOUT - (NODE_MIN - 1),
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
	for (unsigned int i = from; i < from + n; i++) {
		if (node->level > 0) {
			__builtin_prefetch(node->child[i], 1);
		} else {
			__builtin_prefetch(node->entry[i].region, 1);
		}
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

static void node_put_aside(struct node_pool *pool, struct node *node)
{
	node->child[0] = pool->spares;
	pool->spares = node;
	pool->n++;
}

/* A node of ours alone that has nothing any more. */
static void node_give_back(struct node_pool *pool, struct node *node)
{
	assert(node->n == 0);
	if (pool->n < pool->n_wanted) {
		node_put_aside(pool, node);
	} else {
		free(node);
	}
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

/* A child lost entries, all of them perhaps. */
static void node_note_loss(struct node_pool *pool, struct node *node,
			   unsigned int i)
{
	unsigned int n = node->child[i]->n;

	if (n == 0) {
		node_give_back(pool, node->child[i]);
		slots_close(node, i, 1);
		return;
	}
	node->last[i] = node_last(node->child[i]);
	if (n < NODE_MIN) {
		pool->has_thin = true;
	}
}

/*
 * Removes what overlaps [start, last] below *@link, which may end up thin or
 * empty.
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
		node_note_loss(pool, node, to);
	}
	if (from < to) {
		node_note_loss(pool, node, from);
	}
	return n_cut;
}

/* Joins a child with the one to its right, or shares out their slots evenly. */
static void node_level(struct node_pool *pool, struct node *node,
		       unsigned int i)
{
	struct node *left = node_own(pool, &node->child[i]);
	struct node *right = node_own(pool, &node->child[i + 1]);
	unsigned int sum = left->n + right->n;
	unsigned int n_left = sum <= JOIN_MAX ? sum : sum / 2;

	if (n_left > left->n) {
		unsigned int n = n_left - left->n;

		slots_move(left, left->n, right, 0, n);
		slots_close(right, 0, n);
	} else {
		unsigned int n = left->n - n_left;

		slots_move(right, n, right, 0, right->n);
		slots_move(right, 0, left, n_left, n);
		right->n += n;
	}
	left->n = n_left;
	node->last[i] = node_last(left);
	if (right->n == 0) {
		node_give_back(pool, right);
		slots_close(node, i + 1, 1);
	}
}

/* Fills a child up, as far as there are neighbours. */
static void node_fatten(struct node_pool *pool, struct node *node,
			unsigned int i)
{
	while (node->n > 1 && node->child[i]->n < NODE_GOOD) {
		if (i + 1 == node->n) {
			i--;
		}
		node_level(pool, node, i);
	}
}

/* Does everything below a node end at or after an address? */
static bool node_is_from(const struct node *node, uint64_t at)
{
	while (node->level > 0) {
		node = node->child[0];
	}
	return node->last[0] >= at;
}

/*
 * Which children are beside the gap before @at: one that has it inside, or one
 * on each side of it.
 */
static void node_find_gap(const struct node *node, uint64_t at,
			  unsigned int *ret_from, unsigned int *ret_n)
{
	unsigned int i = node_search(node, at);

	*ret_from = i;
	*ret_n = i < node->n;
	if (i > 0 && (i == node->n || node_is_from(node->child[i], at))) {
		*ret_from = i - 1;
		*ret_n += 1;
	}
}

/* Below a node that is good itself, or will be the root. */
static void node_mend(struct node_pool *pool, struct node **link, uint64_t at)
{
	struct node *node;
	unsigned int from, n;

	if ((*link)->level == 0) {
		return;
	}
	node = node_own(pool, link);
	node_find_gap(node, at, &from, &n);
	node_fatten(pool, node, from);
	node_find_gap(node, at, &from, &n);
	node_fatten(pool, node, from + n - 1);
	node_find_gap(node, at, &from, &n);
	for (unsigned int i = from; i < from + n; i++) {
		node_mend(pool, &node->child[i], at);
	}
}

unsigned int tree_cut(struct node_pool *pool, struct node **root,
		      uint64_t start, uint64_t last)
{
	unsigned int n_cut;
	struct node *old;

	pool->has_thin = false;
	n_cut = node_cut(pool, root, start, last);
	if ((*root)->n == 0) {
		node_give_back(pool, *root);
		*root = NULL;
		return n_cut;
	}
	if (pool->has_thin) {
		node_mend(pool, root, start);
	}
	while ((*root)->level > 0 && (*root)->n == 1) {
		old = *root;
		*root = old->child[0];
		old->n = 0;
		node_give_back(pool, old);
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

	pool->n_wanted = RESERVE_INSERT(n_levels);
	if (n_levels > 0) {
		pool->n_wanted = max_of(pool->n_wanted, RESERVE_CUT(n_levels));
	}
	while (pool->n < pool->n_wanted) {
		struct node *node = malloc(sizeof(*node));

		if (!node) {
			return err(-ENOMEM, "iotlb: no memory");
		}
		node_put_aside(pool, node);
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

		if (child->level + 1 != node->level || child->n < NODE_MIN ||
		    !node_is_sound(child, floor, n_entries) ||
		    node->last[i] != node_last(child)) {
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
