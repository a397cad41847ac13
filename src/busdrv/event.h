/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Eventfds of a bus driver: how devices tell the control thread, on whichever
 * thread they have news, that there is something to do.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_EVENT_H
#define BUSDRV_EVENT_H

#include "loop/loop.h"

/* An eventfd of ours that devices write and the control loop watches. */
struct event {
	int fd; /* valid with @watch */
	struct loop_watch *watch; /* NULL: there is none */
};

/**
 * event_new() - make one
 * @fn: called once a write, or less often; the counter is not to be read
 *
 * Return: 0; -errno
 */
int event_new(struct event *event, struct loop *loop,
	      void (*fn)(void *priv, unsigned int events), void *priv);
/* Takes a zeroed one, and what was freed. */
void event_free(struct event *event);

#endif
