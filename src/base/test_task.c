/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tasks: run, yield, resume; many of them; nested; deep stacks.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <string.h>

#include "base/task.h"
#include "base/util.h"
#include "lib/test.h"

struct step {
	struct task *task;
	int value;
	int n_yields;
	struct step *inner;
};

static void count(void *priv)
{
	struct step *s = priv;

	for (int i = 0; i < s->n_yields; i++) {
		assert_true(task_is_current(s->task));
		s->value++;
		task_yield(s->task);
	}
	s->value++;
}

static void test_task_that_does_not_wait_ends_at_once(void **state)
{
	struct step s = { 0 };

	(void)state;
	assert_int_equal(task_new(&s.task), 0);
	assert_true(task_run(s.task, count, &s));
	assert_true(task_run(s.task, count, &s));
	assert_int_equal(s.value, 2);
	assert_false(task_is_current(s.task));
	assert_null(task_free(s.task));
	assert_null(task_free(NULL));
}

static void test_task_goes_on_where_it_yielded(void **state)
{
	struct step s = { .n_yields = 2 };

	(void)state;
	assert_int_equal(task_new(&s.task), 0);
	assert_false(task_run(s.task, count, &s));
	assert_int_equal(s.value, 1);
	assert_false(task_is_current(s.task));
	assert_false(task_resume(s.task));
	assert_int_equal(s.value, 2);
	assert_true(task_resume(s.task));
	assert_int_equal(s.value, 3);
	/* and again from the start */
	assert_false(task_run(s.task, count, &s));
	assert_false(task_resume(s.task));
	assert_true(task_resume(s.task));
	assert_int_equal(s.value, 6);
	task_free(s.task);
}

static void test_tasks_end_in_any_order(void **state)
{
	struct step s[50] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
		s[i].n_yields = 1;
		assert_int_equal(task_new(&s[i].task), 0);
		assert_false(task_run(s[i].task, count, &s[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
		struct step *mine = &s[(i * 7) % ARRAY_SIZE(s)];

		assert_true(task_resume(mine->task));
		assert_int_equal(mine->value, 2);
		task_free(mine->task);
	}
}

static void run_inner(void *priv)
{
	struct step *s = priv;

	assert_false(task_run(s->inner->task, count, s->inner));
	task_yield(s->task);
	assert_true(task_resume(s->inner->task));
	s->value = 100;
}

/* Whoever resumes a task is whom it goes back to, be it another task. */
static void test_task_runs_another(void **state)
{
	struct step inner = { .n_yields = 1 };
	struct step outer = { .inner = &inner };

	(void)state;
	assert_int_equal(task_new(&inner.task), 0);
	assert_int_equal(task_new(&outer.task), 0);
	assert_false(task_run(outer.task, run_inner, &outer));
	assert_int_equal(inner.value, 1);
	assert_true(task_resume(outer.task));
	assert_int_equal(outer.value, 100);
	assert_int_equal(inner.value, 2);
	task_free(outer.task);
	task_free(inner.task);
}

static void use_much_stack(void *priv)
{
	struct step *s = priv;
	char much[TASK_STACK_BYTES / 2];

	memset(much, 7, sizeof(much));
	task_yield(s->task);
	for (size_t i = 0; i < sizeof(much); i += 4096) {
		s->value += much[i];
	}
}

static void test_task_has_the_stack_it_says(void **state)
{
	struct step s = { 0 };

	(void)state;
	assert_int_equal(task_new(&s.task), 0);
	assert_false(task_run(s.task, use_much_stack, &s));
	assert_true(task_resume(s.task));
	assert_int_equal(s.value, 7 * (TASK_STACK_BYTES / 2 / 4096));
	task_free(s.task);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_task_that_does_not_wait_ends_at_once),
	cmocka_unit_test(test_task_goes_on_where_it_yielded),
	cmocka_unit_test(test_tasks_end_in_any_order),
	cmocka_unit_test(test_task_runs_another),
	cmocka_unit_test(test_task_has_the_stack_it_says),
};

TEST_MAIN("task")
