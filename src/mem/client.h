/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of a client process: from its addresses to regions.
 *
 * Theory of operation
 *
 * A vhost IOTLB update names memory by its address in the client (uaddr). To
 * use it we need what the kernel would take from the client's mm: which file,
 * if any, is behind. The client hands over two descriptors of its own,
 * /proc/self/maps and /proc/self/mem, which stay bound to its memory whatever
 * becomes of its process id. For each VMA in the range:
 *
 *   shared, file behind   the file is looked for by device and inode among
 *                         the descriptors it passed us, in /proc/PID/fd, then
 *                         /proc/PID/map_files (needs privilege; the only way
 *                         to anonymous shared memory) -> mapped, zero copy
 *   all else              foreign: works, with a copy a request
 *
 * Holes in the range produce no piece, as in the kernel's vhost_vdpa_va_map().
 *
 * A client may lie: hand over another file as its mappings and have us open,
 * with our privilege, what it could not. So /proc/PID is looked into only when
 * the first descriptor is that very process's maps, by device and inode; then
 * the kernel's word that the client maps the file shared, writable or not, is
 * what lets us open it likewise, and only regular files are. A client in
 * another procfs (a container) has the descriptors that it passes, which carry
 * their own mode, and foreign memory.
 *
 * Limit: a client can make whoever touches its memory wait (userfaultfd, a
 * file on FUSE), as it can the kernel's own workers.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_CLIENT_H
#define MEM_CLIENT_H

#include "mem/region.h"

struct client_mem;

/**
 * client_mem_new() - the memory of one client process
 * @pid: of the process, in our pid namespace; 0 when not visible
 * @take_maps_fd: its /proc/self/maps; taken, also on failure
 * @take_mem_fd: its /proc/self/mem; taken, also on failure
 * @ret: one reference
 *
 * Return: 0; -EINVAL a descriptor is not of procfs; -ENOMEM
 */
int client_mem_new(pid_t pid, int take_maps_fd, int take_mem_fd,
		   struct client_mem **ret);
struct client_mem *client_mem_ref(struct client_mem *cm);
struct client_mem *client_mem_unref(struct client_mem *cm);

pid_t client_mem_pid(const struct client_mem *cm);
/* For copying in and out of it; borrowed. */
struct foreign_mem *client_mem_foreign(const struct client_mem *cm);

/**
 * client_mem_add_fd() - offer a file that may be behind some of its memory
 * @cm: of the client
 * @take_fd: taken, also on failure
 *
 * Another descriptor of a file that is held already, with no better mode, is
 * closed and counts as success.
 *
 * Return: 0; -EINVAL not a regular file, or not readable; -ENOSPC 64 are held
 *         already
 */
int client_mem_add_fd(struct client_mem *cm, int take_fd);

/* Can we look for its files in its /proc, or should it offer them? */
bool client_mem_is_visible(const struct client_mem *cm);

/* One piece of a resolved range: [uaddr, uaddr + size) is @region whole. */
struct client_piece {
	uint64_t uaddr;
	uint64_t size;
	struct region *region; /* one reference, the receiver's */
};

/**
 * client_mem_resolve() - what is behind a range of the client's addresses
 * @cm: of the client
 * @uaddr, @size: the range, bytes; must not wrap
 * @perm: enum mem_perm that the device will need
 * @ret_pieces: in rising order, at most @max; neighbours that are both
 *              foreign are one piece
 * @max: room
 *
 * Return: pieces; -EINVAL the range wraps or is empty; -EFAULT the memory does
 *         not allow @perm; -E2BIG more than @max pieces; -ESRCH the process is
 *         gone; -EPROTO these are no mappings; -errno of what failed. Nothing
 *         is held on failure.
 * Context: control thread; reads /proc
 */
int client_mem_resolve(struct client_mem *cm, uint64_t uaddr, uint64_t size,
		       unsigned int perm, struct client_piece *ret_pieces,
		       unsigned int max);

#endif
