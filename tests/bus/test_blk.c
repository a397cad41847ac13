/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of vdpasim_blk, as a driver sees it, in every ring format.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>
#include <errno.h>
#include <pthread.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "lib/test.h"
#include "lib/vclient.h"
#include "uapi/compat.h"

struct fixture {
	struct vworld *w;
	struct vclient *c;
	char *buf;
};

static int set_up_ring(void **state, uint64_t features, unsigned int queues)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	char num[8];

	assert_non_null(fx);
	(void)snprintf(num, sizeof(num), "%u", queues);
	fx->w = vworld_new(NULL, 2);
	vworld_add(fx->w, "vdpasim_blk", "b0", 0, "num_queues", num);
	assert_int_equal(vclient_open(fx->w, "vhost-vdpa-0", &fx->c), 0);
	vclient_start(fx->c, features, queues, 16);
	fx->buf = vclient_alloc(fx->c, 65536, 4096);
	*state = fx;
	return 0;
}

static int set_up_split(void **state)
{
	return set_up_ring(state, 0, 1);
}

static int set_up_packed(void **state)
{
	return set_up_ring(state,
			   BIT_ULL(VIRTIO_F_RING_PACKED) |
				   BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |
				   BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC),
			   1);
}

static int set_up_four_queues(void **state)
{
	return set_up_ring(state, 0, 4);
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vclient_close(fx->c);
	vworld_free(fx->w);
	free(fx);
	return 0;
}

static void test_write_reads_back(void **state)
{
	struct fixture *fx = *state;

	for (unsigned int i = 0; i < 40; i++) { /* wraps the ring */
		memset(fx->buf, (int)i + 1, 4096);
		assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_OUT,
					     i * 8ULL, fx->buf, 4096),
				 VIRTIO_BLK_S_OK);
	}
	for (unsigned int i = 0; i < 40; i++) {
		memset(fx->buf, 0xaa, 4096);
		assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_IN,
					     i * 8ULL, fx->buf, 4096),
				 VIRTIO_BLK_S_OK);
		assert_int_equal(fx->buf[0], (int)i + 1);
		assert_int_equal(fx->buf[4095], (int)i + 1);
	}
}

static void test_get_id_and_flush(void **state)
{
	struct fixture *fx = *state;

	memset(fx->buf, 'x', 20);
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_GET_ID, 0, fx->buf,
				     20),
			 VIRTIO_BLK_S_OK);
	assert_string_equal(fx->buf, "vdpa_blk_sim");
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_GET_ID, 0, fx->buf,
				     19), /* H54 */
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_FLUSH, 1, NULL, 0),
			 VIRTIO_BLK_S_IOERR);
}

static void test_h50_beyond_the_end_is_ioerr(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
		uint8_t want;
	} cases[] = {
		{ 0x40000 - 1, 512, VIRTIO_BLK_S_OK },
		{ 0x40000 - 1, 1024, VIRTIO_BLK_S_IOERR },
		{ 0x40000, 512, VIRTIO_BLK_S_IOERR },
		{ UINT64_MAX, 512, VIRTIO_BLK_S_IOERR },
		{ UINT64_MAX / 512, 1024, VIRTIO_BLK_S_IOERR },
		{ 0, 511, VIRTIO_BLK_S_IOERR }, /* H51 */
		{ 0, 513, VIRTIO_BLK_S_IOERR },
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_IN,
					     cases[i].sector, fx->buf,
					     cases[i].len),
				 cases[i].want);
		assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_OUT,
					     cases[i].sector, fx->buf,
					     cases[i].len),
				 cases[i].want);
	}
}

static void test_h54_unknown_types_are_ioerr(void **state)
{
	static const uint32_t types[] = { 2, 5, 9, 12, 99, 0x80000000, ~0U };
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		assert_int_equal(vclient_blk(fx->c, 0, types[i], 0, fx->buf,
					     512),
				 VIRTIO_BLK_S_IOERR);
	}
}

static uint8_t zero_range(struct fixture *fx, uint32_t type, uint64_t sector,
			  uint32_t num_sectors, uint32_t flags, uint32_t len)
{
	struct virtio_blk_discard_write_zeroes *r =
		vclient_alloc(fx->c, 64, 16);

	r->sector = htole64(sector);
	r->num_sectors = htole32(num_sectors);
	r->flags = htole32(flags);
	return vclient_blk(fx->c, 0, type, 0, r, len);
}

static void test_write_zeroes_zeroes_exactly_its_range(void **state)
{
	static const uint32_t flags[] = { 0, 1 };
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		memset(fx->buf, 7, 32768);
		assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_OUT, 0,
					     fx->buf, 32768),
				 VIRTIO_BLK_S_OK);
		assert_int_equal(zero_range(fx, VIRTIO_BLK_T_WRITE_ZEROES, 3,
					    50, flags[i], 16),
				 VIRTIO_BLK_S_OK);
		assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_IN, 0,
					     fx->buf, 32768),
				 VIRTIO_BLK_S_OK);
		for (int b = 0; b < 32768; b++) {
			bool inside = b >= 3 * 512 && b < 53 * 512;

			assert_int_equal(fx->buf[b], inside ? 0 : 7);
		}
	}
}

static void test_h53_bad_ranges(void **state)
{
	struct fixture *fx = *state;
	const uint32_t wz = VIRTIO_BLK_T_WRITE_ZEROES;
	const uint32_t dis = VIRTIO_BLK_T_DISCARD;

	assert_int_equal(zero_range(fx, dis, 0, 8, 0, 16), VIRTIO_BLK_S_OK);
	assert_int_equal(zero_range(fx, dis, 0, 8, 1, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(zero_range(fx, wz, 0, 8, 2, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(zero_range(fx, wz, 0, 8, 0, 8), VIRTIO_BLK_S_IOERR);
	assert_int_equal(zero_range(fx, wz, 0, 8, 0, 32), VIRTIO_BLK_S_IOERR);
	assert_int_equal(zero_range(fx, wz, 0, 8, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(zero_range(fx, wz, 0x40000 - 7, 8, 0, 16),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(zero_range(fx, wz, UINT64_MAX, 8, 0, 16),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(zero_range(fx, dis, 0, ~0U, 0, 16),
			 VIRTIO_BLK_S_IOERR);
}

/* Puts a request on the ring as it is and gives back what was written. */
static uint32_t raw_request(struct fixture *fx, const struct vq_sg *sg,
			    unsigned int n_readable, unsigned int n_writable)
{
	vclient_add(fx->c, 0, sg, n_readable, n_writable, fx);
	return vclient_run_one(fx->c, 0).written;
}

static void test_h52_requests_that_cannot_be_answered(void **state)
{
	struct fixture *fx = *state;
	uint64_t at = vclient_iova(fx->c, fx->buf);
	struct vq_sg no_status[] = { { at, 16 } };
	struct vq_sg no_header[] = { { at, 513 } };
	struct vq_sg half_header[] = { { at, 15 }, { at + 64, 1 } };

	memset(fx->buf, 0, 1024);
	assert_int_equal(raw_request(fx, no_status, 1, 0), 0);
	assert_int_equal(raw_request(fx, no_header, 0, 1), 0);
	assert_int_equal(raw_request(fx, half_header, 1, 1), 0);
	/* and the queue goes on */
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0),
			 0);
}

static void test_written_counts_data_and_status(void **state)
{
	struct fixture *fx = *state;
	uint64_t at = vclient_iova(fx->c, fx->buf);
	struct virtio_blk_outhdr *hdr = (void *)fx->buf;
	/* header in three pieces, data and status split at odd places */
	struct vq_sg sg[] = { { at, 5 },	 { at + 5, 10 },
			      { at + 15, 1 },	 { at + 100, 1 },
			      { at + 101, 511 }, { at + 612, 1 } };

	memset(fx->buf, 0xcc, 1024);
	memset(hdr, 0, sizeof(*hdr));
	assert_int_equal(raw_request(fx, sg, 3, 3), 513);
	assert_int_equal(fx->buf[100], 0);
	assert_int_equal(fx->buf[611], 0);
	assert_int_equal(fx->buf[612], VIRTIO_BLK_S_OK);
	assert_int_equal((unsigned char)fx->buf[613], 0xcc);
	hdr->sector = htole64(UINT64_MAX); /* IOERR: only the status */
	assert_int_equal(raw_request(fx, sg, 3, 3), 1);
	assert_int_equal(fx->buf[612], VIRTIO_BLK_S_IOERR);
}

/* s52: a hole fails only that request */
static void test_hole_in_the_data_is_ioerr(void **state)
{
	struct fixture *fx = *state;
	uint64_t at = vclient_iova(fx->c, fx->buf);
	struct vq_sg sg[] = { { at, 16 },
			      { VCLIENT_IOVA + VCLIENT_MEM_BYTES - 256, 512 },
			      { at + 100, 1 } };

	memset(fx->buf, 0, 128);
	fx->buf[100] = 0x55;
	assert_int_equal(raw_request(fx, sg, 1, 2), 1);
	assert_int_equal(fx->buf[100], VIRTIO_BLK_S_IOERR);
	assert_int_equal(vclient_status(fx->c) & VIRTIO_CONFIG_S_NEEDS_RESET,
			 0);
	assert_int_equal(vclient_blk(fx->c, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0),
			 0);
}

/* ---- a driver that changes its mind while we look ---- */

struct flipper {
	pthread_t thread;
	struct virtio_blk_outhdr *hdr;
	bool stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;
	uint32_t i = 0;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		i++;
		__atomic_store_n(&f->hdr->sector,
				 i & 1 ? htole64(UINT64_MAX) : 0,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&f->hdr->type, htole32(i % 5),
				 __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Whatever the header was when it was copied: one answer, within bounds. */
static void test_h31_header_flips_between_reads(void **state)
{
	struct fixture *fx = *state;
	uint64_t at = vclient_iova(fx->c, fx->buf);
	struct flipper f = { .hdr = (void *)fx->buf };
	struct vq_sg sg[] = { { at, 16 }, { at + 4096, 512 }, { at + 100, 1 } };

	memset(fx->buf, 0, 8192);
	assert_int_equal(pthread_create(&f.thread, NULL, flip, &f), 0);
	for (int i = 0; i < 3000; i++) {
		uint32_t written;

		fx->buf[100] = 0x55;
		written = raw_request(fx, sg, 1, 2);
		assert_true(written == 1 || written == 513);
		assert_in_range(fx->buf[100], VIRTIO_BLK_S_OK,
				VIRTIO_BLK_S_UNSUPP);
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(f.thread, NULL);
	assert_int_equal(vclient_status(fx->c) & VIRTIO_CONFIG_S_NEEDS_RESET,
			 0);
}

static void test_every_queue_serves(void **state)
{
	struct fixture *fx = *state;

	if (TEST_HAS_TSAN) {
		/* What one worker writes and another reads later is ordered by
		 * this driver, in between, through a mapping of its own. */
		TEST_SKIP("TSan does not see what orders the workers");
	}
	for (unsigned int i = 0; i < 4; i++) {
		memset(fx->buf, (int)i + 1, 512);
		assert_int_equal(vclient_blk(fx->c, i, VIRTIO_BLK_T_OUT, i,
					     fx->buf, 512),
				 0);
	}
	assert_int_equal(
		vclient_blk(fx->c, 3, VIRTIO_BLK_T_IN, 0, fx->buf, 2048), 0);
	for (int i = 0; i < 2048; i++) {
		assert_int_equal(fx->buf[i], i / 512 + 1);
	}
}

static void test_config_space_is_as_the_simulator_has_it(void **state)
{
	struct fixture *fx = *state;
	struct virtio_blk_config config;
	uint32_t size;

	vclient_must(fx->c, VHOST_VDPA_GET_CONFIG_SIZE, &size);
	assert_int_equal(size, 60);
	vclient_get_config(fx->c, &config, 60);
	assert_int_equal(le64toh(config.capacity), 0x40000);
	assert_int_equal(le32toh(config.size_max), 4096);
	assert_int_equal(le32toh(config.seg_max), 32);
	assert_int_equal(le16toh(config.num_queues), 4);
	config.capacity = 0;
	vclient_set_config(fx->c, &config, 60);
	vclient_get_config(fx->c, &config, 60);
	assert_int_equal(le64toh(config.capacity), 0x40000);
}

static void test_bad_keys_are_refused(void **state)
{
	static const struct {
		const char *key, *value;
		int want;
	} cases[] = {
		{ "capacity", "0", -ERANGE },
		{ "capacity", "513", -ERANGE },
		{ "capacity", "2T", -ERANGE },
		{ "capacity", "x", -EINVAL },
		{ "num_queues", "0", -ERANGE },
		{ "num_queues", "65", -ERANGE },
		{ "num_queues", "-1", -EINVAL },
		{ "poll_us", "1000001", -ERANGE },
		{ "poll_us", "soon", -EINVAL },
		{ "colour", "1", -EOPNOTSUPP },
	};
	struct vworld *w = vworld_new(NULL, 1);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vdpa_dev_config config = { .n_params = 1 };

		strcpy(config.params[0].key, cases[i].key);
		strcpy(config.params[0].value, cases[i].value);
		assert_int_equal(vdpa_dev_add(w->bus, NULL, "vdpasim_blk", "b0",
					      &config),
				 cases[i].want);
	}
	assert_null(vdpa_device_next(w->bus, NULL));
	vworld_free(w);
}

#define SPLIT(name) \
	cmocka_unit_test_setup_teardown(name, set_up_split, tear_down)
#define PACKED(name)                                                  \
	{                                                             \
#name "_packed", name, set_up_packed, tear_down, NULL \
	}
#define BOTH(name) SPLIT(name), PACKED(name)

static const struct CMUnitTest tests[] = {
	BOTH(test_write_reads_back),
	BOTH(test_get_id_and_flush),
	BOTH(test_h50_beyond_the_end_is_ioerr),
	BOTH(test_h54_unknown_types_are_ioerr),
	BOTH(test_write_zeroes_zeroes_exactly_its_range),
	BOTH(test_h53_bad_ranges),
	BOTH(test_h52_requests_that_cannot_be_answered),
	BOTH(test_written_counts_data_and_status),
	BOTH(test_hole_in_the_data_is_ioerr),
	BOTH(test_h31_header_flips_between_reads),
	cmocka_unit_test_setup_teardown(test_every_queue_serves,
					set_up_four_queues, tear_down),
	cmocka_unit_test_setup_teardown(
		test_config_space_is_as_the_simulator_has_it,
		set_up_four_queues, tear_down),
	cmocka_unit_test(test_bad_keys_are_refused),
};

TEST_MAIN("dev_blk")
