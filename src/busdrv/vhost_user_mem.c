/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: the memory table.
 *
 * A change makes the table as it shall be, takes over every region that is the
 * same (same addresses, same bytes of the same file), stops the rings that the
 * change moves, and then tells the device in one batch. Rings that are not
 * concerned go on meanwhile.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/peer_file.h"
#include "busdrv/vhost_user_internal.h"

#define ASID 0

static uint64_t gpa_last(const struct vhost_user_region *r)
{
	return r->guest_addr + (r->size - 1);
}

/* ---- one region ---- */

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

static int check_region(const struct vhost_user_mem *mem,
			const struct vhost_user_region *r)
{
	if (r->size == 0 || r->guest_addr > UINT64_MAX - (r->size - 1) ||
	    r->user_addr > UINT64_MAX - (r->size - 1)) {
		return err(-EINVAL,
			   "a region of 0x%llx bytes at 0x%llx, 0x%llx",
			   (unsigned long long)r->size,
			   (unsigned long long)r->guest_addr,
			   (unsigned long long)r->user_addr);
	}
	for (unsigned int i = 0; i < mem->n; i++) {
		const struct vhost_user_region *o = &mem->slots[i].r;

		if (overlap(r->guest_addr, r->size, o->guest_addr, o->size) ||
		    overlap(r->user_addr, r->size, o->user_addr, o->size)) {
			return err(-EINVAL,
				   "regions at 0x%llx and 0x%llx "
				   "overlap",
				   (unsigned long long)r->guest_addr,
				   (unsigned long long)o->guest_addr);
		}
	}
	return 0;
}

int vhost_user_map_file(const struct vhost_user_region *r, int fd,
			struct region **ret)
{
	struct stat st;
	int ret_check = peer_file_check(fd, r->mmap_offset, r->size, &st);

	return ret_check < 0 ? ret_check
			     : peer_file_map(fd, r->mmap_offset, r->size,
					     MEM_PERM_RW, false, ret);
}

static const struct vhost_user_slot *
find_same(const struct vhost_user_mem *mem, const struct vhost_user_region *r,
	  const struct stat *st)
{
	for (unsigned int i = 0; i < mem->n; i++) {
		const struct vhost_user_slot *s = &mem->slots[i];

		if (memcmp(&s->r, r, sizeof(*r)) == 0 && s->dev == st->st_dev &&
		    s->ino == st->st_ino) {
			return s;
		}
	}
	return NULL;
}

/* Adds a region to @mem: one of @old if it is the same, or a new mapping. */
static int add_slot(struct vhost_user_mem *mem,
		    const struct vhost_user_mem *old,
		    const struct vhost_user_region *r, int fd)
{
	struct vhost_user_slot *slot = &mem->slots[mem->n];
	const struct vhost_user_slot *same;
	struct stat st;
	int ret = check_region(mem, r);

	if (ret == 0) {
		ret = peer_file_check(fd, r->mmap_offset, r->size, &st);
	}
	if (ret < 0) {
		return ret;
	}
	same = find_same(old, r, &st);
	if (same) {
		*slot = *same;
		(void)region_ref(slot->region);
	} else {
		*slot = (struct vhost_user_slot){
			.r = *r,
			.dev = st.st_dev,
			.ino = st.st_ino,
		};
		ret = peer_file_map(fd, r->mmap_offset, r->size, MEM_PERM_RW,
				    mem->keeps_files, &slot->region);
	}
	slot->n_added = 1;
	mem->n += ret == 0;
	return ret;
}

/*
 * The very same region once more: QEMU 7.2 adds, and removes, each as often as
 * a network device has pairs of queues. Return: 1 it was, and is counted; 0 it
 * is a new one; -errno
 */
static int add_again(struct vhost_user_mem *mem,
		     const struct vhost_user_region *r, int fd)
{
	struct stat st;
	int ret = peer_file_check(fd, r->mmap_offset, r->size, &st);

	for (unsigned int i = 0; ret == 0 && mem && i < mem->n; i++) {
		struct vhost_user_slot *s = &mem->slots[i];

		if (memcmp(&s->r, r, sizeof(*r)) == 0 && s->dev == st.st_dev &&
		    s->ino == st.st_ino) {
			s->n_added++;
			return 1;
		}
	}
	return ret;
}

/* ---- the table ---- */

static int mem_new(const struct vhost_user *vu, struct vhost_user_mem **ret)
{
	struct vhost_user_mem *mem = calloc(1, sizeof(*mem));

	if (!mem) {
		return -ENOMEM;
	}
	mem->keeps_files = vdpa_has_dma_ops(vu->vdev);
	*ret = mem;
	return 0;
}

static struct vhost_user_mem *mem_free(struct vhost_user_mem *mem)
{
	for (unsigned int i = 0; mem && i < mem->n; i++) {
		region_unref(mem->slots[i].region);
	}
	free(mem);
	return NULL;
}

static void cleanup_mem(struct vhost_user_mem **mem)
{
	mem_free(*mem);
}
#define _cleanup_mem_ _cleanup_(cleanup_mem)

static bool holds(const struct vhost_user_mem *mem,
		  const struct vhost_user_slot *slot)
{
	for (unsigned int i = 0; mem && i < mem->n; i++) {
		if (mem->slots[i].region == slot->region &&
		    mem->slots[i].r.guest_addr == slot->r.guest_addr) {
			return true;
		}
	}
	return false;
}

static int map_new(struct vhost_user *vu, const struct vhost_user_mem *mem,
		   const struct vhost_user_mem *old)
{
	int r = 0;

	for (unsigned int i = 0; i < mem->n && r == 0; i++) {
		const struct vhost_user_slot *s = &mem->slots[i];

		if (!holds(old, s)) {
			r = vdpa_map(vu->vdev, ASID, s->r.guest_addr,
				     gpa_last(&s->r), s->region, 0,
				     MEM_PERM_RW);
		}
	}
	return r;
}

/* Tells the device what is different. On failure it has nothing at all. */
static int publish(struct vhost_user *vu, const struct vhost_user_mem *mem,
		   const struct vhost_user_mem *old)
{
	int r, end;

	vdpa_batch_begin(vu->vdev, ASID);
	for (unsigned int i = 0; old && i < old->n; i++) {
		const struct vhost_user_slot *s = &old->slots[i];

		if (!holds(mem, s)) {
			/* Only a device that keeps it can fail: so be it. */
			(void)vdpa_unmap(vu->vdev, ASID, s->r.guest_addr,
					 gpa_last(&s->r));
		}
	}
	r = map_new(vu, mem, old);
	end = vdpa_batch_end(vu->vdev, ASID);
	r = r < 0 ? r : end;
	if (r < 0) {
		vdpa_reset_map(vu->vdev, ASID);
		vu->is_lost = true;
	}
	return r;
}

static bool loses_any(const struct vhost_user_mem *old,
		      const struct vhost_user_mem *mem)
{
	for (unsigned int i = 0; old && i < old->n; i++) {
		if (!holds(mem, &old->slots[i])) {
			return true;
		}
	}
	return false;
}

/* From now on @take_mem is the table. */
static int replace(struct vhost_user *vu, struct vhost_user_mem *take_mem)
{
	struct vhost_user_mem *old = vu->mem;
	int r;

	r = vhost_user_log_update(vu, take_mem, old);
	if (r < 0) {
		mem_free(take_mem);
		return r;
	}
	vhost_user_rings_hold(vu, take_mem);
	if (!vhost_user_has_iommu(vu)) {
		r = publish(vu, take_mem, vu->is_mapped ? old : NULL);
		vu->is_mapped = true;
	} else if (loses_any(old, take_mem)) {
		vdpa_reset_map(vu->vdev, ASID); /* it is asked for anew */
	}
	vu->mem = take_mem;
	if (r == 0) {
		vhost_user_rings_update(vu);
		r = vhost_user_log_update(vu, vu->mem, NULL);
	}
	mem_free(old);
	return r;
}

static int copy_mem(const struct vhost_user *vu,
		    const struct vhost_user_mem *mem,
		    const struct vhost_user_slot *except,
		    struct vhost_user_mem **ret)
{
	struct vhost_user_mem *copy;
	int r = mem_new(vu, &copy);

	if (r < 0) {
		return r;
	}
	for (unsigned int i = 0; mem && i < mem->n; i++) {
		if (&mem->slots[i] != except) {
			copy->slots[copy->n] = mem->slots[i];
			(void)region_ref(copy->slots[copy->n++].region);
		}
	}
	*ret = copy;
	return 0;
}

int vhost_user_mem_update(struct vhost_user *vu)
{
	bool should = !vhost_user_has_iommu(vu);

	if (!vu->mem || should == vu->is_mapped) {
		return 0;
	}
	vu->is_mapped = should;
	if (!should) {
		vdpa_reset_map(vu->vdev, ASID);
		return 0;
	}
	return publish(vu, vu->mem, NULL);
}

void vhost_user_mem_drop(struct vhost_user *vu)
{
	vdpa_reset_map(vu->vdev, ASID);
	vu->mem = mem_free(vu->mem);
	vu->is_mapped = false;
}

const struct vhost_user_slot *
vhost_user_mem_find(const struct vhost_user_mem *mem, uint64_t uaddr)
{
	for (unsigned int i = 0; mem && i < mem->n; i++) {
		const struct vhost_user_region *r = &mem->slots[i].r;

		if (uaddr - r->user_addr < r->size) {
			return &mem->slots[i];
		}
	}
	return NULL;
}

int vhost_user_mem_translate(const struct vhost_user_mem *mem, uint64_t uaddr,
			     uint64_t *ret_gpa)
{
	const struct vhost_user_slot *s = vhost_user_mem_find(mem, uaddr);

	if (!s) {
		return err(-EFAULT, "no region has the address 0x%llx",
			   (unsigned long long)uaddr);
	}
	*ret_gpa = s->r.guest_addr + (uaddr - s->r.user_addr);
	return 0;
}

/* ---- messages ---- */

int vhost_user_set_mem_table(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	static const struct vhost_user_mem none;
	const struct vhost_user_mem_table *t = &msg->payload.table;
	_cleanup_mem_ struct vhost_user_mem *mem = NULL;
	int r;

	if (vhost_user_postcopy_is_ack(vu, msg)) {
		return 0;
	}
	if (t->n_regions > VHOST_USER_REGIONS_MAX ||
	    t->n_regions != msg->n_fds ||
	    msg->hdr.size < offsetof(struct vhost_user_mem_table, regions) +
				    t->n_regions * sizeof(t->regions[0])) {
		return err(-EINVAL, "%u regions, %u descriptors, %u bytes",
			   t->n_regions, msg->n_fds, msg->hdr.size);
	}
	r = mem_new(vu, &mem);
	for (uint32_t i = 0; i < t->n_regions && r == 0; i++) {
		r = add_slot(mem, vu->mem ? vu->mem : &none, &t->regions[i],
			     msg->fds[i]);
	}
	if (r == 0) {
		r = replace(vu, steal_ptr(mem));
	}
	if (r == 0 && vu->is_listening) {
		r = vhost_user_postcopy_add(vu, msg, msg->payload.table.regions,
					    t->n_regions);
	}
	return r;
}

int vhost_user_get_max_mem_slots(struct vhost_user *vu,
				 struct vhost_user_msg *msg)
{
	(void)vu;
	msg->payload.u64 = VHOST_USER_MEM_SLOTS;
	return 0;
}

static int add_region(struct vhost_user *vu, const struct vhost_user_region *r,
		      int fd)
{
	static const struct vhost_user_mem none;
	_cleanup_mem_ struct vhost_user_mem *mem = NULL;
	int ret = copy_mem(vu, vu->mem, NULL, &mem);

	if (ret < 0) {
		return ret;
	}
	if (mem->n == VHOST_USER_MEM_SLOTS) {
		return err(-ENOSPC, "all %d memory slots are taken",
			   VHOST_USER_MEM_SLOTS);
	}
	ret = add_slot(mem, &none, r, fd);
	return ret < 0 ? ret : replace(vu, steal_ptr(mem));
}

int vhost_user_add_mem_reg(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	int r;

	if (vhost_user_postcopy_is_ack(vu, msg)) {
		return 0;
	}
	if (msg->hdr.size < sizeof(msg->payload.reg) || msg->n_fds != 1) {
		return err(-EINVAL, "%u bytes, %u descriptors", msg->hdr.size,
			   msg->n_fds);
	}
	r = add_again(vu->mem, &msg->payload.reg.region, msg->fds[0]);
	if (r == 0) {
		r = add_region(vu, &msg->payload.reg.region, msg->fds[0]);
	}
	if (r >= 0 && vu->is_listening) {
		r = vhost_user_postcopy_add(vu, msg, &msg->payload.reg.region,
					    1);
	}
	return min_of(r, 0);
}

int vhost_user_rem_mem_reg(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	const struct vhost_user_region *r = &msg->payload.reg.region;
	struct vhost_user_mem *mem;
	int ret;

	for (unsigned int i = 0; vu->mem && i < vu->mem->n; i++) {
		struct vhost_user_slot *s = &vu->mem->slots[i];

		if (s->r.guest_addr != r->guest_addr ||
		    s->r.user_addr != r->user_addr || s->r.size != r->size) {
			continue;
		}
		if (--s->n_added > 0) {
			return 0; /* see add_again() */
		}
		ret = copy_mem(vu, vu->mem, s, &mem);
		return ret < 0 ? ret : replace(vu, mem);
	}
	return err(-ENOENT, "no region of 0x%llx bytes at 0x%llx",
		   (unsigned long long)r->size,
		   (unsigned long long)r->guest_addr);
}
