/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues, driver side: split and packed rings behind one interface.
 *
 * Theory of operation
 *
 * The caller owns the memory: one run of bytes, zeroed, laid out as
 * vq_layout() says, with an address here and an I/O virtual address for the
 * device. Buffers are named by I/O virtual address and a cookie. Fill many,
 * publish once:
 *
 *   vq_driver_add(drv, sg, n_readable, n_writable, cookie);   ...
 *   if (vq_driver_publish(drv))
 *           kick
 *   n = vq_driver_get(drv, used, max);      cookie and length of each
 *
 * The device is not trusted: an id that is out of range or not in flight, or a
 * length beyond what was posted, breaks the queue (-EPROTO, sticky).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VQ_VQ_DRIVER_H
#define VQ_VQ_DRIVER_H

#include "base/util.h"
#include "vq/vq.h"

/* Descriptors that one indirect table holds. */
#define VQ_DRIVER_INDIRECT_MAX 32

struct vq_driver;

/**
 * struct vq_layout - where the parts of a ring are in its memory, bytes
 *
 * @indirect: tables for indirect descriptors, @num of them; only when the
 *            features have INDIRECT_DESC
 */
struct vq_layout {
	uint64_t desc_area;
	uint64_t driver_area;
	uint64_t device_area;
	uint64_t indirect;
	uint64_t size_bytes;
};
void vq_layout(uint16_t num, uint64_t features, struct vq_layout *ret);

struct vq_sg {
	uint64_t iova;
	uint32_t len;
};

struct vq_used {
	void *cookie;
	uint32_t written;
};

/**
 * vq_driver_new() - the driver side of one ring
 * @num: ring size, power of two for split rings
 * @features: RING_PACKED, INDIRECT_DESC, EVENT_IDX and IN_ORDER matter
 * @va: the ring's memory here, vq_layout() bytes, zeroed, 4096-aligned
 * @iova: the same for the device
 * @ret: written on success
 *
 * Return: 0; -EINVAL; -ENOMEM
 */
int vq_driver_new(uint16_t num, uint64_t features, void *va, uint64_t iova,
		  struct vq_driver **ret);
struct vq_driver *vq_driver_free(struct vq_driver *drv);

/**
 * vq_driver_add() - make one buffer available (not visible before publish)
 * @sg: n_readable device-readable pieces, then n_writable writable ones
 * @cookie: given back by vq_driver_get(), not NULL
 *
 * Return: 0; -ENOSPC no room now; -EINVAL no pieces, or more than fit at all;
 *         -EPROTO broken
 */
int vq_driver_add(struct vq_driver *drv, const struct vq_sg *sg,
		  unsigned int n_readable, unsigned int n_writable,
		  void *cookie);

/* Return: true when the device wants a kick. */
bool vq_driver_publish(struct vq_driver *drv);

/**
 * vq_driver_get() - take used buffers
 *
 * Return: how many (0: none); -EPROTO the device broke the rules
 */
int vq_driver_get(struct vq_driver *drv, struct vq_used *ret_used,
		  unsigned int max);

void vq_driver_disable_call(struct vq_driver *drv);
/* Return: true when used buffers are there already. */
bool vq_driver_enable_call(struct vq_driver *drv);

/* Would vq_driver_get() have something, or a breach, to tell? */
bool vq_driver_has_used(struct vq_driver *drv);

/* Free descriptors. */
unsigned int vq_driver_n_free(const struct vq_driver *drv);
/* Buffers added and not got back. */
unsigned int vq_driver_n_in_flight(const struct vq_driver *drv);
/*
 * Takes back every buffer after a reset, one a call, in any order. The ring is
 * of no use afterwards: free it. Return: the cookie; NULL: none is left.
 */
void *vq_driver_detach(struct vq_driver *drv);

#endif
