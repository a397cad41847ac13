/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core of software character devices: nodes, files, tasks and calls.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cdev/cdev.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "cdev/cdev_internal.h"

struct cdev {
	struct loop *loop;
	struct list nodes;
	struct list classes;
	unsigned int n_nodes; /* those with files included */
};

struct cdev_task {
	unsigned int n_refs;
	pid_t pid;
	struct client_mem *mem; /* or NULL */
};

int cdev_new(struct loop *loop, struct cdev **ret)
{
	struct cdev *cdev = calloc(1, sizeof(*cdev));

	if (!cdev) {
		return err(-ENOMEM, "cdev: out of memory");
	}
	cdev->loop = loop;
	list_init(&cdev->nodes);
	list_init(&cdev->classes);
	*ret = cdev;
	return 0;
}

struct cdev *cdev_free(struct cdev *cdev)
{
	if (cdev) {
		assert(cdev->n_nodes == 0);
		cdev_classes_free(&cdev->classes);
		free(cdev);
	}
	return NULL;
}

struct loop *cdev_loop(struct cdev *cdev)
{
	return cdev->loop;
}

struct list *cdev_classes(struct cdev *cdev)
{
	return &cdev->classes;
}

/* Nodes */

struct cdev_node *cdev_find(struct cdev *cdev, const char *name)
{
	struct cdev_node *node;

	list_for_each_entry(node, &cdev->nodes, node) {
		if (strcmp(node->name, name) == 0) {
			return node;
		}
	}
	return NULL;
}

int cdev_node_new(struct cdev *cdev, const char *class_name, const char *name,
		  unsigned int minor, const struct cdev_ops *ops, void *priv,
		  struct cdev_node **ret)
{
	struct cdev_node *node;

	if (!*name || *name == '/' || strlen(name) > CDEV_NAME_MAX) {
		return err(-EINVAL, "cdev: \"%s\" cannot name a node", name);
	}
	if (cdev_find(cdev, name)) {
		return err(-EEXIST, "cdev: node %s exists", name);
	}
	node = calloc(1, sizeof(*node));
	if (!node) {
		return err(-ENOMEM, "cdev: out of memory");
	}
	node->class = cdev_class_get(cdev, class_name);
	if (!node->class) {
		free(node);
		return err(-ENOMEM, "cdev: out of memory");
	}
	memcpy(node->name, name, strlen(name));
	node->cdev = cdev;
	node->minor = minor;
	node->ops = ops;
	node->priv = priv;
	node->n_refs = 1;
	list_add_tail(&cdev->nodes, &node->node);
	cdev->n_nodes++;
	*ret = node;
	return 0;
}

void cdev_node_unref(struct cdev_node *node)
{
	if (--node->n_refs == 0) {
		node->cdev->n_nodes--;
		free(node);
	}
}

struct cdev_node *cdev_node_free(struct cdev_node *node)
{
	if (node) {
		list_del(&node->node);
		cdev_node_unref(node);
	}
	return NULL;
}

void *cdev_node_priv(const struct cdev_node *node)
{
	return node->priv;
}

const char *cdev_node_name(const struct cdev_node *node)
{
	return node->name;
}

dev_t cdev_node_rdev(const struct cdev_node *node)
{
	return makedev(node->class->major, node->minor);
}

/* Tasks */

int cdev_task_new(pid_t pid, int take_maps_fd, int take_mem_fd,
		  struct cdev_task **ret)
{
	_cleanup_close_ int maps_fd = take_maps_fd;
	_cleanup_close_ int mem_fd = take_mem_fd;
	struct cdev_task *task = calloc(1, sizeof(*task));
	int r = 0;

	if (!task) {
		return err(-ENOMEM, "cdev: out of memory");
	}
	if (maps_fd >= 0 && mem_fd >= 0) {
		r = client_mem_new(pid, steal_fd(&maps_fd), steal_fd(&mem_fd),
				   &task->mem);
	}
	if (r < 0) {
		free(task);
		return r;
	}
	task->pid = pid;
	task->n_refs = 1;
	*ret = task;
	return 0;
}

struct cdev_task *cdev_task_ref(struct cdev_task *task)
{
	task->n_refs++;
	return task;
}

struct cdev_task *cdev_task_unref(struct cdev_task *task)
{
	if (task && --task->n_refs == 0) {
		(void)client_mem_unref(task->mem);
		free(task);
	}
	return NULL;
}

struct client_mem *cdev_task_mem(const struct cdev_task *task)
{
	return task->mem;
}

pid_t cdev_task_pid(const struct cdev_task *task)
{
	return task->pid;
}

/* Calls */

void cdev_call_init(struct cdev_call *call, const struct cdev_carrier *carrier,
		    struct cdev_file *file, struct cdev_task *task)
{
	call->carrier = carrier;
	call->file = cdev_file_ref(file);
	call->task = task ? cdev_task_ref(task) : NULL;
	call->put_fd = -1;
	list_init(&call->node);
}

struct cdev_task *cdev_call_task(const struct cdev_call *call)
{
	return call->task;
}

int cdev_copy_from(struct cdev_call *call, void *dst, uint64_t uaddr,
		   size_t len)
{
	return call->carrier->copy_from(call, dst, uaddr, len);
}

int cdev_copy_to(struct cdev_call *call, uint64_t uaddr, const void *src,
		 size_t len)
{
	return call->carrier->copy_to(call, uaddr, src, len);
}

int cdev_get_fd(struct cdev_call *call, int fd)
{
	return call->carrier->get_fd(call, fd);
}

int cdev_get_eventfd(struct cdev_call *call, int fd)
{
	int ours = cdev_get_fd(call, fd);

	if (ours >= 0 && !fd_is_eventfd(ours)) {
		(void)close_fd(ours);
		return -EINVAL;
	}
	return ours;
}

int cdev_put_fd(struct cdev_call *call, int take_fd)
{
	if (call->put_fd >= 0) {
		(void)close_fd(take_fd);
		return err(-EMFILE, "cdev: one descriptor a call");
	}
	call->put_fd = take_fd;
	return 0;
}

bool cdev_call_is_trusted(const struct cdev_call *call)
{
	return call->carrier->is_trusted && call->carrier->is_trusted(call);
}

/* The end of every call. */
static void complete(struct cdev_call *call, int64_t result)
{
	struct cdev_file *file = call->file;
	struct cdev_task *task = call->task;
	bool is_late;

	list_del(&call->node);
	if (call->is_open && result >= 0) {
		file->is_open = true;
	}
	if (call->read_buf && result > 0 &&
	    cdev_copy_to(call, call->read_uaddr, call->read_buf,
			 (size_t)result) < 0) {
		result = -EFAULT;
	}
	free(call->read_buf);
	call->read_buf = NULL;
	if (result < 0) {
		call->put_fd = close_fd(call->put_fd);
	}
	is_late = call->is_late;
	call->carrier->finish(call, result);
	if (is_late) {
		cdev_file_end_async_call(file);
	}
	(void)cdev_task_unref(task);
	(void)cdev_file_unref(file);
}

static struct cdev_call *first_reader(struct cdev_file *file)
{
	struct cdev_call *call;

	list_for_each_entry(call, &file->calls, node) {
		if (call->is_reader) {
			return call;
		}
	}
	return NULL;
}

int cdev_file_push(struct cdev_file *file, const void *buf, size_t len)
{
	struct cdev_call *reader = first_reader(file);
	struct cdev_piece *piece;

	assert(len <= file->node->ops->queue_size);
	if (reader) {
		memcpy(reader->read_buf, buf, len);
		complete(reader, (int64_t)len);
		return 0;
	}
	if (file->n_pieces == CDEV_PIECES_MAX) {
		return err(-ENOBUFS, "%s: %u pieces are not read",
			   file->node->name, file->n_pieces);
	}
	piece = malloc(sizeof(*piece) + len);
	if (!piece) {
		return err(-ENOMEM, "cdev: out of memory");
	}
	piece->len = len;
	memcpy(piece->bytes, buf, len);
	list_add_tail(&file->pieces, &piece->node);
	file->n_pieces++;
	if (file->sink) {
		file->sink(file->sink_priv);
	}
	return 0;
}

/* What an operation returned. */
static void op_returned(struct cdev_call *call, int64_t result)
{
	if (result != CDEV_PENDING) {
		assert(call->state == CALL_IN_OP);
		complete(call, result);
	} else if (call->state == CALL_ENDED_IN_OP) {
		complete(call, call->early_result);
	} else {
		call->state = CALL_PENDING;
		call->is_late = call->is_async;
		call->file->n_async += call->is_async;
		list_add_tail(&call->file->calls, &call->node);
	}
}

void cdev_call_finish(struct cdev_call *call, int64_t result)
{
	assert(result != CDEV_PENDING);
	assert(call->state != CALL_ENDED_IN_OP);
	if (call->state == CALL_IN_OP) {
		call->state = CALL_ENDED_IN_OP;
		call->early_result = result;
		return;
	}
	complete(call, result);
}

void cdev_call_cancel(struct cdev_call *call)
{
	struct cdev_file *file = call->file;

	assert(call->state == CALL_PENDING);
	if (!call->is_reader) {
		assert(file->node->ops->cancel);
		file->node->ops->cancel(file, call);
	}
	if (call->is_open) {
		file->is_open = true; /* for its release */
	}
	complete(call, -EINTR);
}

void cdev_start_open(struct cdev_call *call)
{
	struct cdev_node *node = call->file->node;

	call->is_open = true;
	op_returned(call, node->ops->open
				  ? node->ops->open(node, call->file, call)
				  : 0);
}

void cdev_start_ioctl(struct cdev_call *call, uint32_t cmd, uint64_t arg)
{
	const struct cdev_ops *ops = call->file->node->ops;

	op_returned(call, ops->ioctl ? ops->ioctl(call->file, call, cmd, arg)
				     : -ENOTTY);
}

void cdev_start_write(struct cdev_call *call, const void *buf, size_t len)
{
	const struct cdev_ops *ops = call->file->node->ops;

	if ((call->file->flags & O_ACCMODE) == O_RDONLY) {
		op_returned(call, -EBADF);
	} else if (!ops->write) {
		op_returned(call, -EINVAL);
	} else {
		op_returned(call, ops->write(call->file, call, buf, len));
	}
}

/* From the queue of pieces. */
static int64_t read_piece(struct cdev_call *call, size_t len)
{
	struct cdev_file *file = call->file;
	const struct cdev_piece *piece = cdev_file_first_piece(file);

	if (len < file->node->ops->queue_size) {
		return -EINVAL;
	}
	if (!piece) {
		call->is_reader = !(file->flags & O_NONBLOCK);
		return call->is_reader ? CDEV_PENDING : -EAGAIN;
	}
	len = piece->len;
	memcpy(call->read_buf, piece->bytes, len);
	cdev_file_drop_piece(file);
	return (int64_t)len;
}

static int64_t run_read(struct cdev_call *call, uint64_t uaddr, size_t len)
{
	const struct cdev_ops *ops = call->file->node->ops;

	if ((call->file->flags & O_ACCMODE) == O_WRONLY) {
		return -EBADF;
	}
	if (!ops->read && ops->queue_size == 0) {
		return -EINVAL;
	}
	len = min_of(len, (size_t)CDEV_DATA_MAX);
	call->read_uaddr = uaddr;
	call->read_buf = calloc(1, max_of(len, ops->queue_size) + 1);
	if (!call->read_buf) {
		return -ENOMEM;
	}
	return ops->queue_size
		       ? read_piece(call, len)
		       : ops->read(call->file, call, call->read_buf, len);
}

void cdev_start_read(struct cdev_call *call, uint64_t uaddr, size_t len)
{
	op_returned(call, run_read(call, uaddr, len));
}

/* The checks of the kernel's do_mmap() that come before the driver's. */
static int64_t run_mmap(struct cdev_call *call, const struct cdev_mmap *args)
{
	const struct cdev_ops *ops = call->file->node->ops;
	int mode = call->file->flags & O_ACCMODE;
	int type = args->flags & MAP_TYPE;
	bool is_shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
	uint64_t offset = 0;
	int64_t r;
	int fd = -1;

	if (args->length == 0 || (!is_shared && type != MAP_PRIVATE)) {
		return -EINVAL;
	}
	if (mode == O_WRONLY ||
	    (is_shared && (args->prot & PROT_WRITE) && mode != O_RDWR)) {
		return -EACCES;
	}
	if (!ops->mmap) {
		return -ENODEV;
	}
	r = ops->mmap(call->file, call, args, &fd, &offset);
	assert(r != CDEV_PENDING);
	if (r >= 0) {
		call->put_fd = fd;
		call->mmap_offset = offset;
	}
	return r;
}

void cdev_start_mmap(struct cdev_call *call, const struct cdev_mmap *args)
{
	op_returned(call, run_mmap(call, args));
}

void cdev_start_result(struct cdev_call *call, int64_t result)
{
	op_returned(call, result);
}
