/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of disks on files: on tmpfs and on the file system of the build folder,
 * through the page cache and past it.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/disk.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "dev/blk/file_lock.h"

#define FILE_BYTES (8U << 20)
#define SECTORS	   (FILE_BYTES / 512)

/* A file of 8 MiB that is gone at the end of the test. */
struct file {
	char path[128];
	int fd;
	struct disk *d;
};

static void file_new(struct file *f, const char *folder)
{
	(void)snprintf(f->path, sizeof(f->path), "%s/vdpakit-disk-XXXXXX",
		       folder);
	f->fd = mkostemp(f->path, O_CLOEXEC);
	assert_int_not_equal(f->fd, -1);
	assert_int_equal(ftruncate(f->fd, FILE_BYTES), 0);
	f->d = NULL;
}

static void file_free(struct file *f)
{
	if (f->d) {
		disk_stop(f->d);
	}
	(void)unlink(f->path);
	(void)close(f->fd);
}

static const char *keys_of(const struct file *f, const char *more)
{
	static char keys[256];

	(void)snprintf(keys, sizeof(keys), "backend=file path=%s %s", f->path,
		       more);
	return keys;
}

struct variant {
	const char *name;
	const char *folder;
	const char *keys;
	uint64_t features;
};

/* Direct I/O where the file system has it; otherwise the test is skipped. */
static void start_variant(struct file *f, const struct variant *v)
{
	int fd;

	file_new(f, v->folder);
	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_DIRECT);
	if (fd < 0 && strstr(v->keys, "direct=on")) {
		file_free(f);
		TEST_SKIP("no O_DIRECT here");
	}
	(void)close(fd);
	f->d = disk_start((ALL_FEATURES & ~F(SECURE_ERASE)) | v->features,
			  keys_of(f, v->keys), 1);
}

static void check_file(const struct file *f, uint64_t offset, size_t len,
		       char want)
{
	char *buf = malloc(len);

	assert_non_null(buf);
	assert_int_equal(pread(f->fd, buf, len, (off_t)offset), len);
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(buf[i], want);
	}
	free(buf);
}

static void test_writes_are_in_the_file(void **state)
{
	struct file f;

	start_variant(&f, *state);
	for (unsigned int i = 0; i < 20; i++) {
		uint32_t len = 4096U << (i % 8);

		memset(f.d->buf, (int)i + 1, len);
		assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_OUT, i * 8ULL, len),
				 OK);
		assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_FLUSH, 0, 0), OK);
		check_file(&f, i * 4096ULL, len, (char)(i + 1));
		memset(f.d->buf, 0xaa, len);
		assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_IN, i * 8ULL, len),
				 OK);
		for (uint32_t b = 0; b < len; b++) {
			assert_int_equal(f.d->buf[b], i + 1);
		}
	}
	assert_int_equal(disk_stat(f.d, "write requests"), 20);
	assert_int_equal(disk_stat(f.d, "flush requests"), 20);
	assert_int_equal(disk_stat(f.d, "write errors"), 0);
	file_free(&f);
}

/* The driver's buffers begin and end anywhere. */
static void test_any_alignment_of_memory(void **state)
{
	static const uint32_t lens[] = { 4096, 8192, 65536, 400 << 10 };
	struct file f;

	start_variant(&f, *state);
	for (unsigned int i = 0; i < 40; i++) {
		uint32_t len = lens[i % ARRAY_SIZE(lens)];
		uint32_t at = 4099 + i * 113, cut = 1 + i * 97;
		struct vq_sg sg[] = {
			{ disk_at(f.d, 0), 16 },
			{ disk_at(f.d, at), cut },
			{ disk_at(f.d, at + cut), len - cut },
			{ disk_at(f.d, 100), 1 },
		};

		memset(f.d->buf + at, (int)i + 1, len);
		disk_set_header(f.d, VIRTIO_BLK_T_OUT, 64);
		assert_int_equal(disk_raw(f.d, sg, 3, 1), 1);
		assert_int_equal(f.d->buf[100], OK);
		check_file(&f, 32768, len, (char)(i + 1));
		memset(f.d->buf + 4096, 0xaa, DISK_BUF - 4096);
		disk_set_header(f.d, VIRTIO_BLK_T_IN, 64);
		assert_int_equal(disk_raw(f.d, sg, 1, 3), len + 1);
		assert_int_equal(f.d->buf[100], OK);
		for (uint32_t b = 0; b < len; b++) {
			assert_int_equal(f.d->buf[at + b], i + 1);
		}
		assert_int_equal((unsigned char)f.d->buf[at - 1], 0xaa);
		assert_int_equal((unsigned char)f.d->buf[at + len], 0xaa);
	}
	file_free(&f);
}

static void test_zeroes_and_discards(void **state)
{
	static const struct range zeroes[] = { { 8, 8, 0 }, { 64, 512, 1 } };
	static const struct range discard = { 1024, 4096, 0 };
	struct file f;
	struct stat before, after;

	start_variant(&f, *state);
	memset(f.d->buf, 7, DISK_BUF);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_OUT, i * 2048ULL,
					 DISK_BUF),
				 OK);
	}
	assert_int_equal(fsync(f.fd), 0);
	assert_int_equal(fstat(f.fd, &before), 0);
	assert_int_equal(
		disk_ranged(f.d, VIRTIO_BLK_T_WRITE_ZEROES, zeroes, 2, 0), OK);
	assert_int_equal(disk_ranged(f.d, VIRTIO_BLK_T_DISCARD, &discard, 1, 0),
			 OK);
	check_file(&f, 0, 4096, 7);
	check_file(&f, 4096, 4096, 0);
	check_file(&f, 8192, 64 * 512 - 8192, 7);
	check_file(&f, 64 * 512, 512 * 512, 0);
	check_file(&f, 576 * 512, 448 * 512, 7);
	check_file(&f, 5120 * 512, 1024 * 512, 7);
	assert_int_equal(fstat(f.fd, &after), 0);
	assert_int_equal(after.st_size, FILE_BYTES);
	/* both file systems have holes */
	assert_true(after.st_blocks < before.st_blocks - 4000);
	file_free(&f);
}

/* Depth: a ring full of writes, then of reads, in any order. */
static void test_many_at_once(void **state)
{
	struct file f;
	struct vq_used used[64];

	start_variant(&f, *state);
	for (uint32_t type = VIRTIO_BLK_T_OUT; type <= VIRTIO_BLK_T_OUT;
	     type--) {
		unsigned int n_done = 0;

		for (unsigned int i = 0; i < 64; i++) {
			char *at = f.d->buf + 8192 * (size_t)i;
			struct virtio_blk_outhdr *hdr = (void *)at;
			struct vq_sg sg[] = {
				{ vclient_iova(f.d->c, at), 16 },
				{ vclient_iova(f.d->c, at) + 4096, 4096 },
				{ vclient_iova(f.d->c, at) + 100, 1 },
			};

			memset(at, 0, 8192);
			memset(at + 4096, type == VIRTIO_BLK_T_OUT ? 1 + i : 0,
			       4096);
			hdr->type = htole32(type);
			hdr->sector = htole64((i * 37 % 64) * 8ULL);
			vclient_add(f.d->c, 0, sg,
				    type == VIRTIO_BLK_T_OUT ? 2 : 1,
				    type == VIRTIO_BLK_T_OUT ? 1 : 2, at);
		}
		if (vq_driver_publish(f.d->c->q[0].drv)) {
			vclient_kick(f.d->c, 0);
		}
		while (n_done < 64) {
			int n = vq_driver_get(f.d->c->q[0].drv, used, 64);

			n_done += (unsigned int)n;
			if (n == 0 &&
			    !vq_driver_enable_call(f.d->c->q[0].drv)) {
				vclient_wait_call(f.d->c, 0);
			}
		}
		for (unsigned int i = 0; i < 64; i++) {
			char *at = f.d->buf + 8192 * (size_t)i;

			assert_int_equal(at[100], OK);
			assert_int_equal(at[4096], 1 + i);
			assert_int_equal(at[8191], 1 + i);
		}
	}
	file_free(&f);
}

/* Write through: also what the page cache would have kept. */
static void test_write_through(void **state)
{
	static const struct range range = { 8, 64, 0 };
	const struct variant *v = *state;
	struct virtio_blk_config config;
	struct file f;

	file_new(&f, v->folder);
	f.d = disk_start(ALL_FEATURES & ~F(SECURE_ERASE), keys_of(&f, ""), 1);
	disk_stop(f.d);
	f.d = disk_start((ALL_FEATURES & ~F(SECURE_ERASE)) | F(CONFIG_WCE),
			 keys_of(&f, ""), 1);
	vclient_get_config(f.d->c, &config, 72);
	assert_int_equal(config.wce, 1);
	config.wce = 0;
	vclient_set_config(f.d->c, &config, 72);
	vclient_get_config(f.d->c, &config, 72);
	assert_int_equal(config.wce, 0);
	memset(f.d->buf, 9, 65536);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_OUT, 0, 65536), OK);
	assert_int_equal(
		disk_ranged(f.d, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1, 0), OK);
	check_file(&f, 0, 4096, 9);
	check_file(&f, 4096, 32768, 0);
	vclient_reset(f.d->c);
	vclient_negotiate(f.d->c, ALL_FEATURES & ~F(SECURE_ERASE));
	vclient_get_config(f.d->c, &config, 72);
	assert_int_equal(config.wce, 1); /* a reset forgets it */
	file_free(&f);
}

/* H66 of disks: the file is cut while it is a disk. */
static void test_truncated_under_us(void **state)
{
	struct file f;

	start_variant(&f, *state);
	assert_int_equal(ftruncate(f.fd, FILE_BYTES / 2), 0);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_IN, SECTORS / 2 - 8, 4096),
			 OK);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_IN, SECTORS / 2, 4096),
			 IOERR);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_IN, SECTORS / 2 - 8, 8192),
			 IOERR);
	assert_int_equal(disk_stat(f.d, "read errors"), 2);
	/* a write makes it longer again */
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_OUT, SECTORS - 8, 4096), OK);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_IN, SECTORS / 2, 4096), OK);
	file_free(&f);
}

static void test_grown_file_is_noticed_on_request(void **state)
{
	struct file f;

	start_variant(&f, *state);
	assert_int_equal(disk_capacity(f.d), SECTORS);
	assert_int_equal(ftruncate(f.fd, 2 * FILE_BYTES + 100), 0);
	assert_int_equal(disk_capacity(f.d), SECTORS);
	assert_int_equal(disk_resize(f.d, "auto"), 0);
	assert_int_equal(disk_capacity(f.d), 2 * SECTORS);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_OUT, 2 * SECTORS - 8, 4096),
			 OK);
	assert_int_equal(disk_resize(f.d, "17M"), -ENOSPC);
	assert_int_equal(disk_resize(f.d, "4M"), 0);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_IN, SECTORS / 2, 4096),
			 IOERR);
	assert_int_equal(ftruncate(f.fd, 100), 0);
	assert_int_equal(disk_resize(f.d, "auto"), -EINVAL);
	assert_int_equal(disk_capacity(f.d), SECTORS / 2);
	file_free(&f);
}

/* What is in flight when the driver resets or suspends has ended when that
 * returns. */
static void test_reset_and_suspend_with_writes_in_flight(void **state)
{
	struct file f;
	struct vq_used used;

	start_variant(&f, *state);
	for (unsigned int round = 0; round < 20; round++) {
		struct vq_sg sg[] = { { disk_at(f.d, 0), 16 },
				      { disk_at(f.d, 4096), 65536 },
				      { disk_at(f.d, 100), 1 } };
		unsigned int n = 0;

		disk_set_header(f.d, VIRTIO_BLK_T_OUT, round * 8);
		while (vq_driver_add(f.d->c->q[0].drv, sg, 2, 1, f.d) == 0) {
			n++;
		}
		if (vq_driver_publish(f.d->c->q[0].drv)) {
			vclient_kick(f.d->c, 0);
		}
		if (round % 2) {
			vclient_set_status(f.d->c, 0);
			disk_stop(f.d);
			f.d = disk_start(
				(ALL_FEATURES & ~F(SECURE_ERASE)) |
					((const struct variant *)*state)
						->features,
				keys_of(&f,
					((const struct variant *)*state)->keys),
				1);
			continue;
		}
		vclient_must(f.d->c, VHOST_VDPA_SUSPEND, NULL);
		while (vq_driver_get(f.d->c->q[0].drv, &used, 1) == 1) {
			n--;
		}
		vclient_must(f.d->c, VHOST_VDPA_RESUME, NULL);
		while (n > 0) {
			int got = vq_driver_get(f.d->c->q[0].drv, &used, 1);

			n -= (unsigned int)got;
			if (got == 0 &&
			    !vq_driver_enable_call(f.d->c->q[0].drv)) {
				vclient_wait_call(f.d->c, 0);
			}
		}
	}
	file_free(&f);
}

/* ---- opening ---- */

static void test_lock_keeps_a_second_opener_away(void **state)
{
	const struct variant *v = *state;
	struct vworld *w = vworld_new(NULL, 1);
	struct file f;

	file_new(&f, v->folder);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0, keys_of(&f, "")), 0);
	assert_int_equal(vworld_add_keys(w, "blk", "b", 0, keys_of(&f, "")),
			 -EBUSY);
	assert_int_equal(vworld_add_keys(w, "blk", "b", 0,
					 keys_of(&f, "read_only=on")),
			 -EBUSY);
	assert_int_equal(
		vworld_add_keys(w, "blk", "b", 0, keys_of(&f, "lock=off")), 0);
	assert_int_equal(vdpa_dev_del(w->bus, "a", NULL, NULL), 0);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0,
					 keys_of(&f, "read_only=on")),
			 0);
	assert_int_equal(vworld_add_keys(w, "blk", "c", 0,
					 keys_of(&f, "read_only=on")),
			 0);
	assert_int_equal(vworld_add_keys(w, "blk", "d", 0, keys_of(&f, "")),
			 -EBUSY);
	vworld_free(w);
	file_free(&f);
}

/* ---- a process that dies ---- */

/* The descriptor that requests go to: the other one's lock is at the end. */
static int find_request_fd(const struct file *f)
{
	struct stat want, st;

	assert_int_equal(fstat(f->fd, &want), 0);
	for (int fd = 0; fd < 1000; fd++) {
		struct flock other = { .l_type = F_WRLCK };

		if (fd != f->fd && fstat(fd, &st) == 0 &&
		    st.st_ino == want.st_ino && st.st_dev == want.st_dev &&
		    fcntl(fd, F_OFD_GETLK, &other) == 0 &&
		    other.l_type != F_UNLCK &&
		    other.l_start == FILE_LOCK_LIFE_BYTE) {
			return fd;
		}
	}
	return -1;
}

/* In a process of its own: a disk, what its requests go to sent to us. */
_Noreturn static void hold_disk(const struct file *f, int sock)
{
	struct vworld *w = vworld_new(NULL, 1);
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1, .n_fds = 1 };

	if (vworld_add_keys(w, "blk", "a", 0, keys_of(f, "")) < 0) {
		_exit(1);
	}
	msg.fds[0] = find_request_fd(f);
	if (msg.fds[0] < 0 || fd_send(sock, &msg, 0) != 1) {
		_exit(2);
	}
	for (;;) {
		(void)pause();
	}
}

/* Starts it. Return: its process; *ret_fd is a copy of its descriptor, which is
 * what a request in flight is */
static pid_t start_holder(const struct file *f, int *ret_fd)
{
	char byte;
	struct iovec iov = { &byte, 1 };
	struct fd_msg msg = { .iov = &iov, .n_iov = 1 };
	int socks[2];
	pid_t pid;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		(void)close(socks[0]);
		hold_disk(f, socks[1]);
	}
	(void)close(socks[1]);
	assert_int_equal(fd_recv(socks[0], &msg, 0), 1);
	assert_int_equal(msg.n_fds, 1);
	(void)close(socks[0]);
	*ret_fd = msg.fds[0];
	return pid;
}

/* Does anybody wait for a lock of the file? */
static bool is_waited_for(int fd)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256], ino[32];
	bool is_found = false;
	struct stat st;

	if (!locks || fstat(fd, &st) < 0) {
		return false;
	}
	(void)snprintf(ino, sizeof(ino), ":%lu ", (unsigned long)st.st_ino);
	while (fgets(line, sizeof(line), locks)) {
		is_found |= strstr(line, "->") && strstr(line, ino);
	}
	(void)fclose(locks);
	return is_found;
}

struct flight {
	int fd;
	int is_over; /* atomic: nobody comes any more */
	int has_landed; /* atomic */
};

/* A request in flight that lands when somebody waits for it. */
static void *fly(void *priv)
{
	struct flight *flight = priv;

	while (!is_waited_for(flight->fd) &&
	       !__atomic_load_n(&flight->is_over, __ATOMIC_ACQUIRE)) {
		(void)sched_yield();
	}
	__atomic_store_n(&flight->has_landed, 1, __ATOMIC_RELEASE);
	(void)close(flight->fd);
	return NULL;
}

static void test_requests_of_a_dead_process_are_waited_for(void **state)
{
	const struct variant *v = *state;
	struct flight flight = { 0 };
	struct vworld *w;
	pthread_t thread;
	struct file f;
	pid_t pid;
	int r, had_landed;

	if (access("/proc/locks", R_OK) < 0) {
		TEST_SKIP("no /proc/locks here, which tells who waits");
	}
	file_new(&f, v->folder);
	pid = start_holder(&f, &flight.fd);
	w = vworld_new(NULL, 1);
	assert_int_equal(vworld_add_keys(w, "blk", "b", 0, keys_of(&f, "")),
			 -EBUSY);
	assert_non_null(strstr(err_text(-EBUSY), "somebody else has it open"));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(pthread_create(&thread, NULL, fly, &flight), 0);
	r = vworld_add_keys(w, "blk", "b", 0, keys_of(&f, ""));
	had_landed = __atomic_load_n(&flight.has_landed, __ATOMIC_ACQUIRE);
	__atomic_store_n(&flight.is_over, 1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(r, 0);
	assert_int_equal(had_landed, 1);
	vworld_free(w);
	file_free(&f);
}

/* Nobody has died: what a worker's ring may still hold is let go of in time. */
static void test_a_disk_comes_back_at_once(void **state)
{
	const struct variant *v = *state;
	struct vworld *w = vworld_new(NULL, 1);
	struct vclient *c;
	struct file f;
	void *buf;

	file_new(&f, v->folder);
	for (unsigned int round = 0; round < 20; round++) {
		assert_int_equal(
			vworld_add_keys(w, "blk", "a", 0, keys_of(&f, "")), 0);
		assert_int_equal(vclient_open(w, "vhost-vdpa-0", &c), 0);
		vclient_start(c, v->features, 1, 256);
		buf = vclient_alloc(c, 4096, 4096);
		assert_int_equal(
			vclient_blk(c, 0, VIRTIO_BLK_T_OUT, 0, buf, 4096), OK);
		vclient_close(c);
		assert_int_equal(vdpa_dev_del(w->bus, "a", NULL, NULL), 0);
	}
	vworld_free(w);
	file_free(&f);
}

static void test_what_is_no_disk_is_refused(void **state)
{
	const struct variant *v = *state;
	struct vworld *w = vworld_new(NULL, 1);
	char keys[256];
	struct file f;

	file_new(&f, v->folder);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0, "backend=file"),
			 -EINVAL);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0,
					 "backend=file path="),
			 -EINVAL);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0,
					 "backend=file path=/nonexistent/x"),
			 -ENOENT);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0,
					 "backend=file path=/dev/null"),
			 -EINVAL);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0,
					 "backend=file path=/ read_only=on"),
			 -EINVAL);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0,
					 keys_of(&f, "direct=maybe")),
			 -EINVAL);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0,
					 keys_of(&f, "capacity=9M")),
			 -ENOSPC);
	assert_int_equal(ftruncate(f.fd, 511), 0);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0, keys_of(&f, "")),
			 -EINVAL);
	/* nobody reads from the other end */
	(void)snprintf(keys, sizeof(keys), "%s.fifo", f.path);
	assert_int_equal(mkfifo(keys, 0600), 0);
	(void)snprintf(keys, sizeof(keys), "backend=file path=%s.fifo", f.path);
	assert_int_equal(vworld_add_keys(w, "blk", "a", 0, keys), -EINVAL);
	(void)snprintf(keys, sizeof(keys), "%s.fifo", f.path);
	(void)unlink(keys);
	assert_null(vdpa_device_next(w->bus, NULL));
	vworld_free(w);
	file_free(&f);
}

static void test_read_only_file(void **state)
{
	const struct variant *v = *state;
	struct file f;

	file_new(&f, v->folder);
	assert_int_equal(fchmod(f.fd, 0400), 0);
	f.d = disk_start(F(RO) | F(FLUSH), keys_of(&f, "read_only=on"), 1);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_OUT, 0, 4096), IOERR);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_IN, 0, 4096), OK);
	assert_int_equal(disk_io(f.d, VIRTIO_BLK_T_FLUSH, 0, 0), OK);
	file_free(&f);
}

static const struct variant variants[] = {
	{ "tmpfs", "/dev/shm", "", 0 },
	{ "tmpfs_packed", "/dev/shm", "num_queues=2", RING_PACKED },
	{ "disk", ".", "", RING_PACKED },
	{ "disk_direct", ".", "direct=on", 0 },
	{ "disk_direct_packed", ".", "direct=on block_size=4096", RING_PACKED },
};

#define ON(name, i)                                                  \
	{                                                            \
#name "_" #i, name, NULL, NULL, (void *)&variants[i] \
	}
#define ALL(name) \
	ON(name, 0), ON(name, 1), ON(name, 2), ON(name, 3), ON(name, 4)

static const struct CMUnitTest tests[] = {
	ALL(test_writes_are_in_the_file),
	ALL(test_any_alignment_of_memory),
	ALL(test_zeroes_and_discards),
	ALL(test_many_at_once),
	ALL(test_truncated_under_us),
	ALL(test_grown_file_is_noticed_on_request),
	ALL(test_reset_and_suspend_with_writes_in_flight),
	ON(test_write_through, 0),
	ON(test_write_through, 2),
	ON(test_lock_keeps_a_second_opener_away, 0),
	ON(test_lock_keeps_a_second_opener_away, 2),
	ON(test_requests_of_a_dead_process_are_waited_for, 0),
	ON(test_requests_of_a_dead_process_are_waited_for, 2),
	ON(test_a_disk_comes_back_at_once, 0),
	ON(test_a_disk_comes_back_at_once, 2),
	ON(test_what_is_no_disk_is_refused, 2),
	ON(test_read_only_file, 2),
};

TEST_MAIN("dev_disk_file")
