/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inflight log: what survives the death of this process.
 *
 * Theory of operation
 *
 * A device that completes out of order leaves nothing in the ring from which
 * its successor could tell what it had taken and not given back. So a queue may
 * have a log in memory that the front end keeps: which chains are in flight and
 * the order in which they were taken. Whoever starts on that memory next takes
 * those first, and only those: what was published is not done again, all else
 * is, in the old order.
 *
 * We may die between any two stores. So each step has one store that counts,
 * and everything stands in an order in which dying before or after any other
 * store changes nothing. Stores of one thread are seen in their order by
 * whoever comes later: it takes no more than that the compiler keeps them,
 * which release stores see to.
 *
 * split    taken       desc[head].counter, then inflight = 1
 *          published   1 the heads become a list, from last_batch_head on
 *                      2 the ring's used index: this counts
 *                      3 inflight = 0 for each
 *                      4 used_idx = the ring's
 *          restarted   used_idx tells whether we died in 3; then as many heads
 *                      of the list as the indexes differ by are done
 *
 * packed   the entries of the log are a free list, and a chain in flight takes
 *          one for each of its descriptors, since the ring's may be overwritten
 *          taken       entries are filled; old_free_head moves: this counts
 *          published   1 the entries are linked in front of the free list, from
 *                        free_head; used_idx is the new one
 *                      2 the ring's first descriptor: this counts
 *                      3 inflight = 0 for each, old_free_head, old_used_idx
 *          restarted   where new and old differ, the descriptor at old_used_idx
 *                      tells which of the two is true
 *
 * Where the specification sets two fields one after the other, of which one
 * alone would be wrong, they are stored as one word (struct inflight_heads,
 * struct inflight_used).
 *
 * A restart of a packed queue has one more thing to mend: of a batch, all
 * descriptors but the first are stored before the one that counts. If we died
 * in between they say "used" in a part of the ring that the driver has not
 * reached yet, and it would believe them once it comes there. They are taken
 * back.
 *
 * The log is the front end's and as hostile as the ring. It is looked at once,
 * at the first fetch: copied, the copy checked, and from then on only written.
 * What does not fit together breaks the queue (VQ_BREAK_INFLIGHT); nothing was
 * changed then.
 *
 * Numbers are in the host's byte order.
 *
 * Source: QEMU docs/interop/vhost-user.rst, "Inflight I/O tracking"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VQ_INFLIGHT_H
#define VQ_INFLIGHT_H

#include "vq/vq_internal.h"

#define INFLIGHT_VERSION 1
/* Of the memory of one queue. */
#define INFLIGHT_ALIGN 64
/* No entry. */
#define INFLIGHT_NONE UINT16_MAX

/* An entry of a split queue's log, by head. */
struct inflight_split_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next; /* in the list of the last batch */
	uint64_t counter;
};
_Static_assert(sizeof(struct inflight_split_desc) == 16, "as QEMU's");

struct inflight_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct inflight_split_desc desc[];
};
_Static_assert(sizeof(struct inflight_split) == 16, "as QEMU's");

/* An entry of a packed queue's log; the first of a chain speaks for it. */
struct inflight_packed_desc {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next; /* free entry, or entry of the chain */
	uint16_t last; /* of the chain */
	uint16_t num; /* entries of the chain */
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};
_Static_assert(sizeof(struct inflight_packed_desc) == 32, "as QEMU's");

struct inflight_heads {
	uint16_t free_head;
	uint16_t old_free_head;
};

struct inflight_used {
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap;
	uint8_t old_used_wrap;
	uint8_t padding[2];
};

struct inflight_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	struct inflight_heads heads;
	struct inflight_used used;
	uint8_t padding[5];
	struct inflight_packed_desc desc[];
};
_Static_assert(sizeof(struct inflight_packed) == 32, "as QEMU's");
_Static_assert(offsetof(struct inflight_packed, heads) == 12, "one word");
_Static_assert(offsetof(struct inflight_packed, used) == 16, "one word");

/* A chain that was in flight when the log was found. */
struct inflight_chain {
	uint64_t counter;
	uint16_t id; /* head or buffer id */
	uint16_t first; /* packed: its entry */
	uint16_t n_descs;
};

/* Packed: where the chain that has this buffer id stands in the log. */
struct inflight_entries {
	uint16_t first; /* INFLIGHT_NONE: it is not there */
	uint16_t last;
};

struct vq_inflight {
	/* set at start, then read-only */
	struct region *region;
	char *mem; /* in the region */
	size_t mem_bytes;

	/* owner worker only */
	bool is_ready; /* the log was looked at */
	bool is_waiting; /* ... and the ring it speaks of was not mapped */
	uint64_t next_counter;
	struct inflight_chain *again; /* oldest first, n_again of them */
	uint32_t n_again;
	uint32_t n_taken; /* of these: fetched */
	uint32_t n_left_descs; /* packed: ring slots of those that were not */
	bool *is_again; /* by id: fetched from there, and not published */
	void *copy; /* of the log, as it was found */
	uint16_t last_batch_head; /* split */
	uint16_t free_head; /* packed */
	uint16_t *next; /* packed: links of the entries */
	struct inflight_entries *entries; /* packed: by buffer id */
};

/* inflight.c */
int inflight_start(struct vq *vq, const struct vq_setup *setup);
void inflight_stop(struct vq *vq);
/* Return: 0; -EAGAIN; enum vq_break */
int inflight_recover(struct vq *vq);
/* Return: chains that were in flight when the log was found; *ret_rc as the
 * walk. */
unsigned int inflight_fetch(struct vq *vq, struct vq_chain **ret_chains,
			    unsigned int max, int *ret_rc);
/* Notes what was fetched. Return: how many of @n could be */
unsigned int inflight_fetched(struct vq *vq, struct vq_chain *const *chains,
			      unsigned int n);
/* The newest chain is given back. Return: is it one of the log's? */
bool inflight_unfetched(struct vq *vq, uint16_t id);
/* Around the stores to the ring, of what is on the done list. */
void inflight_publish(struct vq *vq);
void inflight_published(struct vq *vq);

_hot_ bool inflight_has_left(const struct vq_inflight *log)
{
	return log->n_taken < log->n_again;
}

/* inflight_split.c, inflight_packed.c: the same for one format */
int inflight_split_recover(struct vq *vq);
void inflight_split_fetched(struct vq *vq, struct vq_chain *const *chains,
			    unsigned int n);
void inflight_split_unfetched(struct vq *vq, uint16_t id);
void inflight_split_publish(struct vq *vq);
void inflight_split_published(struct vq *vq);

int inflight_packed_recover(struct vq *vq);
int inflight_packed_fetch(struct vq *vq, const struct inflight_chain *c,
			  struct vq_chain **ret_chain);
unsigned int inflight_packed_fetched(struct vq *vq,
				     struct vq_chain *const *chains,
				     unsigned int n);
void inflight_packed_unfetched(struct vq *vq, uint16_t id);
void inflight_packed_publish(struct vq *vq);
void inflight_packed_published(struct vq *vq);

/* What is stored before this is there when this is. */
#define inflight_store(field, v) __atomic_store_n(&(field), v, __ATOMIC_RELEASE)

#endif
