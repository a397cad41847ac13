/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Show a device of the bus behind registers: for emulators and VMMs.
 *
 * Theory of operation
 *
 * An emulator has a bus of its own, on which its guest finds devices by
 * addresses. vdpakit_mmio_open() makes of any device of a kit one for such a
 * bus: a window of registers, to which the emulator passes on what the guest
 * reads and writes; the guest's RAM, which the device reaches by itself once it
 * has been mapped; and an interrupt line.
 *
 *   guest:     read/write at base + offset    RAM              interrupt
 *                  |                           |                  ^
 *   emulator:  vdpakit_mmio_read/_write()   vdpakit_mmio_map()   irq()
 *                  |                           |                  |
 *   vdpakit:   ============= registers, memory, the device ============
 *
 * Two layouts: virtio-mmio version 2 (virtio 1.2, "Virtio Over MMIO"), which
 * Linux and others have drivers for; and that of the mdev RFC of 2019 (STATUS
 * at 0x060, callbacks instead of an interrupt).
 *
 * Threads: any thread may call, several at a time, such as those of virtual
 * CPUs; but not vdpakit_mmio_close() with others. QueueNotify, InterruptStatus
 * and InterruptACK are dealt with on the calling thread: no lock is shared with
 * other queues, and at most one system call is made. All else goes to
 * the bus's thread, and the caller waits until it is done, which for Status of
 * a device in another process may last. Callbacks may read and write these
 * three registers; what else they call answers -EDEADLK on the library's
 * threads.
 *
 * A guest's mistakes harm nobody else: they are counted (vdpakit_mmio_info) and
 * have no effect, or the device says DEVICE_NEEDS_RESET. vdpakit_mmio_read()
 * and _write() say -EINVAL only where there is no such register or it is not
 * accessed so; most buses ignore that, as hardware would.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDPAKIT_MMIO_H
#define VDPAKIT_MMIO_H

#include <vdpakit/kit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vdpakit_mmio;

/* Bytes of registers before the config space, in every layout. */
#define VDPAKIT_MMIO_REGISTERS 0x100

enum vdpakit_mmio_layout {
	VDPAKIT_MMIO_VIRTIO, /* virtio-mmio, Version 2 */
	VDPAKIT_MMIO_RFC, /* virtio-mdev, Version 1 */
	VDPAKIT_MMIO_LAYOUT_N
};

/**
 * struct vdpakit_mmio_options - zero-initialise, then set size
 *
 * @size: sizeof(struct vdpakit_mmio_options)
 * @layout: enum vdpakit_mmio_layout
 * @is_edge: how @irq is called. false: when the level of the interrupt line
 *           changes, which is high while InterruptStatus is not 0; the calls
 *           come one at a time, and the last one is right. true: at each event,
 *           with @level true, possibly several at a time; for lines that are
 *           edges, such as KVM's irqfd
 * @irq: the interrupt; called on whichever thread has news: one of the
 *       library's, or one that writes InterruptACK or Status. Not of layout
 *       VDPAKIT_MMIO_RFC, which has none. NULL: the guest polls
 * @priv: its argument
 */
struct vdpakit_mmio_options {
	size_t size;
	uint32_t layout;
	bool is_edge;
	void (*irq)(void *priv, bool level);
	void *priv;
};

/**
 * vdpakit_mmio_open() - show a device behind registers
 * @kit: bus
 * @name: of one of its devices
 * @options: NULL: all defaults
 * @ret: written on success
 *
 * Return: 0; -EINVAL; -ENODEV no such device; -EBUSY somebody uses it;
 *         -EOPNOTSUPP it lacks VIRTIO_F_VERSION_1; -EDEADLK
 */
VDPAKIT_API int vdpakit_mmio_open(struct vdpakit *kit, const char *name,
				  const struct vdpakit_mmio_options *options,
				  struct vdpakit_mmio **ret);
/* Resets the device and unmaps all memory; nothing is called any more when this
 * returns. Takes NULL. */
VDPAKIT_API void vdpakit_mmio_close(struct vdpakit_mmio *m);

/**
 * vdpakit_mmio_read() - the guest reads
 * @offset: in the window, bytes
 * @size: 4 below VDPAKIT_MMIO_REGISTERS, aligned; 1, 2, 4 or 8 from there on
 * @ret_value: always written; 0 on errors
 *
 * Return: 0; -EINVAL no such register, or not for reading, or no such config
 *         space; -ENODEV the device is gone: Status reads DEVICE_NEEDS_RESET
 */
VDPAKIT_API int vdpakit_mmio_read(struct vdpakit_mmio *m, uint64_t offset,
				  unsigned int size, uint64_t *ret_value);

/**
 * vdpakit_mmio_write() - the guest writes
 * @value: its lowest @size bytes count
 *
 * Return: 0, also of what is ignored as the guest's mistake; as
 *         vdpakit_mmio_read(); -EIO and others: what the device said to Status
 */
VDPAKIT_API int vdpakit_mmio_write(struct vdpakit_mmio *m, uint64_t offset,
				   unsigned int size, uint64_t value);

/* What the device may do with memory. */
#define VDPAKIT_MMIO_READ  1U
#define VDPAKIT_MMIO_WRITE 2U

/**
 * struct vdpakit_mmio_memory - a piece of the guest's memory
 *
 * @gpa: where the guest has it
 * @size_bytes: > 0
 * @va: where it is in this process, until it is unmapped; not used with @fd
 * @fd: the file that is shared there, or -1. Needed for devices in other
 *      processes; borrowed
 * @fd_offset: of @gpa in it, bytes
 * @perm: VDPAKIT_MMIO_READ, _WRITE
 */
struct vdpakit_mmio_memory {
	uint64_t gpa;
	uint64_t size_bytes;
	void *va;
	int fd;
	uint64_t fd_offset;
	uint32_t perm;
};

/**
 * vdpakit_mmio_map() - let the device reach memory of the guest
 *
 * Return: 0; -EINVAL; -EEXIST overlaps what is mapped; -ENOSPC too many pieces
 *         (2048); -EACCES a file whose server could stop us; what the device
 *         said (-EOPNOTSUPP: it needs @fd); -ENODEV; -EDEADLK
 */
VDPAKIT_API int vdpakit_mmio_map(struct vdpakit_mmio *m,
				 const struct vdpakit_mmio_memory *memory);

/**
 * vdpakit_mmio_unmap() - take it away
 * @gpa, @size_bytes: every piece that overlaps goes, whole
 *
 * The device does not use it any more when this returns. Return: pieces; -EINVAL;
 * -ENODEV; -EDEADLK
 */
VDPAKIT_API int vdpakit_mmio_unmap(struct vdpakit_mmio *m, uint64_t gpa,
				   uint64_t size_bytes);

/**
 * vdpakit_mmio_notify_fd() - an eventfd that is as good as QueueNotify
 * @queue: index
 *
 * For KVM_IOEVENTFD: 4 bytes at QueueNotify, datamatch @queue. The same one each
 * time, across resets.
 *
 * Return: borrowed until vdpakit_mmio_close(); -EINVAL no such queue; -errno of
 *         eventfd(); -EDEADLK
 */
VDPAKIT_API int vdpakit_mmio_notify_fd(struct vdpakit_mmio *m, uint32_t queue);

/**
 * vdpakit_mmio_set_vq_callback() - SET_VQ_CALLBACK of VDPAKIT_MMIO_RFC
 * @callback: buffers of the queue that QUEUE_SEL names have been used; called on
 *            whichever thread has news, until it is replaced, or the device
 *            reset. NULL: none
 * @priv: its argument
 *
 * Nobody is in the old one any more when this returns. Return: 0; -EINVAL no
 * such queue; -EOPNOTSUPP in another layout; -ENODEV; -EDEADLK
 */
VDPAKIT_API int vdpakit_mmio_set_vq_callback(struct vdpakit_mmio *m,
					     void (*callback)(void *priv),
					     void *priv);
/* SET_CONFIG_CALLBACK: the config space or DEVICE_NEEDS_RESET has changed. */
VDPAKIT_API int vdpakit_mmio_set_config_callback(struct vdpakit_mmio *m,
						 void (*callback)(void *priv),
						 void *priv);

/**
 * struct vdpakit_mmio_info - the window, and what the guest did
 *
 * @size_bytes: of the window: registers and config space
 * @n_queues: of the device
 * @n_notifies: writes of QueueNotify that had an effect
 * @n_bad_accesses: -EINVAL was answered
 * @n_mistakes: writes that were ignored, as a driver may not do that then
 * @n_refused: what the device did not take: features, Status
 * @n_broken: the driver has to reset: a queue made no sense
 */
struct vdpakit_mmio_info {
	uint64_t size_bytes;
	uint32_t n_queues;
	uint64_t n_notifies;
	uint64_t n_bad_accesses;
	uint64_t n_mistakes;
	uint64_t n_refused;
	uint64_t n_broken;
};
/* Any thread; no system call. @size: sizeof(*ret). */
VDPAKIT_API void vdpakit_mmio_get_info(const struct vdpakit_mmio *m,
				       struct vdpakit_mmio_info *ret,
				       size_t size);

#ifdef __cplusplus
}
#endif

#endif
