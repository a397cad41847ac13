/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: the orders in which known clients set a device up, call by call.
 * Statements 96 to 99, as far as one process can play them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/blk.h"
#include "lib/net.h"

static int set_status(const struct client *cl, uint8_t status)
{
	int ret = dev_set_status(cl->fd, status);

	return ret < 0 ? ret : dev_get_status(cl->fd);
}

static void set_vring(const struct client *cl, uint16_t idx)
{
	const struct client_vq *q = &cl->vqs[idx];
	uint64_t iova = q->ring.iova;

	assert_int_equal(
		dev_vring(cl->fd, VHOST_SET_VRING_NUM, idx, q->ring.num), 0);
	assert_int_equal(dev_vring(cl->fd, VHOST_SET_VRING_BASE, idx,
				   ring_base(&q->ring)),
			 0);
	assert_int_equal(dev_vring_addr(cl->fd, idx, iova, iova + RING_DRIVER,
					iova + RING_DEVICE),
			 0);
	assert_int_equal(
		dev_vring_fd(cl->fd, VHOST_SET_VRING_KICK, idx, q->kick), 0);
}

static void set_call(const struct client *cl, uint16_t idx, int fd)
{
	assert_int_equal(dev_vring_fd(cl->fd, VHOST_SET_VRING_CALL, idx, fd),
			 0);
}

static int enable(const struct client *cl, uint16_t idx, uint32_t on)
{
	return dev_vring(cl->fd, VHOST_VDPA_SET_VRING_ENABLE, idx, on);
}

static void init_rings(struct client *cl, unsigned int n)
{
	for (uint16_t i = 0; i < n; i++) {
		client_vq_init(cl, i, 64);
	}
}

/* Features are set and FEATURES_OK is up; the test's ring format is offered. */
static uint64_t wanted(struct client *cl, uint64_t want)
{
	const uint64_t must = F_ACCESS_PLATFORM | F_VERSION_1 |
			      (cl->c->is_packed ? F_PACKED : 0);
	uint64_t offered = 0;

	assert_int_equal(dev_get_features(cl->fd, &offered), 0);
	if (~offered & must) {
		conf_skip("the device does not offer this ring format");
	}
	cl->features = offered & (want | must);
	return cl->features;
}

/* ---- 97: QEMU 7.2, one queue pair and a control queue ---- */

static void qemu_map(struct client *cl)
{
	assert_int_equal(dev_batch(cl->fd, 0, true), IOTLB_DONE);
	client_map(cl);
	assert_int_equal(dev_batch(cl->fd, 0, false), IOTLB_DONE);
}

static void qemu_start(struct client *cl)
{
	uint64_t features = 0;
	int spare = conf_eventfd(cl->c, 0);

	init_rings(cl, 3);
	set_call(cl, 0, spare);
	set_call(cl, 1, spare);
	assert_int_equal(dev_set_features(cl->fd, wanted(cl, NET_FEATURES)), 0);
	assert_int_equal(dev_get_status(cl->fd), 3);
	assert_int_equal(set_status(cl, 0xb), 0xb);
	assert_int_equal(dev_get_backend_features(cl->fd, &features), 0);
	assert_int_equal(dev_set_backend_features(cl->fd, features & 0x6), 0);
	set_vring(cl, 0);
	set_vring(cl, 1);
	assert_true(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, cl->fd, 0) ==
		    MAP_FAILED);
	assert_int_equal(enable(cl, 0, 1), 0);
	assert_int_equal(enable(cl, 1, 1), 0);
	set_vring(cl, 2);
	set_call(cl, 2, -1);
	assert_int_equal(enable(cl, 2, 1), 0);
	qemu_map(cl);
	assert_int_equal(set_status(cl, 0xf), 0xf);
	/* The guest unmasks its interrupts. */
	for (uint16_t i = 0; i < 3; i++) {
		set_call(cl, i, cl->vqs[i].call);
	}
}

/* The memory listener takes back what it gave; bases come after the reset. */
static void qemu_stop(struct client *cl)
{
	uint32_t base;

	assert_int_equal(set_status(cl, 0), 0);
	assert_int_equal(set_status(cl, 3), 3);
	assert_int_equal(dev_batch(cl->fd, 0, true), IOTLB_DONE);
	assert_int_equal(dev_unmap(cl->fd, 0, CLIENT_IOVA, cl->mem.size),
			 IOTLB_DONE);
	assert_int_equal(dev_batch(cl->fd, 0, false), IOTLB_DONE);
	for (uint16_t i = 0; i < 2; i++) {
		assert_int_equal(dev_vring_get(cl->fd, VHOST_GET_VRING_BASE, i,
					       &base),
				 0);
		set_call(cl, i, conf_eventfd(cl->c, 0));
	}
}

static void test_s97_qemu_order_with_reboots(void **state)
{
	struct client cl;
	struct vhost_vdpa_iova_range range;
	uint8_t mac[6], config[24];
	uint64_t features;

	client_init(&cl, *state,
		    conf_open(*state, conf_node_of(CONF_DEVICE_NET), O_RDWR));
	assert_int_equal(dev_get_features(cl.fd, &features), 0);
	assert_int_equal(dev_ioctl(cl.fd, VHOST_VDPA_GET_IOVA_RANGE, &range),
			 0);
	assert_int_equal(dev_get_status(cl.fd), 0);
	assert_int_equal(set_status(&cl, 3), 3);
	assert_int_equal(dev_set_owner(cl.fd), 0);
	assert_int_equal(dev_get_u32(cl.fd, VHOST_VDPA_GET_DEVICE_ID), 1);
	assert_int_equal(dev_get_config(cl.fd, 0, mac, 6), 0);
	assert_int_equal(dev_set_config(cl.fd, 0, mac, 6), 0);
	assert_int_equal(dev_get_config(cl.fd, 0, config, 10), 0);
	for (uint8_t boot = 0; boot < 4; boot++) {
		qemu_start(&cl);
		assert_true(net_works(&cl, boot));
		assert_int_equal(net_command(&cl, NET_CTRL_MAC,
					     NET_CTRL_MAC_ADDR_SET, mac, 6),
				 NET_ACK_OK);
		qemu_stop(&cl);
	}
}

/* QEMU 10.1 and later: memory once, right after SET_OWNER; the probe of the
 * control queue resets afterwards; CVQ first, data queues after DRIVER_OK. */
static void test_s97_new_qemu_order_with_isolated_cvq(void **state)
{
	const uint64_t acked = BACKEND_MSG_V2 | BACKEND_BATCH | BACKEND_ASID |
			       BACKEND_SUSPEND;
	struct client cl;
	uint64_t features = 0;
	uint32_t group = 0;
	uint8_t mac[6];

	client_init(&cl, *state,
		    conf_open(*state, conf_node_of(CONF_DEVICE_NET), O_RDWR));
	conf_product_only("without IOTLB_PERSIST the map goes with the reset");
	assert_int_equal(dev_get_backend_features(cl.fd, &features), 0);
	assert_int_equal(dev_set_backend_features(
				 cl.fd,
				 features & (acked | BACKEND_IOTLB_PERSIST)),
			 0);
	assert_int_equal(dev_set_owner(cl.fd), 0);
	qemu_map(&cl);
	/* The probe. */
	assert_int_equal(set_status(&cl, 3), 3);
	assert_int_equal(dev_set_features(cl.fd, wanted(&cl, NET_FEATURES)), 0);
	assert_int_equal(set_status(&cl, 0xb), 0xb);
	assert_int_equal(
		dev_vring_get(cl.fd, VHOST_VDPA_GET_VRING_GROUP, 2, &group), 0);
	assert_int_equal(group, 1);
	assert_int_equal(set_status(&cl, 0), 0);
	/* The start. */
	assert_int_equal(set_status(&cl, 3), 3);
	assert_int_equal(dev_set_features(cl.fd, cl.features), 0);
	assert_int_equal(set_status(&cl, 0xb), 0xb);
	init_rings(&cl, 3);
	assert_int_equal(dev_vring(cl.fd, VHOST_VDPA_SET_GROUP_ASID, 1, 1), 0);
	assert_int_equal(dev_map(cl.fd, 1, CLIENT_IOVA, cl.mem.va, cl.mem.size,
				 VHOST_ACCESS_RW),
			 IOTLB_DONE);
	for (uint16_t i = 0; i < 3; i++) {
		set_vring(&cl, i);
		set_call(&cl, i, cl.vqs[i].call);
	}
	assert_int_equal(set_status(&cl, 0xf), 0xf);
	assert_int_equal(enable(&cl, 2, 1), 0);
	net_get_mac(&cl, mac);
	assert_int_equal(net_command(&cl, NET_CTRL_MAC, NET_CTRL_MAC_ADDR_SET,
				     mac, 6),
			 NET_ACK_OK);
	assert_int_equal(enable(&cl, 0, 1), 0);
	assert_int_equal(enable(&cl, 1, 1), 0);
	assert_true(net_works(&cl, 1));
}

/* ---- 96: libblkio 1.5 ---- */

/* Version 1, rubbish in the padding, by bare system call. */
static void libblkio_map(int fd, uint64_t iova, const void *va, uint64_t size)
{
	struct vhost_msg_v2 msg = {
		.type = VHOST_IOTLB_MSG,
		.asid = 0x5aa5f00f,
		.iotlb = {
			.iova = iova,
			.size = size,
			.uaddr = (uintptr_t)va,
			.perm = VHOST_ACCESS_RW,
			.type = VHOST_IOTLB_UPDATE,
		},
	};

	(void)syscall(SYS_write, fd, &msg, sizeof(msg)); /* it does not look */
}

static void test_s96_libblkio_order(void **state)
{
	struct client cl;
	struct ring *r = &cl.vqs[0].ring;
	struct vhost_vdpa_iova_range range;
	uint64_t features;
	uint8_t config[60];

	client_init(&cl, *state,
		    conf_open(*state, conf_node_of(CONF_DEVICE_BLK), O_WRONLY));
	assert_int_equal(dev_set_owner(cl.fd), 0);
	assert_int_equal(dev_get_backend_features(cl.fd, &features), 0);
	assert_int_equal(dev_set_backend_features(cl.fd, 0), 0);
	assert_int_equal(set_status(&cl, 0), 0);
	assert_int_equal(set_status(&cl, 3), 3);
	assert_int_equal(dev_set_features(cl.fd, wanted(&cl, BLK_FEATURES)), 0);
	assert_int_equal(set_status(&cl, 0xb), 0xb);
	assert_true(dev_get_u32(cl.fd, VHOST_VDPA_GET_VQS_COUNT) >= 1);
	assert_int_equal(dev_ioctl(cl.fd, VHOST_VDPA_GET_IOVA_RANGE, &range),
			 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(dev_get_config(cl.fd, 0, config, 60), 0);
	}
	init_rings(&cl, 1);
	libblkio_map(cl.fd, range.first, cl.mem.va, RING_BYTES);
	assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_NUM, 0, 64), 0);
	assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_BASE, 0,
				   ring_initial_base(r)),
			 0);
	assert_int_equal(dev_vring_addr(cl.fd, 0, range.first,
					range.first + RING_DRIVER,
					range.first + RING_DEVICE),
			 0);
	assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_KICK, 0,
				      cl.vqs[0].kick),
			 0);
	set_call(&cl, 0, cl.vqs[0].call);
	assert_int_equal(enable(&cl, 0, 1), 0);
	assert_int_equal(dev_set_status(cl.fd, 0xf), 0);
	/* Memory of requests comes when it likes. */
	libblkio_map(cl.fd, CLIENT_IOVA, cl.mem.va, cl.mem.size);
	for (unsigned int i = 0; i < 100; i++) {
		assert_true(blk_works(&cl));
	}
}

/* ---- 98: DPDK virtio-user ---- */

static void dpdk_start(struct client *cl)
{
	/* Unmapped first, all of it. */
	assert_int_equal(dev_batch(cl->fd, 0, true), IOTLB_DONE);
	assert_int_equal(dev_unmap(cl->fd, 0, 0, UINT64_MAX), IOTLB_DONE);
	client_map(cl);
	assert_int_equal(dev_batch(cl->fd, 0, false), IOTLB_DONE);
	for (uint16_t i = 0; i < 2; i++) {
		set_vring(cl, i);
	}
	for (uint16_t i = 0; i < 3; i++) {
		assert_int_equal(enable(cl, i, 1), 0);
	}
	assert_int_equal(dev_set_status(cl->fd, 0xf), 0);
}

static void dpdk_stop(struct client *cl)
{
	uint32_t base;

	for (uint16_t i = 0; i < 3; i++) {
		assert_int_equal(enable(cl, i, 0), 0);
	}
	for (uint16_t i = 0; i < 2; i++) {
		assert_int_equal(dev_vring_get(cl->fd, VHOST_GET_VRING_BASE, i,
					       &base),
				 0);
		assert_int_equal(base, ring_base(&cl->vqs[i].ring));
	}
	assert_int_equal(dev_set_status(cl->fd, 0), 0);
}

static void dpdk_negotiate(struct client *cl)
{
	assert_int_equal(dev_set_status(cl->fd, 0), 0);
	assert_int_equal(set_status(cl, 1), 1);
	assert_int_equal(set_status(cl, 3), 3);
	cl->nvqs = 0;
	init_rings(cl, 2);
	for (uint16_t i = 0; i < 2; i++) {
		set_call(cl, i, cl->vqs[i].call);
	}
	assert_int_equal(dev_set_features(cl->fd, wanted(cl, NET_F_MTU)), 0);
	assert_int_equal(set_status(cl, 0xb), 0xb);
}

static void test_s98_dpdk_order_with_restarts(void **state)
{
	struct client cl;
	uint64_t features = 0;
	uint8_t mac[6];

	client_init(&cl, *state,
		    conf_open(*state, conf_node_of(CONF_DEVICE_NET), O_RDWR));
	assert_int_equal(dev_get_u32(cl.fd, VHOST_VDPA_GET_DEVICE_ID), 1);
	assert_int_equal(dev_set_owner(cl.fd), 0);
	assert_int_equal(dev_get_features(cl.fd, &features), 0);
	assert_int_equal(dev_get_backend_features(cl.fd, &features), 0);
	/* A must for DPDK. */
	assert_true(features & BACKEND_MSG_V2);
	assert_int_equal(dev_set_backend_features(cl.fd, features & 0x6), 0);
	assert_int_equal(dev_get_config(cl.fd, 0, mac, 6), 0);
	for (uint8_t i = 0; i < 4; i++) {
		dpdk_negotiate(&cl);
		dpdk_start(&cl);
		assert_true(net_works(&cl, i));
		dpdk_stop(&cl);
	}
}

/* ---- 99: cloud-hypervisor ---- */

static void test_s99_cloud_hypervisor_order(void **state)
{
	struct client cl;
	struct vhost_vdpa_iova_range range;
	uint64_t features = 0;
	int config, none = -1;

	client_init(&cl, *state,
		    conf_open(*state, conf_node_of(CONF_DEVICE_BLK),
			      O_RDWR | O_NONBLOCK));
	config = conf_eventfd(cl.c, 0);
	assert_int_equal(dev_set_owner(cl.fd), 0);
	assert_int_equal(dev_get_u32(cl.fd, VHOST_VDPA_GET_DEVICE_ID), 2);
	assert_true(dev_get_num_max(cl.fd) >= 64);
	(void)wanted(&cl, BLK_FEATURES);
	assert_int_equal(dev_get_backend_features(cl.fd, &features), 0);
	assert_int_equal(dev_ioctl(cl.fd, VHOST_VDPA_GET_IOVA_RANGE, &range),
			 0);
	/* Version 2 before anything was acked. */
	client_map(&cl);
	for (unsigned int i = 0; i < 3; i++) {
		init_rings(&cl, 1);
		assert_int_equal(dev_set_features(cl.fd, cl.features), 0);
		assert_int_equal(dev_set_backend_features(cl.fd, features), 0);
		/* NUM, ADDR, BASE, CALL, KICK, in this order. */
		assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_NUM, 0, 64),
				 0);
		client_vq_set_addr(&cl, 0);
		assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_BASE, 0,
					   ring_base(&cl.vqs[0].ring)),
				 0);
		set_call(&cl, 0, cl.vqs[0].call);
		assert_int_equal(dev_vring_fd(cl.fd, VHOST_SET_VRING_KICK, 0,
					      cl.vqs[0].kick),
				 0);
		assert_int_equal(dev_ioctl(cl.fd, VHOST_VDPA_SET_CONFIG_CALL,
					   &config),
				 0);
		assert_int_equal(enable(&cl, 0, 1), 0);
		assert_int_equal(dev_set_status(cl.fd, 0xf), 0);
		assert_true(blk_works(&cl));
		assert_int_equal(enable(&cl, 0, 0), 0);
		assert_int_equal(dev_set_status(cl.fd, 0), 0);
		assert_int_equal(
			dev_ioctl(cl.fd, VHOST_VDPA_SET_CONFIG_CALL, &none), 0);
	}
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_s96_libblkio_order),
	CONF_TEST_BOTH(test_s97_qemu_order_with_reboots),
	CONF_TEST_BOTH(test_s97_new_qemu_order_with_isolated_cvq),
	CONF_TEST_BOTH(test_s98_dpdk_order_with_restarts),
	CONF_TEST_BOTH(test_s99_cloud_hypervisor_order),
};

TEST_MAIN("conformance/order")
