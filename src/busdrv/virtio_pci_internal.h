/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the PCI function share.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_VIRTIO_PCI_INTERNAL_H
#define BUSDRV_VIRTIO_PCI_INTERNAL_H

#include "busdrv/event.h"
#include "busdrv/pci_config.h"
#include "busdrv/virtio_pci.h"

#define VIRTIO_PCI_NO_VECTOR 0xffff
#define VIRTIO_PCI_ENTRY     16 /* bytes of the MSI-X table */

struct virtio_pci_vector {
	int fd; /* -1: none */
	int old_fd; /* while it is replaced */
	bool is_pending; /* any thread, atomic */
};

/* Control thread only, but where it says otherwise. */
struct virtio_pci {
	struct window *w;
	struct loop *loop;
	bool is_trusted;

	/* virtio_pci.c */
	struct pci_config config, config_at_reset;
	uint8_t cfg_cap, msix_cap; /* where they are */
	uint32_t n_queues;
	uint32_t config_bytes; /* of the device's */
	uint64_t sizes[2]; /* of the regions */
	uint8_t *table; /* n_vectors entries */

	/* virtio_pci_irq.c */
	struct virtio_pci_vector *vectors;
	uint32_t n_vectors;
	uint16_t config_vector;
	uint16_t *queue_vectors;
	struct event level; /* the ISR is not 0 */
	int intx_fd;
	bool is_intx_masked;
	int unmask_fd;
	struct loop_watch *unmask_watch;
};

/* ---- virtio_pci_irq.c ---- */

int virtio_pci_irq_init(struct virtio_pci *p, unsigned int n_vectors);
void virtio_pci_irq_fini(struct virtio_pci *p);
void virtio_pci_irq_disconnect(struct virtio_pci *p);
/* Of the window: options.irq(). Any thread. */
void virtio_pci_level(void *priv, bool level);
/* The ISR, or what may keep INTx from being sent, has changed. */
void virtio_pci_update_intx(struct virtio_pci *p);
/* No queue has a vector, nothing is pending. */
void virtio_pci_forget_vectors(struct virtio_pci *p);
/* What a driver writes: which is then read back. */
void virtio_pci_set_queue_vector(struct virtio_pci *p, uint32_t idx,
				 uint16_t vector);
void virtio_pci_set_config_vector(struct virtio_pci *p, uint16_t vector);
/* 64 pending bits. */
uint64_t virtio_pci_pending(const struct virtio_pci *p, uint32_t qword);

#endif
