/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words that iproute2's vdpa uses for virtio ids and bits.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MGMT_NAMES_H
#define MGMT_NAMES_H

#include "base/util.h"

enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLK = 2,
};

/* Of a device: "network", "block"; "<unknown type>" for all others. */
const char *name_of_type(uint32_t device_id);
/* Of a management device: "net", "block"; "< unknown class >" otherwise. */
const char *name_of_class(uint32_t device_id);

/**
 * name_of_feature() - a virtio feature bit in words
 * @device_id: whose bits below 24 and above 49 are meant
 * @bit: 0..63
 *
 * Return: as the specification has it, without its prefix; NULL: no name that
 *         iproute2 prints
 */
const char *name_of_feature(uint32_t device_id, unsigned int bit);

#endif
