/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rig of the tests of the IOTLB.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/test_mem_rig.h"

char memory[MEMORY_BYTES];

struct iotlb *new_tlb(unsigned int limit)
{
	struct iotlb *tlb;

	assert_int_equal(iotlb_new(limit, &tlb), 0);
	return tlb;
}

struct region *new_region(void)
{
	struct region *region;

	assert_int_equal(
		region_new_own(memory, sizeof(memory), NULL, NULL, &region), 0);
	return region;
}

void assert_nothing_left(void)
{
	struct region_stats stats;

	region_get_stats(&stats);
	for (unsigned int i = 0; i < REGION_KIND_N; i++) {
		assert_true(stats.n_regions[i] == 0);
		assert_true(stats.n_bytes[i] == 0);
	}
}
