/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registries of the bus: management devices, devices, bus drivers, and
 * which device is bound to which.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "bus/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/parse.h"
#include "bus/bus_internal.h"

int vdpa_bus_new(struct loop *control, struct loop *const *workers,
		 unsigned int n_workers, struct vdpa_bus **ret)
{
	struct vdpa_bus *bus;

	assert(n_workers > 0);
	bus = calloc(1, sizeof(*bus));
	if (!bus) {
		return -ENOMEM;
	}
	bus->workers = calloc(n_workers, sizeof(*workers));
	if (!bus->workers) {
		free(bus);
		return -ENOMEM;
	}
	memcpy(bus->workers, workers, n_workers * sizeof(*workers));
	bus->control = control;
	bus->n_workers = n_workers;
	list_init(&bus->mgmtdevs);
	list_init(&bus->devices);
	list_init(&bus->drivers);
	list_init(&bus->expectations);
	*ret = bus;
	return 0;
}

struct vdpa_bus *vdpa_bus_free(struct vdpa_bus *bus)
{
	if (!bus) {
		return NULL;
	}
	assert(list_is_empty(&bus->drivers));
	assert(list_is_empty(&bus->devices));
	assert(list_is_empty(&bus->mgmtdevs));
	free(bus->run_dir);
	free(bus->workers);
	free(bus);
	return NULL;
}

struct loop *vdpa_bus_control(struct vdpa_bus *bus)
{
	return bus->control;
}

int vdpa_bus_set_run_dir(struct vdpa_bus *bus, const char *path)
{
	char *copy = path ? strdup(path) : NULL;

	if (path && !copy) {
		return -ENOMEM;
	}
	free(bus->run_dir);
	bus->run_dir = copy;
	return 0;
}

const char *vdpa_bus_run_dir(const struct vdpa_bus *bus)
{
	return bus->run_dir;
}

struct loop *vdpa_bus_pick_worker(struct vdpa_bus *bus)
{
	return bus->workers[bus->next_worker++ % bus->n_workers];
}

/* ---- management devices ---- */

int vdpa_mgmtdev_register(struct vdpa_bus *bus, struct vdpa_mgmtdev *mgmtdev)
{
	assert(mgmtdev->ops->dev_add && mgmtdev->ops->dev_del);
	if (vdpa_mgmtdev_find(bus, mgmtdev->bus_name, mgmtdev->name)) {
		return err(-EEXIST, "there is a management device %s already",
			   mgmtdev->name);
	}
	mgmtdev->bus = bus;
	list_add_tail(&bus->mgmtdevs, &mgmtdev->node);
	return 0;
}

/* Return: is the device still there? One whose deletion waited for its
 * consumer is not. */
static bool unbind_by_force(struct vdpa_device *vdev)
{
	bool is_deleting = vdev->removed_fn != NULL;

	if (vdpa_turns_end(vdev)) {
		vdpa_removed(vdev);
		return !is_deleting;
	}
	if (vdev->driver) {
		vdev->is_removing = true;
		vdev->driver->remove(vdev, true);
		assert(is_deleting || !vdev->driver);
	}
	if (!is_deleting) {
		vdpa_turns_begin(vdev);
	}
	return !is_deleting;
}

void vdpa_dev_cut(struct vdpa_device *vdev)
{
	if (!vdev->is_removing) {
		(void)unbind_by_force(vdev); /* it is unbound now */
	}
}

void vdpa_mgmtdev_unregister(struct vdpa_mgmtdev *mgmtdev)
{
	struct vdpa_device *vdev, *tmp;

	vdpa_expect_end(mgmtdev);
	list_for_each_entry_safe(vdev, tmp, &mgmtdev->bus->devices, node) {
		if (vdev->mgmtdev == mgmtdev && unbind_by_force(vdev)) {
			mgmtdev->ops->dev_del(mgmtdev, vdev);
		}
	}
	list_del(&mgmtdev->node);
	mgmtdev->bus = NULL;
}

static bool same_bus_name(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

struct vdpa_mgmtdev *vdpa_mgmtdev_find(struct vdpa_bus *bus,
				       const char *bus_name, const char *name)
{
	struct vdpa_mgmtdev *mgmtdev;

	list_for_each_entry(mgmtdev, &bus->mgmtdevs, node) {
		if (strcmp(mgmtdev->name, name) == 0 &&
		    same_bus_name(mgmtdev->bus_name, bus_name)) {
			return mgmtdev;
		}
	}
	return NULL;
}

/* The element after @prev in @head (NULL: the first); NULL at the end. */
static struct list *next_in(const struct list *head, const struct list *prev)
{
	struct list *next = prev ? prev->next : head->next;

	return next == head ? NULL : next;
}

struct vdpa_mgmtdev *vdpa_mgmtdev_next(struct vdpa_bus *bus,
				       struct vdpa_mgmtdev *prev)
{
	struct list *next = next_in(&bus->mgmtdevs, prev ? &prev->node : NULL);

	return next ? list_entry(next, struct vdpa_mgmtdev, node) : NULL;
}

/* ---- devices ---- */

/* Every mandatory op is there, and the optional ones come in their pairs. */
static bool ops_are_complete(const struct vdpa_config_ops *ops)
{
	return ops->set_vq_address && ops->set_vq_num && ops->kick_vq &&
	       ops->set_vq_cb && ops->set_vq_ready && ops->get_vq_ready &&
	       ops->set_vq_state && ops->get_vq_state && ops->get_vq_align &&
	       ops->get_device_features && ops->set_driver_features &&
	       ops->get_driver_features && ops->set_config_cb &&
	       ops->get_vq_num_max && ops->get_device_id &&
	       ops->get_vendor_id && ops->get_status && ops->set_status &&
	       ops->reset && ops->get_config_size && ops->get_config &&
	       ops->set_config && !ops->suspend == !ops->resume &&
	       !ops->dma_map == !ops->dma_unmap &&
	       !ops->save_state == !ops->load_state;
}

static int device_check(struct vdpa_device *vdev)
{
	if (!name_is_valid(vdev->name)) {
		return err(-EINVAL,
			   "'%s' cannot name a device: use up to 63 letters, "
			   "digits, '-', '_', '.' or ':'",
			   vdev->name);
	}
	if (vdev->ops->size != sizeof(*vdev->ops)) {
		return err(-EINVAL,
			   "%s: compiled for ops of %zu bytes, these have %zu",
			   vdev->name, vdev->ops->size, sizeof(*vdev->ops));
	}
	if (!ops_are_complete(vdev->ops)) {
		return err(-EINVAL, "%s: mandatory ops are missing",
			   vdev->name);
	}
	if (vdev->nvqs > VDPA_VQS_MAX || vdev->ngroups < 1 ||
	    vdev->ngroups > VDPA_GROUPS_MAX || vdev->nas < 1 ||
	    vdev->nas > VDPA_AS_MAX) {
		return err(-EINVAL,
			   "%s: %u virtqueues, %u groups, %u address spaces "
			   "are out of range",
			   vdev->name, vdev->nvqs, vdev->ngroups, vdev->nas);
	}
	if (vdpa_get_vq_num_max(vdev) < vdpa_get_vq_num_min(vdev)) {
		return err(-EINVAL, "%s: largest ring is below the smallest",
			   vdev->name);
	}
	return 0;
}

/* A device that no bus driver wants stays on the bus, unbound. */
static void probe_default(struct vdpa_device *vdev)
{
	struct vdpa_driver *drv = vdpa_driver_next(vdev->bus, NULL);
	int ret;

	if (!drv) {
		return;
	}
	ret = drv->probe(drv, vdev, NULL, 0);
	if (ret < 0) {
		log_debug(vdev->name, "%s does not take it: %s", drv->name,
			  err_text(ret));
		return;
	}
	vdev->driver = drv;
}

int vdpa_device_register(struct vdpa_bus *bus, struct vdpa_mgmtdev *mgmtdev,
			 struct vdpa_device *vdev)
{
	int ret;

	ret = device_check(vdev);
	if (ret < 0) {
		return ret;
	}
	if (vdpa_device_find(bus, vdev->name)) {
		return err(-EEXIST, "there is a device %s already", vdev->name);
	}
	vdev->bus = bus;
	vdev->mgmtdev = mgmtdev;
	vdev->driver = NULL;
	vdev->features_valid = false;
	vdev->is_removing = false;
	vdev->removed_fn = NULL;
	if (vdev->below) {
		vdev->below->bus = bus;
	}
	ret = vdpa_as_init(vdev);
	if (ret < 0) {
		return ret;
	}
	ret = vdpa_turns_init(vdev);
	if (ret < 0) {
		vdpa_as_fini(vdev);
		return ret;
	}
	list_add_tail(&bus->devices, &vdev->node);
	vdev->is_registered = true;
	probe_default(vdev);
	return 0;
}

void vdpa_device_unregister(struct vdpa_device *vdev)
{
	assert(!vdev->driver);
	assert(vdev->is_registered);
	list_del(&vdev->node);
	vdev->is_registered = false;
	vdpa_turns_fini(vdev);
	vdpa_as_fini(vdev);
}

struct vdpa_device *vdpa_device_find(struct vdpa_bus *bus, const char *name)
{
	struct vdpa_device *vdev;

	list_for_each_entry(vdev, &bus->devices, node) {
		if (strcmp(vdev->name, name) == 0) {
			return vdev;
		}
	}
	return NULL;
}

struct vdpa_device *vdpa_device_next(struct vdpa_bus *bus,
				     struct vdpa_device *prev)
{
	struct list *next = next_in(&bus->devices, prev ? &prev->node : NULL);

	return next ? list_entry(next, struct vdpa_device, node) : NULL;
}

/* ---- bus drivers ---- */

static struct vdpa_driver *driver_find(struct vdpa_bus *bus, const char *name)
{
	struct vdpa_driver *drv;

	list_for_each_entry(drv, &bus->drivers, node) {
		if (strcmp(drv->name, name) == 0) {
			return drv;
		}
	}
	return NULL;
}

int vdpa_driver_register(struct vdpa_bus *bus, struct vdpa_driver *drv)
{
	assert(drv->probe && drv->remove && drv->is_busy);
	if (driver_find(bus, drv->name)) {
		return err(-EEXIST, "there is a bus driver %s already",
			   drv->name);
	}
	drv->bus = bus;
	list_add_tail(&bus->drivers, &drv->node);
	return 0;
}

void vdpa_driver_unregister(struct vdpa_driver *drv)
{
	struct vdpa_device *vdev, *tmp;

	list_for_each_entry_safe(vdev, tmp, &drv->bus->devices, node) {
		if (vdev->driver == drv) {
			(void)unbind_by_force(vdev); /* gone or unbound */
		}
	}
	list_del(&drv->node);
	drv->bus = NULL;
}

struct vdpa_driver *vdpa_driver_next(struct vdpa_bus *bus,
				     struct vdpa_driver *prev)
{
	struct list *next = next_in(&bus->drivers, prev ? &prev->node : NULL);

	return next ? list_entry(next, struct vdpa_driver, node) : NULL;
}

/* Nobody uses it, so it goes at once. */
static void remove_idle(struct vdpa_device *vdev)
{
	vdev->is_removing = true;
	vdev->removed_fn = NULL;
	vdev->driver->remove(vdev, false);
	assert(!vdev->driver);
}

void vdpa_removed(struct vdpa_device *vdev)
{
	void (*fn)(void *priv, int result) = vdev->removed_fn;

	assert(vdev->is_removing);
	if (vdpa_put_off_removed(vdev)) {
		return;
	}
	vdev->driver = NULL;
	vdev->driver_priv = NULL;
	vdev->is_removing = false;
	vdev->removed_fn = NULL;
	if (fn) {
		fn(vdev->removed_priv, 0);
	}
}

static int find_idle(struct vdpa_bus *bus, const char *name,
		     struct vdpa_device **ret)
{
	struct vdpa_device *vdev = vdpa_device_find(bus, name);

	if (!vdev) {
		return err(-ENODEV, "device %s not found", name);
	}
	if (vdev->is_removing) {
		return err(-EBUSY, "%s is being removed", name);
	}
	if (vdev->driver &&
	    (vdev->driver->is_busy(vdev) || vdpa_is_in_turn(vdev))) {
		return err(-EBUSY,
			   "%s is in use through %s: close its consumer first",
			   name, vdev->driver->name);
	}
	*ret = vdev;
	return 0;
}

int vdpa_dev_bind(struct vdpa_bus *bus, const char *name, const char *driver,
		  const struct vdpa_param *params, unsigned int n_params)
{
	struct vdpa_device *vdev;
	struct vdpa_driver *drv;
	int ret;

	ret = find_idle(bus, name, &vdev);
	if (ret < 0) {
		return ret;
	}
	drv = driver_find(bus, driver);
	if (!drv) {
		return err(-ENODEV, "there is no bus driver %s", driver);
	}
	if (vdev->driver) {
		remove_idle(vdev);
	}
	ret = drv->probe(drv, vdev, params, n_params);
	if (ret < 0) {
		return err_context(ret, "%s does not take %s", driver, name);
	}
	vdev->driver = drv;
	return 0;
}

int vdpa_dev_unbind(struct vdpa_bus *bus, const char *name)
{
	struct vdpa_device *vdev;
	int ret;

	ret = find_idle(bus, name, &vdev);
	if (ret < 0) {
		return ret;
	}
	if (!vdev->driver) {
		return err(-ENOENT, "%s is not bound to a bus driver", name);
	}
	remove_idle(vdev);
	return 0;
}

/* ---- dev del ---- */

struct del_work {
	struct vdpa_turn turn;
	struct vdpa_device *vdev;
	void (*done)(void *priv, int result);
	void *priv;
};

static void del_unbound(void *priv, int result)
{
	struct del_work *work = priv;
	struct vdpa_device *vdev = work->vdev;

	vdev->mgmtdev->ops->dev_del(vdev->mgmtdev, vdev);
	if (work->done) {
		work->done(work->priv, result);
	}
	free(work);
}

/* After the turns that are under way. */
static void remove_in_turn(struct vdpa_turn *turn)
{
	struct del_work *work = container_of(turn, struct del_work, turn);

	work->vdev->driver->remove(work->vdev, false);
}

int vdpa_dev_del(struct vdpa_bus *bus, const char *name,
		 void (*done)(void *priv, int result), void *priv)
{
	struct vdpa_device *vdev = vdpa_device_find(bus, name);
	struct del_work *work;

	if (!vdev) {
		return err(-ENODEV, "device not found");
	}
	if (!vdev->mgmtdev) {
		return err(-EINVAL,
			   "Only user created device can be deleted by user");
	}
	if (vdev->is_removing) {
		return err(-EBUSY, "%s is being removed", name);
	}
	work = calloc(1, sizeof(*work));
	if (!work) {
		return -ENOMEM;
	}
	*work = (struct del_work){
		.turn.fn = remove_in_turn,
		.vdev = vdev,
		.done = done,
		.priv = priv,
	};
	if (!vdev->driver) {
		del_unbound(work, 0);
		return 0;
	}
	vdev->is_removing = true;
	vdev->removed_fn = del_unbound;
	vdev->removed_priv = work;
	vdpa_turn_start(vdev, &work->turn);
	return 0;
}
