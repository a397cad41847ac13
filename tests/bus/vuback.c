/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user back end inside the test. See vuback.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "vuback.h"

#include <endian.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "base/fd.h"
#include "lib/test.h"

#define P(name) BIT_ULL(VHOST_USER_PROTOCOL_F_##name)

void vuback_init(struct vuback *b, const char *path)
{
	struct virtio_blk_config blk = {
		.capacity = htole64(2048),
		.num_queues = htole16(2),
	};

	memset(b, 0, sizeof(*b));
	assert_int_equal(unix_listen(path, SOCK_STREAM, 0600, &b->listener), 0);
	b->fd = -1;
	b->channel = -1;
	b->features = BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_BLK_F_MQ) |
		      BIT_ULL(VIRTIO_BLK_F_FLUSH) |
		      BIT_ULL(VIRTIO_F_RING_PACKED) |
		      BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES) |
		      BIT_ULL(VHOST_USER_LOG_ALL_BIT);
	b->protocol = P(MQ) | P(REPLY_ACK) | P(CONFIG) | P(BACKEND_REQ) |
		      P(CONFIGURE_MEM_SLOTS) | P(STATUS) | P(RESET_DEVICE) |
		      P(LOG_SHMFD);
	b->n_queues = 2;
	b->n_slots = 32;
	memcpy(b->config, &blk, sizeof(blk));
	for (unsigned int i = 0; i < VUBACK_QUEUES_MAX; i++) {
		b->rings[i].kick_fd = -1;
		b->rings[i].call_fd = -1;
	}
}

static void set_fd(int *fd, int take_fd)
{
	if (*fd >= 0) {
		close(*fd);
	}
	*fd = take_fd;
}

void vuback_hang_up(struct vuback *b)
{
	set_fd(&b->fd, -1);
	set_fd(&b->channel, -1);
	b->n_regions = 0;
	b->agreed_protocol = 0;
	for (unsigned int i = 0; i < VUBACK_QUEUES_MAX; i++) {
		set_fd(&b->rings[i].kick_fd, -1);
		set_fd(&b->rings[i].call_fd, -1);
		b->rings[i].is_enabled = false;
	}
}

void vuback_fini(struct vuback *b)
{
	vuback_hang_up(b);
	unix_listen_end(&b->listener);
}

/* ---- one message ---- */

struct message {
	struct vhost_user_header hdr;
	union vhost_user_payload payload;
	int fds[FD_PASS_MAX];
	unsigned int n_fds;
};

/* Return: false: it is not here, or there is no front end any more */
static bool receive(struct vuback *b, struct message *m)
{
	struct iovec iov = { &m->hdr, sizeof(m->hdr) };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1 };
	ssize_t n = fd_recv(b->fd, &msg, MSG_DONTWAIT);

	if (n == 0 || n == -ECONNRESET) {
		vuback_hang_up(b);
	}
	if (n <= 0) {
		return false;
	}
	assert_int_equal(n, sizeof(m->hdr)); /* it is sent as one */
	assert_int_equal(m->hdr.flags & VHOST_USER_VERSION_MASK,
			 VHOST_USER_VERSION);
	assert_in_range(m->hdr.size, 0, sizeof(m->payload));
	memcpy(m->fds, msg.fds, sizeof(m->fds));
	m->n_fds = msg.n_fds;
	memset(&m->payload, 0, sizeof(m->payload));
	if (m->hdr.size > 0) {
		assert_int_equal(recv(b->fd, &m->payload, m->hdr.size,
				      MSG_WAITALL),
				 m->hdr.size);
	}
	return true;
}

static void put(struct vuback *b, const struct vhost_user_header *hdr,
		const void *payload, size_t len, int fd)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)hdr, sizeof(*hdr) },
				{ (void *)(uintptr_t)payload, len } };
	struct fd_msg m = {
		.iov = iov, .n_iov = 2, .fds = { fd }, .n_fds = fd >= 0
	};

	(void)fd_send(b->fd, &m, MSG_DONTWAIT); /* it may be gone */
}

/* @m's payload, @size bytes of it, with or without a fault. */
static void answer(struct vuback *b, const struct message *m, uint32_t size)
{
	static const char zeroes[400];
	struct vhost_user_header hdr = {
		m->hdr.request, VHOST_USER_VERSION | VHOST_USER_REPLY_FLAG, size
	};
	enum vuback_fault fault = b->on == m->hdr.request ? b->fault
							  : VUBACK_RIGHT;

	switch (fault) {
	case VUBACK_ANSWERS_ANOTHER:
		hdr.request++;
		break;
	case VUBACK_SHORT:
		hdr.size = size - 1;
		break;
	case VUBACK_LONG:
		hdr.size = size + 1;
		break;
	case VUBACK_HUGE:
		hdr.size = 0x7fffffff;
		break;
	case VUBACK_EMPTY:
		hdr.size = 0;
		break;
	case VUBACK_NO_REPLY_FLAG:
		hdr.flags = VHOST_USER_VERSION;
		break;
	case VUBACK_BAD_VERSION:
		hdr.flags++;
		break;
	default:
		break;
	}
	put(b, &hdr, &m->payload, size,
	    fault == VUBACK_WITH_FD ? b->listener.fd : -1);
	if (fault == VUBACK_LONG) {
		(void)!send(b->fd, zeroes, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	if (fault == VUBACK_TWICE) {
		put(b, &hdr, &m->payload, size, -1);
	}
}

/* ---- what it keeps ---- */

static void add_region(struct vuback *b, const struct vhost_user_region *r)
{
	assert_in_range(b->n_regions, 0, VUBACK_REGIONS_MAX - 1);
	assert_true(r->size > 0);
	b->regions[b->n_regions++] = *r;
}

static void remove_region(struct vuback *b, const struct vhost_user_region *r)
{
	unsigned int i = 0;

	while (i < b->n_regions && memcmp(&b->regions[i], r, sizeof(*r)) != 0) {
		i++;
	}
	assert_in_range(i, 0, b->n_regions - 1); /* it has it */
	b->regions[i] = b->regions[--b->n_regions];
}

static bool has_memory(const struct vuback *b, uint64_t addr)
{
	for (unsigned int i = 0; i < b->n_regions; i++) {
		if (addr - b->regions[i].user_addr < b->regions[i].size) {
			return true;
		}
	}
	return false;
}

static void set_addr(struct vuback *b, const struct vhost_vring_addr *a)
{
	assert_in_range(a->index, 0, VUBACK_QUEUES_MAX - 1);
	assert_true(has_memory(b, a->desc_user_addr));
	assert_true(has_memory(b, a->avail_user_addr));
	assert_true(has_memory(b, a->used_user_addr));
	b->rings[a->index].addr = *a;
}

static struct vuback_ring *ring(struct vuback *b, uint64_t idx)
{
	idx &= VHOST_USER_VRING_IDX_MASK;
	assert_in_range(idx, 0, VUBACK_QUEUES_MAX - 1);
	return &b->rings[idx];
}

/* Return: the descriptor, the caller's; -1 */
static int take_fd(struct message *m)
{
	if (m->payload.u64 & VHOST_USER_VRING_NOFD) {
		assert_int_equal(m->n_fds, 0);
		return -1;
	}
	assert_int_equal(m->n_fds, 1);
	m->n_fds = 0;
	return m->fds[0];
}

static void set_table(struct vuback *b, const struct message *m)
{
	const struct vhost_user_mem_table *t = &m->payload.table;

	assert_in_range(t->n_regions, 1, VHOST_USER_REGIONS_MAX);
	assert_int_equal(m->n_fds, t->n_regions);
	b->n_regions = 0;
	for (uint32_t i = 0; i < t->n_regions; i++) {
		add_region(b, &t->regions[i]);
	}
}

static void keep(struct vuback *b, struct message *m)
{
	const struct vhost_vring_state *s = &m->payload.state;

	switch (m->hdr.request) {
	case VHOST_USER_SET_FEATURES:
		b->agreed = m->payload.u64;
		break;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		b->agreed_protocol = m->payload.u64;
		break;
	case VHOST_USER_SET_STATUS:
		b->status = m->payload.u64;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		set_table(b, m);
		break;
	case VHOST_USER_ADD_MEM_REG:
		assert_int_equal(m->n_fds, 1);
		add_region(b, &m->payload.reg.region);
		break;
	case VHOST_USER_REM_MEM_REG:
		remove_region(b, &m->payload.reg.region);
		break;
	case VHOST_USER_SET_VRING_NUM:
		ring(b, s->index)->num = s->num;
		break;
	case VHOST_USER_SET_VRING_BASE:
		ring(b, s->index)->base = s->num;
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		ring(b, s->index)->is_enabled = s->num;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		set_addr(b, &m->payload.addr);
		break;
	case VHOST_USER_SET_VRING_KICK:
		set_fd(&ring(b, m->payload.u64)->kick_fd, take_fd(m));
		break;
	case VHOST_USER_SET_VRING_CALL:
		set_fd(&ring(b, m->payload.u64)->call_fd, take_fd(m));
		break;
	case VHOST_USER_SET_BACKEND_REQ_FD:
		set_fd(&b->channel, take_fd(m));
		break;
	default:
		break;
	}
}

/* Of what has a reply of its own. Return: bytes of it; 0: it has none */
static uint32_t fill_reply(struct vuback *b, struct message *m)
{
	struct vhost_user_config *c = &m->payload.config;

	switch (m->hdr.request) {
	case VHOST_USER_GET_FEATURES:
		m->payload.u64 = b->features;
		return 8;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		m->payload.u64 = b->protocol;
		return 8;
	case VHOST_USER_GET_QUEUE_NUM:
		m->payload.u64 = b->n_queues;
		return 8;
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		m->payload.u64 = b->n_slots;
		return 8;
	case VHOST_USER_GET_VRING_BASE:
		m->payload.state.num = ring(b, m->payload.state.index)->base;
		set_fd(&ring(b, m->payload.state.index)->kick_fd, -1);
		m->payload.state.index += b->answers_for;
		return 8;
	case VHOST_USER_GET_CONFIG:
		assert_int_equal(m->hdr.size, VHOST_USER_CONFIG_HEAD + c->size);
		memcpy(c->data, b->config + c->offset, c->size);
		return VHOST_USER_CONFIG_HEAD + c->size;
	default:
		return 0;
	}
}

static void serve_message(struct vuback *b, struct message *m)
{
	uint32_t size;

	assert_in_range(m->hdr.request, 1, VHOST_USER_REQUEST_N - 1);
	b->n_got[m->hdr.request]++;
	keep(b, m);
	while (m->n_fds > 0) {
		close(m->fds[--m->n_fds]);
	}
	if (b->on == m->hdr.request && b->fault == VUBACK_CLOSES) {
		vuback_hang_up(b);
		return;
	}
	if (b->on == m->hdr.request && b->fault == VUBACK_IS_SILENT) {
		return;
	}
	size = fill_reply(b, m);
	if (size == 0 && (m->hdr.flags & VHOST_USER_NEED_REPLY)) {
		assert_true(b->agreed_protocol & P(REPLY_ACK));
		m->payload.u64 = b->on == m->hdr.request &&
				 b->fault == VUBACK_REFUSES;
		size = 8;
	}
	if (size > 0) {
		answer(b, m, size);
	}
}

bool vuback_serve(struct vuback *b)
{
	struct message m;

	if (b->fd < 0) {
		b->fd = accept4(b->listener.fd, NULL, NULL, SOCK_CLOEXEC);
		b->n_connections += b->fd >= 0;
		return b->fd >= 0;
	}
	if (!receive(b, &m)) {
		return b->fd < 0;
	}
	serve_message(b, &m);
	return true;
}

void vuback_change_config(struct vuback *b, bool wants_ack)
{
	const struct vhost_user_header hdr = {
		VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
		VHOST_USER_VERSION | (wants_ack ? VHOST_USER_NEED_REPLY : 0), 0
	};

	assert_int_equal(send(b->channel, &hdr, sizeof(hdr), MSG_NOSIGNAL),
			 sizeof(hdr));
}
