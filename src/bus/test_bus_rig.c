/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rig of the tests of bus/: a device, a mgmtdev and a bus driver.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <linux/virtio_ids.h>

#include "bus/test_bus_rig.h"

/* ---- a device that remembers what it was told ---- */

struct fake *fake_of(struct vdpa_device *vdev)
{
	return container_of(vdev, struct fake, vdev);
}

static int f_set_vq_address(struct vdpa_device *vdev, uint16_t idx,
			    uint64_t desc_area, uint64_t driver_area,
			    uint64_t device_area)
{
	return 0;
}

static void f_set_vq_num(struct vdpa_device *vdev, uint16_t idx, uint32_t num)
{
	fake_of(vdev)->num = num;
}

static void f_kick_vq(struct vdpa_device *vdev, uint16_t idx)
{
	fake_of(vdev)->n_kicks++;
}

static void f_set_vq_cb(struct vdpa_device *vdev, uint16_t idx,
			const struct vdpa_callback *cb)
{
}

static void f_set_vq_ready(struct vdpa_device *vdev, uint16_t idx, bool ready)
{
}

static bool f_get_vq_ready(struct vdpa_device *vdev, uint16_t idx)
{
	return true;
}

static int f_set_vq_state(struct vdpa_device *vdev, uint16_t idx,
			  const struct vdpa_vq_state *state)
{
	return 0;
}

static int f_get_vq_state(struct vdpa_device *vdev, uint16_t idx,
			  struct vdpa_vq_state *ret_state)
{
	ret_state->avail_idx = 7;
	return 0;
}

static uint32_t f_get_u32(struct vdpa_device *vdev)
{
	return 1;
}

static uint64_t f_get_u64(struct vdpa_device *vdev)
{
	return fake_of(vdev)->features;
}

static int f_set_driver_features(struct vdpa_device *vdev, uint64_t features)
{
	fake_of(vdev)->features = features;
	return 0;
}

static void f_set_config_cb(struct vdpa_device *vdev,
			    const struct vdpa_callback *cb)
{
}

static uint16_t f_get_vq_num_max(struct vdpa_device *vdev)
{
	return 256;
}

static uint8_t f_get_status(struct vdpa_device *vdev)
{
	return fake_of(vdev)->status;
}

static void f_set_status(struct vdpa_device *vdev, uint8_t status)
{
	fake_of(vdev)->status = status;
}

static int f_reset(struct vdpa_device *vdev)
{
	fake_of(vdev)->n_resets++;
	fake_of(vdev)->status = 0;
	return 0;
}

static size_t f_get_config_size(struct vdpa_device *vdev)
{
	return sizeof(fake_of(vdev)->config);
}

static void f_get_config(struct vdpa_device *vdev, uint32_t offset, void *buf,
			 uint32_t len)
{
	memcpy(buf, fake_of(vdev)->config + offset, len);
}

static void f_set_config(struct vdpa_device *vdev, uint32_t offset,
			 const void *buf, uint32_t len)
{
	memcpy(fake_of(vdev)->config + offset, buf, len);
}

int fake_take_result(struct fake *fake)
{
	int result = fake->map_result;

	fake->map_result = 0;
	return result;
}

int fake_dma_map(struct vdpa_device *vdev, unsigned int asid, uint64_t start,
		 uint64_t last, struct region *region, uint64_t offset,
		 uint32_t perm)
{
	fake_of(vdev)->n_dma_maps++;
	return fake_take_result(fake_of(vdev));
}

const struct vdpa_config_ops fake_ops = {
	.size = sizeof(struct vdpa_config_ops),
	.set_vq_address = f_set_vq_address,
	.set_vq_num = f_set_vq_num,
	.kick_vq = f_kick_vq,
	.set_vq_cb = f_set_vq_cb,
	.set_vq_ready = f_set_vq_ready,
	.get_vq_ready = f_get_vq_ready,
	.set_vq_state = f_set_vq_state,
	.get_vq_state = f_get_vq_state,
	.get_vq_align = f_get_u32,
	.get_device_features = f_get_u64,
	.set_driver_features = f_set_driver_features,
	.get_driver_features = f_get_u64,
	.set_config_cb = f_set_config_cb,
	.get_vq_num_max = f_get_vq_num_max,
	.get_device_id = f_get_u32,
	.get_vendor_id = f_get_u32,
	.get_status = f_get_status,
	.set_status = f_set_status,
	.reset = f_reset,
	.get_config_size = f_get_config_size,
	.get_config = f_get_config,
	.set_config = f_set_config,
};

/* ---- a bus with that device, a mgmtdev and a bus driver ---- */

static int fx_dev_add(struct vdpa_mgmtdev *mgmtdev, const char *name,
		      const struct vdpa_dev_config *config)
{
	struct fixture *fx = mgmtdev->priv;

	fx->seen = *config;
	(void)snprintf(fx->fake.vdev.name, VDPA_NAME_MAX, "%s", name);
	return vdpa_device_register(mgmtdev->bus, mgmtdev, &fx->fake.vdev);
}

static void fx_dev_del(struct vdpa_mgmtdev *mgmtdev, struct vdpa_device *vdev)
{
	struct fixture *fx = mgmtdev->priv;

	vdpa_device_unregister(vdev);
	fx->n_deleted++;
}

static const struct vdpa_mgmtdev_ops fx_mgmtdev_ops = {
	.dev_add = fx_dev_add,
	.dev_del = fx_dev_del,
};

static int fx_probe(struct vdpa_driver *drv, struct vdpa_device *vdev,
		    const struct vdpa_param *params, unsigned int n_params)
{
	struct fixture *fx = drv->priv;

	return fx->probe_result;
}

static bool fx_is_busy(struct vdpa_device *vdev)
{
	struct fixture *fx = vdev->driver->priv;

	return fx->is_busy;
}

static void fx_remove(struct vdpa_device *vdev, bool force)
{
	struct fixture *fx = vdev->driver->priv;

	if (fx->is_busy && !force) {
		fx->waiting = vdev;
		return;
	}
	vdpa_removed(vdev);
}

int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	const struct sim_options options = { .seed = 1 };

	assert_non_null(fx);
	assert_int_equal(sim_new(&options, &fx->sim), 0);
	assert_int_equal(sim_loop_new(fx->sim, "control", &fx->control), 0);
	assert_int_equal(vdpa_bus_new(fx->control, &fx->control, 1, &fx->bus),
			 0);
	fx->fake.ops = fake_ops;
	fx->fake.vdev.ops = &fx->fake.ops;
	fx->fake.vdev.nvqs = 2;
	fx->fake.vdev.ngroups = 2;
	fx->fake.vdev.nas = 2;
	fx->mgmtdev = (struct vdpa_mgmtdev){
		.name = "fake",
		.ops = &fx_mgmtdev_ops,
		.classes = BIT_ULL(VIRTIO_ID_NET),
		.attr_mask = BIT_ULL(VDPA_ATTR_MAC) | BIT_ULL(VDPA_ATTR_MTU) |
			     BIT_ULL(VDPA_ATTR_FEATURES),
		.priv = fx,
	};
	fx->driver = (struct vdpa_driver){
		.name = "shown",
		.probe = fx_probe,
		.is_busy = fx_is_busy,
		.remove = fx_remove,
		.priv = fx,
	};
	fx->del_result = 1;
	assert_int_equal(vdpa_mgmtdev_register(fx->bus, &fx->mgmtdev), 0);
	assert_int_equal(vdpa_driver_register(fx->bus, &fx->driver), 0);
	*state = fx;
	return 0;
}

int tear_down(void **state)
{
	struct fixture *fx = *state;

	vdpa_driver_unregister(&fx->driver);
	vdpa_mgmtdev_unregister(&fx->mgmtdev);
	vdpa_bus_free(fx->bus);
	loop_free(fx->control);
	sim_free(fx->sim);
	free(fx);
	return 0;
}

struct vdpa_device *add_device(struct fixture *fx)
{
	const struct vdpa_dev_config config = { .is_admin = true };

	assert_int_equal(vdpa_dev_add(fx->bus, NULL, "fake", "d0", &config), 0);
	return &fx->fake.vdev;
}
