/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client with a running device.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "client.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

_Static_assert(CLIENT_VQS_MAX *RING_BYTES <= CLIENT_BUFS, "room for rings");

void client_init(struct client *cl, struct conf *c, int fd)
{
	memset(cl, 0, sizeof(*cl));
	cl->c = c;
	cl->fd = fd;
	cl->mem = conf_memfd(c, CLIENT_BYTES);
}

void client_open(struct client *cl, struct conf *c, const char *path, int flags)
{
	client_init(cl, c, conf_open(c, path, flags));
	assert_int_equal(dev_set_owner(cl->fd), 0);
}

void client_negotiate(struct client *cl, uint64_t want)
{
	uint64_t must = F_VERSION_1 | F_ACCESS_PLATFORM |
			(cl->c->is_packed ? F_PACKED : 0);
	uint64_t offered = 0;

	assert_int_equal(dev_get_features(cl->fd, &offered), 0);
	if (~offered & must) {
		conf_skip("the device does not offer this ring format");
	}
	cl->features = offered & (want | must);
	assert_int_equal(dev_set_status(cl->fd, S_ACKNOWLEDGE | S_DRIVER), 0);
	assert_int_equal(dev_set_features(cl->fd, cl->features), 0);
	assert_int_equal(dev_set_status(cl->fd, S_ACKNOWLEDGE | S_DRIVER |
							S_FEATURES_OK),
			 0);
	assert_int_equal(dev_get_status(cl->fd),
			 S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
}

void client_map(struct client *cl)
{
	assert_int_equal(dev_map(cl->fd, 0, CLIENT_IOVA, cl->mem.va,
				 cl->mem.size, VHOST_ACCESS_RW),
			 IOTLB_DONE);
}

void client_vq_init(struct client *cl, uint16_t idx, uint16_t num)
{
	struct client_vq *q = &cl->vqs[idx];
	char *va = cl->mem.va + (size_t)idx * RING_BYTES;

	ring_init(&q->ring, cl->c->is_packed, num, va, client_iova(cl, va));
	q->ring.has_event_idx = cl->features & F_EVENT_IDX;
	q->idx = idx;
	q->kick = conf_eventfd(cl->c, 0);
	q->call = conf_eventfd(cl->c, 0);
	ring_arm(&q->ring);
	if (cl->nvqs <= idx) {
		cl->nvqs = idx + 1U;
	}
}

void client_vq_set_addr(struct client *cl, uint16_t idx)
{
	uint64_t iova = cl->vqs[idx].ring.iova;

	assert_int_equal(dev_vring_addr(cl->fd, idx, iova, iova + RING_DRIVER,
					iova + RING_DEVICE),
			 0);
}

void client_vq_set(struct client *cl, uint16_t idx)
{
	struct client_vq *q = &cl->vqs[idx];

	assert_int_equal(
		dev_vring(cl->fd, VHOST_SET_VRING_NUM, idx, q->ring.num), 0);
	assert_int_equal(dev_vring(cl->fd, VHOST_SET_VRING_BASE, idx,
				   ring_base(&q->ring)),
			 0);
	client_vq_set_addr(cl, idx);
	assert_int_equal(
		dev_vring_fd(cl->fd, VHOST_SET_VRING_KICK, idx, q->kick), 0);
	assert_int_equal(
		dev_vring_fd(cl->fd, VHOST_SET_VRING_CALL, idx, q->call), 0);
}

void client_vq_enable(struct client *cl, uint16_t idx)
{
	assert_int_equal(dev_vring(cl->fd, VHOST_VDPA_SET_VRING_ENABLE, idx, 1),
			 0);
}

void client_driver_ok(struct client *cl)
{
	assert_int_equal(dev_set_status(cl->fd, S_READY), 0);
	assert_int_equal(dev_get_status(cl->fd), S_READY);
}

void client_run(struct client *cl, uint64_t want, unsigned int nvqs,
		uint16_t num)
{
	client_negotiate(cl, want);
	client_map(cl);
	for (uint16_t i = 0; i < nvqs; i++) {
		client_vq_init(cl, i, num);
		client_vq_set(cl, i);
		client_vq_enable(cl, i);
	}
	client_driver_ok(cl);
}

void client_start(struct client *cl, struct conf *c, const char *path,
		  uint64_t want, unsigned int nvqs, uint16_t num)
{
	client_open(cl, c, path, O_RDWR);
	client_run(cl, want, nvqs, num);
}

uint64_t client_iova(const struct client *cl, const void *va)
{
	return CLIENT_IOVA + (uint64_t)((const char *)va - cl->mem.va);
}

char *client_buf(const struct client *cl, size_t offset)
{
	assert_true(CLIENT_BUFS + offset < cl->mem.size);
	return cl->mem.va + CLIENT_BUFS + offset;
}

void client_kick(const struct client_vq *q)
{
	__u64 one = 1;

	assert_int_equal(write(q->kick, &one, sizeof(one)), sizeof(one));
}

bool client_wait(struct client_vq *q, int timeout_ms, uint16_t *ret_id,
		 uint32_t *ret_len)
{
	unsigned long end = conf_now_ms() + (unsigned long)timeout_ms;

	for (;;) {
		unsigned long now = conf_now_ms();

		if (ring_pop(&q->ring, ret_id, ret_len)) {
			return true;
		}
		ring_arm(&q->ring);
		if (ring_pop(&q->ring, ret_id, ret_len)) {
			return true;
		}
		if (now >= end) {
			return false;
		}
		(void)conf_eventfd_wait(q->call, (int)(end - now));
		(void)conf_eventfd_take(q->call);
	}
}

bool client_is_quiet(struct client_vq *q)
{
	uint16_t id;
	uint32_t len;

	return !client_wait(q, CONF_QUIET_MS, &id, &len);
}
