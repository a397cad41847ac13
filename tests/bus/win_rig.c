/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device, and a driver's memory and rings. See win_rig.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "win_rig.h"

#include <endian.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#define RUN_NS 1000000000ULL

/* ---- life ---- */

static void make_memory(struct win_rig *rig)
{
	rig->memfd = memfd_create("driver", MFD_CLOEXEC);
	assert_int_not_equal(rig->memfd, -1);
	assert_int_equal(ftruncate(rig->memfd, WIN_MEM_BYTES), 0);
	rig->mem = mmap(NULL, WIN_MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			rig->memfd, 0);
	assert_ptr_not_equal(rig->mem, MAP_FAILED);
	assert_int_equal(region_new_mapped(rig->memfd, 0, WIN_MEM_BYTES,
					   MEM_PERM_RW, &rig->region),
			 0);
}

static struct win_rig *new_rig(uint64_t seed)
{
	const struct sim_options options = { .seed = seed };
	struct win_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	if (seed > 0) {
		assert_int_equal(sim_new(&options, &rig->sim), 0);
	}
	rig->w = vworld_new(rig->sim, 1);
	make_memory(rig);
	return rig;
}

struct win_rig *win_rig_new(uint64_t seed, const char *mgmtdev,
			    const char *keys)
{
	struct win_rig *rig = new_rig(seed);

	assert_int_equal(vworld_add_keys(rig->w, mgmtdev, "d0", 0, keys), 0);
	assert_int_equal(vdpa_dev_unbind(rig->w->bus, "d0"), 0);
	rig->vdev = vdpa_device_find(rig->w->bus, "d0");
	return rig;
}

struct win_rig *win_rig_on(uint64_t seed, struct vdpa_device *vdev)
{
	struct win_rig *rig = new_rig(seed);

	assert_int_equal(vdpa_device_register(rig->w->bus, NULL, vdev), 0);
	assert_int_equal(vdpa_dev_unbind(rig->w->bus, vdev->name), 0);
	rig->vdev = vdev;
	return rig;
}

void win_rig_free(struct win_rig *rig)
{
	for (unsigned int i = 0; i < WIN_QUEUES; i++) {
		vq_driver_free(rig->drv[i]);
	}
	region_unref(rig->region);
	vworld_free(rig->w);
	sim_free(rig->sim);
	munmap(rig->mem, WIN_MEM_BYTES);
	close(rig->memfd);
	free(rig);
}

void win_rig_run(struct win_rig *rig)
{
	assert_int_equal(sim_run(rig->sim, RUN_NS, NULL, NULL), 0);
}

void win_rig_irq(void *priv, bool level)
{
	struct win_rig *rig = priv;

	rig->level = level;
	rig->n_irqs += level;
}

/* ---- a window ---- */

struct waited_op {
	struct window_op op;
	struct win_rig *rig;
	bool is_done;
};

static void op_done(struct window_op *op)
{
	container_of(op, struct waited_op, op)->is_done = true;
}

static bool is_done(void *priv)
{
	const struct waited_op *wo = priv;

	return wo->is_done;
}

static int wait_for(struct waited_op *wo)
{
	assert_int_equal(sim_run(wo->rig->sim, RUN_NS, is_done, wo), 0);
	return wo->op.result;
}

void win_write(struct win_rig *rig, enum window_reg reg, uint32_t value)
{
	struct waited_op wo = { .op.done = op_done, .rig = rig };

	window_write(rig->win, &wo.op, reg, value);
	(void)wait_for(&wo);
}

uint32_t win_read(struct win_rig *rig, enum window_reg reg)
{
	return window_read(rig->win, reg);
}

static void window_kick(struct win_rig *rig, uint32_t idx)
{
	window_notify(rig->win, idx);
}

void win_rig_open(struct win_rig *rig, bool is_edge)
{
	const struct window_options options = {
		.irq = win_rig_irq,
		.priv = rig,
		.is_edge = is_edge,
		.is_trusted = true,
	};
	const struct window_mapping all = {
		.start = WIN_IOVA,
		.last = WIN_IOVA + WIN_MEM_BYTES - 1,
		.region = rig->region,
		.perm = MEM_PERM_RW,
	};
	struct waited_op wo = { .op.done = op_done, .rig = rig };

	rig->kick = window_kick;
	assert_int_equal(window_new(rig->vdev, &options, &rig->win), 0);
	window_map(rig->win, &wo.op, &all);
	assert_int_equal(wait_for(&wo), 0);
}

void win_rig_close(struct win_rig *rig)
{
	struct waited_op wo = { .op.done = op_done, .rig = rig };

	window_end(rig->win, &wo.op);
	(void)wait_for(&wo);
	assert_false(window_is_busy(rig->win));
	rig->win = window_free(rig->win);
}

void win_negotiate(struct win_rig *rig, uint64_t features)
{
	win_write(rig, WINDOW_STATUS, 0);
	win_write(rig, WINDOW_STATUS, 1);
	win_write(rig, WINDOW_STATUS, 3);
	win_write(rig, WINDOW_DRIVER_FEATURES_SEL, 1);
	win_write(rig, WINDOW_DRIVER_FEATURES, (uint32_t)(features >> 32));
	win_write(rig, WINDOW_DRIVER_FEATURES_SEL, 0);
	win_write(rig, WINDOW_DRIVER_FEATURES, (uint32_t)features);
	win_write(rig, WINDOW_STATUS, 0xb);
}

static void write_area(struct win_rig *rig, enum window_reg low, uint64_t area)
{
	win_write(rig, low, (uint32_t)area);
	win_write(rig, low + 1, (uint32_t)(area >> 32));
}

void win_set_up_queue(struct win_rig *rig, uint32_t idx, uint16_t num,
		      uint64_t features)
{
	struct vq_layout at;

	win_ring(rig, idx, num, features, &at);
	win_write(rig, WINDOW_QUEUE_SEL, idx);
	win_write(rig, WINDOW_QUEUE_NUM, num);
	write_area(rig, WINDOW_QUEUE_DESC_LOW, at.desc_area);
	write_area(rig, WINDOW_QUEUE_DRIVER_LOW, at.driver_area);
	write_area(rig, WINDOW_QUEUE_DEVICE_LOW, at.device_area);
	win_write(rig, WINDOW_QUEUE_READY, 1);
}

/* ---- memory and rings ---- */

void *win_alloc(struct win_rig *rig, size_t size, size_t align)
{
	uint64_t at = align_up(rig->next_free, align);

	assert_true(range_fits(at, size, WIN_MEM_BYTES));
	rig->next_free = at + size;
	return rig->mem + at;
}

uint64_t win_iova(const struct win_rig *rig, const void *va)
{
	return WIN_IOVA + (uint64_t)((const char *)va - rig->mem);
}

void win_ring(struct win_rig *rig, uint32_t idx, uint16_t num,
	      uint64_t features, struct vq_layout *ret)
{
	uint64_t iova;
	void *va;

	vq_layout(num, features, ret);
	va = win_alloc(rig, ret->size_bytes, 4096);
	memset(va, 0, ret->size_bytes);
	iova = win_iova(rig, va);
	ret->desc_area += iova;
	ret->driver_area += iova;
	ret->device_area += iova;
	vq_driver_free(rig->drv[idx]);
	rig->drv[idx] = NULL;
	assert_int_equal(vq_driver_new(num, features, va, iova, &rig->drv[idx]),
			 0);
}

struct one_used {
	struct vq_driver *drv;
	struct vq_used used;
};

static bool is_used(void *priv)
{
	struct one_used *one = priv;

	return vq_driver_get(one->drv, &one->used, 1) == 1;
}

struct vq_used win_run_one(struct win_rig *rig, uint32_t idx)
{
	struct one_used one = { .drv = rig->drv[idx] };

	if (vq_driver_publish(rig->drv[idx])) {
		rig->kick(rig, idx);
	}
	assert_int_equal(sim_run(rig->sim, RUN_NS, is_used, &one), 0);
	return one.used;
}

uint8_t win_blk(struct win_rig *rig, uint32_t idx, uint32_t type,
		uint64_t sector, void *data, uint32_t len)
{
	uint64_t mark = rig->next_free;
	struct virtio_blk_outhdr *hdr = win_alloc(rig, sizeof(*hdr), 16);
	uint8_t *status = win_alloc(rig, 1, 1);
	const bool is_in = type == VIRTIO_BLK_T_IN;
	const struct vq_sg sg[] = {
		{ win_iova(rig, hdr), sizeof(*hdr) },
		{ win_iova(rig, data), len },
		{ win_iova(rig, status), 1 },
	};

	*hdr = (struct virtio_blk_outhdr){ .type = htole32(type),
					   .sector = htole64(sector) };
	*status = 0xee;
	assert_int_equal(vq_driver_add(rig->drv[idx], sg, is_in ? 1 : 2,
				       is_in ? 2 : 1, hdr),
			 0);
	assert_ptr_equal(win_run_one(rig, idx).cookie, hdr);
	rig->next_free = mark;
	return *status;
}
