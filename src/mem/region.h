/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions: the memory behind an address space, by kind.
 *
 * Theory of operation
 *
 * A region is a run of bytes that somebody lets us use. How we reach them is
 * its kind:
 *
 *   own      a pointer of this process (in-process drivers, tests)
 *   mapped   a file of the peer's (memfd, /dev/shm, ...), mapped here: zero
 *            copy, and a SIGBUS guard stands behind it (mem/sigbus.c)
 *   foreign  memory of another process that cannot be shared (private
 *            anonymous memory); reached by pread and pwrite on the peer's own
 *            /proc/self/mem, a descriptor that it gave us. That descriptor
 *            stays bound to the memory it was opened for: after exec() it
 *            reads nothing, so no successor of the process is ever touched.
 *
 * What is mapped may vanish: a peer can shrink its file. The guard makes zero
 * pages of the rest then (the region is poisoned for good). It works through
 * the process's SIGBUS handler, which is process-wide state, installed with
 * the first mapped region; threads that touch regions must not block SIGBUS.
 *
 * Regions are immutable and counted; the last reference, dropped on any
 * thread, unmaps. region_va() is NULL for foreign ones, and whoever walks
 * rings goes through mem_read() and mem_write() or a bounce buffer then.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_REGION_H
#define MEM_REGION_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/util.h"

/* The bits are those of struct vhost_iotlb_msg. */
enum mem_perm {
	MEM_PERM_RO = 1, /* the device may read */
	MEM_PERM_WO = 2, /* the device may write */
	MEM_PERM_RW = 3,
};

enum region_kind {
	REGION_OWN,
	REGION_MAPPED,
	REGION_FOREIGN,
	REGION_KIND_N,
};

struct region;
struct foreign_mem;

/**
 * region_new_own() - memory of this process
 * @va: first byte; stays valid until @release is called
 * @size: bytes, > 0
 * @release: called when the last reference is gone, on any thread; or NULL
 * @priv: its argument
 * @ret: the new region, one reference
 *
 * Return: 0; -EINVAL; -ENOMEM
 */
int region_new_own(void *va, uint64_t size, void (*release)(void *priv),
		   void *priv, struct region **ret);

/* Counted, see below. */
struct mem_file;

/**
 * region_new_own_file() - memory of this process that is a file's, mapped shared
 * @file: referenced: whoever else shall reach the memory is given it
 * @offset: of @va in it, bytes
 *
 * All else as region_new_own(): whoever mapped it unmaps it, and what happens
 * when the file shrinks is his affair. Return: as region_new_own()
 */
int region_new_own_file(void *va, uint64_t size, struct mem_file *file,
			uint64_t offset, struct region **ret);

/**
 * region_new_mapped() - a piece of a file, mapped shared into this process
 * @fd: borrowed; may be closed afterwards
 * @offset: first byte in the file, any alignment
 * @size: bytes, > 0
 * @perm: enum mem_perm; readable only if it lacks MEM_PERM_WO
 * @ret: the new region, one reference
 *
 * Pages are not populated. A part of the file that does not exist (any more)
 * reads as zeroes, from then on for good, and sets region_is_poisoned(); it
 * does not kill us.
 *
 * Return: 0; -EINVAL; -EACCES a file whose server could stop us, see
 *         mem/backing.h; -errno of mmap()
 */
int region_new_mapped(int fd, uint64_t offset, uint64_t size, unsigned int perm,
		      struct region **ret);

/*
 * A file whose regions remember it, so that it can be handed on: counted, as
 * many regions are of the same one. Any thread.
 */
/* @take_fd: taken, also on failure. Return: 0; -ENOMEM */
int mem_file_new(int take_fd, struct mem_file **ret);
struct mem_file *mem_file_ref(struct mem_file *file);
struct mem_file *mem_file_unref(struct mem_file *file);
int mem_file_fd(const struct mem_file *file); /* borrowed */

/* As region_new_mapped() of that file, which stays open as long as the region
 * lives. */
int region_new_file(struct mem_file *file, uint64_t offset, uint64_t size,
		    unsigned int perm, struct region **ret);

/**
 * foreign_mem_new() - the memory of another process
 * @take_fd: of that process's /proc/self/mem; taken, also on failure
 * @ret: one reference
 *
 * Return: 0; -ENOMEM
 */
int foreign_mem_new(int take_fd, struct foreign_mem **ret);
struct foreign_mem *foreign_mem_ref(struct foreign_mem *fm);
struct foreign_mem *foreign_mem_unref(struct foreign_mem *fm);

/* All @len bytes or -EFAULT. Not atomic; see vq/ for how rings cope. */
int foreign_mem_read(struct foreign_mem *fm, uint64_t uaddr, void *buf,
		     size_t len);
int foreign_mem_write(struct foreign_mem *fm, uint64_t uaddr, const void *buf,
		      size_t len);

/**
 * region_new_foreign() - a piece of another process's memory
 * @fm: referenced
 * @uaddr: first byte in that process
 * @size: bytes, > 0
 * @ret: the new region, one reference
 *
 * Return: 0; -EINVAL wraps; -ENOMEM
 */
int region_new_foreign(struct foreign_mem *fm, uint64_t uaddr, uint64_t size,
		       struct region **ret);

struct region *region_ref(struct region *region);
struct region *region_unref(struct region *region);

enum region_kind region_kind(const struct region *region);
uint64_t region_size(const struct region *region);
/* enum mem_perm: what may be done with it at most; RW unless mapped. */
unsigned int region_perm(const struct region *region);
/* First byte in this process; NULL for a foreign region. */
void *region_va(const struct region *region);
/* All that is mapped of a mapped region's file: whole pages, also of huge ones.
 * Return: its first byte; NULL for regions of other kinds */
void *region_window(const struct region *region, size_t *ret_len);
/* The file of region_new_file(), region_new_own_file(). Return: its descriptor, borrowed, and where in
 * it the region's first byte is; -1: there is none */
int region_file_fd(const struct region *region, uint64_t *ret_offset);
/* Has the file behind it shrunk below a byte that we touched? (H32) */
bool region_is_poisoned(const struct region *region);

/**
 * region_read(), region_write() - copy, whatever the kind
 * @region: where
 * @offset, @buf, @len: the bytes; must lie in the region
 *
 * Return: 0; -EFAULT out of range, not writable, or the peer is gone
 */
int region_read(struct region *region, uint64_t offset, void *buf, size_t len);
int region_write(struct region *region, uint64_t offset, const void *buf,
		 size_t len);

/*
 * How many regions of each kind, and how many bytes, are alive in the process,
 * and how many times its guard has acted: the leak checks of the tests and
 * `vdpakit probe` read it.
 */
struct region_stats {
	uint64_t n_regions[REGION_KIND_N];
	uint64_t n_bytes[REGION_KIND_N];
	uint64_t n_sigbus;
};
void region_get_stats(struct region_stats *ret);

#endif
