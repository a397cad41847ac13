/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * May a peer's file be used as memory?
 *
 * Theory of operation
 *
 * Touching a mapped page of a file may wait for its file system, and a file
 * system in userspace (FUSE) may be the peer itself, which need never answer:
 * the thread that touched the page would be its hostage, and with it everybody
 * else's queues. Even asking such a file system what it is, or how large the
 * file is, waits for the answer. So a file is looked at without asking anybody
 * but our own kernel:
 *
 *   - what can be sealed is a memfd, or a file of tmpfs or hugetlbfs: memory;
 *   - memory of the host kernel's own that VDUSE gives out has no name but that
 *     of its kind, which no other file can have;
 *   - of any other the mount is looked up, by the number that /proc/self/fdinfo
 *     tells, in our own list of mounts: FUSE is refused, and so is what is not
 *     in the list (a mount of another namespace may be anything).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_BACKING_H
#define MEM_BACKING_H

#include <stdbool.h>

/**
 * backing_check() - is it safe to touch pages of a file?
 * @fd: of a peer; borrowed
 *
 * Return: 0; -EACCES no; -EBADF; -errno when /proc cannot be read
 * Context: never waits for the file's own file system
 */
int backing_check(int fd);

/* Is it memory of the host kernel's, of VDUSE? Pages are there as the kernel's
 * driver uses them. */
bool backing_is_vduse(int fd);

#endif
