/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rig with an inflight log, for the tests of that.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VQ_TEST_VQ_INFLIGHT_H
#define VQ_TEST_VQ_INFLIGHT_H

#include "vq/inflight.h"
#include "vq/test_vq_rig.h"

#define PAGE	  4096
#define LOG_BYTES 1024
#define ALL	  64

/* A rig of 8 descriptors and its log. */
struct logged {
	struct rig *rig;
	uint64_t mem[LOG_BYTES / sizeof(uint64_t)];
};

static inline struct inflight_split *split_of(struct logged *l)
{
	return (struct inflight_split *)(void *)l->mem;
}

static inline struct inflight_packed *packed_of(struct logged *l)
{
	return (struct inflight_packed *)(void *)l->mem;
}

/* Another device starts on the same memory. */
static inline void restart(struct logged *l)
{
	vq_stop(l->rig->vq);
	assert_int_equal(rig_start(l->rig, NULL), 0);
}

static inline int setup(void **state, uint64_t features)
{
	struct logged *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->rig = rig_new(features, 8);
	assert_int_equal(region_new_own(l->mem, sizeof(l->mem), NULL, NULL,
					&l->rig->inflight),
			 0);
	l->rig->inflight_bytes = vq_inflight_bytes(8, l->rig->is_packed);
	restart(l);
	*state = l;
	return 0;
}

static inline int setup_split(void **state)
{
	return setup(state, RIG_SPLIT | RIG_INDIRECT);
}

static inline int setup_packed(void **state)
{
	return setup(state, RIG_PACKED | RIG_INDIRECT);
}

static inline int teardown(void **state)
{
	struct logged *l = *state;
	struct region *region = l->rig->inflight;

	rig_free(l->rig);
	region_unref(region);
	free(l);
	return 0;
}

/* Chain @i: two descriptors, of which the first has i + 1 bytes. */
static inline void offer(struct logged *l, unsigned int i)
{
	const struct rig_desc d[] = {
		{ RIG_BUF_IOVA + i * 64, i + 1, VRING_DESC_F_NEXT },
		{ RIG_BUF_IOVA + PAGE + i * 64, 64, VRING_DESC_F_WRITE },
	};

	rig_offer(l->rig, d, 2, (uint16_t)i);
}

/* A fifth chain, where a split ring has the third's descriptors free. */
static inline void offer_fifth(struct logged *l)
{
	if (!l->rig->is_packed) {
		l->rig->raw_slot = 4;
	}
	offer(l, 4);
}

/* What is fetched now are the chains that @want names, as digits. */
static inline void assert_fetches(struct logged *l, const char *want,
				  struct vq_chain **chains)
{
	unsigned int n = 0;
	int rc;

	do {
		rc = vq_fetch(l->rig->vq, chains + n, 8);
		assert_true(rc >= 0);
		n += (unsigned int)rc;
	} while (rc > 0);
	assert_int_equal(n, strlen(want));
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(chains[i]->readable_bytes, want[i] - '0' + 1);
		assert_int_equal(chains[i]->writable_bytes, 64);
	}
}

static inline void publish(struct logged *l, struct vq_chain *chain)
{
	vq_complete(l->rig->vq, chain, 0);
	(void)vq_publish(l->rig->vq);
}

/* Four chains are fetched; the third is published. */
static inline void use_third(struct logged *l)
{
	struct vq_chain *chains[ALL];

	for (unsigned int i = 0; i < 4; i++) {
		offer(l, i);
	}
	assert_fetches(l, "0123", chains);
	publish(l, chains[2]);
}

#define LOG_TEST_SPLIT(name)                                                  \
	{                                                                     \
		"test_split_" #name, test_##name, setup_split, teardown, NULL \
	}
#define LOG_TEST_PACKED(name)                                              \
	{                                                                  \
		"test_packed_" #name, test_##name, setup_packed, teardown, \
			NULL                                               \
	}
#define LOG_TEST(name) LOG_TEST_SPLIT(name), LOG_TEST_PACKED(name)
#define LOG_TEST_OF(format, name)                                  \
	{                                                          \
		"test_" #format "_" #name, test_##format##_##name, \
			setup_##format, teardown, NULL             \
	}

#endif
