/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cleanup attributes, for what lives and dies in one function.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

/* Closes @fd unless it is negative; errno is kept. Return: -1. */
static inline int close_fd(int fd)
{
	int saved_errno = errno;

	if (fd >= 0) {
		(void)close(fd); /* nothing to do about a late write error */
	}
	errno = saved_errno;
	return -1;
}

static inline void cleanup_close(const int *fd)
{
	(void)close_fd(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f) {
		(void)fclose(*f); /* opened for reading */
	}
}

static inline void cleanup_closedir(DIR **d)
{
	if (*d) {
		(void)closedir(*d);
	}
}

static inline void cleanup_unlock(pthread_mutex_t **m)
{
	if (*m) {
		pthread_mutex_unlock(*m);
	}
}

#define _cleanup_(fn)	   __attribute__((cleanup(fn)))
#define _cleanup_free_	   _cleanup_(cleanup_free)
#define _cleanup_close_	   _cleanup_(cleanup_close)
#define _cleanup_fclose_   _cleanup_(cleanup_fclose)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)
#define _cleanup_unlock_   _cleanup_(cleanup_unlock)

/* Hands out what a cleanup holder holds and leaves the holder empty. */
#define steal_ptr(p)                         \
	({                                   \
		__typeof__(p) stolen_ = (p); \
		(p) = NULL;                  \
		stolen_;                     \
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif
