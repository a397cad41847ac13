/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words that clients see: the other half of shortcuts.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cdev/cdev_internal.h"
#include "uapi/preload.h"

/* Of Linux 5.1: what is mapped writable now is all that ever will be. */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

_Static_assert(CDEV_WORDS_MAX * sizeof(uint32_t) == PRELOAD_SHORTCUT_PAGE,
	       "one page");

struct cdev_words {
	int fd;
	uint32_t *page;
	uint32_t last_value;
};

int cdev_words_new(struct cdev_words **ret)
{
	_cleanup_close_ int fd =
		memfd_create("vdpakit-words", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	_cleanup_free_ struct cdev_words *words = calloc(1, sizeof(*words));
	void *page;

	if (!words) {
		return err(-ENOMEM, "cdev: out of memory");
	}
	if (fd < 0 || ftruncate(fd, PRELOAD_SHORTCUT_PAGE) < 0) {
		return err(-errno, "cdev: no shared memory: %s",
			   strerror(errno));
	}
	page = mmap(NULL, PRELOAD_SHORTCUT_PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		return err(-errno, "cdev: cannot map: %s", strerror(errno));
	}
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE |
			  F_SEAL_SEAL) < 0) {
		(void)munmap(page, PRELOAD_SHORTCUT_PAGE);
		return err(-errno, "cdev: cannot seal: %s", strerror(errno));
	}
	words->page = page;
	words->fd = steal_fd(&fd);
	*ret = steal_ptr(words);
	return 0;
}

struct cdev_words *cdev_words_free(struct cdev_words *words)
{
	if (words) {
		for (unsigned int i = 0; i < CDEV_WORDS_MAX; i++) {
			cdev_words_revoke(words, i);
		}
		(void)munmap(words->page, PRELOAD_SHORTCUT_PAGE);
		(void)close_fd(words->fd);
		free(words);
	}
	return NULL;
}

void cdev_words_revoke(struct cdev_words *words, unsigned int idx)
{
	if (idx < CDEV_WORDS_MAX) {
		__atomic_store_n(&words->page[idx], 0, __ATOMIC_RELEASE);
	}
}

void cdev_words_offer(struct cdev_words *words, unsigned int idx, int event_fd,
		      struct cdev_call *call)
{
	struct cdev_shortcut shortcut = {
		.event_fd = event_fd,
		.page_fd = words->fd,
		.word_offset = idx * (uint32_t)sizeof(uint32_t),
	};
	uint32_t value;

	if (idx >= CDEV_WORDS_MAX || !call->carrier->put_shortcut) {
		return;
	}
	value = __atomic_load_n(&words->page[idx], __ATOMIC_RELAXED);
	if (value == 0) {
		/* One that nobody can still hold. */
		words->last_value += words->last_value == UINT32_MAX ? 2 : 1;
		value = words->last_value;
		__atomic_store_n(&words->page[idx], value, __ATOMIC_RELEASE);
	}
	shortcut.value = value;
	call->carrier->put_shortcut(call, &shortcut);
}
