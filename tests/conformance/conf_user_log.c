/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conformance: vhost-user, the log of live migration: every page that the back
 * end changes is marked. H67.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/blk.h"

#define NUM 64
/* Bytes of a log that covers the client's memory, and some more. */
#define LOG_BYTES 4096
/* A page beyond the memory, where the used ring is logged. */
#define USED_GPA 0x5000000ULL

struct logged {
	struct client cl;
	struct conf_mem log;
	char *before; /* copy of the memory */
};

static int set_log(struct vu *vu, int fd, uint64_t size, uint64_t offset)
{
	struct vu_log log = { size, offset };
	struct vu_msg msg;

	return vu_ask(vu, VU_SET_LOG_BASE, &log, sizeof(log), &fd, 1, &msg);
}

static int set_features(struct logged *l, bool is_on)
{
	return vu_set_u64(&l->cl.vu, VU_SET_FEATURES,
			  l->cl.features | VU_F_PROTOCOL |
				  (is_on ? VU_F_LOG_ALL : 0));
}

static void set_addr(struct logged *l, uint32_t flags, uint64_t log_gpa)
{
	uint64_t va = (uintptr_t)l->cl.vqs[0].ring.va;
	struct vu_addr addr = {
		.flags = flags,
		.desc = va,
		.avail = va + RING_DRIVER,
		.used = va + RING_DEVICE,
		.log = log_gpa,
	};

	assert_int_equal(vu_set_addr(&l->cl.vu, &addr), 0);
}

/* A running disk whose writes are logged. */
static void start(struct logged *l, void **state)
{
	struct conf *c = *state;

	blk_start(&l->cl, c, NUM, BLK_FEATURES | F_INDIRECT);
	vu_require(&l->cl.vu, VU_P_LOG_SHMFD);
	assert_true(l->cl.vu.offered & VU_F_LOG_ALL);
	l->log = conf_memfd(c, LOG_BYTES);
	l->before = conf_anon(c, l->cl.mem.size, MAP_PRIVATE).va;
	assert_int_equal(set_log(&l->cl.vu, l->log.fd, LOG_BYTES, 0), 0);
	assert_int_equal(set_features(l, true), 0);
	set_addr(l, 1, USED_GPA);
}

static bool is_marked(const struct logged *l, uint64_t gpa)
{
	uint64_t page = gpa / VU_LOG_PAGE;

	return ((uint8_t)l->log.va[page / 8] >> (page % 8)) & 1;
}

static void forget(struct logged *l)
{
	memset(l->log.va, 0, l->log.size);
	memcpy(l->before, l->cl.mem.va, l->cl.mem.size);
}

/* Each page whose bytes differ must be marked; but for the driver's own. */
static unsigned int expect_all_marked(const struct logged *l)
{
	const struct client *cl = &l->cl;
	unsigned int n = 0;

	for (size_t at = 0; at < cl->mem.size; at += VU_LOG_PAGE) {
		bool is_ring = at < RING_BYTES; /* both sides write there */

		if (is_ring ||
		    memcmp(cl->mem.va + at, l->before + at, VU_LOG_PAGE) == 0) {
			continue;
		}
		if (!is_marked(l, CLIENT_IOVA + at)) {
			print_error("page at 0x%zx\n", at);
		}
		assert_true(is_marked(l, CLIENT_IOVA + at));
		n++;
	}
	return n;
}

static unsigned int count_marked(const struct logged *l)
{
	unsigned int n = 0;

	for (size_t i = 0; i < l->log.size; i++) {
		n += (unsigned int)__builtin_popcount((uint8_t)l->log.va[i]);
	}
	return n;
}

static void fill_disk(struct logged *l, char byte)
{
	char *data = client_buf(&l->cl, BLK_DATA);

	memset(data, byte, 0x10000);
	for (uint64_t i = 0; i < 16; i++) {
		assert_int_equal(blk_io(&l->cl, BLK_T_OUT, i * 128, data,
					0x10000),
				 BLK_S_OK);
	}
}

/* ---- what is marked ---- */

static void test_pages_that_are_read_into_are_marked(void **state)
{
	struct logged l;
	unsigned int seed = 1;

	start(&l, state);
	for (unsigned int round = 0; round < 30; round++) {
		fill_disk(&l, (char)(round + 1));
		memset(client_buf(&l.cl, BLK_DATA), 0, 0x100000);
		forget(&l);
		for (unsigned int i = 0; i < 10; i++) {
			size_t at = BLK_DATA +
				    ((size_t)rand_r(&seed) % 0xe0000 & ~1UL);
			uint32_t len =
				(uint32_t)(rand_r(&seed) % 64 + 1) * BLK_SECTOR;

			assert_int_equal(blk_io(&l.cl, BLK_T_IN, 0,
						client_buf(&l.cl, at), len),
					 BLK_S_OK);
		}
		assert_true(expect_all_marked(&l) > 10);
	}
}

/* Not one page more than was written: a migration would never end. */
static void test_other_pages_are_not_marked(void **state)
{
	struct logged l;
	uint64_t data;

	start(&l, state);
	fill_disk(&l, 'x');
	forget(&l);
	data = client_iova(&l.cl, client_buf(&l.cl, BLK_DATA + 0x2000));
	assert_int_equal(blk_io(&l.cl, BLK_T_IN, 0,
				client_buf(&l.cl, BLK_DATA + 0x2000), 4096),
			 BLK_S_OK);
	assert_true(is_marked(&l, data));
	assert_false(is_marked(&l, data + 4096));
	assert_false(is_marked(&l, data - 4096));
	/* data, the page of the status byte, and the ring's */
	assert_in_range(count_marked(&l), 3, 6);
}

/* What the device only reads is not marked. */
static void test_writes_to_the_disk_mark_no_data(void **state)
{
	struct logged l;
	char *data;

	start(&l, state);
	data = client_buf(&l.cl, BLK_DATA + 0x4000);
	forget(&l);
	assert_int_equal(blk_io(&l.cl, BLK_T_OUT, 0, data, 8192), BLK_S_OK);
	assert_false(is_marked(&l, client_iova(&l.cl, data)));
	assert_false(is_marked(&l, client_iova(&l.cl, data) + 4096));
	/* the status byte is */
	assert_true(is_marked(&l, client_iova(&l.cl, client_buf(&l.cl, 0))));
}

static void test_the_used_ring_is_marked_where_it_was_said(void **state)
{
	struct logged l;

	start(&l, state);
	forget(&l);
	assert_int_equal(blk_io(&l.cl, BLK_T_FLUSH, 0, NULL, 0), BLK_S_OK);
	if (l.cl.c->is_packed) {
		/* Descriptors are what it writes: the table knows them. */
		assert_true(is_marked(&l, CLIENT_IOVA) ||
			    is_marked(&l, USED_GPA));
	} else {
		assert_true(is_marked(&l, USED_GPA));
	}
	/* It moves while it runs. */
	set_addr(&l, 1, USED_GPA + 0x10000);
	forget(&l);
	assert_int_equal(blk_io(&l.cl, BLK_T_FLUSH, 0, NULL, 0), BLK_S_OK);
	assert_false(is_marked(&l, USED_GPA));
	if (!l.cl.c->is_packed) {
		assert_true(is_marked(&l, USED_GPA + 0x10000));
	}
}

/* ---- on and off ---- */

static void test_logging_goes_on_and_off_while_the_ring_runs(void **state)
{
	struct logged l;

	start(&l, state);
	for (unsigned int i = 0; i < 20; i++) {
		bool is_on = i % 2;

		assert_int_equal(set_features(&l, is_on), 0);
		fill_disk(&l, (char)(i + 1));
		memset(client_buf(&l.cl, BLK_DATA + 0x3000), 0, 8192);
		forget(&l);
		assert_int_equal(blk_io(&l.cl, BLK_T_IN, 0,
					client_buf(&l.cl, BLK_DATA + 0x3000),
					8192),
				 BLK_S_OK);
		if (is_on) {
			assert_in_range(expect_all_marked(&l), 2, 8);
		} else {
			assert_int_equal(count_marked(&l), 0);
		}
	}
}

static void test_the_log_is_replaced_while_the_ring_runs(void **state)
{
	struct logged l;

	start(&l, state);
	for (unsigned int i = 0; i < 10; i++) {
		struct conf_mem old = l.log;

		fill_disk(&l, (char)(i + 1));
		memset(client_buf(&l.cl, BLK_DATA), 0, 4096);
		l.log = conf_memfd(l.cl.c, LOG_BYTES);
		assert_int_equal(set_log(&l.cl.vu, l.log.fd, LOG_BYTES, 0), 0);
		forget(&l);
		memset(old.va, 0, old.size);
		assert_int_equal(blk_io(&l.cl, BLK_T_IN, 0,
					client_buf(&l.cl, BLK_DATA), 4096),
				 BLK_S_OK);
		assert_true(expect_all_marked(&l) > 1);
		for (size_t k = 0; k < old.size; k++) {
			assert_int_equal(old.va[k], 0);
		}
	}
}

static void test_a_log_with_an_offset(void **state)
{
	struct logged l;
	struct conf_mem file;

	start(&l, state);
	file = conf_memfd(l.cl.c, 3 * LOG_BYTES);
	assert_int_equal(set_log(&l.cl.vu, file.fd, LOG_BYTES, LOG_BYTES), 0);
	fill_disk(&l, 'o');
	memset(client_buf(&l.cl, BLK_DATA + 0x1000), 0, 4096);
	forget(&l);
	l.log.va = file.va + LOG_BYTES;
	assert_int_equal(blk_io(&l.cl, BLK_T_IN, 0,
				client_buf(&l.cl, BLK_DATA + 0x1000), 4096),
			 BLK_S_OK);
	assert_true(expect_all_marked(&l) > 1);
	for (size_t k = 0; k < LOG_BYTES; k++) {
		assert_int_equal(file.va[k], 0);
		assert_int_equal(file.va[2 * LOG_BYTES + k], 0);
	}
}

/* Regions that come while it is on are logged, too. */
static void test_memory_that_is_added_is_logged(void **state)
{
	struct logged l;
	struct conf_mem mem;
	struct vu_region region;
	uint8_t *header;

	start(&l, state);
	fill_disk(&l, 'a');
	mem = conf_memfd(l.cl.c, 0x10000);
	region =
		(struct vu_region){ 0x2000000, mem.size, (uintptr_t)mem.va, 0 };
	assert_int_equal(vu_add_region(&l.cl.vu, &region, mem.fd), 0);
	forget(&l);
	header = (uint8_t *)client_buf(&l.cl, 0);
	memset(header, 0, 16);
	{
		const struct ring_piece pieces[] = {
			{ client_iova(&l.cl, header), 16, false },
			{ 0x2003000, 512, true },
			{ client_iova(&l.cl, header + 32), 1, true },
		};
		uint32_t written;
		uint16_t id;

		assert_true(ring_add(&l.cl.vqs[0].ring, pieces, 3, false) >= 0);
		client_kick(&l.cl.vqs[0]);
		assert_true(
			client_wait(&l.cl.vqs[0], CONF_WAIT_MS, &id, &written));
	}
	assert_int_equal(mem.va[0x3000], 'a');
	assert_true(is_marked(&l, 0x2003000));
	assert_false(is_marked(&l, 0x2002000));
}

/* ---- H67 ---- */

static void test_h67_logs_that_cannot_be(void **state)
{
	static const struct vu_log bad[] = {
		{ 0, 0 },
		{ 8, 0 }, /* fewer bits than pages */
		{ 95, 0 },
		{ LOG_BYTES + 1, 0 }, /* more than the file has */
		{ LOG_BYTES, 1 },
		{ LOG_BYTES, LOG_BYTES },
		{ LOG_BYTES, UINT64_MAX },
		{ LOG_BYTES, UINT64_MAX - LOG_BYTES + 1 },
		{ UINT64_MAX, 0 },
		{ UINT64_MAX, UINT64_MAX },
		{ 1ULL << 63, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct logged l;
		int r;

		start(&l, state);
		conf_product_only("others take it");
		fill_disk(&l, (char)(i + 1));
		r = set_log(&l.cl.vu, l.log.fd, bad[i].size, bad[i].offset);
		if (r != -EPIPE) {
			print_error("log %zu: %d\n", i, r);
		}
		assert_int_equal(r, -EPIPE);
		conf_drop(l.cl.c, 0, 0);
	}
}

static void test_h67_descriptors_that_are_no_log(void **state)
{
	for (unsigned int i = 0; i < 3; i++) {
		struct logged l;
		int fd;

		start(&l, state);
		conf_product_only("others take it");
		fd = i == 0   ? conf_eventfd(l.cl.c, 0)
		     : i == 1 ? conf_open(l.cl.c, "/", O_RDONLY | O_DIRECTORY)
			      : conf_open(l.cl.c, "/dev/null", O_RDWR);
		assert_int_equal(set_log(&l.cl.vu, fd, LOG_BYTES, 0), -EPIPE);
		conf_drop(l.cl.c, 0, 0);
	}
}

/* The log's file is cut while it is written to. */
static void test_h67_a_log_that_goes_away(void **state)
{
	struct logged l;

	start(&l, state);
	conf_product_only("others die of it");
	fill_disk(&l, 'q');
	assert_int_equal(ftruncate(l.log.fd, 0), 0);
	for (unsigned int i = 0; i < 20; i++) {
		(void)blk_add(&l.cl, i, BLK_T_IN, 0,
			      client_buf(&l.cl, BLK_DATA), 4096);
		client_kick(&l.cl.vqs[0]);
	}
	assert_true(vu_is_alive(&l.cl.vu));
	client_close(&l.cl);
	blk_start(&l.cl, *state, NUM, BLK_FEATURES);
	assert_true(blk_works(&l.cl));
}

static void test_h67_used_rings_logged_beyond_the_log(void **state)
{
	static const uint64_t beyond[] = {
		LOG_BYTES * 8ULL * VU_LOG_PAGE,
		LOG_BYTES * 8ULL * VU_LOG_PAGE - 8,
		1ULL << 40,
		1ULL << 63,
		UINT64_MAX - 7,
		UINT64_MAX,
	};
	struct logged l;
	uint64_t va;

	start(&l, state);
	conf_product_only("others die of it");
	va = (uintptr_t)l.cl.mem.va;
	for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
		struct vu_addr addr = {
			0, 1, va, va + RING_DEVICE, va + RING_DRIVER, beyond[i]
		};

		/* Refused, or the marks are lost; never a write elsewhere. */
		(void)vu_set_addr(&l.cl.vu, &addr);
		assert_true(blk_works(&l.cl));
	}
}

/* Before there is a log, or memory, or a ring. */
static void test_h67_logging_without_a_log(void **state)
{
	struct logged l;

	blk_start(&l.cl, *state, NUM, BLK_FEATURES);
	vu_require(&l.cl.vu, VU_P_LOG_SHMFD);
	assert_int_equal(set_features(&l, true), 0);
	set_addr(&l, 1, USED_GPA);
	assert_true(blk_works(&l.cl));
	assert_int_equal(set_features(&l, false), 0);
	assert_true(blk_works(&l.cl));
}

static const struct CMUnitTest tests[] = {
	CONF_TEST_BOTH(test_pages_that_are_read_into_are_marked),
	CONF_TEST_BOTH(test_other_pages_are_not_marked),
	CONF_TEST_BOTH(test_writes_to_the_disk_mark_no_data),
	CONF_TEST_BOTH(test_the_used_ring_is_marked_where_it_was_said),
	CONF_TEST_BOTH(test_logging_goes_on_and_off_while_the_ring_runs),
	CONF_TEST_BOTH(test_the_log_is_replaced_while_the_ring_runs),
	CONF_TEST_BOTH(test_a_log_with_an_offset),
	CONF_TEST_BOTH(test_memory_that_is_added_is_logged),
	CONF_TEST(test_h67_logs_that_cannot_be),
	CONF_TEST(test_h67_descriptors_that_are_no_log),
	CONF_TEST_BOTH(test_h67_a_log_that_goes_away),
	CONF_TEST_BOTH(test_h67_used_rings_logged_beyond_the_log),
	CONF_TEST_BOTH(test_h67_logging_without_a_log),
};

TEST_MAIN("conformance/user_log")
