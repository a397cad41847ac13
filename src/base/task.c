/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tasks on ucontext(3).
 *
 * A switch costs two system calls (it keeps the signal mask), which is nothing
 * beside what a task waits for. The sanitizers are told of every switch, or
 * they would take one stack for another.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "base/task.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

#if defined(__has_feature)
#define HAS_SANITIZER(name) __has_feature(name)
#else
#define HAS_SANITIZER(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_SANITIZER(address_sanitizer)
#define TASK_HAS_ASAN 1
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || HAS_SANITIZER(thread_sanitizer)
#define TASK_HAS_TSAN 1
#include <sanitizer/tsan_interface.h>
#endif

/* One of the two sides of a switch, as the sanitizers see it. */
struct side {
	ucontext_t context;
	const void *bottom;
	size_t size_bytes;
	void *fake_stack; /* of the address sanitizer */
	void *fiber; /* of the thread sanitizer */
};

struct task {
	struct side self;
	struct side caller; /* as of the last run or resume */
	void *mapping; /* a guard page, then the stack */
	size_t mapping_bytes;
	void (*fn)(void *priv);
	void *priv;
	bool is_busy; /* began and has not ended */
	bool is_current;
};

static void leave(struct side *from, const struct side *to)
{
#ifdef TASK_HAS_ASAN
	__sanitizer_start_switch_fiber(&from->fake_stack, to->bottom,
				       to->size_bytes);
#endif
#ifdef TASK_HAS_TSAN
	__tsan_switch_to_fiber(to->fiber, 0);
#endif
	(void)swapcontext(&from->context, &to->context);
}

/* On arrival: @self is where we are, @from where we came from. */
static void arrive(struct side *self, struct side *from)
{
#ifdef TASK_HAS_ASAN
	__sanitizer_finish_switch_fiber(self->fake_stack, &from->bottom,
					&from->size_bytes);
#endif
	(void)self;
	(void)from;
}

void task_yield(struct task *task)
{
	assert(task->is_current);
	task->is_current = false;
	leave(&task->self, &task->caller);
	arrive(&task->self, &task->caller);
}

/* The stack's first and only function: it never returns. makecontext() passes
 * ints, so a pointer comes in two. */
static void run_for_ever(unsigned int high, unsigned int low)
{
	struct task *task =
		(struct task *)(uintptr_t)((uint64_t)high << 32 | low);

	arrive(&task->self, &task->caller);
	for (;;) {
		task->fn(task->priv);
		task->is_busy = false;
		task_yield(task);
	}
}

int task_new(struct task **ret)
{
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	struct task *task = calloc(1, sizeof(*task));

	if (!task) {
		return err(-ENOMEM, "task: out of memory");
	}
	task->mapping_bytes = guard + TASK_STACK_BYTES;
	task->mapping = mmap(NULL, task->mapping_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (task->mapping == MAP_FAILED ||
	    mprotect(task->mapping, guard, PROT_NONE) < 0) {
		task->mapping = task->mapping == MAP_FAILED ? NULL
							    : task->mapping;
		(void)task_free(task);
		return err(-ENOMEM, "task: no memory for a stack");
	}
	task->self.bottom = (char *)task->mapping + guard;
	task->self.size_bytes = TASK_STACK_BYTES;
	(void)getcontext(&task->self.context);
	task->self.context.uc_stack.ss_sp = (char *)task->mapping + guard;
	task->self.context.uc_stack.ss_size = TASK_STACK_BYTES;
	task->self.context.uc_link = NULL;
	makecontext(&task->self.context, (void (*)(void))run_for_ever, 2,
		    (unsigned int)((uint64_t)(uintptr_t)task >> 32),
		    (unsigned int)(uintptr_t)task);
#ifdef TASK_HAS_TSAN
	task->self.fiber = __tsan_create_fiber(0);
#endif
	*ret = task;
	return 0;
}

struct task *task_free(struct task *task)
{
	if (!task) {
		return NULL;
	}
	assert(!task->is_busy);
#ifdef TASK_HAS_TSAN
	if (task->self.fiber) {
		__tsan_destroy_fiber(task->self.fiber);
	}
#endif
	if (task->mapping) {
		(void)munmap(task->mapping, task->mapping_bytes);
	}
	free(task);
	return NULL;
}

bool task_resume(struct task *task)
{
	assert(task->is_busy);
	assert(!task->is_current);
	task->is_current = true;
#ifdef TASK_HAS_TSAN
	task->caller.fiber = __tsan_get_current_fiber();
#endif
	leave(&task->caller, &task->self);
	arrive(&task->caller, &task->self);
	return !task->is_busy;
}

bool task_run(struct task *task, void (*fn)(void *priv), void *priv)
{
	assert(!task->is_busy);
	task->fn = fn;
	task->priv = priv;
	task->is_busy = true;
	return task_resume(task);
}

bool task_is_current(const struct task *task)
{
	return task->is_current;
}
