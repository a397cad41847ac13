/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A toy node for the tests of the carriers; see test_toy.h.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cdev/test_toy.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define TOY_PENDING_MAX 64
#define TOY_TASKS_MAX	64

struct toy {
	struct cdev_node *node;
	struct toy_counts counts;
	bool is_open;
	struct cdev_file *file;
	bool has_slow_writes;
	unsigned int n_caught_up;
	int64_t open_result;
	struct cdev_call *pending[TOY_PENDING_MAX];
	unsigned int n_pending;
	struct cdev_task *tasks[TOY_TASKS_MAX];
	unsigned int n_tasks;
	uint8_t config[TOY_CONFIG_SIZE];
	struct cdev_words *words;
	int injected[TOY_INJECTS_MAX]; /* eventfds + 1 */
	uint32_t n_injects[TOY_INJECTS_MAX];
};

static struct toy *toy_of(struct cdev_file *file)
{
	return cdev_node_priv(cdev_file_node(file));
}

static int64_t toy_keep(struct toy *toy, struct cdev_call *call)
{
	if (toy->n_pending == TOY_PENDING_MAX) {
		return -ENOSPC;
	}
	toy->pending[toy->n_pending++] = call;
	return CDEV_PENDING;
}

static struct cdev_call *toy_take(struct toy *toy, unsigned int i)
{
	struct cdev_call *call = toy->pending[i];

	toy->n_pending--;
	memmove(&toy->pending[i], &toy->pending[i + 1],
		(toy->n_pending - i) * sizeof(toy->pending[0]));
	return call;
}

static int64_t toy_open(struct cdev_node *node, struct cdev_file *file,
			struct cdev_call *call)
{
	struct toy *toy = cdev_node_priv(node);

	if (toy->is_open) {
		return -EBUSY;
	}
	if (toy->open_result < 0 && toy->open_result != CDEV_PENDING) {
		return toy->open_result;
	}
	toy->counts.n_opens++;
	toy->is_open = true;
	toy->file = file;
	return toy->open_result == CDEV_PENDING ? toy_keep(toy, call) : 0;
}

static void toy_release(struct cdev_file *file)
{
	struct toy *toy = toy_of(file);

	assert(toy->is_open);
	assert(toy->n_pending == 0);
	toy->file = NULL;
	toy->words = cdev_words_free(toy->words);
	for (unsigned int i = 0; i < TOY_INJECTS_MAX; i++) {
		(void)close_fd(toy->injected[i] - 1);
		toy->injected[i] = 0;
		toy->n_injects[i] = 0;
	}
	toy->is_open = false;
	toy->counts.n_releases++;
	for (unsigned int i = 0; i < toy->n_tasks; i++) {
		(void)cdev_task_unref(toy->tasks[i]);
	}
	toy->n_tasks = 0;
}

static void toy_cancel(struct cdev_file *file, struct cdev_call *call)
{
	struct toy *toy = toy_of(file);

	for (unsigned int i = 0; i < toy->n_pending; i++) {
		if (toy->pending[i] == call) {
			(void)toy_take(toy, i);
			toy->counts.n_cancels++;
			return;
		}
	}
	abort();
}

static uint32_t task_number(struct toy *toy, struct cdev_call *call)
{
	struct cdev_task *task = cdev_call_task(call);

	for (unsigned int i = 0; i < toy->n_tasks; i++) {
		if (toy->tasks[i] == task) {
			return i + 1;
		}
	}
	assert(toy->n_tasks < TOY_TASKS_MAX);
	toy->tasks[toy->n_tasks++] = cdev_task_ref(task);
	return toy->n_tasks;
}

static int64_t toy_add(struct cdev_call *call, uint64_t arg)
{
	uint64_t v;
	int r = cdev_copy_from(call, &v, arg, sizeof(v));

	if (r < 0) {
		return r;
	}
	v++;
	return cdev_copy_to(call, arg, &v, sizeof(v));
}

static int64_t toy_kick(struct cdev_call *call, uint64_t arg)
{
	struct {
		uint32_t idx;
		int32_t fd;
	} file;
	_cleanup_close_ int fd = -1;
	uint64_t one = 1;
	int r = cdev_copy_from(call, &file, arg, sizeof(file));

	if (r < 0) {
		return r;
	}
	fd = cdev_get_fd(call, file.fd);
	if (fd < 0) {
		return fd;
	}
	if (!fd_is_eventfd(fd)) {
		return -EINVAL;
	}
	return fd_write_all(fd, &one, sizeof(one));
}

static int toy_memfd(void)
{
	int fd = memfd_create("toy", MFD_CLOEXEC);

	if (fd >= 0 && fd_write_all(fd, "toy", 3) < 0) {
		fd = close_fd(fd);
	}
	return fd;
}

static int64_t toy_finish_oldest(struct toy *toy, struct cdev_call *call,
				 uint64_t arg)
{
	uint32_t result;
	int r = cdev_copy_from(call, &result, arg, sizeof(result));

	if (r < 0) {
		return r;
	}
	if (toy->n_pending == 0) {
		return -EAGAIN;
	}
	cdev_call_finish(toy_take(toy, 0), result);
	return 0;
}

static int64_t toy_sum(struct cdev_call *call, uint64_t arg)
{
	struct client_mem *mem = cdev_task_mem(cdev_call_task(call));
	struct toy_range range;
	uint8_t buf[4096];
	uint64_t sum = 0;
	int r = cdev_copy_from(call, &range, arg, sizeof(range));

	if (!mem) {
		return -EFAULT;
	}
	while (r >= 0 && range.len > 0) {
		size_t n = min_of(range.len, (uint64_t)sizeof(buf));

		r = foreign_mem_read(client_mem_foreign(mem), range.uaddr, buf,
				     n);
		for (size_t i = 0; r >= 0 && i < n; i++) {
			sum += buf[i];
		}
		range.uaddr += n;
		range.len -= n;
	}
	return r < 0 ? r : cdev_copy_to(call, arg, &sum, sizeof(sum));
}

static int64_t toy_kinds(struct cdev_call *call, uint64_t arg)
{
	struct client_mem *mem = cdev_task_mem(cdev_call_task(call));
	struct client_piece pieces[16];
	struct toy_range range;
	int64_t kinds = 0;
	int n = cdev_copy_from(call, &range, arg, sizeof(range));

	if (n < 0 || !mem) {
		return n < 0 ? n : -EFAULT;
	}
	n = client_mem_resolve(mem, range.uaddr, range.len, MEM_PERM_RW, pieces,
			       ARRAY_SIZE(pieces));
	for (int i = 0; i < n; i++) {
		kinds |= 1 << region_kind(pieces[i].region);
		(void)region_unref(pieces[i].region);
	}
	return n < 0 ? n : kinds;
}

static int64_t toy_config(struct toy *toy, struct cdev_call *call, bool is_set,
			  uint64_t arg)
{
	struct {
		uint32_t off;
		uint32_t len;
	} head;
	int r = cdev_copy_from(call, &head, arg, sizeof(head));

	if (r < 0) {
		return r;
	}
	if (head.len == 0 || !range_fits(head.off, head.len, TOY_CONFIG_SIZE)) {
		return -EINVAL;
	}
	if (is_set) {
		return cdev_copy_from(call, toy->config + head.off,
				      arg + sizeof(head), head.len);
	}
	return cdev_copy_to(call, arg + sizeof(head), toy->config + head.off,
			    head.len);
}

static int64_t toy_probe(struct cdev_call *call, uint64_t arg)
{
	uint8_t byte;
	int64_t n = 0;

	while (n < CDEV_DATA_MAX &&
	       cdev_copy_from(call, &byte, arg + (uint64_t)n, 1) == 0) {
		n++;
	}
	return n;
}

static int64_t toy_push(struct cdev_file *file, struct cdev_call *call,
			uint64_t arg)
{
	uint64_t v;
	int r = cdev_copy_from(call, &v, arg, sizeof(v));

	return r < 0 ? r : cdev_file_push(file, &v, sizeof(v));
}

static int64_t toy_inject(struct toy *toy, struct cdev_call *call, uint32_t cmd,
			  uint64_t arg)
{
	struct toy_injects injects;
	uint32_t idx;

	if (cdev_copy_from(call, &idx, arg, sizeof(idx)) < 0) {
		return -EFAULT;
	}
	if (idx >= TOY_INJECTS_MAX) {
		return -EINVAL;
	}
	if (!toy->words) {
		assert(cdev_words_new(&toy->words) == 0);
	}
	if (toy->injected[idx] == 0) {
		toy->injected[idx] = eventfd(0, EFD_CLOEXEC) + 1;
	}
	switch (cmd) {
	case TOY_INJECT:
		toy->n_injects[idx]++;
		assert(eventfd_write(toy->injected[idx] - 1, 1) == 0);
		if (cdev_call_is_trusted(call)) {
			cdev_words_offer(toy->words, idx,
					 toy->injected[idx] - 1, call);
		}
		return 0;
	case TOY_REVOKE:
		cdev_words_revoke(toy->words, idx);
		return 0;
	default:
		injects.idx = idx;
		injects.n_calls = toy->n_injects[idx];
		assert(eventfd_read(toy->injected[idx] - 1, &injects.n_all) ==
		       0);
		assert(eventfd_write(toy->injected[idx] - 1, injects.n_all) ==
		       0);
		return cdev_copy_to(call, arg, &injects, sizeof(injects));
	}
}

static int64_t toy_ioctl(struct cdev_file *file, struct cdev_call *call,
			 uint32_t cmd, uint64_t arg)
{
	struct toy *toy = toy_of(file);
	uint32_t number;

	switch (cmd) {
	case TOY_ADD:
		return toy_add(call, arg);
	case TOY_TASK:
		number = task_number(toy, call);
		return cdev_copy_to(call, arg, &number, sizeof(number));
	case TOY_KICK:
		return toy_kick(call, arg);
	case TOY_GET_FD:
		return cdev_put_fd(call, toy_memfd());
	case TOY_PEND:
		return toy_keep(toy, call);
	case TOY_FINISH:
		return toy_finish_oldest(toy, call, arg);
	case TOY_EARLY:
		cdev_call_finish(call, 7);
		return CDEV_PENDING;
	case TOY_SUM:
		return toy_sum(call, arg);
	case TOY_KINDS:
		return toy_kinds(call, arg);
	case TOY_GET_CONFIG:
	case TOY_SET_CONFIG:
		return toy_config(toy, call, cmd == TOY_SET_CONFIG, arg);
	case TOY_COUNTS:
		return cdev_copy_to(call, arg, &toy->counts,
				    sizeof(toy->counts));
	case TOY_PROBE:
		return toy_probe(call, arg);
	case TOY_INJECT:
	case TOY_REVOKE:
	case TOY_INJECTS:
		return toy_inject(toy, call, cmd, arg);
	case TOY_PUSH:
		return toy_push(file, call, arg);
	default:
		return -ENOTTY;
	}
}

/* As vhost-vdpa: 72 whatever the length; less than 40 is -EINVAL. */
static int64_t toy_write(struct cdev_file *file, struct cdev_call *call,
			 const void *buf, size_t len)
{
	struct toy *toy = toy_of(file);

	toy->counts.n_writes++;
	toy->counts.n_write_bytes += (uint32_t)len;
	toy->counts.last_task = task_number(toy, call);
	if (toy->has_slow_writes) {
		return toy_keep(toy, call);
	}
	return len < 40 ? -EINVAL : 72;
}

static void toy_caught_up(struct cdev_file *file)
{
	toy_of(file)->n_caught_up++;
}

/* Offset 0: -CDEV_ENOTSUPP; one page further: a memfd. */
static int64_t toy_mmap(struct cdev_file *file, struct cdev_call *call,
			const struct cdev_mmap *args, int *ret_fd,
			uint64_t *ret_offset)
{
	if (args->offset == 0) {
		return -CDEV_ENOTSUPP;
	}
	*ret_fd = toy_memfd();
	*ret_offset = 0;
	return *ret_fd < 0 ? -errno : 0;
}

#define TOY_OPS                                                       \
	.open = toy_open, .release = toy_release, .ioctl = toy_ioctl, \
	.write = toy_write, .mmap = toy_mmap, .cancel = toy_cancel,   \
	.caught_up = toy_caught_up

static const struct cdev_ops toy_ops = { TOY_OPS };
static const struct cdev_ops toy_queue_ops = {
	TOY_OPS,
	.queue_size = sizeof(uint64_t),
};

static int toy_new_with(struct cdev *cdev, const char *name, unsigned int minor,
			const struct cdev_ops *ops, struct toy **ret)
{
	struct toy *toy = calloc(1, sizeof(*toy));
	int r;

	if (!toy) {
		return -ENOMEM;
	}
	r = cdev_node_new(cdev, "vhost-vdpa", name, minor, ops, toy,
			  &toy->node);
	if (r < 0) {
		free(toy);
		return r;
	}
	*ret = toy;
	return 0;
}

int toy_new(struct cdev *cdev, const char *name, unsigned int minor,
	    struct toy **ret)
{
	return toy_new_with(cdev, name, minor, &toy_ops, ret);
}

int toy_new_queue(struct cdev *cdev, const char *name, unsigned int minor,
		  struct toy **ret)
{
	return toy_new_with(cdev, name, minor, &toy_queue_ops, ret);
}

void toy_set_slow_writes(struct toy *toy)
{
	toy->has_slow_writes = true;
}

struct cdev_file *toy_file(const struct toy *toy)
{
	return toy->file;
}

unsigned int toy_n_caught_up(const struct toy *toy)
{
	return toy->n_caught_up;
}

struct toy *toy_free(struct toy *toy)
{
	if (toy) {
		assert(!toy->is_open);
		(void)cdev_node_free(toy->node);
		free(toy);
	}
	return NULL;
}

struct toy_counts toy_counts(const struct toy *toy)
{
	return toy->counts;
}

unsigned int toy_n_pending(const struct toy *toy)
{
	return toy->n_pending;
}

void toy_set_open_result(struct toy *toy, int64_t result)
{
	toy->open_result = result;
}

void toy_finish(struct toy *toy, int64_t result)
{
	struct cdev_call *call;

	assert(toy->n_pending > 0);
	call = toy_take(toy, 0);
	if (!cdev_call_task(call) && result < 0) { /* an open */
		toy->is_open = false;
		toy->counts.n_opens--;
	}
	cdev_call_finish(call, result);
}
