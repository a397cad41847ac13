/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kv_disk: a disk on a store of values by key: each sector is a file of this
 * folder. Puts standard input on it, and all of it to standard output.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <linux/virtio_blk.h>

#include <vdpakit/client.h>
#include <vdpakit/soft.h>

#include "kv_store.h"

#define N_BLOCKS 1024
#define BLOCK	 KV_VALUE_BYTES

/* A header, whole blocks, a byte of status. Return: bytes written */
static uint32_t serve(struct vdpakit_request *req)
{
	uint32_t in = vdpakit_request_writable_bytes(req);
	struct virtio_blk_outhdr hdr = { 0 };
	int is_ok = in > 0 && !vdpakit_request_read(req, 0, &hdr, 16);
	int is_set = hdr.type == htole32(VIRTIO_BLK_T_OUT);
	uint64_t key = le64toh(hdr.sector);
	uint32_t out = vdpakit_request_readable_bytes(req) - sizeof(hdr), at;
	char value[BLOCK], status;

	is_ok &= is_set || hdr.type == htole32(VIRTIO_BLK_T_IN);
	for (at = 0; is_ok && at < (is_set ? out : in - 1); at += BLOCK) {
		if (is_set)
			vdpakit_request_read(req, 16 + at, value, BLOCK);
		is_ok = key < N_BLOCKS &&
			(is_set ? kv_set(key++, value) : kv_get(key++, value));
		if (!is_set)
			vdpakit_request_write(req, at, value, BLOCK);
	}
	status = is_ok ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	return vdpakit_request_write(req, in - 1, &status, 1) ? 0 : in;
}

static void submit(struct vdpakit_device *dev, uint16_t queue,
		   struct vdpakit_request *const *reqs, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		vdpakit_request_complete(reqs[i], serve(reqs[i]));
}

static void get_config(struct vdpakit_device *dev, uint32_t offset, void *buf,
		       uint32_t len)
{
	const uint64_t capacity = htole64(N_BLOCKS);

	memcpy(buf, (const char *)&capacity + offset, len);
}

int main(void)
{
	static const struct vdpakit_device_class disk = {
		.size = sizeof(disk),
		.device_id = 2,
		.n_queues = 1,
		.config_bytes = sizeof(uint64_t),
		.submit = submit,
		.get_config = get_config,
	};
	struct vdpakit_blk_queue *q;
	struct vdpakit_blk *blk;
	struct vdpakit *kit;
	void *buf;

	if (vdpakit_new(NULL, &kit) < 0 ||
	    vdpakit_device_new(kit, "kv", &disk, NULL, NULL) < 0 ||
	    vdpakit_blk_open(kit, "kv", NULL, &blk) < 0 ||
	    vdpakit_mem_alloc(kit, BLOCK, &buf) < 0)
		errx(1, "%s", vdpakit_error());
	q = vdpakit_blk_get_queue(blk, 0);
	for (int i = 0; i < N_BLOCKS; i++)
		if ((fread(buf, BLOCK, 1, stdin) == 1 &&
		     vdpakit_blk_write(q, buf, BLOCK, i * BLOCK) < 0) ||
		    vdpakit_blk_read(q, buf, BLOCK, i * BLOCK) < 0 ||
		    fwrite(buf, BLOCK, 1, stdout) != 1)
			errx(1, "%s", vdpakit_error());
	vdpakit_free(kit);
}
