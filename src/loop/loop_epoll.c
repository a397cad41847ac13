/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The epoll back end.
 *
 * The eventfd that wakes the loop is watched edge-triggered and never read:
 * each write ends one sleep, and a sleep costs its waker one system call and
 * the loop none.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <limits.h>
#include <linux/time_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "loop/loop_internal.h"

/* Descriptors that one wait() may find ready; the others come next. */
#define EVENTS_MAX 64

struct epoll_loop {
	struct loop loop;
	int epoll_fd;
	int wake_fd;
	bool has_pwait2; /* Linux 5.11: waits by the nanosecond */
	/* what the last wait found; data.ptr is the watch, NULL: skip */
	unsigned int event_idx, n_events;
	struct epoll_event events[EVENTS_MAX];
};

static struct epoll_loop *epoll_loop_of(struct loop *loop)
{
	return container_of(loop, struct epoll_loop, loop);
}

unsigned int loop_events_of_epoll(uint32_t events)
{
	return (events & EPOLLIN ? LOOP_IN : 0U) |
	       (events & EPOLLOUT ? LOOP_OUT : 0U) |
	       (events & (EPOLLHUP | EPOLLERR) ? LOOP_HUP : 0U);
}

int loop_epoll_ctl(int epoll_fd, int op, struct loop_watch *watch,
		   unsigned int events)
{
	struct epoll_event event = {
		.events = (events & LOOP_IN ? EPOLLIN : 0U) |
			  (events & LOOP_OUT ? EPOLLOUT : 0U) |
			  (events & LOOP_EDGE ? EPOLLET : 0U),
		.data.ptr = watch,
	};

	if (epoll_ctl(epoll_fd, op, watch->fd, &event) < 0) {
		int code = -errno;

		return err(code, "%s: cannot watch descriptor %d: %s",
			   watch->loop->name, watch->fd, strerror(-code));
	}
	return 0;
}

static int epoll_watch_add(struct loop *loop, struct loop_watch *watch)
{
	return loop_epoll_ctl(epoll_loop_of(loop)->epoll_fd, EPOLL_CTL_ADD,
			      watch, watch->events);
}

static int epoll_watch_change(struct loop *loop, struct loop_watch *watch,
			      unsigned int events)
{
	return loop_epoll_ctl(epoll_loop_of(loop)->epoll_fd, EPOLL_CTL_MOD,
			      watch, events);
}

static void epoll_watch_del(struct loop *loop, struct loop_watch *watch)
{
	struct epoll_loop *el = epoll_loop_of(loop);
	int rc = loop_epoll_ctl(el->epoll_fd, EPOLL_CTL_DEL, watch, 0);

	/* A descriptor that was closed before its watch may go on living in
	 * another process, and in our epoll with it. */
	assert(rc == 0);
	for (unsigned int i = el->event_idx; i < el->n_events; i++) {
		if (el->events[i].data.ptr == watch) {
			el->events[i].data.ptr = NULL;
		}
	}
}

/* Without epoll_pwait2(): by the millisecond, rather late than early. */
static int wait_ms(struct epoll_loop *el, uint64_t timeout_ns)
{
	uint64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);

	return epoll_wait(el->epoll_fd, el->events, EVENTS_MAX,
			  timeout_ns == LOOP_FOREVER
				  ? -1
				  : (int)min_of(ms, (uint64_t)INT_MAX));
}

static int wait_ns(struct epoll_loop *el, uint64_t timeout_ns)
{
#ifdef SYS_epoll_pwait2
	struct __kernel_timespec ts = {
		.tv_sec = (long long)(timeout_ns / 1000000000),
		.tv_nsec = (long long)(timeout_ns % 1000000000),
	};
	int n;

	if (el->has_pwait2 && timeout_ns > 0 && timeout_ns != LOOP_FOREVER) {
		n = (int)syscall(SYS_epoll_pwait2, el->epoll_fd, el->events,
				 EVENTS_MAX, &ts, NULL, 0UL);
		if (n >= 0 || errno != ENOSYS) {
			return n;
		}
		el->has_pwait2 = false;
	}
#endif
	return wait_ms(el, timeout_ns);
}

static int epoll_loop_wait(struct loop *loop, uint64_t timeout_ns)
{
	struct epoll_loop *el = epoll_loop_of(loop);
	int n;

	if (el->event_idx < el->n_events) {
		return 0; /* loop_call_until(), amid these: first the rest */
	}
	n = wait_ns(el, timeout_ns);
	if (n < 0 && errno != EINTR) {
		return -errno;
	}
	el->n_events = n < 0 ? 0 : (unsigned int)n;
	return 0;
}

static void epoll_loop_dispatch(struct loop *loop)
{
	struct epoll_loop *el = epoll_loop_of(loop);

	while (el->event_idx < el->n_events) {
		/* a copy: from here on the slot is none of watch_del()'s */
		struct epoll_event event = el->events[el->event_idx++];

		if (event.data.ptr) {
			loop_watch_run(event.data.ptr,
				       loop_events_of_epoll(event.events));
		}
	}
	el->event_idx = 0;
	el->n_events = 0;
}

static void epoll_loop_wake(struct loop *loop)
{
	static const uint64_t one = 1;

	/* fails only when 2^64 wake-ups are pending: that will do */
	(void)!write(epoll_loop_of(loop)->wake_fd, &one, sizeof(one));
}

static void epoll_loop_free(struct loop *loop)
{
	struct epoll_loop *el = epoll_loop_of(loop);

	(void)close_fd(el->epoll_fd);
	(void)close_fd(el->wake_fd);
	free(el);
}

static int epoll_file_add(struct loop *loop, struct loop_file *file)
{
	return loop_pool_make(loop);
}

static const struct loop_ops epoll_ops = {
	.name = "epoll",
	.watch_add = epoll_watch_add,
	.watch_change = epoll_watch_change,
	.watch_del = epoll_watch_del,
	.wait = epoll_loop_wait,
	.dispatch = epoll_loop_dispatch,
	.wake = epoll_loop_wake,
	.free = epoll_loop_free,
	.file_add = epoll_file_add,
	.io_flush = loop_pool_flush,
};

static int open_fds(struct epoll_loop *el)
{
	struct epoll_event wake = { .events = EPOLLIN | EPOLLET };

	el->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (el->epoll_fd < 0) {
		return -errno;
	}
	el->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (el->wake_fd < 0) {
		return -errno;
	}
	if (epoll_ctl(el->epoll_fd, EPOLL_CTL_ADD, el->wake_fd, &wake) < 0) {
		return -errno;
	}
	return 0;
}

int loop_new_epoll(const char *name, struct loop **ret)
{
	struct epoll_loop *el = calloc(1, sizeof(*el));
	int rc;

	if (!el) {
		return err(-ENOMEM, "%s: no memory for a loop", name);
	}
	loop_init(&el->loop, &epoll_ops, name);
	el->epoll_fd = -1;
	el->wake_fd = -1;
	el->has_pwait2 = true;
	rc = open_fds(el);
	if (rc < 0) {
		(void)loop_free(&el->loop);
		return err(rc, "%s: cannot set up epoll: %s", name,
			   strerror(-rc));
	}
	*ret = &el->loop;
	return 0;
}
