/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the requests of virtio-blk, as a driver sees them, in every ring
 * format.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/disk.h"

/* ---- reads and writes ---- */

static void test_h50_sectors_at_and_over_the_end(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
		uint8_t want;
	} cases[] = {
		{ DISK_CAPACITY - 1, 512, OK },
		{ DISK_CAPACITY - 1, 1024, IOERR },
		{ DISK_CAPACITY, 512, IOERR },
		{ DISK_CAPACITY + 1, 512, IOERR },
		{ 1ULL << 55, 512, IOERR }, /* * 512 is 0 */
		{ UINT64_MAX, 512, IOERR },
		{ UINT64_MAX, 1024, IOERR },
		{ UINT64_MAX / 512, 1024, IOERR },
	};
	struct disk *d = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, cases[i].sector,
					 cases[i].len),
				 cases[i].want);
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_OUT, cases[i].sector,
					 cases[i].len),
				 cases[i].want);
	}
}

static void test_h51_data_is_no_multiple_of_512(void **state)
{
	static const uint32_t lens[] = { 1, 511, 513, 1000, 4095, 4097 };
	struct disk *d = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, 0, lens[i]),
				 IOERR);
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_OUT, 0, lens[i]),
				 IOERR);
	}
}

/* Every cut of header, data and status, in both directions. */
static void test_requests_in_odd_pieces(void **state)
{
	struct disk *d = *state;

	for (uint32_t cut = 1; cut < 16; cut++) {
		struct vq_sg out[] = { { disk_at(d, 0), cut },
				       { disk_at(d, cut), 16 - cut + 100 },
				       { disk_at(d, 116), 412 },
				       { disk_at(d, 600), 1 } };
		struct vq_sg in[] = { { disk_at(d, 0), 16 - cut },
				      { disk_at(d, 16 - cut), cut },
				      { disk_at(d, 1000), cut * 30 },
				      { disk_at(d, 1000 + cut * 30),
					513 - cut * 30 } };

		memset(d->buf, (int)cut, 1024);
		disk_set_header(d, VIRTIO_BLK_T_OUT, cut);
		assert_int_equal(disk_raw(d, out, 3, 1), 1);
		assert_int_equal(d->buf[600], OK);
		memset(d->buf, 0x55, 2048);
		disk_set_header(d, VIRTIO_BLK_T_IN, cut);
		assert_int_equal(disk_raw(d, in, 2, 2), 513);
		for (int i = 0; i < 512; i++) {
			assert_int_equal(d->buf[1000 + i], cut);
		}
		assert_int_equal(d->buf[1512], OK);
		assert_int_equal(d->buf[1513], 0x55);
		assert_int_equal(d->buf[999], 0x55);
	}
}

static void test_h52_no_status_byte_no_header(void **state)
{
	struct disk *d = *state;
	struct vq_sg no_status[] = { { disk_at(d, 0), 16 } };
	struct vq_sg no_status_data[] = { { disk_at(d, 0), 16 + 512 } };
	struct vq_sg no_header[] = { { disk_at(d, 0), 513 } };
	struct vq_sg half_header[] = { { disk_at(d, 0), 15 },
				       { disk_at(d, 64), 1 } };

	memset(d->buf, 0, 1024);
	assert_int_equal(disk_raw(d, no_status, 1, 0), 0);
	assert_int_equal(disk_raw(d, no_status_data, 1, 0), 0);
	assert_int_equal(disk_raw(d, no_header, 0, 1), 0);
	assert_int_equal(disk_raw(d, half_header, 1, 1), 0);
	assert_int_equal(vclient_blk(d->c, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0),
			 OK);
}

/* The only byte that is writable is the status: a read of nothing. */
static void test_h52_status_only(void **state)
{
	struct disk *d = *state;
	struct vq_sg sg[] = { { disk_at(d, 0), 16 }, { disk_at(d, 100), 1 } };

	disk_set_header(d, VIRTIO_BLK_T_IN, 0);
	assert_int_equal(disk_raw(d, sg, 1, 1), 1);
	assert_int_equal(d->buf[100], OK);
}

/* The status byte lies where the device may only read. */
static void test_h52_status_in_read_only_memory(void **state)
{
	struct disk *d = *state;
	const uint64_t ro_iova = 0x40000000;
	struct vq_sg sg[] = { { disk_at(d, 0), 16 },
			      { disk_at(d, 4096), 512 },
			      { ro_iova + 100, 1 } };

	assert_int_equal(vclient_iotlb(d->c, 0, VHOST_IOTLB_UPDATE, ro_iova,
				       4096, d->buf + 8192, VHOST_ACCESS_RO),
			 sizeof(struct vhost_msg_v2));
	disk_set_header(d, VIRTIO_BLK_T_IN, 0);
	memset(d->buf + 4096, 0x55, 512);
	d->buf[8192 + 100] = 0x55;
	assert_int_equal(disk_raw(d, sg, 1, 2), 0);
	assert_int_equal(d->buf[8192 + 100], 0x55);
	assert_int_equal(d->buf[4096], 0x55);
}

static void test_h55_is_for_read_only_disks(void **state)
{
	struct disk *d = disk_start(F(RO), "backend=mem read_only=on", 1);
	uint64_t offered;

	vclient_must(d->c, VHOST_GET_FEATURES, &offered);
	assert_true(offered & F(RO));
	assert_false(offered & (F(DISCARD) | F(WRITE_ZEROES) | F(CONFIG_WCE) |
				F(SECURE_ERASE)));
	memset(d->buf, 7, 512);
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_OUT, 0, 512), IOERR);
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, 0, 512), OK);
	assert_int_equal(d->buf[0], 0);
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), UNSUPP);
	disk_stop(d);
	/* whatever the user chose to offer */
	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	d->w = vworld_new(NULL, 1);
	assert_int_equal(vworld_add_keys(d->w, "blk", "d0",
					 BIT_ULL(VIRTIO_F_VERSION_1),
					 "backend=null read_only=on"),
			 0);
	assert_true(
		vdpa_get_device_features(vdpa_device_find(d->w->bus, "d0")) &
		F(RO));
	vworld_free(d->w);
	free(d);
}

/* Many flushes at once, and each is answered. */
static void test_h56_flush_flood(void **state)
{
	struct disk *d = *state;
	unsigned int n_sent = 0, n_done = 0;
	struct vq_used used[64];

	disk_set_header(d, VIRTIO_BLK_T_FLUSH, 0);
	while (n_done < 5000) {
		struct vq_sg sg[] = { { disk_at(d, 0), 16 },
				      { disk_at(d, 100 + n_sent % 500), 1 } };
		int n;

		while (n_sent < 5000 &&
		       vq_driver_add(d->c->q[0].drv, sg, 1, 1, d) == 0) {
			n_sent++;
			sg[1].iova = disk_at(d, 100 + n_sent % 500);
		}
		if (vq_driver_publish(d->c->q[0].drv)) {
			vclient_kick(d->c, 0);
		}
		while ((n = vq_driver_get(d->c->q[0].drv, used, 64)) == 0) {
			if (!vq_driver_enable_call(d->c->q[0].drv)) {
				vclient_wait_call(d->c, 0);
			}
		}
		for (int i = 0; i < n; i++) {
			assert_int_equal(used[i].written, 1);
		}
		n_done += (unsigned int)n;
	}
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_FLUSH, 1, 0), IOERR);
}

/* One piece more than SEG_MAX, and many more: served all the same. */
static void test_h57_more_pieces_than_seg_max(void **state)
{
	static const unsigned int counts[] = { 126, 127, 253 };
	struct disk *d = *state;
	struct vq_sg sg[256];

	for (size_t k = 0; k < ARRAY_SIZE(counts); k++) {
		unsigned int n = counts[k];

		for (unsigned int i = 0; i < n; i++) {
			memset(d->buf + 4096 + 1024 * (size_t)i, (int)i, 512);
			sg[1 + i] = (struct vq_sg){ disk_at(d, 4096 + 1024 * i),
						    512 };
		}
		sg[0] = (struct vq_sg){ disk_at(d, 0), 16 };
		sg[n + 1] = (struct vq_sg){ disk_at(d, 100), 1 };
		disk_set_header(d, VIRTIO_BLK_T_OUT, 8);
		assert_int_equal(disk_raw(d, sg, n + 1, 1), 1);
		assert_int_equal(d->buf[100], OK);
		memset(d->buf + 4096, 0xee, 1024 * (size_t)n);
		disk_set_header(d, VIRTIO_BLK_T_IN, 8);
		assert_int_equal(disk_raw(d, sg, 1, n + 1), n * 512 + 1);
		for (unsigned int i = 0; i < n; i++) {
			unsigned char *p =
				(void *)(d->buf + 4096 + 1024 * (size_t)i);

			assert_int_equal(p[0], (unsigned char)i);
			assert_int_equal(p[511], (unsigned char)i);
			assert_int_equal(p[512], 0xee);
		}
	}
}

static void test_h54_unknown_types_are_unsupp(void **state)
{
	/* 16 to 21, 23, 24: lifetime and zones; 2, 0x80000000: legacy */
	static const uint32_t types[] = { 2,  3,  5,  7,	  9,  10,
					  12, 15, 16, 20,	  24, 99,
					  17, 18, 26, 0x80000000, ~0U };
	struct disk *d = *state;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_int_equal(disk_io(d, types[i], 0, 512), UNSUPP);
		assert_int_equal(disk_io(d, types[i], UINT64_MAX, 0), UNSUPP);
	}
}

static void test_h54_get_id_and_short_buffers(void **state)
{
	struct disk *d = *state;

	memset(d->buf, 'x', 64);
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_GET_ID, 0, 20), OK);
	assert_memory_equal(d->buf, "d0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0x",
			    21);
	for (uint32_t len = 0; len < 20; len++) {
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_GET_ID, 0, len),
				 IOERR);
	}
}

static void test_get_id_in_a_longer_buffer_writes_20_bytes(void **state)
{
	struct disk *d = *state;
	struct vq_sg sg[] = { { disk_at(d, 0), 16 }, { disk_at(d, 100), 65 } };

	memset(d->buf, 'x', 1024);
	disk_set_header(d, VIRTIO_BLK_T_GET_ID, 0);
	assert_int_equal(disk_raw(d, sg, 1, 1), 21);
	assert_string_equal(d->buf + 100, "d0");
	assert_int_equal(d->buf[120], 'x');
	assert_int_equal(d->buf[164], OK);
}

/* A hole in the data fails that request alone (H13). */
static void test_hole_in_the_data_is_ioerr(void **state)
{
	struct disk *d = *state;
	struct vq_sg sg[] = { { disk_at(d, 0), 16 },
			      { VCLIENT_IOVA + VCLIENT_MEM_BYTES - 256, 512 },
			      { disk_at(d, 100), 1 } };

	for (uint32_t type = 0; type < 2; type++) {
		disk_set_header(d, type, 0);
		d->buf[100] = 0x55;
		assert_int_equal(disk_raw(d, sg, type ? 2 : 1, type ? 1 : 2),
				 1);
		assert_int_equal(d->buf[100], IOERR);
	}
	assert_int_equal(vclient_status(d->c) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

/* ---- ranges ---- */

static const uint32_t range_types[] = { VIRTIO_BLK_T_DISCARD,
					VIRTIO_BLK_T_WRITE_ZEROES,
					VIRTIO_BLK_T_SECURE_ERASE };

static void test_h53_number_of_ranges(void **state)
{
	struct disk *d = *state;
	struct range ranges[17];

	for (unsigned int i = 0; i < 17; i++) {
		ranges[i] = (struct range){ i * 8ULL, 8, 0 };
	}
	for (size_t t = 0; t < ARRAY_SIZE(range_types); t++) {
		uint32_t type = range_types[t];

		assert_int_equal(disk_ranged(d, type, ranges, 0, 0), IOERR);
		for (uint32_t extra = 1; extra < 16; extra++) {
			assert_int_equal(disk_ranged(d, type, ranges, 0, extra),
					 IOERR);
			assert_int_equal(disk_ranged(d, type, ranges, 1, extra),
					 IOERR);
		}
		assert_int_equal(disk_ranged(d, type, ranges, 1, 0), OK);
		assert_int_equal(disk_ranged(d, type, ranges, 16, 0), OK);
		assert_int_equal(disk_ranged(d, type, ranges, 17, 0), IOERR);
	}
}

static void test_h53_flags_and_ends_of_ranges(void **state)
{
	static const struct {
		struct range range;
		uint8_t discard, zeroes;
	} cases[] = {
		{ { 0, 8, 0 }, OK, OK },
		{ { 0, 0, 0 }, OK, OK },
		{ { 0, 8, 1 }, UNSUPP, OK },
		{ { 0, 8, 2 }, UNSUPP, UNSUPP },
		{ { 0, 8, 0x80000000 }, UNSUPP, UNSUPP },
		{ { 0, 8, 3 }, UNSUPP, UNSUPP },
		{ { DISK_CAPACITY - 8, 8, 0 }, OK, OK },
		{ { DISK_CAPACITY - 7, 8, 0 }, IOERR, IOERR },
		{ { DISK_CAPACITY, 1, 0 }, IOERR, IOERR },
		{ { UINT64_MAX, 2, 0 }, IOERR, IOERR },
		{ { 0, ~0U, 0 }, IOERR, IOERR },
	};
	struct disk *d = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct range *r = &cases[i].range;

		assert_int_equal(disk_ranged(d, VIRTIO_BLK_T_DISCARD, r, 1, 0),
				 cases[i].discard);
		assert_int_equal(disk_ranged(d, VIRTIO_BLK_T_SECURE_ERASE, r, 1,
					     0),
				 cases[i].discard);
		assert_int_equal(disk_ranged(d, VIRTIO_BLK_T_WRITE_ZEROES, r, 1,
					     0),
				 cases[i].zeroes);
	}
}

/* A bad range among good ones leaves all of them undone. */
static void test_h53_one_bad_range_does_nothing(void **state)
{
	static const struct range ranges[] = {
		{ 0, 8, 0 },
		{ 16, 8, 0 },
		{ DISK_CAPACITY, 8, 0 },
	};
	struct disk *d = *state;

	memset(d->buf, 7, 16384);
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_OUT, 0, 16384), OK);
	for (size_t t = 0; t < ARRAY_SIZE(range_types); t++) {
		assert_int_equal(disk_ranged(d, range_types[t], ranges, 3, 0),
				 IOERR);
	}
	assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, 0, 16384), OK);
	for (int i = 0; i < 16384; i++) {
		assert_int_equal(d->buf[i], 7);
	}
}

static void test_each_range_is_zeroed_exactly(void **state)
{
	static const struct range ranges[] = {
		{ 3, 5, 0 },
		{ 10, 0, 1 },
		{ 20, 300, 1 }, /* whole pages in it */
		{ 1000, 1, 0 },
	};
	struct disk *d = *state;

	for (size_t t = 1; t < ARRAY_SIZE(range_types); t++) {
		struct range used[ARRAY_SIZE(ranges)];

		memcpy(used, ranges, sizeof(ranges));
		for (size_t i = 0; i < ARRAY_SIZE(used); i++) {
			used[i].flags &= range_types[t] ==
					 VIRTIO_BLK_T_WRITE_ZEROES;
		}
		memset(d->buf, 7, 1 << 20);
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_OUT, 0, 1 << 20), OK);
		assert_int_equal(disk_ranged(d, range_types[t], used, 4, 0),
				 OK);
		memset(d->buf, 9, 1 << 20);
		assert_int_equal(disk_io(d, VIRTIO_BLK_T_IN, 0, 1 << 20), OK);
		for (int i = 0; i < 1 << 20; i++) {
			int s = i / 512;
			bool inside = (s >= 3 && s < 8) ||
				      (s >= 20 && s < 320) || s == 1000;

			assert_int_equal(d->buf[i], inside ? 0 : 7);
		}
	}
}

static void test_ranges_need_their_features(void **state)
{
	static const struct range range = { 0, 8, 0 };
	struct disk *d = disk_start(F(FLUSH), "backend=mem", 1);

	for (size_t t = 0; t < ARRAY_SIZE(range_types); t++) {
		assert_int_equal(disk_ranged(d, range_types[t], &range, 1, 0),
				 UNSUPP);
	}
	disk_stop(d);
}

static const struct CMUnitTest tests[] = {
	BOTH(test_h50_sectors_at_and_over_the_end),
	BOTH(test_h51_data_is_no_multiple_of_512),
	BOTH(test_requests_in_odd_pieces),
	BOTH(test_h52_no_status_byte_no_header),
	BOTH(test_h52_status_only),
	BOTH(test_h52_status_in_read_only_memory),
	BOTH(test_h53_number_of_ranges),
	BOTH(test_h53_flags_and_ends_of_ranges),
	BOTH(test_h53_one_bad_range_does_nothing),
	BOTH(test_each_range_is_zeroed_exactly),
	BOTH(test_h54_unknown_types_are_unsupp),
	BOTH(test_h54_get_id_and_short_buffers),
	BOTH(test_get_id_in_a_longer_buffer_writes_20_bytes),
	BOTH(test_h56_flush_flood),
	BOTH(test_h57_more_pieces_than_seg_max),
	BOTH(test_hole_in_the_data_is_ioerr),
	cmocka_unit_test(test_h55_is_for_read_only_disks),
	cmocka_unit_test(test_ranges_need_their_features),
};

TEST_MAIN("dev_disk")
