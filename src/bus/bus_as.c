/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address spaces of a device: one IOTLB for each asid, batches, both DMA
 * models.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "bus/bus.h"
#include "bus/bus_internal.h"

int vdpa_as_init(struct vdpa_device *vdev)
{
	vdev->as = calloc(vdev->nas, sizeof(*vdev->as));
	if (!vdev->as) {
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < vdev->nas; i++) {
		int ret = iotlb_new(IOTLB_DEFAULT_LIMIT, &vdev->as[i].tlb);

		if (ret < 0) {
			vdpa_as_fini(vdev);
			return ret;
		}
		vdev->as[i].none = iotlb_snapshot(vdev->as[i].tlb);
	}
	return 0;
}

void vdpa_as_fini(struct vdpa_device *vdev)
{
	for (uint32_t i = 0; vdev->as && i < vdev->nas; i++) {
		iotlb_snap_unref(vdev->as[i].none);
		iotlb_free(vdev->as[i].tlb);
	}
	free(vdev->as);
	vdev->as = NULL;
}

bool vdpa_has_dma_ops(const struct vdpa_device *vdev)
{
	return vdev->ops->set_map || vdev->ops->dma_map;
}

/* Hands the table to a device that wants it whole. */
static int set_map(struct vdpa_device *vdev, uint32_t asid)
{
	struct vdpa_as *as = &vdev->as[asid];
	struct iotlb_snap *snap;
	int ret;

	if (!vdev->ops->set_map) {
		return 0;
	}
	if (as->in_batch) {
		as->is_changed = true;
		return 0;
	}
	snap = iotlb_snapshot(as->tlb);
	ret = vdev->ops->set_map(vdev, asid, snap);
	iotlb_snap_unref(snap);
	return ret;
}

int vdpa_map(struct vdpa_device *vdev, uint32_t asid, uint64_t start,
	     uint64_t last, struct region *region, uint64_t offset,
	     uint32_t perm)
{
	struct vdpa_as *as = &vdev->as[asid];
	int ret;

	assert(asid < vdev->nas);
	ret = iotlb_map(as->tlb, start, last, region, offset, perm);
	if (ret < 0) {
		return ret;
	}
	if (vdev->ops->dma_map) {
		ret = vdev->ops->dma_map(vdev, asid, start, last, region,
					 offset, perm);
		if (ret < 0) {
			/* Only what was just added can overlap it. */
			(void)iotlb_unmap(as->tlb, start, last);
		}
		return ret;
	}
	ret = set_map(vdev, asid);
	if (ret < 0) {
		(void)iotlb_unmap(as->tlb, start, last);
		(void)set_map(vdev, asid); /* it had that table before */
	}
	return ret;
}

/* Tells an incremental device of each entry that is about to go. */
static void dma_unmap_each(struct vdpa_device *vdev, uint32_t asid,
			   uint64_t start, uint64_t last)
{
	struct iotlb_snap *snap = iotlb_snapshot(vdev->as[asid].tlb);
	const struct iotlb_entry *e = iotlb_first(snap, start);

	while (e && e->start <= last) {
		/* The kernel ignores the result too: the entry goes anyhow. */
		(void)vdev->ops->dma_unmap(vdev, asid, e->start, e->last);
		if (e->last == UINT64_MAX) {
			break;
		}
		e = iotlb_first(snap, e->last + 1);
	}
	iotlb_snap_unref(snap);
}

int vdpa_unmap(struct vdpa_device *vdev, uint32_t asid, uint64_t start,
	       uint64_t last)
{
	int n, ret;

	assert(asid < vdev->nas);
	if (vdev->ops->dma_unmap) {
		dma_unmap_each(vdev, asid, start, last);
	}
	n = iotlb_unmap(vdev->as[asid].tlb, start, last);
	if (n >= 0) {
		ret = set_map(vdev, asid);
		if (ret < 0) {
			return ret;
		}
	}
	return n;
}

void vdpa_batch_begin(struct vdpa_device *vdev, uint32_t asid)
{
	assert(asid < vdev->nas);
	vdev->as[asid].in_batch = true;
}

void vdpa_batch_touch(struct vdpa_device *vdev, uint32_t asid)
{
	assert(asid < vdev->nas);
	vdev->as[asid].is_changed |= vdev->as[asid].in_batch;
}

int vdpa_batch_end(struct vdpa_device *vdev, uint32_t asid)
{
	struct vdpa_as *as = &vdev->as[asid];

	assert(asid < vdev->nas);
	as->in_batch = false;
	if (!as->is_changed) {
		return 0;
	}
	as->is_changed = false;
	return set_map(vdev, asid);
}

unsigned int vdpa_n_maps(const struct vdpa_device *vdev, uint32_t asid)
{
	assert(asid < vdev->nas);
	return iotlb_n_entries(vdev->as[asid].tlb);
}

struct iotlb_snap *vdpa_snapshot(struct vdpa_device *vdev, uint32_t asid)
{
	assert(asid < vdev->nas);
	return iotlb_snapshot(vdev->as[asid].tlb);
}

/* Needs no memory: whatever happens, nothing of a client stays behind. */
void vdpa_reset_map(struct vdpa_device *vdev, uint32_t asid)
{
	struct vdpa_as *as = &vdev->as[asid];
	bool is_changed = as->is_changed || vdpa_n_maps(vdev, asid) > 0;

	if (vdev->ops->dma_unmap) {
		dma_unmap_each(vdev, asid, 0, UINT64_MAX);
	}
	iotlb_restore(as->tlb, as->none);
	as->in_batch = false;
	as->is_changed = false;
	/* There is nothing left that it could refuse to let go. */
	if (is_changed) {
		vdev->is_dropping_maps = true;
		(void)set_map(vdev, asid);
		vdev->is_dropping_maps = false;
	}
	if (vdev->ops->reset_map) {
		(void)vdev->ops->reset_map(vdev, asid);
	}
}
