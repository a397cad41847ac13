/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the generic netlink family "vdpa" and of its codec.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include <linux/netlink.h>

#include "base/err.h"
#include "lib/test.h"
#include "mgmt/netlink.h"
#include "mgmt/nlmsg.h"
#include "mgmt/test_fake.h"

#define PORT 4711
#define SEQ  99
#define ACK  (NLM_F_REQUEST | NLM_F_ACK)
#define DUMP (NLM_F_REQUEST | NLM_F_DUMP)

enum {
	MGMTDEV_GET = 2,
	DEV_NEW,
	DEV_DEL,
	DEV_GET,
	CONFIG_GET,
	VSTATS_GET,
	ATTR_SET,
};

/* ---- a client ---- */

struct client {
	struct cdev_netlink_to to;
	uint8_t in[65536];
	size_t in_len;
	unsigned int n_datagrams;
	unsigned int n_kept;
	bool is_gone;
};

struct fixture {
	struct vdpa_bus *bus;
	struct fake fake;
	struct netlink *nl;
	struct client client;
	bool is_admin;
	uint8_t out[65536];
	struct nl_writer w;
	size_t at;
};

static void on_reply(struct cdev_netlink_to *to, const void *buf, size_t len)
{
	struct client *c = container_of(to, struct client, to);

	assert_in_range(len, NL_HDR_SIZE, 4096);
	if (!c->is_gone) {
		assert_true(len <= sizeof(c->in) - c->in_len);
		memcpy(c->in + c->in_len, buf, len);
		c->in_len += len;
		c->n_datagrams++;
	}
}

static struct cdev_netlink_to *on_keep(struct cdev_netlink_to *to)
{
	container_of(to, struct client, to)->n_kept++;
	return to;
}

static void on_end(struct cdev_netlink_to *kept)
{
	container_of(kept, struct client, to)->n_kept--;
}

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
	assert_int_equal(netlink_new(fx->bus, NULL, &fx->nl), 0);
	fx->client.to = (struct cdev_netlink_to){ on_reply, on_keep, on_end };
	fx->is_admin = true;
	fx->w = (struct nl_writer){ .buf = fx->out, .size = sizeof(fx->out) };
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	netlink_free(fx->nl);
	fake_unregister(&fx->fake);
	vdpa_bus_free(fx->bus);
	assert_int_equal(fx->client.n_kept, 0);
	free(fx);
	return 0;
}

static void begin(struct fixture *fx, uint16_t type, uint16_t flags,
		  uint8_t cmd)
{
	struct nl_head head = { .type = type, .flags = flags, .seq = SEQ };

	fx->at = nl_begin(&fx->w, &head);
	nl_put_genl(&fx->w, cmd, 1);
}

static void vdpa(struct fixture *fx, uint16_t flags, uint8_t cmd)
{
	begin(fx, NETLINK_FAMILY_ID, flags, cmd);
}

static void send_bytes(struct fixture *fx, const void *buf, size_t len)
{
	struct cdev_netlink_ops ops = netlink_ops(fx->nl);

	fx->client.in_len = 0;
	fx->client.n_datagrams = 0;
	ops.request(ops.priv, PORT, fx->is_admin, buf, len, &fx->client.to);
}

static void talk(struct fixture *fx)
{
	nl_end(&fx->w, fx->at);
	assert_false(fx->w.is_full);
	send_bytes(fx, fx->out, fx->w.len);
	fx->w.len = 0;
}

/* ---- looking at answers ---- */

struct msg {
	uint32_t len;
	uint16_t type;
	uint16_t flags;
	const uint8_t *body;
};

/* Walks the answers. Return: false at the end. */
static bool next_msg(const struct fixture *fx, size_t *pos, struct msg *ret)
{
	const uint8_t *at = fx->client.in + *pos;
	uint32_t seq, port;

	if (*pos == fx->client.in_len) {
		return false;
	}
	assert_true(fx->client.in_len - *pos >= NL_HDR_SIZE);
	memcpy(&ret->len, at, 4);
	memcpy(&ret->type, at + 4, 2);
	memcpy(&ret->flags, at + 6, 2);
	memcpy(&seq, at + 8, 4);
	memcpy(&port, at + 12, 4);
	assert_int_equal(seq, SEQ);
	assert_int_equal(port, PORT);
	assert_in_range(ret->len, NL_HDR_SIZE, fx->client.in_len - *pos);
	ret->body = at + NL_HDR_SIZE;
	*pos += NL_ALIGN(ret->len);
	return true;
}

/* "cmd: attr attr ..." of a message, for comparing. */
static const char *attrs_of(const struct msg *m)
{
	static char text[256];
	size_t off = NL_GENL_SIZE, n;

	n = (size_t)snprintf(text, sizeof(text), "%u:", m->body[0]);
	while (off < m->len - NL_HDR_SIZE) {
		uint16_t len, type;

		memcpy(&len, m->body + off, 2);
		memcpy(&type, m->body + off + 2, 2);
		assert_true(len >= NL_ATTR_SIZE);
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %u",
				      type & 0x3fff);
		off += NL_ALIGN((size_t)len);
	}
	return text;
}

static const void *find_attr(const struct msg *m, uint16_t want)
{
	size_t off = NL_GENL_SIZE;

	while (off < m->len - NL_HDR_SIZE) {
		uint16_t len, type;

		memcpy(&len, m->body + off, 2);
		memcpy(&type, m->body + off + 2, 2);
		if (type == want) {
			return m->body + off + NL_ATTR_SIZE;
		}
		off += NL_ALIGN((size_t)len);
	}
	fail_msg("no attribute %u", want);
	return NULL;
}

/* The answer is one NLMSG_ERROR: its code, and its sentence or "". */
static int error_of(const struct fixture *fx, const char **ret_text)
{
	struct msg m;
	size_t pos = 0;
	int code;

	assert_true(next_msg(fx, &pos, &m));
	assert_int_equal(m.type, NLMSG_ERROR);
	memcpy(&code, m.body, 4);
	*ret_text = "";
	if (m.flags & NLM_F_ACK_TLVS) {
		uint32_t quoted = NL_HDR_SIZE;

		if (!(m.flags & NLM_F_CAPPED)) {
			memcpy(&quoted, m.body + 4, 4);
		}
		*ret_text = (const char *)m.body + 4 + NL_ALIGN(quoted) +
			    NL_ATTR_SIZE;
	}
	assert_false(next_msg(fx, &pos, &m));
	return code;
}

static void check_error(const struct fixture *fx, int code, const char *text)
{
	const char *got;

	assert_int_equal(error_of(fx, &got), code);
	assert_string_equal(got, text);
}

/* One object with these attributes, then the acknowledgement. */
static struct msg check_object(const struct fixture *fx, const char *attrs)
{
	struct msg m, ack;
	size_t pos = 0;
	int code;

	assert_true(next_msg(fx, &pos, &m));
	assert_int_equal(m.type, NETLINK_FAMILY_ID);
	assert_int_equal(m.flags, 0);
	assert_string_equal(attrs_of(&m), attrs);
	assert_true(next_msg(fx, &pos, &ack));
	assert_int_equal(ack.type, NLMSG_ERROR);
	memcpy(&code, ack.body, 4);
	assert_int_equal(code, 0);
	assert_false(next_msg(fx, &pos, &ack));
	return m;
}

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

/* ---- hostile clients ---- */

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

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* H64, H90: random bytes in random places of good messages. */
static void test_random_messages_h64_do_no_harm(void **state)
{
	struct fixture *fx = *state;
	uint32_t seed = 42;

	for (unsigned int i = 0; i < 50000; i++) {
		uint8_t *msg = fx->out;
		size_t len;

		vdpa(fx, rnd(&seed) & 1 ? ACK : DUMP, rnd(&seed) % 10);
		nl_put_str(&fx->w, 2, "fakenet");
		nl_put_str(&fx->w, 4, rnd(&seed) & 1 ? "net0" : "x");
		nl_put_u32(&fx->w, 17, rnd(&seed));
		nl_put_u64(&fx->w, 20, rnd(&seed));
		nl_end(&fx->w, fx->at);
		len = fx->w.len;
		fx->w.len = 0;
		for (uint32_t n = rnd(&seed) % 4; n > 0; n--) {
			msg[16 + rnd(&seed) % (len - 16)] = (uint8_t)rnd(&seed);
		}
		send_bytes(fx, msg, len - rnd(&seed) % 4);
		if (fx->fake.n_devs > 50) {
			fake_unregister(&fx->fake);
			fake_register(&fx->fake, fx->bus);
		}
	}
}

/* ---- the codec ---- */

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

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

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
	T(test_bad_attributes_are_refused),
	T(test_cut_messages_h63_are_refused),
	T(test_one_datagram_holds_many_messages_but_one_dump),
	T(test_long_request_is_not_quoted_back),
	T(test_random_messages_h64_do_no_harm),
	cmocka_unit_test(test_writer_stops_at_its_end),
	cmocka_unit_test(test_attrs_keep_the_last_of_several),
};

TEST_MAIN("mgmt_netlink")
