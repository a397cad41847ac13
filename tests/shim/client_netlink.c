/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cases of test_shim.c: a generic netlink socket.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/client.h"

#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "shim/genl.h"

/* ---- netlink ---- */

struct genl_request {
	struct nlmsghdr nlh;
	struct genlmsghdr genl;
	struct nlattr attr;
	char name[8];
};

static void check_kernel_family(int fd)
{
	struct genl_request ask = {
		{ sizeof(ask), GENL_ID_CTRL, NLM_F_REQUEST, 1, 0 },
		{ .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
		{ 4 + 7, CTRL_ATTR_FAMILY_NAME },
		"nlctrl",
	};
	char answer[4096];

	CHECK(send(fd, &ask, sizeof(ask), 0) == sizeof(ask));
	CHECK(recv(fd, answer, sizeof(answer), 0) > (ssize_t)sizeof(ask));
	CHECK(((struct nlmsghdr *)answer)->nlmsg_type == GENL_ID_CTRL);
}

static void ask_vdpa(int fd)
{
	struct genl_request ask = {
		{ sizeof(ask), GENL_ID_CTRL, NLM_F_REQUEST, 1, 0 },
		{ .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
		{ 4 + 5, CTRL_ATTR_FAMILY_NAME },
		"vdpa",
	};
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	struct iovec iov = { &ask, sizeof(ask) };
	struct msghdr mh = {
		.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};

	CHECK(sendmsg(fd, &mh, 0) == sizeof(ask));
}

/* As libmnl receives: the address must be the kernel's, of 12 bytes. */
static ssize_t receive_answer(int fd, void *buf, size_t len)
{
	struct sockaddr_nl from;
	struct iovec iov = { buf, len };
	struct msghdr mh = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n;

	memset(&from, 0xff, sizeof(from));
	n = recvmsg(fd, &mh, 0);
	CHECK(n > 0);
	CHECK(mh.msg_namelen == sizeof(from));
	CHECK(from.nl_family == AF_NETLINK);
	CHECK(from.nl_pid == 0);
	return n;
}

static uint32_t bound_port(int fd)
{
	struct sockaddr_nl addr;
	socklen_t len = sizeof(addr);

	CHECK(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
	CHECK(len == sizeof(addr));
	CHECK(addr.nl_family == AF_NETLINK);
	return addr.nl_pid;
}

static void check_who(int fd, uint32_t port)
{
	struct genl_request ask = {
		{ sizeof(ask), GENL_TOY_FAMILY, NLM_F_REQUEST, 2, 0 },
		{ .cmd = GENL_TOY_WHO, .version = 1 },
		{ 4, 0 },
		"",
	};
	char answer[4096];
	uint32_t who[2];

	CHECK(send(fd, &ask, sizeof(ask), 0) == sizeof(ask));
	CHECK(recv(fd, answer, sizeof(answer), MSG_PEEK | MSG_TRUNC) == 28);
	CHECK(receive_answer(fd, answer, sizeof(answer)) == 28);
	memcpy(who, answer + 20, sizeof(who));
	CHECK(who[0] == port);
	CHECK(who[1] == 1);
}

void case_netlink(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	int one = 1, copy;
	socklen_t len = sizeof(one);
	char answer[4096];
	uint32_t port;

	CHECK(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, 4) == 0);
	CHECK(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	port = bound_port(fd);
	CHECK(port != 0);
	check_kernel_family(fd);
	ask_vdpa(fd);
	CHECK(receive_answer(fd, answer, sizeof(answer)) > 40);
	CHECK(bound_port(fd) == port);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, 4) == 0);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &one, &len) == 0);
	CHECK(one == AF_NETLINK);
	check_who(fd, port);
	copy = dup(fd);
	CHECK(close(fd) == 0);
	check_who(copy, port);
	CHECK(bound_port(copy) == port);
	CHECK(close(copy) == 0);
	/* Never asked for it: the kernel's to the end. */
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	check_kernel_family(fd);
	CHECK(close(fd) == 0);
}
