/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The domain: the one file of memory that somebody sees who must not see the
 * client's.
 *
 * Theory of operation
 *
 * A sealed memfd of fixed size, mapped here, in pages of 4 KiB whatever the
 * machine's are. An address in it is an offset in the file:
 *
 *   0        nothing: a null pointer of the device's finds no data
 *   4096     rings, which control lays out while nobody uses the domain
 *   behind   data: pages that one owner lends for a request, and takes back
 *
 * Pages are lent in one run where there is one, else in several, the lowest
 * first: what was used last is used again, so that an idle device's domain
 * takes little memory and a busy one's stays in the cache.
 *
 * What is in lent pages is what was there before. Whoever lends them writes or
 * zeroes all that the device gets to see as a request's.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_DOMAIN_H
#define MEM_DOMAIN_H

#include "mem/region.h"

#define DOMAIN_PAGE	     4096U
#define DOMAIN_BYTES_MIN     (1ULL << 20)
#define DOMAIN_BYTES_MAX     (1ULL << 30)
#define DOMAIN_BYTES_DEFAULT (64ULL << 20)

struct domain;

/**
 * domain_new() - a file of zeroes
 * @size_bytes: a multiple of DOMAIN_PAGE, DOMAIN_BYTES_MIN to _MAX
 * @ret: written on success; domain_begin() has to follow
 *
 * Return: 0; -EINVAL; -ENOMEM; -errno of memfd_create() and mmap()
 */
int domain_new(uint64_t size_bytes, struct domain **ret);
/* Whoever has the region keeps the memory. Takes NULL. Return: NULL. */
struct domain *domain_free(struct domain *d);

/* All of it; borrowed. */
struct region *domain_region(const struct domain *d);
uint64_t domain_size(const struct domain *d);
/* Here, of an address in it. */
char *domain_va(const struct domain *d, uint64_t iova);

/**
 * domain_begin() - room for rings, and all that is left is free to be lent
 * @d: nobody uses it
 * @ring_bytes: zeroed, from address DOMAIN_PAGE on
 *
 * Return: 0; -ENOSPC not even one page is left to be lent
 */
int domain_begin(struct domain *d, uint64_t ring_bytes);

/* Pages that can be lent in all, and now. */
uint32_t domain_n_pages(const struct domain *d);
uint32_t domain_n_free(const struct domain *d);

/**
 * domain_take() - borrow pages
 * @d: caller is its only user
 * @n: pages, > 0
 *
 * Return: number of the first page (times DOMAIN_PAGE is its address); 0: there
 * are not as many
 */
uint32_t domain_take(struct domain *d, uint32_t n);
/* Gives back all that domain_take() gave. */
void domain_give(struct domain *d, uint32_t first);

/* Of those that were taken together, how many pages follow each other from
 * @first on, and where it goes on: *ret_next 0: nowhere. */
uint32_t domain_run(const struct domain *d, uint32_t first, uint32_t *ret_next);

#endif
