/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio block driver: requests. See blk_internal.h.
 *
 * Source: virtio 1.2, "Block Device", "Device Operation"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "virtio/blk_internal.h"

/* Used buffers that are taken at a time. */
#define BURST 32
/* What no device says. */
#define STATUS_NONE 0xff
/* Header and status, or header, range and status. */
#define SGS_EXTRA 2

#define _hot_ static inline __attribute__((always_inline))

/* ---- life ---- */

int blk_queue_init(struct vdpakit_blk_queue *q, struct vdpakit_blk *blk,
		   struct virtqueue *vq, uint16_t n_slots)
{
	q->blk = blk;
	q->vq = vq;
	q->slots = calloc(n_slots, sizeof(*q->slots));
	if (!q->slots) {
		return err(-ENOMEM, "%s: out of memory", blk->vdev->name);
	}
	q->n_slots = n_slots;
	for (unsigned int i = n_slots; i-- > 0;) {
		q->slots[i].next = q->free;
		q->free = &q->slots[i];
	}
	blk_queue_renew(q);
	return 0;
}

void blk_queue_renew(struct vdpakit_blk_queue *q)
{
	struct blk_wire *wires = (struct blk_wire *)q->vq->extra_va;

	for (unsigned int i = 0; i < q->n_slots; i++) {
		q->slots[i].wire = &wires[i];
		q->slots[i].wire_iova = q->vq->extra_iova + i * sizeof(*wires);
	}
}

void blk_queue_fini(struct vdpakit_blk_queue *q)
{
	free(q->slots);
}

void blk_queue_lose(struct vdpakit_blk_queue *q)
{
	struct blk_slot *slot;

	while ((slot = virtqueue_detach(q->vq))) {
		slot->next = q->lost;
		q->lost = slot;
	}
}

int vdpakit_blk_release(struct vdpakit_blk_queue *q)
{
	int ret = virtqueue_check_owner(q->vq);

	if (ret == 0) {
		virtqueue_release(q->vq);
	}
	return ret;
}

/* ---- checks ---- */

static const char *name_of(const struct vdpakit_blk_queue *q)
{
	return q->blk->vdev->name;
}

static int refuse_range(const struct vdpakit_blk_queue *q,
			const struct vdpakit_blk_req *req)
{
	if (req->len_bytes == 0 || req->len_bytes % BLK_SECTOR_BYTES != 0 ||
	    req->offset_bytes % BLK_SECTOR_BYTES != 0) {
		return err(-EINVAL,
			   "%s: %llu bytes at %llu are no whole sectors of 512",
			   name_of(q), (unsigned long long)req->len_bytes,
			   (unsigned long long)req->offset_bytes);
	}
	return err(-ERANGE, "%s: %llu bytes at %llu end beyond the disk",
		   name_of(q), (unsigned long long)req->len_bytes,
		   (unsigned long long)req->offset_bytes);
}

_hot_ int check_range(const struct vdpakit_blk_queue *q,
		      const struct vdpakit_blk_req *req, uint64_t max_bytes)
{
	uint64_t capacity =
		__atomic_load_n(&q->blk->capacity_bytes, __ATOMIC_RELAXED);

	if (unlikely(
		    req->len_bytes == 0 ||
		    (req->len_bytes | req->offset_bytes) % BLK_SECTOR_BYTES !=
			    0 ||
		    !range_fits(req->offset_bytes, req->len_bytes, capacity))) {
		return refuse_range(q, req);
	}
	if (unlikely(req->len_bytes > max_bytes)) {
		return err(-E2BIG, "%s: %llu bytes at once, it takes %llu",
			   name_of(q), (unsigned long long)req->len_bytes,
			   (unsigned long long)max_bytes);
	}
	return 0;
}

static int refuse_write(const struct vdpakit_blk_queue *q)
{
	return err(-EROFS, "%s: the disk is read-only", name_of(q));
}

static int refuse_op(const struct vdpakit_blk_queue *q, unsigned int op)
{
	static const char *const names[] = {
		[VDPAKIT_BLK_READ] = "read",
		[VDPAKIT_BLK_WRITE] = "write",
		[VDPAKIT_BLK_FLUSH] = "flush",
		[VDPAKIT_BLK_DISCARD] = "discard",
		[VDPAKIT_BLK_WRITE_ZEROES] = "write zeroes",
	};
	_Static_assert(ARRAY_SIZE(names) == VDPAKIT_BLK_OP_N, "one name each");

	return op < ARRAY_SIZE(names)
		       ? err(-EOPNOTSUPP, "%s: the device does not %s",
			     name_of(q), names[op])
		       : err(-EINVAL, "%s: there is no request of kind %u",
			     name_of(q), op);
}

/* ---- the pieces of a request ---- */

struct pieces {
	struct vq_sg sg[BLK_SEGMENTS_MAX + SGS_EXTRA];
	unsigned int n; /* so far */
	unsigned int n_max; /* room, without the status */
};

_hot_ void put(struct pieces *p, uint64_t iova, uint64_t len)
{
	p->sg[p->n].iova = iova;
	p->sg[p->n].len = (uint32_t)len;
	p->n++;
}

static int refuse_segments(const struct vdpakit_blk_queue *q)
{
	return err(-E2BIG,
		   "%s: more pieces than the %u, of %u bytes each, that it "
		   "takes",
		   name_of(q), q->limits.max_segments,
		   q->limits.max_segment_bytes);
}

static int put_long(struct vdpakit_blk_queue *q, struct pieces *p,
		    uint64_t iova, uint64_t len)
{
	while (len > 0) {
		uint64_t n = min_of(len, (uint64_t)q->limits.max_segment_bytes);

		if (p->n == p->n_max) {
			return refuse_segments(q);
		}
		put(p, iova, n);
		iova += n;
		len -= n;
	}
	return 0;
}

_hot_ int put_data(struct vdpakit_blk_queue *q, struct pieces *p,
		   const void *va, uint64_t len)
{
	uint64_t iova;

	if (unlikely(dma_iova(q->blk->vdev->dma, &q->cursor, va, len, &iova) <
		     0)) {
		return err(-EFAULT,
			   "%s: %llu bytes at %p are not in one piece of "
			   "memory of this bus: see vdpakit_mem_alloc()",
			   name_of(q), (unsigned long long)len, va);
	}
	if (likely(len <= q->limits.max_segment_bytes && p->n < p->n_max)) {
		put(p, iova, len);
		return 0;
	}
	return put_long(q, p, iova, len);
}

static int refuse_iov(const struct vdpakit_blk_queue *q,
		      const struct vdpakit_blk_req *req)
{
	return err(-EINVAL,
		   "%s: its %u pieces are not the %llu bytes of the request",
		   name_of(q), req->n_iov, (unsigned long long)req->len_bytes);
}

static int put_iov(struct vdpakit_blk_queue *q, struct pieces *p,
		   const struct vdpakit_blk_req *req)
{
	uint64_t left = req->len_bytes;

	for (unsigned int i = 0; i < req->n_iov; i++) {
		const struct iovec *iov = &req->iov[i];
		int ret;

		if (iov->iov_len > left) {
			return refuse_iov(q, req);
		}
		if (iov->iov_len == 0) {
			continue;
		}
		ret = put_data(q, p, iov->iov_base, iov->iov_len);
		if (ret < 0) {
			return ret;
		}
		left -= iov->iov_len;
	}
	return left == 0 ? 0 : refuse_iov(q, req);
}

/* ---- one request ---- */

_hot_ void set_header(struct blk_slot *slot, uint32_t type, uint64_t sector)
{
	slot->wire->hdr.type = htole32(type);
	slot->wire->hdr.ioprio = 0;
	slot->wire->hdr.sector = htole64(sector);
	__atomic_store_n(&slot->wire->status, STATUS_NONE, __ATOMIC_RELAXED);
}

_hot_ int post(struct vdpakit_blk_queue *q, struct pieces *p,
	       unsigned int n_readable, struct blk_slot *slot)
{
	put(p, slot->wire_iova + offsetof(struct blk_wire, status), 1);
	return virtqueue_add(q->vq, p->sg, n_readable, p->n - n_readable, slot);
}

_hot_ int add_data(struct vdpakit_blk_queue *q,
		   const struct vdpakit_blk_req *req, struct blk_slot *slot,
		   bool is_write)
{
	struct pieces p;
	int ret = check_range(q, req, q->limits.max_request_bytes);

	if (unlikely(ret < 0)) {
		return ret;
	}
	p.n = 0;
	p.n_max = q->limits.max_segments + 1;
	put(&p, slot->wire_iova, sizeof(slot->wire->hdr));
	ret = req->n_iov == 0 ? put_data(q, &p, req->buf, req->len_bytes)
			      : put_iov(q, &p, req);
	if (unlikely(ret < 0)) {
		return ret;
	}
	set_header(slot, is_write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
		   req->offset_bytes / BLK_SECTOR_BYTES);
	return post(q, &p, is_write ? p.n : 1, slot);
}

static int add_flush(struct vdpakit_blk_queue *q,
		     const struct vdpakit_blk_req *req, struct blk_slot *slot)
{
	struct pieces p = { .n = 0 };

	if (!q->limits.can_flush) {
		return refuse_op(q, req->op);
	}
	if (req->len_bytes != 0 || req->offset_bytes != 0) {
		return err(-EINVAL, "%s: a flush is of the whole disk",
			   name_of(q));
	}
	put(&p, slot->wire_iova, sizeof(slot->wire->hdr));
	set_header(slot, VIRTIO_BLK_T_FLUSH, 0);
	return post(q, &p, 1, slot);
}

/* Discard and write zeroes: one range. */
static int add_range(struct vdpakit_blk_queue *q,
		     const struct vdpakit_blk_req *req, struct blk_slot *slot,
		     uint32_t type, uint64_t max_bytes)
{
	struct virtio_blk_discard_write_zeroes *range = &slot->wire->range;
	bool unmaps = (req->flags & VDPAKIT_BLK_UNMAP) && q->limits.may_unmap;
	struct pieces p = { .n = 0 };
	int ret;

	if (max_bytes == 0) {
		return refuse_op(q, req->op);
	}
	ret = check_range(q, req, max_bytes);
	if (ret < 0) {
		return ret;
	}
	range->sector = htole64(req->offset_bytes / BLK_SECTOR_BYTES);
	range->num_sectors =
		htole32((uint32_t)(req->len_bytes / BLK_SECTOR_BYTES));
	range->flags = htole32(unmaps ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0);
	put(&p, slot->wire_iova, sizeof(slot->wire->hdr));
	put(&p, slot->wire_iova + offsetof(struct blk_wire, range),
	    sizeof(*range));
	set_header(slot, type, 0);
	return post(q, &p, 2, slot);
}

static int check_flags(const struct vdpakit_blk_queue *q,
		       const struct vdpakit_blk_req *req)
{
	if (req->flags == 0 || (req->flags == VDPAKIT_BLK_UNMAP &&
				req->op == VDPAKIT_BLK_WRITE_ZEROES)) {
		return 0;
	}
	return err(-EINVAL, "%s: flags 0x%x mean nothing to this request",
		   name_of(q), req->flags);
}

static int add_other(struct vdpakit_blk_queue *q,
		     const struct vdpakit_blk_req *req, struct blk_slot *slot)
{
	switch (req->op) {
	case VDPAKIT_BLK_FLUSH:
		return add_flush(q, req, slot);
	case VDPAKIT_BLK_DISCARD:
		return q->limits.is_read_only
			       ? refuse_write(q)
			       : add_range(q, req, slot, VIRTIO_BLK_T_DISCARD,
					   q->limits.max_discard_bytes);
	case VDPAKIT_BLK_WRITE_ZEROES:
		return q->limits.is_read_only
			       ? refuse_write(q)
			       : add_range(q, req, slot,
					   VIRTIO_BLK_T_WRITE_ZEROES,
					   q->limits.max_write_zeroes_bytes);
	default:
		return refuse_op(q, req->op);
	}
}

/* Return: 0; -ENOSPC the ring is full; as vdpakit_blk_add() */
_hot_ int add_one(struct vdpakit_blk_queue *q,
		  const struct vdpakit_blk_req *req)
{
	struct blk_slot *slot = q->free;
	int ret = 0;

	if (unlikely(!slot)) {
		return -ENOSPC;
	}
	if (unlikely(req->flags != 0)) {
		ret = check_flags(q, req);
	}
	if (unlikely(ret < 0)) {
		return ret;
	}
	if (likely(req->op == VDPAKIT_BLK_READ)) {
		ret = add_data(q, req, slot, false);
	} else if (likely(req->op == VDPAKIT_BLK_WRITE)) {
		ret = q->limits.is_read_only ? refuse_write(q)
					     : add_data(q, req, slot, true);
	} else {
		ret = add_other(q, req, slot);
	}
	if (likely(ret == 0)) {
		q->free = slot->next;
		slot->user = req->user;
		q->n_under_way++;
	}
	return ret;
}

int vdpakit_blk_add(struct vdpakit_blk_queue *q,
		    const struct vdpakit_blk_req *reqs, unsigned int n)
{
	int ret = virtqueue_check(q->vq);
	unsigned int i;

	for (i = 0; likely(ret == 0) && i < n; i++) {
		ret = add_one(q, &reqs[i]);
	}
	if (likely(ret == 0)) {
		return (int)i;
	}
	if (ret == -ENOSPC) {
		return (int)i - 1;
	}
	/* The ring broke: the device has. */
	if (ret == -EPROTO) {
		ret = err(-EIO, "%s: the device needs a reset", name_of(q));
	}
	return i > 1 ? (int)i - 1 : ret;
}

int vdpakit_blk_submit(struct vdpakit_blk_queue *q)
{
	int ret = virtqueue_check(q->vq);

	if (likely(ret == 0)) {
		virtqueue_kick(q->vq);
	}
	return ret;
}

unsigned int vdpakit_blk_n_under_way(const struct vdpakit_blk_queue *q)
{
	return q->n_under_way;
}

/* ---- results ---- */

_hot_ int result_of(uint8_t status)
{
	if (likely(status == VIRTIO_BLK_S_OK)) {
		return 0;
	}
	return status == VIRTIO_BLK_S_UNSUPP ? -EOPNOTSUPP : -EIO;
}

_hot_ void give_back(struct vdpakit_blk_queue *q, struct blk_slot *slot,
		     int result, struct vdpakit_blk_done *ret)
{
	ret->user = slot->user;
	ret->result = result;
	slot->next = q->free;
	q->free = slot;
	q->n_under_way--;
}

static unsigned int give_lost(struct vdpakit_blk_queue *q,
			      struct vdpakit_blk_done *ret, unsigned int max)
{
	unsigned int n;

	for (n = 0; n < max && q->lost; n++) {
		struct blk_slot *slot = q->lost;

		q->lost = slot->next;
		give_back(q, slot, -EIO, &ret[n]);
	}
	return n;
}

_hot_ int take_burst(struct vdpakit_blk_queue *q, struct vdpakit_blk_done *ret,
		     unsigned int max)
{
	struct vq_used used[BURST];
	int n = virtqueue_get(q->vq, used, min_of(max, (unsigned int)BURST));

	for (int i = 0; i < n; i++) {
		struct blk_slot *slot = used[i].cookie;
		uint8_t status =
			__atomic_load_n(&slot->wire->status, __ATOMIC_RELAXED);

		give_back(q, slot, result_of(status), &ret[i]);
	}
	return n;
}

/* Return: how many; what else there is to say is left to the next call. */
_hot_ unsigned int take(struct vdpakit_blk_queue *q,
			struct vdpakit_blk_done *ret, unsigned int max)
{
	unsigned int n = 0;

	if (unlikely(q->lost)) {
		n = give_lost(q, ret, max);
	}
	while (n < max) {
		int got = take_burst(q, ret + n, max - n);

		if (got <= 0) {
			break;
		}
		n += (unsigned int)got;
		if (got < BURST) {
			break;
		}
	}
	return n;
}

int vdpakit_blk_poll(struct vdpakit_blk_queue *q, struct vdpakit_blk_done *ret,
		     unsigned int max)
{
	int r = virtqueue_check_owner(q->vq);
	unsigned int n;

	if (unlikely(r < 0)) {
		return r;
	}
	if (unlikely(q->vq->is_armed)) {
		virtqueue_disarm(q->vq);
	}
	n = take(q, ret, max);
	return likely(n > 0) ? (int)n : virtqueue_check(q->vq);
}

/* ---- waiting ---- */

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int left_ms(uint64_t end_ms)
{
	uint64_t now = now_ms();

	return end_ms > now ? (int)(end_ms - now) : 0;
}

/* Return: 0: @min are there, or the time is up; -errno what poll or wait say */
static int collect(struct vdpakit_blk_queue *q, struct vdpakit_blk_done *ret,
		   unsigned int min, unsigned int max, unsigned int *n,
		   int timeout_ms)
{
	uint64_t end_ms = timeout_ms > 0 ? now_ms() + (uint64_t)timeout_ms : 0;

	for (;;) {
		int r = vdpakit_blk_poll(q, ret + *n, max - *n);

		if (r < 0) {
			return r;
		}
		*n += (unsigned int)r;
		if (*n >= min) {
			return 0;
		}
		if (q->lost) {
			continue;
		}
		r = virtqueue_wait(q->vq, timeout_ms > 0 ? left_ms(end_ms)
							 : timeout_ms);
		if (r <= 0) {
			return r;
		}
	}
}

int vdpakit_blk_wait(struct vdpakit_blk_queue *q, struct vdpakit_blk_done *ret,
		     unsigned int min, unsigned int max, int timeout_ms)
{
	unsigned int n = 0;
	int r = vdpakit_blk_submit(q);

	if (r == -EPERM) {
		return r;
	}
	/* Whatever else it says: what was done before is given first. */
	min = min_of(min, q->n_under_way);
	min = min_of(min, max);
	r = collect(q, ret, min, max, &n, timeout_ms);
	return n > 0 || r == 0 ? (int)n : r;
}

int vdpakit_blk_fd(const struct vdpakit_blk_queue *q)
{
	return q->vq->call_fd;
}

int vdpakit_blk_arm(struct vdpakit_blk_queue *q)
{
	int ret = virtqueue_check_owner(q->vq);

	if (ret < 0) {
		return ret;
	}
	return virtqueue_arm(q->vq) || q->lost ? 1 : 0;
}

/* ---- one at a time ---- */

static int run_one(struct vdpakit_blk_queue *q,
		   const struct vdpakit_blk_req *req)
{
	struct vdpakit_blk_done done;
	int ret = virtqueue_check(q->vq);

	if (ret < 0) {
		return ret;
	}
	if (q->n_under_way > 0) {
		return err(-EBUSY,
			   "%s.vq%u: %u requests are under way: poll for them "
			   "first",
			   name_of(q), q->vq->idx, q->n_under_way);
	}
	ret = vdpakit_blk_add(q, req, 1);
	if (ret < 0) {
		return ret;
	}
	do {
		ret = vdpakit_blk_wait(q, &done, 1, 1, -1);
	} while (ret == -EINTR);
	return ret < 0 ? ret : done.result;
}

int vdpakit_blk_read(struct vdpakit_blk_queue *q, void *buf, size_t len_bytes,
		     uint64_t offset_bytes)
{
	const struct vdpakit_blk_req req = {
		.op = VDPAKIT_BLK_READ,
		.offset_bytes = offset_bytes,
		.len_bytes = len_bytes,
		.buf = buf,
	};

	return run_one(q, &req);
}

int vdpakit_blk_write(struct vdpakit_blk_queue *q, const void *buf,
		      size_t len_bytes, uint64_t offset_bytes)
{
	const struct vdpakit_blk_req req = {
		.op = VDPAKIT_BLK_WRITE,
		.offset_bytes = offset_bytes,
		.len_bytes = len_bytes,
		.buf = (void *)(uintptr_t)buf, /* the device only reads it */
	};

	return run_one(q, &req);
}

int vdpakit_blk_flush(struct vdpakit_blk_queue *q)
{
	const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH };

	return run_one(q, &req);
}
