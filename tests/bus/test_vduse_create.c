/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VDUSE: creating, attaching and destroying devices (statements 71 to 75).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include "test_vduse_rig.h"

#define ALL_FEATURES UINT64_MAX

/* One attempt at CREATE_DEV: a field of the config, and what is said to it. */
struct attempt {
	size_t offset;
	size_t size; /* of the field */
	uint64_t value;
	int result;
};
#define FIELD(name)                          \
	offsetof(struct vduse_create, name), \
		sizeof(((struct vduse_create *)0)->name)

static void run_attempts(struct rig *r, const struct vduse_create *base,
			 const struct attempt *attempts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct attempt *a = &attempts[i];
		struct vduse_create config = *base;
		int64_t result;

		memcpy((char *)&config + a->offset, &a->value, a->size);
		result = rig_create(r, &config);
		if (result != a->result) {
			fail_msg("attempt %zu: offset %zu value 0x%llx: %d", i,
				 a->offset, (unsigned long long)a->value,
				 (int)result);
		}
		if (result == 0) {
			assert_int_equal(rig_destroy(r, config.name), 0);
		}
	}
}

static void test_s71_create_matrix_of_a_disk(void **state)
{
	static const struct attempt attempts[] = {
		{ FIELD(features), RIG_FEATURES, 0 },
		{ FIELD(features), 0, -EINVAL },
		{ FIELD(features), BIT_ULL(VIRTIO_F_VERSION_1), -EINVAL },
		{ FIELD(features), BIT_ULL(VIRTIO_F_ACCESS_PLATFORM), 0 },
		{ FIELD(features), ALL_FEATURES, -EINVAL },
		{ FIELD(features),
		  ALL_FEATURES & ~BIT_ULL(VIRTIO_BLK_F_CONFIG_WCE), 0 },
		{ FIELD(device_id), 0, -EINVAL },
		{ FIELD(device_id), VIRTIO_ID_CONSOLE, -EINVAL },
		{ FIELD(device_id), VIRTIO_ID_FS, 0 },
		{ FIELD(device_id), UINT32_MAX, -EINVAL },
		{ FIELD(vq_num), 0, 0 },
		{ FIELD(vq_num), 0xffff, 0 },
		{ FIELD(vq_num), 0x10000, -EINVAL },
		{ FIELD(vq_align), 0, -EINVAL },
		{ FIELD(vq_align), 2, -EINVAL },
		{ FIELD(vq_align), 4, 0 },
		{ FIELD(vq_align), 12, -EINVAL },
		{ FIELD(vq_align), 8192, -EINVAL },
		{ FIELD(config_size), 0, 0 },
		{ FIELD(config_size), 4096, 0 },
		{ FIELD(config_size), 4097, -EINVAL },
		{ FIELD(config_size), UINT32_MAX, -EINVAL },
		{ FIELD(ngroups), 1, -EINVAL },
		{ FIELD(nas), 1, -EINVAL },
		{ FIELD(reserved[0]), 1, -EINVAL },
		{ FIELD(reserved[10]), 1, -EINVAL },
		{ FIELD(name[0]), 0, -EINVAL },
	};
	struct vduse_create config = rig_config("d");

	run_attempts(*state, &config, attempts, ARRAY_SIZE(attempts));
}

static void test_s71_create_matrix_of_a_nic(void **state)
{
	static const struct attempt attempts[] = {
		{ FIELD(features), RIG_FEATURES, 0 },
		{ FIELD(features), BIT_ULL(VIRTIO_F_ACCESS_PLATFORM), -EINVAL },
		{ FIELD(features), RIG_FEATURES | BIT_ULL(VIRTIO_NET_F_CTRL_VQ),
		  -EINVAL },
		{ FIELD(features), RIG_FEATURES | BIT_ULL(VIRTIO_NET_F_MQ), 0 },
		{ FIELD(features), ALL_FEATURES, -EINVAL },
		{ FIELD(features),
		  ALL_FEATURES & ~BIT_ULL(VIRTIO_NET_F_CTRL_VQ), 0 },
	};
	struct vduse_create config = rig_config("n");

	config.device_id = VIRTIO_ID_NET;
	run_attempts(*state, &config, attempts, ARRAY_SIZE(attempts));
}

static void test_s71_create_matrix_of_version_1(void **state)
{
	static const struct attempt attempts[] = {
		{ FIELD(ngroups), 1, 0 },
		{ FIELD(ngroups), 0xffff, 0 },
		{ FIELD(ngroups), 0, -EINVAL },
		{ FIELD(ngroups), 0x10000, -EINVAL },
		{ FIELD(nas), 0xffff, 0 },
		{ FIELD(nas), 0, -EINVAL },
		{ FIELD(nas), 0x10000, -EINVAL },
		{ FIELD(reserved[0]), 1, -EINVAL },
		{ FIELD(reserved[10]), 1, -EINVAL },
	};
	struct vduse_create config = rig_config("d");
	struct rig *r = *state;
	uint64_t version = VDUSE_API_V1;

	assert_int_equal(rig_control(r, VDUSE_SET_API_VERSION, &version), 0);
	config.ngroups = 1;
	config.nas = 1;
	run_attempts(r, &config, attempts, ARRAY_SIZE(attempts));
}

static void test_s71_names(void **state)
{
	struct vduse_create config = rig_config("control");
	struct rig *r = *state;

	assert_int_equal(rig_create(r, &config), -EEXIST);
	config = rig_config("a/b c");
	assert_int_equal(rig_create(r, &config), 0);
	assert_int_equal(rig_create(r, &config), -EEXIST);
	assert_int_equal(rig_destroy(r, "a/b c"), 0);
	/* The last byte of a name that fills its field is cut off. */
	memset(config.name, 'x', sizeof(config.name));
	assert_int_equal(rig_create(r, &config), 0);
	assert_int_equal(
		rig_control(r, (uint32_t)VDUSE_DESTROY_DEV, config.name), 0);
	assert_int_equal(rig_control(r, (uint32_t)VDUSE_CREATE_DEV, NULL),
			 -EFAULT);
	assert_int_equal(rig_control(r, (uint32_t)VDUSE_DESTROY_DEV, NULL),
			 -EFAULT);
}

static void test_s72_version_is_the_open_files(void **state)
{
	struct vduse_create config = rig_config("d");
	struct rig *r = *state;
	struct cdev_file *second;
	uint64_t version = 7;

	assert_int_equal(rig_control(r, VDUSE_SET_API_VERSION, &version),
			 -EINVAL);
	/* Who asks gets the newest, and has to speak it then. */
	assert_int_equal(rig_control(r, VDUSE_GET_API_VERSION, &version), 0);
	assert_int_equal(version, VDUSE_API_V1);
	assert_int_equal(rig_create(r, &config), -EINVAL);
	version = VDUSE_API_V0;
	assert_int_equal(rig_control(r, VDUSE_SET_API_VERSION, &version), 0);
	assert_int_equal(rig_create(r, &config), 0);
	/* Who creates without a word speaks version 0 from then on. */
	assert_int_equal(cdev_local_open(r->process, "vduse/control", O_RDWR,
					 &second),
			 0);
	assert_int_equal(cdev_local_ioctl(r->process, second,
					  (uint32_t)VDUSE_CREATE_DEV, &config),
			 -EEXIST);
	assert_int_equal(cdev_local_ioctl(r->process, second,
					  VDUSE_GET_API_VERSION, &version),
			 0);
	assert_int_equal(version, VDUSE_API_V0);
	cdev_local_close(r->process, second);
}

static void test_s73_unknown_ioctls(void **state)
{
	struct rig *r = *state;
	char buf[64] = "";

	assert_int_equal(rig_control(r, _IO(VDUSE_BASE, 0x7f), NULL), -EINVAL);
	assert_int_equal(rig_control(r, VDUSE_VQ_SETUP, buf), -EINVAL);
	assert_int_equal(cdev_local_read(r->process, r->control, buf, 64),
			 -EINVAL);
	assert_int_equal(cdev_local_write(r->process, r->control, buf, 64),
			 -EINVAL);
	assert_int_equal(rig_ioctl(r, _IO(VDUSE_BASE, 0x7f), NULL), -ENOTTY);
	assert_int_equal(rig_ioctl(r, VDUSE_GET_API_VERSION, buf), -ENOTTY);
}

static void test_s74_attach_needs_every_queue(void **state)
{
	struct vduse_create config = rig_config("vd0");
	struct vdpa_dev_config attrs = {
		.mask = BIT_ULL(VDPA_ATTR_MAC),
		.is_admin = true,
	};
	struct rig *r = *state;

	assert_int_equal(rig_dev_add(r, "vd0", NULL, NULL), -EINVAL);
	config.vq_num = 2;
	assert_int_equal(rig_create(r, &config), 0);
	assert_int_equal(rig_open(r), 0);
	assert_int_equal(rig_setup_vq(r, 0, 256, 0), 0);
	assert_int_equal(rig_dev_add(r, "vd0", NULL, NULL), -EINVAL);
	assert_int_equal(rig_setup_vq(r, 2, 256, 0), -EINVAL);
	assert_int_equal(rig_setup_vq(r, 1, 256, 1), -EINVAL);
	assert_int_equal(rig_setup_vq(r, 1, 256, 0), 0);
	assert_int_equal(vdpa_dev_add(r->w->bus, NULL, "vduse", "vd0", &attrs),
			 -EOPNOTSUPP);
	assert_int_equal(rig_dev_add(r, "vd0", "timeout", "x"), -EINVAL);
	assert_int_equal(rig_dev_add(r, "vd0", NULL, NULL), 0);
	assert_int_equal(rig_dev_add(r, "vd0", NULL, NULL), -EEXIST);
}

static void test_s75_one_open_and_no_early_end(void **state)
{
	struct rig *r = *state;
	struct cdev_file *file;

	assert_int_equal(cdev_local_open(r->process, "vduse/vd0", O_RDWR,
					 &file),
			 -EBUSY);
	assert_int_equal(rig_destroy(r, "vd0"), -EBUSY); /* both */
	rig_close(r);
	assert_int_equal(rig_destroy(r, "vd0"), -EBUSY); /* attached */
	assert_int_equal(rig_open(r), 0);
	assert_int_equal(vdpa_dev_del(r->w->bus, "vd0", NULL, NULL), 0);
	assert_int_equal(rig_destroy(r, "vd0"), -EBUSY); /* open */
	rig_close(r);
	assert_int_equal(rig_destroy(r, "vd0"), 0);
	assert_int_equal(rig_destroy(r, "vd0"), -EINVAL);
	assert_int_equal(rig_open(r), -ENOENT);
}

static void test_limit_of_queues_holds_for_all_devices(void **state)
{
	struct vduse_create config = rig_config("d0");
	struct rig *r = *state;

	config.vq_num = 0xffff;
	for (char c = '0'; c < '4'; c++) {
		config.name[1] = c;
		assert_int_equal(rig_create(r, &config), 0);
	}
	config.name[1] = '4';
	config.vq_num = 1;
	assert_int_equal(rig_create(r, &config), -ENOMEM);
	assert_int_equal(rig_destroy(r, "d2"), 0);
	assert_int_equal(rig_create(r, &config), 0);
}

static void test_limit_of_devices(void **state)
{
	struct vduse_create config = rig_config("d");
	struct rig *r = *state;

	for (unsigned int i = 0; i < 1024; i++) {
		(void)snprintf(config.name, sizeof(config.name), "d%u", i);
		assert_int_equal(rig_create(r, &config), 0);
	}
	config.name[0] = 'e';
	assert_int_equal(rig_create(r, &config), -ENOSPC);
	assert_int_equal(rig_destroy(r, "d7"), 0);
	assert_int_equal(rig_create(r, &config), 0);
}

static void test_too_many_groups_cannot_be_attached(void **state)
{
	struct vduse_create config = rig_config("vd0");
	struct rig *r = *state;
	uint64_t version = VDUSE_API_V1;

	assert_int_equal(rig_control(r, VDUSE_SET_API_VERSION, &version), 0);
	config.ngroups = 65;
	config.nas = 1;
	config.vq_num = 1;
	assert_int_equal(rig_create(r, &config), 0);
	assert_int_equal(rig_open(r), 0);
	assert_int_equal(rig_setup_vq(r, 0, 256, 64), 0);
	assert_int_equal(rig_dev_add(r, "vd0", NULL, NULL), -EINVAL);
	rig_close(r);
	assert_int_equal(rig_destroy(r, "vd0"), 0);
}

static int mgmtdev_set(struct rig *r, const char *key, const char *value)
{
	struct vdpa_dev_config config = { .n_params = 1 };

	(void)snprintf(config.params[0].key, sizeof(config.params[0].key), "%s",
		       key);
	(void)snprintf(config.params[0].value, sizeof(config.params[0].value),
		       "%s", value);
	return vdpa_mgmtdev_set(r->vduse, &config);
}

static void test_allow_is_asked_at_each_create(void **state)
{
	struct vduse_create nic = rig_config("n"), disk = rig_config("d"),
			    rng = rig_config("r");
	struct rig *r = *state;

	nic.device_id = VIRTIO_ID_NET;
	nic.features |= BIT_ULL(VIRTIO_NET_F_CTRL_VQ);
	disk.features |= BIT_ULL(VIRTIO_BLK_F_CONFIG_WCE);
	rng.device_id = VIRTIO_ID_RNG;
	assert_int_equal(mgmtdev_set(r, "allow", "ctrl_vq"), 0);
	assert_int_equal(rig_create(r, &nic), 0);
	assert_int_equal(rig_create(r, &disk), -EINVAL);
	assert_int_equal(rig_create(r, &rng), -EINVAL);
	assert_int_equal(rig_destroy(r, "n"), 0);
	assert_int_equal(mgmtdev_set(r, "allow", "config_wce,any_id"), 0);
	assert_int_equal(rig_create(r, &nic), -EINVAL);
	assert_int_equal(rig_create(r, &disk), 0);
	assert_int_equal(rig_create(r, &rng), 0);
	assert_int_equal(mgmtdev_set(r, "allow", "config"), -EINVAL);
	assert_int_equal(mgmtdev_set(r, "allow", ""), -EINVAL);
	assert_int_equal(mgmtdev_set(r, "allow", "ctrl_vq,"), -EINVAL);
	assert_int_equal(mgmtdev_set(r, "allow", "none"), 0);
	assert_int_equal(rig_destroy(r, "d"), 0);
	assert_int_equal(rig_create(r, &disk), -EINVAL);
	assert_int_equal(mgmtdev_set(r, "nothing", "1"), -EOPNOTSUPP);
}

static void test_destroy_by_the_user(void **state)
{
	struct rig *r = *state;

	assert_int_equal(mgmtdev_set(r, "destroy", "none"), -ENOENT);
	assert_int_equal(mgmtdev_set(r, "destroy", "vd0"), -EBUSY);
	assert_int_equal(vdpa_dev_del(r->w->bus, "vd0", NULL, NULL), 0);
	assert_int_equal(mgmtdev_set(r, "destroy", "vd0"), -EBUSY);
	rig_close(r);
	assert_int_equal(mgmtdev_set(r, "destroy", "vd0"), 0);
	assert_int_equal(rig_open(r), -ENOENT);
}

static void keep_result(void *priv, int result)
{
	*(int *)priv = result;
}

static int64_t expect(struct rig *r, unsigned int timeout_s, int *result)
{
	struct vdpa_dev_config config = { 0 };
	const struct vdpa_dev_expect how = { timeout_s, keep_result, result };

	*result = 1;
	return vdpa_dev_expect(r->w->bus, NULL, "vduse", "vd0", &config, &how);
}

static void test_expected_device_is_added_when_it_is_complete(void **state)
{
	struct vduse_create config = rig_config("vd0");
	struct rig *r = *state;
	int result;

	config.vq_num = 2;
	assert_int_equal(expect(r, 0, &result), VDPA_EXPECTED);
	assert_int_equal(rig_create(r, &config), 0);
	assert_int_equal(rig_open(r), 0);
	assert_int_equal(rig_setup_vq(r, 1, 64, 0), 0);
	assert_int_equal(result, 1);
	assert_int_equal(rig_setup_vq(r, 0, 64, 0), 0);
	assert_int_equal(result, 0);
	assert_non_null(vdpa_device_find(r->w->bus, "vd0"));
	assert_int_equal(expect(r, 0, &result), -EEXIST);
	/* One that is there is added at once. */
	assert_int_equal(vdpa_dev_del(r->w->bus, "vd0", NULL, NULL), 0);
	assert_int_equal(expect(r, 0, &result), 0);
	assert_int_equal(result, 1);
}

static void test_expected_device_without_queues(void **state)
{
	struct vduse_create config = rig_config("vd0");
	struct rig *r = *state;
	int result;

	assert_int_equal(expect(r, 5, &result), VDPA_EXPECTED);
	assert_int_equal(rig_create(r, &config), 0);
	/* No queue, no ring size: the bus takes it no more than dev add. */
	assert_int_equal(result, rig_dev_add(r, "vd0", NULL, NULL));
}

static void test_expected_device_that_never_comes(void **state)
{
	struct rig *r = *state;
	int results[2];

	assert_int_equal(expect(r, 5, &results[0]), VDPA_EXPECTED);
	assert_int_equal(expect(r, 0, &results[1]), VDPA_EXPECTED);
	rig_sleep(r, 4);
	assert_int_equal(results[0], 1);
	rig_sleep(r, 2);
	assert_int_equal(results[0], -ETIMEDOUT);
	assert_int_equal(results[1], 1);
	vduse_unregister(r->vduse);
	r->vduse = NULL;
	assert_int_equal(results[1], -ESHUTDOWN);
}

static void test_limit_of_expected_devices(void **state)
{
	struct rig *r = *state;
	static int result; /* set at the end of the registry, too */

	for (unsigned int i = 0; i < VDPA_EXPECTED_MAX; i++) {
		assert_int_equal(expect(r, 0, &result), VDPA_EXPECTED);
	}
	assert_int_equal(expect(r, 0, &result), -ENOSPC);
}

static void test_files_outlive_the_registry(void **state)
{
	struct rig *r = *state;
	uint64_t features;

	vduse_unregister(r->vduse);
	r->vduse = NULL;
	assert_int_equal(rig_ioctl(r, VDUSE_DEV_GET_FEATURES, &features),
			 -ENODEV);
	assert_int_equal(rig_reply(r, 0, 0), -ENODEV);
	assert_int_equal(rig_control(r, VDUSE_GET_API_VERSION, &features),
			 -ENODEV);
}

#define BARE(t) \
	cmocka_unit_test_setup_teardown(t, rig_set_up_bare, rig_tear_down)
#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_set_up, rig_tear_down)

static const struct CMUnitTest tests[] = {
	BARE(test_s71_create_matrix_of_a_disk),
	BARE(test_s71_create_matrix_of_a_nic),
	BARE(test_s71_create_matrix_of_version_1),
	BARE(test_s71_names),
	BARE(test_s72_version_is_the_open_files),
	WITH(test_s73_unknown_ioctls),
	BARE(test_s74_attach_needs_every_queue),
	WITH(test_s75_one_open_and_no_early_end),
	BARE(test_limit_of_queues_holds_for_all_devices),
	BARE(test_limit_of_devices),
	BARE(test_too_many_groups_cannot_be_attached),
	BARE(test_allow_is_asked_at_each_create),
	WITH(test_destroy_by_the_user),
	BARE(test_expected_device_is_added_when_it_is_complete),
	BARE(test_expected_device_without_queues),
	BARE(test_expected_device_that_never_comes),
	BARE(test_limit_of_expected_devices),
	WITH(test_files_outlive_the_registry),
};

TEST_MAIN("vduse_create")
