/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the core of cdev/, through the local carrier.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cdev/cdev_internal.h"
#include "cdev/test_toy.h"

struct fixture {
	struct loop *loop;
	struct cdev *cdev;
	struct toy *toy;
	struct cdev_local *local;
	struct cdev_local *child;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(loop_new("control", &f->loop), 0);
	assert_int_equal(cdev_new(f->loop, &f->cdev), 0);
	assert_int_equal(toy_new(f->cdev, "vhost-vdpa-0", 0, &f->toy), 0);
	assert_int_equal(cdev_local_new(f->cdev, &f->local), 0);
	assert_int_equal(cdev_local_new(f->cdev, &f->child), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_null(cdev_local_free(f->local));
	assert_null(cdev_local_free(f->child));
	assert_null(toy_free(f->toy));
	assert_null(cdev_free(f->cdev));
	assert_null(loop_free(f->loop));
	free(f);
	return 0;
}

static struct cdev_file *open_toy(struct fixture *f, int flags)
{
	struct cdev_file *file = NULL;

	assert_int_equal(
		cdev_local_open(f->local, "vhost-vdpa-0", flags, &file), 0);
	assert_non_null(file);
	return file;
}

static void test_node_names_checked(void **state)
{
	struct fixture *f = *state;
	char longest[CDEV_NAME_MAX + 2];
	struct cdev_node *node = NULL;
	static const struct cdev_ops ops;

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(cdev_node_new(f->cdev, "c", longest, 0, &ops, NULL,
				       &node),
			 -EINVAL);
	assert_int_equal(cdev_node_new(f->cdev, "c", "", 0, &ops, NULL, &node),
			 -EINVAL);
	assert_int_equal(cdev_node_new(f->cdev, "c", "/x", 0, &ops, NULL,
				       &node),
			 -EINVAL);
	assert_int_equal(cdev_node_new(f->cdev, "c", "vhost-vdpa-0", 0, &ops,
				       NULL, &node),
			 -EEXIST);
	longest[CDEV_NAME_MAX] = '\0';
	assert_int_equal(
		cdev_node_new(f->cdev, "c", longest, 0, &ops, NULL, &node), 0);
	assert_null(cdev_node_free(node));
	assert_null(cdev_node_free(NULL));
}

static void test_node_rdev_same_major_in_class(void **state)
{
	struct fixture *f = *state;
	static const struct cdev_ops ops;
	struct cdev_node *a, *b, *c;

	assert_int_equal(
		cdev_node_new(f->cdev, "toys", "toy-1", 1, &ops, NULL, &a), 0);
	assert_int_equal(
		cdev_node_new(f->cdev, "toys", "toy-2", 2, &ops, NULL, &b), 0);
	assert_int_equal(
		cdev_node_new(f->cdev, "mem", "mem-1", 7, &ops, NULL, &c), 0);
	assert_int_equal(major(cdev_node_rdev(a)), major(cdev_node_rdev(b)));
	assert_int_equal(minor(cdev_node_rdev(a)), 1);
	assert_int_equal(minor(cdev_node_rdev(b)), 2);
	/* The kernel has class "mem", with major 1. */
	assert_int_equal(major(cdev_node_rdev(c)), 1);
	assert_int_not_equal(major(cdev_node_rdev(a)),
			     major(cdev_node_rdev(c)));
	(void)cdev_node_free(a);
	(void)cdev_node_free(b);
	(void)cdev_node_free(c);
}

static void test_open_unknown_node_enoent(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = NULL;

	assert_int_equal(cdev_local_open(f->local, "vhost-vdpa-1", O_RDWR,
					 &file),
			 -ENOENT);
	assert_null(file);
}

static void test_open_refused_no_release(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = NULL;

	toy_set_open_result(f->toy, -EIO);
	assert_int_equal(
		cdev_local_open(f->local, "vhost-vdpa-0", O_RDWR, &file), -EIO);
	assert_null(file);
	assert_int_equal(toy_counts(f->toy).n_opens, 0);
	assert_int_equal(toy_counts(f->toy).n_releases, 0);
}

static void test_open_twice_ebusy_close_reopens(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = open_toy(f, O_RDWR), *second = NULL;

	assert_int_equal(cdev_local_open(f->local, "vhost-vdpa-0", O_RDWR,
					 &second),
			 -EBUSY);
	cdev_local_close(f->local, file);
	assert_int_equal(toy_counts(f->toy).n_releases, 1);
	file = open_toy(f, O_RDWR);
	cdev_local_close(f->local, file);
	assert_int_equal(toy_counts(f->toy).n_releases, 2);
}

static void test_open_cancelled_is_released(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = NULL;

	toy_set_open_result(f->toy, CDEV_PENDING);
	assert_int_equal(cdev_local_open(f->local, "vhost-vdpa-0", O_RDWR,
					 &file),
			 -EDEADLK);
	assert_null(file);
	assert_int_equal(toy_counts(f->toy).n_cancels, 1);
	assert_int_equal(toy_counts(f->toy).n_releases, 1);
}

static void finish_open(void *priv)
{
	toy_finish(priv, 0);
}

static void test_open_pending_then_done(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file;

	toy_set_open_result(f->toy, CDEV_PENDING);
	cdev_local_set_turn(f->local, finish_open, f->toy);
	file = open_toy(f, O_RDWR);
	cdev_local_close(f->local, file);
	assert_int_equal(toy_counts(f->toy).n_releases, 1);
}

static void test_ioctl_copies_both_ways(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = open_toy(f, O_RDWR);
	uint64_t v = 41;

	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_ADD, &v), 0);
	assert_int_equal(v, 42);
	/* Sign-extended, as an int request is. */
	assert_int_equal(cdev_local_ioctl(f->local, file,
					  (uint64_t)(int32_t)TOY_ADD, &v),
			 0);
	assert_int_equal(v, 43);
	assert_int_equal(cdev_local_ioctl(f->local, file, 0x1234, &v), -ENOTTY);
	cdev_local_close(f->local, file);
}

static void test_ioctl_bad_pointer_efault(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = open_toy(f, O_RDWR);
	long page = sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + page, (size_t)page, PROT_NONE), 0);
	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_ADD, NULL),
			 -EFAULT);
	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_ADD,
					  p + page - 4),
			 -EFAULT);
	assert_int_equal(mprotect(p, (size_t)page, PROT_READ), 0);
	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_ADD, p), -EFAULT);
	assert_int_equal(munmap(p, 2 * (size_t)page), 0);
	cdev_local_close(f->local, file);
}

static void test_ioctl_fds_in_and_out(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = open_toy(f, O_RDWR);
	int32_t arg[2] = { 0, eventfd(0, EFD_CLOEXEC) };
	char text[4] = { 0 };
	uint64_t n;
	int64_t fd;

	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_KICK, arg), 0);
	assert_int_equal(read(arg[1], &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	close(arg[1]);
	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_KICK, arg),
			 -EBADF);
	fd = cdev_local_ioctl(f->local, file, TOY_GET_FD, NULL);
	assert_true(fd >= 0);
	assert_int_equal(pread((int)fd, text, 3, 0), 3);
	assert_string_equal(text, "toy");
	close((int)fd);
	cdev_local_close(f->local, file);
}

static void test_task_is_the_client_not_the_file(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = open_toy(f, O_RDWR);
	uint32_t task = 0;

	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_TASK, &task), 0);
	assert_int_equal(task, 1);
	assert_int_equal(cdev_local_ioctl(f->child, file, TOY_TASK, &task), 0);
	assert_int_equal(task, 2);
	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_TASK, &task), 0);
	assert_int_equal(task, 1);
	cdev_local_close(f->local, file);
}

static void test_task_memory_is_read(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = open_toy(f, O_RDWR);
	uint8_t bytes[10] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
	struct toy_range range = { (uintptr_t)bytes, sizeof(bytes) };

	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_SUM, &range), 0);
	assert_int_equal(range.uaddr, 55);
	cdev_local_close(f->local, file);
}

static void test_write_checks_mode_and_length(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = open_toy(f, O_RDONLY);
	char buf[72] = { 0 };

	assert_int_equal(cdev_local_write(f->local, file, buf, 72), -EBADF);
	assert_int_equal(toy_counts(f->toy).n_writes, 0);
	cdev_local_close(f->local, file);
	file = open_toy(f, O_WRONLY);
	assert_int_equal(cdev_local_write(f->local, file, buf, 72), 72);
	assert_int_equal(cdev_local_write(f->local, file, buf, 40), 72);
	assert_int_equal(cdev_local_write(f->local, file, buf, 39), -EINVAL);
	assert_int_equal(cdev_local_write(f->local, file, NULL, 72), -EFAULT);
	assert_int_equal(cdev_local_read(f->local, file, buf, 72), -EBADF);
	cdev_local_close(f->local, file);
	file = open_toy(f, O_RDWR);
	assert_int_equal(cdev_local_read(f->local, file, buf, 72), -EINVAL);
	cdev_local_close(f->local, file);
}

static void test_mmap_kernel_checks_first(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = open_toy(f, O_WRONLY);
	struct cdev_mmap args = { 4096, 0, PROT_WRITE, MAP_SHARED };
	uint64_t offset;
	int fd;

	assert_int_equal(cdev_local_mmap(f->local, file, &args, &fd, &offset),
			 -EACCES);
	cdev_local_close(f->local, file);
	file = open_toy(f, O_RDWR);
	assert_int_equal(cdev_local_mmap(f->local, file, &args, &fd, &offset),
			 -CDEV_ENOTSUPP);
	args.length = 0;
	assert_int_equal(cdev_local_mmap(f->local, file, &args, &fd, &offset),
			 -EINVAL);
	args.length = 4096;
	args.offset = 4096;
	assert_int_equal(cdev_local_mmap(f->local, file, &args, &fd, &offset),
			 0);
	assert_true(fd >= 0);
	assert_int_equal(offset, 0);
	close(fd);
	cdev_local_close(f->local, file);
}

static void test_call_finished_inside_operation(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = open_toy(f, O_RDWR);

	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_EARLY, NULL), 7);
	cdev_local_close(f->local, file);
}

struct pender {
	struct fixture *f;
	struct cdev_file *file;
	int64_t result;
};

static void *pend(void *priv)
{
	struct pender *p = priv;

	p->result = cdev_local_ioctl(p->f->local, p->file, TOY_PEND, NULL);
	return NULL;
}

static void test_pending_call_blocks_its_thread_only(void **state)
{
	struct fixture *f = *state;
	struct pender p = { .f = f };
	uint32_t result = 99;
	pthread_t thread;
	int64_t r;

	assert_int_equal(loop_start(f->loop), 0);
	p.file = open_toy(f, O_RDWR);
	assert_int_equal(pthread_create(&thread, NULL, pend, &p), 0);
	do {
		r = cdev_local_ioctl(f->child, p.file, TOY_FINISH, &result);
	} while (r == -EAGAIN);
	assert_int_equal(r, 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(p.result, 99);
	cdev_local_close(f->local, p.file);
	loop_stop(f->loop);
}

struct reader {
	struct fixture *f;
	struct cdev_file *file;
	uint64_t value;
	int64_t result;
};

static void *read_one(void *priv)
{
	struct reader *r = priv;

	r->result = cdev_local_read(r->f->local, r->file, &r->value, 8);
	return NULL;
}

static void test_queue_reads_in_order(void **state)
{
	struct fixture *f = *state;
	struct cdev_file *file = NULL;
	struct toy *toy;
	uint64_t v[2];

	assert_int_equal(toy_new_queue(f->cdev, "queue", 9, &toy), 0);
	assert_int_equal(cdev_local_open(f->local, "queue", O_RDWR | O_NONBLOCK,
					 &file),
			 0);
	assert_int_equal(cdev_local_read(f->local, file, v, 8), -EAGAIN);
	assert_int_equal(cdev_local_read(f->local, file, v, 7), -EINVAL);
	for (v[0] = 0; v[0] < CDEV_PIECES_MAX; v[0]++) {
		assert_int_equal(cdev_local_ioctl(f->local, file, TOY_PUSH, v),
				 0);
	}
	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_PUSH, v),
			 -ENOBUFS);
	for (uint64_t i = 0; i < CDEV_PIECES_MAX - 1; i++) {
		assert_int_equal(cdev_local_read(f->local, file, v, 16), 8);
		assert_int_equal(v[0], i);
	}
	cdev_local_close(f->local, file); /* with one left */
	assert_null(toy_free(toy));
}

static void test_queue_read_waits_for_push(void **state)
{
	struct fixture *f = *state;
	struct reader r = { .f = f };
	struct toy *toy;
	pthread_t thread;
	uint64_t v = 12;

	assert_int_equal(toy_new_queue(f->cdev, "queue", 9, &toy), 0);
	assert_int_equal(cdev_local_open(f->local, "queue", O_RDWR, &r.file),
			 0);
	/* Nobody will push: the call is cancelled by the core itself. */
	assert_int_equal(cdev_local_read(f->local, r.file, &r.value, 8),
			 -EDEADLK);
	assert_int_equal(toy_counts(toy).n_cancels, 0);
	assert_int_equal(loop_start(f->loop), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_one, &r), 0);
	assert_int_equal(cdev_local_ioctl(f->child, r.file, TOY_PUSH, &v), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(r.result, 8);
	assert_int_equal(r.value, 12);
	cdev_local_close(f->local, r.file);
	loop_stop(f->loop);
	assert_null(toy_free(toy));
}

static void test_node_free_keeps_open_file(void **state)
{
	struct fixture *f = *state;
	static const struct cdev_ops ops;
	struct cdev_node *node;
	struct cdev_file *file = NULL, *second = NULL;
	uint64_t v;

	assert_int_equal(cdev_node_new(f->cdev, "vhost-vdpa", "vhost-vdpa-9", 9,
				       &ops, NULL, &node),
			 0);
	assert_int_equal(
		cdev_local_open(f->local, "vhost-vdpa-9", O_RDWR, &file), 0);
	(void)cdev_node_free(node);
	assert_int_equal(cdev_local_open(f->local, "vhost-vdpa-9", O_RDWR,
					 &second),
			 -ENOENT);
	/* The defaults of an empty table of operations. */
	assert_int_equal(cdev_local_ioctl(f->local, file, TOY_ADD, &v),
			 -ENOTTY);
	assert_int_equal(cdev_local_write(f->local, file, &v, 8), -EINVAL);
	cdev_local_close(f->local, file);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	T(test_node_names_checked),
	T(test_node_rdev_same_major_in_class),
	T(test_open_unknown_node_enoent),
	T(test_open_refused_no_release),
	T(test_open_twice_ebusy_close_reopens),
	T(test_open_cancelled_is_released),
	T(test_open_pending_then_done),
	T(test_ioctl_copies_both_ways),
	T(test_ioctl_bad_pointer_efault),
	T(test_ioctl_fds_in_and_out),
	T(test_task_is_the_client_not_the_file),
	T(test_task_memory_is_read),
	T(test_write_checks_mode_and_length),
	T(test_mmap_kernel_checks_first),
	T(test_call_finished_inside_operation),
	T(test_pending_call_blocks_its_thread_only),
	T(test_queue_reads_in_order),
	T(test_queue_read_waits_for_push),
	T(test_node_free_keeps_open_file),
};

TEST_MAIN("cdev")
