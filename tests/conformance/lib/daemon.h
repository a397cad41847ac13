/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process behind the nodes, where it is one: what it holds, seen from
 * outside. Each function skips the test on a kernel.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_DAEMON_H
#define CONFORMANCE_DAEMON_H

#include "conf.h"

/* Who listens at VDPAKIT_SOCKET. */
pid_t daemon_pid(void);
/* A connection to it. Return: a descriptor, or -errno. */
int daemon_connect(struct conf *c);
/* Its anonymous memory, in KiB; 0 when that says nothing because a sanitizer
 * keeps what was freed. */
unsigned long daemon_memory_kib(pid_t pid);
unsigned int daemon_n_fds(pid_t pid);
/* Waits until it has no more than @n descriptors. Return: how many it has. */
unsigned int daemon_settle_fds(pid_t pid, unsigned int n);

#endif
