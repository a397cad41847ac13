/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The net driver: life. See net.h and net_internal.h.
 *
 * Theory of operation
 *
 * Of what the device offers the driver takes what it can use, but nothing whose
 * condition is missing, and no longer frames than its buffers hold: large
 * received frames need buffers that merge, or are large.
 *
 * A reset goes back to the beginning with the same queues and buffers. A device
 * that comes back with other features is another one (H84).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "base/err.h"
#include "virtio/net_internal.h"

/* Bytes beyond the MTU: addresses, type, two VLAN tags. */
#define FRAME_OVERHEAD 22
/* Of a device that says nothing of its MTU: what is received without merging. */
#define MTU_USUAL 1500

#define GUEST_GSO                                                   \
	(NET_F(GUEST_TSO4) | NET_F(GUEST_TSO6) | NET_F(GUEST_ECN) | \
	 NET_F(GUEST_UFO) | NET_F(GUEST_USO4) | NET_F(GUEST_USO6))
#define HOST_GSO                                                 \
	(NET_F(HOST_TSO4) | NET_F(HOST_TSO6) | NET_F(HOST_ECN) | \
	 NET_F(HOST_UFO) | NET_F(HOST_USO))

static const uint64_t known_features =
	NET_F(CSUM) | NET_F(GUEST_CSUM) | NET_F(MTU) | NET_F(MAC) |
	NET_F(MRG_RXBUF) | NET_F(STATUS) | NET_F(CTRL_VQ) | NET_F(CTRL_RX) |
	NET_F(CTRL_VLAN) | NET_F(CTRL_RX_EXTRA) | NET_F(GUEST_ANNOUNCE) |
	NET_F(MQ) | NET_F(CTRL_MAC_ADDR) | NET_F(CTRL_GUEST_OFFLOADS) |
	NET_F(SPEED_DUPLEX) | GUEST_GSO | HOST_GSO;

/* Each needs one of those beside it, or makes no sense. In this order. */
static const struct {
	uint64_t features;
	uint64_t one_of;
} conditions[] = {
	{ GUEST_GSO & ~NET_F(GUEST_ECN), NET_F(GUEST_CSUM) },
	{ NET_F(GUEST_ECN), NET_F(GUEST_TSO4) | NET_F(GUEST_TSO6) },
	{ HOST_GSO & ~NET_F(HOST_ECN), NET_F(CSUM) },
	{ NET_F(HOST_ECN), NET_F(HOST_TSO4) | NET_F(HOST_TSO6) },
	{ NET_F(CTRL_RX) | NET_F(CTRL_VLAN) | NET_F(GUEST_ANNOUNCE) |
		  NET_F(MQ) | NET_F(CTRL_MAC_ADDR) | NET_F(CTRL_GUEST_OFFLOADS),
	  NET_F(CTRL_VQ) },
	{ NET_F(CTRL_RX_EXTRA), NET_F(CTRL_RX) },
	{ NET_F(GUEST_ANNOUNCE), NET_F(STATUS) },
};

static uint64_t choose_features(const struct vdpakit_net *net)
{
	uint64_t f = net->vdev->config->get_features(net->vdev) &
		     known_features & ~net->options.without;
	bool is_large = has_bit(f, VIRTIO_NET_F_MRG_RXBUF) ||
			net->options.buffer_bytes >=
				NET_HDR + VDPAKIT_NET_FRAME_MAX;

	if (!is_large) {
		f &= ~GUEST_GSO;
	}
	if (net->options.n_pairs == 1) {
		f &= ~NET_F(MQ);
	}
	for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
		if (!(f & conditions[i].one_of)) {
			f &= ~conditions[i].features;
		}
	}
	return f;
}

/* ---- options ---- */

static int check_options(const struct vdpakit_net_options *o, const char *name)
{
	if (o->queue_size > NET_QUEUE_SIZE_MAX ||
	    (o->queue_size != 0 && !is_pow2(o->queue_size))) {
		return err(-EINVAL,
			   "%s: queue_size %u is not a power of two up to %u",
			   name, o->queue_size, NET_QUEUE_SIZE_MAX);
	}
	if (o->n_pairs > VDPAKIT_NET_PAIRS_MAX) {
		return err(-EINVAL, "%s: n_pairs %u is more than %u", name,
			   o->n_pairs, VDPAKIT_NET_PAIRS_MAX);
	}
	if (o->buffer_bytes != 0 && (o->buffer_bytes < NET_BUFFER_MIN ||
				     o->buffer_bytes > NET_BUFFER_MAX)) {
		return err(-EINVAL, "%s: buffer_bytes %u is not in %u to %u",
			   name, o->buffer_bytes, NET_BUFFER_MIN,
			   NET_BUFFER_MAX);
	}
	return 0;
}

static int take_options(struct vdpakit_net *net,
			const struct vdpakit_net_options *options)
{
	if (options && options->size < sizeof(options->size)) {
		return err(-EINVAL, "%s: options without a size",
			   net->vdev->name);
	}
	if (options) {
		memcpy(&net->options, options,
		       min_of(options->size, sizeof(net->options)));
	}
	return check_options(&net->options, net->vdev->name);
}

static uint32_t choose_buffer_bytes(const struct vdpakit_net *net)
{
	uint32_t mtu = net->info.mtu ? net->info.mtu : MTU_USUAL;

	if (net->options.buffer_bytes) {
		return net->options.buffer_bytes;
	}
	if (virtio_has_feature(net->vdev, VIRTIO_NET_F_MRG_RXBUF)) {
		return NET_BUFFER_DEFAULT;
	}
	return min_of(max_of(NET_HDR + mtu + FRAME_OVERHEAD,
			     (uint32_t)NET_BUFFER_DEFAULT),
		      (uint32_t)NET_BUFFER_MAX);
}

/* ---- start ---- */

static int choose_pairs(struct vdpakit_net *net)
{
	unsigned int n = net->options.n_pairs;

	if (n > net->info.max_pairs) {
		return err(-EINVAL, "%s: the device has no %u pairs, but %u",
			   net->vdev->name, n, net->info.max_pairs);
	}
	if (n == 0) {
		n = min_of((unsigned int)net->info.max_pairs,
			   (unsigned int)VDPAKIT_NET_PAIRS_MAX);
	}
	net->n_pairs = (uint16_t)n;
	return 0;
}

static int find_vqs(struct vdpakit_net *net)
{
	struct virtio_vq_want want[2 * VDPAKIT_NET_PAIRS_MAX + 1];
	unsigned int n = 2U * net->n_pairs;
	uint16_t num_max = net->options.queue_size;

	if (num_max == 0) {
		num_max = max_of(net->vdev->config->get_vq_num_min(net->vdev),
				 (uint16_t)NET_QUEUE_SIZE_DEFAULT);
	}

	for (unsigned int i = 0; i < n; i++) {
		want[i] = (struct virtio_vq_want){
			.idx = (uint16_t)i,
			.num_max = num_max,
			.poll_us = net->options.poll_us,
		};
	}
	if (virtio_has_feature(net->vdev, VIRTIO_NET_F_CTRL_VQ)) {
		want[n++] = (struct virtio_vq_want){
			.idx = (uint16_t)(2 * net->info.max_pairs),
			.num_max = num_max,
		};
	}
	return virtio_find_vqs(net->vdev, want, n);
}

/* Beyond what the queue was made with, nothing changes at a reset. */
static void set_up_queue(struct vdpakit_net *net, unsigned int i)
{
	struct vdpakit_net_queue *q = &net->queues[i];

	q->vq = net->vdev->vqs[i];
	q->features = net->vdev->features;
	q->is_merging = virtio_has_feature(net->vdev, VIRTIO_NET_F_MRG_RXBUF);
	q->frame_max = VDPAKIT_NET_FRAME_MAX;
	if (net->info.mtu) {
		q->frame_max = min_of((uint32_t)VDPAKIT_NET_FRAME_MAX,
				      net->info.mtu + (uint32_t)FRAME_OVERHEAD);
	}
	q->is_dead = false;
}

static int make_queues(struct vdpakit_net *net)
{
	int ret = 0;

	net->queues = calloc(2U * net->n_pairs, sizeof(*net->queues));
	if (!net->queues) {
		return err(-ENOMEM, "%s: out of memory", net->vdev->name);
	}
	for (unsigned int i = 0; ret == 0 && i < 2U * net->n_pairs; i++) {
		struct vdpakit_net_queue *q = &net->queues[i];

		q->net = net;
		q->is_tx = i & 1;
		q->buffer_bytes = net->info.buffer_bytes;
		q->n_slots = net->vdev->vqs[i]->num;
		ret = q->is_tx ? net_tx_init(q) : net_rx_init(q);
	}
	return ret;
}

/* From queues that are set up to a device that runs. */
static int make_ready(struct vdpakit_net *net)
{
	unsigned int n = 2U * net->n_pairs;
	int ret;

	for (unsigned int i = 0; i < n; i++) {
		set_up_queue(net, i);
	}
	ret = net_ctrl_start(net,
			     net->vdev->n_vqs > n ? net->vdev->vqs[n] : NULL);
	if (ret == 0) {
		ret = virtio_ready(net->vdev);
	}
	for (unsigned int i = 0; ret == 0 && i < n; i += 2) {
		net_rx_refill(&net->queues[i]);
	}
	return ret;
}

static void begin_info(struct vdpakit_net *net)
{
	struct virtio_device *vdev = net->vdev;

	net->info.n_pairs = net->n_pairs;
	net->info.n_active_pairs = 1;
	net->info.queue_size = vdev->vqs[0]->num;
	net->info.is_packed = virtio_has_feature(vdev, VIRTIO_F_RING_PACKED);
	net->info.features = vdev->features;
	net->guest_offloads = vdev->features & (NET_F(GUEST_CSUM) | GUEST_GSO);
	net->info.offloads = net->guest_offloads;
	net->is_running = true;
	net_info_show(net);
}

/* Received frames may be larger than the buffers that were chosen: the device
 * has changed its mind (H84). */
static int check_features(const struct vdpakit_net *net, uint64_t wanted)
{
	uint64_t got = net->vdev->features & known_features;

	return got == wanted
		       ? 0
		       : err(-EPROTO,
			     "%s: its features change while they are looked at",
			     net->vdev->name);
}

static int start(struct vdpakit_net *net)
{
	uint64_t wanted = choose_features(net);
	uint64_t order = net->options.in_order ? BIT_ULL(VIRTIO_F_IN_ORDER) : 0;
	int ret =
		virtio_start(net->vdev, wanted | order, net->options.no_packed);

	if (ret == 0) {
		ret = check_features(net, wanted);
	}
	return ret < 0 ? ret : net_info_begin(net);
}

static int start_first(struct vdpakit_net *net, struct dma_pool *pool)
{
	int ret = start(net);

	if (ret == 0) {
		ret = dma_space_new(pool, net->vdev);
	}
	if (ret == 0) {
		ret = choose_pairs(net);
	}
	if (ret == 0) {
		net->info.buffer_bytes = choose_buffer_bytes(net);
		ret = find_vqs(net);
	}
	if (ret == 0) {
		ret = make_queues(net);
	}
	return ret < 0 ? ret : make_ready(net);
}

/* ---- life ---- */

static void free_queues(struct vdpakit_net *net)
{
	for (unsigned int i = 0; net->queues && i < 2U * net->n_pairs; i++) {
		struct vdpakit_net_queue *q = &net->queues[i];

		if (q->region) {
			dma_free(net->vdev->dma, q->region, q->iova);
		}
		free(q->tx);
		free(q->rx);
		free(q->free);
	}
	free(net->queues);
	net->queues = NULL;
}

void net_remove(struct vdpakit_net *net)
{
	struct virtio_device *vdev;

	if (!net) {
		return;
	}
	vdev = net->vdev;
	net->is_running = false;
	net_ctrl_stop(net, -ENODEV);
	(void)virtio_stop(vdev); /* what it does now is no concern of ours */
	net_ctrl_free(net);
	virtio_del_vqs(vdev);
	free_queues(net);
	vdev->dma = dma_space_free(vdev->dma);
	virtio_put(vdev);
	free(net);
}

struct virtio_device *net_vdev(const struct vdpakit_net *net)
{
	return net->vdev;
}

static int check_kind(const struct virtio_device *vdev)
{
	return vdev->device_id == VIRTIO_ID_NET
		       ? 0
		       : err(-ENOTTY,
			     "%s: it is no network device: its id is "
			     "%u",
			     vdev->name, vdev->device_id);
}

int net_probe(struct virtio_device *vdev, struct dma_pool *pool,
	      struct loop *control, const struct vdpakit_net_options *options,
	      struct vdpakit_net **ret)
{
	struct vdpakit_net *net;
	int r = check_kind(vdev);

	if (r < 0) {
		return r;
	}
	net = calloc(1, sizeof(*net));
	if (!net) {
		return err(-ENOMEM, "%s: out of memory", vdev->name);
	}
	net->vdev = vdev;
	net->control = control;
	net_ctrl_init(net);
	r = take_options(net, options);
	if (r == 0) {
		r = virtio_take(vdev, net_info_changed, net);
	}
	if (r < 0) {
		free(net);
		return r;
	}
	r = start_first(net, pool);
	if (r < 0) {
		net_remove(net);
		return r;
	}
	begin_info(net);
	*ret = net;
	return 0;
}

/* ---- reset ---- */

static void stop_queues(struct vdpakit_net *net)
{
	for (unsigned int i = 0; i < 2U * net->n_pairs; i++) {
		struct vdpakit_net_queue *q = &net->queues[i];

		if (q->is_tx) {
			net_tx_stopped(q);
		} else {
			net_rx_stopped(q);
		}
		q->is_dead = true;
		q->vq->is_armed = false;
	}
}

/* The device is as it was (H84), or it is another one. */
static int check_same(const struct vdpakit_net *net, uint64_t features,
		      uint16_t max_pairs)
{
	if (net->vdev->features != features ||
	    net->info.max_pairs != max_pairs) {
		return err(-EPROTO,
			   "%s: after its reset it is another device: close it "
			   "and open it again",
			   net->vdev->name);
	}
	return 0;
}

static int start_again(struct vdpakit_net *net)
{
	uint64_t features = net->info.features;
	uint16_t max_pairs = net->info.max_pairs;
	int ret = start(net);

	if (ret == 0) {
		ret = check_same(net, features, max_pairs);
	}
	net->info.max_pairs = max_pairs;
	if (ret == 0) {
		ret = find_vqs(net);
	}
	return ret < 0 ? ret : make_ready(net);
}

int net_reset(struct vdpakit_net *net)
{
	int ret;

	net->is_running = false;
	net_ctrl_stop(net, -EIO);
	ret = virtio_stop(net->vdev);
	stop_queues(net);
	if (ret == 0) {
		ret = start_again(net);
	}
	if (ret < 0) {
		net_ctrl_stop(net, -EIO);
		(void)virtio_stop(net->vdev); /* one failure is enough */
		stop_queues(net);
		net->is_running = true;
		net_info_show(net);
		return ret;
	}
	begin_info(net);
	return 0;
}
