/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the vfio-user bus driver share.
 *
 * Theory of operation
 *
 * One struct vfio_user a bound device, on the control thread. A client
 * connects, and sees a PCI function (virtio_pci.h): regions to read and write,
 * interrupts to hand eventfds in for, memory to share.
 *
 *   vfio_user.c       probe, remove, keys
 *   vfio_user_conn.c  the socket: listen, receive, send, deadlines
 *   vfio_user_msg.c   the table of commands, the version, what is described
 *   vfio_user_dma.c   the client's memory
 *   vfio_user_io.c    regions and interrupts
 *
 * Commands are done in their order, one at a time, and each is answered unless
 * it says NO_REPLY. One that fails is answered with an errno and has changed
 * nothing; the connection is closed for what is no command at all. Nothing here
 * waits for the client: while an answer cannot be sent, or a command waits for
 * the device, no further command is read, so that what a client can make us
 * hold is one message and one answer.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_VFIO_USER_INTERNAL_H
#define BUSDRV_VFIO_USER_INTERNAL_H

#include "base/fd.h"
#include "base/log.h"
#include "base/unix.h"
#include "bus/bus.h"
#include "busdrv/virtio_pci.h"
#include "uapi/vfio_user.h"

/* A message may take that long from its first byte to its last, and as long may
 * its answer. */
#define VFIO_USER_MSG_DEADLINE_NS (5 * 1000000000ULL)
/* A client that said nothing for that long makes way for another. */
#define VFIO_USER_SILENCE_NS (1 * 1000000000ULL)
/* Bytes that one access to a region moves at most. */
#define VFIO_USER_XFER_MAX 4096
/* Bytes behind a message's header: also 200 writes in one, as QEMU sends them,
 * and any sensible list of capabilities. */
#define VFIO_USER_PAYLOAD_MAX 8192
/* Pieces of memory that a client may share. */
#define VFIO_USER_DMA_MAX 1024

/**
 * struct vfio_user_msg - a command, and in the same place its reply
 *
 * @fds, @n_fds: that came with it; what a handler keeps it sets to -1
 * @reply_size: bytes of @payload in the reply; 0 before the handler is called
 * @is_question: to fail is no fault of the client's
 * @reply_fds, @n_reply_fds: that go with the reply; borrowed until it is sent
 */
struct vfio_user_msg {
	struct vfio_user_header hdr;
	uint8_t payload[VFIO_USER_PAYLOAD_MAX] __attribute__((aligned(8)));
	int fds[FD_PASS_MAX];
	unsigned int n_fds;
	bool is_question;
	uint32_t reply_size;
	int reply_fds[FD_PASS_MAX];
	unsigned int n_reply_fds;
};

/* A piece of the client's memory. */
struct vfio_user_dma {
	uint64_t start, last;
	bool is_shared; /* else it has no file, and nobody here gets at it */
};

/* Control thread only. */
struct vfio_user {
	struct vdpa_device *vdev;
	struct loop *loop;

	/* options */
	char path[UNIX_PATH_MAX];
	uint32_t mode;
	uint32_t n_vectors; /* 0: as many as make sense */

	struct virtio_pci *pci;

	/* vfio_user_conn.c */
	struct unix_listener listener;
	struct loop_watch *listen_watch;
	int fd; /* -1: no session */
	struct loop_watch *watch;
	struct loop_timer deadline;
	struct vfio_user_msg in;
	size_t n_in; /* bytes of it that are here */
	struct vfio_user_msg out;
	size_t n_out, out_done; /* bytes of it */
	uint64_t since_ns; /* of the session */
	bool has_spoken;
	bool is_leaving; /* remove() waits for the client to go */
	bool is_ending; /* window_end() is under way */
	struct window_op end_op;

	/* the command that is being done */
	struct window_op op;
	bool is_waiting; /* for @op */
	bool is_handling; /* and its handler is running */
	int (*resume)(struct vfio_user *vu, struct vfio_user_msg *msg,
		      int result); /* NULL: @op is all there is to it */
	struct region *region; /* that it maps */
	uint32_t n_done; /* of its writes */

	/* the session */
	bool has_version;
	uint32_t client_fds; /* that it takes beside one message */
	struct vfio_user_dma *dma; /* sorted */
	unsigned int n_dma;

	/* counters, since bind */
	uint64_t n_sessions;
	uint64_t n_bad;
	struct log_limit limit;
};

/* ---- vfio_user.c ---- */

void vfio_user_destroy(struct vfio_user *vu);

/* ---- vfio_user_conn.c ---- */

/* Return: 0; -errno of listening */
int vfio_user_open(struct vfio_user *vu);
/* No further client; the socket's path is removed. When the one that is there
 * has left, vdpa_removed() is called and @vu is gone: that may be now. */
void vfio_user_leave(struct vfio_user *vu);
/* The same, without waiting. */
void vfio_user_cut_off(struct vfio_user *vu);
/* Is there a client, or one on its way in or out? */
bool vfio_user_has_session(const struct vfio_user *vu);

/* The done() of @op. */
void vfio_user_op_done(struct window_op *op);

/* ---- vfio_user_msg.c ---- */

/* What a handler returns when @op has not ended: vfio_user_resume() later. */
#define VFIO_USER_WAITS 1

/**
 * struct vfio_user_op - one command: how it looks and who does it
 *
 * @name: as the specification has it, without VFIO_USER_
 * @min_size, @max_size: of the payload, bytes
 * @max_fds: descriptors beside it
 * @fn: does it; NULL: not supported
 */
struct vfio_user_op {
	const char *name;
	uint16_t min_size, max_size;
	uint8_t max_fds;
	int (*fn)(struct vfio_user *vu, struct vfio_user_msg *msg);
};

/* Can its header be right, before the payload is read? Return: 0; -EPROTO */
int vfio_user_check_header(const struct vfio_user *vu,
			   const struct vfio_user_header *hdr);
/* Does what a complete message asks for. Return: 0; -errno, also when the
 * message is wrong; VFIO_USER_WAITS */
int vfio_user_dispatch(struct vfio_user *vu, struct vfio_user_msg *msg);
/* Goes on after @op. Return: the same */
int vfio_user_resume(struct vfio_user *vu, struct vfio_user_msg *msg);
/**
 * vfio_user_reply() - what to say of a command that is done
 * @msg: becomes its own reply
 * @r: how it ended: 0 or -errno
 *
 * Return: 1 there is a reply to send; 0 there is none; -errno the connection
 *         has to be closed
 */
int vfio_user_reply(struct vfio_user *vu, struct vfio_user_msg *msg, int r);

/* Of a handler, before it gives @op to the window, */
void vfio_user_begin(struct vfio_user *vu);
/* and after: what to return. */
int vfio_user_wait(struct vfio_user *vu);
/* What a command holds that will not be finished. */
void vfio_user_op_drop(struct vfio_user *vu);

/* ---- vfio_user_dma.c ---- */

/* Forgets the table; the device's is window_end()'s. */
void vfio_user_dma_drop(struct vfio_user *vu);

/* Is it memory of the client's that nobody here gets at? */
bool vfio_user_dma_is_unshared(const struct vfio_user *vu, uint64_t addr);

int vfio_user_dma_map(struct vfio_user *vu, struct vfio_user_msg *msg);
int vfio_user_dma_unmap(struct vfio_user *vu, struct vfio_user_msg *msg);

/* ---- vfio_user_io.c ---- */

int vfio_user_get_region_info(struct vfio_user *vu, struct vfio_user_msg *msg);
int vfio_user_get_region_io_fds(struct vfio_user *vu,
				struct vfio_user_msg *msg);
int vfio_user_region_read(struct vfio_user *vu, struct vfio_user_msg *msg);
int vfio_user_region_write(struct vfio_user *vu, struct vfio_user_msg *msg);
int vfio_user_region_write_multi(struct vfio_user *vu,
				 struct vfio_user_msg *msg);
int vfio_user_get_irq_info(struct vfio_user *vu, struct vfio_user_msg *msg);
int vfio_user_set_irqs(struct vfio_user *vu, struct vfio_user_msg *msg);

#endif
