/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only way to memory that a peer writes at the same time.
 *
 * Theory of operation
 *
 * Whatever stands in a ring may change between two looks at it. So each field
 * is loaded once, with one access that cannot be torn or repeated by the
 * compiler, into a local of the host's byte order; the local is then checked
 * and used. Three kinds of access exist:
 *
 *   load, store        once, in no order (relaxed)
 *   load_acq           what follows is not done before it: reads what the
 *                      peer wrote before its store_rel
 *   store_rel          what precedes is visible before it
 *
 * and shm_full_barrier() between "I published" and "do you want to be told?":
 * both sides store, then load what the other stored; without the barrier both
 * could miss each other, and the queue would sleep for ever.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VQ_SHM_H
#define VQ_SHM_H

#include <endian.h>
#include <linux/virtio_ring.h>

#include "base/util.h"

#ifdef __CHECKER__
#define shm_force_ __attribute__((force))
#else
#define shm_force_
#endif

static inline uint16_t shm_from_le16(__le16 v)
{
	return le16toh((shm_force_ uint16_t)v);
}

static inline uint32_t shm_from_le32(__le32 v)
{
	return le32toh((shm_force_ uint32_t)v);
}

static inline uint64_t shm_from_le64(__le64 v)
{
	return le64toh((shm_force_ uint64_t)v);
}

static inline __le16 shm_to_le16(uint16_t v)
{
	return (shm_force_ __le16)htole16(v);
}

static inline __le32 shm_to_le32(uint32_t v)
{
	return (shm_force_ __le32)htole32(v);
}

static inline __le64 shm_to_le64(uint64_t v)
{
	return (shm_force_ __le64)htole64(v);
}

static inline uint16_t shm_load16(const __le16 *p)
{
	return shm_from_le16(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline uint32_t shm_load32(const __le32 *p)
{
	return shm_from_le32(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline uint64_t shm_load64(const __le64 *p)
{
	return shm_from_le64(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline uint16_t shm_load_acq16(const __le16 *p)
{
	return shm_from_le16(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static inline uint64_t shm_load_acq64(const __le64 *p)
{
	return shm_from_le64(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static inline void shm_store16(__le16 *p, uint16_t v)
{
	__atomic_store_n(p, shm_to_le16(v), __ATOMIC_RELAXED);
}

static inline void shm_store32(__le32 *p, uint32_t v)
{
	__atomic_store_n(p, shm_to_le32(v), __ATOMIC_RELAXED);
}

static inline void shm_store64(__le64 *p, uint64_t v)
{
	__atomic_store_n(p, shm_to_le64(v), __ATOMIC_RELAXED);
}

static inline void shm_store_rel16(__le16 *p, uint16_t v)
{
	__atomic_store_n(p, shm_to_le16(v), __ATOMIC_RELEASE);
}

static inline void shm_store_rel32(__le32 *p, uint32_t v)
{
	__atomic_store_n(p, shm_to_le32(v), __ATOMIC_RELEASE);
}

static inline void shm_store_rel64(__le64 *p, uint64_t v)
{
	__atomic_store_n(p, shm_to_le64(v), __ATOMIC_RELEASE);
}

/* For a ring that is reached by copies: order between two of them. */
static inline void shm_acquire_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

static inline void shm_release_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* My stores before my loads. Pairs with the same call on the other side. */
static inline void shm_full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * A descriptor is 16 bytes in both formats: an address, then eight bytes of
 * which the first four are the length and the others depend on the format.
 * Those eight are loaded at once: fewer accesses, and for packed rings length,
 * id and flags cannot be of different moments.
 */
#define SHM_DESC_SIZE 16

struct shm_desc {
	uint64_t addr;
	uint64_t meta;
};

struct shm_desc_ring {
	__le64 addr;
	__le64 meta;
};
_Static_assert(sizeof(struct shm_desc_ring) == SHM_DESC_SIZE, "descriptor");
_Static_assert(sizeof(struct vring_desc) == SHM_DESC_SIZE, "split");
_Static_assert(sizeof(struct vring_packed_desc) == SHM_DESC_SIZE, "packed");

/* @ring is 8-aligned. */
static inline struct shm_desc shm_load_desc(const struct shm_desc_ring *ring)
{
	return (struct shm_desc){ shm_load64(&ring->addr),
				  shm_load64(&ring->meta) };
}

static inline uint32_t shm_desc_len(uint64_t meta)
{
	return (uint32_t)meta;
}

static inline uint16_t shm_split_flags(uint64_t meta)
{
	return (uint16_t)(meta >> 32);
}

static inline uint16_t shm_split_next(uint64_t meta)
{
	return (uint16_t)(meta >> 48);
}

static inline uint64_t shm_split_meta(uint32_t len, uint16_t flags,
				      uint16_t next)
{
	return len | (uint64_t)flags << 32 | (uint64_t)next << 48;
}

static inline uint16_t shm_packed_id(uint64_t meta)
{
	return (uint16_t)(meta >> 32);
}

static inline uint16_t shm_packed_flags(uint64_t meta)
{
	return (uint16_t)(meta >> 48);
}

static inline uint64_t shm_packed_meta(uint32_t len, uint16_t id,
				       uint16_t flags)
{
	return len | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

/* A desc_event or device_event word of a packed ring, read as one. */
static inline uint16_t shm_event_off_wrap(uint32_t word)
{
	return (uint16_t)word;
}

static inline uint16_t shm_event_flags(uint32_t word)
{
	return (uint16_t)(word >> 16);
}

static inline uint32_t shm_event_word(uint16_t off_wrap, uint16_t flags)
{
	return off_wrap | (uint32_t)flags << 16;
}

/**
 * shm_crossed() - did the index pass the event that the peer waits for?
 * @event: the peer wants to know of the step from here to the next
 * @new_idx: index now
 * @old_idx: index when the peer was last considered
 *
 * All modulo 2^16.
 * Source: virtio 1.2, "Used Buffer Notification Suppression"
 */
static inline bool shm_crossed(uint16_t event, uint16_t new_idx,
			       uint16_t old_idx)
{
	return (uint16_t)(new_idx - event - 1) < (uint16_t)(new_idx - old_idx);
}

#endif
