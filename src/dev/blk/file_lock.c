/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block back end file: keeping others away, and outwaiting the dead.
 *
 * Theory of operation
 *
 * The lock of an open file lasts as long as the file is open, and that is longer
 * than its process: io_uring keeps a file until the last request on it is done,
 * some time after the process was killed and waited for. Until then an old write
 * may land on top of a newer one, so whoever comes next has to wait. But only
 * for the dead; from the living it hears a refusal at once. To tell them apart,
 * a disk opens its file twice:
 *
 *	opened   locks                            until
 *	fd       0 to LIFE_BYTE - 1               the last request is done
 *	life_fd  LIFE_BYTE to the last there is   the process has ended
 *
 * io_uring never hears of life_fd. Who comes asks for life first: refused, the
 * holder lives. Then for the requests' range: refused, and it is exactly that
 * range which is held, the holder is dead; any other one is somebody else's, as
 * the bytes 100 to 203 that QEMU uses.
 *
 * fcntl() waits for a lock as long as it takes, so a thread of its own does it,
 * and is cancelled when that is too long.
 *
 * Rejected: unlocking before I/O has ended, or a lock that nothing but the
 * process holds: both let the old write in.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "dev/blk/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"

/* ---- the two ranges ---- */

static struct flock requests_range(const struct file_lock *lock)
{
	return (struct flock){
		.l_type = lock->is_shared ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
		.l_len = FILE_LOCK_LIFE_BYTE,
	};
}

static struct flock life_range(const struct file_lock *lock)
{
	return (struct flock){
		.l_type = lock->is_shared ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = FILE_LOCK_LIFE_BYTE,
	};
}

static int refuse(const struct file_lock *lock)
{
	return err(-EBUSY,
		   "%s: somebody else has it open: lock=off if that is meant "
		   "to be",
		   lock->path);
}

static int fail(const struct file_lock *lock, int error)
{
	return err(-error, "%s: lock: %s: lock=off goes without", lock->path,
		   strerror(error));
}

/* Return: 0; 1 somebody else has some of it; -errno */
static int try_range(const struct file_lock *lock, int fd, struct flock range)
{
	if (fcntl(fd, F_OFD_SETLK, &range) == 0) {
		return 0;
	}
	return errno == EAGAIN || errno == EACCES ? 1 : fail(lock, errno);
}

/* The same file, whatever its path leads to by now. */
static int reopen(const struct file_lock *lock)
{
	char path[32];
	int fd, flags = fcntl(lock->fd, F_GETFL);

	if (flags < 0) {
		return fail(lock, errno);
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", lock->fd);
	fd = open(path,
		  (flags & O_ACCMODE) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? err(-errno, "%s: cannot open it again through %s: %s",
			    lock->path, path, strerror(errno))
		      : fd;
}

/* ---- waiting ---- */

struct waiter {
	const struct file_lock *lock;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool is_done;
	int error;
};

static void *waiter_main(void *priv)
{
	struct waiter *w = priv;
	int r;

	do { /* may be cancelled here, and nowhere else */
		struct flock range = requests_range(w->lock);

		r = fcntl(w->lock->fd, F_OFD_SETLKW, &range);
	} while (r < 0 && errno == EINTR);
	r = r < 0 ? errno : 0;
	pthread_mutex_lock(&w->mutex);
	w->error = r;
	w->is_done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

static void waiter_init(struct waiter *w, const struct file_lock *lock)
{
	pthread_condattr_t attr;

	*w = (struct waiter){ .lock = lock };
	pthread_mutex_init(&w->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_condattr_destroy(&attr);
}

static bool waiter_wait(struct waiter *w)
{
	struct timespec end;
	bool is_done;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += w->lock->wait_s;
	pthread_mutex_lock(&w->mutex);
	while (!w->is_done && r == 0) {
		r = pthread_cond_timedwait(&w->cond, &w->mutex, &end);
	}
	is_done = w->is_done;
	pthread_mutex_unlock(&w->mutex);
	return is_done;
}

/* Signals are for others. */
static int start_thread(struct waiter *w, pthread_t *ret)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(ret, NULL, waiter_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

/* Return: 0; ETIMEDOUT; what fcntl() or pthread_create() failed with */
static int waiter_run(struct waiter *w)
{
	pthread_t thread;
	int r = start_thread(w, &thread);

	if (r != 0) {
		return r;
	}
	if (!waiter_wait(w)) {
		(void)pthread_cancel(thread); /* it may be faster */
	}
	(void)pthread_join(thread, NULL); /* it is joinable */
	return w->is_done ? w->error : ETIMEDOUT;
}

static int wait_for_requests(const struct file_lock *lock)
{
	struct waiter w;
	int r;

	log_info(lock->name,
		 "%s: waits for the last requests of a dead process",
		 lock->path);
	waiter_init(&w, lock);
	r = waiter_run(&w);
	pthread_cond_destroy(&w.cond);
	pthread_mutex_destroy(&w.mutex);
	if (r == ETIMEDOUT) {
		return err(-EBUSY,
			   "%s: who had it open has died, but requests of it "
			   "are still under way after %u s: look what its "
			   "storage hangs on, then try again",
			   lock->path, lock->wait_s);
	}
	return r == 0 ? 0 : fail(lock, r);
}

/* ---- taking both ---- */

/* We have life: is it one of us that keeps us from the requests' range? */
static bool is_held_by_the_dead(const struct file_lock *lock)
{
	struct flock held = requests_range(lock);

	if (fcntl(lock->fd, F_OFD_GETLK, &held) < 0) {
		return false;
	}
	return held.l_type == F_UNLCK || /* let go a moment ago */
	       (held.l_start == 0 && held.l_len == FILE_LOCK_LIFE_BYTE);
}

static int lock_requests(const struct file_lock *lock)
{
	int r = try_range(lock, lock->fd, requests_range(lock));

	if (r <= 0) {
		return r;
	}
	return is_held_by_the_dead(lock) ? wait_for_requests(lock)
					 : refuse(lock);
}

int file_lock_take(const struct file_lock *lock, int *ret_life_fd)
{
	_cleanup_close_ int life_fd = reopen(lock);
	int r;

	if (life_fd < 0) {
		return life_fd;
	}
	r = try_range(lock, life_fd, life_range(lock));
	if (r == 0) {
		r = lock_requests(lock);
	} else if (r > 0) {
		r = refuse(lock);
	}
	if (r < 0) {
		return r;
	}
	*ret_life_fd = steal_fd(&life_fd);
	return 0;
}
