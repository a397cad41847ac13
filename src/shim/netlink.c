/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generic netlink sockets that ask for the vdpa family.
 *
 * Theory of operation
 *
 * A generic netlink socket stays the kernel's until its program sends
 * CTRL_CMD_GETFAMILY for "vdpa". Then a connection to the daemon takes its
 * place under the same number, and this datagram and all later ones go there;
 * the family's number, the daemon's to choose, means nothing to the kernel. The
 * port that the socket was bound to is kept by the daemon, so dup and fork work
 * as for files. Answers need only the sender's address (the kernel's: port 0)
 * put beside them.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <string.h>

#include "shim/real.h"
#include "shim/shim.h"

#define FAMILY "vdpa"
/* Of a request: enough for what is looked for. */
#define LOOK_MAX  256
#define HEADS_LEN ((size_t)NLMSG_HDRLEN + GENL_HDRLEN)

_public_ ssize_t __recv_chk(int fd, void *buf, size_t len, size_t size,
			    int flags);
_public_ ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t size,
				int flags, struct sockaddr *addr,
				socklen_t *addr_len);

_public_ int socket(int domain, int type, int protocol)
{
	int fd = REAL(socket)(domain, type, protocol);

	if (unlikely(domain == AF_NETLINK) && fd >= 0 &&
	    protocol == NETLINK_GENERIC) {
		shim_mark_set(fd, MARK_GENL);
	} else if (unlikely(shim_mark(fd))) {
		shim_mark_set(fd, MARK_NONE);
	}
	return fd;
}

/* Requests */

static bool names_family(const uint8_t *attrs, size_t len)
{
	struct nlattr attr;
	size_t step;

	while (len >= sizeof(attr)) {
		memcpy(&attr, attrs, sizeof(attr));
		if (attr.nla_len < sizeof(attr) || attr.nla_len > len) {
			return false;
		}
		if ((attr.nla_type & NLA_TYPE_MASK) == CTRL_ATTR_FAMILY_NAME &&
		    attr.nla_len == sizeof(attr) + sizeof(FAMILY) &&
		    memcmp(attrs + sizeof(attr), FAMILY, sizeof(FAMILY)) == 0) {
			return true;
		}
		step = min_of(align_up(attr.nla_len, NLA_ALIGNTO),
			      (uint64_t)len);
		attrs += step;
		len -= step;
	}
	return false;
}

static bool asks_for_family(const struct iovec *iov)
{
	uint8_t look[LOOK_MAX];
	struct nlmsghdr nlh;
	struct genlmsghdr genl;
	size_t len;
	ssize_t n = shim_copy_in(look, iov->iov_base,
				 min_of(iov->iov_len, sizeof(look)));

	if (n < (ssize_t)HEADS_LEN) {
		return false;
	}
	memcpy(&nlh, look, sizeof(nlh));
	memcpy(&genl, look + NLMSG_HDRLEN, sizeof(genl));
	if (nlh.nlmsg_type != GENL_ID_CTRL || genl.cmd != CTRL_CMD_GETFAMILY) {
		return false;
	}
	len = min_of((size_t)n, (size_t)nlh.nlmsg_len);
	return len > HEADS_LEN &&
	       names_family(look + HEADS_LEN, len - HEADS_LEN);
}

static bool is_genl_socket(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);
	struct sockaddr_nl addr;
	socklen_t addr_len = sizeof(addr);

	return SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, &protocol,
		   &len) == 0 &&
	       protocol == NETLINK_GENERIC &&
	       SYS(SYS_getsockname, fd, &addr, &addr_len) == 0 &&
	       addr.nl_family == AF_NETLINK;
}

static uint32_t port_of(int fd)
{
	struct sockaddr_nl addr = { 0 };
	socklen_t len = sizeof(addr);

	if (SYS(SYS_getsockname, fd, &addr, &len) < 0 || addr.nl_pid == 0) {
		return (uint32_t)SYS(SYS_getpid); /* as if bound by sending */
	}
	return addr.nl_pid;
}

/* Puts a connection in the place of the kernel's socket. */
static bool switch_over(int fd)
{
	struct preload_ask ask = {
		.head = { PRELOAD_MAGIC, PRELOAD_NETLINK, sizeof(ask) },
		.port = port_of(fd),
	};
	long fd_flags = SYS(SYS_fcntl, fd, F_GETFD);
	long flags = SYS(SYS_fcntl, fd, F_GETFL);
	int conn = shim_connect(SOCK_CLOEXEC);
	int64_t r;

	if (conn < 0) {
		return false;
	}
	r = shim_ask(conn, &ask, sizeof(ask), NULL, 0, NULL);
	if (r >= 0) {
		(void)SYS(SYS_fcntl, conn, F_SETFL, flags & O_NONBLOCK);
		r = SYS(SYS_dup3, conn, fd,
			fd_flags & FD_CLOEXEC ? O_CLOEXEC : 0);
	}
	(void)SYS(SYS_close, conn);
	shim_debug("vdpakit: netlink socket %d taken over: %lld", fd,
		   (long long)r);
	if (r >= 0) {
		shim_mark_set(fd, MARK_NETLINK);
	}
	return r >= 0;
}

/* Is the datagram the daemon's? */
static bool is_for_daemon(int fd, const struct iovec *iov)
{
	switch (shim_mark(fd)) {
	case MARK_NETLINK:
		return shim_is_ours(fd);
	case MARK_GENL:
		return shim_is_enabled() && asks_for_family(iov) &&
		       is_genl_socket(fd) && switch_over(fd);
	default:
		return false;
	}
}

/* Without the address: the connection knows where it goes. */
static ssize_t send_to_daemon(int fd, const struct iovec *iov, size_t n_iov,
			      int flags)
{
	struct msghdr mh = {
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = n_iov,
	};
	long r = SYS(SYS_sendmsg, fd, &mh, flags | MSG_NOSIGNAL);

	return shim_return(r == -EPIPE || r == -ECONNRESET ? -EIO : r);
}

static ssize_t send_datagram(int fd, const void *buf, size_t len, int flags,
			     bool *ret_is_ours)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	*ret_is_ours = is_for_daemon(fd, &iov);
	return *ret_is_ours ? send_to_daemon(fd, &iov, 1, flags) : -1;
}

_public_ ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	bool is_ours = false;
	ssize_t r = -1;

	if (unlikely(shim_mark(fd))) {
		r = send_datagram(fd, buf, len, flags, &is_ours);
	}
	return is_ours ? r : REAL(send)(fd, buf, len, flags);
}

_public_ ssize_t sendto(int fd, const void *buf, size_t len, int flags,
			const struct sockaddr *addr, socklen_t addr_len)
{
	bool is_ours = false;
	ssize_t r = -1;

	if (unlikely(shim_mark(fd))) {
		r = send_datagram(fd, buf, len, flags, &is_ours);
	}
	return is_ours ? r : REAL(sendto)(fd, buf, len, flags, addr, addr_len);
}

_public_ ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr mh;
	struct iovec iov;

	if (unlikely(shim_mark(fd)) &&
	    shim_copy_in(&mh, msg, sizeof(mh)) == sizeof(mh) &&
	    mh.msg_iovlen > 0 &&
	    shim_copy_in(&iov, mh.msg_iov, sizeof(iov)) == sizeof(iov) &&
	    is_for_daemon(fd, &iov)) {
		return send_to_daemon(fd, mh.msg_iov, mh.msg_iovlen, flags);
	}
	return REAL(sendmsg)(fd, msg, flags);
}

/* Answers */

static const struct sockaddr_nl kernel_addr = { .nl_family = AF_NETLINK };

static bool is_answer_socket(int fd)
{
	return shim_mark(fd) == MARK_NETLINK && shim_is_ours(fd);
}

static ssize_t received(ssize_t r)
{
	if (r == 0) {
		errno = EIO; /* the daemon is gone */
		return -1;
	}
	return r;
}

static void give_address(struct sockaddr *addr, socklen_t *len)
{
	if (addr && len) {
		memcpy(addr, &kernel_addr,
		       min_of((size_t)*len, sizeof(kernel_addr)));
		*len = sizeof(kernel_addr);
	}
}

_public_ ssize_t recvfrom(int fd, void *buf, size_t len, int flags,
			  struct sockaddr *addr, socklen_t *addr_len)
{
	ssize_t r;

	if (likely(!shim_mark(fd)) || !is_answer_socket(fd)) {
		return REAL(recvfrom)(fd, buf, len, flags, addr, addr_len);
	}
	r = received(REAL(recvfrom)(fd, buf, len, flags, NULL, NULL));
	if (r >= 0) {
		give_address(addr, addr_len);
	}
	return r;
}

_public_ ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t size,
				int flags, struct sockaddr *addr,
				socklen_t *addr_len)
{
	if (likely(!shim_mark(fd)) || len > size || !is_answer_socket(fd)) {
		return REAL(__recvfrom_chk)(fd, buf, len, size, flags, addr,
					    addr_len);
	}
	return recvfrom(fd, buf, len, flags, addr, addr_len);
}

_public_ ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	ssize_t r = REAL(recv)(fd, buf, len, flags);

	return unlikely(shim_mark(fd)) && is_answer_socket(fd) ? received(r)
							       : r;
}

_public_ ssize_t __recv_chk(int fd, void *buf, size_t len, size_t size,
			    int flags)
{
	ssize_t r = REAL(__recv_chk)(fd, buf, len, size, flags);

	return unlikely(shim_mark(fd)) && is_answer_socket(fd) ? received(r)
							       : r;
}

_public_ ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	void *name;
	socklen_t name_len;
	ssize_t r;

	if (likely(!shim_mark(fd)) || !is_answer_socket(fd)) {
		return REAL(recvmsg)(fd, msg, flags);
	}
	name = msg->msg_name;
	name_len = msg->msg_namelen;
	r = received(REAL(recvmsg)(fd, msg, flags));
	msg->msg_name = name;
	msg->msg_namelen = name_len;
	if (r >= 0) {
		give_address(name, &msg->msg_namelen);
	}
	return r;
}

/* Names and options */

static int64_t ask_port(int fd)
{
	struct shim_call call = {
		.fd = fd,
		.op = PRELOAD_GETPORT,
		.attach_fd = -1,
	};

	return shim_call(&call);
}

_public_ int getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK };
	int64_t port;

	if (likely(!shim_mark(fd)) || !is_answer_socket(fd)) {
		return REAL(getsockname)(fd, addr, len);
	}
	port = ask_port(fd);
	if (port < 0) {
		return (int)shim_return(port);
	}
	nl.nl_pid = (uint32_t)port;
	memcpy(addr, &nl, min_of((size_t)*len, sizeof(nl)));
	*len = sizeof(nl);
	return 0;
}

/* It is bound, since it has sent; to another port it cannot be bound. */
_public_ int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	const struct sockaddr_nl *nl = (const void *)addr;

	if (likely(!shim_mark(fd)) || !is_answer_socket(fd)) {
		return REAL(bind)(fd, addr, len);
	}
	if (len < sizeof(*nl) || nl->nl_family != AF_NETLINK ||
	    (nl->nl_pid != 0 && nl->nl_pid != ask_port(fd))) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

_public_ int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (unlikely(shim_mark(fd)) && is_answer_socket(fd)) {
		return 0;
	}
	return REAL(connect)(fd, addr, len);
}

_public_ int setsockopt(int fd, int level, int name, const void *value,
			socklen_t len)
{
	if (unlikely(level == SOL_NETLINK && shim_mark(fd)) &&
	    is_answer_socket(fd)) {
		return 0;
	}
	return REAL(setsockopt)(fd, level, name, value, len);
}

/* What a netlink socket says of itself, where that differs. */
static bool netlink_option(int level, int name, int *ret_value)
{
	if (level == SOL_NETLINK) {
		*ret_value = 0;
		return true;
	}
	if (level != SOL_SOCKET) {
		return false;
	}
	switch (name) {
	case SO_DOMAIN:
		*ret_value = AF_NETLINK;
		return true;
	case SO_PROTOCOL:
		*ret_value = NETLINK_GENERIC;
		return true;
	case SO_TYPE:
		*ret_value = SOCK_RAW;
		return true;
	default:
		return false;
	}
}

_public_ int getsockopt(int fd, int level, int name, void *value,
			socklen_t *len)
{
	int v;

	if (likely(!shim_mark(fd)) || !is_answer_socket(fd) ||
	    !netlink_option(level, name, &v)) {
		return REAL(getsockopt)(fd, level, name, value, len);
	}
	memcpy(value, &v, min_of((size_t)*len, sizeof(v)));
	*len = sizeof(v);
	return 0;
}
