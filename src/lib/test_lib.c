/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the library as a program sees it: devices, memory, disks, and each
 * thing that can be got wrong.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vdpakit/client.h>

#include "lib/test.h"

#define PAGE 4096UL

static struct vdpakit *new_kit(void)
{
	const struct vdpakit_options options = { .size = sizeof(options),
						 .n_workers = 1 };
	struct vdpakit *kit;

	assert_int_equal(vdpakit_new(&options, &kit), 0);
	return kit;
}

/* It failed like that, and says so, in its own name. */
#define assert_refused(call, code, who, words)                      \
	do {                                                        \
		assert_int_equal(call, code);                       \
		assert_ptr_equal(strstr(vdpakit_error(), who ": "), \
				 vdpakit_error());                  \
		assert_non_null(strstr(vdpakit_error(), words));    \
	} while (0)

static struct vdpakit_blk *open_disk(struct vdpakit *kit, const char *words,
				     const char *name)
{
	struct vdpakit_blk *blk = NULL;

	assert_int_equal(vdpakit_dev_add(kit, words), 0);
	if (vdpakit_blk_open(kit, name, NULL, &blk) < 0) {
		fail_msg("%s", vdpakit_error());
	}
	return blk;
}

/* ---- life ---- */

static void test_kits_come_and_go(void **state)
{
	unsigned int n_fds = test_count_fds();
	struct vdpakit *a, *b;

	a = new_kit();
	assert_int_equal(vdpakit_new(NULL, &b), 0);
	assert_int_equal(vdpakit_dev_add(a, "d0 vdpasim_blk"), 0);
	assert_int_equal(vdpakit_dev_add(b, "d0 vdpasim_blk"), 0);
	vdpakit_free(b);
	vdpakit_free(a);
	vdpakit_free(NULL);
	assert_int_equal(test_count_fds(), n_fds);
}

static void test_options_are_checked(void **state)
{
	struct {
		struct vdpakit_options options;
		uint64_t newer;
	} o = { .options = { .size = 0 } };
	struct vdpakit *kit = NULL;

	assert_refused(vdpakit_new(&o.options, &kit), -EINVAL, "vdpakit_new",
		       "size");
	o.options.size = sizeof(o);
	o.newer = 1;
	assert_refused(vdpakit_new(&o.options, &kit), -EINVAL, "vdpakit_new",
		       "this version");
	o.newer = 0;
	o.options.loop = "magic";
	assert_refused(vdpakit_new(&o.options, &kit), -EINVAL, "vdpakit_new",
		       "magic");
	o.options.loop = "epoll";
	o.options.n_workers = 1000;
	assert_refused(vdpakit_new(&o.options, &kit), -EINVAL, "vdpakit_new",
		       "1000 workers");
	assert_null(kit);
	/* A program that knows of one option only. */
	o.options.n_workers = 1;
	o.options.size = offsetof(struct vdpakit_options, loop);
	o.options.loop = "not looked at";
	assert_int_equal(vdpakit_new(&o.options, &kit), 0);
	vdpakit_free(kit);
}

static void test_no_kit_is_refused(void **state)
{
	struct vdpakit_blk *blk;
	void *va;

	assert_refused(vdpakit_dev_add(NULL, "x"), -EINVAL, "vdpakit_dev_add",
		       "no kit");
	assert_refused(vdpakit_dev_del(NULL, "x"), -EINVAL, "vdpakit_dev_del",
		       "no kit");
	assert_refused(vdpakit_mem_alloc(NULL, 1, &va), -EINVAL,
		       "vdpakit_mem_alloc", "no kit");
	assert_refused(vdpakit_blk_open(NULL, "x", NULL, &blk), -EINVAL,
		       "vdpakit_blk_open", "no kit");
	vdpakit_blk_close(NULL);
	assert_int_equal(vdpakit_blk_reset(NULL), -EINVAL);
}

static void test_a_forked_child_needs_its_own(void **state)
{
	struct vdpakit *kit = new_kit();
	int status, r;
	void *va;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		r = vdpakit_mem_alloc(kit, 1, &va);
		vdpakit_free(kit); /* has no effect, and does not hang */
		_exit(r == -EPERM && strstr(vdpakit_error(), "fork") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(vdpakit_mem_alloc(kit, 1, &va), 0);
	vdpakit_free(kit);
}

/* ---- devices ---- */

static void test_devices_are_added_and_deleted(void **state)
{
	struct vdpakit *kit = new_kit();

	assert_int_equal(vdpakit_dev_add(kit, "b0 blk backend=mem capacity 1M"),
			 0);
	assert_refused(vdpakit_dev_add(kit, "b0 vdpasim_blk"), -EEXIST,
		       "vdpakit_dev_add", "b0 already");
	assert_refused(vdpakit_dev_add(kit, "b1 nonesuch"), -ENODEV,
		       "vdpakit_dev_add", "management device");
	assert_refused(vdpakit_dev_add(kit, "b1 blk backend=mem bind x"),
		       -EINVAL, "vdpakit_dev_add", "bind");
	assert_refused(vdpakit_dev_add(kit, NULL), -EINVAL, "vdpakit_dev_add",
		       "words");
	assert_refused(vdpakit_dev_add(kit, ""), -EINVAL, "vdpakit_dev_add",
		       "");
	assert_refused(vdpakit_dev_add(kit, "b1 blk backend=mem colour=red"),
		       -EOPNOTSUPP, "vdpakit_dev_add", "colour");
	assert_int_equal(vdpakit_dev_del(kit, "b0"), 0);
	assert_refused(vdpakit_dev_del(kit, "b0"), -ENODEV, "vdpakit_dev_del",
		       "b0");
	assert_refused(vdpakit_dev_del(kit, NULL), -EINVAL, "vdpakit_dev_del",
		       "name");
	vdpakit_free(kit);
}

/* ---- memory ---- */

static void test_memory_is_checked(void **state)
{
	struct vdpakit *kit = new_kit();
	int fd = memfd_create("test", MFD_CLOEXEC);
	char *map, *other;
	void *va;

	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	map = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	other = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_refused(vdpakit_mem_alloc(kit, 0, &va), -EINVAL,
		       "vdpakit_mem_alloc", "0 bytes");
	assert_refused(vdpakit_mem_add(kit, map + 1, PAGE, fd, 0), -EINVAL,
		       "vdpakit_mem_add", "pages");
	assert_refused(vdpakit_mem_add(kit, NULL, PAGE, -1, 0), -EINVAL,
		       "vdpakit_mem_add", "pages");
	assert_refused(vdpakit_mem_add(kit, map, PAGE, fd, PAGE), -EINVAL,
		       "vdpakit_mem_add", "not of the file");
	assert_refused(vdpakit_mem_add(kit, other, PAGE, fd, 0), -EINVAL,
		       "vdpakit_mem_add", "not of the file");
	assert_refused(vdpakit_mem_add(kit, map, PAGE, 9999, 0), -EBADF,
		       "vdpakit_mem_add", "9999");
	(void)mprotect(other + PAGE, PAGE, PROT_READ);
	assert_refused(vdpakit_mem_add(kit, other, 2 * PAGE, -1, 0), -EINVAL,
		       "vdpakit_mem_add", "not all");
	(void)munmap(other + 3 * PAGE, PAGE);
	assert_refused(vdpakit_mem_add(kit, other + 2 * PAGE, 2 * PAGE, -1, 0),
		       -EINVAL, "vdpakit_mem_add", "not all");
	assert_int_equal(vdpakit_mem_add(kit, map + PAGE, PAGE, fd, PAGE), 0);
	assert_refused(vdpakit_mem_add(kit, map, 4 * PAGE, fd, 0), -EEXIST,
		       "vdpakit_mem_add", "known");
	assert_refused(vdpakit_mem_remove(kit, map), -EINVAL,
		       "vdpakit_mem_remove", "not the first");
	assert_int_equal(vdpakit_mem_remove(kit, map + PAGE), 0);
	assert_refused(vdpakit_mem_remove(kit, map + PAGE), -EINVAL,
		       "vdpakit_mem_remove", "not the first");
	vdpakit_free(kit);
	(void)munmap(map, 4 * PAGE);
	(void)munmap(other, 3 * PAGE);
	close(fd);
}

/* A piece too many, and nothing of it is left. */
static void test_memory_has_a_limit(void **state)
{
	struct vdpakit *kit = new_kit();
	void *first = NULL, *va;
	int r = 0;

	for (int i = 0; r == 0 && i < 2000; i++) {
		r = vdpakit_mem_alloc(kit, 1, &va);
		first = first ? first : va;
	}
	assert_int_equal(r, -ENOSPC);
	assert_non_null(strstr(vdpakit_error(), "limit"));
	assert_int_equal(vdpakit_mem_remove(kit, first), 0);
	assert_int_equal(vdpakit_mem_alloc(kit, 1, &va), 0);
	vdpakit_free(kit);
}

/* ---- disks ---- */

static void test_a_disk_keeps_what_is_written(void **state)
{
	struct vdpakit *kit = new_kit();
	struct vdpakit_blk *blk;
	struct vdpakit_blk_queue *q;
	struct vdpakit_blk_info info;
	void *va;
	char *buf;

	assert_int_equal(vdpakit_mem_alloc(kit, 2 * PAGE, &va), 0);
	buf = va;
	blk = open_disk(kit, "b0 blk backend=mem capacity=1M", "b0");
	vdpakit_blk_get_info(blk, &info, sizeof(info));
	assert_int_equal(info.capacity_bytes, 1 << 20);
	q = vdpakit_blk_get_queue(blk, 0);
	memset(buf, 'x', PAGE);
	assert_int_equal(vdpakit_blk_write(q, buf, PAGE, 8192), 0);
	assert_int_equal(vdpakit_blk_read(q, buf + PAGE, PAGE, 8192), 0);
	assert_memory_equal(buf, buf + PAGE, PAGE);
	/* It has no write cache: what there is to flush it does not say. */
	assert_int_equal(vdpakit_blk_flush(q),
			 info.can_flush ? 0 : -EOPNOTSUPP);
	/* Memory that comes while it is open. */
	assert_int_equal(vdpakit_mem_alloc(kit, PAGE, &va), 0);
	assert_int_equal(vdpakit_blk_read(q, va, PAGE, 8192), 0);
	assert_memory_equal(buf, va, PAGE);
	/* ... and goes. */
	assert_int_equal(vdpakit_mem_remove(kit, va), 0);
	assert_int_equal(vdpakit_blk_read(q, va, PAGE, 8192), -EFAULT);
	vdpakit_blk_close(blk);
	/* And again: what is open at the end is closed. */
	assert_int_equal(vdpakit_blk_open(kit, "b0", NULL, &blk), 0);
	q = vdpakit_blk_get_queue(blk, 0);
	assert_int_equal(vdpakit_blk_read(q, buf, PAGE, 8192), 0);
	assert_int_equal(buf[7], 'x');
	vdpakit_free(kit);
}

static void test_memory_of_a_program_is_reached(void **state)
{
	struct vdpakit *kit = new_kit();
	int fd = memfd_create("test", MFD_CLOEXEC);
	char *map, *own, back;
	struct vdpakit_blk *blk;
	struct vdpakit_blk_queue *q;

	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   3 * PAGE);
	own = aligned_alloc(PAGE, PAGE);
	blk = open_disk(kit, "b0 vdpasim_blk", "b0");
	q = vdpakit_blk_get_queue(blk, 0);
	assert_int_equal(vdpakit_blk_write(q, own, 512, 0), -EFAULT);
	assert_int_equal(vdpakit_mem_add(kit, own, PAGE, -1, 0), 0);
	assert_int_equal(vdpakit_mem_add(kit, map, PAGE, fd, 3 * PAGE), 0);
	memset(own, 'p', PAGE);
	assert_int_equal(vdpakit_blk_write(q, own, PAGE, 0), 0);
	assert_int_equal(vdpakit_blk_read(q, map, PAGE, 0), 0);
	assert_int_equal(pread(fd, &back, 1, 3 * PAGE + 5), 1);
	assert_int_equal(back, 'p');
	assert_int_equal(vdpakit_mem_remove(kit, own), 0);
	assert_int_equal(vdpakit_mem_remove(kit, map), 0);
	free(own);
	(void)munmap(map, PAGE);
	close(fd);
	vdpakit_free(kit);
}

static void test_open_is_checked(void **state)
{
	struct {
		struct vdpakit_blk_options options;
		uint64_t newer;
	} o = { .options = { .size = sizeof(o) }, .newer = 1 };
	struct vdpakit *kit = new_kit();
	struct vdpakit_blk *blk, *none = NULL;

	assert_refused(vdpakit_blk_open(kit, "b0", NULL, &none), -ENODEV,
		       "vdpakit_blk_open", "b0");
	assert_refused(vdpakit_blk_open(kit, NULL, NULL, &none), -EINVAL,
		       "vdpakit_blk_open", "name");
	blk = open_disk(kit, "b0 vdpasim_blk", "b0");
	assert_refused(vdpakit_blk_open(kit, "b0", NULL, &none), -EBUSY,
		       "vdpakit_blk_open", "b0");
	vdpakit_blk_close(blk);
	assert_refused(vdpakit_blk_open(kit, "b0", &o.options, &none), -EINVAL,
		       "vdpakit_blk_open", "this version");
	o.options.size = sizeof(o.options);
	o.options.queue_size = 3;
	assert_refused(vdpakit_blk_open(kit, "b0", &o.options, &none), -EINVAL,
		       "vdpakit_blk_open", "power of two");
	assert_int_equal(vdpakit_dev_add(kit, "n0 vdpasim_net"), 0);
	assert_refused(vdpakit_blk_open(kit, "n0", NULL, &none), -ENOTBLK,
		       "vdpakit_blk_open", "n0");
	assert_null(none);
	/* What failed has let go of it. */
	assert_int_equal(vdpakit_blk_open(kit, "b0", NULL, &blk), 0);
	assert_null(vdpakit_blk_get_queue(blk, 1));
	vdpakit_free(kit);
}

static void *use_queue(void *arg)
{
	return (void *)(intptr_t)vdpakit_blk_submit(arg);
}

static int submit_elsewhere(struct vdpakit_blk_queue *q)
{
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, use_queue, q), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	return (int)(intptr_t)result;
}

static void test_a_queue_has_one_thread(void **state)
{
	struct vdpakit *kit = new_kit();
	struct vdpakit_blk *blk = open_disk(kit, "b0 vdpasim_blk", "b0");
	struct vdpakit_blk_queue *q = vdpakit_blk_get_queue(blk, 0);

	assert_int_equal(vdpakit_blk_submit(q), 0);
	assert_int_equal(submit_elsewhere(q), -EPERM);
	assert_int_equal(vdpakit_blk_release(q), 0);
	assert_int_equal(submit_elsewhere(q), 0);
	vdpakit_free(kit);
}

static void test_a_device_goes_while_it_is_open(void **state)
{
	struct vdpakit *kit = new_kit();
	struct vdpakit_blk *blk = open_disk(kit, "b0 vdpasim_blk", "b0");
	struct vdpakit_blk_queue *q = vdpakit_blk_get_queue(blk, 0);
	struct pollfd fd = { .fd = vdpakit_blk_fd(q), .events = POLLIN };
	struct vdpakit_blk_done done;
	void *va;

	assert_int_equal(vdpakit_mem_alloc(kit, PAGE, &va), 0);
	assert_int_equal(vdpakit_blk_arm(q), 0);
	assert_int_equal(vdpakit_dev_del(kit, "b0"), 0);
	assert_int_equal(poll(&fd, 1, 10000), 1);
	assert_int_equal(vdpakit_blk_poll(q, &done, 1), -ENODEV);
	assert_int_equal(vdpakit_blk_read(q, va, 512, 0), -ENODEV);
	assert_refused(vdpakit_blk_reset(blk), -ENODEV, "vdpakit_blk_reset",
		       "b0");
	/* The name is free, memory comes and goes. */
	assert_int_equal(vdpakit_dev_add(kit, "b0 vdpasim_blk"), 0);
	assert_int_equal(vdpakit_mem_remove(kit, va), 0);
	vdpakit_blk_close(blk);
	assert_int_equal(vdpakit_blk_open(kit, "b0", NULL, &blk), 0);
	vdpakit_free(kit);
}

static void test_reset_starts_again(void **state)
{
	struct vdpakit *kit = new_kit();
	struct vdpakit_blk *blk = open_disk(kit, "b0 vdpasim_blk", "b0");
	struct vdpakit_blk_queue *q = vdpakit_blk_get_queue(blk, 0);
	void *va;

	assert_int_equal(vdpakit_mem_alloc(kit, PAGE, &va), 0);
	memset(va, 'r', 512);
	assert_int_equal(vdpakit_blk_write(q, va, 512, 512), 0);
	assert_int_equal(vdpakit_blk_reset(blk), 0);
	memset(va, 0, 512);
	assert_int_equal(vdpakit_blk_read(q, va, 512, 512), 0);
	assert_int_equal(*(char *)va, 'r');
	vdpakit_free(kit);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_kits_come_and_go),
	cmocka_unit_test(test_options_are_checked),
	cmocka_unit_test(test_no_kit_is_refused),
	cmocka_unit_test(test_a_forked_child_needs_its_own),
	cmocka_unit_test(test_devices_are_added_and_deleted),
	cmocka_unit_test(test_memory_is_checked),
	cmocka_unit_test(test_memory_has_a_limit),
	cmocka_unit_test(test_a_disk_keeps_what_is_written),
	cmocka_unit_test(test_memory_of_a_program_is_reached),
	cmocka_unit_test(test_open_is_checked),
	cmocka_unit_test(test_a_queue_has_one_thread),
	cmocka_unit_test(test_a_device_goes_while_it_is_open),
	cmocka_unit_test(test_reset_starts_again),
};

TEST_MAIN("lib")
