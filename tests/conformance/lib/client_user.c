/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of a vhost-user socket: a front end.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "client_internal.h"

void client_user_open(struct client *cl, const char *path, uint64_t protocol)
{
	vu_connect(&cl->vu, cl->c, path, protocol);
	cl->fd = cl->vu.fd;
	assert_int_equal(vu_tell(&cl->vu, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
}

static void user_open(struct client *cl, const char *path, int flags,
		      bool is_soon)
{
	(void)flags;
	(void)is_soon; /* the socket is there in any case */
	client_user_open(cl, path, VU_P_USUAL);
}

static uint64_t user_offered(struct client *cl)
{
	return cl->vu.offered & ~(VU_F_PROTOCOL | VU_F_LOG_ALL);
}

static void set_status(struct client *cl, uint8_t status)
{
	if (cl->vu.protocol & VU_P_STATUS) {
		assert_int_equal(vu_set_u64(&cl->vu, VU_SET_STATUS, status), 0);
		assert_int_equal(client_status(cl), status);
	}
}

static void user_negotiate(struct client *cl)
{
	set_status(cl, S_ACKNOWLEDGE | S_DRIVER);
	assert_int_equal(vu_set_u64(&cl->vu, VU_SET_FEATURES,
				    cl->features |
					    (cl->vu.offered & VU_F_PROTOCOL)),
			 0);
	set_status(cl, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
}

static void user_map(struct client *cl)
{
	struct vu_region region = {
		.gpa = CLIENT_IOVA,
		.size = cl->mem.size,
		.uaddr = (uintptr_t)cl->mem.va,
	};

	assert_int_equal(vu_set_table(&cl->vu, &region, &cl->mem.fd, 1), 0);
}

static void user_vq_set_addr(struct client *cl, uint16_t idx)
{
	uint64_t va = (uintptr_t)cl->vqs[idx].ring.va;
	struct vu_addr addr = {
		.index = idx,
		.desc = va,
		.avail = va + RING_DRIVER,
		.used = va + RING_DEVICE,
	};

	assert_int_equal(vu_set_addr(&cl->vu, &addr), 0);
}

static void user_vq_set(struct client *cl, uint16_t idx)
{
	struct client_vq *q = &cl->vqs[idx];

	assert_int_equal(
		vu_set_state(&cl->vu, VU_SET_VRING_NUM, idx, q->ring.num), 0);
	assert_int_equal(vu_set_state(&cl->vu, VU_SET_VRING_BASE, idx,
				      ring_base(&q->ring)),
			 0);
	user_vq_set_addr(cl, idx);
	assert_int_equal(
		vu_set_vring_fd(&cl->vu, VU_SET_VRING_KICK, idx, q->kick), 0);
	assert_int_equal(
		vu_set_vring_fd(&cl->vu, VU_SET_VRING_CALL, idx, q->call), 0);
}

static void user_vq_enable(struct client *cl, uint16_t idx)
{
	if (cl->vu.offered & VU_F_PROTOCOL) {
		assert_int_equal(
			vu_set_state(&cl->vu, VU_SET_VRING_ENABLE, idx, 1), 0);
	}
}

static void user_vq_stop(struct client *cl, uint16_t idx)
{
	uint32_t base;

	assert_int_equal(vu_get_base(&cl->vu, idx, &base), 0);
}

static void user_driver_ok(struct client *cl)
{
	set_status(cl, S_READY);
}

static int user_status(struct client *cl)
{
	uint64_t status = S_READY;

	if (cl->vu.protocol & VU_P_STATUS) {
		assert_int_equal(vu_get_u64(&cl->vu, VU_GET_STATUS, &status),
				 0);
	}
	return (int)status;
}

static void user_reset(struct client *cl)
{
	if (cl->vu.protocol & VU_P_STATUS) {
		set_status(cl, 0);
	} else {
		assert_int_equal(
			vu_tell(&cl->vu, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	}
}

static int user_get_config(struct client *cl, uint32_t off, void *buf,
			   uint32_t len)
{
	return vu_get_config(&cl->vu, off, buf, len);
}

static void user_close(struct client *cl)
{
	vu_close(&cl->vu);
}

const struct client_door client_door_user = {
	.open = user_open,
	.offered = user_offered,
	.negotiate = user_negotiate,
	.map = user_map,
	.vq_set_addr = user_vq_set_addr,
	.vq_set = user_vq_set,
	.vq_enable = user_vq_enable,
	.vq_stop = user_vq_stop,
	.driver_ok = user_driver_ok,
	.status = user_status,
	.reset = user_reset,
	.get_config = user_get_config,
	.close = user_close,
};
