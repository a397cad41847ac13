/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the net driver share. See net.h.
 *
 *   net.c        life: features, queues, reset
 *   net_info.c   config space, and what callers are told of it
 *   net_ctrl.c   the control queue
 *   net_queue.c  what queues of both kinds have: owner, waiting, counters
 *   net_tx.c     sending
 *   net_rx.c     receiving
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VIRTIO_NET_INTERNAL_H
#define VIRTIO_NET_INTERNAL_H

#include <linux/virtio_net.h>

#include "uapi/compat.h"
#include "virtio/dma.h"
#include "virtio/net.h"
#include "virtio/virtqueue.h"

#define NET_F(name) BIT_ULL(VIRTIO_NET_F_##name)

#define NET_HDR ((uint32_t)sizeof(struct virtio_net_hdr_v1))
_Static_assert(sizeof(struct virtio_net_hdr_v1) == VDPAKIT_NET_HDR_BYTES,
	       "ABI");

/* Entries of a ring, unless the user says otherwise. */
#define NET_QUEUE_SIZE_DEFAULT 256
#define NET_QUEUE_SIZE_MAX     32768
#define NET_BUFFER_MIN	       128
#define NET_BUFFER_DEFAULT     2048
#define NET_BUFFER_MAX	       65600 /* holds the longest frame */
/* Bytes of a buffer of the driver's that a frame is copied to, or to several. */
#define NET_TX_BUFFER 2048
/* Those that the longest frame needs. */
#define NET_TX_SLOTS_MAX \
	((NET_HDR + VDPAKIT_NET_FRAME_MAX + NET_TX_BUFFER - 1) / NET_TX_BUFFER)
/* Used buffers that are taken from a ring at once. */
#define NET_BURST 32

#define NET_NO_SLOT UINT16_MAX

/* ---- queues ---- */

struct net_tx_slot {
	void *user;
	uint32_t len_bytes; /* of the frame */
	uint16_t next; /* further ones of this frame; done */
	bool is_lent; /* its user is to be told when it is done */
	bool has_header; /* its header is not all zeroes */
};

enum net_rx_state {
	NET_RX_FREE, /* also while the device has it */
	NET_RX_PART, /* of a frame, not its first piece */
	NET_RX_HELD, /* the first piece of a frame that the caller has */
};

struct net_rx_slot {
	struct vdpakit_net_piece piece;
	uint16_t next; /* of the frame */
	uint8_t state;
};

/* Of one direction of a pair; no two share a line of the cache. */
struct vdpakit_net_queue {
	/* set by net_probe() and net_reset(), then read-only */
	struct vdpakit_net *net;
	struct virtqueue *vq;
	bool is_tx;
	bool is_merging; /* received frames may have several pieces */
	bool is_dead; /* it has no ring, since a reset failed */
	uint16_t n_slots;
	uint32_t buffer_bytes;
	uint32_t stride; /* from one buffer to the next */
	uint32_t frame_max; /* bytes, without GSO */
	uint64_t features; /* in force */
	struct region *region; /* of the buffers */
	char *buffers;
	uint64_t iova;
	struct net_tx_slot *tx; /* n_slots */
	struct net_rx_slot *rx; /* n_slots */

	/* owner only */
	unsigned int cursor; /* of dma_iova() */
	uint16_t *free; /* slots; the last one is next */
	uint16_t n_free;
	uint16_t done_head, done_tail; /* sending: to be told, a list */
	uint16_t part_head, part_tail; /* receiving: a frame that comes */
	uint16_t n_parts, n_parts_left;
	uint32_t part_bytes;
	bool is_lost; /* receiving: where frames begin, nobody knows */
	uint32_t n_under_way;

	/* any thread, atomic; the owner writes */
	uint64_t n_frames, n_bytes, n_bad;

	char padding[64];
};

/* ---- the control queue ---- */

/* Bytes of a command's data: the largest filter. */
#define NET_CTRL_DATA_MAX (2 * 4 + VDPAKIT_NET_FILTER_MAX * 6)

/* What the device reads, and writes. */
struct net_ctrl_mem {
	struct virtio_net_ctrl_hdr hdr;
	uint8_t data[NET_CTRL_DATA_MAX];
	uint8_t ack;
};

/* All: control only. */
struct net_ctrl {
	struct virtqueue *vq; /* NULL: there is none */
	struct region *region;
	struct net_ctrl_mem *mem;
	uint64_t iova;
	uint32_t data_bytes; /* of the command */
	struct loop_watch *watch;
	struct loop_timer timer;
	struct list requests; /* the first one is being done */
	unsigned int step; /* of it: the next command */
	bool is_asked; /* a command is with the device */
	bool is_busy; /* requests are being looked at */
	unsigned int mode, known_modes; /* as set last; which were */
	bool has_mac; /* mac was set, and is to be set again */
	uint8_t mac[6];
};

/* ---- the device ---- */

/* As words, so that any thread may read it while control writes. */
union net_info_words {
	struct vdpakit_net_info info;
	uint64_t words[(sizeof(struct vdpakit_net_info) + 7) / 8];
};

struct vdpakit_net {
	/* set by net_probe(), then read-only */
	struct virtio_device *vdev;
	struct loop *control;
	struct vdpakit_net_options options;
	uint16_t n_pairs;
	uint64_t guest_offloads; /* of the features in force */
	struct vdpakit_net_queue *queues; /* 2 * n_pairs: rx, tx, rx, ... */

	/* control only */
	struct vdpakit_net_info info;
	struct net_ctrl ctrl;
	bool is_running;

	/* any thread, atomic; control writes */
	uint32_t info_seq; /* odd: it is being written */
	union net_info_words shown;
};

/* net_info.c */

/* Reads the config space into net->info, but for what net_info_begin() says.
 * Return: 0; -EPROTO; -ENODEV */
int net_info_read(struct vdpakit_net *net);
/* After a start: what stays as it is until the next. Return: as above */
int net_info_begin(struct vdpakit_net *net);
/* Lets others see net->info, whose generation rises. */
void net_info_show(struct vdpakit_net *net);
/* The driver's config_changed(). */
void net_info_changed(void *priv);

/* net_ctrl.c */

void net_ctrl_init(struct vdpakit_net *net);
void net_ctrl_free(struct vdpakit_net *net);
/* After virtio_find_vqs(); @vq NULL: the device has none. Return: 0; -ENOMEM;
 * -errno */
int net_ctrl_start(struct vdpakit_net *net, struct virtqueue *vq);
/* Ends all requests. */
void net_ctrl_stop(struct vdpakit_net *net, int result);
/* The device may be broken, or gone: is a request to end? */
void net_ctrl_look(struct vdpakit_net *net);

/* net_tx.c, net_rx.c */

/* Buffers for a new queue. Return: 0; -ENOMEM; -errno of dma_alloc() */
int net_tx_init(struct vdpakit_net_queue *q);
int net_rx_init(struct vdpakit_net_queue *q);
/* The device has been reset: nothing is with it any more. */
void net_tx_stopped(struct vdpakit_net_queue *q);
void net_rx_stopped(struct vdpakit_net_queue *q);
/* Takes what the device has done. Return: 0; -EPROTO, and it is broken */
int net_tx_reap(struct vdpakit_net_queue *q);
/* Gives the device all buffers that are free. */
void net_rx_refill(struct vdpakit_net_queue *q);

/* net_queue.c */

/* Memory of n_slots buffers of at least @size_bytes. Return: 0; -errno of
 * dma_alloc() */
int net_queue_alloc(struct vdpakit_net_queue *q, uint32_t size_bytes);
int net_queue_refuse(const struct vdpakit_net_queue *q);

/* Before each use: is it of that kind, and the caller's? Calls are off then.
 * Return: 0; -EINVAL; -EPERM */
static inline int net_queue_check(struct vdpakit_net_queue *q, bool is_tx)
{
	int ret;

	if (unlikely(q->is_tx != is_tx)) {
		return net_queue_refuse(q);
	}
	ret = virtqueue_check_owner(q->vq);
	if (likely(ret == 0) && unlikely(q->vq->is_armed)) {
		virtqueue_disarm(q->vq);
	}
	return ret;
}

static inline void net_queue_count(uint64_t *counter, uint64_t by)
{
	/* Its owner alone writes it. */
	__atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

static inline char *net_queue_buffer(const struct vdpakit_net_queue *q,
				     uint16_t slot)
{
	return q->buffers + (size_t)slot * q->stride;
}

static inline uint64_t net_queue_iova(const struct vdpakit_net_queue *q,
				      uint16_t slot)
{
	return q->iova + (uint64_t)slot * q->stride;
}

#endif
