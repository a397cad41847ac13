/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The io_uring back end: what its parts share. See loop_uring.c.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef LOOP_LOOP_URING_H
#define LOOP_LOOP_URING_H

#include <liburing.h>

#include "loop/loop_internal.h"

/* Places for registered files; what comes later is used without one. */
#define URING_FILES_MAX 64

/*
 * What a completion belongs to: a pointer, and in its lowest bits of which
 * kind. A request's memory lives until its completion has been seen, so the
 * pointer is good. 0: nobody is interested.
 */
enum uring_kind {
	URING_IO, /* struct loop_io */
	URING_WATCH, /* struct loop_watch */
	URING_WAKE, /* struct uring_loop */
	URING_KIND_N
};
#define URING_KIND_MASK 3ULL

struct uring_loop {
	struct loop loop;
	struct io_uring ring;
	unsigned int enter_flags; /* of io_uring_enter(), always */
	bool has_ring;
	bool is_wake_armed;
	bool has_files; /* places for them are registered */
	pid_t ring_tid; /* whose ring it is; 0: of whoever comes first */
	int wake_fd;
	int check_epoll_fd; /* knows what can be watched */
	uint64_t *watched; /* a bit a descriptor */
	unsigned int n_watched_words;
	uint64_t used_files; /* a bit a place */
	struct list to_arm; /* watches that the kernel does not watch */
	struct list ready; /* watches: told, and not yet run */
	struct list done; /* I/O: the same */
	unsigned int n_polls; /* of watches, in the kernel */
	unsigned int n_io; /* in the kernel */
};

_Static_assert(URING_FILES_MAX == 64, "one bit each of used_files");

static inline struct uring_loop *uring_loop_of(struct loop *loop)
{
	return container_of(loop, struct uring_loop, loop);
}

/* loop_uring.c */

/* A request to fill in; goes out with the next uring_enter() or wait(). */
struct io_uring_sqe *uring_get_sqe(struct uring_loop *ul, enum uring_kind kind,
				   void *owner);

/* Submits, has the kernel finish what it can, and sorts what it tells; waits
 * for @n_wait completions. */
void uring_enter(struct uring_loop *ul, unsigned int n_wait);

/* May this thread use the ring? Else there is none afterwards. */
bool uring_own_ring(struct uring_loop *ul);

/* loop_uring_watch.c */
int uring_watch_add(struct loop *loop, struct loop_watch *watch);
int uring_watch_change(struct loop *loop, struct loop_watch *watch,
		       unsigned int events);
void uring_watch_del(struct loop *loop, struct loop_watch *watch);
void uring_watch_told(struct uring_loop *ul, struct loop_watch *watch,
		      const struct io_uring_cqe *cqe);
void uring_arm_watches(struct uring_loop *ul);
void uring_run_watches(struct uring_loop *ul);
/* The kernel watches nothing any more: by asking it to, or because the ring is
 * gone. */
void uring_disarm_watches(struct uring_loop *ul);
void uring_forget_polls(struct uring_loop *ul);

/* loop_uring_io.c */
int uring_file_add(struct loop *loop, struct loop_file *file);
void uring_file_del(struct loop *loop, struct loop_file *file);
void uring_register_files(struct uring_loop *ul);
void uring_io_flush(struct loop *loop);
void uring_io_told(struct uring_loop *ul, struct loop_io *io, int res);
void uring_run_io(struct uring_loop *ul);

#endif
