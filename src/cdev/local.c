/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local carrier: a client inside this process.
 *
 * Theory of operation
 *
 * The call stands on the caller's stack. On the thread of the loop the
 * operation runs at once; from another thread loop_call_wait() takes it there,
 * and the caller waits for the semaphore that finish() posts. Its memory is
 * reached with process_vm_readv() and process_vm_writev() on ourselves, so that
 * a bad address gives EFAULT as it would a client.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cdev/cdev_internal.h"

struct cdev_local {
	struct cdev *cdev;
	struct cdev_task *task;
	void (*turn)(void *priv);
	void *turn_priv;
};

enum local_kind {
	LOCAL_OPEN,
	LOCAL_CLOSE,
	LOCAL_IOCTL,
	LOCAL_WRITE,
	LOCAL_READ,
	LOCAL_MMAP,
};

struct local_call {
	struct cdev_call call;
	struct cdev_local *local;
	struct cdev_file *file;
	enum local_kind kind;
	const char *name;
	int flags;
	uint32_t cmd;
	uint64_t arg;
	const void *buf;
	size_t len;
	const struct cdev_mmap *mmap;
	/* out */
	int64_t result;
	int put_fd;
	uint64_t mmap_offset;
	bool is_done;
	sem_t done;
};

static int local_copy_from(struct cdev_call *call, void *dst, uint64_t uaddr,
			   size_t len)
{
	struct iovec local = { dst, len };
	struct iovec remote = { (void *)(uintptr_t)uaddr, len };

	if (len == 0) {
		return 0;
	}
	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) ==
			       (ssize_t)len
		       ? 0
		       : -EFAULT;
}

static int local_copy_to(struct cdev_call *call, uint64_t uaddr,
			 const void *src, size_t len)
{
	struct iovec local = { (void *)(uintptr_t)src, len };
	struct iovec remote = { (void *)(uintptr_t)uaddr, len };

	if (len == 0) {
		return 0;
	}
	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) ==
			       (ssize_t)len
		       ? 0
		       : -EFAULT;
}

static int local_get_fd(struct cdev_call *call, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? -EBADF : copy;
}

static void local_finish(struct cdev_call *call, int64_t result)
{
	struct local_call *lc = container_of(call, struct local_call, call);

	lc->result = result;
	lc->put_fd = call->put_fd;
	lc->mmap_offset = call->mmap_offset;
	lc->is_done = true;
	(void)sem_post(&lc->done); /* the caller's stack may be gone now */
}

static const struct cdev_carrier local_carrier = {
	.copy_from = local_copy_from,
	.copy_to = local_copy_to,
	.get_fd = local_get_fd,
	.finish = local_finish,
};

static void end_early(struct local_call *lc, int64_t result)
{
	lc->result = result;
	lc->is_done = true;
	(void)sem_post(&lc->done);
}

static void start_open(struct local_call *lc)
{
	struct cdev_node *node = cdev_find(lc->local->cdev, lc->name);
	int r;

	if (!node) {
		end_early(lc, -ENOENT);
		return;
	}
	r = cdev_file_new(node, lc->flags, &lc->file);
	if (r < 0) {
		end_early(lc, r);
		return;
	}
	cdev_call_init(&lc->call, &local_carrier, lc->file, NULL);
	cdev_start_open(&lc->call);
}

/* On the loop's thread. */
static void start(void *priv)
{
	struct local_call *lc = priv;

	if (lc->kind == LOCAL_OPEN) {
		start_open(lc);
		return;
	}
	if (lc->kind == LOCAL_CLOSE) {
		(void)cdev_file_unref(lc->file);
		end_early(lc, 0);
		return;
	}
	cdev_call_init(&lc->call, &local_carrier, lc->file, lc->local->task);
	switch (lc->kind) {
	case LOCAL_IOCTL:
		cdev_start_ioctl(&lc->call, lc->cmd, lc->arg);
		break;
	case LOCAL_WRITE:
		cdev_start_write(&lc->call, lc->buf, lc->len);
		break;
	case LOCAL_READ:
		cdev_start_read(&lc->call, lc->arg, lc->len);
		break;
	default:
		cdev_start_mmap(&lc->call, lc->mmap);
		break;
	}
}

static void wait_on_loop(struct local_call *lc)
{
	struct cdev_local *local = lc->local;

	while (!lc->is_done && local->turn) {
		local->turn(local->turn_priv);
	}
	if (!lc->is_done) {
		cdev_call_cancel(&lc->call);
		lc->result = -EDEADLK;
	}
}

static int64_t run(struct local_call *lc)
{
	struct loop *loop = cdev_loop(lc->local->cdev);

	(void)sem_init(&lc->done, 0, 0); /* fails for bad arguments only */
	if (loop_is_owner(loop)) {
		start(lc);
		wait_on_loop(lc);
	} else {
		loop_call_wait(loop, start, lc);
		while (sem_wait(&lc->done) < 0) {
		}
	}
	(void)sem_destroy(&lc->done);
	return lc->result;
}

int cdev_local_new(struct cdev *cdev, struct cdev_local **ret)
{
	struct cdev_local *local = calloc(1, sizeof(*local));
	int maps_fd, mem_fd;
	int r;

	if (!local) {
		return err(-ENOMEM, "cdev: out of memory");
	}
	local->cdev = cdev;
	maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	mem_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	r = cdev_task_new(getpid(), maps_fd, mem_fd, &local->task);
	if (r < 0) {
		free(local);
		return r;
	}
	*ret = local;
	return 0;
}

static void drop_task(void *priv)
{
	(void)cdev_task_unref(priv);
}

struct cdev_local *cdev_local_free(struct cdev_local *local)
{
	if (local) {
		loop_call_wait(cdev_loop(local->cdev), drop_task, local->task);
		free(local);
	}
	return NULL;
}

void cdev_local_set_turn(struct cdev_local *local, void (*turn)(void *priv),
			 void *priv)
{
	local->turn = turn;
	local->turn_priv = priv;
}

int64_t cdev_local_open(struct cdev_local *local, const char *name, int flags,
			struct cdev_file **ret)
{
	struct local_call lc = {
		.local = local,
		.kind = LOCAL_OPEN,
		.name = name,
		.flags = flags,
	};
	int64_t r = run(&lc);

	if (r < 0) {
		if (lc.file) {
			cdev_local_close(local, lc.file);
		}
		return r;
	}
	*ret = lc.file;
	return 0;
}

void cdev_local_close(struct cdev_local *local, struct cdev_file *file)
{
	struct local_call lc = {
		.local = local,
		.kind = LOCAL_CLOSE,
		.file = file,
	};

	(void)run(&lc);
}

int64_t cdev_local_ioctl(struct cdev_local *local, struct cdev_file *file,
			 uint64_t cmd, void *arg)
{
	struct local_call lc = {
		.local = local,
		.kind = LOCAL_IOCTL,
		.file = file,
		.cmd = (uint32_t)cmd,
		.arg = (uintptr_t)arg,
	};
	int64_t r = run(&lc);

	return lc.put_fd >= 0 && r >= 0 ? lc.put_fd : r;
}

int64_t cdev_local_write(struct cdev_local *local, struct cdev_file *file,
			 const void *buf, size_t len)
{
	size_t n = min_of(len, (size_t)CDEV_DATA_MAX);
	_cleanup_free_ void *copy = malloc(n + 1);
	struct local_call lc = {
		.local = local,
		.kind = LOCAL_WRITE,
		.file = file,
		.buf = copy,
		.len = n,
	};

	if (!copy) {
		return -ENOMEM;
	}
	if (local_copy_from(NULL, copy, (uintptr_t)buf, n) < 0) {
		return -EFAULT;
	}
	return run(&lc);
}

int64_t cdev_local_read(struct cdev_local *local, struct cdev_file *file,
			void *buf, size_t len)
{
	struct local_call lc = {
		.local = local,
		.kind = LOCAL_READ,
		.file = file,
		.arg = (uintptr_t)buf,
		.len = len,
	};

	return run(&lc);
}

int64_t cdev_local_mmap(struct cdev_local *local, struct cdev_file *file,
			const struct cdev_mmap *args, int *ret_fd,
			uint64_t *ret_offset)
{
	struct local_call lc = {
		.local = local,
		.kind = LOCAL_MMAP,
		.file = file,
		.mmap = args,
	};
	int64_t r = run(&lc);

	if (r < 0) {
		return r;
	}
	*ret_fd = lc.put_fd;
	*ret_offset = lc.mmap_offset;
	return 0;
}
