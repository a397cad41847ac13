/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The io_uring back end: one ring carries watches, wake-ups and disk I/O.
 *
 * Theory of operation
 *
 * wait() submits what has gathered since the last one (polls to arm, I/O) and
 * sleeps, in one system call. What completes is sorted, never run, at once: a
 * watch goes to the list of those that are ready, an I/O to the list of those
 * that are done; dispatch() runs both.
 *
 *	watch: to_arm --submit--> in the kernel --completion--> ready --> callback
 *	I/O:   new_io --submit--> in the kernel --completion--> done ---> fn
 *
 * While pollers are active, looking costs no system call: what is complete
 * stands in memory, and where the kernel puts work off until we enter it
 * (DEFER_TASKRUN), it sets a flag there.
 *
 * An edge-triggered watch is a multishot poll, armed once. A level-triggered
 * one is a poll of one shot, armed again after its callback: arming looks at
 * the descriptor anew, and goes out with the next wait(). See
 * loop_uring_watch.c for the exception.
 *
 * A ring belongs to the thread that first uses it (SINGLE_ISSUER, and a
 * thread's requests die with it). So loop_new() makes the ring without an
 * owner, and the thread that comes to run the loop takes it. A thread that was
 * started for the loop takes its ring along when it ends; when a loop moves to
 * another thread, it gets a new ring. No I/O is in the kernel between two
 * runs. Watches then wait in to_arm: arming them again tells again what is
 * ready.
 *
 * Memory: a request's completion is always awaited before its owner is told
 * that it is over, so completions carry plain pointers. Freeing a watch cancels
 * its poll and waits for the last completion: the descriptor is nobody's then,
 * as with epoll.
 *
 * A forked child does not inherit the ring (DONTFORK): it must not touch loops
 * that its parent made.
 *
 * What was rejected: an epoll descriptor polled by the ring (one more system
 * call a wake-up), SQPOLL (a thread that burns a core), waking by MSG_RING (the
 * caller would need a ring of its own), registered buffers for guest memory.
 * These pin pages: when a guest gives memory back (balloon, free page reporting)
 * the front end punches a hole into it, later use finds new pages there, and a
 * read into the registered buffer goes on filling the old ones, with success
 * reported. A vhost-user front end does not say that it will not.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "loop/loop_uring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

#define SQ_ENTRIES 256
#define CQ_ENTRIES 2048

/* Linux 6.15 */
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif
_Static_assert(IORING_FEAT_NO_IOWAIT == 1U << 17, "ABI");
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
_Static_assert(IORING_ENTER_NO_IOWAIT == 1U << 7, "ABI");

/* Linux 5.13 is the first with multishot polls; no flag tells them, but this
 * one came with it. EXT_ARG: waiting takes a time-out. NODROP: no completion is
 * lost when there is no room. */
#define NEEDED_FEATURES                             \
	(IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | \
	 IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_RSRC_TAGS)

/* The best that this kernel knows is taken: 6.1, 6.0, 5.19, any. */
static const unsigned int wanted_flags[] = {
	IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
		IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
		IORING_SETUP_TASKRUN_FLAG,
	0,
};

/* The ring */

static int make_ring(struct uring_loop *ul)
{
	int rc = -EINVAL;

	for (unsigned int i = 0; i < ARRAY_SIZE(wanted_flags) && rc == -EINVAL;
	     i++) {
		struct io_uring_params params = {
			.flags = wanted_flags[i] | IORING_SETUP_R_DISABLED |
				 IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
			.cq_entries = CQ_ENTRIES,
		};

		rc = io_uring_queue_init_params(SQ_ENTRIES, &ul->ring, &params);
	}
	if (rc < 0) {
		return rc;
	}
	ul->has_ring = true;
	ul->enter_flags = ul->ring.features & IORING_FEAT_NO_IOWAIT
				  ? IORING_ENTER_NO_IOWAIT
				  : 0;
	/* As liburing does, some versions when they submit. */
	for (unsigned int i = 0; i < *ul->ring.sq.kring_entries; i++) {
		ul->ring.sq.array[i] = i;
	}
	if (~ul->ring.features & NEEDED_FEATURES) {
		return -EOPNOTSUPP;
	}
	return io_uring_ring_dontfork(&ul->ring);
}

/* liburing 2.3 declares io_uring_enable_rings(), and does not export it. */
static int enable_ring(struct uring_loop *ul)
{
	return io_uring_register((unsigned int)ul->ring.ring_fd,
				 IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static void drop_ring(struct uring_loop *ul)
{
	assert(ul->n_io == 0);
	if (ul->has_ring) {
		io_uring_queue_exit(&ul->ring);
	}
	ul->has_ring = false;
	ul->has_files = false;
	ul->is_wake_armed = false;
	ul->ring_tid = 0;
	ul->used_files = 0;
	uring_forget_polls(ul);
}

bool uring_own_ring(struct uring_loop *ul)
{
	if (ul->has_ring && ul->ring_tid != 0 && ul->ring_tid != gettid()) {
		drop_ring(ul);
	}
	return ul->has_ring && ul->ring_tid != 0;
}

static int uring_loop_enter(struct loop *loop)
{
	struct uring_loop *ul = uring_loop_of(loop);
	int rc = 0;

	if (uring_own_ring(ul)) {
		return 0;
	}
	if (!ul->has_ring) {
		rc = make_ring(ul);
	}
	if (rc == 0) {
		rc = enable_ring(ul);
	}
	if (rc < 0) {
		drop_ring(ul);
		return err(rc, "%s: cannot set up io_uring: %s", loop->name,
			   strerror(-rc));
	}
	ul->ring_tid = gettid();
	uring_register_files(ul);
	return 0;
}

static void uring_loop_leave(struct loop *loop, bool is_thread_ending)
{
	struct uring_loop *ul = uring_loop_of(loop);

	while (ul->n_io > 0) {
		uring_enter(ul, 1);
	}
	if (is_thread_ending) {
		uring_disarm_watches(ul);
		assert(ul->n_polls == 0);
		drop_ring(ul);
	}
}

/* Requests and completions */

struct io_uring_sqe *uring_get_sqe(struct uring_loop *ul, enum uring_kind kind,
				   void *owner)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ul->ring);

	while (!sqe) {
		uring_enter(ul, 0);
		sqe = io_uring_get_sqe(&ul->ring);
	}
	memset(sqe, 0, sizeof(*sqe));
	sqe->user_data = (uintptr_t)owner | kind;
	return sqe;
}

static void sort_one(struct uring_loop *ul, const struct io_uring_cqe *cqe)
{
	void *owner = (void *)(uintptr_t)(cqe->user_data & ~URING_KIND_MASK);

	if (!owner) {
		return;
	}
	switch (cqe->user_data & URING_KIND_MASK) {
	case URING_IO:
		uring_io_told(ul, owner, cqe->res);
		break;
	case URING_WATCH:
		uring_watch_told(ul, owner, cqe);
		break;
	case URING_WAKE: /* to have ended the wait is all that it does */
		ul->is_wake_armed = cqe->flags & IORING_CQE_F_MORE;
		break;
	}
}

static void sort_completions(struct uring_loop *ul)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;

	io_uring_for_each_cqe(&ul->ring, head, cqe)
	{
		sort_one(ul, cqe);
		n++;
	}
	io_uring_cq_advance(&ul->ring, n);
}

/*
 * What may come of submitting and waiting, and passes: a signal; the time is
 * over; no memory just now; more completions than there is room for, which
 * sorting makes.
 */
static bool will_pass(int rc)
{
	return rc == -EINTR || rc == -ETIME || rc == -EAGAIN || rc == -EBUSY;
}

/*
 * Submits, runs what the kernel has put off, waits for @n_wait completions and
 * at most for @ts, sorts. Not by io_uring_submit_and_wait(): before liburing
 * 2.10 that cannot say NO_IOWAIT, without which a loop that sleeps passes for
 * one that waits for a disk, in top(1) and to whoever watches PSI.
 */
static int submit_and_wait(struct uring_loop *ul, unsigned int n_wait,
			   const struct __kernel_timespec *ts)
{
	struct io_uring_sq *sq = &ul->ring.sq;
	struct io_uring_getevents_arg arg = { .ts = (uintptr_t)ts };
	int rc;

	sq->sqe_head = sq->sqe_tail;
	/* the kernel reads the requests after their number */
	__atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
	rc = io_uring_enter2((unsigned int)ul->ring.ring_fd,
			     io_uring_sq_ready(&ul->ring), n_wait,
			     IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG |
				     ul->enter_flags,
			     (void *)&arg, sizeof(arg));
	sort_completions(ul);
	return rc >= 0 || will_pass(rc) ? 0 : rc;
}

void uring_enter(struct uring_loop *ul, unsigned int n_wait)
{
	int rc = submit_and_wait(ul, n_wait, NULL);

	assert(rc == 0);
}

/* Waiting */

static void arm_wake(struct uring_loop *ul)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ul, URING_WAKE, ul);

	io_uring_prep_poll_multishot(sqe, ul->wake_fd, POLLIN);
	sqe->user_data = (uintptr_t)ul | URING_WAKE;
	ul->is_wake_armed = true;
}

/* Has the kernel something for us that it gives only when we enter it? */
static bool must_enter(const struct uring_loop *ul)
{
	unsigned int flags =
		__atomic_load_n(ul->ring.sq.kflags, __ATOMIC_RELAXED);

	return io_uring_sq_ready(&ul->ring) > 0 ||
	       flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static int sleep_in_ring(struct uring_loop *ul, uint64_t timeout_ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (long long)(timeout_ns / 1000000000),
		.tv_nsec = (long long)(timeout_ns % 1000000000),
	};

	return submit_and_wait(ul, 1, timeout_ns == LOOP_FOREVER ? NULL : &ts);
}

static int uring_loop_wait(struct loop *loop, uint64_t timeout_ns)
{
	struct uring_loop *ul = uring_loop_of(loop);

	uring_arm_watches(ul);
	if (!ul->is_wake_armed) {
		arm_wake(ul);
	}
	sort_completions(ul);
	if (timeout_ns > 0 && list_is_empty(&ul->ready) &&
	    list_is_empty(&ul->done)) {
		return sleep_in_ring(ul, timeout_ns);
	}
	if (must_enter(ul)) {
		uring_enter(ul, 0);
	}
	return 0;
}

static void uring_loop_dispatch(struct loop *loop)
{
	struct uring_loop *ul = uring_loop_of(loop);

	uring_run_watches(ul);
	uring_run_io(ul);
}

static void uring_loop_wake(struct loop *loop)
{
	static const uint64_t one = 1;

	/* fails only when 2^64 wake-ups are pending: that will do */
	(void)!write(uring_loop_of(loop)->wake_fd, &one, sizeof(one));
}

/* Making and freeing */

static void uring_loop_free(struct loop *loop)
{
	struct uring_loop *ul = uring_loop_of(loop);

	drop_ring(ul);
	(void)close_fd(ul->wake_fd);
	(void)close_fd(ul->check_epoll_fd);
	free(ul->watched);
	free(ul);
}

static const struct loop_ops uring_ops = {
	.name = "io_uring",
	.looks_at_memory = true,
	.enter = uring_loop_enter,
	.leave = uring_loop_leave,
	.watch_add = uring_watch_add,
	.watch_change = uring_watch_change,
	.watch_del = uring_watch_del,
	.wait = uring_loop_wait,
	.dispatch = uring_loop_dispatch,
	.wake = uring_loop_wake,
	.free = uring_loop_free,
	.file_add = uring_file_add,
	.file_del = uring_file_del,
	.io_flush = uring_io_flush,
};

static int set_up(struct uring_loop *ul)
{
	int rc = make_ring(ul);

	if (rc < 0) {
		return rc;
	}
	ul->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ul->wake_fd < 0) {
		return -errno;
	}
	ul->check_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return ul->check_epoll_fd < 0 ? -errno : 0;
}

int loop_new_uring(const char *name, struct loop **ret)
{
	struct uring_loop *ul = calloc(1, sizeof(*ul));
	int rc;

	if (!ul) {
		return err(-ENOMEM, "%s: no memory for a loop", name);
	}
	loop_init(&ul->loop, &uring_ops, name);
	list_init(&ul->to_arm);
	list_init(&ul->ready);
	list_init(&ul->done);
	ul->wake_fd = -1;
	ul->check_epoll_fd = -1;
	rc = set_up(ul);
	if (rc < 0) {
		(void)loop_free(&ul->loop);
		return err(rc, "%s: cannot set up io_uring: %s", name,
			   strerror(-rc));
	}
	*ret = &ul->loop;
	return 0;
}
