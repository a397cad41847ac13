/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the netlink family share: a bus of fake devices, a client
 * that writes messages by hand, and ways to look at what came back.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_TEST_MGMT_NETLINK_RIG_H
#define MGMT_TEST_MGMT_NETLINK_RIG_H

#include <linux/netlink.h>

#include "base/nlmsg.h"
#include "lib/test.h"
#include "mgmt/netlink.h"
#include "mgmt/test_fake.h"

#define PORT 4711
#define SEQ  99
#define ACK  (NLM_F_REQUEST | NLM_F_ACK)
#define DUMP (NLM_F_REQUEST | NLM_F_DUMP)

enum {
	MGMTDEV_GET = 2,
	DEV_NEW,
	DEV_DEL,
	DEV_GET,
	CONFIG_GET,
	VSTATS_GET,
	ATTR_SET,
};

struct client {
	struct cdev_netlink_to to;
	uint8_t in[65536];
	size_t in_len;
	unsigned int n_datagrams;
	unsigned int n_kept;
	bool is_gone;
};

struct fixture {
	struct vdpa_bus *bus;
	struct fake fake;
	struct netlink *nl;
	struct client client;
	bool is_admin;
	uint8_t out[65536];
	struct nl_writer w;
	size_t at;
};

struct msg {
	uint32_t len;
	uint16_t type;
	uint16_t flags;
	const uint8_t *body;
};

int set_up(void **state);
int tear_down(void **state);

/* Begins a message, to which a test adds attributes before talk(). */
void begin(struct fixture *fx, uint16_t type, uint16_t flags, uint8_t cmd);
void vdpa(struct fixture *fx, uint16_t flags, uint8_t cmd);
void send_bytes(struct fixture *fx, const void *buf, size_t len);
/* Sends what was begun. */
void talk(struct fixture *fx);

/* Walks the answers. Return: false at the end. */
bool next_msg(const struct fixture *fx, size_t *pos, struct msg *ret);
/* "cmd: attr attr ..." of a message, for comparing. */
const char *attrs_of(const struct msg *m);
const void *find_attr(const struct msg *m, uint16_t want);
/* The answer is one NLMSG_ERROR: its code, and its sentence or "". */
int error_of(const struct fixture *fx, const char **ret_text);
void check_error(const struct fixture *fx, int code, const char *text);
/* One object with these attributes, then the acknowledgement. */
struct msg check_object(const struct fixture *fx, const char *attrs);

/* In a table of tests. */
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
