/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split rings, device side.
 *
 * Theory of operation
 *
 * The driver area has the driver's index and, ring-wise, heads of chains; the
 * device area our index and what we used. Ours is read once a burst, and only
 * when what was seen before is used up; theirs is stored once a burst, after
 * the elements.
 *
 *   driver area   flags idx ring[num]:16    used_event:16
 *   device area   flags idx ring[num]:{id:32 len:32} avail_event:16
 *
 * Fetching exists twice from one text: with the areas in place, and through
 * copies. In the second case what must not be torn is our index: it goes out
 * in one write of eight bytes (flags, idx and ring[0].id, all of them ours),
 * since words of eight are what the kernel copies whole. A torn avail_event
 * does no harm: we look at the driver's index again after writing it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <linux/virtio_config.h>
#include <string.h>

#include "vq/walk.h"

#define AVAIL_FLAGS	0
#define AVAIL_IDX	2
#define AVAIL_RING	4
#define USED_FLAGS	0
#define USED_IDX	2
#define USED_RING	4
#define USED_ELEM_BYTES 8
#define PUBLISH_CHUNK	64

_hot_ __le16 *at16(const struct vq_area *area, size_t off)
{
	return (__le16 *)(area->va + off);
}

_hot_ uint16_t ring_off(const struct vq *vq, uint16_t idx)
{
	return idx & (uint16_t)(vq->num - 1);
}

void split_setup(struct vq *vq, const struct vq_setup *setup)
{
	size_t event = vq->has_event_idx ? sizeof(__le16) : 0;
	size_t num = vq->num;

	vq_area_init(&vq->desc, setup->desc_area, num * SHM_DESC_SIZE,
		     MEM_PERM_RO, 8);
	vq_area_init(&vq->driver, setup->driver_area,
		     AVAIL_RING + num * sizeof(__le16) + event, MEM_PERM_RO, 2);
	/* With an inflight log our index is read back. */
	vq_area_init(&vq->device, setup->device_area,
		     USED_RING + num * USED_ELEM_BYTES + event,
		     setup->inflight ? MEM_PERM_RW : MEM_PERM_WO, 4);
	vq->avail_idx = setup->state.avail_idx;
	vq->used_idx = setup->state.avail_idx;
	vq->avail_seen = vq->avail_idx;
	vq->has_used_first = false;
}

/* The driver's index. Pairs with [avail-idx] in split_driver.c. */
_hot_ int load_avail_idx(struct vq *vq, uint16_t *ret, bool is_direct)
{
	if (is_direct) {
		*ret = shm_load_acq16(at16(&vq->driver, AVAIL_IDX));
		return 0;
	}
	return vq_area_read16(vq, &vq->driver, AVAIL_IDX, ret) < 0 ? -EAGAIN
								   : 0;
}

/* Return: chains that can be fetched; -EAGAIN; enum vq_break in *why. */
_hot_ int count_available(struct vq *vq, enum vq_break *why, bool is_direct)
{
	uint16_t idx;
	int rc;

	if (vq->avail_seen != vq->avail_idx) {
		return (uint16_t)(vq->avail_seen - vq->avail_idx);
	}
	rc = load_avail_idx(vq, &idx, is_direct);
	if (rc < 0) {
		return rc;
	}
	if (unlikely((uint16_t)(idx - vq->avail_idx) > vq->num)) {
		*why = VQ_BREAK_AVAIL;
		return 0;
	}
	vq->avail_seen = idx;
	return (uint16_t)(idx - vq->avail_idx);
}

_hot_ int load_heads(struct vq *vq, uint16_t *heads, unsigned int n,
		     bool is_direct)
{
	unsigned int first = ring_off(vq, vq->avail_idx);
	unsigned int n_first = min_of(n, vq->num - first);
	uint64_t off = AVAIL_RING + first * sizeof(__le16);

	if (is_direct) {
		for (unsigned int i = 0; i < n; i++) {
			uint16_t at = ring_off(vq, (uint16_t)(first + i));

			heads[i] = shm_load16(
				at16(&vq->driver, AVAIL_RING + 2U * at));
		}
		return 0;
	}
	if (vq_area_read(vq, &vq->driver, off, heads,
			 n_first * sizeof(__le16)) < 0 ||
	    vq_area_read(vq, &vq->driver, AVAIL_RING, heads + n_first,
			 (n - n_first) * sizeof(__le16)) < 0) {
		return -EAGAIN;
	}
	for (unsigned int i = 0; i < n; i++) {
		heads[i] = le16toh(heads[i]);
	}
	return 0;
}

_hot_ int load_desc(struct vq *vq, uint16_t idx, struct shm_desc *ret,
		    bool is_direct)
{
	struct shm_desc_ring raw;

	if (is_direct) {
		*ret = shm_load_desc((struct shm_desc_ring *)vq->desc.va + idx);
		return 0;
	}
	if (vq_area_read(vq, &vq->desc, (uint64_t)idx * SHM_DESC_SIZE, &raw,
			 sizeof(raw)) < 0) {
		return -EAGAIN;
	}
	*ret = shm_load_desc(&raw);
	return 0;
}

/* From the first descriptor @d on, to the last. */
_hot_ int walk_descs(struct vq *vq, struct walk *w, struct shm_desc d,
		     bool is_direct)
{
	/* Ends: walk_add() takes num descriptors at most. */
	for (;;) {
		uint16_t flags = shm_split_flags(d.meta);
		uint32_t len = shm_desc_len(d.meta);
		uint16_t next = shm_split_next(d.meta);
		int rc;

		if (flags & VRING_DESC_F_INDIRECT) {
			return flags & VRING_DESC_F_NEXT
				       ? VQ_BREAK_INDIRECT
				       : walk_indirect(vq, w, d.addr, len);
		}
		rc = walk_add(vq, w, d.addr, len, flags & VRING_DESC_F_WRITE);
		if (rc || !(flags & VRING_DESC_F_NEXT)) {
			return rc;
		}
		if (unlikely(next >= vq->num)) {
			return VQ_BREAK_NEXT;
		}
		rc = load_desc(vq, next, &d, is_direct);
		if (unlikely(rc)) {
			return rc;
		}
	}
}

/* The chain of any kind that begins at @head. Return: as the walk */
static __attribute__((noinline)) int fetch_any(struct vq *vq, uint16_t head,
					       struct vq_chain **ret_chain,
					       bool is_direct)
{
	struct shm_desc d;
	struct walk w;
	int rc;

	if (head >= vq->num) {
		return VQ_BREAK_HEAD;
	}
	if (vq->is_busy[head]) {
		return VQ_BREAK_IN_FLIGHT;
	}
	rc = is_direct ? load_desc(vq, head, &d, true)
		       : load_desc(vq, head, &d, false);
	if (rc) {
		return rc;
	}
	walk_init(vq, &w, &vq->slots[head]);
	rc = is_direct ? walk_descs(vq, &w, d, true)
		       : walk_descs(vq, &w, d, false);
	if (rc == 0) {
		rc = walk_finish(vq, &w);
	}
	if (unlikely(rc)) {
		walk_abort(vq, &w);
		return rc;
	}
	w.slot->chain.head = head;
	w.slot->chain.n_descs = 1;
	vq_fetched(vq, w.slot, head, &vq->order_tail);
	*ret_chain = &w.slot->chain;
	return 0;
}

/*
 * Chains of one descriptor in the memory that was hit last: most frames are
 * such, so this loop is kept free of all else.
 */
static unsigned int fetch_singles(struct vq *vq, const uint16_t *heads,
				  struct vq_chain **ret_chains, unsigned int n)
{
	const struct shm_desc_ring *ring =
		(const struct shm_desc_ring *)vq->desc.va;
	uint16_t order_tail = vq->order_tail;
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint16_t head = heads[i], flags;
		struct vq_slot *slot;
		struct shm_desc d;

		if (unlikely(head >= vq->num || vq->is_busy[head])) {
			break;
		}
		slot = &vq->slots[head];
		d = shm_load_desc(&ring[head]);
		flags = shm_split_flags(d.meta);
		if (flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT) ||
		    !walk_single(vq, slot, head, d.addr, shm_desc_len(d.meta),
				 flags & VRING_DESC_F_WRITE)) {
			break;
		}
		vq_fetched(vq, slot, head, &order_tail);
		ret_chains[i] = &slot->chain;
	}
	vq->order_tail = order_tail;
	return i;
}

/* The chains of @heads. Return: 0, or why there were only *ret_n of them */
static int fetch_heads(struct vq *vq, const uint16_t *heads,
		       struct vq_chain **ret_chains, unsigned int n,
		       unsigned int *ret_n)
{
	unsigned int i = 0;
	int rc = 0;

	while (i < n && rc == 0) {
		if (likely(vq->is_direct)) {
			i += fetch_singles(vq, heads + i, ret_chains + i,
					   n - i);
		}
		if (i < n) {
			rc = fetch_any(vq, heads[i], &ret_chains[i],
				       vq->is_direct);
			i += rc == 0;
		}
	}
	*ret_n = i;
	return rc;
}

unsigned int split_fetch(struct vq *vq, struct vq_chain **ret_chains,
			 unsigned int max, int *ret_rc)
{
	uint16_t heads[VQ_BURST_MAX];
	enum vq_break why = VQ_OK;
	bool is_direct = likely(vq->is_direct);
	unsigned int n;
	int rc = is_direct ? count_available(vq, &why, true)
			   : count_available(vq, &why, false);

	if (rc <= 0) {
		*ret_rc = rc < 0 ? rc : (int)why;
		return 0;
	}
	n = min_of((unsigned int)rc, max);
	rc = is_direct ? load_heads(vq, heads, n, true)
		       : load_heads(vq, heads, n, false);
	if (rc < 0) {
		*ret_rc = rc;
		return 0;
	}
	*ret_rc = fetch_heads(vq, heads, ret_chains, n, &n);
	vq->avail_idx = (uint16_t)(vq->avail_idx + n);
	return n;
}

/* One chain, whatever the driver area says. Return: as the walk */
int split_fetch_head(struct vq *vq, uint16_t head, struct vq_chain **ret_chain)
{
	return fetch_any(vq, head, ret_chain, vq->is_direct);
}

/* The index that was published last, by whoever owned the ring before. */
int split_load_used_idx(struct vq *vq, uint16_t *ret)
{
	if (likely(vq->is_direct)) {
		*ret = shm_load16(at16(&vq->device, USED_IDX));
		return 0;
	}
	return vq_area_read16(vq, &vq->device, USED_IDX, ret);
}

/* The ring goes on behind what is in flight. */
void split_set_idx(struct vq *vq, uint16_t used_idx, uint16_t n_in_flight)
{
	vq->used_idx = used_idx;
	vq->avail_idx = (uint16_t)(used_idx + n_in_flight);
	vq->avail_seen = vq->avail_idx;
}

static void store_used(struct vq *vq, uint32_t n)
{
	char *ring = vq->device.va + USED_RING;

	for (uint32_t i = 0; i < n; i++) {
		const struct vq_done *done = &vq->done[i];
		uint16_t at = ring_off(vq, (uint16_t)(vq->used_idx + i));
		__le32 *elem = (__le32 *)(ring + at * USED_ELEM_BYTES);

		shm_store32(&elem[0], done->id);
		shm_store32(&elem[1], done->len);
	}
	/* [used-idx], pairs with split_driver.c */
	shm_store_rel16(at16(&vq->device, USED_IDX),
			(uint16_t)(vq->used_idx + n));
}

/* Elements of the done list, from @from on, to one run of the ring. */
static int write_used_run(struct vq *vq, uint32_t from, uint32_t n)
{
	uint16_t at = ring_off(vq, (uint16_t)(vq->used_idx + from));
	__le32 elems[PUBLISH_CHUNK][2];

	for (uint32_t i = 0; i < n; i++) {
		elems[i][0] = shm_to_le32(vq->done[from + i].id);
		elems[i][1] = shm_to_le32(vq->done[from + i].len);
	}
	if (at == 0) {
		vq->used_first_id = elems[0][0];
		vq->has_used_first = true;
	}
	return vq_area_write(vq, &vq->device, USED_RING + at * USED_ELEM_BYTES,
			     elems, n * sizeof(elems[0]));
}

/*
 * Our flags and index, in one word of eight bytes with ring[0].id. If that was
 * not written by us yet it is what an earlier device left there. Where the
 * driver does not let us read it, four bytes must do.
 */
static int write_used_first(struct vq *vq, uint16_t idx)
{
	struct {
		__le16 flags;
		__le16 idx;
		__le32 first_id;
	} first = { .idx = shm_to_le16(idx) };
	size_t len = sizeof(first);

	if (vq->kick == VQ_KICK_DISABLED) {
		first.flags = shm_to_le16(VRING_USED_F_NO_NOTIFY);
	}
	if (!vq->has_used_first) {
		vq->has_used_first = vq_area_read(vq, &vq->device, USED_RING,
						  &vq->used_first_id,
						  sizeof(vq->used_first_id)) ==
				     0;
	}
	first.first_id = vq->used_first_id;
	if (!vq->has_used_first) {
		len = USED_RING;
	}
	shm_release_barrier();
	return vq_area_write(vq, &vq->device, 0, &first, len);
}

/* The same in pieces that do not wrap. */
static int write_used(struct vq *vq, uint32_t n)
{
	uint32_t n_run;

	for (uint32_t from = 0; from < n; from += n_run) {
		uint16_t at = ring_off(vq, (uint16_t)(vq->used_idx + from));
		int rc;

		n_run = min_of(n - from, (uint32_t)vq->num - at);
		n_run = min_of(n_run, (uint32_t)PUBLISH_CHUNK);
		rc = write_used_run(vq, from, n_run);
		if (rc < 0) {
			return rc;
		}
	}
	return write_used_first(vq, (uint16_t)(vq->used_idx + n));
}

/* Elements from used_idx on, and the word of flags, index and first id. */
static _cold_ void mark_used(struct vq *vq, uint32_t n)
{
	uint32_t at = ring_off(vq, vq->used_idx);
	uint32_t n_first = min_of(n, vq->num - at);

	vq_dirty_area(vq, &vq->device, USED_RING + at * USED_ELEM_BYTES,
		      n_first * USED_ELEM_BYTES);
	vq_dirty_area(vq, &vq->device, 0,
		      USED_RING + max_of((n - n_first) * USED_ELEM_BYTES,
					 (uint32_t)sizeof(__le32)));
}

/* Shows the done list. Return: 0; -EFAULT: nothing was published */
int split_put_used(struct vq *vq)
{
	int rc = 0;

	if (likely(vq->is_direct)) {
		store_used(vq, vq->n_done);
	} else {
		rc = write_used(vq, vq->n_done);
	}
	if (unlikely(vq->has_dirty_log)) {
		mark_used(vq, vq->n_done);
	}
	if (unlikely(rc < 0)) {
		return -EFAULT;
	}
	vq->used_idx = (uint16_t)(vq->used_idx + vq->n_done);
	return 0;
}

static int load_driver16(struct vq *vq, uint64_t off, uint16_t *ret)
{
	if (likely(vq->is_direct)) {
		*ret = shm_load16(at16(&vq->driver, off));
		return 0;
	}
	return vq_area_read16(vq, &vq->driver, off, ret);
}

/* After a full barrier. When in doubt a call is wanted. */
bool split_wants_call(struct vq *vq)
{
	uint16_t old_idx = vq->signalled_idx;
	bool is_valid = vq->is_signalled_valid;
	uint16_t v;

	if (!vq->has_event_idx) {
		return load_driver16(vq, AVAIL_FLAGS, &v) < 0 ||
		       !(v & VRING_AVAIL_F_NO_INTERRUPT);
	}
	vq->signalled_idx = vq->used_idx;
	vq->is_signalled_valid = true;
	return !is_valid ||
	       load_driver16(vq, AVAIL_RING + 2U * vq->num, &v) < 0 ||
	       shm_crossed(v, vq->used_idx, old_idx);
}

static int store_device16(struct vq *vq, size_t off, uint16_t v)
{
	__le16 raw = shm_to_le16(v);
	int rc = 0;

	if (likely(vq->is_direct)) {
		shm_store16(at16(&vq->device, off), v);
	} else {
		rc = vq_area_write(vq, &vq->device, off, &raw, sizeof(raw));
	}
	if (unlikely(vq->has_dirty_log)) {
		vq_dirty_area(vq, &vq->device, off, sizeof(raw));
	}
	return rc;
}

/* With the event index, an event that lies behind is as good as "no". */
void split_set_kick(struct vq *vq, bool is_enabled)
{
	uint8_t wanted = is_enabled ? VQ_KICK_ENABLED : VQ_KICK_DISABLED;
	uint16_t flags = is_enabled ? 0 : VRING_USED_F_NO_NOTIFY;

	if (vq->has_event_idx) {
		if (is_enabled) {
			/* If it is not mapped, nor is what it would announce. */
			(void)store_device16(
				vq, USED_RING + vq->num * USED_ELEM_BYTES,
				vq->avail_idx);
		}
		return;
	}
	if (vq->kick != wanted) {
		vq->kick = store_device16(vq, USED_FLAGS, flags) < 0
				   ? VQ_KICK_UNKNOWN
				   : wanted;
	}
}

bool split_has_available(struct vq *vq)
{
	uint16_t idx;

	if (vq->avail_seen != vq->avail_idx) {
		return true;
	}
	return (vq->is_direct ? load_avail_idx(vq, &idx, true)
			      : load_avail_idx(vq, &idx, false)) == 0 &&
	       idx != vq->avail_idx;
}
