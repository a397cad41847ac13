/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the IOTLB share: some memory, and regions of it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_TEST_MEM_RIG_H
#define MEM_TEST_MEM_RIG_H

#include "lib/test.h"
#include "mem/iotlb.h"

#define MEMORY_BYTES (1 << 16)

extern char memory[MEMORY_BYTES];

struct iotlb *new_tlb(unsigned int limit);
/* All of the memory. */
struct region *new_region(void);
/* Every region is gone. */
void assert_nothing_left(void);

#endif
