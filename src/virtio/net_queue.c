/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The net driver: what its queues have in common. See net_internal.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "virtio/net_internal.h"

#define CACHE_LINE 64

int net_queue_alloc(struct vdpakit_net_queue *q, uint32_t size_bytes)
{
	uint64_t lines = align_up(size_bytes, CACHE_LINE) / CACHE_LINE;
	int ret;

	/* An odd number of lines, or all buffers would share a few sets of the
	 * cache. */
	q->buffer_bytes = size_bytes;
	q->stride = (uint32_t)((lines | 1) * CACHE_LINE);
	ret = dma_alloc(q->net->vdev->dma, (uint64_t)q->n_slots * q->stride,
			&q->region, &q->iova);
	if (ret < 0) {
		q->region = NULL;
		return ret;
	}
	q->buffers = region_va(q->region);
	return 0;
}

int net_queue_refuse(const struct vdpakit_net_queue *q)
{
	return err(-EINVAL, "%s.vq%u: this queue %s: take the other one",
		   q->net->vdev->name, q->vq->idx,
		   q->is_tx ? "sends" : "receives");
}

/* ---- which ---- */

static struct vdpakit_net_queue *get_queue(struct vdpakit_net *net,
					   unsigned int pair, bool is_tx)
{
	if (pair >= net->n_pairs) {
		return NULL;
	}
	return &net->queues[2 * pair + is_tx];
}

struct vdpakit_net_queue *vdpakit_net_get_tx(struct vdpakit_net *net,
					     unsigned int pair)
{
	return get_queue(net, pair, true);
}

struct vdpakit_net_queue *vdpakit_net_get_rx(struct vdpakit_net *net,
					     unsigned int pair)
{
	return get_queue(net, pair, false);
}

int vdpakit_net_release(struct vdpakit_net_queue *q)
{
	int ret = virtqueue_check_owner(q->vq);

	if (ret == 0) {
		virtqueue_release(q->vq);
	}
	return ret;
}

unsigned int vdpakit_net_n_under_way(const struct vdpakit_net_queue *q)
{
	return q->n_under_way;
}

/* ---- waiting ---- */

/* Return: 1 nothing is to be waited for; 0; -errno */
static int is_ready(struct vdpakit_net_queue *q)
{
	uint64_t n_before;
	int ret = net_queue_check(q, q->is_tx);

	if (ret < 0) {
		return ret;
	}
	if (!q->is_tx) {
		net_rx_refill(q);
		return virtqueue_check(q->vq);
	}
	n_before = q->n_frames;
	ret = net_tx_reap(q);
	if (q->n_frames != n_before || q->done_head != NET_NO_SLOT) {
		return 1;
	}
	if (ret == 0) {
		ret = virtqueue_check(q->vq);
	}
	return ret < 0 ? ret : q->n_under_way == 0;
}

int vdpakit_net_wait(struct vdpakit_net_queue *q, int timeout_ms)
{
	int ret = is_ready(q);

	if (ret != 0) {
		return ret;
	}
	ret = virtqueue_wait(q->vq, timeout_ms);
	if (ret > 0 && q->is_tx) {
		ret = is_ready(q);
	}
	return ret == -EINTR ? err(-EINTR, "a signal came: wait again") : ret;
}

int vdpakit_net_fd(const struct vdpakit_net_queue *q)
{
	return q->vq->call_fd;
}

int vdpakit_net_arm(struct vdpakit_net_queue *q)
{
	int ret = is_ready(q);

	return ret != 0 ? ret : virtqueue_arm(q->vq);
}

/* ---- counters ---- */

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void vdpakit_net_get_stats(const struct vdpakit_net_queue *q,
			   struct vdpakit_net_stats *ret, size_t size)
{
	struct vdpakit_net_stats stats = {
		.n_frames = load(&q->n_frames),
		.n_bytes = load(&q->n_bytes),
		.n_bad = load(&q->n_bad),
		.n_kicks = load(&q->vq->n_kicks),
		.n_waits = load(&q->vq->n_waits),
	};

	memset(ret, 0, size);
	memcpy(ret, &stats, min_of(size, sizeof(stats)));
}
