/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tiny virtio driver's side of a virtqueue, split or packed.
 *
 * Theory of operation
 *
 * Written from virtio 1.2, "Split Virtqueues" and "Packed Virtqueues", without
 * a look at vdpakit's own: two readings of one text seldom err alike. It is
 * slow and plain: one buffer at a time is made available, every kick is sent
 * unless a test asks what the device wants, and the memory of the ring is open
 * to tests that want to spoil it.
 *
 * Memory of a ring is one block of RING_BYTES, the same offsets for both
 * formats: descriptors at 0, driver area at RING_DRIVER, device area at
 * RING_DEVICE, and a table of RING_INDIRECT_MAX indirect descriptors for each
 * head from RING_TABLES on.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_RING_H
#define CONFORMANCE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#define RING_NUM_MAX	  256
#define RING_DRIVER	  0x2000
#define RING_DEVICE	  0x4000
#define RING_TABLES	  0x8000
#define RING_INDIRECT_MAX 8
#define RING_BYTES	  0x10000

#define PACKED_AVAIL (1U << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED  (1U << VRING_PACKED_DESC_F_USED)

/* One piece of a buffer. */
struct ring_piece {
	uint64_t iova;
	uint32_t len;
	bool is_writable; /* for the device */
};

struct ring {
	bool is_packed;
	bool has_event_idx;
	uint16_t num;
	char *va;
	uint64_t iova;

	/* split: next available and next used index; packed: slots */
	uint16_t avail_idx;
	uint16_t used_idx;
	bool avail_wrap; /* packed */
	bool used_wrap; /* packed */
	uint16_t kicked_idx; /* available index at the last kick */
	bool kicked_wrap;

	/* split: free descriptors; packed: free buffer ids */
	uint16_t free_ids[RING_NUM_MAX];
	uint16_t n_free;
	uint16_t n_free_slots; /* packed */
	/* of a chain that is out, by its head or id */
	uint16_t n_descs[RING_NUM_MAX];
	uint16_t next[RING_NUM_MAX]; /* split: private copy of the links */
};

/* @num: a power of two for split rings. @va, @iova: RING_BYTES of memory. */
void ring_init(struct ring *r, bool is_packed, uint16_t num, char *va,
	       uint64_t iova);
/* Goes on where the device says it is: a VRING_BASE. Nothing may be out. */
void ring_set_base(struct ring *r, uint32_t base);
/* What GET_VRING_BASE must say when all that was available is consumed. */
uint32_t ring_base(const struct ring *r);
uint32_t ring_initial_base(const struct ring *r);

struct vring_desc *ring_split_descs(struct ring *r);
struct vring_packed_desc *ring_packed_descs(struct ring *r);
struct vring_avail *ring_avail(struct ring *r);
struct vring_used *ring_used(struct ring *r);
struct vring_packed_desc_event *ring_driver_event(struct ring *r);
struct vring_packed_desc_event *ring_device_event(struct ring *r);
/* The indirect table of a head, and where the device finds it. */
struct vring_desc *ring_table(struct ring *r, uint16_t head);
uint64_t ring_table_iova(const struct ring *r, uint16_t head);

/**
 * ring_add() - make one buffer available
 * @r: the ring
 * @pieces: readable ones first, as the specification wants it, or not
 * @n: 1..RING_INDIRECT_MAX with @is_indirect, else up to the ring's size
 * @is_indirect: through an indirect table
 *
 * Return: its head or id; -1 the ring is full
 */
int ring_add(struct ring *r, const struct ring_piece *pieces, unsigned int n,
	     bool is_indirect);
/* Makes a split ring's head available as it is: a test wrote the descriptors.
 */
void ring_split_push(struct ring *r, uint16_t head);

/* Takes one used buffer. Return: whether there was one. */
bool ring_pop(struct ring *r, uint16_t *ret_id, uint32_t *ret_len);
/* Asks for an interrupt at the next used buffer, or for none. */
void ring_arm(struct ring *r);
void ring_disarm(struct ring *r);
/* Does the device want to be told of what was added since the last kick? */
bool ring_wants_kick(struct ring *r);

#endif
