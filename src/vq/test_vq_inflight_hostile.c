/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the inflight log: what a queue makes of one that somebody has
 * tampered with, before or while it is used.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vq/test_vq_inflight.h"

/* ---- what a peer may have made of it (H68) ---- */

/* The log and the ring are as they were, and the queue is broken. */
static void assert_breaks(struct logged *l)
{
	uint64_t mem[LOG_BYTES / sizeof(uint64_t)];
	char ring[PAGE];

	memcpy(mem, l->mem, sizeof(mem));
	memcpy(ring, l->rig->ring.va, sizeof(ring));
	restart(l);
	rig_assert_breaks(l->rig, VQ_BREAK_INFLIGHT);
	assert_memory_equal(mem, l->mem, sizeof(mem));
	assert_memory_equal(ring, l->rig->ring.va, sizeof(ring));
}

/* A field of the log, and values that break the queue. */
struct lie {
	size_t off;
	size_t bytes;
	uint64_t value;
};

static void run_lie(bool is_packed, const struct lie *lie)
{
	struct logged *l;
	void *state;
	char *at;

	assert_int_equal(is_packed ? setup_packed(&state) : setup_split(&state),
			 0);
	l = state;
	use_third(l);
	at = (char *)l->mem + lie->off;
	if (lie->bytes == 1) {
		*(uint8_t *)at = (uint8_t)lie->value;
	} else {
		*(uint16_t *)(void *)at = (uint16_t)lie->value;
	}
	assert_breaks(l);
	(void)teardown(&state);
}

#define SPLIT_AT(field)	 offsetof(struct inflight_split, field)
#define PACKED_AT(field) offsetof(struct inflight_packed, field)
#define LIE(at, n, v)          \
	{                      \
		(at), (n), (v) \
	}

/* Heads 0, 2 and 6 are in flight; 4 is the last batch. */
static void test_split_log_with_lies_h68(void **state)
{
	static const struct lie lies[] = {
		LIE(SPLIT_AT(version), 2, 2),
		LIE(SPLIT_AT(version), 2, UINT16_MAX),
		LIE(SPLIT_AT(desc_num), 2, 0),
		LIE(SPLIT_AT(desc_num), 2, 7),
		LIE(SPLIT_AT(desc_num), 2, 12),
		LIE(SPLIT_AT(desc_num), 2, UINT16_MAX),
		LIE(SPLIT_AT(desc[0].inflight), 1, 2),
		LIE(SPLIT_AT(desc[7].inflight), 1, 255),
		/* more in the last batch than there are */
		LIE(SPLIT_AT(used_idx), 2, 2),
		LIE(SPLIT_AT(used_idx), 2, 0x8000),
		LIE(SPLIT_AT(used_idx), 2, (uint16_t)-8),
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(lies); i++) {
		run_lie(false, &lies[i]);
	}
}

/* The last batch has a part that says where the list goes on. */
static void test_split_log_with_a_bad_list_h68(void **state)
{
	static const uint16_t heads[][2] = {
		/* last_batch_head, what follows on 4 */
		{ 8, 0 }, { UINT16_MAX, 0 }, { 4, 4 },
		{ 4, 8 }, { 4, UINT16_MAX },
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(heads); i++) {
		struct logged *l;
		void *mine;

		assert_int_equal(setup_split(&mine), 0);
		l = mine;
		use_third(l);
		split_of(l)->used_idx = UINT16_MAX; /* a batch of two */
		split_of(l)->last_batch_head = heads[i][0];
		split_of(l)->desc[4].next = heads[i][1];
		assert_breaks(l);
		(void)teardown(&mine);
	}
}

/* Entries: 0 1, 2 3, [4 5 free], 6 7. */
static void test_packed_log_with_lies_h68(void **state)
{
	static const struct lie lies[] = {
		LIE(PACKED_AT(version), 2, 2),
		LIE(PACKED_AT(version), 2, UINT16_MAX),
		LIE(PACKED_AT(desc_num), 2, 0),
		LIE(PACKED_AT(desc_num), 2, 7),
		LIE(PACKED_AT(desc_num), 2, 10),
		LIE(PACKED_AT(desc_num), 2, UINT16_MAX),
		LIE(PACKED_AT(used.used_idx), 2, 8),
		LIE(PACKED_AT(used.old_used_idx), 2, UINT16_MAX),
		LIE(PACKED_AT(used.used_wrap), 1, 2),
		LIE(PACKED_AT(used.old_used_wrap), 1, 255),
		/* the free list: a loop, a chain's entries, none */
		LIE(PACKED_AT(desc[5].next), 2, 4),
		LIE(PACKED_AT(desc[5].next), 2, 5),
		LIE(PACKED_AT(heads.old_free_head), 2, 1),
		LIE(PACKED_AT(heads.old_free_head), 2, 8),
		LIE(PACKED_AT(heads.old_free_head), 2, UINT16_MAX),
		/* the chain of entries 2 and 3 */
		LIE(PACKED_AT(desc[2].inflight), 1, 2),
		LIE(PACKED_AT(desc[3].inflight), 1, 1),
		LIE(PACKED_AT(desc[2].num), 2, 0),
		LIE(PACKED_AT(desc[2].num), 2, 1),
		LIE(PACKED_AT(desc[2].num), 2, 3),
		LIE(PACKED_AT(desc[2].num), 2, 9),
		LIE(PACKED_AT(desc[2].num), 2, UINT16_MAX),
		LIE(PACKED_AT(desc[2].next), 2, 2),
		LIE(PACKED_AT(desc[2].next), 2, 0),
		LIE(PACKED_AT(desc[2].next), 2, 4),
		LIE(PACKED_AT(desc[2].next), 2, 8),
		LIE(PACKED_AT(desc[2].last), 2, 2),
		LIE(PACKED_AT(desc[2].last), 2, UINT16_MAX),
		LIE(PACKED_AT(desc[3].id), 2, 8),
		LIE(PACKED_AT(desc[3].id), 2, 0),
		LIE(PACKED_AT(desc[3].id), 2, UINT16_MAX),
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(lies); i++) {
		run_lie(true, &lies[i]);
	}
}

static uint64_t *counter_of(struct logged *l, unsigned int i)
{
	return l->rig->is_packed ? &packed_of(l)->desc[i].counter
				 : &split_of(l)->desc[i].counter;
}

/* No order can be told: any will do, and the log goes on to work. */
static void test_log_with_equal_counters_h68(void **state)
{
	static const uint64_t values[] = { 0, 7, UINT64_MAX };
	struct logged *l = *state;
	struct vq_chain *chains[ALL];

	use_third(l);
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		*counter_of(l, 0) = values[i];
		*counter_of(l, 2) = values[i];
		*counter_of(l, 6) = values[i];
		restart(l);
		assert_fetches(l, "013", chains);
	}
	vq_complete_all(l->rig->vq, chains, NULL, 3);
	(void)vq_publish(l->rig->vq);
	offer(l, 5);
	restart(l);
	assert_fetches(l, "5", chains);
}

/* The order is that of the counters, whatever they are. */
static void test_log_with_other_counters_h68(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];

	use_third(l);
	*counter_of(l, 0) = UINT64_MAX;
	*counter_of(l, 2) = 1ULL << 63;
	*counter_of(l, 6) = 0;
	restart(l);
	assert_fetches(l, "310", chains);
}

/* It claims more than the driver ever offered. */
static void test_split_log_ahead_of_the_driver_h68(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];

	use_third(l);
	split_of(l)->desc[1].inflight = 1;
	restart(l);
	assert_int_equal(vq_fetch(l->rig->vq, chains, 8), 4);
	vq_complete_all(l->rig->vq, chains, NULL, 4);
	(void)vq_publish(l->rig->vq);
	rig_assert_breaks(l->rig, VQ_BREAK_AVAIL);
}

/* A log of before the driver's reset, with nothing in flight. */
static void test_split_log_of_an_earlier_life(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];

	use_third(l);
	restart(l);
	assert_fetches(l, "013", chains);
	vq_complete_all(l->rig->vq, chains, NULL, 3);
	(void)vq_publish(l->rig->vq);
	memset(l->rig->ring.va, 0, l->rig->ring.size);
	l->rig->raw_slot = 0;
	split_of(l)->used_idx = 500;
	restart(l);
	offer(l, 3);
	assert_fetches(l, "3", chains);
	assert_int_equal(split_of(l)->used_idx, 0);
}

/* What is broken by a log may be forgiven, and looked at again. */
static void test_log_is_read_again_when_forgiven(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];

	use_third(l);
	split_of(l)->version = 3; /* the same place in both formats */
	assert_breaks(l);
	split_of(l)->version = 1;
	vq_forgive(l->rig->vq);
	assert_fetches(l, "013", chains);
}

/* Bytes at random, in all of it or a few: no crash, no loop, no sanitizer. */
static void test_log_with_random_bytes_h68(void **state)
{
	struct logged *l = *state;
	struct vq_chain *chains[ALL];
	unsigned int n_ok = 0;
	uint64_t rng = 1;

	use_third(l);
	for (unsigned int i = 0; i < 20000; i++) {
		uint64_t mem[LOG_BYTES / sizeof(uint64_t)];
		int n;

		memcpy(mem, l->mem, sizeof(mem));
		for (unsigned int k = 0; k <= i % 5; k++) {
			rng = rng * 6364136223846793005ULL + 1;
			((uint8_t *)
				 l->mem)[(rng >> 33) % l->rig->inflight_bytes] =
				(uint8_t)(rng >> 20) & (i % 2 ? 0xff : 7);
		}
		restart(l);
		do {
			n = vq_fetch(l->rig->vq, chains, 8);
			assert_true(n >= 0 || n == -EPROTO);
			n_ok += n > 0;
		} while (n > 0);
		memcpy(l->mem, mem, sizeof(mem));
	}
	assert_true(n_ok > 1000);
}

/* ---- others write to it meanwhile ---- */

struct flipper {
	struct logged *l;
	bool has_to_end;
};

static void *flip(void *priv)
{
	struct flipper *f = priv;
	uint64_t rng = 1;

	while (!__atomic_load_n(&f->has_to_end, __ATOMIC_RELAXED)) {
		uint64_t *word;

		rng = rng * 6364136223846793005ULL + 1;
		word = &f->l->mem[(rng >> 33) % 36];
		__atomic_fetch_xor(word, 1ULL << (rng >> 50) % 64,
				   __ATOMIC_RELAXED);
	}
	return NULL;
}

static void test_log_flips_while_it_is_read_h68(void **state)
{
	struct logged *l = *state;
	struct flipper f = { .l = l };
	struct vq_chain *chains[ALL];
	pthread_t thread;

	use_third(l);
	assert_int_equal(pthread_create(&thread, NULL, flip, &f), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		int n;

		restart(l);
		n = vq_fetch(l->rig->vq, chains, 8);
		assert_true(n >= 0 || n == -EPROTO);
		if (n > 0) {
			vq_unfetch(l->rig->vq, (unsigned int)n);
		}
	}
	__atomic_store_n(&f.has_to_end, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

/* Its file is cut off while the queue runs: the queue goes on without. */
static void test_log_truncated_under_us_h32(void **state)
{
	struct rig *rig = rig_new(RIG_SPLIT, 8);
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct vq_chain *chains[ALL];
	struct region *region;

	(void)state;
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(region_new_mapped(fd, 0, PAGE, MEM_PERM_RW, &region),
			 0);
	rig->inflight = region;
	rig->inflight_bytes = vq_inflight_bytes(8, false);
	vq_stop(rig->vq);
	assert_int_equal(rig_start(rig, NULL), 0);
	rig_add_bytes(rig, 3);
	assert_int_equal(vq_fetch(rig->vq, chains, 2), 2);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(vq_fetch(rig->vq, chains + 2, 2), 1);
	assert_true(region_is_poisoned(region));
	vq_complete_all(rig->vq, chains, NULL, 3);
	(void)vq_publish(rig->vq);
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
	rig_free(rig);
	region_unref(region);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_log_truncated_under_us_h32),
	cmocka_unit_test(test_split_log_with_lies_h68),
	cmocka_unit_test(test_split_log_with_a_bad_list_h68),
	cmocka_unit_test(test_packed_log_with_lies_h68),
	LOG_TEST(log_with_equal_counters_h68),
	LOG_TEST(log_with_other_counters_h68),
	LOG_TEST_OF(split, log_ahead_of_the_driver_h68),
	LOG_TEST_OF(split, log_of_an_earlier_life),
	LOG_TEST(log_is_read_again_when_forgiven),
	LOG_TEST(log_with_random_bytes_h68),
	LOG_TEST(log_flips_while_it_is_read_h68),
};

TEST_MAIN("vq_inflight_hostile")
