/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device as a PCI function: a modern virtio-pci device.
 *
 * Theory of operation
 *
 * What a driver sees of a virtio-pci device are regions: its configuration
 * space and two base address registers. Here they are what is read and written;
 * who does that, a protocol elsewhere decides. All that such a device does is
 * done by the window below (window.h); this is its layout, and its interrupts.
 *
 *   region 7   configuration space: capabilities that say where the rest is
 *   region 0   common configuration, ISR, device configuration, and four bytes
 *              for each queue that notify it
 *   region 1   the MSI-X table and its pending bits
 *
 * Interrupts are eventfds. With MSI-X, each vector has one, and the device's
 * queues write to it themselves, from whichever thread. What masks a vector is
 * that it has no eventfd: then it is pending until it gets one. The table is
 * memory that nobody here reads: clients keep their own. Without MSI-X, the ISR
 * makes one interrupt by level: its eventfd is written once, and again when it
 * is unmasked and the ISR is still not 0.
 *
 * Source: virtio 1.3, "Virtio Over PCI Bus"; PCI Local Bus Specification 3.0
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_VIRTIO_PCI_H
#define BUSDRV_VIRTIO_PCI_H

#include "busdrv/window.h"

/* Regions: numbers of VFIO_PCI_*_REGION_INDEX. */
#define VIRTIO_PCI_REGION_VIRTIO 0
#define VIRTIO_PCI_REGION_MSIX	 1
#define VIRTIO_PCI_REGION_CONFIG 7

/* As PCI has it. */
#define VIRTIO_PCI_VECTORS_MAX 2048U

struct virtio_pci;

/**
 * virtio_pci_new() - a PCI function in front of a device
 * @vdev: registered; nobody else drives it
 * @n_vectors: of MSI-X, 1..VIRTIO_PCI_VECTORS_MAX; 0: one for each queue and
 *             one for changes of the config space
 *
 * Return: 0; -ENOMEM; as window_new()
 */
int virtio_pci_new(struct vdpa_device *vdev, unsigned int n_vectors,
		   struct virtio_pci **ret);
/* As window_free(), and disconnected. Takes NULL. Return: NULL. */
struct virtio_pci *virtio_pci_free(struct virtio_pci *p);
/* For memory, and the end. Borrowed. */
struct window *virtio_pci_window(struct virtio_pci *p);

/* Somebody is there, of whom eventfds will come (struct vdpa_callback says what
 * trust is). */
void virtio_pci_connect(struct virtio_pci *p, bool is_trusted);
/* He is gone: nothing of him is used any more, the configuration space is as
 * after a reset. The device needs window_end(). */
void virtio_pci_disconnect(struct virtio_pci *p);

/* ---- regions ---- */

/* Bytes; 0: there is no such region. */
uint64_t virtio_pci_region_size(const struct virtio_pci *p, uint32_t region);
/* Return: 0; -EINVAL not in the region */
int virtio_pci_read(struct virtio_pci *p, uint32_t region, uint64_t offset,
		    void *buf, uint32_t len);
/* op->result: 0, also of what makes no sense to the device; -EINVAL not in the
 * region; as window_write() */
void virtio_pci_write(struct virtio_pci *p, struct window_op *op,
		      uint32_t region, uint64_t offset, const void *buf,
		      uint32_t len);
/* A function-level reset. Eventfds and memory stay. */
void virtio_pci_reset(struct virtio_pci *p, struct window_op *op);

/* Is it the write that starts a queue? Then its first area is at @ret_area. */
bool virtio_pci_starts_queue(struct virtio_pci *p, uint32_t region,
			     uint64_t offset, uint64_t *ret_area);

/**
 * virtio_pci_doorbell() - how to notify a queue without a write
 * @idx: of the queue
 * @ret_offset: in VIRTIO_PCI_REGION_VIRTIO, of the 4 bytes that do the same
 *
 * Return: an eventfd, borrowed; -EINVAL no such queue; -errno
 */
int virtio_pci_doorbell(struct virtio_pci *p, uint32_t idx,
			uint64_t *ret_offset);

/* ---- interrupts ---- */

enum virtio_pci_irq { /* numbers of VFIO_PCI_*_IRQ_INDEX */
	VIRTIO_PCI_INTX = 0,
	VIRTIO_PCI_MSIX = 2,
};

/* 0: there is no such interrupt. */
uint32_t virtio_pci_n_irqs(const struct virtio_pci *p, uint32_t irq);
/* These are given (start + count <= n_irqs): */
/* @fds: @count of them, eventfds; those that are kept become -1. NULL: none
 * from now on */
void virtio_pci_set_irq_fds(struct virtio_pci *p, enum virtio_pci_irq irq,
			    uint32_t start, uint32_t count, int *fds);
/* As if the device had. */
void virtio_pci_trigger(struct virtio_pci *p, enum virtio_pci_irq irq,
			uint32_t idx);
/* INTx only. It masks itself when it is sent. */
void virtio_pci_mask_intx(struct virtio_pci *p, bool is_masked);
/* An eventfd that unmasks it, as KVM writes it; taken on success; -1: none.
 * Return: 0; -errno */
int virtio_pci_set_unmask_fd(struct virtio_pci *p, int fd);

#endif
