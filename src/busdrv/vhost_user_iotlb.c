/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: addresses that the front end translates (a guest with a vIOMMU).
 *
 * With VIRTIO_F_ACCESS_PLATFORM address space 0 is a cache of what the front
 * end told us: updates fill it, invalidations empty it, and what a queue needs
 * and does not find is asked for on the back-end channel. Since it is a cache,
 * it may forget: what overlaps, what does not fit any more, and all of it when
 * memory goes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "base/err.h"
#include "busdrv/vhost_user_internal.h"

#define ASID 0

bool vhost_user_has_iommu(const struct vhost_user *vu)
{
	return has_bit(vu->features, VIRTIO_F_ACCESS_PLATFORM);
}

/* ---- misses: any thread in, control out ---- */

static bool is_known(const struct vhost_user_misses *m, uint64_t iova,
		     uint32_t perm)
{
	for (unsigned int i = 0; i < m->n; i++) {
		if (m->list[i].iova == iova && m->list[i].perm == perm) {
			return true;
		}
	}
	return false;
}

/* What finds no room is asked for again after the next change of the map. */
static void keep_miss(void *priv, uint32_t asid, uint64_t iova, uint32_t perm)
{
	struct vhost_user *vu = priv;
	struct vhost_user_misses *m = &vu->misses;
	const uint64_t one = 1;

	(void)asid; /* every group is in address space 0 */
	pthread_mutex_lock(&m->lock);
	if (m->n < VHOST_USER_MISSES_MAX && !is_known(m, iova, perm)) {
		m->list[m->n].iova = iova;
		m->list[m->n++].perm = perm;
	}
	pthread_mutex_unlock(&m->lock);
	(void)!write(m->event.fd, &one, sizeof(one));
}

bool vhost_user_next_miss(struct vhost_user *vu, struct vhost_iotlb_msg *ret)
{
	struct vhost_user_misses *m = &vu->misses;
	bool found;

	pthread_mutex_lock(&m->lock);
	found = m->n > 0;
	if (found) {
		*ret = (struct vhost_iotlb_msg){
			.iova = m->list[0].iova,
			.perm = (uint8_t)m->list[0].perm,
			.type = VHOST_IOTLB_MISS,
		};
		m->n--;
		memmove(m->list, m->list + 1, m->n * sizeof(m->list[0]));
	}
	pthread_mutex_unlock(&m->lock);
	return found;
}

static void miss_event(void *priv, unsigned int events)
{
	(void)events;
	vhost_user_tell(priv);
}

int vhost_user_iommu_update(struct vhost_user *vu)
{
	const struct vdpa_miss miss = { keep_miss, vu };
	int r;

	if (!vhost_user_has_iommu(vu)) {
		vhost_user_iommu_drop(vu);
		return 0;
	}
	if (vu->misses.event.watch) {
		return 0;
	}
	r = event_new(&vu->misses.event, vu->loop, miss_event, vu);
	return r < 0 ? r : vdpa_set_miss(vu->vdev, &miss);
}

void vhost_user_iommu_drop(struct vhost_user *vu)
{
	if (vu->misses.event.watch) {
		(void)vdpa_set_miss(vu->vdev, NULL); /* it took one */
		event_free(&vu->misses.event);
		vu->misses.n = 0;
	}
}

/* ---- messages ---- */

/* Maps the beginning of what is left of @m. Return: bytes, or -errno */
static int64_t map_piece(struct vhost_user *vu, const struct vhost_iotlb_msg *m)
{
	const struct vhost_user_slot *s =
		vhost_user_mem_find(vu->mem, m->uaddr);
	uint64_t offset, size;
	int r;

	if (!s) {
		return err(-EFAULT, "no region has the address 0x%llx",
			   (unsigned long long)m->uaddr);
	}
	offset = m->uaddr - s->r.user_addr;
	size = min_of(m->size, s->r.size - offset);
	r = vdpa_map(vu->vdev, ASID, m->iova, m->iova + (size - 1), s->region,
		     offset, m->perm);
	return r < 0 ? r : (int64_t)size;
}

static int map_all(struct vhost_user *vu, const struct vhost_iotlb_msg *m)
{
	struct vhost_iotlb_msg left = *m;
	int64_t n = 0;
	int end;

	vdpa_batch_begin(vu->vdev, ASID);
	(void)vdpa_unmap(vu->vdev, ASID, m->iova, m->iova + (m->size - 1));
	while (left.size > 0 && n >= 0) {
		n = map_piece(vu, &left);
		if (n > 0) {
			left.iova += (uint64_t)n;
			left.uaddr += (uint64_t)n;
			left.size -= (uint64_t)n;
		}
	}
	if (n < 0) {
		(void)vdpa_unmap(vu->vdev, ASID, m->iova,
				 m->iova + (m->size - 1));
	}
	end = vdpa_batch_end(vu->vdev, ASID);
	return n < 0 ? (int)n : end;
}

static int do_update(struct vhost_user *vu, const struct vhost_iotlb_msg *m)
{
	int r;

	if (m->perm < MEM_PERM_RO || m->perm > MEM_PERM_RW || m->size == 0 ||
	    m->size > INT64_MAX || m->iova > UINT64_MAX - (m->size - 1) ||
	    m->uaddr > UINT64_MAX - (m->size - 1)) {
		return err(-EINVAL,
			   "iotlb: 0x%llx bytes at 0x%llx, 0x%llx, "
			   "perm %u",
			   (unsigned long long)m->size,
			   (unsigned long long)m->iova,
			   (unsigned long long)m->uaddr, m->perm);
	}
	r = map_all(vu, m);
	if (r == -ENOSPC) {
		vdpa_reset_map(vu->vdev, ASID);
		r = map_all(vu, m);
	}
	return r;
}

/* All that is touched by the range goes; what was too much will be missed. */
static int do_invalidate(struct vhost_user *vu, const struct vhost_iotlb_msg *m)
{
	uint64_t last = m->iova + (m->size - 1);

	if (m->size == 0) {
		return 0;
	}
	if (last < m->iova) {
		last = UINT64_MAX;
	}
	return min_of(vdpa_unmap(vu->vdev, ASID, m->iova, last), 0);
}

int vhost_user_iotlb_msg(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	const struct vhost_iotlb_msg *m = &msg->payload.iotlb;

	if (!vhost_user_has_iommu(vu)) {
		return err(-EPROTO, "ACCESS_PLATFORM was not agreed on");
	}
	switch (m->type) {
	case VHOST_IOTLB_UPDATE:
		return do_update(vu, m);
	case VHOST_IOTLB_INVALIDATE:
		return do_invalidate(vu, m);
	default:
		return err(-EINVAL, "iotlb: message of type %u", m->type);
	}
}
