/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what software devices are told of their client's memory beside its
 * map: the dirty log, and whom to ask for what is not mapped.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "lib/test.h"
#include "lib/vclient.h"
#include "mem/mem_log.h"
#include "uapi/compat.h"

#define PACKED	  BIT_ULL(VIRTIO_F_RING_PACKED)
#define N_PAGES	  (VCLIENT_MEM_BYTES / MEM_LOG_PAGE)
#define LATE_IOVA (1ULL << 40)

struct fixture {
	struct vworld *w;
	struct vclient *c;
	struct vdpa_device *vdev;
	uint64_t features;
	uint8_t bitmap[N_PAGES / 8];
	/* the last miss; any thread, atomic */
	uint32_t n_misses;
	uint64_t miss_iova;
	uint32_t miss_perm;
};

static int set_up_ring(void **state, uint64_t features)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->w = vworld_new(NULL, 1);
	fx->features = features;
	vworld_add(fx->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	fx->vdev = vdpa_device_find(fx->w->bus, "b0");
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
	*state = fx;
	return 0;
}

static int set_up_split(void **state)
{
	return set_up_ring(state, 0);
}

static int set_up_packed(void **state)
{
	return set_up_ring(state, PACKED);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vclient_close(fx->c);
	vworld_free(fx->w);
	free(fx);
	return 0;
}

/* ---- the dirty log ---- */

/* Guest-physical address 0 is the first byte of the client's memory. Here it is
 * seen through the device's own mapping of it. */
static struct mem_log *log_new(struct fixture *fx)
{
	struct iotlb_snap *snap = vdpa_snapshot(fx->vdev, 0);
	const struct iotlb_entry *e = iotlb_find(snap, VCLIENT_IOVA);
	const struct mem_log_range range = { e->va, VCLIENT_MEM_BYTES, 0 };
	struct region *region;
	struct mem_log *log;

	assert_int_equal(region_new_own(fx->bitmap, sizeof(fx->bitmap), NULL,
					NULL, &region),
			 0);
	assert_int_equal(mem_log_new(region, &range, 1, &log), 0);
	region_unref(region);
	iotlb_snap_unref(snap);
	return log;
}

/* What the worker was told before, it has done now. */
static void let_worker_catch_up(struct fixture *fx)
{
	char config[8];

	vclient_get_config(fx->c, config, sizeof(config));
}

/* What the queue writes to its ring is marked after the driver may see it. */
static bool is_marked(struct fixture *fx, const void *va)
{
	uint64_t page =
		(uint64_t)((const char *)va - fx->c->mem) / MEM_LOG_PAGE;

	let_worker_catch_up(fx);
	return __atomic_load_n(&fx->bitmap[page / 8], __ATOMIC_RELAXED) &
	       (1U << page % 8);
}

static void set_log(struct fixture *fx, struct mem_log *log)
{
	const struct vdpa_vq_log vq_log = { log, UINT64_MAX };

	assert_int_equal(vdpa_set_vq_log(fx->vdev, 0, log ? &vq_log : NULL), 0);
}

static void test_what_is_written_is_marked(void **state)
{
	struct fixture *fx = *state;
	struct mem_log *log;
	char *in, *out;

	vclient_start(fx->c, fx->features, 1, 16);
	in = vclient_alloc(fx->c, 4096, 4096);
	out = vclient_alloc(fx->c, 4096, 4096);
	log = log_new(fx);
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_IN, 0, in, 4096),
			 VIRTIO_BLK_S_OK);
	assert_false(is_marked(fx, in)); /* nobody asked yet */
	set_log(fx, log);
	mem_log_unref(log); /* the queue has a reference */
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_OUT, 0, out, 4096),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_IN, 0, in, 4096),
			 VIRTIO_BLK_S_OK);
	assert_true(is_marked(fx, in));
	assert_false(is_marked(fx, out));
	assert_true(is_marked(fx, fx->c->mem + fx->c->q[0].ring_iova -
					  VCLIENT_IOVA));
	set_log(fx, NULL);
	memset(fx->bitmap, 0, sizeof(fx->bitmap));
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_IN, 0, in, 4096),
			 VIRTIO_BLK_S_OK);
	assert_false(is_marked(fx, in));
}

static void test_log_outlives_a_reset(void **state)
{
	struct fixture *fx = *state;
	struct mem_log *log;
	char *in;

	vclient_start(fx->c, fx->features, 1, 16);
	log = log_new(fx);
	set_log(fx, log);
	mem_log_unref(log);
	vclient_reset(fx->c);
	vclient_start(fx->c, fx->features, 1, 16);
	in = vclient_alloc(fx->c, 4096, 4096);
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_IN, 0, in, 4096),
			 VIRTIO_BLK_S_OK);
	assert_true(is_marked(fx, in));
}

/* ---- misses ---- */

static void note_miss(void *priv, uint32_t asid, uint64_t iova, uint32_t perm)
{
	struct fixture *fx = priv;

	assert_int_equal(asid, 0);
	__atomic_store_n(&fx->miss_iova, iova, __ATOMIC_RELAXED);
	__atomic_store_n(&fx->miss_perm, perm, __ATOMIC_RELAXED);
	__atomic_add_fetch(&fx->n_misses, 1, __ATOMIC_RELEASE);
}

static uint32_t n_misses(struct fixture *fx)
{
	return __atomic_load_n(&fx->n_misses, __ATOMIC_ACQUIRE);
}

/* A read whose data goes to memory that is not mapped yet. */
static uint8_t *offer_read(struct fixture *fx)
{
	struct vclient *c = fx->c;
	struct virtio_blk_outhdr *hdr = vclient_alloc(c, sizeof(*hdr), 16);
	uint8_t *status = vclient_alloc(c, 1, 1);
	const struct vq_sg sg[] = {
		{ vclient_iova(c, hdr), sizeof(*hdr) },
		{ LATE_IOVA, 4096 },
		{ vclient_iova(c, status), 1 },
	};

	memset(hdr, 0, sizeof(*hdr));
	*status = 0xee;
	vclient_add(c, 0, sg, 1, 2, status);
	(void)vq_driver_publish(c->q[0].drv);
	vclient_kick(c, 0);
	return status;
}

static void wait_for_misses(struct fixture *fx, uint32_t n)
{
	while (n_misses(fx) < n) {
		let_worker_catch_up(fx);
	}
}

/* The first miss, and whatever the kick of the offer makes of it: it may come
 * after the queue was looked at. Return: misses, of which no more come. */
static uint32_t settle_misses(struct fixture *fx)
{
	wait_for_misses(fx, 1);
	/* each is a round of the loop: the kick is in one of them */
	for (int i = 0; i < 3; i++) {
		let_worker_catch_up(fx);
	}
	return n_misses(fx);
}

static void map_late(struct fixture *fx, uint8_t perm)
{
	assert_int_equal(vclient_iotlb(fx->c, 0, VHOST_IOTLB_UPDATE, LATE_IOVA,
				       4096, fx->c->mem, perm),
			 72);
}

static void start_with_misses(struct fixture *fx)
{
	const struct vdpa_miss miss = { note_miss, fx };

	assert_int_equal(vdpa_set_miss(fx->vdev, &miss), 0);
	vclient_start(fx->c, fx->features, 1, 16);
}

static void test_hole_is_asked_for_and_waited_for(void **state)
{
	struct fixture *fx = *state;
	struct vq_used used;
	uint8_t *status;
	uint32_t n;

	start_with_misses(fx);
	status = offer_read(fx);
	n = settle_misses(fx);
	assert_int_equal(fx->miss_iova, LATE_IOVA);
	assert_int_equal(fx->miss_perm, MEM_PERM_WO);
	let_worker_catch_up(fx);
	assert_int_equal(n_misses(fx), n); /* does not ask all the time */
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 0);
	map_late(fx, VHOST_ACCESS_RW);
	vclient_wait_call(fx->c, 0);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 1);
	assert_ptr_equal(used.cookie, status);
	assert_int_equal(*status, VIRTIO_BLK_S_OK);
}

static void test_map_that_does_not_help_is_asked_for_again(void **state)
{
	struct fixture *fx = *state;
	uint32_t n;

	start_with_misses(fx);
	(void)offer_read(fx);
	n = settle_misses(fx);
	map_late(fx, VHOST_ACCESS_RO);
	wait_for_misses(fx, n + 1);
	assert_int_equal(fx->miss_perm, MEM_PERM_WO);
}

static void test_kick_asks_again(void **state)
{
	struct fixture *fx = *state;
	uint32_t n;

	start_with_misses(fx);
	(void)offer_read(fx);
	n = settle_misses(fx);
	vclient_kick(fx->c, 0);
	wait_for_misses(fx, n + 1);
}

static void test_queue_that_waits_can_be_stopped(void **state)
{
	struct fixture *fx = *state;
	uint8_t *status;
	uint32_t n;

	start_with_misses(fx);
	(void)offer_read(fx);
	n = settle_misses(fx);
	vclient_reset(fx->c);
	assert_int_equal(vdpa_set_miss(fx->vdev, NULL), 0);
	vclient_start(fx->c, fx->features, 1, 16);
	/* nobody is asked any more: the request fails */
	status = offer_read(fx);
	vclient_wait_call(fx->c, 0);
	assert_int_equal(*status, VIRTIO_BLK_S_IOERR);
	assert_int_equal(n_misses(fx), n);
}

#define T(name, ring)                                                 \
	{                                                             \
#name "_" #ring, name, set_up_##ring, tear_down, NULL \
	}
#define BOTH(name) T(name, split), T(name, packed)

static const struct CMUnitTest tests[] = {
	BOTH(test_what_is_written_is_marked),
	BOTH(test_log_outlives_a_reset),
	BOTH(test_hole_is_asked_for_and_waited_for),
	BOTH(test_map_that_does_not_help_is_asked_for_again),
	BOTH(test_kick_asks_again),
	BOTH(test_queue_that_waits_can_be_stopped),
};

TEST_MAIN("dev_soft_mem")
