/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying between private and shared memory.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef MEM_MEM_INTERNAL_H
#define MEM_MEM_INTERNAL_H

#include <string.h>

#include "base/util.h"

#define SHARED_LOAD(type)                                                      \
	do {                                                                   \
		type v_ = __atomic_load_n((const type *)va, __ATOMIC_RELAXED); \
		memcpy(buf, &v_, sizeof(v_));                                  \
	} while (0)

#define SHARED_STORE(type)                                          \
	do {                                                        \
		type v_;                                            \
		memcpy(&v_, buf, sizeof(v_));                       \
		__atomic_store_n((type *)va, v_, __ATOMIC_RELAXED); \
	} while (0)

/*
 * What the other side may read or write at the same time: a naturally aligned
 * number (an index, a flag, an address of a ring) is one access, so it is
 * never seen half written. All else is bytes.
 */
static inline void shared_load(void *buf, const char *va, size_t len)
{
	if (len > 8 || ((uintptr_t)va & (len - 1)) != 0) {
		memcpy(buf, va, len);
		return;
	}
	switch (len) {
	case 1:
		SHARED_LOAD(uint8_t);
		break;
	case 2:
		SHARED_LOAD(uint16_t);
		break;
	case 4:
		SHARED_LOAD(uint32_t);
		break;
	case 8:
		SHARED_LOAD(uint64_t);
		break;
	default:
		memcpy(buf, va, len);
		break;
	}
}

static inline void shared_store(char *va, const void *buf, size_t len)
{
	if (len > 8 || ((uintptr_t)va & (len - 1)) != 0) {
		memcpy(va, buf, len);
		return;
	}
	switch (len) {
	case 1:
		SHARED_STORE(uint8_t);
		break;
	case 2:
		SHARED_STORE(uint16_t);
		break;
	case 4:
		SHARED_STORE(uint32_t);
		break;
	case 8:
		SHARED_STORE(uint64_t);
		break;
	default:
		memcpy(va, buf, len);
		break;
	}
}

#endif
