/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Write numbered blocks to a disk until told to stop; none may be lost.
 *
 * Copyright (c) 2026, the vdpakit authors
 *
 * Theory of operation
 *
 * The disk is cut into slots of one block each, and each slot belongs to one of
 * several threads, which overwrites it again and again: a block carries its
 * slot, its version and bytes that follow from both. The thread knows which
 * version was acknowledged last. So a slot with an older one shows a write that
 * was lost, or one that was done again after a newer one; a slot with a newer
 * one shows a write that nobody made.
 *
 * Slots are read back into buffers that are looked at only much later, when
 * their turn comes again: memory that the disk wrote must stay as it wrote it,
 * also over a migration. At the end every slot is read and looked at.
 *
 * Stops at the first line on standard input, or its end. Static, and built for
 * the guest's initramfs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK		 4096u
#define SLOTS_PER_THREAD 64u
#define THREADS_MAX	 64u
#define BUFFERS		 256u
#define BLOCK_MAGIC	 0x746f6c7376647061ull
#define MESSAGES_MAX	 10u
#define WRITES_A_LINE	 64u

struct block {
	uint64_t magic;
	uint64_t slot;
	uint64_t version;
	uint64_t bytes[(BLOCK - 24) / 8];
};
_Static_assert(sizeof(struct block) == BLOCK, "a block");

/* What one buffer must hold. */
struct held {
	uint64_t slot;
	uint64_t version;
	int is_used;
};

struct worker {
	pthread_t thread;
	unsigned idx;
	uint64_t random;
	uint64_t acked[SLOTS_PER_THREAD];
	struct block *out;
	struct block *in; /* BUFFERS of them */
	struct held held[BUFFERS];
};

static int disk;
static atomic_int is_stopping;
static sem_t progress;
static atomic_ullong n_written;
static atomic_ullong n_read;
static atomic_uint n_bad;

static void complain(uint64_t slot, uint64_t version, const char *what,
		     uint64_t got)
{
	if (atomic_fetch_add(&n_bad, 1) < MESSAGES_MAX)
		printf("slots: slot %llu version %llu: %s %llu\n",
		       (unsigned long long)slot, (unsigned long long)version,
		       what, (unsigned long long)got);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ull;
	return x ^ x >> 29;
}

static void fill(struct block *b, uint64_t slot, uint64_t version)
{
	b->magic = BLOCK_MAGIC;
	b->slot = slot;
	b->version = version;
	for (size_t i = 0; i < sizeof(b->bytes) / sizeof(b->bytes[0]); i++)
		b->bytes[i] = mix(slot << 40 ^ version << 12 ^ i);
}

static void check(const struct block *b, uint64_t slot, uint64_t version)
{
	static _Thread_local struct block want;

	if (!version)
		return; /* never written: anything may be there */
	fill(&want, slot, version);
	if (!memcmp(b, &want, sizeof(want)))
		return;
	if (b->magic != BLOCK_MAGIC)
		complain(slot, version, "no block of ours, magic", b->magic);
	else if (b->slot != slot)
		complain(slot, version, "holds slot", b->slot);
	else if (b->version != version)
		complain(slot, version, "holds version", b->version);
	else
		complain(slot, version, "is damaged, in thread",
			 slot / SLOTS_PER_THREAD);
}

static int do_io(int is_write, struct block *b, uint64_t slot)
{
	off_t offset = (off_t)(slot * BLOCK);
	ssize_t n = is_write ? pwrite(disk, b, BLOCK, offset)
			     : pread(disk, b, BLOCK, offset);

	if (n == BLOCK)
		return 0;
	complain(slot, 0,
		 is_write ? "write failed, errno" : "read failed, errno",
		 n < 0 ? (uint64_t)errno : 0);
	return -1;
}

static int write_slot(struct worker *w, unsigned i)
{
	uint64_t slot = (uint64_t)w->idx * SLOTS_PER_THREAD + i;

	fill(w->out, slot, w->acked[i] + 1);
	if (do_io(1, w->out, slot))
		return -1;
	w->acked[i]++;
	if (atomic_fetch_add(&n_written, 1) % WRITES_A_LINE == 0)
		sem_post(&progress);
	return 0;
}

static int read_slot(struct worker *w, unsigned i)
{
	uint64_t slot = (uint64_t)w->idx * SLOTS_PER_THREAD + i;
	unsigned n = (unsigned)(w->random >> 40) % BUFFERS;
	struct held *held = &w->held[n];

	if (held->is_used)
		check(&w->in[n], held->slot, held->version);
	*held = (struct held){ slot, w->acked[i], 1 };
	if (do_io(0, &w->in[n], slot))
		return -1;
	atomic_fetch_add(&n_read, 1);
	return 0;
}

static int flush(void)
{
	if (!fdatasync(disk))
		return 0;
	complain(0, 0, "flush failed, errno", (uint64_t)errno);
	return -1;
}

/* One step in 64 is a flush, the rest are writes and reads. */
static int step(struct worker *w)
{
	unsigned slot, action;

	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	slot = (unsigned)(w->random >> 33) % SLOTS_PER_THREAD;
	action = (unsigned)(w->random >> 50) % 64;
	if (action == 0)
		return flush();
	return action < 40 ? write_slot(w, slot) : read_slot(w, slot);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(&is_stopping) && !step(w))
		;
	for (unsigned i = 0; i < BUFFERS; i++) {
		if (w->held[i].is_used)
			check(&w->in[i], w->held[i].slot, w->held[i].version);
	}
	for (unsigned i = 0; i < SLOTS_PER_THREAD; i++) {
		if (do_io(0, w->in, (uint64_t)w->idx * SLOTS_PER_THREAD + i))
			break;
		check(w->in, (uint64_t)w->idx * SLOTS_PER_THREAD + i,
		      w->acked[i]);
	}
	return NULL;
}

/* A line whenever writing goes on: who waits for one waits for progress. What
 * comes while a line is on its way shares the next one. */
static void *report(void *arg)
{
	(void)arg;
	for (;;) {
		while (sem_wait(&progress))
			;
		while (!sem_trywait(&progress))
			;
		if (atomic_load(&is_stopping))
			return NULL;
		printf("slots: %llu so far, %u bad\n", atomic_load(&n_written),
		       atomic_load(&n_bad));
	}
}

static int start(struct worker *w, unsigned idx)
{
	w->idx = idx;
	w->random = idx * 7919ull + 1;
	if (posix_memalign((void **)&w->out, BLOCK, BLOCK) ||
	    posix_memalign((void **)&w->in, BLOCK, BUFFERS * BLOCK))
		return ENOMEM;
	return pthread_create(&w->thread, NULL, work, w);
}

int main(int argc, char **argv)
{
	struct worker *workers;
	pthread_t reporter;
	unsigned n;
	char line[64];

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: slots DISK [THREADS]\n");
		return 2;
	}
	n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 16;
	disk = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
	workers = calloc(THREADS_MAX, sizeof(*workers));
	if (disk < 0 || !workers || n < 1 || n > THREADS_MAX) {
		perror("slots");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	sem_init(&progress, 0, 0);
	for (unsigned i = 0; i < n; i++) {
		if (start(&workers[i], i))
			return 2;
	}
	if (pthread_create(&reporter, NULL, report, NULL))
		return 2;
	if (!fgets(line, sizeof(line), stdin))
		printf("slots: nobody to say stop\n");
	atomic_store(&is_stopping, 1);
	for (unsigned i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	sem_post(&progress);
	pthread_join(reporter, NULL);
	printf("slots written=%llu read=%llu bad=%u\n", atomic_load(&n_written),
	       atomic_load(&n_read), atomic_load(&n_bad));
	return atomic_load(&n_bad) != 0;
}
