/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client with a running device: memory, rings and eventfds.
 *
 * Theory of operation
 *
 * Its memory is one file of CLIENT_BYTES, seen by the device at CLIENT_IOVA:
 * first RING_BYTES for each virtqueue, then buffers from CLIENT_BUFS on. The
 * steps that lead to a running device are functions of their own, so that a
 * test can take them in any order, or leave one out; client_start() takes all
 * of them in the usual order. Steps assert that they succeed.
 *
 * What it opens is a vhost-vdpa node or a vhost-user socket: each step is done
 * in the words of that door (client_vdpa.c, client_user.c). In front of a
 * socket the device reaches memory by guest address, which is CLIENT_IOVA here.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_CLIENT_H
#define CONFORMANCE_CLIENT_H

#include "conf.h"
#include "dev.h"
#include "ring.h"
#include "vu.h"

#define CLIENT_VQS_MAX 3
#define CLIENT_IOVA    0x100000ULL
#define CLIENT_BUFS    0x40000
#define CLIENT_BYTES   0x200000

#define F_INDIRECT	  (1ULL << 28)
#define F_EVENT_IDX	  (1ULL << 29)
#define F_VERSION_1	  (1ULL << 32)
#define F_ACCESS_PLATFORM (1ULL << 33)
#define F_PACKED	  (1ULL << 34)

struct client_vq {
	struct ring ring;
	uint16_t idx;
	int kick;
	int call;
};

struct client_door;

struct client {
	struct conf *c;
	const struct client_door *door;
	int fd;
	struct vu vu; /* with a socket */
	uint64_t features; /* negotiated */
	unsigned int nvqs; /* that it uses */
	struct conf_mem mem;
	struct client_vq vqs[CLIENT_VQS_MAX];
};

/* Opens a node and owns it; makes its memory. */
void client_open(struct client *cl, struct conf *c, const char *path,
		 int flags);
/* The same, once the last user, who has just died, is gone. */
void client_open_soon(struct client *cl, struct conf *c, const char *path);
/* A socket, with these protocol features, of those that are offered. */
void client_open_user(struct client *cl, struct conf *c, const char *path,
		      uint64_t protocol);
/* After client_init(): cl->vu is connected already. */
void client_adopt_user(struct client *cl);
/* For a node that is open and owned already. */
void client_init(struct client *cl, struct conf *c, int fd);

/* Status 3, features (those of @want that are offered, VERSION_1 and
 * ACCESS_PLATFORM, and the test's ring format, which must be offered or the
 * test is skipped), status 0xb. */
void client_negotiate(struct client *cl, uint64_t want);
/* Maps all of its memory, for reading and writing. */
void client_map(struct client *cl);
/* Makes the ring and eventfds of a virtqueue; the device knows nothing yet. */
void client_vq_init(struct client *cl, uint16_t idx, uint16_t num);
/* NUM, BASE, ADDR, KICK, CALL. */
void client_vq_set(struct client *cl, uint16_t idx);
/* ADDR alone. */
void client_vq_set_addr(struct client *cl, uint16_t idx);
void client_vq_enable(struct client *cl, uint16_t idx);
void client_driver_ok(struct client *cl);
/* Returns when the device is done with a virtqueue. */
void client_vq_stop(struct client *cl, uint16_t idx);
/* Return: the status byte */
int client_status(struct client *cl);
/* Status 0. */
void client_reset(struct client *cl);
int client_get_config(struct client *cl, uint32_t off, void *buf, uint32_t len);
void client_close(struct client *cl);
bool client_is_user(const struct client *cl);
/* All of it, for @nvqs queues of @num. */
void client_start(struct client *cl, struct conf *c, const char *path,
		  uint64_t want, unsigned int nvqs, uint16_t num);
/* The same from a client_open() on. */
void client_run(struct client *cl, uint64_t want, unsigned int nvqs,
		uint16_t num);

/* Where the device finds what lies at @va of the client's memory. */
uint64_t client_iova(const struct client *cl, const void *va);
char *client_buf(const struct client *cl, size_t offset);

void client_kick(const struct client_vq *q);
/* Waits for a used buffer. Return: whether it came in time. */
bool client_wait(struct client_vq *q, int timeout_ms, uint16_t *ret_id,
		 uint32_t *ret_len);
/* Return: whether no used buffer comes, as far as a short look tells. */
bool client_is_quiet(struct client_vq *q);

#endif
