/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the virtio block driver on devices that behave.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "bus/virtio_rig.h"
#include "lib/test.h"
#include "virtio/blk.h"
#include "virtio/virtqueue.h"

#define DISK_BYTES (16U << 20)
#define DISK_KEYS  "backend=mem capacity=16M num_queues=4"

/* ---- one disk, as each kind of device and ring ---- */

struct kind {
	const char *mgmtdev;
	const char *keys;
	uint64_t without; /* of the features of rings */
};

#define RING(name) BIT_ULL(VIRTIO_RING_F_##name)
#define PACKED	   BIT_ULL(VIRTIO_F_RING_PACKED)
#define IN_ORDER   BIT_ULL(VIRTIO_F_IN_ORDER)
#define RING_ALL   (RING(INDIRECT_DESC) | RING(EVENT_IDX) | PACKED | IN_ORDER)
#define SIMULATOR  "vdpasim_blk", "capacity=16M num_queues=4"

static const struct kind kinds[] = {
	{ "blk", DISK_KEYS, 0 },
	{ "blk", DISK_KEYS, PACKED },
	{ "blk", DISK_KEYS, IN_ORDER },
	{ "blk", DISK_KEYS, PACKED | IN_ORDER },
	{ "blk", DISK_KEYS, RING(INDIRECT_DESC) },
	{ "blk", DISK_KEYS, RING(EVENT_IDX) | PACKED },
	{ "blk", DISK_KEYS, RING(EVENT_IDX) },
	{ "blk", DISK_KEYS, RING_ALL },
	{ SIMULATOR, 0 },
	{ SIMULATOR, PACKED },
	{ SIMULATOR, RING_ALL },
};

struct disk {
	struct vrig *r;
	struct virtio_device *vdev;
	struct vdpakit_blk *blk;
	struct vdpakit_blk_queue *q; /* the first */
	char *mem;
	unsigned int n_changed;
};

static void changed(void *priv)
{
	((struct disk *)priv)->n_changed++;
}

static uint64_t offered(struct vrig *r, const char *mgmtdev)
{
	return vdpa_mgmtdev_find(r->w->bus, NULL, mgmtdev)->supported_features;
}

static void open_disk(struct disk *d, const struct kind *kind,
		      struct vdpakit_blk_options options)
{
	int ret;

	memset(d, 0, sizeof(*d));
	d->r = vrig_new(NULL, 2);
	d->mem = d->r->mem;
	d->vdev = vrig_add(d->r, kind->mgmtdev, "d0",
			   offered(d->r, kind->mgmtdev) & ~kind->without,
			   kind->keys);
	options.size = sizeof(options);
	options.changed = changed;
	options.priv = d;
	ret = blk_probe(d->vdev, d->r->pool, &options, &d->blk);
	if (ret < 0) {
		fail_msg("%s", err_text(ret));
	}
	d->q = vdpakit_blk_get_queue(d->blk, 0);
}

static void close_disk(struct disk *d)
{
	if (d->q) {
		(void)vdpakit_blk_release(d->q);
	}
	blk_remove(d->blk);
	vrig_free(d->r);
}

static void open_default(struct disk *d)
{
	open_disk(d, &kinds[0], (struct vdpakit_blk_options){ 0 });
}

/* ---- reads and writes ---- */

static void fill(char *p, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++) {
		p[i] = (char)(i * 7 + (i >> 9) + seed);
	}
}

static void round_trip(struct disk *d, uint64_t offset, size_t len)
{
	char *out = d->mem, *in = d->mem + (4U << 20);

	fill(out, len, (unsigned int)offset);
	memset(in, 0, len);
	assert_int_equal(vdpakit_blk_write(d->q, out, len, offset), 0);
	assert_int_equal(vdpakit_blk_read(d->q, in, len, offset), 0);
	assert_memory_equal(out, in, len);
}

static void test_each_kind_reads_what_was_written(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct disk d;

		open_disk(&d, &kinds[i], (struct vdpakit_blk_options){ 0 });
		round_trip(&d, 0, 512);
		round_trip(&d, 4096, 65536);
		round_trip(&d, DISK_BYTES - 4096, 4096);
		assert_int_equal(vdpakit_blk_flush(d.q), 0);
		assert_int_equal(vdpakit_blk_n_under_way(d.q), 0);
		close_disk(&d);
	}
}

static void test_info_is_the_device_s(void **state)
{
	struct vdpakit_blk_info info;
	struct disk d;

	open_default(&d);
	vdpakit_blk_get_info(d.blk, &info, sizeof(info));
	assert_int_equal(info.capacity_bytes, DISK_BYTES);
	assert_int_equal(info.block_bytes, 512);
	assert_int_equal(info.n_queues, 4);
	assert_int_equal(info.queue_size, 256);
	assert_int_equal(info.max_segments, 126);
	assert_true(info.can_flush);
	assert_true(info.is_packed);
	assert_false(info.is_read_only);
	assert_false(info.needs_reset);
	assert_true(info.max_discard_bytes > 0);
	assert_true(info.max_write_zeroes_bytes > 0);
	close_disk(&d);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_each_kind_reads_what_was_written),
	cmocka_unit_test(test_info_is_the_device_s),
};

TEST_MAIN("virtio_blk")
