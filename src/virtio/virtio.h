/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices as their drivers in this process see them.
 *
 * Theory of operation
 *
 *   driver (blk, net)   virtio_start(), virtio_find_vqs(), virtio_ready()
 *         |
 *   struct virtio_device: status, features, config space, queues, memory
 *         |  struct virtio_config_ops
 *   transport (busdrv/virtio_vdpa): of a vDPA device
 *
 * as in the kernel, whose names these are (include/linux/virtio_config.h).
 *
 * Control runs on the bus's control thread and, where the device may keep its
 * callers waiting, in a turn of it (bus/bus.h): all of this header does unless
 * it says otherwise. Queues (virtio/virtqueue.h) are their owners' afterwards.
 *
 * The device is not trusted. What it says is read once, checked, and kept; what
 * makes no sense is refused with -EPROTO (HOSTILE.md, H80 to H84).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H

#include "base/util.h"
#include "loop/loop.h"
#include "mem/region.h"

struct virtio_device;
struct virtqueue;
struct dma_space;

/* Queues that a driver may want of one device. */
#define VIRTIO_VQS_MAX 1024

/**
 * struct virtio_config_ops - what a transport does
 *
 * @get, @set: bytes of the config space; the range was checked
 * @get_config_size: bytes
 * @generation: changes whenever fields of it change together
 * @get_status, @reset: the latter returns when the device is quiet: 0 or -errno
 * @set_status: a device may refuse by keeping the old status
 * @get_features: what the device offers
 * @finalize_features: what the driver accepts. Return: 0 or -errno
 * @find_vqs: make the rings of @n queues known to the device: struct virtqueue
 *            has index, size and addresses; in the order of ABI.md, part 4.
 *            What fails leaves none of them ready
 * @del_vqs: not ready any more
 * @get_vq_num_max, @get_vq_num_min: ring sizes
 * @get_n_vqs: queues that there are
 * @wake: have virtio_config_changed() called soon. Any thread
 * @put: no driver has it any more: nothing is mapped, and one that is gone may
 *       be freed
 * @map, @unmap: memory at an I/O virtual address, in every address space. Return:
 *               0; -EOPNOTSUPP the device cannot reach such memory
 * @get_iova_range: where such addresses may be, inclusive
 */
struct virtio_config_ops {
	void (*get)(struct virtio_device *vdev, uint32_t offset, void *buf,
		    uint32_t len);
	void (*set)(struct virtio_device *vdev, uint32_t offset,
		    const void *buf, uint32_t len);
	uint32_t (*get_config_size)(struct virtio_device *vdev);
	uint32_t (*generation)(struct virtio_device *vdev);
	uint8_t (*get_status)(struct virtio_device *vdev);
	void (*set_status)(struct virtio_device *vdev, uint8_t status);
	int (*reset)(struct virtio_device *vdev);
	uint64_t (*get_features)(struct virtio_device *vdev);
	int (*finalize_features)(struct virtio_device *vdev, uint64_t features);
	int (*find_vqs)(struct virtio_device *vdev,
			struct virtqueue *const *vqs, unsigned int n);
	void (*del_vqs)(struct virtio_device *vdev);
	uint16_t (*get_vq_num_max)(struct virtio_device *vdev, uint16_t idx);
	uint16_t (*get_vq_num_min)(struct virtio_device *vdev);
	uint32_t (*get_n_vqs)(struct virtio_device *vdev);
	void (*wake)(struct virtio_device *vdev);
	void (*put)(struct virtio_device *vdev);
	int (*map)(struct virtio_device *vdev, uint64_t iova,
		   struct region *region);
	int (*unmap)(struct virtio_device *vdev, uint64_t iova,
		     uint64_t size_bytes);
	void (*get_iova_range)(struct virtio_device *vdev, uint64_t *ret_first,
			       uint64_t *ret_last);
};

/**
 * struct virtio_device - one device; embedded in its transport
 *
 * @config_changed: of the driver: the config space changed, or the device needs
 *                  a reset, or is gone; control thread
 */
struct virtio_device {
	/* set by the transport */
	const char *name;
	const struct virtio_config_ops *config;
	uint32_t device_id;
	uint32_t vendor_id;
	struct loop *control; /* the loop that it is controlled on */
	bool has_peer; /* an untrusted process has the queues' eventfds */

	/* control only */
	uint64_t features; /* negotiated */
	uint32_t config_size; /* as of virtio_start() */
	struct virtqueue **vqs;
	unsigned int n_vqs;
	struct dma_space *dma;
	void (*config_changed)(void *priv);
	void *driver_priv;
	bool is_taken; /* a driver has it */
	void *opener; /* of who opened it for a program */

	/* any thread, atomic */
	uint32_t is_broken; /* needs a reset: queues say -EIO */
	uint32_t is_gone; /* queues say -ENODEV */
};

/**
 * virtio_take() - have a device for oneself
 * @config_changed, @priv: see struct virtio_device; may be NULL
 *
 * Return: 0; -EBUSY another driver has it; -ENODEV it is gone
 */
int virtio_take(struct virtio_device *vdev, void (*config_changed)(void *priv),
		void *priv);
/* Ends that, after virtio_stop(), virtio_del_vqs() and dma_space_free(): it may
 * be freed. */
void virtio_put(struct virtio_device *vdev);

/**
 * virtio_start() - reset to FEATURES_OK
 * @vdev: a driver's
 * @wanted: features that it can use, besides those of rings; of these IN_ORDER,
 *          which makes software slower
 * @no_packed: no packed rings
 *
 * Afterwards vdev->features holds what is in force. Config space may be read.
 *
 * Return: 0; -EOPNOTSUPP it lacks VIRTIO_F_VERSION_1; -EPROTO it does not take
 *         status or features; -ENODEV; -errno of its reset
 * Source: virtio 1.2, "Device Initialization"
 */
int virtio_start(struct virtio_device *vdev, uint64_t wanted, bool no_packed);

/**
 * struct virtio_vq_want - one queue of virtio_find_vqs()
 *
 * @idx: of the queue
 * @num_max: entries at most, a power of two; less where the device has less
 * @extra_bytes: memory for the driver's own use beside the ring, for what it
 *               writes and the device reads: in one mapping with it
 * @poll_us: virtqueue_wait() looks for so long before it sleeps
 */
struct virtio_vq_want {
	uint16_t idx;
	uint16_t num_max;
	uint32_t extra_bytes;
	unsigned int poll_us;
};

/**
 * virtio_find_vqs() - make queues
 * @vdev: after virtio_start()
 * @want, @n: which; indexes below those of the device and rising
 *
 * A queue that there is already keeps its struct and its owner, with a new,
 * empty ring: after a reset. Rings shrink when the device has no addresses for
 * larger ones (-ENOSPC). vdev->dma is there already: rings are in its memory.
 *
 * Return: 0, and vdev->vqs[0..n-1]; -EPROTO the device's sizes make no sense;
 *         -ENOENT it has no such queue; -ENOMEM
 */
int virtio_find_vqs(struct virtio_device *vdev,
		    const struct virtio_vq_want *want, unsigned int n);

/* DRIVER_OK. Return: 0; -EPROTO the device does not take it */
int virtio_ready(struct virtio_device *vdev);

/* Resets it; its queues end: what is under way in them is given back by
 * virtqueue_detach(). Return: 0; -errno of the reset */
int virtio_stop(struct virtio_device *vdev);

/* Frees the queues; after virtio_stop(). */
void virtio_del_vqs(struct virtio_device *vdev);

/**
 * virtio_cread() - read config space, a whole structure at a time
 * @offset, @buf, @len: what lies beyond its end reads as zeroes
 *
 * Read again while its generation changes, so that its fields fit together.
 * Return: 0; -EPROTO it never stops changing; -ENODEV
 */
int virtio_cread(struct virtio_device *vdev, uint32_t offset, void *buf,
		 uint32_t len);
/* Return: 0; -EPROTO beyond its end; -ENODEV */
int virtio_cwrite(struct virtio_device *vdev, uint32_t offset, const void *buf,
		  uint32_t len);

static inline bool virtio_has_feature(const struct virtio_device *vdev,
				      unsigned int bit)
{
	return has_bit(vdev->features, bit);
}

/* From now on its queues say -EIO; control wakes who waits for them, and says
 * config_changed(). Any thread. */
void virtio_break(struct virtio_device *vdev);
/* The same with -ENODEV, for good. By the transport; control thread. */
void virtio_gone(struct virtio_device *vdev);
/* By the transport, when the device says that its config has changed: looks at
 * DEVICE_NEEDS_RESET, too. Control thread. */
void virtio_config_changed(struct virtio_device *vdev);

#endif
