/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the library's other ways to a device: network devices, and
 * registers.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include <linux/virtio_mmio.h>

#include <vdpakit/client.h>
#include <vdpakit/mmio.h>

#include "lib/test.h"

#define assert_refused(call, code, who, words)                      \
	do {                                                        \
		assert_int_equal(call, code);                       \
		assert_ptr_equal(strstr(vdpakit_error(), who ": "), \
				 vdpakit_error());                  \
		assert_non_null(strstr(vdpakit_error(), words));    \
	} while (0)

static struct vdpakit *kit_with(const char *words)
{
	struct vdpakit *kit;

	assert_int_equal(vdpakit_new(NULL, &kit), 0);
	assert_int_equal(vdpakit_dev_add(kit, words), 0);
	return kit;
}

/* ---- network ---- */

/* The simulator gives back what is sent to its own address. */
static void test_a_frame_comes_back(void **state)
{
	struct vdpakit *kit = kit_with("n0 vdpasim_net mac 52:54:00:00:00:01");
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 1 };
	uint8_t bytes[64] = { 0 };
	const struct vdpakit_net_frame frame = { .flags = VDPAKIT_NET_COPY,
						 .len_bytes = sizeof(bytes),
						 .buf = bytes };
	struct vdpakit_net_received got;
	struct vdpakit_net_queue *rx;
	struct vdpakit_net_info info;
	struct vdpakit_net *net;

	assert_int_equal(vdpakit_net_open(kit, "n0", NULL, &net), 0);
	vdpakit_net_get_info(net, &info, sizeof(info));
	assert_memory_equal(info.mac, mac, 6);
	memcpy(bytes, mac, 6);
	bytes[20] = 77;
	assert_int_equal(
		vdpakit_net_send(vdpakit_net_get_tx(net, 0), &frame, 1), 1);
	rx = vdpakit_net_get_rx(net, 0);
	assert_int_equal(vdpakit_net_wait(rx, 10000), 1);
	assert_int_equal(vdpakit_net_recv(rx, &got, 1), 1);
	assert_int_equal(got.len_bytes, sizeof(bytes));
	assert_memory_equal(got.data, bytes, sizeof(bytes));
	assert_int_equal(vdpakit_net_give_back(rx, &got, 1), 0);
	assert_int_equal(vdpakit_net_reset(net), 0);
	vdpakit_net_close(net);
	assert_int_equal(vdpakit_net_open(kit, "n0", NULL, &net), 0);
	vdpakit_free(kit);
}

static void test_network_calls_are_checked(void **state)
{
	struct vdpakit *kit = kit_with("n0 vdpasim_net");
	const struct vdpakit_net_options bad = { .size = sizeof(bad),
						 .queue_size = 3 };
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 1 };
	struct vdpakit_net *net, *none = NULL;

	assert_refused(vdpakit_net_open(kit, "n1", NULL, &none), -ENODEV,
		       "vdpakit_net_open", "n1");
	assert_int_equal(vdpakit_net_open(kit, "n0", &bad, &none), -EINVAL);
	assert_int_equal(vdpakit_dev_add(kit, "b0 vdpasim_blk"), 0);
	assert_refused(vdpakit_net_open(kit, "b0", NULL, &none), -ENOTTY,
		       "vdpakit_net_open", "b0");
	assert_null(none);
	assert_int_equal(vdpakit_net_open(kit, "n0", NULL, &net), 0);
	assert_refused(vdpakit_net_open(kit, "n0", NULL, &none), -EBUSY,
		       "vdpakit_net_open", "n0");
	/* The simulator's control queue sets addresses; VLANs it does not know.
	 */
	assert_int_equal(vdpakit_net_set_mac(net, mac), 0);
	assert_refused(vdpakit_net_add_vlan(net, 5), -EOPNOTSUPP,
		       "vdpakit_net_add_vlan", "n0");
	assert_refused(vdpakit_net_set_mac(NULL, mac), -EINVAL,
		       "vdpakit_net_set_mac", "no network");
	assert_int_equal(vdpakit_net_reset(NULL), -EINVAL);
	vdpakit_net_close(NULL);
	assert_int_equal(vdpakit_dev_del(kit, "n0"), 0);
	assert_int_equal(vdpakit_net_set_mac(net, mac), -ENODEV);
	vdpakit_net_close(net);
	vdpakit_free(kit);
}

/* ---- registers ---- */

static uint64_t read_reg(struct vdpakit_mmio *m, uint64_t offset)
{
	uint64_t value;

	assert_int_equal(vdpakit_mmio_read(m, offset, 4, &value), 0);
	return value;
}

static void test_registers_are_shown(void **state)
{
	struct vdpakit *kit = kit_with("b0 vdpasim_blk");
	struct vdpakit_mmio_info info;
	struct vdpakit_mmio *m;
	struct vdpakit_blk *blk = NULL;

	assert_int_equal(vdpakit_mmio_open(kit, "b0", NULL, &m), 0);
	assert_int_equal(read_reg(m, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(read_reg(m, VIRTIO_MMIO_DEVICE_ID), 2);
	assert_int_equal(vdpakit_mmio_write(m, VIRTIO_MMIO_STATUS, 4, 1), 0);
	assert_int_equal(read_reg(m, VIRTIO_MMIO_STATUS), 1);
	assert_true(vdpakit_mmio_notify_fd(m, 0) >= 0);
	vdpakit_mmio_get_info(m, &info, sizeof(info));
	assert_int_equal(info.n_queues, 1);
	assert_refused(vdpakit_blk_open(kit, "b0", NULL, &blk), -EBUSY,
		       "vdpakit_blk_open", "mmio");
	vdpakit_mmio_close(m);
	/* Now for the library's own driver, and back again. */
	assert_int_equal(vdpakit_blk_open(kit, "b0", NULL, &blk), 0);
	m = NULL;
	assert_refused(vdpakit_mmio_open(kit, "b0", NULL, &m), -EBUSY,
		       "vdpakit_mmio_open", "virtio_vdpa");
	vdpakit_blk_close(blk);
	assert_int_equal(vdpakit_mmio_open(kit, "b0", NULL, &m), 0);
	vdpakit_free(kit);
}

static void test_register_calls_are_checked(void **state)
{
	struct vdpakit *kit = kit_with("b0 vdpasim_blk");
	const struct vdpakit_mmio_memory memory = { .gpa = 0, .fd = -1 };
	const struct vdpakit_mmio_options bad = { .size = sizeof(bad),
						  .layout = 99 };
	struct vdpakit_mmio *m = NULL;
	uint64_t value = 1;

	assert_refused(vdpakit_mmio_open(kit, "b1", NULL, &m), -ENODEV,
		       "vdpakit_mmio_open", "b1");
	assert_refused(vdpakit_mmio_open(kit, NULL, NULL, &m), -EINVAL,
		       "vdpakit_mmio_open", "name");
	assert_int_equal(vdpakit_mmio_open(kit, "b0", &bad, &m), -EINVAL);
	assert_null(m);
	assert_refused(vdpakit_mmio_read(NULL, 0, 4, &value), -EINVAL,
		       "vdpakit_mmio_read", "no device");
	assert_int_equal(value, 0);
	assert_int_equal(vdpakit_mmio_write(NULL, 0, 4, 0), -EINVAL);
	assert_int_equal(vdpakit_mmio_map(NULL, &memory), -EINVAL);
	assert_int_equal(vdpakit_mmio_map(NULL, NULL), -EINVAL);
	assert_int_equal(vdpakit_mmio_unmap(NULL, 0, 1), -EINVAL);
	vdpakit_mmio_close(NULL);
	assert_int_equal(vdpakit_mmio_open(kit, "b0", NULL, &m), 0);
	assert_refused(vdpakit_mmio_read(m, 3, 4, &value), -EINVAL,
		       "vdpakit_mmio_read", "nothing of 4 bytes");
	assert_refused(vdpakit_mmio_map(m, &memory), -EINVAL,
		       "vdpakit_mmio_map", "");
	assert_int_equal(vdpakit_mmio_notify_fd(m, 1), -EINVAL);
	assert_int_equal(vdpakit_mmio_set_vq_callback(m, NULL, NULL),
			 -EOPNOTSUPP);
	assert_int_equal(vdpakit_mmio_set_config_callback(m, NULL, NULL),
			 -EOPNOTSUPP);
	assert_refused(vdpakit_mmio_open(kit, "b0", NULL, &m), -EBUSY,
		       "vdpakit_mmio_open", "");
	vdpakit_free(kit);
}

static void test_a_device_goes_from_behind_its_registers(void **state)
{
	struct vdpakit *kit = kit_with("b0 vdpasim_blk");
	struct vdpakit_mmio *m;
	uint64_t value;

	assert_int_equal(vdpakit_mmio_open(kit, "b0", NULL, &m), 0);
	assert_int_equal(vdpakit_dev_del(kit, "b0"), 0);
	(void)vdpakit_mmio_read(m, VIRTIO_MMIO_STATUS, 4, &value);
	assert_int_equal(value & 64, 64); /* DEVICE_NEEDS_RESET */
	assert_int_equal(vdpakit_mmio_unmap(m, 0, 4096), -ENODEV);
	vdpakit_mmio_close(m);
	assert_int_equal(vdpakit_dev_add(kit, "b0 vdpasim_blk"), 0);
	vdpakit_free(kit);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_a_frame_comes_back),
	cmocka_unit_test(test_network_calls_are_checked),
	cmocka_unit_test(test_registers_are_shown),
	cmocka_unit_test(test_register_calls_are_checked),
	cmocka_unit_test(test_a_device_goes_from_behind_its_registers),
};

TEST_MAIN("lib_front")
