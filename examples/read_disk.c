/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * read_disk "MGMTDEV KEY=VALUE...": a disk, whatever is behind it, to standard
 * output: read_disk "blk backend=file path=/tmp/disk" >copy
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include <vdpakit/client.h>

#define CHUNK_BYTES (64 << 10)
#define DEPTH	    8

struct chunk {
	char *buf;
	uint32_t len_bytes;
	int is_done;
};

static uint64_t offset; /* of the next request */
static struct vdpakit_blk_info info;

/* Begins to read the next chunk, unless the end was reached. */
static void start(struct vdpakit_blk_queue *q, struct chunk *c)
{
	struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_READ,
				       .offset_bytes = offset,
				       .buf = c->buf,
				       .user = c };
	uint64_t left = info.capacity_bytes - offset;

	c->is_done = 0;
	c->len_bytes = left < CHUNK_BYTES ? left : CHUNK_BYTES;
	req.len_bytes = c->len_bytes;
	offset += c->len_bytes;
	if (c->len_bytes > 0 && vdpakit_blk_add(q, &req, 1) != 1)
		errx(1, "%s", vdpakit_error());
}

/* Sends what was begun, and waits until this one is done. */
static void wait_for(struct vdpakit_blk_queue *q, const struct chunk *c)
{
	while (!c->is_done) {
		struct vdpakit_blk_done done[DEPTH];
		int n = vdpakit_blk_wait(q, done, 1, DEPTH, -1);

		for (int i = 0; i < n; i++) {
			if (done[i].result)
				errx(1, "a read failed");
			((struct chunk *)done[i].user)->is_done = 1;
		}
	}
}

int main(int argc, char **argv)
{
	struct chunk chunks[DEPTH], *c;
	struct vdpakit_blk_queue *q;
	struct vdpakit_blk *blk;
	struct vdpakit *kit;
	char words[1024];
	void *memory;

	snprintf(words, sizeof(words), "disk %s", argc > 1 ? argv[1] : "");
	if (vdpakit_new(NULL, &kit) < 0 || vdpakit_dev_add(kit, words) < 0 ||
	    vdpakit_blk_open(kit, "disk", NULL, &blk) < 0 ||
	    vdpakit_mem_alloc(kit, DEPTH * CHUNK_BYTES, &memory) < 0)
		errx(1, "%s", vdpakit_error());
	vdpakit_blk_get_info(blk, &info, sizeof(info));
	q = vdpakit_blk_get_queue(blk, 0);
	for (int i = 0; i < DEPTH; i++) {
		chunks[i].buf = (char *)memory + i * CHUNK_BYTES;
		start(q, &chunks[i]);
	}
	for (int i = 0; chunks[i].len_bytes > 0; i = (i + 1) % DEPTH) {
		c = &chunks[i];
		wait_for(q, c);
		if (fwrite(c->buf, c->len_bytes, 1, stdout) != 1)
			err(1, "standard output");
		start(q, c);
	}
	vdpakit_free(kit); /* closes all there is */
	return 0;
}
