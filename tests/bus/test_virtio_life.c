/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the virtio block driver: life of a disk, threads, misuse.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/virtio_disk.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/oom.h"

#define NO_OPTIONS ((struct vdpakit_blk_options){ 0 })
#define BLOCK	   4096U

/* The sentence that belongs to an error says all of these words. */
static void expect(int ret, int want, const char *words)
{
	assert_int_equal(ret, want);
	if (!strstr(err_text(want), words)) {
		fail_msg("'%s' does not say '%s'", err_text(want), words);
	}
}

/* ---- misuse: errno and a sentence ---- */

static void test_misuse_of_requests(void **state)
{
	static struct iovec short_iov[] = { { NULL, 256 } };
	static const struct {
		struct vdpakit_blk_req req;
		uint64_t buf_off; /* in memory; UINT64_MAX: nowhere */
		int want;
		const char *words;
	} cases[] = {
		{ { .op = VDPAKIT_BLK_OP_N }, 0, -EINVAL, "kind 5" },
		{ { .op = 255 }, 0, -EINVAL, "kind 255" },
		{ { .len_bytes = 0 }, 0, -EINVAL, "whole sectors" },
		{ { .len_bytes = 511 }, 0, -EINVAL, "whole sectors" },
		{ { .len_bytes = 512, .offset_bytes = 1 },
		  0,
		  -EINVAL,
		  "whole sectors" },
		{ { .len_bytes = 512, .offset_bytes = VDISK_BYTES },
		  0,
		  -ERANGE,
		  "beyond the disk" },
		{ { .len_bytes = 1024, .offset_bytes = VDISK_BYTES - 512 },
		  0,
		  -ERANGE,
		  "beyond the disk" },
		{ { .len_bytes = 1024, .offset_bytes = UINT64_MAX - 511 },
		  0,
		  -ERANGE,
		  "beyond the disk" },
		{ { .len_bytes = UINT64_MAX - 511, .offset_bytes = 512 },
		  0,
		  -ERANGE,
		  "beyond the disk" },
		{ { .len_bytes = 512 }, UINT64_MAX, -EFAULT, "memory" },
		{ { .len_bytes = 512 }, VRIG_MEM_BYTES, -EFAULT, "memory" },
		{ { .len_bytes = 512 },
		  VRIG_MEM_BYTES - 256,
		  -EFAULT,
		  "memory" },
		{ { .len_bytes = 512, .flags = 1 }, 0, -EINVAL, "flags" },
		{ { .op = VDPAKIT_BLK_WRITE_ZEROES,
		    .len_bytes = 512,
		    .flags = 2 },
		  0,
		  -EINVAL,
		  "flags" },
		{ { .op = VDPAKIT_BLK_FLUSH, .len_bytes = 512 },
		  0,
		  -EINVAL,
		  "whole disk" },
		{ { .op = VDPAKIT_BLK_DISCARD, .len_bytes = 100 },
		  0,
		  -EINVAL,
		  "whole sectors" },
		{ { .len_bytes = 512, .n_iov = 1, .iov = short_iov },
		  0,
		  -EINVAL,
		  "pieces" },
		{ { .len_bytes = 512, .n_iov = 1, .iov = short_iov },
		  UINT64_MAX,
		  -EFAULT,
		  "memory" },
	};
	struct vdisk d;

	vdisk_open_default(&d);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vdpakit_blk_req req = cases[i].req;
		bool is_nowhere = cases[i].buf_off == UINT64_MAX;

		short_iov[0].iov_base = is_nowhere ? NULL : d.mem;
		req.buf = is_nowhere ? NULL : d.mem + cases[i].buf_off;
		expect(vdpakit_blk_add(d.q, &req, 1), cases[i].want,
		       cases[i].words);
		assert_int_equal(vdpakit_blk_n_under_way(d.q), 0);
	}
	/* None of it did any harm. */
	vdisk_round_trip(&d, 0, BLOCK);
	vdisk_close(&d);
}

/* What comes before a bad request is taken, the bad one is told next time. */
static void test_misuse_in_the_middle(void **state)
{
	struct vdpakit_blk_done done[4];
	struct vdpakit_blk_req reqs[3] = { { .len_bytes = 512 },
					   { .len_bytes = 512 },
					   { .len_bytes = 3 } };
	struct vdisk d;

	vdisk_open_default(&d);
	reqs[0].buf = reqs[1].buf = reqs[2].buf = d.mem;
	assert_int_equal(vdpakit_blk_add(d.q, reqs, 3), 2);
	assert_int_equal(vdpakit_blk_add(d.q, reqs + 2, 1), -EINVAL);
	assert_int_equal(vdpakit_blk_wait(d.q, done, 4, 4, -1), 2);
	assert_int_equal(vdpakit_blk_add(d.q, reqs, 0), 0);
	vdisk_close(&d);
}

static void test_misuse_of_one_at_a_time(void **state)
{
	const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH };
	struct vdpakit_blk_done done;
	struct vdisk d;

	vdisk_open_default(&d);
	assert_int_equal(vdpakit_blk_add(d.q, &req, 1), 1);
	expect(vdpakit_blk_read(d.q, d.mem, 512, 0), -EBUSY, "under way");
	expect(vdpakit_blk_write(d.q, d.mem, 512, 0), -EBUSY, "under way");
	expect(vdpakit_blk_flush(d.q), -EBUSY, "under way");
	assert_int_equal(vdpakit_blk_wait(d.q, &done, 1, 1, -1), 1);
	expect(vdpakit_blk_read(d.q, d.mem, 5, 0), -EINVAL, "whole sectors");
	expect(vdpakit_blk_write(d.q, d.mem, 512, VDISK_BYTES), -ERANGE,
	       "beyond");
	vdisk_close(&d);
}

static void test_misuse_of_queues(void **state)
{
	struct vdisk d;

	vdisk_open_default(&d);
	assert_null(vdpakit_blk_get_queue(d.blk, VDISK_QUEUES));
	assert_null(vdpakit_blk_get_queue(d.blk, UINT32_MAX));
	vdisk_close(&d);
}

static void test_misuse_of_open(void **state)
{
	static const struct {
		struct vdpakit_blk_options options;
		int want;
		const char *words;
	} cases[] = {
		{ { .size = 0 }, -EINVAL, "set size" },
		{ { .size = sizeof(struct vdpakit_blk_options) + 1 },
		  -EINVAL,
		  "set size" },
		{ { .size = sizeof(struct vdpakit_blk_options),
		    .queue_size = 100 },
		  -EINVAL,
		  "power of two" },
		{ { .size = sizeof(struct vdpakit_blk_options),
		    .queue_size = 32768 },
		  -EINVAL,
		  "power of two" },
		{ { .size = sizeof(struct vdpakit_blk_options),
		    .n_queues = VDISK_QUEUES + 1 },
		  -EINVAL,
		  "it has 4" },
	};
	struct vdpakit_blk *other;
	struct vdisk d;

	vdisk_open_default(&d);
	expect(blk_probe(d.vdev, d.r->pool, NULL, &other), -EBUSY, "already");
	assert_int_equal(vdpa_dev_unbind(d.r->w->bus, "d0"), -EBUSY);
	blk_remove(d.blk);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		expect(blk_probe(d.vdev, d.r->pool, &cases[i].options, &other),
		       cases[i].want, cases[i].words);
		assert_false(d.vdev->is_taken);
	}
	/* It is as if nothing had been. */
	assert_int_equal(blk_probe(d.vdev, d.r->pool, NULL, &d.blk), 0);
	vdisk_close(&d);
}

static void test_a_network_card_is_no_disk(void **state)
{
	struct vrig *r = vrig_new(NULL, 1);
	struct virtio_device *vdev = vrig_add(r, "vdpasim_net", "n0", 0, "");
	struct vdpakit_blk *blk;

	expect(blk_probe(vdev, r->pool, NULL, &blk), -ENOTBLK, "no disk");
	vrig_free(r);
}

/* ---- owners ---- */

struct stranger {
	struct vdisk *d;
	int ret[8];
};

static void *use_queue(void *priv)
{
	const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH };
	struct stranger *s = priv;
	struct vdpakit_blk_queue *q = s->d->q;
	struct vdpakit_blk_done done;

	s->ret[0] = vdpakit_blk_add(q, &req, 1);
	s->ret[1] = vdpakit_blk_submit(q);
	s->ret[2] = vdpakit_blk_poll(q, &done, 1);
	s->ret[3] = vdpakit_blk_wait(q, &done, 1, 1, 0);
	s->ret[4] = vdpakit_blk_arm(q);
	s->ret[5] = vdpakit_blk_release(q);
	s->ret[6] = vdpakit_blk_read(q, s->d->mem, 512, 0);
	s->ret[7] = vdpakit_blk_flush(q);
	return NULL;
}

static void *flush_and_release(void *priv)
{
	struct stranger *s = priv;

	s->ret[0] = vdpakit_blk_flush(s->d->q);
	s->ret[1] = vdpakit_blk_release(s->d->q);
	return NULL;
}

static void in_a_thread(void *(*fn)(void *), void *priv)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, fn, priv), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_misuse_by_another_thread(void **state)
{
	struct stranger s;
	struct vdisk d;

	vdisk_open_default(&d);
	s.d = &d;
	assert_int_equal(vdpakit_blk_flush(d.q), 0); /* ours now */
	in_a_thread(use_queue, &s);
	for (size_t i = 0; i < ARRAY_SIZE(s.ret); i++) {
		assert_int_equal(s.ret[i], -EPERM);
	}
	assert_int_equal(vdpakit_blk_flush(d.q), 0);
	vdisk_close(&d);
}

static void test_a_queue_goes_from_thread_to_thread(void **state)
{
	struct stranger s;
	struct vdisk d;

	vdisk_open_default(&d);
	s.d = &d;
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(vdpakit_blk_flush(d.q), 0);
		assert_int_equal(vdpakit_blk_release(d.q), 0);
		in_a_thread(flush_and_release, &s);
		assert_int_equal(s.ret[0], 0);
		assert_int_equal(s.ret[1], 0);
	}
	vdisk_close(&d);
}

/* ---- several queues, several threads ---- */

struct worker {
	struct vdpakit_blk_queue *q;
	char *mem;
	uint64_t offset;
	unsigned int seed;
	bool is_right;
};

static void *write_and_read(void *priv)
{
	struct worker *w = priv;
	char *in = w->mem + 32 * BLOCK;

	w->is_right = true;
	for (unsigned int i = 0; i < 100 && w->is_right; i++) {
		size_t len = (1 + i % 32) * BLOCK;

		vdisk_fill(w->mem, len, w->seed + i);
		w->is_right = vdpakit_blk_write(w->q, w->mem, len, w->offset) ==
				      0 &&
			      vdpakit_blk_read(w->q, in, len, w->offset) == 0 &&
			      memcmp(w->mem, in, len) == 0;
	}
	return NULL;
}

static void run_threads(const struct vdisk_kind *kind, unsigned int poll_us)
{
	const struct vdpakit_blk_options options = { .poll_us = poll_us };
	struct worker workers[VDISK_QUEUES];
	pthread_t threads[VDISK_QUEUES];
	struct vdisk d;

	vdisk_open(&d, kind, options);
	for (unsigned int i = 0; i < VDISK_QUEUES; i++) {
		workers[i] = (struct worker){
			.q = vdpakit_blk_get_queue(d.blk, i),
			.mem = d.mem + (size_t)i * 64 * BLOCK,
			.offset = i * (1ULL << 20),
			.seed = i,
		};
		assert_int_equal(pthread_create(&threads[i], NULL,
						write_and_read, &workers[i]),
				 0);
	}
	for (unsigned int i = 0; i < VDISK_QUEUES; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(workers[i].is_right);
	}
	vdisk_close(&d);
}

static void test_a_thread_for_each_queue(void **state)
{
	run_threads(&vdisk_kinds[0], 0);
	run_threads(&vdisk_kinds[1], 20);
	run_threads(&vdisk_kinds[8], 0);
}

/* ---- waiting ---- */

/* A queue whose device never answers: it is suspended. */
static void add_unanswered(struct vdisk *d)
{
	const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH,
					     .user = d };
	struct vdpa_device *vdev = vdpa_device_find(d->r->w->bus, "d0");

	assert_int_equal(vdpa_suspend(vdev), 0);
	assert_int_equal(vdpakit_blk_add(d->q, &req, 1), 1);
	assert_int_equal(vdpakit_blk_submit(d->q), 0);
}

static void resume(struct vdisk *d)
{
	assert_int_equal(vdpa_resume(vdpa_device_find(d->r->w->bus, "d0")), 0);
}

static void test_waiting_has_an_end(void **state)
{
	static const unsigned int poll_us[] = { 0, 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(poll_us); i++) {
		struct vdpakit_blk_done done = { 0 };
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i],
			   (struct vdpakit_blk_options){ .poll_us =
								 poll_us[i] });
		add_unanswered(&d);
		assert_int_equal(vdpakit_blk_wait(d.q, &done, 1, 1, 0), 0);
		assert_int_equal(vdpakit_blk_wait(d.q, &done, 1, 1, 20), 0);
		resume(&d);
		assert_int_equal(vdpakit_blk_wait(d.q, &done, 1, 1, -1), 1);
		assert_ptr_equal(done.user, &d);
		vdisk_close(&d);
	}
}

static void on_signal(int sig)
{
	(void)sig;
}

static void test_waiting_is_interrupted(void **state)
{
	/* Again and again: the first one may come before the wait. */
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = on_signal };
	struct vdpakit_blk_done done;
	struct vdisk d;

	vdisk_open_default(&d);
	add_unanswered(&d);
	/* For good: a signal may be on its way when the timer has ended. Only
	 * this thread takes signals. */
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	assert_int_equal(vdpakit_blk_wait(d.q, &done, 1, 1, -1), -EINTR);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	resume(&d);
	assert_int_equal(vdpakit_blk_wait(d.q, &done, 1, 1, -1), 1);
	vdisk_close(&d);
}

/* ---- the device changes, or goes ---- */

static void test_a_new_capacity(void **state)
{
	struct vdpa_dev_config config = { .n_params = 1 };
	struct vdisk d;
	uint32_t generation;

	vdisk_open_default(&d);
	generation = vdisk_info(&d).generation;
	strcpy(config.params[0].key, "capacity");
	strcpy(config.params[0].value, "32M");
	assert_int_equal(vdpakit_blk_read(d.q, d.mem, 512, VDISK_BYTES),
			 -ERANGE);
	assert_int_equal(vdpa_dev_set(d.r->w->bus, "d0", &config), 0);
	vrig_settle(d.r);
	assert_int_equal(d.n_changed, 1);
	assert_int_equal(vdisk_info(&d).capacity_bytes, 2 * VDISK_BYTES);
	assert_int_equal(vdisk_info(&d).generation, generation + 1);
	assert_int_equal(vdpakit_blk_read(d.q, d.mem, 512, VDISK_BYTES), 0);
	vdisk_close(&d);
}

static void test_close_and_open_again(void **state)
{
	struct vdisk d;

	vdisk_open_default(&d);
	vdisk_round_trip(&d, 0, BLOCK);
	for (unsigned int i = 0; i < 5; i++) {
		add_unanswered(&d); /* what is under way is dropped */
		blk_remove(d.blk);
		assert_int_equal(vdisk_probe(&d, NO_OPTIONS), 0);
		memset(d.mem + BLOCK, 0, BLOCK);
		assert_int_equal(vdpakit_blk_read(d.q, d.mem + BLOCK, BLOCK, 0),
				 0);
		assert_memory_equal(d.mem + BLOCK, d.mem, BLOCK);
	}
	vdisk_close(&d);
}

/* The device is another bus driver's in between. */
static void test_bound_to_others_in_between(void **state)
{
	struct vdpa_bus *bus;
	struct vdisk d;

	vdisk_open_default(&d);
	bus = d.r->w->bus;
	vdisk_round_trip(&d, 0, BLOCK);
	blk_remove(d.blk);
	assert_int_equal(vdpa_dev_bind(bus, "d0", "vhost_vdpa", NULL, 0), 0);
	assert_null(virtio_vdpa_get(vdpa_device_find(bus, "d0")));
	assert_int_equal(vdpa_n_maps(vdpa_device_find(bus, "d0"), 0), 0);
	d.vdev = vrig_bind(d.r, "d0");
	assert_int_equal(vdisk_probe(&d, NO_OPTIONS), 0);
	vdisk_round_trip(&d, 0, BLOCK);
	vdisk_close(&d);
}

static void test_reset_gives_back_what_was_under_way(void **state)
{
	for (size_t i = 0; i < vdisk_n_kinds; i++) {
		struct vdpakit_blk_done done[2];
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i], NO_OPTIONS);
		vdisk_round_trip(&d, 0, BLOCK);
		for (unsigned int k = 0; k < 3; k++) {
			add_unanswered(&d);
			assert_int_equal(blk_reset(d.blk), 0);
			assert_int_equal(vdpakit_blk_n_under_way(d.q), 1);
			assert_int_equal(vdpakit_blk_arm(d.q), 1);
			assert_int_equal(vdpakit_blk_poll(d.q, done, 2), 1);
			assert_ptr_equal(done[0].user, &d);
			assert_int_equal(done[0].result, -EIO);
			assert_int_equal(vdpakit_blk_poll(d.q, done, 2), 0);
			assert_false(vdisk_info(&d).needs_reset);
			vdisk_round_trip(&d, 0, BLOCK);
		}
		vdisk_close(&d);
	}
}

static void test_a_device_that_goes(void **state)
{
	const struct vdpakit_blk_req req = { .op = VDPAKIT_BLK_FLUSH };
	struct vdpakit_blk_done done;
	struct vdisk d;

	vdisk_open_default(&d);
	add_unanswered(&d);
	assert_int_equal(vdpa_dev_del(d.r->w->bus, "d0", NULL, NULL), 0);
	assert_null(vdpa_device_find(d.r->w->bus, "d0"));
	assert_true(d.n_changed > 0);
	expect(vdpakit_blk_add(d.q, &req, 1), -ENODEV, "gone");
	expect(vdpakit_blk_submit(d.q), -ENODEV, "gone");
	expect(vdpakit_blk_poll(d.q, &done, 1), -ENODEV, "gone");
	expect(vdpakit_blk_wait(d.q, &done, 1, 1, -1), -ENODEV, "gone");
	expect(vdpakit_blk_read(d.q, d.mem, 512, 0), -ENODEV, "gone");
	expect(blk_reset(d.blk), -ENODEV, "gone");
	assert_int_equal(vdpakit_blk_arm(d.q), 1);
	assert_int_equal(vdisk_info(&d).capacity_bytes, VDISK_BYTES);
	/* Its name is free again. */
	assert_int_equal(vworld_add_keys(d.r->w, "blk", "d0", 0, VDISK_KEYS),
			 0);
	vdisk_close(&d);
}

struct sleeper {
	struct vdisk *d;
	int ret;
};

static void *sleep_on_queue(void *priv)
{
	struct sleeper *s = priv;
	struct vdpakit_blk_done done;

	s->ret = vdpakit_blk_wait(s->d->q, &done, 1, 1, -1);
	return NULL;
}

static void wait_until_asleep(struct vdisk *d)
{
	while (__atomic_load_n(&d->vdev->vqs[0]->n_waits, __ATOMIC_RELAXED) ==
	       0) {
		(void)sched_yield();
	}
}

/* Whoever sleeps on a queue is told. */
static void test_sleepers_are_woken(void **state)
{
	for (unsigned int how = 0; how < 3; how++) {
		static const int want[] = { -ENODEV, -ENODEV, -EIO };
		struct sleeper s = { 0 };
		pthread_t thread;
		struct vdisk d;

		vdisk_open_default(&d);
		s.d = &d;
		add_unanswered(&d);
		assert_int_equal(vdpakit_blk_release(d.q), 0);
		assert_int_equal(
			pthread_create(&thread, NULL, sleep_on_queue, &s), 0);
		wait_until_asleep(&d);
		if (how == 0) {
			assert_int_equal(
				vdpa_dev_del(d.r->w->bus, "d0", NULL, NULL), 0);
		} else if (how == 1) {
			virtio_vdpa_unregister(d.r->drv);
			assert_int_equal(virtio_vdpa_register(d.r->w->bus,
							      &d.r->drv),
					 0);
		} else {
			virtio_break(d.vdev);
			vrig_settle(d.r);
		}
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(s.ret, want[how]);
		vdisk_close(&d);
	}
}

/* A thread works while the device goes: an error, and no more than that. */
static void *work_until_error(void *priv)
{
	struct sleeper *s = priv;

	do {
		s->ret = vdpakit_blk_write(s->d->q, s->d->mem, BLOCK, 0);
	} while (s->ret == 0);
	return NULL;
}

static void test_a_device_that_goes_while_it_is_used(void **state)
{
	for (unsigned int i = 0; i < 10; i++) {
		struct sleeper s = { 0 };
		pthread_t thread;
		struct vdisk d;

		vdisk_open(&d, &vdisk_kinds[i % vdisk_n_kinds], NO_OPTIONS);
		s.d = &d;
		assert_int_equal(
			pthread_create(&thread, NULL, work_until_error, &s), 0);
		wait_until_asleep(&d);
		assert_int_equal(vdpa_dev_del(d.r->w->bus, "d0", NULL, NULL),
				 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(s.ret, -ENODEV);
		vdisk_close(&d);
	}
}

/* ---- jobs ---- */

static int probe_job(void *priv)
{
	return vdisk_probe(priv, NO_OPTIONS);
}

static void keep_result(void *priv, int result)
{
	((struct vdisk *)priv)->n_changed = 100 + (unsigned int)result;
}

/* Where the device never waits, it is done at once. */
static void test_a_job_is_run(void **state)
{
	struct virtio_vdpa_job job = { .fn = probe_job, .done = keep_result };
	struct vdisk d;

	vdisk_open_default(&d);
	blk_remove(d.blk);
	job.priv = &d;
	virtio_vdpa_run(d.vdev, &job);
	assert_int_equal(d.n_changed, 100);
	vdisk_round_trip(&d, 0, BLOCK);
	vdisk_close(&d);
}

/* ---- out of memory ---- */

static int open_without_memory(void *priv)
{
	struct vdisk d;
	int ret;

	(void)priv;
	vdisk_open_default(&d);
	blk_remove(d.blk);
	oom_begin();
	ret = vdisk_probe(&d, NO_OPTIONS);
	oom_end();
	if (ret < 0) {
		/* It is as if nothing had been. */
		assert_false(d.vdev->is_taken);
		assert_int_equal(
			vdpa_get_status(vdpa_device_find(d.r->w->bus, "d0")),
			0);
		assert_int_equal(vdisk_probe(&d, NO_OPTIONS), 0);
	}
	vdisk_round_trip(&d, 0, BLOCK);
	vdisk_close(&d);
	return ret;
}

static void test_oom_open(void **state)
{
	assert_true(oom_check(open_without_memory, NULL) > 10);
}

static int reset_without_memory(void *priv)
{
	struct vdisk d;
	int ret;

	(void)priv;
	vdisk_open_default(&d);
	oom_begin();
	ret = blk_reset(d.blk);
	oom_end();
	if (ret < 0) {
		assert_true(vdisk_info(&d).needs_reset);
		assert_int_equal(vdpakit_blk_flush(d.q), -EIO);
		assert_int_equal(blk_reset(d.blk), 0);
	}
	vdisk_round_trip(&d, 0, BLOCK);
	vdisk_close(&d);
	return ret;
}

static void test_oom_reset(void **state)
{
	assert_true(oom_check(reset_without_memory, NULL) > 5);
}

/* ---- no allocation, no descriptor left ---- */

static void test_requests_allocate_nothing(void **state)
{
	struct vdisk d;

	vdisk_open_default(&d);
	vdisk_round_trip(&d, 0, BLOCK);
	oom_count_begin();
	for (unsigned int i = 0; i < 50; i++) {
		vdisk_round_trip(&d, 0, BLOCK);
	}
	assert_int_equal(oom_count_end(), 0);
	vdisk_close(&d);
}

static void test_no_descriptor_is_left(void **state)
{
	unsigned int before = test_count_fds();
	struct vdisk d;

	for (unsigned int i = 0; i < 3; i++) {
		vdisk_open_default(&d);
		vdisk_round_trip(&d, 0, BLOCK);
		assert_int_equal(blk_reset(d.blk), 0);
		vdisk_close(&d);
		assert_int_equal(test_count_fds(), before);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_misuse_of_requests),
	cmocka_unit_test(test_misuse_in_the_middle),
	cmocka_unit_test(test_misuse_of_one_at_a_time),
	cmocka_unit_test(test_misuse_of_queues),
	cmocka_unit_test(test_misuse_of_open),
	cmocka_unit_test(test_a_network_card_is_no_disk),
	cmocka_unit_test(test_misuse_by_another_thread),
	cmocka_unit_test(test_a_queue_goes_from_thread_to_thread),
	cmocka_unit_test(test_a_thread_for_each_queue),
	cmocka_unit_test(test_waiting_has_an_end),
	cmocka_unit_test(test_waiting_is_interrupted),
	cmocka_unit_test(test_a_new_capacity),
	cmocka_unit_test(test_close_and_open_again),
	cmocka_unit_test(test_bound_to_others_in_between),
	cmocka_unit_test(test_reset_gives_back_what_was_under_way),
	cmocka_unit_test(test_a_device_that_goes),
	cmocka_unit_test(test_sleepers_are_woken),
	cmocka_unit_test(test_a_device_that_goes_while_it_is_used),
	cmocka_unit_test(test_a_job_is_run),
	cmocka_unit_test(test_oom_open),
	cmocka_unit_test(test_oom_reset),
	cmocka_unit_test(test_requests_allocate_nothing),
	cmocka_unit_test(test_no_descriptor_is_left),
};

TEST_MAIN("virtio_life")
