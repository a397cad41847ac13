/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The net driver: receiving. See net_internal.h.
 *
 * Theory of operation
 *
 * Each slot has one buffer, and is in one place: free, with the device, part of
 * a frame that is still coming, or with the caller. A buffer starts with the
 * device's header; a frame that takes several has it in the first one only.
 *
 *   free --refill--> device --recv--> [part ...] --> caller --give back--> free
 *
 * Buffers are handed to the device in bursts: when enough are free, and all of
 * them before the caller may sleep or finds nothing.
 *
 * The header is copied once and checked; what it says of a bad frame costs the
 * frame. A number of buffers that cannot be breaks the device, since nobody
 * knows any more where frames begin.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "virtio/net_internal.h"

/* Buffers that are worth handing over. */
#define REFILL_MIN 32

/* ---- buffers ---- */

int net_rx_init(struct vdpakit_net_queue *q)
{
	int ret = net_queue_alloc(q, q->buffer_bytes);

	if (ret < 0) {
		return ret;
	}
	q->rx = calloc(q->n_slots, sizeof(*q->rx));
	q->free = calloc(q->n_slots, sizeof(*q->free));
	if (!q->rx || !q->free) {
		return err(-ENOMEM, "%s: out of memory", q->net->vdev->name);
	}
	net_rx_stopped(q);
	return 0;
}

/* All are free; lowest numbers last, so that they are the first to be used. */
void net_rx_stopped(struct vdpakit_net_queue *q)
{
	q->n_free = 0;
	for (unsigned int i = q->n_slots; i > 0; i--) {
		q->rx[i - 1] = (struct net_rx_slot){ .state = NET_RX_FREE };
		q->free[q->n_free++] = (uint16_t)(i - 1);
	}
	q->n_parts = 0;
	q->n_parts_left = 0;
	q->n_under_way = 0;
	q->is_lost = false;
}

void net_rx_refill(struct vdpakit_net_queue *q)
{
	struct vq_sg sg = { .len = q->buffer_bytes };

	if (q->n_free == 0 || q->is_dead) {
		return;
	}
	while (q->n_free > 0) {
		uint16_t slot = q->free[q->n_free - 1];

		sg.iova = net_queue_iova(q, slot);
		/* A full ring is no error; a broken one is met elsewhere. */
		if (virtqueue_add(q->vq, &sg, 0, 1, &q->rx[slot]) < 0) {
			break;
		}
		q->n_free--;
	}
	virtqueue_kick(q->vq);
}

static uint16_t slot_of(const struct vdpakit_net_queue *q,
			const struct net_rx_slot *slot)
{
	return (uint16_t)(slot - q->rx);
}

static void put_free(struct vdpakit_net_queue *q, struct net_rx_slot *slot)
{
	slot->state = NET_RX_FREE;
	q->free[q->n_free++] = slot_of(q, slot);
}

/* ---- headers ---- */

/* The feature that lets a device send such frames; 0: there is none. */
static uint64_t gso_feature(uint8_t gso_type)
{
	switch (gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return NET_F(GUEST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
		return NET_F(GUEST_TSO4) | NET_F(GUEST_ECN);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return NET_F(GUEST_TSO6);
	case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
		return NET_F(GUEST_TSO6) | NET_F(GUEST_ECN);
	case VIRTIO_NET_HDR_GSO_UDP:
		return NET_F(GUEST_UFO);
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		/* Of either: which one, the frame says. */
		return NET_F(GUEST_USO4);
	default:
		return 0;
	}
}

static bool is_gso_possible(const struct vdpakit_net_queue *q,
			    const struct virtio_net_hdr_v1 *hdr)
{
	uint64_t needs = gso_feature(hdr->gso_type);
	uint64_t has = q->features;

	if (has_bit(has, VIRTIO_NET_F_GUEST_USO6)) {
		has |= NET_F(GUEST_USO4);
	}
	return needs != 0 && (needs & ~has) == 0 && hdr->gso_size != 0;
}

/* Offloads: not the usual case. Return: does the header make sense? */
static __attribute__((noinline)) bool
read_offload(const struct vdpakit_net_queue *q,
	     const struct virtio_net_hdr_v1 *hdr, uint32_t len,
	     struct vdpakit_net_offload *ret)
{
	uint32_t start = le16toh(hdr->csum_start);
	uint32_t offset = le16toh(hdr->csum_offset);
	uint32_t hdr_len = le16toh(hdr->hdr_len);

	memset(ret, 0, sizeof(*ret));
	if (!has_bit(q->features, VIRTIO_NET_F_GUEST_CSUM)) {
		/* It was to say nothing: then it says nothing. */
		return hdr->gso_type == 0 &&
		       !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	}
	ret->flags = hdr->flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM |
				   VIRTIO_NET_HDR_F_DATA_VALID);
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (start + offset + 2 > len) {
			return false;
		}
		ret->csum_start = (uint16_t)start;
		ret->csum_offset = (uint16_t)offset;
	}
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (!is_gso_possible(q, hdr)) {
			return false;
		}
		ret->gso_type = hdr->gso_type;
		ret->gso_size = le16toh(hdr->gso_size);
		/* A hint, of which no more than this can be relied on. */
		ret->hdr_len = hdr_len <= len ? (uint16_t)hdr_len : 0;
	}
	return true;
}

/* ---- frames ---- */

static void count_bad(struct vdpakit_net_queue *q)
{
	net_queue_count(&q->n_bad, 1);
}

/* The frame of @first is whole. Return: is it one? */
static inline bool finish(struct vdpakit_net_queue *q,
			  const struct net_rx_slot *first, uint32_t len,
			  struct vdpakit_net_received *ret)
{
	struct virtio_net_hdr_v1 hdr;

	if (unlikely(len < VDPAKIT_NET_FRAME_MIN ||
		     len > VDPAKIT_NET_FRAME_MAX)) {
		return false;
	}
	/* Once: the device may write it again. */
	memcpy(&hdr, (const char *)first->piece.data - NET_HDR, sizeof(hdr));
	ret->data = first->piece.data;
	ret->len_bytes = len;
	ret->pieces = &first->piece;
	if (likely(hdr.flags == 0 && hdr.gso_type == 0)) {
		memset(&ret->offload, 0, sizeof(ret->offload));
		return true;
	}
	return read_offload(q, &hdr, len, &ret->offload);
}

static void drop_parts(struct vdpakit_net_queue *q)
{
	uint16_t at = q->part_head;

	for (unsigned int i = 0; i < q->n_parts; i++) {
		uint16_t next = q->rx[at].next;

		put_free(q, &q->rx[at]);
		at = next;
	}
	q->n_parts = 0;
	count_bad(q);
}

static void add_part(struct vdpakit_net_queue *q, struct net_rx_slot *slot,
		     char *data, uint32_t len)
{
	uint16_t at = slot_of(q, slot);

	slot->piece.data = data;
	slot->piece.len_bytes = len;
	slot->piece.next = NULL;
	slot->state = NET_RX_PART;
	if (q->n_parts == 0) {
		q->part_head = at;
		q->part_bytes = 0;
	} else {
		q->rx[q->part_tail].next = at;
		q->rx[q->part_tail].piece.next = &slot->piece;
	}
	q->part_tail = at;
	q->part_bytes += len;
	q->n_parts++;
}

/* Another piece of a frame that has several. Return: is it whole, and one? */
static __attribute__((noinline)) bool
take_part(struct vdpakit_net_queue *q, struct net_rx_slot *slot, char *data,
	  uint32_t len, struct vdpakit_net_received *ret)
{
	struct net_rx_slot *first;

	add_part(q, slot, data, len);
	if (--q->n_parts_left > 0) {
		return false;
	}
	first = &q->rx[q->part_head];
	if (!finish(q, first, q->part_bytes, ret)) {
		drop_parts(q);
		return false;
	}
	ret->n_pieces = q->n_parts;
	first->state = NET_RX_HELD;
	q->n_parts = 0;
	return true;
}

/* How many buffers the frame has that starts here. Return: 0: that cannot be */
static unsigned int count_buffers(const struct vdpakit_net_queue *q,
				  const char *buffer)
{
	__le16 n;

	memcpy(&n, buffer + offsetof(struct virtio_net_hdr_v1, num_buffers),
	       sizeof(n));
	return le16toh(n) <= q->n_slots ? le16toh(n) : 0;
}

/* One used buffer. Return: 1 *ret is a frame; 0: none yet; -EPROTO */
static inline int take(struct vdpakit_net_queue *q, const struct vq_used *used,
		       struct vdpakit_net_received *ret)
{
	struct net_rx_slot *slot = used->cookie;
	char *buffer = net_queue_buffer(q, slot_of(q, slot));
	unsigned int n_buffers = 1;

	if (unlikely(q->n_parts_left > 0)) {
		return take_part(q, slot, buffer, used->written, ret);
	}
	if (unlikely(used->written < NET_HDR)) {
		put_free(q, slot);
		count_bad(q);
		return 0;
	}
	if (q->is_merging) {
		n_buffers = count_buffers(q, buffer);
	}
	if (unlikely(n_buffers != 1)) {
		if (n_buffers == 0) {
			q->is_lost = true;
			virtio_break(q->net->vdev);
			return -EPROTO;
		}
		q->n_parts_left = (uint16_t)n_buffers;
		return take_part(q, slot, buffer + NET_HDR,
				 used->written - NET_HDR, ret);
	}
	slot->piece.data = buffer + NET_HDR;
	slot->piece.len_bytes = used->written - NET_HDR;
	slot->piece.next = NULL;
	if (unlikely(!finish(q, slot, used->written - NET_HDR, ret))) {
		put_free(q, slot);
		count_bad(q);
		return 0;
	}
	ret->n_pieces = 1;
	slot->state = NET_RX_HELD;
	return 1;
}

/* A burst of used buffers. Return: frames, and in *ret_n buffers: 0: it is of
 * no use to look for more */
static unsigned int take_burst(struct vdpakit_net_queue *q,
			       struct vdpakit_net_received *ret,
			       unsigned int max, unsigned int *ret_n)
{
	struct vq_used used[NET_BURST];
	int n = virtqueue_get(q->vq, used,
			      min_of(max, (unsigned int)NET_BURST));
	unsigned int n_frames = 0;
	uint64_t n_bytes = 0;

	*ret_n = n > 0 ? (unsigned int)n : 0;
	for (int i = 0; i < n; i++) {
		const struct net_rx_slot *slot = used[i].cookie;

		__builtin_prefetch(net_queue_buffer(q, slot_of(q, slot)));
	}
	for (int i = 0; i < n; i++) {
		int r = take(q, &used[i], &ret[n_frames]);

		if (unlikely(r < 0)) {
			*ret_n = 0;
			break;
		}
		if (likely(r > 0)) {
			n_bytes += ret[n_frames].len_bytes;
			n_frames++;
		}
	}
	q->n_under_way += n_frames;
	net_queue_count(&q->n_frames, n_frames);
	net_queue_count(&q->n_bytes, n_bytes);
	return n_frames;
}

int vdpakit_net_recv(struct vdpakit_net_queue *q,
		     struct vdpakit_net_received *ret, unsigned int max)
{
	unsigned int n = 0, n_used = 1;
	int r = net_queue_check(q, false);

	if (unlikely(r < 0)) {
		return r;
	}
	if (unlikely(q->is_dead || q->is_lost)) {
		return virtqueue_check(q->vq);
	}
	while (n < max && n_used > 0) {
		n += take_burst(q, ret + n, max - n, &n_used);
	}
	if (q->n_free >= REFILL_MIN || n == 0) {
		net_rx_refill(q);
	}
	return n > 0 ? (int)n : virtqueue_check(q->vq);
}

/* ---- giving back ---- */

/* The slot that a frame starts in. Return: NULL: there is no such frame */
static struct net_rx_slot *find_held(const struct vdpakit_net_queue *q,
				     const struct vdpakit_net_received *frame)
{
	uintptr_t off = (uintptr_t)frame->pieces - (uintptr_t)q->rx;
	struct net_rx_slot *slot;

	_Static_assert(offsetof(struct net_rx_slot, piece) == 0, "first");
	if (off >= q->n_slots * sizeof(*slot) || off % sizeof(*slot) != 0) {
		return NULL;
	}
	slot = &q->rx[off / sizeof(*slot)];
	return slot->state == NET_RX_HELD ? slot : NULL;
}

static void put_frame(struct vdpakit_net_queue *q, struct net_rx_slot *slot)
{
	bool is_last = !slot->piece.next;

	while (!is_last) {
		struct net_rx_slot *next = &q->rx[slot->next];

		put_free(q, slot);
		slot = next;
		is_last = !slot->piece.next;
	}
	put_free(q, slot);
}

int vdpakit_net_give_back(struct vdpakit_net_queue *q,
			  const struct vdpakit_net_received *frames,
			  unsigned int n)
{
	int ret = net_queue_check(q, false);

	if (unlikely(ret < 0)) {
		return ret;
	}
	for (unsigned int i = 0; i < n; i++) {
		struct net_rx_slot *slot = find_held(q, &frames[i]);

		if (unlikely(!slot)) {
			return err(-EINVAL,
				   "%s.vq%u: frame %u of those given back is "
				   "not lent: give each back once, where it "
				   "came from",
				   q->net->vdev->name, q->vq->idx, i);
		}
		put_frame(q, slot);
		q->n_under_way--;
	}
	if (q->n_free >= REFILL_MIN) {
		net_rx_refill(q);
	}
	return virtqueue_check(q->vq);
}

uint32_t vdpakit_net_copy(const struct vdpakit_net_received *frame, void *buf,
			  uint32_t size)
{
	const struct vdpakit_net_piece *p = frame->pieces;
	uint32_t done = 0;

	for (unsigned int i = 0; i < frame->n_pieces && done < size; i++) {
		uint32_t len = min_of(p->len_bytes, size - done);

		memcpy((char *)buf + done, p->data, len);
		done += len;
		p = p->next;
	}
	return done;
}
