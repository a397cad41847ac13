/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of copying through an IOTLB.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/test_mem_rig.h"

static void test_read_write_cross_entries(void **state)
{
	struct iotlb *tlb = new_tlb(8);
	struct region *region = new_region();
	struct iotlb_snap *snap;
	char buf[64], back[64];

	for (unsigned int i = 0; i < sizeof(buf); i++) {
		buf[i] = (char)(i * 7 + 1);
	}
	assert_int_equal(iotlb_map(tlb, 100, 109, region, 1000, 3), 0);
	assert_int_equal(iotlb_map(tlb, 110, 110, region, 3000, 3), 0);
	assert_int_equal(iotlb_map(tlb, 111, 200, region, 0, 3), 0);
	snap = iotlb_snapshot(tlb);
	assert_int_equal(mem_write(snap, 105, buf, sizeof(buf)), 0);
	assert_memory_equal(memory + 1005, buf, 5);
	assert_int_equal(memory[3000], buf[5]);
	assert_memory_equal(memory, buf + 6, sizeof(buf) - 6);
	assert_int_equal(mem_read(snap, 105, back, sizeof(back)), 0);
	assert_memory_equal(back, buf, sizeof(buf));
	assert_int_equal(mem_read(snap, 99, back, 2), -EFAULT);
	assert_int_equal(mem_read(snap, 200, back, 2), -EFAULT);
	assert_int_equal(mem_read(snap, UINT64_MAX, back, 2), -EFAULT);
	iotlb_snap_unref(snap);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

static void test_copy_checks_all_before_it_copies(void **state)
{
	struct iotlb *tlb = new_tlb(8);
	struct region *region = new_region();
	struct iotlb_snap *snap;
	char buf[30], back[30];

	memset(memory, 'm', 300);
	memset(buf, 'b', sizeof(buf));
	assert_int_equal(iotlb_map(tlb, 0, 9, region, 0, MEM_PERM_RW), 0);
	assert_int_equal(iotlb_map(tlb, 10, 19, region, 10, MEM_PERM_RO), 0);
	assert_int_equal(iotlb_map(tlb, 20, 29, region, 20, MEM_PERM_WO), 0);
	assert_int_equal(iotlb_map(tlb, 40, 49, region, 40, 0), 0);
	snap = iotlb_snapshot(tlb);
	assert_int_equal(mem_write(snap, 0, buf, 11), -EFAULT);
	assert_int_equal(memory[0], 'm');
	assert_int_equal(mem_write(snap, 20, buf, 11), -EFAULT);
	assert_int_equal(memory[20], 'm');
	memset(back, '-', sizeof(back));
	assert_int_equal(mem_read(snap, 0, back, 21), -EFAULT);
	assert_int_equal(back[0], '-');
	assert_int_equal(mem_read(snap, 40, back, 1), -EFAULT);
	assert_int_equal(mem_write(snap, 40, back, 1), -EFAULT);
	assert_int_equal(mem_read(snap, 0, back, 20), 0);
	assert_int_equal(mem_write(snap, 20, buf, 10), 0);
	assert_int_equal(memory[29], 'b');
	assert_int_equal(mem_read(snap, 0, back, SIZE_MAX), -EFAULT);
	assert_int_equal(mem_read(snap, 30, NULL, 0), 0);
	iotlb_snap_unref(snap);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

/* One range over the three kinds, in pieces of an odd size. */
static void test_copy_crosses_kinds(void **state)
{
	static char far_away[7] = "......";
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct iotlb *tlb = new_tlb(8);
	struct region *regions[REGION_KIND_N];
	struct foreign_mem *fm;
	struct iotlb_snap *snap;
	char back[21];

	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(
		foreign_mem_new(open("/proc/self/mem", O_RDWR | O_CLOEXEC),
				&fm),
		0);
	regions[0] = new_region();
	assert_int_equal(region_new_mapped(fd, 3, 7, MEM_PERM_RW, &regions[1]),
			 0);
	assert_int_equal(
		region_new_foreign(fm, (uintptr_t)far_away, 7, &regions[2]), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(iotlb_map(tlb, 1000 + 7 * i, 1006 + 7 * i,
					   regions[i], 0, 3),
				 0);
		region_unref(regions[i]);
	}
	snap = iotlb_snapshot(tlb);
	assert_int_equal(mem_write(snap, 1000, "abcdefghijklmnopqrstu", 21), 0);
	assert_memory_equal(memory, "abcdefg", 7);
	assert_int_equal(pread(fd, back, 7, 3), 7);
	assert_memory_equal(back, "hijklmn", 7);
	assert_memory_equal(far_away, "opqrstu", 7);
	assert_int_equal(mem_read(snap, 1000, back, 21), 0);
	assert_memory_equal(back, "abcdefghijklmnopqrstu", 21);
	iotlb_snap_unref(snap);
	iotlb_free(tlb);
	foreign_mem_unref(fm);
	close(fd);
	assert_nothing_left();
}

static void test_numbers_are_copied_at_any_alignment(void **state)
{
	struct iotlb *tlb = new_tlb(1);
	struct region *region = new_region();
	struct iotlb_snap *snap;

	assert_int_equal(iotlb_map(tlb, 0, 63, region, 0, MEM_PERM_RW), 0);
	snap = iotlb_snapshot(tlb);
	for (unsigned int len = 0; len <= 9; len++) {
		for (unsigned int at = 0; at < 16; at++) {
			char back[9];

			memset(memory, 0, 64);
			assert_int_equal(mem_write(snap, at, "123456789", len),
					 0);
			assert_memory_equal(memory + at, "123456789", len);
			assert_int_equal(memory[at + len], 0);
			assert_int_equal(mem_read(snap, at, back, len), 0);
			assert_memory_equal(back, "123456789", len);
		}
	}
	iotlb_snap_unref(snap);
	iotlb_free(tlb);
	region_unref(region);
	assert_nothing_left();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_read_write_cross_entries),
	cmocka_unit_test(test_copy_checks_all_before_it_copies),
	cmocka_unit_test(test_copy_crosses_kinds),
	cmocka_unit_test(test_numbers_are_copied_at_any_alignment),
};

TEST_MAIN("mem_copy")
