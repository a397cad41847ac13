/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guard behind mapped files: a peer that shrinks one does not kill us.
 *
 * Theory of operation
 *
 * Touching a page of a mapped file beyond its end raises SIGBUS, and the
 * peer owns the file. A signal's disposition belongs to the process, so this
 * file holds process-wide state, the only one beside the log sink: the
 * handler, what was there before it, and the registry of guarded mappings.
 *
 * The handler looks for the mapping that the fault is in. If there is one, it
 * puts zero pages over the rest of it, from the page of the fault to the end
 * (what lies behind the end of a file is all gone), marks it poisoned, counts,
 * and lets the instruction run again. Replacing the rest and not a page keeps
 * a mapping at two VMAs, however the peer shrinks its file. (Where pages come
 * and go one by one, it is one page, up to a limit.) If there is no mapping,
 * the fault is somebody else's: it goes to the handler that was there before,
 * or the process dies of it as it would have without us.
 *
 * The registry is a list under a spin lock, because a handler can take no
 * mutex. Whoever holds the lock touches no guarded memory, so the handler
 * never finds it held by the thread that it interrupted. Adding and removing
 * take constant time; the handler walks the list, which only a peer that
 * breaks its own memory makes it do.
 *
 * Limits: a program that replaces the handler afterwards loses the guard, and
 * a thread that blocks SIGBUS dies of a fault whatever the handler is.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mem/sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

#ifdef SYS_mmap2
#define MMAP_NR SYS_mmap2 /* 32 bit: SYS_mmap takes its arguments elsewhere */
#else
#define MMAP_NR SYS_mmap
#endif

/* Each costs two VMAs, of which a process may have 65530. */
#define HOLES_MAX 1024

static struct {
	pthread_mutex_t install_lock;
	bool is_installed;
	struct sigaction prev;

	atomic_flag lock;
	struct list guards;

	atomic_ullong n_survived;
} registry = {
	.install_lock = PTHREAD_MUTEX_INITIALIZER,
	.lock = ATOMIC_FLAG_INIT,
	.guards = LIST_INIT(registry.guards),
};

static void registry_lock(void)
{
	while (atomic_flag_test_and_set_explicit(&registry.lock,
						 memory_order_acquire)) {
	}
}

static void registry_unlock(void)
{
	atomic_flag_clear_explicit(&registry.lock, memory_order_release);
}

/*
 * The bare system call: mmap() is not on the list of what a handler may call,
 * and the thread sanitizer takes it for a write to all of the pages, which
 * other threads touch.
 */
static bool map_zeroes(char *at, size_t len, int prot)
{
	return syscall(MMAP_NR, at, len, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
		       -1, 0L) != -1;
}

/* Return: does the instruction have memory to run on now? */
static bool guard_heal(struct sigbus_guard *guard, size_t at, int code)
{
	size_t from = at & ~(guard->page_size - 1);
	size_t to = min_of(guard->zero_from, guard->len);
	bool is_one;

	if (at >= to) {
		if (code == BUS_ADRERR) {
			return true; /* another thread was here first */
		}
		to = guard->len; /* the machine lost a zero page */
	}
	is_one = guard->is_sparse && guard->n_holes < HOLES_MAX;
	if (is_one) {
		to = from + guard->page_size;
		guard->n_holes++;
	}
	if (!map_zeroes(guard->base + from, to - from, guard->prot)) {
		return false;
	}
	if (!is_one) {
		guard->zero_from = min_of(guard->zero_from, from);
	}
	atomic_store_explicit(&guard->is_poisoned, true, memory_order_release);
	atomic_fetch_add_explicit(&registry.n_survived, 1,
				  memory_order_relaxed);
	return true;
}

static bool registry_heal(const char *addr, int code)
{
	struct sigbus_guard *guard;
	bool is_healed = false;

	registry_lock();
	list_for_each_entry(guard, &registry.guards, link) {
		/* Below base it wraps to more than any len. */
		size_t at = (uintptr_t)addr - (uintptr_t)guard->base;

		if (at < guard->len) {
			is_healed = guard_heal(guard, at, code);
			break;
		}
	}
	registry_unlock();
	return is_healed;
}

static void call_previous(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *prev = &registry.prev;

	if (prev->sa_flags & SA_SIGINFO) {
		prev->sa_sigaction(sig, info, context);
	} else if (prev->sa_handler == SIG_IGN && info->si_code <= 0) {
		return;
	} else if (prev->sa_handler == SIG_DFL || prev->sa_handler == SIG_IGN) {
		/* A fault comes again and kills; a kill() must be repeated. */
		(void)signal(sig, SIG_DFL); /* cannot fail for SIGBUS */
		if (info->si_code <= 0) {
			(void)raise(sig);
		}
	} else {
		prev->sa_handler(sig);
	}
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	/*
	 * Only a fault of this very instruction has an address to look for:
	 * not a kill(), nor the news that some page somewhere went bad.
	 */
	if (info->si_code <= 0 || info->si_code == BUS_MCEERR_AO ||
	    !registry_heal(info->si_addr, info->si_code)) {
		call_previous(sig, info, context);
	}
	errno = saved_errno;
}

static int install_once(void)
{
	struct sigaction sa = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
	};
	int ret = 0;

	pthread_mutex_lock(&registry.install_lock);
	if (!registry.is_installed) {
		/* First what was there: our handler may be needed at once. */
		if (sigaction(SIGBUS, NULL, &registry.prev) < 0 ||
		    sigaction(SIGBUS, &sa, NULL) < 0) {
			ret = err(-errno, "sigbus: cannot install the handler");
		} else {
			registry.is_installed = true;
		}
	}
	pthread_mutex_unlock(&registry.install_lock);
	return ret;
}

int sigbus_guard_add(struct sigbus_guard *guard)
{
	int ret = install_once();

	if (ret < 0) {
		return ret;
	}
	guard->zero_from = SIZE_MAX;
	atomic_init(&guard->is_poisoned, false);
	registry_lock();
	list_add_tail(&registry.guards, &guard->link);
	registry_unlock();
	return 0;
}

void sigbus_guard_del(struct sigbus_guard *guard)
{
	registry_lock();
	list_del(&guard->link);
	registry_unlock();
}

uint64_t sigbus_n_survived(void)
{
	return atomic_load_explicit(&registry.n_survived, memory_order_relaxed);
}
