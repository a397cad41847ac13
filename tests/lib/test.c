/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main() of the unit tests, and what many of them look at.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <dirent.h>

#include "lib/test.h"

int test_main(int argc, char **argv, const char *name,
	      const struct CMUnitTest *tests, size_t n_tests)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (argc > 1) {
		cmocka_set_test_filter(argv[1]);
	}
	return _cmocka_run_group_tests(name, tests, n_tests, NULL, NULL);
}

unsigned int test_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir)) {
		n++;
	}
	closedir(dir);
	return n;
}
