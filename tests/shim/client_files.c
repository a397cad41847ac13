/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cases of test_shim.c: one descriptor, as a program uses it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "shim/client.h"

#include <fcntl.h>
#include <linux/vhost_types.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

/* ---- open, stat, /proc/devices ---- */

void case_open(void)
{
	char buf[72] = { 0 };
	int fd = open_node(O_RDONLY);

	CHECK_ERRNO(write(fd, buf, 72), EBADF);
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	CHECK(fcntl(fd, F_GETFD) == 0);
	CHECK_ERRNO(open(NODE, O_RDWR), EBUSY);
	CHECK(close(fd) == 0);
	fd = open_node(O_WRONLY | O_CLOEXEC);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(write(fd, buf, 72) == 72);
	CHECK_ERRNO(read(fd, buf, 72), EBADF);
	CHECK(close(fd) == 0);
	fd = open_node(O_RDWR | O_NONBLOCK | O_CREAT);
	CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_CREAT)) ==
	      (O_RDWR | O_NONBLOCK));
	CHECK(fcntl(fd, F_SETFL, 0) == 0);
	CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDWR);
	CHECK(close(fd) == 0);
	CHECK_ERRNO(open("/dev/vhost-vdpa-17", O_RDWR), ENOENT);
	CHECK_ERRNO(open("/dev/vhost-vdpa-", O_RDWR), ENOENT);
	CHECK_ERRNO(open(NODE, O_RDONLY | O_DIRECTORY), ENOTDIR);
}

void case_open_variants(void)
{
	int fd = open64(NODE, O_RDWR);

	check_add(fd);
	CHECK(close(fd) == 0);
	fd = openat(AT_FDCWD, NODE, O_RDWR);
	check_add(fd);
	CHECK(close(fd) == 0);
	fd = openat64(AT_FDCWD, NODE, O_RDWR, 0);
	check_add(fd);
	CHECK(close(fd) == 0);
	fd = creat(NODE, 0600);
	check_add(fd);
	CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY);
	CHECK(close(fd) == 0);
	CHECK_ERRNO(close(fd), EBADF);
}

/* The close is over when the next open begins. */
void case_reopen(void)
{
	for (int i = 0; i < 200; i++) {
		int fd = open_node(O_RDWR);

		if (i % 3 == 0) {
			check_add(fd);
		}
		CHECK(close(fd) == 0);
	}
}

static void check_stat(const struct stat *st)
{
	CHECK(S_ISCHR(st->st_mode));
	CHECK((st->st_mode & 07777) == 0600);
	CHECK(minor(st->st_rdev) == 0);
	CHECK(major(st->st_rdev) > 0);
	CHECK(st->st_uid == geteuid());
}

void case_stat(void)
{
	int fd = open_node(O_RDWR);
	struct statx stx;
	struct stat st;
	dev_t rdev;

	CHECK(stat(NODE, &st) == 0);
	check_stat(&st);
	rdev = st.st_rdev;
	CHECK(lstat(NODE, &st) == 0);
	check_stat(&st);
	CHECK(fstatat(AT_FDCWD, NODE, &st, 0) == 0);
	check_stat(&st);
	CHECK(fstat(fd, &st) == 0);
	check_stat(&st);
	CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0);
	check_stat(&st);
	CHECK(st.st_rdev == rdev);
	CHECK(statx(AT_FDCWD, NODE, 0, STATX_BASIC_STATS, &stx) == 0);
	CHECK(S_ISCHR(stx.stx_mode));
	CHECK(makedev(stx.stx_rdev_major, stx.stx_rdev_minor) == rdev);
	CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) == 0);
	CHECK(S_ISCHR(stx.stx_mode));
	CHECK(access(NODE, R_OK | W_OK) == 0);
	CHECK(access(NODE, F_OK) == 0);
	CHECK_ERRNO(access(NODE, X_OK), EACCES);
	CHECK_ERRNO(stat("/dev/vhost-vdpa-17", &st), ENOENT);
	CHECK_ERRNO(access("/dev/vhost-vdpa-17", F_OK), ENOENT);
	/* Other sockets stay sockets. */
	CHECK(fstat(socket(AF_UNIX, SOCK_STREAM, 0), &st) == 0);
	CHECK(S_ISSOCK(st.st_mode));
	CHECK(close(fd) == 0);
}

/* As DPDK looks: the first line of that name. */
static unsigned int major_in(FILE *f)
{
	unsigned int number, found = 0;
	char line[256], name[64];

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Block", 5) == 0) {
			break;
		}
		if (sscanf(line, "%u %63s", &number, name) == 2 && !found &&
		    strncmp(name, "vhost-vdpa", 10) == 0) {
			found = number;
		}
	}
	CHECK(fclose(f) == 0);
	return found;
}

void case_proc_devices(void)
{
	struct stat st;
	char name[32];

	CHECK(stat(NODE, &st) == 0);
	CHECK(major_in(fopen("/proc/devices", "r")) == major(st.st_rdev));
	CHECK(major_in(fopen64("/proc/devices", "re")) == major(st.st_rdev));
	CHECK(major_in(fdopen(open("/proc/devices", O_RDONLY), "r")) ==
	      major(st.st_rdev));
	/* What the kernel lists is all there. */
	CHECK(fscanf(popen("grep -c . /proc/devices", "r"), "%31s", name) == 1);
	CHECK(atoi(name) > 5);
}

/* ---- ioctl, read, write, mmap, poll ---- */

void case_ioctl(void)
{
	int fd = open_node(O_RDWR);
	uint64_t v = 41;
	uint32_t tail[2] = { 0, 0xabababab };

	errno = 77;
	CHECK(ioctl(fd, TOY_ADD, &v) == 0);
	CHECK(v == 42);
	CHECK(errno == 77);
	CHECK(ioctl(fd, (unsigned long)(long)(int)TOY_ADD, &v) == 0);
	CHECK(v == 43);
	CHECK(ioctl(fd, TOY_TASK, tail) == 0); /* four bytes, not more */
	CHECK(tail[0] == 1);
	CHECK(tail[1] == 0xabababab);
	CHECK(ioctl(fd, TOY_EARLY, NULL) == 7);
	CHECK_ERRNO(ioctl(fd, TOY_ADD + 1, &v), ENOTTY);
	CHECK_ERRNO(ioctl(fd, TIOCGWINSZ, &v), ENOTTY);
	CHECK(ioctl(fd, FIOCLEX) == 0);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	tail[0] = 1;
	CHECK(ioctl(fd, FIONBIO, tail) == 0);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK(close(fd) == 0);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, &v), EBADF);
	CHECK_ERRNO(ioctl(open("/dev/null", O_RDWR), TOY_ADD, &v), ENOTTY);
}

/* Two pages, of which the second cannot be read. */
static char *page_end(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK(mprotect(p + 4096, 4096, PROT_NONE) == 0);
	return p + 4096;
}

void case_bad_pointers(void)
{
	int fd = open_node(O_RDWR);
	char *end = page_end();
	struct iovec iov[2] = { { end - 8, 8 }, { end, 64 } };

	CHECK_ERRNO(ioctl(fd, TOY_ADD, NULL), EFAULT);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, (void *)8), EFAULT);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, end), EFAULT);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, end - 4), EFAULT);
	CHECK(ioctl(fd, TOY_ADD, end - 8) == 0);
	CHECK(ioctl(fd, TOY_PROBE, end - 100) == 100);
	CHECK(ioctl(fd, TOY_PROBE, end - 4096) == 4096);
	CHECK(ioctl(fd, TOY_PROBE, end) == 0);
	/* Memory that can be read but not written. */
	CHECK(mprotect(end - 4096, 4096, PROT_READ) == 0);
	CHECK_ERRNO(ioctl(fd, TOY_ADD, end - 8), EFAULT);
	CHECK_ERRNO(write(fd, end, 72), EFAULT);
	CHECK_ERRNO(write(fd, end - 8, 72), EFAULT);
	CHECK_ERRNO(writev(fd, iov, 2), EFAULT);
	CHECK_ERRNO(writev(fd, (struct iovec *)end, 1), EFAULT);
	CHECK(close(fd) == 0);
}

struct config {
	uint32_t off;
	uint32_t len;
	uint8_t bytes[4096];
};

void case_variable_length(void)
{
	int fd = open_node(O_RDWR);
	struct config set = { 5, 4000 }, get = { 5, 4000 };

	for (size_t i = 0; i < sizeof(set.bytes); i++) {
		set.bytes[i] = (uint8_t)(i * 7);
	}
	get.bytes[4000] = 0x5a;
	CHECK(ioctl(fd, TOY_SET_CONFIG, &set) == 0);
	CHECK(ioctl(fd, TOY_GET_CONFIG, &get) == 0);
	CHECK(memcmp(set.bytes, get.bytes, 4000) == 0);
	CHECK(get.bytes[4000] == 0x5a);
	set.len = UINT32_MAX;
	CHECK_ERRNO(ioctl(fd, TOY_SET_CONFIG, &set), EINVAL);
	set.len = 0;
	CHECK_ERRNO(ioctl(fd, TOY_SET_CONFIG, &set), EINVAL);
	CHECK(close(fd) == 0);
}

void case_descriptors(void)
{
	int fd = open_node(O_RDWR);
	int32_t arg[2] = { 0, eventfd(0, 0) };
	char text[4] = { 0 };
	uint64_t n;
	int got;

	CHECK(ioctl(fd, 0x4008af20, arg) == 0);
	CHECK(read(arg[1], &n, sizeof(n)) == sizeof(n));
	CHECK(n == 1);
	CHECK(close(arg[1]) == 0);
	CHECK_ERRNO(ioctl(fd, TOY_KICK, arg), EBADF);
	arg[1] = -2;
	CHECK_ERRNO(ioctl(fd, TOY_KICK, arg), EBADF);
	arg[1] = fd;
	CHECK_ERRNO(ioctl(fd, TOY_KICK, arg), EINVAL);
	got = ioctl(fd, TOY_GET_FD, NULL);
	CHECK(got > fd);
	CHECK(fcntl(got, F_GETFD) == 0);
	CHECK(pread(got, text, 3, 0) == 3);
	CHECK(strcmp(text, "toy") == 0);
	CHECK(close(got) == 0);
	CHECK(close(fd) == 0);
}

void case_read_write(void)
{
	int fd = open_node(O_RDWR);
	char buf[100] = { 0 };
	struct iovec iov[3] = { { buf, 8 }, { buf, 0 }, { buf + 8, 64 } };

	CHECK(write(fd, buf, 72) == 72);
	CHECK(write(fd, buf, 40) == 72);
	CHECK_ERRNO(write(fd, buf, 39), EINVAL);
	CHECK_ERRNO(write(fd, buf, 0), EINVAL);
	CHECK(writev(fd, iov, 3) == 72);
	CHECK(counts_of(fd).n_writes == 5);
	CHECK(counts_of(fd).n_write_bytes == 72 + 40 + 39 + 72);
	CHECK_ERRNO(read(fd, buf, 100), EINVAL);
	CHECK_ERRNO(readv(fd, iov, 3), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), ESPIPE);
	CHECK(close(fd) == 0);
}

void case_poll(void)
{
	int fd = open_node(O_RDWR);
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };
	struct epoll_event event = { .events = EPOLLIN };
	int ep = epoll_create1(0);
	fd_set in, out;
	char buf[8];

	for (int i = 0; i < 3; i++) {
		CHECK(poll(&pfd, 1, 0) == 1);
		CHECK(pfd.revents == (POLLIN | POLLOUT));
		CHECK_ERRNO(read(fd, buf, sizeof(buf)), EINVAL);
	}
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	CHECK(select(fd + 1, &in, &out, NULL, NULL) == 2);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), EPERM);
	CHECK_ERRNO(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL), EPERM);
	CHECK(close(fd) == 0);
	/* The number is free for others. */
	CHECK(eventfd(0, 0) == fd);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* A file that is waited for, as that of a VDUSE device. */
void case_queue(void)
{
	int fd = open(QUEUE_NODE, O_RDWR);
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };
	struct epoll_event event = { .events = EPOLLIN };
	int ep = epoll_create1(0);
	uint64_t v[2] = { 5, 0 };

	CHECK(fd >= 0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) == 0);
	CHECK(epoll_wait(ep, &event, 1, 0) == 0);
	CHECK(poll(&pfd, 1, 0) == 1);
	CHECK(pfd.revents == POLLOUT);
	for (v[0] = 0; v[0] < 1200; v[0]++) {
		CHECK(ioctl(fd, TOY_PUSH, v) == 0);
	}
	CHECK(epoll_wait(ep, &event, 1, -1) == 1);
	CHECK(poll(&pfd, 1, 0) == 1);
	CHECK(pfd.revents == (POLLIN | POLLOUT));
	CHECK_ERRNO(read(fd, v, 7), EINVAL);
	for (uint64_t i = 0; i < 1200; i++) {
		CHECK(read(fd, v, sizeof(v)) == 8);
		CHECK(v[0] == i);
	}
	CHECK(poll(&pfd, 1, 0) == 1);
	CHECK(pfd.revents == POLLOUT);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK_ERRNO(read(fd, v, 8), EAGAIN);
	CHECK(close(fd) == 0);
	fd = open(QUEUE_NODE, O_RDWR | O_NONBLOCK);
	CHECK_ERRNO(read(fd, v, 8), EAGAIN);
	CHECK(close(fd) == 0);
}

void case_mmap(void)
{
	int fd = open_node(O_RDWR);
	char *p;

	CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0),
		    CDEV_ENOTSUPP);
	CHECK_ERRNO(mmap64(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0),
		    CDEV_ENOTSUPP);
	CHECK_ERRNO(mmap(NULL, 0, PROT_WRITE, MAP_SHARED, fd, 0), EINVAL);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
	CHECK(p != MAP_FAILED);
	CHECK(memcmp(p, "toy", 3) == 0);
	CHECK(munmap(p, 4096) == 0);
	CHECK(close(fd) == 0);
	fd = open_node(O_WRONLY);
	CHECK_ERRNO(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	CHECK(close(fd) == 0);
}

void case_memory(void)
{
	int fd = open_node(O_RDWR);
	struct toy_range range = { 0, 8192 };
	int mfd = memfd_create("shared", 0);
	uint8_t *shared, *private;

	CHECK(ftruncate(mfd, 8192) == 0);
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mfd, 0);
	private = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	CHECK(private != MAP_FAILED);
	memset(private, 2, 8192);
	range.uaddr = (uintptr_t)shared;
	CHECK(ioctl(fd, TOY_KINDS, &range) == 1 << REGION_MAPPED);
	range.uaddr = (uintptr_t) private;
	CHECK(ioctl(fd, TOY_KINDS, &range) == 1 << REGION_FOREIGN);
	CHECK(ioctl(fd, TOY_SUM, &range) == 0);
	CHECK(range.uaddr == 2 * 8192);
	range.uaddr = 4096;
	range.len = 1;
	CHECK_ERRNO(ioctl(fd, TOY_SUM, &range), EFAULT);
	CHECK(close(fd) == 0);
}

/* Where the daemon cannot look into our /proc, files come with the updates that
 * need them. */
void case_container(char **argv)
{
	int fd = open_node(O_RDWR);
	int mfd = memfd_create("shared", 0);
	struct toy_range range = { 0, 8192 };
	struct vhost_msg_v2 update = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = {
			.size = 8192,
			.perm = VHOST_ACCESS_RW,
			.type = VHOST_IOTLB_UPDATE,
		},
	};
	char *p;

	CHECK(ftruncate(mfd, 8192) == 0);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mfd, 0);
	CHECK(p != MAP_FAILED);
	range.uaddr = (uintptr_t)p;
	CHECK(ioctl(fd, TOY_KINDS, &range) == 1 << REGION_FOREIGN);
	update.iotlb.uaddr = range.uaddr + 8192; /* beside it */
	CHECK(write(fd, &update, sizeof(update)) == sizeof(update));
	CHECK(ioctl(fd, TOY_KINDS, &range) == 1 << REGION_FOREIGN);
	update.iotlb.uaddr = range.uaddr + 4096;
	CHECK(write(fd, &update, sizeof(update)) == sizeof(update));
	CHECK(ioctl(fd, TOY_KINDS, &range) == 1 << REGION_MAPPED);
	CHECK(close(fd) == 0);
}
