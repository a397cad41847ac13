/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rig for the tests of vq/: memory between guard pages, an address space of
 * it, and both sides of a queue; or its device side only, and a ring that the
 * test writes by hand.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VQ_TEST_VQ_RIG_H
#define VQ_TEST_VQ_RIG_H

#include <linux/virtio_config.h>

#include "lib/test.h"
#include "mem/iotlb.h"
#include "vq/shm.h"
#include "vq/vq.h"
#include "vq/vq_driver.h"

#define RIG_RING_IOVA 0x100000ULL
#define RIG_BUF_IOVA  0x10000000ULL
#define RIG_BUF_BYTES (1U << 20)
#define RIG_CANARY    0xc5

#define RIG_SPLIT    0ULL
#define RIG_PACKED   BIT_ULL(VIRTIO_F_RING_PACKED)
#define RIG_INDIRECT BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC)
#define RIG_EVENT    BIT_ULL(VIRTIO_RING_F_EVENT_IDX)
#define RIG_IN_ORDER BIT_ULL(VIRTIO_F_IN_ORDER)

/* Memory from a memfd, so that it can be a region of each kind. */
struct rig_mem {
	int fd;
	char *va;
	size_t size; /* whole pages; a guard page on each side */
};

struct rig {
	uint64_t features;
	bool is_packed;
	uint16_t num;
	struct vq_layout at;
	struct rig_mem ring;
	struct rig_mem buf;
	struct iotlb *tlb;
	bool has_misses; /* from the next start on; these too */
	bool keeps_iovas;
	struct region *inflight;
	uint64_t inflight_offset;
	uint64_t inflight_bytes;
	struct vq *vq;
	struct vq_driver *drv;

	/* of rig_offer() */
	uint16_t raw_slot;
	bool raw_wrap;
};

/* One descriptor by hand; flags: NEXT and so on, never AVAIL or USED. */
struct rig_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
};

struct rig_mem rig_mem_new(size_t size);
void rig_mem_free(struct rig_mem *mem);

/* A started queue on own memory, which is mapped whole. */
struct rig *rig_new(uint64_t features, uint16_t num);
void rig_free(struct rig *rig);

/* Maps @len bytes of @mem at @iova. */
void rig_map(struct rig *rig, uint64_t iova, const struct rig_mem *mem,
	     size_t off, size_t len, enum region_kind kind, unsigned int perm);
void rig_unmap(struct rig *rig, uint64_t iova);
/* Hands the queue what is mapped now. */
void rig_set_snap(struct rig *rig);
/* Starts the stopped queue, at the beginning or at @state. */
int rig_start(struct rig *rig, const struct vq_state *state);
/* The same with its ring at another address. */
int rig_start_at(struct rig *rig, uint64_t ring_iova);

/*
 * Maps the ring anew, as two entries that meet at byte @cut (0: one entry),
 * and hands that to the queue.
 */
void rig_remap_ring(struct rig *rig, size_t cut, enum region_kind kind);
/* @n buffers of one readable byte; cookies are their numbers from 1. */
void rig_add_bytes(struct rig *rig, unsigned int n);
/* A piece of buffer memory. */
struct vq_sg rig_sg(uint32_t off, uint32_t len);

/* Where the ring stands in our memory. */
struct shm_desc_ring *rig_ring(const struct rig *rig);
char *rig_buf(const struct rig *rig, uint64_t iova);

/*
 * Writes a chain by hand into the next slots of the ring and makes it
 * available. Split: next is the next slot. Packed: all have @id.
 */
void rig_offer(struct rig *rig, const struct rig_desc *descs, unsigned int n,
	       uint16_t id);
/* Writes an indirect table into buffer memory. Return: the descriptor for it */
struct rig_desc rig_table(struct rig *rig, uint64_t iova,
			  const struct rig_desc *descs, unsigned int n);
/* Split: the parts of that. */
void rig_split_desc(struct rig *rig, uint16_t idx, const struct rig_desc *d,
		    uint16_t next);
void rig_split_avail(struct rig *rig, uint16_t head);
void rig_split_set_idx(struct rig *rig, uint16_t idx);
uint16_t rig_split_used_idx(const struct rig *rig);
uint32_t rig_split_used_id(const struct rig *rig, uint16_t slot);
uint32_t rig_split_used_len(const struct rig *rig, uint16_t slot);
/* Packed: one descriptor of the ring, as it is. */
void rig_packed_desc(struct rig *rig, uint16_t idx, const struct rig_desc *d,
		     uint16_t id, bool wrap);

/* Fetches one chain that must be there. */
struct vq_chain *rig_fetch(struct rig *rig);
/* Fetches; the queue must break for this reason. */
void rig_assert_breaks(struct rig *rig, enum vq_break why);

/* A test for each format: setup makes the rig of 8 descriptors. */
int rig_setup_split(void **state);
int rig_setup_packed(void **state);
int rig_teardown(void **state);
#define RIG_TEST_SPLIT(name)                                       \
	{                                                          \
		"test_split_" #name, test_##name, rig_setup_split, \
			rig_teardown, NULL                         \
	}
#define RIG_TEST_PACKED(name)                                        \
	{                                                            \
		"test_packed_" #name, test_##name, rig_setup_packed, \
			rig_teardown, NULL                           \
	}
#define RIG_TEST(name) RIG_TEST_SPLIT(name), RIG_TEST_PACKED(name)

#endif
