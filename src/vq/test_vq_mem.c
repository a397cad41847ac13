/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the device side on all kinds of memory: holes, entries that are
 * crossed, snapshots, rings that are not in place. Copies of buffers are in
 * test_vq_bounce.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "lib/oom.h"
#include "vq/test_vq_rig.h"

/* Where the tests map their own buffers. */
#define IOVA 0x20000000ULL

static const uint64_t formats[] = { RIG_SPLIT, RIG_PACKED };

static void offer(struct rig *rig, uint64_t iova, uint32_t len,
		  bool is_writable)
{
	struct vq_sg sg = { iova, len };

	assert_int_equal(vq_driver_add(rig->drv, &sg, !is_writable, is_writable,
				       rig),
			 0);
	vq_driver_publish(rig->drv);
}

static void test_hole_fails_that_chain_only(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[4];
	char byte;

	rig_map(rig, IOVA, &rig->buf, 0, 4096, REGION_OWN, MEM_PERM_RO);
	rig_map(rig, IOVA + 8192, &rig->buf, 0, 4096, REGION_OWN, MEM_PERM_WO);
	rig_set_snap(rig);
	offer(rig, IOVA, 16, false);
	offer(rig, IOVA, 16, true);
	offer(rig, IOVA + 8192, 16, false);
	offer(rig, IOVA + 8192, 16, true);
	assert_int_equal(vq_fetch(rig->vq, chains, 4), 4);
	for (int i = 0; i < 4; i++) {
		bool is_hole = i == 1 || i == 2;

		assert_int_equal(chains[i]->is_faulty, is_hole);
		assert_int_equal(chains[i]->iov[0].iov_len, 16);
		assert_int_equal(chains[i]->iov[0].iov_base == NULL, is_hole);
		assert_int_equal(chains[i]->readable_bytes +
					 chains[i]->writable_bytes,
				 16);
	}
	assert_int_equal(vq_chain_read(chains[2], 0, &byte, 1), -EFAULT);
	assert_int_equal(vq_chain_write(chains[1], 0, &byte, 1), -EFAULT);
	assert_int_equal(vq_chain_zero(chains[1], 0, 1), -EFAULT);
	assert_int_equal(vq_chain_copy(chains[3], 0, chains[2], 0, 1), -EFAULT);
	assert_int_equal(vq_chain_copy(chains[3], 0, chains[0], 0, 16), 0);
	assert_int_equal(vq_broken(rig->vq), VQ_OK);
	assert_int_equal(vq_counters(rig->vq)->n_faults, 2);
	vq_unfetch(rig->vq, 4);
	assert_int_equal(vq_counters(rig->vq)->n_faults, 0);
}

/* 64 bytes at @iova: the first @cut from @off, the others from @off + @jump. */
static void map_cut(struct rig *rig, uint64_t iova, size_t off, size_t cut,
		    size_t jump, const enum region_kind kinds[2])
{
	rig_map(rig, iova, &rig->buf, off, cut, kinds[0], MEM_PERM_RW);
	rig_map(rig, iova + cut, &rig->buf, off + jump + cut, 64 - cut,
		kinds[1], MEM_PERM_RW);
}

/* A readable and a writable buffer that are cut; data must go through. */
static void check_cut(struct rig *rig, size_t cut, size_t jump,
		      const enum region_kind kinds[2])
{
	struct vq_sg sg[2] = { { IOVA, 64 }, { IOVA + 4096, 64 } };
	char *in = rig->buf.va, *out = rig->buf.va + 0x10000;
	struct vq_chain *chain;
	struct vq_used used;
	char want[64], got[64];

	memset(in, RIG_CANARY, 0x20000);
	for (unsigned int i = 0; i < 64; i++) {
		want[i] = (char)(i + cut);
		in[i < cut ? i : i + jump] = want[i];
	}
	map_cut(rig, IOVA, 0, cut, jump, kinds);
	map_cut(rig, IOVA + 4096, 0x10000, cut, jump, kinds);
	rig_set_snap(rig);
	assert_int_equal(vq_driver_add(rig->drv, sg, 1, 1, rig), 0);
	vq_driver_publish(rig->drv);
	chain = rig_fetch(rig);
	assert_false(chain->is_faulty);
	assert_int_equal(vq_chain_read(chain, 0, got, 64), 0);
	assert_memory_equal(got, want, 64);
	assert_int_equal(vq_chain_copy(chain, 0, chain, 0, 64), 0);
	vq_complete(rig->vq, chain, 64);
	vq_publish(rig->vq);
	assert_int_equal(vq_driver_get(rig->drv, &used, 1), 1);
	assert_int_equal(used.written, 64);
	for (size_t i = 0; i < 64; i++) {
		got[i] = out[i < cut ? i : i + jump];
	}
	assert_memory_equal(got, want, 64);
	for (size_t i = 64 + jump; i < 0x10000; i++) {
		assert_int_equal((unsigned char)out[i], RIG_CANARY);
	}
	iotlb_unmap(rig->tlb, IOVA, IOVA + 8191);
}

/* H14 */
static void test_h14_buffer_crosses_entries_at_each_byte(void **state)
{
	struct rig *rig = *state;

	for (unsigned int k = 0; k < REGION_KIND_N * REGION_KIND_N; k++) {
		const enum region_kind kinds[2] = { k / REGION_KIND_N,
						    k % REGION_KIND_N };

		for (size_t cut = 1; cut < 64; cut += k ? 9 : 1) {
			check_cut(rig, cut, 0, kinds);
			check_cut(rig, cut, 1000, kinds);
		}
	}
}

static void test_neighbours_in_memory_are_one_piece(void **state)
{
	const enum region_kind kinds[2] = { REGION_OWN, REGION_OWN };
	struct rig *rig = *state;
	struct vq_chain *chains[2];

	map_cut(rig, IOVA, 0, 20, 0, kinds);
	map_cut(rig, IOVA + 4096, 0, 20, 1, kinds);
	rig_set_snap(rig);
	offer(rig, IOVA, 64, false);
	offer(rig, IOVA + 4096, 64, false);
	assert_int_equal(vq_fetch(rig->vq, chains, 2), 2);
	assert_int_equal(chains[0]->n_readable, 1);
	assert_int_equal(chains[1]->n_readable, 2);
	assert_int_equal(chains[1]->iov[0].iov_len, 20);
	assert_int_equal(chains[1]->iov[1].iov_len, 44);
}

static void note_release(void *priv)
{
	*(bool *)priv = true;
}

static void map_noted(struct rig *rig, bool *is_released)
{
	struct region *region;

	assert_int_equal(region_new_own(rig->buf.va, 4096, note_release,
					is_released, &region),
			 0);
	assert_int_equal(iotlb_map(rig->tlb, IOVA, IOVA + 4095, region, 0,
				   MEM_PERM_RW),
			 0);
	region_unref(region);
	rig_set_snap(rig);
}

static void test_chain_keeps_the_memory_it_was_translated_with(void **state)
{
	struct rig *rig = *state;
	bool is_released[3] = { false };
	struct vq_chain *chains[3];

	for (int i = 0; i < 3; i++) {
		map_noted(rig, &is_released[i]);
		offer(rig, IOVA, 16, true);
		chains[i] = rig_fetch(rig);
		assert_int_equal(vq_has_old_chains(rig->vq), i > 0);
		rig_unmap(rig, IOVA);
		rig_set_snap(rig);
		assert_true(vq_has_old_chains(rig->vq));
	}
	offer(rig, IOVA, 16, true);
	assert_true(rig_fetch(rig)->is_faulty);
	vq_complete(rig->vq, chains[1], 0);
	assert_true(is_released[1]);
	vq_complete(rig->vq, chains[0], 0);
	assert_true(is_released[0]);
	assert_false(is_released[2]);
	vq_unfetch(rig->vq, 1);
	assert_true(vq_has_old_chains(rig->vq));
	vq_complete(rig->vq, chains[2], 0);
	assert_false(vq_has_old_chains(rig->vq));
	assert_true(is_released[2]);
}

static void test_stop_drops_all_snapshots(void **state)
{
	struct rig *rig = *state;
	bool is_released[2] = { false };

	for (int i = 0; i < 2; i++) {
		map_noted(rig, &is_released[i]);
		offer(rig, IOVA, 16, true);
		(void)rig_fetch(rig);
		rig_unmap(rig, IOVA);
	}
	rig_set_snap(rig);
	assert_false(is_released[0]);
	assert_false(is_released[1]);
	vq_stop(rig->vq);
	assert_true(is_released[0]);
	assert_true(is_released[1]);
	vq_set_snap(rig->vq, NULL);
}

/* As many snapshots as there are chains in flight, and the newest. */
static void test_every_chain_may_have_its_own_snapshot(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[8];

	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < rig->num; i++) {
			rig_map(rig, IOVA + i * 4096, &rig->buf, 0, 4096,
				REGION_OWN, MEM_PERM_RW);
			rig_set_snap(rig);
			offer(rig, IOVA, 16, true);
			chains[i] = rig_fetch(rig);
		}
		iotlb_unmap(rig->tlb, IOVA, IOVA + 0xfffff);
		rig_set_snap(rig);
		rig_map(rig, IOVA, &rig->buf, 0, 1, REGION_OWN, MEM_PERM_RW);
		rig_set_snap(rig);
		rig_unmap(rig, IOVA);
		rig_set_snap(rig);
		for (unsigned int i = 0; i < rig->num; i++) {
			struct vq_used used;

			vq_complete(rig->vq, chains[i], 0);
			vq_publish(rig->vq);
			vq_driver_get(rig->drv, &used, 1);
		}
		assert_false(vq_has_old_chains(rig->vq));
	}
}

static void test_ring_not_mapped_is_again_not_broken(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chains[4];
	struct vq_used used;

	rig_unmap(rig, RIG_RING_IOVA);
	rig_set_snap(rig);
	rig_add_bytes(rig, 2);
	assert_int_equal(vq_fetch(rig->vq, chains, 4), -EAGAIN);
	assert_false(vq_has_available(rig->vq));
	assert_false(vq_enable_kick(rig->vq));
	vq_disable_kick(rig->vq);
	assert_int_equal(vq_broken(rig->vq), VQ_OK);
	rig_map(rig, RIG_RING_IOVA, &rig->ring, 0, rig->ring.size, REGION_OWN,
		MEM_PERM_RW);
	assert_int_equal(vq_fetch(rig->vq, chains, 4), -EAGAIN);
	rig_set_snap(rig);
	assert_int_equal(vq_fetch(rig->vq, chains, 4), 2);

	/* And the other way: what was completed waits. */
	rig_unmap(rig, RIG_RING_IOVA);
	rig_set_snap(rig);
	vq_complete(rig->vq, chains[0], 0);
	assert_false(vq_publish(rig->vq));
	assert_false(vq_publish(rig->vq));
	assert_int_equal(vq_counters(rig->vq)->n_stalls, 2);
	rig_map(rig, RIG_RING_IOVA, &rig->ring, 0, rig->ring.size, REGION_OWN,
		MEM_PERM_RW);
	rig_set_snap(rig);
	vq_complete(rig->vq, chains[1], 0);
	assert_true(vq_publish(rig->vq));
	assert_int_equal(vq_driver_get(rig->drv, &used, 1), 1);
	assert_int_equal(used.cookie, 1);
	assert_int_equal(vq_driver_get(rig->drv, &used, 1), 1);
	assert_int_equal(used.cookie, 2);
}

static void test_ring_without_permission_is_not_used(void **state)
{
	struct rig *rig = *state;
	struct vq_chain *chain;

	rig_unmap(rig, RIG_RING_IOVA);
	rig_map(rig, RIG_RING_IOVA, &rig->ring, 0, rig->ring.size, REGION_OWN,
		MEM_PERM_WO);
	rig_set_snap(rig);
	rig_add_bytes(rig, 1);
	assert_int_equal(vq_fetch(rig->vq, &chain, 1), -EAGAIN);
	rig_unmap(rig, RIG_RING_IOVA);
	rig_map(rig, RIG_RING_IOVA, &rig->ring, 0, rig->ring.size, REGION_OWN,
		MEM_PERM_RO);
	rig_set_snap(rig);
	vq_complete(rig->vq, rig_fetch(rig), 0);
	assert_false(vq_publish(rig->vq));
	assert_int_equal(vq_counters(rig->vq)->n_stalls, 1);
}

/* Chains of one to four pieces, till the ring has gone round. */
static void go_round(struct rig *rig, unsigned int n_rounds)
{
	for (unsigned int round = 0; round < n_rounds; round++) {
		struct vq_sg sg[4] = { rig_sg(0, 8), rig_sg(64, 8),
				       rig_sg(128, 8), rig_sg(192, 8) };
		struct vq_chain *chains[2];
		struct vq_used used[2];
		char data[16];

		memcpy(rig->buf.va, &round, sizeof(round));
		vq_driver_enable_call(rig->drv);
		assert_int_equal(vq_driver_add(rig->drv, sg, 1, round % 4, rig),
				 0);
		assert_int_equal(vq_driver_add(rig->drv, sg, 1, 0, rig), 0);
		assert_true(vq_driver_publish(rig->drv));
		assert_int_equal(vq_fetch(rig->vq, chains, 2), 2);
		assert_int_equal(chains[0]->n_writable, round % 4);
		assert_int_equal(vq_chain_read(chains[0], 0, data, 8), 0);
		assert_memory_equal(data, &round, sizeof(round));
		vq_complete(rig->vq, chains[0], 8 * (round % 4));
		vq_complete(rig->vq, chains[1], 0);
		assert_true(vq_publish(rig->vq));
		assert_false(vq_enable_kick(rig->vq));
		assert_int_equal(vq_driver_get(rig->drv, used, 2), 2);
		assert_int_equal(used[0].written, 8 * (round % 4));
	}
}

static void test_ring_crosses_entries_at_each_byte(void **state)
{
	static const uint64_t bits[] = { 0, RIG_EVENT, RIG_INDIRECT };

	for (unsigned int i = 0; i < 6; i++) {
		struct rig *rig = rig_new(formats[i % 2] | bits[i / 2], 8);

		for (size_t cut = 1; cut < rig->at.size_bytes; cut++) {
			rig_remap_ring(rig, cut, REGION_OWN);
			go_round(rig, cut < rig->at.indirect ? 9 : 1);
			if (cut >= rig->at.indirect + 512) {
				break;
			}
		}
		rig_free(rig);
	}
}

static void test_ring_works_in_each_kind_of_memory(void **state)
{
	for (unsigned int i = 0; i < 16; i++) {
		struct rig *rig =
			rig_new(formats[i % 2] | (i & 2 ? RIG_EVENT : 0) |
					(i & 4 ? RIG_INDIRECT : 0) |
					(i & 8 ? RIG_IN_ORDER : 0),
				8);

		rig_remap_ring(rig, 0, REGION_MAPPED);
		go_round(rig, 30);
		rig_remap_ring(rig, 0, REGION_FOREIGN);
		go_round(rig, 30);
		rig_remap_ring(rig, 100, REGION_FOREIGN);
		go_round(rig, 30);
		rig_remap_ring(rig, 0, REGION_OWN);
		go_round(rig, 30);
		rig_free(rig);
	}
}

static void test_ring_at_odd_addresses_works(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct rig *rig = rig_new(formats[i], 8);
		uint64_t iova = RIG_RING_IOVA + 0x100001;

		/* The driver sees its ring aligned; the device does not. */
		rig_map(rig, iova, &rig->ring, 0, rig->ring.size, REGION_OWN,
			MEM_PERM_RW);
		vq_stop(rig->vq);
		assert_int_equal(rig_start_at(rig, iova), 0);
		go_round(rig, 20);
		vq_stop(rig->vq);

		/* H26: and now bytes that are not aligned here either. */
		rig_map(rig, 0x7000000001, &rig->ring, 1, rig->ring.size - 1,
			REGION_OWN, MEM_PERM_RW);
		memset(rig->ring.va, 0, rig->ring.size);
		assert_int_equal(rig_start_at(rig, 0x7000000002), 0);
		assert_false(vq_has_available(rig->vq));
		assert_false(vq_enable_kick(rig->vq));
		rig_free(rig);
	}
}

/* An earlier device left ring[0], and the driver has not looked at it yet. */
static void check_used_ring_is_kept(unsigned int used_perm)
{
	const struct vq_state at = { .avail_idx = 5 };
	struct rig *rig = rig_new(RIG_SPLIT, 8);
	struct rig_desc d = { RIG_BUF_IOVA, 4, 0 };
	__le32 *used = (__le32 *)(rig->ring.va + rig->at.device_area + 4);

	vq_stop(rig->vq);
	shm_store32(&used[0], 7);
	shm_store32(&used[1], 99);
	rig_split_set_idx(rig, 5);
	assert_int_equal(rig_start(rig, &at), 0);
	rig_unmap(rig, RIG_RING_IOVA);
	rig_map(rig, RIG_RING_IOVA, &rig->ring, 0, rig->at.device_area,
		REGION_FOREIGN, MEM_PERM_RO);
	rig_map(rig, RIG_RING_IOVA + rig->at.device_area, &rig->ring,
		rig->at.device_area, 128, REGION_FOREIGN, used_perm);
	rig_set_snap(rig);
	rig_offer(rig, &d, 1, 0);
	vq_complete(rig->vq, rig_fetch(rig), 0);
	vq_publish(rig->vq);
	assert_int_equal(rig_split_used_idx(rig), 6);
	assert_int_equal(rig_split_used_id(rig, 5), 0);
	assert_int_equal(rig_split_used_id(rig, 0), 7);
	assert_int_equal(rig_split_used_len(rig, 0), 99);
	rig_free(rig);
}

static void test_split_used_ring_is_kept_when_index_is_written(void **state)
{
	check_used_ring_is_kept(MEM_PERM_RW);
	check_used_ring_is_kept(MEM_PERM_WO);
}

/* Maps each area of a split ring with no more than the device needs. */
static void test_split_areas_need_no_more_than_their_permission(void **state)
{
	for (unsigned int kind = 0; kind < REGION_KIND_N; kind++) {
		struct rig *rig = rig_new(RIG_SPLIT, 8);

		rig_unmap(rig, RIG_RING_IOVA);
		rig_map(rig, RIG_RING_IOVA, &rig->ring, 0, rig->at.device_area,
			kind, MEM_PERM_RO);
		rig_map(rig, RIG_RING_IOVA + rig->at.device_area, &rig->ring,
			rig->at.device_area, 128, kind, MEM_PERM_WO);
		rig_set_snap(rig);
		go_round(rig, 20);
		rig_free(rig);
	}
}

static int new_vq(void *priv)
{
	struct vq *vq;
	int rc;

	oom_begin();
	rc = vq_new(8, 8, &vq);
	oom_end();
	if (rc == 0) {
		vq_free(vq);
	}
	return rc;
}

static void test_new_survives_lack_of_memory(void **state)
{
	assert_int_equal(oom_check(new_vq, NULL), 2);
	vq_free(NULL);
}

static int run_all_day(void *priv)
{
	const uint64_t *features = priv;
	struct rig *rig = rig_new(*features, 128);
	struct vq_sg sg[100];

	rig_unmap(rig, RIG_BUF_IOVA);
	rig_map(rig, RIG_BUF_IOVA, &rig->buf, 0, 4096, REGION_OWN, MEM_PERM_RW);
	rig_map(rig, RIG_BUF_IOVA + 4096, &rig->buf, 4096, 4096, REGION_MAPPED,
		MEM_PERM_RW);
	rig_set_snap(rig);
	for (uint32_t i = 0; i < 100; i++) {
		sg[i] = rig_sg(i * 81, 80);
	}
	oom_begin();
	for (unsigned int n = 1; n <= 100; n++) {
		struct vq_chain *chain;
		struct vq_used used;

		assert_int_equal(
			vq_driver_add(rig->drv, sg, n / 2, n - n / 2, rig), 0);
		vq_driver_publish(rig->drv);
		chain = rig_fetch(rig);
		assert_true(chain->n_readable + chain->n_writable >= (int)n);
		vq_complete(rig->vq, chain, chain->writable_bytes);
		vq_publish(rig->vq);
		vq_enable_kick(rig->vq);
		assert_int_equal(vq_driver_get(rig->drv, &used, 1), 1);
	}
	oom_end();
	rig_free(rig);
	return 0;
}

static void test_data_path_allocates_nothing(void **state)
{
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t features = formats[i % 2] |
				    (i & 2 ? RIG_INDIRECT : 0) |
				    (i & 4 ? RIG_EVENT | RIG_IN_ORDER : 0);

		/* Not one allocation was there to be failed. */
		assert_int_equal(oom_check(run_all_day, &features), 0);
	}
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(hole_fails_that_chain_only),
	RIG_TEST(h14_buffer_crosses_entries_at_each_byte),
	RIG_TEST(neighbours_in_memory_are_one_piece),
	RIG_TEST(chain_keeps_the_memory_it_was_translated_with),
	RIG_TEST(stop_drops_all_snapshots),
	RIG_TEST(every_chain_may_have_its_own_snapshot),
	RIG_TEST(ring_not_mapped_is_again_not_broken),
	RIG_TEST(ring_without_permission_is_not_used),
	cmocka_unit_test(test_ring_crosses_entries_at_each_byte),
	cmocka_unit_test(test_ring_works_in_each_kind_of_memory),
	cmocka_unit_test(test_ring_at_odd_addresses_works),
	cmocka_unit_test(test_split_used_ring_is_kept_when_index_is_written),
	cmocka_unit_test(test_split_areas_need_no_more_than_their_permission),
	cmocka_unit_test(test_new_survives_lack_of_memory),
	cmocka_unit_test(test_data_path_allocates_nothing),
};

TEST_MAIN("vq_mem")
