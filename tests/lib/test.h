/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every cmocka test program includes first, and its main().
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/**
 * test_main() - run a table of tests as TAP, or those that argv[1] names
 * @argc: of main()
 * @argv: of main(); argv[1] is a cmocka pattern such as "*indirect*"
 * @name: the group's name in the report
 * @tests: the table
 * @n_tests: its length
 *
 * Return: the exit status of the program
 */
int test_main(int argc, char **argv, const char *name,
	      const struct CMUnitTest *tests, size_t n_tests);

/* How many descriptors this process has open; for comparing. */
unsigned int test_count_fds(void);

/*
 * Leaves a test for want of something that the machine lacks. cmocka 1.1 says
 * "not ok # SKIP" for its own skip(), which counts as a failure.
 */
#define TEST_SKIP(why)                                             \
	do {                                                       \
		print_message("# SKIP %s: %s\n", __func__, (why)); \
		return;                                            \
	} while (0)

/* The thread sanitizer keeps signals of its own accord until later, so that a
 * guard against SIGBUS never runs. */
#if defined(__SANITIZE_THREAD__)
#define TEST_HAS_TSAN 1
#elif defined(__has_feature)
#define TEST_HAS_TSAN __has_feature(thread_sanitizer)
#else
#define TEST_HAS_TSAN 0
#endif

/* main() of a test program whose table is called tests. */
#define TEST_MAIN(name)                                             \
	int main(int argc, char **argv)                             \
	{                                                           \
		return test_main(argc, argv, name, tests,           \
				 sizeof(tests) / sizeof(tests[0])); \
	}

#endif
