/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening sockets of systemd (our own: base/unix.h).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef DAEMON_LISTEN_H
#define DAEMON_LISTEN_H

/**
 * listen_take_activated() - take over the sockets that systemd listens on
 * @ret_stream: a SOCK_STREAM socket, or -1
 * @ret_seqpacket: a SOCK_SEQPACKET socket, or -1
 *
 * They are told apart by their type. The variables are removed from the
 * environment.
 *
 * Return: sockets taken, 0..2; -EINVAL one that is neither, or two of a kind
 */
int listen_take_activated(int *ret_stream, int *ret_seqpacket);

#endif
