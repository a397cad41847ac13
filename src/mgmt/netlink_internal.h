/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generic netlink: what its two files share. netlink.c runs messages,
 * netlink_commands.c has the families, their commands and attributes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_NETLINK_INTERNAL_H
#define MGMT_NETLINK_INTERNAL_H

#include <linux/netlink.h>

#include "base/nlmsg.h"
#include "mgmt/netlink.h"

/* A command's return value: all of the answer was given, or will be. */
#define NL_ANSWERED 1
/* libmnl makes room for one page. */
#define NL_DATAGRAM_MAX 4096

struct netlink {
	unsigned int n_refs; /* its owner's, and one each DEV_DEL that waits */
	struct vdpa_bus *bus;
	const struct mgmt_events *events;
	struct netlink_stats stats;
};

/**
 * struct nl_request - one message of a client
 *
 * @msg, @len: with its header; borrowed from the datagram
 * @warning: a sentence that goes with success
 */
struct nl_request {
	struct nl_head head;
	uint32_t port;
	bool is_admin;
	bool is_dump;
	const uint8_t *msg;
	size_t len;
	struct nl_attrs attrs;
	struct cdev_netlink_to *to;
	char warning[128];
};

/* One datagram being written; @at: where its last message began. */
struct nl_answer {
	struct nl_writer w;
	size_t at;
	uint8_t buf[NL_DATAGRAM_MAX];
};

/**
 * struct nl_command - one command of a family
 *
 * @do_it: writes at most one message, without its end. 0; -errno with
 *         err_text(); NL_ANSWERED: nl_finish() comes later
 * @next, @put: for dumps: the objects, and one of them as a message without
 *              its end. @put may write nothing; -errno ends the dump
 */
struct nl_command {
	uint8_t cmd;
	bool needs_admin;
	int (*do_it)(struct netlink *nl, struct nl_request *req,
		     struct nl_answer *answer);
	void *(*next)(struct netlink *nl, void *prev);
	int (*put)(const struct nl_request *req, void *object,
		   struct nl_answer *answer);
};

struct nl_family {
	const char *name;
	uint16_t id;
	uint8_t version;
	const struct nl_policy *policy;
	unsigned int max_attr;
	const struct nl_command *commands;
	unsigned int n_commands;
};

extern const struct nl_family nl_ctrl_family;
extern const struct nl_family nl_vdpa_family;

void netlink_unref(struct netlink *nl);
/* Begins a message of the request's family. */
void nl_answer_begin(struct nl_answer *a, const struct nl_request *req,
		     uint8_t cmd);
/* The acknowledgement, where one was asked for, or the error. */
void nl_finish(struct netlink *nl, const struct nl_request *req, int code);

#endif
