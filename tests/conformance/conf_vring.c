/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: setting virtqueues up. Statements 22 to 28 and 35 to 37; H25,
 * H26, H60.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>

#include "lib/blk.h"
#include "lib/net.h"

static int open_owned(void **state)
{
	int fd = conf_open(*state, conf_node(), O_RDWR);

	assert_int_equal(dev_set_owner(fd), 0);
	return fd;
}

/* ---- NUM and indexes ---- */

static void test_s22_num_bad_values_einval(void **state)
{
	int fd = open_owned(state);
	const uint32_t max = (uint32_t)dev_get_num_max(fd);
	const uint32_t bad[] = { 0,	  3,	      100,	 0xffff,
				 0x10000, 0x80000000, 0xffffffff };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(dev_vring(fd, VHOST_SET_VRING_NUM, 0, bad[i]),
				 -EINVAL);
	}
	for (uint32_t num = 1; num <= max; num *= 2) {
		assert_int_equal(dev_vring(fd, VHOST_SET_VRING_NUM, 0, num), 0);
	}
}

static void test_s22_num_above_max_einval(void **state)
{
	int fd = open_owned(state);
	const uint32_t max = (uint32_t)dev_get_num_max(fd);
	int ret = dev_vring(fd, VHOST_SET_VRING_NUM, 0, max * 2);

	if (conf_is_kernel() && ret == 0) {
		conf_skip("kernels before 7.x take any size");
	}
	assert_int_equal(ret, -EINVAL);
	if (max * 2 <= 0x8000) {
		assert_int_equal(dev_vring(fd, VHOST_SET_VRING_NUM, 0, 0x8000),
				 -EINVAL);
	}
}

static void test_s22_index_beyond_the_last_enobufs(void **state)
{
	static const unsigned long cmds[] = {
		VHOST_SET_VRING_NUM,
		VHOST_SET_VRING_ADDR,
		VHOST_SET_VRING_BASE,
		VHOST_GET_VRING_BASE,
		VHOST_SET_VRING_KICK,
		VHOST_SET_VRING_CALL,
		VHOST_SET_VRING_ERR,
		VHOST_SET_VRING_BUSYLOOP_TIMEOUT,
		VHOST_GET_VRING_BUSYLOOP_TIMEOUT,
		VHOST_VDPA_SET_VRING_ENABLE,
		VHOST_VDPA_GET_VRING_GROUP,
	};
	int fd = open_owned(state);
	const uint32_t n = (uint32_t)dev_get_u32(fd, VHOST_VDPA_GET_VQS_COUNT);
	const uint32_t bad[] = { n,	     n + 1,	 0x100,
				 0xffff,     0x10000,	 0x10001,
				 0x80000000, 0xfffffffe, 0xffffffff };

	for (size_t c = 0; c < ARRAY_LEN(cmds); c++) {
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			struct vhost_vring_addr arg = { .index = bad[i] };

			assert_int_equal(dev_ioctl(fd, cmds[c], &arg),
					 -ENOBUFS);
		}
		assert_int_equal(dev_ioctl(fd, cmds[c], BAD_POINTER), -EFAULT);
	}
}

/* ---- ADDR ---- */

static int set_addr(int fd, uint32_t flags, uint64_t desc, uint64_t avail,
		    uint64_t used, uint64_t log)
{
	struct vhost_vring_addr a = {
		.flags = flags,
		.desc_user_addr = desc,
		.avail_user_addr = avail,
		.used_user_addr = used,
		.log_guest_addr = log,
	};

	return dev_ioctl(fd, VHOST_SET_VRING_ADDR, &a);
}

static void test_s23_addr_flags_eopnotsupp(void **state)
{
	int fd = open_owned(state);

	assert_int_equal(set_addr(fd, 2, 0, 0, 0, 0), -EOPNOTSUPP);
	assert_int_equal(set_addr(fd, 3, 0, 0, 0, 0), -EOPNOTSUPP);
	assert_int_equal(set_addr(fd, 0x80000000, 0, 0, 0, 0), -EOPNOTSUPP);
	assert_int_equal(set_addr(fd, 1, 0, 0, 0, 0), 0);
	/* The flags are looked at before the addresses. */
	assert_int_equal(set_addr(fd, 2, 0, 1, 1, 1), -EOPNOTSUPP);
}

static void test_s23_addr_alignment(void **state)
{
	int fd = open_owned(state);

	assert_int_equal(set_addr(fd, 0, 0x1000, 0x2001, 0x3000, 0), -EINVAL);
	assert_int_equal(set_addr(fd, 0, 0x1000, 0x2000, 0x3001, 0), -EINVAL);
	assert_int_equal(set_addr(fd, 0, 0x1000, 0x2000, 0x3002, 0), -EINVAL);
	assert_int_equal(set_addr(fd, 0, 0x1000, 0x2000, 0x3000, 2), -EINVAL);
	assert_int_equal(set_addr(fd, 0, 0x1001, 0x2002, 0x3004, 4), 0);
}

/* H26: nothing is mapped there, and nobody looks before DRIVER_OK. */
static void test_s23_addr_of_unmapped_memory_is_0(void **state)
{
	int fd = open_owned(state);

	assert_int_equal(set_addr(fd, 0, 0xfffffffffffff000, 0xfffffffffffffffe,
				  0xfffffffffffffffc, 0),
			 0);
	assert_int_equal(set_addr(fd, 0, 0x1000, 0x1000, 0x1000, 0), 0);
	assert_int_equal(dev_vring(fd, VHOST_VDPA_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(dev_set_features(fd, F_VERSION_1 | F_ACCESS_PLATFORM),
			 0);
	assert_int_equal(dev_set_status(fd, S_READY), 0);
	assert_true(dev_get_status(fd) >= S_READY);
	assert_int_equal(dev_set_status(fd, 0), 0);
	assert_int_equal(dev_get_status(fd), 0);
}

static void test_s24_ring_at_address_0_works(void **state)
{
	struct client cl;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	client_negotiate(&cl, BLK_FEATURES);
	client_map(&cl);
	assert_int_equal(dev_map(cl.fd, 0, 0, cl.mem.va, RING_BYTES,
				 VHOST_ACCESS_RW),
			 IOTLB_DONE);
	client_vq_init(&cl, 0, 16);
	client_vq_set(&cl, 0);
	assert_int_equal(dev_vring_addr(cl.fd, 0, 0, RING_DRIVER, RING_DEVICE),
			 0);
	client_vq_enable(&cl, 0);
	client_driver_ok(&cl);
	for (unsigned int i = 0; i < 50; i++) {
		assert_true(blk_works(&cl));
	}
}

/* ---- BASE ---- */

static void test_s25_base_of_a_split_ring(void **state)
{
	int fd = open_owned(state);
	uint32_t num;

	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_BASE, 0, 0x10000),
			 -EINVAL);
	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_BASE, 0, 0xffffffff),
			 -EINVAL);
	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_BASE, 0, 0xffff), 0);
	assert_int_equal(dev_vring_get(fd, VHOST_GET_VRING_BASE, 0, &num), 0);
	assert_int_equal(num, 0xffff);
}

static void test_s25_base_of_a_packed_ring_keeps_both_halves(void **state)
{
	static const uint32_t bases[] = { 0x80008000, 0x00000000, 0x80050003,
					  0x00078009, 0x80008001, 0x00ff00ff };
	int fd = open_owned(state);
	uint64_t offered;
	uint32_t num;

	assert_int_equal(dev_get_features(fd, &offered), 0);
	if (!(offered & F_PACKED)) {
		conf_skip("no packed rings");
	}
	assert_int_equal(dev_set_features(fd, F_VERSION_1 | F_ACCESS_PLATFORM |
						      F_PACKED),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
		assert_int_equal(
			dev_vring(fd, VHOST_SET_VRING_BASE, 0, bases[i]), 0);
		assert_int_equal(
			dev_vring_get(fd, VHOST_GET_VRING_BASE, 0, &num), 0);
		assert_int_equal(num, bases[i]);
	}
}

/* A queue goes on from where another one stopped. */
static void test_s25_a_ring_begins_at_its_base(void **state)
{
	struct client cl;
	struct ring *r = &cl.vqs[0].ring;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	client_negotiate(&cl, BLK_FEATURES);
	client_map(&cl);
	client_vq_init(&cl, 0, 16);
	ring_set_base(r, cl.c->is_packed ? 0x000b000b : 0xfffb);
	if (cl.c->is_packed) {
		/* Wrap counters are 0: what is there must not look available.
		 */
		for (unsigned int i = 0; i < 16; i++) {
			ring_packed_descs(r)[i].flags = PACKED_AVAIL |
							PACKED_USED;
		}
	}
	ring_arm(r);
	client_vq_set(&cl, 0);
	client_vq_enable(&cl, 0);
	client_driver_ok(&cl);
	for (unsigned int i = 0; i < 40; i++) {
		assert_true(blk_works(&cl));
	}
}

static void test_s26_addr_and_base_after_driver_ok_einval(void **state)
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_int_equal(dev_vring_addr(cl.fd, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_BASE, 0, 0), -EINVAL);
	assert_true(blk_works(&cl));
}

static void test_s26_addr_and_base_after_suspend_0(void **state)
{
	struct client cl;
	uint32_t base;
	uint64_t features = 0;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	(void)dev_get_backend_features(cl.fd, &features);
	if (!(features & BACKEND_SUSPEND)) {
		conf_skip("the device cannot be suspended");
	}
	assert_true(blk_works(&cl));
	assert_int_equal(dev_ioctl(cl.fd, VHOST_VDPA_SUSPEND, NULL), 0);
	assert_int_equal(dev_vring_get(cl.fd, VHOST_GET_VRING_BASE, 0, &base),
			 0);
	client_vq_set_addr(&cl, 0);
	assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_BASE, 0, base), 0);
	if (features & BACKEND_RESUME) {
		assert_int_equal(dev_ioctl(cl.fd, VHOST_VDPA_RESUME, NULL), 0);
		assert_true(blk_works(&cl));
	}
}

/* H25: the running ring is not the worse for it. */
static void test_s26_num_after_driver_ok_0(void **state)
{
	struct client cl;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_true(blk_works(&cl));
	assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_NUM, 0, 8), 0);
	assert_int_equal(dev_vring(cl.fd, VHOST_SET_VRING_NUM, 0, 16), 0);
	assert_true(blk_works(&cl));
}

/* ---- ENABLE ---- */

static void test_s27_enable_after_everything_else(void **state)
{
	struct client cl;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	client_negotiate(&cl, BLK_FEATURES);
	client_map(&cl);
	client_vq_init(&cl, 0, 16);
	client_vq_set(&cl, 0);
	client_vq_enable(&cl, 0);
	client_driver_ok(&cl);
	assert_true(blk_works(&cl));
}

/* What the newest QEMU does; a kernel's simulator starts the ring with what is
 * set at that moment. */
static void test_s27_enable_before_addr_and_num(void **state)
{
	struct client cl;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	if (conf_is_kernel()) {
		conf_skip("vdpa_sim sets a ring up when it is enabled");
	}
	client_vq_enable(&cl, 0);
	client_negotiate(&cl, BLK_FEATURES);
	client_vq_init(&cl, 0, 16);
	client_vq_set(&cl, 0);
	client_map(&cl);
	client_driver_ok(&cl);
	assert_true(blk_works(&cl));
}

static void test_s27_enable_after_driver_ok(void **state)
{
	struct client cl;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	client_negotiate(&cl, BLK_FEATURES);
	client_map(&cl);
	client_vq_init(&cl, 0, 16);
	client_vq_set(&cl, 0);
	client_driver_ok(&cl);
	client_vq_enable(&cl, 0);
	assert_true(blk_works(&cl));
}

/* QEMU's order: memory comes last, just before DRIVER_OK. */
static void test_s27_enable_before_memory_is_mapped(void **state)
{
	struct client cl;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	client_negotiate(&cl, BLK_FEATURES);
	client_vq_init(&cl, 0, 16);
	client_vq_set(&cl, 0);
	client_vq_enable(&cl, 0);
	client_map(&cl);
	client_driver_ok(&cl);
	assert_true(blk_works(&cl));
}

/* Translation is lazy: even after DRIVER_OK it is not too late. */
static void test_s27_memory_mapped_after_driver_ok(void **state)
{
	struct client cl;
	uint16_t id;
	uint32_t len;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	conf_product_only("a kernel's device gives up on a ring in no memory");
	client_negotiate(&cl, BLK_FEATURES);
	client_vq_init(&cl, 0, 16);
	client_vq_set(&cl, 0);
	client_vq_enable(&cl, 0);
	client_driver_ok(&cl);
	assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
	client_kick(&cl.vqs[0]);
	client_map(&cl);
	assert_true(client_wait(&cl.vqs[0], CONF_WAIT_MS, &id, &len));
	assert_true(blk_works(&cl));
}

static void test_s27_disable_and_enable_again(void **state)
{
	struct client cl;
	uint16_t id;
	uint32_t len, base;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	conf_product_only("vdpa_sim begins a ring anew when it is enabled");
	for (unsigned int i = 0; i < 20; i++) {
		assert_true(blk_works(&cl));
		assert_int_equal(
			dev_vring(cl.fd, VHOST_VDPA_SET_VRING_ENABLE, 0, 0), 0);
		assert_int_equal(dev_vring_get(cl.fd, VHOST_GET_VRING_BASE, 0,
					       &base),
				 0);
		assert_int_equal(base, ring_base(&cl.vqs[0].ring));
		/* H27: a kick to a queue that is off */
		assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
		client_kick(&cl.vqs[0]);
		client_vq_enable(&cl, 0);
		assert_true(client_wait(&cl.vqs[0], CONF_WAIT_MS, &id, &len));
		assert_int_equal(blk_status(&cl, 0), BLK_S_OK);
	}
}

/* A disabled queue does nothing, whatever is asked of it. */
static void test_s27_a_disabled_queue_is_quiet(void **state)
{
	struct client cl;
	uint16_t id;
	uint32_t len;

	blk_start(&cl, *state, 16, BLK_FEATURES);
	assert_int_equal(dev_vring(cl.fd, VHOST_VDPA_SET_VRING_ENABLE, 0, 0),
			 0);
	assert_true(blk_add(&cl, 0, BLK_T_FLUSH, 0, NULL, 0) >= 0);
	client_kick(&cl.vqs[0]);
	assert_true(client_is_quiet(&cl.vqs[0]));
	if (!conf_is_kernel()) {
		client_vq_enable(&cl, 0);
		assert_true(client_wait(&cl.vqs[0], CONF_WAIT_MS, &id, &len));
	}
}

static void test_s28_vring_size_is_max_and_then_the_size(void **state)
{
	struct client cl;
	uint32_t num;

	client_open(&cl, *state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	if (dev_vring_get(cl.fd, VHOST_VDPA_GET_VRING_SIZE, 0, &num) < 0) {
		conf_skip("no GET_VRING_SIZE");
	}
	assert_int_equal(num, dev_get_num_max(cl.fd));
	client_run(&cl, BLK_FEATURES, 1, 32);
	assert_int_equal(
		dev_vring_get(cl.fd, VHOST_VDPA_GET_VRING_SIZE, 0, &num), 0);
	assert_int_equal(num, 32);
	assert_int_equal(dev_set_status(cl.fd, 0), 0);
	assert_int_equal(
		dev_vring_get(cl.fd, VHOST_VDPA_GET_VRING_SIZE, 0, &num), 0);
	assert_int_equal(num, dev_get_num_max(cl.fd));
}

/* Every size of ring that the device takes does work. */
static void test_s28_all_ring_sizes_work(void **state)
{
	struct conf *c = *state;
	const char *path = conf_node_of(CONF_DEVICE_BLK);

	for (uint16_t num = 4; num <= RING_NUM_MAX; num *= 2) {
		struct client cl;

		client_start(&cl, c, path, BLK_FEATURES, 1, num);
		for (unsigned int i = 0; i < num + 3U; i++) {
			assert_true(blk_works(&cl));
		}
		conf_close(c, cl.fd);
	}
}

/* ---- what there is not ---- */

static void test_s35_commands_of_other_vhost_devices_enotty(void **state)
{
	static const unsigned long cmds[] = {
		VHOST_RESET_OWNER,
		VHOST_SET_VRING_ENDIAN,
		VHOST_GET_VRING_ENDIAN,
		VHOST_SET_LOG_BASE,
		VHOST_SET_LOG_FD,
		VHOST_GET_FEATURES_ARRAY,
		VHOST_SET_FEATURES_ARRAY,
		0x8004af08,
		0x4004af09,
		0x4008af15,
		0xc008af16,
		0x5401,
		0xaf50,
		0x4008afff,
	};
	int fd = open_owned(state);
	uint64_t arg[8] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cmds); i++) {
		int ret = dev_ioctl(fd, cmds[i], arg);

		if (ret != -ENOTTY) {
			print_error("ioctl 0x%lx: %d\n", cmds[i], ret);
		}
		assert_int_equal(ret, -ENOTTY);
	}
}

static void test_s35_unknown_commands_take_an_index_first(void **state)
{
	int fd = open_owned(state);
	uint32_t idx = 0xffff;

	assert_int_equal(dev_ioctl(fd, VHOST_RESET_OWNER, NULL), -EFAULT);
	assert_int_equal(dev_ioctl(fd, 0xaf50, BAD_POINTER), -EFAULT);
	assert_int_equal(dev_ioctl(fd, 0xaf50, &idx), -ENOBUFS);
	assert_int_equal(dev_ioctl(fd, VHOST_RESET_OWNER, &idx), -ENOBUFS);
	/* Logging is refused without a look. */
	assert_int_equal(dev_ioctl(fd, VHOST_SET_LOG_BASE, NULL), -ENOTTY);
}

static void test_s36_busyloop_timeout_round_trips(void **state)
{
	int fd = open_owned(state);
	uint32_t num;

	assert_int_equal(dev_vring_get(fd, VHOST_GET_VRING_BUSYLOOP_TIMEOUT, 0,
				       &num),
			 0);
	assert_int_equal(num, 0);
	assert_int_equal(dev_vring(fd, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, 0,
				   0xdeadbeef),
			 0);
	assert_int_equal(dev_vring_get(fd, VHOST_GET_VRING_BUSYLOOP_TIMEOUT, 0,
				       &num),
			 0);
	assert_int_equal(num, 0xdeadbeef);
}

/* ---- SET_MEM_TABLE ---- */

static int set_mem_table(int fd, uint32_t n, uint32_t padding)
{
	size_t size = sizeof(struct vhost_memory) +
		      (size_t)n * sizeof(struct vhost_memory_region);
	struct vhost_memory *table = calloc(1, size);
	int ret;

	assert_non_null(table);
	table->nregions = n;
	table->padding = padding;
	ret = dev_ioctl(fd, VHOST_SET_MEM_TABLE, table);
	free(table);
	return ret;
}

static void test_s37_mem_table_is_taken_and_ignored(void **state)
{
	int fd = open_owned(state);

	assert_int_equal(set_mem_table(fd, 0, 0), 0);
	assert_int_equal(set_mem_table(fd, 1, 0), 0);
	assert_int_equal(set_mem_table(fd, 64, 0), 0);
}

static void test_s37_mem_table_padding_and_size(void **state)
{
	int fd = open_owned(state);

	assert_int_equal(set_mem_table(fd, 1, 1), -EOPNOTSUPP);
	assert_int_equal(set_mem_table(fd, 65, 0), -E2BIG);
	assert_int_equal(set_mem_table(fd, 65, 1), -EOPNOTSUPP);
	assert_int_equal(dev_ioctl(fd, VHOST_SET_MEM_TABLE, BAD_POINTER),
			 -EFAULT);
}

/* H60: a count that no table has. */
static void test_s37_mem_table_huge_count(void **state)
{
	struct vhost_memory table = { .nregions = 0xffffffff };
	int fd = open_owned(state);

	assert_int_equal(dev_ioctl(fd, VHOST_SET_MEM_TABLE, &table), -E2BIG);
	table.nregions = 0x80000000;
	assert_int_equal(dev_ioctl(fd, VHOST_SET_MEM_TABLE, &table), -E2BIG);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST(test_s22_num_bad_values_einval),
	CONF_TEST(test_s22_num_above_max_einval),
	CONF_TEST(test_s22_index_beyond_the_last_enobufs),
	CONF_TEST(test_s23_addr_flags_eopnotsupp),
	CONF_TEST(test_s23_addr_alignment),
	CONF_TEST(test_s23_addr_of_unmapped_memory_is_0),
	CONF_TEST_BOTH(test_s24_ring_at_address_0_works),
	CONF_TEST(test_s25_base_of_a_split_ring),
	CONF_TEST(test_s25_base_of_a_packed_ring_keeps_both_halves),
	CONF_TEST_BOTH(test_s25_a_ring_begins_at_its_base),
	CONF_TEST_BOTH(test_s26_addr_and_base_after_driver_ok_einval),
	CONF_TEST_BOTH(test_s26_addr_and_base_after_suspend_0),
	CONF_TEST_BOTH(test_s26_num_after_driver_ok_0),
	CONF_TEST_BOTH(test_s27_enable_after_everything_else),
	CONF_TEST_BOTH(test_s27_enable_before_addr_and_num),
	CONF_TEST_BOTH(test_s27_enable_after_driver_ok),
	CONF_TEST_BOTH(test_s27_enable_before_memory_is_mapped),
	CONF_TEST_BOTH(test_s27_memory_mapped_after_driver_ok),
	CONF_TEST_BOTH(test_s27_disable_and_enable_again),
	CONF_TEST_BOTH(test_s27_a_disabled_queue_is_quiet),
	CONF_TEST_BOTH(test_s28_vring_size_is_max_and_then_the_size),
	CONF_TEST_BOTH(test_s28_all_ring_sizes_work),
	CONF_TEST(test_s35_commands_of_other_vhost_devices_enotty),
	CONF_TEST(test_s35_unknown_commands_take_an_index_first),
	CONF_TEST(test_s36_busyloop_timeout_round_trips),
	CONF_TEST(test_s37_mem_table_is_taken_and_ignored),
	CONF_TEST(test_s37_mem_table_padding_and_size),
	CONF_TEST(test_s37_mem_table_huge_count),
};

TEST_MAIN("conformance/vring")
