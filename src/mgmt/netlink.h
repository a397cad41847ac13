/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generic netlink family "vdpa", as the kernel serves it.
 *
 * Theory of operation
 *
 * A carrier (cdev/preload.c) hands over what a client wrote to its netlink
 * socket and takes back what the kernel would have answered: objects, then an
 * acknowledgement or an error with the kernel's sentence, or for a dump the
 * objects and an end mark. The family controller ("nlctrl") is served as far
 * as finding the family needs it.
 *
 * A datagram holds any number of requests, each taken apart by a table of what
 * its attributes must be. An answer is at most one page a datagram, because
 * that is what libmnl makes room for.
 *
 * Context: control thread
 * Source: kernel drivers/vdpa/vdpa.c, net/netlink/genetlink.c
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_NETLINK_H
#define MGMT_NETLINK_H

#include "bus/bus.h"

#define NETLINK_FAMILY_ID 0x1c

struct netlink;

struct netlink_stats {
	uint64_t n_requests;
	uint64_t n_errors;
};

/**
 * struct nl_sink - where the answers to one datagram go; the carrier's
 *
 * @reply: one datagram, copied; dropped when the client has gone
 * @keep: the answer is not complete when netlink_request() returns. Return: a
 *        sink that stays until @end, whatever becomes of the client; NULL when
 *        memory is short
 * @end: of what @keep returned
 */
struct nl_sink {
	void (*reply)(struct nl_sink *sink, const void *buf, size_t len);
	struct nl_sink *(*keep)(struct nl_sink *sink);
	void (*end)(struct nl_sink *kept);
};

int netlink_new(struct vdpa_bus *bus, struct netlink **ret);
/* A DEV_DEL that waits still gets its answer. */
struct netlink *netlink_free(struct netlink *nl);

/**
 * netlink_request() - answer one datagram
 * @nl: the server
 * @port: the port id that the client's socket is bound to
 * @is_admin: the caller may change things
 * @buf, @len: any bytes
 * @sink: borrowed until this returns; see @keep
 */
void netlink_request(struct netlink *nl, uint32_t port, bool is_admin,
		     const void *buf, size_t len, struct nl_sink *sink);
void netlink_get_stats(const struct netlink *nl, struct netlink_stats *ret);

#endif
