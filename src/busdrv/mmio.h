/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mmio bus driver: a device behind a window of registers, for an emulator
 * in this process. What it is for is said in vdpakit/mmio.h, which the library
 * makes of what is here; layouts are in mmio.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_MMIO_H
#define BUSDRV_MMIO_H

#include <vdpakit/mmio.h>

#include "busdrv/window.h"

struct cdev;
struct mmio;

/**
 * mmio_register() - offer the bus driver `mmio`
 * @bus: where
 * @cdev: not used
 * @ret: written on success
 *
 * Return: 0; -EEXIST; -ENOMEM
 */
int mmio_register(struct vdpa_bus *bus, struct cdev *cdev,
		  struct vdpa_driver **ret);
void mmio_unregister(struct vdpa_driver *drv);

/**
 * mmio_open() - begin to show a device that is bound to `mmio`
 * @vdev: which
 * @options: size is not looked at
 * @ret: written on success
 *
 * Return: 0; -EINVAL; -ENODEV not bound to it; -EBUSY is open; as window_new()
 * Context: control thread, as everything here that does not say otherwise
 */
int mmio_open(struct vdpa_device *vdev,
	      const struct vdpakit_mmio_options *options, struct mmio **ret);
/* Resets the device, then calls done(), when @m is gone. Nothing else is under
 * way (other threads have stopped). */
void mmio_close(struct mmio *m, struct window_op *op);

/*
 * The registers of the data path. Any thread. Return: false: it is none of
 * them, see below; true: dealt with.
 */
bool mmio_try_read(struct mmio *m, uint64_t offset, unsigned int size,
		   uint64_t *ret_value);
bool mmio_try_write(struct mmio *m, uint64_t offset, unsigned int size,
		    uint64_t value);
/* As those of vdpakit/mmio.h; op->result for what has an op. */
int mmio_read(struct mmio *m, uint64_t offset, unsigned int size,
	      uint64_t *ret_value);
void mmio_write(struct mmio *m, struct window_op *op, uint64_t offset,
		unsigned int size, uint64_t value);
void mmio_map(struct mmio *m, struct window_op *op,
	      const struct vdpakit_mmio_memory *memory);
void mmio_unmap(struct mmio *m, struct window_op *op, uint64_t gpa,
		uint64_t size_bytes);
int mmio_notify_fd(struct mmio *m, uint32_t queue);
int mmio_set_vq_callback(struct mmio *m, void (*callback)(void *priv),
			 void *priv);
int mmio_set_config_callback(struct mmio *m, void (*callback)(void *priv),
			     void *priv);
/* Any thread. */
void mmio_get_info(const struct mmio *m, struct vdpakit_mmio_info *ret);

#endif
