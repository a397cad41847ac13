/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the generic netlink family "vdpa" with hostile clients.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "mgmt/test_mgmt_netlink_rig.h"

static void test_bad_attributes_are_refused(void **state)
{
	static const struct {
		uint16_t type;
		uint16_t len;
		int want;
		const char *text;
	} cases[] = {
		{ 0, 4, -EINVAL, "Unknown attribute type" },
		{ 38, 4, -EINVAL, "Unknown attribute type" },
		{ 0x3fff, 4, -EINVAL, "Unknown attribute type" },
		{ 3, 8, -EINVAL, "Unsupported attribute" },
		{ 37, 8, -EINVAL, "Unsupported attribute" },
		{ 0x8000 | 4, 4, -EINVAL, "NLA_F_NESTED not expected" },
		{ 10, 5, -ERANGE, "binary attribute size out of range" },
		{ 10, 7, -ERANGE, "binary attribute size out of range" },
		{ 12, 1, -EINVAL, "invalid attribute length" },
		{ 13, 4, -EINVAL, "invalid attribute length" },
		{ 17, 2, -EINVAL, "invalid attribute length" },
		{ 20, 4, -EINVAL, "invalid attribute length" },
		{ 20, 9, -EINVAL, "invalid attribute length" },
		{ 4, 0, -ERANGE, "Attribute failed policy validation" },
	};
	static const uint8_t zero[16];
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		vdpa(fx, ACK, DEV_NEW);
		nl_put_str(&fx->w, 4, "x");
		nl_put(&fx->w, cases[i].type, zero, cases[i].len);
		talk(fx);
		check_error(fx, cases[i].want, cases[i].text);
	}
	assert_int_equal(fx->fake.n_devs, 2);
}

/* H63: every shorter length of a good message, in each length field. */
static void test_cut_messages_h63_are_refused(void **state)
{
	struct fixture *fx = *state;
	uint8_t *msg = fx->out;
	uint32_t whole;
	uint16_t attr;

	vdpa(fx, ACK, DEV_NEW);
	nl_put_u64(&fx->w, 20, 0x20);
	nl_put_str(&fx->w, 2, "fakenet");
	nl_put_str(&fx->w, 4, "net9abc");
	nl_end(&fx->w, fx->at);
	whole = (uint32_t)fx->w.len;
	for (uint32_t len = 0; len < whole; len++) {
		/* The datagram ends early: dropped, as the kernel does. */
		memcpy(msg, &whole, 4);
		send_bytes(fx, msg, len);
		assert_int_equal(fx->client.in_len, 0);
		/* The message says that it does. */
		memcpy(msg, &len, 4);
		send_bytes(fx, msg, whole);
		assert_int_equal(fake_find(&fx->fake, "net9abc") ? 1 : 0, 0);
	}
	memcpy(msg, &whole, 4);
	for (unsigned int len = 0; len <= 0xffff; len++) {
		attr = (uint16_t)len;
		memcpy(msg + 20, &attr, 2);
		if (attr == 12) {
			continue;
		}
		send_bytes(fx, msg, whole);
		assert_null(fake_find(&fx->fake, "net9abc"));
	}
	attr = 12;
	memcpy(msg + 20, &attr, 2);
	send_bytes(fx, msg, whole);
	assert_non_null(fake_find(&fx->fake, "net9abc"));
	fx->w.len = 0;
}

static void test_one_datagram_holds_many_messages_but_one_dump(void **state)
{
	struct fixture *fx = *state;
	unsigned int n_acks = 0, n_done = 0, n_busy = 0;
	struct msg m;
	size_t pos = 0;

	for (int i = 0; i < 20; i++) {
		vdpa(fx, ACK, DEV_DEL);
		nl_put_str(&fx->w, 4, "none");
		nl_end(&fx->w, fx->at);
		vdpa(fx, DUMP, DEV_GET);
		nl_end(&fx->w, fx->at);
	}
	talk(fx);
	while (next_msg(fx, &pos, &m)) {
		int code = 0;

		if (m.type == NLMSG_DONE) {
			n_done++;
		} else if (m.type == NLMSG_ERROR) {
			memcpy(&code, m.body, 4);
			n_acks += code == -ENODEV;
			n_busy += code == -EBUSY;
		}
	}
	assert_int_equal(n_acks, 20);
	assert_int_equal(n_done, 1);
	assert_int_equal(n_busy, 19);
}

static void test_long_request_is_not_quoted_back(void **state)
{
	static const uint8_t junk[8000];
	struct fixture *fx = *state;
	struct msg m;
	size_t pos = 0;

	vdpa(fx, ACK, DEV_GET);
	nl_put(&fx->w, 3, junk, sizeof(junk));
	talk(fx);
	check_error(fx, -EINVAL, "Unsupported attribute");
	assert_true(next_msg(fx, &pos, &m));
	assert_true(m.flags & NLM_F_CAPPED);
	assert_in_range(m.len, 36, 200);
}

/* H64, H90: random bytes in random places of good messages. */
static void test_random_messages_h64_do_no_harm(void **state)
{
	struct fixture *fx = *state;
	unsigned int seed = 42;

	for (unsigned int i = 0; i < 50000; i++) {
		uint8_t *msg = fx->out;
		size_t len;

		vdpa(fx, (uint32_t)rand_r(&seed) & 1 ? ACK : DUMP,
		     (uint32_t)rand_r(&seed) % 10);
		nl_put_str(&fx->w, 2, "fakenet");
		nl_put_str(&fx->w, 4,
			   (uint32_t)rand_r(&seed) & 1 ? "net0" : "x");
		nl_put_u32(&fx->w, 17, (uint32_t)rand_r(&seed));
		nl_put_u64(&fx->w, 20, (uint32_t)rand_r(&seed));
		nl_end(&fx->w, fx->at);
		len = fx->w.len;
		fx->w.len = 0;
		for (uint32_t n = (uint32_t)rand_r(&seed) % 4; n > 0; n--) {
			msg[16 + (uint32_t)rand_r(&seed) % (len - 16)] =
				(uint8_t)(uint32_t)rand_r(&seed);
		}
		send_bytes(fx, msg, len - (uint32_t)rand_r(&seed) % 4);
		if (fx->fake.n_devs > 50) {
			fake_unregister(&fx->fake);
			fake_register(&fx->fake, fx->bus);
		}
	}
}

static const struct CMUnitTest tests[] = {
	T(test_bad_attributes_are_refused),
	T(test_cut_messages_h63_are_refused),
	T(test_one_datagram_holds_many_messages_but_one_dump),
	T(test_long_request_is_not_quoted_back),
	T(test_random_messages_h64_do_no_harm),
};

TEST_MAIN("mgmt_netlink_hostile")
