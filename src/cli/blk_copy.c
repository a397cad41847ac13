/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying between disks and files.
 *
 * Theory of operation
 *
 * A copy is cut into chunks, which threads take one after the other. A thread
 * has a queue of each device, and as many slots as may be under way:
 *
 *   free --take a chunk--> reading --> read --> writing --> free
 *
 * Devices work on their requests at once; files are read and written on the
 * way. Between two devices nothing is copied here: both reach the slot's memory.
 *
 * What goes to a stream has to go in order: then slots are used round and
 * round, by one thread, and the oldest one is written first. What comes from a
 * stream is read in order anyway.
 *
 * Zeroes are written as such (write zeroes, holes), where the target can.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "cli/blk_copy.h"

/* ---- what is to be done next ---- */

void copy_fail(struct copy *c, int code)
{
	int none = 0;

	if (__atomic_compare_exchange_n(&c->result, &none, code, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		(void)snprintf(c->text, sizeof(c->text), "%s", err_text(code));
	}
}

static bool has_failed(const struct copy *c)
{
	return __atomic_load_n(&c->result, __ATOMIC_RELAXED) < 0;
}

/* Return: is there a chunk? Then it is the slot's. */
static bool take_chunk(struct copy *c, struct copy_slot *s)
{
	uint64_t at = __atomic_fetch_add(&c->next, c->job->chunk_bytes,
					 __ATOMIC_RELAXED);

	if (at >= c->job->len_bytes || has_failed(c)) {
		return false;
	}
	s->at = at;
	s->len = (uint32_t)min_of((uint64_t)c->job->chunk_bytes,
				  c->job->len_bytes - at);
	s->is_zero = false;
	return true;
}

/* ---- one slot ---- */

static int add(struct vdpakit_blk_queue *q, struct copy_slot *s,
	       enum vdpakit_blk_op op, uint64_t offset, uint32_t len)
{
	const struct vdpakit_blk_req req = {
		.op = (uint8_t)op,
		.flags = op == VDPAKIT_BLK_WRITE_ZEROES ? VDPAKIT_BLK_UNMAP : 0,
		.offset_bytes = offset,
		.len_bytes = len,
		.buf = op == VDPAKIT_BLK_WRITE_ZEROES ? NULL : s->buf,
		.user = s,
	};
	int r = vdpakit_blk_add(q, &req, 1);

	/* There are no more slots than fit into the queue. */
	return r == 1 ? 0 : r < 0 ? io_err(r) : err(-EAGAIN, "queue is full");
}

static uint32_t round_up(const struct blk_end *end, uint64_t offset,
			 uint32_t len)
{
	uint64_t block = end->info.block_bytes;
	uint64_t up = (len + block - 1) / block * block;

	return (uint32_t)min_of(up, end->size_bytes - offset);
}

static void slot_written(struct copy_thread *t, struct copy_slot *s)
{
	s->state = SLOT_FREE;
	t->n_busy--;
	(void)__atomic_add_fetch(&t->c->done, s->len, __ATOMIC_RELAXED);
}

static int write_device(struct copy_thread *t, struct copy_slot *s)
{
	const struct blk_copy *job = t->c->job;
	uint64_t offset = job->dst_offset + s->at;
	uint32_t len = round_up(&job->dst, offset, s->len);

	if (len > s->len && !s->is_zero) {
		memset(s->buf + s->len, 0, len - s->len);
	}
	s->state = SLOT_WRITING;
	if (s->is_zero && len <= job->dst.info.max_write_zeroes_bytes) {
		return add(t->dst, s, VDPAKIT_BLK_WRITE_ZEROES, offset, len);
	}
	if (s->is_zero) {
		memset(s->buf, 0, len);
	}
	return add(t->dst, s, VDPAKIT_BLK_WRITE, offset, len);
}

static int write_file(struct copy_thread *t, struct copy_slot *s)
{
	const struct blk_copy *job = t->c->job;
	int r = copy_file_write(&job->dst, s, job->dst_offset + s->at);

	if (r == 0) {
		slot_written(t, s);
	}
	return r;
}

static int write_slot(struct copy_thread *t, struct copy_slot *s)
{
	return t->dst ? write_device(t, s) : write_file(t, s);
}

/* Those that are read, the oldest first, up to one that is not. */
static int write_in_order(struct copy_thread *t)
{
	int r = 0;

	while (r == 0 && t->n_busy > 0) {
		struct copy_slot *s = &t->slots[t->oldest];

		if (s->state != SLOT_READ) {
			break;
		}
		t->oldest = (t->oldest + 1) % t->n_slots;
		r = write_slot(t, s);
	}
	return r;
}

static int slot_read(struct copy_thread *t, struct copy_slot *s)
{
	if (t->c->job->is_sparse && !s->is_zero) {
		s->is_zero = copy_is_zero(s->buf, s->len);
	}
	s->state = SLOT_READ;
	return t->c->is_ordered ? write_in_order(t) : write_slot(t, s);
}

static int read_device(struct copy_thread *t, struct copy_slot *s)
{
	const struct blk_copy *job = t->c->job;
	uint64_t offset = job->src_offset + s->at;

	s->state = SLOT_READING;
	return add(t->src, s, VDPAKIT_BLK_READ, offset,
		   round_up(&job->src, offset, s->len));
}

/* A stream may end before the copy does: what is there is copied. */
static int read_file(struct copy_thread *t, struct copy_slot *s)
{
	struct blk_copy *job = t->c->job;
	int r = copy_file_read(job, s);

	if (r == 0 && s->is_last) {
		job->len_bytes = s->at + s->len;
	}
	if (r == 0 && s->len == 0) {
		s->state = SLOT_FREE;
		t->n_busy--;
		return 0;
	}
	return r < 0 ? r : slot_read(t, s);
}

/* ---- a thread ---- */

/* Streams: the next in turn; else any that is free. */
static struct copy_slot *find_free(struct copy_thread *t)
{
	struct copy_slot *s;

	if (t->n_busy == t->n_slots) {
		return NULL;
	}
	do {
		s = &t->slots[t->next];
		t->next = (t->next + 1) % t->n_slots;
	} while (s->state != SLOT_FREE);
	return s;
}

static int start_some(struct copy_thread *t, bool *ret_is_end)
{
	struct copy_slot *s;
	int r = 0;

	while (r == 0 && !*ret_is_end && (s = find_free(t))) {
		if (!take_chunk(t->c, s)) {
			*ret_is_end = true;
			break;
		}
		t->n_busy++;
		r = t->src ? read_device(t, s) : read_file(t, s);
	}
	return r;
}

static int take_done(struct copy_thread *t, const struct vdpakit_blk_done *done,
		     int n)
{
	int r = 0;

	for (int i = 0; r == 0 && i < n; i++) {
		struct copy_slot *s = done[i].user;
		bool is_read = s->state == SLOT_READING;
		const struct blk_end *end = is_read ? &t->c->job->src
						    : &t->c->job->dst;

		if (done[i].result < 0) {
			return err(done[i].result, "%s: %s at %llu: %s",
				   end->word, is_read ? "read" : "write",
				   (unsigned long long)s->at,
				   strerror(-done[i].result));
		}
		if (is_read) {
			r = slot_read(t, s);
		} else {
			slot_written(t, s);
		}
	}
	return r;
}

static unsigned int under_way(const struct vdpakit_blk_queue *q)
{
	return q ? vdpakit_blk_n_under_way(q) : 0;
}

static int wait_for_one(struct copy_thread *t, struct vdpakit_blk_queue *q)
{
	struct vdpakit_blk_done done[COPY_DONE_MAX];
	int n = vdpakit_blk_wait(q, done, 1, COPY_DONE_MAX, -1);

	if (n == -EINTR) {
		return 0;
	}
	return n < 0 ? io_err(n) : take_done(t, done, n);
}

static int poll_one(struct copy_thread *t, struct vdpakit_blk_queue *q)
{
	struct vdpakit_blk_done done[COPY_DONE_MAX];
	int r, n = vdpakit_blk_submit(q);

	if (n == 0) {
		n = vdpakit_blk_poll(q, done, COPY_DONE_MAX);
	}
	if (n < 0) {
		return io_err(n);
	}
	r = take_done(t, done, n);
	return r < 0 ? r : n;
}

/* Both have something under way. */
static int wait_for_both(struct copy_thread *t)
{
	struct pollfd fds[2] = {
		{ .fd = vdpakit_blk_fd(t->src), .events = POLLIN },
		{ .fd = vdpakit_blk_fd(t->dst), .events = POLLIN },
	};
	int n = poll_one(t, t->dst);

	if (n == 0) {
		n = poll_one(t, t->src);
	}
	if (n == 0) {
		n = vdpakit_blk_arm(t->src);
	}
	if (n == 0) {
		n = vdpakit_blk_arm(t->dst);
	}
	if (n == 0) {
		(void)poll(fds, ARRAY_SIZE(fds), -1); /* the next call looks */
	}
	return n < 0 ? n : 0;
}

static int wait_for_some(struct copy_thread *t)
{
	if (under_way(t->src) > 0 && under_way(t->dst) > 0) {
		return wait_for_both(t);
	}
	return wait_for_one(t, under_way(t->src) > 0 ? t->src : t->dst);
}

static int run(struct copy_thread *t)
{
	bool is_end = false;
	int r = 0;

	while (r == 0 && (!is_end || t->n_busy > 0)) {
		r = start_some(t, &is_end);
		if (r == 0 && under_way(t->src) + under_way(t->dst) > 0) {
			r = wait_for_some(t);
		}
	}
	return r;
}

static void *thread_main(void *arg)
{
	struct copy_thread *t = arg;
	int r = run(t);

	if (r < 0) {
		copy_fail(t->c, r);
	}
	if (t->src) {
		(void)vdpakit_blk_release(t->src); /* ours */
	}
	if (t->dst) {
		(void)vdpakit_blk_release(t->dst);
	}
	(void)sem_post(&t->c->ended); /* cannot overflow */
	return NULL;
}

/* ---- all of it ---- */

static int make_thread(struct copy *c, struct copy_thread *t, unsigned int idx)
{
	struct blk_copy *job = c->job;

	t->c = c;
	t->n_slots = job->depth;
	t->src = job->src.blk ? vdpakit_blk_get_queue(job->src.blk, idx) : NULL;
	t->dst = job->dst.blk ? vdpakit_blk_get_queue(job->dst.blk, idx) : NULL;
	t->slots = calloc(job->depth, sizeof(*t->slots));
	if (!t->slots) {
		return err(-ENOMEM, "out of memory");
	}
	for (unsigned int i = 0; i < job->depth; i++) {
		t->slots[i].buf = c->memory + (size_t)(idx * job->depth + i) *
						      job->chunk_bytes;
	}
	return 0;
}

static int start_threads(struct copy *c)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < c->job->n_threads; i++) {
		struct copy_thread *t = &c->threads[i];

		r = make_thread(c, t, i);
		if (r == 0) {
			r = -pthread_create(&t->thread, NULL, thread_main, t);
			c->n_started += r == 0;
		}
	}
	if (r < 0) {
		copy_fail(c, r);
	}
	return r;
}

static void end_threads(struct copy *c)
{
	for (unsigned int i = 0; i < c->n_started; i++) {
		copy_progress_wait(c);
	}
	for (unsigned int i = 0; i < c->n_started; i++) {
		(void)pthread_join(c->threads[i].thread, NULL); /* ours */
	}
	for (unsigned int i = 0; i < c->job->n_threads; i++) {
		free(c->threads[i].slots);
	}
}

static int flush_target(const struct blk_end *dst)
{
	struct vdpakit_blk_queue *q;
	int r = 0;

	if (dst->blk && dst->info.can_flush) {
		q = vdpakit_blk_get_queue(dst->blk, 0);
		r = io_err(vdpakit_blk_flush(q));
		(void)vdpakit_blk_release(q); /* ours */
	}
	return err_context(r, "%s: flush", dst->word);
}

static int run_all(struct vdpakit *kit, struct copy *c)
{
	struct blk_copy *job = c->job;
	size_t bytes = (size_t)job->n_threads * job->depth * job->chunk_bytes;
	void *memory;
	int r = io_err(vdpakit_mem_alloc(kit, bytes, &memory));

	if (r < 0) {
		return r;
	}
	c->memory = memory;
	(void)start_threads(c);
	end_threads(c);
	r = c->result < 0 ? err(c->result, "%s", c->text)
			  : flush_target(&job->dst);
	/* After an error requests may be under way: the disk is closed with
	 * them. */
	return r;
}

int blk_copy_run(struct vdpakit *kit, struct blk_copy *job)
{
	struct copy c = { .job = job };
	int r = copy_prepare(job);

	c.is_ordered = !job->dst.blk && job->dst.is_stream;
	(void)sem_init(&c.ended, 0, 0); /* 0 is a valid value */
	if (r == 0) {
		r = run_all(kit, &c);
	}
	copy_progress_end(&c);
	(void)sem_destroy(&c.ended);
	job->done_bytes = c.done;
	return r < 0 ? r : copy_finish(job);
}
