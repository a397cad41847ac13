/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that does nothing by itself. See fake_dev.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "fake_dev.h"

#include <endian.h>
#include <errno.h>
#include <sys/eventfd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#include "uapi/compat.h"

static struct fake_dev *fake_of(struct vdpa_device *vdev)
{
	return container_of(vdev, struct fake_dev, vdev);
}

/* ---- ops ---- */

static int fake_set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			       uint64_t desc_area, uint64_t driver_area,
			       uint64_t device_area)
{
	struct fake_vq *q = &fake_of(vdev)->q[idx];

	q->desc_area = desc_area;
	q->driver_area = driver_area;
	q->device_area = device_area;
	return 0;
}

static void fake_set_vq_num(struct vdpa_device *vdev, uint16_t idx,
			    uint32_t num)
{
	fake_of(vdev)->q[idx].num = num;
}

static void fake_kick_vq(struct vdpa_device *vdev, uint16_t idx)
{
	(void)vdev;
	(void)idx;
	fail_msg("kicks come by eventfd");
}

static int fake_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd)
{
	fake_of(vdev)->q[idx].kick_fd = fd;
	return 0;
}

static void fake_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
			   const struct vdpa_callback *cb)
{
	fake_of(vdev)->q[idx].call = *cb;
}

static void fake_set_vq_ready(struct vdpa_device *vdev, uint16_t idx,
			      bool is_ready)
{
	fake_of(vdev)->q[idx].is_ready = is_ready;
}

static bool fake_get_vq_ready(struct vdpa_device *vdev, uint16_t idx)
{
	return fake_of(vdev)->q[idx].is_ready;
}

static int fake_set_vq_state(struct vdpa_device *vdev, uint16_t idx,
			     const struct vdpa_vq_state *state)
{
	struct fake_vq *q = &fake_of(vdev)->q[idx];

	q->avail_idx = state->avail_idx;
	q->used_idx = state->avail_idx;
	return 0;
}

static int fake_get_vq_state(struct vdpa_device *vdev, uint16_t idx,
			     struct vdpa_vq_state *ret)
{
	ret->avail_idx = fake_of(vdev)->q[idx].avail_idx;
	return 0;
}

static uint32_t fake_get_vq_align(struct vdpa_device *vdev)
{
	(void)vdev;
	return 4096;
}

static uint64_t fake_get_device_features(struct vdpa_device *vdev)
{
	return fake_of(vdev)->offered;
}

static int fake_set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	fake_of(vdev)->features = features;
	return 0;
}

static uint64_t fake_get_driver_features(struct vdpa_device *vdev)
{
	return fake_of(vdev)->features;
}

static void fake_set_config_cb(struct vdpa_device *vdev,
			       const struct vdpa_callback *cb)
{
	fake_of(vdev)->config_call = *cb;
}

static uint16_t fake_get_vq_num_max(struct vdpa_device *vdev)
{
	(void)vdev;
	return 64;
}

static uint32_t fake_get_device_id(struct vdpa_device *vdev)
{
	return fake_of(vdev)->device_id;
}

static uint32_t fake_get_vendor_id(struct vdpa_device *vdev)
{
	(void)vdev;
	return 0;
}

static uint8_t fake_get_status(struct vdpa_device *vdev)
{
	return fake_of(vdev)->status;
}

static void note_step(struct fake_dev *f, uint8_t status)
{
	assert_in_range(f->n_steps, 0, FAKE_STEPS_MAX - 1);
	f->steps[f->n_steps++] = status;
}

static int wait_for_test(struct fake_dev *f)
{
	while (f->waits) {
		int ret = vdpa_wait(&f->vdev);

		if (ret < 0) {
			return ret;
		}
	}
	return 0;
}

static void fake_set_status(struct vdpa_device *vdev, uint8_t status)
{
	struct fake_dev *f = fake_of(vdev);

	note_step(f, status);
	if (wait_for_test(f) == 0) {
		f->status = status & (uint8_t)~f->refused;
	}
}

static int fake_reset(struct vdpa_device *vdev)
{
	struct fake_dev *f = fake_of(vdev);
	int ret;

	note_step(f, 0);
	ret = wait_for_test(f);
	if (ret < 0 || f->reset_ret < 0) {
		return ret < 0 ? ret : f->reset_ret;
	}
	f->status = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(f->q); i++) {
		f->q[i].is_ready = false;
	}
	return 0;
}

static size_t fake_get_config_size(struct vdpa_device *vdev)
{
	return fake_of(vdev)->config_size;
}

static void fake_get_config(struct vdpa_device *vdev, uint32_t offset,
			    void *buf, uint32_t len)
{
	struct fake_dev *f = fake_of(vdev);

	assert_true(range_fits(offset, len, f->config_size));
	memcpy(buf, f->config + offset, len);
}

static void fake_set_config(struct vdpa_device *vdev, uint32_t offset,
			    const void *buf, uint32_t len)
{
	struct fake_dev *f = fake_of(vdev);

	assert_true(range_fits(offset, len, f->config_size));
	memcpy(f->config + offset, buf, len);
}

static int fake_set_map(struct vdpa_device *vdev, unsigned int asid,
			struct iotlb_snap *map)
{
	struct fake_dev *f = fake_of(vdev);

	assert_int_equal(asid, 0);
	iotlb_snap_unref(f->map);
	f->map = iotlb_snap_ref(map);
	f->n_maps++;
	return 0;
}

void fake_init(struct fake_dev *f)
{
	*f = (struct fake_dev){
		.ops = {
			.size = sizeof(f->ops),
			.set_vq_address = fake_set_vq_address,
			.set_vq_num = fake_set_vq_num,
			.kick_vq = fake_kick_vq,
			.set_vq_kick_fd = fake_set_vq_kick_fd,
			.set_vq_cb = fake_set_vq_cb,
			.set_vq_ready = fake_set_vq_ready,
			.get_vq_ready = fake_get_vq_ready,
			.set_vq_state = fake_set_vq_state,
			.get_vq_state = fake_get_vq_state,
			.get_vq_align = fake_get_vq_align,
			.get_device_features = fake_get_device_features,
			.set_driver_features = fake_set_driver_features,
			.get_driver_features = fake_get_driver_features,
			.set_config_cb = fake_set_config_cb,
			.get_vq_num_max = fake_get_vq_num_max,
			.get_device_id = fake_get_device_id,
			.get_vendor_id = fake_get_vendor_id,
			.get_status = fake_get_status,
			.set_status = fake_set_status,
			.reset = fake_reset,
			.get_config_size = fake_get_config_size,
			.get_config = fake_get_config,
			.set_config = fake_set_config,
			.set_map = fake_set_map,
		},
		.offered = BIT_ULL(VIRTIO_F_VERSION_1) |
			   BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) | 0xf0,
		.device_id = VIRTIO_ID_BLOCK,
		.config_size = FAKE_CONFIG,
	};
	strcpy(f->vdev.name, "fake");
	f->vdev.ops = &f->ops;
	f->vdev.nvqs = 1;
	f->vdev.ngroups = 1;
	f->vdev.nas = 1;
}

void fake_fini(struct fake_dev *f)
{
	iotlb_snap_unref(f->map);
}

/* ---- the ring ---- */

void fake_read(struct fake_dev *f, uint64_t addr, void *buf, uint32_t len)
{
	assert_int_equal(mem_read(f->map, addr, buf, len), 0);
}

void fake_write(struct fake_dev *f, uint64_t addr, const void *buf,
		uint32_t len)
{
	assert_int_equal(mem_write(f->map, addr, buf, len), 0);
}

static uint16_t read16(struct fake_dev *f, uint64_t addr)
{
	uint16_t v;

	fake_read(f, addr, &v, sizeof(v));
	return le16toh(v);
}

bool fake_take(struct fake_dev *f, struct fake_chain *ret)
{
	struct fake_vq *q = &f->q[0];
	struct vring_desc d;
	uint16_t at;

	if (read16(f, q->driver_area + 2) == q->avail_idx) {
		return false;
	}
	at = read16(f, q->driver_area + 4 + 2 * (q->avail_idx % q->num));
	q->avail_idx++;
	*ret = (struct fake_chain){ .head = at };
	do {
		fake_read(f, q->desc_area + 16ULL * at, &d, sizeof(d));
		assert_in_range(ret->n, 0, FAKE_DESCS_MAX - 1);
		ret->d[ret->n].addr = le64toh(d.addr);
		ret->d[ret->n].len = le32toh(d.len);
		ret->n++;
		ret->n_readable += !(le16toh(d.flags) & VRING_DESC_F_WRITE);
		at = le16toh(d.next);
	} while (le16toh(d.flags) & VRING_DESC_F_NEXT);
	return true;
}

void fake_set_used_idx(struct fake_dev *f, uint16_t idx)
{
	struct fake_vq *q = &f->q[0];
	uint16_t v = htole16(idx);

	q->used_idx = idx;
	fake_write(f, q->device_area + 2, &v, sizeof(v));
	assert_int_equal(eventfd_write(q->call.trigger_fd, 1), 0);
}

void fake_use(struct fake_dev *f, uint32_t id, uint32_t len)
{
	struct fake_vq *q = &f->q[0];
	const uint32_t elem[2] = { htole32(id), htole32(len) };

	fake_write(f, q->device_area + 4 + 8 * (q->used_idx % q->num), elem,
		   sizeof(elem));
	fake_set_used_idx(f, (uint16_t)(q->used_idx + 1));
}
