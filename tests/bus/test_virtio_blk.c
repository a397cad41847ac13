/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the virtio block driver: requests, on devices that behave.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/virtio_disk.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define NO_OPTIONS ((struct vdpakit_blk_options){ 0 })
#define SLOTS_MAX  256
#define BLOCK	   4096U
#define ZERO_LEN   (32U << 10)

static void test_each_kind_reads_what_was_written(void **state)
{
	for (size_t i = 0; i < vdisk_n_kinds; i++) {
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i], NO_OPTIONS);
		vdisk_round_trip(&d, 0, 512);
		vdisk_round_trip(&d, BLOCK, 65536);
		vdisk_round_trip(&d, VDISK_BYTES - BLOCK, BLOCK);
		assert_int_equal(vdpakit_blk_flush(d.q), 0);
		assert_int_equal(vdpakit_blk_n_under_way(d.q), 0);
		vdisk_close(&d);
	}
}

static void test_info_is_the_devices(void **state)
{
	struct vdpakit_blk_info info;
	struct vdisk d;

	vdisk_open_default(&d);
	info = vdisk_info(&d);
	assert_int_equal(info.capacity_bytes, VDISK_BYTES);
	assert_int_equal(info.block_bytes, 512);
	assert_int_equal(info.n_queues, VDISK_QUEUES);
	assert_int_equal(info.queue_size, 256);
	assert_int_equal(info.max_segments, 126);
	assert_true(info.can_flush);
	assert_true(info.is_packed);
	assert_false(info.is_read_only);
	assert_false(info.needs_reset);
	assert_true(info.max_discard_bytes > 0);
	assert_true(info.max_write_zeroes_bytes > 0);
	assert_true(info.features & BIT_ULL(VIRTIO_BLK_F_MQ));
	vdisk_close(&d);
}

/* A program that was built with an older library asks for less. */
static void test_info_of_another_size(void **state)
{
	struct {
		struct vdpakit_blk_info info;
		uint64_t more;
	} large = { .more = 7 };
	uint64_t capacity = 0;
	struct vdisk d;

	vdisk_open_default(&d);
	vdpakit_blk_get_info(d.blk, (void *)&capacity, sizeof(capacity));
	assert_int_equal(capacity, VDISK_BYTES);
	vdpakit_blk_get_info(d.blk, &large.info, sizeof(large));
	assert_int_equal(large.info.capacity_bytes, VDISK_BYTES);
	assert_int_equal(large.more, 0);
	vdisk_close(&d);
}

/* ---- many at a time ---- */

struct load {
	struct vdisk *d;
	bool is_busy[SLOTS_MAX];
	unsigned int n_slots;
	uint64_t n_added, n_done;
};

static char *slot_buf(const struct load *l, unsigned int i)
{
	return l->d->mem + (size_t)i * BLOCK;
}

/* As many as there is room for, each slot a block of its own. */
static void add_all(struct load *l, enum vdpakit_blk_op op)
{
	for (unsigned int i = 0; i < l->n_slots; i++) {
		const struct vdpakit_blk_req req = {
			.op = (uint8_t)op,
			.offset_bytes = (uint64_t)i * BLOCK,
			.len_bytes = BLOCK,
			.buf = slot_buf(l, i),
			.user = &l->is_busy[i],
		};
		int n;

		if (l->is_busy[i]) {
			continue;
		}
		n = vdpakit_blk_add(l->d->q, &req, 1);
		assert_in_range(n, 0, 1);
		if (n == 0) {
			break;
		}
		l->is_busy[i] = true;
		l->n_added++;
	}
}

static void take_done(struct load *l, const struct vdpakit_blk_done *done,
		      int n)
{
	for (int i = 0; i < n; i++) {
		bool *is_busy = done[i].user;

		assert_int_equal(done[i].result, 0);
		assert_true(*is_busy); /* once */
		*is_busy = false;
		l->n_done++;
	}
}

static void run_load(struct load *l, enum vdpakit_blk_op op, uint64_t n)
{
	struct vdpakit_blk_done done[64];

	l->n_added = 0;
	l->n_done = 0;
	while (l->n_done < n) {
		int got;

		add_all(l, op);
		assert_int_equal(vdpakit_blk_n_under_way(l->d->q),
				 l->n_added - l->n_done);
		got = vdpakit_blk_wait(l->d->q, done, 16, ARRAY_SIZE(done), -1);
		assert_in_range(got, 1, ARRAY_SIZE(done));
		take_done(l, done, got);
	}
	while (vdpakit_blk_n_under_way(l->d->q) > 0) {
		take_done(l, done,
			  vdpakit_blk_wait(l->d->q, done, 1, ARRAY_SIZE(done),
					   -1));
	}
	assert_int_equal(l->n_added, l->n_done);
}

static void test_each_kind_takes_a_full_queue(void **state)
{
	for (size_t i = 0; i < vdisk_n_kinds; i++) {
		struct load l = { .n_slots = SLOTS_MAX };
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i], NO_OPTIONS);
		l.d = &d;
		for (unsigned int k = 0; k < l.n_slots; k++) {
			vdisk_fill(slot_buf(&l, k), BLOCK, k);
		}
		run_load(&l, VDPAKIT_BLK_WRITE, 2000);
		memset(d.mem, 0, SLOTS_MAX * BLOCK);
		run_load(&l, VDPAKIT_BLK_READ, 2000);
		for (unsigned int k = 0; k < l.n_slots; k++) {
			char want[BLOCK];

			vdisk_fill(want, BLOCK, k);
			assert_memory_equal(slot_buf(&l, k), want, BLOCK);
		}
		vdisk_close(&d);
	}
}

static void test_queue_size_is_how_many_fit(void **state)
{
	for (size_t i = 0; i < vdisk_n_kinds; i++) {
		struct vdpakit_blk_req reqs[10] = { 0 };
		struct vdpakit_blk_done done[10];
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i],
			   (struct vdpakit_blk_options){ .queue_size = 8 });
		assert_int_equal(vdisk_info(&d).queue_size, 8);
		for (unsigned int k = 0; k < ARRAY_SIZE(reqs); k++) {
			reqs[k].len_bytes = 512;
			reqs[k].buf = d.mem + 512UL * k;
		}
		assert_int_equal(vdpakit_blk_add(d.q, reqs, 10), 8);
		assert_int_equal(vdpakit_blk_add(d.q, reqs, 1), 0);
		assert_int_equal(vdpakit_blk_wait(d.q, done, 8, 10, -1), 8);
		assert_int_equal(vdpakit_blk_add(d.q, reqs, 10), 8);
		assert_int_equal(vdpakit_blk_wait(d.q, done, 10, 10, -1), 8);
		vdisk_close(&d);
	}
}

static void test_nothing_is_seen_before_submit(void **state)
{
	struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH };
	struct vdpakit_blk_done done;
	struct vdisk d;

	vdisk_open_default(&d);
	assert_int_equal(vdpakit_blk_add(d.q, &req, 1), 1);
	/* The device looks at the ring for another request meanwhile. */
	vrig_settle(d.r);
	assert_int_equal(vworld_stat(d.r->w, "d0", 0, "flush requests"), 0);
	assert_int_equal(vdpakit_blk_poll(d.q, &done, 1), 0);
	assert_int_equal(vdpakit_blk_submit(d.q), 0);
	assert_int_equal(vdpakit_blk_wait(d.q, &done, 1, 1, -1), 1);
	assert_int_equal(vworld_stat(d.r->w, "d0", 0, "flush requests"), 1);
	vdisk_close(&d);
}

/* ---- pieces ---- */

static int run_one(struct vdisk *d, const struct vdpakit_blk_req *req)
{
	struct vdpakit_blk_done done = { .result = 1 };
	int n = vdpakit_blk_add(d->q, req, 1);

	if (n != 1) {
		return n;
	}
	assert_int_equal(vdpakit_blk_wait(d->q, &done, 1, 1, -1), 1);
	assert_ptr_equal(done.user, req->user);
	return done.result;
}

static void test_pieces_of_any_length(void **state)
{
	for (size_t i = 0; i < vdisk_n_kinds; i++) {
		struct iovec iov[12];
		struct vdpakit_blk_req req = {
			.op = VDPAKIT_BLK_WRITE,
			.offset_bytes = 8192,
			.n_iov = ARRAY_SIZE(iov),
			.iov = iov,
			.user = iov,
		};
		char want[12 * 1024];
		size_t len = 0;
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i], NO_OPTIONS);
		vdisk_fill(want, sizeof(want), 3);
		for (size_t k = 0; k < ARRAY_SIZE(iov); k++) {
			/* One of nothing, others of odd lengths. */
			iov[k].iov_base = d.mem + k * BLOCK + k;
			iov[k].iov_len = k == 5 ? 0 : 100 * k + 1;
			memcpy(iov[k].iov_base, want + len, iov[k].iov_len);
			len += iov[k].iov_len;
		}
		iov[11].iov_len += 512 - len % 512;
		len += 512 - len % 512;
		memcpy(iov[11].iov_base, want + len - iov[11].iov_len,
		       iov[11].iov_len);
		req.len_bytes = len;
		assert_int_equal(run_one(&d, &req), 0);
		assert_int_equal(vdpakit_blk_read(d.q, d.mem + (1U << 20), len,
						  8192),
				 0);
		assert_memory_equal(d.mem + (1U << 20), want, len);
		vdisk_close(&d);
	}
}

/* The simulator takes 4096 bytes in a piece: what is longer is cut. */
static void test_long_pieces_are_cut(void **state)
{
	static const struct vdisk_kind kind = { "vdpasim_blk", "capacity=16M",
						0 };
	struct vdpakit_blk_info info;
	struct vdisk d;

	vdisk_open(&d, &kind, NO_OPTIONS);
	info = vdisk_info(&d);
	assert_int_equal(info.max_segments, 32);
	assert_int_equal(info.max_request_bytes, 32 * 4096);
	vdisk_round_trip(&d, 512, 32 * 4096);
	assert_int_equal(vdpakit_blk_read(d.q, d.mem, 32 * 4096 + 512, 0),
			 -E2BIG);
	vdisk_close(&d);
}

static void test_as_many_pieces_as_it_says(void **state)
{
	for (size_t i = 0; i < vdisk_n_kinds; i++) {
		struct iovec iov[BLK_SEGMENTS_MAX + 1];
		struct vdpakit_blk_req req = { .iov = iov };
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i], NO_OPTIONS);
		req.n_iov = (uint16_t)vdisk_info(&d).max_segments;
		req.len_bytes = req.n_iov * 512ULL;
		for (unsigned int k = 0; k <= req.n_iov; k++) {
			iov[k].iov_base = d.mem + 1024UL * k;
			iov[k].iov_len = 512;
		}
		assert_int_equal(run_one(&d, &req), 0);
		req.n_iov++;
		req.len_bytes += 512;
		assert_int_equal(vdpakit_blk_add(d.q, &req, 1), -E2BIG);
		vdisk_close(&d);
	}
}

/* ---- discard, write zeroes ---- */

static bool is_zero(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i]) {
			return false;
		}
	}
	return true;
}

static void zero_and_check(struct vdisk *d, enum vdpakit_blk_op op,
			   uint8_t flags)
{
	const struct vdpakit_blk_req req = {
		.op = (uint8_t)op,
		.flags = flags,
		.offset_bytes = ZERO_LEN,
		.len_bytes = ZERO_LEN,
		.user = d,
	};

	vdisk_fill(d->mem, 3 * ZERO_LEN, 1);
	assert_int_equal(vdpakit_blk_write(d->q, d->mem, 3 * ZERO_LEN, 0), 0);
	assert_int_equal(run_one(d, &req), 0);
	assert_int_equal(vdpakit_blk_read(d->q, d->mem + (1U << 20),
					  3 * ZERO_LEN, 0),
			 0);
	assert_memory_equal(d->mem + (1U << 20), d->mem, ZERO_LEN);
	assert_true(is_zero(d->mem + (1U << 20) + ZERO_LEN, ZERO_LEN));
	assert_memory_equal(d->mem + (1U << 20) + 2 * ZERO_LEN,
			    d->mem + 2 * ZERO_LEN, ZERO_LEN);
}

static void test_discard_and_write_zeroes(void **state)
{
	static const size_t of_blk[] = { 0, 1, 5, 8 };

	for (size_t i = 0; i < ARRAY_SIZE(of_blk); i++) {
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[of_blk[i]], NO_OPTIONS);
		zero_and_check(&d, VDPAKIT_BLK_WRITE_ZEROES, 0);
		zero_and_check(&d, VDPAKIT_BLK_WRITE_ZEROES, VDPAKIT_BLK_UNMAP);
		zero_and_check(&d, VDPAKIT_BLK_DISCARD, 0);
		vdisk_close(&d);
	}
}

/* A simulator may not unmap: the flag is left out, not refused. */
static void test_unmap_is_a_hint(void **state)
{
	static const struct vdisk_kind kind = { "vdpasim_blk", "capacity=16M",
						0 };
	struct vdisk d;

	vdisk_open(&d, &kind, NO_OPTIONS);
	zero_and_check(&d, VDPAKIT_BLK_WRITE_ZEROES, VDPAKIT_BLK_UNMAP);
	vdisk_close(&d);
}

/* ---- other back ends ---- */

static void test_null_takes_and_gives(void **state)
{
	static const struct vdisk_kind kind = { "blk", "backend=null", 0 };
	struct vdisk d;

	vdisk_open(&d, &kind, NO_OPTIONS);
	assert_int_equal(vdisk_info(&d).capacity_bytes, 1ULL << 40);
	d.mem[0] = 5;
	assert_int_equal(vdpakit_blk_write(d.q, d.mem, BLOCK, 1ULL << 39), 0);
	assert_int_equal(vdpakit_blk_read(d.q, d.mem, BLOCK, 1ULL << 39), 0);
	assert_int_equal(d.mem[0], 5);
	vdisk_close(&d);
}

static void test_a_file_has_the_bytes(void **state)
{
	char path[] = "/tmp/vdpakit-virtio-blk-XXXXXX", keys[128];
	struct vdisk_kind kind = { "blk", keys, 0 };
	int fd = mkstemp(path);
	char got[BLOCK];
	struct vdisk d;

	assert_int_not_equal(fd, -1);
	assert_int_equal(ftruncate(fd, VDISK_BYTES), 0);
	(void)snprintf(keys, sizeof(keys), "backend=file path=%s", path);
	vdisk_open(&d, &kind, NO_OPTIONS);
	vdisk_round_trip(&d, 1U << 20, 65536);
	assert_int_equal(vdpakit_blk_flush(d.q), 0);
	assert_int_equal(pread(fd, got, BLOCK, 1U << 20), BLOCK);
	assert_memory_equal(got, d.mem, BLOCK);
	vdisk_close(&d);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(close(fd), 0);
}

static void test_read_only_disk(void **state)
{
	static const struct vdisk_kind kind = {
		"blk", "backend=mem capacity=16M read_only=on", 0
	};
	static const uint8_t writes[] = { VDPAKIT_BLK_WRITE,
					  VDPAKIT_BLK_DISCARD,
					  VDPAKIT_BLK_WRITE_ZEROES };
	struct vdisk d;

	vdisk_open(&d, &kind, NO_OPTIONS);
	assert_true(vdisk_info(&d).is_read_only);
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		const struct vdpakit_blk_req req = { .op = writes[i],
						     .len_bytes = 512,
						     .buf = d.mem };

		assert_int_equal(vdpakit_blk_add(d.q, &req, 1), -EROFS);
		assert_non_null(strstr(err_text(-EROFS), "read-only"));
	}
	assert_int_equal(vdpakit_blk_read(d.q, d.mem, 512, 0), 0);
	vdisk_close(&d);
}

/* ---- ways to wait ---- */

static void test_blocking_with_and_without_polling(void **state)
{
	static const unsigned int poll_us[] = { 0, 10, 100000 };

	for (size_t i = 0; i < ARRAY_SIZE(poll_us); i++) {
		struct vdpakit_blk_done done;
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i],
			   (struct vdpakit_blk_options){ .poll_us =
								 poll_us[i] });
		for (unsigned int k = 0; k < 200; k++) {
			vdisk_round_trip(&d, k * 512ULL, 512);
		}
		/* Nothing is under way: there is nothing to wait for. */
		assert_int_equal(vdpakit_blk_wait(d.q, &done, 1, 1, -1), 0);
		vdisk_close(&d);
	}
}

static void wait_by_fd(struct vdisk *d)
{
	struct pollfd p = { .fd = vdpakit_blk_fd(d->q), .events = POLLIN };
	struct vdpakit_blk_done done;
	int ret;

	assert_int_equal(vdpakit_blk_submit(d->q), 0);
	for (;;) {
		ret = vdpakit_blk_arm(d->q);
		assert_in_range(ret, 0, 1);
		if (ret == 0) {
			assert_int_equal(poll(&p, 1, -1), 1);
		}
		ret = vdpakit_blk_poll(d->q, &done, 1);
		assert_in_range(ret, 0, 1);
		if (ret == 1) {
			assert_int_equal(done.result, 0);
			return;
		}
	}
}

static void test_waiting_by_fd(void **state)
{
	for (size_t i = 0; i < vdisk_n_kinds; i++) {
		const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH };
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i], NO_OPTIONS);
		for (unsigned int k = 0; k < 200; k++) {
			assert_int_equal(vdpakit_blk_add(d.q, &req, 1), 1);
			wait_by_fd(&d);
		}
		vdisk_close(&d);
	}
}

static void test_polling(void **state)
{
	const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH };
	struct vdpakit_blk_done done;
	struct vdisk d;

	vdisk_open_default(&d);
	for (unsigned int k = 0; k < 100; k++) {
		int n;

		assert_int_equal(vdpakit_blk_add(d.q, &req, 1), 1);
		assert_int_equal(vdpakit_blk_submit(d.q), 0);
		while ((n = vdpakit_blk_poll(d.q, &done, 1)) == 0) {
		}
		assert_int_equal(n, 1);
		assert_int_equal(done.result, 0);
	}
	vdisk_close(&d);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_each_kind_reads_what_was_written),
	cmocka_unit_test(test_info_is_the_devices),
	cmocka_unit_test(test_info_of_another_size),
	cmocka_unit_test(test_each_kind_takes_a_full_queue),
	cmocka_unit_test(test_queue_size_is_how_many_fit),
	cmocka_unit_test(test_nothing_is_seen_before_submit),
	cmocka_unit_test(test_pieces_of_any_length),
	cmocka_unit_test(test_long_pieces_are_cut),
	cmocka_unit_test(test_as_many_pieces_as_it_says),
	cmocka_unit_test(test_discard_and_write_zeroes),
	cmocka_unit_test(test_unmap_is_a_hint),
	cmocka_unit_test(test_null_takes_and_gives),
	cmocka_unit_test(test_a_file_has_the_bytes),
	cmocka_unit_test(test_read_only_disk),
	cmocka_unit_test(test_blocking_with_and_without_polling),
	cmocka_unit_test(test_waiting_by_fd),
	cmocka_unit_test(test_polling),
};

TEST_MAIN("virtio_blk")
