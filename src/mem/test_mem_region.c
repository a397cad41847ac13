/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of regions.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/test.h"
#include "mem/region.h"

static int new_memfd(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void assert_nothing_left(void)
{
	struct region_stats stats;

	region_get_stats(&stats);
	for (unsigned int i = 0; i < REGION_KIND_N; i++) {
		assert_true(stats.n_regions[i] == 0);
		assert_true(stats.n_bytes[i] == 0);
	}
}

static void test_mapped_survives_a_shrinking_file(void **state)
{
	int fd = new_memfd(16384);
	struct region_stats before, after;
	struct region *region;
	volatile char *va;
	char buf[8192];

	region_get_stats(&before);
	assert_int_equal(region_new_mapped(fd, 0, 16384, MEM_PERM_RW, &region),
			 0);
	va = region_va(region);
	memset(region_va(region), 'x', 16384);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_false(region_is_poisoned(region));
	assert_int_equal(va[4095], 'x');
	assert_false(region_is_poisoned(region));
	assert_int_equal(va[8192], 0);
	assert_true(region_is_poisoned(region));
	va[12288] = 'y';
	assert_int_equal(va[12288], 'y');
	assert_int_equal(region_read(region, 0, buf, sizeof(buf)), 0);
	assert_int_equal(buf[4095], 'x');
	assert_int_equal(buf[4096], 0);
	region_get_stats(&after);
	assert_true(after.n_sigbus - before.n_sigbus == 2);
	region_unref(region);
	close(fd);
	assert_nothing_left();
}

static void test_foreign_reads_our_own_memory(void **state)
{
	struct foreign_mem *fm;
	struct region *region;
	char there[64] = "there", back[64];

	assert_int_equal(
		foreign_mem_new(open("/proc/self/mem", O_RDWR | O_CLOEXEC),
				&fm),
		0);
	assert_int_equal(region_new_foreign(fm, (uintptr_t)there, sizeof(there),
					    &region),
			 0);
	foreign_mem_unref(fm);
	assert_null(region_va(region));
	assert_int_equal(region_read(region, 0, back, sizeof(back)), 0);
	assert_string_equal(back, "there");
	assert_int_equal(region_write(region, 1, "HE", 2), 0);
	assert_string_equal(there, "tHEre");
	assert_int_equal(region_read(region, 1, back, sizeof(back)), -EFAULT);
	region_unref(region);
	assert_nothing_left();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_mapped_survives_a_shrinking_file),
	cmocka_unit_test(test_foreign_reads_our_own_memory),
};

TEST_MAIN("mem_region")
