/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The areas of a ring: found in place, or reached by copies.
 *
 * Theory of operation
 *
 * An area that lies in one entry of the address space, with an address here,
 * the permission and the alignment that its fields need, is used in place.
 * Any other is read and written by mem_read() and mem_write(), which work on
 * every kind of memory but are no single access: foreign memory goes through
 * the kernel, which copies short runs byte by byte and longer ones in words of
 * eight. Reading the peer's index in the middle of its store can then give one
 * old byte and one new.
 *
 * Such a torn value is told by reading again. Say the first read saw the low
 * byte of v0 and the high byte of v1, a later value. The second read begins
 * after v1 was stored, so it sees v1 or newer, and agrees with the first only
 * if a value after v1 has the low byte of v0 while the high byte is still (or
 * again) that of v1. The indexes of a ring only grow, and by at most 32768
 * before we let them, so the high byte cannot come round again: such a value
 * existed, whole, and is a right answer. A driver that breaks these rules gets
 * a wrong value, which is checked like any other.
 *
 * Writing: see split.c and packed.c, which send what must not be torn in one
 * word of eight bytes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <string.h>

#include "vq/vq_internal.h"

/* An honest driver stores at most once while we read twice. */
#define AREA_READ_TRIES 8

void vq_area_init(struct vq_area *area, uint64_t iova, size_t size,
		  unsigned int perm, unsigned int align)
{
	*area = (struct vq_area){
		.iova = iova,
		.size = (uint32_t)size,
		.perm = (uint8_t)perm,
		.align = (uint8_t)align,
		.is_possible = size - 1 <= UINT64_MAX - iova,
	};
}

void vq_area_resolve(struct vq *vq, struct vq_area *area)
{
	const struct iotlb_entry *e;
	char *va;

	area->va = NULL;
	if (!area->is_possible) {
		return;
	}
	e = iotlb_find(vq->snap->snap, area->iova);
	if (!e || !e->va || (e->perm & area->perm) != area->perm ||
	    area->size - 1 > e->last - area->iova) {
		return;
	}
	va = e->va + (area->iova - e->start);
	if ((uintptr_t)va % area->align == 0) {
		area->va = va;
	}
}

/**
 * vq_find_hole() - the first byte that cannot be used
 * @len: > 0
 * @perm: enum mem_perm, all of which is needed
 * @ret: where it is; written on success
 *
 * Return: is there one? False also for a range that wraps.
 */
bool vq_find_hole(const struct iotlb_snap *snap, uint64_t iova, uint64_t len,
		  uint32_t perm, struct vq_miss *ret)
{
	uint64_t last = iova + (len - 1);

	while (iova <= last) {
		const struct iotlb_entry *e = iotlb_find(snap, iova);

		if (!e || (e->perm & perm) != perm) {
			*ret = (struct vq_miss){ iova, perm };
			return true;
		}
		if (e->last >= last) {
			break;
		}
		iova = e->last + 1;
	}
	return false;
}

/* Looks for one in all of the ring, whatever will be accessed of it. */
void vq_areas_find_hole(struct vq *vq)
{
	const struct vq_area *const areas[] = { &vq->driver, &vq->desc,
						&vq->device };

	vq->ring_miss.perm = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(areas); i++) {
		const struct vq_area *area = areas[i];

		if (area->is_possible &&
		    vq_find_hole(vq->snap->snap, area->iova, area->size,
				 area->perm, &vq->ring_miss)) {
			break;
		}
	}
}

int vq_area_read(const struct vq *vq, const struct vq_area *area, uint64_t off,
		 void *buf, size_t len)
{
	if (!area->is_possible) {
		return -EFAULT;
	}
	return mem_read(vq->snap->snap, area->iova + off, buf, len);
}

int vq_area_write(const struct vq *vq, const struct vq_area *area, uint64_t off,
		  const void *buf, size_t len)
{
	if (!area->is_possible) {
		return -EFAULT;
	}
	return mem_write(vq->snap->snap, area->iova + off, buf, len);
}

/* Reads until two reads agree, see above. */
static int area_read_agreed(const struct vq *vq, const struct vq_area *area,
			    uint64_t off, uint32_t *ret, size_t len)
{
	uint32_t last = 0, now = 0;

	for (int i = 0; i <= AREA_READ_TRIES; i++) {
		int rc = vq_area_read(vq, area, off, &now, len);

		if (rc < 0) {
			return rc;
		}
		if (i > 0 && now == last) {
			break;
		}
		last = now;
	}
	shm_acquire_barrier();
	*ret = now;
	return 0;
}

int vq_area_read16(const struct vq *vq, const struct vq_area *area,
		   uint64_t off, uint16_t *ret)
{
	uint32_t raw;
	uint16_t v;
	int rc = area_read_agreed(vq, area, off, &raw, sizeof(v));

	if (rc < 0) {
		return rc;
	}
	memcpy(&v, &raw, sizeof(v));
	*ret = le16toh(v);
	return 0;
}

int vq_area_read32(const struct vq *vq, const struct vq_area *area,
		   uint64_t off, uint32_t *ret)
{
	uint32_t raw;
	int rc = area_read_agreed(vq, area, off, &raw, sizeof(raw));

	if (rc < 0) {
		return rc;
	}
	*ret = le32toh(raw);
	return 0;
}
