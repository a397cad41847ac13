/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packed rings, device side.
 *
 * Theory of operation
 *
 * One ring for both directions. A descriptor is available when its AVAIL bit
 * is our wrap counter and its USED bit is not; used when both are the used
 * wrap counter. Length, id and flags are one word of eight bytes, loaded and
 * stored at once, so a used descriptor is one store.
 *
 *   desc area     ring[num]:{addr:64 len:32 id:16 flags:16}
 *   driver area   off_wrap:16 flags:16   when the driver wants calls
 *   device area   off_wrap:16 flags:16   when we want kicks
 *
 * The driver looks at used descriptors one after the other. So those of a
 * burst are stored in any order but the first of them last, with release.
 *
 * The id of a chain stands in its last descriptor, and the id names the slot:
 * chains of several descriptors are walked in a slot of the walk's own and
 * moved. Ring slots of all that is in flight cannot exceed num, whatever the
 * driver's wrap bits claim.
 *
 * Ring memory that is reached by copies: the flags are read until they agree
 * (area.c), then the descriptor is read as a whole and used as it is in that
 * copy. Used words of eight bytes go out whole.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <string.h>

#include "vq/walk.h"

#define FLAG_AVAIL (1U << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  (1U << VRING_PACKED_DESC_F_USED)
/* Must be as wanted in an available chain of one descriptor. */
#define FLAGS_SINGLE \
	(FLAG_AVAIL | FLAG_USED | VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)
#define FLAGS_OFF   14
#define META_OFF    8
#define EVENT_BYTES 4
#define EVENT_WRAP  (1U << VRING_PACKED_EVENT_F_WRAP_CTR)
#define EVENT_MASK  3

/* No descriptor is available; beside enum vq_break and -EAGAIN. */
#define PACKED_EMPTY (-ENODATA)

struct packed_pos {
	uint16_t idx;
	bool wrap;
};

_hot_ struct shm_desc_ring *desc_at(const struct vq *vq, uint16_t idx)
{
	return (struct shm_desc_ring *)vq->desc.va + idx;
}

_hot_ __le32 *event_at(const struct vq_area *area)
{
	return (__le32 *)area->va;
}

void packed_setup(struct vq *vq, const struct vq_setup *setup)
{
	vq_area_init(&vq->desc, setup->desc_area,
		     (size_t)vq->num * SHM_DESC_SIZE, MEM_PERM_RW, 8);
	vq_area_init(&vq->driver, setup->driver_area, EVENT_BYTES, MEM_PERM_RO,
		     4);
	vq_area_init(&vq->device, setup->device_area, EVENT_BYTES, MEM_PERM_WO,
		     4);
	vq->avail_idx = setup->state.avail_idx;
	vq->avail_wrap = setup->state.avail_wrap;
	vq->used_idx = setup->state.used_idx;
	vq->used_wrap = setup->state.used_wrap;
}

_hot_ bool flags_available(uint16_t flags, bool wrap)
{
	unsigned int wanted = wrap ? FLAG_AVAIL : FLAG_USED;

	return (flags & (FLAG_AVAIL | FLAG_USED)) == wanted;
}

/* A descriptor that is part of an available chain. */
_hot_ int load_desc(struct vq *vq, uint16_t idx, struct shm_desc *ret,
		    bool is_direct)
{
	struct shm_desc_ring raw;

	if (is_direct) {
		*ret = shm_load_desc(desc_at(vq, idx));
		return 0;
	}
	if (vq_area_read(vq, &vq->desc, (uint64_t)idx * SHM_DESC_SIZE, &raw,
			 sizeof(raw)) < 0) {
		return -EAGAIN;
	}
	*ret = shm_load_desc(&raw);
	return 0;
}

/* The first descriptor of a chain. Return: 0; PACKED_EMPTY; -EAGAIN */
_hot_ int load_first(struct vq *vq, struct packed_pos pos, struct shm_desc *ret,
		     bool is_direct)
{
	uint16_t flags;

	if (is_direct) {
		const struct shm_desc_ring *ring = desc_at(vq, pos.idx);

		/* [packed-avail], pairs with packed_driver.c */
		ret->meta = shm_load_acq64(&ring->meta);
		if (!flags_available(shm_packed_flags(ret->meta), pos.wrap)) {
			return PACKED_EMPTY;
		}
		ret->addr = shm_load64(&ring->addr);
		return 0;
	}
	if (vq_area_read16(vq, &vq->desc,
			   (uint64_t)pos.idx * SHM_DESC_SIZE + FLAGS_OFF,
			   &flags) < 0) {
		return -EAGAIN;
	}
	if (!flags_available(flags, pos.wrap)) {
		return PACKED_EMPTY;
	}
	return load_desc(vq, pos.idx, ret, false);
}

/* May a chain be called @id now? */
_hot_ int check_id(const struct vq *vq, uint16_t id)
{
	if (unlikely(id >= vq->num)) {
		return VQ_BREAK_HEAD;
	}
	return unlikely(vq->is_busy[id]) ? VQ_BREAK_IN_FLIGHT : 0;
}

/*
 * From the first descriptor, at @idx, to the last, which tells the id.
 * @ret_n_descs: ring slots.
 */
_hot_ int walk_descs(struct vq *vq, struct walk *w, uint16_t idx,
		     struct shm_desc *d, uint32_t *ret_n_descs, bool is_direct)
{
	/* Ends: walk_add() takes num descriptors at most. */
	for (uint32_t n_descs = 1;; n_descs++) {
		uint16_t flags = shm_packed_flags(d->meta);
		uint32_t len = shm_desc_len(d->meta);
		int rc;

		*ret_n_descs = n_descs;
		if (flags & VRING_DESC_F_INDIRECT) {
			return flags & VRING_DESC_F_NEXT
				       ? VQ_BREAK_INDIRECT
				       : walk_indirect(vq, w, d->addr, len);
		}
		rc = walk_add(vq, w, d->addr, len, flags & VRING_DESC_F_WRITE);
		if (rc || !(flags & VRING_DESC_F_NEXT)) {
			return rc;
		}
		idx = (uint16_t)(idx + 1 == vq->num ? 0 : idx + 1);
		rc = load_desc(vq, idx, d, is_direct);
		if (unlikely(rc)) {
			return rc;
		}
	}
}

/* What a walk found. */
struct packed_chain {
	uint16_t id;
	uint16_t n_descs;
};

static __attribute__((noinline)) int walk_chain(struct vq *vq, uint16_t idx,
						struct shm_desc d,
						struct packed_chain *ret)
{
	uint32_t room = vq->num - vq->n_unpublished_descs;
	uint32_t n_descs;
	struct walk w;
	uint16_t id;
	int rc;

	walk_init(vq, &w, vq->walk_slot);
	rc = vq->is_direct ? walk_descs(vq, &w, idx, &d, &n_descs, true)
			   : walk_descs(vq, &w, idx, &d, &n_descs, false);
	id = shm_packed_id(d.meta);
	if (rc == 0) {
		rc = check_id(vq, id);
	}
	if (rc == 0 && n_descs > room) {
		rc = VQ_BREAK_AVAIL;
	}
	if (rc == 0) {
		walk_move(&w, &vq->slots[id]);
		w.slot->chain.head = id;
		w.slot->chain.n_descs = (uint16_t)n_descs;
		rc = walk_finish(vq, &w);
	}
	if (unlikely(rc)) {
		walk_abort(vq, &w);
	}
	*ret = (struct packed_chain){ id, (uint16_t)n_descs };
	return rc;
}

/* The next chain, of any kind. Return: 0; PACKED_EMPTY; as the walk */
_hot_ int fetch_any(struct vq *vq, struct vq_chain **ret_chain, bool is_direct)
{
	struct packed_pos pos = { vq->avail_idx, vq->avail_wrap };
	struct packed_chain c;
	struct shm_desc d;
	int rc = load_first(vq, pos, &d, is_direct);

	if (rc == 0) {
		rc = walk_chain(vq, pos.idx, d, &c);
	}
	if (rc) {
		return rc;
	}
	vq_fetched(vq, &vq->slots[c.id], c.id, &vq->order_tail);
	vq->n_unpublished_descs += c.n_descs;
	vq_step(vq, &vq->avail_idx, &vq->avail_wrap, c.n_descs);
	*ret_chain = &vq->slots[c.id].chain;
	return 0;
}

/*
 * Chains of one descriptor in the memory that was hit last, up to the end of
 * the ring: most frames are such, so this loop is kept free of all else.
 */
static unsigned int fetch_singles(struct vq *vq, struct vq_chain **ret_chains,
				  unsigned int max)
{
	const struct shm_desc_ring *ring = desc_at(vq, vq->avail_idx);
	unsigned int wanted = vq->avail_wrap ? FLAG_AVAIL : FLAG_USED;
	uint16_t order_tail = vq->order_tail;
	unsigned int i;

	max = min_of(max, (unsigned int)vq->num - vq->avail_idx);
	max = min_of(max, vq->num - vq->n_unpublished_descs);
	for (i = 0; i < max; i++) {
		/* [packed-avail], pairs with packed_driver.c */
		uint64_t meta = shm_load_acq64(&ring[i].meta);
		uint64_t addr = shm_load64(&ring[i].addr);
		uint16_t flags = shm_packed_flags(meta);
		uint16_t id = shm_packed_id(meta);
		struct vq_slot *slot;

		if ((flags & FLAGS_SINGLE) != wanted || check_id(vq, id)) {
			break;
		}
		slot = &vq->slots[id];
		if (!walk_single(vq, slot, id, addr, shm_desc_len(meta),
				 flags & VRING_DESC_F_WRITE)) {
			break;
		}
		vq_fetched(vq, slot, id, &order_tail);
		ret_chains[i] = &slot->chain;
	}
	vq->order_tail = order_tail;
	vq->n_unpublished_descs += i;
	vq_step(vq, &vq->avail_idx, &vq->avail_wrap, i);
	return i;
}

unsigned int packed_fetch(struct vq *vq, struct vq_chain **ret_chains,
			  unsigned int max, int *ret_rc)
{
	unsigned int n = 0;
	int rc = 0;

	while (n < max) {
		if (likely(vq->is_direct)) {
			n += fetch_singles(vq, ret_chains + n, max - n);
			if (n == max) {
				break;
			}
			rc = fetch_any(vq, ret_chains + n, true);
		} else {
			rc = fetch_any(vq, ret_chains + n, false);
		}
		if (rc) {
			break;
		}
		n++;
	}
	*ret_rc = rc == PACKED_EMPTY ? 0 : rc;
	return n;
}

int packed_load_desc(struct vq *vq, uint16_t idx, struct shm_desc *ret)
{
	return vq->is_direct ? load_desc(vq, idx, ret, true)
			     : load_desc(vq, idx, ret, false);
}

bool packed_is_available(struct shm_desc d, bool wrap)
{
	return flags_available(shm_packed_flags(d.meta), wrap);
}

_hot_ uint64_t used_meta(const struct vq_done *done, bool wrap)
{
	unsigned int flags = wrap ? FLAG_AVAIL | FLAG_USED : 0;

	if (done->len) {
		flags |= VRING_DESC_F_WRITE;
	}
	return shm_packed_meta(done->len, done->id, (uint16_t)flags);
}

_hot_ int store_used(struct vq *vq, uint16_t idx, uint64_t meta, bool is_direct)
{
	__le64 raw = shm_to_le64(meta);

	if (is_direct) {
		/* [packed-used], pairs with packed_driver.c */
		shm_store_rel64(&desc_at(vq, idx)->meta, meta);
		return 0;
	}
	shm_release_barrier();
	return vq_area_write(vq, &vq->desc,
			     (uint64_t)idx * SHM_DESC_SIZE + META_OFF, &raw,
			     sizeof(raw));
}

/* All but the first of the done list; then the first, which shows them. */
_hot_ int put_used(struct vq *vq, bool is_direct)
{
	uint16_t idx = vq->used_idx;
	bool wrap = vq->used_wrap;
	uint32_t n_descs = vq->done[0].n_descs;

	vq_step(vq, &idx, &wrap, n_descs);
	for (uint32_t i = 1; i < vq->n_done; i++) {
		const struct vq_done *done = &vq->done[i];

		if (store_used(vq, idx, used_meta(done, wrap), is_direct) < 0) {
			return -EFAULT;
		}
		vq_step(vq, &idx, &wrap, done->n_descs);
		n_descs += done->n_descs;
	}
	if (store_used(vq, vq->used_idx, used_meta(&vq->done[0], vq->used_wrap),
		       is_direct) < 0) {
		return -EFAULT;
	}
	vq->used_idx = idx;
	vq->used_wrap = wrap;
	vq->n_put_descs = (uint16_t)n_descs;
	return 0;
}

/*
 * Of the @n ring slots from @idx on none was shown to the driver as used. Those
 * that say so, for when it comes there, do not any more.
 *
 * Return: 0; -EAGAIN
 */
int packed_take_back_used(struct vq *vq, uint16_t idx, bool wrap, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		unsigned int flags = wrap ? FLAG_AVAIL : FLAG_USED;
		struct shm_desc d;

		if (packed_load_desc(vq, idx, &d) < 0) {
			return -EAGAIN;
		}
		if (!flags_available(shm_packed_flags(d.meta), wrap) &&
		    store_used(vq, idx,
			       shm_packed_meta(shm_desc_len(d.meta),
					       shm_packed_id(d.meta),
					       (uint16_t)flags),
			       vq->is_direct) < 0) {
			return -EAGAIN;
		}
		vq_step(vq, &idx, &wrap, 1);
	}
	return 0;
}

/* The ring from @from on, as far as the done list goes. */
static _cold_ void mark_used(struct vq *vq, uint32_t from)
{
	uint32_t n = 0, n_first;

	for (uint32_t i = 0; i < vq->n_done; i++) {
		n += vq->done[i].n_descs;
	}
	n_first = min_of(n, vq->num - from);
	vq_dirty_area(vq, &vq->desc, (uint64_t)from * SHM_DESC_SIZE,
		      (uint64_t)n_first * SHM_DESC_SIZE);
	vq_dirty_area(vq, &vq->desc, 0,
		      (uint64_t)(n - n_first) * SHM_DESC_SIZE);
}

int packed_put_used(struct vq *vq)
{
	uint16_t from = vq->used_idx;
	int rc = likely(vq->is_direct) ? put_used(vq, true)
				       : put_used(vq, false);

	if (unlikely(vq->has_dirty_log)) {
		mark_used(vq, from);
	}
	return rc;
}

/* After a full barrier. When in doubt a call is wanted. */
bool packed_wants_call(struct vq *vq)
{
	bool is_valid = vq->is_signalled_valid;
	uint16_t flags, off, event;
	uint32_t word;

	vq->is_signalled_valid = true;
	if (likely(vq->is_direct)) {
		word = shm_load32(event_at(&vq->driver));
	} else if (vq_area_read32(vq, &vq->driver, 0, &word) < 0) {
		return true;
	}
	flags = shm_event_flags(word) & EVENT_MASK;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !vq->has_event_idx) {
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	}
	off = shm_event_off_wrap(word);
	event = off & (uint16_t)(EVENT_WRAP - 1);
	if (!!(off & EVENT_WRAP) != vq->used_wrap) {
		event = (uint16_t)(event - vq->num);
	}
	return !is_valid ||
	       shm_crossed(event, vq->used_idx,
			   (uint16_t)(vq->used_idx - vq->n_put_descs));
}

void packed_set_kick(struct vq *vq, bool is_enabled)
{
	uint8_t wanted = is_enabled ? VQ_KICK_ENABLED : VQ_KICK_DISABLED;
	uint16_t flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	uint16_t off_wrap = 0;
	uint32_t word;
	__le32 raw;

	if (is_enabled && vq->has_event_idx) {
		off_wrap = (uint16_t)(vq->avail_idx |
				      (vq->avail_wrap ? EVENT_WRAP : 0));
		flags = VRING_PACKED_EVENT_FLAG_DESC;
	} else if (vq->kick == wanted) {
		return;
	} else if (is_enabled) {
		flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
	word = shm_event_word(off_wrap, flags);
	raw = shm_to_le32(word);
	vq->kick = wanted;
	if (likely(vq->is_direct)) {
		shm_store32(event_at(&vq->device), word);
	} else if (vq_area_write(vq, &vq->device, 0, &raw, sizeof(raw)) < 0) {
		vq->kick = VQ_KICK_UNKNOWN;
	}
	if (unlikely(vq->has_dirty_log)) {
		vq_dirty_area(vq, &vq->device, 0, EVENT_BYTES);
	}
}

bool packed_has_available(struct vq *vq)
{
	struct packed_pos pos = { vq->avail_idx, vq->avail_wrap };
	struct shm_desc d;

	return (vq->is_direct ? load_first(vq, pos, &d, true)
			      : load_first(vq, pos, &d, false)) == 0;
}
