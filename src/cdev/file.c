/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open files of software character devices: their life, their flags, what is
 * there to read, and whether they are behind what their clients did.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "cdev/cdev_internal.h"

int cdev_file_new(struct cdev_node *node, int flags, struct cdev_file **ret)
{
	struct cdev_file *file = calloc(1, sizeof(*file));

	if (!file) {
		return err(-ENOMEM, "cdev: out of memory");
	}
	file->node = node;
	node->n_refs++;
	file->flags = flags;
	file->n_refs = 1;
	file->async_fd = -1;
	list_init(&file->calls);
	list_init(&file->pieces);
	*ret = file;
	return 0;
}

struct cdev_file *cdev_file_ref(struct cdev_file *file)
{
	file->n_refs++;
	return file;
}

struct cdev_file *cdev_file_unref(struct cdev_file *file)
{
	if (!file || --file->n_refs > 0) {
		return NULL;
	}
	assert(list_is_empty(&file->calls));
	if (file->is_open && file->node->ops->release) {
		file->node->ops->release(file);
	}
	while (file->n_pieces > 0) {
		cdev_file_drop_piece(file);
	}
	(void)close_fd(file->async_fd);
	cdev_node_unref(file->node);
	free(file);
	return NULL;
}

int cdev_file_flags(const struct cdev_file *file)
{
	return file->flags;
}

void cdev_file_set_flags(struct cdev_file *file, int flags)
{
	file->flags = flags;
}

void cdev_file_set_async_fd(struct cdev_file *file, int fd)
{
	if (file->async_fd < 0) {
		file->async_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
}

/*
 * Whoever asks looks at the socket first and at the flag then; control sets the
 * flag first and takes from the socket then. So a call that came before the
 * question is seen in one of the two places until it is carried out. And as the
 * asker leaves word before it looks, the end of that is not missed either.
 */
bool cdev_file_is_behind(struct cdev_file *file)
{
	struct pollfd pfd = { .fd = file->async_fd, .events = POLLIN };

	if (file->async_fd < 0) {
		return false;
	}
	__atomic_store_n(&file->is_awaited, true, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&file->is_async_over, __ATOMIC_SEQ_CST)) {
		return false;
	}
	return poll(&pfd, 1, 0) > 0 ||
	       __atomic_load_n(&file->is_taking_calls, __ATOMIC_SEQ_CST);
}

void cdev_file_begin_calls(struct cdev_file *file)
{
	file->is_in_calls = true;
	__atomic_store_n(&file->is_taking_calls, true, __ATOMIC_SEQ_CST);
}

static void catch_up(struct cdev_file *file)
{
	const struct cdev_ops *ops = file->node->ops;

	if (file->is_in_calls || file->n_async > 0) {
		return;
	}
	__atomic_store_n(&file->is_taking_calls, false, __ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&file->is_awaited, false, __ATOMIC_SEQ_CST) &&
	    file->is_open && ops->caught_up) {
		ops->caught_up(file);
	}
}

void cdev_file_end_calls(struct cdev_file *file)
{
	file->is_in_calls = false;
	catch_up(file);
}

void cdev_file_end_async_call(struct cdev_file *file)
{
	file->n_async--;
	catch_up(file);
}

void cdev_file_end_async(struct cdev_file *file)
{
	__atomic_store_n(&file->is_async_over, true, __ATOMIC_SEQ_CST);
	cdev_file_end_calls(file);
}

bool cdev_call_is_async(const struct cdev_call *call)
{
	return call->is_async;
}

void *cdev_file_priv(const struct cdev_file *file)
{
	return file->priv;
}

void cdev_file_set_priv(struct cdev_file *file, void *priv)
{
	file->priv = priv;
}

struct cdev_node *cdev_file_node(const struct cdev_file *file)
{
	return file->node;
}

void cdev_file_cancel_all(struct cdev_file *file)
{
	while (!list_is_empty(&file->calls)) {
		cdev_call_cancel(
			list_entry(file->calls.next, struct cdev_call, node));
	}
}

bool cdev_file_is_always_ready(const struct cdev_file *file)
{
	return file->node->ops->queue_size == 0;
}

/* What is read */

void cdev_file_set_sink(struct cdev_file *file, void (*sink)(void *priv),
			void *priv)
{
	file->sink = sink;
	file->sink_priv = priv;
}

const struct cdev_piece *cdev_file_first_piece(const struct cdev_file *file)
{
	return list_is_empty(&file->pieces)
		       ? NULL
		       : list_entry(file->pieces.next, struct cdev_piece, node);
}

void cdev_file_drop_piece(struct cdev_file *file)
{
	struct cdev_piece *piece =
		list_entry(file->pieces.next, struct cdev_piece, node);

	list_del(&piece->node);
	file->n_pieces--;
	free(piece);
}
