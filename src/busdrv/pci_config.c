/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration space of a PCI function.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "busdrv/pci_config.h"

#include <assert.h>
#include <string.h>

#include <linux/pci_regs.h>

#define FIRST_CAP 0x40
/* What a driver may switch. */
#define COMMAND_BITS                                                    \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | \
	 PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)

void pci_config_set(struct pci_config *c, uint8_t at, uint32_t value,
		    unsigned int len)
{
	assert(at + len <= PCI_CONFIG_BYTES);
	for (unsigned int i = 0; i < len; i++) {
		c->bytes[at + i] = (uint8_t)(value >> 8 * i);
	}
}

void pci_config_set_writable(struct pci_config *c, uint8_t at, uint32_t mask,
			     unsigned int len)
{
	assert(at + len <= PCI_CONFIG_BYTES);
	for (unsigned int i = 0; i < len; i++) {
		c->writable[at + i] = (uint8_t)(mask >> 8 * i);
	}
}

uint32_t pci_config_get(const struct pci_config *c, uint8_t at,
			unsigned int len)
{
	uint32_t value = 0;

	assert(at + len <= PCI_CONFIG_BYTES);
	for (unsigned int i = 0; i < len; i++) {
		value |= (uint32_t)c->bytes[at + i] << 8 * i;
	}
	return value;
}

void pci_config_init(struct pci_config *c, const struct pci_identity *id)
{
	memset(c, 0, sizeof(*c));
	c->next = FIRST_CAP;
	pci_config_set(c, PCI_VENDOR_ID, id->vendor, 2);
	pci_config_set(c, PCI_DEVICE_ID, id->device, 2);
	pci_config_set(c, PCI_CLASS_REVISION,
		       id->class_code << 8 | id->revision, 4);
	pci_config_set(c, PCI_SUBSYSTEM_VENDOR_ID, id->subsystem_vendor, 2);
	pci_config_set(c, PCI_SUBSYSTEM_ID, id->subsystem, 2);
	pci_config_set(c, PCI_INTERRUPT_PIN, 1, 1);
	pci_config_set_writable(c, PCI_COMMAND, COMMAND_BITS, 2);
	pci_config_set_writable(c, PCI_CACHE_LINE_SIZE, 0xff, 1);
	pci_config_set_writable(c, PCI_LATENCY_TIMER, 0xff, 1);
	pci_config_set_writable(c, PCI_INTERRUPT_LINE, 0xff, 1);
}

void pci_config_add_bar(struct pci_config *c, unsigned int bar, uint32_t size)
{
	uint8_t at = (uint8_t)(PCI_BASE_ADDRESS_0 + 4 * bar);

	assert(bar < 6 && is_pow2(size) && size >= 4096);
	pci_config_set(c, at, PCI_BASE_ADDRESS_SPACE_MEMORY, 4);
	pci_config_set_writable(c, at, ~(size - 1), 4);
}

uint8_t pci_config_add_cap(struct pci_config *c, uint8_t id, uint8_t len)
{
	uint8_t at = c->next;

	assert(len >= 2 && at + len <= PCI_CONFIG_BYTES - 4);
	pci_config_set(c, c->last ? c->last : PCI_CAPABILITY_LIST, at, 1);
	pci_config_set(c, at, id, 1);
	c->bytes[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	c->last = (uint8_t)(at + PCI_CAP_LIST_NEXT);
	c->next = (uint8_t)align_up((uint64_t)at + len, 4);
	return at;
}

void pci_config_read(const struct pci_config *c, uint32_t at, void *buf,
		     uint32_t len)
{
	assert(range_fits(at, len, PCI_CONFIG_BYTES));
	memcpy(buf, c->bytes + at, len);
}

void pci_config_write(struct pci_config *c, uint32_t at, const void *buf,
		      uint32_t len)
{
	const uint8_t *from = buf;

	assert(range_fits(at, len, PCI_CONFIG_BYTES));
	for (uint32_t i = 0; i < len; i++) {
		uint8_t mask = c->writable[at + i];

		c->bytes[at + i] = (uint8_t)((c->bytes[at + i] & ~mask) |
					     (from[i] & mask));
	}
}
