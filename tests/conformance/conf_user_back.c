/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: vhost-user, what goes over the back-end channel: notifications
 * in band, I/O translation with misses, changes of the config space. H65.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/blk.h"
#include "lib/tool.h"

#define NUM  16
#define PAGE 4096ULL

static void open_blk(struct client *cl, void **state, uint64_t protocol)
{
	client_open_user(cl, *state, conf_node_of(CONF_DEVICE_BLK), protocol);
	/* Without these there is nothing to test here. */
	vu_require(&cl->vu, protocol & (VU_P_BACKEND_REQ | VU_P_INBAND));
}

/* ---- the channel ---- */

static void test_the_channel_may_be_replaced(void **state)
{
	struct client cl;

	open_blk(&cl, state, VU_P_USUAL);
	for (unsigned int i = 0; i < 10; i++) {
		vu_open_back(&cl.vu);
	}
	client_run(&cl, BLK_FEATURES, 1, NUM);
	assert_true(blk_works(&cl));
}

static void test_the_channel_may_be_closed_by_us(void **state)
{
	struct client cl;

	open_blk(&cl, state, VU_P_USUAL);
	vu_open_back(&cl.vu);
	client_run(&cl, BLK_FEATURES, 1, NUM);
	conf_close(cl.c, cl.vu.back);
	cl.vu.back = -1;
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(blk_works(&cl));
	}
}

/* Nobody asked; nothing comes of it. */
static void test_h64_nonsense_on_the_channel(void **state)
{
	struct client cl;
	unsigned int seed = 21;
	uint8_t buf[512];

	open_blk(&cl, state, VU_P_USUAL);
	conf_product_only("others do not read it");
	for (unsigned int i = 0; i < 50; i++) {
		vu_open_back(&cl.vu);
		for (size_t k = 0; k < sizeof(buf); k++) {
			buf[k] = (uint8_t)rand_r(&seed);
		}
		(void)vu_write(cl.vu.back, buf, 1 + i * 10, NULL, 0);
		assert_true(vu_is_alive(&cl.vu));
	}
	client_run(&cl, BLK_FEATURES, 1, NUM);
	assert_true(blk_works(&cl));
}

/* ---- notifications in band ---- */

/* No eventfd at all. */
static void start_in_band(struct client *cl, void **state)
{
	struct client_vq *q = &cl->vqs[0];

	open_blk(cl, state, VU_P_USUAL | VU_P_INBAND);
	vu_open_back(&cl->vu);
	client_negotiate(cl, BLK_FEATURES);
	client_map(cl);
	client_vq_init(cl, 0, NUM);
	assert_int_equal(vu_set_state(&cl->vu, VU_SET_VRING_NUM, 0, NUM), 0);
	assert_int_equal(vu_set_state(&cl->vu, VU_SET_VRING_BASE, 0,
				      ring_base(&q->ring)),
			 0);
	client_vq_set_addr(cl, 0);
	client_vq_enable(cl, 0);
	client_driver_ok(cl);
}

static void test_kick_and_call_in_band(void **state)
{
	struct client cl;

	start_in_band(&cl, state);
	for (unsigned int i = 0; i < 50; i++) {
		struct vu_msg msg;
		uint32_t written;
		uint16_t id;

		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		ring_arm(&cl.vqs[0].ring);
		assert_int_equal(vu_set_state(&cl.vu, VU_VRING_KICK, 0, 0), 0);
		assert_int_equal(vu_back_recv(&cl.vu, &msg, CONF_WAIT_MS, 0),
				 0);
		assert_int_equal(msg.hdr.request, VU_BACKEND_VRING_CALL);
		assert_int_equal(msg.p.state.index, 0);
		assert_true(ring_pop(&cl.vqs[0].ring, &id, &written));
		assert_int_equal(blk_status(&cl, 0), BLK_S_OK);
	}
}

static void test_h60_kicks_in_band_for_rings_that_are_not(void **state)
{
	struct client cl;

	start_in_band(&cl, state);
	assert_int_equal(vu_set_state(&cl.vu, VU_VRING_KICK, 4000, 0),
			 VU_REFUSED);
	assert_int_equal(vu_set_state(&cl.vu, VU_VRING_KICK, ~0U, 0),
			 VU_REFUSED);
	assert_true(vu_is_alive(&cl.vu));
}

/* ---- I/O translation ---- */

/* All that is asked for is answered, page by page, with memory at that
 * distance. Return: misses answered */
static unsigned int serve_misses(struct client *cl, unsigned long ms)
{
	unsigned long end = conf_now_ms() + ms;
	unsigned int n = 0;
	struct vu_msg msg;

	while (conf_now_ms() < end) {
		uint64_t page;

		if (vu_recv(&cl->vu, cl->vu.back, &msg, 1) != 0) {
			if (blk_status(cl, 0) != BLK_S_NONE) {
				break;
			}
			continue;
		}
		assert_int_equal(msg.hdr.request, VU_BACKEND_IOTLB_MSG);
		assert_int_equal(msg.p.iotlb.type, VU_IOTLB_MISS);
		assert_in_range(msg.p.iotlb.perm, 1, 3);
		page = msg.p.iotlb.iova & ~(PAGE - 1);
		assert_in_range(page, CLIENT_IOVA,
				CLIENT_IOVA + cl->mem.size - PAGE);
		if (msg.hdr.flags & VU_NEED_REPLY) {
			uint64_t zero = 0;

			assert_int_equal(vu_send(cl->vu.back, msg.hdr.request,
						 VU_REPLY, &zero, sizeof(zero),
						 NULL, 0),
					 0);
		}
		assert_int_equal(vu_iotlb(&cl->vu, VU_IOTLB_UPDATE, page, PAGE,
					  cl->mem.va + (page - CLIENT_IOVA), 3),
				 0);
		n++;
	}
	return n;
}

/* Ring addresses are I/O addresses, too. */
static void start_translated(struct client *cl, void **state)
{
	struct client_vq *q = &cl->vqs[0];
	const char *path = getenv("CONFORMANCE_IOMMU");
	struct vu_addr addr = { 0 };

	if (!path) {
		conf_skip("no disk that offers ACCESS_PLATFORM");
	}
	client_open_user(cl, *state, path, VU_P_USUAL);
	assert_true(cl->vu.offered & F_ACCESS_PLATFORM);
	vu_require(&cl->vu, VU_P_BACKEND_REQ);
	vu_open_back(&cl->vu);
	client_negotiate(cl, BLK_FEATURES | F_ACCESS_PLATFORM);
	client_map(cl);
	client_vq_init(cl, 0, NUM);
	assert_int_equal(vu_set_state(&cl->vu, VU_SET_VRING_NUM, 0, NUM), 0);
	assert_int_equal(vu_set_state(&cl->vu, VU_SET_VRING_BASE, 0,
				      ring_base(&q->ring)),
			 0);
	addr.desc = q->ring.iova;
	addr.avail = q->ring.iova + RING_DRIVER;
	addr.used = q->ring.iova + RING_DEVICE;
	assert_int_equal(vu_set_addr(&cl->vu, &addr), 0);
	assert_int_equal(
		vu_set_vring_fd(&cl->vu, VU_SET_VRING_CALL, 0, q->call), 0);
	assert_int_equal(
		vu_set_vring_fd(&cl->vu, VU_SET_VRING_KICK, 0, q->kick), 0);
	client_vq_enable(cl, 0);
	client_driver_ok(cl);
}

/* Return: misses */
static unsigned int read_with_misses(struct client *cl, size_t at, uint32_t len)
{
	unsigned int n;
	uint32_t written;
	uint16_t id;

	assert_true(blk_add(cl, 0, BLK_T_IN, 0, client_buf(cl, at), len) >= 0);
	client_kick(&cl->vqs[0]);
	n = serve_misses(cl, CONF_WAIT_MS);
	assert_true(client_wait(&cl->vqs[0], CONF_WAIT_MS, &id, &written));
	assert_int_equal(blk_status(cl, 0), BLK_S_OK);
	return n;
}

static void test_misses_are_asked_for_and_answered(void **state)
{
	struct client cl;

	start_translated(&cl, state);
	for (size_t i = 0; i < 10; i++) {
		/* each page of the data, at least */
		assert_in_range(read_with_misses(&cl, BLK_DATA + i * 0x8000,
						 0x4000),
				4, 32);
	}
}

static void test_what_was_invalidated_is_asked_for_again(void **state)
{
	struct client cl;

	start_translated(&cl, state);
	for (unsigned int i = 0; i < 10; i++) {
		assert_in_range(read_with_misses(&cl, BLK_DATA, 0x2000), 4, 32);
		assert_int_equal(vu_iotlb(&cl.vu, VU_IOTLB_INVALIDATE,
					  CLIENT_IOVA, cl.mem.size, NULL, 0),
				 0);
	}
}

static void test_h65_translations_that_cannot_be(void **state)
{
	struct client cl;
	char *va;

	start_translated(&cl, state);
	va = cl.mem.va;
	{
		const struct {
			uint64_t iova, size;
			const void *va;
			uint8_t perm, type;
		} bad[] = {
			{ 0, 0, va, 3, VU_IOTLB_UPDATE },
			{ 0, PAGE, va + cl.mem.size, 3, VU_IOTLB_UPDATE },
			{ 0, cl.mem.size + PAGE, va, 3, VU_IOTLB_UPDATE },
			{ 0, UINT64_MAX, va, 3, VU_IOTLB_UPDATE },
			{ UINT64_MAX, 2, va, 3, VU_IOTLB_UPDATE },
			{ UINT64_MAX - PAGE + 1, 2 * PAGE, va, 3,
			  VU_IOTLB_UPDATE },
			{ 0, PAGE, NULL, 3, VU_IOTLB_UPDATE },
			{ 0, PAGE, va, 4, VU_IOTLB_UPDATE },
			{ 0, PAGE, va, 3, 0 },
			{ 0, PAGE, va, 3, 7 },
			{ 0, PAGE, va, 3, 255 },
		};

		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			int r = vu_iotlb(&cl.vu, bad[i].type, bad[i].iova,
					 bad[i].size, bad[i].va, bad[i].perm);

			if (r != VU_REFUSED) {
				print_error("translation %zu: %d\n", i, r);
			}
			assert_int_equal(r, VU_REFUSED);
		}
	}
	(void)read_with_misses(&cl, BLK_DATA, 512);
}

/* Whatever is said about addresses that nobody asked for, and everything at
 * once. */
static void test_h65_many_and_overlapping_translations(void **state)
{
	struct client cl;
	unsigned int seed = 65;

	start_translated(&cl, state);
	for (unsigned int i = 0; i < 5000; i++) {
		uint64_t page = (uint64_t)rand_r(&seed) % 10000;
		uint64_t n = 1 + (uint64_t)rand_r(&seed) % 16;

		(void)vu_iotlb(&cl.vu,
			       rand_r(&seed) % 4 ? VU_IOTLB_UPDATE
						 : VU_IOTLB_INVALIDATE,
			       0x10000000 + page * PAGE, n * PAGE, cl.mem.va,
			       (uint8_t)(rand_r(&seed) % 4));
	}
	assert_int_equal(vu_iotlb(&cl.vu, VU_IOTLB_INVALIDATE, 0, UINT64_MAX,
				  NULL, 0),
			 0);
	(void)read_with_misses(&cl, BLK_DATA, 512);
}

/* ---- config changes ---- */

static void test_a_new_capacity_is_announced(void **state)
{
	struct conf *c = *state;
	struct client cl;
	struct vu_msg msg;
	char path[108];
	uint8_t sectors[8];

	conf_product_only("others change without a word");
	tool_require(TOOL_VDPAKIT);
	(void)snprintf(path, sizeof(path), "%s.grows",
		       conf_node_of(CONF_DEVICE_BLK));
	tool_must(TOOL_VDPAKIT,
		  "dev add name grows mgmtdev blk backend mem capacity 1M");
	tool_must(TOOL_VDPAKIT, "dev bind grows vhost_user path %s", path);
	client_open_user(&cl, c, path, VU_P_USUAL);
	if (~cl.vu.offered_protocol & VU_P_BACKEND_REQ) {
		client_close(&cl);
		tool_must(TOOL_VDPAKIT, "dev del grows");
		vu_require(&cl.vu, VU_P_BACKEND_REQ);
	}
	vu_open_back(&cl.vu);
	client_run(&cl, BLK_FEATURES, 1, NUM);
	tool_must(TOOL_VDPAKIT, "dev set name grows capacity 2M");
	assert_int_equal(vu_back_recv(&cl.vu, &msg, CONF_WAIT_MS, 0), 0);
	assert_int_equal(msg.hdr.request, VU_BACKEND_CONFIG_MSG);
	assert_int_equal(client_get_config(&cl, 0, sectors, 8), 0);
	assert_memory_equal(sectors, "\0\x10\0\0\0\0\0\0", 8);
	client_close(&cl);
	tool_must(TOOL_VDPAKIT, "dev del grows");
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_the_channel_may_be_replaced),
	CONF_TEST_BOTH(test_the_channel_may_be_closed_by_us),
	CONF_TEST(test_h64_nonsense_on_the_channel),
	CONF_TEST_BOTH(test_kick_and_call_in_band),
	CONF_TEST(test_h60_kicks_in_band_for_rings_that_are_not),
	CONF_TEST_BOTH(test_misses_are_asked_for_and_answered),
	CONF_TEST_BOTH(test_what_was_invalidated_is_asked_for_again),
	CONF_TEST(test_h65_translations_that_cannot_be),
	CONF_TEST_BOTH(test_h65_many_and_overlapping_translations),
	CONF_TEST(test_a_new_capacity_is_announced),
};

TEST_MAIN("conformance/user_back")
