/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE as its clients see it, API versions 0 and 1: the numbers and shapes,
 * given once more on purpose. This is the second opinion, and the system's
 * header knows no more than version 0.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_VDUSE_ABI_H
#define TESTS_VDUSE_ABI_H

#include <stdint.h>

#define ABI_GET_API_VERSION	  0x80088100U
#define ABI_SET_API_VERSION	  0x40088101U
#define ABI_CREATE_DEV		  0x41508102U
#define ABI_DESTROY_DEV		  0x41008103U
#define ABI_IOTLB_GET_FD	  0xc0208110U
#define ABI_DEV_GET_FEATURES	  0x80088111U
#define ABI_DEV_SET_CONFIG	  0x40088112U
#define ABI_DEV_INJECT_CONFIG_IRQ 0x00008113U
#define ABI_VQ_SETUP		  0x40208114U
#define ABI_VQ_GET_INFO		  0xc0308115U
#define ABI_VQ_SETUP_KICKFD	  0x40088116U
#define ABI_VQ_INJECT_IRQ	  0x40048117U
#define ABI_IOTLB_REG_UMEM	  0x40308118U
#define ABI_IOTLB_DEREG_UMEM	  0x40308119U
#define ABI_IOTLB_GET_INFO	  0xc030811aU
#define ABI_IOTLB_GET_FD2	  0xc050811bU
#define ABI_UNKNOWN		  0xc0208150U

/* The first 64 words of `reserved` differ: version 0 has no groups. */
struct abi_dev_config {
	char name[256];
	uint32_t vendor_id, device_id;
	uint64_t features;
	uint32_t vq_num, vq_align;
	uint32_t ngroups, nas;
	uint32_t reserved[11];
	uint32_t config_size;
	uint8_t config[];
};

struct abi_config_data {
	uint32_t offset, length;
	uint8_t buffer[];
};

struct abi_vq_config {
	uint32_t index;
	uint16_t max_size, reserved1;
	uint32_t group;
	uint16_t reserved2[10];
};

struct abi_vq_state {
	uint16_t counter_or_avail, avail_idx, used_counter, used_idx;
};

struct abi_vq_info {
	uint32_t index, num;
	uint64_t desc_addr, driver_addr, device_addr;
	struct abi_vq_state state;
	uint8_t ready;
};

struct abi_vq_eventfd {
	uint32_t index;
	int32_t fd;
};

struct abi_iotlb_entry {
	uint64_t offset, start, last;
	uint8_t perm;
};

/* IOTLB_GET_FD2's */
struct abi_iotlb_entry2 {
	uint64_t offset, start, last;
	uint8_t perm, pad[7];
	uint32_t asid;
	uint32_t reserved[11];
};

struct abi_iova_umem {
	uint64_t uaddr, iova, size;
	uint32_t asid;
	uint32_t reserved[5];
};

struct abi_iova_info {
	uint64_t start, last, capability;
	uint32_t asid;
	uint32_t reserved[5];
};

enum {
	ABI_GET_VQ_STATE,
	ABI_SET_STATUS,
	ABI_UPDATE_IOTLB,
	ABI_SET_VQ_GROUP_ASID,
};

struct abi_request {
	uint32_t type, request_id, reserved[4];
	union {
		struct {
			uint32_t index;
		} vq_state;
		struct {
			uint8_t status;
		} s;
		struct {
			uint64_t start, last;
			uint32_t asid;
		} iova;
		struct {
			uint32_t group, asid;
		} group;
		uint32_t padding[32];
	};
};

struct abi_response {
	uint32_t request_id, result, reserved[4];
	union {
		struct {
			uint32_t index;
			struct abi_vq_state state;
		} vq_state;
		uint32_t padding[32];
	};
};

_Static_assert(sizeof(struct abi_dev_config) == 336, "ABI");
_Static_assert(sizeof(struct abi_vq_config) == 32, "ABI");
_Static_assert(sizeof(struct abi_vq_info) == 48, "ABI");
_Static_assert(sizeof(struct abi_iotlb_entry) == 32, "ABI");
_Static_assert(sizeof(struct abi_iotlb_entry2) == 80, "ABI");
_Static_assert(sizeof(struct abi_iova_umem) == 48, "ABI");
_Static_assert(sizeof(struct abi_iova_info) == 48, "ABI");
_Static_assert(sizeof(struct abi_request) == 152, "ABI");
_Static_assert(sizeof(struct abi_response) == 152, "ABI");

#endif
