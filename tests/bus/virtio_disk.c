/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in the test's own process. See virtio_disk.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/virtio_disk.h"

#define RING(name) BIT_ULL(VIRTIO_RING_F_##name)
#define PACKED	   BIT_ULL(VIRTIO_F_RING_PACKED)
#define IN_ORDER   BIT_ULL(VIRTIO_F_IN_ORDER)
#define RING_ALL   (RING(INDIRECT_DESC) | RING(EVENT_IDX) | PACKED | IN_ORDER)
#define SIMULATOR  "vdpasim_blk", "capacity=16M num_queues=4"

const struct vdisk_kind vdisk_kinds[] = {
	{ "blk", VDISK_KEYS, 0 },
	{ "blk", VDISK_KEYS, PACKED },
	{ "blk", VDISK_KEYS, IN_ORDER },
	{ "blk", VDISK_KEYS, PACKED | IN_ORDER },
	{ "blk", VDISK_KEYS, RING(INDIRECT_DESC) },
	{ "blk", VDISK_KEYS, RING(INDIRECT_DESC) | PACKED },
	{ "blk", VDISK_KEYS, RING(EVENT_IDX) | PACKED },
	{ "blk", VDISK_KEYS, RING(EVENT_IDX) },
	{ "blk", VDISK_KEYS, RING_ALL },
	{ SIMULATOR, 0 },
	{ SIMULATOR, PACKED },
	{ SIMULATOR, RING_ALL },
};
const size_t vdisk_n_kinds = ARRAY_SIZE(vdisk_kinds);

static void changed(void *priv)
{
	((struct vdisk *)priv)->n_changed++;
}

int vdisk_probe(struct vdisk *d, struct vdpakit_blk_options options)
{
	int ret;

	options.size = sizeof(options);
	options.in_order = true; /* but for kinds that lack it */
	options.changed = changed;
	options.priv = d;
	ret = blk_probe(d->vdev, d->r->pool, &options, &d->blk);
	if (ret == 0) {
		d->q = vdpakit_blk_get_queue(d->blk, 0);
	}
	return ret;
}

void vdisk_open_on(struct vdisk *d, struct sim *sim,
		   const struct vdisk_kind *kind,
		   struct vdpakit_blk_options options)
{
	uint64_t features;
	int ret;

	memset(d, 0, sizeof(*d));
	d->r = vrig_new(sim, 2);
	d->mem = d->r->mem;
	features = vdpa_mgmtdev_find(d->r->w->bus, NULL, kind->mgmtdev)
			   ->supported_features;
	d->vdev = vrig_add(d->r, kind->mgmtdev, "d0", features & ~kind->without,
			   kind->keys);
	ret = vdisk_probe(d, options);
	if (ret < 0) {
		fail_msg("%s", err_text(ret));
	}
}

void vdisk_open(struct vdisk *d, const struct vdisk_kind *kind,
		struct vdpakit_blk_options options)
{
	vdisk_open_on(d, NULL, kind, options);
}

void vdisk_open_default(struct vdisk *d)
{
	vdisk_open(d, &vdisk_kinds[0], (struct vdpakit_blk_options){ 0 });
}

void vdisk_close(struct vdisk *d)
{
	blk_remove(d->blk);
	vrig_free(d->r);
}

struct vdpakit_blk_info vdisk_info(const struct vdisk *d)
{
	struct vdpakit_blk_info info;

	vdpakit_blk_get_info(d->blk, &info, sizeof(info));
	return info;
}

void vdisk_fill(char *p, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++) {
		p[i] = (char)(i * 7 + (i >> 9) + seed);
	}
}

void vdisk_round_trip(struct vdisk *d, uint64_t offset, size_t len)
{
	char *out = d->mem, *in = d->mem + VRIG_MEM_BYTES / 2;

	vdisk_fill(out, len, (unsigned int)(offset >> 9));
	memset(in, 0, len);
	assert_int_equal(vdpakit_blk_write(d->q, out, len, offset), 0);
	assert_int_equal(vdpakit_blk_read(d->q, in, len, offset), 0);
	assert_memory_equal(out, in, len);
}
