/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client with a running device.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client_internal.h"

_Static_assert(CLIENT_VQS_MAX *RING_BYTES <= CLIENT_BUFS, "room for rings");

static void make_memory(struct client *cl, struct conf *c)
{
	memset(cl, 0, sizeof(*cl));
	cl->c = c;
	cl->mem = conf_memfd(c, CLIENT_BYTES);
}

void client_init(struct client *cl, struct conf *c, int fd)
{
	make_memory(cl, c);
	cl->door = &client_door_vdpa;
	cl->fd = fd;
}

static const struct client_door *door_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode) ? &client_door_user
							    : &client_door_vdpa;
}

static void open_door(struct client *cl, struct conf *c, const char *path,
		      int flags, bool is_soon)
{
	make_memory(cl, c);
	cl->door = door_of(path);
	cl->door->open(cl, path, flags, is_soon);
}

void client_open(struct client *cl, struct conf *c, const char *path, int flags)
{
	open_door(cl, c, path, flags, false);
}

void client_open_soon(struct client *cl, struct conf *c, const char *path)
{
	open_door(cl, c, path, O_RDWR, true);
}

void client_open_user(struct client *cl, struct conf *c, const char *path,
		      uint64_t protocol)
{
	make_memory(cl, c);
	cl->door = &client_door_user;
	client_user_open(cl, path, protocol);
}

void client_adopt_user(struct client *cl)
{
	cl->door = &client_door_user;
	cl->fd = cl->vu.fd;
}

bool client_is_user(const struct client *cl)
{
	return cl->door == &client_door_user;
}

void client_negotiate(struct client *cl, uint64_t want)
{
	uint64_t must = F_VERSION_1 | cl->door->must |
			(cl->c->is_packed ? F_PACKED : 0);
	uint64_t offered = cl->door->offered(cl);

	if (~offered & must) {
		conf_skip("the device does not offer this ring format");
	}
	cl->features = offered & (want | must);
	cl->door->negotiate(cl);
}

void client_map(struct client *cl)
{
	cl->door->map(cl);
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
	cl->door->vq_set_addr(cl, idx);
}

void client_vq_set(struct client *cl, uint16_t idx)
{
	cl->door->vq_set(cl, idx);
}

void client_vq_enable(struct client *cl, uint16_t idx)
{
	cl->door->vq_enable(cl, idx);
}

void client_vq_stop(struct client *cl, uint16_t idx)
{
	cl->door->vq_stop(cl, idx);
}

void client_driver_ok(struct client *cl)
{
	cl->door->driver_ok(cl);
}

int client_status(struct client *cl)
{
	return cl->door->status(cl);
}

void client_reset(struct client *cl)
{
	cl->door->reset(cl);
}

int client_get_config(struct client *cl, uint32_t off, void *buf, uint32_t len)
{
	return cl->door->get_config(cl, off, buf, len);
}

void client_close(struct client *cl)
{
	cl->door->close(cl);
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
