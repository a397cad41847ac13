/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network devices: opened, closed and controlled here, used by
 * virtio/net_queue.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lib_internal.h"
#include "virtio/net.h"

struct lib_net {
	struct lib_open open;
	struct vdpakit_net_options options;
	struct vdpakit_net *net;
};

static struct lib_net *lib_net_of(struct vdpakit_net *net)
{
	struct lib_open *open = net_vdev(net)->opener;

	return container_of(open, struct lib_net, open);
}

/* ---- on the control thread ---- */

static int probe(void *priv)
{
	struct lib_net *n = priv;
	int r = net_probe(n->open.vdev, n->open.kit->pool, n->open.kit->control,
			  &n->options, &n->net);

	if (r == 0) {
		n->open.vdev->opener = &n->open;
	}
	return r;
}

static int reset(void *priv)
{
	struct lib_net *n = priv;

	return net_reset(n->net);
}

static int remove_net(void *priv)
{
	struct lib_net *n = priv;

	net_remove(n->net);
	return 0;
}

/* ---- what the control queue does ---- */

struct pending {
	struct net_request req;
	struct lib_call *call;
};

static void request_done(struct net_request *req, int result)
{
	struct pending *p = container_of(req, struct pending, req);

	lib_call_end(p->call, result);
}

struct ctrl_call {
	struct lib_call call;
	struct pending pending;
	struct vdpakit_net *net;
};

static void start_request(struct lib_call *call)
{
	struct ctrl_call *c = container_of(call, struct ctrl_call, call);

	c->pending.call = call;
	c->pending.req.done = request_done;
	net_request(c->net, &c->pending.req);
}

static int request(struct vdpakit *kit, struct vdpakit_net *net,
		   const struct net_request *req)
{
	struct ctrl_call c = { .call.fn = start_request,
			       .pending.req = *req,
			       .net = net };

	return lib_call(kit, &c.call);
}

static int control(struct vdpakit_net *net, const char *who,
		   const struct net_request *req)
{
	struct vdpakit *kit = net ? lib_net_of(net)->open.kit : NULL;
	int r;

	if (!net) {
		return err(-EINVAL, "%s: no network device", who);
	}
	r = lib_enter(kit, who);
	if (r < 0) {
		return r;
	}
	return lib_leave(kit, who, request(kit, net, req));
}

int vdpakit_net_set_mac(struct vdpakit_net *net, const uint8_t mac[6])
{
	struct net_request req = { .op = NET_SET_MAC };

	memcpy(req.mac, mac, sizeof(req.mac));
	return control(net, __func__, &req);
}

int vdpakit_net_set_rx_mode(struct vdpakit_net *net, unsigned int mode)
{
	const struct net_request req = { .op = NET_SET_RX_MODE, .n = mode };

	return control(net, __func__, &req);
}

int vdpakit_net_set_filter(struct vdpakit_net *net, const uint8_t (*unicast)[6],
			   unsigned int n_unicast,
			   const uint8_t (*multicast)[6],
			   unsigned int n_multicast)
{
	const struct net_request req = {
		.op = NET_SET_FILTER,
		.filter = { unicast, multicast, n_unicast, n_multicast },
	};

	return control(net, __func__, &req);
}

int vdpakit_net_add_vlan(struct vdpakit_net *net, unsigned int id)
{
	const struct net_request req = { .op = NET_ADD_VLAN, .n = id };

	return control(net, __func__, &req);
}

int vdpakit_net_del_vlan(struct vdpakit_net *net, unsigned int id)
{
	const struct net_request req = { .op = NET_DEL_VLAN, .n = id };

	return control(net, __func__, &req);
}

int vdpakit_net_set_pairs(struct vdpakit_net *net, unsigned int n)
{
	const struct net_request req = { .op = NET_SET_PAIRS, .n = n };

	return control(net, __func__, &req);
}

int vdpakit_net_set_offloads(struct vdpakit_net *net, uint64_t offloads)
{
	const struct net_request req = { .op = NET_SET_OFFLOADS,
					 .offloads = offloads };

	return control(net, __func__, &req);
}

int vdpakit_net_ack_announce(struct vdpakit_net *net)
{
	const struct net_request req = { .op = NET_ACK_ANNOUNCE };

	return control(net, __func__, &req);
}

/* ---- as calls ---- */

static void close_net(struct lib_open *open)
{
	struct lib_net *n = container_of(open, struct lib_net, open);

	list_del(&open->node);
	(void)lib_call_on(open->kit, open->vdev, remove_net, n); /* always 0 */
	free(n);
}

static int open_net(struct vdpakit *kit, const char *name,
		    const struct vdpakit_net_options *options,
		    struct vdpakit_net **ret)
{
	static const struct net_request begin = { .op = NET_BEGIN };
	struct lib_net *n = calloc(1, sizeof(*n));
	int r;

	if (!n) {
		return err(-ENOMEM, "out of memory");
	}
	n->open.kit = kit;
	n->open.close = close_net;
	r = lib_take_options(&n->options, sizeof(n->options), options);
	if (r == 0) {
		r = lib_call_on_name(kit, name, &n->open.vdev, probe, n);
	}
	if (r < 0) {
		free(n);
		return r;
	}
	list_add_tail(&kit->opens, &n->open.node);
	r = request(kit, n->net, &begin);
	if (r < 0) {
		char text[ERR_TEXT_MAX];

		(void)snprintf(text, sizeof(text), "%s", err_text(r));
		close_net(&n->open);
		return err(r, "%s", text);
	}
	*ret = n->net;
	return 0;
}

int vdpakit_net_open(struct vdpakit *kit, const char *name,
		     const struct vdpakit_net_options *options,
		     struct vdpakit_net **ret)
{
	int r = lib_enter(kit, __func__);

	if (r < 0) {
		return r;
	}
	r = open_net(kit, name, options, ret);
	return lib_leave(kit, __func__, r);
}

void vdpakit_net_close(struct vdpakit_net *net)
{
	struct vdpakit *kit = net ? lib_net_of(net)->open.kit : NULL;

	/* From a callback there is nobody to tell: it stays open. */
	if (kit && lib_enter(kit, __func__) == 0) {
		close_net(&lib_net_of(net)->open);
		(void)lib_leave(kit, __func__, 0);
	}
}

int vdpakit_net_reset(struct vdpakit_net *net)
{
	static const struct net_request begin = { .op = NET_BEGIN };
	struct lib_net *n;
	int r;

	if (!net) {
		return err(-EINVAL, "%s: no network device", __func__);
	}
	n = lib_net_of(net);
	r = lib_enter(n->open.kit, __func__);
	if (r < 0) {
		return r;
	}
	r = lib_call_on(n->open.kit, n->open.vdev, reset, n);
	if (r == 0) {
		r = request(n->open.kit, net, &begin);
	}
	return lib_leave(n->open.kit, __func__, r);
}
