/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The net driver: the control queue. See net_internal.h.
 *
 * Theory of operation
 *
 * A request is one or several commands, which next() of its row in ops[] puts
 * into the memory that the device reads, one after the other:
 *
 *   request --> next() --> ask --> (call) --> answer: OK --> taken() --> next()
 *                                                     else --> done(-EREMOTEIO)
 *
 * Requests queue up, one command is with the device at a time. Nobody waits:
 * the control loop watches the queue's call, and a timer is set for a device
 * that never answers. That one is broken afterwards: its answer might come when
 * the memory has another command.
 *
 * Source: virtio 1.2, "Control Virtqueue"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "base/err.h"
#include "virtio/net_internal.h"

#define TIMEOUT_NS (VDPAKIT_NET_CTRL_TIMEOUT_S * 1000000000ULL)
/* No answer of any device's. */
#define ACK_NONE   0xff
#define VLAN_MAX   4095
#define N_RX_MODES 6
/* Modes from this one on are CTRL_RX_EXTRA's. */
#define RX_MODE_EXTRA 2

_Static_assert(VDPAKIT_NET_MODE_MASK == (1U << N_RX_MODES) - 1, "modes");

/* What a request is made of; see the theory. */
struct op {
	unsigned int feature;
	const char *what;
	int (*check)(const struct vdpakit_net *net,
		     const struct net_request *req);
	bool (*next)(struct vdpakit_net *net, const struct net_request *req);
	void (*taken)(struct vdpakit_net *net, const struct net_request *req);
};

static int refuse(const struct vdpakit_net *net, int code, const char *why)
{
	return err(code, "%s: %s", net->vdev->name, why);
}

static bool has(const struct vdpakit_net *net, unsigned int bit)
{
	return virtio_has_feature(net->vdev, bit);
}

static bool put(struct vdpakit_net *net, uint8_t class, uint8_t cmd,
		const void *data, uint32_t len)
{
	struct net_ctrl *c = &net->ctrl;

	c->mem->hdr.class = class;
	c->mem->hdr.cmd = cmd;
	if (len > 0) {
		memcpy(c->mem->data, data, len);
	}
	c->data_bytes = len;
	return true;
}

/* ---- address, pairs ---- */

static int check_mac(const struct vdpakit_net *net,
		     const struct net_request *req)
{
	static const uint8_t none[6];

	if ((req->mac[0] & 1) || memcmp(req->mac, none, sizeof(none)) == 0) {
		return refuse(net, -EINVAL,
			      "an address of a device is neither a group's nor "
			      "zero");
	}
	return 0;
}

static bool put_mac(struct vdpakit_net *net, const uint8_t mac[6])
{
	return put(net, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac,
		   6);
}

static bool next_mac(struct vdpakit_net *net, const struct net_request *req)
{
	return net->ctrl.step == 0 && put_mac(net, req->mac);
}

static void taken_mac(struct vdpakit_net *net, const struct net_request *req)
{
	memcpy(net->info.mac, req->mac, sizeof(net->info.mac));
	memcpy(net->ctrl.mac, req->mac, sizeof(net->ctrl.mac));
	net->info.is_mac_random = false;
	net->ctrl.has_mac = true;
}

static int check_pairs(const struct vdpakit_net *net,
		       const struct net_request *req)
{
	return req->n >= 1 && req->n <= net->n_pairs
		       ? 0
		       : refuse(net, -EINVAL,
				"pairs are 1 to n_pairs of "
				"vdpakit_net_get_info()");
}

static bool put_pairs(struct vdpakit_net *net, unsigned int n)
{
	struct virtio_net_ctrl_mq mq = {
		.virtqueue_pairs = htole16((uint16_t)n),
	};

	return put(net, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
		   &mq, sizeof(mq));
}

static bool next_pairs(struct vdpakit_net *net, const struct net_request *req)
{
	return net->ctrl.step == 0 && put_pairs(net, req->n);
}

static void taken_pairs(struct vdpakit_net *net, const struct net_request *req)
{
	net->info.n_active_pairs = (uint16_t)req->n;
}

/* All pairs, then the address, where the device did not give it. */
static bool next_begin(struct vdpakit_net *net, const struct net_request *req)
{
	struct net_ctrl *c = &net->ctrl;

	(void)req;
	if (c->step == 0) {
		if (net->n_pairs > 1) {
			return put_pairs(net, net->n_pairs);
		}
		c->step++;
	}
	return c->step == 1 && has(net, VIRTIO_NET_F_CTRL_MAC_ADDR) &&
	       (net->info.is_mac_random || c->has_mac) &&
	       put_mac(net, net->info.mac);
}

static void taken_begin(struct vdpakit_net *net, const struct net_request *req)
{
	(void)req;
	if (net->ctrl.step == 0) {
		net->info.n_active_pairs = net->n_pairs;
	}
}

/* ---- what is received ---- */

static int check_rx_mode(const struct vdpakit_net *net,
			 const struct net_request *req)
{
	if (req->n & ~VDPAKIT_NET_MODE_MASK) {
		return refuse(net, -EINVAL, "there is no such receive mode");
	}
	if ((req->n >> RX_MODE_EXTRA) &&
	    !has(net, VIRTIO_NET_F_CTRL_RX_EXTRA)) {
		return refuse(net, -EOPNOTSUPP,
			      "the device has only PROMISC and ALLMULTI");
	}
	return 0;
}

static bool next_rx_mode(struct vdpakit_net *net, const struct net_request *req)
{
	struct net_ctrl *c = &net->ctrl;
	unsigned int n = has(net, VIRTIO_NET_F_CTRL_RX_EXTRA) ? N_RX_MODES
							      : RX_MODE_EXTRA;
	/* What it is after a reset is the device's affair. */
	unsigned int differs = (c->mode ^ req->n) | ~c->known_modes;
	uint8_t is_on;

	while (c->step < n && !has_bit(differs, c->step)) {
		c->step++;
	}
	if (c->step >= n) {
		return false;
	}
	is_on = has_bit(req->n, c->step);
	return put(net, VIRTIO_NET_CTRL_RX, (uint8_t)c->step, &is_on, 1);
}

static void taken_rx_mode(struct vdpakit_net *net,
			  const struct net_request *req)
{
	unsigned int bit = 1U << net->ctrl.step;

	net->ctrl.mode = (net->ctrl.mode & ~bit) | (req->n & bit);
	net->ctrl.known_modes |= bit;
}

static int check_filter(const struct vdpakit_net *net,
			const struct net_request *req)
{
	const struct net_filter *f = &req->filter;

	if (f->n_unicast > VDPAKIT_NET_FILTER_MAX ||
	    f->n_multicast > VDPAKIT_NET_FILTER_MAX - f->n_unicast) {
		return refuse(net, -EINVAL,
			      "more addresses than VDPAKIT_NET_FILTER_MAX");
	}
	for (unsigned int i = 0; i < f->n_unicast; i++) {
		if (f->unicast[i][0] & 1) {
			return refuse(net, -EINVAL,
				      "a group's address is not unicast");
		}
	}
	for (unsigned int i = 0; i < f->n_multicast; i++) {
		if (!(f->multicast[i][0] & 1)) {
			return refuse(net, -EINVAL,
				      "an address that is no group's is not "
				      "multicast");
		}
	}
	return 0;
}

static uint32_t put_table(uint8_t *to, const uint8_t (*macs)[6], unsigned int n)
{
	uint32_t n_le = htole32(n);

	memcpy(to, &n_le, sizeof(n_le));
	if (n > 0) {
		memcpy(to + sizeof(n_le), macs, n * sizeof(*macs));
	}
	return (uint32_t)(sizeof(n_le) + n * sizeof(*macs));
}

static bool next_filter(struct vdpakit_net *net, const struct net_request *req)
{
	const struct net_filter *f = &req->filter;
	struct net_ctrl *c = &net->ctrl;
	uint32_t len;

	if (c->step > 0) {
		return false;
	}
	put(net, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, NULL, 0);
	len = put_table(c->mem->data, f->unicast, f->n_unicast);
	len += put_table(c->mem->data + len, f->multicast, f->n_multicast);
	c->data_bytes = len;
	return true;
}

static int check_vlan(const struct vdpakit_net *net,
		      const struct net_request *req)
{
	return req->n <= VLAN_MAX ? 0
				  : refuse(net, -EINVAL, "VLANs are 0 to 4095");
}

static bool next_vlan(struct vdpakit_net *net, const struct net_request *req)
{
	uint16_t id = htole16((uint16_t)req->n);

	return net->ctrl.step == 0 &&
	       put(net, VIRTIO_NET_CTRL_VLAN,
		   req->op == NET_ADD_VLAN ? VIRTIO_NET_CTRL_VLAN_ADD
					   : VIRTIO_NET_CTRL_VLAN_DEL,
		   &id, sizeof(id));
}

/* ---- offloads, announcements ---- */

static int check_offloads(const struct vdpakit_net *net,
			  const struct net_request *req)
{
	return (req->offloads & ~net->guest_offloads) == 0
		       ? 0
		       : refuse(net, -EINVAL,
				"offloads are VIRTIO_NET_F_GUEST_* of those "
				"features that are in force");
}

static bool next_offloads(struct vdpakit_net *net,
			  const struct net_request *req)
{
	uint64_t offloads = htole64(req->offloads);

	return net->ctrl.step == 0 && put(net, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
					  VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
					  &offloads, sizeof(offloads));
}

static void taken_offloads(struct vdpakit_net *net,
			   const struct net_request *req)
{
	net->info.offloads = req->offloads;
}

static bool next_announce(struct vdpakit_net *net,
			  const struct net_request *req)
{
	(void)req;
	return net->ctrl.step == 0 &&
	       put(net, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK,
		   NULL, 0);
}

static void taken_announce(struct vdpakit_net *net,
			   const struct net_request *req)
{
	(void)req;
	net->info.wants_announce = false;
}

#define ALWAYS VIRTIO_F_VERSION_1

static const struct op ops[NET_OP_N] = {
	[NET_BEGIN] = { ALWAYS, "pairs of queues", NULL, next_begin,
			taken_begin },
	[NET_SET_MAC] = { VIRTIO_NET_F_CTRL_MAC_ADDR, "an address", check_mac,
			  next_mac, taken_mac },
	[NET_SET_RX_MODE] = { VIRTIO_NET_F_CTRL_RX, "receive modes",
			      check_rx_mode, next_rx_mode, taken_rx_mode },
	[NET_SET_FILTER] = { VIRTIO_NET_F_CTRL_RX, "filters", check_filter,
			     next_filter, NULL },
	[NET_ADD_VLAN] = { VIRTIO_NET_F_CTRL_VLAN, "VLANs", check_vlan,
			   next_vlan, NULL },
	[NET_DEL_VLAN] = { VIRTIO_NET_F_CTRL_VLAN, "VLANs", check_vlan,
			   next_vlan, NULL },
	[NET_SET_PAIRS] = { VIRTIO_NET_F_MQ, "pairs of queues", check_pairs,
			    next_pairs, taken_pairs },
	[NET_SET_OFFLOADS] = { VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "offloads",
			       check_offloads, next_offloads, taken_offloads },
	[NET_ACK_ANNOUNCE] = { VIRTIO_NET_F_GUEST_ANNOUNCE, "announcements",
			       NULL, next_announce, taken_announce },
};

/* ---- one after the other ---- */

static int check_alive(const struct vdpakit_net *net)
{
	if (__atomic_load_n(&net->vdev->is_gone, __ATOMIC_RELAXED)) {
		return refuse(net, -ENODEV, "the device is gone");
	}
	if (__atomic_load_n(&net->vdev->is_broken, __ATOMIC_RELAXED)) {
		return refuse(net, -EIO, "the device needs a reset");
	}
	return 0;
}

static struct net_request *current(struct net_ctrl *c)
{
	return list_is_empty(&c->requests)
		       ? NULL
		       : list_entry(c->requests.next, struct net_request, node);
}

/* The first one ends. */
static void end(struct vdpakit_net *net, int result)
{
	struct net_ctrl *c = &net->ctrl;
	struct net_request *req = current(c);

	loop_timer_cancel(&c->timer);
	c->is_asked = false;
	c->step = 0;
	list_del(&req->node);
	req->done(req, result);
}

static int ask(struct vdpakit_net *net)
{
	struct net_ctrl *c = &net->ctrl;
	uint32_t readable = (uint32_t)sizeof(c->mem->hdr) + c->data_bytes;
	const struct vq_sg sg[] = {
		{ c->iova, readable },
		{ c->iova + offsetof(struct net_ctrl_mem, ack), 1 },
	};
	int ret = loop_timer_set(&c->timer, TIMEOUT_NS);

	__atomic_store_n(&c->mem->ack, ACK_NONE, __ATOMIC_RELAXED);
	if (ret == 0) {
		ret = virtqueue_add(c->vq, sg, 1, 1, c);
	}
	if (ret == 0) {
		virtqueue_kick(c->vq);
		c->is_asked = true;
	}
	return ret;
}

/* The device has answered. */
static void answered(struct vdpakit_net *net, uint32_t written)
{
	struct net_ctrl *c = &net->ctrl;
	struct net_request *req = current(c);
	uint8_t ack = __atomic_load_n(&c->mem->ack, __ATOMIC_RELAXED);

	loop_timer_cancel(&c->timer);
	c->is_asked = false;
	if (written == 0 || ack != VIRTIO_NET_OK) {
		end(net, err(-EREMOTEIO, "%s: the device refused %s",
			     net->vdev->name, ops[req->op].what));
		return;
	}
	if (ops[req->op].taken) {
		ops[req->op].taken(net, req);
		net_info_show(net);
	}
	c->step++;
}

/* Return: is the device still to be waited for? */
static bool look_once(struct vdpakit_net *net)
{
	struct net_ctrl *c = &net->ctrl;
	struct vq_used used;
	int n = virtqueue_get(c->vq, &used, 1);

	if (n > 0) {
		answered(net, used.written);
		return false;
	}
	n = check_alive(net);
	if (n < 0) {
		end(net, n);
		return false;
	}
	return !virtqueue_arm(c->vq);
}

/* The next command of the first request. */
static void go_on(struct vdpakit_net *net)
{
	struct net_request *req = current(&net->ctrl);
	int ret = check_alive(net);

	if (ret == 0 && !ops[req->op].next(net, req)) {
		end(net, 0);
		return;
	}
	if (ret == 0) {
		ret = ask(net);
	}
	if (ret < 0) {
		end(net, ret == -EPROTO ? check_alive(net) : ret);
	}
}

static void run(struct vdpakit_net *net)
{
	struct net_ctrl *c = &net->ctrl;

	if (c->is_busy) {
		return; /* done() has asked for more */
	}
	c->is_busy = true;
	while (current(c)) {
		if (!c->is_asked) {
			go_on(net);
		} else if (look_once(net)) {
			break;
		}
	}
	c->is_busy = false;
}

void net_request(struct vdpakit_net *net, struct net_request *req)
{
	const struct op *op = &ops[req->op];
	int ret = check_alive(net);

	if (ret == 0 && !has(net, op->feature)) {
		ret = err(-EOPNOTSUPP,
			  "%s: the device has no command for %s (feature %u)",
			  net->vdev->name, op->what, op->feature);
	}
	if (ret == 0 && op->check) {
		ret = op->check(net, req);
	}
	if (ret < 0) {
		req->done(req, ret);
		return;
	}
	list_add_tail(&net->ctrl.requests, &req->node);
	run(net);
}

void net_ctrl_look(struct vdpakit_net *net)
{
	run(net);
}

/* ---- life ---- */

static void on_call(void *priv, unsigned int events)
{
	struct vdpakit_net *net = priv;

	(void)events;
	virtqueue_disarm(net->ctrl.vq);
	run(net);
}

static void on_timeout(void *priv)
{
	struct vdpakit_net *net = priv;

	virtio_break(net->vdev);
	end(net, err(-ETIMEDOUT,
		     "%s: the device did not answer within %u s and needs a "
		     "reset",
		     net->vdev->name, VDPAKIT_NET_CTRL_TIMEOUT_S));
	run(net);
}

void net_ctrl_init(struct vdpakit_net *net)
{
	list_init(&net->ctrl.requests);
	loop_timer_init(&net->ctrl.timer, net->control, on_timeout, net);
}

int net_ctrl_start(struct vdpakit_net *net, struct virtqueue *vq)
{
	struct net_ctrl *c = &net->ctrl;
	int ret = 0;

	c->vq = vq;
	c->known_modes = 0;
	if (!vq) {
		return 0;
	}
	if (!c->region) {
		ret = dma_alloc(net->vdev->dma, sizeof(*c->mem), &c->region,
				&c->iova);
		if (ret < 0) {
			c->region = NULL;
			return ret;
		}
		c->mem = region_va(c->region);
	}
	return loop_watch_new(net->control, vq->call_fd, LOOP_IN, on_call, net,
			      &c->watch);
}

void net_ctrl_stop(struct vdpakit_net *net, int result)
{
	struct net_ctrl *c = &net->ctrl;

	c->watch = loop_watch_free(c->watch);
	while (current(c)) {
		end(net, refuse(net, result,
				result == -ENODEV ? "the device was closed"
						  : "the device was reset"));
	}
}

void net_ctrl_free(struct vdpakit_net *net)
{
	struct net_ctrl *c = &net->ctrl;

	if (c->region) {
		dma_free(net->vdev->dma, c->region, c->iova);
	}
}
