/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a split virtqueue.
 *
 * Source: virtio 1.2, "Split Virtqueues"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>

#include "ring_internal.h"

/* The event fields stand behind the rings. */
static uint16_t *used_event(struct ring *r)
{
	return &ring_avail(r)->ring[r->num];
}

static uint16_t *avail_event(struct ring *r)
{
	return (uint16_t *)&ring_used(r)->ring[r->num];
}

static void write_desc(struct vring_desc *d, const struct ring_piece *piece,
		       bool has_next, uint16_t next)
{
	d->addr = htole64(piece->iova);
	d->len = htole32(piece->len);
	d->flags = htole16((piece->is_writable ? VRING_DESC_F_WRITE : 0) |
			   (has_next ? VRING_DESC_F_NEXT : 0));
	d->next = htole16(next);
}

static uint16_t add_indirect(struct ring *r, const struct ring_piece *pieces,
			     unsigned int n)
{
	uint16_t head = r->free_ids[--r->n_free];
	struct vring_desc *table = ring_table(r, head);
	struct vring_desc *d = &ring_split_descs(r)[head];

	for (unsigned int i = 0; i < n; i++) {
		write_desc(&table[i], &pieces[i], i + 1 < n, (uint16_t)(i + 1));
	}
	d->addr = htole64(ring_table_iova(r, head));
	d->len = htole32(n * (uint32_t)sizeof(*table));
	d->flags = htole16(VRING_DESC_F_INDIRECT);
	r->n_descs[head] = 1;
	return head;
}

static uint16_t add_direct(struct ring *r, const struct ring_piece *pieces,
			   unsigned int n)
{
	uint16_t head = r->free_ids[r->n_free - 1];

	for (unsigned int i = 0; i < n; i++) {
		uint16_t id = r->free_ids[--r->n_free];
		uint16_t next = i + 1 < n ? r->free_ids[r->n_free - 1] : 0;

		write_desc(&ring_split_descs(r)[id], &pieces[i], i + 1 < n,
			   next);
		r->next[id] = next;
	}
	r->n_descs[head] = (uint16_t)n;
	return head;
}

void ring_split_push(struct ring *r, uint16_t head)
{
	struct vring_avail *avail = ring_avail(r);

	avail->ring[r->avail_idx % r->num] = htole16(head);
	r->avail_idx++;
	/* The descriptors and the entry before the index that shows them. */
	__atomic_store_n(&avail->idx, htole16(r->avail_idx), __ATOMIC_RELEASE);
}

int split_add(struct ring *r, const struct ring_piece *pieces, unsigned int n,
	      bool is_indirect)
{
	uint16_t head;

	if (r->n_free < (is_indirect ? 1 : n)) {
		return -1;
	}
	head = is_indirect ? add_indirect(r, pieces, n)
			   : add_direct(r, pieces, n);
	ring_split_push(r, head);
	return head;
}

bool split_pop(struct ring *r, uint16_t *ret_id, uint32_t *ret_len)
{
	struct vring_used *used = ring_used(r);
	uint16_t idx = le16toh(__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE));
	const vring_used_elem_t *e = &used->ring[r->used_idx % r->num];
	uint16_t id;

	if (idx == r->used_idx) {
		return false;
	}
	id = (uint16_t)le32toh(e->id);
	*ret_id = id;
	*ret_len = le32toh(e->len);
	r->used_idx++;
	if (id >= r->num) {
		return true; /* the test will see that it is wrong */
	}
	for (unsigned int n = r->n_descs[id]; n > 0; n--) {
		r->free_ids[r->n_free++] = id;
		id = r->next[id];
	}
	r->n_descs[*ret_id] = 0;
	return true;
}

void split_arm(struct ring *r)
{
	ring_avail(r)->flags = 0;
	__atomic_store_n(used_event(r), htole16(r->used_idx), __ATOMIC_RELAXED);
}

bool split_wants_kick(struct ring *r)
{
	uint16_t event;

	if (!r->has_event_idx) {
		uint16_t flags =
			__atomic_load_n(&ring_used(r)->flags, __ATOMIC_RELAXED);

		return !(le16toh(flags) & VRING_USED_F_NO_NOTIFY);
	}
	event = le16toh(__atomic_load_n(avail_event(r), __ATOMIC_RELAXED));
	return (uint16_t)(r->avail_idx - event - 1) <
	       (uint16_t)(r->avail_idx - r->kicked_idx);
}
