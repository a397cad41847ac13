/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One whole vdpakit.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "mgmt/instance.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mgmt/builtin.h"

#define WORKERS_DEFAULT_MAX 4

struct instance {
	struct loop *control;
	struct loop *workers[INSTANCE_WORKERS_MAX];
	unsigned int n_workers;
	bool owns_control;
	bool owns_workers;
	struct vdpa_bus *bus;
	struct cdev *cdev;
	struct vdpa_driver *drivers[BUILTIN_MAX];
	struct vdpa_mgmtdev *mgmtdevs[BUILTIN_MAX];
};

static unsigned int default_n_workers(void)
{
	cpu_set_t cpus;
	int n = 1;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0) {
		n = CPU_COUNT(&cpus);
	}
	return (unsigned int)min_of(n, WORKERS_DEFAULT_MAX);
}

static int make_workers(struct instance *kit, unsigned int n,
			enum loop_kind kind)
{
	char name[16];
	int r = 0;

	kit->owns_workers = true;
	while (r == 0 && kit->n_workers < n) {
		(void)snprintf(name, sizeof(name), "worker%u",
			       kit->n_workers % 100);
		r = loop_new_kind(name, kind, &kit->workers[kit->n_workers]);
		if (r == 0) {
			r = loop_start(kit->workers[kit->n_workers++]);
		}
	}
	return err_context(r, "worker %u of %u", kit->n_workers, n);
}

static int take_loops(struct instance *kit,
		      const struct instance_options *options)
{
	unsigned int n = options->n_workers;
	int r = 0;

	if (n > INSTANCE_WORKERS_MAX) {
		return err(-EINVAL, "%u workers, limit %u", n,
			   INSTANCE_WORKERS_MAX);
	}
	kit->control = options->control;
	if (!kit->control) {
		kit->owns_control = true;
		r = loop_new_kind("control", options->loop, &kit->control);
	}
	if (r < 0) {
		return err_context(r, "control loop");
	}
	if (!options->workers) {
		return make_workers(kit, n > 0 ? n : default_n_workers(),
				    options->loop);
	}
	for (unsigned int i = 0; i < n; i++) {
		kit->workers[i] = options->workers[i];
	}
	kit->n_workers = n;
	return 0;
}

static int register_driver(struct instance *kit, unsigned int i)
{
	const struct builtin *b = &builtins[i];
	int r = b->inner_register
			? b->inner_register(kit->bus, &kit->drivers[i])
			: b->driver_register(kit->bus, kit->cdev,
					     &kit->drivers[i]);

	return err_context(r, "%s", b->name);
}

static int register_first_driver(struct instance *kit, const char *name)
{
	for (unsigned int i = 0; builtins[i].name; i++) {
		if (builtins[i].driver_unregister &&
		    strcmp(builtins[i].name, name) == 0) {
			return register_driver(kit, i);
		}
	}
	return err(-ENODEV, "there is no bus driver %s", name);
}

/* The bus takes the first one for the default. */
static int register_drivers(struct instance *kit, const char *first)
{
	int r = first ? register_first_driver(kit, first) : 0;

	for (unsigned int i = 0; r == 0 && builtins[i].name; i++) {
		if (builtins[i].driver_register && !kit->drivers[i]) {
			r = register_driver(kit, i);
		}
	}
	return r;
}

static int register_mgmtdevs(struct instance *kit)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && builtins[i].name; i++) {
		const struct builtin *b = &builtins[i];

		if (b->mgmtdev_register) {
			r = b->mgmtdev_register(kit->bus, &kit->mgmtdevs[i]);
			(void)err_context(r, "%s", b->name);
		} else if (b->remote_register) {
			r = b->remote_register(kit->bus, kit->cdev,
					       &kit->mgmtdevs[i]);
			(void)err_context(r, "%s", b->name);
		}
	}
	return r;
}

int instance_new(const struct instance_options *options, struct instance **ret)
{
	struct instance *kit = calloc(1, sizeof(*kit));
	int r;

	if (!kit) {
		return err(-ENOMEM, "out of memory");
	}
	r = take_loops(kit, options);
	if (r == 0) {
		r = vdpa_bus_new(kit->control, kit->workers, kit->n_workers,
				 &kit->bus);
	}
	if (r == 0) {
		r = vdpa_bus_set_run_dir(kit->bus, options->run_dir);
	}
	if (r == 0) {
		r = cdev_new(kit->control, &kit->cdev);
	}
	if (r == 0) {
		r = register_drivers(kit, options->default_driver);
	}
	if (r == 0) {
		r = register_mgmtdevs(kit);
	}
	if (r < 0) {
		instance_free(kit);
		return r;
	}
	*ret = kit;
	return 0;
}

static void unregister_builtins(struct instance *kit)
{
	for (unsigned int i = BUILTIN_MAX; i-- > 0;) {
		if (kit->drivers[i]) {
			builtins[i].driver_unregister(kit->drivers[i]);
		}
	}
	for (unsigned int i = BUILTIN_MAX; i-- > 0;) {
		if (kit->mgmtdevs[i]) {
			builtins[i].mgmtdev_unregister(kit->mgmtdevs[i]);
		}
	}
}

static void free_loops(struct instance *kit)
{
	if (kit->owns_workers) {
		for (unsigned int i = 0; i < kit->n_workers; i++) {
			loop_stop(kit->workers[i]);
			loop_free(kit->workers[i]);
		}
	}
	if (kit->owns_control && kit->control) {
		loop_free(kit->control);
	}
}

struct instance *instance_free(struct instance *kit)
{
	if (!kit) {
		return NULL;
	}
	unregister_builtins(kit);
	if (kit->cdev) {
		cdev_free(kit->cdev);
	}
	if (kit->bus) {
		vdpa_bus_free(kit->bus);
	}
	free_loops(kit);
	free(kit);
	return NULL;
}

struct loop *instance_control(struct instance *kit)
{
	return kit->control;
}

struct vdpa_bus *instance_bus(struct instance *kit)
{
	return kit->bus;
}

struct cdev *instance_cdev(struct instance *kit)
{
	return kit->cdev;
}

unsigned int instance_n_workers(const struct instance *kit)
{
	return kit->n_workers;
}
