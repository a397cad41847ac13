/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Eventfds of a bus driver.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/event.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/err.h"

void event_free(struct event *event)
{
	if (event->watch) {
		event->watch = loop_watch_free(event->watch);
		event->fd = close_fd(event->fd);
	}
}

int event_new(struct event *event, struct loop *loop,
	      void (*fn)(void *priv, unsigned int events), void *priv)
{
	int r;

	event->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event->fd < 0) {
		return err(-errno, "eventfd: %s", strerror(errno));
	}
	r = loop_watch_new(loop, event->fd, LOOP_IN | LOOP_EDGE, fn, priv,
			   &event->watch);
	if (r < 0) {
		event->fd = close_fd(event->fd);
	}
	return r;
}
