/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rig of the tests of the netlink family: a client of its own.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "mgmt/test_mgmt_netlink_rig.h"

/* ---- a client ---- */

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

int set_up(void **state)
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

int tear_down(void **state)
{
	struct fixture *fx = *state;

	netlink_free(fx->nl);
	fake_unregister(&fx->fake);
	vdpa_bus_free(fx->bus);
	assert_int_equal(fx->client.n_kept, 0);
	free(fx);
	return 0;
}

void begin(struct fixture *fx, uint16_t type, uint16_t flags, uint8_t cmd)
{
	struct nl_head head = { .type = type, .flags = flags, .seq = SEQ };

	fx->at = nl_begin(&fx->w, &head);
	nl_put_genl(&fx->w, cmd, 1);
}

void vdpa(struct fixture *fx, uint16_t flags, uint8_t cmd)
{
	begin(fx, NETLINK_FAMILY_ID, flags, cmd);
}

void send_bytes(struct fixture *fx, const void *buf, size_t len)
{
	struct cdev_netlink_ops ops = netlink_ops(fx->nl);

	fx->client.in_len = 0;
	fx->client.n_datagrams = 0;
	ops.request(ops.priv, PORT, fx->is_admin, buf, len, &fx->client.to);
}

void talk(struct fixture *fx)
{
	nl_end(&fx->w, fx->at);
	assert_false(fx->w.is_full);
	send_bytes(fx, fx->out, fx->w.len);
	fx->w.len = 0;
}

/* ---- looking at answers ---- */

bool next_msg(const struct fixture *fx, size_t *pos, struct msg *ret)
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

const char *attrs_of(const struct msg *m)
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

const void *find_attr(const struct msg *m, uint16_t want)
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

int error_of(const struct fixture *fx, const char **ret_text)
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

void check_error(const struct fixture *fx, int code, const char *text)
{
	const char *got;

	assert_int_equal(error_of(fx, &got), code);
	assert_string_equal(got, text);
}

struct msg check_object(const struct fixture *fx, const char *attrs)
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
