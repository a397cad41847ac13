/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The in-process block driver under seeded schedules: writes go on while the
 * device is suspended and resumed, reset, closed and opened, deleted and made
 * again.
 *
 * Each request is given back exactly once, unless the disk was closed. Each
 * write carries a number that no other has: a sector holds that of the last
 * write that succeeded, or of one that came back as undecided after it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#define SIM_DEFAULT_RUNS 1000 /* of 5 ms, most of it the kernel's */

#include "bus/virtio_disk.h"
#include "sim/sim.h"

#define STEPS	  120
#define SECTORS	  16
#define IN_FLIGHT 12

struct write {
	bool is_busy;
	unsigned int sector;
	uint64_t number;
};

struct run {
	struct vdisk d;
	struct sim *sim;
	struct write writes[IN_FLIGHT];
	uint64_t next_number;
	uint64_t done[SECTORS];
	uint64_t maybe[SECTORS][STEPS];
	unsigned int n_maybe[SECTORS];
	bool is_sector_busy[SECTORS];
	bool is_suspended;
};

static uint64_t *data_of(struct run *r, const struct write *w)
{
	return (uint64_t *)(r->d.mem + (w - r->writes) * 512);
}

static void add(struct run *r)
{
	struct write *w = &r->writes[draw(r->sim, IN_FLIGHT)];
	unsigned int sector = (unsigned int)draw(r->sim, SECTORS);
	const struct vdpakit_blk_req req = {
		.op = VDPAKIT_BLK_WRITE,
		.offset_bytes = sector * 512ULL,
		.len_bytes = 512,
		.buf = data_of(r, w),
		.user = w,
	};

	if (w->is_busy || r->is_sector_busy[sector]) {
		return;
	}
	w->number = ++r->next_number;
	w->sector = sector;
	for (int i = 0; i < 64; i++) {
		data_of(r, w)[i] = w->number;
	}
	if (vdpakit_blk_add(r->d.q, &req, 1) == 0) {
		return; /* full */
	}
	w->is_busy = true;
	r->is_sector_busy[sector] = true;
}

/* It may have been done, and may be done. */
static void undecided(struct run *r, struct write *w)
{
	r->maybe[w->sector][r->n_maybe[w->sector]++] = w->number;
	r->is_sector_busy[w->sector] = false;
	w->is_busy = false;
}

static void collect(struct run *r)
{
	struct vdpakit_blk_done done[IN_FLIGHT];
	int n = vdpakit_blk_poll(r->d.q, done, IN_FLIGHT);

	assert_in_range(n, 0, IN_FLIGHT);
	for (int i = 0; i < n; i++) {
		struct write *w = done[i].user;

		assert_true(w->is_busy);
		if (done[i].result < 0) {
			assert_int_equal(done[i].result, -EIO);
			undecided(r, w);
			continue;
		}
		w->is_busy = false;
		r->is_sector_busy[w->sector] = false;
		r->done[w->sector] = w->number;
		r->n_maybe[w->sector] = 0;
	}
}

static void suspend_or_resume(struct run *r)
{
	struct vdpa_device *lower = vdpa_device_find(r->d.r->w->bus, "d0");

	assert_int_equal(
		r->is_suspended ? vdpa_resume(lower) : vdpa_suspend(lower), 0);
	r->is_suspended = !r->is_suspended;
}

/* All that was under way comes back, and nothing else does. */
static void reset(struct run *r)
{
	assert_int_equal(blk_reset(r->d.blk), 0);
	r->is_suspended = false;
	collect(r);
	assert_int_equal(vdpakit_blk_n_under_way(r->d.q), 0);
	for (unsigned int i = 0; i < IN_FLIGHT; i++) {
		assert_false(r->writes[i].is_busy);
	}
}

static void drop_all(struct run *r)
{
	for (unsigned int i = 0; i < IN_FLIGHT; i++) {
		if (r->writes[i].is_busy) {
			undecided(r, &r->writes[i]);
		}
	}
	r->is_suspended = false;
}

static void open_again(struct run *r)
{
	struct vdpakit_blk_options options = {
		.queue_size = (uint16_t)(4U << draw(r->sim, 3)),
		.no_packed = draw(r->sim, 2) != 0,
	};

	blk_remove(r->d.blk);
	drop_all(r);
	assert_int_equal(vdisk_probe(&r->d, options), 0);
}

/* Another one of the same name, and empty. */
static void delete_and_make(struct run *r, const struct vdisk_kind *kind)
{
	struct vdpakit_blk_done done;

	assert_int_equal(vdpa_dev_del(r->d.r->w->bus, "d0", NULL, NULL), 0);
	if (draw(r->sim, 2)) {
		assert_int_equal(sim_run(r->sim, 100000, NULL, NULL), 0);
	}
	while (vdpakit_blk_poll(r->d.q, &done, 1) > 0) {
	}
	assert_int_equal(vdpakit_blk_poll(r->d.q, &done, 1), -ENODEV);
	blk_remove(r->d.blk);
	drop_all(r);
	memset(r->n_maybe, 0, sizeof(r->n_maybe));
	memset(r->done, 0, sizeof(r->done));
	r->d.vdev = vrig_add(r->d.r, kind->mgmtdev, "d0", 0, kind->keys);
	assert_int_equal(vdisk_probe(&r->d, (struct vdpakit_blk_options){ 0 }),
			 0);
}

static void step(struct run *r, const struct vdisk_kind *kind)
{
	uint64_t what = draw(r->sim, 100);

	if (what < 50) {
		add(r);
	} else if (what < 65) {
		assert_int_equal(vdpakit_blk_submit(r->d.q), 0);
	} else if (what < 75) {
		collect(r);
	} else if (what < 80) {
		assert_in_range(vdpakit_blk_arm(r->d.q), 0, 1);
	} else if (what < 88) {
		suspend_or_resume(r);
	} else if (what < 94) {
		reset(r);
	} else if (what < 98) {
		open_again(r);
	} else {
		delete_and_make(r, kind);
	}
	if (draw(r->sim, 2)) {
		assert_int_equal(
			sim_run(r->sim, draw(r->sim, 300000), NULL, NULL), 0);
	}
}

static bool may_hold(const struct run *r, unsigned int sector, uint64_t number)
{
	for (unsigned int i = 0; i < r->n_maybe[sector]; i++) {
		if (r->maybe[sector][i] == number) {
			return true;
		}
	}
	return r->done[sector] == number;
}

static void finish(struct run *r)
{
	if (r->is_suspended) {
		suspend_or_resume(r);
	}
	assert_int_equal(vdpakit_blk_submit(r->d.q), 0);
	assert_int_equal(sim_run(r->sim, UINT64_MAX, NULL, NULL), 0);
	collect(r);
	assert_int_equal(vdpakit_blk_n_under_way(r->d.q), 0);
}

static void verify(struct run *r)
{
	uint64_t *data = (uint64_t *)(r->d.mem + 65536);
	const struct vdpakit_blk_req req = {
		.len_bytes = SECTORS * 512ULL,
		.buf = data,
	};
	struct vdpakit_blk_done done;

	finish(r);
	assert_int_equal(vdpakit_blk_add(r->d.q, &req, 1), 1);
	assert_int_equal(vdpakit_blk_submit(r->d.q), 0);
	assert_int_equal(sim_run(r->sim, UINT64_MAX, NULL, NULL), 0);
	assert_int_equal(vdpakit_blk_poll(r->d.q, &done, 1), 1);
	assert_int_equal(done.result, 0);
	for (unsigned int s = 0; s < SECTORS; s++) {
		for (unsigned int i = 1; i < 64; i++) {
			assert_true(data[s * 64 + i] == data[s * 64]);
		}
		assert_true(may_hold(r, s, data[s * 64]));
	}
}

static void run_disk(struct sim *sim)
{
	const struct vdisk_kind *kind = &vdisk_kinds[draw(sim, vdisk_n_kinds)];
	struct run r = { .sim = sim };

	vdisk_open_on(&r.d, sim, kind, (struct vdpakit_blk_options){ 0 });
	for (unsigned int i = 0; i < STEPS; i++) {
		step(&r, kind);
	}
	verify(&r);
	vdisk_close(&r.d);
}

static void test_each_request_comes_back_once(void **state)
{
	(void)state;
	sim_each_seed(run_disk);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_each_request_comes_back_once),
};

TEST_MAIN("sim_virtio_blk")
