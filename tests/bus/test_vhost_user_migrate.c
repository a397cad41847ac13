/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what the vhost-user bus driver does for those who move a guest: the
 * dirty log.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "lib/test.h"
#include "lib/vfront.h"

/* Covers the front end's memory and a little more. */
#define LOG_BYTES ((VFRONT_GPA + VFRONT_MEM_BYTES) / 4096 / 8 + 64)

struct fixture {
	struct vfront_world *fw;
	struct vdpa_device *vdev;
	struct vfront *f;
	int log_fd;
	uint8_t *log;
	unsigned int n_fds;
};

static int set_up(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->n_fds = vfront_count_fds();
	fx->fw = vfront_world_new(NULL, 1);
	vworld_add(fx->fw->w, "vdpasim_blk", "b0", 0, NULL, NULL);
	fx->vdev = vdpa_device_find(fx->fw->w->bus, "b0");
	assert_int_equal(vfront_bind(fx->fw, "b0", NULL, NULL), 0);
	fx->f = vfront_connect(fx->fw);
	fx->log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fx->log_fd, 4096 + LOG_BYTES), 0);
	fx->log = mmap(NULL, 4096 + LOG_BYTES, PROT_READ | PROT_WRITE,
		       MAP_SHARED, fx->log_fd, 0);
	assert_ptr_not_equal(fx->log, MAP_FAILED);
	*state = fx;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;

	vfront_close(fx->f);
	vfront_world_free(fx->fw);
	munmap(fx->log, 4096 + LOG_BYTES);
	close(fx->log_fd);
	assert_int_equal(vfront_count_fds(), fx->n_fds);
	free(fx);
	return 0;
}

/* ---- the dirty log ---- */

/* The bitmap begins one page into its file. */
static int set_log(struct fixture *fx, uint64_t size, uint64_t offset)
{
	const struct vhost_user_log l = { size, offset };
	struct vfront_msg msg;

	assert_int_equal(vfront_send(fx->f, VHOST_USER_SET_LOG_BASE, 0, &l,
				     sizeof(l), &fx->log_fd, 1),
			 0);
	if (vfront_recv(fx->f, &msg) < 0) {
		return -EPIPE;
	}
	assert_int_equal(msg.hdr.request, VHOST_USER_SET_LOG_BASE);
	return msg.payload.u64 != 0;
}

static void set_logging(struct fixture *fx, bool on)
{
	uint64_t features = fx->f->features;

	if (on) {
		features |= BIT_ULL(VHOST_USER_LOG_ALL_BIT);
	}
	assert_int_equal(
		vfront_ack_u64(fx->f, VHOST_USER_SET_FEATURES, features), 0);
}

static bool take_bit(struct fixture *fx, uint64_t gpa)
{
	uint8_t *byte = fx->log + 4096 + gpa / 4096 / 8;
	uint8_t bit = 1U << (gpa / 4096 % 8);
	bool was = *byte & bit;

	*byte &= (uint8_t)~bit;
	return was;
}

static bool is_clean(const struct fixture *fx)
{
	for (size_t i = 0; i < LOG_BYTES; i++) {
		if (fx->log[4096 + i] != 0) {
			return false;
		}
	}
	return true;
}

static void check_log(void **state, uint64_t features, bool moves_used)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	struct vhost_vring_addr addr = { .flags = 1 << VHOST_VRING_F_LOG };
	char *data, *out;
	struct vq_layout layout;

	vfront_start(f, features, 1, 8);
	data = vfront_alloc(f, 4096, 4096);
	out = vfront_alloc(f, 4096, 4096);
	(void)vfront_alloc(f, 4096, 4096);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_int_equal(set_log(fx, LOG_BYTES, 4096), 0);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_true(is_clean(fx));
	set_logging(fx, true);
	vq_layout(8, f->features, &layout);
	if (moves_used) {
		addr.desc_user_addr = VFRONT_UADDR + layout.desc_area;
		addr.avail_user_addr = VFRONT_UADDR + layout.driver_area;
		addr.used_user_addr = VFRONT_UADDR + layout.device_area;
		addr.log_guest_addr = 0x8000;
		vfront_must(f, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr),
			    NULL, 0);
	}
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_OUT, 0, out, 4096), 0);
	assert_true(take_bit(fx, vfront_gpa(f, data)));
	assert_false(take_bit(fx, vfront_gpa(f, out)));
	/* header and status of the request; then the ring */
	assert_true(take_bit(fx, VFRONT_GPA + f->next_free));
	assert_true(take_bit(fx, moves_used ? 0x8000
					    : VFRONT_GPA + layout.device_area));
	/* event suppression and the ring are one page here */
	(void)take_bit(fx, VFRONT_GPA);
	assert_true(is_clean(fx));
	set_logging(fx, false);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_true(is_clean(fx));
}

static void test_log_marks_what_is_written(void **state)
{
	check_log(state, 0, false);
}

static void test_log_marks_the_used_ring_where_it_is_told(void **state)
{
	check_log(state, 0, true);
}

static void test_log_of_a_packed_ring(void **state)
{
	check_log(state, BIT_ULL(VIRTIO_F_RING_PACKED), false);
}

/* The table changes while the log is kept. */
static void test_log_follows_the_memory_table(void **state)
{
	struct fixture *fx = *state;
	struct vfront *f = fx->f;
	const uint64_t half = VFRONT_MEM_BYTES / 2;
	const int fds[2] = { f->memfd, f->memfd };
	struct vhost_user_mem_table t = {
		.n_regions = 2,
		.regions = {
			{ VFRONT_GPA, half, VFRONT_UADDR, 0 },
			{ VFRONT_GPA + half, half, VFRONT_UADDR + half, half },
		},
	};
	char *data;

	vfront_start(f, 0, 1, 8);
	assert_int_equal(set_log(fx, LOG_BYTES, 4096), 0);
	set_logging(fx, true);
	vfront_must(f, VHOST_USER_SET_MEM_TABLE, &t, 72, fds, 2);
	f->next_free = half;
	data = vfront_alloc(f, 4096, 4096);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_true(take_bit(fx, VFRONT_GPA + half));
	/* the next front end begins without */
	vfront_close(f);
	fx->f = f = vfront_connect(fx->fw);
	vfront_start(f, 0, 1, 8);
	memset(fx->log, 0, LOG_BYTES + 4096);
	data = vfront_alloc(f, 4096, 4096);
	assert_int_equal(vfront_blk(f, 0, VIRTIO_BLK_T_IN, 0, data, 4096), 0);
	assert_true(is_clean(fx));
}

static void test_h67_logs_that_cannot_be(void **state)
{
	static const struct vhost_user_log rows[] = {
		{ 0, 0 },
		{ LOG_BYTES, 8192 },
		{ 4096 + LOG_BYTES + 1, 0 },
		{ UINT64_MAX, 0 },
		{ LOG_BYTES, UINT64_MAX - 4096 },
		{ 1024, 0 }, /* lacks most pages */
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		vfront_start(fx->f, 0, 1, 8);
		assert_int_equal(set_log(fx, rows[i].mmap_size,
					 rows[i].mmap_offset),
				 -EPIPE);
		vfront_close(fx->f);
		fx->f = vfront_connect(fx->fw);
	}
}

/* The log's file shrinks while it is marked in. */
static void test_h67_a_log_that_shrinks(void **state)
{
	struct fixture *fx = *state;
	char *data;

	vfront_start(fx->f, 0, 1, 8);
	data = vfront_alloc(fx->f, 4096, 4096);
	assert_int_equal(set_log(fx, LOG_BYTES, 4096), 0);
	set_logging(fx, true);
	assert_int_equal(ftruncate(fx->log_fd, 0), 0);
	assert_int_equal(vfront_blk(fx->f, 0, VIRTIO_BLK_T_IN, 0, data, 4096),
			 0);
	assert_int_equal(ftruncate(fx->log_fd, 4096 + LOG_BYTES), 0);
}

static void test_log_fd_is_an_eventfd(void **state)
{
	struct fixture *fx = *state;
	int event = eventfd(0, EFD_CLOEXEC);

	vfront_negotiate(fx->f, 0);
	vfront_must(fx->f, VHOST_USER_SET_LOG_FD, NULL, 0, &event, 1);
	assert_int_equal(vfront_ack(fx->f, VHOST_USER_SET_LOG_FD, NULL, 0,
				    &fx->log_fd, 1),
			 1);
	close(event);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	/* first: for each test cmocka puts a handler of its own over ours */
	T(test_h67_a_log_that_shrinks),
	T(test_log_marks_what_is_written),
	T(test_log_marks_the_used_ring_where_it_is_told),
	T(test_log_of_a_packed_ring),
	T(test_log_follows_the_memory_table),
	T(test_h67_logs_that_cannot_be),
	T(test_log_fd_is_an_eventfd),
};

TEST_MAIN("vhost_user_migrate")
