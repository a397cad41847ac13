/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the virtio net driver on devices that behave.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "bus/nic.h"
#include "lib/test.h"

#define RING(name) BIT_ULL(VIRTIO_RING_F_##name)
#define PACKED	   BIT_ULL(VIRTIO_F_RING_PACKED)
#define IN_ORDER   BIT_ULL(VIRTIO_F_IN_ORDER)
#define NET(name)  BIT_ULL(VIRTIO_NET_F_##name)
#define RING_ALL   (RING(INDIRECT_DESC) | RING(EVENT_IDX) | PACKED | IN_ORDER)

#define NO_MERGE_BYTES (12 + VDPAKIT_NET_FRAME_MAX)

static const struct nic_kind kinds[] = {
	{ "net", 1, 0 },
	{ "net", 1, PACKED },
	{ "net", 1, IN_ORDER },
	{ "net", 1, PACKED | IN_ORDER },
	{ "net", 1, RING(INDIRECT_DESC) },
	{ "net", 1, RING(INDIRECT_DESC) | PACKED },
	{ "net", 1, RING(EVENT_IDX) },
	{ "net", 1, RING(EVENT_IDX) | PACKED },
	{ "net", 1, NET(MRG_RXBUF) },
	{ "net", 1, NET(MRG_RXBUF) | RING_ALL },
	{ "net", 1, RING_ALL },
	{ "net", NIC_PAIRS, 0 },
	{ "vdpasim_net", 1, 0 },
	{ "vdpasim_net", 1, PACKED },
	{ "vdpasim_net", 1, RING_ALL | NET(MRG_RXBUF) },
};

static void open_default(struct nic *nic)
{
	nic_open(nic, &kinds[0], (struct vdpakit_net_options){ 0 });
}

/* ---- frames ---- */

static struct vdpakit_net_options options_of(const struct nic_kind *kind)
{
	struct vdpakit_net_options options = { 0 };

	if (kind->lacks & NET(MRG_RXBUF)) {
		options.buffer_bytes = NO_MERGE_BYTES;
		options.queue_size = 64;
	}
	return options;
}

static void test_each_kind_gives_frames_back(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct nic nic;

		nic_open(&nic, &kinds[i], options_of(&kinds[i]));
		for (uint32_t len = 14; len <= 65535; len += 331) {
			nic_round(&nic, len, len);
		}
		nic_round(&nic, 65535, 1);
		assert_int_equal(vdpakit_net_n_under_way(nic.rx), 0);
		nic_close(&nic);
	}
}

static void test_frames_of_all_sizes(void **state)
{
	struct nic nic;

	open_default(&nic);
	for (uint32_t len = 14; len <= 65535; len += len < 9000 ? 1 : 61) {
		nic_round(&nic, len, len);
	}
	nic_close(&nic);
}

static void test_info_is_the_device_s(void **state)
{
	struct vdpakit_net_info info;
	struct nic nic;

	nic_open(&nic, &(struct nic_kind){ "net", NIC_PAIRS, 0 },
		 (struct vdpakit_net_options){ 0 });
	vdpakit_net_get_info(nic.net, &info, sizeof(info));
	assert_memory_equal(info.mac, nic_mac, 6);
	assert_false(info.is_mac_random);
	assert_true(info.is_link_up);
	assert_int_equal(info.mtu, NIC_MTU);
	assert_int_equal(info.n_pairs, NIC_PAIRS);
	assert_int_equal(info.n_active_pairs, NIC_PAIRS);
	assert_int_equal(info.max_pairs, NIC_PAIRS);
	assert_int_equal(info.queue_size, 256);
	assert_int_equal(info.buffer_bytes, 2048);
	assert_true(info.is_packed);
	assert_true(has_bit(info.features, VIRTIO_NET_F_MRG_RXBUF));
	assert_false(info.needs_reset);
	nic_close(&nic);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_each_kind_gives_frames_back),
	cmocka_unit_test(test_frames_of_all_sizes),
	cmocka_unit_test(test_info_is_the_device_s),
};

TEST_MAIN("virtio_net")
