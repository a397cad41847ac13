/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfio-user: the client's memory.
 *
 * A piece with a file is mapped here and given to the device. One without could
 * only be read by messages, which this server does not send: it is noted, as
 * clients have such pieces (ROMs, video memory) that no driver uses, and the
 * device finds nothing there. Whether a driver does use one is seen when it
 * starts queues, and then said.
 *
 * The table is what the client said, sorted by address; the device's address
 * space has those of it that are shared.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "busdrv/peer_file.h"
#include "busdrv/vfio_user_internal.h"

#define FLAGS (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

typedef unsigned long long ull;

/* ---- the table ---- */

/* The first one that ends at @addr or behind. */
static unsigned int find(const struct vfio_user *vu, uint64_t addr)
{
	unsigned int low = 0, high = vu->n_dma;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (vu->dma[mid].last < addr) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low;
}

static void insert(struct vfio_user *vu, const struct vfio_user_dma *dma)
{
	unsigned int at = find(vu, dma->start);

	memmove(&vu->dma[at + 1], &vu->dma[at],
		(vu->n_dma - at) * sizeof(*vu->dma));
	vu->dma[at] = *dma;
	vu->n_dma++;
}

static void delete (struct vfio_user *vu, unsigned int at, unsigned int n)
{
	memmove(&vu->dma[at], &vu->dma[at + n],
		(vu->n_dma - at - n) * sizeof(*vu->dma));
	vu->n_dma -= n;
}

void vfio_user_dma_drop(struct vfio_user *vu)
{
	vu->n_dma = 0;
}

bool vfio_user_dma_is_unshared(const struct vfio_user *vu, uint64_t addr)
{
	unsigned int at = find(vu, addr);

	return at < vu->n_dma && vu->dma[at].start <= addr &&
	       !vu->dma[at].is_shared;
}

/* ---- map ---- */

static int check_map(const struct vfio_user *vu,
		     const struct vfio_user_dma_map *m)
{
	unsigned int at;

	if (m->argsz < sizeof(*m) || (m->flags & ~(uint32_t)FLAGS) ||
	    m->flags == 0) {
		return err(-EINVAL, "argsz %u, flags 0x%x", m->argsz, m->flags);
	}
	if (m->size == 0 || m->iova > UINT64_MAX - (m->size - 1)) {
		return err(-EINVAL, "0x%llx bytes at 0x%llx", (ull)m->size,
			   (ull)m->iova);
	}
	at = find(vu, m->iova);
	if (at < vu->n_dma && vu->dma[at].start <= m->iova + (m->size - 1)) {
		return err(-EEXIST, "0x%llx bytes at 0x%llx: there is memory",
			   (ull)m->size, (ull)m->iova);
	}
	if (vu->n_dma == VFIO_USER_DMA_MAX) {
		return err(-ENOSPC, "%d pieces of memory at most",
			   VFIO_USER_DMA_MAX);
	}
	return 0;
}

static void note(struct vfio_user *vu, const struct vfio_user_dma_map *m,
		 bool is_shared)
{
	const struct vfio_user_dma dma = {
		.start = m->iova,
		.last = m->iova + (m->size - 1),
		.is_shared = is_shared,
	};

	insert(vu, &dma);
}

static int has_mapped(struct vfio_user *vu, struct vfio_user_msg *msg,
		      int result)
{
	if (result == 0) {
		note(vu, (const void *)msg->payload, true);
	}
	return result;
}

int vfio_user_dma_map(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	const struct vfio_user_dma_map *m = (const void *)msg->payload;
	struct window_mapping mapping = {
		.start = m->iova,
		/* The bits are those of enum mem_perm. */
		.perm = m->flags,
	};
	struct stat st;
	int r = check_map(vu, m);

	if (r < 0) {
		return r;
	}
	if (msg->n_fds == 0) {
		note(vu, m, false);
		return 0;
	}
	r = peer_file_check(msg->fds[0], m->offset, m->size, &st);
	if (r == 0) {
		r = peer_file_map(msg->fds[0], m->offset, m->size, m->flags,
				  vdpa_has_dma_ops(vu->vdev), &vu->region);
	}
	if (r < 0) {
		return r;
	}
	mapping.last = m->iova + (m->size - 1);
	mapping.region = vu->region;
	vfio_user_begin(vu);
	vu->resume = has_mapped;
	window_map(virtio_pci_window(vu->pci), &vu->op, &mapping);
	r = vfio_user_wait(vu);
	return r == VFIO_USER_WAITS ? r : has_mapped(vu, msg, r);
}
_Static_assert(VFIO_DMA_MAP_FLAG_READ == MEM_PERM_RO &&
		       VFIO_DMA_MAP_FLAG_WRITE == MEM_PERM_WO,
	       "the same bits");

/* ---- unmap ---- */

/* Which of them: those that lie in the range. As with the kernel's VFIO, none
 * is no error, but a piece of one is. */
static int find_range(const struct vfio_user *vu,
		      const struct vfio_user_dma_unmap *u, unsigned int *ret_at,
		      unsigned int *ret_n)
{
	uint64_t last = u->iova + (u->size - 1);
	unsigned int at = 0, n = vu->n_dma;

	if (!(u->flags & VFIO_DMA_UNMAP_FLAG_ALL)) {
		at = find(vu, u->iova);
		n = 0;
		while (at + n < vu->n_dma && vu->dma[at + n].start <= last) {
			n++;
		}
		if (n > 0 && (vu->dma[at].start < u->iova ||
			      vu->dma[at + n - 1].last > last)) {
			return err(-EINVAL,
				   "0x%llx bytes at 0x%llx: a piece of what "
				   "was mapped at once",
				   (ull)u->size, (ull)u->iova);
		}
	}
	*ret_at = at;
	*ret_n = n;
	return 0;
}

static int check_unmap(const struct vfio_user_dma_unmap *u)
{
	bool is_all = u->flags & VFIO_DMA_UNMAP_FLAG_ALL;

	if (u->argsz < sizeof(*u) ||
	    (u->flags & ~(uint32_t)VFIO_DMA_UNMAP_FLAG_ALL)) {
		return err(-EINVAL, "argsz %u, flags 0x%x", u->argsz, u->flags);
	}
	if (is_all ? u->iova != 0 || u->size != 0
		   : u->size == 0 || u->iova > UINT64_MAX - (u->size - 1)) {
		return err(-EINVAL, "0x%llx bytes at 0x%llx", (ull)u->size,
			   (ull)u->iova);
	}
	return 0;
}

static int has_unmapped(struct vfio_user *vu, struct vfio_user_msg *msg,
			int result)
{
	const struct vfio_user_dma_unmap *u = (const void *)msg->payload;
	unsigned int at, n;

	if (result == 0) {
		(void)find_range(vu, u, &at, &n); /* as before */
		delete (vu, at, n);
		msg->reply_size = sizeof(*u);
	}
	return result;
}

int vfio_user_dma_unmap(struct vfio_user *vu, struct vfio_user_msg *msg)
{
	const struct vfio_user_dma_unmap *u = (const void *)msg->payload;
	unsigned int at, n;
	int r = check_unmap(u);

	if (r == 0) {
		r = find_range(vu, u, &at, &n);
	}
	if (r < 0) {
		return r;
	}
	if (n == 0) {
		return has_unmapped(vu, msg, 0);
	}
	vfio_user_begin(vu);
	vu->resume = has_unmapped;
	window_unmap(virtio_pci_window(vu->pci), &vu->op, vu->dma[at].start,
		     vu->dma[at + n - 1].last);
	r = vfio_user_wait(vu);
	return r == VFIO_USER_WAITS ? r : has_unmapped(vu, msg, r);
}
