/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of a vhost-vdpa node.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "client_internal.h"

static void vdpa_open(struct client *cl, const char *path, int flags,
		      bool is_soon)
{
	cl->fd = is_soon ? conf_open_soon(cl->c, path, flags)
			 : conf_open(cl->c, path, flags);
	assert_int_equal(dev_set_owner(cl->fd), 0);
}

static uint64_t vdpa_offered(struct client *cl)
{
	uint64_t offered = 0;

	assert_int_equal(dev_get_features(cl->fd, &offered), 0);
	return offered;
}

static void vdpa_negotiate(struct client *cl)
{
	assert_int_equal(dev_set_status(cl->fd, S_ACKNOWLEDGE | S_DRIVER), 0);
	assert_int_equal(dev_set_features(cl->fd, cl->features), 0);
	assert_int_equal(dev_set_status(cl->fd, S_ACKNOWLEDGE | S_DRIVER |
							S_FEATURES_OK),
			 0);
	assert_int_equal(dev_get_status(cl->fd),
			 S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
}

static void vdpa_map(struct client *cl)
{
	assert_int_equal(dev_map(cl->fd, 0, CLIENT_IOVA, cl->mem.va,
				 cl->mem.size, VHOST_ACCESS_RW),
			 IOTLB_DONE);
}

static void vdpa_vq_set_addr(struct client *cl, uint16_t idx)
{
	uint64_t iova = cl->vqs[idx].ring.iova;

	assert_int_equal(dev_vring_addr(cl->fd, idx, iova, iova + RING_DRIVER,
					iova + RING_DEVICE),
			 0);
}

static void vdpa_vq_set(struct client *cl, uint16_t idx)
{
	struct client_vq *q = &cl->vqs[idx];

	assert_int_equal(
		dev_vring(cl->fd, VHOST_SET_VRING_NUM, idx, q->ring.num), 0);
	assert_int_equal(dev_vring(cl->fd, VHOST_SET_VRING_BASE, idx,
				   ring_base(&q->ring)),
			 0);
	vdpa_vq_set_addr(cl, idx);
	assert_int_equal(
		dev_vring_fd(cl->fd, VHOST_SET_VRING_KICK, idx, q->kick), 0);
	assert_int_equal(
		dev_vring_fd(cl->fd, VHOST_SET_VRING_CALL, idx, q->call), 0);
}

static void vdpa_vq_enable(struct client *cl, uint16_t idx)
{
	assert_int_equal(dev_vring(cl->fd, VHOST_VDPA_SET_VRING_ENABLE, idx, 1),
			 0);
}

static void vdpa_vq_stop(struct client *cl, uint16_t idx)
{
	assert_int_equal(dev_vring(cl->fd, VHOST_VDPA_SET_VRING_ENABLE, idx, 0),
			 0);
}

static void vdpa_driver_ok(struct client *cl)
{
	assert_int_equal(dev_set_status(cl->fd, S_READY), 0);
	assert_int_equal(dev_get_status(cl->fd), S_READY);
}

static int vdpa_status(struct client *cl)
{
	return dev_get_status(cl->fd);
}

static void vdpa_reset(struct client *cl)
{
	assert_int_equal(dev_set_status(cl->fd, 0), 0);
	assert_int_equal(dev_get_status(cl->fd), 0);
}

static int vdpa_get_config(struct client *cl, uint32_t off, void *buf,
			   uint32_t len)
{
	return dev_get_config(cl->fd, off, buf, len);
}

static void vdpa_close(struct client *cl)
{
	conf_close(cl->c, cl->fd);
}

const struct client_door client_door_vdpa = {
	.must = F_ACCESS_PLATFORM,
	.open = vdpa_open,
	.offered = vdpa_offered,
	.negotiate = vdpa_negotiate,
	.map = vdpa_map,
	.vq_set_addr = vdpa_vq_set_addr,
	.vq_set = vdpa_vq_set,
	.vq_enable = vdpa_vq_enable,
	.vq_stop = vdpa_vq_stop,
	.driver_ok = vdpa_driver_ok,
	.status = vdpa_status,
	.reset = vdpa_reset,
	.get_config = vdpa_get_config,
	.close = vdpa_close,
};
