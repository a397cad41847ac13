/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tasks: functions on a stack of their own, which can be left in the middle.
 *
 * Theory of operation
 *
 * Control code reads best from top to bottom, also where it has to wait for an
 * answer in between. A task lets it: the function runs on the task's stack, by
 * task_run() like a call; where it would have to wait it yields, which returns
 * from task_run() as if it had ended; task_resume() goes on after the yield.
 * It is the thread's only one to run meanwhile: no lock, no other thread, only
 * the order of things changes.
 *
 *   caller:  task_run() ........ false | ...loop... | task_resume() ... true
 *   task:         \_ fn() .. task_yield()                 \_ .. fn() returns
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef BASE_TASK_H
#define BASE_TASK_H

#include <stdbool.h>
#include <stddef.h>

struct task;

/* Bytes of a stack; only what is touched is memory. */
#define TASK_STACK_BYTES (256UL * 1024)

/* Return: 0 and a task that runs nothing; -ENOMEM */
int task_new(struct task **ret);
/* It runs nothing. Takes NULL. Return: NULL. */
struct task *task_free(struct task *task);

/**
 * task_run() - begin something
 * @task: runs nothing
 * @fn, @priv: what to run; not from another thread than the last time
 *
 * Return: true @fn has returned; false it yielded
 */
bool task_run(struct task *task, void (*fn)(void *priv), void *priv);

/* Go on after the yield. Return: as task_run() */
bool task_resume(struct task *task);

/* Back to whoever ran or resumed it. On the task's own stack only. */
void task_yield(struct task *task);

/* Is the caller on its stack? */
bool task_is_current(const struct task *task);

#endif
