/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vfio-user client inside the test, and a virtio-pci driver on it.
 *
 * Theory of operation
 *
 * vuser_world_new() makes a world of vfront.h with the vfio-user bus driver in
 * it. vuser_connect() is a client with one memfd as the guest's memory, at
 * VUSER_GPA. The functions go up in three steps: messages; registers, found
 * through the capabilities as a driver finds them; rings. The control loop runs
 * only while a function here waits for something.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_LIB_VUSER_H
#define TESTS_LIB_VUSER_H

#include "base/fd.h"
#include "lib/vfront.h"
#include "uapi/vfio_user.h"

#define VUSER_GPA	 0x40000000ULL
#define VUSER_MEM_BYTES	 (4U << 20)
#define VUSER_QUEUES_MAX 4

struct vuser_world {
	struct vfront_world *fw; /* its path is where the socket goes */
	struct vdpa_driver *drv;
};

struct vuser_world *vuser_world_new(struct sim *sim, unsigned int n_workers);
void vuser_world_free(struct vuser_world *vw);
/* The bus driver is gone, by force. */
void vuser_world_cut(struct vuser_world *vw);
/* `dev bind DEV vfio_user path fw->path KEY VALUE`; @key may be NULL. */
int vuser_bind(struct vuser_world *vw, const char *dev, const char *key,
	       const char *value);

/* A structure of the virtio device's, as its capability says. */
struct vuser_cap {
	uint8_t bar;
	uint32_t offset, length;
	uint32_t multiplier; /* of the notify structure */
};

struct vuser {
	struct vuser_world *vw;
	int fd;
	int memfd;
	char *mem;
	uint16_t next_id;
	struct vuser_cap caps[6]; /* by VIRTIO_PCI_CAP_* */
	uint8_t msix_cap, cfg_cap;
	uint64_t features;
	struct vqueue q[VUSER_QUEUES_MAX];
	bool has_msix; /* else the call_fd of queue 0 is INTx */
	uint64_t next_free;
};

/* A client that has said nothing yet. */
struct vuser *vuser_connect(struct vuser_world *vw);
void vuser_close(struct vuser *c);

/* ---- messages ---- */

struct vuser_msg {
	struct vfio_user_header hdr;
	uint8_t payload[8192] __attribute__((aligned(8)));
	int fds[FD_PASS_MAX];
	unsigned int n_fds;
};

/* Sends as it is told to. Return: 0; -EPIPE the other end is closed */
int vuser_send(struct vuser *c, uint16_t command, uint32_t flags,
	       const void *payload, uint32_t size, const int *fds,
	       unsigned int n_fds);
/* Runs the bus until a whole message is here. Return: 0; -EPIPE */
int vuser_recv(struct vuser *c, struct vuser_msg *ret);
/* Sends, and has the answer; descriptors in it are closed unless @ret. Return:
 * 0; -errno that it says; -EPIPE */
int vuser_ask(struct vuser *c, uint16_t command, const void *payload,
	      uint32_t size, const int *fds, unsigned int n_fds,
	      struct vuser_msg *ret);
/* Runs the bus until it has closed the connection; fails if it does not. */
void vuser_expect_end(struct vuser *c);
/* The version, with whatever JSON; NULL: none. Return: as vuser_ask() */
int vuser_version(struct vuser *c, uint16_t major, uint16_t minor,
		  const char *json, struct vuser_msg *ret);
/* A version that is right; asserts that it is accepted. */
void vuser_hello(struct vuser *c);
int vuser_map(struct vuser *c, uint64_t iova, uint64_t size, uint64_t offset,
	      uint32_t flags, int fd);
int vuser_unmap(struct vuser *c, uint64_t iova, uint64_t size, uint32_t flags);
/* @n_fds 0: none, to take them away. */
int vuser_set_irqs(struct vuser *c, uint32_t index, uint32_t flags,
		   uint32_t start, uint32_t count, const int *fds,
		   unsigned int n_fds);

/* ---- registers ---- */

/* Return: as vuser_ask() */
int vuser_read(struct vuser *c, uint32_t region, uint64_t offset, void *buf,
	       uint32_t len);
int vuser_write(struct vuser *c, uint32_t region, uint64_t offset,
		const void *buf, uint32_t len);
/* A register of the configuration space, of a structure; assert success. */
uint32_t vuser_cfg_read(struct vuser *c, uint32_t at, uint32_t len);
void vuser_cfg_write(struct vuser *c, uint32_t at, uint32_t value,
		     uint32_t len);
uint32_t vuser_get(struct vuser *c, unsigned int cap, uint32_t at,
		   uint32_t len);
void vuser_set(struct vuser *c, unsigned int cap, uint32_t at, uint32_t value,
	       uint32_t len);
/* Walks the capabilities. */
void vuser_find_caps(struct vuser *c);

/* ---- the driver ---- */

uint8_t vuser_status(struct vuser *c);
void vuser_set_status(struct vuser *c, uint8_t status);
/* Up to FEATURES_OK, with these besides VERSION_1 and ACCESS_PLATFORM. */
void vuser_negotiate(struct vuser *c, uint64_t features);
/* Ring, vector and enable of queue @idx. */
void vuser_set_up_queue(struct vuser *c, unsigned int idx, uint16_t num);
/* From connect to DRIVER_OK: with MSI-X a vector for each queue (vector idx +
 * 1), else INTx. */
void vuser_start(struct vuser *c, uint64_t features, unsigned int n_queues,
		 uint16_t num, bool has_msix);
void vuser_notify(struct vuser *c, unsigned int idx);

void *vuser_alloc(struct vuser *c, size_t size, size_t align);
uint64_t vuser_gpa(const struct vuser *c, const void *va);
/* Publishes, notifies where wanted, and waits until one buffer is used. */
struct vq_used vuser_run_one(struct vuser *c, unsigned int idx);
/* One block request with one data buffer. Return: the status byte. */
uint8_t vuser_blk(struct vuser *c, unsigned int idx, uint32_t type,
		  uint64_t sector, void *data, uint32_t len);

#endif
