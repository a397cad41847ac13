/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of buffers in foreign memory: copied in, and out no more than was
 * written. Also how much memory a driver can make us hold.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/mman.h>

#include "lib/oom.h"
#include "vq/test_vq_rig.h"

#define IOVA 0x20000000ULL
#define MIB  (1U << 20)

/* The buffers are foreign now. */
static void make_foreign(struct rig *rig)
{
	rig_unmap(rig, RIG_BUF_IOVA);
	rig_map(rig, RIG_BUF_IOVA, &rig->buf, 0, rig->buf.size, REGION_FOREIGN,
		MEM_PERM_RW);
	rig_set_snap(rig);
}

static struct vq_chain *send(struct rig *rig, const struct vq_sg *sg,
			     unsigned int n_readable, unsigned int n_writable)
{
	assert_int_equal(
		vq_driver_add(rig->drv, sg, n_readable, n_writable, rig), 0);
	vq_driver_publish(rig->drv);
	return rig_fetch(rig);
}

/* Return: the length that the driver is told */
static uint32_t finish(struct rig *rig, struct vq_chain *chain,
		       uint32_t written)
{
	struct vq_used used;

	vq_complete(rig->vq, chain, written);
	vq_publish(rig->vq);
	assert_int_equal(vq_driver_get(rig->drv, &used, 1), 1);
	return used.written;
}

static void test_readable_bytes_are_a_copy(void **state)
{
	struct rig *rig = *state;
	const struct vq_sg sg[2] = { rig_sg(100, 5), rig_sg(200, 5) };
	struct vq_chain *chain;
	char data[10];

	make_foreign(rig);
	memcpy(rig->buf.va + 100, "hello", 5);
	memcpy(rig->buf.va + 200, "world", 5);
	chain = send(rig, sg, 2, 0);
	memset(rig->buf.va, '?', 300);
	assert_false(chain->is_faulty);
	assert_int_equal(chain->n_readable, 2);
	assert_int_equal(vq_chain_read(chain, 0, data, 10), 0);
	assert_memory_equal(data, "helloworld", 10);
	assert_int_equal(finish(rig, chain, 0), 0);
}

/*
 * Buffers [64, 64 + 20) and [128, 128 + 30): bytes of them that must be '#',
 * which the device wrote everywhere; all others must be untouched.
 */
static void check_out(struct rig *rig, uint32_t written, uint32_t tail)
{
	const struct vq_sg sg[2] = { rig_sg(64, 20), rig_sg(128, 30) };
	uint32_t prefix = written - tail, total = 50;
	struct vq_chain *chain;

	memset(rig->buf.va, RIG_CANARY, 512);
	chain = send(rig, sg, 0, 2);
	memset(chain->iov[0].iov_base, '#', 20);
	memset(chain->iov[1].iov_base, '#', 30);
	chain->tail_bytes = tail;
	assert_int_equal(finish(rig, chain, written), written);
	for (uint32_t i = 0; i < 512; i++) {
		bool is_in = (i >= 64 && i < 84) || (i >= 128 && i < 158);
		uint32_t pos = i < 128 ? i - 64 : i - 128 + 20;
		bool is_written = is_in &&
				  (pos < prefix || pos >= total - tail);

		assert_int_equal((unsigned char)rig->buf.va[i],
				 is_written ? '#' : RIG_CANARY);
	}
}

static void test_only_written_bytes_go_out(void **state)
{
	struct rig *rig = *state;

	make_foreign(rig);
	for (uint32_t written = 0; written <= 50; written++) {
		for (uint32_t tail = 0; tail <= written;
		     tail += tail < 3 ? 1 : 9) {
			check_out(rig, written, tail);
		}
	}
}

/* The slot's copy memory was full of another chain's bytes before. */
static void test_no_byte_of_an_older_chain_gets_out(void **state)
{
	struct rig *rig = *state;
	const struct vq_sg secret = rig_sg(0, 4096), sg = rig_sg(8192, 4096);
	struct vq_chain *chain;

	make_foreign(rig);
	memset(rig->buf.va, 's', 4096);
	(void)finish(rig, send(rig, &secret, 1, 0), 0);
	chain = send(rig, &sg, 0, 1);
	*(char *)chain->iov[0].iov_base = '#';
	(void)finish(rig, chain, 1);
	assert_int_equal(rig->buf.va[8192], '#');
	for (unsigned int i = 8193; i < 8192 + 4096; i++) {
		assert_int_equal((unsigned char)rig->buf.va[i], RIG_CANARY);
	}
}

static void test_device_may_consume_the_iovecs(void **state)
{
	struct rig *rig = *state;
	const struct vq_sg sg[2] = { rig_sg(0, 64), rig_sg(64, 64) };
	struct vq_chain *chain;

	make_foreign(rig);
	chain = send(rig, sg, 0, 2);
	memset(chain->iov[0].iov_base, '1', 64);
	memset(chain->iov[1].iov_base, '2', 64);
	chain->iov[0].iov_base = NULL;
	chain->iov[0].iov_len = 0;
	chain->iov++;
	assert_int_equal(finish(rig, chain, 128), 128);
	assert_int_equal(rig->buf.va[63], '1');
	assert_int_equal(rig->buf.va[64], '2');
	assert_int_equal((unsigned char)rig->buf.va[128], RIG_CANARY);
}

static void test_copies_are_aligned_for_direct_io(void **state)
{
	struct rig *rig = *state;
	const struct vq_sg sg[4] = { rig_sg(0, 16), rig_sg(1, 512),
				     rig_sg(3, 4096), rig_sg(7, 1) };
	struct vq_chain *chain;

	make_foreign(rig);
	chain = send(rig, sg, 1, 3);
	assert_int_equal((uintptr_t)chain->iov[1].iov_base % 512, 0);
	assert_int_equal((uintptr_t)chain->iov[2].iov_base % 4096, 0);
	assert_int_equal(finish(rig, chain, 0), 0);
}

/* Local and foreign pieces in one chain. */
static void test_kinds_are_mixed_in_a_chain(void **state)
{
	struct rig *rig = *state;
	const struct vq_sg sg[4] = {
		{ IOVA, 8 }, rig_sg(4096, 8), { IOVA + 8, 8 }, rig_sg(4104, 8)
	};
	struct vq_chain *chain;

	rig_map(rig, IOVA, &rig->buf, 0, 4096, REGION_FOREIGN, MEM_PERM_RW);
	rig_set_snap(rig);
	memcpy(rig->buf.va, "foreign.", 8);
	memcpy(rig->buf.va + 4096, "mine....", 8);
	chain = send(rig, sg, 2, 2);
	assert_ptr_equal(chain->iov[1].iov_base, rig->buf.va + 4096);
	assert_ptr_equal(chain->iov[3].iov_base, rig->buf.va + 4104);
	assert_int_equal(vq_chain_copy(chain, 0, chain, 0, 16), 0);
	assert_int_equal(finish(rig, chain, 16), 16);
	assert_memory_equal(rig->buf.va + 8, "foreign.", 8);
	assert_memory_equal(rig->buf.va + 4104, "mine....", 8);
}

/* A page that the other process has no more. */
static char *map_gone(struct rig *rig, size_t size)
{
	int prot = PROT_READ | PROT_WRITE;
	struct rig_mem mem = { .size = size };

	mem.va = mmap(NULL, size, prot,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(mem.va != MAP_FAILED);
	rig_map(rig, IOVA, &mem, 0, size, REGION_FOREIGN, MEM_PERM_RW);
	rig_set_snap(rig);
	return mem.va;
}

static void test_foreign_memory_that_is_gone_is_a_hole(void **state)
{
	struct rig *rig = *state;
	const struct vq_sg sg[2] = { { IOVA, 100 }, rig_sg(0, 8) };
	char *va = map_gone(rig, 4096);
	struct vq_chain *chain;

	munmap(va, 4096);
	chain = send(rig, sg, 1, 1);
	assert_true(chain->is_faulty);
	assert_null(chain->iov[0].iov_base);
	assert_int_equal(vq_counters(rig->vq)->n_faults, 1);
	assert_int_equal(finish(rig, chain, 8), 8);
}

static void test_written_is_what_got_out(void **state)
{
	struct rig *rig = *state;
	const struct vq_sg sg[3] = { rig_sg(0, 8),
				     { IOVA, 100 },
				     rig_sg(64, 8) };
	char *va = map_gone(rig, 4096);
	struct vq_chain *chain = send(rig, sg, 0, 3);

	assert_false(chain->is_faulty);
	munmap(va, 4096);
	assert_int_equal(vq_chain_zero(chain, 0, 116), 0);
	assert_int_equal(finish(rig, chain, 116), 8);
	assert_int_equal(vq_counters(rig->vq)->n_faults, 1);
}

static void test_chain_of_too_many_copied_bytes(void **state)
{
	struct rig *rig = *state;
	size_t size = VQ_BOUNCE_MAX + 4096UL;
	struct vq_sg sg = { IOVA, VQ_BOUNCE_MAX };
	char *va = map_gone(rig, size);

	(void)finish(rig, send(rig, &sg, 0, 1), 0);
	sg.len++;
	assert_int_equal(vq_driver_add(rig->drv, &sg, 0, 1, rig), 0);
	vq_driver_publish(rig->drv);
	rig_assert_breaks(rig, VQ_BREAK_TOO_BIG);
	munmap(va, size);
}

/* All slots together stay below the limit; the others wait their turn. */
static void test_copies_of_a_queue_are_limited(void **state)
{
	struct rig *rig = *state;
	struct vq_sg sg = { IOVA, 60 * MIB };
	char *va = map_gone(rig, 60 * MIB);
	struct vq_chain *chains[8];

	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(vq_driver_add(rig->drv, &sg, 0, 1, rig), 0);
	}
	vq_driver_publish(rig->drv);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 4);
	assert_true(vq_is_starved(rig->vq));
	assert_int_equal(vq_fetch(rig->vq, &chains[4], 4), 0);
	assert_false(vq_has_available(rig->vq));
	assert_false(vq_enable_kick(rig->vq));
	vq_complete(rig->vq, chains[0], 0);
	vq_publish(rig->vq);
	assert_false(vq_is_starved(rig->vq));
	assert_true(vq_has_available(rig->vq));
	assert_int_equal(vq_fetch(rig->vq, &chains[4], 4), 1);
	for (unsigned int i = 1; i < 5; i++) {
		vq_complete(rig->vq, chains[i], 0);
	}
	vq_publish(rig->vq);
	assert_int_equal(vq_fetch(rig->vq, chains, 8), 3);
	assert_int_equal(vq_broken(rig->vq), VQ_OK);
	vq_stop(rig->vq);
	munmap(va, 60 * MIB);
}

/* Chains of 100 pieces need a large block, of which there are few. */
static void check_large_blocks(uint64_t format)
{
	struct rig *rig = rig_new(format, 2048);
	struct vq_chain *chains[VQ_BURST_MAX];
	struct vq_sg sg[100];
	int n;

	for (uint32_t i = 0; i < 100; i++) {
		sg[i] = rig_sg(i * 64, 32);
	}
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(vq_driver_add(rig->drv, sg, 100, 0, rig), 0);
	}
	vq_driver_publish(rig->drv);
	n = vq_fetch(rig->vq, chains, VQ_BURST_MAX);
	assert_in_range(n, 1, 19);
	assert_true(vq_is_starved(rig->vq));
	assert_int_equal(chains[n - 1]->n_readable, 100);
	assert_ptr_equal(chains[n - 1]->iov[99].iov_base,
			 rig->buf.va + 99 * 64);
	assert_int_equal(vq_fetch(rig->vq, &chains[n], 1), 0);
	vq_unfetch(rig->vq, 1);
	assert_int_equal(vq_fetch(rig->vq, &chains[n - 1], 1), 1);
	vq_complete(rig->vq, chains[0], 0);
	assert_int_equal(vq_fetch(rig->vq, &chains[n], 1), 1);
	rig_free(rig);
}

static void test_large_chains_wait_for_a_block(void **state)
{
	check_large_blocks(RIG_SPLIT);
	check_large_blocks(RIG_PACKED);
}

/* One buffer over more entries than a chain may have pieces. */
static void test_chain_of_too_many_pieces(void **state)
{
	struct rig *rig = *state;
	const struct vq_sg sg = { IOVA, 1000 * 8 };

	for (unsigned int i = 0; i < 1000; i++) {
		rig_map(rig, IOVA + i * 8, &rig->buf, i * 16, 8, REGION_OWN,
			MEM_PERM_RW);
	}
	rig_set_snap(rig);
	assert_int_equal(vq_driver_add(rig->drv, &sg, 1, 0, rig), 0);
	vq_driver_publish(rig->drv);
	rig_assert_breaks(rig, VQ_BREAK_TOO_BIG);
}

static int fetch_foreign(void *priv)
{
	struct rig *rig = rig_new(*(const uint64_t *)priv, 8);
	const struct vq_sg sg = rig_sg(0, 64);
	struct vq_chain *chain;
	int rc;

	make_foreign(rig);
	assert_int_equal(vq_driver_add(rig->drv, &sg, 1, 0, rig), 0);
	vq_driver_publish(rig->drv);
	oom_begin();
	rc = vq_fetch(rig->vq, &chain, 1);
	oom_end();
	if (rc < 0) {
		assert_int_equal(vq_broken(rig->vq), VQ_BREAK_TOO_BIG);
		rc = -ENOMEM;
	} else {
		rc = 0;
	}
	rig_free(rig);
	return rc;
}

static void test_no_memory_for_copies_breaks_the_queue(void **state)
{
	uint64_t features = RIG_SPLIT;

	assert_int_equal(oom_check(fetch_foreign, &features), 1);
	features = RIG_PACKED;
	assert_int_equal(oom_check(fetch_foreign, &features), 1);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(readable_bytes_are_a_copy),
	RIG_TEST(only_written_bytes_go_out),
	RIG_TEST(no_byte_of_an_older_chain_gets_out),
	RIG_TEST(device_may_consume_the_iovecs),
	RIG_TEST(copies_are_aligned_for_direct_io),
	RIG_TEST(kinds_are_mixed_in_a_chain),
	RIG_TEST(foreign_memory_that_is_gone_is_a_hole),
	RIG_TEST(written_is_what_got_out),
	RIG_TEST(chain_of_too_many_copied_bytes),
	RIG_TEST(copies_of_a_queue_are_limited),
	RIG_TEST(chain_of_too_many_pieces),
	cmocka_unit_test(test_large_chains_wait_for_a_block),
	cmocka_unit_test(test_no_memory_for_copies_breaks_the_queue),
};

TEST_MAIN("vq_bounce")
