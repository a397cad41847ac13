/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that are expected: `dev add` of what somebody else has to make first.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	struct vdpa_dev_expect how;
	bool is_asked; /* since it is expected, without an answer so far */
};

static enum vdpa_there look(struct vdpa_mgmtdev *mgmtdev, const char *name,
			    const struct vdpa_dev_config *config)
{
	return mgmtdev->ops->dev_is_there
		       ? mgmtdev->ops->dev_is_there(mgmtdev, name, config)
		       : VDPA_THERE;
}

static void forget(struct vdpa_mgmtdev *mgmtdev, const char *name)
{
	if (mgmtdev->ops->dev_forget) {
		mgmtdev->ops->dev_forget(mgmtdev, name);
	}
}

static void end_expectation(struct expectation *e, int result)
{
	loop_timer_cancel(&e->timer);
	list_del(&e->node);
	e->bus->n_expectations--;
	if (e->how.done) {
		e->how.done(e->how.priv, result);
	} else if (result < 0 && result != -ESHUTDOWN) {
		log_warn(e->name, "ignoring that it cannot be added: %s",
			 err_text(result));
	}
	free(e);
}

static void time_is_up(void *priv)
{
	struct expectation *e = priv;

	forget(e->mgmtdev, e->name);
	end_expectation(e, err(-ETIMEDOUT, "nobody has made %s for %s", e->name,
			       e->mgmtdev->name));
}

static bool is_expected(const struct vdpa_mgmtdev *mgmtdev, const char *name)
{
	const struct expectation *e;

	list_for_each_entry(e, &mgmtdev->bus->expectations, node) {
		if (e->mgmtdev == mgmtdev && strcmp(e->name, name) == 0) {
			return true;
		}
	}
	return false;
}

static int expect(struct vdpa_mgmtdev *mgmtdev, const char *name,
		  const struct vdpa_dev_expect *how,
		  const struct vdpa_dev_config *config, bool is_asked)
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
	e->how = *how;
	e->is_asked = is_asked;
	loop_timer_init(&e->timer, bus->control, time_is_up, e);
	if (how->timeout_s > 0 && !how->is_once) {
		ret = loop_timer_set(&e->timer, how->timeout_s * NS_PER_S);
	}
	if (ret < 0) {
		free(e);
		return ret;
	}
	list_add_tail(&bus->expectations, &e->node);
	bus->n_expectations++;
	return is_asked ? VDPA_ASKED : VDPA_EXPECTED;
}

int vdpa_dev_expect(struct vdpa_bus *bus, const char *bus_name,
		    const char *mgmtdev_name, const char *name,
		    const struct vdpa_dev_config *config,
		    const struct vdpa_dev_expect *how)
{
	struct vdpa_mgmtdev *mgmtdev;
	enum vdpa_there there;
	int ret = vdpa_dev_check(bus, bus_name, mgmtdev_name, name, config,
				 &mgmtdev);

	if (ret < 0) {
		return ret;
	}
	/* What is begun for it is kept by its name. */
	if (mgmtdev->ops->dev_forget && is_expected(mgmtdev, name)) {
		return err(-EEXIST, "%s is expected already", name);
	}
	there = look(mgmtdev, name, config);
	if (there == VDPA_THERE || (there == VDPA_NOT_THERE && how->is_once)) {
		return mgmtdev->ops->dev_add(mgmtdev, name, config);
	}
	ret = expect(mgmtdev, name, how, config, there == VDPA_IS_ASKED);
	if (ret < 0) {
		forget(mgmtdev, name);
	}
	return ret;
}

/* Checked again: much may have happened. */
static int add(const struct expectation *e)
{
	struct vdpa_mgmtdev *mgmtdev;
	int ret = vdpa_dev_check(e->bus, e->mgmtdev->bus_name, e->mgmtdev->name,
				 e->name, &e->config, &mgmtdev);

	if (ret < 0) {
		forget(e->mgmtdev, e->name);
		return ret;
	}
	return mgmtdev->ops->dev_add(mgmtdev, e->name, &e->config);
}

/* What has become of it? */
static void look_again(struct expectation *e)
{
	struct vdpa_mgmtdev *mgmtdev = e->mgmtdev;
	enum vdpa_there there = look(mgmtdev, e->name, &e->config);

	if (there == VDPA_THERE ||
	    (there == VDPA_NOT_THERE && e->how.is_once)) {
		end_expectation(e, add(e));
	} else if (there == VDPA_NOT_THERE && e->is_asked) {
		e->is_asked = false;
		if (e->how.not_yet) {
			e->how.not_yet(e->how.priv);
		}
	}
}

void vdpa_mgmtdev_has_news(struct vdpa_mgmtdev *mgmtdev)
{
	struct expectation *e, *tmp;

	list_for_each_entry_safe(e, tmp, &mgmtdev->bus->expectations, node) {
		if (e->mgmtdev == mgmtdev) {
			look_again(e);
		}
	}
}

void vdpa_expect_end(struct vdpa_mgmtdev *mgmtdev)
{
	struct expectation *e, *tmp;

	list_for_each_entry_safe(e, tmp, &mgmtdev->bus->expectations, node) {
		if (e->mgmtdev == mgmtdev) {
			forget(mgmtdev, e->name);
			end_expectation(e, -ESHUTDOWN);
		}
	}
}
