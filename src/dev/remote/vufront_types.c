/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user front end: what kinds of devices there are, and what of each the
 * front end has to do: the protocol does not say which one a back end is, and
 * leaves config spaces of some to us.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/parse.h"
#include "dev/remote/vufront_internal.h"

/* ---- network ---- */

#define NET_CONFIG_BYTES 12
#define NET_OWN                                                     \
	(BIT_ULL(VIRTIO_NET_F_MAC) | BIT_ULL(VIRTIO_NET_F_STATUS) | \
	 BIT_ULL(VIRTIO_NET_F_MTU))
/* Whoever has the control queue is the front end: we have none, nor what needs
 * one or a larger config space. */
#define NET_HIDDEN                                                         \
	(NET_OWN | BIT_ULL(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |             \
	 BIT_ULL(VIRTIO_NET_F_CTRL_VQ) | BIT_ULL(VIRTIO_NET_F_CTRL_RX) |   \
	 BIT_ULL(VIRTIO_NET_F_CTRL_VLAN) |                                 \
	 BIT_ULL(VIRTIO_NET_F_CTRL_RX_EXTRA) |                             \
	 BIT_ULL(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT_ULL(VIRTIO_NET_F_MQ) | \
	 BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR) |                             \
	 BIT_ULL(52) /* VQ_NOTF_COAL */ | BIT_ULL(53) /* NOTF_COAL */ |    \
	 BIT_ULL(57) /* HASH_REPORT */ | BIT_ULL(60) /* RSS */ |           \
	 BIT_ULL(61) /* RSC_EXT */ | BIT_ULL(62) /* STANDBY */ |           \
	 BIT_ULL(63) /* SPEED_DUPLEX */)

static uint64_t fill_net(const struct vufront_options *o,
			 const struct vufront_facts *facts, uint8_t *config)
{
	struct virtio_net_config net;
	uint64_t own = BIT_ULL(VIRTIO_NET_F_STATUS);

	memcpy(&net, config, NET_CONFIG_BYTES);
	if (facts->config_size > 0) {
		own = facts->features & NET_OWN;
	} else {
		net.status = htole16(VIRTIO_NET_S_LINK_UP);
		net.max_virtqueue_pairs = htole16(1);
	}
	if (o->has_mac) {
		memcpy(net.mac, o->mac, sizeof(net.mac));
		own |= BIT_ULL(VIRTIO_NET_F_MAC);
	}
	memcpy(config, &net, NET_CONFIG_BYTES);
	return own;
}

/* ---- file system ---- */

#define FS_QUEUES 2 /* urgent, and requests */

static uint64_t fill_fs(const struct vufront_options *o,
			const struct vufront_facts *facts, uint8_t *config)
{
	uint32_t n = htole32((o->n_queues > 1 ? o->n_queues : FS_QUEUES) - 1);

	if (facts->config_size == 0) {
		memcpy(config, o->tag, VUFRONT_TAG_BYTES);
		memcpy(config + VUFRONT_TAG_BYTES, &n, sizeof(n));
	}
	return 0;
}

/* ---- the table ---- */

/* Through the write zeroes fields: as much as every back end knows. */
#define BLK_CONFIG_BYTES 60

static const struct vufront_type types[] = {
	{ .name = "net",
	  .id = VIRTIO_ID_NET,
	  .n_queues = 2,
	  .config_size = NET_CONFIG_BYTES,
	  .hidden = NET_HIDDEN,
	  .fill = fill_net },
	{ .name = "blk",
	  .id = VIRTIO_ID_BLOCK,
	  .config_size = BLK_CONFIG_BYTES,
	  .queues_at = offsetof(struct virtio_blk_config, num_queues),
	  .mq_bit = VIRTIO_BLK_F_MQ,
	  .hidden = BIT_ULL(16) /* SECURE_ERASE */ | BIT_ULL(17) /* ZONED */ },
	{ .name = "console",
	  .id = VIRTIO_ID_CONSOLE,
	  .n_queues = 2,
	  .config_size = sizeof(struct virtio_console_config),
	  .hidden = BIT_ULL(VIRTIO_CONSOLE_F_MULTIPORT) },
	{ .name = "rng", .id = VIRTIO_ID_RNG, .n_queues = 1 },
	{ .name = "vsock",
	  .id = VIRTIO_ID_VSOCK,
	  .n_queues = 3,
	  .config_size = 8 },
	{ .name = "fs",
	  .id = VIRTIO_ID_FS,
	  .n_queues = FS_QUEUES,
	  .config_size = VUFRONT_TAG_BYTES + 4,
	  .hidden = BIT_ULL(0), /* NOTIFICATION: one more queue */
	  .fill = fill_fs },
	{ .name = "i2c", .id = 34, .n_queues = 1 },
	{ .name = "gpio", .id = 41, .n_queues = 2, .config_size = 8 },
	{ .name = "sound", .id = 25, .n_queues = 4, .config_size = 12 },
};

int vufront_type_find(const char *text, const struct vufront_type **ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(types[i].name, text) == 0) {
			*ret = &types[i];
			return 0;
		}
	}
	return err(-EINVAL,
		   "type: '%s' is none of net, blk, console, rng, vsock, fs, "
		   "i2c, gpio, sound",
		   text);
}

uint64_t vufront_classes(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		mask |= BIT_ULL(types[i].id);
	}
	return mask;
}
