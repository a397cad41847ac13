/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vduse: the system calls, and generic netlink to the kernel's vDPA bus.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/nlmsg.h"
#include "busdrv/kvduse.h"

#define REQUEST_MAX 512
#define REPLY_MAX   8192

/* The family "vdpa" (linux/vdpa.h, whose names are the bus's own here, too). */
#define FAMILY		      "vdpa"
#define FAMILY_VERSION	      1
#define CMD_DEV_NEW	      3
#define CMD_DEV_DEL	      4
#define ATTR_MGMTDEV_DEV_NAME 2
#define ATTR_DEV_NAME	      4

/* Headers that the kernel's answer to GETFAMILY starts with. */
#define FAMILY_HDRS (NL_HDR_SIZE + NL_GENL_SIZE)

static int sys_open(const char *path, int flags)
{
	return open(path, flags | O_CLOEXEC);
}

static int sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg);
}

/* ---- netlink: one request, one answer ---- */

struct exchange {
	int sock;
	uint8_t request[REQUEST_MAX];
	struct nl_writer w;
	uint8_t reply[REPLY_MAX];
	size_t len;
};

static void begin(struct exchange *x, uint16_t type, uint8_t cmd,
		  uint8_t version, uint16_t flags)
{
	const struct nl_head head = {
		.type = type,
		.flags = NLM_F_REQUEST | flags,
		.seq = 1,
	};

	x->w = (struct nl_writer){ .buf = x->request, .size = REQUEST_MAX };
	(void)nl_begin(&x->w, &head);
	nl_put_genl(&x->w, cmd, version);
}

static int sys_error(const char *what)
{
	return err(-errno, "%s: %s", what, strerror(errno));
}

/* The kernel does what is asked for while send() is under way. */
static int send_and_receive(struct exchange *x)
{
	ssize_t n;

	nl_end(&x->w, 0);
	if (x->w.is_full) {
		return err(-ENAMETOOLONG, "netlink: a name is too long");
	}
	if (send(x->sock, x->request, x->w.len, 0) < 0) {
		return sys_error("netlink");
	}
	do {
		n = recv(x->sock, x->reply, REPLY_MAX, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		return sys_error("netlink");
	}
	if ((size_t)n < NL_HDR_SIZE) {
		return err(-EPROTO, "netlink: an answer of %zd bytes", n);
	}
	x->len = (size_t)n;
	return 0;
}

/* The attribute @type of the answer's, from @off on; NULL: none. */
static const uint8_t *find_attr(const struct exchange *x, size_t off,
				uint16_t type, size_t *ret_len)
{
	while (off <= x->len && x->len - off >= NL_ATTR_SIZE) {
		uint16_t len, t;

		memcpy(&len, x->reply + off, 2);
		memcpy(&t, x->reply + off + 2, 2);
		if (len < NL_ATTR_SIZE || len > x->len - off) {
			break;
		}
		if ((t & NLA_TYPE_MASK) == type) {
			*ret_len = len - (size_t)NL_ATTR_SIZE;
			return x->reply + off + NL_ATTR_SIZE;
		}
		off += NL_ALIGN((size_t)len);
	}
	return NULL;
}

/* The error that the answer is; its words, if the kernel has some. */
static int error_of(const struct exchange *x)
{
	uint16_t type, flags;
	const uint8_t *text;
	size_t len;
	int code;

	memcpy(&type, x->reply + 4, 2);
	memcpy(&flags, x->reply + 6, 2);
	if (type != NLMSG_ERROR) {
		return 0;
	}
	if (x->len < NL_HDR_SIZE + sizeof(struct nlmsgerr)) {
		return err(-EPROTO, "netlink: an error of %zu bytes", x->len);
	}
	memcpy(&code, x->reply + NL_HDR_SIZE, sizeof(code));
	if (code >= 0) {
		return 0;
	}
	text = flags & NLM_F_ACK_TLVS && flags & NLM_F_CAPPED
		       ? find_attr(x, NL_HDR_SIZE + sizeof(struct nlmsgerr),
				   NLMSGERR_ATTR_MSG, &len)
		       : NULL;
	if (text && len > 0) {
		return err(code, "%.*s", (int)len, text);
	}
	return err(code, "%s", strerror(-code));
}

static int open_netlink(struct exchange *x)
{
	const struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	const int on = 1;

	x->sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (x->sock < 0 ||
	    bind(x->sock, (const struct sockaddr *)&self, sizeof(self)) < 0) {
		return sys_error("netlink");
	}
	/* For its words; without them there is the number. */
	(void)setsockopt(x->sock, SOL_NETLINK, NETLINK_EXT_ACK, &on,
			 sizeof(on));
	(void)setsockopt(x->sock, SOL_NETLINK, NETLINK_CAP_ACK, &on,
			 sizeof(on));
	return 0;
}

static int find_family(struct exchange *x, uint16_t *ret_id)
{
	const uint8_t *id;
	size_t len;
	int r;

	begin(x, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, 0);
	nl_put_str(&x->w, CTRL_ATTR_FAMILY_NAME, FAMILY);
	r = send_and_receive(x);
	if (r == 0) {
		r = error_of(x);
	}
	if (r == -ENOENT) {
		return err(-ENOENT,
			   "the kernel's vDPA bus is not to be reached: it is "
			   "not loaded, or this is not the first network "
			   "namespace");
	}
	if (r < 0) {
		return r;
	}
	id = find_attr(x, FAMILY_HDRS, CTRL_ATTR_FAMILY_ID, &len);
	if (!id || len != sizeof(*ret_id)) {
		return err(-EPROTO, "netlink: a family without a number");
	}
	memcpy(ret_id, id, sizeof(*ret_id));
	return 0;
}

static int command(struct exchange *x, const char *name, uint8_t cmd)
{
	uint16_t family;
	int r = open_netlink(x);

	if (r == 0) {
		r = find_family(x, &family);
	}
	if (r < 0) {
		return r;
	}
	begin(x, family, cmd, FAMILY_VERSION, NLM_F_ACK);
	if (cmd == CMD_DEV_NEW) {
		nl_put_str(&x->w, ATTR_MGMTDEV_DEV_NAME, "vduse");
	}
	nl_put_str(&x->w, ATTR_DEV_NAME, name);
	r = send_and_receive(x);
	return r < 0 ? r : error_of(x);
}

static int vdpa_command(const char *name, uint8_t cmd)
{
	struct exchange x = { .sock = -1 };
	int r = command(&x, name, cmd);

	(void)close_fd(x.sock);
	return r;
}

static int sys_attach(const char *name)
{
	int r = vdpa_command(name, CMD_DEV_NEW);

	if (r == -EPERM) {
		return err(-EPERM,
			   "to put it on the kernel's vDPA bus needs "
			   "CAP_NET_ADMIN; or say attach off, and let root do: "
			   "vdpa dev add name %s mgmtdev vduse",
			   name);
	}
	return err_context(r, "the kernel's vDPA bus");
}

/* ---- detaching ---- */

/* Does a client of vhost_vdpa have it open? Its driver would not let go of the
 * device before, nor of whoever asks. */
static bool is_held(const char *name)
{
	char path[PATH_MAX];
	bool held = false;
	glob_t found;

	(void)snprintf(path, sizeof(path),
		       "/sys/bus/vdpa/devices/%s/vhost-vdpa-*", name);
	if (glob(path, GLOB_NOSORT, NULL, &found) != 0) {
		return false;
	}
	for (size_t i = 0; i < found.gl_pathc && !held; i++) {
		int fd;

		(void)snprintf(path, sizeof(path), "/dev%s",
			       strrchr(found.gl_pathv[i], '/'));
		fd = open(path, O_RDWR | O_CLOEXEC);
		held = fd < 0 && errno == EBUSY;
		(void)close_fd(fd);
	}
	globfree(&found);
	return held;
}

static int sys_detach(const char *name)
{
	int r;

	if (is_held(name)) {
		return err(-EBUSY, "a client of vhost-vdpa has %s open", name);
	}
	r = vdpa_command(name, CMD_DEV_DEL);
	if (r == -ENODEV) {
		return 0; /* somebody else was first */
	}
	return err_context(r, "the kernel's vDPA bus");
}

const struct kvduse_sys kvduse_system = {
	.open = sys_open,
	.ioctl = sys_ioctl,
	.attach = sys_attach,
	.detach = sys_detach,
};
