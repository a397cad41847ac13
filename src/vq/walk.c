/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk, slow ways: entries crossed, holes, foreign memory, large chains,
 * indirect tables. See walk.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <string.h>

#include "vq/walk.h"

/* Moves the pieces to a block of the pools with more room. */
static int walk_grow(struct vq *vq, struct walk *w)
{
	struct vq_slot *slot = w->slot;
	unsigned int kind = w->cap == VQ_INLINE_PIECES ? VQ_POOL_MEDIUM
						       : VQ_POOL_LARGE;
	struct vq_pool *pool = &vq->pools[kind];
	struct iovec *iov;
	uint16_t block;

	if (w->cap == vq->pools[VQ_POOL_LARGE].n_pieces) {
		return VQ_BREAK_TOO_BIG;
	}
	if (kind == VQ_POOL_MEDIUM && pool->n_free == 0) {
		kind = VQ_POOL_LARGE;
		pool = &vq->pools[kind];
	}
	if (pool->n_free == 0) {
		return VQ_STARVED;
	}
	block = pool->free[--pool->n_free];
	iov = pool->mem + (size_t)block * pool->n_pieces;
	memcpy(iov, w->iov, w->n * sizeof(*iov));
	if (slot->flags & SLOT_HAS_BLOCK) {
		walk_release(vq, slot);
	}
	slot->flags |= SLOT_HAS_BLOCK;
	slot->pool = (uint8_t)kind;
	slot->block = block;
	w->iov = iov;
	w->cap = pool->n_pieces;
	return 0;
}

void walk_release(struct vq *vq, struct vq_slot *slot)
{
	if (slot->flags & SLOT_HAS_BLOCK) {
		struct vq_pool *pool = &vq->pools[slot->pool];

		pool->free[pool->n_free++] = slot->block;
	}
	slot->flags = 0;
}

/* Makes @slot, which is free, the owner of what was walked so far. */
void walk_move(struct walk *w, struct vq_slot *slot)
{
	struct vq_slot *from = w->slot;

	if (w->iov == from->inline_iov) {
		memcpy(slot->inline_iov, w->iov, w->n * sizeof(*w->iov));
		w->iov = slot->inline_iov;
	}
	slot->pool = from->pool;
	slot->block = from->block;
	slot->flags = from->flags;
	from->flags = 0;
	w->slot = slot;
}

/* One piece of a descriptor: @base is NULL in a hole and in foreign memory. */
static int walk_append(struct vq *vq, struct walk *w, char *base, uint32_t len)
{
	if (w->n == w->cap) {
		int rc = walk_grow(vq, w);

		if (rc) {
			return rc;
		}
	}
	w->iov[w->n].iov_base = base;
	w->iov[w->n].iov_len = len;
	w->n++;
	return 0;
}

/* What kind of memory a piece is in; neighbours of one kind are joined. */
enum piece_kind {
	PIECE_NONE,
	PIECE_LOCAL,
	PIECE_FOREIGN,
	PIECE_HOLE,
};

static int walk_append_kind(struct vq *vq, struct walk *w, enum piece_kind kind,
			    char *va, uint64_t addr, uint32_t len)
{
	int rc = walk_append(vq, w, va, len);

	if (rc) {
		return rc;
	}
	if (kind == PIECE_HOLE) {
		w->is_faulty = true;
	} else if (kind == PIECE_FOREIGN) {
		vq->pieces[w->n_foreign++] = (struct vq_piece){
			.iova = addr,
			.len = len,
			.iov_idx = w->n - 1,
		};
	}
	return 0;
}

/*
 * Appends [addr, addr + len), the part of a descriptor that lies in one entry
 * or hole, or makes the descriptor's last piece longer by it.
 */
static int walk_piece(struct vq *vq, struct walk *w, enum piece_kind *last_kind,
		      enum piece_kind kind, char *va, uint64_t addr,
		      uint32_t len)
{
	struct iovec *last;

	if (kind != *last_kind) {
		*last_kind = kind;
		return walk_append_kind(vq, w, kind, va, addr, len);
	}
	last = &w->iov[w->n - 1];
	if (kind == PIECE_LOCAL &&
	    va != (char *)last->iov_base + last->iov_len) {
		return walk_append_kind(vq, w, kind, va, addr, len);
	}
	last->iov_len += len;
	if (kind == PIECE_FOREIGN) {
		vq->pieces[w->n_foreign - 1].len += len;
	}
	return 0;
}

/* A hole that may be filled yet: the chain stays where it is. */
static _cold_ int walk_miss(struct vq *vq, uint64_t addr, uint32_t perm)
{
	vq->miss = (struct vq_miss){ addr, perm };
	return -EAGAIN;
}

/* Bytes from @addr to @last, at most @len. */
static uint32_t room_to(uint64_t addr, uint64_t last, uint32_t len)
{
	return len - 1 <= last - addr ? len : (uint32_t)(last - addr) + 1;
}

static void walk_remember(struct vq *vq, bool is_writable,
			  const struct iotlb_entry *e)
{
	struct vq_hit *hit = &vq->hits[is_writable];

	vq->older_hits[is_writable] = *hit;
	hit->start = e->start;
	hit->size = e->last - e->start + 1;
	hit->va = e->va;
}

/* Is it in the entry that was hit before the last one? */
static bool walk_recall(struct vq *vq, bool is_writable, uint64_t addr,
			uint32_t len)
{
	struct vq_hit *older = &vq->older_hits[is_writable];
	struct vq_hit hit = *older;

	if (!walk_hits(&hit, addr, len)) {
		return false;
	}
	*older = vq->hits[is_writable];
	vq->hits[is_writable] = hit;
	return true;
}

/* The descriptor is a piece as it is. */
static int walk_keep(struct vq *vq, struct walk *w, uint64_t addr, uint32_t len,
		     uint32_t perm)
{
	if (vq->has_misses &&
	    vq_find_hole(vq->snap->snap, addr, len, perm, &vq->miss)) {
		return -EAGAIN;
	}
	w->n_readable += perm == MEM_PERM_RO;
	return walk_append(vq, w, (char *)(uintptr_t)addr, len);
}

int walk_add_slow(struct vq *vq, struct walk *w, uint64_t addr, uint32_t len,
		  bool is_writable)
{
	const struct iotlb_snap *snap = vq->snap->snap;
	uint32_t perm = is_writable ? MEM_PERM_WO : MEM_PERM_RO;
	enum piece_kind last_kind = PIECE_NONE;
	uint32_t n_before = w->n;

	if (len == 0) {
		return 0;
	}
	if (len - 1 > UINT64_MAX - addr) {
		return VQ_BREAK_LENGTH;
	}
	w->bytes[is_writable] += len;
	if (vq->keeps_iovas) {
		return walk_keep(vq, w, addr, len, perm);
	}
	if (walk_recall(vq, is_writable, addr, len)) {
		const struct vq_hit *hit = &vq->hits[is_writable];

		w->n_readable += !is_writable;
		return walk_append(vq, w, hit->va + (addr - hit->start), len);
	}
	/* Ends: each turn takes a byte at least, and appends or joins. */
	while (len) {
		const struct iotlb_entry *e = iotlb_first(snap, addr);
		enum piece_kind kind = PIECE_HOLE;
		char *va = NULL;
		uint32_t n = len;
		int rc;

		if (e && e->start > addr) {
			n = room_to(addr, e->start - 1, len);
		} else if (e) {
			n = room_to(addr, e->last, len);
			if (e->perm & perm) {
				kind = e->va ? PIECE_LOCAL : PIECE_FOREIGN;
			}
		}
		if (kind == PIECE_LOCAL) {
			va = e->va + (addr - e->start);
			walk_remember(vq, is_writable, e);
		}
		if (kind == PIECE_HOLE && vq->has_misses) {
			return walk_miss(vq, addr, perm);
		}
		rc = walk_piece(vq, w, &last_kind, kind, va, addr, n);
		if (rc) {
			return rc;
		}
		addr += n;
		len -= n;
	}
	w->n_readable += is_writable ? 0 : w->n - n_before;
	return 0;
}

/*
 * Where an indirect table can be read: in place when it is one aligned run of
 * memory of ours, else in the queue's private copy. NULL: not mapped.
 */
static const struct shm_desc_ring *walk_table(struct vq *vq, uint64_t addr,
					      uint32_t len)
{
	const struct vq_hit *hit = &vq->hits[0];

	/* Pieces that are not translated must not hit either. */
	if (!vq->keeps_iovas && !walk_hits(hit, addr, len) &&
	    !walk_recall(vq, false, addr, len)) {
		const struct iotlb_entry *e = iotlb_find(vq->snap->snap, addr);

		if (e && e->va && (e->perm & MEM_PERM_RO)) {
			walk_remember(vq, false, e);
		}
	}
	if (walk_hits(hit, addr, len)) {
		char *va = hit->va + (addr - hit->start);

		if ((uintptr_t)va % sizeof(uint64_t) == 0) {
			return (const void *)va;
		}
	}
	if (mem_read(vq->snap->snap, addr, vq->table, len) < 0) {
		return NULL;
	}
	return vq->table;
}

static int walk_table_split(struct vq *vq, struct walk *w,
			    const struct shm_desc_ring *table, uint32_t n)
{
	uint32_t idx = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct shm_desc d = shm_load_desc(&table[idx]);
		uint16_t flags = shm_split_flags(d.meta);
		int rc;

		if (flags & VRING_DESC_F_INDIRECT) {
			return VQ_BREAK_INDIRECT;
		}
		rc = walk_add(vq, w, d.addr, shm_desc_len(d.meta),
			      flags & VRING_DESC_F_WRITE);
		if (rc || !(flags & VRING_DESC_F_NEXT)) {
			return rc;
		}
		idx = shm_split_next(d.meta);
		if (idx >= n) {
			return VQ_BREAK_NEXT;
		}
	}
	return VQ_BREAK_LOOP;
}

/* All of the table is the chain; NEXT means nothing in it. */
static int walk_table_packed(struct vq *vq, struct walk *w,
			     const struct shm_desc_ring *table, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct shm_desc d = shm_load_desc(&table[i]);
		uint16_t flags = shm_packed_flags(d.meta);
		int rc;

		if (flags & VRING_DESC_F_INDIRECT) {
			return VQ_BREAK_INDIRECT;
		}
		rc = walk_add(vq, w, d.addr, shm_desc_len(d.meta),
			      flags & VRING_DESC_F_WRITE);
		if (rc) {
			return rc;
		}
	}
	return 0;
}

/**
 * walk_indirect() - walk the table that a descriptor points to
 * @addr, @len: of the table, as the descriptor has them
 *
 * The caller has seen to it that the descriptor has no NEXT.
 * Source: virtio 1.2, "Indirect Descriptors" (both formats)
 */
int walk_indirect(struct vq *vq, struct walk *w, uint64_t addr, uint32_t len)
{
	uint32_t n = len / SHM_DESC_SIZE;
	const struct shm_desc_ring *table;

	if (!vq->has_indirect || n == 0 || len % SHM_DESC_SIZE || n > vq->num) {
		return VQ_BREAK_INDIRECT;
	}
	if (len - 1 > UINT64_MAX - addr) {
		return VQ_BREAK_LENGTH;
	}
	table = walk_table(vq, addr, len);
	if (!table) {
		return vq->has_misses && vq_find_hole(vq->snap->snap, addr, len,
						      MEM_PERM_RO, &vq->miss)
			       ? -EAGAIN
			       : VQ_BREAK_INDIRECT_MEM;
	}
	return vq->is_packed ? walk_table_packed(vq, w, table, n)
			     : walk_table_split(vq, w, table, n);
}

int walk_finish_copies(struct vq *vq, struct walk *w)
{
	struct vq_chain *chain = &w->slot->chain;

	if (w->n_foreign) {
		int rc = vq_bounce_in(vq, w->slot, w->n_foreign);

		if (rc) {
			return rc;
		}
	}
	if (chain->is_faulty) {
		vq_count(&vq->counters.n_faults, 1);
	}
	return 0;
}
