/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One disk of the management device blk and a driver on it, for its tests.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/disk.h"

struct disk *disk_start_on(struct sim *sim, uint64_t features, const char *keys,
			   unsigned int n_queues)
{
	struct disk *d = calloc(1, sizeof(*d));
	int ret;

	assert_non_null(d);
	d->w = vworld_new(sim, 2);
	ret = vworld_add_keys(d->w, "blk", "d0", 0, keys);
	if (ret < 0) {
		fail_msg("%s: %s", keys, err_text(ret));
	}
	assert_int_equal(vclient_open(d->w, "vhost-vdpa-0", &d->c), 0);
	vclient_start(d->c, features, n_queues, 256);
	d->buf = vclient_alloc(d->c, DISK_BUF, 4096);
	return d;
}

struct disk *disk_start(uint64_t features, const char *keys,
			unsigned int n_queues)
{
	return disk_start_on(NULL, features, keys, n_queues);
}

void disk_stop(struct disk *d)
{
	vclient_close(d->c);
	vworld_free(d->w);
	free(d);
}

int disk_set_up_split(void **state)
{
	*state = disk_start(ALL_FEATURES, DISK_KEYS, 1);
	return 0;
}

int disk_set_up_packed(void **state)
{
	*state = disk_start(ALL_FEATURES | RING_PACKED, DISK_KEYS, 1);
	return 0;
}

int disk_tear_down(void **state)
{
	disk_stop(*state);
	return 0;
}

uint8_t disk_io(struct disk *d, uint32_t type, uint64_t sector, uint32_t len)
{
	return vclient_blk(d->c, 0, type, sector, d->buf, len);
}

uint32_t disk_raw(struct disk *d, const struct vq_sg *sg,
		  unsigned int n_readable, unsigned int n_writable)
{
	vclient_add(d->c, 0, sg, n_readable, n_writable, d);
	return vclient_run_one(d->c, 0).written;
}

void disk_set_header(struct disk *d, uint32_t type, uint64_t sector)
{
	struct virtio_blk_outhdr *hdr = (void *)d->buf;

	hdr->type = htole32(type);
	hdr->ioprio = 0;
	hdr->sector = htole64(sector);
}

uint64_t disk_at(struct disk *d, size_t off)
{
	return vclient_iova(d->c, d->buf) + off;
}

uint8_t disk_ranged(struct disk *d, uint32_t type, const struct range *ranges,
		    unsigned int n, uint32_t extra_bytes)
{
	struct virtio_blk_discard_write_zeroes *wire = (void *)d->buf;

	for (unsigned int i = 0; i < n; i++) {
		wire[i].sector = htole64(ranges[i].sector);
		wire[i].num_sectors = htole32(ranges[i].n_sectors);
		wire[i].flags = htole32(ranges[i].flags);
	}
	return disk_io(d, type, 0, n * (uint32_t)sizeof(*wire) + extra_bytes);
}

int disk_resize(struct disk *d, const char *value)
{
	struct vdpa_dev_config config = { .n_params = 1 };

	strcpy(config.params[0].key, "capacity");
	strcpy(config.params[0].value, value);
	return vdpa_dev_set(d->w->bus, "d0", &config);
}

uint64_t disk_capacity(struct disk *d)
{
	struct virtio_blk_config config;

	vclient_get_config(d->c, &config, 72);
	return le64toh(config.capacity);
}

uint64_t disk_stat(struct disk *d, const char *name)
{
	return vworld_stat(d->w, "d0", 0, name);
}
