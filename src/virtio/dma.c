/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that drivers of this process share with devices. See dma.h.
 *
 * Theory of operation
 *
 * A space has two tables of what data threads may look up, sorted by address.
 * One is in force; control writes the other one and puts it in force. So a
 * thread that looks something up is never in a table that is being written,
 * unless two changes came meanwhile: the table's number tells, and it looks
 * again. A table that has become too small is replaced by one twice as large,
 * and kept until the end of the space, since a thread may be in it: all of
 * those together are no larger than the last one.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "virtio/dma.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/list.h"

#define N_TABLES      2
#define TABLE_N_LEAST 16U

struct dma_pool {
	struct region *regions[DMA_PIECES_MAX];
	unsigned int n;
};

/* A piece as the device knows it. */
struct dma_piece {
	struct region *region;
	uint64_t iova;
	bool is_private; /* of dma_alloc() */
	bool is_stale; /* nobody's any more, but the device has not let go */
};

/* All fields: any thread, atomic. */
struct dma_entry {
	uint64_t va;
	uint64_t size_bytes;
	uint64_t iova;
};

struct dma_table {
	struct dma_table *older; /* control only: too small, still looked at */
	uint32_t n_max; /* of it; never changes */
	uint32_t seq; /* any thread, atomic; odd: it is being written */
	uint32_t n; /* any thread, atomic */
	struct dma_entry e[];
};

struct dma_space {
	struct dma_pool *pool;
	struct virtio_device *vdev;
	struct dma_piece *pieces; /* control only */
	unsigned int n_pieces, n_room;
	uint64_t first, last; /* I/O virtual addresses that there are */
	struct dma_table *tables[N_TABLES]; /* control only */
	unsigned int current; /* control only */
	struct dma_table *table; /* any thread, atomic: the one in force */
};

/* ---- the pool ---- */

int dma_pool_new(struct dma_pool **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : err(-ENOMEM, "memory: out of memory");
}

struct dma_pool *dma_pool_free(struct dma_pool *pool)
{
	if (pool) {
		for (unsigned int i = 0; i < pool->n; i++) {
			region_unref(pool->regions[i]);
		}
		free(pool);
	}
	return NULL;
}

/* A file that nobody can shrink, whoever is given it. */
static int open_file(uint64_t size_bytes, int *ret_fd)
{
	_cleanup_close_ int fd =
		memfd_create("vdpakit", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
		    0) {
		return err(-errno, "memory of %llu bytes: %s",
			   (unsigned long long)size_bytes, strerror(errno));
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

int dma_region_new(uint64_t size_bytes, struct region **ret)
{
	struct mem_file *file;
	int fd, r;

	if (size_bytes == 0 || size_bytes > INT64_MAX - DMA_PAGE_BYTES) {
		return err(-EINVAL, "memory of %llu bytes cannot be",
			   (unsigned long long)size_bytes);
	}
	size_bytes = align_up(size_bytes, DMA_PAGE_BYTES);
	r = open_file(size_bytes, &fd);
	if (r == 0) {
		r = mem_file_new(fd, &file);
	}
	if (r < 0) {
		return r;
	}
	r = region_new_file(file, 0, size_bytes, MEM_PERM_RW, ret);
	mem_file_unref(file);
	return r;
}

static uint64_t va_of(const struct region *region)
{
	return (uint64_t)(uintptr_t)region_va(region);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b ? b - a < a_size : a - b < b_size;
}

int dma_pool_add(struct dma_pool *pool, struct region *region)
{
	uint64_t va = va_of(region), size = region_size(region);

	if (va == 0 || va % DMA_PAGE_BYTES != 0 || size % DMA_PAGE_BYTES != 0) {
		return err(-EINVAL, "memory: not whole pages of 4 KiB");
	}
	for (unsigned int i = 0; i < pool->n; i++) {
		if (overlap(va, size, va_of(pool->regions[i]),
			    region_size(pool->regions[i]))) {
			return err(-EEXIST,
				   "memory: some of it is known already");
		}
	}
	if (pool->n == DMA_PIECES_MAX) {
		return err(-ENOSPC, "memory: %u pieces are the limit",
			   DMA_PIECES_MAX);
	}
	pool->regions[pool->n++] = region_ref(region);
	return 0;
}

struct region *dma_pool_remove(struct dma_pool *pool, const void *va)
{
	for (unsigned int i = 0; i < pool->n; i++) {
		struct region *region = pool->regions[i];

		if (region_va(region) == va) {
			pool->regions[i] = pool->regions[--pool->n];
			return region;
		}
	}
	return NULL;
}

static bool pool_has(const struct dma_pool *pool, const struct region *region)
{
	for (unsigned int i = 0; i < pool->n; i++) {
		if (pool->regions[i] == region) {
			return true;
		}
	}
	return false;
}

/* ---- tables ---- */

static struct dma_table *table_new(uint32_t n_max)
{
	struct dma_table *t =
		calloc(1, sizeof(*t) + n_max * sizeof(struct dma_entry));

	if (t) {
		t->n_max = n_max;
	}
	return t;
}

/* Both tables will hold @n. */
static int tables_reserve(struct dma_space *dma, uint32_t n)
{
	for (unsigned int i = 0; i < N_TABLES; i++) {
		struct dma_table *old = dma->tables[i], *t;
		uint32_t n_max = old ? old->n_max : TABLE_N_LEAST;

		while (n_max < n) {
			n_max *= 2;
		}
		if (old && old->n_max == n_max) {
			continue;
		}
		t = table_new(n_max);
		if (!t) {
			return err(-ENOMEM, "memory: out of memory");
		}
		/* The one in force is looked at until the other one is. */
		t->older = old;
		if (old) {
			t->n = old->n;
			memcpy(t->e, old->e, old->n * sizeof(*old->e));
		}
		dma->tables[i] = t;
		if (i == dma->current) {
			__atomic_store_n(&dma->table, t, __ATOMIC_RELEASE);
		}
	}
	return 0;
}

static void store64(uint64_t *p, uint64_t v)
{
	/* After the number that says "being written"; pairs with load64(). */
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static void put_entry(struct dma_table *t, uint32_t n,
		      const struct dma_piece *piece)
{
	uint64_t va = va_of(piece->region);
	uint32_t at = n;

	while (at > 0 && t->e[at - 1].va > va) {
		store64(&t->e[at].va, t->e[at - 1].va);
		store64(&t->e[at].size_bytes, t->e[at - 1].size_bytes);
		store64(&t->e[at].iova, t->e[at - 1].iova);
		at--;
	}
	store64(&t->e[at].va, va);
	store64(&t->e[at].size_bytes, region_size(piece->region));
	store64(&t->e[at].iova, piece->iova);
}

/* Puts the pieces of the pool that the space has in force. */
static void tables_publish(struct dma_space *dma)
{
	unsigned int next = (dma->current + 1) % N_TABLES;
	struct dma_table *t = dma->tables[next];
	uint32_t n = 0;

	__atomic_store_n(&t->seq, t->seq + 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < dma->n_pieces; i++) {
		if (!dma->pieces[i].is_private && !dma->pieces[i].is_stale) {
			put_entry(t, n++, &dma->pieces[i]);
		}
	}
	__atomic_store_n(&t->n, n, __ATOMIC_RELEASE);
	__atomic_store_n(&t->seq, t->seq + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&dma->table, t, __ATOMIC_RELEASE);
	dma->current = next;
}

static void tables_free(struct dma_space *dma)
{
	for (unsigned int i = 0; i < N_TABLES; i++) {
		struct dma_table *t = dma->tables[i];

		while (t) {
			struct dma_table *older = t->older;

			free(t);
			t = older;
		}
	}
}

/* ---- lookup ---- */

static inline uint64_t load64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* Is all of [@va, @va + @len) in it? */
static inline bool entry_get(const struct dma_entry *e, uint64_t va,
			     uint64_t len, uint64_t *ret_iova)
{
	uint64_t off = va - load64(&e->va);
	uint64_t size = load64(&e->size_bytes);

	*ret_iova = load64(&e->iova) + off;
	return off < size && len <= size - off;
}

/* The last entry that begins at or before @va, or the first one. */
static unsigned int table_search(const struct dma_table *t, uint32_t n,
				 uint64_t va)
{
	unsigned int low = 0, high = n;

	while (high - low > 1) {
		unsigned int mid = low + (high - low) / 2;

		if (load64(&t->e[mid].va) <= va) {
			low = mid;
		} else {
			high = mid;
		}
	}
	return low;
}

static bool table_get(const struct dma_table *t, unsigned int *cursor,
		      uint64_t va, uint64_t len, uint64_t *ret_iova)
{
	uint32_t n = __atomic_load_n(&t->n, __ATOMIC_ACQUIRE);

	if (likely(*cursor < n &&
		   entry_get(&t->e[*cursor], va, len, ret_iova))) {
		return true;
	}
	if (n == 0 || n > t->n_max) {
		return false;
	}
	*cursor = table_search(t, n, va);
	return entry_get(&t->e[*cursor], va, len, ret_iova);
}

int dma_iova(const struct dma_space *dma, unsigned int *cursor, const void *va,
	     uint64_t len, uint64_t *ret_iova)
{
	for (;;) {
		const struct dma_table *t =
			__atomic_load_n(&dma->table, __ATOMIC_ACQUIRE);
		uint32_t seq = __atomic_load_n(&t->seq, __ATOMIC_ACQUIRE);
		uint64_t iova;
		bool is_there = table_get(t, cursor, (uintptr_t)va, len, &iova);

		/* Odd: there is another one in force by now. */
		if (unlikely(seq % 2 != 0 ||
			     __atomic_load_n(&t->seq, __ATOMIC_ACQUIRE) !=
				     seq)) {
			continue;
		}
		if (likely(is_there)) {
			*ret_iova = iova;
		}
		return is_there ? 0 : -EFAULT;
	}
}

/* ---- the space: addresses ---- */

/* A piece that has some of it; NULL: nobody has. */
static const struct dma_piece *find_taken(const struct dma_space *dma,
					  uint64_t iova, uint64_t size)
{
	for (unsigned int i = 0; i < dma->n_pieces; i++) {
		const struct dma_piece *p = &dma->pieces[i];

		if (overlap(iova, size, p->iova, region_size(p->region))) {
			return p;
		}
	}
	return NULL;
}

static bool in_range(const struct dma_space *dma, uint64_t iova, uint64_t size)
{
	return iova >= dma->first && iova <= dma->last &&
	       size - 1 <= dma->last - iova;
}

static int pick_iova(const struct dma_space *dma, const struct region *region,
		     uint64_t *ret)
{
	uint64_t size = region_size(region), at = va_of(region);

	if (in_range(dma, at, size) && !find_taken(dma, at, size)) {
		*ret = at;
		return 0;
	}
	/* 0 means "none" to some devices. */
	at = max_of(align_up(dma->first, DMA_PAGE_BYTES), DMA_PAGE_BYTES);
	while (in_range(dma, at, size)) {
		const struct dma_piece *taken = find_taken(dma, at, size);
		uint64_t next;

		if (!taken) {
			*ret = at;
			return 0;
		}
		next = align_up(taken->iova + region_size(taken->region),
				DMA_PAGE_BYTES);
		if (next <= at) {
			break; /* that was the last page there is */
		}
		at = next;
	}
	return err(-ENOSPC,
		   "%s: no room for %llu bytes in its addresses 0x%llx to "
		   "0x%llx",
		   dma->vdev->name, (unsigned long long)size,
		   (unsigned long long)dma->first,
		   (unsigned long long)dma->last);
}

/* ---- the space: pieces ---- */

static int pieces_reserve(struct dma_space *dma, unsigned int n)
{
	struct dma_piece *pieces;

	if (n <= dma->n_room) {
		return 0;
	}
	n = max_of(n, 2 * dma->n_room);
	pieces = realloc(dma->pieces, n * sizeof(*pieces));
	if (!pieces) {
		return err(-ENOMEM, "memory: out of memory");
	}
	dma->pieces = pieces;
	dma->n_room = n;
	return 0;
}

/* Takes a reference. Room was made. */
static int piece_add(struct dma_space *dma, struct region *region,
		     bool is_private)
{
	struct dma_piece piece = { .region = region, .is_private = is_private };
	int ret = pick_iova(dma, region, &piece.iova);

	if (ret == 0) {
		ret = dma->vdev->config->map(dma->vdev, piece.iova, region);
	}
	if (ret < 0) {
		return ret;
	}
	region_ref(region);
	dma->pieces[dma->n_pieces++] = piece;
	return 0;
}

/*
 * Takes them away from the device, from number @n on. What that fails for (no
 * memory, no answer) stays, as nobody's, and is tried again next time.
 */
static void drop_from(struct dma_space *dma, unsigned int n)
{
	unsigned int n_stale = 0;

	for (unsigned int i = n; i < dma->n_pieces; i++) {
		struct dma_piece p = dma->pieces[i];
		int ret = dma->vdev->config->unmap(dma->vdev, p.iova,
						   region_size(p.region));

		if (ret < 0) {
			p.is_stale = true;
			dma->pieces[n + n_stale++] = p;
		} else {
			region_unref(p.region);
		}
	}
	dma->n_pieces = n + n_stale;
}

static bool space_has(const struct dma_space *dma, const struct region *region)
{
	for (unsigned int i = 0; i < dma->n_pieces; i++) {
		if (dma->pieces[i].region == region &&
		    !dma->pieces[i].is_stale) {
			return true;
		}
	}
	return false;
}

static bool is_wanted(const struct dma_space *dma, const struct dma_piece *p)
{
	return !p->is_stale &&
	       (p->is_private || pool_has(dma->pool, p->region));
}

/* What went from the pool: data threads first, then the device. */
static void drop_gone(struct dma_space *dma)
{
	unsigned int n_kept = 0, n_all = dma->n_pieces;
	struct dma_piece *p = dma->pieces;

	for (unsigned int i = 0; i < n_all; i++) {
		if (is_wanted(dma, &p[i])) {
			struct dma_piece kept = p[i];

			p[i] = p[n_kept];
			p[n_kept++] = kept;
		}
	}
	if (n_kept < n_all) {
		dma->n_pieces = n_kept;
		tables_publish(dma);
		dma->n_pieces = n_all;
		drop_from(dma, n_kept);
	}
}

static int add_new(struct dma_space *dma)
{
	unsigned int n_before = dma->n_pieces;
	int ret = 0;

	for (unsigned int i = 0; i < dma->pool->n; i++) {
		struct region *region = dma->pool->regions[i];

		if (space_has(dma, region)) {
			continue;
		}
		ret = piece_add(dma, region, false);
		if (ret < 0) {
			drop_from(dma, n_before);
			return ret;
		}
	}
	if (dma->n_pieces > n_before) {
		tables_publish(dma);
	}
	return 0;
}

int dma_space_sync(struct dma_space *dma)
{
	int ret;

	drop_gone(dma);
	ret = pieces_reserve(dma, dma->n_pieces + dma->pool->n);
	if (ret == 0) {
		ret = tables_reserve(dma, max_of(dma->pool->n, 1U));
	}
	return ret < 0 ? ret : add_new(dma);
}

int dma_space_new(struct dma_pool *pool, struct virtio_device *vdev)
{
	struct dma_space *dma = calloc(1, sizeof(*dma));
	int ret;

	assert(!vdev->dma);
	if (!dma) {
		return err(-ENOMEM, "memory: out of memory");
	}
	dma->pool = pool;
	dma->vdev = vdev;
	vdev->config->get_iova_range(vdev, &dma->first, &dma->last);
	ret = dma_space_sync(dma);
	if (ret < 0) {
		dma_space_free(dma);
		return ret;
	}
	vdev->dma = dma;
	return 0;
}

struct dma_space *dma_space_free(struct dma_space *dma)
{
	if (dma) {
		dma->vdev->dma = NULL;
		drop_from(dma, 0);
		/* The transport forgets the rest with virtio_put(). */
		for (unsigned int i = 0; i < dma->n_pieces; i++) {
			region_unref(dma->pieces[i].region);
		}
		tables_free(dma);
		free(dma->pieces);
		free(dma);
	}
	return NULL;
}

/* ---- memory of drivers ---- */

int dma_alloc(struct dma_space *dma, uint64_t size_bytes,
	      struct region **ret_region, uint64_t *ret_iova)
{
	struct region *region;
	int ret = pieces_reserve(dma, dma->n_pieces + 1);

	if (ret == 0) {
		ret = dma_region_new(size_bytes, &region);
	}
	if (ret < 0) {
		return ret;
	}
	ret = piece_add(dma, region, true);
	if (ret < 0) {
		region_unref(region);
		return ret;
	}
	*ret_region = region;
	*ret_iova = dma->pieces[dma->n_pieces - 1].iova;
	return 0;
}

void dma_free(struct dma_space *dma, struct region *take_region, uint64_t iova)
{
	unsigned int last = dma->n_pieces - 1;

	for (unsigned int i = 0; i < dma->n_pieces; i++) {
		struct dma_piece *p = &dma->pieces[i], found = *p;

		if (found.region == take_region && found.iova == iova) {
			*p = dma->pieces[last];
			dma->pieces[last] = found;
			drop_from(dma, last);
			break;
		}
	}
	region_unref(take_region);
}
