/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The net driver: sending. See net_internal.h.
 *
 * Theory of operation
 *
 * A frame takes a slot, whose buffer has its header. Its bytes are
 *
 *   copied    behind the header; long ones go on in buffers of further slots
 *   lent      left where they are: the slot is kept until the caller was told.
 *             With headroom the header is before them, else in the buffer
 *
 *   free --send--> device --reap--> [done --reclaim-->] free
 *
 * Buffers were zeroed once, so that a header that asks for nothing, which is
 * the usual one, need not be written. What the device has done is looked for
 * only when slots are short, or the caller asks.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "virtio/net_internal.h"

#define FLAGS_KNOWN (VDPAKIT_NET_COPY | VDPAKIT_NET_HEADROOM)

/* ---- slots ---- */

int net_tx_init(struct vdpakit_net_queue *q)
{
	int ret = net_queue_alloc(q, NET_TX_BUFFER);

	if (ret < 0) {
		return ret;
	}
	q->tx = calloc(q->n_slots, sizeof(*q->tx));
	q->free = calloc(q->n_slots, sizeof(*q->free));
	if (!q->tx || !q->free) {
		return err(-ENOMEM, "%s: out of memory", q->net->vdev->name);
	}
	q->done_head = NET_NO_SLOT;
	q->n_free = 0;
	for (unsigned int i = q->n_slots; i > 0; i--) {
		q->free[q->n_free++] = (uint16_t)(i - 1);
	}
	return 0;
}

static void put_free(struct vdpakit_net_queue *q, uint16_t slot)
{
	q->free[q->n_free++] = slot;
}

static void put_all_free(struct vdpakit_net_queue *q, uint16_t slot)
{
	while (slot != NET_NO_SLOT) {
		uint16_t next = q->tx[slot].next;

		put_free(q, slot);
		slot = next;
	}
}

static void put_done(struct vdpakit_net_queue *q, struct net_tx_slot *slot)
{
	uint16_t at = (uint16_t)(slot - q->tx);

	if (q->done_head == NET_NO_SLOT) {
		q->done_head = at;
	} else {
		q->tx[q->done_tail].next = at;
	}
	q->done_tail = at;
	slot->next = NET_NO_SLOT;
}

/* The device has done with it. */
static void finish(struct vdpakit_net_queue *q, struct net_tx_slot *slot)
{
	if (slot->is_lent) {
		put_done(q, slot);
	} else {
		put_all_free(q, (uint16_t)(slot - q->tx));
		q->n_under_way--;
	}
}

int net_tx_reap(struct vdpakit_net_queue *q)
{
	struct vq_used used[NET_BURST];
	uint64_t n_frames = 0, n_bytes = 0;
	int n = q->is_dead ? 0 : NET_BURST;

	while (n == NET_BURST) {
		n = virtqueue_get(q->vq, used, NET_BURST);
		for (int i = 0; i < n; i++) {
			struct net_tx_slot *slot = used[i].cookie;

			n_bytes += slot->len_bytes;
			finish(q, slot);
		}
		n_frames += n > 0 ? (unsigned int)n : 0;
	}
	net_queue_count(&q->n_frames, n_frames);
	net_queue_count(&q->n_bytes, n_bytes);
	return n < 0 ? n : 0;
}

void net_tx_stopped(struct vdpakit_net_queue *q)
{
	struct net_tx_slot *slot;

	while ((slot = virtqueue_detach(q->vq))) {
		finish(q, slot);
	}
}

int vdpakit_net_reclaim(struct vdpakit_net_queue *q, void **ret_users,
			unsigned int max)
{
	unsigned int n = 0;
	int ret = net_queue_check(q, true);

	if (unlikely(ret < 0)) {
		return ret;
	}
	(void)net_tx_reap(q); /* virtqueue_check() says what it said */
	while (n < max && q->done_head != NET_NO_SLOT) {
		uint16_t slot = q->done_head;

		ret_users[n++] = q->tx[slot].user;
		q->done_head = q->tx[slot].next;
		put_free(q, slot);
	}
	q->n_under_way -= n;
	return n > 0 ? (int)n : virtqueue_check(q->vq);
}

/* ---- what may be sent ---- */

static int refuse(const struct vdpakit_net_queue *q, int code, const char *why)
{
	return err(code, "%s.vq%u: %s", q->net->vdev->name, q->vq->idx, why);
}

/* The features that let a driver ask for it; 0: there are none. */
static uint64_t gso_features(uint8_t gso_type)
{
	uint64_t ecn = gso_type & VIRTIO_NET_HDR_GSO_ECN ? NET_F(HOST_ECN) : 0;

	switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return NET_F(HOST_TSO4) | ecn;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return NET_F(HOST_TSO6) | ecn;
	case VIRTIO_NET_HDR_GSO_UDP:
		return ecn ? 0 : NET_F(HOST_UFO);
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return ecn ? 0 : NET_F(HOST_USO);
	default:
		return 0;
	}
}

static int check_gso(const struct vdpakit_net_queue *q,
		     const struct vdpakit_net_frame *f)
{
	const struct vdpakit_net_offload *o = &f->offload;
	uint64_t needs = gso_features(o->gso_type);

	if (needs == 0) {
		return refuse(q, -EINVAL, "there is no such gso_type");
	}
	if (needs & ~q->features) {
		return refuse(q, -EOPNOTSUPP,
			      "that gso_type is not in force: look at the "
			      "features of vdpakit_net_get_info()");
	}
	if (!(o->flags & VDPAKIT_NET_NEEDS_CSUM) || o->gso_size == 0 ||
	    o->hdr_len > f->len_bytes) {
		return refuse(q, -EINVAL,
			      "GSO needs NEEDS_CSUM, a gso_size, and a hdr_len "
			      "within the frame");
	}
	return 0;
}

static __attribute__((noinline)) int
check_offload(const struct vdpakit_net_queue *q,
	      const struct vdpakit_net_frame *f)
{
	const struct vdpakit_net_offload *o = &f->offload;

	if (o->flags & ~(VDPAKIT_NET_NEEDS_CSUM | VDPAKIT_NET_DATA_VALID)) {
		return refuse(q, -EINVAL, "there are no such offload flags");
	}
	if (o->flags & VDPAKIT_NET_NEEDS_CSUM) {
		if (!has_bit(q->features, VIRTIO_NET_F_CSUM)) {
			return refuse(q, -EOPNOTSUPP,
				      "the device makes no checksums: make it "
				      "yourself");
		}
		if ((uint32_t)o->csum_start + o->csum_offset + 2 >
		    f->len_bytes) {
			return refuse(q, -EINVAL,
				      "the checksum is not within the frame");
		}
	}
	return o->gso_type == VDPAKIT_NET_GSO_NONE ? 0 : check_gso(q, f);
}

static int check_iov(const struct vdpakit_net_queue *q,
		     const struct vdpakit_net_frame *f)
{
	uint64_t sum = 0;

	if (f->n_iov > VDPAKIT_NET_IOV_MAX || !f->iov) {
		return refuse(q, -EINVAL, "more pieces than a frame may have");
	}
	for (unsigned int i = 0; i < f->n_iov; i++) {
		if (f->iov[i].iov_len == 0 ||
		    f->iov[i].iov_len > f->len_bytes) {
			sum = 0;
			break;
		}
		sum += f->iov[i].iov_len;
	}
	return sum == f->len_bytes
		       ? 0
		       : refuse(q, -EINVAL,
				"pieces must not be empty, and be len_bytes in "
				"all");
}

static int check_size(const struct vdpakit_net_queue *q,
		      const struct vdpakit_net_frame *f)
{
	if (f->len_bytes < VDPAKIT_NET_FRAME_MIN) {
		return refuse(q, -EINVAL,
			      "a frame is not shorter than its addresses");
	}
	if (f->len_bytes > VDPAKIT_NET_FRAME_MAX) {
		return refuse(q, -EMSGSIZE, "there are no frames that long");
	}
	if (f->offload.gso_type == VDPAKIT_NET_GSO_NONE &&
	    f->len_bytes > q->frame_max) {
		return refuse(q, -EMSGSIZE,
			      "the frame is longer than the device's MTU");
	}
	return 0;
}

static inline int check(const struct vdpakit_net_queue *q,
			const struct vdpakit_net_frame *f)
{
	int ret = 0;

	if (unlikely((f->flags & ~FLAGS_KNOWN) || f->flags == FLAGS_KNOWN ||
		     (f->n_iov == 0 && !f->buf))) {
		return refuse(q, -EINVAL,
			      "a frame has buf or iov, and at most one of the "
			      "flags that there are");
	}
	if (unlikely(f->len_bytes < VDPAKIT_NET_FRAME_MIN ||
		     f->len_bytes > q->frame_max)) {
		ret = check_size(q, f);
	}
	if (ret == 0 && unlikely(f->n_iov > 0)) {
		ret = check_iov(q, f);
	}
	if (ret == 0 && unlikely(f->offload.flags | f->offload.gso_type)) {
		ret = check_offload(q, f);
	}
	return ret;
}

/* ---- headers ---- */

static void fill_header(const struct vdpakit_net_offload *o, char *to)
{
	struct virtio_net_hdr_v1 hdr = {
		.flags = o->flags & VDPAKIT_NET_NEEDS_CSUM,
		.gso_type = o->gso_type,
	};

	if (o->flags & VDPAKIT_NET_NEEDS_CSUM) {
		hdr.csum_start = htole16(o->csum_start);
		hdr.csum_offset = htole16(o->csum_offset);
	}
	if (o->gso_type != VDPAKIT_NET_GSO_NONE) {
		hdr.hdr_len = htole16(o->hdr_len);
		hdr.gso_size = htole16(o->gso_size);
	}
	memcpy(to, &hdr, sizeof(hdr));
}

/* At the start of the slot's buffer. */
static inline void write_header(struct vdpakit_net_queue *q, uint16_t slot,
				const struct vdpakit_net_offload *o)
{
	bool asks = o->flags | o->gso_type;

	if (unlikely(asks || q->tx[slot].has_header)) {
		fill_header(o, net_queue_buffer(q, slot));
		q->tx[slot].has_header = asks;
	}
}

/* ---- frames ---- */

/* Where a frame's bytes are taken from. */
struct source {
	const struct vdpakit_net_frame *frame;
	unsigned int piece;
	size_t offset; /* in it */
};

static void copy_from(struct source *from, char *to, uint32_t len)
{
	const struct iovec whole = { from->frame->buf, from->frame->len_bytes };
	const struct iovec *iov = from->frame->n_iov ? from->frame->iov
						     : &whole;

	while (len > 0) {
		const struct iovec *p = &iov[from->piece];
		uint32_t n = (uint32_t)min_of((size_t)len,
					      p->iov_len - from->offset);

		memcpy(to, (const char *)p->iov_base + from->offset, n);
		to += n;
		len -= n;
		from->offset += n;
		if (from->offset == p->iov_len) {
			from->offset = 0;
			from->piece++;
		}
	}
}

/* Copies to the buffers of the top @n free slots. */
static void copy_long(struct vdpakit_net_queue *q, unsigned int n,
		      const struct vdpakit_net_frame *f, struct vq_sg *sg)
{
	struct source from = { .frame = f };
	uint32_t left = f->len_bytes, off = NET_HDR;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t at = q->free[q->n_free - 1 - i];
		uint32_t len = min_of(left, NET_TX_BUFFER - off);

		copy_from(&from, net_queue_buffer(q, at) + off, len);
		sg[i].iova = net_queue_iova(q, at);
		sg[i].len = off + len;
		q->tx[at].next = i + 1 < n ? q->free[q->n_free - 2 - i]
					   : NET_NO_SLOT;
		/* It begins with data now, not with a header of zeroes. */
		q->tx[at].has_header = i > 0;
		left -= len;
		off = 0;
	}
}

static int send_long(struct vdpakit_net_queue *q,
		     const struct vdpakit_net_frame *f)
{
	unsigned int n =
		(NET_HDR + f->len_bytes + NET_TX_BUFFER - 1) / NET_TX_BUFFER;
	struct vq_sg sg[NET_TX_SLOTS_MAX];
	uint16_t at = q->free[q->n_free - 1];
	int ret;

	if (n > q->n_slots) {
		return refuse(q, -EMSGSIZE,
			      "the queue is too short to copy a frame that "
			      "long");
	}
	if (n > q->n_free) {
		return -ENOSPC;
	}
	write_header(q, at, &f->offload);
	copy_long(q, n, f, sg);
	q->tx[at].has_header = f->offload.flags | f->offload.gso_type;
	ret = virtqueue_add(q->vq, sg, n, 0, &q->tx[at]);
	if (ret == 0) {
		q->n_free = (uint16_t)(q->n_free - n);
	}
	return ret;
}

static inline int send_copied(struct vdpakit_net_queue *q,
			      const struct vdpakit_net_frame *f)
{
	uint16_t at = q->free[q->n_free - 1];
	char *to = net_queue_buffer(q, at) + NET_HDR;
	struct vq_sg sg = { net_queue_iova(q, at), NET_HDR + f->len_bytes };
	int ret;

	write_header(q, at, &f->offload);
	if (likely(f->n_iov == 0)) {
		memcpy(to, f->buf, f->len_bytes);
	} else {
		struct source from = { .frame = f };

		copy_from(&from, to, f->len_bytes);
	}
	q->tx[at].next = NET_NO_SLOT;
	ret = virtqueue_add(q->vq, &sg, 1, 0, &q->tx[at]);
	if (likely(ret == 0)) {
		q->n_free--;
	}
	return ret;
}

static int look_up(struct vdpakit_net_queue *q, const void *va, size_t len,
		   struct vq_sg *ret)
{
	ret->len = (uint32_t)len;
	if (dma_iova(q->net->vdev->dma, &q->cursor, va, len, &ret->iova) < 0) {
		return refuse(q, -EFAULT,
			      "not all of the frame is in memory that devices "
			      "may reach: vdpakit_mem_alloc(), or "
			      "VDPAKIT_NET_COPY");
	}
	return 0;
}

/* Where the frame lies. Return: pieces; -EFAULT */
static int place(struct vdpakit_net_queue *q, const struct vdpakit_net_frame *f,
		 uint16_t at, struct vq_sg *sg)
{
	struct iovec whole = { f->buf, f->len_bytes };
	const struct iovec *iov = f->n_iov ? f->iov : &whole;
	unsigned int n_iov = f->n_iov ? f->n_iov : 1;
	unsigned int n = 0, i = 0;

	if (f->flags & VDPAKIT_NET_HEADROOM) {
		char *hdr = (char *)iov[0].iov_base - NET_HDR;

		if (look_up(q, hdr, iov[0].iov_len + NET_HDR, &sg[0]) < 0) {
			return -EFAULT;
		}
		fill_header(&f->offload, hdr);
		i = 1;
	} else {
		write_header(q, at, &f->offload);
		sg[0] = (struct vq_sg){ net_queue_iova(q, at), NET_HDR };
	}
	for (n = 1; i < n_iov; i++, n++) {
		if (look_up(q, iov[i].iov_base, iov[i].iov_len, &sg[n]) < 0) {
			return -EFAULT;
		}
	}
	return (int)n;
}

static int send_lent(struct vdpakit_net_queue *q,
		     const struct vdpakit_net_frame *f)
{
	struct vq_sg sg[VDPAKIT_NET_IOV_MAX + 1];
	uint16_t at = q->free[q->n_free - 1];
	int ret = place(q, f, at, sg);

	if (unlikely(ret < 0)) {
		return ret;
	}
	q->tx[at].next = NET_NO_SLOT;
	ret = virtqueue_add(q->vq, sg, (unsigned int)ret, 0, &q->tx[at]);
	if (likely(ret == 0)) {
		q->n_free--;
	}
	return ret;
}

/* Return: 0; -ENOSPC: not now; -errno */
static inline int send_one(struct vdpakit_net_queue *q,
			   const struct vdpakit_net_frame *f)
{
	struct net_tx_slot *slot;
	int ret = check(q, f);

	if (unlikely(ret < 0)) {
		return ret;
	}
	if (unlikely(q->n_free == 0)) {
		return -ENOSPC;
	}
	slot = &q->tx[q->free[q->n_free - 1]];
	slot->user = f->user;
	slot->len_bytes = f->len_bytes;
	slot->is_lent = !(f->flags & VDPAKIT_NET_COPY);
	if (f->flags & VDPAKIT_NET_HEADROOM) {
		ret = send_lent(q, f);
	} else if (f->len_bytes <= VDPAKIT_NET_SHORT_BYTES ||
		   (!slot->is_lent &&
		    f->len_bytes <= NET_TX_BUFFER - NET_HDR)) {
		ret = send_copied(q, f);
	} else {
		ret = slot->is_lent ? send_lent(q, f) : send_long(q, f);
	}
	q->n_under_way += ret == 0;
	return ret;
}

int vdpakit_net_send(struct vdpakit_net_queue *q,
		     const struct vdpakit_net_frame *frames, unsigned int n)
{
	bool has_reaped = false;
	unsigned int i = 0;
	int ret = net_queue_check(q, true);

	if (likely(ret == 0)) {
		ret = virtqueue_check(q->vq);
	}
	while (ret == 0 && i < n) {
		ret = send_one(q, &frames[i]);
		if (likely(ret == 0)) {
			i++;
		} else if (ret == -ENOSPC && !has_reaped) {
			has_reaped = true;
			ret = net_tx_reap(q);
		}
	}
	if (i > 0) {
		virtqueue_kick(q->vq);
	}
	if (i > 0 || ret == -ENOSPC) {
		return (int)i;
	}
	return ret == -EPROTO ? virtqueue_check(q->vq) : ret;
}
