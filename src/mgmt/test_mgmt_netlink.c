/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the generic netlink family "vdpa": its name and its commands.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "mgmt/test_mgmt_netlink_rig.h"

/* ---- the family ---- */

static void test_family_is_found_by_name_id_and_dump(void **state)
{
	struct fixture *fx = *state;
	struct msg m;
	size_t pos = 0;
	uint16_t id = NETLINK_FAMILY_ID;
	uint32_t max_attr;

	begin(fx, 16, NLM_F_REQUEST, 3);
	nl_put_str(&fx->w, 2, "vdpa");
	talk(fx);
	assert_true(next_msg(fx, &pos, &m));
	assert_int_equal(m.type, 16);
	assert_string_equal(attrs_of(&m), "1: 2 1 3 4 5 6");
	assert_string_equal(find_attr(&m, 2), "vdpa");
	assert_memory_equal(find_attr(&m, 1), &id, 2);
	memcpy(&max_attr, find_attr(&m, 5), 4);
	assert_int_equal(max_attr, 37);
	assert_false(next_msg(fx, &pos, &m));

	begin(fx, 16, NLM_F_REQUEST, 3);
	nl_put_u16(&fx->w, 1, NETLINK_FAMILY_ID);
	talk(fx);
	pos = 0;
	assert_true(next_msg(fx, &pos, &m));
	assert_string_equal(find_attr(&m, 2), "vdpa");

	begin(fx, 16, DUMP, 3);
	talk(fx);
	pos = 0;
	assert_true(next_msg(fx, &pos, &m));
	assert_string_equal(find_attr(&m, 2), "nlctrl");
	assert_true(next_msg(fx, &pos, &m));
	assert_int_equal(m.flags, NLM_F_MULTI);
	assert_string_equal(find_attr(&m, 2), "vdpa");
	assert_true(next_msg(fx, &pos, &m));
	assert_int_equal(m.type, NLMSG_DONE);

	begin(fx, 16, NLM_F_REQUEST, 3);
	nl_put_str(&fx->w, 2, "devlink");
	talk(fx);
	check_error(fx, -ENOENT, "vdpa: no such netlink family");
	begin(fx, 16, NLM_F_REQUEST, 3);
	talk(fx);
	check_error(fx, -EINVAL, "vdpa: neither a family's name nor its id");
}

static void test_unknown_commands_and_families(void **state)
{
	static const struct {
		uint16_t type;
		uint16_t flags;
		uint8_t cmd;
		int want;
	} cases[] = {
		{ NETLINK_FAMILY_ID, ACK, 0, -EOPNOTSUPP },
		{ NETLINK_FAMILY_ID, ACK, 1, -EOPNOTSUPP },
		{ NETLINK_FAMILY_ID, ACK, 9, -EOPNOTSUPP },
		{ NETLINK_FAMILY_ID, ACK, 255, -EOPNOTSUPP },
		{ NETLINK_FAMILY_ID, DUMP, DEV_NEW, -EOPNOTSUPP },
		{ NETLINK_FAMILY_ID, DUMP, DEV_DEL, -EOPNOTSUPP },
		{ NETLINK_FAMILY_ID, DUMP, VSTATS_GET, -EOPNOTSUPP },
		{ NETLINK_FAMILY_ID, DUMP, ATTR_SET, -EOPNOTSUPP },
		{ NETLINK_FAMILY_ID, ACK | 0x100, ATTR_SET, -EINVAL },
		{ 16, ACK, 1, -EOPNOTSUPP },
		{ 17, ACK, MGMTDEV_GET, -ENOENT },
		{ 0xffff, ACK, MGMTDEV_GET, -ENOENT },
		{ 3, ACK, 0, 0 },
	};
	struct fixture *fx = *state;
	const char *text;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(fx, cases[i].type, cases[i].flags, cases[i].cmd);
		talk(fx);
		assert_int_equal(error_of(fx, &text), cases[i].want);
	}
	/* What is not a request is nobody's. */
	begin(fx, NETLINK_FAMILY_ID, NLM_F_ACK, MGMTDEV_GET);
	talk(fx);
	assert_int_equal(fx->client.in_len, 0);
}

static void test_mgmtdev_get_shows_one_or_all(void **state)
{
	struct fixture *fx = *state;
	struct msg m;
	size_t pos = 0;

	vdpa(fx, ACK, MGMTDEV_GET);
	nl_put_str(&fx->w, 2, "fakenet");
	talk(fx);
	(void)check_object(fx, "1: 2 3 15 16");
	vdpa(fx, ACK, MGMTDEV_GET);
	nl_put_str(&fx->w, 1, "pci");
	nl_put(&fx->w, 2, "fakeblk", 7); /* without the NUL */
	talk(fx);
	m = check_object(fx, "1: 1 2 3 15 16");
	assert_string_equal(find_attr(&m, 1), "pci");

	vdpa(fx, DUMP, MGMTDEV_GET);
	talk(fx);
	while (next_msg(fx, &pos, &m) && m.type != NLMSG_DONE) {
		assert_int_equal(m.flags, NLM_F_MULTI);
	}
	assert_int_equal(m.type, NLMSG_DONE);
	assert_false(next_msg(fx, &pos, &m));

	vdpa(fx, ACK, MGMTDEV_GET);
	nl_put_str(&fx->w, 2, "fakeblk");
	talk(fx);
	check_error(fx, -ENODEV,
		    "vdpa: Fail to find the specified mgmt device");
	vdpa(fx, ACK, MGMTDEV_GET);
	talk(fx);
	check_error(fx, -EINVAL, "vdpa: no management device named");
}

static void test_dev_get_shows_one_or_all_managed(void **state)
{
	struct fixture *fx = *state;
	struct msg m;
	size_t pos = 0;
	unsigned int n = 0;

	vdpa(fx, ACK, DEV_GET);
	nl_put_str(&fx->w, 4, "net0");
	talk(fx);
	m = check_object(fx, "3: 2 4 5 6 7 8 9");
	assert_string_equal(find_attr(&m, 4), "net0");
	vdpa(fx, ACK, DEV_GET);
	nl_put_str(&fx->w, 4, "blk0");
	talk(fx);
	(void)check_object(fx, "3: 1 2 4 5 6 7 8 9");

	vdpa(fx, DUMP, DEV_GET);
	talk(fx);
	while (next_msg(fx, &pos, &m) && m.type != NLMSG_DONE) {
		n++;
	}
	assert_int_equal(n, 2);

	vdpa(fx, ACK, DEV_GET);
	nl_put_str(&fx->w, 4, "none");
	talk(fx);
	check_error(fx, -ENODEV, "vdpa: device not found");
	/* Longer than any name: cut, and still nobody's. */
	vdpa(fx, ACK, DEV_GET);
	nl_put(&fx->w, 4, memset(fx->client.in, 'n', 5000), 5000);
	talk(fx);
	check_error(fx, -ENODEV, "vdpa: device not found");
}

static void test_dump_of_many_takes_a_page_a_datagram(void **state)
{
	struct vdpa_dev_config config = { 0 };
	struct fixture *fx = *state;
	char name[VDPA_NAME_MAX];
	unsigned int n = 0;
	struct msg m;
	size_t pos = 0;

	for (unsigned int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "dev%u", i);
		assert_int_equal(vdpa_dev_add(fx->bus, NULL, "fakenet", name,
					      &config),
				 0);
	}
	vdpa(fx, DUMP, DEV_GET);
	talk(fx);
	while (next_msg(fx, &pos, &m) && m.type != NLMSG_DONE) {
		n++;
	}
	assert_int_equal(m.type, NLMSG_DONE);
	assert_int_equal(n, 202);
	assert_in_range(fx->client.n_datagrams, 3, 50);
}

static void test_config_get_order_is_the_kernels(void **state)
{
	struct fixture *fx = *state;
	struct fake_dev *net = fake_find(&fx->fake, "net0");
	uint16_t up = 1;
	struct msg m;
	size_t pos = 0;

	vdpa(fx, ACK, CONFIG_GET);
	nl_put_str(&fx->w, 4, "net0");
	talk(fx);
	m = check_object(fx, "6: 4 5 20 13 10 11");
	assert_memory_equal(find_attr(&m, 11), &up, 2);
	net->features |= BIT_ULL(60);
	net->status = 0xf;
	vdpa(fx, ACK, CONFIG_GET);
	nl_put_str(&fx->w, 4, "net0");
	talk(fx);
	(void)check_object(fx, "6: 4 5 14 20 13 10 11 12");
	vdpa(fx, ACK, CONFIG_GET);
	nl_put_str(&fx->w, 4, "blk0");
	talk(fx);
	(void)check_object(fx, "6: 4 5 20 21 22 23 24 25 26 27 28 29 30 31 32 "
			       "33 34 35 36");
	fake_find(&fx->fake, "blk0")->features = 0;
	vdpa(fx, ACK, CONFIG_GET);
	nl_put_str(&fx->w, 4, "blk0");
	talk(fx);
	(void)check_object(fx, "6: 4 5 20 21 35 36");

	/* A dump ends at a device of a kind that it does not know. */
	net->device_id = 26;
	vdpa(fx, DUMP, CONFIG_GET);
	talk(fx);
	assert_true(next_msg(fx, &pos, &m));
	assert_int_equal(m.type, NLMSG_DONE);
	vdpa(fx, ACK, CONFIG_GET);
	nl_put_str(&fx->w, 4, "net0");
	talk(fx);
	assert_int_equal(error_of(fx, (const char *[]){ "" }), -EOPNOTSUPP);
}

static void test_vstats_get_errors_and_order(void **state)
{
	struct fixture *fx = *state;
	struct fake_dev *net = fake_find(&fx->fake, "net0");
	const char *text;

	vdpa(fx, ACK, VSTATS_GET);
	nl_put_str(&fx->w, 4, "net0");
	talk(fx);
	check_error(fx, -EINVAL, "vdpa: no queue index given");
	vdpa(fx, ACK, VSTATS_GET);
	nl_put_str(&fx->w, 4, "net0");
	nl_put_u32(&fx->w, 17, 0);
	talk(fx);
	check_error(fx, -EAGAIN, "vdpa: feature negotiation not complete");
	net->status = 0xb;
	vdpa(fx, ACK, VSTATS_GET);
	nl_put_str(&fx->w, 4, "net0");
	nl_put_u32(&fx->w, 17, 0);
	talk(fx);
	(void)check_object(fx, "7: 4 5 14 17 18 19 18 19");
	net->driver_features = BIT_ULL(22);
	vdpa(fx, ACK, VSTATS_GET);
	nl_put_str(&fx->w, 4, "net0");
	nl_put_u32(&fx->w, 17, 1);
	talk(fx);
	(void)check_object(fx, "7: 4 5 14 12 17 18 19 18 19");
	vdpa(fx, ACK, VSTATS_GET);
	nl_put_str(&fx->w, 4, "net0");
	nl_put_u32(&fx->w, 17, 3);
	talk(fx);
	assert_int_equal(error_of(fx, &text), -EINVAL);
	/* H60 */
	vdpa(fx, ACK, VSTATS_GET);
	nl_put_str(&fx->w, 4, "net0");
	nl_put_u32(&fx->w, 17, UINT32_MAX);
	talk(fx);
	assert_int_equal(error_of(fx, &text), -ERANGE);
	vdpa(fx, ACK, VSTATS_GET);
	nl_put_str(&fx->w, 4, "blk0");
	nl_put_u32(&fx->w, 17, 0);
	talk(fx);
	assert_int_equal(error_of(fx, &text), -EOPNOTSUPP);
}

/* ABI statement 66. */
static void test_dev_new_checks_as_the_kernel(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 9, 9, 9 };
	struct fixture *fx = *state;

	vdpa(fx, ACK, DEV_NEW);
	nl_put_str(&fx->w, 4, "net1");
	nl_put_str(&fx->w, 2, "fakenet");
	nl_put(&fx->w, 10, mac, 6);
	nl_put_u16(&fx->w, 13, 68);
	nl_put_u16(&fx->w, 12, 1);
	nl_put_u64(&fx->w, 20, 0x28);
	talk(fx);
	check_error(fx, 0, "");
	assert_memory_equal(fx->fake.seen.mac, mac, 6);
	assert_int_equal(fx->fake.seen.mtu, 68);
	assert_int_equal(fx->fake.seen.max_vq_pairs, 1);
	assert_int_equal(fx->fake.seen.device_features, 0x28);
	assert_int_equal(fx->fake.seen.mask,
			 BIT_ULL(10) | BIT_ULL(12) | BIT_ULL(13) | BIT_ULL(20));

	vdpa(fx, ACK, DEV_NEW);
	nl_put_str(&fx->w, 4, "net1");
	nl_put_str(&fx->w, 2, "fakenet");
	talk(fx);
	check_error(fx, -EEXIST, "vdpa: there is a device net1 already");
	vdpa(fx, ACK, DEV_NEW);
	nl_put_str(&fx->w, 4, "net2");
	nl_put_str(&fx->w, 2, "nobody");
	talk(fx);
	check_error(fx, -ENODEV,
		    "vdpa: Fail to find the specified management device");
	vdpa(fx, ACK, DEV_NEW);
	nl_put_str(&fx->w, 4, "net2");
	nl_put_str(&fx->w, 2, "fakenet");
	nl_put_u16(&fx->w, 13, 67);
	talk(fx);
	check_error(fx, -ERANGE, "integer out of range");
	vdpa(fx, ACK, DEV_NEW);
	nl_put_str(&fx->w, 4, "net2");
	nl_put_str(&fx->w, 2, "fakenet");
	nl_put_u16(&fx->w, 12, 0);
	talk(fx);
	check_error(fx, -EINVAL, "vdpa: At least one pair of VQs is required");
	vdpa(fx, ACK, DEV_NEW);
	nl_put_str(&fx->w, 4, "net2");
	nl_put_str(&fx->w, 2, "fakenet");
	nl_put(&fx->w, 10, mac, 6);
	nl_put_u64(&fx->w, 20, 0x8);
	talk(fx);
	check_error(fx, -EINVAL,
		    "vdpa: Missing features 0x20 for provided attributes");
	vdpa(fx, ACK, DEV_NEW);
	nl_put_str(&fx->w, 2, "fakenet");
	talk(fx);
	check_error(fx, -EINVAL, "vdpa: no device named");
	vdpa(fx, ACK, DEV_NEW);
	nl_put_str(&fx->w, 4, "../x");
	nl_put_str(&fx->w, 2, "fakenet");
	talk(fx);
	assert_int_equal(error_of(fx, (const char *[]){ "" }), -EINVAL);
	assert_int_equal(fx->fake.n_devs, 3);
}

static void test_changes_need_an_admin(void **state)
{
	static const uint8_t cmds[] = { DEV_NEW, DEV_DEL, VSTATS_GET,
					ATTR_SET };
	struct fixture *fx = *state;
	const char *text;

	fx->is_admin = false;
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		vdpa(fx, ACK, cmds[i]);
		nl_put_str(&fx->w, 4, "net0");
		nl_put_str(&fx->w, 2, "fakenet");
		talk(fx);
		assert_int_equal(error_of(fx, &text), -EPERM);
	}
	assert_int_equal(fx->fake.n_devs, 2);
	vdpa(fx, ACK, DEV_GET);
	nl_put_str(&fx->w, 4, "net0");
	talk(fx);
	(void)check_object(fx, "3: 2 4 5 6 7 8 9");
}

static void test_dev_del_answers_at_once_or_when_closed(void **state)
{
	struct fixture *fx = *state;

	vdpa(fx, ACK, DEV_DEL);
	nl_put_str(&fx->w, 4, "blk0");
	talk(fx);
	check_error(fx, 0, "");
	vdpa(fx, ACK, DEV_DEL);
	nl_put_str(&fx->w, 4, "blk0");
	talk(fx);
	check_error(fx, -ENODEV, "vdpa: device not found");

	fx->fake.is_busy = true;
	vdpa(fx, ACK, DEV_DEL);
	nl_put_str(&fx->w, 4, "net0");
	talk(fx);
	assert_int_equal(fx->client.in_len, 0);
	assert_int_equal(fx->client.n_kept, 1);
	/* The request's buffer is somebody else's by now. */
	memset(fx->out, 0xff, 64);
	fake_release(&fx->fake);
	check_error(fx, 0, "");
	assert_int_equal(fx->client.n_kept, 0);
	assert_int_equal(fx->fake.n_devs, 0);
}

static void test_dev_del_outlives_client_and_server(void **state)
{
	struct fixture *fx = *state;

	fx->fake.is_busy = true;
	vdpa(fx, ACK, DEV_DEL);
	nl_put_str(&fx->w, 4, "net0");
	talk(fx);
	fx->client.is_gone = true;
	fx->nl = netlink_free(fx->nl);
	fake_release(&fx->fake);
	assert_int_equal(fx->client.n_kept, 0);
	assert_int_equal(fx->fake.n_devs, 1);
}

static void test_attr_set_takes_a_mac_of_net_devices(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 7, 7, 7 };
	static const uint8_t multicast[6] = { 1, 0, 0x5e, 0, 0, 1 };
	struct fixture *fx = *state;

	vdpa(fx, ACK, ATTR_SET);
	nl_put_str(&fx->w, 4, "net0");
	nl_put(&fx->w, 10, mac, 6);
	talk(fx);
	check_error(fx, 0, "");
	assert_memory_equal(fake_find(&fx->fake, "net0")->config, mac, 6);
	vdpa(fx, ACK, ATTR_SET);
	nl_put_str(&fx->w, 4, "net0");
	nl_put(&fx->w, 10, multicast, 6);
	talk(fx);
	check_error(fx, -EOPNOTSUPP, "vdpa: Invalid MAC address");
	vdpa(fx, ACK, ATTR_SET);
	nl_put_str(&fx->w, 4, "blk0");
	nl_put(&fx->w, 10, mac, 6);
	talk(fx);
	check_error(fx, 0, "vdpa: blk0 device not supported");
	vdpa(fx, ACK, ATTR_SET);
	nl_put_str(&fx->w, 4, "none");
	talk(fx);
	check_error(fx, -ENODEV, "vdpa: device not found");
}

static const struct CMUnitTest tests[] = {
	T(test_family_is_found_by_name_id_and_dump),
	T(test_unknown_commands_and_families),
	T(test_mgmtdev_get_shows_one_or_all),
	T(test_dev_get_shows_one_or_all_managed),
	T(test_dump_of_many_takes_a_page_a_datagram),
	T(test_config_get_order_is_the_kernels),
	T(test_vstats_get_errors_and_order),
	T(test_dev_new_checks_as_the_kernel),
	T(test_changes_need_an_admin),
	T(test_dev_del_answers_at_once_or_when_closed),
	T(test_dev_del_outlives_client_and_server),
	T(test_attr_set_takes_a_mac_of_net_devices),
};

TEST_MAIN("mgmt_netlink")
