/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks: the virtio block driver. See client.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDPAKIT_BLK_H
#define VDPAKIT_BLK_H

#include <sys/uio.h>

#include <vdpakit/kit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdpakit_blk;
struct vdpakit_blk_queue;

/**
 * struct vdpakit_blk_options - zero-initialise, then set size
 *
 * @size: sizeof(struct vdpakit_blk_options)
 * @n_queues: 0: as many as the device has
 * @queue_size: requests that may be under way in a queue, a power of two; 0:
 *              what the device likes, at most 256
 * @no_packed: split rings even where the device has packed ones
 * @in_order: requests end in the order in which they were added, where the
 *            device can: a slow one holds up those behind it
 * @poll_us: vdpakit_blk_wait() looks for so long before it sleeps
 * @changed: the capacity has changed, or the device needs a reset: called on
 *           the bus's thread; NULL: nobody listens
 * @priv: its argument
 */
struct vdpakit_blk_options {
	size_t size;
	uint16_t n_queues;
	uint16_t queue_size;
	bool no_packed;
	bool in_order;
	unsigned int poll_us;
	void (*changed)(void *priv);
	void *priv;
};

/**
 * vdpakit_blk_open() - the virtio block driver on a device
 * @kit: bus
 * @name: of one of its devices
 * @options: NULL: all defaults
 * @ret: written on success
 *
 * Return: 0; -ENODEV no such device; -EBUSY somebody uses it; -ENOTBLK it is
 *         no disk; -EPROTO what it says of itself makes no sense; -EOPNOTSUPP
 *         it lacks VIRTIO_F_VERSION_1, or cannot reach this bus's memory;
 *         -ETIMEDOUT; -EDEADLK
 * Source: virtio 1.2, "Device Initialization"
 */
VDPAKIT_API int vdpakit_blk_open(struct vdpakit *kit, const char *name,
				 const struct vdpakit_blk_options *options,
				 struct vdpakit_blk **ret);
/* What is under way is dropped. Takes NULL. */
VDPAKIT_API void vdpakit_blk_close(struct vdpakit_blk *blk);

/**
 * struct vdpakit_blk_info - what the device says of itself, checked
 *
 * Bytes. Limits that it does not name are the largest that it has to take.
 *
 * @block_bytes: data, offsets and lengths are multiples of 512 in any case;
 *               of this they should be
 * @max_request_bytes, @max_segments: of one read or write
 * @max_discard_bytes, @max_write_zeroes_bytes: 0: it cannot
 * @can_flush: else every write is durable when it is done
 * @generation: how many times any of it has changed
 */
struct vdpakit_blk_info {
	uint64_t capacity_bytes;
	uint32_t block_bytes;
	uint32_t physical_block_bytes;
	uint32_t optimal_io_bytes;
	uint32_t max_segments;
	uint64_t max_request_bytes;
	uint64_t max_discard_bytes;
	uint64_t discard_align_bytes;
	uint64_t max_write_zeroes_bytes;
	uint16_t n_queues;
	uint16_t queue_size;
	bool is_read_only;
	bool can_flush;
	bool is_packed;
	bool needs_reset;
	uint64_t features;
	uint32_t generation;
};
/* Any thread; no system call. @size: sizeof(*ret). */
VDPAKIT_API void vdpakit_blk_get_info(const struct vdpakit_blk *blk,
				      struct vdpakit_blk_info *ret,
				      size_t size);

/**
 * vdpakit_blk_reset() - start the device again, after DEVICE_NEEDS_RESET
 * @blk: no thread is in a call on a queue of it
 *
 * What is under way ends with -EIO: it may have been done. Return: 0; -EPROTO
 * the device is another one now; as vdpakit_blk_open()
 */
VDPAKIT_API int vdpakit_blk_reset(struct vdpakit_blk *blk);

/* Return: borrowed until vdpakit_blk_close(); NULL: there is no such queue */
VDPAKIT_API struct vdpakit_blk_queue *
vdpakit_blk_get_queue(struct vdpakit_blk *blk, unsigned int idx);
/* The queue is anybody's who uses it next. Return: 0; -EPERM */
VDPAKIT_API int vdpakit_blk_release(struct vdpakit_blk_queue *q);

enum vdpakit_blk_op {
	VDPAKIT_BLK_READ,
	VDPAKIT_BLK_WRITE,
	VDPAKIT_BLK_FLUSH,
	VDPAKIT_BLK_DISCARD,
	VDPAKIT_BLK_WRITE_ZEROES,
	VDPAKIT_BLK_OP_N
};

/* Write zeroes: blocks may be given back. */
#define VDPAKIT_BLK_UNMAP 1

/**
 * struct vdpakit_blk_req - one request; zero-initialise
 *
 * @op: enum vdpakit_blk_op
 * @flags: VDPAKIT_BLK_*
 * @n_iov: pieces of @iov; 0: @buf
 * @offset_bytes, @len_bytes: multiples of 512
 * @buf: read and write: len_bytes of memory that devices may reach
 * @iov: instead: pieces of it, len_bytes in all; copied
 * @user: given back with the result
 */
struct vdpakit_blk_req {
	uint8_t op;
	uint8_t flags;
	uint16_t n_iov;
	uint64_t offset_bytes;
	uint64_t len_bytes;
	void *buf;
	const struct iovec *iov;
	void *user;
};

/* @result: 0; -EIO; -EOPNOTSUPP the device does not know such requests */
struct vdpakit_blk_done {
	void *user;
	int result;
};

/**
 * vdpakit_blk_add() - prepare requests
 * @q: queue
 * @reqs, @n: in this order
 *
 * Return: how many were taken: fewer than @n, also 0, when the queue is full:
 *         poll first. When the first one cannot be taken: -EINVAL makes no
 *         sense; -ERANGE beyond the end of the disk; -EFAULT the memory is not
 *         known to the bus; -E2BIG larger than max_request_bytes or more
 *         pieces than max_segments; -EROFS; -EOPNOTSUPP the device has no such
 *         requests; -EIO it needs a reset; -ENODEV it is gone; -EPERM another
 *         thread's queue
 */
VDPAKIT_API int vdpakit_blk_add(struct vdpakit_blk_queue *q,
				const struct vdpakit_blk_req *reqs,
				unsigned int n);
/* The device may see what was added. Return: 0; -EIO; -ENODEV; -EPERM */
VDPAKIT_API int vdpakit_blk_submit(struct vdpakit_blk_queue *q);
/* Requests added and not given back. */
VDPAKIT_API unsigned int
vdpakit_blk_n_under_way(const struct vdpakit_blk_queue *q);

/**
 * vdpakit_blk_poll() - what is done by now
 * @ret: at most @max, in any order
 *
 * Return: how many, 0: none; -EIO the device needs a reset, and nothing is left
 *         that was done before; -ENODEV; -EPERM
 */
VDPAKIT_API int vdpakit_blk_poll(struct vdpakit_blk_queue *q,
				 struct vdpakit_blk_done *ret,
				 unsigned int max);

/**
 * vdpakit_blk_wait() - submit, and wait for what is done
 * @min: so many at least, at most @max; more than are under way: those
 * @timeout_ms: -1: for ever
 *
 * Return: how many, fewer than @min when the time is up; as vdpakit_blk_poll();
 *         -EINTR a signal came, and nothing is done
 */
VDPAKIT_API int vdpakit_blk_wait(struct vdpakit_blk_queue *q,
				 struct vdpakit_blk_done *ret, unsigned int min,
				 unsigned int max, int timeout_ms);

/* An eventfd, readable when something is done, or the device is gone, since
 * vdpakit_blk_arm(); borrowed. */
VDPAKIT_API int vdpakit_blk_fd(const struct vdpakit_blk_queue *q);
/* Return: 1 there is something to poll for already; 0: the fd will say so; as
 * vdpakit_blk_poll() */
VDPAKIT_API int vdpakit_blk_arm(struct vdpakit_blk_queue *q);

/*
 * One request, waited for; nothing else is under way in the queue (-EBUSY).
 * Return: 0; as vdpakit_blk_add(), and the request's result
 */
VDPAKIT_API int vdpakit_blk_read(struct vdpakit_blk_queue *q, void *buf,
				 size_t len_bytes, uint64_t offset_bytes);
VDPAKIT_API int vdpakit_blk_write(struct vdpakit_blk_queue *q, const void *buf,
				  size_t len_bytes, uint64_t offset_bytes);
VDPAKIT_API int vdpakit_blk_flush(struct vdpakit_blk_queue *q);

#ifdef __cplusplus
}
#endif

#endif
