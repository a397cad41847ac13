/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile drivers: descriptors that break the rules, both formats. The ids are
 * those of the hostile list. Indexes are in test_vq_hostile_idx.c, what changes
 * under our eyes in test_vq_toctou.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include "vq/test_vq_rig.h"

#define N   VRING_DESC_F_NEXT
#define W   VRING_DESC_F_WRITE
#define IND VRING_DESC_F_INDIRECT
#define NUM 8 /* of the rig */

#define BUF   RIG_BUF_IOVA
#define TABLE (RIG_BUF_IOVA + 0x8000)
#define HOLE  0x700000000ULL

static void test_h01_next_out_of_range(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { BUF, 16, N };

	rig_split_desc(rig, 0, &d, NUM);
	rig_split_avail(rig, 0);
	rig_assert_breaks(rig, VQ_BREAK_NEXT);
}

static void test_h01_next_out_of_range_in_table(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc in[2] = { { BUF, 16, N }, { BUF, 16, N } };
	const struct rig_desc d = rig_table(rig, TABLE, in, 2);

	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_NEXT);
}

static void test_h02_self_loop(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { BUF, 16, N };

	rig_split_desc(rig, 3, &d, 3);
	rig_split_avail(rig, 3);
	rig_assert_breaks(rig, VQ_BREAK_LOOP);
}

static void test_h02_self_loop_of_zero_length(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { BUF, 0, N };

	rig_split_desc(rig, 3, &d, 3);
	rig_split_avail(rig, 3);
	rig_assert_breaks(rig, VQ_BREAK_LOOP);
}

static void test_h02_self_loop_in_table(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc in = { BUF, 16, N };
	const struct rig_desc d = rig_table(rig, TABLE, &in, 1);
	__le16 *next = (__le16 *)(rig_buf(rig, TABLE) + 14);

	*next = shm_to_le16(0);
	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_LOOP);
}

static void test_h03_two_node_loop(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { BUF, 16, N };

	rig_split_desc(rig, 0, &d, 5);
	rig_split_desc(rig, 5, &d, 0);
	rig_split_avail(rig, 0);
	rig_assert_breaks(rig, VQ_BREAK_LOOP);
}

/* Fills @descs with @n readable ones that go on, and the last that does not. */
static void chain_of(struct rig_desc *descs, unsigned int n,
		     bool is_packed_table)
{
	for (unsigned int i = 0; i < n; i++) {
		bool has_next = i + 1 < n && !is_packed_table;

		descs[i] =
			(struct rig_desc){ BUF + i * 64, 16, has_next ? N : 0 };
	}
}

static void test_h04_chain_as_long_as_the_queue(void **state)
{
	struct rig *rig = *state;
	struct rig_desc descs[NUM];
	struct vq_chain *chain;

	chain_of(descs, NUM, false);
	rig_offer(rig, descs, NUM, 0);
	chain = rig_fetch(rig);
	assert_int_equal(chain->n_readable, NUM);
	assert_int_equal(chain->readable_bytes, NUM * 16);
	assert_int_equal(chain->n_descs, rig->is_packed ? NUM : 1);
}

static void test_h04_table_as_long_as_the_queue(void **state)
{
	struct rig *rig = *state;
	struct rig_desc descs[NUM], d;

	chain_of(descs, NUM, rig->is_packed);
	d = rig_table(rig, TABLE, descs, NUM);
	rig_offer(rig, &d, 1, 0);
	assert_int_equal(rig_fetch(rig)->n_readable, NUM);
}

/* A descriptor, then a table with all the others. */
static void test_h04_chain_and_table_longer_than_the_queue(void **state)
{
	struct rig *rig = *state;
	struct rig_desc descs[NUM], d[2] = { { BUF, 16, N } };
	struct vq_chain *chain;

	chain_of(descs, NUM - 1, rig->is_packed);
	d[1] = rig_table(rig, TABLE, descs, NUM - 1);
	rig_offer(rig, d, 2, 0);
	chain = rig_fetch(rig);
	assert_int_equal(chain->n_readable, NUM);
	vq_complete(rig->vq, chain, 0);
	chain_of(descs, NUM, rig->is_packed);
	d[1] = rig_table(rig, TABLE, descs, NUM);
	rig_offer(rig, d, 2, 1);
	rig_assert_breaks(rig, VQ_BREAK_LOOP);
}

static void test_h04_chain_longer_than_the_queue(void **state)
{
	struct rig *rig = *state;
	struct rig_desc descs[NUM];

	/* One more than there are: the last goes on to the first. */
	chain_of(descs, NUM, false);
	descs[NUM - 1].flags = N;
	rig_offer(rig, descs, NUM, 0);
	rig_assert_breaks(rig, VQ_BREAK_LOOP);
}

static void test_h05_table_inside_a_table(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc innermost = { BUF, 16, 0 };
	const struct rig_desc inner =
		rig_table(rig, TABLE + 0x100, &innermost, 1);
	const struct rig_desc d = rig_table(rig, TABLE, &inner, 1);

	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_INDIRECT);
}

static void test_h06_indirect_with_next(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc in = { BUF, 16, 0 };
	struct rig_desc d[2] = { rig_table(rig, TABLE, &in, 1), { BUF, 1, 0 } };

	d[0].flags |= N;
	rig_offer(rig, d, 2, 0);
	rig_assert_breaks(rig, VQ_BREAK_INDIRECT);
}

static void check_table_len(struct rig *rig, uint32_t len)
{
	const struct rig_desc d = { TABLE, len, IND };
	uint64_t n_breaks = vq_counters(rig->vq)->n_breaks;
	struct vq_chain *chain;

	rig_offer(rig, &d, 1, 0);
	assert_int_equal(vq_fetch(rig->vq, &chain, 1), -EPROTO);
	assert_int_equal(vq_broken(rig->vq), VQ_BREAK_INDIRECT);
	assert_int_equal(vq_counters(rig->vq)->n_breaks, n_breaks + 1);
	vq_stop(rig->vq);
	memset(rig->ring.va, 0, rig->ring.size);
	rig->raw_slot = 0;
	rig->raw_wrap = true;
	assert_int_equal(rig_start(rig, NULL), 0);
	assert_int_equal(vq_broken(rig->vq), VQ_OK);
}

static void test_h07_table_of_odd_size(void **state)
{
	static const uint32_t sizes[] = { 0,	      1,
					  15,	      17,
					  31,	      (NUM + 1) * 16,
					  65535 * 16, 65536 * 16,
					  UINT32_MAX, UINT32_MAX - 15 };

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		check_table_len(*state, sizes[i]);
	}
}

static void check_not_negotiated(uint64_t format)
{
	struct rig *rig = rig_new(format, NUM);
	const struct rig_desc in = { BUF, 16, 0 };
	const struct rig_desc d = rig_table(rig, TABLE, &in, 1);

	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_INDIRECT);
	rig_free(rig);
}

static void test_h07_table_not_negotiated(void **state)
{
	check_not_negotiated(RIG_SPLIT);
	check_not_negotiated(RIG_PACKED);
}

/* The table is [0x30000000, + 48); its halves are apart in memory. */
static void check_cut_table(struct rig *rig, size_t cut, enum region_kind kind)
{
	const uint64_t iova = 0x30000000;
	const unsigned int next = rig->is_packed ? 0 : N;
	const struct rig_desc in[3] = { { BUF, 10, (uint16_t)next },
					{ BUF + 64, 20, (uint16_t)next },
					{ BUF + 128, 30, W } };
	const struct rig_desc d = { iova, 48, IND };
	struct vq_chain *chain;

	(void)rig_table(rig, TABLE, in, 3);
	memmove(rig_buf(rig, TABLE) + 0x1000 + cut, rig_buf(rig, TABLE) + cut,
		48 - cut);
	memset(rig_buf(rig, TABLE) + cut, 0xff, 48 - cut);
	rig_map(rig, iova, &rig->buf, TABLE - BUF, cut, kind, MEM_PERM_RO);
	rig_map(rig, iova + cut, &rig->buf, TABLE - BUF + 0x1000 + cut,
		48 - cut, kind, MEM_PERM_RO);
	rig_set_snap(rig);
	rig_offer(rig, &d, 1, 0);
	chain = rig_fetch(rig);
	assert_int_equal(chain->n_readable, 2);
	assert_int_equal(chain->readable_bytes, 30);
	assert_int_equal(chain->n_writable, 1);
	assert_int_equal(chain->writable_bytes, 30);
	vq_complete(rig->vq, chain, 0);
	vq_publish(rig->vq);
	assert_int_equal(iotlb_unmap(rig->tlb, iova, iova + 47), 2);
}

static void test_h08_table_crosses_entries_at_each_byte(void **state)
{
	for (size_t cut = 1; cut < 48; cut++) {
		check_cut_table(*state, cut, REGION_OWN);
		check_cut_table(*state, cut, REGION_FOREIGN);
	}
}

static void check_table_memory(struct rig *rig, uint64_t iova)
{
	const struct rig_desc d = { iova, 32, IND };

	rig_set_snap(rig);
	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_INDIRECT_MEM);
}

static void test_h09_table_not_mapped(void **state)
{
	check_table_memory(*state, HOLE);
}

static void test_h09_table_half_mapped(void **state)
{
	struct rig *rig = *state;

	rig_map(rig, HOLE, &rig->buf, 0, 31, REGION_OWN, MEM_PERM_RW);
	check_table_memory(rig, HOLE);
}

static void test_h09_table_not_readable(void **state)
{
	struct rig *rig = *state;

	rig_map(rig, HOLE, &rig->buf, 0, 4096, REGION_OWN, MEM_PERM_WO);
	check_table_memory(rig, HOLE);
}

static void test_h09_table_is_the_ring_itself(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { RIG_RING_IOVA, 16, IND };

	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_INDIRECT);
}

static void test_h09_table_wraps_the_address_space(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { UINT64_MAX - 15, 32, IND };

	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_LENGTH);
}

static void test_h10_readable_after_writable(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d[3] = { { BUF, 16, N },
				       { BUF, 16, N | W },
				       { BUF, 16, 0 } };

	rig_offer(rig, d, 3, 0);
	rig_assert_breaks(rig, VQ_BREAK_ORDER);
}

static void test_h10_readable_after_writable_in_table(void **state)
{
	struct rig *rig = *state;
	const unsigned int next = rig->is_packed ? 0 : N;
	const struct rig_desc in[2] = { { BUF, 16, (uint16_t)(W | next) },
					{ BUF, 16, 0 } };
	const struct rig_desc d = rig_table(rig, TABLE, in, 2);

	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_ORDER);
}

/* Three descriptors of which those in @zeroes have no bytes. */
static void check_zeroes(struct rig *rig, unsigned int zeroes)
{
	struct rig_desc d[3] = { { BUF, 16, N },
				 { BUF + 64, 16, N | W },
				 { BUF + 128, 16, W } };
	unsigned int n_writable = !(zeroes & 2) + !(zeroes & 4);
	struct vq_chain *chain;

	for (unsigned int i = 0; i < 3; i++) {
		if (has_bit(zeroes, i)) {
			d[i].addr = HOLE; /* never looked at */
			d[i].len = 0;
		}
	}
	rig_offer(rig, d, 3, 0);
	chain = rig_fetch(rig);
	assert_int_equal(chain->n_readable, !(zeroes & 1));
	assert_int_equal(chain->n_writable, n_writable);
	assert_int_equal(chain->readable_bytes, 16 * !(zeroes & 1));
	assert_int_equal(chain->writable_bytes, 16 * n_writable);
	assert_false(chain->is_faulty);
	for (unsigned int i = 0; i < 3U - !!(zeroes & 1) - 2 + n_writable;
	     i++) {
		assert_int_equal(chain->iov[i].iov_len, 16);
	}
	vq_complete(rig->vq, chain, 0);
	vq_publish(rig->vq);
}

static void test_h11_descriptors_without_bytes_are_skipped(void **state)
{
	for (unsigned int zeroes = 0; zeroes < 8; zeroes++) {
		check_zeroes(*state, zeroes);
	}
}

static void test_h11_lone_descriptor_without_bytes(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { 0, 0, 0 };
	struct vq_chain *chain;
	char byte;

	rig_offer(rig, &d, 1, 0);
	chain = rig_fetch(rig);
	assert_int_equal(chain->n_readable + chain->n_writable, 0);
	assert_int_equal(vq_chain_read(chain, 0, &byte, 0), 0);
	assert_int_equal(vq_chain_read(chain, 0, &byte, 1), -EFAULT);
	vq_complete(rig->vq, chain, 0);
	assert_true(vq_publish(rig->vq));
}

static void test_h12_address_and_length_wrap(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { UINT64_MAX - 14, 16, 0 };

	rig_offer(rig, &d, 1, 0);
	rig_assert_breaks(rig, VQ_BREAK_LENGTH);
}

static void test_h12_last_byte_of_the_address_space(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d[2] = { { UINT64_MAX - 15, 16, N },
				       { UINT64_MAX, 1, W } };
	struct vq_chain *chain;

	rig_map(rig, UINT64_MAX - 4095, &rig->buf, 0, 4096, REGION_OWN,
		MEM_PERM_RW);
	rig_set_snap(rig);
	rig_offer(rig, d, 2, 0);
	chain = rig_fetch(rig);
	assert_false(chain->is_faulty);
	assert_ptr_equal(chain->iov[0].iov_base, rig->buf.va + 4080);
	assert_ptr_equal(chain->iov[1].iov_base, rig->buf.va + 4095);
}

/* A window of mapped bytes; the buffer begins or ends outside, or both. */
static void check_hole(struct rig *rig, uint64_t iova, uint32_t len,
		       unsigned int n_pieces, unsigned int first_hole)
{
	const struct rig_desc d = { iova, len, W };
	struct vq_chain *chain;
	uint64_t sum = 0;

	rig_offer(rig, &d, 1, 0);
	chain = rig_fetch(rig);
	assert_true(chain->is_faulty);
	assert_int_equal(chain->n_writable, n_pieces);
	assert_int_equal(chain->writable_bytes, len);
	for (unsigned int i = 0; i < n_pieces; i++) {
		bool is_hole = i % 2 == first_hole;

		assert_int_equal(chain->iov[i].iov_base == NULL, is_hole);
		sum += chain->iov[i].iov_len;
	}
	assert_int_equal(sum, len);
	vq_complete(rig->vq, chain, 0);
	vq_publish(rig->vq);
}

static void test_h13_hole_after_first_byte(void **state)
{
	struct rig *rig = *state;

	rig_map(rig, HOLE, &rig->buf, 0, 1, REGION_OWN, MEM_PERM_RW);
	rig_map(rig, HOLE + 100, &rig->buf, 0, 1, REGION_FOREIGN, MEM_PERM_RW);
	rig_set_snap(rig);
	check_hole(rig, HOLE, 2, 2, 1);
	check_hole(rig, HOLE - 1, 2, 2, 0);
	check_hole(rig, HOLE - 1, 3, 3, 0);
	check_hole(rig, HOLE, 101, 3, 1);
	check_hole(rig, HOLE + 1, 99, 1, 0);
	check_hole(rig, HOLE - 1, 200, 5, 0);
	check_hole(rig, HOLE - 4096, UINT32_MAX, 5, 0);
}

static void test_h15_chain_of_4_gib(void **state)
{
	struct rig *rig = *state;
	struct rig_desc d[2] = { { HOLE, UINT32_MAX - 1, N }, { HOLE, 1, W } };

	rig_offer(rig, d, 2, 0);
	vq_complete(rig->vq, rig_fetch(rig), 0);
	vq_publish(rig->vq);
	d[1].len = 2;
	rig_offer(rig, d, 2, 0);
	rig_assert_breaks(rig, VQ_BREAK_LENGTH);
}

/* The device fills the ring with what looks like chains, on the driver's bid. */
static void test_h16_buffer_is_the_ring(void **state)
{
	struct rig *rig = *state;
	const struct rig_desc d = { RIG_RING_IOVA, (uint32_t)rig->at.size_bytes,
				    W };
	struct vq_chain *chains[NUM];
	int n;

	rig_offer(rig, &d, 1, 0);
	chains[0] = rig_fetch(rig);
	for (uint32_t i = 0; i < rig->at.size_bytes; i++) {
		const unsigned char byte = (unsigned char)(i * 37);

		assert_int_equal(vq_chain_write(chains[0], i, &byte, 1), 0);
	}
	vq_complete(rig->vq, chains[0], (uint32_t)rig->at.size_bytes);
	vq_publish(rig->vq);
	n = vq_fetch(rig->vq, chains, NUM);
	assert_true(n == -EPROTO || (n >= 0 && n <= NUM));
	vq_enable_kick(rig->vq);
}

static void test_h17_unknown_flags_are_ignored(void **state)
{
	struct rig *rig = *state;
	const unsigned int known = N | W | IND |
				   1U << VRING_PACKED_DESC_F_AVAIL |
				   1U << VRING_PACKED_DESC_F_USED;
	struct rig_desc d[2] = { { BUF, 16, N }, { BUF, 16, W } };
	struct vq_chain *chain;

	d[0].flags |= (uint16_t)~known;
	d[1].flags |= (uint16_t)~known;
	rig_offer(rig, d, 2, 0);
	chain = rig_fetch(rig);
	assert_int_equal(chain->n_readable, 1);
	assert_int_equal(chain->n_writable, 1);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST_SPLIT(h01_next_out_of_range),
	RIG_TEST_SPLIT(h01_next_out_of_range_in_table),
	RIG_TEST_SPLIT(h02_self_loop),
	RIG_TEST_SPLIT(h02_self_loop_of_zero_length),
	RIG_TEST_SPLIT(h02_self_loop_in_table),
	RIG_TEST_SPLIT(h03_two_node_loop),
	RIG_TEST(h04_chain_as_long_as_the_queue),
	RIG_TEST(h04_table_as_long_as_the_queue),
	RIG_TEST(h04_chain_and_table_longer_than_the_queue),
	RIG_TEST(h04_chain_longer_than_the_queue),
	RIG_TEST(h05_table_inside_a_table),
	RIG_TEST(h06_indirect_with_next),
	RIG_TEST(h07_table_of_odd_size),
	cmocka_unit_test(test_h07_table_not_negotiated),
	RIG_TEST(h08_table_crosses_entries_at_each_byte),
	RIG_TEST(h09_table_not_mapped),
	RIG_TEST(h09_table_half_mapped),
	RIG_TEST(h09_table_not_readable),
	RIG_TEST(h09_table_is_the_ring_itself),
	RIG_TEST(h09_table_wraps_the_address_space),
	RIG_TEST(h10_readable_after_writable),
	RIG_TEST(h10_readable_after_writable_in_table),
	RIG_TEST(h11_descriptors_without_bytes_are_skipped),
	RIG_TEST(h11_lone_descriptor_without_bytes),
	RIG_TEST(h12_address_and_length_wrap),
	RIG_TEST(h12_last_byte_of_the_address_space),
	RIG_TEST(h13_hole_after_first_byte),
	RIG_TEST(h15_chain_of_4_gib),
	RIG_TEST(h16_buffer_is_the_ring),
	RIG_TEST(h17_unknown_flags_are_ignored),
};

TEST_MAIN("vq_hostile")
