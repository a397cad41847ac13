/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the codec of netlink messages.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "base/err.h"
#include "base/nlmsg.h"
#include "lib/test.h"

static void test_writer_stops_at_its_end(void **state)
{
	uint8_t buf[24 + 4];
	struct nl_writer w = { .buf = buf, .size = 24 };
	struct nl_head head = { .type = 1 };

	memset(buf, 0xaa, sizeof(buf));
	(void)nl_begin(&w, &head);
	nl_put_u32(&w, 1, 7);
	assert_false(w.is_full);
	assert_int_equal(w.len, 24);
	nl_put_u8(&w, 2, 7);
	assert_true(w.is_full);
	assert_int_equal(w.len, 24);
	assert_int_equal(buf[24], 0xaa);
	w.len = 0;
	w.is_full = false;
	nl_put(&w, 1, buf, 65535);
	assert_true(w.is_full);
}

static void test_attrs_keep_the_last_of_several(void **state)
{
	static const struct nl_policy policy[] = {
		[1] = { NL_U32, 0 },
		[2] = { NL_STRING, 0 },
	};
	uint8_t buf[64];
	struct nl_writer w = { .buf = buf, .size = sizeof(buf) };
	struct nl_attrs attrs;
	char text[4];

	nl_put_u32(&w, 1, 7);
	nl_put_u32(&w, 1, 8);
	nl_put(&w, 2, "abcdef", 6);
	assert_int_equal(nl_attrs_parse(buf, w.len, policy, 2, &attrs), 0);
	assert_int_equal(nl_get_u32(&attrs, 1), 8);
	nl_get_str(&attrs, 2, text, sizeof(text));
	assert_string_equal(text, "abc");
	assert_int_equal(nl_attrs_parse(buf, 0, policy, 2, &attrs), 0);
	assert_false(nl_has(&attrs, 1));
	assert_int_equal(nl_attrs_parse(buf, 3, policy, 2, &attrs), -EINVAL);
	assert_string_equal(err_text(-EINVAL),
			    "bytes leftover after parsing attributes");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_writer_stops_at_its_end),
	cmocka_unit_test(test_attrs_keep_the_last_of_several),
};

TEST_MAIN("nlmsg")
