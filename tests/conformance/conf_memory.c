/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: what the device can reach. Statements 48 (visibility) and 51 to
 * 54; H32, H33.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/blk.h"

#define PAGE 4096
/* Where tests map what they add. */
#define EXTRA 0x40000000ULL

static int map(const struct client *cl, uint64_t iova, const void *va,
	       uint64_t size, uint8_t perm)
{
	return dev_map(cl->fd, 0, iova, va, size, perm);
}

/* A request whose data lies at any address. Return: as of blk_io(); -1 when a
 * kernel's device stops at what is bad instead of completing it. */
static int io_at(struct client *cl, uint32_t type, uint64_t sector,
		 uint64_t iova, uint32_t len)
{
	struct client_vq *q = &cl->vqs[0];
	const uint32_t header[4] = { type, 0, (uint32_t)sector, 0 };
	char *va = client_buf(cl, 0);
	struct ring_piece pieces[] = {
		{ client_iova(cl, va), sizeof(header), false },
		{ iova, len, type != BLK_T_OUT },
		{ client_iova(cl, va + sizeof(header)), 1, true },
	};
	uint32_t written;
	uint16_t id;

	memcpy(va, header, sizeof(header));
	va[sizeof(header)] = BLK_S_NONE;
	assert_true(ring_add(&q->ring, pieces, 3, false) >= 0);
	client_kick(q);
	if (!client_wait(q, conf_is_kernel() ? CONF_QUIET_MS : CONF_WAIT_MS,
			 &id, &written)) {
		return -1;
	}
	return (uint8_t)va[sizeof(header)];
}

static void expect_failure(int status)
{
	assert_true(status == BLK_S_IOERR ||
		    (status == -1 && conf_is_kernel()));
}

/* ---- permissions ---- */

static void test_s51_read_only_memory_is_not_written(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_memfd(*state, PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	memset(mem.va, 0xa5, PAGE);
	assert_int_equal(map(&cl, EXTRA, mem.va, PAGE, VHOST_ACCESS_RO),
			 IOTLB_DONE);
	assert_int_equal(io_at(&cl, BLK_T_OUT, 8, EXTRA, PAGE), BLK_S_OK);
	expect_failure(io_at(&cl, BLK_T_IN, 0, EXTRA, PAGE));
	for (size_t i = 0; i < PAGE; i++) {
		assert_int_equal((uint8_t)mem.va[i], 0xa5);
	}
	/* That request alone was wrong. */
	assert_true(blk_works(&cl) || conf_is_kernel());
}

static void test_s51_write_only_memory_is_not_read(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_memfd(*state, PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	memset(client_buf(&cl, BLK_DATA), 0x11, PAGE);
	assert_int_equal(blk_io(&cl, BLK_T_OUT, 8, client_buf(&cl, BLK_DATA),
				PAGE),
			 BLK_S_OK);
	memset(mem.va, 0xa5, PAGE);
	assert_int_equal(map(&cl, EXTRA, mem.va, PAGE, VHOST_ACCESS_WO),
			 IOTLB_DONE);
	expect_failure(io_at(&cl, BLK_T_OUT, 8, EXTRA, PAGE));
	if (conf_is_kernel()) {
		return;
	}
	assert_int_equal(io_at(&cl, BLK_T_IN, 8, EXTRA, PAGE), BLK_S_OK);
	for (size_t i = 0; i < PAGE; i++) {
		assert_int_equal((uint8_t)mem.va[i], 0x11);
	}
}

static void test_s51_memory_without_permission(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_memfd(*state, PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_int_equal(map(&cl, EXTRA, mem.va, PAGE, 0), IOTLB_DONE);
	expect_failure(io_at(&cl, BLK_T_OUT, 8, EXTRA, PAGE));
	if (!conf_is_kernel()) {
		expect_failure(io_at(&cl, BLK_T_IN, 8, EXTRA, PAGE));
		assert_true(blk_works(&cl));
	}
}

/* A mapping that says more than the memory behind it allows. */
static void test_s51_pages_that_the_client_cannot_write(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_memfd(*state, PAGE);
	char *ro;
	int ret;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	conf_product_only("asks more than the statement");
	memset(mem.va, 0xa5, PAGE);
	ro = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, mem.fd, 0);
	assert_true(ro != MAP_FAILED);
	ret = map(&cl, EXTRA, ro, PAGE, VHOST_ACCESS_RW);
	assert_true(ret == IOTLB_DONE || ret == -EFAULT);
	if (ret == IOTLB_DONE) {
		int status = io_at(&cl, BLK_T_IN, 0, EXTRA, PAGE);

		/* The file may be written, so it may come either way; no harm
		 * to the device is what counts. */
		assert_true(status == BLK_S_OK || status == BLK_S_IOERR);
	}
	assert_true(blk_works(&cl));
	(void)munmap(ro, PAGE);
}

/* ---- spans and holes ---- */

static void test_s52_a_buffer_across_two_mappings(void **state)
{
	struct client cl;
	struct conf_mem a = conf_memfd(*state, PAGE);
	struct conf_mem b = conf_memfd(*state, PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	memset(a.va, 0x0a, PAGE);
	memset(b.va, 0x0b, PAGE);
	assert_int_equal(map(&cl, EXTRA, a.va, PAGE, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(map(&cl, EXTRA + PAGE, b.va, PAGE, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	/* At several places of the border. */
	for (uint64_t off = 1; off < 512; off += 101) {
		char *data = client_buf(&cl, BLK_DATA);
		uint64_t at = EXTRA + PAGE - off;

		assert_int_equal(io_at(&cl, BLK_T_OUT, 8, at, 512), BLK_S_OK);
		assert_int_equal(blk_io(&cl, BLK_T_IN, 8, data, 512), BLK_S_OK);
		for (uint64_t i = 0; i < 512; i++) {
			assert_int_equal(data[i], i < off ? 0x0a : 0x0b);
		}
		assert_int_equal(io_at(&cl, BLK_T_IN, 8, at, 512), BLK_S_OK);
	}
}

/* H13 */
static void test_s52_a_hole_fails_its_request_only(void **state)
{
	struct client cl;
	struct conf_mem a = conf_memfd(*state, PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	conf_product_only("a kernel's device stops at a hole");
	memset(a.va, 0xa5, PAGE);
	assert_int_equal(map(&cl, EXTRA, a.va, PAGE, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	for (unsigned int i = 0; i < 20; i++) {
		/* After it, before it, nowhere near, wrapping (H12). */
		assert_int_equal(io_at(&cl, BLK_T_IN, 0, EXTRA + PAGE - 1, 512),
				 BLK_S_IOERR);
		assert_int_equal(io_at(&cl, BLK_T_OUT, 8, EXTRA - 1, 512),
				 BLK_S_IOERR);
		assert_int_equal(io_at(&cl, BLK_T_IN, 0, 0xdead0000, 512),
				 BLK_S_IOERR);
		assert_true(blk_works(&cl));
	}
}

/* ---- kinds of memory ---- */

static void test_s53_shared_anonymous_memory_works(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_anon(*state, 16 * PAGE, MAP_SHARED);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	memset(mem.va, 0x5c, mem.size);
	assert_int_equal(map(&cl, EXTRA, mem.va, mem.size, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(io_at(&cl, BLK_T_OUT, 8, EXTRA, 8 * 512), BLK_S_OK);
	memset(mem.va, 0, mem.size);
	assert_int_equal(io_at(&cl, BLK_T_IN, 8, EXTRA + 100, 8 * 512),
			 BLK_S_OK);
	assert_int_equal(mem.va[99], 0);
	for (size_t i = 100; i < 100 + 8 * 512; i++) {
		assert_int_equal(mem.va[i], 0x5c);
	}
	assert_int_equal(mem.va[100 + 8 * 512], 0);
}

/* Rings as well: QEMU's shadow virtqueues are such. */
static void test_s53_a_ring_in_shared_anonymous_memory(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_anon(*state, CLIENT_BYTES, MAP_SHARED);

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	cl.mem = mem;
	client_run(&cl, BLK_FEATURES, 1, 16);
	for (unsigned int i = 0; i < 40; i++) {
		assert_true(blk_works(&cl));
	}
}

/* What no kernel device with use_va can do: memory of the client alone. */
static void test_s53_private_memory_works(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_anon(*state, 4 * PAGE, MAP_PRIVATE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	conf_product_only("skipped in silence by kernels");
	memset(mem.va, 0x3d, mem.size);
	assert_int_equal(map(&cl, EXTRA, mem.va, mem.size, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(io_at(&cl, BLK_T_OUT, 8, EXTRA, 4 * PAGE), BLK_S_OK);
	memset(mem.va, 0, mem.size);
	assert_int_equal(io_at(&cl, BLK_T_IN, 8, EXTRA, 4 * PAGE), BLK_S_OK);
	for (size_t i = 0; i < mem.size; i++) {
		assert_int_equal(mem.va[i], 0x3d);
	}
}

static void test_s53_a_ring_in_private_memory(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_anon(*state, CLIENT_BYTES, MAP_PRIVATE);

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	conf_product_only("skipped in silence by kernels");
	cl.mem = mem;
	client_run(&cl, BLK_FEATURES, 1, 16);
	for (unsigned int i = 0; i < 40; i++) {
		assert_true(blk_works(&cl));
	}
}

/* One update over several kinds at once: file, hole, anonymous. */
static void test_s53_one_update_over_several_areas(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_memfd(*state, 8 * PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_true(mmap(mem.va + 4 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) != MAP_FAILED);
	memset(mem.va, 0x77, 8 * PAGE);
	assert_int_equal(map(&cl, EXTRA, mem.va, 8 * PAGE, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(io_at(&cl, BLK_T_OUT, 8, EXTRA, 8 * PAGE), BLK_S_OK);
	memset(mem.va, 0, 8 * PAGE);
	assert_int_equal(io_at(&cl, BLK_T_IN, 8, EXTRA, 8 * PAGE), BLK_S_OK);
	for (size_t i = 0; i < 8 * PAGE; i++) {
		assert_int_equal(mem.va[i], 0x77);
	}
}

/* ---- when a change is seen ---- */

static void test_s48_nothing_of_a_batch_is_visible_before_its_end(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_memfd(*state, PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	conf_product_only("a kernel's device stops at a hole");
	assert_int_equal(dev_batch(cl.fd, 0, true), IOTLB_DONE);
	assert_int_equal(map(&cl, EXTRA, mem.va, PAGE, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(io_at(&cl, BLK_T_IN, 0, EXTRA, 512), BLK_S_IOERR);
	assert_int_equal(dev_batch(cl.fd, 0, false), IOTLB_DONE);
	assert_int_equal(io_at(&cl, BLK_T_IN, 0, EXTRA, 512), BLK_S_OK);
}

static void test_s48_unmapped_memory_is_out_of_reach_at_once(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_memfd(*state, PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	conf_product_only("a kernel's device stops at a hole");
	for (unsigned int i = 0; i < 50; i++) {
		assert_int_equal(map(&cl, EXTRA, mem.va, PAGE, VHOST_ACCESS_RW),
				 IOTLB_DONE);
		assert_int_equal(io_at(&cl, BLK_T_IN, 0, EXTRA, 512), BLK_S_OK);
		assert_int_equal(dev_unmap(cl.fd, 0, EXTRA, PAGE), IOTLB_DONE);
		assert_int_equal(io_at(&cl, BLK_T_IN, 0, EXTRA, 512),
				 BLK_S_IOERR);
	}
}

/* ---- resets ---- */

static void test_s54_mappings_outlive_a_reset_with_iotlb_persist(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	if (dev_set_backend_features(
		    cl.fd, BACKEND_MSG_V2 | BACKEND_IOTLB_PERSIST) < 0) {
		conf_skip("mappings do not outlive a reset here");
	}
	client_map(&cl); /* once, at the very beginning */
	for (unsigned int i = 0; i < 5; i++) {
		client_negotiate(&cl, BLK_FEATURES);
		client_vq_init(&cl, 0, 16);
		client_vq_set(&cl, 0);
		client_vq_enable(&cl, 0);
		client_driver_ok(&cl);
		assert_true(blk_works(&cl));
		assert_int_equal(dev_set_status(cl.fd, 0), 0);
		conf_close(cl.c, q->kick);
		conf_close(cl.c, q->call);
	}
}

/* Old clients map again after a reset, and have to unmap first. */
static void test_s54_unmap_and_map_after_a_reset(void **state)
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(blk_works(&cl));
		assert_int_equal(dev_set_status(cl.fd, 0), 0);
		assert_int_equal(dev_unmap(cl.fd, 0, 0, UINT64_MAX),
				 IOTLB_DONE);
		client_run(&cl, BLK_FEATURES, 1, 16);
	}
	assert_true(blk_works(&cl));
}

/* ---- what was given is given back ---- */

static void test_s47_invalidated_memory_is_released(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_memfd(*state, 16 * PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_int_equal(map(&cl, EXTRA, mem.va, mem.size, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(io_at(&cl, BLK_T_IN, 0, EXTRA, 4096), BLK_S_OK);
	assert_int_equal(dev_unmap(cl.fd, 0, EXTRA, PAGE), IOTLB_DONE);
	assert_true(conf_is_released(&mem));
	assert_true(blk_works(&cl));
}

static void test_s03_closing_releases_all_memory(void **state)
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_true(blk_works(&cl));
	conf_close(cl.c, cl.fd);
	assert_true(conf_is_released(&cl.mem));
}

/* ---- hostile memory ---- */

/* H32: the client shortens its file under the device. */
static void test_h32_file_truncated_under_the_device(void **state)
{
	struct client cl;
	struct conf_mem mem = conf_memfd(*state, 16 * PAGE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	conf_product_only("a kernel's device stops at a hole");
	assert_int_equal(map(&cl, EXTRA, mem.va, mem.size, VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(io_at(&cl, BLK_T_IN, 0, EXTRA, 4096), BLK_S_OK);
	assert_int_equal(ftruncate(mem.fd, 0), 0);
	for (unsigned int i = 0; i < 10; i++) {
		int status = io_at(&cl, i % 2 ? BLK_T_IN : BLK_T_OUT, 8, EXTRA,
				   4096);

		assert_true(status == BLK_S_IOERR || status == BLK_S_OK);
		assert_true(blk_works(&cl));
	}
}

/* H32: the rings themselves go. No answer can come, but the device can be
 * reset, and others are not concerned. */
static void test_h32_ring_truncated_under_the_device(void **state)
{
	struct client cl, again;
	struct conf *c = *state;

	blk_start(&cl, c, 16, BLK_FEATURES);
	assert_true(blk_works(&cl));
	assert_int_equal(ftruncate(cl.mem.fd, 0), 0);
	client_kick(&cl.vqs[0]);
	assert_int_equal(dev_set_status(cl.fd, 0), 0);
	conf_close(c, cl.fd);
	blk_start(&again, c, 16, BLK_FEATURES);
	assert_true(blk_works(&again));
}

/* H32: unmapped in the client, but not in the device. */
static void test_h32_memory_unmapped_by_the_client(void **state)
{
	struct client cl;
	struct conf_mem shared = conf_memfd(*state, 16 * PAGE);
	struct conf_mem private = conf_anon(*state, 16 * PAGE, MAP_PRIVATE);

	blk_start(&cl, *state, 16, BLK_FEATURES);
	conf_product_only("a kernel's device stops at a hole");
	assert_int_equal(map(&cl, EXTRA, shared.va, shared.size,
			     VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(map(&cl, 2 * EXTRA, private.va, private.size,
			     VHOST_ACCESS_RW),
			 IOTLB_DONE);
	assert_int_equal(mprotect(shared.va, shared.size, PROT_NONE), 0);
	assert_int_equal(mprotect(private.va, private.size, PROT_NONE), 0);
	for (unsigned int i = 0; i < 10; i++) {
		int status = io_at(&cl, i % 2 ? BLK_T_IN : BLK_T_OUT, 8,
				   i % 4 < 2 ? EXTRA : 2 * EXTRA, 4096);

		assert_true(status == BLK_S_IOERR || status == BLK_S_OK);
	}
	assert_true(blk_works(&cl));
}

/* H33: the map changes under requests in flight. */
static void test_h33_map_changes_during_requests(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	struct conf_mem mem = conf_memfd(*state, PAGE);

	blk_start(&cl, *state, 64, BLK_FEATURES);
	for (unsigned int round = 0; round < 100; round++) {
		unsigned int n = 0;
		uint32_t written;
		uint16_t id;

		for (unsigned int i = 0; i < 16; i++) {
			n += blk_add(&cl, i, BLK_T_IN, i,
				     client_buf(&cl, BLK_DATA),
				     16 * BLK_SECTOR) >= 0;
		}
		client_kick(q);
		assert_int_equal(map(&cl, EXTRA, mem.va, PAGE, VHOST_ACCESS_RW),
				 IOTLB_DONE);
		assert_int_equal(dev_unmap(cl.fd, 0, EXTRA, PAGE), IOTLB_DONE);
		for (; n > 0; n--) {
			assert_true(
				client_wait(q, CONF_WAIT_MS, &id, &written));
		}
		for (unsigned int i = 0; i < 16; i++) {
			assert_int_equal(blk_status(&cl, i), BLK_S_OK);
		}
	}
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_s51_read_only_memory_is_not_written),
	CONF_TEST_BOTH(test_s51_write_only_memory_is_not_read),
	CONF_TEST(test_s51_memory_without_permission),
	CONF_TEST(test_s51_pages_that_the_client_cannot_write),
	CONF_TEST_BOTH(test_s52_a_buffer_across_two_mappings),
	CONF_TEST_BOTH(test_s52_a_hole_fails_its_request_only),
	CONF_TEST(test_s53_shared_anonymous_memory_works),
	CONF_TEST_BOTH(test_s53_a_ring_in_shared_anonymous_memory),
	CONF_TEST(test_s53_private_memory_works),
	CONF_TEST_BOTH(test_s53_a_ring_in_private_memory),
	CONF_TEST(test_s53_one_update_over_several_areas),
	CONF_TEST_BOTH(test_s48_nothing_of_a_batch_is_visible_before_its_end),
	CONF_TEST_BOTH(test_s48_unmapped_memory_is_out_of_reach_at_once),
	CONF_TEST_BOTH(test_s54_mappings_outlive_a_reset_with_iotlb_persist),
	CONF_TEST_BOTH(test_s54_unmap_and_map_after_a_reset),
	CONF_TEST(test_s47_invalidated_memory_is_released),
	CONF_TEST_BOTH(test_s03_closing_releases_all_memory),
	CONF_TEST_BOTH(test_h32_file_truncated_under_the_device),
	CONF_TEST_BOTH(test_h32_ring_truncated_under_the_device),
	CONF_TEST_BOTH(test_h32_memory_unmapped_by_the_client),
	CONF_TEST_BOTH(test_h33_map_changes_during_requests),
};

TEST_MAIN("conformance/memory")
