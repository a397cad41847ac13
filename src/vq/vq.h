/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues, device side: split and packed rings behind one interface.
 *
 * Theory of operation
 *
 * A vq belongs to one worker. Set up while the queue is stopped (vq_start()),
 * it then gives out bursts of chains, takes them back in any order, and
 * publishes what was completed with one release store:
 *
 *   n = vq_fetch(vq, chains, 32);        descriptors copied once, checked,
 *   ... work on chains[i]->iov ...       translated to pointers of ours
 *   vq_complete(vq, chains[i], written);
 *   if (vq_publish(vq))                  one index store, one decision
 *           signal the call
 *
 * Everything in the ring is hostile. A chain that breaks the ring's rules
 * (loops, heads out of range or twice in flight, nested indirect tables, ...)
 * breaks the queue: sticky, empty from then on, until vq_stop(). A buffer that
 * is merely not mapped, or not with the permission it needs, fails that chain
 * only: it is given out with is_faulty set and a NULL iov_base where the hole
 * is. Ring memory that is not mapped (yet) is -EAGAIN.
 *
 * Rings and buffers may be in any kind of region and cross regions at any
 * byte. Where ring memory is one plain run of bytes of this process it is used
 * in place; otherwise each access goes through mem_read() and mem_write().
 * Buffers that have no address here are copied: readable bytes in at fetch,
 * written bytes out at completion, through memory of the slot.
 *
 * Where memory is mapped on demand (a driver behind an I/O MMU), a hole is not
 * the driver's fault: with vq_setup.has_misses fetching stops before it, and
 * vq_get_miss() tells which address is wanted.
 *
 * Address spaces are snapshots: vq_set_snap() hands in a newer one between
 * bursts; chains that are in flight keep the one they were translated with.
 * A device that may hold chains for as long as it likes (buffers for what may
 * never come) cannot keep a client's old memory for that long: with
 * vq_setup.keeps_iovas nothing is translated, the pieces of a chain are the
 * driver's descriptors, and the device copies with mem_read() and mem_write()
 * by the snapshot that is the newest at that moment.
 *
 * What a queue has taken and not given back can be kept in memory that outlives
 * this process (vq_setup.inflight): the next one to start on it does again what
 * was not published, first and in the old order, and nothing else.
 *
 * While a guest is moved to another machine, vq_set_log() has every byte marked
 * that is written, the device's (from the pieces of a chain, when it is
 * completed) and the queue's own in the ring (when it publishes).
 *
 * Slots are indexed by head (split) or buffer id (packed) and sized when the
 * vq is made; between vq_start() and vq_stop() nothing is allocated, but for
 * copies of buffers in foreign memory, which grow to the largest seen.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VQ_VQ_H
#define VQ_VQ_H

#include <sys/uio.h>

#include "base/util.h"
#include "mem/iotlb.h"
#include "mem/mem_log.h"

/* Largest ring of the specification. */
#define VQ_NUM_MAX 32768
/* Most chains that one call gives out. */
#define VQ_BURST_MAX 64
/* Bytes of one chain that may be copied because they are in foreign memory. */
#define VQ_BOUNCE_MAX (64U << 20)
/* Bytes of all copies that one queue holds; fetching waits above it. */
#define VQ_BOUNCE_HELD_MAX (4U * VQ_BOUNCE_MAX)

struct vq;

/**
 * struct vq_state - where a stopped queue will go on
 *
 * Split: avail_idx. Packed: both, with their wrap counters.
 * Source: kernel include/linux/vdpa.h, struct vdpa_vq_state
 */
struct vq_state {
	uint16_t avail_idx;
	uint16_t used_idx; /* packed only */
	bool avail_wrap; /* packed only */
	bool used_wrap; /* packed only */
};

/**
 * struct vq_setup - everything that the driver chose for a queue
 *
 * @num: ring size; split: a power of two
 * @features: negotiated virtio features; of these matter RING_PACKED,
 *            INDIRECT_DESC, EVENT_IDX and IN_ORDER
 * @desc_area, @driver_area, @device_area: I/O virtual addresses
 * @state: where to begin
 * @has_misses: memory is mapped on demand, see vq_get_miss()
 * @keeps_iovas: chains are not translated, see vq_piece_iova()
 * @inflight: where the queue notes what is in flight; referenced; own or mapped
 *            memory, writable; NULL: nowhere. Somebody who finds used buffers
 *            there cannot know whether the driver was told: let him call once
 * @inflight_offset: its first byte in the region, 8-aligned
 * @inflight_bytes: at least vq_inflight_bytes(); all zeroes when it is new
 *
 * A log that is not new says where the ring goes on; @state does not matter
 * then. It is looked at by the first vq_fetch() that finds the ring mapped.
 */
struct vq_setup {
	uint16_t num;
	uint64_t features;
	uint64_t desc_area;
	uint64_t driver_area;
	uint64_t device_area;
	struct vq_state state;
	bool has_misses;
	bool keeps_iovas;
	struct region *inflight;
	uint64_t inflight_offset;
	uint64_t inflight_bytes;
};

/**
 * struct vq_log - where a queue notes what it writes
 *
 * @log: the pages; memory is found by its table of addresses
 * @used_gpa: split rings: the guest-physical address that stands for the used
 *            ring, which may lie in no memory; UINT64_MAX: by the table
 */
struct vq_log {
	struct mem_log *log;
	uint64_t used_gpa;
};

/**
 * struct vq_chain - one buffer that the driver made available
 *
 * @iov: n_readable device-readable pieces, then n_writable device-writable
 *       ones; empty pieces are left out; iov_base is NULL where nothing is
 *       mapped. The device leaves them as they are: the dirty log looks at
 *       them again when the chain is completed
 * @head: its slot: split: head descriptor, packed: buffer id
 * @n_descs: ring slots that it takes (packed: what the used index moves by)
 * @is_faulty: a piece is not mapped (never with has_misses or keeps_iovas)
 * @tail_bytes: set by the device before vq_complete() when the last bytes of
 *              @written are not a prefix: that many stand at the very end of
 *              the writable part (the status byte of a failed request)
 */
struct vq_chain {
	struct iovec *iov;
	uint16_t n_readable;
	uint16_t n_writable;
	uint16_t head;
	uint16_t n_descs;
	uint32_t readable_bytes;
	uint32_t writable_bytes;
	bool is_faulty;
	uint32_t tail_bytes;
};

/* Why a queue is broken; 0 is "it is not". */
enum vq_break {
	VQ_OK,
	VQ_BREAK_HEAD, /* head or id out of range */
	VQ_BREAK_IN_FLIGHT, /* head given twice */
	VQ_BREAK_NEXT, /* next out of range */
	VQ_BREAK_LOOP, /* chain longer than allowed */
	VQ_BREAK_ORDER, /* readable after writable */
	VQ_BREAK_INDIRECT, /* table nested, oddly sized, or not negotiated */
	VQ_BREAK_INDIRECT_MEM, /* table not mapped */
	VQ_BREAK_AVAIL, /* available index moved by more than the size */
	VQ_BREAK_LENGTH, /* chain of 4 GiB or more, or wraps 2^64 */
	VQ_BREAK_TOO_BIG, /* more pieces or copied bytes than we hold */
	VQ_BREAK_INFLIGHT, /* the inflight log contradicts itself or the ring */
	VQ_BREAK_N,
};
const char *vq_break_name(enum vq_break why);

/* Written by the owner worker, read by any thread with relaxed loads. */
struct vq_counters {
	uint64_t n_chains;
	uint64_t n_completed; /* and published */
	uint64_t n_calls; /* vq_publish() said yes */
	uint64_t n_calls_saved; /* something published, no call wanted */
	uint64_t n_faults; /* chains with a hole */
	uint64_t n_breaks;
	uint64_t n_stalls; /* vq_publish() found the ring not mapped */
	uint64_t n_misses; /* fetches that ended before a hole */
	uint64_t n_again; /* chains that the inflight log had at the start */
};

/**
 * vq_new() - a queue, stopped
 * @num_max: largest ring that it will be started with, 1..VQ_NUM_MAX
 * @slot_bytes: memory of the device's own for each slot, see vq_slot()
 * @ret: written on success
 *
 * Return: 0; -EINVAL; -ENOMEM
 */
int vq_new(uint16_t num_max, size_t slot_bytes, struct vq **ret);
struct vq *vq_free(struct vq *vq);

/**
 * vq_start() - take over a ring
 * @vq: stopped
 * @setup: copied
 * @snap: the address space; referenced
 *
 * Nothing in the ring is read yet: it may be mapped later.
 * Split: the used index starts equal to the available index, as everything
 * before it was completed when the state was saved.
 *
 * Return: 0; -EINVAL num is 0, above num_max, or (split) no power of two, or
 *         (packed) an index of the state is not below num, or the memory of the
 *         inflight log is too small, not aligned or not writable; -ENOMEM
 */
int vq_start(struct vq *vq, const struct vq_setup *setup,
	     struct iotlb_snap *snap);

/**
 * vq_stop() - let go of the ring
 * @vq: chains in flight are forgotten: their memory is not touched again,
 *      nothing is published
 *
 * Drain first (vq_n_in_flight() == 0) when nothing may be lost.
 */
void vq_stop(struct vq *vq);
bool vq_is_started(const struct vq *vq);

/* Bytes of inflight log that a queue needs; those of a device stand one after
 * the other. Source: QEMU docs/interop/vhost-user.rst */
size_t vq_inflight_bytes(uint16_t num, bool is_packed);

/*
 * The state to go on from: as if what was fetched and not published had not
 * been fetched. With nothing in flight that is exact; otherwise only if what
 * was published was published in the order of the ring. Valid when started or
 * stopped.
 */
void vq_get_state(const struct vq *vq, struct vq_state *ret);

/* A newer address space, taken from the next fetch on. Referenced. */
void vq_set_snap(struct vq *vq, struct iotlb_snap *snap);
/**
 * vq_set_log() - note what is written from now on
 * @log: copied, and what it points to referenced; NULL: no more
 *
 * Stays until it is set anew or the queue is freed, also while the queue is
 * stopped. Bytes are marked after they were written. What is in memory that has
 * no address here is not marked.
 *
 * Context: owner worker, between bursts
 */
void vq_set_log(struct vq *vq, const struct vq_log *log);

/* Is a chain in flight that was translated with an older one? */
bool vq_has_old_chains(const struct vq *vq);

/**
 * vq_fetch() - take available chains
 * @vq: started; caller is its owner
 * @ret_chains: filled; each borrowed until vq_complete() or vq_unfetch()
 * @max: 1..VQ_BURST_MAX
 *
 * Return: chains (0: none available, or vq_is_starved());
 *         -EAGAIN ring memory is not mapped (yet), or vq_get_miss();
 *         -EPROTO broken (sticky)
 * Context: owner worker; no allocation, never blocks
 * Source: virtio 1.2, "Split Virtqueues", "Packed Virtqueues"
 */
int vq_fetch(struct vq *vq, struct vq_chain **ret_chains, unsigned int max);

/**
 * vq_get_miss() - what did the last vq_fetch() wait for?
 * @ret_iova: the first byte that is not mapped, or not with the permission
 * @ret_perm: enum mem_perm, what is needed there
 *
 * Only with vq_setup.has_misses: a buffer, an indirect table or the ring has a
 * hole, and the chain stays where it is. Until there is a newer address space
 * vq_enable_kick() and vq_has_available() say false: fetch again when there is.
 *
 * Return: is something wanted?
 */
bool vq_get_miss(const struct vq *vq, uint64_t *ret_iova, uint32_t *ret_perm);

/**
 * vq_unfetch() - give back the newest @n chains of vq_fetch(), untouched
 *
 * They are fetched again, anew translated, by the next call.
 */
void vq_unfetch(struct vq *vq, unsigned int n);

/**
 * vq_forgive() - take back what the last vq_fetch() found to be broken
 *
 * For a caller that learns after the fetch that its map was out of date: the
 * same chain is looked at again by the next call.
 */
void vq_forgive(struct vq *vq);

/**
 * vq_complete() - done with a chain
 * @vq: caller is its owner
 * @chain: of vq_fetch(); not to be touched afterwards
 * @written: bytes written, counted from the first writable byte, exactly
 *           (but see tail_bytes); at most writable_bytes
 *
 * With IN_ORDER, completions wait here for older ones.
 */
void vq_complete(struct vq *vq, struct vq_chain *chain, uint32_t written);

/**
 * vq_complete_all() - the same for many
 * @chains: in the order in which they shall be used
 * @written: of each; NULL: nothing in any
 */
void vq_complete_all(struct vq *vq, struct vq_chain *const *chains,
		     const uint32_t *written, unsigned int n);

/**
 * vq_publish() - show the driver what was completed since the last time
 *
 * Return: true when the driver wants a call; false also when the ring cannot
 *         be written now, see vq_is_stalled() and vq_get_miss()
 */
bool vq_publish(struct vq *vq);

/* Is something completed and not published: was vq_publish() not called yet, or
 * could it not write the ring? */
bool vq_is_stalled(const struct vq *vq);

/* Ask the driver not to kick; may be ignored. */
void vq_disable_kick(struct vq *vq);
/* Ask for kicks again. Return: true when chains are available already. */
bool vq_enable_kick(struct vq *vq);

/* Are chains available, as far as one look tells? */
bool vq_has_available(struct vq *vq);

/*
 * Did the last fetch leave chains behind because the memory for large or
 * copied ones is out? No kick announces them: fetch again once something in
 * flight was completed. Until then vq_enable_kick() and vq_has_available() say
 * false.
 */
bool vq_is_starved(const struct vq *vq);

/* Fetched and not completed (in-order: and not published). */
unsigned int vq_n_in_flight(const struct vq *vq);
enum vq_break vq_broken(const struct vq *vq);
uint16_t vq_num(const struct vq *vq);
uint64_t vq_features(const struct vq *vq);
const struct vq_counters *vq_counters(const struct vq *vq);

/* The device's own memory beside a chain (slot_bytes of it). */
void *vq_slot(struct vq *vq, const struct vq_chain *chain);

/*
 * Of a queue that keeps_iovas: the I/O virtual address of a piece, which is one
 * descriptor (empty ones are left out) and may be mapped or not.
 */
static inline uint64_t vq_piece_iova(const struct iovec *piece)
{
	_Static_assert(sizeof(piece->iov_base) == sizeof(uint64_t), "it fits");
	return (uintptr_t)piece->iov_base;
}
/* Most pieces that a chain of a queue of vq_new(num_max) has. */
unsigned int vq_pieces_max(uint16_t num_max);
/* The newest address space; borrowed until the next vq_set_snap(). */
const struct iotlb_snap *vq_snap(const struct vq *vq);

/*
 * Copying in and out of the pieces of a chain that is translated. @off counts
 * from the first readable, or first writable, byte. Return: 0; -EFAULT beyond
 * the end, or in a piece that is not mapped (as much as could be copied was).
 */
int vq_chain_read(const struct vq_chain *chain, uint32_t off, void *buf,
		  uint32_t len);
int vq_chain_write(struct vq_chain *chain, uint32_t off, const void *buf,
		   uint32_t len);
/* Readable bytes of one chain to writable bytes of another. */
int vq_chain_copy(struct vq_chain *to, uint32_t to_off,
		  const struct vq_chain *from, uint32_t from_off, uint32_t len);
/* Zero bytes. */
int vq_chain_zero(struct vq_chain *chain, uint32_t off, uint32_t len);

#endif
