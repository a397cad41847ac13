/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration space of a PCI function: 256 bytes, of which some bits may
 * be written.
 *
 * Theory of operation
 *
 * Each byte has a mask of the bits that a driver can change. That is all there
 * is to it: a base address register whose low bits cannot be written tells its
 * size to who writes all ones and reads them back, as PCI has it. What a write
 * means is for the owner to see afterwards.
 *
 * Source: PCI Local Bus Specification 3.0, "Configuration Space Organization"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BUSDRV_PCI_CONFIG_H
#define BUSDRV_PCI_CONFIG_H

#include "base/util.h"

#define PCI_CONFIG_BYTES 256

struct pci_config {
	uint8_t bytes[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES];
	uint8_t next; /* where the next capability goes */
	uint8_t last; /* the last one's link; 0: there is none */
};

/* Who a function says it is. */
struct pci_identity {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits */
	uint8_t revision;
};

/* A header of type 0 with interrupt pin A, and no capabilities. */
void pci_config_init(struct pci_config *c, const struct pci_identity *id);
/* A 32-bit memory register of @size bytes, a power of two >= 4096. */
void pci_config_add_bar(struct pci_config *c, unsigned int bar, uint32_t size);
/* Appends one of @len bytes, zeroed but for its header. Return: its offset */
uint8_t pci_config_add_cap(struct pci_config *c, uint8_t id, uint8_t len);

/* Little-endian, at any offset that fits. */
void pci_config_set(struct pci_config *c, uint8_t at, uint32_t value,
		    unsigned int len);
uint32_t pci_config_get(const struct pci_config *c, uint8_t at,
			unsigned int len);
void pci_config_set_writable(struct pci_config *c, uint8_t at, uint32_t mask,
			     unsigned int len);

/* As drivers do it; @at + @len <= PCI_CONFIG_BYTES. */
void pci_config_read(const struct pci_config *c, uint32_t at, void *buf,
		     uint32_t len);
void pci_config_write(struct pci_config *c, uint32_t at, const void *buf,
		      uint32_t len);

#endif
