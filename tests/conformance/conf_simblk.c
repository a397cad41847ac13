/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: the simulated block device. Statement 94; H50 to H57.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>

#include "lib/blk.h"

/* Of the RAM disk. */
#define CAPACITY 0x40000ULL

/* Payload of discard and write zeroes. */
struct range {
	uint64_t sector;
	uint32_t num_sectors;
	uint32_t flags;
};

static void start(struct client *cl, void **state)
{
	blk_start(cl, *state, 64, BLK_FEATURES);
}

static char *data_of(struct client *cl)
{
	return client_buf(cl, BLK_DATA);
}

static int io(struct client *cl, uint32_t type, uint64_t sector, uint32_t len)
{
	return blk_io(cl, type, sector, data_of(cl), len);
}

static int ranged(struct client *cl, uint32_t type, uint64_t sector,
		  uint32_t num, uint32_t flags)
{
	struct range *range = (void *)data_of(cl);

	*range = (struct range){ sector, num, flags };
	return blk_io(cl, type, 0, range, sizeof(*range));
}

/* Fills sectors with a byte. */
static void put(struct client *cl, uint64_t sector, uint32_t n, char byte)
{
	memset(data_of(cl), byte, (size_t)n * BLK_SECTOR);
	assert_int_equal(io(cl, BLK_T_OUT, sector, n * BLK_SECTOR), BLK_S_OK);
}

static void expect(struct client *cl, uint64_t sector, uint32_t n, char byte)
{
	memset(data_of(cl), byte ^ 0xff, (size_t)n * BLK_SECTOR);
	assert_int_equal(io(cl, BLK_T_IN, sector, n * BLK_SECTOR), BLK_S_OK);
	for (uint32_t i = 0; i < n * BLK_SECTOR; i++) {
		assert_int_equal(data_of(cl)[i], byte);
	}
}

static void test_s94_what_was_written_is_read_back(void **state)
{
	static const uint64_t sectors[] = { 0, 1, 1000, CAPACITY - 8 };
	struct client cl;

	start(&cl, state);
	for (size_t i = 0; i < ARRAY_LEN(sectors); i++) {
		put(&cl, sectors[i], 8, (char)('a' + i));
	}
	for (size_t i = 0; i < ARRAY_LEN(sectors); i++) {
		if (i != 0) { /* sector 1 went over it */
			expect(&cl, sectors[i], 8, (char)('a' + i));
		}
	}
	expect(&cl, 0, 1, 'a');
}

static void test_s94_used_length_counts_data_and_status(void **state)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	uint32_t written;
	uint16_t id;

	start(&cl, state);
	assert_true(blk_add(&cl, 0, BLK_T_IN, 0, data_of(&cl), 4096) >= 0);
	client_kick(q);
	assert_true(client_wait(q, CONF_WAIT_MS, &id, &written));
	assert_int_equal(written, 4097);
	assert_true(blk_add(&cl, 0, BLK_T_OUT, 0, data_of(&cl), 4096) >= 0);
	client_kick(q);
	assert_true(client_wait(q, CONF_WAIT_MS, &id, &written));
	assert_int_equal(written, 1);
}

static void test_s94_get_id_is_a_string(void **state)
{
	struct client cl;

	start(&cl, state);
	memset(data_of(&cl), 0xee, BLK_ID_BYTES);
	assert_int_equal(io(&cl, BLK_T_GET_ID, 0, BLK_ID_BYTES), BLK_S_OK);
	assert_memory_equal(data_of(&cl), "vdpa_blk_sim\0\0\0\0\0\0\0\0",
			    BLK_ID_BYTES);
}

/* H54 */
static void test_s94_get_id_with_too_little_room_ioerr(void **state)
{
	struct client cl;

	start(&cl, state);
	assert_int_equal(io(&cl, BLK_T_GET_ID, 0, BLK_ID_BYTES - 1),
			 BLK_S_IOERR);
	assert_int_equal(io(&cl, BLK_T_GET_ID, 1, BLK_ID_BYTES), BLK_S_IOERR);
}

static void test_s94_flush(void **state)
{
	struct client cl;

	start(&cl, state);
	assert_int_equal(io(&cl, BLK_T_FLUSH, 0, 0), BLK_S_OK);
	assert_int_equal(io(&cl, BLK_T_FLUSH, 1, 0), BLK_S_IOERR);
	assert_int_equal(io(&cl, BLK_T_FLUSH, UINT64_MAX, 0), BLK_S_IOERR);
}

/* H50 */
static void test_s94_beyond_capacity_ioerr(void **state)
{
	static const uint64_t bad[] = { CAPACITY - 7,	CAPACITY,
					CAPACITY + 1,	1ULL << 32,
					1ULL << 55,	1ULL << 63,
					UINT64_MAX - 7, UINT64_MAX };
	struct client cl;

	start(&cl, state);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(io(&cl, BLK_T_IN, bad[i], 4096), BLK_S_IOERR);
		assert_int_equal(io(&cl, BLK_T_OUT, bad[i], 4096), BLK_S_IOERR);
	}
	assert_int_equal(io(&cl, BLK_T_IN, CAPACITY - 8, 4096), BLK_S_OK);
}

/* A read that fails leaves the buffer alone, but for the status. */
static void test_s94_a_failed_read_writes_nothing(void **state)
{
	struct client cl;

	start(&cl, state);
	memset(data_of(&cl), 0x5a, 4096);
	assert_int_equal(io(&cl, BLK_T_IN, CAPACITY, 4096), BLK_S_IOERR);
	for (unsigned int i = 0; i < 4096; i++) {
		assert_int_equal(data_of(&cl)[i], 0x5a);
	}
}

/* H51 */
static void test_h51_not_a_multiple_of_a_sector_ioerr(void **state)
{
	static const uint32_t lens[] = { 1, 511, 513, 1000, 4095 };
	struct client cl;

	start(&cl, state);
	conf_product_only("vdpa_sim rounds down");
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		assert_int_equal(io(&cl, BLK_T_IN, 0, lens[i]), BLK_S_IOERR);
		assert_int_equal(io(&cl, BLK_T_OUT, 0, lens[i]), BLK_S_IOERR);
	}
}

static void test_s94_unknown_types_ioerr(void **state)
{
	static const uint32_t types[] = { 2,  3,	  5,	     6,	 7,
					  9,  10,	  12,	     14, 15,
					  16, 0x80000000, 0xffffffff };
	struct client cl;

	start(&cl, state);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(io(&cl, types[i], 0, 0), BLK_S_IOERR);
		assert_int_equal(io(&cl, types[i], 0, 512), BLK_S_IOERR);
	}
}

static void test_s94_write_zeroes_zeroes(void **state)
{
	struct client cl;

	start(&cl, state);
	for (uint32_t flags = 0; flags <= 1; flags++) {
		put(&cl, 100, 64, 'x');
		assert_int_equal(ranged(&cl, BLK_T_WRITE_ZEROES, 101, 62,
					flags),
				 BLK_S_OK);
		expect(&cl, 100, 1, 'x');
		expect(&cl, 101, 62, 0);
		expect(&cl, 163, 1, 'x');
	}
}

static void test_s94_discard(void **state)
{
	struct client cl;

	start(&cl, state);
	put(&cl, 100, 64, 'x');
	assert_int_equal(ranged(&cl, BLK_T_DISCARD, 101, 62, 0), BLK_S_OK);
	/* What is in between may be anything. */
	expect(&cl, 100, 1, 'x');
	expect(&cl, 163, 1, 'x');
	put(&cl, 100, 64, 'y');
	expect(&cl, 100, 64, 'y');
}

/* H53 */
static void test_s94_discard_flags_unsupp(void **state)
{
	struct client cl;

	start(&cl, state);
	assert_int_equal(ranged(&cl, BLK_T_DISCARD, 0, 8, 1), BLK_S_UNSUPP);
	assert_int_equal(ranged(&cl, BLK_T_DISCARD, 0, 8, 0x80000000),
			 BLK_S_UNSUPP);
	assert_int_equal(ranged(&cl, BLK_T_WRITE_ZEROES, 0, 8, 2),
			 BLK_S_UNSUPP);
	assert_int_equal(ranged(&cl, BLK_T_WRITE_ZEROES, 0, 8, 0xfffffffe),
			 BLK_S_UNSUPP);
}

/* H53 */
static void test_s94_ranges_beyond_capacity_ioerr(void **state)
{
	static const uint32_t types[] = { BLK_T_DISCARD, BLK_T_WRITE_ZEROES };
	struct client cl;

	start(&cl, state);
	put(&cl, CAPACITY - 8, 8, 'z');
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(ranged(&cl, types[i], CAPACITY - 4, 5, 0),
				 BLK_S_IOERR);
		assert_int_equal(ranged(&cl, types[i], CAPACITY, 1, 0),
				 BLK_S_IOERR);
		assert_int_equal(ranged(&cl, types[i], 1, UINT32_MAX, 0),
				 BLK_S_IOERR);
		assert_int_equal(ranged(&cl, types[i], UINT64_MAX, 2, 0),
				 BLK_S_IOERR);
		assert_int_equal(ranged(&cl, types[i], UINT64_MAX / 512, 2, 0),
				 BLK_S_IOERR);
	}
	expect(&cl, CAPACITY - 8, 8, 'z');
}

/* H53: no range, half a range, two ranges. */
static void test_h53_ranges_of_a_wrong_size_ioerr(void **state)
{
	static const uint32_t lens[] = { 0, 1, 15, 17, 32, 512 };
	struct client cl;

	start(&cl, state);
	memset(data_of(&cl), 0, 512);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		assert_int_equal(io(&cl, BLK_T_DISCARD, 0, lens[i]),
				 BLK_S_IOERR);
		assert_int_equal(io(&cl, BLK_T_WRITE_ZEROES, 0, lens[i]),
				 BLK_S_IOERR);
	}
	assert_int_equal(blk_io(&cl, BLK_T_DISCARD, 1, data_of(&cl), 16),
			 BLK_S_IOERR);
}

/* ---- requests out of shape ---- */

/* One request of any pieces. Return: what the device says it wrote; -1 it
 * never came back. */
static int64_t raw(struct client *cl, const struct ring_piece *pieces,
		   unsigned int n)
{
	struct client_vq *q = &cl->vqs[0];
	uint32_t written;
	uint16_t id;

	assert_true(ring_add(&q->ring, pieces, n, false) >= 0);
	client_kick(q);
	return client_wait(q, CONF_WAIT_MS, &id, &written) ? (int64_t)written
							   : -1;
}

/* H52 */
static void test_h52_requests_without_status_or_header(void **state)
{
	struct client cl;
	uint64_t at;

	start(&cl, state);
	conf_product_only("vdpa_sim stops there");
	at = client_iova(&cl, data_of(&cl));
	memset(data_of(&cl), 0, 64);
	for (uint32_t len = 1; len <= 16; len++) {
		const struct ring_piece header = { at, len, false };
		const struct ring_piece both[] = {
			{ at, len == 16 ? 15 : len, false },
			{ at + 0x100, 1, true },
		};

		assert_int_equal(raw(&cl, &header, 1), 0);
		assert_in_range(raw(&cl, both, 2), 0, 1);
		assert_true(blk_works(&cl));
	}
	{
		const struct ring_piece status = { at + 0x100, 1, true };

		assert_in_range(raw(&cl, &status, 1), 0, 1);
		assert_true(blk_works(&cl));
	}
}

/* A header, data and status byte cut at every place (H52, H40). */
static void test_h52_a_request_in_many_pieces(void **state)
{
	struct client cl;
	uint8_t *va;

	start(&cl, state);
	put(&cl, 8, 1, 'q');
	va = (uint8_t *)client_buf(&cl, 0);
	for (uint32_t cut = 1; cut < 16; cut++) {
		uint64_t header = client_iova(&cl, va);
		uint64_t data = client_iova(&cl, data_of(&cl));
		const struct ring_piece pieces[] = {
			{ header, cut, false },
			{ header + cut, 16 - cut, false },
			{ data, cut * 30, true },
			{ data + cut * 30, 512 - cut * 30, true },
			{ header + 32, 1, true },
		};

		memset(va, 0, 16);
		va[8] = 8;
		va[32] = BLK_S_NONE;
		memset(data_of(&cl), 0, 512);
		assert_int_equal(raw(&cl, pieces, 5), 513);
		assert_int_equal(va[32], BLK_S_OK);
		for (unsigned int i = 0; i < 512; i++) {
			assert_int_equal(data_of(&cl)[i], 'q');
		}
	}
}

/* The status byte is the last of a longer writable piece. */
static void test_h52_data_and_status_in_one_piece(void **state)
{
	struct client cl;
	uint8_t *va;

	start(&cl, state);
	put(&cl, 8, 1, 'r');
	va = (uint8_t *)client_buf(&cl, 0);
	memset(va, 0, 16);
	va[8] = 8;
	memset(data_of(&cl), 0x33, 1024);
	{
		const struct ring_piece pieces[] = {
			{ client_iova(&cl, va), 16, false },
			{ client_iova(&cl, data_of(&cl)), 513, true },
		};

		assert_int_equal(raw(&cl, pieces, 2), 513);
	}
	assert_int_equal(data_of(&cl)[511], 'r');
	assert_int_equal(data_of(&cl)[512], BLK_S_OK);
	assert_int_equal(data_of(&cl)[513], 0x33);
}

/* Many at once, through indirect tables and without. */
static void full_queue(void **state, uint64_t features)
{
	struct client cl;
	struct client_vq *q = &cl.vqs[0];
	uint32_t written;
	uint16_t id;

	blk_start(&cl, *state, 128, BLK_FEATURES | features);
	if ((cl.features & features) != features) {
		conf_skip("the device does not offer that");
	}
	for (unsigned int round = 0; round < 30; round++) {
		unsigned int n = 0;

		while (n < 200 &&
		       blk_add(&cl, n, n % 3 ? BLK_T_IN : BLK_T_OUT, n * 8ULL,
			       data_of(&cl) + n * 0x1000, 4096) >= 0) {
			n++;
		}
		assert_true(n >= 42);
		client_kick(q);
		for (unsigned int i = 0; i < n; i++) {
			assert_true(
				client_wait(q, CONF_WAIT_MS, &id, &written));
		}
		for (unsigned int i = 0; i < n; i++) {
			assert_int_equal(blk_status(&cl, i), BLK_S_OK);
		}
	}
}

static void test_s94_a_full_queue(void **state)
{
	full_queue(state, 0);
}

static void test_s94_a_full_queue_indirect(void **state)
{
	full_queue(state, F_INDIRECT);
}

static void test_s94_a_full_queue_indirect_event_idx(void **state)
{
	full_queue(state, F_INDIRECT | F_EVENT_IDX);
}

/* ---- config space ---- */

static void test_s94_config_space(void **state)
{
	uint8_t config[60], bytes[60];
	int fd;

	conf_vdpa_only("the config space of a socket has its own tests");
	fd = conf_open(*state, conf_node_of(CONF_DEVICE_BLK), O_RDWR);
	assert_int_equal(dev_get_u32(fd, VHOST_VDPA_GET_CONFIG_SIZE), 60);
	assert_int_equal(dev_get_config(fd, 0, config, 60), 0);
	assert_memory_equal(config, "\0\0\4\0\0\0\0\0", 8); /* capacity */
	assert_memory_equal(config + 8, "\0\x10\0\0", 4); /* size_max */
	assert_memory_equal(config + 12, "\x20\0\0\0", 4); /* seg_max */
	assert_memory_equal(config + 20, "\0\2\0\0", 4); /* blk_size */
	/* Not for the driver to change. */
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(dev_set_config(fd, 0, bytes, 60), 0);
	assert_int_equal(dev_get_config(fd, 0, bytes, 60), 0);
	assert_memory_equal(bytes, config, 60);
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_s94_what_was_written_is_read_back),
	CONF_TEST_BOTH(test_s94_used_length_counts_data_and_status),
	CONF_TEST_BOTH(test_s94_get_id_is_a_string),
	CONF_TEST(test_s94_get_id_with_too_little_room_ioerr),
	CONF_TEST(test_s94_flush),
	CONF_TEST_BOTH(test_s94_beyond_capacity_ioerr),
	CONF_TEST(test_s94_a_failed_read_writes_nothing),
	CONF_TEST(test_h51_not_a_multiple_of_a_sector_ioerr),
	CONF_TEST_BOTH(test_s94_unknown_types_ioerr),
	CONF_TEST_BOTH(test_s94_write_zeroes_zeroes),
	CONF_TEST_BOTH(test_s94_discard),
	CONF_TEST(test_s94_discard_flags_unsupp),
	CONF_TEST(test_s94_ranges_beyond_capacity_ioerr),
	CONF_TEST_BOTH(test_h53_ranges_of_a_wrong_size_ioerr),
	CONF_TEST_BOTH(test_h52_requests_without_status_or_header),
	CONF_TEST_BOTH(test_h52_a_request_in_many_pieces),
	CONF_TEST_BOTH(test_h52_data_and_status_in_one_piece),
	CONF_TEST_BOTH(test_s94_a_full_queue),
	CONF_TEST_BOTH(test_s94_a_full_queue_indirect),
	CONF_TEST_BOTH(test_s94_a_full_queue_indirect_event_idx),
	CONF_TEST(test_s94_config_space),
};

TEST_MAIN("conformance/simblk")
