/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a worker takes to hear of something, how much I/O it carries, what
 * it costs when idle: one line a figure, on each back end that works here.
 *
 * call: loop_call_wait(), there and back. kick: from the write of an eventfd
 * to its watch's callback. ring: from a store to memory to the poller that
 * finds it, no system call between. worker=asleep: it sleeps each time;
 * worker=polling: a poller keeps it awake in vain; worker=busy: the poller says
 * that it finds work. Median and 99th percentile.
 *
 * read: of 4 KiB at random places of a cached file of 64 MiB, so many at once.
 * empty: reads of no bytes, what the way there and back costs by itself. idle:
 * CPU time of all threads of this program in a second in which nothing happens.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "loop/loop_io.h"

#define N_ROUNDS       3000
#define MAX_POLL_US    1000
#define FALL_ASLEEP_NS 100000
/* So as not to fall into step with the worker. */
#define JITTER_NS 100000

#define BLOCK	    4096
#define N_BLOCKS    16384
#define DEPTH_MAX   128
#define READ_FOR_NS 300000000
#define IDLE_FOR_S  1

struct slot {
	struct loop_io io;
	struct iovec iov;
	struct bench *bench;
	unsigned char buffer[BLOCK];
};

struct bench {
	struct loop *worker;
	struct loop_poller poller;
	struct loop_watch *watch;
	int fd;
	bool must_poll; /* worker only: stays awake */
	bool is_busy; /* worker only: and says it finds work */
	unsigned int n_found; /* worker only: of n_stored */
	unsigned int n_stored; /* atomic: what the poller looks for */
	unsigned int n_seen; /* atomic: how often something was seen */
	uint64_t seen_ns; /* written before n_seen */
	double us[N_ROUNDS];
	/* worker only: reading */
	struct loop_file *file;
	int file_fd;
	struct loop_done *done;
	struct slot slots[DEPTH_MAX];
	unsigned int depth, n_in_flight;
	unsigned int seed;
	size_t len;
	uint64_t n_reads;
	uint64_t until_ns;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void spin_for(uint64_t ns)
{
	uint64_t until_ns = now_ns() + ns;

	while (now_ns() < until_ns) {
	}
}

/* Worker */

static void saw(struct bench *b)
{
	b->seen_ns = now_ns();
	__atomic_store_n(&b->n_seen, b->n_seen + 1, __ATOMIC_RELEASE);
}

static unsigned int poll_memory(void *priv)
{
	struct bench *b = priv;
	unsigned int n = __atomic_load_n(&b->n_stored, __ATOMIC_ACQUIRE);

	if (n != b->n_found) {
		b->n_found = n;
		saw(b);
	}
	return b->is_busy;
}

static bool arm(void *priv)
{
	return ((struct bench *)priv)->must_poll;
}

static void kicked(void *priv, unsigned int events)
{
	saw(priv);
}

static void set_up(void *priv)
{
	struct bench *b = priv;
	int rc = loop_watch_new(b->worker, b->fd, LOOP_IN | LOOP_EDGE, kicked,
				b, &b->watch);

	assert(rc == 0);
	b->poller = (struct loop_poller){
		.poll = poll_memory,
		.arm = arm,
		.priv = b,
		.max_poll_us = MAX_POLL_US,
	};
	loop_poller_add(b->worker, &b->poller);
}

static void tear_down(void *priv)
{
	struct bench *b = priv;

	b->watch = loop_watch_free(b->watch);
	loop_poller_del(&b->poller);
}

static void start_polling(void *priv)
{
	struct bench *b = priv;

	b->must_poll = true;
	loop_poller_wake(&b->poller);
}

static void seem_busy(void *priv)
{
	((struct bench *)priv)->is_busy = true;
}

static void stop_polling(void *priv)
{
	struct bench *b = priv;

	b->must_poll = false;
	b->is_busy = false;
}

static void do_nothing(void *priv)
{
}

static void submit(struct slot *slot)
{
	struct bench *b = slot->bench;

	slot->iov = (struct iovec){ slot->buffer, b->len };
	slot->io.offset = (uint64_t)rand_r(&b->seed) % N_BLOCKS * BLOCK;
	loop_io_submit(b->worker, &slot->io);
}

static void have_read(struct loop_io *io, int64_t res)
{
	struct slot *slot = container_of(io, struct slot, io);
	struct bench *b = slot->bench;

	assert(res == (int64_t)b->len);
	b->n_reads++;
	if (loop_now_ns(b->worker) < b->until_ns) {
		submit(slot);
	} else if (--b->n_in_flight == 0) {
		loop_done(b->done);
	}
}

static void start_reading(void *priv, struct loop_done *done)
{
	struct bench *b = priv;

	b->done = done;
	b->n_reads = 0;
	b->n_in_flight = b->depth;
	b->until_ns = loop_now_ns(b->worker) + READ_FOR_NS;
	for (unsigned int i = 0; i < b->depth; i++) {
		b->slots[i].bench = b;
		b->slots[i].io = (struct loop_io){
			.op = LOOP_IO_READ,
			.file = b->file,
			.iov = &b->slots[i].iov,
			.n_iov = 1,
			.fn = have_read,
		};
		submit(&b->slots[i]);
	}
}

static void open_file(void *priv)
{
	static const unsigned char block[BLOCK] = { 1 };
	struct bench *b = priv;
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int rc;

	assert(fd >= 0);
	for (unsigned int i = 0; i < N_BLOCKS; i++) {
		ssize_t n = pwrite(fd, block, BLOCK, (off_t)i * BLOCK);

		assert(n == BLOCK);
	}
	rc = loop_file_new(b->worker, fd, &b->file);
	assert(rc == 0);
	b->file_fd = fd;
}

static void close_file(void *priv)
{
	struct bench *b = priv;

	b->file = loop_file_free(b->file);
	close(b->file_fd);
}

/* Control */

static double call(struct bench *b)
{
	uint64_t began_ns = now_ns();

	loop_call_wait(b->worker, do_nothing, NULL);
	return (double)(now_ns() - began_ns) / 1000;
}

static double wait_until_seen(const struct bench *b, unsigned int n_before,
			      uint64_t began_ns)
{
	while (__atomic_load_n(&b->n_seen, __ATOMIC_ACQUIRE) == n_before) {
	}
	return (double)(b->seen_ns - began_ns) / 1000;
}

static double kick(struct bench *b)
{
	unsigned int n_seen = __atomic_load_n(&b->n_seen, __ATOMIC_ACQUIRE);
	uint64_t one = 1, began_ns = now_ns();
	ssize_t n = write(b->fd, &one, sizeof(one));

	assert(n == sizeof(one));
	return wait_until_seen(b, n_seen, began_ns);
}

static double store(struct bench *b)
{
	unsigned int n_seen = __atomic_load_n(&b->n_seen, __ATOMIC_ACQUIRE);
	uint64_t began_ns = now_ns();

	__atomic_store_n(&b->n_stored, b->n_stored + 1, __ATOMIC_RELEASE);
	return wait_until_seen(b, n_seen, began_ns);
}

static int compare_us(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(struct bench *b, const char *figure, const char *worker,
		    double (*once)(struct bench *b))
{
	unsigned int seed = 1;

	for (unsigned int i = 0; i < N_ROUNDS; i++) {
		spin_for(FALL_ASLEEP_NS + (uint64_t)rand_r(&seed) % JITTER_NS);
		b->us[i] = once(b);
	}
	qsort(b->us, N_ROUNDS, sizeof(b->us[0]), compare_us);
	printf("bench=loop backend=%s figure=%s worker=%s us=%.2f p99_us=%.2f\n",
	       loop_backend(b->worker), figure, worker, b->us[N_ROUNDS / 2],
	       b->us[N_ROUNDS * 99 / 100]);
}

static void measure_reads(struct bench *b, const char *figure, size_t len,
			  unsigned int depth)
{
	uint64_t began_ns = now_ns();

	b->len = len;
	b->depth = depth;
	loop_call_until(b->worker, start_reading, b);
	printf("bench=loop backend=%s figure=%s depth=%u kiops=%.1f\n",
	       loop_backend(b->worker), figure, depth,
	       (double)b->n_reads * 1e6 / (double)(now_ns() - began_ns));
}

static void measure_idle(struct bench *b)
{
	struct timespec before, after, second = { .tv_sec = IDLE_FOR_S };

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	(void)nanosleep(&second, NULL);
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	printf("bench=loop backend=%s figure=idle cpu_us_per_s=%.0f\n",
	       loop_backend(b->worker),
	       ((double)(after.tv_sec - before.tv_sec) * 1e6 +
		(double)(after.tv_nsec - before.tv_nsec) / 1e3) /
		       IDLE_FOR_S);
}

static void measure_latency(struct bench *b)
{
	loop_call_wait(b->worker, set_up, b);
	measure(b, "call", "asleep", call);
	measure(b, "kick", "asleep", kick);
	measure_idle(b);
	loop_call_wait(b->worker, start_polling, b);
	measure(b, "call", "polling", call);
	measure(b, "kick", "polling", kick);
	measure(b, "ring", "polling", store);
	loop_call_wait(b->worker, seem_busy, b);
	measure(b, "call", "busy", call);
	measure(b, "kick", "busy", kick);
	measure(b, "ring", "busy", store);
	loop_call_wait(b->worker, stop_polling, b);
	loop_call_wait(b->worker, tear_down, b);
}

static void measure_all(enum loop_kind kind)
{
	static struct bench b;
	int rc;

	b = (struct bench){ .seed = 1 };
	rc = loop_new_kind("bench", kind, &b.worker);
	if (rc < 0) {
		fprintf(stderr, "loop: %s\n", err_text(rc));
		return;
	}
	b.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(b.fd >= 0);
	rc = loop_start(b.worker);
	assert(rc == 0);
	measure_latency(&b);
	loop_call_wait(b.worker, open_file, &b);
	measure_reads(&b, "empty", 0, 32);
	measure_reads(&b, "read", BLOCK, 1);
	measure_reads(&b, "read", BLOCK, 32);
	measure_reads(&b, "read", BLOCK, DEPTH_MAX);
	loop_call_wait(b.worker, close_file, &b);
	loop_stop(b.worker);
	loop_free(b.worker);
	close(b.fd);
}

/* [auto|io_uring|epoll]: that one only */
int main(int argc, char **argv)
{
	enum loop_kind kind;

	if (argc > 1) {
		if (loop_kind_parse(argv[1], &kind) < 0) {
			fprintf(stderr, "%s\n", err_text(-EINVAL));
			return 2;
		}
		measure_all(kind);
		return 0;
	}
	measure_all(LOOP_EPOLL);
	measure_all(LOOP_IO_URING);
	return 0;
}
