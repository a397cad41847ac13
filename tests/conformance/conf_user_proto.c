/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: vhost-user, the protocol itself. Negotiation, acknowledgements,
 * status, config space, reset.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "lib/blk.h"
#include "lib/net.h"

static const char *blk_path(void)
{
	return conf_node_of(CONF_DEVICE_BLK);
}

static void start(struct vu *vu, void **state, uint64_t protocol)
{
	vu_connect(vu, *state, blk_path(), protocol);
}

/* ---- features ---- */

static void test_features_are_modern_and_extensible(void **state)
{
	struct vu vu;

	start(&vu, state, 0);
	assert_true(vu.offered & F_VERSION_1);
	assert_true(vu.offered & VU_F_PROTOCOL);
}

static void test_features_stay_the_same(void **state)
{
	uint64_t features;
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vu_get_u64(&vu, VU_GET_FEATURES, &features),
				 0);
		assert_int_equal(features, vu.offered);
	}
	assert_int_equal(vu_set_u64(&vu, VU_SET_FEATURES,
				    F_VERSION_1 | VU_F_PROTOCOL),
			 0);
	assert_int_equal(vu_get_u64(&vu, VU_GET_FEATURES, &features), 0);
	assert_int_equal(features, vu.offered);
}

static void test_features_that_are_not_offered_are_refused(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	conf_product_only("others take what they do not know");
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (!(vu.offered >> bit & 1)) {
			assert_int_equal(vu_set_u64(&vu, VU_SET_FEATURES,
						    F_VERSION_1 | 1ULL << bit),
					 VU_REFUSED);
		}
	}
	assert_true(vu_is_alive(&vu));
}

static void test_features_may_be_set_twice(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t features = F_VERSION_1 | VU_F_PROTOCOL |
				    (i % 2 ? F_EVENT_IDX : 0);

		assert_int_equal(vu_set_u64(&vu, VU_SET_FEATURES, features), 0);
		assert_int_equal(vu_set_u64(&vu, VU_SET_FEATURES, features), 0);
	}
}

/* ---- protocol features ---- */

static void test_protocol_features_come_before_features(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_REPLY_ACK); /* no SET_FEATURES yet */
	vu_require(&vu, VU_P_REPLY_ACK);
	assert_int_equal(vu_tell(&vu, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
}

static void test_protocol_features_outlive_features(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_REPLY_ACK | VU_P_MQ);
	vu_require(&vu, VU_P_REPLY_ACK);
	/* without bit 30, which need not be acknowledged */
	assert_int_equal(vu_set_u64(&vu, VU_SET_FEATURES, F_VERSION_1), 0);
	assert_int_equal(vu_set_u64(&vu, VU_SET_FEATURES,
				    F_VERSION_1 | VU_F_PROTOCOL),
			 0);
}

static void test_protocol_features_that_a_back_end_should_have(void **state)
{
	struct vu vu;

	start(&vu, state, 0);
	assert_true(vu.offered_protocol & VU_P_MQ);
	assert_true(vu.offered_protocol & VU_P_CONFIG);
	conf_product_only("others may lack these");
	vu_require(&vu, VU_P_REPLY_ACK | VU_P_RESET_DEVICE | VU_P_MEM_SLOTS |
				VU_P_STATUS);
}

static void test_protocol_features_not_offered_are_refused(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	conf_product_only("others take what they do not know");
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (!(vu.offered_protocol >> bit & 1)) {
			assert_int_equal(vu_set_u64(&vu,
						    VU_SET_PROTOCOL_FEATURES,
						    vu.protocol | 1ULL << bit),
					 VU_REFUSED);
		}
	}
	/* What was agreed on before holds. */
	assert_true(vu_is_alive(&vu));
	assert_int_equal(vu_tell(&vu, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
}

static void test_in_band_without_its_two_companions_closes(void **state)
{
	static const uint64_t lacking[] = {
		VU_P_INBAND,
		VU_P_INBAND | VU_P_REPLY_ACK,
		VU_P_INBAND | VU_P_BACKEND_REQ,
	};
	struct vu vu;

	for (size_t i = 0; i < ARRAY_LEN(lacking); i++) {
		start(&vu, state, 0);
		vu_require(&vu, VU_P_INBAND);
		assert_int_equal(vu_send(vu.fd, VU_SET_PROTOCOL_FEATURES, 0,
					 &lacking[i], 8, NULL, 0),
				 0);
		assert_true(vu_is_closed(&vu));
		vu_close(&vu);
	}
}

/* ---- acknowledgements ---- */

struct request {
	const char *name;
	uint32_t id;
	uint32_t size;
	uint64_t needs;
	union vu_payload p;
	enum {
		NO_FD,
		EVENT_FD,
		MEMORY_FD
	} fd;
};

/* Each message that has no reply of its own, as it should be, in an order in
 * which all of them make sense. */
static const struct request requests[] = {
#define R(name, ...)                          \
	{                                     \
#name, VU_##name, __VA_ARGS__ \
	}
	R(SET_OWNER, 0),
	R(SET_PROTOCOL_FEATURES, 8,
	  .p.u64 = VU_P_REPLY_ACK | VU_P_MQ | VU_P_CONFIG | VU_P_STATUS |
		   VU_P_RESET_DEVICE | VU_P_MEM_SLOTS),
	R(SET_FEATURES, 8, .p.u64 = F_VERSION_1 | VU_F_PROTOCOL),
	R(SET_STATUS, 8, VU_P_STATUS, .p.u64 = 3),
	R(SET_MEM_TABLE, 40, .fd = MEMORY_FD,
	  .p.table = { 1, 0, { { 0, 0x10000, 0x7000000, 0 } } }),
	R(ADD_MEM_REG, 40, VU_P_MEM_SLOTS, .fd = MEMORY_FD,
	  .p.region = { 0, { 0x10000, 0x10000, 0x8000000, 0 } }),
	R(REM_MEM_REG, 40, VU_P_MEM_SLOTS,
	  .p.region = { 0, { 0x10000, 0x10000, 0x8000000, 0 } }),
	R(SET_VRING_NUM, 8, .p.state = { 0, 16 }),
	R(SET_VRING_BASE, 8, .p.state = { 0, 0 }),
	R(SET_VRING_ADDR, 40,
	  .p.addr = { 0, 0, 0x7000000, 0x7001000, 0x7002000, 0 }),
	R(SET_VRING_ERR, 8, .fd = EVENT_FD),
	R(SET_VRING_CALL, 8, .fd = EVENT_FD),
	R(SET_VRING_KICK, 8, .fd = EVENT_FD),
	R(SET_VRING_ENABLE, 8, .p.state = { 0, 1 }),
	R(SET_VRING_ENABLE, 8, .p.state = { 0, 0 }),
	R(SET_CONFIG, VU_CONFIG_HEAD + 1, VU_P_CONFIG,
	  .p.config = { 32, 1, 1, { 1 } }),
	R(RESET_DEVICE, 0, VU_P_RESET_DEVICE),
	R(RESET_OWNER, 0),
#undef R
};

/* Return: descriptors of the request, 0 or 1 */
static unsigned int fd_of(struct conf *c, const struct request *r, int *ret)
{
	static struct conf_mem mem;

	if (r->fd == EVENT_FD) {
		*ret = conf_eventfd(c, 0);
	} else if (r->fd == MEMORY_FD) {
		mem = conf_memfd(c, 0x10000);
		*ret = mem.fd;
	}
	return r->fd != NO_FD;
}

static bool is_offered(const struct vu *vu, const struct request *r)
{
	return (r->needs & ~vu->offered_protocol) == 0;
}

static void send_all(struct vu *vu, uint32_t flags, bool has_reply)
{
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		const struct request *r = &requests[i];
		struct vu_msg msg;
		unsigned int n;
		int fd = -1;

		if (!is_offered(vu, r) ||
		    (r->id == VU_SET_PROTOCOL_FEATURES && !has_reply)) {
			continue;
		}
		n = fd_of(vu->c, r, &fd);
		assert_int_equal(vu_send(vu->fd, r->id, flags, &r->p, r->size,
					 &fd, n),
				 0);
		if (!has_reply) {
			/* What comes next is the reply to the next one. */
			assert_true(vu_is_alive(vu));
			continue;
		}
		assert_int_equal(vu_recv(vu, vu->fd, &msg, CONF_WAIT_MS), 0);
		assert_int_equal(msg.hdr.request, r->id);
		assert_int_equal(msg.hdr.flags, VU_VERSION | VU_REPLY);
		assert_int_equal(msg.hdr.size, 8);
		assert_int_equal(msg.n_fds, 0);
		if (msg.p.u64 != 0) {
			print_error("%s: %llu\n", r->name,
				    (unsigned long long)msg.p.u64);
		}
		assert_int_equal(msg.p.u64, 0);
	}
}

static void test_ack_for_each_message_that_asks(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	conf_product_only("not all others know all of these messages");
	vu_require(&vu, VU_P_REPLY_ACK);
	send_all(&vu, VU_NEED_REPLY, true);
}

static void test_no_ack_for_a_message_that_does_not_ask(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	conf_product_only("not all others know all of these messages");
	send_all(&vu, 0, false);
}

static void test_no_ack_when_not_agreed_on(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_USUAL & ~VU_P_REPLY_ACK);
	conf_product_only("not all others know all of these messages");
	send_all(&vu, VU_NEED_REPLY, false);
}

static void test_one_reply_to_a_request_that_has_its_own(void **state)
{
	struct vu vu;
	struct vu_msg msg;

	start(&vu, state, VU_P_USUAL);
	vu_require(&vu, VU_P_REPLY_ACK);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vu_send(vu.fd, VU_GET_FEATURES, VU_NEED_REPLY,
					 NULL, 0, NULL, 0),
				 0);
		assert_int_equal(vu_recv(&vu, vu.fd, &msg, CONF_WAIT_MS), 0);
		assert_int_equal(msg.p.u64, vu.offered);
		assert_int_equal(vu_tell(&vu, VU_SET_OWNER, NULL, 0, NULL, 0),
				 0);
	}
}

static void test_refused_messages_change_nothing(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	conf_product_only("others close the connection");
	assert_int_equal(vu_set_state(&vu, VU_SET_VRING_NUM, 0, 16), 0);
	assert_int_equal(vu_set_state(&vu, VU_SET_VRING_NUM, 0, 0), VU_REFUSED);
	assert_int_equal(vu_set_state(&vu, VU_SET_VRING_NUM, 0, 65536),
			 VU_REFUSED);
	assert_int_equal(vu_set_state(&vu, VU_SET_VRING_NUM, 4000, 16),
			 VU_REFUSED);
	assert_true(vu_is_alive(&vu));
}

static void test_refused_without_an_ack_closes(void **state)
{
	struct vu vu;

	start(&vu, state, 0);
	conf_product_only("others go on regardless");
	assert_int_equal(vu_set_state(&vu, VU_SET_VRING_NUM, 4000, 16), -EPIPE);
}

/* Features that gate messages, and one message of each. */
static void test_messages_of_features_not_agreed_on_are_refused(void **state)
{
	static const struct request gated[] = {
		{ "SET_STATUS", VU_SET_STATUS, 8, VU_P_STATUS, { 0 }, NO_FD },
		{ "RESET",
		  VU_RESET_DEVICE,
		  0,
		  VU_P_RESET_DEVICE,
		  { 0 },
		  NO_FD },
		{ "MTU", VU_NET_SET_MTU, 8, VU_P_MTU, { 1500 }, NO_FD },
		{ "RARP", VU_SEND_RARP, 8, VU_P_RARP, { 0 }, NO_FD },
		{ "CHANNEL",
		  VU_SET_BACKEND_REQ_FD,
		  0,
		  VU_P_BACKEND_REQ,
		  { 0 },
		  EVENT_FD },
		{ "KICK", VU_VRING_KICK, 8, VU_P_INBAND, { 0 }, NO_FD },
		{ "LISTEN",
		  VU_POSTCOPY_LISTEN,
		  0,
		  VU_P_PAGEFAULT,
		  { 0 },
		  NO_FD },
		{ "ADD",
		  VU_ADD_MEM_REG,
		  40,
		  VU_P_MEM_SLOTS,
		  { .region = { 0, { 0, 0x10000, 0, 0 } } },
		  MEMORY_FD },
	};
	struct vu vu;

	start(&vu, state, VU_P_REPLY_ACK);
	conf_product_only("others do not look");
	for (size_t i = 0; i < ARRAY_LEN(gated); i++) {
		int fd = -1;
		unsigned int n = fd_of(*state, &gated[i], &fd);

		assert_int_equal(vu_tell(&vu, gated[i].id, &gated[i].p,
					 gated[i].size, &fd, n),
				 VU_REFUSED);
	}
	assert_true(vu_is_alive(&vu));
}

static void test_unknown_requests_are_refused(void **state)
{
	static const uint32_t unknown[] = { 0,	 27,	  33,	      44, 45,
					    100, 0x10000, 0x80000000, ~0U };
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	conf_product_only("others close the connection");
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		assert_int_equal(vu_set_u64(&vu, unknown[i], 1), VU_REFUSED);
	}
	assert_true(vu_is_alive(&vu));
}

/* ---- queues ---- */

static void test_queue_num(void **state)
{
	uint64_t n = 0;
	struct vu vu;

	start(&vu, state, VU_P_MQ);
	assert_int_equal(vu_get_u64(&vu, VU_GET_QUEUE_NUM, &n), 0);
	assert_in_range(n, 1, 256);
}

static void test_mem_slots(void **state)
{
	uint64_t n = 0;
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	vu_require(&vu, VU_P_MEM_SLOTS);
	assert_int_equal(vu_get_u64(&vu, VU_GET_MAX_MEM_SLOTS, &n), 0);
	if (conf_is_kernel()) {
		assert_in_range(n, 8, 65536);
	} else {
		assert_int_equal(n, VU_MEM_SLOTS);
	}
}

/* ---- status and reset ---- */

static void test_status_is_what_was_set(void **state)
{
	uint64_t status = 99;
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	vu_require(&vu, VU_P_STATUS);
	assert_int_equal(vu_get_u64(&vu, VU_GET_STATUS, &status), 0);
	assert_int_equal(status, 0);
	assert_int_equal(vu_set_u64(&vu, VU_SET_FEATURES,
				    F_VERSION_1 | VU_F_PROTOCOL),
			 0);
	for (uint64_t s = 1; s <= 0xf; s = s * 2 + 1) {
		uint64_t want = s == 7 ? 0xb : s; /* FEATURES_OK, DRIVER_OK */

		assert_int_equal(vu_set_u64(&vu, VU_SET_STATUS, want), 0);
		assert_int_equal(vu_get_u64(&vu, VU_GET_STATUS, &status), 0);
		assert_int_equal(status, want);
	}
	assert_int_equal(vu_set_u64(&vu, VU_SET_STATUS, 0), 0);
	assert_int_equal(vu_get_u64(&vu, VU_GET_STATUS, &status), 0);
	assert_int_equal(status, 0);
}

/* H71 */
static void test_h71_features_ok_needs_features(void **state)
{
	uint64_t status = 0;
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	vu_require(&vu, VU_P_STATUS);
	assert_int_equal(vu_set_u64(&vu, VU_SET_STATUS, 0xb), 0);
	assert_int_equal(vu_get_u64(&vu, VU_GET_STATUS, &status), 0);
	assert_int_equal(status & S_FEATURES_OK, 0);
}

static void test_h71_all_status_values_in_all_orders(void **state)
{
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	vu_require(&vu, VU_P_STATUS);
	for (uint64_t from = 0; from < 256; from += 15) {
		for (uint64_t to = 0; to < 512; to += 7) {
			uint64_t status = 0;

			assert_int_equal(vu_set_u64(&vu, VU_SET_STATUS, 0), 0);
			(void)vu_set_u64(&vu, VU_SET_STATUS, from);
			(void)vu_set_u64(&vu, VU_SET_STATUS, to);
			assert_int_equal(
				vu_get_u64(&vu, VU_GET_STATUS, &status), 0);
			assert_in_range(status, 0, 255);
		}
	}
}

static void reset_by_status(struct client *cl)
{
	assert_int_equal(vu_set_u64(&cl->vu, VU_SET_STATUS, 0), 0);
}

static void reset_by_message(struct client *cl)
{
	assert_int_equal(vu_tell(&cl->vu, VU_RESET_DEVICE, NULL, 0, NULL, 0),
			 0);
}

/* After a reset the same connection starts the device again; memory and call
 * descriptors are the connection's and need not be sent again. */
static void reset_and_start(void **state, uint64_t needs,
			    void (*reset)(struct client *cl))
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	vu_require(&cl.vu, needs);
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(blk_works(&cl));
		reset(&cl);
		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		client_kick(&cl.vqs[0]);
		assert_true(client_is_quiet(&cl.vqs[0]));
		client_negotiate(&cl, BLK_FEATURES);
		client_vq_init(&cl, 0, 16);
		client_vq_set(&cl, 0);
		client_vq_enable(&cl, 0);
		client_driver_ok(&cl);
	}
	assert_true(blk_works(&cl));
}

static void test_reset_by_status(void **state)
{
	reset_and_start(state, VU_P_STATUS, reset_by_status);
}

static void test_reset_device(void **state)
{
	reset_and_start(state, VU_P_RESET_DEVICE, reset_by_message);
}

/* ---- config space ---- */

static void test_config_whole_and_in_parts(void **state)
{
	uint8_t whole[60], part[60];
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	assert_int_equal(vu_get_config(&vu, 0, whole, sizeof(whole)), 0);
	assert_memory_equal(whole, "\0\0\4\0\0\0\0\0", 8); /* 128 MiB */
	conf_product_only("qemu-storage-daemon does not look at the offset");
	for (uint32_t off = 0; off < 60; off += 4) {
		assert_int_equal(vu_get_config(&vu, off, part, 4), 0);
		assert_memory_equal(part, whole + off, 4);
	}
	for (uint32_t len = 1; len <= 60; len++) {
		assert_int_equal(vu_get_config(&vu, 0, part, len), 0);
		assert_memory_equal(part, whole, len);
	}
}

/* H61: where an answer cannot be right it has no payload, and the next question
 * is answered. */
static void test_h61_config_beyond_its_end(void **state)
{
	static const struct {
		uint32_t off, len;
	} bad[] = {
		{ 60, 1 },	   { 256, 1 }, { 257, 4 },	  { ~0U, 4 },
		{ 0x80000000, 8 }, { 0, 0 },   { 0xfffffffc, 4 }, { 1000, 100 },
	};
	uint8_t buf[VU_CONFIG_BYTES];
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	conf_product_only("others close the connection");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(vu_get_config(&vu, bad[i].off, buf,
					       bad[i].len),
				 VU_REFUSED);
	}
	assert_int_equal(vu_get_config(&vu, 0, buf, 8), 0);
}

/* The size inside must be that of the message. */
static void test_h61_config_whose_sizes_differ(void **state)
{
	static const uint32_t sizes[] = {
		0, 1, 7, 9, 256, 257, 0x80000000, ~0U
	};
	uint8_t buf[8];
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	conf_product_only("others close the connection");
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct vu_config config = { .size = sizes[i] };
		struct vu_msg msg;

		assert_int_equal(vu_ask(&vu, VU_GET_CONFIG, &config,
					VU_CONFIG_HEAD + 8, NULL, 0, &msg),
				 0);
		assert_int_equal(msg.hdr.size, 0);
		assert_int_equal(vu_tell(&vu, VU_SET_CONFIG, &config,
					 VU_CONFIG_HEAD + 8, NULL, 0),
				 VU_REFUSED);
	}
	assert_int_equal(vu_get_config(&vu, 0, buf, 8), 0);
}

static void test_config_of_the_device_cannot_be_written(void **state)
{
	uint8_t before[60], after[60], ones[60];
	struct vu vu;

	start(&vu, state, VU_P_USUAL);
	conf_product_only("others crash or close the connection");
	assert_int_equal(vu_get_config(&vu, 0, before, 60), 0);
	memset(ones, 0xff, sizeof(ones));
	(void)vu_set_config(&vu, 0, ones, 8, 0);
	(void)vu_set_config(&vu, 20, ones, 4, 0);
	assert_int_equal(vu_get_config(&vu, 0, after, 60), 0);
	assert_memory_equal(after, before, 60);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_features_are_modern_and_extensible),
	CONF_TEST(test_features_stay_the_same),
	CONF_TEST(test_features_that_are_not_offered_are_refused),
	CONF_TEST(test_features_may_be_set_twice),
	CONF_TEST(test_protocol_features_come_before_features),
	CONF_TEST(test_protocol_features_outlive_features),
	CONF_TEST(test_protocol_features_that_a_back_end_should_have),
	CONF_TEST(test_protocol_features_not_offered_are_refused),
	CONF_TEST(test_in_band_without_its_two_companions_closes),
	CONF_TEST(test_ack_for_each_message_that_asks),
	CONF_TEST(test_no_ack_for_a_message_that_does_not_ask),
	CONF_TEST(test_no_ack_when_not_agreed_on),
	CONF_TEST(test_one_reply_to_a_request_that_has_its_own),
	CONF_TEST(test_refused_messages_change_nothing),
	CONF_TEST(test_refused_without_an_ack_closes),
	CONF_TEST(test_messages_of_features_not_agreed_on_are_refused),
	CONF_TEST(test_unknown_requests_are_refused),
	CONF_TEST(test_queue_num),
	CONF_TEST(test_mem_slots),
	CONF_TEST(test_status_is_what_was_set),
	CONF_TEST(test_h71_features_ok_needs_features),
	CONF_TEST(test_h71_all_status_values_in_all_orders),
	CONF_TEST_BOTH(test_reset_by_status),
	CONF_TEST_BOTH(test_reset_device),
	CONF_TEST(test_config_whole_and_in_parts),
	CONF_TEST(test_h61_config_beyond_its_end),
	CONF_TEST(test_h61_config_whose_sizes_differ),
	CONF_TEST(test_config_of_the_device_cannot_be_written),
};

TEST_MAIN("conformance/user_proto")
