/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bus with one simulator on it, and the memory of its driver.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "rig.h"

#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "dev/blk/blk.h"
#include "dev/blk/vdpasim_blk.h"
#include "dev/net/vdpasim_net.h"

static void make_bus(struct rig *r, bool has_thread)
{
	bench_must(loop_new("control", &r->control) == 0);
	r->worker = r->control;
	if (has_thread) {
		bench_must(loop_new("worker", &r->worker) == 0);
		bench_must(loop_start(r->worker) == 0);
	}
	bench_must(vdpa_bus_new(r->control, &r->worker, 1, &r->bus) == 0);
	bench_must(vdpasim_net_register(r->bus, &r->net) == 0);
	bench_must(vdpasim_blk_register(r->bus, &r->blk) == 0);
	bench_must(blk_register(r->bus, &r->disk) == 0);
}

static void make_mem(struct rig *r)
{
	r->mem = mmap(NULL, RIG_MEM_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	bench_must(r->mem != MAP_FAILED);
	bench_must(region_new_own(r->mem, RIG_MEM_BYTES, NULL, NULL,
				  &r->region) == 0);
	bench_must(vdpa_map(r->vdev, 0, RIG_MEM_IOVA,
			    RIG_MEM_IOVA + RIG_MEM_BYTES - 1, r->region, 0,
			    MEM_PERM_RW) == 0);
}

static void add_param(struct vdpa_dev_config *config, const char *key,
		      const char *value)
{
	struct vdpa_param *param = &config->params[config->n_params++];

	(void)snprintf(param->key, sizeof(param->key), "%s", key);
	(void)snprintf(param->value, sizeof(param->value), "%s", value);
}

void rig_init(struct rig *r, const char *mgmtdev, const char *poll_us,
	      bool has_thread)
{
	struct vdpa_dev_config config = { .is_admin = true };

	memset(r, 0, sizeof(*r));
	make_bus(r, has_thread);
	if (poll_us) {
		add_param(&config, "poll_us", poll_us);
	}
	if (strcmp(mgmtdev, "blk") == 0) {
		add_param(&config, "backend", "null");
	}
	bench_must(vdpa_dev_add(r->bus, NULL, mgmtdev, "dev0", &config) == 0);
	r->vdev = vdpa_device_find(r->bus, "dev0");
	make_mem(r);
}

void rig_fini(struct rig *r)
{
	vdpasim_net_unregister(r->net);
	vdpasim_blk_unregister(r->blk);
	blk_unregister(r->disk);
	vdpa_bus_free(r->bus);
	if (r->worker != r->control) {
		loop_stop(r->worker);
		loop_free(r->worker);
	}
	loop_free(r->control);
	region_unref(r->region);
	munmap(r->mem, RIG_MEM_BYTES);
}

void *rig_alloc(struct rig *r, size_t size)
{
	size_t at = align_up(r->n_mem, 4096);

	bench_must(at + size <= RIG_MEM_BYTES);
	r->n_mem = at + size;
	return r->mem + at;
}

static void add_status(struct rig *r, unsigned int bits)
{
	uint8_t status = vdpa_get_status(r->vdev) | (uint8_t)bits;

	bench_must(vdpa_set_status(r->vdev, status) == 0);
}

void rig_negotiate(struct rig *r, uint64_t features)
{
	r->features = features | BIT_ULL(VIRTIO_F_VERSION_1) |
		      BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	add_status(r, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	bench_must(vdpa_set_driver_features(r->vdev, r->features) == 0);
	bench_must(vdpa_get_driver_features(r->vdev) == r->features);
	add_status(r, VIRTIO_CONFIG_S_FEATURES_OK);
}

struct vq_driver *rig_set_up_queue(struct rig *r, uint32_t idx, uint16_t num)
{
	struct vq_driver *drv;
	struct vq_layout at;
	char *ring;

	vq_layout(num, r->features, &at);
	ring = rig_alloc(r, at.size_bytes);
	memset(ring, 0, at.size_bytes);
	bench_must(vq_driver_new(num, r->features, ring, rig_iova(r, ring),
				 &drv) == 0);
	vq_driver_disable_call(drv);
	bench_must(vdpa_set_vq_num(r->vdev, idx, num) == 0);
	bench_must(vdpa_set_vq_address(
			   r->vdev, idx, rig_iova(r, ring + at.desc_area),
			   rig_iova(r, ring + at.driver_area),
			   rig_iova(r, ring + at.device_area)) == 0);
	bench_must(vdpa_set_vq_ready(r->vdev, idx, true) == 0);
	return drv;
}

void rig_set_driver_ok(struct rig *r)
{
	add_status(r, VIRTIO_CONFIG_S_DRIVER_OK);
}

void rig_reset(struct rig *r)
{
	bench_must(vdpa_reset(r->vdev, 0) == 0);
	r->n_mem = 0;
}
