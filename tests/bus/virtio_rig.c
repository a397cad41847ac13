/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bus with the bus driver virtio_vdpa. See virtio_rig.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/virtio_rig.h"
#include "lib/test.h"

#include "base/err.h"

static void make_memory(struct vrig *r)
{
	struct region *region;

	assert_int_equal(dma_pool_new(&r->pool), 0);
	assert_int_equal(dma_region_new(VRIG_MEM_BYTES, &region), 0);
	assert_int_equal(dma_pool_add(r->pool, region), 0);
	r->mem = region_va(region);
	region_unref(region);
}

struct vrig *vrig_new(struct sim *sim, unsigned int n_workers)
{
	struct vrig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->w = vworld_new(sim, n_workers);
	assert_int_equal(virtio_vdpa_register(r->w->bus, &r->drv), 0);
	make_memory(r);
	return r;
}

void vrig_free(struct vrig *r)
{
	virtio_vdpa_unregister(r->drv);
	vrig_settle(r);
	vworld_free(r->w);
	dma_pool_free(r->pool);
	free(r);
}

struct virtio_device *vrig_bind(struct vrig *r, const char *name)
{
	struct virtio_device *vdev;
	int ret = vdpa_dev_bind(r->w->bus, name, "virtio_vdpa", NULL, 0);

	if (ret < 0) {
		fail_msg("bind %s: %s", name, err_text(ret));
	}
	vdev = virtio_vdpa_get(vdpa_device_find(r->w->bus, name));
	assert_non_null(vdev);
	return vdev;
}

struct virtio_device *vrig_add(struct vrig *r, const char *mgmtdev,
			       const char *name, uint64_t features,
			       const char *keys)
{
	int ret = vworld_add_keys(r->w, mgmtdev, name, features, keys);

	if (ret < 0) {
		fail_msg("dev add %s: %s", name, err_text(ret));
	}
	return vrig_bind(r, name);
}

static void stop_control(void *priv)
{
	loop_stop(priv);
}

void vrig_settle(struct vrig *r)
{
	struct loop *control = r->w->control;
	struct loop_work stop = { .fn = stop_control, .priv = control };

	if (r->w->sim) {
		assert_int_equal(sim_run(r->w->sim, 1000000, NULL, NULL), 0);
		return;
	}
	loop_call(control, &stop);
	assert_int_equal(loop_run(control), 0);
}
