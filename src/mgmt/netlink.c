/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generic netlink family "vdpa": messages in, answers out.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/netlink.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mgmt/netlink_internal.h"

#define CTRL_ID 16
/* Types below are of netlink itself: noop, error, done, overrun. */
#define TYPE_MIN   16
#define TYPE_ERROR 2
#define TYPE_DONE  3
/* Attribute of an error: its sentence. */
#define ERROR_ATTR_MSG 1
/* Longer requests are quoted without what follows their header. */
#define QUOTE_MAX 1024
/* From this command on the kernel insists on zeroes in the header. */
#define STRICT_FROM 8

/* ---- answers ---- */

static struct nl_head head_of(const struct nl_request *req, uint16_t type,
			      uint16_t flags)
{
	return (struct nl_head){ .type = type,
				 .flags = flags,
				 .seq = req->head.seq,
				 .pid = req->port };
}

void nl_answer_begin(struct nl_answer *a, const struct nl_request *req,
		     uint8_t cmd)
{
	struct nl_head head =
		head_of(req, req->head.type, req->is_dump ? NLM_F_MULTI : 0);

	a->at = nl_begin(&a->w, &head);
	nl_put_genl(&a->w, cmd, req->head.type == CTRL_ID ? 2 : 1);
}

static void flush(struct nl_answer *a, struct cdev_netlink_to *to)
{
	if (a->w.len > 0) {
		to->reply(to, a->w.buf, a->w.len);
		a->w.len = 0;
	}
}

static void answer_init(struct nl_answer *a)
{
	a->w = (struct nl_writer){ .buf = a->buf, .size = sizeof(a->buf) };
	a->at = 0;
}

/*
 * NLMSG_ERROR: the code, the request (or its header), the sentence. It follows
 * what is written already, so that an acknowledgement shares the datagram.
 */
static void put_ack(struct nl_answer *a, const struct nl_request *req, int code,
		    const char *text)
{
	bool is_capped = code == 0 || req->len > QUOTE_MAX;
	uint16_t flags = is_capped ? NLM_F_CAPPED : 0;
	struct nl_head head =
		head_of(req, TYPE_ERROR, text ? flags | NLM_F_ACK_TLVS : flags);
	size_t at = nl_begin(&a->w, &head);

	nl_put_raw(&a->w, &code, sizeof(code));
	nl_put_raw(&a->w, req->msg, is_capped ? NL_HDR_SIZE : req->len);
	if (text) {
		nl_put_str(&a->w, ERROR_ATTR_MSG, text);
	}
	nl_end(&a->w, at);
}

static void put_done(struct nl_answer *a, const struct nl_request *req)
{
	struct nl_head head = head_of(req, TYPE_DONE, NLM_F_MULTI);
	size_t at = nl_begin(&a->w, &head);
	int zero = 0;

	nl_put_raw(&a->w, &zero, sizeof(zero));
	nl_end(&a->w, at);
}

void nl_finish(struct netlink *nl, const struct nl_request *req, int code)
{
	const char *text = req->warning[0] ? req->warning : NULL;
	struct nl_answer a;

	if (code == 0 && !(req->head.flags & NLM_F_ACK)) {
		return;
	}
	if (code < 0) {
		nl->stats.n_errors++;
		text = err_text(code);
		if (strcmp(text, strerror(-code)) == 0) {
			text = NULL;
		}
	}
	answer_init(&a);
	put_ack(&a, req, code, text);
	flush(&a, req->to);
}

/* ---- running a command ---- */

static int run_do(struct netlink *nl, struct nl_request *req,
		  const struct nl_command *cmd)
{
	struct nl_answer a;
	int r;

	answer_init(&a);
	r = cmd->do_it(nl, req, &a);
	if (r < 0) {
		return err_context(r, "vdpa");
	}
	if (r == 0 && a.w.is_full) {
		r = err(-EMSGSIZE, "the answer does not fit in a message");
	}
	if (r == 0 && a.w.len > 0) {
		nl_end(&a.w, a.at);
		flush(&a, req->to);
	}
	return r;
}

/* Packs objects into datagrams of at most a page. */
static int run_dump(struct netlink *nl, struct nl_request *req,
		    const struct nl_command *cmd)
{
	struct nl_answer a;
	void *object = NULL;
	int r = 1;

	answer_init(&a);
	while ((object = cmd->next(nl, object))) {
		size_t at = a.w.len;

		r = cmd->put(req, object, &a);
		if (r == 0 && a.w.is_full && at > 0) {
			a.w.len = at;
			a.w.is_full = false;
			flush(&a, req->to);
			at = 0;
			r = cmd->put(req, object, &a);
		}
		if (r < 0 || a.w.is_full) {
			/* As in the kernel a dump ends where one cannot be
			 * shown. */
			a.w.len = at;
			a.w.is_full = false;
			break;
		}
		if (a.w.len > at) {
			nl_end(&a.w, a.at);
		}
	}
	if (a.w.size - a.w.len < 64) {
		flush(&a, req->to);
	}
	put_done(&a, req);
	flush(&a, req->to);
	return NL_ANSWERED;
}

static int check_genl_header(const struct nl_request *req, uint8_t cmd,
			     uint16_t reserved)
{
	uint16_t flags = req->head.flags;

	if (req->head.type == CTRL_ID || cmd < STRICT_FROM) {
		return 0;
	}
	if (reserved != 0) {
		return err(-EINVAL, "genlmsghdr.reserved field is not 0");
	}
	if (req->is_dump) {
		flags &= (uint16_t)~NLM_F_DUMP;
	}
	if (flags & ~(NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO)) {
		return err(-EINVAL,
			   "ambiguous or reserved bits set in nlmsg_flags");
	}
	return 0;
}

static const struct nl_command *find_command(const struct nl_family *family,
					     uint8_t cmd, bool is_dump)
{
	for (unsigned int i = 0; i < family->n_commands; i++) {
		const struct nl_command *c = &family->commands[i];

		if (c->cmd == cmd &&
		    (is_dump ? c->next != NULL : c->do_it != NULL)) {
			return c;
		}
	}
	return NULL;
}

static int run_genl(struct netlink *nl, struct nl_request *req,
		    const struct nl_family *family)
{
	const struct nl_command *cmd;
	uint8_t genl[NL_GENL_SIZE];
	uint16_t reserved;
	int r;

	if (req->len < NL_HDR_SIZE + NL_GENL_SIZE) {
		return err(-EINVAL, "the message is too short");
	}
	memcpy(genl, req->msg + NL_HDR_SIZE, sizeof(genl));
	memcpy(&reserved, genl + 2, sizeof(reserved));
	req->is_dump = (req->head.flags & NLM_F_DUMP) == NLM_F_DUMP;
	r = check_genl_header(req, genl[0], reserved);
	if (r < 0) {
		return r;
	}
	cmd = find_command(family, genl[0], req->is_dump);
	if (!cmd) {
		return err(-EOPNOTSUPP, "no such command");
	}
	if (cmd->needs_admin && !req->is_admin) {
		return err(-EPERM, "only root and the daemon's user may");
	}
	r = nl_attrs_parse(req->msg + NL_HDR_SIZE + NL_GENL_SIZE,
			   req->len - NL_HDR_SIZE - NL_GENL_SIZE,
			   family->policy, family->max_attr, &req->attrs);
	if (r < 0) {
		return r;
	}
	return req->is_dump ? run_dump(nl, req, cmd) : run_do(nl, req, cmd);
}

static int run_message(struct netlink *nl, struct nl_request *req,
		       bool *has_dumped)
{
	bool is_dump = (req->head.flags & NLM_F_DUMP) == NLM_F_DUMP;
	const struct nl_family *family;

	if (req->head.type < TYPE_MIN) {
		return 0;
	}
	family = req->head.type == CTRL_ID	       ? &nl_ctrl_family
		 : req->head.type == NETLINK_FAMILY_ID ? &nl_vdpa_family
						       : NULL;
	if (!family) {
		return err(-ENOENT, "no such netlink family");
	}
	if (is_dump && *has_dumped) {
		return err(-EBUSY, "one dump at a time");
	}
	*has_dumped |= is_dump;
	return run_genl(nl, req, family);
}

static void on_request(void *priv, uint32_t port, bool is_admin,
		       const void *buf, size_t len, struct cdev_netlink_to *to)
{
	struct netlink *nl = priv;
	const uint8_t *at = buf;
	bool has_dumped = false;

	while (len >= NL_HDR_SIZE) {
		struct nl_request req = {
			.port = port, .is_admin = is_admin, .msg = at, .to = to
		};
		uint32_t msg_len;
		int r;

		memcpy(&msg_len, at, 4);
		memcpy(&req.head.type, at + 4, 2);
		memcpy(&req.head.flags, at + 6, 2);
		memcpy(&req.head.seq, at + 8, 4);
		if (msg_len < NL_HDR_SIZE || msg_len > len) {
			return;
		}
		req.len = msg_len;
		if (req.head.flags & NLM_F_REQUEST) {
			nl->stats.n_requests++;
			r = run_message(nl, &req, &has_dumped);
			if (r != NL_ANSWERED) {
				nl_finish(nl, &req, r);
			}
		}
		msg_len = (uint32_t)min_of(NL_ALIGN((size_t)msg_len), len);
		at += msg_len;
		len -= msg_len;
	}
}

struct cdev_netlink_ops netlink_ops(struct netlink *nl)
{
	return (struct cdev_netlink_ops){ .request = on_request, .priv = nl };
}

int netlink_new(struct vdpa_bus *bus, const struct mgmt_events *events,
		struct netlink **ret)
{
	struct netlink *nl = calloc(1, sizeof(*nl));

	if (!nl) {
		return -ENOMEM;
	}
	nl->n_refs = 1;
	nl->bus = bus;
	nl->events = events;
	*ret = nl;
	return 0;
}

void netlink_unref(struct netlink *nl)
{
	if (--nl->n_refs == 0) {
		free(nl);
	}
}

struct netlink *netlink_free(struct netlink *nl)
{
	if (nl) {
		netlink_unref(nl);
	}
	return NULL;
}

void netlink_get_stats(const struct netlink *nl, struct netlink_stats *ret)
{
	*ret = nl->stats;
}
