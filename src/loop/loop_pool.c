/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A few threads that make the blocking calls of a loop without io_uring.
 *
 * Theory of operation
 *
 * The owner hands over what a round has submitted as one list; threads take one
 * request each, and give it back on another list with one loop_call(). A
 * thread is made when there are more requests than threads that wait for one,
 * up to LOOP_IO_THREADS; all end with the loop. Where not even one can be made
 * the owner does the work itself: slowly rather than never.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "loop/loop_internal.h"

struct loop_pool {
	struct loop *loop;
	struct loop_work work; /* deliver() */
	/* owner only */
	unsigned int n_threads;
	pthread_t threads[LOOP_IO_THREADS];
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct list queued;
	struct list done;
	unsigned int n_queued;
	unsigned int n_waiting; /* threads */
	bool is_ending;
};

static unsigned int take_all(struct list *from, struct list *to)
{
	unsigned int n = 0;

	for (; !list_is_empty(from); n++) {
		struct list *item = from->next;

		list_del(item);
		list_add_tail(to, item);
	}
	return n;
}

static void deliver(void *priv)
{
	struct loop_pool *pool = priv;
	struct list done;

	list_init(&done);
	(void)pthread_mutex_lock(&pool->lock);
	(void)take_all(&pool->done, &done);
	(void)pthread_mutex_unlock(&pool->lock);
	while (!list_is_empty(&done)) {
		struct loop_io *io =
			list_entry(done.next, struct loop_io, node);

		list_del(&io->node);
		loop_io_finish(io, io->res);
	}
}

/* The lock is held, but not while the call is made. */
static void perform_one(struct loop_pool *pool)
{
	struct loop_io *io =
		list_entry(pool->queued.next, struct loop_io, node);

	list_del(&io->node);
	pool->n_queued--;
	(void)pthread_mutex_unlock(&pool->lock);
	io->res = loop_io_perform(io);
	(void)pthread_mutex_lock(&pool->lock);
	list_add_tail(&pool->done, &io->node);
	loop_call(pool->loop, &pool->work);
}

static void *pool_main(void *arg)
{
	struct loop_pool *pool = arg;

	(void)pthread_mutex_lock(&pool->lock);
	while (!pool->is_ending) {
		if (pool->n_queued > 0) {
			perform_one(pool);
			continue;
		}
		pool->n_waiting++;
		(void)pthread_cond_wait(&pool->cond, &pool->lock);
		pool->n_waiting--;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* The lock is held. */
static void make_threads(struct loop_pool *pool)
{
	while (pool->n_threads < LOOP_IO_THREADS &&
	       pool->n_threads < pool->n_queued) {
		if (loop_create_thread(&pool->threads[pool->n_threads],
				       pool_main, pool) != 0) {
			break;
		}
		/* The name is for humans. */
		(void)pthread_setname_np(pool->threads[pool->n_threads],
					 pool->loop->name);
		pool->n_threads++;
	}
	while (pool->n_threads == 0 && pool->n_queued > 0) {
		perform_one(pool);
	}
}

void loop_pool_flush(struct loop *loop)
{
	struct loop_pool *pool = loop->pool;
	unsigned int n;

	(void)pthread_mutex_lock(&pool->lock);
	n = take_all(&loop->new_io, &pool->queued);
	pool->n_queued += n;
	if (pool->n_queued > pool->n_waiting) {
		make_threads(pool);
	}
	n = min_of(n, pool->n_waiting);
	(void)pthread_mutex_unlock(&pool->lock);
	while (n-- > 0) {
		(void)pthread_cond_signal(&pool->cond);
	}
}

int loop_pool_make(struct loop *loop)
{
	struct loop_pool *pool;

	if (loop->pool) {
		return 0;
	}
	pool = calloc(1, sizeof(*pool));
	if (!pool) {
		return err(-ENOMEM, "%s: no memory for threads", loop->name);
	}
	pool->loop = loop;
	pool->work = (struct loop_work){ .fn = deliver, .priv = pool };
	(void)pthread_mutex_init(&pool->lock, NULL); /* 0 on Linux, */
	(void)pthread_cond_init(&pool->cond, NULL); /* always */
	list_init(&pool->queued);
	list_init(&pool->done);
	loop->pool = pool;
	return 0;
}

struct loop_pool *loop_pool_free(struct loop_pool *pool)
{
	if (!pool) {
		return NULL;
	}
	(void)pthread_mutex_lock(&pool->lock);
	pool->is_ending = true;
	(void)pthread_mutex_unlock(&pool->lock);
	(void)pthread_cond_broadcast(&pool->cond);
	for (unsigned int i = 0; i < pool->n_threads; i++) {
		(void)pthread_join(pool->threads[i], NULL); /* joinable */
	}
	(void)pthread_cond_destroy(&pool->cond);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
	return NULL;
}
