/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio net driver on a device of this process. See nic.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/nic.h"
#include "lib/test.h"

#include <linux/virtio_net.h>

#include "base/err.h"

#define SIM_WAIT_NS 60000000000ULL

const uint8_t nic_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

/* ---- the device ---- */

static uint64_t offered(struct vrig *r, const struct nic_kind *kind)
{
	uint64_t all = vdpa_mgmtdev_find(r->w->bus, NULL, kind->mgmtdev)
			       ->supported_features;

	if (kind->n_pairs <= 1) {
		all &= ~BIT_ULL(VIRTIO_NET_F_MQ);
	}
	return all & ~kind->lacks;
}

static void add_device(struct vrig *r, const struct nic_kind *kind)
{
	struct vdpa_dev_config config = {
		.mask = BIT_ULL(VDPA_ATTR_FEATURES),
		.is_admin = true,
		.device_features = offered(r, kind),
		.mtu = NIC_MTU,
		.max_vq_pairs = kind->n_pairs,
	};
	int ret;

	if (has_bit(config.device_features, VIRTIO_NET_F_MAC)) {
		config.mask |= BIT_ULL(VDPA_ATTR_MAC);
		memcpy(config.mac, nic_mac, sizeof(nic_mac));
	}
	if (has_bit(config.device_features, VIRTIO_NET_F_MTU)) {
		config.mask |= BIT_ULL(VDPA_ATTR_MTU);
	}
	if (strcmp(kind->mgmtdev, "net") == 0) {
		config.mask |= BIT_ULL(VDPA_ATTR_MAX_VQP);
		config.n_params = 1;
		strcpy(config.params[0].key, "backend");
		strcpy(config.params[0].value, "loopback");
	}
	ret = vdpa_dev_add(r->w->bus, NULL, kind->mgmtdev, "n0", &config);
	if (ret < 0) {
		fail_msg("dev add n0: %s", err_text(ret));
	}
}

static void changed(void *priv)
{
	((struct nic *)priv)->n_changed++;
}

int nic_probe(struct nic *nic, struct vrig *r, const struct nic_kind *kind,
	      struct vdpakit_net_options options)
{
	memset(nic, 0, sizeof(*nic));
	nic->r = r;
	nic->mem = r->mem;
	if (!vdpa_device_find(r->w->bus, "n0")) {
		add_device(r, kind);
		nic->vdev = vrig_bind(r, "n0");
	}
	nic->vdev = virtio_vdpa_get(vdpa_device_find(r->w->bus, "n0"));
	options.size = sizeof(options);
	options.changed = changed;
	options.priv = nic;
	return net_probe(nic->vdev, r->pool, r->w->control, &options,
			 &nic->net);
}

void nic_open(struct nic *nic, const struct nic_kind *kind,
	      struct vdpakit_net_options options)
{
	struct net_request begin = { .op = NET_BEGIN };
	int ret = nic_probe(nic, vrig_new(NULL, 2), kind, options);

	if (ret == 0) {
		ret = nic_request(nic, &begin);
	}
	if (ret < 0) {
		fail_msg("%s", err_text(ret));
	}
	nic->rx = vdpakit_net_get_rx(nic->net, 0);
	nic->tx = vdpakit_net_get_tx(nic->net, 0);
}

void nic_close(struct nic *nic)
{
	if (nic->rx) {
		(void)vdpakit_net_release(nic->rx);
		(void)vdpakit_net_release(nic->tx);
	}
	net_remove(nic->net);
	vrig_free(nic->r);
}

/* ---- requests ---- */

struct waiting {
	struct net_request *req;
	struct vdpakit_net *net;
	struct loop_done *done; /* NULL: in a simulation */
	bool is_done;
	int result;
};

static struct waiting *waiting; /* one at a time */

static void request_done(struct net_request *req, int result)
{
	assert_ptr_equal(req, waiting->req);
	waiting->result = result;
	waiting->is_done = true;
	if (waiting->done) {
		loop_done(waiting->done);
	}
}

static void request_start(void *priv, struct loop_done *done)
{
	waiting = priv;
	waiting->done = done;
	waiting->req->done = request_done;
	net_request(waiting->net, waiting->req);
}

static bool is_done(void *priv)
{
	return ((const struct waiting *)priv)->is_done;
}

int nic_request(struct nic *nic, struct net_request *req)
{
	struct waiting w = { .req = req, .net = nic->net };

	if (nic->r->w->sim) {
		request_start(&w, NULL);
		assert_int_equal(
			sim_run(nic->r->w->sim, SIM_WAIT_NS, is_done, &w), 0);
	} else {
		loop_call_until(nic->r->w->control, request_start, &w);
	}
	return w.result;
}

/* ---- frames ---- */

static char byte_of(uint32_t at, unsigned int seed)
{
	return (char)(at * 7 + (at >> 8) + seed);
}

void nic_fill(void *frame, uint32_t len, const uint8_t dst[6],
	      unsigned int seed)
{
	char *p = frame;

	memcpy(p, dst, 6);
	for (uint32_t i = 6; i < len; i++) {
		p[i] = byte_of(i, seed);
	}
}

void nic_check(const struct vdpakit_net_received *got, uint32_t len,
	       unsigned int seed)
{
	static char want[VDPAKIT_NET_FRAME_MAX], is[VDPAKIT_NET_FRAME_MAX];

	assert_int_equal(got->len_bytes, len);
	nic_fill(want, len, nic_mac, seed);
	assert_int_equal(vdpakit_net_copy(got, is, sizeof(is)), len);
	assert_memory_equal(is, want, len);
	assert_ptr_equal(got->data, got->pieces->data);
}

int nic_send(struct nic *nic, const struct vdpakit_net_frame *frame)
{
	int ret;

	while ((ret = vdpakit_net_send(nic->tx, frame, 1)) == 0) {
		assert_int_equal(vdpakit_net_wait(nic->tx, NIC_WAIT_MS), 1);
	}
	return ret;
}

void nic_recv(struct nic *nic, struct vdpakit_net_received *ret)
{
	int n;

	while ((n = vdpakit_net_recv(nic->rx, ret, 1)) == 0) {
		assert_int_equal(vdpakit_net_wait(nic->rx, NIC_WAIT_MS), 1);
	}
	assert_int_equal(n, 1);
}

void nic_round(struct nic *nic, uint32_t len, unsigned int seed)
{
	static char buf[VDPAKIT_NET_FRAME_MAX];
	struct vdpakit_net_frame frame = {
		.flags = VDPAKIT_NET_COPY,
		.len_bytes = len,
		.buf = buf,
	};
	struct vdpakit_net_received got;

	nic_fill(buf, len, nic_mac, seed);
	assert_int_equal(nic_send(nic, &frame), 1);
	memset(buf, 0, len);
	nic_recv(nic, &got);
	nic_check(&got, len, seed);
	assert_int_equal(vdpakit_net_give_back(nic->rx, &got, 1), 0);
}
