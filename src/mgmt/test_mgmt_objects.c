/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of management objects and their JSON.
 *
 * The texts are what iproute2's vdpa 6.1 printed for the same values.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "base/err.h"
#include "lib/test.h"
#include "mgmt/names.h"
#include "mgmt/objects_json.h"
#include "mgmt/test_fake.h"

struct fixture {
	struct vdpa_bus *bus;
	struct fake fake;
	struct fake_dev *net;
	struct fake_dev *blk;
};

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct vdpa_dev_config config = { 0 };
	struct loop *none[] = { NULL };

	assert_non_null(fx);
	assert_int_equal(vdpa_bus_new(NULL, none, 1, &fx->bus), 0);
	fake_register(&fx->fake, fx->bus);
	assert_int_equal(
		vdpa_dev_add(fx->bus, NULL, "fakenet", "net0", &config), 0);
	assert_int_equal(
		vdpa_dev_add(fx->bus, "pci", "fakeblk", "blk0", &config), 0);
	fx->net = fake_find(&fx->fake, "net0");
	fx->blk = fake_find(&fx->fake, "blk0");
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	fake_unregister(&fx->fake);
	vdpa_bus_free(fx->bus);
	free(fx);
	return 0;
}

static void check_json(json_t *take_obj, const char *want)
{
	char *text;

	assert_non_null(take_obj);
	text = json_dumps(take_obj, JSON_COMPACT);
	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
	json_decref(take_obj);
}

static void test_mgmtdev_json_is_iproute2s(void **state)
{
	struct fixture *fx = *state;

	check_json(mgmt_json_mgmtdev(&fx->fake.net),
		   "{\"supported_classes\":[\"net\"],\"max_supported_vqs\":3,"
		   "\"dev_features\":[\"MTU\",\"MAC\",\"STATUS\",\"CTRL_VQ\","
		   "\"CTRL_MAC_ADDR\",\"ANY_LAYOUT\",\"VERSION_1\","
		   "\"ACCESS_PLATFORM\",40]}");
	fx->fake.blk.n_keys = 0;
	check_json(mgmt_json_mgmtdev(&fx->fake.blk),
		   "{\"supported_classes\":[\"block\"],"
		   "\"max_supported_vqs\":0,\"dev_features\":[1,2,6,9,10,12,"
		   "13,14,27,\"VERSION_1\",\"ACCESS_PLATFORM\"]}");
	fx->fake.blk.classes |= BIT_ULL(5);
	fx->fake.blk.supported_features = 0;
	fx->fake.blk.n_keys = 1;
	check_json(mgmt_json_mgmtdev(&fx->fake.blk),
		   "{\"supported_classes\":[\"block\",\"< unknown class >\"],"
		   "\"max_supported_vqs\":0,\"dev_features\":[],\"keys\":{"
		   "\"size\":{\"value\":\"SIZE\",\"help\":"
		   "\"bytes of the disk\"}}}");
}

static void test_dev_json_is_iproute2s_and_ours(void **state)
{
	struct fixture *fx = *state;
	struct mgmt_dev_info info;

	mgmt_dev_info(&fx->net->vdev, &info);
	check_json(mgmt_json_dev(&info),
		   "{\"type\":\"network\",\"mgmtdev\":\"fakenet\","
		   "\"vendor_id\":0,\"max_vqs\":3,\"max_vq_size\":256,"
		   "\"driver\":\"fakedrv\",\"path\":\"/dev/fake-net0\","
		   "\"status\":0}");
	assert_int_equal(vdpa_dev_unbind(fx->bus, "blk0"), 0);
	fx->blk->device_id = 26;
	mgmt_dev_info(&fx->blk->vdev, &info);
	check_json(mgmt_json_dev(&info),
		   "{\"type\":\"<unknown type>\",\"mgmtdev\":\"pci/fakeblk\","
		   "\"vendor_id\":0,\"max_vqs\":1,\"max_vq_size\":256,"
		   "\"status\":0}");
}

static void test_config_json_is_iproute2s(void **state)
{
	struct fixture *fx = *state;
	struct mgmt_config_info info;

	assert_int_equal(mgmt_config_info(&fx->net->vdev, &info), 0);
	check_json(mgmt_json_config(&info),
		   "{\"mac\":\"52:54:00:01:02:03\",\"link \":\"up\","
		   "\"link_announce \":false,\"mtu\":1500}");
	fx->net->features |= BIT_ULL(22);
	fx->net->config[6] = 2;
	fx->net->config[8] = 1;
	fx->net->status = 0xb;
	fx->net->driver_features = BIT_ULL(3) | BIT_ULL(50);
	assert_int_equal(mgmt_config_info(&fx->net->vdev, &info), 0);
	check_json(mgmt_json_config(&info),
		   "{\"mac\":\"52:54:00:01:02:03\",\"link \":\"down\","
		   "\"link_announce \":true,\"max_vq_pairs\":1,\"mtu\":1500,"
		   "\"negotiated_features\":[\"MTU\",50]}");
	assert_int_equal(mgmt_config_info(&fx->blk->vdev, &info), 0);
	check_json(mgmt_json_config(&info), "{}");
}

/* H82: the config space of a device shrinks. */
static void test_config_info_of_short_config_h82_leaves_fields_out(void **state)
{
	struct fixture *fx = *state;
	struct mgmt_config_info info;

	fx->net->config_size = 11;
	assert_int_equal(mgmt_config_info(&fx->net->vdev, &info), 0);
	assert_null(mgmt_config_find(&info, MGMT_NET_MTU));
	assert_non_null(mgmt_config_find(&info, MGMT_NET_MAC));
	fx->net->config_size = 0;
	assert_int_equal(mgmt_config_info(&fx->net->vdev, &info), 0);
	assert_int_equal(info.n_fields, 0);
}

static void test_config_info_of_blk_has_its_fields(void **state)
{
	static const enum mgmt_field want[] = {
		MGMT_BLK_CAPACITY,
		MGMT_BLK_SIZE_MAX,
		MGMT_BLK_BLK_SIZE,
		MGMT_BLK_SEG_MAX,
		MGMT_BLK_NUM_QUEUES,
		MGMT_BLK_PHY_BLK_EXP,
		MGMT_BLK_ALIGN_OFFSET,
		MGMT_BLK_MIN_IO_SIZE,
		MGMT_BLK_OPT_IO_SIZE,
		MGMT_BLK_MAX_DISCARD_SEC,
		MGMT_BLK_MAX_DISCARD_SEG,
		MGMT_BLK_DISCARD_SEC_ALIGN,
		MGMT_BLK_MAX_WRITE_ZEROES_SEC,
		MGMT_BLK_MAX_WRITE_ZEROES_SEG,
		MGMT_BLK_READ_ONLY,
		MGMT_BLK_FLUSH,
	};
	struct fixture *fx = *state;
	struct mgmt_config_info info;

	assert_int_equal(mgmt_config_info(&fx->blk->vdev, &info), 0);
	assert_int_equal(info.n_fields, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(info.fields[i].id, want[i]);
	}
	assert_int_equal(mgmt_config_find(&info, MGMT_BLK_CAPACITY)->value,
			 0x40000);
	assert_int_equal(mgmt_config_find(&info, MGMT_BLK_BLK_SIZE)->value,
			 512);
	assert_int_equal(mgmt_config_find(&info, MGMT_BLK_READ_ONLY)->value, 0);
	assert_int_equal(mgmt_config_find(&info, MGMT_BLK_FLUSH)->value, 1);
	fx->blk->device_id = 26;
	assert_int_equal(mgmt_config_info(&fx->blk->vdev, &info), -EOPNOTSUPP);
}

static void test_vstats_errors_are_the_kernels(void **state)
{
	struct fixture *fx = *state;
	struct mgmt_vstats_info info;

	assert_int_equal(mgmt_vstats_info(&fx->blk->vdev, 0, &info),
			 -EOPNOTSUPP);
	assert_int_equal(mgmt_vstats_info(&fx->net->vdev, 0, &info), -EAGAIN);
	assert_string_equal(err_text(-EAGAIN),
			    "feature negotiation not complete");
	fx->net->status = 0xb;
	/* H60 */
	assert_int_equal(mgmt_vstats_info(&fx->net->vdev, 3, &info), -EINVAL);
	assert_int_equal(mgmt_vstats_info(&fx->net->vdev, 0x8000, &info),
			 -EINVAL);
	assert_int_equal(mgmt_vstats_info(&fx->net->vdev, 0x8001, &info),
			 -ERANGE);
	assert_int_equal(mgmt_vstats_info(&fx->net->vdev, 0x10000, &info),
			 -ERANGE);
	assert_int_equal(mgmt_vstats_info(&fx->net->vdev, UINT32_MAX, &info),
			 -ERANGE);
}

static void test_vstats_json_names_queues_for_what_they_are(void **state)
{
	static const struct {
		uint64_t negotiated;
		uint16_t max_vqp;
		uint32_t idx;
		const char *want;
	} cases[] = {
		{ 0, 0, 0, "rx" },
		{ 0, 0, 1, "tx" },
		{ BIT_ULL(17), 0, 0, "rx" },
		{ BIT_ULL(17), 0, 1, "tx" },
		{ BIT_ULL(17), 0, 2, "control_vq" },
		{ BIT_ULL(17) | BIT_ULL(22), 2, 0, "rx" },
		{ BIT_ULL(17) | BIT_ULL(22), 2, 4, "control_vq" },
		{ BIT_ULL(22), 2, 4, "rx" },
	};
	struct fixture *fx = *state;
	struct mgmt_vstats_info info;

	fx->net->status = 0xb;
	assert_int_equal(mgmt_vstats_info(&fx->net->vdev, 0, &info), 0);
	check_json(mgmt_json_vstats(&info),
		   "{\"queue_type\":\"rx\",\"rx packets\":7,"
		   "\"rx bytes\":700}");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *obj;

		info.negotiated = cases[i].negotiated;
		info.has_max_vqp = has_bit(info.negotiated, 22);
		info.max_vqp = cases[i].max_vqp;
		info.idx = cases[i].idx;
		obj = mgmt_json_vstats(&info);
		assert_string_equal(
			json_string_value(json_object_get(obj, "queue_type")),
			cases[i].want);
		json_decref(obj);
	}
}

static void test_find_mgmtdev_takes_handles_apart(void **state)
{
	static const struct {
		const char *handle;
		int want;
	} cases[] = {
		{ "fakenet", 0 },
		{ "pci/fakeblk", 0 },
		{ "fakeblk", -ENODEV },
		{ "pci/fakenet", -ENODEV },
		{ "a/b/c", -EINVAL },
		{ "/fakeblk", -EINVAL },
		{ "", -ENODEV },
		{ "pci/", -ENODEV },
		{ "usb/fakeblk", -ENODEV },
	};
	struct fixture *fx = *state;
	struct vdpa_mgmtdev *mgmtdev;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(mgmt_find_mgmtdev(fx->bus, cases[i].handle,
						   &mgmtdev),
				 cases[i].want);
	}
}

static void test_names_of_all_bits(void **state)
{
	unsigned int n_net = 0, n_other = 0;

	for (unsigned int i = 0; i < 64; i++) {
		n_net += name_of_feature(VIRTIO_ID_NET, i) != NULL;
		n_other += name_of_feature(VIRTIO_ID_BLK, i) != NULL;
	}
	assert_int_equal(n_net, 38);
	assert_int_equal(n_other, 9);
	assert_null(name_of_feature(VIRTIO_ID_NET, 64));
	assert_string_equal(name_of_type(UINT32_MAX), "<unknown type>");
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_mgmtdev_json_is_iproute2s),
	T(test_dev_json_is_iproute2s_and_ours),
	T(test_config_json_is_iproute2s),
	T(test_config_info_of_short_config_h82_leaves_fields_out),
	T(test_config_info_of_blk_has_its_fields),
	T(test_vstats_errors_are_the_kernels),
	T(test_vstats_json_names_queues_for_what_they_are),
	T(test_find_mgmtdev_takes_handles_apart),
	cmocka_unit_test(test_names_of_all_bits),
};

TEST_MAIN("mgmt_objects")
