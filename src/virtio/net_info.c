/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The net driver: what the device says of itself. See net_internal.h.
 *
 * Theory of operation
 *
 * The config space is read as a whole into a private copy; what of it a feature
 * makes valid is checked and goes to net->info, which is control's. Any thread
 * may ask for it: control shows it word by word under a number that is odd
 * meanwhile.
 *
 * How many pairs there are is asked at a start only; the rest may change while
 * the device runs. What makes no sense then breaks the device.
 *
 * Source: virtio 1.2, "Network Device", "Device configuration layout"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <linux/virtio_config.h>

#include "base/err.h"
#include "virtio/net_internal.h"

/* What the standard allows of max_virtqueue_pairs. */
#define PAIRS_MAX 0x8000
/* The least that IPv4 can work with. */
#define MTU_MIN	     68
#define DUPLEX_FULL  1
#define DUPLEX_KNOWN 1 /* at most */
/* Speeds that there are fit in 31 bits. */
#define SPEED_MAX INT32_MAX
/* Of struct virtio_net_config; the system's may be shorter. */
#define CONFIG_MAC_END	  6
#define CONFIG_STATUS_END 8
#define CONFIG_PAIRS_END  10
#define CONFIG_MTU_END	  12
#define CONFIG_DUPLEX_END 17

struct reading {
	struct vdpakit_net *net;
	struct virtio_net_config config;
	struct vdpakit_net_info *info; /* as it was; becomes what is read */
};

static bool has(const struct reading *r, unsigned int bit)
{
	return virtio_has_feature(r->net->vdev, bit);
}

static const char *name_of(const struct reading *r)
{
	return r->net->vdev->name;
}

static int check_length(const struct reading *r)
{
	static const struct {
		unsigned int bit;
		uint32_t end;
	} fields[] = {
		{ VIRTIO_NET_F_MAC, CONFIG_MAC_END },
		{ VIRTIO_NET_F_STATUS, CONFIG_STATUS_END },
		{ VIRTIO_NET_F_MQ, CONFIG_PAIRS_END },
		{ VIRTIO_NET_F_MTU, CONFIG_MTU_END },
		{ VIRTIO_NET_F_SPEED_DUPLEX, CONFIG_DUPLEX_END },
	};
	struct virtio_device *vdev = r->net->vdev;
	uint32_t size =
		min_of(vdev->config_size, vdev->config->get_config_size(vdev));

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (has(r, fields[i].bit) && size < fields[i].end) {
			return err(
				-EPROTO,
				"%s: its config space of %u bytes lacks what "
				"feature %u says is there",
				vdev->name, size, fields[i].bit);
		}
	}
	return 0;
}

/* A device without an address gets one that is for local use, once. */
static int make_up_mac(struct vdpakit_net_info *info)
{
	if (info->is_mac_random) {
		return 0;
	}
	if (getrandom(info->mac, sizeof(info->mac), 0) !=
	    (ssize_t)sizeof(info->mac)) {
		return err(-errno, "no random address: %s", strerror(errno));
	}
	info->mac[0] = (uint8_t)((info->mac[0] & ~1U) | 2U);
	info->is_mac_random = true;
	return 0;
}

static int read_mac(struct reading *r)
{
	static const uint8_t none[6];

	if (r->net->ctrl.has_mac) {
		memcpy(r->info->mac, r->net->ctrl.mac, sizeof(r->info->mac));
		return 0;
	}
	if (!has(r, VIRTIO_NET_F_MAC) ||
	    memcmp(r->config.mac, none, sizeof(none)) == 0) {
		return make_up_mac(r->info);
	}
	if (r->config.mac[0] & 1) {
		return err(-EPROTO,
			   "%s: its address %02x:%02x:... is no device's but a "
			   "group's",
			   name_of(r), r->config.mac[0], r->config.mac[1]);
	}
	memcpy(r->info->mac, r->config.mac, sizeof(r->info->mac));
	r->info->is_mac_random = false;
	return 0;
}

static int read_status(struct reading *r)
{
	uint16_t status = VIRTIO_NET_S_LINK_UP;

	if (has(r, VIRTIO_NET_F_STATUS)) {
		status = le16toh(r->config.status);
	}
	r->info->is_link_up = status & VIRTIO_NET_S_LINK_UP;
	r->info->wants_announce = has(r, VIRTIO_NET_F_GUEST_ANNOUNCE) &&
				  (status & VIRTIO_NET_S_ANNOUNCE);
	return 0;
}

static int read_mtu(struct reading *r)
{
	uint16_t mtu = le16toh(r->config.mtu);

	r->info->mtu = 0;
	if (!has(r, VIRTIO_NET_F_MTU)) {
		return 0;
	}
	if (mtu < MTU_MIN) {
		return err(-EPROTO,
			   "%s: an MTU of %u cannot be: %u is the "
			   "least",
			   name_of(r), mtu, MTU_MIN);
	}
	r->info->mtu = mtu;
	return 0;
}

/* Advice only: what is not to be understood is not said. */
static int read_speed(struct reading *r)
{
	uint32_t speed = le32toh(r->config.speed);

	r->info->speed_mbps = 0;
	r->info->is_full_duplex = true;
	if (has(r, VIRTIO_NET_F_SPEED_DUPLEX)) {
		r->info->speed_mbps = speed <= SPEED_MAX ? speed : 0;
		r->info->is_full_duplex = r->config.duplex == DUPLEX_FULL ||
					  r->config.duplex > DUPLEX_KNOWN;
	}
	return 0;
}

static int read_pairs(struct reading *r)
{
	uint32_t n_vqs = r->net->vdev->config->get_n_vqs(r->net->vdev);
	uint32_t n = le16toh(r->config.max_virtqueue_pairs);
	bool has_ctrl = has(r, VIRTIO_NET_F_CTRL_VQ);

	if (!has(r, VIRTIO_NET_F_MQ)) {
		n = 1;
	}
	if (n == 0 || n > PAIRS_MAX || 2 * n + has_ctrl > n_vqs) {
		return err(-EPROTO,
			   "%s: %u pairs of queues cannot be, of %u queues",
			   name_of(r), n, n_vqs);
	}
	r->info->max_pairs = (uint16_t)n;
	return 0;
}

static int read_config(struct vdpakit_net *net, struct reading *ret)
{
	int r;

	ret->net = net;
	r = check_length(ret);
	return r < 0 ? r
		     : virtio_cread(net->vdev, 0, &ret->config,
				    sizeof(ret->config));
}

int net_info_read(struct vdpakit_net *net)
{
	static int (*const readers[])(struct reading * r) = {
		read_mac,
		read_status,
		read_mtu,
		read_speed,
	};
	struct vdpakit_net_info info = net->info;
	struct reading r = { .info = &info };
	int ret = read_config(net, &r);

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(readers); i++) {
		ret = readers[i](&r);
	}
	if (ret == 0) {
		net->info = info;
	}
	return ret;
}

int net_info_begin(struct vdpakit_net *net)
{
	struct reading r = { .info = &net->info };
	int ret = net_info_read(net);

	if (ret == 0) {
		ret = read_config(net, &r);
	}
	return ret < 0 ? ret : read_pairs(&r);
}

/* ---- for everybody ---- */

void net_info_show(struct vdpakit_net *net)
{
	union net_info_words words = { .words = { 0 } };
	uint32_t seq = __atomic_load_n(&net->info_seq, __ATOMIC_RELAXED);

	net->info.generation++;
	net->info.needs_reset =
		__atomic_load_n(&net->vdev->is_broken, __ATOMIC_RELAXED) != 0;
	words.info = net->info;
	__atomic_store_n(&net->info_seq, seq + 1, __ATOMIC_RELAXED);
	/* [info] The number is odd before any word is new; pairs with
	 * vdpakit_net_get_info(). */
	for (size_t i = 0; i < ARRAY_SIZE(words.words); i++) {
		__atomic_store_n(&net->shown.words[i], words.words[i],
				 __ATOMIC_RELEASE);
	}
	__atomic_store_n(&net->info_seq, seq + 2, __ATOMIC_RELEASE);
}

void vdpakit_net_get_info(const struct vdpakit_net *net,
			  struct vdpakit_net_info *ret, size_t size)
{
	union net_info_words words;
	uint32_t seq;

	do {
		seq = __atomic_load_n(&net->info_seq, __ATOMIC_ACQUIRE);
		/* Pairs with [info]: a new word, then the odd number too. */
		for (size_t i = 0; i < ARRAY_SIZE(words.words); i++) {
			words.words[i] = __atomic_load_n(&net->shown.words[i],
							 __ATOMIC_ACQUIRE);
		}
	} while ((seq & 1) ||
		 __atomic_load_n(&net->info_seq, __ATOMIC_RELAXED) != seq);
	memset(ret, 0, size);
	memcpy(ret, &words.info, min_of(size, sizeof(words.info)));
}

void net_info_changed(void *priv)
{
	struct vdpakit_net *net = priv;

	if (!net->is_running) {
		return;
	}
	if (!__atomic_load_n(&net->vdev->is_broken, __ATOMIC_RELAXED) &&
	    net_info_read(net) == -EPROTO) {
		virtio_break(net->vdev);
	}
	net_ctrl_look(net);
	net_info_show(net);
	if (net->options.changed) {
		net->options.changed(net->options.priv);
	}
}
