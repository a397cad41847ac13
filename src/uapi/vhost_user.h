/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: the wire format.
 *
 * A message is a header, a payload, and perhaps descriptors beside the first
 * byte; numbers are in the machine's own byte order. The front end (a VMM)
 * sends requests on the socket; the back end answers some of them, and all
 * that ask for it once REPLY_ACK is agreed on. On the back-end channel, a
 * second socket that the front end passes, the roles are swapped.
 *
 * Source: QEMU docs/interop/vhost-user.rst, as of 2026
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef UAPI_VHOST_USER_H
#define UAPI_VHOST_USER_H

#include <linux/vhost_types.h>

#include "base/util.h"

/* Feature bits that are the protocol's, not the device's. */
#define VHOST_USER_LOG_ALL_BIT	       26 /* VHOST_F_LOG_ALL */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_F_MQ,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD,
	VHOST_USER_PROTOCOL_F_RARP,
	VHOST_USER_PROTOCOL_F_REPLY_ACK,
	VHOST_USER_PROTOCOL_F_MTU,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ,
	VHOST_USER_PROTOCOL_F_CROSS_ENDIAN,
	VHOST_USER_PROTOCOL_F_CRYPTO_SESSION,
	VHOST_USER_PROTOCOL_F_PAGEFAULT,
	VHOST_USER_PROTOCOL_F_CONFIG,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE,
	VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
	VHOST_USER_PROTOCOL_F_STATUS,
	VHOST_USER_PROTOCOL_F_XEN_MMAP,
	VHOST_USER_PROTOCOL_F_SHARED_OBJECT,
	VHOST_USER_PROTOCOL_F_DEVICE_STATE,
	VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
	VHOST_USER_PROTOCOL_F_GPA_ADDRESSES,
	VHOST_USER_PROTOCOL_F_SHMEM,
	VHOST_USER_PROTOCOL_F_N,
};
_Static_assert(VHOST_USER_PROTOCOL_F_SHMEM == 22, "ABI");

enum vhost_user_request {
	VHOST_USER_NONE,
	VHOST_USER_GET_FEATURES,
	VHOST_USER_SET_FEATURES,
	VHOST_USER_SET_OWNER,
	VHOST_USER_RESET_OWNER,
	VHOST_USER_SET_MEM_TABLE,
	VHOST_USER_SET_LOG_BASE,
	VHOST_USER_SET_LOG_FD,
	VHOST_USER_SET_VRING_NUM,
	VHOST_USER_SET_VRING_ADDR,
	VHOST_USER_SET_VRING_BASE,
	VHOST_USER_GET_VRING_BASE,
	VHOST_USER_SET_VRING_KICK,
	VHOST_USER_SET_VRING_CALL,
	VHOST_USER_SET_VRING_ERR,
	VHOST_USER_GET_PROTOCOL_FEATURES,
	VHOST_USER_SET_PROTOCOL_FEATURES,
	VHOST_USER_GET_QUEUE_NUM,
	VHOST_USER_SET_VRING_ENABLE,
	VHOST_USER_SEND_RARP,
	VHOST_USER_NET_SET_MTU,
	VHOST_USER_SET_BACKEND_REQ_FD,
	VHOST_USER_IOTLB_MSG,
	VHOST_USER_SET_VRING_ENDIAN,
	VHOST_USER_GET_CONFIG,
	VHOST_USER_SET_CONFIG,
	VHOST_USER_CREATE_CRYPTO_SESSION,
	VHOST_USER_CLOSE_CRYPTO_SESSION,
	VHOST_USER_POSTCOPY_ADVISE,
	VHOST_USER_POSTCOPY_LISTEN,
	VHOST_USER_POSTCOPY_END,
	VHOST_USER_GET_INFLIGHT_FD,
	VHOST_USER_SET_INFLIGHT_FD,
	VHOST_USER_GPU_SET_SOCKET,
	VHOST_USER_RESET_DEVICE,
	VHOST_USER_VRING_KICK,
	VHOST_USER_GET_MAX_MEM_SLOTS,
	VHOST_USER_ADD_MEM_REG,
	VHOST_USER_REM_MEM_REG,
	VHOST_USER_SET_STATUS,
	VHOST_USER_GET_STATUS,
	VHOST_USER_GET_SHARED_OBJECT,
	VHOST_USER_SET_DEVICE_STATE_FD,
	VHOST_USER_CHECK_DEVICE_STATE,
	VHOST_USER_REQUEST_N,
};
_Static_assert(VHOST_USER_CHECK_DEVICE_STATE == 43, "ABI");

/* Requests of the back end, on the back-end channel. */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_NONE,
	VHOST_USER_BACKEND_IOTLB_MSG,
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
	VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG,
	VHOST_USER_BACKEND_VRING_CALL,
	VHOST_USER_BACKEND_VRING_ERR,
	VHOST_USER_BACKEND_SHARED_OBJECT_ADD,
	VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE,
	VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP,
	VHOST_USER_BACKEND_REQUEST_N,
};

#define VHOST_USER_VERSION	1
#define VHOST_USER_VERSION_MASK 3U
#define VHOST_USER_REPLY_FLAG	4U
#define VHOST_USER_NEED_REPLY	8U

/* SET_VRING_KICK, _CALL, _ERR: index of the ring, and "no descriptor". */
#define VHOST_USER_VRING_IDX_MASK 0xffU
#define VHOST_USER_VRING_NOFD	  0x100U

/* Descriptors beside one message; regions of one SET_MEM_TABLE. */
#define VHOST_USER_FDS_MAX     8
#define VHOST_USER_REGIONS_MAX 8
/* Regions with CONFIGURE_MEM_SLOTS. */
#define VHOST_USER_MEM_SLOTS  509
#define VHOST_USER_CONFIG_MAX 256
#define VHOST_USER_LOG_PAGE   4096

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
};
_Static_assert(sizeof(struct vhost_user_header) == 12, "ABI");

struct vhost_user_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct vhost_user_mem_table {
	uint32_t n_regions;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_REGIONS_MAX];
};
_Static_assert(sizeof(struct vhost_user_mem_table) == 264, "ABI");

struct vhost_user_mem_reg {
	uint64_t padding;
	struct vhost_user_region region;
};
_Static_assert(sizeof(struct vhost_user_mem_reg) == 40, "ABI");

struct vhost_user_log {
	uint64_t mmap_size;
	uint64_t mmap_offset;
};

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags; /* 1: live migration */
	uint8_t data[VHOST_USER_CONFIG_MAX];
};
#define VHOST_USER_CONFIG_HEAD 12
_Static_assert(offsetof(struct vhost_user_config, data) ==
		       VHOST_USER_CONFIG_HEAD,
	       "ABI");

struct vhost_user_vring_area {
	uint64_t u64; /* index and VHOST_USER_VRING_NOFD */
	uint64_t size;
	uint64_t offset;
};

struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	/* QEMU sends the padding at the end, others leave it out. */
};
#define VHOST_USER_INFLIGHT_MIN 20

/* The same holds for struct vhost_iotlb_msg. */
#define VHOST_USER_IOTLB_MIN 26

struct vhost_user_device_state {
	uint32_t direction; /* 0: save, 1: load */
	uint32_t phase; /* 0: stopped */
};

union vhost_user_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vhost_user_mem_table table;
	struct vhost_user_mem_reg reg;
	struct vhost_user_log log;
	struct vhost_iotlb_msg iotlb;
	struct vhost_user_config config;
	struct vhost_user_vring_area area;
	struct vhost_user_inflight inflight;
	struct vhost_user_device_state device_state;
};

#endif
