/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what a client may offer, of clients that lie, and of those that go.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem/test_child.h"

#define PAGE 4096UL

/* ---- descriptors that it offers ---- */

/* A memfd of ours, mapped by a client that is forked then. */
static void body_offered_file(void)
{
	int fd = memfd_create("offered", MFD_CLOEXEC);
	struct region *region;
	struct child c;
	uint64_t at;
	int ro_fd;
	char path[32];

	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro_fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(ro_fd >= 0);
	/* Its process is not visible: only what it offers can be used. */
	child_start_as(&c, "/proc/self/maps", 0);
	CHECK(client_mem_pid(c.cm) == 0);
	at = child_map(&c, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == REGION_FOREIGN);
	check_is_memory_of(region, &c, at);
	region_unref(region);

	CHECK(client_mem_add_fd(c.cm, ro_fd) == 0);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == REGION_FOREIGN);
	region_unref(region);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RO, &region) == 1);
	CHECK(region_kind(region) == REGION_MAPPED);
	region_unref(region);

	CHECK(client_mem_add_fd(c.cm, fd) == 0);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == REGION_MAPPED);
	check_is_memory_of(region, &c, at);
	region_unref(region);
	child_stop(&c);
}

static void test_offered_file_is_mapped(void **state)
{
	forked_run_both_ways(body_offered_file);
}

static void body_offers(void)
{
	struct child c;
	int fd, pipes[2];

	child_start(&c);
	CHECK(client_mem_add_fd(c.cm, -1) == -EINVAL);
	CHECK(pipe2(pipes, O_CLOEXEC) == 0);
	CHECK(client_mem_add_fd(c.cm, pipes[0]) == -EINVAL);
	CHECK(fcntl(pipes[0], F_GETFD) == -1); /* taken all the same */
	close(pipes[1]);
	CHECK(client_mem_add_fd(c.cm, open("/proc/self/exe",
					   O_PATH | O_CLOEXEC)) == -EINVAL);
	for (unsigned int i = 0; i < 64; i++) {
		CHECK(client_mem_add_fd(c.cm, memfd_create("offered",
							   MFD_CLOEXEC)) == 0);
	}
	fd = memfd_create("offered", MFD_CLOEXEC);
	CHECK(client_mem_add_fd(c.cm, fd) == -ENOSPC);
	CHECK(fcntl(fd, F_GETFD) == -1);
	child_stop(&c);

	child_start(&c);
	fd = memfd_create("offered", MFD_CLOEXEC);
	for (unsigned int i = 0; i < 100; i++) {
		CHECK(client_mem_add_fd(c.cm, dup(fd)) == 0);
	}
	close(fd);
	child_stop(&c);
}

static void test_offers_are_checked_and_limited(void **state)
{
	forked_run_both_ways(body_offers);
}

/* ---- clients that lie or go ---- */

static void body_liars(void)
{
	static const char *const paths[] = { "/proc/self/environ",
					     "/proc/self/pagemap",
					     "/proc/self/status" };
	struct client_mem *cm;
	struct region *region;
	struct child c;

	for (unsigned int i = 0; i < ARRAY_SIZE(paths); i++) {
		int ret;

		child_start_as(&c, paths[i], -1);
		ret = resolve_one(&c, 0x1000, PAGE, MEM_PERM_RW, &region);
		CHECK(ret < 0 || (i == 0 && ret == 0)); /* no environment */
		child_stop(&c);
	}
	CHECK(client_mem_new(getpid(), open("/dev/zero", O_RDONLY | O_CLOEXEC),
			     open("/proc/self/mem", O_RDWR | O_CLOEXEC),
			     &cm) == -EINVAL);
	CHECK(client_mem_new(
		      getpid(), open("/proc/self/maps", O_RDONLY | O_CLOEXEC),
		      open("/dev/zero", O_RDWR | O_CLOEXEC), &cm) == -EINVAL);
	CHECK(client_mem_new(getpid(), -1, -1, &cm) == -EINVAL);
}

static void test_other_files_are_refused(void **state)
{
	forked_run_both_ways(body_liars);
}

/*
 * Mappings of one process, the id of another: we do not look in the other,
 * though it has the very file.
 */
static void body_wrong_pid(void)
{
	int fd = memfd_create("both", MFD_CLOEXEC);
	struct region *region;
	struct child c, other;
	uint64_t at;

	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	child_start(&other);
	child_start_as(&c, "/proc/self/maps", other.pid);
	CHECK(client_mem_pid(c.cm) == other.pid);
	at = child_map(&c, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RW, &region) == 1);
	CHECK(region_kind(region) == REGION_FOREIGN);
	check_is_memory_of(region, &c, at);
	region_unref(region);
	child_stop(&c);
	child_stop(&other);
	close(fd);
}

static void test_wrong_pid_is_noticed(void **state)
{
	forked_run_both_ways(body_wrong_pid);
}

static void body_exec(void)
{
	struct client_piece p[2];
	struct child c;
	uint64_t at[2];
	int pipes[2], status;
	struct child_request rq = { .op = CHILD_SYSCALL, .nr = SYS_execve };
	static const char *const args[] = { "cat", NULL };
	static const char *const env[] = { NULL };
	char byte;

	/* What it becomes reads the pipe until we close our end. */
	CHECK(pipe2(pipes, O_CLOEXEC) == 0);
	child_start(&c);
	CHECK(child_syscall(&c, SYS_dup2, pipes[0], 0) == 0);
	at[0] = child_map(&c, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
	at[1] = child_map(&c, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  child_memfd(&c, PAGE));
	for (unsigned int i = 0; i < 2; i++) {
		CHECK(resolve_one(&c, at[i], PAGE, MEM_PERM_RW, &p[i].region) ==
		      1);
		check_is_memory_of(p[i].region, &c, at[i]);
	}
	rq.args[0] = (long)"/bin/cat";
	rq.args[1] = (long)args;
	rq.args[2] = (long)env;
	CHECK(send(c.sock, &rq, sizeof(rq), 0) == sizeof(rq));
	/* Its end of the socket closes when the old memory is gone. */
	CHECK(recv(c.sock, &byte, 1, 0) == 0);

	CHECK(region_kind(p[0].region) == REGION_FOREIGN);
	CHECK(region_read(p[0].region, 0, &byte, 1) == -EFAULT);
	CHECK(region_write(p[0].region, 0, &byte, 1) == -EFAULT);
	CHECK(region_kind(p[1].region) == REGION_MAPPED);
	CHECK(region_read(p[1].region, PAGE / 3, &byte, 1) == 0);
	CHECK(byte == 'd');
	CHECK(client_mem_resolve(c.cm, at[0], PAGE, MEM_PERM_RW, p, 0) == 0);
	region_unref(p[0].region);
	region_unref(p[1].region);
	client_mem_unref(c.cm);
	close(c.sock);
	close(pipes[0]);
	close(pipes[1]);
	CHECK(waitpid(c.pid, &status, 0) == c.pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_exec_ends_the_memory(void **state)
{
	forked_run_both_ways(body_exec);
}

static void body_exit(void)
{
	struct region *region;
	struct child c;
	uint64_t at;
	char byte;

	child_start(&c);
	at = child_map(&c, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
	CHECK(resolve_one(&c, at, PAGE, MEM_PERM_RW, &region) == 1);
	client_mem_ref(c.cm);
	child_stop(&c);
	CHECK(region_read(region, 0, &byte, 1) == -EFAULT);
	CHECK(client_mem_resolve(c.cm, at, PAGE, MEM_PERM_RW, NULL, 0) ==
	      -ESRCH);
	client_mem_unref(c.cm);
	region_unref(region);
}

static void test_exit_ends_the_memory(void **state)
{
	forked_run_both_ways(body_exit);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_offered_file_is_mapped),
	cmocka_unit_test(test_offers_are_checked_and_limited),
	cmocka_unit_test(test_other_files_are_refused),
	cmocka_unit_test(test_wrong_pid_is_noticed),
	cmocka_unit_test(test_exec_ends_the_memory),
	cmocka_unit_test(test_exit_ends_the_memory),
};

TEST_MAIN("mem_client_trust")
