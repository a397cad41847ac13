/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the mmio bus driver on a VDUSE device: a driver behind registers
 * here, the device in a process that answers when it likes to.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "busdrv/mmio.h"
#include "test_vduse_rig.h"

#define NUM 16

struct fixture {
	struct rig *r;
	struct vdpa_driver *drv;
	struct mmio *m;
	bool level;
	/* the one op that is under way */
	struct window_op op;
	bool is_done;
};

static void set_level(void *priv, bool level)
{
	struct fixture *fx = priv;

	fx->level = level;
}

/* ---- access ---- */

static void op_done(struct window_op *op)
{
	container_of(op, struct fixture, op)->is_done = true;
}

static void begin(struct fixture *fx)
{
	fx->is_done = false;
	fx->op.done = op_done;
}

/* The process answers what comes. */
static int finish(struct fixture *fx)
{
	for (unsigned int i = 0; !fx->is_done && i < 100; i++) {
		if (!rig_serve(fx->r)) {
			rig_settle(fx->r);
		}
	}
	assert_true(fx->is_done);
	return fx->op.result;
}

static void begin_put(struct fixture *fx, uint64_t offset, uint32_t value)
{
	begin(fx);
	mmio_write(fx->m, &fx->op, offset, 4, value);
}

static int put(struct fixture *fx, uint64_t offset, uint32_t value)
{
	begin_put(fx, offset, value);
	return finish(fx);
}

static uint32_t get(struct fixture *fx, uint64_t offset)
{
	uint64_t value;

	assert_int_equal(mmio_read(fx->m, offset, 4, &value), 0);
	return (uint32_t)value;
}

/* ---- life ---- */

static int set_up(void **state)
{
	const struct vdpakit_mmio_options options = { .irq = set_level };
	struct vdpakit_mmio_options o = options;
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct vdpakit_mmio_memory memory = {
		.gpa = RIG_IOVA,
		.size_bytes = RIG_MEM_SIZE,
		.perm = VDPAKIT_MMIO_READ | VDPAKIT_MMIO_WRITE,
	};
	struct vdpa_bus *bus;
	void *rig;

	assert_non_null(fx);
	assert_int_equal(rig_set_up(&rig), 0);
	fx->r = rig;
	bus = fx->r->w->bus;
	assert_int_equal(mmio_register(bus, NULL, &fx->drv), 0);
	assert_int_equal(vdpa_dev_bind(bus, "vd0", "mmio", NULL, 0), 0);
	o.priv = fx;
	assert_int_equal(mmio_open(vdpa_device_find(bus, "vd0"), &o, &fx->m),
			 0);
	memory.fd = fx->r->memfd;
	begin(fx);
	mmio_map(fx->m, &fx->op, &memory);
	assert_int_equal(finish(fx), 0);
	*state = fx;
	return 0;
}

static void close_it(struct fixture *fx)
{
	begin(fx);
	mmio_close(fx->m, &fx->op);
	fx->m = NULL;
	(void)finish(fx); /* the process may be gone */
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;
	void *rig = fx->r;

	fx->r->answer = RIG_OK;
	fx->r->hook = NULL;
	if (fx->m) {
		close_it(fx);
	}
	mmio_unregister(fx->drv);
	assert_int_equal(rig_tear_down(&rig), 0);
	free(fx);
	return 0;
}

/* ---- bringing it up ---- */

static void negotiate(struct fixture *fx)
{
	assert_int_equal(put(fx, 0x70, 0), 0);
	assert_int_equal(put(fx, 0x70, 1), 0);
	assert_int_equal(put(fx, 0x70, 3), 0);
	assert_int_equal(put(fx, 0x24, 1), 0);
	assert_int_equal(put(fx, 0x20, 1), 0); /* VERSION_1, and no more */
	assert_int_equal(put(fx, 0x24, 0), 0);
	assert_int_equal(put(fx, 0x20, 0), 0);
	assert_int_equal(put(fx, 0x70, 0xb), 0);
	assert_int_equal(get(fx, 0x70), 0xb);
}

static void set_up_queue(struct fixture *fx, uint32_t idx)
{
	assert_int_equal(put(fx, 0x30, idx), 0);
	assert_int_equal(get(fx, 0x34), idx == 0 ? 256 : 128);
	assert_int_equal(put(fx, 0x38, NUM), 0);
	assert_int_equal(put(fx, 0x80, RIG_IOVA + 0x1000), 0);
	assert_int_equal(put(fx, 0x90, RIG_IOVA + 0x2000), 0);
	assert_int_equal(put(fx, 0xa0, RIG_IOVA + 0x3000), 0);
	assert_int_equal(put(fx, 0x44, 1), 0);
	assert_int_equal(get(fx, 0x44), 1);
}

static void start(struct fixture *fx)
{
	negotiate(fx);
	set_up_queue(fx, 0);
	set_up_queue(fx, 1);
	assert_int_equal(put(fx, 0x70, 0xf), 0);
	assert_int_equal(get(fx, 0x70), 0xf);
}

/* ---- tests ---- */

/* The process sees what the driver wrote. */
static void test_vduse_mmio_queue_features_memory(void **state)
{
	struct fixture *fx = *state;
	struct vduse_vq_info info = { .index = 0 };
	struct vduse_iotlb_entry entry = { .start = RIG_IOVA,
					   .last = RIG_IOVA + 1 };
	uint64_t features;
	int64_t fd;
	char *va;

	start(fx);
	assert_int_equal(rig_ioctl(fx->r, VDUSE_DEV_GET_FEATURES, &features),
			 0);
	assert_int_equal(features, RIG_FEATURES);
	assert_int_equal(rig_ioctl(fx->r, VDUSE_VQ_GET_INFO, &info), 0);
	assert_int_equal(info.num, NUM);
	assert_int_equal(info.desc_addr, RIG_IOVA + 0x1000);
	assert_int_equal(info.driver_addr, RIG_IOVA + 0x2000);
	assert_int_equal(info.device_addr, RIG_IOVA + 0x3000);
	assert_int_equal(info.split.avail_index, 0);
	assert_int_equal(info.ready, 1);
	fd = rig_ioctl(fx->r, VDUSE_IOTLB_GET_FD, &entry);
	assert_true(fd >= 0);
	assert_int_equal(entry.last, RIG_IOVA + RIG_MEM_SIZE - 1);
	va = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd,
		  (off_t)entry.offset);
	assert_ptr_not_equal(va, MAP_FAILED);
	va[7] = 42;
	assert_int_equal(fx->r->mem[7], 42);
	munmap(va, 4096);
	close((int)fd);
}

static void test_vduse_mmio_kicks_and_interrupts(void **state)
{
	struct fixture *fx = *state;
	struct vduse_vq_eventfd efd = {
		.index = 0,
		.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	uint32_t idx = 0;
	uint64_t n;

	start(fx);
	assert_int_equal(rig_ioctl(fx->r, VDUSE_VQ_SETUP_KICKFD, &efd), 0);
	rig_settle(fx->r);
	(void)!read(efd.fd, &n, 8);
	assert_true(mmio_try_write(fx->m, 0x50, 4, 0));
	rig_settle(fx->r);
	assert_int_equal(read(efd.fd, &n, 8), 8);
	assert_int_equal(rig_ioctl(fx->r, VDUSE_VQ_INJECT_IRQ, &idx), 0);
	rig_settle(fx->r);
	assert_true(fx->level);
	assert_int_equal(get(fx, 0x60), VIRTIO_MMIO_INT_VRING);
	assert_true(mmio_try_write(fx->m, 0x64, 4, VIRTIO_MMIO_INT_VRING));
	assert_false(fx->level);
	assert_int_equal(rig_ioctl(fx->r, VDUSE_DEV_INJECT_CONFIG_IRQ, NULL),
			 0);
	rig_settle(fx->r);
	assert_true(fx->level);
	assert_int_equal(get(fx, 0x60), VIRTIO_MMIO_INT_CONFIG);
	close(efd.fd);
}

static void test_vduse_mmio_status_waits_for_the_process(void **state)
{
	struct fixture *fx = *state;
	unsigned int n_log;
	uint32_t id;

	negotiate(fx);
	fx->r->answer = RIG_SILENT;
	begin_put(fx, 0x70, 0xf);
	n_log = fx->r->n_log;
	while (!rig_serve(fx->r)) {
		rig_settle(fx->r);
	}
	assert_int_equal(fx->r->n_log, n_log + 1);
	assert_int_equal(rig_last(fx->r)->type, VDUSE_SET_STATUS);
	assert_int_equal(rig_last(fx->r)->s.status, 0xf);
	id = rig_last(fx->r)->request_id;
	rig_settle(fx->r);
	assert_false(fx->is_done);
	assert_int_equal(get(fx, 0x70), 0xb);
	assert_true(rig_reply(fx->r, id, VDUSE_REQ_RESULT_OK) > 0);
	rig_settle(fx->r);
	assert_true(fx->is_done);
	assert_int_equal(get(fx, 0x70), 0xf);
}

static void test_vduse_mmio_status_that_is_refused(void **state)
{
	struct fixture *fx = *state;

	negotiate(fx);
	fx->r->answer = RIG_FAILED;
	(void)put(fx, 0x70, 0xf);
	assert_int_equal(get(fx, 0x70), 0xb);
	fx->r->answer = RIG_OK;
	start(fx);
}

/* H73: nobody answers any more. */
static void test_vduse_mmio_h73_process_that_is_gone(void **state)
{
	struct fixture *fx = *state;

	start(fx);
	fx->r->answer = RIG_SILENT;
	begin_put(fx, 0x70, 0);
	for (unsigned int i = 0; !fx->is_done && i < 100; i++) {
		if (!rig_serve(fx->r)) {
			rig_sleep(fx->r, 10);
		}
	}
	assert_true(fx->is_done);
	assert_int_equal(fx->op.result, -EIO);
	assert_int_equal(get(fx, 0x44), 0);
}

/* Each way to end, while a write waits. */
static void test_vduse_mmio_write_that_is_cancelled(void **state)
{
	struct fixture *fx = *state;

	negotiate(fx);
	fx->r->answer = RIG_SILENT;
	begin_put(fx, 0x70, 0xf);
	assert_true(rig_serve(fx->r));
	window_cancel(fx->op.w, &fx->op);
	assert_true(fx->is_done);
	assert_int_equal(get(fx, 0x70), 0xb);
}

static void test_vduse_mmio_taken_away_by_force_while_it_waits(void **state)
{
	struct fixture *fx = *state;
	uint64_t value;

	start(fx);
	fx->r->answer = RIG_SILENT;
	begin_put(fx, 0x70, 0);
	assert_false(fx->is_done);
	vduse_unregister(fx->r->vduse);
	fx->r->vduse = NULL;
	assert_true(fx->is_done);
	assert_int_equal(mmio_read(fx->m, 0x70, 4, &value), -ENODEV);
	assert_int_equal(value, VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(fx->level);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_vduse_mmio_queue_features_memory),
	T(test_vduse_mmio_kicks_and_interrupts),
	T(test_vduse_mmio_status_waits_for_the_process),
	T(test_vduse_mmio_status_that_is_refused),
	T(test_vduse_mmio_h73_process_that_is_gone),
	T(test_vduse_mmio_write_that_is_cancelled),
	T(test_vduse_mmio_taken_away_by_force_while_it_waits),
};

TEST_MAIN("dev_vduse_mmio")
