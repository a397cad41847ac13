/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of a client's memory, with a forked child as the client.
 *
 * What needs privilege (/proc/PID/map_files) is expected when there is
 * privilege and expected to be missing when there is not; a test that runs as
 * root runs as nobody, too.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/oom.h"
#include "lib/test.h"
#include "mem/test_child.h"

#define PAGE 4096UL

/* ---- helpers ---- */

/*
 * May we open what another process has in /proc/PID/map_files? It takes a
 * privilege even to open one's own.
 */
static bool has_map_files(void)
{
	void *at =
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[80];
	int fd;

	CHECK(at != MAP_FAILED);
	(void)snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		       (unsigned long)at, (unsigned long)at + PAGE);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	close(fd);
	CHECK(munmap(at, PAGE) == 0);
	return fd >= 0;
}

static enum region_kind kind_by_map_files(void)
{
	return has_map_files() ? REGION_MAPPED : REGION_FOREIGN;
}

/* ---- what is behind memory ---- */

static void body_memfd(void)
{
	struct region *region;
	struct child c;
	uint64_t at;
	int fd;

	child_start(&c);
	fd = child_memfd(&c, 8 * PAGE);
	at = child_map(&c, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	CHECK(resolve_one(&c, at + 5000, 12345, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == REGION_MAPPED);
	check_is_memory_of(region, &c, at + 5000);
	/* The file is known now, and the region has what it needs. */
	child_close(&c, fd);
	check_is_memory_of(region, &c, at + 5000);
	region_unref(region);
	CHECK(resolve_one(&c, at, 1, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == REGION_MAPPED);
	check_is_memory_of(region, &c, at);
	child_stop(&c);
	region_unref(region);
}

static void test_memfd_is_mapped(void **state)
{
	forked_run_both_ways(body_memfd);
}

static void body_unlinked_shm(void)
{
	char path[64];
	struct region *region;
	struct child c;
	uint64_t at;
	long fd;

	/* The child takes the path from its copy of our stack. */
	(void)snprintf(path, sizeof(path), "/dev/shm/vdpakit-test-%d",
		       getpid());
	child_start(&c);
	fd = child_syscall(&c, SYS_openat, AT_FDCWD, (long)path,
			   O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	CHECK(child_syscall(&c, SYS_ftruncate, fd, 4 * PAGE) == 0);
	at = child_map(&c, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       (int)fd);
	CHECK(unlink(path) == 0);
	child_close(&c, (int)fd);
	CHECK(resolve_one(&c, at + 1, 4 * PAGE - 1, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == kind_by_map_files());
	check_is_memory_of(region, &c, at + 1);
	region_unref(region);
	child_stop(&c);
}

static void test_unlinked_shm_is_found_by_map_files(void **state)
{
	forked_run_both_ways(body_unlinked_shm);
}

static void body_shared_anon(void)
{
	struct region *region;
	struct child c;
	uint64_t at;

	child_start(&c);
	at = child_map(&c, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, -1);
	CHECK(resolve_one(&c, at + PAGE, PAGE, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == kind_by_map_files());
	check_is_memory_of(region, &c, at + PAGE);
	region_unref(region);
	child_stop(&c);
}

static void test_shared_anon_is_found_by_map_files(void **state)
{
	forked_run_both_ways(body_shared_anon);
}

static void body_private_anon(void)
{
	struct region *region;
	struct child c;
	uint64_t at;

	child_start(&c);
	at = child_map(&c, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
	CHECK(resolve_one(&c, at + 7, 3 * PAGE, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == REGION_FOREIGN);
	CHECK(region_va(region) == NULL);
	check_is_memory_of(region, &c, at + 7);
	region_unref(region);
	child_stop(&c);
}

static void test_private_anon_is_foreign(void **state)
{
	forked_run_both_ways(body_private_anon);
}

static void body_private_file(void)
{
	struct region *region;
	struct child c;
	uint64_t at;
	char got;
	int fd;

	child_start(&c);
	fd = child_memfd(&c, PAGE);
	at = child_map(&c, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == REGION_FOREIGN);
	check_is_memory_of(region, &c, at);
	/* A private copy: the file has none of it. */
	CHECK(child_syscall(&c, SYS_pread64, fd, (long)at, 1, PAGE / 3) == 1);
	got = child_peek(&c, at);
	CHECK(got == 0);
	region_unref(region);
	child_stop(&c);
}

static void test_private_file_is_foreign(void **state)
{
	forked_run_both_ways(body_private_file);
}

static void body_pieces(void)
{
	const size_t whole = 10 * PAGE;
	struct client_piece p[8];
	struct child c;
	uint64_t at;
	int fd;

	child_start(&c);
	fd = child_memfd(&c, 4 * PAGE);
	at = child_map(&c, whole, PROT_NONE, MAP_PRIVATE, -1);
	/* 2 private of two kinds, 1 hole, 4 of the file as 2 VMAs, 3 private */
	CHECK(child_syscall(&c, SYS_mprotect, (long)at, PAGE,
			    PROT_READ | PROT_WRITE) == 0);
	CHECK(child_syscall(&c, SYS_mprotect, (long)(at + PAGE), PAGE,
			    PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
	CHECK(child_syscall(&c, SYS_munmap, (long)(at + 2 * PAGE), PAGE) == 0);
	CHECK(child_syscall(&c, SYS_mmap, (long)(at + 3 * PAGE), 4 * PAGE,
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			    0) == (long)(at + 3 * PAGE));
	CHECK(child_syscall(&c, SYS_mprotect, (long)(at + 3 * PAGE), PAGE,
			    PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
	CHECK(child_syscall(&c, SYS_mprotect, (long)(at + 7 * PAGE), 3 * PAGE,
			    PROT_READ | PROT_WRITE) == 0);

	CHECK(client_mem_resolve(c.cm, at + 1, whole - 2, MEM_PERM_RW, p, 8) ==
	      3);
	CHECK(p[0].uaddr == at + 1 && p[0].size == 2 * PAGE - 1);
	CHECK(region_kind(p[0].region) == REGION_FOREIGN);
	CHECK(p[1].uaddr == at + 3 * PAGE && p[1].size == 4 * PAGE);
	CHECK(region_kind(p[1].region) == REGION_MAPPED);
	CHECK(p[2].uaddr == at + 7 * PAGE && p[2].size == 3 * PAGE - 1);
	CHECK(region_kind(p[2].region) == REGION_FOREIGN);
	for (unsigned int i = 0; i < 3; i++) {
		CHECK(region_size(p[i].region) == p[i].size);
		check_is_memory_of(p[i].region, &c, p[i].uaddr);
		region_unref(p[i].region);
	}
	CHECK(client_mem_resolve(c.cm, at, whole, MEM_PERM_RW, p, 2) == -E2BIG);
	CHECK(client_mem_resolve(c.cm, at, whole, MEM_PERM_RW, p, 0) == -E2BIG);
	check_no_regions();
	/* A hole parts what is foreign on both sides. */
	CHECK(child_syscall(&c, SYS_munmap, (long)(at + 2 * PAGE), 5 * PAGE) ==
	      0);
	CHECK(client_mem_resolve(c.cm, at, whole, MEM_PERM_RW, p, 8) == 2);
	CHECK(p[0].uaddr == at && p[0].size == 2 * PAGE);
	CHECK(p[1].uaddr == at + 7 * PAGE && p[1].size == 3 * PAGE);
	region_unref(p[0].region);
	region_unref(p[1].region);
	/* The hole alone is nothing, and no error. */
	CHECK(client_mem_resolve(c.cm, at + 2 * PAGE, PAGE, MEM_PERM_RW, p,
				 8) == 0);
	child_stop(&c);
}

static void test_pieces_follow_the_mappings(void **state)
{
	forked_run_both_ways(body_pieces);
}

/* The same file twice in a row, but not in the order of its bytes. */
static void body_file_out_of_order(void)
{
	struct client_piece p[4];
	struct child c;
	uint64_t at;
	int fd;

	child_start(&c);
	fd = child_memfd(&c, 2 * PAGE);
	at = child_map(&c, 2 * PAGE, PROT_NONE, MAP_PRIVATE, -1);
	for (unsigned int i = 0; i < 2; i++) {
		CHECK(child_syscall(&c, SYS_mmap, (long)(at + i * PAGE), PAGE,
				    PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_FIXED, fd,
				    (1 - i) * PAGE) == (long)(at + i * PAGE));
	}
	CHECK(client_mem_resolve(c.cm, at, 2 * PAGE, MEM_PERM_RW, p, 4) == 2);
	for (unsigned int i = 0; i < 2; i++) {
		CHECK(region_kind(p[i].region) == REGION_MAPPED);
		check_is_memory_of(p[i].region, &c, at + i * PAGE);
		region_unref(p[i].region);
	}
	child_stop(&c);
}

static void test_file_out_of_order_is_two_pieces(void **state)
{
	forked_run_both_ways(body_file_out_of_order);
}

/* Shared memory whose file is out of reach is foreign like its neighbour. */
static void body_unreachable_file(void)
{
	struct client_piece p[4];
	struct child c;
	uint64_t at;

	child_start_as(&c, "/proc/self/maps", 0);
	at = child_map(&c, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
	CHECK(child_syscall(&c, SYS_mmap, (long)(at + PAGE), PAGE,
			    PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
			    0) == (long)(at + PAGE));
	CHECK(client_mem_resolve(c.cm, at, 2 * PAGE, MEM_PERM_RW, p, 4) == 1);
	CHECK(p[0].uaddr == at && p[0].size == 2 * PAGE);
	CHECK(region_kind(p[0].region) == REGION_FOREIGN);
	check_is_memory_of(p[0].region, &c, at);
	region_unref(p[0].region);
	child_stop(&c);
}

static void test_unreachable_file_joins_its_neighbour(void **state)
{
	forked_run_both_ways(body_unreachable_file);
}

/* Sealed after the client mapped it: no new mapping may write. */
static void body_sealed_file(void)
{
	struct region *region;
	struct child c;
	uint64_t at;
	long fd;

	child_start(&c);
	fd = child_syscall(&c, SYS_memfd_create, (long)"vdpakit-sealed",
			   MFD_ALLOW_SEALING);
	CHECK(fd >= 0);
	CHECK(child_syscall(&c, SYS_ftruncate, fd, PAGE) == 0);
	at = child_map(&c, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd);
	CHECK(child_syscall(&c, SYS_fcntl, fd, F_ADD_SEALS,
			    F_SEAL_FUTURE_WRITE) == 0);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == REGION_FOREIGN);
	check_is_memory_of(region, &c, at);
	region_unref(region);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RO, &region) == 1);
	CHECK(region_kind(region) == REGION_MAPPED);
	region_unref(region);
	child_stop(&c);
}

static void test_file_that_mmap_refuses_is_foreign(void **state)
{
	forked_run_both_ways(body_sealed_file);
}

/* What the kernel maps into every process, and what is no regular file. */
static void body_special(void)
{
	uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
	char params[256] = ""; /* struct io_uring_params, and more */
	struct region *region;
	struct child c;
	char magic[4];
	long fd, at;

	child_start(&c);
	if (vdso != 0) {
		CHECK(resolve_one(&c, vdso, PAGE, MEM_PERM_RO, &region) == 1);
		CHECK(region_kind(region) == REGION_FOREIGN);
		CHECK(region_read(region, 0, magic, 4) == 0);
		CHECK(memcmp(magic, "\177ELF", 4) == 0);
		region_unref(region);
		CHECK(resolve_one(&c, vdso, PAGE, MEM_PERM_RW, &region) ==
		      -EFAULT);
	}
	fd = child_syscall(&c, SYS_io_uring_setup, 4, (long)params);
	if (fd >= 0) {
		at = child_syscall(&c, SYS_mmap, 0, PAGE,
				   PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		CHECK(at > 0);
		CHECK(resolve_one(&c, (uint64_t)at, PAGE, MEM_PERM_RW,
				  &region) == 1);
		CHECK(region_kind(region) == REGION_FOREIGN);
		region_unref(region);
	}
	child_stop(&c);
}

static void test_special_mappings_are_foreign(void **state)
{
	forked_run_both_ways(body_special);
}

static void body_huge_pages(void)
{
	struct region *region;
	struct child c;
	long fd, at;

	child_start(&c);
	fd = child_syscall(&c, SYS_memfd_create, (long)"vdpakit-huge",
			   MFD_HUGETLB);
	at = fd < 0 || child_syscall(&c, SYS_ftruncate, fd, 4L << 20) < 0
		     ? -1
		     : child_syscall(&c, SYS_mmap, 0, 4L << 20,
				     PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at < 0) {
		print_message("# SKIP huge pages: none of 2 MB is free\n");
	} else {
		CHECK(resolve_one(&c, (uint64_t)at + 5000, 3 << 20, MEM_PERM_RW,
				  &region) == 1);
		CHECK(region_kind(region) == REGION_MAPPED);
		check_is_memory_of(region, &c, (uint64_t)at + 5000);
		region_unref(region);
	}
	child_stop(&c);
}

static void test_huge_pages_are_mapped(void **state)
{
	forked_run_both_ways(body_huge_pages);
}

/* More files in one range than are remembered at a time. */
static void body_many_files(void)
{
	const unsigned int n = 40;
	struct client_piece p[40];
	struct child c;
	uint64_t at;

	child_start(&c);
	at = child_map(&c, n * PAGE, PROT_NONE, MAP_PRIVATE, -1);
	for (unsigned int i = 0; i < n; i++) {
		int fd = child_memfd(&c, PAGE);

		CHECK(child_syscall(&c, SYS_mmap, (long)(at + i * PAGE), PAGE,
				    PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_FIXED, fd,
				    0) == (long)(at + i * PAGE));
	}
	for (unsigned int round = 0; round < 2; round++) {
		CHECK(client_mem_resolve(c.cm, at, n * PAGE, MEM_PERM_RW, p,
					 n) == (int)n);
		for (unsigned int i = 0; i < n; i++) {
			CHECK(region_kind(p[i].region) == REGION_MAPPED);
			check_is_memory_of(p[i].region, &c, at + i * PAGE);
			region_unref(p[i].region);
		}
	}
	child_stop(&c);
}

static void test_many_files_are_told_apart(void **state)
{
	forked_run_both_ways(body_many_files);
}

/* Thousands of mappings stand before ours: the walk goes through them all. */
static void body_many_mappings(void)
{
	const unsigned int n = 4000;
	struct region *region;
	struct child c;
	uint64_t at;

	child_start(&c);
	at = child_map(&c, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
	for (unsigned int i = 0; i < n - 2; i += 2) {
		CHECK(child_syscall(&c, SYS_mprotect, (long)(at + i * PAGE),
				    PAGE, PROT_READ) == 0);
	}
	at += (n - 2) * PAGE;
	CHECK(resolve_one(&c, at, 2 * PAGE, MEM_PERM_RW, &region) == 1);
	check_is_memory_of(region, &c, at);
	region_unref(region);
	child_stop(&c);
}

static void test_many_mappings_are_read_through(void **state)
{
	forked_run(body_many_mappings, false);
}

/* ---- what may be done with it ---- */

static void body_read_only(void)
{
	struct region *region;
	struct child c;
	uint64_t at[3];
	int fd;

	child_start(&c);
	fd = child_memfd(&c, PAGE);
	at[0] = child_map(&c, PAGE, PROT_READ, MAP_SHARED, fd);
	at[1] = child_map(&c, PAGE, PROT_READ, MAP_PRIVATE, -1);
	at[2] = child_map(&c, PAGE, PROT_READ, MAP_SHARED, -1);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		CHECK(resolve_one(&c, at[i], PAGE, MEM_PERM_WO, &region) ==
		      -EFAULT);
		CHECK(resolve_one(&c, at[i], PAGE, MEM_PERM_RW, &region) ==
		      -EFAULT);
		CHECK(resolve_one(&c, at[i], PAGE, MEM_PERM_RO, &region) == 1);
		CHECK(region_kind(region) == (i == 0   ? REGION_MAPPED
					      : i == 1 ? REGION_FOREIGN
						       : kind_by_map_files()));
		region_unref(region);
		CHECK(child_syscall(&c, SYS_mprotect, (long)at[i], PAGE,
				    PROT_NONE) == 0);
		CHECK(resolve_one(&c, at[i], PAGE, MEM_PERM_RO, &region) ==
		      -EFAULT);
	}
	child_stop(&c);
}

static void test_protection_is_respected(void **state)
{
	forked_run_both_ways(body_read_only);
}

/* One mapping too strict in the middle: nothing is held of the rest. */
static void body_partly_read_only(void)
{
	struct client_piece p[4];
	struct child c;
	uint64_t at;
	int fd;

	child_start(&c);
	fd = child_memfd(&c, 3 * PAGE);
	at = child_map(&c, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	CHECK(child_syscall(&c, SYS_mmap, (long)(at + PAGE), PAGE, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			    0) == (long)(at + PAGE));
	CHECK(client_mem_resolve(c.cm, at, 3 * PAGE, MEM_PERM_RW, p, 4) ==
	      -EFAULT);
	check_no_regions();
	CHECK(client_mem_resolve(c.cm, at, 3 * PAGE, MEM_PERM_RO, p, 4) == 3);
	for (unsigned int i = 0; i < 3; i++) {
		region_unref(p[i].region);
	}
	child_stop(&c);
}

static void test_refusal_holds_nothing(void **state)
{
	forked_run_both_ways(body_partly_read_only);
}

/*
 * A client that may only read a file, mapped shared, does not get us to write
 * to it: its descriptor is not opened with a mode that it does not have.
 */
static void body_read_only_file(void)
{
	struct region *region;
	struct child c;
	uint64_t at;
	long fd;

	child_start(&c);
	fd = child_syscall(&c, SYS_openat, AT_FDCWD, (long)"/proc/self/exe",
			   O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	at = child_map(&c, PAGE, PROT_READ, MAP_SHARED, (int)fd);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RW, &region) == -EFAULT);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RO, &region) == 1);
	region_unref(region);
	child_stop(&c);
}

static void test_read_only_file_is_not_written(void **state)
{
	forked_run_both_ways(body_read_only_file);
}

static void body_strange_ranges(void)
{
	struct client_piece *p = calloc(4096, sizeof(*p));
	struct child c;
	int n;

	child_start(&c);
	CHECK(p);
	CHECK(client_mem_resolve(c.cm, 0x1000, 0, 0, p, 4096) == -EINVAL);
	CHECK(client_mem_resolve(c.cm, UINT64_MAX, 2, 0, p, 4096) == -EINVAL);
	CHECK(client_mem_resolve(c.cm, 2, UINT64_MAX, 0, p, 4096) == -EINVAL);
	CHECK(client_mem_resolve(c.cm, 0, 1, MEM_PERM_RW, p, 4096) == 0);
	CHECK(client_mem_resolve(c.cm, UINT64_MAX, 1, MEM_PERM_RW, p, 4096) ==
	      0);
	/* Everything there is; no permission is asked for. */
	n = client_mem_resolve(c.cm, 0, UINT64_MAX, 0, p, 4096);
	CHECK(n > 0);
	for (int i = 0; i < n; i++) {
		CHECK(i == 0 || p[i].uaddr > p[i - 1].uaddr);
		region_unref(p[i].region);
	}
	free(p);
	child_stop(&c);
}

static void test_strange_ranges_are_harmless(void **state)
{
	forked_run_both_ways(body_strange_ranges);
}

/* ---- allocation failure ---- */

struct oom_case {
	int maps_fd;
	int mem_fd;
	uint64_t at;
	size_t size;
};

static int resolve_once(void *priv)
{
	struct oom_case *oc = priv;
	struct client_piece p[4];
	struct client_mem *cm;
	int ret;

	oom_begin();
	ret = client_mem_new(getpid(), dup(oc->maps_fd), dup(oc->mem_fd), &cm);
	if (ret < 0) {
		oom_end();
		return ret;
	}
	ret = client_mem_resolve(cm, oc->at, oc->size, MEM_PERM_RW, p, 4);
	oom_end();
	for (int i = 0; i < ret; i++) {
		region_unref(p[i].region);
	}
	check_no_regions();
	client_mem_unref(cm);
	return ret;
}

static void body_oom(void)
{
	int fd = memfd_create("oom", MFD_CLOEXEC);
	struct oom_case oc = {
		.maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC),
		.mem_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC),
		.size = 3 * PAGE,
	};
	char *at;

	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	at = mmap(NULL, oc.size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(at != MAP_FAILED);
	CHECK(mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED, fd, 0) == at + PAGE);
	oc.at = (uintptr_t)at;
	/* The client, its foreign memory, three regions and a file. */
	CHECK(oom_check(resolve_once, &oc) == 6);
	close(fd);
	close(oc.maps_fd);
	close(oc.mem_fd);
}

static void test_no_memory_leaks_nothing(void **state)
{
	forked_run(body_oom, false);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_memfd_is_mapped),
	cmocka_unit_test(test_unlinked_shm_is_found_by_map_files),
	cmocka_unit_test(test_shared_anon_is_found_by_map_files),
	cmocka_unit_test(test_private_anon_is_foreign),
	cmocka_unit_test(test_private_file_is_foreign),
	cmocka_unit_test(test_pieces_follow_the_mappings),
	cmocka_unit_test(test_file_out_of_order_is_two_pieces),
	cmocka_unit_test(test_unreachable_file_joins_its_neighbour),
	cmocka_unit_test(test_file_that_mmap_refuses_is_foreign),
	cmocka_unit_test(test_special_mappings_are_foreign),
	cmocka_unit_test(test_huge_pages_are_mapped),
	cmocka_unit_test(test_many_files_are_told_apart),
	cmocka_unit_test(test_many_mappings_are_read_through),
	cmocka_unit_test(test_protection_is_respected),
	cmocka_unit_test(test_refusal_holds_nothing),
	cmocka_unit_test(test_read_only_file_is_not_written),
	cmocka_unit_test(test_strange_ranges_are_harmless),
	cmocka_unit_test(test_no_memory_leaks_nothing),
};

TEST_MAIN("mem_client")
