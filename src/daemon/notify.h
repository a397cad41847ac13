/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Telling systemd, or whoever set NOTIFY_SOCKET, how we are.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "base/util.h"

/**
 * notify() - send a state, such as "READY=1\nSTATUS=2 devices"
 *
 * Return: 0 sent, or nobody wants to know; -errno
 */
int notify(const char *fmt, ...) _printf_(1, 2);

/* Is standard error the journal's? Then lines begin with their level. */
bool stderr_is_journal(void);

#endif
