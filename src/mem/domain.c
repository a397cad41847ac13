/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The domain. See domain.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/domain.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

#define WORD_BITS 64U
/* Runs that are looked at for one that is long enough. */
#define RUNS_TRIED 32

struct domain {
	/* set by domain_new(), then read-only */
	struct region *region;
	char *va;
	uint64_t size_bytes;
	uint32_t n_all; /* pages */

	/* set by domain_begin(), then read-only */
	uint32_t n_pages; /* that can be lent */

	/* its user's only */
	uint32_t n_free;
	uint32_t low; /* no page below is free */
	uint64_t *is_free; /* bits */
	uint32_t *run; /* by first page: pages that follow each other */
	uint32_t *next; /* by first page: the next run's; 0: none */
};

static int open_file(uint64_t size_bytes, int *ret_fd)
{
	_cleanup_close_ int fd =
		memfd_create("[vduse-domain]", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
		    0) {
		return err(-errno, "domain of %llu bytes: %s",
			   (unsigned long long)size_bytes, strerror(errno));
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int make_region(struct domain *d)
{
	struct mem_file *file;
	int fd, ret;

	ret = open_file(d->size_bytes, &fd);
	if (ret == 0) {
		ret = mem_file_new(fd, &file);
	}
	if (ret < 0) {
		return ret;
	}
	ret = region_new_file(file, 0, d->size_bytes, MEM_PERM_RW, &d->region);
	mem_file_unref(file);
	if (ret == 0) {
		d->va = region_va(d->region);
	}
	return ret;
}

int domain_new(uint64_t size_bytes, struct domain **ret)
{
	struct domain *d;
	int r;

	if (size_bytes < DOMAIN_BYTES_MIN || size_bytes > DOMAIN_BYTES_MAX ||
	    size_bytes % DOMAIN_PAGE != 0) {
		return err(-EINVAL,
			   "domain: %llu bytes are no whole pages of 4 KiB "
			   "from 1M to 1G",
			   (unsigned long long)size_bytes);
	}
	d = calloc(1, sizeof(*d));
	if (!d) {
		return err(-ENOMEM, "domain: out of memory");
	}
	d->size_bytes = size_bytes;
	d->n_all = (uint32_t)(size_bytes / DOMAIN_PAGE);
	d->is_free = calloc(d->n_all / WORD_BITS + 1, sizeof(*d->is_free));
	d->run = calloc(d->n_all, sizeof(*d->run));
	d->next = calloc(d->n_all, sizeof(*d->next));
	r = d->is_free && d->run && d->next
		    ? make_region(d)
		    : err(-ENOMEM, "domain: out of memory");
	if (r < 0) {
		domain_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

struct domain *domain_free(struct domain *d)
{
	if (d) {
		region_unref(d->region);
		free(d->is_free);
		free(d->run);
		free(d->next);
		free(d);
	}
	return NULL;
}

struct region *domain_region(const struct domain *d)
{
	return d->region;
}

uint64_t domain_size(const struct domain *d)
{
	return d->size_bytes;
}

char *domain_va(const struct domain *d, uint64_t iova)
{
	assert(iova < d->size_bytes);
	return d->va + iova;
}

uint32_t domain_n_pages(const struct domain *d)
{
	return d->n_pages;
}

uint32_t domain_n_free(const struct domain *d)
{
	return d->n_free;
}

/* ---- bits ---- */

/* The bits of @at's word from @at to the word's end, or to @end. */
static uint64_t mask_of(uint32_t at, uint32_t end)
{
	uint64_t mask = UINT64_MAX << at % WORD_BITS;
	uint32_t word_end = at - at % WORD_BITS + WORD_BITS;

	if (end < word_end) {
		mask &= UINT64_MAX >> (word_end - end);
	}
	return mask;
}

static void set_free(struct domain *d, uint32_t first, uint32_t n, bool is_free)
{
	uint32_t end = first + n;

	for (uint32_t at = first; at < end;
	     at = at - at % WORD_BITS + WORD_BITS) {
		uint64_t mask = mask_of(at, end);
		uint64_t *word = &d->is_free[at / WORD_BITS];

		assert(is_free ? (*word & mask) == 0 : (*word & mask) == mask);
		*word ^= mask;
	}
	d->n_free = is_free ? d->n_free + n : d->n_free - n;
}

/* The first page from @at on that is free, or is not. Return: n_all: none */
static uint32_t find(const struct domain *d, uint32_t at, bool is_free)
{
	while (at < d->n_all) {
		uint64_t word = d->is_free[at / WORD_BITS];
		uint64_t found = (is_free ? word : ~word) &
				 mask_of(at, d->n_all);

		at -= at % WORD_BITS;
		if (found) {
			return at + (uint32_t)__builtin_ctzll(found);
		}
		at += WORD_BITS;
	}
	return d->n_all;
}

/* ---- lending ---- */

int domain_begin(struct domain *d, uint64_t ring_bytes)
{
	uint64_t n_ring = align_up(ring_bytes, DOMAIN_PAGE) / DOMAIN_PAGE;

	if (ring_bytes > d->size_bytes || n_ring + 1 >= d->n_all) {
		return err(-ENOSPC,
			   "domain: %llu bytes have no room for rings of %llu",
			   (unsigned long long)d->size_bytes,
			   (unsigned long long)ring_bytes);
	}
	memset(d->va + DOMAIN_PAGE, 0, n_ring * DOMAIN_PAGE);
	memset(d->is_free, 0, (d->n_all / WORD_BITS + 1) * sizeof(*d->is_free));
	d->low = (uint32_t)n_ring + 1;
	d->n_pages = d->n_all - d->low;
	d->n_free = 0;
	set_free(d, d->low, d->n_pages, true);
	return 0;
}

/* Return: a run of @n free pages; 0: none was found, there may be one. */
static uint32_t find_run(const struct domain *d, uint32_t n)
{
	uint32_t at = d->low;

	for (unsigned int i = 0; i < RUNS_TRIED; i++) {
		uint32_t end;

		at = find(d, at, true);
		if (at == d->n_all) {
			return 0;
		}
		end = find(d, at, false);
		if (end - at >= n) {
			return at;
		}
		at = end;
	}
	return 0;
}

static void take_run(struct domain *d, uint32_t first, uint32_t n)
{
	set_free(d, first, n, false);
	d->run[first] = n;
	d->next[first] = 0;
	if (first == d->low) {
		d->low += n; /* or above */
	}
}

/* There are enough, here and there. */
static uint32_t take_pieces(struct domain *d, uint32_t n)
{
	uint32_t first = 0, last = 0;

	while (n > 0) {
		uint32_t at = find(d, d->low, true);
		uint32_t len;

		assert(at < d->n_all);
		len = min_of(find(d, at, false) - at, n);
		d->low = at;
		take_run(d, at, len);
		if (first == 0) {
			first = at;
		} else {
			d->next[last] = at;
		}
		last = at;
		n -= len;
	}
	return first;
}

uint32_t domain_take(struct domain *d, uint32_t n)
{
	uint32_t first;

	assert(n > 0);
	if (n > d->n_free) {
		return 0;
	}
	d->low = find(d, d->low, true);
	first = find_run(d, n);
	if (first == 0) {
		return take_pieces(d, n);
	}
	take_run(d, first, n);
	return first;
}

void domain_give(struct domain *d, uint32_t first)
{
	while (first != 0) {
		uint32_t next = d->next[first];

		set_free(d, first, d->run[first], true);
		d->low = min_of(d->low, first);
		first = next;
	}
}

uint32_t domain_run(const struct domain *d, uint32_t first, uint32_t *ret_next)
{
	*ret_next = d->next[first];
	return d->run[first];
}
