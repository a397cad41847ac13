/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words that iproute2's vdpa uses for virtio ids and bits.
 *
 * Which bits have a name, and which name, is iproute2's choice: only those of
 * network devices, and the transport's from 28 to 38. All others are shown as
 * numbers, in its output as in ours.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/names.h"

static const struct {
	const char *type;
	const char *class_name;
} ids[] = {
	[VIRTIO_ID_NET] = { "network", "net" },
	[VIRTIO_ID_BLK] = { "block", "block" },
};

static const char *const net_features[64] = {
	[0] = "CSUM",
	[1] = "GUEST_CSUM",
	[2] = "CTRL_GUEST_OFFLOADS",
	[3] = "MTU",
	[5] = "MAC",
	[7] = "GUEST_TSO4",
	[8] = "GUEST_TSO6",
	[9] = "GUEST_ECN",
	[10] = "GUEST_UFO",
	[11] = "HOST_TSO4",
	[12] = "HOST_TSO6",
	[13] = "HOST_ECN",
	[14] = "HOST_UFO",
	[15] = "MRG_RXBUF",
	[16] = "STATUS",
	[17] = "CTRL_VQ",
	[18] = "CTRL_RX",
	[19] = "CTRL_VLAN",
	[20] = "CTRL_RX_EXTRA",
	[21] = "GUEST_ANNOUNCE",
	[22] = "MQ",
	[23] = "CTRL_MAC_ADDR",
	[24] = "NOTIFY_ON_EMPTY",
	[27] = "ANY_LAYOUT",
	[57] = "HASH_REPORT",
	[60] = "RSS",
	[61] = "RSC_EXT",
	[62] = "STANDBY",
	[63] = "SPEED_DUPLEX",
};

static const char *const transport_features[64] = {
	[28] = "RING_INDIRECT_DESC", [29] = "RING_EVENT_IDX",
	[32] = "VERSION_1",	     [33] = "ACCESS_PLATFORM",
	[34] = "RING_PACKED",	     [35] = "IN_ORDER",
	[36] = "ORDER_PLATFORM",     [37] = "SR_IOV",
	[38] = "NOTIFICATION_DATA",
};

const char *name_of_type(uint32_t device_id)
{
	if (device_id < ARRAY_SIZE(ids) && ids[device_id].type) {
		return ids[device_id].type;
	}
	return "<unknown type>";
}

const char *name_of_class(uint32_t device_id)
{
	if (device_id < ARRAY_SIZE(ids) && ids[device_id].class_name) {
		return ids[device_id].class_name;
	}
	return "< unknown class >";
}

const char *name_of_feature(uint32_t device_id, unsigned int bit)
{
	if (bit >= 64) {
		return NULL;
	}
	if (device_id == VIRTIO_ID_NET && net_features[bit]) {
		return net_features[bit];
	}
	return transport_features[bit];
}
