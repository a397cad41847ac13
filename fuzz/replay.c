/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target on each file of a folder, as a test: replay FOLDER
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fuzz.h"

#define INPUT_MAX 65536

/* Return: bytes read, or -1 */
static ssize_t read_input(int dir_fd, const char *name, uint8_t *data)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : read(fd, data, INPUT_MAX);
}

/* Exactly as long as it is, so that a sanitizer sees a read beyond. */
static int run(const uint8_t *data, size_t len)
{
	_cleanup_free_ uint8_t *input = malloc(len ? len : 1);

	if (!input) {
		return -1;
	}
	memcpy(input, data, len);
	return LLVMFuzzerTestOneInput(input, len);
}

int main(int argc, char **argv)
{
	static uint8_t data[INPUT_MAX];
	_cleanup_closedir_ DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	unsigned int n = 0;
	struct dirent *entry;

	if (!dir) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	while ((entry = readdir(dir))) {
		ssize_t len;

		if (entry->d_name[0] == '.') {
			continue;
		}
		len = read_input(dirfd(dir), entry->d_name, data);
		printf("# %s\n", entry->d_name);
		(void)fflush(stdout); /* to be seen before a crash */
		if (len < 0 || run(data, (size_t)len) != 0) {
			printf("not ok %u - %s\n", ++n, entry->d_name);
			return 1;
		}
		printf("ok %u - %s\n", ++n, entry->d_name);
	}
	printf("1..%u\n", n);
	return n > 0 ? 0 : 1;
}
