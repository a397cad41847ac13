/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-blk class: requests and their limits.
 *
 * A request is struct virtio_blk_outhdr and its data, readable, then data and
 * one status byte, writable; the status is the very last writable byte. A
 * request without header or status byte cannot be answered: it is completed
 * with nothing written.
 *
 * Source: virtio 1.2, "Block Device", "Device Operation"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/blk.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#define HDR_BYTES sizeof(struct virtio_blk_outhdr)
/* What the config space says of requests. */
#define BLK_SIZE_MAX	      4096
#define BLK_SEG_MAX	      32
#define BLK_DISCARD_ALIGNMENT 512
#define BLK_DISCARD_SECTORS   0xffffffffU
#define BLK_DISCARD_SEGMENTS  1
/* Work of one round, after which others have their turn (H92); one request at
 * least. */
#define BLK_ROUND_BYTES (8U << 20)

/* One request, its header in private memory. */
struct request {
	struct vq_chain *chain;
	uint32_t type;
	uint64_t sector;
	uint32_t out_bytes; /* data to the device */
	uint32_t in_bytes; /* data to the driver, without the status */
	uint32_t written; /* data written, from the first byte on */
	uint64_t work_bytes; /* moved or cleared */
};

static bool in_capacity(const struct blk_dev *blk, uint64_t sector,
			uint64_t n_bytes)
{
	return n_bytes % BLK_SECTOR_BYTES == 0 &&
	       range_fits(sector, n_bytes / BLK_SECTOR_BYTES,
			  blk->capacity_sectors);
}

static uint8_t status_of(int ret)
{
	return ret < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static uint8_t do_in(struct blk_dev *blk, struct request *req)
{
	int ret;

	if (!in_capacity(blk, req->sector, req->in_bytes)) {
		return VIRTIO_BLK_S_IOERR;
	}
	ret = blk->ops->read(blk, req->sector * BLK_SECTOR_BYTES, req->chain,
			     req->in_bytes);
	if (ret == 0) {
		req->written = req->in_bytes;
	}
	return status_of(ret);
}

static uint8_t do_out(struct blk_dev *blk, struct request *req)
{
	if (!in_capacity(blk, req->sector, req->out_bytes)) {
		return VIRTIO_BLK_S_IOERR;
	}
	return status_of(blk->ops->write(blk, req->sector * BLK_SECTOR_BYTES,
					 req->chain, HDR_BYTES,
					 req->out_bytes));
}

static uint8_t do_flush(struct blk_dev *blk, struct request *req)
{
	return req->sector != 0 ? VIRTIO_BLK_S_IOERR
				: status_of(blk->ops->flush(blk));
}

static uint8_t do_get_id(struct blk_dev *blk, struct request *req)
{
	if (req->sector != 0 || req->in_bytes < BLK_ID_BYTES ||
	    vq_chain_write(req->chain, 0, blk->id, BLK_ID_BYTES) < 0) {
		return VIRTIO_BLK_S_IOERR;
	}
	req->written = BLK_ID_BYTES;
	return VIRTIO_BLK_S_OK;
}

/* Discard and write zeroes: one range, in a payload of its own. */
static uint8_t read_range(struct blk_dev *blk, struct request *req,
			  uint32_t allowed_flags, uint64_t *ret_offset,
			  uint64_t *ret_len, uint32_t *ret_flags)
{
	struct virtio_blk_discard_write_zeroes range;
	uint64_t sector, n_sectors;

	if (req->sector != 0 || req->out_bytes != sizeof(range) ||
	    vq_chain_read(req->chain, HDR_BYTES, &range, sizeof(range)) < 0) {
		return VIRTIO_BLK_S_IOERR;
	}
	*ret_flags = le32toh(range.flags);
	if (*ret_flags & ~allowed_flags) {
		return VIRTIO_BLK_S_UNSUPP;
	}
	sector = le64toh(range.sector);
	n_sectors = le32toh(range.num_sectors);
	if (!in_capacity(blk, sector, n_sectors * BLK_SECTOR_BYTES)) {
		return VIRTIO_BLK_S_IOERR;
	}
	*ret_offset = sector * BLK_SECTOR_BYTES;
	*ret_len = n_sectors * BLK_SECTOR_BYTES;
	req->work_bytes += *ret_len;
	return VIRTIO_BLK_S_OK;
}

static uint8_t do_discard(struct blk_dev *blk, struct request *req)
{
	uint64_t offset, len;
	uint32_t flags;
	uint8_t status = read_range(blk, req, 0, &offset, &len, &flags);

	return status != VIRTIO_BLK_S_OK
		       ? status
		       : status_of(blk->ops->discard(blk, offset, len));
}

static uint8_t do_write_zeroes(struct blk_dev *blk, struct request *req)
{
	const uint32_t unmap = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	uint64_t offset, len;
	uint32_t flags;
	uint8_t status = read_range(blk, req, unmap, &offset, &len, &flags);

	if (status != VIRTIO_BLK_S_OK) {
		return status;
	}
	return status_of(
		blk->ops->write_zeroes(blk, offset, len, flags & unmap));
}

static uint8_t execute(struct blk_dev *blk, struct request *req)
{
	if (req->chain->is_faulty) {
		return VIRTIO_BLK_S_IOERR;
	}
	switch (req->type) {
	case VIRTIO_BLK_T_IN:
		return do_in(blk, req);
	case VIRTIO_BLK_T_OUT:
		return do_out(blk, req);
	case VIRTIO_BLK_T_FLUSH:
		return do_flush(blk, req);
	case VIRTIO_BLK_T_GET_ID:
		return do_get_id(blk, req);
	case VIRTIO_BLK_T_DISCARD:
		return do_discard(blk, req);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return do_write_zeroes(blk, req);
	default:
		/* The kernel's simulator says IOERR, the specification
		 * UNSUPP: clients of the simulator are what we have. */
		return VIRTIO_BLK_S_IOERR;
	}
}

/* Return: false when there is nothing that an answer could be made of. */
static bool parse(struct vq_chain *chain, struct request *req)
{
	struct virtio_blk_outhdr hdr;

	if (chain->writable_bytes == 0 ||
	    vq_chain_read(chain, 0, &hdr, sizeof(hdr)) < 0) {
		return false;
	}
	*req = (struct request){
		.chain = chain,
		.type = le32toh(hdr.type),
		.sector = le64toh(hdr.sector),
		.out_bytes = chain->readable_bytes - (uint32_t)HDR_BYTES,
		.in_bytes = chain->writable_bytes - 1,
		.work_bytes =
			(uint64_t)chain->readable_bytes + chain->writable_bytes,
	};
	return true;
}

/* Bytes that were written in all: the data, and the status when it could be
 * put where it belongs. */
static uint32_t put_status(struct request *req, uint8_t status)
{
	if (vq_chain_write(req->chain, req->in_bytes, &status, 1) < 0) {
		return req->written;
	}
	if (req->written < req->in_bytes) {
		req->chain->tail_bytes = 1;
	}
	return req->written + 1;
}

void blk_submit(struct soft_dev *dev, uint16_t idx, struct vq_chain **chains,
		unsigned int n)
{
	struct blk_dev *blk = blk_dev_of(dev);
	uint64_t work_bytes = 0;
	unsigned int i;

	for (i = 0; i < n && work_bytes < BLK_ROUND_BYTES; i++) {
		struct request req;
		uint32_t written = 0;

		if (parse(chains[i], &req)) {
			written = put_status(&req, execute(blk, &req));
			work_bytes += req.work_bytes;
		}
		soft_complete(dev, idx, chains[i], written);
	}
	soft_unfetch(dev, idx, n - i);
}

void blk_get_config(struct soft_dev *dev, uint32_t offset, void *buf,
		    uint32_t len)
{
	const struct blk_dev *blk = blk_dev_of(dev);
	const struct virtio_blk_config config = {
		.capacity = htole64(blk->capacity_sectors),
		.size_max = htole32(BLK_SIZE_MAX),
		.seg_max = htole32(BLK_SEG_MAX),
		.blk_size = htole32(BLK_SECTOR_BYTES),
		.min_io_size = htole16(1),
		.opt_io_size = htole32(1),
		.num_queues = htole16(blk->num_queues),
		.max_discard_sectors = htole32(BLK_DISCARD_SECTORS),
		.max_discard_seg = htole32(BLK_DISCARD_SEGMENTS),
		.discard_sector_alignment = htole32(BLK_DISCARD_ALIGNMENT),
		.max_write_zeroes_sectors = htole32(BLK_DISCARD_SECTORS),
		.max_write_zeroes_seg = htole32(BLK_DISCARD_SEGMENTS),
	};

	assert(range_fits(offset, len, dev->config_size));
	memcpy(buf, (const char *)&config + offset, len);
}

/* Nothing in it is the driver's to change. */
void blk_set_config(struct soft_dev *dev, uint32_t offset, const void *buf,
		    uint32_t len)
{
	(void)dev;
	(void)offset;
	(void)buf;
	(void)len;
}
