/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user front end: the client's memory.
 *
 * Theory of operation
 *
 * The client's map is the whole table (set_map()); the back end gets what of it
 * has a file, as regions whose guest address and user address are both the I/O
 * virtual address. Entries that follow one another in address and file are one
 * region.
 *
 * A back end that knows single regions (CONFIGURE_MEM_SLOTS) is told of changes
 * only: what it has and what is still right stays as it is, as requests may be
 * in it at this moment; what is not is taken, what is new is given, and only if
 * there are too many pieces then, all is taken and given anew. But where a
 * region is right in part (a PC's BIOS splits the machine's memory so), or the
 * back end knows tables only, requests would lose what they are in: queues stop
 * meanwhile. One table is better then than regions one by one, at the first of
 * which libvhost-user would miss the one that its rings are in.
 *
 * What a client leaves behind when it goes is taken back by ending the
 * connection, as when a VMM ends: libvhost-user (QEMU 10 and before) looks for a
 * ring's old addresses whenever it gets memory, and gives up if they are gone.
 * The next client gets a new connection. So does one that has other memory when
 * it starts once more.
 *
 * Memory without a file, and what the device may only read, cannot be given to
 * a process that maps it as it likes. It is left out, as VMMs leave out what
 * they cannot share; but rings must not be in it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dev/remote/vufront_internal.h"

#define SHARE_IT                                                              \
	"give it memory with a file (QEMU: memory-backend-memfd, share=on), " \
	"or add the device with bounce=on"

#define TOO_MANY_PIECES 1

/* ---- tables ---- */

static void clear(struct vufront_table *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		(void)region_unref(t->slots[i].region);
	}
	free(t->slots);
	memset(t, 0, sizeof(*t));
}

/* At its place. @slot's region is referenced. Return: 0; -ENOMEM */
static int insert(struct vufront_table *t, const struct vufront_slot *slot)
{
	uint32_t i = t->n;

	if (t->n == t->n_max) {
		uint32_t n_max = max_of(2 * t->n_max, 16U);
		struct vufront_slot *slots =
			realloc(t->slots, n_max * sizeof(*slots));

		if (!slots) {
			return err(-ENOMEM, "out of memory");
		}
		t->slots = slots;
		t->n_max = n_max;
	}
	while (i > 0 && t->slots[i - 1].start > slot->start) {
		i--;
	}
	memmove(&t->slots[i + 1], &t->slots[i],
		(t->n - i) * sizeof(t->slots[0]));
	t->slots[i] = *slot;
	(void)region_ref(slot->region);
	t->n++;
	return 0;
}

static void delete_at(struct vufront_table *t, uint32_t i)
{
	(void)region_unref(t->slots[i].region);
	t->n--;
	memmove(&t->slots[i], &t->slots[i + 1],
		(t->n - i) * sizeof(t->slots[0]));
}

static bool is_same_file(const struct vufront_slot *a,
			 const struct vufront_slot *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* Is all of @part in @whole, and the same bytes? */
static bool is_part(const struct vufront_slot *part,
		    const struct vufront_slot *whole)
{
	return is_same_file(part, whole) && part->start >= whole->start &&
	       part->last <= whole->last &&
	       part->offset - whole->offset == part->start - whole->start;
}

static bool is_in(const struct vufront_slot *slot,
		  const struct vufront_table *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (is_part(slot, &t->slots[i])) {
			return true;
		}
	}
	return false;
}

/* ---- what the client maps ---- */

/* Return: 1 it can be shared; 0 not */
static int as_slot(const struct iotlb_entry *e, struct vufront_slot *ret)
{
	uint64_t offset;
	int fd = region_file_fd(e->region, &offset);
	struct stat st;

	if (fd < 0 || (e->perm & MEM_PERM_RW) != MEM_PERM_RW ||
	    fstat(fd, &st) < 0) {
		return 0;
	}
	*ret = (struct vufront_slot){
		.start = e->start,
		.last = e->last,
		.offset = offset + e->offset,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.region = e->region,
	};
	return 1;
}

static bool follows(const struct vufront_slot *a, const struct vufront_slot *b)
{
	return a->last + 1 == b->start && is_same_file(a, b) &&
	       a->offset + (a->last - a->start) + 1 == b->offset;
}

/* Read-only memory is a machine's firmware, which no request needs. */
static int collect(struct vufront_dev *dev, const struct iotlb_snap *map,
		   struct vufront_table *t)
{
	const struct iotlb_entry *e = iotlb_first(map, 0);
	struct vufront_slot slot;
	uint64_t n_hidden = 0;
	int r = 0;

	while (e && r == 0) {
		if (!as_slot(e, &slot)) {
			n_hidden += (e->perm & MEM_PERM_WO) != 0;
		} else if (t->n > 0 && follows(&t->slots[t->n - 1], &slot)) {
			t->slots[t->n - 1].last = slot.last;
		} else {
			r = insert(t, &slot);
		}
		e = e->last == UINT64_MAX ? NULL
					  : iotlb_first(map, e->last + 1);
	}
	dev->stats.n_hidden = n_hidden;
	if (n_hidden > 0 && !dev->has_warned) {
		dev->has_warned = true;
		log_warn(dev->name,
			 "ignoring memory of the client that it cannot share "
			 "with the back end: " SHARE_IT);
	}
	return r;
}

/* ---- what the back end has ---- */

static struct vhost_user_region as_region(const struct vufront_slot *slot)
{
	return (struct vhost_user_region){
		.guest_addr = slot->start,
		.size = slot->last - slot->start + 1,
		.user_addr = slot->start,
		.mmap_offset = slot->offset,
	};
}

/* Of all at DRIVER_OK, when it is waited for once, and of each change later. */
static int tell(struct vufront_dev *dev, const struct vufront_request *req)
{
	return dev->is_started ? vufront_ask(dev, req, NULL)
			       : vufront_post(dev, req);
}

static int tell_region(struct vufront_dev *dev, uint32_t request,
		       const struct vufront_slot *slot, const int *fd)
{
	const struct vhost_user_mem_reg reg = { .region = as_region(slot) };
	const struct vufront_request req = { request, &reg, sizeof(reg), fd,
					     fd ? 1 : 0 };

	return tell(dev, &req);
}

static int take(struct vufront_dev *dev, uint32_t i)
{
	int r = tell_region(dev, VHOST_USER_REM_MEM_REG, &dev->table.slots[i],
			    NULL);

	if (r == 0) {
		delete_at(&dev->table, i);
	}
	return r;
}

static int give(struct vufront_dev *dev, const struct vufront_slot *slot)
{
	uint64_t offset;
	int fd = region_file_fd(slot->region, &offset);
	int r = tell_region(dev, VHOST_USER_ADD_MEM_REG, slot, &fd);

	return r < 0 ? r : insert(&dev->table, slot);
}

/* What of @whole the back end does not have; each piece is appended. */
static int find_gaps(const struct vufront_table *have,
		     const struct vufront_slot *whole,
		     struct vufront_table *gaps)
{
	struct vufront_slot gap = *whole;
	int r = 0;

	for (uint32_t i = 0; i < have->n && r == 0; i++) {
		const struct vufront_slot *s = &have->slots[i];

		if (!is_part(s, whole)) {
			continue;
		}
		if (s->start > gap.start) {
			gap.last = s->start - 1;
			r = insert(gaps, &gap);
		}
		gap.offset = s->offset + (s->last - s->start) + 1;
		gap.start = s->last + 1;
		gap.last = whole->last;
		if (s->last == whole->last) {
			return r;
		}
	}
	return r < 0 ? r : insert(gaps, &gap);
}

static int give_all(struct vufront_dev *dev, const struct vufront_table *t)
{
	int r = 0;

	for (uint32_t i = 0; i < t->n && r == 0; i++) {
		r = give(dev, &t->slots[i]);
	}
	return r;
}

static int set_table(struct vufront_dev *dev, const struct vufront_table *want)
{
	struct vhost_user_mem_table table = { .n_regions = want->n };
	int fds[VHOST_USER_REGIONS_MAX], r;
	const struct vufront_request req = { VHOST_USER_SET_MEM_TABLE, &table,
					     sizeof(table), fds,
					     table.n_regions };
	uint64_t offset;

	for (uint32_t i = 0; i < want->n; i++) {
		table.regions[i] = as_region(&want->slots[i]);
		fds[i] = region_file_fd(want->slots[i].region, &offset);
	}
	r = tell(dev, &req);
	if (r < 0) {
		return r;
	}
	clear(&dev->table);
	for (uint32_t i = 0; i < want->n && r == 0; i++) {
		r = insert(&dev->table, &want->slots[i]);
	}
	return r;
}

/* Is any of what it has right in part? */
static bool has_split(const struct vufront_table *have,
		      const struct vufront_table *want)
{
	for (uint32_t i = 0; i < have->n; i++) {
		const struct vufront_slot *s = &have->slots[i];

		for (uint32_t k = 0; k < want->n && !is_in(s, want); k++) {
			if (s->start <= want->slots[k].last &&
			    want->slots[k].start <= s->last) {
				return true;
			}
		}
	}
	return false;
}

/* Takes what is wrong, and gives what is missing. Return: 0; TOO_MANY_PIECES
 * they would be; -errno */
static int change_slots(struct vufront_dev *dev,
			const struct vufront_table *want)
{
	struct vufront_table gaps = { 0 };
	int r = 0;

	for (uint32_t i = dev->table.n; i-- > 0 && r == 0;) {
		if (!is_in(&dev->table.slots[i], want)) {
			r = take(dev, i);
		}
	}
	for (uint32_t i = 0; i < want->n && r == 0; i++) {
		r = find_gaps(&dev->table, &want->slots[i], &gaps);
	}
	if (r == 0) {
		r = dev->table.n + gaps.n <= dev->facts.n_slots
			    ? give_all(dev, &gaps)
			    : TOO_MANY_PIECES;
	}
	clear(&gaps);
	return r;
}

/* ---- all at once, nothing being underway ---- */

static int pause_queues(struct vufront_dev *dev)
{
	int r = 0;

	for (uint32_t i = 0; i < dev->vdev.nvqs && r == 0; i++) {
		dev->vqs[i].is_paused = dev->vqs[i].is_running;
		r = vufront_vq_stop(&dev->vqs[i]);
	}
	return r;
}

static int go_on(struct vufront_dev *dev)
{
	int r = 0;

	for (uint32_t i = 0; i < dev->vdev.nvqs && r == 0; i++) {
		if (dev->vqs[i].is_paused) {
			r = vufront_vq_restart(&dev->vqs[i]);
		}
	}
	return r;
}

static int replace_all(struct vufront_dev *dev,
		       const struct vufront_table *want)
{
	int r = dev->is_started ? pause_queues(dev) : 0;

	if (r == 0) {
		r = want->n <= VHOST_USER_REGIONS_MAX ? set_table(dev, want)
						      : change_slots(dev, want);
	}
	return r == 0 && dev->is_started ? go_on(dev) : r;
}

static bool is_equal(const struct vufront_table *a,
		     const struct vufront_table *b)
{
	for (uint32_t i = 0; i < a->n && a->n == b->n; i++) {
		if (!is_part(&a->slots[i], &b->slots[i]) ||
		    a->slots[i].last != b->slots[i].last ||
		    a->slots[i].start != b->slots[i].start) {
			return false;
		}
	}
	return a->n == b->n;
}

static int change(struct vufront_dev *dev, const struct vufront_table *want)
{
	bool has_slots =
		vufront_has(dev, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);

	if (is_equal(want, &dev->table)) {
		return 0;
	}
	if (want->n > dev->facts.n_slots) {
		return err(-ENOSPC,
			   "%s: the client's memory is %u regions, and the "
			   "back end takes %u: let it map fewer, or add the "
			   "device with bounce=on",
			   dev->name, want->n, dev->facts.n_slots);
	}
	if (has_slots && !has_split(&dev->table, want)) {
		int r = change_slots(dev, want);

		if (r != TOO_MANY_PIECES) {
			return r;
		}
	}
	return replace_all(dev, want);
}

static int update(struct vufront_dev *dev)
{
	struct vufront_table want = { 0 };
	int r = dev->map ? collect(dev, dev->map, &want) : 0;

	if (r == 0) {
		r = change(dev, &want);
	}
	clear(&want);
	dev->stats.n_regions = dev->table.n;
	return r;
}

/* ---- ops ---- */

int vufront_mem_start(struct vufront_dev *dev)
{
	return update(dev);
}

bool vufront_mem_is_kept(struct vufront_dev *dev)
{
	struct vufront_table want = { 0 };
	bool is_kept = !dev->map || collect(dev, dev->map, &want) == 0;

	for (uint32_t i = 0; i < dev->table.n && is_kept; i++) {
		is_kept = is_in(&dev->table.slots[i], &want);
	}
	clear(&want);
	return is_kept;
}

bool vufront_mem_has(const struct vufront_dev *dev, uint64_t iova,
		     uint64_t size)
{
	uint64_t last = iova + size - 1;

	for (uint32_t i = 0; i < dev->table.n && last >= iova; i++) {
		const struct vufront_slot *s = &dev->table.slots[i];

		if (s->start <= iova && iova <= s->last) {
			if (last <= s->last) {
				return true;
			}
			iova = s->last + 1;
		}
	}
	return false;
}

void vufront_mem_lost(struct vufront_dev *dev)
{
	clear(&dev->table);
	dev->stats.n_regions = 0;
}

static void drop_map(struct vufront_dev *dev)
{
	if (dev->map) {
		dev->map = iotlb_snap_unref(dev->map);
	}
}

void vufront_mem_fini(struct vufront_dev *dev)
{
	vufront_mem_lost(dev);
	drop_map(dev);
}

int vufront_set_map(struct vdpa_device *vdev, unsigned int asid,
		    struct iotlb_snap *map)
{
	struct vufront_dev *dev = vufront_dev_of(vdev);
	int r;

	(void)asid; /* there is one */
	drop_map(dev);
	dev->map = iotlb_snap_ref(map);
	if (vdev->is_dropping_maps && dev->table.n > 0) {
		vufront_renew(dev);
	}
	if (!dev->is_started) {
		return 0; /* the next start will tell */
	}
	r = update(dev);
	if (r < 0 && r != -ENOSPC) {
		/* What it has now is not known. */
		vufront_lose(dev, err_text(r));
	}
	return r;
}
