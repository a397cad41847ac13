/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues, device side: life cycle, snapshots, completion. See vq.h and
 * vq_internal.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "vq/inflight.h"
#include "vq/walk.h"

static const char *const break_names[] = {
	[VQ_OK] = "ok",
	[VQ_BREAK_HEAD] = "head out of range",
	[VQ_BREAK_IN_FLIGHT] = "head given twice",
	[VQ_BREAK_NEXT] = "next out of range",
	[VQ_BREAK_LOOP] = "chain longer than the queue",
	[VQ_BREAK_ORDER] = "readable descriptor after a writable one",
	[VQ_BREAK_INDIRECT] = "bad indirect table",
	[VQ_BREAK_INDIRECT_MEM] = "indirect table not mapped",
	[VQ_BREAK_AVAIL] = "more available than the queue holds",
	[VQ_BREAK_LENGTH] = "chain of 4 GiB or more",
	[VQ_BREAK_TOO_BIG] = "chain of too many pieces or copied bytes",
	[VQ_BREAK_INFLIGHT] = "inflight log makes no sense",
};
_Static_assert(ARRAY_SIZE(break_names) == VQ_BREAK_N, "a name for each");
_Static_assert(sizeof(struct vq_slot) == 2 * CACHE_LINE, "two lines a slot");

const char *vq_break_name(enum vq_break why)
{
	assert(why < VQ_BREAK_N);
	return break_names[why];
}

/* Takes the next @n * @size bytes at *cursor, on a cache line. */
static void *carve(uintptr_t *cursor, size_t n, size_t size)
{
	uintptr_t p = align_up(*cursor, CACHE_LINE);

	*cursor = p + n * size;
	return (void *)p;
}

unsigned int vq_pieces_max(uint16_t num_max)
{
	return max_of((unsigned int)num_max, (unsigned int)VQ_LARGE_MIN) +
	       VQ_LARGE_SPARE;
}

static void carve_pool(uintptr_t *cursor, struct vq_pool *pool)
{
	pool->mem = carve(cursor, (size_t)pool->n_blocks * pool->n_pieces,
			  sizeof(*pool->mem));
}

/*
 * All arrays of a queue in one block at @arena. What every queue writes stands
 * first: pages of what is large, and rarely used, are never touched. Return:
 * its end.
 */
static uintptr_t carve_all(struct vq *vq, uintptr_t arena)
{
	struct vq_pool *medium = &vq->pools[VQ_POOL_MEDIUM];
	struct vq_pool *large = &vq->pools[VQ_POOL_LARGE];
	size_t num = vq->num_max;
	uintptr_t at = arena;

	medium->n_pieces = VQ_MEDIUM_PIECES;
	medium->n_blocks = (uint16_t)min_of(num, (size_t)VQ_MEDIUM_BLOCKS);
	large->n_pieces = vq_pieces_max(vq->num_max);
	large->n_blocks = VQ_LARGE_BLOCKS;

	vq->is_busy = carve(&at, num, sizeof(*vq->is_busy));
	vq->order = carve(&at, num, sizeof(*vq->order));
	vq->done = carve(&at, num, sizeof(*vq->done));
	medium->free = carve(&at, medium->n_blocks, sizeof(*medium->free));
	large->free = carve(&at, large->n_blocks, sizeof(*large->free));
	vq->snaps = carve(&at, num + 1, sizeof(*vq->snaps));
	vq->slots = carve(&at, num, sizeof(*vq->slots));
	vq->bounces = carve(&at, num, sizeof(*vq->bounces));
	vq->table = carve(&at, num, sizeof(*vq->table));
	vq->walk_slot = carve(&at, 1, sizeof(*vq->walk_slot));
	vq->pieces = carve(&at, large->n_pieces, sizeof(*vq->pieces));
	vq->class_slots = carve(&at, num, vq->class_stride);
	carve_pool(&at, medium);
	carve_pool(&at, large);
	return at;
}

static void pools_reset(struct vq *vq)
{
	for (unsigned int i = 0; i < VQ_POOL_N; i++) {
		struct vq_pool *pool = &vq->pools[i];

		pool->n_free = 0;
		while (pool->n_free < pool->n_blocks) {
			uint16_t block = pool->n_free++;

			pool->free[block] = block;
		}
	}
}

/* As if no chain had been fetched. */
static void forget_chains(struct vq *vq)
{
	for (unsigned int i = 0; i < vq->num; i++) {
		vq->is_busy[i] = false;
		/* A slot that was never used need not be written. */
		if (vq->slots[i].flags) {
			vq->slots[i].flags = 0;
		}
	}
	vq->order_head = 0;
	vq->order_tail = 0;
	vq->n_done = 0;
	vq->n_held = 0;
	vq->n_unpublished = 0;
	vq->n_unpublished_descs = 0;
	vq->is_starved = false;
}

int vq_new(uint16_t num_max, size_t slot_bytes, struct vq **ret)
{
	struct vq *vq;
	uintptr_t end;

	if (num_max == 0 || num_max > VQ_NUM_MAX || slot_bytes > VQ_SLOT_MAX) {
		return err(-EINVAL,
			   "vq: size %u not in 1..%u, or slots of %zu "
			   "bytes too large",
			   num_max, VQ_NUM_MAX, slot_bytes);
	}
	vq = aligned_alloc(CACHE_LINE, sizeof(*vq));
	if (!vq) {
		return err(-ENOMEM, "vq: out of memory");
	}
	memset(vq, 0, sizeof(*vq));
	vq->num_max = num_max;
	vq->class_stride = align_up(slot_bytes, CACHE_LINE);
	end = carve_all(vq, 0);
	/* Zeroed pages that are never touched take no memory. */
	vq->arena = calloc(1, end + CACHE_LINE);
	if (!vq->arena) {
		free(vq);
		return err(-ENOMEM, "vq: out of memory for size %u", num_max);
	}
	(void)carve_all(vq, (uintptr_t)vq->arena);
	*ret = vq;
	return 0;
}

struct vq *vq_free(struct vq *vq)
{
	if (vq) {
		if (vq->is_started) {
			vq_stop(vq);
		}
		mem_log_unref(vq->log.log);
		free(vq->arena);
		free(vq);
	}
	return NULL;
}

int vq_break_with(struct vq *vq, enum vq_break why)
{
	if (vq->why_broken == VQ_OK) {
		vq->why_broken = (uint8_t)why;
		vq->has_to_prepare = true;
		vq_count(&vq->counters.n_breaks, 1);
	}
	return -EPROTO;
}

/* What stands between vq_fetch() and the ring, and vq_complete() and the done
 * list, but for few queues and moments. */
static void set_detours(struct vq *vq)
{
	vq->has_to_prepare =
		vq->why_broken != VQ_OK || vq->has_misses ||
		(vq->inflight &&
		 (!vq->inflight->is_ready || inflight_has_left(vq->inflight)));
	vq->has_to_finish = vq->is_in_order || vq->log.log;
	vq->has_dirty_log = vq->log.log;
	vq->has_inflight = vq->inflight;
}

void vq_set_log(struct vq *vq, const struct vq_log *log)
{
	struct mem_log *old = vq->log.log;

	vq->log = log ? *log : (struct vq_log){ 0 };
	if (vq->log.log) {
		mem_log_ref(vq->log.log);
	}
	mem_log_unref(old);
	set_detours(vq);
}

void vq_forgive(struct vq *vq)
{
	if (vq->why_broken != VQ_OK) {
		vq->why_broken = VQ_OK;
		set_detours(vq);
		vq_count(&vq->counters.n_breaks, (uint64_t)-1);
	}
}

/* The newest snapshot is @snap now; chains in flight keep theirs. */
static void snap_push(struct vq *vq, struct iotlb_snap *snap)
{
	struct vq_snap *ref = vq->free_snap;

	/* Each older one has a chain in flight, so num + 1 suffice. */
	assert(ref);
	vq->free_snap = ref->next_free;
	ref->snap = iotlb_snap_ref(snap);
	vq->snap = ref;
	vq->snap_idx = (uint16_t)(ref - vq->snaps);
}

static void snap_drop(struct vq *vq, struct vq_snap *ref)
{
	ref->snap = iotlb_snap_unref(ref->snap);
	ref->next_free = vq->free_snap;
	vq->free_snap = ref;
}

/* A chain of an older snapshot does not need it any more. */
static _cold_ void snap_put(struct vq *vq, struct vq_snap *ref)
{
	vq->n_old_chains--;
	if (--ref->n_chains == 0) {
		snap_drop(vq, ref);
	}
}

_hot_ void slot_put_snap(struct vq *vq, const struct vq_slot *slot)
{
	if (unlikely(slot->snap != vq->snap_idx)) {
		snap_put(vq, &vq->snaps[slot->snap]);
	}
}

static void snaps_reset(struct vq *vq)
{
	vq->free_snap = NULL;
	vq->snap = NULL;
	vq->n_old_chains = 0;
	for (unsigned int i = 0; i <= vq->num; i++) {
		vq->snaps[i].next_free = vq->free_snap;
		vq->free_snap = &vq->snaps[i];
	}
}

/* What was found in an older snapshot is found anew. */
static void vq_resolve(struct vq *vq)
{
	memset(vq->hits, 0, sizeof(vq->hits));
	memset(vq->older_hits, 0, sizeof(vq->older_hits));
	vq_area_resolve(vq, &vq->desc);
	vq_area_resolve(vq, &vq->driver);
	vq_area_resolve(vq, &vq->device);
	vq->is_direct = vq->desc.va && vq->driver.va && vq->device.va;
	vq->miss.perm = 0;
	if (vq->has_misses) {
		vq_areas_find_hole(vq);
	}
	vq->has_used_first = false;
	vq->kick = VQ_KICK_UNKNOWN;
}

static int check_setup(const struct vq *vq, const struct vq_setup *setup)
{
	bool is_packed = has_bit(setup->features, VIRTIO_F_RING_PACKED);

	if (setup->num == 0 || setup->num > vq->num_max) {
		return err(-EINVAL, "vq: size %u not in 1..%u", setup->num,
			   vq->num_max);
	}
	if (!is_packed && !is_pow2(setup->num)) {
		return err(-EINVAL, "vq: size %u is no power of two",
			   setup->num);
	}
	if (is_packed && (setup->state.avail_idx >= setup->num ||
			  setup->state.used_idx >= setup->num)) {
		return err(-EINVAL, "vq: state beyond size %u", setup->num);
	}
	return 0;
}

int vq_start(struct vq *vq, const struct vq_setup *setup,
	     struct iotlb_snap *snap)
{
	int rc;

	assert(!vq->is_started);
	rc = check_setup(vq, setup);
	if (rc == 0 && setup->inflight) {
		rc = inflight_start(vq, setup);
	}
	if (rc < 0) {
		return rc;
	}
	vq->num = setup->num;
	vq->features = setup->features;
	vq->is_packed = has_bit(setup->features, VIRTIO_F_RING_PACKED);
	vq->has_indirect =
		has_bit(setup->features, VIRTIO_RING_F_INDIRECT_DESC);
	vq->has_event_idx = has_bit(setup->features, VIRTIO_RING_F_EVENT_IDX);
	vq->is_in_order = has_bit(setup->features, VIRTIO_F_IN_ORDER);
	vq->has_misses = setup->has_misses;
	vq->keeps_iovas = setup->keeps_iovas;
	vq->why_broken = VQ_OK;
	set_detours(vq);
	vq->is_signalled_valid = false;
	pools_reset(vq);
	if (vq->is_packed) {
		packed_setup(vq, setup);
	} else {
		split_setup(vq, setup);
	}
	snaps_reset(vq);
	snap_push(vq, snap);
	vq_resolve(vq);
	vq->is_started = true;
	return 0;
}

void vq_stop(struct vq *vq)
{
	struct vq_state state;

	assert(vq->is_started);
	vq_get_state(vq, &state);
	vq->avail_idx = state.avail_idx;
	vq->avail_wrap = state.avail_wrap;
	inflight_stop(vq);
	for (unsigned int i = 0; i <= vq->num; i++) {
		vq->snaps[i].snap = iotlb_snap_unref(vq->snaps[i].snap);
	}
	forget_chains(vq);
	vq_bounce_free_all(vq);
	vq->snap = NULL;
	vq->n_old_chains = 0;
	vq->is_started = false;
}

bool vq_is_started(const struct vq *vq)
{
	return vq->is_started;
}

void vq_get_state(const struct vq *vq, struct vq_state *ret)
{
	/* What the inflight log still has is neither fetched nor in the ring. */
	uint32_t n_left = vq->inflight ? vq->inflight->n_left_descs : 0;

	*ret = (struct vq_state){ .avail_idx = vq->avail_idx };
	if (!vq->is_packed) {
		ret->avail_idx =
			(uint16_t)(vq->avail_idx - vq->n_unpublished - n_left);
		return;
	}
	ret->avail_wrap = vq->avail_wrap;
	vq_step_back(vq, &ret->avail_idx, &ret->avail_wrap,
		     vq->n_unpublished_descs + n_left);
	ret->used_idx = vq->used_idx;
	ret->used_wrap = vq->used_wrap;
}

void vq_set_snap(struct vq *vq, struct iotlb_snap *snap)
{
	struct vq_snap *old = vq->snap;
	uint32_t n;

	if (!vq->is_started || old->snap == snap) {
		return;
	}
	/* All that is not completed is of this one or of those before. */
	n = vq_n_order(vq) - vq->n_held - vq->n_old_chains;
	if (vq->keeps_iovas) {
		n = 0; /* the new one takes the old one's place in snaps[] */
	}
	if (n == 0) {
		snap_drop(vq, old);
	}
	old->n_chains = n;
	vq->n_old_chains += n;
	snap_push(vq, snap);
	vq_resolve(vq);
	if (vq->inflight) {
		vq->inflight->is_waiting = false;
	}
}

const struct iotlb_snap *vq_snap(const struct vq *vq)
{
	return vq->snap->snap;
}

bool vq_has_old_chains(const struct vq *vq)
{
	return vq->n_old_chains > 0;
}

/* Why a burst ended early, as vq_fetch() says it. */
static _cold_ int fetch_ended(struct vq *vq, unsigned int n, int rc)
{
	if (rc == VQ_STARVED) {
		vq->is_starved = true;
		return (int)n;
	}
	if (vq->miss.perm) {
		vq_count(&vq->counters.n_misses, 1);
	}
	/* What is wrong is met again, first of the next burst. */
	if (n > 0) {
		return (int)n;
	}
	return rc > 0 ? vq_break_with(vq, (enum vq_break)rc) : rc;
}

static int fetch_again(struct vq *vq, struct vq_chain **ret_chains,
		       unsigned int max)
{
	int rc = 0;
	unsigned int n = inflight_fetch(vq, ret_chains, max, &rc);

	vq->n_unpublished += n;
	vq_count(&vq->counters.n_chains, n);
	vq->is_starved = false;
	set_detours(vq);
	return rc == 0 ? (int)n : fetch_ended(vq, n, rc);
}

/* The ring is all there, and what the inflight log says is known, and done.
 * Return: 0; chains that were in flight; -EAGAIN; -EPROTO */
static _cold_ int prepare_fetch(struct vq *vq, struct vq_chain **ret_chains,
				unsigned int max)
{
	int rc;

	if (vq->why_broken) {
		return -EPROTO;
	}
	vq->is_starved = false;
	vq->miss = vq->ring_miss;
	if (vq->miss.perm) {
		return fetch_ended(vq, 0, -EAGAIN);
	}
	if (!vq->inflight) {
		return 0;
	}
	if (!vq->inflight->is_ready) {
		rc = inflight_recover(vq);
		set_detours(vq);
		if (rc) {
			return fetch_ended(vq, 0, rc);
		}
	}
	return inflight_has_left(vq->inflight)
		       ? fetch_again(vq, ret_chains, max)
		       : 0;
}

/* From the ring, with a log: what cannot be noted stays where it is. */
static _cold_ unsigned int fetch_noted(struct vq *vq, struct vq_chain **chains,
				       unsigned int n, int *ret_rc)
{
	unsigned int n_noted = inflight_fetched(vq, chains, n);

	if (n_noted < n) {
		vq_unfetch(vq, n - n_noted);
		*ret_rc = -EAGAIN;
	}
	return n_noted;
}

int vq_fetch(struct vq *vq, struct vq_chain **ret_chains, unsigned int max)
{
	unsigned int n;
	int rc = 0;

	assert(vq->is_started);
	assert(max <= VQ_BURST_MAX);
	if (unlikely(vq->has_to_prepare)) {
		rc = prepare_fetch(vq, ret_chains, max);
		if (rc != 0 || vq->is_starved) {
			return rc;
		}
	}
	n = vq->is_packed ? packed_fetch(vq, ret_chains, max, &rc)
			  : split_fetch(vq, ret_chains, max, &rc);
	vq->n_unpublished += n;
	vq_count(&vq->counters.n_chains, n);
	if (unlikely(vq->has_inflight)) {
		n = fetch_noted(vq, ret_chains, n, &rc);
	}
	vq->is_starved = false;
	return likely(rc == 0) ? (int)n : fetch_ended(vq, n, rc);
}

static void unfetch_one(struct vq *vq)
{
	struct vq_slot *slot;
	bool is_of_ring;
	uint16_t head;

	vq->order_tail = (uint16_t)((vq->order_tail ?: vq->num) - 1);
	head = vq->order[vq->order_tail];
	slot = &vq->slots[head];
	assert(vq->is_busy[head]);
	assert(!(slot->flags & SLOT_IS_DONE));
	vq->is_busy[head] = false;
	walk_release(vq, slot);
	slot_put_snap(vq, slot);
	if (slot->chain.is_faulty) {
		vq_count(&vq->counters.n_faults, (uint64_t)-1);
	}
	is_of_ring = !vq->inflight || !inflight_unfetched(vq, head);
	if (vq->is_packed) {
		vq->n_unpublished_descs -= slot->chain.n_descs;
	}
	if (is_of_ring && vq->is_packed) {
		vq_step_back(vq, &vq->avail_idx, &vq->avail_wrap,
			     slot->chain.n_descs);
	} else if (is_of_ring) {
		vq->avail_idx--;
	}
}

void vq_unfetch(struct vq *vq, unsigned int n)
{
	assert(n <= vq_n_order(vq));
	for (unsigned int i = 0; i < n; i++) {
		unfetch_one(vq);
	}
	vq->n_unpublished -= n;
	vq_count(&vq->counters.n_chains, -(uint64_t)n);
	vq->is_starved = false;
	set_detours(vq);
}

_hot_ void push_done(struct vq *vq, const struct vq_slot *slot,
		     uint32_t written)
{
	struct vq_done *done = &vq->done[vq->n_done++];

	done->id = slot->chain.head;
	done->n_descs = slot->chain.n_descs;
	done->len = written;
}

/* Puts the oldest chains on the done list as far as they are completed. */
static void push_done_in_order(struct vq *vq)
{
	while (vq_n_order(vq)) {
		struct vq_slot *slot = &vq->slots[vq->order[vq->order_head]];

		if (!(slot->flags & SLOT_IS_DONE)) {
			break;
		}
		slot->flags = 0;
		push_done(vq, slot, slot->written);
		vq->n_held--;
		vq->order_head++;
		if (vq->order_head == vq->num) {
			vq->order_head = 0;
		}
	}
}

/* Has a block or copies, or an older snapshot, must wait its turn, or is to be
 * marked as written. */
static __attribute__((noinline)) void
complete_odd(struct vq *vq, struct vq_slot *slot, uint32_t written)
{
	if (vq->log.log) {
		vq_dirty_chain(vq, &slot->chain, written);
	}
	if (slot->flags) {
		if (slot->flags & SLOT_HAS_COPIES) {
			written = vq_bounce_out(vq, slot, written);
		}
		walk_release(vq, slot);
		vq->is_starved = false;
	}
	slot_put_snap(vq, slot);
	if (!vq->is_in_order) {
		push_done(vq, slot, written);
		return;
	}
	slot->written = written;
	slot->flags = SLOT_IS_DONE;
	vq->n_held++;
	push_done_in_order(vq);
}

_hot_ void complete_one(struct vq *vq, struct vq_chain *chain, uint32_t written)
{
	struct vq_slot *slot = container_of(chain, struct vq_slot, chain);

	assert(vq->is_busy[chain->head]);
	assert(written <= chain->writable_bytes);
	assert(chain->tail_bytes <= written);
	if (unlikely(slot->flags || slot->snap != vq->snap_idx ||
		     vq->has_to_finish)) {
		complete_odd(vq, slot, written);
	} else {
		push_done(vq, slot, written);
	}
}

void vq_complete(struct vq *vq, struct vq_chain *chain, uint32_t written)
{
	complete_one(vq, chain, written);
}

void vq_complete_all(struct vq *vq, struct vq_chain *const *chains,
		     const uint32_t *written, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		complete_one(vq, chains[i], written ? written[i] : 0);
	}
}

/* The heads on the done list are the driver's again. */
static void retire_done(struct vq *vq)
{
	uint32_t n_descs = 0;

	for (uint32_t i = 0; i < vq->n_done; i++) {
		vq->is_busy[vq->done[i].id] = false;
		n_descs += vq->done[i].n_descs;
	}
	vq_count(&vq->counters.n_completed, vq->n_done);
	vq->n_unpublished -= vq->n_done;
	vq->n_unpublished_descs -= n_descs;
	vq->n_done = 0;
	vq->is_starved = false;
}

bool vq_publish(struct vq *vq)
{
	bool wants_call;
	int rc;

	if (vq->n_done == 0) {
		return false;
	}
	if (unlikely(vq->has_inflight)) {
		inflight_publish(vq);
	}
	rc = vq->is_packed ? packed_put_used(vq) : split_put_used(vq);
	if (unlikely(rc < 0)) {
		vq_count(&vq->counters.n_stalls, 1);
		if (vq->ring_miss.perm) {
			vq->miss = vq->ring_miss;
		}
		return false;
	}
	if (unlikely(vq->has_inflight)) {
		inflight_published(vq);
	}
	retire_done(vq);
	/* Our used index before their wish; pairs with vq_driver.c. */
	shm_full_barrier();
	wants_call = vq->is_packed ? packed_wants_call(vq)
				   : split_wants_call(vq);
	vq_count(wants_call ? &vq->counters.n_calls
			    : &vq->counters.n_calls_saved,
		 1);
	return wants_call;
}

bool vq_is_stalled(const struct vq *vq)
{
	return vq->n_done > 0;
}

static void set_kick(struct vq *vq, bool is_enabled)
{
	if (vq->is_packed) {
		packed_set_kick(vq, is_enabled);
	} else {
		split_set_kick(vq, is_enabled);
	}
}

void vq_disable_kick(struct vq *vq)
{
	if (vq->why_broken == VQ_OK) {
		set_kick(vq, false);
	}
}

/* Until the inflight log was looked at nobody knows where the ring goes on. */
static bool has_log_to_read(const struct vq *vq)
{
	return vq->inflight && !vq->inflight->is_ready;
}

bool vq_enable_kick(struct vq *vq)
{
	if (vq->why_broken != VQ_OK || has_log_to_read(vq)) {
		return vq_has_available(vq);
	}
	set_kick(vq, true);
	/* Our wish before their index; pairs with vq_driver.c. */
	shm_full_barrier();
	return vq_has_available(vq);
}

bool vq_has_available(struct vq *vq)
{
	if (vq->why_broken != VQ_OK || vq->is_starved || vq->miss.perm) {
		return false;
	}
	if (unlikely(vq->inflight) &&
	    (!vq->inflight->is_ready || inflight_has_left(vq->inflight))) {
		return !vq->inflight->is_waiting;
	}
	return vq->is_packed ? packed_has_available(vq)
			     : split_has_available(vq);
}

bool vq_get_miss(const struct vq *vq, uint64_t *ret_iova, uint32_t *ret_perm)
{
	if (!vq->miss.perm) {
		return false;
	}
	*ret_iova = vq->miss.iova;
	*ret_perm = vq->miss.perm;
	return true;
}

bool vq_is_starved(const struct vq *vq)
{
	return vq->is_starved;
}

unsigned int vq_n_in_flight(const struct vq *vq)
{
	return vq->is_in_order ? vq->n_unpublished : vq_n_order(vq);
}

enum vq_break vq_broken(const struct vq *vq)
{
	return (enum vq_break)vq->why_broken;
}

uint16_t vq_num(const struct vq *vq)
{
	return vq->num;
}

uint64_t vq_features(const struct vq *vq)
{
	return vq->features;
}

const struct vq_counters *vq_counters(const struct vq *vq)
{
	return &vq->counters;
}

void *vq_slot(struct vq *vq, const struct vq_chain *chain)
{
	return vq->class_slots + chain->head * vq->class_stride;
}
