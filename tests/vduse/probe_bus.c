/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generic netlink of the vDPA bus, by hand: what `vdpa dev add` sends.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "probe.h"

#define CMD_DEV_NEW	 3
#define CMD_DEV_DEL	 4
#define ATTR_MGMTDEV_DEV 2
#define ATTR_DEV_NAME	 4

struct message {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	char data[4096];
};

static void put(struct message *msg, const struct attr *attr)
{
	char *at = (char *)msg + NLMSG_ALIGN(msg->nl.nlmsg_len);
	struct nlattr head = { .nla_type = attr->id,
			       .nla_len = (uint16_t)(NLA_HDRLEN + attr->len) };

	memcpy(at, &head, sizeof(head));
	memcpy(at + NLA_HDRLEN, attr->value, attr->len);
	msg->nl.nlmsg_len =
		NLMSG_ALIGN(msg->nl.nlmsg_len) + NLA_ALIGN(head.nla_len);
}

static void take(struct answer *answer, const struct nlattr *attr)
{
	unsigned int id = attr->nla_type & NLA_TYPE_MASK;
	size_t len = attr->nla_len - NLA_HDRLEN;

	if (id < ARRAY_SIZE(answer->values) && len <= sizeof(uint64_t)) {
		answer->has |= 1ULL << id;
		answer->values[id] = 0;
		memcpy(&answer->values[id], attr + 1, len);
	}
}

/* Attributes of an answer, or of an error's additions. */
static void take_all(struct answer *answer, const char *at, const char *end,
		     bool is_error)
{
	while (at + NLA_HDRLEN <= end) {
		const struct nlattr *attr = (const struct nlattr *)at;

		if (attr->nla_len < NLA_HDRLEN || at + attr->nla_len > end) {
			return;
		}
		if (!is_error) {
			take(answer, attr);
		} else if ((attr->nla_type & NLA_TYPE_MASK) ==
			   NLMSGERR_ATTR_MSG) {
			(void)snprintf(answer->text, sizeof(answer->text),
				       "%.*s", attr->nla_len - NLA_HDRLEN,
				       at + NLA_HDRLEN);
		}
		at += NLA_ALIGN(attr->nla_len);
	}
}

/* Returns whether it was the last message of the answer. */
static bool take_message(struct answer *answer, const struct nlmsghdr *nl)
{
	const char *end = (const char *)nl + nl->nlmsg_len;
	const struct nlmsgerr *err = NLMSG_DATA(nl);
	const char *at;

	if (nl->nlmsg_type != NLMSG_ERROR) {
		at = (const char *)NLMSG_DATA(nl) + GENL_HDRLEN;
		take_all(answer, at, end, false);
		return false;
	}
	answer->ret = err->error;
	at = (const char *)(err + 1);
	if (!(nl->nlmsg_flags & NLM_F_CAPPED)) {
		at += NLMSG_ALIGN(err->msg.nlmsg_len) - NLMSG_HDRLEN;
	}
	if (nl->nlmsg_flags & NLM_F_ACK_TLVS) {
		take_all(answer, at, end, true);
	}
	return true;
}

static int ask(int fd, uint16_t family, uint8_t cmd, const struct attr *attrs,
	       size_t n_attrs, struct answer *answer)
{
	struct message msg = {
		.nl = { .nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
			.nlmsg_type = family,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.genl = { .cmd = cmd, .version = 1 },
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	bool is_done = false;

	memset(answer, 0, sizeof(*answer));
	for (size_t i = 0; i < n_attrs; i++) {
		put(&msg, &attrs[i]);
	}
	if (sendto(fd, &msg, msg.nl.nlmsg_len, 0, (struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0) {
		return -errno;
	}
	while (!is_done) {
		char buf[8192] __attribute__((aligned(4)));
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		struct nlmsghdr *nl = (struct nlmsghdr *)buf;

		if (n <= 0) {
			return n ? -errno : -EPIPE;
		}
		for (; NLMSG_OK(nl, n); nl = NLMSG_NEXT(nl, n)) {
			is_done |= take_message(answer, nl);
		}
	}
	return answer->ret;
}

int bus_request(uint8_t cmd, const struct attr *attrs, size_t n_attrs,
		struct answer *ret_answer)
{
	static const struct attr family = { CTRL_ATTR_FAMILY_NAME, 5, "vdpa" };
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	int one = 1;
	int ret;

	if (fd < 0) {
		return -errno;
	}
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	ret = bind(fd, (struct sockaddr *)&self, sizeof(self)) ? -errno : 0;
	ret = ret ? ret
		  : ask(fd, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &family, 1,
			ret_answer);
	if (!ret) {
		uint16_t id = (uint16_t)ret_answer->values[CTRL_ATTR_FAMILY_ID];

		ret = ask(fd, id, cmd, attrs, n_attrs, ret_answer);
	}
	(void)close(fd);
	return ret;
}

int bus_add(const char *mgmtdev, const char *name, const struct attr *more,
	    struct answer *ret_answer)
{
	struct attr attrs[] = {
		{ ATTR_MGMTDEV_DEV, (uint16_t)(strlen(mgmtdev) + 1), mgmtdev },
		{ ATTR_DEV_NAME, (uint16_t)(strlen(name) + 1), name },
		{ 0 },
	};

	if (more) {
		attrs[2] = *more;
	}
	return bus_request(CMD_DEV_NEW, attrs, more ? 3 : 2, ret_answer);
}

int bus_del(const char *name, struct answer *ret_answer)
{
	struct attr attr = { ATTR_DEV_NAME, (uint16_t)(strlen(name) + 1),
			     name };

	return bus_request(CMD_DEV_DEL, &attr, 1, ret_answer);
}
