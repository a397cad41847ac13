/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A RAM disk under seeded schedules: writes go on while the device is
 * suspended, resumed, saved and restored, unbound and rebound, reset, and its
 * memory is unmapped and mapped again. Once as it is, once behind a relay.
 *
 * Every write carries a number that no other has. The disk must hold, at the
 * end, for each sector the number of the last write that was acknowledged, or
 * of one that was still in flight when a reset forgot it; and every request is
 * answered exactly once, unless a reset took it away.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "relay/relay.h"
#include "sim/sim.h"
#include "uapi/compat.h"

#define STEPS	  120
#define SECTORS	  32
#define IN_FLIGHT 12
#define RING	  16

/* One write: one sector, filled with its number. */
struct request {
	struct virtio_blk_outhdr hdr;
	uint64_t data[64];
	uint8_t status;
	bool is_busy;
	uint64_t sector;
	uint64_t number;
};

struct run {
	struct sim *sim;
	struct vworld *w;
	struct vclient *c;
	const char *name; /* of the device */
	struct vdpa_device *relay; /* NULL: there is none */
	struct request *requests; /* in the client's memory */
	uint64_t next_number;
	uint64_t acked[SECTORS];
	/* Numbers that resets left undecided since the last acknowledged one. */
	uint64_t maybe[SECTORS][STEPS];
	unsigned int n_maybe[SECTORS];
	bool is_sector_busy[SECTORS];
	bool is_suspended;
	uint64_t features;
};

static uint64_t pick_features(struct sim *sim)
{
	static const unsigned int bits[] = { VIRTIO_F_RING_PACKED,
					     VIRTIO_RING_F_EVENT_IDX,
					     VIRTIO_RING_F_INDIRECT_DESC,
					     VIRTIO_F_IN_ORDER };
	uint64_t features = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		features |= draw(sim, 2) ? BIT_ULL(bits[i]) : 0;
	}
	return features;
}

static void start(struct run *r)
{
	vclient_start(r->c, r->features, 1, RING);
	r->requests =
		vclient_alloc(r->c, IN_FLIGHT * sizeof(*r->requests), 4096);
	memset(r->requests, 0, IN_FLIGHT * sizeof(*r->requests));
	r->is_suspended = false;
}

static void submit(struct run *r)
{
	struct request *req = &r->requests[draw(r->sim, IN_FLIGHT)];
	uint64_t sector = draw(r->sim, SECTORS);
	uint64_t at = vclient_iova(r->c, req);
	struct vq_sg sg[] = {
		{ at, sizeof(req->hdr) },
		{ at + offsetof(struct request, data), 512 },
		{ at + offsetof(struct request, status), 1 },
	};

	/* Two writes of one sector at once may land in any order. */
	if (req->is_busy || r->is_sector_busy[sector]) {
		return;
	}
	req->number = ++r->next_number;
	req->sector = sector;
	req->hdr =
		(struct virtio_blk_outhdr){ .type = htole32(VIRTIO_BLK_T_OUT),
					    .sector = htole64(sector) };
	req->status = 0xee;
	for (int i = 0; i < 64; i++) {
		req->data[i] = req->number;
	}
	if (vq_driver_add(r->c->q[0].drv, sg, 2, 1, req) == -ENOSPC) {
		return;
	}
	req->is_busy = true;
	r->is_sector_busy[sector] = true;
	if (draw(r->sim, 2) && vq_driver_publish(r->c->q[0].drv)) {
		vclient_kick(r->c, 0);
	}
}

static void publish(struct run *r)
{
	if (vq_driver_publish(r->c->q[0].drv)) {
		vclient_kick(r->c, 0);
	}
}

static void collect(struct run *r)
{
	struct vq_used used[RING];
	int n = vq_driver_get(r->c->q[0].drv, used, RING);

	assert_in_range(n, 0, RING);
	for (int i = 0; i < n; i++) {
		struct request *req = used[i].cookie;

		assert_true(req->is_busy); /* once, and asked for */
		assert_int_equal(used[i].written, 1);
		assert_int_equal(req->status, VIRTIO_BLK_S_OK);
		req->is_busy = false;
		r->is_sector_busy[req->sector] = false;
		r->acked[req->sector] = req->number;
		r->n_maybe[req->sector] = 0;
	}
}

/* What was in flight may have happened or not. */
static void reset(struct run *r)
{
	vclient_set_status(r->c, 0);
	sim_run(r->sim, 1000000, NULL, NULL); /* nothing may come any more */
	for (int i = 0; i < IN_FLIGHT; i++) {
		struct request *req = &r->requests[i];

		if (req->is_busy) {
			r->maybe[req->sector][r->n_maybe[req->sector]++] =
				req->number;
			r->is_sector_busy[req->sector] = false;
		}
	}
	vclient_reset(r->c);
	start(r);
}

static void suspend(struct run *r)
{
	struct vq_used used;

	vclient_must(r->c, VHOST_VDPA_SUSPEND, NULL);
	collect(r);
	publish(r);
	sim_run(r->sim, 1000000, NULL, NULL);
	assert_int_equal(vq_driver_get(r->c->q[0].drv, &used, 1), 0);
	r->is_suspended = true;
}

static void resume(struct run *r)
{
	vclient_must(r->c, VHOST_VDPA_RESUME, NULL);
	r->is_suspended = false;
}

static void save_and_restore(struct run *r)
{
	vclient_save(r->c);
	if (draw(r->sim, 2)) {
		vclient_reopen(r->c, "vhost-vdpa-0");
	}
	vclient_restore(r->c);
	r->is_suspended = false;
}

static void unbind_and_bind(struct run *r)
{
	vclient_save(r->c);
	cdev_local_close(r->w->local, r->c->file);
	assert_int_equal(vdpa_dev_unbind(r->w->bus, r->name), 0);
	assert_int_equal(
		vdpa_dev_bind(r->w->bus, r->name, "vhost_vdpa", NULL, 0), 0);
	assert_int_equal(cdev_local_open(r->w->local, "vhost-vdpa-0", 2,
					 &r->c->file),
			 0);
	vclient_must(r->c, VHOST_SET_OWNER, NULL);
	vclient_iotlb(r->c, 0, VHOST_IOTLB_UPDATE, VCLIENT_IOVA,
		      VCLIENT_MEM_BYTES, r->c->mem, VHOST_ACCESS_RW);
	vclient_restore(r->c);
	r->is_suspended = false;
}

/* The map is taken away and comes back in pieces: what is looked at in between
 * waits, nothing fails, as rings without memory are not broken. */
static void remap(struct run *r)
{
	uint64_t cut = align_up(1 + draw(r->sim, VCLIENT_MEM_BYTES - 1), 4096);

	if (r->is_suspended || cut >= VCLIENT_MEM_BYTES) {
		return;
	}
	/* Requests must not see a hole: let them finish. */
	publish(r);
	sim_run(r->sim, UINT64_MAX, NULL, NULL);
	collect(r);
	assert_int_equal(vclient_iotlb(r->c, 0, VHOST_IOTLB_INVALIDATE, 0,
				       UINT64_MAX, NULL, 0),
			 72);
	sim_run(r->sim, draw(r->sim, 200000), NULL, NULL);
	assert_int_equal(vclient_iotlb(r->c, 0, VHOST_IOTLB_UPDATE,
				       VCLIENT_IOVA, cut, r->c->mem, 3),
			 72);
	assert_int_equal(
		vclient_iotlb(r->c, 0, VHOST_IOTLB_UPDATE, VCLIENT_IOVA + cut,
			      VCLIENT_MEM_BYTES - cut, r->c->mem + cut, 3),
		72);
}

static void step(struct run *r)
{
	uint64_t what = draw(r->sim, 100);

	if (what < 50) {
		submit(r);
	} else if (what < 60) {
		publish(r);
	} else if (what < 80) {
		collect(r);
	} else if (what < 88) {
		if (r->is_suspended) {
			resume(r);
		} else {
			suspend(r);
		}
	} else if (what < 92) {
		save_and_restore(r);
	} else if (what < 94) {
		unbind_and_bind(r);
	} else if (what < 97) {
		remap(r);
	} else {
		reset(r);
	}
	if (draw(r->sim, 2)) {
		sim_run(r->sim, draw(r->sim, 300000), NULL, NULL);
	}
}

static bool may_hold(const struct run *r, uint64_t sector, uint64_t number)
{
	for (unsigned int i = 0; i < r->n_maybe[sector]; i++) {
		if (r->maybe[sector][i] == number) {
			return true;
		}
	}
	return r->acked[sector] == number;
}

static void verify(struct run *r)
{
	uint64_t *data;

	if (r->is_suspended) {
		resume(r);
	}
	publish(r);
	sim_run(r->sim, UINT64_MAX, NULL, NULL);
	collect(r);
	assert_int_equal(vq_driver_n_in_flight(r->c->q[0].drv), 0);
	data = vclient_alloc(r->c, 512, 4096);
	for (uint64_t s = 0; s < SECTORS; s++) {
		assert_int_equal(vclient_blk(r->c, 0, VIRTIO_BLK_T_IN, s, data,
					     512),
				 VIRTIO_BLK_S_OK);
		for (int i = 1; i < 64; i++) {
			assert_true(data[i] == data[0]);
		}
		assert_true(may_hold(r, s, data[0]));
	}
}

/* A call that waits lets everything else go on. */
static void turn(void *priv)
{
	struct run *r = priv;

	assert_int_equal(sim_run(r->sim, 100000, NULL, NULL), 0);
}

/* Puts a relay on the disk, whose domain holds few requests. */
static void put_relay(struct run *r)
{
	const struct relay_options options = {
		.domain_bytes = DOMAIN_BYTES_MIN,
	};

	cdev_local_set_turn(r->w->local, turn, r);
	assert_int_equal(vdpa_dev_unbind(r->w->bus, r->name), 0);
	assert_int_equal(relay_new(r->w->bus,
				   vdpa_device_find(r->w->bus, r->name), "r0",
				   &options, &r->relay),
			 0);
	assert_int_equal(vdpa_device_register(r->w->bus, NULL, r->relay), 0);
	r->name = "r0";
}

static void take_relay(struct run *r)
{
	assert_int_equal(vdpa_dev_unbind(r->w->bus, r->name), 0);
	vdpa_device_unregister(r->relay);
	relay_free(r->relay);
}

static void run_disk(struct sim *sim, bool is_relayed)
{
	struct run r = { .sim = sim, .name = "b0" };

	r.features = pick_features(sim);
	r.w = vworld_new(sim, 1 + (unsigned int)draw(sim, 2));
	vworld_add(r.w, "vdpasim_blk", "b0", 0, NULL, NULL);
	if (is_relayed) {
		put_relay(&r);
	}
	assert_int_equal(vclient_open(r.w, "vhost-vdpa-0", &r.c), 0);
	start(&r);
	for (int i = 0; i < STEPS; i++) {
		step(&r);
	}
	verify(&r);
	vclient_close(r.c);
	if (is_relayed) {
		take_relay(&r);
	}
	vworld_free(r.w);
}

static void run_blk(struct sim *sim)
{
	run_disk(sim, false);
}

static void run_relay(struct sim *sim)
{
	run_disk(sim, true);
}

static void test_no_write_is_lost_or_done_twice(void **state)
{
	sim_each_seed(run_blk);
}

static void test_no_write_is_lost_or_done_twice_by_a_relay(void **state)
{
	sim_each_seed(run_relay);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_no_write_is_lost_or_done_twice),
	cmocka_unit_test(test_no_write_is_lost_or_done_twice_by_a_relay),
};

TEST_MAIN("sim_blk")
