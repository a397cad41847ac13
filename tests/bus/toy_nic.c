/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network device that says what the test wants. See toy_nic.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/toy_nic.h"
#include "lib/test.h"

#include <endian.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#define HDR	 sizeof(struct virtio_net_hdr_v1)
#define RX	 0
#define TX	 1
#define CTRL	 2
#define RX_MAX	 64 /* receive chains of a frame */
#define RING_NUM 256

static struct toy_nic *toy_of(struct soft_dev *dev)
{
	return container_of(dev, struct toy_nic, soft);
}

/* ---- frames ---- */

/* As many buffers as the frame needs. Return: how many; 0: there are too few */
static unsigned int fetch_room(struct soft_dev *dev, uint32_t need,
			       struct vq_chain **rx)
{
	uint32_t room = 0;
	unsigned int n = 0;

	while (room < need) {
		if (n == RX_MAX || soft_fetch(dev, RX, &rx[n], 1) == 0) {
			soft_unfetch(dev, RX, n);
			return 0;
		}
		room += rx[n++]->writable_bytes;
	}
	return n;
}

static void put_header(struct toy_nic *toy, struct vq_chain *rx, unsigned int n)
{
	struct virtio_net_hdr_v1 hdr = toy->has_hdr ? toy->hdr : toy->sent;

	if (!toy->lies_on_buffers) {
		hdr.num_buffers = htole16((uint16_t)n);
	}
	assert_int_equal(vq_chain_write(rx, 0, &hdr, HDR), 0);
}

static void give_back(struct toy_nic *toy, const struct vq_chain *tx)
{
	struct vq_chain *rx[RX_MAX];
	unsigned int n = fetch_room(&toy->soft, tx->readable_bytes, rx);
	uint32_t done = HDR, off = HDR;

	if (n == 0) {
		return;
	}
	put_header(toy, rx[0], n);
	for (unsigned int i = 0; i < n; i++) {
		uint32_t len = min_of(rx[i]->writable_bytes - off,
				      tx->readable_bytes - done);

		assert_int_equal(vq_chain_copy(rx[i], off, tx, done, len), 0);
		soft_complete(&toy->soft, RX, rx[i],
			      toy->has_written ? toy->written : off + len);
		done += len;
		off = 0;
	}
}

static void take_frame(struct toy_nic *toy, struct vq_chain *tx)
{
	assert_int_equal(vq_chain_read(tx, 0, &toy->sent, HDR), 0);
	give_back(toy, tx);
	soft_complete(&toy->soft, TX, tx, 0);
}

/* ---- commands ---- */

static void take_command(struct toy_nic *toy, struct vq_chain *chain)
{
	struct toy_command *c = &toy->commands[toy->n_commands];
	struct virtio_net_ctrl_hdr hdr;

	if (toy->is_silent) {
		return;
	}
	assert_in_range(toy->n_commands, 0, TOY_COMMANDS - 1);
	toy->n_commands++;
	assert_int_equal(vq_chain_read(chain, 0, &hdr, sizeof(hdr)), 0);
	c->class = hdr.class;
	c->cmd = hdr.cmd;
	c->len = chain->readable_bytes - (uint32_t)sizeof(hdr);
	assert_int_equal(vq_chain_read(chain, sizeof(hdr), c->data,
				       min_of(c->len, (uint32_t)TOY_DATA)),
			 0);
	if (toy->answer_bytes > 0) {
		assert_int_equal(vq_chain_write(chain, 0, &toy->ack, 1), 0);
	}
	soft_complete(&toy->soft, CTRL, chain, toy->answer_bytes);
}

/* ---- the device ---- */

static void toy_submit(struct soft_dev *dev, uint16_t idx,
		       struct vq_chain **chains, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (idx == TX) {
			take_frame(toy_of(dev), chains[i]);
		} else {
			take_command(toy_of(dev), chains[i]);
		}
	}
}

/* Commands that were not answered. */
static void toy_cancel(struct soft_dev *dev, uint16_t idx)
{
	if (idx == CTRL && toy_of(dev)->is_silent) {
		soft_forget(dev, idx);
	}
}

static bool toy_is_passive(struct soft_dev *dev, uint16_t idx)
{
	(void)dev;
	return idx == RX;
}

static uint16_t toy_leader(const struct soft_dev *dev, uint16_t idx)
{
	(void)dev;
	(void)idx;
	return 0;
}

static void toy_get_config(struct soft_dev *dev, uint32_t offset, void *buf,
			   uint32_t len)
{
	memcpy(buf, (const char *)&toy_of(dev)->config + offset, len);
}

static void toy_set_config(struct soft_dev *dev, uint32_t offset,
			   const void *buf, uint32_t len)
{
	(void)dev;
	(void)offset;
	(void)buf;
	(void)len;
}

static void toy_free(struct soft_dev *dev)
{
	free(toy_of(dev));
}

static const struct soft_class toy_class = {
	.device_id = VIRTIO_ID_NET,
	.leader = toy_leader,
	.submit = toy_submit,
	.cancel = toy_cancel,
	.is_passive = toy_is_passive,
	.get_config = toy_get_config,
	.set_config = toy_set_config,
	.free = toy_free,
};

struct toy_nic *toy_add(struct vrig *r, uint64_t features)
{
	struct toy_nic *toy = calloc(1, sizeof(*toy));

	assert_non_null(toy);
	toy->soft.class = &toy_class;
	toy->soft.device_features = soft_ring_features | features;
	toy->soft.config_size = TOY_CONFIG;
	toy->soft.num_max = RING_NUM;
	toy->soft.vdev.nvqs = 3;
	toy->soft.vdev.ngroups = 1;
	toy->soft.vdev.nas = 1;
	toy->answer_bytes = 1;
	toy->config.mtu = htole16(NIC_MTU);
	toy->config.status = htole16(VIRTIO_NET_S_LINK_UP);
	toy->config.max_virtqueue_pairs = htole16(1);
	toy->config.speed = htole32(10000);
	toy->config.duplex = 1;
	memcpy(toy->config.mac, nic_mac, sizeof(nic_mac));
	strcpy(toy->soft.vdev.name, "n0");
	assert_int_equal(soft_dev_init(&toy->soft, r->w->bus), 0);
	assert_int_equal(vdpa_device_register(r->w->bus, NULL, &toy->soft.vdev),
			 0);
	(void)vrig_bind(r, "n0");
	return toy;
}

struct virtio_device *toy_vdev(struct toy_nic *toy)
{
	return virtio_vdpa_get(&toy->soft.vdev);
}

void toy_del(struct toy_nic *toy)
{
	struct vdpa_bus *bus = toy->soft.vdev.bus;

	(void)vdpa_dev_unbind(bus, "n0"); /* or it is unbound already */
	vdpa_device_unregister(&toy->soft.vdev);
	soft_dev_free(&toy->soft);
}
