/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of output: the very bytes of iproute2's vdpa 6.1 for the same objects.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/output.h"
#include "lib/test.h"

#define NET_FEATURES                                                \
	"\"MTU\",\"MAC\",\"STATUS\",\"CTRL_VQ\",\"CTRL_MAC_ADDR\"," \
	"\"ANY_LAYOUT\",\"VERSION_1\",\"ACCESS_PLATFORM\""

static const char mgmtdevs[] =
	"{\"mgmtdev\":{\"vdpasim_net\":{\"supported_classes\":[\"net\"],"
	"\"max_supported_vqs\":3,\"dev_features\":[" NET_FEATURES ",45]},"
	"\"pci/x\":{\"supported_classes\":[\"block\",\"< unknown class >\"],"
	"\"max_supported_vqs\":0,\"dev_features\":[1,2,\"VERSION_1\"]}}}";

static const char devs[] =
	"{\"dev\":{\"vdpa0\":{\"type\":\"network\",\"mgmtdev\":"
	"\"vdpasim_net\",\"vendor_id\":0,\"max_vqs\":3,\"max_vq_size\":256},"
	"\"x0\":{\"type\":\"<unknown type>\",\"mgmtdev\":\"pci/x\","
	"\"vendor_id\":0,\"max_vqs\":1,\"max_vq_size\":256}}}";

static const char configs[] =
	"{\"config\":{\"vdpa0\":{\"mac\":\"52:54:00:01:02:03\",\"link \":"
	"\"up\",\"link_announce \":false,\"max_vq_pairs\":2,\"mtu\":1500,"
	"\"negotiated_features\":[" NET_FEATURES "]},\"blk0\":{}}}";

static const char vstats[] =
	"{\"vstats\":{\"vdpa0\":{\"queue_type\":\"rx\",\"rx packets\":7,"
	"\"rx bytes\":700}}}";

static const char *print(const char *json, const char *key,
			 void (*text)(FILE *f, json_t *list), bool is_pretty)
{
	static char buf[4096];
	json_t *obj = json_loads(json, 0, NULL);
	FILE *f = fmemopen(buf, sizeof(buf), "w");

	assert_non_null(obj);
	assert_non_null(f);
	if (text) {
		text(f, json_object_get(obj, key));
	} else {
		output_json(f, obj, is_pretty);
	}
	assert_int_equal(fclose(f), 0);
	json_decref(obj);
	return buf;
}

static void test_json_is_compact(void **state)
{
	static const char *const all[] = { mgmtdevs, devs, configs, vstats };
	char want[4096];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		(void)snprintf(want, sizeof(want), "%s\n", all[i]);
		assert_string_equal(print(all[i], NULL, NULL, false), want);
	}
}

static void test_json_pretty_is_json_writers(void **state)
{
	assert_string_equal(
		print(configs, NULL, NULL, true),
		"{\n"
		"    \"config\": {\n"
		"        \"vdpa0\": {\n"
		"            \"mac\": \"52:54:00:01:02:03\",\n"
		"            \"link \": \"up\",\n"
		"            \"link_announce \": false,\n"
		"            \"max_vq_pairs\": 2,\n"
		"            \"mtu\": 1500,\n"
		"            \"negotiated_features\": [ \"MTU\",\"MAC\","
		"\"STATUS\",\"CTRL_VQ\",\"CTRL_MAC_ADDR\",\"ANY_LAYOUT\","
		"\"VERSION_1\",\"ACCESS_PLATFORM\" ]\n"
		"        },\n"
		"        \"blk0\": {}\n"
		"    }\n"
		"}\n");
}

static void test_text_of_mgmtdevs(void **state)
{
	assert_string_equal(
		print(mgmtdevs, "mgmtdev", output_mgmtdevs, false),
		"vdpasim_net: \n"
		"  supported_classes net\n"
		"  max_supported_vqs 3\n"
		"  dev_features MTU MAC STATUS CTRL_VQ CTRL_MAC_ADDR "
		"ANY_LAYOUT VERSION_1 ACCESS_PLATFORM bit_45\n"
		"pci/x: \n"
		"  supported_classes block < unknown class >\n"
		"  max_supported_vqs 0\n"
		"  dev_features bit_1 bit_2 VERSION_1\n");
	/* Keys of our own follow. */
	assert_string_equal(
		print("{\"mgmtdev\":{\"x\":{\"keys\":{\"size\":{\"value\":"
		      "\"SIZE\",\"help\":\"of the disk\"}}}}}",
		      "mgmtdev", output_mgmtdevs, false),
		"x: \n  key size SIZE: of the disk\n");
}

static void test_text_of_devs(void **state)
{
	assert_string_equal(
		print(devs, "dev", output_devs, false),
		"vdpa0: type network mgmtdev vdpasim_net vendor_id 0 max_vqs 3 "
		"max_vq_size 256\n"
		"x0: type <unknown type> mgmtdev pci/x vendor_id 0 max_vqs 1 "
		"max_vq_size 256\n");
	assert_string_equal(
		print("{\"dev\":{\"n\":{\"max_vqs\":3,\"driver\":"
		      "\"vhost_vdpa\",\"path\":\"/dev/vhost-vdpa-0\","
		      "\"status\":15}}}",
		      "dev", output_devs, false),
		"n: max_vqs 3 driver vhost_vdpa path /dev/vhost-vdpa-0 status "
		"0xf\n");
}

static void test_text_of_configs_and_vstats(void **state)
{
	assert_string_equal(
		print(configs, "config", output_configs, false),
		"vdpa0: mac 52:54:00:01:02:03 link up link_announce false "
		"max_vq_pairs 2 mtu 1500 \n"
		"  negotiated_features MTU MAC STATUS CTRL_VQ CTRL_MAC_ADDR "
		"ANY_LAYOUT VERSION_1 ACCESS_PLATFORM\n"
		"blk0: \n");
	assert_string_equal(print(vstats, "vstats", output_vstats, false),
			    "vdpa0: queue_type rx rx packets 7 rx bytes 700 "
			    "\n");
}

static void test_text_of_drivers_and_status(void **state)
{
	assert_string_equal(
		print("{\"driver\":{\"vhost_vdpa\":{\"devices\":[\"a\","
		      "\"b\"]},\"x\":{\"devices\":[],\"keys\":{\"path\":{"
		      "\"value\":\"PATH\",\"help\":\"socket\"}}}}}",
		      "driver", output_drivers, false),
		"vhost_vdpa: devices a b\nx: devices\n  key path PATH: "
		"socket\n");
	assert_string_equal(
		print("{\"status\":{\"version\":\"1\",\"private\":true,"
		      "\"n\":7}}",
		      "status", output_status, false),
		"version 1\nprivate true\nn 7\n");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_json_is_compact),
	cmocka_unit_test(test_json_pretty_is_json_writers),
	cmocka_unit_test(test_text_of_mgmtdevs),
	cmocka_unit_test(test_text_of_devs),
	cmocka_unit_test(test_text_of_configs_and_vstats),
	cmocka_unit_test(test_text_of_drivers_and_status),
};

TEST_MAIN("cli_output")
