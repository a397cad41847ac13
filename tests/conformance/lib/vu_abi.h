/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The numbers of the vhost-user protocol, written down once more from the
 * specification: this is the second opinion, and nothing of it comes from the
 * code that is tested.
 *
 * Source: QEMU docs/interop/vhost-user.rst, as of 2026
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CONFORMANCE_VU_ABI_H
#define CONFORMANCE_VU_ABI_H

#include <stdint.h>

#define VU_GET_FEATURES		 1
#define VU_SET_FEATURES		 2
#define VU_SET_OWNER		 3
#define VU_RESET_OWNER		 4
#define VU_SET_MEM_TABLE	 5
#define VU_SET_LOG_BASE		 6
#define VU_SET_LOG_FD		 7
#define VU_SET_VRING_NUM	 8
#define VU_SET_VRING_ADDR	 9
#define VU_SET_VRING_BASE	 10
#define VU_GET_VRING_BASE	 11
#define VU_SET_VRING_KICK	 12
#define VU_SET_VRING_CALL	 13
#define VU_SET_VRING_ERR	 14
#define VU_GET_PROTOCOL_FEATURES 15
#define VU_SET_PROTOCOL_FEATURES 16
#define VU_GET_QUEUE_NUM	 17
#define VU_SET_VRING_ENABLE	 18
#define VU_SEND_RARP		 19
#define VU_NET_SET_MTU		 20
#define VU_SET_BACKEND_REQ_FD	 21
#define VU_IOTLB_MSG		 22
#define VU_SET_VRING_ENDIAN	 23
#define VU_GET_CONFIG		 24
#define VU_SET_CONFIG		 25
#define VU_CREATE_CRYPTO_SESSION 26
#define VU_CLOSE_CRYPTO_SESSION	 27
#define VU_POSTCOPY_ADVISE	 28
#define VU_POSTCOPY_LISTEN	 29
#define VU_POSTCOPY_END		 30
#define VU_GET_INFLIGHT_FD	 31
#define VU_SET_INFLIGHT_FD	 32
#define VU_GPU_SET_SOCKET	 33
#define VU_RESET_DEVICE		 34
#define VU_VRING_KICK		 35
#define VU_GET_MAX_MEM_SLOTS	 36
#define VU_ADD_MEM_REG		 37
#define VU_REM_MEM_REG		 38
#define VU_SET_STATUS		 39
#define VU_GET_STATUS		 40
#define VU_GET_SHARED_OBJECT	 41
#define VU_SET_DEVICE_STATE_FD	 42
#define VU_CHECK_DEVICE_STATE	 43
#define VU_GET_SHMEM_CONFIG	 44
#define VU_REQUESTS		 45

#define VU_BACKEND_IOTLB_MSG  1
#define VU_BACKEND_CONFIG_MSG 2
#define VU_BACKEND_VRING_CALL 4
#define VU_BACKEND_VRING_ERR  5

/* Of the header's flags. */
#define VU_VERSION    1U
#define VU_REPLY      4U
#define VU_NEED_REPLY 8U

/* Feature bits of the protocol. */
#define VU_F_LOG_ALL  (1ULL << 26)
#define VU_F_PROTOCOL (1ULL << 30)

#define VU_P_MQ			 (1ULL << 0)
#define VU_P_LOG_SHMFD		 (1ULL << 1)
#define VU_P_RARP		 (1ULL << 2)
#define VU_P_REPLY_ACK		 (1ULL << 3)
#define VU_P_MTU		 (1ULL << 4)
#define VU_P_BACKEND_REQ	 (1ULL << 5)
#define VU_P_PAGEFAULT		 (1ULL << 8)
#define VU_P_CONFIG		 (1ULL << 9)
#define VU_P_BACKEND_SEND_FD	 (1ULL << 10)
#define VU_P_INFLIGHT		 (1ULL << 12)
#define VU_P_RESET_DEVICE	 (1ULL << 13)
#define VU_P_INBAND		 (1ULL << 14)
#define VU_P_MEM_SLOTS		 (1ULL << 15)
#define VU_P_STATUS		 (1ULL << 16)
#define VU_P_DEVICE_STATE	 (1ULL << 19)
#define VU_P_VRING_BASE_INFLIGHT (1ULL << 20)

/* All that change nothing by themselves. */
#define VU_P_USUAL                                                          \
	(VU_P_MQ | VU_P_LOG_SHMFD | VU_P_RARP | VU_P_REPLY_ACK | VU_P_MTU | \
	 VU_P_BACKEND_REQ | VU_P_PAGEFAULT | VU_P_CONFIG |                  \
	 VU_P_BACKEND_SEND_FD | VU_P_INFLIGHT | VU_P_RESET_DEVICE |         \
	 VU_P_MEM_SLOTS | VU_P_STATUS | VU_P_DEVICE_STATE)

/* SET_VRING_KICK, CALL, ERR: no descriptor comes with it. */
#define VU_NO_FD 0x100ULL

#define VU_FDS_MAX	8
#define VU_REGIONS_MAX	8
#define VU_CONFIG_BYTES 256
#define VU_MEM_SLOTS	509
#define VU_LOG_PAGE	4096

struct vu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

struct vu_state {
	uint32_t index;
	uint32_t num;
};

struct vu_addr {
	uint32_t index;
	uint32_t flags; /* 1: log */
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vu_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uaddr;
	uint64_t offset;
};

struct vu_table {
	uint32_t n;
	uint32_t padding;
	struct vu_region regions[VU_REGIONS_MAX];
};

struct vu_one_region {
	uint64_t padding;
	struct vu_region region;
};

struct vu_log {
	uint64_t size;
	uint64_t offset;
};

struct vu_iotlb {
	uint64_t iova;
	uint64_t size;
	uint64_t uaddr;
	uint8_t perm;
	uint8_t type;
	uint8_t padding[6];
};
#define VU_IOTLB_MISS	    1
#define VU_IOTLB_UPDATE	    2
#define VU_IOTLB_INVALIDATE 3
#define VU_IOTLB_FAIL	    4

struct vu_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags; /* 1: live migration */
	uint8_t bytes[VU_CONFIG_BYTES];
};
#define VU_CONFIG_HEAD 12

struct vu_inflight {
	uint64_t size;
	uint64_t offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding;
};

struct vu_transfer {
	uint32_t direction; /* 0: save, 1: load */
	uint32_t phase; /* 0: stopped */
};

union vu_payload {
	uint64_t u64;
	struct vu_state state;
	struct vu_addr addr;
	struct vu_table table;
	struct vu_one_region region;
	struct vu_log log;
	struct vu_iotlb iotlb;
	struct vu_config config;
	struct vu_inflight inflight;
	struct vu_transfer transfer;
};

_Static_assert(sizeof(struct vu_header) == 12, "12 bytes");
_Static_assert(sizeof(struct vu_addr) == 40, "40 bytes");
_Static_assert(sizeof(struct vu_table) == 8 + 8 * 32, "eight regions");
_Static_assert(sizeof(struct vu_one_region) == 40, "40 bytes");
_Static_assert(sizeof(struct vu_iotlb) == 32, "32 bytes");
_Static_assert(sizeof(struct vu_config) == 268, "268 bytes");

#endif
