/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of block requests through a vhost-user socket: what front ends get
 * wrong there is answered as it is through the vhost-vdpa node (test_disk.c has
 * every case; here is one of each kind).
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <endian.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "lib/test.h"
#include "lib/vfront.h"
#include "uapi/compat.h"

#define NUM	  256
#define N_FLUSHES 1000
#define CAPACITY  0x800 /* sectors */
#define SEG_MAX	  126
#define FEATURES  BIT_ULL(VIRTIO_BLK_F_FLUSH)
#define OK	  VIRTIO_BLK_S_OK
#define IOERR	  VIRTIO_BLK_S_IOERR
#define UNSUPP	  VIRTIO_BLK_S_UNSUPP

struct fixture {
	struct vfront_world *fw;
	struct vfront *f;
	char *data; /* SEG_MAX + 1 sectors, and some */
};

static int set_up_keys(void **state, const char *keys, uint64_t features)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->fw = vfront_world_new(NULL, 1);
	assert_int_equal(vworld_add_keys(fx->fw->w, "blk", "d0", 0, keys), 0);
	assert_int_equal(vfront_bind(fx->fw, "d0", NULL, NULL), 0);
	fx->f = vfront_connect(fx->fw);
	vfront_start(fx->f, features, 1, NUM);
	fx->data = vfront_alloc(fx->f, 1U << 17, 4096);
	*state = fx;
	return 0;
}

static int set_up_split(void **state)
{
	return set_up_keys(state, "backend=mem capacity=1M", FEATURES);
}

static int set_up_packed(void **state)
{
	return set_up_keys(state, "backend=mem capacity=1M",
			   FEATURES | BIT_ULL(VIRTIO_F_RING_PACKED));
}

static int set_up_read_only(void **state)
{
	return set_up_keys(state, "backend=mem capacity=1M read_only=on",
			   FEATURES | BIT_ULL(VIRTIO_BLK_F_RO));
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vfront_close(fx->f);
	vfront_world_free(fx->fw);
	free(fx);
	return 0;
}

static uint8_t io(struct fixture *fx, uint32_t type, uint64_t sector,
		  uint32_t len)
{
	return vfront_blk(fx->f, 0, type, sector, fx->data, len);
}

/* ---- tests ---- */

static void test_h50_h51_what_is_no_range_of_the_disk(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(io(fx, VIRTIO_BLK_T_IN, CAPACITY - 1, 512), OK);
	assert_int_equal(io(fx, VIRTIO_BLK_T_IN, CAPACITY, 512), IOERR);
	assert_int_equal(io(fx, VIRTIO_BLK_T_OUT, CAPACITY - 1, 1024), IOERR);
	assert_int_equal(io(fx, VIRTIO_BLK_T_OUT, UINT64_MAX, 512), IOERR);
	assert_int_equal(io(fx, VIRTIO_BLK_T_IN, UINT64_MAX / 512, 512), IOERR);
	assert_int_equal(io(fx, VIRTIO_BLK_T_IN, 0, 511), IOERR);
}

/* No status byte, and a status byte that is not writable. */
static void test_h52_nothing_to_answer_in(void **state)
{
	struct fixture *fx = *state;
	struct virtio_blk_outhdr *hdr = (void *)fx->data;
	const struct vq_sg sg[] = {
		{ vfront_gpa(fx->f, hdr), sizeof(*hdr) },
		{ vfront_gpa(fx->f, fx->data + 100), 1 },
	};

	memset(hdr, 0, sizeof(*hdr));
	hdr->type = htole32(VIRTIO_BLK_T_FLUSH);
	for (unsigned int n = 1; n <= 2; n++) {
		assert_int_equal(vq_driver_add(fx->f->q[0].drv, sg, n, 0, hdr),
				 0);
		assert_int_equal(vfront_run_one(fx->f, 0).written, 0);
	}
	assert_int_equal(io(fx, VIRTIO_BLK_T_FLUSH, 0, 0), OK);
}

static void test_h53_h54_what_was_not_negotiated(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(io(fx, VIRTIO_BLK_T_DISCARD, 0, 16), UNSUPP);
	assert_int_equal(io(fx, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), UNSUPP);
	assert_int_equal(io(fx, 99, 0, 512), UNSUPP);
	assert_int_equal(io(fx, VIRTIO_BLK_T_GET_ID, 0, 19), IOERR);
	assert_int_equal(io(fx, VIRTIO_BLK_T_GET_ID, 0, 20), OK);
}

static void test_h55_write_to_a_read_only_disk(void **state)
{
	struct fixture *fx = *state;

	memset(fx->data, 7, 512);
	assert_int_equal(io(fx, VIRTIO_BLK_T_OUT, 0, 512), IOERR);
	assert_int_equal(io(fx, VIRTIO_BLK_T_IN, 0, 512), OK);
	assert_int_equal(fx->data[0], 0);
}

static void test_h56_flush_flood(void **state)
{
	struct fixture *fx = *state;
	struct vq_driver *drv = fx->f->q[0].drv;
	struct virtio_blk_outhdr *hdr = (void *)fx->data;
	uint8_t *status = (uint8_t *)fx->data + 100;
	const struct vq_sg sg[] = {
		{ vfront_gpa(fx->f, hdr), sizeof(*hdr) },
		{ vfront_gpa(fx->f, status), 1 },
	};

	memset(hdr, 0, sizeof(*hdr));
	hdr->type = htole32(VIRTIO_BLK_T_FLUSH);
	for (unsigned int n = 0; n < N_FLUSHES; n++) {
		while (vq_driver_add(drv, sg, 1, 1, hdr) == 0) {
		}
		assert_int_equal(vfront_run_one(fx->f, 0).written, 1);
	}
	while (vq_driver_n_in_flight(drv) > 0) {
		assert_int_equal(vfront_run_one(fx->f, 0).written, 1);
	}
	assert_int_equal(*status, OK);
	assert_int_equal(io(fx, VIRTIO_BLK_T_FLUSH, 1, 0), IOERR);
}

static void test_h57_one_piece_more_than_seg_max(void **state)
{
	struct fixture *fx = *state;
	struct virtio_blk_outhdr *hdr = vfront_alloc(fx->f, sizeof(*hdr), 16);
	uint8_t *status = vfront_alloc(fx->f, 1, 1);
	struct vq_sg sg[SEG_MAX + 3] = {
		{ vfront_gpa(fx->f, hdr), sizeof(*hdr) },
	};

	for (unsigned int i = 0; i <= SEG_MAX; i++) {
		memset(fx->data + 512 * i, (int)i + 1, 512);
		sg[1 + i] =
			(struct vq_sg){ vfront_gpa(fx->f, fx->data + 512 * i),
					512 };
	}
	sg[SEG_MAX + 2] = (struct vq_sg){ vfront_gpa(fx->f, status), 1 };
	memset(hdr, 0, sizeof(*hdr));
	hdr->type = htole32(VIRTIO_BLK_T_OUT);
	*status = 0xee;
	assert_int_equal(
		vq_driver_add(fx->f->q[0].drv, sg, SEG_MAX + 2, 1, hdr), 0);
	assert_int_equal(vfront_run_one(fx->f, 0).written, 1);
	assert_int_equal(*status, OK);
	memset(fx->data, 0, 512 * (SEG_MAX + 1));
	assert_int_equal(io(fx, VIRTIO_BLK_T_IN, SEG_MAX, 512), OK);
	assert_int_equal(fx->data[0], SEG_MAX + 1);
}

#define T(name, how)                                                \
	{                                                           \
#name "_" #how, name, set_up_##how, tear_down, NULL \
	}
#define BOTH(name) T(name, split), T(name, packed)

static const struct CMUnitTest tests[] = {
	BOTH(test_h50_h51_what_is_no_range_of_the_disk),
	BOTH(test_h52_nothing_to_answer_in),
	BOTH(test_h53_h54_what_was_not_negotiated),
	T(test_h55_write_to_a_read_only_disk, read_only),
	BOTH(test_h56_flush_flood),
	BOTH(test_h57_one_piece_more_than_seg_max),
};

TEST_MAIN("vhost_user_blk")
