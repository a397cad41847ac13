/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of bus/: registries, adding and deleting, binding.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>

#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "base/err.h"
#include "bus/test_bus_rig.h"

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
		{ { .mask = BIT_ULL(VDPA_ATTR_FEATURES),
		    .device_features = 0x21 },
		  "fake",
		  -EINVAL,
		  "device_features 0x21 are more than the 0x20 that fake has" },
	};

	fx->mgmtdev.supported_features = BIT_ULL(VIRTIO_NET_F_MAC);
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
	fx->fake.ops.dma_map = fake_dma_map; /* without dma_unmap */
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
	struct vdpa_mgmtdev twin = { .name = "fake", .ops = fx->mgmtdev.ops };
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
};

TEST_MAIN("bus_mgmt")
