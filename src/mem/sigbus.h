/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guard behind mapped files: a peer that shrinks one does not kill us.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_SIGBUS_H
#define MEM_SIGBUS_H

#include <stdatomic.h>

#include "base/list.h"

/**
 * struct sigbus_guard - one mapping that may lose its file
 *
 * @link: in the registry
 * @base: first byte of the mapping
 * @len: bytes, a multiple of @page_size
 * @page_size: of the file; the huge page's on hugetlbfs
 * @prot: of mmap()
 * @is_sparse: a page that is not there says nothing of those after it
 * @n_holes: of a sparse one: pages replaced. Under the registry's lock
 * @zero_from: from here to the end zero pages stand in for the file; SIZE_MAX
 *             while none do. Under the registry's lock
 * @is_poisoned: any thread, atomic
 */
struct sigbus_guard {
	struct list link;
	char *base;
	size_t len;
	size_t page_size;
	int prot;
	bool is_sparse;
	unsigned int n_holes;
	size_t zero_from;
	atomic_bool is_poisoned;
};

/**
 * sigbus_guard_add() - from now on faults in a mapping are survived
 * @guard: base, len, page_size, prot and is_sparse set by the caller
 *
 * Installs the handler when it is the first one of the process.
 *
 * Return: 0; -errno of sigaction()
 */
int sigbus_guard_add(struct sigbus_guard *guard);

/* To be called before the mapping is undone. */
void sigbus_guard_del(struct sigbus_guard *guard);

/* Faults survived since the process began. */
uint64_t sigbus_n_survived(void);

#endif
