/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network devices: the virtio net driver. See client.h; what sets them up is in
 * netctl.h.
 *
 * Theory of operation
 *
 * A device has pairs of queues: one sends, one receives. Frames start with
 * their Ethernet addresses; the header that virtio puts before them is the
 * driver's, and what it says is in struct vdpakit_net_offload.
 *
 *   n = vdpakit_net_send(tx, frames, n)         the device has them
 *   n = vdpakit_net_reclaim(tx, users, max)     it has done with these
 *
 *   n = vdpakit_net_recv(rx, got, max)          in buffers of the driver's
 *   vdpakit_net_give_back(rx, got, n)           they may be filled again
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDPAKIT_NET_H
#define VDPAKIT_NET_H

#include <sys/uio.h>

#include <vdpakit/netctl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a frame: its addresses and type; all of them. */
#define VDPAKIT_NET_FRAME_MIN 14
#define VDPAKIT_NET_FRAME_MAX (65535 + 18)
/* Bytes of the driver's before a frame. */
#define VDPAKIT_NET_HDR_BYTES 12
/* Frames so short are copied, whatever their memory. */
#define VDPAKIT_NET_SHORT_BYTES 256
/* Pieces of a frame that is sent. */
#define VDPAKIT_NET_IOV_MAX 24

/* One queue, of either kind. */
struct vdpakit_net_queue;

/* Return: borrowed until vdpakit_net_close(); NULL: there is no such pair */
VDPAKIT_API struct vdpakit_net_queue *
vdpakit_net_get_tx(struct vdpakit_net *net, unsigned int pair);
VDPAKIT_API struct vdpakit_net_queue *
vdpakit_net_get_rx(struct vdpakit_net *net, unsigned int pair);
/* The queue is anybody's who uses it next. Return: 0; -EPERM */
VDPAKIT_API int vdpakit_net_release(struct vdpakit_net_queue *q);

/* What a frame's payload is to be cut into: the numbers are virtio's. */
#define VDPAKIT_NET_GSO_NONE   0
#define VDPAKIT_NET_GSO_TCPV4  1
#define VDPAKIT_NET_GSO_UDP    3 /* into IP fragments */
#define VDPAKIT_NET_GSO_TCPV6  4
#define VDPAKIT_NET_GSO_UDP_L4 5
#define VDPAKIT_NET_GSO_ECN    0x80 /* with TCP: CWR is set */

#define VDPAKIT_NET_NEEDS_CSUM 1 /* csum_start and csum_offset say where */
#define VDPAKIT_NET_DATA_VALID 2 /* received: its checksums were verified */

/**
 * struct vdpakit_net_offload - what is left to do with a frame
 *
 * @flags: VDPAKIT_NET_NEEDS_CSUM, _DATA_VALID
 * @gso_type: VDPAKIT_NET_GSO_*
 * @hdr_len: bytes of all headers up to the payload; received: a hint, 0: none
 * @gso_size: bytes of payload in each packet
 * @csum_start: the checksum is of the bytes from here to the end
 * @csum_offset: and belongs there, counted from csum_start
 *
 * Source: virtio 1.2, "Packet Transmission"
 */
struct vdpakit_net_offload {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
};

/* ---- sending ---- */

/* The memory is any, and the caller's again at once. reclaim() does not tell of
 * such a frame. */
#define VDPAKIT_NET_COPY 1
/* VDPAKIT_NET_HDR_BYTES before the frame's first byte are of the same memory,
 * and the driver's until the frame is done: the fastest way without copying. */
#define VDPAKIT_NET_HEADROOM 2

/**
 * struct vdpakit_net_frame - a frame to be sent; zero-initialise
 *
 * @buf: len_bytes of memory that devices may reach
 * @iov: instead: n_iov pieces of such, len_bytes in all; copied
 * @user: given back when it is done
 */
struct vdpakit_net_frame {
	uint16_t flags; /* VDPAKIT_NET_COPY, _HEADROOM */
	uint16_t n_iov; /* 0: buf */
	uint32_t len_bytes;
	void *buf;
	const struct iovec *iov;
	void *user;
	struct vdpakit_net_offload offload;
};

/**
 * vdpakit_net_send() - send frames
 * @q: of vdpakit_net_get_tx()
 * @frames, @n: in this order
 *
 * Return: how many were taken: fewer than @n, also 0, when the queue is full:
 *         reclaim, or wait. When the first one cannot be taken: -EINVAL makes
 *         no sense; -EMSGSIZE longer than the device's MTU, or than there are;
 *         -EFAULT the memory is not known to the bus; -EOPNOTSUPP an offload
 *         that is not in force; -EIO the device needs a reset; -ENODEV it is
 *         gone; -EPERM another thread's queue
 */
VDPAKIT_API int vdpakit_net_send(struct vdpakit_net_queue *q,
				 const struct vdpakit_net_frame *frames,
				 unsigned int n);

/**
 * vdpakit_net_reclaim() - frames that the device has done with
 * @q: of vdpakit_net_get_tx()
 * @ret_users: of at most @max frames, in any order; not of those copied
 *
 * Return: how many, 0: none; -EIO the device needs a reset, and nothing is left
 *         that was done before; -ENODEV; -EPERM; -EINVAL
 */
VDPAKIT_API int vdpakit_net_reclaim(struct vdpakit_net_queue *q,
				    void **ret_users, unsigned int max);

/* Sending: frames that are not done, or not reclaimed, as of the last call on
 * the queue. Receiving: frames that the caller holds. */
VDPAKIT_API unsigned int
vdpakit_net_n_under_way(const struct vdpakit_net_queue *q);

/* ---- receiving ---- */

struct vdpakit_net_piece {
	void *data;
	uint32_t len_bytes;
	const struct vdpakit_net_piece *next; /* NULL: the last */
};

/**
 * struct vdpakit_net_received - a frame, in buffers of the driver's
 *
 * @data: its first bytes: all, when n_pieces is 1
 * @len_bytes: of all pieces
 * @pieces: all of them; the first is @data
 */
struct vdpakit_net_received {
	void *data;
	uint32_t len_bytes;
	uint16_t n_pieces;
	struct vdpakit_net_offload offload;
	const struct vdpakit_net_piece *pieces;
};

/**
 * vdpakit_net_recv() - frames that have come
 * @q: of vdpakit_net_get_rx()
 * @ret: at most @max; each the caller's, to read and write, until it is given
 *       back, or the device is reset or closed
 *
 * Return: how many, 0: none; as vdpakit_net_reclaim()
 */
VDPAKIT_API int vdpakit_net_recv(struct vdpakit_net_queue *q,
				 struct vdpakit_net_received *ret,
				 unsigned int max);

/**
 * vdpakit_net_give_back() - frames that the caller is done with
 * @q: that they were received on
 * @frames, @n: any of these, in any order; their data and pieces were not
 *              changed
 *
 * A device that finds no buffer drops frames: give back soon.
 *
 * Return: 0; -EINVAL one was not of this queue, or was given back: those before
 *         it are; -EIO and -ENODEV: they are the driver's all the same; -EPERM
 */
VDPAKIT_API int vdpakit_net_give_back(struct vdpakit_net_queue *q,
				      const struct vdpakit_net_received *frames,
				      unsigned int n);

/* Copies a frame, @size bytes of it at most. Return: bytes */
VDPAKIT_API uint32_t vdpakit_net_copy(const struct vdpakit_net_received *frame,
				      void *buf, uint32_t size);

/* ---- waiting ---- */

/**
 * vdpakit_net_wait() - until there may be something to receive, or a frame that
 * was sent is done
 * @q: either kind
 * @timeout_ms: -1: for ever
 *
 * Return: 1; sending, also when nothing is under way; 0 the time is up; -EINTR
 *         a signal came; as vdpakit_net_reclaim()
 */
VDPAKIT_API int vdpakit_net_wait(struct vdpakit_net_queue *q, int timeout_ms);
/* An eventfd, readable when there is, or the device is gone, since
 * vdpakit_net_arm(), which any other use of the queue undoes; borrowed. */
VDPAKIT_API int vdpakit_net_fd(const struct vdpakit_net_queue *q);
/* Return: 1 there is something already; 0: the fd will say so; as
 * vdpakit_net_reclaim() */
VDPAKIT_API int vdpakit_net_arm(struct vdpakit_net_queue *q);

/**
 * struct vdpakit_net_stats - of one queue, since vdpakit_net_open()
 *
 * @n_frames, @n_bytes: done, or received
 * @n_bad: received, and dropped by the driver: shorter than an Ethernet frame,
 *         or its header made no sense
 * @n_kicks: times the device was notified
 * @n_waits: times that the caller slept
 */
struct vdpakit_net_stats {
	uint64_t n_frames;
	uint64_t n_bytes;
	uint64_t n_bad;
	uint64_t n_kicks;
	uint64_t n_waits;
};
/* Any thread. @size: sizeof(*ret). */
VDPAKIT_API void vdpakit_net_get_stats(const struct vdpakit_net_queue *q,
				       struct vdpakit_net_stats *ret,
				       size_t size);

#ifdef __cplusplus
}
#endif

#endif
