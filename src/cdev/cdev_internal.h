/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the core of cdev/ and its carriers share.
 *
 * Theory of operation
 *
 * A carrier makes a struct cdev_call inside a structure of its own, starts it
 * with one of the cdev_start_*() functions, and gets it back through finish(),
 * at once or later, exactly once. It frees the call there.
 *
 *   carrier --start--> core --> operation --result, or cdev_call_finish()-->
 *   core --finish--> carrier
 *
 * A call holds a reference of its file, and of its task, until it is finished;
 * a carrier holds one of the file for as long as clients have it open.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef CDEV_CDEV_INTERNAL_H
#define CDEV_CDEV_INTERNAL_H

#include "cdev/cdev.h"

struct cdev_node {
	struct list node; /* in cdev->nodes until cdev_node_free() */
	struct cdev *cdev;
	struct cdev_class *class;
	char name[CDEV_NAME_MAX + 1];
	unsigned int minor;
	const struct cdev_ops *ops;
	void *priv;
	unsigned int n_refs;
};

struct cdev_file {
	struct cdev_node *node;
	int flags;
	void *priv;
	unsigned int n_refs;
	bool is_open; /* release is owed */
	struct list calls;
	struct list pieces; /* that were pushed and not read */
	unsigned int n_pieces;
	void (*sink)(void *priv);
	void *sink_priv;

	/* control only: asynchronous calls */
	unsigned int n_async; /* pending */
	bool is_in_calls; /* between begin and end */

	/* set once, before any thread may ask */
	int async_fd; /* -1: no asynchronous calls so far */

	/* any thread, atomic */
	bool is_async_over;
	bool is_taking_calls;
	bool is_awaited; /* somebody was told "behind" */
};

void cdev_node_unref(struct cdev_node *node);

/**
 * struct cdev_shortcut - how a caller can do an ioctl by itself
 *
 * @event_fd: an eventfd: adding 1 to it does the same
 * @page_fd: a memfd of 4096 bytes, the caller's view of the word
 * @word_offset: of a 32-bit word in it, bytes
 * @value: as long as the word has it, the shortcut is good
 */
struct cdev_shortcut {
	int event_fd;
	int page_fd;
	uint32_t word_offset;
	uint32_t value;
};

struct cdev_carrier {
	int (*copy_from)(struct cdev_call *call, void *dst, uint64_t uaddr,
			 size_t len);
	int (*copy_to)(struct cdev_call *call, uint64_t uaddr, const void *src,
		       size_t len);
	int (*get_fd)(struct cdev_call *call, int fd);
	/* Optional: false, and none. Descriptors are borrowed. */
	bool (*is_trusted)(const struct cdev_call *call);
	void (*put_shortcut)(struct cdev_call *call,
			     const struct cdev_shortcut *shortcut);
	/* The call is the carrier's again. Its put_fd, if any, too. */
	void (*finish)(struct cdev_call *call, int64_t result);
};

enum cdev_call_state {
	CALL_IN_OP, /* the operation has not returned */
	CALL_ENDED_IN_OP,
	CALL_PENDING,
};

struct cdev_call {
	const struct cdev_carrier *carrier;
	struct cdev_file *file;
	struct cdev_task *task; /* NULL in open */
	/* the core's own */
	struct list node; /* in file->calls, or empty */
	enum cdev_call_state state;
	bool is_open;
	bool is_async;
	bool is_late; /* async, and was pending */
	bool is_reader; /* waits for cdev_file_push() */
	int64_t early_result;
	void *read_buf;
	uint64_t read_uaddr;
	/* for finish(): what cdev_put_fd() or the mmap operation gave */
	int put_fd;
	uint64_t mmap_offset;
};

/* Zeroed by the caller; @task may be NULL. */
void cdev_call_init(struct cdev_call *call, const struct cdev_carrier *carrier,
		    struct cdev_file *file, struct cdev_task *task);

void cdev_start_open(struct cdev_call *call);
void cdev_start_ioctl(struct cdev_call *call, uint32_t cmd, uint64_t arg);
void cdev_start_write(struct cdev_call *call, const void *buf, size_t len);
void cdev_start_read(struct cdev_call *call, uint64_t uaddr, size_t len);
void cdev_start_mmap(struct cdev_call *call, const struct cdev_mmap *args);
/* The carrier knows the result by itself. */
void cdev_start_result(struct cdev_call *call, int64_t result);

/* The caller died: ends the call with -EINTR. Only for pending calls. */
void cdev_call_cancel(struct cdev_call *call);

struct cdev_node *cdev_find(struct cdev *cdev, const char *name);
int cdev_file_new(struct cdev_node *node, int flags, struct cdev_file **ret);
struct cdev_file *cdev_file_ref(struct cdev_file *file);
struct cdev_file *cdev_file_unref(struct cdev_file *file);
void cdev_file_set_flags(struct cdev_file *file, int flags);
/* Asynchronous calls come in on @fd, which stays open as long as the file. */
void cdev_file_set_async_fd(struct cdev_file *file, int fd);
/* None come any more: the file is not behind, and will not be. */
void cdev_file_end_async(struct cdev_file *file);
/* Around taking calls from that descriptor and carrying them out. Those that are
 * pending then are still to be. */
void cdev_file_begin_calls(struct cdev_file *file);
void cdev_file_end_calls(struct cdev_file *file);
/* One that was pending has ended. */
void cdev_file_end_async_call(struct cdev_file *file);
/* Cancels what is pending; the caller holds a reference. */
void cdev_file_cancel_all(struct cdev_file *file);
/* Refuses epoll_ctl(), as a driver without a poll operation does. */
bool cdev_file_is_always_ready(const struct cdev_file *file);

/* A carrier whose clients read pieces without a call is told of new ones. NULL:
 * no longer. */
void cdev_file_set_sink(struct cdev_file *file, void (*sink)(void *priv),
			void *priv);
struct cdev_piece {
	struct list node;
	size_t len;
	uint8_t bytes[];
};
/* The oldest piece, or NULL; borrowed until it is dropped. */
const struct cdev_piece *cdev_file_first_piece(const struct cdev_file *file);
void cdev_file_drop_piece(struct cdev_file *file);

/**
 * cdev_task_new() - an address space that makes calls
 * @pid: of its process, 0 when not visible
 * @take_maps_fd, @take_mem_fd: see client_mem_new(); without both (-1) the
 *                              task has no memory
 * @ret: one reference
 */
int cdev_task_new(pid_t pid, int take_maps_fd, int take_mem_fd,
		  struct cdev_task **ret);

/* The classes of nodes that were ever made here, each with its major. */
struct cdev_class {
	struct list node;
	char name[CDEV_NAME_MAX + 1];
	unsigned int major;
};

/* The one of that name, made if needed. Return: NULL: no memory. */
struct cdev_class *cdev_class_get(struct cdev *cdev, const char *name);
struct list *cdev_classes(struct cdev *cdev);
void cdev_classes_free(struct list *classes);

#endif
