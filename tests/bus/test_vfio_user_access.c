/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the vfio-user bus driver against clients, and guests behind them, that
 * share what is no memory, access what is no register and write what no driver
 * would. What must hold: the next client is served, and nothing is left behind.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "busdrv/vfio_user_internal.h"
#include "lib/test.h"
#include "vuser_rig.h"

#define NUM    16
#define COMMON VIRTIO_PCI_CAP_COMMON_CFG

/* ---- memory ---- */

static void test_memory_that_cannot_be(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	struct vfio_user_dma_map m = { sizeof(m) - 1, 3, 0, 0, 4096 };
	struct vfio_user_dma_unmap u = { sizeof(u) - 1, 0, 0, 4096 };
	int fd = c->memfd;

	vuser_hello(c);
	assert_int_equal(vuser_map(c, 0, 0, 0, 3, fd), -EINVAL);
	assert_int_equal(vuser_map(c, UINT64_MAX, 2, 0, 3, fd), -EINVAL);
	assert_int_equal(vuser_map(c, 0, UINT64_MAX, 0, 3, fd), -EINVAL);
	assert_int_equal(vuser_map(c, 0, 4096, 0, 0, fd), -EINVAL);
	assert_int_equal(vuser_map(c, 0, 4096, 0, 7, fd), -EINVAL);
	assert_int_equal(vuser_map(c, 0, 4096, UINT64_MAX - 4095, 3, fd),
			 -EINVAL);
	assert_int_equal(vuser_map(c, 0, 4096, VUSER_MEM_BYTES - 4095, 3, fd),
			 -EINVAL);
	assert_int_equal(vuser_map(c, 0, VUSER_MEM_BYTES + 1, 0, 3, fd),
			 -EINVAL);
	assert_int_equal(vuser_ask(c, VFIO_USER_DMA_MAP, &m, sizeof(m), &fd, 1,
				   NULL),
			 -EINVAL);
	assert_int_equal(vuser_ask(c, VFIO_USER_DMA_UNMAP, &u, sizeof(u), NULL,
				   0, NULL),
			 -EINVAL);
	assert_int_equal(vuser_unmap(c, 0, 0, 0), -EINVAL);
	assert_int_equal(vuser_unmap(c, UINT64_MAX, 2, 0), -EINVAL);
	assert_int_equal(vuser_unmap(c, 0, 4096, 1), -EINVAL);
	assert_int_equal(vuser_unmap(c, 0, 4096, VFIO_DMA_UNMAP_FLAG_ALL),
			 -EINVAL);
	/* The very end of all addresses. */
	assert_int_equal(vuser_map(c, UINT64_MAX - 4095, 4096, 0, 3, fd), 0);
	assert_int_equal(vuser_map(c, UINT64_MAX, 1, 0, 3, fd), -EEXIST);
	assert_int_equal(vuser_unmap(c, UINT64_MAX - 4095, 4096, 0), 0);
}

static void test_more_memory_than_there_may_be(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;

	vuser_hello(c);
	for (uint64_t i = 0; i < VFIO_USER_DMA_MAX; i++) {
		/* Without a file, they count as well. */
		assert_int_equal(vuser_map(c, 0x10000000 - i * 0x10000, 0x1000,
					   0, 3, i % 2 ? -1 : c->memfd),
				 0);
	}
	assert_int_equal(vuser_map(c, 0x20000000, 0x1000, 0, 3, c->memfd),
			 -ENOSPC);
	assert_int_equal(vuser_unmap(c, 0x10000000, 0x1000, 0), 0);
	assert_int_equal(vuser_map(c, 0x20000000, 0x1000, 0, 3, c->memfd), 0);
}

/* Memory that goes away while the ring in it runs. */
static void test_file_that_shrinks(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;

	vuser_start(c, 0, 1, NUM, true);
	assert_int_equal(ftruncate(c->memfd, 0), 0);
	vuser_notify(c, 0);
	vfront_run(fx->vw->fw, 20 * 1000000ULL);
	(void)vuser_status(c);
	/* Also while it is written here. */
	assert_int_equal(ftruncate(c->memfd, VUSER_MEM_BYTES), 0);
}

static void test_memory_is_unmapped_under_a_ring(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;

	vuser_start(c, 0, 1, NUM, true);
	assert_int_equal(vuser_unmap(c, VUSER_GPA, VUSER_MEM_BYTES, 0), 0);
	vuser_notify(c, 0);
	vfront_run(fx->vw->fw, 20 * 1000000ULL);
	assert_int_equal(vuser_cfg_read(c, PCI_VENDOR_ID, 2), 0x1af4);
}

/* ---- regions ---- */

static const struct {
	uint64_t offset;
	uint32_t region, count;
} no_bytes[] = {
	{ 0, 2, 4 },	  { 0, 6, 4 },		{ 0, 8, 4 },
	{ 0, 99, 4 },	  { 0, UINT32_MAX, 4 }, { 0, 0, 0 },
	{ 0x4000, 0, 1 }, { 0x3fff, 0, 2 },	{ UINT64_MAX, 0, 1 },
	{ 256, 7, 1 },	  { 0, 7, 257 },	{ 0x2000, 1, 4 },
	{ 0, 0, 4097 },	  { 0, 0, UINT32_MAX }, { UINT64_MAX - 3, 7, 8 },
};

static void test_accesses_outside_of_regions(void **state)
{
	struct vuser_rig *fx = *state;
	static struct {
		struct vfio_user_region_access a;
		uint8_t data[4096];
	} w;

	vuser_hello(fx->c);
	for (size_t i = 0; i < ARRAY_SIZE(no_bytes); i++) {
		uint32_t len = min_of(no_bytes[i].count, 4096U);

		w.a = (struct vfio_user_region_access){ no_bytes[i].offset,
							no_bytes[i].region,
							no_bytes[i].count };
		assert_int_equal(vuser_ask(fx->c, VFIO_USER_REGION_READ, &w.a,
					   sizeof(w.a), NULL, 0, NULL),
				 -EINVAL);
		assert_int_equal(vuser_ask(fx->c, VFIO_USER_REGION_WRITE, &w,
					   (uint32_t)sizeof(w.a) + len, NULL, 0,
					   NULL),
				 -EINVAL);
	}
	/* More, and fewer, bytes than it says. */
	w.a = (struct vfio_user_region_access){ 0, 0, 4 };
	assert_int_equal(vuser_ask(fx->c, VFIO_USER_REGION_WRITE, &w,
				   sizeof(w.a) + 3, NULL, 0, NULL),
			 -EINVAL);
	assert_int_equal(vuser_ask(fx->c, VFIO_USER_REGION_WRITE, &w,
				   sizeof(w.a) + 5, NULL, 0, NULL),
			 -EINVAL);
}

static void test_many_writes_that_are_not_there(void **state)
{
	struct vuser_rig *fx = *state;
	struct {
		uint64_t n;
		struct vfio_user_write_one w[2];
	} m = { 0 };
	static const uint64_t bad[] = {
		0, 1, 3, 1ULL << 61, UINT64_MAX, (1ULL << 61) + 2
	};

	vuser_hello(fx->c);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		m.n = bad[i];
		assert_int_equal(vuser_ask(fx->c, VFIO_USER_REGION_WRITE_MULTI,
					   &m, sizeof(m), NULL, 0, NULL),
				 -EINVAL);
	}
	m.n = 2;
	m.w[0].count = 1;
	for (uint32_t count = 9; count != 0; count *= 9) {
		m.w[1].count = count;
		assert_int_equal(vuser_ask(fx->c, VFIO_USER_REGION_WRITE_MULTI,
					   &m, sizeof(m), NULL, 0, NULL),
				 -EINVAL);
		if (count > UINT32_MAX / 9) {
			break;
		}
	}
}

static void test_questions_of_what_is_not_there(void **state)
{
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;
	struct vfio_region_info r = { .argsz = sizeof(r), .index = 9 };
	struct vfio_irq_info q = { .argsz = sizeof(q), .index = 5 };
	struct vfio_user_region_io_fds f = { .argsz = 4096, .index = 2 };
	struct vfio_user_device_info d = { .argsz = sizeof(d) - 1 };

	vuser_hello(c);
#define REFUSED(command, x)                                              \
	assert_int_equal(vuser_ask(c, command, &(x), sizeof(x), NULL, 0, \
				   NULL),                                \
			 -EINVAL)
	REFUSED(VFIO_USER_DEVICE_GET_INFO, d);
	REFUSED(VFIO_USER_DEVICE_GET_REGION_INFO, r);
	r = (struct vfio_region_info){ .argsz = sizeof(r) - 1 };
	REFUSED(VFIO_USER_DEVICE_GET_REGION_INFO, r);
	for (q.index = 3; q.index < 6; q.index++) {
		REFUSED(VFIO_USER_DEVICE_GET_IRQ_INFO, q);
	}
	q = (struct vfio_irq_info){ .argsz = 0 };
	REFUSED(VFIO_USER_DEVICE_GET_IRQ_INFO, q);
	REFUSED(VFIO_USER_DEVICE_GET_REGION_IO_FDS, f);
	f = (struct vfio_user_region_io_fds){ .argsz = 15 };
	REFUSED(VFIO_USER_DEVICE_GET_REGION_IO_FDS, f);
	f = (struct vfio_user_region_io_fds){ .argsz = 4096, .count = 1 };
	REFUSED(VFIO_USER_DEVICE_GET_REGION_IO_FDS, f);
	f = (struct vfio_user_region_io_fds){ .argsz = 4096, .flags = 1 };
	REFUSED(VFIO_USER_DEVICE_GET_REGION_IO_FDS, f);
#undef REFUSED
}

/* ---- registers ---- */

/* Every width everywhere, with values that a driver would not think of. */
static void test_writes_to_every_register(void **state)
{
	static const uint64_t values[] = { 0,	      1,	  0xff,
					   0xffff,    0x80000000, UINT64_MAX,
					   0x0f0b0301 };
	struct vuser_rig *fx = *state;

	vuser_hello(fx->c);
	vuser_find_caps(fx->c);
	for (uint64_t at = 0; at < 64; at++) {
		for (uint32_t len = 1; len <= 8; len *= 2) {
			for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
				assert_int_equal(vuser_write(fx->c, 0, at,
							     &values[i], len),
						 0);
			}
		}
	}
	for (uint64_t at = 0; at < 256; at++) {
		(void)vuser_write(fx->c, 7, at, &values[at % 7], 1);
		(void)vuser_write(fx->c, 7, at, &values[at % 5],
				  min_of(4U, 256 - (uint32_t)at));
	}
	for (uint64_t at = 0; at < 0x4000; at += 61) {
		assert_int_equal(vuser_write(fx->c, 0, at, &values[at % 7], 2),
				 0);
	}
	vuser_set_status(fx->c, 0);
	assert_int_equal(vuser_status(fx->c), 0);
}

static void start_queue(struct vuser *c, uint16_t num, uint64_t addr)
{
	vuser_negotiate(c, 0);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_SIZE, num, 2);
	for (uint32_t at = VIRTIO_PCI_COMMON_Q_DESCLO;
	     at <= VIRTIO_PCI_COMMON_Q_USEDLO; at += 8) {
		vuser_set(c, COMMON, at, (uint32_t)addr, 4);
		vuser_set(c, COMMON, at + 4, (uint32_t)(addr >> 32), 4);
	}
	vuser_set(c, COMMON, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	vuser_set_status(c, 0xf);
	vuser_notify(c, 0);
}

static void test_queues_that_cannot_be(void **state)
{
	static const uint64_t addrs[] = {
		0,	    1,
		VUSER_GPA,  VUSER_GPA + VUSER_MEM_BYTES - 1,
		UINT64_MAX, UINT64_MAX - 4095
	};
	static const uint16_t nums[] = { 0, 1, 3, 16, 1024, 32768, UINT16_MAX };
	struct vuser_rig *fx = *state;
	struct vuser *c = fx->c;

	vuser_hello(c);
	vuser_find_caps(c);
	assert_int_equal(
		vuser_map(c, VUSER_GPA, VUSER_MEM_BYTES, 0, 3, c->memfd), 0);
	for (size_t a = 0; a < ARRAY_SIZE(addrs); a++) {
		for (size_t n = 0; n < ARRAY_SIZE(nums); n++) {
			start_queue(c, nums[n], addrs[a]);
			vfront_run(fx->vw->fw, 100000);
		}
	}
	/* A ring of a size that is no power of two needs a reset. */
	start_queue(c, 3, VUSER_GPA);
	assert_true(vuser_status(c) & VIRTIO_CONFIG_S_NEEDS_RESET);
	vuser_set_status(c, 0);
	assert_int_equal(vuser_status(c), 0);
}

#define T(f)                                                 \
	cmocka_unit_test_setup_teardown(f, vuser_set_up_blk, \
					vuser_tear_down_alive)

static const struct CMUnitTest tests[] = {
	/* First: the guard against SIGBUS is there once a test maps memory, and
	 * cmocka takes it away after that test. */
	T(test_file_that_shrinks),
	T(test_memory_that_cannot_be),
	T(test_more_memory_than_there_may_be),
	T(test_memory_is_unmapped_under_a_ring),
	T(test_accesses_outside_of_regions),
	T(test_many_writes_that_are_not_there),
	T(test_questions_of_what_is_not_there),
	T(test_writes_to_every_register),
	T(test_queues_that_cannot_be),
};

TEST_MAIN("vfio_user_access")
