/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user: features, status, config space, reset.
 *
 * The front end's STATUS is a shadow: rings run by the rules of rings, also
 * for the many front ends that never send it. The device's own status is set
 * here, as a driver in front of it would.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/err.h"
#include "busdrv/vhost_user_internal.h"

#define PROTOCOL_BITS                              \
	(BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES) | \
	 BIT_ULL(VHOST_USER_LOG_ALL_BIT))

#define F(x) BIT_ULL(VHOST_USER_PROTOCOL_F_##x)

#define IN_BAND_NEEDS (F(BACKEND_REQ) | F(REPLY_ACK))

/* ---- what is offered ---- */

static uint64_t offered_features(const struct vhost_user *vu)
{
	uint64_t features = vdpa_get_device_features(vu->vdev);

	/* A front end that accepts whatever is offered would have us wait for
	 * translations that it does not know how to send. */
	if (!vu->offers_iommu || !vu->vdev->ops->set_miss) {
		features &= ~BIT_ULL(VIRTIO_F_ACCESS_PLATFORM);
	}
	if (vu->vdev->ops->set_vq_log) {
		features |= BIT_ULL(VHOST_USER_LOG_ALL_BIT);
	}
	return features | BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES);
}

uint64_t vhost_user_offer(const struct vhost_user *vu)
{
	uint64_t offer = F(MQ) | F(REPLY_ACK) | F(RESET_DEVICE) |
			 F(CONFIGURE_MEM_SLOTS) | F(STATUS) | F(BACKEND_REQ) |
			 F(BACKEND_SEND_FD) | F(INBAND_NOTIFICATIONS);

	if (vdpa_get_config_size(vu->vdev) > 0) {
		offer |= F(CONFIG);
	}
	if (vu->vdev->ops->set_vq_log) {
		offer |= F(LOG_SHMFD);
	}
	if (vu->vdev->ops->get_vq_notification) {
		offer |= F(HOST_NOTIFIER);
	}
	if (vu->vdev->ops->set_vq_inflight) {
		/* Nothing is left in flight when a ring stops: that may be. */
		offer |= F(INFLIGHT_SHMFD) | F(GET_VRING_BASE_INFLIGHT);
	}
	if (vu->offers_postcopy) {
		offer |= F(PAGEFAULT);
	}
	if (vu->vdev->ops->save_state) {
		offer |= F(DEVICE_STATE);
	}
	if (vu->vdev->ops->announce) {
		offer |= F(RARP);
	}
	if (vdpa_get_device_id(vu->vdev) == VIRTIO_ID_NET) {
		offer |= F(MTU);
	}
	return offer;
}

/* ---- the device ---- */

static uint64_t device_features(const struct vhost_user *vu)
{
	return (vu->features & ~PROTOCOL_BITS) |
	       (vdpa_get_device_features(vu->vdev) &
		BIT_ULL(VIRTIO_F_ACCESS_PLATFORM));
}

static int raise_status(struct vhost_user *vu, uint8_t bits)
{
	uint8_t status = vdpa_get_status(vu->vdev) &
			 (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;

	if ((status & bits) == bits) {
		return 0;
	}
	return vdpa_set_status(vu->vdev, status | bits);
}

int vhost_user_prepare(struct vhost_user *vu)
{
	int r;

	if (vdpa_get_status(vu->vdev) & VIRTIO_CONFIG_S_FEATURES_OK) {
		return 0;
	}
	r = raise_status(vu,
			 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	if (r == 0) {
		r = vdpa_set_driver_features(vu->vdev, device_features(vu));
	}
	if (r == 0) {
		r = raise_status(vu, VIRTIO_CONFIG_S_FEATURES_OK);
	}
	if (r == 0 &&
	    !(vdpa_get_status(vu->vdev) & VIRTIO_CONFIG_S_FEATURES_OK)) {
		r = err(-EINVAL, "the device does not take features 0x%llx",
			(unsigned long long)vu->features);
	}
	return r;
}

int vhost_user_go(struct vhost_user *vu)
{
	if (vu->vdev->needs_queues_first &&
	    vhost_user_has(vu, VHOST_USER_PROTOCOL_F_STATUS) &&
	    !(vu->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		return 0; /* the front end will say when all are there */
	}
	return raise_status(vu, VIRTIO_CONFIG_S_DRIVER_OK);
}

/* Features are the device's until the next reset. */
void vhost_user_stop_device(struct vhost_user *vu)
{
	int r = vdpa_reset(vu->vdev, 0);

	if (r < 0) {
		log_warn(vu->vdev->name, "ignoring that its reset failed: %s",
			 err_text(r));
	}
}

void vhost_user_reset(struct vhost_user *vu)
{
	/* Before the kick descriptors are closed: the device watches them. */
	vhost_user_stop_device(vu);
	vhost_user_rings_reset(vu);
	vu->status = 0;
	vu->is_broken = false;
}

/* ---- features ---- */

int vhost_user_get_features(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	msg->payload.u64 = offered_features(vu);
	return 0;
}

static int check_features(struct vhost_user *vu, uint64_t features)
{
	uint64_t unknown = features & ~offered_features(vu);

	if (unknown != 0) {
		return err(-EINVAL, "features 0x%llx were not offered",
			   (unsigned long long)unknown);
	}
	if (((features ^ vu->features) & ~PROTOCOL_BITS) != 0 &&
	    vhost_user_any_running(vu)) {
		return err(-EBUSY, "other features while rings run");
	}
	return 0;
}

/* New features for a device that has some already: it starts over. */
static int change_features(struct vhost_user *vu, uint64_t features)
{
	if (vu->has_features &&
	    ((features ^ vu->features) & ~PROTOCOL_BITS) != 0) {
		vhost_user_stop_device(vu);
	}
	vu->features = features;
	vu->has_features = true;
	return vhost_user_prepare(vu);
}

int vhost_user_set_features(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	uint64_t features = msg->payload.u64;
	int r = check_features(vu, features);

	if (r == 0) {
		r = change_features(vu, features);
	}
	if (r == 0) {
		r = vhost_user_mem_update(vu);
	}
	if (r == 0) {
		r = vhost_user_iommu_update(vu);
	}
	if (r == 0) {
		r = vhost_user_log_update(vu, vu->mem, NULL);
	}
	if (r == 0 && !has_bit(features, VHOST_USER_F_PROTOCOL_FEATURES)) {
		vhost_user_enable_all(vu, true);
	}
	return r;
}

int vhost_user_get_protocol_features(struct vhost_user *vu,
				     struct vhost_user_msg *msg)
{
	msg->payload.u64 = vhost_user_offer(vu);
	return 0;
}

int vhost_user_set_protocol_features(struct vhost_user *vu,
				     struct vhost_user_msg *msg)
{
	uint64_t unknown = msg->payload.u64 & ~vhost_user_offer(vu);

	if (unknown != 0) {
		return err(-EINVAL, "protocol features 0x%llx were not offered",
			   (unsigned long long)unknown);
	}
	if ((msg->payload.u64 & F(INBAND_NOTIFICATIONS)) &&
	    (msg->payload.u64 & IN_BAND_NEEDS) != IN_BAND_NEEDS) {
		vu->is_lost = true; /* there is no other way to tell */
		return err(-EINVAL, "INBAND_NOTIFICATIONS without BACKEND_REQ "
				    "and REPLY_ACK");
	}
	vu->protocol_features = msg->payload.u64;
	return 0;
}

/* ---- the owner ---- */

/* Whoever has the connection is the owner. */
int vhost_user_set_owner(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	(void)vu;
	(void)msg;
	return 0;
}

/* Deprecated: may disable all rings, and must not discard anything. */
int vhost_user_reset_owner(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	(void)msg;
	vhost_user_enable_all(vu, false);
	return 0;
}

/*
 * The specification says queues. QEMU's net counts pairs, cloud-hypervisor's
 * queues without the control queue, others all of them; so what is told is
 * what all can live with: queues that carry data.
 */
int vhost_user_get_queue_num(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	msg->payload.u64 = vu->n_queues;
	return 0;
}

uint32_t vhost_user_n_data_queues(struct vdpa_device *vdev)
{
	bool has_control =
		vdpa_get_device_id(vdev) == VIRTIO_ID_NET &&
		has_bit(vdpa_get_device_features(vdev), VIRTIO_NET_F_CTRL_VQ);

	return vdev->nvqs - (has_control && vdev->nvqs > 1);
}

int vhost_user_reset_device(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	(void)msg;
	vhost_user_reset(vu);
	return 0;
}

/* ---- status ---- */

int vhost_user_get_status(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	msg->payload.u64 = vu->status | (vdpa_get_status(vu->vdev) &
					 VIRTIO_CONFIG_S_NEEDS_RESET);
	return 0;
}

int vhost_user_set_status(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	uint64_t status = msg->payload.u64;

	if (status == 0) {
		vhost_user_reset(vu);
		return 0;
	}
	status &= ~(uint64_t)VIRTIO_CONFIG_S_NEEDS_RESET; /* ours to set */
	if (status > UINT8_MAX || (vu->status & ~status) != 0) {
		return err(-EINVAL, "status 0x%llx after 0x%02x",
			   (unsigned long long)status, vu->status);
	}
	if ((status & VIRTIO_CONFIG_S_FEATURES_OK) && !vu->has_features) {
		status &= ~(uint64_t)VIRTIO_CONFIG_S_FEATURES_OK;
	}
	vu->status = (uint8_t)status;
	return vhost_user_any_running(vu) ? vhost_user_go(vu) : 0;
}

/* ---- config space ---- */

/*
 * Front ends ask for as much as they know of, which may be more than the
 * device has: the rest is zeroes. An answer without payload is the error.
 */
int vhost_user_get_config(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	struct vhost_user_config *c = &msg->payload.config;
	size_t size = vdpa_get_config_size(vu->vdev);

	memset(c->data, 0, sizeof(c->data));
	if (msg->hdr.size != VHOST_USER_CONFIG_HEAD + c->size ||
	    !range_fits(c->offset, c->size, VHOST_USER_CONFIG_MAX) ||
	    c->offset >= size || c->size == 0) {
		vu->n_bad++;
		msg->reply_size = 0;
		return 0;
	}
	msg->reply_size = msg->hdr.size;
	return vdpa_get_config_raw(vu->vdev, c->offset, c->data,
				   (uint32_t)min_of((size_t)c->size,
						    size - c->offset));
}

/* Fields that are the device's own keep their values, whatever is written. */
int vhost_user_set_config(struct vhost_user *vu, struct vhost_user_msg *msg)
{
	const struct vhost_user_config *c = &msg->payload.config;

	if (msg->hdr.size != VHOST_USER_CONFIG_HEAD + c->size || c->flags > 1) {
		return err(-EINVAL, "%u bytes, flags 0x%x, in %u bytes",
			   c->size, c->flags, msg->hdr.size);
	}
	return vdpa_set_config(vu->vdev, c->offset, c->data, c->size);
}
