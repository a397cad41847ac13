/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of bus/: registries, binding, wrappers, address spaces.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/err.h"
#include "bus/bus.h"
#include "lib/oom.h"
#include "lib/test.h"

/* ---- a device that remembers what it was told ---- */

struct fake {
	struct vdpa_device vdev;
	struct vdpa_config_ops ops;
	uint8_t status;
	uint64_t features;
	uint32_t num;
	uint32_t group;
	unsigned int n_kicks, n_resets, n_compat_resets;
	unsigned int n_set_maps, n_dma_maps, n_dma_unmaps, n_reset_maps;
	unsigned int n_entries_seen;
	uint64_t last_unmapped;
	int map_result; /* of the next change of the map */
	char config[16];
};

static struct fake *fake_of(struct vdpa_device *vdev)
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

static int f_compat_reset(struct vdpa_device *vdev, uint32_t flags)
{
	fake_of(vdev)->n_compat_resets++;
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

static uint32_t f_get_vq_group(struct vdpa_device *vdev, uint16_t idx)
{
	return fake_of(vdev)->group;
}

static int take_result(struct fake *fake)
{
	int result = fake->map_result;

	fake->map_result = 0;
	return result;
}

static int f_set_map(struct vdpa_device *vdev, unsigned int asid,
		     struct iotlb_snap *map)
{
	struct fake *fake = fake_of(vdev);
	const struct iotlb_entry *e = iotlb_first(map, 0);

	fake->n_set_maps++;
	fake->n_entries_seen = 0;
	while (e) {
		fake->n_entries_seen++;
		e = e->last == UINT64_MAX ? NULL
					  : iotlb_first(map, e->last + 1);
	}
	return take_result(fake);
}

static int f_dma_map(struct vdpa_device *vdev, unsigned int asid,
		     uint64_t start, uint64_t last, struct region *region,
		     uint64_t offset, uint32_t perm)
{
	fake_of(vdev)->n_dma_maps++;
	return take_result(fake_of(vdev));
}

static int f_dma_unmap(struct vdpa_device *vdev, unsigned int asid,
		       uint64_t start, uint64_t last)
{
	fake_of(vdev)->n_dma_unmaps++;
	fake_of(vdev)->last_unmapped = start;
	return 0;
}

static int f_reset_map(struct vdpa_device *vdev, unsigned int asid)
{
	fake_of(vdev)->n_reset_maps++;
	return 0;
}

static const struct vdpa_config_ops fake_ops = {
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

struct fixture {
	struct vdpa_bus *bus;
	struct fake fake;
	struct vdpa_mgmtdev mgmtdev;
	struct vdpa_driver driver;
	bool is_busy;
	int probe_result;
	struct vdpa_device *waiting; /* remove() was called, not ended */
	unsigned int n_deleted;
	int del_result;
	struct vdpa_dev_config seen;
};

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

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct loop *none[] = { NULL };

	assert_non_null(fx);
	assert_int_equal(vdpa_bus_new(NULL, none, 1, &fx->bus), 0);
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

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vdpa_driver_unregister(&fx->driver);
	vdpa_mgmtdev_unregister(&fx->mgmtdev);
	vdpa_bus_free(fx->bus);
	free(fx);
	return 0;
}

static struct vdpa_device *add_device(struct fixture *fx)
{
	const struct vdpa_dev_config config = { .is_admin = true };

	assert_int_equal(vdpa_dev_add(fx->bus, NULL, "fake", "d0", &config), 0);
	return &fx->fake.vdev;
}

/* ---- management ---- */

static void test_dev_add_refuses_what_the_kernel_refuses(void **state)
{
	struct fixture *fx = *state;
	const struct {
		struct vdpa_dev_config config;
		const char *mgmtdev;
		int want;
		const char *text;
	} cases[] = {
		{ { .mask = BIT_ULL(VDPA_ATTR_MTU),
		    .mtu = 67,
		    .is_admin = true },
		  "fake",
		  -ERANGE,
		  "integer out of range" },
		{ { .mask = BIT_ULL(VDPA_ATTR_MAX_VQP), .is_admin = true },
		  "fake",
		  -EINVAL,
		  "At least one pair of VQs is required" },
		{ { .mask = BIT_ULL(VDPA_ATTR_MAC) |
			    BIT_ULL(VDPA_ATTR_FEATURES),
		    .is_admin = true },
		  "fake",
		  -EINVAL,
		  "Missing features 0x20 for provided attributes" },
		{ { .mask = BIT_ULL(VDPA_ATTR_MAC) },
		  "fake",
		  -EPERM,
		  "network attributes need CAP_NET_ADMIN" },
		{ { .is_admin = true },
		  "nobody",
		  -ENODEV,
		  "Fail to find the specified management device" },
		{ { .mask = BIT_ULL(VDPA_ATTR_MAX_VQP),
		    .max_vq_pairs = 2,
		    .is_admin = true },
		  "fake",
		  -EOPNOTSUPP,
		  "Some provided attributes are not supported: 0x1000" },
		{ { .n_params = 1, .params = { { "colour", "red" } } },
		  "fake",
		  -EOPNOTSUPP,
		  "fake takes no 'colour': see `vdpakit mgmtdev show fake`" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int ret = vdpa_dev_add(fx->bus, NULL, cases[i].mgmtdev, "d0",
				       &cases[i].config);

		assert_int_equal(ret, cases[i].want);
		assert_string_equal(err_text(ret), cases[i].text);
	}
	assert_null(vdpa_device_next(fx->bus, NULL));
}

static void test_dev_add_refuses_ambiguous_features(void **state)
{
	struct fixture *fx = *state;
	const struct vdpa_dev_config config = {
		.mask = BIT_ULL(VDPA_ATTR_FEATURES),
		.device_features = BIT_ULL(VIRTIO_NET_F_MAC),
	};

	fx->mgmtdev.classes |= BIT_ULL(VIRTIO_ID_BLOCK);
	assert_int_equal(vdpa_dev_add(fx->bus, NULL, "fake", "d0", &config),
			 -EINVAL);
}

static void test_dev_add_and_del_by_name(void **state)
{
	struct fixture *fx = *state;
	const struct vdpa_dev_config config = { .mask = BIT_ULL(VDPA_ATTR_MTU),
						.mtu = 9000,
						.is_admin = true };

	assert_int_equal(vdpa_dev_add(fx->bus, NULL, "fake", "../d", &config),
			 -EINVAL);
	assert_int_equal(vdpa_dev_add(fx->bus, NULL, "fake", "d0", &config), 0);
	assert_int_equal(fx->seen.mtu, 9000);
	assert_int_equal(vdpa_dev_add(fx->bus, NULL, "fake", "d0", &config),
			 -EEXIST);
	assert_ptr_equal(vdpa_device_find(fx->bus, "d0"), &fx->fake.vdev);
	assert_int_equal(vdpa_dev_del(fx->bus, "d1", NULL, NULL), -ENODEV);
	assert_int_equal(vdpa_dev_del(fx->bus, "d0", NULL, NULL), 0);
	assert_int_equal(fx->n_deleted, 1);
	assert_null(vdpa_device_find(fx->bus, "d0"));
}

static void keep_result(void *priv, int result)
{
	*(int *)priv = result;
}

static void test_dev_del_waits_for_the_consumer(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);

	fx->is_busy = true;
	assert_int_equal(
		vdpa_dev_del(fx->bus, "d0", keep_result, &fx->del_result), 0);
	assert_int_equal(fx->del_result, 1);
	assert_ptr_equal(fx->waiting, vdev);
	assert_int_equal(vdpa_dev_del(fx->bus, "d0", NULL, NULL), -EBUSY);
	assert_int_equal(vdpa_dev_unbind(fx->bus, "d0"), -EBUSY);
	vdpa_removed(vdev);
	assert_int_equal(fx->del_result, 0);
	assert_int_equal(fx->n_deleted, 1);
}

static void test_unregister_ends_a_dev_del_that_waits(void **state)
{
	struct fixture *fx = *state;

	(void)add_device(fx);
	fx->is_busy = true;
	assert_int_equal(
		vdpa_dev_del(fx->bus, "d0", keep_result, &fx->del_result), 0);
	vdpa_mgmtdev_unregister(&fx->mgmtdev);
	assert_int_equal(fx->del_result, 0);
	assert_int_equal(fx->n_deleted, 1);

	assert_int_equal(vdpa_mgmtdev_register(fx->bus, &fx->mgmtdev), 0);
	fx->del_result = 1;
	(void)add_device(fx);
	assert_int_equal(
		vdpa_dev_del(fx->bus, "d0", keep_result, &fx->del_result), 0);
	vdpa_driver_unregister(&fx->driver);
	assert_int_equal(fx->del_result, 0);
	assert_int_equal(fx->n_deleted, 2);
	assert_int_equal(vdpa_driver_register(fx->bus, &fx->driver), 0);
}

static void test_unmanaged_device_cannot_be_deleted(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = &fx->fake.vdev;

	(void)snprintf(vdev->name, VDPA_NAME_MAX, "hw0");
	assert_int_equal(vdpa_device_register(fx->bus, NULL, vdev), 0);
	assert_int_equal(vdpa_dev_del(fx->bus, "hw0", NULL, NULL), -EINVAL);
	assert_int_equal(vdpa_dev_unbind(fx->bus, "hw0"), 0);
	vdpa_device_unregister(vdev);
}

static void test_register_refuses_incomplete_devices(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = &fx->fake.vdev;

	(void)snprintf(vdev->name, VDPA_NAME_MAX, "hw0");
	fx->fake.ops.kick_vq = NULL;
	assert_int_equal(vdpa_device_register(fx->bus, NULL, vdev), -EINVAL);
	fx->fake.ops = fake_ops;
	fx->fake.ops.dma_map = f_dma_map; /* without dma_unmap */
	assert_int_equal(vdpa_device_register(fx->bus, NULL, vdev), -EINVAL);
	fx->fake.ops = fake_ops;
	fx->fake.ops.size -= sizeof(void *); /* before its last member was */
	assert_int_equal(vdpa_device_register(fx->bus, NULL, vdev), -EINVAL);
	fx->fake.ops = fake_ops;
	vdev->nas = 0;
	assert_int_equal(vdpa_device_register(fx->bus, NULL, vdev), -EINVAL);
}

static void test_bind_and_unbind_while_idle(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);

	assert_ptr_equal(vdev->driver, &fx->driver);
	assert_int_equal(vdpa_dev_bind(fx->bus, "d0", "nobody", NULL, 0),
			 -ENODEV);
	assert_int_equal(vdpa_dev_bind(fx->bus, "d9", "shown", NULL, 0),
			 -ENODEV);
	fx->is_busy = true;
	assert_int_equal(vdpa_dev_bind(fx->bus, "d0", "shown", NULL, 0),
			 -EBUSY);
	assert_int_equal(vdpa_dev_unbind(fx->bus, "d0"), -EBUSY);
	fx->is_busy = false;
	assert_int_equal(vdpa_dev_bind(fx->bus, "d0", "shown", NULL, 0), 0);
	assert_int_equal(vdpa_dev_unbind(fx->bus, "d0"), 0);
	assert_null(vdev->driver);
	assert_int_equal(vdpa_dev_unbind(fx->bus, "d0"), -ENOENT);
	fx->probe_result = -EOPNOTSUPP;
	assert_int_equal(vdpa_dev_bind(fx->bus, "d0", "shown", NULL, 0),
			 -EOPNOTSUPP);
	assert_null(vdev->driver);
	fx->probe_result = 0;
}

static void test_dev_set_takes_a_mac_only(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_dev_config config = { .mask = BIT_ULL(VDPA_ATTR_MAC),
					  .mac = { 0x52, 0x54 } };

	add_device(fx);
	assert_int_equal(vdpa_dev_set(fx->bus, "d9", &config), -ENODEV);
	assert_int_equal(vdpa_dev_set(fx->bus, "d0", &config), -EOPNOTSUPP);
	assert_string_equal(err_text(-EOPNOTSUPP),
			    "Operation not supported by the device.");
	config.mac[0] = 1; /* multicast */
	assert_int_equal(vdpa_dev_set(fx->bus, "d0", &config), -EOPNOTSUPP);
	assert_string_equal(err_text(-EOPNOTSUPP), "Invalid MAC address");
}

static void test_names_are_unique_in_every_registry(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_mgmtdev twin = { .name = "fake", .ops = &fx_mgmtdev_ops };
	struct vdpa_driver twin_driver = fx->driver;

	assert_int_equal(vdpa_mgmtdev_register(fx->bus, &twin), -EEXIST);
	assert_int_equal(vdpa_driver_register(fx->bus, &twin_driver), -EEXIST);
	twin.bus_name = "pci";
	assert_int_equal(vdpa_mgmtdev_register(fx->bus, &twin), 0);
	assert_ptr_equal(vdpa_mgmtdev_find(fx->bus, NULL, "fake"),
			 &fx->mgmtdev);
	assert_ptr_equal(vdpa_mgmtdev_find(fx->bus, "pci", "fake"), &twin);
	assert_null(vdpa_mgmtdev_find(fx->bus, "usb", "fake"));
	vdpa_mgmtdev_unregister(&twin);
}

/* ---- wrappers ---- */

static void test_vq_index_is_checked_by_every_wrapper(void **state)
{
	static const uint32_t bad[] = { 2, 3, 0x10000, 0x80000000, ~0U };
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_vq_state vq_state;
	uint32_t group;
	uint16_t size;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) { /* H60 */
		uint32_t idx = bad[i];

		assert_int_equal(vdpa_set_vq_address(vdev, idx, 0, 0, 0),
				 -EINVAL);
		assert_int_equal(vdpa_set_vq_num(vdev, idx, 8), -EINVAL);
		assert_int_equal(vdpa_kick_vq(vdev, idx), -EINVAL);
		assert_int_equal(vdpa_set_vq_kick_fd(vdev, idx, -1), -EINVAL);
		assert_int_equal(vdpa_set_vq_cb(vdev, idx, NULL), -EINVAL);
		assert_int_equal(vdpa_set_vq_ready(vdev, idx, true), -EINVAL);
		assert_false(vdpa_get_vq_ready(vdev, idx));
		assert_int_equal(vdpa_set_vq_state(vdev, idx, &vq_state),
				 -EINVAL);
		assert_int_equal(vdpa_get_vq_state(vdev, idx, &vq_state),
				 -EINVAL);
		assert_int_equal(vdpa_get_vq_group(vdev, idx, &group), -EINVAL);
		assert_int_equal(vdpa_get_vq_size(vdev, idx, &size), -EINVAL);
	}
	assert_int_equal(fx->fake.n_kicks, 0);
	assert_int_equal(vdpa_kick_vq(vdev, 1), 0);
	assert_int_equal(fx->fake.n_kicks, 1);
	assert_int_equal(vdpa_get_vq_state(vdev, 1, &vq_state), 0);
	assert_int_equal(vq_state.avail_idx, 7);
}

static void test_missing_optional_ops_are_eopnotsupp(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_notification_area area;
	uint64_t cpus;
	uint32_t group;
	uint16_t size;

	assert_int_equal(vdpa_suspend(vdev), -EOPNOTSUPP);
	assert_int_equal(vdpa_resume(vdev), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_group(vdev, 0, &group), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_desc_group(vdev, 0, &group), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_size(vdev, 0, &size), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_irq(vdev, 0), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_notification(vdev, 0, &area), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_vq_kick_fd(vdev, 0, -1), -EOPNOTSUPP);
	assert_int_equal(vdpa_kick_vq_with_data(vdev, 1), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_vq_affinity(vdev, 0, 1), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vq_affinity(vdev, 0, &cpus), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_vendor_vq_stats(vdev, 0, NULL, NULL),
			 -EOPNOTSUPP);
	assert_int_equal(vdpa_set_group_asid(vdev, 0, 0), -EOPNOTSUPP);
	assert_int_equal(vdpa_get_generation(vdev), 0);
	assert_int_equal(vdpa_get_backend_features(vdev), 0);
	assert_int_equal(vdpa_bind_mm(vdev, 1), 0);
}

static void test_missing_migration_ops_are_eopnotsupp(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	const uint8_t mac[6] = { 0 };
	char buf[1];

	assert_int_equal(vdpa_set_gate(vdev, NULL), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_vq_log(vdev, 0, NULL), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_vq_inflight(vdev, 0, NULL), -EOPNOTSUPP);
	assert_int_equal(vdpa_set_miss(vdev, NULL), -EOPNOTSUPP);
	assert_int_equal(vdpa_announce(vdev, mac), -EOPNOTSUPP);
	assert_int_equal(vdpa_save_state(vdev, buf, 1), -EOPNOTSUPP);
	assert_int_equal(vdpa_load_state(vdev, buf, 1), -EOPNOTSUPP);
}

/* ---- optional ops that are there ---- */

static void f_kick_vq_with_data(struct vdpa_device *vdev, uint32_t data)
{
	fake_of(vdev)->num = data;
}

static int f_set_vq_kick_fd(struct vdpa_device *vdev, uint16_t idx, int fd)
{
	return fd == 5 && idx == 1 ? 0 : -EBADF;
}

static int f_get_vq_notification(struct vdpa_device *vdev, uint16_t idx,
				 struct vdpa_notification_area *ret_area)
{
	ret_area->offset = idx * 4096U;
	return 0;
}

static int f_get_vq_irq(struct vdpa_device *vdev, uint16_t idx)
{
	return 40 + idx;
}

static int f_set_vq_affinity(struct vdpa_device *vdev, uint16_t idx,
			     uint64_t cpus)
{
	fake_of(vdev)->features = cpus;
	return 0;
}

static uint64_t f_get_vq_affinity(struct vdpa_device *vdev, uint16_t idx)
{
	return fake_of(vdev)->features;
}

static int f_suspend(struct vdpa_device *vdev)
{
	return -EIO;
}

static void f_get_iova_range(struct vdpa_device *vdev,
			     struct vdpa_iova_range *ret_range)
{
	ret_range->last = 0xffff;
}

static int f_bind_mm(struct vdpa_device *vdev, int pid)
{
	fake_of(vdev)->num = (uint32_t)pid;
	return 0;
}

static void f_unbind_mm(struct vdpa_device *vdev)
{
	fake_of(vdev)->num = 0;
}

static int f_set_vq_log(struct vdpa_device *vdev, uint16_t idx,
			const struct vdpa_vq_log *log)
{
	return idx == 1 && !log ? 0 : -EIO;
}

static int f_set_vq_inflight(struct vdpa_device *vdev, uint16_t idx,
			     const struct vdpa_inflight *inflight)
{
	fake_of(vdev)->num = (uint32_t)inflight->size_bytes;
	return 0;
}

static int f_set_miss(struct vdpa_device *vdev, const struct vdpa_miss *miss)
{
	return miss ? -EIO : 0;
}

static int f_announce(struct vdpa_device *vdev, const uint8_t mac[6])
{
	fake_of(vdev)->num = mac[5];
	return 0;
}

static int64_t f_save_state(struct vdpa_device *vdev, void *buf, size_t size)
{
	return (int64_t)size - 1;
}

static int f_load_state(struct vdpa_device *vdev, const void *buf, size_t size)
{
	fake_of(vdev)->num = (uint32_t)size;
	return 0;
}

static void test_optional_vq_ops_are_called_where_they_are(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_notification_area area;
	uint64_t cpus;
	uint32_t group;

	fx->fake.ops.kick_vq_with_data = f_kick_vq_with_data;
	fx->fake.ops.set_vq_kick_fd = f_set_vq_kick_fd;
	fx->fake.ops.get_vq_notification = f_get_vq_notification;
	fx->fake.ops.get_vq_irq = f_get_vq_irq;
	fx->fake.ops.set_vq_affinity = f_set_vq_affinity;
	fx->fake.ops.get_vq_affinity = f_get_vq_affinity;
	fx->fake.ops.get_vq_desc_group = f_get_vq_group;
	/* the index is in the low half, the rest is the device's */
	assert_int_equal(vdpa_kick_vq_with_data(vdev, 0x70001), 0);
	assert_int_equal(fx->fake.num, 0x70001);
	assert_int_equal(vdpa_kick_vq_with_data(vdev, 0x10002), -EINVAL);
	assert_int_equal(vdpa_set_vq_kick_fd(vdev, 1, 5), 0);
	assert_int_equal(vdpa_get_vq_notification(vdev, 1, &area), 0);
	assert_int_equal(area.offset, 4096);
	assert_int_equal(vdpa_get_vq_irq(vdev, 1), 41);
	assert_int_equal(vdpa_set_vq_affinity(vdev, 0, 6), 0);
	assert_int_equal(vdpa_get_vq_affinity(vdev, 0, &cpus), 0);
	assert_int_equal(cpus, 6);
	fx->fake.group = 1;
	assert_int_equal(vdpa_get_vq_desc_group(vdev, 0, &group), 0);
	assert_int_equal(group, 1);
	fx->fake.group = 2;
	assert_int_equal(vdpa_get_vq_desc_group(vdev, 0, &group), -EIO);
}

static void test_optional_device_ops_are_called_where_they_are(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_iova_range range;

	vdpa_get_iova_range(vdev, &range);
	assert_int_equal(range.first, 0);
	assert_true(range.last == UINT64_MAX);
	fx->fake.ops.get_iova_range = f_get_iova_range;
	fx->fake.ops.suspend = f_suspend;
	fx->fake.ops.resume = f_suspend;
	fx->fake.ops.get_generation = f_get_u32;
	fx->fake.ops.get_vq_num_min = f_get_vq_num_max;
	fx->fake.ops.bind_mm = f_bind_mm;
	fx->fake.ops.unbind_mm = f_unbind_mm;
	vdpa_get_iova_range(vdev, &range);
	assert_int_equal(range.last, 0xffff);
	assert_true(vdpa_can_suspend(vdev) && vdpa_can_resume(vdev));
	assert_int_equal(vdpa_suspend(vdev), -EIO);
	assert_int_equal(vdpa_resume(vdev), -EIO);
	assert_int_equal(vdpa_get_generation(vdev), 1);
	assert_int_equal(vdpa_set_vq_num(vdev, 0, 128), -EINVAL);
	assert_int_equal(vdpa_set_vq_num(vdev, 0, 256), 0);
	assert_int_equal(vdpa_bind_mm(vdev, 77), 0);
	assert_int_equal(fx->fake.num, 77);
	vdpa_unbind_mm(vdev);
	assert_int_equal(fx->fake.num, 0);
}

static void test_migration_ops_are_called_where_they_are(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	const uint8_t mac[6] = { [5] = 9 };
	char buf[8];

	fx->fake.ops.set_vq_log = f_set_vq_log;
	fx->fake.ops.set_miss = f_set_miss;
	fx->fake.ops.announce = f_announce;
	fx->fake.ops.save_state = f_save_state;
	fx->fake.ops.load_state = f_load_state;
	assert_int_equal(vdpa_set_vq_log(vdev, 1, NULL), 0);
	assert_int_equal(vdpa_set_vq_log(vdev, 2, NULL), -EINVAL);
	assert_int_equal(vdpa_set_miss(vdev, NULL), 0);
	assert_int_equal(vdpa_announce(vdev, mac), 0);
	assert_int_equal(fx->fake.num, 9);
	assert_int_equal(vdpa_save_state(vdev, buf, sizeof(buf)), 7);
	assert_int_equal(vdpa_load_state(vdev, buf, sizeof(buf)), 0);
	assert_int_equal(fx->fake.num, 8);
	assert_int_equal(vdpa_load_state(vdev, buf, VDPA_STATE_MAX + 1U),
			 -EINVAL);
	assert_int_equal(fx->fake.num, 8);
}

static void test_inflight_log_must_lie_in_its_file(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct vdpa_inflight inflight = { .offset = 60, .size_bytes = 4 };
	char mem[64];

	assert_int_equal(region_new_own(mem, sizeof(mem), NULL, NULL,
					&inflight.region),
			 0);
	fx->fake.ops.set_vq_inflight = f_set_vq_inflight;
	assert_int_equal(vdpa_set_vq_inflight(vdev, 0, &inflight), 0);
	assert_int_equal(fx->fake.num, 4);
	inflight.size_bytes = 5;
	assert_int_equal(vdpa_set_vq_inflight(vdev, 0, &inflight), -EINVAL);
	inflight.offset = UINT64_MAX;
	assert_int_equal(vdpa_set_vq_inflight(vdev, 0, &inflight), -EINVAL);
	assert_int_equal(vdpa_set_vq_inflight(vdev, 2, &inflight), -EINVAL);
	region_unref(inflight.region);
}

static void test_group_out_of_range_is_eio(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	uint32_t group = 9;

	fx->fake.ops.get_vq_group = f_get_vq_group;
	fx->fake.group = 2;
	assert_int_equal(vdpa_get_vq_group(vdev, 0, &group), -EIO);
	assert_int_equal(group, 9);
	fx->fake.group = 1;
	assert_int_equal(vdpa_get_vq_group(vdev, 0, &group), 0);
	assert_int_equal(group, 1);
	assert_int_equal(vdpa_set_group_asid(vdev, 2, 0), -EINVAL);
	assert_int_equal(vdpa_set_group_asid(vdev, 0, 2), -EINVAL);
}

static void test_ring_size_is_bounded(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);

	assert_int_equal(vdpa_set_vq_num(vdev, 0, 0), -EINVAL); /* H25 */
	assert_int_equal(vdpa_set_vq_num(vdev, 0, 257), -EINVAL);
	assert_int_equal(vdpa_set_vq_num(vdev, 0, 256), 0);
	assert_int_equal(fx->fake.num, 256);
}

static void test_status_never_loses_a_bit(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);

	assert_int_equal(vdpa_set_status(vdev, 0x3), 0);
	assert_int_equal(vdpa_set_status(vdev, 0x1), -EINVAL); /* H71 */
	assert_int_equal(vdpa_set_status(vdev, 0), -EINVAL);
	assert_int_equal(vdpa_get_status(vdev), 0x3);
	assert_int_equal(vdpa_set_status(vdev, 0xf), 0);
	assert_int_equal(vdpa_reset(vdev, 0), 0);
	assert_int_equal(vdpa_get_status(vdev), 0);
}

static void test_reset_flags_go_to_compat_reset_if_there(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);

	assert_int_equal(vdpa_reset(vdev, VDPA_RESET_F_CLEAN_MAP), 0);
	assert_int_equal(fx->fake.n_resets, 1);
	fx->fake.ops.compat_reset = f_compat_reset;
	assert_int_equal(vdpa_reset(vdev, VDPA_RESET_F_CLEAN_MAP), 0);
	assert_int_equal(fx->fake.n_compat_resets, 1);
	assert_int_equal(vdpa_reset(vdev, 0), 0);
	assert_int_equal(fx->fake.n_resets, 2);
}

static void test_config_range_is_checked(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	char buf[32] = "0123456789abcdef";

	/* H61 */
	assert_int_equal(vdpa_get_config(vdev, 0, buf, 0), -EINVAL);
	assert_int_equal(vdpa_get_config(vdev, 17, buf, 1), -EINVAL);
	assert_int_equal(vdpa_get_config(vdev, ~0U, buf, 2), -EINVAL);
	assert_int_equal(vdpa_get_config(vdev, 1, buf, ~0U), -EINVAL);
	assert_int_equal(vdpa_set_config(vdev, 10, buf, 7), -EINVAL);
	assert_int_equal(vdpa_set_config(vdev, 0, buf, 16), 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(vdpa_get_config(vdev, 15, buf, 1), 0);
	assert_int_equal(buf[0], 'f');
}

static void test_config_before_features_is_a_legacy_driver(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	char buf[4];

	fx->fake.features = 99;
	assert_int_equal(vdpa_get_config_raw(vdev, 0, buf, 4), 0);
	assert_int_equal(fx->fake.features, 99);
	assert_int_equal(vdpa_get_config(vdev, 0, buf, 4), 0);
	assert_int_equal(fx->fake.features, 0);
	assert_int_equal(vdpa_set_driver_features(vdev, 5), 0);
	assert_int_equal(vdpa_get_config(vdev, 0, buf, 4), 0);
	assert_int_equal(fx->fake.features, 5);
}

/* ---- address spaces ---- */

static struct region *some_memory(void)
{
	static char bytes[8192];
	struct region *region;

	assert_int_equal(
		region_new_own(bytes, sizeof(bytes), NULL, NULL, &region), 0);
	return region;
}

static void test_set_map_gets_the_whole_table(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();

	fx->fake.ops.set_map = f_set_map;
	fx->fake.ops.reset_map = f_reset_map;
	assert_int_equal(vdpa_map(vdev, 0, 0, 4095, r, 0, MEM_PERM_RW), 0);
	assert_int_equal(vdpa_map(vdev, 0, 4096, 8191, r, 4096, MEM_PERM_RO),
			 0);
	assert_int_equal(fx->fake.n_entries_seen, 2);
	assert_int_equal(vdpa_map(vdev, 0, 4000, 4100, r, 0, MEM_PERM_RO),
			 -EEXIST);
	assert_int_equal(fx->fake.n_set_maps, 2);
	assert_int_equal(vdpa_map(vdev, 1, 0, 4095, r, 0, MEM_PERM_RW), 0);
	assert_int_equal(fx->fake.n_entries_seen, 1); /* of asid 1 */
	assert_int_equal(vdpa_unmap(vdev, 0, 100, 100), 1);
	assert_int_equal(vdpa_n_maps(vdev, 0), 1);
	assert_int_equal(vdpa_unmap(vdev, 0, 100, 100), 0);
	assert_int_equal(fx->fake.n_set_maps, 4); /* nothing changed */
	vdpa_reset_map(vdev, 0);
	assert_int_equal(fx->fake.n_entries_seen, 0);
	assert_int_equal(fx->fake.n_reset_maps, 1);
	region_unref(r);
}

static void test_set_map_refusal_is_rolled_back(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();

	fx->fake.ops.set_map = f_set_map;
	assert_int_equal(vdpa_map(vdev, 0, 0, 99, r, 0, MEM_PERM_RW), 0);
	fx->fake.map_result = -EIO;
	assert_int_equal(vdpa_map(vdev, 0, 100, 199, r, 0, MEM_PERM_RW), -EIO);
	assert_int_equal(vdpa_n_maps(vdev, 0), 1);
	assert_int_equal(fx->fake.n_set_maps, 3);
	assert_int_equal(fx->fake.n_entries_seen, 1);
	region_unref(r);
}

static void test_batch_is_one_set_map(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();

	fx->fake.ops.set_map = f_set_map;
	vdpa_batch_begin(vdev, 0);
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(vdpa_map(vdev, 0, i * 100, i * 100 + 99, r, 0,
					  MEM_PERM_RW),
				 0);
	}
	assert_int_equal(vdpa_unmap(vdev, 0, 0, 0), 1);
	assert_int_equal(fx->fake.n_set_maps, 0);
	assert_int_equal(vdpa_batch_end(vdev, 0), 0);
	assert_int_equal(fx->fake.n_set_maps, 1);
	assert_int_equal(fx->fake.n_entries_seen, 4);
	assert_int_equal(vdpa_batch_end(vdev, 0), 0); /* END alone */
	assert_int_equal(fx->fake.n_set_maps, 1);
	region_unref(r);
}

static void test_dma_map_gets_each_change(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();

	fx->fake.ops.dma_map = f_dma_map;
	fx->fake.ops.dma_unmap = f_dma_unmap;
	assert_true(vdpa_has_dma_ops(vdev));
	assert_int_equal(vdpa_map(vdev, 0, 0, 99, r, 0, MEM_PERM_RW), 0);
	assert_int_equal(vdpa_map(vdev, 0, 200, 299, r, 0, MEM_PERM_RW), 0);
	fx->fake.map_result = -ENOMEM;
	assert_int_equal(vdpa_map(vdev, 0, 300, 399, r, 0, MEM_PERM_RW),
			 -ENOMEM);
	assert_int_equal(vdpa_n_maps(vdev, 0), 2);
	assert_int_equal(vdpa_unmap(vdev, 0, 50, 250), 2);
	assert_int_equal(fx->fake.n_dma_unmaps, 2);
	assert_int_equal(fx->fake.last_unmapped, 200);
	region_unref(r);
}

static void test_without_dma_ops_the_bus_translates(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = add_device(fx);
	struct region *r = some_memory();
	struct iotlb_snap *snap;

	assert_false(vdpa_has_dma_ops(vdev));
	assert_int_equal(vdpa_map(vdev, 0, 4096, 8191, r, 0, MEM_PERM_RW), 0);
	snap = vdpa_snapshot(vdev, 0);
	assert_non_null(iotlb_find(snap, 5000));
	assert_null(iotlb_find(snap, 0));
	iotlb_snap_unref(snap);
	region_unref(r);
}

/* The next client must never see what is left of the last one. */
static int reset_map_once(void *priv)
{
	struct fixture *fx = priv;
	struct vdpa_device *vdev = &fx->fake.vdev;
	struct region *r = some_memory();
	struct iotlb_snap *snap;

	assert_int_equal(vdpa_device_register(fx->bus, NULL, vdev), 0);
	assert_int_equal(vdpa_map(vdev, 0, 0, 4095, r, 0, MEM_PERM_RW), 0);
	snap = vdpa_snapshot(vdev, 0);
	vdpa_batch_begin(vdev, 0);
	oom_begin();
	vdpa_reset_map(vdev, 0);
	oom_end();
	assert_int_equal(vdpa_n_maps(vdev, 0), 0);
	assert_int_equal(fx->fake.n_entries_seen, 0);
	iotlb_snap_unref(snap);
	vdpa_device_unregister(vdev);
	region_unref(r);
	return 0;
}

static void test_reset_map_needs_no_memory(void **state)
{
	struct fixture *fx = *state;

	(void)snprintf(fx->fake.vdev.name, VDPA_NAME_MAX, "d0");
	fx->fake.ops.set_map = f_set_map;
	fx->probe_result = -EBUSY;
	assert_int_equal(oom_check(reset_map_once, fx), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_dev_add_refuses_what_the_kernel_refuses),
	T(test_dev_add_refuses_ambiguous_features),
	T(test_dev_add_and_del_by_name),
	T(test_dev_del_waits_for_the_consumer),
	T(test_unregister_ends_a_dev_del_that_waits),
	T(test_unmanaged_device_cannot_be_deleted),
	T(test_register_refuses_incomplete_devices),
	T(test_bind_and_unbind_while_idle),
	T(test_dev_set_takes_a_mac_only),
	T(test_names_are_unique_in_every_registry),
	T(test_vq_index_is_checked_by_every_wrapper),
	T(test_missing_optional_ops_are_eopnotsupp),
	T(test_missing_migration_ops_are_eopnotsupp),
	T(test_optional_vq_ops_are_called_where_they_are),
	T(test_optional_device_ops_are_called_where_they_are),
	T(test_migration_ops_are_called_where_they_are),
	T(test_inflight_log_must_lie_in_its_file),
	T(test_group_out_of_range_is_eio),
	T(test_ring_size_is_bounded),
	T(test_status_never_loses_a_bit),
	T(test_reset_flags_go_to_compat_reset_if_there),
	T(test_config_range_is_checked),
	T(test_config_before_features_is_a_legacy_driver),
	T(test_set_map_gets_the_whole_table),
	T(test_set_map_refusal_is_rolled_back),
	T(test_batch_is_one_set_map),
	T(test_dma_map_gets_each_change),
	T(test_without_dma_ops_the_bus_translates),
	T(test_reset_map_needs_no_memory),
};

TEST_MAIN("bus")
