/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Classes of nodes and the device numbers that stat() shows for them.
 *
 * Clients compare the major of a node with the line of its class in
 * /proc/devices (DPDK does). Where the kernel has the class, its number is
 * taken, so that real nodes and ours both pass; else one that the kernel lists
 * for nobody, from the top of its dynamic range.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cdev/cdev_internal.h"

/* Character majors that the kernel gives out by itself: below 255, 384..511. */
#define MAJOR_LAST  511
#define MAJOR_FIRST 384

struct majors {
	bool is_used[MAJOR_LAST + 1];
};

/* Return: the kernel's major of @name, or 0. */
static unsigned int read_majors(struct majors *majors, const char *name)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/devices", "re");
	unsigned int major, found = 0;
	char line[128], word[64];

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Block", 5) == 0) {
			break;
		}
		if (sscanf(line, "%u %63s", &major, word) != 2 ||
		    major > MAJOR_LAST) {
			continue;
		}
		majors->is_used[major] = true;
		if (!found && strcmp(word, name) == 0) {
			found = major;
		}
	}
	return found;
}

static unsigned int choose_major(const struct list *classes, const char *name)
{
	struct majors majors = { 0 };
	unsigned int major = read_majors(&majors, name);
	const struct cdev_class *class;

	if (major) {
		return major;
	}
	list_for_each_entry(class, classes, node) {
		majors.is_used[class->major] = true;
	}
	for (major = MAJOR_LAST; major > MAJOR_FIRST; major--) {
		if (!majors.is_used[major]) {
			break;
		}
	}
	return major;
}

struct cdev_class *cdev_class_get(struct cdev *cdev, const char *name)
{
	struct list *classes = cdev_classes(cdev);
	struct cdev_class *class;

	list_for_each_entry(class, classes, node) {
		if (strcmp(class->name, name) == 0) {
			return class;
		}
	}
	class = calloc(1, sizeof(*class));
	if (!class) {
		return NULL;
	}
	(void)snprintf(class->name, sizeof(class->name), "%s", name);
	class->major = choose_major(classes, name);
	list_add_tail(classes, &class->node);
	return class;
}

void cdev_classes_free(struct list *classes)
{
	struct cdev_class *class, *tmp;

	list_for_each_entry_safe(class, tmp, classes, node) {
		list_del(&class->node);
		free(class);
	}
}
