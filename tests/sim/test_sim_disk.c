/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk on a file under seeded schedules: reads, writes, write zeroes and
 * discards are in flight together, the file's I/O stops short, fails and comes
 * late, and the driver suspends, resumes, moves and resets meanwhile.
 *
 * Sectors that a request touches are its own until it is answered. A sector
 * whose last write was answered with OK holds exactly that; after an IOERR, or
 * when a reset took the answer away, it may hold anything until it is written
 * again. Every read that is answered with OK is held against that, every
 * request is answered once, and at the end the file itself is.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "sim/sim.h"
#include "uapi/compat.h"

#define STEPS	  150
#define SECTORS	  64
#define IN_FLIGHT 16
#define RING	  64
#define LEN_MAX	  8 /* sectors of a request */
#define WORDS	  64 /* of a sector */
#define UNKNOWN	  UINT64_MAX

struct request {
	struct virtio_blk_outhdr hdr;
	union {
		uint64_t data[LEN_MAX][WORDS];
		struct virtio_blk_discard_write_zeroes ranges[2];
	};
	uint8_t status;
	bool is_busy;
	uint32_t type;
	uint64_t sector;
	unsigned int n;
	uint64_t number;
};

struct run {
	struct sim *sim;
	struct vworld *w;
	struct vclient *c;
	int fd;
	uint64_t features;
	struct request *requests; /* in the client's memory */
	uint64_t next_number;
	uint64_t holds[SECTORS]; /* number, or UNKNOWN */
	bool is_locked[SECTORS];
	bool is_suspended;
	unsigned int n_ok;
};

static uint64_t pick_features(struct sim *sim)
{
	static const unsigned int bits[] = {
		VIRTIO_F_RING_PACKED,	     VIRTIO_RING_F_EVENT_IDX,
		VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_F_IN_ORDER,
		VIRTIO_BLK_F_FLUSH,	     VIRTIO_BLK_F_FLUSH,
	};
	uint64_t features = BIT_ULL(VIRTIO_BLK_F_DISCARD) |
			    BIT_ULL(VIRTIO_BLK_F_WRITE_ZEROES);

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

/* Return: false: some of them are another's. */
static bool lock(struct run *r, uint64_t sector, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (r->is_locked[sector + i]) {
			return false;
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		r->is_locked[sector + i] = true;
	}
	return true;
}

static void unlock(struct run *r, const struct request *req)
{
	for (unsigned int i = 0; i < req->n; i++) {
		r->is_locked[req->sector + i] = false;
	}
}

/* Two ranges side by side, or one. */
static unsigned int set_ranges(struct run *r, struct request *req)
{
	unsigned int cut = (unsigned int)draw(r->sim, req->n + 1);
	uint32_t flags = req->type == VIRTIO_BLK_T_WRITE_ZEROES
				 ? (uint32_t)draw(r->sim, 2)
				 : 0;

	req->ranges[0].sector = htole64(req->sector);
	req->ranges[0].num_sectors = htole32(cut);
	req->ranges[0].flags = htole32(flags);
	req->ranges[1].sector = htole64(req->sector + cut);
	req->ranges[1].num_sectors = htole32(req->n - cut);
	req->ranges[1].flags = htole32(flags);
	return 2 * sizeof(req->ranges[0]);
}

static unsigned int set_data(struct request *req)
{
	for (unsigned int i = 0; i < req->n; i++) {
		for (unsigned int w = 0; w < WORDS; w++) {
			req->data[i][w] = req->number;
		}
	}
	return req->n * 512;
}

/* Fills a request. Return: bytes of data. */
static unsigned int prepare(struct run *r, struct request *req)
{
	req->number = ++r->next_number;
	req->status = 0xee;
	req->hdr.type = htole32(req->type);
	req->hdr.sector =
		htole64(req->type <= VIRTIO_BLK_T_OUT ? req->sector : 0);
	switch (req->type) {
	case VIRTIO_BLK_T_IN:
		memset(req->data, 0xee, sizeof(req->data));
		return req->n * 512;
	case VIRTIO_BLK_T_OUT:
		return set_data(req);
	case VIRTIO_BLK_T_FLUSH:
		return 0;
	default:
		return set_ranges(r, req);
	}
}

/* Header, data in up to three pieces, status. */
static int put(struct run *r, struct request *req, unsigned int len)
{
	uint64_t at = vclient_iova(r->c, req);
	uint64_t data = at + offsetof(struct request, data);
	bool is_in = req->type == VIRTIO_BLK_T_IN;
	unsigned int left = len, n = 1;
	struct vq_sg sg[5] = { { at, sizeof(req->hdr) } };

	while (left > 0) {
		unsigned int part =
			n == 3 ? left : 1 + (unsigned int)draw(r->sim, left);

		sg[n++] = (struct vq_sg){ data + len - left, part };
		left -= part;
	}
	sg[n] = (struct vq_sg){ at + offsetof(struct request, status), 1 };
	return vq_driver_add(r->c->q[0].drv, sg, is_in ? 1 : n, is_in ? n : 1,
			     req);
}

static void publish(struct run *r)
{
	if (vq_driver_publish(r->c->q[0].drv)) {
		vclient_kick(r->c, 0);
	}
}

static void submit(struct run *r)
{
	static const uint32_t types[] = {
		VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_IN,
		VIRTIO_BLK_T_OUT,     VIRTIO_BLK_T_OUT,
		VIRTIO_BLK_T_OUT,     VIRTIO_BLK_T_FLUSH,
		VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
	};
	struct request *req = &r->requests[draw(r->sim, IN_FLIGHT)];

	if (req->is_busy) {
		return;
	}
	req->type = types[draw(r->sim, ARRAY_SIZE(types))];
	req->sector = draw(r->sim, SECTORS - LEN_MAX);
	req->n = req->type == VIRTIO_BLK_T_FLUSH
			 ? 0
			 : 1 + (unsigned int)draw(r->sim, LEN_MAX);
	if (!lock(r, req->sector, req->n)) {
		return;
	}
	if (put(r, req, prepare(r, req)) < 0) {
		unlock(r, req);
		return;
	}
	req->is_busy = true;
	if (draw(r->sim, 2)) {
		publish(r);
	}
}

static void set_holds(struct run *r, const struct request *req, uint64_t number)
{
	for (unsigned int i = 0; i < req->n; i++) {
		r->holds[req->sector + i] = number;
	}
}

static void check_read(struct run *r, const struct request *req)
{
	for (unsigned int i = 0; i < req->n; i++) {
		uint64_t want = r->holds[req->sector + i];

		for (unsigned int w = 0; want != UNKNOWN && w < WORDS; w++) {
			assert_true(req->data[i][w] == want);
		}
	}
}

static void end(struct run *r, struct request *req, uint32_t written)
{
	bool is_ok = req->status == VIRTIO_BLK_S_OK;
	bool is_read = req->type == VIRTIO_BLK_T_IN;

	assert_true(req->is_busy); /* once, and asked for */
	assert_true(is_ok || req->status == VIRTIO_BLK_S_IOERR);
	assert_int_equal(written, is_ok && is_read ? req->n * 512 + 1 : 1);
	if (is_read && is_ok) {
		check_read(r, req);
	} else if (!is_read && !is_ok) {
		set_holds(r, req, UNKNOWN);
	} else if (req->type == VIRTIO_BLK_T_OUT) {
		set_holds(r, req, req->number);
	} else if (req->type != VIRTIO_BLK_T_FLUSH && !is_read) {
		set_holds(r, req, 0);
	}
	r->n_ok += is_ok;
	unlock(r, req);
	req->is_busy = false;
}

static void collect(struct run *r)
{
	struct vq_used used[RING];
	int n = vq_driver_get(r->c->q[0].drv, used, RING);

	assert_in_range(n, 0, RING);
	for (int i = 0; i < n; i++) {
		end(r, used[i].cookie, used[i].written);
	}
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

/* What was in flight may have happened or not, but not from now on. */
static void reset(struct run *r)
{
	vclient_set_status(r->c, 0);
	for (int i = 0; i < IN_FLIGHT; i++) {
		struct request *req = &r->requests[i];

		if (req->is_busy) {
			if (req->type != VIRTIO_BLK_T_IN) {
				set_holds(r, req, UNKNOWN);
			}
			unlock(r, req);
		}
	}
	vclient_reset(r->c);
	start(r);
}

static void step(struct run *r)
{
	uint64_t what = draw(r->sim, 100);

	if (what < 60) {
		submit(r);
	} else if (what < 68) {
		publish(r);
	} else if (what < 86) {
		collect(r);
	} else if (what < 92) {
		if (r->is_suspended) {
			resume(r);
		} else {
			suspend(r);
		}
	} else if (what < 96) {
		save_and_restore(r);
	} else if (what < 98) {
		reset(r);
	}
	if (draw(r->sim, 2)) {
		sim_run(r->sim, draw(r->sim, 300000), NULL, NULL);
	}
}

static void verify(struct run *r)
{
	uint64_t data[WORDS];

	if (r->is_suspended) {
		resume(r);
	}
	publish(r);
	sim_run(r->sim, UINT64_MAX, NULL, NULL);
	collect(r);
	assert_int_equal(vq_driver_n_in_flight(r->c->q[0].drv), 0);
	for (unsigned int s = 0; s < SECTORS; s++) {
		assert_int_equal(pread(r->fd, data, 512, s * 512), 512);
		for (unsigned int w = 0; r->holds[s] != UNKNOWN && w < WORDS;
		     w++) {
			assert_true(data[w] == r->holds[s]);
		}
	}
}

static void run_disk(struct sim *sim)
{
	struct run r = { .sim = sim };
	char keys[96];
	int ret;

	r.fd = memfd_create("disk", MFD_CLOEXEC);
	assert_int_not_equal(r.fd, -1);
	assert_int_equal(ftruncate(r.fd, SECTORS * 512), 0);
	(void)snprintf(keys, sizeof(keys), "backend=file path=/proc/self/fd/%d",
		       r.fd);
	r.features = pick_features(sim);
	r.w = vworld_new(sim, 1 + (unsigned int)draw(sim, 2));
	ret = vworld_add_keys(r.w, "blk", "d0", 0, keys);
	assert_int_equal(ret, 0);
	assert_int_equal(vclient_open(r.w, "vhost-vdpa-0", &r.c), 0);
	start(&r);
	for (int i = 0; i < STEPS; i++) {
		step(&r);
	}
	verify(&r);
	vclient_close(r.c);
	vworld_free(r.w);
	(void)close(r.fd);
}

static void test_sectors_hold_what_was_acknowledged(void **state)
{
	sim_each_seed(run_disk);
}

static void test_the_same_with_failing_and_short_io(void **state)
{
	sim_each_failing_seed(run_disk, 100);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_sectors_hold_what_was_acknowledged),
	cmocka_unit_test(test_the_same_with_failing_and_short_io),
};

TEST_MAIN("sim_disk")
