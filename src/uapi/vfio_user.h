/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfio-user: the wire format.
 *
 * A message is a header, a payload, and perhaps descriptors beside the first
 * byte; numbers are in the machine's own byte order. The client (a VMM) sends
 * commands, the server answers each that does not forbid it, in their order.
 * Most of it has the numbers of <linux/vfio.h>; structs that grew there since
 * are written down here as they are on the wire.
 *
 * Source: QEMU docs/interop/vfio-user.rst and hw/vfio-user/, as of 2026
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef UAPI_VFIO_USER_H
#define UAPI_VFIO_USER_H

#include <linux/vfio.h>

#include "base/util.h"

enum vfio_user_command {
	VFIO_USER_NONE,
	VFIO_USER_VERSION,
	VFIO_USER_DMA_MAP,
	VFIO_USER_DMA_UNMAP,
	VFIO_USER_DEVICE_GET_INFO,
	VFIO_USER_DEVICE_GET_REGION_INFO,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS,
	VFIO_USER_DEVICE_GET_IRQ_INFO,
	VFIO_USER_DEVICE_SET_IRQS,
	VFIO_USER_REGION_READ,
	VFIO_USER_REGION_WRITE,
	VFIO_USER_DMA_READ, /* this one and the next: of the server */
	VFIO_USER_DMA_WRITE,
	VFIO_USER_DEVICE_RESET,
	VFIO_USER_DIRTY_PAGES, /* of versions before 0.1 */
	VFIO_USER_REGION_WRITE_MULTI,
	VFIO_USER_DEVICE_FEATURE,
	VFIO_USER_MIG_DATA_READ,
	VFIO_USER_MIG_DATA_WRITE,
	VFIO_USER_COMMAND_N,
};
_Static_assert(VFIO_USER_MIG_DATA_WRITE == 18, "ABI");

#define VFIO_USER_MAJOR 0
#define VFIO_USER_MINOR 1

/* Flags of the header. */
#define VFIO_USER_TYPE_MASK 0xfU /* 0: a command, 1: a reply */
#define VFIO_USER_REPLY	    0x1U
#define VFIO_USER_NO_REPLY  0x10U
#define VFIO_USER_ERROR	    0x20U

struct vfio_user_header {
	uint16_t id; /* the sender's; a reply has its command's */
	uint16_t command;
	uint32_t size; /* with the header */
	uint32_t flags;
	uint32_t error; /* errno, with VFIO_USER_ERROR */
};
_Static_assert(sizeof(struct vfio_user_header) == 16, "ABI");

struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
	char json[]; /* with its NUL; may be missing */
};

struct vfio_user_dma_map {
	uint32_t argsz;
	uint32_t flags; /* VFIO_DMA_MAP_FLAG_READ, _WRITE */
	uint64_t offset; /* in the file beside the message */
	uint64_t iova;
	uint64_t size;
};
_Static_assert(sizeof(struct vfio_user_dma_map) == 32, "ABI");

struct vfio_user_dma_unmap {
	uint32_t argsz;
	uint32_t flags; /* VFIO_DMA_UNMAP_FLAG_ALL: with nothing else */
	uint64_t iova;
	uint64_t size;
};
_Static_assert(sizeof(struct vfio_user_dma_unmap) == 24, "ABI");

struct vfio_user_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};
_Static_assert(sizeof(struct vfio_user_device_info) == 16, "ABI");

_Static_assert(sizeof(struct vfio_region_info) == 32, "ABI");
_Static_assert(sizeof(struct vfio_irq_info) == 16, "ABI");

/* As struct vfio_irq_set; descriptors are beside the message, not in it.
 * Behind it: a byte for each interrupt, with VFIO_IRQ_SET_DATA_BOOL. */
struct vfio_user_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};
_Static_assert(sizeof(struct vfio_user_irq_set) == 20, "ABI");

/* Behind it: the bytes. */
struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};
_Static_assert(sizeof(struct vfio_user_region_access) == 16, "ABI");

#define VFIO_USER_WRITE_BYTES 8
struct vfio_user_write_one {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[VFIO_USER_WRITE_BYTES];
};
_Static_assert(sizeof(struct vfio_user_write_one) == 24, "ABI");

struct vfio_user_write_multi {
	uint64_t n;
	struct vfio_user_write_one writes[];
};

struct vfio_user_region_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

#define VFIO_USER_IO_FD_TYPE_IOEVENTFD 0

struct vfio_user_ioeventfd {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags;
	uint32_t padding;
	uint64_t datamatch;
};
_Static_assert(sizeof(struct vfio_user_ioeventfd) == 40, "ABI");

#endif
