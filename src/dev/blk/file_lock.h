/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end file: keeping others away, and outwaiting the dead.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DEV_BLK_FILE_LOCK_H
#define DEV_BLK_FILE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Where the range of requests ends and that of life begins, which goes on to
 * the last byte that a file can have; so that both are all there is. */
#define FILE_LOCK_LIFE_BYTE (INT64_MAX - 1)

/* How long the last requests of a dead process may take, seconds. */
#define FILE_LOCK_WAIT_S 30

/**
 * struct file_lock - what is asked for
 *
 * @name: of the disk, for the log
 * @path: for the sentence
 * @fd: of requests; it has the rights that the lock needs
 * @is_shared: with others who ask for the same
 * @wait_s: at most, for requests of the dead, seconds
 */
struct file_lock {
	const char *name;
	const char *path;
	int fd;
	bool is_shared;
	unsigned int wait_s;
};

/**
 * file_lock_take() - keep others away as long as this process lives, and as
 *                    long as requests of it are under way
 * @lock: as above; borrowed for the call
 * @ret_life_fd: to be kept, used for nothing, and closed after @lock->fd is
 *
 * Nothing unlocks @lock->fd but the end of its last request after it was closed.
 *
 * Return: 0; -EBUSY somebody has the file, or who had it died, and has requests
 *         under way that did not end in time; -errno
 * Context: any thread; blocks at most @lock->wait_s
 */
int file_lock_take(const struct file_lock *lock, int *ret_life_fd);

#endif
