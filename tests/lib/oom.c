/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For every allocation n, fail it: the call returns -ENOMEM, leaks nothing.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "lib/oom.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lib/test.h"

/* What a scenario may hold at a time, and how many allocations it may make. */
#define LIVE_MAX     16384
#define FAILURES_MAX 10000

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
int __real_posix_memalign(void **ret, size_t align, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void __real_free(void *p);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
int __wrap_posix_memalign(void **ret, size_t align, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
void __wrap_free(void *p);

static struct {
	pthread_mutex_t lock;
	atomic_bool is_watching; /* a scenario runs */
	atomic_bool is_counting;
	atomic_uint n_counted;
	bool is_failing; /* between oom_begin() and oom_end() */
	bool has_begun;
	bool has_failed;
	bool has_overflowed; /* more are live than are noted */
	unsigned int n_left; /* allocations before the one that fails */
	unsigned int n_live;
	void *live[LIVE_MAX];
} oom = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

/*
 * Asked before the lock is taken: a lock in every allocation would order the
 * threads of other tests, and hide their races from the thread sanitizer.
 */
static bool is_watching(void)
{
	return atomic_load_explicit(&oom.is_watching, memory_order_relaxed);
}

/* Every allocation asks. Return: is this one to fail? */
static bool must_fail(void)
{
	bool ret = false;

	if (atomic_load_explicit(&oom.is_counting, memory_order_relaxed)) {
		atomic_fetch_add_explicit(&oom.n_counted, 1,
					  memory_order_relaxed);
	}
	if (!is_watching()) {
		return false;
	}
	pthread_mutex_lock(&oom.lock);
	if (oom.is_failing && !oom.has_failed && oom.n_left-- == 0) {
		oom.has_failed = true;
		ret = true;
	}
	pthread_mutex_unlock(&oom.lock);
	if (ret) {
		errno = ENOMEM;
	}
	return ret;
}

static void *note_new(void *p)
{
	if (!p || !is_watching()) {
		return p;
	}
	pthread_mutex_lock(&oom.lock);
	if (oom.n_live < LIVE_MAX) {
		oom.live[oom.n_live++] = p;
	} else {
		oom.has_overflowed = true;
	}
	pthread_mutex_unlock(&oom.lock);
	return p;
}

/* Newest first: that is what is mostly freed. */
static void note_gone(void *p)
{
	if (!is_watching()) {
		return;
	}
	pthread_mutex_lock(&oom.lock);
	for (unsigned int i = oom.n_live; i > 0; i--) {
		if (oom.live[i - 1] == p) {
			oom.live[i - 1] = oom.live[--oom.n_live];
			break;
		}
	}
	pthread_mutex_unlock(&oom.lock);
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : note_new(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return must_fail() ? NULL : note_new(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	void *ret;

	if (must_fail()) {
		return NULL;
	}
	note_gone(p);
	ret = __real_realloc(p, size);
	return note_new(ret ? ret : p);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return must_fail() ? NULL : note_new(__real_aligned_alloc(align, size));
}

int __wrap_posix_memalign(void **ret, size_t align, size_t size)
{
	int r = must_fail() ? ENOMEM : __real_posix_memalign(ret, align, size);

	if (r == 0) {
		(void)note_new(*ret);
	}
	return r;
}

char *__wrap_strdup(const char *s)
{
	return must_fail() ? NULL : note_new(__real_strdup(s));
}

char *__wrap_strndup(const char *s, size_t n)
{
	return must_fail() ? NULL : note_new(__real_strndup(s, n));
}

void __wrap_free(void *p)
{
	note_gone(p);
	__real_free(p);
}

void oom_begin(void)
{
	pthread_mutex_lock(&oom.lock);
	oom.is_failing = true;
	oom.has_begun = true;
	pthread_mutex_unlock(&oom.lock);
}

void oom_end(void)
{
	pthread_mutex_lock(&oom.lock);
	oom.is_failing = false;
	pthread_mutex_unlock(&oom.lock);
}

static void watch(unsigned int n)
{
	pthread_mutex_lock(&oom.lock);
	oom.is_watching = true;
	oom.is_failing = false;
	oom.has_begun = false;
	oom.has_failed = false;
	oom.has_overflowed = false;
	oom.n_left = n;
	oom.n_live = 0;
	pthread_mutex_unlock(&oom.lock);
}

static void unwatch(void)
{
	pthread_mutex_lock(&oom.lock);
	oom.is_watching = false;
	oom.is_failing = false;
	pthread_mutex_unlock(&oom.lock);
}

/* The run in which allocation @n was to fail is over. */
static void check_run(unsigned int n, int ret)
{
	if (!oom.has_begun) {
		fail_msg("a scenario without oom_begin()");
	}
	if (oom.has_overflowed) {
		fail_msg("a scenario that holds more than %d blocks", LIVE_MAX);
	}
	if (oom.n_live > 0) {
		fail_msg("allocation %u failed: %u blocks left over", n,
			 oom.n_live);
	}
	if (oom.has_failed && ret != -ENOMEM) {
		fail_msg("allocation %u failed: %d, not -ENOMEM", n, ret);
	}
	if (!oom.has_failed && ret < 0) {
		fail_msg("no allocation failed: %d", ret);
	}
}

unsigned int oom_check(int (*scenario)(void *priv), void *priv)
{
	for (unsigned int n = 0; n < FAILURES_MAX; n++) {
		int ret;

		watch(n);
		ret = scenario(priv);
		unwatch();
		check_run(n, ret);
		if (!oom.has_failed) {
			return n;
		}
	}
	fail_msg("a scenario that never gets through");
	return 0;
}

void oom_count_begin(void)
{
	atomic_store(&oom.n_counted, 0);
	atomic_store(&oom.is_counting, true);
}

unsigned int oom_count_end(void)
{
	atomic_store(&oom.is_counting, false);
	return atomic_load(&oom.n_counted);
}
