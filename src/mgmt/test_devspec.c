/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the words that describe a device.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "base/err.h"
#include "lib/test.h"
#include "mgmt/devspec.h"

struct row {
	const char *words;
	int want;
	const char *text; /* JSON, or a part of the message */
};

static void check(const struct row *row, int r, json_t *take_obj)
{
	assert_int_equal(r, row->want);
	if (r == 0) {
		char *text = json_dumps(take_obj, JSON_COMPACT);

		assert_string_equal(text, row->text);
		free(text);
		json_decref(take_obj);
	} else if (!strstr(err_text(r), row->text)) {
		fail_msg("'%s': %s", row->words, err_text(r));
	}
}

static void test_from_words_is_iproute2s_grammar(void **state)
{
	static const struct row rows[] = {
		{ "name n0 mgmtdev m", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\"}" },
		{ "mgmtdev pci/m name n0", 0,
		  "{\"mgmtdev\":\"pci/m\",\"name\":\"n0\"}" },
		{ "n n0 m m0", 0, "{\"name\":\"n0\",\"mgmtdev\":\"m0\"}" },
		{ "name n0 mgmtdev m mac 52:54:00:00:00:01 mtu 1500 max_vqp 2 "
		  "device_features 308830028",
		  0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"mac\":"
		  "\"52:54:00:00:00:01\",\"mtu\":1500,\"max_vqp\":2,"
		  "\"device_features\":\"308830028\"}" },
		{ "name n0 mgmtdev m mt 9 d 0x20", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"mtu\":9,"
		  "\"device_features\":\"0x20\"}" },
		{ "name n0 mgmtdev m size 64M file /a=b", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"params\":{\"size\":"
		  "\"64M\",\"file\":\"/a=b\"}}" },
		{ "", -EINVAL, "name NAME is missing" },
		{ "name n0", -EINVAL, "mgmtdev MGMTDEV is missing" },
		{ "mgmtdev m", -EINVAL, "name NAME is missing" },
		{ "name", -EINVAL, "name: a value is missing" },
		{ "name n0 mgmtdev m mac", -EINVAL, "mac: a value is missing" },
		{ "name n0 name n1 mgmtdev m", -EINVAL, "name is given twice" },
		{ "name n0 mgmtdev m size 1 size 2", -EINVAL,
		  "size is given twice" },
		{ "name n0 mgmtdev m mac zz", -EINVAL, "mac: 'zz'" },
		{ "name n0 mgmtdev m mtu 70000", -ERANGE,
		  "mtu: 70000 is above the limit of 65535" },
		{ "name n0 mgmtdev m mtu -1", -EINVAL, "mtu: '-1'" },
		{ "name n0 mgmtdev m mtu 1k", -EINVAL, "mtu: '1k'" },
		{ "name n0 mgmtdev m max_vqp x", -EINVAL, "max_vqp: 'x'" },
		{ "name n0 mgmtdev m device_features xyz", -EINVAL,
		  "device_features: 'xyz'" },
		{ "name n0 mgmtdev m device_features 10000000000000000",
		  -ERANGE, "device_features: " },
		{ "name \xff mgmtdev m", -EINVAL, "name: not UTF-8" },
		{ "name n0 mgmtdev m size \xff", -EINVAL, "size: not UTF-8" },
		{ "name n0 mgmtdev m \xff 1", -ENOMEM, "not UTF-8" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char copy[128], *words[32], *save = NULL;
		json_t *obj = NULL;
		int n = 0, r;

		(void)snprintf(copy, sizeof(copy), "%s", rows[i].words);
		for (char *w = strtok_r(copy, " ", &save); w;
		     w = strtok_r(NULL, " ", &save)) {
			words[n++] = w;
		}
		r = devspec_from_words(n, words, &obj);
		check(&rows[i], r, obj);
	}
}

static void test_from_text_takes_pairs_of_both_kinds(void **state)
{
	static const struct row rows[] = {
		{ "n0 m", 0, "{\"name\":\"n0\",\"mgmtdev\":\"m\"}" },
		{ "  n0\t pci/m  \n", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"pci/m\"}" },
		{ "n0 m mac=52:54:00:00:00:01 mtu 9", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"mac\":"
		  "\"52:54:00:00:00:01\",\"mtu\":9}" },
		{ "n0 m file=/a=b size 1", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"params\":{\"file\":"
		  "\"/a=b\",\"size\":\"1\"}}" },
		{ "n0 m 'file=/a b' x=\"c 'd\" y e'f 'g", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"params\":{\"file\":"
		  "\"/a b\",\"x\":\"c 'd\",\"y\":\"ef g\"}}" },
		{ "n0 m bind d", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"bind\":{\"driver\":"
		  "\"d\"}}" },
		{ "n0 m size=1 bind d path=/a mac x", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"params\":{\"size\":"
		  "\"1\"},\"bind\":{\"driver\":\"d\",\"params\":{\"path\":"
		  "\"/a\",\"mac\":\"x\"}}}" },
		{ "n0 m bind", -EINVAL, "bind: a bus driver is missing" },
		{ "n0 m bind d path", -EINVAL, "path: a value is missing" },
		{ "n0 m x=", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"params\":{\"x\":"
		  "\"\"}}" },
		{ "n0 m x ''", 0,
		  "{\"name\":\"n0\",\"mgmtdev\":\"m\",\"params\":{\"x\":"
		  "\"\"}}" },
		{ "", -EINVAL, "is not like \"NAME MGMTDEV" },
		{ "n0", -EINVAL, "is not like \"NAME MGMTDEV" },
		{ "n0 m x", -EINVAL, "x: a value is missing" },
		{ "n0 m 'x", -EINVAL, "a quotation mark ' is missing" },
		{ "n0 m name=n1", -EINVAL, "name is given twice" },
		{ "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a "
		  "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a "
		  "a a a a a",
		  -EINVAL, "more than 64 words" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *obj = NULL;
		int r = devspec_from_text(rows[i].words, &obj);

		check(&rows[i], r, obj);
	}
}

static void test_take_bind_makes_two_calls_of_it(void **state)
{
	json_t *obj, *bind;
	const struct row add = { "", 0, "{\"name\":\"n0\",\"mgmtdev\":\"m\"}" };
	const struct row rest = { "", 0, "{\"driver\":\"d\",\"name\":\"n0\"}" };

	assert_int_equal(devspec_from_text("n0 m bind d", &obj), 0);
	assert_int_equal(devspec_take_bind(obj, &bind), 0);
	check(&rest, 0, bind);
	assert_int_equal(devspec_take_bind(obj, &bind), 0);
	assert_null(bind);
	check(&add, 0, obj);
}

static void test_word_matches_is_a_beginning(void **state)
{
	assert_true(word_matches("s", "show"));
	assert_true(word_matches("show", "show"));
	assert_false(word_matches("shows", "show"));
	assert_false(word_matches("h", "show"));
	assert_false(word_matches("", "show"));
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_from_words_is_iproute2s_grammar),
	cmocka_unit_test(test_from_text_takes_pairs_of_both_kinds),
	cmocka_unit_test(test_take_bind_makes_two_calls_of_it),
	cmocka_unit_test(test_word_matches_is_a_beginning),
};

TEST_MAIN("devspec")
