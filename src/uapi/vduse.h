/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE, version 1 of its API, on top of the system's header, which may know
 * version 0 only (Linux 5.15 to 6.19).
 *
 * What version 1 added stands in bytes that version 0 has reserved, and has to
 * be zero there; so the structures here serve both.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef UAPI_VDUSE_H
#define UAPI_VDUSE_H

#include <stddef.h>
#include <stdint.h>

#include <linux/ioctl.h>

#include <linux/vduse.h>

#define VDUSE_API_V0 0
#define VDUSE_API_V1 1 /* 7.0: groups and address spaces */

/* Of the kernel's, for messages and CREATE_DEV. */
#define VDUSE_CONFIG_MAX 4096
#define VDUSE_VQS_MAX	 0xffff

/* struct vduse_dev_config; the config space follows */
struct vduse_create {
	char name[VDUSE_NAME_MAX];
	uint32_t vendor_id;
	uint32_t device_id;
	uint64_t features;
	uint32_t vq_num;
	uint32_t vq_align;
	uint32_t ngroups; /* version 1, or 0 */
	uint32_t nas; /* version 1, or 0 */
	uint32_t reserved[11];
	uint32_t config_size;
	uint8_t config[];
};
_Static_assert(offsetof(struct vduse_create, ngroups) == 280, "ABI");
_Static_assert(offsetof(struct vduse_create, config_size) == 332, "ABI");
_Static_assert(sizeof(struct vduse_create) == sizeof(struct vduse_dev_config),
	       "ABI");
_Static_assert(VDUSE_CREATE_DEV == 0x41508102, "ABI");

/* struct vduse_vq_config */
struct vduse_vq_setup {
	uint32_t index;
	uint16_t max_size;
	uint16_t reserved1;
	uint32_t group; /* version 1, or 0 */
	uint16_t reserved2[10];
};
_Static_assert(sizeof(struct vduse_vq_setup) == 32, "ABI");
_Static_assert(sizeof(struct vduse_vq_setup) == sizeof(struct vduse_vq_config),
	       "ABI");
_Static_assert(VDUSE_VQ_SETUP == 0x40208114, "ABI");

/* Of VDUSE_IOTLB_GET_FD2. */
struct vduse_iotlb_entry_as {
	uint64_t offset;
	uint64_t start;
	uint64_t last;
	uint8_t perm;
	uint8_t padding[7];
	uint32_t asid;
	uint32_t reserved[11];
};
_Static_assert(sizeof(struct vduse_iotlb_entry) == 32, "ABI");
_Static_assert(offsetof(struct vduse_iotlb_entry_as, asid) == 32, "ABI");
#ifndef VDUSE_IOTLB_GET_FD2
#define VDUSE_IOTLB_GET_FD2 _IOWR(VDUSE_BASE, 0x1b, struct vduse_iotlb_entry_as)
#endif
_Static_assert(VDUSE_IOTLB_GET_FD == 0xc0208110, "ABI");
_Static_assert(VDUSE_IOTLB_GET_FD2 == 0xc050811b, "ABI");

/* struct vduse_iova_umem */
struct vduse_iova_umem_as {
	uint64_t uaddr;
	uint64_t iova;
	uint64_t size;
	uint32_t asid; /* version 1, or 0 */
	uint32_t reserved[5];
};
_Static_assert(sizeof(struct vduse_iova_umem_as) ==
		       sizeof(struct vduse_iova_umem),
	       "ABI");
_Static_assert(VDUSE_IOTLB_REG_UMEM == 0x40308118, "ABI");

/* struct vduse_iova_info */
struct vduse_iova_info_as {
	uint64_t start;
	uint64_t last;
	uint64_t capability;
	uint32_t asid; /* version 1, or 0 */
	uint32_t reserved[5];
};
_Static_assert(sizeof(struct vduse_iova_info_as) ==
		       sizeof(struct vduse_iova_info),
	       "ABI");
_Static_assert(VDUSE_IOTLB_GET_INFO == 0xc030811a, "ABI");

/* Types of requests; the first three are of version 0. */
enum vduse_request_type {
	VDUSE_REQUEST_GET_VQ_STATE,
	VDUSE_REQUEST_SET_STATUS,
	VDUSE_REQUEST_UPDATE_IOTLB,
	VDUSE_REQUEST_SET_VQ_GROUP_ASID,
};
_Static_assert((int)VDUSE_REQUEST_UPDATE_IOTLB == (int)VDUSE_UPDATE_IOTLB,
	       "ABI");

/* struct vduse_dev_request */
struct vduse_request {
	uint32_t type;
	uint32_t request_id;
	uint32_t reserved[4];
	union {
		struct vduse_vq_state vq_state;
		struct vduse_dev_status s;
		struct {
			uint64_t start;
			uint64_t last;
			uint32_t asid; /* version 1 */
			uint32_t padding;
		} iova;
		struct {
			uint32_t group;
			uint32_t asid;
		} vq_group_asid;
		uint32_t padding[32];
	};
};
_Static_assert(sizeof(struct vduse_request) == 152, "ABI");
_Static_assert(offsetof(struct vduse_request, iova) == 24, "ABI");

/* struct vduse_dev_response */
struct vduse_response {
	uint32_t request_id;
	uint32_t result; /* VDUSE_REQ_RESULT_* */
	uint32_t reserved[4];
	union {
		struct vduse_vq_state vq_state;
		uint32_t padding[32];
	};
};
_Static_assert(sizeof(struct vduse_response) == 152, "ABI");
_Static_assert(sizeof(struct vduse_vq_info) == 48, "ABI");

#endif
