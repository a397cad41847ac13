/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices as their drivers in this process see them. See virtio.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "virtio/virtio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "virtio/dma.h"
#include "virtio/virtqueue.h"

#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
/* Reads of config space that are thought to be in time for one that changes. */
#define CREADS_MAX 32
#define CACHE_LINE 64ULL

static const uint64_t ring_features =
	BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |
	BIT_ULL(VIRTIO_F_RING_PACKED) | BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |
	BIT_ULL(VIRTIO_RING_F_EVENT_IDX);

static bool is_set(const uint32_t *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}

static int check_there(const struct virtio_device *vdev)
{
	return is_set(&vdev->is_gone)
		       ? err(-ENODEV, "%s: the device is gone", vdev->name)
		       : 0;
}

/* ---- whose it is ---- */

int virtio_take(struct virtio_device *vdev, void (*config_changed)(void *priv),
		void *priv)
{
	int ret = check_there(vdev);

	if (ret < 0) {
		return ret;
	}
	if (vdev->is_taken) {
		return err(-EBUSY,
			   "%s: a driver has it already: close it there",
			   vdev->name);
	}
	vdev->is_taken = true;
	vdev->config_changed = config_changed;
	vdev->driver_priv = priv;
	return 0;
}

void virtio_put(struct virtio_device *vdev)
{
	vdev->is_taken = false;
	vdev->config_changed = NULL;
	vdev->driver_priv = NULL;
	vdev->config->put(vdev);
}

/* ---- status ---- */

static int add_status(struct virtio_device *vdev, uint8_t bit)
{
	uint8_t want = vdev->config->get_status(vdev) | bit;
	uint8_t got;

	vdev->config->set_status(vdev, want);
	got = vdev->config->get_status(vdev);
	if ((got & bit) == 0 || (got & NEEDS_RESET)) {
		int ret = check_there(vdev);

		return ret < 0 ? ret
			       : err(-EPROTO,
				     "%s: the device does not take status "
				     "0x%02x, it says 0x%02x",
				     vdev->name, want, got);
	}
	return 0;
}

static int choose_features(struct virtio_device *vdev, uint64_t wanted)
{
	uint64_t offered = vdev->config->get_features(vdev);
	int ret;

	if (!has_bit(offered, VIRTIO_F_VERSION_1)) {
		ret = check_there(vdev);
		return ret < 0 ? ret
			       : err(-EOPNOTSUPP,
				     "%s: the device is older than virtio 1.0 "
				     "(it lacks VIRTIO_F_VERSION_1)",
				     vdev->name);
	}
	vdev->features = offered & wanted;
	ret = vdev->config->finalize_features(vdev, vdev->features);
	if (ret < 0 && ret != -ENODEV) {
		return err(-EPROTO,
			   "%s: the device does not take its own features "
			   "0x%llx",
			   vdev->name, (unsigned long long)vdev->features);
	}
	return ret;
}

static int start(struct virtio_device *vdev, uint64_t wanted)
{
	int ret = vdev->config->reset(vdev);

	if (ret == 0) {
		ret = add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	}
	if (ret == 0) {
		ret = add_status(vdev, VIRTIO_CONFIG_S_DRIVER);
	}
	if (ret == 0) {
		ret = choose_features(vdev, wanted);
	}
	if (ret == 0) {
		ret = add_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	}
	return ret;
}

int virtio_start(struct virtio_device *vdev, uint64_t wanted, bool no_packed)
{
	int ret = check_there(vdev);

	if (ret < 0) {
		return ret;
	}
	wanted |= ring_features;
	if (no_packed) {
		wanted &= ~BIT_ULL(VIRTIO_F_RING_PACKED);
	}
	ret = start(vdev, wanted);
	if (ret < 0) {
		return ret;
	}
	vdev->config_size = vdev->config->get_config_size(vdev);
	__atomic_store_n(&vdev->is_broken, 0, __ATOMIC_RELAXED);
	return 0;
}

int virtio_ready(struct virtio_device *vdev)
{
	return add_status(vdev, VIRTIO_CONFIG_S_DRIVER_OK);
}

int virtio_stop(struct virtio_device *vdev)
{
	int ret = is_set(&vdev->is_gone) ? 0 : vdev->config->reset(vdev);

	__atomic_store_n(&vdev->is_broken, 1, __ATOMIC_RELAXED);
	vdev->config->del_vqs(vdev);
	return ret;
}

/* ---- queues ---- */

/* @ret: written in any case, for virtqueue_free() */
static int virtqueue_new(struct virtio_device *vdev, uint16_t idx,
			 struct virtqueue **ret)
{
	struct virtqueue *vq = calloc(1, sizeof(*vq));

	*ret = vq;
	if (!vq) {
		return err(-ENOMEM, "%s: out of memory", vdev->name);
	}
	vq->vdev = vdev;
	vq->idx = idx;
	vq->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vq->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vq->kick_fd < 0 || vq->call_fd < 0) {
		return err(-errno, "%s.vq%u: no eventfd: %s", vdev->name, idx,
			   strerror(errno));
	}
	return vdev->has_peer ? loop_signaller_new(&vq->signaller) : 0;
}

static void free_ring(struct virtqueue *vq)
{
	vq->drv = vq_driver_free(vq->drv);
	if (vq->ring) {
		dma_free(vq->vdev->dma, vq->ring, vq->ring_iova);
		vq->ring = NULL;
	}
}

static void virtqueue_free(struct virtqueue *vq)
{
	if (vq) {
		free_ring(vq);
		(void)loop_signaller_free(vq->signaller);
		(void)close_fd(vq->kick_fd);
		(void)close_fd(vq->call_fd);
		free(vq);
	}
}

/* The memory of the last ring, if it is as large; else new memory. */
static int get_memory(struct virtqueue *vq, uint64_t size_bytes)
{
	struct region *old = vq->ring;

	if (old && region_size(old) == align_up(size_bytes, DMA_PAGE_BYTES)) {
		memset(vq->ring_va, 0, size_bytes);
		return 0;
	}
	return dma_alloc(vq->vdev->dma, size_bytes, &vq->ring, &vq->ring_iova);
}

/* vq->drv is NULL, and is set on success; vq->ring may be set in any case. */
static int alloc_ring(struct virtqueue *vq, uint16_t num, uint32_t extra_bytes)
{
	uint64_t features = vq->vdev->features, extra;
	struct vq_layout at;
	int ret;

	vq_layout(num, features, &at);
	extra = align_up(at.size_bytes, CACHE_LINE);
	ret = get_memory(vq, extra + extra_bytes);
	if (ret < 0) {
		return ret;
	}
	vq->num = num;
	vq->ring_va = region_va(vq->ring);
	vq->desc_area = vq->ring_iova + at.desc_area;
	vq->driver_area = vq->ring_iova + at.driver_area;
	vq->device_area = vq->ring_iova + at.device_area;
	vq->extra_va = vq->ring_va + extra;
	vq->extra_iova = vq->ring_iova + extra;
	return vq_driver_new(num, features, vq->ring_va, vq->ring_iova,
			     &vq->drv);
}

/* The largest power of two up to @max. */
static uint16_t pow2_below(uint16_t max)
{
	uint16_t num = 1;

	while (num <= max / 2) {
		num *= 2;
	}
	return num;
}

static int make_ring(struct virtqueue *vq, const struct virtio_vq_want *want)
{
	struct virtio_device *vdev = vq->vdev;
	uint16_t max = vdev->config->get_vq_num_max(vdev, vq->idx);
	uint16_t min = vdev->config->get_vq_num_min(vdev);
	uint16_t limit = min_of(want->num_max, (uint16_t)VQ_NUM_MAX);
	uint16_t num = pow2_below(min_of(max, limit));
	int ret;

	if (max == 0 || num < min) {
		ret = check_there(vdev);
		return ret < 0 ? ret
			       : err(-EPROTO,
				     "%s.vq%u: the device wants rings of %u to "
				     "%u, which cannot be made",
				     vdev->name, vq->idx, min, max);
	}
	for (;;) {
		ret = alloc_ring(vq, num, want->extra_bytes);
		if (ret != -ENOSPC || num / 2 < min || num == 1) {
			break;
		}
		num /= 2;
	}
	if (ret == 0) {
		/* The device made its calls while the rings were off. */
		vq->is_armed = true;
		virtqueue_disarm(vq);
		vq->poll_us = want->poll_us;
	}
	return ret;
}

static struct virtqueue *find_vq(const struct virtio_device *vdev, uint16_t idx)
{
	for (unsigned int i = 0; i < vdev->n_vqs; i++) {
		if (vdev->vqs[i]->idx == idx) {
			return vdev->vqs[i];
		}
	}
	return NULL;
}

static void free_memory(struct virtqueue *vq, const struct virtqueue *of)
{
	if (of->ring && of->ring != vq->ring) {
		dma_free(vq->vdev->dma, of->ring, of->ring_iova);
	}
}

/* There is a ring at all times, if only an old one, for whoever looks. */
static int renew_ring(struct virtqueue *vq, const struct virtio_vq_want *want)
{
	struct virtqueue fresh = *vq;
	int ret;

	fresh.drv = NULL;
	ret = make_ring(&fresh, want);
	if (ret < 0) {
		free_memory(vq, &fresh);
		return ret;
	}
	free_memory(&fresh, vq);
	(void)vq_driver_free(vq->drv);
	*vq = fresh;
	return 0;
}

static int make_vq(struct virtio_device *vdev,
		   const struct virtio_vq_want *want, struct virtqueue **ret_vq)
{
	int ret;

	*ret_vq = find_vq(vdev, want->idx);
	if (*ret_vq) {
		return renew_ring(*ret_vq, want);
	}
	ret = virtqueue_new(vdev, want->idx, ret_vq);
	return ret < 0 ? ret : make_ring(*ret_vq, want);
}

/* Those that were made just now, and are not of the old ones. */
static void free_new_vqs(struct virtio_device *vdev, struct virtqueue **vqs,
			 unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (vqs[i] && find_vq(vdev, vqs[i]->idx) != vqs[i]) {
			virtqueue_free(vqs[i]);
		}
	}
	free(vqs);
}

/* The old ones that are not wanted any more go. */
static void set_vqs(struct virtio_device *vdev, struct virtqueue **vqs,
		    unsigned int n)
{
	struct virtqueue **old = vdev->vqs;
	unsigned int n_old = vdev->n_vqs;

	vdev->vqs = vqs;
	vdev->n_vqs = n;
	for (unsigned int i = 0; i < n_old; i++) {
		if (find_vq(vdev, old[i]->idx) != old[i]) {
			virtqueue_free(old[i]);
		}
	}
	free(old);
}

static int check_want(struct virtio_device *vdev,
		      const struct virtio_vq_want *want, unsigned int n)
{
	uint32_t n_there = vdev->config->get_n_vqs(vdev);
	int ret = check_there(vdev);

	for (unsigned int i = 0; ret == 0 && i < n; i++) {
		if (want[i].idx >= n_there) {
			return err(-ENOENT,
				   "%s: there is no queue %u, the device has "
				   "%u",
				   vdev->name, want[i].idx, n_there);
		}
	}
	return ret;
}

int virtio_find_vqs(struct virtio_device *vdev,
		    const struct virtio_vq_want *want, unsigned int n)
{
	struct virtqueue **vqs;
	int ret = check_want(vdev, want, n);

	if (ret < 0) {
		return ret;
	}
	vqs = calloc(max_of(n, 1U), sizeof(struct virtqueue *));
	if (!vqs) {
		return err(-ENOMEM, "%s: out of memory", vdev->name);
	}
	for (unsigned int i = 0; ret == 0 && i < n; i++) {
		ret = make_vq(vdev, &want[i], &vqs[i]);
	}
	if (ret == 0) {
		ret = vdev->config->find_vqs(vdev, vqs, n);
	}
	if (ret < 0) {
		free_new_vqs(vdev, vqs, n);
		return ret;
	}
	set_vqs(vdev, vqs, n);
	return 0;
}

void virtio_del_vqs(struct virtio_device *vdev)
{
	for (unsigned int i = 0; i < vdev->n_vqs; i++) {
		virtqueue_free(vdev->vqs[i]);
	}
	free(vdev->vqs);
	vdev->vqs = NULL;
	vdev->n_vqs = 0;
}

/* ---- config space ---- */

/* As much as it has now: it may have become smaller (H82). */
static uint32_t readable(struct virtio_device *vdev, uint32_t offset,
			 uint32_t len)
{
	uint32_t size =
		min_of(vdev->config_size, vdev->config->get_config_size(vdev));

	return offset < size ? min_of(len, size - offset) : 0;
}

int virtio_cread(struct virtio_device *vdev, uint32_t offset, void *buf,
		 uint32_t len)
{
	for (unsigned int i = 0; i < CREADS_MAX; i++) {
		uint32_t before = vdev->config->generation(vdev);
		uint32_t n = readable(vdev, offset, len);
		int ret = check_there(vdev);

		if (ret < 0) {
			return ret;
		}
		memset(buf, 0, len);
		if (n > 0) {
			vdev->config->get(vdev, offset, buf, n);
		}
		if (vdev->config->generation(vdev) == before) {
			return 0;
		}
	}
	return err(-EPROTO, "%s: its config space changes all the time",
		   vdev->name);
}

int virtio_cwrite(struct virtio_device *vdev, uint32_t offset, const void *buf,
		  uint32_t len)
{
	int ret = check_there(vdev);

	if (ret < 0) {
		return ret;
	}
	if (len == 0 || readable(vdev, offset, len) != len) {
		return err(-EPROTO,
			   "%s: %u bytes at %u are not in its config space",
			   vdev->name, len, offset);
	}
	vdev->config->set(vdev, offset, buf, len);
	return 0;
}

/* ---- the end ---- */

/* Control thread; a peer may have made them block. */
static void wake_all(struct virtio_device *vdev)
{
	for (unsigned int i = 0; i < vdev->n_vqs; i++) {
		loop_signal(vdev->control, vdev->vqs[i]->call_fd);
	}
}

static bool set_once(uint32_t *flag)
{
	/* Before the signals; who is woken looks at it. */
	return __atomic_exchange_n(flag, 1, __ATOMIC_SEQ_CST) == 0;
}

void virtio_break(struct virtio_device *vdev)
{
	if (set_once(&vdev->is_broken)) {
		vdev->config->wake(vdev);
	}
}

void virtio_gone(struct virtio_device *vdev)
{
	if (set_once(&vdev->is_gone)) {
		wake_all(vdev);
		if (vdev->config_changed) {
			vdev->config_changed(vdev->driver_priv);
		}
	}
}

void virtio_config_changed(struct virtio_device *vdev)
{
	if (!is_set(&vdev->is_gone) &&
	    (vdev->config->get_status(vdev) & NEEDS_RESET)) {
		(void)set_once(&vdev->is_broken); /* or it was */
	}
	if (is_set(&vdev->is_broken)) {
		wake_all(vdev);
	}
	if (vdev->config_changed) {
		vdev->config_changed(vdev->driver_priv);
	}
}
