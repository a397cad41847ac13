/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a packed virtqueue.
 *
 * Source: virtio 1.2, "Packed Virtqueues"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <stddef.h>

#include "ring_internal.h"

/* Available: the AVAIL bit is the wrap counter, the USED bit its inverse. */
static uint16_t avail_flags(bool wrap)
{
	return wrap ? PACKED_AVAIL : PACKED_USED;
}

static bool is_used(uint16_t flags, bool wrap)
{
	bool avail = flags & PACKED_AVAIL, used = flags & PACKED_USED;

	return avail == used && used == wrap;
}

/* Moves on by one slot; the counter flips where the ring begins anew. */
static void step(const struct ring *r, uint16_t *slot, bool *wrap)
{
	if (++*slot == r->num) {
		*slot = 0;
		*wrap = !*wrap;
	}
}

static uint16_t add_direct(struct ring *r, const struct ring_piece *pieces,
			   unsigned int n, uint16_t id)
{
	struct vring_packed_desc *head = NULL;
	uint16_t head_flags = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vring_packed_desc *d =
			&ring_packed_descs(r)[r->avail_idx];
		uint16_t flags =
			avail_flags(r->avail_wrap) |
			(pieces[i].is_writable ? VRING_DESC_F_WRITE : 0) |
			(i + 1 < n ? VRING_DESC_F_NEXT : 0);

		d->addr = htole64(pieces[i].iova);
		d->len = htole32(pieces[i].len);
		d->id = htole16(id);
		if (head) {
			d->flags = htole16(flags);
		} else {
			head = d;
			head_flags = flags;
		}
		step(r, &r->avail_idx, &r->avail_wrap);
	}
	/* All of the chain before the flags that show it. */
	__atomic_store_n(&head->flags, htole16(head_flags), __ATOMIC_RELEASE);
	return (uint16_t)n;
}

static uint16_t add_indirect(struct ring *r, const struct ring_piece *pieces,
			     unsigned int n, uint16_t id)
{
	struct vring_packed_desc *table = (void *)ring_table(r, id);
	struct vring_packed_desc *d = &ring_packed_descs(r)[r->avail_idx];
	uint16_t flags = avail_flags(r->avail_wrap) | VRING_DESC_F_INDIRECT;

	for (unsigned int i = 0; i < n; i++) {
		table[i] = (struct vring_packed_desc){
			.addr = htole64(pieces[i].iova),
			.len = htole32(pieces[i].len),
			.flags = htole16(
				pieces[i].is_writable ? VRING_DESC_F_WRITE : 0),
		};
	}
	d->addr = htole64(ring_table_iova(r, id));
	d->len = htole32(n * (uint32_t)sizeof(*table));
	d->id = htole16(id);
	step(r, &r->avail_idx, &r->avail_wrap);
	__atomic_store_n(&d->flags, htole16(flags), __ATOMIC_RELEASE);
	return 1;
}

int packed_add(struct ring *r, const struct ring_piece *pieces, unsigned int n,
	       bool is_indirect)
{
	uint16_t id;

	if (r->n_free == 0 || r->n_free_slots < (is_indirect ? 1 : n)) {
		return -1;
	}
	id = r->free_ids[--r->n_free];
	r->n_descs[id] = is_indirect ? add_indirect(r, pieces, n, id)
				     : add_direct(r, pieces, n, id);
	r->n_free_slots -= r->n_descs[id];
	return id;
}

bool packed_pop(struct ring *r, uint16_t *ret_id, uint32_t *ret_len)
{
	struct vring_packed_desc *d = &ring_packed_descs(r)[r->used_idx];
	uint16_t flags = le16toh(__atomic_load_n(&d->flags, __ATOMIC_ACQUIRE));
	uint16_t id;

	if (!is_used(flags, r->used_wrap)) {
		return false;
	}
	id = le16toh(d->id);
	*ret_id = id;
	/* Without a writable piece the length means nothing. */
	*ret_len = flags & VRING_DESC_F_WRITE ? le32toh(d->len) : 0;
	if (id >= r->num || r->n_descs[id] == 0) {
		return true; /* the test will see that it is wrong */
	}
	for (unsigned int i = 0; i < r->n_descs[id]; i++) {
		step(r, &r->used_idx, &r->used_wrap);
	}
	r->n_free_slots += r->n_descs[id];
	r->n_descs[id] = 0;
	r->free_ids[r->n_free++] = id;
	return true;
}

static uint16_t off_wrap(uint16_t slot, bool wrap)
{
	return htole16(
		(uint16_t)(slot | wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
}

void packed_arm(struct ring *r)
{
	struct vring_packed_desc_event *e = ring_driver_event(r);

	e->off_wrap = off_wrap(r->used_idx, r->used_wrap);
	/* The position before the flag that makes it count. */
	__atomic_store_n(&e->flags,
			 htole16(r->has_event_idx
					 ? VRING_PACKED_EVENT_FLAG_DESC
					 : VRING_PACKED_EVENT_FLAG_ENABLE),
			 __ATOMIC_RELEASE);
}

/* How far a slot lies behind the newest available one, 1 the newest. */
static int distance(const struct ring *r, uint16_t slot, bool wrap)
{
	return r->avail_idx - slot + (wrap != r->avail_wrap ? r->num : 0);
}

bool packed_wants_kick(struct ring *r)
{
	struct vring_packed_desc_event *e = ring_device_event(r);
	uint16_t flags = le16toh(__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE));
	uint16_t at = le16toh(__atomic_load_n(&e->off_wrap, __ATOMIC_RELAXED));

	if (!r->has_event_idx || flags != VRING_PACKED_EVENT_FLAG_DESC) {
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	}
	/* Is the wanted slot among those added since the last kick? */
	return distance(r, at & 0x7fff, at >> 15) > 0 &&
	       distance(r, at & 0x7fff, at >> 15) <=
		       distance(r, r->kicked_idx, r->kicked_wrap);
}
