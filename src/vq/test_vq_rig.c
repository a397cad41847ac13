/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rig for the tests of vq/. See test_vq_rig.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vq/test_vq_rig.h"

#define RIG_PAGE  4096
#define RIG_NUM	  8
#define RIG_LIMIT 4096

struct rig_mem rig_mem_new(size_t size)
{
	struct rig_mem mem = { .size = align_up(size, RIG_PAGE) };
	char *area = mmap(NULL, mem.size + 2UL * RIG_PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(area != MAP_FAILED);
	mem.fd = memfd_create("rig", MFD_CLOEXEC);
	assert_true(mem.fd >= 0);
	assert_int_equal(ftruncate(mem.fd, (off_t)mem.size), 0);
	mem.va = mmap(area + RIG_PAGE, mem.size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED, mem.fd, 0);
	assert_true(mem.va != MAP_FAILED);
	return mem;
}

void rig_mem_free(struct rig_mem *mem)
{
	munmap(mem->va - RIG_PAGE, mem->size + 2UL * RIG_PAGE);
	close(mem->fd);
}

static struct region *rig_region(const struct rig_mem *mem, size_t off,
				 size_t len, enum region_kind kind,
				 unsigned int perm)
{
	struct foreign_mem *fm;
	struct region *region;

	if (kind == REGION_OWN) {
		assert_int_equal(region_new_own(mem->va + off, len, NULL, NULL,
						&region),
				 0);
	} else if (kind == REGION_MAPPED) {
		assert_int_equal(
			region_new_mapped(mem->fd, off, len, perm, &region), 0);
	} else {
		int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(foreign_mem_new(fd, &fm), 0);
		assert_int_equal(region_new_foreign(fm,
						    (uintptr_t)mem->va + off,
						    len, &region),
				 0);
		foreign_mem_unref(fm);
	}
	return region;
}

void rig_map(struct rig *rig, uint64_t iova, const struct rig_mem *mem,
	     size_t off, size_t len, enum region_kind kind, unsigned int perm)
{
	struct region *region = rig_region(mem, off, len, kind, perm);

	assert_int_equal(
		iotlb_map(rig->tlb, iova, iova + len - 1, region, 0, perm), 0);
	region_unref(region);
}

void rig_unmap(struct rig *rig, uint64_t iova)
{
	assert_true(iotlb_unmap(rig->tlb, iova, iova) > 0);
}

void rig_set_snap(struct rig *rig)
{
	struct iotlb_snap *snap = iotlb_snapshot(rig->tlb);

	vq_set_snap(rig->vq, snap);
	iotlb_snap_unref(snap);
}

static int rig_start_as(struct rig *rig, uint64_t ring_iova,
			const struct vq_state *state)
{
	struct iotlb_snap *snap = iotlb_snapshot(rig->tlb);
	const struct vq_setup setup = {
		.num = rig->num,
		.features = rig->features,
		.desc_area = ring_iova + rig->at.desc_area,
		.driver_area = ring_iova + rig->at.driver_area,
		.device_area = ring_iova + rig->at.device_area,
		.state = *state,
		.has_misses = rig->has_misses,
		.keeps_iovas = rig->keeps_iovas,
		.inflight = rig->inflight,
		.inflight_offset = rig->inflight_offset,
		.inflight_bytes = rig->inflight_bytes,
	};
	int rc = vq_start(rig->vq, &setup, snap);

	iotlb_snap_unref(snap);
	return rc;
}

int rig_start(struct rig *rig, const struct vq_state *state)
{
	const struct vq_state first = { .avail_wrap = true, .used_wrap = true };

	return rig_start_as(rig, RIG_RING_IOVA, state ? state : &first);
}

int rig_start_at(struct rig *rig, uint64_t ring_iova)
{
	const struct vq_state first = { .avail_wrap = true, .used_wrap = true };

	return rig_start_as(rig, ring_iova, &first);
}

struct rig *rig_new(uint64_t features, uint16_t num)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->features = features;
	rig->is_packed = has_bit(features, VIRTIO_F_RING_PACKED);
	rig->num = num;
	rig->raw_wrap = true;
	vq_layout(num, features, &rig->at);
	rig->ring = rig_mem_new(rig->at.size_bytes);
	rig->buf = rig_mem_new(RIG_BUF_BYTES);
	memset(rig->buf.va, RIG_CANARY, rig->buf.size);
	assert_int_equal(iotlb_new(RIG_LIMIT, &rig->tlb), 0);
	rig_map(rig, RIG_RING_IOVA, &rig->ring, 0, rig->ring.size, REGION_OWN,
		MEM_PERM_RW);
	rig_map(rig, RIG_BUF_IOVA, &rig->buf, 0, rig->buf.size, REGION_OWN,
		MEM_PERM_RW);
	assert_int_equal(vq_new(num, 16, &rig->vq), 0);
	assert_int_equal(vq_driver_new(num, features, rig->ring.va,
				       RIG_RING_IOVA, &rig->drv),
			 0);
	assert_int_equal(rig_start(rig, NULL), 0);
	return rig;
}

void rig_free(struct rig *rig)
{
	vq_free(rig->vq);
	vq_driver_free(rig->drv);
	iotlb_free(rig->tlb);
	rig_mem_free(&rig->ring);
	rig_mem_free(&rig->buf);
	free(rig);
}

void rig_remap_ring(struct rig *rig, size_t cut, enum region_kind kind)
{
	uint64_t last = RIG_RING_IOVA + rig->ring.size - 1;

	assert_true(iotlb_unmap(rig->tlb, RIG_RING_IOVA, last) > 0);
	if (cut) {
		rig_map(rig, RIG_RING_IOVA, &rig->ring, 0, cut, kind,
			MEM_PERM_RW);
	}
	rig_map(rig, RIG_RING_IOVA + cut, &rig->ring, cut, rig->ring.size - cut,
		kind, MEM_PERM_RW);
	rig_set_snap(rig);
}

struct vq_sg rig_sg(uint32_t off, uint32_t len)
{
	return (struct vq_sg){ .iova = RIG_BUF_IOVA + off, .len = len };
}

void rig_add_bytes(struct rig *rig, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct vq_sg sg = rig_sg(i, 1);

		assert_int_equal(vq_driver_add(rig->drv, &sg, 1, 0,
					       (void *)(i + 1UL)),
				 0);
	}
	vq_driver_publish(rig->drv);
}

struct shm_desc_ring *rig_ring(const struct rig *rig)
{
	return (struct shm_desc_ring *)rig->ring.va;
}

char *rig_buf(const struct rig *rig, uint64_t iova)
{
	return rig->buf.va + (iova - RIG_BUF_IOVA);
}

static __le16 *rig_avail(const struct rig *rig)
{
	return (__le16 *)(rig->ring.va + rig->at.driver_area);
}

void rig_split_desc(struct rig *rig, uint16_t idx, const struct rig_desc *d,
		    uint16_t next)
{
	shm_store64(&rig_ring(rig)[idx].addr, d->addr);
	shm_store64(&rig_ring(rig)[idx].meta,
		    shm_split_meta(d->len, d->flags, next));
}

void rig_split_set_idx(struct rig *rig, uint16_t idx)
{
	shm_store_rel16(&rig_avail(rig)[1], idx);
}

void rig_split_avail(struct rig *rig, uint16_t head)
{
	__le16 *avail = rig_avail(rig);
	uint16_t idx = shm_load16(&avail[1]);

	shm_store16(&avail[2 + idx % rig->num], head);
	rig_split_set_idx(rig, (uint16_t)(idx + 1));
}

uint16_t rig_split_used_idx(const struct rig *rig)
{
	__le16 *used = (__le16 *)(rig->ring.va + rig->at.device_area);

	return shm_load_acq16(&used[1]);
}

static uint32_t rig_split_used(const struct rig *rig, uint16_t slot,
			       unsigned int field)
{
	__le32 *used = (__le32 *)(rig->ring.va + rig->at.device_area + 4);

	return shm_load32(&used[2 * slot + field]);
}

uint32_t rig_split_used_id(const struct rig *rig, uint16_t slot)
{
	return rig_split_used(rig, slot, 0);
}

uint32_t rig_split_used_len(const struct rig *rig, uint16_t slot)
{
	return rig_split_used(rig, slot, 1);
}

void rig_packed_desc(struct rig *rig, uint16_t idx, const struct rig_desc *d,
		     uint16_t id, bool wrap)
{
	unsigned int flags = d->flags;

	flags |= wrap ? 1U << VRING_PACKED_DESC_F_AVAIL
		      : 1U << VRING_PACKED_DESC_F_USED;
	shm_store64(&rig_ring(rig)[idx].addr, d->addr);
	shm_store_rel64(&rig_ring(rig)[idx].meta,
			shm_packed_meta(d->len, id, (uint16_t)flags));
}

void rig_offer(struct rig *rig, const struct rig_desc *descs, unsigned int n,
	       uint16_t id)
{
	uint16_t first = rig->raw_slot;
	bool first_wrap = rig->raw_wrap;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t slot = rig->raw_slot;

		if (!rig->is_packed) {
			rig_split_desc(rig, slot, &descs[i],
				       (uint16_t)((slot + 1) % rig->num));
		} else if (i > 0) {
			rig_packed_desc(rig, slot, &descs[i], id,
					rig->raw_wrap);
		}
		rig->raw_slot = (uint16_t)((slot + 1) % rig->num);
		if (rig->raw_slot == 0) {
			rig->raw_wrap = !rig->raw_wrap;
		}
	}
	if (rig->is_packed) {
		rig_packed_desc(rig, first, &descs[0], id, first_wrap);
	} else {
		rig_split_avail(rig, first);
	}
}

struct rig_desc rig_table(struct rig *rig, uint64_t iova,
			  const struct rig_desc *descs, unsigned int n)
{
	char *table = rig_buf(rig, iova);

	for (unsigned int i = 0; i < n; i++) {
		const struct rig_desc *d = &descs[i];
		uint64_t meta = rig->is_packed
					? shm_packed_meta(d->len, 0, d->flags)
					: shm_split_meta(d->len, d->flags,
							 (uint16_t)(i + 1));
		__le64 raw[2] = { shm_to_le64(d->addr), shm_to_le64(meta) };

		memcpy(table + (size_t)i * sizeof(raw), raw, sizeof(raw));
	}
	return (struct rig_desc){ iova, n * SHM_DESC_SIZE,
				  VRING_DESC_F_INDIRECT };
}

struct vq_chain *rig_fetch(struct rig *rig)
{
	struct vq_chain *chain;

	assert_int_equal(vq_fetch(rig->vq, &chain, 1), 1);
	return chain;
}

void rig_assert_breaks(struct rig *rig, enum vq_break why)
{
	struct vq_chain *chains[VQ_BURST_MAX];

	assert_int_equal(vq_fetch(rig->vq, chains, VQ_BURST_MAX), -EPROTO);
	assert_string_equal(vq_break_name(vq_broken(rig->vq)),
			    vq_break_name(why));
	assert_int_equal(vq_fetch(rig->vq, chains, VQ_BURST_MAX), -EPROTO);
	assert_false(vq_has_available(rig->vq));
	assert_false(vq_enable_kick(rig->vq));
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
	assert_int_equal(vq_counters(rig->vq)->n_breaks, 1);
}

int rig_setup_split(void **state)
{
	*state = rig_new(RIG_SPLIT | RIG_INDIRECT, RIG_NUM);
	return 0;
}

int rig_setup_packed(void **state)
{
	*state = rig_new(RIG_PACKED | RIG_INDIRECT, RIG_NUM);
	return 0;
}

int rig_teardown(void **state)
{
	rig_free(*state);
	return 0;
}
