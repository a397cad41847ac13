/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile drivers that change the ring, its tables and its memory while the
 * device works: H30, H32, H33. A second thread stores rubbish as fast as it
 * can; whatever the device makes of it, each piece that it hands out must lie
 * in memory that is mapped, and what it counts must add up.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "vq/test_vq_rig.h"

#define NUM	   8
#define TABLE	   (RIG_BUF_IOVA + 0x8000)
#define TABLE_ROOM (NUM * SHM_DESC_SIZE)
#define HOLE	   0x700000000ULL
#define N_FETCHES  30000

struct flipper {
	struct rig *rig;
	pthread_t thread;
	atomic_bool has_to_stop;
	uint64_t rng;
};

static uint64_t next_random(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return *rng;
}

/* Mostly a good address, so that the walk gets somewhere. */
static uint64_t flip_addr(uint64_t r)
{
	switch (r % 8) {
	case 0:
		return HOLE;
	case 1:
		return RIG_BUF_IOVA + RIG_BUF_BYTES - 8;
	case 2:
	case 3:
		return TABLE;
	default:
		return RIG_BUF_IOVA + (r >> 8) % 0x8000;
	}
}

static uint32_t flip_len(uint64_t r)
{
	static const uint32_t lens[] = {
		0, 1, 16, 32, 48, 64, 128, UINT32_MAX
	};

	return r % 64 == 0 ? (uint32_t)r : lens[r / 64 % ARRAY_SIZE(lens)];
}

/* One of the two halves of a descriptor. */
static void flip_desc(struct flipper *f, struct shm_desc_ring *desc,
		      unsigned int wrap_flags)
{
	uint64_t r = next_random(&f->rng);
	uint16_t flags = (uint16_t)(r % 8);
	uint16_t id = (uint16_t)(r >> 16) % (NUM + (r % 32 == 0));
	uint32_t len = flip_len(r >> 24);

	if (r & 0x800) {
		shm_store64(&desc->addr, flip_addr(r >> 12));
	} else if (f->rig->is_packed) {
		flags |= (uint16_t)wrap_flags;
		shm_store64(&desc->meta, shm_packed_meta(len, id, flags));
	} else {
		shm_store64(&desc->meta, shm_split_meta(len, flags, id));
	}
}

static void flip_split(struct flipper *f)
{
	__le16 *avail = (__le16 *)(f->rig->ring.va + f->rig->at.driver_area);
	uint64_t r = next_random(&f->rng);

	/* Heads and the index; a jump too far now and then. */
	shm_store16(&avail[2 + r % NUM], (uint16_t)(r >> 8) % NUM);
	shm_store16(&avail[1], (uint16_t)(rig_split_used_idx(f->rig) +
					  (r >> 24) % (NUM + 1) +
					  (r >> 40) % 1024 / 1023));
}

static void *flip(void *arg)
{
	struct flipper *f = arg;

	while (!atomic_load(&f->has_to_stop)) {
		uint64_t r = next_random(&f->rng);
		unsigned int bits = r & 1 ? 1U << VRING_PACKED_DESC_F_AVAIL
					  : 1U << VRING_PACKED_DESC_F_USED;

		flip_desc(f, rig_ring(f->rig) + (r >> 8) % NUM, bits);
		flip_desc(f,
			  (struct shm_desc_ring *)rig_buf(f->rig, TABLE) +
				  (r >> 16) % NUM,
			  0);
		if (!f->rig->is_packed) {
			flip_split(f);
		}
	}
	return NULL;
}

static void flipper_start(struct flipper *f, struct rig *rig)
{
	f->rig = rig;
	f->rng = 0x2545f4914f6cdd1dULL;
	atomic_init(&f->has_to_stop, false);
	assert_int_equal(pthread_create(&f->thread, NULL, flip, f), 0);
}

static void flipper_stop(struct flipper *f)
{
	atomic_store(&f->has_to_stop, true);
	assert_int_equal(pthread_join(f->thread, NULL), 0);
}

/* Is the piece in the buffers, or a copy of the queue's own? */
static void check_piece(const struct rig *rig, const struct iovec *iov,
			bool has_copies)
{
	const char *base = iov->iov_base;

	assert_true(iov->iov_len > 0);
	if (base && !has_copies) {
		assert_true(base >= rig->buf.va);
		assert_true(range_fits((uint64_t)(base - rig->buf.va),
				       iov->iov_len, rig->buf.size));
	}
}

static uint64_t check_pieces(const struct rig *rig, const struct iovec *iov,
			     unsigned int n, bool has_copies, bool *has_hole)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		check_piece(rig, &iov[i], has_copies);
		sum += iov[i].iov_len;
		*has_hole |= !iov[i].iov_base;
	}
	return sum;
}

static void check_chain(const struct rig *rig, struct vq_chain *chain,
			bool has_copies)
{
	const struct iovec *writable = chain->iov + chain->n_readable;
	bool has_hole = false;

	assert_in_range(chain->head, 0, NUM - 1);
	assert_in_range(chain->n_descs, 1, NUM);
	assert_int_equal(check_pieces(rig, chain->iov, chain->n_readable,
				      has_copies, &has_hole),
			 chain->readable_bytes);
	assert_int_equal(check_pieces(rig, writable, chain->n_writable,
				      has_copies, &has_hole),
			 chain->writable_bytes);
	assert_int_equal(has_hole, chain->is_faulty);
	/* Copies are ours alone; what is in place the flipper may write. */
	for (unsigned int i = 0; i < chain->n_readable && has_copies; i++) {
		if (chain->iov[i].iov_base) {
			volatile char first = *(char *)chain->iov[i].iov_base;

			(void)first; /* reading it is the test */
		}
	}
}

/* Starts anew where the ring is; any state will do. */
static void restart(struct rig *rig)
{
	const struct vq_state at = {
		.avail_idx = rig->is_packed ? 0 : rig_split_used_idx(rig),
		.avail_wrap = true,
		.used_wrap = true
	};

	vq_stop(rig->vq);
	assert_int_equal(rig_start(rig, &at), 0);
}

static void run_against_flipper(struct rig *rig, unsigned int n_fetches,
				bool has_copies)
{
	struct vq_chain *chains[NUM];
	unsigned int n_chains = 0, n_breaks = 0;
	struct flipper f;

	flipper_start(&f, rig);
	for (unsigned int i = 0;
	     i < n_fetches || n_chains < n_fetches / 100 || n_breaks < 10;
	     i++) {
		int n = vq_fetch(rig->vq, chains, NUM);

		if (n < 0) {
			assert_int_equal(n, -EPROTO);
			assert_int_not_equal(vq_broken(rig->vq), VQ_OK);
			n_breaks++;
			restart(rig);
			continue;
		}
		if (n == 0) {
			sched_yield();
		}
		n_chains += (unsigned int)n;
		for (int k = 0; k < n; k++) {
			check_chain(rig, chains[k], has_copies);
			vq_complete(rig->vq, chains[k], 0);
		}
		vq_publish(rig->vq);
	}
	flipper_stop(&f);
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
}

static void test_h30_fields_change_in_place(void **state)
{
	run_against_flipper(*state, N_FETCHES, false);
}

static void test_h30_fields_change_in_foreign_memory(void **state)
{
	struct rig *rig = *state;

	rig_remap_ring(rig, 0, REGION_FOREIGN);
	rig_unmap(rig, RIG_BUF_IOVA);
	rig_map(rig, RIG_BUF_IOVA, &rig->buf, 0, rig->buf.size, REGION_FOREIGN,
		MEM_PERM_RW);
	rig_set_snap(rig);
	run_against_flipper(rig, N_FETCHES / 10, true);
}

/* The ring's and the buffers' file loses all its bytes while in use. */
static void check_shrinking(uint64_t format)
{
	struct rig *rig = rig_new(format, NUM);
	struct vq_chain *chains[NUM];
	char data[16];
	int n;

	rig_remap_ring(rig, 0, REGION_MAPPED);
	rig_unmap(rig, RIG_BUF_IOVA);
	rig_map(rig, RIG_BUF_IOVA, &rig->buf, 0, rig->buf.size, REGION_MAPPED,
		MEM_PERM_RW);
	rig_set_snap(rig);
	rig_add_bytes(rig, 4);
	assert_int_equal(vq_fetch(rig->vq, chains, 2), 2);
	assert_int_equal(ftruncate(rig->ring.fd, 0), 0);
	assert_int_equal(ftruncate(rig->buf.fd, 0), 0);
	assert_int_equal(vq_chain_read(chains[0], 0, data, 1), 0);
	assert_int_equal(data[0], 0);
	vq_complete(rig->vq, chains[0], 0);
	vq_complete(rig->vq, chains[1], 0);
	vq_publish(rig->vq);
	for (int i = 0; i < 3; i++) {
		n = vq_fetch(rig->vq, chains, NUM);
		while (n > 0) {
			vq_complete(rig->vq, chains[--n], 0);
		}
		vq_publish(rig->vq);
		vq_enable_kick(rig->vq);
	}
	assert_int_equal(vq_n_in_flight(rig->vq), 0);
	rig_free(rig);
}

/*
 * One test for both formats, and the first: cmocka replaces the handler of
 * SIGBUS before each test, and mem/ installs its own once.
 */
static void test_h32_files_shrink_under_the_queue(void **state)
{
	if (TEST_HAS_TSAN) {
		TEST_SKIP("a fault in TSan's atomics finds its locks held");
	}
	check_shrinking(RIG_SPLIT);
	check_shrinking(RIG_PACKED);
}

/* The table of memory changes with each burst; chains stay as they began. */
static void test_h33_mappings_change_while_chains_are_in_flight(void **state)
{
	struct rig *rig = *state;
	struct rig_mem other = rig_mem_new(RIG_BUF_BYTES);

	for (unsigned int i = 0; i < 200; i++) {
		struct vq_chain *chains[2];
		const struct rig_mem *was = i % 2 ? &other : &rig->buf;
		const struct rig_mem *is = i % 2 ? &rig->buf : &other;
		struct vq_used used[2];

		rig_add_bytes(rig, 2);
		chains[0] = rig_fetch(rig);
		rig_unmap(rig, RIG_BUF_IOVA);
		rig_map(rig, RIG_BUF_IOVA, is, 0, is->size, i % 3, MEM_PERM_RW);
		rig_set_snap(rig);
		assert_true(vq_has_old_chains(rig->vq));
		was->va[0] = 'o';
		is->va[1] = 'n';
		chains[1] = rig_fetch(rig);
		if (i > 0 && (i - 1) % 3 != REGION_FOREIGN) {
			assert_int_equal(*(char *)chains[0]->iov[0].iov_base,
					 'o');
		}
		assert_int_equal(*(char *)chains[1]->iov[0].iov_base, 'n');
		vq_complete(rig->vq, chains[0], 0);
		assert_false(vq_has_old_chains(rig->vq));
		vq_complete(rig->vq, chains[1], 0);
		vq_publish(rig->vq);
		assert_int_equal(vq_driver_get(rig->drv, used, 2), 2);
	}
	vq_stop(rig->vq);
	rig_mem_free(&other);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_h32_files_shrink_under_the_queue),
	RIG_TEST(h30_fields_change_in_place),
	RIG_TEST(h30_fields_change_in_foreign_memory),
	RIG_TEST(h33_mappings_change_while_chains_are_in_flight),
};

TEST_MAIN("vq_toctou")
