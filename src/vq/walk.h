/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk: descriptors of either format become the pieces of a chain.
 *
 * Theory of operation
 *
 * A format loads a descriptor into a local and hands address, length and
 * direction to walk_add(), which checks them against what came before in the
 * chain, translates, and appends pieces. Indirect tables of both formats are
 * walked here. walk_finish() checks the whole and brings in what has to be
 * copied; walk_abort() undoes.
 *
 * The fast way of walk_add() is a comparison with the entry that was hit last
 * (one for each direction); all else, including everything odd, is in walk.c, and
 * so is the one that was hit before that: requests go to and fro between
 * headers, that lie together, and data.
 *
 * Each function returns 0, a positive enum vq_break, VQ_STARVED, or -EAGAIN when
 * there is a hole to wait for (vq->miss).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VQ_WALK_H
#define VQ_WALK_H

#include "vq/vq_internal.h"

struct walk {
	struct vq_slot *slot;
	struct iovec *iov;
	uint32_t n; /* pieces */
	uint32_t cap;
	uint32_t n_left; /* descriptors that the chain may still have */
	uint32_t n_readable;
	uint32_t n_foreign;
	bool has_writable;
	bool is_faulty;
	uint64_t bytes[2]; /* readable, writable */
};

int walk_add_slow(struct vq *vq, struct walk *w, uint64_t addr, uint32_t len,
		  bool is_writable);
int walk_indirect(struct vq *vq, struct walk *w, uint64_t addr, uint32_t len);
int walk_finish_copies(struct vq *vq, struct walk *w);
void walk_release(struct vq *vq, struct vq_slot *slot);
void walk_move(struct walk *w, struct vq_slot *slot);

_hot_ void walk_init(struct vq *vq, struct walk *w, struct vq_slot *slot)
{
	*w = (struct walk){
		.slot = slot,
		.iov = slot->inline_iov,
		.cap = VQ_INLINE_PIECES,
		.n_left = vq->num,
	};
}

/* Does the entry hit last hold all of it? False for length 0. */
_hot_ bool walk_hits(const struct vq_hit *hit, uint64_t addr, uint32_t len)
{
	uint64_t off = addr - hit->start;

	return off < hit->size && (uint64_t)len - 1 < hit->size - off;
}

_hot_ int walk_add(struct vq *vq, struct walk *w, uint64_t addr, uint32_t len,
		   bool is_writable)
{
	const struct vq_hit *hit = &vq->hits[is_writable];

	if (unlikely(w->n_left == 0)) {
		return VQ_BREAK_LOOP;
	}
	w->n_left--;
	if (unlikely(w->has_writable && !is_writable)) {
		return VQ_BREAK_ORDER;
	}
	w->has_writable = is_writable;
	if (unlikely(!walk_hits(hit, addr, len) || w->n == w->cap)) {
		return walk_add_slow(vq, w, addr, len, is_writable);
	}
	w->iov[w->n].iov_base = hit->va + (addr - hit->start);
	w->iov[w->n].iov_len = len;
	w->n++;
	w->n_readable += !is_writable;
	w->bytes[is_writable] += len;
	return 0;
}

/* The chain's descriptors are all there: fill in @slot->chain but its name. */
_hot_ int walk_finish(struct vq *vq, struct walk *w)
{
	struct vq_chain *chain = &w->slot->chain;

	if (unlikely(w->bytes[0] + w->bytes[1] > UINT32_MAX)) {
		return VQ_BREAK_LENGTH;
	}
	chain->iov = w->iov;
	chain->n_readable = (uint16_t)w->n_readable;
	chain->n_writable = (uint16_t)(w->n - w->n_readable);
	chain->readable_bytes = (uint32_t)w->bytes[0];
	chain->writable_bytes = (uint32_t)w->bytes[1];
	chain->tail_bytes = 0;
	chain->is_faulty = w->is_faulty;
	if (unlikely(w->n_foreign || w->is_faulty)) {
		return walk_finish_copies(vq, w);
	}
	return 0;
}

_hot_ void walk_abort(struct vq *vq, struct walk *w)
{
	if (w->slot->flags) {
		walk_release(vq, w->slot);
	}
}

/*
 * The whole chain is one descriptor, in the entry that was hit last: most
 * frames are. Return: false: walk it.
 */
_hot_ bool walk_single(struct vq *vq, struct vq_slot *slot, uint16_t id,
		       uint64_t addr, uint32_t len, bool is_writable)
{
	struct vq_chain *chain = &slot->chain;
	const struct vq_hit *hit = &vq->hits[is_writable];
	char *va;

	if (unlikely(!walk_hits(hit, addr, len))) {
		return false;
	}
	va = hit->va + (addr - hit->start);
	__builtin_prefetch(va);
	slot->inline_iov[0].iov_base = va;
	slot->inline_iov[0].iov_len = len;
	chain->iov = slot->inline_iov;
	chain->n_readable = !is_writable;
	chain->n_writable = is_writable;
	chain->head = id;
	chain->n_descs = 1;
	chain->readable_bytes = is_writable ? 0 : len;
	chain->writable_bytes = is_writable ? len : 0;
	chain->is_faulty = false;
	chain->tail_bytes = 0;
	return true;
}

#endif
