/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that are expected: `dev add` of what somebody else has to make first.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/bus_internal.h"

#define NS_PER_S 1000000000ULL

struct expectation {
	struct list node; /* in bus->expectations */
	struct vdpa_bus *bus;
	struct vdpa_mgmtdev *mgmtdev;
	char name[VDPA_NAME_MAX];
	struct vdpa_dev_config config;
	struct loop_timer timer;
	void (*done)(void *priv, int result);
	void *priv;
};

static bool is_there(struct vdpa_mgmtdev *mgmtdev, const char *name)
{
	return !mgmtdev->ops->dev_is_there ||
	       mgmtdev->ops->dev_is_there(mgmtdev, name);
}

static void end_expectation(struct expectation *e, int result)
{
	loop_timer_cancel(&e->timer);
	list_del(&e->node);
	e->bus->n_expectations--;
	if (e->done) {
		e->done(e->priv, result);
	} else if (result < 0 && result != -ESHUTDOWN) {
		log_warn(e->name, "ignoring that it cannot be added: %s",
			 err_text(result));
	}
	free(e);
}

static void time_is_up(void *priv)
{
	struct expectation *e = priv;

	end_expectation(e, err(-ETIMEDOUT, "nobody has made %s for %s", e->name,
			       e->mgmtdev->name));
}

static int expect(struct vdpa_mgmtdev *mgmtdev, const char *name,
		  const struct vdpa_dev_expect *how,
		  const struct vdpa_dev_config *config)
{
	struct vdpa_bus *bus = mgmtdev->bus;
	struct expectation *e;
	int ret = 0;

	if (bus->n_expectations == VDPA_EXPECTED_MAX) {
		return err(-ENOSPC, "%u devices are expected already",
			   bus->n_expectations);
	}
	e = calloc(1, sizeof(*e));
	if (!e) {
		return -ENOMEM;
	}
	e->bus = bus;
	e->mgmtdev = mgmtdev;
	(void)snprintf(e->name, sizeof(e->name), "%s", name);
	e->config = *config;
	e->done = how->done;
	e->priv = how->priv;
	loop_timer_init(&e->timer, bus->control, time_is_up, e);
	if (how->timeout_s > 0) {
		ret = loop_timer_set(&e->timer, how->timeout_s * NS_PER_S);
	}
	if (ret < 0) {
		free(e);
		return ret;
	}
	list_add_tail(&bus->expectations, &e->node);
	bus->n_expectations++;
	return VDPA_EXPECTED;
}

int vdpa_dev_expect(struct vdpa_bus *bus, const char *bus_name,
		    const char *mgmtdev_name, const char *name,
		    const struct vdpa_dev_config *config,
		    const struct vdpa_dev_expect *how)
{
	struct vdpa_mgmtdev *mgmtdev;
	int ret = vdpa_dev_check(bus, bus_name, mgmtdev_name, name, config,
				 &mgmtdev);

	if (ret < 0) {
		return ret;
	}
	return is_there(mgmtdev, name)
		       ? mgmtdev->ops->dev_add(mgmtdev, name, config)
		       : expect(mgmtdev, name, how, config);
}

void vdpa_mgmtdev_has_news(struct vdpa_mgmtdev *mgmtdev)
{
	struct expectation *e, *tmp;

	list_for_each_entry_safe(e, tmp, &mgmtdev->bus->expectations, node) {
		if (e->mgmtdev == mgmtdev && is_there(mgmtdev, e->name)) {
			/* Checked again: much may have happened. */
			end_expectation(e,
					vdpa_dev_add(e->bus, mgmtdev->bus_name,
						     mgmtdev->name, e->name,
						     &e->config));
		}
	}
}

void vdpa_expect_end(struct vdpa_mgmtdev *mgmtdev)
{
	struct expectation *e, *tmp;

	list_for_each_entry_safe(e, tmp, &mgmtdev->bus->expectations, node) {
		if (e->mgmtdev == mgmtdev) {
			end_expectation(e, -ESHUTDOWN);
		}
	}
}
