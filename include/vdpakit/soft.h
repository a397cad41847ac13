/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Write a device in software.
 *
 * Theory of operation
 *
 * A class says what a device is and does: virtio ids, features, config space,
 * and submit(), which is given requests in bursts. All else (status, features,
 * virtqueues of both formats, address spaces, resets, suspending, moving to
 * another machine) is the library's.
 *
 *   vdpakit_device_new(kit, "d0", &class, priv, &dev);
 *   ... a driver makes buffers available ...
 *   class.submit(dev, queue, reqs, n)         on the queue's thread
 *           vdpakit_request_read(), ..._write(), or its memory itself
 *           vdpakit_request_complete(req, written)   now, or later
 *
 * A request is one chain of buffers: memory of the driver's that the device may
 * read, and memory that it may write. It is the device's until it is completed.
 * The driver may change that memory at any time, against the rules: read once
 * what decides something, then use the copy.
 *
 * Threads: a queue has a thread of the library's, on which submit() and
 * cancel() run, one at a time. vdpakit_request_complete(), _config_changed()
 * and _wake() may be called by any thread, callbacks included.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDPAKIT_SOFT_H
#define VDPAKIT_SOFT_H

#include <sys/uio.h>

#include <vdpakit/kit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdpakit_device;
struct vdpakit_request;

/* Requests that one submit() is given at most. */
#define VDPAKIT_BURST_MAX 32
/* Most queues, bytes of config space, and bytes beside a request. */
#define VDPAKIT_DEVICE_QUEUES_MAX  1024
#define VDPAKIT_DEVICE_CONFIG_MAX  4096
#define VDPAKIT_DEVICE_REQUEST_MAX 2048

/**
 * struct vdpakit_device_class - what a device is and does
 *
 * @size: sizeof(struct vdpakit_device_class)
 * @device_id, @vendor_id: of virtio
 * @features: offered beside those of rings, which are the library's: bits 0 to
 *            23 and from 50 on
 * @n_queues: > 0
 * @queue_size: largest ring, a power of two; 0: 256
 * @config_bytes: of the config space
 * @poll_us: a queue's thread looks for requests in vain for up to so long before
 *           it sleeps; adapts to the load
 * @request_bytes: of the device's own memory beside each request; what is in it
 *                 when a request comes is undefined
 * @submit: do what these requests ask for, and complete each, before returning
 *          or later. Those whose memory is not all mapped are not shown: they
 *          go back with nothing written. Thread of the queue
 * @get_config: bytes of the config space; optional without it. The range was
 *              checked. Thread of queue 0
 * @set_config: optional: the driver writes; else it may not
 * @cancel: optional: the queue is stopping and waits for what the device has:
 *          complete it soon, undone if need be. Thread of the queue
 * @budget: optional: how many requests may be taken from the queue now; 0:
 *          none, until vdpakit_device_wake(). Thread of the queue
 * @is_passive: optional: this queue only holds buffers for what arrives:
 *              submit() gets none of it, vdpakit_device_fetch() does. Asked
 *              when the queue starts
 * @leader: optional: the first queue that has the same thread as this one
 *          (itself, when it is the first), so that one may fetch from another;
 *          without it each queue is its own
 * @reset: optional: what the driver had set is gone, the queues have stopped.
 *         Thread of the bus
 * @free: optional: the device is gone; the last call. Thread of the bus
 */
struct vdpakit_device_class {
	size_t size;
	uint32_t device_id;
	uint32_t vendor_id;
	uint64_t features;
	uint16_t n_queues;
	uint16_t queue_size;
	uint32_t config_bytes;
	uint32_t poll_us;
	size_t request_bytes;
	void (*submit)(struct vdpakit_device *dev, uint16_t queue,
		       struct vdpakit_request *const *reqs, unsigned int n);
	void (*get_config)(struct vdpakit_device *dev, uint32_t offset,
			   void *buf, uint32_t len);
	void (*set_config)(struct vdpakit_device *dev, uint32_t offset,
			   const void *buf, uint32_t len);
	void (*cancel)(struct vdpakit_device *dev, uint16_t queue);
	unsigned int (*budget)(struct vdpakit_device *dev, uint16_t queue);
	bool (*is_passive)(struct vdpakit_device *dev, uint16_t queue);
	uint16_t (*leader)(struct vdpakit_device *dev, uint16_t queue);
	void (*reset)(struct vdpakit_device *dev);
	void (*free)(struct vdpakit_device *dev);
};

/**
 * vdpakit_device_new() - put a device on a bus
 * @kit: bus; vdpakit_dev_del() deletes the device, as does vdpakit_free()
 * @name: of the device
 * @device_class: copied
 * @priv: see vdpakit_device_priv()
 * @ret: borrowed until the class's free(); NULL: not wanted
 *
 * Return: 0; -EINVAL a class that makes no sense; -ERANGE beyond a limit;
 *         -EEXIST; -ENOMEM; -EDEADLK
 */
VDPAKIT_API int
vdpakit_device_new(struct vdpakit *kit, const char *name,
		   const struct vdpakit_device_class *device_class, void *priv,
		   struct vdpakit_device **ret);

VDPAKIT_API void *vdpakit_device_priv(const struct vdpakit_device *dev);
/* Features that the driver has accepted; fixed while queues run. */
VDPAKIT_API uint64_t vdpakit_device_features(const struct vdpakit_device *dev);
/* The config space has changed: the driver is told, soon. */
VDPAKIT_API void vdpakit_device_config_changed(struct vdpakit_device *dev);
/* Look at the queue again, soon: budget() has more. Return: 0; -EINVAL there is
 * no such queue */
VDPAKIT_API int vdpakit_device_wake(struct vdpakit_device *dev, uint16_t queue);
/* Calls that were refused on the data path, where there is no sentence. */
VDPAKIT_API uint64_t vdpakit_device_n_misuses(const struct vdpakit_device *dev);

/**
 * vdpakit_device_fetch() - take requests of another queue of the same thread
 * @ret: at most @max, VDPAKIT_BURST_MAX
 *
 * Return: how many, 0: none; -EINVAL there is no such queue, or @max; -EPERM
 *         this is not the queue's thread
 */
VDPAKIT_API int vdpakit_device_fetch(struct vdpakit_device *dev, uint16_t queue,
				     struct vdpakit_request **ret,
				     unsigned int max);

/* ---- requests ---- */

VDPAKIT_API struct vdpakit_device *
vdpakit_request_device(const struct vdpakit_request *req);
VDPAKIT_API uint16_t vdpakit_request_queue(const struct vdpakit_request *req);
/* request_bytes of memory of the device's own, until it is completed. */
VDPAKIT_API void *vdpakit_request_data(struct vdpakit_request *req);

/* The memory of the driver's, and how many pieces and bytes of it there are. */
VDPAKIT_API const struct iovec *
vdpakit_request_readable(const struct vdpakit_request *req,
			 unsigned int *ret_n);
VDPAKIT_API const struct iovec *
vdpakit_request_writable(const struct vdpakit_request *req,
			 unsigned int *ret_n);
VDPAKIT_API uint32_t
vdpakit_request_readable_bytes(const struct vdpakit_request *req);
VDPAKIT_API uint32_t
vdpakit_request_writable_bytes(const struct vdpakit_request *req);

/*
 * Copies: offsets count from the first byte that may be read, or written.
 * Return: 0; -EFAULT beyond the end, nothing was copied.
 */
VDPAKIT_API int vdpakit_request_read(const struct vdpakit_request *req,
				     uint32_t offset, void *buf, uint32_t len);
VDPAKIT_API int vdpakit_request_write(struct vdpakit_request *req,
				      uint32_t offset, const void *buf,
				      uint32_t len);
/* What may be read of one to where may be written of another, or of itself. */
VDPAKIT_API int vdpakit_request_copy(struct vdpakit_request *to,
				     uint32_t to_offset,
				     const struct vdpakit_request *from,
				     uint32_t from_offset, uint32_t len);

/**
 * vdpakit_request_complete() - done with it
 * @req: not to be touched afterwards
 * @written: bytes written, from the first one on
 *
 * Return: 0; -EALREADY it was completed, or never was a request (as far as can
 *         be known); -EINVAL @written is more than may be written: that was
 *         taken for it. Both are counted
 * Context: any thread
 */
VDPAKIT_API int vdpakit_request_complete(struct vdpakit_request *req,
					 uint32_t written);

#ifdef __cplusplus
}
#endif

#endif
