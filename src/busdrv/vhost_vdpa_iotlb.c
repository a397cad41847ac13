/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-vdpa: write(), IOTLB messages.
 *
 * A message is EINVAL when it is none, and EFAULT for everything else that may
 * be wrong with it, as in the kernel's vhost_chr_write_iter(). The reason is in
 * the debug log.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "busdrv/vhost_vdpa_internal.h"

/* Both versions are this long, and a write is said to have been, however short
 * it was; the part that matters ends earlier. */
#define MSG_BYTES 72
#define MSG_HEAD  8
_Static_assert(sizeof(struct vhost_msg_v2) == MSG_BYTES, "ABI");
_Static_assert(offsetof(struct vhost_msg_v2, iotlb) == MSG_HEAD, "ABI");
_Static_assert(sizeof(struct vhost_iotlb_msg) == 32, "ABI");

/* Most VMAs that one update may span: the table holds no more. */
#define PIECES_MAX IOTLB_DEFAULT_LIMIT

static int map_pieces(struct vhost_vdpa *v, uint32_t asid,
		      const struct vhost_iotlb_msg *msg,
		      const struct client_piece *pieces, int n)
{
	for (int i = 0; i < n; i++) {
		uint64_t start = msg->iova + (pieces[i].uaddr - msg->uaddr);
		int ret = vdpa_map(v->vdev, asid, start,
				   start + pieces[i].size - 1, pieces[i].region,
				   0, msg->perm);

		if (ret < 0) {
			return ret;
		}
	}
	return 0;
}

/* One update is all or nothing, and one change for the device. */
static int map_all(struct vhost_vdpa *v, uint32_t asid,
		   const struct vhost_iotlb_msg *msg,
		   const struct client_piece *pieces, int n)
{
	uint64_t last = msg->iova + msg->size - 1;
	int ret;

	if (!v->in_batch) {
		vdpa_batch_begin(v->vdev, asid);
	}
	ret = map_pieces(v, asid, msg, pieces, n);
	if (ret < 0) {
		(void)vdpa_unmap(v->vdev, asid, msg->iova, last);
	}
	if (!v->in_batch) {
		int end = vdpa_batch_end(v->vdev, asid);

		if (ret == 0 && end < 0) {
			ret = end;
			(void)vdpa_unmap(v->vdev, asid, msg->iova, last);
		}
	}
	return ret;
}

static bool overlaps(struct vhost_vdpa *v, uint32_t asid, uint64_t start,
		     uint64_t last)
{
	struct iotlb_snap *snap = vdpa_snapshot(v->vdev, asid);
	const struct iotlb_entry *e = iotlb_first(snap, start);
	bool found = e && e->start <= last;

	iotlb_snap_unref(snap);
	return found;
}

static int process_update(struct vhost_vdpa *v, uint32_t asid,
			  const struct vhost_iotlb_msg *msg)
{
	_cleanup_free_ struct client_piece *pieces = NULL;
	uint64_t last;
	int n, ret;

	if (msg->iova > UINT64_MAX - (msg->size - 1)) {
		return err(-EINVAL, "iotlb: update wraps");
	}
	last = msg->iova + msg->size - 1;
	if (msg->iova < v->iova_range.first || last > v->iova_range.last) {
		return err(-EINVAL, "iotlb: outside of the IOVA range");
	}
	if (overlaps(v, asid, msg->iova, last)) {
		return err(-EEXIST, "iotlb: overlaps a mapping");
	}
	if (msg->uaddr > UINT64_MAX - (msg->size - 1)) {
		return err(-EINVAL, "iotlb: user address wraps");
	}
	pieces = calloc(PIECES_MAX, sizeof(*pieces));
	if (!pieces) {
		return -ENOMEM;
	}
	n = client_mem_resolve(v->mem, msg->uaddr, msg->size,
			       msg->perm & MEM_PERM_RW, pieces, PIECES_MAX);
	if (n < 0) {
		return n;
	}
	ret = map_all(v, asid, msg, pieces, n);
	for (int i = 0; i < n; i++) {
		region_unref(pieces[i].region);
	}
	return ret;
}

/* Without a match, and for a range that ends before it starts, nothing is
 * done. size 0 at 0 is the whole space: the sum wraps, as the kernel's does. */
static int process_invalidate(struct vhost_vdpa *v, uint32_t asid,
			      const struct vhost_iotlb_msg *msg)
{
	uint64_t last = msg->iova + msg->size - 1;
	int n;

	if (last < msg->iova) {
		return 0;
	}
	n = vdpa_unmap(v->vdev, asid, msg->iova, last);
	/* It is gone from the table; what the device said to that is nobody's
	 * business, in the kernel either. */
	return n == -ENOMEM ? n : 0;
}

static int find_as(struct vhost_vdpa *v, uint32_t asid, uint8_t type)
{
	bool makes_it = type == VHOST_IOTLB_UPDATE ||
			type == VHOST_IOTLB_BATCH_BEGIN;

	if (asid >= v->vdev->nas) {
		return err(-EINVAL, "iotlb: asid %u of %u", asid, v->vdev->nas);
	}
	if (makes_it) {
		v->as_used |= BIT_ULL(asid);
	} else if (!has_bit(v->as_used, asid)) {
		return err(-EINVAL, "iotlb: asid %u was never used", asid);
	}
	if (v->in_batch && v->batch_asid != asid) {
		return err(-EINVAL, "iotlb: asid %u in a batch of asid %u",
			   asid, v->batch_asid);
	}
	return 0;
}

static int process_message(struct vhost_vdpa *v, uint32_t asid,
			   const struct vhost_iotlb_msg *msg)
{
	int ret = find_as(v, asid, msg->type);

	if (ret < 0) {
		return ret;
	}
	switch (msg->type) {
	case VHOST_IOTLB_UPDATE:
		return process_update(v, asid, msg);
	case VHOST_IOTLB_INVALIDATE:
		return process_invalidate(v, asid, msg);
	case VHOST_IOTLB_BATCH_BEGIN:
		v->in_batch = true;
		v->batch_asid = asid;
		vdpa_batch_begin(v->vdev, asid);
		return 0;
	case VHOST_IOTLB_BATCH_END:
		v->in_batch = false;
		vdpa_batch_touch(v->vdev, asid);
		(void)vdpa_batch_end(v->vdev, asid); /* the kernel ignores it */
		return 0;
	default:
		return err(-EINVAL, "iotlb: message of type %u", msg->type);
	}
}

/* The address space that a message is about: only version 2 can say so, and
 * only if that was agreed on. Version 1 has padding there. */
static uint32_t message_asid(const struct vhost_vdpa *v, const void *buf,
			     uint32_t version)
{
	uint32_t asid;

	if (version != VHOST_IOTLB_MSG_V2 ||
	    !has_bit(v->backend_features, VHOST_BACKEND_F_IOTLB_ASID)) {
		return 0;
	}
	memcpy(&asid, (const char *)buf + sizeof(version), sizeof(asid));
	return asid;
}

int64_t vhost_vdpa_do_write(struct vhost_vdpa *v, struct cdev_call *call,
			    const void *buf, size_t len)
{
	struct vhost_iotlb_msg msg;
	uint32_t version;
	int ret;

	if (!v->vdev) {
		return -ENODEV;
	}
	if (cdev_call_is_async(call)) {
		vhost_vdpa_use_gate(v);
	}
	if (len < MSG_HEAD + sizeof(msg)) {
		return -EINVAL;
	}
	memcpy(&version, buf, sizeof(version));
	memcpy(&msg, (const char *)buf + MSG_HEAD, sizeof(msg));
	if ((version != VHOST_IOTLB_MSG && version != VHOST_IOTLB_MSG_V2) ||
	    (msg.type == VHOST_IOTLB_UPDATE && msg.size == 0)) {
		return -EINVAL;
	}
	if (!v->owner || v->owner != cdev_call_task(call)) {
		return -EFAULT;
	}
	ret = process_message(v, message_asid(v, buf, version), &msg);
	if (ret < 0) {
		log_debug(v->vdev->name, "%s: iova 0x%llx size 0x%llx",
			  err_text(ret), (unsigned long long)msg.iova,
			  (unsigned long long)msg.size);
		return -EFAULT;
	}
	return MSG_BYTES;
}

void vhost_vdpa_drop_maps(struct vhost_vdpa *v)
{
	for (uint32_t asid = 0; asid < v->vdev->nas; asid++) {
		if (has_bit(v->as_used, asid)) {
			vdpa_reset_map(v->vdev, asid);
		}
	}
	v->as_used = 0;
	v->in_batch = false;
}
