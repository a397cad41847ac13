/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: rings.
 *
 * What the front end says about a ring is kept, and looked at as a whole after
 * each message: a ring that is started and enabled, with addresses, is given
 * to the device with all that is known about it; otherwise it is taken away,
 * and where it stood is kept. Only what a network device sends is given to it
 * disabled, too: to be discarded.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/vhost_user_internal.h"

#define SPLIT_NUM_MAX  32768
#define PACKED_IDX     0x7fffU
#define PACKED_WRAP    0x8000U
#define PACKED_INITIAL 0x80008000U

static bool is_packed(const struct vhost_user *vu)
{
	return has_bit(vu->features, VIRTIO_F_RING_PACKED);
}

/* ---- where a ring stands ---- */

static struct vdpa_vq_state decode_state(bool packed, uint32_t num)
{
	struct vdpa_vq_state state = { .avail_idx = (uint16_t)num };

	if (packed) {
		state.avail_idx = num & PACKED_IDX;
		state.avail_wrap = num & PACKED_WRAP;
		state.used_idx = (num >> 16) & PACKED_IDX;
		state.used_wrap = (num >> 16) & PACKED_WRAP;
	}
	return state;
}

static uint32_t encode_state(bool packed, const struct vdpa_vq_state *state)
{
	if (!packed) {
		return state->avail_idx;
	}
	return (state->avail_idx & PACKED_IDX) |
	       (state->avail_wrap ? PACKED_WRAP : 0) |
	       (uint32_t)(state->used_idx & PACKED_IDX) << 16 |
	       (state->used_wrap ? PACKED_WRAP << 16 : 0);
}

/* As the front end said, in the format that was agreed on since. */
static uint32_t base_of(const struct vhost_user_ring *ring)
{
	if (ring->has_base) {
		return ring->base;
	}
	return is_packed(ring->vu) ? PACKED_INITIAL : 0;
}

/* ---- start and stop ---- */

static int find_areas(const struct vhost_user_ring *ring,
		      const struct vhost_user_mem *mem,
		      struct vhost_user_ring_areas *ret)
{
	const struct vhost_vring_addr *a = &ring->addr;
	int r;

	if (vhost_user_has_iommu(ring->vu)) {
		*ret = (struct vhost_user_ring_areas){ a->desc_user_addr,
						       a->avail_user_addr,
						       a->used_user_addr };
		return 0;
	}
	r = vhost_user_mem_translate(mem, a->desc_user_addr, &ret->desc);
	if (r == 0) {
		r = vhost_user_mem_translate(mem, a->avail_user_addr,
					     &ret->driver);
	}
	if (r == 0) {
		r = vhost_user_mem_translate(mem, a->used_user_addr,
					     &ret->device);
	}
	return r;
}

/*
 * A disabled ring is to be processed without side effects. For what a network
 * device sends that is to discard it. What it receives into, and requests of
 * other devices, just wait. Return: may the ring run though it is disabled?
 */
static bool set_discard(struct vhost_user_ring *ring)
{
	struct vdpa_device *vdev = ring->vu->vdev;
	bool sends = ring->idx % 2 == 1 &&
		     vdpa_get_device_id(vdev) == VIRTIO_ID_NET;

	return sends &&
	       vdpa_set_vq_discard(vdev, ring->idx, !ring->is_enabled) == 0;
}

static int give_to_device(struct vhost_user_ring *ring)
{
	const struct vhost_user_ring_areas *a = &ring->areas;
	struct vdpa_device *vdev = ring->vu->vdev;
	struct vdpa_vq_state state =
		decode_state(is_packed(ring->vu), base_of(ring));
	int r = vdpa_set_vq_num(vdev, ring->idx, ring->num);

	(void)set_discard(ring); /* a reset forgets it */
	if (r == 0) {
		r = vdpa_set_vq_address(vdev, ring->idx, a->desc, a->driver,
					a->device);
	}
	if (r == 0) {
		r = vdpa_set_vq_state(vdev, ring->idx, &state);
	}
	if (r == 0) {
		r = vhost_user_inflight_ring(ring);
	}
	if (r == 0) {
		r = vhost_user_ring_set_kick(ring);
	}
	if (r == 0) {
		r = vhost_user_ring_set_call(ring);
	}
	if (r == 0) {
		r = vdpa_set_vq_ready(vdev, ring->idx, true);
	}
	return r;
}

/* Takes the ring from the device; what it has begun is finished. */
static void stop_ring(struct vhost_user_ring *ring)
{
	struct vdpa_device *vdev = ring->vu->vdev;
	struct vdpa_vq_state state;

	ring->kick_watch = loop_watch_free(ring->kick_watch);
	(void)vdpa_set_vq_ready(vdev, ring->idx, false); /* idx is right */
	(void)vdpa_set_vq_kick_fd(vdev, ring->idx, -1); /* may lack it */
	if (vdpa_get_vq_state(vdev, ring->idx, &state) == 0) {
		ring->base = encode_state(is_packed(ring->vu), &state);
		ring->has_base = true;
	}
	ring->is_running = false;
}

/* The device would never notice one more ring: it begins again, with those that
 * run. */
static int start_over(struct vhost_user *vu)
{
	int r;

	for (uint32_t i = 0; i < vu->n_rings; i++) {
		vu->rings[i].was_running = vu->rings[i].is_running;
		if (vu->rings[i].is_running) {
			stop_ring(&vu->rings[i]);
		}
	}
	vhost_user_stop_device(vu);
	r = vhost_user_prepare(vu);
	for (uint32_t i = 0; i < vu->n_rings && r == 0; i++) {
		if (vu->rings[i].was_running) {
			r = give_to_device(&vu->rings[i]);
			vu->rings[i].is_running = r == 0;
		}
	}
	return r;
}

static int start_ring(struct vhost_user_ring *ring)
{
	struct vhost_user *vu = ring->vu;
	int r = find_areas(ring, vu->mem, &ring->areas);

	if (r == 0 && !is_packed(vu) && !is_pow2(ring->num)) {
		r = err(-EINVAL, "a split ring of %u", ring->num);
	}
	if (r == 0 && vu->vdev->needs_queues_first &&
	    (vdpa_get_status(vu->vdev) & VIRTIO_CONFIG_S_DRIVER_OK)) {
		r = start_over(vu);
	}
	if (r == 0) {
		r = vhost_user_prepare(vu);
	}
	if (r == 0) {
		r = give_to_device(ring);
	}
	if (r == 0) {
		r = vhost_user_go(vu);
	}
	if (r == 0 && ring->is_polled) {
		r = loop_timer_set(&vu->poll, VHOST_USER_POLL_NS);
	}
	ring->is_running = r == 0;
	if (r == 0) {
		vhost_user_ring_call_after_crash(ring);
	}
	if (r == 0 && vhost_user_has(vu, VHOST_USER_PROTOCOL_F_HOST_NOTIFIER)) {
		ring->tells_notifier = true;
		vhost_user_tell(vu);
	}
	return err_context(r, "ring %u", ring->idx);
}

/* Makes a ring run, or not, as the shadow has it now. */
int vhost_user_ring_update(struct vhost_user_ring *ring)
{
	bool should = ring->is_started && ring->has_addr &&
		      (set_discard(ring) || ring->is_enabled);

	if (should == ring->is_running) {
		return 0;
	}
	if (should) {
		return start_ring(ring);
	}
	stop_ring(ring);
	return 0;
}

void vhost_user_rings_hold(struct vhost_user *vu,
			   const struct vhost_user_mem *mem)
{
	for (uint32_t i = 0; i < vu->n_rings; i++) {
		struct vhost_user_ring *ring = &vu->rings[i];
		struct vhost_user_ring_areas areas;

		if (ring->is_running &&
		    (find_areas(ring, mem, &areas) < 0 ||
		     memcmp(&areas, &ring->areas, sizeof(areas)) != 0)) {
			stop_ring(ring);
		}
	}
}

void vhost_user_rings_update(struct vhost_user *vu)
{
	for (uint32_t i = 0; i < vu->n_rings; i++) {
		int r = vhost_user_ring_update(&vu->rings[i]);

		if (r < 0 && log_allowed(&vu->limit)) {
			log_warn(vu->vdev->name, "ignoring: %s", err_text(r));
		}
	}
}

bool vhost_user_any_running(const struct vhost_user *vu)
{
	for (uint32_t i = 0; i < vu->n_rings; i++) {
		if (vu->rings[i].is_running) {
			return true;
		}
	}
	return false;
}

void vhost_user_enable_all(struct vhost_user *vu, bool enable)
{
	for (uint32_t i = 0; i < vu->n_rings; i++) {
		vu->rings[i].is_enabled = enable;
	}
	vhost_user_rings_update(vu);
}

/* ---- life ---- */

static void ring_init(struct vhost_user_ring *ring, struct vhost_user *vu,
		      uint16_t idx)
{
	*ring = (struct vhost_user_ring){
		.vu = vu,
		.idx = idx,
		.num = vdpa_get_vq_num_max(vu->vdev),
		.kick_fd = -1,
		.call_fd = -1,
		.err_fd = -1,
	};
}

int vhost_user_rings_new(struct vhost_user *vu)
{
	vu->n_rings = vu->vdev->nvqs;
	vu->rings = calloc(max_of(vu->n_rings, 1U), sizeof(*vu->rings));
	if (!vu->rings) {
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < vu->n_rings; i++) {
		ring_init(&vu->rings[i], vu, (uint16_t)i);
	}
	loop_timer_init(&vu->poll, vu->loop, vhost_user_rings_poll, vu);
	return 0;
}

void vhost_user_rings_reset(struct vhost_user *vu)
{
	loop_timer_cancel(&vu->poll);
	for (uint32_t i = 0; i < vu->n_rings; i++) {
		struct vhost_user_ring *ring = &vu->rings[i];

		ring->kick_watch = loop_watch_free(ring->kick_watch);
		ring->is_running = false;
		ring->is_started = false;
		ring->is_enabled = false;
		ring->has_base = false;
		ring->is_polled = false;
		ring->tells_call = false;
		ring->tells_err = false;
		ring->tells_notifier = false;
		ring->kick_fd = close_fd(ring->kick_fd);
	}
}

void vhost_user_rings_drop(struct vhost_user *vu)
{
	for (uint32_t i = 0; i < vu->n_rings; i++) {
		struct vhost_user_ring *ring = &vu->rings[i];

		if (ring->call.watch) {
			event_free(&ring->call);
		}
		(void)close_fd(ring->call_fd);
		(void)close_fd(ring->err_fd);
		ring_init(ring, vu, (uint16_t)i);
	}
}

/* ---- messages ---- */

int vhost_user_find_ring(struct vhost_user *vu, uint64_t idx,
			 struct vhost_user_ring **ret)
{
	if (idx >= vu->n_rings) {
		return err(-EINVAL, "ring %llu of %u", (unsigned long long)idx,
			   vu->n_rings);
	}
	*ret = &vu->rings[idx];
	return 0;
}

int vhost_user_set_vring_num(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	const struct vhost_vring_state *s = &msg->payload.state;
	uint32_t max = min_of((uint32_t)vdpa_get_vq_num_max(vu->vdev),
			      (uint32_t)SPLIT_NUM_MAX);
	struct vhost_user_ring *ring;
	int r = vhost_user_find_ring(vu, s->index, &ring);

	if (r < 0) {
		return r;
	}
	if (s->num < vdpa_get_vq_num_min(vu->vdev) || s->num == 0 ||
	    s->num > max) {
		return err(-EINVAL, "a ring of %u, may have %u", s->num, max);
	}
	if (ring->is_running && s->num != ring->num) {
		return err(-EBUSY, "ring %u runs", s->index);
	}
	ring->num = s->num;
	return 0;
}

/* The specification wants this while a ring runs, too: it moves. */
int vhost_user_set_vring_addr(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	const struct vhost_vring_addr *a = &msg->payload.addr;
	struct vhost_user_ring_areas areas;
	struct vhost_user_ring *ring;
	int r = vhost_user_find_ring(vu, a->index, &ring);

	if (r < 0) {
		return r;
	}
	if ((a->flags & ~BIT_ULL(VHOST_VRING_F_LOG)) != 0 ||
	    a->desc_user_addr % 16 != 0 || a->avail_user_addr % 2 != 0 ||
	    a->used_user_addr % 4 != 0) {
		return err(-EINVAL, "ring %u: flags 0x%x, 0x%llx 0x%llx 0x%llx",
			   a->index, a->flags,
			   (unsigned long long)a->desc_user_addr,
			   (unsigned long long)a->avail_user_addr,
			   (unsigned long long)a->used_user_addr);
	}
	ring->addr = *a;
	ring->has_addr = true;
	if (ring->is_running &&
	    (find_areas(ring, vu->mem, &areas) < 0 ||
	     memcmp(&areas, &ring->areas, sizeof(areas)) != 0)) {
		stop_ring(ring);
	}
	r = vhost_user_log_ring(ring);
	return r < 0 ? r : vhost_user_ring_update(ring);
}

int vhost_user_set_vring_base(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	const struct vhost_vring_state *s = &msg->payload.state;
	struct vhost_user_ring *ring;
	int r = vhost_user_find_ring(vu, s->index, &ring);

	if (r < 0) {
		return r;
	}
	if (ring->is_running) {
		return err(-EBUSY, "ring %u runs", s->index);
	}
	ring->base = s->num;
	ring->has_base = true;
	return 0;
}

static void unset_kick(struct vhost_user_ring *ring)
{
	ring->is_started = false;
	ring->is_polled = false;
	(void)vhost_user_ring_update(ring); /* stops it: cannot fail */
	ring->kick_fd = close_fd(ring->kick_fd);
}

int vhost_user_get_vring_base(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	struct vhost_vring_state *s = &msg->payload.state;
	struct vhost_user_ring *ring;
	int r = vhost_user_find_ring(vu, s->index, &ring);

	if (r < 0) {
		return r;
	}
	unset_kick(ring);
	s->num = base_of(ring);
	msg->reply_size = sizeof(*s);
	return 0;
}

int vhost_user_set_vring_enable(struct vhost_user *vu,
				struct vhost_user_msg *msg)
{
	const struct vhost_vring_state *s = &msg->payload.state;
	struct vhost_user_ring *ring;
	int r = vhost_user_find_ring(vu, s->index, &ring);

	if (r < 0) {
		return r;
	}
	if (s->num > 1) {
		return err(-EINVAL, "enable ring %u: %u", s->index, s->num);
	}
	ring->is_enabled = s->num;
	return vhost_user_ring_update(ring);
}
