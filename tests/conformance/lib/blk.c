/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block requests.
 *
 * Source: virtio 1.2, "Block Device", "Device Operation"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "blk.h"

#include <endian.h>

#define SLOT_BYTES 0x40
#define SLOT_STATE 0x20

struct blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

void blk_start(struct client *cl, struct conf *c, uint16_t num, uint64_t want)
{
	client_start(cl, c, conf_node_of(CONF_DEVICE_BLK), want, 1, num);
}

static bool is_from_device(uint32_t type)
{
	return type == BLK_T_IN || type == BLK_T_GET_ID;
}

static char *slot_va(const struct client *cl, unsigned int slot)
{
	return client_buf(cl, (size_t)slot * SLOT_BYTES);
}

int blk_add(struct client *cl, unsigned int slot, uint32_t type,
	    uint64_t sector, const void *data, uint32_t len)
{
	char *va = slot_va(cl, slot);
	struct blk_header *header = (void *)va;
	struct ring_piece pieces[3];
	unsigned int n = 0;

	*header = (struct blk_header){ .type = htole32(type),
				       .sector = htole64(sector) };
	va[SLOT_STATE] = BLK_S_NONE;
	pieces[n++] = (struct ring_piece){ client_iova(cl, header),
					   sizeof(*header), false };
	if (len > 0) {
		pieces[n++] = (struct ring_piece){ client_iova(cl, data), len,
						   is_from_device(type) };
	}
	pieces[n++] = (struct ring_piece){ client_iova(cl, va + SLOT_STATE), 1,
					   true };
	return ring_add(&cl->vqs[0].ring, pieces, n, cl->features & F_INDIRECT);
}

uint8_t blk_status(const struct client *cl, unsigned int slot)
{
	return (uint8_t)slot_va(cl, slot)[SLOT_STATE];
}

int blk_io(struct client *cl, uint32_t type, uint64_t sector, const void *data,
	   uint32_t len)
{
	int head = blk_add(cl, 0, type, sector, data, len);
	uint16_t id;
	uint32_t written;

	if (head < 0) {
		return -1;
	}
	client_kick(&cl->vqs[0]);
	if (!client_wait(&cl->vqs[0], CONF_WAIT_MS, &id, &written) ||
	    id != head) {
		return -1;
	}
	return blk_status(cl, 0);
}

bool blk_works(struct client *cl)
{
	char *id = client_buf(cl, BLK_DATA);

	memset(id, 0, BLK_ID_BYTES);
	return blk_io(cl, BLK_T_GET_ID, 0, id, BLK_ID_BYTES) == BLK_S_OK &&
	       id[0] != '\0';
}
