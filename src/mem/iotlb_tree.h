/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The persistent B+ tree of the IOTLB. For mem/ alone.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_IOTLB_TREE_H
#define MEM_IOTLB_TREE_H

#include <stdatomic.h>

#include "mem/iotlb.h"

#define IOTLB_FANOUT 24

/**
 * struct node - up to IOTLB_FANOUT entries or children, sorted
 *
 * @refs: pointers at it, from nodes and snapshots
 * @level: 0: a leaf, with entries; else above nodes of level - 1
 * @n: slots in use, never 0
 * @last: of each slot, the highest address in it
 * @child, @entry: of each slot, what it is
 */
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

/* A change that goes on, and the nodes put aside so that it cannot fail. */
struct node_pool {
	struct node *spares; /* linked by child[0] */
	unsigned int n;
	unsigned int n_wanted; /* by the change that goes on */
	bool has_thin; /* it left a node with too few slots */
};

/*
 * A tree is a pointer to its root, NULL when it is empty.
 *
 * tree_reserve() - put aside all that one change of a tree may need. Return:
 *                  0; -ENOMEM
 * tree_insert() - add an entry that overlaps none; takes its region reference
 * tree_cut() - remove what overlaps a range; something must. Return: entries
 * tree_first() - the first entry that ends at or after an address, or NULL
 * tree_ref(), tree_unref() - share it; nodes with other references are copied
 *                            before they change
 * tree_is_sound() - does it keep its own rules? For tests. Writes the number
 *                   of its entries
 */
int tree_reserve(struct node_pool *pool, const struct node *root);
void tree_insert(struct node_pool *pool, struct node **root,
		 const struct iotlb_entry *entry);
unsigned int tree_cut(struct node_pool *pool, struct node **root,
		      uint64_t start, uint64_t last);
const struct iotlb_entry *tree_first(const struct node *root, uint64_t iova);
struct node *tree_ref(struct node *root);
void tree_unref(struct node *root);
bool tree_is_sound(const struct node *root, unsigned int *ret_n_entries);

void node_pool_drain(struct node_pool *pool);

#endif
