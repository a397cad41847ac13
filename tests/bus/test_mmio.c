/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the mmio bus driver: drivers that know offsets only, for both
 * layouts; one is written from the virtio specification, the other from the
 * mails of the RFC.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "busdrv/mmio.h"
#include "busdrv/mmio_layout.h"
#include "fake_dev.h"
#include "mmio_rig.h"

#define V1     BIT_ULL(VIRTIO_F_VERSION_1)
#define PACKED BIT_ULL(VIRTIO_F_RING_PACKED)
#define DATA   4096

/* ---- layouts ---- */

static void expect_reg(uint32_t layout, uint32_t offset, unsigned int access,
		       enum window_reg reg)
{
	const struct mmio_reg *r = &mmio_layouts[layout].regs[offset / 4];

	assert_int_equal(r->access, access);
	assert_int_equal(r->reg, reg);
}

/* Against the kernel's header. */
static void test_mmio_layout_is_the_kernels(void **state)
{
	static const struct {
		uint32_t offset;
		unsigned int access;
		enum window_reg reg;
	} regs[] = {
		{ VIRTIO_MMIO_DEVICE_ID, MMIO_R, WINDOW_DEVICE_ID },
		{ VIRTIO_MMIO_VENDOR_ID, MMIO_R, WINDOW_VENDOR_ID },
		{ VIRTIO_MMIO_DEVICE_FEATURES, MMIO_R, WINDOW_DEVICE_FEATURES },
		{ VIRTIO_MMIO_DEVICE_FEATURES_SEL, MMIO_W,
		  WINDOW_DEVICE_FEATURES_SEL },
		{ VIRTIO_MMIO_DRIVER_FEATURES, MMIO_W, WINDOW_DRIVER_FEATURES },
		{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, MMIO_W,
		  WINDOW_DRIVER_FEATURES_SEL },
		{ VIRTIO_MMIO_QUEUE_SEL, MMIO_W, WINDOW_QUEUE_SEL },
		{ VIRTIO_MMIO_QUEUE_NUM_MAX, MMIO_R, WINDOW_QUEUE_NUM_MAX },
		{ VIRTIO_MMIO_QUEUE_NUM, MMIO_W, WINDOW_QUEUE_NUM },
		{ VIRTIO_MMIO_QUEUE_READY, MMIO_RW, WINDOW_QUEUE_READY },
		{ VIRTIO_MMIO_QUEUE_NOTIFY, MMIO_W, WINDOW_QUEUE_NOTIFY },
		{ VIRTIO_MMIO_INTERRUPT_STATUS, MMIO_R,
		  WINDOW_INTERRUPT_STATUS },
		{ VIRTIO_MMIO_INTERRUPT_ACK, MMIO_W, WINDOW_INTERRUPT_ACK },
		{ VIRTIO_MMIO_STATUS, MMIO_RW, WINDOW_STATUS },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW, MMIO_W, WINDOW_QUEUE_DESC_LOW },
		{ VIRTIO_MMIO_QUEUE_DESC_HIGH, MMIO_W, WINDOW_QUEUE_DESC_HIGH },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, MMIO_W,
		  WINDOW_QUEUE_DRIVER_LOW },
		{ VIRTIO_MMIO_QUEUE_AVAIL_HIGH, MMIO_W,
		  WINDOW_QUEUE_DRIVER_HIGH },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, MMIO_W, WINDOW_QUEUE_DEVICE_LOW },
		{ VIRTIO_MMIO_QUEUE_USED_HIGH, MMIO_W,
		  WINDOW_QUEUE_DEVICE_HIGH },
		{ VIRTIO_MMIO_SHM_SEL, MMIO_W, WINDOW_SHM_SEL },
		{ VIRTIO_MMIO_SHM_LEN_LOW, MMIO_R, WINDOW_SHM_LEN_LOW },
		{ VIRTIO_MMIO_SHM_LEN_HIGH, MMIO_R, WINDOW_SHM_LEN_HIGH },
		{ VIRTIO_MMIO_SHM_BASE_LOW, MMIO_R, WINDOW_SHM_BASE_LOW },
		{ VIRTIO_MMIO_SHM_BASE_HIGH, MMIO_R, WINDOW_SHM_BASE_HIGH },
		{ 0x0c0, MMIO_RW, WINDOW_QUEUE_RESET },
		{ VIRTIO_MMIO_CONFIG_GENERATION, MMIO_R,
		  WINDOW_CONFIG_GENERATION },
	};
	unsigned int n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
		expect_reg(VDPAKIT_MMIO_VIRTIO, regs[i].offset, regs[i].access,
			   regs[i].reg);
	}
	for (size_t i = 0; i < MMIO_N_REGS; i++) {
		n += mmio_layouts[VDPAKIT_MMIO_VIRTIO].regs[i].access != 0;
	}
	assert_int_equal(n, ARRAY_SIZE(regs) + 2); /* magic and version */
	assert_int_equal(VIRTIO_MMIO_CONFIG, VDPAKIT_MMIO_REGISTERS);
	assert_int_equal(VIRTIO_MMIO_INT_VRING, WINDOW_INT_VRING);
	assert_int_equal(VIRTIO_MMIO_INT_CONFIG, WINDOW_INT_CONFIG);
}

static void test_mmio_layout_is_the_rfcs(void **state)
{
	unsigned int n = 0;

	(void)state;
	expect_reg(VDPAKIT_MMIO_RFC, 0x048, MMIO_R, WINDOW_QUEUE_ALIGN);
	expect_reg(VDPAKIT_MMIO_RFC, 0x060, MMIO_RW, WINDOW_STATUS);
	expect_reg(VDPAKIT_MMIO_RFC, 0x0fc, MMIO_R, WINDOW_CONFIG_GENERATION);
	for (size_t i = 0; i < MMIO_N_REGS; i++) {
		n += mmio_layouts[VDPAKIT_MMIO_RFC].regs[i].access != 0;
	}
	assert_int_equal(n, 22);
}

static void test_mmio_each_access_that_is_none(void **state)
{
	static const unsigned int sizes[] = { 0, 1, 2, 3, 4, 5, 8, 16 };
	struct win_rig *rig = *state;
	uint64_t value, n = 0;
	struct vdpakit_mmio_info info;

	for (uint64_t at = 0; at < VDPAKIT_MMIO_REGISTERS; at++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			const struct mmio_reg *r =
				&mmio_layouts[VDPAKIT_MMIO_VIRTIO].regs[at / 4];

			if (sizes[i] == 4 && at % 4 == 0 && r->access) {
				continue;
			}
			value = 1;
			assert_int_equal(mmio_read(mmio_of(rig), at, sizes[i],
						   &value),
					 -EINVAL);
			assert_int_equal(value, 0);
			assert_int_equal(mmio_rig_write(rig, at, sizes[i], 0),
					 -EINVAL);
			n += 2;
		}
	}
	assert_int_equal(mmio_read(mmio_of(rig), 0x50, 4, &value), -EINVAL);
	assert_int_equal(mmio_rig_write(rig, 0x34, 4, 1), -EINVAL);
	assert_int_equal(mmio_read(mmio_of(rig), 0x100, 3, &value), -EINVAL);
	assert_int_equal(mmio_read(mmio_of(rig), 0x1000, 4, &value), -EINVAL);
	assert_int_equal(mmio_read(mmio_of(rig), UINT64_MAX - 3, 4, &value),
			 -EINVAL);
	assert_int_equal(mmio_rig_write(rig, 0x100000100, 4, 1), -EINVAL);
	assert_int_equal(mmio_rig_write(rig, 0x1000, 4, 1), -EINVAL);
	mmio_get_info(mmio_of(rig), &info);
	assert_int_equal(info.n_bad_accesses, n + 7);
	assert_int_equal(info.n_mistakes, 1); /* the last one */
}

/* ---- data ---- */

static void expect_disk(struct win_rig *rig, uint32_t idx)
{
	char *data = win_alloc(rig, DATA, DATA);

	memset(data, 0x5a, DATA);
	assert_int_equal(win_blk(rig, idx, VIRTIO_BLK_T_OUT, 8, data, DATA),
			 VIRTIO_BLK_S_OK);
	memset(data, 0, DATA);
	assert_int_equal(win_blk(rig, idx, VIRTIO_BLK_T_IN, 8, data, DATA),
			 VIRTIO_BLK_S_OK);
	for (unsigned int i = 0; i < DATA; i++) {
		assert_int_equal(data[i], 0x5a);
	}
	rig->next_free -= DATA;
}

static void test_mmio_disk_by_the_specification(void **state)
{
	static const uint64_t formats[] = { V1, V1 | PACKED };
	struct win_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		uint64_t mark = rig->next_free;

		spec_driver_start(rig, formats[i], 1);
		assert_int_equal(mmio_rig_read(rig, 0x100, 4), 2048);
		assert_int_equal(mmio_rig_read(rig, 0x100, 8), 2048);
		expect_disk(rig, 0);
		win_rig_run(rig);
		assert_true(rig->level);
		assert_int_equal(mmio_rig_read(rig, 0x60, 4), 1);
		assert_int_equal(mmio_rig_write(rig, 0x64, 4, 1), 0);
		assert_false(rig->level);
		rig->next_free = mark;
	}
	expect_no_mistakes(rig);
}

static void test_mmio_disk_by_the_rfc(void **state)
{
	struct win_rig *rig = *state;
	struct rfc_calls calls = { 0 };

	for (int i = 0; i < 2; i++) {
		uint64_t mark = rig->next_free;

		calls = (struct rfc_calls){ 0 };
		rfc_driver_start(rig, V1, 1, &calls);
		expect_disk(rig, 0);
		win_rig_run(rig);
		assert_int_equal(calls.n_vq, 2);
		assert_int_equal(calls.n_config, 0);
		rig->next_free = mark;
	}
	assert_int_equal(rig->n_irqs, 0);
	/* A reset has forgotten them. */
	assert_int_equal(mmio_rig_write(rig, 0x060, 4, 0), 0);
	assert_int_equal(
		mmio_set_vq_callback(mmio_of(rig), rfc_vq_call, &calls), 0);
	assert_int_equal(mmio_rig_write(rig, 0x030, 4, 7), 0);
	assert_int_equal(mmio_set_vq_callback(mmio_of(rig), NULL, NULL),
			 -EINVAL);
	expect_no_mistakes(rig);
}

static void loop_frame(struct win_rig *rig)
{
	char *rx = win_alloc(rig, 256, 64), *tx = win_alloc(rig, 256, 64);
	const struct vq_sg rx_sg = { win_iova(rig, rx), 256 };
	const struct vq_sg tx_sg = { win_iova(rig, tx), 12 + 64 };
	struct vq_used used;

	memset(tx, 0, 256);
	memset(tx + 12, 0xff, 6);
	memset(tx + 18, 0x42, 58);
	assert_int_equal(vq_driver_add(rig->drv[0], &rx_sg, 0, 1, rx), 0);
	(void)vq_driver_publish(rig->drv[0]);
	rig->kick(rig, 0);
	assert_int_equal(vq_driver_add(rig->drv[1], &tx_sg, 1, 0, tx), 0);
	(void)win_run_one(rig, 1);
	win_rig_run(rig);
	assert_int_equal(vq_driver_get(rig->drv[0], &used, 1), 1);
	assert_int_equal(used.written, 12 + 64);
	assert_memory_equal(rx + 12, tx + 12, 64);
}

static void test_mmio_frames_by_the_specification(void **state)
{
	struct win_rig *rig = *state;

	spec_driver_start(rig, V1 | BIT_ULL(VIRTIO_NET_F_MAC), 2);
	loop_frame(rig);
	expect_no_mistakes(rig);
}

static void test_mmio_frames_by_the_rfc(void **state)
{
	struct win_rig *rig = *state;
	struct rfc_calls calls = { 0 };

	rfc_driver_start(rig, V1, 2, &calls);
	loop_frame(rig);
	assert_int_equal(calls.n_vq, 2);
	expect_no_mistakes(rig);
}

/* ---- notifications ---- */

static void kick_by_fd(struct win_rig *rig, uint32_t idx)
{
	int fd = mmio_notify_fd(mmio_of(rig), idx);

	assert_true(fd >= 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
}

static void test_mmio_notify_fd(void **state)
{
	struct win_rig *rig = *state;

	spec_driver_start(rig, V1, 1);
	rig->kick = kick_by_fd;
	expect_disk(rig, 0);
	assert_int_equal(mmio_notify_fd(mmio_of(rig), 1), -EINVAL);
	assert_int_equal(mmio_set_vq_callback(mmio_of(rig), NULL, NULL),
			 -EOPNOTSUPP);
	assert_int_equal(mmio_set_config_callback(mmio_of(rig), NULL, NULL),
			 -EOPNOTSUPP);
}

/* ---- memory ---- */

static void test_mmio_memory(void **state)
{
	struct win_rig *rig = *state;
	char *page = aligned_alloc(4096, 4096);
	struct vdpakit_mmio_memory own = {
		.gpa = 0x1000,
		.size_bytes = 4096,
		.va = page,
		.fd = -1,
		.perm = VDPAKIT_MMIO_READ | VDPAKIT_MMIO_WRITE,
	};
	struct vdpakit_mmio_memory bad = own;

	assert_non_null(page);
	assert_int_equal(mmio_rig_map(rig, &own), 0);
	assert_int_equal(mmio_rig_map(rig, &own), -EEXIST);
	bad.va = NULL;
	assert_int_equal(mmio_rig_map(rig, &bad), -EINVAL);
	bad = own;
	bad.perm = 4;
	assert_int_equal(mmio_rig_map(rig, &bad), -EINVAL);
	bad.perm = 0;
	assert_int_equal(mmio_rig_map(rig, &bad), -EINVAL);
	bad = own;
	bad.size_bytes = 0;
	assert_int_equal(mmio_rig_map(rig, &bad), -EINVAL);
	bad.gpa = UINT64_MAX - 100;
	bad.size_bytes = 4096;
	assert_int_equal(mmio_rig_map(rig, &bad), -EINVAL);
	bad = own;
	bad.gpa = 0x4000;
	bad.fd = eventfd(0, EFD_CLOEXEC);
	assert_true(mmio_rig_map(rig, &bad) < 0);
	close(bad.fd);
	bad.fd = 1000000;
	assert_int_equal(mmio_rig_map(rig, &bad), -EBADF);
	assert_int_equal(mmio_rig_unmap(rig, 0x1000, 0), -EINVAL);
	assert_int_equal(mmio_rig_unmap(rig, 0x1fff, 1), 1);
	assert_int_equal(mmio_rig_unmap(rig, 0x1000, 4096), 0);
	free(page);
}

/* ---- life ---- */

static void test_mmio_one_at_a_time(void **state)
{
	struct win_rig *rig = *state;
	struct vdpakit_mmio_options o = { .layout = VDPAKIT_MMIO_LAYOUT_N };
	struct mmio *second;

	assert_int_equal(mmio_open(rig->vdev, &o, &second), -EINVAL);
	o.layout = VDPAKIT_MMIO_RFC;
	assert_int_equal(mmio_open(rig->vdev, &o, &second), -EBUSY);
	assert_int_equal(vdpa_dev_bind(rig->w->bus, "d0", "vhost_vdpa", NULL,
				       0),
			 -EBUSY);
	mmio_rig_close(rig);
	assert_int_equal(
		vdpa_dev_bind(rig->w->bus, "d0", "vhost_vdpa", NULL, 0), 0);
	assert_int_equal(mmio_open(rig->vdev, &o, &second), -ENODEV);
	assert_int_equal(vdpa_dev_bind(rig->w->bus, "d0", "mmio", NULL, 0), 0);
	mmio_rig_open(rig, VDPAKIT_MMIO_VIRTIO);
	spec_driver_start(rig, V1, 1);
	expect_disk(rig, 0);
}

static void note_removed(void *priv, int result)
{
	*(int *)priv = result;
}

static void test_mmio_dev_del_waits_until_it_is_closed(void **state)
{
	struct win_rig *rig = *state;
	int result = 1;

	spec_driver_start(rig, V1, 1);
	assert_int_equal(vdpa_dev_del(rig->w->bus, "d0", note_removed, &result),
			 0);
	win_rig_run(rig);
	assert_int_equal(result, 1);
	expect_disk(rig, 0);
	mmio_rig_close(rig);
	win_rig_run(rig);
	assert_int_equal(result, 0);
	assert_null(vdpa_device_find(rig->w->bus, "d0"));
}

static void test_mmio_device_that_is_taken_away(void **state)
{
	struct win_rig *rig = *state;
	uint64_t value;

	spec_driver_start(rig, V1, 1);
	win_rig_run(rig);
	mmio_unregister(rig->priv2); /* by force */
	rig->priv2 = NULL;
	assert_true(rig->level);
	assert_int_equal(mmio_read(mmio_of(rig), 0x70, 4, &value), -ENODEV);
	assert_int_equal(value, VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(mmio_rig_write(rig, 0x70, 4, 0), -ENODEV);
	assert_int_equal(mmio_rig_write(rig, 0x50, 4, 0), 0);
	assert_int_equal(mmio_rig_write(rig, 0x100, 4, 0), -ENODEV);
	assert_int_equal(mmio_rig_unmap(rig, 0, 1), -ENODEV);
	assert_int_equal(mmio_notify_fd(mmio_of(rig), 0) >= 0, 1);
	mmio_rig_close(rig);
}

static int set_up_blk(void **state)
{
	return mmio_rig_set_up(state, "vdpasim_blk", "capacity=1M",
			       VDPAKIT_MMIO_VIRTIO);
}

static int set_up_blk_rfc(void **state)
{
	return mmio_rig_set_up(state, "vdpasim_blk", "capacity=1M",
			       VDPAKIT_MMIO_RFC);
}

static int set_up_net(void **state)
{
	return mmio_rig_set_up(state, "vdpasim_net", "", VDPAKIT_MMIO_VIRTIO);
}

static int set_up_net_rfc(void **state)
{
	return mmio_rig_set_up(state, "vdpasim_net", "", VDPAKIT_MMIO_RFC);
}

#define T(name, set_up) \
	cmocka_unit_test_setup_teardown(name, set_up, mmio_rig_tear_down)

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_mmio_layout_is_the_kernels),
	cmocka_unit_test(test_mmio_layout_is_the_rfcs),
	T(test_mmio_each_access_that_is_none, set_up_blk),
	T(test_mmio_disk_by_the_specification, set_up_blk),
	T(test_mmio_disk_by_the_rfc, set_up_blk_rfc),
	T(test_mmio_frames_by_the_specification, set_up_net),
	T(test_mmio_frames_by_the_rfc, set_up_net_rfc),
	T(test_mmio_notify_fd, set_up_blk),
	T(test_mmio_memory, set_up_blk),
	T(test_mmio_one_at_a_time, set_up_blk),
	T(test_mmio_dev_del_waits_until_it_is_closed, set_up_blk),
	T(test_mmio_device_that_is_taken_away, set_up_blk),
};

TEST_MAIN("dev_mmio")
