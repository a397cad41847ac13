/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdpakit net tap: the interface.
 *
 * It speaks virtio's header, so that the work which is left to do with a frame
 * passes in both directions as it is: what the device takes over when sending is
 * what the interface may leave to it; the other way the host's kernel takes all
 * that there is.
 *
 * Source: Linux, Documentation/networking/tuntap.rst, <linux/if_tun.h>
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/net_tap.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_arp.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "uapi/compat.h"

#define TUN_PATH "/dev/net/tun"
/* A header, and a frame in the smallest of buffers that are the rule. */
#define PIECES_MAX 72

_Static_assert(sizeof(struct virtio_net_hdr_v1) == VDPAKIT_NET_HDR_BYTES,
	       "the driver's header is the interface's");

/* ---- making it ---- */

static unsigned int offloads_of(uint64_t features)
{
	static const struct {
		unsigned int bit;
		unsigned int flag;
	} rows[] = {
		{ VIRTIO_NET_F_CSUM, TUN_F_CSUM },
		{ VIRTIO_NET_F_HOST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_HOST_TSO6, TUN_F_TSO6 },
		{ VIRTIO_NET_F_HOST_ECN, TUN_F_TSO_ECN },
		{ VIRTIO_NET_F_HOST_UFO, TUN_F_UFO },
	};
	unsigned int flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		flags |= has_bit(features, rows[i].bit) ? rows[i].flag : 0;
	}
	/* The kernel wants the one for the others. */
	return flags & TUN_F_CSUM ? flags : 0;
}

static int set_up_queue(int fd, const struct vdpakit_net_info *info)
{
	const int len = VDPAKIT_NET_HDR_BYTES, is_little = 1;

	if (ioctl(fd, TUNSETVNETHDRSZ, &len) < 0 ||
	    ioctl(fd, TUNSETVNETLE, &is_little) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD,
		  (unsigned long)offloads_of(info->features)) < 0) {
		return err(-errno, "TAP interface: its headers: %s",
			   strerror(errno));
	}
	return 0;
}

static int refuse(const struct tap_if *tap, int code)
{
	const char *name = tap->name[0] ? tap->name : "TAP interface";

	if (code == EPERM || code == EACCES) {
		return err(
			-EPERM,
			"%s: making one needs CAP_NET_ADMIN: run it as root, "
			"or in a namespace (`unshare -rn`)",
			name);
	}
	if (code == EBUSY || code == EINVAL) {
		return err(-code,
			   "%s: there is an interface of that name, of another "
			   "kind, or in use: choose another --name",
			   name);
	}
	return err(-code, "%s: %s", name, strerror(code));
}

static int add_queue(struct tap_if *tap, const struct vdpakit_net_info *info)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		return errno == EPERM || errno == EACCES
			       ? refuse(tap, errno)
			       : err(-errno, "%s: %s", TUN_PATH,
				     strerror(errno));
	}
	tap->fds[tap->n_fds++] = fd;
	memcpy(ifr.ifr_name, tap->name, sizeof(ifr.ifr_name));
	if (info->n_pairs > 1) {
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	}
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		return refuse(tap, errno);
	}
	(void)snprintf(tap->name, sizeof(tap->name), "%.*s", IFNAMSIZ - 1,
		       ifr.ifr_name);
	return set_up_queue(fd, info);
}

static int set_of_interface(const struct tap_if *tap, int sock,
			    unsigned long what, struct ifreq *ifr)
{
	memcpy(ifr->ifr_name, tap->name, sizeof(ifr->ifr_name));
	return ioctl(sock, what, ifr) < 0 ? -errno : 0;
}

static int configure(const struct tap_if *tap,
		     const struct vdpakit_net_info *info)
{
	_cleanup_close_ int sock =
		socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };
	int r;

	if (sock < 0) {
		return err(-errno, "socket: %s", strerror(errno));
	}
	memcpy(ifr.ifr_hwaddr.sa_data, info->mac, sizeof(info->mac));
	r = set_of_interface(tap, sock, SIOCSIFHWADDR, &ifr);
	if (r < 0) {
		return err(r, "%s: the device's address: %s", tap->name,
			   strerror(-r));
	}
	if (info->mtu > 0) {
		ifr = (struct ifreq){ .ifr_mtu = info->mtu };
		r = set_of_interface(tap, sock, SIOCSIFMTU, &ifr);
		if (r < 0) {
			return err(r, "%s: the device's MTU of %u: %s",
				   tap->name, info->mtu, strerror(-r));
		}
	}
	ifr = (struct ifreq){ .ifr_flags = 0 };
	r = set_of_interface(tap, sock, SIOCGIFFLAGS, &ifr);
	ifr.ifr_flags |= IFF_UP;
	r = r < 0 ? r : set_of_interface(tap, sock, SIOCSIFFLAGS, &ifr);
	return r < 0 ? err(r, "%s: bringing it up: %s", tap->name, strerror(-r))
		     : 0;
}

int tap_if_open(struct tap_if *tap, const struct vdpakit_net_info *info)
{
	int r = 0;

	while (r == 0 && tap->n_fds < info->n_pairs) {
		r = add_queue(tap, info);
	}
	if (r == 0) {
		r = configure(tap, info);
	}
	if (r == 0) {
		tap_if_set_carrier(tap, info->is_link_up);
	} else {
		tap_if_close(tap);
	}
	return r;
}

void tap_if_close(struct tap_if *tap)
{
	while (tap->n_fds > 0) {
		tap->n_fds--;
		tap->fds[tap->n_fds] = close_fd(tap->fds[tap->n_fds]);
	}
}

void tap_if_set_carrier(const struct tap_if *tap, bool is_up)
{
	const int value = is_up;

	/* Since Linux 5.0; without it the link looks up. */
	(void)ioctl(tap->fds[0], TUNSETCARRIER, &value);
}

/* ---- frames ---- */

int tap_if_read(int fd, uint8_t *buf, struct vdpakit_net_offload *ret)
{
	struct virtio_net_hdr_v1 h;
	ssize_t n = read(fd, buf, TAP_READ_MAX);

	if (n < 0) {
		return errno == EAGAIN || errno == EINTR
			       ? 0
			       : err(-errno, "the interface: %s",
				     strerror(errno));
	}
	if ((size_t)n < VDPAKIT_NET_HDR_BYTES + VDPAKIT_NET_FRAME_MIN) {
		return 0;
	}
	memcpy(&h, buf, sizeof(h));
	*ret = (struct vdpakit_net_offload){
		.flags = h.flags &
			 (VDPAKIT_NET_NEEDS_CSUM | VDPAKIT_NET_DATA_VALID),
		.gso_type = h.gso_type,
		.hdr_len = le16toh(h.hdr_len),
		.gso_size = le16toh(h.gso_size),
		.csum_start = le16toh(h.csum_start),
		.csum_offset = le16toh(h.csum_offset),
	};
	return (int)n - VDPAKIT_NET_HDR_BYTES;
}

static void fill_header(struct virtio_net_hdr_v1 *h,
			const struct vdpakit_net_offload *o)
{
	*h = (struct virtio_net_hdr_v1){
		.flags = o->flags,
		.gso_type = o->gso_type,
		.hdr_len = htole16(o->hdr_len),
		.gso_size = htole16(o->gso_size),
		.csum_start = htole16(o->csum_start),
		.csum_offset = htole16(o->csum_offset),
	};
}

int tap_if_write(int fd, const struct vdpakit_net_received *frame)
{
	const struct vdpakit_net_piece *p = frame->pieces;
	struct iovec iov[PIECES_MAX + 1];
	struct virtio_net_hdr_v1 h;
	int n = 1;

	if (frame->n_pieces > PIECES_MAX) {
		return 0;
	}
	fill_header(&h, &frame->offload);
	iov[0] = (struct iovec){ &h, sizeof(h) };
	for (unsigned int i = 0; i < frame->n_pieces; i++, p = p->next) {
		iov[n++] = (struct iovec){ p->data, p->len_bytes };
	}
	if (writev(fd, iov, n) >= 0) {
		return 1;
	}
	/* It is down, has no room, or did not like the header; or was deleted. */
	return errno == EBADFD ? err(-ENODEV, "the interface was deleted") : 0;
}
