/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shortcuts: ioctls that are done here, without a word to the daemon.
 *
 * Theory of operation
 *
 * A device process tells its driver of used buffers with an ioctl, thousands of
 * times a second. The daemon would add 1 to an eventfd and say yes; so it gives
 * us that eventfd, and a word of its memory that says how long it is the right
 * one (uapi/preload.h). The table below holds what was given.
 *
 * An entry is used by whoever finds it, in any thread; it is let go of by the
 * last of them after somebody saw that it is out of date. Then alone its
 * descriptor is closed: nobody may write to a number that means something else
 * meanwhile. A program that closes descriptors by system calls of its own can
 * still do that to us, so what we write to must look like an eventfd.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include "shim/shim.h"

#define SHORTCUTS_MAX 64

enum state {
	FREE,
	CHANGING, /* one thread alone looks at it */
	GOOD,
	STALE, /* the last user makes it free */
};

struct shortcut {
	uint32_t state; /* atomic */
	uint32_t n_users; /* atomic */
	/* while it is good */
	int fd;
	uint32_t cmd;
	uint32_t arg;
	int event_fd;
	void *page;
	const uint32_t *word; /* the daemon's; atomic */
	uint32_t value;
};

static struct shortcut shortcuts[SHORTCUTS_MAX];

static bool change(struct shortcut *s, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&s->state, &from, to, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static uint32_t state_of(const struct shortcut *s)
{
	return __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
}

/* Anonymous inodes have no type. */
static bool looks_like_eventfd(int fd)
{
	struct stat st;

	return SYS(SYS_fstat, fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}

static void close_event(int fd)
{
	if (looks_like_eventfd(fd)) {
		(void)SYS(SYS_close, fd);
	}
	if (shim_mark(fd) == MARK_CHANNEL) {
		shim_mark_set(fd, MARK_NONE);
	}
}

/* Return: it cannot vanish before give(). */
static bool take(struct shortcut *s)
{
	__atomic_fetch_add(&s->n_users, 1, __ATOMIC_SEQ_CST);
	return state_of(s) == GOOD;
}

static void give(struct shortcut *s)
{
	if (__atomic_sub_fetch(&s->n_users, 1, __ATOMIC_SEQ_CST) > 0 ||
	    !change(s, STALE, CHANGING)) {
		return;
	}
	close_event(s->event_fd);
	(void)SYS(SYS_munmap, s->page, PRELOAD_SHORTCUT_PAGE);
	__atomic_store_n(&s->state, FREE, __ATOMIC_RELEASE);
}

static bool is_for(const struct shortcut *s, int fd, uint32_t cmd, uint32_t arg)
{
	return s->fd == fd && s->cmd == cmd && s->arg == arg;
}

static bool is_stale(const struct shortcut *s)
{
	return __atomic_load_n(s->word, __ATOMIC_ACQUIRE) != s->value;
}

static bool try_one(struct shortcut *s)
{
	const uint64_t one = 1;

	if (is_stale(s) || !looks_like_eventfd(s->event_fd)) {
		(void)change(s, GOOD, STALE);
		return false;
	}
	return SYS(SYS_write, s->event_fd, &one, sizeof(one)) == sizeof(one);
}

bool shim_shortcut_use(int fd, uint32_t cmd, const void *arg_ptr)
{
	bool is_done = false, is_found = false;
	uint32_t arg = 0;

	for (unsigned int i = 0; i < SHORTCUTS_MAX && !is_found; i++) {
		struct shortcut *s = &shortcuts[i];

		if (state_of(s) != GOOD || s->fd != fd || s->cmd != cmd) {
			continue; /* a glance; what counts is looked at below */
		}
		if (shim_copy_in(&arg, arg_ptr, sizeof(arg)) != sizeof(arg)) {
			return false;
		}
		if (take(s) && is_for(s, fd, cmd, arg)) {
			is_found = true;
			is_done = try_one(s);
		}
		give(s);
	}
	return is_done;
}

/* Return: an entry for the caller alone; NULL: all are in use */
static struct shortcut *take_free(void)
{
	for (unsigned int i = 0; i < SHORTCUTS_MAX; i++) {
		if (change(&shortcuts[i], FREE, CHANGING)) {
			return &shortcuts[i];
		}
	}
	return NULL;
}

/* Those of a descriptor, and those that became stale unseen: of files that were
 * closed. */
void shim_shortcut_forget(int fd)
{
	for (unsigned int i = 0; i < SHORTCUTS_MAX; i++) {
		struct shortcut *s = &shortcuts[i];

		if (state_of(s) != GOOD) {
			continue;
		}
		if (take(s) && (s->fd == fd || is_stale(s))) {
			(void)change(s, GOOD, STALE);
		}
		give(s);
	}
}

void shim_shortcut_add(int fd, uint32_t cmd, uint32_t arg, uint64_t where,
		       int event_fd, int page_fd)
{
	uint32_t offset = (uint32_t)where;
	struct shortcut *s = NULL;
	long page = SYS(SYS_mmap, NULL, PRELOAD_SHORTCUT_PAGE, PROT_READ,
			MAP_SHARED, page_fd, 0L);

	(void)SYS(SYS_close, page_fd);
	if (page > 0 && offset % sizeof(*s->word) == 0 &&
	    offset < PRELOAD_SHORTCUT_PAGE) {
		shim_shortcut_forget(-1);
		s = take_free();
	}
	if (!s) {
		if (page > 0) {
			(void)SYS(SYS_munmap, page, PRELOAD_SHORTCUT_PAGE);
		}
		(void)SYS(SYS_close, event_fd);
		return;
	}
	s->fd = fd;
	s->cmd = cmd;
	s->arg = arg;
	s->event_fd = shim_move_up(event_fd);
	shim_mark_set(s->event_fd, MARK_CHANNEL);
	s->page = (void *)page;
	s->word = (const uint32_t *)((const char *)s->page + offset);
	s->value = (uint32_t)(where >> 32);
	__atomic_store_n(&s->state, GOOD, __ATOMIC_RELEASE);
}
