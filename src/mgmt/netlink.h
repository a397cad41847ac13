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
#include "cdev/cdev.h"
#include "mgmt/objects.h"

#define NETLINK_FAMILY_ID 0x1c

struct netlink;

struct netlink_stats {
	uint64_t n_requests;
	uint64_t n_errors;
};

/**
 * netlink_new() - answer for a bus
 * @bus: which
 * @events: told of changes; must outlive every answer; may be NULL
 * @ret: written on success
 *
 * Return: 0; -ENOMEM
 */
int netlink_new(struct vdpa_bus *bus, const struct mgmt_events *events,
		struct netlink **ret);
/* A DEV_DEL that waits still gets its answer. */
struct netlink *netlink_free(struct netlink *nl);

/* For cdev_preload_new(); must not be used any more once @nl is freed. */
struct cdev_netlink_ops netlink_ops(struct netlink *nl);
void netlink_get_stats(const struct netlink *nl, struct netlink_stats *ret);

#endif
