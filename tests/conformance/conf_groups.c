/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: groups and address spaces. Statements 55 to 59.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>

#include "lib/net.h"

#define ACKED (BACKEND_MSG_V2 | BACKEND_BATCH | BACKEND_ASID)
/* Where the control queue's address space has the client's memory: not where
 * address space 0 has it. */
#define OTHER_IOVA 0x7000000000ULL

/* A network device with a control queue in a group of its own. */
static int open_net(void **state)
{
	int fd = conf_open(*state, conf_node_of(CONF_DEVICE_NET), O_RDWR);

	if (dev_get_u32(fd, VHOST_VDPA_GET_GROUP_NUM) < 2 ||
	    dev_get_u32(fd, VHOST_VDPA_GET_AS_NUM) < 2 ||
	    dev_get_u32(fd, VHOST_VDPA_GET_VQS_COUNT) < 3) {
		conf_skip("one group or address space only");
	}
	assert_int_equal(dev_set_owner(fd), 0);
	assert_int_equal(dev_set_backend_features(fd, ACKED), 0);
	return fd;
}

static int set_group_asid(int fd, uint32_t group, uint32_t asid)
{
	return dev_vring(fd, VHOST_VDPA_SET_GROUP_ASID, group, asid);
}

static void test_s55_the_control_queue_has_its_own_group(void **state)
{
	int fd = open_net(state);
	uint32_t group;

	assert_int_equal(
		dev_vring_get(fd, VHOST_VDPA_GET_VRING_GROUP, 0, &group), 0);
	assert_int_equal(group, 0);
	assert_int_equal(
		dev_vring_get(fd, VHOST_VDPA_GET_VRING_GROUP, 1, &group), 0);
	assert_int_equal(group, 0);
	assert_int_equal(
		dev_vring_get(fd, VHOST_VDPA_GET_VRING_GROUP, 2, &group), 0);
	assert_int_equal(group, 1);
}

static void test_s55_desc_group_eopnotsupp(void **state)
{
	int fd = open_net(state);
	uint64_t offered = 0;
	uint32_t group;

	assert_int_equal(dev_get_backend_features(fd, &offered), 0);
	if (offered & BACKEND_DESC_ASID) {
		conf_skip("the device has groups of descriptor areas");
	}
	assert_int_equal(dev_vring_get(fd, VHOST_VDPA_GET_VRING_DESC_GROUP, 0,
				       &group),
			 -EOPNOTSUPP);
}

static void test_s56_bounds_of_group_and_asid(void **state)
{
	int fd = open_net(state);
	const uint32_t nvqs =
		(uint32_t)dev_get_u32(fd, VHOST_VDPA_GET_VQS_COUNT);
	const uint32_t ngroups =
		(uint32_t)dev_get_u32(fd, VHOST_VDPA_GET_GROUP_NUM);
	const uint32_t nas = (uint32_t)dev_get_u32(fd, VHOST_VDPA_GET_AS_NUM);

	assert_int_equal(set_group_asid(fd, nvqs, 0), -ENOBUFS);
	assert_int_equal(set_group_asid(fd, 0xffffffff, 0), -ENOBUFS);
	assert_int_equal(set_group_asid(fd, 0x80000000, 9999), -ENOBUFS);
	if (ngroups < nvqs) {
		assert_int_equal(set_group_asid(fd, ngroups, 0), -EINVAL);
		assert_int_equal(set_group_asid(fd, nvqs - 1, 0), -EINVAL);
	}
	assert_int_equal(set_group_asid(fd, 0, nas), -EINVAL);
	assert_int_equal(set_group_asid(fd, 0, 0x10000), -EINVAL);
	assert_int_equal(set_group_asid(fd, 0, 0xffffffff), -EINVAL);
	assert_int_equal(set_group_asid(fd, 1, 1), 0);
	assert_int_equal(set_group_asid(fd, 0, 1), 0);
	assert_int_equal(set_group_asid(fd, 0, 0), 0);
}

static void test_s56_after_driver_ok_ebusy(void **state)
{
	int fd = open_net(state);
	int ret;

	assert_int_equal(dev_set_features(fd, F_VERSION_1 | F_ACCESS_PLATFORM),
			 0);
	assert_int_equal(dev_set_status(fd, S_READY), 0);
	ret = set_group_asid(fd, 1, 1);
	if (conf_is_kernel() && ret == 0) {
		conf_skip("kernels before 7.x do not look at the status");
	}
	assert_int_equal(ret, -EBUSY);
	/* The bounds come first. */
	assert_int_equal(set_group_asid(fd, 0, 0xffff), -EINVAL);
	assert_int_equal(dev_set_status(fd, 0), 0);
	assert_int_equal(set_group_asid(fd, 1, 1), 0);
}

/* ---- what the device sees ---- */

/* All of a client but DRIVER_OK; the control queue's ring and buffers are where
 * address space 1 will have them. */
static void prepare(struct client *cl, void **state)
{
	const uint64_t shift = OTHER_IOVA - CLIENT_IOVA;
	struct ring *r = &cl->vqs[NET_CTRL].ring;

	client_init(cl, *state, open_net(state));
	client_negotiate(cl, NET_FEATURES);
	for (uint16_t i = 0; i < 3; i++) {
		client_vq_init(cl, i, 64);
		client_vq_set(cl, i);
		client_vq_enable(cl, i);
	}
	r->iova += shift;
	client_vq_set_addr(cl, NET_CTRL);
}

static void map_other(struct client *cl, uint32_t asid)
{
	assert_int_equal(dev_map(cl->fd, asid, OTHER_IOVA, cl->mem.va,
				 cl->mem.size, VHOST_ACCESS_RW),
			 IOTLB_DONE);
}

/* A command whose buffers are at OTHER_IOVA. Return: as of net_command(). */
static int command_elsewhere(struct client *cl, const uint8_t mac[6],
			     int timeout_ms)
{
	const uint64_t shift = OTHER_IOVA - CLIENT_IOVA;
	struct client_vq *q = &cl->vqs[NET_CTRL];
	uint8_t *va = (uint8_t *)client_buf(cl, 0x80000);
	struct ring_piece pieces[] = {
		{ client_iova(cl, va) + shift, 8, false },
		{ client_iova(cl, va + 64) + shift, 1, true },
	};
	uint32_t written;
	uint16_t id;

	va[0] = NET_CTRL_MAC;
	va[1] = NET_CTRL_MAC_ADDR_SET;
	memcpy(va + 2, mac, 6);
	va[64] = 0x55;
	assert_true(ring_add(&q->ring, pieces, 2, false) >= 0);
	client_kick(q);
	if (!client_wait(q, timeout_ms, &id, &written)) {
		return -1;
	}
	return va[64];
}

static const uint8_t new_mac[6] = { 0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc };

static void test_s57_each_group_has_its_own_address_space(void **state)
{
	struct client cl;
	uint8_t mac[6], old[6];

	prepare(&cl, state);
	net_get_mac(&cl, old);
	assert_int_equal(set_group_asid(cl.fd, 1, 1), 0);
	client_map(&cl);
	map_other(&cl, 1);
	client_driver_ok(&cl);
	assert_true(net_works(&cl, 1));
	assert_int_equal(command_elsewhere(&cl, new_mac, CONF_WAIT_MS),
			 NET_ACK_OK);
	net_get_mac(&cl, mac);
	assert_memory_equal(mac, new_mac, 6);
	assert_true(net_works(&cl, 2));
	/* As it was, for the other tests. */
	assert_int_equal(command_elsewhere(&cl, old, CONF_WAIT_MS), NET_ACK_OK);
}

/* One address, two memories: each group reads its own. */
static void test_s57_the_same_iova_in_two_address_spaces(void **state)
{
	struct client cl;
	struct conf_mem zero = conf_memfd(*state, CLIENT_BYTES);
	uint8_t old[6];

	prepare(&cl, state);
	net_get_mac(&cl, old);
	assert_int_equal(set_group_asid(cl.fd, 1, 1), 0);
	client_map(&cl);
	map_other(&cl, 1);
	/* Where the data queues have their rings, the control queue has
	 * nothing of value, and the other way round. */
	assert_int_equal(dev_map(cl.fd, 1, CLIENT_IOVA, zero.va, zero.size,
				 VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(dev_map(cl.fd, 0, OTHER_IOVA, zero.va, zero.size,
				 VHOST_ACCESS_RW),
			 IOTLB_DONE);
	client_driver_ok(&cl);
	for (uint8_t i = 0; i < 10; i++) {
		assert_true(net_works(&cl, i));
		assert_int_equal(command_elsewhere(&cl, old, CONF_WAIT_MS),
				 NET_ACK_OK);
	}
	for (size_t i = 0; i < zero.size; i++) {
		assert_int_equal(zero.va[i], 0);
	}
}

static void test_s58_data_queues_do_not_reach_the_other_space(void **state)
{
	struct client cl;
	struct client_vq *tx = &cl.vqs[NET_TX], *rx = &cl.vqs[NET_RX];
	struct ring_piece piece = { OTHER_IOVA + CLIENT_BUFS, 100, false };
	uint32_t written;
	uint16_t id;

	prepare(&cl, state);
	assert_int_equal(set_group_asid(cl.fd, 1, 1), 0);
	client_map(&cl);
	map_other(&cl, 1);
	client_driver_ok(&cl);
	assert_true(net_works(&cl, 1));
	/* A good frame, where only the control queue could find it. */
	memset(client_buf(&cl, 0), 0, NET_HDR);
	memset(client_buf(&cl, NET_HDR), 0xff, 100 - NET_HDR);
	net_post(&cl, 1);
	assert_true(ring_add(&tx->ring, &piece, 1, false) >= 0);
	client_kick(tx);
	if (!conf_is_kernel()) {
		/* Completed, and lost. */
		assert_true(client_wait(tx, CONF_WAIT_MS, &id, &written));
	}
	assert_true(client_is_quiet(rx));
}

/* Group 1 stays with address space 0 here, so that nothing is mapped where the
 * control queue looks. */
static void test_s58_the_control_queue_without_its_address_space(void **state)
{
	struct client cl;
	uint8_t mac[6], old[6];

	prepare(&cl, state);
	net_get_mac(&cl, old);
	client_map(&cl);
	map_other(&cl, 1);
	client_driver_ok(&cl);
	assert_true(net_works(&cl, 1));
	assert_int_equal(command_elsewhere(&cl, new_mac, CONF_QUIET_MS), -1);
	net_get_mac(&cl, mac);
	assert_memory_equal(mac, old, 6);
}

static void test_s59_maps_before_set_group_asid_work(void **state)
{
	struct client cl;
	uint8_t old[6];

	prepare(&cl, state);
	net_get_mac(&cl, old);
	map_other(&cl, 1);
	client_map(&cl);
	assert_int_equal(set_group_asid(cl.fd, 1, 1), 0);
	client_driver_ok(&cl);
	assert_int_equal(command_elsewhere(&cl, old, CONF_WAIT_MS), NET_ACK_OK);
	assert_true(net_works(&cl, 1));
}

static void test_s59_both_groups_in_address_space_1(void **state)
{
	struct client cl;
	uint8_t old[6];

	prepare(&cl, state);
	net_get_mac(&cl, old);
	assert_int_equal(set_group_asid(cl.fd, 0, 1), 0);
	assert_int_equal(set_group_asid(cl.fd, 1, 1), 0);
	map_other(&cl, 1);
	assert_int_equal(dev_map(cl.fd, 1, CLIENT_IOVA, cl.mem.va, cl.mem.size,
				 VHOST_ACCESS_RW),
			 IOTLB_DONE);
	client_driver_ok(&cl);
	assert_true(net_works(&cl, 1));
	assert_int_equal(command_elsewhere(&cl, old, CONF_WAIT_MS), NET_ACK_OK);
}

/* A reset of the simulators brings all groups back to address space 0. */
static void test_s59_reset_unbinds_groups(void **state)
{
	struct client cl;

	conf_product_only("VDUSE keeps the association");
	prepare(&cl, state);
	assert_int_equal(set_group_asid(cl.fd, 0, 1), 0);
	assert_int_equal(set_group_asid(cl.fd, 1, 1), 0);
	assert_int_equal(dev_set_status(cl.fd, 0), 0);
	client_run(&cl, NET_FEATURES, 3, 64);
	assert_true(net_works(&cl, 1));
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s55_the_control_queue_has_its_own_group),
	CONF_TEST(test_s55_desc_group_eopnotsupp),
	CONF_TEST(test_s56_bounds_of_group_and_asid),
	CONF_TEST(test_s56_after_driver_ok_ebusy),
	CONF_TEST_BOTH(test_s57_each_group_has_its_own_address_space),
	CONF_TEST_BOTH(test_s57_the_same_iova_in_two_address_spaces),
	CONF_TEST_BOTH(test_s58_data_queues_do_not_reach_the_other_space),
	CONF_TEST_BOTH(test_s58_the_control_queue_without_its_address_space),
	CONF_TEST_BOTH(test_s59_maps_before_set_group_asid_work),
	CONF_TEST_BOTH(test_s59_both_groups_in_address_space_1),
	CONF_TEST_BOTH(test_s59_reset_unbinds_groups),
};

TEST_MAIN("conformance/groups")
