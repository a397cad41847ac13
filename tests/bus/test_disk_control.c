/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of disks: config space, capacity, keys, statistics.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/disk.h"

#include <sys/eventfd.h>
#include <unistd.h>

static const uint32_t range_types[] = { VIRTIO_BLK_T_DISCARD,
					VIRTIO_BLK_T_WRITE_ZEROES,
					VIRTIO_BLK_T_SECURE_ERASE };

/* ---- block size ---- */

static void test_h51_blocks_of_4096(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
		uint8_t want;
	} cases[] = {
		{ 0, 4096, OK },    { 8, 8192, OK },   { 1, 4096, IOERR },
		{ 4, 4096, IOERR }, { 0, 512, IOERR }, { 8, 4608, IOERR },
		{ 7, 3584, IOERR },
	};
	static const struct range odd = { 4, 8, 0 }, even = { 8, 16, 0 };
	struct disk *d = disk_start(
		ALL_FEATURES, "backend=mem capacity=16M block_size=4096", 1);
	struct virtio_blk_config config;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, cases[i].sector,
					 cases[i].len),
				 cases[i].want);
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_OUT, cases[i].sector,
					 cases[i].len),
				 cases[i].want);
	}
	for (size_t t = 0; t < ARRAY_SIZE(range_types); t++) {
		assert_int_equal(disk_ranged(d, range_types[t], &odd, 1, 0),
				 IOERR);
		assert_int_equal(disk_ranged(d, range_types[t], &even, 1, 0),
				 OK);
	}
	vclient_get_config(d->c, &config, 72);
	assert_int_equal(le32toh(config.blk_size), 4096);
	assert_int_equal(le64toh(config.capacity), DISK_CAPACITY);
	assert_int_equal(le32toh(config.discard_sector_alignment), 8);
	assert_int_equal(le32toh(config.secure_erase_sector_alignment), 8);
	disk_stop(d);
}

/* ---- config space ---- */

static void test_config_space(void **state)
{
	struct disk *d = disk_start(
		ALL_FEATURES,
		"backend=mem capacity=16M num_queues=4 serial=12345678901234567890",
		4);
	struct virtio_blk_config config;
	uint32_t size;

	vclient_must(d->c, VHOST_VDPA_GET_CONFIG_SIZE, &size);
	assert_int_equal(size, 72);
	vclient_get_config(d->c, &config, 72);
	assert_int_equal(le64toh(config.capacity), DISK_CAPACITY);
	assert_int_equal(le32toh(config.seg_max), 126);
	assert_int_equal(le32toh(config.size_max), 0);
	assert_int_equal(le32toh(config.blk_size), 512);
	assert_int_equal(le16toh(config.min_io_size), 1);
	assert_int_equal(le32toh(config.opt_io_size), 0);
	assert_int_equal(le16toh(config.num_queues), 4);
	assert_int_equal(le32toh(config.max_discard_seg), 16);
	assert_int_equal(le32toh(config.max_write_zeroes_seg), 16);
	assert_int_equal(config.write_zeroes_may_unmap, 1);
	assert_int_equal(le32toh(config.max_secure_erase_seg), 16);
	for (unsigned int i = 0; i < 4; i++) {
		/* Memory of its own, not where the last header was: TSan does
		 * not see that the driver orders what two workers do there. */
		char *id = (char *)vclient_alloc(d->c, 128, 64) + 64;

		memset(id, 0, 21);
		assert_int_equal(vclient_blk(d->c, i, VIRTIO_BLK_T_GET_ID, 0,
					     id, 20),
				 OK);
		assert_string_equal(id, "12345678901234567890");
	}
	disk_stop(d);
}

/* ---- capacity ---- */

static void test_capacity_changes_while_it_runs(void **state)
{
	struct disk *d = *state;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t before, after;
	uint64_t n;

	vclient_must(d->c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
	vclient_must(d->c, VHOST_VDPA_GET_CONFIG_SIZE, &before);
	before = vdpa_get_generation(vdpa_device_find(d->w->bus, "d0"));
	memset(d->buf, 7, 512);
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_OUT, DISK_CAPACITY - 1, 512),
			 OK);
	assert_int_equal(disk_resize(d, "32M"), 0);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	after = vdpa_get_generation(vdpa_device_find(d->w->bus, "d0"));
	assert_int_not_equal(before, after);
	assert_int_equal(disk_capacity(d), 2 * DISK_CAPACITY);
	assert_int_equal(
		disk_io(d, VIRTIO_BLK_T_OUT, 2 * DISK_CAPACITY - 1, 512), OK);
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_OUT, 2 * DISK_CAPACITY, 512),
			 IOERR);
	/* smaller: what is cut off is gone */
	assert_int_equal(disk_resize(d, "8M"), 0);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, DISK_CAPACITY - 1, 512),
			 IOERR);
	assert_int_equal(disk_resize(d, "16M"), 0);
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, DISK_CAPACITY - 1, 512),
			 OK);
	assert_int_equal(d->buf[0], 0);
	/* no change, no interrupt */
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(disk_resize(d, "16M"), 0);
	assert_int_equal(read(fd, &n, sizeof(n)), -1);
	fd = (close(fd), -1);
	vclient_must(d->c, VHOST_VDPA_SET_CONFIG_CALL, &fd);
}

static void test_bad_capacities_change_nothing(void **state)
{
	static const struct {
		const char *value;
		int want;
	} cases[] = {
		{ "0", -ERANGE },  { "513", -ERANGE },	{ "2T", -ERANGE },
		{ "x", -EINVAL },  { "auto", -EINVAL }, { "", -EINVAL },
		{ "-1", -EINVAL },
	};
	struct disk *d = *state;
	struct vdpa_dev_config config = { .n_params = 1 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(disk_resize(d, cases[i].value), cases[i].want);
		assert_int_equal(disk_capacity(d), DISK_CAPACITY);
	}
	strcpy(config.params[0].key, "serial");
	strcpy(config.params[0].value, "x");
	assert_int_equal(vdpa_dev_set(d->w->bus, "d0", &config), -EOPNOTSUPP);
}

/* ---- back end null ---- */

static void test_null_says_what_it_wrote(void **state)
{
	struct disk *d = disk_start(F(FLUSH), "backend=null", 1);
	struct vq_sg sg[] = { { disk_at(d, 0), 16 },
			      { disk_at(d, 4096), 512 },
			      { disk_at(d, 100), 1 } };

	memset(d->buf, 0x55, 8192);
	disk_set_header(d, VIRTIO_BLK_T_IN, 0);
	assert_int_equal(disk_raw(d, sg, 1, 2), 1);
	assert_int_equal(d->buf[100], OK);
	assert_int_equal(d->buf[4096], 0x55);
	disk_set_header(d, VIRTIO_BLK_T_OUT, 0);
	assert_int_equal(disk_raw(d, sg, 2, 1), 1);
	disk_stop(d);
	d = disk_start(F(FLUSH), "backend=null zero=on", 1);
	memset(d->buf, 0x55, 8192);
	disk_set_header(d, VIRTIO_BLK_T_IN, 0);
	assert_int_equal(disk_raw(d, sg, 1, 2), 513);
	assert_int_equal(d->buf[4096], 0);
	assert_int_equal(d->buf[4096 + 511], 0);
	assert_int_equal(d->buf[4096 + 512], 0x55);
	disk_stop(d);
}

/* ---- statistics ---- */

static void test_statistics(void **state)
{
	static const struct range ranges[] = { { 0, 8, 0 }, { 8, 8, 0 } };
	struct disk *d = *state;

	for (int i = 0; i < 10; i++) {
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_OUT, 0, 4096), OK);
	}
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, 0, 1024), OK);
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, DISK_CAPACITY, 1024),
			 IOERR);
	assert_int_equal(disk_ranged(d, VIRTIO_BLK_T_DISCARD, ranges, 2, 0),
			 OK);
	assert_int_equal(disk_stat(d, "write requests"), 10);
	assert_int_equal(disk_stat(d, "write bytes"), 40960);
	assert_int_equal(disk_stat(d, "write errors"), 0);
	assert_int_equal(disk_stat(d, "read requests"), 1);
	assert_int_equal(disk_stat(d, "read bytes"), 1024);
	assert_int_equal(disk_stat(d, "discard requests"), 1);
	assert_int_equal(disk_stat(d, "discard bytes"), 8192);
	assert_int_equal(disk_stat(d, "flush requests"), 0);
	assert_int_equal(disk_stat(d, "flush p99_ns"), 0);
	assert_int_equal(disk_stat(d, "refused requests"), 1);
	assert_in_range(disk_stat(d, "write p50_ns"), 1,
			disk_stat(d, "write p99_ns"));
	assert_in_range(disk_stat(d, "write p99_ns"), 1,
			disk_stat(d, "write p99.9_ns"));
	assert_in_range(disk_stat(d, "write p99.9_ns"), 1,
			disk_stat(d, "write max_ns"));
	assert_in_range(disk_stat(d, "write mean_ns"), 1,
			disk_stat(d, "write max_ns"));
}

/* ---- keys ---- */

static void test_bad_keys_are_refused(void **state)
{
	static const struct {
		const char *keys;
		int want;
	} cases[] = {
		{ "", -EINVAL },
		{ "capacity=1M", -EINVAL },
		{ "backend=floppy", -EINVAL },
		{ "backend=", -EINVAL },
		{ "backend=mem capacity=0", -ERANGE },
		{ "backend=mem capacity=513", -ERANGE },
		{ "backend=mem capacity=2T", -ERANGE },
		{ "backend=mem capacity=x", -EINVAL },
		{ "backend=mem capacity=512 block_size=4096", -ERANGE },
		{ "backend=mem capacity=4608 block_size=4096", -ERANGE },
		{ "backend=mem block_size=1024", -ERANGE },
		{ "backend=mem block_size=8192", -ERANGE },
		{ "backend=mem num_queues=0", -ERANGE },
		{ "backend=mem num_queues=65", -ERANGE },
		{ "backend=mem read_only=maybe", -EINVAL },
		{ "backend=mem serial=123456789012345678901", -ERANGE },
		{ "backend=mem poll_us=1000001", -ERANGE },
		{ "backend=mem zero=on", -EOPNOTSUPP },
		{ "backend=null zero=x", -EINVAL },
		{ "backend=null capacity=16777216T", -ERANGE },
		{ "backend=null colour=blue", -EOPNOTSUPP },
	};
	struct vworld *w = vworld_new(NULL, 1);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int ret = vworld_add_keys(w, "blk", "d0", 0, cases[i].keys);

		if (ret != cases[i].want) {
			fail_msg("%s: %d", cases[i].keys, ret);
		}
	}
	assert_int_equal(vworld_add_keys(w, "blk", "d0", BIT_ULL(4),
					 "backend=mem"),
			 -EINVAL);
	assert_null(vdpa_device_next(w->bus, NULL));
	vworld_free(w);
}

static const struct CMUnitTest tests[] = {
	BOTH(test_capacity_changes_while_it_runs),
	SPLIT(test_bad_capacities_change_nothing),
	BOTH(test_statistics),
	cmocka_unit_test(test_h51_blocks_of_4096),
	cmocka_unit_test(test_config_space),
	cmocka_unit_test(test_null_says_what_it_wrote),
	cmocka_unit_test(test_bad_keys_are_refused),
};

TEST_MAIN("dev_disk_control")
