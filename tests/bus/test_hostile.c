/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of clients that mean harm: the device goes on, or ends cleanly, and
 * nobody else notices.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

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

static int set_up_split_indirect(void **state)
{
	return set_up_ring(state, BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC));
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

/* ---- behind the gate ---- */

static bool ask_gate(void *priv)
{
	return __atomic_load_n((bool *)priv, __ATOMIC_SEQ_CST);
}

/* One request, all of it in an indirect table at @table_iova; a split ring,
 * fresh. */
static void offer_by_hand(struct vclient *c, uint64_t table_iova, void *table,
			  const struct vring_desc *descs, unsigned int n)
{
	char *ring = c->mem + (c->q[0].ring_iova - VCLIENT_IOVA);
	struct vring_desc *desc = (struct vring_desc *)ring;
	struct vq_layout layout;
	struct vring_avail *avail;

	vq_layout(NUM, c->features, &layout);
	avail = (struct vring_avail *)(ring + layout.driver_area);
	memcpy(table, descs, n * sizeof(*descs));
	desc->addr = htole64(table_iova);
	desc->len = htole32((uint32_t)(n * sizeof(*descs)));
	desc->flags = htole16(VRING_DESC_F_INDIRECT);
	avail->ring[0] = 0;
	__atomic_store_n(&avail->idx, htole16(1), __ATOMIC_RELEASE);
}

/*
 * A table whose mapping is still on its way is not there yet, and not the
 * driver's mistake. When nothing is on its way any more, it is.
 */
static void test_indirect_table_behind_the_gate_breaks_nothing(void **state)
{
	struct fixture *fx = *state;
	struct vclient *c = fx->c;
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "b0");
	const uint64_t table_iova = 0x40000000;
	struct virtio_blk_outhdr *hdr = vclient_alloc(c, sizeof(*hdr), 16);
	uint8_t *status = vclient_alloc(c, 1, 1);
	void *table = vclient_alloc(c, 4096, 4096);
	const struct vring_desc descs[] = {
		{ htole64(vclient_iova(c, hdr)), htole32(sizeof(*hdr)),
		  htole16(VRING_DESC_F_NEXT), htole16(1) },
		{ htole64(vclient_iova(c, status)), htole32(1),
		  htole16(VRING_DESC_F_WRITE), 0 },
	};
	bool is_behind = true;
	const struct vdpa_gate gate = { ask_gate, &is_behind };

	memset(hdr, 0, sizeof(*hdr));
	hdr->type = htole32(VIRTIO_BLK_T_FLUSH);
	assert_int_equal(vdpa_set_gate(vdev, &gate), 0);
	offer_by_hand(c, table_iova, table, descs, 2);
	let_worker_catch_up(fx);
	assert_false(vclient_status(c) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(vclient_iotlb(c, 0, VHOST_IOTLB_UPDATE, table_iova,
				       4096, table, VHOST_ACCESS_RW),
			 sizeof(struct vhost_msg_v2));
	__atomic_store_n(&is_behind, false, __ATOMIC_SEQ_CST);
	let_worker_catch_up(fx);
	vclient_wait_call(c, 0);
	assert_int_equal(*status, VIRTIO_BLK_S_OK);
	assert_int_equal(vdpa_set_gate(vdev, NULL), 0);
}

static void
test_h09_indirect_table_that_stays_away_breaks_the_queue(void **state)
{
	struct fixture *fx = *state;
	void *table = vclient_alloc(fx->c, 4096, 4096);
	const struct vring_desc desc = { 0 };

	offer_by_hand(fx->c, 0x40000000, table, &desc, 1);
	let_worker_catch_up(fx);
	assert_true(vclient_status(fx->c) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_works(fx, fx->c->features);
}

/* ---- calls ---- */

/* H28: the eventfd was in non-blocking mode when it was given. */
static void test_h28_call_that_is_made_to_block_later(void **state)
{
	struct fixture *fx = *state;
	int fd = fx->c->q[0].call_fd;
	int flags = fcntl(fd, F_GETFL);
	uint64_t most = UINT64_MAX - 1;
	struct vq_used used;

	assert_int_equal(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), 0);
	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	(void)offer_flush(fx->c);
	while (vq_driver_get(fx->c->q[0].drv, &used, 1) == 0) {
		let_worker_catch_up(fx);
	}
	assert_works(fx, fx->c->features);
}

/* ---- features ---- */

/* Without FEATURES_OK vhost-vdpa lets SET_FEATURES pass at any time. */
static void test_h71_features_cannot_change_under_running_queues(void **state)
{
	struct fixture *fx = *state;
	uint64_t features = fx->c->features, other = features ^ IN_ORDER;

	vclient_reset(fx->c);
	vclient_must(fx->c, VHOST_SET_FEATURES, &features);
	fx->c->features = features;
	vclient_set_up_queue(fx->c, 0, NUM);
	vclient_set_status(fx->c, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(vclient_ioctl(fx->c, VHOST_SET_FEATURES, &other),
			 -EINVAL);
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0),
			 VIRTIO_BLK_S_OK);
	vclient_set_status(fx->c, 0);
	vclient_must(fx->c, VHOST_SET_FEATURES, &other);
}

/* ---- much work at once ---- */

struct seen {
	struct vclient *c;
	int n;
};

static bool sees_used(void *priv)
{
	struct seen *seen = priv;
	struct vq_used used[NUM];

	seen->n = vq_driver_get(seen->c->q[0].drv, used, NUM);
	return seen->n > 0;
}

/* H92: a queue full of large requests lets others have their turn. */
static void test_h92_large_requests_take_turns(void **state)
{
	const struct sim_options options = { .seed = 92 };
	struct seen seen;
	struct sim *sim;
	struct vworld *w;
	struct vclient *c;
	int n_seen = 0;

	assert_int_equal(sim_new(&options, &sim), 0);
	w = vworld_new(sim, 1);
	vworld_add(w, "vdpasim_blk", "b0", 0, NULL, NULL);
	assert_int_equal(vclient_open(w, "vhost-vdpa-0", &c), 0);
	vclient_start(c, 0, 1, NUM);
	for (unsigned int i = 0; i < 3; i++) {
		struct virtio_blk_outhdr *hdr =
			vclient_alloc(c, sizeof(*hdr), 16);
		const struct vq_sg sg[] = {
			{ vclient_iova(c, hdr), sizeof(*hdr) },
			{ VCLIENT_IOVA + (2U << 20), 4U << 20 },
			{ VCLIENT_IOVA + (2U << 20), 4U << 20 },
			{ vclient_iova(c, vclient_alloc(c, 1, 1)), 1 },
		};

		memset(hdr, 0, sizeof(*hdr));
		vclient_add(c, 0, sg, 1, 3, hdr);
	}
	assert_true(vq_driver_publish(c->q[0].drv));
	vclient_kick(c, 0);
	seen.c = c;
	while (n_seen < 3) {
		assert_int_equal(sim_run(sim, UINT64_MAX, sees_used, &seen), 0);
		assert_int_equal(seen.n, 1);
		n_seen += seen.n;
	}
	vclient_close(c);
	vworld_free(w);
	sim_free(sim);
}

#define T(name, kind) \
	cmocka_unit_test_setup_teardown(name, set_up_##kind, tear_down)
#define T_EACH(name)                                              \
	T(name, split), T(name, packed), T(name, split_in_order), \
		T(name, packed_in_order)

static const struct CMUnitTest tests[] = {
	T_EACH(test_h32_reset_of_a_queue_that_cannot_answer),
	T_EACH(test_h32_answers_wait_for_the_ring),
	T(test_indirect_table_behind_the_gate_breaks_nothing, split_indirect),
	T_EACH(test_h28_call_that_is_made_to_block_later),
	T_EACH(test_h71_features_cannot_change_under_running_queues),
	cmocka_unit_test(test_h92_large_requests_take_turns),
	T(test_h09_indirect_table_that_stays_away_breaks_the_queue,
	  split_indirect),
};

TEST_MAIN("dev_hostile")
