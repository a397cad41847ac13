/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of queues that do not translate: pieces are the driver's descriptors,
 * and chains in flight keep no address space.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "vq/test_vq_rig.h"

#define PAGE	 4096
#define BUF_LAST (RIG_BUF_IOVA + RIG_BUF_BYTES - 1)
#define NOWHERE	 0x7000000000ULL
#define NEXT	 VRING_DESC_F_NEXT
#define WRITE	 VRING_DESC_F_WRITE

/* Starts anew, in this mode. */
static struct rig *rig_with_iovas(void **state, bool has_misses)
{
	struct rig *rig = *state;

	vq_stop(rig->vq);
	rig->keeps_iovas = true;
	rig->has_misses = has_misses;
	assert_int_equal(rig_start(rig, NULL), 0);
	return rig;
}

static void assert_piece(const struct vq_chain *chain, unsigned int i,
			 uint64_t iova, uint64_t len)
{
	assert_int_equal(vq_piece_iova(&chain->iov[i]), iova);
	assert_int_equal(chain->iov[i].iov_len, len);
}

/* Mapped whole, in two entries that a descriptor crosses, or not at all. */
static void test_pieces_are_the_descriptors(void **state)
{
	struct rig *rig = rig_with_iovas(state, false);
	const struct rig_desc descs[] = {
		{ RIG_BUF_IOVA + 8, 16, NEXT },
		{ RIG_BUF_IOVA + PAGE - 8, 16, NEXT },
		{ RIG_BUF_IOVA, 0, NEXT },
		{ NOWHERE, 4096, NEXT | WRITE },
		{ RIG_BUF_IOVA, 1, WRITE },
	};
	struct vq_chain *chain;

	assert_true(iotlb_unmap(rig->tlb, RIG_BUF_IOVA, BUF_LAST) > 0);
	rig_map(rig, RIG_BUF_IOVA, &rig->buf, 0, PAGE, REGION_OWN, MEM_PERM_RO);
	rig_map(rig, RIG_BUF_IOVA + PAGE, &rig->buf, 0, PAGE, REGION_FOREIGN,
		MEM_PERM_RW);
	rig_set_snap(rig);
	rig_offer(rig, descs, 5, 3);
	chain = rig_fetch(rig);
	assert_int_equal(chain->n_readable, 2);
	assert_int_equal(chain->n_writable, 2);
	assert_int_equal(chain->readable_bytes, 32);
	assert_int_equal(chain->writable_bytes, 4097);
	assert_false(chain->is_faulty);
	assert_piece(chain, 0, RIG_BUF_IOVA + 8, 16);
	assert_piece(chain, 1, RIG_BUF_IOVA + PAGE - 8, 16);
	assert_piece(chain, 2, NOWHERE, 4096);
	assert_piece(chain, 3, RIG_BUF_IOVA, 1);
	vq_complete(rig->vq, chain, 4097);
	(void)vq_publish(rig->vq);
	assert_int_equal(vq_counters(rig->vq)->n_faults, 0);
}

/* The table's own memory must not be taken for that of what it lists. */
static void test_pieces_of_indirect_tables_too(void **state)
{
	struct rig *rig = rig_with_iovas(state, false);
	const struct rig_desc descs[] = {
		{ RIG_BUF_IOVA + 64, 32, NEXT },
		{ RIG_BUF_IOVA + 128, 64, NEXT | WRITE },
		{ RIG_BUF_IOVA + 256, 64, WRITE },
	};
	struct rig_desc table =
		rig_table(rig, RIG_BUF_IOVA + 8 * PAGE, descs, 3);

	for (unsigned int round = 0; round < 2; round++) {
		struct vq_chain *chain;

		rig_offer(rig, &table, 1, 1);
		chain = rig_fetch(rig);
		assert_piece(chain, 0, RIG_BUF_IOVA + 64, 32);
		assert_piece(chain, 1, RIG_BUF_IOVA + 128, 64);
		assert_piece(chain, 2, RIG_BUF_IOVA + 256, 64);
		vq_complete(rig->vq, chain, 0);
		(void)vq_publish(rig->vq);
	}
}

/* More maps than a queue could remember, with one chain in flight all along. */
static void test_no_map_waits_for_chains(void **state)
{
	struct rig *rig = rig_with_iovas(state, false);
	const struct rig_desc desc = { RIG_BUF_IOVA, 64, WRITE };
	struct vq_chain *old;

	rig_offer(rig, &desc, 1, 5);
	old = rig_fetch(rig);
	for (unsigned int i = 0; i < 3U * rig->num; i++) {
		struct vq_chain *chain;

		rig_map(rig, NOWHERE + i * PAGE, &rig->buf, 0, PAGE, REGION_OWN,
			MEM_PERM_RW);
		rig_set_snap(rig);
		assert_false(vq_has_old_chains(rig->vq));
		assert_non_null(
			iotlb_find(vq_snap(rig->vq), NOWHERE + i * PAGE));
		if (!rig->is_packed && rig->raw_slot == 0) {
			rig->raw_slot = 1; /* the first is in flight */
		}
		rig_offer(rig, &desc, 1, 2);
		chain = rig_fetch(rig);
		vq_complete(rig->vq, chain, 1);
		(void)vq_publish(rig->vq);
	}
	assert_piece(old, 0, RIG_BUF_IOVA, 64);
	vq_complete(rig->vq, old, 64);
	(void)vq_publish(rig->vq);
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
}

/* Fetching ends before a hole where memory is mapped on demand. */
static void test_misses_are_told(void **state)
{
	struct rig *rig = rig_with_iovas(state, true);
	const struct rig_desc descs[] = {
		{ RIG_BUF_IOVA, 16, NEXT },
		{ NOWHERE - 8, 16, WRITE },
	};
	struct vq_chain *chain;
	uint64_t iova;
	uint32_t perm;

	rig_map(rig, NOWHERE - PAGE, &rig->buf, 0, PAGE, REGION_OWN,
		MEM_PERM_RW);
	rig_set_snap(rig);
	rig_offer(rig, descs, 2, 0);
	assert_int_equal(vq_fetch(rig->vq, &chain, 1), -EAGAIN);
	assert_true(vq_get_miss(rig->vq, &iova, &perm));
	assert_int_equal(iova, NOWHERE);
	assert_int_equal(perm, MEM_PERM_WO);
	rig_map(rig, NOWHERE, &rig->buf, 0, PAGE, REGION_OWN, MEM_PERM_WO);
	rig_set_snap(rig);
	chain = rig_fetch(rig);
	assert_piece(chain, 1, NOWHERE - 8, 16);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(pieces_are_the_descriptors),
	RIG_TEST(pieces_of_indirect_tables_too),
	RIG_TEST(no_map_waits_for_chains),
	RIG_TEST(misses_are_told),
};

TEST_MAIN("vq_iovas")
