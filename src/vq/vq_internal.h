/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the device side share.
 *
 * Theory of operation
 *
 *   vq.c       life cycle, snapshots, completion, the entries of vq.h
 *   walk.c     descriptor to iovec: the only translation of buffers there is
 *   bounce.c   copies of buffers that have no address here
 *   area.c     the three areas of a ring: in place, or copied by access
 *   inflight.c and its formats   what is in flight, for whoever comes after us
 *   dirty.c    the dirty log: what was written, for whoever moves the guest
 *   split.c, packed.c   the two ring formats: fetch, publish, notification
 *   chain.c    copying in and out of chains
 *
 * The path of a chain: a format finds the descriptors, walk_*() makes pieces
 * of them in the slot, vq_complete() puts an element on the done list, the
 * format publishes the list. A head is busy from fetch to publish, so neither
 * the done list nor the order ring can hold more than num.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VQ_VQ_INTERNAL_H
#define VQ_VQ_INTERNAL_H

#include <errno.h>

#include "base/util.h"
#include "vq/shm.h"
#include "vq/vq.h"

#define CACHE_LINE 64
#define _hot_	   static inline __attribute__((always_inline))
#define _cold_	   __attribute__((noinline, cold))

/* Pieces of a chain that need no block of a pool. */
#define VQ_INLINE_PIECES 5
/* A request of 256 KiB in 4 KiB pages, with header and status. */
#define VQ_MEDIUM_PIECES 72
#define VQ_MEDIUM_BLOCKS 512
#define VQ_LARGE_BLOCKS	 8
/* A large block holds a piece for each descriptor, and some that are cut. */
#define VQ_LARGE_MIN   512
#define VQ_LARGE_SPARE 64
/* Memory of the device's own for each slot. */
#define VQ_SLOT_MAX 65536

/* Returned by the walk beside enum vq_break and -EAGAIN. */
#define VQ_STARVED (-ENOBUFS)

/*
 * One snapshot. While it is the newest nobody counts the chains that were
 * translated with it; afterwards those that are left, see vq_set_snap(). Chains
 * that keep their I/O virtual addresses need none.
 */
struct vq_snap {
	struct iotlb_snap *snap;
	struct vq_snap *next_free;
	uint32_t n_chains;
};

enum vq_pool_kind {
	VQ_POOL_MEDIUM,
	VQ_POOL_LARGE,
	VQ_POOL_N,
};

/* Blocks of @n_pieces iovecs each; free[] is a stack. */
struct vq_pool {
	struct iovec *mem;
	uint16_t *free;
	uint32_t n_pieces;
	uint16_t n_blocks;
	uint16_t n_free;
};

enum {
	SLOT_HAS_BLOCK = 1, /* iovecs are in a pool's block */
	SLOT_HAS_COPIES = 2, /* some pieces are copies */
	SLOT_IS_DONE = 4, /* in-order: completed, waits for older ones */
};

/*
 * Two cache lines, of which a chain of one piece touches the first, and one of
 * few pieces both.
 */
struct vq_slot {
	struct vq_chain chain;
	uint32_t written; /* in-order: while it waits */
	uint16_t snap; /* of vq->snaps[], what it was translated with */
	uint16_t block; /* of pools[pool] */
	uint8_t pool;
	uint8_t flags;
	struct iovec inline_iov[VQ_INLINE_PIECES] __attribute__((aligned(16)));
} __attribute__((aligned(CACHE_LINE)));

/* A piece of a chain in foreign memory. */
struct vq_piece {
	uint64_t iova;
	uint32_t len;
	uint32_t iov_idx;
};

/* Where a copy goes when it was written; @pos counts writable bytes. */
struct vq_copy {
	uint64_t iova;
	char *mem;
	uint32_t pos;
	uint32_t len;
};

/* The copies of one slot: data, then the list of those that may go out. */
struct vq_bounce {
	char *mem;
	size_t size;
	struct vq_copy *copies;
	uint32_t n_copies;
};

struct vq_done {
	uint16_t id;
	uint16_t n_descs;
	uint32_t len;
};

/*
 * One area of the ring. @va is NULL when it must be accessed by copies.
 * @is_possible is false when its end would lie beyond 2^64.
 */
struct vq_area {
	uint64_t iova;
	char *va;
	uint32_t size;
	uint8_t perm;
	uint8_t align;
	bool is_possible;
};

/* A hole that fetching waits for; perm 0: none. */
struct vq_miss {
	uint64_t iova;
	uint32_t perm;
};

/* The entry that was hit last; size 0: none. */
struct vq_hit {
	uint64_t start;
	uint64_t size;
	char *va;
};

enum vq_kick_state {
	VQ_KICK_UNKNOWN,
	VQ_KICK_ENABLED,
	VQ_KICK_DISABLED,
};

struct vq_inflight;

struct vq {
	/* owner worker only */
	struct vq_slot *slots;
	uint8_t *is_busy;
	uint16_t *order; /* heads in the order of fetching, num of them */
	struct vq_done *done;
	struct vq_hit hits[2]; /* readable, writable */
	struct vq_hit older_hits[2]; /* before these */
	struct vq_snap *snap; /* the newest, and its place in snaps[] */
	uint16_t snap_idx;
	struct vq_area desc;
	struct vq_area driver;
	struct vq_area device;

	uint16_t avail_idx; /* next to fetch; packed: a position */
	uint16_t avail_seen; /* split: the driver's index, last we looked */
	uint16_t used_idx; /* next to publish; packed: a position */
	uint16_t signalled_idx; /* split: used_idx when a call was decided */
	uint16_t n_put_descs; /* packed: ring slots of the last publication */
	uint16_t order_head; /* oldest not put on the done list */
	uint16_t order_tail;
	uint32_t n_done;
	uint32_t n_held; /* in-order: completed, not on the done list */
	uint32_t n_unpublished; /* chains fetched and not published */
	uint32_t n_unpublished_descs; /* packed: their ring slots */
	uint32_t n_old_chains; /* translated with older snapshots */
	bool avail_wrap;
	bool used_wrap;
	bool is_starved;
	bool is_signalled_valid;
	bool is_direct; /* all areas have a va */
	bool has_to_prepare; /* before fetching, see prepare_fetch() */
	bool has_to_finish; /* completing is more than the done list */
	bool has_dirty_log; /* log.log is there; here it is at hand */
	bool has_inflight; /* inflight is there */
	uint8_t kick; /* enum vq_kick_state */
	uint8_t why_broken; /* enum vq_break */

	/* set at start, then read-only */
	bool is_started;
	bool is_packed;
	bool has_indirect;
	bool has_event_idx;
	bool is_in_order;
	bool has_misses;
	bool keeps_iovas;
	uint16_t num;
	uint64_t features;

	/* owner worker only, rarely touched */
	struct vq_pool pools[VQ_POOL_N];
	struct vq_bounce *bounces; /* by head */
	size_t bounce_held;
	struct vq_slot *walk_slot; /* packed: of a chain whose id comes last */
	struct vq_piece *pieces; /* scratch of one walk */
	struct shm_desc_ring *table; /* scratch: an indirect table */
	struct vq_snap *snaps;
	struct vq_snap *free_snap;
	struct vq_log log; /* log NULL: none */
	struct vq_inflight *inflight; /* NULL: none */
	struct vq_miss miss; /* of the last fetch */
	struct vq_miss ring_miss; /* in an area, with this snapshot */
	__le32 used_first_id; /* split: ring[0].id in the device area */
	bool has_used_first;

	/* set by vq_new(), then read-only */
	void *arena;
	char *class_slots;
	size_t class_stride;
	uint16_t num_max;

	/* written by the owner, read by any thread */
	struct vq_counters counters __attribute__((aligned(CACHE_LINE)));
};

/* Counters have one writer: no read-modify-write is needed. */
_hot_ void vq_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Chains fetched and not on the done list. */
_hot_ uint32_t vq_n_order(const struct vq *vq)
{
	return vq->n_unpublished - vq->n_done;
}

/*
 * A chain is in its slot: it is in flight. The order ring never overflows: a
 * head is busy until it is published.
 */
_hot_ void vq_fetched(struct vq *vq, struct vq_slot *slot, uint16_t head,
		      uint16_t *order_tail)
{
	slot->snap = vq->snap_idx;
	vq->is_busy[head] = true;
	vq->order[*order_tail] = head;
	*order_tail =
		(uint16_t)(*order_tail + 1 == vq->num ? 0 : *order_tail + 1);
}

/* Positions of a packed ring; @n is at most num. */
_hot_ void vq_step(const struct vq *vq, uint16_t *idx, bool *wrap, uint32_t n)
{
	uint32_t to = *idx + n;

	if (to >= vq->num) {
		to -= vq->num;
		*wrap = !*wrap;
	}
	*idx = (uint16_t)to;
}

_hot_ void vq_step_back(const struct vq *vq, uint16_t *idx, bool *wrap,
			uint32_t n)
{
	uint32_t to = *idx;

	if (to < n) {
		to += vq->num;
		*wrap = !*wrap;
	}
	*idx = (uint16_t)(to - n);
}

/* vq.c */
int vq_break_with(struct vq *vq, enum vq_break why) _cold_;

/* area.c */
void vq_area_init(struct vq_area *area, uint64_t iova, size_t size,
		  unsigned int perm, unsigned int align);
void vq_area_resolve(struct vq *vq, struct vq_area *area);
bool vq_find_hole(const struct iotlb_snap *snap, uint64_t iova, uint64_t len,
		  uint32_t perm, struct vq_miss *ret);
void vq_areas_find_hole(struct vq *vq);
int vq_area_read(const struct vq *vq, const struct vq_area *area, uint64_t off,
		 void *buf, size_t len);
int vq_area_read16(const struct vq *vq, const struct vq_area *area,
		   uint64_t off, uint16_t *ret);
int vq_area_read32(const struct vq *vq, const struct vq_area *area,
		   uint64_t off, uint32_t *ret);
int vq_area_write(const struct vq *vq, const struct vq_area *area, uint64_t off,
		  const void *buf, size_t len);

/* dirty.c */
void vq_dirty_chain(struct vq *vq, const struct vq_chain *chain,
		    uint32_t written) _cold_;
void vq_dirty_area(struct vq *vq, const struct vq_area *area, uint64_t off,
		   uint64_t len) _cold_;

/* bounce.c */
int vq_bounce_in(struct vq *vq, struct vq_slot *slot, uint32_t n_pieces);
uint32_t vq_bounce_out(struct vq *vq, struct vq_slot *slot, uint32_t written);
void vq_bounce_free_all(struct vq *vq);

/* split.c, packed.c: see split.c for what each does */
void split_setup(struct vq *vq, const struct vq_setup *setup);
unsigned int split_fetch(struct vq *vq, struct vq_chain **ret_chains,
			 unsigned int max, int *ret_rc);
int split_fetch_head(struct vq *vq, uint16_t head, struct vq_chain **ret_chain);
int split_load_used_idx(struct vq *vq, uint16_t *ret);
void split_set_idx(struct vq *vq, uint16_t used_idx, uint16_t n_in_flight);
int split_put_used(struct vq *vq);
bool split_wants_call(struct vq *vq);
void split_set_kick(struct vq *vq, bool is_enabled);
bool split_has_available(struct vq *vq);

void packed_setup(struct vq *vq, const struct vq_setup *setup);
unsigned int packed_fetch(struct vq *vq, struct vq_chain **ret_chains,
			  unsigned int max, int *ret_rc);
int packed_load_desc(struct vq *vq, uint16_t idx, struct shm_desc *ret);
bool packed_is_available(struct shm_desc d, bool wrap);
int packed_take_back_used(struct vq *vq, uint16_t idx, bool wrap, uint32_t n);
int packed_put_used(struct vq *vq);
bool packed_wants_call(struct vq *vq);
void packed_set_kick(struct vq *vq, bool is_enabled);
bool packed_has_available(struct vq *vq);

#endif
