/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: the dirty log of live migration.
 *
 * The front end gives a bitmap, and says with VHOST_F_LOG_ALL from when to
 * when to mark in it what is written. The log knows guest-physical addresses by
 * the memory table, so it is made anew whenever that changes: for the moment
 * of the change with the regions of both tables, so that no write falls in
 * between.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "busdrv/vhost_user_internal.h"
#include "mem/mem_log.h"

static bool is_logging(const struct vhost_user *vu)
{
	return vu->log_bitmap && has_bit(vu->features, VHOST_USER_LOG_ALL_BIT);
}

/* Does a slot of @mem stand for the same memory of this process? */
static bool has_memory(const struct vhost_user_mem *mem,
		       const struct vhost_user_slot *slot)
{
	for (unsigned int i = 0; mem && i < mem->n; i++) {
		if (mem->slots[i].region == slot->region) {
			return true;
		}
	}
	return false;
}

/* Adds what @mem has and @but has not. Return: ranges */
static unsigned int add_ranges(struct mem_log_range *ranges, unsigned int n,
			       const struct vhost_user_mem *mem,
			       const struct vhost_user_mem *but)
{
	for (unsigned int i = 0; mem && i < mem->n; i++) {
		const struct vhost_user_slot *s = &mem->slots[i];

		if (!has_memory(but, s)) {
			ranges[n++] = (struct mem_log_range){
				region_va(s->region),
				s->r.size,
				s->r.guest_addr,
			};
		}
	}
	return n;
}

static int make_log(const struct vhost_user *vu,
		    const struct vhost_user_mem *mem,
		    const struct vhost_user_mem *also, struct mem_log **ret)
{
	_cleanup_free_ struct mem_log_range *ranges =
		calloc(2 * VHOST_USER_MEM_SLOTS, sizeof(struct mem_log_range));
	unsigned int n;

	if (!ranges) {
		return -ENOMEM;
	}
	n = add_ranges(ranges, 0, mem, NULL);
	n = add_ranges(ranges, n, also, mem);
	return mem_log_new(vu->log_bitmap, ranges, n, ret);
}

/* Where the front end wants the used ring to be marked. */
static uint64_t used_gpa(const struct vhost_user_ring *ring)
{
	bool says_where = ring->has_addr &&
			  (ring->addr.flags & BIT_ULL(VHOST_VRING_F_LOG));

	return says_where ? ring->addr.log_guest_addr : UINT64_MAX;
}

int vhost_user_log_ring(struct vhost_user_ring *ring)
{
	struct vhost_user *vu = ring->vu;
	struct vdpa_vq_log log = { vu->log, used_gpa(ring), vu->log_fd };

	if (!vu->log) {
		return 0;
	}
	return vdpa_set_vq_log(vu->vdev, ring->idx, &log);
}

static int give_log(struct vhost_user *vu)
{
	int r = 0;

	for (uint32_t i = 0; i < vu->n_rings && r == 0; i++) {
		r = vhost_user_log_ring(&vu->rings[i]);
	}
	return r;
}

static void take_log(struct vhost_user *vu)
{
	for (uint32_t i = 0; vu->log && i < vu->n_rings; i++) {
		(void)vdpa_set_vq_log(vu->vdev, i, NULL); /* it took one */
	}
	vu->log = mem_log_unref(vu->log);
}

int vhost_user_log_update(struct vhost_user *vu,
			  const struct vhost_user_mem *mem,
			  const struct vhost_user_mem *also)
{
	struct mem_log *log, *old = vu->log;
	int r;

	if (!is_logging(vu)) {
		take_log(vu);
		return 0;
	}
	r = make_log(vu, mem, also, &log);
	if (r < 0) {
		return r;
	}
	vu->log = log;
	r = give_log(vu);
	mem_log_unref(old);
	return r;
}

void vhost_user_log_drop(struct vhost_user *vu)
{
	take_log(vu);
	vu->log_bitmap = region_unref(vu->log_bitmap);
	vu->log_fd = close_fd(vu->log_fd);
}

/* ---- messages ---- */

/* A page that has no bit would be lost in the migration. */
static int check_size(const struct vhost_user_mem *mem, uint64_t size)
{
	for (unsigned int i = 0; mem && i < mem->n; i++) {
		const struct vhost_user_region *r = &mem->slots[i].r;
		uint64_t last = r->guest_addr + (r->size - 1);

		if (last / VHOST_USER_LOG_PAGE / 8 >= size) {
			return err(-EINVAL,
				   "a log of %llu bytes lacks the page at "
				   "0x%llx",
				   (unsigned long long)size,
				   (unsigned long long)last);
		}
	}
	return 0;
}

int vhost_user_set_log_base(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	const struct vhost_user_region r = {
		.size = msg->payload.log.mmap_size,
		.mmap_offset = msg->payload.log.mmap_offset,
	};
	struct region *bitmap;
	int ret;

	if (!vhost_user_has(vu, VHOST_USER_PROTOCOL_F_LOG_SHMFD) ||
	    msg->n_fds != 1 || msg->hdr.size != sizeof(struct vhost_user_log)) {
		return err(-EPROTO, "no shared log: %u descriptors, %u bytes",
			   msg->n_fds, msg->hdr.size);
	}
	ret = vhost_user_map_file(&r, msg->fds[0], &bitmap);
	if (ret < 0) {
		return ret;
	}
	ret = check_size(vu->mem, r.size);
	if (ret < 0) {
		region_unref(bitmap);
		return ret;
	}
	region_unref(vu->log_bitmap);
	vu->log_bitmap = bitmap;
	msg->payload.u64 = 0;
	return vhost_user_log_update(vu, vu->mem, NULL);
}

/* Who is told that something was marked; without a descriptor nobody is. */
int vhost_user_set_log_fd(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	int old = vu->log_fd, r;

	if (msg->n_fds == 1 && !fd_is_eventfd(msg->fds[0])) {
		return err(-EINVAL, "not an eventfd");
	}
	vu->log_fd = msg->n_fds == 1 ? steal_fd(&msg->fds[0]) : -1;
	r = give_log(vu);
	(void)close_fd(old);
	return r;
}
