/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of reading /proc/PID/maps.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/test.h"
#include "mem/maps.h"

static void read_maps(const char *text, size_t len, struct maps_reader *reader)
{
	int fd = memfd_create("maps", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, len), 0);
	maps_reader_init(reader, fd);
}

static void test_maps_reads_the_head_of_lines(void **state)
{
	static const char text[] =
		"1000-2000 rw-s 00003000 00:01 2056   /memfd:a (deleted)\n"
		"2000-3000 r-xp 00000000 fe:10 18446744073709551615 /odd n\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [v]";
	struct maps_reader r;
	struct vma v;

	read_maps(text, sizeof(text) - 1, &r);
	assert_int_equal(maps_next(&r, &v), 1);
	assert_true(v.start == 0x1000 && v.last == 0x1fff);
	assert_true(v.is_readable && v.is_writable && v.is_shared);
	assert_true(v.offset == 0x3000 && v.ino == 2056);
	assert_int_equal(maps_next(&r, &v), 1);
	assert_true(v.is_readable && !v.is_writable && !v.is_shared);
	assert_true(v.ino == UINT64_MAX);
	assert_int_equal(maps_next(&r, &v), 1);
	assert_true(v.start == 0xffffffffff600000);
	assert_int_equal(maps_next(&r, &v), 0);
	close(r.fd);
}

static void test_maps_refuses_odd_lines(void **state)
{
	static const char *const bad[] = {
		"\n",
		"x\n",
		"1000\n",
		"1000-\n",
		"1000-2000\n",
		"1000-2000 rw\n",
		"1000-2000 rw-s\n",
		"1000-2000 rw-s 0 0:0\n",
		"1000-2000 rw-s 0 0:0 x\n",
		"2000-1000 rw-s 0 0:0 0\n",
		"1000-1000 rw-s 0 0:0 0\n",
		"10000000000000000-2 rw-s 0 0:0 0\n",
		"1000-2000 rw-s 0 100000000:0 0\n",
		"1000-2000 rw-s 0 0:0 18446744073709551616\n",
		"1000-2000 rw-s 0 0 0:0\n",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct maps_reader r;
		struct vma v;

		read_maps(bad[i], strlen(bad[i]), &r);
		assert_int_equal(maps_next(&r, &v), -EPROTO);
		close(r.fd);
	}
}

static void test_maps_passes_long_names(void **state)
{
	static const char head[] = "1000-2000 rw-s 0 0:1 5 /";
	static const char next[] = "\n3000-4000 rw-s 0 0:1 6";
	size_t len = sizeof(head) - 1 + 20000 + sizeof(next) - 1;
	char *text = malloc(len);
	struct maps_reader r;
	struct vma v;

	assert_non_null(text);
	memset(text, 'n', len);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + len - (sizeof(next) - 1), next, sizeof(next) - 1);
	read_maps(text, len, &r);
	assert_int_equal(maps_next(&r, &v), 1);
	assert_int_equal(v.ino, 5);
	assert_int_equal(maps_next(&r, &v), 1);
	assert_int_equal(v.ino, 6);
	assert_int_equal(maps_next(&r, &v), 0);
	close(r.fd);
	free(text);
}

static void test_maps_refuses_what_never_ends(void **state)
{
	int fd = memfd_create("maps", MFD_CLOEXEC);
	struct maps_reader r;
	struct vma v;

	/* A terabyte of zeroes, no newline among them. */
	assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
	maps_reader_init(&r, fd);
	assert_int_equal(maps_next(&r, &v), -EPROTO);
	close(fd);
}

static void test_maps_cuts_what_overlaps(void **state)
{
	static const char text[] = "1000-3000 rw-s 0 0:1 5\n"
				   "1000-2000 rw-s 0 0:1 6\n"
				   "2000-5000 rw-s 7000 0:1 7\n"
				   "0-ffffffffffffffff rw-s 0 0:1 8\n"
				   "0-ffffffffffffffff rw-s 0 0:1 9\n";
	struct maps_reader r;
	struct vma v;

	read_maps(text, sizeof(text) - 1, &r);
	assert_int_equal(maps_next(&r, &v), 1);
	assert_int_equal(maps_next(&r, &v), 1);
	assert_true(v.ino == 7 && v.start == 0x3000 && v.offset == 0x8000);
	assert_int_equal(maps_next(&r, &v), 1);
	assert_true(v.ino == 8 && v.start == 0x5000 && v.offset == 0x5000);
	assert_true(v.last == UINT64_MAX - 1);
	assert_int_equal(maps_next(&r, &v), 0);
	close(r.fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_maps_reads_the_head_of_lines),
	cmocka_unit_test(test_maps_refuses_odd_lines),
	cmocka_unit_test(test_maps_passes_long_names),
	cmocka_unit_test(test_maps_refuses_what_never_ends),
	cmocka_unit_test(test_maps_cuts_what_overlaps),
};

TEST_MAIN("mem_maps")
