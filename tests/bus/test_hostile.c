/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of clients that mean harm: the device goes on, or ends cleanly, and
 * nobody else notices.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "lib/test.h"
#include "lib/vclient.h"
#include "uapi/compat.h"

#define PACKED	 BIT_ULL(VIRTIO_F_RING_PACKED)
#define IN_ORDER BIT_ULL(VIRTIO_F_IN_ORDER)
#define NUM	 16

struct fixture {
	struct vworld *w;
	struct vclient *c;
};

static int set_up_ring(void **state, uint64_t features)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->w = vworld_new(NULL, 1);
	vworld_add(fx->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
	vclient_start(fx->c, features, 1, NUM);
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

static int set_up_split_in_order(void **state)
{
	return set_up_ring(state, IN_ORDER);
}

static int set_up_packed_in_order(void **state)
{
	return set_up_ring(state, PACKED | IN_ORDER);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vclient_close(fx->c);
	vworld_free(fx->w);
	free(fx);
	return 0;
}

/* ---- steps ---- */

static void iotlb(struct vclient *c, uint8_t type, uint64_t iova, uint64_t size,
		  uint8_t perm)
{
	assert_int_equal(vclient_iotlb(c, 0, type, iova, size,
				       c->mem + (iova - VCLIENT_IOVA), perm),
			 sizeof(struct vhost_msg_v2));
}

/* All of the client's memory again, the ring of queue 0 with @perm. */
static void map_ring_as(struct vclient *c, uint8_t perm)
{
	uint64_t ring = c->q[0].ring_iova, after, end;
	struct vq_layout layout;

	vq_layout(NUM, c->features, &layout);
	after = ring + layout.size_bytes;
	end = VCLIENT_IOVA + VCLIENT_MEM_BYTES;
	iotlb(c, VHOST_IOTLB_BATCH_BEGIN, VCLIENT_IOVA, 0, 0);
	iotlb(c, VHOST_IOTLB_INVALIDATE, VCLIENT_IOVA, VCLIENT_MEM_BYTES, 0);
	iotlb(c, VHOST_IOTLB_UPDATE, ring, layout.size_bytes, perm);
	iotlb(c, VHOST_IOTLB_UPDATE, after, end - after, VHOST_ACCESS_RW);
	iotlb(c, VHOST_IOTLB_BATCH_END, VCLIENT_IOVA, 0, 0);
}

/* A flush, kicked; returns where its status will be. */
static uint8_t *offer_flush(struct vclient *c)
{
	struct virtio_blk_outhdr *hdr = vclient_alloc(c, sizeof(*hdr), 16);
	uint8_t *status = vclient_alloc(c, 1, 1);
	const struct vq_sg sg[] = {
		{ vclient_iova(c, hdr), sizeof(*hdr) },
		{ vclient_iova(c, status), 1 },
	};

	memset(hdr, 0, sizeof(*hdr));
	hdr->type = htole32(VIRTIO_BLK_T_FLUSH);
	*status = 0xee;
	vclient_add(c, 0, sg, 1, 1, hdr);
	(void)vq_driver_publish(c->q[0].drv);
	vclient_kick(c, 0);
	return status;
}

/* The worker has done what it was woken for. */
static void let_worker_catch_up(struct fixture *fx)
{
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "b0");

	assert_int_equal(vdpa_kick_vq(vdev, 0), 0);
	assert_int_equal(vdpa_kick_vq(vdev, 0), 0);
}

static void assert_works(struct fixture *fx, uint64_t features)
{
	vclient_reset(fx->c);
	vclient_start(fx->c, features, 1, NUM);
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0),
			 VIRTIO_BLK_S_OK);
}

/* ---- a ring that can be read only: requests are done, nobody is told ---- */

static void test_h32_reset_of_a_queue_that_cannot_answer(void **state)
{
	struct fixture *fx = *state;
	uint64_t features = fx->c->features;
	struct vq_used used;

	map_ring_as(fx->c, VHOST_ACCESS_RO);
	(void)offer_flush(fx->c);
	let_worker_catch_up(fx);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 0);
	vclient_set_status(fx->c, 0);
	map_ring_as(fx->c, VHOST_ACCESS_RW);
	assert_works(fx, features);
}

static void test_h32_answers_wait_for_the_ring(void **state)
{
	struct fixture *fx = *state;
	struct vq_used used;
	uint8_t *status;

	map_ring_as(fx->c, VHOST_ACCESS_RO);
	status = offer_flush(fx->c);
	let_worker_catch_up(fx);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 0);
	map_ring_as(fx->c, VHOST_ACCESS_RW);
	vclient_wait_call(fx->c, 0);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 1);
	assert_int_equal(*status, VIRTIO_BLK_S_OK);
}

#define T(name, kind) \
	cmocka_unit_test_setup_teardown(name, set_up_##kind, tear_down)
#define T_EACH(name)                                              \
	T(name, split), T(name, packed), T(name, split_in_order), \
		T(name, packed_in_order)

static const struct CMUnitTest tests[] = {
	T_EACH(test_h32_reset_of_a_queue_that_cannot_answer),
	T_EACH(test_h32_answers_wait_for_the_ring),
};

TEST_MAIN("dev_hostile")
