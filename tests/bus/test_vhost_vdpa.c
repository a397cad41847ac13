/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vhost-vdpa bus driver that need both ends: the client's calls
 * and the bus. What a client alone can see is in tests/conformance.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "busdrv/vhost_vdpa.h"
#include "lib/test.h"
#include "lib/vclient.h"
#include "uapi/compat.h"

struct fixture {
	struct vworld *w;
	struct vclient *c;
	int result;
};

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->w = vworld_new(NULL, 1);
	vworld_add(fx->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
	fx->result = 1;
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	if (fx->c) {
		vclient_close(fx->c);
	}
	vworld_free(fx->w);
	free(fx);
	return 0;
}

static void keep_result(void *priv, int result)
{
	*(int *)priv = result;
}

static void test_s06_dev_del_waits_for_close(void **state)
{
	struct fixture *fx = *state;
	struct vclient *second;

	vclient_start(fx->c, 0, 1, 8);
	assert_int_equal(
		vdpa_dev_del(fx->w->bus, "b0", keep_result, &fx->result), 0);
	assert_int_equal(fx->result, 1);
	assert_non_null(vdpa_device_find(fx->w->bus, "b0"));
	/* it goes on serving, and nobody new gets in */
	assert_int_equal(vclient_blk(fx->c, 0, 4, 0, NULL, 0), 0);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &second), -ENOENT);
	vclient_close(fx->c);
	fx->c = NULL;
	assert_int_equal(fx->result, 0);
	assert_null(vdpa_device_find(fx->w->bus, "b0"));
}

static void test_bind_and_unbind_refuse_an_open_node(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(vdpa_dev_unbind(fx->w->bus, "b0"), -EBUSY);
	assert_int_equal(vdpa_dev_bind(fx->w->bus, "b0", "vhost_vdpa", NULL, 0),
			 -EBUSY);
	vclient_close(fx->c);
	assert_int_equal(vdpa_dev_unbind(fx->w->bus, "b0"), 0);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), -ENOENT);
	fx->c = NULL;
	assert_int_equal(vdpa_dev_bind(fx->w->bus, "b0", "vhost_vdpa", NULL, 0),
			 0);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
}

static void test_minor_is_the_lowest_free(void **state)
{
	struct fixture *fx = *state;
	char text[64];

	vworld_add(fx->w, "vdpasim_blk", "b1", 0, NULL, NULL);
	vworld_add(fx->w, "vdpasim_net", "n2", 0, NULL, NULL);
	assert_int_equal(vdpa_dev_del(fx->w->bus, "b1", NULL, NULL), 0);
	vworld_add(fx->w, "vdpasim_net", "n1", 0, NULL, NULL);
	fx->w->vhost_vdpa->describe(vdpa_device_find(fx->w->bus, "n1"), text,
				    sizeof(text));
	assert_string_equal(text, "path /dev/vhost-vdpa-1");
}

static void test_unregister_cuts_a_client_off(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "b0");
	uint64_t features;
	uint8_t status;

	vclient_start(fx->c, 0, 1, 8);
	vhost_vdpa_unregister(fx->w->vhost_vdpa);
	assert_null(vdev->driver);
	assert_int_equal(vdpa_get_status(vdev), 0);
	assert_int_equal(vdpa_n_maps(vdev, 0), 0);
	assert_int_equal(vclient_ioctl(fx->c, VHOST_GET_FEATURES, &features),
			 -ENODEV);
	assert_int_equal(vclient_ioctl(fx->c, VHOST_VDPA_GET_STATUS, &status),
			 -ENODEV);
	assert_int_equal(vclient_iotlb(fx->c, 0, VHOST_IOTLB_INVALIDATE, 0, 1,
				       NULL, 0),
			 -ENODEV);
	vclient_close(fx->c);
	fx->c = NULL;
	assert_int_equal(vhost_vdpa_register(fx->w->bus, fx->w->cdev,
					     &fx->w->vhost_vdpa),
			 0);
}

static void test_close_lets_go_of_everything(void **state)
{
	struct fixture *fx = *state;
	struct region_stats before, after;
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "b0");

	vclient_start(fx->c, 0, 1, 8);
	region_get_stats(&before);
	assert_int_equal(before.n_regions[REGION_MAPPED], 1);
	vclient_close(fx->c);
	fx->c = NULL;
	region_get_stats(&after);
	assert_int_equal(after.n_regions[REGION_MAPPED], 0);
	assert_int_equal(vdpa_get_status(vdev), 0);
	assert_int_equal(vdpa_n_maps(vdev, 0), 0);
	assert_int_equal(vdpa_get_driver_features(vdev), 0);
}

static void test_s10_another_task_is_not_the_owner(void **state)
{
	struct fixture *fx = *state;
	struct vhost_vring_state num = { .index = 0, .num = 8 };
	struct cdev_local *child;
	uint8_t status;

	assert_int_equal(cdev_local_new(fx->w->cdev, &child), 0);
	assert_int_equal(cdev_local_ioctl(child, fx->c->file,
					  VHOST_SET_VRING_NUM, &num),
			 -EPERM);
	assert_int_equal(cdev_local_ioctl(child, fx->c->file, VHOST_SET_OWNER,
					  NULL),
			 -EBUSY);
	assert_int_equal(cdev_local_ioctl(child, fx->c->file,
					  VHOST_VDPA_GET_STATUS, &status),
			 0);
	cdev_local_free(child);
}

/* s15: a status that the device does not take leaves SET_STATUS at 0. */
static void test_needs_reset_cannot_be_set_by_the_driver(void **state)
{
	struct fixture *fx = *state;

	vclient_set_status(fx->c, VIRTIO_CONFIG_S_NEEDS_RESET | 1);
	assert_int_equal(vclient_status(fx->c), 1);
}

/* Queue 0 as it was before a reset, but for its kick eventfd. */
static void set_up_all_but_kick(struct vclient *c)
{
	const struct vqueue *q = &c->q[0];
	struct vhost_vring_state num = { .num = q->num };
	struct vhost_vring_state base = { .num = q->base };
	struct vhost_vring_state enable = { .num = 1 };
	struct vhost_vring_file call = { .fd = q->call_fd };
	struct vhost_vring_addr addr = { 0 };
	struct vq_layout layout;

	vq_layout(q->num, c->features, &layout);
	addr.desc_user_addr = q->ring_iova + layout.desc_area;
	addr.avail_user_addr = q->ring_iova + layout.driver_area;
	addr.used_user_addr = q->ring_iova + layout.device_area;
	vclient_negotiate(c, c->features);
	vclient_must(c, VHOST_SET_VRING_NUM, &num);
	vclient_must(c, VHOST_SET_VRING_BASE, &base);
	vclient_must(c, VHOST_SET_VRING_ADDR, &addr);
	vclient_must(c, VHOST_SET_VRING_CALL, &call);
	vclient_must(c, VHOST_VDPA_SET_VRING_ENABLE, &enable);
	vclient_set_status(c, vclient_status(c) | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* The kernel's vhost goes on polling it, and so do we. */
static void test_s17_kick_eventfd_outlives_a_reset(void **state)
{
	struct fixture *fx = *state;
	struct vqueue *q = &fx->c->q[0];
	struct vq_sg sg = { VCLIENT_IOVA, 1 };
	struct vq_used used;

	vclient_start(fx->c, 0, 1, 8);
	vclient_save(fx->c); /* ends with a reset */
	set_up_all_but_kick(fx->c);
	vclient_add(fx->c, 0, &sg, 1, 0, fx);
	assert_true(vq_driver_publish(q->drv));
	vclient_kick(fx->c, 0);
	vclient_wait_call(fx->c, 0);
	assert_int_equal(vq_driver_get(q->drv, &used, 1), 1);
}

static const struct vdpa_config_ops *real_ops;

static int reset_and_fail(struct vdpa_device *vdev)
{
	(void)real_ops->reset(vdev);
	return -EIO;
}

/* A device that does not answer, as a VDUSE process that died. */
static void test_s16_failing_reset_is_eio_and_resets_all_the_same(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "b0");
	struct vdpa_config_ops ops = *vdev->ops;
	struct vclient *second;
	uint8_t status = 0;

	real_ops = vdev->ops;
	ops.reset = reset_and_fail;
	vclient_start(fx->c, 0, 1, 8);
	vdev->ops = &ops;
	assert_int_equal(vclient_ioctl(fx->c, VHOST_VDPA_SET_STATUS, &status),
			 -EIO);
	assert_int_equal(vclient_status(fx->c), 0);
	vclient_close(fx->c);
	fx->c = NULL;
	/* s02: open resets, and fails if that does */
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &second), -EIO);
	vdev->ops = real_ops;
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
}

static void kick_and_stop(struct vdpa_device *vdev, uint16_t idx)
{
	real_ops->kick_vq(vdev, idx);
	loop_stop(vdpa_bus_control(vdev->bus));
}

/* Where the device cannot watch the kick itself, control does. */
static void test_kick_is_forwarded_without_set_vq_kick_fd(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "b0");
	struct vdpa_config_ops ops = *vdev->ops;
	struct vq_used used;
	struct vq_sg sg;

	real_ops = vdev->ops;
	ops.set_vq_kick_fd = NULL;
	ops.kick_vq = kick_and_stop;
	vdev->ops = &ops;
	vclient_start(fx->c, 0, 1, 8);
	sg = (struct vq_sg){ VCLIENT_IOVA, 1 };
	vclient_add(fx->c, 0, &sg, 1, 0, fx);
	assert_true(vq_driver_publish(fx->c->q[0].drv));
	vclient_kick(fx->c, 0);
	assert_int_equal(loop_run(fx->w->control), 0);
	vclient_wait_call(fx->c, 0);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 1);
	vclient_close(fx->c);
	fx->c = NULL;
	vdev->ops = real_ops;
}

static bool ask_gate(void *priv)
{
	return __atomic_load_n((bool *)priv, __ATOMIC_SEQ_CST);
}

/* What the client changed last may not have arrived: nothing is done then. */
static void test_behind_the_gate_nothing_is_served(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "b0");
	bool is_behind = true;
	const struct vdpa_gate gate = { ask_gate, &is_behind };
	struct vhost_vring_state base = { .index = 0 };
	struct vq_used used;
	struct vq_sg sg = { VCLIENT_IOVA, 1 };

	vclient_start(fx->c, 0, 1, 8);
	assert_int_equal(vdpa_set_gate(vdev, &gate), 0);
	vclient_add(fx->c, 0, &sg, 1, 0, fx);
	assert_true(vq_driver_publish(fx->c->q[0].drv));
	/* a kick that control carries to the worker: it has run when we go on */
	assert_int_equal(vdpa_kick_vq(vdev, 0), 0);
	vclient_must(fx->c, VHOST_GET_VRING_BASE, &base);
	assert_int_equal(base.num, 0);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 0);
	__atomic_store_n(&is_behind, false, __ATOMIC_SEQ_CST);
	assert_int_equal(vdpa_kick_vq(vdev, 0), 0);
	vclient_wait_call(fx->c, 0);
	assert_int_equal(vq_driver_get(fx->c->q[0].drv, &used, 1), 1);
	assert_int_equal(vdpa_set_gate(vdev, NULL), 0);
}

/* ---- memory that is refused half-way ---- */

static void test_update_over_two_files_is_two_entries(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "b0");
	char *two = mmap(NULL, 16384, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("second", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_ptr_equal(mmap(two + 8192, 8192, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd, 0),
			 two + 8192);
	assert_int_equal(vclient_iotlb(fx->c, 0, VHOST_IOTLB_UPDATE, 0x10000000,
				       16384, two, 3),
			 72);
	assert_int_equal(vdpa_n_maps(vdev, 0), 3);
	assert_int_equal(vclient_iotlb(fx->c, 0, VHOST_IOTLB_INVALIDATE,
				       0x10000000, 16384, NULL, 0),
			 72);
	assert_int_equal(vdpa_n_maps(vdev, 0), 1);
	munmap(two, 16384);
	close(fd);
}

static void test_read_only_memory_cannot_be_mapped_writable(void **state)
{
	struct fixture *fx = *state;
	struct vdpa_device *vdev = vdpa_device_find(fx->w->bus, "b0");
	char *ro = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fx->c->memfd, 0);

	assert_int_equal(vclient_iotlb(fx->c, 0, VHOST_IOTLB_UPDATE, 0x10000000,
				       8192, ro, 3),
			 -EFAULT);
	assert_int_equal(vdpa_n_maps(vdev, 0), 1);
	assert_int_equal(vclient_iotlb(fx->c, 0, VHOST_IOTLB_UPDATE, 0x10000000,
				       8192, ro, 1),
			 72);
	munmap(ro, 8192);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_s06_dev_del_waits_for_close),
	T(test_bind_and_unbind_refuse_an_open_node),
	T(test_minor_is_the_lowest_free),
	T(test_unregister_cuts_a_client_off),
	T(test_close_lets_go_of_everything),
	T(test_s10_another_task_is_not_the_owner),
	T(test_s16_failing_reset_is_eio_and_resets_all_the_same),
	T(test_needs_reset_cannot_be_set_by_the_driver),
	T(test_s17_kick_eventfd_outlives_a_reset),
	T(test_kick_is_forwarded_without_set_vq_kick_fd),
	T(test_behind_the_gate_nothing_is_served),
	T(test_update_over_two_files_is_two_entries),
	T(test_read_only_memory_cannot_be_mapped_writable),
};

TEST_MAIN("dev_vhost_vdpa")
