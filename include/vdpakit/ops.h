/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Write a device from scratch: all of struct vdpa_config_ops (device.h) is its
 * own, rings included. Most are easier to write with soft.h.
 *
 * The bus checks what it asks of a device before it asks. Ops are called on
 * the bus's thread, one at a time; they may not wait. What they may call is
 * below; all else of the library answers -EDEADLK there.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef VDPAKIT_OPS_H
#define VDPAKIT_OPS_H

#include <sys/uio.h>

#include <vdpakit/device.h>
#include <vdpakit/kit.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vdpakit_ops_options - zero-initialise, then set size
 *
 * @size: sizeof(struct vdpakit_ops_options)
 * @n_queues: virtqueues, 1 to 65535
 * @n_groups, @n_address_spaces: 0: one
 * @priv: see vdpakit_ops_priv()
 */
struct vdpakit_ops_options {
	size_t size;
	uint32_t n_queues;
	uint32_t n_groups;
	uint32_t n_address_spaces;
	void *priv;
};

/**
 * vdpakit_ops_new() - put a device on a bus
 * @kit: bus; vdpakit_dev_del() deletes the device, as does vdpakit_free():
 *       ops->free() is the last call
 * @name: of the device
 * @ops: borrowed as long as the device is there
 *
 * It needs set_map(), or dma_map() and dma_unmap(), to be told of memory.
 *
 * Return: 0; -EINVAL mandatory ops are missing, or the numbers are off;
 *         -EEXIST; -ENOMEM; -EDEADLK
 */
VDPAKIT_API int vdpakit_ops_new(struct vdpakit *kit, const char *name,
				const struct vdpa_config_ops *ops,
				const struct vdpakit_ops_options *options);
VDPAKIT_API void *vdpakit_ops_priv(const struct vdpa_device *vdev);
VDPAKIT_API const char *vdpakit_ops_name(const struct vdpa_device *vdev);

/*
 * What set_map() is given, and how its addresses are used: any thread, as long
 * as there is a reference.
 */
VDPAKIT_API struct iotlb_snap *vdpakit_map_ref(struct iotlb_snap *map);
/* Takes NULL. */
VDPAKIT_API void vdpakit_map_unref(struct iotlb_snap *map);

/* What is to be done with memory; the numbers are those of dma_map(). */
#define VDPAKIT_MAP_READ  1U
#define VDPAKIT_MAP_WRITE 2U

/**
 * vdpakit_map_find() - where bytes of an address space are in this process
 * @perm: VDPAKIT_MAP_*
 * @ret: pieces, at most @max; valid as long as the reference
 *
 * Return: pieces; -EFAULT a byte is not mapped, lacks the permission or is in
 *         memory that has no address here; -E2BIG more than @max
 */
VDPAKIT_API int vdpakit_map_find(const struct iotlb_snap *map, uint64_t iova,
				 uint64_t len, uint32_t perm, struct iovec *ret,
				 unsigned int max);
/* Copies: 0; -EFAULT as above, nothing was copied. */
VDPAKIT_API int vdpakit_map_read(const struct iotlb_snap *map, uint64_t iova,
				 void *buf, size_t len);
VDPAKIT_API int vdpakit_map_write(const struct iotlb_snap *map, uint64_t iova,
				  const void *buf, size_t len);

#ifdef __cplusplus
}
#endif

#endif
