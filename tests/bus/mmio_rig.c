/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers that know offsets and nothing else. See mmio_rig.h.
 *
 * Offsets are written out, as a driver's author reads them in the
 * specification: that none of our tables is used is the point.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mmio_rig.h"

/* ---- access ---- */

struct waited_op {
	struct window_op op;
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

static int wait_for(struct win_rig *rig, struct waited_op *wo)
{
	if (wo->is_done) {
		return wo->op.result;
	}
	assert_int_equal(sim_run(rig->sim, 1000000000, is_done, wo), 0);
	return wo->op.result;
}

int mmio_rig_write(struct win_rig *rig, uint64_t offset, unsigned int size,
		   uint64_t value)
{
	struct waited_op wo = { .op.done = op_done };

	if (mmio_try_write(mmio_of(rig), offset, size, value)) {
		return 0;
	}
	mmio_write(mmio_of(rig), &wo.op, offset, size, value);
	return wait_for(rig, &wo);
}

uint64_t mmio_rig_read(struct win_rig *rig, uint64_t offset, unsigned int size)
{
	uint64_t value;

	if (!mmio_try_read(mmio_of(rig), offset, size, &value)) {
		assert_int_equal(mmio_read(mmio_of(rig), offset, size, &value),
				 0);
	}
	return value;
}

int mmio_rig_map(struct win_rig *rig, const struct vdpakit_mmio_memory *memory)
{
	struct waited_op wo = { .op.done = op_done };

	mmio_map(mmio_of(rig), &wo.op, memory);
	return wait_for(rig, &wo);
}

int mmio_rig_unmap(struct win_rig *rig, uint64_t gpa, uint64_t size_bytes)
{
	struct waited_op wo = { .op.done = op_done };

	mmio_unmap(mmio_of(rig), &wo.op, gpa, size_bytes);
	return wait_for(rig, &wo);
}

void expect_no_mistakes(struct win_rig *rig)
{
	struct vdpakit_mmio_info info;

	mmio_get_info(mmio_of(rig), &info);
	assert_int_equal(info.n_bad_accesses, 0);
	assert_int_equal(info.n_mistakes, 0);
	assert_int_equal(info.n_refused, 0);
	assert_int_equal(info.n_broken, 0);
	assert_int_not_equal(info.n_notifies, 0);
}

/* ---- life ---- */

static void notify(struct win_rig *rig, uint32_t idx)
{
	assert_true(mmio_try_write(mmio_of(rig), 0x050, 4, idx));
}

void mmio_rig_open(struct win_rig *rig, uint32_t layout)
{
	const struct vdpakit_mmio_options options = {
		.layout = layout,
		.irq = rig->irq ? rig->irq : win_rig_irq,
		.priv = rig,
	};
	const struct vdpakit_mmio_memory all = {
		.gpa = WIN_IOVA,
		.size_bytes = WIN_MEM_BYTES,
		.fd = rig->memfd,
		.perm = VDPAKIT_MMIO_READ | VDPAKIT_MMIO_WRITE,
	};
	struct mmio *m;

	assert_int_equal(mmio_open(rig->vdev, &options, &m), 0);
	rig->priv = m;
	rig->kick = notify;
	assert_int_equal(mmio_rig_map(rig, &all), 0);
}

void mmio_rig_close(struct win_rig *rig)
{
	struct waited_op wo = { .op.done = op_done };

	mmio_close(mmio_of(rig), &wo.op);
	rig->priv = NULL;
	assert_int_equal(wait_for(rig, &wo), 0);
}

static void bind_and_open(struct win_rig *rig, uint32_t layout)
{
	struct vdpa_driver *drv;

	assert_int_equal(mmio_register(rig->w->bus, rig->w->cdev, &drv), 0);
	rig->priv2 = drv;
	assert_int_equal(vdpa_dev_bind(rig->w->bus, rig->vdev->name, "mmio",
				       NULL, 0),
			 0);
	mmio_rig_open(rig, layout);
}

int mmio_rig_set_up_threads(void **state, const char *mgmtdev, const char *keys)
{
	struct win_rig *rig = win_rig_new(0, mgmtdev, keys);

	bind_and_open(rig, VDPAKIT_MMIO_VIRTIO);
	*state = rig;
	return 0;
}

int mmio_rig_set_up(void **state, const char *mgmtdev, const char *keys,
		    uint32_t layout)
{
	struct win_rig *rig = win_rig_new(1, mgmtdev, keys);

	bind_and_open(rig, layout);
	*state = rig;
	return 0;
}

struct win_rig *mmio_rig_on(struct vdpa_device *vdev, uint32_t layout)
{
	struct win_rig *rig = win_rig_on(1, vdev);

	bind_and_open(rig, layout);
	return rig;
}

int mmio_rig_tear_down(void **state)
{
	struct win_rig *rig = *state;

	if (rig->priv) {
		mmio_rig_close(rig);
	}
	if (rig->priv2) {
		mmio_unregister(rig->priv2);
	}
	win_rig_free(rig);
	return 0;
}

/* ---- virtio 1.2, 4.2: Virtio Over MMIO ---- */

static void put(struct win_rig *rig, uint64_t offset, uint32_t value)
{
	assert_int_equal(mmio_rig_write(rig, offset, 4, value), 0);
}

static uint32_t get(struct win_rig *rig, uint64_t offset)
{
	return (uint32_t)mmio_rig_read(rig, offset, 4);
}

static void put64(struct win_rig *rig, uint64_t low, uint64_t high,
		  uint64_t value)
{
	put(rig, low, (uint32_t)value);
	put(rig, high, (uint32_t)(value >> 32));
}

static uint64_t get_features(struct win_rig *rig)
{
	uint64_t features;

	put(rig, 0x014, 1);
	features = (uint64_t)get(rig, 0x010) << 32;
	put(rig, 0x014, 0);
	return features | get(rig, 0x010);
}

/* The high half first, as Linux has it. */
static void put_features(struct win_rig *rig, uint64_t features)
{
	assert_int_equal(features & ~get_features(rig), 0);
	put(rig, 0x024, 1);
	put(rig, 0x020, (uint32_t)(features >> 32));
	put(rig, 0x024, 0);
	put(rig, 0x020, (uint32_t)features);
}

static void put_queue(struct win_rig *rig, uint32_t idx, uint64_t features)
{
	struct vq_layout at;

	put(rig, 0x030, idx);
	assert_int_equal(get(rig, 0x044), 0);
	assert_in_range(get(rig, 0x034), MMIO_RIG_NUM, 32768);
	win_ring(rig, idx, MMIO_RIG_NUM, features, &at);
	put(rig, 0x038, MMIO_RIG_NUM);
	put64(rig, 0x080, 0x084, at.desc_area);
	put64(rig, 0x090, 0x094, at.driver_area);
	put64(rig, 0x0a0, 0x0a4, at.device_area);
}

static void start(struct win_rig *rig, uint64_t status, uint64_t features)
{
	put(rig, status, 0);
	assert_int_equal(get(rig, status), 0);
	put(rig, status, 1);
	put(rig, status, 1 | 2);
	put_features(rig, features);
	put(rig, status, 1 | 2 | 8);
	assert_int_equal(get(rig, status), 1 | 2 | 8);
}

void spec_driver_start(struct win_rig *rig, uint64_t features,
		       unsigned int n_queues)
{
	assert_int_equal(get(rig, 0x000), 0x74726976);
	assert_int_equal(get(rig, 0x004), 2);
	assert_int_not_equal(get(rig, 0x008), 0);
	start(rig, 0x070, features);
	for (uint32_t i = 0; i < n_queues; i++) {
		put_queue(rig, i, features);
		put(rig, 0x044, 1);
		assert_int_equal(get(rig, 0x044), 1);
	}
	put(rig, 0x070, 1 | 2 | 8 | 4);
	assert_int_equal(get(rig, 0x070), 1 | 2 | 8 | 4);
	put(rig, 0x0ac, 0);
	assert_int_equal(get(rig, 0x0b0), UINT32_MAX);
	assert_int_equal(get(rig, 0x0b4), UINT32_MAX);
}

/* ---- the RFC: virtio_mdev.h, and what its driver does ---- */

void rfc_vq_call(void *priv)
{
	struct rfc_calls *calls = priv;

	calls->n_vq++;
}

static void config_call(void *priv)
{
	struct rfc_calls *calls = priv;

	calls->n_config++;
}

void rfc_driver_start(struct win_rig *rig, uint64_t features,
		      unsigned int n_queues, struct rfc_calls *calls)
{
	assert_int_equal(get(rig, 0x000), 0x74726976);
	assert_int_equal(get(rig, 0x004), 1);
	assert_int_not_equal(get(rig, 0x008), 0);
	start(rig, 0x060, features);
	for (uint32_t i = 0; i < n_queues; i++) {
		put_queue(rig, i, features);
		assert_int_equal(get(rig, 0x048), 4096);
		assert_int_equal(mmio_set_vq_callback(mmio_of(rig), rfc_vq_call,
						      calls),
				 0);
		put(rig, 0x044, 1);
		assert_int_equal(get(rig, 0x044), 1);
	}
	assert_int_equal(
		mmio_set_config_callback(mmio_of(rig), config_call, calls), 0);
	put(rig, 0x060, 1 | 2 | 8 | 4);
	assert_int_equal(get(rig, 0x060), 1 | 2 | 8 | 4);
}
