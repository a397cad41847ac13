/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kernel interface constants that are newer than the oldest system headers we
 * build with (Linux 6.1). Each names the kernel that brought it, and is held
 * against the system's own value where that exists.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef UAPI_COMPAT_H
#define UAPI_COMPAT_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/vhost.h>
#include <linux/vhost_types.h>
#include <linux/virtio_net.h>

/* 6.2 */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#endif
_Static_assert(VIRTIO_NET_F_GUEST_USO4 == 54, "ABI");
#ifndef VIRTIO_NET_F_GUEST_USO6
#define VIRTIO_NET_F_GUEST_USO6 55
#endif
_Static_assert(VIRTIO_NET_F_GUEST_USO6 == 55, "ABI");
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_HOST_USO 56
#endif
_Static_assert(VIRTIO_NET_F_HOST_USO == 56, "ABI");
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
_Static_assert(VIRTIO_NET_HDR_GSO_UDP_L4 == 5, "ABI");

/* 6.3 */
#ifndef VHOST_VDPA_RESUME
#define VHOST_VDPA_RESUME _IO(VHOST_VIRTIO, 0x7E)
#endif
_Static_assert(VHOST_VDPA_RESUME == 0xaf7e, "ABI");
#ifndef VHOST_BACKEND_F_RESUME
#define VHOST_BACKEND_F_RESUME 0x5
#endif
_Static_assert(VHOST_BACKEND_F_RESUME == 5, "ABI");

/* 6.6 */
#ifndef VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK
#define VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK 0x6
#endif
_Static_assert(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK == 6, "ABI");

/* 6.7 */
#ifndef VHOST_VDPA_GET_VRING_DESC_GROUP
#define VHOST_VDPA_GET_VRING_DESC_GROUP \
	_IOWR(VHOST_VIRTIO, 0x7F, struct vhost_vring_state)
#endif
_Static_assert(VHOST_VDPA_GET_VRING_DESC_GROUP == 0xc008af7f, "ABI");
#ifndef VHOST_BACKEND_F_DESC_ASID
#define VHOST_BACKEND_F_DESC_ASID 0x7
#endif
_Static_assert(VHOST_BACKEND_F_DESC_ASID == 7, "ABI");
#ifndef VHOST_BACKEND_F_IOTLB_PERSIST
#define VHOST_BACKEND_F_IOTLB_PERSIST 0x8
#endif
_Static_assert(VHOST_BACKEND_F_IOTLB_PERSIST == 8, "ABI");

/* 6.8: the first forms of these moved from 0x80 and 0x81 */
#ifndef VHOST_VDPA_GET_VRING_SIZE
#define VHOST_VDPA_GET_VRING_SIZE \
	_IOWR(VHOST_VIRTIO, 0x82, struct vhost_vring_state)
#endif
_Static_assert(VHOST_VDPA_GET_VRING_SIZE == 0xc008af82, "ABI");

/* 6.16 */
#ifndef VHOST_GET_FEATURES_ARRAY
#define VHOST_GET_FEATURES_ARRAY _IOR(VHOST_VIRTIO, 0x83, __u64)
#endif
_Static_assert(VHOST_GET_FEATURES_ARRAY == 0x8008af83, "ABI");
#ifndef VHOST_SET_FEATURES_ARRAY
#define VHOST_SET_FEATURES_ARRAY _IOW(VHOST_VIRTIO, 0x83, __u64)
#endif
_Static_assert(VHOST_SET_FEATURES_ARRAY == 0x4008af83, "ABI");
#ifndef VHOST_SET_FORK_FROM_OWNER
#define VHOST_SET_FORK_FROM_OWNER _IOW(VHOST_VIRTIO, 0x84, __u8)
#endif
_Static_assert(VHOST_SET_FORK_FROM_OWNER == 0x4001af84, "ABI");
#ifndef VHOST_GET_FORK_FROM_OWNER
#define VHOST_GET_FORK_FROM_OWNER _IOR(VHOST_VIRTIO, 0x85, __u8)
#endif
_Static_assert(VHOST_GET_FORK_FROM_OWNER == 0x8001af85, "ABI");

#endif
