/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A forked child that acts as a client, for tests.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/test_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"

#define NOBODY 65534

static void send_fds(int sock, int maps_fd, int mem_fd)
{
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct fd_msg msg = {
		.iov = &iov,
		.n_iov = 1,
		.fds = { maps_fd, mem_fd },
		.n_fds = 2,
	};

	CHECK(maps_fd >= 0 && mem_fd >= 0);
	CHECK(fd_send(sock, &msg, 0) == 1);
	fd_msg_close(&msg);
}

static void child_main(int sock, const char *maps_path)
{
	struct child_request rq;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	send_fds(sock, open(maps_path, O_RDONLY | O_CLOEXEC),
		 open("/proc/self/mem", O_RDWR | O_CLOEXEC));
	while (recv(sock, &rq, sizeof(rq), 0) == sizeof(rq)) {
		long *a = rq.args, ret = 0;

		switch (rq.op) {
		case CHILD_SYSCALL:
			ret = syscall(rq.nr, a[0], a[1], a[2], a[3], a[4],
				      a[5]);
			ret = ret < 0 ? -errno : ret;
			break;
		case CHILD_PEEK:
			ret = *(volatile char *)a[0];
			break;
		case CHILD_POKE:
			*(volatile char *)a[0] = (char)a[1];
			break;
		}
		CHECK(send(sock, &ret, sizeof(ret), 0) == sizeof(ret));
	}
	_exit(0);
}

void child_start_as(struct child *c, const char *maps_path, pid_t pid)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1 };
	int socks[2];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) ==
	      0);
	c->pid = fork();
	CHECK(c->pid >= 0);
	if (c->pid == 0) {
		close(socks[0]);
		child_main(socks[1], maps_path);
	}
	close(socks[1]);
	c->sock = socks[0];
	CHECK(fd_recv(c->sock, &msg, 0) == 1 && msg.n_fds == 2);
	CHECK(client_mem_new(pid == -1 ? c->pid : pid, msg.fds[0], msg.fds[1],
			     &c->cm) == 0);
}

void child_start(struct child *c)
{
	child_start_as(c, "/proc/self/maps", -1);
}

void child_stop(struct child *c)
{
	int status;

	close(c->sock);
	CHECK(waitpid(c->pid, &status, 0) == c->pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	client_mem_unref(c->cm);
}

long child_ask(struct child *c, struct child_request rq)
{
	long ret;

	CHECK(send(c->sock, &rq, sizeof(rq), 0) == sizeof(rq));
	CHECK(recv(c->sock, &ret, sizeof(ret), 0) == sizeof(ret));
	return ret;
}

char child_peek(struct child *c, uint64_t at)
{
	return (char)child_ask(
		c, (struct child_request){ CHILD_PEEK, 0, { (long)at } });
}

void child_poke(struct child *c, uint64_t at, char value)
{
	(void)child_ask(c, (struct child_request){
				   CHILD_POKE, 0, { (long)at, value } });
}

int child_memfd(struct child *c, size_t size)
{
	long fd = child_syscall(c, SYS_memfd_create, (long)"vdpakit-test", 0);

	CHECK(fd >= 0);
	CHECK(child_syscall(c, SYS_ftruncate, fd, (long)size) == 0);
	return (int)fd;
}

uint64_t child_map(struct child *c, size_t size, int prot, int flags, int fd)
{
	long at = child_syscall(c, SYS_mmap, 0, (long)size, prot,
				flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	CHECK(at > 0);
	return (uint64_t)at;
}

void child_close(struct child *c, int fd)
{
	CHECK(child_syscall(c, SYS_close, fd) == 0);
}

void check_no_regions(void)
{
	struct region_stats stats;

	region_get_stats(&stats);
	for (unsigned int i = 0; i < REGION_KIND_N; i++) {
		CHECK(stats.n_regions[i] == 0);
		CHECK(stats.n_bytes[i] == 0);
	}
}

void forked_run(void (*body)(void), bool as_nobody)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		unsigned int n_fds;

		if (as_nobody) {
			CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
			CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
			CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
		}
		n_fds = test_count_fds();
		body();
		check_no_regions();
		CHECK(test_count_fds() == n_fds);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

void forked_run_both_ways(void (*body)(void))
{
	forked_run(body, false);
	if (geteuid() == 0) {
		forked_run(body, true);
	}
}

int resolve_one(struct child *c, uint64_t uaddr, uint64_t size,
		unsigned int perm, struct region **ret)
{
	struct client_piece piece;
	int n = client_mem_resolve(c->cm, uaddr, size, perm, &piece, 1);

	if (n == 1) {
		CHECK(piece.uaddr == uaddr && piece.size == size);
		CHECK(region_size(piece.region) == size);
		*ret = piece.region;
	}
	return n;
}

void check_is_memory_of(struct region *region, struct child *c, uint64_t uaddr)
{
	uint64_t at = region_size(region) / 3;
	char got = 0;

	child_poke(c, uaddr + at, 'c');
	CHECK(region_read(region, at, &got, 1) == 0 && got == 'c');
	CHECK(region_write(region, at, "d", 1) == 0);
	CHECK(child_peek(c, uaddr + at) == 'd');
}
