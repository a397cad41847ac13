/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers that do anything: registers in any order, with any value, of any
 * width, while requests are under way, on devices of each kind. Whatever they
 * have done, after a reset the device is as good as new, and memory that it was
 * not given is as it was. H25, H26, H60, H61, H64, H71.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/mman.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "busdrv/mmio_layout.h"
#include "fake_dev.h"
#include "mmio_rig.h"

#define V1	BIT_ULL(VIRTIO_F_VERSION_1)
#define PACKED	BIT_ULL(VIRTIO_F_RING_PACKED)
#define DATA	4096
#define N_SEEDS 12
#define N_STEPS 3000

/* The half of the driver's memory that stays its own: behind what is mapped. */
#define CANARY_AT    (WIN_MEM_BYTES / 2)
#define CANARY_BYTES (WIN_MEM_BYTES / 2)

struct driver {
	struct win_rig *rig;
	uint64_t seed;
	struct rfc_calls calls;
};

/* ---- chance: xorshift ---- */

static uint64_t draw(struct driver *d)
{
	d->seed ^= d->seed << 13;
	d->seed ^= d->seed >> 7;
	d->seed ^= d->seed << 17;
	return d->seed;
}

static uint32_t below(struct driver *d, uint32_t n)
{
	return (uint32_t)((draw(d) >> 16) % n);
}

/* What a driver might write: mostly something that has an effect. */
static uint32_t draw_value(struct driver *d)
{
	static const uint32_t liked[] = {
		0,	 1,	  2,	      3,	  4,	7,    8,
		0xb,	 0xf,	  0x10,	      0x40,	  0x4f, 0x80, 0x100,
		0x8000,	 0x10000, 0x40000000, 64,	  256,	1023, 1024,
		0x40001, 0x7fff,  0x40100000, 0xffffffff,
	};

	switch (below(d, 4)) {
	case 0:
		return (uint32_t)draw(d);
	case 1:
		return (uint32_t)WIN_IOVA + below(d, WIN_MEM_BYTES);
	default:
		return liked[below(d, ARRAY_SIZE(liked))];
	}
}

/* ---- steps ---- */

static void step_write(struct driver *d)
{
	static const unsigned int sizes[] = { 1, 2, 4, 4, 4, 4, 8, 3, 0 };
	uint64_t offset = below(d, 16) ? below(d, 0x44) * 4ULL
				       : below(d, 0x200) * below(d, 0x200);
	unsigned int size = sizes[below(d, ARRAY_SIZE(sizes))];

	(void)mmio_rig_write(d->rig, offset, size, draw_value(d));
}

static void step_read(struct driver *d)
{
	uint64_t value;

	(void)mmio_read(mmio_of(d->rig), below(d, 0x180), below(d, 9), &value);
}

/* As a driver does who knows how, so that there is something to disturb. */
static void step_start(struct driver *d)
{
	struct win_rig *rig = d->rig;
	const struct mmio_layout *layout = NULL;
	uint64_t status;

	layout = mmio_rig_read(rig, 4, 4) == 2 ? &mmio_layouts[0]
					       : &mmio_layouts[1];
	status = layout->has_irq ? 0x70 : 0x60;
	(void)mmio_rig_write(rig, status, 4, 0);
	(void)mmio_rig_write(rig, status, 4, 3);
	(void)mmio_rig_write(rig, 0x24, 4, 1);
	(void)mmio_rig_write(rig, 0x20, 4, below(d, 2) ? 1 : 5);
	(void)mmio_rig_write(rig, status, 4, 0xb);
	(void)mmio_rig_write(rig, 0x30, 4, below(d, 2));
	(void)mmio_rig_write(rig, 0x38, 4,
			     below(d, 4) ? 1U << below(d, 9) : draw_value(d));
	for (uint64_t at = 0x80; at <= 0xa0; at += 0x10) {
		(void)mmio_rig_write(rig, at, 4,
				     WIN_IOVA + below(d, CANARY_AT));
	}
	(void)mmio_rig_write(rig, 0x44, 4, 1);
	(void)mmio_rig_write(rig, status, 4, 0xf);
	(void)mmio_rig_write(rig, 0x50, 4, below(d, 2));
}

static void step_memory(struct driver *d)
{
	struct vdpakit_mmio_memory memory = {
		.gpa = WIN_IOVA + below(d, 64) * (CANARY_AT / 64),
		.size_bytes = 1 + below(d, CANARY_AT / 64),
		.fd = d->rig->memfd,
		.perm = below(d, 5),
	};

	memory.fd_offset = memory.gpa - WIN_IOVA;
	if (below(d, 2)) {
		(void)mmio_rig_map(d->rig, &memory);
	} else {
		(void)mmio_rig_unmap(d->rig, memory.gpa, memory.size_bytes);
	}
}

static void step_ring(struct driver *d)
{
	uint64_t at = below(d, CANARY_AT - 8);

	for (unsigned int i = 0; i < 8; i++) {
		d->rig->mem[at + i] = (char)draw(d);
	}
}

static void step_other(struct driver *d)
{
	struct mmio *m = mmio_of(d->rig);

	switch (below(d, 3)) {
	case 0:
		(void)mmio_notify_fd(m, below(d, 4));
		break;
	case 1:
		(void)mmio_set_vq_callback(m, rfc_vq_call, &d->calls);
		break;
	default:
		(void)mmio_set_config_callback(m, rfc_vq_call, &d->calls);
		break;
	}
}

static void step(struct driver *d)
{
	uint32_t what = below(d, 100);

	if (what < 55) {
		step_write(d);
	} else if (what < 70) {
		step_read(d);
	} else if (what < 76) {
		step_start(d);
	} else if (what < 79) {
		step_memory(d);
	} else if (what < 92) {
		step_ring(d);
	} else if (what < 95) {
		step_other(d);
	} else {
		/* The device gets on with it, for a while. */
		assert_int_equal(
			sim_run(d->rig->sim, below(d, 100000), NULL, NULL), 0);
	}
}

/* ---- as good as new ---- */

static void expect_disk(struct win_rig *rig)
{
	char *data = win_alloc(rig, DATA, DATA);

	memset(data, 0x5a, DATA);
	assert_int_equal(win_blk(rig, 0, VIRTIO_BLK_T_OUT, 8, data, DATA),
			 VIRTIO_BLK_S_OK);
	memset(data, 0, DATA);
	assert_int_equal(win_blk(rig, 0, VIRTIO_BLK_T_IN, 8, data, DATA),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(data[0], 0x5a);
	assert_memory_equal(data, data + 1, DATA - 1);
}

static void map_half(struct win_rig *rig)
{
	const struct vdpakit_mmio_memory half = {
		.gpa = WIN_IOVA,
		.size_bytes = CANARY_AT,
		.fd = rig->memfd,
		.perm = VDPAKIT_MMIO_READ | VDPAKIT_MMIO_WRITE,
	};

	assert_true(mmio_rig_unmap(rig, 0, UINT64_MAX) >= 0);
	assert_int_equal(mmio_rig_map(rig, &half), 0);
}

static void expect_canary(const struct win_rig *rig)
{
	for (uint64_t i = 0; i < CANARY_BYTES; i++) {
		assert_int_equal((unsigned char)rig->mem[CANARY_AT + i], 0xc5);
	}
}

static void torture(struct win_rig *rig, uint64_t seed, uint32_t layout)
{
	struct driver d = { .rig = rig, .seed = seed * 0x9e3779b97f4a7c15 };

	print_message("# seed %llu\n", (unsigned long long)seed);
	map_half(rig);
	memset(rig->mem + CANARY_AT, 0xc5, CANARY_BYTES);
	for (unsigned int i = 0; i < N_STEPS; i++) {
		step(&d);
	}
	win_rig_run(rig);
	expect_canary(rig);
	map_half(rig);
	rig->next_free = 0;
	if (layout == VDPAKIT_MMIO_RFC) {
		rfc_driver_start(rig, V1, 1, &d.calls);
	} else {
		spec_driver_start(rig, seed % 2 ? V1 : V1 | PACKED, 1);
	}
	expect_disk(rig);
}

/* It was no use but for what it set off. */
static void expect_mistakes(struct win_rig *rig)
{
	struct vdpakit_mmio_info info;

	mmio_get_info(mmio_of(rig), &info);
	assert_in_range(info.n_bad_accesses, 1000, UINT64_MAX);
	assert_in_range(info.n_mistakes, 1000, UINT64_MAX);
	assert_in_range(info.n_broken, 10, UINT64_MAX);
	assert_in_range(info.n_notifies, 100, UINT64_MAX);
}

static void test_mmio_hostile_driver(void **state)
{
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		torture(*state, seed, VDPAKIT_MMIO_VIRTIO);
	}
	expect_mistakes(*state);
}

static void test_mmio_hostile_rfc_driver(void **state)
{
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		torture(*state, seed, VDPAKIT_MMIO_RFC);
	}
	expect_mistakes(*state);
}

/* Each register, each width, values at the edges of each width. */
static void test_mmio_hostile_each_register(void **state)
{
	static const uint64_t values[] = {
		0,	    1,	      2,	  0x7f,	      0x80,
		0xff,	    0x7fff,   0x8000,	  0xffff,     0x10000,
		0x7fffffff, 1U << 31, 0xffffffff, 1ULL << 32, UINT64_MAX,
	};
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	struct win_rig *rig = *state;

	for (uint64_t offset = 0; offset < 0x180; offset++) {
		for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
			for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
				(void)mmio_rig_write(rig, offset, sizes[s],
						     values[v]);
			}
		}
	}
	rig->next_free = 0;
	spec_driver_start(rig, V1, 1);
	expect_disk(rig);
}

/* H71: status 0 while the device works on requests, again and again. */
static void test_mmio_hostile_reset_during_io(void **state)
{
	struct win_rig *rig = *state;

	for (unsigned int i = 0; i < 50; i++) {
		char *data;

		rig->next_free = 0;
		spec_driver_start(rig, i % 2 ? V1 : V1 | PACKED, 1);
		data = win_alloc(rig, DATA, DATA);
		for (unsigned int n = 0; n < 4; n++) {
			const struct vq_sg sg[] = {
				{ win_iova(rig, data), 16 },
				{ win_iova(rig, data) + 512, 512 },
				{ win_iova(rig, data) + 1024, 1 },
			};

			memset(data, 0, 16);
			assert_int_equal(
				vq_driver_add(rig->drv[0], sg, 1, 2, data), 0);
		}
		(void)vq_driver_publish(rig->drv[0]);
		rig->kick(rig, 0);
		assert_int_equal(sim_run(rig->sim, i * 100, NULL, NULL), 0);
		assert_int_equal(mmio_rig_write(rig, 0x70, 4, 0), 0);
		/* It is over: what was not done is not, and stays so. */
		memset(data, 0x77, DATA);
		win_rig_run(rig);
		for (unsigned int at = 0; at < DATA; at++) {
			assert_int_equal(data[at], 0x77);
		}
	}
}

/* ---- a device that keeps its callers waiting ---- */

#define N_OPS 8

struct crowd_op {
	struct window_op op;
	bool is_busy;
};

struct crowd {
	struct fake_dev fake;
	struct win_rig *rig;
	struct crowd_op ops[N_OPS];
	unsigned int n_cancelled;
};

static void crowd_done(struct window_op *op)
{
	struct crowd_op *co = container_of(op, struct crowd_op, op);

	assert_true(co->is_busy);
	co->is_busy = false;
}

static int set_up_crowd(void **state)
{
	struct crowd *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	fake_init(&c->fake);
	c->fake.vdev.may_wait = true;
	c->rig = mmio_rig_on(&c->fake.vdev, VDPAKIT_MMIO_VIRTIO);
	*state = c;
	return 0;
}

static int tear_down_crowd(void **state)
{
	struct crowd *c = *state;

	mmio_rig_close(c->rig);
	mmio_unregister(c->rig->priv2);
	vdpa_device_unregister(&c->fake.vdev);
	fake_fini(&c->fake);
	win_rig_free(c->rig);
	free(c);
	return 0;
}

/* One of several processors: writes, or gives up. */
static void crowd_step(struct crowd *c, struct driver *d)
{
	static const uint32_t offsets[] = { 0x70, 0x70, 0x44, 0xc0, 0x30, 0x38,
					    0x20, 0x24, 0x80, 0x50, 0x100 };
	struct crowd_op *co = &c->ops[below(d, N_OPS)];

	c->fake.n_steps = 0;
	if (!co->is_busy) {
		co->is_busy = true;
		co->op.done = crowd_done;
		mmio_write(mmio_of(c->rig), &co->op,
			   offsets[below(d, ARRAY_SIZE(offsets))], 4,
			   below(d, 3) ? draw_value(d) & 0xf : draw_value(d));
	} else if (below(d, 4) == 0) {
		window_cancel(co->op.w, &co->op);
		assert_false(co->is_busy);
		c->n_cancelled++;
	}
	if (below(d, 4) == 0) {
		c->fake.waits = below(d, 2);
		c->fake.refused = below(d, 8) ? 0 : below(d, 256);
		vdpa_wake(&c->fake.vdev);
		assert_int_equal(sim_run(c->rig->sim, 1000, NULL, NULL), 0);
	}
	(void)mmio_rig_read(c->rig, 0x70, 4);
	(void)mmio_rig_read(c->rig, 0x44, 4);
}

static void test_mmio_hostile_crowd_at_a_device_that_waits(void **state)
{
	struct crowd *c = *state;

	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		struct driver d = { .rig = c->rig,
				    .seed = seed * 0x9e3779b97f4a7c15 };

		for (unsigned int i = 0; i < N_STEPS; i++) {
			crowd_step(c, &d);
		}
		c->fake.waits = false;
		c->fake.refused = 0;
		vdpa_wake(&c->fake.vdev);
		win_rig_run(c->rig);
		for (unsigned int i = 0; i < N_OPS; i++) {
			assert_false(c->ops[i].is_busy);
		}
		c->fake.n_steps = 0;
		c->rig->next_free = 0;
		spec_driver_start(c->rig, V1, 1);
		assert_int_equal(c->fake.status, 0xf);
		assert_true(c->fake.q[0].is_ready);
	}
	assert_int_not_equal(c->n_cancelled, 0);
}

static int set_up(void **state)
{
	return mmio_rig_set_up(state, "blk",
			       "backend=mem capacity=1M num_queues=2",
			       VDPAKIT_MMIO_VIRTIO);
}

static int set_up_rfc(void **state)
{
	return mmio_rig_set_up(state, "blk",
			       "backend=mem capacity=1M num_queues=2",
			       VDPAKIT_MMIO_RFC);
}

#define T(name, set_up) \
	cmocka_unit_test_setup_teardown(name, set_up, mmio_rig_tear_down)

static const struct CMUnitTest tests[] = {
	T(test_mmio_hostile_driver, set_up),
	T(test_mmio_hostile_rfc_driver, set_up_rfc),
	T(test_mmio_hostile_each_register, set_up),
	T(test_mmio_hostile_reset_during_io, set_up),
	cmocka_unit_test_setup_teardown(
		test_mmio_hostile_crowd_at_a_device_that_waits, set_up_crowd,
		tear_down_crowd),
};

TEST_MAIN("dev_mmio_hostile")
