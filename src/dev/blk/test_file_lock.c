/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the lock of disks on files. A lock is its open file's, not the
 * process's: so one process plays all sides, and a dead one with a request in
 * flight is one whose life_fd is closed while a copy of fd is kept.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "lib/test.h"

/* Whoever waits that long is ended by the test's own limit. */
#define FOR_EVER 100000

static char path[64];

static int set_up(void **state)
{
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/vdpakit-lock-XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int tear_down(void **state)
{
	return unlink(path);
}

static int open_it(bool is_shared)
{
	int fd = open(path, (is_shared ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

struct holder {
	int fd;
	int life_fd;
};

/* Return: what file_lock_take() did; the holder holds nothing if that failed */
static int hold(struct holder *h, bool is_shared, unsigned int wait_s)
{
	struct file_lock lock = {
		.name = "d0",
		.path = path,
		.fd = open_it(is_shared),
		.is_shared = is_shared,
		.wait_s = wait_s,
	};
	int r = file_lock_take(&lock, &h->life_fd);

	h->fd = lock.fd;
	if (r < 0) {
		close(lock.fd);
	}
	return r;
}

static void let_go(struct holder *h)
{
	close(h->fd);
	close(h->life_fd);
}

/* Return: a copy of fd, that keeps it as requests do */
static int die_with_requests(struct holder *h)
{
	int kept = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);

	assert_true(kept >= 0);
	let_go(h);
	return kept;
}

static void check_refused_at_once(bool is_shared, const char *why)
{
	unsigned int n_fds = test_count_fds();
	struct holder h;

	assert_int_equal(hold(&h, is_shared, FOR_EVER), -EBUSY);
	assert_non_null(strstr(err_text(-EBUSY), why));
	assert_int_equal(test_count_fds(), n_fds);
}

/* ---- the living ---- */

static void test_the_living_are_not_waited_for(void **state)
{
	struct holder h;

	assert_int_equal(hold(&h, false, 0), 0);
	check_refused_at_once(false, "somebody else has it open");
	check_refused_at_once(true, "somebody else has it open");
	let_go(&h);
	assert_int_equal(hold(&h, true, 0), 0);
	check_refused_at_once(false, "somebody else has it open");
	let_go(&h);
}

static void test_readers_share(void **state)
{
	struct holder a, b;

	assert_int_equal(hold(&a, true, 0), 0);
	assert_int_equal(hold(&b, true, 0), 0);
	let_go(&a);
	check_refused_at_once(false, "somebody else has it open");
	let_go(&b);
	assert_int_equal(hold(&a, false, 0), 0);
	let_go(&a);
}

/* Nobody else gets any byte of it, with either kind of lock. */
static void test_all_bytes_are_kept_from_others(void **state)
{
	static const off_t starts[] = { 0,
					100,
					203,
					FILE_LOCK_LIFE_BYTE - 1,
					FILE_LOCK_LIFE_BYTE,
					INT64_MAX };
	int other = open_it(false);
	struct holder h;

	assert_int_equal(hold(&h, false, 0), 0);
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct flock byte = { .l_type = F_RDLCK,
				      .l_start = starts[i],
				      .l_len = 1 };

		assert_int_equal(fcntl(other, F_OFD_SETLK, &byte), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(fcntl(other, F_SETLK, &byte), -1);
		assert_int_equal(errno, EAGAIN);
	}
	close(other);
	let_go(&h);
}

/* Ranges that we would never lock: they are of the living, for all we know. */
static void test_other_ranges_are_not_waited_for(void **state)
{
	static const struct flock others[] = {
		{ .l_type = F_RDLCK, .l_start = 100, .l_len = 1 }, /* QEMU's */
		{ .l_type = F_RDLCK, .l_start = 203, .l_len = 1 },
		{ .l_type = F_WRLCK, .l_start = 0, .l_len = 1 },
		{ .l_type = F_WRLCK, .l_start = 1 },
		{ .l_type = F_WRLCK },
		{ .l_type = F_WRLCK,
		  .l_start = 0,
		  .l_len = FILE_LOCK_LIFE_BYTE - 1 },
		{ .l_type = F_WRLCK, .l_start = FILE_LOCK_LIFE_BYTE },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct flock range = others[i];
		int other = open_it(false);

		assert_int_equal(fcntl(other, F_OFD_SETLK, &range), 0);
		check_refused_at_once(false, "somebody else has it open");
		range.l_type = F_UNLCK;
		assert_int_equal(fcntl(other, F_OFD_SETLK, &range), 0);
		range.l_type = others[i].l_type;
		assert_int_equal(fcntl(other, F_SETLK, &range), 0);
		check_refused_at_once(false, "somebody else has it open");
		close(other);
	}
}

/* ---- the dead ---- */

/* How many wait for a lock of this file: "N: -> OFDLCK ... MAJ:MIN:INO ..." */
static unsigned int count_waiting(void)
{
	FILE *f = fopen("/proc/locks", "re");
	char line[256], ino[32];
	unsigned int n = 0;
	struct stat st;

	if (!f || stat(path, &st) < 0) {
		return 0;
	}
	(void)snprintf(ino, sizeof(ino), ":%lu ", (unsigned long)st.st_ino);
	while (fgets(line, sizeof(line), f)) {
		n += strstr(line, "->") && strstr(line, ino);
	}
	(void)fclose(f);
	return n;
}

/* Who comes while the dead has requests in flight. */
struct comer {
	pthread_t thread;
	struct file_lock lock;
	int life_fd;
	int r;
	int is_back; /* atomic */
};

static void *comer_main(void *priv)
{
	struct comer *c = priv;

	c->r = file_lock_take(&c->lock, &c->life_fd);
	__atomic_store_n(&c->is_back, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Returns when it waits. */
static void comer_start(struct comer *c, bool is_shared)
{
	*c = (struct comer){ .lock = { .name = "d0",
				       .path = path,
				       .fd = open_it(is_shared),
				       .is_shared = is_shared,
				       .wait_s = FOR_EVER } };
	assert_int_equal(pthread_create(&c->thread, NULL, comer_main, c), 0);
	while (count_waiting() == 0 &&
	       !__atomic_load_n(&c->is_back, __ATOMIC_ACQUIRE)) {
		sched_yield();
	}
	assert_int_equal(__atomic_load_n(&c->is_back, __ATOMIC_ACQUIRE), 0);
}

static void check_waited_for(bool was_shared, bool is_shared)
{
	struct comer c;
	struct holder h;
	int kept;

	assert_int_equal(hold(&h, was_shared, 0), 0);
	kept = die_with_requests(&h);
	comer_start(&c, is_shared);
	/* who waits for the dead lives itself */
	check_refused_at_once(false, "somebody else has it open");
	assert_int_equal(__atomic_load_n(&c.is_back, __ATOMIC_ACQUIRE), 0);
	close(kept); /* the requests are done */
	assert_int_equal(pthread_join(c.thread, NULL), 0);
	assert_int_equal(c.r, 0);
	check_refused_at_once(false, "somebody else has it open");
	h = (struct holder){ .fd = c.lock.fd, .life_fd = c.life_fd };
	let_go(&h);
}

static void test_requests_of_the_dead_are_waited_for(void **state)
{
	if (access("/proc/locks", R_OK) < 0) {
		TEST_SKIP("no /proc/locks here, which tells who waits");
	}
	for (unsigned int round = 0; round < 10; round++) {
		check_waited_for(false, false);
		check_waited_for(false, true);
		check_waited_for(true, false);
	}
}

static void test_readers_need_not_wait_for_reads_of_the_dead(void **state)
{
	struct holder h;
	int kept;

	assert_int_equal(hold(&h, true, 0), 0);
	kept = die_with_requests(&h);
	assert_int_equal(hold(&h, true, 0), 0);
	let_go(&h);
	close(kept);
}

static void test_waiting_has_an_end_and_leaves_nothing(void **state)
{
	unsigned int n_fds = test_count_fds();
	struct holder h;
	int kept;

	for (unsigned int round = 0; round < 20; round++) {
		assert_int_equal(hold(&h, false, 0), 0);
		kept = die_with_requests(&h);
		assert_int_equal(hold(&h, false, 0), -EBUSY);
		assert_non_null(
			strstr(err_text(-EBUSY), "still under way after 0 s"));
		assert_int_equal(count_waiting(), 0);
		close(kept);
		assert_int_equal(test_count_fds(), n_fds);
	}
}

/* ---- want of something ---- */

static void test_want_of_descriptors_is_told(void **state)
{
	struct rlimit old, few;
	struct holder h;
	int next = open_it(false), r;

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)next + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = hold(&h, false, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_non_null(strstr(err_text(-EMFILE), "cannot open it again"));
	assert_int_equal(hold(&h, false, 0), 0);
	let_go(&h);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const struct CMUnitTest tests[] = {
	T(test_the_living_are_not_waited_for),
	T(test_readers_share),
	T(test_all_bytes_are_kept_from_others),
	T(test_other_ranges_are_not_waited_for),
	T(test_requests_of_the_dead_are_waited_for),
	T(test_readers_need_not_wait_for_reads_of_the_dead),
	T(test_waiting_has_an_end_and_leaves_nothing),
	T(test_want_of_descriptors_is_told),
};

TEST_MAIN("file_lock")
