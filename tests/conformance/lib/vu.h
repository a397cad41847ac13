/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front end's side of a vhost-user socket, one line a message.
 *
 * Theory of operation
 *
 * A request that has no reply of its own is sent with the wish for one where
 * REPLY_ACK is agreed on; otherwise a GET_FEATURES follows it, whose reply says
 * that the back end has come that far. So every function here returns when the
 * back end is done with the message: 0; VU_REFUSED when it said that it failed;
 * -EPIPE when it closed the connection; -ETIME when it says nothing. What is
 * no message at all is sent with vu_write().
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_VU_H
#define CONFORMANCE_VU_H

#include "conf.h"
#include "vu_abi.h"

#define VU_REFUSED 1

struct vu {
	struct conf *c;
	int fd;
	uint64_t offered; /* features */
	uint64_t offered_protocol;
	uint64_t protocol; /* agreed on */
	int back; /* our end of the back-end channel; -1: none */
};

struct vu_msg {
	struct vu_header hdr;
	union vu_payload p;
	int fds[VU_FDS_MAX];
	unsigned int n_fds;
};

/* ---- the connection ---- */

/* Return: 0, or what connect(2) says. The back end may still close it. */
int vu_try_connect(struct vu *vu, struct conf *c, const char *path);
/* Asks for what is offered, too, and agrees on those protocol features of
 * @protocol that are. */
int vu_connect_once(struct vu *vu, struct conf *c, const char *path,
		    uint64_t protocol);
/* The same, which must succeed soon: the last user may not be quite gone. */
void vu_connect(struct vu *vu, struct conf *c, const char *path,
		uint64_t protocol);
void vu_close(struct vu *vu);
/* Waits for the other side to close. Return: whether it does in time. */
bool vu_is_closed(struct vu *vu);
/* Does the back end answer? */
bool vu_is_alive(struct vu *vu);
/* Skips the test where these are not offered. */
void vu_require(const struct vu *vu, uint64_t protocol);

/* ---- messages ---- */

/* Bytes, with descriptors beside the first. Return: bytes sent; -errno */
ssize_t vu_write(int fd, const void *data, size_t len, const int *fds,
		 unsigned int n_fds);
/* A message; nothing is waited for. */
int vu_send(int fd, uint32_t request, uint32_t flags, const void *payload,
	    uint32_t size, const int *fds, unsigned int n_fds);
/* Descriptors that come with it end with the test. Return: 0; -EPIPE; -ETIME */
int vu_recv(struct vu *vu, int fd, struct vu_msg *ret, int timeout_ms);

/* A request with a reply of its own, which must be one to it. */
int vu_ask(struct vu *vu, uint32_t request, const void *payload, uint32_t size,
	   const int *fds, unsigned int n_fds, struct vu_msg *ret);
/* One without. */
int vu_tell(struct vu *vu, uint32_t request, const void *payload, uint32_t size,
	    const int *fds, unsigned int n_fds);

int vu_get_u64(struct vu *vu, uint32_t request, uint64_t *ret);
int vu_set_u64(struct vu *vu, uint32_t request, uint64_t u64);
int vu_set_state(struct vu *vu, uint32_t request, uint32_t index, uint32_t num);
int vu_get_base(struct vu *vu, uint32_t index, uint32_t *ret);
/* KICK, CALL, ERR; @fd: -1 none. */
int vu_set_vring_fd(struct vu *vu, uint32_t request, uint32_t index, int fd);
int vu_set_addr(struct vu *vu, const struct vu_addr *addr);
int vu_set_table(struct vu *vu, const struct vu_region *regions, const int *fds,
		 unsigned int n);
int vu_add_region(struct vu *vu, const struct vu_region *region, int fd);
int vu_rem_region(struct vu *vu, const struct vu_region *region);
/* Return: 0; VU_REFUSED: an answer without payload */
int vu_get_config(struct vu *vu, uint32_t offset, void *buf, uint32_t len);
int vu_set_config(struct vu *vu, uint32_t offset, const void *buf, uint32_t len,
		  uint32_t flags);
int vu_iotlb(struct vu *vu, uint8_t type, uint64_t iova, uint64_t size,
	     const void *va, uint8_t perm);

/* ---- the back-end channel ---- */

/* Makes one and passes it. */
void vu_open_back(struct vu *vu);
/* Waits for a message of the back end, and acknowledges it with @ack if it
 * wants that. Return: 0; -EPIPE; -ETIME */
int vu_back_recv(struct vu *vu, struct vu_msg *ret, int timeout_ms,
		 uint64_t ack);

#endif
