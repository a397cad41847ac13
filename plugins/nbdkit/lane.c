/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lanes: a queue of the disk each, used by any thread.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lane.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- nbdkit's threads ---- */

char *lane_get_buffer(struct lane *lane)
{
	char *buffer;

	(void)pthread_mutex_lock(&lane->lock);
	while (lane->n_free == 0) {
		(void)pthread_cond_wait(&lane->has_buffer, &lane->lock);
	}
	buffer = lane->buffers[--lane->n_free];
	(void)pthread_mutex_unlock(&lane->lock);
	return buffer;
}

void lane_put_buffer(struct lane *lane, char *buffer)
{
	(void)pthread_mutex_lock(&lane->lock);
	lane->buffers[lane->n_free++] = buffer;
	(void)pthread_cond_signal(&lane->has_buffer);
	(void)pthread_mutex_unlock(&lane->lock);
}

int lane_run(struct lane *lane, const struct vdpakit_blk_req *req)
{
	struct lane_request r = { .req = *req };

	r.req.user = &r;
	(void)pthread_cond_init(&r.done, NULL);
	(void)pthread_mutex_lock(&lane->lock);
	*lane->inbox_tail = &r;
	lane->inbox_tail = &r.next;
	(void)eventfd_write(lane->wake_fd, 1); /* full is as good */
	while (!r.is_done) {
		(void)pthread_cond_wait(&r.done, &lane->lock);
	}
	(void)pthread_mutex_unlock(&lane->lock);
	(void)pthread_cond_destroy(&r.done);
	return r.result;
}

/* ---- the lane's thread ---- */

static void set_under_way(struct lane *lane, struct lane_request *r)
{
	r->next = lane->under_way;
	r->link = &lane->under_way;
	if (r->next) {
		r->next->link = &r->next;
	}
	lane->under_way = r;
}

static void end_under_way(struct lane_request *r)
{
	*r->link = r->next;
	if (r->next) {
		r->next->link = r->link;
	}
}

/* The lock is held. */
static void finish(struct lane_request *r, int result)
{
	r->result = result;
	r->is_done = true;
	(void)pthread_cond_signal(&r->done);
}

/* Begins what is in the inbox, as far as the queue has room: the rest is begun
 * when something is done. The lock is held. */
static void begin_all(struct lane *lane)
{
	while (lane->inbox) {
		struct lane_request *r = lane->inbox;
		int n = lane->broken ? lane->broken
				     : vdpakit_blk_add(lane->q, &r->req, 1);

		if (n == 0) {
			break;
		}
		lane->inbox = r->next;
		if (!lane->inbox) {
			lane->inbox_tail = &lane->inbox;
		}
		if (n < 0) {
			finish(r, n);
		} else {
			set_under_way(lane, r);
		}
	}
}

/* The lock is held. */
static void finish_done(struct lane *lane)
{
	struct vdpakit_blk_done done[LANE_DEPTH];
	int n = vdpakit_blk_poll(lane->q, done, LANE_DEPTH);

	for (int i = 0; i < n; i++) {
		end_under_way(done[i].user);
		finish(done[i].user, done[i].result);
	}
	if (n < 0) {
		lane->broken = n;
	}
	while (lane->broken && lane->under_way) {
		struct lane_request *r = lane->under_way;

		end_under_way(r);
		finish(r, lane->broken);
	}
}

static void sleep_until_news(struct lane *lane)
{
	struct pollfd fds[2] = {
		{ .fd = lane->wake_fd, .events = POLLIN },
		{ .fd = vdpakit_blk_fd(lane->q), .events = POLLIN },
	};
	eventfd_t value;

	if (lane->broken || vdpakit_blk_arm(lane->q) == 0) {
		(void)poll(fds, lane->broken ? 1 : 2, -1);
	}
	(void)eventfd_read(lane->wake_fd, &value); /* may be empty */
}

/*
 * A device that is gone, or needs a reset, does not say what became of requests
 * that are under way. Those who wait are told so; a reset is for who starts
 * nbdkit again.
 */
static void *thread_main(void *arg)
{
	struct lane *lane = arg;
	bool is_ending = false;

	while (!is_ending) {
		(void)pthread_mutex_lock(&lane->lock);
		begin_all(lane);
		if (!lane->broken) {
			(void)vdpakit_blk_submit(lane->q); /* poll says it */
			finish_done(lane);
		}
		is_ending = lane->is_ending;
		(void)pthread_mutex_unlock(&lane->lock);
		if (!is_ending) {
			sleep_until_news(lane);
		}
	}
	return NULL;
}

int lane_start(struct lane *lane, struct vdpakit_blk_queue *q, char *memory)
{
	int r;

	lane->q = q;
	lane->inbox_tail = &lane->inbox;
	for (unsigned int i = 0; i < LANE_DEPTH; i++) {
		lane->buffers[lane->n_free++] =
			memory + (size_t)i * LANE_CHUNK_BYTES;
	}
	(void)pthread_mutex_init(&lane->lock, NULL);
	(void)pthread_cond_init(&lane->has_buffer, NULL);
	lane->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (lane->wake_fd < 0) {
		return -errno;
	}
	r = -pthread_create(&lane->thread, NULL, thread_main, lane);
	lane->has_thread = r == 0;
	return r;
}

void lane_end(struct lane *lane)
{
	if (lane->has_thread) {
		(void)pthread_mutex_lock(&lane->lock);
		lane->is_ending = true;
		(void)pthread_mutex_unlock(&lane->lock);
		(void)eventfd_write(lane->wake_fd, 1);
		(void)pthread_join(lane->thread, NULL);
		lane->has_thread = false;
	}
	if (lane->wake_fd > 0) {
		(void)close(lane->wake_fd);
	}
}
