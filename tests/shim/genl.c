/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stand-in for the generic netlink family "vdpa"; see genl.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/genl.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/vdpa.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX 512

struct message {
	uint8_t bytes[MESSAGE_MAX];
	size_t len;
};

struct answer {
	const struct nlmsghdr *request;
	uint32_t port;
	struct cdev_netlink_to *to;
};

static void put(struct message *m, const void *data, size_t len)
{
	memcpy(m->bytes + m->len, data, len);
	m->len += NLMSG_ALIGN(len);
}

static void begin(struct message *m, const struct answer *a, uint16_t type,
		  uint16_t flags)
{
	struct nlmsghdr nlh = {
		.nlmsg_type = type,
		.nlmsg_flags = flags,
		.nlmsg_seq = a->request->nlmsg_seq,
		.nlmsg_pid = a->port,
	};

	memset(m, 0, sizeof(*m));
	put(m, &nlh, sizeof(nlh));
}

static void put_attr(struct message *m, uint16_t type, const void *data,
		     size_t len)
{
	struct nlattr attr = { (uint16_t)(sizeof(attr) + len), type };

	put(m, &attr, sizeof(attr));
	put(m, data, len);
}

static void put_name(struct message *m, uint16_t type, const char *name)
{
	put_attr(m, type, name, strlen(name) + 1);
}

static void send_message(struct message *m, const struct answer *a)
{
	uint32_t len = (uint32_t)m->len;

	memcpy(m->bytes, &len, sizeof(len)); /* nlmsg_len stands first */
	a->to->reply(a->to, m->bytes, m->len);
}

static void send_error(const struct answer *a, int error)
{
	struct nlmsgerr e = { .error = error, .msg = *a->request };
	struct message m;

	begin(&m, a, NLMSG_ERROR, 0);
	put(&m, &e, sizeof(e));
	send_message(&m, a);
}

static void send_done(const struct answer *a)
{
	struct message m;
	int zero = 0;

	begin(&m, a, NLMSG_DONE, NLM_F_MULTI);
	put(&m, &zero, sizeof(zero));
	send_message(&m, a);
}

static void begin_family(struct message *m, const struct answer *a, uint8_t cmd)
{
	struct genlmsghdr genl = { .cmd = cmd, .version = 1 };

	begin(m, a, GENL_TOY_FAMILY,
	      a->request->nlmsg_flags & NLM_F_DUMP ? NLM_F_MULTI : 0);
	put(m, &genl, sizeof(genl));
}

static void get_family(const struct answer *a)
{
	struct genlmsghdr genl = { .cmd = CTRL_CMD_NEWFAMILY, .version = 2 };
	uint16_t id = GENL_TOY_FAMILY;
	uint32_t max = VDPA_ATTR_MAX;
	struct message m;

	begin(&m, a, GENL_ID_CTRL, 0);
	put(&m, &genl, sizeof(genl));
	put_name(&m, CTRL_ATTR_FAMILY_NAME, "vdpa");
	put_attr(&m, CTRL_ATTR_FAMILY_ID, &id, sizeof(id));
	put_attr(&m, CTRL_ATTR_MAXATTR, &max, sizeof(max));
	send_message(&m, a);
	if (a->request->nlmsg_flags & NLM_F_ACK) {
		send_error(a, 0);
	}
}

static void send_mgmtdev(const struct answer *a)
{
	uint64_t classes = 1 << 1;
	struct message m;

	begin_family(&m, a, VDPA_CMD_MGMTDEV_NEW);
	put_name(&m, VDPA_ATTR_MGMTDEV_DEV_NAME, "toymgmt");
	put_attr(&m, VDPA_ATTR_MGMTDEV_SUPPORTED_CLASSES, &classes,
		 sizeof(classes));
	send_message(&m, a);
}

static void send_dev(const struct answer *a, unsigned int i)
{
	uint32_t number = 1;
	uint16_t size = 256;
	struct message m;
	char name[32];

	(void)snprintf(name, sizeof(name), "toy%u", i);
	begin_family(&m, a, VDPA_CMD_DEV_NEW);
	put_name(&m, VDPA_ATTR_MGMTDEV_DEV_NAME, "toymgmt");
	put_name(&m, VDPA_ATTR_DEV_NAME, name);
	put_attr(&m, VDPA_ATTR_DEV_ID, &number, sizeof(number));
	put_attr(&m, VDPA_ATTR_DEV_VENDOR_ID, &number, sizeof(number));
	put_attr(&m, VDPA_ATTR_DEV_MAX_VQS, &number, sizeof(number));
	put_attr(&m, VDPA_ATTR_DEV_MAX_VQ_SIZE, &size, sizeof(size));
	send_message(&m, a);
}

static void family_request(const struct answer *a, uint8_t cmd, bool is_toymgmt,
			   bool is_admin)
{
	bool is_dump = a->request->nlmsg_flags & NLM_F_DUMP;
	uint32_t who[2] = { a->port, is_admin };
	struct message m;

	switch (cmd) {
	case VDPA_CMD_MGMTDEV_GET:
		if (!is_dump && !is_toymgmt) {
			send_error(a, -ENODEV);
			return;
		}
		send_mgmtdev(a);
		break;
	case VDPA_CMD_DEV_GET:
		for (unsigned int i = 0; i < GENL_TOY_N_DEVICES; i++) {
			send_dev(a, i);
		}
		break;
	case GENL_TOY_WHO:
		begin_family(&m, a, GENL_TOY_WHO);
		put(&m, who, sizeof(who));
		send_message(&m, a);
		return;
	default:
		send_error(a, -EOPNOTSUPP);
		return;
	}
	if (is_dump) {
		send_done(a);
	} else if (a->request->nlmsg_flags & NLM_F_ACK) {
		send_error(a, 0);
	}
}

void genl_request(void *priv, uint32_t port, bool is_admin, const void *buf,
		  size_t len, struct cdev_netlink_to *to)
{
	struct genlmsghdr genl;
	struct nlmsghdr nlh;
	struct answer a = { &nlh, port, to };

	if (len < sizeof(nlh) + sizeof(genl)) {
		return;
	}
	memcpy(&nlh, buf, sizeof(nlh));
	memcpy(&genl, (const char *)buf + sizeof(nlh), sizeof(genl));
	if (nlh.nlmsg_type == GENL_ID_CTRL) {
		get_family(&a);
	} else if (nlh.nlmsg_type == GENL_TOY_FAMILY) {
		family_request(&a, genl.cmd,
			       memmem(buf, len, "toymgmt", 8) != NULL,
			       is_admin);
	} else {
		send_error(&a, -ENOENT);
	}
}
