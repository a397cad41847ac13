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

#include "lib/oom.h"
#include "mem/iotlb.h"
#include "mem/test_child.h"

#define PAGE 4096UL

static int new_memfd(size_t size)
{
	int fd = memfd_create("vdpakit-region", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* Return: mappings of this process that are of new_memfd()'s files */
static unsigned int count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		n += strstr(line, "memfd:vdpakit-region") != NULL;
	}
	fclose(f);
	return n;
}

static struct foreign_mem *new_own_mem(void)
{
	struct foreign_mem *fm;

	assert_int_equal(
		foreign_mem_new(open("/proc/self/mem", O_RDWR | O_CLOEXEC),
				&fm),
		0);
	return fm;
}

static void count_release(void *priv)
{
	(*(unsigned int *)priv)++;
}

/* ---- own ---- */

static void test_own_is_released_once(void **state)
{
	unsigned int n_released = 0;
	struct region_stats stats;
	struct region *region;
	char bytes[16] = "0123456789abcde", back[4];

	assert_int_equal(region_new_own(bytes, sizeof(bytes), count_release,
					&n_released, &region),
			 0);
	region_get_stats(&stats);
	assert_true(stats.n_regions[REGION_OWN] == 1);
	assert_true(stats.n_bytes[REGION_OWN] == 16);
	assert_int_equal(region_kind(region), REGION_OWN);
	assert_int_equal(region_perm(region), MEM_PERM_RW);
	assert_true(region_size(region) == 16);
	assert_ptr_equal(region_va(region), bytes);
	assert_false(region_is_poisoned(region));
	assert_int_equal(region_read(region, 12, back, 4), 0);
	assert_string_equal(back, "cde");
	assert_int_equal(region_write(region, 0, "x", 1), 0);
	assert_int_equal(bytes[0], 'x');
	assert_ptr_equal(region_ref(region), region);
	assert_null(region_unref(region));
	assert_int_equal(n_released, 0);
	assert_null(region_unref(region));
	assert_int_equal(n_released, 1);
	assert_null(region_unref(NULL));
	check_no_regions();
}

static void test_copies_stay_in_the_region(void **state)
{
	struct region *region;
	char bytes[16], buf[32];

	assert_int_equal(
		region_new_own(bytes, sizeof(bytes), NULL, NULL, &region), 0);
	assert_int_equal(region_read(region, 0, buf, 16), 0);
	assert_int_equal(region_read(region, 16, buf, 0), 0);
	assert_int_equal(region_read(region, 0, buf, 17), -EFAULT);
	assert_int_equal(region_read(region, 16, buf, 1), -EFAULT);
	assert_int_equal(region_read(region, UINT64_MAX, buf, 2), -EFAULT);
	assert_int_equal(region_read(region, 2, buf, SIZE_MAX), -EFAULT);
	assert_int_equal(region_write(region, 1, buf, 16), -EFAULT);
	assert_int_equal(region_write(region, UINT64_MAX, buf, 1), -EFAULT);
	region_unref(region);
	check_no_regions();
}

static void test_nonsense_is_refused(void **state)
{
	struct foreign_mem *fm = new_own_mem();
	int fd = new_memfd(PAGE), pipes[2];
	struct region *region;
	char byte;

	assert_int_equal(region_new_own(NULL, 1, NULL, NULL, &region), -EINVAL);
	assert_int_equal(region_new_own(&byte, 0, NULL, NULL, &region),
			 -EINVAL);
	assert_int_equal(region_new_own(&byte, UINT64_MAX, NULL, NULL, &region),
			 -EINVAL);
	assert_int_equal(region_new_mapped(fd, 0, 0, 3, &region), -EINVAL);
	assert_int_equal(region_new_mapped(fd, 0, UINT64_MAX, 3, &region),
			 -EINVAL);
	assert_int_equal(region_new_mapped(fd, UINT64_MAX, 1, 3, &region),
			 -EINVAL);
	assert_int_equal(region_new_mapped(fd, INT64_MAX, 1, 3, &region),
			 -EINVAL);
	assert_int_equal(region_new_mapped(fd, INT64_MAX - 1, INT64_MAX, 3,
					   &region),
			 -EINVAL);
	assert_int_equal(region_new_mapped(fd, 0, 1ULL << 56, 3, &region),
			 -ENOMEM);
	assert_int_equal(region_new_mapped(-1, 0, 1, 3, &region), -EBADF);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(region_new_mapped(pipes[0], 0, 1, 1, &region),
			 -EACCES);
	assert_int_equal(region_new_foreign(fm, 1, 0, &region), -EINVAL);
	assert_int_equal(region_new_foreign(fm, 1, UINT64_MAX, &region),
			 -EINVAL);
	assert_int_equal(region_new_foreign(fm, UINT64_MAX, 1, &region),
			 -EINVAL);
	check_no_regions();
	foreign_mem_unref(fm);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- mapped ---- */

static void test_mapped_is_the_file(void **state)
{
	int fd = new_memfd(5 * PAGE);
	struct region_stats stats;
	struct region *region;
	char back[8];

	assert_int_equal(region_new_mapped(fd, PAGE - 3, 2 * PAGE, MEM_PERM_RW,
					   &region),
			 0);
	region_get_stats(&stats);
	assert_true(stats.n_regions[REGION_MAPPED] == 1);
	assert_true(stats.n_bytes[REGION_MAPPED] == 2 * PAGE);
	assert_int_equal(region_kind(region), REGION_MAPPED);
	assert_int_equal((uintptr_t)region_va(region) % PAGE, PAGE - 3);
	assert_int_equal(region_write(region, 1, "hello", 5), 0);
	assert_int_equal(pread(fd, back, 5, PAGE - 2), 5);
	assert_memory_equal(back, "hello", 5);
	assert_int_equal(pwrite(fd, "end", 3, 3 * PAGE - 6), 3);
	assert_int_equal(region_read(region, 2 * PAGE - 3, back, 3), 0);
	assert_memory_equal(back, "end", 3);
	close(fd);
	assert_int_equal(region_read(region, 1, back, 5), 0);
	assert_memory_equal(back, "hello", 5);
	assert_int_equal(count_mappings(), 1);
	region_unref(region);
	assert_int_equal(count_mappings(), 0);
	check_no_regions();
}

static void test_mapped_read_only_is_not_written(void **state)
{
	int fd = new_memfd(PAGE), ro_fd;
	struct region *region;
	struct iotlb *tlb;
	char path[32], byte = 'x';

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro_fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro_fd >= 0);
	assert_int_equal(region_new_mapped(ro_fd, 0, PAGE, MEM_PERM_WO,
					   &region),
			 -EACCES);
	assert_int_equal(region_new_mapped(ro_fd, 0, PAGE, MEM_PERM_RW,
					   &region),
			 -EACCES);
	assert_int_equal(
		region_new_mapped(ro_fd, 0, PAGE, MEM_PERM_RO, &region), 0);
	assert_int_equal(region_perm(region), MEM_PERM_RO);
	assert_int_equal(region_read(region, 0, &byte, 1), 0);
	assert_int_equal(region_write(region, 0, &byte, 1), -EFAULT);
	assert_int_equal(iotlb_new(4, &tlb), 0);
	assert_int_equal(iotlb_map(tlb, 0, 9, region, 0, MEM_PERM_RW), -EINVAL);
	assert_int_equal(iotlb_map(tlb, 0, 9, region, 0, MEM_PERM_WO), -EINVAL);
	assert_int_equal(iotlb_map(tlb, 0, 9, region, 0, MEM_PERM_RO), 0);
	iotlb_free(tlb);
	region_unref(region);
	/* A client may seal its file against us. */
	close(fd);
	fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(region_new_mapped(fd, 0, PAGE, MEM_PERM_RW, &region),
			 -EPERM);
	close(fd);
	close(ro_fd);
	check_no_regions();
}

static void test_file_region_knows_its_file(void **state)
{
	int fd = memfd_create("vdpakit-region", MFD_CLOEXEC), ours;
	struct region *region, *other;
	struct mem_file *file;
	uint64_t offset;

	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(mem_file_new(ours, &file), 0);
	assert_int_equal(region_new_file(file, 7, 9, MEM_PERM_RW, &region), 0);
	assert_int_equal(region_new_file(file, PAGE, 1, MEM_PERM_RO, &other),
			 0);
	assert_int_equal(region_new_file(file, 0, 0, MEM_PERM_RO, &other),
			 -EINVAL);
	assert_null(mem_file_unref(file));
	assert_int_equal(region_file_fd(other, &offset), ours);
	assert_int_equal(offset, PAGE);
	region_unref(other);
	assert_int_equal(region_file_fd(region, &offset), ours);
	assert_int_equal(offset, 7);
	assert_int_equal(pwrite(fd, "seen", 4, 7), 4);
	assert_memory_equal(region_va(region), "seen", 4);
	region_unref(region);
	assert_int_equal(fcntl(ours, F_GETFD), -1);
	/* One that borrowed its descriptor knows of none. */
	assert_int_equal(region_new_mapped(fd, 0, 9, MEM_PERM_RW, &region), 0);
	assert_int_equal(region_file_fd(region, &offset), -1);
	region_unref(region);
	assert_null(mem_file_unref(NULL));
	close(fd);
	check_no_regions();
}

static void test_own_file_region_knows_its_file(void **state)
{
	int fd = memfd_create("vdpakit-region", MFD_CLOEXEC), ours;
	struct mem_file *file;
	struct region *region;
	uint64_t offset;
	char *va;

	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	va = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
	assert_true(va != MAP_FAILED);
	ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(mem_file_new(ours, &file), 0);
	assert_int_equal(region_new_own_file(va, 0, file, PAGE, &region),
			 -EINVAL);
	assert_int_equal(region_new_own_file(va, PAGE, file, PAGE, &region), 0);
	assert_null(mem_file_unref(file));
	assert_int_equal(region_kind(region), REGION_OWN);
	assert_ptr_equal(region_va(region), va);
	assert_int_equal(region_file_fd(region, &offset), ours);
	assert_int_equal(offset, PAGE);
	region_unref(region);
	assert_int_equal(fcntl(ours, F_GETFD), -1);
	/* The mapping is not the region's. */
	va[0] = 1;
	munmap(va, PAGE);
	close(fd);
	check_no_regions();
}

static void test_mapped_huge_pages(void **state)
{
	int fd = memfd_create("vdpakit-region", MFD_CLOEXEC | MFD_HUGETLB);
	const size_t huge = 2UL << 20;
	struct region *region = NULL;
	char back[8];

	if (fd < 0 || ftruncate(fd, (off_t)(2 * huge)) < 0 ||
	    region_new_mapped(fd, huge - 2, 5, MEM_PERM_RW, &region) < 0) {
		close(fd);
		TEST_SKIP("no free huge pages of 2 MB");
	}
	assert_int_equal(region_write(region, 0, "huge!", 5), 0);
	assert_int_equal(region_read(region, 2, back, 3), 0);
	assert_memory_equal(back, "ge!", 3);
	assert_false(region_is_poisoned(region));
	assert_int_equal(count_mappings(), 1);
	assert_int_equal(ftruncate(fd, (off_t)huge), 0);
	assert_int_equal(region_read(region, 0, back, 5), 0);
	assert_memory_equal(back, "hu\0\0\0", 5);
	assert_true(region_is_poisoned(region));
	region_unref(region);
	assert_int_equal(count_mappings(), 0);
	close(fd);
	check_no_regions();
}

/* ---- foreign ---- */

static void test_foreign_reads_and_writes(void **state)
{
	struct foreign_mem *fm = new_own_mem();
	struct region_stats stats;
	struct region *region;
	char there[64] = "there", back[64];

	assert_int_equal(region_new_foreign(fm, (uintptr_t)there, sizeof(there),
					    &region),
			 0);
	foreign_mem_unref(fm);
	region_get_stats(&stats);
	assert_true(stats.n_regions[REGION_FOREIGN] == 1);
	assert_true(stats.n_bytes[REGION_FOREIGN] == 64);
	assert_null(region_va(region));
	assert_int_equal(region_kind(region), REGION_FOREIGN);
	assert_int_equal(region_read(region, 0, back, sizeof(back)), 0);
	assert_string_equal(back, "there");
	assert_int_equal(region_write(region, 1, "HE", 2), 0);
	assert_string_equal(there, "tHEre");
	assert_int_equal(region_read(region, 1, back, sizeof(back)), -EFAULT);
	region_unref(region);
	assert_null(foreign_mem_unref(NULL));
	check_no_regions();
}

static void test_foreign_fails_where_nothing_is(void **state)
{
	struct foreign_mem *fm = new_own_mem();
	char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char buf[16] = "fifteen letters";

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(munmap(at + PAGE, PAGE), 0);
	/* It begins well: the kernel copies some, then none. */
	assert_int_equal(foreign_mem_write(fm, (uintptr_t)at + PAGE - 8, buf,
					   16),
			 -EFAULT);
	assert_int_equal(foreign_mem_read(fm, (uintptr_t)at + PAGE - 8, buf,
					  16),
			 -EFAULT);
	assert_int_equal(foreign_mem_read(fm, (uintptr_t)at + PAGE - 8, buf, 8),
			 0);
	assert_memory_equal(buf, "fifteen ", 8);
	assert_int_equal(foreign_mem_read(fm, 0, buf, 1), -EFAULT);
	assert_int_equal(foreign_mem_read(fm, INT64_MAX, buf, 1), -EFAULT);
	assert_int_equal(foreign_mem_read(fm, INT64_MAX - 1ULL, buf, 16),
			 -EFAULT);
	assert_int_equal(foreign_mem_read(fm, UINT64_MAX, buf, 1), -EFAULT);
	assert_int_equal(foreign_mem_write(fm, UINT64_MAX - 15, buf, 16),
			 -EFAULT);
	assert_int_equal(foreign_mem_read(fm, UINT64_MAX, buf, 0), -EFAULT);
	foreign_mem_unref(fm);
	assert_int_equal(munmap(at, PAGE), 0);
}

static void test_foreign_without_a_file_fails(void **state)
{
	struct foreign_mem *fm;
	char byte;

	assert_int_equal(foreign_mem_new(-1, &fm), 0);
	assert_int_equal(foreign_mem_read(fm, (uintptr_t)&byte, &byte, 1),
			 -EFAULT);
	assert_int_equal(foreign_mem_write(fm, (uintptr_t)&byte, &byte, 1),
			 -EFAULT);
	foreign_mem_unref(fm);
}

/* A plain file stands in: it gives less than is asked for, then nothing. */
static void test_foreign_short_transfer_is_continued(void **state)
{
	int fd = new_memfd(PAGE);
	struct foreign_mem *fm;
	char buf[16] = "";

	assert_int_equal(pwrite(fd, "the last", 8, PAGE - 8), 8);
	assert_int_equal(foreign_mem_new(fd, &fm), 0);
	assert_int_equal(foreign_mem_read(fm, PAGE - 8, buf, 16), -EFAULT);
	assert_memory_equal(buf, "the last", 8);
	assert_int_equal(foreign_mem_read(fm, PAGE, buf, 1), -EFAULT);
	foreign_mem_unref(fm);
}

/* ---- allocation failure ---- */

static int new_each_kind(void *priv)
{
	struct foreign_mem *fm = NULL;
	struct region *regions[REGION_KIND_N] = { NULL };
	int fd = *(int *)priv, ret;
	char byte;

	oom_begin();
	ret = region_new_own(&byte, 1, NULL, NULL, &regions[0]);
	if (ret == 0) {
		ret = region_new_mapped(fd, 0, 1, MEM_PERM_RW, &regions[1]);
	}
	if (ret == 0) {
		ret = foreign_mem_new(dup(fd), &fm);
	}
	if (ret == 0) {
		ret = region_new_foreign(fm, 0, 1, &regions[2]);
	}
	oom_end();
	for (unsigned int i = 0; i < REGION_KIND_N; i++) {
		region_unref(regions[i]);
	}
	foreign_mem_unref(fm);
	check_no_regions();
	assert_int_equal(count_mappings(), 0);
	return ret;
}

static void test_no_memory_makes_no_region(void **state)
{
	int fd = new_memfd(PAGE);

	assert_int_equal(oom_check(new_each_kind, &fd), 4);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_own_is_released_once),
	cmocka_unit_test(test_copies_stay_in_the_region),
	cmocka_unit_test(test_nonsense_is_refused),
	cmocka_unit_test(test_mapped_is_the_file),
	cmocka_unit_test(test_mapped_read_only_is_not_written),
	cmocka_unit_test(test_file_region_knows_its_file),
	cmocka_unit_test(test_own_file_region_knows_its_file),
	cmocka_unit_test(test_mapped_huge_pages),
	cmocka_unit_test(test_foreign_reads_and_writes),
	cmocka_unit_test(test_foreign_fails_where_nothing_is),
	cmocka_unit_test(test_foreign_without_a_file_fails),
	cmocka_unit_test(test_foreign_short_transfer_is_continued),
	cmocka_unit_test(test_no_memory_makes_no_region),
};

TEST_MAIN("mem_region")
