/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI function: its configuration space, and what is where in its regions.
 *
 * The common configuration is a table: where a field is, how wide it is, and
 * which register of the window it is. A driver has to access each as wide as it
 * is; a write that is not is ignored, as are those of fields to be read only. A
 * read may be of any bytes.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>

#include "base/err.h"
#include "busdrv/virtio_pci_internal.h"

#define VENDOR_QUMRANET 0x1af4
#define DEVICE_MODERN	0x1040 /* and the virtio id */
#define SUBSYSTEM_MIN	0x40
#define REVISION	1

/* Where things are in VIRTIO_PCI_REGION_VIRTIO. */
#define PAGE	     0x1000U
#define COMMON_AT    0U
#define COMMON_BYTES 60U
#define ISR_AT	     PAGE
#define ISR_BYTES    1U
#define CONFIG_AT    (2 * PAGE)
#define CONFIG_MAX   PAGE
#define NOTIFY_AT    (3 * PAGE)
#define NOTIFY_EACH  4U

#define CAP_BYTES	 ((uint8_t)sizeof(struct virtio_pci_cap))
#define CFG_DATA	 ((uint8_t)sizeof(struct virtio_pci_cap))
#define MSIX_CAP_BYTES	 12
#define MSIX_CONTROL(p)	 ((uint8_t)((p)->msix_cap + PCI_MSIX_FLAGS))
#define ENTRY_MASKED	 1 /* of the last dword of an entry */
#define ENTRY_CONTROL_AT 12

/* ---- the configuration space ---- */

/* What of it drivers of other kinds could look at. */
static uint32_t class_of(uint32_t id)
{
	switch (id) {
	case VIRTIO_ID_NET:
		return 0x020000; /* Ethernet controller */
	case VIRTIO_ID_BLOCK:
	case VIRTIO_ID_SCSI:
		return 0x010000; /* SCSI storage */
	case VIRTIO_ID_CONSOLE:
		return 0x078000; /* another communication controller */
	case VIRTIO_ID_FS:
	case VIRTIO_ID_9P:
		return 0x018000; /* another storage controller */
	default:
		return 0xff0000; /* of no class */
	}
}

static uint8_t add_cap(struct virtio_pci *p, uint8_t len, uint8_t type,
		       uint32_t offset, uint32_t length)
{
	uint8_t at = pci_config_add_cap(&p->config, PCI_CAP_ID_VNDR, len);

	pci_config_set(&p->config, (uint8_t)(at + 2), len, 1);
	pci_config_set(&p->config, (uint8_t)(at + 3), type, 1);
	pci_config_set(&p->config, (uint8_t)(at + 4), VIRTIO_PCI_REGION_VIRTIO,
		       1);
	pci_config_set(&p->config, (uint8_t)(at + 8), offset, 4);
	pci_config_set(&p->config, (uint8_t)(at + 12), length, 4);
	return at;
}

static void add_virtio_caps(struct virtio_pci *p)
{
	uint8_t at;

	(void)add_cap(p, CAP_BYTES, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_AT,
		      COMMON_BYTES);
	at = add_cap(p, CAP_BYTES + 4, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_AT,
		     max_of(p->n_queues, 1U) * NOTIFY_EACH);
	pci_config_set(&p->config, (uint8_t)(at + CAP_BYTES), NOTIFY_EACH, 4);
	(void)add_cap(p, CAP_BYTES, VIRTIO_PCI_CAP_ISR_CFG, ISR_AT, ISR_BYTES);
	if (p->config_bytes > 0) {
		(void)add_cap(p, CAP_BYTES, VIRTIO_PCI_CAP_DEVICE_CFG,
			      CONFIG_AT, p->config_bytes);
	}
	p->cfg_cap = add_cap(p, CAP_BYTES + 4, VIRTIO_PCI_CAP_PCI_CFG, 0, 0);
	pci_config_set_writable(&p->config, (uint8_t)(p->cfg_cap + 4), 0xff, 1);
	pci_config_set_writable(&p->config, (uint8_t)(p->cfg_cap + 8),
				UINT32_MAX, 4);
	pci_config_set_writable(&p->config, (uint8_t)(p->cfg_cap + 12),
				UINT32_MAX, 4);
}

/* The pending bits are behind the table. */
static uint32_t pba_at(const struct virtio_pci *p)
{
	return p->n_vectors * VIRTIO_PCI_ENTRY;
}

static uint32_t table_bytes(const struct virtio_pci *p)
{
	return (uint32_t)align_up(pba_at(p), PAGE);
}

static void add_msix(struct virtio_pci *p)
{
	uint8_t at =
		pci_config_add_cap(&p->config, PCI_CAP_ID_MSIX, MSIX_CAP_BYTES);

	p->msix_cap = at;
	pci_config_set(&p->config, MSIX_CONTROL(p), p->n_vectors - 1, 2);
	pci_config_set_writable(&p->config, MSIX_CONTROL(p),
				PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL,
				2);
	pci_config_set(&p->config, (uint8_t)(at + PCI_MSIX_TABLE),
		       VIRTIO_PCI_REGION_MSIX, 4);
	pci_config_set(&p->config, (uint8_t)(at + PCI_MSIX_PBA),
		       table_bytes(p) | VIRTIO_PCI_REGION_MSIX, 4);
}

static uint64_t next_pow2(uint64_t v)
{
	uint64_t size = PAGE;

	while (size < v) {
		size *= 2;
	}
	return size;
}

static void make_config(struct virtio_pci *p, struct vdpa_device *vdev)
{
	uint32_t vendor = vdpa_get_vendor_id(vdev);
	uint32_t id = vdpa_get_device_id(vdev);
	const struct pci_identity identity = {
		.vendor = VENDOR_QUMRANET,
		.device = (uint16_t)(DEVICE_MODERN + id),
		.subsystem_vendor = vendor > 0 && vendor < UINT16_MAX
					    ? (uint16_t)vendor
					    : VENDOR_QUMRANET,
		.subsystem = (uint16_t)(SUBSYSTEM_MIN + id),
		.class_code = class_of(id),
		.revision = REVISION,
	};

	p->config_bytes = (uint32_t)min_of(vdpa_get_config_size(vdev),
					   (size_t)CONFIG_MAX);
	pci_config_init(&p->config, &identity);
	p->sizes[0] = next_pow2(NOTIFY_AT + p->n_queues * NOTIFY_EACH);
	p->sizes[1] = next_pow2((uint64_t)table_bytes(p) + PAGE);
	pci_config_add_bar(&p->config, 0, (uint32_t)p->sizes[0]);
	pci_config_add_bar(&p->config, 1, (uint32_t)p->sizes[1]);
	add_virtio_caps(p);
	add_msix(p);
	p->config_at_reset = p->config;
}

static void reset_config(struct virtio_pci *p)
{
	p->config = p->config_at_reset;
	memset(p->table, 0, (size_t)p->n_vectors * VIRTIO_PCI_ENTRY);
	for (uint32_t i = 0; i < p->n_vectors; i++) {
		p->table[i * VIRTIO_PCI_ENTRY + ENTRY_CONTROL_AT] =
			ENTRY_MASKED;
	}
}

/* ---- the common configuration ---- */

/* Registers that the window does not have. */
enum {
	VECTOR_OF_CONFIG = WINDOW_REG_N,
	VECTOR_OF_QUEUE,
	NOTIFY_DATA,
};

static const struct field {
	uint8_t at, len;
	uint8_t reg;
	bool is_writable;
} fields[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4, WINDOW_DEVICE_FEATURES_SEL, true },
	{ VIRTIO_PCI_COMMON_DF, 4, WINDOW_DEVICE_FEATURES, false },
	{ VIRTIO_PCI_COMMON_GFSELECT, 4, WINDOW_DRIVER_FEATURES_SEL, true },
	{ VIRTIO_PCI_COMMON_GF, 4, WINDOW_DRIVER_FEATURES, true },
	{ VIRTIO_PCI_COMMON_MSIX, 2, VECTOR_OF_CONFIG, true },
	{ VIRTIO_PCI_COMMON_NUMQ, 2, WINDOW_NUM_QUEUES, false },
	{ VIRTIO_PCI_COMMON_STATUS, 1, WINDOW_STATUS, true },
	{ VIRTIO_PCI_COMMON_CFGGENERATION, 1, WINDOW_CONFIG_GENERATION, false },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2, WINDOW_QUEUE_SEL, true },
	{ VIRTIO_PCI_COMMON_Q_SIZE, 2, WINDOW_QUEUE_NUM, true },
	{ VIRTIO_PCI_COMMON_Q_MSIX, 2, VECTOR_OF_QUEUE, true },
	{ VIRTIO_PCI_COMMON_Q_ENABLE, 2, WINDOW_QUEUE_READY, true },
	{ VIRTIO_PCI_COMMON_Q_NOFF, 2, WINDOW_QUEUE_NOTIFY_OFF, false },
	{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, WINDOW_QUEUE_DESC_LOW, true },
	{ VIRTIO_PCI_COMMON_Q_DESCHI, 4, WINDOW_QUEUE_DESC_HIGH, true },
	{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4, WINDOW_QUEUE_DRIVER_LOW, true },
	{ VIRTIO_PCI_COMMON_Q_AVAILHI, 4, WINDOW_QUEUE_DRIVER_HIGH, true },
	{ VIRTIO_PCI_COMMON_Q_USEDLO, 4, WINDOW_QUEUE_DEVICE_LOW, true },
	{ VIRTIO_PCI_COMMON_Q_USEDHI, 4, WINDOW_QUEUE_DEVICE_HIGH, true },
	{ VIRTIO_PCI_COMMON_Q_NDATA, 2, NOTIFY_DATA, false },
	{ VIRTIO_PCI_COMMON_Q_RESET, 2, WINDOW_QUEUE_RESET, true },
};

static uint32_t read_field(struct virtio_pci *p, const struct field *f)
{
	uint32_t idx = window_read(p->w, WINDOW_QUEUE_SEL);

	switch (f->reg) {
	case VECTOR_OF_CONFIG:
		return p->config_vector;
	case VECTOR_OF_QUEUE:
		return idx < p->n_queues ? p->queue_vectors[idx]
					 : VIRTIO_PCI_NO_VECTOR;
	case NOTIFY_DATA:
		return idx;
	default:
		return window_read(p->w, f->reg);
	}
}

/* Any bytes: only those that are asked for are looked at. */
static void read_common(struct virtio_pci *p, uint32_t at, uint8_t *buf,
			uint32_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct field *f = &fields[i];
		uint32_t value;

		if (f->at >= at + len || at >= (uint32_t)f->at + f->len) {
			continue;
		}
		value = read_field(p, f);
		for (uint32_t b = 0; b < f->len; b++) {
			if (f->at + b - at < len) {
				buf[f->at + b - at] = (uint8_t)(value >> 8 * b);
			}
		}
	}
}

static void finish(struct window_op *op, int result)
{
	op->result = result;
	if (op->done) {
		op->done(op);
	}
}

static void write_field(struct virtio_pci *p, struct window_op *op,
			const struct field *f, uint32_t value)
{
	switch (f->reg) {
	case VECTOR_OF_CONFIG:
		virtio_pci_set_config_vector(p, (uint16_t)value);
		break;
	case VECTOR_OF_QUEUE:
		virtio_pci_set_queue_vector(p,
					    window_read(p->w, WINDOW_QUEUE_SEL),
					    (uint16_t)value);
		break;
	case WINDOW_STATUS:
		if (value == 0) {
			virtio_pci_forget_vectors(p);
		}
		window_write(p->w, op, WINDOW_STATUS, value);
		return;
	case WINDOW_QUEUE_READY:
		if (value == 1) { /* there is no other way to disable one */
			window_write(p->w, op, WINDOW_QUEUE_READY, 1);
			return;
		}
		break;
	default:
		window_write(p->w, op, f->reg, value);
		return;
	}
	finish(op, 0);
}

static uint32_t get_le(const uint8_t *from, uint32_t len)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < len; i++) {
		value |= (uint32_t)from[i] << 8 * i;
	}
	return value;
}

static void write_common(struct virtio_pci *p, struct window_op *op,
			 uint32_t at, const uint8_t *buf, uint32_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct field *f = &fields[i];

		if (f->at == at && f->len == len && f->is_writable) {
			write_field(p, op, f, get_le(buf, len));
			return;
		}
	}
	finish(op, 0);
}

/* ---- the region of virtio ---- */

static void read_virtio(struct virtio_pci *p, uint32_t at, uint8_t *buf,
			uint32_t len)
{
	memset(buf, 0, len);
	if (at < COMMON_AT + COMMON_BYTES) {
		read_common(p, at, buf, len);
	} else if (at == ISR_AT) {
		/* Which it clears; no interrupt is due any more. */
		buf[0] = (uint8_t)window_take_isr(p->w);
	} else if (at >= CONFIG_AT && at - CONFIG_AT < p->config_bytes) {
		/* What is not there reads as 0. */
		(void)window_config_read(
			p->w, at - CONFIG_AT, buf,
			min_of(len, p->config_bytes - (at - CONFIG_AT)));
	}
}

static void write_virtio(struct virtio_pci *p, struct window_op *op,
			 uint32_t at, const uint8_t *buf, uint32_t len)
{
	if (at < COMMON_AT + COMMON_BYTES) {
		write_common(p, op, at, buf, len);
		return;
	}
	if (at >= NOTIFY_AT) {
		window_notify(p->w, (at - NOTIFY_AT) / NOTIFY_EACH);
	} else if (at >= CONFIG_AT) {
		/* What it does not take is counted there. */
		(void)window_config_write(p->w, at - CONFIG_AT, buf, len);
	}
	finish(op, 0);
}

bool virtio_pci_starts_queue(struct virtio_pci *p, uint32_t region,
			     uint64_t offset, uint64_t *ret_area)
{
	if (region != VIRTIO_PCI_REGION_VIRTIO ||
	    offset != COMMON_AT + VIRTIO_PCI_COMMON_Q_ENABLE) {
		return false;
	}
	*ret_area = window_read(p->w, WINDOW_QUEUE_DESC_LOW) |
		    (uint64_t)window_read(p->w, WINDOW_QUEUE_DESC_HIGH) << 32;
	return true;
}

int virtio_pci_doorbell(struct virtio_pci *p, uint32_t idx,
			uint64_t *ret_offset)
{
	int fd = window_kick_fd(p->w, idx);

	if (fd >= 0) {
		*ret_offset = NOTIFY_AT + (uint64_t)idx * NOTIFY_EACH;
	}
	return fd;
}

/* ---- the region of MSI-X ---- */

static void read_msix(struct virtio_pci *p, uint32_t at, uint8_t *buf,
		      uint32_t len)
{
	for (uint32_t i = 0; i < len; i++, at++) {
		uint32_t bit = (at - table_bytes(p)) * 8;

		if (at < pba_at(p)) {
			buf[i] = p->table[at];
		} else if (at >= table_bytes(p) && bit < p->n_vectors) {
			buf[i] = (uint8_t)(virtio_pci_pending(p, bit / 64) >>
					   bit % 64);
		} else {
			buf[i] = 0;
		}
	}
}

static void write_msix(struct virtio_pci *p, uint32_t at, const uint8_t *buf,
		       uint32_t len)
{
	if (at < pba_at(p)) {
		memcpy(p->table + at, buf, min_of(len, pba_at(p) - at));
	}
}

/* ---- the region of the configuration space ---- */

/* The window in it onto the others. Return: does it name something there? */
static bool cfg_window(const struct virtio_pci *p, uint32_t *ret_region,
		       uint32_t *ret_offset, uint32_t *ret_len)
{
	uint8_t at = p->cfg_cap;

	*ret_region = pci_config_get(&p->config, (uint8_t)(at + 4), 1);
	*ret_offset = pci_config_get(&p->config, (uint8_t)(at + 8), 4);
	*ret_len = pci_config_get(&p->config, (uint8_t)(at + 12), 4);
	return *ret_region < ARRAY_SIZE(p->sizes) && *ret_len <= 4 &&
	       is_pow2(*ret_len) && *ret_offset % *ret_len == 0 &&
	       range_fits(*ret_offset, *ret_len, p->sizes[*ret_region]);
}

static void read_config(struct virtio_pci *p, uint32_t at, uint8_t *buf,
			uint32_t len)
{
	uint32_t region, offset, size;
	uint8_t data[4] = { 0 };

	p->config.bytes[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	if (window_isr(p->w) != 0) {
		p->config.bytes[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	}
	pci_config_read(&p->config, at, buf, len);
	/* Who dumps all of it means no access. */
	if (at == (uint32_t)p->cfg_cap + CFG_DATA && len <= sizeof(data) &&
	    cfg_window(p, &region, &offset, &size) && len <= size) {
		(void)virtio_pci_read(p, region, offset, data, size);
		memcpy(buf, data, len);
	}
}

static void write_config(struct virtio_pci *p, struct window_op *op,
			 uint32_t at, const uint8_t *buf, uint32_t len)
{
	uint32_t region, offset, size;

	pci_config_write(&p->config, at, buf, len);
	virtio_pci_update_intx(p);
	if (at == (uint32_t)p->cfg_cap + CFG_DATA &&
	    cfg_window(p, &region, &offset, &size) && len == size) {
		virtio_pci_write(p, op, region, offset, buf, size);
		return;
	}
	finish(op, 0);
}

/* ---- all regions ---- */

uint64_t virtio_pci_region_size(const struct virtio_pci *p, uint32_t region)
{
	if (region == VIRTIO_PCI_REGION_CONFIG) {
		return PCI_CONFIG_BYTES;
	}
	return region < ARRAY_SIZE(p->sizes) ? p->sizes[region] : 0;
}

static int check(const struct virtio_pci *p, uint32_t region, uint64_t offset,
		 uint32_t len)
{
	if (len == 0 ||
	    !range_fits(offset, len, virtio_pci_region_size(p, region))) {
		return err(-EINVAL, "%u bytes at 0x%llx of region %u", len,
			   (unsigned long long)offset, region);
	}
	return 0;
}

int virtio_pci_read(struct virtio_pci *p, uint32_t region, uint64_t offset,
		    void *buf, uint32_t len)
{
	int r = check(p, region, offset, len);

	if (r < 0) {
		return r;
	}
	switch (region) {
	case VIRTIO_PCI_REGION_VIRTIO:
		read_virtio(p, (uint32_t)offset, buf, len);
		break;
	case VIRTIO_PCI_REGION_MSIX:
		read_msix(p, (uint32_t)offset, buf, len);
		break;
	default:
		read_config(p, (uint32_t)offset, buf, len);
		break;
	}
	return 0;
}

void virtio_pci_write(struct virtio_pci *p, struct window_op *op,
		      uint32_t region, uint64_t offset, const void *buf,
		      uint32_t len)
{
	int r = check(p, region, offset, len);

	if (r < 0) {
		finish(op, r);
		return;
	}
	switch (region) {
	case VIRTIO_PCI_REGION_VIRTIO:
		write_virtio(p, op, (uint32_t)offset, buf, len);
		break;
	case VIRTIO_PCI_REGION_MSIX:
		write_msix(p, (uint32_t)offset, buf, len);
		finish(op, 0);
		break;
	default:
		write_config(p, op, (uint32_t)offset, buf, len);
		break;
	}
}

/* ---- life ---- */

struct window *virtio_pci_window(struct virtio_pci *p)
{
	return p->w;
}

void virtio_pci_connect(struct virtio_pci *p, bool is_trusted)
{
	p->is_trusted = is_trusted;
}

void virtio_pci_disconnect(struct virtio_pci *p)
{
	virtio_pci_irq_disconnect(p);
	reset_config(p);
}

void virtio_pci_reset(struct virtio_pci *p, struct window_op *op)
{
	virtio_pci_forget_vectors(p);
	p->is_intx_masked = false;
	reset_config(p);
	window_write(p->w, op, WINDOW_STATUS, 0);
}

int virtio_pci_new(struct vdpa_device *vdev, unsigned int n_vectors,
		   struct virtio_pci **ret)
{
	struct virtio_pci *p = calloc(1, sizeof(*p));
	const struct window_options options = {
		.irq = virtio_pci_level,
		.priv = p,
	};
	int r;

	if (!p) {
		return -ENOMEM;
	}
	p->loop = vdpa_bus_control(vdev->bus);
	r = window_new(vdev, &options, &p->w);
	if (r == 0) {
		p->n_queues = window_read(p->w, WINDOW_NUM_QUEUES);
		n_vectors = n_vectors > 0 ? n_vectors
					  : min_of(p->n_queues + 1,
						   VIRTIO_PCI_VECTORS_MAX);
		r = virtio_pci_irq_init(p, n_vectors);
	}
	if (r == 0) {
		p->table = calloc(n_vectors, VIRTIO_PCI_ENTRY);
		r = p->table ? 0 : -ENOMEM;
	}
	if (r < 0) {
		virtio_pci_free(p);
		return r;
	}
	make_config(p, vdev);
	reset_config(p);
	*ret = p;
	return 0;
}

struct virtio_pci *virtio_pci_free(struct virtio_pci *p)
{
	if (p) {
		p->w = window_free(p->w);
		virtio_pci_irq_fini(p);
		free(p->table);
		free(p);
	}
	return NULL;
}
