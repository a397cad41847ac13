/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the guard behind mapped files.
 *
 * A handler is installed once in a process: each test runs in one of its own.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem/sigbus.h"
#include "mem/test_child.h"

#define PAGE 4096UL

static int new_memfd(size_t size)
{
	int fd = memfd_create("vdpakit-sigbus", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static struct region *map_file(int fd, uint64_t offset, uint64_t size,
			       unsigned int perm)
{
	struct region *region;

	CHECK(region_new_mapped(fd, offset, size, perm, &region) == 0);
	return region;
}

static uint64_t n_survived(void)
{
	struct region_stats stats;

	region_get_stats(&stats);
	return stats.n_sigbus;
}

/* ---- a file that shrinks ---- */

static void body_shrinks(void)
{
	int fd = new_memfd(4 * PAGE);
	struct region *region = map_file(fd, 0, 4 * PAGE, MEM_PERM_RW);
	volatile char *va = region_va(region);
	char buf[4 * PAGE];

	memset(buf, 'x', sizeof(buf));
	CHECK(region_write(region, 0, buf, sizeof(buf)) == 0);
	CHECK(ftruncate(fd, PAGE) == 0);
	CHECK(va[PAGE - 1] == 'x');
	CHECK(!region_is_poisoned(region) && n_survived() == 0);
	/* Directly, in the middle of what is gone. */
	CHECK(va[2 * PAGE + 5] == 0);
	CHECK(region_is_poisoned(region) && n_survived() == 1);
	/* The rest went with it, without another fault. */
	CHECK(va[3 * PAGE] == 0);
	CHECK(n_survived() == 1);
	va[3 * PAGE] = 'y';
	CHECK(va[3 * PAGE] == 'y');
	/* Through the region, across the page before. */
	CHECK(region_read(region, 0, buf, sizeof(buf)) == 0);
	CHECK(buf[PAGE - 1] == 'x' && buf[PAGE] == 0 && buf[3 * PAGE] == 'y');
	CHECK(n_survived() == 2);
	/* It grows again: what is lost stays lost. */
	CHECK(ftruncate(fd, 4 * PAGE) == 0);
	CHECK(pwrite(fd, "z", 1, 2 * PAGE) == 1);
	CHECK(va[2 * PAGE] == 0);
	CHECK(region_is_poisoned(region) && n_survived() == 2);
	CHECK(va[0] == 'x');
	region_unref(region);
	close(fd);
}

static void test_shrunk_file_reads_as_zeroes(void **state)
{
	forked_run_both_ways(body_shrinks);
}

/* ---- a file whose pages come one by one ---- */

static void body_sparse(void)
{
	int fd = new_memfd(PAGE);
	char *base =
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct sigbus_guard guard = {
		.base = base,
		.len = 4 * PAGE,
		.page_size = PAGE,
		.prot = PROT_READ | PROT_WRITE,
		.is_sparse = true,
	};
	volatile char *va = base;

	CHECK(base != MAP_FAILED);
	CHECK(sigbus_guard_add(&guard) == 0);
	va[2 * PAGE] = 'x';
	CHECK(n_survived() == 1 && atomic_load(&guard.is_poisoned));
	/* What stands around it comes when it comes. */
	CHECK(ftruncate(fd, 4 * PAGE) == 0);
	CHECK(pwrite(fd, "abcd", 4, 3 * PAGE) == 4);
	CHECK(va[3 * PAGE] == 'a' && va[PAGE] == 0 && va[2 * PAGE] == 'x');
	va[PAGE] = 'b';
	CHECK(pread(fd, base, 1, PAGE) == 1 && va[0] == 'b');
	CHECK(n_survived() == 1);
	sigbus_guard_del(&guard);
	CHECK(munmap(base, 4 * PAGE) == 0);
	close(fd);
}

static void test_sparse_file_loses_one_page(void **state)
{
	(void)state;
	forked_run_both_ways(body_sparse);
}

static void body_write_first(void)
{
	int fd = new_memfd(2 * PAGE);
	struct region *region = map_file(fd, 3, 2 * PAGE - 3, MEM_PERM_RW);
	char back[5];

	CHECK(ftruncate(fd, 0) == 0);
	CHECK(region_write(region, PAGE - 5, "write", 5) == 0);
	CHECK(region_is_poisoned(region));
	CHECK(region_read(region, PAGE - 5, back, 5) == 0);
	CHECK(memcmp(back, "write", 5) == 0);
	/* Nothing of it reaches the file. */
	CHECK(ftruncate(fd, 2 * PAGE) == 0);
	CHECK(pread(fd, back, 5, PAGE - 2) == 5);
	CHECK(memcmp(back, "\0\0\0\0\0", 5) == 0);
	region_unref(region);
	close(fd);
}

static void test_shrunk_file_takes_writes(void **state)
{
	forked_run(body_write_first, false);
}

static void body_read_only(void)
{
	int fd = new_memfd(0);
	struct region *region = map_file(fd, PAGE, PAGE, MEM_PERM_RO);
	char byte = 'x';

	CHECK(region_read(region, PAGE - 1, &byte, 1) == 0);
	CHECK(byte == 0 && region_is_poisoned(region));
	CHECK(region_write(region, 0, &byte, 1) == -EFAULT);
	region_unref(region);
	close(fd);
}

static void test_file_without_the_bytes_reads_as_zeroes(void **state)
{
	forked_run(body_read_only, false);
}

/* One region's fault is not its neighbours', of the same file or another. */
static void body_neighbours(void)
{
	int fds[2] = { new_memfd(2 * PAGE), new_memfd(2 * PAGE) };
	struct region *regions[4];
	char byte;

	for (unsigned int i = 0; i < 4; i++) {
		regions[i] = map_file(fds[i % 2], 0, 2 * PAGE, MEM_PERM_RW);
		CHECK(region_write(regions[i], 0, "a", 1) == 0);
	}
	CHECK(ftruncate(fds[0], 0) == 0);
	CHECK(region_read(regions[2], 0, &byte, 1) == 0 && byte == 0);
	for (unsigned int i = 0; i < 4; i++) {
		CHECK(region_is_poisoned(regions[i]) == (i == 2));
	}
	CHECK(region_read(regions[0], 0, &byte, 1) == 0 && byte == 0);
	CHECK(region_is_poisoned(regions[0]));
	CHECK(region_read(regions[1], 0, &byte, 1) == 0 && byte == 'a');
	CHECK(n_survived() == 2);
	for (unsigned int i = 0; i < 4; i++) {
		region_unref(regions[i]);
	}
	close(fds[0]);
	close(fds[1]);
}

static void test_other_regions_stay_well(void **state)
{
	forked_run(body_neighbours, false);
}

/* ---- many threads ---- */

#define N_THREADS 4
#define N_ROUNDS  200

struct fault_job {
	pthread_barrier_t start;
	pthread_barrier_t end;
	struct region *region;
};

/* All fault on the same pages at once; each writes a byte of its own. */
static void *fault_main(void *priv)
{
	struct fault_job *job = priv;
	static atomic_uint next_id;
	unsigned int id = atomic_fetch_add(&next_id, 1);

	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		char byte = (char)(id + 1), back = 0;

		pthread_barrier_wait(&job->start);
		CHECK(region_write(job->region, PAGE + id, &byte, 1) == 0);
		CHECK(region_read(job->region, PAGE + id, &back, 1) == 0);
		/* What is written to zero pages is not wiped by a late fault. */
		CHECK(back == byte);
		pthread_barrier_wait(&job->end);
	}
	return NULL;
}

/* And others come and go beside them. */
static void *churn_main(void *priv)
{
	atomic_bool *is_over = priv;
	int fd = new_memfd(PAGE);

	while (!atomic_load(is_over)) {
		struct region *region = map_file(fd, 0, PAGE, MEM_PERM_RW);

		CHECK(region_write(region, 0, "c", 1) == 0);
		region_unref(region);
	}
	close(fd);
	return NULL;
}

static void body_threads(void)
{
	pthread_t threads[N_THREADS], churn;
	struct fault_job job;
	atomic_bool is_over = false;

	CHECK(pthread_barrier_init(&job.start, NULL, N_THREADS + 1) == 0);
	CHECK(pthread_barrier_init(&job.end, NULL, N_THREADS + 1) == 0);
	CHECK(pthread_create(&churn, NULL, churn_main, &is_over) == 0);
	for (unsigned int i = 0; i < N_THREADS; i++) {
		CHECK(pthread_create(&threads[i], NULL, fault_main, &job) == 0);
	}
	for (unsigned int round = 0; round < N_ROUNDS; round++) {
		int fd = new_memfd(PAGE);

		job.region = map_file(fd, 0, 2 * PAGE, MEM_PERM_RW);
		pthread_barrier_wait(&job.start);
		pthread_barrier_wait(&job.end);
		CHECK(region_is_poisoned(job.region));
		region_unref(job.region);
		close(fd);
	}
	for (unsigned int i = 0; i < N_THREADS; i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
	}
	atomic_store(&is_over, true);
	CHECK(pthread_join(churn, NULL) == 0);
	CHECK(n_survived() == N_ROUNDS);
	pthread_barrier_destroy(&job.start);
	pthread_barrier_destroy(&job.end);
}

static void test_threads_that_fault_together(void **state)
{
	forked_run(body_threads, false);
}

/* ---- what is not ours ---- */

/* A mapping that is no region, of a file too short for it. */
static volatile char *new_trap(void)
{
	int fd = new_memfd(0);
	char *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	CHECK(at != MAP_FAILED);
	close(fd);
	return at;
}

/* Our handler stands, with @prev before it, and has a region to look at. */
static struct region *install_after(const struct sigaction *prev)
{
	int fd = new_memfd(PAGE);
	struct region *region;

	CHECK(sigaction(SIGBUS, prev, NULL) == 0);
	region = map_file(fd, 0, PAGE, MEM_PERM_RW);
	close(fd);
	return region;
}

enum death {
	DEATH_FAULT,
	DEATH_KILL,
	DEATH_FAULT_IGNORED,
};

/* Return: the wait status of a process that gets a SIGBUS not meant for us */
static int die(enum death death)
{
	struct sigaction prev = {
		.sa_handler = death == DEATH_FAULT_IGNORED ? SIG_IGN : SIG_DFL,
	};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(20);
		(void)install_after(&prev);
		if (death == DEATH_KILL) {
			(void)kill(getpid(), SIGBUS);
		} else {
			(void)*new_trap();
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_foreign_fault_kills(void **state)
{
	for (enum death death = DEATH_FAULT; death <= DEATH_FAULT_IGNORED;
	     death++) {
		int status = die(death);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGBUS);
	}
}

static volatile sig_atomic_t n_plain, n_info;
static void *volatile info_addr;

static void on_plain(int sig)
{
	n_plain++;
}

static void body_ignored_kill(void)
{
	struct sigaction prev = { .sa_handler = SIG_IGN };
	struct region *region = install_after(&prev);

	CHECK(kill(getpid(), SIGBUS) == 0);
	CHECK(raise(SIGBUS) == 0);
	region_unref(region);
}

static void body_plain_handler(void)
{
	struct sigaction prev = { .sa_handler = on_plain };
	struct region *region = install_after(&prev);

	CHECK(raise(SIGBUS) == 0);
	CHECK(n_plain == 1);
	region_unref(region);
}

/* Mends its own fault, as a program that uses such a handler does. */
static void on_info(int sig, siginfo_t *info, void *context)
{
	n_info++;
	info_addr = info->si_addr;
	if (mmap(info->si_addr, PAGE, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED) {
		_exit(1);
	}
}

static void body_info_handler(void)
{
	struct sigaction prev = {
		.sa_sigaction = on_info,
		.sa_flags = SA_SIGINFO,
	};
	struct region *region = install_after(&prev);
	volatile char *trap = new_trap();

	CHECK(*trap == 0);
	CHECK(n_info == 1 && info_addr == trap);
	CHECK(n_survived() == 0);
	CHECK(!region_is_poisoned(region));
	region_unref(region);
	CHECK(munmap((void *)trap, PAGE) == 0);
}

/* Sent by a process, with an address of ours in it: no fault of ours. */
static void body_sent_with_address(void)
{
	struct sigaction prev = { .sa_handler = on_plain };
	struct region *region = install_after(&prev);
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = SIGBUS;
	info.si_code = SI_QUEUE;
	info.si_addr = region_va(region);
	CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info) == 0);
	CHECK(n_plain == 1);
	CHECK(!region_is_poisoned(region) && n_survived() == 0);
	region_unref(region);
}

static void test_previous_handler_is_called(void **state)
{
	forked_run(body_sent_with_address, false);
	forked_run(body_ignored_kill, false);
	forked_run(body_plain_handler, false);
	forked_run(body_info_handler, false);
}

/* The fault keeps errno of what it interrupts. */
static void body_errno(void)
{
	int fd = new_memfd(0);
	struct region *region = map_file(fd, 0, PAGE, MEM_PERM_RW);

	errno = ENOTTY;
	CHECK(*(volatile char *)region_va(region) == 0);
	CHECK(errno == ENOTTY);
	region_unref(region);
	close(fd);
}

static void test_fault_keeps_errno(void **state)
{
	forked_run(body_errno, false);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_shrunk_file_reads_as_zeroes),
	cmocka_unit_test(test_sparse_file_loses_one_page),
	cmocka_unit_test(test_shrunk_file_takes_writes),
	cmocka_unit_test(test_file_without_the_bytes_reads_as_zeroes),
	cmocka_unit_test(test_other_regions_stay_well),
	cmocka_unit_test(test_threads_that_fault_together),
	cmocka_unit_test(test_foreign_fault_kills),
	cmocka_unit_test(test_previous_handler_is_called),
	cmocka_unit_test(test_fault_keeps_errno),
};

TEST_MAIN("mem_sigbus")
