/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_vdpa: address spaces. On the link's thread.
 *
 * Theory of operation
 *
 * The bus hands over whole tables (set_map); the node takes single changes. So
 * the table that the other side was last told is kept, and the difference to the
 * new one is sent: what has gone, then what has come. An address is where this
 * process has the memory mapped: the kernel pins these pages, another daemon
 * finds the file behind them.
 *
 * Changes are sent as batches, be it of one. Outside of a batch the kernel tells
 * its device of an update while it holds the lock of this process's memory map
 * (vhost_vdpa_va_map()): as long as a VDUSE process behind it does not answer, no
 * thread of ours could map anything, and if that process is ours it never
 * would. The price is that the kernel does not say whether the device took the
 * end of a batch.
 *
 * When a message fails it is not known how far the other side got. Then all of
 * the address space is taken back, and the next table is sent as a whole; as is
 * the last one before DRIVER_OK, when a reset may have emptied the device behind
 * the node (which is what VHOST_BACKEND_F_IOTLB_PERSIST excludes). Tables that
 * the other side may have are kept, and their regions with them, until it says
 * that it let them go, or the node is closed.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dev/remote/rvdpa_internal.h"

/* A message has this size whatever it says (ABI). */
_Static_assert(sizeof(struct vhost_msg_v2) == 72, "ABI");

static int send(const struct rvdpa_link *link, uint32_t asid,
		const struct vhost_iotlb_msg *iotlb)
{
	const struct vhost_msg_v2 msg = {
		.type = VHOST_IOTLB_MSG_V2,
		.asid = asid,
		.iotlb = *iotlb,
	};
	int n;

	do {
		n = link->sys->write(link->fd, &msg, sizeof(msg));
	} while (n == -EINTR);
	if (n < 0) {
		return n;
	}
	return n == (int)sizeof(msg) ? 0 : -EPROTO;
}

static int send_type(const struct rvdpa_link *link, uint32_t asid, uint8_t type)
{
	const struct vhost_iotlb_msg iotlb = { .type = type };
	int r = send(link, asid, &iotlb);

	return r < 0 ? err(r, "an IOTLB batch: %s", strerror(-r)) : 0;
}

static int send_update(const struct rvdpa_link *link, uint32_t asid,
		       const struct iotlb_entry *e)
{
	const struct vhost_iotlb_msg iotlb = {
		.iova = e->start,
		.size = e->last - e->start + 1,
		.uaddr = (uintptr_t)e->va,
		.perm = (uint8_t)(e->perm & MEM_PERM_RW),
		.type = VHOST_IOTLB_UPDATE,
	};
	int r = send(link, asid, &iotlb);

	return r < 0 ? err(r,
			   "the other side does not take memory at 0x%llx, "
			   "0x%llx bytes: %s (if it pins memory: is there "
			   "enough in RLIMIT_MEMLOCK?)",
			   (unsigned long long)e->start,
			   (unsigned long long)iotlb.size, strerror(-r))
		     : 0;
}

static int send_invalidate(const struct rvdpa_link *link, uint32_t asid,
			   uint64_t start, uint64_t last)
{
	const struct vhost_iotlb_msg iotlb = {
		.iova = start,
		.size = last - start + 1, /* 0 is the whole space */
		.type = VHOST_IOTLB_INVALIDATE,
	};
	int r = send(link, asid, &iotlb);

	return r < 0 ? err(r, "the other side does not give memory back: %s",
			   strerror(-r))
		     : 0;
}

/* ---- differences ---- */

static const struct iotlb_entry *next(const struct iotlb_snap *map,
				      const struct iotlb_entry *e)
{
	if (!map || (e && e->last == UINT64_MAX)) {
		return NULL;
	}
	return iotlb_first(map, e ? e->last + 1 : 0);
}

/* Memory that is not mapped here is not shown; see rvdpa_set_map(). */
static bool is_shown(const struct iotlb_entry *e)
{
	return e->va != NULL;
}

static bool is_in(const struct iotlb_snap *map, const struct iotlb_entry *e)
{
	const struct iotlb_entry *f = map ? iotlb_find(map, e->start) : NULL;

	return f && f->start == e->start && f->last == e->last &&
	       f->va == e->va && f->region == e->region && f->perm == e->perm;
}

static bool is_same(const struct iotlb_snap *old, const struct iotlb_snap *new)
{
	const struct iotlb_entry *e;

	for (e = next(old, NULL); e; e = next(old, e)) {
		if (is_shown(e) && !is_in(new, e)) {
			return false;
		}
	}
	for (e = next(new, NULL); e; e = next(new, e)) {
		if (is_shown(e) && !is_in(old, e)) {
			return false;
		}
	}
	return true;
}

static int send_changes(const struct rvdpa_link *link, uint32_t asid,
			const struct iotlb_snap *old,
			const struct iotlb_snap *new)
{
	const struct iotlb_entry *e;
	int r = 0;

	for (e = next(old, NULL); e && r == 0; e = next(old, e)) {
		if (is_shown(e) && !is_in(new, e)) {
			r = send_invalidate(link, asid, e->start, e->last);
		}
	}
	for (e = next(new, NULL); e && r == 0; e = next(new, e)) {
		if (is_shown(e) && !is_in(old, e)) {
			r = send_update(link, asid, e);
		}
	}
	return r;
}

static bool has_batches(const struct rvdpa_link *link)
{
	return has_bit(link->facts.backend_features,
		       VHOST_BACKEND_F_IOTLB_BATCH);
}

/* From @old, which it has, to @new. */
static int send_difference(struct rvdpa_link *link, uint32_t asid,
			   const struct iotlb_snap *old,
			   const struct iotlb_snap *new)
{
	bool is_batch = has_batches(link);
	int r = 0, end;

	if (is_same(old, new)) {
		return 0;
	}
	link->used_as |= BIT_ULL(asid);
	if (is_batch) {
		r = send_type(link, asid, VHOST_IOTLB_BATCH_BEGIN);
	}
	if (r == 0) {
		r = send_changes(link, asid, old, new);
	}
	if (is_batch) {
		end = send_type(link, asid, VHOST_IOTLB_BATCH_END);
		r = r < 0 ? r : end;
	}
	return r;
}

/* Takes everything back. An address space that it never heard of is empty, and
 * it would say that it does not know it. */
static int flush(struct rvdpa_link *link, uint32_t asid)
{
	return has_bit(link->used_as, asid)
		       ? send_invalidate(link, asid, 0, UINT64_MAX)
		       : 0;
}

/* ---- tables ---- */

static void drop_map(struct rvdpa_link *link, uint32_t asid)
{
	if (link->maps[asid]) {
		(void)iotlb_snap_unref(link->maps[asid]);
		link->maps[asid] = NULL;
	}
}

/* It has taken nothing of the new one, or all of it may be in use. */
static void fail(struct rvdpa_link *link, uint32_t asid)
{
	if (flush(link, asid) == 0) {
		drop_map(link, asid);
		link->stale_as &= ~BIT_ULL(asid);
	} else {
		link->stale_as |= BIT_ULL(asid);
	}
}

/* Return: 0: it has @map now */
static int tell(struct rvdpa_link *link, uint32_t asid,
		const struct iotlb_snap *map)
{
	const struct iotlb_snap *old = link->maps[asid];
	int r = 0;

	if (has_bit(link->stale_as, asid)) {
		r = flush(link, asid);
		old = NULL;
	}
	if (r == 0) {
		link->stale_as &= ~BIT_ULL(asid);
		r = send_difference(link, asid, old, map);
	}
	return r;
}

/* The job's table may still be in use where it could not be taken back. There
 * will be no other one. */
static void keep(struct rvdpa_link *link, struct rvdpa_job *job)
{
	struct rvdpa_job *kept = rvdpa_job_new(NULL);

	if (kept) {
		kept->map = iotlb_snap_ref(job->map);
		list_add_tail(&link->kept, &kept->node);
	} else {
		(void)iotlb_snap_ref(job->map); /* better lost than reused */
	}
}

int rvdpa_run_map(struct rvdpa_link *link, struct rvdpa_job *job)
{
	uint32_t asid = job->asid;
	char text[ERR_TEXT_MAX];
	int r;

	if (!list_is_empty(&link->kept)) {
		return err(-EIO, "the other side did not give memory back "
				 "that it was asked for");
	}
	r = tell(link, asid, job->map);
	if (r == 0) {
		drop_map(link, asid);
		link->maps[asid] = job->map;
		job->map = NULL;
		return 0;
	}
	(void)snprintf(text, sizeof(text), "%s", err_text(r));
	fail(link, asid);
	if (has_bit(link->stale_as, asid)) {
		keep(link, job);
	}
	return err(r, "%s", text);
}

int rvdpa_restore_maps(struct rvdpa_link *link)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < link->facts.nas; i++) {
		if (has_bit(link->stale_as, i)) {
			r = tell(link, i, link->maps[i]);
			link->stale_as |= r < 0 ? BIT_ULL(i) : 0;
		}
	}
	return r;
}

void rvdpa_forget_maps(struct rvdpa_link *link)
{
	struct rvdpa_job *job, *tmp;

	for (uint32_t i = 0; i < VDPA_AS_MAX; i++) {
		drop_map(link, i);
	}
	list_for_each_entry_safe(job, tmp, &link->kept, node) {
		list_del(&job->node);
		rvdpa_job_free(job);
	}
}
