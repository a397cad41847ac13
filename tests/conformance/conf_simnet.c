/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: the simulated network device. Statements 92 and 93; H40, H41,
 * H46, H47, H48.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "lib/net.h"
#include "lib/tool.h"

static const uint8_t multicast[6] = { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x01 };
static const uint8_t stranger[6] = { 0x52, 0x54, 0x00, 0xff, 0xff, 0x01 };

static void start(struct client *cl, void **state)
{
	net_start(cl, *state, 64, NET_FEATURES);
}

/* ---- frames ---- */

static void test_s92_unicast_to_its_own_mac_comes_back(void **state)
{
	struct client cl;
	uint8_t mac[6];

	start(&cl, state);
	net_get_mac(&cl, mac);
	net_post(&cl, 4);
	for (uint8_t i = 0; i < 4; i++) {
		assert_true(net_send(&cl, mac, 60U + i, i));
		assert_true(net_recv(&cl, mac, 60U + i, i));
	}
}

static void test_s92_broadcast_and_multicast_come_back(void **state)
{
	struct client cl;

	start(&cl, state);
	net_post(&cl, 2);
	assert_true(net_send(&cl, net_broadcast, 60, 1));
	assert_true(net_recv(&cl, net_broadcast, 60, 1));
	assert_true(net_send(&cl, multicast, 60, 2));
	assert_true(net_recv(&cl, multicast, 60, 2));
}

static void test_s92_frames_for_others_are_dropped(void **state)
{
	struct client cl;

	start(&cl, state);
	net_post(&cl, 2);
	assert_true(net_send(&cl, stranger, 60, 1));
	/* What comes next is the next one. */
	assert_true(net_send(&cl, net_broadcast, 60, 2));
	assert_true(net_recv(&cl, net_broadcast, 60, 2));
	assert_true(client_is_quiet(&cl.vqs[NET_RX]));
}

static void test_s92_frames_for_others_are_counted(void **state)
{
	struct client cl;
	unsigned long drops, packets;

	tool_require(TOOL_VDPA);
	start(&cl, state);
	net_post(&cl, 1);
	drops = tool_vstat(tool_net_name(), NET_RX, "rx drops");
	packets = tool_vstat(tool_net_name(), NET_TX, "tx packets");
	for (uint8_t i = 0; i < 3; i++) {
		assert_true(net_send(&cl, stranger, 60, i));
	}
	assert_int_equal(tool_vstat(tool_net_name(), NET_RX, "rx drops"),
			 drops + 3);
	assert_int_equal(tool_vstat(tool_net_name(), NET_TX, "tx packets"),
			 packets + 3);
}

static void test_s92_all_lengths_of_a_frame(void **state)
{
	struct client cl;

	start(&cl, state);
	for (uint32_t len = NET_FRAME_MIN; len <= 1514; len += 59) {
		net_post(&cl, 1);
		assert_true(net_send(&cl, net_broadcast, len, (uint8_t)len));
		assert_true(net_recv(&cl, net_broadcast, len, (uint8_t)len));
	}
}

static void test_s92_many_frames_in_order(void **state)
{
	struct client cl;
	struct client_vq *tx = &cl.vqs[NET_TX];
	uint32_t written;
	uint16_t id;

	start(&cl, state);
	for (unsigned int round = 0; round < 50; round++) {
		net_post(&cl, 32);
		for (uint8_t i = 0; i < 32; i++) {
			assert_true(net_add(&cl, net_broadcast, 100, i) >= 0);
		}
		client_kick(tx);
		for (uint8_t i = 0; i < 32; i++) {
			assert_true(
				client_wait(tx, CONF_WAIT_MS, &id, &written));
			assert_true(net_recv(&cl, net_broadcast, 100, i));
		}
	}
}

/* H40 */
static void test_s92_header_and_frame_in_pieces(void **state)
{
	struct client cl;
	struct client_vq *tx = &cl.vqs[NET_TX];
	uint32_t written;
	uint16_t id;

	start(&cl, state);
	for (uint32_t split = 1; split <= NET_HDR + 20; split++) {
		char *va = client_buf(&cl, 0);
		struct ring_piece pieces[] = {
			{ client_iova(&cl, va), split, false },
			{ client_iova(&cl, va) + split, NET_HDR + 60 - split,
			  false },
		};
		int head;

		/* The frame that net_recv() expects. */
		assert_true((head = net_add(&cl, net_broadcast, 60, 9)) >= 0);
		memcpy(va, client_buf(&cl, (size_t)head * NET_RX_BYTES),
		       NET_HDR + 60);
		assert_true(ring_add(&tx->ring, pieces, 2, false) >= 0);
		net_post(&cl, 2);
		client_kick(tx);
		for (unsigned int i = 0; i < 2; i++) {
			assert_true(
				client_wait(tx, CONF_WAIT_MS, &id, &written));
			assert_true(net_recv(&cl, net_broadcast, 60, 9));
		}
	}
}

/* ---- bad frames ---- */

/* Sends what is no frame. Return: whether the device completed it. */
static bool send_raw(struct client *cl, uint32_t len, bool is_writable)
{
	struct client_vq *tx = &cl->vqs[NET_TX];
	struct ring_piece piece = { client_iova(cl, client_buf(cl, 0)), len,
				    is_writable };
	uint32_t written;
	uint16_t id;

	memset(client_buf(cl, 0), 0xff, 128);
	assert_true(ring_add(&tx->ring, &piece, 1, false) >= 0);
	client_kick(tx);
	return client_wait(tx, CONF_WAIT_MS, &id, &written);
}

/* H41 */
static void test_h41_short_frames_are_not_received(void **state)
{
	struct client cl;

	start(&cl, state);
	conf_product_only("vdpa_sim has no lower limit");
	net_post(&cl, 1);
	for (uint32_t len = 1; len < NET_HDR + NET_FRAME_MIN; len++) {
		assert_true(send_raw(&cl, len, false));
	}
	assert_true(client_is_quiet(&cl.vqs[NET_RX]));
	assert_true(net_send(&cl, net_broadcast, 60, 1));
	assert_true(net_recv(&cl, net_broadcast, 60, 1));
}

static void test_h46_frames_of_64k_and_more(void **state)
{
	static const uint32_t lens[] = { 65535, 65536, 65536 + NET_HDR, 200000,
					 1000000 };
	struct client cl;

	start(&cl, state);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		net_post(&cl, 1);
		assert_true(send_raw(&cl, lens[i], false));
	}
}

/* The whole frame is for the device to write: there is nothing to send. */
static void test_h10_a_writable_frame(void **state)
{
	struct client cl;

	start(&cl, state);
	conf_product_only("vdpa_sim stops at an empty frame");
	net_post(&cl, 1);
	assert_true(send_raw(&cl, NET_HDR + 60, true));
	assert_true(net_send(&cl, net_broadcast, 60, 1));
	assert_true(net_recv(&cl, net_broadcast, 60, 1));
}

/* A receive buffer that is too small, or not one, does not stay in the way. */
static void test_h46_receive_buffers_that_are_too_small(void **state)
{
	static const uint32_t lens[] = { 1, NET_HDR - 1, NET_HDR,
					 NET_HDR + 59 };
	struct client cl;
	struct client_vq *rx = &cl.vqs[NET_RX];
	uint32_t written;
	uint16_t id;

	start(&cl, state);
	conf_product_only("vdpa_sim truncates");
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct ring_piece piece = {
			client_iova(&cl, client_buf(&cl, 0x100000)), lens[i],
			true
		};

		assert_true(ring_add(&rx->ring, &piece, 1, false) >= 0);
		client_kick(rx);
		assert_true(net_send(&cl, net_broadcast, 60, 1));
		if (client_wait(rx, CONF_QUIET_MS, &id, &written)) {
			assert_true(written <= lens[i]);
		}
	}
	net_post(&cl, 4);
	assert_true(net_send(&cl, net_broadcast, 60, 2));
}

/* ---- no receive buffers ---- */

static void test_s93_without_receive_buffer_sending_completes(void **state)
{
	struct client cl;

	start(&cl, state);
	for (uint8_t i = 0; i < 100; i++) {
		assert_true(net_send(&cl, net_broadcast, 60, i));
	}
	assert_true(client_is_quiet(&cl.vqs[NET_RX]));
	/* Frames that were lost do not come later. */
	assert_true(net_works(&cl, 0xcc));
}

static void test_s93_overruns_are_counted(void **state)
{
	struct client cl;
	unsigned long overruns;

	tool_require(TOOL_VDPA);
	start(&cl, state);
	overruns = tool_vstat(tool_net_name(), NET_RX, "rx overruns");
	assert_true(net_send(&cl, net_broadcast, 60, 1));
	assert_int_equal(tool_vstat(tool_net_name(), NET_RX, "rx overruns"),
			 overruns + 1);
}

/* ---- control queue ---- */

static void test_s92_mac_change_takes_effect_and_shows(void **state)
{
	const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x01, 0x02, 0x03 };
	struct client cl;
	uint8_t old[6], now[6];

	start(&cl, state);
	net_get_mac(&cl, old);
	assert_int_equal(net_command(&cl, NET_CTRL_MAC, NET_CTRL_MAC_ADDR_SET,
				     mac, 6),
			 NET_ACK_OK);
	net_get_mac(&cl, now);
	assert_memory_equal(now, mac, 6);
	net_post(&cl, 2);
	assert_true(net_send(&cl, mac, 60, 1));
	assert_true(net_recv(&cl, mac, 60, 1));
	assert_true(net_send(&cl, old, 60, 2));
	assert_true(client_is_quiet(&cl.vqs[NET_RX]));
	assert_int_equal(net_command(&cl, NET_CTRL_MAC, NET_CTRL_MAC_ADDR_SET,
				     old, 6),
			 NET_ACK_OK);
	net_get_mac(&cl, now);
	assert_memory_equal(now, old, 6);
}

/* By the config space, as QEMU does it. */
static void test_s92_mac_change_by_set_config(void **state)
{
	const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x0a, 0x0b, 0x0c };
	struct client cl;
	uint8_t old[6];

	start(&cl, state);
	net_get_mac(&cl, old);
	assert_int_equal(dev_set_config(cl.fd, 0, mac, 6), 0);
	net_post(&cl, 1);
	assert_true(net_send(&cl, mac, 60, 1));
	assert_true(net_recv(&cl, mac, 60, 1));
	assert_int_equal(dev_set_config(cl.fd, 0, old, 6), 0);
}

static void test_s92_unknown_commands_are_answered_with_err(void **state)
{
	static const struct {
		uint8_t class, cmd;
	} unknown[] = {
		{ 0, 0 },   { 0, 1 },	{ 1, 0 }, { 1, 2 },	{ 2, 0 },
		{ 3, 0 },   { 4, 0 },	{ 5, 0 }, { 9, 9 },	{ 255, 0 },
		{ 0, 255 }, { 1, 255 }, { 4, 1 }, { 255, 255 },
	};
	const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x01, 0x02, 0x03 };
	struct client cl;
	uint8_t old[6], now[6];

	start(&cl, state);
	net_get_mac(&cl, old);
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		assert_int_equal(net_command(&cl, unknown[i].class,
					     unknown[i].cmd, mac, 6),
				 NET_ACK_ERR);
	}
	net_get_mac(&cl, now);
	assert_memory_equal(now, old, 6);
}

/* H47: too little, too much. */
static void test_h47_mac_command_of_a_wrong_length(void **state)
{
	const uint8_t data[64] = { 0x52, 0x54, 0x00, 0x01, 0x02, 0x03 };
	struct client cl;
	uint8_t old[6], now[6];

	start(&cl, state);
	conf_product_only("vdpa_sim takes more than it needs");
	net_get_mac(&cl, old);
	for (uint32_t len = 0; len < sizeof(data); len++) {
		if (len != 6) {
			assert_int_equal(net_command(&cl, NET_CTRL_MAC,
						     NET_CTRL_MAC_ADDR_SET,
						     data, len),
					 NET_ACK_ERR);
		}
	}
	net_get_mac(&cl, now);
	assert_memory_equal(now, old, 6);
}

/* H47, H48: nowhere to put the answer, nothing to read. */
static void test_h48_commands_without_room_for_an_answer(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[NET_CTRL];
	uint8_t *va, old[6], now[6];
	uint32_t written;
	uint16_t id;

	start(&cl, state);
	conf_product_only("vdpa_sim never completes those");
	net_get_mac(&cl, old);
	va = (uint8_t *)client_buf(&cl, 0x80000);
	memset(va, 0, 8);
	va[0] = NET_CTRL_MAC;
	va[1] = NET_CTRL_MAC_ADDR_SET;
	for (unsigned int i = 0; i < 500; i++) {
		struct ring_piece pieces[] = {
			{ client_iova(&cl, va), i % 9, false },
			{ client_iova(&cl, va) + 64, i % 2, true },
		};
		unsigned int first = i % 9 == 0;
		unsigned int last = i % 2 == 0 ? 0 : 1;

		if (first > last) {
			continue;
		}
		if (first == 0 && last == 1 && i % 9 == 8) {
			continue; /* a good one */
		}
		assert_true(ring_add(&q->ring, &pieces[first], last - first + 1,
				     false) >= 0);
		client_kick(q);
		assert_true(client_wait(q, CONF_WAIT_MS, &id, &written));
		assert_int_equal(written, last);
		assert_true(last == 0 || va[64] == NET_ACK_ERR);
	}
	net_get_mac(&cl, now);
	assert_memory_equal(now, old, 6);
	assert_true(net_works(&cl, 1));
}

/* ---- larger frames on several buffers ---- */

static void test_s92_mergeable_buffers(void **state)
{
	struct client cl;
	struct client_vq *rx = &cl.vqs[NET_RX];
	uint8_t *hdr;
	uint32_t written, total = 0;
	uint16_t id, n;

	net_start(&cl, *state, 64, NET_FEATURES | NET_F_MRG_RXBUF);
	if (!(cl.features & NET_F_MRG_RXBUF)) {
		conf_skip("no MRG_RXBUF");
	}
	net_post(&cl, 8);
	assert_true(send_raw(&cl, NET_HDR + 5000, false));
	assert_true(client_wait(rx, CONF_WAIT_MS, &id, &written));
	hdr = (uint8_t *)client_buf(&cl, 0x90000 + (size_t)id * NET_RX_BYTES);
	n = (uint16_t)(hdr[10] | hdr[11] << 8);
	assert_int_equal(n, 3);
	for (total = written; n > 1; n--) {
		assert_true(client_wait(rx, CONF_WAIT_MS, &id, &written));
		total += written;
	}
	assert_int_equal(total, NET_HDR + 5000);
	assert_true(client_is_quiet(rx));
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_s92_unicast_to_its_own_mac_comes_back),
	CONF_TEST_BOTH(test_s92_broadcast_and_multicast_come_back),
	CONF_TEST_BOTH(test_s92_frames_for_others_are_dropped),
	CONF_TEST(test_s92_frames_for_others_are_counted),
	CONF_TEST_BOTH(test_s92_all_lengths_of_a_frame),
	CONF_TEST_BOTH(test_s92_many_frames_in_order),
	CONF_TEST_BOTH(test_s92_header_and_frame_in_pieces),
	CONF_TEST_BOTH(test_h41_short_frames_are_not_received),
	CONF_TEST_BOTH(test_h46_frames_of_64k_and_more),
	CONF_TEST_BOTH(test_h10_a_writable_frame),
	CONF_TEST_BOTH(test_h46_receive_buffers_that_are_too_small),
	CONF_TEST_BOTH(test_s93_without_receive_buffer_sending_completes),
	CONF_TEST(test_s93_overruns_are_counted),
	CONF_TEST_BOTH(test_s92_mac_change_takes_effect_and_shows),
	CONF_TEST(test_s92_mac_change_by_set_config),
	CONF_TEST_BOTH(test_s92_unknown_commands_are_answered_with_err),
	CONF_TEST_BOTH(test_h47_mac_command_of_a_wrong_length),
	CONF_TEST_BOTH(test_h48_commands_without_room_for_an_answer),
	CONF_TEST_BOTH(test_s92_mergeable_buffers),
};

TEST_MAIN("conformance/simnet")
