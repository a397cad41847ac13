/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vhost-user front end inside the test: a bus, a device on a socket, and a
 * virtio driver in front of it, all in one process.
 *
 * Theory of operation
 *
 * vfront_world_new() makes a vworld with the vhost-user bus driver and a folder
 * for sockets. vfront_connect() is a front end with one memfd as its memory, at
 * VFRONT_GPA for the guest and VFRONT_UADDR for itself, neither of which is an
 * address of this process. The control loop runs only while a function here
 * waits for something (an answer, the end), so a test may look at bus and
 * device between two calls.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_LIB_VFRONT_H
#define TESTS_LIB_VFRONT_H

#include "lib/vclient.h"
#include "uapi/vhost_user.h"

#define VFRONT_GPA	  0x40000000ULL
#define VFRONT_UADDR	  0x7f1200000000ULL
#define VFRONT_MEM_BYTES  (4U << 20)
#define VFRONT_QUEUES_MAX 4

struct vfront_world {
	struct vworld *w;
	struct vdpa_driver *drv;
	char folder[64];
	char path[96]; /* of the socket that vfront_bind() makes */
};

struct vfront_world *vfront_world_new(struct sim *sim, unsigned int n_workers);
void vfront_world_free(struct vfront_world *fw);
/* `dev bind DEV vhost_user path fw->path KEY VALUE`; @key may be NULL. */
int vfront_bind(struct vfront_world *fw, const char *dev, const char *key,
		const char *value);

/* Runs the bus until @fd is readable; fails after 20 seconds. */
void vfront_wait(struct vfront_world *fw, int fd);

/* Runs the bus for that long. */
void vfront_run(struct vfront_world *fw, uint64_t ns);

struct vfront {
	struct vfront_world *fw;
	int fd;
	int memfd;
	char *mem;
	uint64_t features;
	uint64_t protocol_features;
	struct vqueue q[VFRONT_QUEUES_MAX];
	uint64_t next_free;
};

/* A front end that has said nothing yet; on @take_fd, or connected. */
struct vfront *vfront_new(struct vfront_world *fw, int take_fd);
struct vfront *vfront_connect(struct vfront_world *fw);
void vfront_close(struct vfront *f);

struct vfront_msg {
	struct vhost_user_header hdr;
	union vhost_user_payload payload;
	int fd; /* of the first descriptor with it; -1 */
};

/* Sends as it is told to. Return: 0; -EPIPE the other end is closed */
int vfront_send(struct vfront *f, uint32_t request, uint32_t flags,
		const void *payload, uint32_t size, const int *fds,
		unsigned int n_fds);
/* Runs the bus until a whole message is here. Return: 0; -EPIPE */
int vfront_recv(struct vfront *f, struct vfront_msg *ret);
/* Runs the bus until it has closed the connection; fails if it does not. */
void vfront_expect_end(struct vfront *f);
/* Runs the bus until it has done all that was sent to it: asks for the
 * features. Return: 0; -EPIPE */
int vfront_sync(struct vfront *f);

/* Sends with NEED_REPLY. Return: 0 acknowledged; 1 refused; -EPIPE */
int vfront_ack(struct vfront *f, uint32_t request, const void *payload,
	       uint32_t size, const int *fds, unsigned int n_fds);
/* Asserts that it is acknowledged. */
void vfront_must(struct vfront *f, uint32_t request, const void *payload,
		 uint32_t size, const int *fds, unsigned int n_fds);
int vfront_ack_u64(struct vfront *f, uint32_t request, uint64_t value);
int vfront_ack_state(struct vfront *f, uint32_t request, uint32_t idx,
		     uint32_t num);
/* A request that is answered with a number; asserts that it is. */
uint64_t vfront_get(struct vfront *f, uint32_t request);
uint32_t vfront_get_base(struct vfront *f, uint32_t idx);

/* Features and protocol features (all that is offered), no memory yet. */
void vfront_negotiate(struct vfront *f, uint64_t features);
/* One region, all of the memory. Return: as vfront_ack() */
int vfront_set_memory(struct vfront *f);
/* Ring @idx in the front end's memory; nothing is sent. */
void vfront_make_queue(struct vfront *f, unsigned int idx, uint16_t num);
void vfront_set_ring(struct vfront *f, unsigned int idx);
void vfront_set_addr(struct vfront *f, unsigned int idx, uint64_t uaddr);
void vfront_set_kick(struct vfront *f, unsigned int idx);
void vfront_set_call(struct vfront *f, unsigned int idx);
/* From connect to running rings. */
void vfront_start(struct vfront *f, uint64_t features, unsigned int n_queues,
		  uint16_t num);

void *vfront_alloc(struct vfront *f, size_t size, size_t align);
uint64_t vfront_gpa(const struct vfront *f, const void *va);
/* Publishes, kicks where wanted, and waits until one buffer is used. */
struct vq_used vfront_run_one(struct vfront *f, unsigned int idx);
/* One block request with one data buffer. Return: the status byte. */
uint8_t vfront_blk(struct vfront *f, unsigned int idx, uint32_t type,
		   uint64_t sector, void *data, uint32_t len);

#endif
