/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front end's side of a vhost-user socket.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vu.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One more than any message has: somebody has to send that, too. */
#define FDS_ROOM 16

/* ---- bytes ---- */

ssize_t vu_write(int fd, const void *data, size_t len, const int *fds,
		 unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(FDS_ROOM * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;
	ssize_t n;

	assert_true(n_fds <= FDS_ROOM);
	if (n_fds > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cm = CMSG_FIRSTHDR(&m);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, n_fds * sizeof(int));
	}
	n = sendmsg(fd, &m, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

int vu_send(int fd, uint32_t request, uint32_t flags, const void *payload,
	    uint32_t size, const int *fds, unsigned int n_fds)
{
	char data[sizeof(struct vu_header) + sizeof(union vu_payload) + 64];
	struct vu_header hdr = { request, VU_VERSION | flags, size };
	size_t len = sizeof(hdr) + size;
	ssize_t n;

	assert_true(len <= sizeof(data));
	memcpy(data, &hdr, sizeof(hdr));
	if (size > 0) {
		memcpy(data + sizeof(hdr), payload, size);
	}
	n = vu_write(fd, data, len, fds, n_fds);
	if (n < 0) {
		return n == -ECONNRESET ? -EPIPE : (int)n;
	}
	assert_int_equal(n, len);
	return 0;
}

static void keep_fds(struct vu *vu, struct vu_msg *msg, struct msghdr *m)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(m); cm;
	     cm = CMSG_NXTHDR(m, cm)) {
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		assert_int_equal(cm->cmsg_type, SCM_RIGHTS);
		assert_true(msg->n_fds + n <= VU_FDS_MAX);
		memcpy(msg->fds + msg->n_fds, CMSG_DATA(cm), n * sizeof(int));
		while (n-- > 0) {
			conf_keep_fd(vu->c, msg->fds[msg->n_fds++]);
		}
	}
}

/* All of @len, in as many pieces as it comes. Return: 0; -EPIPE; -ETIME */
static int recv_all(struct vu *vu, int fd, struct vu_msg *msg, void *buf,
		    size_t len, unsigned long end)
{
	char control[CMSG_SPACE(VU_FDS_MAX * sizeof(int))];
	size_t done = 0;

	while (done < len) {
		struct iovec iov = { (char *)buf + done, len - done };
		struct msghdr m = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		struct pollfd p = { .fd = fd, .events = POLLIN };
		unsigned long now = conf_now_ms();
		ssize_t n;

		if (poll(&p, 1, now < end ? (int)(end - now) : 0) == 0) {
			return -ETIME;
		}
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
		if (n <= 0) {
			return -EPIPE;
		}
		keep_fds(vu, msg, &m);
		done += (size_t)n;
	}
	return 0;
}

int vu_recv(struct vu *vu, int fd, struct vu_msg *ret, int timeout_ms)
{
	unsigned long end = conf_now_ms() + (unsigned long)timeout_ms;
	int r;

	memset(ret, 0, sizeof(*ret));
	r = recv_all(vu, fd, ret, &ret->hdr, sizeof(ret->hdr), end);
	if (r < 0) {
		return r;
	}
	assert_int_equal(ret->hdr.flags & 3, VU_VERSION);
	assert_in_range(ret->hdr.size, 0, sizeof(ret->p));
	return recv_all(vu, fd, ret, &ret->p, ret->hdr.size, end);
}

/* ---- requests ---- */

static int recv_reply(struct vu *vu, uint32_t request, struct vu_msg *ret)
{
	int r = vu_recv(vu, vu->fd, ret, CONF_WAIT_MS);

	if (r == 0) {
		assert_int_equal(ret->hdr.request, request);
		assert_int_equal(ret->hdr.flags, VU_VERSION | VU_REPLY);
	}
	return r;
}

int vu_ask(struct vu *vu, uint32_t request, const void *payload, uint32_t size,
	   const int *fds, unsigned int n_fds, struct vu_msg *ret)
{
	int r = vu_send(vu->fd, request, 0, payload, size, fds, n_fds);

	return r < 0 ? r : recv_reply(vu, request, ret);
}

int vu_tell(struct vu *vu, uint32_t request, const void *payload, uint32_t size,
	    const int *fds, unsigned int n_fds)
{
	bool has_ack = vu->protocol & VU_P_REPLY_ACK;
	struct vu_msg msg;
	int r = vu_send(vu->fd, request, has_ack ? VU_NEED_REPLY : 0, payload,
			size, fds, n_fds);

	if (r < 0) {
		return r;
	}
	if (!has_ack) {
		return vu_ask(vu, VU_GET_FEATURES, NULL, 0, NULL, 0, &msg);
	}
	r = recv_reply(vu, request, &msg);
	if (r < 0) {
		return r;
	}
	assert_int_equal(msg.hdr.size, sizeof(msg.p.u64));
	return msg.p.u64 == 0 ? 0 : VU_REFUSED;
}

int vu_get_u64(struct vu *vu, uint32_t request, uint64_t *ret)
{
	struct vu_msg msg;
	int r = vu_ask(vu, request, NULL, 0, NULL, 0, &msg);

	if (r == 0) {
		assert_int_equal(msg.hdr.size, sizeof(msg.p.u64));
		assert_int_equal(msg.n_fds, 0);
		*ret = msg.p.u64;
	}
	return r;
}

int vu_set_u64(struct vu *vu, uint32_t request, uint64_t u64)
{
	return vu_tell(vu, request, &u64, sizeof(u64), NULL, 0);
}

int vu_set_state(struct vu *vu, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_state state = { index, num };

	return vu_tell(vu, request, &state, sizeof(state), NULL, 0);
}

int vu_get_base(struct vu *vu, uint32_t index, uint32_t *ret)
{
	struct vu_state state = { index, 0 };
	struct vu_msg msg;
	int r = vu_ask(vu, VU_GET_VRING_BASE, &state, sizeof(state), NULL, 0,
		       &msg);

	if (r == 0) {
		assert_int_equal(msg.hdr.size, sizeof(msg.p.state));
		assert_int_equal(msg.p.state.index, index);
		*ret = msg.p.state.num;
	}
	return r;
}

int vu_set_vring_fd(struct vu *vu, uint32_t request, uint32_t index, int fd)
{
	uint64_t u64 = index | (fd < 0 ? VU_NO_FD : 0);

	return vu_tell(vu, request, &u64, sizeof(u64), &fd, fd >= 0);
}

int vu_set_addr(struct vu *vu, const struct vu_addr *addr)
{
	return vu_tell(vu, VU_SET_VRING_ADDR, addr, sizeof(*addr), NULL, 0);
}

int vu_set_table(struct vu *vu, const struct vu_region *regions, const int *fds,
		 unsigned int n)
{
	struct vu_table table = { .n = n };

	assert_true(n <= VU_REGIONS_MAX);
	memcpy(table.regions, regions, n * sizeof(*regions));
	return vu_tell(vu, VU_SET_MEM_TABLE, &table,
		       (uint32_t)(8 + n * sizeof(*regions)), fds, n);
}

int vu_add_region(struct vu *vu, const struct vu_region *region, int fd)
{
	struct vu_one_region one = { .region = *region };

	return vu_tell(vu, VU_ADD_MEM_REG, &one, sizeof(one), &fd, 1);
}

int vu_rem_region(struct vu *vu, const struct vu_region *region)
{
	struct vu_one_region one = { .region = *region };

	return vu_tell(vu, VU_REM_MEM_REG, &one, sizeof(one), NULL, 0);
}

int vu_get_config(struct vu *vu, uint32_t offset, void *buf, uint32_t len)
{
	struct vu_config config = { .offset = offset, .size = len };
	struct vu_msg msg;
	int r;

	assert_true(len <= VU_CONFIG_BYTES);
	r = vu_ask(vu, VU_GET_CONFIG, &config, VU_CONFIG_HEAD + len, NULL, 0,
		   &msg);
	if (r < 0) {
		return r;
	}
	if (msg.hdr.size == 0) {
		return VU_REFUSED;
	}
	assert_int_equal(msg.hdr.size, VU_CONFIG_HEAD + len);
	assert_int_equal(msg.p.config.offset, offset);
	assert_int_equal(msg.p.config.size, len);
	memcpy(buf, msg.p.config.bytes, len);
	return 0;
}

int vu_set_config(struct vu *vu, uint32_t offset, const void *buf, uint32_t len,
		  uint32_t flags)
{
	struct vu_config config = { offset, len, flags, { 0 } };

	assert_true(len <= VU_CONFIG_BYTES);
	memcpy(config.bytes, buf, len);
	return vu_tell(vu, VU_SET_CONFIG, &config, VU_CONFIG_HEAD + len, NULL,
		       0);
}

int vu_iotlb(struct vu *vu, uint8_t type, uint64_t iova, uint64_t size,
	     const void *va, uint8_t perm)
{
	struct vu_iotlb msg = {
		.iova = iova,
		.size = size,
		.uaddr = (uintptr_t)va,
		.perm = perm,
		.type = type,
	};

	return vu_tell(vu, VU_IOTLB_MSG, &msg, sizeof(msg), NULL, 0);
}

/* ---- the connection ---- */

int vu_try_connect(struct vu *vu, struct conf *c, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r;

	*vu = (struct vu){ .c = c, .back = -1 };
	assert_true(strlen(path) < sizeof(addr.sun_path));
	memcpy(addr.sun_path, path, strlen(path));
	vu->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(vu->fd >= 0);
	if (connect(vu->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		(void)close(vu->fd);
		return r;
	}
	conf_keep_fd(c, vu->fd);
	return 0;
}

static void agree(struct vu *vu, uint64_t protocol)
{
	if (vu->offered & VU_F_PROTOCOL) {
		assert_int_equal(vu_get_u64(vu, VU_GET_PROTOCOL_FEATURES,
					    &vu->offered_protocol),
				 0);
	}
	protocol &= vu->offered_protocol;
	if (protocol != 0) {
		assert_int_equal(
			vu_set_u64(vu, VU_SET_PROTOCOL_FEATURES, protocol), 0);
	}
	vu->protocol = protocol;
}

int vu_connect_once(struct vu *vu, struct conf *c, const char *path,
		    uint64_t protocol)
{
	int r = vu_try_connect(vu, c, path);

	if (r < 0) {
		return r;
	}
	r = vu_get_u64(vu, VU_GET_FEATURES, &vu->offered);
	if (r < 0) {
		vu_close(vu);
		return r;
	}
	agree(vu, protocol);
	return 0;
}

void vu_connect(struct vu *vu, struct conf *c, const char *path,
		uint64_t protocol)
{
	unsigned long end = conf_now_ms() + CONF_WAIT_MS;

	while (vu_connect_once(vu, c, path, protocol) < 0) {
		assert_true(conf_now_ms() < end);
		conf_breathe();
	}
}

void vu_close(struct vu *vu)
{
	conf_close(vu->c, vu->fd);
	vu->fd = -1;
	if (vu->back >= 0) {
		conf_close(vu->c, vu->back);
		vu->back = -1;
	}
}

bool vu_is_closed(struct vu *vu)
{
	unsigned long end = conf_now_ms() + CONF_WAIT_MS;
	struct vu_msg msg;
	int r;

	do {
		r = vu_recv(vu, vu->fd, &msg, CONF_WAIT_MS);
	} while (r == 0 && conf_now_ms() < end);
	return r == -EPIPE;
}

bool vu_is_alive(struct vu *vu)
{
	uint64_t features;

	return vu_get_u64(vu, VU_GET_FEATURES, &features) == 0 &&
	       features == vu->offered;
}

void vu_require(const struct vu *vu, uint64_t protocol)
{
	if (~vu->offered_protocol & protocol) {
		conf_skip("the back end does not offer this protocol feature");
	}
}

/* ---- the back-end channel ---- */

void vu_open_back(struct vu *vu)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	vu->back = pair[0];
	conf_keep_fd(vu->c, pair[0]);
	assert_int_equal(
		vu_tell(vu, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1), 0);
	(void)close(pair[1]);
}

int vu_back_recv(struct vu *vu, struct vu_msg *ret, int timeout_ms,
		 uint64_t ack)
{
	int r = vu_recv(vu, vu->back, ret, timeout_ms);

	if (r < 0 || !(ret->hdr.flags & VU_NEED_REPLY)) {
		return r;
	}
	return vu_send(vu->back, ret->hdr.request, VU_REPLY, &ack, sizeof(ack),
		       NULL, 0);
}
